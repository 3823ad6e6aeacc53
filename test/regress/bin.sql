-- What is deleted together comes back together, and nothing else.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Bins', 'Ann', 'ann@bins.example', 'EUR') AS org \gset
SELECT set_config('saleshub.org_id', :'org'::jsonb ->> 'org_id', false) IS NULL,
       set_config('saleshub.member_id', :'org'::jsonb ->> 'member_id', false) IS NULL,
       set_config('saleshub.member_role', 'admin', false);
SET ROLE saleshub_user;
SELECT crm.company_create('{"name": "Navy"}') ->> 'id' AS company \gset
SELECT crm.deal_create('{"name": "Compiler"}') ->> 'id' AS deal \gset
CREATE FUNCTION pg_temp.activity(subject text, links text[]) RETURNS text LANGUAGE sql AS $$
    SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', subject, 'links', (
        SELECT jsonb_agg(jsonb_build_object('type', split_part(l, ' ', 1), 'id', split_part(l, ' ', 2))) FROM unnest(links) l))) ->> 'id'
$$;
SELECT pg_temp.activity('only the company', ARRAY['company ' || :'company']) AS only \gset
SELECT pg_temp.activity('gone before', ARRAY['company ' || :'company']) AS before \gset
SELECT pg_temp.activity('both', ARRAY['company ' || :'company', 'deal ' || :'deal']) AS both \gset
SELECT pg_temp.activity('restored alone', ARRAY['company ' || :'company']) AS alone \gset
SELECT pg_temp.activity('about nothing', '{}') AS nothing \gset
CREATE FUNCTION pg_temp.live() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(a ->> 'subject', ', ' ORDER BY a ->> 'subject') FROM jsonb_array_elements(crm.activity_list() -> 'data') a
$$;
SELECT crm.activity_delete(:'before');
SELECT crm.company_delete(:'company');
SELECT pg_temp.live();
SELECT count(DISTINCT deletion_id) FROM (
    SELECT deletion_id FROM crm.company WHERE company_id = :'company'
    UNION ALL SELECT deletion_id FROM crm.activity WHERE activity_id IN (:'only', :'alone')) d;
-- the last live record an activity was about takes it along
SELECT crm.deal_delete(:'deal');
SELECT pg_temp.live();
SELECT crm.deal_restore(:'deal') IS NOT NULL;
SELECT pg_temp.live();
-- taken out and deleted again by itself, it is no longer part of that deletion
SELECT crm.activity_restore(:'alone') ->> 'subject';
SELECT crm.activity_delete(:'alone');
SELECT crm.company_restore(:'company') ->> 'name';
SELECT pg_temp.live();
SELECT crm.company_restore(:'company') -> 'version' = (crm.company_get(:'company') -> 'version');
SELECT pg_temp.live();
SELECT count(*) FROM crm.activity WHERE deletion_id IS NOT NULL AND deleted_at IS NULL;
-- a failed statement of the deletion leaves everything where it was
RESET ROLE;
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;
CREATE TRIGGER zz_fail BEFORE UPDATE ON crm.activity FOR EACH ROW EXECUTE FUNCTION pg_temp.fail();
SELECT set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT crm.company_delete(:'company');
SELECT crm.company_get(:'company') ->> 'name';
SELECT pg_temp.live();
RESET ROLE;
DROP TRIGGER zz_fail ON crm.activity;
SELECT count(*) FROM saleshub.rollup_check();
