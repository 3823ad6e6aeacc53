-- Suggestions as one types, what was searched for and opened, and who may know of it.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, message, CASE WHEN detail LIKE '{%' THEN (
        SELECT string_agg(concat(e ->> 'parameter', e ->> 'pointer', ' ', e ->> 'code'), ', ')
          FROM jsonb_array_elements(detail::jsonb -> 'errors') e) END);
END;
$$;
CREATE FUNCTION pg_temp.as_member(org text, member text, role text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.org_id', org, false), set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', role, false) $$;
-- Titles that are suggested, and the queries.
CREATE FUNCTION pg_temp.suggested(q text, types text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT concat((SELECT string_agg(d ->> 'title', ', ' ORDER BY n) FROM jsonb_array_elements(r -> 'records') WITH ORDINALITY x (d, n)),
                  ' | ', (SELECT string_agg(concat(d ->> 'source', ' ', d ->> 'q'), ', ' ORDER BY n) FROM jsonb_array_elements(r -> 'queries') WITH ORDINALITY x (d, n)),
                  CASE WHEN (r -> 'corrected')::boolean THEN ' corrected' END)
      FROM crm.search_suggest(q, types) r $$;
CREATE FUNCTION pg_temp.open(noun text, record uuid, query uuid DEFAULT NULL, place int DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM crm.search_click(jsonb_strip_nulls(jsonb_build_object('type', noun, 'id', record, 'query_id', query, 'position', place)));
    RETURN 'opened';
END;
$$;
-- What other databases of this server searched for before is none of ours; what this one did is.
CREATE FUNCTION pg_temp.kept() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT saleshub.search_log_keep()';
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann FROM crm.org_create('Suggest', 'Ann', 'ann@suggest.example') o \gset
SELECT o ->> 'org_id' AS other, o ->> 'member_id' AS eve FROM crm.org_create('Elsewhere', 'Eve', 'eve@suggest.example') o \gset
SELECT pg_temp.as_member(:'other', :'eve', 'admin');
SELECT crm.lead_create('{"first_name": "Martin", "last_name": "Zanzibar"}') ->> 'id' AS hers \gset
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT crm.member_create(jsonb_build_object('name', n, 'email', n || '@suggest.example', 'role', r)) ->> 'id' AS id FROM (VALUES ('Bob', 'rep')) v (n, r) \gset b_
SELECT crm.member_create(jsonb_build_object('name', n, 'email', n || '@suggest.example', 'role', r)) ->> 'id' AS id FROM (VALUES ('Cyd', 'rep')) v (n, r) \gset c_
SELECT crm.member_create(jsonb_build_object('name', n, 'email', n || '@suggest.example', 'role', r)) ->> 'id' AS id FROM (VALUES ('Dan', 'readonly')) v (n, r) \gset d_
SET ROLE saleshub_user;
SELECT count(crm.lead_create(jsonb_build_object('first_name', f, 'last_name', l, 'company_name', c, 'owner_id', :'ann')))
  FROM (VALUES ('Marta', 'Martinez', 'Harbour Works'), ('Martin', 'Schmidt', 'Harbour Lights'), ('Zoë', 'Müller', 'Bäckerei Weiß'), ('Johanna', 'Schmitz', 'Schmitz & Co')) v (f, l, c);
SELECT crm.contact_create(jsonb_build_object('first_name', 'Martina', 'last_name', 'Hidden', 'owner_id', :'b_id')) ->> 'id' AS martina \gset
SELECT crm.company_create('{"name": "Martens Shipping", "domain": "martens.example"}') ->> 'id' AS martens \gset
SELECT crm.activity_create('{"type": "note", "subject": "Call", "body": "Marthe will call", "links": []}') ->> 'id' AS note \gset
\echo as one types, of what waits for a segment
SELECT q, pg_temp.suggested(q) FROM unnest(ARRAY['m', 'mart', 'marti', 'martin', 'MÜLL', 'zoe m', 'schmi joh', 'harbour li', 'martens.ex', 'marthe', 'zanz', 'zz', '%', '"', '(', ' ', '-x']) q;
\echo of segments
RESET ROLE;
SELECT saleshub.search_rebuild(:'org') > 0;
SET ROLE saleshub_user;
SELECT q, pg_temp.suggested(q) FROM unnest(ARRAY['m', 'mart', 'marti', 'martin', 'MÜLL', 'zoe m', 'schmi joh', 'harbour li', 'martens.ex', 'marthe', 'zanz', 'zz', '%', '"', '(', '-x']) q;
\echo some kinds only
SELECT pg_temp.suggested('mart', 'company'), pg_temp.suggested('mart', 'contact,deal');
\echo misspelt: from four letters on, at any place
SELECT q, pg_temp.suggested(q) FROM unnest(ARRAY['mrat', 'mar6', 'shcmi', 'schmtz', 'nartin', 'artin', 'amrtens', 'johnana shcmitz', 'harbuor wroks', 'xar']) q;
\echo what changed and went
SELECT l.lead_id AS marta FROM crm.lead l WHERE l.first_name = 'Marta' \gset
SELECT crm.lead_update(:'marta', '{"first_name": "Berta", "last_name": "Brandt"}') IS NOT NULL;
SELECT pg_temp.suggested('martine'), pg_temp.suggested('bert');
SELECT crm.company_delete(:'martens') IS NOT NULL;
SELECT pg_temp.suggested('martens');
SELECT crm.company_restore(:'martens') IS NOT NULL;
SELECT pg_temp.suggested('martens');
\echo what was opened last; nothing typed
SELECT pg_temp.open('company', :'martens'), pg_temp.open('contact', :'martina'), pg_temp.open('lead', :'marta');
SELECT pg_temp.suggested(NULL), pg_temp.suggested('', 'company');
SELECT pg_temp.as_member(:'org', :'b_id', 'rep');
SELECT pg_temp.suggested(NULL);
\echo bad bodies, records of others
SELECT pg_temp.refused($$SELECT crm.search_click('{}')$$);
SELECT pg_temp.refused($$SELECT crm.search_click('{"type": "house", "id": "x", "position": 0}')$$);
SELECT pg_temp.refused(format($$SELECT crm.search_click('{"type": "lead", "id": %s, "query_id": %s}')$$, to_json(:'marta'::text), to_json(:'marta'::text)));
SELECT pg_temp.refused(format('SELECT pg_temp.open(%L, %L)', 'lead', :'hers')) ~ 'P0002' AS unknown;
SELECT pg_temp.refused($$SELECT crm.search_suggest('a', 'house')$$);
\echo queries: own ones, and those that three members asked
SELECT pg_temp.kept() >= 0;
SELECT (crm.search('martina') ->> 'total'), (crm.search('martens ship') ->> 'total'), (crm.search('Marthas  Secret') ->> 'total');
SELECT pg_temp.as_member(:'org', :'c_id', 'rep');
SELECT crm.search('MARTINA') ->> 'total';
SELECT pg_temp.kept();
SELECT pg_temp.suggested('martin') AS two_asked;
SELECT pg_temp.as_member(:'org', :'d_id', 'readonly');
SELECT crm.search(' martina ') ->> 'total';
SELECT pg_temp.kept();
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT pg_temp.suggested('martin') AS three_asked, pg_temp.suggested('marthas');
SELECT pg_temp.as_member(:'org', :'b_id', 'rep');
SELECT pg_temp.suggested('marth') AS own;
SELECT pg_temp.as_member(:'other', :'eve', 'admin');
SELECT pg_temp.suggested('mart') AS elsewhere;
\echo whoever sees less gets nothing of the rest
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"lead": "own", "contact": "own", "company": "own", "deal": "own", "activity": "own"}}}' WHERE org_id = :'org';
SET ROLE saleshub_user;
SELECT pg_temp.as_member(:'org', :'c_id', 'rep');
SELECT pg_temp.suggested('mart'), pg_temp.suggested('martina'), pg_temp.suggested('schm');
SELECT pg_temp.as_member(:'org', :'b_id', 'rep');
SELECT pg_temp.suggested('mart'), pg_temp.suggested('martnia'), pg_temp.suggested('schm'), pg_temp.suggested(NULL);
SELECT pg_temp.refused(format('SELECT pg_temp.open(%L, %L)', 'lead', :'marta')) ~ 'P0002' AS not_seen;
\echo clicks count once for each search; whoever may not write may click
SELECT pg_temp.as_member(:'org', :'d_id', 'readonly');
SELECT r ->> 'query_id' AS query FROM crm.search('martina') r \gset
SELECT pg_temp.open('contact', :'martina', :'query', 1), pg_temp.open('contact', :'martina', :'query', 2);
RESET ROLE;
SELECT pg_temp.kept();
SELECT q.q, q.total, q.corrected, q.took_us > 0 AS took, c.position FROM saleshub.search_query q JOIN saleshub.search_click c USING (org_id, query_id, member_id) WHERE q.org_id = :'org';
\echo further pages belong to the first
SET ROLE saleshub_user;
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT r ->> 'query_id' AS query, r ->> 'next_cursor' AS next FROM crm.search('type:lead', limit_ => 1) r \gset
SELECT r ->> 'query_id' = :'query' AS same FROM crm.search('type:lead', limit_ => 1, cursor_ => :'next') r;
RESET ROLE;
SELECT pg_temp.kept();
\echo a search in a transaction that only reads is noted, too
BEGIN READ ONLY;
SELECT crm.search('harbour') ->> 'total';
ROLLBACK;
SELECT pg_temp.kept();
\echo the tables are closed
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT * FROM saleshub.%I', t)) FROM unnest(ARRAY['search_query', 'search_click', 'search_asked', 'search_popular']) t;
SELECT pg_temp.refused('SELECT saleshub.search_notes()'), pg_temp.refused('SELECT saleshub.search_log_keep()');
\echo people: what is known, and gone
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT jsonb_path_query_array(crm.subject_export(type => 'contact', id => :'martina') -> 'searches', '$.opened[*].type');
RESET ROLE;
INSERT INTO saleshub.search_query (org_id, query_id, member_id, at, q, words, took_us, total, corrected) VALUES (:'org', crm.uuid_v7(), :'ann', now(), 'Martina Hidden', 'martina hidden', 1, 1, false);
INSERT INTO saleshub.search_asked (org_id, words, member_id, n, last_at, total) VALUES (:'org', 'martina hidden', :'ann', 1, now(), 1);
SET ROLE saleshub_user;
SELECT crm.subject_erase(jsonb_build_object('type', 'contact', 'id', :'martina')) -> 'erased' ->> 'searches' AS searches;
SELECT crm.member_update(:'b_id', '{"active": false}') IS NOT NULL;
SELECT crm.subject_erase('{"email": "Bob@suggest.example"}') -> 'erased' ->> 'searches' AS of_the_member;
RESET ROLE;
SELECT (SELECT count(*) FROM saleshub.search_query q WHERE q.org_id = :'org' AND (q.words LIKE '%hidden%' OR q.member_id = :'b_id')) AS queries,
       (SELECT count(*) FROM saleshub.search_asked a WHERE a.org_id = :'org' AND (a.words LIKE '%hidden%' OR a.member_id = :'b_id')) AS asked,
       (SELECT count(*) FROM saleshub.search_click c WHERE c.org_id = :'org' AND (c.entity_id = :'martina' OR c.member_id = :'b_id')) AS clicks,
       (SELECT count(*) FROM saleshub.search_popular p WHERE p.org_id = :'org') AS popular;
\echo what is old goes
SELECT saleshub.search_log_trim('-1 minutes') > 0;
SELECT (SELECT count(*) FROM saleshub.search_query WHERE org_id = :'org'), (SELECT count(*) FROM saleshub.search_asked WHERE org_id = :'org'), (SELECT count(*) FROM saleshub.search_click WHERE org_id = :'org');
