-- Deals as they stood at an instant, and what happened to them between two. Two things are known of
-- the past: stage_history says when a deal was in which stage, also where that was recorded later;
-- change_log says which values it had since it was recorded. So a deal that was entered with a
-- date of last year counts from then on, with the values it was entered with; what was put into
-- the bin counts until then, but not before it was recorded. A merge or an undo bins like anybody.

CREATE AGGREGATE saleshub.jsonb_merge(jsonb) (
    SFUNC = pg_catalog.jsonb_concat, STYPE = jsonb, INITCOND = '{}', PARALLEL = SAFE);
COMMENT ON AGGREGATE saleshub.jsonb_merge(jsonb) IS
    'All members of these objects; of those with one name the last.';

CREATE FUNCTION saleshub.deal_state(
    instant timestamptz,
    OUT deal_id uuid, OUT status text, OUT gone boolean, OUT owner_id uuid, OUT pipeline_id uuid,
    OUT stage_id uuid, OUT amount numeric, OUT currency text, OUT probability numeric,
    OUT close_date date, OUT entered_at timestamptz, OUT company_id uuid, OUT product text,
    OUT source text, OUT opened_at timestamptz)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    -- Said because one plan serves all instants, and most deals have a row or two of each.
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
    ROWS 100000
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH deal AS MATERIALIZED (
        SELECT d.*, d.updated_at > instant AS moved
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.opened_at <= instant
            AND (d.status = 'open' OR d.closed_at > instant)
            AND (d.deleted_at IS NULL OR d.updated_at > instant)
    ), later AS (
        SELECT l.entity_id, saleshub.jsonb_merge(l.changed ORDER BY l.version DESC) AS old
        FROM deal d
        JOIN crm.change_log l ON l.org_id = d.org_id AND l.entity_id = d.deal_id
        WHERE d.moved AND l.org_id = saleshub.org_id() AND l.entity = 'deal' AND l.at > instant
        GROUP BY l.entity_id
    ), place AS (
        SELECT h.deal_id, h.status, h.owner_id, h.pipeline_id, h.stage_id, h.amount, h.currency,
               h.probability, h.close_date, h.entered_at, h.recorded_at
        FROM deal d
        JOIN crm.stage_history h ON h.org_id = d.org_id AND h.deal_id = d.deal_id
        WHERE h.org_id = saleshub.org_id() AND h.entered_at <= instant
            AND (h.left_at IS NULL OR h.left_at > instant)
    ), placed AS (
        SELECT p.* FROM place p
        UNION ALL
        -- Entered as won or lost: open before, in a stage that nobody knows.
        SELECT h.*
        FROM deal d, LATERAL (
            SELECT h.deal_id, 'open', h.owner_id, h.pipeline_id, NULL::uuid, h.amount, h.currency,
                   NULL::numeric, h.close_date, d.opened_at, h.recorded_at
            FROM crm.stage_history h
            WHERE h.org_id = d.org_id AND h.deal_id = d.deal_id
            ORDER BY h.entered_at
            LIMIT 1) h
        WHERE d.closed_at > instant AND NOT EXISTS (SELECT FROM place p WHERE p.deal_id = d.deal_id)
    )
    SELECT d.deal_id, p.status,
           CASE WHEN l.old ? 'deleted_at' AND p.recorded_at <= instant THEN l.old #>> '{deleted_at,0}' IS NOT NULL
                ELSE d.deleted_at IS NOT NULL END,
           CASE WHEN p.recorded_at > instant THEN p.owner_id
                WHEN l.old ? 'owner_id' THEN (l.old #>> '{owner_id,0}')::uuid ELSE d.owner_id END,
           p.pipeline_id, p.stage_id,
           CASE WHEN p.recorded_at > instant THEN p.amount
                WHEN l.old ? 'amount' THEN (l.old #>> '{amount,0}')::numeric ELSE d.amount END,
           CASE WHEN p.recorded_at > instant THEN p.currency
                WHEN l.old ? 'currency' THEN l.old #>> '{currency,0}' ELSE d.currency END,
           CASE WHEN p.recorded_at > instant THEN p.probability
                WHEN l.old ? 'probability' THEN (l.old #>> '{probability,0}')::numeric
                ELSE d.probability END,
           CASE WHEN p.recorded_at > instant THEN p.close_date
                WHEN l.old ? 'close_date' THEN (l.old #>> '{close_date,0}')::date
                ELSE d.close_date END,
           p.entered_at, d.company_id, d.product, d.source, d.opened_at
    FROM deal d
    JOIN placed p ON p.deal_id = d.deal_id
    LEFT JOIN later l ON l.entity_id = d.deal_id;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_state(timestamptz) IS
    'The deals that were open at an instant, or may become so again: status and stage are those of then, gone tells of those in the bin. Company, product and source are those of now.';

CREATE FUNCTION saleshub.deals_open(
    as_of timestamptz, money text,
    OUT deal_id uuid, OUT value numeric, OUT owner_id uuid, OUT pipeline_id uuid, OUT stage_id uuid,
    OUT currency text, OUT probability numeric, OUT close_date date, OUT entered_at timestamptz,
    OUT company_id uuid, OUT product text, OUT source text, OUT opened_at timestamptz)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    ROWS 100000
AS $$
#variable_conflict use_column
DECLARE
    day constant date := saleshub.org_day(saleshub.org_id(), coalesce(as_of, now()));
BEGIN
    IF as_of IS NULL THEN
        RETURN QUERY
        WITH rate AS MATERIALIZED (
            SELECT c.currency, saleshub.report_rate(c.currency, money, day) AS rate
            FROM (SELECT DISTINCT d.currency FROM crm.deal d
                  WHERE d.org_id = saleshub.org_id() AND d.status = 'open') c
        )
        SELECT d.deal_id, d.amount * r.rate, d.owner_id, d.pipeline_id, d.stage_id, d.currency,
               d.probability, d.close_date, NULL::timestamptz, d.company_id, d.product, d.source,
               d.opened_at
        FROM crm.deal d
        JOIN rate r ON r.currency = d.currency
        WHERE d.org_id = saleshub.org_id() AND d.status = 'open' AND d.deleted_at IS NULL
            AND d.opened_at <= now();
        RETURN;
    END IF;
    RETURN QUERY
    WITH was AS MATERIALIZED (
        SELECT d.* FROM saleshub.deal_state(as_of) d WHERE d.status = 'open' AND NOT d.gone
    ), rate AS MATERIALIZED (
        SELECT c.currency, saleshub.report_rate(c.currency, money, day) AS rate
        FROM (SELECT DISTINCT w.currency FROM was w) c
    )
    SELECT w.deal_id, w.amount * r.rate, w.owner_id, w.pipeline_id, w.stage_id, w.currency,
           w.probability, w.close_date, w.entered_at, w.company_id, w.product, w.source, w.opened_at
    FROM was w
    JOIN rate r ON r.currency = w.currency;
END;
$$;
COMMENT ON FUNCTION saleshub.deals_open(timestamptz, text) IS
    'The deals open at an instant, or now, with their amounts at the rates of that day.';

CREATE FUNCTION saleshub.deal_segments(
    t0 timestamptz, t1 timestamptz,
    OUT deal_id uuid, OUT starts timestamptz, OUT ends timestamptz, OUT status text,
    OUT gone boolean, OUT owner_id uuid, OUT pipeline_id uuid, OUT stage_id uuid,
    OUT amount numeric, OUT currency text, OUT company_id uuid, OUT product text, OUT source text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    SET work_mem = '64MB' SET plan_cache_mode = force_custom_plan
    ROWS 100000
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH deal AS MATERIALIZED (
        SELECT d.deal_id, d.org_id, d.company_id, d.product, d.source, d.opened_at, d.closed_at,
               d.deleted_at
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.opened_at <= t1
            AND (d.status = 'open' OR d.closed_at > t0)
            AND (d.deleted_at IS NULL OR d.updated_at > t0)
    ), turn AS (
        -- Where it stood at the beginning,
        SELECT a.deal_id, t0 AS at, 0 AS step, ''::text AS tie, jsonb_build_object(
                   'status', a.status, 'stage_id', a.stage_id, 'pipeline_id', a.pipeline_id,
                   'owner_id', a.owner_id, 'amount', a.amount, 'currency', a.currency,
                   'gone', a.gone) AS doc
        FROM saleshub.deal_state(t0) a
        UNION ALL
        -- the stages it came into,
        SELECT h.deal_id, h.entered_at, 1, lpad(row_number() OVER (
                   PARTITION BY h.deal_id ORDER BY h.entered_at, h.left_at, h.stage_history_id)::text, 9),
               jsonb_build_object(
                   'status', h.status, 'stage_id', h.stage_id, 'pipeline_id', h.pipeline_id,
                   'owner_id', h.owner_id, 'amount', h.amount, 'currency', h.currency)
               || CASE WHEN h.entered_at < h.recorded_at
                       THEN jsonb_build_object('gone', d.deleted_at IS NOT NULL) ELSE '{}' END
        FROM deal d
        JOIN crm.stage_history h ON h.org_id = d.org_id AND h.deal_id = d.deal_id
        WHERE h.org_id = saleshub.org_id() AND h.entered_at > t0 AND h.entered_at <= t1
        UNION ALL
        -- before all when it was entered as won or lost,
        SELECT d.deal_id, d.opened_at, 1, '', jsonb_build_object(
                   'status', 'open', 'pipeline_id', h.pipeline_id, 'owner_id', h.owner_id,
                   'amount', h.amount, 'currency', h.currency, 'gone', d.deleted_at IS NOT NULL)
        FROM deal d, LATERAL (
            SELECT h.* FROM crm.stage_history h
            WHERE h.org_id = d.org_id AND h.deal_id = d.deal_id
            ORDER BY h.entered_at, h.left_at LIMIT 1) h
        WHERE d.opened_at > t0 AND h.entered_at > d.opened_at AND h.status <> 'open'
        UNION ALL
        -- and every change of a value that counts.
        SELECT l.entity_id, l.at, 2, lpad(l.version::text, 20), (
                   SELECT coalesce(jsonb_object_agg(
                              CASE c.key WHEN 'deleted_at' THEN 'gone' ELSE c.key END,
                              CASE c.key WHEN 'deleted_at' THEN to_jsonb(c.value -> 1 <> 'null')
                                         ELSE c.value -> 1 END), '{}')
                   FROM jsonb_each(l.changed) c
                   WHERE c.key IN ('amount', 'currency', 'owner_id', 'deleted_at'))
               || CASE WHEN l.op = 'insert' AND NOT l.changed ? 'deleted_at'
                       THEN '{"gone": false}'::jsonb ELSE '{}' END
        FROM deal d
        JOIN crm.change_log l ON l.org_id = d.org_id AND l.entity_id = d.deal_id
        WHERE l.org_id = saleshub.org_id() AND l.entity = 'deal' AND l.at > t0 AND l.at <= t1
            AND (l.op = 'insert' OR l.changed ?| '{amount,currency,owner_id,deleted_at}')
    ), state AS (
        SELECT t.deal_id, t.at, saleshub.jsonb_merge(t.doc) OVER w AS doc,
               lead(t.at) OVER w AS next_at
        FROM turn t
        WINDOW w AS (PARTITION BY t.deal_id ORDER BY t.at, t.step, t.tie)
    )
    SELECT s.deal_id, s.at, s.next_at, s.doc ->> 'status', (s.doc -> 'gone')::boolean,
           (s.doc ->> 'owner_id')::uuid, (s.doc ->> 'pipeline_id')::uuid,
           (s.doc ->> 'stage_id')::uuid, (s.doc ->> 'amount')::numeric, s.doc ->> 'currency',
           d.company_id, d.product, d.source
    FROM state s
    JOIN deal d ON d.deal_id = s.deal_id
    -- Of what happened in one instant, the end counts.
    WHERE s.next_at IS DISTINCT FROM s.at;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_segments(timestamptz, timestamptz) IS
    'How deals stood from t0 to t1: a row for each stretch in which nothing that counts changed, the first from t0 on, the last without end. What saleshub.deal_state() says of any instant between is what the row says that holds then.';
