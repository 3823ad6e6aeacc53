-- Events: dense positions after commit, one order, retention; rollup deltas fold without loss.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT saleshub.run_maintenance() IS NOT NULL AS clean;
SELECT top AS before FROM saleshub.event_state \gset
SELECT o->>'org_id' AS a FROM crm.org_create('Events', 'Ann', 'ann@events.example') o \gset
SELECT saleshub.run_maintenance() IS NOT NULL AS clean;
SELECT top AS before FROM saleshub.event_state \gset

INSERT INTO crm.team (org_id, name) SELECT :'a', 'T' || n FROM generate_series(1, 2500) n;
BEGIN;
INSERT INTO crm.team (org_id, name) VALUES (:'a', 'rolled back');
ROLLBACK;
UPDATE crm.team SET name = name || '!' WHERE org_id = :'a' AND name <= 'T11';
UPDATE crm.team SET deleted_at = now() WHERE org_id = :'a' AND name = 'T1!';
UPDATE crm.team SET deleted_at = NULL WHERE org_id = :'a' AND name = 'T1!';
UPDATE crm.team SET name = name WHERE org_id = :'a';
DELETE FROM crm.team WHERE org_id = :'a' AND name = 'T1!';
SELECT sum(events) AS waiting FROM saleshub.outbox WHERE org_id = :'a';
SELECT saleshub.publish(1000), saleshub.publish(1000), saleshub.publish(1000), saleshub.publish(1000);
SELECT type, count(*), min(gseq) - :before AS first, max(gseq) - :before AS last
  FROM saleshub.event_log WHERE org_id = :'a' AND gseq > :before GROUP BY type ORDER BY 3;
SELECT count(*) = max(gseq) - min(gseq) + 1 AS dense, max(gseq) = (SELECT top FROM saleshub.event_state) AS top
  FROM saleshub.event_log WHERE gseq > :before;
SELECT saleshub.publish(0);
SELECT saleshub.fold(NULL);

-- Events of many new records wait in few rows, and come out as each record was, in order.
INSERT INTO crm.company (org_id, name, domain, phone, city)
SELECT :'a', 'Pack ' || n, CASE WHEN n % 2 = 0 THEN 'p' || n || '.example' END, CASE WHEN n % 3 = 0 THEN '+4930' || 1000000 + n END,
       CASE WHEN n % 5 = 0 THEN 'Bonn' END FROM generate_series(1, 600) n;
SELECT count(*) AS rows, sum(events) AS events, sum(cardinality(ids)) AS ids, sum(cardinality(masks)) AS masks
  FROM saleshub.outbox WHERE org_id = :'a';
SELECT saleshub.publish(100), saleshub.publish(400), saleshub.publish(100), saleshub.publish(100);
SELECT count(*), count(DISTINCT e.changed) AS kinds, max(e.gseq) - min(e.gseq) + 1 AS dense,
       bool_and((SELECT array_agg(f ORDER BY f) FROM unnest(e.changed) f)
                = (SELECT array_agg(f ORDER BY f) FROM jsonb_object_keys(c.changed) f)) AS same_fields,
       bool_and(e.data IS NULL AND e.version = c.version AND e.at = c.at) AS same
  FROM saleshub.event_log e JOIN crm.change_log c ON c.org_id = e.org_id AND c.entity = e.entity AND c.entity_id = e.entity_id
 WHERE e.org_id = :'a' AND e.type = 'company.created';
SELECT bool_and(o.by_event = o.by_change) AS same_order
  FROM (SELECT row_number() OVER (ORDER BY e.gseq) AS by_event, row_number() OVER (ORDER BY c.change_id) AS by_change
          FROM saleshub.event_log e JOIN crm.change_log c ON c.org_id = e.org_id AND c.entity = e.entity AND c.entity_id = e.entity_id
         WHERE e.org_id = :'a' AND e.type = 'company.created') o;

-- Another cluster or database is another epoch: old positions are not trusted.
SELECT epoch AS epoch FROM saleshub.event_state \gset
SELECT saleshub.event_start() = top AS same_top, epoch = :'epoch' AS same_epoch FROM saleshub.event_state;
UPDATE saleshub.event_state SET identity = 'elsewhere';
SELECT saleshub.event_start() IS NOT NULL AS started;
SELECT epoch <> :'epoch' AS new_epoch, floor = top AS all_before_is_gone FROM saleshub.event_state;

-- Retention.
UPDATE saleshub.event_log SET at = at - interval '8 days' WHERE gseq <= :before + 10;
SELECT saleshub.keep_house() >= 10 AS dropped;
SELECT min(gseq) - :before AS first_kept FROM saleshub.event_log;
