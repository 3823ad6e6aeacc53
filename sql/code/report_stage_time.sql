-- How long deals stand in the stages of a pipeline. Whoever came back was there twice: the sum of
-- the visits is cumulative, the last one latest. Who is there still counts up to the instant.

CREATE FUNCTION saleshub.stage_visits(
    pipeline_id uuid, as_of timestamptz, group_by text)
    RETURNS TABLE (deal_id uuid, stage_id uuid, entered_at timestamptz, seconds numeric,
                   running boolean, key text, label text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    instant constant timestamptz := coalesce(as_of, now());
    mapped constant boolean := saleshub.report_mapped(group_by);
BEGIN
    RETURN QUERY
    SELECT h.deal_id, h.stage_id, h.entered_at,
           extract(epoch FROM least(h.left_at, instant) - h.entered_at),
           h.left_at IS NULL OR h.left_at > instant,
           CASE WHEN mapped THEN m.key ELSE r.raw END, CASE WHEN mapped THEN m.label ELSE r.raw END
    FROM crm.stage_history h
    JOIN crm.stage s ON s.org_id = h.org_id AND s.stage_id = h.stage_id AND s.kind = 'open'
    JOIN crm.deal d ON d.org_id = h.org_id AND d.deal_id = h.deal_id
    CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
        d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
    LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
    WHERE h.org_id = org AND h.pipeline_id = stage_visits.pipeline_id AND h.entered_at <= instant
        AND CASE WHEN as_of IS NULL THEN d.deleted_at IS NULL
            ELSE (d.deleted_at IS NULL OR d.deleted_at > as_of) AND h.recorded_at <= as_of END;
END;
$$;
COMMENT ON FUNCTION saleshub.stage_visits(uuid, timestamptz, text) IS
    'Every stay of a deal that the caller sees in an open stage of the pipeline, as known at an instant and up to it; running tells of those that go on';

CREATE FUNCTION crm.report_stage_time(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, pipeline_id uuid DEFAULT NULL,
    group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        key text, label text, stage_id uuid, stage text, "position" int, deals bigint, visits bigint,
        running bigint, avg_days numeric, median_days numeric, p90_days numeric,
        latest_avg_days numeric, latest_median_days numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'group_by', group_by,
        'as_of', saleshub.utc(as_of)), array_remove(saleshub.report_sales_groups(), 'stage'));
    low constant timestamptz := coalesce(from_, '-infinity');
    high constant timestamptz := coalesce(to_, 'infinity');
    line constant uuid := coalesce(report_stage_time.pipeline_id, (
        SELECT p.pipeline_id FROM crm.pipeline p
        WHERE p.org_id = saleshub.org_id() AND p.is_default AND p.deleted_at IS NULL));
BEGIN
    RETURN QUERY
    WITH visit AS MATERIALIZED (
        SELECT v.*, row_number() OVER (PARTITION BY v.deal_id, v.stage_id
                                       ORDER BY v.entered_at DESC, v.running DESC) AS back
        FROM saleshub.stage_visits(line, as_of, group_by) v
        WHERE v.entered_at >= low AND v.entered_at < high
    ), stay AS MATERIALIZED (
        SELECT v.key, v.stage_id, v.deal_id, min(v.label) AS label, count(*) AS visits,
               bool_or(v.running) AS running, sum(v.seconds) AS whole,
               sum(v.seconds) FILTER (WHERE v.back = 1) AS latest
        FROM visit v
        GROUP BY v.key, v.stage_id, v.deal_id
    ), summed AS (
        SELECT s.key, s.stage_id, min(s.label) AS label, count(*) AS deals,
               sum(s.visits)::bigint AS visits, count(*) FILTER (WHERE s.running) AS running,
               array_agg(s.whole ORDER BY s.whole) AS wholes, sum(s.whole) AS whole,
               array_agg(s.latest ORDER BY s.latest) AS latests, sum(s.latest) AS latest
        FROM stay s
        GROUP BY s.key, s.stage_id
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT k.key, k.label, t.stage_id, t.name, t.position, coalesce(s.deals, 0),
           coalesce(s.visits, 0), coalesce(s.running, 0),
           saleshub.dashboard_ratio(s.whole, s.deals * 86400, 4),
           round(saleshub.report_at(s.wholes, 0.5) / 86400, 4),
           round(saleshub.report_at(s.wholes, 0.9) / 86400, 4),
           saleshub.dashboard_ratio(s.latest, s.deals * 86400, 4),
           round(saleshub.report_at(s.latests, 0.5) / 86400, 4)
    FROM crm.stage t
    CROSS JOIN grouped k
    LEFT JOIN summed s ON s.stage_id = t.stage_id AND s.key IS NOT DISTINCT FROM k.key
    WHERE t.org_id = saleshub.org_id() AND t.pipeline_id = line AND t.kind = 'open'
        AND (t.deleted_at IS NULL OR s.deals > 0)
    ORDER BY k.label COLLATE "C", k.key, t.position, t.stage_id;
END;
$$;
COMMENT ON FUNCTION crm.report_stage_time(timestamptz, timestamptz, uuid, text, timestamptz) IS
    'How long deals stand in each open stage of a pipeline, by default the default one: of those that entered it in [from_, to_), the sum of all their visits and the latest one by itself; running are in it still and count up to now or as_of.';

CREATE FUNCTION crm.report_stage_time_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    pipeline_id uuid DEFAULT NULL, group_by text DEFAULT NULL, as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    a constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', group_by, 'as_of', as_of),
        array_remove(saleshub.report_sales_groups(), 'stage'));
    rows jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') INTO rows
    FROM crm.report_stage_time(a.from_at, a.to_at, pipeline_id, a.group_by, a.as_of) r;
    RETURN saleshub.report_answer(saleshub.report_columns(NULL, a.group_by, '[
            {"name": "stage_id", "type": "text"}, {"name": "stage", "type": "text"},
            {"name": "position", "type": "integer"}, {"name": "deals", "type": "integer"},
            {"name": "visits", "type": "integer"}, {"name": "running", "type": "integer"},
            {"name": "avg_days", "type": "number"}, {"name": "median_days", "type": "number"},
            {"name": "p90_days", "type": "number"}, {"name": "latest_avg_days", "type": "number"},
            {"name": "latest_median_days", "type": "number"}]', a.money),
        rows,
        -- Deals of several stages add up to no number of deals; visits do.
        (SELECT jsonb_build_object('visits', coalesce(sum(r.visits), 0),
                                   'running', coalesce(sum(r.running), 0))
         FROM jsonb_to_recordset(rows) AS r (visits bigint, running bigint)));
END;
$$;
COMMENT ON FUNCTION crm.report_stage_time_get(text, text, text, uuid, text, text) IS
    'crm.report_stage_time as HTTP gives it; the totals hold what can be added up over stages.';

CREATE FUNCTION saleshub.routes_report_stage_time() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/stage-time',
        'crm.report_stage_time_get(text, text, text, uuid, text, text)',
        'How long deals stand in stages', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(array_remove(saleshub.report_sales_groups(), 'stage'),
            '{"pipeline_id": {"description": "The default pipeline unless given"}}')
            - '{bucket,fiscal,week_start,currency}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_stage_time() IS
    'Registers the route of the report of time in stages.';
