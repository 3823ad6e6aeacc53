-- Reading sums. A period is cut into whole months and days by the clocks of the levels, and quarter
-- hours at its ends; each piece is read where it is shortest, and what is not folded yet is added
-- in the same statement, hence in one snapshot.

CREATE FUNCTION saleshub.rollup_pieces(
    from_ timestamptz, to_ timestamptz, bounds timestamptz[], zone text)
RETURNS TABLE (grain int, starts timestamptz, ends timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- 2: all bounds within are starts of months, 1: of days, 0: of neither
    common constant int := (
        SELECT coalesce(min(CASE WHEN saleshub.rollup_floor('day', b.at, zone) <> b.at THEN 0
                                 WHEN saleshub.rollup_floor('month', b.at, zone) <> b.at THEN 1
                                 ELSE 2 END), 2)
        FROM unnest(bounds) AS b (at)
        WHERE b.at > from_ AND b.at < to_);
BEGIN
    RETURN QUERY
    WITH span AS (
        SELECT c.at AS starts, lead(c.at, 1, to_) OVER (ORDER BY c.at) AS ends
        FROM (SELECT from_
              UNION
              SELECT b.at FROM unnest(bounds) AS b (at)
              WHERE common = 0 AND b.at > from_ AND b.at < to_) AS c (at)
    ), inner_ AS (
        SELECT s.starts, s.ends,
               saleshub.rollup_ceiling('day', s.starts, zone) AS day,
               saleshub.rollup_floor('day', s.ends, zone) AS last_day,
               saleshub.rollup_ceiling('month', s.starts, zone) AS month,
               saleshub.rollup_floor('month', s.ends, zone) AS last_month
        FROM span s
    ), piece AS (
        SELECT p.*
        FROM inner_ i
        CROSS JOIN LATERAL (
            SELECT 0, i.starts, i.ends WHERE i.day >= i.last_day
            UNION ALL
            SELECT v.* FROM (VALUES (0, i.starts, i.day), (0, i.last_day, i.ends)) AS v
            WHERE i.day < i.last_day
            UNION ALL
            SELECT 1, i.day, i.last_day
            WHERE i.day < i.last_day AND (common = 1 OR i.month >= i.last_month)
            UNION ALL
            SELECT v.* FROM (VALUES (1, i.day, i.month), (2, i.month, i.last_month),
                                    (1, i.last_month, i.last_day)) AS v
            WHERE i.day < i.last_day AND common <> 1 AND i.month < i.last_month
        ) AS p (grain, starts, ends)
        WHERE p.starts < p.ends
    ), island AS (
        SELECT p.*, count(*) FILTER (WHERE p.fresh) OVER (PARTITION BY p.grain ORDER BY p.starts) AS i
        FROM (SELECT p.*, p.starts IS DISTINCT FROM
                          lag(p.ends) OVER (PARTITION BY p.grain ORDER BY p.starts) AS fresh
              FROM piece p) p
    )
    SELECT d.grain, min(d.starts), max(d.ends)
    FROM island d
    GROUP BY d.grain, d.i;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_pieces(timestamptz, timestamptz, timestamptz[], text) IS
    'A period as intervals of quarter hours (grain 0), whole days (1) and whole months (2) of a zone, none of them across one of the bounds where figures are told apart';

CREATE FUNCTION saleshub.rollup_scope(facts text[], by_ text[])
RETURNS TABLE (fact text, shift int, owners uuid[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    everybody constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    none constant uuid := '00000000-0000-0000-0000-000000000000';
    all_ constant boolean := saleshub.sees_everything();
    noun text;
    mine boolean;
    plain boolean;
    owners uuid[];
    shift int;
BEGIN
    FOREACH noun IN ARRAY ARRAY['lead', 'deal', 'activity'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM unnest(facts) f WHERE f LIKE noun || '\_%');
        mine := NOT all_ AND (noun = 'activity' OR NOT saleshub.sees_all(noun));
        plain := by_ <@ CASE noun WHEN 'activity' THEN '{owner,label}' ELSE '{owner}' END::text[];
        shift := CASE WHEN NOT plain THEN 0 WHEN mine OR 'owner' = ANY (by_) THEN 5 ELSE 3 END;
        owners := CASE WHEN shift = 3 THEN ARRAY[everybody]
                       WHEN mine THEN saleshub.visible_owners(noun)
                       ELSE ARRAY(SELECT m.member_id FROM crm.member m
                                  WHERE m.org_id = saleshub.org_id()) || none END;
        RETURN QUERY SELECT f, shift, owners FROM unnest(facts) f WHERE f LIKE noun || '\_%';
    END LOOP;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_scope(text[], text[]) IS
    'Of which owners a fact is read: all together, or those whose records whoever asks sees; and by how much its levels lie above days (1) and months (2) with all that is told apart: 3 for those of all owners, 5 for those of each';

CREATE FUNCTION saleshub.rollup_refuse(facts text[], by_ text[])
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    known constant text[] := '{lead_created,lead_converted,deal_open,deal_won,deal_lost,activity_created,activity_done}';
    fault text;
BEGIN
    IF facts IS NULL OR NOT facts <@ known THEN
        PERFORM saleshub.raise('22023', format('facts must be among %s', array_to_string(known, ', ')));
    ELSIF by_ IS NULL OR NOT by_ <@ '{owner,stage,label,detail}' THEN
        PERFORM saleshub.raise('22023', 'by_ must be among owner, stage, label, detail');
    END IF;
    SELECT format('the field %s of %ss is hidden from the member', h.field, h.noun) INTO fault
    FROM (SELECT DISTINCT split_part(f, '_', 1) AS noun FROM unnest(facts) f) n
    JOIN (VALUES ('lead', 'owner', 'owner_id'), ('lead', 'label', 'source'),
                 ('deal', 'owner', 'owner_id'), ('deal', 'stage', 'stage_id'),
                 ('deal', 'label', 'source'), ('deal', 'detail', 'product'),
                 ('activity', 'owner', 'owner_id'), ('activity', 'label', 'type'),
                 ('activity', 'detail', 'outcome')) AS h (noun, by_, field) USING (noun)
    WHERE h.by_ = ANY (rollup_refuse.by_) AND h.field = ANY (saleshub.hidden_fields(h.noun))
    LIMIT 1;
    IF fault IS NOT NULL THEN
        PERFORM saleshub.raise('42501', fault);
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.rollup_refuse(text[], text[]) IS
    'Refuse unknown facts and dimensions, and telling apart by a field that is hidden from the member';

CREATE FUNCTION saleshub.rollup_read(
    facts text[], from_ timestamptz DEFAULT NULL, to_ timestamptz DEFAULT NULL,
    bounds timestamptz[] DEFAULT '{}', by_ text[] DEFAULT '{}')
RETURNS TABLE (fact text, bucket timestamptz, owner_id uuid, stage_id uuid, label text, detail text,
               n bigint, amount numeric, weighted numeric, seconds numeric)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
-- Sums are hashed, not sorted; an index leads past other tenants and past dead deltas. Said here
-- because the statistics of a table that changes all the time say otherwise too often.
SET work_mem = '32MB' SET enable_sort = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    low constant timestamptz := coalesce(from_, '-infinity');
    high constant timestamptz := coalesce(to_, 'infinity');
    past constant timestamptz := '4713-01-01 00:00+00 BC';
    zone constant text := coalesce((SELECT z.timezone FROM saleshub.rollup_zone z
                                    WHERE z.org_id = saleshub.org_id()), 'UTC');
    hidden constant boolean := 'amount' = ANY (saleshub.hidden_fields('deal'));
    marks constant timestamptz[] := ARRAY(SELECT b FROM unnest(bounds) b ORDER BY b);
BEGIN
    PERFORM saleshub.rollup_refuse(facts, by_);
    RETURN QUERY
    WITH scan AS MATERIALIZED (
        SELECT s.fact, s.owners,
               -- there are no quarter hours by owner alone
               CASE WHEN p.grain = 0 AND s.shift = 5 THEN 0 ELSE p.grain + s.shift END AS level,
               p.starts, p.ends
        FROM saleshub.rollup_scope(facts, by_) s
        JOIN (SELECT p.grain, p.starts, p.ends, false AS state
              FROM saleshub.rollup_pieces(low, high, marks, zone) p
              UNION ALL
              SELECT 2, '-infinity', past, true) p ON p.state = (s.fact = 'deal_open')
    ), kept AS (
        SELECT r.fact, r.bucket, r.owner_id, r.dim, r.label, r.detail,
               r.n, r.amount, r.weighted, r.seconds
        FROM scan s
        JOIN saleshub.rollup_level r
          ON r.org_id = saleshub.org_id() AND r.level = s.level AND r.fact = s.fact
         AND r.owner_id = ANY (s.owners) AND r.bucket >= s.starts AND r.bucket < s.ends
        WHERE s.level > 0
        UNION ALL
        SELECT r.fact, r.bucket, r.owner_id, r.dim, r.label, r.detail,
               r.n, r.amount, r.weighted, r.seconds
        FROM scan s
        JOIN saleshub.rollup r
          ON r.org_id = saleshub.org_id() AND r.fact = s.fact
         AND r.bucket >= s.starts AND r.bucket < s.ends AND r.owner_id = ANY (s.owners)
        WHERE s.level = 0
        UNION ALL
        SELECT d.fact, d.bucket, d.owner_id, d.dim, d.label, d.detail,
               d.n, d.amount, d.weighted, d.seconds
        FROM saleshub.rollup_delta d
        WHERE d.org_id = saleshub.org_id() AND d.fact = ANY (facts)
          AND (d.fact = 'deal_open' OR d.bucket >= low AND d.bucket < high)
    ), flat AS MATERIALIZED (
        -- The array of a variable would be flattened for each row anew.
        SELECT array_agg(b.at ORDER BY b.at) AS marks FROM unnest(marks) AS b (at)
    ), told AS (
        SELECT k.fact,
               CASE WHEN k.fact <> 'deal_open'
                    THEN nullif(width_bucket(k.bucket, (SELECT f.marks FROM flat f)), 0) END AS i,
               CASE WHEN 'owner' = ANY (by_) THEN k.owner_id END AS owner_id,
               CASE WHEN 'stage' = ANY (by_) THEN k.dim END AS stage_id,
               CASE WHEN 'label' = ANY (by_) THEN k.label END AS label,
               CASE WHEN 'detail' = ANY (by_) THEN k.detail END AS detail,
               sum(k.n) AS n, sum(k.amount) AS amount, sum(k.weighted) AS weighted,
               sum(k.seconds) AS seconds
        FROM kept k
        GROUP BY 1, 2, 3, 4, 5, 6
    )
    SELECT t.fact, marks[t.i], nullif(t.owner_id, '00000000-0000-0000-0000-000000000000'),
           nullif(t.stage_id, '00000000-0000-0000-0000-000000000000'), t.label, t.detail, t.n::bigint,
           CASE WHEN NOT hidden THEN t.amount END, CASE WHEN NOT hidden THEN t.weighted END, t.seconds
    FROM told t
    WHERE (t.n, t.amount, t.weighted, t.seconds) <> (0, 0, 0, 0);
END
$$;
COMMENT ON FUNCTION saleshub.rollup_read(text[], timestamptz, timestamptz, timestamptz[], text[]) IS
    'Sums of facts (lead_created, lead_converted, deal_open, deal_won, deal_lost, activity_created, '
    'activity_done) in [from_, to_), NULL open, as of this statement, under the visibility of whoever asks: '
    'bucket is the last of the bounds not after it, owner_id, stage_id, label (source or type) and '
    'detail (product or outcome) are given where by_ names owner, stage, label, detail. Times count by '
    'quarter hours. deal_open is the present state, without a bucket. amount and weighted are in the '
    'currency of the organisation, NULL when hidden from the member';
