CREATE FUNCTION saleshub.deal_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "deal_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "name", "type": "text", "required": true, "sort": true, "not_null": true},
        {"name": "company_id", "type": "uuid"},
        {"name": "contact_id", "type": "uuid"},
        {"name": "pipeline_id", "type": "uuid"},
        {"name": "stage_id", "type": "uuid"},
        {"name": "currency", "type": "text", "max": 3},
        {"name": "amount", "type": "money", "currency": "currency", "sort": true},
        {"name": "amount_base", "type": "money", "read_only": true, "sort": true,
         "sql": "saleshub.money_json(t.amount_base, saleshub.org_currency(t.org_id))",
         "filter": true},
        {"name": "close_date", "type": "date", "sort": true},
        {"name": "probability", "type": "number", "sort": true, "not_null": true,
         "schema": {"maximum": 100}},
        {"name": "forecast_category", "type": "enum", "sort": true,
         "values": ["pipeline", "best_case", "commit", "closed", "omitted"]},
        {"name": "forecast_category_manual", "type": "enum",
         "values": ["pipeline", "best_case", "commit", "omitted"]},
        {"name": "probability_manual", "type": "number", "sort": true, "schema": {"maximum": 100}},
        {"name": "probability_model", "type": "number", "read_only": true, "sort": true},
        {"name": "probability_stage", "type": "number", "read_only": true, "sort": true,
         "not_null": true},
        {"name": "probability_version", "type": "integer", "read_only": true, "filter": false},
        {"name": "status", "type": "enum", "values": ["open", "won", "lost"], "sort": true,
         "not_null": true},
        {"name": "lost_reason", "type": "text", "max": 500},
        {"name": "opened_at", "type": "timestamp", "sort": true, "not_null": true},
        {"name": "closed_at", "type": "timestamp", "sort": true},
        {"name": "owner_id", "type": "uuid"},
        {"name": "lead_id", "type": "uuid"},
        {"name": "source", "type": "text", "max": 100, "sort": true},
        {"name": "product", "type": "text", "sort": true},
        {"name": "lines", "type": "lines", "filter": false},
        {"name": "tags", "type": "tags"},
        {"name": "custom", "type": "object"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.deal_fields() IS
    'The fields of a deal in the API.';

CREATE FUNCTION saleshub.deal_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('deal', 'deals', saleshub.deal_fields(),
        jsonb_build_object('owner', saleshub.member_included('owner_id'),
                           'company', saleshub.company_included('company_id'),
                           'contact', saleshub.contact_included('contact_id'),
                           'lines', saleshub.deal_lines()));
END;
$$;
COMMENT ON FUNCTION saleshub.deal_meta() IS
    'What the record functions need to know about deals.';

CREATE FUNCTION saleshub.stage_first(org_id uuid, pipeline_id uuid, kind text) RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT s.stage_id
        FROM crm.stage s
        WHERE s.org_id = stage_first.org_id AND s.pipeline_id = stage_first.pipeline_id
            AND s.kind = stage_first.kind AND s.deleted_at IS NULL
        ORDER BY s.position, s.stage_id
        LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION saleshub.stage_first(uuid, uuid, text) IS
    'The first stage of a kind in a pipeline; NULL when it has none.';

CREATE FUNCTION saleshub.deal_place(deal jsonb, was jsonb,
                                    OUT pipeline_id uuid, OUT stage_id uuid, OUT status text,
                                    OUT probability numeric, OUT faults jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := deal ->> 'org_id';
    wanted text := coalesce(deal ->> 'status', 'open');
    moved boolean := was IS NULL OR deal -> 'stage_id' <> was -> 'stage_id';
    turned boolean := deal -> 'status' <> coalesce(was -> 'status', 'null');
    stage record;
BEGIN
    faults := '[]';
    pipeline_id := deal ->> 'pipeline_id';
    stage_id := deal ->> 'stage_id';
    IF NOT moved AND (turned OR deal -> 'pipeline_id' <> was -> 'pipeline_id') THEN
        stage_id := NULL;
    END IF;
    IF stage_id IS NULL THEN
        pipeline_id := coalesce(pipeline_id, (
            SELECT p.pipeline_id FROM crm.pipeline p
            WHERE p.org_id = org AND p.is_default AND p.deleted_at IS NULL));
        stage_id := saleshub.stage_first(org, pipeline_id, wanted);
        IF stage_id IS NULL THEN
            faults := saleshub.fault(
                CASE WHEN deal ->> 'pipeline_id' IS NULL THEN '/stage_id' ELSE '/pipeline_id' END,
                'not_found', format('has no stage of kind "%s"', wanted));
            RETURN;
        END IF;
    END IF;

    SELECT s.pipeline_id, s.kind, s.probability INTO stage
    FROM crm.stage s
    WHERE s.org_id = org AND s.stage_id = deal_place.stage_id AND s.deleted_at IS NULL
        AND EXISTS (SELECT FROM crm.pipeline p
                    WHERE p.org_id = s.org_id AND p.pipeline_id = s.pipeline_id
                        AND p.deleted_at IS NULL);
    IF NOT FOUND THEN
        faults := saleshub.fault('/stage_id', 'not_found', format('names no stage (%s)', stage_id));
        RETURN;
    END IF;
    IF was IS NOT NULL AND deal -> 'pipeline_id' = was -> 'pipeline_id' THEN
        pipeline_id := stage.pipeline_id;
    END IF;
    pipeline_id := coalesce(pipeline_id, stage.pipeline_id);
    IF pipeline_id <> stage.pipeline_id THEN
        faults := faults || saleshub.fault('/stage_id', 'other_pipeline',
                                           'is a stage of another pipeline');
    END IF;
    IF turned AND wanted <> stage.kind THEN
        faults := faults || saleshub.fault('/status', 'other_stage', format(
            'does not go with the stage, which is of kind "%s"', stage.kind));
    END IF;
    status := stage.kind;
    probability := CASE stage.kind WHEN 'won' THEN 100 WHEN 'lost' THEN 0
                   ELSE stage.probability END;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_place(jsonb, jsonb) IS
    'Where a new or moved deal stands: a stage decides the status; without one the first of the
status in the pipeline is taken, and without a pipeline the default one.';

CREATE FUNCTION saleshub.currency_rate(org_id uuid, currency text, day date) RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF currency = saleshub.org_currency(org_id) THEN
        RETURN 1;
    END IF;
    RETURN (
        SELECT r.rate
        FROM crm.currency_rate r
        WHERE r.org_id = currency_rate.org_id AND r.currency = currency_rate.currency
            AND r.valid_from <= day
        ORDER BY r.valid_from DESC
        LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION saleshub.currency_rate(uuid, text, date) IS
    'What one unit of a currency was worth on a day in the currency of the organisation; or NULL.';

CREATE FUNCTION saleshub.org_day(org_id uuid, at timestamptz) RETURNS date
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (at AT TIME ZONE coalesce(
        (SELECT o.timezone FROM crm.org o WHERE o.org_id = org_day.org_id), 'UTC'))::date;
END;
$$;
COMMENT ON FUNCTION saleshub.org_day(uuid, timestamptz) IS
    'The day of an instant where the organisation is.';

CREATE FUNCTION saleshub.deal_term(status text, opened timestamptz, closed timestamptz,
                                   was_status text, was_closed timestamptz,
                                   OUT opened_at timestamptz, OUT closed_at timestamptz,
                                   OUT faults jsonb)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    given boolean := closed IS DISTINCT FROM was_closed;
BEGIN
    faults := '[]';
    opened_at := coalesce(opened, now());
    IF status = 'open' THEN
        IF given AND closed IS NOT NULL THEN
            faults := saleshub.fault('/closed_at', 'invalid', 'goes with a won or lost deal only');
        END IF;
        RETURN;
    END IF;

    closed_at := CASE WHEN closed IS NULL OR NOT given AND status IS DISTINCT FROM was_status
                 THEN now() ELSE closed END;
    -- A deal recorded after the fact, without saying when it began, did not begin today.
    IF was_status IS NULL AND opened_at = now() THEN
        opened_at := least(opened_at, closed_at);
    END IF;
    IF closed_at < opened_at THEN
        faults := saleshub.fault('/closed_at', 'invalid', 'is before opened_at');
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_term(text, timestamptz, timestamptz, text, timestamptz) IS
    'When a deal began and ended: when it is won or lost, now unless given; was_* is what the row
said before, NULL for a new deal.';

CREATE FUNCTION saleshub.deal_manual(given numeric, manual numeric, was numeric,
                                     was_manual numeric, moved boolean, stage numeric)
    RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF manual IS DISTINCT FROM was_manual THEN
        RETURN manual;
    ELSIF given IS DISTINCT FROM was THEN
        RETURN nullif(given, stage);
    ELSIF moved THEN
        RETURN NULL;
    END IF;
    RETURN manual;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_manual(numeric, numeric, numeric, numeric, boolean, numeric) IS
    'The chance that a member gave a deal: as probability_manual or as probability, other than what it was and than what the stage says; a deal that moves loses it.';

CREATE FUNCTION saleshub.deal_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fresh boolean := TG_OP = 'INSERT';
    place record;
    term record;
    checked jsonb;
    faults jsonb := '[]';
    gate jsonb := '[]';
    moved boolean := false;
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.lost_reason := saleshub.clean(NEW.lost_reason);
    NEW.source := saleshub.clean(NEW.source);
    NEW.product := saleshub.clean(NEW.product);
    NEW.tags := saleshub.tags_normal(NEW.tags);
    checked := saleshub.custom_check('deal', NEW.org_id, NEW.custom,
                                     CASE WHEN TG_OP = 'UPDATE' THEN OLD.custom END);
    NEW.custom := checked -> 'custom';
    faults := faults || (checked -> 'faults');
    NEW.currency := coalesce(upper(saleshub.clean(NEW.currency)),
                             saleshub.org_currency(NEW.org_id));

    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 200)
        || saleshub.too_long('/lost_reason', NEW.lost_reason, 500);
    IF NEW.currency !~ '^[A-Z]{3}$' THEN
        faults := faults || saleshub.fault('/currency', 'invalid',
                                           'is not a currency code of three letters');
    END IF;
    IF NOT (NEW.amount >= 0 AND NEW.amount <= 1e15) THEN
        faults := faults || saleshub.fault('/amount', 'invalid', 'must be from 0 to 1e15');
    END IF;
    IF NOT fresh AND NEW.amount IS DISTINCT FROM OLD.amount THEN
        faults := faults || saleshub.deal_amount_faults(NEW.org_id, NEW.deal_id, NEW.amount);
    END IF;
    IF NOT (NEW.probability BETWEEN 0 AND 100) THEN
        faults := faults || saleshub.fault('/probability', 'invalid', 'must be from 0 to 100');
    END IF;

    IF fresh OR NEW.stage_id IS DISTINCT FROM OLD.stage_id OR NEW.status IS DISTINCT FROM OLD.status
       OR NEW.pipeline_id IS DISTINCT FROM OLD.pipeline_id
    THEN
        IF NEW.status IS NOT NULL AND NEW.status NOT IN ('open', 'won', 'lost') THEN
            faults := faults || saleshub.fault('/status', 'not_allowed',
                                               'is not a status of deals');
        ELSE
            place := saleshub.deal_place(
                jsonb_build_object('org_id', NEW.org_id, 'pipeline_id', NEW.pipeline_id,
                                   'stage_id', NEW.stage_id, 'status', NEW.status),
                CASE WHEN NOT fresh THEN
                    jsonb_build_object('pipeline_id', OLD.pipeline_id, 'stage_id', OLD.stage_id,
                                       'status', OLD.status) END);
            faults := faults || place.faults;
            NEW.pipeline_id := place.pipeline_id;
            NEW.stage_id := place.stage_id;
            NEW.status := place.status;
            NEW.probability_stage := place.probability;
            moved := true;
        END IF;
    END IF;
    NEW.probability_stage := coalesce(NEW.probability_stage, 0);
    NEW.probability_manual := saleshub.deal_manual(
        NEW.probability, NEW.probability_manual,
        CASE WHEN NOT fresh THEN OLD.probability END,
        CASE WHEN NOT fresh THEN OLD.probability_manual END,
        moved, NEW.probability_stage);
    -- what the model says is put in by the next trigger
    NEW.probability := CASE NEW.status WHEN 'won' THEN 100 WHEN 'lost' THEN 0
                       ELSE coalesce(NEW.probability_manual, NEW.probability_stage) END;

    term := saleshub.deal_term(NEW.status, NEW.opened_at, NEW.closed_at,
                               CASE WHEN NOT fresh THEN OLD.status END,
                               CASE WHEN NOT fresh THEN OLD.closed_at END);
    NEW.opened_at := term.opened_at;
    NEW.closed_at := term.closed_at;
    faults := faults || term.faults;

    IF fresh OR NEW.owner_id IS DISTINCT FROM OLD.owner_id THEN
        faults := faults
            || saleshub.reference_faults(NEW.org_id, '/owner_id', 'member', NEW.owner_id);
    END IF;
    -- What a deal names already may be in the bin. The lead first, as conversions lock.
    IF fresh OR NEW.lead_id IS DISTINCT FROM OLD.lead_id THEN
        faults := faults || saleshub.reference_held(NEW.org_id, '/lead_id', 'lead', NEW.lead_id);
    END IF;
    IF fresh OR NEW.company_id IS DISTINCT FROM OLD.company_id THEN
        faults := faults
            || saleshub.reference_held(NEW.org_id, '/company_id', 'company', NEW.company_id);
    END IF;
    IF fresh OR NEW.contact_id IS DISTINCT FROM OLD.contact_id THEN
        faults := faults
            || saleshub.reference_held(NEW.org_id, '/contact_id', 'contact', NEW.contact_id);
    END IF;
    IF (fresh OR NEW.stage_id <> OLD.stage_id) AND EXISTS (
        SELECT FROM crm.stage s
        WHERE s.org_id = NEW.org_id AND s.stage_id = NEW.stage_id
            AND (s.required_fields <> '{}' OR s.gate IS NOT NULL))
    THEN
        gate := saleshub.stage_gate_faults(NEW.org_id, NEW.stage_id, to_jsonb(NEW));
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('deal', faults || gate);
    ELSIF gate <> '[]' THEN
        PERFORM saleshub.refuse_gate(gate);
    END IF;

    IF fresh OR ROW(NEW.amount, NEW.currency, NEW.status, NEW.closed_at)
                IS DISTINCT FROM ROW(OLD.amount, OLD.currency, OLD.status, OLD.closed_at)
    THEN
        NEW.amount_base := saleshub.deal_base(NEW.org_id, NEW.amount, NEW.currency,
                                              coalesce(NEW.closed_at, now()));
    ELSE
        NEW.amount_base := OLD.amount_base;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_check() IS
    'Trigger: brings a deal into its normal form, keeps stage and status together, derives
probability, closing time and base amount, and refuses what is wrong with it.';

CREATE FUNCTION saleshub.deal_base(org_id uuid, amount numeric, currency text, at timestamptz)
    RETURNS numeric
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    day date;
    rate numeric;
    said text;
BEGIN
    IF amount IS NULL OR currency = saleshub.org_currency(org_id) THEN
        RETURN amount;
    END IF;
    day := saleshub.org_day(org_id, at);
    rate := saleshub.currency_rate(org_id, currency, day);
    IF rate IS NULL THEN
        said := to_char(day, 'YYYY-MM-DD');
        PERFORM saleshub.raise(
            '22023', format('no exchange rate from %s for %s', currency, said),
            jsonb_build_object('code', 'no_exchange_rate', 'errors', saleshub.fault(
                '/currency', 'no_exchange_rate',
                format('has no rate to %s on %s', saleshub.org_currency(org_id), said))),
            format('Insert the rate of %s into crm.currency_rate, valid from %s or before.',
                   currency, said));
    END IF;
    RETURN amount * rate;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_base(uuid, numeric, text, timestamptz) IS
    'An amount in the organisation''s currency by the rate of the day; 22023 when there is none.';

CREATE FUNCTION saleshub.stage_entered(deals jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.stage_history (org_id, deal_id, pipeline_id, stage_id, status, amount, currency,
                                   probability, close_date, owner_id, entered_at, actor_id)
    SELECT d.org_id, d.deal_id, d.pipeline_id, d.stage_id, d.status, d.amount, d.currency,
           d.probability, d.close_date, d.owner_id,
           greatest(d.at, (SELECT max(h.left_at) FROM crm.stage_history h
                           WHERE h.org_id = d.org_id AND h.deal_id = d.deal_id)),
           saleshub.member_id()
    FROM jsonb_to_recordset(deals) AS d (
        org_id uuid, deal_id uuid, pipeline_id uuid, stage_id uuid, status text, amount numeric,
        currency text, probability numeric, close_date date, owner_id uuid, at timestamptz);
END;
$$;
COMMENT ON FUNCTION saleshub.stage_entered(jsonb) IS
    'Opens the stage interval that these deals are in now, where the one before ended. They come as JSON
because a statement on distributed tables cannot read a transition table.';

CREATE FUNCTION saleshub.deal_stage_entered() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    deals jsonb;
BEGIN
    SELECT jsonb_agg(to_jsonb(n) || jsonb_build_object('at', coalesce(n.closed_at, n.opened_at)))
    INTO deals
    FROM newrows n;
    IF deals IS NOT NULL THEN
        PERFORM saleshub.stage_entered(deals);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_stage_entered() IS
    'Trigger: opens the first stage interval of new deals.';
ALTER FUNCTION saleshub.deal_stage_entered() OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.stage_moved(org uuid, deal uuid, opened timestamptz, closed timestamptz)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[] := ARRAY(
        SELECT h.stage_history_id
        FROM crm.stage_history h
        WHERE h.org_id = org AND h.deal_id = deal
        ORDER BY h.entered_at, h.left_at, h.stage_history_id);
    last int := cardinality(ids);
BEGIN
    UPDATE crm.stage_history h
    SET entered_at = CASE WHEN closed IS NOT NULL AND p.n = last THEN closed
                          WHEN p.n = 1 THEN least(opened, closed)
                          ELSE least(greatest(h.entered_at, opened), closed) END,
        left_at = CASE WHEN p.n = last THEN NULL
                       WHEN p.n = last - 1 AND closed IS NOT NULL THEN closed
                       ELSE least(greatest(h.left_at, opened), closed) END
    FROM unnest(ids) WITH ORDINALITY AS p (id, n)
    WHERE h.org_id = org AND h.stage_history_id = p.id;
END;
$$;
COMMENT ON FUNCTION saleshub.stage_moved(uuid, uuid, timestamptz, timestamptz) IS
    'Brings the stage intervals of a deal in line with when it now is said to have opened and closed.';

CREATE FUNCTION saleshub.deal_stage_changed() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    deals jsonb;
    orgs uuid[];
    ids uuid[];
    times timestamptz[];
    closings boolean[];
BEGIN
    PERFORM saleshub.stage_moved(o.org_id, o.deal_id, n.opened_at, n.closed_at)
    FROM newrows n
    JOIN oldrows o ON o.org_id = n.org_id AND o.deal_id = n.deal_id
    WHERE n.stage_id = o.stage_id AND (n.opened_at <> o.opened_at OR n.closed_at <> o.closed_at);
    SELECT jsonb_agg(to_jsonb(n) || jsonb_build_object('at', t.at)),
           array_agg(n.org_id), array_agg(n.deal_id), array_agg(t.at),
           array_agg(n.closed_at IS NOT NULL)
    INTO deals, orgs, ids, times, closings
    FROM newrows n
    JOIN oldrows o ON o.org_id = n.org_id AND o.deal_id = n.deal_id,
    LATERAL (SELECT coalesce(n.closed_at, now()) AS at) t
    WHERE n.stage_id <> o.stage_id;
    IF deals IS NULL THEN
        RETURN NULL;
    END IF;
    -- Arrays, of which the planner knows the length: one deal is found by index. Who closes a deal
    -- as of an earlier time says that it was in no other stage since.
    UPDATE crm.stage_history h
    SET entered_at = CASE WHEN d.closed THEN least(h.entered_at, d.at) ELSE h.entered_at END,
        left_at = CASE WHEN d.closed THEN least(h.left_at, d.at)
                       ELSE greatest(h.entered_at, d.at) END
    FROM unnest(orgs, ids, times, closings) AS d (org_id, deal_id, at, closed)
    WHERE h.org_id = d.org_id AND h.deal_id = d.deal_id
        AND (h.left_at IS NULL OR d.closed AND h.left_at > d.at);
    PERFORM saleshub.stage_entered(deals);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_stage_changed() IS
    'Trigger: closes the stage interval of deals whose stage changed, and opens the next; when a deal opened or closed is corrected there, too.';
ALTER FUNCTION saleshub.deal_stage_changed() OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.deal_stage_schema() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    fields jsonb := saleshub.deal_meta() #> '{patch,properties}';
BEGIN
    RETURN jsonb_build_object(
        'type', 'object',
        'properties', jsonb_build_object(
            'stage_id', '{"type": "string", "format": "uuid"}'::jsonb,
            'lost_reason', fields -> 'lost_reason',
            'amount', fields -> 'amount',
            'close_date', fields -> 'close_date',
            'probability', fields -> 'probability',
            'closed_at', fields -> 'closed_at'),
        'required', '["stage_id"]'::jsonb,
        'additionalProperties', false);
END;
$$;
COMMENT ON FUNCTION saleshub.deal_stage_schema() IS
    'JSON Schema of the body that moves a deal to another stage.';

CREATE FUNCTION crm.deal_stage(id uuid, body jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.check_body(saleshub.deal_stage_schema(), body);
    RETURN saleshub.record_update(saleshub.deal_meta(), id, body, if_match);
END;
$$;
COMMENT ON FUNCTION crm.deal_stage(uuid, jsonb, text) IS
    'Moves a deal to another stage, with what else changes on the way, and returns it.';
