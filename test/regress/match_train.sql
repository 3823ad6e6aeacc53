-- Weights of comparison that are learnt: from whom, when they are used, and that they are right.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Learning', 'Ann', 'ann@learning.example', country => 'DE') AS o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org, set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role, set_config('saleshub.duplicates', 'allow', false) AS duplicates;

-- Arithmetic: two fields, a hundred pairs that are one thing among a thousand that are not.
SELECT round(w[3]::numeric, 1) > 5 AS same, w[1] < -2 AS differ, abs(w[7] - 0.1) < 0.03 AS share
FROM saleshub.match_em(2, '{3,3, 1,1, 3,1, 1,3}', '{95, 890, 8, 7}', '{1,1, 3,1, 1,3}', '{9800, 100, 100}') w;
SELECT saleshub.match_em(2, '{3}', '{1}', '{1,1}', '{1}');
SELECT saleshub.match_em(1, '{4}', '{1}', '{1}', '{1}');
SELECT saleshub.match_em(0, '{}', '{}', '{}', '{}');

SELECT crm.match_model('contacts') AS none, crm.match_train('contacts') #>> '{model,reason}' AS of_nobody;
-- People with common names, and a third of them once more, with a typing error or without an address.
SELECT setseed(0.7) IS NOT NULL AS seeded;
INSERT INTO crm.contact (first_name, last_name, email, phone, custom)
SELECT (ARRAY['Ada', 'Bob', 'Cy', 'Di', 'Eve', 'Flo', 'Gus', 'Hal', 'Ida', 'Joe'])[1 + i % 10], (ARRAY['Abel', 'Baker', 'Cole', 'Dunn', 'Ellis', 'Frost', 'Grant', 'Hobbs'])[1 + i % 8],
       'person' || i || '@learning.example', '+4930' || 5000000 + i * 7, jsonb_build_object('zip', 10000 + i % 90, 'born', 19500101 + i * 13)
FROM generate_series(1, 600) i;
INSERT INTO crm.contact (first_name, last_name, email, phone, custom)
SELECT CASE WHEN random() < 0.1 THEN left(first_name, 1) ELSE first_name END, CASE WHEN random() < 0.1 THEN last_name || 's' ELSE last_name END,
       CASE WHEN random() < 0.7 THEN email END, CASE WHEN random() < 0.7 THEN phone END, custom
FROM crm.contact WHERE org_id = saleshub.org_id() AND right(email, 20) LIKE '%@learning.example' ORDER BY contact_id LIMIT 200;
SELECT crm.match_fields_put('{"type": "contacts", "fields": [{"field": "custom.zip", "kind": "code", "same": 5, "differ": -2}, {"field": "custom.born", "kind": "code", "same": 9, "differ": -3}]}') IS NOT NULL AS fields;
SELECT crm.match_train('contacts') -> 'model' AS model \gset
SELECT :'model'::jsonb ->> 'reason' AS reason, (:'model'::jsonb -> 'adopted')::boolean AS adopted, (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(:'model'::jsonb -> 'weights') k) AS learnt,
       (SELECT bool_and((w ->> 'same')::numeric > 0 AND (w ->> 'differ')::numeric <= 0 AND (w ->> 'close')::numeric <= (w ->> 'same')::numeric) FROM jsonb_each(:'model'::jsonb -> 'weights') x (f, w)) AS in_order,
       (:'model'::jsonb #>> '{weights,email,same}')::numeric > (:'model'::jsonb #>> '{weights,first_name,same}')::numeric AS rare_counts_more;
-- They are used, and the company, of which nothing was to be learnt, keeps its weight.
SELECT (r ->> 'same')::numeric = (:'model'::jsonb #>> '{weights,email,same}')::numeric AS email FROM jsonb_array_elements(saleshub.match_rules(:'org', 'contact')) r WHERE r ->> 'field' = 'email';
SELECT r ->> 'same' AS company FROM jsonb_array_elements(saleshub.match_rules(:'org', 'contact')) r WHERE r ->> 'field' = 'company_name';
SELECT jsonb_array_length(crm.duplicates('contact', c.contact_id) -> 'data') > 0 AS found FROM crm.contact c WHERE c.org_id = saleshub.org_id() AND c.email = 'person1@learning.example' ORDER BY contact_id LIMIT 1;
-- Decisions that they miss and the hand did not: not adopted, what is used stays.
INSERT INTO crm.duplicate_decision (entity, low_id, high_id, same, levels)
SELECT 'contact', least(a, b), greatest(a, b), true, '{"first_name": "same", "last_name": "same"}' FROM (SELECT crm.uuid_v7() AS a, crm.uuid_v7() AS b FROM generate_series(1, 5)) x;
SELECT m ->> 'reason' AS reason, m -> 'labelled' AS labelled, m -> 'hand_wrong' AS hand_wrong, m -> 'model_wrong' AS model_wrong FROM (SELECT crm.match_train('contacts') -> 'model' AS m) x;
SELECT (r ->> 'same')::numeric = (:'model'::jsonb #>> '{weights,email,same}')::numeric AS still FROM jsonb_array_elements(saleshub.match_rules(:'org', 'contact')) r WHERE r ->> 'field' = 'email';
SELECT crm.match_model_forget('contacts') IS NOT NULL AS forgotten, saleshub.match_rules(:'org', 'contact') = saleshub.match_rules_by_hand(:'org', 'contact') AS not_yet;
SELECT saleshub.match_rules(:'org', 'contact') = saleshub.match_rules_by_hand(:'org', 'contact') AS by_hand;
SELECT set_config('saleshub.member_role', 'rep', false);
SELECT crm.match_train('contacts');
