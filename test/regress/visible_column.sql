-- Hidden fields of members who log in to the database: no way to what is in them.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Columns', 'Ann', 'ann@columns.example', country => 'DE', currency => 'EUR') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org, set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role;
INSERT INTO crm.member (name, email, role) VALUES ('Rob', 'rob@columns.example', 'rep') RETURNING member_id AS rob \gset
SELECT crm.lead_create('{"last_name": "Roe", "email": "secret@roe.example", "phone": "+49305550100", "company_name": "Roe", "custom": {"open": 1}}') ->> 'id' AS lead \gset
SELECT crm.lead_update(:'lead', '{"phone": "+49305550199"}') ->> 'phone' AS phone;
SELECT crm.product_create('{"name": "Gear", "price": 4711}') ->> 'id' AS gear \gset
SELECT crm.deal_create(jsonb_build_object('name', 'Deal', 'lines', jsonb_build_array(jsonb_build_object('product_id', :'gear'::uuid)))) ->> 'id' AS deal \gset
SELECT crm.visibility_update('{"fields": {"rep": {"lead": {"phone": "hidden", "title": "read_only"}, "product": {"price": "hidden"}}}}') #> '{fields,rep}' AS rules;
CREATE FUNCTION pg_temp.refused(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE sql;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n || ' rows';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || left(SQLERRM, 60);
END
$$;
CREATE ROLE column_rob LOGIN;
SELECT saleshub.grant_login('column_rob', :'org', :'rob') IS NOT NULL AS granted;
-- As the login would be: nobody else's session, and Rob's settings, which only superusers change.
SELECT set_config('saleshub.member_id', :'rob', false) = :'rob' AS member, set_config('saleshub.member_role', 'rep', false) AS role;
SET SESSION AUTHORIZATION column_rob;
\echo -- the tables: of leads and products, of what tells of them, in every role that the login has
SELECT t, pg_temp.refused('SELECT * FROM ' || t) AS got FROM unnest('{crm.lead,crm.product,crm.change_log,saleshub.event_log,crm.conversion,crm.score_history,crm.assignment_log,crm.batch,crm.duplicate_pair,saleshub.rollup_delta}'::text[]) t;
SELECT pg_temp.refused('SELECT * FROM crm.company') AS open, pg_temp.refused('SELECT * FROM crm.deal') AS too;
SET ROLE saleshub_user;
SELECT pg_temp.refused('SELECT phone FROM crm.lead') AS lead, pg_temp.refused('SELECT price FROM crm.product') AS product;
RESET ROLE;
SELECT pg_temp.refused('SET ROLE saleshub_member') AS member, pg_temp.refused('SET ROLE saleshub_view') AS view, pg_temp.refused('SET ROLE saleshub_owner') AS owner,
       pg_temp.refused('SET saleshub.member_role = ''admin''') AS setting;
SELECT pg_temp.refused('UPDATE crm.lead SET title = ''X''') AS read_only, pg_temp.refused('DELETE FROM crm.lead') AS deleted,
       pg_temp.refused('INSERT INTO crm.lead (last_name, phone) VALUES (''New'', ''+49305550111'')') AS inserted;
\echo -- the views: without what is hidden, also in filters, sorting, joins and through functions that tell
SELECT last_name, email, phone, custom FROM sales.lead ORDER BY last_name;
SELECT name, price FROM sales.product;
SELECT count(*) AS filtered FROM sales.lead WHERE phone = '+49305550199';
SELECT count(*) AS liked FROM sales.lead WHERE phone LIKE '+49%';
SELECT count(DISTINCT phone) AS distinct, max(phone) AS greatest FROM sales.lead;
CREATE FUNCTION pg_temp.tell(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'told %', t; RETURN true; END; $$;
SELECT count(*) AS told FROM sales.lead WHERE pg_temp.tell(phone);
SELECT count(*) AS whole FROM sales.lead l WHERE l::text LIKE '%0199%' OR to_jsonb(l)::text LIKE '%0199%';
SELECT pg_temp.refused('UPDATE sales.lead SET phone = NULL') AS update;
\echo -- the functions: the same as by HTTP
SELECT sales.lead_get(:'lead') ? 'phone' AS phone, sales.lead_get(:'lead') ->> 'email' AS email, sales.product_get(:'gear') ? 'price' AS price;
SELECT pg_temp.refused(format('SELECT sales.lead_get(%L, fields => ''phone'')', :'lead')) AS fields,
       pg_temp.refused('SELECT sales.lead_list(sort => ''phone'')') AS sort,
       pg_temp.refused('SELECT sales.lead_list(filters => ''[{"field": "phone", "value": "1"}]'')') AS filter,
       pg_temp.refused('SELECT sales.product_list(sort => ''price'')') AS product;
SELECT sales.lead_history(:'lead')::text LIKE '%0199%' AS history, sales.lead_history(:'lead')::text LIKE '%roe.example%' AS others,
       sales.lead_timeline(:'lead')::text LIKE '%0199%' AS timeline, sales.lead_get(:'lead', as_of => now() - interval '0 s') ? 'phone' AS as_of,
       sales.lead_list()::text LIKE '%0199%' AS list, sales.product_list()::text LIKE '%4711%' AS products;
SELECT sales.lead_update(:'lead', '{"email": "new@roe.example"}') ->> 'email' AS written, pg_temp.refused(format('SELECT sales.lead_update(%L, ''{"title": "X"}'')', :'lead')) AS read_only;
\echo -- the functions of schema crm see no more than who calls them; an export is empty
SELECT left(pg_temp.refused(format('SELECT crm.lead_get(%L)', :'lead')), 5) AS get;
BEGIN;
SELECT crm.export('lead') AS cursor \gset
FETCH ALL FROM :"cursor";
COMMIT;
RESET SESSION AUTHORIZATION;
\echo -- without rules the tables are open
SELECT set_config('saleshub.member_id', :'ann', false) = :'ann' AS member, set_config('saleshub.member_role', 'admin', false) AS role;
SELECT crm.visibility_update('{"fields": {"rep": {"lead": null, "product": null}}}') #> '{fields,rep}' AS rules;
SELECT set_config('saleshub.member_id', :'rob', false) = :'rob' AS member, set_config('saleshub.member_role', 'rep', false) AS role;
SET SESSION AUTHORIZATION column_rob;
SELECT count(*) AS leads, count(phone) AS phones FROM crm.lead;
SELECT count(phone) AS phones FROM sales.lead;
RESET SESSION AUTHORIZATION;
DROP OWNED BY column_rob;
ALTER ROLE column_rob RESET ALL;
DROP ROLE column_rob;
