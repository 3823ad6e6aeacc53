-- Creating the ordinary tables, and the helpers that the schema steps call.

CREATE FUNCTION saleshub.protect(tab regclass, dml text DEFAULT 'SELECT, INSERT, UPDATE')
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    policy record;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', tab);
    FOR policy IN
        SELECT * FROM (VALUES
            ('tenant_read', 'FOR SELECT TO saleshub_user'
                ' USING (org_id = (SELECT saleshub.org_id()))'),
            ('tenant_insert', 'FOR INSERT TO saleshub_user'
                ' WITH CHECK (org_id = (SELECT saleshub.org_id()) AND (SELECT saleshub.may_write()))'),
            ('tenant_update', 'FOR UPDATE TO saleshub_user'
                ' USING (org_id = (SELECT saleshub.org_id()) AND (SELECT saleshub.may_write()))'
                ' WITH CHECK (org_id = (SELECT saleshub.org_id()))'),
            ('tenant_delete', 'FOR DELETE TO saleshub_user'
                ' USING (org_id = (SELECT saleshub.org_id()) AND (SELECT saleshub.may_write()))'),
            ('machinery', 'FOR ALL TO saleshub_owner USING (true) WITH CHECK (true)')
        ) AS p (name, body)
        WHERE NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = tab AND polname = p.name)
    LOOP
        EXECUTE format('CREATE POLICY %I ON %s %s', policy.name, tab, policy.body);
    END LOOP;
    EXECUTE format('ALTER TABLE %s OWNER TO saleshub_owner', tab);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, saleshub_user', tab);
    IF dml <> '' THEN
        EXECUTE format('GRANT %s ON %s TO saleshub_user', dml, tab);
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.protect(regclass, text) IS
    'Makes a table a tenant''s table: row-level security on and forced, policies by organisation, owner saleshub_owner, and the given rights for members';

CREATE FUNCTION saleshub.add_fk(
    name text, tab text, columns text, target text, target_columns text,
    action text DEFAULT 'NO ACTION') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_constraint
                WHERE conrelid = add_fk.tab::regclass AND conname = add_fk.name) THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE %s',
                   tab, name, columns, target, target_columns, action);
END
$$;
COMMENT ON FUNCTION saleshub.add_fk(text, text, text, text, text, text) IS
    'Adds a foreign key unless it exists; both sides start with org_id';

CREATE FUNCTION saleshub.statement_events(OUT name text, OUT tables text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('insert', 'NEW TABLE AS newrows'),
           ('update', 'OLD TABLE AS oldrows NEW TABLE AS newrows'),
           ('delete', 'OLD TABLE AS oldrows')
$$;
COMMENT ON FUNCTION saleshub.statement_events() IS
    'The three events of a statement trigger, with their transition tables';

CREATE FUNCTION saleshub.capture_on(tab regclass, entity text, key text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    event record;
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT OR UPDATE ON %s'
                   ' FOR EACH ROW EXECUTE FUNCTION saleshub.stamp()', entity || '_90_stamp', tab);
    FOR event IN SELECT * FROM saleshub.statement_events() LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.capture(%L, %L)',
                       'saleshub_capture_' || event.name, event.name, tab, event.tables, entity,
                       key);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE TRIGGER saleshub_no_truncate BEFORE TRUNCATE ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.no_truncate()', tab);
END
$$;
COMMENT ON FUNCTION saleshub.capture_on(regclass, text, text) IS
    'Gives a record table its versions, history, events and cache invalidation';

CREATE FUNCTION saleshub.rollup_on(tab regclass, kind text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT * FROM saleshub.statement_events() LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.rollup(%L)',
                       'saleshub_rollup_' || event.name, event.name, tab, event.tables, kind);
    END LOOP;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_on(regclass, text) IS
    'Gives a record table its rollup deltas: kind lead, deal or activity';

CREATE FUNCTION saleshub.install() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    step record;
    routes regprocedure;
    installed text := (SELECT extversion FROM pg_extension WHERE extname = 'saleshub');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.install', 0));
    -- The worker stands aside: it locks the tables of events and rollups in another order.
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.publish', 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.fold', 0));
    FOR step IN SELECT s.ddl FROM saleshub.schema_steps() s LOOP
        EXECUTE step.ddl;
    END LOOP;
    FOR routes IN
        SELECT p.oid FROM pg_proc p
         WHERE p.pronamespace = 'saleshub'::regnamespace AND p.proname LIKE 'routes\_%'
           AND p.pronargs = 0
         ORDER BY p.proname
    LOOP
        EXECUTE format('SELECT %s', routes::text);
    END LOOP;
    INSERT INTO saleshub.schema_version (version) VALUES (installed)
    ON CONFLICT (version) DO UPDATE SET installed_at = now();
    PERFORM saleshub.event_start();
    RETURN installed;
END
$$;
COMMENT ON FUNCTION saleshub.install() IS
    'Creates or completes the tables, policies, triggers and routes of this version; may be called again at any time. Returns the version';

CREATE FUNCTION saleshub.grant_login(login name, org uuid, member uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    member_role text;
BEGIN
    SELECT m.role INTO member_role FROM crm.member m
     WHERE m.org_id = grant_login.org AND m.member_id = grant_login.member AND m.active;
    IF NOT FOUND THEN
        PERFORM saleshub.raise('P0002', format('no active member %s in organisation %s', member, org));
    END IF;
    EXECUTE format('GRANT saleshub_user TO %I', login);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET saleshub.org_id = %L', login,
                   current_database(), org);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET saleshub.member_id = %L', login,
                   current_database(), member);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET saleshub.member_role = %L', login,
                   current_database(), member_role);
END
$$;
COMMENT ON FUNCTION saleshub.grant_login(name, uuid, uuid) IS
    'Lets a login role of PostgreSQL work in this database as that member, from its next connection on; superuser only';
