-- Reading files: encodings, delimiters, quotes, line breaks, numbers and dates of many countries,
-- and every way in which a row can be wrong.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Imports', 'Ann', 'ann@imports.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT set_config('saleshub.org_id', :'org'::jsonb ->> 'org_id', false) IS NOT NULL,
       set_config('saleshub.member_id', :'org'::jsonb ->> 'member_id', false) IS NOT NULL,
       set_config('saleshub.member_role', 'admin', false) IS NOT NULL;
SET ROLE saleshub_user;

-- what is made of a file: how it was read, its counts, and its issues
CREATE FUNCTION pg_temp.try(type text, file bytea, options jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    d jsonb;
BEGIN
    d := crm.import_create(type, file, options, true);
    RETURN NEXT concat_ws(' ', d ->> 'encoding', to_json(d ->> 'delimiter'), d ->> 'mapping');
    RETURN NEXT (SELECT string_agg(k || '=' || (d -> 'counts' ->> k), ' ') FROM unnest('{rows,create,update,skip,conflict,error,warning}'::text[]) k);
    RETURN QUERY SELECT concat_ws(' ', 'line', i ->> 'line', i ->> 'level', i ->> 'column', i ->> 'code', i ->> 'message', i ->> 'raw')
                 FROM jsonb_array_elements(d -> 'issues') i;
EXCEPTION WHEN OTHERS THEN
    RETURN NEXT concat(SQLSTATE, ' ', SQLERRM);
END;
$$;
-- the same done, shown by these fields and taken back
CREATE FUNCTION pg_temp.rows(type text, file bytea, fields text[], options jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    d jsonb := crm.import_create(type, file, options || '{"force": true}');
    r jsonb;
BEGIN
    FOR r IN EXECUTE format('SELECT to_jsonb(t) FROM crm.%I t WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL ORDER BY t.%I',
                            d ->> 'type', (d ->> 'type') || '_id')
    LOOP
        RETURN NEXT (SELECT string_agg(coalesce(r ->> f, '-'), ' | ') FROM unnest(fields) f);
    END LOOP;
    RETURN QUERY SELECT concat_ws(' ', 'line', i ->> 'line', i ->> 'level', i ->> 'column', i ->> 'code', i ->> 'raw')
                 FROM jsonb_array_elements(d -> 'issues') i;
    PERFORM crm.import_undo((d ->> 'id')::uuid);
END;
$$;

-- encodings: with and without a mark, UTF-16 of both kinds, one byte a letter
SELECT pg_temp.rows('leads', convert_to(E'Last name,City\nMüller,Köln\nŁukasz,Łódź\n', 'UTF8'), '{last_name,city}');
SELECT pg_temp.rows('leads', '\xefbbbf' || convert_to(E'Last name,City\nMüller,Köln\n', 'UTF8'), '{last_name,city}');
SELECT pg_temp.rows('leads', '\xfffe' || (SELECT string_agg(set_byte(set_byte('\x0000', 0, ascii(c) & 255), 1, ascii(c) >> 8), '' ORDER BY n)
    FROM regexp_split_to_table(E'Last name;City\r\nMüller;"Kö""ln"\r\n', '') WITH ORDINALITY AS t (c, n)), '{last_name,city}');
SELECT pg_temp.rows('leads', '\xfeff' || (SELECT string_agg(set_byte(set_byte('\x0000', 1, ascii(c) & 255), 0, ascii(c) >> 8), '' ORDER BY n)
    FROM regexp_split_to_table(E'Last name;City\nMüller;Łódź\n', '') WITH ORDINALITY AS t (c, n)), '{last_name,city}');
SELECT pg_temp.rows('leads', convert_to(E'Last name,City\nMüller,Köln\n€uro,„Hier“\n', 'WIN1252'), '{last_name,city}');
SELECT pg_temp.rows('leads', convert_to(E'Last name,City\nMüller,20 €\n', 'LATIN9'), '{last_name,city}', '{"encoding": "iso-8859-15"}');
SELECT pg_temp.try('leads', 'Last name', '{"encoding": "klingon"}');

-- delimiters and line breaks
SELECT pg_temp.rows('leads', E'Last name;City\rA;B\rC;D', '{last_name,city}');
SELECT pg_temp.rows('leads', E'Last name\tCity\r\nA\tB, C\r\n', '{last_name,city}');
SELECT pg_temp.rows('leads', E'Last name|City\nA|B\n\n\nC|D\n', '{last_name,city}');
SELECT pg_temp.rows('leads', E'Last name:City\nA:B\n', '{last_name,city}');
SELECT pg_temp.rows('leads', E'last_name,title\n"A, B","two\r\nlines"\n "C" , "say ""no"""\nplain "quote" in,x\n', '{last_name,title}');
SELECT pg_temp.rows('leads', E'a@x.example,Anna Maria Bell\nb@x.example,Cher\n', '{first_name,last_name,email}', '{"columns": {"1": "email", "2": "full_name"}}');

-- rows that are no rows: each is told, and those around it are read
SELECT pg_temp.try('leads', E'last_name,city\nA,B\nC\nD,E,F\nG,H,\n"I"x,J\nK,L\n"M,N\nO,P\n');
SELECT pg_temp.try('leads', convert_to(E'last_name,city\nA,', 'UTF8') || '\xc328' || E'\nB,C\n' || '\x00' || E',D\nE,F\n', '{"encoding": "utf-8"}');
SELECT pg_temp.try('leads', convert_to(E'last_name,city\nA,B\n' || repeat('x', 300000) || E',C\nD,E\n', 'UTF8'));
SELECT pg_temp.try('leads', E'\n\n');
SELECT pg_temp.try('leads', '');
SELECT pg_temp.try('leads', E'foo,bar\n1,2\n');

-- numbers: by the column where it tells, as said where it does not
SELECT pg_temp.rows('companies', E'name;annual_revenue;employees\nA;1.234,50;1.000\nB;1.234.567;12\nC;€ 7,5;3\nD;8 EUR;\nE;-;x\nF;(3,00);4\n', '{name,annual_revenue,annual_revenue_currency,employees}');
SELECT pg_temp.rows('companies', E'name;annual_revenue\nA;1,234.50\nB;$1,000\nC;CHF 1''000\nD;.5\n', '{name,annual_revenue,annual_revenue_currency}');
SELECT pg_temp.try('companies', E'name;annual_revenue\nA;1,234\nB;5,678\n');
SELECT pg_temp.rows('companies', E'name;annual_revenue\nA;1,234\nB;5,678\n', '{name,annual_revenue}', '{"locale": "de-DE"}');
SELECT pg_temp.rows('companies', E'name;annual_revenue\nA;1,234\nB;5,678\n', '{name,annual_revenue}', '{"columns": {"annual_revenue": {"field": "annual_revenue", "decimal": "."}}}');
SELECT pg_temp.try('companies', E'name;employees\nA;-3\nB;2147483648\nC;1.5\nD;12.0\nE;1.2.3.4\n');

-- dates
SELECT pg_temp.rows('deals', E'name,close_date\nA,2026-02-28\nB,28.2.2026\nC,20260228\nD,28 Feb 2026\nE,2026/02/28\n', '{name,close_date}');
SELECT pg_temp.rows('deals', E'name,close_date\nA,02/03/2026\nB,13/03/2026\n', '{name,close_date}');
SELECT pg_temp.rows('deals', E'name,close_date\nA,02/03/2026\nB,03/13/2026\n', '{name,close_date}');
SELECT pg_temp.try('deals', E'name,close_date\nA,02/03/2026\nB,05/05/26\nC,2026-02-30\nD,soon\n');
SELECT pg_temp.rows('deals', E'name,close_date\nA,02/03/26\nB,05/05/71\n', '{name,close_date}', '{"date_format": "MM/DD/YY"}');
SELECT pg_temp.rows('activities', E'subject,type,due\nA,Call,2026-07-01 09:30\nB,TASK,2026-01-01T09:30:00Z\nC,note,1.7.2026 5:15 pm\nD,cal,2026-07-01 25:00\n', '{subject,type,due_at}');
SELECT pg_temp.try('deals', 'name', '{"date_format": "no"}');

-- other kinds of values
SELECT pg_temp.rows('leads', E'last_name,tags,consent_email,status\nA,"red; green|red",yes,Working\nB,,nein,\nC,x,maybe,wrking\n', '{last_name,tags,consent_email,status}');
SELECT pg_temp.rows('leads', E'last_name,email,phone\nA, Ann@X.Example ,0170 1234567\nB,b@,\nC,,12\n', '{last_name,email,phone}');
SELECT pg_temp.rows('contacts', E'name,phone,phone_country\nAnn Bell,020 7946 0000,GB\n', '{first_name,last_name,phone}');
SELECT pg_temp.rows('leads', E'last_name,status,source\nA,Select,Web\nB,Neu,Fair\n', '{last_name,status,source,city}',
    '{"blank": ["select"], "columns": {"status": {"field": "status", "map": {"neu": "working"}}, "source": {"field": "source", "map": {"WEB": null}}}, "defaults": {"city": "Berlin"}}');
SELECT pg_temp.rows('leads', E'last_name,shoe,vip,since\nA,"42,5",ja,1.2.2020\n', '{last_name,custom}',
    '{"locale": "de", "columns": {"shoe": {"field": "custom.shoe", "type": "number"}, "vip": {"field": "custom.vip", "type": "boolean"}, "since": {"field": "custom.since", "type": "date"}}}');
SELECT pg_temp.try('leads', convert_to(E'last_name\n' || repeat('x', 101) || E'\n', 'UTF8'));

-- options that cannot be
SELECT pg_temp.try('boats', 'x');
SELECT pg_temp.try('leads', E'last_name\nA', '{"columns": {"first": "last_name"}}');
SELECT pg_temp.try('leads', E'last_name\nA', '{"columns": {"last_name": "surname"}}');
SELECT pg_temp.try('leads', E'last_name,x\nA,B', '{"columns": {"last_name": "last_name", "x": "last_name"}}');
SELECT pg_temp.try('leads', E'last_name\nA', '{"match": {"key": "email"}}');
SELECT pg_temp.try('leads', E'last_name\nA', '{"match": {"key": "last_name"}}');
SELECT pg_temp.try('leads', E'last_name\nA', '{"colour": "red"}');

-- a dry run leaves nothing but itself
SELECT count(*) FROM crm.lead WHERE org_id = saleshub.org_id() AND deleted_at IS NULL;
RESET ROLE;
DELETE FROM crm.import;
DELETE FROM saleshub.upload;
