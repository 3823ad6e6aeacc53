-- The mapping of conversions: versions, checks, and what each policy makes of a field.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Mapping test', 'Ann', 'ann@mapping.example', country => 'DE', currency => 'EUR') AS o \gset
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
    RETURN state || coalesce(' ' || (SELECT string_agg(concat_ws(' ', e ->> 'pointer', e ->> 'code'), ', ' ORDER BY n)
        FROM jsonb_array_elements(CASE WHEN detail LIKE '{%' THEN detail::jsonb -> 'errors' END)
             WITH ORDINALITY AS x (e, n)), '');
END
$$;
CREATE FUNCTION pg_temp.put(spec text) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_build_object('rows', jsonb_agg(jsonb_strip_nulls(jsonb_build_object('source', p[1], 'target_entity', split_part(p[2], '.', 1),
               'target_field', substr(p[2], strpos(p[2], '.') + 1), 'policy', p[3])) ORDER BY n))
      FROM regexp_split_to_table(btrim(spec, E' \n'), '\s*;\s*') WITH ORDINALITY AS x (line, n), regexp_split_to_array(line, '\s+') AS p
$$;
SET ROLE saleshub_user;

-- Version 0 is the preset; it passes its own checks.
SELECT m -> 'version' AS version, jsonb_array_length(m -> 'rows') AS rows, saleshub.mapping_faults(m -> 'rows', '') AS faults
  FROM crm.conversion_mapping_get() AS m;

-- What is saved is checked: all faults at once.
SELECT spec, pg_temp.failure(format('SELECT crm.conversion_mapping_put(%L)', pg_temp.put(spec))) AS failure
  FROM (VALUES
    (1, 'nonsense company.name; city company.nonsense; city company.owner_id; score company.employees; owner_id company.city'),
    (2, 'city company.employees; employees company.annual_revenue; tags company.city; annual_revenue company.employees'),
    (3, 'city company.city append; employees company.employees append; city contact.title max; tags deal.tags min'),
    (4, 'city company.city; industry company.city; website contact.title; consent contact.title; custom.x company.city; custom.x deal.amount'),
    (5, 'city company.city sometimes; city person.city'),
    (6, 'status deal.stage_id; email deal.name; domain contact.company_id; custom. company.city')) AS v (n, spec) ORDER BY n;
SELECT pg_temp.failure(format('SELECT crm.conversion_mapping_put(%L)', b)) AS failure
  FROM (VALUES (1, '{}'), (2, '{"rows": []}'), (3, '{"rows": 5, "version": 1}'), (4, '{"rows": [{}]}')) AS v (n, b) ORDER BY n;
SELECT crm.conversion_mapping_get() -> 'version' AS version;

-- A change is a new version; the former ones stay.
SELECT crm.conversion_mapping_put(pg_temp.put('company_name company.name; city company.city')) ->> 'version' AS version,
       pg_temp.failure(format('SELECT crm.conversion_mapping_put(%L, %L)', pg_temp.put('city company.city'), '"0"')) AS stale;
SELECT crm.conversion_mapping_put(pg_temp.put('
    company_name company.name; domain company.domain; city company.city overwrite; industry company.industry append;
    employees company.employees max; annual_revenue company.annual_revenue max; country company.country keep; tags company.tags append;
    custom.size company.custom.size; status company.custom.was overwrite; last_name contact.last_name; first_name contact.first_name overwrite;
    email contact.email; title contact.title append; employees contact.custom.staff; tags contact.tags overwrite'), '1')
       ->> 'version' AS version;
SELECT m -> 'version' AS version, m -> 'rows' AS rows FROM crm.conversion_mapping_get(1) AS m;
SELECT pg_temp.failure('SELECT crm.conversion_mapping_get(9)') AS unknown,
       pg_temp.failure($$UPDATE crm.conversion_mapping SET policy = 'keep'$$) AS no_update,
       pg_temp.failure($$DELETE FROM crm.conversion_mapping$$) AS no_delete,
       pg_temp.failure($$INSERT INTO crm.conversion_mapping (version, position, source, target_entity, target_field)
                         VALUES (7, 1, 'city', 'company', 'employees')$$) AS checked;
RESET ROLE;
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.conversion_mapping_put(%L)', pg_temp.put('city company.city'))) AS rep;
RESET ROLE;
SET saleshub.member_role = 'admin';
SET ROLE saleshub_user;

-- Policies, on a new record and on one that is there.
CREATE FUNCTION pg_temp.convert(fields jsonb, opts jsonb DEFAULT '{"deal": {"mode": "skip"}}') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT crm.lead_convert((crm.lead_create(fields) ->> 'id')::uuid, opts)
$$;
SELECT r #>> '{company,city}' AS city, r #>> '{company,industry}' AS industry, r #>> '{company,country}' AS country, r #> '{company,custom}' AS custom,
       r #> '{company,annual_revenue}' AS revenue, r #>> '{contact,title}' AS title, r #> '{contact,custom}' AS contact_custom, r #> '{contact,tags}' AS tags
  FROM pg_temp.convert('{"last_name": "One", "email": "one@map.example", "company_name": "Map", "city": "Bonn", "industry": "Software", "employees": 50,
    "annual_revenue": {"amount": 10, "currency": "EUR"}, "country": "DE", "tags": ["a"], "custom": {"size": "L", "other": 1}, "status": "qualified", "title": "CEO"}') AS r;
SELECT r #>> '{company,city}' AS city, r #>> '{company,industry}' AS industry, r #>> '{company,employees}' AS employees, r #>> '{company,country}' AS country,
       r #> '{company,custom}' AS custom, r #> '{company,tags}' AS tags, r #> '{company,annual_revenue}' AS revenue,
       r #>> '{contact,first_name}' AS first_name, r #>> '{contact,title}' AS title, r #> '{contact,tags}' AS contact_tags, r #> '{contact,custom}' AS staff
  FROM pg_temp.convert('{"first_name": "Una", "last_name": "Two", "email": "one@map.example", "city": "Rome", "industry": "Games", "employees": 20,
    "annual_revenue": {"amount": 99, "currency": "EUR"}, "country": "IT", "tags": ["b"], "custom": {"size": "S"}, "title": "Chair"}') AS r;
-- of two currencies none is more; what is in the text already is not appended again
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('USD', '2000-01-01', 0.9);
SELECT r #>> '{company,employees}' AS employees, r #> '{company,annual_revenue}' AS revenue, r #>> '{company,industry}' AS industry, r #>> '{contact,title}' AS title
  FROM pg_temp.convert('{"last_name": "Two", "email": "one@map.example", "industry": "Games", "employees": 70,
    "annual_revenue": {"amount": 1000, "currency": "USD"}, "title": "CEO"}') AS r;
SELECT mapping_version, count(*) FROM crm.conversion GROUP BY 1;

-- Rows and values of the options: for this conversion only.
SELECT r #>> '{company,city}' AS city, r #>> '{company,phone}' AS phone, r #> '{company,custom}' AS custom, r #>> '{contact,title}' AS title,
       r #>> '{deal,product}' AS product, r #> '{deal,amount}' AS amount, r #>> '{deal,name}' AS deal, r ->> 'conversion_id' AS conversion
  FROM pg_temp.convert('{"last_name": "Three", "email": "three@values.example", "company_name": "Values", "city": "Bonn", "industry": "Games", "title": "CEO",
      "annual_revenue": {"amount": 7, "currency": "USD"}, "custom": {"size": "M"}}',
    '{"mapping": [{"source": "industry", "target_entity": "deal", "target_field": "product"},
                  {"source": "annual_revenue", "target_entity": "deal", "target_field": "amount"},
                  {"source": "city", "target_entity": "company", "target_field": "city", "policy": "keep"}],
      "values": {"company": {"phone": "030 99999", "custom": {"vip": true}}, "contact": {"title": "CTO"}}}') AS r \gset third_
SELECT :'third_city' AS city, :'third_phone' AS phone, :'third_custom' AS custom, :'third_title' AS title, :'third_product' AS product,
       :'third_amount' AS amount, :'third_deal' AS deal;
SELECT r #>> '{company,city}' AS city, r #>> '{company,name}' AS name, r #> '{deal,amount}' AS amount
  FROM pg_temp.convert('{"last_name": "Four", "email": "four@values.example", "city": "Rome", "annual_revenue": {"amount": 8, "currency": "USD"}}',
    '{"values": {"company": {"name": "Renamed", "city": null}, "deal": {"amount": {"amount": 3, "currency": "EUR"}}}}') AS r;
SELECT pg_temp.failure(format('SELECT pg_temp.convert(%L, %L)', '{"last_name": "Five"}', o)) AS failure
  FROM (VALUES (1, '{"mapping": [{"source": "city", "target_entity": "company", "target_field": "employees"}]}'),
               (2, '{"mapping": [{"source": "city"}, 5]}'), (3, '{"values": {"company": {"size": 1, "employees": "many"}, "lead": {}}}'),
               (4, '{"values": {"contact": {"consent": {"email": true}}, "deal": {"stage_id": "00000000-0000-0000-0000-000000000001"}}}'),
               (5, '{"dup": "perhaps"}')) AS v (n, o) ORDER BY n;

-- Something like what is to be created is there: allowed unless the options ask.
SELECT r #>> '{company,id}' IS NOT NULL AS company, r -> 'duplicates' AS duplicates
  FROM pg_temp.convert('{"last_name": "Six", "company_name": "Map"}', '{"company": {"mode": "create"}, "deal": {"mode": "skip"}}') AS r;
SELECT pg_temp.convert('{"last_name": "Seven", "email": "one@map.example", "company_name": "Values"}',
    '{"company": {"mode": "create"}, "contact": {"mode": "create"}, "dup": "warn"}') AS warned \gset
SELECT string_agg(concat_ws(' ', d ->> 'type', d ->> 'name'), ', ' ORDER BY n) AS duplicates
  FROM jsonb_array_elements(:'warned'::jsonb -> 'duplicates') WITH ORDINALITY AS x (d, n);
SELECT crm.lead_convert((:'warned'::jsonb #>> '{lead,id}')::uuid, '{"dup": "warn", "company": {"mode": "create"}, "contact": {"mode": "create"}}') -> 'duplicates'
       = :'warned'::jsonb -> 'duplicates' AS replayed;
SELECT pg_temp.failure(format('SELECT pg_temp.convert(%L, %L)', '{"last_name": "Eight", "email": "one@map.example"}', '{"contact": {"mode": "create"}, "dup": "block"}')) AS blocked,
       pg_temp.failure(format('SELECT pg_temp.convert(%L, %L)', '{"last_name": "Nine", "email": "nine@nine.example"}', '{"contact": {"mode": "create"}, "dup": "block"}')) AS new_person;
RESET ROLE;
