-- Compares the dashboard of the Maven organisation with the published truth; fails on a difference.
-- The documents are :all and, for the year 2017 by quarter, :quarters.

CREATE TEMP TABLE maven_figure AS
WITH doc AS (SELECT :'all'::jsonb AS d, :'quarters'::jsonb AS q)
SELECT f.figure, f.expected::numeric, f.found::numeric
FROM doc
CROSS JOIN LATERAL (VALUES
    ('won', 4238, d #>> '{deals,won}'),
    ('lost', 2473, d #>> '{deals,lost}'),
    ('open', 2089, d #>> '{deals,open}'),
    ('win rate', 0.631501, d #>> '{deals,win_rate}'),
    ('revenue', 10005534, d #>> '{deals,won_amount,amount}'),
    ('mean cycle, days', 51.7820, d #>> '{deals,avg_cycle_days}'),
    -- 2089 × 0.631501 × 10005534/4238 ÷ (219452/4238): with the win rate as it is printed
    ('velocity a day', 60146.894873, d #>> '{deals,velocity_per_day}'),
    ('open at list', 4966215, d #>> '{deals,open_amount,amount}'),
    ('weighted', 2053513.10, d #>> '{deals,weighted_amount,amount}'),
    ('Q1 lost', 116, q #>> '{series,0,lost}'), ('Q1 won', 531, q #>> '{series,0,won}'),
    ('Q1 revenue', 1134672, q #>> '{series,0,won_amount,amount}'),
    ('Q2 lost', 778, q #>> '{series,1,lost}'), ('Q2 won', 1254, q #>> '{series,1,won}'),
    ('Q2 revenue', 3086111, q #>> '{series,1,won_amount,amount}'),
    ('Q3 lost', 790, q #>> '{series,2,lost}'), ('Q3 won', 1257, q #>> '{series,2,won}'),
    ('Q3 revenue', 2982255, q #>> '{series,2,won_amount,amount}'),
    ('Q4 lost', 789, q #>> '{series,3,lost}'), ('Q4 won', 1196, q #>> '{series,3,won}'),
    ('Q4 revenue', 2802496, q #>> '{series,3,won_amount,amount}')
) AS f (figure, expected, found);

SELECT figure, expected, found, expected IS NOT DISTINCT FROM found AS equal FROM maven_figure;

DO $check$
BEGIN
    IF EXISTS (SELECT FROM maven_figure f WHERE f.expected IS DISTINCT FROM f.found) THEN
        RAISE EXCEPTION 'the dashboard differs from the truth';
    END IF;
END
$check$;
DROP TABLE maven_figure;
