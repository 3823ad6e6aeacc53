-- Stages: setting up pipelines, the gates deals pass, and the board.
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

SELECT crm.org_create('Stages', 'Ann', 'ann@stages.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT crm.org_create('Others', 'Bob', 'bob@others.example', 'EUR', 'Europe/Berlin', 'DE') AS other \gset
SELECT pg_temp.enter(:'org', 'manager');
INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'USD', '2020-01-01', 0.3);
SET ROLE saleshub_user;

-- a pipeline with its stages
SELECT crm.pipeline_create('{"name": "Partners", "position": 2, "stages": [
    {"name": "Talk", "probability": 12.5},
    {"name": "Offer", "probability": 50, "required_fields": ["amount", "close_date", "custom.budget"]},
    {"name": "Big", "gate": {"and": [{"field": "amount", "op": "gte", "value": 1000}, {"field": "tags", "op": "contains", "value": "vip"}]}},
    {"name": "Signed", "kind": "won"}, {"name": "Gone", "kind": "lost", "required_fields": ["lost_reason"]}]}') AS pipe \gset
SELECT s ->> 'name', s ->> 'kind', s -> 'position', s -> 'probability', s -> 'required_fields', s -> 'gate' IS NOT NULL AND s -> 'gate' <> 'null'
FROM jsonb_array_elements(:'pipe'::jsonb -> 'stages') s;
SELECT :'pipe'::jsonb ->> 'id' AS pipe \gset
SELECT crm.pipeline_list() #> '{data,1}' = crm.pipeline_get(:'pipe') - 'created_by' - 'updated_by';
CREATE FUNCTION pg_temp.stage(name text) RETURNS uuid LANGUAGE sql AS $$
    SELECT stage_id FROM crm.stage s WHERE s.org_id = saleshub.org_id() AND s.name = $1 AND s.deleted_at IS NULL $$;
SELECT s ->> 'position', s -> 'version', s -> 'required_fields' FROM crm.stage_create(:'pipe', '{"name": "Last"}') s;
SELECT s -> 'version', s -> 'required_fields', s -> 'gate' FROM crm.stage_update(pg_temp.stage('Last'), '{"required_fields": ["owner_id", "owner_id"], "gate": {"field": "source", "op": "eq", "value": "fair"}}') s;
SELECT s -> 'version', s -> 'required_fields', s -> 'gate' FROM crm.stage_update(pg_temp.stage('Last'), '{"required_fields": null, "gate": null}', '2') s;
SELECT crm.stage_delete(pg_temp.stage('Last'));
SELECT p -> 'is_default' FROM crm.pipeline_update(:'pipe', '{"is_default": true}') p;
SELECT jsonb_path_query_array(crm.pipeline_list(), '$.data[*].is_default');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    format($$SELECT crm.pipeline_update(%L, '{"is_default": false}')$$, :'pipe'),
    format($$SELECT crm.pipeline_delete(%L)$$, :'pipe'),
    $$SELECT crm.pipeline_create('{"name": " sales "}')$$,
    $$SELECT crm.pipeline_create('{"stages": [{"kind": "odd"}, {"name": "x", "colour": 1}]}')$$,
    $$SELECT crm.pipeline_create('{"name": "x", "stages": [{"name": "a"}, {"name": "b", "required_fields": ["name", "price", "lines", "version"], "gate": {"field": "nope", "op": "eq", "value": 1}}]}')$$,
    format($$SELECT crm.stage_update(%L, '{"gate": {"field": "amount", "op": "like", "value": 1}, "required_fields": ["custom."]}')$$, pg_temp.stage('Talk')),
    format($$SELECT crm.stage_update(%L, '{"name": "x"}', '7')$$, pg_temp.stage('Talk')),
    format($$SELECT crm.stage_create(%L, '{"name": "x"}')$$, crm.uuid_v7()), format($$SELECT crm.stage_get(%L)$$, crm.uuid_v7())]) s;
SELECT p -> 'is_default' FROM crm.pipeline_update((SELECT pipeline_id FROM crm.pipeline WHERE name = 'Sales' AND org_id = saleshub.org_id()), '{"is_default": true}') p;

-- the gate: every missing field by name, in the same change or not at all
SELECT crm.deal_create(jsonb_build_object('name', 'A', 'stage_id', pg_temp.stage('Talk'))) ->> 'id' AS deal \gset
SELECT pg_temp.refused(format('SELECT crm.deal_stage(%L, %L)', :'deal', jsonb_build_object('stage_id', pg_temp.stage('Offer'))));
SELECT pg_temp.refused(format('SELECT crm.deal_update(%L, %L)', :'deal', jsonb_build_object('stage_id', pg_temp.stage('Offer'), 'amount', 5, 'custom', '{"budget": " "}'::jsonb)));
SELECT pg_temp.refused(format('SELECT crm.deal_update(%L, %L)', :'deal', jsonb_build_object('stage_id', pg_temp.stage('Offer'), 'owner_id', crm.uuid_v7(), 'amount', 5)));
SELECT pg_temp.refused(format('UPDATE crm.deal SET stage_id = %L WHERE deal_id = %L', pg_temp.stage('Offer'), :'deal'));
SELECT d -> 'probability', d #> '{amount,amount}' FROM crm.deal_update(:'deal', jsonb_build_object('stage_id', pg_temp.stage('Offer'), 'amount', 0,
    'close_date', '2030-01-01', 'custom', '{"budget": 7}'::jsonb)) d;
SELECT d -> 'amount' FROM crm.deal_update(:'deal', '{"amount": null}') d;
SELECT pg_temp.refused(format('SELECT crm.deal_stage(%L, %L)', :'deal', jsonb_build_object('stage_id', pg_temp.stage('Big'), 'amount', 1000)));
SELECT d -> 'tags' FROM crm.deal_update(:'deal', jsonb_build_object('stage_id', pg_temp.stage('Big'), 'tags', '["VIP"]'::jsonb,
    'lines', '[{"name": "x", "unit_price": 1000}]'::jsonb)) d;
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"status": "lost"}')$$, :'deal'));
SELECT d -> 'status' FROM crm.deal_update(:'deal', '{"status": "lost", "lost_reason": "late"}') d;
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', jsonb_build_object('name', 'B', 'stage_id', pg_temp.stage('Offer'))));
SELECT crm.deal_create(jsonb_build_object('name', 'C', 'stage_id', pg_temp.stage('Offer'), 'close_date', '2030-01-01', 'custom', '{"budget": 1}'::jsonb,
    'lines', '[{"name": "x", "unit_price": 3}]'::jsonb)) -> 'version';

-- the board: exact totals in the currency of the organisation
SELECT crm.deal_create(jsonb_build_object('name', 'D' || n, 'stage_id', pg_temp.stage('Talk'), 'amount', '0.1', 'currency', CASE WHEN n = 3 THEN 'USD' END)) IS NULL AS nothing
FROM generate_series(1, 3) n;
SELECT crm.pipeline_board(:'pipe', 2) AS board \gset
SELECT s ->> 'name', s -> 'count', s #>> '{amount,amount}', s #>> '{weighted_amount,amount}', jsonb_path_query_array(s, '$.deals[*].name')
FROM jsonb_array_elements(:'board'::jsonb -> 'stages') s;
SELECT :'board'::jsonb -> 'totals', :'board'::jsonb -> 'name';
SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(:'board'::jsonb #> '{stages,0,deals,0}') k;
SELECT b #> '{totals,count}' FROM crm.pipeline_board(:'pipe', owner_id => crm.uuid_v7()) b;
SELECT bool_and((s #>> '{amount,amount}')::numeric = (SELECT coalesce(sum(amount_base), 0) FROM crm.deal WHERE stage_id = (s ->> 'id')::uuid))
FROM jsonb_array_elements(:'board'::jsonb -> 'stages') s;
SELECT pg_temp.refused(format('SELECT crm.pipeline_board(%L)', crm.uuid_v7()));
SELECT pg_temp.refused(format('SELECT crm.pipeline_board(%L, 201)', :'pipe'));

-- by admins and managers only; not across organisations; by what a role sees
RESET ROLE;
INSERT INTO crm.member (name, email, role) VALUES ('Rob', 'rob@stages.example', 'rep') RETURNING member_id AS rob \gset
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own"}}, "fields": {"rep": {"deal": {"amount": "hidden"}}}}' WHERE org_id = saleshub.org_id();
SELECT set_config('saleshub.member_id', :'rob', false) = :'rob', set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT b -> 'totals', b #> '{stages,0}' ? 'amount' FROM crm.pipeline_board(:'pipe') b;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[$$SELECT crm.pipeline_create('{"name": "Mine", "is_default": true}')$$,
    format($$SELECT crm.pipeline_update(%L, '{"name": "Mine"}')$$, :'pipe'), format($$SELECT crm.pipeline_update(%L, '{"is_default": true}')$$, :'pipe'),
    format($$SELECT crm.stage_update(%L, '{"required_fields": []}')$$, pg_temp.stage('Offer')),
    format($$SELECT crm.stage_create(%L, '{"name": "x"}')$$, :'pipe'), format($$SELECT crm.stage_delete(%L)$$, pg_temp.stage('Offer'))]) s;
RESET ROLE;
SELECT pg_temp.enter(:'other');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.pipeline_board(%L)', :'pipe'));
SELECT pg_temp.refused(format($$SELECT crm.stage_create(%L, '{"name": "x"}')$$, :'pipe'));
RESET ROLE;
