-- What is deleted leaves for good after a time, and so does old history.
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
SELECT crm.org_create('Retained', 'Ann', 'ann@retained.example', 'EUR') AS org \gset
SELECT crm.org_create('Untouched', 'Eve', 'eve@retained.example', 'EUR') AS other \gset
SELECT pg_temp.enter(:'other', 'admin');
SELECT crm.lead_create('{"last_name": "Other"}') ->> 'id' AS theirs \gset
SELECT crm.lead_delete(:'theirs');
SELECT pg_temp.enter(:'org', 'manager');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.retention_set('{"lead": {"bin_days": 30}}')$$);
SELECT pg_temp.refused($$SELECT crm.purge('lead')$$);
SELECT pg_temp.refused($$UPDATE crm.retention SET held = false$$);
SELECT pg_temp.refused($$SELECT saleshub.rows_remove(saleshub.org_id(), 'lead', '{}')$$);
RESET ROLE;
SELECT pg_temp.enter(:'org', 'admin');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.retention_set('{"lead": {"bin_days": -1}, "note": {}}')$$);
SELECT crm.retention_set('{"lead": {"bin_days": 30}, "company": {"bin_days": 0, "history_days": 90}}') -> 'company';
SELECT crm.retention_set('{"company": {"bin_days": 30}, "contact": {"bin_days": 30}, "deal": {"bin_days": 30}, "activity": {"bin_days": 30}}') -> 'company';

-- a converted lead with all that came of it, activities, scores and history; all deleted
SELECT crm.lead_create('{"last_name": "Hopper", "email": "grace@navy.example", "company_name": "Navy"}') ->> 'id' AS lead \gset
SELECT crm.lead_convert(:'lead', '{}') AS c \gset
SELECT (:'c'::jsonb #>> '{company,id}') AS company, (:'c'::jsonb #>> '{contact,id}') AS contact, (:'c'::jsonb #>> '{deal,id}') AS deal \gset
SELECT crm.deal_update(:'deal', '{"lines": [{"name": "a", "unit_price": 10}]}') #> '{amount,amount}';
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'About the deal', 'links',
    jsonb_build_array(jsonb_build_object('type', 'deal', 'id', :'deal')))) ->> 'id' AS activity \gset
SELECT crm.lead_create('{"last_name": "Fresh"}') ->> 'id' AS fresh \gset
SELECT crm.lead_delete(:'fresh');
SELECT crm.company_delete(:'company');
SELECT crm.deal_delete(:'deal');
RESET ROLE;
-- time passes for the company and the deal
ALTER TABLE crm.company DISABLE TRIGGER USER;
UPDATE crm.company SET deleted_at = now() - interval '31 days' WHERE company_id = :'company';
ALTER TABLE crm.company ENABLE TRIGGER USER;
SELECT saleshub.retain();
SELECT count(*) FROM crm.company WHERE company_id = :'company';
SELECT company_id, last_name FROM crm.contact WHERE contact_id = :'contact';
SELECT status, converted_company_id, converted_deal_id = :'deal' FROM crm.lead WHERE lead_id = :'lead';
SELECT op, changed FROM crm.change_log WHERE entity = 'company' AND entity_id = :'company';
SELECT count(*) FROM saleshub.rollup_check();
SELECT saleshub.retain();

-- by hand, and while held
SET ROLE saleshub_user;
SELECT crm.retention_set('{"deal": {"held": true}}') -> 'deal';
SELECT pg_temp.refused($$SELECT crm.purge('deal')$$);
SELECT crm.retention_set('{"deal": {"held": false}}') -> 'deal' -> 'held';
SELECT crm.purge('deal', '1 hour'), crm.purge('deal'), crm.purge('activity');
SELECT pg_temp.refused($$SELECT crm.purge('member')$$);
SELECT count(*) FROM crm.stage_history WHERE deal_id = :'deal';
SELECT count(*) FROM crm.change_log WHERE entity = 'deal_line' AND org_id = saleshub.org_id();
SELECT count(*) FROM crm.activity_link WHERE activity_id = :'activity';
-- a lead takes its conversion, scores and assignments along
RESET ROLE;
UPDATE crm.contact SET deleted_at = now() WHERE contact_id = :'contact';
BEGIN;
SET LOCAL saleshub.converting = on;
UPDATE crm.lead SET deleted_at = now() WHERE lead_id = :'lead';
COMMIT;
SET ROLE saleshub_user;
SELECT crm.purge('lead', most => 1) -> 'more', crm.purge('lead', most => 1) -> 'purged', crm.purge('lead') -> 'purged', crm.purge('contact') -> 'purged';
RESET ROLE;
SELECT (SELECT count(*) FROM crm.conversion WHERE org_id = saleshub.org_id()), (SELECT count(*) FROM crm.score_history WHERE org_id = saleshub.org_id()),
       (SELECT count(*) FROM crm.assignment_log WHERE org_id = saleshub.org_id()), (SELECT count(*) FROM crm.lead WHERE org_id = saleshub.org_id());
SELECT count(*) FROM saleshub.rollup_check();
SELECT count(*) FROM crm.lead WHERE lead_id = :'theirs' AND deleted_at IS NOT NULL;

-- history goes by its age in bounded steps, and is not made up afterwards
SET ROLE saleshub_user;
SELECT crm.company_create('{"name": "Old"}') ->> 'id' AS old \gset
SELECT crm.company_update(:'old', '{"industry": "steel"}') -> 'version';
RESET ROLE;
UPDATE crm.change_log SET at = now() - interval '100 days' WHERE entity = 'company' AND entity_id = :'old' AND op = 'insert';
SELECT saleshub.keep_house() IS NOT NULL;
SELECT op FROM crm.change_log WHERE entity = 'company' AND entity_id = :'old';
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.company_get(%L, as_of => %L)', :'old', now() - interval '95 days'));
SELECT pg_temp.refused(format('SELECT crm.company_list(as_of => %L)', now() - interval '95 days'));
SELECT crm.company_get(:'old', as_of => now()) ->> 'industry';
SELECT crm.lead_list(as_of => now() - interval '95 days') -> 'data';
SELECT crm.retention_get() #> '{company,history_from}' <> 'null';
RESET ROLE;
-- one kind that cannot be removed does not keep the others
SELECT crm.company_delete(:'old');
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;
CREATE TRIGGER zz_fail BEFORE DELETE ON crm.company FOR EACH ROW EXECUTE FUNCTION pg_temp.fail();
SELECT crm.retention_set('{"company": {"bin_days": 0}, "activity": {"bin_days": 0}, "deal": {"bin_days": 0}}') IS NOT NULL;
SELECT crm.deal_create('{"name": "D"}') ->> 'id' AS deal \gset
SELECT crm.deal_delete(:'deal');
SET client_min_messages = error;
SELECT saleshub.retain();
SELECT count(*) FROM crm.company WHERE company_id = :'old';
DROP TRIGGER zz_fail ON crm.company;
-- a product leaves its lines as they are, without it
SET ROLE saleshub_user;
SELECT crm.product_create('{"name": "Old product", "sku": "old", "price": {"amount": "5", "currency": "EUR"}}') ->> 'id' AS product \gset
SELECT crm.deal_create(jsonb_build_object('name', 'Keeps its line', 'lines', jsonb_build_array(jsonb_build_object('product_id', :'product')))) ->> 'id' AS sold \gset
SELECT crm.product_delete(:'product');
SELECT crm.purge('product') -> 'purged';
SELECT crm.deal_get(:'sold') #> '{amount,amount}', l ->> 'name', l -> 'product_id' FROM jsonb_array_elements(crm.deal_get(:'sold') -> 'lines') l;
RESET ROLE;
