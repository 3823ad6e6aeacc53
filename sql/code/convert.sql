-- Conversion of a lead into company, contact and deal.

CREATE FUNCTION saleshub.domain_is_free(domain text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_domain_is_free_sql';
COMMENT ON FUNCTION saleshub.domain_is_free(text) IS
    'Whether a mail domain hands out addresses to everybody, so that it says nothing about a company';

CREATE FUNCTION saleshub.company_key(name text) RETURNS text
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_company_key_sql';
COMMENT ON FUNCTION saleshub.company_key(text) IS
    'The name of a company without case, punctuation and legal form';

CREATE FUNCTION saleshub.name_similarity(a text, b text) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_name_similarity_sql';
COMMENT ON FUNCTION saleshub.name_similarity(text, text) IS
    'Jaro-Winkler similarity of two names, from 0 to 1';

CREATE FUNCTION saleshub.lead_domain(website text, email text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    of_website text := saleshub.domain_normal(website);
    of_email text := saleshub.domain_normal(email);
BEGIN
    RETURN CASE WHEN NOT saleshub.domain_is_free(of_website) THEN of_website
                WHEN NOT saleshub.domain_is_free(of_email) THEN of_email END;
END
$$;
COMMENT ON FUNCTION saleshub.lead_domain(text, text) IS
    'The domain of a lead''s company: that of its website, else of its address, never one that hands out addresses';

CREATE FUNCTION saleshub.convert_schema() RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    schema jsonb := '{
    "type": "object", "additionalProperties": false, "properties": {
        "company": {"type": "object", "additionalProperties": false, "properties": {
            "mode": {"type": "string", "enum": ["auto", "create", "link", "skip"]},
            "id": {"type": "string", "format": "uuid"}}},
        "contact": {"type": "object", "additionalProperties": false, "properties": {
            "mode": {"type": "string", "enum": ["auto", "create", "link", "skip"]},
            "id": {"type": "string", "format": "uuid"}}},
        "deal": {"type": "object", "additionalProperties": false, "properties": {
            "mode": {"type": "string", "enum": ["create", "link", "skip"]},
            "id": {"type": "string", "format": "uuid"},
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "pipeline": {"type": "string", "format": "uuid"},
            "stage": {"type": "string", "format": "uuid"},
            "amount": {"type": ["number", "string", "object"]},
            "currency": {"type": "string", "minLength": 3, "maxLength": 3},
            "close_date": {"type": "string", "format": "date"}}},
        "dup": {"type": "string", "enum": ["allow", "warn", "block"]},
        "owner": {"type": "string", "format": "uuid"},
        "key": {"type": "string", "minLength": 1, "maxLength": 200}}}';
BEGIN
    RETURN jsonb_set(schema, '{properties}', (schema -> 'properties') || jsonb_build_object(
        'mapping', jsonb_build_object('type', 'array', 'maxItems', 200, 'items', saleshub.mapping_row_schema()),
        'values', saleshub.convert_values_schema()));
END
$$;
COMMENT ON FUNCTION saleshub.convert_schema() IS 'JSON Schema of the options of crm.lead_convert';

CREATE FUNCTION saleshub.convert_part(opts jsonb, part text, usual text, OUT wanted jsonb, OUT faults jsonb)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    given jsonb := CASE WHEN jsonb_typeof(opts -> part) = 'object' THEN jsonb_strip_nulls(opts -> part)
                        ELSE '{}' END;
    mode text := coalesce(given ->> 'mode', CASE WHEN given ? 'id' THEN 'link' ELSE usual END);
BEGIN
    faults := '[]';
    wanted := given || jsonb_build_object('mode', mode);
    IF mode = 'link' AND NOT given ? 'id' THEN
        faults := saleshub.fault(format('/%s/id', part), 'required', 'is required to link');
    ELSIF mode <> 'link' AND given ? 'id' THEN
        faults := saleshub.fault(format('/%s/id', part), 'invalid', 'goes with mode link only');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.convert_part(jsonb, text, text) IS
    'One of company, contact, deal of the options, with its mode filled in';

CREATE FUNCTION saleshub.convert_deal(deal jsonb, OUT wanted jsonb, OUT faults jsonb)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    amount jsonb := deal -> 'amount';
    money boolean := jsonb_typeof(amount) = 'object';
    currency text := upper(coalesce(deal ->> 'currency', CASE WHEN money THEN amount ->> 'currency' END));
    digits text := CASE WHEN money THEN amount ->> 'amount' ELSE deal ->> 'amount' END;
    member text;
BEGIN
    faults := '[]';
    IF deal ->> 'mode' IN ('link', 'skip') THEN
        FOR member IN SELECT k FROM jsonb_object_keys(deal) AS k WHERE k NOT IN ('mode', 'id') ORDER BY 1 LOOP
            faults := faults || saleshub.fault('/deal/' || member, 'invalid', 'goes with mode create only');
        END LOOP;
    END IF;
    IF amount IS NOT NULL AND digits IS NULL OR digits !~ '^\d{1,15}(\.\d{1,6})?$' THEN
        faults := faults || saleshub.fault('/deal/amount', 'invalid', 'must be a decimal number of at least 0');
        digits := NULL;
    END IF;
    IF currency !~ '^[A-Z]{3}$' THEN
        faults := faults || saleshub.fault('/deal/currency', 'invalid', 'is not a currency code of three letters');
    END IF;
    wanted := jsonb_strip_nulls(deal || jsonb_build_object(
        'amount', trim_scale(digits::numeric)::text, 'currency', currency));
END
$$;
COMMENT ON FUNCTION saleshub.convert_deal(jsonb) IS 'The deal of the options with its money in one form';

CREATE FUNCTION saleshub.convert_options(opts jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    company record;
    contact record;
    deal record;
    money record;
    faults jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    faults := saleshub.schema_errors(saleshub.convert_schema(), opts, '');
    IF faults = '[]' AND jsonb_typeof(opts -> 'mapping') = 'array' THEN
        faults := saleshub.mapping_faults(opts -> 'mapping', '/mapping');
    END IF;
    company := saleshub.convert_part(opts, 'company', 'auto');
    contact := saleshub.convert_part(opts, 'contact', 'auto');
    deal := saleshub.convert_part(opts, 'deal', 'create');
    money := saleshub.convert_deal(deal.wanted);
    -- One fault a place: that of the schema comes first.
    faults := faults || coalesce((
        SELECT jsonb_agg(f)
          FROM jsonb_array_elements(company.faults || contact.faults || deal.faults || money.faults) AS f
         WHERE NOT faults @> jsonb_build_array(jsonb_build_object('pointer', f -> 'pointer'))), '[]');
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the options of the conversion are not valid',
            jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'company', company.wanted, 'contact', contact.wanted,
        -- whether the usual currency is said or not makes no other wish
        'deal', CASE WHEN money.wanted ? 'amount'
                     THEN jsonb_build_object('currency', saleshub.org_currency(saleshub.org_id())) ELSE '{}' END
                || money.wanted,
        'owner', opts -> 'owner', 'key', opts -> 'key', 'dup', nullif(opts -> 'dup', '"allow"'),
        'mapping', (SELECT jsonb_agg('{"policy": "fill_blank"}' || jsonb_strip_nulls(r) ORDER BY n)
                      FROM jsonb_array_elements(nullif(opts -> 'mapping', 'null')) WITH ORDINALITY AS x (r, n))))
        -- here null is a value: it empties a field
        || CASE WHEN opts -> 'values' <> 'null' AND opts -> 'values' <> '{}'
                THEN jsonb_build_object('values', opts -> 'values') ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION saleshub.convert_options(jsonb) IS
    'The options of a conversion with their defaults filled in; 22023 with every fault of their form';

CREATE FUNCTION saleshub.convert_check(options jsonb) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    deal jsonb := options -> 'deal';
    place record;
    faults jsonb;
BEGIN
    faults := saleshub.reference_faults(org, '/company/id', 'company', (options #>> '{company,id}')::uuid)
           || saleshub.reference_faults(org, '/contact/id', 'contact', (options #>> '{contact,id}')::uuid)
           || saleshub.reference_faults(org, '/deal/id', 'deal', (deal ->> 'id')::uuid)
           || saleshub.reference_faults(org, '/owner', 'member', (options ->> 'owner')::uuid);
    IF deal ->> 'mode' = 'create' THEN
        place := saleshub.deal_place(
            jsonb_build_object('org_id', org, 'pipeline_id', deal -> 'pipeline',
                               'stage_id', deal -> 'stage', 'status', NULL), NULL);
        faults := faults || coalesce((
            SELECT jsonb_agg(f || jsonb_build_object('pointer', CASE f ->> 'pointer'
                       WHEN '/pipeline_id' THEN '/deal/pipeline' ELSE '/deal/stage' END))
              FROM jsonb_array_elements(place.faults) AS f), '[]');
        IF deal ? 'amount' AND saleshub.currency_rate(
               org, coalesce(deal ->> 'currency', saleshub.org_currency(org)), saleshub.org_day(org, now())) IS NULL THEN
            faults := faults || saleshub.fault('/deal/currency', 'no_exchange_rate',
                format('has no rate to %s today', saleshub.org_currency(org)));
        END IF;
    END IF;
    IF options ? 'owner' AND faults = '[]' AND EXISTS (
        SELECT FROM unnest(ARRAY['company', 'contact', 'deal']) AS n
         WHERE options -> n ->> 'mode' IN ('create', 'auto')
           AND NOT saleshub.owner_in_sight(n, (options ->> 'owner')::uuid)) THEN
        faults := saleshub.fault('/owner', 'not_visible', 'must be a member whose records you see');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the options of the conversion name what is not there',
            jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.convert_check(jsonb) IS
    'Raises 22023 with every record that the options name but is not there';

CREATE FUNCTION saleshub.quarter_end(org uuid, at timestamptz DEFAULT now()) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    day date := saleshub.org_day(org, at);
    start integer := coalesce((
        SELECT CASE WHEN o.settings ->> 'fiscal_start_month' ~ '^(1[0-2]|[1-9])$'
                    THEN (o.settings ->> 'fiscal_start_month')::integer END
          FROM crm.org AS o WHERE o.org_id = quarter_end.org), 1);
BEGIN
    RETURN date_trunc('month', day)
         + make_interval(months => 3 - (extract(month FROM day)::integer - start + 12) % 3)
         - interval '1 day';
END
$$;
COMMENT ON FUNCTION saleshub.quarter_end(uuid, timestamptz) IS
    'Last day of the fiscal quarter of an instant: quarters start with the month settings.fiscal_start_month of the organisation, January without one';

CREATE FUNCTION saleshub.field_changes(old jsonb, new jsonb, fields text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(f, jsonb_build_array(old -> f, new -> f)), '{}')
              FROM unnest(fields) AS f
             WHERE old -> f IS DISTINCT FROM new -> f);
END
$$;
COMMENT ON FUNCTION saleshub.field_changes(jsonb, jsonb, text[]) IS
    'The given fields in which two rows differ, as {field: [old, new]}';

CREATE FUNCTION saleshub.conversion_json(
    conversion uuid, lead uuid, company uuid, contact uuid, deal uuid, replayed boolean)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    doc jsonb := jsonb_build_object('conversion_id', conversion, 'replayed', replayed,
                                    'company', NULL, 'contact', NULL, 'deal', NULL);
BEGIN
    -- What was put into the bin since is answered as null. The lead last: its ETag stays.
    IF EXISTS (SELECT FROM crm.company AS r WHERE r.org_id = org AND r.company_id = company
                  AND r.deleted_at IS NULL) THEN
        doc := doc || jsonb_build_object('company', crm.company_get(company));
    END IF;
    IF EXISTS (SELECT FROM crm.contact AS r WHERE r.org_id = org AND r.contact_id = contact
                  AND r.deleted_at IS NULL) THEN
        doc := doc || jsonb_build_object('contact', crm.contact_get(contact));
    END IF;
    IF EXISTS (SELECT FROM crm.deal AS r WHERE r.org_id = org AND r.deal_id = deal
                  AND r.deleted_at IS NULL) THEN
        doc := doc || jsonb_build_object('deal', crm.deal_get(deal));
    END IF;
    doc := doc || coalesce((
        SELECT jsonb_build_object('duplicates', v.duplicates) FROM crm.conversion AS v
         WHERE v.org_id = org AND v.conversion_id = conversion AND v.duplicates <> '[]'), '{}');
    RETURN doc || jsonb_build_object('lead', crm.lead_get(lead));
END
$$;
COMMENT ON FUNCTION saleshub.conversion_json(uuid, uuid, uuid, uuid, uuid, boolean) IS
    'The answer of a conversion: its id and the records it led to';

CREATE FUNCTION crm.lead_convert(id uuid, opts jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_lead_convert';
COMMENT ON FUNCTION crm.lead_convert(uuid, jsonb) IS
    'Converts a lead into company, contact and deal, wholly or not at all. Options: company and contact {mode: auto|create|link|skip, id}, deal {mode: create|link|skip, id, name, pipeline, stage, amount, currency, close_date}, owner, key, mapping (rows in place of those of crm.conversion_mapping_get), values {company, contact, deal: {field: value}}, dup: allow|warn|block what is created twice. A second call with the same key or options answers the first conversion with "replayed": true; with others it raises SH001. SH002 when more than one record matches';

CREATE FUNCTION saleshub.routes_conversion() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('POST /v1/leads/{id}/convert', 'crm.lead_convert(uuid, jsonb)',
        'Convert a lead into company, contact and deal', 'leads', idempotent => true,
        timeout_ms => 10000,
        args => jsonb_build_object('opts', saleshub.convert_schema()),
        answer => '"Converted"');
    PERFORM saleshub.route('GET /v1/conversion-mapping', 'crm.conversion_mapping_get(integer)',
        'How the fields of leads are mapped', 'leads',
        args => '{"version": {"minimum": 0, "description": "A former version; the current one unless given"}}',
        answer => '"ConversionMapping"');
    PERFORM saleshub.route('GET /v1/conversion-mapping/suggestions', 'crm.conversion_mapping_suggestions()',
                           'Rows that the mapping of conversions could have besides', 'leads', cache => 'strict',
                           answer => '{"rows": ["object"]}');
    PERFORM saleshub.route('PUT /v1/conversion-mapping', 'crm.conversion_mapping_put(jsonb, text)',
        'Map the fields of leads', 'leads', role => 'manager',
        args => jsonb_build_object('body', saleshub.mapping_schema()),
        answer => '"ConversionMapping"');
    PERFORM saleshub.route('POST /v1/leads:convert', 'crm.lead_convert_batch(jsonb)',
        'Convert up to 1,000 leads, each on its own', 'leads', idempotent => true,
        timeout_ms => 60000, args => jsonb_build_object('body', saleshub.convert_batch_schema()),
        answer => '{"converted": "integer", "failed": "integer", "data": ["object"]}');
    PERFORM saleshub.route('GET /v1/conversions/{id}', 'crm.conversion_get(uuid)',
        'What a conversion did', 'leads',
        answer => '"Conversion"');
    PERFORM saleshub.route('POST /v1/conversions/{id}/undo', 'crm.conversion_undo(uuid, boolean)',
        'Undo a conversion', 'leads', idempotent => true, timeout_ms => 10000,
        args => '{"force": {"description": "Also take back what was changed since"}}',
        answer => '"Undo"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_conversion() IS 'Registers the routes of conversions';
