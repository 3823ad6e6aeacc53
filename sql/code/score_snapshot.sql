-- What was known of leads and deals when their chance would have been told, and what became of them.

CREATE FUNCTION saleshub.score_features(noun text, OUT name text, OUT sql text) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c, format('r.%I', c)
      FROM unnest(CASE noun
          WHEN 'lead' THEN ARRAY['source', 'country', 'state', 'city', 'industry', 'title',
                                 'employees', 'annual_revenue', 'consent_email', 'consent_phone']
          ELSE ARRAY['source', 'product', 'amount_base', 'currency', 'owner_id', 'stage_id'] END) c
    UNION ALL
    SELECT c || '_given', format('(r.%I IS NOT NULL)', c)
      FROM unnest(CASE noun
          WHEN 'lead' THEN ARRAY['first_name', 'email', 'phone', 'company_name', 'website']
          ELSE ARRAY['company_id', 'contact_id', 'lead_id', 'close_date'] END) c
    UNION ALL
    -- A lead that was decided when it came says nothing by its status.
    SELECT 'status', 'CASE WHEN NOT s.decided THEN r.status END' WHERE noun = 'lead'
    UNION ALL
    SELECT 'age', 's.age::text'
    UNION ALL
    SELECT 'activities', 's.activities'
    UNION ALL
    SELECT 'custom.' || f.key,
           CASE WHEN f.type IN ('number', 'integer')
                THEN format('CASE jsonb_typeof(r.custom -> %1$L) WHEN ''number'''
                            ' THEN (r.custom ->> %1$L)::numeric END', f.key)
                ELSE format('CASE WHEN jsonb_typeof(r.custom -> %1$L) <> ALL (''{array,object}'')'
                            ' THEN r.custom ->> %1$L END', f.key) END
      FROM crm.custom_field f
     WHERE f.org_id = saleshub.org_id() AND f.entity = noun AND f.deleted_at IS NULL AND f.active
       AND f.type IN ('text', 'number', 'integer', 'boolean', 'enum') AND length(f.key) <= 56;
END
$$;
COMMENT ON FUNCTION saleshub.score_features(text, OUT text, OUT text) IS
    'What a model of leads or deals may look at: the name, which also tells triggers where to find it, and SQL about a record r and its snapshot s';

CREATE FUNCTION saleshub.score_horizon(noun text) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    days float8;
BEGIN
    IF noun = 'lead' THEN
        SELECT percentile_cont(0.95) WITHIN GROUP (
                   ORDER BY extract(epoch FROM l.converted_at - l.created_at) / 86400) INTO days
          FROM crm.lead l
         WHERE l.org_id = saleshub.org_id() AND l.deleted_at IS NULL AND l.status = 'converted';
    ELSE
        SELECT percentile_cont(0.95) WITHIN GROUP (
                   ORDER BY extract(epoch FROM d.closed_at - d.opened_at) / 86400) INTO days
          FROM crm.deal d
         WHERE d.org_id = saleshub.org_id() AND d.deleted_at IS NULL AND d.status = 'won';
    END IF;
    RETURN make_interval(days => least(greatest(ceil(coalesce(days, 90)), 7), 365)::integer);
END
$$;
COMMENT ON FUNCTION saleshub.score_horizon(text) IS
    'Within which time most (95 %) of those that are won are won, 7 to 365 days: the outcome of a record is what became of it by then';

CREATE FUNCTION saleshub.score_subjects(
    noun text, horizon interval, since timestamptz, latest integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    floor timestamptz := coalesce((
        SELECT r.history_floor FROM crm.retention r
         WHERE r.org_id = saleshub.org_id() AND r.entity = noun), '-infinity');
BEGIN
    EXECUTE format($sql$
    CREATE TEMP TABLE score_subject ON COMMIT DROP AS
    WITH noted AS (
        SELECT c.entity_id, c.at, c.version, c.changed #>> '{status,1}' AS status
          FROM crm.change_log c
         WHERE c.org_id = saleshub.org_id() AND c.entity = %1$L AND c.op = 'insert'
    ), subject AS (
        SELECT t.%2$I AS id, t.%3$I AS began, t.%4$I AS ended, t.status = %5$L AS was_won,
               n.at AS noted_at, n.version,
               coalesce(n.status <> ALL (%6$L) OR t.status = %5$L AND t.%4$I < n.at, false) AS decided
          FROM %7$s t JOIN noted n ON n.entity_id = t.%2$I
         WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL AND t.%3$I >= $2
    ), placed AS (
        SELECT s.id, s.version, s.decided, s.ended, s.was_won,
               CASE WHEN s.decided THEN s.began ELSE greatest(s.began, s.noted_at) END AS began
          FROM subject s
    )
    SELECT p.id, p.version, p.decided, p.began,
           coalesce(p.was_won AND (p.decided OR p.ended <= p.began + $1), false) AS won
      FROM placed p
     WHERE (p.decided OR p.began + $1 <= now()) AND p.began >= $3
     ORDER BY p.began DESC LIMIT $4$sql$,
        noun, noun || '_id', CASE noun WHEN 'lead' THEN 'created_at' ELSE 'opened_at' END,
        CASE noun WHEN 'lead' THEN 'converted_at' ELSE 'closed_at' END,
        CASE noun WHEN 'lead' THEN 'converted' ELSE 'won' END,
        CASE noun WHEN 'lead' THEN '{new,working,nurturing,qualified}' ELSE '{open}' END,
        'crm.' || noun)
    USING horizon, floor, since, latest;
    ANALYZE pg_temp.score_subject;
END
$$;
COMMENT ON FUNCTION saleshub.score_subjects(text, interval, timestamptz, integer) IS
    'Into the temporary table score_subject: the latest so many records since an instant whose outcome is known, those that were decided when they came and those that are as old as the horizon; younger ones are left out, also when they are decided, for the quick ones alone would tell a false story';

CREATE FUNCTION saleshub.score_moments(noun text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF noun = 'lead' THEN
        CREATE TEMP TABLE score_moment ON COMMIT DROP AS
        SELECT s.id, s.decided, s.won, s.began, a.age, s.began + make_interval(days => a.age) AS at,
               CASE WHEN a.age = 0 THEN s.version END AS version
          FROM pg_temp.score_subject s
          CROSS JOIN (VALUES (0), (1), (7), (30)) AS a (age)
         WHERE a.age = 0 OR NOT s.decided;
    ELSE
        CREATE TEMP TABLE score_moment ON COMMIT DROP AS
        SELECT s.id, s.decided, s.won, s.began, a.age,
               greatest(h.entered_at, h.recorded_at) + make_interval(days => a.age) AS at,
               NULL::bigint AS version
          FROM pg_temp.score_subject s
          JOIN crm.stage_history h ON h.org_id = saleshub.org_id() AND h.deal_id = s.id
               AND h.status = 'open'
          CROSS JOIN (VALUES (0), (7), (30)) AS a (age)
         WHERE NOT s.decided
           AND (h.left_at IS NULL
                OR greatest(h.entered_at, h.recorded_at) + make_interval(days => a.age) < h.left_at);
    END IF;
    ANALYZE pg_temp.score_moment;
END
$$;
COMMENT ON FUNCTION saleshub.score_moments(text) IS
    'Into the temporary table score_moment: when the chance of each record of score_subject would have been told; of leads when they came and 1, 7 and 30 days later, of deals when they entered a stage and 7 and 30 days later if they still were in it';

CREATE FUNCTION saleshub.score_snapshots(noun text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    features text := (SELECT string_agg(format('%s AS %I', f.sql, f.name), ', ')
                        FROM saleshub.score_features(noun) f);
BEGIN
    -- Every change after the moment is taken back, as saleshub.records_before does for one instant.
    EXECUTE format($sql$
    CREATE TEMP TABLE score_snapshot ON COMMIT DROP AS
    WITH change AS MATERIALIZED (
        SELECT c.entity_id, c.version, c.at, c.changed
          FROM crm.change_log c
         WHERE c.org_id = saleshub.org_id() AND c.entity = %1$L AND c.op = 'update'
           AND EXISTS (SELECT FROM pg_temp.score_subject s WHERE s.id = c.entity_id)
    ), cut AS (
        SELECT m.id, m.age, m.at, min(c.version) AS version
          FROM pg_temp.score_moment m
          JOIN change c ON c.entity_id = m.id
               AND CASE WHEN m.version IS NULL THEN c.at > m.at ELSE c.version > m.version END
         GROUP BY m.id, m.age, m.at
    ), field AS (
        SELECT DISTINCT ON (c.id, c.age, c.at, f.key) c.id, c.age, c.at, f.key, f.value -> 0 AS value
          FROM cut c JOIN change l ON l.entity_id = c.id AND l.version >= c.version,
               jsonb_each(l.changed) f
         ORDER BY c.id, c.age, c.at, f.key, l.version
    ), doc AS (
        SELECT f.id, f.age, f.at, jsonb_object_agg(f.key, f.value) AS doc
          FROM field f GROUP BY f.id, f.age, f.at
    ), done AS (
        SELECT m.id, m.age, m.at, count(*) AS n
          FROM pg_temp.score_moment m
          JOIN crm.activity_link k ON k.org_id = saleshub.org_id() AND k.entity = %1$L
               AND k.entity_id = m.id
          JOIN crm.activity a ON a.org_id = k.org_id AND a.activity_id = k.activity_id
               AND a.deleted_at IS NULL AND a.created_at <= m.at
         GROUP BY m.id, m.age, m.at
    ), s AS (
        SELECT m.*, CASE WHEN NOT m.decided THEN coalesce(n.n, 0) END AS activities, d.doc
          FROM pg_temp.score_moment m
          LEFT JOIN doc d ON (d.id, d.age, d.at) = (m.id, m.age, m.at)
          LEFT JOIN done n ON (n.id, n.age, n.at) = (m.id, m.age, m.at)
    )
    SELECT s.id AS "subject id", s.began AS "subject began", s.won AS "subject won", %2$s
      FROM s JOIN %3$s t ON t.org_id = saleshub.org_id() AND t.%4$I = s.id,
           LATERAL jsonb_populate_record(t, coalesce(s.doc, '{}')) r
     WHERE s.decided OR r.status = ANY (%5$L) AND s.at <= now()
     ORDER BY s.began, s.id, s.age$sql$,
        noun, features, 'crm.' || noun, noun || '_id',
        CASE noun WHEN 'lead' THEN '{new,working,nurturing,qualified}' ELSE '{open}' END);
    ANALYZE pg_temp.score_snapshot;
END
$$;
COMMENT ON FUNCTION saleshub.score_snapshots(text) IS
    'Into the temporary table score_snapshot: each record of score_moment as it was known then, its features and what became of it; those that were decided by then are left out';

CREATE FUNCTION saleshub.score_prepare(
    noun text, horizon interval, since timestamptz DEFAULT '-infinity', latest integer DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    DROP TABLE IF EXISTS pg_temp.score_subject, pg_temp.score_moment, pg_temp.score_snapshot;
    PERFORM saleshub.score_subjects(noun, horizon, since, latest);
    PERFORM saleshub.score_moments(noun);
    PERFORM saleshub.score_snapshots(noun);
END
$$;
COMMENT ON FUNCTION saleshub.score_prepare(text, interval, timestamptz, integer) IS
    'Makes the temporary table score_snapshot, which a model is trained on, from the records that the caller may read';
