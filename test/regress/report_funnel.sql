-- The funnel: cohorts by stage, jumps and returns, time boxes, groups, the past, and who sees what.
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
    FROM crm.member m WHERE m.email = who || '@funnel.example';
    IF NOT FOUND THEN RAISE 'nobody is called %', who; END IF;
END;
$$;

SELECT crm.org_create('Funnel', 'ann', 'ann@funnel.example') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'zoe', 'zoe@funnel.example') IS NOT NULL;
INSERT INTO crm.member (org_id, name, email, role)
SELECT :'org', n, n || '@funnel.example', 'rep' FROM unnest(ARRAY['rob', 'rea']) n;
SELECT pg_temp.enter('ann');
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own"}}}' WHERE org_id = :'org';
INSERT INTO crm.stage (pipeline_id, name, position, probability)
SELECT pipeline_id, 'Proposal', 3, 70 FROM crm.pipeline WHERE org_id = :'org';
SELECT pipeline_id AS pipeline FROM crm.pipeline WHERE org_id = :'org' \gset
INSERT INTO crm.team (name) VALUES ('North');
INSERT INTO crm.team_member (team_id, member_id)
SELECT t.team_id, m.member_id FROM crm.team t, crm.member m WHERE t.org_id = :'org' AND m.org_id = :'org' AND m.name = 'rob';

-- The histories, by hand. A goes all the way; B jumps; C goes back and forth; D is lost at once; E begins at the second
-- stage; F began before the period; G is in the bin; H is never but won.
CREATE TEMP TABLE step AS
SELECT split_part(s, ' ', 1) AS deal, split_part(s, ' ', 2) AS stage, ('2026-01-01'::date + split_part(s, ' ', 3)::int - 1)::timestamptz AS at
FROM unnest(ARRAY['A Prospecting 1', 'A Engaging 3', 'A Proposal 5', 'A Won 10', 'B Prospecting 2', 'B Proposal 4', 'B Lost 8',
    'C Prospecting 3', 'C Engaging 5', 'C Prospecting 7', 'C Engaging 9', 'D Prospecting 5', 'D Lost 6', 'E Engaging 6', 'E Won 20',
    'F Prospecting -10', 'F Engaging 2', 'G Prospecting 10', 'G Won 11', 'H Won 12']) s;
GRANT SELECT ON step TO saleshub_user;
INSERT INTO crm.deal (name, stage_id, source, product, owner_id, opened_at, deleted_at)
SELECT DISTINCT s.deal, g.stage_id, CASE WHEN s.deal IN ('A', 'B', 'E') THEN 'web' ELSE 'fair' END, 'P' || ascii(s.deal) % 2,
       (SELECT member_id FROM crm.member WHERE org_id = :'org' AND name = CASE WHEN s.deal IN ('A', 'C') THEN 'rob' ELSE 'rea' END), '2025-12-01'::timestamptz,
       CASE s.deal WHEN 'G' THEN now() END
FROM step s
JOIN crm.stage g ON g.org_id = :'org' AND g.name = 'Prospecting';
DELETE FROM crm.stage_history WHERE org_id = :'org';
INSERT INTO crm.stage_history (org_id, deal_id, pipeline_id, stage_id, status, currency, probability, entered_at, left_at, recorded_at)
SELECT d.org_id, d.deal_id, d.pipeline_id, g.stage_id, g.kind, 'USD', g.probability, s.at,
       lead(s.at) OVER (PARTITION BY s.deal ORDER BY s.at), s.at
FROM step s
JOIN crm.deal d ON d.org_id = :'org' AND d.name = s.deal
JOIN crm.stage g ON g.org_id = :'org' AND g.name = s.stage;

CREATE FUNCTION pg_temp.funnel(within_days int DEFAULT NULL, group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', label, stage || ':', entered, '->', advanced, 'won', won, 'lost', lost, 'open', still_open,
                     conversion, win_rate, 'reached', reached, reach_rate)
    FROM crm.report_funnel('2026-01-01', '2026-02-01', within_days => within_days, group_by => group_by, as_of => as_of)
$$;
SET ROLE saleshub_user;
\echo -- entered Prospecting: A B C D; Engaging: A C E F; Proposal: A B. Of the first four A B C reached Engaging, A B Proposal
SELECT pg_temp.funnel();
\echo -- within 5 days: nobody wins from the first two stages; A wins on the fifth day of Proposal
SELECT pg_temp.funnel(5);
\echo -- by owner, by team, by source
SELECT pg_temp.funnel(NULL, 'owner');
SELECT pg_temp.funnel(NULL, 'team');
SELECT pg_temp.funnel(NULL, 'source');
\echo -- as it was on the sixth at noon: nothing won yet, only D lost
SELECT pg_temp.funnel(NULL, NULL, '2026-01-06 12:00Z');
\echo -- a rep sees its own; another organisation nothing
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT pg_temp.funnel();
RESET ROLE;
SELECT pg_temp.enter('zoe');
SET ROLE saleshub_user;
SELECT pg_temp.funnel();
SELECT count(*) FROM crm.report_funnel('2026-01-01', '2026-02-01', :'pipeline');

\echo -- as HTTP gives it: columns, rows, totals; and what is refused
RESET ROLE;
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT jsonb_path_query_array(a, '$.columns[*].name'), a -> 'totals' FROM crm.report_funnel_get('2026-01-01', '2026-02-01', 'UTC', group_by => 'team') a;
SELECT r - 0 FROM jsonb_array_elements(crm.report_funnel_get('2026-01-01', '2026-02-01', 'UTC', within_days => 5) -> 'rows') r;
SELECT r - 2 - 0 FROM jsonb_array_elements(crm.report_funnel_get('2026-01-01', '2026-02-01', 'UTC', group_by => 'source') -> 'rows') r;
SELECT pg_temp.refused($$SELECT crm.report_funnel_get('2026-02-01', 'soon', 'Nowhere', group_by => 'colour', as_of => '2999-01-01')$$);
SELECT pg_temp.refused($$SELECT crm.report_funnel_get('2026-02-01', '2026-01-01')$$);
SELECT pg_temp.refused(format('SELECT crm.report_funnel_get(pipeline_id => %L)', :'org'));
SELECT pg_temp.refused('SELECT crm.report_funnel_get(within_days => 0)');
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT crm.report_funnel_get('2026-01-01', '2026-02-01', 'UTC') -> 'totals';
