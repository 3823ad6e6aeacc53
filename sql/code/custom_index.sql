-- The table of values: kept by triggers, filled and emptied some rows at a time.

CREATE FUNCTION saleshub.custom_index() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_custom_index';
COMMENT ON FUNCTION saleshub.custom_index() IS
    'Trigger: keeps the values of custom fields that are indexed or unique; 23505 when a unique one is taken';

CREATE FUNCTION saleshub.custom_fill(org uuid, field jsonb, ids uuid[], customs jsonb[])
RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_custom_fill';
COMMENT ON FUNCTION saleshub.custom_fill(uuid, jsonb, uuid[], jsonb[]) IS
    'Writes the values of a field (a row of crm.custom_field) of some locked records; returns how many are left out because they should be unique and are not';

CREATE FUNCTION saleshub.custom_quiet(barrier xid8) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_custom_quiet';
COMMENT ON FUNCTION saleshub.custom_quiet(xid8) IS
    'Whether all transactions are over that began to write or to read in this database before that one';

CREATE FUNCTION saleshub.custom_on(tab regclass, entity text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT * FROM saleshub.statement_events() LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION saleshub.custom_index(%L, %L)',
                       'saleshub_custom_' || event.name, event.name, tab, event.tables, entity,
                       entity || '_id');
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_on(regclass, text) IS
    'Gives a record table the index over its custom fields.';

CREATE FUNCTION saleshub.custom_field_build() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    had boolean := NOT fresh AND OLD.deleted_at IS NULL AND (OLD.indexed OR OLD.is_unique);
    wants boolean := NEW.deleted_at IS NULL AND (NEW.indexed OR NEW.is_unique);
BEGIN
    IF had <> wants OR wants AND NOT fresh AND (NEW.type <> OLD.type OR NEW.is_unique <> OLD.is_unique)
    THEN
        INSERT INTO saleshub.custom_build (org_id, custom_field_id, state)
        VALUES (NEW.org_id, NEW.custom_field_id, CASE WHEN fresh THEN 'building' ELSE 'emptying' END)
        ON CONFLICT (org_id, custom_field_id) DO UPDATE
            SET state = 'emptying', barrier = NULL, position = NULL, records = 0, left_out = 0,
                started_at = now(), finished_at = NULL;
    END IF;
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.custom_field_build() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.custom_field_build() IS
    'Trigger: has the worker fill or empty the table of values when that is what a definition asks for.';

CREATE FUNCTION saleshub.custom_rebuild(org uuid, id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE saleshub.custom_build b
    SET state = 'emptying', barrier = NULL, position = NULL, records = 0, left_out = 0,
        started_at = now(), finished_at = NULL
    WHERE b.org_id = custom_rebuild.org AND b.custom_field_id = custom_rebuild.id
        AND b.state <> 'purging';
END;
$$;
COMMENT ON FUNCTION saleshub.custom_rebuild(uuid, uuid) IS
    'Has the worker fill the table of values anew for a field; for superusers.';

CREATE FUNCTION saleshub.custom_release(noun text, org uuid, ids uuid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    DELETE FROM saleshub.custom_value v
    USING crm.custom_field f
    WHERE f.org_id = custom_release.org AND f.entity = noun AND f.is_unique
        AND f.deleted_at IS NULL AND v.org_id = f.org_id AND v.custom_field_id = f.custom_field_id
        AND v.entity_id = ANY (ids);
END;
$$;
COMMENT ON FUNCTION saleshub.custom_release(text, uuid, uuid[]) IS
    'Frees the unique values of records that are about to give them to another, or get them back.';

CREATE FUNCTION saleshub.custom_claim(noun text, org uuid, id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    field record;
    custom jsonb;
BEGIN
    FOR field IN
        SELECT f.key, f.label, to_jsonb(f) AS doc
        FROM crm.custom_field f
        WHERE f.org_id = custom_claim.org AND f.entity = noun AND f.is_unique
            AND f.deleted_at IS NULL
    LOOP
        EXECUTE format('SELECT t.custom FROM crm.%I t WHERE t.org_id = $1 AND t.%I = $2'
                       ' AND t.deleted_at IS NULL AND t.custom ? $3', noun, noun || '_id')
        INTO custom USING org, id, field.key;
        IF custom IS NOT NULL AND saleshub.custom_fill(org, field.doc, ARRAY[id], ARRAY[custom]) > 0
        THEN
            PERFORM saleshub.raise(
                '23505', format('another %s has the same "%s"', noun, field.label),
                jsonb_build_object('code', 'conflict', 'errors', saleshub.fault(
                    '/custom/' || field.key, 'taken', 'belongs to another ' || noun)));
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_claim(text, uuid, uuid) IS
    'Takes the unique values of a record again that were released; 23505 when another has one.';

-- Steps of the worker, each a transaction

CREATE FUNCTION saleshub.custom_empty_step(b jsonb, batch integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := b ->> 'org_id';
    field uuid := b ->> 'custom_field_id';
    gone bigint;
BEGIN
    DELETE FROM saleshub.custom_value v
    WHERE v.ctid = ANY (ARRAY(
        SELECT o.ctid FROM saleshub.custom_value o
        WHERE o.org_id = org AND o.custom_field_id = field LIMIT batch));
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone = batch THEN
        RETURN gone;
    ELSIF EXISTS (SELECT FROM crm.custom_field f
                  WHERE f.org_id = org AND f.custom_field_id = field AND f.deleted_at IS NULL
                      AND (f.indexed OR f.is_unique))
    THEN
        UPDATE saleshub.custom_build u SET state = 'building'
        WHERE u.org_id = org AND u.custom_field_id = field;
    ELSE
        DELETE FROM saleshub.custom_build d WHERE d.org_id = org AND d.custom_field_id = field;
    END IF;
    RETURN gone + 1;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_empty_step(jsonb, integer) IS
    'Removes values of a field from the table of values; what follows is a build or nothing.';

CREATE FUNCTION saleshub.custom_records(entity text, org uuid, key text, after uuid, batch integer,
                                        OUT upto uuid, OUT read bigint,
                                        OUT ids uuid[], OUT customs jsonb[])
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'SELECT (array_agg(r.id ORDER BY r.id DESC))[1], count(*) FROM (SELECT t.%1$I AS id'
        ' FROM crm.%2$I t WHERE t.org_id = $1 AND ($2 IS NULL OR t.%1$I > $2)'
        ' ORDER BY t.%1$I LIMIT $3) r', entity || '_id', entity)
    INTO upto, read USING org, after, batch;
    -- Who changes such a record meanwhile waits for the end of the step, and corrects what it wrote.
    EXECUTE format(
        'SELECT array_agg(r.id), array_agg(r.custom) FROM (SELECT t.%1$I AS id, t.custom'
        ' FROM crm.%2$I t WHERE t.org_id = $1 AND ($2 IS NULL OR t.%1$I > $2) AND t.%1$I <= $3'
        ' AND t.custom ? $4 AND t.deleted_at IS NULL ORDER BY t.%1$I FOR SHARE) r',
        entity || '_id', entity)
    INTO ids, customs USING org, after, upto, key;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_records(text, uuid, text, uuid, integer) IS
    'The next records in the order of their ids: how many, up to which, and those that are live and have a key of custom, locked.';

CREATE FUNCTION saleshub.custom_fill_step(b jsonb, field jsonb, batch integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := b ->> 'org_id';
    page record;
    missing bigint := 0;
    now_ xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    -- A barrier of another cluster, from which the database was restored, says nothing here.
    IF b ->> 'barrier' IS NULL OR (b ->> 'barrier')::xid8 > now_ THEN
        UPDATE saleshub.custom_build u SET barrier = now_
        WHERE u.org_id = org AND u.custom_field_id = (b ->> 'custom_field_id')::uuid;
        RETURN 1;
    ELSIF NOT saleshub.custom_quiet((b ->> 'barrier')::xid8) THEN
        RETURN 0;
    END IF;
    SELECT * INTO page FROM saleshub.custom_records(field ->> 'entity', org, field ->> 'key',
                                                    (b ->> 'position')::uuid, batch);
    IF page.ids IS NOT NULL THEN
        missing := saleshub.custom_fill(org, field, page.ids, page.customs);
    END IF;
    UPDATE saleshub.custom_build u
    SET position = coalesce(page.upto, u.position), records = u.records + page.read,
        left_out = u.left_out + missing,
        state = CASE WHEN page.read = batch THEN 'building'
                     WHEN u.left_out + missing > 0 THEN 'failed' ELSE 'ready' END,
        finished_at = CASE WHEN page.read < batch THEN now() END
    WHERE u.org_id = org AND u.custom_field_id = (b ->> 'custom_field_id')::uuid;
    RETURN page.read + 1;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_fill_step(jsonb, jsonb, integer) IS
    'Fills the table of values for the next records, once nobody is left who does not know of the field.';

CREATE FUNCTION saleshub.custom_purge_step(b jsonb, field jsonb, batch integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := b ->> 'org_id';
    done bigint := 0;
BEGIN
    -- The same key may have been defined anew: then its values belong to that field.
    IF NOT EXISTS (SELECT FROM crm.custom_field f
                   WHERE f.org_id = org AND f.entity = field ->> 'entity'
                       AND f.key = field ->> 'key' AND f.deleted_at IS NULL)
    THEN
        PERFORM saleshub.converted_unlock(true);
        EXECUTE format(
            'UPDATE crm.%1$I t SET custom = t.custom - $2 WHERE t.org_id = $1 AND t.%2$I = ANY ('
            'ARRAY(SELECT r.%2$I FROM crm.%1$I r WHERE r.org_id = $1 AND r.custom ? $2 LIMIT $3))',
            field ->> 'entity', (field ->> 'entity') || '_id')
        USING org, field ->> 'key', batch;
        GET DIAGNOSTICS done = ROW_COUNT;
        PERFORM saleshub.converted_unlock(false);
    END IF;
    IF done < batch THEN
        DELETE FROM crm.custom_field f
        WHERE f.org_id = org AND f.custom_field_id = (b ->> 'custom_field_id')::uuid;
    END IF;
    RETURN done + 1;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_purge_step(jsonb, jsonb, integer) IS
    'Removes the values of a removed field from some records; when none are left, the definition.';

CREATE FUNCTION saleshub.custom_build(batch integer DEFAULT 2000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    b record;
    field jsonb;
    done bigint := 0;
BEGIN
    FOR b IN
        SELECT * FROM saleshub.custom_build c
        WHERE c.state IN ('emptying', 'building', 'purging')
        ORDER BY c.started_at
        FOR UPDATE SKIP LOCKED
    LOOP
        field := (SELECT to_jsonb(f) FROM crm.custom_field f
                  WHERE f.org_id = b.org_id AND f.custom_field_id = b.custom_field_id);
        BEGIN
            done := CASE b.state
                WHEN 'emptying' THEN saleshub.custom_empty_step(to_jsonb(b), batch)
                WHEN 'building' THEN saleshub.custom_fill_step(to_jsonb(b), field, batch)
                ELSE saleshub.custom_purge_step(to_jsonb(b), field, batch) END;
        EXCEPTION WHEN deadlock_detected OR lock_not_available THEN
            done := 0;
        END;
        EXIT WHEN done > 0;
    END LOOP;
    RETURN done;
END;
$$;
COMMENT ON FUNCTION saleshub.custom_build(integer) IS
    'Does one step of filling or emptying the table of values, or of purging a field; returns 0 when there is nothing to do or to wait for only. Called by the worker every second, and at once again after a step';
