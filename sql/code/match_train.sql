-- Weights of comparison learnt from an organisation's own records, and used only where they are
-- no worse than those set by hand.

CREATE FUNCTION saleshub.match_em(fields integer, levels integer[], times double precision[],
                                  random_levels integer[], random_times double precision[])
    RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_match_em';
COMMENT ON FUNCTION saleshub.match_em(integer, integer[], double precision[], integer[], double precision[]) IS
    'Learns log2(m/u) of differ, close and same of each field, from the levels (0 missing to 3 same) of pairs that share a key and of pairs at random, by expectation and maximisation; last the share of pairs that are one thing';

CREATE FUNCTION saleshub.match_sample(org uuid, noun text, most integer, OUT low uuid, OUT high uuid)
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    -- Of very many keys only some, taken by their hash.
    shrink bigint := 1 + (SELECT count(*) FROM saleshub.match_key k
                          WHERE k.org_id = match_sample.org AND k.entity = noun) / (40 * most);
BEGIN
    RETURN QUERY
    WITH some_key AS MATERIALIZED (
        SELECT DISTINCT s.key FROM saleshub.match_key s
        WHERE s.org_id = match_sample.org AND s.entity = noun AND s.key % shrink = 0
        LIMIT 20 * most
    ), member AS MATERIALIZED (
        -- A key that very many share says little.
        SELECT k.key, m.id FROM some_key k, LATERAL (
            SELECT array_agg(x.entity_id) AS ids FROM (
                SELECT c.entity_id FROM saleshub.match_key c WHERE c.org_id = match_sample.org
                    AND c.entity = noun AND c.key = k.key LIMIT 61) x) g,
            unnest(g.ids) AS m (id)
        WHERE cardinality(g.ids) BETWEEN 2 AND 60
    )
    SELECT DISTINCT a.id, b.id FROM member a JOIN member b ON b.key = a.key AND b.id > a.id
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION saleshub.match_sample(uuid, text, integer) IS
    'Pairs of records that share a key.';

CREATE FUNCTION saleshub.match_random(org uuid, noun text, most integer, OUT low uuid, OUT high uuid)
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH rec AS MATERIALIZED (
        SELECT s.id, row_number() OVER (ORDER BY hashtext(s.id::text)) AS n
        FROM (SELECT DISTINCT k.entity_id AS id FROM saleshub.match_key k
              WHERE k.org_id = match_random.org AND k.entity = noun LIMIT 200000) s
        ORDER BY 2 LIMIT 2000
    ), shift AS (SELECT generate_series(1, 1 + most / 2000) AS by)
    SELECT least(a.id, b.id), greatest(a.id, b.id)
    FROM rec a CROSS JOIN shift
    JOIN rec b ON b.n = 1 + (a.n + shift.by * 7 - 1) % (SELECT count(*) FROM rec)
    WHERE a.id <> b.id
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION saleshub.match_random(uuid, text, integer) IS
    'Pairs of records taken at random, of which hardly any is one thing.';

CREATE FUNCTION saleshub.match_patterns(noun text, rules jsonb, lows uuid[], highs uuid[],
                                        OUT levels integer[], OUT times double precision[])
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    WITH doc AS MATERIALIZED (
        SELECT d.id, d.doc FROM saleshub.duplicate_docs(noun, ARRAY(
            SELECT unnest(lows) UNION SELECT unnest(highs))) d
    ), pattern AS MATERIALIZED (
        SELECT saleshub.match_levels(rules, a.doc, b.doc) AS found, count(*) AS n
        FROM unnest(lows, highs) AS p (low, high)
        JOIN doc a ON a.id = p.low JOIN doc b ON b.id = p.high
        GROUP BY 1
    ), numbered AS (
        SELECT p.found, p.n, row_number() OVER (ORDER BY p.found) AS i FROM pattern p
    )
    SELECT (SELECT array_agg(coalesce(array_position(
                '{differ,close,same}', p.found ->> (f.rule ->> 'field')), 0) ORDER BY p.i, f.n)
            FROM numbered p, jsonb_array_elements(rules) WITH ORDINALITY AS f (rule, n)),
           (SELECT array_agg(p.n::float8 ORDER BY p.i) FROM numbered p)
    INTO levels, times;
END;
$$;
COMMENT ON FUNCTION saleshub.match_patterns(text, jsonb, uuid[], uuid[]) IS
    'How pairs compare, by the fields of the rules, and how often so.';

CREATE FUNCTION saleshub.match_wrong(org uuid, noun text, rules jsonb, OUT labelled bigint, OUT wrong bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    SELECT count(*), count(*) FILTER (WHERE d.same <> (s.score >= 13))
    INTO labelled, wrong
    FROM crm.duplicate_decision d,
         LATERAL (SELECT coalesce(sum((r ->> (d.levels ->> (r ->> 'field')))::numeric), 0) AS score
                  FROM jsonb_array_elements(rules) r WHERE d.levels ? (r ->> 'field')) s
    WHERE d.org_id = match_wrong.org AND d.entity = noun;
END;
$$;
COMMENT ON FUNCTION saleshub.match_wrong(uuid, text, jsonb) IS
    'How many decisions of people there are, and how many of them rules would warn of or not otherwise.';

CREATE FUNCTION saleshub.match_weighed(rules jsonb, weights jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(r || coalesce(match_weighed.weights -> (r ->> 'field'), '{}') ORDER BY n), '[]')
    FROM jsonb_array_elements(match_weighed.rules) WITH ORDINALITY AS e (r, n);
END;
COMMENT ON FUNCTION saleshub.match_weighed(jsonb, jsonb) IS
    'Rules of comparison with other weights, {field: {same, close, differ}}.';

CREATE FUNCTION saleshub.match_learn(noun text, rules jsonb, most integer, OUT weights jsonb,
                                     OUT pairs bigint, OUT share numeric)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    near record;
    far record;
    learnt double precision[];
    fields integer := jsonb_array_length(rules);
BEGIN
    SELECT p.* INTO near FROM (SELECT array_agg(s.low) AS l, array_agg(s.high) AS h
                               FROM saleshub.match_sample(org, noun, most) s) x,
        LATERAL saleshub.match_patterns(noun, rules, x.l, x.h) p;
    SELECT p.* INTO far FROM (SELECT array_agg(s.low) AS l, array_agg(s.high) AS h
                              FROM saleshub.match_random(org, noun, most) s) x,
        LATERAL saleshub.match_patterns(noun, rules, x.l, x.h) p;
    pairs := coalesce((SELECT sum(t) FROM unnest(near.times) t), 0);
    IF near.times IS NULL OR far.times IS NULL THEN
        RETURN;
    END IF;
    learnt := saleshub.match_em(fields, near.levels, near.times, far.levels, far.times);
    share := round(learnt[3 * fields + 1]::numeric, 4);
    SELECT jsonb_object_agg(r ->> 'field', jsonb_build_object(
               'differ', least(w.differ, 0), 'close', least(greatest(w.close, w.differ), w.same),
               'same', w.same))
    INTO weights
    FROM jsonb_array_elements(rules) WITH ORDINALITY AS e (r, n),
         LATERAL (SELECT round(learnt[3 * n - 2]::numeric, 2) AS differ,
                         round(learnt[3 * n - 1]::numeric, 2) AS close,
                         greatest(round(learnt[3 * n]::numeric, 2), 0) AS same) w
    -- Of what hardly any record has nothing is learnt.
    WHERE 30 <= (SELECT sum(t) FROM unnest(near.times) WITH ORDINALITY AS x (t, i)
                 WHERE near.levels[(i - 1) * fields + n] > 0)
        AND 30 <= (SELECT sum(t) FROM unnest(far.times) WITH ORDINALITY AS x (t, i)
                   WHERE far.levels[(i - 1) * fields + n] > 0);
END;
$$;
COMMENT ON FUNCTION saleshub.match_learn(text, jsonb, integer) IS
    'Weights learnt from pairs of records, how many pairs those were, and which part of them is one thing.';

CREATE FUNCTION crm.match_train(type text) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    noun text := saleshub.duplicate_noun(type);
    rules jsonb := saleshub.match_rules_by_hand(org, noun);
    learnt record;
    hand record;
    model record;
    enough boolean;
    reason text;
BEGIN
    PERFORM saleshub.need_admin();
    learnt := saleshub.match_learn(noun, rules, 10000);
    hand := saleshub.match_wrong(org, noun, rules);
    model := saleshub.match_wrong(org, noun, saleshub.match_weighed(rules, learnt.weights));
    enough := hand.labelled >= 200
        OR (SELECT count(*) FROM jsonb_object_keys(coalesce(learnt.weights, '{}'))) >= 5;
    reason := CASE
        WHEN learnt.weights IS NULL OR learnt.share * learnt.pairs < 50
        THEN 'too few pairs look like one thing'
        WHEN NOT enough THEN 'less than five fields and less than 200 decisions'
        WHEN model.wrong > hand.wrong THEN 'misses more decisions than the weights set by hand'
        ELSE 'adopted' END;
    INSERT INTO crm.match_model (org_id, entity, weights, pairs, share, labelled, hand_wrong,
                                 model_wrong, adopted, reason)
    VALUES (org, noun, coalesce(learnt.weights, '{}'), learnt.pairs, coalesce(learnt.share, 0),
            hand.labelled, hand.wrong, model.wrong, reason = 'adopted', reason);
    RETURN crm.match_model(noun);
END;
$$;
ALTER FUNCTION crm.match_train(text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.match_train(text) IS
    'For admins: learns the weights of comparison of contacts, companies or leads from pairs of records; they are used when there are five fields or 200 decisions, and only if they miss no more decisions than those set by hand. Answers crm.match_model';

CREATE FUNCTION crm.match_model(type text) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
BEGIN
    RETURN jsonb_build_object('type', noun, 'model', (
        SELECT jsonb_build_object(
            'id', m.match_model_id, 'weights', m.weights, 'pairs', m.pairs, 'share', m.share,
            'labelled', m.labelled, 'hand_wrong', m.hand_wrong, 'model_wrong', m.model_wrong,
            'adopted', m.adopted, 'reason', m.reason, 'trained_at', saleshub.utc(m.trained_at),
            'trained_by', m.trained_by)
        FROM crm.match_model m WHERE m.org_id = saleshub.org_id() AND m.entity = noun
        ORDER BY m.match_model_id DESC LIMIT 1));
END;
$$;
COMMENT ON FUNCTION crm.match_model(text) IS
    'The weights of comparison that were learnt last, from how many pairs, how many decisions they and those set by hand miss, and whether they are used; model null when none were';

CREATE FUNCTION crm.match_model_forget(type text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text := saleshub.duplicate_noun(type);
BEGIN
    PERFORM saleshub.need_admin();
    DELETE FROM crm.match_model m WHERE m.org_id = saleshub.org_id() AND m.entity = noun;
END;
$$;
ALTER FUNCTION crm.match_model_forget(text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.match_model_forget(text) IS
    'For admins: back to the weights set by hand.';

CREATE FUNCTION saleshub.routes_match_train() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    types CONSTANT jsonb := '{"type": {"enum": ["contact", "contacts", "company", "companies", "lead", "leads"]}}';
BEGIN
    PERFORM saleshub.route('GET /v1/duplicates/model', 'crm.match_model(text)',
                           'The weights of comparison that were learnt', 'duplicates', args => types);
    PERFORM saleshub.route('POST /v1/duplicates/model', 'crm.match_train(text)',
                           'Learn the weights of comparison', 'duplicates', timeout_ms => 60000,
                           role => 'admin', args => types);
    PERFORM saleshub.route('DELETE /v1/duplicates/model', 'crm.match_model_forget(text)',
                           'Go back to the weights set by hand', 'duplicates', success => 204,
                           role => 'admin', args => types);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_match_train() IS
    'Registers the routes of learnt weights.';
