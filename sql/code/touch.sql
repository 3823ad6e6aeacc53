-- Touches: that somebody met us by a source or campaign.

CREATE FUNCTION saleshub.touch_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.source := saleshub.clean(NEW.source);
    NEW.campaign := saleshub.clean(NEW.campaign);
    NEW.at := coalesce(NEW.at, now());
    NEW.created_at := now();
    NEW.created_by := saleshub.member_id();
    IF NEW.source IS NULL THEN
        faults := saleshub.fault('/source', 'required', 'is required');
    END IF;
    IF NOT isfinite(NEW.at) OR NEW.at > now() + interval '1 day' THEN
        faults := faults || saleshub.fault('/at', 'invalid', 'must not lie in the future');
    END IF;
    faults := faults || saleshub.too_long('/source', NEW.source, 100)
        || saleshub.too_long('/campaign', NEW.campaign, 200);
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('touch', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.touch_check() IS
    'Trigger: brings a touch into its normal form and refuses what is wrong with it';

CREATE FUNCTION saleshub.touch_link_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb;
BEGIN
    IF NEW.entity NOT IN ('lead', 'contact', 'company', 'deal') THEN
        faults := saleshub.fault('/links', 'not_allowed', format('cannot be to a "%s"', NEW.entity));
    ELSE
        faults := saleshub.reference_held(NEW.org_id, '/links', NEW.entity, NEW.entity_id);
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('touch_link', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.touch_link_check() IS
    'Trigger: a touch is about a lead, contact, company or deal that is there';

CREATE FUNCTION saleshub.touch_schema() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{"type": "object", "additionalProperties": false, "required": ["source", "links"],
        "properties": {
        "source": {"type": "string", "maxLength": 100},
        "campaign": {"type": ["string", "null"], "maxLength": 200},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "links": {"type": "array", "maxItems": 20, "items": {"type": "object",
            "additionalProperties": false, "required": ["type", "id"], "properties": {
            "type": {"type": "string", "enum": ["lead", "contact", "company", "deal"]},
            "id": {"type": "string", "format": "uuid"}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.touch_schema() IS 'JSON Schema of a touch';

CREATE FUNCTION saleshub.touch_json(touch jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'id', touch -> 'touch_id', 'source', touch -> 'source', 'campaign', touch -> 'campaign',
        'at', saleshub.utc((touch ->> 'at')::timestamptz),
        'created_at', saleshub.utc((touch ->> 'created_at')::timestamptz),
        'created_by', touch -> 'created_by',
        'links', (SELECT coalesce(jsonb_agg(jsonb_build_object('type', l.entity, 'id', l.entity_id)
                                            ORDER BY l.entity, l.entity_id), '[]')
                  FROM crm.touch_link l
                  WHERE l.org_id = saleshub.org_id() AND l.touch_id = (touch ->> 'touch_id')::uuid));
END;
$$;
COMMENT ON FUNCTION saleshub.touch_json(jsonb) IS 'A touch as the API shows it';

CREATE FUNCTION crm.touch_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    made jsonb;
BEGIN
    PERFORM saleshub.record_require_write();
    PERFORM saleshub.check_body(saleshub.touch_schema(), body);
    IF body -> 'links' = '[]' THEN
        PERFORM saleshub.refuse_row('touch', saleshub.fault('/links', 'required', 'must name a record'));
    END IF;
    INSERT INTO crm.touch AS t (source, campaign, at)
    SELECT b.source, b.campaign, b.at
    FROM jsonb_to_record(body) AS b (source text, campaign text, at timestamptz)
    RETURNING to_jsonb(t) INTO made;
    INSERT INTO crm.touch_link (touch_id, entity, entity_id)
    SELECT (made ->> 'touch_id')::uuid, l.type, l.id
    FROM jsonb_to_recordset(body -> 'links') AS l (type text, id uuid)
    ON CONFLICT DO NOTHING;
    PERFORM saleshub.reply(201);
    RETURN saleshub.touch_json(made);
END;
$$;
COMMENT ON FUNCTION crm.touch_create(jsonb) IS
    'Notes that somebody met us: {source, campaign, at, links: [{type, id}]}, about leads, contacts, companies or deals';

CREATE FUNCTION crm.touch_list(type text, id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('next_cursor', NULL, 'data', (
        SELECT coalesce(jsonb_agg(saleshub.touch_json(to_jsonb(t)) ORDER BY t.at, t.touch_id), '[]')
        FROM (SELECT t.*
              FROM crm.touch_link l
              JOIN crm.touch t ON t.org_id = l.org_id AND t.touch_id = l.touch_id
              WHERE l.org_id = saleshub.org_id() AND l.entity = touch_list.type
                  AND l.entity_id = touch_list.id
              ORDER BY t.at, t.touch_id LIMIT 1000) t));
END;
$$;
COMMENT ON FUNCTION crm.touch_list(text, uuid) IS
    'The touches about a record (type lead, contact, company or deal), the first 1000';

CREATE FUNCTION crm.touch_delete(id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.record_require_write();
    DELETE FROM crm.touch t WHERE t.org_id = saleshub.org_id() AND t.touch_id = touch_delete.id;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('touch', id);
    END IF;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.touch_delete(uuid) IS 'Removes a touch that was noted by mistake';

CREATE FUNCTION saleshub.touches_let_go(org uuid, noun text, ids uuid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    touches uuid[];
BEGIN
    WITH gone AS (
        DELETE FROM crm.touch_link l
        WHERE l.org_id = org AND l.entity_id = ANY (ids) AND l.entity = coalesce(noun, l.entity)
        RETURNING l.touch_id
    )
    SELECT array_agg(DISTINCT g.touch_id) INTO touches FROM gone g;
    DELETE FROM crm.touch t
    WHERE t.org_id = org AND t.touch_id = ANY (touches)
        AND NOT EXISTS (SELECT FROM crm.touch_link l
                        WHERE l.org_id = org AND l.touch_id = t.touch_id);
END;
$$;
ALTER FUNCTION saleshub.touches_let_go(uuid, text, uuid[]) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.touches_let_go(uuid, text, uuid[]) IS
    'Takes records (of a kind, or any) out of touches, and touches away that are about nothing else';

CREATE FUNCTION saleshub.routes_touch() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('POST /v1/touches', 'crm.touch_create(jsonb)', 'Note a touch',
                           'analytics', success => 201, idempotent => true,
                           args => jsonb_build_object('body', saleshub.touch_schema()),
                           answer => '"Touch"');
    PERFORM saleshub.route('GET /v1/touches', 'crm.touch_list(text, uuid)',
                           'The touches about a record', 'analytics',
                           args => '{"type": {"enum": ["lead", "contact", "company", "deal"]}}',
                           answer => saleshub.page_shape('"Touch"'));
    PERFORM saleshub.route('DELETE /v1/touches/{id}', 'crm.touch_delete(uuid)', 'Remove a touch',
                           'analytics', success => 204);
END;
$$;
COMMENT ON FUNCTION saleshub.routes_touch() IS 'Registers the routes of touches';
