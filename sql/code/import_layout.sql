-- From what the member asks for and what the file looks like to what becomes of each column.

CREATE FUNCTION saleshub.import_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "type": "object", "additionalProperties": false, "properties": {
            "columns": {"type": "object"},
            "defaults": {"type": "object"},
            "auto": {"type": "boolean"},
            "encoding": {"type": "string", "maxLength": 40},
            "delimiter": {"type": "string", "maxLength": 1, "minLength": 1},
            "quote": {"type": ["string", "null"], "maxLength": 1},
            "header": {"type": "boolean"},
            "locale": {"type": "string", "maxLength": 20},
            "decimal": {"type": "string", "enum": [".", ","]},
            "date_format": {"type": "string", "maxLength": 20},
            "timezone": {"type": "string", "maxLength": 64},
            "blank": {"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 100}},
            "match": {"type": "object", "additionalProperties": false, "properties": {
                "key": {"type": ["string", "array"], "maxLength": 110, "maxItems": 5,
                        "items": {"type": "string", "maxLength": 110}},
                "fuzzy": {"type": "boolean"},
                "on_match": {"type": "string", "enum": ["update", "fill_blank", "skip", "create"]},
                "on_missing": {"type": "string", "enum": ["create", "skip", "error"]}}},
            "create": {"type": "array", "maxItems": 10, "items": {
                "type": "string", "enum": ["company", "contact", "product", "team", "member"]}},
            "email_domain": {"type": "string", "maxLength": 253},
            "atomic": {"type": "boolean"},
            "force": {"type": "boolean"},
            "batch": {"type": "integer", "minimum": 1, "maximum": 10000}}}'::jsonb;
COMMENT ON FUNCTION saleshub.import_schema() IS
    'JSON Schema of the options of an import.';

CREATE FUNCTION saleshub.import_fault(pointer text, code text, detail text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.raise('22023', 'options' || pointer || ' ' || detail, jsonb_build_object(
        'code', 'invalid_options', 'errors', saleshub.fault('/options' || pointer, code, detail)));
END;
$$;
COMMENT ON FUNCTION saleshub.import_fault(text, text, text) IS
    'Raises 22023 for an option of an import.';

CREATE FUNCTION saleshub.import_locale(options jsonb, OUT "decimal" text, OUT date_order text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    tag text := lower(replace(options ->> 'locale', '_', '-'));
    tongue text := split_part(tag, '-', 1);
    letters text := regexp_replace(upper(options ->> 'date_format'), '[^DMYJ]', '', 'g');
BEGIN
    "decimal" := coalesce(options ->> 'decimal', CASE
        WHEN tag IN ('de-ch', 'de-li', 'it-ch', 'en-in', 'es-mx', 'es-us') THEN '.'
        WHEN tongue IN ('en', 'zh', 'ja', 'ko', 'th', 'he') THEN '.'
        WHEN tag IS NOT NULL THEN ',' END);
    date_order := coalesce(left(letters, 1), CASE
        WHEN tag IN ('en', 'en-us') THEN 'M'
        WHEN tongue IN ('zh', 'ja', 'ko', 'sv', 'hu', 'lt') OR tag = 'en-ca' THEN 'Y'
        WHEN tag IS NOT NULL THEN 'D' END);
    IF options ? 'date_format' AND coalesce(date_order, '') NOT IN ('D', 'M', 'Y', 'J') THEN
        PERFORM saleshub.import_fault('/date_format', 'invalid', 'must be like DMY, MM/DD/YYYY or YMD');
    END IF;
    date_order := translate(date_order, 'J', 'Y');
END;
$$;
COMMENT ON FUNCTION saleshub.import_locale(jsonb) IS
    'How numbers and dates are written, as far as the options say: the decimal separator, and whether the day (D), the month (M) or the year (Y) comes first.';

CREATE FUNCTION saleshub.import_specs(entity text, fields jsonb, look jsonb, options jsonb)
    RETURNS TABLE (place integer, header text, spec jsonb)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    asked jsonb := coalesce(options -> 'columns', '{}');
    name text;
BEGIN
    FOR name IN SELECT jsonb_object_keys(asked)
    LOOP
        IF NOT EXISTS (SELECT FROM jsonb_array_elements(look -> 'columns') c
                       WHERE lower(c ->> 'name') = lower(name))
        THEN
            PERFORM saleshub.import_fault(saleshub.pointer('/columns', name), 'unknown',
                                          'is no column of the file');
        END IF;
    END LOOP;
    RETURN QUERY
    WITH col AS (
        SELECT (c.n - 1)::integer AS place, c.v ->> 'name' AS header, (
                SELECT a.value FROM jsonb_each(asked) a
                WHERE lower(a.key) = lower(c.v ->> 'name') LIMIT 1) AS said, c.v AS look
        FROM jsonb_array_elements(look -> 'columns') WITH ORDINALITY AS c (v, n)
        WHERE c.v ->> 'name' NOT IN ('error_line', 'error_column', 'error_code', 'error_message')
    ), guess AS (
        SELECT g.place, to_jsonb(g.field) AS field
        FROM (SELECT col.place, saleshub.import_guess(entity, fields, col.header) AS field
              FROM col
              WHERE col.said IS NULL AND coalesce((options ->> 'auto')::boolean, true)) g
        WHERE g.field IS NOT NULL
    )
    SELECT col.place, col.header,
           CASE jsonb_typeof(s.value) WHEN 'object' THEN s.value
                ELSE jsonb_build_object('field', s.value) END
           || jsonb_build_object('look', col.look)
    FROM col
    LEFT JOIN guess ON guess.place = col.place,
    LATERAL jsonb_array_elements(CASE jsonb_typeof(col.said) WHEN 'array' THEN col.said
                                 ELSE jsonb_build_array(coalesce(col.said, guess.field)) END) s
    WHERE s.value <> 'null' AND s.value -> 'ignore' IS DISTINCT FROM 'true'
    UNION ALL
    SELECT -1, d.key, jsonb_build_object('field', d.key, 'default', d.value)
    FROM jsonb_each(coalesce(options -> 'defaults', '{}')) d
    ORDER BY 1;
END;
$$;
COMMENT ON FUNCTION saleshub.import_specs(text, jsonb, jsonb, jsonb) IS
    'What each column of a file becomes, as asked for or as its header suggests; a place of -1 is a value for all rows.';

CREATE FUNCTION saleshub.import_custom(spec jsonb, pointer text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind text := coalesce(spec ->> 'type', 'text');
BEGIN
    IF spec ->> 'field' !~ '^custom\..{1,100}$' THEN
        PERFORM saleshub.import_fault(pointer, 'unknown', format('there is no field "%s"', spec ->> 'field'));
    ELSIF kind NOT IN ('text', 'number', 'integer', 'boolean', 'date', 'timestamp', 'tags') THEN
        PERFORM saleshub.import_fault(pointer, 'unknown', format('there is no type "%s"', kind));
    END IF;
    RETURN jsonb_build_object('field', spec -> 'field', 'kind', kind, 'columns', '["custom"]'::jsonb,
                              'member', substr(spec ->> 'field', 8));
END;
$$;
COMMENT ON FUNCTION saleshub.import_custom(jsonb, text) IS
    'A field of custom that nobody has defined: its type is as said, else text.';

CREATE FUNCTION saleshub.import_target(field jsonb, spec jsonb, header text, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    own record := saleshub.import_locale(spec - 'locale');
    whole record := saleshub.import_locale(options);
    seen_decimal text := nullif(spec #>> '{look,decimal}', '?');
    seen_order text := nullif(spec #>> '{look,date_format}', '?');
BEGIN
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'column', header, 'field', field -> 'field', 'kind', field -> 'kind', 'max', field -> 'max',
        'list', field -> 'list', 'member', field -> 'member', 'default', nullif(spec ->> 'default', 'product.price'),
        'required', coalesce(spec -> 'required', field -> 'required'),
        'warn', coalesce(spec -> 'warn', field #> '{link,warn}', field -> 'warn'),
        'decimal', coalesce(own."decimal", whole."decimal", seen_decimal),
        'order', coalesce(own.date_order, whole.date_order, left(seen_order, 1))))
        -- null means blank here
        || CASE WHEN spec ? 'map' OR options ? 'blank' THEN jsonb_build_object('map', (
            SELECT coalesce(jsonb_object_agg(lower(btrim(m.key)), m.value), '{}')
            FROM (SELECT b AS key, 'null'::jsonb AS value
                  FROM jsonb_array_elements_text(coalesce(options -> 'blank', '[]')) b
                  UNION ALL
                  SELECT e.key, CASE WHEN e.value = 'null' THEN e.value ELSE to_jsonb(e.value #>> '{}') END
                  FROM jsonb_each(coalesce(spec -> 'map', '{}')) e) m))
           ELSE '{}' END;
END;
$$;
COMMENT ON FUNCTION saleshub.import_target(jsonb, jsonb, text, jsonb) IS
    'How the cells of a column are read: a target of the layout, still without places.';

CREATE FUNCTION saleshub.import_outs(entity text, targets jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'column', c.name, 'type', (
                SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
                WHERE a.attrelid = to_regclass('crm.' || entity) AND a.attname = c.name
                    AND NOT a.attisdropped)) ORDER BY c.first), '[]')
        FROM (SELECT col.value #>> '{}' AS name, min(t.n * 10 + col.n) AS first
              FROM jsonb_array_elements(targets) WITH ORDINALITY AS t (v, n),
                   jsonb_array_elements(t.v -> 'columns') WITH ORDINALITY AS col (value, n)
              GROUP BY 1) c);
END;
$$;
COMMENT ON FUNCTION saleshub.import_outs(text, jsonb) IS
    'The values that rows give, each once: [{column, type}]; those without a type are no columns of the table.';

CREATE FUNCTION saleshub.import_targets(entity text, fields jsonb, look jsonb, options jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    col record;
    field jsonb;
    pointer text;
    targets jsonb := '[]';
    taken text[] := '{}';
BEGIN
    FOR col IN SELECT * FROM saleshub.import_specs(entity, fields, look, options) s
               ORDER BY s.place < 0, s.place
    LOOP
        CONTINUE WHEN col.place < 0 AND (col.spec ->> 'field') = ANY (taken);
        pointer := saleshub.pointer(CASE WHEN col.place < 0 THEN '/defaults' ELSE '/columns' END, col.header);
        field := coalesce(fields -> (col.spec ->> 'field'), saleshub.import_custom(col.spec, pointer));
        IF (col.spec ->> 'field') = ANY (taken) THEN
            -- of two headers that mean the same the first one counts, unless somebody asked for both
            CONTINUE WHEN NOT coalesce(options -> 'columns', '{}') ? col.header;
            PERFORM saleshub.import_fault(pointer, 'taken', format(
                'is the second column for "%s"', col.spec ->> 'field'));
        END IF;
        taken := taken || (col.spec ->> 'field');
        targets := targets || (saleshub.import_target(field, col.spec, col.header, options)
            || jsonb_build_object('at', col.place, 'columns', field -> 'columns')
            || CASE WHEN field ? 'link' THEN jsonb_build_object(
                'link', (field -> 'link') || jsonb_strip_nulls(jsonb_build_object(
                    'by', col.spec -> 'by', 'create', col.spec -> 'create')))
               ELSE '{}' END
            || CASE WHEN field ? 'key_only' THEN '{"key_only": true}'::jsonb ELSE '{}' END);
    END LOOP;
    RETURN targets;
END;
$$;
COMMENT ON FUNCTION saleshub.import_targets(text, jsonb, jsonb, jsonb) IS
    'What the columns of a file become, in their order.';

CREATE FUNCTION saleshub.import_keys(options jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE pg_catalog.jsonb_typeof(options #> '{match,key}')
        WHEN 'array' THEN ARRAY(SELECT replace(k, 'external_id', 'custom.external_id')
                                FROM jsonb_array_elements_text(options #> '{match,key}') k)
        WHEN 'string' THEN ARRAY[CASE options #>> '{match,key}' WHEN 'external_id' THEN 'custom.external_id'
                                      ELSE options #>> '{match,key}' END]
        ELSE '{}' END;
COMMENT ON FUNCTION saleshub.import_keys(jsonb) IS
    'The fields that tell records apart, the strongest first.';

CREATE FUNCTION saleshub.import_match_fields(entity text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE entity
        WHEN 'lead' THEN '{id,email,phone}' WHEN 'contact' THEN '{id,email,phone}'
        WHEN 'company' THEN '{id,name,domain,phone}' WHEN 'deal' THEN '{id,name}'
        WHEN 'product' THEN '{id,name,sku}' WHEN 'member' THEN '{id,name,email}'
        ELSE '{id,subject}' END::text[];
COMMENT ON FUNCTION saleshub.import_match_fields(text) IS
    'Fields by which records of a kind are found, besides custom fields.';

CREATE FUNCTION saleshub.import_layout(entity text, look jsonb, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    targets jsonb := saleshub.import_targets(entity, saleshub.import_fields(entity), look, options);
    outs jsonb := saleshub.import_outs(entity, targets);
    keys text[] := saleshub.import_keys(options);
    name text;
BEGIN
    IF targets = '[]' THEN
        PERFORM saleshub.import_fault('/columns', 'required',
            'must say what the columns are: no header of the file is the name of a field');
    END IF;
    FOREACH name IN ARRAY keys
    LOOP
        IF name NOT LIKE 'custom.%' AND name <> ALL (saleshub.import_match_fields(entity)) THEN
            PERFORM saleshub.import_fault('/match/key', 'not_allowed', 'must be one of '
                || array_to_string(saleshub.import_match_fields(entity), ', ') || ' or custom.<field>');
        ELSIF NOT targets @> jsonb_build_array(jsonb_build_object('field', name)) THEN
            PERFORM saleshub.import_fault('/match/key', 'not_mapped', format('names "%s", which no column gives', name));
        END IF;
    END LOOP;
    RETURN jsonb_build_object(
        'encoding', look -> 'encoding', 'delimiter', look -> 'delimiter',
        'quote', CASE WHEN options -> 'quote' = 'null' THEN '' ELSE coalesce(options ->> 'quote', '"') END,
        'header', look -> 'header', 'width', jsonb_array_length(look -> 'columns'),
        'zone', coalesce(options ->> 'timezone', (SELECT o.timezone FROM crm.org o
                                                  WHERE o.org_id = saleshub.org_id()), 'UTC'),
        'outs', jsonb_array_length(outs), 'columns', outs,
        'key_targets', (SELECT count(*) FROM jsonb_array_elements(targets) t WHERE t ->> 'field' = ANY (keys)),
        'keys', to_jsonb(keys),
        'line_column', coalesce(saleshub.import_place(look -> 'columns', 'name', 'error_line'), -1),
        'targets', (
            SELECT jsonb_agg(t || jsonb_build_object(
                'out', saleshub.import_place(outs, 'column', t #>> '{columns,0}'),
                'out2', coalesce(saleshub.import_place(outs, 'column', t #>> '{columns,1}'), -1))
                ORDER BY coalesce(array_position(keys, t ->> 'field'), 1000), n)
            FROM jsonb_array_elements(targets) WITH ORDINALITY AS e (t, n)));
END;
$$;
COMMENT ON FUNCTION saleshub.import_layout(text, jsonb, jsonb) IS
    'The layout of an import, as the reader in C takes it and the statements are made of.';

CREATE FUNCTION saleshub.import_place(list jsonb, member text, value text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (e.n - 1)::integer
    FROM jsonb_array_elements(import_place.list) WITH ORDINALITY AS e (v, n)
    WHERE e.v ->> import_place.member = import_place.value
    ORDER BY e.n
    LIMIT 1;
END;
COMMENT ON FUNCTION saleshub.import_place(jsonb, text, text) IS
    'Where in a list of objects the first one with this member stands, from 0; NULL for nowhere.';
