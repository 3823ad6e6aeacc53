-- Forecasts: categories of deals, cumulative sums with their interval, adjustments, and how good they were.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;

-- What a statement is refused for: SQLSTATE, message, and pointer or parameter with code of each error.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    errors text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        SELECT string_agg(concat(e ->> 'pointer', e ->> 'parameter', ' ', e ->> 'code'), ', ' ORDER BY e::text)
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

-- Works as the member of that name.
CREATE FUNCTION pg_temp.enter(who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('saleshub.org_id', m.org_id::text, false),
            set_config('saleshub.member_id', m.member_id::text, false),
            set_config('saleshub.member_role', m.role, false)
    FROM crm.member m WHERE m.email = who || '@forecast.example';
    IF NOT FOUND THEN RAISE 'nobody is called %', who; END IF;
END;
$$;

SELECT crm.org_create('Forecast', 'ann', 'ann@forecast.example') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'zoe', 'zoe@forecast.example') IS NOT NULL;
INSERT INTO crm.member (org_id, name, email, role)
SELECT :'org', n, n || '@forecast.example', r FROM (VALUES ('max', 'manager'), ('rob', 'rep'), ('rea', 'rep')) v (n, r);
SELECT pg_temp.enter('ann');
CREATE FUNCTION pg_temp.id(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT member_id FROM crm.member WHERE org_id = saleshub.org_id() AND name = who
$$;
CREATE FUNCTION pg_temp.stage(name text) RETURNS uuid LANGUAGE sql AS $$
    SELECT s.stage_id FROM crm.stage s WHERE s.org_id = saleshub.org_id() AND s.name = stage.name
$$;
CREATE FUNCTION pg_temp.deal(name text) RETURNS uuid LANGUAGE sql AS $$
    SELECT d.deal_id FROM crm.deal d WHERE d.org_id = saleshub.org_id() AND d.name = deal.name
$$;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own"}}}' WHERE org_id = :'org';
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('EUR', '2020-01-01', 1.25);
INSERT INTO crm.stage (pipeline_id, name, position, probability) SELECT pipeline_id, 'Closing', 5, 90 FROM crm.pipeline WHERE org_id = :'org';
SET ROLE saleshub_user;

\echo -- the category follows the probability, the stage, and what is given; what is given goes with the stage
CREATE FUNCTION pg_temp.category(name text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', d ->> 'forecast_category', d ->> 'forecast_category_manual') FROM crm.deal_get(pg_temp.deal(name)) d
$$;
SELECT d ->> 'forecast_category', d ->> 'forecast_category_manual' FROM crm.deal_create('{"name": "A"}') d;
SELECT crm.deal_update(pg_temp.deal('A'), '{"probability": 60}') ->> 'forecast_category';
SELECT crm.deal_update(pg_temp.deal('A'), '{"forecast_category": "commit"}') ->> 'forecast_category';
SELECT crm.deal_update(pg_temp.deal('A'), '{"probability": 10}') ->> 'forecast_category', pg_temp.category('A');
SELECT crm.deal_update(pg_temp.deal('A'), '{"forecast_category": null}') ->> 'forecast_category', pg_temp.category('A');
SELECT crm.deal_update(pg_temp.deal('A'), '{"forecast_category_manual": "omitted"}') ->> 'forecast_category';
SELECT crm.deal_stage(pg_temp.deal('A'), jsonb_build_object('stage_id', pg_temp.stage('Closing'))) ->> 'forecast_category', pg_temp.category('A');
SELECT crm.stage_update(pg_temp.stage('Closing'), '{"forecast_category": "best_case"}') ->> 'forecast_category', pg_temp.category('A');
SELECT crm.stage_update(pg_temp.stage('Closing'), '{"forecast_category": null}') ->> 'forecast_category', pg_temp.category('A');
SELECT crm.deal_stage(pg_temp.deal('A'), jsonb_build_object('stage_id', pg_temp.stage('Won'))) ->> 'forecast_category';
SELECT crm.deal_stage(pg_temp.deal('A'), jsonb_build_object('stage_id', pg_temp.stage('Lost'))) ->> 'forecast_category';
SELECT pg_temp.refused(format($$SELECT crm.deal_create('{"name": "B", "forecast_category": "closed"}')$$));
SELECT pg_temp.refused(format($$SELECT crm.deal_create('{"name": "B", "forecast_category": "sure"}')$$));
SELECT d ->> 'forecast_category', d ->> 'forecast_category_manual' FROM crm.deal_create('{"name": "B", "forecast_category": "best_case"}') d;
SELECT jsonb_array_length(crm.deal_list(filters => '[{"field": "forecast_category", "op": "eq", "value": "best_case"}]') -> 'data');
SELECT h #> '{changed,forecast_category}' FROM jsonb_array_elements(crm.deal_history(pg_temp.deal('A')) -> 'data') h WHERE h #> '{changed,forecast_category}' IS NOT NULL;
UPDATE crm.deal SET deleted_at = now();

-- 2030, first quarter: won 1000; commit 200 at 0.9; best case 100 EUR (125 USD) at 0.5; pipeline 400 at 0.1; omitted 5000;
-- lost 300; in April 700 at 0.5; one without a close date. Rea has the best case.
INSERT INTO crm.deal (name, stage_id, amount, currency, probability, close_date, closed_at, opened_at, forecast_category, owner_id, source)
SELECT v.name, pg_temp.stage(v.stage), v.amount, v.currency, v.p, v.due, v.closed, '2020-01-01', v.category, pg_temp.id(v.who), 'web'
FROM (VALUES ('won', 'Won', 1000, 'USD', NULL::numeric, '2030-06-01'::date, '2030-02-01 12:00Z'::timestamptz, NULL, 'rob'),
             ('commit', 'Closing', 200, 'USD', 90, '2030-01-01', NULL, NULL, 'rob'),
             ('best', 'Engaging', 100, 'EUR', 50, '2030-03-31', NULL, NULL, 'rea'),
             ('pipe', 'Prospecting', 400, 'USD', 10, '2030-02-15', NULL, NULL, 'rob'),
             ('omitted', 'Engaging', 5000, 'USD', 50, '2030-02-15', NULL, 'omitted', 'rob'),
             ('lost', 'Lost', 300, 'USD', NULL, '2030-02-15', '2030-02-02 12:00Z', NULL, 'rob'),
             ('april', 'Engaging', 700, 'USD', 50, '2030-04-01', NULL, NULL, NULL),
             ('undated', 'Engaging', 900, 'USD', 50, NULL, NULL, NULL, 'rob')) v (name, stage, amount, currency, p, due, closed, category, who);

\echo -- 1000, 1200, 1325, 1725; weighted 1000 + 180 + 62.5 + 40; without any but the certain: 0.9 × 0.5 × 0.1 each way
CREATE FUNCTION pg_temp.forecast(bucket text DEFAULT NULL, group_by text DEFAULT NULL, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', period, label, deals, '|', round(closed, 4), round(commit, 4), round(best_case, 4), round(open, 4), '|', round(weighted, 4), '|', round(low, 4), round(high, 4),
                     method, '|', round(adjusted_commit, 2), round(adjusted_best_case, 2))
    FROM crm.report_forecast('2030-01-01', '2030-04-01', 'UTC', bucket, group_by, currency => currency, as_of => as_of)
$$;
SELECT pg_temp.forecast();
SELECT pg_temp.forecast(NULL, NULL, 'EUR');
SELECT pg_temp.forecast('month');
SELECT pg_temp.forecast(NULL, 'owner');
SELECT pg_temp.forecast('month', 'source');
\echo -- the same interval by all eight cases
SELECT min(s) FILTER (WHERE upto >= 0.1), min(s) FILTER (WHERE upto >= 0.9) FROM (
    SELECT s, sum(sum(p)) OVER (ORDER BY s) AS upto FROM (
        SELECT 1000 + a * 200 + b * 125 + c * 400 AS s, (CASE a WHEN 1 THEN 0.9 ELSE 0.1 END) * 0.5 * (CASE c WHEN 1 THEN 0.1 ELSE 0.9 END) AS p
        FROM generate_series(0, 1) a, generate_series(0, 1) b, generate_series(0, 1) c) x GROUP BY s) y;
SELECT clock_timestamp() AS before \gset
SELECT crm.deal_update(pg_temp.deal('pipe'), '{"close_date": "2030-05-01"}') ->> 'close_date';
SELECT crm.deal_stage(pg_temp.deal('best'), jsonb_build_object('stage_id', pg_temp.stage('Lost'))) ->> 'status';
SELECT pg_temp.forecast();
SELECT pg_temp.forecast(as_of => :'before');

\echo -- a manager expects 1500 of rob, then 1300, in place of 1200; of rea 80 EUR; best cases stay
RESET ROLE;
SELECT pg_temp.enter('max');
SET ROLE saleshub_user;
SELECT crm.forecast_adjust(jsonb_build_object('member_id', pg_temp.id('rob'), 'period_from', '2030-01-01', 'period_to', '2030-04-01', 'category', 'commit', 'amount', '1500')) #>> '{amount,amount}';
SELECT crm.forecast_adjust(jsonb_build_object('member_id', pg_temp.id('rob'), 'period_from', '2030-01-01', 'period_to', '2030-04-01', 'category', 'commit', 'amount', 1300, 'note', 'one slips')) - 'id' - 'made_at' - 'member_id' - 'made_by';
SELECT crm.forecast_adjust(jsonb_build_object('member_id', pg_temp.id('rea'), 'period_from', '2030-01-01', 'period_to', '2030-04-01', 'category', 'commit', 'amount', 80, 'currency', 'eur')) -> 'amount';
SELECT pg_temp.forecast(NULL, 'owner');
SELECT pg_temp.forecast();
SELECT pg_temp.forecast('quarter');
SELECT crm.forecast_adjust(jsonb_build_object('member_id', pg_temp.id('rea'), 'period_from', '2030-01-01', 'period_to', '2030-04-01', 'category', 'commit', 'amount', NULL)) -> 'amount';
SELECT pg_temp.forecast();
SELECT jsonb_path_query_array(crm.forecast_adjustment_list(member_id => pg_temp.id('rob')), '$.data[*].amount.amount');
SELECT pg_temp.refused(format($$SELECT crm.forecast_adjust('{"member_id": "%s", "period_from": "2030-01-01", "period_to": "2030-01-01", "category": "commit", "amount": 1, "currency": "ZZZ"}')$$, :'org'));
SELECT pg_temp.refused(format($$SELECT crm.forecast_adjust('{"member_id": "%s", "period_from": "2030-01-01", "period_to": "2030-02-01", "category": "commit", "amount": "-1"}')$$, pg_temp.id('rob')));
SELECT pg_temp.refused($$SELECT crm.forecast_adjust('{"category": "closed"}')$$);

\echo -- a rep sees its own deals and adjustments, and makes none; another organisation nothing
RESET ROLE;
SELECT pg_temp.enter('rea');
SET ROLE saleshub_user;
SELECT pg_temp.forecast();
SELECT crm.report_forecast_get('2030-01-01', '2030-04-01', 'UTC', 'month') -> 'totals' -> 'open';
SELECT jsonb_array_length(crm.forecast_adjustment_list() -> 'data');
SELECT pg_temp.refused(format($$SELECT crm.forecast_adjust('{"member_id": "%s", "period_from": "2030-01-01", "period_to": "2030-02-01", "category": "commit", "amount": 1}')$$, pg_temp.id('rea')));
SELECT pg_temp.refused('SELECT crm.forecast_snapshot_take()');
RESET ROLE;
SELECT pg_temp.enter('zoe');
SET ROLE saleshub_user;
SELECT pg_temp.forecast();

\echo -- as HTTP gives it
RESET ROLE;
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT jsonb_path_query_array(a, '$.columns[*].name'), a -> 'rows' -> 0 FROM crm.report_forecast_get('2030-01-01', '2030-04-01', 'UTC', 'quarter') a;
SELECT crm.report_forecast_get('2030-01-01', '2030-04-01', 'UTC', group_by => 'owner', currency => 'EUR') -> 'totals';
SELECT pg_temp.refused($$SELECT crm.report_forecast_get('2030-04-01', '2030-01-01', group_by => 'colour')$$);

\echo -- from whom the probability of deals is hidden, to them it is not told
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"fields": {"rep": {"deal": {"probability": "hidden"}}}}' WHERE org_id = :'org';
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT crm.report_forecast_get('2030-01-01', '2030-04-01', 'UTC') #> '{rows,0}';
SELECT pg_temp.refused('SELECT crm.report_forecast_accuracy_get()');
RESET ROLE;
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;

\echo -- kept once a day: the whole and each owner, for two months and two quarters
SELECT crm.forecast_snapshot_take() ->> 'taken_on' = to_char(now(), 'YYYY-MM-DD');
SELECT crm.forecast_snapshot_take() ->> 'taken_on' IS NOT NULL;
SELECT bucket, whole, count(*), count(DISTINCT taken_on) FROM crm.forecast_snapshot GROUP BY 1, 2 ORDER BY 1, 2;
RESET ROLE;
SELECT saleshub.forecast_run() > 0;
SELECT saleshub.forecast_run();

-- Two quarters of 2024, told by hand 35 and 10 days before their ends: of rob 100 and 120, then 80 and 100; he won 100 and 80. Of rea 50; she won 40 in the second.
INSERT INTO crm.deal (name, stage_id, amount, owner_id, opened_at, closed_at)
SELECT 'old' || n, pg_temp.stage('Won'), a, pg_temp.id(w), '2020-01-01', c::timestamptz
FROM (VALUES (1, 100, 'rob', '2024-02-01'), (2, 80, 'rob', '2024-05-01'), (3, 40, 'rea', '2024-05-01')) v (n, a, w, c);
INSERT INTO crm.forecast_snapshot (taken_on, bucket, period_from, period_to, member_id, currency, deals, closed, commit, best_case, open, weighted, low, high)
SELECT p.ends - v.days, 'quarter', p.starts, p.ends, pg_temp.id(v.who), 'USD', 1, 0, v.told + 1, 0, 0, v.told, 0, 0
FROM (VALUES (1, '2024-01-01'::date, '2024-04-01'::date), (2, '2024-04-01', '2024-07-01')) p (q, starts, ends)
JOIN (VALUES (1, 35, 'rob', 120), (1, 10, 'rob', 100), (2, 35, 'rob', 100), (2, 10, 'rob', 60), (2, 35, 'rea', 50), (2, 10, 'rea', 50)) v (q, days, who, told) ON v.q = p.q;
SET ROLE saleshub_user;
\echo -- 30 days ahead: 120 for 100 and 150 for 120, hence 1 - (0.2 + 0.25) / 2 and (20 + 30) / 220; 7 days: 100 for 100 and 110 for 120
SELECT * FROM crm.report_forecast_accuracy('2024-01-01', '2024-07-01');
SELECT label, lead_days, periods, forecast, actual, accuracy, bias FROM crm.report_forecast_accuracy('2024-01-01', '2024-07-01', group_by => 'owner') WHERE lead_days = 30;
SELECT crm.report_forecast_accuracy_get('2024-01-01', '2024-07-01', measure => 'commit') -> 'rows' -> 0;
SELECT pg_temp.refused($$SELECT crm.report_forecast_accuracy_get(bucket => 'day', measure => 'hope')$$);
RESET ROLE;
SELECT pg_temp.enter('rea');
SET ROLE saleshub_user;
SELECT periods, forecast, actual, accuracy FROM crm.report_forecast_accuracy('2024-01-01', '2024-07-01') WHERE lead_days = 30;
SELECT count(*) FILTER (WHERE whole), count(*) FILTER (WHERE member_id <> pg_temp.id('rea')) FROM crm.forecast_snapshot;
RESET ROLE;
SELECT pg_temp.enter('zoe');
SET ROLE saleshub_user;
SELECT count(*) FROM crm.report_forecast_accuracy('2024-01-01', '2024-07-01');
