-- Which field of a lead goes into which field of its company, contact and deal, and what happens
-- when there is something already. Every change of the mapping is a new version; a conversion
-- notes the one it used.

CREATE FUNCTION saleshub.mapping_preset() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '[
    {"source": "company_name", "target_entity": "company", "target_field": "name", "policy": "fill_blank"},
    {"source": "domain", "target_entity": "company", "target_field": "domain", "policy": "fill_blank"},
    {"source": "industry", "target_entity": "company", "target_field": "industry", "policy": "fill_blank"},
    {"source": "employees", "target_entity": "company", "target_field": "employees", "policy": "fill_blank"},
    {"source": "website", "target_entity": "company", "target_field": "website", "policy": "fill_blank"},
    {"source": "country", "target_entity": "company", "target_field": "country", "policy": "fill_blank"},
    {"source": "state", "target_entity": "company", "target_field": "state", "policy": "fill_blank"},
    {"source": "postal_code", "target_entity": "company", "target_field": "postal_code", "policy": "fill_blank"},
    {"source": "city", "target_entity": "company", "target_field": "city", "policy": "fill_blank"},
    {"source": "annual_revenue", "target_entity": "company", "target_field": "annual_revenue", "policy": "fill_blank"},
    {"source": "tags", "target_entity": "company", "target_field": "tags", "policy": "append"},
    {"source": "first_name", "target_entity": "contact", "target_field": "first_name", "policy": "fill_blank"},
    {"source": "last_name", "target_entity": "contact", "target_field": "last_name", "policy": "fill_blank"},
    {"source": "email", "target_entity": "contact", "target_field": "email", "policy": "fill_blank"},
    {"source": "phone", "target_entity": "contact", "target_field": "phone", "policy": "fill_blank"},
    {"source": "title", "target_entity": "contact", "target_field": "title", "policy": "fill_blank"},
    {"source": "tags", "target_entity": "contact", "target_field": "tags", "policy": "append"},
    {"source": "source", "target_entity": "deal", "target_field": "source", "policy": "fill_blank"},
    {"source": "tags", "target_entity": "deal", "target_field": "tags", "policy": "append"}]'::jsonb;
COMMENT ON FUNCTION saleshub.mapping_preset() IS
    'The mapping of organisations that have not made one: version 0';

CREATE FUNCTION saleshub.mapping_row_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false,
    "required": ["source", "target_entity", "target_field"], "properties": {
        "source": {"type": "string", "minLength": 1, "maxLength": 100},
        "target_entity": {"type": "string", "enum": ["company", "contact", "deal"]},
        "target_field": {"type": "string", "minLength": 1, "maxLength": 100},
        "policy": {"type": "string",
                   "enum": ["fill_blank", "overwrite", "append", "keep", "max", "min"]}}}'::jsonb;
COMMENT ON FUNCTION saleshub.mapping_row_schema() IS 'JSON Schema of a row of the mapping';

CREATE FUNCTION saleshub.mapping_fields(entity text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(f ->> 'name', f)
          FROM jsonb_array_elements(
                   CASE entity WHEN 'lead' THEN saleshub.lead_fields() || '[{"name": "domain", "type": "text", "max": 253}]'
                               WHEN 'company' THEN saleshub.company_fields()
                               WHEN 'contact' THEN saleshub.contact_fields()
                               WHEN 'deal' THEN saleshub.deal_fields() END) AS f
         -- Without what is derived, and what the conversion itself decides.
         WHERE NOT f ?| ARRAY['read_only', 'only_filter', 'sql', 'column']
           AND NOT f ->> 'name' IN ('currency', 'probability', 'lost_reason')
           AND (f ->> 'type' IN ('text', 'integer', 'number', 'money', 'date', 'boolean', 'tags')
                OR entity = 'lead' AND f ->> 'type' = 'enum'));
END
$$;
COMMENT ON FUNCTION saleshub.mapping_fields(text) IS
    'The fields of a noun that a mapping can read (lead) or write (company, contact, deal), by name';

CREATE FUNCTION saleshub.mapping_custom(entity text, key text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := saleshub.custom_fields(entity);
BEGIN
    IF fields = '[]' THEN
        RETURN '{"type": "custom", "kind": "custom"}';
    END IF;
    RETURN (SELECT jsonb_build_object('type', 'custom', 'kind', f -> 'type', 'custom_type', f -> 'custom_type',
                                      'target', f -> 'target', 'max', f -> 'max')
              FROM jsonb_array_elements(fields) AS f WHERE f ->> 'key' = key);
END
$$;
COMMENT ON FUNCTION saleshub.mapping_custom(text, text) IS
    'A custom field that a mapping names: kind is its type, custom while the organisation has defined none; NULL when there is none of the key';

CREATE FUNCTION saleshub.mapping_field(entity text, name text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    field jsonb := saleshub.mapping_fields(entity) -> name;
BEGIN
    IF name ~ '^custom\..' THEN
        RETURN saleshub.mapping_custom(entity, substr(name, 8));
    END IF;
    RETURN field || jsonb_build_object('kind', field -> 'type');
END
$$;
COMMENT ON FUNCTION saleshub.mapping_field(text, text) IS
    'A field that a mapping names, custom.<key> included, with its kind; NULL when there is none';

CREATE FUNCTION saleshub.mapping_fits(source jsonb, target jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kind text := source ->> 'kind';
    wanted text := target ->> 'kind';
BEGIN
    -- What nobody has defined can hold anything: the values decide, when they come.
    IF wanted = 'custom' OR kind = 'custom' AND (target ->> 'type' = 'custom' OR wanted = 'text') THEN
        RETURN true;
    END IF;
    RETURN CASE wanted
        WHEN 'text' THEN kind IN ('text', 'enum', 'integer', 'number', 'date', 'timestamp', 'boolean')
        WHEN 'number' THEN kind IN ('number', 'integer') OR kind = 'money' AND target ->> 'type' = 'custom'
        WHEN 'tags' THEN kind IN ('tags', 'text', 'enum')
        WHEN 'enum' THEN kind IN ('enum', 'text')
        WHEN 'uuid' THEN kind = 'uuid' AND source -> 'target' = target -> 'target'
        ELSE kind = wanted END;
END
$$;
COMMENT ON FUNCTION saleshub.mapping_fits(jsonb, jsonb) IS
    'Whether values of one field can go into the other';

CREATE FUNCTION saleshub.mapping_row_faults(mapping_row jsonb, pointer text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    source jsonb := saleshub.mapping_field('lead', mapping_row ->> 'source');
    target jsonb := saleshub.mapping_field(mapping_row ->> 'target_entity', mapping_row ->> 'target_field');
    kind text := target ->> 'kind';
    policy text := mapping_row ->> 'policy';
BEGIN
    IF source IS NULL THEN
        RETURN saleshub.fault(pointer || '/source', 'unknown', 'is no field of leads that can be mapped');
    ELSIF target IS NULL THEN
        RETURN saleshub.fault(pointer || '/target_field', 'unknown', format('is no field of a %s that can be mapped',
                                                                           mapping_row ->> 'target_entity'));
    ELSIF NOT saleshub.mapping_fits(source, target) THEN
        RETURN saleshub.fault(pointer || '/target_field', 'invalid_type',
                              format('holds %s, which cannot come from %s', kind, source ->> 'kind'));
    ELSIF kind = 'text' AND source ->> 'kind' = 'text'
          AND coalesce((source ->> 'max')::integer, 200) > coalesce((target ->> 'max')::integer, 200) THEN
        RETURN saleshub.fault(pointer || '/target_field', 'too_short', 'holds less text than the source');
    ELSIF policy = 'append' AND kind NOT IN ('text', 'tags')
          OR policy IN ('max', 'min') AND kind NOT IN ('integer', 'number', 'money', 'date', 'timestamp') THEN
        RETURN saleshub.fault(pointer || '/policy', 'invalid', format('does not go with a field that holds %s', kind));
    END IF;
    RETURN '[]';
END
$$;
COMMENT ON FUNCTION saleshub.mapping_row_faults(jsonb, text) IS
    'Faults of a row of the mapping: unknown fields, types that do not fit, a policy that does not go with the type';

CREATE FUNCTION saleshub.mapping_faults(mapping jsonb, pointer text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
    entry jsonb;
    place bigint;
    seen text[] := '{}';
    key text;
BEGIN
    FOR entry, place IN SELECT e, n - 1 FROM jsonb_array_elements(mapping) WITH ORDINALITY AS x (e, n) ORDER BY n LOOP
        faults := faults || saleshub.mapping_row_faults(entry, pointer || '/' || place);
        key := concat_ws('.', entry ->> 'target_entity', entry ->> 'target_field');
        IF key = ANY (seen) THEN
            faults := faults || saleshub.fault(format('%s/%s/target_field', pointer, place), 'duplicate', 'is mapped twice');
        END IF;
        seen := seen || key;
    END LOOP;
    RETURN faults;
END
$$;
COMMENT ON FUNCTION saleshub.mapping_faults(jsonb, text) IS 'All faults of the rows of a mapping';

CREATE FUNCTION saleshub.conversion_mapping_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.mapping_row_faults(to_jsonb(NEW), '');
BEGIN
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('conversion_mapping', faults);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.conversion_mapping_check() IS
    'Trigger: refuses a row of the mapping whose fields do not fit';

CREATE FUNCTION saleshub.mapping_version() RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce((SELECT max(m.version) FROM crm.conversion_mapping AS m WHERE m.org_id = saleshub.org_id()), 0);
END
$$;
COMMENT ON FUNCTION saleshub.mapping_version() IS 'The version of the mapping that conversions use; 0: the preset';

CREATE FUNCTION saleshub.mapping_rows(version_ integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF version_ = 0 THEN
        RETURN saleshub.mapping_preset();
    END IF;
    RETURN (SELECT jsonb_agg(jsonb_build_object('source', m.source, 'target_entity', m.target_entity,
                                                'target_field', m.target_field, 'policy', m.policy) ORDER BY m.position)
              FROM crm.conversion_mapping AS m
             WHERE m.org_id = saleshub.org_id() AND m.version = version_);
END
$$;
COMMENT ON FUNCTION saleshub.mapping_rows(integer) IS 'The rows of a version of the mapping; NULL when there is none';

CREATE FUNCTION crm.conversion_mapping_get(version_ integer DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    wanted integer := coalesce(version_, saleshub.mapping_version());
    entries jsonb := saleshub.mapping_rows(wanted);
BEGIN
    IF entries IS NULL THEN
        PERFORM saleshub.raise('P0002', format('conversion mapping %s not found', wanted), '{"code": "not_found"}');
    END IF;
    PERFORM saleshub.reply(etag => wanted::text);
    RETURN jsonb_build_object('version', wanted, 'rows', entries);
END
$$;
COMMENT ON FUNCTION crm.conversion_mapping_get(integer) IS
    'The mapping of conversions, the current version unless another is named: {"version", "rows": [{"source", "target_entity", "target_field", "policy"}]}';

CREATE FUNCTION saleshub.mapping_schema() RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'type', 'object', 'additionalProperties', false, 'required', '["rows"]'::jsonb,
        'properties', jsonb_build_object('rows', jsonb_build_object(
            'type', 'array', 'maxItems', 200, 'items', saleshub.mapping_row_schema())));
END
$$;
COMMENT ON FUNCTION saleshub.mapping_schema() IS 'JSON Schema of the body of crm.conversion_mapping_put';

CREATE FUNCTION crm.conversion_mapping_put(body jsonb, if_match text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb;
    current integer;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.mapping_schema(), body);
    faults := saleshub.mapping_faults(body -> 'rows', '/rows');
    IF body -> 'rows' = '[]' THEN
        faults := saleshub.fault('/rows', 'required', 'must have at least one row');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('conversion_mapping', faults);
    END IF;
    -- One new version after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('conversion_mapping ' || saleshub.org_id(), 0));
    current := saleshub.mapping_version();
    PERFORM saleshub.version_check(current, if_match, 'the mapping');
    INSERT INTO crm.conversion_mapping (version, position, source, target_entity, target_field, policy, created_by)
    SELECT current + 1, n, e ->> 'source', e ->> 'target_entity', e ->> 'target_field',
           coalesce(e ->> 'policy', 'fill_blank'), saleshub.member_id()
      FROM jsonb_array_elements(body -> 'rows') WITH ORDINALITY AS x (e, n);
    RETURN crm.conversion_mapping_get(current + 1);
END
$$;
COMMENT ON FUNCTION crm.conversion_mapping_put(jsonb, text) IS
    'Makes the rows of the body the mapping of conversions, as a new version; admins and managers only. Policies: fill_blank (unless given), overwrite, append, keep, max, min';

CREATE FUNCTION crm.conversion_mapping_suggestions() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    entries jsonb := saleshub.mapping_rows(saleshub.mapping_version());
BEGIN
    RETURN jsonb_build_object('rows', (
        SELECT coalesce(jsonb_agg(s.entry ORDER BY s.entity, s.n), '[]')
          FROM (SELECT e.entity, l.n, jsonb_build_object(
                           'source', l.f -> 'name', 'target_entity', e.entity, 'target_field', l.f -> 'name',
                           'policy', 'fill_blank') AS entry
                  FROM jsonb_array_elements(saleshub.custom_fields('lead')) WITH ORDINALITY AS l (f, n),
                       unnest(ARRAY['company', 'contact', 'deal']) AS e (entity),
                       jsonb_array_elements(saleshub.custom_fields(e.entity)) AS t (f)
                 WHERE t.f -> 'key' = l.f -> 'key') AS s
         WHERE saleshub.mapping_row_faults(s.entry, '') = '[]'
           AND NOT entries @> jsonb_build_array(s.entry - 'source' - 'policy')));
END
$$;
COMMENT ON FUNCTION crm.conversion_mapping_suggestions() IS
    'Rows that the mapping of conversions could have besides: custom fields of leads that a company, contact or deal has by the same key, of a type that fits, and that nothing goes into yet';
