-- Schemas, roles, and the functions in C that everything else stands on.

CREATE SCHEMA saleshub;
COMMENT ON SCHEMA saleshub IS 'Machinery of SalesHub: context, routes, events, rollups, sessions';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'saleshub_owner') THEN
        CREATE ROLE saleshub_owner NOLOGIN NOINHERIT NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'saleshub_user') THEN
        CREATE ROLE saleshub_user NOLOGIN NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'saleshub_gateway') THEN
        CREATE ROLE saleshub_gateway LOGIN NOINHERIT NOBYPASSRLS;
    END IF;
    -- Whom functions and views of schema sales run as; nobody is made a member of these.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'saleshub_member') THEN
        CREATE ROLE saleshub_member NOLOGIN INHERIT NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'saleshub_view') THEN
        CREATE ROLE saleshub_view NOLOGIN NOINHERIT NOBYPASSRLS;
    END IF;
    GRANT saleshub_user TO saleshub_gateway, saleshub_member;
END
$$;

GRANT USAGE ON SCHEMA crm, saleshub TO saleshub_owner, saleshub_user, saleshub_gateway, saleshub_view;

-- Ids

CREATE FUNCTION crm.uuid_v7() RETURNS uuid
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_crm_uuid_v7';
COMMENT ON FUNCTION crm.uuid_v7() IS
    'A new UUID version 7 (RFC 9562): ordered by time, increasing within a session';

-- Context

CREATE FUNCTION saleshub.org_id() RETURNS uuid
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_org_id';
COMMENT ON FUNCTION saleshub.org_id() IS 'Organisation of the current request; NULL: none';

CREATE FUNCTION saleshub.member_id() RETURNS uuid
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_member_id';
COMMENT ON FUNCTION saleshub.member_id() IS 'Member who makes the current request; NULL: none';

CREATE FUNCTION saleshub.session_id() RETURNS uuid
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_session_id';
COMMENT ON FUNCTION saleshub.session_id() IS
    'Session in which the member makes the current request; NULL: none';

CREATE FUNCTION saleshub.member_role() RETURNS text
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_member_role';
COMMENT ON FUNCTION saleshub.member_role() IS
    'Role of that member: admin, manager, rep or readonly; NULL: none';

CREATE FUNCTION saleshub.request_id() RETURNS text
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_request_id';
COMMENT ON FUNCTION saleshub.request_id() IS 'Identifier of the current request; NULL: none';

CREATE FUNCTION saleshub.may_write() RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_may_write';
COMMENT ON FUNCTION saleshub.may_write() IS 'Whether the member''s role may change records';

CREATE FUNCTION saleshub.ctx(
    org uuid, session uuid, request_id text, read_only boolean, timeout_ms integer,
    record boolean,
    OUT boot bigint, OUT asof bigint, OUT route_epoch bigint, OUT session_slot integer,
    OUT member_slot integer, OUT member_id uuid, OUT member_role text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_ctx';
COMMENT ON FUNCTION saleshub.ctx(uuid, uuid, text, boolean, integer, boolean) IS
    'For the gateway: the first statement of a request. Checks the session (SQLSTATE 28000 when it has ended), sets organisation, member, role and limits for this transaction, and starts to note what is read when asked to record. boot and asof stamp the answer for the response cache';

CREATE FUNCTION saleshub.reply(
    status integer DEFAULT NULL, etag text DEFAULT NULL, location text DEFAULT NULL,
    headers jsonb DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_reply';
COMMENT ON FUNCTION saleshub.reply(integer, text, text, jsonb) IS
    'In a routed function: status of success, ETag (without quotes), Location and further headers of the HTTP answer; without effect in plain SQL';

CREATE FUNCTION saleshub.finish(
    OUT status integer, OUT etag text, OUT location text, OUT headers text, OUT slots bytea,
    OUT cacheable boolean, OUT gseq text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_finish';
COMMENT ON FUNCTION saleshub.finish() IS
    'For the gateway: the last statement of a request. What reply() said; the cache slots of everything that was read (int4, network order) and whether the answer may be stored; the event position from which a live view continues';

-- Cache invalidation

CREATE FUNCTION saleshub.touch(tag text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_touch';
COMMENT ON FUNCTION saleshub.touch(text) IS
    'When this transaction commits, invalidate the cached answers that depend on the tag; ''all'': every answer';

CREATE FUNCTION saleshub.cache_check(checks bytea) RETURNS bytea
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_cache_check';
COMMENT ON FUNCTION saleshub.cache_check(bytea) IS
    'For the gateway: entries of boot int8, asof int8, n int2, n slots int4 (big endian); answers one byte each, 1 when nothing it depends on has changed';

CREATE FUNCTION saleshub.route_epoch() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_route_epoch';
COMMENT ON FUNCTION saleshub.route_epoch() IS
    'For the gateway: a number that grows with every change of definitions, as ctx() tells it; read it in a statement before the routes. 0 without preload';

-- Dynamic SQL and errors

CREATE FUNCTION saleshub.run(sql text, args jsonb) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_run';
COMMENT ON FUNCTION saleshub.run(text, jsonb) IS
    'Runs a statement with the one parameter $1 jsonb and returns the first column of its first row, which must be jsonb. Plans are kept per session by text: build it from literals and known names only, values go into args';

CREATE FUNCTION saleshub.raise(
    sqlstate text, message text, detail jsonb DEFAULT NULL, hint text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sh_raise';
COMMENT ON FUNCTION saleshub.raise(text, text, jsonb, text) IS
    'Raises an error. The detail is JSON that the gateway merges into its problem document: code, errors [{pointer, code, detail}] and further members';

-- Trigger functions

CREATE FUNCTION saleshub.stamp() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_stamp';
COMMENT ON FUNCTION saleshub.stamp() IS
    'Trigger: a new version, updated_at and updated_by for a row that really changed';

CREATE FUNCTION saleshub.capture() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_capture';
COMMENT ON FUNCTION saleshub.capture() IS
    'Trigger: history, events and cache invalidation of a statement''s rows; arguments: entity, key column';

CREATE FUNCTION saleshub.rollup() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_rollup';
COMMENT ON FUNCTION saleshub.rollup() IS
    'Trigger: rollup deltas of a statement''s rows; argument: lead, deal or activity';

CREATE FUNCTION saleshub.no_truncate() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sh_no_truncate';
COMMENT ON FUNCTION saleshub.no_truncate() IS 'Trigger: refuses TRUNCATE of a record table';

