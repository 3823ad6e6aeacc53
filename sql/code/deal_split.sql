-- Who has which part in a deal.

CREATE FUNCTION saleshub.deal_split_hold() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    -- Who changes the parts of a deal at the same time waits, and then sees the others.
    PERFORM FROM crm.deal d
    WHERE d.org_id = NEW.org_id AND d.deal_id = NEW.deal_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        faults := saleshub.fault('/deal_id', 'not_found', 'names no deal');
    END IF;
    IF NOT (NEW.share > 0 AND NEW.share <= 100 AND scale(NEW.share) <= 4) THEN
        faults := faults || saleshub.fault('/share', 'invalid',
            'must be above 0 and up to 100, with four decimals at most');
    END IF;
    IF TG_OP = 'INSERT' OR NEW.member_id <> OLD.member_id THEN
        faults := faults || saleshub.reference_faults(NEW.org_id, '/member_id', 'member', NEW.member_id);
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('deal_split', faults);
    END IF;
    RETURN NEW;
END;
$$;
ALTER FUNCTION saleshub.deal_split_hold() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.deal_split_hold() IS
    'Trigger: holds the deal whose parts change, and refuses what is wrong with one';

CREATE FUNCTION saleshub.deal_split_whole() RETURNS trigger
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    whose record := coalesce(NEW, OLD);
    parts numeric;
BEGIN
    SELECT sum(s.share) INTO parts
    FROM crm.deal_split s
    WHERE s.org_id = whose.org_id AND s.deal_id = whose.deal_id AND s.deleted_at IS NULL;
    IF parts <> 100 THEN
        PERFORM saleshub.raise('23514', format('the parts of a deal are %s %% together, not 100 %%',
                                               trim_scale(parts)),
                               jsonb_build_object('code', 'invalid', 'errors', saleshub.fault(
                                   '/splits', 'not_whole', 'must be 100 together')));
    END IF;
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.deal_split_whole() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.deal_split_whole() IS
    'Trigger at commit: the parts of a deal are 100 together, or there are none';

CREATE FUNCTION saleshub.deal_splits_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "required": ["splits"], "properties": {
        "splits": {"type": "array", "maxItems": 50, "items": {"type": "object",
            "additionalProperties": false, "required": ["member_id", "share"], "properties": {
            "member_id": {"type": "string", "format": "uuid"},
            "share": {"type": ["number", "string"], "format": "decimal", "minimum": 0,
                      "maximum": 100}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.deal_splits_schema() IS 'JSON Schema of the parts of a deal';

CREATE FUNCTION crm.deal_splits_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM crm.deal d
                   WHERE d.org_id = saleshub.org_id() AND d.deal_id = deal_splits_get.id
                       AND d.deleted_at IS NULL) THEN
        PERFORM saleshub.record_missing('deal', id);
    END IF;
    RETURN jsonb_build_object('splits', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'member_id', s.member_id, 'member', m.name, 'share', trim_scale(s.share))
                   ORDER BY s.share DESC, m.name, s.member_id), '[]')
        FROM crm.deal_split s
        JOIN crm.member m ON m.org_id = s.org_id AND m.member_id = s.member_id
        WHERE s.org_id = saleshub.org_id() AND s.deal_id = deal_splits_get.id
            AND s.deleted_at IS NULL));
END;
$$;
COMMENT ON FUNCTION crm.deal_splits_get(uuid) IS
    'Who has which part in a deal, in percent; none: the owner has all';

CREATE FUNCTION crm.deal_splits_put(id uuid, body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.deal_splits_schema(), body);
    PERFORM saleshub.record_match(saleshub.deal_meta(), id, NULL);
    IF (SELECT count(*) <> count(DISTINCT s.member_id)
        FROM jsonb_to_recordset(body -> 'splits') AS s (member_id uuid))
    THEN
        PERFORM saleshub.refuse_row('deal_split', saleshub.fault(
            '/splits', 'duplicate', 'must name each member once'));
    END IF;
    UPDATE crm.deal_split t SET deleted_at = now()
    WHERE t.org_id = org AND t.deal_id = deal_splits_put.id AND t.deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM jsonb_to_recordset(body -> 'splits') AS s (member_id uuid)
                        WHERE s.member_id = t.member_id);
    UPDATE crm.deal_split t SET share = s.share
    FROM jsonb_to_recordset(body -> 'splits') AS s (member_id uuid, share numeric)
    WHERE t.org_id = org AND t.deal_id = deal_splits_put.id AND t.deleted_at IS NULL
        AND t.member_id = s.member_id AND t.share <> s.share;
    INSERT INTO crm.deal_split (deal_id, member_id, share)
    SELECT deal_splits_put.id, s.member_id, s.share
    FROM jsonb_to_recordset(body -> 'splits') AS s (member_id uuid, share numeric)
    WHERE NOT EXISTS (SELECT FROM crm.deal_split t
                      WHERE t.org_id = org AND t.deal_id = deal_splits_put.id
                          AND t.member_id = s.member_id AND t.deleted_at IS NULL);
    SET CONSTRAINTS crm.deal_split_70_whole IMMEDIATE;
    RETURN crm.deal_splits_get(id);
END;
$$;
COMMENT ON FUNCTION crm.deal_splits_put(uuid, jsonb) IS
    'Says who has which part in a deal: {splits: [{member_id, share}]}, 100 together; [] gives all to the owner';

CREATE FUNCTION saleshub.splits_at(as_of timestamptz)
    RETURNS TABLE (deal_id uuid, member_id uuid, share numeric)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT r.deal_id, r.member_id, r.share
    FROM crm.deal_split c
    LEFT JOIN LATERAL (SELECT * FROM saleshub.records_before('deal_split', as_of, NULL)
                       WHERE as_of IS NOT NULL) b ON b.id = c.deal_split_id,
    LATERAL jsonb_populate_record(c, coalesce(b.doc, '{}')) r
    WHERE c.org_id = saleshub.org_id() AND b.existed IS DISTINCT FROM false
        AND r.deleted_at IS NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.splits_at(timestamptz) IS
    'The parts in deals that the caller sees, now or as of an instant';

CREATE FUNCTION saleshub.routes_deal_split() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/deals/{id}/splits', 'crm.deal_splits_get(uuid)',
                           'Who has which part in a deal', 'deals', cache => 'strict',
                           answer => '"Splits"');
    PERFORM saleshub.route('PUT /v1/deals/{id}/splits', 'crm.deal_splits_put(uuid, jsonb)',
                           'Say who has which part in a deal', 'deals',
                           args => jsonb_build_object('body', saleshub.deal_splits_schema()),
                           answer => '"Splits"');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_deal_split() IS 'Registers the routes of parts in deals';
