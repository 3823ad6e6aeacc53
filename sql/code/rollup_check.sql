-- The proof of the rollups: what the base rows say, and where the rollups say something else.

CREATE FUNCTION saleshub.quarter_hour(at timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN isfinite(at) THEN date_bin('15 minutes', at, '2000-01-01 00:00:00+00')
            WHEN at IS NOT NULL THEN '-infinity' END;
COMMENT ON FUNCTION saleshub.quarter_hour(timestamptz) IS
    'The quarter hour, by UTC, in which figures of this time are kept';

CREATE FUNCTION saleshub.rollup_truth(
    OUT org_id uuid, OUT fact text, OUT bucket timestamptz, OUT dim uuid, OUT owner_id uuid,
    OUT label text, OUT n bigint, OUT amount numeric, OUT weighted numeric, OUT seconds numeric)
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
    SELECT f.org_id, f.fact, f.bucket, f.dim, f.owner_id, f.label, count(*),
           sum(f.amount), sum(f.weighted), sum(f.seconds)
    FROM (
        SELECT l.org_id, 'lead_created', saleshub.quarter_hour(l.created_at), none,
               coalesce(l.owner_id, none), coalesce(l.source::name::text, ''), 0::numeric, 0::numeric,
               0::numeric
        FROM crm.lead l
        WHERE l.deleted_at IS NULL
        UNION ALL
        SELECT l.org_id, 'lead_converted', saleshub.quarter_hour(l.converted_at), none,
               coalesce(l.owner_id, none), coalesce(l.source::name::text, ''), 0, 0, 0
        FROM crm.lead l
        WHERE l.deleted_at IS NULL AND l.converted_at IS NOT NULL
        UNION ALL
        SELECT d.org_id, 'deal_' || d.status,
               CASE d.status WHEN 'open' THEN '-infinity'
                             ELSE saleshub.quarter_hour(d.closed_at) END,
               d.stage_id, coalesce(d.owner_id, none), '',
               coalesce(d.amount_base, 0),
               CASE d.status WHEN 'open' THEN coalesce(d.amount_base * d.probability / 100, 0)
                             ELSE 0 END,
               CASE d.status WHEN 'open' THEN 0
                             ELSE extract(epoch FROM d.closed_at - d.opened_at) END
        FROM crm.deal d
        WHERE d.deleted_at IS NULL
        UNION ALL
        SELECT a.org_id, 'activity_created', saleshub.quarter_hour(a.created_at), none,
               coalesce(a.owner_id, none), a.type::name::text, 0, 0, 0
        FROM crm.activity a
        WHERE a.deleted_at IS NULL
        UNION ALL
        SELECT a.org_id, 'activity_done', saleshub.quarter_hour(a.done_at), none,
               coalesce(a.owner_id, none), a.type::name::text, 0, 0, 0
        FROM crm.activity a
        WHERE a.deleted_at IS NULL AND a.done_at IS NOT NULL
    ) AS f (org_id, fact, bucket, dim, owner_id, label, amount, weighted, seconds)
    GROUP BY f.org_id, f.fact, f.bucket, f.dim, f.owner_id, f.label;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_truth() IS
    'The rollups as they must be, computed from leads, deals and activities themselves';

CREATE FUNCTION saleshub.rollup_check(
    OUT org_id uuid, OUT fact text, OUT bucket timestamptz, OUT dim uuid, OUT owner_id uuid,
    OUT label text, OUT kept jsonb, OUT truth jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH kept AS (
        SELECT r.org_id, r.fact, r.bucket, r.dim, r.owner_id, r.label,
               sum(r.n)::bigint AS n, sum(r.amount) AS amount,
               sum(r.weighted) AS weighted, sum(r.seconds) AS seconds
        FROM (SELECT b.org_id, b.fact, b.bucket, b.dim, b.owner_id, b.label,
                     b.n, b.amount, b.weighted, b.seconds
              FROM saleshub.rollup b
              UNION ALL
              SELECT d.org_id, d.fact, d.bucket, d.dim, d.owner_id, d.label,
                     d.n, d.amount, d.weighted, d.seconds
              FROM saleshub.rollup_delta d) r
        GROUP BY r.org_id, r.fact, r.bucket, r.dim, r.owner_id, r.label
        HAVING (sum(r.n), sum(r.amount), sum(r.weighted), sum(r.seconds)) <> (0, 0, 0, 0)
    ), truth AS (
        SELECT * FROM saleshub.rollup_truth()
    )
    SELECT org_id, fact, bucket, dim, owner_id, label,
           CASE WHEN k.n IS NOT NULL THEN jsonb_build_object(
               'n', k.n, 'amount', k.amount, 'weighted', k.weighted, 'seconds', k.seconds) END,
           CASE WHEN t.n IS NOT NULL THEN jsonb_build_object(
               'n', t.n, 'amount', t.amount, 'weighted', t.weighted, 'seconds', t.seconds) END
    FROM kept k
    FULL JOIN truth t USING (org_id, fact, bucket, dim, owner_id, label)
    WHERE (k.n, k.amount, k.weighted, k.seconds)
          IS DISTINCT FROM (t.n, t.amount, t.weighted, t.seconds);
END
$$;
COMMENT ON FUNCTION saleshub.rollup_check() IS
    'Where the rollups differ from a recomputation from the base rows: no row means exact. '
    'Row security applies, so a superuser checks every organisation';
