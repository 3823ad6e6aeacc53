-- Models of leads and deals: trained on what was known, kept right by triggers, explained to the last digit.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    RETURN concat(SQLSTATE, ' ', SQLERRM);
END;
$$;
SELECT crm.org_create('Model test', 'Ann', 'ann@model.example', 'EUR', country => 'DE') AS org \gset
SELECT crm.org_create('Model other', 'Bob', 'bob@model.example', 'EUR') ->> 'org_id' AS other \gset
SELECT set_config('saleshub.org_id', :'org'::jsonb ->> 'org_id', false) IS NULL,
       set_config('saleshub.member_id', :'org'::jsonb ->> 'member_id', false) IS NULL,
       set_config('saleshub.member_role', 'admin', false);
SET ROLE saleshub_user;
SELECT crm.custom_field_create('{"entity": "lead", "key": "visits", "label": "Visits", "type": "integer"}') ->> 'key',
    crm.custom_field_create('{"entity": "lead", "key": "plan", "label": "Plan", "type": "text"}') ->> 'key';

-- Nothing to learn from: no model, and the numbers that say so.
SELECT c ->> 'state', c -> 'insufficient' -> 'n', c #> '{insufficient,base_rate}', c #>> '{insufficient,reason}'
FROM crm.score_train() c;

-- An organisation's past: who is from web and visits often becomes a customer; the phone number is
-- found out only when it does, which must not be learnt.
RESET ROLE;
CREATE FUNCTION pg_temp.past(n integer, seed float8, first_ integer, rate float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed);
    CREATE TEMP TABLE IF NOT EXISTS truth (i integer PRIMARY KEY, z float8, won boolean);
    INSERT INTO truth
    SELECT i, z, random() < 1 / (1 + exp(-z)) FROM (
        SELECT i, rate + CASE i % 3 WHEN 0 THEN 1.5 ELSE -1 END + (i * 7 % 10) * 0.25 - 1 AS z
        FROM generate_series(first_, first_ + n - 1) i) s;
    INSERT INTO crm.lead (last_name, source, custom, created_at)
    SELECT 'lead ' || i, CASE i % 3 WHEN 0 THEN 'web' WHEN 1 THEN 'event' END,
           jsonb_build_object('visits', i * 7 % 10, 'plan', CASE WHEN i % 2 = 0 THEN 'small' ELSE 'large' END),
           now() - interval '400 days' + i * interval '2 hours'
    FROM truth WHERE i >= first_ ORDER BY i;
    -- two days later phone numbers become known, and a day after that what becomes of them
    UPDATE crm.lead l SET phone = '+4930' || 1000000 + t.i, status = CASE WHEN t.won THEN 'working' ELSE 'unqualified' END
    FROM truth t WHERE l.org_id = saleshub.org_id() AND l.last_name = 'lead ' || t.i AND t.i >= first_ AND (t.won OR t.i % 5 = 0);
    SET LOCAL saleshub.converting = 'on';
    UPDATE crm.lead l SET status = 'converted', converted_at = l.created_at + interval '3 days'
    FROM truth t WHERE l.org_id = saleshub.org_id() AND l.last_name = 'lead ' || t.i AND t.i >= first_ AND t.won;
    SET LOCAL saleshub.converting = 'off';
    -- the log says when: it was all written just now
    UPDATE crm.change_log c SET at = l.created_at + CASE WHEN c.op = 'insert' THEN interval '0'
            WHEN c.changed ? 'converted_at' THEN interval '3 days' ELSE interval '2 days' END
    FROM crm.lead l WHERE c.org_id = saleshub.org_id() AND c.entity = 'lead' AND l.org_id = c.org_id AND l.lead_id = c.entity_id AND c.at = now();
END;
$$;
SELECT pg_temp.past(3000, 0.1, 1, 0);
SET ROLE saleshub_user;
SELECT crm.score_train('lead', '30 days') AS card \gset
SELECT c ->> 'state', c #> '{champion,n}', c #> '{champion,won}' = (SELECT to_jsonb(count(*)) FROM crm.lead WHERE status = 'converted'),
    (c #>> '{champion,auc}')::float8 BETWEEN 0.7 AND 0.9, (c #>> '{champion,log_loss}')::float8 < (c #>> '{champion,base_log_loss}')::float8,
    (c #>> '{champion,ece10}')::float8 < 0.05, (c #>> '{champion,time_split,challenger,auc}')::float8 > 0.7, c #>> '{champion,horizon_days}'
FROM (SELECT :'card'::jsonb) x (c);
-- the phone number was not known when it would have helped: at day 0 and 1 nobody has one
SELECT f ->> 'value', (f ->> 'share')::float8 > 0.5 FROM jsonb_path_query(:'card'::jsonb, '$.champion.features[*] ? (@.feature == "phone_given").levels[*]') f WHERE (f ->> 'share')::float8 > 0 ORDER BY 1;

-- New leads have their chance in the same commit, by the model that was trained.
INSERT INTO crm.lead (last_name, source, custom) VALUES ('warm', 'web', '{"visits": 9}'), ('cold', NULL, '{"visits": 0}');
SELECT last_name, probability = probability_model::numeric, probability_version, probability_age, probability_model > 0.7, probability_model < 0.3 FROM crm.lead WHERE last_name IN ('warm', 'cold') ORDER BY 1;
UPDATE crm.lead SET custom = '{"visits": 9}', source = 'web' WHERE last_name = 'cold';
SELECT count(DISTINCT probability_model) FROM crm.lead WHERE last_name IN ('warm', 'cold');
-- reasons and intercept are the logit of it
CREATE FUNCTION pg_temp.apart(id uuid, p float8) RETURNS float8 LANGUAGE sql AS $$
    SELECT abs(sum((r ->> 'log_odds')::float8) - ln(p / (1 - p))) FROM jsonb_array_elements(saleshub.lead_model_reasons(id)) r $$;
SELECT max(pg_temp.apart(lead_id, probability_model)) < 1e-9, count(*) FROM (SELECT * FROM crm.lead WHERE probability_model IS NOT NULL LIMIT 500) l;
SELECT r ->> 'feature', r ->> 'value', (r ->> 'odds_ratio')::float8 > 1, (r ->> 'delta_p')::float8 > 0
FROM crm.lead l, jsonb_array_elements(crm.lead_score_get(l.lead_id) -> 'model_reasons') r WHERE last_name = 'warm' AND r ->> 'feature' IN ('intercept', 'source', 'custom.visits') ORDER BY 1;
-- by hand goes before the model, and back
SELECT crm.lead_update(lead_id, '{"probability_manual": 0.25}') -> 'probability' FROM crm.lead WHERE last_name = 'warm';
SELECT (crm.lead_update(lead_id, '{"probability_manual": null}') ->> 'probability')::float8 > 0.7 FROM crm.lead WHERE last_name = 'warm';
-- what the model says is nobody's to write
UPDATE crm.lead SET probability_model = 0.5, probability = 0.5, probability_version = 77 WHERE last_name = 'warm';
SELECT probability_model > 0.7, probability_version FROM crm.lead WHERE last_name = 'warm';
-- an activity counts at once
INSERT INTO crm.activity (activity_id, type, subject) VALUES ('00000000-0000-0000-0000-0000000000a1', 'call', 'x');
INSERT INTO crm.activity_link (activity_id, entity, entity_id) SELECT '00000000-0000-0000-0000-0000000000a1', 'lead', lead_id FROM crm.lead WHERE last_name = 'warm';
SELECT count(*) FILTER (WHERE NOT saleshub.probability_is_current('lead', l)) FROM crm.lead l WHERE l.last_name IN ('warm', 'cold');
-- a decided lead keeps the last chance that was told
UPDATE crm.lead SET status = 'unqualified' WHERE last_name = 'cold';
UPDATE crm.lead SET source = NULL WHERE last_name = 'cold';
SELECT probability_model > 0.7 FROM crm.lead WHERE last_name = 'cold';

-- who may not
RESET ROLE;
SELECT set_config('saleshub.member_role', 'rep', false);
SET ROLE saleshub_user;
SELECT pg_temp.refused('SELECT crm.score_train()');
RESET ROLE;
SELECT set_config('saleshub.member_role', 'admin', false);
SET ROLE saleshub_user;
SELECT pg_temp.refused('SELECT crm.score_train(''contact'')'), pg_temp.refused('SELECT crm.score_model_card(''contact'')'), pg_temp.refused('SELECT crm.score_train(horizon => ''0'')');
SELECT pg_temp.refused('UPDATE crm.score_model SET state = ''retired''');
SELECT pg_temp.refused('SELECT saleshub.score_model_store(''lead'', ''champion'', ''{}'', ''{}'', now())');
RESET ROLE;
CREATE ROLE score_reader;
GRANT USAGE ON SCHEMA crm, saleshub TO score_reader;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA crm, saleshub TO score_reader;
SET ROLE score_reader;
SELECT pg_temp.refused('SELECT crm.score_train()');
RESET ROLE;
DROP OWNED BY score_reader;
DROP ROLE score_reader;
-- another organisation has neither the model nor the leads
SELECT set_config('saleshub.org_id', :'other', false) = :'other';
SET ROLE saleshub_user;
SELECT crm.score_model_card() ->> 'state', count(*) FROM crm.score_model;
SELECT crm.score_train() #> '{insufficient,n}';
INSERT INTO crm.lead (last_name, source) VALUES ('theirs', 'web');
SELECT probability_model IS NULL FROM crm.lead WHERE last_name = 'theirs';
RESET ROLE;
SELECT set_config('saleshub.org_id', :'org'::jsonb ->> 'org_id', false) IS NULL;
SET ROLE saleshub_user;

-- A new model replaces the champion only when it predicts later leads better.
SELECT c ->> 'state', c #>> '{challenger,reason}', c #> '{champion,version}', c #> '{challenger,version}' FROM crm.score_train('lead', '30 days') c;
RESET ROLE;

-- The world changes: leads convert more often. The champion is calibrated on what came of the
-- latest ones, and what it then says of still later ones holds.
SELECT pg_temp.past(700, 0.2, 3001, 1.2);
SELECT pg_temp.past(700, 0.3, 3701, 1.2);
CREATE TEMP TABLE later AS SELECT l.lead_id, t.won FROM truth t JOIN crm.lead l ON l.org_id = saleshub.org_id() AND l.last_name = 'lead ' || t.i WHERE t.i > 3700;
CREATE FUNCTION pg_temp.later_ece() RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    m record;
BEGIN
    SELECT * INTO m FROM crm.score_model WHERE org_id = saleshub.org_id() AND state = 'champion';
    PERFORM saleshub.score_prepare('lead', '30 days', (SELECT min(l.created_at) FROM crm.lead l JOIN later USING (lead_id)));
    RETURN (saleshub.score_judge(m.model, m.calibration, '-infinity') ->> 'ece10')::numeric;
END;
$$;
SELECT pg_temp.later_ece() > 0.1;
-- the later ones are not known yet
SET saleshub.converting = 'on';
UPDATE crm.lead l SET deleted_at = now() FROM later WHERE l.lead_id = later.lead_id;
SELECT (d ->> 'n')::integer > 700, (d #>> '{before,ece10}')::numeric > 0.1, (d #>> '{after,ece10}')::numeric < 0.05, (d ->> 'psi_score')::numeric IS NOT NULL, d -> 'psi' ? 'source'
FROM saleshub.score_recalibrate('lead') d;
-- Whichever end of the card's bins comes first, the same spread is no drift and another one is.
SELECT b.best_first, saleshub.score_psi_score(b.bins, same) < 0.01, saleshub.score_psi_score(b.bins, low) > 1
FROM (SELECT f.best_first, jsonb_agg(jsonb_build_object('predicted', (n - 0.5) / 10) ORDER BY n * CASE WHEN f.best_first THEN -1 ELSE 1 END)
      FROM generate_series(1, 10) n, (VALUES (false), (true)) f (best_first) GROUP BY 1) b (best_first, bins),
     (SELECT array_agg((n - 0.5) / 1000), array_agg((n - 0.5) / 4000) FROM generate_series(1, 1000) n) p (same, low)
ORDER BY 1;
UPDATE crm.lead l SET deleted_at = NULL FROM later WHERE l.lead_id = later.lead_id;
RESET saleshub.converting;
SELECT pg_temp.later_ece() < 0.05;
-- records are told anew by the worker; until then they say by which version they were told
SELECT probability_version < m.version FROM crm.lead l, crm.score_model m WHERE l.last_name = 'warm' AND m.state = 'champion' AND m.org_id = l.org_id;
SELECT saleshub.score_rescore_turn(100000), saleshub.score_rescore_turn(100000), saleshub.score_rescore_turn(100000);
SELECT count(*) FILTER (WHERE probability_model IS NOT NULL) > 500, count(*) FILTER (WHERE NOT saleshub.probability_is_current('lead', l)) FROM crm.lead l WHERE org_id = saleshub.org_id();

-- Trainings that a worker does: asked for, seen, cancelled.
SELECT j ->> 'state' FROM crm.score_training_create('{"entity": "lead", "horizon_days": 30}') j;
SELECT state, fault, finished_at IS NOT NULL FROM crm.score_training ORDER BY 1;
INSERT INTO crm.score_training (entity, created_by) VALUES ('lead', saleshub.member_id()) RETURNING score_training_id AS job \gset
SELECT pg_temp.refused('SELECT crm.score_training_create(''{}'')');
SELECT state, phase FROM saleshub.score_train_progress;
SELECT crm.score_training_cancel(:'job') ->> 'state';
SELECT crm.score_training_get(:'job') ->> 'state';
-- the worker takes one, shows who does it, and trains as the member
RESET ROLE;
INSERT INTO crm.score_training (entity, horizon, created_by) VALUES ('lead', '30 days', saleshub.member_id()), ('deal', NULL, NULL);
SELECT saleshub.score_training_turn();
SELECT count(*) FROM crm.score_training WHERE state = 'running' AND pid = pg_backend_pid();
SELECT saleshub.score_training_turn(), saleshub.score_training_turn(), saleshub.score_training_turn(), saleshub.score_training_turn();
SELECT current_user = session_user, entity, state, fault FROM crm.score_training ORDER BY entity, score_training_id;
-- a lead that grows older has the chance of its age
INSERT INTO crm.lead (last_name, source, created_at) VALUES ('aged', 'web', now() - interval '6 days');
SELECT probability_age FROM crm.lead WHERE last_name = 'aged';
ALTER TABLE crm.lead DISABLE TRIGGER USER;
UPDATE crm.lead SET created_at = now() - interval '8 days' WHERE last_name = 'aged';
ALTER TABLE crm.lead ENABLE TRIGGER USER;
UPDATE crm.score_upkeep SET looked_at = now() - interval '2 hours', aged_until = now() - interval '2 days', automatic = false;
SELECT saleshub.score_look_turn(), saleshub.score_look_turn();
SELECT probability_age FROM crm.lead WHERE last_name = 'aged';

-- Deals: by hand, by the model, by the stage.
INSERT INTO crm.deal (name, amount) VALUES ('d', 100) RETURNING deal_id AS deal, probability = probability_stage AS s, probability_manual IS NULL AS m \gset d_
\echo :d_s :d_m
SELECT (crm.deal_update(:'d_deal', '{"probability": 33}') - 'x') ->> 'probability_manual', crm.deal_get(:'d_deal') ->> 'probability';
SELECT (crm.deal_update(:'d_deal', '{"probability_manual": null}') ->> 'probability')::numeric = probability_stage FROM crm.deal WHERE deal_id = :'d_deal';
SELECT saleshub.score_model_store('deal', 'champion', '{"intercept": 1.5, "features": [{"name": "amount_base", "edges": [50], "log_odds": [0, -1, 0.5], "share": [0, 0.5, 0.5]}]}', '{"n": 1}', now()) IS NOT NULL;
SELECT saleshub.score_rescore_turn() AND NOT saleshub.score_rescore_turn() IS NULL;
SELECT probability, round(probability_model::numeric, 4), round(100 / (1 + exp(-2.0)), 4), probability_stage, probability_age FROM crm.deal WHERE deal_id = :'d_deal';
SELECT crm.deal_update(:'d_deal', '{"probability": 20}') ->> 'probability', crm.deal_update(:'d_deal', '{"amount": 10}') ->> 'probability';
SELECT crm.deal_update(:'d_deal', '{"probability_manual": null}') ->> 'probability', round(100 / (1 + exp(-0.5)), 2);
SELECT a ->> 'probability_stage', r ->> 'feature', r ->> 'value', r ->> 'log_odds' FROM crm.deal_probability_get(:'d_deal') a, jsonb_array_elements(a -> 'model_reasons') r ORDER BY 2;
SELECT crm.deal_update(:'d_deal', '{"status": "won"}') ->> 'probability', crm.deal_update(:'d_deal', '{"status": "open"}') ->> 'probability';
SELECT count(*) FILTER (WHERE NOT saleshub.probability_is_current('deal', d)) FROM crm.deal d WHERE org_id = saleshub.org_id();
