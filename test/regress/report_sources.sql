-- Where customers come from: touches, six ways to share out a deal, costs; and what merges, conversions and erasure do to them.
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
    FROM crm.member m WHERE m.email = who || '@sources.example';
    IF NOT FOUND THEN RAISE 'nobody is called %', who; END IF;
END;
$$;

SELECT crm.org_create('Sources', 'ann', 'ann@sources.example') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'zoe', 'zoe@sources.example') IS NOT NULL;
UPDATE crm.routing_pool SET active = false WHERE org_id = :'org';
INSERT INTO crm.member (org_id, name, email, role) SELECT :'org', n, n || '@sources.example', 'rep' FROM unnest(ARRAY['rob', 'rea']) n;
SELECT pg_temp.enter('ann');
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own", "lead": "own", "contact": "own", "company": "own"}}}' WHERE org_id = :'org';
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('EUR', '2020-01-01', 1.25);
CREATE FUNCTION pg_temp.id(noun text, name text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    id uuid;
BEGIN
    EXECUTE format('SELECT %1$I_id FROM crm.%1$I WHERE org_id = saleshub.org_id() AND %2$I = $1', noun,
                   CASE WHEN noun IN ('lead', 'contact') THEN 'last_name' ELSE 'name' END) INTO id USING name;
    RETURN id;
END
$$;
CREATE FUNCTION pg_temp.touch(source text, campaign text, day int, noun text, name text) RETURNS uuid LANGUAGE sql AS $$
    SELECT (crm.touch_create(jsonb_build_object('source', source, 'campaign', campaign, 'at', saleshub.utc('2026-01-01 00:00Z'::timestamptz + day * interval '1 day'),
        'links', jsonb_build_array(jsonb_build_object('type', noun, 'id', pg_temp.id(noun, name))))) ->> 'id')::uuid
$$;
-- X, 100 USD: its lead came by web on day 0; a fair on day 2 (lead), mail on day 5 (contact), the deal began on day 6, search on
-- day 8 (deal); won on day 10. Y, 10 USD, has no lead but a source, and two fairs. Z, 80 EUR cents and a bit, came from nowhere.
INSERT INTO crm.lead (last_name, email, source, created_at, owner_id) VALUES ('L', 'l@x.example', 'web', '2026-01-01 00:00Z', pg_temp.id('member', 'rob')),
    ('M', 'm@x.example', 'fair', '2026-01-02 00:00Z', pg_temp.id('member', 'rea')), ('N', NULL, NULL, '2026-01-03', NULL), ('O', NULL, 'web', '2026-02-03', NULL);
INSERT INTO crm.contact (last_name, email, owner_id) VALUES ('C', 'l@x.example', pg_temp.id('member', 'rob'));
INSERT INTO crm.deal (name, stage_id, amount, currency, source, lead_id, contact_id, owner_id, opened_at, closed_at)
SELECT v.name, s.stage_id, v.amount, v.currency, v.source, pg_temp.id('lead', v.lead), pg_temp.id('contact', v.contact), pg_temp.id('member', v.who), v.opened, v.closed
FROM (VALUES ('X', 100, 'USD', 'web', 'L', 'C', 'rob', '2026-01-07 00:00Z'::timestamptz, '2026-01-11 00:00Z'::timestamptz),
             ('Y', 10, 'USD', 'web', NULL, NULL, 'rea', '2026-01-02 00:00Z', '2026-01-09 00:00Z'),
             ('Z', 0.80, 'EUR', NULL, NULL, NULL, NULL, '2026-01-02 00:00Z', '2026-01-09 00:00Z'),
             ('late', 999, 'USD', 'web', NULL, NULL, NULL, '2026-01-02 00:00Z', '2026-02-09 00:00Z')) v (name, amount, currency, source, lead, contact, who, opened, closed)
JOIN crm.stage s ON s.org_id = :'org' AND s.name = 'Won';
SET ROLE saleshub_user;
SELECT count(pg_temp.touch(t.source, t.campaign, t.day, t.noun, t.name)) FROM (VALUES ('fair', 'spring', 2, 'lead', 'L'), ('mail', NULL, 5, 'contact', 'C'),
    ('search', NULL, 8, 'deal', 'X'), ('search', NULL, 11, 'deal', 'X'), ('fair', NULL, 2, 'deal', 'Y'), ('fair', 'spring', 3, 'deal', 'Y')) t (source, campaign, day, noun, name);

\echo -- X: first web, last search, linear 25 each, u 40 10 10 40, w 60 5 30 5, decay by 2^(-10/7), 2^(-8/7), 2^(-5/7), 2^(-2/7)
SELECT m.model, string_agg(concat_ws(' ', c.source, c.credit), ', ' ORDER BY c.source), sum(c.credit)
FROM unnest(saleshub.credit_models()) WITH ORDINALITY m (model, n), saleshub.win_credits('2026-01-01', '2026-02-01', m.model, 'USD', NULL) c
WHERE c.deal_id = pg_temp.id('deal', 'X') GROUP BY m.model, m.n ORDER BY m.n;
\echo -- Y: 10 among three, by largest remainder
SELECT source, campaign, credit FROM saleshub.win_credits('2026-01-01', '2026-02-01', 'linear', 'USD', NULL) WHERE deal_id = pg_temp.id('deal', 'Y') ORDER BY credit DESC, campaign;
\echo -- all: 111.00 by every model
SELECT m.model, string_agg(concat_ws(' ', coalesce(r.source, '-'), r.revenue), ', ' ORDER BY r.source), sum(r.revenue)
FROM unnest(saleshub.credit_models()) WITH ORDINALITY m (model, n), crm.report_sources('2026-01-01', '2026-02-01', 'UTC', m.model) r
GROUP BY m.model, m.n ORDER BY m.n;

\echo -- costs: 310 of web for January, hence 100 for ten days; 80 EUR of the campaign on one day
SELECT crm.source_cost_create('{"source": " web ", "period_from": "2026-01-01", "period_to": "2026-02-01", "amount": "310"}') - '{id,created_at,updated_at,created_by,updated_by}'::text[];
SELECT crm.source_cost_create('{"source": "fair", "campaign": "spring", "period_from": "2026-01-03", "period_to": "2026-01-04", "amount": {"amount": "80", "currency": "EUR"}}') ->> 'id' AS cost \gset
CREATE FUNCTION pg_temp.sources(from_ timestamptz, to_ timestamptz, campaigns boolean DEFAULT false, as_of timestamptz DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', coalesce(source, '-'), campaign, 'leads', leads, converted, conversion_rate, 'deals', deals, 'revenue', revenue, 'cost', round(cost, 2), 'roi', roi)
    FROM crm.report_sources(from_, to_, 'UTC', 'linear', campaigns, as_of => as_of)
$$;
SELECT pg_temp.sources('2026-01-01', '2026-02-01');
SELECT pg_temp.sources('2026-01-01', '2026-01-11', true);
SELECT jsonb_path_query_array(a, '$.columns[*].name'), a -> 'rows' -> 0, a -> 'totals' FROM crm.report_sources_get('2026-01-01', '2026-02-01', 'UTC', 'first', currency => 'EUR') a;
SELECT crm.source_cost_update(:'cost', '{"amount": {"amount": "160.00", "currency": "EUR"}}', '1') -> 'amount';
SELECT jsonb_path_query_array(crm.source_cost_list(sort => 'source', filters => '[{"field": "source", "op": "in", "value": ["web", "fair"]}]'), '$.data[*].source');
SELECT crm.source_cost_delete(:'cost');
SELECT pg_temp.refused(format('SELECT crm.source_cost_get(%L)', :'cost'));
SELECT pg_temp.refused($$SELECT crm.source_cost_create('{"source": " ", "period_from": "2026-01-01", "period_to": "2026-01-01", "amount": "-1", "currency": "ZZZ"}')$$);
SELECT pg_temp.refused($$SELECT crm.report_sources_get(model => 'best', group_by => 'owner', currency => 'ZZZ')$$);
SELECT pg_temp.refused($$SELECT crm.report_sources_get(model => 'best')$$);
SELECT pg_temp.refused($$SELECT crm.touch_create('{"source": " ", "at": "2999-01-01T00:00:00Z", "links": [{"type": "lead", "id": "00000000-0000-0000-0000-000000000000"}]}')$$);
SELECT pg_temp.refused($$SELECT crm.touch_create('{"source": "web", "links": [{"type": "lead", "id": "00000000-0000-0000-0000-000000000000"}]}')$$);
SELECT pg_temp.refused($$SELECT crm.touch_create('{"source": "web", "links": []}')$$);
SELECT pg_temp.refused($$SELECT crm.touch_delete('00000000-0000-0000-0000-000000000000')$$);

\echo -- M is merged into L: its fair of day 1 is then a touch of X, until the merge is undone
SELECT clock_timestamp() AS before \gset
SELECT crm.lead_merge(pg_temp.id('lead', 'L'), jsonb_build_object('losers', jsonb_build_array(pg_temp.id('lead', 'M')))) ->> 'merge_id' AS merge \gset
SELECT string_agg(concat_ws(' ', source, credit), ', ' ORDER BY source) FROM saleshub.win_credits('2026-01-01', '2026-02-01', 'linear', 'USD', NULL) WHERE deal_id = pg_temp.id('deal', 'X');
SELECT pg_temp.sources('2026-01-01', '2026-02-01') LIMIT 1;
SELECT crm.merge_undo(:'merge') -> 'conflicts';
SELECT string_agg(concat_ws(' ', source, credit), ', ' ORDER BY source) FROM saleshub.win_credits('2026-01-01', '2026-02-01', 'linear', 'USD', NULL) WHERE deal_id = pg_temp.id('deal', 'X');
\echo -- touches noted about a loser move with it
SELECT pg_temp.touch('mail', 'may', 3, 'lead', 'M') AS touch \gset
SELECT crm.lead_merge(pg_temp.id('lead', 'L'), jsonb_build_object('losers', jsonb_build_array(pg_temp.id('lead', 'M')))) ->> 'merge_id' AS merge \gset
SELECT jsonb_path_query_array(crm.touch_list('lead', pg_temp.id('lead', 'L')), '$.data[*].campaign');
SELECT crm.merge_undo(:'merge') -> 'conflicts';
SELECT jsonb_path_query_array(crm.touch_list('lead', pg_temp.id('lead', 'L')), '$.data[*].campaign'), jsonb_path_query_array(crm.touch_list('lead', pg_temp.id('lead', 'M')), '$.data[*].campaign');

\echo -- converting M carries its touch; undoing takes that back, and the deal goes
SELECT c ->> 'conversion_id' AS conversion, c #>> '{deal,id}' AS deal FROM crm.lead_convert(pg_temp.id('lead', 'M'), '{"deal": {"name": "of M"}, "company": {"mode": "skip"}}') c \gset
SELECT string_agg(l ->> 'type', ' ' ORDER BY l ->> 'type') FROM jsonb_array_elements(crm.touch_list('deal', :'deal') #> '{data,0,links}') l;
SELECT pg_temp.sources('2026-01-01', '2026-02-01') LIMIT 1;
SELECT jsonb_array_length(u -> 'kept'), jsonb_array_length(u -> 'conflicts') FROM crm.conversion_undo(:'conversion') u;
SELECT string_agg(l ->> 'type', ' ' ORDER BY l ->> 'type') FROM jsonb_array_elements(crm.touch_list('lead', pg_temp.id('lead', 'M')) #> '{data,0,links}') l;
SELECT pg_temp.sources('2026-01-01', '2026-02-01') LIMIT 1;

\echo -- before all that
SELECT pg_temp.sources('2026-01-01', '2026-02-01', as_of => :'before');
SELECT pg_temp.sources('2026-01-01', '2026-02-01', as_of => '2026-01-05');

\echo -- rob sees what came of his own deal, and no cost; another organisation nothing
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT pg_temp.sources('2026-01-01', '2026-02-01');
SELECT crm.report_sources_get('2026-01-01', '2026-02-01', 'UTC') -> 'totals';
SELECT pg_temp.refused($$SELECT crm.source_cost_create('{"source": "web", "period_from": "2026-01-01", "period_to": "2026-02-01", "amount": "1"}')$$);
SELECT count(*) FROM crm.touch;
SELECT pg_temp.refused(format('SELECT crm.touch_delete(%L)', :'touch'));
RESET ROLE;
SELECT pg_temp.enter('zoe');
SET ROLE saleshub_user;
SELECT pg_temp.sources('2026-01-01', '2026-02-01');
SELECT count(*) FROM crm.touch;

\echo -- what is handed out about a person has its touches; erased, they are about the deal only, or gone
RESET ROLE;
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT crm.touch_create(jsonb_build_object('source', 'both', 'at', '2026-01-04T00:00:00Z', 'links', jsonb_build_array(
    jsonb_build_object('type', 'lead', 'id', pg_temp.id('lead', 'L')), jsonb_build_object('type', 'deal', 'id', pg_temp.id('deal', 'X'))))) ->> 'source';
SELECT jsonb_path_query_array(crm.subject_export('l@x.example'), '$.touches[*].source');
SELECT crm.subject_erase('{"email": "l@x.example"}') ->> 'erasure_id' IS NOT NULL;
SELECT t.source, string_agg(l.entity, ' ') FROM crm.touch t JOIN crm.touch_link l USING (org_id, touch_id) GROUP BY t.touch_id, t.source ORDER BY t.source, 2;
SELECT sum(revenue) FROM crm.report_sources('2026-01-01', '2026-02-01', 'UTC');
