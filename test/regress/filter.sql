-- Filters: what each condition means in SQL, faults with their pointers, and what must hold for
-- any filter at all, tried with many random ones.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Filters', 'Ann', 'ann@filters.example', 'EUR') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
SET ROLE saleshub_user;

-- the text holds the shape, the values stand beside it
SELECT saleshub.filter_compile(saleshub.lead_meta() -> 'filter', c) - 'errors'
FROM unnest(ARRAY[
    '{"field": "status", "op": "=", "value": "new"}', '{"field": "last_name", "op": "eq", "value": "O''Neil \" $1"}',
    '{"field": "score", "op": "gte", "value": 50}', '{"not": {"field": "score", "op": "<", "value": 50}}',
    '{"not": {"and": [{"field": "city", "op": "is_null"}, {"field": "email", "op": "matches_domain", "value": "free"}]}}',
    '{"or": [{"field": "tags", "op": "in", "value": ["VIP", "x"]}, {"field": "owner_id", "op": "not_null"}]}',
    '{"field": "created_at", "op": "<", "value": "2026-05-01"}']::jsonb[]) c;
SELECT saleshub.filter_compile(saleshub.activity_meta() -> 'filter',
    '{"not": {"field": "lead_id", "op": "=", "value": "00000000-0000-7000-8000-000000000001"}}') ->> 'sql';

-- all faults at once, each with its place
SELECT e ->> 'pointer', e ->> 'code', e ->> 'detail'
FROM jsonb_array_elements(saleshub.filter_compile(saleshub.lead_meta() -> 'filter', '{"and": [
    {"field": "nope", "op": "="}, {"field": "score", "op": "~", "value": 1}, {"field": "score", "op": "=", "value": 1.5},
    {"field": "status", "op": "=", "value": "odd"}, {"field": "owner_id", "op": "in", "value": ["me", 3]},
    {"field": "created_at", "op": ">", "value": "2026-02-30"}, {"field": "created_at", "op": ">", "value": "2026-02-28T25:00Z"},
    {"field": "consent_email", "op": "=", "value": "yes"}, {"field": "city", "op": "is_null", "value": 1},
    {"field": "status", "op": "<", "value": "new"}, {"field": "title", "op": "matches_domain", "value": "x"},
    {"or": []}, {"not": [1], "a/b~c": 2}, {"field": "city", "op": "=", "value": ""}, 7, {}]}') -> 'errors') e;
SELECT e ->> 'pointer', e ->> 'code' FROM jsonb_array_elements(saleshub.filter_compile(saleshub.lead_meta() -> 'filter',
    (repeat('{"not": ', 40) || '1' || repeat('}', 40))::jsonb) -> 'errors') e;
SELECT e ->> 'pointer', e ->> 'code' FROM jsonb_array_elements(saleshub.filter_compile(saleshub.lead_meta() -> 'filter',
    jsonb_build_object('or', (SELECT jsonb_agg('{"field": "city", "op": "not_null"}'::jsonb) FROM generate_series(1, 501)))) -> 'errors') e;
SELECT e ->> 'pointer', e ->> 'code' FROM jsonb_array_elements(saleshub.filter_compile(saleshub.lead_meta() -> 'filter',
    jsonb_build_object('and', jsonb_build_array(
        jsonb_build_object('field', 'score', 'op', 'in', 'value', (SELECT jsonb_agg(i) FROM generate_series(1, 5001) i)),
        jsonb_build_object('field', 'city', 'op', '=', 'value', repeat('x', 1001))))) -> 'errors') e;

-- date math and me: known only when the list is read
SELECT saleshub.filter_compile(saleshub.lead_meta() -> 'filter', c)
FROM unnest(ARRAY[
    '{"field": "created_at", "op": ">=", "value": "now-7d/d"}', '{"field": "owner_id", "op": "=", "value": "me"}',
    '{"field": "owner_id", "op": "in", "value": ["me", "00000000-0000-7000-8000-000000000001"]}',
    '{"field": "created_at", "op": "in", "value": ["today", "2026-01-01"]}', '{"field": "created_at", "op": "<", "value": "now-7x"}',
    '{"field": "created_at", "op": "<", "value": "now-12345d"}', '{"field": "owner_id", "op": "=", "value": "Me"}']::jsonb[]) c;
SELECT saleshub.filter_compile(saleshub.deal_meta() -> 'filter', '{"field": "close_date", "op": "<=", "value": "tomorrow"}') ->> 'sql';
RESET ROLE;
UPDATE crm.org SET timezone = 'Asia/Kathmandu' WHERE org_id = :'org';
SET ROLE saleshub_user;
SELECT saleshub.date_math('now') = now(), saleshub.date_math('now-36h+90m') = now() - interval '34.5 hours',
    saleshub.date_math('today') = date_trunc('day', now(), 'Asia/Kathmandu'),
    saleshub.date_math('now/M-1M') = (date_trunc('month', now() AT TIME ZONE 'Asia/Kathmandu') - interval '1 month') AT TIME ZONE 'Asia/Kathmandu',
    saleshub.date_math('now+w/w') = date_trunc('week', (now() AT TIME ZONE 'Asia/Kathmandu' + interval '7 days') AT TIME ZONE 'Asia/Kathmandu', 'Asia/Kathmandu'),
    saleshub.date_math_day('yesterday') = (now() AT TIME ZONE 'Asia/Kathmandu')::date - 1;
SELECT saleshub.date_math('now;drop');
BEGIN;
RESET ROLE;
SELECT set_config('saleshub.member_id', m.member_id::text, true) IS NOT NULL FROM crm.member m WHERE m.org_id = :'org' LIMIT 1;
SET ROLE saleshub_user;
INSERT INTO crm.lead (last_name, owner_id, created_at) SELECT 'Mine ' || d, saleshub.member_id(), now() - d * interval '1 day' FROM generate_series(0, 20, 10) d;
INSERT INTO crm.lead (last_name) VALUES ('Ours');
UPDATE crm.lead SET owner_id = NULL WHERE last_name = 'Ours';
SELECT f, jsonb_path_query_array(crm.lead_list(filters => f), '$.data[*].last_name')
FROM unnest(ARRAY['[{"field": "owner_id", "op": "eq", "value": "me"}]', '[{"field": "owner_id", "op": "ne", "value": "me"}]', '[{"field": "created_at", "op": "lt", "value": "now-15d"}]',
    '[{"field": "created_at", "op": "gte", "value": "now-11d"}, {"field": "created_at", "op": "lt", "value": "now-1h"}]']::jsonb[]) f;
ROLLBACK;

-- Random things, the same in every run of one server version.
SELECT setseed(0.25) IS NOT NULL AS seeded;
CREATE FUNCTION pg_temp.pick(VARIADIC items text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT items[1 + floor(random() * cardinality(items))::integer];
$$;
CREATE FUNCTION pg_temp.word() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT pg_temp.pick('Ada', 'ADA', 'ada b', 'Äda', 'ÄDA', 'ß', 'a%', 'a_', '100% o''x', 'İz', 'web', 'Web', 'x', 'Zoë', 'b\c', '"q"', '日本');
$$;
CREATE FUNCTION pg_temp.maybe(value text) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN random() < 0.75 THEN value END;
$$;
CREATE FUNCTION pg_temp.mail() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT pg_temp.pick('a', 'b') || '@' || pg_temp.pick('gmail.com', 'firm.example', 'eu.firm.example', 'myfirm.example', 'web.de');
$$;

INSERT INTO crm.lead (first_name, last_name, email, phone, company_name, title, website, source, status, country, city, industry,
    employees, annual_revenue, annual_revenue_currency, tags, consent_email, consent_phone, created_at)
SELECT pg_temp.maybe(pg_temp.word()), pg_temp.word(), pg_temp.maybe(pg_temp.mail()), pg_temp.maybe('+49301234' || i % 10),
    pg_temp.maybe(pg_temp.word()), pg_temp.maybe(pg_temp.word()), pg_temp.maybe('https://w' || i % 5 || '.example'),
    pg_temp.maybe(pg_temp.word()), pg_temp.pick('new', 'working', 'qualified'), pg_temp.maybe(pg_temp.pick('DE', 'FR')),
    pg_temp.maybe(pg_temp.word()), pg_temp.maybe(pg_temp.word()), pg_temp.maybe((i % 7)::text)::integer,
    pg_temp.maybe(pg_temp.pick('1', '1.50', '2', '1000000.01'))::numeric, 'EUR',
    CASE WHEN random() < 0.7 THEN ARRAY[pg_temp.word(), pg_temp.word()] ELSE '{}' END,
    pg_temp.maybe(pg_temp.pick('true', 'false'))::boolean, pg_temp.maybe(pg_temp.pick('true', 'false'))::boolean,
    timestamptz '2026-05-05 00:00Z' - i % 9 * interval '1 day'
FROM generate_series(1, 150) i;
INSERT INTO crm.deal (name, amount, close_date, product, tags, created_at, source, forecast_category)
SELECT pg_temp.word(), pg_temp.maybe((i % 5)::text)::numeric, pg_temp.maybe('2026-01-0' || 1 + i % 6)::date, pg_temp.maybe(pg_temp.word()),
    ARRAY[pg_temp.word()], timestamptz '2026-05-05 00:00Z' - i % 9 * interval '1 day', pg_temp.maybe(pg_temp.word()),
    (ARRAY['commit', 'best_case', 'omitted'])[1 + i % 5]
FROM generate_series(1, 100) i;
INSERT INTO crm.activity (type, subject, due_at, outcome)
SELECT pg_temp.pick('task', 'call', 'note'), pg_temp.word(), pg_temp.maybe('2026-03-0' || 1 + i % 6)::timestamptz, pg_temp.maybe(pg_temp.word())
FROM generate_series(1, 60) i;
INSERT INTO crm.activity (type, subject, priority, direction, duration_s, email_from, email_to, message_id, in_reply_to)
SELECT CASE WHEN i % 2 = 0 THEN 'call' ELSE 'email' END, pg_temp.word(), pg_temp.pick('low', 'normal', 'high'),
    pg_temp.pick('inbound', 'outbound', 'outbound'), CASE WHEN i % 2 = 0 THEN i % 5 END, CASE WHEN i % 2 = 1 THEN 'ada@firm.example' END,
    CASE WHEN i % 2 = 1 THEN ARRAY['a' || i % 3 || '@firm.example'] ELSE '{}' END, CASE WHEN i % 2 = 1 THEN i || '@x' END,
    CASE WHEN i % 2 = 1 THEN pg_temp.maybe(pg_temp.word()) END
FROM generate_series(1, 40) i;
INSERT INTO crm.activity (type, subject, starts_at, location)
SELECT 'meeting', pg_temp.word(), timestamptz '2026-03-01 00:00Z' + i % 6 * interval '1 day', pg_temp.maybe(pg_temp.word())
FROM generate_series(1, 30) i;
INSERT INTO crm.activity_link (activity_id, entity, entity_id)
SELECT a.activity_id, 'lead', l.lead_id FROM crm.activity a, LATERAL (
    SELECT lead_id FROM crm.lead ORDER BY lead_id LIMIT 4) l
WHERE random() < 0.2;

-- A value that a condition on such a field can have.
CREATE FUNCTION pg_temp.value(field jsonb, op text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN op = 'matches_domain' THEN to_jsonb(pg_temp.pick('free', 'business', 'firm.example', 'gmail.com'))
        WHEN field ? 'email' THEN to_jsonb(pg_temp.mail())
        WHEN field ->> 'name' = 'phone' THEN to_jsonb(pg_temp.pick('+493012341', '+4930', '9'))
        WHEN field ->> 'type' = 'enum' THEN field #> '{schema,enum}' -> floor(random() * jsonb_array_length(field #> '{schema,enum}'))::integer
        WHEN field ->> 'type' = 'integer' THEN to_jsonb(floor(random() * 9)::integer - 1)
        WHEN field ->> 'type' IN ('number', 'money') THEN pg_temp.pick('1', '1.5', '1.50', '0', '-3', '1000000.005', '2')::jsonb
        WHEN field ->> 'type' = 'boolean' THEN pg_temp.pick('true', 'false')::jsonb
        WHEN field ->> 'type' = 'uuid' THEN to_jsonb(coalesce(
            (SELECT lead_id FROM crm.lead ORDER BY lead_id LIMIT 1 OFFSET floor(random() * 5)), crm.uuid_v7()))
        WHEN field ->> 'type' = 'date' THEN to_jsonb('2026-01-0' || 1 + floor(random() * 6)::integer)
        WHEN field ->> 'type' = 'timestamp' THEN to_jsonb(pg_temp.pick('2026-05-01', '2026-04-30T12:00:00+02:00', '2026-05-03t00:00:00z'))
        ELSE to_jsonb(pg_temp.word()) END;
$$;
CREATE FUNCTION pg_temp.ops(field jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN field ? 'exists' THEN '{=,!=,in,not_in}'::text[] ELSE '{is_null,not_null}' || CASE field ->> 'type'
        WHEN 'text' THEN '{=,!=,<,<=,>,>=,in,not_in,contains,starts_with}'::text[]
            || CASE WHEN field ? 'email' THEN '{matches_domain}' ELSE '{}' END::text[]
        WHEN 'enum' THEN '{=,!=,in,not_in}' WHEN 'uuid' THEN '{=,!=,in,not_in}' WHEN 'boolean' THEN '{=,!=}'
        WHEN 'tags' THEN '{in,not_in,contains}' ELSE '{eq,ne,lt,lte,gt,gte,in,not_in}' END END;
$$;
CREATE FUNCTION pg_temp.conditions(fields jsonb, names text[], depth integer) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    field jsonb := fields -> names[1 + floor(random() * cardinality(names))::integer];
    op text;
    joint text := pg_temp.pick('and', 'or', 'not');
BEGIN
    IF depth > 0 AND random() < 0.6 THEN
        RETURN jsonb_build_object(joint, CASE joint WHEN 'not' THEN pg_temp.conditions(fields, names, depth - 1)
            ELSE (SELECT jsonb_agg(pg_temp.conditions(fields, names, depth - 1))
                  FROM generate_series(0, floor(random() * 3)::integer)) END);
    END IF;
    op := pg_temp.pick(VARIADIC pg_temp.ops(field));
    RETURN jsonb_build_object('field', field -> 'name', 'op', op) || CASE
        WHEN op IN ('is_null', 'not_null') THEN '{}'
        WHEN op IN ('in', 'not_in') THEN jsonb_build_object('value', (
            SELECT jsonb_agg(pg_temp.value(field, op)) FROM generate_series(1, 1 + floor(random() * 3)::integer)))
        ELSE jsonb_build_object('value', pg_temp.value(field, op)) END;
END;
$$;

-- A filter and its opposite part the rows, nothing is left over, and twice not is the filter; so too
-- the three truth values that its text can have.
CREATE FUNCTION pg_temp.parts(meta jsonb, times integer, OUT filters integer, OUT neither_empty_nor_all integer, OUT wrong text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    fields jsonb := meta -> 'filter';
    names text[] := ARRAY(SELECT jsonb_object_keys(fields));
    c jsonb;
    yes jsonb;
    no jsonb;
    twice jsonb;
    n bigint[];
BEGIN
    filters := 0;
    neither_empty_nor_all := 0;
    FOR i IN 1 .. times LOOP
        c := pg_temp.conditions(fields, names, 3);
        yes := saleshub.filter_compile(fields, c);
        no := saleshub.filter_compile(fields, jsonb_build_object('not', c));
        twice := saleshub.filter_compile(fields, jsonb_build_object('not', jsonb_build_object('not', c)));
        IF yes ? 'errors' THEN
            wrong := c::text || (yes ->> 'errors');
            RETURN;
        END IF;
        -- one statement per filter: its args are at $1, those of the opposite are the same
        EXECUTE format('SELECT ARRAY[count(*) FILTER (WHERE %1$s), count(*) FILTER (WHERE %2$s), count(*),'
            ' count(*) FILTER (WHERE (%1$s) AND (%2$s)), count(*) FILTER (WHERE NOT (%1$s)), count(*) FILTER (WHERE (%1$s) IS NULL)]'
            ' FROM %3$s t WHERE t.org_id = saleshub.org_id()', yes ->> 'sql', no ->> 'sql', meta ->> 'table')
        INTO n USING jsonb_build_object('f', yes -> 'args');
        filters := filters + 1;
        neither_empty_nor_all := neither_empty_nor_all + (n[1] > 0 AND n[1] < n[3])::integer;
        IF n[1] + n[2] <> n[3] OR n[4] <> 0 OR n[1] + n[5] + n[6] <> n[3] OR twice <> yes OR yes -> 'args' <> no -> 'args' THEN
            wrong := concat(left(wrong, 300), format('%s: %s', c, n));
        END IF;
    END LOOP;
END;
$$;
SELECT p.filters, p.neither_empty_nor_all > p.filters / 3 AS telling, p.wrong
FROM pg_temp.parts(saleshub.lead_meta(), 300) p;
SELECT p.filters, p.neither_empty_nor_all > p.filters / 5 AS telling, p.wrong
FROM pg_temp.parts(saleshub.deal_meta(), 200) p;
SELECT p.filters, p.neither_empty_nor_all > p.filters / 5 AS telling, p.wrong
FROM pg_temp.parts(saleshub.activity_meta(), 100) p;

-- SQL and scoring agree about every lead
CREATE FUNCTION pg_temp.agree(times integer, OUT filters integer, OUT rows_ bigint, OUT wrong text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    fields jsonb := saleshub.lead_meta() -> 'filter';
    names text[] := '{first_name,last_name,email,phone,company_name,title,website,source,status,country,city,industry,employees,
        annual_revenue,annual_revenue_currency,tags,consent_email,consent_phone}';
    c jsonb;
    compiled jsonb;
    n bigint[];
BEGIN
    filters := 0;
    rows_ := 0;
    FOR i IN 1 .. times LOOP
        c := pg_temp.conditions(fields, names, 3);
        compiled := saleshub.filter_compile(fields, c);
        EXECUTE format('SELECT ARRAY[count(*) FILTER (WHERE ((%s) IS TRUE) <> saleshub.score_predicate_true($2, t)), count(*)]'
            ' FROM crm.lead t WHERE t.org_id = saleshub.org_id()', compiled ->> 'sql')
        INTO n USING jsonb_build_object('f', compiled -> 'args'), c;
        filters := filters + 1;
        rows_ := rows_ + n[2];
        IF n[1] > 0 THEN
            wrong := concat(left(wrong, 300), format('%s: %s of %s', c, n[1], n[2]));
        END IF;
    END LOOP;
END;
$$;
SELECT * FROM pg_temp.agree(400);

-- Filters broken at random: no crash, no text from a value; a fault or a statement that runs.
CREATE FUNCTION pg_temp.junk() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT (ARRAY['null', 'true', '0', '-1e400', '1e-300', '""', '"§"', '[]', '{}', '[[]]', '{"not": null}', '{"and": {}}', '{"or": [null]}',
        '{"field": "§", "op": "§", "value": "§"}', '"2026-13-01"', '"0000-01-01"', '"2026-01-01T00:00:00+99:00"', '"99999-01-01"', '"in"', '"is_null"',
        '99999999999999999999999', '["§", 1, null]', '{"": ""}', '{"and": [], "or": []}', '"\"; DROP TABLE crm.lead; --§"', '"%s§"', '"$1§"', '"\\u00e4"',
        '[1, 2, 3]', '{"field": null}', '"score"', '"tags"', '"=" ', '"free"', '12345678901234567890.12345678901234567890']::jsonb[])
        [1 + floor(random() * 35)::integer];
$$;
CREATE FUNCTION pg_temp.mutated(c jsonb) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    key text;
    n integer;
BEGIN
    IF random() < 0.15 THEN
        RETURN pg_temp.junk();
    ELSIF jsonb_typeof(c) = 'object' AND c <> '{}' THEN
        key := (SELECT k FROM jsonb_object_keys(c) k ORDER BY random() LIMIT 1);
        RETURN CASE floor(random() * 6)::integer
            WHEN 0 THEN c - key
            WHEN 1 THEN c - key || jsonb_build_object(pg_temp.pick('field', 'op', 'value', 'and', 'or', 'not', '§', 'a/~b', repeat('x', 5000)), c -> key)
            WHEN 2 THEN c || jsonb_build_object(pg_temp.pick('field', 'op', 'value', 'and', 'or', 'not', '§'), pg_temp.junk())
            ELSE c || jsonb_build_object(key, pg_temp.mutated(c -> key)) END;
    ELSIF jsonb_typeof(c) = 'array' AND c <> '[]' THEN
        n := floor(random() * jsonb_array_length(c))::integer;
        RETURN CASE floor(random() * 5)::integer WHEN 0 THEN c - n WHEN 1 THEN c || pg_temp.junk()
            ELSE jsonb_set(c, ARRAY[n::text], pg_temp.mutated(c -> n)) END;
    ELSIF jsonb_typeof(c) = 'string' AND random() < 0.5 THEN
        RETURN to_jsonb((c #>> '{}') || '§');
    END IF;
    RETURN CASE WHEN random() < 0.5 THEN c ELSE pg_temp.junk() END;
END;
$$;
CREATE FUNCTION pg_temp.fuzz(times integer, OUT refused integer, OUT ran integer, OUT wrong text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    meta jsonb;
    fields jsonb;
    c jsonb;
    compiled jsonb;
    bad text;
    n bigint;
BEGIN
    refused := 0;
    ran := 0;
    FOR i IN 1 .. times LOOP
        meta := CASE i % 3 WHEN 0 THEN saleshub.lead_meta() WHEN 1 THEN saleshub.deal_meta() ELSE saleshub.activity_meta() END;
        fields := meta -> 'filter';
        c := pg_temp.conditions(fields, ARRAY(SELECT jsonb_object_keys(fields)), 3);
        FOR j IN 1 .. i % 4 LOOP
            c := pg_temp.mutated(c);
        END LOOP;
        compiled := saleshub.filter_compile(fields, c);
        IF compiled ? 'errors' THEN
            refused := refused + 1;
            -- every fault is at a place that is there, or lacks just its last step
            SELECT e ->> 'pointer' INTO bad
            FROM jsonb_array_elements(compiled -> 'errors') e,
                 LATERAL (SELECT ARRAY(SELECT replace(replace(s, '~1', '/'), '~0', '~')
                                       FROM string_to_table(substr(e ->> 'pointer', 2), '/') WITH ORDINALITY AS t (s, place) ORDER BY place) AS path) p
            WHERE e ->> 'pointer' <> '' AND c #> path[: cardinality(path) - 1] IS NULL OR coalesce(e ->> 'code', '') = ''
               OR coalesce(e ->> 'detail', '') = '';
            IF compiled -> 'errors' = '[]' OR bad IS NOT NULL THEN
                wrong := concat(left(wrong, 300), format('%s: %s', c, coalesce(bad, 'no fault')));
            END IF;
        ELSE
            ran := ran + 1;
            EXECUTE format('SELECT count(*) FROM %s t WHERE t.org_id = saleshub.org_id() AND %s', meta ->> 'table', compiled ->> 'sql')
            INTO n USING jsonb_build_object('f', compiled -> 'args');
            IF compiled ->> 'sql' LIKE '%§%' OR jsonb_path_exists(compiled -> 'args', 'strict $[*] ? (@.type() != "array")') THEN
                wrong := concat(left(wrong, 300), format('%s: %s', c, compiled));
            END IF;
        END IF;
    END LOOP;
END;
$$;
SELECT refused > 1000 AS refused, ran > 300 AS ran, wrong FROM pg_temp.fuzz(2000);
-- values change no letter of the text
SELECT count(DISTINCT saleshub.filter_compile(saleshub.lead_meta() -> 'filter', jsonb_build_object('and', jsonb_build_array(
    jsonb_build_object('field', 'city', 'op', '=', 'value', w), jsonb_build_object('field', 'tags', 'op', 'contains', 'value', w),
    jsonb_build_object('field', 'title', 'op', 'in', 'value', jsonb_build_array(w, w || 'x'))))) ->> 'sql') AS texts, count(*) AS values_
FROM unnest(ARRAY['a', '''', '"', '\', '$1', '%s', '--', ';', '{f,0,0}', E'\n', 'ß', '日本', repeat('x', 900)]) w;
SELECT saleshub.filter_compile('[]', '{}');
