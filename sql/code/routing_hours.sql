-- Working hours: spans of local time by the day of the week, and arithmetic within them.

CREATE FUNCTION saleshub.business_spans(
    day date, hours jsonb, holidays date[], zone text,
    OUT opens timestamptz, OUT closes timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF day = ANY (holidays) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT (day + (h ->> 'from')::time) AT TIME ZONE zone,
           (day + (h ->> 'to')::time) AT TIME ZONE zone
      FROM jsonb_array_elements(hours) AS h
     WHERE (h ->> 'day')::integer = extract(isodow FROM day)
     ORDER BY 1;
END
$$;
COMMENT ON FUNCTION saleshub.business_spans(date, jsonb, date[], text) IS
    'The instants at which a local day opens and closes, in order: what clocks on the wall show counts, also when they are changed that day';

CREATE FUNCTION crm.business_add(
    start timestamptz, target interval, hours jsonb, holidays date[] DEFAULT '{}',
    zone text DEFAULT 'UTC') RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    rest interval := make_interval(secs => extract(epoch FROM target)::double precision);
    today date := (start AT TIME ZONE zone)::date;
    span record;
    begins timestamptz;
BEGIN
    IF hours IS NULL THEN
        RETURN start + rest;
    END IF;
    -- A span may reach over midnight by changed clocks. Ten years without enough hours are never.
    FOR i IN -1 .. CASE WHEN hours = '[]' THEN -2 ELSE 3660 END LOOP
        FOR span IN SELECT s.opens, s.closes
                      FROM saleshub.business_spans(today + i, hours, holidays, zone) AS s
                     WHERE s.closes > start AND s.closes > s.opens
        LOOP
            begins := greatest(span.opens, start);
            IF begins + rest < span.closes OR (begins + rest = span.closes AND rest > '0') THEN
                RETURN begins + rest;
            END IF;
            rest := rest - make_interval(secs => extract(epoch FROM span.closes - begins)::double precision);
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION crm.business_add(timestamptz, interval, jsonb, date[], text) IS
    'The instant at which so much working time has passed since the start; with a target of zero, when work begins next. NULL when that is never, the start plus the target without hours. Hours begin and end by local wall time; between them time is counted as it passes';

CREATE FUNCTION saleshub.business_opens(
    at timestamptz, hours jsonb, holidays date[], zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    opens timestamptz := crm.business_add(at, '0', hours, holidays, zone);
BEGIN
    RETURN CASE WHEN opens IS NULL THEN 'infinity' WHEN opens > at THEN opens END;
END
$$;
COMMENT ON FUNCTION saleshub.business_opens(timestamptz, jsonb, date[], text) IS
    'When work begins next; NULL when it is going on, infinity when never';

CREATE FUNCTION saleshub.routing_hours_errors(hours jsonb, pointer text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
    clock text := '^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$';
    span record;
BEGIN
    FOR span IN SELECT h AS value, n - 1 AS n,
                       h ->> 'from' ~ clock AND h ->> 'to' ~ clock AS clocks
                  FROM jsonb_array_elements(hours) WITH ORDINALITY AS e (h, n)
    LOOP
        IF span.clocks IS NOT TRUE OR coalesce(span.value ->> 'day', '') !~ '^[1-7]$' THEN
            faults := faults || saleshub.fault(format('%s/%s', pointer, span.n), 'invalid',
                'must be {"day": 1 to 7, "from": "09:00", "to": "17:00"}');
        ELSIF span.value ->> 'from' >= span.value ->> 'to' THEN
            faults := faults || saleshub.fault(format('%s/%s/to', pointer, span.n), 'invalid',
                'must be later than from; a night is two spans');
        ELSIF EXISTS (SELECT FROM jsonb_array_elements(hours) WITH ORDINALITY AS e (h, n)
                       WHERE n - 1 < span.n AND h -> 'day' = span.value -> 'day'
                         AND h ->> 'from' < span.value ->> 'to' AND span.value ->> 'from' < h ->> 'to')
        THEN
            faults := faults || saleshub.fault(format('%s/%s', pointer, span.n), 'overlap',
                'overlaps another span of the day');
        END IF;
    END LOOP;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.routing_hours_errors(jsonb, text) IS
    'All that is wrong with the spans of a week, as errors of a problem document';

CREATE FUNCTION saleshub.zone_ok(zone text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN zone IS NULL OR EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = zone);
END
$$;
COMMENT ON FUNCTION saleshub.zone_ok(text) IS 'Whether this is the name of a time zone, or none is given';

CREATE FUNCTION saleshub.routing_calendar_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.routing_hours_errors(NEW.hours, '/hours');
BEGIN
    IF NOT saleshub.zone_ok(NEW.timezone) THEN
        faults := faults || saleshub.fault('/timezone', 'invalid', 'names no time zone');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('calendar', faults);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.routing_calendar_check() IS 'Trigger: spans and time zone of a calendar make sense';

CREATE FUNCTION crm.routing_calendars_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('calendars', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'id', c.routing_calendar_id, 'name', c.name, 'timezone', c.timezone,
                   'hours', c.hours, 'holidays', to_jsonb(c.holidays))
                   ORDER BY c.name, c.routing_calendar_id)
          FROM crm.routing_calendar AS c
         WHERE c.org_id = saleshub.org_id()), '[]'));
END
$$;
COMMENT ON FUNCTION crm.routing_calendars_get() IS 'The calendars of working hours';

CREATE FUNCTION saleshub.routing_calendars_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false, "required": ["calendars"],
    "properties": {"calendars": {"type": "array", "maxItems": 100, "items": {
        "type": "object", "additionalProperties": false, "required": ["name", "hours"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "timezone": {"type": ["string", "null"], "maxLength": 64},
            "hours": {"type": "array", "maxItems": 100, "items": {
                "type": "object", "additionalProperties": false, "required": ["day", "from", "to"],
                "properties": {
                    "day": {"type": "integer", "minimum": 1, "maximum": 7},
                    "from": {"type": "string", "minLength": 5, "maxLength": 5},
                    "to": {"type": "string", "minLength": 5, "maxLength": 5}}}},
            "holidays": {"type": "array", "maxItems": 1000,
                         "items": {"type": "string", "format": "date"}}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.routing_calendars_schema() IS
    'JSON Schema of the body of crm.routing_calendars_put';

CREATE FUNCTION saleshub.calendars_faults(body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(f), '[]')
          FROM saleshub.set_items(body, 'calendars') AS x,
               jsonb_array_elements(
                   CASE jsonb_typeof(x.item -> 'hours') WHEN 'array' THEN saleshub.routing_hours_errors(
                       x.item -> 'hours', format('/calendars/%s/hours', x.n)) ELSE '[]' END
                || CASE WHEN saleshub.zone_ok(x.item ->> 'timezone') THEN '[]' ELSE saleshub.fault(
                       format('/calendars/%s/timezone', x.n), 'invalid', 'names no time zone') END) AS f);
END
$$;
COMMENT ON FUNCTION saleshub.calendars_faults(jsonb) IS
    'What is wrong with the hours and time zones of the calendars of a body';

CREATE FUNCTION crm.routing_calendars_put(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept uuid[] := saleshub.set_check('routing_calendar', 'calendars',
        saleshub.routing_calendars_schema(), body, saleshub.calendars_faults(body));
BEGIN
    DELETE FROM crm.routing_calendar AS c
     WHERE c.org_id = saleshub.org_id() AND c.routing_calendar_id <> ALL (kept);
    INSERT INTO crm.routing_calendar AS c
           (org_id, routing_calendar_id, name, timezone, hours, holidays)
    SELECT saleshub.org_id(), coalesce((e ->> 'id')::uuid, crm.uuid_v7()), btrim(e ->> 'name'),
           e ->> 'timezone', e -> 'hours',
           ARRAY(SELECT d::date FROM jsonb_array_elements_text(coalesce(e -> 'holidays', '[]')) AS d)
      FROM jsonb_array_elements(body -> 'calendars') AS e
    ON CONFLICT (org_id, routing_calendar_id) DO UPDATE
       SET name = excluded.name, timezone = excluded.timezone, hours = excluded.hours,
           holidays = excluded.holidays;
    RETURN crm.routing_calendars_get();
END
$$;
COMMENT ON FUNCTION crm.routing_calendars_put(jsonb) IS
    'Replaces the calendars by those of body.calendars: known ids are changed, others added, missing ones removed unless in use (23503)';
