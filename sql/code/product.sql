CREATE FUNCTION saleshub.product_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "product_id", "type": "uuid", "read_only": true, "not_null": true},
        {"name": "name", "type": "text", "required": true, "sort": true, "not_null": true},
        {"name": "sku", "type": "text", "max": 100, "sort": true},
        {"name": "description", "type": "text", "max": 10000, "filter": false},
        {"name": "currency", "type": "text", "max": 3, "not_null": true},
        {"name": "price", "type": "money", "currency": "currency", "sort": true},
        {"name": "active", "type": "boolean", "not_null": true},
        {"name": "tags", "type": "tags"},
        {"name": "custom", "type": "object"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.product_fields() IS
    'The fields of a product in the API.';

CREATE FUNCTION saleshub.product_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('product', 'products', saleshub.product_fields(), '{}');
END;
$$;
COMMENT ON FUNCTION saleshub.product_meta() IS
    'What the record functions need to know about products.';

CREATE FUNCTION saleshub.product_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    checked jsonb;
    faults jsonb := '[]';
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    NEW.sku := saleshub.clean(NEW.sku);
    NEW.description := nullif(NEW.description, '');
    NEW.active := coalesce(NEW.active, true);
    NEW.tags := saleshub.tags_normal(NEW.tags);
    checked := saleshub.custom_check('product', NEW.org_id, NEW.custom,
                                     CASE WHEN TG_OP = 'UPDATE' THEN OLD.custom END);
    NEW.custom := checked -> 'custom';
    faults := faults || (checked -> 'faults');
    NEW.currency := coalesce(upper(saleshub.clean(NEW.currency)),
                             saleshub.org_currency(NEW.org_id));

    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 200)
        || saleshub.too_long('/sku', NEW.sku, 100);
    IF NEW.currency !~ '^[A-Z]{3}$' THEN
        faults := faults || saleshub.fault('/currency', 'invalid',
                                           'is not a currency code of three letters');
    END IF;
    IF NOT (NEW.price >= 0 AND NEW.price <= 1e15) THEN
        faults := faults || saleshub.fault('/price', 'invalid', 'must be from 0 to 1e15');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('product', faults);
    END IF;

    -- The unique index says so as well, but not where in the body.
    IF NEW.sku IS NOT NULL AND NEW.deleted_at IS NULL AND EXISTS (
        SELECT FROM crm.product p
        WHERE p.org_id = NEW.org_id AND lower(p.sku) = lower(NEW.sku) AND p.deleted_at IS NULL
            AND p.product_id <> NEW.product_id)
    THEN
        PERFORM saleshub.raise(
            '23505', format('another product has the sku "%s"', NEW.sku),
            jsonb_build_object('code', 'conflict', 'errors', saleshub.fault(
                '/sku', 'taken', 'belongs to another product')));
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.product_check() IS
    'Trigger: brings a product into its normal form and refuses what is wrong with it.';
