-- What all reports share: their arguments, the words of group_by, money, and the form of the
-- answer. A report is crm.report_<name>(…) for SQL and crm.report_<name>_get(…) for HTTP, which
-- gives the same rows as {columns, rows, totals}. All run as whoever asks: figures are of the
-- records that he sees.

CREATE FUNCTION saleshub.report_instant(given jsonb, name text, zone text,
                                        OUT at timestamptz, OUT faults jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    at := saleshub.dashboard_bound(nullif(given ->> name, ''), zone);
    faults := CASE WHEN at IS NULL AND given ->> name <> '' THEN saleshub.parameter_fault(
        name, 'invalid', 'must be a date or an RFC 3339 time with its offset') ELSE '[]' END;
END;
$$;
COMMENT ON FUNCTION saleshub.report_instant(jsonb, text, text) IS
    'A time among the arguments of a report: a date is midnight in the zone.';

CREATE FUNCTION saleshub.report_groups() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"owner": "owner_id", "team": "owner_id", "manager": "owner_id", "region": "owner_id",
             "company": "company_id", "parent_company": "company_id", "industry": "company_id",
             "country": "company_id", "product": "product", "source": "source",
             "stage": "stage_id", "pipeline": "pipeline_id", "currency": "currency",
             "type": "type", "status": "status", "reason": "lost_reason",
             "from_stage": "stage_id", "deal": "name"}'::jsonb;
COMMENT ON FUNCTION saleshub.report_groups() IS
    'What reports can be grouped by, with the field that it comes of.';

CREATE FUNCTION saleshub.report_choice(given jsonb, name text, allowed text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN given ->> name <> '' AND NOT given ->> name = ANY (allowed)
        THEN saleshub.parameter_fault(name, 'not_allowed',
                                   'must be one of ' || pg_catalog.array_to_string(allowed, ', '))
        ELSE '[]' END;
COMMENT ON FUNCTION saleshub.report_choice(jsonb, text, text[]) IS
    'The error of an argument that is none of these, or none.';

CREATE FUNCTION saleshub.report_args(
    given jsonb, groups text[],
    OUT from_at timestamptz, OUT to_at timestamptz, OUT zone text, OUT bucket text,
    OUT group_by text, OUT fiscal text, OUT week_start int, OUT base text, OUT money text,
    OUT as_of timestamptz, OUT hidden text[])
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    home record;
    taken record;
    faults jsonb := '[]';
BEGIN
    SELECT o.currency, o.timezone INTO home FROM crm.org o WHERE o.org_id = saleshub.org_id();
    IF NOT FOUND THEN
        PERFORM saleshub.raise('28000', 'no organisation is set');
    END IF;
    zone := coalesce(nullif(given ->> 'tz', ''), home.timezone);
    IF saleshub.dashboard_zone(zone) IS NULL THEN
        faults := faults || saleshub.parameter_fault('tz', 'invalid',
            'must be the name of a time zone such as Europe/Berlin');
        zone := 'UTC';
    END IF;
    SELECT * INTO taken FROM saleshub.report_instant(given, 'from', zone);
    from_at := taken.at;
    faults := faults || taken.faults;
    SELECT * INTO taken FROM saleshub.report_instant(given, 'to', zone);
    to_at := taken.at;
    faults := faults || taken.faults;
    SELECT * INTO taken FROM saleshub.report_instant(given, 'as_of', zone);
    as_of := taken.at;
    faults := faults || taken.faults;
    IF from_at >= to_at THEN
        faults := faults || saleshub.parameter_fault('to', 'invalid', 'must be later than from');
    END IF;
    IF as_of > clock_timestamp() THEN
        faults := faults || saleshub.parameter_fault('as_of', 'range', 'must lie in the past');
    END IF;
    bucket := nullif(given ->> 'bucket', '');
    group_by := nullif(given ->> 'group_by', '');
    fiscal := nullif(given ->> 'fiscal', '');
    week_start := given ->> 'week_start';
    base := home.currency;
    money := coalesce(nullif(given ->> 'currency', ''), base);
    hidden := saleshub.hidden_fields('deal');
    faults := faults
        || saleshub.report_choice(given, 'bucket', '{day,week,month,quarter,year}')
        || saleshub.report_choice(given, 'group_by', groups);
    IF saleshub.report_groups() ->> group_by = ANY (hidden) THEN
        faults := faults || saleshub.parameter_fault('group_by', 'hidden', 'is hidden from you');
    END IF;
    IF week_start NOT BETWEEN 1 AND 7 THEN
        faults := faults || saleshub.parameter_fault('week_start', 'invalid',
                                                  'must be from 1, Monday, to 7, Sunday');
    END IF;
    IF saleshub.fiscal_find(fiscal) IS NULL THEN
        faults := faults || saleshub.parameter_fault('fiscal', 'not_found',
            'must be a fiscal calendar by name or id, gregorian, or the first month of the year, 1 to 12');
    END IF;
    IF money <> base AND NOT EXISTS (SELECT FROM crm.currency_rate r
                                     WHERE r.org_id = saleshub.org_id() AND r.currency = money)
    THEN
        faults := faults || saleshub.parameter_fault('currency', 'no_exchange_rate', format(
            'must be %s or a currency with a rate to it', base));
    END IF;
    PERFORM saleshub.dashboard_refuse(faults);
    IF as_of IS NOT NULL THEN
        PERFORM saleshub.as_of_check('deal', as_of, NULL);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.report_args(jsonb, text[]) IS
    'The arguments of a report, checked, with all that is wrong raised at once: given holds from, to, tz, bucket, group_by, fiscal, week_start, currency and as_of as texts; groups are the words it can be grouped by. base is the currency of the organisation, money that of the report, hidden the fields of deals that the member does not see.';

-- Money: sums are of converted amounts, and rounded last

CREATE FUNCTION saleshub.money_unit(currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 0.001
                ELSE 0.01 END;
COMMENT ON FUNCTION saleshub.money_unit(text) IS 'The smallest unit of a currency.';

CREATE FUNCTION saleshub.money_round(amount numeric, currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN saleshub.round_even(amount, pg_catalog.scale(saleshub.money_unit(currency)));
COMMENT ON FUNCTION saleshub.money_round(numeric, text) IS
    'An amount rounded to the smallest unit of a currency, half to even.';

CREATE FUNCTION saleshub.report_rate(currency text, money text, day date) RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    first date;
    rate numeric := saleshub.currency_rate(org, currency, day);
    target numeric := saleshub.currency_rate(org, money, day);
BEGIN
    IF currency = money THEN
        RETURN 1;
    END IF;
    IF rate IS NULL THEN
        SELECT min(r.valid_from) INTO first
        FROM crm.currency_rate r WHERE r.org_id = org AND r.currency = report_rate.currency;
        rate := saleshub.currency_rate(org, currency, first);
    END IF;
    IF target IS NULL THEN
        SELECT min(r.valid_from) INTO first
        FROM crm.currency_rate r WHERE r.org_id = org AND r.currency = report_rate.money;
        target := saleshub.currency_rate(org, money, first);
    END IF;
    RETURN rate / target;
END;
$$;
COMMENT ON FUNCTION saleshub.report_rate(text, text, date) IS
    'What one unit of a currency was worth in another on a day, by the rates to the currency of the organisation; before the first rate of a currency that one counts. NULL when one has no rate at all.';

CREATE FUNCTION saleshub.rate_faults(org_id uuid, currency text, day date) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN currency !~ '^[A-Z]{3}$'
                  OR saleshub.report_rate(currency, saleshub.org_currency(org_id), day) IS NULL
                THEN saleshub.fault('/currency', 'no_exchange_rate', 'has no rate') ELSE '[]' END;
END;
$$;
COMMENT ON FUNCTION saleshub.rate_faults(uuid, text, date) IS
    'The error of a currency in which reports could not count an amount, or none.';

-- The words of group_by

CREATE FUNCTION saleshub.report_raw(
    group_by text, owner_id uuid, company_id uuid, stage_id uuid, pipeline_id uuid, product text,
    source text, currency text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN group_by IN ('owner', 'team', 'manager', 'region') THEN owner_id::text
                WHEN group_by IN ('company', 'parent_company', 'industry', 'country')
                THEN company_id::text
                WHEN group_by = 'stage' THEN stage_id::text
                WHEN group_by = 'pipeline' THEN pipeline_id::text
                WHEN group_by = 'product' THEN product
                WHEN group_by = 'source' THEN source
                WHEN group_by = 'currency' THEN currency END;
COMMENT ON FUNCTION saleshub.report_raw(text, uuid, uuid, uuid, uuid, text, text, text) IS
    'The value of a deal from which its group follows, by saleshub.report_map().';

CREATE FUNCTION saleshub.report_owners(group_by text, OUT raw text, OUT key text, OUT label text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT m.member_id::text,
           CASE group_by WHEN 'owner' THEN m.member_id WHEN 'team' THEN t.team_id
                         WHEN 'manager' THEN b.member_id ELSE r.team_id END::text,
           CASE group_by WHEN 'owner' THEN m.name WHEN 'team' THEN t.name
                         WHEN 'manager' THEN b.name ELSE r.name END
    FROM crm.member m
    LEFT JOIN LATERAL (
        SELECT t.team_id, t.name, t.manager_id
        FROM crm.team_member tm
        JOIN crm.team t ON t.org_id = tm.org_id AND t.team_id = tm.team_id AND t.deleted_at IS NULL
        WHERE tm.org_id = m.org_id AND tm.member_id = m.member_id
        ORDER BY tm.created_at, t.team_id
        LIMIT 1) t ON true
    LEFT JOIN crm.member b ON b.org_id = m.org_id AND b.member_id = t.manager_id
    LEFT JOIN LATERAL (
        SELECT r.team_id, r.name
        FROM crm.team_closure c
        JOIN crm.team r ON r.org_id = c.org_id AND r.team_id = c.ancestor_id
        WHERE c.org_id = m.org_id AND c.descendant_id = t.team_id
        ORDER BY c.depth DESC
        LIMIT 1) r ON true
    WHERE m.org_id = saleshub.org_id();
END;
$$;
COMMENT ON FUNCTION saleshub.report_owners(text) IS
    'The group of each owner: itself, the team it joined first, the manager of that team, or as region the team on top of it.';

CREATE FUNCTION saleshub.report_companies(group_by text, OUT raw text, OUT key text, OUT label text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE up (company_id, top_id, depth) AS (
        SELECT c.company_id, c.company_id, 0
        FROM crm.company c
        WHERE c.org_id = saleshub.org_id()
        UNION ALL
        SELECT u.company_id, c.parent_id, u.depth + 1
        FROM up u
        JOIN crm.company c ON c.org_id = saleshub.org_id() AND c.company_id = u.top_id
        WHERE c.parent_id IS NOT NULL AND u.depth < 100 AND group_by = 'parent_company'
    ), tops AS (
        SELECT DISTINCT ON (u.company_id) u.company_id, u.top_id
        FROM up u
        ORDER BY u.company_id, u.depth DESC
    )
    SELECT c.company_id::text,
           CASE group_by WHEN 'company' THEN c.company_id::text WHEN 'industry' THEN c.industry
                         WHEN 'country' THEN c.country ELSE t.top_id::text END,
           CASE group_by WHEN 'company' THEN c.name WHEN 'industry' THEN c.industry
                         WHEN 'country' THEN c.country ELSE p.name END
    FROM crm.company c
    JOIN tops t ON t.company_id = c.company_id
    LEFT JOIN crm.company p ON p.org_id = c.org_id AND p.company_id = t.top_id
    WHERE c.org_id = saleshub.org_id();
END;
$$;
COMMENT ON FUNCTION saleshub.report_companies(text) IS
    'The group of each company: itself, the company on top of it, its industry or country.';

CREATE FUNCTION saleshub.report_map(group_by text, OUT raw text, OUT key text, OUT label text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF group_by IN ('owner', 'team', 'manager', 'region') THEN
        RETURN QUERY SELECT o.raw, o.key, o.label FROM saleshub.report_owners(group_by) o;
    ELSIF group_by IN ('company', 'parent_company', 'industry', 'country') THEN
        RETURN QUERY SELECT c.raw, c.key, c.label FROM saleshub.report_companies(group_by) c;
    ELSIF group_by = 'stage' THEN
        RETURN QUERY
        SELECT s.stage_id::text, s.stage_id::text, s.name
        FROM crm.stage s WHERE s.org_id = saleshub.org_id();
    ELSIF group_by = 'pipeline' THEN
        RETURN QUERY
        SELECT p.pipeline_id::text, p.pipeline_id::text, p.name
        FROM crm.pipeline p WHERE p.org_id = saleshub.org_id();
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.report_map(text) IS
    'Key and label of the group of each raw value; of product, source and currency there are none, they are their own groups.';

CREATE FUNCTION saleshub.report_mapped(group_by text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN group_by NOT IN ('product', 'source', 'currency', 'type', 'status', 'reason', 'from_stage', 'deal');
COMMENT ON FUNCTION saleshub.report_mapped(text) IS
    'Whether groups come of saleshub.report_map(), or are the values themselves.';

-- The answer

CREATE FUNCTION saleshub.report_columns(bucket text, group_by text, measures jsonb, money text)
    RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN bucket IS NULL THEN '[]' ELSE
            '[{"name": "period", "type": "text"}, {"name": "starts", "type": "timestamp"},
              {"name": "ends", "type": "timestamp"}]'::jsonb END
        || CASE WHEN group_by IS NULL THEN '[]' ELSE jsonb_build_array(
            jsonb_build_object('name', 'key', 'type', 'text', 'of', group_by),
            jsonb_build_object('name', 'label', 'type', 'text', 'of', group_by)) END
        || (SELECT jsonb_agg(CASE m ->> 'type' WHEN 'money'
                                 THEN m || jsonb_build_object('currency', money) ELSE m END
                             ORDER BY n)
            FROM jsonb_array_elements(measures) WITH ORDINALITY AS x (m, n));
END;
$$;
COMMENT ON FUNCTION saleshub.report_columns(text, text, jsonb, text) IS
    'The columns of an answer: period and group, where there are any, before what is measured. Types are text, integer, number, money, date, timestamp and boolean.';

CREATE FUNCTION saleshub.report_cell("column" jsonb, value jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN value IS NULL OR value = 'null' THEN 'null'
        WHEN "column" ->> 'type' = 'money' AND pg_catalog.jsonb_typeof(value) <> 'object'
        THEN saleshub.money_json((value #>> '{}')::numeric, "column" ->> 'currency')
        WHEN "column" ->> 'type' = 'timestamp'
        THEN pg_catalog.to_jsonb(saleshub.utc((value #>> '{}')::timestamptz))
        ELSE value END;
COMMENT ON FUNCTION saleshub.report_cell(jsonb, jsonb) IS
    'A value as the API writes it, by the type of its column; money that has a currency of its own is written already.';

CREATE FUNCTION saleshub.report_answer(columns jsonb, rows jsonb, totals jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('columns', columns,
        'rows', (
            SELECT coalesce(jsonb_agg((
                       SELECT jsonb_agg(saleshub.report_cell(c, r -> (c ->> 'name')) ORDER BY i)
                       FROM jsonb_array_elements(columns) WITH ORDINALITY AS x (c, i)) ORDER BY n), '[]')
            FROM jsonb_array_elements(rows) WITH ORDINALITY AS y (r, n)),
        'totals', (
            SELECT jsonb_object_agg(c ->> 'name', saleshub.report_cell(c, totals -> (c ->> 'name')))
            FROM jsonb_array_elements(columns) c
            WHERE c ->> 'name' <> ALL ('{period,starts,ends,key,label}')));
END;
$$;
COMMENT ON FUNCTION saleshub.report_answer(jsonb, jsonb, jsonb) IS
    'A report as HTTP gives it: rows are lists in the order of the columns, totals an object; money and times are as everywhere in the API.';

CREATE FUNCTION saleshub.report_told(
    report text, given jsonb, groups text[], measures jsonb,
    takes text[] DEFAULT '{from_,to_,tz,bucket,group_by,fiscal,week_start,currency,as_of}',
    further jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    a constant record := saleshub.report_args(given, groups);
    bound constant jsonb := further || jsonb_build_object(
        'from_', saleshub.utc(a.from_at), 'to_', saleshub.utc(a.to_at), 'tz', a.zone,
        'bucket', a.bucket, 'group_by', a.group_by, 'fiscal', a.fiscal,
        'week_start', a.week_start, 'currency', a.money, 'as_of', saleshub.utc(a.as_of));
    whole constant jsonb := bound || '{"bucket": null, "group_by": null}';
    sql constant text := format(
        'SELECT coalesce(jsonb_agg(to_jsonb(r)), ''[]'') FROM crm.%I(%s) r', report, (
            SELECT string_agg(format('%1$I => ($1 ->> %1$L)::%2$s', t, CASE
                                  WHEN t IN ('from_', 'to_', 'as_of') THEN 'timestamptz'
                                  WHEN t = 'week_start' THEN 'int' WHEN t LIKE '%\_id' THEN 'uuid'
                                  ELSE 'text' END), ', ')
            FROM unnest(takes || ARRAY(SELECT jsonb_object_keys(further))) t));
    rows constant jsonb := saleshub.run(sql, bound);
BEGIN
    RETURN saleshub.report_answer(
        saleshub.report_columns(a.bucket, a.group_by, measures, a.money), rows,
        CASE WHEN a.bucket IS NULL AND a.group_by IS NULL THEN rows -> 0
        ELSE saleshub.run(sql, whole) -> 0 END);
END;
$$;
COMMENT ON FUNCTION saleshub.report_told(text, jsonb, text[], jsonb, text[], jsonb) IS
    'The answer of a report, a function of crm that takes these arguments by name: of those of all reports, checked, and further ones. Totals are its row without bucket and group.';

CREATE FUNCTION saleshub.report_route_args(groups text[], further jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN '{
        "from": {"type": "string", "maxLength": 40,
            "description": "Start of the period, a time with offset or a date in tz"},
        "to": {"type": "string", "maxLength": 40, "description": "End of the period, exclusive"},
        "tz": {"type": "string", "maxLength": 64,
            "description": "Time zone of dates and buckets, default: the organisation''s"},
        "bucket": {"type": "string", "enum": ["day", "week", "month", "quarter", "year"],
            "description": "A row for each of these; without, one for the whole period"},
        "fiscal": {"type": "string", "maxLength": 100,
            "description": "Calendar: name or id, gregorian, or the first month of the year, 1 to 12"},
        "week_start": {"type": "integer", "minimum": 1, "maximum": 7,
            "description": "First day of weeks, 1 is Monday"},
        "currency": {"type": "string", "maxLength": 3,
            "description": "Currency of sums, default: the organisation''s"},
        "as_of": {"type": "string", "maxLength": 40,
            "description": "As it was at this past instant"}}'::jsonb
        || jsonb_build_object('group_by', jsonb_build_object('type', 'string', 'enum', groups,
               'description', 'A row for each of these'))
        || further;
END;
$$;
COMMENT ON FUNCTION saleshub.report_route_args(text[], jsonb) IS
    'What the parameters of the route of a report may hold.';
