-- Compares the reports of the Maven organisation with the published truth; fails on a difference.
-- Expects the organisation in saleshub.org_id, as maven.sql leaves it.

CREATE TEMP TABLE maven_reported AS
SELECT 'total' AS what, '' AS label, won::text || '/' || lost || ' ' || win_rate || ' ' || revenue || ' ' || avg_won || ' ' || median_won
       || ' ' || avg_cycle_days || ' ' || median_cycle_days || ' ' || p90_cycle_days || ' ' || min_cycle_days || ' ' || max_cycle_days
       || ' ' || avg_lost_cycle_days || ' ' || median_lost_cycle_days AS found,
       '4238/2473 0.631501 10005534.00 2360.9094 1117.0000 51.7820 57.0000 106.0000 1.0000 138.0000 41.4792 14.0000' AS expected
FROM crm.report_sales()
UNION ALL
SELECT 'quarter', period, lost || '/' || won || '/' || revenue || ' ' || win_rate, e
FROM crm.report_sales('2017-01-01 00:00+00', '2018-01-01 00:00+00', 'UTC', 'quarter', fiscal => 'gregorian')
LEFT JOIN (VALUES (1, '116/531/1134672.00 0.820711'), (2, '778/1254/3086111.00 0.617126'), (3, '790/1257/2982255.00 0.614069'),
                  (4, '789/1196/2802496.00 0.602519')) x (n, e) ON n = period_no
UNION ALL
SELECT 'month', period, won || '/' || revenue, e
FROM crm.report_sales('2017-03-01 00:00+00', '2018-01-01 00:00+00', 'UTC', 'month', fiscal => 'gregorian')
LEFT JOIN (VALUES (1, '531/1134672.00'), (2, '285/721932.00'), (3, '438/1025713.00'), (4, '531/1338466.00'), (5, '308/696932.00'),
                  (6, '446/1050059.00'), (7, '503/1235264.00'), (8, '279/731980.00'), (9, '406/938943.00'), (10, '511/1131573.00'))
     x (n, e) ON n = period_no
UNION ALL
SELECT 'fiscal quarter', period, won || '/' || revenue, e
FROM crm.report_sales('2017-02-01 00:00+00', '2018-02-01 00:00+00', 'UTC', 'quarter', fiscal => '2')
LEFT JOIN (VALUES (1, '816/1856604.00'), (2, '1277/3061111.00'), (3, '1228/3017303.00'), (4, '917/2070516.00')) x (n, e) ON n = period_no
UNION ALL
SELECT 'ISO week', period, won || '/' || revenue, '82/165663.00'
FROM crm.report_sales('2017-02-27 00:00+00', '2017-03-06 00:00+00', 'UTC', 'week', fiscal => 'gregorian')
UNION ALL
SELECT g, e.label, r.won || ' ' || r.win_rate || ' ' || r.revenue, e.expected
FROM (VALUES ('manager', 'Melvin Marxen', '882 0.622003 2251930.00'), ('manager', 'Summer Sewald', '828 0.643357 1964750.00'),
             ('manager', 'Rocco Neubert', '691 0.620845 1960545.00'), ('manager', 'Celia Rouche', '610 0.634096 1603897.00'),
             ('manager', 'Cara Losch', '480 0.644295 1130049.00'), ('manager', 'Dustin Brinkmann', '747 0.629848 1094363.00'),
             ('region', 'West', '1438 0.639395 3568647.00'), ('region', 'Central', '1629 0.625576 3346293.00'),
             ('region', 'East', '1171 0.630248 3090594.00'), ('owner', 'Darcel Schlecht', '349 0.631103 1153214.00'),
             ('owner', 'Hayden Neloms', '107 0.703947 272111.00'),
             ('product', 'GTX Pro', '729 0.635571 3510578.00'), ('product', 'GTX Plus Pro', '479 0.642953 2629651.00'),
             ('product', 'MG Advanced', '654 0.603321 2216387.00'), ('product', 'GTX Plus Basic', '653 0.621313 705275.00'),
             ('product', 'GTX Basic', '915 0.637187 499263.00'), ('product', 'GTK 500', '15 0.600000 400612.00'),
             ('product', 'MG Special', '793 0.648406 43768.00')) e (g, label, expected)
LEFT JOIN LATERAL (SELECT * FROM crm.report_sales(group_by => e.g) r WHERE r.label = e.label) r ON true
UNION ALL
SELECT 'account', e.label, r.revenue::text, e.expected
FROM (VALUES ('company', 'Kan-code', '341455.00'), ('company', 'Konex', '269245.00'),
             ('parent_company', 'Acme Corporation', '519349.00'), ('parent_company', 'Sonron', '479028.00')) e (g, label, expected)
LEFT JOIN LATERAL (SELECT * FROM crm.report_sales(group_by => e.g) r WHERE r.label = e.label) r ON true
UNION ALL
SELECT 'velocity', e.label, r.velocity_per_day::text, e.expected
FROM (VALUES (NULL, '', '60146.894873'), ('stage', 'Engaging', '45750.797489')) e (g, label, expected)
LEFT JOIN LATERAL (SELECT * FROM crm.report_velocity('2016-01-01 00:00+00', '2018-01-01 00:00+00', group_by => e.g) r
                   WHERE coalesce(r.label, '') = e.label) r ON true
UNION ALL
SELECT 'open engaged', e.at::text, r.deals || '/' || r.amount, e.expected
FROM (VALUES (timestamptz '2017-01-01 00:00+00', '368/817670.00'), ('2017-04-01 00:00+00', '1346/3330294.00'),
             ('2017-07-01 00:00+00', '1706/4261235.00'), ('2017-10-01 00:00+00', '2434/5835655.00'),
             ('2017-12-31 00:00+00', '1589/3892229.00')) e (at, expected)
LEFT JOIN LATERAL (SELECT * FROM crm.report_pipeline(as_of => e.at, group_by => 'stage') r WHERE r.label = 'Engaging') r ON true
UNION ALL
SELECT 'cohort', period, created || ' ' || (won_within || won || open)::text, '1198 {283,338,409,441,402}'
FROM crm.report_cohort('2017-07-01 00:00+00', '2017-08-01 00:00+00', 'UTC', fiscal => 'gregorian');

SELECT what, count(*) AS figures, count(*) FILTER (WHERE found = expected) AS equal
FROM maven_reported GROUP BY what ORDER BY what;

DO $check$
BEGIN
    IF EXISTS (SELECT FROM maven_reported f WHERE f.expected IS DISTINCT FROM f.found) THEN
        RAISE EXCEPTION 'a report differs from the truth: %',
            (SELECT string_agg(concat_ws(' ', f.what, f.label, f.found), '; ')
             FROM maven_reported f WHERE f.expected IS DISTINCT FROM f.found);
    END IF;
END
$check$;
DROP TABLE maven_reported;
