-- Files on records. The bytes are an upload (upload.sql), kept once for the same content; where they
-- are shown is a matter of links, which conversions carry and merges move by the catalogue.

CREATE FUNCTION saleshub.attachment_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "attachment_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "name", "type": "text", "max": 255, "sort": true, "not_null": true},
        {"name": "media_type", "type": "text", "read_only": true},
        {"name": "inline", "type": "boolean", "read_only": true},
        {"name": "size", "type": "integer", "read_only": true},
        {"name": "sha256", "type": "text", "read_only": true, "sql": "encode(t.sha256, ''hex'')"},
        {"name": "links", "type": "object", "read_only": true, "sql":
            "(SELECT coalesce(jsonb_agg(jsonb_build_object(''type'', l.entity, ''id'', l.entity_id) ORDER BY l.entity, l.entity_id), ''[]'') FROM crm.attachment_link l WHERE l.org_id = t.org_id AND l.attachment_id = t.attachment_id)"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.attachment_fields() IS 'The fields of an attachment in the API.';

CREATE FUNCTION saleshub.attachment_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('attachment', 'attachments', saleshub.attachment_fields(), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.attachment_meta() IS
    'What the record functions need to know about attachments.';

CREATE FUNCTION saleshub.picture_type(head bytea) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN pg_catalog.substr(head, 1, 8) = '\x89504e470d0a1a0a' THEN 'image/png'
        WHEN pg_catalog.substr(head, 1, 3) = '\xffd8ff' THEN 'image/jpeg'
        WHEN pg_catalog.substr(head, 1, 6) IN ('\x474946383761', '\x474946383961') THEN 'image/gif'
        WHEN pg_catalog.substr(head, 1, 4) = '\x52494646'
            AND pg_catalog.substr(head, 9, 4) = '\x57454250' THEN 'image/webp'
    END;
COMMENT ON FUNCTION saleshub.picture_type(bytea) IS
    'The type of a picture that browsers show safely, by how its bytes begin; NULL: no such picture.';

CREATE FUNCTION saleshub.attachment_type(said text, head bytea) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN saleshub.picture_type(head) IS NOT NULL THEN saleshub.picture_type(head)
        WHEN substr(head, 1, 5) = '\x255044462d' THEN 'application/pdf'
        -- What is said to be a picture and is none, or would run in a browser, is just bytes.
        WHEN said ~ '^(image/|text/html|application/(xhtml|xml|pdf|javascript|x-javascript|ecmascript)|text/(xml|javascript|ecmascript|vbscript)|multipart/|message/)|[+]xml'
            THEN 'application/octet-stream'
        ELSE said
    END;
END;
$$;
COMMENT ON FUNCTION saleshub.attachment_type(text, bytea) IS
    'The media type that a file is given out as: that of its bytes, or what was said unless that could do harm.';

-- Settings of the organisation

CREATE FUNCTION saleshub.attachment_limits(org uuid, OUT max_bytes bigint, OUT quota_bytes bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    SELECT coalesce((o.settings #>> '{attachments,max_bytes}')::bigint, 26214400),
           (o.settings #>> '{attachments,quota_bytes}')::bigint
    INTO max_bytes, quota_bytes
    FROM crm.org o WHERE o.org_id = attachment_limits.org;
END;
$$;
ALTER FUNCTION saleshub.attachment_limits(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_limits(uuid) IS
    'How large one file may be, 25 MiB unless settled, and all together; NULL: without limit.';

CREATE FUNCTION saleshub.attachment_bytes(org uuid) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(sum(u.size), 0)::bigint
            FROM (SELECT DISTINCT a.upload_id, a.size FROM crm.attachment a
                  WHERE a.org_id = attachment_bytes.org) u);
END;
$$;
ALTER FUNCTION saleshub.attachment_bytes(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_bytes(uuid) IS
    'What the files of an organisation take, the same content once, those in the bin as well.';

CREATE FUNCTION crm.attachment_settings_get() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    limits record;
BEGIN
    SELECT * INTO limits FROM saleshub.attachment_limits(org);
    RETURN jsonb_build_object('max_bytes', limits.max_bytes, 'quota_bytes', limits.quota_bytes,
                              'used_bytes', saleshub.attachment_bytes(org));
END;
$$;
ALTER FUNCTION crm.attachment_settings_get() OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.attachment_settings_get() IS
    'How large a file and all files together may be, and what they take now: {"max_bytes", "quota_bytes", "used_bytes"}';

CREATE FUNCTION saleshub.attachment_settings_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "properties": {
        "max_bytes": {"type": ["integer", "null"], "minimum": 0, "maximum": 1073741824},
        "quota_bytes": {"type": ["integer", "null"], "minimum": 0, "maximum": 1000000000000000}}}'::jsonb;
COMMENT ON FUNCTION saleshub.attachment_settings_schema() IS
    'JSON Schema of a change of the limits of files';

CREATE FUNCTION crm.attachment_settings_update(patch jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.admin_require();
    PERFORM saleshub.check_body(saleshub.attachment_settings_schema(), patch);
    UPDATE crm.org o
    SET settings = saleshub.merge_patch(o.settings, jsonb_build_object('attachments', patch))
    WHERE o.org_id = saleshub.org_id();
    RETURN crm.attachment_settings_get();
END;
$$;
ALTER FUNCTION crm.attachment_settings_update(jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.attachment_settings_update(jsonb) IS
    'Changes the limits of files by a merge patch; null is the default. For admins';

-- The row and its content

CREATE FUNCTION saleshub.attachment_room(org uuid, size bigint, hash bytea) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    limits record;
BEGIN
    SELECT * INTO limits FROM saleshub.attachment_limits(org);
    IF size > limits.max_bytes THEN
        PERFORM saleshub.raise('SH413', format('a file may have %s bytes', limits.max_bytes),
            jsonb_build_object('code', 'too_large', 'max', limits.max_bytes));
    ELSIF limits.quota_bytes IS NOT NULL
        AND NOT EXISTS (SELECT FROM crm.attachment a WHERE a.org_id = org AND a.sha256 = hash)
        AND saleshub.attachment_bytes(org) + size > limits.quota_bytes
    THEN
        PERFORM saleshub.raise('SH413', 'the files of the organisation have no more room',
            jsonb_build_object('code', 'quota_exceeded', 'max', limits.quota_bytes),
            'Empty the bin of attachments, or let an admin raise the quota.');
    END IF;
END;
$$;
ALTER FUNCTION saleshub.attachment_room(uuid, bigint, bytea) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_room(uuid, bigint, bytea) IS
    'Raises SH413 when a file is too large, or all of them together would be.';

CREATE FUNCTION saleshub.attachment_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    sent record;
    head bytea;
    known uuid;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.name := saleshub.file_name(NEW.name);
        IF NEW.name IS NULL THEN
            PERFORM saleshub.refuse_row('attachment', saleshub.fault('/name', 'required', 'is required'));
        END IF;
        -- What the file holds never changes.
        NEW.upload_id := OLD.upload_id;
        NEW.media_type := OLD.media_type;
        NEW.inline := OLD.inline;
        NEW.size := OLD.size;
        NEW.sha256 := OLD.sha256;
        RETURN NEW;
    END IF;
    SELECT * INTO sent FROM saleshub.upload_take(NEW.upload_id);
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'saleshub.attachment' || NEW.org_id || encode(sent.sha256, 'hex'), 0));
    PERFORM saleshub.attachment_room(NEW.org_id, sent.size, sent.sha256);
    head := coalesce((SELECT substr(p.bytes, 1, 16) FROM saleshub.upload_part p
                      WHERE p.org_id = NEW.org_id AND p.upload_id = NEW.upload_id AND p.part = 1), '');
    NEW.name := coalesce(saleshub.file_name(NEW.name), sent.name, 'file');
    NEW.media_type := saleshub.attachment_type(sent.media_type, head);
    NEW.inline := saleshub.picture_type(head) IS NOT NULL;
    NEW.size := sent.size;
    NEW.sha256 := sent.sha256;
    NEW.created_by := coalesce(saleshub.member_id(), NEW.created_by);
    SELECT a.upload_id INTO known FROM crm.attachment a
    WHERE a.org_id = NEW.org_id AND a.sha256 = sent.sha256 AND a.size = sent.size
    LIMIT 1;
    IF known <> NEW.upload_id THEN
        -- One that came in this very request was for this only; others go when their day is over.
        DELETE FROM saleshub.upload u
        WHERE u.org_id = NEW.org_id AND u.upload_id = NEW.upload_id AND u.created_at = now()
            AND NOT saleshub.upload_used(u.org_id, u.upload_id);
        NEW.upload_id := known;
    END IF;
    RETURN NEW;
END;
$$;
ALTER FUNCTION saleshub.attachment_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_check() IS
    'Trigger: an attachment is one of the member''s own uploads, or the same content from before; all but its name is what the bytes say.';

-- Whose they are

CREATE FUNCTION saleshub.attachment_unlinked(org uuid, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM crm.attachment_link l
                       WHERE l.org_id = attachment_unlinked.org AND l.attachment_id = id
                           AND l.org_id = saleshub.org_id());
END;
$$;
ALTER FUNCTION saleshub.attachment_unlinked(uuid, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_unlinked(uuid, uuid) IS
    'Whether a file is on no record at all, seen or not.';

CREATE FUNCTION saleshub.attachment_linked(org uuid, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM crm.attachment_link l
                   WHERE l.org_id = attachment_linked.org AND l.attachment_id = id);
END;
$$;
COMMENT ON FUNCTION saleshub.attachment_linked(uuid, uuid) IS
    'Whether a file is on a record that the member sees.';

CREATE FUNCTION saleshub.upload_attached(org uuid, upload uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM crm.attachment a
                   WHERE a.org_id = upload_attached.org AND a.upload_id = upload_attached.upload);
END;
$$;
COMMENT ON FUNCTION saleshub.upload_attached(uuid, uuid) IS
    'Whether an upload is the content of a file that the member sees.';

CREATE FUNCTION saleshub.attachment_target(org uuid, entity text, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE entity
        WHEN 'activity' THEN EXISTS (SELECT FROM crm.activity r WHERE r.deleted_at IS NULL
            AND r.org_id = org AND r.activity_id = attachment_target.id)
        WHEN 'product' THEN EXISTS (SELECT FROM crm.product r WHERE r.deleted_at IS NULL
            AND r.org_id = org AND r.product_id = attachment_target.id)
        ELSE saleshub.reference_faults(org, '', entity, id) = '[]' END;
END;
$$;
COMMENT ON FUNCTION saleshub.attachment_target(uuid, text, uuid) IS
    'Whether there is such a record, not in the bin, that files can be on.';

CREATE FUNCTION saleshub.attachment_kept(attachment uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM crm.attachment_link l
        WHERE l.org_id = saleshub.org_id() AND l.attachment_id = attachment
            AND saleshub.attachment_target(l.org_id, l.entity, l.entity_id));
END;
$$;
ALTER FUNCTION saleshub.attachment_kept(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_kept(uuid) IS
    'Whether a file is on a record that is not in the bin, seen by the member or not.';

CREATE FUNCTION saleshub.attachments_lost(noun text, id uuid, deletion uuid) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT l.attachment_id
        FROM crm.attachment_link l
        WHERE l.org_id = saleshub.org_id()
            AND (l.entity = noun AND l.entity_id = attachments_lost.id
                 OR l.entity = 'activity' AND l.entity_id IN (
                     SELECT a.activity_id FROM crm.activity a
                     WHERE a.org_id = saleshub.org_id() AND a.deletion_id = deletion))
            AND NOT saleshub.attachment_kept(l.attachment_id));
END;
$$;
ALTER FUNCTION saleshub.attachments_lost(text, uuid, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachments_lost(text, uuid, uuid) IS
    'The files of a deleted record, and of activities deleted with it, that are on no other live record.';

CREATE FUNCTION saleshub.attachment_link_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_keep(NEW.org_id, NEW.entity, NEW.entity_id);
    IF NEW.entity NOT IN ('lead', 'contact', 'company', 'deal', 'activity', 'product')
       OR NOT saleshub.attachment_target(NEW.org_id, NEW.entity, NEW.entity_id)
    THEN
        PERFORM saleshub.refuse_row('attachment_link', saleshub.fault(
            '/links', 'not_found', format('names no %s (%s)', NEW.entity, NEW.entity_id)));
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.attachment_link_check() IS
    'Trigger: a file is on a record of its organisation, of any kind; no foreign key says so.';

CREATE FUNCTION saleshub.attachment_link_changed() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    orgs uuid[];
    ids uuid[];
BEGIN
    SELECT array_agg(l.org_id), array_agg(l.attachment_id) INTO orgs, ids
    FROM (SELECT DISTINCT org_id, attachment_id FROM linkrows) l;
    -- What this very transaction wrote has its new version already, and nobody saw another.
    UPDATE crm.attachment a
    SET links_version = a.links_version + 1
    FROM unnest(orgs, ids) AS t (org_id, attachment_id)
    WHERE a.org_id = t.org_id AND a.attachment_id = t.attachment_id
        AND a.xmin <> pg_current_xact_id()::xid;
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.attachment_link_changed() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachment_link_changed() IS
    'Trigger: a change of where a file is shown is a change of the attachment.';

-- When records go for good, or a person is erased

CREATE FUNCTION saleshub.attachments_let_go(org uuid, noun text, ids uuid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    files uuid[];
BEGIN
    WITH gone AS (
        DELETE FROM crm.attachment_link l
        WHERE l.org_id = org AND l.entity = noun AND l.entity_id = ANY (ids)
        RETURNING l.attachment_id)
    SELECT array_agg(attachment_id) INTO files FROM gone;
    DELETE FROM crm.attachment a
    WHERE a.org_id = org AND a.attachment_id = ANY (files)
        AND NOT EXISTS (SELECT FROM crm.attachment_link l
                        WHERE l.org_id = org AND l.attachment_id = a.attachment_id);
END;
$$;
ALTER FUNCTION saleshub.attachments_let_go(uuid, text, uuid[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.attachments_let_go(uuid, text, uuid[]) IS
    'Takes files off records that are removed for good, and removes those that are on nothing then.';

CREATE FUNCTION saleshub.erase_attachments(org uuid, ids uuid[]) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    files uuid[] := ARRAY(
        SELECT DISTINCT l.attachment_id FROM crm.attachment_link l
        WHERE l.org_id = org AND l.entity IN ('lead', 'contact', 'activity')
            AND l.entity_id = ANY (ids));
    contents uuid[] := ARRAY(
        SELECT DISTINCT a.upload_id FROM crm.attachment a
        WHERE a.org_id = org AND a.attachment_id = ANY (files));
BEGIN
    DELETE FROM crm.attachment a WHERE a.org_id = org AND a.attachment_id = ANY (files);
    DELETE FROM saleshub.upload u
    WHERE u.org_id = org AND u.upload_id = ANY (contents)
        AND NOT saleshub.upload_used(u.org_id, u.upload_id);
    UPDATE crm.change_log l SET changed = '{}'
    WHERE l.org_id = org AND l.entity = 'attachment' AND l.entity_id = ANY (files);
    RETURN jsonb_build_object('attachments', cardinality(files));
END;
$$;
ALTER FUNCTION saleshub.erase_attachments(uuid, uuid[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.erase_attachments(uuid, uuid[]) IS
    'Removes the files on a person''s records with their bytes, wherever else they are shown, and what the history says of them.';

-- Whether the bytes are still what they were

CREATE FUNCTION saleshub.attachment_faults(most integer DEFAULT NULL,
                                           OUT org_id uuid, OUT attachment_id uuid, OUT fault text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT f.org_id, f.attachment_id,
           CASE WHEN f.held IS DISTINCT FROM f.size THEN format('has %s bytes of %s', f.held, f.size)
                ELSE 'the bytes do not have its sha256' END
    FROM (
        SELECT a.org_id, a.attachment_id, a.size, a.sha256, a.upload_id,
               coalesce((SELECT max(p.upto) FROM saleshub.upload_part p
                         WHERE p.org_id = a.org_id AND p.upload_id = a.upload_id), 0) AS held
        FROM crm.attachment a
        ORDER BY CASE WHEN most IS NOT NULL THEN random() END
        LIMIT most
    ) f
    WHERE f.held <> f.size OR saleshub.upload_sha256(f.org_id, f.upload_id) IS DISTINCT FROM f.sha256;
END;
$$;
COMMENT ON FUNCTION saleshub.attachment_faults(integer) IS
    'Files whose bytes are not those that were sent: of all, or of so many picked at random. For superusers';
