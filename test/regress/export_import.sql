-- What was exported can be imported: the same records come out of the file, whatever is in them.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('There', 'Ann', 'ann@there.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT crm.org_create('Back', 'Bob', 'bob@back.example', 'EUR', 'Europe/Berlin', 'DE') AS other \gset
SELECT :'org'::jsonb ->> 'org_id' AS org_id, :'org'::jsonb ->> 'member_id' AS ann, :'other'::jsonb ->> 'org_id' AS other_id, :'other'::jsonb ->> 'member_id' AS bob \gset
CREATE FUNCTION pg_temp.enter(org text, member text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.org_id', org, false), set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', 'admin', false);
$$;
CREATE FUNCTION pg_temp.taken(args text) RETURNS bytea LANGUAGE plpgsql AS $$
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
    RETURN convert_to(whole, 'UTF8');
END;
$$;
-- The records as they are, without what is given to each row anew.
CREATE FUNCTION pg_temp.records(noun text, without text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    docs jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(d ORDER BY d::text), ''[]'') FROM (SELECT (to_jsonb(t) || jsonb_strip_nulls(jsonb_build_object(''annual_revenue'', trim_scale((to_jsonb(t) ->> ''annual_revenue'')::numeric)))) - %L::text[] AS d FROM crm.%I t WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL) r',
        without || '{org_id,created_at,created_by,updated_at,updated_by,version,owner_id}'::text[] || (noun || '_id'), noun) INTO docs;
    RETURN docs;
END;
$$;

SELECT pg_temp.enter(:'org_id', :'ann');
SET saleshub.duplicates = 'allow';
INSERT INTO crm.lead (last_name, first_name, title, tags, email, phone, annual_revenue, annual_revenue_currency, employees, consent_email, status)
SELECT 'L' || n, v, v, ARRAY[v, 'x', v || ';' || v], 'l' || n || '@there.example', '+4930' || 1000000 + n, n * 1234.5, CASE n % 2 WHEN 0 THEN 'CHF' ELSE 'EUR' END, n, n % 3 = 0,
       CASE n % 2 WHEN 0 THEN 'new' ELSE 'working' END
FROM unnest(ARRAY['=1+1', '+1-2', '-x', '@SUM(A1)', '''=1', '''''@', '''', 'it''s', '"', '""', ',', ';', 'a,b;c|d', '\', '\;', 'a\\;b', E'two\nlines', E'tab\there', E'cr\rhere', E'both\r\nhere',
    '\.', '\N', 'NULL', '0', '007', '1e5', 'true', 'Ω≈ç√∫', '田中さん', 'مرحبا', '👩‍👩‍👧‍👦', E'\u200e', '<b>', '%s', '{}', '[]', '-', '+', '=', '--1', '''''''+']) WITH ORDINALITY e (v, n);
SET ROLE saleshub_user;
SELECT pg_temp.taken($$'leads'$$) AS file \gset
SELECT pg_temp.taken($$'leads', delimiter => ';', bom => true$$) AS other_file \gset
SELECT pg_temp.records('lead', '{score,grade,score_reasons}') AS there \gset
SELECT pg_temp.enter(:'other_id', :'bob');
SELECT crm.import_create('leads', :'file'::bytea, '{"columns": {"owner_id": null, "id": null}}') AS job \gset
SELECT :'job'::jsonb ->> 'state', :'job'::jsonb -> 'counts', :'job'::jsonb -> 'issues';
SELECT pg_temp.records('lead', '{score,grade,score_reasons}') = :'there' AS same;
SELECT count(*) FROM crm.lead;
SELECT crm.import_undo((:'job'::jsonb ->> 'id')::uuid) -> 'undo';
-- With other delimiters and a byte order mark it is the same
SELECT crm.import_create('leads', :'other_file'::bytea, '{"columns": {"owner_id": null, "id": null}}') AS job \gset
SELECT :'job'::jsonb ->> 'delimiter', :'job'::jsonb -> 'counts' ->> 'create';
SELECT pg_temp.records('lead', '{score,grade,score_reasons}') = :'there' AS same;
