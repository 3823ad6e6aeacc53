-- How the pipeline of one instant became that of another, to the cent: each deal is followed from
-- stretch to stretch. What the rates of currencies did while nothing else changed counts as
-- increase or decrease, and is also told by itself.

CREATE FUNCTION saleshub.deal_flows(
    t0 timestamptz, t1 timestamptz, money text, group_by text,
    OUT kind text, OUT key text, OUT label text, OUT value numeric, OUT deal_id uuid)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
    ROWS 100000
AS $$
#variable_conflict use_column
DECLARE
    zone constant text := (SELECT o.timezone FROM crm.org o WHERE o.org_id = saleshub.org_id());
    mapped constant boolean := saleshub.report_mapped(group_by);
BEGIN
    RETURN QUERY
    WITH part AS MATERIALIZED (
        SELECT s.deal_id, s.starts, s.ends, s.status, s.gone,
               s.status = 'open' AND NOT coalesce(s.gone, false) AS open,
               bool_or(s.starts = t0 OR s.status = 'open' AND NOT coalesce(s.gone, false)) OVER (
                   PARTITION BY s.deal_id ORDER BY s.starts
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS known,
               coalesce(s.amount, 0) AS amount, s.currency,
               (s.starts AT TIME ZONE zone)::date AS day,
               (coalesce(s.ends, t1) AT TIME ZONE zone)::date AS last_day,
               CASE WHEN mapped THEN m.key ELSE r.raw END AS key,
               CASE WHEN mapped THEN m.label ELSE r.raw END AS label
        FROM saleshub.deal_segments(t0, t1) s
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, s.owner_id, s.company_id,
            s.stage_id, s.pipeline_id, s.product, s.source, s.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
    ), rate AS MATERIALIZED (
        SELECT d.currency, d.day, saleshub.report_rate(d.currency, money, d.day) AS rate
        FROM (SELECT p.currency, p.day FROM part p
              UNION
              SELECT p.currency, p.last_day FROM part p) d
    ), valued AS (
        SELECT p.*, p.amount * f.rate AS value, p.amount * l.rate AS last_value
        FROM part p
        JOIN rate f ON f.currency = p.currency AND f.day = p.day
        JOIN rate l ON l.currency = p.currency AND l.day = p.last_day
    ), pair AS MATERIALIZED (
        SELECT v.*, lag(v.open) OVER w AS was_open, lag(v.key) OVER w AS was_key,
               lag(v.label) OVER w AS was_label, lag(v.last_value) OVER w AS was_value
        FROM valued v
        WINDOW w AS (PARTITION BY v.deal_id ORDER BY v.starts)
    )
    SELECT f.kind, f.key, f.label, f.value, p.deal_id
    FROM pair p
    CROSS JOIN LATERAL (
        SELECT 'open_start', p.key, p.label, p.value WHERE p.open AND p.starts = t0
        UNION ALL
        SELECT CASE WHEN p.known THEN 'reopened' ELSE 'created' END, p.key, p.label, p.value
        WHERE p.open AND NOT coalesce(p.was_open, false) AND p.starts > t0
        UNION ALL
        SELECT m.kind, m.key, m.label, p.was_value
        FROM (VALUES ('moved_out', p.was_key, p.was_label), ('moved_in', p.key, p.label))
             AS m (kind, key, label)
        WHERE p.open AND p.was_open AND p.key IS DISTINCT FROM p.was_key
        UNION ALL
        SELECT CASE WHEN p.value > p.was_value THEN 'increased' ELSE 'decreased' END, p.key, p.label,
               abs(p.value - p.was_value)
        WHERE p.open AND p.was_open AND p.value <> p.was_value
        UNION ALL
        SELECT 'revalued', p.key, p.label, p.last_value - p.value
        WHERE p.open AND p.value <> p.last_value
        UNION ALL
        SELECT 'open_end', p.key, p.label, p.last_value WHERE p.open AND p.ends IS NULL
        UNION ALL
        SELECT CASE WHEN p.gone THEN 'deleted' ELSE p.status END, p.was_key, p.was_label,
               CASE WHEN p.status = 'won' AND NOT coalesce(p.gone, false) THEN p.value
                    ELSE p.was_value END
        WHERE p.was_open AND NOT p.open
        UNION ALL
        -- Won for another sum than it stood at: it grew or shrank first.
        SELECT CASE WHEN p.value > p.was_value THEN 'increased' ELSE 'decreased' END, p.was_key,
               p.was_label, abs(p.value - p.was_value)
        WHERE p.was_open AND p.status = 'won' AND NOT coalesce(p.gone, false)
            AND p.value <> p.was_value
    ) AS f (kind, key, label, value);
END;
$$;
COMMENT ON FUNCTION saleshub.deal_flows(timestamptz, timestamptz, text, text) IS
    'Everything that made the pipeline of t0 that of t1, deal by deal, with both; revalued is what rates of currencies did, of either sign.';

CREATE FUNCTION crm.report_waterfall(
    from_ timestamptz, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    group_by text DEFAULT NULL, currency text DEFAULT NULL)
    RETURNS TABLE (
        key text, label text, open_start numeric, created numeric, reopened numeric,
        increased numeric, decreased numeric, won numeric, lost numeric, deleted numeric,
        moved_in numeric, moved_out numeric, open_end numeric, revalued numeric,
        deals_start bigint, deals_end bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'group_by', group_by,
        'currency', currency), saleshub.report_sales_groups());
    until constant timestamptz := coalesce(to_, now());
    cash constant text := args.money;
BEGIN
    IF from_ IS NULL THEN
        PERFORM saleshub.bad_parameter('from', 'required', 'is required');
    END IF;
    IF until > clock_timestamp() THEN
        PERFORM saleshub.bad_parameter('to', 'range', 'must lie in the past');
    ELSIF 'amount' = ANY (args.hidden) THEN
        PERFORM saleshub.raise('42501', 'the amount of deals is hidden from you, and there is nothing else here',
                               jsonb_build_object('code', 'forbidden'));
    END IF;
    PERFORM saleshub.as_of_check('deal', from_, NULL);
    RETURN QUERY
    WITH flow AS MATERIALIZED (
        SELECT * FROM saleshub.deal_flows(from_, until, cash, group_by)
    ), summed AS (
        SELECT f.key, min(f.label) AS label,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'open_start'), 0) AS open_start,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'created'), 0) AS created,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'reopened'), 0) AS reopened,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'increased'), 0) AS increased,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'decreased'), 0) AS decreased,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'won'), 0) AS won,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'lost'), 0) AS lost,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'deleted'), 0) AS deleted,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'moved_in'), 0) AS moved_in,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'moved_out'), 0) AS moved_out,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'open_end'), 0) AS open_end,
               coalesce(sum(f.value) FILTER (WHERE f.kind = 'revalued'), 0) AS revalued,
               count(*) FILTER (WHERE f.kind = 'open_start') AS deals_start,
               count(*) FILTER (WHERE f.kind = 'open_end') AS deals_end
        FROM flow f
        GROUP BY f.key
        UNION ALL
        SELECT NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM flow f)
    ), cents AS (
        SELECT s.key, s.label, saleshub.money_round(s.open_start, cash) AS open_start,
               saleshub.money_round(s.created, cash) AS created,
               saleshub.money_round(s.reopened, cash) AS reopened,
               saleshub.money_round(s.increased + greatest(s.revalued, 0), cash) AS increased,
               saleshub.money_round(s.decreased + greatest(-s.revalued, 0), cash) AS decreased,
               saleshub.money_round(s.won, cash) AS won, saleshub.money_round(s.lost, cash) AS lost,
               saleshub.money_round(s.deleted, cash) AS deleted,
               saleshub.money_round(s.moved_in, cash) AS moved_in,
               saleshub.money_round(s.moved_out, cash) AS moved_out,
               saleshub.money_round(s.open_end, cash) AS open_end,
               saleshub.money_round(s.revalued, cash) AS revalued, s.deals_start, s.deals_end
        FROM summed s
    ), even AS (
        -- Ten sums that are rounded by themselves may miss the eleventh by some cents.
        SELECT c.*, c.open_end - (c.open_start + c.created + c.reopened + c.increased - c.decreased
                                  - c.won - c.lost - c.deleted + c.moved_in - c.moved_out) AS rest
        FROM cents c
    )
    SELECT e.key, e.label, e.open_start, e.created, e.reopened, e.increased + greatest(e.rest, 0),
           e.decreased + greatest(-e.rest, 0), e.won, e.lost, e.deleted, e.moved_in, e.moved_out,
           e.open_end, e.revalued, e.deals_start, e.deals_end
    FROM even e
    ORDER BY e.label COLLATE "C", e.key;
END;
$$;
COMMENT ON FUNCTION crm.report_waterfall(timestamptz, timestamptz, text, text, text) IS
    'open_start + created + reopened + increased − decreased − won − lost − deleted + moved_in − moved_out = open_end, to the cent, in total and for every group; revalued, which is part of increased and decreased, is what rates of currencies did.';

CREATE FUNCTION crm.report_waterfall_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    group_by text DEFAULT NULL, currency text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.report_told('report_waterfall', jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', group_by, 'currency', currency),
        saleshub.report_sales_groups(), (
            SELECT jsonb_agg(jsonb_build_object('name', n, 'type', 'money') ORDER BY i)
                   || '[{"name": "deals_start", "type": "integer"}, {"name": "deals_end", "type": "integer"}]'
            FROM unnest('{open_start,created,reopened,increased,decreased,won,lost,deleted,moved_in,moved_out,open_end,revalued}'::text[])
                 WITH ORDINALITY AS x (n, i)),
        '{from_,to_,tz,group_by,currency}');
END;
$$;
COMMENT ON FUNCTION crm.report_waterfall_get(text, text, text, text, text) IS
    'crm.report_waterfall as HTTP gives it.';
