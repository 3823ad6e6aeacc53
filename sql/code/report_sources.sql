-- Where won deals came from, and what that cost. The touches of a deal share out what it brought.
-- All shares together are the revenue, to the smallest unit: each is cut to it, and what is left
-- goes to the largest remainders.

CREATE FUNCTION saleshub.credit_models() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{first,last,linear,u,w,decay}'::text[];
COMMENT ON FUNCTION saleshub.credit_models() IS 'How touches can share out a deal.';

CREATE FUNCTION saleshub.credit_weight(
    model text, n bigint, i bigint, is_lead boolean, is_deal boolean, keys bigint, age numeric)
    RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE model
        WHEN 'first' THEN CASE i WHEN 1 THEN 1 ELSE 0 END
        WHEN 'last' THEN CASE i WHEN n THEN 1 ELSE 0 END
        WHEN 'u' THEN CASE WHEN n <= 2 THEN 1 WHEN i IN (1, n) THEN 0.4 ELSE 0.2 / (n - 2) END
        WHEN 'w' THEN
            0.3 * ((i = 1)::int + is_lead::int + is_deal::int)
            + CASE WHEN i = 1 OR is_lead OR is_deal THEN 0 ELSE 0.1 / (n - keys) END
        WHEN 'decay' THEN power(2::numeric, - age / 7)
        ELSE 1 END;
END;
$$;
COMMENT ON FUNCTION saleshub.credit_weight(text, bigint, bigint, boolean, boolean, bigint, numeric) IS
    'What touch i of n weighs: first, last; linear alike; u 40/20/40 first, between, last; w 30/30/30/10 first, the one that made the lead, the last before the deal began, the others (keys: how many the three are); decay halves with every 7 days of age, in days before the last touch';

CREATE FUNCTION saleshub.win_touches(from_ timestamptz, to_ timestamptz, money text, as_of timestamptz)
    RETURNS TABLE (deal_id uuid, value numeric, opened_at timestamptz, closed_at timestamptz,
                   source text, campaign text, at timestamptz, makes_lead boolean, touch_id uuid)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
BEGIN
    RETURN QUERY
    WITH RECURSIVE win AS MATERIALIZED (
        SELECT d.deal_id, d.opened_at, d.closed_at, d.lead_id, d.contact_id, d.source,
               saleshub.money_round(saleshub.deal_value(
                   d.amount, d.currency, d.amount_base, d.closed_at, money, d.closed_at),
                   money) AS value
        FROM saleshub.deals_at(as_of) d
        WHERE d.status = 'won' AND d.closed_at >= from_ AND d.closed_at < to_
    ), origin (deal_id, lead_id) AS (
        -- The lead of a deal, and those that were merged into it.
        SELECT w.deal_id, w.lead_id FROM win w WHERE w.lead_id IS NOT NULL
        UNION
        SELECT o.deal_id, r.old_id
        FROM origin o
        JOIN crm.redirect r ON r.org_id = org AND r.entity = 'lead' AND r.new_id = o.lead_id
    ), born AS (
        SELECT w.deal_id, l.source, least(l.created_at, w.closed_at) AS at, l.lead_id
        FROM origin o
        JOIN win w ON w.deal_id = o.deal_id
        JOIN crm.lead l ON l.org_id = org AND l.lead_id = o.lead_id
        WHERE l.source IS NOT NULL
    ), about AS (
        SELECT w.deal_id, 'deal' AS entity, w.deal_id AS entity_id FROM win w
        UNION ALL
        SELECT w.deal_id, 'contact', w.contact_id FROM win w WHERE w.contact_id IS NOT NULL
        UNION ALL
        SELECT o.deal_id, 'lead', o.lead_id FROM origin o
    ), met AS (
        SELECT DISTINCT w.deal_id, t.touch_id, t.source, t.campaign, t.at
        FROM about a
        JOIN win w ON w.deal_id = a.deal_id
        JOIN crm.touch_link l ON l.org_id = org AND l.entity = a.entity
            AND l.entity_id = a.entity_id
        JOIN crm.touch t ON t.org_id = org AND t.touch_id = l.touch_id AND t.at <= w.closed_at
            AND (as_of IS NULL OR t.created_at <= as_of)
    ), every AS (
        SELECT b.deal_id, b.source, NULL AS campaign, b.at, true AS makes_lead,
               b.lead_id AS touch_id
        FROM born b
        UNION ALL
        SELECT m.deal_id, m.source, m.campaign, m.at, false, m.touch_id FROM met m
        UNION ALL
        SELECT w.deal_id, w.source, NULL, w.opened_at, false, w.deal_id
        FROM win w
        WHERE w.source IS NOT NULL AND NOT EXISTS (SELECT FROM born b WHERE b.deal_id = w.deal_id)
    )
    SELECT w.deal_id, w.value, w.opened_at, w.closed_at, e.source, e.campaign,
           coalesce(e.at, w.closed_at), coalesce(e.makes_lead, false), e.touch_id
    FROM win w
    LEFT JOIN every e ON e.deal_id = w.deal_id;
END;
$$;
COMMENT ON FUNCTION saleshub.win_touches(timestamptz, timestamptz, text, timestamptz) IS
    'The touches of each deal won in [from_, to_) until it was: how its lead came (else the deal), those noted about the deal, its lead and its contact; one without a source for a deal that has none. Its worth is rounded';

CREATE FUNCTION saleshub.win_credits(
    from_ timestamptz, to_ timestamptz, model text, money text, as_of timestamptz)
    RETURNS TABLE (deal_id uuid, source text, campaign text, credit numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    unit constant numeric := saleshub.money_unit(money);
BEGIN
    RETURN QUERY
    WITH placed AS (
        SELECT t.*, count(*) OVER deal AS n,
               row_number() OVER (deal ORDER BY t.at, t.makes_lead DESC, t.touch_id) AS i,
               t.makes_lead AND row_number() OVER (
                   deal ORDER BY NOT t.makes_lead, t.at, t.touch_id) = 1 AS is_lead,
               t.at <= t.opened_at AND row_number() OVER (
                   deal ORDER BY t.at > t.opened_at, t.at DESC, t.touch_id DESC) = 1 AS is_deal
        FROM saleshub.win_touches(from_, to_, money, as_of) t
        WINDOW deal AS (PARTITION BY t.deal_id)
    ), weighed AS (
        SELECT p.*, saleshub.credit_weight(
                   model, p.n, p.i, p.is_lead, p.is_deal,
                   count(*) FILTER (WHERE p.i = 1 OR p.is_lead OR p.is_deal) OVER deal,
                   extract(epoch FROM max(p.at) OVER deal - p.at) / 86400) AS weight
        FROM placed p
        WINDOW deal AS (PARTITION BY p.deal_id)
    ), cut AS (
        SELECT c.*, trunc(c.exact / unit) * unit AS whole
        FROM (SELECT w.*, w.value * w.weight
                     / sum(w.weight) OVER (PARTITION BY w.deal_id) AS exact
              FROM weighed w) c
    ), ranked AS (
        SELECT c.*, (c.value - sum(c.whole) OVER deal) / unit AS left_over,
               row_number() OVER (deal ORDER BY c.exact - c.whole DESC, c.i) AS turn
        FROM cut c
        WINDOW deal AS (PARTITION BY c.deal_id)
    )
    SELECT r.deal_id, r.source, r.campaign,
           r.whole + CASE WHEN r.turn <= r.left_over THEN unit ELSE 0 END
    FROM ranked r;
END;
$$;
COMMENT ON FUNCTION saleshub.win_credits(timestamptz, timestamptz, text, text, timestamptz) IS
    'How the touches of each deal won in [from_, to_) share what it brought, to the smallest unit';

CREATE FUNCTION saleshub.source_costs(from_ timestamptz, to_ timestamptz, zone text, money text)
    RETURNS TABLE (source text, campaign text, cost numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.source, c.campaign,
           c.amount * saleshub.report_rate(c.currency, money, c.period_from)
           * (least(c.period_to, d.until) - greatest(c.period_from, d.since))
           / (c.period_to - c.period_from)
    FROM crm.source_cost c,
    LATERAL (SELECT greatest(c.period_from, CASE WHEN isfinite(from_) THEN
                        (from_ AT TIME ZONE zone)::date ELSE c.period_from END) AS since,
                    least(c.period_to, CASE WHEN isfinite(to_) THEN
                        (to_ AT TIME ZONE zone)::date ELSE c.period_to END) AS until) d
    WHERE c.org_id = saleshub.org_id() AND c.deleted_at IS NULL AND d.since < d.until;
END;
$$;
COMMENT ON FUNCTION saleshub.source_costs(timestamptz, timestamptz, text, text) IS
    'What sources cost on the days of a period, each cost spread evenly over its days';

CREATE FUNCTION saleshub.source_leads(from_ timestamptz, to_ timestamptz, as_of timestamptz)
    RETURNS TABLE (source text, leads bigint, converted bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    instant constant timestamptz := coalesce(as_of, 'infinity');
BEGIN
    RETURN QUERY
    SELECT l.source, count(*), count(*) FILTER (WHERE EXISTS (
               SELECT FROM crm.conversion c
               WHERE c.org_id = l.org_id AND c.lead_id = l.lead_id AND c.at <= instant
                   AND (c.undone_at IS NULL OR c.undone_at > instant)))
    FROM crm.lead l
    WHERE l.org_id = saleshub.org_id() AND l.created_at >= from_ AND l.created_at < to_
        AND l.created_at <= instant AND (l.deleted_at IS NULL OR l.deleted_at > instant)
    GROUP BY l.source;
END;
$$;
COMMENT ON FUNCTION saleshub.source_leads(timestamptz, timestamptz, timestamptz) IS
    'The leads that came in [from_, to_) by source, and how many of these were converted, whenever';

CREATE FUNCTION crm.report_sources(
    from_ timestamptz, to_ timestamptz, tz text DEFAULT NULL, model text DEFAULT 'linear',
    campaigns boolean DEFAULT false, currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (source text, campaign text, leads bigint, converted bigint,
                   conversion_rate numeric, deals bigint, revenue numeric, cost numeric,
                   roi numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    money constant text := coalesce(report_sources.currency, saleshub.org_currency(org));
    zone constant text := coalesce(tz, (SELECT o.timezone FROM crm.org o WHERE o.org_id = org));
    whole constant boolean := saleshub.sees_all('deal') AND saleshub.sees_all('lead');
BEGIN
    RETURN QUERY
    WITH fact AS (
        SELECT l.source, NULL AS campaign, l.leads, l.converted, NULL::uuid AS deal_id,
               0::numeric AS credit, 0::numeric AS cost
        FROM saleshub.source_leads(from_, to_, as_of) l
        UNION ALL
        SELECT c.source, CASE WHEN campaigns THEN c.campaign END, 0, 0, c.deal_id, c.credit, 0
        FROM saleshub.win_credits(from_, to_, model, money, as_of) c
        UNION ALL
        SELECT c.source, CASE WHEN campaigns THEN c.campaign END, 0, 0, NULL, 0, c.cost
        FROM saleshub.source_costs(from_, to_, zone, money) c
        WHERE whole
    )
    SELECT f.source, f.campaign, sum(f.leads)::bigint, sum(f.converted)::bigint,
           saleshub.dashboard_ratio(sum(f.converted), sum(f.leads), 6),
           count(DISTINCT f.deal_id) FILTER (WHERE f.credit > 0), sum(f.credit),
           CASE WHEN whole THEN sum(f.cost) END,
           CASE WHEN whole THEN saleshub.dashboard_ratio(sum(f.credit) - sum(f.cost), sum(f.cost), 6) END
    FROM fact f
    GROUP BY f.source, f.campaign
    ORDER BY f.source, f.campaign;
END;
$$;
COMMENT ON FUNCTION crm.report_sources(timestamptz, timestamptz, text, text, boolean, text, timestamptz) IS
    'By source (and campaign): leads that came in [from_, to_) and how many of them were converted, whenever; what deals won in it brought, shared out among their touches by model first, last, linear, u, w or decay; the cost; and roi = (revenue - cost) / cost. Cost and roi are told to those only who see all leads and deals';

CREATE FUNCTION crm.report_sources_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL, model text DEFAULT NULL,
    group_by text DEFAULT NULL, currency text DEFAULT NULL, as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', group_by, 'currency', currency,
        'as_of', as_of), '{source,campaign}');
    low constant timestamptz := saleshub.report_bound(args.from_at, 'from', NULL);
    high constant timestamptz := saleshub.report_bound(args.to_at, 'to', NULL);
    priced constant boolean := NOT 'amount' = ANY (args.hidden);
    figures jsonb;
BEGIN
    PERFORM saleshub.dashboard_refuse(saleshub.report_choice(
        jsonb_build_object('model', model), 'model', saleshub.credit_models()));
    IF 'source' = ANY (args.hidden || saleshub.hidden_fields('lead')) THEN
        PERFORM saleshub.bad_parameter('group_by', 'hidden', 'is hidden from you');
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(r) || CASE WHEN priced THEN jsonb_build_object(
               'cost', saleshub.money_round(r.cost, args.money))
               ELSE '{"revenue": null, "roi": null}' END), '[]') INTO figures
    FROM crm.report_sources(low, high, args.zone, coalesce(nullif(model, ''), 'linear'),
                            coalesce(args.group_by = 'campaign', false), args.money, args.as_of) r;
    RETURN saleshub.report_answer(
        saleshub.report_columns(NULL, NULL, '[
            {"name": "source", "type": "text"}, {"name": "campaign", "type": "text"},
            {"name": "leads", "type": "integer"}, {"name": "converted", "type": "integer"},
            {"name": "conversion_rate", "type": "number"}, {"name": "deals", "type": "integer"},
            {"name": "revenue", "type": "money"}, {"name": "cost", "type": "money"},
            {"name": "roi", "type": "number"}]', args.money), figures,
        (SELECT jsonb_build_object(
                    'leads', coalesce(sum(f.leads), 0), 'converted', coalesce(sum(f.converted), 0),
                    'conversion_rate', saleshub.dashboard_ratio(sum(f.converted), sum(f.leads), 6),
                    'revenue', CASE WHEN priced THEN coalesce(sum(f.revenue), 0) END,
                    'deals', (SELECT count(*) FROM saleshub.deals_at(args.as_of) d
                              WHERE d.status = 'won' AND d.closed_at >= low AND d.closed_at < high),
                    'cost', sum(f.cost),
                    'roi', saleshub.dashboard_ratio(sum(f.revenue) - sum(f.cost), sum(f.cost), 6))
         FROM jsonb_to_recordset(figures) AS f (leads numeric, converted numeric, revenue numeric,
                                                cost numeric)));
END;
$$;
COMMENT ON FUNCTION crm.report_sources_get(text, text, text, text, text, text, text) IS
    'crm.report_sources as HTTP gives it; group_by source or campaign';

CREATE FUNCTION saleshub.routes_report_sources() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/sources',
        'crm.report_sources_get(text, text, text, text, text, text, text)',
        'Where customers come from, and what that cost', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{source,campaign}', jsonb_build_object('model',
            jsonb_build_object('type', 'string', 'enum', saleshub.credit_models(),
                'description', 'How touches share out what a deal brought; linear unless said')))
            - '{bucket,fiscal,week_start}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_sources() IS 'Registers the route of the report on sources';
