-- Registering HTTP routes: what is derived, what is refused, what the gateway is told.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
BEGIN;
CREATE TYPE crm.route_colour AS ENUM ('red', 'green');
CREATE FUNCTION crm.route_get(id uuid, colour_ crm.route_colour DEFAULT 'red', tags text[] DEFAULT NULL)
RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT jsonb_build_object('id', id, 'colour', colour_) $$;
CREATE FUNCTION crm.route_list(
    limit_ integer DEFAULT 50, filters jsonb DEFAULT NULL, count_ boolean DEFAULT false)
RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT to_jsonb(limit_) $$;
CREATE FUNCTION crm.route_change(id uuid, patch jsonb, if_match text DEFAULT NULL)
RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT patch $$;
CREATE FUNCTION crm.route_text() RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'x' $$;
CREATE FUNCTION crm.route_many() RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$ SELECT '1'::jsonb $$;

SELECT saleshub.route('GET /v1/route-tests/{id}', 'crm.route_get(uuid, crm.route_colour, text[])',
                      'Read', 'tests', cache => 'strict');
SELECT saleshub.route('GET /v1/route-tests', 'crm.route_list(integer, jsonb, boolean)', 'List',
                      'tests', args => '{"limit": {"maximum": 200}, "filters": {"fields": {"n": {"type": "integer"}}}}');
SELECT saleshub.route('PATCH /v1/route-tests/{id}', 'crm.route_change(uuid, jsonb, text)', 'Change',
                      'tests', role => 'manager', args => '{"body": {"type": "object"}}');

-- the statement, with the function's own defaults for what a request leaves out
SELECT r ->> 'method' AS method, r ->> 'sql' AS sql, r -> 'read_only' AS read_only
  FROM jsonb_array_elements(saleshub.route_catalog()) r
 WHERE r ->> 'path' LIKE '/v1/route-tests%' ORDER BY r -> 'id';

-- where each argument comes from
SELECT r ->> 'method' AS method, a ->> 'name' AS name, a ->> 'in' AS source, a ->> 'wire' AS wire,
       a -> 'required' AS required, a -> 'schema' AS schema
  FROM jsonb_array_elements(saleshub.route_catalog()) r, jsonb_array_elements(r -> 'args') a
 WHERE r ->> 'path' LIKE '/v1/route-tests%' ORDER BY r -> 'id', a -> 'n';

-- registering again changes the row
SELECT saleshub.route('GET /v1/route-tests', 'crm.route_list(integer, jsonb, boolean)', 'List them',
                      'tests');
SELECT method, summary, cache, args FROM saleshub.route WHERE path = '/v1/route-tests';

-- what cannot be a route
\set ON_ERROR_ROLLBACK on
SELECT saleshub.route('GET /v1/x', 'crm.route_none()', 'No function', 'tests');
SELECT saleshub.route('GET /v1/x', 'crm.route_text()', 'No JSON', 'tests');
SELECT saleshub.route('GET /v1/x', 'crm.route_many()', 'A set', 'tests');
SELECT saleshub.route('GET /v1/x/{lead}', 'crm.route_list(integer, jsonb, boolean)', 'No argument', 'tests');
SELECT saleshub.route('POST /v1/x', 'crm.route_list(integer, jsonb, boolean)', 'Cached write', 'tests',
                      cache => 'strict');
SELECT saleshub.route('GET /v1/x/{id}', 'crm.route_change(uuid, jsonb, text)', 'Cached volatile',
                      'tests', cache => 'strict');
SELECT saleshub.route('GET /v1/x', 'crm.route_list(integer, jsonb, boolean)', 'Unknown argument',
                      'tests', args => '{"size": {}}');
SELECT saleshub.route('FETCH /v1/x', 'crm.route_list(integer, jsonb, boolean)', 'Method', 'tests');
SELECT saleshub.route('GET v1/x', 'crm.route_list(integer, jsonb, boolean)', 'Path', 'tests');
SELECT saleshub.route('GET /v1/x', 'crm.route_list(integer, jsonb, boolean)', 'Role', 'tests',
                      role => 'boss');

-- an argument upload is the body; what would be the body otherwise is a parameter
CREATE FUNCTION crm.route_file(upload uuid, opts jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT opts $$;
SELECT saleshub.route('POST /v1/route-files', 'crm.route_file(uuid, jsonb)', 'File', 'tests',
                      args => '{"upload": {"types": ["text/csv"], "max": 100}}');
SELECT saleshub.route('GET /v1/route-files/{upload}', 'crm.route_file(uuid, jsonb)', 'No file', 'tests');
SELECT r ->> 'method', a ->> 'name', a ->> 'in', a -> 'schema' FROM jsonb_array_elements(saleshub.route_catalog()) r,
       jsonb_array_elements(r -> 'args') a WHERE r ->> 'path' LIKE '/v1/route-files%' ORDER BY 1, 2;

-- a route whose function is gone is left out
DROP FUNCTION crm.route_change(uuid, jsonb, text);
SELECT r ->> 'method' AS method FROM jsonb_array_elements(saleshub.route_catalog()) r
 WHERE r ->> 'path' = '/v1/route-tests/{id}';

-- roles by rank
SET LOCAL saleshub.member_role = 'rep';
SELECT saleshub.require_role('readonly'), saleshub.require_role('rep');
SELECT saleshub.require_role('manager');
SET LOCAL saleshub.member_role = '';
SELECT saleshub.require_role('readonly');
ROLLBACK;

-- every registered route has its function
SELECT method, path, func FROM saleshub.route WHERE to_regprocedure(func) IS NULL;
