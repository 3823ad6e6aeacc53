-- What was won and lost, by the instant of closing.

CREATE FUNCTION saleshub.report_at(numbers numeric[], fraction numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN numbers[1 + floor(fraction * (cardinality(numbers) - 1))::int]
        + (fraction * (cardinality(numbers) - 1) - floor(fraction * (cardinality(numbers) - 1)))
        * (numbers[1 + ceil(fraction * (cardinality(numbers) - 1))::int]
           - numbers[1 + floor(fraction * (cardinality(numbers) - 1))::int]);
COMMENT ON FUNCTION saleshub.report_at(numeric[], numeric) IS
    'The continuous percentile of sorted numbers, as percentile_cont has it, without rounding.';

CREATE FUNCTION saleshub.deals_closed(
    from_ timestamptz, to_ timestamptz, as_of timestamptz, base text, money text,
    OUT deal_id uuid, OUT won boolean, OUT value numeric, OUT seconds numeric,
    OUT closed_at timestamptz, OUT owner_id uuid, OUT company_id uuid, OUT pipeline_id uuid,
    OUT stage_id uuid, OUT product text, OUT source text, OUT currency text, OUT lost_reason text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
    ROWS 100000
AS $$
#variable_conflict use_column
DECLARE
    low constant timestamptz := coalesce(from_, '-infinity');
    high constant timestamptz := coalesce(to_, 'infinity');
BEGIN
    IF as_of IS NULL AND base = money THEN
        RETURN QUERY
        SELECT d.deal_id, d.status = 'won', d.amount_base, extract(epoch FROM d.closed_at - d.opened_at),
               d.closed_at, d.owner_id, d.company_id, d.pipeline_id, d.stage_id, d.product, d.source,
               d.currency, d.lost_reason
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.status IN ('won', 'lost') AND d.deleted_at IS NULL
            AND d.closed_at >= low AND d.closed_at < high;
        RETURN;
    END IF;
    RETURN QUERY
    WITH was AS MATERIALIZED (
        SELECT d.*, saleshub.org_day(saleshub.org_id(), d.closed_at) AS day
        FROM saleshub.deals_at(as_of) d
        WHERE d.status IN ('won', 'lost') AND d.closed_at >= low AND d.closed_at < high
    ), rate AS MATERIALIZED (
        SELECT w.day, saleshub.report_rate(base, money, w.day) AS rate
        FROM (SELECT DISTINCT w.day FROM was w) w
    )
    SELECT w.deal_id, w.status = 'won',
           CASE w.currency WHEN money THEN w.amount ELSE w.amount_base * r.rate END,
           extract(epoch FROM w.closed_at - w.opened_at), w.closed_at, w.owner_id, w.company_id,
           w.pipeline_id, w.stage_id, w.product, w.source, w.currency, w.lost_reason
    FROM was w
    JOIN rate r ON r.day = w.day;
END;
$$;
COMMENT ON FUNCTION saleshub.deals_closed(timestamptz, timestamptz, timestamptz, text, text) IS
    'The deals that are won or lost and closed in [from_, to_), as known at as_of or now; value is the amount as frozen when they closed, in the currency asked for.';

CREATE FUNCTION crm.report_sales(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        period_no int, period text, starts timestamptz, ends timestamptz, key text, label text,
        won bigint, lost bigint, win_rate numeric, win_rate_value numeric, revenue numeric,
        lost_amount numeric, avg_won numeric, median_won numeric, avg_cycle_days numeric,
        median_cycle_days numeric, p90_cycle_days numeric, min_cycle_days numeric,
        max_cycle_days numeric, avg_lost_cycle_days numeric, median_lost_cycle_days numeric)
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
    low timestamptz := from_;
    high timestamptz := to_;
BEGIN
    IF bucket IS NOT NULL AND (from_ IS NULL OR to_ IS NULL) THEN
        SELECT coalesce(from_, min(d.closed_at)), coalesce(to_, max(d.closed_at) + interval '1 microsecond')
        INTO low, high
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.status IN ('won', 'lost') AND d.deleted_at IS NULL;
    END IF;
    RETURN QUERY
    WITH grid AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(low, high, args.zone, bucket, fiscal, week_start)
    ), flat AS MATERIALIZED (
        SELECT array_agg(coalesce(g.starts, '-infinity') ORDER BY g.period_no) AS starts FROM grid g
    ), closed AS (
        SELECT width_bucket(d.closed_at, (SELECT f.starts FROM flat f)) AS period_no,
               CASE WHEN mapped THEN m.key ELSE r.raw END AS key,
               CASE WHEN mapped THEN m.label ELSE r.raw END AS label,
               d.won, coalesce(d.value, 0) AS value, d.seconds
        FROM saleshub.deals_closed(low, high, as_of, args.base, args.money) d
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
            d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
    ), summed AS MATERIALIZED (
        SELECT c.period_no, c.key, min(c.label) AS label,
               count(*) FILTER (WHERE c.won) AS won, count(*) FILTER (WHERE NOT c.won) AS lost,
               sum(c.value) FILTER (WHERE c.won) AS revenue,
               sum(c.value) FILTER (WHERE NOT c.won) AS lost_amount,
               array_agg(c.value ORDER BY c.value) FILTER (WHERE c.won) AS values,
               sum(c.seconds) FILTER (WHERE c.won) AS seconds,
               array_agg(c.seconds ORDER BY c.seconds) FILTER (WHERE c.won) AS cycles,
               sum(c.seconds) FILTER (WHERE NOT c.won) AS lost_seconds,
               array_agg(c.seconds ORDER BY c.seconds) FILTER (WHERE NOT c.won) AS lost_cycles
        FROM closed c
        GROUP BY c.period_no, c.key
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT g.period_no, g.label, g.starts, g.ends, k.key, k.label, coalesce(s.won, 0),
           coalesce(s.lost, 0),
           saleshub.dashboard_ratio(s.won, s.won + s.lost, 6),
           CASE WHEN shown THEN saleshub.dashboard_ratio(
               coalesce(s.revenue, 0), coalesce(s.revenue, 0) + coalesce(s.lost_amount, 0), 6) END,
           CASE WHEN shown THEN saleshub.money_round(coalesce(s.revenue, 0), args.money) END,
           CASE WHEN shown THEN saleshub.money_round(coalesce(s.lost_amount, 0), args.money) END,
           CASE WHEN shown THEN saleshub.dashboard_ratio(s.revenue, s.won, 4) END,
           CASE WHEN shown THEN round(saleshub.report_at(s.values, 0.5), 4) END,
           saleshub.dashboard_ratio(s.seconds, s.won * 86400, 4),
           round(saleshub.report_at(s.cycles, 0.5) / 86400, 4),
           round(saleshub.report_at(s.cycles, 0.9) / 86400, 4),
           round(s.cycles[1] / 86400, 4), round(s.cycles[cardinality(s.cycles)] / 86400, 4),
           saleshub.dashboard_ratio(s.lost_seconds, s.lost * 86400, 4),
           round(saleshub.report_at(s.lost_cycles, 0.5) / 86400, 4)
    FROM grid g
    CROSS JOIN grouped k
    -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
    LEFT JOIN summed s ON s.period_no = g.period_no AND ARRAY[s.key] = ARRAY[k.key]
    ORDER BY g.period_no, k.label COLLATE "C", k.key;
END;
$$;
COMMENT ON FUNCTION crm.report_sales(timestamptz, timestamptz, text, text, text, text, int, text,
                                     timestamptz) IS
    'Deals won and lost in [from_, to_), by the instant of closing: counts, rates, sums, and how long they took; a row a period and group, zeros included. NULL bounds are open.';

CREATE FUNCTION saleshub.report_sales_groups() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{owner,team,manager,region,company,parent_company,industry,country,product,source,stage,pipeline,currency}'::text[];
COMMENT ON FUNCTION saleshub.report_sales_groups() IS 'What reports about deals can be grouped by.';

CREATE FUNCTION saleshub.report_sales_measures() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[{"name": "won", "type": "integer"}, {"name": "lost", "type": "integer"},
        {"name": "win_rate", "type": "number"}, {"name": "win_rate_value", "type": "number"},
        {"name": "revenue", "type": "money"}, {"name": "lost_amount", "type": "money"},
        {"name": "avg_won", "type": "money"}, {"name": "median_won", "type": "money"},
        {"name": "avg_cycle_days", "type": "number"}, {"name": "median_cycle_days", "type": "number"},
        {"name": "p90_cycle_days", "type": "number"}, {"name": "min_cycle_days", "type": "number"},
        {"name": "max_cycle_days", "type": "number"},
        {"name": "avg_lost_cycle_days", "type": "number"},
        {"name": "median_lost_cycle_days", "type": "number"}]'::jsonb;
COMMENT ON FUNCTION saleshub.report_sales_measures() IS 'The columns of the report of sales.';

CREATE FUNCTION crm.report_sales_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT NULL, fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    currency text DEFAULT NULL, as_of text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_sales', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'currency', currency, 'as_of', as_of),
        saleshub.report_sales_groups(), saleshub.report_sales_measures());
END;
$$;
COMMENT ON FUNCTION crm.report_sales_get(text, text, text, text, text, text, int, text, text) IS
    'crm.report_sales as HTTP gives it: {columns, rows, totals}.';

CREATE FUNCTION crm.report_velocity(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    group_by text DEFAULT NULL, currency text DEFAULT NULL)
    RETURNS TABLE (key text, label text, open bigint, win_rate numeric, avg_won numeric,
                   avg_cycle_days numeric, velocity_per_day numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'group_by', group_by,
        'currency', currency), saleshub.report_sales_groups());
    until constant timestamptz := coalesce(to_, now());
    since constant timestamptz := coalesce(from_, until - interval '90 days');
    mapped constant boolean := saleshub.report_mapped(group_by);
BEGIN
    RETURN QUERY
    WITH now_open AS (
        SELECT CASE WHEN mapped THEN m.key ELSE r.raw END AS key,
               min(CASE WHEN mapped THEN m.label ELSE r.raw END) AS label, count(d.deal_id) AS n
        FROM (SELECT * FROM crm.deal d
              WHERE d.org_id = saleshub.org_id() AND d.status = 'open' AND d.deleted_at IS NULL) d
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
            d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
        GROUP BY 1
    ), closed AS (
        SELECT CASE WHEN mapped THEN m.key ELSE r.raw END AS key,
               count(*) FILTER (WHERE d.won) AS won, count(*) AS n,
               sum(d.value) FILTER (WHERE d.won) AS revenue,
               sum(d.seconds) FILTER (WHERE d.won) AS seconds
        FROM saleshub.deals_closed(since, until, NULL, args.base, args.money) d
        -- What is closed is in another stage: all of it stands for each open one.
        CROSS JOIN LATERAL (SELECT CASE WHEN group_by <> 'stage' THEN saleshub.report_raw(group_by,
            d.owner_id, d.company_id, d.stage_id, d.pipeline_id, d.product, d.source, d.currency)
            END AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
        GROUP BY 1
    ), one AS (
        SELECT NULL::text AS key, NULL::text AS label, 0::bigint AS n
        WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM now_open o)
    )
    SELECT o.key, o.label, o.n, saleshub.dashboard_ratio(c.won, c.n, 6),
           CASE WHEN NOT 'amount' = ANY (args.hidden) THEN saleshub.dashboard_ratio(c.revenue, c.won, 4) END,
           saleshub.dashboard_ratio(c.seconds, c.won * 86400, 4),
           CASE WHEN NOT 'amount' = ANY (args.hidden) THEN saleshub.dashboard_ratio(
               o.n * saleshub.dashboard_ratio(c.won, c.n, 6) * c.revenue * 86400, c.seconds, 6) END
    FROM (SELECT * FROM now_open UNION ALL SELECT * FROM one) o
    LEFT JOIN closed c ON group_by = 'stage' OR c.key IS NOT DISTINCT FROM o.key
    ORDER BY o.label COLLATE "C", o.key;
END;
$$;
COMMENT ON FUNCTION crm.report_velocity(timestamptz, timestamptz, text, text, text) IS
    'Open deals now × win rate × average won ÷ average cycle of those closed in [from_, to_), by default the last 90 days: what is won a day. The win rate is the one shown, the averages are not rounded.';

CREATE FUNCTION crm.report_velocity_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    group_by text DEFAULT NULL, currency text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_velocity', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', group_by, 'currency', currency),
        saleshub.report_sales_groups(), '[
        {"name": "open", "type": "integer"}, {"name": "win_rate", "type": "number"},
        {"name": "avg_won", "type": "money"}, {"name": "avg_cycle_days", "type": "number"},
        {"name": "velocity_per_day", "type": "money"}]',
        '{from_,to_,tz,group_by,currency}');
END;
$$;
COMMENT ON FUNCTION crm.report_velocity_get(text, text, text, text, text) IS
    'crm.report_velocity as HTTP gives it.';

CREATE FUNCTION saleshub.routes_report_sales() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant jsonb := saleshub.report_route_args(saleshub.report_sales_groups());
BEGIN
    PERFORM saleshub.route('GET /v1/reports/sales',
        'crm.report_sales_get(text, text, text, text, text, text, integer, text, text)',
        'What was won and lost', 'analytics', timeout_ms => 30000, args => args,
        answer => '"Report"');
    PERFORM saleshub.route('GET /v1/reports/velocity',
        'crm.report_velocity_get(text, text, text, text, text)',
        'What is won a day at this pace', 'analytics', timeout_ms => 30000,
        args => args - '{bucket,fiscal,week_start,as_of}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_sales() IS
    'Registers the routes of the reports of sales and velocity.';
