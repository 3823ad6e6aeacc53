-- What became of the deals that began in a period.

CREATE FUNCTION saleshub.deals_known(
    from_ timestamptz, to_ timestamptz, as_of timestamptz,
    OUT deal_id uuid, OUT status text, OUT opened_at timestamptz, OUT closed_at timestamptz,
    OUT owner_id uuid, OUT company_id uuid, OUT pipeline_id uuid, OUT stage_id uuid,
    OUT product text, OUT source text, OUT currency text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
    ROWS 100000
AS $$
#variable_conflict use_column
DECLARE
    low constant timestamptz := coalesce(from_, '-infinity');
    high constant timestamptz := coalesce(to_, 'infinity');
BEGIN
    IF as_of IS NULL THEN
        RETURN QUERY
        SELECT d.deal_id, d.status, d.opened_at, d.closed_at, d.owner_id, d.company_id,
               d.pipeline_id, d.stage_id, d.product, d.source, d.currency
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.deleted_at IS NULL
            AND d.opened_at >= low AND d.opened_at < high;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.deal_id, d.status, d.opened_at, d.closed_at, d.owner_id, d.company_id, d.pipeline_id,
           d.stage_id, d.product, d.source, d.currency
    FROM saleshub.deals_at(as_of) d
    WHERE d.opened_at >= low AND d.opened_at < high;
END;
$$;
COMMENT ON FUNCTION saleshub.deals_known(timestamptz, timestamptz, timestamptz) IS
    'The deals that opened in [from_, to_), with what was known of them at as_of, or is now.';

CREATE FUNCTION crm.report_cohort(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT 'month', group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, as_of timestamptz DEFAULT NULL, days int[] DEFAULT '{30,60,90}')
    RETURNS TABLE (
        period_no int, period text, starts timestamptz, ends timestamptz, key text, label text,
        created bigint, won bigint, lost bigint, open bigint, win_rate numeric, open_share numeric,
        won_within bigint[])
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    args constant record := saleshub.report_args(jsonb_build_object(
        'from', saleshub.utc(from_), 'to', saleshub.utc(to_), 'tz', tz, 'bucket', bucket,
        'group_by', group_by, 'fiscal', fiscal, 'week_start', week_start,
        'as_of', saleshub.utc(as_of)), saleshub.report_sales_groups());
    mapped constant boolean := saleshub.report_mapped(group_by);
    low timestamptz := from_;
    high timestamptz := to_;
BEGIN
    IF bucket IS NOT NULL AND (from_ IS NULL OR to_ IS NULL) THEN
        SELECT coalesce(from_, min(d.opened_at)), coalesce(to_, max(d.opened_at) + interval '1 microsecond')
        INTO low, high
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.deleted_at IS NULL;
    END IF;
    RETURN QUERY
    WITH grid AS MATERIALIZED (
        SELECT * FROM saleshub.report_periods(low, high, args.zone, bucket, fiscal, week_start)
    ), flat AS MATERIALIZED (
        SELECT array_agg(coalesce(g.starts, '-infinity') ORDER BY g.period_no) AS starts FROM grid g
    ), deal AS MATERIALIZED (
        SELECT width_bucket(d.opened_at, (SELECT f.starts FROM flat f)) AS period_no,
               CASE WHEN mapped THEN m.key ELSE r.raw END AS key,
               CASE WHEN mapped THEN m.label ELSE r.raw END AS label, d.status,
               CASE d.status WHEN 'won' THEN extract(epoch FROM d.closed_at - d.opened_at) END AS took
        FROM saleshub.deals_known(low, high, as_of) d
        CROSS JOIN LATERAL (SELECT saleshub.report_raw(group_by, d.owner_id, d.company_id,
            d.stage_id, d.pipeline_id, d.product, d.source, d.currency) AS raw OFFSET 0) r
        LEFT JOIN saleshub.report_map(group_by) m ON m.raw = r.raw
    ), summed AS MATERIALIZED (
        SELECT d.period_no, d.key, min(d.label) AS label, count(*) AS n,
               count(*) FILTER (WHERE d.status = 'won') AS won,
               count(*) FILTER (WHERE d.status = 'lost') AS lost
        FROM deal d
        GROUP BY d.period_no, d.key
    ), soon AS MATERIALIZED (
        SELECT w.period_no, w.key, array_agg(w.won ORDER BY w.i) AS won
        FROM (SELECT d.period_no, d.key, n.i, count(*) FILTER (WHERE d.took <= n.days * 86400) AS won
              FROM deal d
              CROSS JOIN unnest(days) WITH ORDINALITY AS n (days, i)
              GROUP BY d.period_no, d.key, n.i) w
        GROUP BY w.period_no, w.key
    ), grouped AS (
        SELECT s.key, min(s.label) AS label FROM summed s GROUP BY s.key
        UNION ALL
        SELECT NULL, NULL WHERE group_by IS NULL AND NOT EXISTS (SELECT FROM summed s)
    )
    SELECT g.period_no, g.label, g.starts, g.ends, k.key, k.label, coalesce(s.n, 0),
           coalesce(s.won, 0), coalesce(s.lost, 0),
           coalesce(s.n - s.won - s.lost, 0), saleshub.dashboard_ratio(s.won, s.n, 6),
           saleshub.dashboard_ratio(s.n - s.won - s.lost, s.n, 6),
           coalesce(w.won, array_fill(0::bigint, ARRAY[cardinality(days)]))
    FROM grid g
    CROSS JOIN grouped k
    -- Arrays are equal where both hold NULL, and equal ones are found by hashes.
    LEFT JOIN summed s ON s.period_no = g.period_no AND ARRAY[s.key] = ARRAY[k.key]
    LEFT JOIN soon w ON w.period_no = g.period_no AND ARRAY[w.key] = ARRAY[k.key]
    ORDER BY g.period_no, k.label COLLATE "C", k.key;
END;
$$;
COMMENT ON FUNCTION crm.report_cohort(timestamptz, timestamptz, text, text, text, text, int,
                                      timestamptz, int[]) IS
    'Of the deals that opened in a period: how many are won, lost and still open, and won within so many days. While the open share is high, the win rate will still rise.';

CREATE FUNCTION saleshub.cohort_days(given text) RETURNS int[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF given IS NULL OR given = '' THEN
        RETURN '{30,60,90}';
    ELSIF given !~ '^[1-9]\d{0,3}(,[1-9]\d{0,3}){0,9}$' THEN
        PERFORM saleshub.bad_parameter('days', 'invalid',
                                       'must be up to ten numbers of days from 1 to 9999, a comma list');
    END IF;
    RETURN ARRAY(SELECT DISTINCT n::int FROM unnest(string_to_array(given, ',')) n ORDER BY 1);
END;
$$;
COMMENT ON FUNCTION saleshub.cohort_days(text) IS
    'The numbers of days in a comma list, each once and sorted.';

CREATE FUNCTION crm.report_cohort_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL, tz text DEFAULT NULL,
    bucket text DEFAULT 'month', group_by text DEFAULT NULL, fiscal text DEFAULT NULL,
    week_start int DEFAULT NULL, as_of text DEFAULT NULL, days text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    a constant record := saleshub.report_args(jsonb_build_object(
        'from', from_, 'to', to_, 'tz', tz, 'bucket', bucket, 'group_by', group_by,
        'fiscal', fiscal, 'week_start', week_start, 'as_of', as_of),
        saleshub.report_sales_groups());
    within constant int[] := saleshub.cohort_days(days);
    measures jsonb := '[{"name": "created", "type": "integer"}, {"name": "won", "type": "integer"},
        {"name": "lost", "type": "integer"}, {"name": "open", "type": "integer"},
        {"name": "win_rate", "type": "number"}, {"name": "open_share", "type": "number"}]';
    rows jsonb;
BEGIN
    measures := measures || (
        SELECT jsonb_agg(jsonb_build_object('name', format('won_%sd', n), 'type', 'integer') ORDER BY i)
        FROM unnest(within) WITH ORDINALITY AS x (n, i));
    SELECT coalesce(jsonb_agg(saleshub.cohort_row(to_jsonb(r), within)), '[]') INTO rows
    FROM crm.report_cohort(a.from_at, a.to_at, a.zone, a.bucket, a.group_by, a.fiscal,
                           a.week_start, a.as_of, within) r;
    RETURN saleshub.report_answer(
        saleshub.report_columns(a.bucket, a.group_by, measures, a.money), rows,
        CASE WHEN a.bucket IS NULL AND a.group_by IS NULL THEN rows -> 0
        ELSE (SELECT saleshub.cohort_row(to_jsonb(r), within)
              FROM crm.report_cohort(a.from_at, a.to_at, a.zone, NULL, NULL, a.fiscal,
                                     a.week_start, a.as_of, within) r) END);
END;
$$;
COMMENT ON FUNCTION crm.report_cohort_get(text, text, text, text, text, text, int, text, text) IS
    'crm.report_cohort as HTTP gives it, with a column won_<n>d for each number of days.';

CREATE FUNCTION saleshub.cohort_row(doc jsonb, days int[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN doc || (
        SELECT jsonb_object_agg(format('won_%sd', n), doc -> 'won_within' -> (i - 1)::int)
        FROM unnest(days) WITH ORDINALITY AS x (n, i));
END;
$$;
COMMENT ON FUNCTION saleshub.cohort_row(jsonb, int[]) IS
    'A row of crm.report_cohort with a member for each number of days.';

CREATE FUNCTION saleshub.routes_report_cohort() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/reports/cohort',
        'crm.report_cohort_get(text, text, text, text, text, text, integer, text, text)',
        'What became of the deals that began in a period', 'analytics', timeout_ms => 30000,
        args => saleshub.report_route_args(saleshub.report_sales_groups(),
            '{"days": {"type": "string", "maxLength": 60,
                       "description": "Won within so many days, a comma list; 30,60,90 unless given"}}')
            - 'currency',
        answer => '"Report"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_report_cohort() IS 'Registers the route of the report of cohorts.';
