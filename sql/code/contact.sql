CREATE FUNCTION saleshub.contact_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "contact_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "name", "type": "text", "filter": false,
         "sql": "coalesce(nullif(concat_ws('' '', t.first_name, t.last_name), ''''), t.email)",
         "set": {"first_name": "saleshub.first_names(%s)", "last_name": "saleshub.last_word(%s)"}},
        {"name": "first_name", "type": "text", "max": 100, "sort": true},
        {"name": "last_name", "type": "text", "max": 100, "sort": true},
        {"name": "email", "type": "text", "max": 254, "sort": true, "schema": {"format": "email"}},
        {"name": "phone", "type": "text", "max": 50, "folded": true},
        {"name": "company_id", "type": "uuid"},
        {"name": "title", "type": "text", "sort": true},
        {"name": "owner_id", "type": "uuid"},
        {"name": "tags", "type": "tags"},
        {"name": "custom", "type": "object"},
        {"name": "consent", "type": "consent"},
        {"name": "consent_email", "type": "boolean", "read_only": true, "only_filter": true},
        {"name": "consent_phone", "type": "boolean", "read_only": true, "only_filter": true}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.contact_fields() IS
    'The fields of a contact in the API.';

CREATE FUNCTION saleshub.contact_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('contact', 'contacts', saleshub.contact_fields(),
        jsonb_build_object('owner', saleshub.member_included('owner_id'),
                           'company', saleshub.company_included('company_id')));
END;
$$;
COMMENT ON FUNCTION saleshub.contact_meta() IS
    'What the record functions need to know about contacts.';

CREATE FUNCTION saleshub.contact_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    phone record;
    faults jsonb := '[]';
BEGIN
    NEW.first_name := saleshub.clean(NEW.first_name);
    NEW.last_name := saleshub.clean(NEW.last_name);
    NEW.email := lower(saleshub.clean(NEW.email));
    NEW.title := saleshub.clean(NEW.title);
    NEW.tags := saleshub.tags_normal(NEW.tags);
    NEW.custom := coalesce(NEW.custom, '{}');

    IF coalesce(NEW.first_name, NEW.last_name, NEW.email) IS NULL THEN
        faults := faults || saleshub.fault('/last_name', 'required',
                                           'or first_name or email is required');
    END IF;
    faults := faults || saleshub.too_long('/first_name', NEW.first_name, 100)
        || saleshub.too_long('/last_name', NEW.last_name, 100)
        || saleshub.too_long('/title', NEW.title, 200);
    IF (fresh OR NEW.email IS DISTINCT FROM OLD.email) AND NOT saleshub.email_ok(NEW.email) THEN
        faults := faults || saleshub.fault('/email', 'invalid', 'is not an e-mail address');
    END IF;
    IF fresh OR NEW.phone IS DISTINCT FROM OLD.phone THEN
        phone := saleshub.phone_check(NEW.org_id, NEW.phone, NULL);
        NEW.phone := phone.number;
        faults := faults || phone.faults;
    END IF;
    IF fresh OR NEW.owner_id IS DISTINCT FROM OLD.owner_id THEN
        faults := faults || saleshub.reference_faults(NEW.org_id, '/owner_id', 'member',
                                                      NEW.owner_id);
    END IF;
    IF fresh OR NEW.company_id IS DISTINCT FROM OLD.company_id THEN
        faults := faults || saleshub.reference_held(NEW.org_id, '/company_id', 'company',
                                                    NEW.company_id);
    END IF;

    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('contact', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.contact_check() IS
    'Trigger: brings a contact into its normal form and refuses what is wrong with it.';

CREATE FUNCTION saleshub.contact_included(col text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.format(
        '(SELECT jsonb_build_object(''id'', c.contact_id, ''first_name'', c.first_name,'
        ' ''last_name'', c.last_name, ''email'', c.email)'
        ' FROM crm.contact c WHERE c.org_id = t.org_id AND c.contact_id = t.%I'
        ' AND c.deleted_at IS NULL)', col);
COMMENT ON FUNCTION saleshub.contact_included(text) IS
    'SQL text of the contact that a column of a record names, for include=.';
