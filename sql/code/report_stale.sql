-- Open deals that nobody looks after: the last activity about them is longer ago than twice the
-- median time that deals stand in their stage.

CREATE FUNCTION saleshub.stage_medians(as_of timestamptz)
    RETURNS TABLE (stage_id uuid, seconds numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT v.stage_id, saleshub.report_at(array_agg(v.seconds ORDER BY v.seconds), 0.5)
    FROM crm.pipeline p
    CROSS JOIN LATERAL saleshub.stage_visits(p.pipeline_id, as_of, NULL) v
    WHERE p.org_id = saleshub.org_id() AND NOT v.running
    GROUP BY v.stage_id;
END;
$$;
COMMENT ON FUNCTION saleshub.stage_medians(timestamptz) IS
    'The median time of all finished visits to each open stage, of deals that the caller sees';

CREATE FUNCTION crm.report_stale(
    group_by text DEFAULT 'stage', currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        key text, label text, open bigint, amount numeric, stale bigint, stale_amount numeric,
        stale_rate numeric, avg_idle_days numeric, max_idle_days numeric, limit_days numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'group_by', group_by, 'currency', currency, 'as_of', saleshub.utc(as_of)),
        saleshub.report_slipped_groups());
    shown constant boolean := NOT 'amount' = ANY (args.hidden);
    instant constant timestamptz := coalesce(as_of, now());
    mapped constant boolean := saleshub.report_mapped(group_by);
BEGIN
    RETURN QUERY
    WITH deal AS MATERIALIZED (
        SELECT coalesce(d.value, 0) AS value,
               CASE WHEN group_by = 'deal' THEN d.deal_id::text WHEN mapped THEN g.key
                    ELSE r.raw END AS key,
               CASE WHEN group_by = 'deal' THEN n.name WHEN mapped THEN g.label
                    ELSE r.raw END AS label,
               extract(epoch FROM instant - greatest(t.at, d.opened_at)) AS idle,
               2 * s.seconds AS enough
        FROM saleshub.deals_open(as_of, args.money) d
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
            d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) g ON g.raw = r.raw
        LEFT JOIN (SELECT a.deal_id, max(a.done_at) AS at
                   FROM saleshub.deal_activities(as_of, NULL) a
                   WHERE a.done_at <= instant
                   GROUP BY a.deal_id) t ON t.deal_id = d.deal_id
        LEFT JOIN saleshub.stage_medians(as_of) s ON s.stage_id = d.stage_id
        LEFT JOIN crm.deal n ON group_by = 'deal' AND n.org_id = saleshub.org_id()
            AND n.deal_id = d.deal_id
    ), summed AS (
        SELECT d.key, min(d.label) AS label, count(*) AS open, sum(d.value) AS value,
               count(*) FILTER (WHERE d.idle > d.enough) AS stale,
               coalesce(sum(d.value) FILTER (WHERE d.idle > d.enough), 0) AS stale_value,
               sum(d.idle) AS idle, max(d.idle) AS longest,
               CASE WHEN min(d.enough) = max(d.enough) AND count(d.enough) = count(*)
                    THEN min(d.enough) END AS enough
        FROM deal d
        GROUP BY d.key
        UNION ALL
        SELECT NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL
        WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM deal d)
    )
    SELECT s.key, s.label, s.open,
           CASE WHEN shown THEN saleshub.money_round(s.value, args.money) END, s.stale,
           CASE WHEN shown THEN saleshub.money_round(s.stale_value, args.money) END,
           saleshub.dashboard_ratio(s.stale, s.open, 6),
           saleshub.dashboard_ratio(s.idle, s.open * 86400, 4),
           saleshub.dashboard_ratio(s.longest, 86400, 4),
           saleshub.dashboard_ratio(s.enough, 86400, 4)
    FROM summed s
    LEFT JOIN crm.stage o ON group_by = 'stage' AND o.org_id = saleshub.org_id()
        AND o.stage_id::text = s.key
    ORDER BY CASE WHEN group_by = 'deal' THEN s.longest END DESC, o.position,
             s.label COLLATE "C", s.key;
END;
$$;
COMMENT ON FUNCTION crm.report_stale(text, text, timestamptz) IS
    'Open deals and those of them that are stale: the latest activity about them, or their opening, is longer ago than limit_days, twice the median time of finished visits to their stage; where there are none yet nothing is stale. By deal the idlest come first; limit_days is told where it is one for all.';

CREATE FUNCTION crm.report_stale_get(
    tz text DEFAULT NULL, group_by text DEFAULT 'stage', currency text DEFAULT NULL,
    as_of text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_stale', jsonb_build_object(
        'tz', tz, 'group_by', group_by, 'currency', currency, 'as_of', as_of),
        saleshub.report_slipped_groups(), '[
        {"name": "open", "type": "integer"}, {"name": "amount", "type": "money"},
        {"name": "stale", "type": "integer"}, {"name": "stale_amount", "type": "money"},
        {"name": "stale_rate", "type": "number"}, {"name": "avg_idle_days", "type": "number"},
        {"name": "max_idle_days", "type": "number"}, {"name": "limit_days", "type": "number"}]',
        '{group_by,currency,as_of}');
END;
$$;
COMMENT ON FUNCTION crm.report_stale_get(text, text, text, text) IS
    'crm.report_stale as HTTP gives it.';

CREATE FUNCTION saleshub.routes_report_stale() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/stale',
        'crm.report_stale_get(text, text, text, text)',
        'Open deals that nobody looks after', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_slipped_groups())
            - '{from,to,bucket,fiscal,week_start}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_stale() IS 'Registers the route of the report of stale deals.';
