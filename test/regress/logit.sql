-- Models: trained on any table, explained exactly, and never a number that is none.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
CREATE SCHEMA logit_test;
SET search_path = logit_test, public;
CREATE TYPE size AS ENUM ('small', 'large');
SELECT setseed(0.1) IS NOT NULL;
CREATE TABLE seen AS
SELECT i AS id, r * 100 AS visits, CASE WHEN i % 7 = 0 THEN NULL ELSE (ARRAY['web', 'event', 'mail'])[1 + i % 3] END AS source,
       (CASE WHEN i % 2 = 0 THEN 'large' ELSE 'small' END)::size AS size, i % 5 = 0 AS vip, round((r * 10)::numeric, 1) AS money, date '2026-01-01' + i % 90 AS day,
       random() < 0.1 + 0.6 * r + CASE WHEN i % 3 = 1 THEN 0.2 ELSE 0 END AS won
FROM (SELECT i, random() AS r FROM generate_series(1, 4000) i) s;
SELECT saleshub.logit_train('seen', 'won', '{visits,source,size,vip,money,day}') AS model \gset
SELECT m ->> 'state', m ->> 'n', (m ->> 'converged')::boolean, (m #>> '{card,auc}')::float8 BETWEEN 0.68 AND 0.78,
    (m #>> '{card,log_loss}')::float8 < (m #>> '{card,base_log_loss}')::float8, (m #>> '{card,ece10}')::float8 < 0.05, jsonb_array_length(m #> '{card,reliability}')
FROM (SELECT :'model'::jsonb) x (m);
-- the same every time
SELECT saleshub.logit_train('seen', 'won', '{visits,source,size,vip,money,day}') = :'model'::jsonb;
-- the reasons sum to the log odds, which are those of the probability
SELECT count(*), max(abs((e ->> 'log_odds')::float8 - (e ->> 'intercept')::float8 - (SELECT sum((r ->> 'log_odds')::float8) FROM jsonb_array_elements(e -> 'reasons') r))) < 1e-9,
    max(abs(ln(p / (1 - p)) - (e ->> 'log_odds')::float8)) < 1e-9, min(p) > 0 AND max(p) < 1
FROM seen s, LATERAL saleshub.logit_explain(:'model', s) e, LATERAL saleshub.logit_probability(:'model', s) p;
-- log odds stand about their mean
SELECT f ->> 'name', abs((SELECT sum(o.value::float8 * s.value::float8) FROM jsonb_array_elements_text(f -> 'log_odds') WITH ORDINALITY o (value, n)
    JOIN jsonb_array_elements_text(f -> 'share') WITH ORDINALITY s (value, n) USING (n))) < 1e-9 FROM jsonb_array_elements(:'model'::jsonb -> 'features') f;
-- words, ranges, what was never seen, what is missing, and a row without the column
SELECT jsonb_path_query_array(e, '$.reasons[*] ? (@.feature == "source" || @.feature == "visits")') - 'log_odds' IS NOT NULL, r - 'log_odds'
FROM (VALUES ('web', 50::float8), ('fax', -1e30), (NULL, 'NaN'), ('web', 'Infinity')) v (source, visits),
     LATERAL saleshub.logit_explain(:'model', v) e, LATERAL jsonb_array_elements(e -> 'reasons') r WHERE r ->> 'feature' IN ('source', 'visits') AND NOT r ? 'from';
SELECT saleshub.logit_probability(:'model', ROW(1)) BETWEEN 0 AND 1;
SELECT saleshub.logit_probability(:'model', v) FROM (VALUES (1)) v (source);

-- hard data: clear answers and finite numbers
CREATE FUNCTION tried(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    model jsonb;
BEGIN
    EXECUTE statement INTO model;
    RETURN concat_ws(' ', model ->> 'state', model ->> 'n', CASE WHEN model ? 'card' THEN 'card' END,
        CASE WHEN model::text ~* 'nan|inf' THEN 'NOT FINITE' END);
EXCEPTION WHEN OTHERS THEN
    RETURN concat(SQLSTATE, ' ', SQLERRM);
END;
$$;
CREATE TABLE split AS SELECT i::float8 AS x, i > 500 AS won, 1 AS same, NULL::text AS nothing, 'NaN'::float8 AS odd, 'word ' || i AS word,
    CASE WHEN i % 3 = 0 THEN 'Infinity'::float8 WHEN i % 3 = 1 THEN '-Infinity' ELSE i END AS limits FROM generate_series(1, 1000) i;
CREATE TABLE many AS SELECT 'level ' || i % 10000 AS level, i % 10000 < 3000 AS won FROM generate_series(1, 40000) i;
SELECT tried($$SELECT saleshub.logit_train('split', 'won', '{x}')$$), tried($$SELECT saleshub.logit_train('split', 'won', '{x}', l2 => 1e-9)$$), tried($$SELECT saleshub.logit_train('split', 'won')$$);
SELECT tried($$SELECT saleshub.logit_train('split', 'won', '{same,nothing,odd}')$$), tried($$SELECT saleshub.logit_train('split', 'won', '{}')$$), tried($$SELECT saleshub.logit_train('split', 'won', '{limits}')$$);
SELECT tried($$SELECT saleshub.logit_train('many', 'won')$$), tried($$SELECT saleshub.logit_train('many', 'won', rare => 2)$$), tried($$SELECT saleshub.logit_train('seen', 'won', max_rows => 1000)$$);
SELECT p > 0.95, q < 0.05 FROM (SELECT saleshub.logit_train('split', 'won', '{x}')) m (m), LATERAL saleshub.logit_probability(m, (SELECT s FROM split s WHERE x = 900)) p, LATERAL saleshub.logit_probability(m, (SELECT s FROM split s WHERE x = 100)) q;
CREATE TABLE one AS SELECT i AS x, true AS won FROM generate_series(1, 100) i;
CREATE TABLE none (x integer, won boolean);
CREATE TABLE odd AS SELECT i AS x, i AS won, 'x' AS word FROM generate_series(1, 100) i;
SELECT tried($$SELECT saleshub.logit_train('one', 'won')$$), tried($$SELECT saleshub.logit_train('none', 'won')$$), tried($$SELECT saleshub.logit_train('odd', 'won')$$), tried($$SELECT saleshub.logit_train('odd', 'word')$$);
SELECT saleshub.logit_probability(saleshub.logit_train('one', 'won'), ROW(1)) > 0.9;
SELECT tried($$SELECT saleshub.logit_train('odd', 'nope')$$), tried($$SELECT saleshub.logit_train('odd', 'won', '{nope}')$$), tried($$SELECT saleshub.logit_train('odd', 'won', ARRAY[NULL])$$), tried($$SELECT saleshub.logit_train(NULL, 'won')$$);
SELECT tried($$SELECT saleshub.logit_train('seen', 'won', l2 => 0)$$), tried($$SELECT saleshub.logit_train('seen', 'won', l2 => 'NaN')$$), tried($$SELECT saleshub.logit_train('seen', 'won', bins => 1)$$), tried($$SELECT saleshub.logit_train('seen', 'won', rare => 0)$$), tried($$SELECT saleshub.logit_train('seen', 'won', max_rows => 5)$$);
-- noise is not better than the base rate
CREATE TABLE noise AS SELECT random() AS x, random() < 0.3 AS won FROM generate_series(1, 500);
SELECT tried($$SELECT saleshub.logit_train('noise', 'won', bins => 2)$$) ~ '^(not_better|ready) 500 card$';
-- what is no model
SELECT tried(format('SELECT to_jsonb(saleshub.logit_probability(%L, ROW(1)))', m)) FROM unnest(ARRAY['[]', '{}', '{"intercept": "x", "features": []}', '{"intercept": 0, "features": [1]}',
    '{"intercept": 0, "features": [{"name": "x", "edges": [1], "log_odds": [0, 1]}]}', '{"intercept": 0, "features": [{"name": "x", "edges": ["a"], "log_odds": [0]}]}', '{"intercept": 0, "features": [{"name": 1}]}']) m;

-- values one by one: the same to the last bit, whatever their types; and what cannot be
SELECT count(*), bool_and(saleshub.logit_score(:'model', visits, source, size, vip, money, day) = saleshub.logit_probability(:'model', s)), saleshub.logit_score(NULL::jsonb, 1) IS NULL FROM seen s;
SELECT saleshub.logit_score(:'model', NULL, NULL, NULL, NULL, NULL, NULL) = saleshub.logit_probability(:'model', ROW(1));
SELECT tried(format('SELECT to_jsonb(saleshub.logit_score(%L, %s))', m, v)) FROM (VALUES (:'model', '1'), (:'model', 'now(), 1, 1, 1, 1, 1'), (:'model', 'VARIADIC ARRAY[1]'), ('{"intercept": 0, "features": [{"name": "x", "edges": [2, 1], "log_odds": [0, 0, 0, 0]}]}', '1')) t (m, v);

-- under the rights of the caller: privileges on columns, and row security
CREATE ROLE logit_reader;
GRANT USAGE ON SCHEMA logit_test TO logit_reader;
GRANT SELECT (visits, won) ON seen TO logit_reader;
CREATE TABLE walled AS SELECT * FROM seen;
GRANT SELECT ON walled TO logit_reader;
ALTER TABLE walled ENABLE ROW LEVEL SECURITY;
CREATE POLICY first_rows ON walled FOR SELECT TO logit_reader USING (id <= 1000);
CREATE VIEW seen_view AS SELECT * FROM seen;
GRANT USAGE ON SCHEMA saleshub TO logit_reader;
GRANT EXECUTE ON FUNCTION saleshub.logit_train TO logit_reader;
SET ROLE logit_reader;
SELECT tried($$SELECT saleshub.logit_train('seen', 'won', '{visits}')$$), tried($$SELECT saleshub.logit_train('seen', 'won', '{visits,money}')$$), tried($$SELECT saleshub.logit_train('split', 'won')$$),
    tried($$SELECT saleshub.logit_train('walled', 'won')$$), tried($$SELECT saleshub.logit_train('seen_view', 'won')$$);
RESET ROLE;
SELECT tried($$SELECT saleshub.logit_train('walled', 'won')$$), saleshub.logit_train('seen_view', 'won', '{visits,source,size,vip,money,day}') = :'model'::jsonb;
DROP SCHEMA logit_test CASCADE;
REVOKE ALL ON FUNCTION saleshub.logit_train FROM logit_reader;
REVOKE USAGE ON SCHEMA saleshub FROM logit_reader;
DROP ROLE logit_reader;
