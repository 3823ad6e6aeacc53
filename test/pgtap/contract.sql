-- What holds for all tables and functions, read from the catalogues.
SELECT no_plan();

CREATE TEMP VIEW tab AS
SELECT c.oid, c.oid::regclass::text AS name, n.nspname AS schema, c.relrowsecurity, c.relforcerowsecurity, c.relowner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('crm', 'saleshub') AND c.relkind IN ('r', 'p');

CREATE TEMP VIEW func AS
SELECT p.*, p.oid::regprocedure::text AS name, n.nspname AS schema, l.lanname
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname IN ('crm', 'saleshub');

SELECT cmp_ok((SELECT count(*)::int FROM tab WHERE schema = 'crm'), '>=', 15, 'the tables are there');
SELECT cmp_ok((SELECT count(*)::int FROM func WHERE schema = 'crm'), '>=', 40, 'the functions are there');

-- comments
SELECT is_empty($$SELECT name FROM tab WHERE obj_description(oid, 'pg_class') IS NULL$$, 'every table has a comment');
SELECT is_empty($$SELECT name FROM func WHERE obj_description(oid, 'pg_proc') IS NULL$$, 'every function has a comment');

-- row security
SELECT is_empty($$
    SELECT name FROM tab WHERE NOT (relrowsecurity AND relforcerowsecurity)
        AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = tab.oid AND a.attname = 'org_id' AND NOT a.attisdropped)
    $$, 'every table with org_id has row security, forced');
SELECT is_empty($$
    SELECT name FROM tab WHERE relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = tab.oid)
    $$, 'no table is locked without policies');
SELECT is_empty($$
    SELECT t.name, p.polname FROM tab t JOIN pg_policy p ON p.polrelid = t.oid
    WHERE NOT 'saleshub_owner'::regrole = ANY (p.polroles) AND p.polpermissive
        AND coalesce(pg_get_expr(p.polqual, p.polrelid), '') || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
            !~ 'org_id = \(\s*SELECT saleshub\.org_id\(\)'
    $$, 'every policy for members compares the organisation');
SELECT is_empty($$SELECT name FROM tab WHERE relowner <> 'saleshub_owner'::regrole$$, 'every table is owned by saleshub_owner');
SELECT is_empty($$
    SELECT rolname FROM pg_roles WHERE rolname LIKE 'saleshub\_%' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)
    $$, 'no role of ours is above row security');
SELECT is_empty($$
    SELECT t.name, a.privilege_type FROM tab t JOIN pg_class c ON c.oid = t.oid, aclexplode(c.relacl) a
    WHERE a.grantee = 0 OR a.grantee IN ('saleshub_user'::regrole, 'saleshub_gateway'::regrole)
        AND a.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
    $$, 'nobody holds more rights on tables than to read and write rows');
SELECT bag_eq($$
    SELECT t.name FROM tab t WHERE t.schema = 'crm' AND has_table_privilege('saleshub_user', t.oid, 'DELETE')
        AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'deleted_at' AND NOT a.attisdropped)
    $$, ARRAY[]::text[], 'what has a bin cannot be deleted past it');
SELECT is_empty($$
    SELECT name FROM unnest(ARRAY['crm.change_log', 'crm.stage_history']) name, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) right_
    WHERE has_table_privilege('saleshub_user', name, right_)
    $$, 'history cannot be written by hand');

-- functions
SELECT is_empty($$
    SELECT name FROM func WHERE lanname = 'plpgsql'
        AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search\_path=pg\_catalog,%')
    $$, 'every plpgsql function pins its search_path');
SELECT is_empty($$
    SELECT name FROM func WHERE prosecdef
        AND (proowner <> 'saleshub_owner'::regrole
             OR NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search\_path=pg\_catalog,%'))
    $$, 'functions with the rights of their owner belong to saleshub_owner and pin search_path');
SELECT bag_eq($$
    SELECT name FROM func f WHERE has_function_privilege('public', f.oid, 'EXECUTE')
    $$, ARRAY['crm.uuid_v7()', 'saleshub.org_id()', 'saleshub.member_id()', 'saleshub.member_role()', 'saleshub.request_id()',
              'saleshub.session_id()', 'saleshub.may_write()'], 'PUBLIC may execute the accessors only');
SELECT is_empty($$
    SELECT name FROM func WHERE schema = 'crm' AND proname ~ '_(get|list|history|timeline)$' AND provolatile <> 's'
    $$, 'functions that read are STABLE');
SELECT is_empty($$
    SELECT name FROM func WHERE schema = 'crm' AND proname ~ '_(create|update|delete|restore|stage|convert)$' AND provolatile <> 'v'
    $$, 'functions that write are VOLATILE');
SELECT is_empty($$
    SELECT name FROM func WHERE lanname = 'plpgsql' AND provolatile = 'v' AND proparallel <> 'u'
    $$, 'what writes is not parallel safe');
SELECT is_empty($$
    SELECT noun, verb FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity', 'product']) noun,
        unnest(ARRAY['create', 'get', 'list', 'update', 'delete', 'restore', 'history', 'timeline']) verb
    WHERE NOT EXISTS (SELECT FROM func WHERE schema = 'crm' AND proname = noun || '_' || verb)
    $$, 'every noun has every verb');
SELECT is_empty($$
    SELECT t.name, a.attname FROM tab t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE t.schema = 'crm' AND (a.atttypid = 'varchar'::regtype OR a.atttypid = 'timestamp'::regtype OR a.atttypid = 'money'::regtype)
    $$, 'texts are text, times have a zone, money is numeric');
SELECT is_empty($$
    SELECT conrelid::regclass, conname FROM pg_constraint c JOIN tab ON tab.oid = c.conrelid WHERE NOT c.convalidated
    $$, 'every constraint is valid');
SELECT is_empty($$
    SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger t JOIN tab ON tab.oid = t.tgrelid WHERE t.tgenabled <> 'O' AND NOT t.tgisinternal
    $$, 'every trigger is on');

-- routes
SELECT is_empty($$
    SELECT r.method, r.path FROM saleshub.route r WHERE to_regprocedure(r.func) IS NULL
    $$, 'every route has its function');
SELECT is_empty($$
    SELECT method, path FROM unnest(ARRAY['leads', 'contacts', 'companies', 'deals', 'activities', 'products']) plural,
        LATERAL (VALUES ('GET', '/v1/' || plural), ('POST', '/v1/' || plural), ('GET', '/v1/' || plural || '/{id}'),
            ('PATCH', '/v1/' || plural || '/{id}'), ('DELETE', '/v1/' || plural || '/{id}'),
            ('POST', '/v1/' || plural || '/{id}/restore'), ('GET', '/v1/' || plural || '/{id}/history'),
            ('GET', '/v1/' || plural || '/{id}/timeline')) w (method, path)
    WHERE NOT EXISTS (SELECT FROM saleshub.route r WHERE r.method = w.method AND r.path = w.path)
    $$, 'every record has every route');

-- bodies of functions, where plpgsql_check is installed
SELECT count(*) AS has_check FROM pg_available_extensions WHERE name = 'plpgsql_check' \gset
\if :has_check
CREATE EXTENSION plpgsql_check SCHEMA public;
-- training names temporary tables
BEGIN;
SELECT saleshub.score_prepare('lead', '30 days');
CREATE TEMP TABLE score_earlier ON COMMIT DROP AS SELECT * FROM pg_temp.score_snapshot LIMIT 0;
SELECT is_empty($$
    SELECT f.name, c.lineno, c.level, c.message
    FROM func f, LATERAL plpgsql_check_function_tb(f.oid, other_warnings => false, extra_warnings => false, performance_warnings => false) c
    WHERE f.lanname = 'plpgsql' AND f.prorettype <> 'trigger'::regtype AND c.level LIKE 'error%'
    $$, 'plpgsql functions name what exists');
COMMIT;
SELECT is_empty($$
    SELECT f.name, c.lineno, c.message
    FROM (SELECT DISTINCT tgfoid, tgrelid FROM pg_trigger WHERE NOT tgisinternal AND tgnewtable IS NULL AND tgoldtable IS NULL) t
    JOIN func f ON f.oid = t.tgfoid, LATERAL plpgsql_check_function_tb(f.oid, t.tgrelid) c
    WHERE f.lanname = 'plpgsql' AND c.level LIKE 'error%'
    $$, 'trigger functions name what exists');
\else
SELECT skip('plpgsql_check is not installed', 2);
\endif

SELECT * FROM finish();
