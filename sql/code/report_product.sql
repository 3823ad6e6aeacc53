-- How products sell. A deal with lines is shared among them by their amounts; one without is of the
-- product that it names.

CREATE FUNCTION saleshub.deal_lines_at(as_of timestamptz)
    RETURNS TABLE (deal_id uuid, product_id uuid, name text, quantity numeric, amount numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT r.deal_id, r.product_id, r.name, r.quantity, r.amount
    FROM crm.deal_line c
    LEFT JOIN LATERAL (SELECT * FROM saleshub.records_before('deal_line', as_of, NULL)
                       WHERE as_of IS NOT NULL) b ON b.id = c.deal_line_id,
    LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) r
    WHERE c.org_id = saleshub.org_id() AND b.existed IS DISTINCT FROM false
        AND r.deleted_at IS NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_lines_at(timestamptz) IS
    'The lines of deals that the caller sees, now or as of an instant';

CREATE FUNCTION saleshub.product_parts(
    from_ timestamptz, to_ timestamptz, as_of timestamptz, money text)
    RETURNS TABLE (deal_id uuid, product text, quantity numeric, value numeric, list numeric,
                   status text, opened_at timestamptz, closed_at timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    instant constant timestamptz := coalesce(as_of, now());
BEGIN
    RETURN QUERY
    WITH deal AS MATERIALIZED (
        SELECT d.deal_id, d.product, d.status, d.opened_at, d.closed_at,
               saleshub.org_day(org, coalesce(d.closed_at, instant)) AS day,
               saleshub.deal_value(d.amount, d.currency, d.amount_base, d.closed_at, money,
                                   instant) AS value
        FROM saleshub.deals_at(as_of) d
        WHERE d.status = 'open' OR d.opened_at >= from_ AND d.opened_at < to_
            OR d.closed_at >= from_ AND d.closed_at < to_
    ), line AS MATERIALIZED (
        SELECT l.*, sum(l.amount) OVER w AS whole, count(*) OVER w AS n
        FROM saleshub.deal_lines_at(as_of) l
        WINDOW w AS (PARTITION BY l.deal_id)
    ), named AS MATERIALIZED (
        SELECT DISTINCT ON (lower(p.name)) lower(p.name) AS called, p.product_id
        FROM crm.product p
        WHERE p.org_id = org AND p.deleted_at IS NULL
        ORDER BY lower(p.name), p.active DESC, p.created_at, p.product_id
    ), part AS (
        SELECT d.*, l.product_id, l.name AS line_name, l.quantity,
               CASE WHEN l.whole = d.value THEN l.amount
                    WHEN l.whole = 0 THEN d.value / l.n
                    ELSE d.value * l.amount / l.whole END AS share
        FROM deal d
        JOIN line l ON l.deal_id = d.deal_id
        UNION ALL
        SELECT d.*, n.product_id, d.product, 1, d.value
        FROM deal d
        LEFT JOIN named n ON n.called = lower(d.product)
        WHERE d.deal_id NOT IN (SELECT l.deal_id FROM line l)
    ), rate AS MATERIALIZED (
        SELECT c.currency, c.day, saleshub.report_rate(c.currency, money, c.day) AS rate
        FROM (SELECT DISTINCT p.currency, d.day
              FROM crm.product p, (SELECT DISTINCT d.day FROM deal d) d
              WHERE p.org_id = org AND p.price IS NOT NULL) c
    )
    SELECT p.deal_id, coalesce(o.name, p.line_name), p.quantity, p.share,
           p.quantity * o.price * r.rate, p.status, p.opened_at, p.closed_at
    FROM part p
    LEFT JOIN crm.product o ON o.org_id = org AND o.product_id = p.product_id
    LEFT JOIN rate r ON r.currency = o.currency AND r.day = p.day;
END;
$$;
COMMENT ON FUNCTION saleshub.product_parts(timestamptz, timestamptz, timestamptz, text) IS
    'What deals consist of, those that are open and those that opened or closed in [from_, to_): the part of the amount, and what it would be at the present list price, NULL without one';

CREATE FUNCTION crm.report_product(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, group_by text DEFAULT 'product',
    currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        key text, label text, opened bigint, won bigint, lost bigint, win_rate numeric,
        quantity numeric, revenue numeric, avg_won numeric, list_amount numeric, realised numeric,
        open bigint, open_amount numeric, open_list_amount numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'group_by', group_by,
        'currency', currency, 'as_of', saleshub.utc(as_of)), '{product}');
    low constant timestamptz := coalesce(from_, '-infinity');
    high constant timestamptz := coalesce(to_, 'infinity');
    shown constant boolean := NOT 'amount' = ANY (args.hidden);
BEGIN
    RETURN QUERY
    WITH part AS (
        SELECT p.deal_id, p.quantity, p.value, p.list,
               CASE WHEN group_by IS NOT NULL THEN p.product END AS product,
               p.opened_at >= low AND p.opened_at < high AS opened, p.status = 'open' AS open,
               p.closed_at >= low AND p.closed_at < high AND p.status = 'won' AS won,
               p.closed_at >= low AND p.closed_at < high AND p.status = 'lost' AS lost
        FROM saleshub.product_parts(low, high, as_of, args.money) p
    ), summed AS (
        SELECT p.product, count(DISTINCT p.deal_id) FILTER (WHERE p.opened) AS opened,
               count(DISTINCT p.deal_id) FILTER (WHERE p.won) AS won,
               count(DISTINCT p.deal_id) FILTER (WHERE p.lost) AS lost,
               count(DISTINCT p.deal_id) FILTER (WHERE p.open) AS open,
               coalesce(sum(p.quantity) FILTER (WHERE p.won), 0) AS quantity,
               coalesce(sum(p.value) FILTER (WHERE p.won), 0) AS revenue,
               coalesce(sum(p.value) FILTER (WHERE p.won AND p.list IS NOT NULL), 0) AS priced,
               coalesce(sum(p.list) FILTER (WHERE p.won), 0) AS list,
               coalesce(sum(p.value) FILTER (WHERE p.open), 0) AS open_amount,
               coalesce(sum(p.list) FILTER (WHERE p.open), 0) AS open_list
        FROM part p
        GROUP BY p.product
        UNION ALL
        SELECT NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM part p)
    )
    SELECT s.product, s.product, s.opened, s.won, s.lost,
           saleshub.dashboard_ratio(s.won, s.won + s.lost, 6), s.quantity,
           CASE WHEN shown THEN saleshub.money_round(s.revenue, args.money) END,
           CASE WHEN shown THEN saleshub.dashboard_ratio(s.revenue, s.won, 4) END,
           saleshub.money_round(s.list, args.money),
           CASE WHEN shown THEN saleshub.dashboard_ratio(s.priced, s.list, 6) END, s.open,
           CASE WHEN shown THEN saleshub.money_round(s.open_amount, args.money) END,
           saleshub.money_round(s.open_list, args.money)
    FROM summed s
    ORDER BY s.product COLLATE "C";
END;
$$;
COMMENT ON FUNCTION crm.report_product(timestamptz, timestamptz, text, text, timestamptz) IS
    'How products sell: deals with the product that opened, were won and lost in [from_, to_), what was won and how that relates to the present list price, and what is open, whatever the period. A deal counts for each of its products; group_by NULL gives one row for all.';

CREATE FUNCTION crm.report_product_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    currency text DEFAULT NULL, as_of text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_product', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', 'product', 'currency', currency,
        'as_of', as_of), '{product}', '[
        {"name": "opened", "type": "integer"}, {"name": "won", "type": "integer"},
        {"name": "lost", "type": "integer"}, {"name": "win_rate", "type": "number"},
        {"name": "quantity", "type": "number"}, {"name": "revenue", "type": "money"},
        {"name": "avg_won", "type": "money"}, {"name": "list_amount", "type": "money"},
        {"name": "realised", "type": "number"}, {"name": "open", "type": "integer"},
        {"name": "open_amount", "type": "money"}, {"name": "open_list_amount", "type": "money"}]',
        '{from_,to_,group_by,currency,as_of}');
END;
$$;
COMMENT ON FUNCTION crm.report_product_get(text, text, text, text, text) IS
    'crm.report_product as HTTP gives it.';

CREATE FUNCTION saleshub.routes_report_product() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/product',
        'crm.report_product_get(text, text, text, text, text)',
        'How products sell', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{}') - '{bucket,fiscal,week_start,group_by}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_product() IS 'Registers the route of the report of products.';
