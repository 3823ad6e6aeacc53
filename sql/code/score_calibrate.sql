-- Models while the world changes: calibrated anew on what came of the latest records.

CREATE FUNCTION saleshub.score_platt(z double precision[], won boolean[],
                                     OUT shift double precision, OUT scale double precision,
                                     OUT gain double precision)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s record;
    det float8;
    before float8;
    d0 float8;
    d1 float8;
BEGIN
    shift := 0;
    scale := 1;
    -- Newton's method on Platt's two numbers (1999), with a weak pull (one part in the variance)
    -- to leaving the log odds as they are, so that few records move them little.
    FOR step IN 1 .. 30 LOOP
        SELECT sum(t.p - t.y) + shift AS g0, sum((t.p - t.y) * t.z) + scale - 1 AS g1,
               sum(t.p * (1 - t.p)) + 1 AS h00, sum(t.p * (1 - t.p) * t.z) AS h01,
               sum(t.p * (1 - t.p) * t.z * t.z) + 1 AS h11,
               -sum(ln(greatest(CASE t.y WHEN 1 THEN t.p ELSE 1 - t.p END, 1e-300))) AS loss
          INTO s
          FROM (SELECT u.z, u.won::integer AS y,
                       1 / (1 + exp(least(greatest(-shift - scale * u.z, -700), 700))) AS p
                  FROM unnest(score_platt.z, score_platt.won) AS u (z, won)) t;
        before := coalesce(before, s.loss);
        det := s.h00 * s.h11 - s.h01 * s.h01;
        d0 := (s.h11 * s.g0 - s.h01 * s.g1) / det;
        d1 := (s.h00 * s.g1 - s.h01 * s.g0) / det;
        shift := shift - d0;
        scale := scale - d1;
        gain := before - s.loss;
        EXIT WHEN abs(d0) + abs(d1) < 1e-10;
    END LOOP;
END
$$;
COMMENT ON FUNCTION saleshub.score_platt(double precision[], boolean[], OUT double precision, OUT double precision, OUT double precision) IS
    'By how much log odds must be scaled and shifted to mean what they say on these outcomes, and what the log likelihood gains by it';

CREATE FUNCTION saleshub.score_psi(model jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Σ (now − then) · ln (now ÷ then) over the levels; shares that are nothing count as half a record.
    RETURN (
        WITH now_ AS (
            SELECT l.f, l.level, count(*) AS n
              FROM pg_temp.score_snapshot s,
                   unnest(saleshub.model_levels(model, s)) WITH ORDINALITY AS l (level, f)
             GROUP BY 1, 2
        ), total AS (
            SELECT count(*)::float8 AS n FROM pg_temp.score_snapshot
        ), shares AS (
            SELECT f.value ->> 'name' AS feature,
                   greatest(sh.value::float8, 0.5 / greatest((model ->> 'n')::float8, 1)) AS was,
                   greatest(coalesce(n.n, 0), 0.5) / t.n AS is_
              FROM total t
              CROSS JOIN jsonb_array_elements(model -> 'features') WITH ORDINALITY f (value, n)
              CROSS JOIN jsonb_array_elements_text(f.value -> 'share') WITH ORDINALITY sh (value, level)
              LEFT JOIN now_ n ON n.f = f.n AND n.level = sh.level - 1
        )
        SELECT jsonb_object_agg(p.feature, p.psi) FROM (
            SELECT h.feature, round(sum((h.is_ - h.was) * ln(h.is_ / h.was))::numeric, 6) AS psi
              FROM shares h GROUP BY 1) p);
END
$$;
COMMENT ON FUNCTION saleshub.score_psi(jsonb) IS
    'How far the records of score_snapshot differ from those that a model was trained on, by feature (population stability index)';

CREATE FUNCTION saleshub.score_psi_score(was jsonb, p double precision[]) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- The ten bins of the card, the best one first or last, had a tenth of the records each; they part
    -- midway between their means.
    WITH edges AS (
        SELECT ((b.value ->> 'predicted')::float8
                     + (lead(b.value) OVER (ORDER BY b.n) ->> 'predicted')::float8) / 2 AS edge
          FROM jsonb_array_elements(was) WITH ORDINALITY b (value, n)
    ), bins AS (
        SELECT width_bucket(t.p, (SELECT array_agg(e.edge ORDER BY e.edge) FROM edges e WHERE e.edge IS NOT NULL)) AS bin,
               count(*) AS n
          FROM unnest(p) AS t (p) GROUP BY 1
    )
    SELECT round(sum((s.is_ - 0.1) * ln(s.is_ / 0.1))::numeric, 6)
      FROM (SELECT greatest(coalesce(b.n, 0), 0.5) / cardinality(p)::float8 AS is_
              FROM generate_series(0, 9) g LEFT JOIN bins b ON b.bin = g) s
$$;
COMMENT ON FUNCTION saleshub.score_psi_score(jsonb, double precision[]) IS
    'How far chances differ in their spread from those of a card (population stability index over its ten bins)';

CREATE FUNCTION saleshub.score_recalibrate(noun text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    champion jsonb := saleshub.score_champion(noun);
    z float8[];
    won boolean[];
    p float8[];
    platt record;
    calibration jsonb := champion -> 'calibration';
    drift jsonb;
BEGIN
    IF champion IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM saleshub.score_prepare(
        noun, make_interval(secs => (champion #>> '{card,horizon_days}')::float8 * 86400),
        (champion ->> 'cutoff')::timestamptz + interval '1 microsecond', 2000);
    SELECT array_agg(ln(t.p / (1 - t.p))), array_agg(t."subject won"),
           array_agg(saleshub.score_recalibrated(t.p, champion -> 'calibration'))
      INTO z, won, p
      FROM (SELECT s."subject won",
                   least(greatest(saleshub.logit_probability(champion -> 'model', s), 1e-15), 1 - 1e-15) AS p
              FROM pg_temp.score_snapshot s) t;
    IF coalesce(cardinality(z), 0) < 200 OR NOT (true = ANY (won) AND false = ANY (won)) THEN
        RETURN NULL;
    END IF;
    platt := saleshub.score_platt(z, won);
    drift := jsonb_build_object(
        'n', cardinality(z), 'at', saleshub.utc(clock_timestamp()),
        'psi_score', saleshub.score_psi_score(champion #> '{card,held_out,reliability}', p),
        'psi', saleshub.score_psi(champion -> 'model'),
        'before', saleshub.score_card(p, won) - 'reliability');
    IF platt.scale > 0 AND platt.scale < 10 THEN
        calibration := jsonb_build_object('shift', platt.shift, 'scale', platt.scale,
                                          'n', cardinality(z), 'at', saleshub.utc(clock_timestamp()));
        drift := drift || jsonb_build_object('after', saleshub.score_card((
            SELECT array_agg(1 / (1 + exp(-platt.shift - platt.scale * u.z)) ORDER BY u.n)
              FROM unnest(z) WITH ORDINALITY AS u (z, n)), won) - 'reliability');
        -- Only what is more than chance: twice the gain is χ² of two degrees of freedom, 5 %.
        IF (drift #>> '{before,log_loss}')::float8 - (drift #>> '{after,log_loss}')::float8
           < 3.0 / cardinality(z) THEN
            calibration := champion -> 'calibration';
        END IF;
    END IF;
    PERFORM saleshub.score_calibration_store(noun, calibration, drift);
    RETURN drift;
END
$$;
COMMENT ON FUNCTION saleshub.score_recalibrate(text) IS
    'Calibrates the champion on what came of the latest 2,000 records that it was not trained on (200 snapshots at least), when that is better than by chance, and notes how far they differ from those it knows: {n, psi, psi_score, before, after}. Done by the worker';

CREATE FUNCTION saleshub.score_calibration_store(noun text, calibration jsonb, drift jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    changed boolean;
BEGIN
    PERFORM saleshub.score_may_train();
    SELECT m.calibration <> score_calibration_store.calibration INTO changed
      FROM crm.score_model m WHERE m.org_id = org AND m.entity = noun AND m.state = 'champion';
    IF changed THEN
        PERFORM saleshub.score_lock_rules(org);
    END IF;
    UPDATE crm.score_model m
       SET calibration = score_calibration_store.calibration,
           card = m.card || jsonb_build_object('drift', drift),
           version = CASE WHEN changed THEN 1 + (
               SELECT max(o.version) FROM crm.score_model o
                WHERE o.org_id = org AND o.entity = noun) ELSE m.version END
     WHERE m.org_id = org AND m.entity = noun AND m.state = 'champion';
    IF changed THEN
        UPDATE crm.score_upkeep s SET rescore_after = '00000000-0000-0000-0000-000000000000'
         WHERE s.org_id = org AND s.entity = noun;
    END IF;
END
$$;
ALTER FUNCTION saleshub.score_calibration_store(text, jsonb, jsonb) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.score_calibration_store(text, jsonb, jsonb) IS
    'Keeps a calibration of the champion, and what is known of drift; for admins, managers and the worker';
