CREATE FUNCTION saleshub.activity_fields() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '[
        {"name": "id", "column": "activity_id", "type": "uuid", "read_only": true,
         "not_null": true},
        {"name": "type", "type": "enum", "values": ["task", "call", "meeting", "email", "note"],
         "required": true, "sort": true, "not_null": true},
        {"name": "subject", "type": "text", "max": 300, "required": true, "sort": true,
         "not_null": true},
        {"name": "body", "type": "text", "max": 1048576, "filter": false},
        {"name": "due_at", "type": "timestamp", "sort": true},
        {"name": "done_at", "type": "timestamp", "sort": true},
        {"name": "outcome", "type": "text"},
        {"name": "owner_id", "type": "uuid"},
        {"name": "priority", "type": "enum", "values": ["low", "normal", "high"]},
        {"name": "starts_at", "type": "timestamp", "sort": true},
        {"name": "ends_at", "type": "timestamp", "filter": false},
        {"name": "location", "type": "text", "max": 300},
        {"name": "direction", "type": "enum", "values": ["inbound", "outbound"]},
        {"name": "duration_s", "type": "integer"},
        {"name": "from", "column": "email_from", "type": "text", "max": 254,
         "schema": {"format": "email"}},
        {"name": "to", "column": "email_to", "type": "tags",
         "schema": {"items": {"type": "string", "maxLength": 254, "format": "email"}}},
        {"name": "cc", "column": "email_cc", "type": "tags", "filter": false,
         "schema": {"items": {"type": "string", "maxLength": 254, "format": "email"}}},
        {"name": "message_id", "type": "text", "max": 500},
        {"name": "in_reply_to", "type": "text", "max": 500},
        {"name": "links", "type": "links"},
        {"name": "reminders", "type": "object",
         "set": {"reminders": "coalesce((%s)::jsonb, ''[]'')"},
         "schema": {"type": "array", "maxItems": 20, "items": {
             "type": "object", "additionalProperties": false, "properties": {
                 "minutes_before": {"type": "integer", "minimum": 0, "maximum": 527040},
                 "at": {"type": "string", "format": "date-time"},
                 "member_id": {"type": ["string", "null"], "format": "uuid"}}}}},
        {"name": "recurrence", "type": "text", "max": 1000, "filter": false},
        {"name": "timezone", "type": "text", "max": 64, "filter": false},
        {"name": "series_id", "type": "uuid", "read_only": true},
        {"name": "series_no", "type": "integer", "read_only": true, "filter": false},
        {"name": "custom", "type": "object"},
        {"name": "lead_id", "type": "uuid", "read_only": true,
         "only_filter": true, "linked": "lead"},
        {"name": "contact_id", "type": "uuid", "read_only": true,
         "only_filter": true, "linked": "contact"},
        {"name": "company_id", "type": "uuid", "read_only": true,
         "only_filter": true, "linked": "company"},
        {"name": "deal_id", "type": "uuid", "read_only": true,
         "only_filter": true, "linked": "deal"}
    ]'::jsonb;
COMMENT ON FUNCTION saleshub.activity_fields() IS
    'The fields of an activity in the API; the last four find those of a record.';

CREATE FUNCTION saleshub.activity_links() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '(SELECT coalesce(jsonb_agg(jsonb_build_object(''type'', l.entity, ''id'', l.entity_id)'
           ' ORDER BY l.entity, l.entity_id), ''[]'') FROM crm.activity_link l'
           ' WHERE l.org_id = t.org_id AND l.activity_id = t.activity_id)';
COMMENT ON FUNCTION saleshub.activity_links() IS
    'SQL text of the links of an activity.';

CREATE FUNCTION saleshub.activity_meta() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_meta('activity', 'activities', saleshub.activity_fields(),
        jsonb_build_object('owner', saleshub.member_included('owner_id'),
                           'links', saleshub.activity_links()));
END;
$$;
COMMENT ON FUNCTION saleshub.activity_meta() IS
    'What the record functions need to know about activities.';

CREATE FUNCTION saleshub.activity_check() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_activity_check';
COMMENT ON FUNCTION saleshub.activity_check() IS
    'Trigger: brings an activity into its normal form and refuses what is wrong with it.';

CREATE FUNCTION saleshub.record_keep(org_id uuid, entity text, id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    CASE entity
        WHEN 'lead' THEN PERFORM FROM crm.lead r
            WHERE r.org_id = record_keep.org_id AND r.lead_id = record_keep.id FOR KEY SHARE;
        WHEN 'company' THEN PERFORM FROM crm.company r
            WHERE r.org_id = record_keep.org_id AND r.company_id = record_keep.id FOR KEY SHARE;
        WHEN 'contact' THEN PERFORM FROM crm.contact r
            WHERE r.org_id = record_keep.org_id AND r.contact_id = record_keep.id FOR KEY SHARE;
        WHEN 'deal' THEN PERFORM FROM crm.deal r
            WHERE r.org_id = record_keep.org_id AND r.deal_id = record_keep.id FOR KEY SHARE;
        ELSE NULL;
    END CASE;
END;
$$;
COMMENT ON FUNCTION saleshub.record_keep(uuid, text, uuid) IS
    'Holds a record for the rest of the transaction like a foreign key does: whoever converts the
lead, or undoes what made the record, comes before or after, not in between.';
ALTER FUNCTION saleshub.record_keep(uuid, text, uuid) OWNER TO saleshub_owner;

CREATE FUNCTION saleshub.activity_link_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb;
BEGIN
    IF NEW.entity NOT IN ('lead', 'contact', 'company', 'deal') THEN
        faults := saleshub.fault('/links', 'not_allowed',
                                 format('cannot be to a "%s"', NEW.entity));
    ELSE
        PERFORM saleshub.record_keep(NEW.org_id, NEW.entity, NEW.entity_id);
        faults := saleshub.reference_faults(NEW.org_id, '/links', NEW.entity, NEW.entity_id);
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('activity_link', faults);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_link_check() IS
    'Trigger: a link leads to a record of its organisation, of any kind; no foreign key says so.';

CREATE FUNCTION saleshub.activity_link_set(id uuid, links jsonb) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    bad jsonb := '[]';
    removed boolean;
BEGIN
    links := coalesce(nullif(links, 'null'), '[]');
    SELECT coalesce(jsonb_agg(fault -> 0 ORDER BY n), '[]') INTO bad
    FROM jsonb_array_elements(links) WITH ORDINALITY AS l (link, n),
         saleshub.reference_faults(saleshub.org_id(), '/links/' || (n - 1) || '/id',
                                   link ->> 'type', (link ->> 'id')::uuid) fault
    WHERE fault <> '[]'
        AND NOT EXISTS (
            SELECT FROM crm.activity_link k
            WHERE k.org_id = saleshub.org_id() AND k.activity_id = activity_link_set.id
                AND k.entity = link ->> 'type' AND k.entity_id = (link ->> 'id')::uuid);
    IF bad <> '[]' THEN
        PERFORM saleshub.refuse_row('activity', bad);
    END IF;

    DELETE FROM crm.activity_link k
    WHERE k.org_id = saleshub.org_id() AND k.activity_id = activity_link_set.id
        AND NOT links @> jsonb_build_array(jsonb_build_object('type', k.entity,
                                                              'id', k.entity_id));
    removed := FOUND;
    -- Leads first, then by type and id: the order in which conversions lock.
    INSERT INTO crm.activity_link (activity_id, entity, entity_id)
    SELECT activity_link_set.id, l.type, l.id
    FROM (SELECT DISTINCT link ->> 'type' AS type, (link ->> 'id')::uuid AS id
          FROM jsonb_array_elements(links) link) l
    WHERE NOT EXISTS (
        SELECT FROM crm.activity_link k
        WHERE k.org_id = saleshub.org_id() AND k.activity_id = activity_link_set.id
            AND k.entity = l.type AND k.entity_id = l.id)
    ORDER BY l.type <> 'lead', l.type, l.id;
    RETURN removed OR FOUND;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_link_set(uuid, jsonb) IS
    'Makes the links of an activity exactly these; says whether that changed anything.';

CREATE FUNCTION crm.activity_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb;
BEGIN
    PERFORM saleshub.message_taken(body ->> 'message_id');
    doc := saleshub.record_create(saleshub.activity_meta(), body);
    IF body ? 'links' AND saleshub.activity_link_set((doc ->> 'id')::uuid, body -> 'links') THEN
        doc := saleshub.record_get(saleshub.activity_meta(), (doc ->> 'id')::uuid);
        PERFORM saleshub.record_created(saleshub.activity_meta(), doc);
    END IF;
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.activity_create(jsonb) IS
    'Creates an activity with its links and returns it.';

CREATE FUNCTION crm.activity_update(id uuid, patch jsonb, if_match text DEFAULT NULL,
                                    scope text DEFAULT 'this')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb;
BEGIN
    PERFORM saleshub.scope_check(scope);
    doc := saleshub.record_update(saleshub.activity_meta(), id, patch, if_match);
    IF patch ? 'links' AND saleshub.activity_link_set(id, patch -> 'links') THEN
        doc := saleshub.record_get(saleshub.activity_meta(), id);
    END IF;
    IF scope <> 'this' AND doc ->> 'series_id' IS NOT NULL THEN
        PERFORM saleshub.series_follow(id, ARRAY(SELECT jsonb_object_keys(patch)),
                                       patch ?| '{due_at,starts_at}');
        PERFORM saleshub.series_update(id, patch, scope);
        doc := saleshub.record_get(saleshub.activity_meta(), id);
    END IF;
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.activity_update(uuid, jsonb, text, text) IS
    'Changes an activity by a merge patch, its links as a whole, and returns it; of a series this occurrence, this and the following, or all of them';

CREATE FUNCTION saleshub.activity_link_changed() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    orgs uuid[];
    ids uuid[];
    links jsonb[];
BEGIN
    SELECT array_agg(l.org_id), array_agg(l.activity_id), array_agg(l.links)
    INTO orgs, ids, links
    FROM (
        SELECT org_id, activity_id,
               jsonb_agg(jsonb_build_object('type', entity, 'id', entity_id)) AS links
        FROM linkrows
        GROUP BY org_id, activity_id
    ) l;
    -- What this very transaction wrote has its new version already, and nobody saw another.
    UPDATE crm.activity a
    SET links_version = a.links_version + 1
    FROM unnest(orgs, ids) AS t (org_id, activity_id)
    WHERE a.org_id = t.org_id AND a.activity_id = t.activity_id
        AND a.xmin <> pg_current_xact_id()::xid;
    -- The row does not hold its links, so that its own history cannot tell them.
    INSERT INTO crm.change_log (org_id, entity, entity_id, op, version, changed, actor_id,
                                request_id)
    SELECT t.org_id, 'activity_link', t.activity_id, lower(TG_OP), 1,
           jsonb_build_object('links', CASE TG_OP WHEN 'DELETE'
               THEN jsonb_build_array(t.links, NULL) ELSE jsonb_build_array(NULL, t.links) END),
           saleshub.member_id(), saleshub.request_id()
    FROM unnest(orgs, ids, links) AS t (org_id, activity_id, links);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION saleshub.activity_link_changed() IS
    'Trigger: a change of its links is a change of the activity, and logged.';
ALTER FUNCTION saleshub.activity_link_changed() OWNER TO saleshub_owner;
