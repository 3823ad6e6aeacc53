-- Values of custom fields: the check when a record is written, what lists and conditions know
-- about them, and the table that makes some of them searchable and unique.

CREATE FUNCTION saleshub.custom_check(entity text, org uuid, custom jsonb, old_custom jsonb)
RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_custom_check_row';
COMMENT ON FUNCTION saleshub.custom_check(text, uuid, jsonb, jsonb) IS
    'The column custom of a record as it is to be stored, and what is wrong with it: {"custom", "faults": [{pointer, code, detail}]}. Only what differs from old_custom (NULL: a new record) is checked';

CREATE FUNCTION saleshub.custom_text(custom jsonb, key text) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_text_of';
COMMENT ON FUNCTION saleshub.custom_text(jsonb, text) IS
    'A value of the column custom as a text; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_number(custom jsonb, key text) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_number_of';
COMMENT ON FUNCTION saleshub.custom_number(jsonb, text) IS
    'A value of the column custom as a number; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_boolean(custom jsonb, key text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_boolean_of';
COMMENT ON FUNCTION saleshub.custom_boolean(jsonb, text) IS
    'A value of the column custom as true or false; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_date(custom jsonb, key text) RETURNS date
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_date_of';
COMMENT ON FUNCTION saleshub.custom_date(jsonb, text) IS
    'A value of the column custom as a date; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_time(custom jsonb, key text) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_time_of';
COMMENT ON FUNCTION saleshub.custom_time(jsonb, text) IS
    'A value of the column custom as an instant; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_uuid(custom jsonb, key text) RETURNS uuid
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_uuid_of';
COMMENT ON FUNCTION saleshub.custom_uuid(jsonb, text) IS
    'A value of the column custom as an id; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_list(custom jsonb, key text) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_custom_list_of';
COMMENT ON FUNCTION saleshub.custom_list(jsonb, text) IS
    'A value of the column custom as the texts of a list; NULL when there is none of that form';

CREATE FUNCTION saleshub.custom_kind(type text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN type IN ('long_text', 'url', 'email', 'phone') THEN 'text'
                WHEN type = 'multi_enum' THEN 'tags' WHEN type = 'reference' THEN 'uuid'
                ELSE type END;
COMMENT ON FUNCTION saleshub.custom_kind(text) IS
    'The type of saleshub.<noun>_fields() that stands for a type of custom fields.';

CREATE FUNCTION saleshub.custom_sql(key text, kind text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.format('saleshub.custom_%s(t.custom, %L)', CASE kind
        WHEN 'integer' THEN 'number' WHEN 'timestamp' THEN 'time' WHEN 'tags' THEN 'list'
        WHEN 'enum' THEN 'text' ELSE kind END, key);
COMMENT ON FUNCTION saleshub.custom_sql(text, text) IS
    'SQL text of the value of a custom field; the row is called t.';

CREATE FUNCTION saleshub.custom_fields(entity text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'name', 'custom.' || f.key, 'key', f.key, 'type', saleshub.custom_kind(f.type),
            'custom_type', f.type, 'label', f.label, 'description', f.description,
            'target', f.target,
            'values', CASE WHEN f.type IN ('enum', 'multi_enum') THEN (
                SELECT jsonb_agg(o -> 'key' ORDER BY n)
                FROM jsonb_array_elements(f.options) WITH ORDINALITY AS e (o, n)) END,
            'options', nullif(f.options, '[]'), 'required', f.required, 'unique', f.is_unique,
            'max', f.max_length, 'minimum', f.minimum, 'maximum', f.maximum,
            'custom', true, 'id', f.custom_field_id,
            'indexed', coalesce(b.state = 'ready', false),
            'sql', saleshub.custom_sql(f.key, saleshub.custom_kind(f.type))))
            ORDER BY f.position, f.key), '[]')
        FROM crm.custom_field f
        LEFT JOIN saleshub.custom_build b
            ON b.org_id = f.org_id AND b.custom_field_id = f.custom_field_id
        WHERE f.org_id = saleshub.org_id() AND f.entity = custom_fields.entity
            AND f.deleted_at IS NULL AND f.active);
END;
$$;
COMMENT ON FUNCTION saleshub.custom_fields(text) IS
    'The active custom fields of the organisation for a kind of record, in the shape of saleshub.<noun>_fields(): name is custom.<key>, sql reads the value from the row t, custom_type is the type as defined, indexed says that saleshub.custom_value has all values';

CREATE FUNCTION saleshub.custom_index_sql(entity text, field jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.format(
        't.%I IN (SELECT v.entity_id FROM saleshub.custom_value v WHERE v.org_id = saleshub.org_id()'
        ' AND v.custom_field_id = %L::uuid AND v.%s %%s)', entity || '_id', field ->> 'id',
        CASE WHEN field ->> 'type' IN ('number', 'integer', 'boolean') THEN 'num'
             WHEN field ->> 'type' IN ('date', 'timestamp') THEN 'at' ELSE 'txt' END);
COMMENT ON FUNCTION saleshub.custom_index_sql(text, jsonb) IS
    'SQL text: the record t is among those that have a value, by the table of values; with a gap for the comparison.';

CREATE FUNCTION saleshub.custom_filter(entity text, field jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'name', field -> 'name', 'type', field -> 'type', 'sql', field -> 'sql',
        'cast', saleshub.field_cast(field ->> 'type'),
        'email', CASE WHEN field ->> 'custom_type' = 'email' THEN true END,
        'index', CASE WHEN (field ->> 'indexed')::boolean
                 THEN saleshub.custom_index_sql(entity, field) END,
        'schema', CASE WHEN field ->> 'type' = 'enum' THEN jsonb_build_object(
            'type', 'string', 'enum', field -> 'values') END));
END;
$$;
COMMENT ON FUNCTION saleshub.custom_filter(text, jsonb) IS
    'How conditions reach a custom field.';

CREATE FUNCTION saleshub.custom_filters(entity text, use_index boolean DEFAULT true) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(f ->> 'name', saleshub.custom_filter(entity, f)
                        - CASE WHEN use_index THEN '' ELSE 'index' END), '{}')
        FROM jsonb_array_elements(saleshub.custom_fields(entity)) f);
END;
$$;
COMMENT ON FUNCTION saleshub.custom_filters(text, boolean) IS
    'What saleshub.filter_compile needs to know about custom fields; without use_index the row may be one that is not stored, or not any more.';

CREATE FUNCTION saleshub.custom_hidden(noun text, hidden text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT f.key FROM crm.custom_field f
        WHERE f.org_id = saleshub.org_id() AND f.entity = noun
        GROUP BY f.key
        HAVING NOT bool_or(f.deleted_at IS NULL AND f.active)
        UNION
        SELECT substr(h, 8) FROM unnest(hidden) h WHERE h LIKE 'custom.%'
        ORDER BY 1);
END;
$$;
COMMENT ON FUNCTION saleshub.custom_hidden(text, text[]) IS
    'Keys of custom that are not shown: of inactive and removed fields, and those among the hidden fields.';

CREATE FUNCTION saleshub.custom_kept(custom jsonb, keys text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}')
    FROM jsonb_each(custom_kept.custom) c
    WHERE c.key = ANY (custom_kept.keys);
END;
COMMENT ON FUNCTION saleshub.custom_kept(jsonb, text[]) IS
    'The part of custom that who clears it does not see or not write, and which therefore stays.';

CREATE FUNCTION saleshub.custom_carried(entity text, org uuid, custom jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN custom - ARRAY(
        SELECT f.key FROM crm.custom_field f
        WHERE f.org_id = org AND f.entity = custom_carried.entity AND f.is_unique
            AND f.deleted_at IS NULL);
END;
$$;
COMMENT ON FUNCTION saleshub.custom_carried(text, uuid, jsonb) IS
    'What a copy of a record has in custom: all but what must be unique.';

CREATE FUNCTION saleshub.custom_meta(meta jsonb, hidden text[], read_only text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := meta ->> 'noun';
    filters jsonb;
    keys text[];
    closed text[];
    shown text;
BEGIN
    IF NOT EXISTS (SELECT FROM crm.custom_field f
                   WHERE f.org_id = saleshub.org_id() AND f.entity = noun)
    THEN
        RETURN meta;
    END IF;
    filters := saleshub.custom_filters(noun) - hidden;
    keys := saleshub.custom_hidden(noun, hidden);
    closed := ARRAY(SELECT substr(r, 8) FROM unnest(read_only) r WHERE r LIKE 'custom.%');
    IF filters <> '{}' THEN
        meta := meta || jsonb_build_object(
            'filter', (meta -> 'filter') || filters,
            'sort', (meta -> 'sort') || (
                SELECT coalesce(jsonb_object_agg(f.key, jsonb_build_object(
                    'sql', f.value -> 'sql', 'cast', f.value -> 'cast', 'not_null', false)), '{}')
                FROM jsonb_each(filters) f WHERE f.value ->> 'type' <> 'tags'));
    END IF;
    IF keys <> '{}' AND meta -> 'json' ? 'custom' THEN
        shown := format('(t.custom - %L::text[])', keys);
        meta := meta || jsonb_build_object(
            'json', (meta -> 'json') || jsonb_build_object('custom', shown),
            'select', replace(meta ->> 'select', '''custom'', t.custom', '''custom'', ' || shown));
    END IF;
    IF keys || closed = '{}' THEN
        RETURN meta;
    END IF;
    RETURN meta || jsonb_build_object(
        'create', saleshub.custom_schema(meta -> 'create', keys, closed),
        'patch', saleshub.custom_schema(meta -> 'patch', keys, closed),
        'set', (SELECT jsonb_agg(CASE WHEN s ->> 'name' = 'custom' THEN jsonb_set(
                    s, '{update,0,1}', to_jsonb(format(
                        'CASE WHEN $1 #> ''{b,custom}'' = ''null''::jsonb'
                        ' THEN saleshub.custom_kept(t.custom, %L) ELSE %s END',
                        keys || closed, s #>> '{update,0,1}'))) ELSE s END ORDER BY n)
                FROM jsonb_array_elements(meta -> 'set') WITH ORDINALITY AS e (s, n)));
END;
$$;
COMMENT ON FUNCTION saleshub.custom_meta(jsonb, text[], text[]) IS
    'What the record functions know about a noun, with the custom fields that the member sees.';

CREATE FUNCTION saleshub.custom_schema(schema jsonb, hidden text[], read_only text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT schema -> 'properties' ? 'custom' THEN
        RETURN schema;
    END IF;
    RETURN jsonb_set(schema, '{properties,custom,properties}', (
        SELECT jsonb_object_agg(k, CASE WHEN k = ANY (hidden) THEN 'false'::jsonb
                                        ELSE '{"readOnly": true}' END)
        FROM unnest(hidden || read_only) k));
END;
$$;
COMMENT ON FUNCTION saleshub.custom_schema(jsonb, text[], text[]) IS
    'The schema of a body, in which some keys of custom are unknown or read-only.';

CREATE FUNCTION saleshub.custom_unindexed(meta jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT custom_unindexed.meta || jsonb_build_object('filter', jsonb_object_agg(
        f.key, f.value - 'index'))
    FROM jsonb_each(custom_unindexed.meta -> 'filter') f;
END;
COMMENT ON FUNCTION saleshub.custom_unindexed(jsonb) IS
    'A noun whose conditions do not use the table of values, which knows the present only.';
