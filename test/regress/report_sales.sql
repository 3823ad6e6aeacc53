-- Reports of what was won and lost and of what became of deals, for a few that can be counted by hand.
\set VERBOSITY terse
\set QUIET on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Sales', 'Sal', 'sal@sales.example', 'EUR', 'Europe/Berlin') AS made \gset
SELECT :'made'::jsonb ->> 'org_id' AS org, :'made'::jsonb ->> 'member_id' AS admin \gset
SELECT crm.org_create('Other', 'Otto', 'otto@sales.example', 'USD') ->> 'org_id' AS other \gset
SELECT * FROM crm.report_sales();
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context;
-- nothing is a row of zeros, and no row for nobody
SELECT won, lost, win_rate, revenue, avg_won, median_cycle_days FROM crm.report_sales();
SELECT * FROM crm.report_sales(group_by => 'owner');
SELECT * FROM crm.report_sales(bucket => 'month');

INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('USD', '2026-01-01', 0.9), ('USD', '2026-02-01', 0.8);
SELECT crm.member_create('{"name": "Ann", "email": "ann@sales.example", "role": "rep"}') ->> 'id' AS ann,
       crm.member_create('{"name": "Bob", "email": "bob@sales.example", "role": "rep"}') ->> 'id' AS bob,
       crm.member_create('{"name": "Max", "email": "max@sales.example", "role": "manager"}') ->> 'id' AS max
\gset
INSERT INTO crm.team (name) VALUES ('North') RETURNING team_id AS north \gset
INSERT INTO crm.team (name, parent_id, manager_id) VALUES ('Coast', :'north', :'max') RETURNING team_id AS coast \gset
INSERT INTO crm.team_member (team_id, member_id) VALUES (:'coast', :'ann'), (:'coast', :'max'), (:'north', :'bob');
SELECT crm.company_create('{"name": "Holding", "industry": "steel"}') ->> 'id' AS holding \gset
SELECT crm.company_create(jsonb_build_object('name', 'Mill', 'parent_id', :'holding', 'industry', 'steel', 'country', 'DE')) ->> 'id' AS mill \gset
INSERT INTO crm.deal (name, stage_id, amount, currency, opened_at, closed_at, owner_id, product, company_id)
SELECT d.name, s.stage_id, d.amount, d.currency, d.opened_at, d.closed_at, d.owner::uuid, d.product, d.company::uuid
FROM (VALUES ('w1', 'Won', 1000.00, 'EUR', timestamptz '2026-01-01', timestamptz '2026-01-11', :'ann', 'bolt', :'mill'),
             ('w2', 'Won', 1000.01, 'USD', '2026-01-10', '2026-01-30 12:00', :'ann', 'nut', :'holding'),
             -- March in Berlin, February in Greenwich
             ('w3', 'Won', 500, 'EUR', '2026-02-01', '2026-02-28 23:30', :'bob', 'bolt', NULL),
             ('w4', 'Won', 250, 'USD', '2026-02-01', '2026-03-03', :'bob', NULL, :'mill'),
             ('l1', 'Lost', 800, 'EUR', '2026-01-05', '2026-01-31 22:59', :'ann', 'bolt', NULL),
             ('l2', 'Lost', NULL, 'EUR', '2026-01-05', '2026-03-31 21:59', :'max', 'nut', NULL),
             ('o1', 'Engaging', 200, 'USD', '2026-02-02', NULL, :'ann', 'bolt', NULL),
             ('o2', 'Prospecting', 100, 'EUR', '2026-03-01', NULL, NULL, 'nut', NULL))
     AS d (name, stage, amount, currency, opened_at, closed_at, owner, product, company)
JOIN crm.stage s ON s.org_id = :'org' AND s.name = d.stage;
SELECT * FROM crm.report_sales() \gx
SELECT period, starts, won, lost, win_rate, revenue FROM crm.report_sales('2025-12-31 23:00', '2026-04-30 22:00', bucket => 'month');
SELECT period, won, revenue FROM crm.report_sales(bucket => 'month', tz => 'UTC');
SELECT period, label, won, lost, revenue FROM crm.report_sales(bucket => 'quarter', group_by => 'owner', fiscal => '2');
SELECT label, won, lost, win_rate, win_rate_value, revenue, avg_cycle_days FROM crm.report_sales(group_by => 'team');
SELECT label, won, lost FROM crm.report_sales(group_by => 'manager');
SELECT label, won, lost FROM crm.report_sales(group_by => 'region');
SELECT label, won, lost FROM crm.report_sales(group_by => 'product');
SELECT label, revenue FROM crm.report_sales(group_by => 'company');
SELECT label, revenue FROM crm.report_sales(group_by => 'parent_company');
SELECT label, revenue FROM crm.report_sales(group_by => 'country');
SELECT label, won, revenue FROM crm.report_sales(group_by => 'currency');
SELECT label, won, lost FROM crm.report_sales(group_by => 'stage');
-- another currency, by the rate of the day of closing: 1000 ÷ 0.9 + 1000.01 + 500 ÷ 0.8 + 250
SELECT won, revenue, avg_won, median_won FROM crm.report_sales(currency => 'USD');
-- rates that come later change nothing that is closed
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('USD', '2026-03-03', 0.5);
SELECT revenue FROM crm.report_sales();
SELECT deals, amount, weighted FROM crm.report_pipeline();

-- half a cent goes to the even neighbour
SELECT array_agg(saleshub.money_round(x, 'EUR')) AS euro FROM unnest('{1.005,1.015,1.0150001,-1.005,-1.015,0.004}'::numeric[]) x;
SELECT saleshub.money_round(1.0005, 'KWD') AS dinar;
-- percentiles are those of percentile_cont
SELECT f, saleshub.report_at('{1,2,4,8,16}', f) = percentile_cont(f::float8) WITHIN GROUP (ORDER BY x)::numeric AS same
FROM unnest('{0,0.1,0.5,0.9,1}'::numeric[]) f, unnest('{1,2,4,8,16}'::float8[]) x GROUP BY f ORDER BY f;

-- what is won a day at this pace
SELECT open, win_rate, avg_won, avg_cycle_days, velocity_per_day FROM crm.report_velocity('2026-01-01', '2026-05-01');
SELECT label, open, velocity_per_day FROM crm.report_velocity('2026-01-01', '2026-05-01', group_by => 'stage');
SELECT label, open, win_rate, velocity_per_day FROM crm.report_velocity('2026-01-01', '2026-05-01', group_by => 'owner');

-- what became of those that began
SELECT period, created, won, lost, open, win_rate, open_share, won_within FROM crm.report_cohort(days => '{10,20,21}');
SELECT label, created, won_within FROM crm.report_cohort(bucket => NULL, group_by => 'owner');
SELECT jsonb_pretty(crm.report_cohort_get(bucket => 'quarter', days => '30,7') - 'columns');
SELECT crm.report_cohort_get(days => '7,x');

-- as it was known before
SELECT clock_timestamp() AS before \gset
UPDATE crm.deal SET stage_id = (SELECT s.stage_id FROM crm.stage s WHERE s.org_id = :'org' AND s.name = 'Won'), closed_at = '2026-03-15'
WHERE org_id = :'org' AND name = 'o1';
SELECT crm.deal_delete(d.deal_id) FROM crm.deal d WHERE d.org_id = :'org' AND d.name = 'w1';
SELECT won, revenue FROM crm.report_sales();
SELECT won, revenue FROM crm.report_sales(as_of => :'before');
SELECT created, won FROM crm.report_cohort(bucket => NULL);
SELECT created, won FROM crm.report_cohort(bucket => NULL, as_of => :'before');

-- as HTTP has it: the same numbers
SELECT crm.report_sales_get('2026-01-01', '2026-03-01', bucket => 'month', group_by => 'owner') AS doc \gset
SELECT jsonb_path_query_array(:'doc', '$.columns[*].name') AS columns;
SELECT jsonb_path_query_array(r, '$[0 to 2, 4 to 11]') AS row FROM jsonb_array_elements(:'doc'::jsonb -> 'rows') r;
SELECT jsonb_pretty(:'doc'::jsonb -> 'totals') AS totals;
SELECT crm.report_pipeline_get(group_by => 'owner') -> 'rows' #- '{0,6}' AS pipeline;
SELECT crm.report_velocity_get('2026-01-01', '2026-05-01') -> 'totals' AS velocity;
SELECT crm.report_waterfall_get('2026-01-15', '2026-03-01') -> 'totals' AS waterfall;
\set VERBOSITY default
SELECT crm.report_sales_get('yesterday', '2026-13-01', 'Mars/Olympus', 'hour', 'colour', 'none', 0, 'QQQ', '2999-01-01');
\set VERBOSITY terse

-- a rep sees his own in rows and totals; fields that are hidden, nowhere
UPDATE crm.org SET settings = '{"visibility": {"rep": {"deal": "own"}}, "fields": {"readonly": {"deal": {"amount": "hidden", "product": "hidden"}}}}'
WHERE org_id = :'org';
SELECT set_config('saleshub.member_id', :'bob', false) = :'bob' AS bob, set_config('saleshub.member_role', 'rep', false) AS role;
SET ROLE saleshub_user;
SELECT label, won, lost, revenue FROM crm.report_sales(group_by => 'owner');
SELECT crm.report_sales_get(group_by => 'owner') -> 'totals' -> 'revenue' AS revenue, crm.report_pipeline_get() -> 'totals' -> 'deals' AS open,
       crm.report_cohort_get() -> 'totals' -> 'created' AS created,
       crm.report_waterfall_get('2026-01-15', '2026-02-15') -> 'totals' ->> 'deals_end' AS then_open,
       crm.report_pipeline_get(as_of => '2026-02-15') -> 'totals' ->> 'deals' AS open_then;
SELECT won, revenue FROM crm.report_sales(as_of => :'before');
RESET ROLE;
SELECT set_config('saleshub.member_id', :'max', false) = :'max' AS max, set_config('saleshub.member_role', 'readonly', false) AS role;
SET ROLE saleshub_user;
SELECT won, lost, revenue, avg_won, median_won, win_rate_value FROM crm.report_sales();
SELECT deals, amount, weighted FROM crm.report_pipeline(as_of => :'before');
SELECT crm.report_velocity_get('2026-01-01', '2026-05-01') -> 'totals' AS velocity;
SELECT crm.report_waterfall('2026-01-15');
SELECT crm.report_sales(group_by => 'product');
RESET ROLE;
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS other, set_config('saleshub.member_id', '', false) AS nobody,
       set_config('saleshub.member_role', '', false) AS role;
SELECT won, lost FROM crm.report_sales();
SELECT deals FROM crm.report_pipeline(as_of => '2026-02-15');
