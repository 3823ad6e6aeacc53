-- Pools of members who share leads.

CREATE FUNCTION saleshub.routing_pool_schema(required jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.jsonb_set('{
    "type": "object", "additionalProperties": false,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "method": {"type": "string",
                   "enum": ["weighted_round_robin", "least_recently_assigned", "load_balance"]},
        "outside_hours": {"type": "string", "enum": ["skip", "next_open"]},
        "calendar_id": {"type": ["string", "null"], "format": "uuid"},
        "active": {"type": "boolean"},
        "position": {"type": "integer", "minimum": 0, "maximum": 1000000},
        "members": {"type": "array", "maxItems": 1000, "items": {
            "type": "object", "additionalProperties": false, "required": ["member_id"],
            "properties": {
                "member_id": {"type": "string", "format": "uuid"},
                "weight": {"type": "integer", "minimum": 0, "maximum": 1000},
                "active": {"type": "boolean"}}}}}}'::jsonb, '{required}', required);
COMMENT ON FUNCTION saleshub.routing_pool_schema(jsonb) IS 'JSON Schema of the body of a pool';

CREATE FUNCTION saleshub.routing_pools_json(only_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'id', p.routing_pool_id, 'name', p.name, 'active', p.active,
                   'is_default', p.is_default, 'position', p.position, 'method', p.method,
                   'outside_hours', p.outside_hours, 'calendar_id', p.routing_calendar_id,
                   'members', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'member_id', m.member_id, 'weight', m.weight, 'active', m.active,
                                  'last_assigned_at', saleshub.utc(m.last_assigned_at)) ORDER BY m.member_id)
                         FROM crm.routing_pool_member AS m
                        WHERE m.org_id = p.org_id AND m.routing_pool_id = p.routing_pool_id), '[]'))
                   ORDER BY p.position, p.routing_pool_id)
          FROM crm.routing_pool AS p
         WHERE p.org_id = saleshub.org_id() AND (only_id IS NULL OR p.routing_pool_id = only_id)), '[]');
END
$$;
COMMENT ON FUNCTION saleshub.routing_pools_json(uuid) IS 'All pools in their order with their members, or one';

CREATE FUNCTION crm.routing_pool_list() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('data', saleshub.routing_pools_json(NULL), 'next_cursor', NULL);
END
$$;
COMMENT ON FUNCTION crm.routing_pool_list() IS 'The pools in their order, with their members';

CREATE FUNCTION crm.routing_pool_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found jsonb := saleshub.routing_pools_json(coalesce(id, '00000000-0000-0000-0000-000000000000')) -> 0;
BEGIN
    IF found IS NULL THEN
        PERFORM saleshub.record_missing('pool', id);
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION crm.routing_pool_get(uuid) IS 'A pool with its members';

CREATE FUNCTION saleshub.routing_pool_write(id uuid, body jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(f), '[]') INTO faults
      FROM jsonb_array_elements(coalesce(body -> 'members', '[]')) WITH ORDINALITY AS x (e, n),
           jsonb_array_elements(saleshub.fault(
               format('/members/%s/member_id', n - 1), 'not_found', 'names no member')) AS f
     WHERE NOT EXISTS (SELECT FROM crm.member AS m
                        WHERE m.org_id = saleshub.org_id() AND m.deleted_at IS NULL
                          AND m.member_id = (e ->> 'member_id')::uuid);
    IF body ->> 'calendar_id' IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.routing_calendar AS c
         WHERE c.org_id = saleshub.org_id()
           AND c.routing_calendar_id = (body ->> 'calendar_id')::uuid) THEN
        faults := faults || saleshub.fault('/calendar_id', 'not_found', 'names no calendar');
    END IF;
    IF EXISTS (SELECT FROM crm.routing_pool AS p
                WHERE p.org_id = saleshub.org_id() AND p.routing_pool_id <> routing_pool_write.id
                  AND lower(p.name) = lower(btrim(body ->> 'name'))) THEN
        faults := faults || saleshub.fault('/name', 'taken', 'is the name of another pool');
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the pool is not valid',
            jsonb_build_object('code', 'invalid_body', 'errors', faults));
    END IF;
    INSERT INTO crm.routing_pool (org_id, routing_pool_id, name)
    SELECT saleshub.org_id(), id, btrim(body ->> 'name')
     WHERE NOT EXISTS (SELECT FROM crm.routing_pool AS p
                        WHERE p.org_id = saleshub.org_id()
                          AND p.routing_pool_id = routing_pool_write.id);
    UPDATE crm.routing_pool AS p
       SET name = coalesce(btrim(body ->> 'name'), p.name),
           method = coalesce(body ->> 'method', p.method),
           outside_hours = coalesce(body ->> 'outside_hours', p.outside_hours),
           active = coalesce((body ->> 'active')::boolean, p.active),
           position = coalesce((body ->> 'position')::integer, p.position),
           routing_calendar_id = CASE WHEN body ? 'calendar_id' THEN (body ->> 'calendar_id')::uuid
                                      ELSE p.routing_calendar_id END
     WHERE p.org_id = saleshub.org_id() AND p.routing_pool_id = routing_pool_write.id;
    IF NOT body ? 'members' THEN
        RETURN;
    END IF;
    DELETE FROM crm.routing_pool_member AS m
     WHERE m.org_id = saleshub.org_id() AND m.routing_pool_id = routing_pool_write.id
       AND NOT EXISTS (SELECT FROM jsonb_array_elements(body -> 'members') AS e
                        WHERE (e ->> 'member_id')::uuid = m.member_id);
    INSERT INTO crm.routing_pool_member AS m (org_id, routing_pool_id, member_id, weight, active)
    SELECT DISTINCT ON (e ->> 'member_id') saleshub.org_id(), id, (e ->> 'member_id')::uuid,
           coalesce((e ->> 'weight')::integer, 1), coalesce((e ->> 'active')::boolean, true)
      FROM jsonb_array_elements(body -> 'members') AS e
    ON CONFLICT (org_id, routing_pool_id, member_id) DO UPDATE
       SET weight = excluded.weight, active = excluded.active;
END
$$;
COMMENT ON FUNCTION saleshub.routing_pool_write(uuid, jsonb) IS
    'Creates or changes a pool by a body that fits the schema';

CREATE FUNCTION crm.routing_pool_create(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    id uuid := crm.uuid_v7();
BEGIN
    PERFORM saleshub.check_body(saleshub.routing_pool_schema('["name"]'), body);
    PERFORM saleshub.routing_pool_write(id, body);
    PERFORM saleshub.reply(location => '/v1/routing/pools/' || id);
    RETURN crm.routing_pool_get(id);
END
$$;
COMMENT ON FUNCTION crm.routing_pool_create(jsonb) IS 'Creates a pool, with its members if they are given';

CREATE FUNCTION crm.routing_pool_update(id uuid, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.check_body(saleshub.routing_pool_schema('[]'), patch);
    PERFORM crm.routing_pool_get(id);
    PERFORM saleshub.routing_pool_write(id, patch);
    RETURN crm.routing_pool_get(id);
END
$$;
COMMENT ON FUNCTION crm.routing_pool_update(uuid, jsonb) IS
    'Changes a pool; members, when given, become exactly those';

CREATE FUNCTION crm.routing_pool_delete(id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM crm.routing_pool_get(id);
    DELETE FROM crm.routing_pool AS p
     WHERE p.org_id = saleshub.org_id() AND p.routing_pool_id = routing_pool_delete.id;
END
$$;
COMMENT ON FUNCTION crm.routing_pool_delete(uuid) IS 'Removes a pool that no rule names (else 23503)';
