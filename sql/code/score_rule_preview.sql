-- Editing scoring rules: what conditions may ask for, what a change would do, and taking it back.

CREATE FUNCTION saleshub.predicate_fields() RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_predicate_fields';
COMMENT ON FUNCTION saleshub.predicate_fields() IS
    'What conditions of scoring rules may ask for and how: {types: {type: [op]}, lead: [{field, type}], event: [{field, type}]}; custom fields apart';

CREATE FUNCTION crm.score_fields() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := saleshub.predicate_fields();
    listed jsonb := jsonb_build_object(
        'status', (SELECT f -> 'values' FROM jsonb_array_elements(saleshub.lead_fields()) AS f WHERE f ->> 'name' = 'status'),
        'type', (SELECT f -> 'values' FROM jsonb_array_elements(saleshub.activity_fields()) AS f WHERE f ->> 'name' = 'type'),
        'direction', (SELECT f -> 'values' FROM jsonb_array_elements(saleshub.activity_fields()) AS f WHERE f ->> 'name' = 'direction'));
    kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['lead', 'event'] LOOP
        fields := jsonb_set(fields, ARRAY[kind], (
            SELECT jsonb_agg(f || CASE WHEN listed ? (f ->> 'field')
                                       THEN jsonb_build_object('values', listed -> (f ->> 'field')) ELSE '{}' END ORDER BY n)
              FROM jsonb_array_elements(fields -> kind) WITH ORDINALITY AS e (f, n)));
    END LOOP;
    RETURN jsonb_set(fields, '{lead}', (fields -> 'lead') || coalesce((
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('field', f -> 'name', 'label', f -> 'label', 'values', f -> 'values',
                   'type', CASE WHEN fields -> 'types' ? (f ->> 'custom_type') THEN f -> 'custom_type' ELSE f -> 'type' END)) ORDER BY n)
          FROM jsonb_array_elements(saleshub.custom_fields('lead')) WITH ORDINALITY AS c (f, n)), '[]'));
END
$$;
COMMENT ON FUNCTION crm.score_fields() IS
    'What conditions of scoring rules may ask for: the operators of each type, the fields of leads (custom ones too) and of activities with their types and, where they are listed, their values';

CREATE FUNCTION saleshub.score_proposed(body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    present jsonb := saleshub.score_definition(saleshub.org_id());
    new jsonb := present || jsonb_strip_nulls(jsonb_build_object(
        'cap', body -> 'cap', 'history_delta', body -> 'history_delta', 'thresholds', body -> 'thresholds'));
BEGIN
    IF body ? 'groups' THEN
        new := new || jsonb_build_object('groups', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'id', coalesce(g.score_group_id, '00000000-0000-0000-0000-000000000000'),
                       'name', btrim(e ->> 'name'), 'kind', e ->> 'kind', 'cap', e -> 'cap') ORDER BY n), '[]')
              FROM jsonb_array_elements(body -> 'groups') WITH ORDINALITY AS x (e, n)
              LEFT JOIN crm.score_group AS g ON g.org_id = saleshub.org_id() AND g.name = btrim(e ->> 'name')));
    END IF;
    RETURN new || jsonb_build_object(
        'rules', (SELECT coalesce(jsonb_agg(e || jsonb_build_object('group', btrim(e ->> 'group')) ORDER BY n), '[]')
                    FROM jsonb_array_elements(body -> 'rules') WITH ORDINALITY AS x (e, n)),
        'cuts', CASE new #>> '{thresholds,by}' WHEN 'points' THEN (new -> 'thresholds') - 'by' ELSE
            (SELECT v.definition -> 'cuts' FROM crm.score_version AS v
              WHERE v.org_id = saleshub.org_id() ORDER BY v.version DESC LIMIT 1) END);
END
$$;
COMMENT ON FUNCTION saleshub.score_proposed(jsonb) IS
    'The rules that a body of crm.score_rules_put would make, as a definition; with percentiles the cuts that hold now';

CREATE FUNCTION saleshub.score_try(definition jsonb, leads uuid[],
                                   OUT lead_id uuid, OUT moved boolean, OUT score numeric, OUT fit numeric,
                                   OUT engagement numeric) RETURNS SETOF record
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_score_preview';
COMMENT ON FUNCTION saleshub.score_try(jsonb, uuid[]) IS
    'What putting these rules into force would make of the scores of these open leads, as far as the caller sees them; moved: it would rewrite them';

CREATE FUNCTION saleshub.score_grade(fit numeric, engagement numeric, cuts jsonb, events boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT chr(65 + (SELECT count(*) FROM jsonb_array_elements_text(cuts -> 'fit') AS c WHERE c::numeric > fit)::integer)
        || CASE WHEN events THEN (1 + (SELECT count(*) FROM jsonb_array_elements_text(cuts -> 'engagement') AS c
                                        WHERE c::numeric > coalesce(engagement, 0)))::text ELSE '' END
$$;
COMMENT ON FUNCTION saleshub.score_grade(numeric, numeric, jsonb, boolean) IS
    'The grade of fit and engagement by thresholds in points; without a digit where no rule is per event';

CREATE FUNCTION saleshub.score_preview_of(definition jsonb, ids uuid[], total bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    by_ jsonb := definition -> 'thresholds';
    by_points boolean := by_ ->> 'by' = 'points';
    events boolean := EXISTS (SELECT FROM jsonb_array_elements(definition -> 'rules') AS r
                               WHERE r -> 'per_event' = 'true' AND coalesce(r -> 'active', 'true') = 'true');
BEGIN
    RETURN (
        WITH scored AS MATERIALIZED (
            SELECT l.lead_id, l.score AS old_score, l.grade AS old_grade, t.moved,
                   CASE WHEN t.moved THEN t.score ELSE l.score END AS new_score,
                   CASE WHEN t.moved THEN t.fit ELSE l.fit END AS fit,
                   CASE WHEN t.moved THEN nullif(t.engagement, 0) ELSE l.engagement END AS engagement
              FROM saleshub.score_try(definition, ids) AS t
              JOIN crm.lead AS l ON l.org_id = saleshub.org_id() AND l.lead_id = t.lead_id
        ), bound AS MATERIALIZED (
            -- Thresholds in points: percentiles by these leads as they would be.
            SELECT CASE WHEN by_points THEN by_ - 'by' ELSE (
                SELECT jsonb_build_object(
                           'fit', coalesce(to_jsonb(percentile_disc(ARRAY(SELECT p::float8 / 100 FROM jsonb_array_elements_text(by_ -> 'fit') AS p))
                               WITHIN GROUP (ORDER BY s.fit)), by_ -> 'fit'),
                           'engagement', coalesce(to_jsonb(percentile_disc(ARRAY(SELECT p::float8 / 100 FROM jsonb_array_elements_text(by_ -> 'engagement') AS p))
                               WITHIN GROUP (ORDER BY s.engagement) FILTER (WHERE s.engagement IS NOT NULL)), by_ -> 'engagement'))
                  FROM scored AS s) END AS cuts
        ), tried AS MATERIALIZED (
            SELECT s.lead_id, s.old_score, s.old_grade, s.new_score,
                   CASE WHEN s.moved OR NOT by_points THEN saleshub.score_grade(s.fit, s.engagement, b.cuts, events)
                        ELSE s.old_grade END AS new_grade
              FROM scored AS s, bound AS b
        ), counted AS (
            -- Each lead of a sample stands for so many.
            SELECT count(*) AS n, total / greatest(count(*), 1)::numeric AS worth FROM tried
        ), pair AS (
            SELECT t.old_grade, t.new_grade, round(count(*) * c.worth) AS leads
              FROM tried AS t, counted AS c GROUP BY t.old_grade, t.new_grade, c.worth
        )
        SELECT jsonb_build_object(
                   'leads', total, 'examined', c.n, 'exact', c.n = total, 'cuts', b.cuts,
                   'regraded', (SELECT round(count(*) * c.worth) FROM tried AS t WHERE t.new_grade IS DISTINCT FROM t.old_grade),
                   'rising', (SELECT round(count(*) * c.worth) FROM tried AS t WHERE t.new_score > t.old_score),
                   'falling', (SELECT round(count(*) * c.worth) FROM tried AS t WHERE t.new_score < t.old_score),
                   'grades', (SELECT coalesce(jsonb_agg(jsonb_build_object('grade', g.grade, 'now', g.now_, 'then', g.then_) ORDER BY g.grade), '[]')
                                FROM (SELECT x.grade, sum(x.now_) AS now_, sum(x.then_) AS then_
                                        FROM (SELECT p.old_grade AS grade, p.leads AS now_, 0 AS then_ FROM pair AS p
                                              UNION ALL SELECT p.new_grade, 0, p.leads FROM pair AS p) AS x
                                       GROUP BY x.grade) AS g),
                   'moves', (SELECT coalesce(jsonb_agg(jsonb_build_object('from', p.old_grade, 'to', p.new_grade, 'leads', p.leads)
                                                       ORDER BY p.leads DESC, p.old_grade, p.new_grade), '[]')
                               FROM pair AS p WHERE p.new_grade IS DISTINCT FROM p.old_grade),
                   'examples', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', e.lead_id,
                                           'score', jsonb_build_array(e.old_score, e.new_score),
                                           'grade', jsonb_build_array(e.old_grade, e.new_grade))
                                           ORDER BY abs(e.new_score - e.old_score) DESC, e.lead_id), '[]')
                                  FROM (SELECT * FROM tried AS t WHERE t.new_grade IS DISTINCT FROM t.old_grade
                                         ORDER BY abs(t.new_score - t.old_score) DESC, t.lead_id LIMIT 10) AS e))
          FROM counted AS c, bound AS b);
END
$$;
COMMENT ON FUNCTION saleshub.score_preview_of(jsonb, uuid[], bigint) IS
    'What rules would do to these leads, which stand for a total';

CREATE FUNCTION saleshub.score_preview_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_set(saleshub.score_rules_schema(), '{properties,sample}',
                 '{"type": "integer", "minimum": 1, "maximum": 100000}');
COMMENT ON FUNCTION saleshub.score_preview_schema() IS 'JSON Schema of the body of crm.score_preview';

CREATE FUNCTION crm.score_preview(body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    total bigint;
    most integer;
    ids uuid[];
BEGIN
    PERFORM saleshub.score_shown();
    PERFORM saleshub.set_check('score_rule', 'rules', saleshub.score_preview_schema(), body,
        CASE jsonb_typeof(body) WHEN 'object' THEN saleshub.score_group_faults(body) ELSE '[]' END);
    most := coalesce((body ->> 'sample')::integer, 10000);
    SELECT count(*) INTO total FROM crm.lead AS l
     WHERE l.org_id = saleshub.org_id() AND l.deleted_at IS NULL AND l.status <> 'converted';
    -- A share by a hash of the id: the same leads for one change as for the next.
    ids := ARRAY(
        SELECT l.lead_id FROM crm.lead AS l
         WHERE l.org_id = saleshub.org_id() AND l.deleted_at IS NULL AND l.status <> 'converted'
           AND (total <= most OR abs(uuid_hash_extended(l.lead_id, 7) % 1000000) < 1000000.0 * most / total));
    RETURN saleshub.score_preview_of(saleshub.score_proposed(body), ids, total);
END
$$;
COMMENT ON FUNCTION crm.score_preview(jsonb) IS
    'What crm.score_rules_put would do with this body: how many open leads would get another grade (regraded, moves), rise or fall, and the grades now and then. Exact up to body.sample leads (10,000 unless given), beyond that an estimate by a sample of about so many; of the leads that the caller sees. Changes nothing';

CREATE FUNCTION crm.score_version_restore(version integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    old jsonb := (SELECT v.definition FROM crm.score_version AS v
                   WHERE v.org_id = saleshub.org_id() AND v.version = score_version_restore.version);
BEGIN
    IF old IS NULL THEN
        PERFORM saleshub.raise('P0002', format('the scoring rules have no version %s', version), '{"code": "not_found"}');
    END IF;
    PERFORM saleshub.score_lock_rules_of_mine();
    RETURN crm.score_rules_put(old - 'cuts' || jsonb_build_object('rules', (
        -- Rules that were removed since come back under new ids.
        SELECT coalesce(jsonb_agg(CASE WHEN saleshub.set_known('score_rule', r ->> 'id') THEN r ELSE r - 'id' END ORDER BY n), '[]')
          FROM jsonb_array_elements(old -> 'rules') WITH ORDINALITY AS x (r, n))));
END
$$;
COMMENT ON FUNCTION crm.score_version_restore(integer) IS
    'Puts the scoring rules of a version into force again, as a new version; the open leads are scored anew in the same commit';

CREATE FUNCTION saleshub.routes_score_edit() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/scoring/fields', 'crm.score_fields()',
        'List what conditions of scoring rules may ask for', 'scoring', cache => 'strict',
        answer => '{"lead": ["object"], "event": ["object"], "types": {"*": ["text"]}}');
    PERFORM saleshub.route('POST /v1/scoring/preview', 'crm.score_preview(jsonb)',
        'Tell what other scoring rules would do', 'scoring', role => 'manager', timeout_ms => 30000,
        args => jsonb_build_object('body', saleshub.score_preview_schema()),
        answer => '"ScorePreview"');
    PERFORM saleshub.route('POST /v1/scoring/versions/{version}/restore', 'crm.score_version_restore(integer)',
        'Put a version of the scoring rules into force again', 'scoring', role => 'manager', timeout_ms => 60000,
        answer => '"ScoreRules"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_score_edit() IS 'Registers the routes for editing scoring rules';
