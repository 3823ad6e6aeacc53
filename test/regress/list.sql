-- Lists: order, pages, filters, cursors, counting.
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

SELECT crm.org_create('Lists', 'Ann', 'ann@lists.example', 'EUR') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;
INSERT INTO crm.deal (name, amount, close_date, product, tags, created_at)
SELECT 'D' || i % 7, CASE WHEN i % 3 <> 0 THEN i % 5 END, CASE WHEN i % 4 <> 0 THEN date '2026-01-01' + i % 6 END,
       CASE WHEN i % 2 = 1 THEN 'P' || i % 3 END, CASE WHEN i % 10 = 0 THEN '{ten,x}' ELSE '{x}' END::text[],
       timestamptz '2026-05-05 00:00Z' - i % 10 * interval '1 day'
FROM generate_series(1, 97) i;

-- pages of any length in any order give every row once, in the order of one long page
CREATE FUNCTION pg_temp.walk(sort text, length integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    page jsonb;
    cursor_ text;
    ids text[] := '{}';
    pages integer := 0;
BEGIN
    LOOP
        page := crm.deal_list(length, cursor_, sort, 'name');
        ids := ids || ARRAY(SELECT jsonb_array_elements(page -> 'data') ->> 'id');
        cursor_ := page ->> 'next_cursor';
        pages := pages + 1;
        EXIT WHEN cursor_ IS NULL OR pages > 200;
    END LOOP;
    IF cardinality(ids) <> 97 OR (SELECT count(DISTINCT i) FROM unnest(ids) i) <> 97
       OR ids <> ARRAY(SELECT jsonb_array_elements(crm.deal_list(200, NULL, sort) -> 'data') ->> 'id')
    THEN
        RETURN format('%s by %s: %s rows in %s pages', sort, length, cardinality(ids), pages);
    END IF;
    RETURN NULL;
END;
$$;
SELECT count(*) AS walks, count(wrong) AS wrong, min(wrong) AS first
FROM unnest(ARRAY['', 'id', '-id', 'name', '-name', 'amount', '-amount', 'close_date,-amount', '-close_date,amount,name',
                  '-product,name,-created_at', '-updated_at', 'product,close_date,amount', '-amount_base,id',
                  'close_date,id,name']) sort,
     unnest(ARRAY[1, 7, 96, 97]) length, pg_temp.walk(sort, length) wrong;
SELECT jsonb_path_query_array(crm.deal_list(200, sort => sort, fields => 'amount'), '$.data[0, 1, last].amount.amount')
FROM unnest(ARRAY['amount', '-amount']) sort;

-- filters
SELECT f ->> 'field', f ->> 'op', f ->> 'value',
       crm.deal_list(1, fields => 'name', filters => jsonb_build_array(f), count_ => true) -> 'total'
FROM unnest(ARRAY[
    '{"field": "amount", "op": "gte", "value": "3"}', '{"field": "amount", "op": "gt", "value": 3}',
    '{"field": "amount", "op": "eq", "value": null}', '{"field": "amount", "op": "ne", "value": "null"}',
    '{"field": "amount", "op": "ne", "value": "4"}', '{"field": "amount", "op": "in", "value": "1,2"}',
    '{"field": "amount_base", "op": "lt", "value": "2.5"}',
    '{"field": "name", "op": "in", "value": "D1,D2"}', '{"field": "name", "op": "eq", "value": "D1,D2"}',
    '{"field": "name", "op": "in", "value": ["D1", "D2"]}', '{"field": "name", "op": "ne", "value": ["D1", "D2"]}',
    '{"field": "name", "value": "D1'' OR true --"}',
    '{"field": "product", "op": "ne", "value": "P1"}', '{"field": "status", "op": "eq", "value": "open,won"}',
    '{"field": "status", "op": "ne", "value": "open,won"}', '{"field": "owner_id", "op": "eq", "value": "null"}',
    '{"field": "close_date", "op": "lte", "value": "2026-01-02"}',
    '{"field": "created_at", "op": "gte", "value": "2026-05-05T00:00:00Z"}',
    '{"field": "created_at", "op": "lt", "value": "2026-05-05"}',
    '{"field": "tags", "op": "eq", "value": "ten"}', '{"field": "tags", "op": "ne", "value": "ten,y"}']::jsonb[]) f;
SELECT crm.deal_list(1, filters => '[{"field": "amount", "op": "gte", "value": "1"}, {"field": "amount", "op": "lt", "value": "3"},
    {"field": "tags", "value": "ten"}]', count_ => true) -> 'total';
SELECT pg_temp.refused(format('SELECT crm.deal_list(filters => %L)', '[{"field": "nope", "value": "1"}, {"field": "amount", "op": "gte", "value": "x"},
    {"field": "status", "op": "lt", "value": "open"}, {"field": "status", "value": "open,odd"}, {"field": "amount", "op": "like", "value": "1"},
    {"field": "owner_id", "value": "we"}, {"field": "close_date", "op": "lt", "value": "2026-02-30"}, {"field": "custom", "value": "1"}]'));

-- cursors belong to their list
SELECT crm.deal_list(5, sort => 'name') ->> 'next_cursor' AS cursor \gset
SELECT jsonb_array_length(crm.deal_list(5, :'cursor', 'name') -> 'data');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    format('SELECT crm.deal_list(5, %L)', :'cursor'),
    format('SELECT crm.deal_list(5, %L, %L)', :'cursor', '-name'),
    format('SELECT crm.deal_list(5, %L, %L, filters => %L)', :'cursor', 'name', '[{"field": "status", "value": "open"}]'),
    format('SELECT crm.lead_list(5, %L)', :'cursor'),
    format('SELECT crm.deal_list(5, %L, %L)', left(:'cursor', -3), 'name'),
    format('SELECT crm.deal_list(5, %L, %L)', saleshub.cursor_encode(saleshub.cursor_decode(:'cursor') || '{"k": ["D1", "x"]}'), 'name'),
    format('SELECT crm.deal_list(5, %L, %L)', saleshub.cursor_encode(saleshub.cursor_decode(:'cursor') || '{"k": {"a": 1}}'), 'name'),
    $$SELECT crm.deal_list(5, 'no cursor!')$$, $$SELECT crm.deal_list(5, '')$$]) s;

-- limits and orders
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    'SELECT crm.deal_list(0)', 'SELECT crm.deal_list(201)', $$SELECT crm.deal_list(sort => 'custom')$$,
    $$SELECT crm.deal_list(sort => 'name,')$$, $$SELECT crm.deal_list(sort => 'name,amount,status,source')$$,
    $$SELECT crm.deal_list(fields => 'name;drop')$$, $$SELECT crm.deal_list(include => 'x')$$]) s;
SELECT jsonb_array_length(crm.deal_list() -> 'data'), jsonb_array_length(crm.deal_list(NULL) -> 'data');
SELECT crm.lead_list(count_ => true), crm.contact_list();

-- a page is read by an index, in the common orders
RESET ROLE;
ANALYZE crm.deal;
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.uses(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
    LOOP
        RETURN QUERY SELECT m[1] FROM regexp_matches(line, 'using (\w+)|\m(Sort)\M') m;
    END LOOP;
END;
$$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT pg_temp.uses($$SELECT deal_id FROM crm.deal t WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL
    AND ROW(t.created_at, t.deal_id) < ROW(now(), crm.uuid_v7()) ORDER BY t.created_at DESC, t.deal_id DESC LIMIT 11$$);
SELECT pg_temp.uses($$SELECT deal_id FROM crm.deal t WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL
    ORDER BY t.amount DESC NULLS LAST, t.deal_id DESC LIMIT 11$$);
RESET ROLE;
