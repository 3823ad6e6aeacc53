-- An import is its member's: it does what that member may do, and others do not see it.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
CREATE FUNCTION pg_temp.enter(org jsonb, member uuid, role text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', member::text, false),
           set_config('saleshub.member_role', role, false) $$;
SELECT crm.org_create('Rights', 'Ann', 'ann@rights.example', 'EUR', 'Europe/Berlin', 'DE') AS org,
       crm.org_create('Others', 'Oz', 'oz@others.example', 'EUR', 'Europe/Berlin', 'DE') AS others \gset
SELECT pg_temp.enter(:'org', (:'org'::jsonb ->> 'member_id')::uuid, 'admin');
SELECT crm.member_create('{"name": "Rep One", "email": "one@rights.example"}') ->> 'id' AS one,
       crm.member_create('{"name": "Rep Two", "email": "two@rights.example"}') ->> 'id' AS two,
       crm.member_create('{"name": "Reader", "email": "r@rights.example", "role": "readonly"}') ->> 'id' AS reader \gset
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.do(type text, file text, options jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    d jsonb;
BEGIN
    d := crm.import_create(type, convert_to(file, 'UTF8'), options);
    RETURN NEXT concat_ws(' ', d ->> 'state', (SELECT string_agg(k || '=' || (d -> 'counts' ->> k), ' ')
        FROM unnest('{rows,create,update,unchanged,skip,conflict,error,warning,made}'::text[]) k WHERE d -> 'counts' ->> k <> '0'));
    RETURN QUERY SELECT concat_ws(' ', 'line', i ->> 'line', i ->> 'level', i ->> 'column', i ->> 'code', i ->> 'message', i ->> 'raw')
                 FROM jsonb_array_elements(d -> 'issues') i;
EXCEPTION WHEN OTHERS THEN
    RETURN NEXT concat(SQLSTATE, ' ', regexp_replace(SQLERRM, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'));
END;
$$;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    RETURN concat(SQLSTATE, ' ', regexp_replace(SQLERRM, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'));
END;
$$;

-- links by name: one, none with a suggestion, several, made on demand
SELECT count(crm.company_create(jsonb_build_object('name', n, 'domain', d, 'on_duplicate', 'allow')))
FROM (VALUES ('Ace', 'ace.example'), ('Twin', NULL), ('Twin', NULL), ('Globex', NULL)) c (n, d);
SELECT pg_temp.do('contacts', E'last_name,company,owner\nA,ACE,Rep One\nB,ace.example,two@rights.example\nC,Twin,\nD,Globx,\nE,,Rep Three\nF,Initech,\n');
SELECT pg_temp.do('contacts', E'last_name,company\nG,Initech\nH,initech\nI,Hooli\n', '{"create": ["company"]}');
SELECT c.last_name, m.name, k.name FROM crm.contact c LEFT JOIN crm.member m ON m.org_id = c.org_id AND m.member_id = c.owner_id
LEFT JOIN crm.company k ON k.org_id = c.org_id AND k.company_id = c.company_id WHERE c.org_id = saleshub.org_id() ORDER BY 1;
SELECT pg_temp.do('companies', E'name,parent\nSub,Top\nTop,\nLoop,Loop\nLost,Nowhere\nAce,Top\n', '{"match": {"key": "name"}}');
SELECT c.name, p.name FROM crm.company c JOIN crm.company p ON p.org_id = c.org_id AND p.company_id = c.parent_id WHERE c.org_id = saleshub.org_id() ORDER BY 1;
SELECT crm.pipeline_create('{"name": "Partners", "stages": [{"name": "Talk"}, {"name": "Deal", "kind": "won"}]}') IS NOT NULL;
SELECT pg_temp.do('deals', E'name,pipeline,stage,company,contact\nOne,Partners,Talk,Ace,\nTwo,,Talk,Ace,A\nThree,Partner,,Ace,\nFour,Partners,Tlk,Ace,\n');
SELECT pg_temp.do('activities', E'type,subject,contact,company\ncall,Ring,A,Ace\nnote,Sing,Nobody Here,\n');
SELECT a.subject, l.entity FROM crm.activity a JOIN crm.activity_link l USING (org_id, activity_id) WHERE a.org_id = saleshub.org_id() ORDER BY 1, 2;
SELECT d -> 'undo' ->> 'deleted', d -> 'undo' ->> 'kept' FROM crm.import i, LATERAL (SELECT crm.import_undo(i.import_id) AS d) u
WHERE i.org_id = saleshub.org_id() AND i.entity = 'activity';

-- a company that a contact works at stays; one that only went with the import goes
SELECT d -> 'undo' ->> 'deleted', d -> 'undo' -> 'conflicts' FROM crm.import i, LATERAL (SELECT crm.import_undo(i.import_id) AS d) u
WHERE i.org_id = saleshub.org_id() AND i.options @> '{"create": ["company"]}';

-- members are for admins; who reads only does not import
SELECT pg_temp.do('members', E'name,email,team\nNew One,new@rights.example,North\nRep One,,North\nBad,one@rights.example,\n', '{"create": ["team"], "match": {"key": "name"}}');
SELECT pg_temp.enter(:'org', :'one', 'rep');
SELECT pg_temp.do('members', E'name,email\nX,x@rights.example\n');
SELECT pg_temp.enter(:'org', :'reader', 'readonly');
SELECT pg_temp.do('leads', E'last_name\nX\n');

-- own records only: what others own is neither found nor given
SELECT pg_temp.enter(:'org', (:'org'::jsonb ->> 'member_id')::uuid, 'admin');
SELECT count(crm.lead_create(jsonb_build_object('last_name', 'Seen', 'email', e, 'owner_id', o)))
FROM (VALUES ('m@x.example', :'one'), ('n@x.example', :'two')) v (e, o);
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"lead": "own"}}, "fields": {"rep": {"lead": {"phone": "hidden", "source": "read_only"}}}}'
WHERE org_id = (:'org'::jsonb ->> 'org_id')::uuid;
SET ROLE saleshub_user;
SELECT pg_temp.enter(:'org', :'one', 'rep');
SELECT pg_temp.do('leads', E'email,last_name,owner\nm@x.example,Mine,\nn@x.example,Theirs,\no@x.example,Given,Rep Two\n', '{"match": {"key": "email"}}');
SELECT pg_temp.do('leads', E'last_name,phone\nA,123456\n', '{"columns": {"phone": "phone"}}');
SELECT pg_temp.do('leads', E'last_name,source\nA,x\n', '{"columns": {"source": "source"}}');
SELECT l.email, l.last_name, l.owner_id = :'one' FROM crm.lead l WHERE l.org_id = saleshub.org_id() ORDER BY 1;
SELECT import_id AS mine, upload_id AS file FROM crm.import WHERE org_id = saleshub.org_id() AND entity = 'lead' AND state = 'done' \gset

-- nobody else but an admin sees it, its file and its rows
SELECT pg_temp.enter(:'org', :'two', 'rep');
SELECT count(*) FROM crm.import WHERE org_id = saleshub.org_id();
SELECT count(*) FROM crm.import_issue WHERE org_id = saleshub.org_id();
SELECT pg_temp.refused(format('SELECT crm.import_get(%L)', :'mine'));
SELECT pg_temp.refused(format('SELECT crm.import_undo(%L)', :'mine'));
SELECT pg_temp.refused(format('SELECT crm.import_run(%L)', :'mine'));
SELECT pg_temp.refused(format('SELECT crm.import_errors(%L)', :'mine'));
SELECT pg_temp.refused(format('SELECT saleshub.import_step(%L)', :'mine'));
SELECT crm.import_list() ->> 'data';
SELECT saleshub.import_progress_of(:'mine') -> 'rows';
SELECT pg_temp.refused(format('SELECT saleshub.upload_take(upload_id) FROM (VALUES (%L::uuid)) v (upload_id)', :'file'));
SELECT saleshub.import_look(:'file', NULL, NULL, NULL) -> 'columns';
SELECT count(*) FROM saleshub.import_written(:'mine');
SELECT pg_temp.enter(:'others', (:'others'::jsonb ->> 'member_id')::uuid, 'admin');
SELECT pg_temp.refused(format('SELECT crm.import_get(%L)', :'mine'));
SELECT pg_temp.refused(format('SELECT crm.import_issues(%L)', :'mine'));
SELECT pg_temp.enter(:'org', (:'org'::jsonb ->> 'member_id')::uuid, 'admin');
SELECT crm.import_get(:'mine') ->> 'state', jsonb_array_length(crm.import_list() -> 'data') > 5;
SELECT i ->> 'line', i ->> 'code' FROM jsonb_array_elements(crm.import_issues(:'mine', 'error', 1) -> 'data') i;
SELECT crm.import_issues(:'mine', 'fatal');
-- once undone its rows are gone
SELECT crm.import_undo(:'mine') -> 'undo' ->> 'deleted';
SELECT count(*) FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name = 'Theirs' AND deleted_at IS NULL;

-- a person that is erased is erased from what imports remember, too
SELECT pg_temp.do('leads', E'email,last_name,website\ngone@x.example,Gone,\nstay@x.example,Stay,bad web\ngone@x.example,Gone,bad web\n');
SELECT crm.subject_erase('{"email": "gone@x.example"}') -> 'erased' ->> 'leads';
SELECT s.line, s.raw, s.cells FROM crm.import_issue s WHERE s.org_id = saleshub.org_id() AND s.import_id = (
    SELECT i.import_id FROM crm.import i WHERE i.org_id = s.org_id ORDER BY i.import_id DESC LIMIT 1) ORDER BY 1;
SELECT crm.import_list(1) #> '{data,0,file,kept}';
RESET ROLE;
DELETE FROM crm.import;
DELETE FROM saleshub.upload;
DELETE FROM crm.erasure;
