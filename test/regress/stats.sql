-- Where the sum of amounts lies that come or do not: by hand, against all cases, many of them, and what is refused.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;

-- nothing; what never comes; what is certain; one that may come
SELECT * FROM saleshub.bernoulli_sum_interval('{}', '{}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0, 0}', '{100, 5.5}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{1, 1, 0.5}', '{100.25, 5, 0}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.05, 1}', '{1000, 7.50}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{1000}', 0.8);
-- ten coins: 2 or fewer with 56/1024 = 5.5 %, 3 or fewer with 17.2 %; 7 or fewer with 94.5 %
SELECT * FROM saleshub.bernoulli_sum_interval(array_fill(0.5::float8, '{10}'), array_fill(3.10, '{10}'), 0.8);
-- both ends at a probability that is met exactly: 1/4 and 3/4 of two coins
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5, 0.5}', '{1, 1}', 0.5);

-- against all cases of 12 amounts, 60 times over, at three levels: chances in tenths are exact in numeric
CREATE FUNCTION pg_temp.brute(p numeric[], amount numeric[], q numeric) RETURNS numeric LANGUAGE sql AS $$
    WITH RECURSIVE sum AS (
        SELECT 0 AS i, 0::numeric AS at, 1::numeric AS mass
        UNION ALL
        SELECT s.i + 1, s.at + c.come * amount[s.i + 1],
               s.mass * CASE c.come WHEN 1 THEN p[s.i + 1] ELSE 1 - p[s.i + 1] END
        FROM sum s, (VALUES (0), (1)) AS c (come)
        WHERE s.i < cardinality(p)
    ), point AS (
        SELECT at, sum(sum(mass)) OVER (ORDER BY at) AS upto FROM sum WHERE i = cardinality(p) GROUP BY at)
    SELECT min(at) FROM point WHERE upto >= q
$$;
CREATE TABLE pg_temp.draw AS
SELECT d, array_agg((((d * 7919 + k * 104729) % 11) / 10.0)::numeric(2, 1) ORDER BY k) AS p,
       array_agg((((d * d * 31 + k * k * 517 + k * 89) % 97 + 1) * CASE d % 3 WHEN 0 THEN 1000 WHEN 1 THEN 0.01 ELSE 7.5 END)::numeric
                 ORDER BY k) AS amount
FROM generate_series(1, 60) d, generate_series(1, 12) k
GROUP BY d;
SELECT l.level, count(*), count(*) FILTER (WHERE (i.lower, i.upper, i.error, i.method) = (
           pg_temp.brute(d.p, d.amount, (1 - l.level) / 2), pg_temp.brute(d.p, d.amount, (1 + l.level) / 2), 0, 'exact')) AS same
FROM pg_temp.draw d, (VALUES (0.5), (0.8), (0.98)) AS l (level),
     saleshub.bernoulli_sum_interval(d.p::float8[], d.amount, l.level::float8) i
GROUP BY l.level
ORDER BY l.level;

-- 400 that share their sums, as coins: 187.2 … 212.8 by the normal approximation
SELECT * FROM saleshub.bernoulli_sum_interval(array_fill(0.5::float8, '{400}'), array_fill(1::numeric, '{400}'), 0.8);
-- 24 powers of two, each half: all sums are alike, so the tenths of 2^24 - 1; on the grid off by no more than it says
SELECT i.method, abs(i.lower - 0.1 * (2^24 - 1)::numeric) <= i.error AS lower_holds,
       abs(i.upper - 0.9 * (2^24 - 1)::numeric) <= i.error AS upper_holds, i.error < 2^24 / 500 AS error_small
FROM saleshub.bernoulli_sum_interval(array_fill(0.5::float8, '{24}'),
         ARRAY(SELECT (2 ^ k)::numeric FROM generate_series(0, 23) k), 0.8) i;
-- 20,000 deals of crooked amounts: within a fiftieth of a deviation of the normal approximation (n is large), twice the same
CREATE TABLE pg_temp.many AS
SELECT array_agg(((k * 7919) % 1000) / 1000.0::float8 ORDER BY k) AS p,
       array_agg(((k::bigint * 48271) % 1000003) / 100.0 ORDER BY k) AS amount
FROM generate_series(1, 20000) k;
SELECT i.method, abs(i.lower - (m.mean - 1.2815515655 * m.deviation)) < 0.02 * m.deviation AS lower_near,
       abs(i.upper - (m.mean + 1.2815515655 * m.deviation)) < 0.02 * m.deviation AS upper_near,
       i.error < 0.05 * m.deviation AS error_small,
       (i.*) = (j.*) AS same_again
FROM pg_temp.many d, saleshub.bernoulli_sum_interval(d.p, d.amount, 0.8) i, saleshub.bernoulli_sum_interval(d.p, d.amount, 0.8) j,
     (SELECT sum(u.p * u.a)::numeric AS mean, sqrt(sum(u.p * (1 - u.p) * u.a * u.a))::numeric AS deviation
      FROM pg_temp.many d, unnest(d.p, d.amount) AS u (p, a)) m;
-- one among many that decides: 1 deal of 10 million at one half, 3,000 small ones of 10 in the mean, hence 15,000 more or less
SELECT i.method, abs(i.lower - 14770) <= i.error AS lower_holds, abs(i.upper - 10015230) <= i.error AS upper_holds,
       i.error < 80000 AS error_small
FROM saleshub.bernoulli_sum_interval(array_fill(0.5::float8, '{3000}') || 0.5::float8,
         ARRAY(SELECT 9.5 + (k % 101) / 100.0 FROM generate_series(1, 3000) k) || 10000000.0, 0.8) i;
-- money of fifteen digits, and more decimals than fit beside them
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5, 0.5}', '{999999999999999.99, 0.01}', 0.5);
SELECT lower, upper, error = 0.001 AS rounded, method
FROM saleshub.bernoulli_sum_interval('{0.5, 1}', '{999999999999999.123456789, 0.000000001}', 0.8);

SELECT * FROM saleshub.bernoulli_sum_interval('{NaN}', '{1}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{1.01}', '{1}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{-0.01}', '{1}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{NaN}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{Infinity}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{-1}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{1, 2}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{NULL}', '{1}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{1e300}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{{0.5}}', '{{1}}', 0.8);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{1}', 1);
SELECT * FROM saleshub.bernoulli_sum_interval('{0.5}', '{1}', 'NaN');
SELECT * FROM saleshub.bernoulli_sum_interval(array_fill(0.5::float8, '{100001}'), array_fill(1::numeric, '{100001}'), 0.8);
