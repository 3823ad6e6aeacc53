-- Fields that a role does not see or does not write, applied to what the record functions know
-- about a noun (saleshub.record_meta).

CREATE FUNCTION saleshub.field_rules(noun text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    role text := saleshub.member_role();
BEGIN
    IF role IS NULL OR role = 'admin' OR saleshub.member_id() IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN coalesce((SELECT o.settings #> ARRAY['fields', role, noun]
                     FROM crm.org o WHERE o.org_id = saleshub.org_id()), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.field_rules(text) IS
    'What the member may not do with fields of a noun: {field: hidden|read_only}.';

CREATE FUNCTION saleshub.fields_behind(field text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[field] || CASE field
        WHEN 'amount' THEN '{amount_base,lines}'
        WHEN 'lines' THEN '{lines_version}'
        WHEN 'annual_revenue' THEN '{annual_revenue_currency}'
        WHEN 'consent' THEN '{consent_email,consent_phone}'
        WHEN 'converted' THEN '{converted_at,converted_by,converted_company_id,converted_contact_id,converted_deal_id}'
        WHEN 'links' THEN '{lead_id,contact_id,company_id,deal_id,links_version}'
        WHEN 'score' THEN '{score_reasons,grade,fit,engagement,score_as_of}'
        WHEN 'probability' THEN '{probability_manual,probability_model,probability_stage,probability_version,probability_age}'
        ELSE '{}' END::text[];
COMMENT ON FUNCTION saleshub.fields_behind(text) IS
    'A field and what says the same: other fields, columns, filters.';

CREATE FUNCTION saleshub.hidden_fields(noun text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT unnest(saleshub.fields_behind(r.key))
        FROM jsonb_each_text(saleshub.field_rules(noun)) r
        WHERE r.value = 'hidden'
        ORDER BY 1);
END;
$$;
COMMENT ON FUNCTION saleshub.hidden_fields(text) IS
    'Fields of a noun, and columns behind them, that the member does not see.';

CREATE FUNCTION saleshub.visible_schema(schema jsonb, hidden text[], read_only text[])
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_set(schema, '{properties}', (
        SELECT coalesce(jsonb_object_agg(p.key, CASE WHEN p.key = ANY (read_only)
                                                THEN '{"readOnly": true}' ELSE p.value END), '{}')
        FROM jsonb_each(schema -> 'properties') p
        WHERE p.key <> ALL (hidden)));
COMMENT ON FUNCTION saleshub.visible_schema(jsonb, text[], text[]) IS
    'The schema of a body without hidden fields, and with read-only ones marked.';

CREATE FUNCTION saleshub.visible_includes(includes jsonb, hidden text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(i.key, CASE
            WHEN i.key IN ('company', 'contact', 'deal') AND saleshub.field_rules(i.key) <> '{}'
            THEN format('%s - %L::text[]', i.value, saleshub.hidden_fields(i.key))
            ELSE i.value END), '{}')
        FROM jsonb_each_text(includes) i
        WHERE NOT ARRAY[i.key, i.key || '_id', 'converted_' || i.key || '_id'] && hidden);
END;
$$;
COMMENT ON FUNCTION saleshub.visible_includes(jsonb, text[]) IS
    'What can be included: nothing that a hidden field refers to, and of the others no hidden field.';

CREATE FUNCTION saleshub.visible_meta(meta jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := meta ->> 'noun';
    rules jsonb := saleshub.field_rules(noun);
    hidden text[] := saleshub.hidden_fields(noun);
    read_only text[];
    json jsonb;
BEGIN
    IF rules <> '{}' THEN
        read_only := ARRAY(SELECT r.key FROM jsonb_each_text(rules) r WHERE r.value = 'read_only');
        json := (meta -> 'json') - hidden;
        meta := meta || jsonb_build_object(
            'json', json,
            'select', (SELECT saleshub.build_object(array_agg(format('%L, %s', j.key, j.value)
                                                              ORDER BY j.key))
                       FROM jsonb_each_text(json) j),
            'sort', (meta -> 'sort') - hidden,
            'filter', (meta -> 'filter') - hidden,
            'create', saleshub.visible_schema(meta -> 'create', hidden, read_only),
            'patch', saleshub.visible_schema(meta -> 'patch', hidden, read_only));
    END IF;
    IF meta -> 'json' ? 'custom' THEN
        meta := saleshub.custom_meta(meta, hidden, coalesce(read_only, '{}'));
    END IF;
    RETURN meta || jsonb_build_object('include',
                                      saleshub.visible_includes(meta -> 'include', hidden));
END;
$$;
COMMENT ON FUNCTION saleshub.visible_meta(jsonb) IS
    'What the record functions may know about a noun on behalf of the member: no hidden fields, and
read-only ones cannot be written.';

CREATE FUNCTION saleshub.owned_body(meta jsonb, body jsonb, fresh boolean) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := meta ->> 'noun';
BEGIN
    IF saleshub.sees_all(noun) THEN
        RETURN body;
    ELSIF fresh AND coalesce(body -> 'owner_id', 'null') = 'null' THEN
        RETURN body || jsonb_build_object('owner_id', saleshub.member_id());
    ELSIF body ? 'owner_id'
        AND (body ->> 'owner_id')::uuid = ANY (saleshub.visible_owners(noun)) IS NOT TRUE
    THEN
        PERFORM saleshub.raise(
            '22023', '/owner_id names nobody whose records you see',
            jsonb_build_object('code', 'invalid_body', 'errors', saleshub.fault(
                '/owner_id', 'not_visible', 'must be a member whose records you see')));
    END IF;
    RETURN body;
END;
$$;
COMMENT ON FUNCTION saleshub.owned_body(jsonb, jsonb, boolean) IS
    'The body of a member who does not see all: a new record without an owner becomes its own, and
none can be given where it would be out of sight.';
