-- What happened to leads: events, the amounts stored for them, and the leads that are hottest now.

CREATE FUNCTION saleshub.score_worth(amount double precision, half_life_hours integer, epoch integer,
                                     at timestamptz) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_worth';
COMMENT ON FUNCTION saleshub.score_worth(double precision, integer, integer, timestamptz) IS
    'What an amount of crm.lead_engagement, counted from an epoch, is worth at an instant, in points';

CREATE FUNCTION saleshub.score_shift(amount double precision, by_ integer) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_shift';
COMMENT ON FUNCTION saleshub.score_shift(double precision, integer) IS
    'The amount counted from an epoch that is so many half-lives later: only its exponent changes';

CREATE FUNCTION saleshub.score_event_at(type text, done_at timestamptz, due_at timestamptz,
                                        created_at timestamptz, updated_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN done_at IS NOT NULL THEN least(done_at, updated_at)
    WHEN type IN ('note', 'email') AND due_at IS NULL THEN created_at
END;
COMMENT ON FUNCTION saleshub.score_event_at(text, timestamptz, timestamptz, timestamptz, timestamptz) IS
    'When an activity happened: when it was done, but not later than it was written down; a note or e-mail that is not planned when it was made. NULL: not yet';

CREATE FUNCTION saleshub.score_events(org uuid, leads uuid[])
RETURNS TABLE (lead_id uuid, activity_id uuid, at timestamptz, type text, outcome text,
               direction text, subject text, duration_s integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT k.entity_id, a.activity_id, a.at, a.type, a.outcome, a.direction, a.subject, a.duration_s
      FROM unnest(leads) AS w (id)
      JOIN crm.activity_link AS k ON k.org_id = org AND k.entity = 'lead' AND k.entity_id = w.id
     -- By the key of each, also where the tables grew faster than their statistics.
     CROSS JOIN LATERAL (
        SELECT c.*, saleshub.score_event_at(c.type, c.done_at, c.due_at, c.created_at, c.updated_at) AS at
          FROM crm.activity AS c
         WHERE c.org_id = k.org_id AND c.activity_id = k.activity_id AND c.deleted_at IS NULL
        OFFSET 0) AS a
     WHERE a.at IS NOT NULL
     ORDER BY k.entity_id, a.at, a.activity_id;
END
$$;
COMMENT ON FUNCTION saleshub.score_events(uuid, uuid[]) IS
    'What happened to these leads: their activities that took place, in the order in which they are summed up';

CREATE FUNCTION saleshub.score_events_at(org uuid, leads uuid[], as_of timestamptz)
RETURNS TABLE (lead_id uuid, activity_id uuid, at timestamptz, type text, outcome text,
               direction text, subject text, duration_s integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH later AS (
        -- The first change of a link since says what was before it.
        SELECT DISTINCT ON (l.entity_id, k ->> 'id')
               l.entity_id AS activity, (k ->> 'id')::uuid AS lead, l.op
          FROM crm.change_log AS l,
               jsonb_array_elements(coalesce(nullif(l.changed #> '{links,0}', 'null'), l.changed #> '{links,1}')) AS k
         WHERE l.org_id = org AND l.entity = 'activity_link' AND l.at > as_of
           AND k ->> 'type' = 'lead' AND (k ->> 'id')::uuid = ANY (leads)
         ORDER BY l.entity_id, k ->> 'id', l.change_id
    ), linked AS (
        SELECT t.activity, t.lead FROM later AS t WHERE t.op = 'delete'
        UNION ALL
        SELECT k.activity_id, k.entity_id FROM crm.activity_link AS k
         WHERE k.org_id = org AND k.entity = 'lead' AND k.entity_id = ANY (leads)
           AND NOT EXISTS (SELECT FROM later AS t WHERE t.activity = k.activity_id AND t.lead = k.entity_id)
    )
    SELECT n.lead, n.activity, e.at, r.type, r.outcome, r.direction, r.subject, r.duration_s
      FROM linked AS n
      JOIN crm.activity AS c ON c.org_id = org AND c.activity_id = n.activity
      LEFT JOIN LATERAL saleshub.records_before('activity', as_of, n.activity) AS b ON true
     CROSS JOIN LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) AS r
     CROSS JOIN LATERAL (SELECT saleshub.score_event_at(r.type, r.done_at, r.due_at, r.created_at, r.updated_at)) AS e (at)
     WHERE b.existed IS DISTINCT FROM false AND r.deleted_at IS NULL AND e.at IS NOT NULL
     ORDER BY n.lead, e.at, n.activity;
END
$$;
COMMENT ON FUNCTION saleshub.score_events_at(uuid, uuid[], timestamptz) IS
    'The same as it was at an instant: by the links and the activities of then';

CREATE FUNCTION saleshub.score_linked(org uuid) RETURNS TABLE (lead_id uuid)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM crm.score_rule AS r WHERE r.org_id = org AND r.per_event AND r.active) THEN
        RETURN QUERY SELECT DISTINCT e.lead_id FROM crm.lead_engagement AS e WHERE e.org_id = org ORDER BY 1;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT k.entity_id FROM crm.activity_link AS k WHERE k.org_id = org AND k.entity = 'lead'
    UNION
    SELECT e.lead_id FROM crm.lead_engagement AS e WHERE e.org_id = org
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION saleshub.score_linked(uuid) IS
    'The leads whose score events move, by the present rules or by those before';

CREATE FUNCTION saleshub.score_lock_leads(org uuid, leads uuid[]) RETURNS TABLE (lead_id uuid)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT l.lead_id FROM crm.lead AS l
     WHERE l.org_id = org AND l.lead_id = ANY (leads) AND l.deleted_at IS NULL AND l.status <> 'converted'
     ORDER BY l.lead_id
       FOR NO KEY UPDATE;
END
$$;
COMMENT ON FUNCTION saleshub.score_lock_leads(uuid, uuid[]) IS
    'Locks those of the leads that are open, in the order of their ids, and names them';

CREATE FUNCTION saleshub.lead_hold(leads uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    held uuid[];
BEGIN
    IF NOT saleshub.may_write() THEN
        RETURN;
    END IF;
    PERFORM saleshub.score_keep_rules();
    LOOP
        BEGIN
            held := ARRAY(
                SELECT a.activity_id
                  FROM crm.activity_link AS k
                  JOIN crm.activity AS a ON a.org_id = k.org_id AND a.activity_id = k.activity_id
                 WHERE k.org_id = org AND k.entity = 'lead' AND k.entity_id = ANY (leads)
                 ORDER BY a.activity_id, k.entity_id
                   FOR NO KEY UPDATE);
            PERFORM FROM crm.lead AS l
              WHERE l.org_id = org AND l.lead_id = ANY (leads) ORDER BY l.lead_id FOR UPDATE;
            EXIT WHEN NOT EXISTS (
                SELECT FROM crm.activity_link AS k
                 WHERE k.org_id = org AND k.entity = 'lead' AND k.entity_id = ANY (leads)
                   AND k.activity_id <> ALL (held));
            -- Linked in between; nothing can be any more. Give all back, it would be out of order.
            RAISE EXCEPTION SQLSTATE 'SH000';
        EXCEPTION WHEN SQLSTATE 'SH000' THEN
            NULL;
        END;
    END LOOP;
END
$$;
ALTER FUNCTION saleshub.lead_hold(uuid[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.lead_hold(uuid[]) IS
    'Locks leads with all that is linked with them in the order in which events lock: the rules (shared), activities by id, leads by id. For whoever is going to write both';

CREATE FUNCTION saleshub.score_leads_of(org uuid, activities uuid[]) RETURNS TABLE (lead_id uuid, activity_id uuid)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT k.entity_id, k.activity_id FROM crm.activity_link AS k
     WHERE k.org_id = org AND k.activity_id = ANY (activities) AND k.entity = 'lead';
END
$$;
COMMENT ON FUNCTION saleshub.score_leads_of(uuid, uuid[]) IS 'The leads that activities are about';

CREATE FUNCTION saleshub.score_store(org uuid, leads uuid[], ids uuid[], groups uuid[],
                                     half_lives integer[], amounts double precision[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    DELETE FROM crm.lead_engagement AS e
     WHERE e.org_id = org AND e.lead_id = ANY (leads)
       AND NOT EXISTS (SELECT FROM unnest(ids, groups, half_lives) AS n (id, score_group, half_life)
                        WHERE n.id = e.lead_id AND n.score_group = e.score_group_id
                          AND n.half_life = e.half_life_hours);
    INSERT INTO crm.lead_engagement AS e (org_id, lead_id, score_group_id, half_life_hours, amount)
    SELECT score_store.org, n.id, n.score_group, n.half_life, n.amount
      FROM unnest(ids, groups, half_lives, amounts) AS n (id, score_group, half_life, amount)
    ON CONFLICT (org_id, lead_id, score_group_id, half_life_hours) DO UPDATE SET amount = excluded.amount
     WHERE e.amount <> excluded.amount;
END
$$;
COMMENT ON FUNCTION saleshub.score_store(uuid, uuid[], uuid[], uuid[], integer[], double precision[]) IS
    'Makes the amounts of these leads those given, and of leads that are not among them none';

CREATE FUNCTION saleshub.score_rebase() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    old record;
    by_ integer;
    moved bigint := 0;
BEGIN
    -- A double reaches 1023 powers of two up; from 512 on there is time to move on.
    FOR old IN SELECT e.org_id, e.half_life_hours, e.epoch FROM crm.score_epoch AS e
                WHERE saleshub.score_epoch_now(e.half_life_hours) - e.epoch > 512 LOOP
        PERFORM saleshub.score_lock_rules(old.org_id);
        by_ := saleshub.score_epoch_now(old.half_life_hours) - old.epoch;
        UPDATE crm.lead_engagement AS e SET amount = saleshub.score_shift(e.amount, by_)
         WHERE e.org_id = old.org_id AND e.half_life_hours = old.half_life_hours;
        UPDATE crm.score_epoch AS e SET epoch = e.epoch + by_
         WHERE e.org_id = old.org_id AND e.half_life_hours = old.half_life_hours;
        PERFORM saleshub.score_moved(old.org_id);
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION saleshub.score_rebase() IS
    'Moves epochs of stored amounts on before these outgrow a double; returns how many. Part of keep_house()';

CREATE FUNCTION saleshub.score_lists() RETURNS TABLE (score_group_id uuid, half_life_hours integer, cap integer, epoch integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT coalesce(r.score_group_id, '00000000-0000-0000-0000-000000000000'),
           coalesce(r.half_life_hours, 0), g.cap, coalesce(e.epoch, 0)
      FROM crm.score_rule AS r
      LEFT JOIN crm.score_group AS g ON g.org_id = r.org_id AND g.score_group_id = r.score_group_id
      LEFT JOIN crm.score_epoch AS e ON e.org_id = r.org_id AND e.half_life_hours = r.half_life_hours
     WHERE r.org_id = saleshub.org_id() AND r.per_event AND r.active;
END
$$;
COMMENT ON FUNCTION saleshub.score_lists() IS
    'The groups and half-lives by which leads are ordered in crm.lead_engagement, with what turns amounts into points';

CREATE FUNCTION saleshub.score_hottest(depth integer, at timestamptz,
                                       OUT lead_id uuid, OUT engagement numeric, OUT beyond numeric) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH list AS MATERIALIZED (
        SELECT * FROM saleshub.score_lists()
    ), top AS MATERIALIZED (
        SELECT x.score_group_id, x.half_life_hours, x.cap, x.epoch, t.lead_id, t.amount
          FROM list AS x
         CROSS JOIN LATERAL (
            SELECT e.lead_id, e.amount FROM crm.lead_engagement AS e
             WHERE e.org_id = saleshub.org_id() AND e.score_group_id = x.score_group_id
               AND e.half_life_hours = x.half_life_hours
             ORDER BY e.amount DESC, e.lead_id DESC
             LIMIT depth) AS t
    ), worst AS (
        -- What a lead that is in none of the tops can have at most.
        SELECT coalesce(sum(least(g.points, g.cap)), 0) AS points
          FROM (SELECT sum(w.points) AS points, w.cap
                  FROM (SELECT x.score_group_id, x.cap, CASE WHEN count(*) < depth THEN 0 ELSE greatest(0,
                                   saleshub.score_worth(min(x.amount), x.half_life_hours, x.epoch, at)) END AS points
                          FROM top AS x GROUP BY x.score_group_id, x.half_life_hours, x.cap, x.epoch) AS w
                 GROUP BY w.score_group_id, w.cap) AS g
    ), points AS (
        SELECT c.lead_id, x.score_group_id, x.cap,
               round(sum(saleshub.score_worth(e.amount, x.half_life_hours, x.epoch, at) ORDER BY x.half_life_hours) * 1000) AS milli
          FROM (SELECT DISTINCT t.lead_id FROM top AS t) AS c
          JOIN crm.lead_engagement AS e ON e.org_id = saleshub.org_id() AND e.lead_id = c.lead_id
          JOIN list AS x ON x.score_group_id = e.score_group_id AND x.half_life_hours = e.half_life_hours
         GROUP BY c.lead_id, x.score_group_id, x.cap
    )
    SELECT p.lead_id, sum(least(p.milli, 1000::float8 * p.cap)::numeric) / 1000 AS engagement, (SELECT w.points::numeric FROM worst AS w)
      FROM points AS p
      JOIN crm.lead AS l ON l.org_id = saleshub.org_id() AND l.lead_id = p.lead_id
       AND l.deleted_at IS NULL AND l.status <> 'converted'
     GROUP BY p.lead_id
     ORDER BY 2 DESC, 1 DESC;
END
$$;
COMMENT ON FUNCTION saleshub.score_hottest(integer, timestamptz) IS
    'The leads that are among the first so many by some group and half-life, by their engagement at an instant; beyond: what others can have at most';

CREATE FUNCTION crm.leads_hottest(limit_ integer DEFAULT 20) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    at constant timestamptz := now();
    depth integer := 2 * limit_;
    found jsonb;
BEGIN
    IF limit_ IS NULL OR limit_ NOT BETWEEN 1 AND 100 THEN
        PERFORM saleshub.bad_parameter('limit', 'range', 'must be from 1 to 100');
    END IF;
    PERFORM saleshub.score_shown();
    -- The threshold algorithm of Fagin, Lotem and Naor (2001): deeper, until nobody below can be among them.
    LOOP
        SELECT jsonb_build_object('ids', jsonb_agg(h.lead_id ORDER BY h.engagement DESC, h.lead_id DESC),
                   'done', coalesce(max(h.beyond), 0) = 0
                           OR count(*) = limit_ AND min(h.engagement) >= max(h.beyond))
          INTO found
          FROM (SELECT * FROM saleshub.score_hottest(depth, at) LIMIT limit_) AS h;
        EXIT WHEN (found -> 'done')::boolean;
        depth := depth * 4;
    END LOOP;
    RETURN jsonb_build_object('as_of', saleshub.utc(at), 'data', coalesce((
        SELECT jsonb_agg(saleshub.record_get(saleshub.lead_meta(), i.id::uuid)
                         || (saleshub.score_now(i.id::uuid, at) - 'reasons')
                         || jsonb_build_object('score_as_of', saleshub.utc(at)) ORDER BY i.n)
          FROM jsonb_array_elements_text(nullif(found -> 'ids', 'null')) WITH ORDINALITY AS i (id, n)), '[]'));
END
$$;
COMMENT ON FUNCTION crm.leads_hottest(integer) IS
    'The open leads with most engagement now, with their scores of now; served by an index, however long nothing was written';
