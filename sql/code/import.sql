-- Imports: a file comes in as an upload, is looked at, planned and written; what it did can be
-- told, repeated for what failed, and taken back.

CREATE FUNCTION saleshub.import_encoding(options jsonb) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    name text := lower(btrim(options ->> 'encoding'));
BEGIN
    IF name IN ('auto', 'utf-16', 'utf16', '') THEN
        RETURN NULL;
    ELSIF name IN ('utf-16le', 'utf16le', 'utf-16be', 'utf16be') THEN
        RETURN 'utf-16' || right(name, 2);
    END IF;
    name := regexp_replace(name, '^(cp|ansi)-?(?=125\d)', 'windows-');
    IF pg_char_to_encoding(name) < 0 THEN
        PERFORM saleshub.import_fault('/encoding', 'unknown', format('is no encoding that is known here: %s', name));
    END IF;
    RETURN name;
END;
$$;
COMMENT ON FUNCTION saleshub.import_encoding(jsonb) IS
    'The encoding that the options name; NULL to find out.';

CREATE FUNCTION saleshub.import_small() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1048576;
COMMENT ON FUNCTION saleshub.import_small() IS
    'Bytes of the largest file that is imported at once; larger ones are left to workers.';

CREATE FUNCTION saleshub.import_repeated(entity text, file bytea, options jsonb, layout jsonb) RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT i.import_id FROM crm.import i
            WHERE i.org_id = saleshub.org_id() AND i.sha256 = file AND i.entity = import_repeated.entity
                AND i.layout = import_repeated.layout
                AND i.options - 'force' = import_repeated.options - 'force' AND i.state IN ('queued', 'running', 'done')
            ORDER BY i.created_at DESC LIMIT 1);
END;
$$;
COMMENT ON FUNCTION saleshub.import_repeated(text, bytea, jsonb, jsonb) IS
    'The import of the same file in the same way that was not taken back; NULL for none.';
ALTER FUNCTION saleshub.import_repeated(text, bytea, jsonb, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_new(entity text, upload uuid, options jsonb, look jsonb, layout jsonb,
                                    retry_of uuid) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    file record := saleshub.upload_take(upload);
    workers integer := CASE WHEN file.size > saleshub.import_small()
                                AND NOT coalesce((options ->> 'atomic')::boolean, false)
                                AND entity NOT IN ('company', 'member')
                       THEN greatest(coalesce(current_setting('saleshub.import_workers', true)::integer, 2), 1)
                       ELSE 1 END;
    id uuid;
BEGIN
    INSERT INTO crm.import (entity, state, upload_id, name, size, sha256, options, look, layout, retry_of,
                            parts, created_by)
    VALUES (entity, 'planning', upload, file.name, file.size, file.sha256, options, look, layout, retry_of,
            workers, saleshub.member_id())
    RETURNING import_id INTO id;
    INSERT INTO saleshub.import_part (org_id, import_id, part)
    SELECT saleshub.org_id(), id, p FROM generate_series(0, workers - 1) p;
    RETURN id;
END;
$$;
COMMENT ON FUNCTION saleshub.import_new(text, uuid, jsonb, jsonb, jsonb, uuid) IS
    'Notes a new import of the acting member, whose upload it takes.';
ALTER FUNCTION saleshub.import_new(text, uuid, jsonb, jsonb, jsonb, uuid) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_layout_of(entity text, upload uuid, options jsonb,
                                          OUT look jsonb, OUT layout jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    price boolean := EXISTS (
        SELECT FROM jsonb_each(coalesce(options -> 'columns', '{}')) c
        WHERE jsonb_typeof(c.value) = 'object' AND c.value ->> 'default' = 'product.price');
BEGIN
    look := saleshub.import_look(upload, saleshub.import_encoding(options), options ->> 'delimiter',
                                 (options ->> 'header')::boolean);
    IF coalesce(look -> 'columns', '[]') = '[]' THEN
        PERFORM saleshub.raise('22023', 'the file is empty', jsonb_build_object(
            'code', 'empty_file', 'errors', saleshub.fault('', 'empty_file', 'has no rows')));
    END IF;
    layout := saleshub.import_layout(entity, look, options) || jsonb_build_object('list_price', price);
END;
$$;
COMMENT ON FUNCTION saleshub.import_layout_of(text, uuid, jsonb) IS
    'What a file looks like, and what becomes of its columns.';

CREATE FUNCTION saleshub.import_begin(entity text, upload uuid, options jsonb, dry_run boolean,
                                      lines jsonb, retry_of uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    file record;
    shape record;
    id uuid;
    earlier uuid;
BEGIN
    PERFORM saleshub.record_require_write();
    IF entity = 'member' THEN
        PERFORM saleshub.need_admin();
    END IF;
    options := coalesce(options, '{}');
    PERFORM saleshub.check_body(saleshub.import_schema(), options);
    file := saleshub.upload_take(upload);
    shape := saleshub.import_layout_of(entity, upload, options);
    shape.layout := shape.layout || CASE WHEN lines IS NULL THEN '{}' ELSE jsonb_build_object('lines', lines) END;
    IF NOT dry_run AND NOT coalesce((options ->> 'force')::boolean, false) AND retry_of IS NULL THEN
        earlier := saleshub.import_repeated(entity, file.sha256, options, shape.layout);
        IF earlier IS NOT NULL THEN
            PERFORM saleshub.raise(
                'SH409', 'this file was imported before', jsonb_build_object(
                    'code', 'already_imported', 'import_id', earlier),
                '"force": true imports it again.');
        END IF;
    END IF;
    id := saleshub.import_new(entity, upload, options, shape.look, shape.layout, retry_of);
    PERFORM saleshub.import_start(id, dry_run, file.size);
    PERFORM saleshub.reply(CASE WHEN file.size > saleshub.import_small() THEN 202 ELSE 201 END, '',
                           '/v1/imports/' || id);
    RETURN saleshub.import_json(id);
END;
$$;
COMMENT ON FUNCTION saleshub.import_begin(text, uuid, jsonb, boolean, jsonb, uuid) IS
    'Begins an import and, when the file is small, ends it.';

CREATE FUNCTION crm.import_create(type text, upload uuid, options jsonb DEFAULT '{}',
                                  dry_run boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.import_begin(saleshub.import_entity(type), upload, options, coalesce(dry_run, false), NULL, NULL);
END;
$$;
COMMENT ON FUNCTION crm.import_create(text, uuid, jsonb, boolean) IS
    'Imports a CSV file, which is an upload of one''s own, or with dry_run says exactly what would come of it: counts, and every row that is wrong. Files of more than 1 MiB are left to workers';

CREATE FUNCTION crm.import_create(type text, content bytea, options jsonb DEFAULT '{}',
                                  dry_run boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    upload uuid := crm.upload_begin(NULL, 'text/csv');
BEGIN
    FOR at IN 0 .. octet_length(content) / 262144
    LOOP
        PERFORM crm.upload_append(upload, substr(content, at * 262144 + 1, 262144));
    END LOOP;
    PERFORM crm.upload_end(upload);
    RETURN saleshub.import_begin(saleshub.import_entity(type), upload, options, coalesce(dry_run, false), NULL, NULL);
END;
$$;
COMMENT ON FUNCTION crm.import_create(text, bytea, jsonb, boolean) IS
    'Imports CSV that is given as bytes, as the other crm.import_create says';

CREATE FUNCTION saleshub.import_progress_of(import uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'rows', sum(p.rows), 'create', sum(p.created), 'update', sum(p.updated),
            'unchanged', sum(p.unchanged), 'skip', sum(p.skipped), 'conflict', sum(p.conflicts),
            'error', sum(p.errors), 'warning', sum(p.warnings), 'made', sum(p.made),
            'bytes', min(p.at), 'done', bool_and(p.done))
        FROM saleshub.import_part p
        JOIN crm.import i ON i.org_id = p.org_id AND i.import_id = p.import_id
        WHERE p.org_id = saleshub.org_id() AND p.import_id = import_progress_of.import
            AND (i.created_by IS NOT DISTINCT FROM saleshub.member_id() OR saleshub.may_administer()));
END;
$$;
COMMENT ON FUNCTION saleshub.import_progress_of(uuid) IS
    'How far an import has come: its counts, and the bytes that are read.';
ALTER FUNCTION saleshub.import_progress_of(uuid) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_mapping(look jsonb, layout jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(c.value ->> 'name', (
        SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN jsonb_agg(t.value -> 'field') -> 0
               ELSE jsonb_agg(t.value -> 'field') END
        FROM jsonb_array_elements(import_mapping.layout -> 'targets') t
        WHERE t.value ->> 'column' = c.value ->> 'name' AND t.value -> 'at' <> '-1')), '{}')
    FROM jsonb_array_elements(import_mapping.look -> 'columns') c;
END;
COMMENT ON FUNCTION saleshub.import_mapping(jsonb, jsonb) IS
    'What each column of the file becomes; null for those that are left out.';

CREATE FUNCTION saleshub.import_issue_json(issue jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_object(
        'line', issue -> 'line', 'level', CASE WHEN (issue ->> 'error')::boolean THEN 'error' ELSE 'warning' END,
        'column', issue -> 'col', 'code', issue -> 'code', 'message', issue -> 'message', 'raw', issue -> 'raw');
COMMENT ON FUNCTION saleshub.import_issue_json(jsonb) IS
    'An error or warning as the API shows it.';

CREATE FUNCTION saleshub.import_json(import uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    i record;
    progress jsonb := saleshub.import_progress_of(import);
    took double precision;
BEGIN
    SELECT * INTO i FROM crm.import m WHERE m.org_id = saleshub.org_id() AND m.import_id = import_json.import;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('import', import);
    END IF;
    took := extract(epoch FROM coalesce(i.finished_at, clock_timestamp()) - i.started_at);
    RETURN jsonb_build_object(
        'id', i.import_id, 'type', i.entity, 'state', i.state,
        'file', jsonb_build_object('name', i.name, 'size', i.size, 'sha256', encode(i.sha256, 'hex'),
                                   'kept', i.upload_id IS NOT NULL),
        'encoding', i.look -> 'encoding', 'delimiter', i.look -> 'delimiter', 'header', i.look -> 'header',
        'mapping', saleshub.import_mapping(i.look, i.layout), 'options', i.options,
        'counts', CASE WHEN i.state IN ('planning', 'planned') OR progress -> 'rows' = '0' THEN i.plan ELSE progress - '{bytes,done}'::text[] END,
        'plan', i.plan,
        'progress', jsonb_build_object(
            'rows', progress -> 'rows', 'bytes', progress -> 'bytes', 'size', i.size,
            'rows_per_second', CASE WHEN took > 0 THEN round(((progress ->> 'rows')::numeric / took::numeric), 1) END),
        'issues', (
            SELECT coalesce(jsonb_agg(saleshub.import_issue_json(to_jsonb(f)) ORDER BY f.line, f.import_issue_id), '[]')
            FROM (SELECT s.* FROM crm.import_issue s
                  WHERE s.org_id = i.org_id AND s.import_id = i.import_id
                  ORDER BY s.line, s.import_issue_id LIMIT 20) f),
        'issue_codes', (
            SELECT coalesce(jsonb_object_agg(c.code, c.n), '{}')
            FROM (SELECT s.code, count(*) AS n FROM crm.import_issue s
                  WHERE s.org_id = i.org_id AND s.import_id = i.import_id GROUP BY s.code) c),
        'undo', i.undo, 'fault', i.fault, 'retry_of', i.retry_of,
        'created_at', saleshub.utc(i.created_at), 'created_by', i.created_by,
        'started_at', saleshub.utc(i.started_at), 'finished_at', saleshub.utc(i.finished_at));
END;
$$;
COMMENT ON FUNCTION saleshub.import_json(uuid) IS
    'An import as the API shows it: state, counts, plan, progress and the first errors and warnings.';

CREATE FUNCTION crm.import_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.import_json(id);
END;
$$;
COMMENT ON FUNCTION crm.import_get(uuid) IS
    'An import: its state and progress, what it counts, and its first errors and warnings';

CREATE FUNCTION crm.import_list(limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    after uuid := (saleshub.cursor_decode(cursor_) ->> 'id')::uuid;
    ids uuid[];
BEGIN
    IF cursor_ IS NOT NULL AND after IS NULL THEN
        PERFORM saleshub.bad_parameter('cursor', 'invalid', 'must be the next_cursor of an earlier answer');
    END IF;
    ids := ARRAY(SELECT i.import_id FROM crm.import i
                 WHERE i.org_id = saleshub.org_id() AND (after IS NULL OR i.import_id < after)
                 ORDER BY i.import_id DESC LIMIT page + 1);
    RETURN jsonb_build_object(
        'data', (SELECT coalesce(jsonb_agg(saleshub.import_json(id) - '{issues,options,mapping}'::text[] ORDER BY n), '[]')
                 FROM unnest(ids) WITH ORDINALITY AS e (id, n) WHERE n <= page),
        'next_cursor', CASE WHEN cardinality(ids) > page
                       THEN saleshub.cursor_encode(jsonb_build_object('id', ids[page])) END);
END;
$$;
COMMENT ON FUNCTION crm.import_list(integer, text) IS
    'One''s own imports, of admins all of the organisation, the newest first';

CREATE FUNCTION crm.import_issues(id uuid, level text DEFAULT NULL, limit_ integer DEFAULT 50,
                                  cursor_ text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    after jsonb := saleshub.cursor_decode(cursor_);
    found_ jsonb;
BEGIN
    IF level IS NOT NULL AND level NOT IN ('error', 'warning') THEN
        PERFORM saleshub.bad_parameter('level', 'not_allowed', 'must be error or warning');
    ELSIF cursor_ IS NOT NULL AND after IS NULL THEN
        PERFORM saleshub.bad_parameter('cursor', 'invalid', 'must be the next_cursor of an earlier answer');
    END IF;
    PERFORM saleshub.import_json(id);
    SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.line, f.import_issue_id), '[]') INTO found_
    FROM (SELECT s.* FROM crm.import_issue s
          WHERE s.org_id = saleshub.org_id() AND s.import_id = import_issues.id
              AND (level IS NULL OR s.error = (level = 'error'))
              AND (after IS NULL OR (s.line, s.import_issue_id) > ((after ->> 'line')::bigint, (after ->> 'id')::uuid))
          ORDER BY s.line, s.import_issue_id LIMIT page + 1) f;
    RETURN jsonb_build_object(
        'data', (SELECT coalesce(jsonb_agg(saleshub.import_issue_json(f) ORDER BY n), '[]')
                 FROM jsonb_array_elements(found_) WITH ORDINALITY AS e (f, n) WHERE n <= page),
        'next_cursor', CASE WHEN jsonb_array_length(found_) > page THEN saleshub.cursor_encode(jsonb_build_object(
            'line', found_ -> (page - 1) -> 'line', 'id', found_ -> (page - 1) -> 'import_issue_id')) END);
END;
$$;
COMMENT ON FUNCTION crm.import_issues(uuid, text, integer, text) IS
    'What was wrong with rows of an import (error) or strange about them (warning), in the order of lines: {line, level, column, code, message, raw}';
