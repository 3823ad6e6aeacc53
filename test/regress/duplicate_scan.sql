-- Scanning the whole base: some at a time, in any session, each pair once; and its groups.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Scan', 'Ann', 'ann@scan.example') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org,
       set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'manager', false) AS role;

-- 60 people of whom every third stands there twice and every sixth three times.
INSERT INTO crm.contact (first_name, last_name, email)
SELECT chr(97 + i % 26) || repeat(chr(97 + (i * 7) % 26), 2) || i, 'Person' || md5(i::text), 'p' || i || '@scan.example'
FROM generate_series(1, 60) i;
INSERT INTO crm.contact (first_name, last_name, email)
SELECT first_name, last_name, replace(email, '@', '+' || n || '@')
FROM crm.contact c, generate_series(1, 2) n
WHERE org_id = :'org' AND (substring(email, '\d+')::int % 3 = 0 AND n = 1 OR substring(email, '\d+')::int % 6 = 0);

CREATE FUNCTION pg_temp.scan(type text, batch integer) RETURNS TABLE (steps integer, records text, pairs text)
LANGUAGE plpgsql AS $$
DECLARE
    done jsonb;
BEGIN
    steps := 0;
    LOOP
        done := crm.duplicate_scan(type, batch);
        steps := steps + 1;
        EXIT WHEN (done ->> 'done')::boolean;
    END LOOP;
    records := done ->> 'records';
    pairs := done ->> 'found';
    RETURN NEXT;
END
$$;
SELECT * FROM pg_temp.scan('contacts', 7);
SELECT * FROM pg_temp.scan('contacts', 1000);
SELECT * FROM pg_temp.scan('leads', 10);
SELECT jsonb_array_length(c -> 'records') AS records, jsonb_array_length(c -> 'pairs') AS pairs, count(*)
FROM jsonb_array_elements(crm.duplicate_clusters('contacts') -> 'data') c GROUP BY 1, 2 ORDER BY 1;
SELECT c ->> 'score' AS score, c #>> '{pairs,0,band}' AS band, c #> '{pairs,0,fields}' AS fields
FROM jsonb_array_elements(crm.duplicate_clusters('contacts', limit_ => 1) -> 'data') c;
SELECT jsonb_array_length(crm.duplicate_clusters('contacts', limit_ => 3) -> 'data') AS page,
       (SELECT count(DISTINCT r ->> 'id') = count(*) FROM jsonb_array_elements(crm.duplicate_clusters('contacts') -> 'data') c,
        jsonb_array_elements(c -> 'records') r) AS each_once;

-- It goes on where it was; what is new meanwhile has a later id and comes, too.
SELECT d ->> 'done' AS done, d ->> 'records' AS records FROM crm.duplicate_scan('contact', 50) d;
INSERT INTO crm.contact (first_name, last_name, email) SELECT first_name, last_name, email FROM crm.contact WHERE org_id = :'org' AND email = 'p1@scan.example';
SELECT * FROM pg_temp.scan('contacts', 50);

-- What is no more is not shown, and is forgotten by the next scan.
UPDATE crm.contact SET deleted_at = now() WHERE org_id = :'org' AND email LIKE '%+%';
SELECT count(*) FROM jsonb_array_elements(crm.duplicate_clusters('contacts') -> 'data') c;
SELECT count(*) > 1 AS old FROM crm.duplicate_pair WHERE org_id = :'org';
SET ROLE saleshub_user;
SELECT count(*) AS seen FROM crm.duplicate_pair;
RESET ROLE;
SELECT * FROM pg_temp.scan('contacts', 1000);
SELECT count(*) AS old FROM crm.duplicate_pair WHERE org_id = :'org';

-- For managers; of one's own organisation.
SELECT set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT crm.duplicate_scan('contacts');
SELECT crm.duplicate_scan('deals');
SELECT count(*) FROM jsonb_array_elements(crm.duplicate_clusters('contacts') -> 'data') c;
SELECT crm.duplicate_clusters('contacts', 'nonsense');
RESET ROLE;
SELECT set_config('saleshub.member_role', 'admin', false) AS role;
SELECT o ->> 'org_id' AS other FROM crm.org_create('Other', 'Bob', 'bob@scan.example') AS o \gset
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS other;
SELECT crm.duplicate_clusters('contacts');
SELECT * FROM pg_temp.scan('contacts', 10);
