-- Uploads: files sent in parts, complete or not at all, and kept while something refers to them.
-- Members have no rights on the tables: a complete upload can be changed by nobody.

CREATE FUNCTION saleshub.upload_sha256(org uuid, upload uuid) RETURNS bytea
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_upload_sha256';
COMMENT ON FUNCTION saleshub.upload_sha256(uuid, uuid) IS
    'SHA-256 of an upload''s parts one after the other, never more than one of them in memory';

CREATE FUNCTION saleshub.file_name(said text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- some clients send folders; control characters and what turns the reading order go
    RETURN nullif(left(btrim(regexp_replace(regexp_replace(said, '^.*[/\\]', ''),
                                            '[\u0001-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]',
                                            '', 'g')), 255), '');
END
$$;
COMMENT ON FUNCTION saleshub.file_name(text) IS
    'The name of a file without folders and control characters, at most 255 characters; NULL when nothing is left';

CREATE FUNCTION saleshub.media_type(said text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    type CONSTANT text := lower(btrim(split_part(said, ';', 1)));
    parameters CONSTANT text := btrim(substr(said, strpos(said || ';', ';') + 1));
BEGIN
    IF said IS NULL OR length(said) > 255
        OR type !~ '^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$' THEN
        RETURN 'application/octet-stream';
    ELSIF parameters ~ '^[ -~]+$' THEN
        RETURN type || '; ' || parameters;
    END IF;
    RETURN type;
END
$$;
COMMENT ON FUNCTION saleshub.media_type(text) IS
    'A media type with the type in lower case; application/octet-stream when it is none';

-- Filling one

CREATE FUNCTION crm.upload_begin(name text DEFAULT NULL, media_type text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid;
BEGIN
    PERFORM saleshub.record_require_write();
    INSERT INTO saleshub.upload (name, media_type, created_by)
    VALUES (saleshub.file_name(upload_begin.name), saleshub.media_type(upload_begin.media_type),
            saleshub.member_id())
    RETURNING upload_id INTO id;
    RETURN id;
END
$$;
ALTER FUNCTION crm.upload_begin(text, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.upload_begin(text, text) IS
    'Begins an upload: append its bytes, then end it. Returns its id';

CREATE FUNCTION saleshub.upload_open(upload uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    completed_at timestamptz;
BEGIN
    SELECT u.completed_at INTO completed_at
      FROM saleshub.upload u
     WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_open.upload
       AND u.created_by IS NOT DISTINCT FROM saleshub.member_id()
       FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('upload', upload);
    ELSIF completed_at IS NOT NULL THEN
        PERFORM saleshub.raise('SH409', 'the upload is complete', '{"code": "upload_complete"}');
    END IF;
END
$$;
ALTER FUNCTION saleshub.upload_open(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.upload_open(uuid) IS
    'Locks an upload that is to be filled; raises when it is not the member''s or is complete';

CREATE FUNCTION crm.upload_append(upload uuid, bytes bytea) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    at_once CONSTANT integer := 1048576;
    most bigint;
    last record;
BEGIN
    PERFORM saleshub.upload_open(upload);
    IF bytes IS NULL OR octet_length(bytes) > at_once THEN
        PERFORM saleshub.raise('SH413', format('at most %s bytes can be appended at once', at_once),
                               '{"code": "too_large"}');
    ELSIF octet_length(bytes) = 0 THEN
        RETURN;
    END IF;
    most := pg_size_bytes(current_setting('saleshub.max_upload'));
    SELECT p.part, p.upto INTO last
      FROM saleshub.upload_part p
     WHERE p.org_id = saleshub.org_id() AND p.upload_id = upload_append.upload
     ORDER BY p.part DESC LIMIT 1;
    IF coalesce(last.upto, 0) + octet_length(bytes) > most THEN
        PERFORM saleshub.raise('SH413', format('a file may have %s bytes', most),
                               jsonb_build_object('code', 'too_large', 'max', most));
    END IF;
    INSERT INTO saleshub.upload_part (upload_id, part, upto, bytes)
    VALUES (upload_append.upload, coalesce(last.part, 0) + 1,
            coalesce(last.upto, 0) + octet_length(upload_append.bytes), upload_append.bytes);
END
$$;
ALTER FUNCTION crm.upload_append(uuid, bytea) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.upload_append(uuid, bytea) IS
    'Appends bytes, at most 1 MiB a call and saleshub.max_upload in all; of its creator, until it is ended';

CREATE FUNCTION crm.upload_end(upload uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    total bigint;
    hash bytea;
BEGIN
    PERFORM saleshub.upload_open(upload);
    SELECT coalesce(max(p.upto), 0) INTO total
      FROM saleshub.upload_part p
     WHERE p.org_id = saleshub.org_id() AND p.upload_id = upload_end.upload;
    hash := saleshub.upload_sha256(saleshub.org_id(), upload);
    UPDATE saleshub.upload u SET size = total, sha256 = hash, completed_at = now()
     WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_end.upload;
    RETURN jsonb_build_object('id', upload, 'size', total, 'sha256', encode(hash, 'hex'));
END
$$;
ALTER FUNCTION crm.upload_end(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.upload_end(uuid) IS
    'Completes an upload: {id, size, sha256}. From now on nothing of it changes';

-- Using one

CREATE FUNCTION saleshub.upload_take(
    upload uuid, OUT name text, OUT media_type text, OUT size bigint, OUT sha256 bytea)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    SELECT u.name, u.media_type, u.size, u.sha256 INTO name, media_type, size, sha256
      FROM saleshub.upload u
     WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_take.upload
       AND u.created_by IS NOT DISTINCT FROM saleshub.member_id()
       AND u.completed_at IS NOT NULL
       FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('upload', upload);
    END IF;
END
$$;
ALTER FUNCTION saleshub.upload_take(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.upload_take(uuid) IS
    'What is known about a complete upload of the acting member, which then stays until the end of the transaction: for whatever is about to refer to it. Raises P0002 for any other';

CREATE FUNCTION saleshub.upload_used(org uuid, upload uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fk record;
    found boolean;
BEGIN
    FOR fk IN
        SELECT c.conrelid::regclass AS tab,
               (SELECT string_agg(format('%I = %s', a.attname,
                                         CASE f.attname WHEN 'org_id' THEN '$1' ELSE '$2' END), ' AND ')
                  FROM unnest(c.conkey, c.confkey) k (here, there)
                  JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.here
                  JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.there) AS same
          FROM pg_constraint c
         WHERE c.confrelid = 'saleshub.upload'::regclass AND c.contype = 'f'
           AND c.conrelid <> 'saleshub.upload_part'::regclass
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s)', fk.tab, fk.same)
           INTO found USING org, upload;
        IF found THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
ALTER FUNCTION saleshub.upload_used(uuid, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.upload_used(uuid, uuid) IS
    'Whether a row of any table refers to the upload, by whatever foreign keys there are';

CREATE FUNCTION saleshub.upload_sweep(batch integer DEFAULT 100) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    due record;
    gone bigint := 0;
BEGIN
    FOR due IN
        SELECT u.org_id, u.upload_id
          FROM crm.org o, LATERAL (
                   SELECT * FROM saleshub.upload w
                    WHERE w.org_id = o.org_id AND w.check_at <= now()
                    ORDER BY w.check_at LIMIT batch) u
         LIMIT batch
    LOOP
        -- whoever holds it is about to refer to it
        PERFORM FROM saleshub.upload u
          WHERE u.org_id = due.org_id AND u.upload_id = due.upload_id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        IF saleshub.upload_used(due.org_id, due.upload_id) THEN
            UPDATE saleshub.upload u SET check_at = now() + interval '7 days'
             WHERE u.org_id = due.org_id AND u.upload_id = due.upload_id;
        ELSE
            DELETE FROM saleshub.upload u
             WHERE u.org_id = due.org_id AND u.upload_id = due.upload_id;
            gone := gone + 1;
        END IF;
    END LOOP;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION saleshub.upload_sweep(integer) IS
    'Removes uploads that nothing refers to, a day after they began or a week after something did, so many a call; returns how many. Part of keep_house()';

-- The API

CREATE FUNCTION saleshub.upload_json(upload uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
                   'id', u.upload_id, 'name', u.name, 'media_type', u.media_type,
                   'size', u.size, 'sha256', encode(u.sha256, 'hex'),
                   'created_at', saleshub.utc(u.created_at),
                   'expires_at', CASE WHEN NOT saleshub.upload_used(u.org_id, u.upload_id)
                                      THEN saleshub.utc(u.check_at) END)
          FROM saleshub.upload u
         WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_json.upload
           AND u.created_by IS NOT DISTINCT FROM saleshub.member_id()
           AND u.completed_at IS NOT NULL);
END
$$;
ALTER FUNCTION saleshub.upload_json(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.upload_json(uuid) IS
    'A complete upload of the acting member as the API shows it, else NULL';

CREATE FUNCTION crm.upload_create(upload uuid, name text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.upload_take(upload);
    UPDATE saleshub.upload u SET name = saleshub.file_name(upload_create.name)
     WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_create.upload
       AND saleshub.file_name(upload_create.name) <> coalesce(u.name, '');
    PERFORM saleshub.reply(location => '/v1/uploads/' || upload);
    RETURN saleshub.upload_json(upload);
END
$$;
ALTER FUNCTION crm.upload_create(uuid, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.upload_create(uuid, text) IS
    'Keeps a complete upload under its own id, for a later call to refer to, with another name when one is given';

CREATE FUNCTION crm.upload_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    known CONSTANT jsonb := saleshub.upload_json(id);
BEGIN
    IF known IS NULL THEN
        PERFORM saleshub.record_missing('upload', id);
    END IF;
    RETURN known;
END
$$;
COMMENT ON FUNCTION crm.upload_get(uuid) IS
    'An upload of one''s own: {id, name, media_type, size, sha256, created_at, expires_at}; expires_at is null while something refers to it';

CREATE FUNCTION crm.upload_delete(id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM FROM saleshub.upload u
      WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_delete.id
        AND u.created_by IS NOT DISTINCT FROM saleshub.member_id()
        FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('upload', id);
    ELSIF saleshub.upload_used(saleshub.org_id(), id) THEN
        PERFORM saleshub.raise('SH409', 'something refers to the upload', '{"code": "upload_in_use"}');
    END IF;
    DELETE FROM saleshub.upload u
     WHERE u.org_id = saleshub.org_id() AND u.upload_id = upload_delete.id;
END
$$;
ALTER FUNCTION crm.upload_delete(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.upload_delete(uuid) IS
    'Removes an upload of one''s own that nothing refers to, complete or not';

CREATE FUNCTION saleshub.routes_upload() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('POST /v1/uploads', 'crm.upload_create(uuid, text)', 'Send a file',
        'uploads', success => 201, idempotent => true, timeout_ms => 60000,
        args => '{"name": {"maxLength": 255, "description": "Name of the file, else that of the form or of Content-Disposition"}}',
        answer => '"Upload"');
    PERFORM saleshub.route('GET /v1/uploads/{id}', 'crm.upload_get(uuid)', 'Read about a file',
        'uploads',
        answer => '"Upload"');
    PERFORM saleshub.route('DELETE /v1/uploads/{id}', 'crm.upload_delete(uuid)', 'Remove a file',
        'uploads', success => 204);
END
$$;
COMMENT ON FUNCTION saleshub.routes_upload() IS
    'Registers the routes of uploads';
