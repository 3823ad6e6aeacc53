-- Running imports: at once in the caller's transaction, or batch by batch by workers.

CREATE FUNCTION saleshub.import_hold(org uuid, import uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM FROM saleshub.import_part p
    WHERE p.org_id = org AND p.import_id = import_hold.import
    ORDER BY p.part FOR UPDATE;
END;
$$;
COMMENT ON FUNCTION saleshub.import_hold(uuid, uuid) IS
    'Waits for the batches of an import that are under way, and holds those that would follow.';

CREATE FUNCTION saleshub.import_set(import uuid, was text[], state text, said jsonb DEFAULT '{}') RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    may boolean;
BEGIN
    IF import_set.state = 'cancelled' AND EXISTS (
        SELECT FROM crm.import i
        WHERE i.org_id = org AND i.import_id = import_set.import AND i.state = 'running'
            AND NOT coalesce((i.options ->> 'atomic')::boolean, false)
            AND (i.created_by IS NOT DISTINCT FROM saleshub.member_id() OR saleshub.may_administer()))
    THEN
        PERFORM saleshub.import_hold(org, import);
    END IF;
    UPDATE crm.import i
    SET state = import_set.state,
        plan = CASE WHEN said ? 'plan' THEN said -> 'plan' ELSE i.plan END,
        undo = CASE WHEN said ? 'undo' THEN said -> 'undo' ELSE i.undo END,
        fault = CASE WHEN said ? 'fault' THEN said -> 'fault' END,
        started_at = CASE WHEN import_set.state IN ('running', 'planning') AND i.started_at IS NULL
                     THEN clock_timestamp() ELSE i.started_at END,
        finished_at = CASE WHEN import_set.state IN ('done', 'failed', 'cancelled') THEN clock_timestamp()
                      ELSE i.finished_at END
    WHERE i.org_id = org AND i.import_id = import_set.import AND i.state = ANY (was)
        AND (i.created_by IS NOT DISTINCT FROM saleshub.member_id() OR saleshub.may_administer());
    may := FOUND;
    IF may AND import_set.state IN ('done', 'failed', 'cancelled') THEN
        PERFORM saleshub.route_settle(org, import);
    END IF;
    RETURN may;
END;
$$;
COMMENT ON FUNCTION saleshub.import_set(uuid, text[], text, jsonb) IS
    'Moves an import of the member from one of these states to another; false when it is in none of them.';
ALTER FUNCTION saleshub.import_set(uuid, text[], text, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_wrong_state(import uuid, what text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    state text := (SELECT i.state FROM crm.import i
                   WHERE i.org_id = saleshub.org_id() AND i.import_id = import_wrong_state.import);
BEGIN
    IF state IS NULL THEN
        PERFORM saleshub.record_missing('import', import);
    END IF;
    PERFORM saleshub.raise('SH409', format('the import is %s and cannot be %s', state, what),
                           jsonb_build_object('code', 'wrong_state', 'state', state));
END;
$$;
COMMENT ON FUNCTION saleshub.import_wrong_state(uuid, text) IS
    'Raises SH409, or P0002 when there is no such import.';

CREATE FUNCTION saleshub.import_later_all(import uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(l ORDER BY (l ->> 'line')::bigint), '[]')
            FROM crm.import i
            JOIN saleshub.import_batch b ON b.org_id = i.org_id AND b.import_id = i.import_id,
            jsonb_array_elements(b.later) l
            WHERE i.org_id = saleshub.org_id() AND i.import_id = import_later_all.import
                AND i.created_by IS NOT DISTINCT FROM saleshub.member_id());
END;
$$;
COMMENT ON FUNCTION saleshub.import_later_all(uuid) IS
    'References that are to be looked up at the end of the file: [{id, line, value}].';
ALTER FUNCTION saleshub.import_later_all(uuid) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_book_later(import uuid, updated jsonb, issues jsonb, made jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    number integer;
BEGIN
    UPDATE saleshub.import_part p
    SET batch = p.batch + 1, made = p.made + jsonb_array_length(import_book_later.made),
        warnings = p.warnings + (SELECT count(DISTINCT f ->> 'line') FROM jsonb_array_elements(issues) f)
    FROM crm.import i
    WHERE p.org_id = org AND p.import_id = import_book_later.import AND p.part = 0
        AND i.org_id = org AND i.import_id = p.import_id AND i.created_by IS NOT DISTINCT FROM saleshub.member_id()
    RETURNING p.batch INTO number;
    IF number IS NULL THEN
        PERFORM saleshub.record_missing('import', import);
    END IF;
    INSERT INTO saleshub.import_batch (org_id, import_id, part, batch, updated, made)
    VALUES (org, import, 0, number, import_book_later.updated, import_book_later.made);
    INSERT INTO crm.import_issue (org_id, import_id, line, error, col, code, message, raw)
    SELECT org, import, (i ->> 'line')::bigint, false, i ->> 'col', i ->> 'code', i ->> 'message', i ->> 'raw'
    FROM jsonb_array_elements(issues) i;
END;
$$;
COMMENT ON FUNCTION saleshub.import_book_later(uuid, jsonb, jsonb, jsonb) IS
    'Notes what came of references that were looked up at the end of the file.';
ALTER FUNCTION saleshub.import_book_later(uuid, jsonb, jsonb, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_parent(id uuid, parent uuid, OUT updated jsonb, OUT fault text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    old uuid;
BEGIN
    SELECT c.parent_id INTO old FROM crm.company c
    WHERE c.org_id = saleshub.org_id() AND c.company_id = import_parent.id FOR NO KEY UPDATE;
    UPDATE crm.company c SET parent_id = parent
    WHERE c.org_id = saleshub.org_id() AND c.company_id = import_parent.id
        AND c.parent_id IS DISTINCT FROM parent
    RETURNING jsonb_build_object('id', c.company_id, 'version', c.version, 'changed',
                                 jsonb_build_object('parent_id', jsonb_build_array(old, parent)))
    INTO updated;
EXCEPTION WHEN check_violation THEN
    fault := 'would make the company own itself';
END;
$$;
COMMENT ON FUNCTION saleshub.import_parent(uuid, uuid) IS
    'Puts a company below another; says what changed, or why it cannot be.';

CREATE FUNCTION saleshub.import_look_up_later(import uuid, header text, makes boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ref jsonb;
    ids uuid[];
    done record;
    updated jsonb := '[]';
    made jsonb := '[]';
    issues jsonb := '[]';
BEGIN
    FOR ref IN SELECT l FROM jsonb_array_elements(saleshub.import_later_all(import)) l
    LOOP
        ids := saleshub.import_find('company', ref ->> 'value');
        IF ids = '{}' AND makes THEN
            ids := ARRAY[saleshub.import_make('company', ref ->> 'value')];
            made := made || jsonb_build_object('entity', 'company', 'id', ids[1]);
        END IF;
        IF cardinality(ids) = 1 THEN
            done := saleshub.import_parent((ref ->> 'id')::uuid, ids[1]);
            updated := updated || coalesce(done.updated, '[]');
            CONTINUE WHEN done.fault IS NULL;
        ELSE
            done := (NULL::jsonb, NULL::text);
        END IF;
        issues := issues || jsonb_build_object(
            'line', ref -> 'line', 'col', header, 'raw', ref -> 'value',
            'code', CASE cardinality(ids) WHEN 0 THEN 'not_found' WHEN 1 THEN 'cycle' ELSE 'ambiguous' END,
            'message', CASE cardinality(ids) WHEN 0 THEN 'names no company, also not in this file'
                       || coalesce('; is it "' || saleshub.import_suggest('company', ref ->> 'value') || '"?', '')
                       WHEN 1 THEN 'would make the company own itself'
                       ELSE 'names more than one company' END);
    END LOOP;
    IF updated <> '[]' OR issues <> '[]' THEN
        PERFORM saleshub.import_book_later(import, updated, issues, made);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_look_up_later(uuid, text, boolean) IS
    'Looks up, at the end of the file, what rows refer to that may be rows of it.';

CREATE FUNCTION saleshub.import_finish(import uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    i record;
    target jsonb;
BEGIN
    -- of several workers the last one
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.import:' || import, 0));
    SELECT * INTO i FROM crm.import m WHERE m.org_id = saleshub.org_id() AND m.import_id = import_finish.import;
    IF i.state NOT IN ('running', 'planning') OR NOT (saleshub.import_progress_of(import) ->> 'done')::boolean THEN
        RETURN;
    END IF;
    SELECT t INTO target FROM jsonb_array_elements(i.layout -> 'targets') t WHERE t #> '{link}' ? 'later';
    IF FOUND THEN
        PERFORM saleshub.import_look_up_later(import, target ->> 'column', coalesce(
            (target #>> '{link,create}')::boolean, coalesce(i.options -> 'create', '[]') ? 'company'));
    END IF;
    PERFORM saleshub.import_set(import, ARRAY['running'], 'done');
END;
$$;
COMMENT ON FUNCTION saleshub.import_finish(uuid) IS
    'Ends an import, once all its parts are done.';

CREATE FUNCTION saleshub.import_work(import uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    parts integer := (SELECT i.parts FROM crm.import i
                      WHERE i.org_id = saleshub.org_id() AND i.import_id = import_work.import);
BEGIN
    FOR part IN 0 .. parts - 1
    LOOP
        WHILE NOT saleshub.import_step(import, part)
        LOOP
            NULL;
        END LOOP;
    END LOOP;
    PERFORM saleshub.import_finish(import);
END;
$$;
COMMENT ON FUNCTION saleshub.import_work(uuid) IS
    'Imports all that is left of a file, in the present transaction.';

CREATE FUNCTION saleshub.import_keep(import uuid, issues jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    DELETE FROM crm.import_issue s
    USING crm.import i
    WHERE s.org_id = saleshub.org_id() AND s.import_id = import_keep.import
        AND i.org_id = s.org_id AND i.import_id = s.import_id
        AND i.created_by IS NOT DISTINCT FROM saleshub.member_id();
    INSERT INTO crm.import_issue
    SELECT s.* FROM jsonb_populate_recordset(NULL::crm.import_issue, issues) s
    JOIN crm.import i ON i.org_id = s.org_id AND i.import_id = s.import_id
    WHERE s.org_id = saleshub.org_id() AND s.import_id = import_keep.import
        AND i.created_by IS NOT DISTINCT FROM saleshub.member_id();
END;
$$;
COMMENT ON FUNCTION saleshub.import_keep(uuid, jsonb) IS
    'Writes the issues of a dry run, which took back all else.';
ALTER FUNCTION saleshub.import_keep(uuid, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_try(import uuid, OUT counts jsonb, OUT issues jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.import_work(import);
    counts := saleshub.import_progress_of(import) - '{bytes,done}'::text[];
    SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') INTO issues FROM crm.import_issue s
    WHERE s.org_id = saleshub.org_id() AND s.import_id = import_try.import;
    RAISE EXCEPTION 'tried' USING ERRCODE = 'SH0DR';
EXCEPTION WHEN SQLSTATE 'SH0DR' THEN
    NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.import_try(uuid) IS
    'Does all of an import with all checks and triggers, and takes it back; says what came of it.';

CREATE FUNCTION saleshub.import_rehearse(import uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found_ record := saleshub.import_try(import);
BEGIN
    PERFORM saleshub.import_keep(import, found_.issues);
    PERFORM saleshub.import_set(import, ARRAY['planning'], 'planned', jsonb_build_object('plan', found_.counts));
END;
$$;
COMMENT ON FUNCTION saleshub.import_rehearse(uuid) IS
    'The dry run of an import: its plan is what doing it comes to.';

CREATE FUNCTION saleshub.import_do(import uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    atomic boolean := (SELECT coalesce((i.options ->> 'atomic')::boolean, false) FROM crm.import i
                       WHERE i.org_id = saleshub.org_id() AND i.import_id = import_do.import);
    tried record;
BEGIN
    IF atomic THEN
        BEGIN
            PERFORM saleshub.import_work(import);
            SELECT saleshub.import_progress_of(import) AS counts, coalesce(jsonb_agg(to_jsonb(s)), '[]') AS issues INTO tried
            FROM crm.import_issue s
            WHERE s.org_id = saleshub.org_id() AND s.import_id = import_do.import;
            IF (tried.counts ->> 'error')::bigint + (tried.counts ->> 'conflict')::bigint > 0 THEN
                RAISE EXCEPTION 'tried' USING ERRCODE = 'SH0DR';
            END IF;
        EXCEPTION WHEN SQLSTATE 'SH0DR' THEN
            PERFORM saleshub.import_keep(import, tried.issues);
            PERFORM saleshub.import_set(import, ARRAY['running'], 'failed', jsonb_build_object(
                'plan', tried.counts - '{bytes,done}'::text[], 'fault', jsonb_build_object(
                    'code', 'rows_failed', 'detail', 'rows failed, so none was imported')));
        END;
    ELSE
        PERFORM saleshub.import_work(import);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_do(uuid) IS
    'Imports a whole file in the present transaction; all or nothing when that was asked for.';

CREATE FUNCTION saleshub.import_claim(import uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.import_set(import, ARRAY['planning', 'planned', 'queued'], 'running');
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END;
$$;
COMMENT ON FUNCTION saleshub.import_claim(uuid) IS
    'Begins to run an import, once no other into the same kind of record does; false when one goes on for long.';

CREATE FUNCTION saleshub.import_start(import uuid, dry_run boolean, size bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    large boolean := size > saleshub.import_small();
BEGIN
    IF dry_run THEN
        IF large THEN
            PERFORM saleshub.import_wake();
        ELSE
            PERFORM saleshub.import_rehearse(import);
        END IF;
    ELSIF NOT large AND saleshub.import_claim(import) THEN
        PERFORM saleshub.import_do(import);
    ELSE
        PERFORM saleshub.import_set(import, ARRAY['planning', 'planned'], 'queued');
        PERFORM saleshub.import_wake();
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_start(uuid, boolean, bigint) IS
    'Does an import or its dry run at once when the file is small, else leaves it to the workers.';

CREATE FUNCTION crm.import_run(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    i record;
BEGIN
    PERFORM saleshub.record_require_write();
    SELECT * INTO i FROM crm.import m WHERE m.org_id = saleshub.org_id() AND m.import_id = import_run.id
        AND m.created_by IS NOT DISTINCT FROM saleshub.member_id();
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('import', id);
    ELSIF i.state = 'planning' AND i.finished_at IS NULL THEN
        PERFORM saleshub.import_rehearse(id);
    ELSIF i.state = 'planned' AND i.size > saleshub.import_small() AND saleshub.import_workers_there() THEN
        PERFORM saleshub.import_set(id, ARRAY['planned'], 'queued');
        PERFORM saleshub.import_wake();
        PERFORM saleshub.reply(202, NULL, '/v1/imports/' || id);
    ELSIF i.state IN ('planned', 'queued') AND saleshub.import_claim(id) OR i.state = 'running' THEN
        PERFORM saleshub.import_clear(id);
        PERFORM saleshub.import_do(id);
        PERFORM saleshub.reply(200, '', '');
    ELSIF i.state IN ('planned', 'queued') THEN
        PERFORM saleshub.import_set(id, ARRAY['planned'], 'queued');
    ELSE
        PERFORM saleshub.import_wrong_state(id, 'run');
    END IF;
    RETURN saleshub.import_json(id);
END;
$$;
COMMENT ON FUNCTION crm.import_run(uuid) IS
    'Does what a dry run planned. Where no workers run, it also goes on with an import that waits for them, in the caller''s transaction';

CREATE FUNCTION saleshub.import_clear(import uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- what a dry run found is found again
    IF (saleshub.import_progress_of(import) ->> 'rows')::bigint = 0 THEN
        PERFORM saleshub.import_keep(import, '[]');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_clear(uuid) IS
    'Forgets the issues of the dry run, when nothing was imported yet.';

CREATE FUNCTION crm.import_cancel(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    IF NOT saleshub.import_set(id, ARRAY['planning', 'planned', 'queued', 'running'], 'cancelled') THEN
        PERFORM saleshub.import_wrong_state(id, 'cancelled');
    END IF;
    RETURN saleshub.import_json(id);
END;
$$;
COMMENT ON FUNCTION crm.import_cancel(uuid) IS
    'Stops an import after the batch that is under way; what it has written stays, and can be taken back by crm.import_undo';

-- Again, for what failed

CREATE FUNCTION crm.import_retry(id uuid, upload uuid, dry_run boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    i record;
    lines jsonb;
BEGIN
    SELECT * INTO i FROM crm.import m WHERE m.org_id = saleshub.org_id() AND m.import_id = import_retry.id
        AND m.created_by IS NOT DISTINCT FROM saleshub.member_id();
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('import', id);
    ELSIF i.state NOT IN ('done', 'cancelled') THEN
        PERFORM saleshub.import_wrong_state(id, 'repeated');
    END IF;
    IF EXISTS (SELECT FROM crm.import r WHERE r.org_id = i.org_id AND r.retry_of = i.import_id AND r.state <> 'undone'
               AND r.state NOT IN ('planning', 'planned', 'failed', 'cancelled'))
    THEN
        PERFORM saleshub.raise('SH409', 'the import was repeated before', '{"code": "already_repeated"}',
                               'Repeat what failed of the import that repeated it, or undo that one.');
    END IF;
    SELECT jsonb_agg(DISTINCT s.line ORDER BY s.line) INTO lines FROM crm.import_issue s
    WHERE s.org_id = i.org_id AND s.import_id = i.import_id AND s.error;
    IF lines IS NULL THEN
        PERFORM saleshub.raise('SH409', 'no row of the import failed', '{"code": "nothing_failed"}');
    END IF;
    RETURN saleshub.import_begin(
        i.entity, upload, i.options - '{encoding,delimiter,header}'::text[], coalesce(dry_run, false), lines, id);
END;
$$;
COMMENT ON FUNCTION crm.import_retry(uuid, uuid, boolean) IS
    'Imports a corrected file for the rows of an import that failed, and only those: the corrected errors.csv, whose column error_line says which they are, or the whole file with its lines where they were';

CREATE FUNCTION saleshub.import_csv_line(cells text[], delimiter text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(CASE WHEN strpos(c.v, '"') > 0 OR strpos(c.v, import_csv_line.delimiter) > 0 OR c.v ~ '[\r\n]'
                           OR c.v ~ '^\s|\s$' THEN '"' || replace(c.v, '"', '""') || '"'
                           ELSE coalesce(c.v, '') END, import_csv_line.delimiter ORDER BY c.n) || E'\r\n'
    FROM unnest(import_csv_line.cells) WITH ORDINALITY AS c (v, n);
END;
COMMENT ON FUNCTION saleshub.import_csv_line(text[], text) IS
    'A line of CSV.';

CREATE FUNCTION crm.import_errors(id uuid) RETURNS refcursor
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    i record;
    lines refcursor := 'import_errors';
BEGIN
    SELECT * INTO i FROM crm.import m WHERE m.org_id = saleshub.org_id() AND m.import_id = import_errors.id;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('import', id);
    END IF;
    PERFORM saleshub.reply(200, NULL, NULL, jsonb_build_object(
        'Content-Type', 'text/csv; charset=utf-8', 'Content-Disposition',
        'attachment; filename="errors.csv"'));
    OPEN lines FOR
        SELECT saleshub.import_csv_line(
            ARRAY(SELECT c.v ->> 'name' FROM jsonb_array_elements(i.look -> 'columns') WITH ORDINALITY AS c (v, n)
                  WHERE c.v ->> 'name' NOT LIKE 'error\_%' ORDER BY c.n)
            || '{error_line,error_column,error_code,error_message}'::text[], i.look ->> 'delimiter')
        UNION ALL
        SELECT f.text FROM (
            SELECT saleshub.import_csv_line(
                ARRAY(SELECT (max(s.cells))[c.n] FROM jsonb_array_elements(i.look -> 'columns') WITH ORDINALITY AS c (v, n)
                      WHERE c.v ->> 'name' NOT LIKE 'error\_%' ORDER BY c.n)
                || ARRAY[s.line::text, coalesce(string_agg(DISTINCT s.col, '; '), ''), string_agg(DISTINCT s.code, '; '),
                         string_agg(concat_ws(' ', s.col, s.message), '; ' ORDER BY s.import_issue_id)],
                i.look ->> 'delimiter') AS text
            FROM crm.import_issue s
            WHERE s.org_id = i.org_id AND s.import_id = i.import_id AND s.error
            GROUP BY s.line ORDER BY s.line) f;
    RETURN lines;
END;
$$;
COMMENT ON FUNCTION crm.import_errors(uuid) IS
    'The rows of an import that failed, as CSV, one line a row: as they were, with error_line, error_column, error_code and error_message behind. For FETCH in the same transaction';
