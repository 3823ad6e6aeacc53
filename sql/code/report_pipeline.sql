-- What is open, now or at any past instant, and how that came about.

CREATE FUNCTION crm.report_pipeline(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        period_no int, period text, starts timestamptz, ends timestamptz, key text, label text,
        deals bigint, amount numeric, weighted numeric, avg_amount numeric, avg_age_days numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'bucket', bucket,
        'group_by', group_by, 'fiscal', fiscal, 'week_start', week_start, 'currency', currency,
        'as_of', saleshub.utc(as_of)), saleshub.report_sales_groups());
    mapped constant boolean := saleshub.report_mapped(group_by);
    shown constant boolean := NOT 'amount' = ANY (args.hidden);
    likely constant boolean := shown AND NOT 'probability' = ANY (args.hidden);
    instant constant timestamptz := coalesce(as_of, now());
BEGIN
    IF bucket IS NOT NULL AND (from_ IS NULL OR to_ IS NULL) THEN
        PERFORM saleshub.bad_parameter('bucket', 'not_allowed', 'needs from and to: days of expected closing');
    ELSIF (from_ IS NOT NULL OR to_ IS NOT NULL) AND 'close_date' = ANY (args.hidden) THEN
        PERFORM saleshub.bad_parameter('from', 'hidden', 'days of expected closing are hidden from you');
    END IF;
    RETURN QUERY
    WITH grid AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(from_, to_, args.zone, bucket, fiscal, week_start)
    ), flat AS MATERIALIZED (
        SELECT array_agg(g.starts ORDER BY g.period_no) AS starts FROM grid g
    ), open AS (
        SELECT CASE WHEN bucket IS NULL THEN 1
               ELSE width_bucket(d.close_date::timestamp AT TIME ZONE args.zone,
                                 (SELECT f.starts FROM flat f)) END AS period_no,
               CASE WHEN mapped THEN m.key ELSE r.raw END AS key,
               CASE WHEN mapped THEN m.label ELSE r.raw END AS label,
               coalesce(d.value, 0) AS value, d.probability,
               extract(epoch FROM instant - d.opened_at) AS seconds
        FROM saleshub.deals_open(as_of, args.money) d
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
            d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
        WHERE (from_ IS NULL OR d.close_date::timestamp AT TIME ZONE args.zone >= from_)
            AND (to_ IS NULL OR d.close_date::timestamp AT TIME ZONE args.zone < to_)
    ), summed AS MATERIALIZED (
        SELECT o.period_no, o.key, min(o.label) AS label, count(*) AS deals, sum(o.value) AS amount,
               coalesce(sum(o.value * o.probability), 0) / 100 AS weighted, sum(o.seconds) AS seconds
        FROM open o
        GROUP BY o.period_no, o.key
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT g.period_no, g.label, g.starts, g.ends, k.key, k.label, coalesce(s.deals, 0),
           CASE WHEN shown THEN saleshub.money_round(coalesce(s.amount, 0), args.money) END,
           CASE WHEN likely THEN saleshub.money_round(coalesce(s.weighted, 0), args.money) END,
           CASE WHEN shown THEN saleshub.dashboard_ratio(s.amount, s.deals, 4) END,
           saleshub.dashboard_ratio(s.seconds, s.deals * 86400, 4)
    FROM grid g
    CROSS JOIN grouped k
    -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
    LEFT JOIN summed s ON s.period_no = g.period_no AND ARRAY[s.key] = ARRAY[k.key]
    LEFT JOIN crm.stage o ON group_by = 'stage' AND o.org_id = saleshub.org_id()
        AND o.stage_id::text = k.key
    ORDER BY g.period_no, o.position, k.label COLLATE "C", k.key;
END;
$$;
COMMENT ON FUNCTION crm.report_pipeline(timestamptz, timestamptz, text, text, text, text, int, text,
                                        timestamptz) IS
    'Open deals, now or at any past instant: how many, their amounts at the rates of that day, the same times probability, and how old they are. from_ and to_ bound the expected closing.';

CREATE FUNCTION crm.report_pipeline_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT NULL, fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    currency text DEFAULT NULL, as_of text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_pipeline', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'currency', currency, 'as_of', as_of),
        saleshub.report_sales_groups(), '[
        {"name": "deals", "type": "integer"}, {"name": "amount", "type": "money"},
        {"name": "weighted", "type": "money"}, {"name": "avg_amount", "type": "money"},
        {"name": "avg_age_days", "type": "number"}]');
END;
$$;
COMMENT ON FUNCTION crm.report_pipeline_get(text, text, text, text, text, text, int, text, text) IS
    'crm.report_pipeline as HTTP gives it.';

CREATE FUNCTION saleshub.routes_report_pipeline() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/pipeline',
        'crm.report_pipeline_get(text, text, text, text, text, text, integer, text, text)',
        'What is open, now or at any past instant', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_sales_groups(),
            '{"from": {"type": "string", "maxLength": 40, "description": "Expected to close from this day on"},
              "to": {"type": "string", "maxLength": 40, "description": "Expected to close before this day"}}'),
        answer => '"Report"');
    PERFORM saleshub.route('GET /v1/reports/waterfall',
        'crm.report_waterfall_get(text, text, text, text, text)',
        'How the pipeline of one instant became that of another', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_sales_groups())
                - '{bucket,fiscal,week_start,as_of}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_pipeline() IS
    'Registers the routes of the reports of the pipeline.';
