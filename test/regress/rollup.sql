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
                              owner_id, source, product)
        SELECT key || n, a_stage, NULL, NULL, round((d * 1000 * n)::numeric, 3),
               (ARRAY['EUR', 'USD', 'JPY'])[n], at, a_owner, (ARRAY['web', 'event'])[n],
               (ARRAY['gear', NULL, repeat('ü', 40)])[n]
        FROM generate_series(1, 3) AS n;
    WHEN 8, 9 THEN
        UPDATE crm.deal SET stage_id = a_stage, owner_id = a_owner, product = 'nut'
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
        UPDATE crm.activity SET done_at = CASE WHEN done_at IS NULL THEN at END, type = 'meeting',
                                outcome = (ARRAY['reached', 'busy'])[1 + (d * 20)::int % 2]
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
SELECT level, fact, missing FROM saleshub.rollup_check() WHERE org_id = saleshub.org_id();

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

-- Reading: every period, zone and way to tell apart gives what the rows give.
CREATE FUNCTION pg_temp.rows_say(from_ timestamptz, to_ timestamptz, bounds timestamptz[], by_ text[])
RETURNS TABLE (fact text, bucket timestamptz, owner_id uuid, stage_id uuid, label text, detail text,
               n bigint, amount numeric, weighted numeric, seconds numeric)
LANGUAGE sql AS $$
    SELECT t.fact, CASE WHEN t.fact <> 'deal_open'
                        THEN (SELECT max(b) FROM unnest(bounds) b WHERE b <= t.bucket) END,
           CASE WHEN 'owner' = ANY (by_) AND t.owner_id <> '00000000-0000-0000-0000-000000000000' THEN t.owner_id END,
           CASE WHEN 'stage' = ANY (by_) AND t.dim <> '00000000-0000-0000-0000-000000000000' THEN t.dim END,
           CASE WHEN 'label' = ANY (by_) THEN t.label END, CASE WHEN 'detail' = ANY (by_) THEN t.detail END,
           sum(t.n)::bigint, sum(t.amount), sum(t.weighted), sum(t.seconds)
      FROM saleshub.rollup_truth() t
     WHERE t.org_id = saleshub.org_id()
       AND (t.fact = 'deal_open' OR t.bucket >= coalesce(from_, '-infinity') AND t.bucket < coalesce(to_, 'infinity'))
     GROUP BY 1, 2, 3, 4, 5, 6
$$;
CREATE FUNCTION pg_temp.read_wrong(zone text) RETURNS TABLE (zone_ text, reads bigint, wrong bigint) LANGUAGE sql AS $$
    WITH facts AS (
        SELECT '{lead_created,lead_converted,deal_open,deal_won,deal_lost,activity_created,activity_done}'::text[] AS facts
    ), span AS (
        SELECT f::timestamptz AS from_, t::timestamptz AS to_
          FROM (VALUES (NULL, NULL), ('2024-03-05 07:15+00', NULL), (NULL, '2024-08-30 22:00+00'),
                       ('2024-02-10 00:00+00', '2024-11-20 13:45+00'), ('2024-05-05 05:00+00', '2024-05-05 05:30+00'),
                       ('2024-05-05 05:00+00', '2024-05-07 05:30+00')) v (f, t)
    ), unit AS (
        SELECT u, ARRAY(SELECT g AT TIME ZONE zone FROM generate_series(timestamp '2024-01-01', '2025-03-01', ('1 ' || u)::interval) g) AS bounds
          FROM unnest('{day,week,month,year}'::text[]) u
        UNION ALL SELECT 'none', '{}'
    ), way AS (
        SELECT unnest(ARRAY['{}', '{label}', '{owner}', '{owner,stage,label,detail}', '{detail}']::text[])::text[] AS by_
    )
    SELECT zone, count(*), count(*) FILTER (WHERE EXISTS (
               (SELECT * FROM saleshub.rollup_read(f.facts, s.from_, s.to_, u.bounds, w.by_)
                EXCEPT ALL SELECT * FROM pg_temp.rows_say(s.from_, s.to_, u.bounds, w.by_))
               UNION ALL
               (SELECT * FROM pg_temp.rows_say(s.from_, s.to_, u.bounds, w.by_)
                EXCEPT ALL SELECT * FROM saleshub.rollup_read(f.facts, s.from_, s.to_, u.bounds, w.by_))))
      FROM facts f, span s, unit u, way w
$$;
SELECT pg_temp.walk(501, 520);
SELECT count(*) > 0 AS unfolded FROM saleshub.rollup_delta WHERE org_id = :'org';
SELECT * FROM pg_temp.read_wrong('UTC');
SELECT w.* FROM unnest('{Asia/Kathmandu,America/Havana}'::text[]) z, pg_temp.read_wrong(z) w;

-- The levels follow the organisation's zone, with midnights that are missing or come twice.
UPDATE crm.org SET timezone = 'America/Havana' WHERE org_id = :'org';
SELECT z.timezone AS levels_still_by FROM saleshub.rollup_zone z WHERE z.org_id = :'org';
SELECT * FROM pg_temp.difference;
SELECT saleshub.rollup_follow() AS followed;
SELECT z.timezone AS levels_by FROM saleshub.rollup_zone z WHERE z.org_id = :'org';
SELECT * FROM pg_temp.difference;
SELECT w.* FROM unnest('{UTC,America/Havana}'::text[]) z, pg_temp.read_wrong(z) w;
SELECT saleshub.fold() > 0 AS folded;
SELECT * FROM pg_temp.difference;
SELECT count(DISTINCT level) AS levels, count(*) FILTER (WHERE level IN (1, 4) AND isfinite(bucket)
           AND (bucket AT TIME ZONE 'America/Havana')::time NOT IN ('00:00', '01:00')) AS not_midnight
  FROM saleshub.rollup_level WHERE org_id = :'org';

-- What nothing is left of is not kept.
SELECT count(*) AS empty FROM saleshub.rollup WHERE (n, amount, weighted, seconds) = (0, 0, 0, 0);
SELECT count(*) AS empty FROM saleshub.rollup_level WHERE (n, amount, weighted, seconds) = (0, 0, 0, 0);

-- Faults of the arguments
SELECT * FROM saleshub.rollup_read('{lead_lost}');
SELECT * FROM saleshub.rollup_read('{lead_created}', by_ => '{colour}');

-- An error in the sums is found on every level: the check can fail; and it is mended.
BEGIN;
UPDATE saleshub.rollup SET n = n + 1, amount = amount + 0.001
WHERE (org_id, fact, bucket, dim, owner_id, label, detail) IN (
    SELECT org_id, fact, bucket, dim, owner_id, label, detail FROM saleshub.rollup
    WHERE org_id = :'org' AND fact = 'deal_won' AND n <> 0 LIMIT 1);
SELECT level, fact, missing ->> 'n' AS n, trim_scale((missing ->> 'amount')::numeric) AS amount FROM pg_temp.difference ORDER BY level;
SELECT count(*) AS found FROM crm.check_rollups();
SELECT saleshub.rollup_rebuild(:'org') AS repaired;
SELECT * FROM pg_temp.difference;
ROLLBACK;
BEGIN;
UPDATE saleshub.rollup_level SET n = n - 1
WHERE ctid = (SELECT ctid FROM saleshub.rollup_level WHERE org_id = :'org' AND level = 4 LIMIT 1);
SELECT level, missing ->> 'n' AS n FROM pg_temp.difference;
ROLLBACK;
BEGIN;
ALTER TABLE crm.lead DISABLE TRIGGER saleshub_rollup_insert;
INSERT INTO crm.lead (last_name) VALUES ('unseen');
SELECT level, fact, missing FROM pg_temp.difference;
SELECT saleshub.rollup_rebuild() AS repaired;
SELECT * FROM pg_temp.difference;
ROLLBACK;
-- From nothing
BEGIN;
DELETE FROM saleshub.rollup;
DELETE FROM saleshub.rollup_level;
DELETE FROM saleshub.rollup_delta;
SELECT saleshub.rollup_begin();
SELECT * FROM pg_temp.difference;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT saleshub.rollup_rebuild();
ROLLBACK;
SELECT * FROM pg_temp.difference;
SELECT ok, detail FROM saleshub.check() WHERE item = 'figures';
