-- Imports that workers do: what waits, who takes it, and as whom.

CREATE FUNCTION saleshub.import_wake() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_wake';
COMMENT ON FUNCTION saleshub.import_wake() IS
    'When this transaction commits, workers look for imports';

CREATE FUNCTION saleshub.import_workers_there() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_import_workers_there';
COMMENT ON FUNCTION saleshub.import_workers_there() IS
    'Whether workers serve this database: not without shared_preload_libraries';

CREATE FUNCTION saleshub.import_waiting_parts(OUT org_id uuid, OUT import_id uuid, OUT part integer)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT i.org_id, i.import_id, p.part
    FROM crm.import i
    JOIN saleshub.import_part p ON p.org_id = i.org_id AND p.import_id = i.import_id
    WHERE i.state IN ('planning', 'queued', 'running', 'undoing')
        AND (i.state = 'running' AND NOT p.done OR p.part = 0)
        AND NOT (i.state = 'running' AND p.done AND p.part = 0 AND EXISTS (
            SELECT FROM saleshub.import_part o
            WHERE o.org_id = i.org_id AND o.import_id = i.import_id AND NOT o.done))
        AND NOT (i.state = 'queued' AND EXISTS (
            SELECT FROM crm.import o
            WHERE o.org_id = i.org_id AND o.entity = i.entity AND o.state IN ('running', 'undoing')))
    ORDER BY i.state = 'queued', i.created_at, i.import_id, p.part;
END;
$$;
COMMENT ON FUNCTION saleshub.import_waiting_parts() IS
    'Parts of imports that wait for a worker or have one, the oldest first.';

CREATE FUNCTION saleshub.import_waiting() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(*) FROM saleshub.import_waiting_parts());
END;
$$;
COMMENT ON FUNCTION saleshub.import_waiting() IS
    'How many workers imports have use for.';

CREATE FUNCTION saleshub.import_take(OUT org_id uuid, OUT import_id uuid, OUT part integer) RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM saleshub.import_waiting_parts()
    LOOP
        IF pg_try_advisory_lock(hashtextextended('saleshub.import:' || p.import_id || ':' || p.part, 0)) THEN
            org_id := p.org_id;
            import_id := p.import_id;
            part := p.part;
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_take() IS
    'For workers: locks a part of an import until the session ends, and returns it; nothing when all have a worker.';

CREATE FUNCTION saleshub.import_become(org uuid, import uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    m record;
BEGIN
    SELECT x.member_id, x.role, x.active AND x.deleted_at IS NULL AND x.role <> 'readonly' AS may INTO m
    FROM crm.import i JOIN crm.member x ON x.org_id = i.org_id AND x.member_id = i.created_by
    WHERE i.org_id = org AND i.import_id = import_become.import;
    IF NOT coalesce(m.may, (SELECT i.created_by IS NULL FROM crm.import i
                            WHERE i.org_id = org AND i.import_id = import_become.import))
    THEN
        PERFORM saleshub.import_failed(org, import, '42501', 'the member may not import any more');
        RETURN false;
    END IF;
    PERFORM set_config('saleshub.org_id', org::text, true),
            set_config('saleshub.member_id', coalesce(m.member_id::text, ''), true),
            set_config('saleshub.member_role', coalesce(m.role, ''), true),
            set_config('saleshub.request_id', 'import-' || import, true);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION saleshub.import_become(uuid, uuid) IS
    'For workers: the rest of the transaction is on behalf of the member whose import it is; false, and the import has failed, when that member may not any more.';

CREATE FUNCTION saleshub.import_failed(org uuid, import uuid, state text, message text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.import_hold(org, import);
    UPDATE crm.import i
    SET state = 'failed', finished_at = clock_timestamp(),
        fault = jsonb_build_object('code', import_failed.state, 'detail', import_failed.message)
    WHERE i.org_id = org AND i.import_id = import_failed.import
        AND i.state IN ('planning', 'queued', 'running', 'undoing');
    PERFORM saleshub.route_settle(org, import);
END;
$$;
COMMENT ON FUNCTION saleshub.import_failed(uuid, uuid, text, text) IS
    'For workers: an import ends with an error that is none of its rows''.';

CREATE FUNCTION saleshub.import_turn_of(import uuid, part integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    i record;
BEGIN
    SELECT m.state, coalesce((m.options ->> 'atomic')::boolean, false) AS atomic INTO i FROM crm.import m
    WHERE m.org_id = saleshub.org_id() AND m.import_id = import_turn_of.import;
    IF i.state = 'planning' THEN
        PERFORM saleshub.import_rehearse(import);
        RETURN true;
    ELSIF i.state = 'queued' THEN
        IF NOT saleshub.import_claim(import) THEN
            RETURN true;
        END IF;
        PERFORM saleshub.import_clear(import);
        -- now its other parts are there to take
        PERFORM saleshub.import_wake();
        RETURN false;
    ELSIF i.state = 'undoing' THEN
        RETURN saleshub.import_undo_step(import);
    ELSIF i.state <> 'running' THEN
        RETURN true;
    ELSIF i.atomic THEN
        PERFORM saleshub.import_do(import);
        RETURN true;
    ELSIF NOT saleshub.import_step(import, part) THEN
        RETURN false;
    END IF;
    PERFORM saleshub.import_finish(import);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION saleshub.import_turn_of(uuid, integer) IS
    'What a worker does next for a part of an import; true when nothing is left of it.';
