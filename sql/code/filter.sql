-- Filters: conditions over the fields of a noun, {"field", "op", "value"}, {"and": []}, {"or": []}
-- or {"not": {}}. Lists, saved filters and scoring rules share the grammar and what it means.

CREATE FUNCTION saleshub.filter_compile(fields jsonb, conditions jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_filter_compile';
COMMENT ON FUNCTION saleshub.filter_compile(jsonb, jsonb) IS
    'Conditions as SQL text over the row t, with their values: {"sql", "args"}, the args to be found at $1 -> ''f''; or {"errors": [{pointer, code, detail}]}. fields is the member filter of a noun''s meta';

CREATE FUNCTION saleshub.folded(value text) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_folded';
COMMENT ON FUNCTION saleshub.folded(text) IS
    'Text in the one letter case in which conditions compare it; fit for indexes';

CREATE FUNCTION saleshub.tags_any(tags text[], folded text[]) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_tags_any';
COMMENT ON FUNCTION saleshub.tags_any(text[], text[]) IS
    'Whether one of the tags is one of the folded words, whatever its letter case';

CREATE FUNCTION saleshub.email_at(email text, wanted text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_email_at';
COMMENT ON FUNCTION saleshub.email_at(text, text) IS
    'Whether an address lies in a domain or below it; free and business are the domains of free mail services and the others';

CREATE FUNCTION saleshub.uncached() RETURNS void
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sh_uncached';
COMMENT ON FUNCTION saleshub.uncached() IS
    'Says that what is being answered depends on the time or on other things that no slot stands for: the gateway will not keep it';

CREATE FUNCTION saleshub.member_zone() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce(
        (SELECT m.timezone FROM crm.member m
         WHERE m.org_id = saleshub.org_id() AND m.member_id = saleshub.member_id()),
        (SELECT o.timezone FROM crm.org o WHERE o.org_id = saleshub.org_id()),
        'UTC');
END;
$$;
COMMENT ON FUNCTION saleshub.member_zone() IS
    'The time zone of the member; without one, that of the organisation.';

CREATE FUNCTION saleshub.date_math(expression text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    zone text := saleshub.member_zone();
    at timestamptz := now();
    step text[];
BEGIN
    PERFORM saleshub.uncached();
    expression := CASE expression WHEN 'today' THEN 'now/d' WHEN 'yesterday' THEN 'now-1d/d'
                                  WHEN 'tomorrow' THEN 'now+1d/d' ELSE expression END;
    IF expression !~ '^now([-+][0-9]{0,4}[yMwdhms]|/[yMwdhms])*$' THEN
        RAISE EXCEPTION 'no date math: "%"', expression
            USING ERRCODE = '22007', HINT = 'Write now, then steps as -7d or +1M, and /d for the start of the day.';
    END IF;
    FOR step IN
        SELECT m FROM regexp_matches(substr(expression, 4), '([-+/])([0-9]*)([yMwdhms])', 'g') m
    LOOP
        at := CASE
            WHEN step[1] = '/' THEN date_trunc(
                CASE step[3] WHEN 'y' THEN 'year' WHEN 'M' THEN 'month' WHEN 'w' THEN 'week'
                             WHEN 'd' THEN 'day' WHEN 'h' THEN 'hour' WHEN 'm' THEN 'minute'
                             ELSE 'second' END, at, zone)
            -- hours are hours; days keep the time on the clock
            WHEN step[3] IN ('h', 'm', 's') THEN at + (step[1] || coalesce(nullif(step[2], ''), '1')
                || CASE step[3] WHEN 'h' THEN ' hours' WHEN 'm' THEN ' minutes'
                                ELSE ' seconds' END)::interval
            ELSE ((at AT TIME ZONE zone) + (step[1] || coalesce(nullif(step[2], ''), '1')
                || CASE step[3] WHEN 'y' THEN ' years' WHEN 'M' THEN ' months'
                                WHEN 'w' THEN ' weeks' ELSE ' days' END)::interval)
                AT TIME ZONE zone END;
    END LOOP;
    RETURN at;
END;
$$;
COMMENT ON FUNCTION saleshub.date_math(text) IS
    'The instant that date math names, in the member''s time zone: now, today, now-7d, now/M, now+1M/M-1d (units y M w d h m s; a week begins on Monday); 22007 for anything else. The notation is that of Elasticsearch.';

CREATE FUNCTION saleshub.date_math_day(expression text) RETURNS date
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    RETURN (saleshub.date_math(expression) AT TIME ZONE saleshub.member_zone())::date;
COMMENT ON FUNCTION saleshub.date_math_day(text) IS
    'The day of the instant that date math names, in the member''s time zone.';

CREATE FUNCTION saleshub.filter_value(kind text, value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN pg_catalog.jsonb_typeof(value) IS DISTINCT FROM 'string' THEN value
        WHEN kind IN ('integer', 'number', 'money')
             AND value #>> '{}' ~ '^-?(0|[1-9]\d{0,40})(\.\d{1,80})?$' THEN (value #>> '{}')::jsonb
        WHEN kind = 'boolean' AND value IN ('"true"', '"false"') THEN (value #>> '{}')::jsonb
        ELSE value END;
COMMENT ON FUNCTION saleshub.filter_value(text, jsonb) IS
    'A parameter''s text as the JSON value of its kind, where it is one.';

CREATE FUNCTION saleshub.filter_condition(field jsonb, name jsonb, op text, value jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind text := field ->> 'type';
    equal boolean := op IN ('eq', 'ne');
    listed boolean := op IN ('in', 'not_in') OR equal AND kind IN ('enum', 'uuid', 'tags');
    many boolean;
    items jsonb := CASE
        WHEN jsonb_typeof(value) = 'array' THEN value
        WHEN listed AND jsonb_typeof(value) = 'string'
            THEN to_jsonb(string_to_array(value #>> '{}', ','))
        ELSE jsonb_build_array(value) END;
BEGIN
    IF equal AND (items = '[null]' OR items = '["null"]' AND kind NOT IN ('text', 'tags')) THEN
        RETURN jsonb_build_object('field', name, 'op',
                                  CASE op WHEN 'eq' THEN 'is_null' ELSE 'not_null' END);
    END IF;
    items := (SELECT coalesce(jsonb_agg(saleshub.filter_value(kind, i) ORDER BY n), '[]')
              FROM jsonb_array_elements(items) WITH ORDINALITY AS e (i, n));
    many := jsonb_array_length(items) <> 1 OR kind = 'tags' AND equal OR op IN ('in', 'not_in');
    RETURN jsonb_build_object(
        'field', name,
        'op', CASE WHEN many AND equal THEN CASE op WHEN 'eq' THEN 'in' ELSE 'not_in' END
                   ELSE op END,
        'value', CASE WHEN many THEN items ELSE items -> 0 END);
END;
$$;
COMMENT ON FUNCTION saleshub.filter_condition(jsonb, jsonb, text, jsonb) IS
    'The condition that a parameter of a list states: a comma list is any of its values, null is an
empty field.';
