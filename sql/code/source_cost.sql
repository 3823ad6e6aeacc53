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
    IF NEW.currency !~ '^[A-Z]{3}$'
       OR saleshub.report_rate(NEW.currency, saleshub.org_currency(NEW.org_id), NEW.period_from) IS NULL
    THEN
        faults := faults || saleshub.fault('/currency', 'no_exchange_rate', 'has no rate');
    END IF;
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

CREATE FUNCTION crm.source_cost_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_create(saleshub.source_cost_meta(), body);
END;
$$;
COMMENT ON FUNCTION crm.source_cost_create(jsonb) IS
    'Says what a source, or a campaign of it, cost in a period: {source, campaign, period_from, period_to (exclusive), amount, currency, note}. For admins and managers';

CREATE FUNCTION crm.source_cost_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_get(saleshub.source_cost_meta(), id);
END;
$$;
COMMENT ON FUNCTION crm.source_cost_get(uuid) IS 'What a source cost in a period';

CREATE FUNCTION crm.source_cost_list(
    limit_ integer DEFAULT NULL, cursor_ text DEFAULT NULL, sort text DEFAULT NULL,
    filters jsonb DEFAULT NULL, count_ boolean DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_list(saleshub.source_cost_meta(), limit_, cursor_, sort, NULL, NULL,
                                filters, count_);
END;
$$;
COMMENT ON FUNCTION crm.source_cost_list(integer, text, text, jsonb, boolean) IS
    'A page of what sources cost';

CREATE FUNCTION crm.source_cost_update(id uuid, patch jsonb, if_match text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_update(saleshub.source_cost_meta(), id, patch, if_match);
END;
$$;
COMMENT ON FUNCTION crm.source_cost_update(uuid, jsonb, text) IS
    'Changes a cost by a merge patch and returns it';

CREATE FUNCTION crm.source_cost_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.record_match(saleshub.source_cost_meta(), id, if_match);
    UPDATE crm.source_cost c SET deleted_at = now()
    WHERE c.org_id = saleshub.org_id() AND c.source_cost_id = source_cost_delete.id;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.source_cost_delete(uuid, text) IS 'Takes a cost out of all reports';

CREATE FUNCTION saleshub.routes_source_cost() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.source_cost_meta();
BEGIN
    PERFORM saleshub.route(
        'GET /v1/source-costs', 'crm.source_cost_list(integer, text, text, jsonb, boolean)',
        'List what sources cost', 'analytics', cache => 'strict',
        args => saleshub.page_args() || jsonb_build_object('filters', jsonb_build_object(
            'fields', (SELECT jsonb_object_agg(f.key, f.value -> 'schema')
                       FROM jsonb_each(meta -> 'filter') f))));
    PERFORM saleshub.route(
        'POST /v1/source-costs', 'crm.source_cost_create(jsonb)', 'Say what a source cost',
        'analytics', success => 201, idempotent => true,
        args => jsonb_build_object('body', meta -> 'create'));
    PERFORM saleshub.route('GET /v1/source-costs/{id}', 'crm.source_cost_get(uuid)',
                           'Read what a source cost', 'analytics', cache => 'strict');
    PERFORM saleshub.route(
        'PATCH /v1/source-costs/{id}', 'crm.source_cost_update(uuid, jsonb, text)',
        'Change a cost', 'analytics', args => jsonb_build_object('patch', meta -> 'patch'));
    PERFORM saleshub.route('DELETE /v1/source-costs/{id}', 'crm.source_cost_delete(uuid, text)',
                           'Delete a cost', 'analytics', success => 204);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_source_cost() IS 'Registers the routes of costs';
