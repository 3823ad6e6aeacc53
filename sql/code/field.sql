-- Fields: one description per noun says how its rows become JSON, what bodies may hold, and what
-- lists can filter and sort by. saleshub.record_meta turns it into SQL text and JSON Schemas;
-- being immutable and called without arguments, that is done once per backend and caller.

CREATE FUNCTION saleshub.utc(at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (pg_catalog.to_jsonb(at AT TIME ZONE 'UTC') #>> '{}') || 'Z';
COMMENT ON FUNCTION saleshub.utc(timestamptz) IS
    'An instant as the API writes it: RFC 3339 in UTC.';

CREATE FUNCTION saleshub.money_json(amount numeric, currency text) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN amount IS NOT NULL THEN pg_catalog.jsonb_build_object(
        'amount', pg_catalog.round(amount, greatest(2, pg_catalog.min_scale(amount)))::text,
        'currency', currency) END;
COMMENT ON FUNCTION saleshub.money_json(numeric, text) IS
    'An amount as the API writes it: {"amount":"1234.50","currency":"EUR"}.';

CREATE FUNCTION saleshub.money_amount(money jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE pg_catalog.jsonb_typeof(money)
        WHEN 'object' THEN money ->> 'amount' ELSE money #>> '{}' END::numeric;
COMMENT ON FUNCTION saleshub.money_amount(jsonb) IS
    'The amount in a body: a number, a decimal string or {"amount", "currency"}.';

CREATE FUNCTION saleshub.merge_patch(target jsonb, patch jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    member text;
    value jsonb;
BEGIN
    IF jsonb_typeof(patch) IS DISTINCT FROM 'object' THEN
        RETURN patch;
    END IF;
    IF jsonb_typeof(target) IS DISTINCT FROM 'object' THEN
        target := '{}';
    END IF;
    FOR member, value IN SELECT key, e.value FROM jsonb_each(patch) e
    LOOP
        IF value = 'null' THEN
            target := target - member;
        ELSE
            target := target
                || jsonb_build_object(member, saleshub.merge_patch(target -> member, value));
        END IF;
    END LOOP;
    RETURN target;
END;
$$;
COMMENT ON FUNCTION saleshub.merge_patch(jsonb, jsonb) IS
    'The target after a JSON merge patch (RFC 7396).';

CREATE FUNCTION saleshub.record_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "version", "type": "integer", "read_only": true, "not_null": true,
         "filter": false},
        {"name": "created_at", "type": "timestamp", "read_only": true, "not_null": true,
         "sort": true},
        {"name": "created_by", "type": "uuid", "read_only": true},
        {"name": "updated_at", "type": "timestamp", "read_only": true, "not_null": true,
         "sort": true},
        {"name": "updated_by", "type": "uuid", "read_only": true}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.record_fields() IS
    'The fields that every record ends with.';

CREATE FUNCTION saleshub.field_json(field jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    col text := coalesce(field ->> 'column', field ->> 'name');
BEGIN
    IF field ? 'sql' THEN
        RETURN field ->> 'sql';
    END IF;
    RETURN CASE field ->> 'type'
        WHEN 'timestamp' THEN format('saleshub.utc(t.%I)', col)
        WHEN 'money' THEN format('saleshub.money_json(t.%I, t.%I)', col, field ->> 'currency')
        WHEN 'consent' THEN
            'jsonb_build_object(''email'', t.consent_email, ''phone'', t.consent_phone)'
        WHEN 'links' THEN saleshub.activity_links()
        WHEN 'lines' THEN saleshub.deal_lines()
        WHEN 'converted' THEN
            'CASE WHEN t.converted_at IS NOT NULL THEN jsonb_build_object('
            '''company_id'', t.converted_company_id, ''contact_id'', t.converted_contact_id,'
            ' ''deal_id'', t.converted_deal_id, ''at'', saleshub.utc(t.converted_at)) END'
        ELSE format('t.%I', col)
    END;
END;
$$;
COMMENT ON FUNCTION saleshub.field_json(jsonb) IS
    'SQL text of a field''s value for JSON; the row is called t.';

CREATE FUNCTION saleshub.field_set(field jsonb, patching boolean) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    name text := field ->> 'name';
    col text := coalesce(field ->> 'column', name);
    plain text := format('$1 #>> ''{b,%s}''', name);
    tree text := format('$1 #> ''{b,%s}''', name);
    expr text;
BEGIN
    IF field ? 'set' THEN
        RETURN (SELECT jsonb_agg(jsonb_build_array(s.key, format(s.value, plain)))
                FROM jsonb_each_text(field -> 'set') s);
    END IF;
    CASE field ->> 'type'
        WHEN 'money' THEN
            expr := format('coalesce($1 #>> ''{b,%s,currency}'', $1 #>> ''{b,%s}''%s)',
                           name, field ->> 'currency',
                           CASE WHEN patching THEN format(', t.%I', field ->> 'currency') END);
            RETURN jsonb_build_array(
                jsonb_build_array(col, format('saleshub.money_amount(%s)', tree)),
                jsonb_build_array(field ->> 'currency', expr));
        WHEN 'consent' THEN
            RETURN (
                SELECT jsonb_agg(jsonb_build_array(
                    'consent_' || m,
                    format(CASE WHEN patching THEN
                               'CASE WHEN %1$s = ''null'' OR %1$s ? %2$L'
                               ' THEN (%1$s ->> %2$L)::boolean ELSE t.consent_%2$s END'
                           ELSE '(%1$s ->> %2$L)::boolean' END, '(' || tree || ')', m)))
                FROM unnest(ARRAY['email', 'phone']) m);
        WHEN 'tags' THEN
            expr := format('ARRAY(SELECT jsonb_array_elements_text('
                           'coalesce(nullif(%s, ''null''), ''[]'')))', tree);
        WHEN 'object' THEN
            expr := format('coalesce(nullif(saleshub.merge_patch(%s, %s), ''null''), ''{}'')',
                           CASE WHEN patching THEN format('t.%I', col) ELSE '''{}''' END, tree);
        WHEN 'integer' THEN expr := format('(%s)::numeric::integer', plain);
        WHEN 'number' THEN expr := format('(%s)::numeric', plain);
        WHEN 'boolean', 'uuid', 'date' THEN expr := format('(%s)::%s', plain, field ->> 'type');
        WHEN 'timestamp' THEN expr := format('(%s)::timestamptz', plain);
        ELSE expr := plain;
    END CASE;
    RETURN jsonb_build_array(jsonb_build_array(col, expr));
END;
$$;
COMMENT ON FUNCTION saleshub.field_set(jsonb, boolean) IS
    'What a field of a body writes: [[column, SQL text]] with the body in $1 -> b and the row t.';

CREATE FUNCTION saleshub.field_schema(field jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    schema jsonb;
    required boolean := coalesce((field ->> 'required')::boolean, false);
BEGIN
    schema := CASE field ->> 'type'
        WHEN 'text' THEN jsonb_build_object('type', 'string',
                                            'maxLength', coalesce((field ->> 'max')::integer, 200))
        WHEN 'enum' THEN jsonb_build_object('type', 'string', 'enum',
                                            coalesce(field -> 'written', field -> 'values'))
        WHEN 'integer' THEN '{"type": "integer", "minimum": 0, "maximum": 2147483647}'
        WHEN 'number' THEN '{"type": "number", "minimum": 0}'
        WHEN 'boolean' THEN '{"type": "boolean"}'
        WHEN 'uuid' THEN '{"type": "string", "format": "uuid"}'
        WHEN 'date' THEN '{"type": "string", "format": "date"}'
        WHEN 'timestamp' THEN '{"type": "string", "format": "date-time"}'
        WHEN 'money' THEN '{
            "type": ["number", "string", "object"], "format": "decimal",
            "properties": {
                "amount": {"type": ["number", "string"], "format": "decimal"},
                "currency": {"type": "string", "minLength": 3, "maxLength": 3}},
            "required": ["amount"], "additionalProperties": false}'
        WHEN 'consent' THEN '{
            "type": "object",
            "properties": {"email": {"type": ["boolean", "null"]},
                           "phone": {"type": ["boolean", "null"]}},
            "additionalProperties": false}'
        WHEN 'tags' THEN '{
            "type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 64}}'
        WHEN 'links' THEN '{
            "type": "array", "maxItems": 100, "items": {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "enum": ["lead", "contact", "company", "deal"]},
                    "id": {"type": "string", "format": "uuid"}},
                "required": ["type", "id"], "additionalProperties": false}}'
        WHEN 'object' THEN '{"type": "object"}'
    END::jsonb;
    IF field ->> 'type' = 'lines' THEN
        schema := saleshub.deal_lines_schema();
    END IF;
    IF field ? 'schema' THEN
        schema := schema || (field -> 'schema');
    END IF;
    IF required THEN
        RETURN CASE WHEN field ->> 'type' = 'text' THEN schema || '{"minLength": 1}'
                    ELSE schema END;
    END IF;
    IF schema ? 'enum' THEN
        schema := jsonb_set(schema, '{enum}', (schema -> 'enum') || '[null]');
    END IF;
    RETURN jsonb_set(schema, '{type}', CASE jsonb_typeof(schema -> 'type')
                     WHEN 'array' THEN (schema -> 'type') || '["null"]'
                     ELSE jsonb_build_array(schema -> 'type', 'null') END);
END;
$$;
COMMENT ON FUNCTION saleshub.field_schema(jsonb) IS
    'JSON Schema of a field in a body; null is allowed unless the field is required.';

CREATE FUNCTION saleshub.body_schema(fields jsonb, patching boolean) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'type', 'object',
        'properties', jsonb_object_agg(f.value ->> 'name', saleshub.field_schema(f.value)),
        'required', CASE WHEN NOT body_schema.patching THEN
            jsonb_agg(f.value -> 'name') FILTER (WHERE (f.value ->> 'required')::boolean) END,
        'additionalProperties', false))
    FROM jsonb_array_elements(body_schema.fields) f
    WHERE NOT coalesce((f.value ->> 'read_only')::boolean, false);
END;
COMMENT ON FUNCTION saleshub.body_schema(jsonb, boolean) IS
    'JSON Schema of the body that creates a record, or of the patch that changes one.';

CREATE FUNCTION saleshub.field_cast(kind text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN kind IN ('integer', 'number', 'money') THEN 'numeric'
        WHEN kind = 'timestamp' THEN 'timestamptz'
        WHEN kind IN ('enum', 'tags') THEN 'text'
        ELSE kind END;
COMMENT ON FUNCTION saleshub.field_cast(text) IS
    'The SQL type that values of a kind of field are compared as.';

CREATE FUNCTION saleshub.field_column(field jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 't.' || pg_catalog.quote_ident(coalesce(field ->> 'column', field ->> 'name'));
COMMENT ON FUNCTION saleshub.field_column(jsonb) IS
    'SQL text of the column behind a field; the row is called t.';

CREATE FUNCTION saleshub.field_sort(field jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_object(
        'sql', saleshub.field_column(field),
        'cast', saleshub.field_cast(field ->> 'type'),
        'not_null', field ? 'not_null');
COMMENT ON FUNCTION saleshub.field_sort(jsonb) IS
    'How lists sort by a field.';

CREATE FUNCTION saleshub.field_filter(field jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind text := field ->> 'type';
BEGIN
    IF field -> 'filter' = 'false' OR kind IN ('object', 'consent', 'links', 'converted')
       OR (field ? 'sql' AND NOT field ? 'filter')
    THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'name', field -> 'name', 'type', kind,
        'sql', saleshub.field_column(field),
        'exists', CASE WHEN field ? 'linked' THEN format(
            'EXISTS (SELECT FROM crm.activity_link l WHERE l.org_id = t.org_id'
            ' AND l.activity_id = t.activity_id AND l.entity = %L AND l.entity_id = %%s)',
            field ->> 'linked') END,
        'cast', saleshub.field_cast(kind),
        'email', CASE WHEN field #>> '{schema,format}' = 'email' THEN true END,
        -- stored in the letter case that conditions compare, so that an index can answer them
        'folded', CASE WHEN field #>> '{schema,format}' = 'email' OR field ? 'folded' THEN true END,
        'schema', CASE kind
            WHEN 'integer' THEN '{"type": "integer"}'
            WHEN 'number' THEN '{"type": "number"}'
            WHEN 'money' THEN '{"type": "number"}'
            WHEN 'boolean' THEN '{"type": "boolean"}'
            WHEN 'uuid' THEN '{"type": "string", "description": "a UUID, or null"}'
            WHEN 'date' THEN '{"type": "string", "description": "a date, or null"}'
            WHEN 'timestamp' THEN '{"type": "string", "description": "a date or time, or null"}'
            WHEN 'enum' THEN jsonb_build_object('type', 'string', 'enum', field -> 'values')
            ELSE '{"type": "string"}' END::jsonb));
END;
$$;
COMMENT ON FUNCTION saleshub.field_filter(jsonb) IS
    'How lists filter by a field: SQL text, cast, schema of values; NULL if they cannot.';

CREATE FUNCTION saleshub.build_object(pairs text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(part, ' || ' ORDER BY chunk)
    FROM (
        SELECT (n - 1) / 40 AS chunk,
               'jsonb_build_object(' || string_agg(pair, ', ' ORDER BY n) || ')' AS part
        FROM unnest(build_object.pairs) WITH ORDINALITY AS p (pair, n)
        GROUP BY 1
    ) chunks;
END;
COMMENT ON FUNCTION saleshub.build_object(text[]) IS
    'SQL text that builds one JSON object from key, value texts; a call takes 100 arguments.';

CREATE FUNCTION saleshub.record_meta(noun text, plural text, own_fields jsonb, includes jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := own_fields || saleshub.record_fields();
    meta jsonb := jsonb_build_object('noun', noun, 'plural', plural, 'table', 'crm.' || noun,
                                     'key', noun || '_id', 'include', includes);
BEGIN
    RETURN meta || (
        SELECT jsonb_build_object(
            'select', saleshub.build_object(
                array_agg(format('%L, %s', f ->> 'name', saleshub.field_json(f)) ORDER BY n)
                FILTER (WHERE shown)),
            'json', jsonb_object_agg(f ->> 'name', saleshub.field_json(f)) FILTER (WHERE shown),
            'set', jsonb_agg(jsonb_build_object(
                    'name', f -> 'name',
                    'insert', saleshub.field_set(f, false),
                    'update', saleshub.field_set(f, true)) ORDER BY n)
                FILTER (WHERE f -> 'read_only' IS NULL AND f ->> 'type' NOT IN ('links', 'lines')),
            'sort', jsonb_object_agg(f ->> 'name', saleshub.field_sort(f))
                FILTER (WHERE f ? 'sort'),
            'filter', jsonb_object_agg(f ->> 'name', saleshub.field_filter(f))
                FILTER (WHERE saleshub.field_filter(f) IS NOT NULL),
            'create', saleshub.duplicate_schema(noun, saleshub.body_schema(fields, false)),
            'patch', saleshub.body_schema(fields, true))
        FROM jsonb_array_elements(fields) WITH ORDINALITY AS e (f, n),
             LATERAL (SELECT NOT f ? 'only_filter' AS shown) s
    );
END;
$$;
COMMENT ON FUNCTION saleshub.record_meta(text, text, jsonb, jsonb) IS
    'All that the record functions need to know about a noun, derived from its fields.';
