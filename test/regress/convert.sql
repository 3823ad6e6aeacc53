-- Conversion: what becomes of a lead, once, wholly or not at all.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Convert test', 'Ann', 'ann@convert.example', country => 'DE', currency => 'EUR') AS o \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org', 'Rob', 'rob@convert.example', 'rep')
RETURNING member_id AS rob \gset
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
-- The candidates that an ambiguous conversion names.
CREATE FUNCTION pg_temp.candidates(lead uuid) RETURNS TABLE (type text, name text)
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM crm.lead_convert(lead);
EXCEPTION WHEN SQLSTATE 'SH002' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT c ->> 'type', c ->> 'name' FROM jsonb_array_elements(detail::jsonb -> 'candidates') c
                 ORDER BY 1, 2;
END
$$;
CREATE FUNCTION pg_temp.lead(fields jsonb) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN crm.lead_create(fields) ->> 'id';
END
$$;
SET ROLE saleshub_user;

-- The whole line: three records, activities, consent, history.
SELECT pg_temp.lead('{"first_name": "Jane", "last_name": "Doe", "email": "Jane@Big.example", "phone": "030 1234567",
    "company_name": "Big GmbH", "title": "CEO", "website": "https://www.big.example/de", "source": "event",
    "country": "DE", "city": "Berlin", "industry": "Software", "employees": 120, "tags": ["hot"],
    "annual_revenue": {"amount": "5000000", "currency": "EUR"}, "consent": {"email": true, "phone": false}}') AS lead \gset
SELECT crm.activity_create(jsonb_build_object('type', 'call', 'subject', s, 'done_at', d, 'owner_id', :'ann',
           'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))) ->> 'subject' AS activity
  FROM (VALUES ('open', NULL), ('done', '2026-01-01T00:00:00Z'), ('deleted', NULL)) AS v (s, d);
SELECT crm.activity_delete(activity_id) FROM crm.activity WHERE subject = 'deleted';
SELECT crm.lead_convert(:'lead', jsonb_build_object('owner', :'rob', 'key', 'first',
           'deal', '{"amount": "1200.50", "name": "Big deal"}'::jsonb)) AS result \gset
SELECT :'result'::jsonb #- '{lead}' #- '{company}' #- '{contact}' #- '{deal}' #- '{conversion_id}' AS rest,
       (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(:'result') k) AS members;
SELECT status, converted_at IS NOT NULL AS at, converted_by = :'ann' AS by_ann, version FROM crm.lead WHERE lead_id = :'lead';
SELECT name, domain, industry, employees, website, country, city, annual_revenue, annual_revenue_currency AS currency, tags,
       owner_id = :'rob' AS robs FROM crm.company;
SELECT first_name, last_name, email, phone, title, tags, consent_email, consent_phone, owner_id = :'rob' AS robs,
       company_id = (SELECT company_id FROM crm.company) AS works_there FROM crm.contact;
SELECT d.name, d.amount, d.currency, d.amount_base, d.close_date = saleshub.quarter_end(:'org') AS quarter_end,
       d.probability = s.probability AS of_stage, s.position, s.kind, p.is_default, d.status, d.source, d.tags,
       d.owner_id = :'rob' AS robs, d.lead_id = :'lead' AS of_lead,
       d.company_id = (SELECT company_id FROM crm.company) AS of_company, d.contact_id = (SELECT contact_id FROM crm.contact) AS of_contact
  FROM crm.deal d JOIN crm.stage s USING (org_id, stage_id) JOIN crm.pipeline p ON p.pipeline_id = d.pipeline_id;
SELECT count(*) AS stage_history FROM crm.stage_history;
SELECT a.subject, string_agg(k.entity, ' ' ORDER BY k.entity) AS linked_with, a.owner_id = :'rob' AS robs
  FROM crm.activity a JOIN crm.activity_link k USING (org_id, activity_id) GROUP BY a.subject, a.owner_id ORDER BY a.subject;
SELECT key, (SELECT string_agg(c ->> 'type', ' ') FROM jsonb_array_elements(created) c) AS created,
       (SELECT jsonb_agg(f - 'id') FROM jsonb_array_elements(filled) f) = jsonb_build_array(jsonb_build_object(
           'type', 'activity', 'version', 3, 'fields', jsonb_build_object('owner_id', jsonb_build_array(:'ann', :'rob')))) AS filled,
       jsonb_array_length(links) AS links, lead_before, actor_id = :'ann' AS by_ann FROM crm.conversion;
RESET ROLE;
SELECT type, count(*) FROM (SELECT type FROM saleshub.outbox WHERE org_id = :'org'
    UNION ALL SELECT type FROM saleshub.event_log WHERE org_id = :'org') e
 WHERE type ~ '^(lead|company|contact|deal)\.' GROUP BY type ORDER BY type;
SET ROLE saleshub_user;

-- A second call is the first one's answer; another wish is an error that says what there is.
SELECT r ->> 'replayed' AS replayed, r - 'replayed' - 'lead' = :'result'::jsonb - 'replayed' - 'lead' AS same
  FROM (SELECT crm.lead_convert(:'lead', jsonb_build_object('deal', '{"name": "Big deal", "mode": "create",
           "amount": {"amount": 1200.5}}'::jsonb, 'owner', :'rob')) AS r) x;
SELECT crm.lead_convert(:'lead', '{"key": "first", "deal": {"mode": "skip"}}') ->> 'replayed' AS replayed_by_key;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)', :'lead', '{"key": "second"}'));
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L)', :'lead'));
SELECT count(*) AS conversions, (SELECT count(*) FROM crm.deal) AS deals FROM crm.conversion;
SELECT pg_temp.failure(format('UPDATE crm.lead SET city = %L WHERE lead_id = %L', 'x', :'lead'));
SELECT current_setting('saleshub.converting') AS converting;

-- All faults of the options at once.
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)', :'lead', o)) AS failure
  FROM (VALUES
    (1, '5'), (2, '{"company": 5, "extra": 1, "deal": {"mode": "auto", "size": 1}}'),
    (3, '{"company": {"mode": "link"}, "contact": {"mode": "skip", "id": "00000000-0000-0000-0000-000000000001"},
          "deal": {"amount": "-1", "currency": "E1R", "close_date": "soon"}}'),
    (4, '{"deal": {"mode": "skip", "name": "x", "amount": 1}}'),
    (5, '{"deal": {"amount": {"currency": "EUR"}}}'),
    (6, '{"owner": "me", "key": ""}')) AS v (n, o) ORDER BY n;
SELECT pg_temp.lead('{"last_name": "Roe", "company_name": "Other"}') AS lead2 \gset
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)', :'lead2', jsonb_build_object(
    'company', jsonb_build_object('id', u), 'contact', jsonb_build_object('id', u), 'owner', u,
    'deal', jsonb_build_object('stage', u))))
  FROM (SELECT '00000000-0000-0000-0000-000000000001' AS u) x;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)', :'lead2', '{"deal": {"currency": "USD", "amount": 5}}'));
SELECT pg_temp.failure($$SELECT crm.lead_convert('00000000-0000-0000-0000-000000000000')$$);
SELECT status FROM crm.lead WHERE lead_id = :'lead2';

-- The same person and company again: blanks are filled, nothing is overwritten, a refusal stays.
SELECT pg_temp.lead('{"first_name": "Janet", "last_name": "Doe", "email": "jane@big.example", "company_name": "BIG Ltd.",
    "tags": ["cold", "hot"], "consent": {"email": false, "phone": true}, "employees": 5}') AS lead3 \gset
UPDATE crm.company SET city = NULL;
UPDATE crm.contact SET title = NULL, phone = NULL;
SELECT crm.lead_convert(:'lead3', '{"deal": {"mode": "skip"}}') -> 'deal' AS deal;
SELECT count(*) AS companies, min(name) AS name, min(employees) AS employees, min(tags::text) AS tags FROM crm.company;
SELECT count(*) AS contacts, min(first_name) AS first_name, min(tags::text) AS tags, bool_or(consent_email) AS consent_email,
       bool_or(consent_phone) AS consent_phone FROM crm.contact;
SELECT f ->> 'type' AS type, f -> 'fields' AS fields FROM crm.conversion, jsonb_array_elements(filled) f
 WHERE lead_id = :'lead3' ORDER BY 1;

-- How a company is found.
SELECT n, name, email, website, crm.lead_convert(pg_temp.lead(jsonb_build_object('last_name', 'P' || n, 'email', email,
           'company_name', name, 'website', website)), '{"deal": {"mode": "skip"}}') #>> '{company,name}' AS company
  FROM (VALUES
    (1, 'Something else', 'p1@big.example', NULL),
    (2, 'big, GmbH & Co. KG', NULL, NULL),
    (3, 'Bigger', NULL, 'http://big.example/'),
    (4, 'Bigger', 'p4@gmail.com', NULL),
    (5, NULL, 'p5@gmail.com', NULL),
    (6, NULL, 'p6@new.example', NULL),
    (7, NULL, NULL, NULL)) AS v (n, name, email, website) ORDER BY n;
SELECT name, domain FROM crm.company ORDER BY company_id;
SELECT name, saleshub.company_key(name) AS key
  FROM (VALUES ('Acme Inc.'), ('ACME, Inc'), ('The Acme Co., Ltd.'), ('A.C.M.E. S.A.'), ('GmbH'), ('...'), (''),
               ('Müller & Söhne GmbH & Co. KG'), ('O''Neill plc')) AS v (name);

-- How a person is found: by phone only together with the name.
SELECT n, first, last, phone, crm.lead_convert(pg_temp.lead(jsonb_build_object('first_name', first, 'last_name', last,
           'phone', phone)), '{"deal": {"mode": "skip"}}') #>> '{contact,name}' AS contact
  FROM (VALUES (1, 'Karla', 'Kolumna', '030 7654321'), (2, 'Carla', 'Kolumna', '+49 30 7654321'),
               (3, 'Peter', 'Schmidt', '030 7654321')) AS v (n, first, last, phone) ORDER BY n;
SELECT count(*) AS with_that_phone FROM crm.contact WHERE phone = '+49307654321';
SELECT round(saleshub.name_similarity(a, b)::numeric, 4) AS similarity
  FROM (VALUES ('MARTHA', 'marhta'), ('dwayne', 'duane'), ('dixon', 'dicksonx'), ('a', 'b'), ('', 'a'), ('Zoë', 'zoË')) AS v (a, b);

-- More than one: nothing is guessed, the candidates are named.
SELECT crm.company_create('{"name": "Twin AG", "domain": "twin.example"}') IS NOT NULL AS one,
       crm.company_create('{"name": "Twin SE"}') IS NOT NULL AS two,
       crm.contact_create('{"last_name": "Twin", "email": "t@twin.example"}') IS NOT NULL AS three,
       crm.contact_create('{"last_name": "Twin 2", "email": "t@twin.example"}') IS NOT NULL AS four;
SELECT pg_temp.lead('{"last_name": "T", "company_name": "twin", "email": "t@twin.example"}') AS twin \gset
SELECT * FROM pg_temp.candidates(:'twin');
UPDATE crm.company SET domain = NULL WHERE name = 'Twin AG';
SELECT * FROM pg_temp.candidates(:'twin');
SELECT count(*) AS conversions FROM crm.conversion WHERE lead_id = :'twin';
SELECT r #>> '{company,name}' AS company, r #>> '{contact,name}' AS contact, r #>> '{deal,name}' AS deal
  FROM (SELECT crm.lead_convert(:'twin', jsonb_build_object(
            'company', (SELECT jsonb_build_object('mode', 'link', 'id', company_id) FROM crm.company WHERE name = 'Twin SE'),
            'contact', '{"mode": "create"}'::jsonb)) AS r) x;

-- Into an existing deal; and with nothing to name a record by.
SELECT deal_id AS deal FROM crm.deal WHERE name = 'Twin SE' \gset
UPDATE crm.deal SET contact_id = NULL WHERE deal_id = :'deal';
SELECT pg_temp.lead('{"last_name": "Link", "source": "web", "tags": ["late"]}') AS lead4 \gset
SELECT r #>> '{deal,name}' AS deal, r -> 'company' AS company, r #>> '{contact,name}' AS contact, r #> '{deal,tags}' AS tags,
       r #>> '{deal,contact_id}' = r #>> '{contact,id}' AS of_contact
  FROM (SELECT crm.lead_convert(:'lead4', jsonb_build_object('deal', jsonb_build_object('mode', 'link', 'id', :'deal'))) AS r) x;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)',
           pg_temp.lead('{"last_name": "Nameless"}'), '{"company": {"mode": "create"}}'));
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)',
           pg_temp.lead('{"company_name": "No person"}'), '{"contact": {"mode": "create"}}'));
SELECT r -> 'contact' AS contact, r #>> '{deal,name}' AS deal
  FROM (SELECT crm.lead_convert(pg_temp.lead('{"company_name": "No person either"}')) AS r) x;
-- what is in the bin is answered as nothing
SELECT crm.deal_delete(deal_id) FROM crm.deal WHERE name = 'No person either';
SELECT r -> 'deal' AS deal, r ->> 'replayed' AS replayed
  FROM (SELECT crm.lead_convert(lead_id) AS r FROM crm.lead WHERE company_name = 'No person either') x;

-- The end of the fiscal quarter.
SELECT at, saleshub.quarter_end(:'org', at) FROM unnest('{2024-01-01, 2024-02-29, 2024-03-31, 2024-04-01, 2024-12-31}'::timestamptz[]) at;
RESET ROLE;
UPDATE crm.org SET settings = '{"fiscal_start_month": 2}', timezone = 'Europe/Berlin' WHERE org_id = :'org';
SET ROLE saleshub_user;
SELECT at, saleshub.quarter_end(:'org', at)
  FROM unnest('{2024-01-31 22:59Z, 2024-01-31 23:00Z, 2024-04-30 21:00Z, 2024-11-15 00:00Z}'::timestamptz[]) at;

-- Whatever step fails, nothing has happened.
RESET ROLE;
CREATE FUNCTION pg_temp.everything() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
    part text;
    sums text := '';
BEGIN
    FOR tab IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('crm'::regnamespace, 'saleshub'::regnamespace)
                AND relname NOT IN ('outbox', 'event_log', 'event_state', 'rollup', 'rollup_delta') ORDER BY relname LOOP
        EXECUTE format('SELECT md5(coalesce(string_agg(t::text, E''\n'' ORDER BY t::text), '''')) FROM %s t', tab) INTO part;
        sums := sums || part;
    END LOOP;
    -- The worker moves these, so they are counted together.
    RETURN md5(sums || (SELECT count(*) FROM saleshub.outbox) + (SELECT count(*) FROM saleshub.event_log)
        || (SELECT sum(n)::text || sum(amount)::text FROM (SELECT n, amount FROM saleshub.rollup
                UNION ALL SELECT n, amount FROM saleshub.rollup_delta) r));
END
$$;
CREATE FUNCTION pg_temp.fault() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE SQLSTATE 'ZZ001';
END
$$;
CREATE FUNCTION pg_temp.fails_at(tab regclass, event text, lead uuid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    before text;
    result text;
BEGIN
    EXECUTE format('CREATE TRIGGER zz_fault %s ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.fault()', event, tab);
    before := pg_temp.everything();
    SET LOCAL ROLE saleshub_user;
    result := pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)', lead, jsonb_build_object('owner',
        (SELECT member_id FROM crm.member WHERE name = 'Rob'))));
    RESET ROLE;
    result := result || CASE WHEN before = pg_temp.everything() THEN ', nothing happened' ELSE ', SOMETHING HAPPENED' END;
    EXECUTE format('DROP TRIGGER zz_fault ON %s', tab);
    RETURN result;
END
$$;
SELECT pg_temp.lead('{"last_name": "Fault", "company_name": "Fault", "email": "f@fault.example"}') AS fault \gset
SELECT crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'fault', 'owner_id', :'ann',
           'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'fault')))) IS NOT NULL AS activity;
SELECT tab, event, pg_temp.fails_at(tab, event, :'fault') AS result
  FROM (VALUES (1, 'crm.company'::regclass, 'BEFORE INSERT'), (2, 'crm.company', 'AFTER INSERT'),
               (3, 'crm.contact', 'AFTER INSERT'), (4, 'crm.deal', 'AFTER INSERT'), (5, 'crm.stage_history', 'AFTER INSERT'),
               (6, 'crm.activity_link', 'AFTER INSERT'), (7, 'crm.activity', 'AFTER UPDATE'), (8, 'crm.lead', 'AFTER UPDATE'),
               (9, 'crm.change_log', 'AFTER INSERT'), (10, 'saleshub.outbox', 'AFTER INSERT'),
               (11, 'saleshub.rollup_delta', 'AFTER INSERT'), (12, 'crm.conversion', 'AFTER INSERT')) AS v (n, tab, event)
 ORDER BY n;
SELECT current_setting('saleshub.converting') AS converting;
-- and without the fault it works
SELECT crm.lead_convert(:'fault') #>> '{company,name}' AS company;

-- Without the right to insert a company nothing is converted.
SELECT pg_temp.lead('{"last_name": "Right", "company_name": "Right", "email": "r@right.example"}') AS rightless \gset
CREATE POLICY no_company ON crm.company AS RESTRICTIVE FOR INSERT TO saleshub_user WITH CHECK (false);
SELECT pg_temp.everything() AS before \gset
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L)', :'rightless'));
RESET ROLE;
SELECT pg_temp.everything() = :'before' AS nothing_happened;
DROP POLICY no_company ON crm.company;
SET saleshub.member_role = 'readonly';
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L)', :'rightless'));
RESET ROLE;
SET saleshub.member_role = 'admin';

-- Nobody converts another organisation's lead, or into another's records.
SELECT crm.org_create('Convert other', 'Bob', 'bob@convert.example') ->> 'org_id' AS other \gset
SELECT company_id AS company FROM crm.company WHERE org_id = :'org' LIMIT 1 \gset
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS context, set_config('saleshub.member_id', '', false) AS member;
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L)', :'rightless'));
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L, %L)', pg_temp.lead('{"last_name": "Mine"}'),
           jsonb_build_object('company', jsonb_build_object('id', :'company'))));
SELECT crm.lead_convert(pg_temp.lead('{"last_name": "Doe", "email": "jane@big.example", "company_name": "Big GmbH"}'))
           #>> '{company,version}' AS own_company_version;
RESET ROLE;
SELECT set_config('saleshub.org_id', '', false) AS context;
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L)', :'rightless'));
