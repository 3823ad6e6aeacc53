-- The forecast: what was won in a period, and what the open deals that should close in it will add.
-- Figures are cumulative: commit holds what is closed, best_case holds commit, open all but what is
-- omitted.

CREATE FUNCTION saleshub.forecast_deals(
    from_ timestamptz, to_ timestamptz, zone text, money text, as_of timestamptz, group_by text)
    RETURNS TABLE (at timestamptz, owner_id uuid, raw text, category text, p numeric, value numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT f.at, d.owner_id,
           saleshub.report_raw(group_by, d.owner_id, d.company_id, d.stage_id, d.pipeline_id,
                               d.product, d.source, d.currency),
           d.forecast_category, CASE d.status WHEN 'won' THEN 1 ELSE d.probability / 100 END,
           saleshub.deal_value(d.amount, d.currency, d.amount_base, d.closed_at, money,
                               coalesce(as_of, now()))
    FROM saleshub.deals_at(as_of) d,
    LATERAL (SELECT CASE d.status WHEN 'won' THEN d.closed_at
                    ELSE d.close_date::timestamp AT TIME ZONE zone END AS at) f
    WHERE d.forecast_category <> 'omitted' AND f.at >= from_ AND f.at < to_;
END;
$$;
COMMENT ON FUNCTION saleshub.forecast_deals(timestamptz, timestamptz, text, text, timestamptz, text) IS
    'The deals that a forecast counts: won ones by when they closed, open ones by the day they should, without omitted ones; with their chance and worth';

CREATE FUNCTION saleshub.forecast_adjustments(zone text, money text, as_of timestamptz)
    RETURNS TABLE (member_id uuid, period_from timestamptz, period_to timestamptz, category text,
                   amount numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT a.member_id, a.period_from::timestamp AT TIME ZONE zone,
           a.period_to::timestamp AT TIME ZONE zone, a.category,
           a.amount * saleshub.report_rate(a.currency, money, a.period_from)
    FROM (SELECT DISTINCT ON (a.member_id, a.period_from, a.period_to, a.category) a.*
          FROM crm.forecast_adjustment a
          WHERE a.org_id = saleshub.org_id() AND (as_of IS NULL OR a.made_at <= as_of)
          ORDER BY a.member_id, a.period_from, a.period_to, a.category,
                   a.forecast_adjustment_id DESC) a
    WHERE a.amount IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.forecast_adjustments(text, text, timestamptz) IS
    'The adjustments that hold, of members whose deals the caller sees';

CREATE FUNCTION crm.report_forecast(
    from_ timestamptz, to_ timestamptz, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT NULL, fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (period_no int, period text, starts timestamptz, ends timestamptz, key text,
                   label text, deals bigint, closed numeric, commit numeric, best_case numeric,
                   open numeric, weighted numeric, low numeric, high numeric, method text,
                   adjusted_commit numeric, adjusted_best_case numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    money constant text := coalesce(report_forecast.currency, saleshub.org_currency(org));
    zone constant text := coalesce(tz, (SELECT o.timezone FROM crm.org o WHERE o.org_id = org));
    by_owner constant boolean := coalesce(group_by IN ('owner', 'team', 'manager', 'region'), true);
BEGIN
    RETURN QUERY
    WITH span AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(from_, to_, tz, bucket, fiscal, week_start)
    ), deal AS MATERIALIZED (
        SELECT s.period_no, f.owner_id, f.category, f.p, f.value,
               CASE WHEN saleshub.report_mapped(group_by) THEN m.key ELSE f.raw END AS key,
               CASE WHEN saleshub.report_mapped(group_by) THEN m.label ELSE f.raw END AS label
        FROM span s
        JOIN saleshub.forecast_deals(from_, to_, zone, money, as_of, group_by) f
            ON f.at >= s.starts AND f.at < s.ends
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = f.raw
    ), adjustment AS (
        SELECT s.period_no, a.member_id, m.key, m.label,
               max(a.amount) FILTER (WHERE a.category = 'commit') AS commit,
               max(a.amount) FILTER (WHERE a.category = 'best_case') AS best_case
        FROM span s
        JOIN saleshub.forecast_adjustments(zone, money, as_of) a
            ON a.period_from = s.starts AND a.period_to = s.ends AND by_owner
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = a.member_id::text
        GROUP BY s.period_no, a.member_id, m.key, m.label
    ), owner AS (
        SELECT d.period_no, d.owner_id, d.key, d.label,
               sum(d.value) FILTER (WHERE d.category IN ('closed', 'commit')) AS commit,
               sum(d.value) FILTER (WHERE d.category <> 'pipeline') AS best_case
        FROM deal d
        GROUP BY d.period_no, d.owner_id, d.key, d.label
    ), adjusted AS (
        SELECT coalesce(o.period_no, a.period_no) AS period_no, coalesce(o.key, a.key) AS key,
               coalesce(o.label, a.label) AS label,
               sum(coalesce(a.commit, o.commit, 0)) AS commit,
               sum(coalesce(a.best_case, o.best_case, 0)) AS best_case
        FROM owner o
        FULL JOIN adjustment a ON a.period_no = o.period_no AND a.member_id = o.owner_id
        GROUP BY 1, 2, 3
    ), figure AS (
        SELECT d.period_no, d.key, d.label, count(*) AS deals,
               sum(d.value) FILTER (WHERE d.category = 'closed') AS closed,
               sum(d.value) FILTER (WHERE d.category = 'commit') AS sure,
               sum(d.value) FILTER (WHERE d.category = 'best_case') AS likely,
               sum(d.value) AS open, sum(d.value * d.p) AS weighted,
               array_agg(d.p::double precision) AS chances,
               array_agg(round(d.value, 4)) AS amounts
        FROM deal d
        GROUP BY d.period_no, d.key, d.label
    )
    SELECT s.period_no, s.label, s.starts, s.ends, a.key, a.label, coalesce(f.deals, 0),
           coalesce(f.closed, 0), coalesce(f.closed, 0) + coalesce(f.sure, 0),
           coalesce(f.closed, 0) + coalesce(f.sure, 0) + coalesce(f.likely, 0),
           coalesce(f.open, 0), coalesce(f.weighted, 0), coalesce(i.lower, 0),
           coalesce(i.upper, 0), coalesce(i.method, 'exact'),
           CASE WHEN by_owner THEN coalesce(a.commit, 0) END,
           CASE WHEN by_owner THEN coalesce(a.best_case, 0) END
    FROM span s
    LEFT JOIN adjusted a ON a.period_no = s.period_no
    LEFT JOIN figure f ON f.period_no = s.period_no AND f.key IS NOT DISTINCT FROM a.key
        AND f.label IS NOT DISTINCT FROM a.label
    LEFT JOIN LATERAL saleshub.bernoulli_sum_interval(f.chances, f.amounts, 0.8) i ON true
    WHERE group_by IS NULL OR a.period_no IS NOT NULL
    ORDER BY s.period_no, a.label, a.key;
END;
$$;
COMMENT ON FUNCTION crm.report_forecast(timestamptz, timestamptz, text, text, text, text, int, text, timestamptz) IS
    'What [from_, to_) will bring, by bucket and group: won deals by when they closed, open ones by close_date. Cumulative: closed; commit = closed + commit; best_case = commit + best case; open = all but omitted. weighted = Σ amount × probability; between low and high the outcome lies in eight of ten cases. adjusted_*: with what managers say of a member for exactly this period';

CREATE FUNCTION saleshub.forecast_measures() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[{"name": "deals", "type": "integer"}, {"name": "closed", "type": "money"},
        {"name": "commit", "type": "money"}, {"name": "best_case", "type": "money"},
        {"name": "open", "type": "money"}, {"name": "weighted", "type": "money"},
        {"name": "low", "type": "money"}, {"name": "high", "type": "money"},
        {"name": "method", "type": "text"}, {"name": "adjusted_commit", "type": "money"},
        {"name": "adjusted_best_case", "type": "money"}]'::jsonb;
COMMENT ON FUNCTION saleshub.forecast_measures() IS 'The columns of a forecast';

CREATE FUNCTION saleshub.forecast_shown(figures jsonb, money text, hidden text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    sums constant text[] := '{closed,commit,best_case,open,weighted,low,high,adjusted_commit,adjusted_best_case}';
BEGIN
    IF hidden && '{amount,probability,close_date,status}' THEN
        RETURN figures - sums;
    END IF;
    RETURN figures || (
        SELECT jsonb_object_agg(f.name, saleshub.money_round((figures ->> f.name)::numeric, money))
        FROM unnest(sums) f (name));
END;
$$;
COMMENT ON FUNCTION saleshub.forecast_shown(jsonb, text, text[]) IS
    'A row of a forecast with its sums rounded, or without them for those from whom what they come of is hidden';

CREATE FUNCTION crm.report_forecast_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start integer DEFAULT NULL, currency text DEFAULT NULL, as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'currency', currency, 'as_of', as_of),
        saleshub.report_sales_groups());
    low constant timestamptz := saleshub.report_bound(args.from_at, 'from', args.bucket);
    high constant timestamptz := saleshub.report_bound(args.to_at, 'to', args.bucket);
    rows jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(saleshub.forecast_shown(to_jsonb(r), args.money, args.hidden)), '[]')
    INTO rows
    FROM crm.report_forecast(low, high, args.zone, args.bucket, args.group_by, args.fiscal,
                             args.week_start, args.money, args.as_of) r;
    RETURN saleshub.report_answer(
        saleshub.report_columns(args.bucket, args.group_by, saleshub.forecast_measures(), args.money),
        rows,
        CASE WHEN args.bucket IS NULL AND args.group_by IS NULL THEN rows -> 0
        ELSE (SELECT saleshub.forecast_shown(to_jsonb(t), args.money, args.hidden)
              FROM crm.report_forecast(low, high, args.zone, NULL, NULL, NULL, NULL, args.money,
                                       args.as_of) t) END);
END;
$$;
COMMENT ON FUNCTION crm.report_forecast_get(text, text, text, text, text, text, integer, text, text) IS
    'crm.report_forecast as HTTP gives it; low and high of the totals are those of the whole, not sums';
