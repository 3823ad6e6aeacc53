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
