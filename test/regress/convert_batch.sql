-- Many leads at once: each succeeds or fails on its own and says so; or all together.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Batch test', 'Ann', 'ann@batch.example', country => 'DE', currency => 'EUR') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org,
       set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN state || coalesce(' ' || (SELECT string_agg(e ->> 'pointer', ' ' ORDER BY n)
        FROM jsonb_array_elements(CASE WHEN detail LIKE '{%' THEN detail::jsonb -> 'errors' END)
             WITH ORDINALITY AS x (e, n)), '');
END
$$;
INSERT INTO crm.company (name, domain) VALUES ('Twin', 'twin.example'), ('Twin SE', 'twin.example');
INSERT INTO crm.lead (last_name, email, company_name)
VALUES ('A', 'a@one.example', 'One'), ('B', 'b@one.example', 'One Ltd.'), ('C', 'c@twin.example', NULL),
       ('D', NULL, NULL), ('E', 'a@one.example', NULL);
SELECT jsonb_agg(jsonb_build_object('id', lead_id) ORDER BY last_name) AS items FROM crm.lead WHERE org_id = :'org' \gset
SET ROLE saleshub_user;

-- A result each, in the order given: done, done into the same company, ambiguous, refused by its
-- own options, unknown, done with the contact of the first.
SELECT crm.lead_convert_batch(jsonb_build_object('opts', '{"deal": {"name": "Batch"}}'::jsonb, 'items',
    jsonb_set(:'items'::jsonb, '{3,opts}', '{"company": {"mode": "create"}}')
    || jsonb_build_array(jsonb_build_object('id', '00000000-0000-0000-0000-000000000001')))) AS result \gset
SELECT :'result'::jsonb - 'data' AS counts;
SELECT l.last_name, r ->> 'ok' AS ok, r ->> 'replayed' AS replayed, r ->> 'sqlstate' AS sqlstate, r ->> 'code' AS code,
       r #>> '{errors,0,pointer}' AS pointer, jsonb_array_length(r -> 'candidates') AS candidates,
       y.name AS company, c.email AS contact, d.name AS deal, r ->> 'conversion_id' IS NOT NULL AS conversion
  FROM jsonb_array_elements(:'result'::jsonb -> 'data') WITH ORDINALITY AS x (r, n)
  LEFT JOIN crm.lead l ON l.lead_id = (r ->> 'lead_id')::uuid
  LEFT JOIN crm.company y ON y.company_id = (r ->> 'company_id')::uuid
  LEFT JOIN crm.contact c ON c.contact_id = (r ->> 'contact_id')::uuid
  LEFT JOIN crm.deal d ON d.deal_id = (r ->> 'deal_id')::uuid
 ORDER BY n;
SELECT last_name, status FROM crm.lead ORDER BY last_name;
-- again: the done ones answer the same
SELECT crm.lead_convert_batch(jsonb_build_object('opts', '{"deal": {"name": "Batch"}}'::jsonb, 'items', :'items'::jsonb - 3)) AS again \gset
SELECT :'again'::jsonb - 'data' AS counts,
       (SELECT string_agg(r ->> 'replayed', ' ' ORDER BY n) FROM jsonb_array_elements(:'again'::jsonb -> 'data') WITH ORDINALITY AS x (r, n)) AS replayed,
       :'again'::jsonb #> '{data,0,deal_id}' = :'result'::jsonb #> '{data,0,deal_id}' AS same;

-- Atomic: the first failure undoes all.
INSERT INTO crm.lead (last_name) VALUES ('F');
SELECT jsonb_agg(jsonb_build_object('id', lead_id) ORDER BY last_name DESC) AS rest FROM crm.lead WHERE status <> 'converted' \gset
SELECT pg_temp.failure(format('SELECT crm.lead_convert_batch(%L)', jsonb_build_object('atomic', true, 'items', :'rest'::jsonb)));
SELECT count(*) AS conversions, (SELECT status FROM crm.lead WHERE last_name = 'F') AS f FROM crm.conversion;
SELECT crm.lead_convert_batch(jsonb_build_object('items', :'rest'::jsonb)) - 'data' AS counts;

-- What is wrong with the body, with all its places; and who may not.
SELECT pg_temp.failure(format('SELECT crm.lead_convert_batch(%L)', b)) AS failure
  FROM (VALUES (1, '{}'), (2, '{"items": 5, "all": true}'), (3, '{"items": [{"id": "x"}, {"opts": {"deal": {"mode": "auto"}}}]}'),
               (4, (SELECT jsonb_build_object('items', jsonb_agg(jsonb_build_object('id', crm.uuid_v7())))::text FROM generate_series(1, 1001)))) AS v (n, b)
 ORDER BY n;
SELECT crm.lead_convert_batch('{"items": []}');
RESET ROLE;
SET saleshub.member_role = 'readonly';
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.lead_convert_batch(%L)', jsonb_build_object('items', :'items'::jsonb)));
RESET ROLE;
SET saleshub.member_role = 'admin';

-- A fault of the machine is no result of a lead: it ends the batch.
CREATE FUNCTION pg_temp.fault() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE SQLSTATE '53100';
END
$$;
CREATE TRIGGER zz_fault AFTER INSERT ON crm.conversion FOR EACH ROW EXECUTE FUNCTION pg_temp.fault();
INSERT INTO crm.lead (last_name) VALUES ('G') RETURNING lead_id AS g \gset
SELECT pg_temp.failure(format('SELECT crm.lead_convert_batch(%L)', jsonb_build_object('items', jsonb_build_array(jsonb_build_object('id', :'g')))));
DROP TRIGGER zz_fault ON crm.conversion;
