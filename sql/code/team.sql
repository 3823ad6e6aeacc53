-- Teams and who is in them; and the settings that say what teams and roles mean for visibility.

CREATE FUNCTION saleshub.team_check() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    faults jsonb := '[]';
BEGIN
    NEW.name := saleshub.clean(NEW.name);
    IF NEW.name IS NULL THEN
        faults := faults || saleshub.fault('/name', 'required', 'is required');
    END IF;
    faults := faults || saleshub.too_long('/name', NEW.name, 200);
    IF NEW.parent_id IS NOT NULL
        AND (TG_OP = 'INSERT' OR NEW.parent_id IS DISTINCT FROM OLD.parent_id)
    THEN
        -- Two teams put below each other at the same time would make a cycle unseen.
        PERFORM pg_advisory_xact_lock(hashtextextended('saleshub.team:' || NEW.org_id, 0));
        IF NOT EXISTS (SELECT FROM crm.team t
                       WHERE t.org_id = NEW.org_id AND t.team_id = NEW.parent_id
                           AND t.deleted_at IS NULL)
        THEN
            faults := faults || saleshub.fault('/parent_id', 'not_found', 'names no team');
        ELSIF NEW.parent_id = NEW.team_id OR EXISTS (
            SELECT FROM crm.team_closure c
            WHERE c.org_id = NEW.org_id AND c.ancestor_id = NEW.team_id
                AND c.descendant_id = NEW.parent_id)
        THEN
            faults := faults || saleshub.fault('/parent_id', 'cycle',
                                               'is the team itself or one below it');
        END IF;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.manager_id IS DISTINCT FROM OLD.manager_id THEN
        faults := faults || saleshub.reference_faults(NEW.org_id, '/manager_id', 'member',
                                                      NEW.manager_id);
    END IF;
    IF faults <> '[]' THEN
        PERFORM saleshub.refuse_row('team', faults);
    END IF;
    RETURN NEW;
END;
$$;
ALTER FUNCTION saleshub.team_check() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.team_check() IS
    'Trigger: a team has a name, and stands below no team that stands below it.';

CREATE FUNCTION saleshub.team_closure_keep() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO crm.team_closure (org_id, ancestor_id, descendant_id, depth)
        VALUES (NEW.org_id, NEW.team_id, NEW.team_id, 0);
    ELSE
        DELETE FROM crm.team_closure c
        USING crm.team_closure below
        WHERE below.org_id = NEW.org_id AND below.ancestor_id = NEW.team_id
            AND c.org_id = NEW.org_id AND c.descendant_id = below.descendant_id
            AND NOT EXISTS (
                SELECT FROM crm.team_closure i
                WHERE i.org_id = NEW.org_id AND i.ancestor_id = NEW.team_id
                    AND i.descendant_id = c.ancestor_id);
    END IF;
    INSERT INTO crm.team_closure (org_id, ancestor_id, descendant_id, depth)
    SELECT NEW.org_id, above.ancestor_id, below.descendant_id, above.depth + 1 + below.depth
    FROM crm.team_closure above
    CROSS JOIN crm.team_closure below
    WHERE above.org_id = NEW.org_id AND above.descendant_id = NEW.parent_id
        AND below.org_id = NEW.org_id AND below.ancestor_id = NEW.team_id;
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.team_closure_keep() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.team_closure_keep() IS
    'Trigger: keeps the closure of the tree when a team is added or moved.';

CREATE FUNCTION saleshub.team_member_changed() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    orgs uuid[];
    teams uuid[];
BEGIN
    SELECT array_agg(c.org_id), array_agg(c.team_id) INTO orgs, teams
    FROM (SELECT DISTINCT org_id, team_id FROM memberrows) c;
    INSERT INTO saleshub.outbox (org_id, type, entity, entity_id, actor_id, request_id)
    SELECT c.org_id, 'rights.changed', 'rights', c.team_id, saleshub.member_id(),
           saleshub.request_id()
    FROM unnest(orgs, teams) AS c (org_id, team_id);
    -- Also wakes the worker.
    PERFORM saleshub.touch('m:' || c.member_id) FROM memberrows c;
    RETURN NULL;
END;
$$;
ALTER FUNCTION saleshub.team_member_changed() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.team_member_changed() IS
    'Trigger: who is in a team decides who sees what, so that gateways ask again for their listeners.';

CREATE FUNCTION saleshub.team_json(org uuid, team uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'id', t.team_id, 'name', t.name, 'parent_id', t.parent_id,
            'manager_id', t.manager_id, 'members', (
                SELECT coalesce(jsonb_agg(m.member_id ORDER BY m.member_id), '[]')
                FROM crm.team_member m
                WHERE m.org_id = t.org_id AND m.team_id = t.team_id),
            'version', t.version, 'created_at', saleshub.utc(t.created_at),
            'updated_at', saleshub.utc(t.updated_at))
        FROM crm.team t
        WHERE t.org_id = team_json.org AND t.team_id = team_json.team AND t.deleted_at IS NULL);
END;
$$;
COMMENT ON FUNCTION saleshub.team_json(uuid, uuid) IS
    'A team with the ids of its members.';

CREATE FUNCTION saleshub.team_schema(required text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_object(
        'type', 'object', 'additionalProperties', false, 'required', required, 'properties', '{
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "parent_id": {"type": ["string", "null"], "format": "uuid"},
            "manager_id": {"type": ["string", "null"], "format": "uuid"}}'::jsonb);
COMMENT ON FUNCTION saleshub.team_schema(text[]) IS
    'JSON Schema of the body that creates or changes a team.';

CREATE FUNCTION crm.team_list() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_member();
    RETURN jsonb_build_object('data', (
        SELECT coalesce(jsonb_agg(saleshub.team_json(t.org_id, t.team_id)
                                  ORDER BY lower(t.name), t.team_id), '[]')
        FROM crm.team t
        WHERE t.org_id = saleshub.org_id() AND t.deleted_at IS NULL), 'next_cursor', NULL);
END;
$$;
COMMENT ON FUNCTION crm.team_list() IS
    'All teams of the organisation by name, with the ids of their members.';

CREATE FUNCTION crm.team_get(id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    doc jsonb := saleshub.team_json(saleshub.org_id(), id);
BEGIN
    IF doc IS NULL THEN
        PERFORM saleshub.record_missing('team', id);
    END IF;
    -- Its members come and go without a new version.
    RETURN doc;
END;
$$;
COMMENT ON FUNCTION crm.team_get(uuid) IS
    'A team with the ids of its members.';

CREATE FUNCTION crm.team_create(body jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    team uuid := crm.uuid_v7();
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.check_body(saleshub.team_schema('{name}'), body);
    INSERT INTO crm.team (team_id, name, parent_id, manager_id)
    VALUES (team, body ->> 'name', (body ->> 'parent_id')::uuid, (body ->> 'manager_id')::uuid);
    PERFORM saleshub.reply(201, NULL, '/v1/teams/' || team);
    RETURN crm.team_get(team);
END;
$$;
COMMENT ON FUNCTION crm.team_create(jsonb) IS
    'Creates a team and returns it; for admins.';

CREATE FUNCTION saleshub.team_lock(id uuid, if_match text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    current bigint;
BEGIN
    PERFORM saleshub.need_admin();
    SELECT t.version INTO current FROM crm.team t
    WHERE t.org_id = saleshub.org_id() AND t.team_id = team_lock.id AND t.deleted_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('team', id);
    END IF;
    PERFORM saleshub.version_check(current, if_match);
END;
$$;
COMMENT ON FUNCTION saleshub.team_lock(uuid, text) IS
    'Locks a team that an admin is about to change, at the version of If-Match.';

CREATE FUNCTION crm.team_update(id uuid, patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.check_body(saleshub.team_schema('{}'), patch);
    PERFORM saleshub.team_lock(id, if_match);
    UPDATE crm.team t
    SET name = CASE WHEN patch ? 'name' THEN patch ->> 'name' ELSE t.name END,
        parent_id = CASE WHEN patch ? 'parent_id' THEN (patch ->> 'parent_id')::uuid
                    ELSE t.parent_id END,
        manager_id = CASE WHEN patch ? 'manager_id' THEN (patch ->> 'manager_id')::uuid
                     ELSE t.manager_id END
    WHERE t.org_id = saleshub.org_id() AND t.team_id = team_update.id;
    RETURN crm.team_get(id);
END;
$$;
COMMENT ON FUNCTION crm.team_update(uuid, jsonb, text) IS
    'Changes name, parent or manager of a team and returns it; for admins.';

CREATE FUNCTION crm.team_delete(id uuid, if_match text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    above uuid;
BEGIN
    PERFORM saleshub.team_lock(id, if_match);
    SELECT t.parent_id INTO above FROM crm.team t
    WHERE t.org_id = saleshub.org_id() AND t.team_id = team_delete.id;
    UPDATE crm.team t SET parent_id = above
    WHERE t.org_id = saleshub.org_id() AND t.parent_id = team_delete.id AND t.deleted_at IS NULL;
    DELETE FROM crm.team_member m
    WHERE m.org_id = saleshub.org_id() AND m.team_id = team_delete.id;
    UPDATE crm.team t SET deleted_at = now(), parent_id = NULL, manager_id = NULL
    WHERE t.org_id = saleshub.org_id() AND t.team_id = team_delete.id;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.team_delete(uuid, text) IS
    'Deletes a team: nobody is in it any more, and the teams below move up to its parent; for admins.';

CREATE FUNCTION crm.team_member_add(id uuid, member_id uuid) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.team_lock(id, NULL);
    IF saleshub.member_json(saleshub.org_id(), member_id) IS NULL THEN
        PERFORM saleshub.record_missing('member', member_id);
    END IF;
    INSERT INTO crm.team_member (team_id, member_id)
    VALUES (team_member_add.id, team_member_add.member_id)
    ON CONFLICT ON CONSTRAINT team_member_pkey DO NOTHING;
    RETURN crm.team_get(id);
END;
$$;
COMMENT ON FUNCTION crm.team_member_add(uuid, uuid) IS
    'Puts a member into a team, where it may be already, and returns the team; for admins.';

CREATE FUNCTION crm.team_member_remove(id uuid, member_id uuid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.team_lock(id, NULL);
    DELETE FROM crm.team_member m
    WHERE m.org_id = saleshub.org_id() AND m.team_id = team_member_remove.id
        AND m.member_id = team_member_remove.member_id;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('member', member_id);
    END IF;
    PERFORM saleshub.reply(204);
END;
$$;
COMMENT ON FUNCTION crm.team_member_remove(uuid, uuid) IS
    'Takes a member out of a team; for admins.';

CREATE FUNCTION saleshub.routes_team() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/teams', 'crm.team_list()', 'Teams with their members', 'teams',
                           cache => 'strict',
                           answer => saleshub.page_shape('"Team"'));
    PERFORM saleshub.route('POST /v1/teams', 'crm.team_create(jsonb)', 'Create a team', 'teams',
                           success => 201, idempotent => true, role => 'admin',
                           args => jsonb_build_object('body', saleshub.team_schema('{name}')),
                           answer => '"Team"');
    PERFORM saleshub.route('GET /v1/teams/{id}', 'crm.team_get(uuid)', 'Read a team', 'teams',
                           cache => 'strict',
                           answer => '"Team"');
    PERFORM saleshub.route('PATCH /v1/teams/{id}', 'crm.team_update(uuid, jsonb, text)',
                           'Change a team', 'teams', role => 'admin',
                           args => jsonb_build_object('patch', saleshub.team_schema('{}')),
                           answer => '"Team"');
    PERFORM saleshub.route('DELETE /v1/teams/{id}', 'crm.team_delete(uuid, text)',
                           'Delete a team', 'teams', success => 204, role => 'admin');
    PERFORM saleshub.route('PUT /v1/teams/{id}/members/{member_id}',
                           'crm.team_member_add(uuid, uuid)', 'Put a member into a team', 'teams',
                           role => 'admin',
                           answer => '"Team"');
    PERFORM saleshub.route('DELETE /v1/teams/{id}/members/{member_id}',
                           'crm.team_member_remove(uuid, uuid)', 'Take a member out of a team',
                           'teams', success => 204, role => 'admin');
END;
$$;
COMMENT ON FUNCTION saleshub.routes_team() IS
    'Registers the routes of teams.';
