-- Checks of bodies against the JSON Schemas of the routes, for callers that use SQL. The gateway
-- checks the same schemas before it calls.

CREATE FUNCTION saleshub.bad_parameter(parameter text, code text, detail text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.raise(
        '22023', format('invalid parameter "%s"', parameter),
        jsonb_build_object('code', 'invalid_parameter',
                           'errors', saleshub.parameter_fault(parameter, code, detail)),
        detail);
END;
$$;
COMMENT ON FUNCTION saleshub.bad_parameter(text, text, text) IS
    'Raises 22023 for a parameter of a list.';

CREATE FUNCTION saleshub.fault(pointer text, code text, detail text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
        'pointer', pointer, 'code', code, 'detail', detail));
COMMENT ON FUNCTION saleshub.fault(text, text, text) IS
    'One error in a list, to be appended with ||.';

CREATE FUNCTION saleshub.parameter_fault(parameter text, code text, detail text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
        'parameter', parameter, 'code', code, 'detail', detail));
COMMENT ON FUNCTION saleshub.parameter_fault(text, text, text) IS
    'One error about a parameter, to be appended with ||.';

CREATE FUNCTION saleshub.faults_at(at text, faults jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(e || jsonb_build_object('pointer', at || (e ->> 'pointer')) ORDER BY n), '[]')
      FROM jsonb_array_elements(faults) WITH ORDINALITY AS f (e, n)
$$;
COMMENT ON FUNCTION saleshub.faults_at(text, jsonb) IS
    'Faults of something that stands at this JSON pointer of a body; NULL counts as none';

CREATE FUNCTION saleshub.format_ok(format text, value text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    CASE format
        WHEN 'uuid' THEN
            RETURN value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
        WHEN 'date' THEN
            IF value !~ '^\d{4}-\d\d-\d\d$' THEN
                RETURN false;
            END IF;
            PERFORM value::date;
        WHEN 'date-time' THEN
            IF value !~* '^\d{4}-\d\d-\d\d[t ]\d\d:\d\d(:\d\d(\.\d+)?)?(z|[+-]\d\d:?\d\d)$' THEN
                RETURN false;
            END IF;
            PERFORM value::timestamptz;
        WHEN 'email' THEN
            RETURN saleshub.email_ok(lower(btrim(value)));
        WHEN 'decimal' THEN
            RETURN value ~ '^-?\d{1,15}(\.\d{1,6})?$';
        ELSE
            NULL;
    END CASE;
    RETURN true;
EXCEPTION
    WHEN data_exception THEN
        RETURN false;
END;
$$;
COMMENT ON FUNCTION saleshub.format_ok(text, text) IS
    'Whether a string has a format of JSON Schema: uuid, date, date-time, email; or is a decimal number.';

CREATE FUNCTION saleshub.schema_type_ok(types jsonb, value jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN types IS NULL OR types @> pg_catalog.to_jsonb(pg_catalog.jsonb_typeof(value))
        OR (pg_catalog.jsonb_typeof(value) = 'number' AND types @> '"integer"'
            AND pg_catalog.trunc((value #>> '{}')::numeric) = (value #>> '{}')::numeric);
COMMENT ON FUNCTION saleshub.schema_type_ok(jsonb, jsonb) IS
    'Whether a value has one of the types of a JSON Schema.';

CREATE FUNCTION saleshub.schema_scalar_errors(schema jsonb, value jsonb, pointer text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind text := jsonb_typeof(value);
    string text := value #>> '{}';
    bad jsonb := '[]';
BEGIN
    IF kind = 'string' THEN
        IF length(string) > (schema ->> 'maxLength')::integer THEN
            bad := bad || saleshub.fault(pointer, 'too_long', format(
                'must have at most %s characters', schema ->> 'maxLength'));
        ELSIF length(string) < (schema ->> 'minLength')::integer THEN
            bad := bad || saleshub.fault(pointer, 'too_short', format(
                'must have at least %s characters', schema ->> 'minLength'));
        ELSIF schema ? 'format' AND NOT saleshub.format_ok(schema ->> 'format', string) THEN
            bad := bad || saleshub.fault(pointer, 'invalid_format', format(
                'must be a valid %s', schema ->> 'format'));
        END IF;
    ELSIF kind = 'number' THEN
        IF string::numeric < (schema ->> 'minimum')::numeric THEN
            bad := bad || saleshub.fault(pointer, 'too_small', format(
                'must be at least %s', schema ->> 'minimum'));
        ELSIF string::numeric > coalesce((schema ->> 'maximum')::numeric, 1e15) THEN
            bad := bad || saleshub.fault(pointer, 'too_large', format(
                'must be at most %s', coalesce(schema ->> 'maximum', '1000000000000000')));
        END IF;
    END IF;
    RETURN bad;
END;
$$;
COMMENT ON FUNCTION saleshub.schema_scalar_errors(jsonb, jsonb, text) IS
    'What is wrong with a string or number by a JSON Schema.';

CREATE FUNCTION saleshub.schema_errors(schema jsonb, value jsonb, pointer text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    types jsonb := CASE jsonb_typeof(schema -> 'type')
        WHEN 'string' THEN jsonb_build_array(schema -> 'type') ELSE schema -> 'type' END;
    member text;
    item jsonb;
    place bigint;
    bad jsonb := '[]';
BEGIN
    IF schema = 'false' THEN
        RETURN saleshub.fault(pointer, 'unknown_member', 'is not known here');
    ELSIF schema -> 'readOnly' = 'true' THEN
        RETURN saleshub.fault(pointer, 'read_only', 'may not be written by this role');
    ELSIF NOT saleshub.schema_type_ok(types, value) THEN
        RETURN saleshub.fault(pointer, 'invalid_type', 'must be ' || (
            SELECT string_agg(t, ' or ') FROM jsonb_array_elements_text(types) t));
    ELSIF schema ? 'enum' AND NOT schema -> 'enum' @> jsonb_build_array(value) THEN
        RETURN saleshub.fault(pointer, 'not_allowed', 'must be one of ' || (
            SELECT string_agg(t, ', ') FROM jsonb_array_elements_text(schema -> 'enum') t));
    END IF;

    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            FOR member IN SELECT * FROM jsonb_array_elements_text(schema -> 'required')
            LOOP
                IF NOT value ? member OR value -> member = 'null' THEN
                    bad := bad || saleshub.fault(saleshub.pointer(pointer, member), 'required',
                                                 'is required');
                END IF;
            END LOOP;
            FOR member, item IN SELECT e.key, e.value FROM jsonb_each(value) e
            LOOP
                IF schema -> 'properties' ? member THEN
                    IF item <> 'null' OR NOT coalesce(schema -> 'required', '[]') ? member THEN
                        bad := bad || saleshub.schema_errors(
                            schema -> 'properties' -> member, item,
                            saleshub.pointer(pointer, member));
                    END IF;
                ELSIF schema -> 'additionalProperties' = 'false' THEN
                    bad := bad || saleshub.fault(saleshub.pointer(pointer, member),
                                                 'unknown_member', 'is not known here');
                END IF;
            END LOOP;
        WHEN 'array' THEN
            IF jsonb_array_length(value) > (schema ->> 'maxItems')::integer THEN
                RETURN saleshub.fault(pointer, 'too_many', format(
                    'must have at most %s items', schema ->> 'maxItems'));
            END IF;
            IF schema ? 'items' THEN
                FOR item, place IN SELECT i.value, i.n - 1
                                   FROM jsonb_array_elements(value) WITH ORDINALITY i (value, n)
                LOOP
                    bad := bad || saleshub.schema_errors(
                        schema -> 'items', item, saleshub.pointer(pointer, place::text));
                END LOOP;
            END IF;
        ELSE
            bad := saleshub.schema_scalar_errors(schema, value, pointer);
    END CASE;
    RETURN bad;
END;
$$;
COMMENT ON FUNCTION saleshub.schema_errors(jsonb, jsonb, text) IS
    'All that is wrong with a JSON value by a JSON Schema, as the errors of a problem document.';

CREATE FUNCTION saleshub.pointer(parent text, member text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN parent || '/' || pg_catalog.replace(pg_catalog.replace(member, '~', '~0'), '/', '~1');
COMMENT ON FUNCTION saleshub.pointer(text, text) IS
    'JSON pointer (RFC 6901) of a member of what the parent points to.';

CREATE FUNCTION saleshub.check_body(schema jsonb, body jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    bad jsonb;
BEGIN
    bad := saleshub.schema_errors(schema, coalesce(body, 'null'), '');
    IF bad <> '[]' THEN
        PERFORM saleshub.raise(
            '22023',
            CASE WHEN bad -> 0 ->> 'pointer' = '' THEN 'the body ' || (bad -> 0 ->> 'detail')
                 ELSE format('%s %s', bad -> 0 ->> 'pointer', bad -> 0 ->> 'detail') END,
            jsonb_build_object('code', 'invalid_body', 'errors', bad));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.check_body(jsonb, jsonb) IS
    'Raises 22023 with all errors of a body by its JSON Schema.';
