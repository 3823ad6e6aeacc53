-- Organisations never meet: another one's rows cannot be read, changed, removed or referred to.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

-- What a statement is refused for: SQLSTATE, message, and pointer or parameter with code of each error.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    errors text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        SELECT string_agg(concat(e ->> 'pointer', e ->> 'parameter', ' ', e ->> 'code'), ', ' ORDER BY e::text)
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

CREATE FUNCTION pg_temp.enter(org jsonb, role text DEFAULT 'admin') RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', org ->> 'member_id', false),
           set_config('saleshub.member_role', role, false);
$$;

SELECT crm.org_create('Theirs', 'Bob', 'bob@theirs.example') AS theirs \gset
SELECT crm.org_create('Ours', 'Ann', 'ann@ours.example') AS ours \gset
SELECT pg_temp.enter(:'theirs');
SET ROLE saleshub_user;
SELECT crm.company_create('{"name": "Secret"}') ->> 'id' AS company \gset
SELECT crm.contact_create('{"name": "Secret"}') ->> 'id' AS contact \gset
SELECT crm.lead_create('{"last_name": "Secret"}') ->> 'id' AS lead \gset
SELECT crm.deal_create('{"name": "Secret"}') AS deal_doc \gset
SELECT :'deal_doc'::jsonb ->> 'id' AS deal, :'deal_doc'::jsonb ->> 'stage_id' AS stage, :'deal_doc'::jsonb ->> 'pipeline_id' AS pipeline \gset
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'Secret',
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))) ->> 'id' AS activity \gset
CREATE TEMP TABLE secret AS SELECT noun, id FROM (VALUES
    ('lead', :'lead'::uuid), ('contact', :'contact'), ('company', :'company'), ('deal', :'deal'), ('activity', :'activity')) AS s (noun, id);
RESET ROLE;
SELECT pg_temp.enter(:'ours');
SET ROLE saleshub_user;

-- by the functions
SELECT pg_temp.refused(format('SELECT crm.%s_%s(%L%s)', noun, verb, id, CASE verb WHEN 'update' THEN $$, '{"owner_id": null}'$$ END))
FROM secret, unnest(ARRAY['get', 'update', 'delete', 'restore', 'history', 'timeline']) verb ORDER BY noun, verb;
SELECT pg_temp.refused(format($$SELECT crm.deal_stage(%L, '{"stage_id": "%s"}')$$, :'deal', :'stage'));
SELECT crm.lead_list(count_ => true) -> 'total', crm.contact_list(count_ => true) -> 'total', crm.company_list(count_ => true) -> 'total',
       crm.deal_list(count_ => true) -> 'total', crm.activity_list(count_ => true) -> 'total';
SELECT crm.activity_list(filters => jsonb_build_array(jsonb_build_object('field', 'lead_id', 'value', :'lead')), count_ => true) -> 'total';
SELECT jsonb_path_query_array(crm.pipeline_list(), '$.data[*].name'),
       jsonb_path_exists(crm.pipeline_list(), '$.data[*] ? (@.id == $p)', jsonb_build_object('p', :'pipeline'));

-- by plain SQL: every table that has an organisation
CREATE FUNCTION pg_temp.foreign_rows() RETURNS TABLE (tab text, seen bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR tab IN SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id'
               WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1
    LOOP
        EXECUTE format('SELECT count(*) FROM %s WHERE org_id <> saleshub.org_id()', tab) INTO seen;
        RETURN NEXT;
    END LOOP;
END;
$$;
SELECT count(*) > 10 AS tables, sum(seen) AS seen FROM pg_temp.foreign_rows();
CREATE FUNCTION pg_temp.affected(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END;
$$;
SELECT noun, pg_temp.affected(format('UPDATE crm.%I SET owner_id = NULL WHERE %I = %L', noun, noun || '_id', id)) FROM secret ORDER BY 1;
SELECT noun, pg_temp.refused(format('DELETE FROM crm.%I WHERE %I = %L', noun, noun || '_id', id)) FROM secret ORDER BY 1;
SELECT pg_temp.affected(format('DELETE FROM crm.activity_link WHERE activity_id = %L', :'activity'));
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    format($$INSERT INTO crm.lead (org_id, last_name) VALUES (%L, 'x')$$, :'theirs'::jsonb ->> 'org_id'),
    format($$INSERT INTO crm.company (org_id, name) VALUES (%L, 'x')$$, :'theirs'::jsonb ->> 'org_id'),
    format($$INSERT INTO crm.contact (org_id, email) VALUES (%L, 'x@y.zz')$$, :'theirs'::jsonb ->> 'org_id'),
    format($$INSERT INTO crm.activity (org_id, type, subject) VALUES (%L, 'note', 'x')$$, :'theirs'::jsonb ->> 'org_id'),
    format($$INSERT INTO crm.activity_link VALUES (%L, %L, 'lead', %L)$$, :'theirs'::jsonb ->> 'org_id', :'activity', :'lead')]) s;
SELECT pg_temp.refused(format($$INSERT INTO crm.deal (org_id, name) VALUES (%L, 'x')$$, :'theirs'::jsonb ->> 'org_id')) <> 'not refused';

-- a row of ours cannot move to them, nor refer to theirs
SELECT crm.lead_create('{"last_name": "Ours"}') ->> 'id' AS mine \gset
SELECT crm.deal_create('{"name": "Ours"}') ->> 'id' AS my_deal \gset
SELECT pg_temp.refused(format('UPDATE crm.lead SET org_id = %L', :'theirs'::jsonb ->> 'org_id'));
SELECT pg_temp.refused(format('SELECT crm.deal_update(%L, %L)', :'my_deal', jsonb_build_object(col, id)))
FROM (VALUES ('company_id', :'company'), ('contact_id', :'contact'), ('lead_id', :'lead'), ('owner_id', :'theirs'::jsonb ->> 'member_id'),
             ('stage_id', :'stage'), ('pipeline_id', :'pipeline')) AS f (col, id);
SELECT pg_temp.refused(format('SELECT crm.contact_create(%L)', jsonb_build_object('name', 'x', 'company_id', :'company')));
SELECT pg_temp.refused(format('SELECT crm.company_create(%L)', jsonb_build_object('name', 'x', 'parent_id', :'company')));
SELECT pg_temp.refused(format('SELECT crm.activity_create(%L)', jsonb_build_object('type', 'note', 'subject', 'x',
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))));

-- even where no trigger looks, a foreign key holds the organisation
RESET ROLE;
SET session_replication_role = replica;
UPDATE crm.deal SET company_id = :'company' WHERE deal_id = :'my_deal';
SET session_replication_role = origin;
SELECT pg_temp.refused(format('UPDATE crm.deal SET company_id = company_id, contact_id = %L WHERE deal_id = %L', :'contact', :'my_deal'));
ALTER TABLE crm.deal DISABLE TRIGGER deal_10_check;
SELECT pg_temp.refused(format('UPDATE crm.deal SET contact_id = %L WHERE deal_id = %L', :'contact', :'my_deal'));
ALTER TABLE crm.deal ENABLE TRIGGER deal_10_check;

-- the context cannot be forged, nor a stronger role taken
RESET ROLE;
CREATE ROLE regress_ann LOGIN IN ROLE saleshub_user;
SET SESSION AUTHORIZATION regress_ann;
SELECT crm.lead_list(count_ => true) -> 'total';
SELECT pg_temp.refused(format('SET saleshub.%s = %L', name, value))
FROM (VALUES ('org_id', :'theirs'::jsonb ->> 'org_id'), ('member_role', 'admin'), ('member_id', :'theirs'::jsonb ->> 'member_id'), ('converting', 'on')) AS s (name, value);
SELECT pg_temp.refused(format('SELECT set_config(%L, %L, true)', 'saleshub.org_id', :'theirs'::jsonb ->> 'org_id'));
SELECT pg_temp.refused('SET ROLE saleshub_owner');
SELECT pg_temp.refused('ALTER TABLE crm.lead DISABLE ROW LEVEL SECURITY');
SELECT pg_temp.refused(format('SELECT saleshub.%s', call)) FROM unnest(ARRAY['install()', 'defaults_pipeline(NULL)', 'routes_lead()',
    $$protect('crm.lead')$$]) call;
RESET SESSION AUTHORIZATION;
DROP ROLE regress_ann;

-- without an organisation there is nothing
RESET ROLE;
SELECT set_config('saleshub.org_id', '', false);
SET ROLE saleshub_user;
SELECT count(*) FROM crm.lead;
SELECT crm.lead_list() -> 'data';
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L)', :'lead'));
SELECT pg_temp.refused($$SELECT crm.lead_create('{"last_name": "x"}')$$);
RESET ROLE;
