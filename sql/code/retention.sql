-- What is deleted leaves for good after a time, and so does old history.

CREATE FUNCTION saleshub.admin_require() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.member_role() IS DISTINCT FROM 'admin' OR saleshub.org_id() IS NULL THEN
        PERFORM saleshub.raise('42501', 'only an admin may do this',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.admin_require() IS
    'Raises 42501 unless an admin of an organisation asks.';

CREATE FUNCTION saleshub.converted_unlock(allowed boolean) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_converted_unlock';
COMMENT ON FUNCTION saleshub.converted_unlock(boolean) IS
    'Whether converted leads may be changed, until the transaction ends; for functions of the owner';

CREATE FUNCTION saleshub.referrers(target regclass,
                                   OUT tab regclass, OUT col name, OUT required boolean)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.conrelid::regclass, a.attname, a.attnotnull
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[cardinality(c.conkey)]
    WHERE c.contype = 'f' AND c.confrelid = target AND c.confdeltype = 'a'
    ORDER BY c.conname;
END;
$$;
COMMENT ON FUNCTION saleshub.referrers(regclass) IS
    'The columns that refer to a table and are not taken along when a row of it is removed; required: a row without it means nothing.';

CREATE FUNCTION saleshub.rows_remove(org uuid, noun text, ids uuid[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    target regclass := to_regclass('crm.' || noun);
    referrer record;
    gone bigint;
    lines uuid[] := ARRAY(SELECT l.deal_line_id FROM crm.deal_line l
                          WHERE noun = 'deal' AND l.org_id = org AND l.deal_id = ANY (ids)
                          UNION ALL
                          SELECT s.deal_split_id FROM crm.deal_split s
                          WHERE noun = 'deal' AND s.org_id = org AND s.deal_id = ANY (ids));
BEGIN
    -- A converted lead lets go of what is removed, and may not be changed otherwise.
    PERFORM saleshub.converted_unlock(true);
    FOR referrer IN SELECT * FROM saleshub.referrers(target)
    LOOP
        EXECUTE format(
            CASE WHEN referrer.required THEN 'DELETE FROM %1$s WHERE org_id = $1 AND %2$I = ANY ($2)'
                 ELSE 'UPDATE %1$s SET %2$I = NULL WHERE org_id = $1 AND %2$I = ANY ($2)' END,
            referrer.tab, referrer.col)
        USING org, ids;
    END LOOP;
    PERFORM saleshub.converted_unlock(false);
    DELETE FROM crm.activity_link l
    WHERE l.org_id = org AND l.entity = noun AND l.entity_id = ANY (ids);
    PERFORM saleshub.attachments_let_go(org, noun, ids);
    PERFORM saleshub.touches_let_go(org, noun, ids);
    DELETE FROM crm.score_history h
    WHERE noun = 'lead' AND h.org_id = org AND h.lead_id = ANY (ids);
    DELETE FROM crm.lead_engagement e
    WHERE noun = 'lead' AND e.org_id = org AND e.lead_id = ANY (ids);
    DELETE FROM crm.assignment_log a
    WHERE noun = 'lead' AND a.org_id = org AND a.lead_id = ANY (ids);
    DELETE FROM crm.sla_timer t
    WHERE noun = 'lead' AND t.org_id = org AND t.lead_id = ANY (ids);
    DELETE FROM crm.routing_queue q
    WHERE noun = 'lead' AND q.org_id = org AND q.lead_id = ANY (ids);
    EXECUTE format('DELETE FROM %s WHERE org_id = $1 AND %I = ANY ($2) AND deleted_at IS NOT NULL',
                   target, noun || '_id') USING org, ids;
    GET DIAGNOSTICS gone = ROW_COUNT;
    -- The entry of the removal itself stays, as a mark without values.
    DELETE FROM crm.change_log l
    WHERE l.org_id = org AND l.entity_id = ANY (ids)
        AND (l.entity = noun AND l.op <> 'delete' OR noun = 'activity' AND l.entity = 'activity_link');
    DELETE FROM crm.change_log l
    WHERE l.org_id = org AND l.entity IN ('deal_line', 'deal_split') AND l.entity_id = ANY (lines);
    DELETE FROM crm.merge m
    WHERE m.org_id = org AND m.entity = noun AND (m.winner_id = ANY (ids) OR m.losers && ids);
    DELETE FROM crm.redirect r
    WHERE r.org_id = org AND r.entity = noun AND r.new_id = ANY (ids);
    UPDATE crm.change_log l
    SET changed = '{}'
    WHERE l.org_id = org AND l.entity = noun AND l.entity_id = ANY (ids);
    RETURN gone;
END;
$$;
COMMENT ON FUNCTION saleshub.rows_remove(uuid, text, uuid[]) IS
    'Removes deleted rows for good: links, scores and history go with them, rows that refer to them let go, a lead''s conversion is removed; the change log keeps that and when they were removed.';
ALTER FUNCTION saleshub.rows_remove(uuid, text, uuid[]) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.bin_empty(org uuid, noun text, before timestamptz, most integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[];
BEGIN
    EXECUTE format(
        'SELECT array_agg(r.id) FROM (SELECT t.%1$I AS id FROM crm.%2$I t WHERE t.org_id = $1'
        ' AND t.deleted_at < $2 ORDER BY t.deleted_at LIMIT $3 FOR UPDATE SKIP LOCKED) r',
        noun || '_id', noun)
    INTO ids USING org, before, most;
    RETURN CASE WHEN ids IS NULL THEN 0 ELSE saleshub.rows_remove(org, noun, ids) END;
END;
$$;
COMMENT ON FUNCTION saleshub.bin_empty(uuid, text, timestamptz, integer) IS
    'Removes up to so many of the rows that were deleted before an instant, the longest deleted first.';
ALTER FUNCTION saleshub.bin_empty(uuid, text, timestamptz, integer) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.history_drop(org uuid, noun text, before timestamptz, most integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM crm.change_log l
    WHERE l.ctid = ANY (ARRAY(
        SELECT o.ctid FROM crm.change_log o
        WHERE o.org_id = org AND o.at < before
            AND o.entity = ANY (CASE noun WHEN 'activity' THEN ARRAY[noun, 'activity_link']
                                ELSE ARRAY[noun] END)
        ORDER BY o.at
        LIMIT most));
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE crm.retention r
    SET history_floor = before
    WHERE gone > 0 AND r.org_id = org AND r.entity = noun
        AND r.history_floor IS DISTINCT FROM greatest(r.history_floor, before);
    IF gone > 0 THEN
        PERFORM saleshub.touch('all');
    END IF;
    RETURN gone;
END;
$$;
COMMENT ON FUNCTION saleshub.history_drop(uuid, text, timestamptz, integer) IS
    'Removes up to so many entries of the change log that are older than an instant; before it nothing can be shown as of an instant any more.';
ALTER FUNCTION saleshub.history_drop(uuid, text, timestamptz, integer) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.retain(batch integer DEFAULT 1000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    rule record;
    gone bigint := 0;
BEGIN
    FOR rule IN
        SELECT r.org_id, r.entity, now() - make_interval(days => r.bin_days) AS bin_until,
               now() - make_interval(days => r.history_days) AS history_until
        FROM crm.retention r
        WHERE NOT r.held
        ORDER BY r.org_id, r.entity
    LOOP
        EXIT WHEN gone >= batch;
        -- What cannot be removed here must not keep the rest of the house from being kept.
        BEGIN
            IF rule.bin_until IS NOT NULL THEN
                gone := gone + saleshub.bin_empty(rule.org_id, rule.entity, rule.bin_until,
                                                  (batch - gone)::integer);
            END IF;
            IF rule.history_until IS NOT NULL AND gone < batch THEN
                gone := gone + saleshub.history_drop(rule.org_id, rule.entity,
                                                     rule.history_until, (batch - gone)::integer);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'retention of % in organisation %: %', rule.entity, rule.org_id, SQLERRM;
        END;
    END LOOP;
    RETURN gone;
END;
$$;
COMMENT ON FUNCTION saleshub.retain(integer) IS
    'Removes what retention no longer keeps, up to so many rows a call; returns how many. Part of keep_house()';

CREATE FUNCTION crm.retention_get() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(e.entity, jsonb_build_object(
            'bin_days', r.bin_days, 'history_days', r.history_days,
            'held', coalesce(r.held, false), 'history_from', saleshub.utc(r.history_floor)))
        FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity', 'product',
                          'attachment']) e (entity)
        LEFT JOIN crm.retention r ON r.org_id = saleshub.org_id() AND r.entity = e.entity);
END;
$$;
COMMENT ON FUNCTION crm.retention_get() IS
    'How long each kind of record is kept after its deletion, and its history; null: for ever.';

CREATE FUNCTION saleshub.retention_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'type', 'object', 'additionalProperties', false,
        'properties', jsonb_object_agg(e.entity, '{
            "type": "object", "additionalProperties": false, "properties": {
                "bin_days": {"type": ["integer", "null"], "minimum": 0, "maximum": 36500},
                "history_days": {"type": ["integer", "null"], "minimum": 1, "maximum": 36500},
                "held": {"type": "boolean"}}}'::jsonb))
    FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity', 'product',
                          'attachment']) e (entity);
END;
COMMENT ON FUNCTION saleshub.retention_schema() IS 'JSON Schema of a change of the retention';

CREATE FUNCTION crm.retention_set(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.admin_require();
    PERFORM saleshub.check_body(saleshub.retention_schema(), body);
    INSERT INTO crm.retention AS r (org_id, entity, bin_days, history_days, held)
    SELECT saleshub.org_id(), e.key, (e.value ->> 'bin_days')::numeric::integer,
           (e.value ->> 'history_days')::numeric::integer,
           coalesce((e.value ->> 'held')::boolean, false)
    FROM jsonb_each(body) e
    ON CONFLICT (org_id, entity) DO UPDATE
    SET bin_days = CASE WHEN body -> r.entity ? 'bin_days'
                        THEN excluded.bin_days ELSE r.bin_days END,
        history_days = CASE WHEN body -> r.entity ? 'history_days'
                            THEN excluded.history_days ELSE r.history_days END,
        held = CASE WHEN body -> r.entity ? 'held' THEN excluded.held ELSE r.held END;
    RETURN crm.retention_get();
END;
$$;
COMMENT ON FUNCTION crm.retention_set(jsonb) IS
    'Changes how long kinds of records are kept: {"lead": {"bin_days", "history_days", "held"}, …}; members left out stay as they are. For admins';
ALTER FUNCTION crm.retention_set(jsonb) OWNER TO saleshub_owner;

CREATE FUNCTION crm.purge(entity text, older_than interval DEFAULT '0', most integer DEFAULT 1000)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    gone bigint;
    org uuid := saleshub.org_id();
BEGIN
    PERFORM saleshub.admin_require();
    IF entity IS NULL OR entity NOT IN ('lead', 'contact', 'company', 'deal', 'activity', 'product',
                                         'attachment') THEN
        PERFORM saleshub.bad_parameter('entity', 'not_allowed', 'is no kind of record with a bin');
    END IF;
    IF most IS NULL OR most NOT BETWEEN 1 AND 10000 THEN
        PERFORM saleshub.bad_parameter('most', 'range', 'must be from 1 to 10000');
    END IF;
    IF EXISTS (SELECT FROM crm.retention r
               WHERE r.org_id = org AND r.entity = purge.entity AND r.held) THEN
        PERFORM saleshub.raise('SH409', format('%s records are held', entity),
                               jsonb_build_object('code', 'held'),
                               'Lift the hold with crm.retention_set.');
    END IF;
    gone := saleshub.bin_empty(org, entity, now() - coalesce(older_than, interval '0')
                               + CASE WHEN older_than > interval '0' THEN interval '0'
                                      ELSE interval '1 microsecond' END, most);
    RETURN jsonb_build_object('entity', entity, 'purged', gone, 'more', gone = most);
END;
$$;
COMMENT ON FUNCTION crm.purge(text, interval, integer) IS
    'Removes deleted records of a kind for good, those that were deleted longer ago than this; call it again while "more". For admins';
ALTER FUNCTION crm.purge(text, interval, integer) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.routes_retention() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/retention', 'crm.retention_get()',
                           'How long deleted records and history are kept', 'privacy',
                           role => 'admin',
                           answer => '"Retention"');
    PERFORM saleshub.route('PATCH /v1/retention', 'crm.retention_set(jsonb)',
                           'Change how long deleted records and history are kept', 'privacy',
                           role => 'admin',
                           args => jsonb_build_object('body', saleshub.retention_schema()),
                           answer => '"Retention"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_retention() IS 'Registers the routes of retention';
