-- The pipeline of any instant, and how it became that of another: the identity holds to the cent
-- whatever was done to deals in between, and the past is what it was when it was the present.
\set VERBOSITY terse
\set QUIET on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Flow', 'Flo', 'flo@flow.example', 'EUR', 'Europe/Berlin') AS made \gset
SELECT :'made'::jsonb ->> 'org_id' AS org, :'made'::jsonb ->> 'member_id' AS admin \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS in_context;
INSERT INTO crm.currency_rate (currency, valid_from, rate)
VALUES ('USD', '2020-01-01', 0.9), ('USD', '2020-02-10', 0.873), ('USD', '2020-03-01', 0.9137),
       ('USD', '2021-01-01', 0.8051), ('GBP', '2020-01-01', 1.17), ('GBP', '2020-02-20', 1.1333);
SELECT crm.member_create('{"name": "Ann", "email": "ann@flow.example", "role": "rep"}') ->> 'id' AS ann,
       crm.member_create('{"name": "Bob", "email": "bob@flow.example", "role": "rep"}') ->> 'id' AS bob
\gset
CREATE TEMP TABLE stage AS SELECT s.name, s.kind, s.stage_id FROM crm.stage s WHERE s.org_id = :'org';
CREATE FUNCTION pg_temp.stage(text) RETURNS uuid LANGUAGE sql AS 'SELECT stage_id FROM stage WHERE name = $1';

-- by hand: what happens to four deals from one instant to the next
INSERT INTO crm.deal (name, stage_id, amount, currency, opened_at, owner_id)
VALUES ('stays', pg_temp.stage('Prospecting'), 1000, 'EUR', '2020-01-10', :'ann'),
       ('dollars', pg_temp.stage('Prospecting'), 100, 'USD', '2020-01-20', :'ann'),
       ('grows and is won', pg_temp.stage('Engaging'), 500, 'EUR', '2020-01-20', :'bob');
UPDATE crm.deal SET stage_id = pg_temp.stage('Won'), amount = 750, closed_at = '2020-02-15'
WHERE org_id = :'org' AND name LIKE 'grows%';
INSERT INTO crm.deal (name, stage_id, amount, currency, opened_at, closed_at, owner_id)
VALUES ('entered when lost', pg_temp.stage('Lost'), 300, 'EUR', '2020-02-01', '2020-02-20', :'bob');
SELECT * FROM crm.report_waterfall('2020-01-31', '2020-02-28') \gx
SELECT label, open_start, created, won, lost, revalued, open_end
FROM crm.report_waterfall('2020-01-31', '2020-02-28', group_by => 'owner');
-- before it all, and after
SELECT open_start, created, open_end, deals_start, deals_end FROM crm.report_waterfall('2019-01-01', '2020-01-31');
SELECT label, deals, amount, weighted FROM crm.report_pipeline(as_of => '2020-01-31', group_by => 'stage');
SELECT label, deals, amount FROM crm.report_pipeline(as_of => '2020-02-10 12:00', group_by => 'currency');
SELECT deals, amount, avg_age_days FROM crm.report_pipeline(as_of => '2020-02-10', currency => 'USD');
-- the one entered as lost was open, in a stage that nobody knows
SELECT label, deals, amount FROM crm.report_pipeline(as_of => '2020-02-10', group_by => 'stage');

-- what happens now is seen at the instant at which it happens
SELECT clock_timestamp() AS t0 \gset
UPDATE crm.deal SET owner_id = :'bob' WHERE org_id = :'org' AND name = 'stays';
SELECT clock_timestamp() AS t1 \gset
UPDATE crm.deal SET amount = 1200 WHERE org_id = :'org' AND name = 'stays';
UPDATE crm.deal SET stage_id = pg_temp.stage('Engaging') WHERE org_id = :'org' AND name LIKE 'grows%';
SELECT clock_timestamp() AS t2 \gset
SELECT crm.deal_delete(deal_id) FROM crm.deal WHERE org_id = :'org' AND name = 'stays';
SELECT clock_timestamp() AS t3 \gset
SELECT crm.deal_restore(deal_id) IS NOT NULL AS restored FROM crm.deal WHERE org_id = :'org' AND name = 'stays';
SELECT label, open_start, moved_in, moved_out, open_end FROM crm.report_waterfall(:'t0', :'t1', group_by => 'owner');
SELECT open_start, moved_in, moved_out, open_end FROM crm.report_waterfall(:'t0', :'t1');
SELECT open_start, reopened, increased, open_end FROM crm.report_waterfall(:'t1', :'t2');
SELECT open_start, deleted, open_end FROM crm.report_waterfall(:'t2', :'t3');
SELECT open_start, reopened, open_end FROM crm.report_waterfall(:'t3');
SELECT label, open_start, reopened, increased, deleted, moved_in, moved_out, open_end
FROM crm.report_waterfall(:'t0', group_by => 'owner');

-- a deal that closed at another time than was said first
UPDATE crm.deal SET stage_id = pg_temp.stage('Lost'), closed_at = '2020-03-10'
WHERE org_id = :'org' AND name = 'dollars';
SELECT count(*) AS open FROM saleshub.deals_open('2020-03-05', 'EUR') d JOIN crm.deal r USING (deal_id) WHERE r.name = 'dollars';
UPDATE crm.deal SET closed_at = '2020-03-02' WHERE org_id = :'org' AND name = 'dollars';
SELECT count(*) AS open FROM saleshub.deals_open('2020-03-05', 'EUR') d JOIN crm.deal r USING (deal_id) WHERE r.name = 'dollars';
UPDATE crm.deal SET opened_at = '2020-01-05' WHERE org_id = :'org' AND name = 'dollars';
SELECT h.status, h.entered_at, h.left_at
FROM crm.stage_history h JOIN crm.deal d USING (org_id, deal_id)
WHERE h.org_id = :'org' AND d.name = 'dollars' ORDER BY h.entered_at;
-- closed before it came into its last stage, as it now seems
UPDATE crm.deal SET stage_id = pg_temp.stage('Engaging') WHERE org_id = :'org' AND name = 'dollars';
UPDATE crm.deal SET stage_id = pg_temp.stage('Won'), closed_at = '2020-02-25' WHERE org_id = :'org' AND name = 'dollars';
SELECT h.status, h.entered_at, h.left_at
FROM crm.stage_history h JOIN crm.deal d USING (org_id, deal_id)
WHERE h.org_id = :'org' AND d.name = 'dollars' ORDER BY h.entered_at, h.left_at, h.stage_history_id;

-- whatever happens
CREATE TEMP TABLE checkpoint (n int GENERATED ALWAYS AS IDENTITY, at timestamptz, deals bigint, amount numeric);
CREATE TABLE report_script (n int, op text, pick float8, roll float8);
SELECT setseed(0.4217) IS NOT NULL AS seeded;
INSERT INTO report_script
SELECT n, (ARRAY['insert', 'insert', 'old', 'closed', 'amount', 'amount', 'owner', 'move', 'move', 'close', 'close', 'reopen',
                 'delete', 'restore', 'currency', 'nothing', 'correct', 'both', 'rollback'])[1 + floor(random() * 19)],
       random(), random()
FROM generate_series(1, 160) n;
CREATE PROCEDURE pg_temp.play(backdated boolean) LANGUAGE plpgsql AS $$
DECLARE
    s record;
    d record;
    rolled numeric;
    day timestamptz;
    members uuid[] := ARRAY(SELECT m.member_id FROM crm.member m WHERE m.org_id = saleshub.org_id() ORDER BY m.email);
BEGIN
    FOR s IN SELECT * FROM report_script ORDER BY n LOOP
        rolled := round((s.roll * 100000)::numeric, 2);
        day := timestamptz '2020-01-01' + s.roll * interval '100 days';
        SELECT r.* INTO d FROM crm.deal r WHERE r.org_id = saleshub.org_id()
        ORDER BY r.name OFFSET floor(s.pick * (SELECT count(*) FROM crm.deal r WHERE r.org_id = saleshub.org_id())) LIMIT 1;
        CASE
        WHEN s.op = 'insert' OR NOT backdated AND s.op IN ('old', 'closed') THEN
            INSERT INTO crm.deal (name, stage_id, amount, currency, owner_id)
            VALUES ('deal ' || s.n, pg_temp.stage('Prospecting'), rolled, (ARRAY['EUR', 'USD', 'GBP'])[1 + s.n % 3], members[1 + s.n % 3]);
        WHEN s.op = 'old' THEN
            INSERT INTO crm.deal (name, stage_id, amount, currency, opened_at)
            VALUES ('deal ' || s.n, pg_temp.stage('Engaging'), nullif(rolled, 0), (ARRAY['EUR', 'USD', 'GBP'])[1 + s.n % 3], day);
        WHEN s.op = 'closed' THEN
            INSERT INTO crm.deal (name, stage_id, amount, currency, opened_at, closed_at, owner_id)
            VALUES ('deal ' || s.n, pg_temp.stage(CASE WHEN s.pick < 0.5 THEN 'Won' ELSE 'Lost' END), rolled, 'USD', day,
                    day + s.pick * interval '60 days', members[1 + s.n % 3]);
        WHEN s.op = 'amount' THEN
            UPDATE crm.deal SET amount = rolled WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'owner' THEN
            UPDATE crm.deal SET owner_id = members[1 + s.n % 3] WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'move' AND d.status = 'open' THEN
            UPDATE crm.deal SET stage_id = pg_temp.stage(CASE WHEN s.roll < 0.5 THEN 'Engaging' ELSE 'Prospecting' END)
            WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'close' AND d.status = 'open' THEN
            UPDATE crm.deal
            SET stage_id = pg_temp.stage(CASE WHEN s.n % 2 = 0 THEN 'Won' ELSE 'Lost' END), amount = CASE WHEN s.n % 3 = 0 THEN rolled ELSE amount END,
                closed_at = CASE WHEN backdated AND s.pick < 0.5 THEN greatest(opened_at, day) END
            WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'reopen' AND d.status <> 'open' THEN
            UPDATE crm.deal SET stage_id = pg_temp.stage('Engaging'), amount = rolled WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'delete' AND d.deleted_at IS NULL THEN
            PERFORM crm.deal_delete(d.deal_id);
        WHEN s.op = 'restore' THEN
            PERFORM crm.deal_restore(r.deal_id) FROM crm.deal r
            WHERE r.org_id = saleshub.org_id() AND r.deleted_at IS NOT NULL;
        WHEN s.op = 'currency' THEN
            UPDATE crm.deal SET currency = (ARRAY['EUR', 'USD', 'GBP'])[1 + s.n % 3] WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'correct' AND d.status <> 'open' AND backdated THEN
            UPDATE crm.deal SET closed_at = greatest(opened_at, day) WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'both' THEN
            -- much in one transaction
            UPDATE crm.deal SET amount = rolled WHERE org_id = d.org_id AND deal_id = d.deal_id;
            UPDATE crm.deal SET stage_id = pg_temp.stage('Engaging') WHERE org_id = d.org_id AND deal_id = d.deal_id;
            UPDATE crm.deal SET amount = rolled + 1, owner_id = members[1] WHERE org_id = d.org_id AND deal_id = d.deal_id;
            UPDATE crm.deal SET stage_id = pg_temp.stage(CASE WHEN s.n % 2 = 0 THEN 'Prospecting' ELSE 'Won' END)
            WHERE org_id = d.org_id AND deal_id = d.deal_id;
            UPDATE crm.deal SET amount = rolled + 2, owner_id = members[2] WHERE org_id = d.org_id AND deal_id = d.deal_id;
        WHEN s.op = 'rollback' THEN
            UPDATE crm.deal SET amount = 1 WHERE org_id = d.org_id AND deal_id = d.deal_id;
            ROLLBACK;
        ELSE
            NULL;
        END CASE;
        COMMIT;
        IF s.n % 16 = 0 THEN
            INSERT INTO checkpoint (at, deals, amount)
            SELECT clock_timestamp(), p.deals, p.amount FROM crm.report_pipeline() p;
            COMMIT;
        END IF;
    END LOOP;
END
$$;
CALL pg_temp.play(false);
-- nothing was said late, so that the past of each checkpoint is what its present was
SELECT count(*) AS checkpoints, count(*) FILTER (WHERE (p.deals, p.amount) = (c.deals, c.amount)) AS same,
       count(DISTINCT c.amount) > 5 AS different
FROM checkpoint c, LATERAL crm.report_pipeline(as_of => c.at) p;
UPDATE report_script SET n = n + 1000, pick = roll, roll = pick;
CALL pg_temp.play(true);
INSERT INTO checkpoint (at) SELECT timestamptz '2020-01-01' + n * interval '37 days 5 hours' FROM generate_series(0, 5) n;
SELECT count(*) AS tried,
       count(*) FILTER (WHERE w.open_start + w.created + w.reopened + w.increased - w.decreased - w.won - w.lost - w.deleted
                              + w.moved_in - w.moved_out = w.open_end) AS even,
       count(*) FILTER (WHERE (p.deals, p.amount) = (w.deals_start, w.open_start)) AS starts,
       count(*) FILTER (WHERE (q.deals, q.amount) = (w.deals_end, w.open_end)) AS ends,
       -- even before anything is rounded
       count(*) FILTER (WHERE abs(f.gap) < 1e-9) AS exact,
       bool_or(w.won > 0) AND bool_or(w.lost > 0) AND bool_or(w.deleted > 0) AND bool_or(w.reopened > 0)
           AND bool_or(w.increased > 0) AND bool_or(w.decreased > 0) AND bool_or(w.created > 0) AS all_kinds,
       bool_or(w.revalued <> 0) AS revalued
FROM checkpoint a JOIN checkpoint b ON b.at > a.at AND (a.n * 7 + b.n * 3) % 13 = 0,
     LATERAL (SELECT CASE WHEN a.n % 2 = 0 THEN 'USD' ELSE 'EUR' END AS currency) c,
     LATERAL crm.report_waterfall(a.at, b.at, currency => c.currency) w,
     LATERAL crm.report_pipeline(as_of => a.at, currency => c.currency) p,
     LATERAL crm.report_pipeline(as_of => b.at, currency => c.currency) q,
     LATERAL (SELECT sum(CASE WHEN f.kind IN ('decreased', 'won', 'lost', 'deleted', 'moved_out', 'open_end')
                              THEN -f.value ELSE f.value END) AS gap
              FROM saleshub.deal_flows(a.at, b.at, c.currency, NULL) f) f;
-- and for each group, whose parts add up
SELECT group_by, count(*) AS tried,
       count(*) FILTER (WHERE w.open_start + w.created + w.reopened + w.increased - w.decreased - w.won - w.lost - w.deleted
                              + w.moved_in - w.moved_out = w.open_end) AS even,
       count(*) FILTER (WHERE coalesce(p.amount, 0) = w.open_end AND coalesce(p.deals, 0) = w.deals_end) AS ends,
       bool_or(w.moved_in > 0) AS moved
FROM unnest(ARRAY['owner', 'stage', 'currency']) group_by,
     checkpoint a JOIN checkpoint b ON b.at > a.at AND (a.n * 7 + b.n * 3) % 41 = 0,
     LATERAL crm.report_waterfall(a.at, b.at, group_by => group_by) w
     LEFT JOIN LATERAL (SELECT p.* FROM crm.report_pipeline(as_of => b.at, group_by => group_by) p
                        WHERE p.key IS NOT DISTINCT FROM w.key) p ON true
GROUP BY 1 ORDER BY 1;
-- each stretch of time adds up with the next
SELECT bool_and(a.deals = b.deals AND a.amount = b.amount) AS joined
FROM (SELECT c.at, lead(c.at) OVER w AS next FROM checkpoint c WINDOW w AS (ORDER BY c.at)) c,
     LATERAL (SELECT w.open_end AS amount, w.deals_end AS deals FROM crm.report_waterfall(c.at, c.next) w) a,
     LATERAL (SELECT w.open_start AS amount, w.deals_start AS deals FROM crm.report_waterfall(c.next) w) b
WHERE c.next IS NOT NULL;
DROP TABLE report_script;
SELECT crm.report_waterfall(NULL);
SELECT crm.report_waterfall('2020-01-01', '2999-01-01');
