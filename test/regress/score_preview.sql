-- Editing scoring rules: what a change would do, exactly what it then does; versions put back; the
-- event that tells of another grade.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS saleshub;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS boss
  FROM crm.org_create('Preview', 'Ann', 'ann@preview.example') AS o \gset
SELECT o ->> 'org_id' AS other FROM crm.org_create('Other', 'Bob', 'bob@preview.example') AS o \gset
SELECT set_config('saleshub.org_id', :'other', false) IS NOT NULL AS context;
INSERT INTO crm.lead (last_name) VALUES ('elsewhere');
SELECT set_config('saleshub.org_id', :'org', false) IS NOT NULL AS context;
SET ROLE saleshub_user;
SELECT crm.score_rules_put('{"rules": [
    {"label": "title", "points": 30, "predicate": {"field": "title", "op": "not_null"}},
    {"label": "city", "points": 15, "predicate": {"field": "city", "op": "=", "value": "Bonn"}}]}') ->> 'version' AS version \gset
INSERT INTO crm.lead (last_name, title, city)
SELECT 'lead ' || n, CASE WHEN n % 2 = 0 THEN 'CEO' END, CASE WHEN n % 3 = 0 THEN 'Bonn' END FROM generate_series(1, 30) AS n;
INSERT INTO crm.lead (last_name, deleted_at) VALUES ('gone', now());
SELECT array_agg(lead_id) AS mine FROM crm.lead \gset

-- What can be asked for
SELECT f -> 'types' -> 'boolean' AS boolean, jsonb_array_length(f -> 'lead') AS fields,
       (SELECT e FROM jsonb_array_elements(f -> 'event') AS e WHERE e ->> 'field' = 'direction') AS direction
  FROM crm.score_fields() AS f;
SELECT bool_and(jsonb_array_length(saleshub.score_predicate_errors(jsonb_build_object('field', l ->> 'field', 'op', 'not_null'))) = 0) AS all_known
  FROM jsonb_array_elements(crm.score_fields() -> 'lead') AS l;

-- The same rules change nothing
SELECT p -> 'leads' AS leads, p -> 'exact' AS exact, p -> 'regraded' AS regraded, p -> 'rising' AS rising, p -> 'moves' AS moves
  FROM crm.score_preview(crm.score_rules_get() - '{version,cuts}'::text[]) AS p;

-- What is told is what comes, with events, a cap, a negative rule and a group
INSERT INTO crm.activity (type, subject, done_at)
SELECT 'call', n::text, now() - n * interval '1 day' FROM generate_series(1, 9) AS n;
INSERT INTO crm.activity_link (activity_id, entity, entity_id)
SELECT a.activity_id, 'lead', l.lead_id FROM crm.activity AS a JOIN crm.lead AS l ON l.last_name = 'lead ' || (a.subject::int % 5 + 1);
CREATE FUNCTION pg_temp.try(body jsonb) RETURNS TABLE (regraded bigint, as_told boolean, rising boolean, falling boolean) LANGUAGE plpgsql AS $$
DECLARE
    told jsonb := crm.score_preview(body);
    before jsonb := (SELECT jsonb_object_agg(l.lead_id, jsonb_build_array(l.score, l.grade)) FROM crm.lead AS l WHERE l.deleted_at IS NULL);
BEGIN
    PERFORM crm.score_rules_put(body);
    RETURN QUERY
    SELECT count(*) FILTER (WHERE l.grade <> before -> l.lead_id::text ->> 1),
           count(*) FILTER (WHERE l.grade <> before -> l.lead_id::text ->> 1) = (told ->> 'regraded')::bigint,
           count(*) FILTER (WHERE l.score > (before -> l.lead_id::text ->> 0)::numeric) = (told ->> 'rising')::bigint,
           count(*) FILTER (WHERE l.score < (before -> l.lead_id::text ->> 0)::numeric) = (told ->> 'falling')::bigint
      FROM crm.lead AS l WHERE l.deleted_at IS NULL;
END
$$;
\set body '{"groups": [{"name": "Who", "kind": "fit", "cap": 40}, {"name": "Calls", "kind": "engagement", "cap": 60}], "rules": [{"label": "title", "points": 50, "group": "Who", "predicate": {"field": "title", "op": "not_null"}}, {"label": "city", "points": -20, "predicate": {"field": "city", "op": "=", "value": "Bonn"}}, {"label": "call", "points": 25, "group": "Calls", "per_event": true, "half_life_hours": 48, "predicate": {"field": "type", "op": "=", "value": "call"}}]}'
SELECT * FROM pg_temp.try(:'body');
SELECT * FROM pg_temp.try('{"thresholds": {"by": "percentile", "fit": [90, 50], "engagement": [50]}, "rules": [
    {"label": "title", "points": 50, "predicate": {"field": "title", "op": "not_null"}},
    {"label": "call", "points": 10, "per_event": true, "predicate": {"field": "type", "op": "=", "value": "call"}}]}');
SELECT p -> 'leads' AS leads, (p ->> 'examined')::int < 30 AS sampled, p -> 'exact' AS exact, (p ->> 'regraded')::int > 0 AS estimated
  FROM crm.score_preview(:'body'::jsonb || '{"sample": 12}') AS p;
SELECT crm.score_preview('{"sample": 0, "rules": [{"label": "x", "points": 1, "predicate": {"field": "colour", "op": "="}}]}');

-- Another organisation has its own leads, and is told nothing of those whose ids it names
RESET ROLE;
SELECT set_config('saleshub.org_id', :'other', false) IS NOT NULL AS context;
SET ROLE saleshub_user;
SELECT crm.score_preview('{"rules": []}') -> 'leads' AS leads;
SELECT count(*) AS foreign_leads FROM saleshub.score_try('{"rules": []}', :'mine');
RESET ROLE;
SELECT set_config('saleshub.org_id', :'org', false) IS NOT NULL AS context;

-- Back to a version: rules that were removed come again
SET ROLE saleshub_user;
SELECT crm.score_version_restore(:version) -> 'rules' @> '[{"label": "title", "points": 30}, {"label": "city", "points": 15}]' AS restored;
SELECT grade, count(*) FROM crm.lead WHERE deleted_at IS NULL GROUP BY grade ORDER BY grade;
SELECT crm.score_version_restore(4711);
RESET ROLE;
SELECT set_config('saleshub.member_id', :'boss', false) IS NOT NULL AS member, set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT crm.score_version_restore(:version);
RESET ROLE;
SELECT set_config('saleshub.member_id', '', false) IS NOT NULL AS member, set_config('saleshub.member_role', '', false);

-- Another grade is told once, with the reason, in the commit that gave it
SELECT saleshub.publish(100000) >= 0 AS published;
DELETE FROM saleshub.event_log;
SET ROLE saleshub_user;
UPDATE crm.lead SET title = 'CTO' WHERE last_name = 'lead 3';
UPDATE crm.lead SET title = 'CIO' WHERE last_name = 'lead 3';
BEGIN;
UPDATE crm.lead SET title = 'CTO' WHERE last_name = 'lead 9';
ROLLBACK;
SELECT crm.score_rules_put('{"rules": [{"label": "title", "points": 90, "predicate": {"field": "title", "op": "not_null"}}]}') ->> 'cap' AS cap;
RESET ROLE;
SELECT saleshub.publish(100000) >= 0 AS published;
SELECT e.data ->> 'cause' AS cause, e.changed, count(*), count(DISTINCT e.entity_id) AS leads, bool_and(e.version <= l.version) AS versions
  FROM saleshub.event_log AS e JOIN crm.lead AS l ON l.lead_id = e.entity_id
 WHERE e.type = 'lead.graded' GROUP BY 1, 2 ORDER BY 1;
