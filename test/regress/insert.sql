-- Writing many rows at once: each row in its normal form, all or none of a statement, and everything
-- that follows a row follows every row.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset null '(null)'
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
        CASE WHEN detail LIKE '{%' THEN (
            SELECT string_agg(concat(e ->> 'pointer', ' ', e ->> 'code'), ', ' ORDER BY n)
            FROM jsonb_array_elements(detail::jsonb -> 'errors') WITH ORDINALITY x (e, n)) END);
END;
$$;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann FROM crm.org_create('Insert', 'Ann', 'ann@insert.example', 'EUR', 'Europe/Berlin', 'DE') o \gset
SELECT o ->> 'org_id' AS org2, o ->> 'member_id' AS bob FROM crm.org_create('Second', 'Bob', 'bob@insert.example', 'USD', 'UTC', 'US') o \gset
INSERT INTO crm.member (org_id, name, email, role)
SELECT o, 'Rep ' || n, 'rep' || n || '@insert.example', 'rep' FROM unnest(ARRAY[:'org', :'org2']::uuid[]) o, generate_series(1, 5) n;
CREATE FUNCTION pg_temp.enter(org uuid, member uuid) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org::text, false), set_config('saleshub.member_id', member::text, false),
           set_config('saleshub.member_role', 'admin', false)
$$;
-- What follows leads: history, outbox or event, score, assignment, keys.
CREATE FUNCTION pg_temp.followed(org uuid) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM crm.lead l WHERE l.org_id = org),
        (SELECT count(*) FROM crm.change_log c WHERE c.org_id = org AND c.entity = 'lead'),
        (SELECT coalesce(sum(o.events), 0) FROM saleshub.outbox o WHERE o.org_id = org AND o.entity = 'lead')
            + (SELECT count(*) FROM saleshub.event_log e WHERE e.org_id = org AND e.entity = 'lead'),
        (SELECT count(*) FROM crm.score_history s WHERE s.org_id = org),
        (SELECT count(*) FROM crm.assignment_log a WHERE a.org_id = org),
        (SELECT count(*) FROM saleshub.match_key k WHERE k.org_id = org AND k.entity = 'lead'))
$$;
-- Keys that are not those of the rows as they are, or that are missing.
CREATE FUNCTION pg_temp.wrong_keys(org uuid) RETURNS bigint LANGUAGE sql AS $$
    WITH kept AS (SELECT k.entity, k.entity_id, k.key FROM saleshub.match_key k WHERE k.org_id = org),
         ought AS (
             SELECT 'lead', l.lead_id, k FROM crm.lead l, unnest(saleshub.match_keys('lead', to_jsonb(l), saleshub.match_rules(org, 'lead'))) k
             WHERE l.org_id = org AND l.deleted_at IS NULL
             UNION ALL SELECT 'contact', c.contact_id, k FROM crm.contact c, unnest(saleshub.match_keys('contact', to_jsonb(c), saleshub.match_rules(org, 'contact'))) k
             WHERE c.org_id = org AND c.deleted_at IS NULL
             UNION ALL SELECT 'company', c.company_id, k FROM crm.company c, unnest(saleshub.match_keys('company', to_jsonb(c), saleshub.match_rules(org, 'company'))) k
             WHERE c.org_id = org AND c.deleted_at IS NULL)
    SELECT (SELECT count(*) FROM (TABLE kept EXCEPT ALL TABLE ought) x) + (SELECT count(*) FROM (TABLE ought EXCEPT ALL TABLE kept) y)
$$;

-- COPY: normal forms, defaults, what the organisation says.
SELECT pg_temp.enter(:'org', :'ann') IS NULL;
COPY crm.lead (first_name, last_name, email, phone, annual_revenue, tags) FROM STDIN WITH (FORMAT csv, NULL '-');
" Zoë ","Ångström ",ZOE@Example.COM,030 1234567,1000,"{ a,a,b}"
張,偉,-,-,-,"{}"
😀,Naïve ,naïve@exämple.example,+1 (212) 555-0100 ext. 7,-,-
\.
SELECT first_name, last_name, email, phone, annual_revenue, annual_revenue_currency, tags, status, version, owner_id IS NOT NULL AS owned, created_by = :'ann' AS by_ann
FROM crm.lead WHERE org_id = :'org' ORDER BY lead_id;
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');

-- One bad row of many: nothing of the statement stays, and the row says all that is wrong with it.
SELECT pg_temp.refused($$INSERT INTO crm.lead (last_name, email, phone, website, employees, status)
    VALUES ('Good', 'good@example.com', NULL, NULL, 1, 'new'), ('Bad', 'bad@', 'call me', 'no', -1, 'won'), ('Good', NULL, NULL, NULL, NULL, NULL)$$);
SELECT pg_temp.refused($$INSERT INTO crm.lead (first_name, owner_id) VALUES ('Nobody', NULL), (' ', gen_random_uuid())$$);
SELECT pg_temp.refused($$INSERT INTO crm.lead (last_name) VALUES (' '), ('x')$$);
SELECT pg_temp.refused(format('INSERT INTO crm.lead (last_name, first_name, company_name, title, source) VALUES (%L, %L, %L, %L, %L)',
    repeat('ä', 100), repeat('😀', 100), repeat('c', 200), repeat('t', 200), repeat('s', 100)));
SELECT pg_temp.refused(format('INSERT INTO crm.lead (last_name, first_name, company_name, title, source) VALUES (%L, %L, %L, %L, %L)',
    repeat('ä', 101), repeat('😀', 101), repeat('c', 201), repeat('t', 201), repeat('s', 101)));
SELECT pg_temp.refused($$INSERT INTO crm.lead (last_name, annual_revenue, annual_revenue_currency) VALUES ('NaN', 'NaN', 'euro')$$);
SELECT pg_temp.refused($$INSERT INTO crm.lead (last_name, annual_revenue) VALUES ('Rich', 1e15), ('Too rich', 1e15 + 0.01)$$);
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');

-- What ON CONFLICT keeps out leaves nothing behind; what it changes is history.
SELECT lead_id AS zoe FROM crm.lead WHERE org_id = :'org' AND email = 'zoe@example.com' \gset
INSERT INTO crm.lead (org_id, lead_id, last_name) VALUES (:'org', :'zoe', 'Other'), (:'org', crm.uuid_v7(), 'New') ON CONFLICT DO NOTHING;
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');
INSERT INTO crm.lead (org_id, lead_id, last_name) VALUES (:'org', :'zoe', 'Öther') ON CONFLICT (org_id, lead_id) DO UPDATE SET last_name = excluded.last_name;
SELECT last_name, version FROM crm.lead WHERE lead_id = :'zoe';
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');

-- A superuser writes rows of two organisations with one statement, mixed: each by its own rules.
INSERT INTO crm.lead (org_id, last_name, phone, annual_revenue)
SELECT CASE g % 2 WHEN 0 THEN :'org'::uuid ELSE :'org2' END, 'Mixed ' || g, CASE g % 2 WHEN 0 THEN '030 123456' || g % 10 ELSE '(212) 555-010' || g % 10 END, g
FROM generate_series(1, 2500) g;
SELECT org_id = :'org' AS first, annual_revenue_currency, count(*), min(phone), count(DISTINCT owner_id),
       (SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM crm.lead o WHERE o.org_id = l.org_id AND o.last_name LIKE 'Mixed%' GROUP BY o.owner_id) x) FROM crm.lead l
WHERE last_name LIKE 'Mixed%' GROUP BY l.org_id, 2 ORDER BY 1 DESC;
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');
SELECT pg_temp.followed(:'org2'), pg_temp.wrong_keys(:'org2');

-- Statements that touch no row.
INSERT INTO crm.lead (last_name) SELECT 'None' WHERE false;
UPDATE crm.lead SET last_name = 'None' WHERE false;
DELETE FROM crm.lead WHERE false;
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');

-- Many rows changed at once; those that stay as they are have no history.
UPDATE crm.lead SET last_name = replace(last_name, 'Mixed 1', 'Changed 1') WHERE last_name LIKE 'Mixed%';
SELECT org_id = :'org' AS first, version, count(*) FROM crm.lead WHERE last_name LIKE 'Mixed%' OR last_name LIKE 'Changed%' GROUP BY 1, 2 ORDER BY 1 DESC, 2;
SELECT pg_temp.followed(:'org'), pg_temp.wrong_keys(:'org');
SELECT pg_temp.wrong_keys(:'org2');
UPDATE crm.lead SET deleted_at = now() WHERE last_name LIKE 'Changed%' AND org_id = :'org';
SELECT pg_temp.wrong_keys(:'org');
UPDATE crm.lead SET deleted_at = NULL WHERE last_name LIKE 'Changed%' AND org_id = :'org';
DELETE FROM crm.lead WHERE last_name LIKE 'Mixed%' AND org_id = :'org';
SELECT pg_temp.wrong_keys(:'org');

-- A field of the organisation's own, also when a superuser says that it is a column that is no text, or one that no key is made of by default.
INSERT INTO crm.match_field (org_id, entity, field, kind, same, close, differ, key) VALUES
    (:'org', 'contact', 'custom.no', 'code', 14, 8, -4, 'strong'),
    (:'org', 'contact', 'title', 'text', 3, 2, -1, 'name'),
    (:'org', 'lead', 'employees', 'code', 3, 2, -1, 'weak'),
    (:'org', 'lead', 'annual_revenue', 'code', 3, 2, -1, 'weak'),
    (:'org', 'lead', 'created_at', 'date', 3, 2, -1, 'weak'),
    (:'org', 'lead', 'tags', 'text', 3, 2, -1, 'weak'),
    (:'org', 'lead', 'consent_email', 'text', 3, 2, -1, 'weak'),
    (:'org', 'lead', 'owner_id', 'code', 3, 2, -1, 'weak'),
    (:'org', 'company', 'city', 'text', 3, 2, -1, 'weak');
SELECT count(saleshub.match_rebuild(:'org', n)) FROM unnest('{contact,company,lead}'::text[]) n;
INSERT INTO crm.contact (first_name, last_name, title, custom) VALUES ('Ada', 'King', 'Countess', '{"no": 12.50}'), ('Ada', 'Queen', NULL, '{"no": "12,5"}'), ('Eve', NULL, 'X', '{"no": null}');
INSERT INTO crm.company (name, city) VALUES ('Acme', 'Köln'), ('Ácme GmbH', NULL);
INSERT INTO crm.lead (last_name, employees, annual_revenue, tags, consent_email) VALUES ('Own', 12, 1.50, '{a}', true), ('Own', NULL, NULL, '{}', NULL);
SELECT pg_temp.wrong_keys(:'org');
UPDATE crm.contact SET title = 'Duchess', custom = '{"no": 7}' WHERE org_id = :'org';
UPDATE crm.company SET city = 'Bonn' WHERE org_id = :'org';
UPDATE crm.lead SET employees = 13 WHERE org_id = :'org' AND last_name = 'Own';
SELECT pg_temp.wrong_keys(:'org');

-- History has every type as JSON.
SELECT c.changed - 'owner_id' FROM crm.change_log c JOIN crm.lead l ON l.lead_id = c.entity_id WHERE l.email = 'naïve@exämple.example' ORDER BY c.change_id;

-- What somebody adds to the tables that follow: a column with a default, one that differs row by row, a trigger.
CREATE FUNCTION pg_temp.followed_last(noun text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM crm.change_log c JOIN crm.lead l ON l.lead_id = c.entity_id WHERE l.last_name = noun),
        (SELECT count(*) FROM crm.score_history s JOIN crm.lead l USING (lead_id) WHERE l.last_name = noun),
        (SELECT count(*) FROM crm.assignment_log s JOIN crm.lead l USING (lead_id) WHERE l.last_name = noun),
        (SELECT count(*) FROM saleshub.match_key k JOIN crm.lead l ON l.lead_id = k.entity_id WHERE l.last_name = noun))
$$;
BEGIN;
ALTER TABLE crm.change_log ADD COLUMN extra text DEFAULT 'x' || 'y', ADD COLUMN empty text;
INSERT INTO crm.lead (first_name, last_name, email) SELECT 'Ada', 'Column', 'column' || g || '@x.example' FROM generate_series(1, 3) g;
SELECT DISTINCT c.extra, c.empty FROM crm.change_log c JOIN crm.lead l ON l.lead_id = c.entity_id WHERE l.last_name = 'Column';
SELECT pg_temp.followed_last('Column');
ALTER TABLE crm.score_history ADD COLUMN differs uuid DEFAULT gen_random_uuid();
INSERT INTO crm.lead (first_name, last_name, email) SELECT 'Ada', 'Volatile', 'volatile' || g || '@x.example' FROM generate_series(1, 3) g;
SELECT count(DISTINCT s.differs) FROM crm.score_history s JOIN crm.lead l USING (lead_id) WHERE l.last_name = 'Volatile';
SELECT pg_temp.followed_last('Volatile');
CREATE TABLE pg_temp.seen (tab text);
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pg_temp.seen VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT ON crm.change_log FOR EACH ROW EXECUTE FUNCTION pg_temp.see();
CREATE TRIGGER see AFTER INSERT ON saleshub.outbox FOR EACH ROW EXECUTE FUNCTION pg_temp.see();
CREATE TRIGGER see AFTER INSERT ON saleshub.match_key FOR EACH ROW EXECUTE FUNCTION pg_temp.see();
GRANT INSERT ON pg_temp.seen TO saleshub_owner;
INSERT INTO crm.lead (first_name, last_name, email) SELECT 'Ada', 'Trigger', 'trigger' || g || '@x.example' FROM generate_series(1, 3) g;
SELECT tab, count(*) FROM pg_temp.seen GROUP BY tab ORDER BY tab;
SELECT pg_temp.followed_last('Trigger');
ROLLBACK;
-- A key that is there already is left out.
BEGIN;
INSERT INTO crm.lead (last_name, email) VALUES ('Leftover', 'leftover@x.example') RETURNING lead_id AS leftover \gset
CREATE TEMP TABLE kept AS SELECT * FROM saleshub.match_key WHERE entity_id = :'leftover';
DELETE FROM crm.lead WHERE lead_id = :'leftover';
INSERT INTO saleshub.match_key TABLE kept;
INSERT INTO crm.lead (lead_id, last_name, email) VALUES (:'leftover', 'Leftover', 'leftover@x.example'), (crm.uuid_v7(), 'Leftover', 'leftover@x.example');
SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM saleshub.match_key k JOIN crm.lead l ON l.lead_id = k.entity_id WHERE l.last_name = 'Leftover');
ROLLBACK;
SELECT pg_temp.wrong_keys(:'org');

-- Companies, contacts and activities.
SELECT pg_temp.refused($$INSERT INTO crm.company (name, domain, website, phone, annual_revenue, employees, parent_id)
    VALUES (NULL, 'no domain', 'no', 'x', -1, -1, gen_random_uuid())$$);
SELECT pg_temp.refused(format('INSERT INTO crm.contact (email, phone, title, company_id, owner_id) VALUES (%L, %L, %L, gen_random_uuid(), gen_random_uuid())',
    'a@b', '12', repeat('t', 201)));
SELECT pg_temp.refused($$INSERT INTO crm.contact (title) VALUES ('Nobody')$$);
SELECT pg_temp.refused(format('INSERT INTO crm.activity (type, subject, outcome, owner_id) VALUES (%L, %L, %L, gen_random_uuid())', 'fax', repeat('s', 301), repeat('o', 201)));
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject) VALUES (' ', E'\u00a0')$$);
INSERT INTO crm.activity (type, subject, body) VALUES (' CALL', ' Hi ', ''), ('note', 'Long', repeat('ä', 50000));
SELECT type, subject, length(body) FROM crm.activity WHERE org_id = :'org' ORDER BY activity_id;
INSERT INTO crm.company (name, website, annual_revenue) VALUES ('Web', 'https://www.Web.example/x', 5) RETURNING domain, annual_revenue_currency;
UPDATE crm.company SET website = 'https://other.example', domain = NULL WHERE name = 'Web' RETURNING domain;
SELECT company_id AS acme FROM crm.company WHERE name = 'Acme' \gset
SELECT pg_temp.refused(format('UPDATE crm.company SET parent_id = %L WHERE company_id = %L', :'acme', :'acme'));

-- The rows of an organisation that is not there, or of none.
SELECT pg_temp.refused($$INSERT INTO crm.contact (org_id, last_name, phone) VALUES (NULL, 'Nowhere', '030 123456')$$);
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('INSERT INTO crm.contact (org_id, last_name) VALUES (%L, %L)', :'org2', 'Foreign'));
SELECT pg_temp.refused(format('INSERT INTO crm.contact (org_id, last_name, owner_id) VALUES (%L, %L, %L)', :'org2', 'Foreign', :'bob'));
SELECT pg_temp.refused(format('INSERT INTO crm.contact (last_name, owner_id) VALUES (%L, %L)', 'Foreign', :'bob'));
RESET ROLE;

-- Members and settings are kept by the backend only as long as they hold.
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org', 'Cy', 'cy@insert.example', 'rep') RETURNING member_id AS cy \gset
INSERT INTO crm.contact (last_name, owner_id) VALUES ('Of Cy', :'cy');
DELETE FROM crm.contact WHERE last_name = 'Of Cy';
DELETE FROM crm.routing_pool_member WHERE member_id = :'cy';
DELETE FROM crm.member WHERE member_id = :'cy';
SELECT pg_temp.refused(format('INSERT INTO crm.contact (last_name, owner_id) VALUES (%L, %L)', 'Of Cy', :'cy'));
UPDATE crm.org SET currency = 'CHF', country = 'CH' WHERE org_id = :'org';
INSERT INTO crm.lead (last_name, phone, annual_revenue) VALUES ('Swiss', '044 668 18 00', 1) RETURNING phone, annual_revenue_currency;
BEGIN;
UPDATE crm.org SET currency = 'JPY', country = 'JP' WHERE org_id = :'org';
INSERT INTO crm.lead (last_name, phone, annual_revenue) VALUES ('Japanese', '03 1234 5678', 1) RETURNING phone, annual_revenue_currency;
ROLLBACK;
INSERT INTO crm.lead (last_name, phone, annual_revenue) VALUES ('Swiss', '044 668 18 00', 1) RETURNING phone, annual_revenue_currency;
-- The table may get columns while a backend knows where they are.
ALTER TABLE crm.lead ADD COLUMN extra text;
ALTER TABLE crm.lead DROP COLUMN extra;
INSERT INTO crm.lead (last_name, phone) VALUES (' After ', '044 668 18 00') RETURNING last_name, phone, version;
SELECT pg_temp.wrong_keys(:'org');
