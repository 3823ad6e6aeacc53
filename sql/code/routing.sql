-- Routing of leads to members: pools and whose turn it is.

CREATE FUNCTION saleshub.lead_route() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_route';
COMMENT ON FUNCTION saleshub.lead_route() IS
    'Trigger: a new lead without an owner gets the owner at its company or the next member of its pool';

CREATE FUNCTION saleshub.lead_route_flush() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_route_flush';
COMMENT ON FUNCTION saleshub.lead_route_flush() IS
    'Trigger: logs who got the leads of a statement; whose turn it is then is written at commit';

CREATE FUNCTION saleshub.route_part(org uuid, import uuid, part integer, ends boolean, rehearsed boolean) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_route_part';
COMMENT ON FUNCTION saleshub.route_part(uuid, uuid, integer, boolean, boolean) IS
    'From now on leads that this transaction inserts take turns of their own by this part of an import, which wait for nobody; with ends, or the last rows of the file when they are not rehearsed, only until the round under way is complete';

CREATE FUNCTION saleshub.route_part_leave() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_route_part_leave';
COMMENT ON FUNCTION saleshub.route_part_leave() IS
    'Notes the turns that the part of an import took; leads are routed as any again';

CREATE FUNCTION saleshub.route_settle(org uuid, import uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_route_settle';
COMMENT ON FUNCTION saleshub.route_settle(uuid, uuid) IS
    'Adds the turns that the parts of an import took to those of the pools';

CREATE FUNCTION saleshub.lead_route_call(id uuid, dry_run boolean) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_lead_route_call';
COMMENT ON FUNCTION saleshub.lead_route_call(uuid, boolean) IS
    'What crm.lead_route does, but for the time to respond';

CREATE FUNCTION crm.lead_route(id uuid, dry_run boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    answer jsonb := saleshub.lead_route_call(id, dry_run);
BEGIN
    IF dry_run THEN
        answer := answer || jsonb_build_object('sla', saleshub.sla_preview(
            id, (answer ->> 'owner_id')::uuid, (answer ->> 'pool_id')::uuid, (answer ->> 'rule_id')::uuid));
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION crm.lead_route(uuid, boolean) IS
    'Gives a lead to the owner at its company or the next member of its pool, whoever owns it now, and says why; with dry_run only says who would get it, why not the others, and when it would have to be answered';

CREATE FUNCTION saleshub.routing_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- A member who joins by itself is put in by the machinery.
    IF saleshub.member_role() IN ('rep', 'readonly') AND current_user <> 'saleshub_owner' THEN
        PERFORM saleshub.raise('42501', 'only admins and managers change the routing');
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.routing_check() IS 'Trigger: who may change pools and their members';

CREATE FUNCTION saleshub.routing_pool_member_return() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' OR ((NEW.active AND NEW.weight > 0) AND NOT (OLD.active AND OLD.weight > 0)) THEN
        NEW.current := 0;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION saleshub.routing_pool_member_return() IS
    'Trigger: a new or returning member starts at zero, so that absence earns no leads';

CREATE FUNCTION saleshub.member_join_pool() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.routing_pool_member (org_id, routing_pool_id, member_id)
    SELECT p.org_id, p.routing_pool_id, NEW.member_id
      FROM crm.routing_pool AS p
     WHERE p.org_id = NEW.org_id AND p.is_default
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.member_join_pool() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.member_join_pool() IS 'Trigger: reps and managers join the default pool';

CREATE FUNCTION crm.routing_rules_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('pools', saleshub.routing_pools_json(NULL), 'rules', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'id', r.routing_rule_id, 'name', r.name, 'predicate', r.predicate,
                   'pool_id', r.routing_pool_id, 'skills', to_jsonb(r.skills), 'active', r.active)
                   ORDER BY r.position, r.routing_rule_id)
          FROM crm.routing_rule AS r
         WHERE r.org_id = saleshub.org_id()), '[]'));
END
$$;
COMMENT ON FUNCTION crm.routing_rules_get() IS
    'The routing rules in their order, and the pools with their members';

CREATE FUNCTION saleshub.routing_rules_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{
    "type": "object", "additionalProperties": false, "required": ["rules"],
    "properties": {"rules": {"type": "array", "maxItems": 200, "items": {
        "type": "object", "additionalProperties": false,
        "required": ["name", "predicate", "pool_id"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "predicate": {"type": "object"},
            "pool_id": {"type": "string", "format": "uuid"},
            "skills": {"type": "array", "maxItems": 20,
                       "items": {"type": "string", "minLength": 1, "maxLength": 100}},
            "active": {"type": "boolean"}}}}}}'::jsonb;
COMMENT ON FUNCTION saleshub.routing_rules_schema() IS 'JSON Schema of the body of crm.routing_rules_put';

CREATE FUNCTION saleshub.pool_faults(body jsonb, list text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(f), '[]')
          FROM saleshub.set_items(body, list) AS x,
               jsonb_array_elements(saleshub.fault(format('/%s/%s/pool_id', list, x.n), 'not_found',
                                                   'names no pool')) AS f
         WHERE x.item ->> 'pool_id' IS NOT NULL
           AND NOT EXISTS (SELECT FROM crm.routing_pool AS p
                            WHERE p.org_id = saleshub.org_id()
                              AND p.routing_pool_id::text = lower(x.item ->> 'pool_id')));
END
$$;
COMMENT ON FUNCTION saleshub.pool_faults(jsonb, text) IS 'Items of the list of a body whose pool_id names no pool';

CREATE FUNCTION crm.routing_rules_put(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    kept uuid[] := saleshub.set_check('routing_rule', 'rules', saleshub.routing_rules_schema(), body,
                                      saleshub.pool_faults(body, 'rules'));
BEGIN
    DELETE FROM crm.routing_rule AS r
     WHERE r.org_id = saleshub.org_id() AND r.routing_rule_id <> ALL (kept);
    INSERT INTO crm.routing_rule AS r
           (org_id, routing_rule_id, name, predicate, routing_pool_id, skills, position, active)
    SELECT saleshub.org_id(), coalesce((e ->> 'id')::uuid, crm.uuid_v7()), btrim(e ->> 'name'),
           e -> 'predicate', (e ->> 'pool_id')::uuid,
           ARRAY(SELECT jsonb_array_elements_text(coalesce(e -> 'skills', '[]'))), i,
           coalesce((e ->> 'active')::boolean, true)
      FROM jsonb_array_elements(body -> 'rules') WITH ORDINALITY AS x (e, i)
    ON CONFLICT (org_id, routing_rule_id) DO UPDATE
       SET name = excluded.name, predicate = excluded.predicate,
           routing_pool_id = excluded.routing_pool_id, skills = excluded.skills,
           position = excluded.position, active = excluded.active;
    RETURN crm.routing_rules_get();
END
$$;
COMMENT ON FUNCTION crm.routing_rules_put(jsonb) IS
    'Replaces the routing rules by those of body.rules, in that order: known ids are changed, others added, missing ones removed';

CREATE FUNCTION crm.pool_member_add(pool uuid, member uuid, weight integer DEFAULT 1) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    errors jsonb := '[]';
BEGIN
    IF weight IS NULL OR weight NOT BETWEEN 0 AND 1000 THEN
        errors := errors || '[{"pointer": "/weight", "code": "invalid", "detail": "A weight is from 0 to 1000."}]';
    END IF;
    IF NOT EXISTS (SELECT FROM crm.routing_pool AS p
                    WHERE p.org_id = saleshub.org_id() AND p.routing_pool_id = pool_member_add.pool) THEN
        errors := errors || '[{"pointer": "/pool", "code": "not_found", "detail": "There is no such pool."}]';
    END IF;
    IF NOT EXISTS (SELECT FROM crm.member AS m
                    WHERE m.org_id = saleshub.org_id() AND m.member_id = pool_member_add.member) THEN
        errors := errors || '[{"pointer": "/member", "code": "not_found", "detail": "There is no such member."}]';
    END IF;
    IF errors <> '[]' THEN
        PERFORM saleshub.raise('22023', 'the member cannot be added to the pool',
            jsonb_build_object('code', 'invalid_body', 'errors', errors));
    END IF;
    INSERT INTO crm.routing_pool_member AS m (org_id, routing_pool_id, member_id, weight)
    VALUES (saleshub.org_id(), pool_member_add.pool, pool_member_add.member, pool_member_add.weight)
    ON CONFLICT (org_id, routing_pool_id, member_id) DO UPDATE
       SET weight = excluded.weight, active = true;
    RETURN crm.routing_rules_get();
END
$$;
COMMENT ON FUNCTION crm.pool_member_add(uuid, uuid, integer) IS
    'Puts a member into a pool with this weight, or changes the weight of one who is there; answers the pools';

CREATE FUNCTION saleshub.defaults_routing(org uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.routing_pool (org_id, name, is_default) VALUES (defaults_routing.org, 'Default', true)
    ON CONFLICT DO NOTHING;
    INSERT INTO crm.routing_pool_member (org_id, routing_pool_id, member_id)
    SELECT p.org_id, p.routing_pool_id, m.member_id
      FROM crm.routing_pool AS p
      JOIN crm.member AS m ON m.org_id = p.org_id AND m.role IN ('rep', 'manager')
     WHERE p.org_id = defaults_routing.org AND p.is_default
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION saleshub.defaults_routing(uuid) IS
    'The pool that a new organisation starts with; its reps and managers share it evenly';

CREATE FUNCTION saleshub.routes_routing() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('POST /v1/leads/{id}/route', 'crm.lead_route(uuid, boolean)',
        'Give a lead to the next member, or say who would get it', 'leads', idempotent => true,
        answer => '"Routed"');
    PERFORM saleshub.route('GET /v1/routing/rules', 'crm.routing_rules_get()',
        'List the routing rules and pools', 'routing',
        answer => '"RoutingRules"');
    PERFORM saleshub.route('PUT /v1/routing/rules', 'crm.routing_rules_put(jsonb)',
        'Replace the routing rules', 'routing', role => 'manager',
        args => jsonb_build_object('body', saleshub.routing_rules_schema()),
        answer => '"RoutingRules"');
    PERFORM saleshub.route('GET /v1/routing/pools', 'crm.routing_pool_list()',
        'List the routing pools', 'routing',
        answer => saleshub.page_shape('"Pool"'));
    PERFORM saleshub.route('POST /v1/routing/pools', 'crm.routing_pool_create(jsonb)',
        'Create a routing pool', 'routing', role => 'manager', success => 201, idempotent => true,
        args => jsonb_build_object('body', saleshub.routing_pool_schema('["name"]')),
        answer => '"Pool"');
    PERFORM saleshub.route('GET /v1/routing/pools/{id}', 'crm.routing_pool_get(uuid)',
        'Read a routing pool', 'routing',
        answer => '"Pool"');
    PERFORM saleshub.route('PATCH /v1/routing/pools/{id}', 'crm.routing_pool_update(uuid, jsonb)',
        'Change a routing pool', 'routing', role => 'manager',
        args => jsonb_build_object('patch', saleshub.routing_pool_schema('[]')),
        answer => '"Pool"');
    PERFORM saleshub.route('DELETE /v1/routing/pools/{id}', 'crm.routing_pool_delete(uuid)',
        'Remove a routing pool', 'routing', role => 'manager', success => 204);
    PERFORM saleshub.route('GET /v1/routing/members', 'crm.routing_members_get()',
        'List what members can take', 'routing',
        answer => '{"members": ["RoutingMember"]}');
    PERFORM saleshub.route('PUT /v1/routing/members/{id}', 'crm.routing_member_put(uuid, jsonb)',
        'Set what a member can take', 'routing', role => 'manager',
        args => jsonb_build_object('body', saleshub.routing_member_schema()),
        answer => '"RoutingMember"');
    PERFORM saleshub.route('GET /v1/routing/calendars', 'crm.routing_calendars_get()',
        'List the calendars of working hours', 'routing',
        answer => '{"calendars": ["object"]}');
    PERFORM saleshub.route('PUT /v1/routing/calendars', 'crm.routing_calendars_put(jsonb)',
        'Replace the calendars of working hours', 'routing', role => 'manager',
        args => jsonb_build_object('body', saleshub.routing_calendars_schema()),
        answer => '{"calendars": ["object"]}');
END
$$;
COMMENT ON FUNCTION saleshub.routes_routing() IS 'Registers the routes of routing';
