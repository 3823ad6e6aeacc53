-- Duplicates: how values are compared, what is found, and what an insert does about it.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Duplicates', 'Ann', 'ann@dup.example', country => 'DE') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org,
       set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role;

-- Normal forms.
SELECT t, saleshub.match_fold(t) AS folded, saleshub.match_phonetic(t) AS sounds
FROM unnest(ARRAY['Müller', 'O''Brien-Smith', 'Łukasz Ørsted', 'Straße', 'Knight', 'Philips',
                  'Schmidt', 'Thompson', 'Иванов', '张伟', '司馬光明', ' . ', 'Nguyễn', 'Wright', 'McCarthy']) t;
SELECT e, saleshub.match_email(e) FROM unnest(ARRAY['Ada.King+news@Googlemail.com', 'a.b@x.example',
                                                    '+@x.example', 'none']) e;
SELECT d, saleshub.match_domain(d) FROM unnest(ARRAY['mail.example.co.uk', 'example.com', 'co.uk',
                                                     'gmail.com', 'a.b.c.de', 'localhost']) d;

-- Every field by its level; the weights add up to the score.
CREATE FUNCTION pg_temp.explained(a jsonb, b jsonb, noun text DEFAULT 'contact')
RETURNS TABLE (score text, band text, fields text) LANGUAGE sql AS $$
    SELECT e ->> 'score', saleshub.match_band((e ->> 'score')::numeric),
           (SELECT string_agg(format('%s %s %s', f ->> 'field', f ->> 'level', f ->> 'weight'), ', '
                              ORDER BY n)
            FROM jsonb_array_elements(e -> 'fields') WITH ORDINALITY AS x (f, n))
           || CASE WHEN e ? 'swapped' THEN ' (swapped)' ELSE '' END
    FROM saleshub.match_explain(saleshub.match_defaults(noun), a, b) e
$$;
SELECT x.* FROM (VALUES
    ('{"first_name": "Ada", "last_name": "Lovelace", "email": "ada@x.example"}'::jsonb,
     '{"first_name": "ADA", "last_name": "Lovelace", "email": "ada+crm@x.example"}'::jsonb),
    ('{"first_name": "Bob", "last_name": "Meyer"}', '{"first_name": "Robert", "last_name": "Meier"}'),
    ('{"first_name": "Wei", "last_name": "Zhang"}', '{"first_name": "Zhang", "last_name": "Wei"}'),
    ('{"phone": "+4930123456"}', '{"phone": "030123456"}'),
    ('{"phone": "+49301234567x12"}', '{"phone": "+49301234576"}'),
    ('{"first_name": "J", "last_name": "Doe"}', '{"first_name": "Jane", "last_name": "Doe-Smith"}'),
    ('{"last_name": "Kim", "email": "kim@a.example"}', '{"last_name": "Kim", "email": "lee@b.example"}'),
    ('{"last_name": "", "email": null}', '{"last_name": "Kim", "email": "lee@b.example"}')
) AS v (a, b), pg_temp.explained(v.a, v.b) x;
SELECT x.* FROM pg_temp.explained('{"name": "Acme GmbH & Co. KG", "domain": "www.acme.co.uk"}',
                                  '{"name": "ACME Ltd.", "domain": "acme.co.uk"}', 'company') x;
SELECT saleshub.match_explain('[{"field": "custom.born", "kind": "date", "same": 12, "close": 7},
                                {"field": "custom.nr", "kind": "code", "same": 9, "close": 5, "differ": -3}]',
                              '{"custom": {"born": "1980-04-09", "nr": 12345}}',
                              '{"custom": {"born": "1980-09-04", "nr": 12435}}');
SELECT saleshub.match_explain('[{"field": "x", "kind": "nonsense"}]', '{}', '{}');

-- Found by e-mail, telephone, how names sound, and in any role of the names; not in the bin.
INSERT INTO crm.company (name, domain) VALUES ('Analytical Engines Ltd', 'engines.example');
INSERT INTO crm.contact (first_name, last_name, email, phone)
VALUES ('Ada', 'Lovelace', 'ada@engines.example', '+49 30 1234567'),
       ('Ada', 'Lovelase', NULL, NULL),
       ('Lovelace', 'Ada', NULL, NULL),
       ('Somebody', 'Else', 'ada+x@engines.example', NULL),
       ('Charles', 'Babbage', 'charles@engines.example', '030 1234567');
CREATE FUNCTION pg_temp.found(type text, id uuid) RETURNS TABLE (name text, band text, score text)
LANGUAGE sql AS $$
    SELECT d ->> 'name', d ->> 'band', d ->> 'score'
    FROM jsonb_array_elements(crm.duplicates(type, id) -> 'data') WITH ORDINALITY AS x (d, n)
$$;
SELECT contact_id AS ada FROM crm.contact WHERE email = 'ada@engines.example' \gset
SELECT * FROM pg_temp.found('contacts', :'ada');
UPDATE crm.contact SET deleted_at = now() WHERE last_name = 'Lovelase';
SELECT * FROM pg_temp.found('contact', :'ada');
UPDATE crm.contact SET deleted_at = NULL, last_name = 'King', email = 'ADA@engines.example' WHERE last_name = 'Lovelase';
SELECT * FROM pg_temp.found('contact', :'ada');
DELETE FROM crm.contact WHERE last_name = 'King';
SELECT * FROM pg_temp.found('contact', :'ada');
SELECT count(*) FROM saleshub.match_key k WHERE k.org_id = :'org' AND k.entity = 'contact'
    AND NOT EXISTS (SELECT FROM crm.contact c WHERE c.contact_id = k.entity_id);
SELECT crm.duplicates('deal', :'ada');
SELECT crm.duplicates('lead', '00000000-0000-7000-8000-000000000000');

-- warn, the default: the answer says what there is. allow: it does not. block: refused.
SELECT r -> 'duplicates' -> 0 ->> 'name' AS like_it, r -> 'duplicates' -> 0 ->> 'band' AS band
FROM crm.contact_create('{"name": "Charles Babbage", "email": "charles@engines.example"}') r;
SELECT r ? 'duplicates' AS told
FROM crm.contact_create('{"name": "Charles Babbage", "email": "charles@engines.example", "on_duplicate": "allow"}') r;
SELECT r ? 'duplicates' AS told FROM crm.contact_create('{"name": "Nobody Elsewhere"}') r;
CREATE FUNCTION pg_temp.refused(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    EXECUTE sql;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || (detail::jsonb ->> 'code') || ' '
        || coalesce(detail::jsonb -> 'candidates' -> 0 ->> 'name', detail::jsonb #>> '{errors,0,pointer}');
END
$$;
SELECT pg_temp.refused($$SELECT crm.contact_create('{"name": "Charles Babage", "email": "Charles@engines.example", "on_duplicate": "block"}')$$);
SELECT pg_temp.refused($$SELECT crm.contact_create('{"name": "A B", "on_duplicate": "maybe"}')$$);
UPDATE crm.org SET settings = settings || '{"duplicate_policy": "block"}' WHERE org_id = :'org';
SELECT pg_temp.refused($$SELECT crm.company_create('{"name": "Analytical Engines, Inc.", "domain": "engines.example"}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.company (name, domain) VALUES ('ANALYTICAL ENGINES', 'www.engines.example')$$);
-- The rows of one statement are not compared with each other.
SELECT pg_temp.refused($$INSERT INTO crm.lead (first_name, last_name, email) VALUES ('Grace', 'Hopper', 'grace@navy.example'), ('Grace', 'Hopper', 'grace@navy.example')$$);
SELECT pg_temp.refused($$SELECT crm.company_create('{"name": "Analytical Engines", "domain": "engines.example", "on_duplicate": "allow"}')$$);
SET saleshub.duplicates = 'warn';
SELECT pg_temp.refused($$INSERT INTO crm.company (name, domain) VALUES ('ANALYTICAL ENGINES', 'www.engines.example')$$);
SET saleshub.duplicates = 'nonsense';
RESET saleshub.duplicates;

-- Another organisation's records are neither found nor in the way.
SELECT o ->> 'org_id' AS other FROM crm.org_create('Other', 'Bob', 'bob@dup.example') AS o \gset
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS other;
SELECT r ? 'duplicates' AS told
FROM crm.contact_create('{"name": "Charles Babbage", "email": "charles@engines.example"}') r;
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org;

-- An organisation's own field: found by it, weighed by it. Members see the rules; admins set them.
SELECT crm.match_field_set('contact', 'custom.tax_id', 'code', 14, 8, -4, 'strong');
INSERT INTO crm.contact (first_name, last_name, custom)
VALUES ('Karl', 'Weierstrass', '{"tax_id": "DE 123"}'), ('Sonja', 'Kowalewski', '{"tax_id": "de-123"}');
SELECT pg_temp.refused($$INSERT INTO crm.contact (last_name, custom) VALUES ('Weierstraß', '{"tax_id": "DE123"}')$$);
SET ROLE saleshub_user;
SELECT field, same, key FROM crm.match_field;
SELECT * FROM saleshub.match_key;
SELECT saleshub.match_rebuild(:'org', 'contact');
SELECT set_config('saleshub.member_role', 'rep', false);
RESET ROLE;
SELECT set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT crm.match_field_set('contact', 'custom.tax_id', 'code', 1);
SELECT count(*) > 0 AS finds FROM pg_temp.found('contacts', :'ada');

-- Internationalised domains: the same in Unicode and in punycode, whatever is no punycode as it is.
SELECT d, saleshub.domain_unicode(lower(d)) AS unicode, saleshub.domain_forms(lower(d)) AS forms
FROM unnest(ARRAY['xn--bcher-kva.example', 'BÜCHER.example', U&'bu\0308cher.example', 'mail.xn--wgv71a119e.jp', U&'\65E5\672C\8A9E\3002jp',
                  'xn--', 'xn--a', 'xn--99999999999', 'xn--bücher-', 'xn--zckzah', 'plain.example', 'jo@xn--bcher-kva.example']) d;
SELECT saleshub.match_email('Jo+x@xn--bcher-kva.example') = saleshub.match_email('jo@BÜCHER.example') AS email,
       saleshub.match_domain('www.xn--bcher-kva.co.uk') = saleshub.match_domain('bücher.co.uk') AS domain;
SELECT setseed(0.5) IS NOT NULL AS seeded;
SELECT count(*) AS not_back FROM (
    SELECT 'x' || string_agg(chr(192 + floor(random() * 2000)::int), '') || i AS label FROM generate_series(1, 500) i, generate_series(1, 1 + i % 9) GROUP BY i) s
WHERE saleshub.domain_unicode((saleshub.domain_forms(lower(label)))[cardinality(saleshub.domain_forms(lower(label)))]) <> saleshub.domain_unicode(lower(label));
-- The part that somebody registered, also where others hand out names.
SELECT d, saleshub.match_domain(d) FROM unnest(ARRAY['a.b.plc.uk', 'shop.acme.myshopify.com', 'acme.github.io', 'github.io', 'a.acme.de.com', 'www.acme.go.jp', 'x.acme.gv.at', 'a.acme.gob.mx', 'deep.acme.com']) d;
INSERT INTO crm.company (name, domain) VALUES ('Bücherwurm', 'bücher.example') RETURNING company_id AS worm \gset
INSERT INTO crm.contact (last_name, email) VALUES ('Wurm', 'jo@bücher.example') RETURNING contact_id AS wurm \gset
INSERT INTO crm.lead (last_name, email) VALUES ('Wurm', 'jo@xn--bcher-kva.example') RETURNING lead_id AS lead \gset
SELECT r #>> '{company,id}' = :'worm' AS company, r #>> '{contact,id}' = :'wurm' AS contact FROM crm.lead_convert(:'lead', '{"deal": {"mode": "skip"}}') r;

-- Short forms of names lead to each other, whichever of the two is there first; names that changed places, too.
INSERT INTO crm.contact (first_name, last_name) VALUES ('Robert', 'Testperson') RETURNING contact_id AS robert \gset
INSERT INTO crm.contact (first_name, last_name) VALUES ('Bob', 'Testperson') RETURNING contact_id AS bob \gset
INSERT INTO crm.contact (first_name, last_name) VALUES ('Testperson', 'Robert') RETURNING contact_id AS swapped \gset
SELECT 'robert' AS of, f.* FROM pg_temp.found('contact', :'robert') f UNION ALL SELECT 'bob', f.* FROM pg_temp.found('contact', :'bob') f ORDER BY 1, 2, 3;
SELECT x.* FROM (VALUES ('Sepp', 'Josef'), ('Hans', 'Johannes'), ('Kate', 'Katharina'), ('Pepe', 'Jose'), ('Bill', 'Wilhelm'), ('Bob', 'Bill')) v (a, b),
    pg_temp.explained(jsonb_build_object('first_name', v.a), jsonb_build_object('first_name', v.b)) x;
-- No first name at all has no short forms.
SELECT cardinality(saleshub.match_keys('contact', '{"first_name": "?", "last_name": "Testperson"}', '[]')) AS keys;

-- A typing error in the name of a company, wherever it is.
INSERT INTO crm.company (name, city) VALUES ('Quantum Machinery Solutions', 'Bonn'), ('Zephyrtelecom', 'Bonn');
SELECT n, (SELECT count(*) FROM crm.company c WHERE c.org_id = saleshub.org_id()
              AND c.company_id = ANY (saleshub.match_candidates('company', saleshub.match_keys('company', jsonb_build_object('name', n), '[]'), NULL))) AS found,
    saleshub.match_band(saleshub.match_score(saleshub.match_defaults('company'), jsonb_build_object('name', n),
        jsonb_build_object('name', CASE WHEN n ~ 'Z|R' THEN 'Zephyrtelecom' ELSE 'Quantum Machinery Solutions' END))::numeric) AS band
FROM unnest(ARRAY['Quantum Machinery Solutons', 'Qantum Machinery Solutions GmbH', 'Quantum Nachinery Solutions', 'Zephyrtelecmo', 'Zephyrtelec', 'Rephyrtelecom']) n;

-- Common names: no more than 60 are compared, who shares a rare key is among them.
SET saleshub.duplicates = 'allow';
INSERT INTO crm.contact (first_name, last_name, phone) SELECT 'Common', 'Person', '+49 40 5550000' FROM generate_series(1, 250);
INSERT INTO crm.contact (first_name, last_name, phone, email) VALUES ('Common', 'Person', '+49 40 5550000', 'rare@common.example');
SELECT cardinality(c) AS compared, (SELECT contact_id FROM crm.contact WHERE email = 'rare@common.example') = ANY (c) AS rare
FROM saleshub.match_candidates('contact', saleshub.match_keys('contact',
    '{"first_name": "Common", "last_name": "Person", "phone": "+49405550000", "email": "rare@common.example"}', '[]'), NULL) c;
