-- Routing of leads to members: pools and whose turn it is.

CREATE FUNCTION saleshub.lead_route() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_route';
COMMENT ON FUNCTION saleshub.lead_route() IS
    'Trigger: a new lead without an owner gets the next member of the active pool';

CREATE FUNCTION saleshub.lead_route_flush() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_lead_route_flush';
COMMENT ON FUNCTION saleshub.lead_route_flush() IS
    'Trigger: logs who got the leads of a statement; whose turn it is then is written at commit';

CREATE FUNCTION crm.lead_route(id uuid, dry_run boolean DEFAULT false) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS 'MODULE_PATHNAME', 'sh_lead_route_call';
COMMENT ON FUNCTION crm.lead_route(uuid, boolean) IS
    'Gives a lead to the next member of the active pool, whoever owns it now, and says why; with dry_run only says who would get it';

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
    RETURN jsonb_build_object('pools', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'id', p.routing_pool_id, 'name', p.name, 'active', p.active,
                   'is_default', p.is_default,
                   'members', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'member_id', m.member_id, 'weight', m.weight, 'active', m.active,
                                  'last_assigned_at', saleshub.utc(m.last_assigned_at)) ORDER BY m.member_id)
                         FROM crm.routing_pool_member AS m
                        WHERE m.org_id = p.org_id AND m.routing_pool_id = p.routing_pool_id), '[]'))
                   ORDER BY p.position, p.routing_pool_id)
          FROM crm.routing_pool AS p
         WHERE p.org_id = saleshub.org_id()), '[]'));
END
$$;
COMMENT ON FUNCTION crm.routing_rules_get() IS 'The pools in their order, with their members';

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
        'Give a lead to the next member, or say who would get it', 'leads', idempotent => true);
    PERFORM saleshub.route('GET /v1/routing/rules', 'crm.routing_rules_get()',
        'List the routing pools', 'routing');
END
$$;
COMMENT ON FUNCTION saleshub.routes_routing() IS 'Registers the routes of routing';
