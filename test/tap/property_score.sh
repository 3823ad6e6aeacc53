#!/bin/bash
# Random leads, events, edits, deletions, conversions and rules: after each step the stored scores are
# what rules and events give, reasons add up, and crm.score_at gives what was recorded at the instant.
# PROPERTY_SEED repeats a run, PROPERTY_ROUNDS makes it longer.
# shellcheck disable=SC2034
conf="saleshub.databases = 'nothing'
fsync = off"
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
seed=${PROPERTY_SEED:-$((RANDOM * 32768 + RANDOM))}
new_server
sql >/dev/null <<'SQL'
CREATE SCHEMA prop;
CREATE TABLE prop.done (kind text);
CREATE TABLE prop.seen (lead_id uuid, at timestamptz, doc jsonb);
CREATE TABLE prop.fault (line text);
CREATE FUNCTION prop.one(VARIADIC words text[]) RETURNS text LANGUAGE sql AS $$ SELECT words[1 + floor(random() * cardinality(words))::int] $$;
CREATE FUNCTION prop.lead() RETURNS uuid LANGUAGE sql AS $$
    SELECT lead_id FROM crm.lead WHERE deleted_at IS NULL AND status <> 'converted' ORDER BY random() LIMIT 1
$$;
CREATE FUNCTION prop.activity() RETURNS uuid LANGUAGE sql AS $$ SELECT activity_id FROM crm.activity ORDER BY random() LIMIT 1 $$;
CREATE FUNCTION prop.rules() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM crm.score_rules_put(jsonb_build_object(
        'cap', prop.one('60', '100')::int, 'history_delta', prop.one('1', '0.001', '20')::numeric,
        'thresholds', jsonb_build_object('by', prop.one('points', 'percentile'), 'fit', '[70, 30]'::jsonb, 'engagement', '[40, 10]'::jsonb),
        'groups', jsonb_build_array(jsonb_build_object('name', 'F', 'kind', 'fit', 'cap', prop.one('17', '40')::int),
                                    jsonb_build_object('name', 'E', 'kind', 'engagement', 'cap', prop.one('13', '50')::int)),
        'rules', (SELECT jsonb_agg(CASE WHEN n % 3 = 0 THEN jsonb_build_object('label', 'f' || n, 'points', floor(random() * 40 - 8)::int, 'group', prop.one('F', NULL),
                'predicate', jsonb_build_object('field', 'employees', 'op', '>', 'value', n * 10))
            ELSE jsonb_build_object('label', 'e' || n, 'per_event', true, 'points', floor(random() * 30 - 6)::int, 'group', prop.one('E', NULL),
                'half_life_hours', prop.one('1', '24', '336', NULL)::int, 'max_n', 1 + floor(random() * 4)::int, 'window_hours', prop.one('24', NULL)::int,
                'predicate', jsonb_build_object('field', 'type', 'op', '=', 'value', prop.one('call', 'meeting', 'email'))) END)
            FROM generate_series(1, 8) n)));
END
$$;
CREATE PROCEDURE prop.step() LANGUAGE plpgsql AS $$
DECLARE
    kind text := prop.one('event', 'event', 'event', 'edit', 'late', 'bin', 'unbin', 'unlink', 'lead', 'rules', 'leadbin', 'leadback', 'convert', 'undo', 'merge', 'unmerge');
    a uuid := prop.activity();
    made uuid;
BEGIN
    BEGIN
    CASE kind
        WHEN 'event' THEN
            INSERT INTO crm.activity (type, subject, done_at, outcome) VALUES (prop.one('call', 'meeting', 'email', 'task'), 's',
                CASE WHEN random() < 0.9 THEN now() - random() * interval '9 days' + interval '1 hour' END, prop.one('won', NULL)) RETURNING activity_id INTO made;
            INSERT INTO crm.activity_link (activity_id, entity, entity_id)
            SELECT DISTINCT made, 'lead', l FROM (SELECT prop.lead() AS l UNION ALL SELECT prop.lead()) x WHERE l IS NOT NULL;
        WHEN 'edit' THEN UPDATE crm.activity SET type = prop.one('call', 'meeting', 'email') WHERE activity_id = a;
        WHEN 'late' THEN UPDATE crm.activity SET done_at = now() - random() * interval '20 days' WHERE activity_id = a;
        WHEN 'bin' THEN UPDATE crm.activity SET deleted_at = now() WHERE activity_id = a;
        WHEN 'unbin' THEN UPDATE crm.activity SET deleted_at = NULL WHERE deleted_at IS NOT NULL AND random() < 0.5;
        WHEN 'unlink' THEN DELETE FROM crm.activity_link WHERE activity_id = a AND random() < 0.5;
        WHEN 'lead' THEN UPDATE crm.lead SET employees = floor(random() * 100)::int WHERE lead_id = prop.lead();
        WHEN 'rules' THEN PERFORM prop.rules();
        WHEN 'leadbin' THEN UPDATE crm.lead SET deleted_at = now() WHERE lead_id = (SELECT prop.lead() OFFSET 0);
        WHEN 'leadback' THEN UPDATE crm.lead SET deleted_at = NULL WHERE deleted_at IS NOT NULL
            AND NOT EXISTS (SELECT FROM crm.redirect r WHERE r.old_id = lead_id);
        WHEN 'convert' THEN PERFORM crm.lead_convert(prop.lead(), '{"deal": {"mode": "skip"}}');
        WHEN 'undo' THEN PERFORM crm.conversion_undo(conversion_id) FROM crm.conversion WHERE undone_at IS NULL LIMIT 1;
        WHEN 'merge' THEN PERFORM crm.record_merge('lead', x.ids[1], ARRAY[x.ids[2]])
            FROM (SELECT array_agg(lead_id) AS ids FROM (SELECT lead_id FROM crm.lead WHERE deleted_at IS NULL AND status <> 'converted' ORDER BY random() LIMIT 2) y) x WHERE cardinality(x.ids) = 2;
        ELSE PERFORM crm.merge_undo(merge_id) FROM crm.merge m WHERE undone_at IS NULL
            AND NOT EXISTS (SELECT FROM crm.lead w WHERE w.lead_id = m.winner_id AND w.status = 'converted') ORDER BY merge_id DESC LIMIT 1;
    END CASE;
    EXCEPTION WHEN no_data_found THEN
        kind := kind || ' refused';
    END;
    INSERT INTO prop.done VALUES (kind);
END
$$;
CREATE PROCEDURE prop.look() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO prop.fault SELECT 'stored: ' || f.fault FROM saleshub.score_faults() f;
    INSERT INTO prop.fault SELECT 'sum of ' || l.lead_id FROM crm.lead l
     WHERE l.score <> (SELECT coalesce(sum((r ->> 'points')::numeric), 0) FROM jsonb_array_elements(l.score_reasons) r);
    INSERT INTO prop.fault SELECT 'now of ' || l.lead_id FROM crm.lead l
     WHERE l.deleted_at IS NULL AND l.status <> 'converted' AND crm.score_at(l.lead_id, now()) - '{as_of,version}'::text[] <> saleshub.score_now(l.lead_id, now());
    INSERT INTO prop.fault SELECT 'stored and replayed of ' || l.lead_id FROM crm.lead l
     WHERE l.deleted_at IS NULL AND l.status <> 'converted' AND l.score_as_of IS NOT NULL
       AND (crm.score_at(l.lead_id, l.score_as_of) -> 'score')::numeric <> l.score;
    INSERT INTO prop.seen SELECT l.lead_id, now(), crm.score_at(l.lead_id, now()) FROM crm.lead l;
END
$$;
CREATE PROCEDURE prop.run(seed int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
    org jsonb := crm.org_create('Property', 'Ann', 'ann@score-property.example', country => 'DE');
BEGIN
    PERFORM set_config('saleshub.org_id', org ->> 'org_id', false), set_config('saleshub.duplicates', 'allow', false), setseed((seed % 100000) / 100000.0);
    INSERT INTO crm.lead (last_name, company_name, employees) SELECT 'L' || n, 'C' || n, n * 9 FROM generate_series(1, 9) n;
    PERFORM prop.rules();
    COMMIT;
    FOR i IN 1..rounds LOOP
        CALL prop.step();
        COMMIT;
        CALL prop.look();
        COMMIT;
    END LOOP;
    INSERT INTO prop.fault SELECT format('%s at %s was %s, is %s', s.lead_id, s.at, s.doc, crm.score_at(s.lead_id, s.at))
      FROM prop.seen s WHERE s.doc IS DISTINCT FROM crm.score_at(s.lead_id, s.at);
    INSERT INTO prop.fault SELECT format('recorded at %s: %s', h.at, h.score)
      FROM (SELECT DISTINCT ON (lead_id, at) * FROM crm.score_history ORDER BY lead_id, at, score_history_id DESC) h
      JOIN crm.lead l USING (org_id, lead_id)
     WHERE crm.score_at(h.lead_id, h.at) IS NOT NULL AND (crm.score_at(h.lead_id, h.at) -> 'score')::numeric <> h.score;
END
$$;
SQL
sql -c "CALL prop.run($seed, ${PROPERTY_ROUNDS:-60})" >"$SCRATCH/out" 2>&1 || true
ok "$(grep -v '^CALL' "$SCRATCH/out")" '' "every step is possible (PROPERTY_SEED=$seed)"
ok "$(sql -c 'SELECT line FROM prop.fault LIMIT 3')" '' "no score was wrong, now or then (PROPERTY_SEED=$seed)"
ok "$(sql -c 'SELECT count(DISTINCT kind) >= 12 FROM prop.done')" t 'steps of many kinds'
ok "$(sql -c "SELECT count(*) > 20 FROM prop.seen WHERE (doc ->> 'engagement')::numeric <> 0")" t 'with events that count'
done_testing
