-- What the search index finds and how it ranks is what BM25F over all documents says, whether they
-- wait, stand in segments, have changed since, or were merged.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann FROM crm.org_create('Rank', 'Ann', 'ann@rank.example') o \gset
SELECT o ->> 'org_id' AS org2 FROM crm.org_create('Elsewhere', 'Eve', 'eve@rank.example') o \gset
SELECT set_config('saleshub.org_id', :'org', false) IS NOT NULL;

-- Words as rare as they are in texts (Zipf), by a generator that is the same everywhere.
CREATE FUNCTION pg_temp.random(seed bigint) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT ((hashtextextended('rank' || seed, 0) & 1048575) + 0.5) / 1048576 $$;
CREATE FUNCTION pg_temp.word(seed bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'wort' || translate(floor(exp(pg_temp.random(seed) * ln(300)))::text, '0123456789', 'abcdefghij') $$;
CREATE FUNCTION pg_temp.text(seed bigint, words int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(pg_temp.word(seed * 1000 + n), ' ' ORDER BY n) FROM generate_series(1, words) n $$;
CREATE FUNCTION pg_temp.write(low int, high int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO crm.activity (activity_id, type, subject, body)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'note', pg_temp.text(n, 1 + n % 7),
           CASE WHEN n % 9 > 0 THEN pg_temp.text(n + 100000, (n * 7 % 90) + 1) END
      FROM generate_series(low, high) n $$;

-- The same by brute force: every word of every document.
CREATE TEMP TABLE word (id uuid, field int, term bigint, n int);
CREATE TEMP TABLE size (id uuid, field int, words int);
CREATE TEMP TABLE hit (id uuid, field int, tf double precision, term bigint);
CREATE FUNCTION pg_temp.read() RETURNS void LANGUAGE sql AS $$
    TRUNCATE word, size, hit;
    INSERT INTO word SELECT a.activity_id, f.field, (w ->> 'term')::bigint, count(*)
      FROM crm.activity a, LATERAL (VALUES (0, a.subject), (3, coalesce(a.body, ''))) f (field, value),
           jsonb_array_elements(saleshub.search_words(f.value)) w
     WHERE a.org_id = saleshub.org_id() AND a.deleted_at IS NULL GROUP BY 1, 2, 3;
    INSERT INTO size SELECT id, field, saleshub.search_length(sum(n)::int) FROM word GROUP BY 1, 2;
    INSERT INTO hit
    SELECT w.id, w.field, w.n * CASE w.field WHEN 0 THEN 2.5 ELSE 1 END / (1 - b + b * s.words / average + 1e-9), w.term
      FROM word w JOIN size s USING (id, field),
           LATERAL (SELECT CASE w.field WHEN 0 THEN 0.5 ELSE 0.75 END::double precision AS b) x,
           LATERAL (SELECT (SELECT sum(z.words) FROM size z WHERE z.field = w.field)::double precision / (SELECT count(DISTINCT id) FROM size) AS average) y;
$$;
CREATE FUNCTION pg_temp.brute(terms bigint[], every boolean) RETURNS TABLE (id uuid, score double precision) LANGUAGE sql AS $$
    WITH n AS (SELECT count(DISTINCT z.id)::double precision AS docs FROM size z),
    found AS (SELECT h.id, h.term, sum(h.tf) AS tf FROM hit h WHERE h.term = ANY (terms) GROUP BY 1, 2),
    idf AS (SELECT f.term, ln(1 + (n.docs - count(*) + 0.5) / (count(*) + 0.5)) AS idf FROM found f, n GROUP BY f.term, n.docs)
    SELECT f.id, sum(i.idf * f.tf * 2.2 / (f.tf + 1.2)) FROM found f JOIN idf i USING (term)
     GROUP BY f.id HAVING NOT every OR count(*) = cardinality(terms) $$;
CREATE FUNCTION pg_temp.terms(q text) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg(DISTINCT (w ->> 'term')::bigint) FROM jsonb_array_elements(saleshub.search_words(replace(q, ' OR ', ' '))) w $$;

-- Of a query: whether the best and how many there are agree; what does not is shown.
CREATE FUNCTION pg_temp.differs(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := saleshub.search_run(q, '{"limit": 10, "total": true, "typos": false}');
    quick jsonb := saleshub.search_run(q, '{"limit": 10, "typos": false}');
    expected double precision[];
    given double precision[] := ARRAY(SELECT (h ->> 'rank')::double precision FROM jsonb_array_elements(answer -> 'hits') h);
    total bigint;
    wrong bigint;
BEGIN
    IF answer -> 'hits' IS DISTINCT FROM quick -> 'hits' THEN
        RETURN format('%s: not the same without a total', q);
    END IF;
    CREATE TEMP TABLE truth ON COMMIT DROP AS SELECT * FROM pg_temp.brute(pg_temp.terms(q), q NOT LIKE '% OR %');
    expected := ARRAY(SELECT t.score FROM truth t ORDER BY 1 DESC LIMIT 10);
    total := (SELECT count(*) FROM truth);
    wrong := (SELECT count(*) FROM jsonb_array_elements(answer -> 'hits') h LEFT JOIN truth t ON t.id = (h ->> 'id')::uuid
               WHERE t.id IS NULL OR abs(t.score - (h ->> 'rank')::double precision) > 1e-9);
    DROP TABLE truth;
    IF total <> (answer ->> 'total')::bigint OR wrong > 0 OR cardinality(expected) <> cardinality(given)
       OR EXISTS (SELECT FROM unnest(expected, given) x (a, b) WHERE abs(a - b) > 1e-9) THEN
        RETURN format('%s: %s of %s expected, %s of %s given, %s wrong', q, expected[1:3], total, given[1:3], answer ->> 'total', wrong);
    END IF;
    RETURN NULL;
END
$$;
-- One to three words, all of them or any.
CREATE FUNCTION pg_temp.query(seed bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT pg_temp.word(seed * 31 + n), CASE WHEN seed % 2 = 0 THEN ' ' ELSE ' OR ' END)
      FROM generate_series(1, 1 + (seed % 3)::int) n $$;
CREATE FUNCTION pg_temp.check(seeds int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text[];
BEGIN
    PERFORM pg_temp.read();
    found := (SELECT array_agg(d) FROM (
        SELECT pg_temp.differs(q) AS d FROM (SELECT DISTINCT pg_temp.query(s) AS q FROM generate_series(1, seeds) s) x
         WHERE pg_temp.terms(q) && ARRAY(SELECT term FROM word)) y WHERE d IS NOT NULL);
    RETURN coalesce(array_to_string(found, E'\n'), 'as brute force');
END
$$;

SELECT pg_temp.write(1, 400) IS NULL;
SET saleshub.org_id TO :'org2';
SELECT pg_temp.write(9001, 9100) IS NULL;
SET saleshub.org_id TO :'org';
\echo waiting
SELECT pg_temp.check(60);
\echo one segment
SELECT saleshub.search_flush(:'org');
SELECT pg_temp.check(60);
\echo segments, documents that changed or went, others that wait
SELECT pg_temp.write(401, 700) IS NULL;
SELECT saleshub.search_flush(:'org');
UPDATE crm.activity SET body = pg_temp.text(right(activity_id::text, 4)::int + 5000, 20)
 WHERE org_id = saleshub.org_id() AND right(activity_id::text, 4)::int % 5 = 0;
UPDATE crm.activity SET deleted_at = now() WHERE org_id = saleshub.org_id() AND right(activity_id::text, 4)::int % 11 = 0;
UPDATE crm.activity SET outcome = NULL, done_at = now() WHERE org_id = saleshub.org_id() AND right(activity_id::text, 4)::int % 13 = 0;
SELECT count(*) FROM saleshub.search_gone WHERE org_id = :'org';
SELECT pg_temp.check(60);
\echo merged
SELECT saleshub.search_merge(:'org', true);
SELECT count(*) FROM saleshub.search_gone WHERE org_id = :'org';
SELECT pg_temp.check(60);
SELECT saleshub.search_rebuild(:'org') > 0;
SELECT pg_temp.check(60);
