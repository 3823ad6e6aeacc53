-- Products: their normal form, the sku that no two of them share, what is wrong with them.
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

SELECT crm.org_create('Others', 'Bob', 'bob@others.example') AS other \gset
SELECT crm.org_create('Products', 'Ann', 'ann@products.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;

-- every field is there, in its normal form
SELECT jsonb_pretty(crm.product_create('{"name": "  Punched cards ", "sku": " PC-1 ", "price": "0.125", "tags": ["paper", "paper"]}')
    - ARRAY['id', 'created_at', 'updated_at', 'created_by', 'updated_by']);
SELECT crm.product_create('{"name": "Difference engine", "sku": "DE-2", "price": {"amount": "17470.5", "currency": "gbp"}}') ->> 'id' AS engine \gset
SELECT p -> 'price', p -> 'currency', p -> 'active', p -> 'version'
FROM crm.product_update(:'engine', '{"price": 20000, "active": false, "custom": {"wheels": 25000}}') p;
SELECT p -> 'price', p -> 'active', p -> 'custom' FROM crm.product_update(:'engine', '{"currency": null, "active": null}') p;

-- a sku belongs to one living product of the organisation
SELECT pg_temp.refused($$SELECT crm.product_create('{"name": "Other", "sku": "pc-1"}')$$);
SELECT pg_temp.refused(format($$SELECT crm.product_update(%L, '{"sku": "Pc-1"}')$$, :'engine'));
SELECT crm.product_delete(:'engine');
SELECT crm.product_create('{"name": "Second engine", "sku": "de-2"}') -> 'version';
SELECT pg_temp.refused(format($$SELECT crm.product_restore(%L)$$, :'engine'));
SELECT crm.product_create('{"name": "No sku"}') -> 'sku', crm.product_create('{"name": "None either", "sku": " "}') -> 'sku';

-- faults, all at once
SELECT pg_temp.refused(format('SELECT crm.product_create(%L)', b)) FROM (VALUES
    ('{}'::jsonb), ('{"name": " ", "price": -1, "currency": "E1"}'), ('{"name": "x", "price": "a lot", "colour": "red"}'),
    ('{"name": "x", "active": "yes"}'), (jsonb_build_object('name', repeat('x', 201), 'sku', repeat('x', 101)))) AS f (b);

-- lists, history, and who may
SELECT p ->> 'name' FROM jsonb_array_elements(crm.product_list(sort => 'name', filters => '[{"field": "active", "op": "eq", "value": true}]') -> 'data') p;
SELECT p ->> 'name' FROM jsonb_array_elements(crm.product_list(sort => '-price,name', limit_ => 2) -> 'data') p;
SELECT h ->> 'op', h -> 'version', h -> 'changed' -> 'active' FROM jsonb_array_elements(crm.product_history(:'engine') -> 'data') h;
SELECT t ->> 'kind' FROM jsonb_array_elements(crm.product_timeline(:'engine') -> 'data') t;
RESET ROLE;
SELECT pg_temp.enter(:'org', 'readonly');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.product_create('{"name": "x"}')$$);
RESET ROLE;
SELECT pg_temp.enter(:'other');
SET ROLE saleshub_user;
SELECT crm.product_list() -> 'data', crm.product_create('{"name": "Ours", "sku": "PC-1"}') -> 'price';
SELECT pg_temp.refused(format($$SELECT crm.product_get(%L)$$, :'engine'));
RESET ROLE;
