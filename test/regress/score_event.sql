-- Scores that move: events with half-lives, groups with caps, versions, the past, the hottest leads.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Events', 'Ann', 'ann@events.example', country => 'DE') ->> 'org_id' AS org \gset
SELECT crm.org_create('Event other', 'Bob', 'bob@events.example') ->> 'org_id' AS other \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
    message text;
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL, message = MESSAGE_TEXT;
    RETURN state || ' ' || coalesce((SELECT string_agg(e ->> 'pointer' || ' ' || (e ->> 'code'), ', ' ORDER BY n)
        FROM jsonb_array_elements(CASE WHEN detail LIKE '{%' THEN detail::jsonb -> 'errors' END)
             WITH ORDINALITY AS x (e, n)), message);
END
$$;
-- An activity about a lead, so many hours ago.
CREATE FUNCTION pg_temp.event(who text, kind text, hours numeric, outcome text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    made uuid;
BEGIN
    INSERT INTO crm.activity (type, subject, done_at, outcome) VALUES (kind, 'x', now() - make_interval(secs => hours * 3600), event.outcome) RETURNING activity_id INTO made;
    INSERT INTO crm.activity_link (activity_id, entity, entity_id) SELECT made, 'lead', lead_id FROM crm.lead WHERE last_name = who;
    RETURN made;
END
$$;
SET ROLE saleshub_user;

-- The rules as they are without any of this, and as PUT takes them back.
SELECT r -> 'version' AS version, r -> 'cap' AS cap, r -> 'thresholds' AS thresholds, r -> 'cuts' AS cuts, r -> 'groups' AS groups, (r #> '{rules,0}') - 'id' AS first
  FROM (SELECT crm.score_rules_get() AS r) x;
SELECT r -> 'version' AS same_version FROM (SELECT crm.score_rules_put(crm.score_rules_get()) AS r) x;
SELECT pg_temp.failure($$SELECT crm.score_rules_put(crm.score_rules_get() || '{"version": 7}')$$);
SELECT pg_temp.failure($$SELECT crm.score_rules_put('{
    "cap": 0, "thresholds": {"by": "points", "fit": [20, 40], "engagement": []}, "history_delta": 0,
    "groups": [{"name": "A", "kind": "fit"}, {"name": "A", "kind": "fit"}, {"name": "E", "kind": "engagement", "cap": -1}],
    "rules": [
      {"label": "a", "predicate": {"field": "city", "op": "not_null"}, "points": 1, "group": "E"},
      {"label": "b", "predicate": {"field": "city", "op": "not_null"}, "points": 1, "group": "nope", "max_n": 1},
      {"label": "c", "predicate": {"field": "city", "op": "not_null"}, "points": 1, "per_event": true, "group": "A"},
      {"label": "d", "predicate": {"field": "type", "op": "=", "value": "call"}, "points": 1, "per_event": true, "window_hours": 5, "half_life_hours": 0}]}')$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_rule (label, predicate, points, max_n) VALUES ('x', '{"field": "city", "op": "not_null"}', 1, 5)$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_rule (label, predicate, points, per_event) VALUES ('x', '{"field": "city", "op": "not_null"}', 1, true)$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_setting (cap, thresholds) VALUES (100, '{"by": "luck"}')$$);

SELECT r -> 'version' AS version, jsonb_array_length(r -> 'rules') AS rules, r -> 'groups' -> 0 ->> 'name' AS first_group FROM (SELECT crm.score_rules_put('{
    "groups": [{"name": "Profile", "kind": "fit", "cap": 30}, {"name": "Activity", "kind": "engagement", "cap": 40}],
    "thresholds": {"by": "points", "fit": [25, 10], "engagement": [30, 10]},
    "rules": [
      {"label": "Size", "predicate": {"field": "employees", "op": ">", "value": 10}, "points": 20, "group": "Profile"},
      {"label": "Chief", "predicate": {"field": "title", "op": "=", "value": "CEO"}, "points": 16, "group": "Profile"},
      {"label": "Phone", "predicate": {"field": "phone", "op": "not_null"}, "points": 9, "group": "Profile"},
      {"label": "Meeting", "predicate": {"field": "type", "op": "=", "value": "meeting"}, "points": 16, "per_event": true, "half_life_hours": 24, "group": "Activity"},
      {"label": "Call", "predicate": {"field": "type", "op": "=", "value": "call"}, "points": 5, "per_event": true, "half_life_hours": 24, "max_n": 2, "group": "Activity"},
      {"label": "Opened", "predicate": {"and": [{"field": "type", "op": "=", "value": "email"}, {"field": "outcome", "op": "=", "value": "opened"}]},
       "points": 3, "per_event": true, "half_life_hours": 48, "max_n": 1, "window_hours": 24},
      {"label": "No show", "predicate": {"field": "outcome", "op": "=", "value": "no show"}, "points": -4, "per_event": true}]}') AS r) x;

INSERT INTO crm.lead (last_name, employees, title, phone) VALUES ('Max', 50, 'CEO', '+49301234567'), ('Min', 5, NULL, NULL);
-- 20 + 16 + 9 = 45 points in a group of 30: in proportion, by largest remainder.
SELECT last_name, score, fit, engagement, grade, score_as_of, score_reasons FROM crm.lead ORDER BY lead_id;

-- One meeting a day ago is worth half, a quarter a day later.
SELECT pg_temp.event('Min', 'meeting', 24) AS meeting \gset
SELECT last_name, score, fit, engagement, grade, score_as_of = now() AS as_of_now, score_reasons FROM crm.lead WHERE last_name = 'Min';
SELECT s -> 'score' AS score, s -> 'engagement' AS engagement, s ->> 'grade' AS grade
  FROM (SELECT saleshub.score_now(lead_id, score_as_of + interval '24 hours') AS s FROM crm.lead WHERE last_name = 'Min') x;
SELECT h.score, h.previous, h.cause, h.activity_id = :'meeting' AS by_the_meeting FROM crm.score_history h JOIN crm.lead l USING (org_id, lead_id)
 WHERE l.last_name = 'Min' ORDER BY score_history_id;
-- max_n: the latest two calls count. A window: one e-mail a day.
SELECT pg_temp.event('Min', 'call', h) IS NOT NULL AS made FROM unnest('{0,48,24,72}'::numeric[]) h;
SELECT score_reasons FROM crm.lead WHERE last_name = 'Min';
BEGIN;
SELECT pg_temp.event('Min', 'email', h, 'opened') IS NOT NULL AS made FROM unnest('{0,0,0}'::numeric[]) h;
SELECT score_reasons -> 2 AS opened FROM crm.lead WHERE last_name = 'Min';
ROLLBACK;
-- What did not happen yet does not count, what is said to happen later counts as of now; no show takes away.
BEGIN;
INSERT INTO crm.activity (activity_id, type, subject, due_at) VALUES ('00000000-0000-0000-0000-0000000000aa', 'meeting', 'x', now() + interval '5 days');
INSERT INTO crm.activity_link (activity_id, entity, entity_id) SELECT '00000000-0000-0000-0000-0000000000aa', 'lead', lead_id FROM crm.lead WHERE last_name = 'Max';
SELECT score, engagement FROM crm.lead WHERE last_name = 'Max';
UPDATE crm.activity SET done_at = now() + interval '5 days' WHERE activity_id = '00000000-0000-0000-0000-0000000000aa';
SELECT score, engagement, grade FROM crm.lead WHERE last_name = 'Max';
UPDATE crm.activity SET outcome = 'No Show' WHERE activity_id = '00000000-0000-0000-0000-0000000000aa';
SELECT score, engagement, score_reasons -> -1 AS last FROM crm.lead WHERE last_name = 'Max';
ROLLBACK;
-- The cap of a group of events.
BEGIN;
SELECT pg_temp.event('Max', 'meeting', h) IS NOT NULL AS made FROM unnest('{0,0,0,12}'::numeric[]) h;
SELECT pg_temp.event('Max', 'call', 7) IS NOT NULL AS made;
SELECT score, fit, engagement, grade, score_reasons FROM crm.lead WHERE last_name = 'Max';
SELECT sum((r ->> 'points')::numeric) = score AS adds_up FROM crm.lead, jsonb_array_elements(score_reasons) r WHERE last_name = 'Max' GROUP BY score;
ROLLBACK;

-- Late, edited, deleted, restored, unlinked: exactly what there would be without, to the last bit.
CREATE TEMP TABLE before AS SELECT e.* FROM crm.lead_engagement e;
SELECT half_life_hours, count(*) FROM before GROUP BY 1 ORDER BY 1;
SELECT pg_temp.event('Min', 'meeting', 0.37) AS late \gset
SELECT count(*) AS changed FROM crm.lead_engagement e JOIN before b USING (lead_id, score_group_id, half_life_hours) WHERE e.amount <> b.amount;
UPDATE crm.activity SET type = 'call', done_at = done_at - interval '11 hours' WHERE activity_id = :'late';
UPDATE crm.activity SET deleted_at = now() WHERE activity_id = :'late';
TABLE before EXCEPT TABLE crm.lead_engagement;
UPDATE crm.activity SET deleted_at = NULL, type = 'meeting' WHERE activity_id = :'late';
SELECT count(*) AS back FROM crm.lead_engagement e JOIN before b USING (lead_id, score_group_id, half_life_hours) WHERE e.amount <> b.amount;
DELETE FROM crm.activity_link WHERE activity_id = :'late';
TABLE before EXCEPT TABLE crm.lead_engagement;
-- An edit that has nothing to do with it moves neither the score nor the version of the lead.
SELECT version AS min_version, score AS min_score FROM crm.lead WHERE last_name = 'Min' \gset
SELECT pg_temp.event('Min', 'task', 1) AS task \gset
UPDATE crm.activity SET body = 'text' WHERE activity_id = :'meeting';
SELECT version = :min_version AS same_version FROM crm.lead WHERE last_name = 'Min';
UPDATE crm.lead SET city = 'Rome' WHERE last_name = 'Min';
SELECT score = :min_score AS same_score FROM crm.lead WHERE last_name = 'Min';
UPDATE crm.lead SET score = 1, fit = 1, engagement = 99, score_as_of = now() WHERE last_name = 'Min';
SELECT score = :min_score AS same_score FROM crm.lead WHERE last_name = 'Min';

-- The hottest leads now, by the index; a lead that is closed is not among them, one that is opened is again.
INSERT INTO crm.lead (last_name) SELECT 'Crowd ' || n FROM generate_series(1, 30) n;
SELECT count(pg_temp.event('Crowd ' || n, 'meeting', n)) AS made FROM generate_series(1, 30) n;
SELECT pg_temp.event('Crowd 25', 'email', 0, 'opened') IS NOT NULL, pg_temp.event('Crowd 25', 'meeting', 30) IS NOT NULL AS hot;
SELECT n, h ->> 'last_name' AS last_name, (h ->> 'engagement')::numeric(9,1) AS engagement, h ? 'reasons' AS reasons
  FROM jsonb_array_elements(crm.leads_hottest(7) -> 'data') WITH ORDINALITY AS x (h, n) ORDER BY n;
SELECT bool_and(h -> 'engagement' = (crm.lead_score_get((h ->> 'id')::uuid) -> 'engagement')) AS as_explained,
       bool_and(h -> 'score' = (crm.lead_score_get((h ->> 'id')::uuid) -> 'score')) AS scores
  FROM jsonb_array_elements(crm.leads_hottest(100) -> 'data') h;
SELECT (SELECT array_agg(h ->> 'id' ORDER BY n) FROM jsonb_array_elements(crm.leads_hottest(10) -> 'data') WITH ORDINALITY AS x (h, n))
     = (SELECT array_agg(lead_id::text) FROM (SELECT l.lead_id FROM crm.lead l WHERE engagement IS NOT NULL
         ORDER BY (saleshub.score_now(l.lead_id, now()) -> 'engagement')::numeric DESC, lead_id DESC LIMIT 10) x) AS as_counted;
SELECT pg_temp.failure('SELECT crm.leads_hottest(0)');
RESET ROLE;
CREATE FUNCTION pg_temp.plan(sql text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || sql LOOP
        RETURN NEXT line;
    END LOOP;
END
$$;
SET ROLE saleshub_user;
SELECT string_agg(DISTINCT btrim(p), ' ' ORDER BY btrim(p)) FILTER (WHERE p LIKE '%Index Only Scan Backward%' OR p LIKE '%Index Scan Backward%' OR p LIKE '%Sort%') AS plan
  FROM pg_temp.plan($$SELECT lead_id, amount FROM crm.lead_engagement WHERE org_id = saleshub.org_id()
      AND score_group_id = '00000000-0000-0000-0000-000000000000' AND half_life_hours = 48 ORDER BY amount DESC, lead_id DESC LIMIT 20$$) p;
UPDATE crm.lead SET deleted_at = now() WHERE last_name = 'Crowd 25';
SELECT count(*) AS stored FROM crm.lead_engagement JOIN crm.lead USING (org_id, lead_id) WHERE last_name = 'Crowd 25';
SELECT crm.leads_hottest(1) #>> '{data,0,last_name}' AS hottest;
SELECT activity_id AS one FROM crm.activity_link JOIN crm.lead ON entity_id = lead_id WHERE last_name = 'Crowd 25' ORDER BY 1 LIMIT 1 \gset
UPDATE crm.activity SET done_at = done_at + interval '20 hours' WHERE activity_id = :'one';
UPDATE crm.lead SET deleted_at = NULL WHERE last_name = 'Crowd 25';
SELECT l.engagement > 14 AS more, count(e.*) AS stored FROM crm.lead l JOIN crm.lead_engagement e USING (org_id, lead_id) WHERE last_name = 'Crowd 25' GROUP BY 1;
SELECT crm.leads_hottest(1) #>> '{data,0,last_name}' AS hottest;

-- Epochs move on, and nothing else changes.
SELECT crm.leads_hottest(5) #> '{data}' AS data \gset earlier_
RESET ROLE;
UPDATE crm.score_epoch SET epoch = epoch - 600 WHERE org_id = :'org' AND half_life_hours = 24;
UPDATE crm.lead_engagement SET amount = saleshub.score_shift(amount, -600) WHERE org_id = :'org' AND half_life_hours = 24;
SELECT saleshub.score_moved(:'org') IS NOT NULL AS told;
SET ROLE saleshub_user;
SELECT count(*) AS changed FROM crm.lead_engagement e JOIN before b USING (lead_id, score_group_id, half_life_hours) WHERE e.amount <> b.amount;
SELECT array_agg(h ->> 'id') = (SELECT array_agg(e ->> 'id') FROM jsonb_array_elements(:'earlier_data') e) AS same_order FROM jsonb_array_elements(crm.leads_hottest(5) -> 'data') h;
RESET ROLE;
SELECT saleshub.score_rebase() AS moved;
SET ROLE saleshub_user;
TABLE before EXCEPT TABLE crm.lead_engagement;

-- The past: with the rules, the fields and the events of then.
SELECT score_as_of AS then, score AS then_score, score_reasons AS then_reasons, lead_id AS min FROM crm.lead WHERE last_name = 'Min' \gset
SELECT clock_timestamp() AS t1 \gset
SELECT pg_temp.event('Min', 'meeting', 2) AS second \gset
UPDATE crm.lead SET employees = 500 WHERE last_name = 'Min';
SELECT clock_timestamp() AS t2 \gset
SELECT (crm.score_at(:'min', now()) - '{as_of,version}'::text[]) = saleshub.score_now(:'min', now()) AS now_as_now;
SELECT score AS t2_score, score_as_of AS t2_as_of FROM crm.lead WHERE lead_id = :'min' \gset
UPDATE crm.activity SET deleted_at = now() WHERE activity_id = :'second';
UPDATE crm.score_rule SET points = 7 WHERE label IN ('Size', 'Meeting');
UPDATE crm.lead SET employees = NULL WHERE last_name = 'Min';
DELETE FROM crm.activity_link WHERE activity_id = :'meeting';
SELECT s -> 'score' = to_jsonb(:then_score) AS score, s -> 'reasons' = :'then_reasons' AS reasons, s -> 'version' AS version FROM (SELECT crm.score_at(:'min', :'then') AS s) x;
SELECT s -> 'score' = to_jsonb(:t2_score) AS score, s -> 'version' AS version FROM (SELECT crm.score_at(:'min', :'t2_as_of') AS s) x;
SELECT s -> 'version' AS version, (s - '{as_of,version}'::text[]) = saleshub.score_now(:'min', now()) AS now_as_now FROM (SELECT crm.score_at(:'min', now()) AS s) x;
SELECT crm.score_at(:'min', '2001-01-01') IS NULL AS before_it_was_there;
SELECT pg_temp.failure($$SELECT crm.score_at(crm.uuid_v7(), now() + interval '1 day')$$);
SELECT s -> 'score' = to_jsonb(:t2_score) AS score, s ->> 'as_of' IS NOT NULL AS as_of, jsonb_array_length(s -> 'history') > 0 AS history FROM (SELECT crm.lead_score_get(:'min', :'t2_as_of') AS s) x;
SELECT v -> 'version' AS version, v -> 'rules' AS rules FROM jsonb_array_elements(crm.score_versions_list(2) -> 'data') v;
SELECT v -> 'version' AS version FROM jsonb_array_elements(crm.score_versions_list(2, crm.score_versions_list(2) ->> 'next_cursor') -> 'data') v;
SELECT crm.score_version_get(1) #>> '{rules,0,label}' AS label, crm.score_version_get(2) #>> '{groups,1,name}' AS second_group, crm.score_version_get(99) IS NULL AS none;

-- Converted: the score of then stays, whatever comes; undone it is right at once.
SELECT crm.lead_convert(lead_id, '{"deal": {"mode": "skip"}}') ->> 'conversion_id' IS NOT NULL AS converted FROM crm.lead WHERE last_name = 'Crowd 3';
SELECT lead_id AS three, score AS three_score, score_as_of = updated_at AS of_the_conversion FROM crm.lead WHERE last_name = 'Crowd 3' \gset
SELECT :'of_the_conversion' AS of_the_conversion;
SELECT pg_temp.event('Crowd 3', 'meeting', 0) IS NOT NULL AS made;
SELECT score = :three_score AS kept, (SELECT count(*) FROM crm.lead_engagement e WHERE e.lead_id = l.lead_id) AS stored FROM crm.lead l WHERE last_name = 'Crowd 3';
SELECT (crm.score_at(:'three', now()) -> 'score')::numeric = :three_score AS at_now, (crm.lead_score_get(:'three') -> 'score')::numeric = :three_score AS shown;
SELECT crm.conversion_undo(conversion_id) IS NOT NULL AS undone FROM crm.conversion WHERE lead_id = :'three';
SELECT score > :three_score AS more, (SELECT count(*) FROM crm.lead_engagement e WHERE e.lead_id = l.lead_id) AS stored FROM crm.lead l WHERE last_name = 'Crowd 3';

-- Merged: what happened to both happened to one, and to each again when the merge is taken apart.
CREATE TEMP TABLE apart AS SELECT lead_id, score_group_id, half_life_hours, amount FROM crm.lead_engagement;
SELECT crm.record_merge('lead', w.lead_id, ARRAY[l.lead_id]) ->> 'merge_id' AS merge
  FROM crm.lead w, crm.lead l WHERE w.last_name = 'Crowd 1' AND l.last_name = 'Crowd 2' \gset
SELECT last_name, count(e.*) AS stored, bool_or(e.amount > a.amount) AS more FROM crm.lead l LEFT JOIN crm.lead_engagement e USING (org_id, lead_id)
  LEFT JOIN apart a USING (lead_id, score_group_id, half_life_hours) WHERE last_name IN ('Crowd 1', 'Crowd 2') GROUP BY 1 ORDER BY 1;
SELECT crm.merge_undo(:'merge') IS NOT NULL AS unmerged;
SELECT count(*) AS differ FROM ((TABLE apart EXCEPT SELECT lead_id, score_group_id, half_life_hours, amount FROM crm.lead_engagement) UNION ALL (SELECT lead_id, score_group_id, half_life_hours, amount FROM crm.lead_engagement EXCEPT TABLE apart)) x;

-- History: another grade, or moved by history_delta; not every little thing.
SELECT crm.score_rules_put(crm.score_rules_get() - '{version}'::text[] || '{"history_delta": 10}') -> 'history_delta' AS delta;
INSERT INTO crm.lead (last_name, employees) VALUES ('Told', 50);
SELECT count(pg_temp.event('Told', 'call', 0)) FROM generate_series(1, 2);
SELECT count(pg_temp.event('Told', 'meeting', 0)) FROM generate_series(1, 4);
SELECT h.score, h.previous, h.grade, h.cause FROM crm.score_history h JOIN crm.lead l USING (org_id, lead_id) WHERE l.last_name = 'Told' ORDER BY score_history_id;
-- What is remembered of an instant is the score at its end, be the last step ever so little.
BEGIN;
UPDATE crm.lead SET title = 'CEO' WHERE last_name = 'Told';
SELECT count(pg_temp.event('Told', 'email', 0, 'opened'));
SELECT h.score = l.score AS as_it_ended, h.cause FROM crm.score_history h JOIN crm.lead l USING (org_id, lead_id) WHERE l.last_name = 'Told' ORDER BY score_history_id DESC LIMIT 1;
ROLLBACK;

-- Percentiles: where the leads lie when the rules are put into force.
SELECT crm.score_rules_put(crm.score_rules_get() - '{version}'::text[] || '{"thresholds": {"by": "percentile", "fit": [90, 50], "engagement": [50]}}') -> 'cuts' -> 'fit' AS cuts;
SELECT left(grade, 1) AS letter, count(*) FROM crm.lead WHERE deleted_at IS NULL AND status <> 'converted' GROUP BY 1 ORDER BY 1;

-- No more events: letters only, nothing stored. And with them again everything is as before.
CREATE TEMP TABLE full_again AS SELECT lead_id, score_group_id, half_life_hours, amount FROM crm.lead_engagement;
UPDATE crm.score_rule SET active = false WHERE per_event;
SELECT count(*) AS stored, (SELECT count(*) FROM crm.lead WHERE engagement IS NOT NULL AND status <> 'converted' AND deleted_at IS NULL) AS engaged, (SELECT max(length(grade)) FROM crm.lead) AS longest FROM crm.lead_engagement;
UPDATE crm.score_rule SET active = true WHERE per_event;
TABLE full_again EXCEPT SELECT lead_id, score_group_id, half_life_hours, amount FROM crm.lead_engagement;
DELETE FROM crm.score_rule WHERE per_event;

-- Who sees what, and other organisations.
RESET ROLE;
SELECT count(*) AS faults FROM saleshub.score_faults();
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS context;
SET ROLE saleshub_user;
SELECT saleshub.score_now(:'min', now()) IS NULL AS not_seen, crm.score_at(:'min', now()) IS NULL AS nor_then, jsonb_array_length(crm.leads_hottest() -> 'data') AS hottest;
SELECT count(*) AS versions FROM crm.score_version;
SELECT count(*) AS amounts FROM crm.lead_engagement;
SELECT pg_temp.failure('SELECT * FROM saleshub.score_events(NULL, NULL)');
SELECT pg_temp.failure('INSERT INTO crm.score_version (version, definition) VALUES (9, ''{}'')');
RESET ROLE;
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT pg_temp.failure($$INSERT INTO crm.score_group (name, kind) VALUES ('x', 'fit')$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_setting (cap) VALUES (5)$$);
