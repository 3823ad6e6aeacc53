-- The figures of the Maven sales data, reckoned by plain SQL from the rows of its files and by
-- nothing of the product: what the reports are compared with. Expects maven_account, maven_product,
-- maven_deal and maven_team as temporary tables of text; leaves maven_figure.

CREATE TEMP TABLE maven_figure (
    source text, what text, label text, measure text, value numeric,
    PRIMARY KEY (what, label, measure, source));

CREATE TEMP TABLE maven_row AS
SELECT d.opportunity_id, d.sales_agent, t.manager, t.regional_office, p.product, p.series,
       a.account, coalesce(nullif(a.subsidiary_of, ''), a.account) AS parent,
       replace(a.sector, 'technolgy', 'technology') AS sector, d.deal_stage AS stage,
       nullif(d.engage_date, '')::date AS engaged, nullif(d.close_date, '')::date AS closed,
       p.sales_price::numeric AS price,
       CASE d.deal_stage WHEN 'Won' THEN d.close_value::numeric WHEN 'Lost' THEN 0
            ELSE p.sales_price::numeric END AS value
FROM maven_deal d
JOIN maven_team t ON t.sales_agent = d.sales_agent
JOIN maven_product p ON p.product = replace(d.product, 'GTXPro', 'GTX Pro')
LEFT JOIN maven_account a ON a.account = d.account;

-- All ten measures, of everything and of each part of it. Means are rounded half to even.
INSERT INTO maven_figure
SELECT 'csv', s.what, s.label, m.measure, m.value
FROM (
    SELECT d.what, d.label, count(*) AS opps, count(*) FILTER (WHERE r.stage = 'Won') AS won,
           count(*) FILTER (WHERE r.stage = 'Lost') AS lost,
           count(*) FILTER (WHERE r.closed IS NULL) AS open,
           sum(r.value) FILTER (WHERE r.stage = 'Won') AS revenue,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.value) FILTER (WHERE r.stage = 'Won') AS median,
           avg(r.closed - r.engaged) FILTER (WHERE r.stage = 'Won') AS cycle,
           avg(r.closed - r.engaged) FILTER (WHERE r.stage = 'Lost') AS lost_cycle
    FROM maven_row r
    CROSS JOIN LATERAL (VALUES
        ('total', ''), ('sales_agent', r.sales_agent), ('manager', r.manager),
        ('regional_office', r.regional_office), ('product_n', r.product), ('series', r.series),
        ('sector', r.sector)) AS d (what, label)
    WHERE d.label IS NOT NULL
    GROUP BY d.what, d.label) s
CROSS JOIN LATERAL (VALUES
    ('opps', s.opps), ('won', s.won), ('lost', s.lost), ('open', s.open),
    ('win_rate', round(s.won::numeric / (s.won + s.lost), 6)), ('revenue', s.revenue),
    ('avg_won', (round((s.revenue / s.won * 10000)::float8) / 10000)::numeric),
    ('median_won', round(s.median::numeric, 4)),
    ('cyc_won', (round((s.cycle * 10000)::float8) / 10000)::numeric),
    ('cyc_lost', (round((s.lost_cycle * 10000)::float8) / 10000)::numeric)) AS m (measure, value);

INSERT INTO maven_figure
SELECT 'csv', 'total', '', m.measure, m.value
FROM (
    SELECT percentile_cont('{0.5,0.9}'::float8[]) WITHIN GROUP (ORDER BY r.closed - r.engaged)
               FILTER (WHERE r.stage = 'Won') AS won,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.closed - r.engaged)
               FILTER (WHERE r.stage = 'Lost') AS lost,
           min(r.closed - r.engaged) FILTER (WHERE r.stage = 'Won') AS least,
           max(r.closed - r.engaged) FILTER (WHERE r.stage = 'Won') AS most,
           sum(r.value) FILTER (WHERE r.stage = 'Won')
               / sum(r.price) FILTER (WHERE r.stage = 'Won') AS realised
    FROM maven_row r) s
CROSS JOIN LATERAL (VALUES
    ('median_cycle', s.won[1]::numeric), ('p90_cycle', s.won[2]::numeric), ('min_cycle', s.least),
    ('max_cycle', s.most), ('median_lost_cycle', s.lost::numeric),
    ('realised', round(s.realised, 6))) AS m (measure, value);

-- Periods, by when deals closed.
INSERT INTO maven_figure
SELECT 'csv', p.what, p.label, m.measure, m.value
FROM (
    SELECT d.what, d.label, count(*) FILTER (WHERE r.stage = 'Won') AS won,
           count(*) FILTER (WHERE r.stage = 'Lost') AS lost,
           sum(r.value) FILTER (WHERE r.stage = 'Won') AS revenue
    FROM maven_row r
    CROSS JOIN LATERAL (VALUES
        ('quarter', date_trunc('quarter', r.closed)::date::text),
        ('month', date_trunc('month', r.closed)::date::text),
        ('ISO week', date_trunc('week', r.closed)::date::text),
        ('quarter from 1 February',
         (date_trunc('quarter', r.closed - interval '1 month') + interval '1 month')::date::text))
        AS d (what, label)
    WHERE r.closed IS NOT NULL
    GROUP BY d.what, d.label) p
CROSS JOIN LATERAL (VALUES
    ('won', p.won), ('lost', p.lost), ('revenue', coalesce(p.revenue, 0)),
    ('win_rate', round(p.won::numeric / (p.won + p.lost), 6))) AS m (measure, value);

-- What is open, and what was on days of the past: engaged up to the day, and not closed by then.
INSERT INTO maven_figure
SELECT 'csv', 'open', s.stage, m.measure, m.value
FROM (SELECT coalesce(r.stage, '') AS stage, count(*) AS deals, sum(r.price) AS amount,
             sum(r.price * CASE r.stage WHEN 'Engaging' THEN 0.5 ELSE 0.1 END) AS weighted
      FROM maven_row r
      WHERE r.closed IS NULL
      GROUP BY ROLLUP (r.stage)) s
CROSS JOIN LATERAL (VALUES ('deals', s.deals), ('amount', s.amount), ('weighted', s.weighted))
    AS m (measure, value)
UNION ALL
SELECT 'csv', 'open, product', r.product, 'amount', sum(r.price)
FROM maven_row r
WHERE r.closed IS NULL
GROUP BY r.product
UNION ALL
SELECT 'csv', 'open engaged', d.day::text, m.measure, m.value
FROM unnest('{2017-01-01,2017-04-01,2017-07-01,2017-10-01,2017-12-31}'::date[]) AS d (day)
CROSS JOIN LATERAL (
    SELECT count(*) AS deals, sum(r.price) AS amount
    FROM maven_row r
    WHERE r.engaged <= d.day AND (r.closed IS NULL OR r.closed > d.day)) s
CROSS JOIN LATERAL (VALUES ('deals', s.deals), ('amount', s.amount)) AS m (measure, value);

-- The win rate of velocity is the one that is printed, with six places.
INSERT INTO maven_figure
SELECT 'csv', 'velocity', o.stage, 'a day',
       round(o.n * round(w.won::numeric / w.n, 6) * w.revenue / w.days, 6)
FROM (SELECT count(*) FILTER (WHERE r.stage = 'Won') AS won, count(*) AS n,
             sum(r.value) FILTER (WHERE r.stage = 'Won') AS revenue,
             sum(r.closed - r.engaged) FILTER (WHERE r.stage = 'Won') AS days
      FROM maven_row r WHERE r.closed IS NOT NULL) w,
     (SELECT coalesce(r.stage, '') AS stage, count(*) AS n
      FROM maven_row r WHERE r.closed IS NULL GROUP BY ROLLUP (r.stage)) o;

INSERT INTO maven_figure
SELECT 'csv', d.what, d.label, 'revenue', sum(r.value) FILTER (WHERE r.stage = 'Won')
FROM maven_row r
CROSS JOIN LATERAL (VALUES ('account', r.account), ('ultimate parent', r.parent)) AS d (what, label)
WHERE d.label IS NOT NULL
GROUP BY d.what, d.label;

-- Cohorts, by the month of engaging.
INSERT INTO maven_figure
SELECT 'csv', 'cohort', c.month::text, m.measure, m.value
FROM (SELECT date_trunc('month', r.engaged)::date AS month, count(*) AS engaged,
             count(*) FILTER (WHERE r.stage = 'Won' AND r.closed - r.engaged <= 30) AS won_30,
             count(*) FILTER (WHERE r.stage = 'Won' AND r.closed - r.engaged <= 60) AS won_60,
             count(*) FILTER (WHERE r.stage = 'Won' AND r.closed - r.engaged <= 90) AS won_90,
             count(*) FILTER (WHERE r.stage = 'Won') AS won,
             count(*) FILTER (WHERE r.closed IS NULL) AS open
      FROM maven_row r
      WHERE r.engaged IS NOT NULL
      GROUP BY 1) c
CROSS JOIN LATERAL (VALUES
    ('engaged', c.engaged), ('won_30', c.won_30), ('won_60', c.won_60), ('won_90', c.won_90),
    ('won', c.won), ('open', c.open)) AS m (measure, value);
