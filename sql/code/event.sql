-- From the outbox to the event log, and the house-keeping around it.

CREATE FUNCTION saleshub.event_start() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    -- Another cluster, database or timeline means that positions handed out may not be in this log.
    home text := (SELECT s.system_identifier || '/' || d.oid || '/' || c.timeline_id
                    FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
                   WHERE d.datname = current_database());
    state record;
    fresh text := left(replace(gen_random_uuid()::text, '-', ''), 12);
BEGIN
    SELECT e.identity, e.top INTO state FROM saleshub.event_state e FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO saleshub.event_state (epoch, identity, erased_in) VALUES (fresh, home, home);
        RETURN 0;
    ELSIF state.identity <> home THEN
        UPDATE saleshub.event_state e SET epoch = fresh, identity = home, floor = e.top;
    END IF;
    RETURN state.top;
END
$$;
COMMENT ON FUNCTION saleshub.event_start() IS
    'Makes sure that the event log has an epoch, and a new one after a restore or failover; returns the top position';

-- A queue is empty at one moment and long at the next, so what the planner knows of it is wrong at
-- all times; it never pays to read it whole, with all that was taken out and is not vacuumed yet.
CREATE FUNCTION saleshub.outbox_move(batch integer) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS 'MODULE_PATHNAME', 'sh_outbox_move';
COMMENT ON FUNCTION saleshub.outbox_move(integer) IS
    'Moves the oldest outbox rows, of up to so many events but at least one row, into the event log under the next positions; returns the number of events. For saleshub.publish()';

CREATE FUNCTION saleshub.publish(batch integer DEFAULT 2000) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    moved bigint;
    state record;
BEGIN
    IF batch IS NULL OR batch < 1 THEN
        PERFORM saleshub.raise('22023', 'the batch must be at least 1');
    END IF;
    -- One sequencer at a time; the other one does the work.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('saleshub.publish', 0)) THEN
        RETURN 0;
    END IF;
    moved := saleshub.outbox_move(batch);
    IF moved > 0 THEN
        SELECT e.epoch, e.top INTO state FROM saleshub.event_state e;
        PERFORM pg_notify('saleshub', state.epoch || ':' || state.top);
    END IF;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION saleshub.publish(integer) IS
    'Moves up to so many events (more when one row of the outbox stands for more) into the event log under dense positions, with one NOTIFY for all; returns how many. Done by the worker';

CREATE FUNCTION saleshub.keep_house(event_retention interval DEFAULT '7 days') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    cut bigint;
    gone bigint := 0;
BEGIN
    SELECT max(old.gseq) INTO cut
      FROM (SELECT l.gseq, l.at FROM saleshub.event_log l ORDER BY l.gseq LIMIT 10000) old
     WHERE old.at < now() - event_retention;
    IF cut IS NOT NULL THEN
        DELETE FROM saleshub.event_log l WHERE l.gseq <= cut;
        GET DIAGNOSTICS gone = ROW_COUNT;
        UPDATE saleshub.event_state SET floor = greatest(floor, cut);
    END IF;
    PERFORM saleshub.retain();
    DELETE FROM saleshub.idempotency i WHERE i.at < now() - interval '1 day';
    PERFORM saleshub.upload_sweep();
    DELETE FROM crm.batch b WHERE b.at < now() - interval '90 days';
    PERFORM saleshub.rollup_follow();
    PERFORM saleshub.filter_uses_fold();
    PERFORM saleshub.forecast_run();
    PERFORM saleshub.score_rebase();
    PERFORM saleshub.search_log_trim();
    RETURN gone;
END
$$;
COMMENT ON FUNCTION saleshub.keep_house(interval) IS
    'Drops events past retention (a bounded number a call), idempotency keys and unused uploads after a day, and what retention no longer keeps, counts uses of filters, lets rollups follow time zones, keeps the forecasts of the day, and drops searches past retention; returns the number of events. Done by the worker every minute';

CREATE FUNCTION saleshub.run_maintenance() RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    reminded bigint := 0;
    published bigint := 0;
    folded bigint := 0;
    n bigint;
BEGIN
    PERFORM saleshub.event_start();
    PERFORM saleshub.sla_run();
    PERFORM saleshub.routing_run();
    LOOP
        SELECT r.fired INTO n FROM saleshub.remind() r;
        reminded := reminded + n;
        EXIT WHEN n = 0;
    END LOOP;
    WHILE saleshub.score_turn() LOOP
    END LOOP;
    LOOP
        n := saleshub.publish();
        published := published + n;
        EXIT WHEN n = 0;
    END LOOP;
    LOOP
        n := saleshub.fold();
        folded := folded + n;
        EXIT WHEN n = 0;
    END LOOP;
    LOOP
        EXIT WHEN saleshub.search_step() = 0;
    END LOOP;
    PERFORM saleshub.search_log_keep();
    LOOP
        EXIT WHEN saleshub.custom_build() = 0;
    END LOOP;
    RETURN jsonb_build_object('reminded', reminded, 'published', published, 'folded', folded,
                              'expired', saleshub.keep_house());
END
$$;
COMMENT ON FUNCTION saleshub.run_maintenance() IS
    'All that the background worker does, once: for servers without the library in shared_preload_libraries (call it from cron). Superuser only';

CREATE FUNCTION saleshub.check(OUT item text, OUT ok boolean, OUT detail text) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    backlog bigint := (SELECT coalesce(sum(o.events), 0) FROM saleshub.outbox o WHERE o.at < now() - interval '10 seconds');
    lagging bigint := (SELECT count(*) FROM saleshub.rollup_delta);
    late bigint := (SELECT count(*) FROM crm.reminder
                    WHERE state = 'scheduled' AND remind_at < now() - interval '1 minute');
BEGIN
    item := 'version';
    ok := EXISTS (SELECT FROM saleshub.schema_version v JOIN pg_extension e
                    ON e.extname = 'saleshub' AND e.extversion = v.version);
    detail := CASE WHEN ok THEN 'the tables are of the installed version'
                   ELSE 'call saleshub.install()' END;
    RETURN NEXT;
    item := 'preload';
    ok := current_setting('saleshub.databases', true) IS NOT NULL;
    detail := CASE WHEN ok THEN 'the library is preloaded'
                   ELSE 'add saleshub to shared_preload_libraries: without it there is no worker and no response cache' END;
    RETURN NEXT;
    item := 'worker';
    ok := EXISTS (SELECT FROM pg_stat_activity
                   WHERE backend_type = 'saleshub worker' AND datname = current_database());
    detail := CASE WHEN ok THEN 'running'
                   ELSE 'not running: name this database in saleshub.databases, or call saleshub.run_maintenance() from cron' END;
    RETURN NEXT;
    item := 'outbox';
    ok := backlog = 0;
    detail := format('%s events older than 10 s wait to be published', backlog);
    RETURN NEXT;
    item := 'rollup';
    ok := lagging < 100000;
    detail := format('%s rollup deltas wait to be folded', lagging);
    RETURN NEXT;
    item := 'figures';
    ok := NOT EXISTS (SELECT FROM saleshub.rollup_check());
    detail := CASE WHEN ok THEN 'all rollups equal the records'
                   ELSE 'rollups differ from the records: SELECT * FROM saleshub.rollup_check(), then saleshub.rollup_rebuild()' END;
    RETURN NEXT;
    item := 'reminder';
    ok := late = 0;
    detail := format('%s reminders have been due for more than a minute', late);
    RETURN NEXT;
    item := 'attachment';
    ok := NOT EXISTS (SELECT FROM saleshub.attachment_faults(20));
    detail := CASE WHEN ok THEN '20 files at random are what was sent'
                   ELSE 'files are damaged: SELECT * FROM saleshub.attachment_faults()' END;
    RETURN NEXT;
    item := 'score';
    ok := NOT EXISTS (SELECT FROM saleshub.score_faults(100));
    detail := CASE WHEN ok THEN 'the latest 100 leads of each organisation have the scores that their rules and events give'
                   ELSE 'scores are not right: SELECT * FROM saleshub.score_faults(), then saleshub.score_rescore(org_id)' END;
    RETURN NEXT;
    item := 'probability';
    ok := NOT EXISTS (SELECT FROM saleshub.probability_faults(1000));
    detail := CASE WHEN ok THEN '1,000 chances of leads and deals each are what their models say'
                   ELSE 'chances differ from the models: SELECT * FROM saleshub.probability_faults()' END;
    RETURN NEXT;
    item := 'erasure';
    ok := coalesce((SELECT e.erased_in = e.identity FROM saleshub.event_state e), true);
    detail := CASE WHEN ok THEN 'who was erased is erased'
                   ELSE 'restored from a backup: load the younger rows of crm.erasure, then call saleshub.erasure_replay()' END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION saleshub.check() IS 'What a DBA should know: each item, whether it is well, and what to do';
