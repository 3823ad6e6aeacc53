-- Reminders. An activity says when to remind whom; from that its trigger makes rows of crm.reminder,
-- which saleshub.remind() fires: once each, the longest due first.

CREATE FUNCTION saleshub.wake_at(at timestamptz) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_wake_at';
COMMENT ON FUNCTION saleshub.wake_at(timestamptz) IS
    'When this transaction has committed, the worker looks for what is due at that instant';

CREATE FUNCTION saleshub.reminders_normal(org uuid, given jsonb,
                                          OUT reminders jsonb, OUT faults jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    item jsonb;
    place bigint;
    pointer text;
BEGIN
    reminders := '[]';
    faults := '[]';
    IF jsonb_typeof(given) <> 'array' OR jsonb_array_length(given) > 20 THEN
        faults := saleshub.fault('/reminders', 'invalid', 'must be a list of at most 20');
        RETURN;
    END IF;
    FOR item, place IN SELECT i.value, i.n - 1
                       FROM jsonb_array_elements(given) WITH ORDINALITY i (value, n)
    LOOP
        pointer := '/reminders/' || place;
        item := CASE jsonb_typeof(item) WHEN 'object' THEN jsonb_strip_nulls(item) ELSE '{}' END;
        IF (item ? 'minutes_before') = (item ? 'at')
           OR item - '{minutes_before,at,member_id}'::text[] <> '{}'
        THEN
            faults := faults || saleshub.fault(pointer, 'invalid',
                'must have either minutes_before or at, and may have member_id');
        ELSIF item ? 'minutes_before' AND (
            coalesce(item ->> 'minutes_before' !~ '^\d{1,6}$', true)
            OR (item ->> 'minutes_before')::integer > 527040)
        THEN
            faults := faults || saleshub.fault(pointer || '/minutes_before', 'range',
                                               'must be from 0 to 527040');
        ELSIF item ? 'at' AND NOT saleshub.format_ok('date-time', item ->> 'at') THEN
            faults := faults || saleshub.fault(pointer || '/at', 'invalid_format',
                                               'must be a valid date-time');
        ELSIF item ? 'member_id' AND NOT saleshub.format_ok('uuid', item ->> 'member_id') THEN
            faults := faults || saleshub.fault(pointer || '/member_id', 'invalid_format',
                                               'must be a valid uuid');
        ELSE
            faults := faults || saleshub.reference_faults(
                org, pointer || '/member_id', 'member', (item ->> 'member_id')::uuid);
            reminders := reminders || jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
                'minutes_before', (item ->> 'minutes_before')::integer,
                'at', saleshub.utc((item ->> 'at')::timestamptz),
                'member_id', (item ->> 'member_id')::uuid)));
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.reminders_normal(uuid, jsonb) IS
    'Reminders of an activity in their normal form, and what is wrong with them.';

CREATE FUNCTION saleshub.activity_reminders() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    normal record;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.reminders = OLD.reminders THEN
        RETURN NEW;
    END IF;
    SELECT * INTO normal FROM saleshub.reminders_normal(NEW.org_id, NEW.reminders);
    IF normal.faults <> '[]' THEN
        PERFORM saleshub.refuse_row('activity', normal.faults);
    END IF;
    NEW.reminders := normal.reminders;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_reminders() IS
    'Trigger: the reminders that an activity asks for, in their normal form.';

CREATE FUNCTION saleshub.reminder_sync() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    open boolean := NEW.done_at IS NULL AND NEW.deleted_at IS NULL;
    first_at timestamptz;
BEGIN
    -- What is asked for no more and was not told yet is as if it had never been.
    DELETE FROM crm.reminder r
    WHERE r.org_id = NEW.org_id AND r.activity_id = NEW.activity_id AND r.fired_at IS NULL
        AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(NEW.reminders) w
            WHERE coalesce((w ->> 'member_id')::uuid, NEW.owner_id, NEW.created_by) = r.member_id
                AND (w ->> 'minutes_before')::integer IS NOT DISTINCT FROM r.minutes_before
                AND (w ->> 'at')::timestamptz IS NOT DISTINCT FROM r.at);
    INSERT INTO crm.reminder AS r
           (org_id, activity_id, member_id, minutes_before, at, base_at, remind_at, state)
    SELECT NEW.org_id, NEW.activity_id, w.member_id, w.minutes_before, w.at, w.base_at, w.base_at,
           -- what was already too late when it was asked for is told at once, or never after due
           CASE WHEN open AND (w.base_at > now() OR w.base_at <= now() AND NEW.due_at > now())
                THEN 'scheduled' ELSE 'cancelled' END
    FROM (
        SELECT DISTINCT coalesce((d ->> 'member_id')::uuid, NEW.owner_id, NEW.created_by) AS member_id,
               (d ->> 'minutes_before')::integer AS minutes_before, (d ->> 'at')::timestamptz AS at,
               coalesce((d ->> 'at')::timestamptz, NEW.due_at - make_interval(
                   mins => (d ->> 'minutes_before')::integer)) AS base_at
        FROM jsonb_array_elements(NEW.reminders) d
    ) w
    WHERE w.member_id IS NOT NULL
    ON CONFLICT (org_id, activity_id, member_id, coalesce(minutes_before, -1),
                 coalesce(at, '-infinity'))
    DO UPDATE SET
        base_at = excluded.base_at,
        snoozed = r.snoozed AND r.base_at IS NOT DISTINCT FROM excluded.base_at,
        remind_at = CASE WHEN r.base_at IS NOT DISTINCT FROM excluded.base_at
                         THEN r.remind_at ELSE excluded.base_at END,
        state = CASE
            WHEN NOT open OR excluded.base_at IS NULL THEN
                CASE r.state WHEN 'dismissed' THEN r.state ELSE 'cancelled' END
            WHEN r.base_at IS DISTINCT FROM excluded.base_at THEN excluded.state
            WHEN r.state = 'cancelled' AND r.remind_at > now() THEN 'scheduled'
            ELSE r.state END;
    SELECT min(r.remind_at) INTO first_at FROM crm.reminder r
    WHERE r.org_id = NEW.org_id AND r.activity_id = NEW.activity_id AND r.state = 'scheduled';
    PERFORM saleshub.wake_at(first_at);
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.reminder_sync() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.reminder_sync() IS
    'Trigger: the reminders of an activity follow what it says, when it is due, whose it is, and whether it is still to be done.';

CREATE FUNCTION saleshub.remind(batch integer DEFAULT 500, OUT fired bigint, OUT next_at timestamptz)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    fired := 0;
    -- One at a time, so that they come in order; rows that somebody changes just now come next time.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('saleshub.remind', 0)) THEN
        next_at := now() + interval '1 second';
        RETURN;
    END IF;
    WITH due AS MATERIALIZED (
        SELECT d.org_id, d.reminder_id
        FROM crm.org o
        CROSS JOIN LATERAL (
            SELECT r.org_id, r.reminder_id
            FROM crm.reminder r
            WHERE r.org_id = o.org_id AND r.state = 'scheduled' AND r.remind_at <= now()
            ORDER BY r.remind_at, r.reminder_id
            LIMIT batch
            FOR UPDATE SKIP LOCKED
        ) d
    ), told AS (
        UPDATE crm.reminder r
        SET state = 'fired', fired_at = now()
        FROM due d
        WHERE r.org_id = d.org_id AND r.reminder_id = d.reminder_id
        RETURNING r.*
    )
    INSERT INTO saleshub.outbox (org_id, type, entity, entity_id, data)
    SELECT t.org_id, 'reminder.due', 'reminder', t.member_id, jsonb_build_object(
        'reminder_id', t.reminder_id, 'activity_id', t.activity_id,
        'remind_at', saleshub.utc(t.remind_at), 'snoozed', t.snoozed)
    FROM told t
    ORDER BY t.remind_at, t.reminder_id;
    GET DIAGNOSTICS fired = ROW_COUNT;
    IF fired > 0 THEN
        PERFORM saleshub.wake_at(now());
    END IF;
    next_at := (
        SELECT min(n.remind_at)
        FROM crm.org o
        CROSS JOIN LATERAL (
            SELECT r.remind_at FROM crm.reminder r
            WHERE r.org_id = o.org_id AND r.state = 'scheduled'
            ORDER BY r.remind_at, r.reminder_id LIMIT 1
        ) n);
    -- What is due and was left is locked by somebody, or beyond the batch.
    IF next_at <= now() AND fired < batch THEN
        next_at := now() + interval '1 second';
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.remind(integer) IS
    'Fires the reminders that are due, up to so many of each organisation, as events reminder.due in the order of their times; says how many, and when the next one is due. Done by the worker';

-- What members do with them

CREATE FUNCTION saleshub.reminder_json(org uuid, reminder uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'id', r.reminder_id, 'activity_id', r.activity_id, 'member_id', r.member_id,
            'minutes_before', r.minutes_before, 'at', saleshub.utc(r.at),
            'remind_at', saleshub.utc(r.remind_at), 'state', r.state,
            'fired_at', saleshub.utc(r.fired_at), 'snoozed', r.snoozed,
            'activity', jsonb_build_object(
                'id', a.activity_id, 'type', a.type, 'subject', a.subject,
                'due_at', saleshub.utc(a.due_at), 'done_at', saleshub.utc(a.done_at))
                - saleshub.hidden_fields('activity'))
        FROM crm.reminder r
        JOIN crm.activity a ON a.org_id = r.org_id AND a.activity_id = r.activity_id
        WHERE r.org_id = reminder_json.org AND r.reminder_id = reminder_json.reminder);
END;
$$;
COMMENT ON FUNCTION saleshub.reminder_json(uuid, uuid) IS
    'A reminder with what it is about, if the caller sees both.';

CREATE FUNCTION crm.reminder_list(state text DEFAULT NULL, limit_ integer DEFAULT 50,
                                  cursor_ text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    wanted text[] := string_to_array(state, ',');
    stamp text := md5('reminders' || coalesce(state, ''));
    place jsonb;
BEGIN
    IF NOT wanted <@ '{scheduled,fired,dismissed,cancelled}' THEN
        PERFORM saleshub.bad_parameter(
            'state', 'not_allowed', 'must be of scheduled, fired, dismissed, cancelled');
    END IF;
    IF cursor_ IS NOT NULL THEN
        place := saleshub.list_place(
            cursor_, stamp,
            '[{"cast": "timestamptz", "not_null": true}, {"cast": "uuid", "not_null": true}]');
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
            'place', jsonb_build_array(r.remind_at, r.reminder_id),
            'doc', saleshub.reminder_json(r.org_id, r.reminder_id))
            ORDER BY r.remind_at, r.reminder_id)
        FROM (
            SELECT m.org_id, m.reminder_id, m.remind_at
            FROM crm.reminder m
            JOIN crm.activity a ON a.org_id = m.org_id AND a.activity_id = m.activity_id
            WHERE m.org_id = saleshub.org_id() AND m.remind_at IS NOT NULL
                AND (saleshub.member_id() IS NULL OR m.member_id = saleshub.member_id())
                AND a.deleted_at IS NULL
                AND (wanted IS NULL OR m.state = ANY (wanted))
                AND (place IS NULL OR ROW(m.remind_at, m.reminder_id)
                     > ROW((place ->> 0)::timestamptz, (place ->> 1)::uuid))
            ORDER BY m.remind_at, m.reminder_id
            LIMIT page + 1
        ) r
    ), page, stamp);
END;
$$;
COMMENT ON FUNCTION crm.reminder_list(text, integer, text) IS
    'One''s own reminders, the earliest first: {"data", "next_cursor"}; state is a comma list of scheduled, fired, dismissed, cancelled';

CREATE FUNCTION saleshub.reminder_answer(reminder uuid, remind_at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    own record;
BEGIN
    SELECT r.state, a.done_at IS NULL AND a.deleted_at IS NULL AS open INTO own
    FROM crm.reminder r
    JOIN crm.activity a ON a.org_id = r.org_id AND a.activity_id = r.activity_id
    WHERE r.org_id = saleshub.org_id() AND r.reminder_id = reminder
        AND (saleshub.member_id() IS NULL OR r.member_id = saleshub.member_id())
    FOR UPDATE OF r;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('reminder', reminder);
    ELSIF reminder_answer.remind_at IS NOT NULL AND NOT own.open THEN
        PERFORM saleshub.raise('SH409', 'the activity is done or deleted',
                               jsonb_build_object('code', 'activity_closed'));
    END IF;
    UPDATE crm.reminder r
    SET state = CASE WHEN reminder_answer.remind_at IS NULL THEN 'dismissed' ELSE 'scheduled' END,
        remind_at = coalesce(reminder_answer.remind_at, r.remind_at),
        snoozed = r.snoozed OR reminder_answer.remind_at IS NOT NULL
    WHERE r.org_id = saleshub.org_id() AND r.reminder_id = reminder;
    PERFORM saleshub.wake_at(reminder_answer.remind_at);
END;
$$;
ALTER FUNCTION saleshub.reminder_answer(uuid, timestamptz) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.reminder_answer(uuid, timestamptz) IS
    'Puts one''s own reminder off until an instant, or dismisses it (NULL): also for members who may not write.';

CREATE FUNCTION saleshub.snooze_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "properties": {
        "minutes": {"type": "integer", "minimum": 1, "maximum": 527040},
        "until": {"type": "string", "format": "date-time"}}}'::jsonb;
COMMENT ON FUNCTION saleshub.snooze_schema() IS 'JSON Schema of until when to put a reminder off';

CREATE FUNCTION crm.reminder_snooze(id uuid, body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    target timestamptz;
BEGIN
    PERFORM saleshub.check_body(saleshub.snooze_schema(), body);
    IF (body ? 'minutes') = (body ? 'until') THEN
        PERFORM saleshub.raise('22023', 'either minutes or until is needed', jsonb_build_object(
            'code', 'invalid_body', 'errors', saleshub.fault('', 'required', 'must have either minutes or until')));
    END IF;
    target := coalesce((body ->> 'until')::timestamptz,
                       now() + make_interval(mins => (body ->> 'minutes')::numeric::integer));
    IF NOT target > now() THEN
        PERFORM saleshub.raise('22023', 'until lies in the past', jsonb_build_object(
            'code', 'invalid_body', 'errors', saleshub.fault('/until', 'range', 'must lie in the future')));
    END IF;
    PERFORM saleshub.reminder_answer(id, target);
    RETURN saleshub.reminder_json(saleshub.org_id(), id);
END;
$$;
COMMENT ON FUNCTION crm.reminder_snooze(uuid, jsonb) IS
    'Puts one''s own reminder off: {"minutes"} from now or {"until"}; returns it';

CREATE FUNCTION crm.reminder_dismiss(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.reminder_answer(id, NULL);
    RETURN saleshub.reminder_json(saleshub.org_id(), id);
END;
$$;
COMMENT ON FUNCTION crm.reminder_dismiss(uuid) IS
    'Dismisses one''s own reminder: it is told no more; returns it';

CREATE FUNCTION saleshub.routes_reminder() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reminders', 'crm.reminder_list(text, integer, text)', 'List one''s own reminders',
        'activities', args => saleshub.page_args()
            || '{"state": {"description": "A comma list of scheduled, fired, dismissed, cancelled"}}',
        answer => saleshub.page_shape('"Reminder"'));
    PERFORM saleshub.route(
        'POST /v1/reminders/{id}/snooze', 'crm.reminder_snooze(uuid, jsonb)',
        'Put a reminder off', 'activities',
        args => jsonb_build_object('body', saleshub.snooze_schema()),
        answer => '"Reminder"');
    PERFORM saleshub.route(
        'POST /v1/reminders/{id}/dismiss', 'crm.reminder_dismiss(uuid)', 'Dismiss a reminder',
        'activities',
        answer => '"Reminder"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_reminder() IS 'Registers the routes of reminders';
