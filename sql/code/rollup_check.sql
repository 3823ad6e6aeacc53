-- The proof of the rollups: what the base rows say, and where the rollups say something else.

CREATE FUNCTION saleshub.quarter_hour(at timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN isfinite(at) THEN date_bin('15 minutes', at, '2000-01-01 00:00:00+00')
            WHEN at IS NOT NULL THEN '-infinity' END;
COMMENT ON FUNCTION saleshub.quarter_hour(timestamptz) IS
    'The quarter hour, by UTC, in which figures of this time are kept';

CREATE FUNCTION saleshub.rollup_truth(
    org uuid DEFAULT NULL,
    OUT org_id uuid, OUT fact text, OUT bucket timestamptz, OUT owner_id uuid, OUT dim uuid,
    OUT label text, OUT detail text, OUT n bigint, OUT amount numeric, OUT weighted numeric,
    OUT seconds numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    none constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    -- A label has at most 63 bytes, as a name.
    RETURN QUERY
    SELECT f.org_id, f.fact, f.bucket, f.owner_id, f.dim, f.label, f.detail, count(*),
           sum(f.amount), sum(f.weighted), sum(f.seconds)
    FROM (
        SELECT l.org_id, 'lead_created', saleshub.quarter_hour(l.created_at),
               coalesce(l.owner_id, none), none, coalesce(l.source::name::text, ''), '',
               0::numeric, 0::numeric, 0::numeric
        FROM crm.lead l
        WHERE l.deleted_at IS NULL
        UNION ALL
        SELECT l.org_id, 'lead_converted', saleshub.quarter_hour(l.converted_at),
               coalesce(l.owner_id, none), none, coalesce(l.source::name::text, ''), '', 0, 0, 0
        FROM crm.lead l
        WHERE l.deleted_at IS NULL AND l.converted_at IS NOT NULL
        UNION ALL
        SELECT d.org_id, 'deal_' || d.status,
               CASE d.status WHEN 'open' THEN '-infinity'
                             ELSE saleshub.quarter_hour(d.closed_at) END,
               coalesce(d.owner_id, none), d.stage_id, coalesce(d.source::name::text, ''),
               coalesce(d.product::name::text, ''),
               coalesce(d.amount_base, 0),
               CASE d.status WHEN 'open' THEN coalesce(d.amount_base * d.probability / 100, 0)
                             ELSE 0 END,
               CASE d.status WHEN 'open' THEN 0
                             ELSE extract(epoch FROM d.closed_at - d.opened_at) END
        FROM crm.deal d
        WHERE d.deleted_at IS NULL
        UNION ALL
        SELECT a.org_id, 'activity_created', saleshub.quarter_hour(a.created_at),
               coalesce(a.owner_id, none), none, a.type::name::text, '', 0, 0, 0
        FROM crm.activity a
        WHERE a.deleted_at IS NULL
        UNION ALL
        SELECT a.org_id, 'activity_done', saleshub.quarter_hour(a.done_at),
               coalesce(a.owner_id, none), none, a.type::name::text,
               coalesce(a.outcome::name::text, ''), 0, 0, 0
        FROM crm.activity a
        WHERE a.deleted_at IS NULL AND a.done_at IS NOT NULL
    ) AS f (org_id, fact, bucket, owner_id, dim, label, detail, amount, weighted, seconds)
    WHERE f.org_id = rollup_truth.org OR rollup_truth.org IS NULL
    GROUP BY f.org_id, f.fact, f.bucket, f.owner_id, f.dim, f.label, f.detail;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_truth(uuid) IS
    'The rollups of one or all organisations as they must be, computed from leads, deals and activities themselves';

CREATE FUNCTION saleshub.rollup_faults(
    org uuid DEFAULT NULL,
    OUT org_id uuid, OUT fact text, OUT bucket timestamptz, OUT owner_id uuid, OUT dim uuid,
    OUT label text, OUT detail text, OUT n bigint, OUT amount numeric, OUT weighted numeric,
    OUT seconds numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.org_id, r.fact, r.bucket, r.owner_id, r.dim, r.label, r.detail,
           sum(r.n)::bigint, sum(r.amount), sum(r.weighted), sum(r.seconds)
    FROM (SELECT t.org_id, t.fact, t.bucket, t.owner_id, t.dim, t.label, t.detail,
                 t.n, t.amount, t.weighted, t.seconds
          FROM saleshub.rollup_truth(rollup_faults.org) t
          UNION ALL
          SELECT b.org_id, b.fact, b.bucket, b.owner_id, b.dim, b.label, b.detail,
                 -b.n, -b.amount, -b.weighted, -b.seconds
          FROM saleshub.rollup b
          UNION ALL
          SELECT d.org_id, d.fact, d.bucket, d.owner_id, d.dim, d.label, d.detail,
                 -d.n, -d.amount, -d.weighted, -d.seconds
          FROM saleshub.rollup_delta d) r
    WHERE r.org_id = rollup_faults.org OR rollup_faults.org IS NULL
    GROUP BY r.org_id, r.fact, r.bucket, r.owner_id, r.dim, r.label, r.detail
    HAVING (sum(r.n), sum(r.amount), sum(r.weighted), sum(r.seconds)) <> (0, 0, 0, 0);
END
$$;
COMMENT ON FUNCTION saleshub.rollup_faults(uuid) IS
    'What must be added to the sums by quarter hour to make them what the records say; no row means exact';

CREATE FUNCTION saleshub.rollup_level_truth(
    org uuid DEFAULT NULL, zone text DEFAULT NULL,
    OUT org_id uuid, OUT level smallint, OUT fact text, OUT owner_id uuid, OUT bucket timestamptz,
    OUT dim uuid, OUT label text, OUT detail text, OUT n bigint, OUT amount numeric,
    OUT weighted numeric, OUT seconds numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    everybody constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    none constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    -- Each level is made of the coarsest that has all it needs: months of days, not of quarter hours.
    RETURN QUERY
    WITH base AS (
        SELECT b.*, coalesce(rollup_level_truth.zone, z.timezone, 'UTC') AS zone
        FROM saleshub.rollup b
        LEFT JOIN saleshub.rollup_zone z ON z.org_id = b.org_id
        WHERE b.org_id = rollup_level_truth.org OR rollup_level_truth.org IS NULL
    ), day AS MATERIALIZED (
        SELECT b.org_id, b.zone, b.fact, b.owner_id,
               saleshub.rollup_floor('day', b.bucket, b.zone) AS bucket,
               b.dim, b.label, b.detail, sum(b.n)::bigint AS n, sum(b.amount) AS amount,
               sum(b.weighted) AS weighted, sum(b.seconds) AS seconds
        FROM base b
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ), month AS (
        SELECT d.org_id, d.fact, d.owner_id,
               saleshub.rollup_floor('month', d.bucket, d.zone) AS bucket,
               d.dim, d.label, d.detail, sum(d.n)::bigint AS n, sum(d.amount) AS amount,
               sum(d.weighted) AS weighted, sum(d.seconds) AS seconds
        FROM day d
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    ), quarter AS (
        SELECT b.org_id, b.fact, b.bucket, k.kind, sum(b.n)::bigint AS n,
               sum(b.amount) AS amount, sum(b.weighted) AS weighted, sum(b.seconds) AS seconds
        FROM base b
        CROSS JOIN LATERAL (SELECT CASE WHEN b.fact LIKE 'activity\_%' THEN b.label ELSE '' END) k (kind)
        WHERE isfinite(b.bucket)
        GROUP BY 1, 2, 3, 4
    ), days AS MATERIALIZED (
        SELECT d.org_id, d.zone, d.fact, o.owner_id, d.bucket, k.kind, sum(d.n)::bigint AS n,
               sum(d.amount) AS amount, sum(d.weighted) AS weighted, sum(d.seconds) AS seconds
        FROM day d
        CROSS JOIN LATERAL (SELECT CASE WHEN d.fact LIKE 'activity\_%' THEN d.label ELSE '' END) k (kind)
        CROSS JOIN LATERAL (VALUES (d.owner_id), (everybody)) AS o (owner_id)
        GROUP BY 1, 2, 3, 4, 5, 6
    ), months AS (
        SELECT d.org_id, d.fact, d.owner_id,
               saleshub.rollup_floor('month', d.bucket, d.zone) AS bucket,
               d.kind, sum(d.n)::bigint AS n, sum(d.amount) AS amount,
               sum(d.weighted) AS weighted, sum(d.seconds) AS seconds
        FROM days d
        GROUP BY 1, 2, 3, 4, 5
    )
    SELECT d.org_id, 1::smallint, d.fact, d.owner_id, d.bucket, d.dim, d.label, d.detail,
           d.n, d.amount, d.weighted, d.seconds
    FROM day d
    WHERE isfinite(d.bucket)
    UNION ALL
    SELECT m.org_id, 2::smallint, m.fact, m.owner_id, m.bucket, m.dim, m.label, m.detail,
           m.n, m.amount, m.weighted, m.seconds
    FROM month m
    UNION ALL
    SELECT q.org_id, 3::smallint, q.fact, everybody, q.bucket, none, q.kind, '',
           q.n, q.amount, q.weighted, q.seconds
    FROM quarter q
    UNION ALL
    SELECT d.org_id, CASE WHEN d.owner_id = everybody THEN 4 ELSE 6 END::smallint, d.fact,
           d.owner_id, d.bucket, none, d.kind, '', d.n, d.amount, d.weighted, d.seconds
    FROM days d
    WHERE isfinite(d.bucket)
    UNION ALL
    SELECT m.org_id, CASE WHEN m.owner_id = everybody THEN 5 ELSE 7 END::smallint, m.fact,
           m.owner_id, m.bucket, none, m.kind, '', m.n, m.amount, m.weighted, m.seconds
    FROM months m;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_level_truth(uuid, text) IS
    'The levels of one or all organisations as they must be, by this time zone or that of the levels, made of the sums by quarter hour';

CREATE FUNCTION saleshub.rollup_level_faults(
    org uuid DEFAULT NULL,
    OUT org_id uuid, OUT level smallint, OUT fact text, OUT owner_id uuid, OUT bucket timestamptz,
    OUT dim uuid, OUT label text, OUT detail text, OUT n bigint, OUT amount numeric,
    OUT weighted numeric, OUT seconds numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.org_id, r.level, r.fact, r.owner_id, r.bucket, r.dim, r.label, r.detail,
           sum(r.n)::bigint, sum(r.amount), sum(r.weighted), sum(r.seconds)
    FROM (SELECT t.org_id, t.level, t.fact, t.owner_id, t.bucket, t.dim, t.label, t.detail,
                 t.n, t.amount, t.weighted, t.seconds
          FROM saleshub.rollup_level_truth(rollup_level_faults.org) t
          UNION ALL
          SELECT v.org_id, v.level, v.fact, v.owner_id, v.bucket, v.dim, v.label, v.detail,
                 -v.n, -v.amount, -v.weighted, -v.seconds
          FROM saleshub.rollup_level v) r
    WHERE r.org_id = rollup_level_faults.org OR rollup_level_faults.org IS NULL
    GROUP BY r.org_id, r.level, r.fact, r.owner_id, r.bucket, r.dim, r.label, r.detail
    HAVING (sum(r.n), sum(r.amount), sum(r.weighted), sum(r.seconds)) <> (0, 0, 0, 0);
END
$$;
COMMENT ON FUNCTION saleshub.rollup_level_faults(uuid) IS
    'What must be added to the sums by day, month and of all owners to make them those by quarter hour; no row means exact';

CREATE FUNCTION saleshub.rollup_check(
    OUT org_id uuid, OUT level int, OUT fact text, OUT bucket timestamptz, OUT owner_id uuid,
    OUT dim uuid, OUT label text, OUT detail text, OUT missing jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT f.org_id, f.level, f.fact, f.bucket, f.owner_id, f.dim, f.label, f.detail,
           jsonb_build_object('n', f.n, 'amount', f.amount, 'weighted', f.weighted,
                              'seconds', f.seconds)
    FROM (SELECT b.org_id, 0 AS level, b.fact, b.bucket, b.owner_id, b.dim, b.label, b.detail,
                 b.n, b.amount, b.weighted, b.seconds
          FROM saleshub.rollup_faults() b
          UNION ALL
          SELECT v.org_id, v.level, v.fact, v.bucket, v.owner_id, v.dim, v.label, v.detail,
                 v.n, v.amount, v.weighted, v.seconds
          FROM saleshub.rollup_level_faults() v) f;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_check() IS
    'Where the rollups differ from a recomputation from the base rows, on every level: no row means exact. '
    'Row security applies, so a superuser checks every organisation';

CREATE FUNCTION crm.check_rollups(
    OUT level int, OUT fact text, OUT bucket timestamptz, OUT owner_id uuid, OUT dim uuid,
    OUT label text, OUT detail text, OUT missing jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Of who sees a part only, activities are seen by their links and counted by their owners.
    IF NOT saleshub.sees_everything() THEN
        PERFORM saleshub.raise('42501', 'only who sees all records can check figures against them');
    END IF;
    RETURN QUERY
    SELECT c.level, c.fact, c.bucket, c.owner_id, c.dim, c.label, c.detail, c.missing
    FROM saleshub.rollup_check() c
    WHERE c.org_id = saleshub.org_id() OR saleshub.org_id() IS NULL;
END
$$;
COMMENT ON FUNCTION crm.check_rollups() IS
    'Figures of the organisation of the context (without one, of all) that are not those of its records, on every level, with what is missing; no row means all are exact. Reads everything';
