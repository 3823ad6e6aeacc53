-- The lines of deals. A deal that has lines is worth their sum: triggers keep it so whatever writes
-- the lines, and refuse another amount.

CREATE FUNCTION saleshub.deal_lines() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '(SELECT coalesce(jsonb_agg(jsonb_build_object(''id'', l.deal_line_id,'
           ' ''product_id'', l.product_id, ''name'', l.name, ''quantity'', trim_scale(l.quantity),'
           ' ''unit_price'', saleshub.money_json(l.unit_price, t.currency),'
           ' ''discount'', trim_scale(l.discount),'
           ' ''amount'', saleshub.money_json(l.amount, t.currency))'
           ' ORDER BY l.position, l.deal_line_id), ''[]'') FROM crm.deal_line l'
           ' WHERE l.org_id = t.org_id AND l.deal_id = t.deal_id AND l.deleted_at IS NULL)';
COMMENT ON FUNCTION saleshub.deal_lines() IS
    'SQL text of the lines of a deal.';

CREATE FUNCTION saleshub.deal_lines_schema() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    price jsonb := saleshub.field_schema('{"type": "money"}');
BEGIN
    RETURN jsonb_build_object('type', 'array', 'maxItems', 200, 'items', jsonb_build_object(
        'type', 'object', 'additionalProperties', false,
        'properties', jsonb_build_object(
            'id', '{"type": ["string", "null"], "format": "uuid"}'::jsonb,
            'product_id', '{"type": ["string", "null"], "format": "uuid"}'::jsonb,
            'name', '{"type": ["string", "null"], "maxLength": 200}'::jsonb,
            'quantity', '{"type": ["number", "string", "null"], "format": "decimal"}'::jsonb,
            'unit_price', price,
            'discount', '{"type": ["number", "string", "null"], "format": "decimal",
                          "minimum": 0, "maximum": 100}'::jsonb)));
END;
$$;
COMMENT ON FUNCTION saleshub.deal_lines_schema() IS
    'JSON Schema of the lines in the body of a deal.';

CREATE FUNCTION saleshub.deal_line_amount(quantity numeric, unit_price numeric, discount numeric)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- Times 0.01, because dividing by 100 rounds and would round twice.
    RETURN pg_catalog.round(quantity * unit_price * (100 - discount) * 0.01, 2);
COMMENT ON FUNCTION saleshub.deal_line_amount(numeric, numeric, numeric) IS
    'What a line is worth, rounded once, to two places.';

CREATE FUNCTION saleshub.deal_line_faults(pointer text, line_name text, quantity numeric,
                                          unit_price numeric, discount numeric)
    RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    IF line_name IS NULL THEN
        faults := faults || saleshub.fault(pointer || '/name', 'required',
                                           'is required for a line without a product');
    END IF;
    faults := faults || saleshub.too_long(pointer || '/name', line_name, 200);
    IF NOT coalesce(quantity > 0 AND quantity <= 1e9, false) THEN
        faults := faults || saleshub.fault(pointer || '/quantity', 'invalid',
                                           'must be more than 0, and at most 1e9');
    END IF;
    IF NOT coalesce(unit_price >= 0 AND unit_price <= 1e12, false) THEN
        faults := faults || saleshub.fault(pointer || '/unit_price', 'invalid',
                                           'must be from 0 to 1e12');
    END IF;
    IF NOT coalesce(discount >= 0 AND discount <= 100, false) THEN
        faults := faults || saleshub.fault(pointer || '/discount', 'invalid',
                                           'must be from 0 to 100');
    END IF;
    RETURN faults;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_line_faults(text, text, numeric, numeric, numeric) IS
    'What is wrong with the values of a line that stands at the pointer.';

CREATE FUNCTION saleshub.deal_line_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    deal record;
    faults jsonb;
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.amount := saleshub.deal_line_amount(NEW.quantity, NEW.unit_price, NEW.discount);
    faults := saleshub.deal_line_faults('', NEW.name, NEW.quantity, NEW.unit_price, NEW.discount);
    IF TG_OP = 'UPDATE' AND NEW.deal_id <> OLD.deal_id THEN
        faults := faults || saleshub.fault('/deal_id', 'invalid', 'cannot change');
    END IF;

    -- Locked, so that the deal cannot be closed while its lines change.
    SELECT d.status, d.created_at INTO deal
    FROM crm.deal d
    WHERE d.org_id = NEW.org_id AND d.deal_id = NEW.deal_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        faults := faults || saleshub.fault('/deal_id', 'not_found',
                                           format('names no deal (%s)', NEW.deal_id));
    ELSIF deal.status <> 'open' AND deal.created_at <> now() THEN
        -- One that is recorded after the fact gets its lines in the transaction that makes it.
        faults := faults || saleshub.fault('/lines', 'deal_closed',
                                           'cannot change once the deal is won or lost');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('deal line', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_line_check() IS
    'Trigger: works out what a line is worth, and refuses it when it is wrong or its deal closed.';

CREATE FUNCTION saleshub.deal_line_changed() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    orgs uuid[];
    ids uuid[];
BEGIN
    SELECT array_agg(l.org_id), array_agg(l.deal_id)
    INTO orgs, ids
    FROM (SELECT DISTINCT org_id, deal_id FROM linerows ORDER BY org_id, deal_id) l;
    -- What this very transaction wrote has its new version already, and nobody saw another.
    UPDATE crm.deal d
    SET amount = s.amount,
        lines_version = d.lines_version + CASE WHEN d.updated_at = now() THEN 0 ELSE 1 END
    FROM unnest(orgs, ids) AS t (org_id, deal_id),
         LATERAL (SELECT sum(l.amount) AS amount FROM crm.deal_line l
                  WHERE l.org_id = t.org_id AND l.deal_id = t.deal_id
                      AND l.deleted_at IS NULL) s
    WHERE d.org_id = t.org_id AND d.deal_id = t.deal_id
        AND (d.amount IS DISTINCT FROM s.amount OR d.updated_at <> now());
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_line_changed() IS
    'Trigger: a deal is worth the sum of its lines, and a change of them is a change of the deal.';
ALTER FUNCTION saleshub.deal_line_changed() OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.deal_amount_faults(org_id uuid, deal_id uuid, amount numeric)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(l.amount) INTO total
    FROM crm.deal_line l
    WHERE l.org_id = deal_amount_faults.org_id AND l.deal_id = deal_amount_faults.deal_id
        AND l.deleted_at IS NULL;
    IF total IS NULL OR total = amount THEN
        RETURN '[]';
    END IF;
    RETURN saleshub.fault('/amount', 'has_lines',
                          format('is the sum of the lines, %s: change those', total));
END;
$$;
COMMENT ON FUNCTION saleshub.deal_amount_faults(uuid, uuid, numeric) IS
    'The fault of an amount that is not the sum of the lines of a deal that has some.';

CREATE FUNCTION saleshub.deal_lines_read(deal uuid, currency text, lines jsonb,
                                         OUT wanted jsonb, OUT total numeric)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    line jsonb;
    place bigint;
    at text;
    old record;
    product record;
    name text;
    quantity numeric;
    price numeric;
    discount numeric;
    faults jsonb := '[]';
BEGIN
    wanted := '[]';
    FOR line, place IN SELECT e.value, e.n FROM jsonb_array_elements(lines) WITH ORDINALITY e (value, n)
    LOOP
        at := '/lines/' || (place - 1);
        line := jsonb_strip_nulls(line);
        IF line ? 'id' THEN
            SELECT l.product_id INTO old FROM crm.deal_line l
            WHERE l.org_id = saleshub.org_id() AND l.deal_id = deal AND l.deleted_at IS NULL
                AND l.deal_line_id = (line ->> 'id')::uuid;
            IF NOT FOUND OR wanted @> jsonb_build_array(jsonb_build_object('id', line -> 'id')) THEN
                faults := faults || saleshub.fault(at || '/id', 'not_found',
                                                   'names no other line of the deal');
            END IF;
        ELSE
            SELECT NULL::uuid AS product_id INTO old;
        END IF;
        SELECT p.name, p.price, p.currency INTO product FROM crm.product p
        WHERE p.org_id = saleshub.org_id() AND p.product_id = (line ->> 'product_id')::uuid
            AND (p.deleted_at IS NULL OR p.product_id = old.product_id);
        IF NOT FOUND AND line ? 'product_id' THEN
            faults := faults || saleshub.fault(at || '/product_id', 'not_found', format(
                'names no product (%s)', line ->> 'product_id'));
        END IF;
        name := coalesce(saleshub.clean(line ->> 'name'), product.name);
        quantity := coalesce((line ->> 'quantity')::numeric, 1);
        discount := coalesce((line ->> 'discount')::numeric, 0);
        price := coalesce(saleshub.money_amount(line -> 'unit_price'),
                          CASE WHEN product.currency = currency THEN product.price END);
        IF upper(line #>> '{unit_price,currency}') <> currency THEN
            faults := faults || saleshub.fault(at || '/unit_price/currency', 'invalid',
                                               'is not the currency of the deal, ' || currency);
        END IF;
        IF price IS NULL AND (product.name IS NOT NULL OR NOT line ? 'product_id') THEN
            faults := faults || saleshub.fault(at || '/unit_price', 'required', CASE
                WHEN product.price IS NULL THEN 'is required'
                ELSE 'is required: the product is priced in ' || product.currency END);
        END IF;
        faults := faults || saleshub.deal_line_faults(
            at, CASE WHEN line ? 'product_id' THEN coalesce(name, '?') ELSE name END, quantity,
            coalesce(price, 0), discount);
        wanted := wanted || jsonb_build_object(
            'id', line -> 'id', 'product_id', line -> 'product_id', 'name', name,
            'quantity', quantity, 'unit_price', price, 'discount', discount, 'position', place);
    END LOOP;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('deal', faults);
    END IF;
    SELECT sum(saleshub.deal_line_amount(w.quantity, w.unit_price, w.discount)) INTO total
    FROM jsonb_to_recordset(wanted) AS w (quantity numeric, unit_price numeric, discount numeric);
END;
$$;
COMMENT ON FUNCTION saleshub.deal_lines_read(uuid, text, jsonb) IS
    'The lines of a body in full, what they leave out taken from their products, and their sum; or
all their faults.';

CREATE FUNCTION saleshub.deal_lines_write(deal uuid, wanted jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- One statement, so that the deal gets its new amount once.
    WITH w AS (
        SELECT r.*
        FROM jsonb_to_recordset(wanted) AS r (
            id uuid, product_id uuid, name text, quantity numeric, unit_price numeric,
            discount numeric, position integer)
    ), changed AS (
        UPDATE crm.deal_line l
        SET product_id = w.product_id, name = w.name, quantity = w.quantity,
            unit_price = w.unit_price, discount = w.discount, position = w.position
        FROM w
        WHERE l.org_id = saleshub.org_id() AND l.deal_id = deal AND l.deal_line_id = w.id
            AND ROW(l.product_id, l.name, l.quantity, l.unit_price, l.discount, l.position)
                IS DISTINCT FROM
                ROW(w.product_id, w.name, w.quantity, w.unit_price, w.discount, w.position)
    ), gone AS (
        UPDATE crm.deal_line l
        SET deleted_at = now()
        WHERE l.org_id = saleshub.org_id() AND l.deal_id = deal AND l.deleted_at IS NULL
            AND NOT EXISTS (SELECT FROM w WHERE w.id = l.deal_line_id)
    )
    INSERT INTO crm.deal_line (deal_id, product_id, name, quantity, unit_price, discount, position)
    SELECT deal, w.product_id, w.name, w.quantity, w.unit_price, w.discount, w.position
    FROM w
    WHERE w.id IS NULL
    ORDER BY w.position;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_lines_write(uuid, jsonb) IS
    'Makes the lines of a deal exactly these; those with an id are changed, the others are new.';

CREATE FUNCTION saleshub.deal_body_currency(body jsonb, otherwise text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN upper(coalesce(saleshub.clean(body #>> '{amount,currency}'),
                          saleshub.clean(body ->> 'currency'), otherwise));
END;
$$;
COMMENT ON FUNCTION saleshub.deal_body_currency(jsonb, text) IS
    'The currency that a body gives a deal.';

CREATE FUNCTION saleshub.deal_lines_allowed() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.field_rules('deal') ?| ARRAY['amount', 'lines'] THEN
        PERFORM saleshub.raise(
            '22023', '/lines may not be written by this role',
            jsonb_build_object('code', 'invalid_body', 'errors', saleshub.fault(
                '/lines', 'read_only', 'may not be written by this role')));
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.deal_lines_allowed() IS
    'Raises 22023 when the member may not write lines: nor may who may not write the amount, which is
their sum.';

CREATE FUNCTION crm.deal_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.deal_meta();
    lines record;
    money text;
    doc jsonb;
BEGIN
    IF coalesce(body -> 'lines', 'null') IN ('null', '[]') THEN
        RETURN saleshub.record_create(meta, body);
    END IF;
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.visible_meta(meta) -> 'create', body);
    PERFORM saleshub.deal_lines_allowed();
    money := saleshub.deal_body_currency(body, saleshub.org_currency(saleshub.org_id()));
    lines := saleshub.deal_lines_read(NULL, money, body -> 'lines');
    IF saleshub.money_amount(nullif(body -> 'amount', 'null')) <> lines.total THEN
        PERFORM saleshub.refuse_row('deal', saleshub.fault(
            '/amount', 'has_lines',
            format('is the sum of the lines, %s: leave it out', lines.total)));
    END IF;
    doc := saleshub.record_create(meta, body - 'lines' || jsonb_build_object(
        'amount', lines.total::text, 'currency', money));
    PERFORM saleshub.deal_lines_write((doc ->> 'id')::uuid, lines.wanted);
    doc := saleshub.record_get(meta, (doc ->> 'id')::uuid);
    PERFORM saleshub.record_created(meta, doc);
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.deal_create(jsonb) IS
    'Creates a deal with its lines and returns it.';

CREATE FUNCTION crm.deal_update(id uuid, patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    meta jsonb := saleshub.deal_meta();
    deal record;
    lines record;
BEGIN
    IF NOT coalesce(patch ? 'lines', false) THEN
        RETURN saleshub.record_update(meta, id, patch, if_match);
    END IF;
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.visible_meta(meta) -> 'patch', patch);
    PERFORM saleshub.deal_lines_allowed();
    PERFORM saleshub.record_match(meta, id, if_match);
    SELECT d.status, d.currency INTO deal
    FROM crm.deal d
    WHERE d.org_id = saleshub.org_id() AND d.deal_id = deal_update.id;
    lines := saleshub.deal_lines_read(id, saleshub.deal_body_currency(patch, deal.currency),
                                      coalesce(nullif(patch -> 'lines', 'null'), '[]'));
    -- The lines of a closed deal are frozen: they change before it closes, or after it opens.
    IF deal.status = 'open' THEN
        PERFORM saleshub.deal_lines_write(id, lines.wanted);
    END IF;
    PERFORM saleshub.record_update(meta, id, patch - 'lines', NULL);
    IF deal.status <> 'open' THEN
        PERFORM saleshub.deal_lines_write(id, lines.wanted);
    END IF;
    RETURN saleshub.record_get(meta, id);
END;
$$;
COMMENT ON FUNCTION crm.deal_update(uuid, jsonb, text) IS
    'Changes a deal by a merge patch, its lines as a whole, and returns it.';

CREATE FUNCTION crm.deal_line_history(id uuid, limit_ integer DEFAULT 50,
                                      cursor_ text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    stamp text := md5('deal lines' || id::text);
    before uuid;
BEGIN
    PERFORM saleshub.record_exists(saleshub.deal_meta(), id);
    IF cursor_ IS NOT NULL THEN
        before := saleshub.list_place(
            cursor_, stamp, '[{"cast": "uuid", "not_null": true}]') ->> 0;
    END IF;
    IF 'lines' = ANY (saleshub.hidden_fields('deal')) THEN
        RETURN saleshub.page_json('[]', page, stamp);
    END IF;
    RETURN saleshub.page_json((
        SELECT jsonb_agg(jsonb_build_object(
            'place', jsonb_build_array(c.change_id),
            'doc', jsonb_build_object(
                'id', c.change_id, 'line_id', c.entity_id, 'op', c.op, 'version', c.version,
                'changed', saleshub.change_json(c.changed), 'actor_id', c.actor_id,
                'request_id', c.request_id, 'at', saleshub.utc(c.at))) ORDER BY c.change_id DESC)
        FROM (
            SELECT l.*
            FROM crm.change_log l
            WHERE l.org_id = saleshub.org_id() AND l.entity = 'deal_line'
                AND l.entity_id IN (SELECT d.deal_line_id FROM crm.deal_line d
                                    WHERE d.org_id = saleshub.org_id()
                                        AND d.deal_id = deal_line_history.id)
                AND (before IS NULL OR l.change_id < before)
            ORDER BY l.change_id DESC
            LIMIT page + 1
        ) c
    ), page, stamp);
END;
$$;
COMMENT ON FUNCTION crm.deal_line_history(uuid, integer, text) IS
    'Every change of the lines of a deal, those taken out included, the newest first.';
