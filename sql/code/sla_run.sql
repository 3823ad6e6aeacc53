-- What is due: told, given to somebody else, or left to admins and managers.

CREATE FUNCTION saleshub.sla_tell(org uuid, timer uuid, type text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO saleshub.outbox (org_id, type, entity, entity_id, version, actor_id, request_id, data)
    SELECT t.org_id, sla_tell.type, 'lead', t.lead_id, l.version, saleshub.member_id(),
           saleshub.request_id(), jsonb_build_object(
               'sla_timer_id', t.sla_timer_id, 'member_id', t.member_id, 'policy', t.policy,
               'due_at', saleshub.utc(t.due_at), 'hop', t.hop)
      FROM crm.sla_timer AS t
      JOIN crm.lead AS l ON l.org_id = t.org_id AND l.lead_id = t.lead_id
     WHERE t.org_id = sla_tell.org AND t.sla_timer_id = timer;
END
$$;
ALTER FUNCTION saleshub.sla_tell(uuid, uuid, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_tell(uuid, uuid, text) IS
    'An event about a timer, under its lead: lead.sla_due_soon or lead.sla_breached';

CREATE FUNCTION saleshub.sla_owners(org uuid, lead uuid) RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT g.member_id FROM crm.assignment_log AS g
         WHERE g.org_id = sla_owners.org AND g.lead_id = lead AND g.member_id IS NOT NULL
         UNION
        SELECT t.member_id FROM crm.sla_timer AS t WHERE t.org_id = sla_owners.org AND t.lead_id = lead
         UNION
        SELECT l.owner_id FROM crm.lead AS l
         WHERE l.org_id = sla_owners.org AND l.lead_id = lead AND l.owner_id IS NOT NULL);
END
$$;
COMMENT ON FUNCTION saleshub.sla_owners(uuid, uuid) IS 'Everybody who has had a lead';

CREATE FUNCTION saleshub.sla_to_managers(org uuid, lead uuid, reason text, candidates jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.routing_queue (org_id, lead_id, kind, reason, candidates)
    VALUES (sla_to_managers.org, lead, 'manager', reason, coalesce(candidates, '[]'))
    ON CONFLICT (org_id, lead_id) DO UPDATE
       SET kind = 'manager', reason = excluded.reason, candidates = excluded.candidates;
    UPDATE crm.lead AS l SET owner_id = NULL WHERE l.org_id = sla_to_managers.org AND l.lead_id = lead;
END
$$;
COMMENT ON FUNCTION saleshub.sla_to_managers(uuid, uuid, text, jsonb) IS
    'Takes a lead from its owner and leaves it to admins and managers';

CREATE FUNCTION saleshub.sla_breach(org uuid, timer uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    t record;
    answer jsonb;
BEGIN
    UPDATE crm.sla_timer AS s
       SET used_seconds = saleshub.sla_used(s.org_id, s.sla_timer_id, now()), counted_from = now(),
           state = 'breached', breached_at = now(), ended_at = now(), end_reason = 'due'
     WHERE s.org_id = sla_breach.org AND s.sla_timer_id = timer AND s.state = 'running'
    RETURNING s.* INTO t;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM saleshub.sla_tell(org, timer, 'lead.sla_breached');
    IF t.max_hops IS NULL THEN
        RETURN;
    ELSIF t.hop >= t.max_hops THEN
        PERFORM saleshub.sla_to_managers(org, t.lead_id, format('not answered by %s members in time', t.hop + 1), NULL);
        RETURN;
    END IF;
    answer := saleshub.lead_route_again(t.lead_id, saleshub.sla_owners(org, t.lead_id));
    UPDATE crm.sla_timer AS s SET hop = t.hop + 1
     WHERE s.org_id = sla_breach.org AND s.lead_id = t.lead_id AND s.state IN ('running', 'paused');
    IF answer ->> 'owner_id' IS NULL THEN
        PERFORM saleshub.sla_to_managers(org, t.lead_id, 'not answered in time, and nobody else can take it',
                                         answer -> 'candidates');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.sla_breach(uuid, uuid) IS
    'What happens when a response is due, once: an event; then somebody who has not had the lead gets it, or after so many of them admins and managers';

CREATE FUNCTION saleshub.sla_org_run(org uuid, batch integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    timer uuid;
    done bigint := 0;
BEGIN
    FOR timer IN
        UPDATE crm.sla_timer AS t SET notified_at = now()
         WHERE t.org_id = sla_org_run.org AND t.sla_timer_id = ANY (ARRAY(
                   SELECT s.sla_timer_id FROM crm.sla_timer AS s
                    WHERE s.org_id = sla_org_run.org AND s.state = 'running'
                      AND s.notified_at IS NULL AND s.notify_at <= now() AND s.due_at > now()
                    ORDER BY s.notify_at LIMIT batch FOR UPDATE SKIP LOCKED))
        RETURNING t.sla_timer_id
    LOOP
        PERFORM saleshub.sla_tell(org, timer, 'lead.sla_due_soon');
    END LOOP;
    PERFORM saleshub.score_keep_rules();
    IF NOT saleshub.routing_lock(org) THEN
        RETURN 0;
    END IF;
    FOREACH timer IN ARRAY ARRAY(
        SELECT t.sla_timer_id
          FROM crm.sla_timer AS t
          JOIN crm.lead AS l ON l.org_id = t.org_id AND l.lead_id = t.lead_id
         WHERE t.org_id = sla_org_run.org AND t.state = 'running' AND t.due_at <= now()
           AND (l.deleted_at IS NULL AND l.owner_id = t.member_id) IS TRUE
         ORDER BY t.due_at, t.sla_timer_id LIMIT batch FOR UPDATE SKIP LOCKED)
    LOOP
        PERFORM saleshub.sla_breach(org, timer);
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION saleshub.sla_org_run(uuid, integer) IS
    'Does what is due in the organisation whose context is set, up to so many timers; returns how many were due';

CREATE FUNCTION saleshub.sla_run(batch integer DEFAULT 100, only_org uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    before text := current_setting('saleshub.org_id', true);
    org uuid;
    done bigint := 0;
BEGIN
    FOR org IN
        SELECT o.org_id FROM crm.org AS o
         WHERE (only_org IS NULL OR o.org_id = only_org)
           AND (EXISTS (SELECT FROM crm.sla_timer AS t
                         WHERE t.org_id = o.org_id AND t.state = 'running' AND t.due_at <= now())
             OR EXISTS (SELECT FROM crm.sla_timer AS t
                         WHERE t.org_id = o.org_id AND t.state = 'running' AND t.notified_at IS NULL
                           AND t.notify_at <= now()))
         ORDER BY random()
    LOOP
        EXIT WHEN clock_timestamp() > now() + interval '1 second';
        BEGIN
            PERFORM set_config('saleshub.org_id', org::text, true);
            done := done + saleshub.sla_org_run(org, batch);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'response times in organisation %: %', org, SQLERRM;
        END;
    END LOOP;
    PERFORM set_config('saleshub.org_id', coalesce(before, ''), true);
    RETURN done;
END
$$;
COMMENT ON FUNCTION saleshub.sla_run(integer, uuid) IS
    'Does what is due about responses to leads, up to so many timers of each organisation, or of one; several may run at once. Returns how many were due. Done by the worker';
