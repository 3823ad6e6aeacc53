-- Scoring of leads: rules, scores with their reasons, history.

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
    SELECT coalesce(jsonb_agg(e || jsonb_build_object('pointer', at || (e ->> 'pointer'))), '[]')
      FROM jsonb_array_elements(saleshub.score_predicate_errors(predicate)) AS e
$$;
COMMENT ON FUNCTION saleshub.predicate_faults(text, jsonb) IS
    'All that is wrong with a predicate that stands at this JSON pointer of a body';

CREATE FUNCTION saleshub.score_predicate_true(predicate jsonb, lead record) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_score_predicate_true';
COMMENT ON FUNCTION saleshub.score_predicate_true(jsonb, record) IS
    'Whether a predicate holds for a row of crm.lead, as a scoring rule would find';

CREATE FUNCTION saleshub.score_is_current(lead record) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_is_current';
COMMENT ON FUNCTION saleshub.score_is_current(record) IS
    'Whether a row of crm.lead has the score and reasons that the rules give it now';

CREATE FUNCTION saleshub.score_lock_rules(org uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_lock_rules';
COMMENT ON FUNCTION saleshub.score_lock_rules(uuid) IS
    'Waits for transactions that write leads of the organisation and keeps new ones out until this one ends';

CREATE FUNCTION saleshub.score_rescore(org uuid) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_rescore';
COMMENT ON FUNCTION saleshub.score_rescore(uuid) IS
    'Scores the open leads of an organisation by its present rules; returns how many changed';

CREATE FUNCTION saleshub.score_predicate_check(predicate jsonb, pointer text DEFAULT '/predicate')
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    errors jsonb := saleshub.score_predicate_errors(predicate);
BEGIN
    IF errors <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the condition is not valid', jsonb_build_object(
            'code', 'invalid_predicate',
            'errors', (SELECT jsonb_agg(e || jsonb_build_object(
                                  'pointer', score_predicate_check.pointer || (e ->> 'pointer')))
                         FROM jsonb_array_elements(errors) AS e)));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_predicate_check(jsonb, text) IS
    'Raises 22023 with every fault of a predicate; pointer is where the predicate stands';

CREATE FUNCTION saleshub.score_rule_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.member_role() IN ('rep', 'readonly') THEN
        PERFORM saleshub.raise('42501', 'only admins and managers change scoring rules');
    END IF;
    IF TG_OP = 'DELETE' THEN
        PERFORM saleshub.score_lock_rules(OLD.org_id);
        RETURN OLD;
    END IF;
    PERFORM saleshub.score_lock_rules(NEW.org_id);
    PERFORM saleshub.score_predicate_check(NEW.predicate);
    RETURN NEW;
END
$$;
ALTER FUNCTION saleshub.score_rule_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_rule_check() IS 'Trigger: checks a scoring rule and who changes it';

CREATE FUNCTION saleshub.score_rule_changed() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.score_rescore(org_id) FROM (SELECT DISTINCT org_id FROM changed) AS o;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.score_rule_changed() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_rule_changed() IS
    'Trigger: scores the open leads anew in the commit that changes the rules';

CREATE FUNCTION crm.lead_score_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found jsonb;
BEGIN
    IF 'score' = ANY (saleshub.hidden_fields('lead')) THEN
        PERFORM saleshub.raise('42501', 'the score of leads is hidden from this role',
                               '{"code": "forbidden"}');
    END IF;
    found := (
        SELECT jsonb_build_object(
                   'score', l.score,
                   'grade', l.grade,
                   'probability', l.probability,
                   'reasons', l.score_reasons,
                   'model_reasons', '[]'::jsonb,
                   'history', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'score', h.score, 'previous', h.previous, 'grade', h.grade,
                                  'reasons', h.reasons, 'cause', h.cause, 'at', saleshub.utc(h.at))
                                  ORDER BY h.score_history_id DESC)
                         FROM (SELECT * FROM crm.score_history AS s
                                WHERE s.org_id = l.org_id AND s.lead_id = l.lead_id
                                ORDER BY s.score_history_id DESC LIMIT 100) AS h), '[]'))
          FROM crm.lead AS l
         WHERE l.org_id = saleshub.org_id() AND l.lead_id = lead_score_get.id
           AND l.deleted_at IS NULL);
    IF found IS NULL THEN
        PERFORM saleshub.record_missing('lead', id);
    END IF;
    RETURN found || CASE WHEN 'probability' = ANY (saleshub.hidden_fields('lead'))
                         THEN '{"probability": null}' ELSE '{}' END::jsonb;
END
$$;
COMMENT ON FUNCTION crm.lead_score_get(uuid) IS
    'The score of a lead, the reasons that add up to it, and its latest hundred changes, newest first';

CREATE FUNCTION crm.score_rules_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('rules', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'id', r.score_rule_id, 'label', r.label, 'predicate', r.predicate,
                   'points', r.points, 'active', r.active)
                   ORDER BY r.position, r.score_rule_id)
          FROM crm.score_rule AS r
         WHERE r.org_id = saleshub.org_id()), '[]'));
END
$$;
COMMENT ON FUNCTION crm.score_rules_get() IS 'The scoring rules in their order';

CREATE FUNCTION saleshub.score_rules_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false, "required": ["rules"],
    "properties": {"rules": {"type": "array", "maxItems": 200, "items": {
        "type": "object", "additionalProperties": false,
        "required": ["label", "predicate", "points"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "label": {"type": "string", "minLength": 1, "maxLength": 200},
            "predicate": {"type": "object"},
            "points": {"type": "integer", "minimum": -100, "maximum": 100},
            "active": {"type": "boolean"}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.score_rules_schema() IS 'JSON Schema of the body of crm.score_rules_put';

CREATE FUNCTION crm.score_rules_put(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept uuid[] := saleshub.set_check('score_rule', 'rules', saleshub.score_rules_schema(), body);
BEGIN
    -- One statement, so that the leads are scored anew once.
    WITH gone AS (
        DELETE FROM crm.score_rule AS r
         WHERE r.org_id = saleshub.org_id() AND r.score_rule_id <> ALL (kept))
    INSERT INTO crm.score_rule AS r (org_id, score_rule_id, label, predicate, points, position, active)
    SELECT saleshub.org_id(), coalesce((e ->> 'id')::uuid, crm.uuid_v7()), btrim(e ->> 'label'),
           e -> 'predicate', (e ->> 'points')::integer, i, coalesce((e ->> 'active')::boolean, true)
      FROM jsonb_array_elements(body -> 'rules') WITH ORDINALITY AS x (e, i)
    ON CONFLICT (org_id, score_rule_id) DO UPDATE
       SET label = excluded.label, predicate = excluded.predicate, points = excluded.points,
           position = excluded.position, active = excluded.active;
    RETURN crm.score_rules_get();
END
$$;
COMMENT ON FUNCTION crm.score_rules_put(jsonb) IS
    'Replaces the scoring rules by those of body.rules: known ids are changed, others added, missing ones removed. Open leads are scored anew in the same commit';

CREATE FUNCTION saleshub.defaults_score(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.score_rule (org_id, label, predicate, points, position)
    SELECT defaults_score.org, r.label, r.predicate, r.points, r.position
      FROM (VALUES
        (1, 'Business e-mail address', 15,
         '{"field": "email", "op": "matches_domain", "value": "business"}'::jsonb),
        (2, 'Phone number given', 10, '{"field": "phone", "op": "not_null"}'),
        (3, 'Decision maker', 20,
         '{"or": [{"field": "title", "op": "in", "value": ["ceo", "cto", "cfo", "coo", "cio", "cmo"]},
                  {"field": "title", "op": "starts_with", "value": "chief"},
                  {"field": "title", "op": "starts_with", "value": "vp"},
                  {"field": "title", "op": "contains", "value": "director"},
                  {"field": "title", "op": "contains", "value": "head of"},
                  {"field": "title", "op": "contains", "value": "founder"},
                  {"field": "title", "op": "contains", "value": "owner"},
                  {"field": "title", "op": "contains", "value": "president"}]}'),
        (4, '50 to 1,000 employees', 20,
         '{"and": [{"field": "employees", "op": ">=", "value": 50},
                   {"field": "employees", "op": "<=", "value": 1000}]}'),
        (5, 'More than 1,000 employees', 15, '{"field": "employees", "op": ">", "value": 1000}'),
        (6, 'Came by referral, partner or event', 15,
         '{"field": "source", "op": "in", "value": ["referral", "partner", "event", "webinar"]}'),
        (7, 'Works in a core industry', 10,
         '{"field": "industry", "op": "in",
           "value": ["software", "technology", "finance", "manufacturing", "healthcare"]}'),
        (8, 'In our home market', 10, jsonb_build_object('field', 'country', 'op', '=', 'value',
            (SELECT o.country::text FROM crm.org AS o WHERE o.org_id = defaults_score.org))),
        (9, 'Website known', 5, '{"field": "website", "op": "not_null"}'),
        (10, 'Does not want e-mail', -10, '{"field": "consent_email", "op": "=", "value": false}')
      ) AS r (position, label, points, predicate);
END
$$;
COMMENT ON FUNCTION saleshub.defaults_score(uuid) IS 'Scoring rules that a new organisation starts with';

CREATE FUNCTION saleshub.routes_score() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/leads/{id}/score', 'crm.lead_score_get(uuid)',
        'Explain the score of a lead', 'leads', cache => 'strict');
    PERFORM saleshub.route('GET /v1/scoring/rules', 'crm.score_rules_get()',
        'List the scoring rules', 'scoring', cache => 'strict');
    PERFORM saleshub.route('PUT /v1/scoring/rules', 'crm.score_rules_put(jsonb)',
        'Replace the scoring rules', 'scoring', role => 'manager', timeout_ms => 60000,
        args => jsonb_build_object('body', saleshub.score_rules_schema()));
END
$$;
COMMENT ON FUNCTION saleshub.routes_score() IS 'Registers the routes of scoring';
