-- Response times: a timer for each assignment, in working time. It ends with the first call, e-mail
-- or meeting of the owner; when it is due the lead goes on.

CREATE FUNCTION crm.business_seconds(
    start timestamptz, stop timestamptz, hours jsonb, holidays date[] DEFAULT '{}',
    zone text DEFAULT 'UTC') RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF stop <= start THEN
        RETURN 0;
    ELSIF hours IS NULL THEN
        RETURN extract(epoch FROM stop - start);
    END IF;
    RETURN (
        SELECT coalesce(sum(extract(epoch FROM least(s.closes, stop) - greatest(s.opens, start))), 0)
          FROM generate_series((start AT TIME ZONE zone)::date - 1,
                               least((stop AT TIME ZONE zone)::date + 1,
                                     (start AT TIME ZONE zone)::date + 3660), interval '1 day') AS d,
               saleshub.business_spans(d::date, hours, holidays, zone) AS s
         WHERE least(s.closes, stop) > greatest(s.opens, start));
END
$$;
COMMENT ON FUNCTION crm.business_seconds(timestamptz, timestamptz, jsonb, date[], text) IS
    'The working time between two instants: what crm.business_add adds, without hours all of it; within ten years';

CREATE FUNCTION saleshub.sla_hours(
    org uuid, member uuid, pool uuid, calendar text,
    OUT hours jsonb, OUT holidays date[], OUT zone text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    SELECT c.hours, c.holidays,
           coalesce(c.timezone, CASE calendar WHEN 'member' THEN m.timezone ELSE o.timezone END)
      INTO hours, holidays, zone
      FROM crm.member AS m
      JOIN crm.org AS o ON o.org_id = m.org_id
      LEFT JOIN crm.routing_member AS r ON r.org_id = m.org_id AND r.member_id = m.member_id
      LEFT JOIN crm.routing_pool AS p ON p.org_id = m.org_id AND p.routing_pool_id = pool
      LEFT JOIN crm.routing_calendar AS c ON c.org_id = m.org_id
       AND c.routing_calendar_id = CASE calendar
               WHEN 'member' THEN coalesce(r.routing_calendar_id, p.routing_calendar_id)
               WHEN 'pool' THEN p.routing_calendar_id END
     WHERE m.org_id = sla_hours.org AND m.member_id = member;
END
$$;
COMMENT ON FUNCTION saleshub.sla_hours(uuid, uuid, uuid, text) IS
    'The working hours that count for a member''s response; without hours time always counts';

CREATE FUNCTION saleshub.sla_used(org uuid, timer uuid, until timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT t.used_seconds + CASE t.state WHEN 'paused' THEN 0 ELSE
                   crm.business_seconds(t.counted_from, until, h.hours, h.holidays, h.zone) END
          FROM crm.sla_timer AS t, saleshub.sla_hours(t.org_id, t.member_id, t.pool_id, t.calendar) AS h
         WHERE t.org_id = sla_used.org AND t.sla_timer_id = timer);
END
$$;
COMMENT ON FUNCTION saleshub.sla_used(uuid, uuid, timestamptz) IS
    'The working time that a timer has counted until an instant';

CREATE FUNCTION saleshub.sla_count_on(org uuid, timer uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE crm.sla_timer AS t
       SET state = 'running', counted_from = now(), ended_at = NULL, end_reason = NULL,
           due_at = crm.business_add(now(), make_interval(secs => greatest(
               t.target_seconds - t.used_seconds, 0)::double precision), h.hours, h.holidays, h.zone),
           notify_at = CASE WHEN t.notify_seconds IS NOT NULL THEN
               crm.business_add(now(), make_interval(secs => greatest(
                   t.target_seconds - t.notify_seconds - t.used_seconds, 0)::double precision),
                   h.hours, h.holidays, h.zone) END
      FROM crm.sla_timer AS s, saleshub.sla_hours(s.org_id, s.member_id, s.pool_id, s.calendar) AS h
     WHERE s.org_id = sla_count_on.org AND s.sla_timer_id = timer
       AND t.org_id = s.org_id AND t.sla_timer_id = s.sla_timer_id;
END
$$;
COMMENT ON FUNCTION saleshub.sla_count_on(uuid, uuid) IS
    'Lets a timer run from now on; it is due when the rest of its target has passed';

CREATE FUNCTION saleshub.sla_fit(org uuid, pool uuid, rule uuid, grade text) RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT p.sla_policy_id FROM crm.sla_policy AS p
         WHERE p.org_id = sla_fit.org AND p.active
           AND (p.routing_pool_id IS NULL OR p.routing_pool_id = pool)
           AND (p.routing_rule_id IS NULL OR p.routing_rule_id = rule)
           AND (p.grades = '{}' OR sla_fit.grade = ANY (p.grades))
         ORDER BY p.position, p.sla_policy_id LIMIT 1);
END
$$;
COMMENT ON FUNCTION saleshub.sla_fit(uuid, uuid, uuid, text) IS
    'The policy that covers an assignment by this pool and rule of a lead of this grade; NULL: none';

CREATE FUNCTION saleshub.sla_preview(lead uuid, member uuid, pool uuid, rule uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
                   'policy_id', p.sla_policy_id, 'policy', p.name, 'max_hops', p.max_hops,
                   'due_at', CASE WHEN NOT l.status = ANY (p.pause_statuses) THEN saleshub.utc(
                       crm.business_add(now(), make_interval(mins => p.target_minutes), h.hours,
                                        h.holidays, h.zone)) END)
          FROM crm.lead AS l
          JOIN crm.sla_policy AS p ON p.org_id = l.org_id
           AND p.sla_policy_id = saleshub.sla_fit(l.org_id, pool, rule, l.grade),
               saleshub.sla_hours(l.org_id, member, pool, p.calendar) AS h
         WHERE l.org_id = saleshub.org_id() AND l.lead_id = lead AND member IS NOT NULL);
END
$$;
COMMENT ON FUNCTION saleshub.sla_preview(uuid, uuid, uuid, uuid) IS
    'Under which policy, and until when, a member would have to answer a lead that came by this pool and rule now';

CREATE FUNCTION saleshub.sla_start(
    org uuid, lead uuid, member uuid, status text, grade text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    came record;
    fit record;
    timer uuid := crm.uuid_v7();
BEGIN
    SELECT g.pool_id, g.rule_id INTO came FROM crm.assignment_log AS g
     WHERE g.org_id = sla_start.org AND g.lead_id = lead AND g.pool_id IS NOT NULL
     ORDER BY g.assignment_id DESC LIMIT 1;
    SELECT p.* INTO fit FROM crm.sla_policy AS p
     WHERE p.org_id = sla_start.org
       AND p.sla_policy_id = saleshub.sla_fit(org, came.pool_id, came.rule_id, grade);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO crm.sla_timer (org_id, sla_timer_id, lead_id, member_id, sla_policy_id, policy, pool_id,
                               calendar, pause_statuses, max_hops, target_seconds, notify_seconds,
                               state)
    VALUES (sla_start.org, timer, lead, member, fit.sla_policy_id, fit.name, came.pool_id,
            fit.calendar, fit.pause_statuses, fit.max_hops, fit.target_minutes * 60,
            fit.notify_minutes * 60, 'paused');
    IF NOT sla_start.status = ANY (fit.pause_statuses) THEN
        PERFORM saleshub.sla_count_on(org, timer);
    END IF;
END
$$;
ALTER FUNCTION saleshub.sla_start(uuid, uuid, uuid, text, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_start(uuid, uuid, uuid, text, text) IS
    'Starts the timer of an assignment, if a policy covers it';

CREATE FUNCTION saleshub.sla_stop(org uuid, timer uuid, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE crm.sla_timer AS t
       SET used_seconds = saleshub.sla_used(t.org_id, t.sla_timer_id, now()), counted_from = now(),
           state = 'stopped', ended_at = now(), end_reason = reason
     WHERE t.org_id = sla_stop.org AND t.sla_timer_id = timer;
END
$$;
COMMENT ON FUNCTION saleshub.sla_stop(uuid, uuid, text) IS 'Ends a timer before it is due';

CREATE FUNCTION saleshub.sla_follow(
    org uuid, lead uuid, old_owner uuid, new_owner uuid, is_open boolean, status text, grade text,
    deleted boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    moved boolean := old_owner IS DISTINCT FROM new_owner;
    pauses boolean;
    t record;
BEGIN
    SELECT s.* INTO t FROM crm.sla_timer AS s
     WHERE s.org_id = sla_follow.org AND s.lead_id = lead AND s.state IN ('running', 'paused')
       FOR UPDATE;
    pauses := sla_follow.status = ANY (t.pause_statuses);
    IF t.sla_timer_id IS NOT NULL AND (moved OR NOT is_open) THEN
        PERFORM saleshub.sla_stop(org, t.sla_timer_id, CASE WHEN moved THEN 'reassigned'
                                  WHEN deleted THEN 'deleted' ELSE status END);
    ELSIF pauses AND t.state = 'running' THEN
        UPDATE crm.sla_timer AS s
           SET used_seconds = saleshub.sla_used(s.org_id, s.sla_timer_id, now()), counted_from = now(),
               state = 'paused', due_at = NULL, notify_at = NULL
         WHERE s.org_id = sla_follow.org AND s.sla_timer_id = t.sla_timer_id;
    ELSIF NOT pauses AND t.state = 'paused' THEN
        PERFORM saleshub.sla_count_on(org, t.sla_timer_id);
    END IF;
    IF moved AND is_open AND new_owner IS NOT NULL THEN
        PERFORM saleshub.sla_start(org, lead, new_owner, status, grade);
    ELSIF is_open AND t.sla_timer_id IS NULL THEN
        -- Open again: the time that was left when it ended is left now.
        SELECT s.* INTO t FROM crm.sla_timer AS s
         WHERE s.org_id = sla_follow.org AND s.lead_id = lead
         ORDER BY s.sla_timer_id DESC LIMIT 1 FOR UPDATE;
        IF t.state = 'stopped' AND t.end_reason <> 'reassigned' AND t.member_id = new_owner THEN
            UPDATE crm.sla_timer AS s SET state = 'paused', due_at = NULL, ended_at = NULL, end_reason = NULL
             WHERE s.org_id = sla_follow.org AND s.sla_timer_id = t.sla_timer_id;
            IF NOT sla_follow.status = ANY (t.pause_statuses) THEN
                PERFORM saleshub.sla_count_on(org, t.sla_timer_id);
            END IF;
        END IF;
    END IF;
END
$$;
ALTER FUNCTION saleshub.sla_follow(uuid, uuid, uuid, uuid, boolean, text, text, boolean)
    OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_follow(uuid, uuid, uuid, uuid, boolean, text, text, boolean) IS
    'After a change of owner, status or deletion of a lead: its timer stops, pauses, runs on or starts anew';

CREATE FUNCTION saleshub.sla_leads_came() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh record;
BEGIN
    IF EXISTS (SELECT FROM crm.sla_policy AS p WHERE p.org_id = saleshub.org_id() AND p.active) THEN
        FOR fresh IN
            SELECT n.org_id, n.lead_id, n.owner_id, n.status, n.grade FROM newrows AS n
             WHERE n.owner_id IS NOT NULL AND n.deleted_at IS NULL AND n.org_id = saleshub.org_id()
               AND n.status IN ('new', 'working', 'nurturing', 'qualified')
        LOOP
            PERFORM saleshub.sla_start(fresh.org_id, fresh.lead_id, fresh.owner_id, fresh.status, fresh.grade);
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.sla_leads_came() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_leads_came() IS
    'Trigger: new leads with an owner are to be answered, where the organisation has policies';

-- The first response

CREATE FUNCTION saleshub.sla_respond(
    org uuid, lead uuid, member uuid, done timestamptz, activity uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    t record;
    late boolean;
BEGIN
    SELECT s.* INTO t FROM crm.sla_timer AS s
     WHERE s.org_id = sla_respond.org AND s.lead_id = lead AND s.member_id = member
       AND s.state IN ('running', 'paused', 'breached') AND s.responded_at IS NULL
       AND s.assigned_at <= done
     ORDER BY s.sla_timer_id DESC LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    late := t.state = 'running' AND done > t.due_at;
    UPDATE crm.sla_timer AS s
       SET responded_at = done, activity_id = activity,
           response_seconds = saleshub.sla_used(s.org_id, s.sla_timer_id, done),
           state = CASE WHEN late OR s.state = 'breached' THEN 'breached' ELSE 'met' END,
           breached_at = CASE WHEN late THEN now() ELSE s.breached_at END,
           ended_at = coalesce(s.ended_at, now()), end_reason = coalesce(s.end_reason, 'responded')
     WHERE s.org_id = sla_respond.org AND s.sla_timer_id = t.sla_timer_id;
    IF late THEN
        PERFORM saleshub.sla_tell(org, t.sla_timer_id, 'lead.sla_breached');
    END IF;
END
$$;
ALTER FUNCTION saleshub.sla_respond(uuid, uuid, uuid, timestamptz, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_respond(uuid, uuid, uuid, timestamptz, uuid) IS
    'Ends the timer of a lead by an activity of its owner';

CREATE FUNCTION saleshub.sla_linked() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    response record;
BEGIN
    FOR response IN
        SELECT n.org_id, n.entity_id, a.owner_id, a.done_at, a.activity_id
          FROM newrows AS n
          JOIN crm.activity AS a ON a.org_id = n.org_id AND a.activity_id = n.activity_id
         WHERE n.entity = 'lead' AND a.done_at IS NOT NULL AND a.type IN ('call', 'email', 'meeting')
           AND a.direction IS DISTINCT FROM 'inbound' AND a.deleted_at IS NULL
           AND EXISTS (SELECT FROM crm.sla_timer AS t
                        WHERE t.org_id = n.org_id AND t.lead_id = n.entity_id AND t.responded_at IS NULL)
         ORDER BY a.done_at
    LOOP
        PERFORM saleshub.sla_respond(response.org_id, response.entity_id, response.owner_id,
                                     response.done_at, response.activity_id);
    END LOOP;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.sla_linked() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_linked() IS
    'Trigger: what is done about a lead by its owner answers it';

CREATE FUNCTION saleshub.sla_activity_done() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    response record;
BEGIN
    FOR response IN
        SELECT n.org_id, k.entity_id, n.owner_id, n.done_at, n.activity_id
          FROM newrows AS n
          JOIN oldrows AS o ON o.org_id = n.org_id AND o.activity_id = n.activity_id
          JOIN crm.activity_link AS k
            ON k.org_id = n.org_id AND k.activity_id = n.activity_id AND k.entity = 'lead'
         WHERE n.done_at IS NOT NULL AND n.deleted_at IS NULL AND n.type IN ('call', 'email', 'meeting')
           AND n.direction IS DISTINCT FROM 'inbound'
           AND (o.done_at, o.type, o.owner_id, o.direction)
               IS DISTINCT FROM (n.done_at, n.type, n.owner_id, n.direction)
         ORDER BY n.done_at, n.activity_id, k.entity_id
    LOOP
        PERFORM saleshub.sla_respond(response.org_id, response.entity_id, response.owner_id,
                                     response.done_at, response.activity_id);
    END LOOP;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.sla_activity_done() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sla_activity_done() IS
    'Trigger: a call, e-mail or meeting that becomes done answers the leads it is about';
