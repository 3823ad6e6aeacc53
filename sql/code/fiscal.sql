-- Calendars: where days, weeks, months, quarters and years of an organisation begin. All of it is
-- reckoned in local dates; an instant comes of a date only at the end, by the time zone.

CREATE FUNCTION saleshub.fiscal_year_start(calendar jsonb, year int) RETURNS date
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    first date := make_date(year, (calendar ->> 'start_month')::int, 1);
    back int := (extract(isodow FROM first)::int - (calendar ->> 'week_start')::int + 7) % 7;
BEGIN
    IF calendar ->> 'kind' = 'months' THEN
        RETURN first;
    ELSIF calendar ->> 'year_start' = 'nearest' AND back > 3 THEN
        RETURN first - back + 7;
    END IF;
    RETURN first - back;
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_year_start(jsonb, int) IS
    'The day on which a year of a calendar of months or weeks begins.';

CREATE FUNCTION saleshub.fiscal_weeks(kind text) RETURNS int[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind WHEN '4-4-5' THEN '{0,4,8,13,17,21,26,30,34,39,43,47}'::int[]
                     WHEN '4-5-4' THEN '{0,4,9,13,17,22,26,30,35,39,43,48}'::int[]
                     WHEN '5-4-4' THEN '{0,5,9,13,18,22,26,31,35,39,44,48}'::int[]
                     WHEN '13x4' THEN '{0,4,8,12,16,20,24,28,32,36,40,44,48}'::int[] END;
COMMENT ON FUNCTION saleshub.fiscal_weeks(text) IS
    'The weeks of the year with which periods begin; the last period ends with the year.';

CREATE FUNCTION saleshub.fiscal_periods(
    calendar jsonb, first date, last date,
    OUT year int, OUT quarter int, OUT period int, OUT label text, OUT starts date, OUT ends date)
    RETURNS SETOF record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind constant text := calendar ->> 'kind';
    weeks constant int[] := saleshub.fiscal_weeks(kind);
    later constant int := (calendar ->> 'year_label' = 'end'
                           AND (calendar ->> 'start_month')::int > 1)::int;
BEGIN
    IF kind = 'table' THEN
        RETURN QUERY
        SELECT p.year, p.quarter,
               row_number() OVER (PARTITION BY p.year ORDER BY p.starts)::int, p.label,
               p.starts, p.ends
        FROM jsonb_to_recordset(calendar -> 'periods')
             AS p (label text, year int, quarter int, starts date, ends date);
        RETURN;
    END IF;
    RETURN QUERY
    WITH whole AS (
        SELECT y.n + later AS year, saleshub.fiscal_year_start(calendar, y.n) AS starts,
               saleshub.fiscal_year_start(calendar, y.n + 1) AS ends
        FROM generate_series(extract(year FROM first)::int - 1, extract(year FROM last)::int + 1)
             AS y (n)
    )
    SELECT w.year, CASE WHEN kind = '13x4' THEN least(i.n / 3, 3) ELSE i.n / 3 END + 1, i.n + 1,
           CASE kind WHEN 'months' THEN to_char(w.starts + make_interval(months => i.n), 'YYYY-MM')
                     ELSE format('FY%s P%s', w.year, lpad((i.n + 1)::text, 2, '0')) END,
           CASE kind WHEN 'months' THEN (w.starts + make_interval(months => i.n))::date
                     ELSE w.starts + 7 * weeks[i.n + 1] END,
           CASE kind WHEN 'months' THEN (w.starts + make_interval(months => i.n + 1))::date
                     ELSE coalesce(w.starts + 7 * weeks[i.n + 2], w.ends) END
    FROM whole w, generate_series(0, CASE kind WHEN '13x4' THEN 12 ELSE 11 END) AS i (n)
    WHERE w.ends > first AND w.starts <= last;
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_periods(jsonb, date, date) IS
    'The periods of all years of a calendar that touch these days; of a calendar of kind table all.';

CREATE FUNCTION saleshub.fiscal_spans(
    calendar jsonb, bucket text, week_start int, first date, last date,
    OUT label text, OUT starts date, OUT ends date)
    RETURNS SETOF record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    back int;
BEGIN
    IF bucket = 'day' THEN
        RETURN QUERY
        SELECT to_char(d.day, 'YYYY-MM-DD'), d.day, d.day + 1
        FROM (SELECT first + i FROM generate_series(0, last - first) AS g (i)) AS d (day);
    ELSIF bucket = 'week' AND calendar ->> 'kind' ~ '\d' THEN
        RETURN QUERY
        SELECT format('FY%s W%s', y.year, lpad((i.n + 1)::text, 2, '0')),
               y.starts + 7 * i.n, y.starts + 7 * i.n + 7
        FROM (SELECT p.year, min(p.starts) AS starts, max(p.ends) AS ends
              FROM saleshub.fiscal_periods(calendar, first, last) p GROUP BY p.year) y,
             generate_series(0, (y.ends - y.starts) / 7 - 1) AS i (n);
    ELSIF bucket = 'week' THEN
        back := (extract(isodow FROM first)::int - week_start + 7) % 7;
        RETURN QUERY
        SELECT CASE week_start WHEN 1 THEN to_char(d.day, 'IYYY-"W"IW')
                               ELSE to_char(d.day, 'YYYY-MM-DD') END, d.day, d.day + 7
        FROM (SELECT first - back + 7 * i FROM generate_series(0, (last - first + back) / 7) AS g (i))
             AS d (day);
    ELSE
        RETURN QUERY
        SELECT CASE bucket
                   WHEN 'month' THEN min(p.label)
                   WHEN 'quarter' THEN format(CASE WHEN calendar ? 'plain' THEN '%s-Q%s'
                                              ELSE 'FY%s Q%s' END, p.year, min(p.quarter))
                   ELSE format(CASE WHEN calendar ? 'plain' THEN '%s' ELSE 'FY%s' END, p.year) END,
               min(p.starts), max(p.ends)
        FROM saleshub.fiscal_periods(calendar, first, last) p
        GROUP BY p.year, CASE WHEN bucket <> 'year' THEN p.quarter END,
                 CASE WHEN bucket = 'month' THEN p.period END;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_spans(jsonb, text, int, date, date) IS
    'The days, weeks, months, quarters or years of a calendar from one day to another, in local dates.';

CREATE FUNCTION saleshub.fiscal_find(fiscal text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found_calendar jsonb;
    plain constant jsonb := '{"kind": "months", "start_month": 1, "week_start": 1,
                              "year_label": "start", "plain": true}';
BEGIN
    IF fiscal = 'gregorian' THEN
        RETURN plain;
    ELSIF fiscal ~ '^(0?[1-9]|1[0-2])$' THEN
        RETURN jsonb_build_object('kind', 'months', 'start_month', fiscal::int, 'week_start', 1,
                                  'year_label', 'end');
    END IF;
    SELECT to_jsonb(c) INTO found_calendar
    FROM crm.fiscal_calendar c
    WHERE c.org_id = saleshub.org_id()
        AND CASE WHEN fiscal IS NULL THEN c.is_default
                 ELSE lower(c.name) = lower(fiscal) OR c.fiscal_calendar_id::text = lower(fiscal) END
    ORDER BY c.fiscal_calendar_id::text = lower(fiscal) DESC
    LIMIT 1;
    RETURN coalesce(found_calendar, CASE WHEN fiscal IS NULL THEN plain END);
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_find(text) IS
    'A calendar: by name or id, or ''gregorian'', or the number of the month with which years begin; NULL is the default of the organisation, else Gregorian. NULL when there is none of the name.';

CREATE FUNCTION crm.periods(
    from_ timestamptz, to_ timestamptz, tz text DEFAULT NULL, bucket text DEFAULT 'month',
    fiscal text DEFAULT NULL, week_start int DEFAULT NULL)
    RETURNS TABLE (period_no int, label text, starts timestamptz, ends timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    ROWS 40
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'bucket', bucket,
        'fiscal', fiscal, 'week_start', week_start), '{}');
    calendar constant jsonb := saleshub.fiscal_find(fiscal);
    -- A day more at both ends: where clocks go back at midnight, a day begins before it begins.
    first constant date := (from_ AT TIME ZONE args.zone)::date - 1;
    last constant date := (to_ AT TIME ZONE args.zone)::date + 1;
    uncovered timestamptz;
BEGIN
    IF from_ IS NULL OR to_ IS NULL OR bucket IS NULL THEN
        RETURN;
    END IF;
    PERFORM saleshub.dashboard_limit((last - first) / CASE bucket WHEN 'day' THEN 1 WHEN 'week' THEN 7
                                     WHEN 'month' THEN 28 WHEN 'quarter' THEN 84 ELSE 364 END, 1000);
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY s.starts)::int, s.label, greatest(s.starts, from_),
           least(s.ends, to_)
    FROM (SELECT f.label, f.starts::timestamp AT TIME ZONE args.zone AS starts,
                 f.ends::timestamp AT TIME ZONE args.zone AS ends
          FROM saleshub.fiscal_spans(calendar, bucket,
                   coalesce(week_start, (calendar ->> 'week_start')::int, 1), first, last) f) s
    WHERE greatest(s.starts, from_) < least(s.ends, to_);
    IF calendar ->> 'kind' <> 'table' OR bucket IN ('day', 'week') THEN
        RETURN;
    END IF;
    -- Only lists can have gaps.
    SELECT min(g.at) INTO uncovered
    FROM (SELECT from_ AS at
          UNION ALL
          SELECT (p ->> 'ends')::timestamp AT TIME ZONE args.zone
          FROM jsonb_array_elements(calendar -> 'periods') p) g
    WHERE g.at >= from_ AND g.at < to_ AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(calendar -> 'periods') p
        WHERE (p ->> 'starts')::timestamp AT TIME ZONE args.zone <= g.at
            AND (p ->> 'ends')::timestamp AT TIME ZONE args.zone > g.at);
    IF uncovered IS NOT NULL THEN
        PERFORM saleshub.bad_parameter('fiscal', 'not_covered', format(
            'the calendar has no period at %s', to_char(uncovered AT TIME ZONE args.zone, 'YYYY-MM-DD')));
    END IF;
END;
$$;
COMMENT ON FUNCTION crm.periods(timestamptz, timestamptz, text, text, text, int) IS
    'The days, weeks, months, quarters or years of [from_, to_) in a time zone and calendar, each half open, the first and last cut at the bounds: together exactly the period.';

-- Calendars as they are set up

CREATE FUNCTION saleshub.fiscal_period_faults(periods jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
    SET DateStyle = 'ISO, YMD'
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(saleshub.fault('/periods/' || (p.n - 1), 'invalid', p.problem) -> 0
                                  ORDER BY p.n), '[]')
        FROM (
            SELECT e.n, CASE
                WHEN (e.starts < e.ends) IS NOT TRUE THEN 'must end later than it starts'
                WHEN e.label IS NULL OR e.year IS NULL OR e.quarter IS NULL
                THEN 'must have label, year and quarter'
                WHEN e.starts < lag(e.ends) OVER (ORDER BY e.n)
                THEN 'must not begin before the one above it ends'
                WHEN (e.year, e.quarter) < (lag(e.year) OVER (ORDER BY e.n),
                                            lag(e.quarter) OVER (ORDER BY e.n))
                THEN 'must not belong to an earlier quarter than the one above it' END AS problem
            FROM ROWS FROM (jsonb_to_recordset(periods)
                            AS (label text, year int, quarter int, starts date, ends date))
                 WITH ORDINALITY AS e (label, year, quarter, starts, ends, n)) p
        WHERE p.problem IS NOT NULL);
EXCEPTION
    WHEN data_exception THEN
        RETURN saleshub.fault('/periods', 'invalid',
            'must be a list of {"label", "year", "quarter", "starts", "ends"} with dates');
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_period_faults(jsonb) IS
    'What is wrong with the periods of a calendar: they follow one another, without overlap.';

CREATE FUNCTION saleshub.fiscal_calendar_check() RETURNS trigger
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    ELSIF lower(NEW.name) = 'gregorian' OR NEW.name ~ '^\d+$' THEN
        faults := faults || saleshub.fault('/name', 'not_allowed', 'means something else in reports');
    END IF;
    IF NEW.kind = 'table' AND NEW.periods = '[]' THEN
        faults := faults || saleshub.fault('/periods', 'required', 'is required of a table');
    ELSIF NEW.kind <> 'table' AND NEW.periods <> '[]' THEN
        faults := faults || saleshub.fault('/periods', 'not_allowed', 'goes with kind table only');
    ELSE
        faults := faults || saleshub.fiscal_period_faults(NEW.periods);
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('fiscal calendar', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_calendar_check() IS
    'Trigger: refuses calendars whose periods overlap or lack something.';

CREATE FUNCTION saleshub.fiscal_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "required": ["calendars"], "additionalProperties": false,
        "properties": {"calendars": {"type": "array", "maxItems": 50, "items": {
            "type": "object", "required": ["name"], "additionalProperties": false, "properties": {
                "id": {"type": "string", "format": "uuid"},
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "kind": {"type": "string",
                         "enum": ["months", "4-4-5", "4-5-4", "5-4-4", "13x4", "table"]},
                "start_month": {"type": "integer", "minimum": 1, "maximum": 12},
                "week_start": {"type": "integer", "minimum": 1, "maximum": 7},
                "year_start": {"type": "string", "enum": ["nearest", "last"]},
                "year_label": {"type": "string", "enum": ["start", "end"]},
                "is_default": {"type": "boolean"},
                "periods": {"type": "array", "maxItems": 2000, "items": {
                    "type": "object", "required": ["label", "year", "quarter", "starts", "ends"],
                    "additionalProperties": false, "properties": {
                        "label": {"type": "string", "minLength": 1, "maxLength": 50},
                        "year": {"type": "integer", "minimum": 1, "maximum": 9999},
                        "quarter": {"type": "integer", "minimum": 1, "maximum": 99},
                        "starts": {"type": "string", "format": "date"},
                        "ends": {"type": "string", "format": "date"}}}}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.fiscal_schema() IS 'JSON Schema of the body that puts the calendars.';

CREATE FUNCTION crm.fiscal_calendars_get() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('calendars', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', c.fiscal_calendar_id, 'name', c.name, 'kind', c.kind,
            'start_month', c.start_month, 'week_start', c.week_start, 'year_start', c.year_start,
            'year_label', c.year_label, 'is_default', c.is_default, 'periods', c.periods)
            ORDER BY lower(c.name)), '[]')
        FROM crm.fiscal_calendar c
        WHERE c.org_id = saleshub.org_id()));
END;
$$;
COMMENT ON FUNCTION crm.fiscal_calendars_get() IS 'The fiscal calendars of the organisation.';

CREATE FUNCTION crm.fiscal_calendars_put(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept uuid[] := saleshub.set_check('fiscal_calendar', 'calendars', saleshub.fiscal_schema(), body,
                                      saleshub.fiscal_faults(body));
BEGIN
    DELETE FROM crm.fiscal_calendar c
    WHERE c.org_id = saleshub.org_id() AND c.fiscal_calendar_id <> ALL (kept);
    -- Names and the default may change hands among those that stay.
    UPDATE crm.fiscal_calendar c
    SET name = c.fiscal_calendar_id::text, is_default = false
    WHERE c.org_id = saleshub.org_id();
    INSERT INTO crm.fiscal_calendar AS c (org_id, fiscal_calendar_id, name, kind, start_month,
                                          week_start, year_start, year_label, is_default, periods)
    SELECT saleshub.org_id(), coalesce((e ->> 'id')::uuid, crm.uuid_v7()), e ->> 'name',
           coalesce(e ->> 'kind', 'months'), coalesce((e ->> 'start_month')::int, 1),
           coalesce((e ->> 'week_start')::int, 1), coalesce(e ->> 'year_start', 'nearest'),
           coalesce(e ->> 'year_label', 'end'), coalesce((e ->> 'is_default')::boolean, false),
           coalesce(e -> 'periods', '[]')
    FROM jsonb_array_elements(body -> 'calendars') e
    ON CONFLICT (org_id, fiscal_calendar_id) DO UPDATE
        SET name = excluded.name, kind = excluded.kind, start_month = excluded.start_month,
            week_start = excluded.week_start, year_start = excluded.year_start,
            year_label = excluded.year_label, is_default = excluded.is_default,
            periods = excluded.periods;
    RETURN crm.fiscal_calendars_get();
END;
$$;
COMMENT ON FUNCTION crm.fiscal_calendars_put(jsonb) IS
    'Replaces the fiscal calendars by those of body.calendars.';

CREATE FUNCTION saleshub.fiscal_faults(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(f.fault ORDER BY f.n, f.fault ->> 'pointer'), '[]')
        FROM (
            SELECT i.n, saleshub.fault(format('/calendars/%s/%s', i.n, k.member), 'duplicate',
                                       k.problem) -> 0 AS fault
            FROM saleshub.set_items(body, 'calendars') i,
                 LATERAL (VALUES
                     ('name', 'is given twice', EXISTS (
                         SELECT FROM saleshub.set_items(body, 'calendars') o
                         WHERE o.n < i.n AND lower(o.item ->> 'name') = lower(i.item ->> 'name'))),
                     ('is_default', 'is true of another calendar, too', i.item -> 'is_default' = 'true'
                         AND EXISTS (SELECT FROM saleshub.set_items(body, 'calendars') o
                                     WHERE o.n < i.n AND o.item -> 'is_default' = 'true')))
                     AS k (member, problem, twice)
            WHERE k.twice
            UNION ALL
            SELECT i.n, f || jsonb_build_object('pointer', format('/calendars/%s%s', i.n,
                                                                  f ->> 'pointer'))
            FROM saleshub.set_items(body, 'calendars') i,
                 jsonb_array_elements(saleshub.fiscal_period_faults(
                     CASE jsonb_typeof(i.item -> 'periods') WHEN 'array' THEN i.item -> 'periods'
                     ELSE '[]' END)) f) f);
END;
$$;
COMMENT ON FUNCTION saleshub.fiscal_faults(jsonb) IS
    'What the schema does not say about calendars: names and the default are there once, periods follow one another.';

CREATE FUNCTION saleshub.routes_fiscal() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/fiscal-calendars', 'crm.fiscal_calendars_get()',
                           'Fiscal calendars', 'analytics', cache => 'strict',
                           answer => '{"calendars": ["object"]}');
    PERFORM saleshub.route('PUT /v1/fiscal-calendars', 'crm.fiscal_calendars_put(jsonb)',
                           'Replace the fiscal calendars', 'analytics',
                           args => jsonb_build_object('body', saleshub.fiscal_schema()),
                           answer => '{"calendars": ["object"]}');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_fiscal() IS 'Registers the routes of fiscal calendars.';
