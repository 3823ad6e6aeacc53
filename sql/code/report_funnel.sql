-- The funnel: how far the deals came that entered a stage in a period. A deal counts once however
-- often it came back, and as having reached all stages before the one it jumped to. Lost ones stay
-- in the denominator.

CREATE FUNCTION saleshub.funnel_entries(
    pipeline_id uuid, as_of timestamptz, group_by text)
    RETURNS TABLE (deal_id uuid, stage_id uuid, kind text, place integer, entered_at timestamptz,
                   stage_history_id uuid, raw text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT h.deal_id, h.stage_id, s.kind,
           -- Won is beyond all open stages; lost is nowhere.
           CASE s.kind WHEN 'open' THEN s.position WHEN 'won' THEN 2147483647 END,
           h.entered_at, h.stage_history_id,
           saleshub.report_raw(group_by, d.owner_id, d.company_id, d.stage_id, d.pipeline_id,
                               d.product, d.source, d.currency)
    FROM crm.stage_history h
    JOIN crm.stage s ON s.org_id = h.org_id AND s.stage_id = h.stage_id
    JOIN crm.deal d ON d.org_id = h.org_id AND d.deal_id = h.deal_id
    WHERE h.org_id = saleshub.org_id() AND h.pipeline_id = funnel_entries.pipeline_id
        AND CASE WHEN as_of IS NULL THEN d.deleted_at IS NULL
            ELSE (d.deleted_at IS NULL OR d.deleted_at > as_of) AND h.recorded_at <= as_of
                AND h.entered_at <= as_of END;
END;
$$;
COMMENT ON FUNCTION saleshub.funnel_entries(uuid, timestamptz, text) IS
    'Every time that a deal which the caller sees entered a stage of the pipeline, as known at an instant; place grows with the way to be won, NULL is lost';

CREATE FUNCTION crm.report_funnel(
    from_ timestamptz, to_ timestamptz, pipeline_id uuid DEFAULT NULL,
    within_days integer DEFAULT NULL, group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (key text, label text, stage_id uuid, stage text, "position" integer, entered bigint,
                   advanced bigint, won bigint, lost bigint, still_open bigint, conversion numeric,
                   win_rate numeric, reached bigint, reach_rate numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    line constant uuid := coalesce(pipeline_id, (
        SELECT p.pipeline_id FROM crm.pipeline p
        WHERE p.org_id = saleshub.org_id() AND p.is_default AND p.deleted_at IS NULL));
    box constant interval := make_interval(hours => 24 * within_days);
BEGIN
    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT e.*,
               CASE WHEN saleshub.report_mapped(group_by) THEN m.key ELSE e.raw END AS grouped,
               CASE WHEN saleshub.report_mapped(group_by) THEN m.label ELSE e.raw END AS called
        FROM saleshub.funnel_entries(line, as_of, group_by) e
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = e.raw
    ), cohort AS (
        SELECT DISTINCT ON (e.deal_id, e.stage_id) e.*
        FROM entry e
        WHERE e.entered_at >= from_ AND e.entered_at < to_ AND e.kind = 'open'
        ORDER BY e.deal_id, e.stage_id, e.entered_at, e.stage_history_id
    ), fate AS (
        SELECT c.grouped, c.called, c.stage_id, c.deal_id, c.place,
               coalesce(max(l.place), c.place) AS best,
               coalesce(bool_or(l.kind = 'won'), false) AS won,
               coalesce(bool_or(l.kind = 'lost'), false) AS lost
        FROM cohort c
        LEFT JOIN entry l ON l.deal_id = c.deal_id
            AND (l.entered_at, l.stage_history_id) > (c.entered_at, c.stage_history_id)
            AND (box IS NULL OR l.entered_at <= c.entered_at + box)
        GROUP BY c.grouped, c.called, c.stage_id, c.deal_id, c.place
    ), step AS (
        SELECT s.stage_id, s.name, s.position,
               s.position = min(s.position) OVER () AS is_first
        FROM crm.stage s
        WHERE s.org_id = saleshub.org_id() AND s.pipeline_id = line AND s.kind = 'open'
            AND (s.deleted_at IS NULL OR s.stage_id IN (SELECT f.stage_id FROM fate f))
    ), start AS (
        -- Who entered the first stage.
        SELECT DISTINCT ON (f.deal_id) f.grouped, f.deal_id, f.best
        FROM fate f
        JOIN step s ON s.stage_id = f.stage_id AND s.is_first
        ORDER BY f.deal_id, f.best DESC
    ), figure AS (
        SELECT f.grouped, f.stage_id, count(*) AS entered,
               count(*) FILTER (WHERE f.best > f.place) AS advanced,
               count(*) FILTER (WHERE f.won) AS won,
               count(*) FILTER (WHERE f.lost AND NOT f.won) AS lost
        FROM fate f
        GROUP BY f.grouped, f.stage_id
    ), reach AS (
        SELECT t.grouped, s.stage_id, count(*) AS began,
               count(*) FILTER (WHERE t.best >= s.position) AS reached
        FROM start t
        CROSS JOIN step s
        GROUP BY t.grouped, s.stage_id
    ), whole AS (
        SELECT g.grouped, g.called, s.stage_id, s.name, s.position, coalesce(f.entered, 0) AS entered,
               coalesce(f.advanced, 0) AS advanced, coalesce(f.won, 0) AS won,
               coalesce(f.lost, 0) AS lost, coalesce(r.reached, 0) AS reached, r.began
        FROM (SELECT f.grouped, f.called FROM fate f
              UNION SELECT NULL, NULL WHERE group_by IS NULL) g
        CROSS JOIN step s
        -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
        LEFT JOIN figure f ON f.stage_id = s.stage_id AND ARRAY[f.grouped] = ARRAY[g.grouped]
        LEFT JOIN reach r ON r.stage_id = s.stage_id AND ARRAY[r.grouped] = ARRAY[g.grouped]
    )
    SELECT f.grouped, f.called, f.stage_id, f.name, f.position, f.entered, f.advanced, f.won, f.lost,
           f.entered - f.won - f.lost, saleshub.dashboard_ratio(f.advanced, f.entered, 6),
           saleshub.dashboard_ratio(f.won, f.entered, 6), f.reached,
           saleshub.dashboard_ratio(f.reached, f.began, 6)
    FROM whole f
    ORDER BY f.called, f.grouped, f.position, f.stage_id;
END;
$$;
COMMENT ON FUNCTION crm.report_funnel(timestamptz, timestamptz, uuid, integer, text, timestamptz) IS
    'Of the deals that entered each open stage of a pipeline (default: the default one) in [from_, to_): how many later reached a further stage, were won or lost, within so many days of 24 hours; and how many of those that entered the first stage reached this one or a later one. group_by: the words of saleshub.report_groups() that deals have';

CREATE FUNCTION saleshub.funnel_groups() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{owner,team,manager,region,company,parent_company,industry,country,product,source,currency}'::text[];
COMMENT ON FUNCTION saleshub.funnel_groups() IS 'What a funnel can be grouped by.';

CREATE FUNCTION crm.report_funnel_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    pipeline_id uuid DEFAULT NULL, within_days integer DEFAULT NULL, group_by text DEFAULT NULL,
    as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', group_by, 'as_of', as_of),
        saleshub.funnel_groups());
    low constant timestamptz := saleshub.report_bound(args.from_at, 'from', NULL);
    high constant timestamptz := saleshub.report_bound(args.to_at, 'to', NULL);
    rows jsonb;
BEGIN
    IF pipeline_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.pipeline p
        WHERE p.org_id = saleshub.org_id() AND p.pipeline_id = report_funnel_get.pipeline_id)
    THEN
        PERFORM saleshub.bad_parameter('pipeline_id', 'not_found', 'names no pipeline');
    END IF;
    IF within_days NOT BETWEEN 1 AND 3650 THEN
        PERFORM saleshub.bad_parameter('within_days', 'range', 'must be from 1 to 3650');
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') INTO rows
    FROM crm.report_funnel(low, high, report_funnel_get.pipeline_id, within_days, args.group_by,
                           args.as_of) r;
    RETURN saleshub.report_answer(
        saleshub.report_columns(NULL, args.group_by, '[
            {"name": "stage_id", "type": "text"}, {"name": "stage", "type": "text"},
            {"name": "position", "type": "integer"}, {"name": "entered", "type": "integer"},
            {"name": "advanced", "type": "integer"}, {"name": "won", "type": "integer"},
            {"name": "lost", "type": "integer"}, {"name": "still_open", "type": "integer"},
            {"name": "conversion", "type": "number"}, {"name": "win_rate", "type": "number"},
            {"name": "reached", "type": "integer"}, {"name": "reach_rate", "type": "number"}]',
            args.money),
        rows,
        -- Of the deals that entered the first stage.
        CASE WHEN args.group_by IS NULL THEN rows -> 0
        ELSE (SELECT to_jsonb(t)
              FROM crm.report_funnel(low, high, report_funnel_get.pipeline_id, within_days, NULL,
                                     args.as_of) t
              LIMIT 1) END - '{stage_id,stage,position}'::text[]);
END;
$$;
COMMENT ON FUNCTION crm.report_funnel_get(text, text, text, uuid, integer, text, text) IS
    'crm.report_funnel as HTTP gives it; the totals are those of the first stage';

CREATE FUNCTION saleshub.routes_report_funnel() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/funnel',
        'crm.report_funnel_get(text, text, text, uuid, integer, text, text)',
        'How far deals come', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.funnel_groups(), '{
            "pipeline_id": {"description": "Default: the default pipeline"},
            "within_days": {"minimum": 1, "maximum": 3650,
                "description": "Count only what followed within so many days of 24 hours"}}')
            - '{bucket,fiscal,week_start,currency}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_funnel() IS 'Registers the route of the funnel';
