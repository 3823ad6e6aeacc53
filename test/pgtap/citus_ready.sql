-- The rules that let the tables be spread by organisation one day, read from the catalogues.
SELECT no_plan();

CREATE TEMP VIEW org_table AS
SELECT c.oid, c.oid::regclass::text AS name, c.relpersistence
FROM pg_class c
WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p');

CREATE TEMP VIEW func AS
SELECT p.*, p.oid::regprocedure::text AS name, n.nspname AS schema, l.lanname
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname IN ('crm', 'saleshub');

CREATE TEMP VIEW first_column AS
SELECT i.indexrelid, i.indrelid, i.indisprimary, i.indisunique, a.attname,
       EXISTS (SELECT FROM unnest(i.indkey::int2[]) k JOIN pg_attribute o ON o.attrelid = i.indrelid AND o.attnum = k
               WHERE o.attname = 'org_id') AS has_org
FROM pg_index i LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0];

-- tables
SELECT cmp_ok((SELECT count(*)::int FROM org_table), '>=', 15, 'the tables are there');
SELECT is_empty($$
    SELECT name FROM org_table t WHERE NOT EXISTS (
        SELECT FROM first_column i WHERE i.indrelid = t.oid AND i.indisprimary AND i.attname = 'org_id')
    $$, 'every primary key begins with org_id');
SELECT is_empty($$
    SELECT name FROM org_table t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'org_id'
    WHERE NOT a.attnotnull OR a.attnum <> 1 OR a.atttypid <> 'uuid'::regtype
    $$, 'org_id is the first column, never NULL');
SELECT is_empty($$
    SELECT i.indexrelid::regclass FROM org_table t JOIN first_column i ON i.indrelid = t.oid WHERE i.attname IS DISTINCT FROM 'org_id'
    $$, 'every index begins with org_id');
SELECT is_empty($$
    SELECT i.indexrelid::regclass FROM org_table t JOIN first_column i ON i.indrelid = t.oid WHERE i.indisunique AND NOT i.has_org
    $$, 'nothing is unique over all organisations');
SELECT is_empty($$SELECT name FROM org_table WHERE relpersistence <> 'p'$$, 'no table is unlogged');
SELECT is_empty($$
    SELECT c.conname, c.conrelid::regclass FROM pg_constraint c JOIN org_table t ON t.oid = c.conrelid
    WHERE c.contype = 'f' AND NOT EXISTS (
        SELECT FROM unnest(c.conkey, c.confkey) k (here, there)
        JOIN pg_attribute h ON h.attrelid = c.conrelid AND h.attnum = k.here
        JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.there
        WHERE h.attname = 'org_id' AND f.attname = 'org_id')
    $$, 'every foreign key pairs org_id with org_id');
SELECT is_empty($$
    SELECT c.conname FROM pg_constraint c JOIN org_table t ON t.oid = c.conrelid
    WHERE c.contype = 'f' AND (c.confdeltype IN ('n', 'd') OR c.confupdtype IN ('n', 'd'))
    $$, 'no foreign key sets NULL or a default');
SELECT is_empty($$
    SELECT t.name, a.attname FROM org_table t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval%'
    $$, 'no id comes from a sequence');
SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('crm'::regnamespace, 'saleshub'::regnamespace)
        AND (c.relkind = 'm' OR c.relhassubclass OR c.relhasrules AND c.relkind <> 'v')
    $$, 'no materialized view, no inheritance, no rule');
SELECT is_empty($$
    SELECT t.name, a.attname FROM org_table t JOIN pg_attribute a ON a.attrelid = t.oid AND a.atttypid IN ('oid'::regtype, 'regclass'::regtype)
    WHERE a.attnum > 0
    $$, 'no large object, no oid kept');

-- functions
SELECT is_empty($$
    SELECT name FROM func WHERE schema = 'crm' AND lanname NOT IN ('c', 'plpgsql')
    $$, 'what clients call is written in C or plpgsql');
SELECT is_empty($$
    SELECT name FROM func WHERE lanname = 'sql' AND proname <> 'schema_steps' AND (prosrc ~* '\m(from|join|into|update)\s+(crm|saleshub)\.\w+\s*(?!\s*\()\M'
        OR EXISTS (SELECT FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = func.oid AND c.relkind IN ('r', 'p', 'v')))
    $$, 'no function in SQL touches a table');
SELECT is_empty($$
    SELECT name FROM func WHERE prosrc ~* '\mpg_notify\M|\mNOTIFY\s+\w|\mLISTEN\s+\w|CREATE\s+TEMP|pg_advisory_lock|WITH HOLD'
        AND lanname IN ('plpgsql', 'sql') AND proname NOT IN ('publish', 'run_maintenance',
            -- training is a transaction of its own
            'score_subjects', 'score_moments', 'score_snapshots', 'score_time_split')
    $$, 'no function leaves what a prepared transaction cannot hold');
SELECT is_empty($$
    SELECT name FROM func WHERE lanname = 'plpgsql' AND prorettype = 'trigger'::regtype
        AND prosrc ~* '\mTG_(TABLE_NAME|RELNAME|RELID|TABLE_SCHEMA)\M'
    $$, 'no trigger asks for the name of its table, which may be a shard');
SELECT is_empty($$
    SELECT name FROM func WHERE lanname = 'plpgsql' AND prorettype = 'trigger'::regtype
        AND prosrc ~* '\m(INSERT\s+INTO|UPDATE\s+\w|DELETE\s+FROM)\M' AND NOT prosecdef
    $$, 'triggers that write do so with the rights of their owner');
SELECT is_empty($$
    SELECT t.tgname, f.name FROM pg_trigger t JOIN func f ON f.oid = t.tgfoid
    WHERE (t.tgnewtable IS NOT NULL OR t.tgoldtable IS NOT NULL) AND f.lanname = 'plpgsql'
        AND f.prosrc ~* ('\mINSERT\s+INTO\M[^;]*\m(' || concat_ws('|', t.tgnewtable, t.tgoldtable) || ')\M')
    $$, 'no statement on tables reads a transition table');

-- behaviour
SELECT o ->> 'org_id' AS a FROM crm.org_create('A', 'Ann', 'ann@a.example') o \gset
SELECT o ->> 'org_id' AS b FROM crm.org_create('B', 'Bob', 'bob@b.example') o \gset
INSERT INTO crm.lead (org_id, last_name) VALUES (:'a', 'One'), (:'b', 'Two');
SET ROLE saleshub_user;
SELECT is((SELECT count(*)::int FROM crm.lead), 0, 'no organisation set: no row');
RESET ROLE;
SELECT set_config('saleshub.org_id', :'a', false) IS NULL AS set \gset
SET ROLE saleshub_user;
SELECT results_eq('SELECT last_name FROM crm.lead', ARRAY['One'], 'one organisation set: its rows');
RESET ROLE;
SELECT throws_ok(format('UPDATE crm.lead SET org_id = %L', :'b'), '23000', NULL, 'a row stays in its organisation');
SELECT is((SELECT count(*)::int FROM saleshub.outbox WHERE entity = 'lead' AND org_id IN (:'a', :'b')), 2,
          'events carry the organisation of their row');

SELECT * FROM finish();
