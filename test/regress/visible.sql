-- Who sees what: own, team and all by row security; teams as a closure; fields hidden and read-only.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

-- What a statement is refused for: SQLSTATE, message, and pointer or parameter with code of each error.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    errors text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        SELECT string_agg(concat(e ->> 'pointer', e ->> 'parameter', ' ', e ->> 'code'), ', ' ORDER BY e::text)
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

-- Works as the member of that name; everything below is asked as saleshub_user.
CREATE FUNCTION pg_temp.enter(who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('saleshub.org_id', m.org_id::text, false),
            set_config('saleshub.member_id', m.member_id::text, false),
            set_config('saleshub.member_role', m.role, false)
    FROM crm.member m WHERE m.name = who;
    IF NOT FOUND THEN RAISE 'nobody is called %', who; END IF;
END;
$$;

SELECT crm.org_create('Seen', 'ann', 'ann@seen.example') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'zoe', 'zoe@elsewhere.example') ->> 'org_id' AS other \gset
UPDATE crm.routing_pool SET active = false;
INSERT INTO crm.member (org_id, name, email, role)
SELECT :'org', n, n || '@seen.example', r
FROM (VALUES ('max', 'manager'), ('rob', 'rep'), ('rea', 'rep'), ('ron', 'rep'), ('ray', 'readonly')) v (n, r);
SELECT max(member_id::text) FILTER (WHERE name = 'ann') AS ann, max(member_id::text) FILTER (WHERE name = 'max') AS max,
       max(member_id::text) FILTER (WHERE name = 'rob') AS rob, max(member_id::text) FILTER (WHERE name = 'rea') AS rea,
       max(member_id::text) FILTER (WHERE name = 'ron') AS ron, max(member_id::text) FILTER (WHERE name = 'ray') AS ray
FROM crm.member WHERE org_id = :'org' \gset

\echo -- the closure of the tree
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT crm.team_create('{"name": " World "}') ->> 'id' AS world \gset
SELECT crm.team_create(jsonb_build_object('name', 'North', 'parent_id', :'world', 'manager_id', :'max')) ->> 'id' AS north \gset
SELECT crm.team_create(jsonb_build_object('name', 'Oslo', 'parent_id', :'north')) ->> 'id' AS oslo \gset
SELECT crm.team_create('{"name": "South"}') ->> 'id' AS south \gset
CREATE FUNCTION pg_temp.tree() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s > %s %s', a.name, d.name, c.depth)
    FROM crm.team_closure c
    JOIN crm.team a ON a.org_id = c.org_id AND a.team_id = c.ancestor_id
    JOIN crm.team d ON d.org_id = c.org_id AND d.team_id = c.descendant_id
    WHERE c.depth > 0 ORDER BY 1
$$;
SELECT * FROM pg_temp.tree();
SELECT pg_temp.refused(format('SELECT crm.team_update(%L, %L)', :'world', jsonb_build_object('parent_id', :'oslo')));
SELECT pg_temp.refused(format('UPDATE crm.team SET parent_id = team_id WHERE team_id = %L', :'world'));
SELECT pg_temp.refused(format('SELECT crm.team_update(%L, %L)', :'world', jsonb_build_object('parent_id', :'org', 'manager_id', :'org', 'name', ' ')));
SELECT crm.team_update(:'oslo', jsonb_build_object('parent_id', :'south'), '1') ->> 'version';
SELECT * FROM pg_temp.tree();
SELECT crm.team_update(:'south', jsonb_build_object('parent_id', :'north')) ->> 'version';
SELECT * FROM pg_temp.tree();
SELECT pg_temp.refused(format('SELECT crm.team_update(%L, ''{}'', ''7'')', :'south'));
SELECT crm.team_delete(:'south');
SELECT * FROM pg_temp.tree();
SELECT crm.team_member_add(:'north', :'rob') ->> 'name';
SELECT crm.team_member_add(:'oslo', :'rea') -> 'members' = jsonb_build_array(:'rea');
SELECT crm.team_member_add(:'oslo', :'rea') -> 'members' = jsonb_build_array(:'rea');
SELECT pg_temp.refused(format('SELECT crm.team_member_add(%L, %L)', :'oslo', :'org'));
SELECT pg_temp.refused(format('SELECT crm.team_member_remove(%L, %L)', :'oslo', :'rob'));
SELECT jsonb_path_query_array(crm.team_list(), '$.data[*].name');

\echo -- teams are for admins
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT pg_temp.refused($$SELECT crm.team_create('{"name": "Mine"}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.team (name) VALUES ('Mine')$$);
SELECT pg_temp.refused(format('INSERT INTO crm.team_member (team_id, member_id) VALUES (%L, %L)', :'oslo', :'rob'));
UPDATE crm.team SET name = 'Mine';
DELETE FROM crm.team_member;
SELECT pg_temp.refused($$INSERT INTO crm.team_closure SELECT * FROM crm.team_closure$$);
SELECT pg_temp.refused($$SELECT crm.visibility_update('{"visibility": {"rep": {"lead": "all"}}}')$$);
SELECT pg_temp.refused($$UPDATE crm.org SET settings = '{}'$$);

\echo -- records of each
RESET ROLE;
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT count(*) FROM (
    SELECT crm.lead_create(jsonb_build_object('last_name', o.n, 'owner_id', o.id, 'source', 'web', 'phone', '+12025550123')),
           crm.company_create(jsonb_build_object('name', o.n, 'owner_id', o.id)),
           crm.contact_create(jsonb_build_object('last_name', o.n, 'owner_id', o.id)),
           crm.deal_create(jsonb_build_object('name', o.n, 'owner_id', o.id, 'amount', 100))
    FROM (VALUES ('max', :'max'), ('rob', :'rob'), ('rea', :'rea'), ('ron', :'ron'), ('nobody', NULL)) o (n, id)) made;
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', l.last_name, 'owner_id', l.owner_id,
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', l.lead_id)))) ->> 'subject'
FROM crm.lead l ORDER BY last_name;
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'free', 'owner_id', :'ann')) ->> 'subject';
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'both', 'owner_id', :'ann', 'links', jsonb_agg(
    jsonb_build_object('type', 'lead', 'id', lead_id)))) ->> 'subject' FROM crm.lead WHERE last_name IN ('rob', 'ron');
SELECT lead_id AS robs FROM crm.lead WHERE last_name = 'rob' \gset
SELECT lead_id AS rons FROM crm.lead WHERE last_name = 'ron' \gset
SELECT company_id AS rons_company FROM crm.company WHERE name = 'ron' \gset
SELECT activity_id AS rons_note FROM crm.activity WHERE subject = 'ron' \gset

-- Everything a member sees, by name.
RESET ROLE;
CREATE FUNCTION pg_temp.seen(who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.enter(who);
    SET LOCAL ROLE saleshub_user;
    RETURN NEXT format('%s: leads %s', who, (SELECT string_agg(last_name, ' ' ORDER BY last_name) FROM crm.lead));
    RETURN NEXT format('listed %s, counted %s', (SELECT string_agg(r ->> 'last_name', ' ' ORDER BY r ->> 'last_name')
        FROM jsonb_array_elements(crm.lead_list() -> 'data') r), crm.lead_list(count_ => true) ->> 'total');
    RETURN NEXT format('companies %s, contacts %s, deals %s', (SELECT count(*) FROM crm.company),
                       (SELECT count(*) FROM crm.contact), (SELECT count(*) FROM crm.deal));
    RETURN NEXT format('activities %s', (SELECT string_agg(subject, ' ' ORDER BY subject) FROM crm.activity));
    RETURN NEXT format('links %s, stages %s, scores %s, changes %s, events %s', (SELECT count(*) FROM crm.activity_link),
        (SELECT count(*) FROM crm.stage_history), (SELECT count(*) FROM crm.score_history),
        (SELECT count(*) FROM crm.change_log WHERE entity = 'lead'), (SELECT count(*) FROM saleshub.event_log WHERE entity = 'lead'));
    RETURN NEXT format('dashboard %s leads, %s deals of %s, %s activities', crm.dashboard() #>> '{leads,new}', crm.dashboard() #>> '{deals,open}',
        crm.dashboard() #>> '{deals,open_amount,amount}', crm.dashboard() #>> '{activities,created}');
END;
$$;
SELECT count(*) FROM saleshub.run_maintenance();

\echo -- unless settled otherwise everybody sees all
SELECT pg_temp.seen('ray');
\echo -- own
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT crm.visibility_update('{"visibility": {"rep": {"lead": "own", "contact": "own", "company": "own", "deal": "own", "activity": "own"},
    "manager": {"lead": "team", "contact": "team", "company": "team", "deal": "team", "activity": "team"},
    "readonly": {"lead": "team", "activity": "all"}}}') -> 'visibility' -> 'readonly';
RESET ROLE;
SELECT pg_temp.seen('rob');
SELECT pg_temp.seen('ron');
\echo -- team: a manager sees the team and those below, others the teams they are in
SELECT pg_temp.seen('max');
UPDATE crm.org SET settings = jsonb_set(settings, '{visibility,rep,lead}', '"team"') WHERE org_id = :'org';
SELECT pg_temp.seen('rob');
SELECT pg_temp.seen('rea');
\echo -- a note that is about nothing, or about something visible
SELECT pg_temp.seen('ray');
INSERT INTO crm.team_member (org_id, team_id, member_id) VALUES (:'org', :'oslo', :'ray');
SELECT pg_temp.seen('ray');
\echo -- an admin all, another organisation nothing
SELECT pg_temp.seen('ann');
SELECT pg_temp.seen('zoe');

\echo -- what is out of sight is not there
UPDATE crm.org SET settings = jsonb_set(settings, '{visibility,rep,lead}', '"own"') WHERE org_id = :'org';
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.lead_%s(%L)', f, :'rons'))
FROM unnest(ARRAY['get', 'delete', 'restore', 'history', 'timeline', 'score_get', 'convert', 'route']) f;
SELECT pg_temp.refused(format('SELECT crm.lead_update(%L, ''{"city": "Rome"}'')', :'rons'));
UPDATE crm.lead SET city = 'Rome';
SELECT count(*) FROM crm.lead WHERE city = 'Rome';
SELECT pg_temp.refused(format('SELECT crm.contact_create(%L)', jsonb_build_object('last_name', 'x', 'company_id', :'rons_company')));
SELECT pg_temp.refused(format('SELECT crm.contact_create(%L)', jsonb_build_object('last_name', 'x', 'company_id', crm.uuid_v7())));
SELECT pg_temp.refused(format('INSERT INTO crm.contact (last_name, company_id) VALUES (%L, %L)', 'x', :'rons_company'));
SELECT pg_temp.refused(format('SELECT crm.activity_create(%L)', jsonb_build_object('type', 'note', 'subject', 'x',
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'rons')))));
SELECT pg_temp.refused(format('INSERT INTO crm.activity_link (activity_id, entity, entity_id) VALUES (%L, ''lead'', %L)', :'rons_note', :'robs'));
SELECT pg_temp.refused(format('INSERT INTO crm.activity_link (activity_id, entity, entity_id) VALUES (%L, ''lead'', %L)', crm.uuid_v7(), :'robs'));
SELECT crm.activity_get(activity_id) -> 'links' = jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'robs'))
FROM crm.activity WHERE subject = 'both';
SELECT count(*) FROM crm.activity_link WHERE entity_id = :'rons';
SELECT jsonb_array_length(crm.activity_list(filters => jsonb_build_array(jsonb_build_object('field', 'lead_id', 'value', :'rons'))) -> 'data');
SELECT count(*) FROM saleshub.events_page(0, 1000000, 1000, ARRAY['entity:lead:' || :'rons', 'entity:company:' || :'rons_company']);
SELECT saleshub.channel_authorize('entity:lead:' || :'rons'), saleshub.channel_authorize('entity:lead:' || :'robs');
SELECT pg_temp.refused('SELECT saleshub.events(0, 100, 10)'), pg_temp.refused(format('SELECT saleshub.event_tokens(%L, ''lead'', %L)', :'org', :'rons'));
\echo -- a function that tells what it is given is not asked about hidden rows
CREATE FUNCTION pg_temp.tell(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
    PERFORM set_config('test.told', current_setting('test.told', true) || t || '|', false);
    RETURN true;
END; $$;
CREATE FUNCTION pg_temp.told() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(t, ' ' ORDER BY t COLLATE "C") FROM string_to_table(rtrim(current_setting('test.told'), '|'), '|') t $$;
SELECT set_config('test.told', '', false);
SELECT count(*) FROM crm.lead WHERE pg_temp.tell(last_name);
SELECT pg_temp.told(), set_config('test.told', '', false);
SELECT count(*) FROM crm.activity WHERE pg_temp.tell(subject);
SELECT pg_temp.told();

\echo -- what is new is one's own; nothing goes out of sight
SELECT crm.lead_create('{"last_name": "new"}') ->> 'owner_id' = :'rob';
SELECT pg_temp.refused(format('SELECT crm.lead_update(%L, %L)', :'robs', jsonb_build_object('owner_id', :'ron')));
SELECT pg_temp.refused(format('SELECT crm.lead_update(%L, %L)', :'robs', '{"owner_id": null}'));
SELECT pg_temp.refused(format('UPDATE crm.lead SET owner_id = %L WHERE lead_id = %L', :'ron', :'robs'));
SELECT pg_temp.refused(format('SELECT crm.deal_create(%L)', jsonb_build_object('name', 'x', 'owner_id', :'ron')));
SELECT crm.lead_convert(lead_id) ->> 'replayed' FROM crm.lead WHERE last_name = 'new';
SELECT count(*) FROM crm.conversion;
RESET ROLE;
SELECT pg_temp.enter('ron');
SET ROLE saleshub_user;
SELECT count(*) FROM crm.conversion;

\echo -- listeners
SELECT regexp_replace(saleshub.visible_tokens(), '[0-9a-f-]{36}', '<id>', 'g');
RESET ROLE;
SELECT saleshub.event_tokens(:'org', 'lead', :'rons') = format('lead/%s lead/all', :'ron'), saleshub.event_tokens(:'org', 'member', :'ron') = '';
SELECT saleshub.event_tokens(:'org', 'activity', :'rons_note') = format('activity/%1$s lead/%1$s lead/all', :'ron');
SELECT count(*) > 0 FROM saleshub.outbox WHERE type = 'rights.changed';

\echo -- fields
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.visibility_update(%L)', s)) FROM unnest(ARRAY['{"visibility": {"rep": {"lead": "none"}}}',
    '{"visibility": {"admin": {"lead": "own"}}}', '{"fields": {"rep": {"lead": {"nonsense": "hidden"}}}}',
    '{"fields": {"rep": {"company": {"name": "hidden"}}}}', '{"fields": {"rep": {"lead": {"id": "hidden", "owner_id": "hidden"}}}}']) s;
SELECT crm.lead_update(:'robs', '{"phone": "+12025550199", "city": "Oslo", "annual_revenue": 5}') ->> 'version';
SELECT crm.visibility_update('{"fields": {"rep": {
    "lead": {"phone": "hidden", "annual_revenue": "hidden", "score": "hidden", "city": "read_only"},
    "company": {"domain": "hidden"}, "deal": {"amount": "hidden"}, "activity": {"body": "hidden"}}}}') #> '{fields,rep,lead}';
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT doc ?| '{phone,annual_revenue,score,grade}', doc ? 'city', doc ? 'id' FROM crm.lead_get(:'robs') doc;
SELECT doc ?| '{phone,annual_revenue,score,grade}' FROM jsonb_array_elements(crm.lead_list() -> 'data') doc;
SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_array_elements(crm.lead_history(:'robs') -> 'data') h, jsonb_object_keys(h -> 'changed') k
WHERE k ~ 'phone|revenue|score|grade|city';
SELECT pg_temp.refused($$SELECT crm.lead_list(sort => '-score')$$);
SELECT pg_temp.refused($$SELECT crm.lead_list(fields => 'phone')$$);
SELECT pg_temp.refused($$SELECT crm.lead_list(filters => '[{"field": "phone", "value": "+12025550199"}]')$$);
SELECT pg_temp.refused(format('SELECT crm.lead_update(%L, %L)', :'robs', '{"phone": "1", "city": "Rome", "last_name": ""}'));
SELECT pg_temp.refused($$SELECT crm.lead_create('{"last_name": "x", "city": "Rome"}')$$);
SELECT pg_temp.refused(format('SELECT crm.lead_score_get(%L)', :'robs'));
SELECT crm.dashboard() #> '{deals}' @> '{"open_amount": null, "won_amount": null, "velocity_per_day": null}';
SELECT crm.contact_update(contact_id, jsonb_build_object('company_id', (SELECT company_id FROM crm.company WHERE name = 'rob'))) ->> 'last_name'
FROM crm.contact WHERE last_name = 'rob';
SELECT (crm.contact_get(contact_id, include => 'company') -> 'company') - 'id' FROM crm.contact WHERE last_name = 'rob';
RESET ROLE;
SELECT pg_temp.enter('max');
SET ROLE saleshub_user;
SELECT crm.lead_get(:'robs') ?& '{phone,annual_revenue,score}';
RESET ROLE;

\echo -- a closure that is lost comes back as it was
CREATE TEMP TABLE before AS SELECT * FROM crm.team_closure;
DELETE FROM crm.team_closure;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT count(*) FROM (TABLE before EXCEPT TABLE crm.team_closure) lost;
SELECT count(*) FROM (TABLE crm.team_closure EXCEPT TABLE before) found;

\echo -- duplicates: of what is seen, by the fields that are seen
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT crm.lead_update(lead_id, '{"email": "same@dup.example", "phone": "+12025550177"}') ->> 'last_name' FROM crm.lead WHERE last_name IN ('rob', 'ron') ORDER BY 1;
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT crm.duplicates('lead', :'robs') -> 'data';
SELECT crm.lead_create('{"last_name": "rob", "email": "same@dup.example"}') -> 'duplicates' @? '$[*].fields[*] ? (@.field == "phone")' AS phone;
SELECT jsonb_path_query_array(crm.duplicates('lead', :'robs'), '$.data[*].name'), crm.duplicates('lead', :'robs')::text ~ '2025550177' AS phone;
RESET ROLE;
