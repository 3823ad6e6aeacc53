-- Deal lines: what they are worth, the sum of a deal, what is refused, and when they are frozen.
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

SELECT crm.org_create('Lines', 'Ann', 'ann@lines.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT crm.org_create('Others', 'Bob', 'bob@others.example', 'EUR', 'Europe/Berlin', 'DE') AS other \gset
SELECT pg_temp.enter(:'org');
INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'USD', '2020-01-01', 0.5);
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.show(doc jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', 'v' || (doc ->> 'version'), doc ->> 'status', doc #>> '{amount,amount}', doc #>> '{amount,currency}', '=',
        doc #>> '{amount_base,amount}', ':', (SELECT string_agg(concat_ws(' ', l ->> 'quantity', 'x', l ->> 'name', 'at',
            l #>> '{unit_price,amount}', '-' || (l ->> 'discount') || '%', '=', l #>> '{amount,amount}'), ', ' ORDER BY n)
            FROM jsonb_array_elements(doc -> 'lines') WITH ORDINALITY AS e (l, n))) $$;
CREATE FUNCTION pg_temp.line(deal uuid, n integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT crm.deal_get(deal) -> 'lines' -> n -> 'id' $$;
SELECT crm.product_create('{"name": "Engine", "price": "1000.10"}') ->> 'id' AS engine,
       crm.product_create('{"name": "Dollar card", "price": {"amount": 3, "currency": "USD"}}') ->> 'id' AS card,
       crm.product_create('{"name": "No price"}') ->> 'id' AS free \gset

-- a new deal with lines: one version, the amount exact, the name and price those of the product
SELECT crm.deal_create(jsonb_build_object('name', 'A', 'lines', jsonb_build_array(
    jsonb_build_object('product_id', :'engine', 'quantity', 3), jsonb_build_object('name', 'Card', 'quantity', '0.3', 'unit_price', '0.05'),
    jsonb_build_object('name', 'Cut', 'unit_price', 100, 'discount', '33.335')))) AS a \gset
SELECT pg_temp.show(:'a');
SELECT jsonb_pretty((:'a'::jsonb #> '{lines,1}') - 'id');
SELECT :'a'::jsonb ->> 'id' AS deal \gset
SELECT :'a'::jsonb = crm.deal_get(:'deal'), crm.deal_get(:'deal', fields => 'name', include => 'lines') -> 'lines' = :'a'::jsonb -> 'lines';
SELECT count(*), bool_and(amount = (:'a'::jsonb #>> '{amount,amount}')::numeric) FROM crm.stage_history WHERE deal_id = :'deal';
SELECT pg_temp.show(crm.deal_create('{"name": "Given and right", "amount": {"amount": "2.5", "currency": "usd"}, "lines": [{"name": "x", "unit_price": 2.5}]}'));
SELECT pg_temp.show(crm.deal_create('{"name": "No lines", "amount": 7, "lines": []}'));

-- the set is replaced; a line with an id stays the same line
SELECT pg_temp.show(crm.deal_update(:'deal', jsonb_build_object('lines', jsonb_build_array(
    jsonb_build_object('name', 'First', 'unit_price', '0.01', 'quantity', '1000000'),
    jsonb_build_object('id', pg_temp.line(:'deal', 0), 'product_id', :'engine', 'unit_price', 900)))));
SELECT pg_temp.line(:'deal', 1) = :'a'::jsonb -> 'lines' -> 0 -> 'id';
SELECT pg_temp.show(crm.deal_update(:'deal', jsonb_build_object('name', 'B', 'lines', (SELECT jsonb_agg(l - 'amount') FROM jsonb_array_elements(crm.deal_get(:'deal') -> 'lines') l)), '2'));
SELECT h ->> 'op', h ->> 'version', h -> 'changed' -> 'amount', h -> 'changed' ? 'deleted_at'
FROM jsonb_array_elements(crm.deal_line_history(:'deal') -> 'data') h WHERE h -> 'changed' ?| ARRAY['amount', 'deleted_at']
ORDER BY 1, 2, 3;
SELECT jsonb_array_length(crm.deal_line_history(:'deal', 2) -> 'data'), crm.deal_line_history(:'deal', 2) ->> 'next_cursor' IS NOT NULL;
-- an amount by hand is refused, another field is not
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"amount": 5}')$$, :'deal'));
SELECT pg_temp.refused($$SELECT crm.deal_create('{"name": "x", "amount": 5, "lines": [{"name": "x", "unit_price": 4}]}')$$);
SELECT pg_temp.refused(format($$UPDATE crm.deal SET amount = 5 WHERE deal_id = %L$$, :'deal'));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"amount": 10900, "source": "fair"}'));
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"lines": []}', '"1"')$$, :'deal'));
-- without lines it is free again
SELECT pg_temp.show(crm.deal_update(:'deal', '{"lines": []}'));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"amount": 5}'));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"currency": "USD", "lines": [{"name": "y", "unit_price": {"amount": "1.5", "currency": "USD"}}]}'));
SELECT pg_temp.show(crm.deal_update(:'deal', '{"amount": 6, "currency": "EUR", "lines": null}'));

-- faults, all at once
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', jsonb_build_object('name', 'x', 'lines', lines))) FROM (VALUES
    (jsonb_build_array('{"quantity": 0}'::jsonb, '{"name": "x", "unit_price": -1, "discount": "100.5"}'::jsonb,
        jsonb_build_object('product_id', :'card'), jsonb_build_object('product_id', :'free'),
        jsonb_build_object('product_id', crm.uuid_v7()), jsonb_build_object('id', crm.uuid_v7(), 'name', 'x', 'unit_price', 1))),
    ('[{"name": "x", "unit_price": "a lot", "price": 1}, 7]'), ('{}'),
    ('[{"name": "x", "unit_price": {"amount": 1, "currency": "USD"}}]'),
    ((SELECT jsonb_agg('{"name": "x", "unit_price": 1}'::jsonb) FROM generate_series(1, 201)))) AS f (lines);
SELECT pg_temp.refused(format('SELECT crm.deal_update(%L, %L)', :'deal', jsonb_build_object('lines', jsonb_build_array(
    jsonb_build_object('id', crm.uuid_v7(), 'name', 'x', 'unit_price', 1)))));

-- plain SQL: the same sums, many deals at once
INSERT INTO crm.deal (name) SELECT 'Bulk ' || n FROM generate_series(1, 50) n;
INSERT INTO crm.deal_line (deal_id, name, quantity, unit_price, position)
SELECT d.deal_id, 'l' || n, n, 0.1, n FROM crm.deal d, generate_series(1, 10) n WHERE d.name LIKE 'Bulk%';
SELECT count(*), min(amount), max(amount) FROM crm.deal WHERE name LIKE 'Bulk%';
UPDATE crm.deal_line SET deleted_at = now() WHERE name = 'l10';
SELECT count(*), min(amount), max(amount) FROM crm.deal WHERE name LIKE 'Bulk%';
SELECT pg_temp.refused($$INSERT INTO crm.deal_line (deal_id, name) SELECT deal_id, ' ' FROM crm.deal WHERE name = 'Bulk 1'$$);
SELECT pg_temp.refused($$UPDATE crm.deal_line SET deal_id = (SELECT deal_id FROM crm.deal WHERE name = 'Bulk 2') WHERE name = 'l1' AND deal_id = (SELECT deal_id FROM crm.deal WHERE name = 'Bulk 1')$$);
SELECT pg_temp.refused(format($$INSERT INTO crm.deal_line (deal_id, name) VALUES (%L, 'x')$$, crm.uuid_v7()));
SELECT count(*) FROM saleshub.rollup_check();

-- the lines of a closed deal are frozen, until it is open again
SELECT crm.deal_create('{"name": "Won", "status": "won", "lines": [{"name": "x", "unit_price": "4.5", "quantity": 2}]}') AS won \gset
SELECT pg_temp.show(:'won');
SELECT :'won'::jsonb ->> 'id' AS won \gset
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"lines": []}')$$, :'won'));
SELECT pg_temp.refused(format($$INSERT INTO crm.deal_line (deal_id, name) VALUES (%L, 'x')$$, :'won'));
SELECT pg_temp.refused(format($$UPDATE crm.deal_line SET quantity = 3 WHERE deal_id = %L$$, :'won'));
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"amount": 8}')$$, :'won'));
SELECT pg_temp.show(crm.deal_update(:'won', '{"source": "fair"}'));
SELECT pg_temp.show(crm.deal_update(:'won', '{"status": "open", "lines": [{"name": "z", "unit_price": 20}]}'));
SELECT pg_temp.show(crm.deal_update(:'won', '{"status": "won", "lines": [{"name": "z", "unit_price": 30}]}'));

-- the bin of the deal, of the product; other organisations
SELECT crm.product_delete(:'engine');
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', jsonb_build_object('name', 'x', 'lines', jsonb_build_array(jsonb_build_object('product_id', :'engine')))));
SELECT crm.deal_delete(:'won');
SELECT pg_temp.show(crm.deal_restore(:'won'));
RESET ROLE;
SELECT count(*) FROM saleshub.rollup_check();
SELECT pg_temp.enter(:'other');
SET ROLE saleshub_user;
SELECT count(*) FROM crm.deal_line;
SELECT pg_temp.refused(format($$SELECT crm.deal_line_history(%L)$$, :'deal'));
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', jsonb_build_object('name', 'x', 'lines', jsonb_build_array(jsonb_build_object('product_id', :'free', 'unit_price', 1)))));
SELECT pg_temp.refused(format($$INSERT INTO crm.deal_line (deal_id, name) VALUES (%L, 'x')$$, :'deal'));
RESET ROLE;

-- visibility: who does not see the deal does not see its lines, their history and events; who may not
-- see the amount may not see the lines, and who may not write it may not write them
SELECT pg_temp.enter(:'org');
INSERT INTO crm.member (name, email, role) VALUES ('Rob', 'rob@lines.example', 'rep') RETURNING member_id AS rob \gset
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own"}}}' WHERE org_id = saleshub.org_id();
SELECT crm.deal_create(jsonb_build_object('name', 'Rob''s', 'owner_id', :'rob', 'lines', jsonb_build_array(
    jsonb_build_object('name', 'mine', 'unit_price', 1)))) ->> 'id' AS robs \gset
SELECT set_config('saleshub.member_id', :'rob', false) = :'rob', set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT count(*), string_agg(name, ',') FROM crm.deal_line;
SELECT count(*), count(DISTINCT entity_id) FROM crm.change_log WHERE entity = 'deal_line';
SELECT pg_temp.refused(format('SELECT crm.deal_line_history(%L)', :'deal'));
SELECT pg_temp.refused(format($$INSERT INTO crm.deal_line (deal_id, name) VALUES (%L, 'x')$$, :'deal'));
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"fields": {"rep": {"deal": {"amount": "read_only"}}}}' WHERE org_id = saleshub.org_id();
SET ROLE saleshub_user;
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"lines": []}')$$, :'robs'));
SELECT pg_temp.refused($$SELECT crm.deal_create('{"name": "x", "lines": [{"name": "x", "unit_price": 1}]}')$$);
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"fields": {"rep": {"deal": {"amount": "hidden"}}}}' WHERE org_id = saleshub.org_id();
SET ROLE saleshub_user;
SELECT d ->> 'name', d ? 'lines', d ? 'amount' FROM crm.deal_get(:'robs') d;
SELECT crm.deal_line_history(:'robs') -> 'data';
RESET ROLE;
