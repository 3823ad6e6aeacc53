-- Taking back what was done to records: fields that still are as they were left, and records that
-- nobody went on from. Conversions and batches are undone by these.

CREATE FUNCTION saleshub.record_referrers(org uuid, entity text, id uuid) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    place record;
    hit boolean;
    found_in text[] := '{}';
BEGIN
    FOR place IN
        -- Parts of a record go with it (ON DELETE CASCADE); a conversion is a note about it.
        SELECT c.conrelid::regclass AS tab, r.relname::text AS name,
               format('t.%I = $2', a.attname) AS here
          FROM pg_constraint AS c
          JOIN pg_class AS r ON r.oid = c.conrelid
          CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (mine, theirs)
          JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.mine
          JOIN pg_attribute AS f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
         WHERE c.contype = 'f' AND c.confrelid = to_regclass(format('crm.%I', record_referrers.entity))
           AND c.confdeltype <> 'c' AND r.relname <> 'conversion'
           AND f.attname = record_referrers.entity || '_id'
        UNION ALL
        -- What members link with records of any kind.
        SELECT r.oid::regclass, r.relname, 't.entity = $3 AND t.entity_id = $2'
          FROM pg_class AS r
         WHERE r.relnamespace = 'crm'::regnamespace AND r.relkind IN ('r', 'p')
           AND has_table_privilege('saleshub_user', r.oid, 'INSERT')
           AND 2 = (SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = r.oid
                       AND (a.attname, a.atttypid) IN (('entity', 'text'::regtype), ('entity_id', 'uuid'::regtype)))
         ORDER BY 2, 3
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE t.org_id = $1 AND %s%s)', place.tab, place.here,
                       saleshub.row_is_live(place.tab))
           INTO hit USING org, id, entity;
        IF hit AND NOT place.name = ANY (found_in) THEN
            found_in := found_in || place.name;
        END IF;
    END LOOP;
    RETURN found_in;
END
$$;
ALTER FUNCTION saleshub.record_referrers(uuid, text, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.record_referrers(uuid, text, uuid) IS
    'The tables with living rows that refer to a record, by the catalogue of foreign keys and of links to any kind; also rows the caller may not see';

CREATE FUNCTION saleshub.row_is_live(tab regclass) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    has_bin boolean := EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = tab AND a.attname = 'deleted_at'
                                  AND NOT a.attisdropped);
BEGIN
    RETURN CASE WHEN has_bin THEN ' AND t.deleted_at IS NULL' ELSE '' END || coalesce((
        SELECT string_agg(format(' AND EXISTS (SELECT FROM %s.%I AS p WHERE p.org_id = t.org_id AND p.%I = t.%I'
                                 ' AND p.deleted_at IS NULL)', r.relnamespace::regnamespace, r.relname,
                                 f.attname, a.attname), '')
          FROM pg_constraint AS c
          JOIN pg_class AS r ON r.oid = c.confrelid
          CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (mine, theirs)
          JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.mine AND a.attname <> 'org_id'
          JOIN pg_attribute AS f ON f.attrelid = c.confrelid AND f.attnum = k.theirs
         WHERE c.contype = 'f' AND c.conrelid = tab AND c.confdeltype = 'c' AND array_length(c.conkey, 1) = 2
           AND EXISTS (SELECT FROM pg_attribute AS d WHERE d.attrelid = c.confrelid AND d.attname = 'deleted_at')), '');
END
$$;
COMMENT ON FUNCTION saleshub.row_is_live(regclass) IS
    'SQL text, to be appended to a condition: neither the row t nor what it is a part of is in the bin';

CREATE FUNCTION saleshub.record_locked(entity text, id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF entity NOT IN ('lead', 'company', 'contact', 'deal', 'activity', 'product') THEN
        PERFORM saleshub.raise('22023', format('"%s" is no kind of record', entity));
    END IF;
    IF entity = 'lead' THEN
        PERFORM saleshub.score_keep_rules();
    END IF;
    RETURN saleshub.run(format(
        'SELECT to_jsonb(t) FROM crm.%1$I AS t WHERE t.org_id = saleshub.org_id()'
        ' AND t.%2$I = ($1 ->> ''id'')::uuid FOR UPDATE', entity, entity || '_id'),
        jsonb_build_object('id', id));
END
$$;
COMMENT ON FUNCTION saleshub.record_locked(text, uuid) IS
    'A record as it is now, locked against changes and references; NULL when it is not to be seen';

CREATE FUNCTION saleshub.record_put(entity text, id uuid, fields jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.run(format(
        'UPDATE crm.%1$I AS t SET %3$s FROM jsonb_populate_record(NULL::crm.%1$I, $1 -> ''fields'') AS r'
        ' WHERE t.org_id = saleshub.org_id() AND t.%2$I = ($1 ->> ''id'')::uuid AND t.deleted_at IS NULL'
        ' RETURNING ''true''::jsonb', entity, entity || '_id',
        (SELECT string_agg(format('%1$I = r.%1$I', k), ', ' ORDER BY k) FROM jsonb_object_keys(fields) AS k)),
        jsonb_build_object('id', id, 'fields', fields)) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION saleshub.record_put(text, uuid, jsonb) IS
    'Sets columns of a living record; false when it is not there for the caller';

CREATE FUNCTION saleshub.undo_compare(
    now_ jsonb, fields jsonb, force boolean, OUT back jsonb, OUT names jsonb, OUT changed jsonb)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    field text;
    pair jsonb;
    path text[];
BEGIN
    back := '{}';
    names := '[]';
    changed := '[]';
    -- What the model or the stage says of the chance is put in by triggers.
    FOR field, pair IN SELECT f.key, f.value FROM jsonb_each(fields) AS f
                        WHERE f.key NOT LIKE 'probability%' OR f.key = 'probability_manual'
                        ORDER BY f.key LOOP
        path := CASE WHEN field LIKE 'custom.%' THEN ARRAY['custom', substr(field, 8)] ELSE ARRAY[field] END;
        IF NOT force AND coalesce(now_ #> path, 'null') <> coalesce(pair -> 1, 'null') THEN
            changed := changed || to_jsonb(field);
            CONTINUE;
        END IF;
        names := names || to_jsonb(field);
        IF path[2] IS NULL THEN
            back := back || jsonb_build_object(field, pair -> 0);
        ELSE
            now_ := CASE WHEN pair -> 0 = 'null' THEN now_ #- path ELSE jsonb_set(now_, path, pair -> 0) END;
            back := back || jsonb_build_object('custom', now_ -> 'custom');
        END IF;
    END LOOP;
    -- An amount and its currency are one value.
    IF changed ?| ARRAY['annual_revenue', 'annual_revenue_currency'] THEN
        changed := changed || (SELECT coalesce(jsonb_agg(n), '[]') FROM jsonb_array_elements(names) AS n
                                WHERE n #>> '{}' LIKE 'annual\_revenue%');
        names := names - 'annual_revenue' - 'annual_revenue_currency';
        back := back - 'annual_revenue' - 'annual_revenue_currency';
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.undo_compare(jsonb, jsonb, boolean) IS
    'Which of the fields {field: [old, new]} still hold the new value: columns to set back, their names, and the names of those that somebody changed';

CREATE FUNCTION saleshub.undo_restore(
    entity text, id uuid, fields jsonb, force boolean, OUT restored jsonb, OUT conflicts jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current jsonb := saleshub.record_locked(entity, id);
    found record;
    reason text := 'changed';
BEGIN
    restored := '[]';
    conflicts := '[]';
    found := saleshub.undo_compare(coalesce(current, '{}'), fields, force);
    IF current IS NULL OR current -> 'deleted_at' <> 'null' THEN
        reason := CASE WHEN current IS NULL THEN 'not_found' ELSE 'deleted' END;
        found.changed := found.changed || found.names;
    ELSIF found.back <> '{}' THEN
        BEGIN
            IF saleshub.record_put(entity, id, found.back) THEN
                restored := jsonb_build_array(jsonb_build_object(
                    'type', entity, 'id', id, 'action', 'restored', 'fields', found.names));
            ELSE
                reason := 'not_found';
                found.changed := found.changed || found.names;
            END IF;
        EXCEPTION WHEN invalid_parameter_value OR check_violation OR foreign_key_violation THEN
            -- What it referred to then is gone now.
            reason := 'invalid';
            found.changed := found.changed || found.names;
        END;
    END IF;
    IF found.changed <> '[]' THEN
        conflicts := (SELECT jsonb_agg(jsonb_build_object('type', entity, 'id', id, 'field', f, 'reason', reason)
                                       ORDER BY f) FROM jsonb_array_elements(found.changed) AS f);
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.undo_restore(text, uuid, jsonb, boolean) IS
    'Sets the fields of a record back that still hold what is undone; the others are conflicts';

CREATE FUNCTION saleshub.changed_since(entity text, id uuid, version bigint, current bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF current = version THEN
        RETURN false;
    END IF;
    RETURN (
        WITH step AS (
            SELECT l.version, l.changed FROM crm.change_log AS l
             WHERE l.org_id = saleshub.org_id() AND l.entity = changed_since.entity
               AND l.entity_id = changed_since.id AND l.version > changed_since.version)
        SELECT (SELECT count(*) FROM step) <> current - changed_since.version
            OR EXISTS (SELECT FROM step AS s, jsonb_each(s.changed) AS f GROUP BY f.key
                       HAVING (array_agg(f.value -> 0 ORDER BY s.version))[1]
                              <> (array_agg(f.value -> 1 ORDER BY s.version DESC))[1]));
END
$$;
COMMENT ON FUNCTION saleshub.changed_since(text, uuid, bigint, bigint) IS
    'Whether a record of that current version differs from what it was at a former one: what was changed and changed back, like by a merge that was undone, is the same. True when its history does not say';

CREATE FUNCTION saleshub.undo_remove(
    entity text, id uuid, version bigint, force boolean, OUT restored jsonb, OUT kept jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current jsonb := saleshub.record_locked(entity, id);
    what CONSTANT jsonb := jsonb_build_object('type', entity, 'id', id);
    referrers text[];
BEGIN
    restored := '[]';
    kept := '[]';
    IF current -> 'deleted_at' <> 'null' THEN
        RETURN;
    END IF;
    referrers := saleshub.record_referrers(saleshub.org_id(), entity, id);
    IF current IS NULL THEN
        kept := jsonb_build_array(what || '{"reason": "not_found"}');
    ELSIF NOT force AND saleshub.changed_since(entity, id, version, (current ->> 'version')::bigint) THEN
        kept := jsonb_build_array(what || '{"reason": "changed"}');
    ELSIF referrers <> '{}' THEN
        kept := jsonb_build_array(what || jsonb_build_object('reason', 'referenced', 'by', to_jsonb(referrers)));
    ELSIF saleshub.record_put(entity, id, jsonb_build_object('deleted_at', now())) THEN
        restored := jsonb_build_array(what || '{"action": "deleted"}');
    ELSE
        kept := jsonb_build_array(what || '{"reason": "not_found"}');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.undo_remove(text, uuid, bigint, boolean) IS
    'Puts a record that was created into the bin, unless it was changed or something refers to it';
