-- Organisations and what a new one starts with.

CREATE FUNCTION crm.org_create(
    name text, admin_name text, admin_email text, currency text DEFAULT 'USD',
    timezone text DEFAULT 'UTC', country text DEFAULT 'US') RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := crm.uuid_v7();
    admin uuid := crm.uuid_v7();
    defaults regproc;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = org_create.timezone) THEN
        PERFORM saleshub.raise('22023', format('unknown time zone "%s"', timezone),
            '{"code": "invalid_timezone", "errors": [{"pointer": "/timezone", "code": "invalid", "detail": "Not a time zone of the IANA database."}]}');
    END IF;
    INSERT INTO crm.org (org_id, name, currency, timezone, country)
    VALUES (org, org_create.name, org_create.currency, org_create.timezone, org_create.country);
    FOR defaults IN
        SELECT p.oid FROM pg_proc p
         WHERE p.pronamespace = 'saleshub'::regnamespace AND p.proname LIKE 'defaults\_%'
         ORDER BY p.proname
    LOOP
        EXECUTE format('SELECT %s($1)', defaults::text) USING org;
    END LOOP;
    INSERT INTO crm.member (org_id, member_id, name, email, role, timezone)
    VALUES (org, admin, admin_name, admin_email, 'admin', org_create.timezone);
    RETURN jsonb_build_object('org_id', org, 'member_id', admin);
END
$$;
COMMENT ON FUNCTION crm.org_create(text, text, text, text, text, text) IS
    'A new organisation with its first admin, default pipeline, scoring rules and routing pool. For superusers and sign-up';

CREATE FUNCTION saleshub.member_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    errors jsonb := '[]';
BEGIN
    NEW.name := nullif(btrim(NEW.name), '');
    NEW.email := lower(nullif(btrim(NEW.email), ''));
    IF NEW.name IS NULL THEN
        errors := errors || '[{"pointer": "/name", "code": "required", "detail": "A member has a name."}]';
    END IF;
    IF NEW.email IS NULL OR NEW.email !~ '^[^@\s]+@[^@\s]+\.[^@\s]+$' OR length(NEW.email) > 254 THEN
        errors := errors || '[{"pointer": "/email", "code": "invalid", "detail": "A member has a valid e-mail address."}]';
    END IF;
    IF errors <> '[]' THEN
        PERFORM saleshub.raise('22023', 'invalid member',
                               jsonb_build_object('code', 'invalid_body', 'errors', errors));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.member_check() IS 'Trigger: normalises and checks a member';
