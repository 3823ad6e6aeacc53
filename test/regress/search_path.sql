-- Operators and functions that a member puts into the search path never run with other rights
-- than the member's: the triggers name what they use.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Search path', 'Ann', 'ann@path.example') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org', 'Rob', 'rob@path.example', 'rep');
CREATE SCHEMA path_test;
GRANT ALL ON SCHEMA path_test TO saleshub_user;
SET ROLE saleshub_user;
DO $$
DECLARE
    kind regtype;
    op text;
BEGIN
    FOREACH kind IN ARRAY '{uuid,text,bigint,integer,jsonb,boolean}'::regtype[] LOOP
        EXECUTE format('CREATE FUNCTION path_test.trap(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql AS
            ''BEGIN RAISE EXCEPTION ''''trapped as %%'''', current_user; END''', kind);
        FOREACH op IN ARRAY '{=,<>,<,>}'::text[] LOOP
            EXECUTE format('CREATE OPERATOR path_test.%1$s (LEFTARG = %2$s, RIGHTARG = %2$s, FUNCTION = path_test.trap)', op, kind);
        END LOOP;
        EXECUTE format('CREATE FUNCTION path_test.unnest(%s[]) RETURNS SETOF %1$s LANGUAGE plpgsql AS
            ''BEGIN RAISE EXCEPTION ''''trapped as %%'''', current_user; END''', kind);
    END LOOP;
    CREATE FUNCTION path_test.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
END
$$;
SET search_path = path_test, pg_catalog;
SELECT path_test.now();
SELECT 1 = 1 AS it_is_a_trap;
INSERT INTO crm.lead (last_name, email) VALUES ('Trap', 'trap@path.example') RETURNING score, owner_id IS NOT NULL AS owned, lead_id AS lead \gset
SELECT :score AS score, :'owned' AS owned;
UPDATE crm.lead SET email = 'trap@gmail.com' RETURNING score;
SELECT crm.lead_route(:'lead') ->> 'reason' AS reason;
UPDATE crm.score_rule SET points = 3;
INSERT INTO crm.company (name) VALUES ('Trap');
UPDATE crm.company SET city = 'Rome';
SELECT crm.lead_convert(:'lead') ->> 'replayed' AS replayed;
UPDATE crm.deal SET amount = 5;
DELETE FROM crm.score_rule;
RESET search_path;
RESET ROLE;
SELECT count(*) AS history FROM crm.score_history WHERE org_id = :'org';
DROP SCHEMA path_test CASCADE;
