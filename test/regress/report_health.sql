-- Reports of products, losses, time in stages, slips, stale deals and coverage, for a few deals that
-- can be counted by hand.
\set VERBOSITY terse
\set QUIET on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Health', 'Sal', 'sal@health.example', 'EUR', 'UTC') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'Otto', 'otto@health.example', 'USD') ->> 'org_id' AS other \gset
SELECT * FROM crm.report_product();
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context;

-- nothing is zeros, and no row for nobody
SELECT * FROM crm.report_product(group_by => NULL);
SELECT count(*) FROM crm.report_product();
SELECT period, lost, lost_amount FROM crm.report_lost('2026-01-01', '2026-03-01', bucket => 'month', group_by => NULL);
SELECT stage, deals, visits, avg_days FROM crm.report_stage_time();
SELECT deals, slips, amount FROM crm.report_slipped();
SELECT * FROM crm.report_stale(group_by => NULL);
SELECT period, quota, coverage FROM crm.report_coverage('2026-01-01', '2026-07-01', bucket => 'quarter');

INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('USD', '2026-01-01', 0.8);
INSERT INTO crm.member (name, email, role) VALUES ('Ann', 'ann@health.example', 'rep') RETURNING member_id AS ann \gset
INSERT INTO crm.member (name, email, role) VALUES ('Bob', 'bob@health.example', 'rep') RETURNING member_id AS bob \gset
INSERT INTO crm.product (name, price, currency) VALUES ('Bolt', 100, 'EUR'), ('Nut', 50, 'USD'), ('Gift', NULL, 'EUR');
CREATE FUNCTION pg_temp.stage(called text) RETURNS uuid LANGUAGE sql AS
    $$ SELECT stage_id FROM crm.stage WHERE org_id = saleshub.org_id() AND name = called $$;
CREATE FUNCTION pg_temp.deal(called text) RETURNS uuid LANGUAGE sql AS
    $$ SELECT deal_id FROM crm.deal WHERE org_id = saleshub.org_id() AND name = called $$;
CREATE FUNCTION pg_temp.made(body jsonb, owner text, in_stage text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM crm.deal_create(body - '{currency,ends,as,why}'::text[] || jsonb_build_object(
        'amount', jsonb_build_object('amount', body -> 'amount', 'currency', coalesce(body ->> 'currency', 'EUR')),
        'owner_id', owner, 'stage_id', pg_temp.stage(in_stage)));
    IF body ? 'ends' THEN
        PERFORM crm.deal_update(pg_temp.deal(body ->> 'name'), jsonb_strip_nulls(jsonb_build_object(
            'stage_id', pg_temp.stage(body ->> 'as'), 'closed_at', body -> 'ends', 'lost_reason', body -> 'why')));
    END IF;
END
$$;
-- 10, 20 and 4 days in Engaging, 4 and 8 in Prospecting
SELECT pg_temp.made('{"name": "w1", "amount": "90", "product": "bolt", "opened_at": "2026-01-01T00:00:00Z", "ends": "2026-01-11T00:00:00Z", "as": "Won"}', :'ann', 'Engaging');
SELECT pg_temp.made('{"name": "w2", "amount": "1", "opened_at": "2026-01-21T00:00:00Z"}', :'bob', 'Engaging');
SELECT crm.deal_update(pg_temp.deal('w2'), jsonb_build_object('lines', jsonb_build_array(
    jsonb_build_object('product_id', (SELECT p.product_id FROM crm.product p WHERE p.org_id = :'org' AND p.name = 'Bolt'), 'quantity', 2, 'unit_price', '100'),
    jsonb_build_object('product_id', (SELECT p.product_id FROM crm.product p WHERE p.org_id = :'org' AND p.name = 'Nut'), 'unit_price', '30'),
    jsonb_build_object('name', 'Freight', 'unit_price', '10')))) -> 'amount' AS whole;
SELECT crm.deal_update(pg_temp.deal('w2'), jsonb_build_object('stage_id', pg_temp.stage('Won'), 'closed_at', '2026-02-10T00:00:00Z')) ->> 'status' AS w2;
SELECT pg_temp.made('{"name": "l1", "amount": "70", "product": "Nut", "opened_at": "2026-02-01T00:00:00Z", "ends": "2026-02-05T00:00:00Z", "as": "Lost", "why": "price"}', :'ann', 'Prospecting');
SELECT pg_temp.made('{"name": "l2", "amount": "100", "currency": "USD", "opened_at": "2026-02-01T00:00:00Z", "ends": "2026-02-09T00:00:00Z", "as": "Lost", "why": "price"}', :'bob', 'Prospecting');
SELECT pg_temp.made('{"name": "l3", "amount": "5", "product": "Bolt", "opened_at": "2026-03-01T00:00:00Z", "ends": "2026-03-05T00:00:00Z", "as": "Lost"}', :'ann', 'Engaging');

-- by product: w2 is 200 of bolts, 30 of nuts and 10 of what is no product; a nut is listed at 40 EUR
SELECT label, opened, won, lost, win_rate, quantity, revenue, avg_won, list_amount, realised FROM crm.report_product();
SELECT opened, won, lost, win_rate, quantity, revenue, list_amount, realised FROM crm.report_product(group_by => NULL);
SELECT label, opened, won, revenue FROM crm.report_product('2026-01-15', '2026-03-01');
SELECT label, won, revenue, list_amount FROM crm.report_product(currency => 'USD') WHERE won > 0;
SELECT sum(p.revenue) = (SELECT s.revenue FROM crm.report_sales() s) AS parts_are_the_whole FROM crm.report_product() p;

-- why and from where
SELECT label, lost, lost_share, lost_amount, avg_lost, avg_lost_cycle_days, won, loss_rate FROM crm.report_lost();
SELECT label, lost, lost_share, won, loss_rate FROM crm.report_lost(group_by => 'from_stage');
SELECT label, lost, lost_share, won, loss_rate FROM crm.report_lost(group_by => 'owner');
SELECT period, label, lost, lost_share, lost_amount FROM crm.report_lost('2026-02-01', '2026-04-01', bucket => 'month');
SELECT lost, lost_share, lost_amount, won, loss_rate FROM crm.report_lost(group_by => NULL);

-- how long in which stage
SELECT stage, deals, visits, running, avg_days, median_days, p90_days, latest_avg_days FROM crm.report_stage_time();
SELECT label, stage, deals, avg_days FROM crm.report_stage_time('2026-01-15', group_by => 'owner') WHERE deals > 0;
SELECT stage, deals, running, avg_days FROM crm.report_stage_time(as_of => '2026-02-08');

-- open ones: twice the medians are 12 days in Prospecting and 20 in Engaging
BEGIN;
SELECT pg_temp.made(jsonb_build_object('name', 'o1', 'amount', '200', 'opened_at', now() - interval '45 days', 'product', 'Bolt', 'close_date', '2026-03-15'), :'ann', 'Engaging'),
       pg_temp.made(jsonb_build_object('name', 'o2', 'amount', '50', 'opened_at', now() - interval '45 days', 'close_date', '2026-03-31'), :'bob', 'Engaging'),
       pg_temp.made(jsonb_build_object('name', 'o3', 'amount', '10', 'currency', 'USD', 'opened_at', now() - interval '12 days'), :'ann', 'Prospecting');
SELECT crm.activity_create(jsonb_build_object('type', 'call', 'subject', 'Hello', 'done_at', now() - interval '20 days',
    'links', jsonb_build_array(jsonb_build_object('type', 'deal', 'id', pg_temp.deal('o2'))))) IS NOT NULL AS called;
SELECT label, open, amount, stale, stale_amount, stale_rate, avg_idle_days, max_idle_days, limit_days FROM crm.report_stale();
SELECT label, stale, max_idle_days, limit_days FROM crm.report_stale(group_by => 'deal');
SELECT open, amount, stale, stale_amount, stale_rate, limit_days FROM crm.report_stale(group_by => NULL, currency => 'USD');
SELECT stage, deals, running FROM crm.report_stage_time();
SELECT label, open, open_amount, open_list_amount FROM crm.report_product() WHERE open > 0;

-- slips: within March is none, into April and May are two by month and one by quarter
SELECT crm.deal_update(pg_temp.deal('o1'), jsonb_build_object('close_date', day)) ->> 'close_date' AS o1
FROM (VALUES ('2026-03-20'), ('2026-04-02'), ('2026-05-01')) AS d (day);
SELECT crm.deal_update(pg_temp.deal('o2'), '{"close_date": "2026-02-10"}') ->> 'close_date' AS o2;
SELECT crm.deal_update(pg_temp.deal('o3'), '{"close_date": "2026-02-10"}') ->> 'close_date' AS o3;
SELECT deals, slips, pulled_in, amount, avg_slip_days, max_slips, open, won, lost FROM crm.report_slipped();
SELECT deals, slips, pulled_in, avg_slip_days FROM crm.report_slipped(slip_by => 'quarter');
SELECT label, deals, slips, pulled_in, amount FROM crm.report_slipped(group_by => 'deal');
SELECT label, deals, slips FROM crm.report_slipped(group_by => 'owner', currency => 'USD');
SELECT deals, slips FROM crm.report_slipped(to_ => now() - interval '1 day');
SELECT sum(deals), sum(slips) FROM crm.report_slipped(now() - interval '2 days', now() + interval '2 days', bucket => 'day');
COMMIT;
SELECT crm.report_slipped(slip_by => 'decade');

-- quotas: the quarter holds its months; what is missing of it, and what is open for it
SELECT count(crm.quota_create(q)) AS quotas
FROM (VALUES (jsonb_build_object('member_id', :'ann', 'period_from', '2026-01-01', 'period_to', '2026-04-01', 'amount', '300')),
             (jsonb_build_object('member_id', :'ann', 'period_from', '2026-01-01', 'period_to', '2026-02-01', 'amount', '60')),
             (jsonb_build_object('member_id', :'ann', 'period_from', '2026-04-01', 'period_to', '2026-07-01', 'amount', '100')),
             (jsonb_build_object('member_id', :'bob', 'period_from', '2026-01-01', 'period_to', '2026-04-01', 'amount', '100', 'currency', 'USD')))
     AS v (q);
SELECT period, label, quota, closed, attainment, missing, pipeline, coverage
FROM crm.report_coverage('2026-01-01', '2026-07-01', bucket => 'quarter', group_by => 'owner');
SELECT period, quota, closed, missing, pipeline, coverage FROM crm.report_coverage('2026-01-01', '2026-03-01', bucket => 'month');
SELECT quota, closed, missing, pipeline, coverage FROM crm.report_coverage(currency => 'USD');

-- as HTTP has it: the same numbers
SELECT jsonb_path_query_array(d, '$.columns[*].name') AS columns, d -> 'rows' -> 0 AS first, d -> 'totals' -> 'revenue' AS revenue, d -> 'totals' -> 'won' AS won
FROM crm.report_product_get() d;
SELECT d -> 'rows' AS rows, d -> 'totals' -> 'loss_rate' AS loss_rate
FROM crm.report_lost_get('2026-02-01', '2026-03-01', bucket => 'month') d;
SELECT d -> 'totals' AS totals FROM crm.report_stage_time_get() d;
SELECT jsonb_path_query_array(d, '$.rows[*][1, 4, 6]') AS rows FROM crm.report_stale_get() d;
SELECT jsonb_path_query_array(d, '$.rows[*][1, 3]') AS rows, d #> '{totals,slips}' AS slips FROM crm.report_slipped_get(group_by => 'deal', slip_by => 'month') d;
SELECT d -> 'rows' AS rows, d #> '{totals,coverage}' AS coverage FROM crm.report_coverage_get('2026-01-01', '2026-07-01', bucket => 'quarter') d;

-- a rep sees his own; what is hidden, nowhere; another organisation, nothing
UPDATE crm.org SET settings = '{"visibility": {"rep": {"deal": "own"}}, "fields": {"readonly": {"deal": {"amount": "hidden", "lost_reason": "hidden", "close_date": "hidden"}}}}'
WHERE org_id = :'org';
SELECT set_config('saleshub.member_id', :'bob', false) = :'bob' AS bob, set_config('saleshub.member_role', 'rep', false) AS role;
SET ROLE saleshub_user;
SELECT label, opened, won, lost, revenue FROM crm.report_product();
SELECT label, lost, lost_amount FROM crm.report_lost();
SELECT stage, deals, visits, running FROM crm.report_stage_time();
SELECT open, stale FROM crm.report_stale(group_by => NULL);
SELECT deals, slips, pulled_in FROM crm.report_slipped();
SELECT label, quota, closed FROM crm.report_coverage('2026-01-01', '2026-07-01', group_by => 'owner');
RESET ROLE;
SELECT set_config('saleshub.member_role', 'readonly', false) AS role;
SET ROLE saleshub_user;
SELECT label, won, revenue, realised, open_amount FROM crm.report_product();
SELECT lost, lost_amount FROM crm.report_lost(group_by => NULL);
SELECT crm.report_lost();
SELECT crm.report_slipped();
SELECT crm.report_coverage();
SELECT open, amount, stale_amount FROM crm.report_stale(group_by => NULL);
RESET ROLE;
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS other, set_config('saleshub.member_id', '', false) AS nobody,
       set_config('saleshub.member_role', '', false) AS role;
SELECT count(*) FROM crm.report_product();
SELECT won, lost FROM crm.report_lost(group_by => NULL);
SELECT open FROM crm.report_stale(group_by => NULL);
SELECT deals FROM crm.report_slipped();
SELECT sum(visits) FROM crm.report_stage_time();
SELECT quota FROM crm.report_coverage();
