-- Custom fields: definitions, and the check of values on every path that writes records.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Fields', 'Ann', 'ann@fields.example', country => 'DE', currency => 'EUR') AS o \gset
SET saleshub.org_id = :'org';
SET saleshub.member_id = :'ann';
SET saleshub.member_role = 'admin';

-- What psql shows of an error: its state, its code and the faults.
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

-- An organisation without definitions keeps whatever it likes.
INSERT INTO crm.lead (last_name, custom)
VALUES ('Old', '{"tier": 7, "note": {"deep": [1, 2]}, "size": "12"}')
RETURNING custom;

-- Definitions
SELECT jsonb_pretty(d - '{id,created_at,updated_at,created_by,updated_by}'::text[]) AS tier FROM crm.custom_field_create('{
    "entity": "lead", "key": "tier", "type": "enum", "label": " Tier ",
    "options": [{"key": "gold", "label": "Gold"}, {"key": "silver"}, {"key": "tin", "active": false}]}') d;
SELECT d ->> 'position' AS position, d ->> 'max_length' AS max_length FROM crm.custom_field_create('{
    "entity": "lead", "key": "size", "type": "integer", "min": 1, "max": 1000}') d;
SELECT count(crm.custom_field_create(d || '{"entity": "lead"}')) AS created
FROM jsonb_array_elements('[
    {"key": "name", "type": "text", "max_length": 5}, {"key": "memo", "type": "long_text"},
    {"key": "rate", "type": "number"}, {"key": "ok", "type": "boolean"},
    {"key": "day", "type": "date"}, {"key": "at", "type": "timestamp"},
    {"key": "likes", "type": "multi_enum", "options": [{"key": "tea"}, {"key": "jam"}, {"key": "pie"}]},
    {"key": "page", "type": "url"}, {"key": "mail", "type": "email"}, {"key": "fon", "type": "phone"},
    {"key": "firm", "type": "reference", "target": "company"},
    {"key": "boss", "type": "reference", "target": "member"}]') d;

-- What a definition may not be
SELECT d ->> 'key' AS key, pg_temp.fails(format('SELECT crm.custom_field_create(%L)',
       '{"entity": "lead", "type": "text"}'::jsonb || d)) AS fails
FROM jsonb_array_elements('[
    {"key": "Tier"}, {"key": "tier"}, {"key": "x", "entity": "pipeline"}, {"key": "x", "type": "money"},
    {"key": "x", "type": "enum"}, {"key": "x", "options": [{"key": "a"}]},
    {"key": "x", "type": "enum", "options": [{"key": "a"}, {"key": "a"}, {"key": "B b"}]},
    {"key": "x", "type": "reference"}, {"key": "x", "target": "lead"},
    {"key": "x", "min": 1}, {"key": "x", "type": "number", "min": 2, "max": 1},
    {"key": "x", "type": "number", "max_length": 3}, {"key": "x", "max_length": 1001},
    {"key": "x", "max_length": 501, "indexed": true}, {"key": "x", "type": "long_text", "indexed": true},
    {"key": "x", "type": "boolean", "unique": true}, {"key": "x", "type": "integer", "default": 1.5},
    {"key": "x", "default": "a", "unique": true}, {"key": "x", "colour": "red"}]') d;

-- Values come in their normal form
INSERT INTO crm.lead (last_name, custom) VALUES ('New', '{
    "tier": "gold", "size": "12", "name": " abc ", "memo": " as is ", "rate": "1.50", "ok": "true",
    "day": "2026-02-28", "at": "2026-03-01T01:30:00+02:00", "likes": ["pie", "tea", "pie"],
    "page": "https://example.com/x", "mail": "Ann@Example.COM", "fon": "030 1234567", "boss": null}')
RETURNING jsonb_pretty(custom) AS custom;

-- or are refused, all at once
SELECT pg_temp.fails($$INSERT INTO crm.lead (last_name, custom) VALUES ('Bad', '{
    "tier": "tin", "size": 0, "name": "abcdef", "memo": 1, "rate": "1,5", "ok": 1, "day": "2026-02-29",
    "at": "2026-03-01 10:00", "likes": ["tea", "rum"], "page": "javascript:alert(1)", "mail": "ann@",
    "fon": "call me", "firm": "0190aaaa-0000-7000-8000-000000000001", "boss": "me", "a/b": 1}')$$);
SELECT v AS value, pg_temp.fails(format('INSERT INTO crm.lead (last_name, custom) VALUES (''Bad'', %L)', v))
FROM unnest(ARRAY['{"size": 12.5}', '{"size": 1001}', '{"size": "1e2"}', '{"rate": 1e19}', '{"rate": "-"}',
                  '{"rate": ".5"}', '{"likes": "tea"}', '{"tier": ["gold"]}', '{"day": 20260228}',
                  '{"at": "0000-01-01T00:00:00Z"}', '{"at": "0001-01-01T00:00:00+14:00"}', '{"firm": {}}']) v;

-- The API says the same, with pointers.
SELECT pg_temp.fails($$SELECT crm.lead_create('{"last_name": "Api", "custom": {"size": "many", "unknown": 1}}')$$);
SELECT (crm.lead_create('{"last_name": "Api", "email": "api@example.com", "custom": {"size": 5, "tier": "silver"}}') ->> 'id')::uuid
    AS api \gset
SELECT crm.lead_update(:'api', '{"custom": {"size": 6}}') -> 'custom' AS patched;
SELECT crm.lead_update(:'api', '{"custom": {"tier": null}}') -> 'custom' AS patched;
SELECT pg_temp.fails(format('SELECT crm.lead_update(%L, ''{"custom": {"size": -1}}'')', :'api'));

-- What was there before the definitions stays as long as nobody changes it.
UPDATE crm.lead SET city = 'Bonn' WHERE org_id = saleshub.org_id() AND last_name = 'Old' RETURNING custom;
UPDATE crm.lead SET custom = custom || '{"ok": true}' WHERE org_id = saleshub.org_id() AND last_name = 'Old' RETURNING custom;
SELECT pg_temp.fails($$UPDATE crm.lead SET custom = custom || '{"note": 1}' WHERE org_id = saleshub.org_id() AND last_name = 'Old'$$);
SELECT pg_temp.fails($$UPDATE crm.lead SET custom = custom || '{"tier": 8}' WHERE org_id = saleshub.org_id() AND last_name = 'Old'$$);
UPDATE crm.lead SET custom = custom - 'note' WHERE org_id = saleshub.org_id() AND last_name = 'Old' RETURNING custom;

-- Batches, COPY and conversions are checked as well.
SELECT jsonb_path_query_array(
    crm.lead_batch('{"atomic": false, "items": [
        {"op": "create", "body": {"last_name": "B1", "custom": {"size": 1}}},
        {"op": "create", "body": {"last_name": "B2", "custom": {"size": 0}}}]}'),
    '$.**.errors[*].pointer') AS batch;
COPY crm.lead (last_name, custom) FROM stdin;
Copied	{"size": "3"}
\.
SELECT custom AS copied FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name = 'Copied';
COPY crm.lead (last_name, custom) FROM stdin;
Copied	{"size": "x"}
\.

-- Required, and defaults
SELECT d ->> 'id' AS need FROM crm.custom_field_create('{
    "entity": "contact", "key": "need", "type": "text", "required": true}') d \gset
SELECT pg_temp.fails($$INSERT INTO crm.contact (last_name) VALUES ('None')$$) AS missing,
       pg_temp.fails($$INSERT INTO crm.contact (last_name, custom) VALUES ('None', '{"need": "  "}')$$) AS blank;
INSERT INTO crm.contact (last_name, custom) VALUES ('Some', '{"need": "x"}') RETURNING custom;
SELECT pg_temp.fails($$UPDATE crm.contact SET custom = '{}' WHERE org_id = saleshub.org_id() AND last_name = 'Some'$$) AS taken_away;
SELECT crm.custom_field_update(:'need', '{"default": "y"}') ->> 'default' AS default;
INSERT INTO crm.contact (last_name) VALUES ('Default') RETURNING custom;
SELECT crm.custom_field_update(:'need', '{"default": null, "required": false}') ->> 'default' AS default;
INSERT INTO crm.contact (last_name) VALUES ('Free') RETURNING custom;

-- Changing a definition
SELECT f.custom_field_id AS size FROM crm.custom_field f WHERE f.org_id = :'org' AND f.key = 'size' \gset
SELECT pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"key": "other"}'')', :'size')) AS key,
       pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"entity": "deal"}'')', :'size')) AS entity;
SELECT crm.custom_field_update(:'size', '{"label": "Head count"}') ->> 'label' AS label;
-- A number holds what an integer held, but the text in the old record is neither.
SELECT pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"type": "number"}'')', :'size'));
UPDATE crm.lead SET custom = custom - 'size' WHERE org_id = saleshub.org_id() AND last_name = 'Old';
SELECT crm.custom_field_update(:'size', '{"type": "number"}') ->> 'type' AS type;
SELECT pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"type": "text", "min": null, "max": null}'')', :'size'));

-- Inactive: hidden and not written, the value stays; so it is when the definition is removed.
SELECT crm.custom_field_update(:'size', '{"active": false}') -> 'active' AS active;
SELECT crm.lead_get(:'api') -> 'custom' AS hidden,
       pg_temp.fails(format('SELECT crm.lead_update(%L, ''{"custom": {"size": 9}}'')', :'api')) AS closed;
SELECT crm.lead_update(:'api', '{"custom": null}') -> 'custom' AS cleared;
SELECT custom AS kept FROM crm.lead WHERE lead_id = :'api';
SELECT crm.custom_field_update(:'size', '{"active": true}') -> 'active' AS active;
SELECT crm.lead_get(:'api') -> 'custom' AS shown;
SELECT crm.custom_field_delete(:'size');
SELECT crm.lead_get(:'api') -> 'custom' AS hidden,
       pg_temp.fails(format('SELECT crm.custom_field_get(%L)', :'size')) AS gone;
SELECT crm.custom_field_restore(:'size') ->> 'key' AS restored;
SELECT crm.lead_get(:'api') -> 'custom' AS shown;
SELECT jsonb_agg((h -> 'changed') - 'deleted_at' ORDER BY n) AS history
FROM jsonb_array_elements(crm.custom_field_history(:'size', 4) -> 'data') WITH ORDINALITY AS e (h, n);

-- Used: not to be removed
SELECT id AS stage FROM (SELECT stage_id AS id FROM crm.stage WHERE org_id = :'org' LIMIT 1) s \gset
SELECT d ->> 'id' AS budget FROM crm.custom_field_create('{
    "entity": "deal", "key": "budget", "type": "number"}') d \gset
UPDATE crm.stage SET required_fields = '{custom.budget}' WHERE stage_id = :'stage';
SELECT pg_temp.fails(format('SELECT crm.custom_field_delete(%L)', :'budget')) AS used;
UPDATE crm.stage SET required_fields = '{}' WHERE stage_id = :'stage';

-- Purged: the values go from the records, then the definition.
SELECT pg_temp.fails(format('SELECT crm.custom_field_purge(%L)', :'size')) AS not_removed;
SELECT crm.custom_field_delete(:'size');
SELECT crm.custom_field_purge(:'size');
SELECT saleshub.custom_build() > 0 AS worked;
SELECT count(*) FILTER (WHERE custom ? 'size') AS values_left FROM crm.lead WHERE org_id = :'org';
SELECT count(*) AS definitions_left FROM crm.custom_field WHERE custom_field_id = :'size';

-- Two hundred are the limit.
INSERT INTO crm.custom_field (entity, key, type) SELECT 'product', 'f' || n, 'text' FROM generate_series(1, 200) n;
SELECT pg_temp.fails($$SELECT crm.custom_field_create('{"entity": "product", "key": "more", "type": "text"}')$$);

-- Members: reps read definitions, admins and managers write them.
SELECT (crm.custom_field_list(2) -> 'data' -> 0) ->> 'entity' AS first, crm.custom_field_list(1, count_ => true) -> 'total' AS total;
INSERT INTO crm.member (name, email, role) VALUES ('Rep', 'rep@fields.test', 'rep') RETURNING member_id AS rep \gset
SET saleshub.member_id = :'rep';
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT jsonb_array_length(crm.custom_field_list(200, filters => '[{"field": "entity", "value": "lead"}]') -> 'data') AS read;
SELECT pg_temp.fails($$SELECT crm.custom_field_create('{"entity": "lead", "key": "mine", "type": "text"}')$$) AS create,
       pg_temp.fails(format('SELECT crm.custom_field_update(%L, ''{"label": "x"}'')', :'budget')) AS update,
       pg_temp.fails(format('SELECT crm.custom_field_delete(%L)', :'budget')) AS delete;
UPDATE crm.custom_field SET label = 'x' WHERE custom_field_id = :'budget' RETURNING label;
INSERT INTO crm.lead (last_name, custom) VALUES ('By rep', '{"tier": "gold"}') RETURNING custom;
RESET ROLE;

-- Field rules, by role: hidden and read-only custom fields
SET saleshub.member_id = :'ann';
SET saleshub.member_role = 'admin';
SELECT pg_temp.fails($$SELECT crm.visibility_update('{"fields": {"rep": {"lead": {"custom.no": "hidden", "custom.tier": "odd", "nothing": null}}}}')$$);
SELECT crm.visibility_update('{"fields": {"rep": {"lead": {"custom.tier": "hidden", "custom.rate": "read_only"}}}}') #> '{fields,rep}' AS rules;
UPDATE crm.lead SET custom = '{"tier": "gold", "rate": 2, "name": "abc"}' WHERE lead_id = :'api';
SET saleshub.member_id = :'rep';
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT crm.lead_get(:'api') -> 'custom' AS got, crm.lead_list(fields => 'custom', filters => '[{"field": "custom.rate", "value": "2"}]') #> '{data,0,custom}' AS listed;
SELECT pg_temp.fails($$SELECT crm.lead_list(filters => '[{"field": "custom.tier", "value": "gold"}]')$$) AS filter,
       pg_temp.fails(format('SELECT crm.lead_update(%L, ''{"custom": {"tier": "silver", "rate": 3}}'')', :'api')) AS write;
SELECT crm.lead_update(:'api', '{"custom": {"name": "xyz"}}') -> 'custom' AS written;
SELECT crm.lead_update(:'api', '{"custom": null}') -> 'custom' AS cleared;
SELECT custom AS kept FROM crm.lead WHERE lead_id = :'api';
SELECT h -> 'changed' -> 'custom' AS history FROM jsonb_array_elements(crm.lead_history(:'api', 3) -> 'data') h;
