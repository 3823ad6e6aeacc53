-- The OpenAPI 3.1 document of the HTTP routes, made from the same catalogue that the gateway serves
-- from: saleshub.route, the signatures and comments of the functions, and the shapes of answers.

CREATE FUNCTION saleshub.openapi_parameter(source text, wire text, required boolean, schema jsonb)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN source = 'prefer' THEN '{"$ref": "#/components/parameters/Prefer"}'
        WHEN wire = 'If-Match' THEN '{"$ref": "#/components/parameters/IfMatch"}'
        WHEN source IN ('path', 'query', 'header') AND wire <> 'Accept' THEN jsonb_strip_nulls(jsonb_build_object(
            'name', wire, 'in', source, 'required', required OR source = 'path',
            'description', schema -> 'description', 'schema', schema - 'description')) END;
COMMENT ON FUNCTION saleshub.openapi_parameter(text, text, boolean, jsonb) IS
    'The OpenAPI parameter of an argument; NULL for what is none, as bodies and Accept';

CREATE FUNCTION saleshub.openapi_filters(schema jsonb) RETURNS SETOF jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- a condition may be a comma list or null, so its value is text that the gateway reads
    SELECT jsonb_build_object(
        'name', f.key, 'in', 'query', 'required', false,
        'description', concat_ws('. ',
            'Only those whose ' || f.key || ' is one of these, a comma list',
            f.value ->> 'description',
            (SELECT 'Values: ' || string_agg(v, ', ')
               FROM jsonb_array_elements_text(f.value -> 'enum') v),
            'Also with an operator: ' || f.key || '[ne], [lt], [lte], [gt], [gte], [in]'),
        'schema', '{"type": "string"}'::jsonb)
      FROM jsonb_each(schema -> 'fields') f
     WHERE f.key NOT LIKE '%*%'
$$;
COMMENT ON FUNCTION saleshub.openapi_filters(jsonb) IS
    'The OpenAPI parameters of the fields that a list filters by';

CREATE FUNCTION saleshub.openapi_body(source text, required boolean, schema jsonb, patch boolean)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN source = 'upload' THEN jsonb_build_object('required', required, 'content',
            (SELECT jsonb_object_agg(t, '{}'::jsonb)
               FROM jsonb_array_elements_text(coalesce(schema -> 'types', '["*/*"]')) t)
            || '{"multipart/form-data": {"schema": {"type": "object", "required": ["file"],
                 "properties": {"file": {"type": "string", "format": "binary"}}}}}')
        ELSE jsonb_build_object('required', required, 'content',
            jsonb_build_object('application/json', jsonb_build_object('schema', schema))
            || CASE WHEN patch THEN jsonb_build_object(
                'application/merge-patch+json', jsonb_build_object('schema', schema))
               ELSE '{}' END) END;
COMMENT ON FUNCTION saleshub.openapi_body(text, boolean, jsonb, boolean) IS
    'The OpenAPI request body of an argument: JSON, a merge patch, or a file';

CREATE FUNCTION saleshub.openapi_errors(r jsonb, has_body boolean, if_match boolean) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(e.status, jsonb_build_object('$ref', '#/components/responses/' || e.name))
      FROM (VALUES ('400', 'BadRequest', true),
                   ('401', 'Unauthenticated', r ->> 'auth' <> 'none'),
                   ('403', 'Forbidden', r ->> 'auth' = 'session'),
                   ('404', 'NotFound', r ->> 'path' LIKE '%{%' OR r ->> 'method' <> 'GET'),
                   ('409', 'Conflict', r ->> 'method' <> 'GET'),
                   ('412', 'PreconditionFailed', if_match),
                   ('413', 'TooLarge', has_body),
                   ('415', 'UnsupportedMediaType', has_body),
                   ('422', 'Invalid', has_body OR r ->> 'method' <> 'GET'),
                   ('429', 'TooManyRequests', true),
                   ('503', 'Unavailable', true),
                   ('default', 'Fault', true)) AS e (status, name, applies)
     WHERE e.applies
$$;
COMMENT ON FUNCTION saleshub.openapi_errors(jsonb, boolean, boolean) IS
    'The OpenAPI responses of a route of the catalogue that say what went wrong';

CREATE FUNCTION saleshub.openapi_content(r jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN CASE WHEN (r ->> 'stream')::boolean
        THEN coalesce(r -> 'answer', '{"*/*": {"schema": {"type": "string", "format": "binary"}}}')
        ELSE jsonb_build_object('application/json',
                                jsonb_build_object('schema', coalesce(r -> 'answer', '{}'))) END;
COMMENT ON FUNCTION saleshub.openapi_content(jsonb) IS
    'What a route of the catalogue answers, per media type; of streams the answer is said so';

CREATE FUNCTION saleshub.openapi_success(r jsonb, if_match boolean) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(s.status, jsonb_build_object(
            'description', CASE s.status WHEN '201' THEN 'Created' WHEN '202' THEN 'Accepted: the work goes on'
                                         WHEN '204' THEN 'Done' ELSE 'The answer' END,
            'headers', (
                SELECT jsonb_object_agg(h.name, jsonb_build_object(
                    '$ref', '#/components/headers/' || h.name))
                  FROM (VALUES ('X-Request-Id', true), ('Location', s.status = '201'),
                               ('Cache-Status', r ->> 'cache' = 'strict'),
                               ('ETag', k.kept OR if_match)) AS h (name, has)
                 WHERE h.has))
            || CASE WHEN s.status = '204' THEN '{}' ELSE jsonb_build_object('content', k.content) END)
        || CASE WHEN k.kept THEN '{"304": {"$ref": "#/components/responses/NotModified"}}'
                ELSE '{}' END::jsonb
        || CASE WHEN k.kept AND r ->> 'path' LIKE '%/{id}'
                THEN jsonb_build_object('308', jsonb_build_object(
                    'description', 'It was merged into this record, which is at Location',
                    'headers', '{"Location": {"$ref": "#/components/headers/Location"}}'::jsonb,
                    'content', k.content)) ELSE '{}' END
      FROM (SELECT r ->> 'method' = 'GET' AND NOT (r ->> 'stream')::boolean AS kept,
                   saleshub.openapi_content(r) AS content) k,
           LATERAL (SELECT r ->> 'success' UNION SELECT '202' WHERE (r ->> 'accepted')::boolean) s (status)
     GROUP BY k.kept, k.content
$$;
COMMENT ON FUNCTION saleshub.openapi_success(jsonb, boolean) IS
    'The OpenAPI responses of a route of the catalogue that succeeds';

CREATE FUNCTION saleshub.openapi_operation(r jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    if_match CONSTANT boolean := r -> 'args' @> '[{"in": "header", "wire": "If-Match"}]';
    parameters jsonb;
    body jsonb;
BEGIN
    SELECT jsonb_agg(x.p) INTO parameters
      FROM (SELECT p
              FROM jsonb_array_elements(r -> 'args') WITH ORDINALITY AS e (a, n),
                   LATERAL (
                       SELECT saleshub.openapi_parameter(
                                  a ->> 'in', a ->> 'wire', (a ->> 'required')::boolean,
                                  a -> 'schema') AS p
                       UNION ALL
                       SELECT saleshub.openapi_filters(a -> 'schema') WHERE a ->> 'in' = 'filters') f
             WHERE p IS NOT NULL
                -- an argument of the name goes before a field
                AND (a ->> 'in' <> 'filters'
                     OR NOT r -> 'args' @> jsonb_build_array(jsonb_build_object('wire', p -> 'name')))
             ORDER BY n) x;
    IF (r ->> 'idempotent')::boolean THEN
        parameters := coalesce(parameters, '[]')
            || '{"$ref": "#/components/parameters/IdempotencyKey"}'::jsonb;
    END IF;
    SELECT saleshub.openapi_body(a ->> 'in', (a ->> 'required')::boolean, a -> 'schema',
                                 r ->> 'method' = 'PATCH') INTO body
      FROM jsonb_array_elements(r -> 'args') a WHERE a ->> 'in' IN ('body', 'upload');
    RETURN jsonb_strip_nulls(jsonb_build_object(
            'operationId', r -> 'operation', 'summary', r -> 'summary',
            'description', r -> 'description', 'tags', jsonb_build_array(r -> 'tag'),
            'x-required-role', r -> 'role',
            'security', CASE r ->> 'auth' WHEN 'none' THEN '[]'
                            WHEN 'optional' THEN '[{}, {"bearer": []}]' END::jsonb))
        || CASE WHEN parameters IS NULL THEN '{}'
                ELSE jsonb_build_object('parameters', parameters) END
        || CASE WHEN body IS NULL THEN '{}' ELSE jsonb_build_object('requestBody', body) END
        || jsonb_build_object('responses',
            saleshub.openapi_errors(r, body IS NOT NULL, if_match)
            || saleshub.openapi_success(r, if_match) || coalesce(r -> 'responses', '{}'));
END
$$;
COMMENT ON FUNCTION saleshub.openapi_operation(jsonb) IS
    'The OpenAPI operation of a route of the described catalogue';

CREATE FUNCTION saleshub.openapi_schemas() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb := '{}';
    part jsonb;
    named regprocedure;
BEGIN
    FOR named IN
        SELECT p.oid FROM pg_proc p
         WHERE p.pronamespace = 'saleshub'::regnamespace AND p.proname LIKE 'schemas\_%'
           AND p.pronargs = 0
         ORDER BY p.proname
    LOOP
        EXECUTE format('SELECT %s', named::oid::regprocedure::text) INTO part;
        found := found || (SELECT jsonb_object_agg(s.key, saleshub.answer_schema(s.value))
                             FROM jsonb_each(part) s);
    END LOOP;
    RETURN found;
END
$$;
COMMENT ON FUNCTION saleshub.openapi_schemas() IS
    'The schemas that answers refer to by name: what the functions saleshub.schemas_<noun>() give as shapes';

CREATE FUNCTION saleshub.may_call(minimum text, role text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT minimum IS NULL OR role IS NULL
        OR saleshub.role_rank(role) >= saleshub.role_rank(minimum)
$$;
COMMENT ON FUNCTION saleshub.may_call(text, text) IS
    'Whether a member of a role may call what asks for a minimum; either may be NULL: no limit';

CREATE FUNCTION saleshub.openapi_paths(role text) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(p.path, p.operations)
      FROM (SELECT r ->> 'path' AS path,
                   jsonb_object_agg(lower(r ->> 'method'), saleshub.openapi_operation(r)) AS operations
              FROM jsonb_array_elements(
                       saleshub.route_catalog(true) || saleshub.openapi_gateway()) r
             WHERE saleshub.may_call(r ->> 'role', openapi_paths.role)
             GROUP BY 1) p
$$;
ALTER FUNCTION saleshub.openapi_paths(text) OWNER TO saleshub_owner;
COMMENT ON FUNCTION saleshub.openapi_paths(text) IS
    'The OpenAPI paths of the catalogue and of the gateway''s own that a role may call; NULL: all';

CREATE FUNCTION crm.openapi(role text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    base CONSTANT jsonb := saleshub.openapi_base();
    paths jsonb;
BEGIN
    IF saleshub.role_rank(openapi.role) IS NULL AND openapi.role IS NOT NULL THEN
        PERFORM saleshub.bad_parameter('role', 'invalid', 'must be admin, manager, rep or readonly');
    END IF;
    paths := saleshub.openapi_paths(coalesce(openapi.role, saleshub.member_role()));
    RETURN base || jsonb_build_object(
        'paths', paths,
        'tags', (SELECT jsonb_agg(jsonb_build_object('name', t.name, 'description',
                            coalesce(saleshub.openapi_tags() ->> t.name, initcap(t.name)))
                        ORDER BY t.name)
                   FROM (SELECT DISTINCT o.value #>> '{tags,0}' AS name
                           FROM jsonb_each(paths) p, jsonb_each(p.value) o) t),
        'components', (base -> 'components') || jsonb_build_object(
            'responses', saleshub.openapi_responses(), 'schemas', saleshub.openapi_schemas()));
END
$$;
COMMENT ON FUNCTION crm.openapi(text) IS
    'The OpenAPI 3.1 document of the HTTP routes that a role may call; without one those of the present member''s role, or all';

CREATE FUNCTION saleshub.routes_openapi() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM saleshub.route(
        'GET /openapi.json', 'crm.openapi(text)', 'This document', 'operations',
        auth => 'optional', cache => 'strict', answer => '"object"', args => '{"role": {
            "enum": ["admin", "manager", "rep", "readonly"], "description":
            "Only what members of this role may call; else by the token, if one is sent, else all"}}');
END
$$;
COMMENT ON FUNCTION saleshub.routes_openapi() IS 'Registers the route of the OpenAPI document';
