-- Why deals are lost, and from where: by reason, by the stage they left, or by what they were.

CREATE FUNCTION saleshub.report_lost_groups() RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN '{reason,from_stage}'::text[] || saleshub.report_sales_groups();
END;
$$;
COMMENT ON FUNCTION saleshub.report_lost_groups() IS 'What the report of lost deals can be grouped by.';

CREATE FUNCTION saleshub.deals_ended(
    from_ timestamptz, to_ timestamptz, as_of timestamptz, base text, money text, group_by text)
    RETURNS TABLE (closed_at timestamptz, won boolean, value numeric, seconds numeric, key text,
                   label text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    mapped constant boolean := saleshub.report_mapped(group_by);
BEGIN
    RETURN QUERY
    SELECT d.closed_at, d.won, coalesce(d.value, 0), d.seconds,
           CASE WHEN group_by = 'from_stage' THEN s.stage_id::text
                WHEN mapped THEN m.key ELSE r.raw END,
           CASE WHEN group_by = 'from_stage' THEN s.name WHEN mapped THEN m.label ELSE r.raw END
    FROM saleshub.deals_closed(from_, to_, as_of, base, money) d
    CROSS JOIN LATERAL (SELECT CASE WHEN group_by = 'reason' THEN d.lost_reason
        ELSE saleshub.report_raw(group_by, d.owner_id, d.company_id, d.stage_id, d.pipeline_id,
                                 d.product, d.source, d.currency) END AS raw OFFSET 0) r
    LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
    LEFT JOIN LATERAL (
        SELECT h.stage_id
        FROM crm.stage_history h
        WHERE group_by = 'from_stage' AND h.org_id = org AND h.deal_id = d.deal_id
            AND h.status = 'open' AND h.entered_at <= d.closed_at
        ORDER BY h.entered_at DESC, h.left_at DESC NULLS FIRST, h.stage_history_id DESC
        LIMIT 1) f ON true
    LEFT JOIN crm.stage s ON s.org_id = org AND s.stage_id = f.stage_id
    WHERE NOT d.won OR group_by IS DISTINCT FROM 'reason';
END;
$$;
COMMENT ON FUNCTION saleshub.deals_ended(timestamptz, timestamptz, timestamptz, text, text, text) IS
    'The deals that closed in [from_, to_) with their groups; by reason only those that were lost';

CREATE FUNCTION crm.report_lost(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT 'reason', fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        period_no int, period text, starts timestamptz, ends timestamptz, key text, label text,
        lost bigint, lost_share numeric, lost_amount numeric, avg_lost numeric,
        avg_lost_cycle_days numeric, won bigint, loss_rate numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'bucket', bucket,
        'group_by', group_by, 'fiscal', fiscal, 'week_start', week_start, 'currency', currency,
        'as_of', saleshub.utc(as_of)), saleshub.report_lost_groups());
    low constant timestamptz := saleshub.report_bound(from_, 'from', bucket);
    high constant timestamptz := saleshub.report_bound(to_, 'to', bucket);
    shown constant boolean := NOT 'amount' = ANY (args.hidden);
BEGIN
    RETURN QUERY
    WITH grid AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(low, high, args.zone, bucket, fiscal, week_start)
    ), flat AS MATERIALIZED (
        SELECT array_agg(g.starts ORDER BY g.period_no) AS starts FROM grid g
    ), ended AS MATERIALIZED (
        SELECT width_bucket(d.closed_at, (SELECT f.starts FROM flat f)) AS period_no, d.*
        FROM saleshub.deals_ended(low, high, as_of, args.base, args.money, group_by) d
    ), summed AS MATERIALIZED (
        SELECT e.period_no, e.key, min(e.label) AS label,
               count(*) FILTER (WHERE NOT e.won) AS lost, count(*) FILTER (WHERE e.won) AS won,
               sum(e.value) FILTER (WHERE NOT e.won) AS amount,
               sum(e.seconds) FILTER (WHERE NOT e.won) AS seconds
        FROM ended e
        GROUP BY e.period_no, e.key
    ), whole AS (
        SELECT s.period_no, sum(s.lost) AS lost FROM summed s GROUP BY s.period_no
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT g.period_no, g.label, nullif(g.starts, '-infinity'), nullif(g.ends, 'infinity'), k.key,
           k.label, coalesce(s.lost, 0), saleshub.dashboard_ratio(s.lost, w.lost, 6),
           CASE WHEN shown THEN saleshub.money_round(coalesce(s.amount, 0), args.money) END,
           CASE WHEN shown THEN saleshub.dashboard_ratio(s.amount, s.lost, 4) END,
           saleshub.dashboard_ratio(s.seconds, s.lost * 86400, 4),
           CASE WHEN group_by IS DISTINCT FROM 'reason' THEN coalesce(s.won, 0) END,
           CASE WHEN group_by IS DISTINCT FROM 'reason'
                THEN saleshub.dashboard_ratio(s.lost, s.lost + s.won, 6) END
    FROM grid g
    CROSS JOIN grouped k
    -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
    LEFT JOIN summed s ON s.period_no = g.period_no AND ARRAY[s.key] = ARRAY[k.key]
    LEFT JOIN whole w ON w.period_no = g.period_no
    ORDER BY g.period_no, coalesce(s.lost, 0) DESC, k.label COLLATE "C", k.key;
END;
$$;
COMMENT ON FUNCTION crm.report_lost(timestamptz, timestamptz, text, text, text, text, int, text,
                                    timestamptz) IS
    'Deals lost in [from_, to_), most first: by the reason that was given, by the stage they were lost from (from_stage), or by the groups of sales; lost_share is of all lost in the period. By reason nothing is said of won deals.';

CREATE FUNCTION crm.report_lost_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT 'reason', fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    currency text DEFAULT NULL, as_of text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_lost', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'currency', currency, 'as_of', as_of),
        saleshub.report_lost_groups(), '[
        {"name": "lost", "type": "integer"}, {"name": "lost_share", "type": "number"},
        {"name": "lost_amount", "type": "money"}, {"name": "avg_lost", "type": "money"},
        {"name": "avg_lost_cycle_days", "type": "number"}, {"name": "won", "type": "integer"},
        {"name": "loss_rate", "type": "number"}]');
END;
$$;
COMMENT ON FUNCTION crm.report_lost_get(text, text, text, text, text, text, int, text, text) IS
    'crm.report_lost as HTTP gives it; the totals say also what was won.';

CREATE FUNCTION saleshub.routes_report_lost() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/lost',
        'crm.report_lost_get(text, text, text, text, text, text, integer, text, text)',
        'Why and where deals are lost', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_lost_groups()),
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_lost() IS 'Registers the route of the report of lost deals.';
