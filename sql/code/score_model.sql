-- Chances of leads and deals by models: what triggers, reasons and readers of models call.

CREATE FUNCTION saleshub.probability() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_probability';
COMMENT ON FUNCTION saleshub.probability() IS
    'Trigger: the chance of a lead or deal, by the model and the one that counts';

CREATE FUNCTION saleshub.score_model_changed() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_model_changed';
COMMENT ON FUNCTION saleshub.score_model_changed() IS
    'Trigger: whoever keeps the models of an organisation learns at commit that they changed';

CREATE FUNCTION saleshub.probability_is_current(entity text, subject record) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sh_probability_is_current';
COMMENT ON FUNCTION saleshub.probability_is_current(text, record) IS
    'Whether a row of crm.lead or crm.deal has the chance that its model gives it, at the age it was told of';

CREATE FUNCTION saleshub.probability_reasons(entity text, subject record) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sh_probability_reasons';
COMMENT ON FUNCTION saleshub.probability_reasons(text, record) IS
    'Why the model gives a row of crm.lead or crm.deal its chance: {probability, log_odds, intercept, version, reasons: [{feature, value, log_odds, odds_ratio, delta_p}]}; intercept and reasons sum to the log odds';

CREATE FUNCTION saleshub.model_levels(model jsonb, subject record) RETURNS integer[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_model_levels_of';
COMMENT ON FUNCTION saleshub.model_levels(jsonb, record) IS
    'Which level of each feature of a model a row has, counted from 0: missing; columns are found by name';

CREATE FUNCTION saleshub.probability_touch(noun text, org uuid, ids uuid[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    n bigint;
BEGIN
    -- Setting a column to itself is enough: the trigger puts in what belongs there.
    IF noun = 'lead' THEN
        UPDATE crm.lead AS l SET probability_age = l.probability_age
         WHERE l.org_id = org AND l.lead_id = ANY (ids)
           AND l.status NOT IN ('converted', 'unqualified')
           AND NOT saleshub.probability_is_current('lead', l);
    ELSE
        UPDATE crm.deal AS d SET probability_age = d.probability_age
         WHERE d.org_id = org AND d.deal_id = ANY (ids) AND d.status = 'open'
           AND NOT saleshub.probability_is_current('deal', d);
    END IF;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;
ALTER FUNCTION saleshub.probability_touch(text, uuid, uuid[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.probability_touch(text, uuid, uuid[]) IS
    'Tells the chance of these leads or deals anew where it is not what the model says; returns how many changed';

CREATE FUNCTION saleshub.probability_counted(noun text, org uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM crm.score_model m
         WHERE m.org_id = org AND m.entity = noun AND m.state = 'champion'
           AND m.model @? '$.features[*] ? (@.name == "activities")');
END
$$;
ALTER FUNCTION saleshub.probability_counted(text, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.probability_counted(text, uuid) IS
    'Whether the champion of the entity counts activities';

CREATE FUNCTION saleshub.probability_follow() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT n.org_id, n.entity, array_agg(DISTINCT n.entity_id ORDER BY n.entity_id) AS ids
               FROM changed n WHERE n.entity IN ('lead', 'deal') GROUP BY 1, 2
    LOOP
        IF saleshub.probability_counted(c.entity, c.org_id) THEN
            PERFORM saleshub.probability_touch(c.entity, c.org_id, c.ids);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.probability_follow() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.probability_follow() IS
    'Trigger: activities that are linked with a lead or deal, or no more, count in its chance';

CREATE FUNCTION saleshub.probability_follow_bin() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT l.entity, array_agg(l.entity_id ORDER BY l.entity_id) AS ids
               FROM crm.activity_link l
              WHERE l.org_id = NEW.org_id AND l.activity_id = NEW.activity_id
                AND l.entity IN ('lead', 'deal')
              GROUP BY 1
    LOOP
        IF saleshub.probability_counted(c.entity, NEW.org_id) THEN
            PERFORM saleshub.probability_touch(c.entity, NEW.org_id, c.ids);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.probability_follow_bin() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.probability_follow_bin() IS
    'Trigger: an activity in the bin does not count';

CREATE FUNCTION saleshub.probability_faults(
    most integer DEFAULT NULL, OUT org_id uuid, OUT entity text, OUT entity_id uuid)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- Not where the worker is still telling them anew.
    RETURN QUERY
    SELECT x.org_id, 'lead', x.lead_id
      FROM (SELECT l.* FROM crm.lead l
             WHERE l.probability_version IS NOT NULL AND l.deleted_at IS NULL
               AND NOT EXISTS (SELECT FROM crm.score_upkeep s
                                WHERE s.org_id = l.org_id AND s.entity = 'lead'
                                  AND s.rescore_after IS NOT NULL)
             LIMIT most) x
     WHERE NOT saleshub.probability_is_current('lead', x)
    UNION ALL
    SELECT x.org_id, 'deal', x.deal_id
      FROM (SELECT d.* FROM crm.deal d
             WHERE d.probability_version IS NOT NULL AND d.deleted_at IS NULL
               AND NOT EXISTS (SELECT FROM crm.score_upkeep s
                                WHERE s.org_id = d.org_id AND s.entity = 'deal'
                                  AND s.rescore_after IS NOT NULL)
             LIMIT most) x
     WHERE NOT saleshub.probability_is_current('deal', x);
END
$$;
COMMENT ON FUNCTION saleshub.probability_faults(integer, OUT uuid, OUT text, OUT uuid) IS
    'Leads and deals whose chance is not what their model says, among so many of either (NULL: all)';

CREATE FUNCTION saleshub.reasons_told(noun text, told jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
    SELECT CASE WHEN told IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
               'feature', 'intercept', 'value', NULL, 'log_odds', told -> 'intercept',
               'odds_ratio', exp((told ->> 'intercept')::float8), 'delta_p', NULL)) END
           || coalesce((
               SELECT jsonb_agg(CASE WHEN regexp_replace(r ->> 'feature', '_given$', '')
                                          = ANY (saleshub.hidden_fields(noun))
                                     THEN r || '{"value": null}' ELSE r END
                                ORDER BY abs((r ->> 'log_odds')::float8) DESC, r ->> 'feature')
                 FROM jsonb_array_elements(told -> 'reasons') AS r), '[]')
$$;
COMMENT ON FUNCTION saleshub.reasons_told(text, jsonb) IS
    'Reasons for the reader, the intercept first, then what weighs most; values of fields that are hidden from the reader are not told';

CREATE FUNCTION saleshub.lead_model_reasons(lead_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    told jsonb;
BEGIN
    IF 'probability' = ANY (saleshub.hidden_fields('lead')) THEN
        RETURN '[]';
    END IF;
    SELECT saleshub.probability_reasons('lead', l) INTO told FROM crm.lead AS l
     WHERE l.org_id = saleshub.org_id() AND l.lead_id = lead_model_reasons.lead_id
       AND l.probability_model IS NOT NULL;
    RETURN saleshub.reasons_told('lead', told);
END
$$;
COMMENT ON FUNCTION saleshub.lead_model_reasons(uuid) IS
    'Why the model gives a lead its chance: [{feature, value, log_odds, odds_ratio, delta_p}], the intercept first; log_odds sum to the logit of probability_model. delta_p is what the chance would lose without the reason. Empty without a model';

CREATE FUNCTION crm.deal_probability_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    answer jsonb;
BEGIN
    IF 'probability' = ANY (saleshub.hidden_fields('deal')) THEN
        PERFORM saleshub.raise('42501', 'the probability of deals is hidden from this role',
                               '{"code": "forbidden"}');
    END IF;
    SELECT jsonb_build_object(
               'probability', d.probability, 'probability_manual', d.probability_manual,
               'probability_model', d.probability_model, 'probability_stage', d.probability_stage,
               'probability_version', d.probability_version,
               'model_reasons', saleshub.reasons_told('deal', CASE
                   WHEN d.probability_model IS NOT NULL
                   THEN saleshub.probability_reasons('deal', d) END))
      INTO answer
      FROM crm.deal AS d
     WHERE d.org_id = saleshub.org_id() AND d.deal_id = deal_probability_get.id
       AND d.deleted_at IS NULL;
    IF answer IS NULL THEN
        PERFORM saleshub.record_missing('deal', id);
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION crm.deal_probability_get(uuid) IS
    'The chance of a deal in percent, by hand, by the model and by its stage, and the reasons of the model, whose log odds sum to the logit of it';
