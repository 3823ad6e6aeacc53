-- Pipelines, stages and rates: who may set them up, and what keeps the deals in them whole.
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

SELECT crm.org_create('Pipelines', 'Ann', 'ann@pipelines.example') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;
SELECT s ->> 'name', s ->> 'kind', s ->> 'position', s ->> 'probability'
FROM jsonb_path_query(crm.pipeline_list(), '$.data[*].stages[*]') s;

-- a second default, a name twice, no name
SELECT pg_temp.refused($$INSERT INTO crm.pipeline (name, is_default) VALUES ('Other', true)$$);
SELECT pg_temp.refused($$INSERT INTO crm.pipeline (name) VALUES (' SALES ')$$);
SELECT pg_temp.refused($$INSERT INTO crm.pipeline (name) VALUES (' ')$$);
INSERT INTO crm.pipeline (name, position) VALUES (' Renewals ', 2) RETURNING name, version;
INSERT INTO crm.stage (pipeline_id, name, kind, position, probability)
SELECT p.pipeline_id, s.name, s.kind, s.position, s.probability
FROM crm.pipeline p, (VALUES (' Due', 'open', 1, 60), ('Kept', 'won', 2, 100)) s (name, kind, position, probability)
WHERE p.name = 'Renewals'
RETURNING name;
SELECT pg_temp.refused(format($$INSERT INTO crm.stage (pipeline_id, name, kind) VALUES (%L, 'X', 'odd')$$, crm.uuid_v7()));
SELECT pg_temp.refused(format($$INSERT INTO crm.stage (pipeline_id, name) VALUES (%L, 'X')$$, crm.uuid_v7()));

-- a stage with deals keeps its kind and pipeline; with open deals it stays
SELECT crm.deal_create(jsonb_build_object('name', 'A', 'stage_id', stage_id)) ->> 'id' AS deal FROM crm.stage WHERE name = 'Due' \gset
SELECT pg_temp.refused($$UPDATE crm.stage SET kind = 'lost' WHERE name = 'Due'$$);
SELECT pg_temp.refused($$UPDATE crm.stage SET pipeline_id = (SELECT pipeline_id FROM crm.pipeline WHERE is_default) WHERE name = 'Due'$$);
SELECT pg_temp.refused($$UPDATE crm.stage SET deleted_at = now() WHERE name = 'Due'$$);
SELECT pg_temp.refused($$UPDATE crm.pipeline SET deleted_at = now() WHERE name = 'Renewals'$$);
SELECT pg_temp.refused('DELETE FROM crm.stage');
UPDATE crm.stage SET name = 'Falls due', probability = 65 WHERE name = 'Due' RETURNING name, version;
SELECT crm.deal_update(:'deal', '{"status": "won"}') -> 'probability';
UPDATE crm.stage SET deleted_at = now() WHERE name = 'Falls due' RETURNING name, version;
SELECT pg_temp.refused(format($$SELECT crm.deal_update(%L, '{"status": "open"}')$$, :'deal'));
UPDATE crm.pipeline SET deleted_at = now() WHERE name = 'Renewals' RETURNING name, version;
SELECT jsonb_path_query_array(crm.pipeline_list(), '$.data[*].name');
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', jsonb_build_object('name', 'B', 'stage_id', stage_id)))
FROM crm.stage WHERE name = 'Kept';

-- by admins and managers only
RESET ROLE;
SELECT pg_temp.enter(:'org', 'rep');
SET ROLE saleshub_user;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$INSERT INTO crm.pipeline (name) VALUES ('Mine')$$, 'UPDATE crm.pipeline SET position = 9',
    'UPDATE crm.stage SET probability = 100', $$INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'EUR', '2026-01-01', 99)$$,
    'DELETE FROM crm.currency_rate']) s;
RESET ROLE;
SELECT pg_temp.enter(:'org', 'manager');
SET ROLE saleshub_user;
INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'EUR', '2026-01-01', 1.1);
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'EUR', '2026-01-01', 1.2)$$,
    $$INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'eur', '2026-01-01', 1.2)$$,
    $$INSERT INTO crm.currency_rate VALUES (saleshub.org_id(), 'EUR', '2026-01-02', 0)$$]) s;
RESET ROLE;
