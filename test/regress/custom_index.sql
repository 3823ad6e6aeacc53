-- Custom fields in lists: conditions of every type with and without the table of values, order,
-- pages; the table is kept, filled and emptied; unique values.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Index', 'Ann', 'ann@index.example', country => 'DE', currency => 'EUR') AS o \gset
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
        SELECT string_agg(concat_ws(' ', coalesce(e ->> 'pointer', e ->> 'parameter'), e ->> 'code', '(' || (e ->> 'detail') || ')'), '; ')
        FROM jsonb_array_elements(told::jsonb -> 'errors') e));
END;
$$;
-- As the worker does it, until nothing is left to do.
CREATE PROCEDURE public.build(batch integer) LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM saleshub.custom_build b WHERE b.state IN ('emptying', 'building', 'purging'))
    LOOP
        PERFORM saleshub.custom_build(batch);
        COMMIT;
    END LOOP;
END;
$$;
-- Names of the leads that a filter finds, in order.
CREATE FUNCTION pg_temp.found(filters jsonb, sort text DEFAULT 'last_name') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(d ->> 'last_name', ' ' ORDER BY n)
    FROM jsonb_array_elements(crm.lead_list(200, sort => sort, filters => filters) -> 'data') WITH ORDINALITY AS e (d, n)
$$;

-- Written before there were definitions; c has a text where a number will be wanted.
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

CREATE TABLE public.question (n integer GENERATED ALWAYS AS IDENTITY, field text, op text, value jsonb);
INSERT INTO public.question (field, op, value)
SELECT 'custom.' || split_part(q, ' ', 1), split_part(q, ' ', 2), nullif(substr(q, length(split_part(q, ' ', 1)) + length(split_part(q, ' ', 2)) + 3), '')::jsonb
FROM unnest(ARRAY['num eq 1.5', 'num ne 1.5', 'num lt 2', 'num lte 2', 'num gt 1.5', 'num gte 1.50', 'num in [2, 7]', 'num not_in [2]',
    'num is_null', 'num not_null', 'int eq 1', 'int gt 1', 'int in [1, 2]', 'txt eq "ALPHA"', 'txt in ["beta", "x"]', 'txt ne "alpha"',
    'txt gt "alpha"', 'txt contains "et"', 'txt starts_with "al"', 'txt is_null', 'ok eq true', 'ok eq false', 'ok ne true',
    'day eq "2026-01-01"', 'day gt "2026-01-01"', 'day in ["2026-01-02"]', 'day lt "now"', 'at gte "2026-01-01T12:00:00+01:00"',
    'at in ["2026-01-01T10:00:00Z", "2026-01-01T11:00:00.0Z"]', 'at lt "today"', 'pick eq "gold"', 'pick in ["gold", "tin"]', 'pick ne "gold"',
    'many contains "tea"', 'many in ["tea", "jam"]', 'many not_in ["tea"]', 'many is_null', 'mail eq "A@x.example.com"',
    'mail matches_domain "example.com"', 'ref eq "00000000-0000-7000-8000-00000000000b"', 'ref not_null']) q;
CREATE TABLE public.answer AS
SELECT n, pg_temp.found(jsonb_strip_nulls(jsonb_build_object('field', field, 'op', op, 'value', value))) AS found FROM public.question;
SELECT q.field, q.op, q.value, a.found FROM public.question q JOIN public.answer a USING (n) ORDER BY n;

-- Indexed, the answers are the same while it is built and when it is ready, whatever the batch.
UPDATE crm.custom_field SET indexed = true WHERE org_id = :'org';
SELECT state, count(*) FROM saleshub.custom_build WHERE org_id = :'org' GROUP BY 1;
SELECT crm.custom_field_list(1, fields => 'key,index_state', sort => 'key') -> 'data' -> 0 ->> 'index_state' AS state;
SELECT q.field, q.op, a.found FROM public.question q JOIN public.answer a USING (n)
WHERE a.found IS DISTINCT FROM pg_temp.found(jsonb_strip_nulls(jsonb_build_object('field', field, 'op', op, 'value', value)));
CALL public.build(3);
SELECT state, count(*), min(records), max(records) FROM saleshub.custom_build WHERE org_id = :'org' GROUP BY 1;
SELECT f.key, l.last_name, v.place, v.num, v.txt, v.at, v.unique_key
FROM saleshub.custom_value v JOIN crm.custom_field f USING (org_id, custom_field_id) JOIN crm.lead l ON l.lead_id = v.entity_id
WHERE v.org_id = :'org' ORDER BY f.key, l.last_name, v.place;
SELECT q.field, q.op, a.found FROM public.question q JOIN public.answer a USING (n)
WHERE a.found IS DISTINCT FROM pg_temp.found(jsonb_strip_nulls(jsonb_build_object('field', field, 'op', op, 'value', value)));
SELECT count(*) FILTER (WHERE c ->> 'sql' LIKE '%custom\_value%') AS by_index, count(*) AS questions
FROM public.question q, saleshub.filter_compile(saleshub.custom_filters('lead'), jsonb_strip_nulls(
    jsonb_build_object('field', q.field, 'op', q.op, 'value', q.value))) c;

-- The past is not in the table.
SELECT now() AS before \gset
SELECT pg_sleep(0.01) IS NOT NULL AS slept;
UPDATE crm.lead SET custom = custom || '{"pick": "tin", "many": ["jam"]}' WHERE org_id = :'org' AND last_name = 'a';
SELECT pg_temp.found('{"field": "custom.pick", "op": "eq", "value": "tin"}') AS now,
       crm.lead_list(filters => '{"field": "custom.pick", "op": "eq", "value": "gold"}', as_of => :'before') #>> '{data,0,last_name}' AS before;

-- The table follows inserts, updates, the bin, deletes.
CREATE VIEW public.held AS
SELECT l.last_name, f.key, v.place, coalesce(v.num::text, v.txt) AS value FROM saleshub.custom_value v
JOIN crm.custom_field f USING (org_id, custom_field_id) JOIN crm.lead l ON l.lead_id = v.entity_id
WHERE f.key IN ('pick', 'many', 'int') AND v.org_id = saleshub.org_id();
SELECT * FROM public.held WHERE last_name = 'a' ORDER BY key, place;
INSERT INTO crm.lead (last_name, custom) SELECT 'e' || n, jsonb_build_object('int', n) FROM generate_series(1, 3) n;
UPDATE crm.lead SET custom = CASE WHEN last_name = 'e1' THEN '{}' ELSE jsonb_build_object('int', (custom ->> 'int')::int * 10) END
WHERE org_id = :'org' AND last_name LIKE 'e_';
SELECT * FROM public.held WHERE last_name LIKE 'e_' ORDER BY 1;
UPDATE crm.lead SET deleted_at = now() WHERE org_id = :'org' AND last_name = 'e2';
DELETE FROM crm.lead WHERE org_id = :'org' AND last_name = 'e3';
SELECT count(*) AS held FROM public.held WHERE last_name LIKE 'e_';
UPDATE crm.lead SET deleted_at = NULL WHERE org_id = :'org' AND last_name = 'e2';
SELECT * FROM public.held WHERE last_name LIKE 'e_';

-- What there is not is refused with its place.
SELECT pg_temp.fails($$SELECT crm.lead_list(filters => '[{"field": "custom.nothing", "op": "eq", "value": "1"}]')$$) AS unknown,
       pg_temp.fails($$SELECT crm.lead_list(filters => '[{"field": "custom.num", "op": "gt", "value": "big"}]')$$) AS value,
       pg_temp.fails($$SELECT crm.lead_list(filters => '{"and": [{"field": "custom.pick", "op": "=", "value": "lead"}]}')$$) AS choice,
       pg_temp.fails($$SELECT crm.lead_list(filters => '{"field": "custom.ok", "op": "<", "value": true}')$$) AS op,
       split_part(pg_temp.fails($$SELECT crm.lead_list(sort => 'custom.many')$$), '(', 1) AS sort;

-- Order and pages
SELECT pg_temp.found(NULL, 'custom.num,last_name') AS num, pg_temp.found(NULL, '-custom.txt,last_name') AS txt,
       pg_temp.found(NULL, '-custom.day,last_name') AS day, pg_temp.found(NULL, 'custom.ok,-last_name') AS ok;
CREATE FUNCTION pg_temp.pages(sort text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    page jsonb;
    names text;
BEGIN
    LOOP
        page := crm.lead_list(2, page ->> 'next_cursor', sort);
        names := concat_ws(' ', names, (SELECT string_agg(d ->> 'last_name', '') FROM jsonb_array_elements(page -> 'data') d));
        EXIT WHEN page ->> 'next_cursor' IS NULL;
    END LOOP;
    RETURN names;
END;
$$;
SELECT pg_temp.pages('custom.num,last_name') AS num, pg_temp.pages('-custom.at,last_name') AS at, pg_temp.pages('custom.pick,last_name') AS pick;

-- Saved filters
SELECT (crm.filter_create('{"noun": "lead", "name": "Tins", "filter": {"field": "custom.pick", "op": "eq", "value": "tin"}, "sort": "-custom.num"}') ->> 'id')::uuid AS saved \gset
SELECT d ->> 'last_name' AS found FROM jsonb_array_elements(crm.lead_list(filter_ => :'saved') -> 'data') d;
SELECT pg_temp.fails($$SELECT crm.filter_create('{"noun": "lead", "name": "No", "filter": {"field": "custom.no", "op": "eq", "value": 1}}')$$);

-- Unique: among live records of the kind, in any letter case
SELECT crm.custom_field_create('{"entity": "company", "key": "tax", "type": "text", "unique": true, "label": "Tax number"}') ->> 'id' AS tax \gset
-- Records that are written before the filling comes to them are in the table already.
INSERT INTO crm.company (name, custom) VALUES ('Early', '{"tax": "DE0"}');
CALL public.build(100);
SELECT crm.custom_field_get(:'tax') ->> 'index_state' AS state;
INSERT INTO crm.company (name, custom) VALUES ('One', '{"tax": "DE1"}'), ('Two', '{"tax": "DE2"}'), ('None', '{}'), ('Nil', '{}');
SELECT pg_temp.fails($$INSERT INTO crm.company (name, custom) VALUES ('Three', '{"tax": "de1"}')$$) AS insert,
       pg_temp.fails($$INSERT INTO crm.company (name, custom) VALUES ('X', '{"tax": "DE9"}'), ('Y', '{"tax": "DE9"}')$$) AS both,
       pg_temp.fails($$UPDATE crm.company SET custom = '{"tax": "DE2"}' WHERE org_id = saleshub.org_id() AND name = 'One'$$) AS update,
       pg_temp.fails($$SELECT crm.company_create('{"name": "Api", "custom": {"tax": "DE1"}}')$$) AS api;
-- Two exchange theirs in one statement.
UPDATE crm.company SET custom = CASE name WHEN 'One' THEN '{"tax": "DE2"}' ELSE '{"tax": "DE1"}' END::jsonb WHERE org_id = :'org' AND name IN ('One', 'Two');
SELECT name, custom ->> 'tax' AS tax FROM crm.company WHERE org_id = :'org' AND custom ? 'tax' ORDER BY 1;
-- What is in the bin holds nothing, and comes back only when its value is free.
UPDATE crm.company SET deleted_at = now() WHERE org_id = :'org' AND name = 'One';
INSERT INTO crm.company (name, custom) VALUES ('Next', '{"tax": "DE2"}');
SELECT pg_temp.fails(format('SELECT crm.company_restore(%L)', (SELECT company_id FROM crm.company WHERE org_id = :'org' AND name = 'One')));
-- Merged, the winner takes the value over; taken apart, the loser has it again.
SELECT (SELECT company_id FROM crm.company WHERE org_id = :'org' AND name = 'None') AS winner, (SELECT company_id FROM crm.company WHERE org_id = :'org' AND name = 'Two') AS loser \gset
SELECT crm.company_merge(:'winner', jsonb_build_object('losers', jsonb_build_array(:'loser'))) ->> 'merge_id' AS merge \gset
SELECT name, custom, deleted_at IS NULL AS live FROM crm.company WHERE org_id = :'org' AND name IN ('None', 'Two') ORDER BY 1;
SELECT crm.merge_undo(:'merge') -> 'conflicts' AS conflicts;
SELECT name, custom, deleted_at IS NULL AS live FROM crm.company WHERE org_id = :'org' AND name IN ('None', 'Two') ORDER BY 1;
SELECT c.name, v.unique_key FROM saleshub.custom_value v JOIN crm.company c ON c.company_id = v.entity_id WHERE v.org_id = :'org' ORDER BY 1;

-- A policy can say which value of a custom field survives.
INSERT INTO crm.contact (last_name, custom) VALUES ('W', '{"size": 1, "colour": "red"}'), ('L', '{"size": 5, "colour": "blue", "other": 1}');
SELECT crm.contact_merge(w.contact_id, jsonb_build_object('losers', jsonb_build_array(l.contact_id), 'policy', '{"custom.size": "max"}'::jsonb)) #> '{winner,custom}' AS merged
FROM crm.contact w, crm.contact l WHERE (w.org_id, l.org_id) = (:'org', :'org') AND w.last_name = 'W' AND l.last_name = 'L';

-- What is not unique cannot be made so: the state says it, until the values are.
INSERT INTO crm.contact (last_name, custom) VALUES ('A', '{"no": 1}'), ('B', '{"no": 1.0}'), ('C', '{"no": 2}');
SELECT crm.custom_field_create('{"entity": "contact", "key": "no", "type": "number", "unique": true}') ->> 'id' AS no \gset
CALL public.build(100);
SELECT crm.custom_field_get(:'no') ->> 'index_state' AS state;
UPDATE crm.contact SET custom = '{"no": 3}' WHERE org_id = :'org' AND last_name = 'B';
SELECT saleshub.custom_rebuild(:'org', :'no');
CALL public.build(100);
SELECT crm.custom_field_get(:'no') ->> 'index_state' AS state;
-- Not unique any more, not indexed any more: the table is emptied.
SELECT crm.custom_field_update(:'no', '{"unique": false}') ->> 'index_state' AS state;
CALL public.build(100);
SELECT count(*) AS held FROM saleshub.custom_value WHERE custom_field_id = :'no';
SELECT crm.custom_field_get(:'no') ->> 'index_state' AS state;

-- Erasing somebody reaches the table, and what is required does not hold it up.
SELECT crm.custom_field_create('{"entity": "contact", "key": "passport", "type": "text", "unique": true, "required": true}') ->> 'id' AS passport \gset
CALL public.build(100);
INSERT INTO crm.contact (last_name, email, custom) VALUES ('Gone', 'gone@index.example', '{"passport": "P1"}');
SELECT txt FROM saleshub.custom_value WHERE custom_field_id = :'passport';
SELECT crm.subject_erase('{"email": "gone@index.example", "reason": "asked"}') #> '{erased,contacts}' AS erased;
SELECT count(*) AS held FROM saleshub.custom_value WHERE custom_field_id = :'passport';

-- Who does not see a record does not see its values.
INSERT INTO crm.member (name, email, role) VALUES ('Rep', 'rep@index.example', 'rep') RETURNING member_id AS rep \gset
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"lead": "own", "company": "own"}}}' WHERE org_id = :'org';
UPDATE crm.lead SET owner_id = :'rep' WHERE org_id = :'org' AND last_name = 'b';
SET saleshub.member_id = :'rep';
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT DISTINCT l.last_name FROM saleshub.custom_value v LEFT JOIN crm.lead l ON l.lead_id = v.entity_id WHERE v.entity IN ('lead', 'company');
SELECT pg_temp.found('{"field": "custom.many", "op": "contains", "value": "jam"}') AS found;
RESET ROLE;
DROP PROCEDURE public.build;
DROP VIEW public.held;
DROP TABLE public.question, public.answer;
