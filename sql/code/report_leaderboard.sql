-- Who leads. Equal values share a rank, and how many share it is said.

CREATE FUNCTION saleshub.leader_figures(
    from_ timestamptz, to_ timestamptz, currency text, as_of timestamptz)
    RETURNS TABLE (member_id uuid, won bigint, lost bigint, won_amount numeric, activities bigint,
                   meetings bigint, leads_converted bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    instant constant timestamptz := coalesce(as_of, now());
BEGIN
    RETURN QUERY
    WITH figure AS (
        SELECT d.owner_id, count(*) FILTER (WHERE d.status = 'won') AS won,
               count(*) FILTER (WHERE d.status = 'lost') AS lost,
               sum(saleshub.deal_value(d.amount, d.currency, d.amount_base, d.closed_at,
                                       leader_figures.currency, instant))
                   FILTER (WHERE d.status = 'won') AS amount,
               0::bigint AS done, 0::bigint AS held, 0::bigint AS converted
        FROM saleshub.deals_at(as_of) d
        WHERE d.closed_at >= from_ AND d.closed_at < to_
        GROUP BY d.owner_id
        UNION ALL
        SELECT a.owner_id, 0, 0, 0, sum(a.done), sum(a.held), 0
        FROM saleshub.activity_facts(from_, to_, as_of) a
        GROUP BY a.owner_id
        UNION ALL
        SELECT l.owner_id, 0, 0, 0, 0, 0, count(*)
        FROM crm.lead l
        JOIN crm.conversion c ON c.org_id = l.org_id AND c.lead_id = l.lead_id
            AND c.at <= instant AND (c.undone_at IS NULL OR c.undone_at > instant)
        WHERE l.org_id = saleshub.org_id() AND (l.deleted_at IS NULL OR l.deleted_at > instant)
            AND c.at >= from_ AND c.at < to_
        GROUP BY l.owner_id
    )
    SELECT f.owner_id, sum(f.won)::bigint, sum(f.lost)::bigint, coalesce(sum(f.amount), 0),
           sum(f.done)::bigint, sum(f.held)::bigint, sum(f.converted)::bigint
    FROM figure f
    WHERE f.owner_id IS NOT NULL
    GROUP BY f.owner_id;
END;
$$;
COMMENT ON FUNCTION saleshub.leader_figures(timestamptz, timestamptz, text, timestamptz) IS
    'What members achieved in [from_, to_), of what the caller sees';

CREATE FUNCTION crm.report_leaderboard(
    from_ timestamptz, to_ timestamptz, metric text DEFAULT 'won_amount',
    currency text DEFAULT NULL, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (rank bigint, tied bigint, member_id uuid, member text, value numeric,
                   won_amount numeric, won bigint, lost bigint, win_rate numeric,
                   activities bigint, meetings bigint, leads_converted bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH figure AS (
        SELECT m.member_id, m.name, coalesce(f.won, 0) AS won, coalesce(f.lost, 0) AS lost,
               coalesce(f.won_amount, 0) AS won_amount, coalesce(f.activities, 0) AS activities,
               coalesce(f.meetings, 0) AS meetings,
               coalesce(f.leads_converted, 0) AS leads_converted,
               saleshub.dashboard_ratio(f.won, f.won + f.lost, 6) AS win_rate
        FROM crm.member m
        LEFT JOIN saleshub.leader_figures(
            from_, to_, coalesce(currency, saleshub.org_currency(saleshub.org_id())), as_of) f
            ON f.member_id = m.member_id
        WHERE m.org_id = saleshub.org_id() AND m.deleted_at IS NULL
            AND (f.member_id IS NOT NULL OR m.active AND m.role <> 'readonly'
                 AND (saleshub.sees_all('deal')
                      OR m.member_id = ANY (saleshub.visible_owners('deal'))))
    ), ranked AS (
        SELECT f.*, v.value, rank() OVER (ORDER BY v.value DESC NULLS LAST) AS rank
        FROM figure f,
        LATERAL (SELECT CASE metric WHEN 'won' THEN f.won WHEN 'win_rate' THEN f.win_rate
                                    WHEN 'activities' THEN f.activities
                                    WHEN 'meetings' THEN f.meetings
                                    WHEN 'leads_converted' THEN f.leads_converted
                                    ELSE f.won_amount END AS value) v
    )
    SELECT r.rank, count(*) OVER (PARTITION BY r.rank), r.member_id, r.name, r.value, r.won_amount,
           r.won, r.lost, r.win_rate, r.activities, r.meetings, r.leads_converted
    FROM ranked r
    ORDER BY r.rank, r.name, r.member_id;
END;
$$;
COMMENT ON FUNCTION crm.report_leaderboard(timestamptz, timestamptz, text, text, timestamptz) IS
    'Members by what they achieved in [from_, to_): metric won_amount, won, win_rate, activities, meetings (held) or leads_converted. Equal values share a rank, tied says how many do, and they follow by name; no value is last';

CREATE FUNCTION saleshub.leader_metrics() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{won_amount,won,win_rate,activities,meetings,leads_converted}'::text[];
COMMENT ON FUNCTION saleshub.leader_metrics() IS 'What members can be ranked by.';

CREATE FUNCTION crm.report_leaderboard_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    metric text DEFAULT NULL, currency text DEFAULT NULL, as_of text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'currency', currency, 'as_of', as_of), '{}');
    low constant timestamptz := saleshub.report_bound(args.from_at, 'from', NULL);
    high constant timestamptz := saleshub.report_bound(args.to_at, 'to', NULL);
    priced constant boolean := NOT 'amount' = ANY (args.hidden);
    by_ constant text := coalesce(nullif(metric, ''), CASE WHEN priced THEN 'won_amount' ELSE 'won' END);
    board jsonb;
BEGIN
    IF NOT by_ = ANY (saleshub.leader_metrics()) THEN
        PERFORM saleshub.bad_parameter('metric', 'not_allowed', 'must be one of '
            || array_to_string(saleshub.leader_metrics(), ', '));
    ELSIF by_ = 'won_amount' AND NOT priced THEN
        PERFORM saleshub.bad_parameter('metric', 'hidden', 'is hidden from you');
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') INTO board
    FROM crm.report_leaderboard(low, high, by_, args.money, args.as_of) r;
    RETURN saleshub.report_answer(
        saleshub.report_columns(NULL, NULL, jsonb_build_array(
            '{"name": "rank", "type": "integer"}'::jsonb, '{"name": "tied", "type": "integer"}'::jsonb,
            '{"name": "member_id", "type": "text"}'::jsonb, '{"name": "member", "type": "text"}'::jsonb,
            jsonb_build_object('name', 'value', 'of', by_, 'type',
                CASE by_ WHEN 'won_amount' THEN 'money' WHEN 'win_rate' THEN 'number'
                ELSE 'integer' END))
            || '[{"name": "won_amount", "type": "money"}, {"name": "won", "type": "integer"}, {"name": "lost", "type": "integer"},
                 {"name": "win_rate", "type": "number"}, {"name": "activities", "type": "integer"},
                 {"name": "meetings", "type": "integer"},
                 {"name": "leads_converted", "type": "integer"}]', args.money),
        (SELECT coalesce(jsonb_agg(r || jsonb_build_object('won_amount', CASE WHEN priced THEN
                    saleshub.money_round((r ->> 'won_amount')::numeric, args.money) END)
                    || CASE by_ WHEN 'won_amount' THEN jsonb_build_object(
                        'value', saleshub.money_round((r ->> 'value')::numeric, args.money))
                       ELSE '{}' END ORDER BY n), '[]')
         FROM jsonb_array_elements(board) WITH ORDINALITY AS b (r, n)),
        (SELECT jsonb_build_object(
                    'won_amount', CASE WHEN priced THEN
                        saleshub.money_round(coalesce(sum(b.won_amount), 0), args.money) END,
                    'won', coalesce(sum(b.won), 0), 'lost', coalesce(sum(b.lost), 0),
                    'win_rate', saleshub.dashboard_ratio(sum(b.won), sum(b.won + b.lost), 6),
                    'activities', coalesce(sum(b.activities), 0),
                    'meetings', coalesce(sum(b.meetings), 0),
                    'leads_converted', coalesce(sum(b.leads_converted), 0))
         FROM jsonb_to_recordset(board) AS b (
             won_amount numeric, won numeric, lost numeric, activities numeric, meetings numeric,
             leads_converted numeric)));
END;
$$;
COMMENT ON FUNCTION crm.report_leaderboard_get(text, text, text, text, text, text) IS
    'crm.report_leaderboard as HTTP gives it';

CREATE FUNCTION saleshub.routes_report_leaderboard() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /v1/reports/leaderboard',
        'crm.report_leaderboard_get(text, text, text, text, text, text)',
        'Who leads', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args('{}', jsonb_build_object('metric', jsonb_build_object(
                'type', 'string', 'enum', saleshub.leader_metrics(),
                'description', 'By what members are ranked; won_amount unless said')))
            - '{bucket,fiscal,week_start,group_by}'::text[],
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_leaderboard() IS
    'Registers the route of the leaderboard';
