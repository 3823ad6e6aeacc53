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

CREATE FUNCTION saleshub.rollup_level_faults(
    org uuid DEFAULT NULL,
    OUT org_id uuid, OUT level smallint, OUT fact text, OUT owner_id uuid, OUT bucket timestamptz,
    OUT dim uuid, OUT label text, OUT detail text, OUT n bigint, OUT amount numeric,
    OUT weighted numeric, OUT seconds numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.org_id, r.level, r.fact, r.owner_id, r.bucket, r.dim, r.label, r.detail,
           sum(r.n)::bigint, sum(r.amount), sum(r.weighted), sum(r.seconds)
    FROM (SELECT b.org_id, l.level, b.fact, l.owner_id, l.bucket, l.dim, l.label, l.detail,
                 b.n, b.amount, b.weighted, b.seconds
          FROM saleshub.rollup b
          LEFT JOIN saleshub.rollup_zone z ON z.org_id = b.org_id
          CROSS JOIN LATERAL saleshub.rollup_levels(b.fact, b.bucket, b.owner_id, b.dim, b.label,
                                                    b.detail, coalesce(z.timezone, 'UTC')) l
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
