-- Saved filters: who sees and changes them, lists and segments by them, and counting their uses.
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
        SELECT string_agg(concat_ws(' ', e ->> 'parameter', e ->> 'pointer', e ->> 'code'), ', ' ORDER BY e::text COLLATE "C")
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

SELECT crm.org_create('Saved', 'Ann', 'ann@saved.example', 'EUR') AS org \gset
SELECT :'org'::jsonb ->> 'org_id' AS org_id, :'org'::jsonb ->> 'member_id' AS ann \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Rob', 'rob@saved.example', 'rep') RETURNING member_id AS rob \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Mia', 'mia@saved.example', 'rep') RETURNING member_id AS mia \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Joe', 'joe@saved.example', 'readonly') RETURNING member_id AS joe \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Meg', 'meg@saved.example', 'manager') RETURNING member_id AS meg \gset
INSERT INTO crm.team (org_id, name, manager_id) VALUES (:'org_id', 'North', :'meg') RETURNING team_id AS north \gset
INSERT INTO crm.team_member (org_id, team_id, member_id) VALUES (:'org_id', :'north', :'rob'), (:'org_id', :'north', :'joe');
SELECT set_config('saleshub.org_id', :'org_id', false) = :'org_id' AS context;

CREATE FUNCTION pg_temp.enter(member text, role text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', role, false);
$$;
-- The names of the filters that the member sees.
CREATE FUNCTION pg_temp.seen() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT string_agg(f ->> 'name', ' ') FROM jsonb_array_elements(crm.filter_list(sort => 'name') -> 'data') f);
END;
$$;

INSERT INTO crm.lead (last_name, city, employees, owner_id)
SELECT 'L' || i, CASE WHEN i % 2 = 0 THEN 'Rome' END, i, :'ann' FROM generate_series(1, 9) i;

-- Rob keeps one for himself, one for his team and one for all
SELECT pg_temp.enter(:'rob', 'rep');
SET ROLE saleshub_user;
SELECT crm.filter_create('{"noun": "lead", "name": "Mine", "filter": {"field": "employees", "op": ">", "value": 5}}') AS mine \gset
SELECT (:'mine'::jsonb - 'id' - 'created_at' - 'updated_at' - 'created_by' - 'updated_by' - 'owner_id'),
       :'mine'::jsonb ->> 'owner_id' = :'rob';
SELECT crm.filter_create('{"noun": "lead", "name": "Team", "visibility": "team", "sort": "-employees", "columns": ["last_name", "city"],
    "filter": {"or": [{"field": "city", "op": "=", "value": "rome"}, {"field": "employees", "op": "=", "value": 1}]}}') ->> 'id' AS team \gset
SELECT crm.filter_create('{"noun": "deal", "name": "All", "visibility": "org", "filter": {"field": "status", "op": "=", "value": "open"}}') ->> 'id' AS all \gset
SELECT :'mine'::jsonb ->> 'id' AS mine \gset
SELECT 'rob', pg_temp.seen();
SELECT pg_temp.enter(:'mia', 'rep');
SELECT 'mia, of no team', pg_temp.seen();
SELECT pg_temp.enter(:'joe', 'readonly');
SELECT 'joe, of the team', pg_temp.seen();
SELECT pg_temp.enter(:'meg', 'manager');
SELECT 'meg, who manages the team', pg_temp.seen();
SELECT pg_temp.enter(:'ann', 'admin');
SELECT 'ann, the admin', pg_temp.seen();
SELECT 'rows', string_agg(name, ' ' ORDER BY name) FROM crm.saved_filter;

-- who may change what is shared
SELECT pg_temp.enter(:'mia', 'rep');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    format('SELECT crm.filter_update(%L, ''{"name": "Taken"}'')', :'all'), format('SELECT crm.filter_update(%L, ''{"name": "Taken"}'')', :'mine'),
    format('SELECT crm.filter_delete(%L)', :'all'), format('SELECT crm.filter_delete(%L)', :'team'), format('SELECT crm.filter_get(%L)', :'mine'),
    format('SELECT crm.filter_count(%L)', :'mine'), format('SELECT crm.filter_use(%L)', :'mine'), format('SELECT crm.filter_uses_get(%L)', :'mine'),
    format('SELECT crm.lead_list(filter_ => %L)', :'mine'),
    format('INSERT INTO crm.saved_filter (noun, name, filter, owner_id) VALUES (''lead'', ''x'', ''{"field": "city", "op": "is_null"}'', %L)', :'rob'),
    format('INSERT INTO crm.saved_filter_use (saved_filter_id, member_id) VALUES (%L, %L)', :'mine', :'mia'),
    format('INSERT INTO crm.saved_filter_use (saved_filter_id, member_id) VALUES (%L, %L)', :'all', :'rob')]) s;
UPDATE crm.saved_filter SET name = 'Taken';
SELECT pg_temp.enter(:'joe', 'readonly');
SELECT pg_temp.refused($$SELECT crm.filter_create('{"noun": "lead", "name": "x", "filter": {"field": "city", "op": "is_null"}}')$$);
SELECT pg_temp.enter(:'meg', 'manager');
SELECT crm.filter_update(:'all', '{"name": "Open", "filter": {"field": "status", "op": "in", "value": ["open", "won"]}}', '"1"')
       - '{id,created_at,updated_at,created_by,updated_by,owner_id}'::text[];
SELECT pg_temp.refused(format('SELECT crm.filter_update(%L, ''{"name": "x"}'', ''"1.0"'')', :'all'));

-- what a filter cannot be
SELECT pg_temp.enter(:'rob', 'rep');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT crm.filter_create('{"noun": "lead", "name": "x", "sort": "-score,nope", "columns": ["score", "bad"],
        "filter": {"and": [{"field": "nope", "op": "="}, {"field": "city", "op": "~", "value": 1}]}}')$$,
    $$SELECT crm.filter_create('{"noun": "robot", "visibility": "all", "filter": []}')$$,
    $$SELECT crm.filter_create('{"noun": "lead", "name": " ", "filter": {}}')$$,
    format('SELECT crm.filter_update(%L, ''{"noun": "deal"}'')', :'mine'), format('SELECT crm.filter_update(%L, ''{"filter": {"field": "x", "op": "is_null"}}'')', :'mine'),
    format('SELECT crm.filter_update(%L, ''{"owner_id": null}'')', :'mine'), format('UPDATE crm.saved_filter SET owner_id = %L', :'mia')]) s;

-- lists by it: besides the other parameters, in its order unless another is asked for, page by page
CREATE FUNCTION pg_temp.names(page jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(l ->> 'last_name', ' ' ORDER BY n) FROM jsonb_array_elements(page -> 'data') WITH ORDINALITY AS e (l, n);
$$;
SELECT pg_temp.names(crm.lead_list(filter_ => :'team'));
SELECT pg_temp.names(crm.lead_list(sort => 'last_name', filter_ => :'team', filters => '[{"field": "employees", "op": "gte", "value": 4}]'));
SELECT pg_temp.names(crm.lead_list(filter_ => '{"not": {"field": "city", "op": "=", "value": "ROME"}}', sort => 'employees'));
SELECT crm.lead_list(2, filter_ => :'team') ->> 'next_cursor' AS cursor \gset
SELECT pg_temp.names(crm.lead_list(2, :'cursor', filter_ => :'team'));
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    format('SELECT crm.lead_list(2, %L)', :'cursor'), format('SELECT crm.deal_list(filter_ => %L)', :'team'),
    $$SELECT crm.lead_list(filter_ => 'no filter')$$, $$SELECT crm.lead_list(filter_ => '00000000-0000-0000-0000-000000000000')$$,
    $$SELECT crm.lead_list(filter_ => '{"or": [{"field": "city", "op": "=", "value": 1}, 2]}', filters => '[{"field": "score", "op": "gte", "value": "x"}]')$$,
    $$SELECT crm.lead_list(filter_ => 'null')$$, $$SELECT crm.lead_list(filters => '{"field": "x", "op": "="}')$$]) s;

-- every kind of record can be filtered
SELECT count(crm.filter_create(jsonb_build_object('noun', noun, 'name', 'Every ' || noun,
    'filter', '{"field": "created_at", "op": "<", "value": "2000-01-01"}'::jsonb)))
FROM jsonb_array_elements_text(saleshub.filter_meta() #> '{create,properties,noun,enum}') noun;
SELECT noun, crm.filter_count(saved_filter_id) FROM crm.saved_filter WHERE name LIKE 'Every %' ORDER BY noun COLLATE "C";
UPDATE crm.saved_filter SET deleted_at = now() WHERE name LIKE 'Every %';

-- segments
SELECT crm.filter_count(:'team'), crm.filter_count(:'mine'), crm.filter_count(:'all');
SELECT string_agg(l.last_name, ' ' ORDER BY l.lead_id) FROM jsonb_array_elements_text(crm.filter_ids(:'team') -> 'data') i JOIN crm.lead l ON l.lead_id = i::uuid;
SELECT crm.filter_ids(:'team', 2) AS page \gset
SELECT jsonb_array_length(:'page'::jsonb -> 'data'), (:'page'::jsonb ->> 'next_after')::uuid AS after_ \gset next_
SELECT jsonb_array_length(crm.filter_ids(:'team', 10, :'next_after_') -> 'data'), crm.filter_ids(:'team', 10, :'next_after_') -> 'next_after';
SELECT pg_temp.refused(format('SELECT crm.filter_ids(%L, %s)', :'team', n)) FROM unnest('{0,10001,NULL}'::integer[]) n WHERE n IS NOT NULL;

-- uses: counted beside the filter, the same before and after they are folded
SELECT crm.filter_use(:'team') ->> 'used_count', crm.filter_use(:'team') ->> 'used_count';
SELECT pg_temp.enter(:'joe', 'readonly');
SELECT crm.filter_use(:'team') ->> 'used_count';
SELECT (f ->> 'name') || ' ' || (f ->> 'used_count') || ' ' || (f ->> 'version') FROM jsonb_array_elements(crm.filter_list(sort => 'name') -> 'data') f;
SELECT crm.filter_uses_get(:'team') AS before \gset
RESET ROLE;
SELECT saleshub.filter_uses_fold(2), saleshub.filter_uses_fold(), saleshub.filter_uses_fold();
SELECT count(*) FROM crm.saved_filter_use;
SET ROLE saleshub_user;
SELECT crm.filter_uses_get(:'team') = :'before', :'before'::jsonb -> 'used_count', :'before'::jsonb #> '{members,0,used_count}',
       :'before'::jsonb #>> '{members,0,member_id}' = :'rob', jsonb_array_length(:'before'::jsonb -> 'members'), jsonb_array_length(:'before'::jsonb -> 'days') > 0;
SELECT crm.filter_use(:'team') ->> 'used_count', crm.filter_get(:'team') ->> 'used_count', crm.filter_get(:'team') ->> 'version';
SELECT pg_temp.enter(:'mia', 'rep');
SELECT 'mia sees', count(*) FROM crm.saved_filter_use;
SELECT 'mia sees', count(*) FROM crm.saved_filter_use_day;

-- removed, it is gone for all
SELECT pg_temp.enter(:'rob', 'rep');
SELECT crm.filter_delete(:'team');
SELECT pg_temp.seen();
SELECT pg_temp.refused(s) FROM unnest(ARRAY[format('SELECT crm.lead_list(filter_ => %L)', :'team'), format('SELECT crm.filter_count(%L)', :'team')]) s;
RESET ROLE;
-- what was saved privately is in no history and no event
SELECT count(*) FROM crm.change_log WHERE entity_id IN (:'mine', :'team', :'all');
SELECT count(*) FROM saleshub.outbox WHERE entity_id IN (:'mine', :'team', :'all');
