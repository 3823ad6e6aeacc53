-- The figures of the Maven sales data as the reports give them, compared with those reckoned from
-- the files and with the published ones; fails on a difference, and where any of them has no other
-- beside it. Expects maven_figure, and the organisation in saleshub.org_id, as maven.sql leaves it.

INSERT INTO maven_figure
SELECT 'report', g.what, coalesce(s.label, ''), m.measure, m.value
FROM (VALUES ('total', NULL), ('sales_agent', 'owner'), ('manager', 'manager'), ('regional_office', 'region'),
             ('product_n', 'product'), ('series', 'source'), ('sector', 'industry')) AS g (what, by)
CROSS JOIN LATERAL crm.report_sales(group_by => g.by) s
LEFT JOIN LATERAL (SELECT c.created FROM crm.report_cohort(bucket => NULL, group_by => g.by) c
                   WHERE c.key IS NOT DISTINCT FROM s.key) c ON true
LEFT JOIN LATERAL (SELECT p.deals FROM crm.report_pipeline(group_by => g.by) p
                   WHERE p.key IS NOT DISTINCT FROM s.key) p ON true
CROSS JOIN LATERAL (VALUES
    ('opps', c.created), ('won', s.won), ('lost', s.lost), ('open', coalesce(p.deals, 0)), ('win_rate', s.win_rate),
    ('revenue', s.revenue), ('avg_won', s.avg_won), ('median_won', s.median_won), ('cyc_won', s.avg_cycle_days),
    ('cyc_lost', s.avg_lost_cycle_days)) AS m (measure, value)
WHERE s.key IS NOT NULL OR g.by IS NULL;

INSERT INTO maven_figure
SELECT 'report', 'total', '', m.measure, m.value
FROM crm.report_sales() s
CROSS JOIN crm.report_product(group_by => NULL) p
CROSS JOIN LATERAL (VALUES
    ('median_cycle', s.median_cycle_days), ('p90_cycle', s.p90_cycle_days), ('min_cycle', s.min_cycle_days),
    ('max_cycle', s.max_cycle_days), ('median_lost_cycle', s.median_lost_cycle_days), ('realised', p.realised))
    AS m (measure, value);

INSERT INTO maven_figure
SELECT 'report', p.what, (s.starts AT TIME ZONE 'UTC')::date::text, m.measure, m.value
FROM (VALUES ('quarter', 'quarter', timestamptz '2017-01-01 00:00+00', 'gregorian'),
             ('month', 'month', '2017-01-01 00:00+00', 'gregorian'),
             ('ISO week', 'week', '2016-12-26 00:00+00', 'gregorian'),
             ('quarter from 1 February', 'quarter', '2017-02-01 00:00+00', '2')) AS p (what, bucket, first, fiscal)
CROSS JOIN LATERAL crm.report_sales(p.first, p.first + interval '53 weeks', 'UTC', p.bucket, fiscal => p.fiscal) s
CROSS JOIN LATERAL (VALUES ('won', s.won), ('lost', s.lost), ('revenue', s.revenue), ('win_rate', s.win_rate))
    AS m (measure, value)
WHERE s.won + s.lost > 0;

INSERT INTO maven_figure
SELECT 'report', 'open', coalesce(p.label, ''), m.measure, m.value
FROM (VALUES (NULL), ('stage')) AS g (by)
CROSS JOIN LATERAL crm.report_pipeline(group_by => g.by) p
CROSS JOIN LATERAL (VALUES ('deals', p.deals), ('amount', p.amount), ('weighted', p.weighted)) AS m (measure, value)
UNION ALL
SELECT 'report', 'open, product', p.label, 'amount', CASE p.open_amount WHEN p.open_list_amount THEN p.open_amount END
FROM crm.report_product() p
UNION ALL
SELECT 'report', 'open engaged', d.day::text, m.measure, m.value
FROM unnest('{2017-01-01,2017-04-01,2017-07-01,2017-10-01,2017-12-31}'::date[]) AS d (day)
CROSS JOIN LATERAL crm.report_pipeline(as_of => d.day::timestamp AT TIME ZONE 'UTC', group_by => 'stage') p
CROSS JOIN LATERAL (VALUES ('deals', p.deals), ('amount', p.amount)) AS m (measure, value)
WHERE p.label = 'Engaging'
UNION ALL
SELECT 'report', 'velocity', coalesce(v.label, ''), 'a day', v.velocity_per_day
FROM (VALUES (NULL), ('stage')) AS g (by)
CROSS JOIN LATERAL crm.report_velocity('2016-01-01 00:00+00', '2018-01-01 00:00+00', group_by => g.by) v
UNION ALL
SELECT 'report', g.what, s.label, 'revenue', s.revenue
FROM (VALUES ('account', 'company'), ('ultimate parent', 'parent_company')) AS g (what, by)
CROSS JOIN LATERAL crm.report_sales(group_by => g.by) s
WHERE s.key IS NOT NULL
UNION ALL
SELECT 'report', 'cohort', (c.starts AT TIME ZONE 'UTC')::date::text, m.measure, m.value
FROM crm.report_cohort('2016-10-01 00:00+00', '2017-12-31 00:00+00', 'UTC', fiscal => 'gregorian') c
CROSS JOIN LATERAL (VALUES
    ('engaged', c.created), ('won_30', c.won_within[1]), ('won_60', c.won_within[2]), ('won_90', c.won_within[3]),
    ('won', c.won), ('open', c.open)) AS m (measure, value)
WHERE c.created > 0;

CREATE TEMP VIEW maven_compared AS
SELECT coalesce(r.what, o.what) AS what, coalesce(r.label, o.label) AS label,
       coalesce(r.measure, o.measure) AS measure, o.source, r.value AS found, o.value AS expected,
       coalesce(r.value = o.value, false) AS equal
FROM (SELECT * FROM maven_figure f WHERE f.source = 'report') r
FULL JOIN (SELECT * FROM maven_figure f WHERE f.source <> 'report') o USING (what, label, measure);

SELECT c.what, count(*) FILTER (WHERE c.source = 'csv') AS "from files",
       count(*) FILTER (WHERE c.source = 'csv' AND c.equal) AS equal,
       count(*) FILTER (WHERE c.source = 'published') AS published,
       count(*) FILTER (WHERE c.source = 'published' AND c.equal) AS equal
FROM maven_compared c
GROUP BY ROLLUP (c.what)
ORDER BY c.what;

DO $check$
BEGIN
    IF EXISTS (SELECT FROM maven_compared c WHERE NOT c.equal) THEN
        RAISE EXCEPTION 'a report differs from the truth: %',
            (SELECT string_agg(concat_ws(' ', c.what, c.label, c.measure, c.found, 'is not', c.expected, c.source), '; ')
             FROM (SELECT * FROM maven_compared c WHERE NOT c.equal ORDER BY c.what, c.label, c.measure LIMIT 20) c);
    END IF;
END
$check$;
DROP VIEW maven_compared;
DROP TABLE maven_figure, maven_row;
