-- Files as clients ask for them: per record, and each by its id.

CREATE FUNCTION saleshub.record_attach(meta jsonb, id uuid, upload uuid, name text) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    file uuid;
    doc jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    id := saleshub.record_match(meta, id, NULL);
    INSERT INTO crm.attachment AS a (upload_id, name) VALUES (upload, record_attach.name)
    RETURNING a.attachment_id INTO file;
    INSERT INTO crm.attachment_link (attachment_id, entity, entity_id)
    VALUES (file, meta ->> 'noun', id);
    doc := saleshub.record_get(saleshub.attachment_meta(), file);
    PERFORM saleshub.record_created(saleshub.attachment_meta(), doc);
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION saleshub.record_attach(jsonb, uuid, uuid, text) IS
    'Puts one of the member''s uploads on a record, as a file of the name, or the upload''s.';

CREATE FUNCTION saleshub.record_attachments(meta jsonb, id uuid, limit_ integer, cursor_ text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    noun text := meta ->> 'noun';
    stamp text := md5('attachments' || noun || id::text);
    shown text := saleshub.attachment_meta() ->> 'select';
    before uuid;
BEGIN
    IF saleshub.run('SELECT ''true''::jsonb FROM ' || (meta ->> 'table') || ' t'
                    || saleshub.record_where(meta), jsonb_build_object('id', id)) IS NULL
    THEN
        PERFORM saleshub.record_missing(noun, id);
    END IF;
    IF cursor_ IS NOT NULL THEN
        before := saleshub.list_place(
            cursor_, stamp, '[{"cast": "uuid", "not_null": true}]') ->> 0;
    END IF;
    RETURN saleshub.page_json(saleshub.run(
        'SELECT jsonb_agg(jsonb_build_object(''place'', jsonb_build_array(t.attachment_id),'
        ' ''doc'', ' || shown || ') ORDER BY t.attachment_id DESC)'
        ' FROM (SELECT a.* FROM crm.attachment_link k JOIN crm.attachment a'
        ' ON a.org_id = k.org_id AND a.attachment_id = k.attachment_id'
        ' WHERE k.org_id = saleshub.org_id() AND k.entity = $1 ->> ''noun'''
        ' AND k.entity_id = ($1 ->> ''id'')::uuid AND a.deleted_at IS NULL'
        ' AND ($1 ->> ''before'' IS NULL OR k.attachment_id < ($1 ->> ''before'')::uuid)'
        ' ORDER BY k.attachment_id DESC LIMIT ' || (page + 1) || ') t',
        jsonb_build_object('noun', noun, 'id', id, 'before', before)), page, stamp);
END;
$$;
COMMENT ON FUNCTION saleshub.record_attachments(jsonb, uuid, integer, text) IS
    'A page of the files on a live record, the newest first.';

CREATE FUNCTION saleshub.timeline_attachments(noun text, id uuid, before_at timestamptz,
                                              before_id uuid, most integer,
                                              OUT at timestamptz, OUT id_ uuid, OUT doc jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT a.created_at, a.attachment_id, jsonb_build_object(
        'kind', 'attachment', 'type', 'attachment', 'id', a.attachment_id,
        'at', saleshub.utc(a.created_at), 'actor_id', a.created_by,
        'attachment', jsonb_build_object('id', a.attachment_id, 'name', a.name,
            'media_type', a.media_type, 'size', a.size, 'sha256', encode(a.sha256, 'hex')))
    FROM crm.attachment_link l
    JOIN crm.attachment a ON a.org_id = l.org_id AND a.attachment_id = l.attachment_id
    WHERE l.org_id = saleshub.org_id() AND l.entity = noun
        AND l.entity_id = timeline_attachments.id AND a.deleted_at IS NULL
        AND (before_at IS NULL OR ROW(a.created_at, a.attachment_id) < ROW(before_at, before_id))
    ORDER BY a.created_at DESC, a.attachment_id DESC
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION saleshub.timeline_attachments(text, uuid, timestamptz, uuid, integer) IS
    'The files on a record, the newest first.';

DO $do$
DECLARE
    noun text;
BEGIN
    FOREACH noun IN ARRAY ARRAY['lead', 'contact', 'company', 'deal', 'activity', 'product']
    LOOP
        EXECUTE format(
            'CREATE FUNCTION crm.%1$s_attach(id uuid, upload uuid, name text DEFAULT NULL)'
            ' RETURNS jsonb LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE'
            ' SET search_path = pg_catalog, crm, pg_temp'
            ' AS $$ BEGIN RETURN saleshub.record_attach(saleshub.%1$s_meta(), id, upload, name);'
            ' END; $$', noun);
        EXECUTE format('COMMENT ON FUNCTION crm.%1$s_attach(uuid, uuid, text) IS '
            '''Puts an upload on a record of crm.%1$s as a file, and returns the attachment''', noun);
        EXECUTE format(
            'CREATE FUNCTION crm.%1$s_attachments(id uuid, limit_ integer DEFAULT 50,'
            ' cursor_ text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL UNSAFE'
            ' SET search_path = pg_catalog, crm, pg_temp'
            ' AS $$ BEGIN RETURN saleshub.record_attachments(saleshub.%1$s_meta(), id, limit_, cursor_);'
            ' END; $$', noun);
        EXECUTE format('COMMENT ON FUNCTION crm.%1$s_attachments(uuid, integer, text) IS '
            '''A page of the files on a record of crm.%1$s, the newest first''', noun);
    END LOOP;
END;
$do$;

CREATE FUNCTION crm.attachment_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_get(saleshub.attachment_meta(), id);
END;
$$;
COMMENT ON FUNCTION crm.attachment_get(uuid) IS
    'A file: name, media_type, size, sha256 (hex) and the records it is on';

CREATE FUNCTION crm.attachment_content(id uuid) RETURNS refcursor
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    file record;
    parts refcursor;
BEGIN
    SELECT a.org_id, a.upload_id, a.name, a.media_type, a.inline, a.size, a.sha256 INTO file
    FROM crm.attachment a
    WHERE a.org_id = saleshub.org_id() AND a.attachment_id = attachment_content.id
        AND a.deleted_at IS NULL;
    IF file.upload_id IS NULL THEN
        PERFORM saleshub.record_missing('attachment', id);
    END IF;
    -- A fetch of one row holds a quarter of a part at most.
    OPEN parts NO SCROLL FOR
        SELECT substr(p.bytes, s.start, 262144)
        FROM saleshub.upload_part p,
             LATERAL generate_series(1, greatest(octet_length(p.bytes), 1), 262144) s (start)
        WHERE p.org_id = file.org_id AND p.upload_id = file.upload_id
        ORDER BY p.part, s.start;
    PERFORM saleshub.reply(
        etag => encode(file.sha256, 'hex'),
        headers => jsonb_build_object(
            'Content-Type', file.media_type, 'Content-Length', file.size::text,
            'Content-Disposition', CASE WHEN file.inline
                THEN regexp_replace(saleshub.disposition(file.name), '^attachment', 'inline')
                ELSE saleshub.disposition(file.name) END,
            'Content-Security-Policy', 'default-src ''none''; sandbox'));
    RETURN parts;
END;
$$;
COMMENT ON FUNCTION crm.attachment_content(uuid) IS
    'The bytes of a file: a cursor whose rows, one after the other, are the file';

CREATE FUNCTION crm.attachment_update(id uuid, patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_update(saleshub.attachment_meta(), id, patch, if_match);
END;
$$;
COMMENT ON FUNCTION crm.attachment_update(uuid, jsonb, text) IS 'Renames a file: {"name"}';

CREATE FUNCTION crm.attachment_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_delete(saleshub.attachment_meta(), id, if_match);
END;
$$;
COMMENT ON FUNCTION crm.attachment_delete(uuid, text) IS
    'Puts a file into the bin, off all records';

CREATE FUNCTION crm.attachment_restore(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_restore(saleshub.attachment_meta(), id);
END;
$$;
COMMENT ON FUNCTION crm.attachment_restore(uuid) IS 'Takes a file out of the bin';

CREATE FUNCTION saleshub.routes_attachment() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text;
    plural text;
BEGIN
    FOR noun, plural IN
        VALUES ('lead', 'leads'), ('contact', 'contacts'), ('company', 'companies'),
               ('deal', 'deals'), ('activity', 'activities'), ('product', 'products')
    LOOP
        PERFORM saleshub.route(
            format('GET /v1/%s/{id}/attachments', plural),
            format('crm.%s_attachments(uuid, integer, text)', noun), 'The files on a ' || noun,
            plural, cache => 'strict', args => saleshub.page_args(),
            answer => saleshub.page_shape('"Attachment"'));
        PERFORM saleshub.route(
            format('POST /v1/%s/{id}/attachments', plural),
            format('crm.%s_attach(uuid, uuid, text)', noun), 'Put a file on a ' || noun,
            plural, success => 201, idempotent => true, timeout_ms => 60000, args => '{
                "name": {"maxLength": 255,
                         "description": "Name of the file, else that of the form or of Content-Disposition"}}',
            answer => '"Attachment"');
    END LOOP;
    PERFORM saleshub.route('GET /v1/attachments/{id}', 'crm.attachment_get(uuid)',
                           'Read about a file', 'attachments', cache => 'strict',
                           answer => '"Attachment"');
    PERFORM saleshub.route('GET /v1/attachments/{id}/content', 'crm.attachment_content(uuid)',
                           'The file itself', 'attachments');
    PERFORM saleshub.route('PATCH /v1/attachments/{id}', 'crm.attachment_update(uuid, jsonb, text)',
                           'Rename a file', 'attachments',
                           args => jsonb_build_object('patch', saleshub.attachment_meta() -> 'patch'),
                           answer => '"Attachment"');
    PERFORM saleshub.route('DELETE /v1/attachments/{id}', 'crm.attachment_delete(uuid, text)',
                           'Delete a file', 'attachments', success => 204);
    PERFORM saleshub.route('POST /v1/attachments/{id}/restore', 'crm.attachment_restore(uuid)',
                           'Restore a deleted file', 'attachments',
                           answer => '"Attachment"');
    PERFORM saleshub.route('GET /v1/settings/attachments', 'crm.attachment_settings_get()',
                           'How large files may be', 'settings',
                           answer => '"AttachmentSettings"');
    PERFORM saleshub.route('PATCH /v1/settings/attachments', 'crm.attachment_settings_update(jsonb)',
                           'Change how large files may be', 'settings', role => 'admin',
                           args => jsonb_build_object('patch',
                                                      saleshub.attachment_settings_schema()),
                           answer => '"AttachmentSettings"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_attachment() IS 'Registers the routes of files';
