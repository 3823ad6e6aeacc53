-- Putting whole sets: ids name what is there, in whichever case and once; and versions by If-Match.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Set test', 'Ann', 'ann@set.example') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.faults(sql text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE sql;
    RETURN NEXT 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT concat_ws(' ', SQLSTATE, e ->> 'pointer', e ->> 'code')
                   FROM jsonb_array_elements(detail::jsonb -> 'errors') e ORDER BY 1;
END
$$;
CREATE FUNCTION pg_temp.upper_ids(rules jsonb) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(e || jsonb_build_object('id', upper(e ->> 'id')) ORDER BY n)
      FROM jsonb_array_elements(rules) WITH ORDINALITY AS x (e, n)
$$;

-- An id in upper case is the same rule: neither a new one, nor is it removed.
SELECT crm.score_rules_put('{"rules": [{"label": "one", "predicate": {"field": "employees", "op": ">", "value": 5}, "points": 5},
                                       {"label": "two", "predicate": {"field": "phone", "op": "not_null"}, "points": 7}]}') -> 'rules' AS rules \gset
SELECT crm.score_rules_put(jsonb_build_object('rules', pg_temp.upper_ids(:'rules'))) -> 'rules' = :'rules' AS the_same;
SELECT count(*) AS rules, max(version) AS version FROM crm.score_rule;
SELECT * FROM pg_temp.faults(format('SELECT crm.score_rules_put(%L)',
    jsonb_build_object('rules', :'rules'::jsonb || pg_temp.upper_ids(:'rules'))));
SELECT * FROM pg_temp.faults($$SELECT crm.score_rules_put('{"rules": [
    {"id": "00000000-0000-0000-0000-000000000000", "label": "x", "predicate": {"field": "size", "op": "="}, "points": 1},
    {"id": 5, "label": "x", "predicate": [], "points": 1}, 7]}')$$);

SELECT crm.routing_rules_put(jsonb_build_object('rules', jsonb_build_array(jsonb_build_object('name', 'big',
    'predicate', '{"field": "employees", "op": ">", "value": 5}'::jsonb, 'pool_id', upper(routing_pool_id::text))))) -> 'rules' AS rules
  FROM crm.routing_pool \gset
SELECT crm.routing_rules_put(jsonb_build_object('rules', pg_temp.upper_ids(:'rules'))) -> 'rules' = :'rules' AS the_same;
SELECT * FROM pg_temp.faults(format('SELECT crm.routing_rules_put(%L)',
    jsonb_build_object('rules', :'rules'::jsonb || pg_temp.upper_ids(:'rules'))));

SELECT crm.routing_calendars_put('{"calendars": [{"name": "week", "hours": [{"day": 1, "from": "09:00", "to": "17:00"}]}]}') -> 'calendars' AS calendars \gset
SELECT crm.routing_calendars_put(jsonb_build_object('calendars', pg_temp.upper_ids(:'calendars'))) -> 'calendars' = :'calendars' AS the_same;
SELECT * FROM pg_temp.faults($$SELECT crm.routing_calendars_put('{"calendars": [{"id": "00000000-0000-0000-0000-000000000000", "name": "x",
    "hours": [{"day": 1, "from": "09:00", "to": "08:00"}], "timezone": "Nowhere"}]}')$$);

-- One comparison of versions for all.
SELECT v AS if_match, string_agg(f, '') AS answer
  FROM unnest(ARRAY['3', '"3"', ' "3" ', '1, "3"', '*', NULL]) v, pg_temp.faults(format('SELECT saleshub.version_check(3, %L)', v)) f GROUP BY v ORDER BY v;
SELECT crm.lead_create('{"last_name": "Versioned"}') ->> 'id' AS lead \gset
SELECT crm.lead_update(:'lead', '{"title": "a"}', '"1", "9"') ->> 'version' AS version;
\set VERBOSITY sqlstate
SELECT crm.lead_update(:'lead', '{"title": "b"}', '"1"');
SELECT crm.conversion_mapping_put('{"rows": [{"source": "email", "target_entity": "contact", "target_field": "email"}]}', '"5", "0"') ->> 'version' AS version;
SELECT crm.conversion_mapping_put('{"rows": [{"source": "email", "target_entity": "contact", "target_field": "email"}]}', '"0"');
