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
        {"name": "city", "type": "text", "sort": true},
        {"name": "industry", "type": "text", "sort": true},
        {"name": "employees", "type": "integer", "sort": true},
        {"name": "annual_revenue", "type": "money", "currency": "annual_revenue_currency",
         "sort": true},
        {"name": "owner_id", "type": "uuid"},
        {"name": "tags", "type": "tags"},
        {"name": "custom", "type": "object"},
        {"name": "consent", "type": "consent"},
        {"name": "score", "type": "integer", "read_only": true, "sort": true, "not_null": true},
        {"name": "grade", "type": "text", "read_only": true, "sort": true},
        {"name": "probability", "type": "number", "read_only": true, "sort": true},
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
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    converting boolean := current_setting('saleshub.converting', true) IS NOT DISTINCT FROM 'on';
    phone record;
    faults jsonb := '[]';
BEGIN
    IF NOT fresh AND NOT converting AND OLD.status = 'converted' THEN
        PERFORM saleshub.raise(
            'SH003', format('lead %s is converted and cannot be changed', OLD.lead_id),
            jsonb_build_object('code', 'lead_converted', 'converted', jsonb_build_object(
                'company_id', OLD.converted_company_id, 'contact_id', OLD.converted_contact_id,
                'deal_id', OLD.converted_deal_id)),
            'Change its company, contact or deal.');
    END IF;

    NEW.first_name := saleshub.clean(NEW.first_name);
    NEW.last_name := saleshub.clean(NEW.last_name);
    NEW.email := lower(saleshub.clean(NEW.email));
    NEW.company_name := saleshub.clean(NEW.company_name);
    NEW.title := saleshub.clean(NEW.title);
    NEW.website := saleshub.clean(NEW.website);
    NEW.source := saleshub.clean(NEW.source);
    NEW.country := saleshub.clean(NEW.country);
    NEW.city := saleshub.clean(NEW.city);
    NEW.industry := saleshub.clean(NEW.industry);
    NEW.status := coalesce(saleshub.clean(NEW.status), 'new');
    NEW.tags := saleshub.tags_normal(NEW.tags);
    NEW.custom := coalesce(NEW.custom, '{}');
    NEW.annual_revenue_currency := upper(saleshub.clean(NEW.annual_revenue_currency));
    IF NEW.annual_revenue IS NOT NULL AND NEW.annual_revenue_currency IS NULL THEN
        NEW.annual_revenue_currency := saleshub.org_currency(NEW.org_id);
    END IF;

    IF coalesce(NEW.last_name, NEW.company_name, NEW.email) IS NULL THEN
        faults := faults || saleshub.fault('/last_name', 'required',
                                           'or company_name or email is required');
    END IF;
    IF NEW.status NOT IN ('new', 'working', 'nurturing', 'qualified', 'unqualified', 'converted')
    THEN
        faults := faults || saleshub.fault('/status', 'not_allowed', 'is not a status of leads');
    ELSIF NEW.status = 'converted' AND NOT converting THEN
        faults := faults || saleshub.fault('/status', 'read_only',
                                           'becomes converted by converting the lead only');
    END IF;
    faults := faults || saleshub.too_long('/first_name', NEW.first_name, 100)
        || saleshub.too_long('/last_name', NEW.last_name, 100)
        || saleshub.too_long('/company_name', NEW.company_name, 200)
        || saleshub.too_long('/title', NEW.title, 200)
        || saleshub.too_long('/source', NEW.source, 100)
        || saleshub.revenue_faults(NEW.annual_revenue, NEW.annual_revenue_currency, NEW.employees);
    IF (fresh OR NEW.email IS DISTINCT FROM OLD.email) AND NOT saleshub.email_ok(NEW.email) THEN
        faults := faults || saleshub.fault('/email', 'invalid', 'is not an e-mail address');
    END IF;
    IF NOT saleshub.website_ok(NEW.website) THEN
        faults := faults || saleshub.fault('/website', 'invalid', 'is not a web address');
    END IF;
    IF fresh OR NEW.phone IS DISTINCT FROM OLD.phone THEN
        phone := saleshub.phone_check(NEW.org_id, NEW.phone, NEW.country);
        NEW.phone := phone.number;
        faults := faults || phone.faults;
    END IF;
    IF fresh OR NEW.owner_id IS DISTINCT FROM OLD.owner_id THEN
        faults := faults || saleshub.reference_faults(NEW.org_id, '/owner_id', 'member',
                                                      NEW.owner_id);
    END IF;

    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('lead', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.lead_check() IS
    'Trigger: brings a lead into its normal form and refuses what is wrong with it; a converted lead
is changed by conversion only (setting saleshub.converting).';
