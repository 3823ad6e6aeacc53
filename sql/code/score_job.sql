-- Trainings that workers do, and what they do for models between them.

CREATE FUNCTION saleshub.score_phase(step integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- A shared lock that nobody waits for: others see it at once, and it ends with the transaction.
    PERFORM pg_advisory_xact_lock_shared(hashtext('saleshub.score_phase'), step);
END
$$;
COMMENT ON FUNCTION saleshub.score_phase(integer) IS
    'Shows in saleshub.score_train_progress that this session is at a step of training';

CREATE FUNCTION saleshub.score_trainings_running(
    OUT pid integer, OUT entity text, OUT score_training_id uuid, OUT state text,
    OUT phase text, OUT phases_done integer, OUT phases_total integer,
    OUT started_at timestamptz, OUT seconds double precision) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH step AS (
        SELECT l.pid, max(l.objid::bigint)::integer AS n
          FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.objsubid = 2
           AND l.classid::bigint = hashtext('saleshub.score_phase')::bigint & 4294967295
           AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
         GROUP BY l.pid
    )
    SELECT coalesce(t.pid, s.pid), t.entity, t.score_training_id, coalesce(t.state, 'running'),
           CASE WHEN t.state = 'queued' THEN 'waiting' ELSE coalesce(
               (ARRAY['reading what was known', 'training', 'testing on later records',
                      'publishing'])[s.n], 'starting') END,
           coalesce(s.n - 1, 0), 4, t.started_at,
           extract(epoch FROM clock_timestamp() - t.started_at)::float8
      FROM (SELECT * FROM crm.score_training r WHERE r.state IN ('queued', 'running')) t
      FULL JOIN step s ON s.pid = t.pid
     -- sessions without a job: only for those who see every organisation
     WHERE t.score_training_id IS NOT NULL
        OR pg_has_role(current_user, 'saleshub_owner', 'MEMBER') OR s.pid = pg_backend_pid();
END
$$;
COMMENT ON FUNCTION saleshub.score_trainings_running() IS
    'What the view saleshub.score_train_progress shows';

CREATE FUNCTION saleshub.score_training_json(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
                   'id', t.score_training_id, 'entity', t.entity, 'state', t.state,
                   'phase', p.phase, 'progress', CASE t.state WHEN 'queued' THEN 0
                       WHEN 'running' THEN coalesce(p.phases_done, 0) / 4.0 ELSE 1 END,
                   'cancel', t.cancel, 'fault', t.fault, 'created_at', saleshub.utc(t.created_at),
                   'created_by', t.created_by, 'started_at', saleshub.utc(t.started_at),
                   'finished_at', saleshub.utc(t.finished_at))
          FROM crm.score_training t
          LEFT JOIN saleshub.score_trainings_running() p ON p.score_training_id = t.score_training_id
         WHERE t.org_id = saleshub.org_id() AND t.score_training_id = id);
END
$$;
COMMENT ON FUNCTION saleshub.score_training_json(uuid) IS 'A training as the API shows it; or NULL';

CREATE FUNCTION saleshub.score_training_add(noun text, horizon interval) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid;
BEGIN
    PERFORM saleshub.score_may_train();
    INSERT INTO crm.score_training (entity, horizon, created_by)
    VALUES (noun, score_training_add.horizon, saleshub.member_id())
    ON CONFLICT DO NOTHING RETURNING score_training_id INTO id;
    IF id IS NULL THEN
        PERFORM saleshub.raise('SH409', 'a training of this kind is under way',
                               '{"code": "training_under_way"}');
    END IF;
    RETURN id;
END
$$;
ALTER FUNCTION saleshub.score_training_add(text, interval) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_training_add(text, interval) IS
    'Notes that a model is to be trained; for admins and managers';

CREATE FUNCTION crm.score_training_create(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := coalesce(body ->> 'entity', 'lead');
    span interval := make_interval(days => (body ->> 'horizon_days')::integer);
    id uuid;
BEGIN
    PERFORM saleshub.score_may_train();
    IF noun NOT IN ('lead', 'deal') THEN
        PERFORM saleshub.raise('22023', 'models are of leads and of deals', jsonb_build_object(
            'errors', saleshub.fault('/entity', 'not_allowed', 'must be lead or deal')));
    ELSIF span <= interval '0' OR span > interval '3650 days' THEN
        PERFORM saleshub.raise('22023', 'the horizon is not valid', jsonb_build_object(
            'errors', saleshub.fault('/horizon_days', 'range', 'must be from 1 to 3650')));
    END IF;
    id := saleshub.score_training_add(noun, span);
    IF saleshub.import_workers_there() THEN
        PERFORM saleshub.import_wake();
    ELSE
        PERFORM saleshub.score_training_do(id, noun, span);
    END IF;
    PERFORM saleshub.reply(202, location => '/v1/scoring/train/' || id);
    RETURN saleshub.score_training_json(id);
END
$$;
COMMENT ON FUNCTION crm.score_training_create(jsonb) IS
    'Has a model trained by a worker (body.entity lead or deal, body.horizon_days), as crm.score_train would; where there are no workers it is done at once';

CREATE FUNCTION saleshub.score_training_do(id uuid, noun text, horizon interval) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM crm.score_train(noun, horizon);
    PERFORM saleshub.score_training_end(id);
END
$$;
COMMENT ON FUNCTION saleshub.score_training_do(uuid, text, interval) IS
    'Does a training that was asked for in this session';

CREATE FUNCTION saleshub.score_training_end(id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    UPDATE crm.score_training t
       SET state = 'done', started_at = coalesce(t.started_at, t.created_at),
           finished_at = clock_timestamp()
     WHERE t.org_id = saleshub.org_id() AND t.score_training_id = score_training_end.id
       AND t.state = 'queued' AND t.created_by IS NOT DISTINCT FROM saleshub.member_id();
END
$$;
ALTER FUNCTION saleshub.score_training_end(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_training_end(uuid) IS
    'Notes that a training of the caller is done';

CREATE FUNCTION crm.score_training_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.score_training_json(id);
END
$$;
COMMENT ON FUNCTION crm.score_training_get(uuid) IS
    'A training: state queued, running, done, failed or cancelled, its phase and progress';

CREATE FUNCTION crm.score_training_cancel(id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found boolean;
BEGIN
    PERFORM saleshub.score_may_train();
    UPDATE crm.score_training t
       SET cancel = true, state = CASE t.state WHEN 'queued' THEN 'cancelled' ELSE t.state END,
           finished_at = CASE t.state WHEN 'queued' THEN clock_timestamp() END
     WHERE t.org_id = saleshub.org_id() AND t.score_training_id = score_training_cancel.id
       AND t.state IN ('queued', 'running');
    PERFORM saleshub.import_wake();
    RETURN saleshub.score_training_json(id);
END
$$;
ALTER FUNCTION crm.score_training_cancel(uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.score_training_cancel(uuid) IS
    'Stops a training that waits or is under way; one that is over stays what it is. For admins and managers';

CREATE FUNCTION crm.score_model_set(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_may_train();
    INSERT INTO crm.score_upkeep (entity, automatic)
    VALUES (coalesce(body ->> 'entity', 'lead'), coalesce((body ->> 'automatic')::boolean, true))
    ON CONFLICT (org_id, entity) DO UPDATE SET automatic = excluded.automatic;
    RETURN jsonb_build_object('entity', coalesce(body ->> 'entity', 'lead'),
                              'automatic', coalesce((body ->> 'automatic')::boolean, true));
END
$$;
ALTER FUNCTION crm.score_model_set(jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.score_model_set(jsonb) IS
    'Whether the worker recalibrates and trains by itself: {entity, automatic}; for admins and managers';

-- What the worker does, one transaction a turn

CREATE FUNCTION saleshub.score_waiting() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM pg_cancel_backend(t.pid) FROM crm.score_training t
      JOIN pg_stat_activity a ON a.pid = t.pid AND a.backend_type = 'saleshub scoring'
     WHERE t.state = 'running' AND t.cancel;
    RETURN (SELECT count(*) FROM crm.score_training t WHERE t.state IN ('queued', 'running'))
         + (SELECT count(*) FROM crm.score_upkeep s
             WHERE s.rescore_after IS NOT NULL OR s.looked_at < now() - interval '1 hour');
END
$$;
COMMENT ON FUNCTION saleshub.score_waiting() IS
    'How much there is to do for models; stops trainings that are to be cancelled';

CREATE FUNCTION saleshub.score_training_turn() RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    t record;
    m record;
    ended text := 'done';
    problem jsonb;
BEGIN
    SELECT * INTO t FROM crm.score_training r
     WHERE r.state IN ('queued', 'running')
     ORDER BY r.state = 'queued', r.created_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF t.score_training_id IS NULL THEN
        RETURN false;
    ELSIF t.pid IS DISTINCT FROM pg_backend_pid() THEN
        -- Others see who does it before it begins; what another worker died over is done again.
        UPDATE crm.score_training r
           SET state = 'running', pid = pg_backend_pid(), started_at = clock_timestamp()
         WHERE r.org_id = t.org_id AND r.score_training_id = t.score_training_id;
        RETURN true;
    END IF;
    SELECT x.member_id, x.role INTO m FROM crm.member x
     WHERE x.org_id = t.org_id AND x.member_id = t.created_by AND x.active AND x.deleted_at IS NULL;
    BEGIN
        IF t.cancel THEN
            RAISE query_canceled USING MESSAGE = 'cancelled before it began';
        ELSIF t.created_by IS NOT NULL AND m.member_id IS NULL THEN
            RAISE insufficient_privilege USING MESSAGE = 'the member is no more';
        END IF;
        PERFORM set_config('saleshub.org_id', t.org_id::text, true),
                set_config('saleshub.member_id', coalesce(m.member_id::text, ''), true),
                set_config('saleshub.member_role', coalesce(m.role, ''), true),
                set_config('role', 'saleshub_user', true);
        PERFORM crm.score_train(t.entity, t.horizon);
        PERFORM set_config('role', 'none', true);
    EXCEPTION
        WHEN query_canceled THEN
            ended := 'cancelled';
        WHEN OTHERS THEN
            ended := 'failed';
            problem := jsonb_build_object('code', SQLSTATE, 'detail', SQLERRM);
    END;
    UPDATE crm.score_training r
       SET state = ended, fault = problem, finished_at = clock_timestamp()
     WHERE r.org_id = t.org_id AND r.score_training_id = t.score_training_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION saleshub.score_training_turn() IS
    'For the worker: the next step of a training; false when none waits';

CREATE FUNCTION saleshub.score_rescore_turn(batch integer DEFAULT 1000) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    s record;
    ids uuid[];
BEGIN
    SELECT * INTO s FROM crm.score_upkeep r WHERE r.rescore_after IS NOT NULL
     LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF s.org_id IS NULL THEN
        RETURN false;
    END IF;
    IF s.entity = 'lead' THEN
        ids := ARRAY(SELECT l.lead_id FROM crm.lead l
                      WHERE l.org_id = s.org_id AND l.lead_id > s.rescore_after
                      ORDER BY l.lead_id LIMIT batch);
    ELSE
        ids := ARRAY(SELECT d.deal_id FROM crm.deal d
                      WHERE d.org_id = s.org_id AND d.deal_id > s.rescore_after
                      ORDER BY d.deal_id LIMIT batch);
    END IF;
    PERFORM set_config('saleshub.org_id', s.org_id::text, true);
    PERFORM saleshub.probability_touch(s.entity, s.org_id, ids);
    UPDATE crm.score_upkeep r SET rescore_after = ids[cardinality(ids)]
     WHERE r.org_id = s.org_id AND r.entity = s.entity;
    RETURN true;
END
$$;
COMMENT ON FUNCTION saleshub.score_rescore_turn(integer) IS
    'For the worker: tells the chance of so many records by the present model; false when all have it';

CREATE FUNCTION saleshub.score_age(s jsonb, until_ timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := s ->> 'org_id';
    since timestamptz := s ->> 'aged_until';
BEGIN
    IF s ->> 'entity' = 'lead' THEN
        UPDATE crm.lead l SET probability_age = l.probability_age
          FROM (VALUES (1), (7), (30)) AS a (age)
         WHERE l.org_id = org AND l.status NOT IN ('converted', 'unqualified')
           AND l.created_at > since - make_interval(days => a.age)
           AND l.created_at <= until_ - make_interval(days => a.age)
           AND l.probability_age < a.age;
    ELSE
        UPDATE crm.deal d SET probability_age = a.age
          FROM (VALUES (7), (30)) AS a (age), crm.stage_history h
         WHERE h.org_id = org AND h.left_at IS NULL AND h.status = 'open'
           AND h.entered_at > since - make_interval(days => a.age)
           AND h.entered_at <= until_ - make_interval(days => a.age)
           AND d.org_id = org AND d.deal_id = h.deal_id AND d.status = 'open'
           AND d.probability_age < a.age;
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_age(jsonb, timestamptz) IS
    'Tells the chance anew of records that reached the next age since crm.score_upkeep.aged_until';

CREATE FUNCTION saleshub.score_is_due(org uuid, noun text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    m record;
    resolved bigint;
BEGIN
    SELECT c.trained_at, c.cutoff, (c.card ->> 'n')::bigint AS n,
           make_interval(secs => (c.card ->> 'horizon_days')::float8 * 86400) AS horizon INTO m
      FROM crm.score_model c
     WHERE c.org_id = org AND c.entity = noun AND c.state <> 'retired'
     ORDER BY c.version DESC LIMIT 1;
    IF m.trained_at IS NULL OR m.trained_at > now() - interval '1 day' THEN
        RETURN false;
    ELSIF m.trained_at < now() - interval '30 days' THEN
        RETURN true;
    END IF;
    IF noun = 'lead' THEN
        SELECT count(*) INTO resolved FROM crm.lead l
         WHERE l.org_id = org AND l.deleted_at IS NULL
           AND l.created_at > m.cutoff AND l.created_at <= now() - m.horizon;
    ELSE
        SELECT count(*) INTO resolved FROM crm.deal d
         WHERE d.org_id = org AND d.deleted_at IS NULL
           AND d.opened_at > m.cutoff AND d.opened_at <= now() - m.horizon;
    END IF;
    RETURN resolved > greatest(m.n * 0.2, 60);
END
$$;
COMMENT ON FUNCTION saleshub.score_is_due(uuid, text) IS
    'Whether a model is to be trained again: after 30 days, or when the records whose outcome is known grew by a fifth; never twice a day';

CREATE FUNCTION saleshub.score_look_turn() RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    s record;
BEGIN
    SELECT * INTO s FROM crm.score_upkeep r WHERE r.looked_at < now() - interval '1 hour'
     ORDER BY r.looked_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF s.org_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM set_config('saleshub.org_id', s.org_id::text, true),
            set_config('saleshub.member_id', '', true), set_config('saleshub.member_role', '', true);
    PERFORM saleshub.score_age(to_jsonb(s), now());
    UPDATE crm.score_upkeep r SET looked_at = now(), aged_until = now()
     WHERE r.org_id = s.org_id AND r.entity = s.entity;
    IF s.automatic THEN
        IF saleshub.score_is_due(s.org_id, s.entity) THEN
            INSERT INTO crm.score_training (org_id, entity) VALUES (s.org_id, s.entity)
            ON CONFLICT DO NOTHING;
        ELSE
            PERFORM saleshub.score_recalibrate(s.entity);
        END IF;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION saleshub.score_look_turn() IS
    'For the worker, hourly for each model: ages, recalibration, and whether to train again';

CREATE FUNCTION saleshub.score_turn() RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.score_training_turn() OR saleshub.score_rescore_turn()
           OR saleshub.score_look_turn();
END
$$;
COMMENT ON FUNCTION saleshub.score_turn() IS
    'For the worker: one piece of what there is to do for models; false when there is nothing';

CREATE FUNCTION saleshub.routes_score_model() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    entity CONSTANT jsonb := '{"type": "string", "enum": ["lead", "deal"]}';
BEGIN
    PERFORM saleshub.route('GET /v1/scoring/model', 'crm.score_model_card(text)',
        'The model that tells chances, and how good it is', 'scoring', cache => 'strict',
        args => jsonb_build_object('entity', entity),
        answer => '"ModelCards"');
    PERFORM saleshub.route('POST /v1/scoring/train', 'crm.score_training_create(jsonb)',
        'Train a model', 'scoring', success => 202, timeout_ms => 300000, role => 'manager',
        args => jsonb_build_object('body', jsonb_build_object(
            'type', 'object', 'additionalProperties', false, 'properties', jsonb_build_object(
                'entity', entity, 'horizon_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'::jsonb))),
        answer => '"Training"');
    PERFORM saleshub.route('GET /v1/scoring/train/{id}', 'crm.score_training_get(uuid)',
        'How far a training has come', 'scoring',
        answer => '"Training"');
    PERFORM saleshub.route('POST /v1/scoring/train/{id}/cancel', 'crm.score_training_cancel(uuid)',
        'Stop a training', 'scoring', role => 'manager',
        answer => '"Training"');
    PERFORM saleshub.route('PUT /v1/scoring/settings', 'crm.score_model_set(jsonb)',
        'Whether models are looked after automatically', 'scoring', role => 'manager',
        args => jsonb_build_object('body', jsonb_build_object(
            'type', 'object', 'additionalProperties', false, 'required', '["automatic"]'::jsonb,
            'properties', jsonb_build_object('entity', entity, 'automatic', '{"type": "boolean"}'::jsonb))),
        answer => '{"entity": "lead|deal", "automatic": "boolean"}');
    PERFORM saleshub.route('GET /v1/deals/{id}/probability', 'crm.deal_probability_get(uuid)',
        'Explain the chance of a deal', 'deals', cache => 'strict',
        answer => '"Chance"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_score_model() IS 'Registers the routes of models';
