-- Uploads from SQL: parts, the hash, limits, whose they are, and when they go.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, regexp_replace(SQLERRM, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                     CASE WHEN detail LIKE '{%' THEN detail::jsonb ->> 'code' END);
END;
$$;
CREATE FUNCTION pg_temp.enter(org text, member text, role text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.org_id', org, false), set_config('saleshub.member_id', member, false),
           set_config('saleshub.member_role', role, false);
$$;

SELECT crm.org_create('Files', 'Ann', 'ann@files.example', 'EUR') AS org \gset
SELECT :'org'::jsonb ->> 'org_id' AS org_id, :'org'::jsonb ->> 'member_id' AS ann \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Rob', 'rob@files.example', 'rep') RETURNING member_id AS rob \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org_id', 'Joe', 'joe@files.example', 'readonly') RETURNING member_id AS joe \gset
SELECT crm.org_create('Others', 'Zoe', 'zoe@others.example', 'EUR') AS other \gset
SELECT :'other'::jsonb ->> 'org_id' AS other_id, :'other'::jsonb ->> 'member_id' AS zoe \gset

-- Three parts; size and hash are those of the whole
SELECT pg_temp.enter(:'org_id', :'rob', 'rep');
SET ROLE saleshub_user;
SELECT crm.upload_begin(E'C:\\fakepath\\price list.csv', 'Text/CSV; charset=UTF-8') AS id \gset
SELECT crm.upload_append(:'id', decode(repeat('00ff0a', 100000), 'hex'));
SELECT crm.upload_append(:'id', '');
SELECT crm.upload_append(:'id', 'abc');
SELECT pg_temp.refused(format('SELECT crm.upload_get(%L)', :'id'));
SELECT crm.upload_end(:'id') AS done \gset
SELECT :'done'::jsonb ->> 'id' = :'id', :'done'::jsonb -> 'size',
       :'done'::jsonb ->> 'sha256' = encode(sha256(decode(repeat('00ff0a', 100000), 'hex') || 'abc'), 'hex');
SELECT crm.upload_get(:'id') - 'id' - 'sha256' - 'created_at' - 'expires_at',
       (crm.upload_get(:'id') ->> 'expires_at')::timestamptz - (crm.upload_get(:'id') ->> 'created_at')::timestamptz;
SELECT crm.upload_create(:'id', '  ../new.csv ') ->> 'name';

-- Complete is complete
SELECT pg_temp.refused(format('SELECT crm.upload_append(%L, ''x'')', :'id'));
SELECT pg_temp.refused(format('SELECT crm.upload_end(%L)', :'id'));
SELECT pg_temp.refused(format('UPDATE saleshub.upload_part SET bytes = ''x'' WHERE upload_id = %L', :'id'));
SELECT pg_temp.refused(format('INSERT INTO saleshub.upload (upload_id) VALUES (%L)', :'id'));
SELECT pg_temp.refused(format('SELECT saleshub.upload_sha256(%L, %L)', :'org_id', :'id'));

-- An empty one
SELECT crm.upload_begin() AS empty \gset
SELECT crm.upload_end(:'empty') - 'id';
SELECT crm.upload_get(:'empty') -> 'name', crm.upload_get(:'empty') -> 'media_type';

-- Names and media types of all kinds
SELECT saleshub.file_name(n) FROM unnest(ARRAY['a/b\c.txt', E'x\ty\u202e.pdf', '///', '', NULL]) n;
SELECT length(saleshub.file_name(repeat('é', 300)));
SELECT saleshub.media_type(m) FROM unnest(ARRAY['IMAGE/PNG', 'text/plain ;  Charset=x ', 'text', 'text/', E'text/x\r\nA: b',
                                                'text/plain; a=é', repeat('a', 250) || '/bbbbbbb', NULL]) m;

-- Limits: of a call, and of the whole
SELECT crm.upload_begin('big') AS big \gset
SELECT pg_temp.refused(format('SELECT crm.upload_append(%L, decode(repeat(''00'', 1048577), ''hex''))', :'big'));
SELECT pg_temp.refused(format('SELECT crm.upload_append(%L, NULL)', :'big'));
SELECT pg_temp.refused('SET saleshub.max_upload = ''1GB''');
RESET ROLE;
SET saleshub.max_upload = '2MB';
SET ROLE saleshub_user;
SELECT crm.upload_append(:'big', decode(repeat('00', 1048576), 'hex'));
SELECT crm.upload_append(:'big', decode(repeat('00', 1048576), 'hex'));
SELECT pg_temp.refused(format('SELECT crm.upload_append(%L, ''x'')', :'big'));
RESET ROLE;
RESET saleshub.max_upload;

-- Nobody else has it: another member, another organisation, a reader
SELECT pg_temp.enter(:'org_id', :'ann', 'admin');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format(call, :'id')) FROM unnest(ARRAY[
    'SELECT crm.upload_get(%L)', 'SELECT crm.upload_append(%L, ''x'')', 'SELECT crm.upload_end(%L)', 'SELECT crm.upload_delete(%L)',
    'SELECT saleshub.upload_take(%L)', 'SELECT crm.upload_create(%L)', 'SELECT saleshub.upload_used(saleshub.org_id(), %L)']) call;
SELECT saleshub.upload_json(:'id') IS NULL;
SELECT pg_temp.enter(:'other_id', :'zoe', 'admin');
SELECT pg_temp.refused(format('SELECT crm.upload_get(%L)', :'id'));
SELECT pg_temp.refused(format('SELECT saleshub.upload_take(%L)', :'id'));
SELECT pg_temp.enter(:'org_id', :'joe', 'readonly');
SELECT pg_temp.refused('SELECT crm.upload_begin(''x'')');

-- What something refers to stays; what nothing refers to goes, with its parts
RESET ROLE;
CREATE TABLE crm.upload_test (org_id uuid NOT NULL, upload_test_id uuid NOT NULL DEFAULT crm.uuid_v7(), file_id uuid,
                              PRIMARY KEY (org_id, upload_test_id));
SELECT saleshub.add_fk('upload_test_fk', 'crm.upload_test', 'org_id, file_id', 'saleshub.upload', 'org_id, upload_id');
SELECT saleshub.protect('crm.upload_test');
INSERT INTO crm.upload_test (org_id, file_id) VALUES (:'org_id', :'id');
SELECT pg_temp.enter(:'org_id', :'rob', 'rep');
SET ROLE saleshub_user;
SELECT crm.upload_get(:'id') -> 'expires_at';
SELECT pg_temp.refused(format('SELECT crm.upload_delete(%L)', :'id'));
SELECT crm.upload_delete(:'empty');
SELECT pg_temp.refused(format('SELECT crm.upload_get(%L)', :'empty'));
RESET ROLE;
SELECT saleshub.upload_sweep();
UPDATE saleshub.upload SET check_at = now() - interval '1 minute' WHERE org_id = :'org_id';
SELECT saleshub.upload_sweep();
SELECT count(*), count(DISTINCT upload_id), bool_and(check_at > now() + interval '6 days') FROM saleshub.upload;
SELECT count(*), count(DISTINCT upload_id) FROM saleshub.upload_part;
DELETE FROM crm.upload_test;
UPDATE saleshub.upload SET check_at = now();
SELECT saleshub.keep_house() IS NOT NULL;
SELECT count(*) FROM saleshub.upload;
SELECT count(*) FROM saleshub.upload_part;
DROP TABLE crm.upload_test;
