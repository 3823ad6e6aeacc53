-- Rollups equal a recomputation from the rows after any mix of changes, folded or not.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Rollup', 'Rita', 'rita@rollup.example', 'EUR') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context;
INSERT INTO crm.member (name, email, role)
VALUES ('Rep One', 'one@rollup.example', 'rep'), ('Rep Two', 'two@rollup.example', 'rep');
INSERT INTO crm.currency_rate (currency, valid_from, rate)
VALUES ('USD', '2000-01-01', 0.9), ('USD', '2024-07-01', 0.93), ('JPY', '2000-01-01', 0.0061);

-- One step of a random but repeatable workload; what it does depends on the key alone.
CREATE FUNCTION pg_temp.step(key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    dice constant int := floor(saleshub.sample_draw(key) * 22);
    d constant float8 := saleshub.sample_draw(key || ' d');
    at constant timestamptz := timestamptz '2024-01-01 00:00+00' + d * interval '400 days';
    a_owner constant uuid := (SELECT member_id FROM crm.member WHERE org_id = org
                            ORDER BY email OFFSET floor(d * 3) LIMIT 1);
    a_lead constant uuid := (SELECT lead_id FROM crm.lead
                           WHERE org_id = org AND converted_at IS NULL
                           ORDER BY md5(key || last_name) LIMIT 1);
    a_deal constant uuid := (SELECT deal_id FROM crm.deal WHERE org_id = org
                           ORDER BY md5(key || name) LIMIT 1);
    a_task constant uuid := (SELECT activity_id FROM crm.activity WHERE org_id = org
                           ORDER BY md5(key || subject) LIMIT 1);
    a_stage constant uuid := (SELECT stage_id FROM crm.stage WHERE org_id = org
                            ORDER BY position OFFSET floor(d * 4) LIMIT 1);
BEGIN
    CASE dice
    WHEN 0, 1 THEN
        INSERT INTO crm.lead (last_name, email, source, created_at, owner_id)
        SELECT key || n, 'l' || n || '@x.example',
               (ARRAY['web', 'event', NULL, repeat('é', 50)])[n],
               at + n * interval '7 minutes', CASE WHEN n < 3 THEN a_owner END
        FROM generate_series(1, 1 + floor(d * 4)::int) AS n;
    WHEN 2 THEN
        UPDATE crm.lead SET owner_id = a_owner, source = 'moved'
        WHERE org_id = org AND lead_id = a_lead;
    WHEN 3 THEN
        UPDATE crm.lead SET created_at = created_at - d * interval '1 day'
        WHERE org_id = org AND converted_at IS NULL AND owner_id = a_owner;
    WHEN 4 THEN
        PERFORM set_config('saleshub.converting', 'on', true);
        UPDATE crm.lead SET status = 'converted', converted_at = at
        WHERE org_id = org AND lead_id = a_lead;
        PERFORM set_config('saleshub.converting', 'off', true);
    WHEN 5 THEN
        UPDATE crm.lead SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END
        WHERE org_id = org AND lead_id = a_lead;
    WHEN 6 THEN
        DELETE FROM crm.lead WHERE org_id = org AND lead_id = a_lead AND d < 0.3;
    WHEN 7 THEN
        INSERT INTO crm.deal (name, stage_id, status, probability, amount, currency, opened_at,
                              owner_id)
        SELECT key || n, a_stage, NULL, NULL, round((d * 1000 * n)::numeric, 3),
               (ARRAY['EUR', 'USD', 'JPY'])[n], at, a_owner
        FROM generate_series(1, 3) AS n;
    WHEN 8, 9 THEN
        UPDATE crm.deal SET stage_id = a_stage, owner_id = a_owner
        WHERE org_id = org AND deal_id = a_deal;
    WHEN 10 THEN
        UPDATE crm.deal SET amount = CASE WHEN d < 0.9 THEN round((d * 777)::numeric, 2) END
        WHERE org_id = org AND (deal_id = a_deal OR owner_id = a_owner);
    WHEN 11 THEN
        UPDATE crm.deal SET closed_at = opened_at + d * interval '90 days'
        WHERE org_id = org AND status <> 'open' AND deal_id = a_deal;
    WHEN 12 THEN
        UPDATE crm.deal
        SET opened_at = opened_at - d * interval '9 days', probability = round(d * 100)
        WHERE org_id = org AND deal_id = a_deal AND status = 'open';
    WHEN 13 THEN
        UPDATE crm.deal SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END
        WHERE org_id = org AND (deal_id = a_deal OR d < 0.1);
    WHEN 14 THEN
        DELETE FROM crm.deal WHERE org_id = org AND deal_id = a_deal AND d < 0.3;
    WHEN 15 THEN
        UPDATE crm.deal SET currency = 'USD' WHERE org_id = org AND deal_id = a_deal;
    WHEN 16, 17 THEN
        INSERT INTO crm.activity (type, subject, created_at, done_at, owner_id)
        SELECT (ARRAY['call', 'task', 'email'])[n], key || n, at,
               CASE WHEN n = 1 THEN at END, a_owner
        FROM generate_series(1, 3) AS n;
    WHEN 18 THEN
        UPDATE crm.activity SET done_at = CASE WHEN done_at IS NULL THEN at END, type = 'meeting'
        WHERE org_id = org AND (activity_id = a_task OR d < 0.1);
    WHEN 19 THEN
        UPDATE crm.activity SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END
        WHERE org_id = org AND activity_id = a_task;
    WHEN 20 THEN
        DELETE FROM crm.activity WHERE org_id = org AND activity_id = a_task AND d < 0.3;
    ELSE
        -- Touches rows without changing what is counted.
        UPDATE crm.deal SET name = name WHERE org_id = org;
        UPDATE crm.lead SET title = key WHERE org_id = org AND converted_at IS NULL AND d < 0.5;
    END CASE;
END
$$;

-- Every fifth step happens in a subtransaction that is rolled back.
CREATE FUNCTION pg_temp.walk(first int, last int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first .. last LOOP
        IF i % 5 = 0 THEN
            BEGIN
                PERFORM pg_temp.step('undone ' || i);
                PERFORM pg_temp.step('undone too ' || i);
                RAISE EXCEPTION USING ERRCODE = 'TT001';
            EXCEPTION WHEN SQLSTATE 'TT001' THEN
                NULL;
            END;
        ELSE
            PERFORM pg_temp.step('step ' || i);
        END IF;
    END LOOP;
END
$$;
CREATE VIEW pg_temp.difference AS
SELECT fact, kept, truth FROM saleshub.rollup_check() WHERE org_id = saleshub.org_id();

BEGIN;
SELECT pg_temp.walk(1, 300);
SELECT * FROM pg_temp.difference;
SELECT pg_temp.walk(301, 350);
ROLLBACK;
SELECT * FROM pg_temp.difference;
SELECT count(*) AS leads_left_by_the_rollback FROM crm.lead WHERE org_id = :'org';

SELECT pg_temp.walk(1, 200);
SELECT * FROM pg_temp.difference;
-- folding a part, then the rest, changes no figure
SELECT crm.dashboard() - 'as_of_seq' AS before \gset
SELECT saleshub.fold(7) BETWEEN 0 AND 7 AS folded;
SELECT * FROM pg_temp.difference;
SELECT crm.dashboard() - 'as_of_seq' = :'before' AS same_when_partly_folded;
SELECT pg_temp.walk(201, 400);
DO $$
BEGIN
    WHILE EXISTS (SELECT FROM saleshub.rollup_delta WHERE org_id = saleshub.org_id()) LOOP
        PERFORM saleshub.fold();
    END LOOP;
END
$$;
SELECT * FROM pg_temp.difference;
SELECT crm.dashboard() - 'as_of_seq' AS before \gset
BEGIN;
SELECT pg_temp.walk(401, 500);
SELECT * FROM pg_temp.difference;
SELECT crm.dashboard() - 'as_of_seq' <> :'before' AS changed_at_once;
ROLLBACK;
SELECT crm.dashboard() - 'as_of_seq' = :'before' AS as_before_after_rollback;

-- the workload did something of everything
SELECT fact, sum(n) > 0 AS some
FROM (SELECT * FROM saleshub.rollup WHERE org_id = :'org') r
GROUP BY fact
ORDER BY fact;

-- rows that arrive by ON CONFLICT count too
INSERT INTO crm.activity (org_id, activity_id, type, subject, created_at)
SELECT org_id, activity_id, 'note', 'again', created_at
FROM crm.activity WHERE org_id = :'org' ORDER BY subject LIMIT 5
ON CONFLICT (org_id, activity_id) DO UPDATE SET type = excluded.type;
CREATE TEMP TABLE lead_copy AS
SELECT org_id, 'copied ' || row_number() OVER () AS last_name, source, created_at
FROM crm.lead WHERE org_id = :'org' LIMIT 20;
INSERT INTO crm.lead (org_id, last_name, source, created_at) SELECT * FROM lead_copy;
SELECT * FROM pg_temp.difference;

-- an error in the sums is found: the check can fail
BEGIN;
UPDATE saleshub.rollup SET n = n + 1, amount = amount + 0.001
WHERE (org_id, fact, bucket, dim, owner_id, label) IN (
    SELECT org_id, fact, bucket, dim, owner_id, label FROM saleshub.rollup
    WHERE org_id = :'org' AND fact = 'deal_won' AND n <> 0 LIMIT 1);
SELECT fact, kept <> truth AS differ FROM pg_temp.difference;
ROLLBACK;
BEGIN;
ALTER TABLE crm.lead DISABLE TRIGGER saleshub_rollup_insert;
INSERT INTO crm.lead (last_name) VALUES ('unseen');
SELECT fact, kept, truth FROM pg_temp.difference;
ROLLBACK;
SELECT * FROM pg_temp.difference;
