-- The queue of leads that nobody got. Who may have become able to take one is noticed by triggers
-- (saleshub.routing_wake) or known beforehand (next_at, next_try_at); saleshub.routing_run tries again.

CREATE FUNCTION saleshub.may_manage() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(saleshub.member_role(), 'admin') IN ('admin', 'manager');
COMMENT ON FUNCTION saleshub.may_manage() IS
    'Whether the member is an admin or manager; also true when a superuser has set the organisation only';

CREATE FUNCTION saleshub.member_pools() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT p.routing_pool_id FROM crm.routing_pool_member AS p
                  WHERE p.org_id = saleshub.org_id() AND p.member_id = saleshub.member_id() AND p.active);
END
$$;
COMMENT ON FUNCTION saleshub.member_pools() IS 'The pools that the member shares in';

CREATE FUNCTION saleshub.lead_route_again(lead uuid, others uuid[]) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_lead_route_again';
COMMENT ON FUNCTION saleshub.lead_route_again(uuid, uuid[]) IS
    'Gives a lead to the next member of its pool past the members named, and answers as crm.lead_route does; NULL when the lead is not there to be given';

-- What wakes the queue

CREATE FUNCTION saleshub.routing_wake_member() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO saleshub.routing_wake (org_id, member_id) VALUES (OLD.org_id, OLD.member_id);
    ELSE
        INSERT INTO saleshub.routing_wake (org_id, member_id) VALUES (NEW.org_id, NEW.member_id);
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.routing_wake_member() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.routing_wake_member() IS
    'Trigger: this member may be able to take leads now';

CREATE FUNCTION saleshub.routing_wake_all() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO saleshub.routing_wake (org_id) VALUES (OLD.org_id);
    ELSE
        INSERT INTO saleshub.routing_wake (org_id) VALUES (NEW.org_id);
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.routing_wake_all() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.routing_wake_all() IS
    'Trigger: leads may go to other pools or members now';

CREATE FUNCTION saleshub.lead_assigned() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    open_states CONSTANT text[] := '{new,working,nurturing,qualified}';
    was_open boolean := OLD.deleted_at IS NULL AND OLD.status = ANY (open_states);
    is_open boolean := NEW.deleted_at IS NULL AND NEW.status = ANY (open_states);
BEGIN
    IF NEW.owner_id IS DISTINCT FROM OLD.owner_id AND NEW.owner_id IS NOT NULL THEN
        PERFORM saleshub.assigned_by_hand(NEW.org_id, NEW.lead_id, NEW.owner_id, OLD.owner_id,
                                          NEW.created_at);
    END IF;
    IF is_open AND NEW.owner_id IS NULL THEN
        INSERT INTO crm.routing_queue AS q (org_id, lead_id, reason)
        VALUES (NEW.org_id, NEW.lead_id, 'not routed yet')
        ON CONFLICT (org_id, lead_id) DO UPDATE SET next_try_at = '-infinity'
         WHERE q.kind = 'waiting' AND q.next_try_at <> '-infinity';
    ELSE
        DELETE FROM crm.routing_queue AS q WHERE q.org_id = NEW.org_id AND q.lead_id = NEW.lead_id;
    END IF;
    IF was_open AND (NOT is_open OR NEW.owner_id IS DISTINCT FROM OLD.owner_id) AND EXISTS (
        SELECT FROM crm.routing_member AS r
         WHERE r.org_id = OLD.org_id AND r.member_id = OLD.owner_id AND r.capacity IS NOT NULL)
    THEN
        INSERT INTO saleshub.routing_wake (org_id, member_id) VALUES (OLD.org_id, OLD.owner_id);
    END IF;
    IF (OLD.owner_id, OLD.status, OLD.deleted_at) IS DISTINCT FROM (NEW.owner_id, NEW.status, NEW.deleted_at) THEN
        PERFORM saleshub.sla_follow(NEW.org_id, NEW.lead_id, OLD.owner_id, NEW.owner_id, is_open,
                                    NEW.status, NEW.grade, NEW.deleted_at IS NOT NULL);
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.lead_assigned() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.lead_assigned() IS
    'Trigger: leads without an owner wait in the queue, others do not; what was given by hand is logged; the queue is told of capacity that becomes free; the time to respond follows';

CREATE FUNCTION saleshub.assigned_by_hand(
    org uuid, lead uuid, member uuid, previous uuid, created_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    last record;
BEGIN
    SELECT g.member_id, g.at INTO last FROM crm.assignment_log AS g
     WHERE g.org_id = assigned_by_hand.org AND g.lead_id = lead
     ORDER BY g.assignment_id DESC LIMIT 1;
    -- Who came with the lead is in the log only when somebody else gets it.
    IF previous IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.assignment_log AS g
         WHERE g.org_id = assigned_by_hand.org AND g.lead_id = lead AND g.member_id = previous)
    THEN
        INSERT INTO crm.assignment_log (org_id, lead_id, member_id, reason, by_hand, at)
        VALUES (assigned_by_hand.org, lead, previous, 'came with the lead', true,
                assigned_by_hand.created_at);
    END IF;
    -- Routing writes the log before it sets the owner.
    IF last.member_id = member AND last.at = now() THEN
        RETURN;
    END IF;
    INSERT INTO crm.assignment_log (org_id, lead_id, member_id, reason, by_hand)
    VALUES (assigned_by_hand.org, lead, member, 'given by hand', true);
END
$$;
ALTER FUNCTION saleshub.assigned_by_hand(uuid, uuid, uuid, uuid, timestamptz) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.assigned_by_hand(uuid, uuid, uuid, uuid, timestamptz) IS
    'Logs that a lead got an owner, unless this transaction''s routing has, and the one that it came with';

-- Trying again

CREATE FUNCTION saleshub.routing_pool_outlook(
    org uuid, pool uuid, OUT is_open boolean, OUT next_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    later boolean := (SELECT p.outside_hours = 'next_open' FROM crm.routing_pool AS p
                       WHERE p.org_id = routing_pool_outlook.org AND p.routing_pool_id = pool AND p.active);
BEGIN
    IF later IS NULL THEN
        is_open := false;
        next_at := 'infinity';
        RETURN;
    END IF;
    SELECT coalesce(bool_or(NOT m.absent AND (m.capacity IS NULL OR m.load < m.capacity)
                            AND (m.quota IS NULL OR m.today < m.quota)
                            AND (later OR m.opens_at IS NULL)), false),
           coalesce(min(least(
               CASE WHEN m.absent THEN (SELECT min(a.ends_at) FROM crm.absence AS a
                                         WHERE a.org_id = routing_pool_outlook.org
                                           AND a.member_id = m.member_id
                                           AND a.starts_at <= now() AND a.ends_at > now()) END,
               m.opens_at,
               CASE WHEN m.today >= m.quota THEN (
                   SELECT (date_trunc('day', now() AT TIME ZONE w.timezone) + interval '1 day')
                          AT TIME ZONE w.timezone
                     FROM crm.member AS w WHERE w.org_id = routing_pool_outlook.org
                                            AND w.member_id = m.member_id) END)), 'infinity')
      INTO is_open, next_at
      FROM saleshub.routing_members(org, pool) AS m
     WHERE m.in_pool AND m.employed AND m.role <> 'readonly' AND m.weight > 0;
END
$$;
COMMENT ON FUNCTION saleshub.routing_pool_outlook(uuid, uuid) IS
    'Whether anybody of an active pool can take leads now, and when time alone may change that for somebody';

CREATE FUNCTION saleshub.routing_state_see(org uuid, pool uuid, changed boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    outlook record;
    turn bigint;
BEGIN
    SELECT * INTO outlook FROM saleshub.routing_pool_outlook(org, pool);
    INSERT INTO saleshub.routing_state AS s (org_id, pool_id, is_open, next_at)
    VALUES (routing_state_see.org, pool, outlook.is_open, outlook.next_at)
    ON CONFLICT (org_id, pool_id) DO UPDATE
       SET is_open = excluded.is_open, next_at = excluded.next_at,
           changes = s.changes + (changed AND excluded.is_open)::integer,
           pending = s.pending OR changed
    RETURNING s.changes INTO turn;
    RETURN turn;
END
$$;
COMMENT ON FUNCTION saleshub.routing_state_see(uuid, uuid, boolean) IS
    'Notes how a pool stands; with changed, that leads which found nobody there are to be tried again. Returns the turn of its changes';

CREATE FUNCTION saleshub.routing_woken(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    members uuid[];
    everything boolean;
    pool uuid;
BEGIN
    WITH gone AS (
        DELETE FROM saleshub.routing_wake AS w WHERE w.org_id = routing_woken.org RETURNING w.member_id)
    SELECT array_agg(g.member_id), bool_or(g.member_id IS NULL) INTO members, everything FROM gone AS g;
    IF everything THEN
        UPDATE crm.routing_queue AS q SET next_try_at = '-infinity'
         WHERE q.org_id = routing_woken.org AND q.kind = 'waiting' AND q.next_try_at <> '-infinity';
    END IF;
    FOR pool IN
        SELECT s.pool_id FROM saleshub.routing_state AS s
         WHERE s.org_id = routing_woken.org AND s.pool_id <> nobody
           AND (s.next_at <= now() OR everything OR EXISTS (
                    SELECT FROM crm.routing_pool_member AS p
                     WHERE p.org_id = s.org_id AND p.routing_pool_id = s.pool_id
                       AND p.member_id = ANY (members)))
    LOOP
        PERFORM saleshub.routing_state_see(org, pool, true);
    END LOOP;
END
$$;
COMMENT ON FUNCTION saleshub.routing_woken(uuid) IS
    'Notes which pools of the queue have changed since, by what was done and by time';

CREATE FUNCTION saleshub.routing_try(org uuid, lead uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    answer jsonb;
    pool uuid;
BEGIN
    BEGIN
        answer := saleshub.lead_route_again(lead, '{}');
    EXCEPTION WHEN OTHERS THEN
        UPDATE crm.routing_queue AS q
           SET reason = 'could not be routed: ' || SQLERRM, tried_at = now(),
               next_try_at = now() + interval '1 minute'
         WHERE q.org_id = routing_try.org AND q.lead_id = lead;
        RETURN false;
    END;
    IF answer IS NULL OR answer ->> 'owner_id' IS NOT NULL THEN
        DELETE FROM crm.routing_queue AS q WHERE q.org_id = routing_try.org AND q.lead_id = lead;
        RETURN answer IS NOT NULL;
    END IF;
    pool := (answer ->> 'pool_id')::uuid;
    IF NOT EXISTS (SELECT FROM saleshub.routing_state AS s
                    WHERE s.org_id = routing_try.org AND s.pool_id = coalesce(pool, nobody)) THEN
        PERFORM saleshub.routing_state_see(org, coalesce(pool, nobody), false);
    END IF;
    -- Within the hour also for what nothing tells of, like a new owner at the lead's company.
    UPDATE crm.routing_queue AS q
       SET reason = answer ->> 'reason', candidates = answer -> 'candidates', pool_id = pool,
           tried = s.changes, tried_at = now(),
           next_try_at = least(s.next_at, now() + interval '1 hour')
      FROM saleshub.routing_state AS s
     WHERE q.org_id = routing_try.org AND q.lead_id = lead
       AND s.org_id = q.org_id AND s.pool_id = coalesce(pool, nobody);
    RETURN false;
END
$$;
COMMENT ON FUNCTION saleshub.routing_try(uuid, uuid) IS
    'Routes a waiting lead, whose row and pools are locked; or notes why nobody gets it now, and when to try again';

CREATE FUNCTION saleshub.routing_lock(org uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(*) FROM crm.routing_pool AS p WHERE p.org_id = routing_lock.org)
         = (SELECT count(*) FROM (
                SELECT FROM crm.routing_pool AS p WHERE p.org_id = routing_lock.org
                 ORDER BY p.routing_pool_id FOR NO KEY UPDATE SKIP LOCKED) AS held);
END
$$;
COMMENT ON FUNCTION saleshub.routing_lock(uuid) IS
    'Locks the pools of an organisation as inserts of leads do, before any lead; false when somebody routes just now: who waited would keep the worker from all else';

CREATE FUNCTION saleshub.routing_queue_run(org uuid, batch integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    by_score boolean := (SELECT s.queue_order = 'score' FROM crm.routing_setting AS s
                          WHERE s.org_id = routing_queue_run.org);
    leads uuid[];
    given bigint := 0;
    lead uuid;
BEGIN
    PERFORM saleshub.routing_woken(org);
    PERFORM saleshub.score_keep_rules();
    IF NOT saleshub.routing_lock(org) THEN
        RETURN 0;
    END IF;
    leads := ARRAY(
        SELECT q.lead_id
          FROM crm.routing_queue AS q
          JOIN crm.lead AS l ON l.org_id = q.org_id AND l.lead_id = q.lead_id
          LEFT JOIN saleshub.routing_state AS s ON s.org_id = q.org_id AND s.pool_id = q.pool_id
         WHERE q.org_id = routing_queue_run.org AND q.kind = 'waiting'
           -- Looked at in the row, not for it: it is found by its key.
           AND (l.owner_id IS NULL) IS TRUE AND (l.deleted_at IS NULL) IS TRUE
           AND (q.next_try_at <= now() OR s.is_open AND q.tried < s.changes)
         ORDER BY CASE WHEN by_score THEN -l.score END, q.since, q.lead_id
         LIMIT batch
           FOR UPDATE OF l SKIP LOCKED);
    FOREACH lead IN ARRAY leads LOOP
        given := given + saleshub.routing_try(org, lead)::integer;
    END LOOP;
    UPDATE saleshub.routing_state AS s
       SET is_open = o.is_open,
           pending = o.is_open AND EXISTS (
               SELECT FROM crm.routing_queue AS q
                WHERE q.org_id = s.org_id AND q.kind = 'waiting' AND q.pool_id = s.pool_id
                  AND q.tried < s.changes)
      FROM saleshub.routing_state AS t, saleshub.routing_pool_outlook(t.org_id, t.pool_id) AS o
     WHERE t.org_id = routing_queue_run.org AND (t.pending OR cardinality(leads) > 0)
       AND s.org_id = t.org_id AND s.pool_id = t.pool_id;
    RETURN given;
END
$$;
COMMENT ON FUNCTION saleshub.routing_queue_run(uuid, integer) IS
    'Tries waiting leads of the organisation whose context is set, up to so many, in the order that its settings say; returns how many found an owner';

CREATE FUNCTION saleshub.routing_orgs() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT o.org_id
      FROM crm.org AS o
     WHERE EXISTS (SELECT FROM saleshub.routing_wake AS w WHERE w.org_id = o.org_id)
        OR EXISTS (SELECT FROM crm.routing_queue AS q
                    WHERE q.org_id = o.org_id AND q.kind = 'waiting' AND q.next_try_at <= now())
        OR EXISTS (SELECT FROM saleshub.routing_state AS s
                    WHERE s.org_id = o.org_id AND (s.pending AND s.is_open OR s.next_at <= now()));
END
$$;
COMMENT ON FUNCTION saleshub.routing_orgs() IS 'The organisations in whose queue something is to be done';

CREATE FUNCTION saleshub.routing_run(batch integer DEFAULT 100, only_org uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    before text := current_setting('saleshub.org_id', true);
    org uuid;
    done bigint := 0;
BEGIN
    FOR org IN SELECT o FROM saleshub.routing_orgs() AS o WHERE only_org IS NULL OR o = only_org
                ORDER BY random()
    LOOP
        -- Locks are held to the end, so that comes soon; the others have their turn.
        EXIT WHEN clock_timestamp() > now() + interval '1 second';
        -- Whoever is at it does the work.
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended('saleshub.routing ' || org, 0));
        BEGIN
            PERFORM set_config('saleshub.org_id', org::text, true);
            done := done + saleshub.routing_queue_run(org, batch);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'routing in organisation %: %', org, SQLERRM;
        END;
    END LOOP;
    PERFORM set_config('saleshub.org_id', coalesce(before, ''), true);
    RETURN done;
END
$$;
COMMENT ON FUNCTION saleshub.routing_run(integer, uuid) IS
    'Tries leads in the queue anew where something has changed, up to so many of each organisation, or of one; returns how many found an owner. Done by the worker';
