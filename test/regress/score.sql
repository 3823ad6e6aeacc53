-- Scores: what each condition means, reasons that add up, history, and rules that change.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Score test', 'Ann', 'ann@score.example', country => 'DE') ->> 'org_id' AS org \gset
SELECT crm.org_create('Score other', 'Bob', 'bob@score.example') ->> 'org_id' AS other \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
SET ROLE saleshub_user;

-- Does the condition hold for a lead with these fields? Leaves nothing behind.
CREATE FUNCTION pg_temp.holds(predicate jsonb, fields jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(k), ', ') FROM jsonb_object_keys(fields) k);
    points integer;
BEGIN
    BEGIN
        DELETE FROM crm.score_rule;
        INSERT INTO crm.score_rule (label, predicate, points) VALUES ('it', holds.predicate, 1);
        EXECUTE format('INSERT INTO crm.lead (company_name, %1$s) SELECT ''x'', %1$s'
                       ' FROM jsonb_populate_record(NULL::crm.lead, $1) RETURNING score', columns)
            INTO points USING fields;
        RAISE SQLSTATE 'ZZ000';
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
        RETURN points = 1;
    END;
END
$$;
SELECT c.field || ' ' || c.op || coalesce(' ' || (c.value #>> '{}'), '') AS condition, c.lead,
       pg_temp.holds(jsonb_strip_nulls(jsonb_build_object(
           'field', c.field, 'op', c.op, 'value', c.value)), c.lead::jsonb) AS holds
  FROM (VALUES
    (1, 'title', '=', '"Head of IT"'::jsonb, '{"title": "head OF it"}'),
    (2, 'title', '=', '"Head of IT"', '{"title": "Head"}'),
    (3, 'title', '!=', '"CEO"', '{"title": "ceo"}'),
    (4, 'title', '!=', '"CEO"', '{"title": null}'),
    (5, 'title', '=', '"CEO"', '{"title": null}'),
    (6, 'title', 'contains', '"direktör"', '{"title": "VERTRIEBSDIREKTÖR"}'),
    (7, 'title', 'contains', '"x"', '{"title": null}'),
    (8, 'title', 'starts_with', '"vp"', '{"title": "VP Sales"}'),
    (9, 'title', 'starts_with', '"vp"', '{"title": "Sales VP"}'),
    (10, 'source', 'in', '["web", "event"]', '{"source": "Event"}'),
    (11, 'source', 'in', '["web", "event"]', '{"source": "ads"}'),
    (12, 'source', 'not_in', '["web", "event"]', '{"source": "ads"}'),
    (13, 'source', 'not_in', '["web", "event"]', '{"source": null}'),
    (14, 'employees', '<', '50', '{"employees": 49}'),
    (15, 'employees', '<', '50', '{"employees": 50}'),
    (16, 'employees', '<=', '50', '{"employees": 50}'),
    (17, 'employees', '>', '50', '{"employees": 50}'),
    (18, 'employees', '>=', '50', '{"employees": 50}'),
    (19, 'employees', '>=', '50', '{"employees": null}'),
    (20, 'employees', '=', '50', '{"employees": 50}'),
    (21, 'employees', 'in', '[1, 50]', '{"employees": 50}'),
    (22, 'employees', '>', '-3000000000', '{"employees": 0}'),
    (23, 'annual_revenue', '>', '1000000.005', '{"annual_revenue": 1000000.01}'),
    (24, 'annual_revenue', '>', '1000000.005', '{"annual_revenue": 1000000}'),
    (25, 'annual_revenue', '=', '10', '{"annual_revenue": 10.00}'),
    (26, 'phone', 'is_null', NULL, '{"phone": null}'),
    (27, 'phone', 'not_null', NULL, '{"phone": "+4930123456"}'),
    (28, 'phone', 'is_null', NULL, '{"phone": "+4930123456"}'),
    (29, 'consent_email', '=', 'false', '{"consent_email": false}'),
    (30, 'consent_email', '=', 'false', '{"consent_email": null}'),
    (31, 'consent_email', '!=', 'true', '{"consent_email": null}'),
    (32, 'tags', 'contains', '"vip"', '{"tags": ["new", "VIP"]}'),
    (33, 'tags', 'contains', '"vi"', '{"tags": ["new", "VIP"]}'),
    (34, 'tags', 'is_null', NULL, '{"tags": []}'),
    (35, 'tags', 'not_null', NULL, '{"tags": ["a"]}'),
    (36, 'email', 'matches_domain', '"free"', '{"email": "jo@GMAIL.com"}'),
    (37, 'email', 'matches_domain', '"free"', '{"email": "jo@126.com"}'),
    (38, 'email', 'matches_domain', '"free"', '{"email": "jo@zoho.com"}'),
    (39, 'email', 'matches_domain', '"business"', '{"email": "jo@gmail.com"}'),
    (40, 'email', 'matches_domain', '"business"', '{"email": "jo@firm.example"}'),
    (41, 'email', 'matches_domain', '"business"', '{"email": null}'),
    (42, 'email', 'matches_domain', '"firm.example"', '{"email": "jo@eu.firm.example"}'),
    (43, 'email', 'matches_domain', '"firm.example"', '{"email": "jo@myfirm.example"}')
  ) AS c (n, field, op, value, lead)
 ORDER BY c.n;
SELECT n, pg_temp.holds(p::jsonb, '{"employees": 10, "country": "DE"}') AS holds
  FROM (VALUES
    (1, '{"and": [{"field": "employees", "op": ">", "value": 5}, {"field": "country", "op": "=", "value": "de"}]}'),
    (2, '{"and": [{"field": "employees", "op": ">", "value": 5}, {"field": "country", "op": "=", "value": "fr"}]}'),
    (3, '{"or": [{"field": "employees", "op": ">", "value": 50}, {"field": "country", "op": "=", "value": "de"}]}'),
    (4, '{"or": [{"field": "employees", "op": ">", "value": 50}, {"field": "country", "op": "=", "value": "fr"}]}'),
    (5, '{"not": {"field": "country", "op": "=", "value": "de"}}'),
    (6, '{"not": {"and": [{"not": {"field": "country", "op": "=", "value": "de"}}, {"field": "employees", "op": "=", "value": 10}]}}')
  ) AS c (n, p)
 ORDER BY n;

-- A rule that cannot be is refused with all its faults.
SELECT e ->> 'pointer' AS pointer, e ->> 'code' AS code, e ->> 'detail' AS detail
  FROM (VALUES
    (1, '{"and": [{"field": "nope", "op": "="}, {"field": "employees", "op": "contains", "value": "a"},
                  {"not": {"field": "email", "op": "in", "value": ["a", 1]}}]}'::jsonb),
    (2, '[]'), (3, '5'), (4, '{"and": []}'), (5, '{"or": 5}'), (6, '{}'),
    (7, '{"field": "employees", "op": "=", "value": 1.5}'),
    (8, '{"field": "employees", "op": "=", "value": 1e30}'),
    (9, '{"field": "employees", "op": "is_null", "value": 1, "extra": true}'),
    (10, '{"field": "title", "op": "=", "value": ""}'),
    (11, '{"field": "title", "op": "=", "value": null}'),
    (12, '{"field": "title", "op": "="}'),
    (13, '{"field": "consent_email", "op": "=", "value": "yes"}'),
    (14, '{"not": {"field": 5, "op": []}, "and": [{}]}')
  ) AS p (n, predicate), jsonb_array_elements(saleshub.score_predicate_errors(p.predicate)) AS e
 ORDER BY n;
SELECT e ->> 'code' AS code, length(e ->> 'pointer') AS deep
  FROM jsonb_array_elements(saleshub.score_predicate_errors(
           (repeat('{"not": ', 60) || '{}' || repeat('}', 60))::jsonb)) AS e;
SELECT jsonb_agg(e ->> 'code') AS codes
  FROM jsonb_array_elements(saleshub.score_predicate_errors((
           SELECT jsonb_build_object('or', jsonb_agg('{"field": "city", "op": "is_null"}'::jsonb))
             FROM generate_series(1, 600)))) AS e;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN state || coalesce(' ' || (SELECT string_agg(e ->> 'pointer', ' ' ORDER BY n)
        FROM jsonb_array_elements(CASE WHEN detail LIKE '{%' THEN detail::jsonb -> 'errors' END)
             WITH ORDINALITY AS x (e, n)), '');
END
$$;
SELECT pg_temp.failure($$INSERT INTO crm.score_rule (label, predicate, points)
                         VALUES ('x', '{"field": "city", "op": "~"}', 5)$$);
SELECT pg_temp.failure($$UPDATE crm.score_rule SET predicate = '{"field": "city", "op": "~"}'$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_rule (label, predicate, points)
                         VALUES (' ', '{"field": "city", "op": "is_null"}', 5)$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_rule (label, predicate, points)
                         VALUES ('x', '{"field": "city", "op": "is_null"}', 101)$$);

-- The rules that an organisation starts with.
SELECT label, points FROM crm.score_rule ORDER BY position;
INSERT INTO crm.lead (last_name, email, phone, title, employees, source, industry, country, website,
                      score, grade, score_reasons, probability)
VALUES ('Full', 'full@firm.example', '+49301234567', 'CEO', 200, 'referral', 'Software', 'DE', 'firm.example',
        7, 'Z', '[{"label": "bribe", "points": 7}]', 0.5),
       ('Some', 'some@gmail.com', NULL, 'Clerk', NULL, 'web', NULL, 'DE', NULL, 0, NULL, '[]', NULL),
       ('None', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 99, 'A', '[]', NULL);
SELECT last_name, score, grade, probability, score_reasons FROM crm.lead ORDER BY lead_id;
-- What is given for the score does not count, and is no change.
UPDATE crm.lead SET score = 1, grade = 'E', score_reasons = '[]', probability = 1 WHERE last_name = 'Full';
SELECT score, grade, probability, version FROM crm.lead WHERE last_name = 'Full';
UPDATE crm.lead SET phone = '+49301234567', consent_email = false WHERE last_name = 'None';
SELECT score, grade, score_reasons, version FROM crm.lead WHERE last_name = 'None';
UPDATE crm.lead SET phone = NULL, employees = 20 WHERE last_name = 'None';
SELECT score, grade, score_reasons FROM crm.lead WHERE last_name = 'None';
SELECT l.last_name, h.score, h.previous, h.grade, h.cause, h.reasons = l.score_reasons AS latest
  FROM crm.score_history h JOIN crm.lead l USING (org_id, lead_id)
 WHERE h.org_id = :'org' ORDER BY h.score_history_id;

-- Grades begin where they should.
BEGIN;
DELETE FROM crm.score_rule;
INSERT INTO crm.score_rule (label, predicate, points)
SELECT 'size ' || n, jsonb_build_object('field', 'employees', 'op', '=', 'value', n), n
  FROM unnest('{19,20,39,40,59,60,79,80,100}'::int[]) n;
INSERT INTO crm.lead (last_name, employees) SELECT 'grade', n FROM unnest('{0,19,20,39,40,59,60,79,80,100}'::int[]) n;
SELECT employees, score, grade FROM crm.lead WHERE last_name = 'grade' ORDER BY employees;
ROLLBACK;

-- New rules score the open leads in the same commit, and touch only those whose score changes.
SELECT version AS some_version FROM crm.lead WHERE last_name = 'Some' \gset
UPDATE crm.score_rule SET points = 20 WHERE label = 'Phone number given';
SELECT last_name, score, score_reasons -> -1 AS last_reason FROM crm.lead WHERE last_name = 'Full';
SELECT version = :some_version AS untouched FROM crm.lead WHERE last_name = 'Some';
UPDATE crm.score_rule SET active = false WHERE label = 'In our home market';
SELECT last_name, score FROM crm.lead ORDER BY lead_id;
DELETE FROM crm.score_rule WHERE label = 'Website known';
SELECT last_name, score FROM crm.lead ORDER BY lead_id;
SELECT score, previous, cause FROM crm.score_history h
 WHERE lead_id = (SELECT lead_id FROM crm.lead WHERE last_name = 'Full') ORDER BY score_history_id;
BEGIN;
UPDATE crm.score_rule SET points = 1;
SELECT last_name, score FROM crm.lead ORDER BY lead_id;
ROLLBACK;
SELECT last_name, score FROM crm.lead ORDER BY lead_id;
-- after the rollback new leads are scored by the old rules too
INSERT INTO crm.lead (last_name, phone) VALUES ('After', '+49301234567') RETURNING score;

-- A closed lead keeps the score it was closed with.
SELECT crm.lead_convert(lead_id, '{"deal": {"mode": "skip"}}') ->> 'replayed' AS replayed
  FROM crm.lead WHERE last_name = 'Full';
SELECT score AS closed_score FROM crm.lead WHERE last_name = 'Full' \gset
UPDATE crm.score_rule SET points = 1 WHERE active;
SELECT score = :closed_score AS kept FROM crm.lead WHERE last_name = 'Full';

-- The functions.
SELECT jsonb_object_keys(crm.lead_score_get(lead_id)) FROM crm.lead WHERE last_name = 'None' ORDER BY 1;
SELECT s ->> 'score' AS score, s -> 'reasons' AS reasons, jsonb_array_length(s -> 'history') AS history
  FROM (SELECT crm.lead_score_get(lead_id) AS s FROM crm.lead WHERE last_name = 'None') x;
SELECT pg_temp.failure($$SELECT crm.lead_score_get('00000000-0000-0000-0000-000000000000')$$);
SELECT jsonb_array_length(crm.score_rules_get() -> 'rules') AS rules;
SELECT pg_temp.failure($$SELECT crm.score_rules_put('{"rules": [{"label": "", "predicate": {"field": "x", "op": "="}, "points": 1.5},
    {"id": "00000000-0000-0000-0000-000000000000", "label": "ok", "predicate": {"field": "city", "op": "not_null"}, "points": 5},
    5, {"points": 5}], "more": 1}')$$);
SELECT pg_temp.failure($$SELECT crm.score_rules_put('5')$$);
SELECT r ->> 'label' AS label, r -> 'points' AS points, r -> 'active' AS active
  FROM jsonb_array_elements(crm.score_rules_put(jsonb_build_object('rules', jsonb_build_array(
      (SELECT jsonb_build_object('id', score_rule_id, 'label', 'kept', 'predicate', predicate, 'points', 33)
         FROM crm.score_rule WHERE label = 'Phone number given'),
      '{"label": "added", "predicate": {"field": "employees", "op": "not_null"}, "points": 44}'::jsonb))) -> 'rules') AS r;
SELECT last_name, score, score_reasons FROM crm.lead WHERE status <> 'converted' ORDER BY lead_id;
-- one change of the score for one change of the rules
SELECT cause, score, previous FROM crm.score_history h
 WHERE lead_id = (SELECT lead_id FROM crm.lead WHERE last_name = 'After') ORDER BY score_history_id DESC LIMIT 1;

-- Who may change the rules, and whose they are.
RESET ROLE;
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT pg_temp.failure($$UPDATE crm.score_rule SET points = 50$$);
SELECT pg_temp.failure($$DELETE FROM crm.score_rule$$);
SELECT pg_temp.failure($$SELECT crm.score_rules_put('{"rules": []}')$$);
SELECT pg_temp.failure($$SELECT saleshub.score_rescore(saleshub.org_id())$$);
SELECT pg_temp.failure($$INSERT INTO crm.score_history (lead_id, score, reasons, cause) VALUES (crm.uuid_v7(), 5, '[]', 'rules')$$);
INSERT INTO crm.lead (last_name, employees) VALUES ('By a rep', 5) RETURNING score;
RESET ROLE;
SET saleshub.member_role = 'manager';
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS context;
SET ROLE saleshub_user;
SELECT count(*) AS rules FROM crm.score_rule;
UPDATE crm.score_rule SET points = points + 1;
SELECT count(*) AS leads, (SELECT count(*) FROM crm.score_history) AS history FROM crm.lead;
RESET ROLE;
SELECT sum(points) AS points FROM crm.score_rule WHERE org_id = :'org';
SET ROLE saleshub_user;

-- The reasons add up to the score for any rules and any leads.
SELECT setseed(0.42) IS NOT NULL AS seeded;
DELETE FROM crm.score_rule WHERE org_id = :'other';
INSERT INTO crm.score_rule (label, predicate, points, position)
SELECT 'rule ' || n, jsonb_build_object('field', 'employees', 'op', (ARRAY['<', '>', '=', '!='])[1 + n % 4],
                                        'value', (random() * 100)::int),
       ((ARRAY[-40, 50, 50, -2])[1 + n % 4] * random())::int, n
  FROM generate_series(1, 40) n;
INSERT INTO crm.lead (last_name, employees) SELECT 'any', n % 101 FROM generate_series(1, 1000) n;
SELECT count(*) AS leads, count(DISTINCT score) > 5 AS varied, min(score) >= 0 AND max(score) <= 100 AS within,
       bool_or(score_reasons @> '[{"label": "limited to 100"}]') AS some_limited,
       bool_or(score_reasons @> '[{"label": "not below 0"}]') AS some_lifted
  FROM crm.lead WHERE last_name = 'any';
SELECT count(*) AS wrong FROM crm.lead l
 WHERE l.last_name = 'any'
   AND l.score <> (SELECT coalesce(sum((r ->> 'points')::int), 0) FROM jsonb_array_elements(l.score_reasons) r);
SELECT count(*) AS wrong FROM crm.lead l
 WHERE l.last_name = 'any' AND l.score <> least(100, greatest(0, (
       SELECT coalesce(sum(r.points), 0) FROM crm.score_rule r
        WHERE r.org_id = l.org_id AND CASE r.predicate ->> 'op'
              WHEN '<' THEN l.employees < (r.predicate ->> 'value')::int
              WHEN '>' THEN l.employees > (r.predicate ->> 'value')::int
              WHEN '=' THEN l.employees = (r.predicate ->> 'value')::int
              ELSE l.employees <> (r.predicate ->> 'value')::int END)));
-- and the history ends with the score the lead has
UPDATE crm.score_rule SET points = -points WHERE org_id = :'other' AND position % 3 = 0;
SELECT count(*) AS wrong FROM crm.lead l
 WHERE l.last_name = 'any'
   AND l.score IS DISTINCT FROM (SELECT h.score FROM crm.score_history h
        WHERE h.org_id = l.org_id AND h.lead_id = l.lead_id ORDER BY h.score_history_id DESC LIMIT 1);
SELECT count(*) AS wrong
  FROM (SELECT previous, lag(score) OVER (PARTITION BY lead_id ORDER BY score_history_id) AS before
          FROM crm.score_history WHERE org_id = :'other') h
 WHERE previous IS DISTINCT FROM before;
