-- What was done, and what came of it. Done counts by when it was done; due, by when it was due, and
-- overdue what was not done by then; meetings booked, by when they were to begin, and held those
-- that are done. What is due or begins later than the instant of the report counts nowhere yet.

CREATE FUNCTION saleshub.activities_at(as_of timestamptz)
    RETURNS TABLE (activity_id uuid, type text, outcome text, owner_id uuid, done_at timestamptz,
                   deadline timestamptz, starts_at timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF as_of IS NULL THEN
        RETURN QUERY
        SELECT a.activity_id, a.type, a.outcome, a.owner_id, a.done_at,
               greatest(a.due_at, a.ends_at), coalesce(a.starts_at, a.due_at)
        FROM crm.activity a
        WHERE a.org_id = saleshub.org_id() AND a.deleted_at IS NULL AND NOT a.skipped;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.activity_id, r.type, r.outcome, r.owner_id, r.done_at,
           greatest(r.due_at, r.ends_at), coalesce(r.starts_at, r.due_at)
    FROM crm.activity c
    LEFT JOIN saleshub.records_before('activity', as_of, NULL) b ON b.id = c.activity_id,
    LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) r
    WHERE c.org_id = saleshub.org_id() AND b.existed IS DISTINCT FROM false
        AND r.deleted_at IS NULL AND NOT r.skipped;
END;
$$;
COMMENT ON FUNCTION saleshub.activities_at(timestamptz) IS
    'The activities that the caller sees, now or as of an instant, without what is in the bin or was skipped';

CREATE FUNCTION saleshub.activity_facts(from_ timestamptz, to_ timestamptz, as_of timestamptz)
    RETURNS TABLE (at timestamptz, type text, outcome text, owner_id uuid, done integer,
                   due integer, overdue integer, booked integer, held integer)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    instant constant timestamptz := coalesce(as_of, now());
BEGIN
    RETURN QUERY
    SELECT f.at, a.type, a.outcome, a.owner_id, f.done, f.due, f.overdue, f.booked, f.held
    FROM saleshub.activities_at(as_of) a,
    LATERAL (VALUES
        (a.done_at, 1, 0, 0, 0, 0),
        (CASE WHEN a.type IN ('task', 'call', 'email') THEN a.deadline END, 0, 1,
         CASE WHEN a.done_at <= a.deadline THEN 0 ELSE 1 END, 0, 0),
        (CASE WHEN a.type = 'meeting' THEN a.starts_at END, 0, 0, 0, 1,
         CASE WHEN a.done_at IS NULL THEN 0 ELSE 1 END)
    ) AS f (at, done, due, overdue, booked, held)
    WHERE f.at >= from_ AND f.at < to_ AND f.at <= instant;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_facts(timestamptz, timestamptz, timestamptz) IS
    'What counts of each activity in [from_, to_), and when';

CREATE FUNCTION saleshub.deal_activities(as_of timestamptz, types text[])
    RETURNS TABLE (deal_id uuid, activity_id uuid, done_at timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
    ROWS 100000
AS $$
BEGIN
    RETURN QUERY
    WITH activity AS MATERIALIZED (
        SELECT a.activity_id, a.done_at
        FROM saleshub.activities_at(as_of) a
        WHERE a.done_at IS NOT NULL AND (types IS NULL OR a.type = ANY (types))
    ), link AS (
        SELECT l.entity_id AS deal_id, l.activity_id
        FROM crm.activity_link l
        WHERE as_of IS NULL AND l.org_id = saleshub.org_id() AND l.entity = 'deal'
        UNION ALL
        SELECT b.entity_id, a.activity_id
        FROM activity a, saleshub.links_before(as_of, a.activity_id) b
        WHERE as_of IS NOT NULL AND b.entity = 'deal'
    )
    SELECT l.deal_id, a.activity_id, a.done_at
    FROM link l
    JOIN activity a ON a.activity_id = l.activity_id;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_activities(timestamptz, text[]) IS
    'The done activities about deals, of all or of these types, that the caller sees, now or as of an instant';

CREATE FUNCTION crm.report_win_touches(
    from_ timestamptz, to_ timestamptz, group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (key text, label text, wins bigint, touches bigint, touches_per_win numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH win AS MATERIALIZED (
        SELECT d.deal_id, d.closed_at,
               CASE WHEN saleshub.report_mapped(group_by) THEN m.key ELSE r.raw END AS grouped,
               CASE WHEN saleshub.report_mapped(group_by) THEN m.label ELSE r.raw END AS called
        FROM saleshub.deals_at(as_of) d
        CROSS JOIN LATERAL saleshub.report_raw(
            group_by, d.owner_id, d.company_id, d.stage_id, d.pipeline_id, d.product, d.source,
            d.currency) AS r (raw)
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
        WHERE d.status = 'won' AND d.closed_at >= from_ AND d.closed_at < to_
    ), touch AS (
        SELECT w.deal_id, a.activity_id
        FROM win w
        JOIN saleshub.deal_activities(as_of, '{call,email,meeting}') a
            ON a.deal_id = w.deal_id AND a.done_at <= w.closed_at
    )
    SELECT w.grouped, w.called, count(*), coalesce(sum(t.n), 0)::bigint,
           saleshub.dashboard_ratio(coalesce(sum(t.n), 0), count(*), 4)
    FROM win w
    LEFT JOIN (SELECT deal_id, count(*) AS n FROM touch GROUP BY deal_id) t USING (deal_id)
    GROUP BY w.grouped, w.called
    ORDER BY w.called, w.grouped;
END;
$$;
COMMENT ON FUNCTION crm.report_win_touches(timestamptz, timestamptz, text, timestamptz) IS
    'How many calls, e-mails and meetings about each deal won in [from_, to_) were done until it was';

CREATE FUNCTION crm.report_activity(
    from_ timestamptz, to_ timestamptz, tz text DEFAULT NULL, bucket text DEFAULT NULL,
    group_by text DEFAULT NULL, fiscal text DEFAULT NULL, week_start int DEFAULT NULL,
    as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (period_no int, period text, starts timestamptz, ends timestamptz, key text,
                   label text, type text, outcome text, done bigint, due bigint, overdue bigint,
                   booked bigint, held bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT p.period_no, p.label, p.starts, p.ends, m.key, m.label, f.type, f.outcome,
           sum(f.done), sum(f.due), sum(f.overdue), sum(f.booked), sum(f.held)
    FROM saleshub.report_periods(from_, to_, tz, bucket, fiscal, week_start) p
    JOIN saleshub.activity_facts(from_, to_, as_of) f
        ON f.at >= p.starts AND f.at < p.ends OR bucket IS NULL
    LEFT JOIN saleshub.report_map(group_by) m ON m.raw = f.owner_id::text
    GROUP BY p.period_no, p.label, p.starts, p.ends, m.key, m.label, f.type, f.outcome
    ORDER BY p.period_no, m.label, m.key, f.type, f.outcome;
END;
$$;
COMMENT ON FUNCTION crm.report_activity(timestamptz, timestamptz, text, text, text, text, int, timestamptz) IS
    'Activities in [from_, to_) by bucket (NULL: the whole), type and outcome, and group_by owner, team, manager or region: done, by when; due and overdue tasks, calls and e-mails; meetings booked and held. Buckets without any are left out';

CREATE FUNCTION crm.report_activity_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT NULL, group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start integer DEFAULT NULL, as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'as_of', as_of),
        '{owner,team,manager,region}');
    low constant timestamptz := saleshub.report_bound(args.from_at, 'from', args.bucket);
    high constant timestamptz := saleshub.report_bound(args.to_at, 'to', args.bucket);
    rows jsonb;
    win record;
    answer jsonb;
BEGIN
    IF args.as_of IS NOT NULL THEN
        PERFORM saleshub.as_of_check('activity', args.as_of, NULL);
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') INTO rows
    FROM crm.report_activity(low, high, args.zone, args.bucket, args.group_by, args.fiscal,
                             args.week_start, args.as_of) r;
    answer := saleshub.report_answer(
        saleshub.report_columns(args.bucket, args.group_by, '[
            {"name": "type", "type": "text"}, {"name": "outcome", "type": "text"},
            {"name": "done", "type": "integer"}, {"name": "due", "type": "integer"},
            {"name": "overdue", "type": "integer"}, {"name": "booked", "type": "integer"},
            {"name": "held", "type": "integer"}]', args.money),
        rows,
        (SELECT jsonb_build_object('done', coalesce(sum(f.done), 0), 'due', coalesce(sum(f.due), 0),
                                   'overdue', coalesce(sum(f.overdue), 0),
                                   'booked', coalesce(sum(f.booked), 0),
                                   'held', coalesce(sum(f.held), 0))
         FROM jsonb_to_recordset(rows) AS f (done bigint, due bigint, overdue bigint, booked bigint,
                                             held bigint)));
    SELECT coalesce(max(w.wins), 0) AS wins, coalesce(max(w.touches), 0) AS touches INTO win
    FROM crm.report_win_touches(low, high, NULL, args.as_of) w;
    RETURN jsonb_set(answer, '{totals}', (answer -> 'totals') - '{type,outcome}'::text[]
        || jsonb_build_object(
            'overdue_rate', saleshub.dashboard_ratio(
                (answer #>> '{totals,overdue}')::numeric, (answer #>> '{totals,due}')::numeric, 6),
            'held_rate', saleshub.dashboard_ratio(
                (answer #>> '{totals,held}')::numeric, (answer #>> '{totals,booked}')::numeric, 6),
            'wins', win.wins, 'touches', win.touches,
            'touches_per_win', saleshub.dashboard_ratio(win.touches, win.wins, 4)));
END;
$$;
COMMENT ON FUNCTION crm.report_activity_get(text, text, text, text, text, text, integer, text) IS
    'crm.report_activity as HTTP gives it; the totals also say which part of what was due was late, of the meetings booked was held, and how many touches a won deal took';

CREATE FUNCTION saleshub.routes_report_activity() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/activity',
        'crm.report_activity_get(text, text, text, text, text, text, integer, text)',
        'What was done, late, booked and held', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{owner,team,manager,region}') - 'currency',
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_activity() IS 'Registers the route of the activity report';
