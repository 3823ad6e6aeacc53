-- What is settled and decided about duplicates, and duplicates across kinds of records.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Settled', 'Ann', 'ann@settled.example', country => 'DE') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org,
       set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', state, CASE WHEN detail LIKE '{%' THEN detail::jsonb ->> 'code' END,
                     CASE WHEN detail LIKE '{%' THEN jsonb_path_query_array(detail::jsonb, '$.errors[*].pointer')::text END);
END
$$;

-- A lead is compared with contacts and companies, too; nobody is refused for that.
INSERT INTO crm.company (name, domain) VALUES ('Cross Kinds GmbH', 'crosskinds.example');
INSERT INTO crm.contact (first_name, last_name, email) VALUES ('Carla', 'Crossing', 'carla@crosskinds.example');
SELECT r ->> 'id' AS crossing, (SELECT string_agg(concat_ws(' ', d ->> 'type', d ->> 'name', d ->> 'band'), ', ' ORDER BY n)
    FROM jsonb_array_elements(r -> 'duplicates') WITH ORDINALITY AS e (d, n)) AS duplicates
FROM crm.lead_create('{"first_name": "Carla", "last_name": "Crossing", "email": "carla@crosskinds.example", "company_name": "Cross Kinds"}') r \gset
SELECT :'duplicates' AS duplicates, string_agg(concat_ws(' ', d ->> 'type', d ->> 'band'), ', ' ORDER BY n) AS listed
FROM jsonb_array_elements(crm.duplicates('lead', :'crossing') -> 'data') WITH ORDINALITY AS e (d, n);

-- The policy of each kind.
SELECT crm.duplicate_policy_get() AS usual, crm.duplicate_policy_put('{"contact": "block", "company": "allow"}') AS set;
SELECT crm.duplicate_policy_put('{}') AS kept;
SELECT pg_temp.failure('INSERT INTO crm.contact (first_name, last_name, email) VALUES (''Carla'', ''Crossing'', ''carla@crosskinds.example'')') AS contact,
       pg_temp.failure('INSERT INTO crm.lead (first_name, last_name, email) VALUES (''Carla'', ''Crossing'', ''carla@crosskinds.example'')') AS lead,
       crm.company_create('{"name": "Cross Kinds", "domain": "crosskinds.example"}') ? 'duplicates' AS company,
       pg_temp.failure('SELECT crm.duplicate_policy_put(''{"contact": "refuse"}'')') AS word,
       pg_temp.failure('SELECT crm.duplicate_policy_put(''{}'', ''"1"'')') AS version;

-- The fields of comparison; weights change no keys, keys are written anew.
SELECT jsonb_array_length(crm.match_fields_get('companies') -> 'fields') AS usual, jsonb_path_query_array(crm.match_fields_put(
    '{"type": "company", "fields": [{"field": "custom.tax_id", "kind": "code", "same": 15, "key": "strong"}, {"field": "city", "kind": "text", "same": 4}]}') -> 'fields', '$[*] ? (@.own == true)') AS own;
INSERT INTO crm.company (name, custom) VALUES ('Taxed One', '{"tax_id": "DE 123"}'), ('Quite Another', '{"tax_id": "de123"}');
SELECT d ->> 'name' AS found FROM jsonb_array_elements(crm.duplicates('company', (SELECT company_id FROM crm.company WHERE name = 'Taxed One')) -> 'data') d;
SELECT crm.match_fields_put('{"type": "company", "fields": []}') IS NOT NULL AS unset;
SELECT count(*) AS found FROM jsonb_array_elements(crm.duplicates('company', (SELECT company_id FROM crm.company WHERE name = 'Taxed One')) -> 'data') d;
SELECT pg_temp.failure('SELECT crm.match_fields_put(''{"type": "company", "fields": [{"field": "secret", "kind": "text", "same": 1}, {"field": "city", "kind": "text", "same": 1}, {"field": "city", "kind": "code", "same": 1}]}'')') AS faults,
       pg_temp.failure('SELECT crm.match_field_set(''company'', ''secret'', ''text'', 1)') AS by_hand;

-- No duplicates, somebody says: neither of the two leads to the other any more, until it is taken back.
INSERT INTO crm.contact (first_name, last_name) VALUES ('Robert', 'Testperson'), ('Bob', 'Testperson'), ('Testperson', 'Robert');
SELECT array_agg(contact_id ORDER BY contact_id) AS twins FROM crm.contact WHERE org_id = saleshub.org_id() AND 'Testperson' IN (first_name, last_name) \gset
SELECT count(*) AS before FROM jsonb_array_elements(crm.duplicates('contact', (:'twins'::uuid[])[1]) -> 'data') d WHERE (d ->> 'id')::uuid = (:'twins'::uuid[])[2];
SELECT crm.duplicate_decide(jsonb_build_object('type', 'contacts', 'ids', to_jsonb((:'twins'::uuid[])[1:2]))) ->> 'duplicates' AS duplicates;
SELECT same, levels FROM crm.duplicate_decision WHERE org_id = saleshub.org_id() AND NOT same;
SELECT (SELECT count(*) FROM jsonb_array_elements(crm.duplicates('contact', (:'twins'::uuid[])[1]) -> 'data') d WHERE (d ->> 'id')::uuid = (:'twins'::uuid[])[2]) AS one,
       (SELECT count(*) FROM jsonb_array_elements(crm.duplicates('contact', (:'twins'::uuid[])[2]) -> 'data') d WHERE (d ->> 'id')::uuid = (:'twins'::uuid[])[1]) AS other;
SELECT (crm.duplicate_scan('contacts', 20000) ->> 'done')::boolean AS done, count(*) AS mentioned FROM crm.duplicate_pair p
WHERE p.org_id = saleshub.org_id() AND p.low_id = (:'twins'::uuid[])[1] AND p.high_id = (:'twins'::uuid[])[2];
SELECT crm.duplicate_decide(jsonb_build_object('type', 'contacts', 'ids', to_jsonb((:'twins'::uuid[])[1:2]), 'duplicates', true)) ->> 'duplicates' AS duplicates,
       (SELECT count(*) FROM jsonb_array_elements(crm.duplicates('contact', (:'twins'::uuid[])[1]) -> 'data') d WHERE (d ->> 'id')::uuid = (:'twins'::uuid[])[2]) AS again;
SELECT crm.record_merge('contact', (:'twins'::uuid[])[1], (:'twins'::uuid[])[2:3]) ->> 'merge_id' AS merge \gset
SELECT count(*) FILTER (WHERE same) AS same FROM crm.duplicate_decision WHERE org_id = saleshub.org_id();
SELECT crm.merge_undo(:'merge') -> 'conflicts' AS conflicts;
SELECT count(*) AS decisions FROM crm.duplicate_decision WHERE org_id = saleshub.org_id();
SELECT (:'twins'::uuid[])[1] AS twin \gset
SELECT pg_temp.failure(format('SELECT crm.duplicate_decide(%L)', jsonb_build_object('type', 'contact', 'ids', to_jsonb(ARRAY[:'twin', :'twin'])))) AS itself,
       pg_temp.failure(format('SELECT crm.duplicate_decide(%L)', jsonb_build_object('type', 'contact', 'ids', to_jsonb(ARRAY[:'twin', crm.uuid_v7()::text])))) AS missing;
