-- What columns of files can become: the fields of the records, links to others by what people
-- call them, and what headers are usually taken to mean.

CREATE FUNCTION saleshub.import_entity(type text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    entity text := CASE lower(type)
        WHEN 'leads' THEN 'lead' WHEN 'contacts' THEN 'contact' WHEN 'companies' THEN 'company'
        WHEN 'deals' THEN 'deal' WHEN 'activities' THEN 'activity' WHEN 'products' THEN 'product'
        WHEN 'members' THEN 'member' ELSE lower(type) END;
BEGIN
    IF entity IS NULL
       OR entity NOT IN ('lead', 'contact', 'company', 'deal', 'activity', 'product', 'member')
    THEN
        PERFORM saleshub.bad_parameter('type', 'not_allowed',
            'must be leads, contacts, companies, deals, activities, products or members');
    END IF;
    RETURN entity;
END;
$$;
COMMENT ON FUNCTION saleshub.import_entity(text) IS
    'What the rows of a file are, in singular, from what the caller says, in singular or plural.';

CREATE FUNCTION saleshub.import_links(entity text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE entity
        WHEN 'member' THEN '[{"field": "manager", "to": "member"}, {"field": "team", "to": "team"}]'
        WHEN 'activity' THEN '[{"field": "owner", "to": "member", "column": "owner_id"},
            {"field": "lead", "to": "lead", "linked": true},
            {"field": "contact", "to": "contact", "linked": true},
            {"field": "company", "to": "company", "linked": true},
            {"field": "deal", "to": "deal", "linked": true}]'
        WHEN 'product' THEN '[]'
        WHEN 'deal' THEN '[{"field": "owner", "to": "member", "column": "owner_id"},
            {"field": "company", "to": "company", "column": "company_id", "warn": true},
            {"field": "contact", "to": "contact", "column": "contact_id"},
            {"field": "lead", "to": "lead", "column": "lead_id"},
            {"field": "pipeline", "to": "pipeline", "column": "pipeline_id"},
            {"field": "stage", "to": "stage", "column": "stage_id"},
            {"field": "product", "to": "product", "column": "product", "by_name": true}]'
        WHEN 'company' THEN '[{"field": "owner", "to": "member", "column": "owner_id"},
            {"field": "parent", "to": "company", "column": "parent_id", "later": true}]'
        WHEN 'contact' THEN '[{"field": "owner", "to": "member", "column": "owner_id"},
            {"field": "company", "to": "company", "column": "company_id"}]'
        ELSE '[{"field": "owner", "to": "member", "column": "owner_id"}]' END::jsonb;
COMMENT ON FUNCTION saleshub.import_links(text) IS
    'References of a kind of record that files give by name, e-mail, domain or code: [{field, to, column}]. later: may be to a row of the same file; by_name: the column keeps the name.';

CREATE FUNCTION saleshub.import_member_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "member_id", "type": "uuid", "read_only": true},
        {"name": "name", "type": "text", "required": true},
        {"name": "email", "type": "text", "max": 254, "schema": {"format": "email"}},
        {"name": "role", "type": "enum", "values": ["admin", "manager", "rep", "readonly"]},
        {"name": "title", "type": "text"},
        {"name": "timezone", "type": "text", "max": 64}]'::jsonb;
COMMENT ON FUNCTION saleshub.import_member_fields() IS
    'The fields of members that files give.';

CREATE FUNCTION saleshub.import_field(entity text, field jsonb) RETURNS SETOF jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    name text := field ->> 'name';
    kind text := field ->> 'type';
    own jsonb := jsonb_build_object('field', name, 'columns', jsonb_build_array(
        coalesce(field ->> 'column', name)), 'of', name);
BEGIN
    IF name = 'id' THEN
        RETURN NEXT own || '{"kind": "uuid", "key_only": true}';
    ELSIF coalesce((field ->> 'read_only')::boolean, false) OR kind IN ('links', 'lines', 'object') THEN
        RETURN;
    ELSIF field ? 'set' THEN
        RETURN NEXT own || '{"kind": "full_name", "columns": ["first_name", "last_name"]}';
    ELSIF kind = 'money' THEN
        RETURN NEXT own || jsonb_build_object('kind', 'money', 'columns', jsonb_build_array(
            coalesce(field ->> 'column', name), field ->> 'currency'));
        IF field ->> 'currency' <> 'currency' THEN
            RETURN NEXT jsonb_build_object(
                'field', field ->> 'currency', 'of', name, 'kind', 'text', 'max', 3,
                'columns', jsonb_build_array(field ->> 'currency'));
        END IF;
    ELSIF kind = 'consent' THEN
        RETURN QUERY SELECT jsonb_build_object('field', c, 'of', name, 'kind', 'boolean',
                                               'columns', jsonb_build_array(c))
                     FROM unnest(ARRAY['consent_email', 'consent_phone']) c;
    ELSIF NOT (entity = 'deal' AND name = 'product') THEN
        RETURN NEXT own || jsonb_strip_nulls(jsonb_build_object(
            'kind', CASE WHEN field #>> '{schema,format}' = 'email' THEN 'email' ELSE kind END,
            'max', CASE WHEN kind = 'text' THEN coalesce((field ->> 'max')::integer, 200) END,
            'list', coalesce(field -> 'written', field -> 'values'), 'required', field -> 'required',
            'warn', CASE WHEN entity = 'deal' AND name = 'opened_at' THEN true END));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_field(text, jsonb) IS
    'What a field of a record means for a file: {field, kind, columns, max, list, required}; of says which field''s rules hold.';

CREATE FUNCTION saleshub.import_custom_fields(entity text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := '[]';
BEGIN
    IF to_regprocedure('saleshub.custom_fields(text)') IS NOT NULL AND entity <> 'member' THEN
        EXECUTE format('SELECT saleshub.%I($1)', 'custom_fields') INTO fields USING entity;
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'field', f ->> 'name', 'of', 'custom', 'columns', '["custom"]'::jsonb,
            'member', regexp_replace(f ->> 'name', '^custom\.', ''), 'label', f -> 'label',
            'kind', CASE f ->> 'type'
                WHEN 'multi_enum' THEN 'tags' WHEN 'url' THEN 'text' WHEN 'reference' THEN 'uuid'
                WHEN 'decimal' THEN 'number' ELSE f ->> 'type' END,
            'list', coalesce(f -> 'values', f -> 'options')))), '[]')
        FROM jsonb_array_elements(coalesce(fields, '[]')) f
        WHERE f ->> 'name' LIKE 'custom.%');
END;
$$;
COMMENT ON FUNCTION saleshub.import_custom_fields(text) IS
    'The custom fields of the organisation, as fields of a file.';

CREATE FUNCTION saleshub.import_fields(entity text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    own jsonb := CASE entity
        WHEN 'lead' THEN saleshub.lead_fields() || '[{"name": "full_name", "set": true}]'
        WHEN 'contact' THEN saleshub.contact_fields() WHEN 'company' THEN saleshub.company_fields()
        WHEN 'deal' THEN saleshub.deal_fields() WHEN 'activity' THEN saleshub.activity_fields()
        WHEN 'product' THEN saleshub.product_fields() ELSE saleshub.import_member_fields() END;
BEGIN
    RETURN (
        SELECT jsonb_object_agg(f ->> 'field', f)
        FROM (
            SELECT saleshub.import_field(entity, o) AS f FROM jsonb_array_elements(own) o
            UNION ALL
            SELECT jsonb_build_object(
                'field', l ->> 'field', 'kind', 'text', 'max', 300, 'link', l, 'of', coalesce(
                    l ->> 'column', CASE WHEN l ? 'linked' THEN 'links' ELSE l ->> 'field' END),
                'columns', jsonb_build_array(coalesce(l ->> 'column', 'link_' || (l ->> 'field'))))
            FROM jsonb_array_elements(saleshub.import_links(entity)) l
            UNION ALL
            SELECT c FROM jsonb_array_elements(saleshub.import_custom_fields(entity)) c
            UNION ALL
            SELECT '{"field": "phone_country", "kind": "text", "max": 2, "of": "phone",
                     "columns": ["link_phone_country"]}'::jsonb WHERE entity IN ('contact', 'lead', 'company')
        ) fields
        WHERE coalesce(saleshub.field_rules(entity) ->> (f ->> 'of'), '') NOT IN ('hidden', 'read_only')
            AND coalesce(saleshub.field_rules(entity) ->> (f ->> 'field'), '') NOT IN ('hidden', 'read_only'));
END;
$$;
COMMENT ON FUNCTION saleshub.import_fields(text) IS
    'All that a column of a file can become, by name, as far as the member may write it.';

CREATE FUNCTION saleshub.import_synonyms(entity text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"mail": "email", "e_mail": "email", "email_address": "email", "e_mail_address": "email",
        "mobile": "phone", "telephone": "phone", "phone_number": "phone", "tel": "phone",
        "given_name": "first_name", "forename": "first_name", "vorname": "first_name",
        "firstname": "first_name", "surname": "last_name", "family_name": "last_name",
        "lastname": "last_name", "nachname": "last_name", "job_title": "title", "position": "title",
        "url": "website", "web": "website", "homepage": "website", "lead_source": "source",
        "town": "city", "ort": "city", "land": "country", "sector": "industry", "branche": "industry",
        "office_location": "country", "number_of_employees": "employees", "headcount": "employees",
        "revenue": "annual_revenue", "turnover": "annual_revenue", "labels": "tags",
        "assigned_to": "owner", "account_owner": "owner", "lead_owner": "owner", "deal_owner": "owner",
        "sales_agent": "owner", "sales_rep": "owner", "rep": "owner", "record_id": "id"}'::jsonb
    || CASE entity
        WHEN 'lead' THEN '{"name": "full_name", "contact_name": "full_name", "company": "company_name",
            "organisation": "company_name", "organization": "company_name", "firm": "company_name",
            "account": "company_name", "firma": "company_name"}'
        WHEN 'contact' THEN '{"full_name": "name", "contact_name": "name", "company_name": "company",
            "organisation": "company", "organization": "company", "account": "company",
            "account_name": "company", "firma": "company"}'
        WHEN 'company' THEN '{"company": "name", "company_name": "name", "account": "name",
            "account_name": "name", "organisation": "name", "organization": "name", "firma": "name",
            "subsidiary_of": "parent", "parent_company": "parent", "parent_account": "parent",
            "web_domain": "domain"}'
        WHEN 'deal' THEN '{"deal": "name", "deal_name": "name", "opportunity": "name", "opportunity_id": "name",
            "opportunity_name": "name", "account": "company", "account_name": "company",
            "company_name": "company", "deal_stage": "stage", "close_value": "amount",
            "value": "amount", "deal_value": "amount", "price": "amount", "engage_date": "opened_at",
            "open_date": "opened_at", "created_date": "opened_at", "closing_date": "close_date",
            "expected_close_date": "close_date", "closed_date": "closed_at", "won_date": "closed_at",
            "contact_email": "contact", "contact_name": "contact", "product_name": "product"}'
        WHEN 'product' THEN '{"product": "name", "product_name": "name", "sales_price": "price",
            "list_price": "price", "unit_price": "price", "code": "sku", "product_code": "sku",
            "article_number": "sku"}'
        WHEN 'activity' THEN '{"activity_type": "type", "description": "body", "notes": "body",
            "due_date": "due_at", "due": "due_at", "done": "done_at", "completed_at": "done_at",
            "result": "outcome", "title": "subject", "account": "company"}'
        WHEN 'member' THEN '{"sales_agent": "name", "full_name": "name", "agent": "name",
            "regional_office": "team", "team_name": "team", "rep": "name", "sales_rep": "name",
            "position": "title"}'
        ELSE '{}' END::jsonb;
COMMENT ON FUNCTION saleshub.import_synonyms(text) IS
    'What headers other than names of fields are usually taken to mean.';

CREATE FUNCTION saleshub.import_guess(entity text, fields jsonb, header text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    name text := btrim(regexp_replace(lower(btrim(header)), '[^a-z0-9]+', '_', 'g'), '_');
    meant text;
BEGIN
    IF fields ? lower(btrim(header)) THEN
        RETURN lower(btrim(header));
    ELSIF fields ? name THEN
        RETURN name;
    ELSIF entity <> 'member' AND (lower(btrim(header)) ~ '^custom\.[a-z0-9_]{1,60}$' OR name = 'external_id') THEN
        RETURN 'custom.' || regexp_replace(name, '^custom_', '');
    END IF;
    meant := saleshub.import_synonyms(entity) ->> name;
    IF fields ? meant THEN
        RETURN meant;
    END IF;
    RETURN (SELECT f.key FROM jsonb_each(fields) f
            WHERE lower(f.value ->> 'label') = lower(btrim(header)) OR f.key = 'custom.' || name
            ORDER BY f.key LIMIT 1);
END;
$$;
COMMENT ON FUNCTION saleshub.import_guess(text, jsonb, text) IS
    'The field that a header seems to mean: by name, label, or what people usually call it; NULL for none.';
