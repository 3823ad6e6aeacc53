-- Members: one's own profile, and their administration.

CREATE FUNCTION saleshub.member_schema(members text[], required text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    properties CONSTANT jsonb := '{
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "email": {"type": "string", "format": "email", "maxLength": 254},
        "role": {"type": "string", "enum": ["admin", "manager", "rep", "readonly"]},
        "active": {"type": "boolean"},
        "title": {"type": ["string", "null"], "maxLength": 200},
        "timezone": {"type": "string", "minLength": 1, "maxLength": 64},
        "preferences": {"type": "object"}
    }';
BEGIN
    RETURN jsonb_build_object(
        'type', 'object', 'additionalProperties', false, 'required', to_jsonb(required),
        'properties', (SELECT jsonb_object_agg(p.key, p.value) FROM jsonb_each(properties) p
                        WHERE p.key = ANY (members)));
END
$$;
COMMENT ON FUNCTION saleshub.member_schema(text[], text[]) IS
    'JSON Schema of a body that sets these properties of a member';

CREATE FUNCTION saleshub.member_create_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT saleshub.member_schema('{name,email,role,title,timezone}', '{name,email}')
$$;
COMMENT ON FUNCTION saleshub.member_create_schema() IS 'What POST /v1/members takes, but for the password';

CREATE FUNCTION saleshub.member_update_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT saleshub.member_schema('{name,email,role,active,title,timezone}', '{}')
$$;
COMMENT ON FUNCTION saleshub.member_update_schema() IS 'What PATCH /v1/members/{id} takes';

CREATE FUNCTION saleshub.me_schema() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT saleshub.member_schema('{name,title,timezone,preferences}', '{}')
$$;
COMMENT ON FUNCTION saleshub.me_schema() IS 'What PATCH /v1/me takes';

CREATE FUNCTION saleshub.need_admin() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- A superuser who has set the organisation only is no member and may.
    IF saleshub.org_id() IS NULL
       OR (saleshub.member_id() IS NOT NULL AND saleshub.member_role() IS DISTINCT FROM 'admin')
    THEN
        PERFORM saleshub.raise('42501', 'only an admin may administer members');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.need_admin() IS 'Raises 42501 unless the member is an admin';

CREATE FUNCTION saleshub.member_json(org uuid, member uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
                       'id', m.member_id, 'name', m.name, 'email', m.email, 'role', m.role,
                       'active', m.active, 'title', m.title, 'timezone', m.timezone,
                       'version', m.version, 'created_at', saleshub.utc(m.created_at),
                       'updated_at', saleshub.utc(m.updated_at))
              FROM crm.member m
             WHERE m.org_id = member_json.org AND m.member_id = member_json.member
               AND m.deleted_at IS NULL);
END
$$;
COMMENT ON FUNCTION saleshub.member_json(uuid, uuid) IS 'A member as others see it';

CREATE FUNCTION saleshub.timezone_check(timezone text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF timezone IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_timezone_names z WHERE z.name = timezone_check.timezone)
    THEN
        PERFORM saleshub.raise('22023', format('unknown time zone "%s"', timezone),
            '{"code": "invalid_body", "errors": [{"pointer": "/timezone", "code": "invalid", "detail": "must be a time zone of the IANA database"}]}');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.timezone_check(text) IS 'Raises 22023 for a time zone that is none';

CREATE FUNCTION saleshub.email_taken() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.raise('SH409', 'another member has this e-mail address',
        '{"code": "email_taken", "errors": [{"pointer": "/email", "code": "unique", "detail": "another member has this e-mail address"}]}');
END
$$;
COMMENT ON FUNCTION saleshub.email_taken() IS 'Raises SH409 for an e-mail address in use';

-- One's own profile

CREATE FUNCTION crm.me_get() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    me jsonb := saleshub.member_json(saleshub.org_id(), saleshub.member_id());
BEGIN
    PERFORM saleshub.need_member();
    PERFORM saleshub.reply(etag => me ->> 'version');
    RETURN me || (
        SELECT jsonb_build_object(
                   'org_id', m.org_id, 'preferences', m.preferences,
                   'org', jsonb_build_object('id', o.org_id, 'name', o.name,
                                             'currency', o.currency, 'timezone', o.timezone,
                                             'country', o.country))
          FROM crm.member m JOIN crm.org o ON o.org_id = m.org_id
         WHERE m.org_id = saleshub.org_id() AND m.member_id = saleshub.member_id());
END
$$;
COMMENT ON FUNCTION crm.me_get() IS 'The signed-in member with preferences and organisation';

CREATE FUNCTION saleshub.member_apply(
    org uuid, member uuid, patch jsonb, if_match text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    old record;
BEGIN
    -- The caller has checked the rights; this checks again what nobody may do.
    IF org IS DISTINCT FROM saleshub.org_id() THEN
        PERFORM saleshub.raise('42501', 'not a member of this organisation');
    END IF;
    IF saleshub.member_id() IS DISTINCT FROM member THEN
        PERFORM saleshub.need_admin();
    ELSIF patch ?| '{role,active,email}' THEN
        PERFORM saleshub.need_admin();
    END IF;
    PERFORM saleshub.timezone_check(patch ->> 'timezone');
    IF patch ?| '{role,active}' THEN
        -- Two admins who demote each other must not leave none.
        PERFORM FROM crm.org o WHERE o.org_id = member_apply.org FOR UPDATE;
    END IF;
    SELECT m.version, m.role, m.active INTO old FROM crm.member m
     WHERE m.org_id = member_apply.org AND m.member_id = member_apply.member
       AND m.deleted_at IS NULL
       FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM saleshub.raise('P0002', 'no such member');
    END IF;
    PERFORM saleshub.version_check(old.version, if_match);
    BEGIN
        UPDATE crm.member m
           SET name = coalesce(patch ->> 'name', m.name),
               email = coalesce(patch ->> 'email', m.email),
               role = coalesce(patch ->> 'role', m.role),
               active = coalesce((patch ->> 'active')::boolean, m.active),
               title = CASE WHEN patch ? 'title' THEN nullif(btrim(patch ->> 'title'), '')
                            ELSE m.title END,
               timezone = coalesce(patch ->> 'timezone', m.timezone),
               preferences = saleshub.merge_patch(m.preferences,
                                                  coalesce(patch -> 'preferences', '{}'))
         WHERE m.org_id = member_apply.org AND m.member_id = member_apply.member;
    EXCEPTION
        WHEN unique_violation THEN
            PERFORM saleshub.email_taken();
    END;
    IF patch ?| '{role,active}' AND NOT EXISTS (
        SELECT FROM crm.member m
         WHERE m.org_id = member_apply.org AND m.role = 'admin' AND m.active
           AND m.deleted_at IS NULL)
    THEN
        PERFORM saleshub.raise('SH409', 'an organisation needs an active admin',
                               '{"code": "last_admin"}');
    END IF;
END
$$;
ALTER FUNCTION saleshub.member_apply(uuid, uuid, jsonb, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.member_apply(uuid, uuid, jsonb, text) IS
    'Changes a member: name, title, time zone and preferences one''s own, everything an admin';

CREATE FUNCTION crm.me_update(patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_member();
    PERFORM saleshub.check_body(saleshub.me_schema(), patch);
    IF pg_column_size(patch) > 16384 THEN
        PERFORM saleshub.raise('SH413', 'the profile is too large', '{"code": "too_large"}');
    END IF;
    PERFORM saleshub.member_apply(saleshub.org_id(), saleshub.member_id(), patch, if_match);
    RETURN crm.me_get();
END
$$;
COMMENT ON FUNCTION crm.me_update(jsonb, text) IS
    'Changes name, title, time zone or preferences (merged) of the signed-in member';

-- Administration

CREATE FUNCTION crm.member_list(
    limit_ integer DEFAULT 50, cursor_ text DEFAULT NULL, active boolean DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := least(greatest(coalesce(limit_, 50), 1), 200);
    after uuid;
    data jsonb;
BEGIN
    PERFORM saleshub.need_member();
    IF cursor_ IS NOT NULL THEN
        IF cursor_ !~ '^[0-9a-f]{32}$' THEN
            PERFORM saleshub.raise('22023', 'invalid cursor',
                '{"code": "invalid_parameter", "errors": [{"parameter": "cursor", "code": "invalid", "detail": "must be the next_cursor of an earlier answer"}]}');
        END IF;
        after := cursor_::uuid;
    END IF;
    SELECT coalesce(jsonb_agg(saleshub.member_json(f.org_id, f.member_id) ORDER BY f.member_id), '[]')
      INTO data
      FROM (SELECT m.org_id, m.member_id FROM crm.member m
             WHERE m.org_id = saleshub.org_id() AND m.deleted_at IS NULL
               AND (after IS NULL OR m.member_id > after)
               AND (member_list.active IS NULL OR m.active = member_list.active)
             ORDER BY m.member_id LIMIT page + 1) f;
    RETURN jsonb_build_object(
        'data', CASE WHEN jsonb_array_length(data) > page THEN data - page ELSE data END,
        'next_cursor', CASE WHEN jsonb_array_length(data) > page
                            THEN replace(data -> (page - 1) ->> 'id', '-', '') END);
END
$$;
COMMENT ON FUNCTION crm.member_list(integer, text, boolean) IS
    'Members of the organisation, oldest first';

CREATE FUNCTION saleshub.member_invite(body jsonb, password_hash text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    member uuid := crm.uuid_v7();
    made jsonb;
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.check_body(saleshub.member_create_schema(), body);
    PERFORM saleshub.timezone_check(body ->> 'timezone');
    BEGIN
        INSERT INTO crm.member (org_id, member_id, name, email, role, title, timezone)
        VALUES (org, member, body ->> 'name', body ->> 'email', coalesce(body ->> 'role', 'rep'),
                nullif(btrim(body ->> 'title'), ''),
                coalesce(body ->> 'timezone',
                         (SELECT o.timezone FROM crm.org o WHERE o.org_id = org)));
    EXCEPTION
        WHEN unique_violation THEN
            PERFORM saleshub.email_taken();
    END;
    IF password_hash IS NOT NULL THEN
        PERFORM saleshub.credential_set(org, member, password_hash);
    END IF;
    made := saleshub.member_json(org, member);
    PERFORM saleshub.reply(status => 201, etag => made ->> 'version',
                           location => '/v1/members/' || member);
    RETURN made;
END
$$;
ALTER FUNCTION saleshub.member_invite(jsonb, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.member_invite(jsonb, text) IS
    'A new member of the admin''s organisation, with a password when its hash is given';

CREATE FUNCTION crm.member_create(body jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.member_invite(body, NULL);
END
$$;
COMMENT ON FUNCTION crm.member_create(jsonb) IS
    'A new member without a password; saleshub.set_password() gives one';

CREATE FUNCTION crm.member_get(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    found jsonb := saleshub.member_json(saleshub.org_id(), id);
BEGIN
    PERFORM saleshub.reply(etag => found ->> 'version');
    RETURN found;
END
$$;
COMMENT ON FUNCTION crm.member_get(uuid) IS 'A member of the organisation';

CREATE FUNCTION crm.member_update(id uuid, patch jsonb, if_match text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    changed jsonb;
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.check_body(saleshub.member_update_schema(), patch);
    PERFORM saleshub.member_apply(saleshub.org_id(), id, patch, if_match);
    changed := saleshub.member_json(saleshub.org_id(), id);
    PERFORM saleshub.reply(etag => changed ->> 'version');
    RETURN changed;
END
$$;
COMMENT ON FUNCTION crm.member_update(uuid, jsonb, text) IS
    'Changes a member; a role takes effect with its next request, deactivation ends its sessions';

CREATE FUNCTION saleshub.routes_member() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('GET /v1/me', 'crm.me_get()', 'My profile', 'members',
        answer => '"Me"');
    PERFORM saleshub.route('PATCH /v1/me', 'crm.me_update(jsonb, text)', 'Change my profile',
                           'members',
                           args => jsonb_build_object('body', saleshub.me_schema()),
                           answer => '"Me"');
    PERFORM saleshub.route('GET /v1/members', 'crm.member_list(integer, text, boolean)',
                           'Members of the organisation', 'members', args => '{
        "limit": {"type": "integer", "minimum": 1, "maximum": 200},
        "cursor": {"type": "string", "maxLength": 64}}',
                           answer => saleshub.page_shape('"Member"'));
    PERFORM saleshub.route('GET /v1/members/{id}', 'crm.member_get(uuid)', 'Read a member',
                           'members',
                           answer => '"Member"');
    PERFORM saleshub.route('PATCH /v1/members/{id}', 'crm.member_update(uuid, jsonb, text)',
                           'Change a member', 'members',
                           args => jsonb_build_object('body', saleshub.member_update_schema()),
                           answer => '"Member"');
END
$$;
COMMENT ON FUNCTION saleshub.routes_member() IS 'Routes of members';
