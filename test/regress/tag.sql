-- Tags in use, counted under row security; renamed, merged and removed on all records.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
    RETURN SQLSTATE || ' ' || message;
END;
$$;
CREATE FUNCTION pg_temp.as_member(org text, member text, role text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org, false), set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', role, false) $$;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann FROM crm.org_create('Tags', 'Ann', 'ann@tags.example') o \gset
SELECT o ->> 'org_id' AS other FROM crm.org_create('Elsewhere', 'Oda', 'oda@tags.example') o \gset
SELECT pg_temp.as_member(:'other', '', '');
SELECT crm.lead_create('{"last_name": "Theirs", "tags": ["vip", "secret"]}') IS NOT NULL;
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT crm.member_create('{"name": "Bob", "email": "bob@tags.example", "role": "rep"}') ->> 'id' AS bob \gset
SET ROLE saleshub_user;
SELECT crm.lead_create(jsonb_build_object('last_name', 'A', 'owner_id', :'ann', 'tags', '["vip", "VIP", "rome"]'::jsonb)) ->> 'id' AS a,
       crm.lead_create(jsonb_build_object('last_name', 'B', 'owner_id', :'bob', 'tags', '["vip", "b"]'::jsonb)) ->> 'id' AS b,
       crm.lead_create(jsonb_build_object('last_name', 'C', 'owner_id', :'ann', 'tags', '["gone", "vip"]'::jsonb)) ->> 'id' AS c,
       crm.contact_create(jsonb_build_object('last_name', 'D', 'owner_id', :'ann', 'tags', '["vip"]'::jsonb)) ->> 'id' AS d,
       crm.product_create('{"name": "P", "price": "1", "tags": ["rome"]}') ->> 'id' AS p \gset
SELECT crm.lead_delete(:'c');
SELECT t ->> 'tag', t -> 'total', t -> 'counts', t -> 'colour' FROM jsonb_array_elements(crm.tag_list() -> 'data') t;
SELECT jsonb_path_query_array(crm.tag_list('lead', 'vI'), '$.data[*].tag'), crm.tag_list('product') -> 'data';
SELECT pg_temp.refused('SELECT crm.tag_list(''activity'')');
\echo -- colours
SELECT crm.tag_update('vip', '{"colour": "#FF0000"}'), crm.tag_update(' rome ', '{"colour": "#00ff00"}'), crm.tag_update('rome', '{}');
SELECT pg_temp.refused('SELECT crm.tag_update(''vip'', ''{"colour": "red"}'')'), pg_temp.refused('SELECT crm.tag_update('' '', ''{}'')');
SELECT crm.tag_list('product') -> 'data' -> 0 -> 'colour';
\echo -- renamed where it is, also in the bin and on a converted lead; in the history
SELECT crm.lead_convert(:'b', '{"deal": {"mode": "skip"}, "company": {"mode": "skip"}}') IS NOT NULL;
SELECT pg_temp.refused('SELECT crm.tag_rename(''{"to": "x"}'')'), pg_temp.refused('SELECT crm.tag_rename(''{"from": "x", "to": "' || repeat('y', 65) || '"}'')');
SELECT crm.tag_rename('{"from": "vip", "to": " VIP "}');
SELECT last_name, tags FROM crm.lead ORDER BY 1;
SELECT changed -> 'tags', actor_id = :'ann' FROM crm.change_log WHERE entity_id = :'a' AND op = 'update';
SELECT tag, colour FROM crm.tag ORDER BY 1;
SELECT crm.tag_rename('{"from": "VIP", "to": "VIP"}') -> 'counts' -> 'lead', crm.tag_rename('{"from": "none", "to": "x"}') -> 'counts' -> 'lead';
SELECT crm.tag_rename('{"from": "rome", "to": null}') -> 'counts';
SELECT jsonb_path_query_array(crm.tag_list(), '$.data[*].tag');
\echo -- by row security, and not where hidden
SELECT crm.visibility_update('{"visibility": {"rep": {"lead": "own"}}, "fields": {"rep": {"contact": {"tags": "hidden"}}}}') IS NOT NULL;
RESET ROLE;
SELECT pg_temp.as_member(:'org', :'bob', 'rep');
SET ROLE saleshub_user;
SELECT crm.tag_list() -> 'data';
SELECT pg_temp.refused('SELECT crm.tag_rename(''{"from": "VIP", "to": "x"}'')');
RESET ROLE;
SELECT pg_temp.as_member(:'org', :'bob', 'readonly');
SET ROLE saleshub_user;
SELECT pg_temp.refused('SELECT crm.tag_update(''VIP'', ''{"colour": null}'')');
RESET ROLE;
SELECT pg_temp.as_member(:'other', '', '');
SELECT crm.tag_list() -> 'data';
