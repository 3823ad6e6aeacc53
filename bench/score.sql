-- Training and scoring of :rows rows, :turns times in turns; prints name, milliseconds, those of them
-- on the processor (medians).
\set QUIET on
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
CREATE TEMP TABLE took (name text, ms float8, cpu float8);
-- What this process had of the processor; what others take does not count.
CREATE FUNCTION pg_temp.cpu() RETURNS float8 LANGUAGE sql VOLATILE
    RETURN split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1e6;
CREATE FUNCTION pg_temp.run(name text, query text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
    cpu float8 := pg_temp.cpu();
BEGIN
    EXECUTE query;
    INSERT INTO took VALUES (name, extract(epoch FROM clock_timestamp() - began) * 1000, pg_temp.cpu() - cpu);
END
$$;
-- What each feature adds, as an expression: by CASE, or by arrays.
CREATE FUNCTION pg_temp.by_case(model jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(format('CASE WHEN %1$I IS NULL THEN %2$L %3$s ELSE %4$L::float8 END',
               f ->> 'name', f #>> '{log_odds,0}',
               (SELECT string_agg(format('WHEN %I < %L THEN %L', f ->> 'name', e.value,
                                         f -> 'log_odds' ->> e.n::integer), ' ' ORDER BY e.n)
                  FROM jsonb_array_elements_text(f -> 'edges') WITH ORDINALITY e (value, n)),
               f #>> '{log_odds,-1}'))
      FROM jsonb_array_elements(model -> 'features') f $$;
CREATE FUNCTION pg_temp.by_array(model jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(format('(%L::float8[])[coalesce(width_bucket(%I, %L::float8[]) + 2, 1)]',
               translate(f ->> 'log_odds', '[]', '{}'), f ->> 'name',
               translate(f ->> 'edges', '[]', '{}')))
      FROM jsonb_array_elements(model -> 'features') f $$;
CREATE FUNCTION pg_temp.chance(intercept text, summands text[]) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN format('1 / (1 + exp(-(%L::float8 + %s)))', intercept, array_to_string(summands, ' + '));
CREATE FUNCTION pg_temp.steps(intercept text, summands text[]) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN format('DECLARE z float8 := %L; BEGIN z := z + %s; RETURN 1 / (1 + exp(-z)); END',
                  intercept, array_to_string(summands, '; z := z + '));

SELECT string_agg('sum(f' || i || ')', ', ') AS sums, string_agg('f' || i, ', ') FILTER (WHERE i <= 12) AS twelve,
       string_agg('f' || i || ' float8', ', ') FILTER (WHERE i <= 12) AS arguments,
       string_agg('f' || i, ' + ') FILTER (WHERE i <= 12) AS added,
       string_agg('((random() + random() + random() - 1.5) * 2)::float4::float8 AS f' || i, ', ') AS random
  FROM generate_series(1, 20) i \gset
SELECT setseed(0.3) \g /dev/null
CREATE TABLE bench.numbers AS
SELECT (random() < 1 / (1 + exp(-(f1 * 0.8 - f2 * 0.5 + f3 * f3 * 0.3 - 0.6 + f4 * 0.2))))::integer AS won, f.*
  FROM (SELECT :random FROM generate_series(1, :rows)) f;
CREATE TABLE bench.twelve AS SELECT :twelve FROM bench.numbers;
VACUUM ANALYZE bench.numbers, bench.twelve;
SELECT saleshub.logit_train('bench.numbers', 'won', string_to_array(:'twelve', ', ')) AS model \gset
SELECT m ->> 'intercept' AS intercept, pg_temp.by_case(m) AS by_case, pg_temp.by_array(m) AS by_array
  FROM (SELECT :'model'::jsonb AS m) x \gset
SELECT pg_temp.chance(:'intercept', :'by_case') AS sql_case, pg_temp.chance(:'intercept', :'by_array') AS sql_array \gset
SELECT format('CREATE FUNCTION bench.%s(%s) RETURNS float8 LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS %L', name, :'arguments', body)
  FROM (VALUES ('one_case', format('BEGIN RETURN %s; END', :'sql_case')),
               ('one_array', format('BEGIN RETURN %s; END', :'sql_array')),
               ('steps_case', pg_temp.steps(:'intercept', :'by_case')),
               ('steps_array', pg_temp.steps(:'intercept', :'by_array'))) v (name, body) \gexec

-- All say the same.
SELECT format('SELECT 1 / (max(greatest(abs(s - %s), abs(s - %s), abs(s - saleshub.logit_probability(%L, n)),
                   abs(s - bench.one_case(%4$s)), abs(s - bench.one_array(%4$s)),
                   abs(s - bench.steps_case(%4$s)), abs(s - bench.steps_array(%4$s)))) < 1e-12)::integer AS same
                 FROM (SELECT * FROM bench.twelve LIMIT 20000) n, LATERAL saleshub.logit_score(%3$L, %4$s) s',
              :'sql_case', :'sql_array', :'model', :'twelve') AS compare \gset
:compare \g /dev/null

CREATE TEMP TABLE contest (n integer, name text, query text);
INSERT INTO contest VALUES
    (1, 'sums', format('SELECT sum(won), %s FROM bench.numbers', :'sums')),
    (2, 'training', 'SELECT saleshub.logit_train(''bench.numbers'', ''won'')'),
    (3, 'scan', format('SELECT sum(%s) FROM bench.twelve', :'added')),
    (4, 'score', format('SELECT sum(saleshub.logit_score(%L, %s)) FROM bench.twelve', :'model', :'twelve')),
    (5, 'row', format('SELECT sum(saleshub.logit_probability(%L, n)) FROM bench.twelve n', :'model')),
    (6, 'sql_case', format('SELECT sum(%s) FROM bench.twelve', :'sql_case')),
    (7, 'sql_array', format('SELECT sum(%s) FROM bench.twelve', :'sql_array')),
    (8, 'one_case', format('SELECT sum(bench.one_case(%s)) FROM bench.twelve', :'twelve')),
    (9, 'one_array', format('SELECT sum(bench.one_array(%s)) FROM bench.twelve', :'twelve')),
    (10, 'steps_case', format('SELECT sum(bench.steps_case(%s)) FROM bench.twelve', :'twelve')),
    (11, 'steps_array', format('SELECT sum(bench.steps_array(%s)) FROM bench.twelve', :'twelve'));
SELECT format('SELECT pg_temp.run(%L, %L)', c.name, c.query)
  FROM generate_series(1, :turns) turn, contest c ORDER BY turn, c.n \gexec
SELECT 'took', name, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)),
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu))
  FROM took JOIN contest USING (name) GROUP BY n, name ORDER BY n;
