-- Deals: stage and status, opening and closing, money, stage intervals.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
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

CREATE FUNCTION pg_temp.enter(org jsonb, role text DEFAULT 'admin') RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', org ->> 'member_id', false),
           set_config('saleshub.member_role', role, false);
$$;

SELECT crm.org_create('Deals', 'Ann', 'ann@deals.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT pg_temp.enter(:'org');
INSERT INTO crm.pipeline (org_id, name, position) VALUES (saleshub.org_id(), 'Partners', 2)
RETURNING pipeline_id AS partners \gset
INSERT INTO crm.stage (org_id, pipeline_id, name, kind, position, probability)
VALUES (saleshub.org_id(), :'partners', 'Talking', 'open', 1, 30), (saleshub.org_id(), :'partners', 'Signed', 'won', 2, 100);
SET ROLE saleshub_user;
SELECT p ->> 'name', p -> 'is_default', jsonb_path_query_array(p, '$.stages[*].name')
FROM jsonb_array_elements(crm.pipeline_list() -> 'data') p;
CREATE FUNCTION pg_temp.stage(name text) RETURNS uuid LANGUAGE sql AS $$
    SELECT stage_id FROM crm.stage s WHERE s.org_id = saleshub.org_id() AND s.name = $1 $$;
CREATE FUNCTION pg_temp.show(doc jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.name, doc ->> 'status', doc ->> 'probability', doc #>> '{amount,amount}',
                     doc #>> '{amount,currency}', '=', doc #>> '{amount_base,amount}',
                     CASE WHEN doc ->> 'closed_at' = saleshub.utc(now()) THEN 'closed now'
                          ELSE 'closed ' || (doc ->> 'closed_at') END)
    FROM crm.stage s WHERE s.org_id = saleshub.org_id() AND s.stage_id = (doc ->> 'stage_id')::uuid $$;

-- where a new deal stands
SELECT pg_temp.show(crm.deal_create(body)) FROM (VALUES
    ('{"name": "A"}'::jsonb),
    ('{"name": "B", "amount": "1234.5"}'),
    ('{"name": "C", "status": "won", "amount": {"amount": 10, "currency": "EUR"}}'),
    ('{"name": "D", "status": "lost", "probability": 80}'),
    ('{"name": "E", "probability": 33.5}'),
    (jsonb_build_object('name', 'F', 'stage_id', pg_temp.stage('Engaging'))),
    (jsonb_build_object('name', 'G', 'stage_id', pg_temp.stage('Won'))),
    (jsonb_build_object('name', 'H', 'stage_id', pg_temp.stage('Talking'))),
    (jsonb_build_object('name', 'I', 'pipeline_id', :'partners', 'status', 'won'))) AS b (body);
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', body)) FROM (VALUES
    (jsonb_build_object('name', 'A', 'stage_id', pg_temp.stage('Won'), 'status', 'lost')),
    (jsonb_build_object('name', 'A', 'stage_id', pg_temp.stage('Won'), 'pipeline_id', :'partners')),
    (jsonb_build_object('name', 'A', 'pipeline_id', :'partners', 'status', 'lost')),
    (jsonb_build_object('name', 'A', 'stage_id', crm.uuid_v7(), 'company_id', crm.uuid_v7(),
                        'contact_id', crm.uuid_v7(), 'lead_id', crm.uuid_v7(), 'owner_id', crm.uuid_v7())),
    ('{"name": "A", "closed_at": "2026-01-01T00:00:00Z", "amount": -1}'),
    ('{"name": "A", "status": "won", "opened_at": "2026-02-01T00:00:00Z", "closed_at": "2026-01-01T00:00:00Z"}')) AS b (body);

-- the way of a deal
SELECT crm.deal_create('{"name": "Way", "amount": 100}') ->> 'id' AS deal \gset
SELECT pg_temp.show(crm.deal_stage(:'deal', jsonb_build_object('stage_id', pg_temp.stage('Engaging'))));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"probability": 70}'));
SELECT pg_temp.show(crm.deal_stage(:'deal', jsonb_build_object('stage_id', pg_temp.stage('Won'), 'amount', 90,
    'closed_at', '2030-05-05T00:00:00Z')));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"status": "lost", "lost_reason": "late"}'));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"status": "open"}'));
SELECT pg_temp.show(crm.deal_update(:'deal', jsonb_build_object('pipeline_id', :'partners')));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"status": "won"}'));
SELECT pg_temp.refused(format($$SELECT crm.deal_stage(%L, '{"name": "x"}')$$, :'deal'));
SELECT pg_temp.refused(format($$SELECT crm.deal_stage(%L, '{"stage_id": "x"}')$$, :'deal'));
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"closed_at": "2001-01-01T00:00:00Z"}')$$, :'deal'));
SELECT pg_temp.refused(format($$SELECT crm.deal_stage(%L, '{"stage_id": "%s"}', '"1"')$$, :'deal', pg_temp.stage('Won')));

-- its stage intervals join without gap, and one is open
SELECT s.name, h.status, h.amount, h.probability,
       h.entered_at = lag(h.left_at) OVER (ORDER BY h.entered_at, h.stage_history_id) AS joins, h.left_at IS NULL AS now
FROM crm.stage_history h JOIN crm.stage s ON s.org_id = h.org_id AND s.stage_id = h.stage_id
WHERE h.deal_id = :'deal' ORDER BY h.entered_at, h.stage_history_id;
SELECT pg_temp.refused($$INSERT INTO crm.stage_history (deal_id, pipeline_id, stage_id, status, currency, probability, entered_at)
    SELECT deal_id, pipeline_id, stage_id, status, currency, probability, now() FROM crm.deal LIMIT 1$$);
SELECT pg_temp.refused('UPDATE crm.stage_history SET left_at = now()');

-- many at once
INSERT INTO crm.deal (name, amount, opened_at) SELECT 'Bulk ' || n, n, '2026-01-01' FROM generate_series(1, 500) n;
UPDATE crm.deal SET stage_id = pg_temp.stage('Engaging') WHERE name LIKE 'Bulk%';
UPDATE crm.deal SET status = CASE WHEN amount <= 300 THEN 'won' ELSE 'lost' END WHERE name LIKE 'Bulk%';
SELECT s.name, count(*), count(h.left_at), bool_and(h.entered_at = '2026-01-01') AS since_opened
FROM crm.stage_history h JOIN crm.stage s ON s.org_id = h.org_id AND s.stage_id = h.stage_id
JOIN crm.deal d ON d.org_id = h.org_id AND d.deal_id = h.deal_id
WHERE d.name LIKE 'Bulk%' GROUP BY s.position, s.name ORDER BY s.position;

-- deals recorded after the fact
SELECT d -> 'opened_at', d -> 'closed_at' FROM crm.deal_create('{"name": "Past", "status": "won",
    "opened_at": "2016-10-20T00:00:00Z", "closed_at": "2017-03-01T00:00:00Z"}') d;
SELECT d -> 'opened_at', d -> 'closed_at' FROM crm.deal_create('{"name": "Past, unknown beginning", "status": "won",
    "closed_at": "2017-03-01T00:00:00Z"}') d;
SELECT h.status, h.entered_at AT TIME ZONE 'UTC', h.left_at FROM crm.stage_history h
JOIN crm.deal d USING (org_id, deal_id) WHERE d.name = 'Past';

-- money: the rate of the day in the organisation's time zone, frozen at close
SELECT pg_temp.refused($$SELECT crm.deal_create('{"name": "A", "status": "won", "closed_at": "2017-12-31T12:00:00Z", "amount": {"amount": 5, "currency": "USD"}}')$$);
RESET ROLE;
INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'USD', '2017-01-01', 0.9), (saleshub.org_id(), 'USD', '2018-01-01', 0.8);
SET ROLE saleshub_user;
SELECT pg_temp.show(crm.deal_create(format('{"name": "R", "status": "won", "closed_at": "%s", "opened_at": "2016-01-01T00:00:00Z",
    "amount": {"amount": 5, "currency": "usd"}}', at)::jsonb))
FROM unnest(ARRAY['2017-12-31T22:59:59Z', '2017-12-31T23:00:00Z']) at;
SELECT crm.deal_create('{"name": "Open", "amount": {"amount": 100, "currency": "USD"}}') ->> 'id' AS open \gset
SELECT crm.deal_create('{"name": "Shut", "status": "won", "amount": {"amount": 100, "currency": "USD"}}') ->> 'id' AS shut \gset
RESET ROLE;
INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'USD', '2018-06-01', 0.5);
SET ROLE saleshub_user;
SELECT crm.deal_update(id::uuid, '{"product": "other"}') #>> '{amount_base,amount}' FROM unnest(ARRAY[:'open', :'shut']) id;
SELECT crm.deal_update(:'open', '{"amount": 200}') #>> '{amount_base,amount}';
SELECT crm.deal_update(:'open', '{"currency": "EUR"}') -> 'amount_base';
UPDATE crm.deal SET amount_base = 1 WHERE deal_id = :'open';
SELECT amount_base FROM crm.deal WHERE deal_id = :'open';
SELECT pg_temp.refused(format($$UPDATE crm.deal SET currency = 'JPY' WHERE deal_id = %L$$, :'open'));
SELECT pg_temp.refused($$INSERT INTO crm.deal (name, amount) VALUES ('A', 'NaN')$$);
SELECT crm.deal_create(format('{"name": "P", "amount": "%s"}', a)::jsonb) #>> '{amount,amount}'
FROM unnest(ARRAY['1', '1.5', '1.005', '1.500', '0', '999999999999999.99']) a;
RESET ROLE;
