-- Records by values of a column: past the planner by the index, and what SQL says when there is none.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Probes', 'Ann', 'ann@probes.example', 'EUR', 'Europe/Berlin', 'DE') AS org,
       crm.org_create('Others', 'Bob', 'bob@others.example', 'EUR', 'Europe/Berlin', 'FR') AS other \gset
SELECT :'org'::jsonb ->> 'org_id' AS a, :'org'::jsonb ->> 'member_id' AS ann, :'other'::jsonb ->> 'org_id' AS b \gset
SELECT set_config('saleshub.org_id', :'a', false) IS NOT NULL, set_config('saleshub.member_id', :'ann', false) IS NOT NULL,
       set_config('saleshub.member_role', 'admin', false) IS NOT NULL;
INSERT INTO crm.lead (org_id, last_name, email, phone, deleted_at)
SELECT o, 'L' || n, CASE WHEN n % 10 > 0 THEN 'l' || n / 3 || '@probes.example' END, CASE WHEN n % 4 > 0 THEN '+49301' || 100000 + n / 2 END,
       CASE WHEN n % 7 = 0 THEN now() END
  FROM unnest(ARRAY[:'a', :'b']::uuid[]) o, generate_series(1, 300) n;
INSERT INTO crm.company (org_id, name, domain)
SELECT o, 'C' || n, 'c' || n / 2 || '.example' FROM unnest(ARRAY[:'a', :'b']::uuid[]) o, generate_series(1, 60) n;
INSERT INTO crm.contact (org_id, last_name, email, phone)
SELECT o, 'K' || n, 'k' || n || '@probes.example', '+49302' || 100000 + n / 2 FROM unnest(ARRAY[:'a', :'b']::uuid[]) o, generate_series(1, 60) n;

-- as people write them: several for one record, of none, empty, NULL, long
CREATE TABLE pg_temp.asked (entity text, field text, texts text[]);
INSERT INTO pg_temp.asked VALUES
    ('lead', 'email', (SELECT array_agg(CASE n % 3 WHEN 0 THEN 'L' || n || '@Probes.example' ELSE 'l' || n || '@probes.example' END ORDER BY n) FROM generate_series(90, 10, -1) n)
        || ARRAY['l4@probes.example', 'l4@probes.example', '', NULL, 'l', repeat('l', 5000), 'ü@probes.example']),
    ('lead', 'phone', (SELECT array_agg(CASE n % 3 WHEN 0 THEN '030 1/' || 100000 + n ELSE '+49 30 1 ' || 100000 + n END ORDER BY n) FROM generate_series(1, 120) n)
        || ARRAY['no phone', '', NULL]),
    ('company', 'domain', (SELECT array_agg('https://www.C' || n || '.example/about' ORDER BY n) FROM generate_series(1, 40) n) || ARRAY['', NULL, 'c1.example']),
    ('contact', 'phone', (SELECT array_agg('0302' || 100000 + n ORDER BY n) FROM generate_series(1, 40) n)),
    ('contact', 'email', (SELECT array_agg('K' || n || '@probes.example' ORDER BY n) FROM generate_series(50, 70) n)),
    ('lead', 'email', '{}'), ('lead', 'email', ARRAY[NULL, '']::text[]), ('lead', 'email', '{nobody@probes.example}');
CREATE FUNCTION pg_temp.found() RETURNS TABLE (entity text, field text, texts integer, n integer, id uuid, deleted boolean) LANGUAGE sql VOLATILE AS $$
    SELECT a.entity, a.field, cardinality(a.texts), l.n, l.id, l.deleted
      FROM pg_temp.asked a CROSS JOIN LATERAL saleshub.import_lookup(a.entity, a.field, a.texts) l $$;

CREATE TABLE pg_temp.by_index AS SELECT * FROM pg_temp.found();
SELECT entity, field, texts, count(*), count(DISTINCT id), count(DISTINCT n), count(*) FILTER (WHERE deleted) FROM pg_temp.by_index GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- none of the other organisation, and each has the value
SELECT count(*) FROM pg_temp.by_index f WHERE NOT EXISTS (
    SELECT FROM (SELECT 'lead' AS entity, lead_id AS id, org_id, email, phone, NULL AS domain FROM crm.lead
                 UNION ALL SELECT 'contact', contact_id, org_id, email, phone, NULL FROM crm.contact
                 UNION ALL SELECT 'company', company_id, org_id, NULL, NULL, domain FROM crm.company) r
     WHERE r.id = f.id AND r.entity = f.entity AND r.org_id = :'a');
SELECT count(*), bool_and(lower(a.texts[f.n]) = l.email) FROM pg_temp.by_index f JOIN crm.lead l ON l.lead_id = f.id
  JOIN pg_temp.asked a ON a.entity = f.entity AND a.field = f.field AND cardinality(a.texts) = f.texts WHERE f.field = 'email' AND f.entity = 'lead';

-- A planner that takes no index does not keep it from being used.
BEGIN;
SET LOCAL enable_indexscan = off;
SET LOCAL enable_indexonlyscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT pg_stat_get_xact_numscans('crm.lead_email_idx'::regclass) AS before \gset
SELECT count(*) FROM saleshub.import_lookup('lead', 'email', ARRAY['l3@probes.example', 'l4@probes.example', NULL, 'x@probes.example']);
SELECT pg_stat_get_xact_numscans('crm.lead_email_idx'::regclass) - :before AS scans;
ROLLBACK;

-- Without the indexes SQL finds the same.
BEGIN;
DROP INDEX crm.lead_email_idx, crm.lead_phone_idx, crm.company_domain_idx, crm.contact_phone_idx;
CREATE TABLE pg_temp.by_query AS SELECT * FROM pg_temp.found();
SELECT count(*) FROM pg_temp.by_query;
SELECT count(*) FROM ((TABLE pg_temp.by_index EXCEPT ALL TABLE pg_temp.by_query) UNION ALL (TABLE pg_temp.by_query EXCEPT ALL TABLE pg_temp.by_index)) x;
ROLLBACK;

-- What this transaction changed counts, and what another version of a record had does not.
BEGIN;
INSERT INTO crm.lead (org_id, last_name, email) VALUES (:'a', 'New', 'new@probes.example');
UPDATE crm.lead SET email = 'changed@probes.example' WHERE org_id = :'a' AND last_name = 'L3';
SELECT l.n, x.last_name FROM saleshub.import_lookup('lead', 'email', '{new@probes.example,changed@probes.example,l1@probes.example}') l
  JOIN crm.lead x ON x.lead_id = l.id ORDER BY 1, 2;
ROLLBACK;
SELECT l.n, x.last_name FROM saleshub.import_lookup('lead', 'email', '{new@probes.example,changed@probes.example,l1@probes.example}') l
  JOIN crm.lead x ON x.lead_id = l.id ORDER BY 1, 2;
