-- Forecasts as they were on each day, and how good they were.

CREATE FUNCTION saleshub.forecast_spans(day date)
    RETURNS TABLE (bucket text, starts date, ends date)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    calendar constant jsonb := saleshub.fiscal_find(NULL);
BEGIN
    RETURN QUERY
    SELECT b.bucket, s.starts, s.ends
    FROM (VALUES ('month'), ('quarter')) AS b (bucket)
    CROSS JOIN LATERAL (
        SELECT f.starts, f.ends
        FROM saleshub.fiscal_spans(calendar, b.bucket, 1, day, day + 370) f
        WHERE f.ends > day
        ORDER BY f.starts
        LIMIT 2) s;
END;
$$;
COMMENT ON FUNCTION saleshub.forecast_spans(date) IS
    'The month and quarter of a day in the calendar of the organisation, and the next ones';

CREATE FUNCTION saleshub.forecast_take() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    home record;
    day date;
    taken bigint;
BEGIN
    SELECT o.currency, o.timezone INTO home FROM crm.org o WHERE o.org_id = org;
    day := saleshub.org_day(org, now());
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.forecast:' || org, 0));
    DELETE FROM crm.forecast_snapshot s WHERE s.org_id = org AND s.taken_on = day;
    INSERT INTO crm.forecast_snapshot (org_id, taken_on, bucket, period_from, period_to, member_id,
                                       whole, currency, deals, closed, commit, best_case, open,
                                       weighted, low, high)
    SELECT org, day, s.bucket, s.starts, s.ends, f.key::uuid, w.whole, home.currency, f.deals,
           f.closed, f.commit, f.best_case, f.open, f.weighted, f.low, f.high
    FROM saleshub.forecast_spans(day) s
    CROSS JOIN (VALUES (true, NULL), (false, 'owner')) AS w (whole, group_by)
    CROSS JOIN LATERAL crm.report_forecast(
        s.starts::timestamp AT TIME ZONE home.timezone,
        s.ends::timestamp AT TIME ZONE home.timezone, home.timezone,
        group_by => w.group_by, currency => home.currency) f;
    GET DIAGNOSTICS taken = ROW_COUNT;
    RETURN taken;
END;
$$;
ALTER FUNCTION saleshub.forecast_take() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.forecast_take() IS
    'Keeps what is forecast now as the forecast of this day, in place of one that there is';

CREATE FUNCTION saleshub.forecast_run() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    before constant text := current_setting('saleshub.org_id', true);
    org uuid;
    taken bigint := 0;
BEGIN
    FOR org IN
        SELECT o.org_id FROM crm.org o
        WHERE NOT EXISTS (SELECT FROM crm.forecast_snapshot s
                          WHERE s.org_id = o.org_id
                              AND s.taken_on = (now() AT TIME ZONE o.timezone)::date)
        ORDER BY random()
    LOOP
        EXIT WHEN clock_timestamp() > now() + interval '1 second';
        BEGIN
            PERFORM set_config('saleshub.org_id', org::text, true);
            taken := taken + saleshub.forecast_take();
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'forecast of organisation %: %', org, SQLERRM;
        END;
    END LOOP;
    PERFORM set_config('saleshub.org_id', coalesce(before, ''), true);
    RETURN taken;
END;
$$;
COMMENT ON FUNCTION saleshub.forecast_run() IS
    'Keeps the forecasts of organisations that have none of today, for about a second; done by the worker when it keeps house';

CREATE FUNCTION crm.forecast_snapshot_take() RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.member_role() NOT IN ('admin', 'manager') THEN
        PERFORM saleshub.raise('42501', 'role ' || saleshub.member_role() || ' may not keep forecasts',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    RETURN jsonb_build_object('taken_on', saleshub.org_day(saleshub.org_id(), now()),
                              'rows', saleshub.forecast_take());
END;
$$;
ALTER FUNCTION crm.forecast_snapshot_take() OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.forecast_snapshot_take() IS
    'Keeps the present forecast as that of today; the worker does so once a day. For admins and managers';

CREATE FUNCTION crm.report_forecast_accuracy(
    from_ date, to_ date, bucket text DEFAULT 'quarter', measure text DEFAULT 'weighted',
    group_by text DEFAULT NULL)
    RETURNS TABLE (key text, label text, lead_days int, periods bigint, forecast numeric,
                   actual numeric, accuracy numeric, bias numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    home constant text := saleshub.org_currency(org);
    zone constant text := (SELECT o.timezone FROM crm.org o WHERE o.org_id = org);
BEGIN
    RETURN QUERY
    WITH past AS (
        SELECT s.period_from, s.period_to, l.days, max(s.taken_on) AS day
        FROM crm.forecast_snapshot s
        JOIN unnest(ARRAY[7, 14, 30, 60, 90]) AS l (days) ON s.taken_on <= s.period_to - l.days
        WHERE s.org_id = org AND s.bucket = report_forecast_accuracy.bucket AND NOT s.whole
            AND s.period_from >= from_ AND s.period_to <= to_
            AND s.period_to <= saleshub.org_day(org, now())
        GROUP BY s.period_from, s.period_to, l.days
    ), told AS (
        SELECT p.period_from, p.period_to, p.days, s.member_id,
               CASE measure WHEN 'commit' THEN s.commit WHEN 'best_case' THEN s.best_case
                            WHEN 'open' THEN s.open ELSE s.weighted END AS forecast
        FROM past p
        JOIN crm.forecast_snapshot s ON s.org_id = org AND NOT s.whole AND s.taken_on = p.day
            AND s.bucket = report_forecast_accuracy.bucket AND s.period_from = p.period_from
    ), came AS (
        SELECT p.period_from, p.period_to, p.days, d.owner_id AS member_id,
               saleshub.deal_value(d.amount, d.currency, d.amount_base, d.closed_at, home,
                                   d.closed_at) AS actual
        FROM past p
        JOIN saleshub.deals_at(NULL) d ON d.status = 'won'
            AND d.closed_at >= p.period_from::timestamp AT TIME ZONE zone
            AND d.closed_at < p.period_to::timestamp AT TIME ZONE zone
    ), one AS (
        SELECT m.key, m.label, x.days, x.period_from, sum(x.forecast) AS forecast,
               sum(x.actual) AS actual
        FROM (SELECT t.period_from, t.days, t.member_id, t.forecast, 0 AS actual FROM told t
              UNION ALL
              SELECT c.period_from, c.days, c.member_id, 0, c.actual FROM came c) x
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = x.member_id::text
        GROUP BY m.key, m.label, x.days, x.period_from
    )
    SELECT o.key, o.label, o.days, count(*), sum(o.forecast), sum(o.actual),
           round(avg(1 - abs(o.forecast - o.actual) / nullif(o.actual, 0)), 6),
           saleshub.dashboard_ratio(sum(o.forecast - o.actual), sum(o.actual), 6)
    FROM one o
    GROUP BY o.key, o.label, o.days
    ORDER BY o.label, o.key, o.days;
END;
$$;
COMMENT ON FUNCTION crm.report_forecast_accuracy(date, date, text, text, text) IS
    'How good forecasts of past months or quarters within [from_, to_) were, 7 to 90 days before their ends: accuracy = 1 - |F - A| / A, the mean over periods with sales; bias = Σ(F - A) / ΣA. F is the kept figure (weighted, commit, best_case or open), A what was won. group_by owner, team, manager or region';

CREATE FUNCTION crm.report_forecast_accuracy_get(
    from_ date DEFAULT NULL, to_ date DEFAULT NULL, bucket text DEFAULT NULL,
    measure text DEFAULT NULL, group_by text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(
        jsonb_build_object('from', from_, 'to', to_, 'group_by', group_by),
        '{owner,team,manager,region}');
    low constant date := coalesce(from_, '-infinity');
    high constant date := coalesce(to_, 'infinity');
BEGIN
    PERFORM saleshub.dashboard_refuse(
        saleshub.report_choice(jsonb_build_object('bucket', bucket), 'bucket', '{month,quarter}')
        || saleshub.report_choice(jsonb_build_object('measure', measure), 'measure',
                                  '{weighted,commit,best_case,open}'));
    IF args.hidden && '{amount,probability}' THEN
        PERFORM saleshub.bad_parameter('measure', 'hidden', 'is hidden from you');
    END IF;
    bucket := coalesce(nullif(bucket, ''), 'quarter');
    measure := coalesce(nullif(measure, ''), 'weighted');
    RETURN saleshub.report_answer(
        saleshub.report_columns(NULL, args.group_by, '[
            {"name": "lead_days", "type": "integer"}, {"name": "periods", "type": "integer"},
            {"name": "forecast", "type": "money"}, {"name": "actual", "type": "money"},
            {"name": "accuracy", "type": "number"}, {"name": "bias", "type": "number"}]', args.base),
        (SELECT coalesce(jsonb_agg(to_jsonb(r) || jsonb_build_object(
                    'forecast', saleshub.money_round(r.forecast, args.base),
                    'actual', saleshub.money_round(r.actual, args.base))), '[]')
         FROM crm.report_forecast_accuracy(low, high, bucket, measure, args.group_by) r), '{}');
END;
$$;
COMMENT ON FUNCTION crm.report_forecast_accuracy_get(date, date, text, text, text) IS
    'crm.report_forecast_accuracy as HTTP gives it, in the currency of the organisation; there are no totals over lead times';

CREATE FUNCTION saleshub.routes_forecast() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/forecast',
        'crm.report_forecast_get(text, text, text, text, text, text, integer, text, text)',
        'What a period will bring', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_sales_groups()),
        answer => '"Report"');
    PERFORM saleshub.route(
        'GET /v1/reports/forecast-accuracy',
        'crm.report_forecast_accuracy_get(date, date, text, text, text)',
        'How good forecasts were', 'analytics', timeout_ms => 30000,
        args => '{"bucket": {"type": "string", "enum": ["month", "quarter"]},
                  "measure": {"type": "string", "enum": ["weighted", "commit", "best_case", "open"]},
                  "group_by": {"type": "string", "enum": ["owner", "team", "manager", "region"]}}',
        answer => '"Report"');
    PERFORM saleshub.route(
        'POST /v1/forecasts/snapshots', 'crm.forecast_snapshot_take()',
        'Keep the present forecast as that of today', 'analytics', timeout_ms => 30000,
        answer => '{"taken_on": "date", "rows": "integer"}');
    PERFORM saleshub.route(
        'POST /v1/forecasts/adjustments', 'crm.forecast_adjust(jsonb)',
        'Adjust the forecast of a member', 'analytics', success => 201, idempotent => true,
        args => jsonb_build_object('body', saleshub.forecast_adjustment_schema()),
        answer => '"ForecastAdjustment"');
    PERFORM saleshub.route(
        'GET /v1/forecasts/adjustments', 'crm.forecast_adjustment_list(date, date, uuid)',
        'Adjustments of forecasts, the newest first', 'analytics',
        answer => saleshub.page_shape('"ForecastAdjustment"'));
END;
$$;
COMMENT ON FUNCTION saleshub.routes_forecast() IS 'Registers the routes of forecasts';
