-- Analytics: the dashboard reads the rollups and nothing else. Base rows and deltas not yet
-- folded are added up in one statement, hence one snapshot: the figures are those of the
-- committed rows at that instant, exactly.

CREATE FUNCTION saleshub.dashboard_zone(zone text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- PostgreSQL would take these as POSIX zones, with the sign the other way round.
    IF zone !~ '^[A-Za-z]' OR zone ~ '^[A-Za-z]+[+-][0-9]' THEN
        RETURN NULL;
    END IF;
    PERFORM timezone(zone, now());
    RETURN zone;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_zone(text) IS
    'The time zone when it is a known name, else NULL; offsets such as +02:00 are not names';

CREATE FUNCTION saleshub.dashboard_faults(from_ timestamptz, to_ timestamptz, tz text, bucket text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    quarter_hour constant interval := '15 minutes';
    epoch constant timestamptz := '2000-01-01 00:00:00+00';
    found jsonb := '[]';
    bound record;
BEGIN
    FOR bound IN SELECT * FROM (VALUES ('from', from_), ('to', to_)) AS b (name, at) LOOP
        IF NOT isfinite(bound.at) THEN
            found := found || saleshub.parameter_fault(bound.name, 'invalid',
                'must be a finite time; leave it out for an open period');
        ELSIF date_bin(quarter_hour, bound.at, epoch) <> bound.at THEN
            found := found || saleshub.parameter_fault(bound.name, 'not_aligned',
                'must be on a quarter hour: figures are kept by quarter hour, '
                'a bound inside one could not be exact');
        END IF;
    END LOOP;
    IF from_ >= to_ THEN
        found := found || saleshub.parameter_fault('to', 'invalid', 'must be later than from');
    END IF;
    IF tz IS NOT NULL AND saleshub.dashboard_zone(tz) IS NULL THEN
        found := found || saleshub.parameter_fault('tz', 'invalid',
            'must be the name of a time zone such as Europe/Berlin');
    END IF;
    IF bucket IS NULL OR bucket NOT IN ('day', 'week', 'month', 'quarter') THEN
        found := found || saleshub.parameter_fault('bucket', 'invalid',
            'must be one of day, week, month, quarter');
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_faults(timestamptz, timestamptz, text, text) IS
    'Everything wrong with the arguments of crm.dashboard, as errors[] of a problem; [] when fine';

CREATE FUNCTION saleshub.dashboard_refuse(faults jsonb)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023',
            (SELECT format('%s: %s', f ->> 'parameter', f ->> 'detail')
             FROM jsonb_array_elements(faults) WITH ORDINALITY AS e (f, position)
             ORDER BY position
             LIMIT 1),
            jsonb_build_object('code', 'invalid_parameter', 'errors', faults));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_refuse(jsonb) IS
    'Raise 22023 with these parameter errors, if there are any';

CREATE FUNCTION saleshub.round_even(value numeric, places int)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Half of what lies in the middle is one or three quarters of the way, and rounds to either without doubt.
RETURN CASE WHEN round(value, places) <> value AND round(2 * value, places) = 2 * value
            THEN 2 * round(0.5 * value, places) ELSE round(value, places) END;
COMMENT ON FUNCTION saleshub.round_even(numeric, int) IS
    'A number rounded to so many places, half to even';

CREATE FUNCTION saleshub.dashboard_ratio(part numeric, whole numeric, places int)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN saleshub.round_even(part / nullif(whole, 0), places);
COMMENT ON FUNCTION saleshub.dashboard_ratio(numeric, numeric, int) IS
    'part ÷ whole, rounded half to even; NULL when there is nothing to divide by';

CREATE FUNCTION saleshub.dashboard_money(amount numeric, currency text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.money_json(saleshub.money_round(amount, currency), currency);
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_money(numeric, text) IS
    'A sum as a money object, rounded to the smallest unit, half to even; it is rounded only here';

CREATE FUNCTION saleshub.dashboard_limit(points int, most int)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF points > most THEN
        PERFORM saleshub.dashboard_refuse(saleshub.parameter_fault('bucket', 'too_many_points', format(
            'the period has %s buckets, at most 1000 are given; '
            'take a longer bucket or a shorter period', points)));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_limit(int, int) IS
    'Refuse a series of more than so many points';

CREATE FUNCTION saleshub.dashboard_points(first_ timestamp, last_ timestamp, bucket text)
RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 1 + CASE bucket
    WHEN 'day' THEN last_::date - first_::date
    WHEN 'week' THEN (last_::date - first_::date) / 7
    ELSE ((extract(year FROM last_) - extract(year FROM first_)) * 12
          + extract(month FROM last_) - extract(month FROM first_))::int
         / CASE bucket WHEN 'month' THEN 1 ELSE 3 END
    END;
COMMENT ON FUNCTION saleshub.dashboard_points(timestamp, timestamp, text) IS
    'How many buckets lie from the one starting at first_ to the one starting at last_';

CREATE FUNCTION saleshub.dashboard_range(
    from_ timestamptz, to_ timestamptz, OUT first timestamptz, OUT last timestamptz)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    low constant timestamptz := coalesce(from_, '-infinity');
    high constant timestamptz := coalesce(to_, 'infinity');
    facts constant text[] := '{lead_created,lead_converted,deal_won,deal_lost}';
BEGIN
    IF from_ IS NULL OR to_ IS NULL THEN
        WITH fresh AS (
            SELECT min(d.bucket) AS first, max(d.bucket) AS last
            FROM saleshub.rollup_delta d
            WHERE d.org_id = saleshub.org_id() AND d.fact = ANY (facts)
              AND d.bucket >= low AND d.bucket < high AND d.bucket > '-infinity'
        ), base AS (
            SELECT min(a.bucket) AS first, max(z.bucket) AS last
            FROM unnest(facts) AS f (fact)
            CROSS JOIN LATERAL (
                SELECT b.bucket
                FROM saleshub.rollup b
                WHERE b.org_id = saleshub.org_id() AND b.fact = f.fact
                  AND b.bucket >= low AND b.bucket < high AND b.bucket > '-infinity'
                ORDER BY b.bucket
                LIMIT 1) a
            CROSS JOIN LATERAL (
                SELECT b.bucket
                FROM saleshub.rollup b
                WHERE b.org_id = saleshub.org_id() AND b.fact = f.fact
                  AND b.bucket >= low AND b.bucket < high
                ORDER BY b.bucket DESC
                LIMIT 1) z
        )
        SELECT least(b.first, f.first), greatest(b.last, f.last) + interval '15 minutes'
        INTO first, last
        FROM base b, fresh f;
    END IF;
    first := coalesce(from_, first);
    last := coalesce(to_, last);
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_range(timestamptz, timestamptz) IS
    'The period, its open ends replaced by those of the figures of a series; NULL when there are '
    'none. May be wider than need be: figures that have become zero count';

CREATE FUNCTION saleshub.dashboard_bounds(
    from_ timestamptz, to_ timestamptz, zone text, bucket text)
RETURNS timestamptz[]
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    range constant record := saleshub.dashboard_range(from_, to_);
    first constant timestamp := date_trunc(bucket, range.first AT TIME ZONE zone);
    last constant timestamp := (range.last - interval '1 microsecond') AT TIME ZONE zone;
BEGIN
    PERFORM saleshub.dashboard_limit(saleshub.dashboard_points(first, last, bucket), 100000);
    RETURN ARRAY(
        SELECT s.at AT TIME ZONE zone
        FROM generate_series(first, last, CASE bucket WHEN 'quarter' THEN interval '3 months'
                                                      WHEN 'month' THEN interval '1 month'
                                                      WHEN 'week' THEN interval '7 days'
                                                      ELSE interval '1 day' END) AS s (at));
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_bounds(timestamptz, timestamptz, text, text) IS
    'When the buckets of the period begin; {} when it is open and there are no figures';

CREATE FUNCTION saleshub.dashboard_facts(
    from_ timestamptz, to_ timestamptz, bounds timestamptz[])
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]')
        FROM (SELECT r.fact, NULL AS type, array_position(bounds, r.bucket) AS i,
                     r.n, r.amount, r.weighted, r.seconds
              FROM saleshub.rollup_read('{lead_created,lead_converted,deal_won,deal_lost,deal_open}',
                                        from_, to_, bounds) r
              UNION ALL
              SELECT r.fact, r.label, NULL, r.n, 0, 0, 0
              FROM saleshub.rollup_read('{activity_created,activity_done}', from_, to_,
                                        by_ => '{label}') r) s);
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_facts(timestamptz, timestamptz, timestamptz[]) IS
    'The rollups of the organisation of the context in [from_, to_), summed by fact, activity type '
    'and number of the bucket; open deals are the present ones and have no bucket';

CREATE FUNCTION saleshub.dashboard_leads(facts jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'new', t.new,
        'converted', t.converted,
        'conversion_rate', saleshub.dashboard_ratio(t.converted, t.new, 6))
    FROM (SELECT coalesce(sum(n) FILTER (WHERE fact = 'lead_created'), 0) AS new,
                 coalesce(sum(n) FILTER (WHERE fact = 'lead_converted'), 0) AS converted
          FROM jsonb_to_recordset(facts) AS f (fact text, n numeric)) t;
END;
COMMENT ON FUNCTION saleshub.dashboard_leads(jsonb) IS
    'Leads created and leads converted in the period; the rate is one by the other, so it can '
    'exceed 1 in a period that converts leads of an earlier one';

CREATE FUNCTION saleshub.dashboard_deals(facts jsonb, currency text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
        'open', t.open,
        'open_amount', saleshub.dashboard_money(t.open_amount, currency),
        'weighted_amount', saleshub.dashboard_money(t.weighted_amount, currency),
        'won', t.won,
        'lost', t.lost,
        'won_amount', saleshub.dashboard_money(t.won_amount, currency),
        'win_rate', saleshub.dashboard_ratio(t.won, t.won + t.lost, 6),
        'avg_cycle_days', saleshub.dashboard_ratio(t.won_seconds, t.won * 86400, 4),
        -- open × win rate as shown × average won ÷ average cycle; the number won cancels out
        'velocity_per_day', saleshub.dashboard_ratio(
            t.open * saleshub.dashboard_ratio(t.won, t.won + t.lost, 6) * t.won_amount * 86400,
            t.won_seconds, 6))
    FROM (SELECT coalesce(sum(n) FILTER (WHERE fact = 'deal_open'), 0) AS open,
                 coalesce(sum(amount) FILTER (WHERE fact = 'deal_open'), 0) AS open_amount,
                 coalesce(sum(weighted) FILTER (WHERE fact = 'deal_open'), 0) AS weighted_amount,
                 coalesce(sum(n) FILTER (WHERE fact = 'deal_won'), 0) AS won,
                 coalesce(sum(n) FILTER (WHERE fact = 'deal_lost'), 0) AS lost,
                 coalesce(sum(amount) FILTER (WHERE fact = 'deal_won'), 0) AS won_amount,
                 coalesce(sum(seconds) FILTER (WHERE fact = 'deal_won'), 0) AS won_seconds
          FROM jsonb_to_recordset(facts)
               AS f (fact text, n numeric, amount numeric, weighted numeric, seconds numeric)) t);
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_deals(jsonb, text) IS
    'Present pipeline, and what was won and lost in the period by close time';

CREATE FUNCTION saleshub.dashboard_activities(facts jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'created', coalesce(sum(t.created), 0),
        'done', coalesce(sum(t.done), 0),
        'by_type', coalesce(jsonb_agg(jsonb_build_object('type', t.type, 'created', t.created,
                                                         'done', t.done)
                                      ORDER BY t.type COLLATE "C"), '[]'))
    FROM (SELECT type,
                 coalesce(sum(n) FILTER (WHERE fact = 'activity_created'), 0) AS created,
                 coalesce(sum(n) FILTER (WHERE fact = 'activity_done'), 0) AS done
          FROM jsonb_to_recordset(facts) AS f (fact text, type text, n numeric)
          WHERE type IS NOT NULL
          GROUP BY type) t;
END;
COMMENT ON FUNCTION saleshub.dashboard_activities(jsonb) IS
    'Activities created and done in the period, also by type';

CREATE FUNCTION saleshub.dashboard_span(
    facts jsonb, from_ timestamptz, to_ timestamptz, bounds timestamptz[],
    OUT first int, OUT last int)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN from_ IS NULL THEN min(f.i) ELSE 1 END,
           CASE WHEN to_ IS NULL THEN max(f.i) ELSE cardinality(bounds) END
    FROM jsonb_to_recordset(facts) AS f (i int);
END;
COMMENT ON FUNCTION saleshub.dashboard_span(jsonb, timestamptz, timestamptz, timestamptz[]) IS
    'First and last bucket of the series: those of the period, where open those of the figures';

CREATE FUNCTION saleshub.dashboard_series(
    facts jsonb, bounds timestamptz[], first int, last int, since timestamptz, zone text,
    currency text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'bucket', (bounds[p.i] AT TIME ZONE zone)::date,
                   'from', saleshub.utc(greatest(bounds[p.i], since)),
                   'leads_new', p.leads_new,
                   'leads_converted', p.leads_converted,
                   'won', p.won,
                   'lost', p.lost,
                   'won_amount', saleshub.dashboard_money(p.won_amount, currency))
               ORDER BY p.i), '[]')
        FROM (SELECT s.i,
                     coalesce(sum(f.n) FILTER (WHERE f.fact = 'lead_created'), 0) AS leads_new,
                     coalesce(sum(f.n) FILTER (WHERE f.fact = 'lead_converted'), 0)
                         AS leads_converted,
                     coalesce(sum(f.n) FILTER (WHERE f.fact = 'deal_won'), 0) AS won,
                     coalesce(sum(f.n) FILTER (WHERE f.fact = 'deal_lost'), 0) AS lost,
                     coalesce(sum(f.amount) FILTER (WHERE f.fact = 'deal_won'), 0) AS won_amount
              FROM generate_series(first, last) AS s (i)
              LEFT JOIN jsonb_to_recordset(facts)
                   AS f (fact text, i int, n numeric, amount numeric) ON f.i = s.i
              GROUP BY s.i) p);
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_series(
    jsonb, timestamptz[], int, int, timestamptz, text, text) IS
    'One entry a bucket, also where nothing happened; the first one may begin within its bucket';

CREATE FUNCTION saleshub.dashboard_visible(doc jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT 'amount' = ANY (saleshub.hidden_fields('deal')) THEN
        RETURN doc;
    END IF;
    RETURN doc || jsonb_build_object(
        'deals', (doc -> 'deals') || '{"open_amount": null, "weighted_amount": null,
                                       "won_amount": null, "velocity_per_day": null}',
        'series', (SELECT coalesce(jsonb_agg(s.e || '{"won_amount": null}' ORDER BY s.n), '[]')
                   FROM jsonb_array_elements(doc -> 'series') WITH ORDINALITY AS s (e, n)));
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_visible(jsonb) IS
    'The dashboard without sums of amounts, for those from whom the amount of a deal is hidden';

CREATE FUNCTION crm.dashboard(
    from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL,
    tz text DEFAULT NULL, bucket text DEFAULT 'month')
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    home record;
    span record;
    zone text;
    bounds timestamptz[];
    facts jsonb;
BEGIN
    PERFORM saleshub.dashboard_refuse(saleshub.dashboard_faults(from_, to_, tz, bucket));
    SELECT o.currency, o.timezone INTO home FROM crm.org o WHERE o.org_id = saleshub.org_id();
    IF NOT FOUND THEN
        PERFORM saleshub.raise('28000', 'no organisation is set');
    END IF;
    zone := coalesce(tz, home.timezone);
    bounds := saleshub.dashboard_bounds(from_, to_, zone, bucket);
    facts := saleshub.dashboard_facts(from_, to_, bounds);
    span := saleshub.dashboard_span(facts, from_, to_, bounds);
    PERFORM saleshub.dashboard_limit(span.last - span.first + 1, 1000);
    RETURN saleshub.dashboard_visible(jsonb_build_object(
        'period', jsonb_build_object('from', saleshub.utc(from_), 'to', saleshub.utc(to_),
                                     'tz', zone, 'bucket', bucket),
        'leads', saleshub.dashboard_leads(facts),
        'deals', saleshub.dashboard_deals(facts, home.currency),
        'activities', saleshub.dashboard_activities(facts),
        'series', saleshub.dashboard_series(facts, bounds, span.first, span.last, from_, zone,
                                            home.currency),
        'as_of_seq', saleshub.dashboard_position()));
END
$$;
COMMENT ON FUNCTION crm.dashboard(timestamptz, timestamptz, text, text) IS
    'Leads, deals and activities of the organisation in [from_, to_) by close or creation time, '
    'exact as of this statement. Bounds lie on quarter hours, NULL is open; tz (default: of the '
    'organisation) sets where buckets day, week, month or quarter begin. Open deals are the '
    'present ones, whatever the period';

CREATE FUNCTION crm.dashboard_get(
    from_ text DEFAULT NULL, to_ text DEFAULT NULL,
    tz text DEFAULT NULL, bucket text DEFAULT 'month')
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    given constant jsonb := jsonb_build_object('from', from_, 'to', to_);
    zone text;
    lower_ record;
    upper_ record;
BEGIN
    tz := nullif(tz, '');
    zone := coalesce(saleshub.dashboard_zone(tz),
                     (SELECT o.timezone FROM crm.org o WHERE o.org_id = saleshub.org_id()), 'UTC');
    lower_ := saleshub.report_instant(given, 'from', zone);
    upper_ := saleshub.report_instant(given, 'to', zone);
    PERFORM saleshub.dashboard_refuse(
        lower_.faults || upper_.faults
        || saleshub.dashboard_faults(lower_.at, upper_.at, tz, bucket));
    RETURN crm.dashboard(lower_.at, upper_.at, tz, bucket);
END
$$;
COMMENT ON FUNCTION crm.dashboard_get(text, text, text, text) IS
    'crm.dashboard as HTTP gives it: bounds are times with an offset, or dates, which are '
    'midnights in tz; an empty argument is the same as none';

CREATE FUNCTION saleshub.dashboard_bound(given text, zone text)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
SET DateStyle = 'ISO, YMD'
AS $$
BEGIN
    IF given ~ '^\d{4}-\d\d-\d\d$' THEN
        RETURN given::date::timestamp AT TIME ZONE zone;
    ELSIF given ~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)$' THEN
        RETURN given::timestamptz;
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_parameter_value THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_bound(text, text) IS
    'A bound of a period as written in a URL; NULL when it is neither a date nor a time';

CREATE FUNCTION saleshub.dashboard_position()
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT s.epoch || '-' || s.top FROM saleshub.event_state s);
END
$$;
COMMENT ON FUNCTION saleshub.dashboard_position() IS
    'Where the event log stood for this snapshot, as <epoch>-<gseq>: subscribe from here';

CREATE FUNCTION saleshub.routes_dashboard()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/dashboard', 'crm.dashboard_get(text, text, text, text)',
        'Leads, deals and activities at a glance, exact as of now', 'analytics',
        cache => 'strict',
        args => jsonb_build_object(
            'from', jsonb_build_object('type', 'string', 'maxLength', 40,
                'description', 'start of the period, a time on a quarter hour or a date in tz'),
            'to', jsonb_build_object('type', 'string', 'maxLength', 40,
                'description', 'end of the period, exclusive'),
            'tz', jsonb_build_object('type', 'string', 'maxLength', 64,
                'description', 'time zone of the buckets, default: the organisation''s'),
            'bucket', jsonb_build_object('type', 'string',
                'enum', jsonb_build_array('day', 'week', 'month', 'quarter'))),
        answer => '"Dashboard"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_dashboard() IS 'HTTP routes of the dashboard';
