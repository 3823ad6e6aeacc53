-- Custom fields in rules: conditions over a lead in memory say what lists say. And in conversions.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Rules', 'Ann', 'ann@customrule.example', country => 'DE', currency => 'EUR') AS o \gset
SET saleshub.org_id = :'org';
SET saleshub.member_id = :'ann';
SET saleshub.member_role = 'admin';
CREATE FUNCTION pg_temp.fails(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    told text;
    state text;
BEGIN
    EXECUTE command;
    RETURN 'it did not fail';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS told = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
    IF told NOT LIKE '{%' THEN
        RETURN state || ' ' || SQLERRM;
    END IF;
    RETURN concat_ws(' ', state, told::jsonb ->> 'code', (
        SELECT string_agg(concat_ws(' ', e ->> 'pointer', e ->> 'code', '(' || (e ->> 'detail') || ')'), '; ')
        FROM jsonb_array_elements(told::jsonb -> 'errors') e));
END;
$$;
INSERT INTO crm.lead (last_name, custom) VALUES
    ('a', '{"num": 1.5, "int": 1, "txt": "Alpha", "ok": true, "day": "2026-01-01", "at": "2026-01-01T10:00:00Z",
            "pick": "gold", "many": ["tea", "jam"], "mail": "a@x.example.com", "ref": "00000000-0000-7000-8000-00000000000a"}'),
    ('b', '{"num": 2, "int": 2, "txt": "beta", "ok": false, "day": "2026-01-02", "at": "2026-01-01T11:00:00Z",
            "pick": "tin", "many": ["jam"], "mail": "b@example.org", "ref": "00000000-0000-7000-8000-00000000000B"}'),
    ('c', '{"num": "3", "int": 1e30, "txt": 3, "ok": "yes", "day": "soon", "at": 1, "pick": 1, "many": "tea", "mail": null, "ref": "me"}'),
    ('d', '{}');
SELECT count(crm.custom_field_create(d || '{"entity": "lead"}')) AS created
FROM jsonb_array_elements('[
    {"key": "num", "type": "number"}, {"key": "int", "type": "integer"}, {"key": "txt", "type": "text"},
    {"key": "ok", "type": "boolean"}, {"key": "day", "type": "date"}, {"key": "at", "type": "timestamp"},
    {"key": "pick", "type": "enum", "options": [{"key": "gold"}, {"key": "tin"}]},
    {"key": "many", "type": "multi_enum", "options": [{"key": "tea"}, {"key": "jam"}]},
    {"key": "mail", "type": "email"}, {"key": "ref", "type": "reference", "target": "member"}]') d;

-- Every operator of every type, in memory and in SQL
WITH question AS (
    SELECT jsonb_strip_nulls(jsonb_build_object('field', 'custom.' || f, 'op', op, 'value', v)) AS condition
    FROM unnest(ARRAY['num', 'int', 'txt', 'ok', 'day', 'at', 'pick', 'many', 'mail', 'ref']) f,
         unnest(ARRAY['=', '!=', '<', '<=', '>', '>=', 'in', 'not_in', 'contains', 'starts_with', 'is_null', 'not_null', 'matches_domain']) op,
         LATERAL (
            SELECT CASE WHEN op LIKE '%\_null' THEN NULL WHEN op LIKE '%in' AND op <> 'matches_domain' THEN jsonb_build_array(x) ELSE x END AS v
            FROM jsonb_array_elements(CASE f
                WHEN 'num' THEN '[1.5, 2]' WHEN 'int' THEN '[1, 2]' WHEN 'txt' THEN '["alpha", "BETA", "et"]' WHEN 'ok' THEN '[true, false]'
                WHEN 'day' THEN '["2026-01-01", "2026-01-02"]' WHEN 'at' THEN '["2026-01-01T11:00:00+01:00", "2026-01-01T11:00:00Z", "2026-01-01"]'
                WHEN 'pick' THEN '["gold", "tin"]' WHEN 'many' THEN '["tea", "jam"]' WHEN 'mail' THEN '["A@x.example.com", "example.com"]'
                ELSE '["00000000-0000-7000-8000-00000000000A", "00000000-0000-7000-8000-00000000000b"]' END::jsonb) x) p
), good AS (
    SELECT DISTINCT condition FROM question
    WHERE saleshub.score_predicate_errors(condition) = '[]'
), answer AS (
    SELECT condition,
           (SELECT string_agg(l.last_name, ' ' ORDER BY l.last_name) FROM crm.lead l
            WHERE l.org_id = :'org' AND saleshub.score_predicate_true(condition, l)) AS in_memory,
           (SELECT string_agg(d ->> 'last_name', ' ' ORDER BY d ->> 'last_name') FROM jsonb_array_elements(crm.lead_list(200, filters => condition) -> 'data') d) AS in_sql
    FROM good
)
SELECT count(*) AS conditions, count(DISTINCT in_sql) AS answers, count(*) FILTER (WHERE in_memory IS DISTINCT FROM in_sql) AS differ FROM answer;
SELECT c AS condition, saleshub.score_predicate_errors(c) #>> '{0,pointer}' AS pointer, saleshub.score_predicate_errors(c) #>> '{0,detail}' AS detail
FROM jsonb_array_elements('[
    {"field": "custom.no", "op": "=", "value": 1}, {"field": "custom.num", "op": "=", "value": "1"}, {"field": "custom.pick", "op": "=", "value": "zinc"},
    {"field": "custom.day", "op": ">", "value": "now-7d"}, {"field": "custom.ref", "op": "=", "value": "me"}, {"field": "custom.ok", "op": "<", "value": true}]') c;

-- A scoring rule about a custom field, at once for what is there and for what comes
SELECT crm.score_rules_put('{"rules": [{"label": "Gold", "points": 30, "predicate": {"field": "custom.pick", "op": "=", "value": "gold"}},
    {"label": "Big", "points": 20, "predicate": {"field": "custom.num", "op": ">=", "value": 2}}]}') IS NOT NULL AS put;
INSERT INTO crm.lead (last_name, custom) VALUES ('e', '{"pick": "gold", "num": 7}');
SELECT last_name, score, score_reasons FROM crm.lead WHERE org_id = :'org' ORDER BY last_name;
UPDATE crm.lead SET custom = custom - 'pick' WHERE org_id = :'org' AND last_name = 'e' RETURNING score;
SELECT f.custom_field_id AS pick FROM crm.custom_field f WHERE f.org_id = :'org' AND f.key = 'pick' \gset
SELECT pg_temp.fails(format('SELECT crm.custom_field_delete(%L)', :'pick')) AS remove,
       pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"active": false}'')', :'pick')) AS deactivate,
       pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"type": "text", "options": []}'')', :'pick')) AS retype;

-- Conversions: the mapping knows the types, and suggests what has the same key.
SELECT count(crm.custom_field_create(d)) AS created FROM jsonb_array_elements('[
    {"entity": "company", "key": "pick", "type": "enum", "options": [{"key": "gold"}]}, {"entity": "company", "key": "num", "type": "text"},
    {"entity": "contact", "key": "num", "type": "number"}, {"entity": "contact", "key": "txt", "type": "number"},
    {"entity": "deal", "key": "many", "type": "multi_enum", "options": [{"key": "tea"}, {"key": "jam"}, {"key": "pie"}]}]') d;
SELECT r ->> 'target_entity' AS entity, r ->> 'source' AS source, r ->> 'target_field' AS target
FROM jsonb_array_elements(crm.conversion_mapping_suggestions() -> 'rows') r;
SELECT r AS row, (saleshub.mapping_row_faults(r, '') -> 0) - 'code' AS fault
FROM jsonb_array_elements('[
    {"source": "custom.txt", "target_entity": "contact", "target_field": "custom.txt"}, {"source": "custom.gone", "target_entity": "contact", "target_field": "title"},
    {"source": "title", "target_entity": "contact", "target_field": "custom.gone"}, {"source": "custom.num", "target_entity": "company", "target_field": "employees"},
    {"source": "custom.int", "target_entity": "company", "target_field": "employees", "policy": "max"}, {"source": "employees", "target_entity": "contact", "target_field": "custom.num"},
    {"source": "custom.day", "target_entity": "company", "target_field": "custom.num", "policy": "append"}, {"source": "custom.num", "target_entity": "contact", "target_field": "custom.num", "policy": "append"}]') r;
SELECT crm.conversion_mapping_put(jsonb_build_object('rows', saleshub.mapping_preset()
    || (crm.conversion_mapping_suggestions() -> 'rows'))) ->> 'version' AS version;
SELECT crm.conversion_mapping_suggestions() AS suggestions;
INSERT INTO crm.lead (last_name, company_name, custom) VALUES ('Conv', 'Conv Ltd', '{"pick": "gold", "num": 4.5, "many": ["jam", "tea"]}') RETURNING lead_id AS lead \gset
SELECT c ->> 'conversion_id' AS conversion, c #>> '{company,id}' AS company FROM crm.lead_convert(:'lead', '{}') c \gset
SELECT 'company' AS type, custom FROM crm.company WHERE org_id = :'org' AND name = 'Conv Ltd' UNION ALL
SELECT 'contact', custom FROM crm.contact WHERE org_id = :'org' AND last_name = 'Conv' UNION ALL
SELECT 'deal', custom FROM crm.deal WHERE org_id = :'org';
SELECT crm.conversion_undo(:'conversion') -> 'conflicts' AS conflicts;
-- An option that the company does not have stops the conversion and nothing is done.
INSERT INTO crm.lead (last_name, company_name, custom) VALUES ('Tin', 'Tin Ltd', '{"pick": "tin"}') RETURNING lead_id AS tin \gset
SELECT pg_temp.fails(format('SELECT crm.lead_convert(%L, ''{}'')', :'tin')) AS convert;
SELECT status FROM crm.lead WHERE lead_id = :'tin';
