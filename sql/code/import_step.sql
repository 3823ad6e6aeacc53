-- One batch of an import, in one transaction with the note of what it did.

CREATE FUNCTION saleshub.import_turn(import uuid, part integer, OUT entity text, OUT upload_id uuid,
                                     OUT layout jsonb, OUT options jsonb, OUT at bigint, OUT line bigint,
                                     OUT batch integer, OUT done boolean, OUT state text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    size_ bigint;
BEGIN
    PERFORM FROM saleshub.import_part p
    WHERE p.org_id = saleshub.org_id() AND p.import_id = import_turn.import AND p.part = import_turn.part
    FOR UPDATE;
    -- a new snapshot: who held the part may have stopped the import
    SELECT i.entity, i.upload_id, i.layout || jsonb_build_object('part', p.part, 'parts', i.parts),
           i.options, p.at, p.line, p.batch, p.done, i.state, i.size
    INTO entity, upload_id, layout, options, at, line, batch, done, state, size_
    FROM saleshub.import_part p
    JOIN crm.import i ON i.org_id = p.org_id AND i.import_id = p.import_id
    WHERE p.org_id = saleshub.org_id() AND p.import_id = import_turn.import
        AND p.part = import_turn.part AND i.created_by IS NOT DISTINCT FROM saleshub.member_id();
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('import', import);
    ELSIF entity = 'lead' AND state IN ('running', 'planning')
        AND NOT coalesce((options ->> 'atomic')::boolean, false)
    THEN
        -- the last two batches or so, as far as the rows so far tell
        PERFORM saleshub.route_part(saleshub.org_id(), import, part, state = 'running'
            AND size_ - at <= at / line * (layout ->> 'parts')::integer
                * coalesce((options ->> 'batch')::integer, 2000) * 2, state = 'planning');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_turn(uuid, integer) IS
    'Locks one part of an import of the acting member, whose turns new leads then take, and says where it stands.';
ALTER FUNCTION saleshub.import_turn(uuid, integer) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_plan(entity text, layout jsonb, options jsonb, OUT made jsonb, OUT later jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    later := '[]';
    IF entity = 'company' THEN
        PERFORM saleshub.import_warn_industry(layout);
    ELSIF entity = 'lead' THEN
        PERFORM saleshub.import_warn_industry(layout);
    END IF;
    made := saleshub.import_link_all(entity, layout, options);
    IF entity = 'deal' THEN
        PERFORM saleshub.import_warn_lost(layout);
        IF (layout ->> 'list_price')::boolean THEN
            PERFORM saleshub.import_list_price(layout);
        END IF;
    ELSIF entity = 'company' THEN
        later := saleshub.import_later(layout);
    END IF;
    PERFORM saleshub.import_owners(entity, layout);
    PERFORM saleshub.import_meet_all(entity, layout, options);
END;
$$;
COMMENT ON FUNCTION saleshub.import_plan(text, jsonb, jsonb) IS
    'Looks up what the rows at hand refer to and which records they mean.';

CREATE FUNCTION saleshub.import_ids(layout jsonb, status text) RETURNS uuid[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(r.id ORDER BY r.n) FROM saleshub.import_rows($1) %s',
                   saleshub.import_shape(layout)) INTO ids USING status;
    RETURN coalesce(ids, '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.import_ids(jsonb, text) IS
    'The ids of the rows at hand with a status.';

CREATE FUNCTION saleshub.import_open_references(layout jsonb, later jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found jsonb := '[]';
BEGIN
    IF later <> '[]' THEN
        EXECUTE format(
            'SELECT coalesce(jsonb_agg((l - ''n'') || jsonb_build_object(''id'', x.id)), ''[]'')'
            ' FROM jsonb_array_elements($1) l JOIN (SELECT r.n, r.id FROM saleshub.import_rows(''create'') %1$s'
            ' UNION ALL SELECT r.n, r.id FROM saleshub.import_rows(''update'') %1$s) x ON x.n = (l ->> ''n'')::integer',
            saleshub.import_shape(layout)) INTO found USING later;
    END IF;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION saleshub.import_open_references(jsonb, jsonb) IS
    'References to be looked up at the end of the file, with the ids of the records that have them.';

CREATE FUNCTION saleshub.import_book(import uuid, part integer, at bigint, line bigint, done boolean,
                                     created uuid[], updated jsonb, made jsonb, later jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    n integer[] := saleshub.import_counts();
    number integer;
BEGIN
    PERFORM saleshub.route_part_leave();
    UPDATE saleshub.import_part p
    SET at = import_book.at, line = import_book.line, done = import_book.done, batch = p.batch + 1,
        rows = p.rows + n[1], created = p.created + n[3], updated = p.updated + n[4],
        unchanged = p.unchanged + n[4] - (
            SELECT count(*) FROM jsonb_array_elements(import_book.updated) u WHERE u -> 'changed' <> '{}'),
        skipped = p.skipped + n[5], conflicts = p.conflicts + n[6], errors = p.errors + n[7],
        warnings = p.warnings + n[8], made = p.made + jsonb_array_length(import_book.made)
    FROM crm.import i
    WHERE p.org_id = org AND p.import_id = import_book.import AND p.part = import_book.part
        AND i.org_id = org AND i.import_id = p.import_id
        AND i.created_by IS NOT DISTINCT FROM saleshub.member_id()
    RETURNING p.batch INTO number;
    IF number IS NULL THEN
        PERFORM saleshub.record_missing('import', import);
    END IF;
    IF created <> '{}' OR updated <> '[]' OR made <> '[]' OR later <> '[]' THEN
        INSERT INTO saleshub.import_batch (org_id, import_id, part, batch, created, updated, made, later)
        VALUES (org, import_book.import, import_book.part, number, import_book.created,
                import_book.updated, import_book.made, import_book.later);
    END IF;
    INSERT INTO crm.import_issue (org_id, import_id, line, error, col, code, message, raw, cells)
    SELECT org, import_book.import, i.line, i.error, i.col, i.code, i.message, i.raw, i.cells
    FROM saleshub.import_issues() i;
END;
$$;
COMMENT ON FUNCTION saleshub.import_book(uuid, integer, bigint, bigint, boolean, uuid[], jsonb, jsonb, jsonb) IS
    'Notes what a batch of an import did, and what was wrong with its rows.';
ALTER FUNCTION saleshub.import_book(uuid, integer, bigint, bigint, boolean, uuid[], jsonb, jsonb, jsonb)
    OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_versioned(entity text, layout jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- the links of a new activity count as changes of it
    RETURN CASE WHEN entity = 'activity' THEN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.activity_id, 'version', a.version, 'changed', '{}'::jsonb)), '[]')
        FROM crm.activity a
        WHERE a.org_id = saleshub.org_id() AND a.activity_id = ANY (saleshub.import_ids(layout, 'create')) AND a.version <> 1)
        ELSE '[]' END;
END;
$$;
COMMENT ON FUNCTION saleshub.import_versioned(text, jsonb) IS
    'New records whose version is not 1, in the form of changes.';

CREATE FUNCTION saleshub.import_analyze(entity text, part integer, batch integer) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Planners that know nothing of an organisation's rows take any index that starts with it.
    IF part = 0 AND entity IN ('lead', 'contact', 'company', 'deal', 'activity', 'product')
        AND (batch IN (16, 256)
             OR batch = 1 AND (SELECT c.reltuples <= 0 FROM pg_class c WHERE c.oid = ('crm.' || quote_ident(entity))::regclass))
    THEN
        EXECUTE (
            SELECT format('ANALYZE crm.%I (%s)', entity, string_agg(quote_ident(a.attname), ', '))
            FROM pg_attribute a
            WHERE a.attrelid = ('crm.' || quote_ident(entity))::regclass AND a.attnum IN (
                SELECT unnest(i.indkey) FROM pg_index i WHERE i.indrelid = a.attrelid));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_analyze(text, integer, integer) IS
    'Counts the rows of a table, and what its indexes are over, for planners now and then while an import fills it.';
ALTER FUNCTION saleshub.import_analyze(text, integer, integer) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.import_step(import uuid, part integer DEFAULT 0) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    turn record;
    read record;
    plan record;
    updated jsonb := '[]';
    on_match text;
BEGIN
    turn := saleshub.import_turn(import, part);
    IF turn.done OR turn.state NOT IN ('running', 'planning') THEN
        RETURN true;
    END IF;
    on_match := coalesce(turn.options #>> '{match,on_match}', 'update');
    PERFORM saleshub.import_open(turn.layout, turn.upload_id, turn.at, turn.line);
    read := saleshub.import_fetch(coalesce((turn.options ->> 'batch')::integer, 2000));
    IF turn.entity = 'member' THEN
        updated := saleshub.import_members(turn.layout, turn.options);
        PERFORM saleshub.import_book(
            import, part, read.at, read.line, read.done, saleshub.import_ids(turn.layout, 'create'),
            coalesce(updated -> 'updated', '[]'), coalesce(updated -> 'made', '[]'), '[]');
        RETURN read.done;
    END IF;
    PERFORM saleshub.import_analyze(turn.entity, part, turn.batch);
    IF read.rows > 0 THEN
        plan := saleshub.import_plan(turn.entity, turn.layout, turn.options);
        PERFORM saleshub.import_write('create', turn.entity, turn.layout, on_match, 0, read.rows - 1);
        IF saleshub.import_ids(turn.layout, 'update') <> '{}' THEN
            updated := saleshub.import_write('update', turn.entity, turn.layout, on_match, 0, read.rows - 1);
        END IF;
    END IF;
    PERFORM saleshub.import_book(
        import, part, read.at, read.line, read.done, saleshub.import_ids(turn.layout, 'create'),
        updated || saleshub.import_versioned(turn.entity, turn.layout),
        CASE WHEN read.rows > 0 THEN plan.made ELSE '[]' END,
        CASE WHEN read.rows > 0 THEN saleshub.import_open_references(turn.layout, plan.later) ELSE '[]' END);
    RETURN read.done;
END;
$$;
COMMENT ON FUNCTION saleshub.import_step(uuid, integer) IS
    'Imports the next rows of a part; true when it has no more. What it did and how far it came is noted in the same transaction.';
