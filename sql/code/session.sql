-- Sign-in, refresh and the end of sessions. Passwords are hashed and compared in the gateway; here
-- hashes are kept, failures counted and sessions opened, rotated and revoked.

-- What happens whoever changes the tables

CREATE FUNCTION saleshub.member_login() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO saleshub.login (org_id, member_id, email)
    VALUES (NEW.org_id, NEW.member_id, NEW.email)
    ON CONFLICT (org_id, member_id) DO UPDATE SET email = excluded.email
     WHERE saleshub.login.email <> excluded.email;
    IF TG_OP = 'UPDATE' THEN
        PERFORM saleshub.touch('m:' || NEW.member_id);
        IF NOT NEW.active OR NEW.deleted_at IS NOT NULL THEN
            UPDATE saleshub.session s SET revoked_at = now(), reason = 'member'
             WHERE s.org_id = NEW.org_id AND s.member_id = NEW.member_id
               AND s.revoked_at IS NULL;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.member_login() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.member_login() IS
    'Trigger: keeps the sign-in directory, and ends the sessions of members who may not work any more';

CREATE FUNCTION saleshub.session_ended() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.revoked_at IS NULL AND NEW.expires_at >= OLD.expires_at THEN
        RETURN NULL;
    END IF;
    PERFORM saleshub.touch('s:' || OLD.session_id);
    IF OLD.revoked_at IS NULL AND OLD.expires_at > now() THEN
        INSERT INTO saleshub.outbox (org_id, type, entity, entity_id, actor_id, request_id, data)
        VALUES (OLD.org_id, 'session.revoked', 'session', OLD.session_id, saleshub.member_id(),
                saleshub.request_id(), jsonb_build_object('member_id', OLD.member_id));
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.session_ended() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.session_ended() IS
    'Trigger: a revoked session is known to every gateway at once, and its live connections end';

-- Failed attempts

CREATE FUNCTION saleshub.sign_in_locked(email text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT ceil(extract(epoch FROM f.locked_until - clock_timestamp()))
              FROM saleshub.login_failure f
             WHERE f.email_hash = sha256(convert_to(lower(btrim(sign_in_locked.email)), 'UTF8'))
               AND f.locked_until > clock_timestamp());
END
$$;
COMMENT ON FUNCTION saleshub.sign_in_locked(text) IS
    'Seconds for which an e-mail address is locked after failed sign-ins; NULL: it is not';

CREATE FUNCTION saleshub.sign_in_failed(email text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO saleshub.login_failure AS f (email_hash, failures, failed_at)
    VALUES (sha256(convert_to(lower(btrim(sign_in_failed.email)), 'UTF8')), 1, clock_timestamp())
    ON CONFLICT (email_hash) DO UPDATE
       SET failures = CASE WHEN f.failed_at < now() - interval '1 day' THEN 1
                           ELSE least(f.failures, 1000) + 1 END,
           failed_at = clock_timestamp(),
           locked_until = CASE
               WHEN f.failed_at >= now() - interval '1 day' AND f.failures >= 4
               THEN clock_timestamp() + least(power(2, least(f.failures + 1, 20)), 900)
                                        * interval '1 second' END;
    DELETE FROM saleshub.login_failure f
     WHERE f.ctid = ANY (ARRAY(SELECT o.ctid FROM saleshub.login_failure o
                                WHERE o.failed_at < now() - interval '2 days'
                                ORDER BY o.failed_at LIMIT 10 FOR UPDATE SKIP LOCKED));
    RETURN saleshub.sign_in_locked(sign_in_failed.email);
END
$$;
ALTER FUNCTION saleshub.sign_in_failed(text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sign_in_failed(text) IS
    'For the gateway: counts a failed sign-in. From the fifth in a row on the address is locked for 2^n seconds, at most 15 minutes; returns for how long';

CREATE FUNCTION saleshub.check_locked(email text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    locked integer := saleshub.sign_in_locked(check_locked.email);
BEGIN
    IF locked IS NOT NULL THEN
        PERFORM saleshub.raise('SH429', 'too many failed attempts',
            jsonb_build_object('code', 'too_many_attempts', 'retry_after', locked));
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.check_locked(text) IS 'Raises SH429 while an e-mail address is locked';

-- Signing in

CREATE FUNCTION saleshub.sign_in_lookup(email text, org text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.check_locked(sign_in_lookup.email);
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'org_id', found.org_id, 'org_name', found.name, 'member_id', found.member_id,
                   'hash', found.hash) ORDER BY found.name, found.org_id), '[]')
          FROM (SELECT o.org_id, o.name, m.member_id, c.hash
                  FROM saleshub.login l
                  JOIN crm.member m ON m.org_id = l.org_id AND m.member_id = l.member_id
                  JOIN crm.org o ON o.org_id = l.org_id
                  JOIN saleshub.credential c
                    ON c.org_id = l.org_id AND c.member_id = l.member_id
                 WHERE l.email = lower(btrim(sign_in_lookup.email))
                   AND m.active AND m.deleted_at IS NULL
                   AND (sign_in_lookup.org IS NULL OR o.org_id::text = lower(sign_in_lookup.org)
                        OR lower(o.name) = lower(btrim(sign_in_lookup.org)))
                 ORDER BY o.created_at, o.org_id
                 LIMIT 8) found);
END
$$;
ALTER FUNCTION saleshub.sign_in_lookup(text, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sign_in_lookup(text, text) IS
    'For the gateway: the members with that e-mail address, at most 8, and their password hashes; org (id or name) picks one organisation. SH429 while the address is locked';

CREATE FUNCTION saleshub.refresh_token(org uuid, session uuid, family bytea, secret bytea)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'shr_' || replace(org::text || session::text, '-', '') || encode(family, 'hex')
           || encode(secret, 'hex')
$$;
COMMENT ON FUNCTION saleshub.refresh_token(uuid, uuid, bytea, bytea) IS
    'The text of a refresh token: which session, 128 bits of the session, 256 bits of this token';

CREATE FUNCTION saleshub.random_256() RETURNS bytea
LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- Two of these hold 244 random bits of the strong generator, three are more than needed.
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                  || uuid_send(gen_random_uuid()))
$$;
COMMENT ON FUNCTION saleshub.random_256() IS '32 bytes that nobody can guess';

CREATE FUNCTION saleshub.session_member(org uuid, member uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('id', m.member_id, 'org_id', m.org_id, 'name', m.name,
                                      'email', m.email, 'role', m.role)
              FROM crm.member m
             WHERE m.org_id = session_member.org AND m.member_id = session_member.member
               AND m.active AND m.deleted_at IS NULL);
END
$$;
COMMENT ON FUNCTION saleshub.session_member(uuid, uuid) IS
    'A member as the answer to a sign-in shows it; NULL when it may not work';

CREATE FUNCTION saleshub.session_open(
    org uuid, member uuid, ip text, user_agent text, device text, life_s integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    who jsonb := saleshub.session_member(org, member);
    session uuid := crm.uuid_v7();
    family bytea := substring(saleshub.random_256() FROM 1 FOR 16);
    secret bytea := saleshub.random_256();
BEGIN
    IF who IS NULL THEN
        PERFORM saleshub.raise('28000', 'the member may not sign in');
    END IF;
    -- Attempts that ran beside this one may have locked the address since the look-up.
    PERFORM saleshub.check_locked(who ->> 'email');
    DELETE FROM saleshub.login_failure f
     WHERE f.email_hash = sha256(convert_to(who ->> 'email', 'UTF8'));
    DELETE FROM saleshub.session s
     WHERE s.org_id = session_open.org AND s.member_id = session_open.member
       AND least(s.revoked_at, s.expires_at) < now() - interval '30 days';
    INSERT INTO saleshub.session (org_id, session_id, member_id, expires_at, family_hash,
                                  refresh_hash, ip, user_agent, device)
    VALUES (org, session, member, now() + life_s * interval '1 second', sha256(family),
            sha256(secret), left(session_open.ip, 64), left(session_open.user_agent, 400),
            left(session_open.device, 200));
    RETURN jsonb_build_object('session_id', session, 'member', who,
                              'refresh_token', saleshub.refresh_token(org, session, family, secret));
END
$$;
ALTER FUNCTION saleshub.session_open(uuid, uuid, text, text, text, integer)
    OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.session_open(uuid, uuid, text, text, text, integer) IS
    'For the gateway: opens a session for a member whose password matched; forgets failed attempts, and sessions of the member that ended a month ago';

CREATE FUNCTION saleshub.sign_up(
    org_name text, name text, email text, password_hash text, ip text, user_agent text,
    device text, life_s integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    made jsonb := crm.org_create(sign_up.org_name, sign_up.name, sign_up.email);
    org uuid := (made ->> 'org_id')::uuid;
    member uuid := (made ->> 'member_id')::uuid;
BEGIN
    INSERT INTO saleshub.credential (org_id, member_id, hash)
    VALUES (org, member, sign_up.password_hash);
    RETURN saleshub.session_open(org, member, sign_up.ip, sign_up.user_agent, sign_up.device,
                                 sign_up.life_s);
END
$$;
ALTER FUNCTION saleshub.sign_up(text, text, text, text, text, text, text, integer)
    OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.sign_up(text, text, text, text, text, text, text, integer) IS
    'For the gateway: a new organisation, its first admin and a session';

-- Refreshing

CREATE FUNCTION saleshub.session_refresh(
    token text, ip text, user_agent text, life_s integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    grace CONSTANT interval := '30 seconds';
    org uuid;
    session uuid;
    family bytea;
    secret bytea;
    s record;
    who jsonb;
BEGIN
    IF token !~ '^shr_[0-9a-f]{160}$' THEN
        RETURN NULL;
    END IF;
    org := substr(token, 5, 32)::uuid;
    session := substr(token, 37, 32)::uuid;
    family := decode(substr(token, 69, 32), 'hex');
    secret := decode(substr(token, 101, 64), 'hex');
    SELECT * INTO s FROM saleshub.session i
     WHERE i.org_id = org AND i.session_id = session AND i.revoked_at IS NULL
       AND i.expires_at > now()
       FOR UPDATE;
    IF NOT FOUND OR s.family_hash <> sha256(family) THEN
        RETURN NULL;
    END IF;
    who := saleshub.session_member(org, s.member_id);
    IF who IS NULL THEN
        RETURN NULL;
    END IF;
    IF s.refresh_hash = sha256(secret) THEN
        s.salt := saleshub.random_256();
        UPDATE saleshub.session i
           SET previous_hash = i.refresh_hash, salt = s.salt,
               refresh_hash = sha256(sha256(secret || s.salt)), refreshed_at = clock_timestamp(),
               expires_at = greatest(i.expires_at, now() + life_s * interval '1 second'),
               ip = left(session_refresh.ip, 64),
               user_agent = left(session_refresh.user_agent, 400)
         WHERE i.org_id = org AND i.session_id = session;
    ELSIF s.previous_hash IS DISTINCT FROM sha256(secret)
          OR s.refreshed_at < clock_timestamp() - grace THEN
        -- Somebody else has used this token: whoever of the two is the thief, both are out. Not
        -- an error, which would undo it.
        UPDATE saleshub.session i SET revoked_at = now(), reason = 'refresh_reused'
         WHERE i.org_id = org AND i.session_id = session;
        RETURN NULL;
    END IF;
    -- Two tabs, or an answer that was lost: the same token follows from the previous one again.
    RETURN jsonb_build_object(
        'session_id', session, 'member', who,
        'refresh_token', saleshub.refresh_token(org, session, family, sha256(secret || s.salt)));
END
$$;
ALTER FUNCTION saleshub.session_refresh(text, text, text, integer) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.session_refresh(text, text, text, integer) IS
    'For the gateway: the next refresh token for the current one; for the previous one, within 30 seconds of the change, the current one again; an older one revokes the session. NULL: refused';

-- Passwords

CREATE FUNCTION saleshub.credential_set(org uuid, member uuid, hash text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF hash !~ '^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$' THEN
        PERFORM saleshub.raise('22023', 'not an argon2id hash', NULL,
            'Make one with saleshub-gateway --hash-password.');
    END IF;
    INSERT INTO saleshub.credential AS c (org_id, member_id, hash)
    VALUES (credential_set.org, credential_set.member, credential_set.hash)
    ON CONFLICT (org_id, member_id) DO UPDATE SET hash = excluded.hash, changed_at = now();
END
$$;
COMMENT ON FUNCTION saleshub.credential_set(uuid, uuid, text) IS
    'Stores the password hash of a member';

CREATE FUNCTION saleshub.set_password(email text, hash text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    account record;
    members integer := 0;
BEGIN
    FOR account IN
        SELECT l.org_id, l.member_id FROM saleshub.login l
         WHERE l.email = lower(btrim(set_password.email))
         ORDER BY l.org_id
    LOOP
        PERFORM saleshub.credential_set(account.org_id, account.member_id, set_password.hash);
        members := members + 1;
    END LOOP;
    IF members = 0 THEN
        PERFORM saleshub.raise('P0002', format('no member has the e-mail address %s', email));
    END IF;
    DELETE FROM saleshub.login_failure f
     WHERE f.email_hash = sha256(convert_to(lower(btrim(set_password.email)), 'UTF8'));
    RETURN members;
END
$$;
COMMENT ON FUNCTION saleshub.set_password(text, text) IS
    'For superusers: sets the password of every member with that e-mail address to a hash made by saleshub-gateway --hash-password, and unlocks the address; returns how many members that were';

CREATE FUNCTION saleshub.password_lookup(org uuid, session uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    own record;
BEGIN
    SELECT m.email, c.hash INTO own
      FROM saleshub.session s
      JOIN crm.member m ON m.org_id = s.org_id AND m.member_id = s.member_id
      LEFT JOIN saleshub.credential c ON c.org_id = s.org_id AND c.member_id = s.member_id
     WHERE s.org_id = password_lookup.org AND s.session_id = password_lookup.session
       AND s.revoked_at IS NULL AND s.expires_at > now() AND m.active AND m.deleted_at IS NULL;
    IF NOT FOUND THEN
        PERFORM saleshub.raise('28000', 'the session has ended');
    END IF;
    PERFORM saleshub.check_locked(own.email);
    RETURN jsonb_build_object('email', own.email, 'hash', own.hash);
END
$$;
ALTER FUNCTION saleshub.password_lookup(uuid, uuid) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.password_lookup(uuid, uuid) IS
    'For the gateway: e-mail address and password hash of the member of a session, to confirm a change of the password';

CREATE FUNCTION saleshub.password_change(
    org uuid, session uuid, hash text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    member uuid;
BEGIN
    SELECT s.member_id INTO member
      FROM saleshub.session s
     WHERE s.org_id = password_change.org AND s.session_id = password_change.session
       AND s.revoked_at IS NULL AND s.expires_at > now()
       FOR UPDATE;
    IF NOT FOUND OR saleshub.session_member(org, member) IS NULL THEN
        PERFORM saleshub.raise('28000', 'the session has ended');
    END IF;
    PERFORM saleshub.credential_set(org, member, hash);
    UPDATE saleshub.session s SET revoked_at = now(), reason = 'password'
     WHERE s.org_id = password_change.org AND s.member_id = member
       AND s.session_id <> password_change.session AND s.revoked_at IS NULL;
END
$$;
ALTER FUNCTION saleshub.password_change(uuid, uuid, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.password_change(uuid, uuid, text) IS
    'For the gateway: stores the new password hash of the member of a session and ends the member''s other sessions';

-- The member's own sessions

CREATE FUNCTION saleshub.need_member() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.org_id() IS NULL OR saleshub.member_id() IS NULL THEN
        PERFORM saleshub.raise('42501', 'this needs a member');
    END IF;
END
$$;
COMMENT ON FUNCTION saleshub.need_member() IS 'Raises 42501 when nobody is signed in';

CREATE FUNCTION crm.session_list() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.need_member();
    RETURN jsonb_build_object('data', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'id', s.session_id, 'current', s.session_id IS NOT DISTINCT FROM saleshub.session_id(),
                   'device', s.device, 'user_agent', s.user_agent, 'ip', s.ip,
                   'created_at', saleshub.utc(s.created_at),
                   'refreshed_at', saleshub.utc(s.refreshed_at),
                   'expires_at', saleshub.utc(s.expires_at))
               ORDER BY s.refreshed_at DESC, s.session_id), '[]')
          FROM saleshub.session s
         WHERE s.org_id = saleshub.org_id() AND s.member_id = saleshub.member_id()
           AND s.revoked_at IS NULL AND s.expires_at > now()), 'next_cursor', NULL);
END
$$;
ALTER FUNCTION crm.session_list() OWNER TO saleshub_owner;
COMMENT ON FUNCTION crm.session_list() IS 'The devices on which the member is signed in';

CREATE FUNCTION saleshub.session_revoke(id uuid, others boolean, why text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ended integer;
BEGIN
    PERFORM saleshub.need_member();
    UPDATE saleshub.session s SET revoked_at = now(), reason = why
     WHERE s.org_id = saleshub.org_id() AND s.member_id = saleshub.member_id()
       AND CASE WHEN others THEN s.session_id IS DISTINCT FROM session_revoke.id
                ELSE s.session_id = session_revoke.id END
       AND s.revoked_at IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
ALTER FUNCTION saleshub.session_revoke(uuid, boolean, text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.session_revoke(uuid, boolean, text) IS
    'Ends one session of the member, or all others; returns how many';

CREATE FUNCTION crm.session_delete(id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF saleshub.session_revoke(id, false, 'revoked') = 0 THEN
        PERFORM saleshub.raise('P0002', 'no such session');
    END IF;
END
$$;
COMMENT ON FUNCTION crm.session_delete(uuid) IS 'Signs the member out on one device';

CREATE FUNCTION crm.session_delete_others() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.session_revoke(saleshub.session_id(), true, 'revoked');
END
$$;
COMMENT ON FUNCTION crm.session_delete_others() IS
    'Signs the member out everywhere but in the present session';

CREATE FUNCTION crm.sign_out() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.session_revoke(saleshub.session_id(), false, 'sign_out');
END
$$;
COMMENT ON FUNCTION crm.sign_out() IS 'Ends the present session';

CREATE FUNCTION saleshub.routes_session() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route('POST /v1/auth/sign-out', 'crm.sign_out()', 'Sign out', 'auth',
                           success => 204);
    PERFORM saleshub.route('GET /v1/auth/sessions', 'crm.session_list()',
                           'Devices on which I am signed in', 'auth',
                           answer => saleshub.page_shape('"Session"'));
    PERFORM saleshub.route('DELETE /v1/auth/sessions', 'crm.session_delete_others()',
                           'Sign out everywhere else', 'auth', success => 204);
    PERFORM saleshub.route('DELETE /v1/auth/sessions/{id}', 'crm.session_delete(uuid)',
                           'Sign out on one device', 'auth', success => 204);
END
$$;
COMMENT ON FUNCTION saleshub.routes_session() IS 'Routes of sessions';
