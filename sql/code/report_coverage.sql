-- Whether what is open suffices for what is missing of the quotas.

CREATE FUNCTION crm.report_coverage(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        period_no int, period text, starts timestamptz, ends timestamptz, key text, label text,
        quota numeric, closed numeric, attainment numeric, missing numeric, pipeline numeric,
        coverage numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'bucket', bucket,
        'group_by', group_by, 'fiscal', fiscal, 'week_start', week_start, 'currency', currency,
        'as_of', saleshub.utc(as_of)), '{owner,team}');
    low constant timestamptz := saleshub.report_bound(from_, 'from', bucket);
    high constant timestamptz := saleshub.report_bound(to_, 'to', bucket);
BEGIN
    IF 'amount' = ANY (args.hidden) THEN
        PERFORM saleshub.raise('42501', 'the amounts of deals are hidden from you',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    RETURN QUERY
    WITH grid AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(low, high, args.zone, bucket, fiscal, week_start)
    ), want AS MATERIALIZED (
        SELECT g.period_no, r.*, saleshub.report_rate(r.currency, args.money, r.period_from) AS rate
        FROM crm.report_attainment((low AT TIME ZONE args.zone)::date,
                                   (high AT TIME ZONE args.zone)::date, as_of) r
        JOIN grid g ON r.period_from >= (g.starts AT TIME ZONE args.zone)::date
            AND r.period_to <= (g.ends AT TIME ZONE args.zone)::date
        WHERE r.kind = CASE WHEN group_by = 'team' THEN 'team' ELSE 'member' END
    ), longest AS (
        -- A quota of a quarter has those of its months in it.
        SELECT w.* FROM want w
        WHERE NOT EXISTS (
            SELECT FROM want o
            WHERE o.period_no = w.period_no AND o.key = w.key AND o.quota_id <> w.quota_id
                AND o.period_from <= w.period_from AND o.period_to >= w.period_to)
    ), summed AS MATERIALIZED (
        SELECT l.period_no, CASE WHEN group_by IS NOT NULL THEN l.key END AS key,
               CASE WHEN group_by IS NOT NULL THEN min(l.label) END AS label,
               sum(l.quota * l.rate) AS quota, sum(l.closed * l.rate) AS closed,
               sum(l.pipeline * l.rate) AS pipeline
        FROM longest l
        GROUP BY l.period_no, 2
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT g.period_no, g.label, nullif(g.starts, '-infinity'), nullif(g.ends, 'infinity'), k.key,
           k.label, saleshub.money_round(coalesce(s.quota, 0), args.money),
           saleshub.money_round(coalesce(s.closed, 0), args.money),
           saleshub.dashboard_ratio(s.closed, s.quota, 6),
           saleshub.money_round(coalesce(greatest(s.quota - s.closed, 0), 0), args.money),
           saleshub.money_round(coalesce(s.pipeline, 0), args.money),
           saleshub.dashboard_ratio(s.pipeline, greatest(s.quota - s.closed, 0), 6)
    FROM grid g
    CROSS JOIN grouped k
    -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
    LEFT JOIN summed s ON s.period_no = g.period_no AND ARRAY[s.key] = ARRAY[k.key]
    ORDER BY g.period_no, k.label COLLATE "C", k.key;
END;
$$;
COMMENT ON FUNCTION crm.report_coverage(timestamptz, timestamptz, text, text, text, text, int, text,
                                        timestamptz) IS
    'Of the quotas of members (by team: of teams) whose periods lie in [from_, to_): what is missing of them, and pipeline, the open deals to close in their periods; coverage = pipeline ÷ missing, NULL when nothing is. Of quotas within one another the longest counts.';

CREATE FUNCTION crm.report_coverage_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT NULL, fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    currency text DEFAULT NULL, as_of text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_coverage', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'currency', currency, 'as_of', as_of),
        '{owner,team}', '[
        {"name": "quota", "type": "money"}, {"name": "closed", "type": "money"},
        {"name": "attainment", "type": "number"}, {"name": "missing", "type": "money"},
        {"name": "pipeline", "type": "money"}, {"name": "coverage", "type": "number"}]');
END;
$$;
COMMENT ON FUNCTION crm.report_coverage_get(text, text, text, text, text, text, int, text, text) IS
    'crm.report_coverage as HTTP gives it; the totals are of the quotas of members, the longest ones within the whole period.';

CREATE FUNCTION saleshub.routes_report_coverage() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/coverage',
        'crm.report_coverage_get(text, text, text, text, text, text, integer, text, text)',
        'What is open beside what is missing of quotas', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{owner,team}'),
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_coverage() IS 'Registers the route of the report of coverage.';
