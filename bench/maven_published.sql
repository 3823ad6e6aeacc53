-- The figures of the Maven sales data as they are published: those of the file truth.json, which
-- :truth holds when the folder has it, and those that are printed only.

INSERT INTO maven_figure
SELECT 'published', w.key, coalesce(replace(l.key, 'technolgy', 'technology'), ''), m.key,
       (m.value #>> '{}')::numeric
FROM jsonb_each(:'truth'::jsonb) w
LEFT JOIN LATERAL jsonb_each(CASE WHEN w.key <> 'total' THEN w.value END) l ON true
CROSS JOIN LATERAL jsonb_each(coalesce(l.value, w.value)) m;

INSERT INTO maven_figure
SELECT 'published', f.what, f.label, f.measure, f.value
FROM (
    SELECT 'total' AS what, '' AS label, m.*
    FROM (VALUES ('opps', 8800), ('won', 4238), ('lost', 2473), ('open', 2089), ('win_rate', 0.631501),
        ('revenue', 10005534), ('avg_won', 2360.9094), ('median_won', 1117), ('cyc_won', 51.7820),
        ('median_cycle', 57), ('p90_cycle', 106), ('min_cycle', 1), ('max_cycle', 138),
        ('cyc_lost', 41.4792), ('median_lost_cycle', 14), ('realised', 0.998209)) AS m (measure, value)
    UNION ALL
    SELECT 'quarter', q.label, m.*
    FROM (VALUES ('2017-01-01', 116, 531, 1134672, 0.820711), ('2017-04-01', 778, 1254, 3086111, 0.617126),
                 ('2017-07-01', 790, 1257, 2982255, 0.614069), ('2017-10-01', 789, 1196, 2802496, 0.602519))
         AS q (label, lost, won, revenue, rate)
    CROSS JOIN LATERAL (VALUES ('lost', q.lost), ('won', q.won), ('revenue', q.revenue),
                               ('win_rate', q.rate)) AS m (measure, value)
    UNION ALL
    SELECT p.what, p.label, m.*
    FROM (VALUES
        ('month', '2017-03-01', 531, 1134672), ('month', '2017-04-01', 285, 721932),
        ('month', '2017-05-01', 438, 1025713), ('month', '2017-06-01', 531, 1338466),
        ('month', '2017-07-01', 308, 696932), ('month', '2017-08-01', 446, 1050059),
        ('month', '2017-09-01', 503, 1235264), ('month', '2017-10-01', 279, 731980),
        ('month', '2017-11-01', 406, 938943), ('month', '2017-12-01', 511, 1131573),
        ('quarter from 1 February', '2017-02-01', 816, 1856604),
        ('quarter from 1 February', '2017-05-01', 1277, 3061111),
        ('quarter from 1 February', '2017-08-01', 1228, 3017303),
        ('quarter from 1 February', '2017-11-01', 917, 2070516),
        ('ISO week', '2017-02-27', 82, 165663)) AS p (what, label, won, revenue)
    CROSS JOIN LATERAL (VALUES ('won', p.won), ('revenue', p.revenue)) AS m (measure, value)
    UNION ALL
    SELECT p.what, p.label, m.*
    FROM (VALUES
        ('manager', 'Melvin Marxen', 882, 0.622003, 2251930), ('manager', 'Summer Sewald', 828, 0.643357, 1964750),
        ('manager', 'Rocco Neubert', 691, 0.620845, 1960545), ('manager', 'Celia Rouche', 610, 0.634096, 1603897),
        ('manager', 'Cara Losch', 480, 0.644295, 1130049), ('manager', 'Dustin Brinkmann', 747, 0.629848, 1094363),
        ('regional_office', 'West', 1438, 0.639395, 3568647),
        ('regional_office', 'Central', 1629, 0.625576, 3346293),
        ('regional_office', 'East', 1171, 0.630248, 3090594),
        ('sales_agent', 'Darcel Schlecht', 349, 0.631103, 1153214),
        ('sales_agent', 'Hayden Neloms', 107, 0.703947, 272111),
        ('product_n', 'GTX Pro', 729, 0.635571, 3510578), ('product_n', 'GTX Plus Pro', 479, 0.642953, 2629651),
        ('product_n', 'MG Advanced', 654, 0.603321, 2216387), ('product_n', 'GTX Plus Basic', 653, 0.621313, 705275),
        ('product_n', 'GTX Basic', 915, 0.637187, 499263), ('product_n', 'GTK 500', 15, 0.6, 400612),
        ('product_n', 'MG Special', 793, 0.648406, 43768)) AS p (what, label, won, rate, revenue)
    CROSS JOIN LATERAL (VALUES ('won', p.won), ('win_rate', p.rate), ('revenue', p.revenue))
        AS m (measure, value)
    UNION ALL
    SELECT m.*
    FROM (VALUES
        ('sales_agent', 'Darcel Schlecht', 'opps', 747), ('sales_agent', 'Darcel Schlecht', 'lost', 204),
        ('sales_agent', 'Darcel Schlecht', 'cyc_won', 49.4269), ('sales_agent', 'Hayden Neloms', 'lost', 45),
        ('sales_agent', 'Maureen Marcano', 'won', 149), ('sales_agent', 'Maureen Marcano', 'lost', 64),
        ('sales_agent', 'Maureen Marcano', 'win_rate', 0.699531), ('sales_agent', 'Lajuana Vencill', 'won', 127),
        ('sales_agent', 'Lajuana Vencill', 'lost', 104), ('sales_agent', 'Lajuana Vencill', 'win_rate', 0.549784),
        ('product_n', 'GTX Pro', 'opps', 1480), ('product_n', 'GTX Plus Pro', 'opps', 968),
        ('product_n', 'MG Advanced', 'opps', 1412), ('product_n', 'GTX Plus Basic', 'opps', 1383),
        ('product_n', 'GTX Basic', 'opps', 1866), ('product_n', 'GTK 500', 'opps', 40),
        ('product_n', 'MG Special', 'opps', 1651),
        ('open, product', 'GTX Pro', 'amount', 1605393), ('open, product', 'GTX Plus Pro', 'amount', 1222486),
        ('open, product', 'MG Advanced', 'amount', 1112904), ('open, product', 'GTX Plus Basic', 'amount', 363872),
        ('open, product', 'GTX Basic', 'amount', 236500), ('open, product', 'GTK 500', 'amount', 401520),
        ('open, product', 'MG Special', 'amount', 23540),
        ('open', 'Engaging', 'deals', 1589), ('open', 'Engaging', 'amount', 3892229),
        ('open', 'Prospecting', 'deals', 500), ('open', 'Prospecting', 'amount', 1073986),
        ('open', '', 'weighted', 2053513.10),
        ('velocity', '', 'a day', 60146.894873), ('velocity', 'Engaging', 'a day', 45750.797489),
        ('open engaged', '2017-01-01', 'deals', 368), ('open engaged', '2017-01-01', 'amount', 817670),
        ('open engaged', '2017-04-01', 'deals', 1346), ('open engaged', '2017-04-01', 'amount', 3330294),
        ('open engaged', '2017-07-01', 'deals', 1706), ('open engaged', '2017-07-01', 'amount', 4261235),
        ('open engaged', '2017-10-01', 'deals', 2434), ('open engaged', '2017-10-01', 'amount', 5835655),
        ('open engaged', '2017-12-31', 'deals', 1589), ('open engaged', '2017-12-31', 'amount', 3892229),
        ('account', 'Kan-code', 'revenue', 341455), ('account', 'Konex', 'revenue', 269245),
        ('ultimate parent', 'Acme Corporation', 'revenue', 519349), ('ultimate parent', 'Sonron', 'revenue', 479028),
        ('cohort', '2017-07-01', 'engaged', 1198), ('cohort', '2017-07-01', 'won_30', 283),
        ('cohort', '2017-07-01', 'won_60', 338), ('cohort', '2017-07-01', 'won_90', 409),
        ('cohort', '2017-07-01', 'won', 441), ('cohort', '2017-07-01', 'open', 402))
        AS m (what, label, measure, value)
) AS f (what, label, measure, value)
-- Where the file says it, too, it must say the same: another value fails.
ON CONFLICT (what, label, measure, source) DO UPDATE
SET value = CASE WHEN maven_figure.value = excluded.value THEN excluded.value ELSE 'NaN' END;
