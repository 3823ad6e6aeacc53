-- Who sees what: settings that users cannot set, policies, and the gateway's context.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o->>'org_id' AS a, o->>'member_id' AS ann FROM crm.org_create('A', 'Ann', 'ann@a.example') o \gset
SELECT o->>'org_id' AS b, o->>'member_id' AS bob FROM crm.org_create('B', 'Bob', 'bob@b.example') o \gset

-- A setting takes a UUID or nothing, and only superusers set it.
SET saleshub.org_id = 'nonsense';
SET saleshub.member_role = 'king';
SET ROLE saleshub_user;
SET saleshub.org_id = '01234567-89ab-7def-8123-456789abcdef';
RESET ROLE;

-- Without an organisation nothing is seen; with one, its own rows only.
SET ROLE saleshub_user;
SELECT saleshub.org_id() IS NULL AS none, count(*) AS members FROM crm.member;
RESET ROLE;
SET saleshub.org_id = :'a';
SET saleshub.member_id = :'ann';
SET ROLE saleshub_user;
SELECT name FROM crm.member;
SELECT name FROM crm.org;
INSERT INTO crm.team (org_id, name) VALUES (:'b', 'Spies');
INSERT INTO crm.team (name) VALUES ('Field') RETURNING org_id = :'a' AS own, version, created_by = :'ann' AS by_ann;
UPDATE crm.team SET org_id = :'b';
UPDATE crm.team SET name = 'Field' RETURNING version;
UPDATE crm.team SET name = 'Home' RETURNING version, updated_by = :'ann' AS by_ann;
SELECT saleshub.ctx(:'b', crm.uuid_v7(), 'x', true, 1000, false);
SELECT saleshub.publish();
SELECT crm.org_create('C', 'Eve', 'eve@c.example');
RESET ROLE;

-- A member with role readonly reads.
SET saleshub.member_role = 'readonly';
SET ROLE saleshub_user;
SELECT name FROM crm.team;
UPDATE crm.team SET name = 'Away';
INSERT INTO crm.team (name) VALUES ('Away');
RESET ROLE;
RESET saleshub.member_role;
SELECT name FROM crm.team;

-- History has both sides, by whom; the truncation that nobody could follow is refused.
SELECT op, version, changed, actor_id = :'ann' AS by_ann FROM crm.change_log
 WHERE entity = 'team' ORDER BY change_id;
TRUNCATE crm.team CASCADE;

-- A login role of PostgreSQL works as a member.
CREATE ROLE regress_ann LOGIN;
\set VERBOSITY sqlstate
SELECT saleshub.grant_login('regress_ann', :'b', :'ann');
\set VERBOSITY terse
SELECT saleshub.grant_login('regress_ann', :'a', :'ann');
SELECT current_user AS superuser \gset
\c - regress_ann
SET client_min_messages = warning;
SELECT name FROM crm.member;
SET saleshub.org_id = :'b';
\c - :superuser
SET client_min_messages = warning;
DROP OWNED BY regress_ann;
DROP ROLE regress_ann;

-- Errors with our own codes reach the client as they were raised.
\set VERBOSITY default
SELECT saleshub.raise('SH412', 'the version is another', '{"code": "stale"}', 'Read it again.');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT saleshub.raise('00000', 'not an error');
SELECT saleshub.raise('abc', 'not a code');

-- Dynamic SQL with one parameter.
SELECT saleshub.run('SELECT to_jsonb(m.name) FROM crm.member m WHERE m.email = $1->>''email''',
                    '{"email": "ann@a.example"}');
SELECT saleshub.run('SELECT ''{}''::jsonb WHERE false', NULL) IS NULL AS nothing;
SELECT saleshub.run('SELECT 1', NULL);
SELECT saleshub.run('SELECT', NULL);

-- UUIDs increase.
SELECT count(DISTINCT id) AS ids, bool_and(id > before) IS NOT FALSE AS increasing,
       bool_and(substr(id::text, 15, 1) = '7') AS version_7
  FROM (SELECT id, lag(id) OVER (ORDER BY n) AS before
          FROM (SELECT n, crm.uuid_v7() AS id FROM generate_series(1, 10000) n) i) j;
