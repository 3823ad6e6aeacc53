-- Quotas and parts in deals: what is whole, what is sold by whom in which currency, before and after, and who sees it.
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
    FROM crm.member m WHERE m.email = who || '@quotas.example';
    IF NOT FOUND THEN RAISE 'nobody is called %', who; END IF;
END;
$$;

SELECT crm.org_create('Quotas', 'ann', 'ann@quotas.example') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'zoe', 'zoe@quotas.example') IS NOT NULL;
INSERT INTO crm.member (org_id, name, email, role)
SELECT :'org', n, n || '@quotas.example', r FROM (VALUES ('rob', 'rep'), ('rea', 'rep'), ('ron', 'rep'), ('max', 'manager')) v (n, r);
SELECT pg_temp.enter('ann');
CREATE FUNCTION pg_temp.id(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT member_id FROM crm.member WHERE org_id = saleshub.org_id() AND name = who
$$;
CREATE FUNCTION pg_temp.deal(name text) RETURNS uuid LANGUAGE sql AS $$
    SELECT d.deal_id FROM crm.deal d WHERE d.org_id = saleshub.org_id() AND d.name = deal.name
$$;
CREATE FUNCTION pg_temp.split(name text, VARIADIC parts text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', s ->> 'member', s ->> 'share'), ', ')
    FROM jsonb_array_elements(crm.deal_splits_put(pg_temp.deal(name), jsonb_build_object('splits', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('member_id', pg_temp.id(split_part(p, ' ', 1)), 'share', split_part(p, ' ', 2)::numeric)), '[]')
        FROM unnest(parts) p WHERE p <> ''))) -> 'splits') s
$$;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own"}}}' WHERE org_id = :'org';
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('EUR', '2020-01-01', 1.25);
INSERT INTO crm.team (name) VALUES ('North') RETURNING team_id AS north \gset
INSERT INTO crm.team (name, parent_id) VALUES ('Oslo', :'north') RETURNING team_id AS oslo \gset
INSERT INTO crm.team_member (team_id, member_id) VALUES (:'north', pg_temp.id('rob')), (:'oslo', pg_temp.id('rea'));

-- rob wins A 600, B 400 with rea; rea wins C 200 EUR, and D in April; E and F are open, F is omitted; ron wins G.
INSERT INTO crm.deal (name, stage_id, amount, currency, owner_id, opened_at, closed_at, close_date, forecast_category)
SELECT v.name, s.stage_id, v.amount, v.currency, pg_temp.id(v.who), '2025-01-01', v.closed, v.due, v.category
FROM (VALUES ('A', 'Won', 600, 'USD', 'rob', '2026-02-01 12:00Z'::timestamptz, NULL::date, NULL), ('B', 'Won', 400, 'USD', 'rob', '2026-03-31 23:30Z', NULL, NULL),
             ('C', 'Won', 200, 'EUR', 'rea', '2026-01-01 00:00Z', NULL, NULL), ('D', 'Won', 500, 'USD', 'rea', '2026-04-01 00:00Z', NULL, NULL),
             ('E', 'Engaging', 300, 'USD', 'rob', NULL, '2026-03-15', NULL), ('F', 'Engaging', 7000, 'USD', 'rob', NULL, '2026-03-15', 'omitted'),
             ('G', 'Won', 999, 'USD', 'ron', '2026-02-01 12:00Z', NULL, NULL), ('H', 'Lost', 999, 'USD', 'rob', '2026-02-01 12:00Z', NULL, NULL)) v (name, stage, amount, currency, who, closed, due, category)
JOIN crm.stage s ON s.org_id = :'org' AND s.name = v.stage;
SET ROLE saleshub_user;

\echo -- parts are whole or none
SELECT pg_temp.split('B', 'rob 50', 'rea 50');
SELECT pg_temp.split('B', 'rob 25', 'rea 75');
SELECT pg_temp.refused($$SELECT pg_temp.split('B', 'rob 25', 'rea 74.9999')$$);
SELECT pg_temp.refused($$SELECT pg_temp.split('B', 'rob 50', 'rob 50')$$);
SELECT pg_temp.refused($$SELECT pg_temp.split('B', 'rob 33.33333', 'rea 66.66667')$$);
SELECT pg_temp.refused($$SELECT pg_temp.split('B', 'rob 0', 'rea 100')$$);
SELECT pg_temp.refused(format('SELECT crm.deal_splits_put(%L, %L)', pg_temp.deal('B'), jsonb_build_object('splits', jsonb_build_array(jsonb_build_object('member_id', :'org', 'share', 100)))));
SELECT pg_temp.refused(format('SELECT crm.deal_splits_put(%L, %L)', :'org', '{"splits": []}'));
SELECT pg_temp.split('A', 'rob 100'), pg_temp.split('A', '');
BEGIN;
INSERT INTO crm.deal_split (deal_id, member_id, share) VALUES (pg_temp.deal('A'), pg_temp.id('rob'), 60);
COMMIT;
BEGIN;
INSERT INTO crm.deal_split (deal_id, member_id, share) VALUES (pg_temp.deal('A'), pg_temp.id('rob'), 60);
INSERT INTO crm.deal_split (deal_id, member_id, share) VALUES (pg_temp.deal('A'), pg_temp.id('rea'), 40);
COMMIT;
SELECT string_agg(s ->> 'share', ' ') FROM jsonb_array_elements(crm.deal_splits_get(pg_temp.deal('A')) -> 'splits') s;
SELECT pg_temp.split('A', '');

\echo -- quotas for periods of the calendar; one for each
CREATE FUNCTION pg_temp.quota(body jsonb) RETURNS text LANGUAGE sql AS $$ SELECT crm.quota_create(body) ->> 'id' $$;
SELECT pg_temp.quota(jsonb_build_object('member_id', pg_temp.id('rob'), 'period_from', '2026-01-01', 'period_to', '2026-04-01', 'amount', '1000')) AS robs \gset
SELECT pg_temp.quota(jsonb_build_object('member_id', pg_temp.id('rea'), 'period_from', '2026-01-01', 'period_to', '2026-04-01', 'amount', '800', 'currency', 'eur')) IS NOT NULL;
SELECT pg_temp.quota(jsonb_build_object('team_id', :'north', 'period_from', '2026-01-01', 'period_to', '2026-04-01', 'amount', '1500')) IS NOT NULL;
SELECT pg_temp.quota(jsonb_build_object('member_id', pg_temp.id('rob'), 'period_from', '2026-01-01', 'period_to', '2027-01-01', 'amount', '4000')) IS NOT NULL;
SELECT pg_temp.refused(format('SELECT pg_temp.quota(%L)', jsonb_build_object('member_id', pg_temp.id('rob'), 'period_from', '2026-01-01', 'period_to', '2026-04-01', 'amount', '1')));
SELECT pg_temp.refused(format('SELECT pg_temp.quota(%L)', jsonb_build_object('member_id', pg_temp.id('rob'), 'team_id', :'org', 'period_from', '2026-01-02', 'period_to', '2026-04-01', 'amount', '0', 'currency', 'ZZZ')));

\echo -- rob 600 + 100 of 1000; rea 300 / 1.25 + 200 of 800 EUR; the team 600 + 400 + 250 of 1500; rob 700 of 4000
CREATE FUNCTION pg_temp.attainment(as_of timestamptz DEFAULT NULL, until date DEFAULT '2027-01-01') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', kind, label, to_char(period_to, 'YYYY-MM-DD'), round(quota, 2), currency, 'deals', deals, 'closed', round(closed, 2), attainment, 'pipeline', round(pipeline, 2), coverage)
    FROM crm.report_attainment('2026-01-01', until, as_of)
$$;
SELECT pg_temp.attainment();
SELECT (a -> 'rows' -> 1) - 2 - 0, a -> 'totals', a -> 'columns' -> 6 FROM crm.report_attainment_get('2026-01-01', '2026-04-01') a;
SELECT clock_timestamp() AS before \gset
SELECT pg_temp.split('B', '');
SELECT crm.quota_update(:'robs', '{"amount": "2000"}') #>> '{amount,amount}';
SELECT crm.deal_stage(pg_temp.deal('E'), jsonb_build_object('stage_id', (SELECT stage_id FROM crm.stage WHERE name = 'Lost'))) ->> 'status';
SELECT pg_temp.attainment(until => '2026-04-01');
SELECT pg_temp.attainment(:'before', '2026-04-01');
SELECT pg_temp.split('B', 'rob 25', 'rea 75');
SELECT crm.quota_delete(:'robs');
SELECT jsonb_array_length(crm.quota_list(sort => '-amount', filters => '[{"field": "period_to", "op": "eq", "value": "2026-04-01"}]') -> 'data');

\echo -- rea sees her own quota, and her part in a deal of rob that she does not see; not that of the team
RESET ROLE;
SELECT pg_temp.enter('rea');
SET ROLE saleshub_user;
SELECT pg_temp.attainment();
SELECT count(*) FROM crm.deal WHERE name = 'B';
SELECT count(*) FROM crm.deal_split;
SELECT pg_temp.refused(format('SELECT pg_temp.quota(%L)', jsonb_build_object('member_id', pg_temp.id('rea'), 'period_from', '2026-04-01', 'period_to', '2026-07-01', 'amount', '1')));
SELECT count(*) FROM crm.change_log WHERE entity IN ('deal_split', 'quota') AND op = 'insert';
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"fields": {"rep": {"deal": {"amount": "hidden"}}}}' WHERE org_id = :'org';
SET ROLE saleshub_user;
SELECT pg_temp.refused('SELECT crm.report_attainment_get()');
\echo -- another organisation: nothing
RESET ROLE;
SELECT pg_temp.enter('zoe');
SET ROLE saleshub_user;
SELECT pg_temp.attainment();
SELECT count(*) FROM crm.quota;
SELECT count(*) FROM crm.deal_split;
