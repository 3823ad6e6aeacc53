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
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    phone record;
    faults jsonb := '[]';
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.industry := saleshub.clean(NEW.industry);
    NEW.website := saleshub.clean(NEW.website);
    NEW.country := saleshub.clean(NEW.country);
    NEW.city := saleshub.clean(NEW.city);
    NEW.tags := saleshub.tags_normal(NEW.tags);
    NEW.custom := coalesce(NEW.custom, '{}');
    NEW.annual_revenue_currency := upper(saleshub.clean(NEW.annual_revenue_currency));
    IF NEW.annual_revenue IS NOT NULL AND NEW.annual_revenue_currency IS NULL THEN
        NEW.annual_revenue_currency := saleshub.org_currency(NEW.org_id);
    END IF;
    IF fresh AND saleshub.clean(NEW.domain) IS NULL THEN
        NEW.domain := NEW.website;
    END IF;
    NEW.domain := saleshub.domain_normal(NEW.domain);

    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 200);
    IF NOT saleshub.website_ok(NEW.website) THEN
        faults := faults || saleshub.fault('/website', 'invalid', 'is not a web address');
    END IF;
    IF NOT saleshub.domain_ok(NEW.domain) THEN
        faults := faults || saleshub.fault('/domain', 'invalid', 'is not a domain name');
    END IF;
    IF fresh OR NEW.phone IS DISTINCT FROM OLD.phone THEN
        phone := saleshub.phone_check(NEW.org_id, NEW.phone, NEW.country);
        NEW.phone := phone.number;
        faults := faults || phone.faults;
    END IF;
    faults := faults || saleshub.revenue_faults(NEW.annual_revenue, NEW.annual_revenue_currency,
                                                NEW.employees);
    IF fresh OR NEW.owner_id IS DISTINCT FROM OLD.owner_id THEN
        faults := faults || saleshub.reference_faults(NEW.org_id, '/owner_id', 'member',
                                                      NEW.owner_id);
    END IF;
    IF fresh OR NEW.parent_id IS DISTINCT FROM OLD.parent_id THEN
        faults := faults || saleshub.reference_held(NEW.org_id, '/parent_id', 'company',
                                                    NEW.parent_id);
        IF saleshub.company_below(NEW.org_id, NEW.company_id, NEW.parent_id) THEN
            faults := faults || saleshub.fault('/parent_id', 'cycle',
                                               'is the company itself or owned by it');
        END IF;
    END IF;

    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('company', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.company_check() IS
    'Trigger: brings a company into its normal form and refuses what is wrong with it.';

CREATE FUNCTION saleshub.revenue_faults(revenue numeric, currency text, employees integer)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN revenue >= 0 AND revenue <= 1e15 OR revenue IS NULL THEN '[]'::jsonb
            ELSE saleshub.fault('/annual_revenue', 'invalid', 'must be from 0 to 1e15') END
        || CASE WHEN currency OPERATOR(pg_catalog.!~) '^[A-Z]{3}$'
            THEN saleshub.fault('/annual_revenue/currency', 'invalid',
                                'is not a currency code of three letters')
            ELSE '[]' END
        || CASE WHEN employees < 0
            THEN saleshub.fault('/employees', 'too_small', 'must be at least 0') ELSE '[]' END;
COMMENT ON FUNCTION saleshub.revenue_faults(numeric, text, integer) IS
    'Faults in what a lead or company says about its size.';

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
