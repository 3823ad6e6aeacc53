-- HTTP routes: registering them, and the catalogue that the gateway loads.

CREATE FUNCTION saleshub.route_changed() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- the slot of definitions: its number is the route epoch of every reply
    PERFORM saleshub.touch('ddl');
    RETURN NULL;
END
$$;
ALTER FUNCTION saleshub.route_changed() OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.route_changed() IS
    'Trigger: tells the gateways at commit that the routes have changed';

CREATE FUNCTION saleshub.role_rank(role text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN array_position(ARRAY['readonly', 'rep', 'manager', 'admin'], role);
COMMENT ON FUNCTION saleshub.role_rank(text) IS
    'How much a role may do, from 1; NULL for what is no role';

CREATE FUNCTION saleshub.require_role(minimum text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF saleshub.role_rank(saleshub.member_role()) >= saleshub.role_rank(minimum) THEN
        RETURN 1;
    END IF;
    RAISE EXCEPTION 'only members of role % or above may do this', minimum
        USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION saleshub.require_role(text) IS
    'Raises 42501 unless the member has this role or a higher one: readonly, rep, manager, admin';

CREATE FUNCTION saleshub.route_type_schema(type oid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
BEGIN
    SELECT p.typtype, p.typbasetype, p.typelem, p.typcategory INTO t
      FROM pg_type p WHERE p.oid = route_type_schema.type;
    IF t.typtype = 'd' THEN
        RETURN saleshub.route_type_schema(t.typbasetype);
    ELSIF t.typtype = 'e' THEN
        RETURN jsonb_build_object('type', 'string', 'enum',
            (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
               FROM pg_enum e WHERE e.enumtypid = route_type_schema.type));
    ELSIF t.typcategory = 'A' THEN
        RETURN jsonb_build_object('type', 'array', 'items',
                                  saleshub.route_type_schema(t.typelem));
    END IF;
    RETURN CASE route_type_schema.type
        WHEN 'int2'::regtype THEN '{"type": "integer", "minimum": -32768, "maximum": 32767}'
        WHEN 'int4'::regtype THEN
            '{"type": "integer", "minimum": -2147483648, "maximum": 2147483647}'
        WHEN 'int8'::regtype THEN '{"type": "integer"}'
        WHEN 'numeric'::regtype THEN '{"type": "number"}'
        WHEN 'float4'::regtype THEN '{"type": "number"}'
        WHEN 'float8'::regtype THEN '{"type": "number"}'
        WHEN 'bool'::regtype THEN '{"type": "boolean"}'
        WHEN 'uuid'::regtype THEN '{"type": "string", "format": "uuid"}'
        WHEN 'date'::regtype THEN '{"type": "string", "format": "date"}'
        WHEN 'timestamptz'::regtype THEN '{"type": "string", "format": "date-time"}'
        WHEN 'json'::regtype THEN '{}'
        WHEN 'jsonb'::regtype THEN '{}'
        ELSE '{"type": "string"}'
    END::jsonb;
END
$$;
COMMENT ON FUNCTION saleshub.route_type_schema(oid) IS
    'The JSON Schema of the values that a type accepts';

CREATE FUNCTION saleshub.route_args(
    func regprocedure, method text, path text, args jsonb,
    OUT n integer, OUT name text, OUT source text, OUT wire text, OUT type oid,
    OUT required boolean, OUT schema jsonb, OUT value text) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH a AS (
        SELECT i::integer AS n, coalesce(p.proargnames[i], '') AS name, t AS type,
               rtrim(coalesce(p.proargnames[i], ''), '_') AS wire,
               i <= p.pronargs - p.pronargdefaults AS required,
               pg_get_function_arg_default(p.oid, i::integer) AS preset
          FROM pg_proc p, unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (t, i)
         WHERE p.oid = route_args.func
    ), w AS (
        SELECT a.*, CASE
            WHEN strpos(route_args.path, '{' || a.wire || '}') > 0 THEN 'path'
            WHEN a.name IN ('if_match', 'accept') THEN 'header'
            WHEN a.name = 'count_' AND a.type = 'bool'::regtype THEN 'prefer'
            WHEN a.name = 'filters' AND a.type = 'jsonb'::regtype THEN 'filters'
            WHEN a.name = 'upload' AND a.type = 'uuid'::regtype
                AND route_args.method IN ('POST', 'PUT') THEN 'upload'
            WHEN a.name IN ('body', 'patch', 'opts') AND a.type = 'jsonb'::regtype
                AND route_args.method IN ('POST', 'PUT', 'PATCH')
                AND NOT EXISTS (SELECT FROM a u WHERE u.name = 'upload' AND u.type = 'uuid'::regtype)
                THEN 'body'
            ELSE 'query' END AS source
          FROM a
    ), s AS (
        SELECT w.*, coalesce(route_args.args -> w.name, route_args.args -> w.wire,
                             CASE w.source WHEN 'body' THEN route_args.args -> 'body' END) AS said
          FROM w
    )
    SELECT s.n, s.name, s.source,
           CASE s.source WHEN 'header' THEN initcap(replace(s.name, '_', '-'))
                WHEN 'prefer' THEN 'count=exact'
                ELSE s.wire END,
           s.type, s.required,
           saleshub.route_type_schema(s.type)
               || coalesce(s.said -> 'schema', s.said, '{}'),
           -- an argument that the request does not give has the function's default
           CASE WHEN s.preset IS NULL OR s.preset LIKE 'NULL::%' THEN
                    format('$%s::%s', s.n, format_type(s.type, NULL))
                ELSE format('coalesce($%s::%s, %s)', s.n, format_type(s.type, NULL), s.preset) END
      FROM s
     ORDER BY s.n
$$;
COMMENT ON FUNCTION saleshub.route_args(regprocedure, text, text, jsonb) IS
    'Where each argument of a routed function comes from in a request, and what it may be';

CREATE FUNCTION saleshub.route(
    spec text, func text, summary text, tag text, auth text DEFAULT 'session',
    cache text DEFAULT 'none', success integer DEFAULT 200, idempotent boolean DEFAULT false,
    max_body integer DEFAULT 1048576, timeout_ms integer DEFAULT 5000,
    args jsonb DEFAULT NULL, role text DEFAULT NULL, answer jsonb DEFAULT NULL,
    accepted boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
<<route>>
DECLARE
    method CONSTANT text := upper(split_part(route.spec, ' ', 1));
    path CONSTANT text := split_part(route.spec, ' ', 2);
    oid CONSTANT regprocedure := to_regprocedure(route.func);
    f record;
    missing text;
BEGIN
    IF oid IS NULL THEN
        RAISE EXCEPTION 'route %: there is no function %', route.spec, route.func
            USING ERRCODE = 'undefined_function';
    END IF;
    SELECT p.provolatile, p.prorettype, p.proretset, p.provariadic, n.nspname, p.proname,
           oidvectortypes(p.proargtypes) AS types
      INTO f
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE p.oid = route.oid;
    IF f.proretset OR f.provariadic <> 0
        OR f.prorettype NOT IN ('json'::regtype, 'jsonb'::regtype, 'void'::regtype,
                                'refcursor'::regtype) THEN
        RAISE EXCEPTION 'route %: % must return one jsonb (or void, or refcursor) and have no VARIADIC argument',
            route.spec, route.func USING ERRCODE = 'invalid_function_definition';
    END IF;
    IF f.prorettype = 'refcursor'::regtype
        AND (method <> 'GET' OR route.auth <> 'session' OR route.cache <> 'none') THEN
        RAISE EXCEPTION 'route %: only GET by members can give out a cursor, and nothing keeps it',
            route.spec USING ERRCODE = 'invalid_function_definition';
    END IF;
    IF route.cache <> 'none' AND (method <> 'GET' OR f.provolatile = 'v') THEN
        RAISE EXCEPTION 'route %: only GET of a STABLE or IMMUTABLE function can be cached',
            route.spec USING ERRCODE = 'invalid_function_definition';
    END IF;
    SELECT string_agg(m[1], ', ') INTO missing
      FROM regexp_matches(path, '\{([^}]*)\}', 'g') m
     WHERE NOT EXISTS (SELECT FROM saleshub.route_args(oid, method, path, route.args) a
                        WHERE a.source = 'path' AND a.wire = m[1] AND a.type <> 'jsonb'::regtype);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'route %: % has no argument %', route.spec, route.func, missing
            USING ERRCODE = 'invalid_function_definition';
    END IF;
    SELECT string_agg(k, ', ') INTO missing
      FROM jsonb_object_keys(coalesce(route.args, '{}')) k
     WHERE NOT EXISTS (SELECT FROM saleshub.route_args(oid, method, path, NULL) a
                        WHERE k IN (a.name, a.wire) OR k = 'body' AND a.source = 'body');
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'route %: args names %, which % does not have', route.spec, missing,
            route.func USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO saleshub.route AS r (method, path, func, summary, tag, auth, cache, success,
                                     idempotent, max_body, timeout_ms, args, role, answer,
                                     accepted)
    VALUES (route.method, route.path, format('%I.%I(%s)', f.nspname, f.proname, f.types),
            route.summary, route.tag, route.auth, route.cache, route.success, route.idempotent,
            route.max_body, route.timeout_ms, route.args, route.role,
            saleshub.answer_schema(route.answer), route.accepted)
    ON CONFLICT ON CONSTRAINT route_path DO UPDATE
       SET func = excluded.func, summary = excluded.summary, tag = excluded.tag,
           auth = excluded.auth, cache = excluded.cache, success = excluded.success,
           idempotent = excluded.idempotent, max_body = excluded.max_body,
           timeout_ms = excluded.timeout_ms, args = excluded.args, role = excluded.role,
           answer = excluded.answer, accepted = excluded.accepted;
END
$$;
COMMENT ON FUNCTION saleshub.route(text, text, text, text, text, text, integer, boolean, integer,
                                   integer, jsonb, text, jsonb, boolean) IS
    'Registers (or changes) an HTTP route: SELECT saleshub.route(''GET /v1/leads/{id}'', ''crm.lead_get(uuid)'', ''Read a lead'', ''leads'', cache => ''strict'', answer => ''"Lead"''); answer is a shape as saleshub.answer_schema reads it; accepted: 202 when the work goes on after the answer';

CREATE FUNCTION saleshub.route_catalog(described boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH r AS (
            SELECT t.*, to_regprocedure(t.func) AS oid FROM saleshub.route t
        ), a AS (
            SELECT r.route_id,
                   string_agg(format('%I => %s', x.name, x.value), ', ' ORDER BY x.n) AS call,
                   jsonb_agg(jsonb_build_object(
                       'n', x.n, 'name', x.name, 'in', x.source, 'wire', x.wire,
                       'type', format_type(x.type, NULL), 'required', x.required,
                       'schema', x.schema) ORDER BY x.n) AS args
              FROM r, saleshub.route_args(r.oid, r.method, r.path, r.args) x
             WHERE r.oid IS NOT NULL
             GROUP BY r.route_id
        )
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'id', r.route_id, 'method', r.method, 'path', r.path,
                   'sql', format('SELECT %I.%I(%s)', n.nspname, p.proname, a.call)
                          || CASE WHEN r.role IS NULL THEN ''
                                  ELSE format(' FROM saleshub.require_role(%L)', r.role) END,
                   'auth', r.auth, 'cache', r.cache, 'success', r.success,
                   'idempotent', r.idempotent, 'max_body', r.max_body,
                   'timeout_ms', r.timeout_ms,
                   'stream', p.prorettype = 'refcursor'::regtype,
                   -- what is given out may be noted
                   'read_only', r.method = 'GET' AND NOT (p.prorettype = 'refcursor'::regtype
                                                          AND p.provolatile = 'v'),
                   'args', coalesce(a.args, '[]'))
                   || CASE WHEN described THEN jsonb_build_object(
                       'operation', p.proname, 'summary', r.summary, 'tag', r.tag,
                       'description', obj_description(p.oid, 'pg_proc'), 'role', r.role,
                       'accepted', r.accepted) ELSE '{}' END
                   || CASE WHEN described AND r.answer IS NOT NULL THEN
                       jsonb_build_object('answer', r.answer) ELSE '{}' END
                   ORDER BY r.route_id), '[]')
          FROM r
          JOIN pg_proc p ON p.oid = r.oid
          JOIN pg_namespace n ON n.oid = p.pronamespace
          LEFT JOIN a ON a.route_id = r.route_id);
END
$$;
ALTER FUNCTION saleshub.route_catalog(boolean) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.route_catalog(boolean) IS
    'All routes as the gateway needs them: the statement to run, and for each argument where it comes from and its JSON Schema; described: also what the OpenAPI document says of them. Routes whose function is gone are left out';
