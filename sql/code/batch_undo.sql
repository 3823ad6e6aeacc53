-- Taking a batch back: what still is as the batch left it goes back, the rest is reported.

CREATE FUNCTION saleshub.batch_parts(noun text, id uuid, body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    part text := CASE noun WHEN 'deal' THEN 'lines' WHEN 'activity' THEN 'links' END;
BEGIN
    IF part IS NULL OR NOT body ? part THEN
        RETURN NULL;
    END IF;
    RETURN saleshub.run(format('SELECT crm.%I(($1 ->> ''id'')::uuid, %L) -> %L', noun || '_get', part,
                               part), jsonb_build_object('id', id));
END;
$$;
COMMENT ON FUNCTION saleshub.batch_parts(text, uuid, jsonb) IS
    'The lines or links of a record as they are now, if the body sets them; they are rows of their own.';

CREATE FUNCTION saleshub.batch_version(noun text, id uuid) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.run(format(
        'SELECT to_jsonb(t.version) FROM crm.%1$I t WHERE t.org_id = saleshub.org_id()'
        ' AND t.%1$s_id = ($1 ->> ''id'')::uuid', noun), jsonb_build_object('id', id))::bigint;
END;
$$;
COMMENT ON FUNCTION saleshub.batch_version(text, uuid) IS
    'The version of a record, deleted or not; NULL when the caller does not see it.';

CREATE FUNCTION saleshub.batch_keep(noun text, items jsonb[]) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid;
BEGIN
    INSERT INTO crm.batch AS b (entity, items, actor_id, request_id)
    VALUES (noun, to_jsonb(items), saleshub.member_id(), saleshub.request_id())
    RETURNING b.batch_id INTO id;
    RETURN id;
END;
$$;
COMMENT ON FUNCTION saleshub.batch_keep(text, jsonb[]) IS
    'Notes what a batch did; returns the id under which it can be taken back.';

CREATE FUNCTION saleshub.batch_written(noun text, id uuid, was bigint, version bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.run(format('SELECT saleshub.%I()', noun || '_meta'), '{}');
    own text[] := ARRAY(SELECT c ->> 0 FROM jsonb_array_elements(meta -> 'set') s,
                             jsonb_array_elements(s -> 'update') c);
    before jsonb;
    after jsonb;
    typed text := format('SELECT to_jsonb(r) FROM jsonb_populate_record(NULL::crm.%I, $1) r', noun);
BEGIN
    -- Only what bodies can set: the rest follows from it by trigger.
    SELECT jsonb_object_agg(f.key, f.value -> 0 ORDER BY l.version DESC),
           jsonb_object_agg(f.key, f.value -> 1 ORDER BY l.version)
    INTO before, after
    FROM crm.change_log l, jsonb_each(l.changed) f
    WHERE l.org_id = saleshub.org_id() AND l.entity = noun AND l.entity_id = id
        AND l.version > was AND l.version <= batch_written.version AND f.key = ANY (own);
    -- As rows show their values now: the history writes times in UTC.
    RETURN (SELECT jsonb_object_agg(k, jsonb_build_array(b -> k, a -> k))
            FROM saleshub.run(typed, before) b, saleshub.run(typed, after) a, jsonb_object_keys(before) k);
END;
$$;
COMMENT ON FUNCTION saleshub.batch_written(text, uuid, bigint, bigint) IS
    'What the history says was written to a record between two versions: {column: [old, new]}; NULL when it says nothing.';

CREATE FUNCTION saleshub.batch_part_back(noun text, item jsonb, fields jsonb,
                                         OUT restored jsonb, OUT conflicts jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    part text := CASE noun WHEN 'deal' THEN 'lines' ELSE 'links' END;
    what jsonb := jsonb_build_object('type', noun, 'id', item -> 'id');
    current jsonb := saleshub.batch_parts(noun, (item ->> 'id')::uuid,
                                          jsonb_build_object(part, true));
    before jsonb := item #> '{parts,0}';
    patch jsonb;
BEGIN
    restored := '[]';
    conflicts := '[]';
    IF current IS DISTINCT FROM item #> '{parts,1}' THEN
        conflicts := jsonb_build_array(what || jsonb_build_object('field', part, 'reason', 'changed'));
        RETURN;
    END IF;
    IF part = 'lines' THEN
        -- Lines that went come back as new ones.
        before := (
            SELECT coalesce(jsonb_agg(
                (l - (SELECT array_agg(k) FROM jsonb_object_keys(l) k
                      WHERE k NOT IN ('product_id', 'name', 'quantity', 'unit_price', 'discount')))
                || CASE WHEN c.value IS NULL THEN '{}' ELSE jsonb_build_object('id', l -> 'id') END
                ORDER BY n), '[]')
            FROM jsonb_array_elements(before) WITH ORDINALITY AS e (l, n)
            LEFT JOIN jsonb_array_elements(current) c ON c.value -> 'id' = l -> 'id');
    END IF;
    patch := jsonb_build_object(part, before);
    IF part = 'lines' AND before = '[]' AND fields ? 'amount' THEN
        patch := patch || jsonb_build_object('amount', CASE WHEN fields #>> '{amount,0}' IS NOT NULL THEN
            jsonb_strip_nulls(jsonb_build_object('amount', fields #>> '{amount,0}',
                                                 'currency', fields #> '{currency,0}')) END);
    END IF;
    PERFORM saleshub.run(
        format('SELECT crm.%I(($1 ->> ''id'')::uuid, $1 -> ''patch'')', noun || '_update'),
        jsonb_build_object('id', item -> 'id', 'patch', patch));
    restored := jsonb_build_array(what || jsonb_build_object(
        'action', 'restored', 'fields', jsonb_build_array(part)));
END;
$$;
COMMENT ON FUNCTION saleshub.batch_part_back(text, jsonb, jsonb) IS
    'Sets the lines or links of a record back if they are as the batch left them; without lines a deal has the amount it had.';

CREATE FUNCTION saleshub.batch_update_back(noun text, item jsonb, OUT restored jsonb, OUT conflicts jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid := (item ->> 'id')::uuid;
    fields jsonb := saleshub.batch_written(noun, id, (item ->> 'was')::bigint,
                                           (item ->> 'version')::bigint);
    -- The amount of a deal is that of its lines, and these change only while it is open.
    own jsonb := CASE WHEN noun = 'deal' AND item ? 'parts' THEN fields - 'amount' - 'currency'
                      ELSE fields END;
    late boolean := item ? 'parts' AND fields -> 'status' ->> 1 IN ('won', 'lost');
    step text;
    back record;
BEGIN
    restored := '[]';
    conflicts := '[]';
    IF fields IS NULL AND item -> 'was' <> item -> 'version' AND NOT item ? 'parts' THEN
        conflicts := jsonb_build_array(jsonb_build_object('type', noun, 'id', id,
                                                          'reason', 'history_gone'));
    END IF;
    FOREACH step IN ARRAY CASE WHEN late THEN '{fields,parts}' ELSE '{parts,fields}' END::text[] LOOP
        IF step = 'parts' AND item ? 'parts' THEN
            back := saleshub.batch_part_back(noun, item, fields);
        ELSIF step = 'fields' AND own <> '{}' THEN
            back := saleshub.undo_restore(noun, id, own, false);
        ELSE
            CONTINUE;
        END IF;
        restored := restored || back.restored;
        conflicts := conflicts || back.conflicts;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.batch_update_back(text, jsonb) IS
    'Sets back what an item of a batch changed and nobody changed since.';

CREATE FUNCTION saleshub.batch_delete_back(noun text, item jsonb, OUT restored jsonb, OUT kept jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid := (item ->> 'id')::uuid;
    what jsonb := jsonb_build_object('type', noun, 'id', id);
    version bigint := saleshub.batch_version(noun, id);
BEGIN
    restored := '[]';
    kept := '[]';
    IF version IS DISTINCT FROM (item ->> 'version')::bigint THEN
        kept := jsonb_build_array(what || jsonb_build_object(
            'reason', CASE WHEN version IS NULL THEN 'not_found' ELSE 'changed' END));
        RETURN;
    END IF;
    PERFORM saleshub.run(format('SELECT crm.%I(($1 ->> ''id'')::uuid)', noun || '_restore'), what);
    restored := jsonb_build_array(what || '{"action": "undeleted"}');
END;
$$;
COMMENT ON FUNCTION saleshub.batch_delete_back(text, jsonb) IS
    'Takes a record that a batch deleted out of the bin, unless it was touched since.';

CREATE FUNCTION saleshub.batch_item_back(noun text, item jsonb,
                                         OUT restored jsonb, OUT kept jsonb, OUT conflicts jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid := (item ->> 'id')::uuid;
BEGIN
    restored := '[]';
    kept := '[]';
    conflicts := '[]';
    CASE item ->> 'op'
        WHEN 'create' THEN
            SELECT r.restored, r.kept INTO restored, kept
            FROM saleshub.undo_remove(noun, id, (item ->> 'version')::bigint, false) r;
        WHEN 'update' THEN
            SELECT r.restored, r.conflicts INTO restored, conflicts
            FROM saleshub.batch_update_back(noun, item) r;
        ELSE
            SELECT r.restored, r.kept INTO restored, kept
            FROM saleshub.batch_delete_back(noun, item) r;
    END CASE;
EXCEPTION WHEN OTHERS THEN
    -- What the rules of the data no longer allow is reported, and the rest goes back.
    IF saleshub.problem_status(SQLSTATE) IS NULL THEN
        RAISE;
    END IF;
    restored := '[]';
    kept := '[]';
    conflicts := jsonb_build_array(jsonb_build_object('type', noun, 'id', id, 'reason', 'refused',
                                                      'detail', SQLERRM));
END;
$$;
COMMENT ON FUNCTION saleshub.batch_item_back(text, jsonb) IS
    'Takes one item of a batch back.';

CREATE FUNCTION crm.batch_undo(id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    b record;
    item jsonb;
    back record;
    restored jsonb := '[]';
    kept jsonb := '[]';
    conflicts jsonb := '[]';
    answer jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    SELECT * INTO b FROM crm.batch x WHERE x.org_id = org AND x.batch_id = batch_undo.id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('batch', id);
    END IF;
    IF b.undone_at IS NOT NULL THEN
        RETURN b.undo || '{"replayed": true}';
    END IF;
    FOR item IN
        SELECT i FROM jsonb_array_elements(b.items) WITH ORDINALITY AS e (i, n) ORDER BY n DESC
    LOOP
        back := saleshub.batch_item_back(b.entity, item);
        restored := restored || back.restored;
        kept := kept || back.kept;
        conflicts := conflicts || back.conflicts;
    END LOOP;
    answer := jsonb_build_object('restored', restored, 'kept', kept, 'conflicts', conflicts,
                                 'replayed', false);
    UPDATE crm.batch x SET undone_at = now(), undone_by = saleshub.member_id(), undo = answer
    WHERE x.org_id = org AND x.batch_id = batch_undo.id;
    PERFORM saleshub.reply(200, '', '');
    RETURN answer;
END;
$$;
COMMENT ON FUNCTION crm.batch_undo(uuid) IS
    'Takes a batch back, the last item first: created records go into the bin unless they were changed or are referred to, changed fields and lines go back where they still are what the batch made them, deleted records come back. {"restored", "kept", "conflicts"}; a second call answers the same. The member who made the batch may, and managers and admins.';

CREATE FUNCTION crm.batch_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'id', b.batch_id, 'type', b.entity, 'at', saleshub.utc(b.at), 'actor_id', b.actor_id,
            'items', (SELECT jsonb_agg(i - 'parts' - 'was' ORDER BY n)
                      FROM jsonb_array_elements(b.items) WITH ORDINALITY AS e (i, n)),
            'undone_at', saleshub.utc(b.undone_at), 'undone_by', b.undone_by, 'undo', b.undo)
        FROM crm.batch b WHERE b.org_id = saleshub.org_id() AND b.batch_id = batch_get.id);
END;
$$;
COMMENT ON FUNCTION crm.batch_get(uuid) IS
    'What a batch did, and what taking it back did; NULL when there is none.';

CREATE FUNCTION saleshub.routes_batch() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/batches/{id}', 'crm.batch_get(uuid)', 'Read what a batch did',
                           'batches', cache => 'strict',
                           answer => '"Batch"');
    PERFORM saleshub.route('POST /v1/batches/{id}/undo', 'crm.batch_undo(uuid)', 'Take a batch back',
                           'batches', timeout_ms => 60000,
                           answer => '"Undo"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_batch() IS 'Registers the routes of batches.';
