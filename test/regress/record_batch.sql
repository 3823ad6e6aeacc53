-- Batches: a result each, or all or nothing with every fault; a savepoint for each item.
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

SELECT crm.org_create('Batches', 'Ann', 'ann@batches.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.show(answer jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', answer ->> 'succeeded', 'done', answer ->> 'failed', 'failed') UNION ALL
    SELECT concat_ws(' ', r ->> 'status', CASE WHEN r ? 'id' THEN 'id' END, 'v' || (r ->> 'version'), r #>> '{problem,code}',
        (SELECT string_agg(concat(e ->> 'pointer', ' ', e ->> 'code'), ', ' ORDER BY e ->> 'pointer')
         FROM jsonb_array_elements(r #> '{problem,errors}') e))
    FROM jsonb_array_elements(answer -> 'data') r $$;
SELECT crm.lead_create('{"last_name": "Old"}') ->> 'id' AS old, crm.lead_create('{"last_name": "Bin"}') ->> 'id' AS bin \gset

-- each on its own
SELECT pg_temp.show(crm.record_batch('lead', jsonb_build_object('items', jsonb_build_array(
    '{"op": "create", "body": {"last_name": "One"}}'::jsonb,
    '{"op": "create", "body": {"last_name": "Two", "email": "nope", "colour": "red"}}'::jsonb,
    jsonb_build_object('op', 'update', 'id', :'old', 'if_match', '1', 'body', '{"title": "x"}'::jsonb),
    jsonb_build_object('op', 'update', 'id', :'old', 'if_match', 1, 'body', '{"title": "y"}'::jsonb),
    jsonb_build_object('op', 'update', 'id', :'old', 'if_match', '"2"', 'body', '{"status": "sold", "employees": -1}'::jsonb),
    jsonb_build_object('op', 'delete', 'id', :'bin'),
    jsonb_build_object('op', 'delete', 'id', :'bin'),
    jsonb_build_object('op', 'delete', 'id', crm.uuid_v7()),
    '{"op": "delete"}'::jsonb, '{"op": "create"}'::jsonb,
    jsonb_build_object('op', 'update', 'id', :'old'),
    jsonb_build_object('op', 'create', 'id', :'old', 'body', '{"last_name": "x"}'::jsonb)))));
SELECT last_name, title, version, deleted_at IS NOT NULL AS deleted FROM crm.lead WHERE org_id = saleshub.org_id() ORDER BY last_name;
-- what fails leaves nothing: neither history nor events nor rollups
SELECT count(*), count(*) FILTER (WHERE op = 'insert') FROM crm.change_log WHERE org_id = saleshub.org_id() AND entity = 'lead';
SELECT count(*) FROM saleshub.rollup_check();

-- all or nothing, and every fault of every item
SELECT pg_temp.refused(format('SELECT crm.lead_batch(%L)', jsonb_build_object('atomic', true, 'items', jsonb_build_array(
    '{"op": "create", "body": {"last_name": "Three"}}'::jsonb,
    '{"op": "create", "body": {"last_name": "Four", "email": "nope", "employees": -1}}'::jsonb,
    jsonb_build_object('op', 'update', 'id', :'old', 'if_match', '1', 'body', '{"title": "z"}'::jsonb),
    jsonb_build_object('op', 'delete', 'id', :'bin')))));
SELECT count(*) FROM crm.lead WHERE org_id = saleshub.org_id() AND (last_name IN ('Three', 'Four') OR title = 'z');
SELECT pg_temp.show(crm.lead_batch(jsonb_build_object('atomic', true, 'items', jsonb_build_array(
    '{"op": "create", "body": {"last_name": "Three"}}'::jsonb,
    jsonb_build_object('op', 'update', 'id', :'old', 'body', '{"title": "z"}'::jsonb)))));

-- the other nouns, with what belongs to them
SELECT pg_temp.show(crm.product_batch('{"items": [{"op": "create", "body": {"name": "P", "sku": "1"}}, {"op": "create", "body": {"name": "Q", "sku": "1"}}]}'));
SELECT pg_temp.show(crm.deal_batch('{"items": [{"op": "create", "body": {"name": "D", "lines": [{"name": "l", "unit_price": 2}]}},
    {"op": "create", "body": {"name": "E", "amount": 3, "lines": [{"name": "l", "unit_price": 2}]}},
    {"op": "create", "body": {"name": "F", "company_id": "00000000-0000-4000-8000-000000000000", "lines": [{"quantity": -1}]}}]}'));
SELECT pg_temp.show(crm.activity_batch('{"items": [{"op": "create", "body": {"type": "note", "subject": "S", "links": [{"type": "lead", "id": "00000000-0000-4000-8000-000000000000"}]}}]}'));
SELECT pg_temp.show(crm.contact_batch('{"items": [{"op": "create", "body": {"last_name": "C"}}]}')), pg_temp.show(crm.company_batch('{"items": []}'));

-- the batch itself
SELECT pg_temp.refused(format('SELECT crm.record_batch(%L, %L)', noun, body)) FROM (VALUES
    ('stage', '{"items": []}'), (NULL, '{"items": []}'), ('lead', '{}'), ('lead', '{"items": [{"op": "merge"}, {"op": "delete", "id": "x"}], "atomic": 1}'),
    ('lead', jsonb_build_object('items', (SELECT jsonb_agg('{"op": "delete"}'::jsonb) FROM generate_series(1, 1001)))::text)) b (noun, body);
SELECT a -> 'succeeded', a -> 'failed' FROM crm.lead_batch(jsonb_build_object('items', (
    SELECT jsonb_agg(jsonb_build_object('op', 'create', 'body', jsonb_build_object('company_name', 'Company ' || n, 'email', CASE WHEN n % 4 = 0 THEN 'nope' END)))
    FROM generate_series(1, 1000) n))) a;
SELECT count(*) FROM saleshub.rollup_check();
RESET ROLE;
SELECT pg_temp.enter(:'org', 'readonly');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.lead_batch('{"items": []}')$$);
RESET ROLE;
