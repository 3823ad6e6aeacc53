-- What sources and campaigns cost.

CREATE FUNCTION saleshub.source_cost_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "source_cost_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "source", "type": "text", "max": 100, "required": true, "sort": true, "not_null": true},
        {"name": "campaign", "type": "text", "max": 200, "sort": true},
        {"name": "period_from", "type": "date", "required": true, "sort": true, "not_null": true},
        {"name": "period_to", "type": "date", "required": true, "sort": true, "not_null": true},
        {"name": "currency", "type": "text", "max": 3, "not_null": true},
        {"name": "amount", "type": "money", "currency": "currency", "sort": true, "required": true},
        {"name": "note", "type": "text", "max": 1000}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.source_cost_fields() IS 'The fields of a cost in the API.';

CREATE FUNCTION saleshub.source_cost_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('source_cost', 'source-costs', saleshub.source_cost_fields(), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.source_cost_meta() IS
    'What the record functions need to know about costs.';

CREATE FUNCTION saleshub.source_cost_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.source := saleshub.clean(NEW.source);
    NEW.campaign := saleshub.clean(NEW.campaign);
    NEW.note := saleshub.clean(NEW.note);
    NEW.currency := coalesce(upper(saleshub.clean(NEW.currency)), saleshub.org_currency(NEW.org_id));
    IF NEW.source IS NULL THEN
        faults := faults || saleshub.fault('/source', 'required', 'is required');
    END IF;
    IF NEW.amount IS NULL THEN
        faults := faults || saleshub.fault('/amount', 'required', 'is required');
    ELSIF NOT (NEW.amount BETWEEN 0 AND 1e15) THEN
        faults := faults || saleshub.fault('/amount', 'invalid', 'must be from 0 to 1e15');
    END IF;
    IF NEW.period_to <= NEW.period_from THEN
        faults := faults || saleshub.fault('/period_to', 'invalid', 'must be after period_from');
    END IF;
    faults := faults || saleshub.rate_faults(NEW.org_id, NEW.currency, NEW.period_from);
    faults := faults || saleshub.too_long('/source', NEW.source, 100)
        || saleshub.too_long('/campaign', NEW.campaign, 200)
        || saleshub.too_long('/note', NEW.note, 1000);
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('source_cost', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.source_cost_check() IS
    'Trigger: brings a cost into its normal form and refuses what is wrong with it';

CREATE FUNCTION saleshub.routes_source_cost() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.plain_routes(saleshub.source_cost_meta(), ARRAY[
        'List what sources cost', 'Say what a source cost', 'Read what a source cost',
        'Change a cost', 'Delete a cost']);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_source_cost() IS 'Registers the routes of costs';
