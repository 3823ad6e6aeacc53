-- What the search index finds and how it ranks is what BM25F over all documents says, with what words
-- get for standing together and documents because of who asks, whether they wait, stand in segments, have changed since, or were merged.
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
CREATE TEMP TABLE place (id uuid, field int, term bigint, at int);
CREATE INDEX ON place (term);
CREATE TEMP TABLE word (id uuid, field int, term bigint, n int);
CREATE TEMP TABLE size (id uuid, field int, words int);
CREATE TEMP TABLE hit (id uuid, field int, tf double precision, term bigint);
CREATE FUNCTION pg_temp.read() RETURNS void LANGUAGE sql AS $$
    TRUNCATE place, word, size, hit;
    INSERT INTO place SELECT a.activity_id, f.field, (w ->> 'term')::bigint, (w ->> 'place')::int
      FROM crm.activity a, LATERAL (VALUES (0, a.subject), (3, coalesce(a.body, ''))) f (field, value),
           jsonb_array_elements(saleshub.search_words(f.value)) w
     WHERE a.org_id = saleshub.org_id() AND a.deleted_at IS NULL;
    INSERT INTO word SELECT id, field, term, count(*) FROM place GROUP BY 1, 2, 3;
    INSERT INTO size SELECT id, field, saleshub.search_length(sum(n)::int) FROM word GROUP BY 1, 2;
    INSERT INTO hit
    SELECT w.id, w.field, w.n * CASE w.field WHEN 0 THEN 2.5 ELSE 1 END / (1 - b + b * s.words / average + 1e-9), w.term
      FROM word w JOIN size s USING (id, field),
           LATERAL (SELECT CASE w.field WHEN 0 THEN 0.5 ELSE 0.75 END::double precision AS b) x,
           LATERAL (SELECT (SELECT sum(z.words) FROM size z WHERE z.field = w.field)::double precision / (SELECT count(DISTINCT id) FROM size) AS average) y;
$$;
-- Terms of a query in its order, some of them twice.
CREATE FUNCTION pg_temp.terms(q text) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg((w ->> 'term')::bigint ORDER BY n)
      FROM jsonb_array_elements(saleshub.search_words(replace(q, ' OR ', ' '))) WITH ORDINALITY x (w, n) $$;
-- Neighbours in the query add to a document by how close to that they stand in it.
CREATE FUNCTION pg_temp.near(terms bigint[]) RETURNS TABLE (id uuid, pair bigint, gap int) LANGUAGE sql AS $$
    SELECT a.id, n.n, min(abs(b.at - a.at - 1)) + 1
      FROM unnest(terms[:cardinality(terms) - 1], terms[2:]) WITH ORDINALITY n (x, y, n)
      JOIN place a ON a.term = n.x
      JOIN place b ON b.term = n.y AND b.id = a.id AND b.field = a.field AND b.at - a.at - 1 BETWEEN -7 AND 7
     WHERE n.x <> n.y GROUP BY 1, 2 $$;
-- A few documents get something for some of the queries.
CREATE FUNCTION pg_temp.boosts(q text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('type', 'activity', 'boost', 0.2 * n,
                                                 'id', '00000000-0000-7000-8000-' || lpad((45 * n - 4)::text, 12, '0'))), '[]')
      FROM generate_series(1, 5) n WHERE hashtextextended(q, 0) % 3 = 0 $$;
CREATE FUNCTION pg_temp.brute(q text, every boolean) RETURNS TABLE (id uuid, score double precision) LANGUAGE sql AS $$
    WITH n AS (SELECT count(DISTINCT z.id)::double precision AS docs FROM size z),
    asked AS (SELECT pg_temp.terms(q) AS terms),
    found AS (SELECT h.id, h.term, sum(h.tf) AS tf FROM hit h, asked WHERE h.term = ANY (asked.terms) GROUP BY 1, 2),
    idf AS (SELECT f.term, ln(1 + (n.docs - count(*) + 0.5) / (count(*) + 0.5)) AS idf FROM found f, n GROUP BY f.term, n.docs),
    words AS (SELECT f.id, sum(i.idf * f.tf * 3 / (f.tf + 2)) AS score FROM found f JOIN idf i USING (term) GROUP BY f.id
              HAVING NOT every OR count(*) = (SELECT count(DISTINCT t) FROM asked, unnest(asked.terms) t)),
    near AS (SELECT p.id, sum(0.3 * least(x.idf, y.idf) / p.gap) AS score
               FROM asked, pg_temp.near(asked.terms) p, idf x, idf y
              WHERE x.term = asked.terms[p.pair] AND y.term = asked.terms[p.pair + 1] GROUP BY 1)
    SELECT w.id, w.score + coalesce(near.score, 0) + coalesce(b.boost, 0)
      FROM words w LEFT JOIN near USING (id)
      LEFT JOIN jsonb_to_recordset(pg_temp.boosts(q)) AS b (id uuid, boost double precision) ON b.id = w.id $$;

-- Of a query: whether the best and how many there are agree; what does not is shown.
CREATE FUNCTION pg_temp.differs(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    options jsonb := jsonb_build_object('limit', 10, 'typos', false, 'settings', '{"proximity": 0.3}'::jsonb, 'boosts', pg_temp.boosts(q));
    answer jsonb := saleshub.search_run(q, options || '{"total": true}');
    quick jsonb := saleshub.search_run(q, options);
    expected double precision[];
    given double precision[] := ARRAY(SELECT (h ->> 'rank')::double precision FROM jsonb_array_elements(answer -> 'hits') h);
    total bigint;
    wrong bigint;
BEGIN
    IF answer -> 'hits' IS DISTINCT FROM quick -> 'hits' THEN
        RETURN format('%s: not the same without a total', q);
    END IF;
    CREATE TEMP TABLE truth ON COMMIT DROP AS SELECT * FROM pg_temp.brute(q, q NOT LIKE '% OR %' AND q NOT LIKE '% % % % %');
    expected := ARRAY(SELECT t.score FROM truth t ORDER BY 1 DESC LIMIT 10);
    total := (SELECT count(*) FROM truth);
    IF EXISTS (SELECT FROM jsonb_array_elements(answer -> 'hits') h
                WHERE abs((h ->> 'rank')::double precision - (SELECT sum((r ->> 'score')::double precision)
                            FROM jsonb_array_elements(h -> 'reasons') r)) > 1e-6) THEN
        RETURN format('%s: reasons do not add up', q);
    END IF;
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
-- One to five words: all of them or any, any of five.
CREATE FUNCTION pg_temp.query(seed bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT pg_temp.word(seed * 31 + n), CASE WHEN seed % 2 = 0 THEN ' ' ELSE ' OR ' END)
      FROM generate_series(1, 1 + (seed % 5)::int) n $$;
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
