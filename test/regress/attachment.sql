-- Files on records: bytes kept once, seen with a record, carried, moved, and gone with it.
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
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  CASE WHEN detail LIKE '{%' THEN ' [' || (detail::jsonb ->> 'code') || ']' END);
END;
$$;
CREATE FUNCTION pg_temp.as_member(org text, member text, role text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org, false), set_config('saleshub.member_id', member, false), set_config('saleshub.member_role', role, false) $$;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann FROM crm.org_create('Files', 'Ann', 'ann@files.example') o \gset
SELECT o ->> 'org_id' AS other FROM crm.org_create('Elsewhere', 'Oda', 'oda@files.example') o \gset
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SELECT crm.member_create('{"name": "Bob", "email": "bob@files.example", "role": "rep"}') ->> 'id' AS bob \gset
SELECT crm.member_create('{"name": "Cat", "email": "cat@files.example", "role": "rep"}') ->> 'id' AS cat \gset
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.uploaded(bytes bytea, name text DEFAULT 'a.txt', type text DEFAULT 'text/plain') RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    id uuid := crm.upload_begin(name, type);
BEGIN
    PERFORM crm.upload_append(id, bytes);
    PERFORM crm.upload_end(id);
    RETURN id;
END $$;
CREATE FUNCTION pg_temp.content(id uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    parts refcursor := crm.attachment_content(id);
    part bytea;
    whole bytea := '';
    n int := 0;
BEGIN
    LOOP
        FETCH parts INTO part;
        EXIT WHEN NOT FOUND;
        whole := whole || part;
        n := n + 1;
    END LOOP;
    CLOSE parts;
    RETURN concat_ws(' ', n, octet_length(whole), encode(sha256(whole), 'hex'));
END $$;
CREATE FUNCTION pg_temp.on_(noun text, id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    doc jsonb;
BEGIN
    EXECUTE format('SELECT crm.%s_attachments($1)', noun) INTO doc USING id::uuid;
    RETURN (SELECT string_agg(concat_ws(' ', a ->> 'name', (SELECT string_agg(l ->> 'type', ',' ORDER BY l ->> 'type') FROM jsonb_array_elements(a -> 'links') l)), '; ' ORDER BY a ->> 'name')
            FROM jsonb_array_elements(doc -> 'data') a);
END $$;

\echo -- attached, read, and the bytes again
SELECT crm.lead_create('{"last_name": "Lovelace", "email": "ada@firm.example", "company_name": "Firm"}'::jsonb || jsonb_build_object('owner_id', :'ann')) ->> 'id' AS lead,
       crm.lead_create(jsonb_build_object('last_name', 'Other', 'owner_id', :'ann')) ->> 'id' AS lead2 \gset
SELECT d ->> 'id' AS a, (d - 'id' - 'created_at' - 'updated_at' - 'links' - 'created_by' - 'updated_by')::text AS told
FROM crm.lead_attach(:'lead', pg_temp.uploaded('hello', '../x/offer.txt')) d \gset
\echo :told
SELECT d -> 'links' = jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')), encode(sha256('hello'), 'hex') = d ->> 'sha256' FROM crm.attachment_get(:'a') d;
SELECT pg_temp.content(:'a');
SELECT pg_temp.on_('lead', :'lead'), pg_temp.on_('lead', :'lead2');
SELECT e -> 'kind', e #> '{attachment,name}', e -> 'actor_id' = to_jsonb(:'ann'::text) FROM jsonb_array_elements(crm.lead_timeline(:'lead') -> 'data') e WHERE e ->> 'kind' = 'attachment';
SELECT string_agg(h ->> 'op', ',') FROM crm.change_log l, to_jsonb(l) h WHERE l.entity = 'attachment' AND l.entity_id = :'a';
SELECT d -> 'name', d -> 'version' FROM crm.attachment_update(:'a', '{"name": "C:\\tmp\\Angebot .txt"}', '1') d;
SELECT pg_temp.refused(format('SELECT crm.attachment_update(%L, ''{"name": " "}'')', :'a'));
SELECT pg_temp.refused(format('SELECT crm.attachment_update(%L, ''{"size": 3}'')', :'a'));
SELECT pg_temp.refused(format('SELECT crm.attachment_update(%L, ''{"name": "b"}'', ''1'')', :'a'));
UPDATE crm.attachment SET upload_id = crm.uuid_v7(), size = 1, sha256 = sha256('x'), media_type = 'text/html', inline = true WHERE attachment_id = :'a';
SELECT pg_temp.content(:'a'), size, media_type, inline FROM crm.attachment;
\echo -- large, empty
SELECT (crm.lead_attach(:'lead2', pg_temp.uploaded(convert_to(repeat('0123456789', 70000), 'UTF8'), 'large')) ->> 'id')::uuid AS large,
       (crm.lead_attach(:'lead2', pg_temp.uploaded('', 'empty')) ->> 'id')::uuid AS empty \gset
SELECT pg_temp.content(:'large'), encode(sha256(convert_to(repeat('0123456789', 70000), 'UTF8')), 'hex');
SELECT pg_temp.content(:'empty');
\echo -- the same content once
SELECT crm.lead_attach(:'lead2', pg_temp.uploaded('hello', 'same.txt', 'text/csv')) ->> 'media_type';
SELECT count(*), count(DISTINCT upload_id), count(DISTINCT attachment_id) FROM crm.attachment WHERE sha256 = sha256('hello');
\echo -- types: what the bytes are, and nothing that would run
SELECT said, d -> 'media_type', d -> 'inline'
FROM (VALUES ('\x89504e470d0a1a0a0000'::bytea, 'text/html'), ('\xffd8ffe000104a46', 'image/jpeg'), ('GIF89a..', 'image/gif'), ('RIFF1234WEBPVP8 ', 'x/y'),
             ('%PDF-1.7', 'text/plain'), ('<svg onload=alert(1)>', 'image/svg+xml'), ('<html>', 'text/html; charset=utf-8'), ('GIF8', 'image/gif'),
             ('a,b', 'text/csv; charset=utf-8'), ('{}', 'application/ld+json'), ('alert(1)', 'text/javascript'), ('x', 'nonsense')) f (bytes, said),
     LATERAL crm.lead_attach(:'lead2', pg_temp.uploaded(bytes, 'f', said)) d;
\echo -- whose upload, which record
SELECT pg_temp.uploaded('mine') AS mine \gset
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, crm.uuid_v7())', :'lead'));
SELECT pg_temp.refused(format('SELECT crm.lead_attach(crm.uuid_v7(), %L)', :'mine'));
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, crm.upload_begin())', :'lead'));
SELECT pg_temp.refused(format('INSERT INTO crm.attachment_link (attachment_id, entity, entity_id) VALUES (%L, ''member'', %L)', :'a', :'ann'));
SELECT pg_temp.refused(format('INSERT INTO crm.attachment_link (attachment_id, entity, entity_id) VALUES (%L, ''deal'', %L)', :'a', :'ann'));
\echo -- limits
SELECT crm.attachment_settings_get() - 'used_bytes', crm.attachment_settings_update('{"max_bytes": 10, "quota_bytes": 700100}') - 'used_bytes';
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, pg_temp.uploaded(''01234567890''))', :'lead'));
SELECT crm.attachment_settings_update(jsonb_build_object('max_bytes', NULL, 'quota_bytes', (crm.attachment_settings_get() ->> 'used_bytes')::bigint + 5)) - 'used_bytes' - 'quota_bytes';
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, pg_temp.uploaded(''012345''))', :'lead'));
SELECT crm.lead_attach(:'lead', pg_temp.uploaded('hello', 'costs nothing')) ->> 'name';
SELECT crm.lead_attach(:'lead', pg_temp.uploaded('01234')) ->> 'size';
SELECT pg_temp.refused('SELECT crm.attachment_settings_update(''{"quota": 1}'')');
SELECT crm.attachment_settings_update('{"quota_bytes": null}') - 'used_bytes';
\echo -- seen with a record, by row security
RESET ROLE;
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SET ROLE saleshub_user;
SELECT crm.visibility_update('{"visibility": {"rep": {"lead": "own", "contact": "own", "company": "own", "deal": "own", "activity": "own"}}}') IS NOT NULL;
RESET ROLE;
SELECT pg_temp.as_member(:'org', :'bob', 'rep');
SET ROLE saleshub_user;
SELECT (SELECT count(*) FROM crm.attachment), (SELECT count(*) FROM crm.attachment_link), (SELECT count(*) FROM saleshub.upload_part);
SELECT pg_temp.refused(format('SELECT crm.attachment_get(%L)', :'a')), pg_temp.refused(format('SELECT crm.attachment_content(%L)', :'a')), pg_temp.refused(format('SELECT crm.lead_attachments(%L)', :'lead'));
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, pg_temp.uploaded(''x''))', :'lead')), pg_temp.refused(format('SELECT crm.lead_attach(crm.uuid_v7(), %L)', :'mine'));
SELECT crm.lead_create('{"last_name": "Bobs"}') ->> 'id' AS bobs \gset
SELECT pg_temp.refused(format('INSERT INTO crm.attachment_link (attachment_id, entity, entity_id) VALUES (%L, ''lead'', %L)', :'a', :'bobs'));
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, %L)', :'bobs', :'mine'));
SELECT crm.lead_attach(:'bobs', pg_temp.uploaded('hello', 'Bobs own')) ->> 'id' AS b \gset
SELECT pg_temp.content(:'b'), (SELECT count(*) FROM crm.attachment), pg_temp.on_('lead', :'bobs');
SELECT pg_temp.refused('SELECT crm.attachment_settings_update(''{}'')');
RESET ROLE;
SELECT saleshub.event_tokens(:'org', 'attachment', :'b') = format('lead/%s lead/all', :'bob');
SELECT pg_temp.as_member(:'org', :'cat', 'readonly');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.lead_attach(%L, NULL)', :'lead')), pg_temp.refused(format('SELECT crm.attachment_delete(%L)', :'a'));
RESET ROLE;
SELECT pg_temp.as_member(:'other', '', '');
SET ROLE saleshub_user;
SELECT (SELECT count(*) FROM crm.attachment), (SELECT count(*) FROM saleshub.upload_part), pg_temp.refused(format('SELECT crm.attachment_content(%L)', :'a'));
RESET ROLE;
SELECT pg_temp.as_member(:'org', :'ann', 'admin');
SET ROLE saleshub_user;
\echo -- carried by a conversion without copies, and taken back
SELECT (SELECT count(*) FROM crm.attachment) AS files, (SELECT count(*) FROM crm.attachment_link) AS links \gset
SELECT d ->> 'conversion_id' AS conversion, d #>> '{contact,id}' AS contact, d #>> '{company,id}' AS company, d #>> '{deal,id}' AS deal FROM crm.lead_convert(:'lead') d \gset
SELECT pg_temp.on_('contact', :'contact'), pg_temp.on_('deal', :'deal') = pg_temp.on_('company', :'company');
SELECT count(*) - :files, (SELECT count(*) FROM crm.attachment_link) - :links FROM crm.attachment;
SELECT crm.conversion_undo(:'conversion') -> 'kept';
SELECT count(*) - :files, (SELECT count(*) FROM crm.attachment_link) - :links FROM crm.attachment;
SELECT pg_temp.on_('lead', :'lead');
\echo -- moved by a merge, and given back
SELECT crm.record_merge('lead', :'lead', ARRAY[:'lead2']::uuid[]) ->> 'merge_id' AS merge \gset
SELECT jsonb_array_length(crm.lead_attachments(:'lead', 200) -> 'data');
SELECT jsonb_array_length(p -> 'data'), jsonb_array_length(crm.lead_attachments(:'lead', 10, p ->> 'next_cursor') -> 'data') FROM crm.lead_attachments(:'lead', 10) p;
SELECT crm.merge_undo(:'merge') -> 'conflicts';
SELECT jsonb_array_length(crm.lead_attachments(:'lead', 200) -> 'data'), jsonb_array_length(crm.lead_attachments(:'lead2', 200) -> 'data');
\echo -- into the bin with the record, and out of it; one that is also elsewhere stays
SELECT crm.deal_create('{"name": "Keeps"}') ->> 'id' AS keeps \gset
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'With a file', 'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))) ->> 'id' AS note \gset
SELECT crm.activity_attach(:'note', pg_temp.uploaded('note', 'of the note')) ->> 'name';
INSERT INTO crm.attachment_link (attachment_id, entity, entity_id) SELECT a.attachment_id, 'deal', :'keeps' FROM crm.attachment a WHERE a.name = 'costs nothing';
SELECT pg_temp.on_('lead', :'lead');
SELECT crm.attachment_delete((SELECT attachment_id FROM crm.attachment WHERE name = 'a.txt' AND size = 5 AND sha256 = sha256('01234')));
SELECT crm.lead_delete(:'lead');
SELECT name, deleted_at IS NOT NULL FROM crm.attachment a WHERE name IN ('Angebot .txt', 'of the note', 'costs nothing') OR sha256 = sha256('01234') ORDER BY 1;
SELECT pg_temp.refused(format('SELECT crm.attachment_get(%L)', :'a')), pg_temp.refused(format('SELECT crm.lead_attachments(%L)', :'lead'));
SELECT crm.lead_restore(:'lead') ->> 'last_name';
SELECT pg_temp.on_('lead', :'lead'), pg_temp.on_('activity', :'note');
SELECT crm.attachment_restore((SELECT attachment_id FROM crm.attachment WHERE sha256 = sha256('01234'))) ->> 'size';
\echo -- handed out and erased with the person, the bytes as well unless another has the same
SELECT jsonb_array_length(e -> 'attachments'), e #> '{attachments,0}' ? 'sha256' FROM crm.subject_export('ada@firm.example') e;
SELECT crm.subject_erase('{"email": "ada@firm.example"}') #> '{erased,attachments}';
RESET ROLE;
SELECT count(*) FROM crm.attachment WHERE org_id = :'org' AND name IN ('Angebot .txt', 'of the note', 'costs nothing');
SELECT count(*) FILTER (WHERE sha256 = sha256('note')), count(*) FILTER (WHERE sha256 = sha256('hello')) > 0 FROM saleshub.upload WHERE org_id = :'org';
SELECT count(*) FROM crm.change_log WHERE org_id = :'org' AND changed::text LIKE '%Angebot%';
\echo -- gone for good with the record
SELECT crm.lead_delete(:'lead2');
SELECT crm.purge('lead') -> 'purged';
SELECT count(*) FROM crm.attachment WHERE org_id = :'org';
SELECT crm.attachment_delete(:'b');
SELECT crm.purge('attachment') -> 'purged';
SELECT count(*) FROM crm.attachment WHERE org_id = :'org';
\echo -- damage is found
SELECT crm.lead_attach(:'bobs', pg_temp.uploaded('precious', 'precious')) ->> 'id' AS p \gset
SELECT count(*) FROM saleshub.attachment_faults();
SELECT ok, detail FROM saleshub.check() WHERE item = 'attachment';
UPDATE saleshub.upload_part SET bytes = 'Precious' WHERE bytes = 'precious';
SELECT attachment_id = :'p', fault FROM saleshub.attachment_faults();
SELECT ok, detail FROM saleshub.check() WHERE item = 'attachment';
UPDATE saleshub.upload_part SET bytes = 'precious' WHERE bytes = 'Precious';
-- Other tests count uploads.
DELETE FROM crm.attachment;
DELETE FROM saleshub.upload;
DELETE FROM crm.erasure;
