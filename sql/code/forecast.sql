-- Forecast categories of deals, adjustments by managers, and forecasts kept to compare with what came.

CREATE FUNCTION saleshub.deal_forecast() RETURNS trigger
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    told text;
BEGIN
    IF NEW.status <> 'open' THEN
        NEW.forecast_category_manual := NULL;
        NEW.forecast_category := CASE NEW.status WHEN 'won' THEN 'closed' ELSE 'omitted' END;
        RETURN NEW;
    END IF;
    told := coalesce(
        (SELECT s.forecast_category FROM crm.stage s
         WHERE s.org_id = NEW.org_id AND s.stage_id = NEW.stage_id),
        CASE WHEN NEW.probability >= 80 THEN 'commit' WHEN NEW.probability >= 50 THEN 'best_case'
             ELSE 'pipeline' END);
    IF TG_OP = 'INSERT' THEN
        NEW.forecast_category_manual := coalesce(NEW.forecast_category_manual,
                                                 nullif(NEW.forecast_category, told));
    ELSIF NEW.forecast_category_manual IS DISTINCT FROM OLD.forecast_category_manual THEN
        NULL;
    ELSIF NEW.forecast_category IS DISTINCT FROM OLD.forecast_category THEN
        NEW.forecast_category_manual := nullif(NEW.forecast_category, told);
    ELSIF NEW.stage_id <> OLD.stage_id THEN
        NEW.forecast_category_manual := NULL;
    END IF;
    IF NEW.forecast_category_manual NOT IN ('pipeline', 'best_case', 'commit', 'omitted') THEN
        PERFORM saleshub.refuse_row('deal', saleshub.fault(
            '/forecast_category', 'not_allowed',
            'must be pipeline, best_case, commit or omitted while the deal is open'));
    END IF;
    NEW.forecast_category := coalesce(NEW.forecast_category_manual, told);
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_forecast() IS
    'Trigger: the forecast category of a deal, as given while it is in its stage, else as the stage or the probability say; NULL, or what they say, takes back what was given';

CREATE FUNCTION saleshub.stage_forecast() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- Their own trigger says into what.
    UPDATE crm.deal d SET version = d.version
    WHERE d.org_id = NEW.org_id AND d.pipeline_id = NEW.pipeline_id AND d.stage_id = NEW.stage_id
        AND d.status = 'open' AND d.forecast_category_manual IS NULL;
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.stage_forecast() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.stage_forecast() IS
    'Trigger: the open deals of a stage follow its forecast category';

-- Adjustments

CREATE FUNCTION saleshub.forecast_adjustment_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.note := saleshub.clean(NEW.note);
    NEW.currency := coalesce(upper(saleshub.clean(NEW.currency)), saleshub.org_currency(NEW.org_id));
    NEW.made_at := now();
    NEW.made_by := saleshub.member_id();
    IF NEW.period_to <= NEW.period_from THEN
        faults := faults || saleshub.fault('/period_to', 'invalid', 'must be after period_from');
    END IF;
    IF NOT (NEW.amount BETWEEN 0 AND 1e15) THEN
        faults := faults || saleshub.fault('/amount', 'invalid', 'must be from 0 to 1e15');
    END IF;
    IF saleshub.currency_rate(NEW.org_id, NEW.currency, NEW.period_from) IS NULL THEN
        faults := faults || saleshub.fault('/currency', 'no_exchange_rate',
                                           'has no rate on the first day of the period');
    END IF;
    faults := faults || saleshub.too_long('/note', NEW.note, 1000)
        || saleshub.reference_faults(NEW.org_id, '/member_id', 'member', NEW.member_id);
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('forecast_adjustment', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.forecast_adjustment_check() IS
    'Trigger: what is wrong with an adjustment; who made it when';

CREATE FUNCTION saleshub.forecast_adjustment_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false,
        "required": ["member_id", "period_from", "period_to", "category"], "properties": {
        "member_id": {"type": "string", "format": "uuid"},
        "period_from": {"type": "string", "format": "date"},
        "period_to": {"type": "string", "format": "date"},
        "category": {"type": "string", "enum": ["commit", "best_case"]},
        "amount": {"type": ["number", "string", "null"], "maxLength": 40},
        "currency": {"type": ["string", "null"], "maxLength": 3},
        "note": {"type": ["string", "null"], "maxLength": 1000}}}'::jsonb;
COMMENT ON FUNCTION saleshub.forecast_adjustment_schema() IS 'JSON Schema of an adjustment';

CREATE FUNCTION saleshub.forecast_adjustment_json(adjustment jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_object(
        'id', adjustment -> 'forecast_adjustment_id', 'member_id', adjustment -> 'member_id',
        'period_from', adjustment -> 'period_from', 'period_to', adjustment -> 'period_to',
        'category', adjustment -> 'category', 'amount', saleshub.money_json(
            (adjustment ->> 'amount')::numeric, adjustment ->> 'currency'),
        'note', adjustment -> 'note', 'made_by', adjustment -> 'made_by',
        'made_at', saleshub.utc((adjustment ->> 'made_at')::timestamptz));
COMMENT ON FUNCTION saleshub.forecast_adjustment_json(jsonb) IS 'An adjustment as the API shows it';

CREATE FUNCTION crm.forecast_adjust(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    made jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.forecast_adjustment_schema(), body);
    IF body ->> 'amount' !~ '^\d{1,16}(\.\d{1,20})?$' THEN
        PERFORM saleshub.refuse_row('forecast_adjustment', saleshub.fault(
            '/amount', 'invalid', 'must be a number from 0 to 1e15'));
    END IF;
    INSERT INTO crm.forecast_adjustment AS a (member_id, period_from, period_to, category, amount,
                                              currency, note)
    SELECT b.member_id, b.period_from, b.period_to, b.category, b.amount, b.currency, b.note
    FROM jsonb_to_record(body) AS b (member_id uuid, period_from date, period_to date,
                                     category text, amount numeric, currency text, note text)
    RETURNING to_jsonb(a) INTO made;
    PERFORM saleshub.reply(201);
    RETURN saleshub.forecast_adjustment_json(made);
END;
$$;
COMMENT ON FUNCTION crm.forecast_adjust(jsonb) IS
    'Says what is expected of a member in a period instead of the sum of its deals: {member_id, period_from, period_to (exclusive), category commit or best_case, amount, currency, note}; without an amount the former one is taken back. For admins and managers; former ones stay';

CREATE FUNCTION crm.forecast_adjustment_list(
    period_from date DEFAULT NULL, period_to date DEFAULT NULL, member_id uuid DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('next_cursor', NULL, 'data', (
        SELECT coalesce(jsonb_agg(saleshub.forecast_adjustment_json(to_jsonb(a))
                                  ORDER BY a.forecast_adjustment_id DESC), '[]')
        FROM (SELECT * FROM crm.forecast_adjustment a
              WHERE a.org_id = saleshub.org_id()
                  AND (forecast_adjustment_list.period_from IS NULL
                       OR a.period_from = forecast_adjustment_list.period_from)
                  AND (forecast_adjustment_list.period_to IS NULL
                       OR a.period_to = forecast_adjustment_list.period_to)
                  AND (forecast_adjustment_list.member_id IS NULL
                       OR a.member_id = forecast_adjustment_list.member_id)
              ORDER BY a.forecast_adjustment_id DESC LIMIT 1000) a));
END;
$$;
COMMENT ON FUNCTION crm.forecast_adjustment_list(date, date, uuid) IS
    'The adjustments of a period or member, the newest first, 1000 at most';
