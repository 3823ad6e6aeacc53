-- Which records rows mean, what becomes of them, and taking it all back.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Matches', 'Ann', 'ann@matches.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT set_config('saleshub.org_id', :'org'::jsonb ->> 'org_id', false) IS NOT NULL,
       set_config('saleshub.member_id', :'org'::jsonb ->> 'member_id', false) IS NOT NULL,
       set_config('saleshub.member_role', 'admin', false) IS NOT NULL;
SET ROLE saleshub_user;
CREATE TABLE pg_temp.done (n serial, id uuid);

CREATE FUNCTION pg_temp.said(d jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', d ->> 'state', (SELECT string_agg(k || '=' || (d -> 'counts' ->> k), ' ')
        FROM unnest('{rows,create,update,unchanged,skip,conflict,error,warning,made}'::text[]) k WHERE d -> 'counts' ->> k <> '0'))
    UNION ALL
    SELECT concat_ws(' ', 'line', i ->> 'line', i ->> 'level', i ->> 'column', i ->> 'code',
                     regexp_replace(i ->> 'message', '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'), i ->> 'raw')
    FROM jsonb_array_elements(d -> 'issues') i $$;
-- the dry run counts what doing it counts
CREATE FUNCTION pg_temp.do(type text, file text, options jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
    d jsonb;
BEGIN
    plan := crm.import_create(type, convert_to(file, 'UTF8'), options, true);
    d := crm.import_create(type, convert_to(file, 'UTF8'), options);
    INSERT INTO pg_temp.done (id) VALUES ((d ->> 'id')::uuid);
    IF plan -> 'counts' IS DISTINCT FROM d -> 'counts' AND d ->> 'state' = 'done' THEN
        RETURN NEXT 'planned ' || (plan ->> 'counts');
    END IF;
    RETURN QUERY SELECT pg_temp.said(d);
EXCEPTION WHEN OTHERS THEN
    RETURN NEXT concat(SQLSTATE, ' ', SQLERRM);
END;
$$;
CREATE FUNCTION pg_temp.undo(which integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    u jsonb := crm.import_undo((SELECT d.id FROM pg_temp.done d ORDER BY d.n DESC OFFSET which LIMIT 1)) -> 'undo';
BEGIN
    RETURN NEXT concat_ws(' ', u ->> 'deleted', 'deleted', u ->> 'restored', 'restored', u ->> 'kept', 'kept');
    RETURN QUERY SELECT concat_ws(' ', c ->> 'type', c ->> 'field', c ->> 'reason') FROM jsonb_array_elements(u -> 'conflicts') c ORDER BY 1;
END;
$$;
CREATE FUNCTION pg_temp.leads() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' | ', l.email, l.last_name, l.city, l.title, l.tags::text, l.custom::text, 'v' || l.version, CASE WHEN l.deleted_at IS NOT NULL THEN 'bin' END)
    FROM crm.lead l WHERE l.org_id = saleshub.org_id() ORDER BY l.email, l.lead_id $$;

-- update, fill, skip, create: one record each time, in the order of lines
SELECT crm.lead_create('{"last_name": "Old", "email": "a@x.example", "city": "Ulm", "custom": {"k": "1"}}') IS NOT NULL;
SELECT pg_temp.do('leads', E'email,last_name,city,title,tags,custom.j\nA@x.example,New,,Boss,t,2\nb@x.example,Bee,Bonn,,,\n', '{"match": {"key": "email"}, "columns": {"custom.j": {"field": "custom.j"}}}');
SELECT pg_temp.leads();
SELECT pg_temp.do('leads', E'email,last_name,city\na@x.example,Newer,Kiel\nb@x.example,Bee,Kiel\n', '{"match": {"key": "email", "on_match": "fill_blank"}}');
SELECT pg_temp.leads();
SELECT pg_temp.do('leads', E'email,last_name\na@x.example,Newer\nc@x.example,Cee\n', '{"match": {"key": "email", "on_match": "skip"}}');
SELECT pg_temp.do('leads', E'email,last_name\na@x.example,Newer\n', '{"match": {"key": "email", "on_match": "create"}}');
SELECT pg_temp.undo(0);
SELECT pg_temp.do('leads', E'email,last_name\na@x.example,Same\nz@x.example,Zed\n', '{"match": {"key": "email", "on_missing": "skip"}}');
SELECT pg_temp.do('leads', E'email,last_name\na@x.example,Same\nz@x.example,Zed\n', '{"match": {"key": "email", "on_missing": "error"}}');
SELECT pg_temp.leads();

-- two lines of one file with the same key, far apart or not; a later one sees what an earlier one wrote
SELECT pg_temp.do('leads', E'email,last_name,city\nd@x.example,Dee,Jena\nD@X.example ,Doe,\nd@x.example,,Gera\ne@x.example,Eff,\n', '{"match": {"key": "email"}, "batch": 2}');
SELECT pg_temp.leads();

-- undo: what is untouched goes, the rest is told
SELECT pg_temp.undo(0);
SELECT pg_temp.undo(0);
SELECT pg_temp.leads();
SELECT crm.lead_update(lead_id, '{"title": "Chief"}') IS NOT NULL FROM crm.lead WHERE org_id = saleshub.org_id() AND email = 'c@x.example';
SELECT pg_temp.undo(4);
SELECT crm.lead_update(lead_id, '{"title": "Chef"}') IS NOT NULL FROM crm.lead WHERE org_id = saleshub.org_id() AND email = 'a@x.example' AND deleted_at IS NULL;
SELECT pg_temp.do('leads', E'email,last_name,title,city\na@x.example,Ast,Lord,Ulm\nf@x.example,Eff,,\n', '{"match": {"key": "email"}}');
SELECT crm.lead_update(lead_id, '{"title": "Lady"}') IS NOT NULL FROM crm.lead WHERE org_id = saleshub.org_id() AND email = 'a@x.example' AND deleted_at IS NULL;
SELECT crm.lead_convert(lead_id, '{"company": {"mode": "skip"}, "deal": {"mode": "skip"}}') ->> 'conversion_id' IS NOT NULL FROM crm.lead WHERE org_id = saleshub.org_id() AND email = 'f@x.example';
SELECT pg_temp.undo(0);
SELECT pg_temp.leads();

-- several that are meant, deleted ones, converted ones
SELECT count(crm.lead_create('{"last_name": "Twin", "email": "t@x.example", "on_duplicate": "allow"}')) FROM generate_series(1, 2);
SELECT crm.lead_delete(lead_id) FROM crm.lead WHERE org_id = saleshub.org_id() AND email = 'b@x.example';
SELECT pg_temp.do('leads', E'email,last_name\nt@x.example,One\nb@x.example,Bin\nf@x.example,Other\n', '{"match": {"key": "email"}}');
SELECT pg_temp.do('leads', E'email,phone,last_name\n,030 123456,Eins\ng@x.example,030 123456,Zwei\n,+49 30 123456,Drei\n', '{"match": {"key": ["email", "phone"]}}');
SELECT pg_temp.do('leads', E'id,last_name\n' || (SELECT lead_id FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name = 'Twin' LIMIT 1) || E',Vier\n' || 'ffffffff-0000-7000-8000-000000000000' || E',X\nnone,Y\n', '{"match": {"key": "id"}}');
SELECT pg_temp.do('leads', E'custom.external_id,last_name\nx1,Ex\nx2,Why\nx1,Ax\n', '{"match": {"key": "external_id"}}');
SELECT last_name, custom FROM crm.lead WHERE org_id = saleshub.org_id() AND custom ? 'external_id' ORDER BY custom;
SELECT pg_temp.do('leads', E'first_name,last_name,email,company_name\nKatharina,Vogel,kv@vogel.example,Vogel GmbH\n');
SELECT pg_temp.do('leads', E'first_name,last_name,email,company_name,title\nKatharina,Vogel,kv@vogel.example,Vogel,Head\nOther,Person,o@p.example,P,\n', '{"match": {"fuzzy": true}}');

-- the same file again is told
SELECT pg_temp.do('leads', E'last_name\nOnce\n');
SELECT pg_temp.do('leads', E'last_name\nOnce\n');
SELECT pg_temp.do('leads', E'last_name\nOnce\n', '{"force": true}');
SELECT pg_temp.undo(0), pg_temp.undo(1);

-- all or nothing
SELECT pg_temp.do('leads', E'last_name,email\nOne,one@x.example\nTwo,two@\n', '{"atomic": true}');
SELECT pg_temp.do('leads', E'last_name,email\nOne,one@x.example\n', '{"atomic": true}');
SELECT count(*) FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name IN ('One', 'Two') AND deleted_at IS NULL;

-- what the database refuses is found among the rows that it takes
SELECT pg_temp.do('leads', E'last_name,website\nA1,a1.example\nA2,no web\nA3,a3.example\n,\nA5,a5.example\nA6,x y\n');
SELECT last_name FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name LIKE 'A_' ORDER BY 1;

-- the errors as a file, which corrected is imported for the rows that failed only
BEGIN;
SELECT crm.import_errors((SELECT id FROM pg_temp.done ORDER BY n DESC LIMIT 1)) \g /dev/null
FETCH ALL FROM import_errors;
COMMIT;
CREATE FUNCTION pg_temp.retry(which integer, file text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    upload uuid;
BEGIN
    upload := crm.upload_begin('fixed.csv', 'text/csv');
    PERFORM crm.upload_append(upload, convert_to(file, 'UTF8')), crm.upload_end(upload);
    RETURN QUERY SELECT pg_temp.said(crm.import_retry((SELECT d.id FROM pg_temp.done d ORDER BY d.n DESC OFFSET which LIMIT 1), upload));
EXCEPTION WHEN OTHERS THEN
    RETURN NEXT concat(SQLSTATE, ' ', SQLERRM);
END;
$$;
SELECT pg_temp.retry(0, E'last_name,website,error_line,error_column,error_code,error_message\nA2,a2.example,3,,,\nA9,a9.example,4,,,\n,,5,,,\nA6,x y,7,,,\n');
SELECT pg_temp.retry(0, E'last_name,website\nA7,\n');
SELECT crm.import_undo(i.import_id) -> 'undo' ->> 'deleted' FROM crm.import i WHERE i.org_id = saleshub.org_id() AND i.retry_of IS NOT NULL;
SELECT pg_temp.retry(0, E'last_name,website\nA1,a1.example\nA2,no web\nA3,a3.example\nA4,\nA5,a5.example\nA6,\n');
SELECT last_name FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name LIKE 'A_' AND deleted_at IS NULL ORDER BY 1;
SELECT pg_temp.retry(1, E'last_name\nx\n');
SELECT crm.import_cancel(id) FROM pg_temp.done ORDER BY n DESC LIMIT 1;
RESET ROLE;
DELETE FROM crm.import;
DELETE FROM saleshub.upload;
