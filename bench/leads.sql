\set QUIET on
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE TEMP TABLE raw (
    id text, number integer, origin text, source text, no_email text, no_call text,
    converted integer, visits float8, seconds float8, pages float8, last_activity text,
    country text, specialization text, heard text, occupation text, matters text, search text,
    magazine text, article text, forums text, newspaper text, digital text, recommended text,
    updates text, tags text, quality text, supply text, dm text, profile text, city text,
    activity_index text, profile_index text, activity_score float8, profile_score float8,
    cheque text, free_copy text, last_notable text, rest text
) ON COMMIT DROP;
\copy raw FROM '@FILE@' WITH (FORMAT csv, HEADER)
-- Select is what the form shows before anything was chosen.
CREATE TEMP TABLE seen ON COMMIT DROP AS
SELECT r.number, r.converted, r.origin, r.source, r.no_email, r.no_call, r.visits, r.seconds,
       r.pages, r.last_activity, r.country, nullif(r.specialization, 'Select') AS specialization,
       nullif(r.heard, 'Select') AS heard, r.occupation, r.matters, r.search, r.magazine,
       r.article, r.forums, r.newspaper, r.digital, r.recommended, r.updates, r.supply, r.dm,
       nullif(r.city, 'Select') AS city, r.cheque, r.free_copy
FROM raw r;
CREATE TEMP TABLE known ON COMMIT DROP AS SELECT * FROM seen WHERE number % 5 <> 0;
ALTER TABLE known DROP COLUMN number;
SELECT clock_timestamp() AS began \gset
SELECT saleshub.logit_train('known', 'converted') AS model \gset
SELECT extract(milliseconds FROM clock_timestamp() - :'began'::timestamptz)::integer AS took \gset
WITH told AS (
    SELECT s.converted AS won, saleshub.logit_probability(:'model', s) AS p
    FROM seen s WHERE s.number % 5 = 0
), placed AS (
    -- the middle of the ranks of equal ones
    SELECT won, p, rank() OVER (ORDER BY p) + (count(*) OVER (PARTITION BY p) - 1) / 2.0 AS place,
           ntile(10) OVER (ORDER BY p) AS bin
    FROM told
), bins AS (
    SELECT count(*) AS n, abs(avg(p) - avg(won)) AS off FROM placed GROUP BY bin
), counted AS (
    SELECT count(*) AS n, sum(won) AS won FROM told
)
SELECT c.n,
       (sum(p.place) FILTER (WHERE p.won = 1) - c.won * (c.won + 1) / 2.0) / (c.won * (c.n - c.won)),
       avg(-ln(CASE p.won WHEN 1 THEN p.p ELSE 1 - p.p END)), avg((p.p - p.won) ^ 2),
       (SELECT sum(off * n) / sum(n) FROM bins), :took
FROM placed p, counted c
GROUP BY c.n, c.won;
ROLLBACK;
