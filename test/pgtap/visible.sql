-- Nothing that says something about a record is read past the policies of visibility: from the
-- catalogues, so that a new table is asked as well; and what the policies cost those who see all.
SELECT no_plan();

CREATE TEMP VIEW tab AS
SELECT c.oid, c.oid::regclass::text AS name,
       (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c
WHERE c.relnamespace IN ('crm'::regnamespace, 'saleshub'::regnamespace) AND c.relkind IN ('r', 'p')
    AND has_table_privilege('saleshub_user', c.oid, 'SELECT')
    -- saved filters are shared one by one (expected/saved_filter.out)
    AND c.oid <> 'crm.saved_filter'::regclass;

CREATE TEMP VIEW limits AS
SELECT p.polrelid, p.polcmd, coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) AS condition
FROM pg_policy p
WHERE NOT p.polpermissive AND (SELECT r.oid FROM pg_roles r WHERE r.rolname = 'saleshub_user') = ANY (p.polroles) AND p.polname LIKE 'visible\_%';

SELECT cmp_ok((SELECT count(*)::int FROM tab WHERE columns && '{owner_id,lead_id,deal_id,entity_id}'), '>=', 13, 'the tables about records are found');
SELECT is_empty($$
    SELECT name FROM tab
    WHERE columns && '{owner_id,lead_id,contact_id,company_id,deal_id,activity_id,entity_id}'
        AND NOT EXISTS (SELECT FROM limits l WHERE l.polrelid = tab.oid AND l.polcmd = 'r')
    $$, 'every table about records limits what is read: see saleshub.visible_rows()');
SELECT is_empty($$
    SELECT name, command FROM tab, (VALUES ('UPDATE', 'w'), ('DELETE', 'd')) c (command, cmd)
    WHERE columns && '{owner_id,lead_id,contact_id,company_id,deal_id,activity_id,entity_id}'
        AND has_any_column_privilege('saleshub_user', tab.oid, CASE command WHEN 'DELETE' THEN 'UPDATE' ELSE command END)
        AND (command <> 'DELETE' OR has_table_privilege('saleshub_user', tab.oid, 'DELETE'))
        AND NOT EXISTS (SELECT FROM limits l WHERE l.polrelid = tab.oid AND l.polcmd::text = cmd)
    $$, 'and what is changed or removed');
SELECT is_empty($$
    SELECT polrelid::regclass, polcmd FROM limits WHERE condition !~ 'SELECT saleshub\.(sees_(all|everything)|may_manage)\('
    $$, 'every limit asks first, and once per statement, whether all is seen');
SELECT is_empty($$
    SELECT name, p.polcmd FROM tab JOIN pg_policy p ON p.polrelid = tab.oid
    WHERE name IN ('crm.team', 'crm.team_member', 'crm.team_closure') AND p.polcmd IN ('a', 'w', 'd')
        AND 'saleshub_user'::regrole = ANY (p.polroles) AND p.polpermissive
        AND has_table_privilege('saleshub_user', tab.oid, CASE p.polcmd WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END)
        AND NOT EXISTS (SELECT FROM pg_policy r WHERE r.polrelid = tab.oid AND r.polcmd = p.polcmd AND NOT r.polpermissive
                        AND pg_get_expr(coalesce(r.polqual, r.polwithcheck), r.polrelid) ~ 'may_administer')
    $$, 'teams, which say who sees what, are written by admins only');
SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p
    WHERE p.pronamespace = 'saleshub'::regnamespace AND p.prosecdef
        AND p.proname IN ('sees_all', 'sees_everything', 'visible_scope', 'visible_owners', 'record_visible', 'activity_linked', 'visible_tokens')
    $$, 'what policies ask is answered with the rights of whoever asks');
SELECT is((SELECT count(*)::int FROM pg_proc p WHERE p.proname IN ('sees_all', 'sees_everything', 'visible_owners', 'record_visible', 'activity_linked')
           AND p.provolatile = 's' AND has_function_privilege('saleshub_user', p.oid, 'EXECUTE')), 5, 'and members may ask it');

-- behaviour: an organisation with two reps, one of whom owns 200 leads, the other 3
SELECT o ->> 'org_id' AS org FROM crm.org_create('A', 'Ann', 'ann@a.example') o \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org', 'Bob', 'bob@a.example', 'rep'), (:'org', 'Cid', 'cid@a.example', 'rep');
SELECT member_id AS bob FROM crm.member WHERE name = 'Bob' \gset
SELECT member_id AS cid FROM crm.member WHERE name = 'Cid' \gset
INSERT INTO crm.lead (org_id, last_name, owner_id) SELECT :'org', 'L' || n, CASE WHEN n > 3 THEN :'bob' ELSE :'cid' END::uuid FROM generate_series(1, 203) n;
UPDATE crm.org SET settings = '{"visibility": {"rep": {"lead": "own", "activity": "own"}}}' WHERE org_id = :'org';
SELECT set_config('saleshub.org_id', :'org', false), set_config('saleshub.member_id', :'cid', false), set_config('saleshub.member_role', 'rep', false) \gset set_
SET ROLE saleshub_user;
SELECT is((SELECT count(*)::int FROM crm.lead), 3, 'a count counts what is seen');
SELECT is((SELECT count(*)::int FROM crm.lead WHERE EXISTS (SELECT FROM crm.lead o WHERE o.org_id = lead.org_id AND o.owner_id = :'bob')), 0, 'EXISTS finds what is seen');
SELECT is((SELECT sum(n)::int FROM (SELECT n FROM saleshub.rollup WHERE fact = 'lead_created' UNION ALL SELECT n FROM saleshub.rollup_delta WHERE fact = 'lead_created') r), 3, 'figures sum what is seen');
SELECT is((SELECT count(*)::int FROM crm.change_log WHERE entity = 'lead'), 3, 'the history is that of what is seen');
SELECT results_eq('WITH gone AS (UPDATE crm.lead SET deleted_at = now() RETURNING 1) SELECT count(*)::int FROM gone', ARRAY[3], 'a write reaches what is seen');
SELECT throws_ok(format('UPDATE crm.lead SET owner_id = %L', :'bob'), '42501', NULL, 'nothing is given out of sight');
SELECT lives_ok(format('INSERT INTO crm.lead (last_name, owner_id) VALUES (''given'', %L)', :'bob'), 'but a new one may be another''s');
SELECT throws_ok(format('INSERT INTO crm.lead (last_name, owner_id) VALUES (''given'', %L) RETURNING lead_id', :'bob'), '42501', NULL, 'of which nothing is returned');
CREATE FUNCTION pg_temp.plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || statement LOOP plan := plan || line || E'\n'; END LOOP;
    RETURN plan;
END;
$$;
SET enable_seqscan = off;
SELECT matches(pg_temp.plan('SELECT lead_id FROM crm.lead t WHERE org_id = saleshub.org_id() AND owner_id = ANY ((SELECT saleshub.visible_owners(''lead''))::uuid[])'),
               'Index Cond: .*owner_id = ANY', 'a list of one''s own records is read by index');
SELECT matches(pg_temp.plan('SELECT lead_id FROM crm.lead'), 'InitPlan', 'who is seen is asked once per statement');
RESET ROLE;

SELECT * FROM finish();
