-- The buckets of reports whose answer has one row when no bucket is asked for.

CREATE FUNCTION saleshub.report_periods(
    from_ timestamptz, to_ timestamptz, tz text, bucket text, fiscal text, week_start int)
    RETURNS TABLE (period_no int, label text, starts timestamptz, ends timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    ROWS 40
AS $$
BEGIN
    IF bucket IS NULL THEN
        RETURN QUERY SELECT 1, NULL::text, from_, to_;
    ELSE
        RETURN QUERY
        SELECT p.* FROM crm.periods(from_, to_, tz, bucket, fiscal, week_start) p;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.report_periods(timestamptz, timestamptz, text, text, text, int) IS
    'The buckets of a period; without a bucket the period itself, which may be open then';

CREATE FUNCTION saleshub.report_bound(at timestamptz, name text, bucket text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF at IS NULL AND bucket IS NOT NULL THEN
        PERFORM saleshub.bad_parameter(name, 'required', 'is required with a bucket');
    END IF;
    RETURN coalesce(at, CASE name WHEN 'from' THEN timestamptz '-infinity' ELSE 'infinity' END);
END;
$$;
COMMENT ON FUNCTION saleshub.report_bound(timestamptz, text, text) IS
    'A bound of the period of a report (from or to), which may be open but where there are buckets';
