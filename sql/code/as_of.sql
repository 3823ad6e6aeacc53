-- Records as they were: the current row, with every later change taken back by the change log.
-- A change counts from the start of its transaction. When a transaction that began earlier wrote
-- later, both count from the later of the two instants: what is shown is always a version that was.

CREATE FUNCTION saleshub.as_of_check(noun text, as_of timestamptz, include text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF include IS NOT NULL THEN
        PERFORM saleshub.bad_parameter('include', 'not_allowed',
                                       'What a record refers to is not shown as of an instant.');
    END IF;
    IF NOT isfinite(as_of) OR as_of > clock_timestamp() THEN
        PERFORM saleshub.bad_parameter('as_of', 'range', 'must lie in the past');
    END IF;
    IF EXISTS (SELECT FROM crm.retention r
               WHERE r.org_id = saleshub.org_id() AND r.entity = noun
                   AND r.history_floor > as_of) THEN
        PERFORM saleshub.raise('SH410', format('the history of %s records before that is gone', noun),
                               jsonb_build_object('code', 'history_gone'));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.as_of_check(text, timestamptz, text) IS
    'Refuses what cannot be answered about the past.';

CREATE FUNCTION saleshub.records_before(noun text, as_of timestamptz, only_id uuid,
                                        OUT id uuid, OUT existed boolean, OUT doc jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH cut AS MATERIALIZED (
        SELECT l.entity_id, min(l.version) AS version
        FROM crm.change_log l
        WHERE l.org_id = saleshub.org_id() AND l.entity = noun AND l.at > as_of
            AND (only_id IS NULL OR l.entity_id = only_id)
        GROUP BY l.entity_id
    ), later AS MATERIALIZED (
        SELECT l.*
        FROM cut c
        JOIN crm.change_log l ON l.org_id = saleshub.org_id() AND l.entity = noun
            AND l.entity_id = c.entity_id AND l.version >= c.version
    ), field AS (
        SELECT DISTINCT ON (l.entity_id, f.key) l.entity_id, f.key, f.value -> 0 AS value
        FROM later l, jsonb_each(l.changed) f
        ORDER BY l.entity_id, f.key, l.version
    ), fields AS (
        SELECT f.entity_id, jsonb_object_agg(f.key, f.value) AS doc
        FROM field f
        GROUP BY f.entity_id
    ), made AS (
        SELECT DISTINCT l.entity_id
        FROM later l
        WHERE l.op = 'insert'
    )
    SELECT c.entity_id,
           m.entity_id IS NULL,
           coalesce(f.doc, '{}') || coalesce(jsonb_build_object(
               'version', before.version, 'updated_at', before.at, 'updated_by', before.actor_id),
               '{}')
    FROM cut c
    LEFT JOIN fields f ON f.entity_id = c.entity_id
    LEFT JOIN made m ON m.entity_id = c.entity_id
    LEFT JOIN LATERAL (
        SELECT l.version, l.at, l.actor_id
        FROM crm.change_log l
        WHERE l.org_id = saleshub.org_id() AND l.entity = noun AND l.entity_id = c.entity_id
            AND l.version < c.version
        ORDER BY l.version DESC
        LIMIT 1
    ) before ON true;
END;
$$;
COMMENT ON FUNCTION saleshub.records_before(text, timestamptz, uuid) IS
    'Of each record that changed since: whether it existed, and the values that differed, with version, updated_at and updated_by. Reads all changes of the kind since, or those of one record.';

CREATE FUNCTION saleshub.links_before(as_of timestamptz, activity uuid,
                                      OUT org_id uuid, OUT activity_id uuid,
                                      OUT entity text, OUT entity_id uuid)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH later AS (
        -- The first change of a link since says what was before it.
        SELECT DISTINCT ON (k ->> 'type', k ->> 'id')
               k ->> 'type' AS type, (k ->> 'id')::uuid AS id, l.op
        FROM crm.change_log l,
             jsonb_array_elements(coalesce(nullif(l.changed #> '{links,0}', 'null'),
                                           l.changed #> '{links,1}')) k
        WHERE l.org_id = saleshub.org_id() AND l.entity = 'activity_link'
            AND l.entity_id = activity AND l.at > as_of
        ORDER BY k ->> 'type', k ->> 'id', l.change_id
    )
    SELECT saleshub.org_id(), activity, l.type, l.id
    FROM later l
    WHERE l.op = 'delete'
        AND (saleshub.sees_everything() OR saleshub.record_visible(l.type, l.id))
    UNION ALL
    SELECT n.org_id, n.activity_id, n.entity, n.entity_id
    FROM crm.activity_link n
    WHERE n.org_id = saleshub.org_id() AND n.activity_id = activity
        AND NOT EXISTS (SELECT FROM later l WHERE l.type = n.entity AND l.id = n.entity_id);
END;
$$;
COMMENT ON FUNCTION saleshub.links_before(timestamptz, uuid) IS
    'The links that an activity had at an instant.';

CREATE FUNCTION saleshub.as_of_sql(sql text, as_of timestamptz) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    instant constant text := '($1 ->> ''as_of'')::timestamptz';
BEGIN
    IF as_of IS NULL THEN
        RETURN sql;
    END IF;
    sql := replace(sql, 'FROM crm.activity_link l WHERE', format(
        'FROM saleshub.links_before(%s, t.activity_id) l WHERE', instant));
    RETURN replace(sql, 'FROM crm.deal_line l WHERE', format(
        'FROM (SELECT r.* FROM crm.deal_line c'
        ' LEFT JOIN saleshub.records_before(''deal_line'', %s, c.deal_line_id) b ON true,'
        ' LATERAL jsonb_populate_record(c, coalesce(b.doc, ''{}'')) r'
        ' WHERE c.org_id = t.org_id AND c.deal_id = t.deal_id'
        ' AND b.existed IS DISTINCT FROM false) l WHERE', instant));
END;
$$;
COMMENT ON FUNCTION saleshub.as_of_sql(text, timestamptz) IS
    'SQL text about a record t, with its links and lines as they were when an instant is given.';

CREATE FUNCTION saleshub.record_from(meta jsonb, as_of timestamptz, one boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    key text := meta ->> 'key';
BEGIN
    IF as_of IS NULL THEN
        RETURN ' FROM ' || (meta ->> 'table') || ' t';
    END IF;
    RETURN format(
        ' FROM (SELECT r.* FROM %1$s c LEFT JOIN saleshub.records_before(%2$L,'
        ' ($1 ->> ''as_of'')::timestamptz, %4$s) b ON b.id = c.%3$s,'
        ' LATERAL jsonb_populate_record(c, coalesce(b.doc, ''{}'')) r'
        ' WHERE c.org_id = saleshub.org_id() AND b.existed IS DISTINCT FROM false%5$s) t',
        meta ->> 'table', meta ->> 'noun', key,
        CASE WHEN one THEN '($1 ->> ''id'')::uuid' ELSE 'NULL' END,
        CASE WHEN one THEN format(' AND c.%s = ($1 ->> ''id'')::uuid', key) ELSE '' END);
END;
$$;
COMMENT ON FUNCTION saleshub.record_from(jsonb, timestamptz, boolean) IS
    'SQL text of the records of a kind as t: the table, or its rows as of $1 -> as_of; one: only that of $1 -> id.';
