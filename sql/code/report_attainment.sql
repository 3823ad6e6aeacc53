-- How much of their quotas members and teams have sold: won deals by when they closed, each by the
-- parts that members have in it, in the currency of the quota.

CREATE FUNCTION saleshub.sale_parts(from_ date, to_ date, as_of timestamptz)
    RETURNS TABLE (member_id uuid, deal_id uuid, part numeric, status text, day date,
                   amount numeric, currency text, amount_base numeric, closed_at timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    zone constant text := (SELECT o.timezone FROM crm.org o WHERE o.org_id = saleshub.org_id());
    everything constant boolean := saleshub.sees_all('deal');
    seen constant uuid[] := CASE WHEN NOT everything THEN saleshub.visible_owners('deal') END;
BEGIN
    RETURN QUERY
    WITH split AS MATERIALIZED (SELECT * FROM saleshub.splits_at(as_of))
    SELECT p.member_id, d.deal_id, p.part, d.status, c.day, d.amount, d.currency, d.amount_base,
           d.closed_at
    FROM saleshub.deals_at(as_of) d
    CROSS JOIN LATERAL (SELECT CASE d.status WHEN 'open' THEN d.close_date
                               ELSE (d.closed_at AT TIME ZONE zone)::date END AS day) c
    CROSS JOIN LATERAL (
        SELECT s.member_id, s.share / 100 AS part FROM split s WHERE s.deal_id = d.deal_id
        UNION ALL
        SELECT d.owner_id, 1
        WHERE NOT EXISTS (SELECT FROM split s WHERE s.deal_id = d.deal_id)
    ) p
    WHERE d.status IN ('won', 'open') AND d.forecast_category <> 'omitted' AND d.amount > 0
        AND c.day >= from_ AND c.day < to_ AND p.member_id IS NOT NULL
        AND (everything OR p.member_id = ANY (seen));
END;
$$;
ALTER FUNCTION saleshub.sale_parts(date, date, timestamptz) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sale_parts(date, date, timestamptz) IS
    'The parts of members whose deals the caller sees, in won deals by the day they closed, and in open ones by close_date; also in deals of others, of which a part says no more than it is';

CREATE FUNCTION crm.report_attainment(
    from_ date, to_ date, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (quota_id uuid, kind text, key text, label text, period_from date,
                   period_to date, currency text, quota numeric, deals bigint, closed numeric,
                   attainment numeric, pipeline numeric, coverage numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    instant constant timestamptz := coalesce(as_of, now());
BEGIN
    RETURN QUERY
    WITH want AS MATERIALIZED (
        SELECT q.quota_id, q.member_id, q.team_id, q.period_from, q.period_to, q.currency, q.amount,
               coalesce(m.name, t.name) AS name,
               CASE WHEN q.team_id IS NULL THEN ARRAY[q.member_id]
               ELSE saleshub.team_members(q.team_id) END AS members
        FROM (SELECT r.*
              FROM crm.quota c
              LEFT JOIN LATERAL (SELECT * FROM saleshub.records_before('quota', as_of, NULL)
                                 WHERE as_of IS NOT NULL) b ON b.id = c.quota_id,
              LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) r
              WHERE c.org_id = org AND b.existed IS DISTINCT FROM false) q
        LEFT JOIN crm.member m ON m.org_id = org AND m.member_id = q.member_id
        LEFT JOIN crm.team t ON t.org_id = org AND t.team_id = q.team_id
        WHERE q.deleted_at IS NULL AND q.period_from >= from_ AND q.period_to <= to_
    ), part AS MATERIALIZED (
        SELECT p.*
        FROM (SELECT min(w.period_from) AS first, max(w.period_to) AS last FROM want w) b,
             LATERAL saleshub.sale_parts(b.first, b.last, as_of) p
    ), sold AS (
        SELECT w.quota_id, count(DISTINCT p.deal_id) FILTER (WHERE p.status = 'won') AS deals,
               sum(v.value) FILTER (WHERE p.status = 'won') AS closed,
               sum(v.value) FILTER (WHERE p.status = 'open') AS pipeline
        FROM want w
        JOIN part p ON p.member_id = ANY (w.members) AND p.day >= w.period_from
            AND p.day < w.period_to,
        LATERAL (SELECT p.part * saleshub.deal_value(p.amount, p.currency, p.amount_base,
                                                     p.closed_at, w.currency, instant) AS value) v
        GROUP BY w.quota_id
    )
    SELECT w.quota_id, CASE WHEN w.team_id IS NULL THEN 'member' ELSE 'team' END,
           coalesce(w.member_id, w.team_id)::text, w.name, w.period_from, w.period_to, w.currency,
           w.amount, coalesce(s.deals, 0), coalesce(s.closed, 0),
           saleshub.dashboard_ratio(coalesce(s.closed, 0), w.amount, 6), coalesce(s.pipeline, 0),
           saleshub.dashboard_ratio(coalesce(s.pipeline, 0),
                                    greatest(w.amount - coalesce(s.closed, 0), 0), 6)
    FROM want w
    LEFT JOIN sold s ON s.quota_id = w.quota_id
    ORDER BY w.period_from, w.period_to, w.team_id IS NOT NULL, w.name, w.quota_id;
END;
$$;
COMMENT ON FUNCTION crm.report_attainment(date, date, timestamptz) IS
    'Each quota whose period lies in [from_, to_): what was won, by the parts of members in deals, in the currency of the quota by the rates of the days of closing; attainment = closed ÷ quota; pipeline is open deals to close in the period, coverage = pipeline ÷ what is missing (NULL when nothing is)';

CREATE FUNCTION crm.report_attainment_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, currency text DEFAULT NULL,
    as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'currency', currency, 'as_of', as_of), '{}');
    low constant date := coalesce((args.from_at AT TIME ZONE args.zone)::date, '-infinity');
    high constant date := coalesce((args.to_at AT TIME ZONE args.zone)::date, 'infinity');
    columns constant jsonb := '[
        {"name": "quota_id", "type": "text"}, {"name": "kind", "type": "text"},
        {"name": "key", "type": "text"}, {"name": "label", "type": "text"},
        {"name": "period_from", "type": "date"}, {"name": "period_to", "type": "date"},
        {"name": "quota", "type": "money"}, {"name": "deals", "type": "integer"},
        {"name": "closed", "type": "money"}, {"name": "attainment", "type": "number"},
        {"name": "pipeline", "type": "money"}, {"name": "coverage", "type": "number"}]';
BEGIN
    IF 'amount' = ANY (args.hidden) THEN
        PERFORM saleshub.raise('42501', 'the amounts of deals are hidden from you',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    RETURN (SELECT saleshub.report_answer(columns,
        coalesce(jsonb_agg(to_jsonb(r) || jsonb_build_object(
            'quota', saleshub.money_json(r.quota, r.currency),
            'closed', saleshub.dashboard_money(r.closed, r.currency),
            'pipeline', saleshub.dashboard_money(r.pipeline, r.currency))), '[]'),
        -- Of members: teams hold the same deals again.
        jsonb_build_object(
            'quota', saleshub.dashboard_money(coalesce(sum(r.quota * e.rate), 0), args.money),
            'closed', saleshub.dashboard_money(coalesce(sum(r.closed * e.rate), 0), args.money),
            'attainment', saleshub.dashboard_ratio(sum(r.closed * e.rate), sum(r.quota * e.rate), 6)))
    FROM crm.report_attainment(low, high, args.as_of) r,
    LATERAL (SELECT CASE r.kind WHEN 'member' THEN
                 saleshub.report_rate(r.currency, args.money, r.period_from) END AS rate) e);
END;
$$;
COMMENT ON FUNCTION crm.report_attainment_get(text, text, text, text) IS
    'crm.report_attainment as HTTP gives it; the totals are of the quotas of members, in one currency by the rates of the first days of their periods';

CREATE FUNCTION saleshub.routes_report_attainment() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/attainment', 'crm.report_attainment_get(text, text, text, text)',
        'How much of their quotas members and teams have sold', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{}')
            - '{tz,bucket,fiscal,week_start,group_by}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_attainment() IS 'Registers the route of the report on quotas';
