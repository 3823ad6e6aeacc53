-- Scoring of leads: rules, scores with their reasons, history.

CREATE FUNCTION saleshub.score_defaults() RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_defaults';
COMMENT ON FUNCTION saleshub.score_defaults() IS
    'What holds where an organisation said nothing else: {cap, history_delta, thresholds}';

CREATE FUNCTION saleshub.lead_score() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_score';
COMMENT ON FUNCTION saleshub.lead_score() IS
    'Trigger: score, grade and reasons of a lead by the rules of its organisation';

CREATE FUNCTION saleshub.lead_score_lock() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_score_lock';
COMMENT ON FUNCTION saleshub.lead_score_lock() IS
    'Trigger: keeps the scoring rules as they are until this transaction ends';

CREATE FUNCTION saleshub.lead_score_history() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_score_history';
COMMENT ON FUNCTION saleshub.lead_score_history() IS
    'Trigger: writes the scores that a statement changed into their history';

CREATE FUNCTION saleshub.score_predicate_errors(predicate jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_predicate_errors';
COMMENT ON FUNCTION saleshub.score_predicate_errors(jsonb) IS
    'All that is wrong with a predicate over leads, as [{pointer, code, detail}]; empty when nothing is';

CREATE FUNCTION saleshub.predicate_faults(at text, predicate jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT saleshub.faults_at(at, saleshub.score_predicate_errors(predicate))
$$;
COMMENT ON FUNCTION saleshub.predicate_faults(text, jsonb) IS
    'All that is wrong with a predicate that stands at this JSON pointer of a body';

CREATE FUNCTION saleshub.score_event_errors(predicate jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_event_errors';
COMMENT ON FUNCTION saleshub.score_event_errors(jsonb) IS
    'All that is wrong with a predicate over activities, as [{pointer, code, detail}]; empty when nothing is';

CREATE FUNCTION saleshub.event_faults(at text, predicate jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT saleshub.faults_at(at, saleshub.score_event_errors(predicate))
$$;
COMMENT ON FUNCTION saleshub.event_faults(text, jsonb) IS
    'All that is wrong with a predicate over activities that stands at this JSON pointer of a body';

CREATE FUNCTION saleshub.activity_score() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_activity_score';
COMMENT ON FUNCTION saleshub.activity_score() IS
    'Trigger: scores the leads that changed activities are about';

CREATE FUNCTION saleshub.activity_link_score() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_activity_link_score';
COMMENT ON FUNCTION saleshub.activity_link_score() IS
    'Trigger: scores the leads that activities were linked with or are no more';

CREATE FUNCTION saleshub.score_predicate_true(predicate jsonb, lead record) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_predicate_true';
COMMENT ON FUNCTION saleshub.score_predicate_true(jsonb, record) IS
    'Whether a predicate holds for a row of crm.lead, as a scoring rule would find';

CREATE FUNCTION saleshub.score_is_current(lead record) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_is_current';
COMMENT ON FUNCTION saleshub.score_is_current(record) IS
    'Whether a row of crm.lead has the score and reasons that the rules and its events give it, as of its score_as_of';

CREATE FUNCTION saleshub.score_lock_rules(org uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_lock_rules';
COMMENT ON FUNCTION saleshub.score_lock_rules(uuid) IS
    'Waits for transactions that write leads of the organisation and keeps new ones out until this one ends';

CREATE FUNCTION saleshub.score_keep_rules() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_keep_rules';
COMMENT ON FUNCTION saleshub.score_keep_rules() IS
    'Keeps the scoring rules as they are until this transaction ends. For whoever locks a lead before writing it: this lock comes first';

CREATE FUNCTION saleshub.score_rescore(org uuid) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_rescore';
COMMENT ON FUNCTION saleshub.score_rescore(uuid) IS
    'Scores the open leads of an organisation by its present rules; returns how many without events changed';

CREATE FUNCTION saleshub.score_moved(org uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_moved';
COMMENT ON FUNCTION saleshub.score_moved(uuid) IS
    'At commit, makes sessions read the scoring rules of an organisation anew';

CREATE FUNCTION saleshub.score_predicate_check(predicate jsonb, pointer text DEFAULT '/predicate',
                                               errors jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    errors := coalesce(errors, saleshub.score_predicate_errors(predicate));
    IF errors <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the condition is not valid', jsonb_build_object(
            'code', 'invalid_predicate', 'errors', saleshub.faults_at(pointer, errors)));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_predicate_check(jsonb, text, jsonb) IS
    'Raises 22023 with every fault of a predicate over leads, or with those given; pointer is where the predicate stands';

CREATE FUNCTION saleshub.score_history_json(id uuid, until timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'score', h.score, 'previous', h.previous, 'grade', h.grade, 'reasons', h.reasons,
                   'cause', h.cause, 'activity_id', h.activity_id, 'at', saleshub.utc(h.at))
                   ORDER BY h.score_history_id DESC), '[]')
          FROM (SELECT * FROM crm.score_history AS s
                 WHERE s.org_id = saleshub.org_id() AND s.lead_id = score_history_json.id
                   AND (until IS NULL OR s.at <= until)
                 ORDER BY s.score_history_id DESC LIMIT 100) AS h);
END
$$;
COMMENT ON FUNCTION saleshub.score_history_json(uuid, timestamptz) IS
    'The latest hundred scores of a lead that were remembered until an instant, newest first';

CREATE FUNCTION saleshub.score_shown() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF 'score' = ANY (saleshub.hidden_fields('lead')) THEN
        PERFORM saleshub.raise('42501', 'the score of leads is hidden from this role',
                               '{"code": "forbidden"}');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_shown() IS 'Raises 42501 when the member does not see scores';

CREATE FUNCTION crm.lead_score_get(id uuid, at timestamptz DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found jsonb;
    moves boolean;
BEGIN
    PERFORM saleshub.score_shown();
    SELECT l.engagement IS NOT NULL AND l.status <> 'converted', jsonb_build_object(
               'score', l.score, 'fit', l.fit, 'engagement', l.engagement, 'grade', l.grade,
               'reasons', l.score_reasons, 'as_of', saleshub.utc(l.score_as_of),
               'probability', l.probability, 'model_reasons', saleshub.lead_model_reasons(l.lead_id))
      INTO moves, found
      FROM crm.lead AS l
     WHERE l.org_id = saleshub.org_id() AND l.lead_id = lead_score_get.id
       AND l.deleted_at IS NULL;
    IF found IS NULL THEN
        PERFORM saleshub.record_missing('lead', id);
    END IF;
    IF at IS NOT NULL THEN
        found := found || '{"probability": null, "as_of": null}'
              || coalesce(crm.score_at(id, at), '{"score": null, "fit": null, "engagement": null, "grade": null, "reasons": []}');
    ELSIF moves THEN
        -- No write tells when this is out of date.
        PERFORM saleshub.uncached();
        found := found || saleshub.score_now(id, now())
              || jsonb_build_object('as_of', saleshub.utc(now()));
    END IF;
    RETURN found || jsonb_build_object('history', saleshub.score_history_json(id, at))
        || CASE WHEN 'probability' = ANY (saleshub.hidden_fields('lead'))
                THEN '{"probability": null}' ELSE '{}' END::jsonb;
END
$$;
COMMENT ON FUNCTION crm.lead_score_get(uuid, timestamptz) IS
    'The score of a lead now or at an instant, the reasons that add up to it, and its latest hundred changes, newest first. as_of is null when it does not move by itself';

CREATE FUNCTION saleshub.routes_score() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/leads/{id}/score', 'crm.lead_score_get(uuid, timestamptz)',
        'Explain the score of a lead', 'leads', cache => 'strict', args => '{
            "at": {"description": "The instant whose score is wanted; now unless given"}}',
        answer => '"Score"');
    PERFORM saleshub.route('GET /v1/leads/hottest', 'crm.leads_hottest(integer)',
        'List the leads with most engagement now', 'leads', args => '{
            "limit": {"minimum": 1, "maximum": 100, "description": "How many, 20 unless given"}}',
        answer => '{"as_of": "time", "data": ["Lead"]}');
    PERFORM saleshub.route('GET /v1/scoring/rules', 'crm.score_rules_get()',
        'List the scoring rules', 'scoring', cache => 'strict',
        answer => '"ScoreRules"');
    PERFORM saleshub.route('PUT /v1/scoring/rules', 'crm.score_rules_put(jsonb)',
        'Replace the scoring rules', 'scoring', role => 'manager', timeout_ms => 60000,
        args => jsonb_build_object('body', saleshub.score_rules_schema()),
        answer => '"ScoreRules"');
    PERFORM saleshub.route('GET /v1/scoring/versions', 'crm.score_versions_list(integer, text)',
        'List the versions of the scoring rules', 'scoring', cache => 'strict',
        args => saleshub.page_args(),
        answer => saleshub.page_shape('"ScoreVersion"'));
    PERFORM saleshub.route('GET /v1/scoring/versions/{version}', 'crm.score_version_get(integer)',
        'Read a version of the scoring rules', 'scoring', cache => 'strict',
        answer => '"ScoreRules"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_score() IS 'Registers the routes of scoring';
