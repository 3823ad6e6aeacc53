-- Taking an import back: what it made goes into the bin unless somebody works with it, what it
-- changed goes back where nobody changed it since, and the rest is reported.

CREATE FUNCTION saleshub.import_referred(entity text, ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    place record;
    hit uuid[];
    found_ uuid[] := '{}';
BEGIN
    FOR place IN
        SELECT c.conrelid::regclass AS tab, format('t.%I', a.attname) AS col, '' AS kind
        FROM pg_constraint c
        CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (mine, theirs)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.mine
        JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
        WHERE c.contype = 'f' AND c.confrelid = to_regclass(format('crm.%I', entity))
            AND c.confdeltype <> 'c' AND f.attname = entity || '_id'
            AND c.conrelid <> 'crm.conversion'::regclass
        UNION ALL
        SELECT r.oid::regclass, 't.entity_id', format(' AND t.entity = %L', entity)
        FROM pg_class r
        WHERE r.relnamespace = 'crm'::regnamespace AND r.relkind IN ('r', 'p')
            AND has_table_privilege('saleshub_user', r.oid, 'INSERT')
            AND 2 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = r.oid
                     AND (a.attname, a.atttypid) IN (('entity', 'text'::regtype), ('entity_id', 'uuid'::regtype)))
    LOOP
        EXECUTE format('SELECT array_agg(DISTINCT %2$s) FROM %1$s t WHERE t.org_id = $1 AND %2$s = ANY ($2)%3$s%4$s',
                       place.tab, place.col, place.kind, saleshub.row_is_live(place.tab))
        INTO hit USING saleshub.org_id(), ids;
        found_ := found_ || coalesce(hit, '{}');
    END LOOP;
    RETURN found_;
END;
$$;
COMMENT ON FUNCTION saleshub.import_referred(text, uuid[]) IS
    'Those of these records that a live record refers to, seen by the member or not.';
ALTER FUNCTION saleshub.import_referred(text, uuid[]) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_written(import uuid, only_left boolean DEFAULT false, OUT part integer, OUT batch integer, OUT created uuid[],
                                        OUT updated jsonb, OUT made jsonb, OUT undone jsonb) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT b.part, b.batch, b.created, b.updated, b.made, b.undone
    FROM saleshub.import_batch b
    JOIN crm.import i ON i.org_id = b.org_id AND i.import_id = b.import_id
    WHERE b.org_id = saleshub.org_id() AND b.import_id = import_written.import
        AND (i.created_by IS NOT DISTINCT FROM saleshub.member_id() OR saleshub.may_administer())
        AND NOT (only_left AND b.undone IS NOT NULL)
    ORDER BY b.batch DESC, b.part DESC
    LIMIT CASE WHEN only_left THEN 1 END;
END;
$$;
COMMENT ON FUNCTION saleshub.import_written(uuid, boolean) IS
    'What an import of the member wrote, the last first; or only the last that is not taken back yet.';
ALTER FUNCTION saleshub.import_written(uuid, boolean) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_versions(import uuid, ids uuid[], OUT id uuid, OUT version bigint) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.id, coalesce(max((u ->> 'version')::bigint), 1)
    FROM unnest(ids) AS e (id)
    LEFT JOIN (SELECT jsonb_array_elements(w.updated) AS u FROM saleshub.import_written(import) w
               WHERE w.updated <> '[]') x ON (x.u ->> 'id')::uuid = e.id
    GROUP BY e.id;
END;
$$;
COMMENT ON FUNCTION saleshub.import_versions(uuid, uuid[]) IS
    'The versions that an import left records at which it made: later ones are somebody''s work.';

CREATE FUNCTION saleshub.import_bin(entity text, import uuid, ids uuid[], OUT deleted bigint, OUT conflicts jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    deletion uuid := (SELECT i.deletion_id FROM crm.import i
                      WHERE i.org_id = saleshub.org_id() AND i.import_id = import_bin.import);
    versions bigint[];
    known uuid[];
    n bigint;
BEGIN
    SELECT array_agg(v.id), array_agg(v.version) INTO known, versions FROM saleshub.import_versions(import, ids) v;
    deleted := 0;
    LOOP
        EXECUTE format(
            'UPDATE crm.%1$I t SET deleted_at = now(), deletion_id = $1 FROM unnest($2, $3) AS v (id, version)'
            ' WHERE t.org_id = saleshub.org_id() AND t.%2$I = v.id AND t.version = v.version'
            ' AND t.deleted_at IS NULL AND v.id <> ALL ($4)', entity, entity || '_id')
        USING deletion, known, versions, saleshub.import_referred(entity, known);
        GET DIAGNOSTICS n = ROW_COUNT;
        deleted := deleted + n;
        -- what only these referred to is free now
        EXIT WHEN n = 0;
    END LOOP;
    EXECUTE format(
        'SELECT coalesce(jsonb_agg(jsonb_build_object(''type'', %3$L, ''id'', v.id, ''reason'', CASE'
        ' WHEN t.%2$I IS NULL THEN ''gone'' WHEN saleshub.redirected(%3$L, v.id) IS NOT NULL THEN ''merged'''
        ' WHEN t.deleted_at IS NOT NULL THEN ''deleted'' WHEN %4$s THEN ''converted'''
        ' WHEN t.version <> v.version THEN ''changed'' ELSE ''referred_to'' END)), ''[]'')'
        ' FROM unnest($2, $3) AS v (id, version) LEFT JOIN crm.%1$I t ON t.org_id = saleshub.org_id() AND t.%2$I = v.id'
        ' WHERE t.deletion_id IS DISTINCT FROM $1', entity, entity || '_id', entity,
        CASE entity WHEN 'lead' THEN 't.status = ''converted''' ELSE 'false' END)
    INTO conflicts USING deletion, known, versions;
END;
$$;
COMMENT ON FUNCTION saleshub.import_bin(text, uuid, uuid[]) IS
    'Puts records that an import made into the bin, unless somebody changed them or something refers to them; what stays is in conflicts.';

CREATE FUNCTION saleshub.import_put_back(entity text, change jsonb, OUT restored bigint, OUT conflicts jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    now_ jsonb;
    back jsonb := '{}';
    field text;
    pair jsonb;
BEGIN
    restored := 0;
    conflicts := '[]';
    IF entity = 'lead' THEN
        PERFORM saleshub.score_keep_rules();
    END IF;
    EXECUTE format('SELECT to_jsonb(t) FROM crm.%I t WHERE t.org_id = saleshub.org_id() AND t.%I = $1'
                   ' AND t.deleted_at IS NULL FOR NO KEY UPDATE', entity, entity || '_id')
    INTO now_ USING (change ->> 'id')::uuid;
    FOR field, pair IN SELECT e.key, e.value FROM jsonb_each(change -> 'changed') e
    LOOP
        IF now_ -> field IS NOT DISTINCT FROM pair -> 1 THEN
            back := back || jsonb_build_object(field, pair -> 0);
        ELSE
            conflicts := conflicts || jsonb_build_object(
                'type', entity, 'id', change -> 'id', 'field', field,
                'reason', CASE WHEN now_ IS NULL THEN 'gone' ELSE 'changed' END);
        END IF;
    END LOOP;
    IF back <> '{}' THEN
        EXECUTE format(
            'UPDATE crm.%1$I t SET %2$s FROM jsonb_populate_record(NULL::crm.%1$I, $2) b'
            ' WHERE t.org_id = saleshub.org_id() AND t.%3$I = $1', entity,
            (SELECT string_agg(format('%1$I = b.%1$I', k), ', ') FROM jsonb_object_keys(back) k), entity || '_id')
        USING (change ->> 'id')::uuid, back;
        restored := 1;
    END IF;
EXCEPTION WHEN OTHERS THEN
    IF saleshub.problem_status(SQLSTATE) IS NULL THEN
        RAISE;
    END IF;
    restored := 0;
    conflicts := jsonb_build_array(jsonb_build_object('type', entity, 'id', change -> 'id', 'reason', CASE SQLSTATE
        WHEN 'SH003' THEN 'converted' ELSE 'refused' END, 'detail', SQLERRM));
END;
$$;
COMMENT ON FUNCTION saleshub.import_put_back(text, jsonb) IS
    'Gives a record the values back that an import changed, where they still are what the import wrote.';

CREATE FUNCTION saleshub.import_drop_member(member uuid) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
BEGIN
    PERFORM saleshub.need_admin();
    IF EXISTS (SELECT FROM saleshub.session s WHERE s.org_id = org AND s.member_id = member)
        OR EXISTS (SELECT FROM saleshub.credential c WHERE c.org_id = org AND c.member_id = member)
    THEN
        RETURN 'changed';
    END IF;
    BEGIN
        -- new members are in the pool of all, which is nobody's work
        DELETE FROM crm.routing_pool_member p WHERE p.org_id = org AND p.member_id = member;
        IF saleshub.import_referred('member', ARRAY[member]) <> '{}' THEN
            RAISE EXCEPTION 'referred to' USING ERRCODE = 'SH0DR';
        END IF;
    EXCEPTION WHEN SQLSTATE 'SH0DR' THEN
        RETURN 'referred_to';
    END;
    BEGIN
        DELETE FROM crm.member m WHERE m.org_id = org AND m.member_id = member;
    EXCEPTION WHEN foreign_key_violation THEN
        -- rows in the bin name it: it stays for them, with its address free for others
        UPDATE crm.member m SET active = false, deleted_at = now(),
            email = 'removed-' || m.member_id || '@removed.invalid'
        WHERE m.org_id = org AND m.member_id = member;
    END;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.import_drop_member(uuid) IS
    'Removes a member that an import made, unless it has signed in or owns something; then says why not.';
ALTER FUNCTION saleshub.import_drop_member(uuid) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_unmake_one(import uuid, thing jsonb) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    id uuid := (thing ->> 'id')::uuid;
    binned record;
BEGIN
    CASE thing ->> 'entity'
        WHEN 'team_member' THEN
            IF EXISTS (SELECT FROM crm.team_member t WHERE t.org_id = org AND t.team_id = id
                       AND t.member_id = (thing ->> 'member_id')::uuid)
            THEN
                PERFORM crm.team_member_remove(id, (thing ->> 'member_id')::uuid);
            END IF;
            RETURN NULL;
        WHEN 'team' THEN
            IF EXISTS (SELECT FROM crm.team_member t WHERE t.org_id = org AND t.team_id = id)
               OR EXISTS (SELECT FROM crm.team t WHERE t.org_id = org AND t.parent_id = id AND t.deleted_at IS NULL)
            THEN
                RETURN 'referred_to';
            ELSIF EXISTS (SELECT FROM crm.team t WHERE t.org_id = org AND t.team_id = id AND t.deleted_at IS NULL) THEN
                PERFORM crm.team_delete(id);
            END IF;
            RETURN NULL;
        WHEN 'member' THEN
            RETURN saleshub.import_drop_member(id);
        ELSE
            binned := saleshub.import_bin(thing ->> 'entity', import, ARRAY[id]);
            RETURN binned.conflicts -> 0 ->> 'reason';
    END CASE;
END;
$$;
COMMENT ON FUNCTION saleshub.import_unmake_one(uuid, jsonb) IS
    'Takes away what an import made because rows referred to it; says why when it stays.';

CREATE FUNCTION saleshub.import_undo_batch(entity text, import uuid, batch jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    created uuid[] := ARRAY(SELECT (c #>> '{}')::uuid FROM jsonb_array_elements(batch -> 'created') c);
    thing jsonb;
    done record;
    reason text;
    own uuid[] := saleshub.import_made_of(import, batch -> 'updated');
    deleted bigint := 0;
    restored bigint := 0;
    conflicts jsonb := '[]';
BEGIN
    FOR thing IN SELECT m FROM jsonb_array_elements(batch -> 'made') WITH ORDINALITY AS e (m, n)
                 WHERE m ->> 'entity' IN ('team_member', 'team') ORDER BY m ->> 'entity' DESC, n DESC
    LOOP
        reason := saleshub.import_unmake_one(import, thing);
        conflicts := conflicts || CASE WHEN reason IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
            'type', thing -> 'entity', 'id', thing -> 'id', 'reason', reason)) END;
    END LOOP;
    IF entity = 'member' THEN
        FOR thing IN SELECT jsonb_build_object('entity', 'member', 'id', c) FROM unnest(created) c
        LOOP
            reason := saleshub.import_unmake_one(import, thing);
            deleted := deleted + (reason IS NULL)::integer;
            conflicts := conflicts || CASE WHEN reason IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
                'type', 'member', 'id', thing -> 'id', 'reason', reason)) END;
        END LOOP;
    ELSIF created <> '{}' THEN
        done := saleshub.import_bin(entity, import, created);
        deleted := done.deleted;
        conflicts := conflicts || done.conflicts;
    END IF;
    FOR thing IN SELECT u FROM jsonb_array_elements(batch -> 'updated') WITH ORDINALITY AS e (u, n) ORDER BY n DESC
    LOOP
        CONTINUE WHEN thing -> 'changed' = '{}' OR (thing ->> 'id')::uuid = ANY (own);
        IF entity = 'member' THEN
            done := saleshub.import_member_back(thing);
        ELSE
            done := saleshub.import_put_back(entity, thing);
        END IF;
        restored := restored + done.restored;
        conflicts := conflicts || done.conflicts;
    END LOOP;
    FOR thing IN SELECT m FROM jsonb_array_elements(batch -> 'made') m
                 WHERE m ->> 'entity' NOT IN ('team_member', 'team')
    LOOP
        reason := saleshub.import_unmake_one(import, thing);
        deleted := deleted + (reason IS NULL)::integer;
        conflicts := conflicts || CASE WHEN reason IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
            'type', thing -> 'entity', 'id', thing -> 'id', 'reason', reason)) END;
    END LOOP;
    RETURN jsonb_build_object('deleted', deleted, 'restored', restored, 'conflicts', conflicts);
END;
$$;
COMMENT ON FUNCTION saleshub.import_undo_batch(text, uuid, jsonb) IS
    'Takes back what a batch of an import wrote: {deleted, restored, conflicts}.';

CREATE FUNCTION saleshub.import_made_of(import uuid, updated jsonb) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF import_made_of.updated = '[]' THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT c FROM saleshub.import_written(import) w, unnest(w.created) c
                 WHERE c IN (SELECT (u ->> 'id')::uuid FROM jsonb_array_elements(import_made_of.updated) u));
END;
$$;
COMMENT ON FUNCTION saleshub.import_made_of(uuid, jsonb) IS
    'Of changed records those that the import itself made, so that they are not put back but taken away.';

CREATE FUNCTION saleshub.import_member_back(change jsonb, OUT restored bigint, OUT conflicts jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    now_ jsonb := crm.member_get((change ->> 'id')::uuid);
    back jsonb;
BEGIN
    SELECT coalesce(jsonb_object_agg(e.key, e.value -> 0) FILTER (WHERE now_ -> e.key = e.value -> 1), '{}'),
           coalesce(jsonb_agg(jsonb_build_object('type', 'member', 'id', change -> 'id', 'field', e.key, 'reason', 'changed'))
                    FILTER (WHERE now_ -> e.key IS DISTINCT FROM e.value -> 1), '[]')
    INTO back, conflicts
    FROM jsonb_each(change -> 'changed') e;
    restored := (back <> '{}')::integer;
    IF back <> '{}' THEN
        PERFORM crm.member_update((change ->> 'id')::uuid, back);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_member_back(jsonb) IS
    'Gives a member the values back that an import changed.';

CREATE FUNCTION saleshub.import_undone(import uuid, part integer, batch integer, said jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE saleshub.import_batch b
    SET undone = said || jsonb_build_object('deleted', (said ->> 'deleted')::bigint + coalesce((b.undone ->> 'deleted')::bigint, 0),
                                            'restored', (said ->> 'restored')::bigint + coalesce((b.undone ->> 'restored')::bigint, 0))
    WHERE b.org_id = saleshub.org_id() AND b.import_id = import_undone.import
        AND b.part = import_undone.part AND b.batch = import_undone.batch
        AND EXISTS (SELECT FROM crm.import i WHERE i.org_id = b.org_id AND i.import_id = b.import_id
                    AND i.state = 'undoing' AND (i.created_by IS NOT DISTINCT FROM saleshub.member_id()
                                                 OR saleshub.may_administer()));
END;
$$;
COMMENT ON FUNCTION saleshub.import_undone(uuid, integer, integer, jsonb) IS
    'Notes what taking a batch back came to.';
ALTER FUNCTION saleshub.import_undone(uuid, integer, integer, jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_undo_step(import uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    entity text := (SELECT i.entity FROM crm.import i WHERE i.org_id = saleshub.org_id()
                    AND i.import_id = import_undo_step.import AND i.state = 'undoing');
    b record;
BEGIN
    IF entity IS NULL THEN
        RETURN true;
    END IF;
    SELECT * INTO b FROM saleshub.import_written(import, true);
    IF FOUND THEN
        PERFORM saleshub.import_undone(import, b.part, b.batch, saleshub.import_undo_batch(entity, import, to_jsonb(b)));
        RETURN false;
    END IF;
    -- Records that others of this import referred to may be free now.
    FOR b IN SELECT * FROM saleshub.import_written(import) w
             WHERE w.undone -> 'conflicts' @> '[{"reason": "referred_to"}]'
    LOOP
        PERFORM saleshub.import_undone(import, b.part, b.batch,
                                       saleshub.import_undo_batch(entity, import, to_jsonb(b) || '{"updated": []}'));
    END LOOP;
    PERFORM saleshub.import_set(import, ARRAY['undoing'], 'undone', jsonb_build_object('undo', (
        SELECT jsonb_build_object(
            'deleted', coalesce(sum((w.undone ->> 'deleted')::bigint), 0),
            'restored', coalesce(sum((w.undone ->> 'restored')::bigint), 0),
            'kept', coalesce(sum(jsonb_array_length(w.undone -> 'conflicts')), 0),
            'conflicts', coalesce((
                SELECT jsonb_agg(c ORDER BY c ->> 'id', c ->> 'field') FROM (
                    SELECT c FROM saleshub.import_written(import) x, jsonb_array_elements(x.undone -> 'conflicts') c
                    LIMIT 1000) AS told), '[]'))
        FROM saleshub.import_written(import) w)));
    RETURN true;
END;
$$;
COMMENT ON FUNCTION saleshub.import_undo_step(uuid) IS
    'Takes the next batch of an import back; true when all are.';

CREATE FUNCTION crm.import_undo(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    size bigint := (SELECT i.size FROM crm.import i WHERE i.org_id = saleshub.org_id() AND i.import_id = import_undo.id);
BEGIN
    PERFORM saleshub.record_require_write();
    IF saleshub.import_state(id) = 'undone' THEN
        RETURN saleshub.import_json(id);
    ELSIF NOT saleshub.import_set(id, ARRAY['done', 'cancelled', 'failed'], 'undoing') THEN
        PERFORM saleshub.import_wrong_state(id, 'undone');
    END IF;
    IF size > saleshub.import_small() AND saleshub.import_workers_there() THEN
        PERFORM saleshub.import_wake();
        PERFORM saleshub.reply(202, NULL, '/v1/imports/' || id);
    ELSE
        WHILE NOT saleshub.import_undo_step(id)
        LOOP
            NULL;
        END LOOP;
        -- not what the calls on the way answered
        PERFORM saleshub.reply(200, '', '');
    END IF;
    RETURN saleshub.import_json(id);
END;
$$;
COMMENT ON FUNCTION crm.import_undo(uuid) IS
    'Takes an import back: records it made go into the bin unless somebody changed them or something refers to them, fields it changed get their values back where they still are what it wrote; undo of the answer says how many, and what was kept and why. A second call changes nothing';

CREATE FUNCTION saleshub.import_state(import uuid) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT i.state FROM crm.import i
            WHERE i.org_id = saleshub.org_id() AND i.import_id = import_state.import);
END;
$$;
COMMENT ON FUNCTION saleshub.import_state(uuid) IS
    'The state of an import that the member sees; NULL for none.';

CREATE FUNCTION saleshub.import_erase(org uuid, mail text, ids uuid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    imports uuid[];
    files uuid[];
BEGIN
    SELECT array_agg(DISTINCT i.import_id), array_agg(DISTINCT i.upload_id) INTO imports, files
    FROM crm.import i
    WHERE i.org_id = org AND (
        EXISTS (SELECT FROM saleshub.import_batch b WHERE b.org_id = org AND b.import_id = i.import_id
                AND (b.created && ids OR EXISTS (SELECT FROM jsonb_array_elements(b.updated) u
                                                 WHERE (u ->> 'id')::uuid = ANY (ids))))
        OR EXISTS (SELECT FROM crm.import_issue s WHERE s.org_id = org AND s.import_id = i.import_id
                   AND strpos(lower(concat(s.raw, s.cells::text)), mail) > 0));
    UPDATE crm.import_issue s SET raw = NULL, cells = NULL
    WHERE s.org_id = org AND s.import_id = ANY (imports) AND strpos(lower(concat(s.raw, s.cells::text)), mail) > 0;
    UPDATE saleshub.import_batch b
    SET updated = (SELECT coalesce(jsonb_agg(CASE WHEN (u ->> 'id')::uuid = ANY (ids)
                                             THEN u || '{"changed": {}}' ELSE u END), '[]')
                   FROM jsonb_array_elements(b.updated) u)
    WHERE b.org_id = org AND b.import_id = ANY (imports) AND b.updated <> '[]';
    -- The files hold the person as it was sent. An import that still goes on ends.
    UPDATE crm.import i
    SET upload_id = NULL, state = CASE WHEN i.state IN ('planning', 'planned', 'queued', 'running')
                                  THEN 'cancelled' ELSE i.state END
    WHERE i.org_id = org AND i.upload_id = ANY (files);
    DELETE FROM saleshub.upload u WHERE u.org_id = org AND u.upload_id = ANY (files)
        AND NOT saleshub.upload_used(org, u.upload_id);
END;
$$;
COMMENT ON FUNCTION saleshub.import_erase(uuid, text, uuid[]) IS
    'Empties what imports remember of an erased person: rows with errors, values before changes, and the files.';
ALTER FUNCTION saleshub.import_erase(uuid, text, uuid[]) OWNER TO saleshub_owner;
