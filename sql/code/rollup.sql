-- Folding. A change appends signed deltas; the worker adds them to the sums by quarter hour and, in
-- the same transaction, to the coarser ones made of these. Nobody else writes sums, and whoever
-- writes deltas waits for nobody.

CREATE FUNCTION saleshub.rollup_floor(unit text, at timestamptz, zone text)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
-- Of a midnight that comes twice PostgreSQL takes the second: what lies between belongs to the day
-- before, so that days are intervals.
RETURN CASE WHEN date_trunc(unit, at, zone) <= at THEN date_trunc(unit, at, zone)
            ELSE (date_trunc(unit, at AT TIME ZONE zone) - ('1 ' || unit)::interval)
                 AT TIME ZONE zone END;
COMMENT ON FUNCTION saleshub.rollup_floor(text, timestamptz, text) IS
    'Start of the day or month by a zone''s clocks in which an instant lies; never after it';

CREATE FUNCTION saleshub.rollup_ceiling(unit text, at timestamptz, zone text)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN NOT isfinite(at) OR saleshub.rollup_floor(unit, at, zone) = at THEN at
            ELSE (date_trunc(unit, saleshub.rollup_floor(unit, at, zone) AT TIME ZONE zone)
                  + ('1 ' || unit)::interval) AT TIME ZONE zone END;
COMMENT ON FUNCTION saleshub.rollup_ceiling(text, timestamptz, text) IS
    'The first start of a day or month by a zone''s clocks that is not before an instant';

CREATE FUNCTION saleshub.rollup_levels(
    fact text, at timestamptz, owner uuid, stage uuid, label_ text, detail_ text, zone text)
RETURNS TABLE (level smallint, owner_id uuid, bucket timestamptz, dim uuid, label text, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH start AS (
        SELECT saleshub.rollup_floor('day', at, zone) AS day,
               saleshub.rollup_floor('month', at, zone) AS month,
               'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid AS everybody,
               '00000000-0000-0000-0000-000000000000'::uuid AS none,
               CASE WHEN fact LIKE 'activity\_%' THEN label_ ELSE '' END AS kind
    )
    SELECT v.level::smallint, v.owner_id, v.bucket, v.dim, v.label, v.detail
      FROM start s
     CROSS JOIN LATERAL (VALUES (1, owner, s.day, stage, label_, detail_),
                                (2, owner, s.month, stage, label_, detail_),
                                (3, s.everybody, at, s.none, s.kind, ''),
                                (4, s.everybody, s.day, s.none, s.kind, ''),
                                (5, s.everybody, s.month, s.none, s.kind, ''),
                                (6, owner, s.day, s.none, s.kind, ''),
                                (7, owner, s.month, s.none, s.kind, ''))
           AS v (level, owner_id, bucket, dim, label, detail)
     WHERE isfinite(at) OR v.level IN (2, 5, 7);
END;
COMMENT ON FUNCTION saleshub.rollup_levels(text, timestamptz, uuid, uuid, text, text, text) IS
    'The rows of rollup_level that a row of rollup adds to, with the time zone of the levels';

CREATE FUNCTION saleshub.fold(batch integer DEFAULT 20000) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    folded bigint;
    empty tid[];
    empty_level tid[];
BEGIN
    IF batch IS NULL OR batch < 1 THEN
        PERFORM saleshub.raise('22023', 'the batch must be at least 1');
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('saleshub.fold', 0)) THEN
        RETURN 0;
    END IF;
    WITH taken AS MATERIALIZED (
        DELETE FROM saleshub.rollup_delta d
         WHERE d.ctid = ANY (ARRAY(SELECT i.ctid FROM saleshub.rollup_delta i LIMIT fold.batch))
        RETURNING d.*
    ), summed AS MATERIALIZED (
        SELECT t.org_id, t.fact, t.bucket, t.owner_id, t.dim, t.label, t.detail, sum(t.n)::bigint AS n,
               sum(t.amount) AS amount, sum(t.weighted) AS weighted, sum(t.seconds) AS seconds
          FROM taken t
         GROUP BY t.org_id, t.fact, t.bucket, t.owner_id, t.dim, t.label, t.detail
    ), merged AS (
        INSERT INTO saleshub.rollup AS r
               (org_id, fact, bucket, owner_id, dim, label, detail, n, amount, weighted, seconds)
        SELECT s.* FROM summed s
        ON CONFLICT (org_id, fact, bucket, owner_id, dim, label, detail) DO UPDATE
           SET n = r.n + excluded.n, amount = r.amount + excluded.amount,
               weighted = r.weighted + excluded.weighted, seconds = r.seconds + excluded.seconds
        RETURNING r.ctid AS at, (r.n, r.amount, r.weighted, r.seconds) = (0, 0, 0, 0) AS gone
    ), spread AS (
        SELECT s.org_id, l.level, s.fact, l.owner_id, l.bucket, l.dim, l.label, l.detail,
               s.n, s.amount, s.weighted, s.seconds
          FROM summed s
          LEFT JOIN saleshub.rollup_zone z ON z.org_id = s.org_id
         CROSS JOIN LATERAL saleshub.rollup_levels(s.fact, s.bucket, s.owner_id, s.dim, s.label,
                                                   s.detail, coalesce(z.timezone, 'UTC')) l
    ), raised AS (
        INSERT INTO saleshub.rollup_level AS r
               (org_id, level, fact, owner_id, bucket, dim, label, detail, n, amount, weighted, seconds)
        SELECT s.org_id, s.level, s.fact, s.owner_id, s.bucket, s.dim, s.label, s.detail,
               sum(s.n), sum(s.amount), sum(s.weighted), sum(s.seconds)
          FROM spread s
         GROUP BY s.org_id, s.level, s.fact, s.owner_id, s.bucket, s.dim, s.label, s.detail
        ON CONFLICT (org_id, level, fact, owner_id, bucket, dim, label, detail) DO UPDATE
           SET n = r.n + excluded.n, amount = r.amount + excluded.amount,
               weighted = r.weighted + excluded.weighted, seconds = r.seconds + excluded.seconds
        RETURNING r.ctid AS at, (r.n, r.amount, r.weighted, r.seconds) = (0, 0, 0, 0) AS gone
    )
    SELECT (SELECT count(*) FROM taken), ARRAY(SELECT m.at FROM merged m WHERE m.gone),
           ARRAY(SELECT r.at FROM raised r WHERE r.gone)
      INTO folded, empty, empty_level;
    DELETE FROM saleshub.rollup r WHERE r.ctid = ANY (empty);
    DELETE FROM saleshub.rollup_level r WHERE r.ctid = ANY (empty_level);
    RETURN folded;
END
$$;
COMMENT ON FUNCTION saleshub.fold(integer) IS
    'Adds up to so many rollup deltas to the sums, in one transaction; returns how many. Done by the worker';

CREATE FUNCTION saleshub.rollup_alone(what text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- What another fold commits while we wait must be in the next statement's snapshot.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM saleshub.raise('25001', what || ' needs a transaction of isolation READ COMMITTED');
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.fold', 0));
END
$$;
COMMENT ON FUNCTION saleshub.rollup_alone(text) IS
    'Waits until nobody else folds, and keeps it so until the transaction ends. Writers are not held up';

CREATE FUNCTION saleshub.rollup_relevel(org uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    zone text;
    made bigint;
BEGIN
    PERFORM saleshub.rollup_alone('making the levels of rollups anew');
    SELECT o.timezone INTO zone FROM crm.org o WHERE o.org_id = rollup_relevel.org;
    DELETE FROM saleshub.rollup_level r WHERE r.org_id = rollup_relevel.org;
    INSERT INTO saleshub.rollup_level
           (org_id, level, fact, owner_id, bucket, dim, label, detail, n, amount, weighted, seconds)
    SELECT t.org_id, t.level, t.fact, t.owner_id, t.bucket, t.dim, t.label, t.detail,
           t.n, t.amount, t.weighted, t.seconds
      FROM saleshub.rollup_level_truth(rollup_relevel.org, coalesce(zone, 'UTC')) t
     WHERE (t.n, t.amount, t.weighted, t.seconds) <> (0, 0, 0, 0);
    GET DIAGNOSTICS made = ROW_COUNT;
    INSERT INTO saleshub.rollup_zone (org_id, timezone)
    VALUES (rollup_relevel.org, coalesce(zone, 'UTC'))
    ON CONFLICT (org_id) DO UPDATE SET timezone = excluded.timezone;
    RETURN made;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_relevel(uuid) IS
    'Makes the days and months of an organisation''s rollups anew, by its present time zone; returns how many rows. Readers see the old or the new ones, with the zone they are of';

CREATE FUNCTION saleshub.rollup_follow() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid;
    followed bigint := 0;
BEGIN
    FOR org IN
        SELECT o.org_id FROM crm.org o
          LEFT JOIN saleshub.rollup_zone z ON z.org_id = o.org_id
         WHERE o.timezone <> coalesce(z.timezone, 'UTC')
    LOOP
        PERFORM saleshub.rollup_relevel(org);
        followed := followed + 1;
    END LOOP;
    RETURN followed;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_follow() IS
    'Lets the levels of rollups follow organisations that changed their time zone; returns how many. Until then such an organisation''s figures are as exact, and slower to read';

CREATE FUNCTION saleshub.defaults_rollup(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO saleshub.rollup_zone (org_id, timezone)
    SELECT o.org_id, o.timezone FROM crm.org o WHERE o.org_id = defaults_rollup.org
    ON CONFLICT (org_id) DO NOTHING;
END
$$;
COMMENT ON FUNCTION saleshub.defaults_rollup(uuid) IS
    'A new organisation''s figures are kept by its own days from the start';

CREATE FUNCTION saleshub.rollup_rebuild(org uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    repaired bigint;
    an_org uuid;
BEGIN
    PERFORM saleshub.rollup_alone('repairing rollups');
    -- Rows and sums of one snapshot: what is written meanwhile adds the same to both.
    INSERT INTO saleshub.rollup AS r
           (org_id, fact, bucket, owner_id, dim, label, detail, n, amount, weighted, seconds)
    SELECT f.org_id, f.fact, f.bucket, f.owner_id, f.dim, f.label, f.detail,
           f.n, f.amount, f.weighted, f.seconds
      FROM saleshub.rollup_faults(rollup_rebuild.org) f
    ON CONFLICT (org_id, fact, bucket, owner_id, dim, label, detail) DO UPDATE
       SET n = r.n + excluded.n, amount = r.amount + excluded.amount,
           weighted = r.weighted + excluded.weighted, seconds = r.seconds + excluded.seconds;
    GET DIAGNOSTICS repaired = ROW_COUNT;
    DELETE FROM saleshub.rollup r
     WHERE r.n = 0 AND r.amount = 0 AND r.weighted = 0 AND r.seconds = 0;
    FOR an_org IN SELECT o.org_id FROM crm.org o
                   WHERE rollup_rebuild.org IS NULL OR o.org_id = rollup_rebuild.org LOOP
        PERFORM saleshub.rollup_relevel(an_org);
    END LOOP;
    RETURN repaired;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_rebuild(uuid) IS
    'Makes the rollups of one or all organisations what the records say, while others write; returns how many sums were wrong. For whoever wrote records with triggers off. Superuser only';

CREATE FUNCTION saleshub.rollup_renew() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF to_regclass('saleshub.rollup') IS NOT NULL
       AND (to_regclass('saleshub.rollup_level') IS NULL
            OR EXISTS (SELECT FROM pg_attribute a
                        WHERE a.attrelid = to_regclass('saleshub.rollup_delta')
                          AND a.attname = 'delta_id' AND a.atttypid <> 'uuid'::regtype)) THEN
        DROP TABLE IF EXISTS saleshub.rollup, saleshub.rollup_level, saleshub.rollup_delta;
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_renew() IS
    'Removes rollups of a shape before this one; install makes new ones';

CREATE FUNCTION saleshub.rollup_begin() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM saleshub.rollup) AND NOT EXISTS (SELECT FROM saleshub.rollup_delta)
       AND (EXISTS (SELECT FROM crm.lead) OR EXISTS (SELECT FROM crm.deal)
            OR EXISTS (SELECT FROM crm.activity)) THEN
        PERFORM saleshub.rollup_rebuild();
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_begin() IS
    'Counts the records there are when there are no rollups yet';
