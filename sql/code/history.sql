-- What happened to a record: its history (every field of every change) and its timeline (what
-- people want to read: activities, status, stage, owner, conversion).

CREATE FUNCTION saleshub.record_exists(meta jsonb, id uuid) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.run(
        'SELECT ''true''::jsonb FROM ' || (meta ->> 'table')
        || ' t WHERE t.org_id = saleshub.org_id() AND t.' || (meta ->> 'key')
        || ' = ($1 ->> ''id'')::uuid',
        jsonb_build_object('id', id)) IS NULL
    THEN
        PERFORM saleshub.record_missing(meta ->> 'noun', id);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.record_exists(jsonb, uuid) IS
    'Raises P0002 unless there is such a record, in the bin or not.';

CREATE FUNCTION saleshub.change_json(changed jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(c.key, jsonb_build_object('old', c.value -> 0,
                                                               'new', c.value -> 1)), '{}')
    FROM jsonb_each(change_json.changed) c;
END;
COMMENT ON FUNCTION saleshub.change_json(jsonb) IS
    'The changed fields of a change_log row as the API writes them: {field: {old, new}}.';

CREATE FUNCTION saleshub.custom_change(changed jsonb, keys text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    old jsonb := changed #> '{custom,0}';
    new jsonb := changed #> '{custom,1}';
BEGIN
    IF keys = '{}' OR NOT changed ? 'custom' THEN
        RETURN changed;
    END IF;
    old := CASE WHEN old = 'null' THEN old ELSE old - keys END;
    new := CASE WHEN new = 'null' THEN new ELSE new - keys END;
    IF old = new THEN
        RETURN changed - 'custom';
    END IF;
    RETURN changed || jsonb_build_object('custom', jsonb_build_array(old, new));
END;
$$;
COMMENT ON FUNCTION saleshub.custom_change(jsonb, text[]) IS
    'The changed fields of a change_log row without some keys of custom.';

CREATE FUNCTION saleshub.page_json(rows jsonb, page integer, stamp text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    rows := coalesce(rows, '[]');
    RETURN jsonb_build_object(
        'data', (SELECT coalesce(jsonb_agg(r -> 'doc' ORDER BY n), '[]')
                 FROM jsonb_array_elements(rows) WITH ORDINALITY AS e (r, n) WHERE n <= page),
        'next_cursor', CASE WHEN jsonb_array_length(rows) > page THEN
            saleshub.cursor_encode(jsonb_build_object('s', stamp,
                                                      'k', rows -> (page - 1) -> 'place')) END);
END;
$$;
COMMENT ON FUNCTION saleshub.page_json(jsonb, integer, text) IS
    'A page out of up to one row more, [{doc, place}], the rest reached by the cursor.';

CREATE FUNCTION saleshub.record_history(meta jsonb, id uuid, limit_ integer, cursor_ text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    stamp text := md5('history' || (meta ->> 'noun') || id::text);
    hidden text[] := saleshub.hidden_fields(meta ->> 'noun');
    keys text[] := saleshub.custom_hidden(meta ->> 'noun', hidden);
    before uuid;
BEGIN
    PERFORM saleshub.record_exists(meta, id);
    IF cursor_ IS NOT NULL THEN
        before := saleshub.list_place(
            cursor_, stamp, '[{"cast": "uuid", "not_null": true}]') ->> 0;
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
            'place', jsonb_build_array(c.change_id),
            'doc', jsonb_build_object(
                'id', c.change_id, 'op', c.op, 'version', c.version,
                'changed', saleshub.change_json(saleshub.custom_change(c.changed - hidden, keys)),
                'actor_id', c.actor_id,
                'request_id', c.request_id, 'at', saleshub.utc(c.at))) ORDER BY c.change_id DESC)
        FROM (
            SELECT *
            FROM crm.change_log l
            WHERE l.org_id = saleshub.org_id() AND l.entity = record_history.meta ->> 'noun'
                AND l.entity_id = record_history.id AND (before IS NULL OR l.change_id < before)
            ORDER BY l.change_id DESC
            LIMIT page + 1
        ) c
    ), page, stamp);
END;
$$;
COMMENT ON FUNCTION saleshub.record_history(jsonb, uuid, integer, text) IS
    'Every change of a record, the newest first.';

CREATE FUNCTION saleshub.timeline_kind(noun text, op text, changed jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN op = 'insert' THEN 'created'
        WHEN changed ? 'deleted_at' THEN
            CASE WHEN changed #> '{deleted_at,1}' = 'null' THEN 'restored' ELSE 'deleted' END
        WHEN noun = 'lead' AND changed #>> '{status,1}' = 'converted' THEN 'converted'
        WHEN changed ? 'status' THEN 'status'
        WHEN changed ? 'stage_id' THEN 'stage'
        WHEN changed ? 'done_at' THEN
            CASE WHEN changed #> '{done_at,1}' = 'null' THEN 'reopened' ELSE 'done' END
        WHEN changed ? 'owner_id' THEN 'owner'
    END;
COMMENT ON FUNCTION saleshub.timeline_kind(text, text, jsonb) IS
    'What a change is to people; NULL when it is not worth a line in the timeline.';

CREATE FUNCTION saleshub.timeline_changes(noun text, id uuid, before_at timestamptz,
                                          before_id uuid, most integer,
                                          OUT at timestamptz, OUT id_ uuid, OUT doc jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    hidden text[] := saleshub.hidden_fields(noun);
BEGIN
    RETURN QUERY
    SELECT c.at, c.change_id, jsonb_build_object(
        'kind', saleshub.timeline_kind(c.entity, c.op, c.changed),
        'type', c.entity, 'id', c.entity_id, 'at', saleshub.utc(c.at), 'actor_id', c.actor_id,
        'changed', CASE WHEN c.op = 'insert' THEN '{}' ELSE (
            SELECT coalesce(jsonb_object_agg(f.key, jsonb_build_object('old', f.value -> 0,
                                                                       'new', f.value -> 1)), '{}')
            FROM jsonb_each(c.changed) f
            WHERE f.key IN ('status', 'stage_id', 'owner_id', 'done_at', 'amount', 'lost_reason',
                            'converted_company_id', 'converted_contact_id', 'converted_deal_id')
        ) END)
    FROM (
        SELECT l.at, l.change_id, l.entity, l.entity_id, l.op, l.actor_id,
               l.changed - hidden AS changed
        FROM crm.change_log l
        WHERE l.org_id = saleshub.org_id() AND l.entity = noun
            AND l.entity_id = timeline_changes.id
        UNION ALL
        -- The conversion of a lead also belongs to what came out of it.
        SELECT l.at, l.change_id, l.entity, l.entity_id, l.op, l.actor_id,
               l.changed - saleshub.hidden_fields('lead')
        FROM crm.lead d
        JOIN crm.change_log l ON l.org_id = d.org_id AND l.entity = 'lead'
            AND l.entity_id = d.lead_id AND l.changed #>> '{status,1}' = 'converted'
        WHERE d.org_id = saleshub.org_id()
            AND (noun = 'company' AND d.converted_company_id = timeline_changes.id
                 OR noun = 'contact' AND d.converted_contact_id = timeline_changes.id
                 OR noun = 'deal' AND d.converted_deal_id = timeline_changes.id)
    ) c
    WHERE saleshub.timeline_kind(c.entity, c.op, c.changed) IS NOT NULL
        AND (before_at IS NULL OR ROW(c.at, c.change_id) < ROW(before_at, before_id))
    ORDER BY c.at DESC, c.change_id DESC
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION saleshub.timeline_changes(text, uuid, timestamptz, uuid, integer) IS
    'The changes of a record that people want to see, the newest first, with its conversion.';

CREATE FUNCTION saleshub.timeline_activities(noun text, id uuid, before_at timestamptz,
                                             before_id uuid, most integer,
                                             OUT at timestamptz, OUT id_ uuid, OUT doc jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    hidden text[] := saleshub.hidden_fields('activity');
BEGIN
    RETURN QUERY
    SELECT a.at, a.activity_id, jsonb_build_object(
        'kind', 'activity', 'type', 'activity', 'id', a.activity_id, 'at', saleshub.utc(a.at),
        'actor_id', a.created_by, 'activity', jsonb_build_object(
            'id', a.activity_id, 'type', a.type, 'subject', a.subject, 'body', a.body,
            'due_at', saleshub.utc(a.due_at), 'done_at', saleshub.utc(a.done_at),
            'outcome', a.outcome, 'owner_id', a.owner_id) - hidden)
    FROM (
        SELECT v.*, coalesce(v.done_at, v.due_at, v.created_at) AS at
        FROM crm.activity_link l
        -- By the key of each, also where the tables grew faster than their statistics.
        CROSS JOIN LATERAL (
            SELECT * FROM crm.activity c
            WHERE c.org_id = l.org_id AND c.activity_id = l.activity_id
            OFFSET 0
        ) v
        WHERE l.org_id = saleshub.org_id() AND l.entity = noun
            AND l.entity_id = timeline_activities.id AND v.deleted_at IS NULL
    ) a
    WHERE before_at IS NULL OR ROW(a.at, a.activity_id) < ROW(before_at, before_id)
    ORDER BY a.at DESC, a.activity_id DESC
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION saleshub.timeline_activities(text, uuid, timestamptz, uuid, integer) IS
    'The activities about a record, the newest first: by when done, else due, else made.';

CREATE FUNCTION saleshub.record_timeline(meta jsonb, id uuid, limit_ integer, cursor_ text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    noun text := meta ->> 'noun';
    stamp text := md5('timeline' || noun || id::text);
    place jsonb;
    before_at timestamptz;
    before_id uuid;
BEGIN
    PERFORM saleshub.record_exists(meta, id);
    IF cursor_ IS NOT NULL THEN
        place := saleshub.list_place(
            cursor_, stamp,
            '[{"cast": "timestamptz", "not_null": true}, {"cast": "uuid", "not_null": true}]');
        before_at := place ->> 0;
        before_id := place ->> 1;
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object('place', jsonb_build_array(e.at, e.id_), 'doc', e.doc)
                         ORDER BY e.at DESC, e.id_ DESC)
        FROM (
            SELECT * FROM saleshub.timeline_changes(noun, id, before_at, before_id, page + 1)
            UNION ALL
            SELECT * FROM saleshub.timeline_activities(noun, id, before_at, before_id, page + 1)
            UNION ALL
            SELECT * FROM saleshub.timeline_attachments(noun, id, before_at, before_id, page + 1)
            ORDER BY 1 DESC, 2 DESC
            LIMIT page + 1
        ) e
    ), page, stamp);
END;
$$;
COMMENT ON FUNCTION saleshub.record_timeline(jsonb, uuid, integer, text) IS
    'Activities, files and the changes that matter to people, the newest first.';
