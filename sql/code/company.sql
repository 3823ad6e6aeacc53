CREATE FUNCTION saleshub.company_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "company_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "name", "type": "text", "required": true, "sort": true, "not_null": true},
        {"name": "domain", "type": "text", "max": 253, "sort": true, "folded": true},
        {"name": "industry", "type": "text", "sort": true},
        {"name": "employees", "type": "integer", "sort": true},
        {"name": "phone", "type": "text", "max": 50, "folded": true},
        {"name": "website", "type": "text", "max": 2000},
        {"name": "country", "type": "text", "sort": true},
        {"name": "state", "type": "text", "max": 100, "sort": true},
        {"name": "postal_code", "type": "text", "max": 20, "sort": true},
        {"name": "city", "type": "text", "sort": true},
        {"name": "annual_revenue", "type": "money", "currency": "annual_revenue_currency",
         "sort": true},
        {"name": "parent_id", "type": "uuid"},
        {"name": "owner_id", "type": "uuid"},
        {"name": "tags", "type": "tags"},
        {"name": "custom", "type": "object"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.company_fields() IS
    'The fields of a company in the API.';

CREATE FUNCTION saleshub.company_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('company', 'companies', saleshub.company_fields(),
        jsonb_build_object('owner', saleshub.member_included('owner_id')));
END;
$$;
COMMENT ON FUNCTION saleshub.company_meta() IS
    'What the record functions need to know about companies.';

CREATE FUNCTION saleshub.company_check() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_company_check';
COMMENT ON FUNCTION saleshub.company_check() IS
    'Trigger: brings a company into its normal form and refuses what is wrong with it.';

CREATE FUNCTION saleshub.company_below(org_id uuid, company_id uuid, parent_id uuid)
    RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF parent_id IS NULL OR parent_id = company_id THEN
        RETURN parent_id = company_id;
    END IF;
    RETURN EXISTS (
        WITH RECURSIVE above AS (
            SELECT company_below.parent_id AS id
            UNION
            SELECT c.parent_id
            FROM above JOIN crm.company c ON c.company_id = above.id
            WHERE c.org_id = company_below.org_id AND c.parent_id IS NOT NULL
        )
        SELECT FROM above WHERE above.id = company_below.company_id
    );
END;
$$;
COMMENT ON FUNCTION saleshub.company_below(uuid, uuid, uuid) IS
    'Whether giving the company this parent would make it own itself.';

CREATE FUNCTION saleshub.member_included(col text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.format(
        '(SELECT jsonb_build_object(''id'', m.member_id, ''name'', m.name, ''email'', m.email)'
        ' FROM crm.member m WHERE m.org_id = t.org_id AND m.member_id = t.%I)', col);
COMMENT ON FUNCTION saleshub.member_included(text) IS
    'SQL text of the member that a column of a record names, for include=.';

CREATE FUNCTION saleshub.company_included(col text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.format(
        '(SELECT jsonb_build_object(''id'', c.company_id, ''name'', c.name, ''domain'', c.domain)'
        ' FROM crm.company c WHERE c.org_id = t.org_id AND c.company_id = t.%I'
        ' AND c.deleted_at IS NULL)', col);
COMMENT ON FUNCTION saleshub.company_included(text) IS
    'SQL text of the company that a column of a record names, for include=.';
