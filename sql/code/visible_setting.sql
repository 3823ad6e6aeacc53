-- The settings behind visible.sql and visible_field.sql, as admins read and change them.

CREATE FUNCTION saleshub.visibility_nouns(OUT noun text, OUT meta jsonb) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY VALUES
        ('lead', saleshub.lead_meta()), ('contact', saleshub.contact_meta()),
        ('company', saleshub.company_meta()), ('deal', saleshub.deal_meta()),
        ('activity', saleshub.activity_meta()), ('product', saleshub.product_meta());
END;
$$;
COMMENT ON FUNCTION saleshub.visibility_nouns() IS
    'The nouns that visibility can be settled for; of products only that of fields.';

CREATE FUNCTION saleshub.visibility_schema() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    scopes jsonb;
    fields jsonb;
BEGIN
    SELECT jsonb_object_agg(n.noun, '{"type": ["string", "null"],
                                      "enum": ["own", "team", "all", null]}'::jsonb)
               -- Products belong to nobody.
               FILTER (WHERE n.noun <> 'product'),
           jsonb_object_agg(n.noun, jsonb_build_object(
               'type', '["object", "null"]'::jsonb, 'properties', (
                   SELECT jsonb_object_agg(f.name, jsonb_build_object(
                       'type', '["string", "null"]'::jsonb, 'enum',
                       CASE WHEN coalesce(n.meta #> '{create,required}', '[]') ? f.name
                            OR f.name = 'owner_id'
                       THEN '["read_only", null]' ELSE '["hidden", "read_only", null]' END::jsonb))
                   FROM jsonb_object_keys(n.meta -> 'json') f (name)
                   WHERE f.name NOT IN ('id', 'version'))))
    INTO scopes, fields
    FROM saleshub.visibility_nouns() n;
    RETURN jsonb_build_object(
        'type', 'object', 'additionalProperties', false, 'properties', (
            SELECT jsonb_object_agg(part.name, jsonb_build_object(
                'type', 'object', 'additionalProperties', false, 'properties', (
                    SELECT jsonb_object_agg(role, jsonb_build_object(
                        'type', '["object", "null"]'::jsonb, 'additionalProperties', false,
                        'properties', part.nouns))
                    FROM unnest(ARRAY['manager', 'rep', 'readonly']) role)))
            FROM (VALUES ('visibility', scopes), ('fields', fields)) part (name, nouns)));
END;
$$;
COMMENT ON FUNCTION saleshub.visibility_schema() IS
    'JSON Schema of a merge patch of the visibility settings.';

CREATE FUNCTION crm.visibility_get() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    settled record;
BEGIN
    PERFORM saleshub.need_member();
    SELECT o.version, o.settings INTO settled FROM crm.org o WHERE o.org_id = saleshub.org_id();
    PERFORM saleshub.reply(etag => settled.version::text);
    RETURN jsonb_build_object(
        'visibility', (
            SELECT jsonb_object_agg(role, (
                SELECT jsonb_object_agg(n.noun, coalesce(
                    settled.settings #>> ARRAY['visibility', role, n.noun], 'all'))
                FROM saleshub.visibility_nouns() n WHERE n.noun <> 'product'))
            FROM unnest(ARRAY['manager', 'rep', 'readonly']) role),
        'fields', (
            SELECT jsonb_object_agg(role, coalesce(
                settled.settings #> ARRAY['fields', role], '{}'))
            FROM unnest(ARRAY['manager', 'rep', 'readonly']) role));
END;
$$;
COMMENT ON FUNCTION crm.visibility_get() IS
    'Whose records each role sees, by noun, and which fields it does not see or not write.';

CREATE FUNCTION saleshub.visibility_custom_faults(fields jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(saleshub.fault(
            format('/fields/%s/%s', r.key, n.key) || saleshub.pointer('', f.key), w.code, w.detail) -> 0
            ORDER BY r.key, n.key, f.key), '[]')
        FROM jsonb_each(CASE jsonb_typeof(fields) WHEN 'object' THEN fields END) r,
             LATERAL jsonb_each(CASE jsonb_typeof(r.value) WHEN 'object' THEN r.value END) n
             JOIN saleshub.visibility_nouns() v ON v.noun = n.key,
             LATERAL jsonb_each(CASE jsonb_typeof(n.value) WHEN 'object' THEN n.value END) f,
             LATERAL (SELECT CASE
                 WHEN f.key NOT LIKE 'custom.%' OR f.value <> 'null' AND NOT EXISTS (
                     SELECT FROM crm.custom_field c
                     WHERE c.org_id = saleshub.org_id() AND c.entity = n.key
                         AND c.key = substr(f.key, 8) AND c.deleted_at IS NULL)
                 THEN 'unknown_member'
                 WHEN f.value NOT IN ('"hidden"', '"read_only"', 'null') THEN 'not_allowed' END AS code,
                 CASE WHEN f.value IN ('"hidden"', '"read_only"', 'null') THEN 'is not known here'
                      ELSE 'must be hidden, read_only or null' END AS detail) w
        WHERE (NOT v.meta -> 'json' ? f.key OR f.key IN ('id', 'version'))
            AND w.code IS NOT NULL);
END;
$$;
COMMENT ON FUNCTION saleshub.visibility_custom_faults(jsonb) IS
    'Faults of rules about fields that are neither fields of the noun nor custom fields, as custom.<key>.';

CREATE FUNCTION saleshub.visibility_check(patch jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := saleshub.visibility_custom_faults(patch -> 'fields')
        || saleshub.schema_errors(saleshub.visibility_schema(), coalesce(patch, 'null'), '');
BEGIN
    IF faults <> '[]' THEN
        PERFORM saleshub.raise(
            '22023', format('%s %s', faults -> 0 ->> 'pointer', faults -> 0 ->> 'detail'),
            jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.visibility_check(jsonb) IS
    'Raises 22023 with all that is wrong with a patch of the visibility settings.';

CREATE FUNCTION crm.visibility_update(patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    current bigint;
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.visibility_check(patch);
    SELECT o.version INTO current FROM crm.org o WHERE o.org_id = org FOR NO KEY UPDATE;
    PERFORM saleshub.version_check(current, if_match);
    UPDATE crm.org o SET settings = saleshub.merge_patch(o.settings, patch) WHERE o.org_id = org;
    RETURN crm.visibility_get();
END;
$$;
ALTER FUNCTION crm.visibility_update(jsonb, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.visibility_update(jsonb, text) IS
    'Changes the visibility settings by a merge patch {visibility: {role: {noun: own|team|all}}, fields:
{role: {noun: {field: hidden|read_only|null}}}}, custom fields as custom.<key>, at once for everybody; for admins.';

CREATE FUNCTION saleshub.routes_visibility() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/settings/visibility', 'crm.visibility_get()',
                           'Who sees which records and fields', 'settings', cache => 'strict',
                           role => 'admin',
                           answer => '"Visibility"');
    PERFORM saleshub.route('PATCH /v1/settings/visibility', 'crm.visibility_update(jsonb, text)',
                           'Change who sees which records and fields', 'settings', role => 'admin',
                           args => jsonb_build_object('patch', saleshub.visibility_schema()),
                           answer => '"Visibility"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_visibility() IS
    'Registers the routes of the visibility settings.';
