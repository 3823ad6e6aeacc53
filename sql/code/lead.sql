CREATE FUNCTION saleshub.lead_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "lead_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "first_name", "type": "text", "max": 100, "sort": true},
        {"name": "last_name", "type": "text", "max": 100, "sort": true},
        {"name": "email", "type": "text", "max": 254, "sort": true, "schema": {"format": "email"}},
        {"name": "phone", "type": "text", "max": 50, "folded": true},
        {"name": "company_name", "type": "text", "sort": true},
        {"name": "title", "type": "text", "sort": true},
        {"name": "website", "type": "text", "max": 2000},
        {"name": "source", "type": "text", "max": 100, "sort": true},
        {"name": "status", "type": "enum", "sort": true, "not_null": true, "values":
            ["new", "working", "nurturing", "qualified", "unqualified", "converted"], "written":
            ["new", "working", "nurturing", "qualified", "unqualified"]},
        {"name": "country", "type": "text", "sort": true},
        {"name": "state", "type": "text", "max": 100, "sort": true},
        {"name": "postal_code", "type": "text", "max": 20, "sort": true},
        {"name": "city", "type": "text", "sort": true},
        {"name": "industry", "type": "text", "sort": true},
        {"name": "employees", "type": "integer", "sort": true},
        {"name": "annual_revenue", "type": "money", "currency": "annual_revenue_currency",
         "sort": true},
        {"name": "owner_id", "type": "uuid"},
        {"name": "tags", "type": "tags"},
        {"name": "custom", "type": "object"},
        {"name": "consent", "type": "consent"},
        {"name": "score", "type": "number", "read_only": true, "sort": true, "not_null": true},
        {"name": "fit", "type": "number", "read_only": true, "not_null": true},
        {"name": "engagement", "type": "number", "read_only": true},
        {"name": "score_as_of", "type": "timestamp", "read_only": true},
        {"name": "grade", "type": "text", "read_only": true, "sort": true},
        {"name": "probability", "type": "number", "read_only": true, "sort": true},
        {"name": "probability_manual", "type": "number", "sort": true, "schema": {"maximum": 1}},
        {"name": "probability_model", "type": "number", "read_only": true, "sort": true},
        {"name": "probability_version", "type": "integer", "read_only": true, "filter": false},
        {"name": "converted", "type": "converted", "read_only": true},
        {"name": "converted_at", "type": "timestamp", "read_only": true, "only_filter": true},
        {"name": "annual_revenue_currency", "type": "text", "read_only": true,
         "only_filter": true},
        {"name": "consent_email", "type": "boolean", "read_only": true, "only_filter": true},
        {"name": "consent_phone", "type": "boolean", "read_only": true, "only_filter": true}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.lead_fields() IS
    'The fields of a lead in the API.';

CREATE FUNCTION saleshub.lead_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('lead', 'leads', saleshub.lead_fields(),
        jsonb_build_object('owner', saleshub.member_included('owner_id'),
                           'company', saleshub.company_included('converted_company_id'),
                           'contact', saleshub.contact_included('converted_contact_id')));
END;
$$;
COMMENT ON FUNCTION saleshub.lead_meta() IS
    'What the record functions need to know about leads.';

CREATE FUNCTION saleshub.lead_check() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_check';
COMMENT ON FUNCTION saleshub.lead_check() IS
    'Trigger: brings a lead into its normal form and refuses what is wrong with it; a converted lead
is changed by conversion only (setting saleshub.converting).';
