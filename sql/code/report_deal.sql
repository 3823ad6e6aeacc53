-- Deals as reports read them: now or as of an instant, in the currency that is asked for.

CREATE FUNCTION saleshub.deals_at(as_of timestamptz)
    RETURNS TABLE (deal_id uuid, pipeline_id uuid, stage_id uuid, amount numeric, currency text,
                   amount_base numeric, close_date date, probability numeric, status text,
                   opened_at timestamptz, closed_at timestamptz, owner_id uuid, lead_id uuid,
                   contact_id uuid, company_id uuid, source text, product text,
                   forecast_category text, lost_reason text, name text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
    -- So that what reports pick from it is joined by hashes.
    ROWS 1000000
AS $$
BEGIN
    IF as_of IS NULL THEN
        RETURN QUERY
        SELECT d.deal_id, d.pipeline_id, d.stage_id, d.amount, d.currency, d.amount_base,
               d.close_date, d.probability, d.status, d.opened_at, d.closed_at, d.owner_id,
               d.lead_id, d.contact_id, d.company_id, d.source, d.product,
               d.forecast_category, d.lost_reason, d.name
        FROM crm.deal d
        WHERE d.org_id = saleshub.org_id() AND d.deleted_at IS NULL;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.deal_id, d.pipeline_id, d.stage_id, d.amount, d.currency, d.amount_base,
           d.close_date, d.probability, d.status, d.opened_at, d.closed_at, d.owner_id,
           d.lead_id, d.contact_id, d.company_id, d.source, d.product,
           d.forecast_category, d.lost_reason, d.name
    FROM crm.deal c
    LEFT JOIN saleshub.records_before('deal', as_of, NULL) b ON b.id = c.deal_id,
    LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) d
    WHERE c.org_id = saleshub.org_id() AND b.existed IS DISTINCT FROM false
        AND d.deleted_at IS NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.deals_at(timestamptz) IS
    'The deals that the caller sees, now or as of an instant, without what is in the bin';

CREATE FUNCTION saleshub.deal_value(
    amount numeric, currency text, amount_base numeric, closed_at timestamptz, wanted text,
    at timestamptz) RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    rate numeric;
BEGIN
    IF amount IS NULL OR currency = wanted THEN
        RETURN coalesce(amount, 0);
    END IF;
    -- What closed was worth what it was worth then.
    IF closed_at IS NOT NULL THEN
        amount := amount_base;
        currency := saleshub.org_currency(org);
    END IF;
    rate := saleshub.report_rate(currency, wanted,
                                 saleshub.org_day(org, coalesce(closed_at, at)));
    IF rate IS NULL THEN
        PERFORM saleshub.raise('22023', format('no exchange rate from %s to %s', currency, wanted),
                               jsonb_build_object('code', 'no_exchange_rate'));
    END IF;
    RETURN amount * rate;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_value(numeric, text, numeric, timestamptz, text, timestamptz) IS
    'The amount of a deal in a currency: by the rates of the day it closed, of an open one by those of the instant; not rounded, 0 when it has none';
