-- What the OpenAPI document says of all routes alike, and the operations that the gateway answers
-- by itself because they are no single SQL call: sign-in, health, streams.

CREATE FUNCTION saleshub.openapi_base() RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'openapi', '3.1.0',
        'info', jsonb_build_object(
            'title', 'SalesHub', 'summary', 'A CRM that lives inside PostgreSQL',
            'description', 'Ids are UUIDs, instants RFC 3339 in UTC, money {"amount": "1234.50", '
                '"currency": "EUR"}. Faults are problem details (RFC 9457) that name every field at once.',
            'version', (SELECT extversion FROM pg_extension WHERE extname = 'saleshub'),
            'license', '{"name": "PostgreSQL Licence", "identifier": "PostgreSQL"}'::jsonb),
        'servers', '[{"url": "/", "description": "This gateway"}]'::jsonb,
        'security', '[{"bearer": []}]'::jsonb) || '{
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The access_token of a sign-in"}},
        "parameters": {
            "Prefer": {"name": "Prefer", "in": "header", "schema": {"type": "string"},
                "description": "count=exact: the answer says the total, too"},
            "IfMatch": {"name": "If-Match", "in": "header", "schema": {"type": "string"},
                "description": "The ETag that was read; if the record has another one by now: 412"},
            "IdempotencyKey": {"name": "Idempotency-Key", "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255}, "description":
                "Unique text of the client; the same request again gets the first one''s answer, for 24 hours"}},
        "headers": {
            "X-Request-Id": {"description": "Names the request in logs and in history",
                "schema": {"type": "string"}},
            "Location": {"description": "Where the new record is", "schema": {"type": "string"}},
            "ETag": {"description": "Version of the record, or hash of the list",
                "schema": {"type": "string"}},
            "Cache-Status": {"description": "Whether the answer was kept (RFC 9211)",
                "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}}}'
$$;
COMMENT ON FUNCTION saleshub.openapi_base() IS
    'What the OpenAPI document says of all routes alike';

CREATE FUNCTION saleshub.openapi_tags() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "activities": "Tasks, calls, meetings, e-mails and notes, linked to records",
        "analytics": "Dashboard, reports, forecasts, quotas and calendars",
        "attachments": "Files on records", "auth": "Sign-in and sessions",
        "batches": "What a bulk change did, and its undo", "companies": "Organisations sold to",
        "contacts": "People at companies", "custom fields": "Fields that an organisation adds",
        "deals": "Opportunities in pipelines", "duplicates": "Records of the same person or company",
        "exports": "Lists as files", "filters": "Saved conditions", "imports": "Lists from files",
        "leads": "People who may become customers", "live": "Events as they happen",
        "members": "People who work with this", "operations": "State of the service and this document",
        "pipelines": "Stages that deals pass", "privacy": "What is known of a person, and its erasure",
        "products": "Things sold", "routing": "Who gets which lead",
        "scoring": "How promising leads and deals are", "search": "Finding records by words",
        "settings": "Rules of the organisation", "tags": "Labels on records",
        "teams": "Groups of members", "uploads": "Files that something will refer to"}'::jsonb;
COMMENT ON FUNCTION saleshub.openapi_tags() IS
    'What the tags of routes mean';

CREATE FUNCTION saleshub.openapi_responses() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '{"NotModified": {"description": "What If-None-Match names is still right"}}'
        || jsonb_object_agg(e.name, jsonb_strip_nulls(jsonb_build_object(
            'description', e.description,
            'headers', CASE WHEN e.waits
                THEN '{"Retry-After": {"$ref": "#/components/headers/Retry-After"}}'::jsonb END,
            'content', '{"application/problem+json":
                {"schema": {"$ref": "#/components/schemas/Problem"}}}'::jsonb)))
      FROM (VALUES
        ('BadRequest', 'The request is malformed: path, query or JSON syntax', false),
        ('Unauthenticated', 'No access token, or one that is not valid any more', false),
        ('Forbidden', 'The member''s role or a rule does not allow it', false),
        ('NotFound', 'There is no such record, or none that the member may see', false),
        ('Conflict', 'It collides with what is there', false),
        ('PreconditionFailed', 'The record has another version than If-Match says', false),
        ('TooLarge', 'The body is too large', false),
        ('UnsupportedMediaType', 'The route does not take this media type', false),
        ('Invalid', 'Values are wrong; errors has a pointer to each', false),
        ('TooManyRequests', 'Too many requests in a short time', true),
        ('Unavailable', 'The database is not reachable or too busy', true),
        ('Fault', 'Anything else that went wrong', false)) AS e (name, description, waits)
$$;
COMMENT ON FUNCTION saleshub.openapi_responses() IS
    'The OpenAPI responses that operations share';

CREATE FUNCTION saleshub.openapi_gateway() RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word CONSTANT jsonb := '{"type": "string", "minLength": 8, "maxLength": 128}';
    channels CONSTANT jsonb := '{"in": "query", "wire": "ch", "required": true, "schema": {
        "type": "string", "description":
        "Channels, a comma list: feed, user:me, list:leads, entity:lead:<id>, dash:main"}}';
    health CONSTANT jsonb := '{"status": "ok|degraded|down", "database": "up|down",
        "redis": "up|down|off", "uptime_s": "integer", "version": "text",
        "cache": {"hit_rate": "number", "p50_ms": "number"}}';
BEGIN
    RETURN (
        SELECT jsonb_agg(
            '{"cache": "none", "stream": false, "idempotent": false, "accepted": false, "success": 200,
              "method": "POST", "auth": "session"}'
            || r || jsonb_build_object(
                'answer', saleshub.answer_schema(r -> 'answer'),
                'args', coalesce(r -> 'args', '[]')
                    || CASE WHEN r ? 'body' THEN jsonb_build_object(
                           'in', 'body', 'wire', 'body', 'required', true,
                           'schema', '{"type": "object"}' || (r -> 'body'))
                       ELSE '[]' END))
          FROM unnest(ARRAY[
            jsonb_build_object('path', '/v1/auth/sign-in', 'operation', 'sign_in',
                'summary', 'Sign in', 'tag', 'auth', 'auth', 'none', 'answer', 'SignedIn'::text,
                'body', '{"required": ["email", "password"], "properties": {
                    "email": {"type": "string"}, "password": {"type": "string"},
                    "org": {"type": "string", "description": "Which one, of several with this address"},
                    "device": {"type": "string"}}}'::jsonb),
            jsonb_build_object('path', '/v1/auth/sign-up', 'operation', 'sign_up',
                'summary', 'Found an organisation', 'tag', 'auth', 'auth', 'none', 'success', 201,
                'answer', 'SignedIn'::text, 'body', jsonb_build_object(
                    'required', '["org_name", "name", "email", "password"]'::jsonb, 'properties',
                    '{"org_name": {"type": "string"}, "name": {"type": "string"},
                      "email": {"type": "string", "format": "email"}}'
                    || jsonb_build_object('password', word))),
            jsonb_build_object('path', '/v1/auth/refresh', 'operation', 'refresh',
                'summary', 'Get a new access token', 'tag', 'auth', 'auth', 'none',
                'answer', 'SignedIn'::text, 'body', '{"required": ["refresh_token"],
                    "properties": {"refresh_token": {"type": "string"}}}'::jsonb),
            jsonb_build_object('path', '/v1/me/password', 'operation', 'me_password',
                'summary', 'Change one''s password', 'tag', 'members', 'success', 204,
                'body', jsonb_build_object(
                    'required', '["current_password", "new_password"]'::jsonb, 'properties',
                    jsonb_build_object('current_password', '{"type": "string"}'::jsonb,
                                       'new_password', word))),
            jsonb_build_object('path', '/v1/members', 'operation', 'member_create',
                'summary', 'Add a member', 'tag', 'members', 'role', 'admin', 'success', 201,
                'answer', 'Member'::text, 'body', jsonb_build_object(
                    'required', '["name", "email"]'::jsonb, 'properties',
                    '{"name": {"type": "string"}, "email": {"type": "string", "format": "email"},
                      "role": {"type": "string", "enum": ["admin", "manager", "rep", "readonly"]},
                      "title": {"type": ["string", "null"]}, "timezone": {"type": "string"}}'
                    || jsonb_build_object('password', word))),
            jsonb_build_object('method', 'GET', 'path', '/v1/health', 'operation', 'health',
                'summary', 'State of the service', 'tag', 'operations', 'auth', 'none',
                'answer', health,
                -- who asks for health is told what is wrong in the same form
                'responses', jsonb_build_object('503', jsonb_build_object(
                    'description', 'The database is not reachable',
                    'content', jsonb_build_object('application/json', jsonb_build_object(
                        'schema', saleshub.answer_schema(health)))))),
            jsonb_build_object('method', 'GET', 'path', '/v1/poll', 'operation', 'poll',
                'summary', 'Wait for events', 'tag', 'live',
                'answer', '{"events": ["Event"], "next": "text", "reset?": "text"}'::jsonb,
                'args', jsonb_build_array(channels,
                    '{"in": "query", "wire": "since", "required": false, "schema": {"type": "string",
                      "description": "The next of the answer before; without it: from now on"}}'::jsonb,
                    '{"in": "query", "wire": "wait", "required": false, "schema": {"type": "integer",
                      "minimum": 0, "maximum": 60,
                      "description": "Seconds to wait for the first event"}}'::jsonb)),
            jsonb_build_object('method', 'GET', 'path', '/v1/stream', 'operation', 'stream',
                'summary', 'Events as they happen (server-sent events)', 'tag', 'live', 'stream', true,
                'answer', '{"=": {"text/event-stream": {"schema": {"type": "string"}}}}'::jsonb,
                'args', jsonb_build_array(channels,
                    '{"in": "header", "wire": "Last-Event-ID", "required": false, "schema": {
                      "type": "string", "description": "Go on after this event"}}'::jsonb))]) r);
END
$$;
COMMENT ON FUNCTION saleshub.openapi_gateway() IS
    'The routes that the gateway answers by itself, as the described catalogue has routes';
