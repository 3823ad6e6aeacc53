-- Exports: what each member gets of what a list finds, byte for byte; and the log of what was taken.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat(SQLSTATE, ' ', message,
                  ' ' || CASE WHEN detail LIKE '{%' THEN detail::jsonb -> 'errors' ->> 0 END);
END;
$$;
-- The whole of an export as one text; the arguments in the notation of SQL.
CREATE FUNCTION pg_temp.taken(args text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    source refcursor;
    piece text;
    whole text := '';
BEGIN
    EXECUTE 'SELECT crm.export(' || args || ')' INTO source;
    LOOP
        FETCH source INTO piece;
        EXIT WHEN NOT FOUND;
        whole := whole || piece;
    END LOOP;
    CLOSE source;
    RETURN whole;
END;
$$;
-- The same, line by line, with what ends lines made visible and ids told by their place.
CREATE FUNCTION pg_temp.lines(args text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(replace(l, E'\r', '<CR>'), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g')
    FROM string_to_table(rtrim(pg_temp.taken(args), E'\n'), E'\n') l
$$;
CREATE FUNCTION pg_temp.enter(member text, role text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', role, false);
$$;

SELECT crm.org_create('Exporters', 'Ann', 'ann@export.example', 'EUR') AS org \gset
SELECT :'org'::jsonb ->> 'org_id' AS org_id, :'org'::jsonb ->> 'member_id' AS ann \gset
SELECT crm.org_create('Others', 'Zoe', 'zoe@export.example', 'EUR') ->> 'org_id' AS other_id \gset
INSERT INTO crm.lead (org_id, last_name) VALUES (:'other_id', 'Not ours');
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Rob', 'rob@export.example', 'rep') RETURNING member_id AS rob \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Mia', 'mia@export.example', 'rep') RETURNING member_id AS mia \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Joe', 'joe@export.example', 'readonly') RETURNING member_id AS joe \gset
INSERT INTO crm.team (org_id, name) VALUES (:'org_id', 'North') RETURNING team_id AS north \gset
INSERT INTO crm.team_member (org_id, team_id, member_id) VALUES (:'org_id', :'north', :'rob'), (:'org_id', :'north', :'joe');
SELECT set_config('saleshub.org_id', :'org_id', false) = :'org_id' AS context;
SELECT pg_temp.enter(:'ann', 'admin');
INSERT INTO crm.lead (last_name, first_name, owner_id, annual_revenue, annual_revenue_currency, employees, tags, custom, consent_email, created_at)
VALUES ('Abel', 'Ada', :'ann', 1234.5, 'CHF', 7, '{hot,"a;b","c\\d"}', '{"size": "L", "seats": 3}', true, '2026-01-02 03:04:05.678+00'),
       ('Berg', 'says "hi", often', :'rob', NULL, NULL, 0, '{}', '{}', NULL, '2026-01-02 03:04:06+00'),
       ('Cole', E'two\nlines', :'mia', 0.000001, 'EUR', NULL, '{}', '{"note": "=1+1"}', false, '2026-01-02 03:04:07+00');
SET ROLE saleshub_user;

-- All columns, in the order of the fields
SELECT * FROM pg_temp.lines($$'leads', sort => 'last_name'$$) LIMIT 1;
SELECT * FROM pg_temp.lines($$'leads', sort => 'last_name', fields => 'id,last_name,first_name,annual_revenue,employees,tags,custom,consent,created_at'$$);
-- Fields, columns of fields and values of custom fields, each once and in the order asked for
SELECT * FROM pg_temp.lines($$'lead', sort => '-last_name', fields => 'custom.size, last_name,annual_revenue_currency,annual_revenue,custom.note,last_name'$$);
-- Other delimiters, a byte order mark
SELECT * FROM pg_temp.lines($$'leads', sort => 'last_name', fields => 'last_name,tags,annual_revenue', delimiter => ';'$$);
SELECT * FROM pg_temp.lines($$'leads', sort => 'last_name', fields => 'last_name,employees', delimiter => 'tab', filters => '[{"field": "employees", "op": "gt", "value": 0}]'$$);
SELECT encode(convert_to(left(pg_temp.taken($$'leads', fields => 'last_name', bom => true$$), 4), 'UTF8'), 'hex');
-- Only the header is left of nothing; of JSON nothing
SELECT * FROM pg_temp.lines($$'contacts', fields => 'name,email'$$);
SELECT length(pg_temp.taken($$'contacts', format => 'ndjson'$$));

-- Lines of JSON are what the API shows
SELECT pg_temp.taken($$'leads', format => 'ndjson', sort => '-created_at'$$)
    = (SELECT string_agg(d::text || E'\n', '' ORDER BY n) FROM jsonb_array_elements(crm.lead_list() -> 'data') WITH ORDINALITY e (d, n)) AS same;
SELECT * FROM pg_temp.lines($$'leads', accept => 'text/html, application/x-ndjson;q=0.9, */*;q=0.1', fields => 'last_name', sort => 'last_name'$$);
SELECT string_agg(saleshub.export_accepts(a), ' ' ORDER BY n) FROM unnest(ARRAY[NULL, '*/*', 'text/csv', 'application/x-ndjson',
    'text/csv;q=0.5, application/x-ndjson', 'application/x-ndjson;q=0', 'application/json']) WITH ORDINALITY e (a, n);

-- What a list of conditions, a saved filter and an instant find
SELECT crm.filter_create('{"noun": "lead", "name": "Größe – „L“", "sort": "-last_name", "filter": {"field": "employees", "op": ">=", "value": 0}}') ->> 'id' AS filter \gset
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name', filter_ => '$$ || :'filter' || $$'$$);
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name', filter_ => '{"field": "last_name", "op": "starts_with", "value": "b"}'$$);
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name', filters => '{"not": {"field": "employees", "op": ">=", "value": 0}}'$$);
SELECT clock_timestamp() AS before \gset
SELECT crm.lead_update(l.lead_id, '{"last_name": "Zulu", "first_name": null}') ->> 'last_name' FROM crm.lead l WHERE l.last_name = 'Abel';
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name,first_name', sort => '-last_name'$$) LIMIT 2;
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name,first_name', sort => 'last_name', as_of => '$$ || :'before' || $$'$$) LIMIT 2;
SELECT crm.lead_update(l.lead_id, '{"last_name": "Abel", "first_name": "Ada"}') ->> 'last_name' FROM crm.lead l WHERE l.last_name = 'Zulu';

-- Refused
SELECT pg_temp.refused($$SELECT crm.export('things')$$);
SELECT pg_temp.refused($$SELECT crm.export(NULL)$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', format => 'xml')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', fields => 'last_name,nothing')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', fields => ' , ')$$);
SELECT pg_temp.refused($$SELECT crm.export('products', fields => 'custom.')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', format => 'ndjson', fields => 'nothing')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', sort => 'phone')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', delimiter => '"')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', formulas => 'eval')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', filters => '[{"field": "stage_id", "value": 1}]')$$);
SELECT pg_temp.refused($$SELECT crm.export('deals', filter_ => '$$ || :'filter' || $$')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', as_of => 'infinity')$$);
SELECT pg_temp.refused($$SELECT saleshub.export_chunks('nowhere', 'csv', '{a}', ',', true, false, NULL)$$);

-- Spreadsheets run nothing, and what the guard adds can be taken off again: exactly one apostrophe
-- where apostrophes come before one of = + - @ tab CR LF
RESET ROLE;
CREATE TABLE public.tricky (n integer, value text);
INSERT INTO public.tricky
SELECT n, v FROM unnest(ARRAY['=1+1', '+1+1', '+49 (30) 123-45', '-5', '- 5.50', '-A1', '@SUM(A1)', E'\t=1', E'\r=1', E'\n=1', '''=1', '''''@x', '''+49 30',
    '''', 'it''s', '''tis', '=', '-', '+', 'a=1', '=cmd|''/C calc''!A0', '"', '""', ',', ';', '', ' x', 'x ', '\.', '\', E'a\r\nb', 'ünï', '漢字', '𝄞', E'\u200f=1', '0x1', 'NULL', 'null']) WITH ORDINALITY e (v, n);
CREATE FUNCTION pg_temp.written(sql text, guard boolean, delimiter text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    source refcursor := 'tricky_rows';
    whole text;
BEGIN
    OPEN source FOR EXECUTE sql;
    SELECT string_agg(c, '') INTO whole FROM saleshub.export_chunks('tricky_rows', 'csv', '{value}', delimiter, guard, false, NULL) c;
    CLOSE source;
    RETURN whole;
END;
$$;
SELECT to_json(value), to_json(regexp_replace(pg_temp.written(format('SELECT value FROM public.tricky WHERE n = %s', n), true, ','), '^value\r\n|\r\n$', '', 'g'))
FROM public.tricky ORDER BY n;
-- A reader of one cell: quotes off, then the guard
CREATE FUNCTION pg_temp.cell(written text, guard boolean) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN guard THEN regexp_replace(c, '^''(?=''*[=+@\t\r\n-])', '') ELSE c END
    FROM (SELECT CASE WHEN written ~ '^"' THEN replace(regexp_replace(written, '^"|"$', '', 'g'), '""', '"') ELSE written END AS c) q
$$;
SELECT guard, delimiter, count(*) FILTER (WHERE value IS DISTINCT FROM pg_temp.cell(
    regexp_replace(pg_temp.written(format('SELECT value FROM public.tricky WHERE n = %s', n), guard, delimiter), '^value\r\n|\r\n$', '', 'g'), guard)) AS lost
FROM public.tricky, unnest(ARRAY[true, false]) guard, unnest(ARRAY[',', ';', '|']) delimiter GROUP BY 1, 2 ORDER BY 1, 2;
-- JSON is written as jsonb is: every byte below a space, everything that is tricky, every type of columns
CREATE FUNCTION pg_temp.json_differs(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    source refcursor := 'json_rows';
    got text;
    wanted text;
BEGIN
    EXECUTE format('SELECT jsonb_build_object(''a'', q.v)::text || E''\n'' FROM (%s) q (v)', query) INTO wanted;
    OPEN source FOR EXECUTE query;
    SELECT string_agg(c, '') INTO got FROM saleshub.export_chunks('json_rows', 'ndjson', '{a}', ',', true, false, NULL) c;
    CLOSE source;
    IF got IS DISTINCT FROM wanted THEN
        RETURN NEXT format('%s is not %s', got, wanted);
    END IF;
END;
$$;
SELECT pg_temp.json_differs(format('SELECT value FROM public.tricky WHERE n = %s', n)) FROM public.tricky;
SELECT pg_temp.json_differs(format('SELECT ''x'' || chr(%s) || ''y''', i)) FROM generate_series(1, 300) i;
SELECT pg_temp.json_differs('SELECT ' || v) FROM unnest(ARRAY['1', '-9223372036854775808', '1::smallint', '1.50', $$'NaN'::numeric$$, 'true', 'NULL::text', 'current_date',
    $$'0044-03-15 BC'::date$$, $$'infinity'::date$$, $$'00000000-0000-4000-8000-0123456789ab'::uuid$$, $$'{}'::text[]$$, $$ARRAY['a"b', NULL, E'\\\n']$$]) v;
SELECT pg_temp.json_differs($$SELECT '{"b": [1, null, {"c": ""}], "a": "\n"}'::jsonb$$);
DROP TABLE public.tricky;

-- Every kind of column; a deal's lines as JSON, an activity's links, what is NULL left empty
SET ROLE saleshub_user;
SELECT crm.product_create('{"name": "=Bolt", "price": {"amount": "2.5", "currency": "EUR"}, "sku": "+1", "tags": ["x"]}') ->> 'id' AS bolt \gset
SELECT crm.deal_create(jsonb_build_object('name', 'Big deal', 'lines', jsonb_build_array(
    jsonb_build_object('product_id', :'bolt', 'quantity', 2), '{"name": "Work, by \"hand\"", "unit_price": "10.10"}'::jsonb))) ->> 'id' AS deal \gset
SELECT crm.activity_create(jsonb_build_object('type', 'call', 'subject', '-2+3', 'body', E'=line one\nline two', 'due_at', '2026-03-01T10:00:00+02:00',
    'links', jsonb_build_array(jsonb_build_object('type', 'deal', 'id', :'deal')))) ->> 'subject';
SELECT pg_temp.refused($$SELECT crm.export('products', fields => 'name,deleted_at')$$);
SELECT * FROM pg_temp.lines($$'products', fields => 'name,sku,price,active,tags,custom,version'$$);
SELECT * FROM pg_temp.lines($$'products', fields => 'name,sku', formulas => 'keep'$$);
SELECT * FROM pg_temp.lines($$'deals', fields => 'name,amount,currency,amount_base,close_date,probability,status,lines'$$);
SELECT * FROM pg_temp.lines($$'activities', fields => 'type,subject,body,due_at,done_at,links'$$);
SELECT * FROM pg_temp.lines($$'companies'$$);

-- Lines of JSON are what the API shows, of every type
SELECT noun, pg_temp.taken(format('%L, format => ''ndjson'', sort => ''-created_at''', noun)) IS NOT DISTINCT FROM (
    SELECT coalesce(string_agg(d::text || E'\n', '' ORDER BY n), '') FROM jsonb_array_elements(saleshub.record_list(
        saleshub.filtered_meta(noun), 200, NULL, NULL, NULL, NULL, NULL, false) -> 'data') WITH ORDINALITY e (d, n)) AS same
FROM unnest('{lead,contact,company,deal,activity,product}'::text[]) noun;

-- One snapshot: what is changed after the export began is not in it
BEGIN;
SELECT crm.export('leads', fields => 'last_name', sort => 'last_name');
SELECT crm.lead_create('{"last_name": "Aaron"}') ->> 'last_name';
FETCH ALL FROM export;
-- A second one beside it has another name
SELECT crm.export('leads', fields => 'last_name', sort => 'last_name');
SELECT count(*) > 0 FROM pg_cursors WHERE name IN ('export_2', 'export_rows_2');
ROLLBACK;

-- Whoever calls gets what it sees: by owner, by field, of its organisation
RESET ROLE;
UPDATE crm.org SET settings = '{"visibility": {"rep": {"lead": "own"}, "readonly": {"lead": "team"}},
    "fields": {"rep": {"lead": {"annual_revenue": "hidden", "consent": "hidden", "first_name": "hidden"}, "deal": {"amount": "hidden"}}}}' WHERE org_id = :'org_id';
SET ROLE saleshub_user;
SELECT pg_temp.enter(:'rob', 'rep');
SELECT * FROM pg_temp.lines($$'leads'$$) LIMIT 1;
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name,custom'$$);
SELECT * FROM pg_temp.lines($$'deals'$$) LIMIT 1;
SELECT pg_temp.taken($$'leads', format => 'ndjson'$$)::jsonb ?| '{annual_revenue,consent,first_name}' AS leaks;
SELECT pg_temp.refused($$SELECT crm.export('leads', fields => 'annual_revenue')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', fields => 'annual_revenue_currency')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', fields => 'consent_email')$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', filters => '[{"field": "annual_revenue", "op": "gt", "value": 1}]')$$);
SELECT pg_temp.enter(:'joe', 'readonly');
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name', sort => 'last_name'$$);

-- The log: each sees its own entries, admins all; nobody writes it by hand
SELECT e ->> 'type', e ->> 'format', e ->> 'rows', e ->> 'complete', e ->> 'member_id' = :'joe' FROM jsonb_array_elements(crm.export_log_list() -> 'data') e;
SELECT pg_temp.refused($$INSERT INTO crm.export_log (noun, format) VALUES ('lead', 'csv')$$);
SELECT pg_temp.refused($$UPDATE crm.export_log SET "rows" = 0$$);
SELECT saleshub.export_note_sent(e.export_log_id, 0, 0, false) FROM crm.export_log e;
SELECT "rows" FROM crm.export_log;
SELECT pg_temp.enter(:'ann', 'admin');
SELECT count(DISTINCT e ->> 'member_id') FROM jsonb_array_elements(crm.export_log_list(200) -> 'data') e;
SELECT jsonb_array_length(crm.export_log_list(member_id => :'rob') -> 'data');
SELECT e - 'at' - 'id' - 'member_id' - 'request_id' - 'filter_id', e ->> 'filter_id' = :'filter' FROM jsonb_array_elements(crm.export_log_list(200) -> 'data') e WHERE e -> 'conditions' <> 'null' OR e -> 'filter_id' <> 'null';
-- The reader left after the first piece: what it got is known, also after an error
BEGIN;
SELECT crm.export('leads', fields => 'last_name');
SAVEPOINT download;
FETCH 1 FROM export \g /dev/null
SELECT 1 / 0;
ROLLBACK TO SAVEPOINT download;
SELECT saleshub.stream_cut();
COMMIT;
SELECT e ->> 'rows', e ->> 'bytes', e ->> 'complete' FROM jsonb_array_elements(crm.export_log_list(1) -> 'data') e;
-- In a transaction that only reads there is no entry
SELECT count(*) AS entries FROM crm.export_log \gset
BEGIN READ ONLY;
SELECT crm.export('leads', fields => 'last_name', sort => 'last_name');
FETCH ALL FROM export;
COMMIT;
SELECT count(*) = :entries FROM crm.export_log;

-- Custom fields are columns of their own, in their order; what else stands in custom comes after them
RESET ROLE;
SELECT count(crm.custom_field_create(d || '{"entity": "lead"}')) FROM jsonb_array_elements('[
    {"key": "size", "type": "text", "position": 2}, {"key": "seats", "type": "integer", "position": 1}, {"key": "since", "type": "timestamp", "position": 3},
    {"key": "likes", "type": "multi_enum", "options": [{"key": "tea"}, {"key": "jam"}], "position": 4}, {"key": "secret", "type": "number", "position": 5}]') d;
SELECT crm.lead_update(l.lead_id, '{"custom": {"since": "2026-05-01T10:00:00+02:00", "likes": ["tea", "jam"], "secret": -1.50}}') IS NOT NULL FROM crm.lead l WHERE l.last_name = 'Abel';
UPDATE crm.org SET settings = settings || '{"visibility": {}, "fields": {"rep": {"lead": {"custom.secret": "hidden"}}}}' WHERE org_id = :'org_id';
SET ROLE saleshub_user;
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name,custom', sort => 'last_name'$$);
SELECT * FROM pg_temp.lines($$'leads', fields => 'custom.*', sort => '-custom.seats', filters => '[{"field": "custom.seats", "op": "gt", "value": 2}]'$$);
SELECT * FROM pg_temp.lines($$'leads', fields => 'custom.likes,last_name,custom.note', filters => '[{"field": "custom.secret", "op": "lt", "value": 0}]'$$);
SELECT l LIKE '%,tags,custom.seats,custom.size,custom.since,custom.likes,custom.secret,custom,consent_email,%' FROM pg_temp.lines($$'leads'$$) l LIMIT 1;
SELECT pg_temp.enter(:'rob', 'rep');
SELECT * FROM pg_temp.lines($$'leads', fields => 'last_name,custom', sort => 'last_name'$$);
SELECT pg_temp.refused($$SELECT crm.export('leads', fields => 'custom.secret,last_name')$$);
SELECT pg_temp.taken($$'leads', format => 'ndjson'$$) ~ 'secret' AS leaks;
SELECT pg_temp.refused($$SELECT crm.export('leads', filters => '[{"field": "custom.secret", "op": "lt", "value": 0}]')$$);
SELECT pg_temp.enter(:'ann', 'admin');

-- An erased person is not in the conditions either
BEGIN;
SELECT crm.lead_create('{"last_name": "Gone", "email": "gone@export.example"}') ->> 'email';
SELECT pg_temp.taken($$'leads', fields => 'last_name', filters => '[{"field": "email", "value": "gone@export.example"}]'$$) ~ 'Gone';
SELECT count(*) FROM crm.export_log e WHERE e.conditions::text ~ 'gone@';
SELECT crm.subject_erase('{"email": "gone@export.example"}') IS NOT NULL;
SELECT count(*) FROM crm.export_log e WHERE e.conditions::text ~ 'gone@';
ROLLBACK;

-- Names of files
SELECT saleshub.disposition(n) FROM unnest(ARRAY['leads 2026-01-02.csv', 'a"b/c\d.csv', 'Größe.csv', '100%.csv', '漢 字.csv', E'x\r\ny.csv']) n;

-- The routes: what gives out a cursor may note it, and is nothing to write to or to keep
RESET ROLE;
SELECT r ->> 'path', r -> 'stream', r -> 'read_only' FROM jsonb_array_elements(saleshub.route_catalog()) r WHERE r ->> 'path' ~ '^/v1/exports' ORDER BY 1;
SELECT pg_temp.refused($$SELECT saleshub.route('POST /v1/x', 'crm.export(text, text, text, text, text, jsonb, timestamptz, text, boolean, text, text)', 'x', 'x')$$);
SELECT pg_temp.refused($$SELECT saleshub.route('GET /v1/x', 'crm.export(text, text, text, text, text, jsonb, timestamptz, text, boolean, text, text)', 'x', 'x', auth => 'none')$$);
