-- Everything about a person, handed out and erased.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    RETURN concat(SQLSTATE, ' ', SQLERRM);
END;
$$;
CREATE FUNCTION pg_temp.enter(org jsonb, role text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', org ->> 'member_id', false), set_config('saleshub.member_role', role, false);
$$;
-- every row of every table that holds a text
CREATE FUNCTION pg_temp.holds(words text) RETURNS TABLE (place text, rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
BEGIN
    FOR tab IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname IN ('crm', 'saleshub') AND c.relkind = 'r' ORDER BY c.oid::regclass::text
    LOOP
        place := tab::text;
        EXECUTE format('SELECT count(*) FROM %s t WHERE t::text ~* $1 AND coalesce(to_jsonb(t) ->> ''org_id'' IN ('
                       ' SELECT o.org_id::text FROM crm.org o WHERE o.name IN (''Private'', ''Neighbour'')), true)', tab)
        INTO rows USING words;
        IF rows > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;

SELECT crm.org_create('Private', 'Ann', 'ann@private.example', 'EUR') AS org \gset
SELECT crm.org_create('Neighbour', 'Eve', 'eve@private.example', 'EUR') AS other \gset
SELECT pg_temp.enter(:'other', 'admin');
SELECT crm.lead_create('{"last_name": "Namesake", "email": "zelda@acme.example"}') IS NOT NULL;
SELECT pg_temp.enter(:'org', 'admin');
SET ROLE saleshub_user;
SELECT crm.lead_create('{"first_name": "Zelda", "last_name": "Quuxberg", "email": "Zelda@Acme.example", "phone": "+4930123456", "title": "Chief Quuxist",
    "tags": ["vip"], "company_name": "Acme", "custom": {"note": "quuxberg"}, "source": "web"}') ->> 'id' AS lead \gset
SELECT crm.lead_update(:'lead', '{"title": "Head Quuxist"}') -> 'version';
SELECT crm.activity_create(jsonb_build_object('type', 'call', 'subject', 'Call Zelda Quuxberg', 'body', 'about quux', 'links',
    jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))) ->> 'id' AS call \gset
SELECT crm.activity_create('{"type": "note", "subject": "Wrote to zelda@acme.example"}') ->> 'id' AS note \gset
SELECT crm.activity_create('{"type": "note", "subject": "Somebody else"}') ->> 'id' AS else \gset
SELECT crm.lead_convert(:'lead', '{"deal": {"mode": "create", "name": "Zelda Quuxberg buys"}}') AS c \gset
SELECT crm.contact_update((:'c'::jsonb #>> '{contact,id}')::uuid, '{"title": "Quuxmaster"}') -> 'version';
-- an address that was corrected: the record is somebody else's
SELECT crm.contact_create('{"last_name": "Other", "email": "zelda@acme.example"}') ->> 'id' AS corrected \gset
SELECT crm.contact_update(:'corrected', '{"email": "other@else.example"}') ->> 'email';
RESET ROLE;
INSERT INTO saleshub.idempotency (org_id, member_id, key, request_hash, reply)
VALUES (saleshub.org_id(), saleshub.member_id(), 'k1', 'h', jsonb_build_object('body', crm.contact_get((:'c'::jsonb #>> '{contact,id}')::uuid))),
       (saleshub.org_id(), saleshub.member_id(), 'k2', 'h', '{"body": {"last_name": "Other"}}');

-- admins only, and exactly one way to say who
SELECT pg_temp.enter(:'org', 'manager');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.subject_export('zelda@acme.example')$$);
SELECT pg_temp.refused($$SELECT crm.subject_erase('{"email": "zelda@acme.example"}')$$);
SELECT pg_temp.refused($$SELECT saleshub.erase_subject(saleshub.org_id(), '{"records": []}')$$);
RESET ROLE;
SELECT pg_temp.enter(:'org', 'admin');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.subject_export()$$);
SELECT pg_temp.refused($$SELECT crm.subject_export('a@b.example', 'lead', crm.uuid_v7())$$);
SELECT pg_temp.refused($$SELECT crm.subject_export('nobody@quux.example')$$);
SELECT pg_temp.refused($$SELECT crm.subject_erase('{"email": "ann@private.example"}')$$);
SELECT pg_temp.refused($$SELECT crm.subject_erase('{"mail": "x"}')$$);

SELECT key, jsonb_array_length(value) FROM jsonb_each(crm.subject_export('ZELDA@acme.example')) WHERE jsonb_typeof(value) = 'array' ORDER BY 1;
SELECT crm.subject_export(type => 'lead', id => :'lead') - 'exported_at' = crm.subject_export('zelda@acme.example') - 'exported_at';
SELECT clock_timestamp() AS before \gset
SELECT crm.subject_erase('{"email": "zelda@acme.example", "reason": "asked to"}') -> 'erased';
RESET ROLE;
SELECT * FROM pg_temp.holds('quux|zelda|\+?4930123456');
-- the neighbour's, whose own it is
SELECT org_id = (:'other'::jsonb ->> 'org_id')::uuid, last_name FROM crm.lead WHERE email ~ 'zelda';
SELECT count(*) FROM saleshub.rollup_check();
SET ROLE saleshub_user;
-- who did what when stays, and what the figures stand on
SELECT l ->> 'last_name', l ->> 'source', l ->> 'status', l -> 'consent', l -> 'score' <> 'null' FROM crm.lead_get(:'lead') l;
SELECT d ->> 'name', d ->> 'status' FROM crm.deal_get((:'c'::jsonb #>> '{deal,id}')::uuid) d;
SELECT a ->> 'subject' FROM jsonb_array_elements(crm.activity_list(sort => 'id') -> 'data') a;
SELECT crm.contact_get(:'corrected') ->> 'email';
SELECT e ->> 'op', e #> '{changed,title}' FROM jsonb_array_elements(crm.lead_history(:'lead') -> 'data') e WHERE e -> 'changed' ? 'title';
SELECT crm.lead_get(:'lead', as_of => :'before') -> 'email';
SELECT pg_temp.refused($$SELECT crm.subject_export('zelda@acme.example')$$);
SELECT pg_temp.refused(format('SELECT crm.conversion_undo(%L)', :'c'::jsonb ->> 'conversion_id'));
RESET ROLE;
SELECT reason, jsonb_array_length(records), actor_id = saleshub.member_id(), email_hash = saleshub.subject_hash(salt, 'Zelda@acme.example'),
       salt IS NOT NULL FROM crm.erasure;

-- a member who left
SELECT saleshub.event_start() IS NOT NULL;
INSERT INTO crm.member (org_id, name, email, role, active) VALUES (saleshub.org_id(), 'Quentin Quux', 'quentin@private.example', 'rep', true);
UPDATE crm.member SET active = false WHERE email = 'quentin@private.example';
SET ROLE saleshub_user;
SELECT crm.subject_erase('{"email": "quentin@private.example"}') -> 'erased' -> 'members';
RESET ROLE;
SELECT * FROM pg_temp.holds('quentin');

-- all or nothing
SET ROLE saleshub_user;
SELECT crm.contact_create('{"last_name": "Wholly", "email": "wholly@quux.example"}') IS NOT NULL;
RESET ROLE;
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;
CREATE TRIGGER zz_fail BEFORE INSERT ON crm.erasure FOR EACH ROW EXECUTE FUNCTION pg_temp.fail();
SELECT pg_temp.refused($$SELECT crm.subject_erase('{"email": "wholly@quux.example"}')$$);
DROP TRIGGER zz_fail ON crm.erasure;
SELECT * FROM pg_temp.holds('wholly');
