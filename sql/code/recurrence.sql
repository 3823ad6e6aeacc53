-- Recurring activities. Occurrences are made one at a time: finishing one makes the next, a copy of
-- it with the time that the rule says and without what was changed for that one only.

CREATE FUNCTION saleshub.recurrence_parse(said text, OUT rule text, OUT fault text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_recurrence_parse';
COMMENT ON FUNCTION saleshub.recurrence_parse(text) IS
    'A recurrence rule in its normal form, or what is wrong with it';

CREATE FUNCTION saleshub.recurrence_walk(
    rule text, start timestamptz, zone text, after timestamptz, most integer) RETURNS timestamptz[]
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_recurrence_walk';
COMMENT ON FUNCTION saleshub.recurrence_walk(text, timestamptz, text, timestamptz, integer) IS
    'Up to so many occurrences of a series that starts at an instant, after another one (NULL: from the start on), by the clocks of a time zone. The start is the first occurrence, whatever day the rule says';

CREATE FUNCTION saleshub.clock_ok(zone text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN zone ~ '^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$'
        AND saleshub.recurrence_walk('FREQ=DAILY', 'epoch', zone, NULL, 1) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END;
$$;
COMMENT ON FUNCTION saleshub.clock_ok(text) IS
    'Whether the text names a time zone; much quicker than a look into pg_timezone_names.';

CREATE FUNCTION crm.recurrence_preview(rule text, from_ timestamptz DEFAULT now(),
                                       tz text DEFAULT NULL, n integer DEFAULT 10)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    zone text := coalesce(tz, saleshub.member_zone(saleshub.org_id(), saleshub.member_id()));
    parsed record;
BEGIN
    SELECT * INTO parsed FROM saleshub.recurrence_parse(coalesce(recurrence_preview.rule, ''));
    IF parsed.fault IS NOT NULL THEN
        PERFORM saleshub.bad_parameter('rule', 'invalid', parsed.fault);
    ELSIF NOT saleshub.clock_ok(zone) THEN
        PERFORM saleshub.bad_parameter('tz', 'invalid', 'must be a time zone of the IANA database');
    ELSIF n IS NULL OR n NOT BETWEEN 1 AND 1000 THEN
        PERFORM saleshub.bad_parameter('n', 'range', 'must be from 1 to 1000');
    ELSIF from_ IS NULL OR NOT from_ BETWEEN '1900-01-01' AND '9000-01-01' THEN
        PERFORM saleshub.bad_parameter('from', 'range', 'must be a time from 1900 to 9000');
    END IF;
    RETURN jsonb_build_object('rule', parsed.rule, 'timezone', zone, 'data', (
        SELECT coalesce(jsonb_agg(saleshub.utc(at) ORDER BY at), '[]')
        FROM unnest(saleshub.recurrence_walk(parsed.rule, from_, zone, NULL, n)) at));
END;
$$;
COMMENT ON FUNCTION crm.recurrence_preview(text, timestamptz, text, integer) IS
    'The first occurrences of a rule (RFC 5545) for what is due at an instant first, by the clocks of a time zone, the member''s unless given: {"rule", "timezone", "data"}';

CREATE FUNCTION saleshub.member_zone(org uuid, member uuid) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce((SELECT m.timezone FROM crm.member m
                     WHERE m.org_id = org AND m.member_id = member),
                    (SELECT o.timezone FROM crm.org o WHERE o.org_id = org), 'UTC');
END;
$$;
COMMENT ON FUNCTION saleshub.member_zone(uuid, uuid) IS
    'The time zone of a member, else of the organisation.';

CREATE FUNCTION saleshub.series_fields() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{subject,body,owner_id,priority,location,direction,custom,reminders}'::text[];
COMMENT ON FUNCTION saleshub.series_fields() IS
    'Columns that the next occurrence takes over, and that can differ in one occurrence only.';

CREATE FUNCTION saleshub.activity_series() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    parsed record;
    was jsonb;
    faults jsonb := '[]';
BEGIN
    NEW.recurrence := saleshub.clean(NEW.recurrence);
    NEW.timezone := saleshub.clean(NEW.timezone);
    IF NEW.recurrence IS NULL THEN
        NEW.timezone := NULL;
        RETURN NEW;
    END IF;
    NEW.timezone := coalesce(NEW.timezone, saleshub.member_zone(
        NEW.org_id, coalesce(NEW.owner_id, saleshub.member_id())));
    IF fresh OR (NEW.recurrence, NEW.timezone) IS DISTINCT FROM (OLD.recurrence, OLD.timezone) THEN
        SELECT * INTO parsed FROM saleshub.recurrence_parse(NEW.recurrence);
        IF parsed.fault IS NOT NULL THEN
            faults := faults || saleshub.fault('/recurrence', 'invalid', parsed.fault);
        ELSE
            NEW.recurrence := parsed.rule;
        END IF;
        IF NOT saleshub.clock_ok(NEW.timezone) THEN
            faults := faults || saleshub.fault('/timezone', 'invalid',
                                               'must be a time zone of the IANA database');
        END IF;
    END IF;
    IF NEW.due_at IS NULL THEN
        faults := faults || saleshub.fault('/due_at', 'required', 'is required of what recurs');
    ELSIF NOT NEW.due_at BETWEEN '1900-01-01' AND '9000-01-01' THEN
        faults := faults || saleshub.fault('/due_at', 'range', 'must be a time from 1900 to 9000');
    END IF;
    IF NEW.type IN ('email', 'note') THEN
        faults := faults || saleshub.fault('/recurrence', 'not_allowed',
                                           format('does not go with type %s', NEW.type));
    ELSIF NEW.done_at IS NOT NULL AND (fresh OR OLD.recurrence IS NULL) THEN
        faults := faults || saleshub.fault('/recurrence', 'not_allowed',
                                           'cannot begin with what is done');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('activity', faults);
    END IF;

    IF fresh AND NEW.series_id IS NOT NULL THEN
        RETURN NEW;
    END IF;
    NEW.series_id := coalesce(NEW.series_id, NEW.activity_id);
    NEW.series_no := coalesce(NEW.series_no, 1);
    IF NEW.scheduled_at IS NULL OR NOT fresh
        AND (NEW.recurrence, NEW.timezone) IS DISTINCT FROM (OLD.recurrence, OLD.timezone)
    THEN
        NEW.series_first := NEW.series_no;
        NEW.series_start := NEW.due_at;
        NEW.scheduled_at := NEW.due_at;
    ELSIF NOT fresh AND NEW.series_kept = OLD.series_kept THEN
        was := to_jsonb(OLD);
        NEW.series_kept := coalesce((
            SELECT jsonb_object_agg(f, was -> f)
            FROM unnest(saleshub.series_fields()) f
            WHERE was -> f IS DISTINCT FROM to_jsonb(NEW) -> f), '{}') || NEW.series_kept;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_series() IS
    'Trigger: checks a recurrence, counts the series from where its rule was given, and keeps what an edit of one occurrence must not change in the next.';

CREATE FUNCTION saleshub.series_next(org uuid, activity uuid) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    next_id uuid;
BEGIN
    -- Custom fields go on as they are, defined since or not.
    PERFORM saleshub.converted_unlock(true);
    INSERT INTO crm.activity AS n
           (org_id, type, subject, body, owner_id, priority, location, direction, custom,
            reminders, due_at, starts_at, ends_at, recurrence, timezone, series_id, series_no,
            series_first, series_start, scheduled_at)
    SELECT a.org_id, a.type, s.subject, s.body, s.owner_id, s.priority, s.location, s.direction,
           saleshub.custom_carried('activity', a.org_id, s.custom),
           (SELECT coalesce(jsonb_agg(r), '[]') FROM jsonb_array_elements(s.reminders) r
            WHERE r ? 'minutes_before'),
           t.at, CASE WHEN a.starts_at IS NOT NULL THEN t.at END, t.at + (a.ends_at - a.starts_at),
           a.recurrence, a.timezone, a.series_id, a.series_no + 1, a.series_first, a.series_start,
           t.at
    FROM crm.activity a,
         LATERAL jsonb_populate_record(a, a.series_kept) s,
         LATERAL unnest(saleshub.recurrence_walk(a.recurrence, a.series_start, a.timezone,
                                                 a.scheduled_at, 1)) t (at)
    WHERE a.org_id = series_next.org AND a.activity_id = series_next.activity
        AND a.recurrence IS NOT NULL
    ON CONFLICT (org_id, series_id, series_no) WHERE series_id IS NOT NULL DO NOTHING
    RETURNING n.activity_id INTO next_id;
    PERFORM saleshub.converted_unlock(false);

    -- Leads first, then by type and id: the order in which conversions lock.
    INSERT INTO crm.activity_link (org_id, activity_id, entity, entity_id)
    SELECT l.org_id, next_id, l.entity, l.entity_id
    FROM crm.activity_link l
    WHERE l.org_id = series_next.org AND l.activity_id = series_next.activity
        AND next_id IS NOT NULL
        AND saleshub.reference_faults(l.org_id, '', l.entity, l.entity_id) = '[]'
    ORDER BY l.entity <> 'lead', l.entity, l.entity_id
    ON CONFLICT DO NOTHING;
    RETURN next_id;
END;
$$;
ALTER FUNCTION saleshub.series_next(uuid, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.series_next(uuid, uuid) IS
    'Makes the next occurrence of a recurring activity, with its links, unless it was made before (and may have been deleted since) or the series is over. Returns its id.';

CREATE FUNCTION saleshub.activity_recur() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.series_next(NEW.org_id, NEW.activity_id);
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.activity_recur() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.activity_recur() IS
    'Trigger: what recurs and is done comes again.';

-- Edits of more than one occurrence

CREATE FUNCTION saleshub.scope_check(scope text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF scope IS NULL OR scope NOT IN ('this', 'following', 'all') THEN
        PERFORM saleshub.bad_parameter('scope', 'not_allowed', 'must be this, following or all');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.scope_check(text) IS
    'Raises 22023 unless this is an extent of edits of a series.';

CREATE FUNCTION saleshub.series_follow(id uuid, written text[], timed boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    a record;
    counted integer;
BEGIN
    SELECT t.recurrence, t.series_no, t.series_first, t.due_at, t.scheduled_at INTO a
    FROM crm.activity t
    WHERE t.org_id = saleshub.org_id() AND t.activity_id = series_follow.id;
    IF a.recurrence IS NULL THEN
        RETURN;
    END IF;
    UPDATE crm.activity t SET series_kept = t.series_kept - written
    WHERE t.org_id = saleshub.org_id() AND t.activity_id = series_follow.id
        AND t.series_kept ?| written;
    IF timed AND a.due_at <> a.scheduled_at THEN
        -- The rule is set anew from here, with the occurrences that are left.
        counted := substring(a.recurrence FROM 'COUNT=(\d+)')::integer;
        UPDATE crm.activity t
        SET recurrence = regexp_replace(
                t.recurrence, 'COUNT=\d+',
                'COUNT=' || greatest(counted - (a.series_no - a.series_first), 1)),
            series_first = t.series_no, series_start = t.due_at, scheduled_at = t.due_at
        WHERE t.org_id = saleshub.org_id() AND t.activity_id = series_follow.id;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.series_follow(uuid, text[], boolean) IS
    'Lets the occurrences after this one have what was written here, and the time if it was moved.';

CREATE FUNCTION saleshub.series_update(id uuid, patch jsonb, scope text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    other record;
    common jsonb := patch - '{done_at,outcome,due_at,starts_at,ends_at,duration_s}'::text[];
    written jsonb;
BEGIN
    FOR other IN
        SELECT t.activity_id, t.series_no = max(t.series_no) OVER () AS last
        FROM crm.activity a
        JOIN crm.activity t ON t.org_id = a.org_id AND t.series_id = a.series_id
            AND t.activity_id <> a.activity_id AND t.deleted_at IS NULL
            AND (scope = 'all' OR t.series_no > a.series_no)
        WHERE a.org_id = saleshub.org_id() AND a.activity_id = series_update.id
        ORDER BY t.series_no
    LOOP
        -- Only the last one has a next, which the rule is for.
        written := CASE WHEN other.last THEN common ELSE common - '{recurrence,timezone}'::text[] END;
        CONTINUE WHEN written = '{}';
        PERFORM saleshub.record_update(saleshub.activity_meta(), other.activity_id, written, NULL);
        IF written ? 'links' THEN
            PERFORM saleshub.activity_link_set(other.activity_id, written -> 'links');
        END IF;
        PERFORM saleshub.series_follow(other.activity_id,
                                       ARRAY(SELECT jsonb_object_keys(written)), false);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.series_update(uuid, jsonb, text) IS
    'Makes a change of one occurrence in all others, or the following, as well, but for times and outcome.';

CREATE FUNCTION crm.activity_delete(id uuid, if_match text DEFAULT NULL, scope text DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.scope_check(coalesce(scope, 'this'));
    PERFORM saleshub.record_delete(saleshub.activity_meta(), id, if_match);
    IF scope IS NULL THEN
        RETURN;
    END IF;
    IF scope = 'this' THEN
        UPDATE crm.activity t
        SET skipped = true
        WHERE t.org_id = saleshub.org_id() AND t.activity_id = activity_delete.id
            AND t.recurrence IS NOT NULL AND t.done_at IS NULL;
    ELSE
        UPDATE crm.activity t
        SET deleted_at = now(), deletion_id = d.deletion_id
        FROM crm.activity d
        WHERE d.org_id = saleshub.org_id() AND d.activity_id = activity_delete.id
            AND t.org_id = d.org_id AND t.series_id = d.series_id AND t.deleted_at IS NULL
            AND (scope = 'all' OR t.series_no > d.series_no);
    END IF;
END;
$$;
COMMENT ON FUNCTION crm.activity_delete(uuid, text, text) IS
    'Puts an activity into the bin. Of a series: scope this makes the next occurrence, following and all take those along; without one nothing else happens, so that the series ends with an open one. Restoring it brings back what it took along';

CREATE FUNCTION saleshub.routes_recurrence() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/recurrence', 'crm.recurrence_preview(text, timestamptz, text, integer)',
        'The first occurrences of a recurrence rule', 'activities',
        args => '{"rule": {"maxLength": 1000, "description": "Like FREQ=WEEKLY;BYDAY=MO,FR"},
                  "from": {"description": "The first occurrence, now unless given"},
                  "tz": {"maxLength": 64, "description": "Time zone, the member''s unless given"},
                  "n": {"minimum": 1, "maximum": 1000,
                        "description": "How many, 10 unless given"}}',
        answer => '{"rule": "text", "timezone": "text", "data": ["time"]}');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_recurrence() IS 'Registers the route of recurrence rules';
