-- Merging: what survives, what follows, where old ids lead, and taking it apart again.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Merge', 'Ann', 'ann@merge.example', country => 'DE', currency => 'EUR') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org,
       set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', state, CASE WHEN detail LIKE '{%' THEN detail::jsonb ->> 'code' END,
                     CASE WHEN detail LIKE '{%' THEN detail::jsonb #>> '{errors,0,pointer}' END);
END
$$;

INSERT INTO crm.company (name, domain, created_at) VALUES
    ('Acme', 'acme.example', '2026-03-01'), ('Acme GmbH', NULL, '2026-01-01'), ('ACME Inc', 'acme.test', '2026-02-01');
SELECT company_id AS acme FROM crm.company WHERE org_id = saleshub.org_id() AND name = 'Acme' \gset
SELECT company_id AS gmbh FROM crm.company WHERE org_id = saleshub.org_id() AND name = 'Acme GmbH' \gset
SELECT company_id AS inc FROM crm.company WHERE org_id = saleshub.org_id() AND name = 'ACME Inc' \gset
UPDATE crm.company SET parent_id = :'gmbh', city = 'Bonn', tags = '{a,b}' WHERE company_id = :'acme';
UPDATE crm.company SET phone = '030 1234567', tags = '{b,c}', employees = 12, city = 'Berlin',
    annual_revenue = 5, annual_revenue_currency = 'USD', custom = '{"x": 1, "y": 2}' WHERE company_id = :'gmbh';
UPDATE crm.company SET employees = 7, industry = 'Tools', custom = '{"y": 3}', parent_id = :'acme' WHERE company_id = :'inc';
INSERT INTO crm.contact (last_name, company_id) VALUES ('One', :'gmbh'), ('Two', :'inc'), ('Three', :'acme');
INSERT INTO crm.deal (name, company_id, amount) VALUES ('Big', :'inc', 100);
SELECT crm.activity_create(jsonb_build_object('type', 'call', 'subject', 'Both', 'links', jsonb_build_array(
    jsonb_build_object('type', 'company', 'id', :'acme'::uuid), jsonb_build_object('type', 'company', 'id', :'gmbh'::uuid)))) IS NOT NULL AS a,
    crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'Loser only', 'links', jsonb_build_array(
    jsonb_build_object('type', 'company', 'id', :'inc'::uuid)))) IS NOT NULL AS b;

-- All tables of the organisation but the notes about what happened.
CREATE FUNCTION pg_temp.everything() RETURNS TABLE (tab text, state text) LANGUAGE plpgsql AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT c.oid::regclass AS name FROM pg_class c
             WHERE c.relkind = 'r' AND (c.relnamespace = 'crm'::regnamespace OR c.oid = 'saleshub.match_key'::regclass)
                 AND c.oid NOT IN ('crm.change_log'::regclass, 'crm.score_history'::regclass, 'crm.merge'::regclass,
                                   'crm.routing_queue'::regclass)
                 AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id')
             ORDER BY 1
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L, md5(string_agg(r, '','' ORDER BY r)) FROM (SELECT (to_jsonb(t) - ''version'' - ''updated_at'''
            ' - ''updated_by'' - ''links_version'')::text AS r FROM %s t WHERE org_id = saleshub.org_id()) x', t.name::text, t.name);
    END LOOP;
    RETURN QUERY SELECT 'rollup', md5(string_agg(x.r, ',' ORDER BY x.r)) FROM (
        SELECT concat_ws(' ', fact, bucket, dim, owner_id, label, sum(n), sum(amount), sum(weighted)) AS r
        FROM (SELECT fact, bucket, dim, owner_id, label, n, amount, weighted FROM saleshub.rollup WHERE org_id = saleshub.org_id()
              UNION ALL SELECT fact, bucket, dim, owner_id, label, n, amount, weighted FROM saleshub.rollup_delta WHERE org_id = saleshub.org_id()) d
        GROUP BY fact, bucket, dim, owner_id, label HAVING sum(n) <> 0 OR sum(amount) <> 0) x;
END
$$;
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.everything();
CREATE FUNCTION pg_temp.differing() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(b.tab, ' ' ORDER BY b.tab), 'nothing') FROM before b JOIN pg_temp.everything() n USING (tab)
    WHERE b.state IS DISTINCT FROM n.state
$$;

-- A dry run says what would change and changes nothing.
SELECT jsonb_pretty((r - 'losers' - 'winner') #- '{fields,parent_id,0}') AS dry_run FROM crm.record_merge('companies', :'acme', ARRAY[:'gmbh', :'inc']::uuid[],
    '{"employees": "max", "city": "concat"}', dry_run => true) r;
SELECT pg_temp.differing() AS dry;
SELECT r ->> 'merge_id' AS merge, r - 'merge_id' - 'losers' - 'winner' AS same, r #- '{winner,id}' #- '{winner,created_by}' #- '{winner,updated_by}' #- '{winner,updated_at}' -> 'winner' AS winner
FROM crm.record_merge('company', :'acme', ARRAY[:'gmbh', :'inc']::uuid[], '{"employees": "max", "city": "concat"}') r \gset
SELECT jsonb_pretty(:'winner'::jsonb) AS winner;
SELECT pg_temp.differing() AS merged;
SELECT last_name, company_id = :'acme' AS moved FROM crm.contact WHERE org_id = saleshub.org_id() ORDER BY 1;
SELECT subject, count(*) FILTER (WHERE entity_id = :'acme') AS winner, count(*) AS links
FROM crm.activity JOIN crm.activity_link USING (org_id, activity_id) WHERE org_id = saleshub.org_id() GROUP BY 1 ORDER BY 1;
-- Old ids lead on: reading and writing; but they are not deleted or restored.
SELECT crm.company_get(:'inc') ->> 'name' AS got, crm.company_update(:'gmbh', '{"industry": "Toys"}') ->> 'id' = :'acme' AS wrote;
SELECT pg_temp.failure(format('SELECT crm.company_delete(%L)', :'inc')) AS delete,
       pg_temp.failure(format('SELECT crm.company_restore(%L)', :'inc')) AS restore,
       pg_temp.failure(format('SELECT crm.record_merge(''company'', %L, ARRAY[%L]::uuid[])', :'acme', :'inc')) AS again;
-- A merge of the winner: the first one cannot be undone before it.
INSERT INTO crm.company (name) VALUES ('Acme Holding') RETURNING company_id AS holding \gset
SELECT r ->> 'merge_id' AS later FROM crm.record_merge('company', :'holding', ARRAY[:'acme']::uuid[]) r \gset
SELECT crm.company_get(:'inc') ->> 'name' AS chained, pg_temp.failure(format('SELECT crm.merge_undo(%L)', :'merge')) AS early;
SELECT crm.merge_undo(:'later') ->> 'conflicts' AS conflicts;
SELECT name, deleted_at IS NOT NULL AS deleted FROM crm.company WHERE org_id = saleshub.org_id() ORDER BY 1;
DELETE FROM crm.company WHERE org_id = saleshub.org_id() AND company_id = :'holding';

-- Undo: what was changed since is a conflict and stays.
UPDATE crm.contact SET company_id = NULL WHERE org_id = saleshub.org_id() AND last_name = 'Two';
SELECT jsonb_pretty(jsonb_path_query_array(crm.merge_undo(:'merge') -> 'conflicts', '$[*].reason')) AS conflicts;
SELECT crm.merge_undo(:'merge') ->> 'replayed' AS replayed;
UPDATE crm.contact SET company_id = :'inc' WHERE org_id = saleshub.org_id() AND last_name = 'Two';
UPDATE crm.company SET industry = NULL WHERE company_id = :'acme';
SELECT pg_temp.differing() AS undone;
SELECT name, city, employees, tags, created_at::date FROM crm.company WHERE org_id = saleshub.org_id() ORDER BY name;

-- Consent: the strictest stays.
INSERT INTO crm.contact (last_name, consent_email, consent_phone, email) VALUES
    ('Yes', true, NULL, NULL), ('No', false, true, 'no@merge.example') RETURNING last_name;
SELECT r -> 'winner' -> 'consent' AS consent, r -> 'winner' ->> 'email' AS email
FROM crm.contact_merge((SELECT contact_id FROM crm.contact WHERE org_id = saleshub.org_id() AND last_name = 'Yes'),
    jsonb_build_object('losers', jsonb_build_array((SELECT contact_id FROM crm.contact WHERE org_id = saleshub.org_id() AND last_name = 'No')))) r;

-- What is refused.
SELECT pg_temp.failure(format('SELECT crm.record_merge(''company'', %1$L, ARRAY[%1$L]::uuid[])', :'acme')) AS itself,
       pg_temp.failure(format('SELECT crm.record_merge(''company'', %L, ''{}'')', :'acme')) AS nobody,
       pg_temp.failure(format('SELECT crm.record_merge(''company'', %L, ARRAY[%L]::uuid[], ''{"version": "max"}'')', :'acme', :'inc')) AS policy,
       pg_temp.failure(format('SELECT crm.record_merge(''company'', %L, ARRAY[%L]::uuid[], ''{"name": "concat"}'')', :'acme', :'inc')) AS concat,
       pg_temp.failure(format('SELECT crm.record_merge(''deal'', %L, ARRAY[%L]::uuid[])', :'acme', :'inc')) AS kind,
       pg_temp.failure('SELECT crm.merge_undo(''00000000-0000-7000-8000-000000000000'')') AS none;
INSERT INTO crm.lead (last_name, company_name) VALUES ('Done', 'Acme'), ('Open', 'Acme');
SELECT crm.lead_convert(lead_id, '{"deal": {"mode": "skip"}, "company": {"mode": "skip"}}') IS NOT NULL AS converted FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name = 'Done';
SELECT pg_temp.failure(format('SELECT crm.record_merge(''lead'', %L, ARRAY[%L]::uuid[])', a.lead_id, b.lead_id)) AS converted
FROM crm.lead a, crm.lead b WHERE a.org_id = saleshub.org_id() AND b.org_id = saleshub.org_id() AND a.last_name = 'Open' AND b.last_name = 'Done';
-- A member without the right to write, and the machinery as a member.
SELECT set_config('saleshub.member_role', 'readonly', false);
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.record_merge(''company'', %L, ARRAY[%L]::uuid[])', :'acme', :'inc')) AS readonly,
       pg_temp.failure(format('SELECT crm.merge_undo(%L)', :'merge')) AS undo,
       pg_temp.failure(format('SELECT saleshub.merge_apply(''company'', %L, ARRAY[%L]::uuid[], ''{}'', false)', :'acme', :'inc')) AS machinery,
       pg_temp.failure('TABLE crm.merge') AS notes;
RESET ROLE;
SELECT set_config('saleshub.member_role', 'admin', false);
SELECT o ->> 'org_id' AS other FROM crm.org_create('Other', 'Bob', 'bob@merge.example') AS o \gset
SELECT set_config('saleshub.org_id', :'other', false) IS NOT NULL AS other;
SELECT pg_temp.failure(format('SELECT crm.record_merge(''company'', %L, ARRAY[%L]::uuid[])', :'acme', :'inc')) AS merge,
       pg_temp.failure(format('SELECT crm.merge_undo(%L)', :'merge')) AS undo;
SELECT set_config('saleshub.org_id', :'org', false) IS NOT NULL AS ours;

-- Property: over random records and policies, undoing a merge gives everything back.
SELECT setseed(0.42) IS NOT NULL AS seeded;
INSERT INTO crm.company (name, domain, city, employees, parent_id, tags, created_at)
SELECT 'Company ' || i, CASE WHEN i % 3 > 0 THEN 'c' || i || '.example' END, CASE WHEN i % 2 = 0 THEN 'City ' || i END,
       CASE WHEN i % 4 > 0 THEN i END, NULL, CASE WHEN i % 2 = 0 THEN ARRAY['t' || i % 5, 'all'] ELSE '{}' END, timestamptz '2026-01-01' + random() * interval '90 days'
FROM generate_series(1, 12) i;
UPDATE crm.company c SET parent_id = (SELECT p.company_id FROM crm.company p WHERE p.org_id = saleshub.org_id() AND p.name = 'Company ' || (substr(c.name, 9)::int / 2))
WHERE c.org_id = saleshub.org_id() AND c.name ~ '^Company \d+$' AND substr(c.name, 9)::int > 1;
INSERT INTO crm.contact (first_name, last_name, email, phone, company_id, consent_email, tags, custom)
SELECT 'First' || i, 'Last' || i % 7, CASE WHEN i % 3 > 0 THEN 'p' || i || '@c.example' END, CASE WHEN i % 2 = 0 THEN '+49301234' || 100 + i END,
       (SELECT company_id FROM crm.company WHERE org_id = saleshub.org_id() AND name = 'Company ' || 1 + i % 12), (ARRAY[true, false, NULL])[1 + i % 3],
       CASE WHEN i % 2 = 0 THEN ARRAY['x' || i % 3] ELSE '{}' END, jsonb_build_object('k' || i % 3, i)
FROM generate_series(1, 20) i;
INSERT INTO crm.lead (last_name, company_name, email, annual_revenue, created_at)
SELECT 'Lead' || i, 'Company ' || i, 'l' || i || '@d.example', CASE WHEN i % 2 = 0 THEN i * 1000 END, timestamptz '2026-02-01' + random() * interval '30 days'
FROM generate_series(1, 12) i;
INSERT INTO crm.deal (name, company_id, contact_id, lead_id, amount)
SELECT 'Deal ' || i, c.company_id, p.contact_id, l.lead_id, i * 10
FROM generate_series(1, 25) i
JOIN crm.company c ON c.org_id = saleshub.org_id() AND c.name = 'Company ' || 1 + i % 12
JOIN crm.contact p ON p.org_id = saleshub.org_id() AND p.first_name = 'First' || 1 + i % 20
JOIN crm.lead l ON l.org_id = saleshub.org_id() AND l.last_name = 'Lead' || 1 + i % 12;
INSERT INTO crm.activity (type, subject) SELECT 'note', 'Note ' || i FROM generate_series(1, 25) i;
INSERT INTO crm.activity_link (activity_id, entity, entity_id)
SELECT a.activity_id, r.entity, r.id
FROM crm.activity a
JOIN (SELECT 'contact' AS entity, contact_id AS id FROM crm.contact WHERE org_id = saleshub.org_id() AND deleted_at IS NULL
      UNION ALL SELECT 'company', company_id FROM crm.company WHERE org_id = saleshub.org_id() AND deleted_at IS NULL
      UNION ALL SELECT 'lead', lead_id FROM crm.lead WHERE org_id = saleshub.org_id() AND status <> 'converted') r
    ON hashtext(a.subject || r.id::text) IS NOT NULL AND random() < 0.1
WHERE a.org_id = saleshub.org_id() AND a.subject LIKE 'Note %';

CREATE FUNCTION pg_temp.rounds(rounds integer) RETURNS TABLE (merges integer, dangling integer, not_same integer, conflicts integer)
LANGUAGE plpgsql AS $$
DECLARE
    noun text;
    ids uuid[];
    rules text[] := ARRAY['winner', 'newest', 'most_complete', 'min', 'max'];
    merge uuid;
    done jsonb;
BEGIN
    SELECT 0, 0, 0, 0 INTO merges, dangling, not_same, conflicts;
    FOR i IN 1..rounds LOOP
        noun := (ARRAY['contact', 'company', 'lead'])[1 + i % 3];
        EXECUTE format('SELECT array_agg(id) FROM (SELECT %1$I_id AS id FROM crm.%1$I WHERE org_id = saleshub.org_id()'
                       ' AND deleted_at IS NULL AND coalesce(to_jsonb(%1$I) ->> ''status'', '''') <> ''converted'''
                       ' ORDER BY random() LIMIT 2 + %2$s %% 4) x', noun, i) INTO ids;
        DELETE FROM before;
        INSERT INTO before SELECT * FROM pg_temp.everything();
        done := crm.record_merge(noun, ids[1], ids[2:], jsonb_build_object('*', rules[1 + i % 5], 'owner_id', 'newest'));
        merges := merges + 1;
        dangling := dangling + (SELECT count(*)::int FROM crm.contact c JOIN crm.company p ON p.company_id = c.company_id
                                WHERE c.deleted_at IS NULL AND p.company_id = ANY (ids[2:]))
            + (SELECT count(*)::int FROM crm.deal d WHERE d.company_id = ANY (ids[2:]) OR d.contact_id = ANY (ids[2:]) OR d.lead_id = ANY (ids[2:]))
            + (SELECT count(*)::int FROM crm.activity_link l WHERE l.entity_id = ANY (ids[2:]));
        merge := (done ->> 'merge_id')::uuid;
        conflicts := conflicts + jsonb_array_length(crm.merge_undo(merge) -> 'conflicts');
        IF pg_temp.differing() <> 'nothing' THEN
            not_same := not_same + 1;
            RAISE WARNING 'round %: % differs in %', i, noun, pg_temp.differing();
        END IF;
    END LOOP;
    RETURN NEXT;
END
$$;
SELECT * FROM pg_temp.rounds(45);
SELECT count(*) AS wrong FROM saleshub.rollup_check();

-- References to what is in the bin: those of other records stay, those of losers are not taken
-- over, that of the winner comes back.
INSERT INTO crm.company (name) VALUES ('Gone'), ('Stays') RETURNING name;
SELECT company_id AS gone FROM crm.company WHERE org_id = saleshub.org_id() AND name = 'Gone' \gset
SELECT company_id AS stays FROM crm.company WHERE org_id = saleshub.org_id() AND name = 'Stays' \gset
INSERT INTO crm.contact (last_name, company_id) VALUES ('Bin winner', :'gone'), ('Bin loser', :'stays'), ('Bin loser too', :'gone');
SELECT array_agg(contact_id ORDER BY contact_id) AS people FROM crm.contact WHERE org_id = saleshub.org_id() AND last_name LIKE 'Bin%' \gset
INSERT INTO crm.deal (name, company_id, contact_id) SELECT 'Bin deal', :'gone', (:'people'::uuid[])[2];
SELECT crm.company_delete(:'gone') IS NOT NULL AS binned;
DELETE FROM before;
INSERT INTO before SELECT * FROM pg_temp.everything();
SELECT r ->> 'merge_id' AS filled FROM crm.record_merge('contact', (:'people'::uuid[])[2], (:'people'::uuid[])[1:1], '{"company_id": "newest"}') r \gset
SELECT company_id = :'stays' AS live_one FROM crm.contact WHERE contact_id = (:'people'::uuid[])[2];
SELECT crm.merge_undo(:'filled') ->> 'conflicts' AS conflicts, pg_temp.differing() AS differing;
SELECT r ->> 'merge_id' AS taken FROM crm.record_merge('contact', (:'people'::uuid[])[1], (:'people'::uuid[])[2:3], jsonb_build_object('company_id', (:'people'::uuid[])[2])) r \gset
SELECT company_id = :'stays' AS live_one FROM crm.contact WHERE contact_id = (:'people'::uuid[])[1];
SELECT company_id = :'gone' AND contact_id = (:'people'::uuid[])[1] AS deal_follows FROM crm.deal WHERE org_id = saleshub.org_id() AND name = 'Bin deal';
SELECT crm.merge_undo(:'taken') ->> 'conflicts' AS conflicts, pg_temp.differing() AS differing;

-- Old ids lead on to those only who see where they lead.
INSERT INTO crm.member (name, email, role) VALUES ('Rob', 'rob@merge.example', 'rep') RETURNING member_id AS rob \gset
INSERT INTO crm.company (name, owner_id) VALUES ('Robs', :'rob'), ('Between', :'ann'), ('Anns', :'ann');
SELECT array_agg(company_id ORDER BY company_id) AS firms FROM crm.company WHERE org_id = saleshub.org_id() AND name IN ('Robs', 'Between', 'Anns') \gset
SELECT crm.record_merge('company', (:'firms'::uuid[])[2], (:'firms'::uuid[])[1:1]) IS NOT NULL AND crm.record_merge('company', (:'firms'::uuid[])[3], (:'firms'::uuid[])[2:2]) IS NOT NULL AS merged;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"company": "own"}}}' WHERE org_id = :'org';
SELECT set_config('saleshub.member_id', :'rob', false) = :'rob' AS member, set_config('saleshub.member_role', 'rep', false) AS role;
SET ROLE saleshub_user;
SELECT count(*) AS redirects FROM crm.redirect;
SELECT pg_temp.failure(format('SELECT crm.company_get(%L)', (:'firms'::uuid[])[1])) AS get,
       pg_temp.failure(format('SELECT crm.company_update(%L, ''{"city": "Rome"}'')', (:'firms'::uuid[])[1])) AS write,
       pg_temp.failure(format('SELECT crm.company_restore(%L)', (:'firms'::uuid[])[1])) AS restore,
       pg_temp.failure(format('SELECT saleshub.redirect_end(''company'', %L)', (:'firms'::uuid[])[1])) AS machinery;
RESET ROLE;
UPDATE crm.company SET owner_id = :'rob' WHERE company_id = (:'firms'::uuid[])[3];
SET ROLE saleshub_user;
-- Through a record out of sight to one in sight.
SELECT count(*) AS redirects, crm.company_get((:'firms'::uuid[])[1]) ->> 'name' AS name FROM crm.redirect;
RESET ROLE;
