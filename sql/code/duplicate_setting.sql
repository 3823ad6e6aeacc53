-- What an organisation settles about duplicates: what an insert does, and what counts.

CREATE FUNCTION crm.duplicate_policy_get() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    o record;
BEGIN
    SELECT r.version, r.settings INTO o FROM crm.org r WHERE r.org_id = saleshub.org_id();
    PERFORM saleshub.reply(etag => o.version::text);
    RETURN (SELECT jsonb_object_agg(n, saleshub.duplicate_setting(o.settings, n))
            FROM unnest(ARRAY['contact', 'company', 'lead']) n);
END;
$$;
COMMENT ON FUNCTION crm.duplicate_policy_get() IS
    'What an insert does about duplicates, by kind of record: allow, warn or block';

CREATE FUNCTION saleshub.duplicate_policy_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
        jsonb_object_agg(n, '{"type": "string", "enum": ["allow", "warn", "block"]}'::jsonb))
    FROM unnest(ARRAY['contact', 'company', 'lead']) n;
END;
COMMENT ON FUNCTION saleshub.duplicate_policy_schema() IS
    'JSON Schema of the body of crm.duplicate_policy_put.';

CREATE FUNCTION crm.duplicate_policy_put(body jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    o record;
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.check_body(saleshub.duplicate_policy_schema(), body);
    SELECT r.version, r.settings INTO o FROM crm.org r WHERE r.org_id = org FOR NO KEY UPDATE;
    PERFORM saleshub.version_check(o.version, if_match);
    UPDATE crm.org r SET settings = r.settings || jsonb_build_object('duplicate_policy', (
        SELECT jsonb_object_agg(n, coalesce(body ->> n, saleshub.duplicate_setting(o.settings, n)))
        FROM unnest(ARRAY['contact', 'company', 'lead']) n))
    WHERE r.org_id = org;
    RETURN crm.duplicate_policy_get();
END;
$$;
ALTER FUNCTION crm.duplicate_policy_put(jsonb, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.duplicate_policy_put(jsonb, text) IS
    'For admins: what an insert does about duplicates, {contact, company, lead: allow|warn|block}; a kind that is not named stays as it is';

CREATE FUNCTION crm.match_fields_get(type text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
BEGIN
    RETURN jsonb_build_object(
        'type', noun, 'bands', '{"suggest": 8, "warn": 13, "block": 21}'::jsonb,
        'fields', (
            SELECT jsonb_agg(jsonb_build_object(
                'field', r -> 'field', 'kind', r -> 'kind', 'same', r -> 'same',
                'close', coalesce(r -> 'close', '0'), 'differ', coalesce(r -> 'differ', '0'),
                'key', r -> 'key', 'own', EXISTS (
                    SELECT FROM crm.match_field f
                    WHERE f.org_id = saleshub.org_id() AND f.entity = noun
                        AND f.field = r ->> 'field')) ORDER BY n)
            FROM jsonb_array_elements(saleshub.match_rules(saleshub.org_id(), noun))
                WITH ORDINALITY AS e (r, n)));
END;
$$;
COMMENT ON FUNCTION crm.match_fields_get(text) IS
    'The fields by which records of a kind are compared, with their weights; own: set by the organisation';

CREATE FUNCTION saleshub.match_fields_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "type": "object", "additionalProperties": false, "required": ["type", "fields"],
        "properties": {
            "type": {"type": "string",
                     "enum": ["contact", "contacts", "company", "companies", "lead", "leads"]},
            "fields": {"type": "array", "maxItems": 40, "items": {
                "type": "object", "additionalProperties": false, "required": ["field", "kind", "same"],
                "properties": {
                    "field": {"type": "string", "minLength": 1, "maxLength": 107},
                    "kind": {"type": "string", "enum": ["first_name", "last_name", "email", "phone",
                             "company", "domain", "text", "code", "date"]},
                    "same": {"type": "number", "minimum": -30, "maximum": 30},
                    "close": {"type": ["number", "null"], "minimum": -30, "maximum": 30},
                    "differ": {"type": ["number", "null"], "minimum": -30, "maximum": 30},
                    "key": {"type": ["string", "null"], "enum": ["strong", "weak", "name", null]}}}}}
        }'::jsonb;
COMMENT ON FUNCTION saleshub.match_fields_schema() IS
    'JSON Schema of the body of crm.match_fields_put.';

CREATE FUNCTION saleshub.match_field_faults(noun text, fields jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    columns text[] := saleshub.match_columns(noun) || ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = to_regclass('crm.' || quote_ident(noun)) AND a.attnum > 0
            AND NOT a.attisdropped AND a.attname NOT IN ('org_id', noun || '_id'));
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(saleshub.fault(
            format('/fields/%s/field', n - 1), CASE WHEN known THEN 'taken' ELSE 'unknown' END,
            CASE WHEN known THEN 'is there twice'
                 ELSE 'is no column; a custom field is written custom.<name>' END) -> 0 ORDER BY n), '[]')
        FROM (
            SELECT n, f ->> 'field' ~ '^custom\..{1,100}$'
                OR f ->> 'field' = ANY (array_remove(columns, 'custom')) AS known,
                count(*) OVER (PARTITION BY f ->> 'field') AS times
            FROM jsonb_array_elements(fields) WITH ORDINALITY AS e (f, n)) x
        WHERE NOT known OR times > 1);
END;
$$;
COMMENT ON FUNCTION saleshub.match_field_faults(text, jsonb) IS
    'Faults of fields that are to be compared: such as there are not, or twice.';

CREATE FUNCTION crm.match_fields_put(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    noun text;
    faults jsonb;
    keys_before jsonb;
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.check_body(saleshub.match_fields_schema(), body);
    noun := saleshub.duplicate_noun(body ->> 'type');
    faults := saleshub.match_field_faults(noun, body -> 'fields');
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the fields cannot be compared so',
                               jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
    keys_before := saleshub.match_key_fields(org, noun);
    DELETE FROM crm.match_field f WHERE f.org_id = org AND f.entity = noun;
    INSERT INTO crm.match_field (org_id, entity, field, kind, same, close, differ, key)
    SELECT org, noun, f ->> 'field', f ->> 'kind', (f ->> 'same')::numeric,
           coalesce((f ->> 'close')::numeric, 0), coalesce((f ->> 'differ')::numeric, 0), f ->> 'key'
    FROM jsonb_array_elements(body -> 'fields') f;
    -- Weights change no keys.
    IF saleshub.match_key_fields(org, noun) <> keys_before THEN
        PERFORM saleshub.match_rebuild(org, noun);
    END IF;
    RETURN crm.match_fields_get(noun);
END;
$$;
ALTER FUNCTION crm.match_fields_put(jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.match_fields_put(jsonb) IS
    'For admins: the fields of the organisation''s own that count when records of a kind are compared, {"type", "fields": [{field, kind, same, close, differ, key}]}, beside the usual ones or in their place; writes the keys of all records anew when keys changed';

CREATE FUNCTION saleshub.match_key_fields(org uuid, noun text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(f.field, f.key), '{}') FROM crm.match_field f
            WHERE f.org_id = org AND f.entity = noun AND f.key IS NOT NULL);
END;
$$;
COMMENT ON FUNCTION saleshub.match_key_fields(uuid, text) IS
    'The fields of an organisation''s own by which records are found.';

CREATE FUNCTION saleshub.routes_duplicate_setting() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/duplicates/policy', 'crm.duplicate_policy_get()',
                           'What an insert does about duplicates', 'duplicates',
                           answer => '"DuplicatePolicy"');
    PERFORM saleshub.route('PUT /v1/duplicates/policy', 'crm.duplicate_policy_put(jsonb, text)',
                           'Settle what an insert does about duplicates', 'duplicates', role => 'admin',
                           args => jsonb_build_object('body', saleshub.duplicate_policy_schema()),
                           answer => '"DuplicatePolicy"');
    PERFORM saleshub.route('GET /v1/duplicates/fields', 'crm.match_fields_get(text)',
                           'The fields by which records are compared', 'duplicates',
                           args => '{"type": {"enum": ["contact", "contacts", "company", "companies", "lead", "leads"]}}',
                           answer => '"MatchFields"');
    PERFORM saleshub.route('PUT /v1/duplicates/fields', 'crm.match_fields_put(jsonb)',
                           'Settle the fields by which records are compared', 'duplicates',
                           timeout_ms => 60000, role => 'admin',
                           args => jsonb_build_object('body', saleshub.match_fields_schema()),
                           answer => '"MatchFields"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_duplicate_setting() IS
    'Registers the routes of the settings about duplicates.';
