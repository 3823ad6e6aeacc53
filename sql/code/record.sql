-- Create, read, change and remove: the same for every noun, told apart by its meta
-- (saleshub.record_meta).

CREATE FUNCTION saleshub.record_require_write() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT saleshub.may_write() THEN
        PERFORM saleshub.raise('42501', 'role ' || coalesce(saleshub.member_role(), 'none')
                               || ' may not change records',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.record_require_write() IS
    'Raises 42501 unless the member may write; row security alone would hide the row instead.';

CREATE FUNCTION saleshub.record_missing(noun text, id uuid) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.raise('P0002', format('%s %s not found', noun, coalesce(id::text, 'null')),
                           jsonb_build_object('code', 'not_found'));
END;
$$;
COMMENT ON FUNCTION saleshub.record_missing(text, uuid) IS
    'Raises P0002: there is no such record, or it is deleted, or it is another organisation''s.';

CREATE FUNCTION saleshub.record_where(meta jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ' WHERE t.org_id = saleshub.org_id() AND t.' || (meta ->> 'key')
        || ' = ($1 ->> ''id'')::uuid AND t.deleted_at IS NULL';
COMMENT ON FUNCTION saleshub.record_where(jsonb) IS
    'SQL text that finds the one live record whose id is in $1.';

CREATE FUNCTION saleshub.record_projection(meta jsonb, fields text, include text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    name text;
    pairs text[] := '{}';
    unknown text[] := '{}';
    sql text;
BEGIN
    IF fields IS NULL THEN
        sql := meta ->> 'select';
    ELSE
        FOR name IN SELECT DISTINCT btrim(f) FROM string_to_table('id,' || fields, ',') f
                    WHERE btrim(f) <> '' ORDER BY 1
        LOOP
            pairs := pairs || format('%L, %s', name, meta -> 'json' ->> name);
            IF NOT meta -> 'json' ? name THEN
                PERFORM saleshub.bad_parameter('fields', 'unknown',
                                               format('There is no field "%s".', name));
            END IF;
        END LOOP;
        sql := saleshub.build_object(pairs);
    END IF;
    IF include IS NULL THEN
        RETURN sql;
    END IF;

    pairs := '{}';
    FOR name IN SELECT DISTINCT btrim(i) FROM string_to_table(include, ',') i
                WHERE btrim(i) <> '' ORDER BY 1
    LOOP
        IF NOT meta -> 'include' ? name THEN
            PERFORM saleshub.bad_parameter('include', 'unknown',
                                           format('"%s" cannot be included.', name));
        END IF;
        pairs := pairs || format('%L, %s', name, meta -> 'include' ->> name);
    END LOOP;
    IF pairs = '{}' THEN
        RETURN sql;
    END IF;
    RETURN sql || ' || ' || saleshub.build_object(pairs);
END;
$$;
COMMENT ON FUNCTION saleshub.record_projection(jsonb, text, text) IS
    'SQL text of a record''s JSON, limited to some fields (comma list) and with related records.';

CREATE FUNCTION saleshub.record_set(meta jsonb, verb text, body jsonb,
                                    OUT columns text, OUT exprs text, OUT pairs text)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(col, ', ' ORDER BY n), string_agg(expr, ', ' ORDER BY n),
           string_agg(col || ' = ' || expr, ', ' ORDER BY n)
    FROM (
        SELECT DISTINCT ON (s.value ->> 0) quote_ident(s.value ->> 0) AS col,
               s.value ->> 1 AS expr, row_number() OVER () AS n
        FROM jsonb_array_elements(record_set.meta -> 'set') WITH ORDINALITY AS f (value, place),
             jsonb_array_elements(f.value -> record_set.verb) WITH ORDINALITY AS s (value, place)
        WHERE record_set.body ? (f.value ->> 'name')
        ORDER BY s.value ->> 0, f.place DESC
    ) written;
END;
COMMENT ON FUNCTION saleshub.record_set(jsonb, text, jsonb) IS
    'SQL text of what a body writes, in the order of the fields so that equal shapes share a plan.';

CREATE FUNCTION saleshub.record_create(meta jsonb, body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    written record;
    doc jsonb;
    on_duplicate text;
BEGIN
    PERFORM saleshub.record_require_write();
    meta := saleshub.visible_meta(meta);
    PERFORM saleshub.check_body(meta -> 'create', body);
    body := saleshub.owned_body(meta, body, true);
    SELECT * INTO written FROM saleshub.record_set(meta, 'insert', body);
    on_duplicate := saleshub.duplicate_begin(meta ->> 'noun', body);
    doc := saleshub.run(
        'INSERT INTO ' || (meta ->> 'table') || ' AS t '
        || coalesce('(' || written.columns || ') VALUES (' || written.exprs || ')',
                    'DEFAULT VALUES')
        || ' RETURNING ' || (meta ->> 'select'),
        jsonb_build_object('b', body));
    doc := saleshub.duplicate_end(meta ->> 'noun', doc, on_duplicate);
    PERFORM saleshub.record_created(meta, doc);
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION saleshub.record_create(jsonb, jsonb) IS
    'Creates a record from a body and returns it.';

CREATE FUNCTION saleshub.record_created(meta jsonb, doc jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.reply(201, doc ->> 'version',
                           '/v1/' || (meta ->> 'plural') || '/' || (doc ->> 'id'));
END;
$$;
COMMENT ON FUNCTION saleshub.record_created(jsonb, jsonb) IS
    'Answers 201 with the place and version of a new record.';

CREATE FUNCTION saleshub.record_get(meta jsonb, id uuid, fields text DEFAULT NULL,
                                    include text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found_row jsonb;
    target uuid;
    doc jsonb;
BEGIN
    meta := saleshub.visible_meta(meta);
    IF as_of IS NOT NULL THEN
        PERFORM saleshub.as_of_check(meta ->> 'noun', as_of, include);
    END IF;
    found_row := saleshub.run(
        'SELECT jsonb_build_array(t.version, '
        || saleshub.as_of_sql(saleshub.record_projection(meta, fields, include), as_of)
        || ')' || saleshub.record_from(meta, as_of, true) || saleshub.record_where(meta),
        jsonb_build_object('id', id, 'as_of', as_of));
    IF found_row IS NULL THEN
        target := CASE WHEN as_of IS NULL THEN saleshub.redirected(meta ->> 'noun', id) END;
        IF target IS NULL THEN
            PERFORM saleshub.record_missing(meta ->> 'noun', id);
        END IF;
        doc := saleshub.record_get(meta, target, fields, include);
        PERFORM saleshub.reply(308, location => '/v1/' || (meta ->> 'plural') || '/' || target);
        RETURN doc;
    END IF;
    -- What is included has versions of its own, of which the tag would know nothing.
    PERFORM saleshub.reply(etag => CASE WHEN include IS NULL THEN found_row ->> 0 END);
    RETURN found_row -> 1;
END;
$$;
COMMENT ON FUNCTION saleshub.record_get(jsonb, uuid, text, text, timestamptz) IS
    'A live record as JSON, or one that was live at the instant as_of, as it was then; of a merged one the record that took its place, by 308 in HTTP.';

CREATE FUNCTION saleshub.version_check(current bigint, if_match text,
                                       what text DEFAULT 'the record')
    RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF if_match IS NOT NULL AND btrim(if_match) <> '*' AND NOT EXISTS (
        SELECT FROM string_to_table(if_match, ',') tag WHERE btrim(btrim(tag), '"') = current::text)
    THEN
        PERFORM saleshub.raise(
            'SH412', format('%s is at version %s, not %s', what, current, if_match),
            jsonb_build_object('code', 'version_mismatch', 'version', current),
            'Read the record again and repeat the change.');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.version_check(bigint, text, text) IS
    'Raises SH412 unless If-Match names the version: "3", 3, a list, * or NULL.';

CREATE FUNCTION saleshub.record_match(meta jsonb, id uuid, if_match text) RETURNS uuid
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current bigint;
    target uuid;
BEGIN
    IF meta ->> 'noun' = 'lead' THEN
        PERFORM saleshub.score_keep_rules();
    END IF;
    current := saleshub.run(
        'SELECT to_jsonb(t.version) FROM ' || (meta ->> 'table') || ' t'
        || saleshub.record_where(meta) || ' FOR NO KEY UPDATE', jsonb_build_object('id', id))::bigint;
    IF current IS NULL THEN
        target := saleshub.redirected(meta ->> 'noun', id);
        IF target IS NULL THEN
            PERFORM saleshub.record_missing(meta ->> 'noun', id);
        END IF;
        RETURN saleshub.record_match(meta, target, if_match);
    END IF;
    PERFORM saleshub.version_check(current, if_match, format('%s %s', meta ->> 'noun', id));
    RETURN id;
END;
$$;
COMMENT ON FUNCTION saleshub.record_match(jsonb, uuid, text) IS
    'Locks a live record, or the one it was merged into, and compares its version with If-Match: "3", 3, a list, * or NULL. Returns its id.';

CREATE FUNCTION saleshub.record_update(meta jsonb, id uuid, patch jsonb, if_match text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    pairs text;
    doc jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    meta := saleshub.visible_meta(meta);
    PERFORM saleshub.check_body(meta -> 'patch', patch);
    id := saleshub.record_match(meta, id, if_match);
    patch := saleshub.owned_body(meta, patch, false);
    SELECT s.pairs INTO pairs FROM saleshub.record_set(meta, 'update', patch) s;
    IF pairs IS NULL THEN
        RETURN saleshub.record_get(meta, id);
    END IF;
    doc := saleshub.run(
        'UPDATE ' || (meta ->> 'table') || ' AS t SET ' || pairs || saleshub.record_where(meta)
        || ' RETURNING ' || (meta ->> 'select'),
        jsonb_build_object('id', id, 'b', patch));
    PERFORM saleshub.reply(etag => doc ->> 'version');
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION saleshub.record_update(jsonb, uuid, jsonb, text) IS
    'Changes a live record by a merge patch and returns it.';

CREATE FUNCTION saleshub.record_delete(meta jsonb, id uuid, if_match text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    deletion uuid;
BEGIN
    PERFORM saleshub.record_require_write();
    -- Deleting what was merged into another record would take away that one.
    IF saleshub.record_match(meta, id, if_match) <> id THEN
        PERFORM saleshub.record_missing(meta ->> 'noun', id);
    END IF;
    deletion := saleshub.run(
        'UPDATE ' || (meta ->> 'table')
        || ' AS t SET deleted_at = now(), deletion_id = crm.uuid_v7()'
        || saleshub.record_where(meta) || ' RETURNING to_jsonb(t.deletion_id)',
        jsonb_build_object('id', id)) #>> '{}';
    PERFORM saleshub.children_delete(meta ->> 'noun', id, deletion);
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION saleshub.record_delete(jsonb, uuid, text) IS
    'Puts a live record into the bin, with the activities that are about nothing else.';

CREATE FUNCTION saleshub.record_restore(meta jsonb, id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    deletion uuid;
BEGIN
    PERFORM saleshub.record_require_write();
    IF saleshub.is_merged(meta ->> 'noun', id) THEN
        PERFORM saleshub.raise(
            'SH409', format('%s %s was merged', meta ->> 'noun', id),
            jsonb_build_object('code', 'merged',
                               'merged_into', saleshub.redirected(meta ->> 'noun', id)),
            'Undo the merge.');
    END IF;
    deletion := saleshub.run(
        'SELECT to_jsonb(t.deletion_id) FROM ' || (meta ->> 'table')
        || ' t WHERE t.org_id = saleshub.org_id() AND t.' || (meta ->> 'key')
        || ' = ($1 ->> ''id'')::uuid AND t.deleted_at IS NOT NULL FOR NO KEY UPDATE',
        jsonb_build_object('id', id)) #>> '{}';
    PERFORM saleshub.run(
        'UPDATE ' || (meta ->> 'table') || ' AS t SET deleted_at = NULL, deletion_id = NULL'
        || ' WHERE t.org_id = saleshub.org_id() AND t.' || (meta ->> 'key')
        || ' = ($1 ->> ''id'')::uuid AND t.deleted_at IS NOT NULL RETURNING ''true''::jsonb',
        jsonb_build_object('id', id));
    PERFORM saleshub.children_restore(deletion, CASE meta ->> 'noun' WHEN 'activity' THEN id END);
    RETURN saleshub.record_get(meta, id);
END;
$$;
COMMENT ON FUNCTION saleshub.record_restore(jsonb, uuid) IS
    'Takes a record out of the bin, with what its deletion took along; one that is not in it is returned as it is.';

CREATE FUNCTION saleshub.activity_kept(activity uuid, noun text, id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM crm.activity_link o
        WHERE o.org_id = saleshub.org_id() AND o.activity_id = activity
            AND (o.entity, o.entity_id) <> (noun, activity_kept.id)
            AND saleshub.reference_faults(o.org_id, '', o.entity, o.entity_id) = '[]');
END;
$$;
COMMENT ON FUNCTION saleshub.activity_kept(uuid, text, uuid) IS
    'Whether an activity is about another live record than this one, seen by the member or not.';
ALTER FUNCTION saleshub.activity_kept(uuid, text, uuid) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.children_delete(noun text, id uuid, deletion uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Of the other records an activity is about, the deleted ones do not keep it.
    UPDATE crm.activity a
    SET deleted_at = now(), deletion_id = deletion
    FROM crm.activity_link l
    WHERE l.org_id = saleshub.org_id() AND l.entity = noun AND l.entity_id = children_delete.id
        AND a.org_id = l.org_id AND a.activity_id = l.activity_id AND a.deleted_at IS NULL
        AND NOT saleshub.activity_kept(a.activity_id, noun, children_delete.id);
    UPDATE crm.attachment a
    SET deleted_at = now(), deletion_id = deletion
    WHERE a.org_id = saleshub.org_id() AND a.deleted_at IS NULL
        AND a.attachment_id = ANY (saleshub.attachments_lost(noun, children_delete.id, deletion));
END;
$$;
COMMENT ON FUNCTION saleshub.children_delete(text, uuid, uuid) IS
    'Puts the activities that are about a record and about no other live one into the bin, as part of the same deletion, and files that are on nothing else.';

CREATE FUNCTION saleshub.children_restore(deletion uuid, series_of uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE crm.activity a
    SET deleted_at = NULL, deletion_id = NULL
    WHERE a.org_id = saleshub.org_id() AND a.deletion_id = deletion AND a.deleted_at IS NOT NULL
        AND (series_of IS NULL OR a.series_id = (
            SELECT s.series_id FROM crm.activity s
            WHERE s.org_id = saleshub.org_id() AND s.activity_id = series_of));
    UPDATE crm.attachment a
    SET deleted_at = NULL, deletion_id = NULL
    WHERE a.org_id = saleshub.org_id() AND a.deletion_id = deletion AND a.deleted_at IS NOT NULL
        AND saleshub.attachment_kept(a.attachment_id);
END;
$$;
COMMENT ON FUNCTION saleshub.children_restore(uuid, uuid) IS
    'Takes what a deletion took along out of the bin, and nothing that was deleted otherwise; with an activity, only the others of its series.';
