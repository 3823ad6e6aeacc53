-- Deals whose expected closing was pushed into a later period, by the history of close_date.

CREATE FUNCTION saleshub.report_slipped_groups() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{deal}'::text[] || saleshub.report_sales_groups();
COMMENT ON FUNCTION saleshub.report_slipped_groups() IS
    'What reports that also tell single deals can be grouped by.';

CREATE FUNCTION saleshub.close_date_moves(
    from_ timestamptz, to_ timestamptz, as_of timestamptz, slip_by text, fiscal text,
    week_start int)
    RETURNS TABLE (deal_id uuid, at timestamptz, days int, periods int)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    calendar constant jsonb := saleshub.fiscal_find(fiscal);
    first_day constant int := coalesce(week_start, (calendar ->> 'week_start')::int, 1);
BEGIN
    RETURN QUERY
    WITH move AS MATERIALIZED (
        SELECT l.entity_id, l.at, (l.changed #>> '{close_date,0}')::date AS was,
               (l.changed #>> '{close_date,1}')::date AS is_now
        FROM crm.change_log l
        WHERE l.org_id = saleshub.org_id() AND l.entity = 'deal' AND l.op = 'update'
            AND l.changed #>> '{close_date,0}' IS NOT NULL
            AND l.changed #>> '{close_date,1}' IS NOT NULL
            AND l.at >= from_ AND l.at < to_ AND l.at <= coalesce(as_of, 'infinity')
    ), edge AS MATERIALIZED (
        SELECT array_agg(s.starts ORDER BY s.starts) AS starts
        FROM (SELECT least(min(m.was), min(m.is_now)) AS first,
                     greatest(max(m.was), max(m.is_now)) AS last FROM move m) b,
             saleshub.fiscal_spans(calendar, slip_by, first_day, b.first, b.last) s
        WHERE b.first IS NOT NULL
    )
    SELECT m.entity_id, m.at, m.is_now - m.was,
           width_bucket(m.is_now, e.starts) - width_bucket(m.was, e.starts)
    FROM move m, edge e;
END;
$$;
COMMENT ON FUNCTION saleshub.close_date_moves(timestamptz, timestamptz, timestamptz, text, text, int) IS
    'How the days of expected closing were moved in [from_, to_): by how many days, and into the how manieth later (or earlier, negative) period of a calendar; 0 periods is no slip';

CREATE FUNCTION crm.report_slipped(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL,
    slip_by text DEFAULT 'month')
    RETURNS TABLE (
        period_no int, period text, starts timestamptz, ends timestamptz, key text, label text,
        deals bigint, slips bigint, pulled_in bigint, amount numeric, avg_slip_days numeric,
        max_slips bigint, open bigint, won bigint, lost bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'bucket', bucket,
        'group_by', group_by, 'fiscal', fiscal, 'week_start', week_start, 'currency', currency,
        'as_of', saleshub.utc(as_of)), saleshub.report_slipped_groups());
    low constant timestamptz := saleshub.report_bound(from_, 'from', bucket);
    high constant timestamptz := saleshub.report_bound(to_, 'to', bucket);
    shown constant boolean := NOT 'amount' = ANY (args.hidden);
    mapped constant boolean := saleshub.report_mapped(group_by);
BEGIN
    PERFORM saleshub.dashboard_refuse(saleshub.report_choice(
        jsonb_build_object('slip_by', slip_by), 'slip_by', '{week,month,quarter,year}'));
    IF 'close_date' = ANY (args.hidden) THEN
        PERFORM saleshub.raise('42501', 'the days of expected closing are hidden from you',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    RETURN QUERY
    WITH grid AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(low, high, args.zone, bucket, fiscal, week_start)
    ), flat AS MATERIALIZED (
        SELECT array_agg(g.starts ORDER BY g.period_no) AS starts FROM grid g
    ), moved AS MATERIALIZED (
        SELECT width_bucket(m.at, (SELECT f.starts FROM flat f)) AS period_no, m.deal_id,
               count(*) FILTER (WHERE m.periods > 0) AS slips,
               count(*) FILTER (WHERE m.periods < 0) AS pulled,
               coalesce(sum(m.days) FILTER (WHERE m.periods > 0), 0) AS days
        FROM saleshub.close_date_moves(low, high, as_of, slip_by, fiscal, week_start) m
        WHERE m.periods <> 0
        GROUP BY 1, 2
    ), deal AS MATERIALIZED (
        SELECT m.*, d.status, saleshub.deal_value(d.amount, d.currency, d.amount_base, d.closed_at,
                                                  args.money, coalesce(as_of, now())) AS value,
               CASE WHEN group_by = 'deal' THEN d.deal_id::text WHEN mapped THEN g.key
                    ELSE r.raw END AS key,
               CASE WHEN group_by = 'deal' THEN d.name WHEN mapped THEN g.label
                    ELSE r.raw END AS label
        FROM moved m
        JOIN saleshub.deals_at(as_of) d ON d.deal_id = m.deal_id
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
            d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) g ON g.raw = r.raw
    ), summed AS MATERIALIZED (
        SELECT d.period_no, d.key, min(d.label) AS label,
               count(*) FILTER (WHERE d.slips > 0) AS deals, sum(d.slips)::bigint AS slips,
               sum(d.pulled)::bigint AS pulled, sum(d.value) FILTER (WHERE d.slips > 0) AS value,
               sum(d.days) AS days, max(d.slips) AS most,
               count(*) FILTER (WHERE d.slips > 0 AND d.status = 'open') AS open,
               count(*) FILTER (WHERE d.slips > 0 AND d.status = 'won') AS won,
               count(*) FILTER (WHERE d.slips > 0 AND d.status = 'lost') AS lost
        FROM deal d
        GROUP BY d.period_no, d.key
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT g.period_no, g.label, nullif(g.starts, '-infinity'), nullif(g.ends, 'infinity'), k.key,
           k.label, coalesce(s.deals, 0), coalesce(s.slips, 0), coalesce(s.pulled, 0),
           CASE WHEN shown THEN saleshub.money_round(coalesce(s.value, 0), args.money) END,
           saleshub.dashboard_ratio(s.days, s.slips, 4), coalesce(s.most, 0),
           coalesce(s.open, 0), coalesce(s.won, 0), coalesce(s.lost, 0)
    FROM grid g
    CROSS JOIN grouped k
    -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
    LEFT JOIN summed s ON s.period_no = g.period_no AND ARRAY[s.key] = ARRAY[k.key]
    ORDER BY g.period_no, coalesce(s.slips, 0) DESC, k.label COLLATE "C", k.key;
END;
$$;
COMMENT ON FUNCTION crm.report_slipped(timestamptz, timestamptz, text, text, text, text, int, text,
                                       timestamptz, text) IS
    'Deals whose close_date was moved into a later period (slip_by: week, month, quarter or year of the calendar) in [from_, to_), most slips first: how often and how far, their amounts, and what has become of them; pulled_in counts moves to an earlier period. Also by deal.';

CREATE FUNCTION crm.report_slipped_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT NULL, fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    currency text DEFAULT NULL, as_of text DEFAULT NULL, slip_by text DEFAULT 'month') RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_slipped', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'currency', currency, 'as_of', as_of),
        saleshub.report_slipped_groups(), '[
        {"name": "deals", "type": "integer"}, {"name": "slips", "type": "integer"},
        {"name": "pulled_in", "type": "integer"}, {"name": "amount", "type": "money"},
        {"name": "avg_slip_days", "type": "number"}, {"name": "max_slips", "type": "integer"},
        {"name": "open", "type": "integer"}, {"name": "won", "type": "integer"},
        {"name": "lost", "type": "integer"}]',
        further => jsonb_build_object('slip_by', coalesce(nullif(slip_by, ''), 'month')));
END;
$$;
COMMENT ON FUNCTION crm.report_slipped_get(text, text, text, text, text, text, int, text, text, text) IS
    'crm.report_slipped as HTTP gives it.';

CREATE FUNCTION saleshub.routes_report_slipped() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/slipped',
        'crm.report_slipped_get(text, text, text, text, text, text, integer, text, text, text)',
        'Deals whose closing was pushed', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_slipped_groups(),
            '{"slip_by": {"enum": ["week", "month", "quarter", "year"],
                "description": "A slip is a move into a later one of these, month unless given"}}'),
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_slipped() IS 'Registers the route of the report of slips.';
