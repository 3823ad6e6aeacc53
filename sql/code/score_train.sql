-- Training: snapshots, a model, its card, and whether it replaces the champion.

CREATE FUNCTION saleshub.score_may_train() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.org_id() IS NULL THEN
        PERFORM saleshub.raise('22023', 'no organisation is set');
    ELSIF saleshub.member_role() IN ('rep', 'readonly') THEN
        PERFORM saleshub.raise('42501', 'only admins and managers train models');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.score_may_train() IS
    'Raises 42501 unless the caller may train models of the organisation';

CREATE FUNCTION saleshub.score_card(p double precision[], won boolean[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH told AS (
        SELECT least(greatest(t.p, 1e-15), 1 - 1e-15) AS p, t.won::integer AS won
          FROM unnest(p, won) AS t (p, won)
    ), placed AS (
        -- the middle of the ranks of equal ones
        SELECT t.p, t.won,
               rank() OVER (ORDER BY t.p) + (count(*) OVER (PARTITION BY t.p) - 1) / 2.0 AS place,
               ntile(10) OVER (ORDER BY t.p) AS bin,
               row_number() OVER (ORDER BY t.p DESC) <= ceil(count(*) OVER () / 10.0) AS best
          FROM told t
    ), bins AS (
        SELECT b.bin, count(*) AS n, avg(b.p) AS predicted, avg(b.won)::float8 AS observed
          FROM placed b GROUP BY b.bin
    ), counted AS (
        SELECT count(*) AS n, sum(t.won) AS won, avg(t.won)::float8 AS rate FROM told t
    )
    SELECT CASE WHEN c.won > 0 AND c.won < c.n THEN jsonb_build_object(
               'n', c.n, 'won', c.won, 'base_rate', c.rate,
               'auc', ((sum(b.place) FILTER (WHERE b.won = 1) - c.won * (c.won + 1) / 2.0)
                       / (c.won * (c.n - c.won)))::float8,
               'brier', avg((b.p - b.won) ^ 2),
               'log_loss', avg(-ln(CASE b.won WHEN 1 THEN b.p ELSE 1 - b.p END)),
               'base_log_loss', -c.rate * ln(c.rate) - (1 - c.rate) * ln(1 - c.rate),
               'ece10', (SELECT sum(abs(i.predicted - i.observed) * i.n) / sum(i.n) FROM bins i),
               'lift10', avg(b.won) FILTER (WHERE b.best)::float8 / c.rate,
               'reliability', (SELECT jsonb_agg(jsonb_build_object(
                    'n', i.n, 'predicted', i.predicted, 'observed', i.observed) ORDER BY i.bin)
                    FROM bins i)) END
      FROM placed b, counted c
     GROUP BY c.n, c.won, c.rate
$$;
COMMENT ON FUNCTION saleshub.score_card(double precision[], boolean[]) IS
    'How good chances were: AUC, Brier score, log loss, ECE over ten bins of equal size, lift of the best tenth, reliability; NULL unless both outcomes are there';

CREATE FUNCTION saleshub.score_interval(won bigint, n bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- Wilson's interval of a proportion (1927), z = 1.96
    SELECT CASE WHEN n > 0 THEN jsonb_build_array(
               round((m - h)::numeric, 6), round((m + h)::numeric, 6)) END
      FROM (SELECT (won + 1.9208) / (n + 3.8416) AS m,
                   1.96 * sqrt(won::float8 * (n - won) / nullif(n, 0) + 0.9604) / (n + 3.8416) AS h) w
$$;
COMMENT ON FUNCTION saleshub.score_interval(bigint, bigint) IS
    'Where a base rate lies, 95 %: [low, high]; NULL of nothing';

CREATE FUNCTION saleshub.score_recalibrated(p double precision, calibration jsonb)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 1 / (1 + exp(least(greatest(-(calibration ->> 'shift')::float8
               - (calibration ->> 'scale')::float8 * ln(p / (1 - p)), -700), 700)))
$$;
COMMENT ON FUNCTION saleshub.score_recalibrated(double precision, jsonb) IS
    'A chance with its log odds multiplied by scale and moved by shift';

CREATE FUNCTION saleshub.score_judge(model jsonb, calibration jsonb, since timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT saleshub.score_card(
                   array_agg(saleshub.score_recalibrated(
                       least(greatest(saleshub.logit_probability(model, s), 1e-15), 1 - 1e-15),
                       calibration)),
                   array_agg(s."subject won"))
          FROM pg_temp.score_snapshot s
         WHERE s."subject began" >= since);
END
$$;
COMMENT ON FUNCTION saleshub.score_judge(jsonb, jsonb, timestamptz) IS
    'How good a model is on the snapshots of score_snapshot whose records came since';

CREATE FUNCTION saleshub.score_time_split(features text[], l2 double precision, champion jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    since timestamptz;
    few boolean;
    model jsonb;
BEGIN
    -- Later than what the champion has seen, when there is enough of it.
    SELECT greatest(percentile_disc(0.8) WITHIN GROUP (ORDER BY s."subject began"),
                    (champion ->> 'cutoff')::timestamptz + interval '1 microsecond')
      INTO since FROM pg_temp.score_snapshot s;
    SELECT count(DISTINCT s."subject id") FILTER (WHERE s."subject won") < 30
           OR count(DISTINCT s."subject id") FILTER (WHERE NOT s."subject won") < 30 INTO few
      FROM pg_temp.score_snapshot s WHERE s."subject began" >= since;
    IF few THEN
        SELECT percentile_disc(0.8) WITHIN GROUP (ORDER BY s."subject began") INTO since
          FROM pg_temp.score_snapshot s;
    END IF;
    DROP TABLE IF EXISTS pg_temp.score_earlier;
    CREATE TEMP TABLE score_earlier ON COMMIT DROP AS
    SELECT * FROM pg_temp.score_snapshot s WHERE s."subject began" < since;
    model := saleshub.logit_train('pg_temp.score_earlier', 'subject won', features, l2);
    DROP TABLE pg_temp.score_earlier;
    RETURN jsonb_build_object(
        'since', since,
        'challenger', saleshub.score_judge(model, '{"shift": 0, "scale": 1}', since),
        'champion', CASE WHEN champion IS NOT NULL THEN
            saleshub.score_judge(champion -> 'model', champion -> 'calibration', since) END);
END
$$;
COMMENT ON FUNCTION saleshub.score_time_split(text[], double precision, jsonb) IS
    'A model trained on the earlier records of score_snapshot, and the champion, both judged on the later ones';

CREATE FUNCTION saleshub.score_features_card(model jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'feature', f ->> 'name',
               'weight', (SELECT sqrt(sum(s.value::float8 * o.value::float8 ^ 2))
                            FROM jsonb_array_elements_text(f -> 'log_odds') WITH ORDINALITY o (value, n)
                            JOIN jsonb_array_elements_text(f -> 'share') WITH ORDINALITY s (value, n)
                           USING (n)),
               'levels', (SELECT jsonb_agg(jsonb_build_object(
                    'value', CASE
                        WHEN o.n = 1 THEN NULL
                        WHEN f ? 'words' THEN coalesce(f -> 'words' ->> (o.n - 2)::integer, 'other')
                        WHEN jsonb_array_length(f -> 'edges') = 0 THEN 'given'
                        WHEN o.n = 2 THEN '< ' || (f -> 'edges' ->> 0)
                        WHEN o.n - 2 = jsonb_array_length(f -> 'edges')
                        THEN '>= ' || (f -> 'edges' ->> (o.n - 3)::integer)
                        ELSE (f -> 'edges' ->> (o.n - 3)::integer) || ' to < '
                             || (f -> 'edges' ->> (o.n - 2)::integer) END,
                    'log_odds', o.value, 'share', s.value) ORDER BY o.n)
                    FROM jsonb_array_elements(f -> 'log_odds') WITH ORDINALITY o (value, n)
                    JOIN jsonb_array_elements(f -> 'share') WITH ORDINALITY s (value, n) USING (n)))
               ORDER BY f ->> 'name'), '[]')
      FROM jsonb_array_elements(model -> 'features') AS f
$$;
COMMENT ON FUNCTION saleshub.score_features_card(jsonb) IS
    'The features of a model: the spread of their log odds (weight), and each level with its log odds and share; the level without a value is what is missing';

CREATE FUNCTION saleshub.score_model_store(
    noun text, state text, model jsonb, card jsonb, cutoff timestamptz) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    id uuid;
BEGIN
    PERFORM saleshub.score_may_train();
    -- refuses what is not a model
    PERFORM saleshub.logit_probability(model, ROW(NULL::text));
    IF state = 'champion' THEN
        -- Nobody writes by the old one after this commit.
        PERFORM saleshub.score_lock_rules(org);
    END IF;
    UPDATE crm.score_model m SET state = 'retired', retired_at = clock_timestamp()
     WHERE m.org_id = org AND m.entity = noun
       AND m.state = ANY (CASE score_model_store.state
                          WHEN 'champion' THEN '{champion,challenger,insufficient}'
                          ELSE '{challenger,insufficient}' END::text[]);
    INSERT INTO crm.score_model (org_id, entity, version, state, model, card, cutoff, trained_by)
    SELECT org, noun, coalesce(max(m.version), 0) + 1, score_model_store.state,
           score_model_store.model, score_model_store.card, score_model_store.cutoff,
           saleshub.member_id()
      FROM crm.score_model m WHERE m.org_id = org AND m.entity = noun
    RETURNING score_model_id INTO id;
    IF state = 'champion' THEN
        -- The worker tells the others their chance anew, batch by batch.
        INSERT INTO crm.score_upkeep AS s (org_id, entity, rescore_after)
        VALUES (org, noun, '00000000-0000-0000-0000-000000000000')
        ON CONFLICT (org_id, entity) DO UPDATE SET rescore_after = excluded.rescore_after;
        PERFORM saleshub.import_wake();
    END IF;
    RETURN id;
END
$$;
ALTER FUNCTION saleshub.score_model_store(text, text, jsonb, jsonb, timestamptz) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_model_store(text, text, jsonb, jsonb, timestamptz) IS
    'Keeps a trained model of the organisation; for admins and managers. A champion is in use from the commit on';

CREATE FUNCTION saleshub.score_champion(noun text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT to_jsonb(m) FROM crm.score_model m
             WHERE m.org_id = saleshub.org_id() AND m.entity = noun AND m.state = 'champion');
END
$$;
COMMENT ON FUNCTION saleshub.score_champion(text) IS 'The model in use, as JSON; or NULL';

CREATE FUNCTION saleshub.score_state(model jsonb, split jsonb, champion jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN model IS NULL OR model ->> 'state' <> 'ready' THEN 'insufficient'
                WHEN champion IS NULL THEN 'champion'
                WHEN (split #>> '{challenger,log_loss}')::float8
                     < (split #>> '{champion,log_loss}')::float8 THEN 'champion'
                ELSE 'challenger' END
$$;
COMMENT ON FUNCTION saleshub.score_state(jsonb, jsonb, jsonb) IS
    'What a new model becomes: champion when there is none, or when it has the smaller log loss on later records';

CREATE FUNCTION crm.score_train(
    entity text DEFAULT 'lead', horizon interval DEFAULT NULL, l2 double precision DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    noun text := entity;
    champion jsonb;
    counts record;
    features text[];
    model jsonb;
    split jsonb;
    card jsonb;
    state text;
BEGIN
    PERFORM saleshub.score_may_train();
    IF noun IS NULL OR noun NOT IN ('lead', 'deal') THEN
        PERFORM saleshub.raise('22023', 'models are of leads and of deals', jsonb_build_object(
            'errors', saleshub.fault('/entity', 'not_allowed', 'must be lead or deal')));
    ELSIF horizon <= interval '0' THEN
        PERFORM saleshub.raise('22023', 'the horizon must be longer than nothing', jsonb_build_object(
            'errors', saleshub.fault('/horizon_days', 'range', 'must be more than 0')));
    ELSIF NOT pg_try_advisory_xact_lock(
        hashtextextended('saleshub.score_train:' || saleshub.org_id() || noun, 0)) THEN
        PERFORM saleshub.raise('55P03', 'a training of this kind is under way',
                               '{"code": "training_under_way"}');
    END IF;
    horizon := coalesce(horizon, saleshub.score_horizon(noun));
    champion := saleshub.score_champion(noun);
    PERFORM saleshub.score_phase(1);
    PERFORM saleshub.score_prepare(noun, horizon);
    SELECT count(DISTINCT s."subject id") AS n,
           count(DISTINCT s."subject id") FILTER (WHERE s."subject won") AS won,
           count(*) AS snapshots, max(s."subject began") AS cutoff
      INTO counts FROM pg_temp.score_snapshot s;
    features := ARRAY(SELECT f.name FROM saleshub.score_features(noun) f);
    card := jsonb_build_object(
        'horizon_days', round((extract(epoch FROM horizon) / 86400)::numeric, 2)::float8, 'n', counts.n, 'won', counts.won,
        'lost', counts.n - counts.won, 'snapshots', counts.snapshots,
        'base_rate', round(counts.won / nullif(counts.n, 0)::numeric, 6),
        'base_rate_interval', saleshub.score_interval(counts.won, counts.n));
    IF least(counts.won, counts.n - counts.won) >= 30 THEN
        PERFORM saleshub.score_phase(2);
        model := saleshub.logit_train('pg_temp.score_snapshot', 'subject won', features, l2);
        PERFORM saleshub.score_phase(3);
        split := saleshub.score_time_split(features, l2, champion);
        card := card || jsonb_build_object('held_out', model -> 'card', 'time_split', split,
                                           'l2', model -> 'l2', 'iterations', model -> 'iterations');
    END IF;
    PERFORM saleshub.score_phase(4);
    state := saleshub.score_state(model, split, champion);
    card := card || jsonb_build_object('reason', CASE
        WHEN model IS NULL THEN 'fewer than 30 won or fewer than 30 lost'
        WHEN state = 'insufficient' THEN 'no better than the base rate'
        WHEN state = 'challenger' THEN 'no better than the champion on later records' END);
    PERFORM saleshub.score_model_store(
        noun, state, coalesce(model, '{"intercept": 0, "features": []}'), card,
        coalesce(counts.cutoff, now()));
    DROP TABLE pg_temp.score_subject, pg_temp.score_moment, pg_temp.score_snapshot;
    RETURN crm.score_model_card(noun);
END
$$;
COMMENT ON FUNCTION crm.score_train(text, interval, double precision) IS
    'Trains a model of leads (converted within the horizon) or deals (won within it) on what the organisation knew of them when their chance would have been told, and returns the card. For admins and managers; reads what the caller may read. The model is used when at least 30 were won and 30 lost, it predicts records it has not seen better than the base rate, and, where there is a champion, later records better than that';

CREATE FUNCTION crm.score_model_card(entity text DEFAULT 'lead') RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF score_model_card.entity IS NULL OR score_model_card.entity NOT IN ('lead', 'deal') THEN
        PERFORM saleshub.bad_parameter('entity', 'not_allowed', 'must be lead or deal');
    END IF;
    RETURN (
        SELECT jsonb_build_object(
                   'entity', score_model_card.entity,
                   'state', coalesce(max(m.state) FILTER (WHERE m.state = 'champion'),
                                     max(m.state) FILTER (WHERE m.state = 'insufficient'), 'none'),
                   'champion', max(c.card::text) FILTER (WHERE m.state = 'champion')::jsonb,
                   'challenger', max(c.card::text) FILTER (WHERE m.state = 'challenger')::jsonb,
                   'insufficient', max(c.card::text) FILTER (WHERE m.state = 'insufficient')::jsonb,
                   'retired', (
                       SELECT coalesce(jsonb_agg(r.card ORDER BY r.version DESC), '[]')
                         FROM (SELECT o.version, jsonb_build_object(
                                          'version', o.version, 'trained_at', saleshub.utc(o.trained_at),
                                          'retired_at', saleshub.utc(o.retired_at)) || o.card AS card
                                 FROM crm.score_model o
                                WHERE o.org_id = saleshub.org_id()
                                  AND o.entity = score_model_card.entity AND o.state = 'retired'
                                ORDER BY o.version DESC LIMIT 10) r))
          FROM crm.score_model m
          CROSS JOIN LATERAL (
              SELECT coalesce(m.card -> 'held_out', '{}')
                     || jsonb_build_object(
                            'version', m.version, 'trained_at', saleshub.utc(m.trained_at),
                            'trained_by', m.trained_by, 'cutoff', saleshub.utc(m.cutoff),
                            'calibration', m.calibration)
                     || m.card - 'held_out'
                     || jsonb_build_object('features', saleshub.score_features_card(m.model)) AS card) c
         WHERE m.org_id = saleshub.org_id() AND m.entity = score_model_card.entity
           AND m.state <> 'retired');
END
$$;
COMMENT ON FUNCTION crm.score_model_card(text) IS
    'The model of leads or deals: state (none, champion, insufficient), and the cards of champion, challenger, the last that was insufficient, and the latest ten that were replaced: records (n, won, lost), base rate with its interval, AUC, Brier score, log loss, ECE10, lift of the best tenth, reliability, features, all on records held out';
