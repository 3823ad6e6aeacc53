-- install() may be called again; the extension cannot be dropped under data.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() = saleshub.install() AS same;
SELECT count(*) AS tables_that_are_members
  FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
 WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p')
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'saleshub');
SELECT crm.org_create('Kept', 'Ann', 'ann@kept.example') IS NOT NULL AS created;
DROP EXTENSION saleshub;
SELECT count(*) FROM crm.org WHERE name = 'Kept';
CREATE EXTENSION saleshub;
SELECT item, ok FROM saleshub.check() WHERE item IN ('version', 'rollup');
-- The same names everywhere: no table of ours without row-level security but the known few.
SELECT c.oid::regclass AS without_row_security
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('crm', 'saleshub') AND c.relkind IN ('r', 'p')
   AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
 ORDER BY 1;
