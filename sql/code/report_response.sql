-- How soon leads were answered, in working time, by the assignments of a period.

CREATE FUNCTION saleshub.response_timers(from_ timestamptz, to_ timestamptz, as_of timestamptz)
    RETURNS TABLE (member_id uuid, source text, policy text, answered boolean, met boolean,
                   breached boolean, stopped boolean, seconds numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    instant constant timestamptz := coalesce(as_of, 'infinity');
BEGIN
    RETURN QUERY
    SELECT t.member_id, l.source, t.policy, f.answered, f.answered AND NOT f.breached, f.breached,
           NOT f.answered AND NOT f.breached AND coalesce(t.ended_at <= instant, false),
           CASE WHEN f.answered THEN t.response_seconds END
    FROM crm.sla_timer t
    JOIN crm.lead l ON l.org_id = t.org_id AND l.lead_id = t.lead_id
        AND (l.deleted_at IS NULL OR l.deleted_at > instant),
    LATERAL (SELECT coalesce(t.responded_at <= instant, false) AS answered,
                    coalesce(t.breached_at <= instant, false) AS breached) f
    WHERE t.org_id = saleshub.org_id() AND t.assigned_at >= from_ AND t.assigned_at < to_
        AND t.assigned_at <= instant;
END;
$$;
COMMENT ON FUNCTION saleshub.response_timers(timestamptz, timestamptz, timestamptz) IS
    'The assignments in [from_, to_) that a policy covers, of leads that the caller sees, and how they stood at an instant';

CREATE FUNCTION crm.report_response(
    from_ timestamptz, to_ timestamptz, group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (key text, label text, assigned bigint, answered bigint, met bigint, breached bigint,
                   stopped bigint, waiting bigint, median_seconds numeric, p90_seconds numeric,
                   in_time_rate numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT t.key, t.label, count(*), count(*) FILTER (WHERE t.answered), count(*) FILTER (WHERE t.met),
           count(*) FILTER (WHERE t.breached), count(*) FILTER (WHERE t.stopped),
           count(*) FILTER (WHERE NOT (t.answered OR t.breached OR t.stopped)),
           round((percentile_cont(0.5) WITHIN GROUP (ORDER BY t.seconds::float8))::numeric, 3),
           round((percentile_cont(0.9) WITHIN GROUP (ORDER BY t.seconds::float8))::numeric, 3),
           saleshub.dashboard_ratio(count(*) FILTER (WHERE t.met),
                                    count(*) FILTER (WHERE t.met OR t.breached), 6)
    FROM (
        SELECT t.*, CASE group_by WHEN 'source' THEN t.source WHEN 'policy' THEN t.policy
                    ELSE m.key END AS key,
               CASE group_by WHEN 'source' THEN t.source WHEN 'policy' THEN t.policy
               ELSE m.label END AS label
        FROM saleshub.response_timers(from_, to_, as_of) t
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = t.member_id::text
    ) t
    GROUP BY t.key, t.label
    ORDER BY t.label, t.key;
END;
$$;
COMMENT ON FUNCTION crm.report_response(timestamptz, timestamptz, text, timestamptz) IS
    'How leads assigned in [from_, to_) were answered: working time to the first response, median and nine tenths; in_time_rate is met ÷ (met + breached), a late answer is breached; stopped were given to others or closed before they were due. group_by owner, team, manager, region, source or policy';

CREATE FUNCTION crm.report_response_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    group_by text DEFAULT NULL, as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'group_by', group_by, 'as_of', as_of),
        '{owner,team,manager,region,source,policy}');
    low constant timestamptz := saleshub.report_bound(args.from_at, 'from', NULL);
    high constant timestamptz := saleshub.report_bound(args.to_at, 'to', NULL);
    rows jsonb;
BEGIN
    IF args.group_by = 'source' AND 'source' = ANY (saleshub.hidden_fields('lead')) THEN
        PERFORM saleshub.bad_parameter('group_by', 'hidden', 'is hidden from you');
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') INTO rows
    FROM crm.report_response(low, high, args.group_by, args.as_of) r;
    RETURN saleshub.report_answer(
        saleshub.report_columns(NULL, args.group_by, '[
            {"name": "assigned", "type": "integer"}, {"name": "answered", "type": "integer"},
            {"name": "met", "type": "integer"}, {"name": "breached", "type": "integer"},
            {"name": "stopped", "type": "integer"}, {"name": "waiting", "type": "integer"},
            {"name": "median_seconds", "type": "number"}, {"name": "p90_seconds", "type": "number"},
            {"name": "in_time_rate", "type": "number"}]', args.money),
        rows,
        coalesce(CASE WHEN args.group_by IS NULL THEN rows -> 0
                 ELSE (SELECT to_jsonb(t)
                       FROM crm.report_response(low, high, NULL, args.as_of) t) END,
                 '{"assigned": 0, "answered": 0, "met": 0, "breached": 0, "stopped": 0, "waiting": 0}'));
END;
$$;
COMMENT ON FUNCTION crm.report_response_get(text, text, text, text, text) IS
    'crm.report_response as HTTP gives it';

CREATE FUNCTION saleshub.routes_report_response() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/response', 'crm.report_response_get(text, text, text, text, text)',
        'How soon leads are answered', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{owner,team,manager,region,source,policy}')
            - '{bucket,fiscal,week_start,currency}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_response() IS
    'Registers the route of the report on responses';
