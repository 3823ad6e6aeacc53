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
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_contact_check';
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
