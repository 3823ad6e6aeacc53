-- What the dashboard says, for a few rows that can be counted by hand.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Dash', 'Dora', 'dora@dash.example', 'EUR', 'Europe/Berlin') AS made \gset
SELECT :'made'::jsonb ->> 'org_id' AS org, :'made'::jsonb ->> 'member_id' AS member \gset
SELECT crm.org_create('Other', 'Otto', 'otto@other.example', 'USD') ->> 'org_id' AS other \gset

-- without an organisation there is nothing to show
SELECT crm.dashboard();
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context;
SELECT jsonb_pretty(crm.dashboard() - 'as_of_seq') AS empty;
SELECT crm.dashboard() ->> 'as_of_seq' ~ '^[0-9a-z]+-\d+$' AS has_a_position;

INSERT INTO crm.lead (last_name, source, created_at)
VALUES ('a', 'web', '2025-12-31 22:59'), ('b', 'web', '2025-12-31 23:00'),
       ('c', 'web', '2026-01-15 12:00'), ('d', NULL, '2026-03-29 00:30');
SELECT set_config('saleshub.converting', 'on', false) AS converting;
UPDATE crm.lead SET status = 'converted', converted_at = '2026-02-01 10:00'
WHERE org_id = :'org' AND last_name = 'c';
SELECT set_config('saleshub.converting', 'off', false) AS converting;
INSERT INTO crm.deal (name, stage_id, status, probability, amount, currency, opened_at, closed_at)
SELECT d.name, s.stage_id, s.kind, d.probability, d.amount, 'EUR', d.opened_at, d.closed_at
FROM (VALUES ('w1', 'Won', NULL, 1000.005, timestamptz '2026-01-01', timestamptz '2026-01-11'),
             ('w2', 'Won', NULL, 500, '2026-01-20', '2026-02-14 12:00'),
             ('l1', 'Lost', NULL, 70, '2026-01-01', '2026-02-28 22:59'),
             ('l2', 'Lost', NULL, 70, '2026-01-01', '2026-02-28 23:00'),
             ('o1', 'Engaging', NULL, 200, '2026-01-01', NULL),
             ('o2', 'Prospecting', 33.5, 100, '2026-01-01', NULL))
     AS d (name, stage, probability, amount, opened_at, closed_at)
JOIN crm.stage s ON s.org_id = :'org' AND s.name = d.stage;
INSERT INTO crm.activity (type, subject, created_at, done_at)
VALUES ('call', 'x', '2026-01-05 09:00', '2026-01-05 10:00'), ('call', 'y', '2026-02-05', NULL),
       ('note', 'z', '2026-02-05', '2026-03-05');

SELECT jsonb_pretty(crm.dashboard() - 'as_of_seq') AS everything;

-- bounds are half open; the period restricts all but the open deals
SELECT d -> 'leads' AS leads, d #> '{deals,won}' AS won, d #> '{deals,lost}' AS lost,
       d #> '{deals,open}' AS open, d #> '{activities,done}' AS done
FROM crm.dashboard('2025-12-31 23:00+00', '2026-02-28 23:00+00') AS d;
SELECT d #> '{deals,won}' AS won, d #> '{deals,win_rate}' AS win_rate,
       d #> '{deals,avg_cycle_days}' AS cycle, d #> '{deals,velocity_per_day}' AS velocity
FROM crm.dashboard('2026-03-01 00:00+00') AS d;

-- buckets begin at midnight of the zone, on Monday; empty ones are there
SELECT p ->> 'bucket' AS day, p ->> 'from' AS "from", p ->> 'leads_new' AS leads
FROM jsonb_array_elements(
    crm.dashboard('2026-03-28 23:00+00', '2026-03-31 22:00+00', NULL, 'day') -> 'series') AS p;
SELECT p ->> 'bucket' AS week, p ->> 'from' AS "from", p ->> 'won' AS won
FROM jsonb_array_elements(
    crm.dashboard('2026-01-08 00:00+00', '2026-01-20 00:00+00', 'UTC', 'week') -> 'series') AS p;
SELECT p ->> 'bucket' AS quarter, p ->> 'leads_new' AS leads, p ->> 'lost' AS lost
FROM jsonb_array_elements(crm.dashboard(tz => 'Asia/Kathmandu', bucket => 'quarter') -> 'series')
     AS p;
SELECT p ->> 'bucket' AS month, p ->> 'from' AS "from", p ->> 'lost' AS lost
FROM jsonb_array_elements(
    crm.dashboard_get('2026-02-01', '2026-04-01', 'Asia/Kathmandu') -> 'series') AS p;
SELECT crm.dashboard_get('2026-02-01T00:00:00+01:00', '2026-03-01') - 'as_of_seq'
       = crm.dashboard('2026-01-31 23:00+00', '2026-02-28 23:00+00') - 'as_of_seq' AS same_period;

SELECT crm.dashboard_get('', '', '') - 'as_of_seq' = crm.dashboard() - 'as_of_seq' AS empty_is_none;

-- what changes shows in the same transaction, and is gone with it
BEGIN;
UPDATE crm.deal SET status = 'won', closed_at = '2026-04-02'
WHERE org_id = :'org' AND name = 'o1';
UPDATE crm.deal SET deleted_at = now() WHERE org_id = :'org' AND name = 'o2';
SELECT d #> '{deals,won}' AS won, d #> '{deals,open}' AS open, d #> '{deals,open_amount}' AS amount
FROM crm.dashboard() AS d;
ROLLBACK;
SELECT d #> '{deals,won}' AS won, d #> '{deals,open}' AS open FROM crm.dashboard() AS d;

-- a sum is rounded once, half to even
SELECT a AS sum, saleshub.dashboard_money(a, 'EUR') ->> 'amount' AS shown,
       saleshub.dashboard_money(a, 'KWD') ->> 'amount' AS in_dinar
FROM (VALUES (0), (1.005), (1.015), (1.0150001), (-1.005), (-1.015), (1e12 + 0.125)) AS v (a);

-- members see their own organisation only
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS elsewhere;
SET ROLE saleshub_user;
SELECT crm.dashboard() #> '{deals,won}' AS won, crm.dashboard() #> '{leads,new}' AS leads,
       crm.dashboard() #>> '{deals,won_amount,currency}' AS currency;
SELECT count(*) AS rollups_of_others FROM saleshub.rollup;
RESET ROLE;
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context,
       set_config('saleshub.member_id', :'member', false) = :'member' AS as_member,
       set_config('saleshub.member_role', 'readonly', false) AS role;
SET ROLE saleshub_user;
SELECT crm.dashboard() #> '{deals,won}' AS won;
UPDATE saleshub.rollup SET n = n + 1;
RESET ROLE;

-- all faults at once, with the names of the parameters
CREATE FUNCTION pg_temp.faults(call text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
    detail text;
BEGIN
    EXECUTE 'SELECT ' || call INTO answer;
    RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY
    SELECT concat_ws(' ', SQLSTATE, e ->> 'parameter', e ->> 'code')
    FROM jsonb_array_elements(detail::jsonb -> 'errors') AS e;
END
$$;
SELECT pg_temp.faults($$ crm.dashboard('2026-01-01 00:07+00', '2025-01-01', 'UTC+2', 'hour') $$);
SELECT pg_temp.faults($$ crm.dashboard('-infinity', 'infinity', '+02:00') $$);
SELECT pg_temp.faults($$ crm.dashboard('2026-01-01', '2026-01-01', 'Mars/Base', NULL) $$);
SELECT pg_temp.faults($$ crm.dashboard('2020-01-01', '2026-01-01', bucket => 'day') $$);
SELECT pg_temp.faults($$ crm.dashboard_get('yesterday', '2026-02-30', 'Nowhere', 'year') $$);
SELECT pg_temp.faults($$ crm.dashboard_get('2026-01-01T00:00:00', '2026-01-01T00:10:00Z') $$);
SELECT pg_temp.faults($$ crm.dashboard('2023-06-01', '2026-01-01', bucket => 'day') $$);
