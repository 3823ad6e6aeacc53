-- Conversions, deals and their way through the stages, planned from the leads as they stand.

CREATE FUNCTION saleshub.sample_conversions(
    seed text, anchor timestamptz,
    OUT lead_id uuid, OUT at timestamptz, OUT company_id uuid, OUT contact_id uuid,
    OUT deal_id uuid)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.lead_id, p.at,
           saleshub.sample_id(min(p.at) OVER (PARTITION BY p.company_name),
                              seed || ' company ' || p.company_name),
           saleshub.sample_id(p.at, p.lead_id || ' contact'),
           saleshub.sample_id(p.at, p.lead_id || ' deal')
    FROM (SELECT l.lead_id, l.company_name,
                 l.created_at + saleshub.sample_ripening(l.lead_id::text) AS at
          FROM crm.lead l
          WHERE l.org_id = saleshub.org_id()
            AND l.status IN ('qualified', 'converted')) p
    WHERE p.at < anchor
      AND saleshub.sample_draw(p.lead_id || ' stalls') > 0.08;
END
$$;
COMMENT ON FUNCTION saleshub.sample_conversions(text, timestamptz) IS
    'Which qualified leads convert, when, and into what; the same before and after it is done';

CREATE FUNCTION saleshub.sample_deals(
    seed text, anchor timestamptz,
    OUT deal_id uuid, OUT lead_id uuid, OUT company_id uuid, OUT contact_id uuid,
    OUT owner_id uuid, OUT source text, OUT name text, OUT product text, OUT amount numeric,
    OUT currency text, OUT opened_at timestamptz, OUT closes_at timestamptz, OUT won boolean,
    OUT steps int)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stages int;
BEGIN
    SELECT count(*) INTO stages
    FROM crm.stage s
    JOIN crm.pipeline p ON p.org_id = s.org_id AND p.pipeline_id = s.pipeline_id
    WHERE s.org_id = saleshub.org_id() AND p.is_default AND s.kind = 'open'
      AND s.deleted_at IS NULL;

    RETURN QUERY
    WITH chance AS (
        SELECT v.deal_id, v.lead_id, v.company_id, v.contact_id, l.owner_id, l.source,
               l.score, v.at, 0 AS renewal
        FROM saleshub.sample_conversions(seed, anchor) v
        JOIN crm.lead l ON l.org_id = saleshub.org_id() AND l.lead_id = v.lead_id
        UNION ALL
        SELECT saleshub.sample_id(anchor - d.back, c.company_id || ' deal ' || d.n), NULL,
               c.company_id, p.contact_id, c.owner_id, 'customer', 60, anchor - d.back, d.n
        FROM crm.company c
        CROSS JOIN LATERAL (
            SELECT n, make_interval(secs => 60 + floor(548 * 86400 * saleshub.sample_draw(
                       c.company_id || ' renews ' || n))) AS back
            FROM generate_series(1, floor(4 * saleshub.sample_draw(c.company_id || ' loyal'))::int)
                 AS n) d
        CROSS JOIN LATERAL (
            SELECT contact_id
            FROM crm.contact
            WHERE org_id = saleshub.org_id() AND company_id = c.company_id
            ORDER BY contact_id
            LIMIT 1) p
        WHERE c.org_id = saleshub.org_id() AND c.created_at < anchor - interval '548 days'
    ), sized AS (
        SELECT h.*, c.name AS company, c.country, d.key,
               greatest(3, round(power(coalesce(c.employees, 20), 0.7)
                                 * exp(0.5 * saleshub.sample_normal(d.key || ' seats'))))::int
                   AS seats
        FROM chance h
        JOIN crm.company c ON c.org_id = saleshub.org_id() AND c.company_id = h.company_id
        CROSS JOIN LATERAL (SELECT h.deal_id::text AS key) d
    ), priced AS (
        SELECT z.*, p.product,
               round((z.seats * p.seat_price * (1 - 0.22 * saleshub.sample_draw(z.key || ' rebate'))
                     )::numeric, -1) AS amount,
               saleshub.sample_draw(z.key || ' won') < 1 / (1 + exp(0.55
                   - p.appeal - 0.02 * (z.score - 45)
                   - CASE WHEN z.renewal > 0 THEN 0.9 ELSE 0 END
                   - 0.5 * saleshub.sample_normal(coalesce(z.owner_id::text, '')))) AS won
        FROM sized z
        JOIN saleshub.sample_products() p ON z.seats >= p.from_seats AND z.seats < p.below_seats
    )
    SELECT d.deal_id, d.lead_id, d.company_id, d.contact_id, d.owner_id, d.source,
           d.company || CASE WHEN d.renewal > 0 THEN ' – ' || d.product || ' extension'
                             ELSE ' – ' || d.product END,
           d.product, d.amount, coalesce(n.currency, 'EUR'), d.at,
           d.at + interval '1 hour'
           + saleshub.sample_delay(d.key || ' cycle',
                                   CASE WHEN d.won THEN interval '44 days' ELSE interval '29 days' END,
                                   CASE WHEN d.won THEN 0.55 ELSE 0.8 END)
             * CASE WHEN saleshub.sample_draw(d.key || ' drags') < 0.06 THEN 3.5 ELSE 1 END
             * power(greatest(d.amount, 1)::float8 / 20000, 0.12),
           d.won,
           CASE WHEN d.won THEN stages
                ELSE 1 + floor(stages * saleshub.sample_draw(d.key || ' reaches'))::int END
    FROM priced d
    LEFT JOIN saleshub.sample_countries() n ON n.country = d.country;
END
$$;
COMMENT ON FUNCTION saleshub.sample_deals(text, timestamptz) IS
    'The deals of conversions and of old customers: what for, how they will end and when; steps '
    'is how many open stages they pass before';

CREATE FUNCTION saleshub.sample_step(
    deal_id uuid, step int, steps int, opened_at timestamptz, closes_at timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN date_trunc('second', opened_at + (closes_at - opened_at) * CASE step
    WHEN 1 THEN 0
    ELSE (step - 1 + 0.7 * (saleshub.sample_draw(deal_id || ' step ' || step) - 0.5)) / steps
    END);
COMMENT ON FUNCTION saleshub.sample_step(uuid, int, int, timestamptz, timestamptz) IS
    'When the deal enters its step-th open stage; the first one when it is opened';

CREATE FUNCTION saleshub.sample_insert_deals(seed text, anchor timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    line uuid;
    open_stages uuid[];
    won_stage uuid;
    lost_stage uuid;
BEGIN
    SELECT p.pipeline_id INTO STRICT line
    FROM crm.pipeline p
    WHERE p.org_id = org AND p.is_default AND p.deleted_at IS NULL;
    SELECT array_agg(s.stage_id ORDER BY s.position, s.stage_id) FILTER (WHERE s.kind = 'open'),
           (array_agg(s.stage_id ORDER BY s.position) FILTER (WHERE s.kind = 'won'))[1],
           (array_agg(s.stage_id ORDER BY s.position) FILTER (WHERE s.kind = 'lost'))[1]
    INTO STRICT open_stages, won_stage, lost_stage
    FROM crm.stage s
    WHERE s.org_id = org AND s.pipeline_id = line AND s.deleted_at IS NULL;

    INSERT INTO crm.deal (deal_id, name, company_id, contact_id, pipeline_id, stage_id, status,
                          probability, amount, currency, close_date, lost_reason, opened_at,
                          closed_at, owner_id, lead_id, source, product, created_at)
    SELECT d.deal_id, d.name, d.company_id, d.contact_id, line,
           CASE WHEN d.closes_at >= anchor THEN open_stages[n.step]
                WHEN d.won THEN won_stage ELSE lost_stage END,
           CASE WHEN d.closes_at >= anchor THEN 'open' WHEN d.won THEN 'won' ELSE 'lost' END,
           NULL, d.amount, d.currency,
           (d.closes_at AT TIME ZONE 'UTC')::date
           - CASE WHEN d.closes_at >= anchor AND saleshub.sample_draw(d.deal_id || ' slips') < 0.3
                  THEN 21 ELSE 0 END,
           CASE WHEN d.closes_at < anchor AND NOT d.won
                THEN saleshub.sample_pick(ARRAY['price', 'price', 'no budget', 'went silent',
                                                'competitor', 'competitor', 'no decision',
                                                'missing feature'], d.deal_id || ' reason') END,
           d.opened_at, CASE WHEN d.closes_at < anchor THEN date_trunc('second', d.closes_at) END,
           d.owner_id, d.lead_id, d.source, d.product, d.opened_at
    FROM saleshub.sample_deals(seed, anchor) d
    CROSS JOIN LATERAL (
        SELECT max(k) AS step
        FROM generate_series(1, d.steps) AS k
        WHERE saleshub.sample_step(d.deal_id, k, d.steps, d.opened_at, d.closes_at) <= anchor) n
    ORDER BY d.opened_at, d.deal_id;

    ANALYZE crm.deal;

    -- The trigger noted one stage, the present one; the way to it is told here.
    DELETE FROM crm.stage_history h
    WHERE h.org_id = org;
    INSERT INTO crm.stage_history (stage_history_id, deal_id, pipeline_id, stage_id, status, amount,
                                   currency, probability, close_date, owner_id, entered_at,
                                   left_at)
    SELECT saleshub.sample_id(e.at, d.deal_id || ' entry ' || e.k), d.deal_id, line, s.stage_id,
           s.kind, d.amount, d.currency, s.probability, d.close_date, d.owner_id, e.at,
           lead(e.at) OVER (PARTITION BY d.deal_id ORDER BY e.k)
    FROM saleshub.sample_deals(seed, anchor) p
    JOIN crm.deal d ON d.org_id = org AND d.deal_id = p.deal_id
    CROSS JOIN LATERAL (
        SELECT k, open_stages[k] AS stage_id,
               saleshub.sample_step(d.deal_id, k, p.steps, p.opened_at, p.closes_at) AS at
        FROM generate_series(1, p.steps) AS k
        UNION ALL
        SELECT p.steps + 1, d.stage_id, d.closed_at
        WHERE d.closed_at IS NOT NULL) e
    JOIN crm.stage s ON s.org_id = org AND s.stage_id = e.stage_id
    WHERE e.at <= anchor;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_deals(text, timestamptz) IS
    'Write the planned deals as they stand on the anchor day, with the history of their stages';
