# shellcheck shell=bash
# Random records, and random conversions and merges of them by random members, each a level on a
# stack; taking them back from the top must give every level back: all tables of the catalogue, row
# by row. Sourced after server.bash; PROPERTY_SEED repeats a run, PROPERTY_ROUNDS makes it longer.
seed=${PROPERTY_SEED:-$((RANDOM * 32768 + RANDOM))}

# property <rounds> <share of merges>: "name=count" of what was done, and lines of what is not the
# same; the server must be there.
property()
{
	sql -c "CALL prop.run($seed, ${PROPERTY_ROUNDS:-$1}, $2)" -c "SELECT line FROM prop.report ORDER BY n" 2>&1
}

# done_often kind least: whether the report says that it was done so often
done_often()
{
	local times
	times=$(sed -n "s/^done .*\b$1=\([0-9]*\).*/\1/p" "$SCRATCH/report")
	((${times:-0} >= $2)) && echo yes || echo "${times:-0} times"
}

property_server()
{
	new_server
	property_data | sql >/dev/null
	property_rounds | sql >/dev/null
}

property_data()
{
	cat <<'SQL'
CREATE SCHEMA prop;
CREATE TABLE prop.report (n serial, line text);
CREATE FUNCTION prop.often(share numeric) RETURNS boolean LANGUAGE sql AS $$ SELECT random() < share $$;
-- One of these.
CREATE FUNCTION prop.one(VARIADIC words text[]) RETURNS text LANGUAGE sql AS $$
    SELECT words[1 + floor(random() * cardinality(words))::int]
$$;
CREATE FUNCTION prop.maybe(share numeric, word text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN random() < share THEN word END
$$;
CREATE FUNCTION prop.tags() RETURNS text[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(t), '{}') FROM unnest('{vip,fair,cold,"two words"}'::text[]) t WHERE random() < 0.3
$$;
CREATE FUNCTION prop.custom() RETURNS jsonb LANGUAGE sql AS $$
    SELECT coalesce(jsonb_object_agg(k, (floor(random() * 4))), '{}') FROM unnest('{x,y,z}'::text[]) k WHERE random() < 0.4
$$;
CREATE FUNCTION prop.consent() RETURNS boolean LANGUAGE sql AS $$ SELECT (ARRAY[true, false, NULL])[1 + floor(random() * 3)::int] $$;
CREATE FUNCTION prop.day() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2026-01-01'::timestamptz + random() * interval '90 days' $$;
-- A record of a kind that whoever calls sees, live; NULL when there is none.
CREATE FUNCTION prop.record(noun text, condition text DEFAULT 'true') RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(%1$I_id ORDER BY %1$I_id) FROM crm.%1$I WHERE deleted_at IS NULL AND %2$s', noun, condition) INTO ids;
    RETURN ids[1 + floor(random() * cardinality(ids))::int];
END
$$;
CREATE FUNCTION prop.act_as(member uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('saleshub.member_id', member::text, false),
            set_config('saleshub.member_role', (SELECT m.role FROM crm.member m WHERE m.member_id = act_as.member), false);
END
$$;
CREATE PROCEDURE prop.fill() LANGUAGE plpgsql AS $$
DECLARE
    org jsonb := crm.org_create('Property', 'Ann', 'ann@property.example', country => 'DE', currency => 'EUR');
    names text[] := '{Acme,Bolt,Cedar,Dune,Echo}';
    north uuid;
BEGIN
    PERFORM set_config('saleshub.org_id', org ->> 'org_id', false), set_config('saleshub.member_id', '', false),
            set_config('saleshub.duplicates', 'allow', false);
    INSERT INTO crm.member (name, email, role)
    SELECT n, n || '@property.example', r FROM (VALUES ('mia', 'manager'), ('rob', 'rep'), ('rea', 'rep'), ('ron', 'rep')) m (n, r);
    INSERT INTO crm.team (name, manager_id) SELECT 'North', member_id FROM crm.member WHERE name = 'mia' RETURNING team_id INTO north;
    INSERT INTO crm.team_member (team_id, member_id) SELECT north, member_id FROM crm.member WHERE name IN ('rob', 'rea');
    INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('USD', '2020-01-01', 0.9);
    INSERT INTO crm.product (name, sku, price, currency) VALUES ('Gear', 'G', 12.5, 'EUR'), ('Nut', 'N', 0.07, 'EUR');
    INSERT INTO crm.company (name, domain, city, employees, industry, phone, annual_revenue, annual_revenue_currency, tags, custom, owner_id, created_at)
    SELECT w.name || prop.one(' GmbH', '', ' Inc'), prop.maybe(0.6, lower(w.name) || '.example'), prop.maybe(0.5, prop.one('Bonn', 'Rome')),
           prop.maybe(0.5, prop.one('5', '50', '500'))::int, prop.maybe(0.5, prop.one('Tools', 'Toys')), prop.maybe(0.4, '+493012345' || i),
           r.v, CASE WHEN r.v IS NOT NULL THEN prop.one('EUR', 'USD') END, prop.tags(), prop.custom(),
           (SELECT member_id FROM crm.member ORDER BY email OFFSET (i * 7) % 5 LIMIT 1), prop.day()
      FROM generate_series(1, 10) i, LATERAL (SELECT names[1 + i % 5] AS name) w, LATERAL (SELECT prop.maybe(0.4, '1000')::numeric AS v OFFSET 0 * i) r;
    UPDATE crm.company SET parent_id = prop.record('company', 'company_id < ' || quote_literal(company_id)) WHERE prop.often(0.4);
    INSERT INTO crm.contact (first_name, last_name, email, phone, company_id, title, consent_email, consent_phone, tags, custom, owner_id, created_at)
    SELECT prop.one('Jo', 'Al', 'Kim'), prop.one('Doe', 'Roe', 'Poe'), prop.maybe(0.7, 'p' || i % 12 || '@' || lower(names[1 + i % 5]) || '.example'),
           prop.maybe(0.5, '+49301111' || 100 + i % 9), CASE WHEN i % 3 > 0 THEN prop.record('company', i || ' = ' || i) END,
           prop.maybe(0.5, prop.one('Head', 'Hand')), prop.consent(), prop.consent(), prop.tags(), prop.custom(),
           (SELECT member_id FROM crm.member ORDER BY email OFFSET (i * 3) % 5 LIMIT 1), prop.day()
      FROM generate_series(1, 18) i;
    INSERT INTO crm.lead (first_name, last_name, email, phone, company_name, website, source, city, industry, employees, title, annual_revenue, annual_revenue_currency,
                          consent_email, consent_phone, tags, custom, status, owner_id, created_at)
    SELECT prop.one('Jo', 'Al', 'Kim'), prop.one('Doe', 'Roe', 'Poe'), prop.maybe(0.7, 'p' || i % 12 || '@' || lower(names[1 + i % 5]) || '.example'),
           prop.maybe(0.5, '+49301111' || 100 + i % 9), CASE WHEN i % 4 > 0 THEN names[1 + i % 5] || prop.one(' GmbH', '', ' Ltd') END,
           prop.maybe(0.3, 'https://www.' || lower(names[1 + i % 5]) || '.example'), prop.maybe(0.5, 'fair'), prop.maybe(0.5, prop.one('Bonn', 'Rome')),
           prop.maybe(0.5, prop.one('Tools', 'Toys')), prop.maybe(0.5, prop.one('5', '50', '500'))::int, prop.maybe(0.5, 'Head'),
           CASE WHEN i % 3 = 0 THEN i * 100 END, CASE WHEN i % 3 = 0 THEN prop.one('EUR', 'USD') END,
           prop.consent(), prop.consent(), prop.tags(), prop.custom(), prop.one('new', 'working', 'qualified', 'unqualified'),
           (SELECT member_id FROM crm.member ORDER BY email OFFSET (i * 3) % 5 LIMIT 1), prop.day()
      FROM generate_series(1, 24) i;
    INSERT INTO crm.deal (name, company_id, contact_id, lead_id, amount, currency, tags, owner_id)
    SELECT 'Deal ' || i, CASE WHEN i % 4 > 0 THEN prop.record('company', i || ' = ' || i) END, CASE WHEN i % 3 > 0 THEN prop.record('contact', i || ' = ' || i) END,
           CASE WHEN i % 5 = 0 THEN prop.record('lead', i || ' = ' || i) END, CASE WHEN i % 2 = 0 THEN i * 10 END, prop.one('EUR', 'USD'), prop.tags(),
           (SELECT member_id FROM crm.member ORDER BY email OFFSET (i * 3) % 5 LIMIT 1)
      FROM generate_series(1, 14) i;
    INSERT INTO crm.deal_line (deal_id, product_id, name, quantity, unit_price)
    SELECT prop.record('deal', i || ' = ' || i), (SELECT product_id FROM crm.product ORDER BY sku OFFSET i % 2 LIMIT 1), 'Line ' || i, i, i * 1.37 FROM generate_series(1, 8) i;
    INSERT INTO crm.activity (type, subject, done_at, owner_id)
    SELECT prop.one('task', 'call', 'note', 'email'), 'Activity ' || i, CASE WHEN i % 3 = 0 THEN prop.day() END,
           (SELECT member_id FROM crm.member ORDER BY email OFFSET i % 5 LIMIT 1) FROM generate_series(1, 30) i;
    INSERT INTO crm.activity_link (activity_id, entity, entity_id)
    SELECT a.activity_id, n, prop.record(n, 'now() IS NOT NULL')
      FROM crm.activity a, unnest('{lead,lead,contact,company,deal}'::text[]) n WHERE prop.often(0.5) ON CONFLICT DO NOTHING;
    INSERT INTO crm.touch (source, campaign, at) SELECT prop.one('web', 'fair'), prop.maybe(0.5, 'spring'), prop.day() FROM generate_series(1, 20) i;
    INSERT INTO crm.touch_link (touch_id, entity, entity_id)
    SELECT t.touch_id, n, prop.record(n, 'now() IS NOT NULL')
      FROM crm.touch t, unnest('{lead,contact,company,deal}'::text[]) n WHERE prop.often(0.5) ON CONFLICT DO NOTHING;
    -- Some of all are in the bin.
    UPDATE crm.lead SET deleted_at = now() WHERE prop.often(0.08);
    UPDATE crm.contact SET deleted_at = now() WHERE prop.often(0.08);
    UPDATE crm.company SET deleted_at = now() WHERE prop.often(0.08);
    UPDATE crm.deal SET deleted_at = now() WHERE prop.often(0.08);
    UPDATE crm.activity SET deleted_at = now() WHERE prop.often(0.08);
END
$$;
SQL
}

property_rounds()
{
	cat <<'SQL'
CREATE TABLE prop.state (level int, live boolean, row_ text);
GRANT USAGE ON SCHEMA prop TO saleshub_user;
-- Every row of every table, but for
--   version, updated_at, updated_by, links_version: undoing writes a row, which is a version more;
--   search_*: an index of the rest, renumbered at any time; search_rank.sql tells whether it is right;
--   change_log, outbox, event_log, event_state, score_history, assignment_log, schema_version: they log what happened, the undoing as well;
--   conversion, merge: the notes about what was done, which say that it was undone;
--   rollup, rollup_delta: compared as figures, both together.
CREATE PROCEDURE prop.look(at_level int) LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
BEGIN
    FOR tab IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('crm'::regnamespace, 'saleshub'::regnamespace)
                AND relname NOT LIKE 'search\_%' AND relname NOT IN ('change_log', 'outbox', 'event_log', 'event_state', 'score_history', 'assignment_log', 'schema_version',
                                    'conversion', 'merge', 'rollup', 'rollup_delta', 'route', 'forecast_snapshot') LOOP
        EXECUTE format('INSERT INTO prop.state SELECT $1, true %2$s, %3$L || (to_jsonb(t) - ''version'' - ''updated_at'' - ''updated_by'' - ''links_version'')::text'
            ' FROM %1$s t', tab, saleshub.row_is_live(tab), tab || ' ') USING at_level;
    END LOOP;
    INSERT INTO prop.state SELECT at_level, true, concat_ws(' ', 'rollup', fact, bucket, dim, owner_id, label, sum(n), trim_scale(sum(amount)),
        trim_scale(sum(weighted)), trim_scale(sum(seconds)))
      FROM (SELECT fact, bucket, dim, owner_id, label, n, amount, weighted, seconds FROM saleshub.rollup
            UNION ALL SELECT fact, bucket, dim, owner_id, label, n, amount, weighted, seconds FROM saleshub.rollup_delta) r
     GROUP BY fact, bucket, dim, owner_id, label
    HAVING (sum(n), sum(amount), sum(weighted), sum(seconds)) IS DISTINCT FROM (0, 0, 0, 0);
END
$$;
-- What is gone since then, and what is there besides: of that, only what is in the bin may be, when created things may.
CREATE FUNCTION prop.differing(at_level int, created boolean) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT 'gone: ' || row_ FROM (SELECT row_ FROM prop.state WHERE level = at_level EXCEPT ALL SELECT row_ FROM prop.state WHERE level = -1) g
    UNION ALL
    SELECT 'more: ' || row_ FROM (SELECT row_ FROM prop.state WHERE level = -1 AND (live OR NOT created)
                                  EXCEPT ALL SELECT row_ FROM prop.state WHERE level = at_level) m
$$;
CREATE FUNCTION prop.part(noun text, modes text[], share_linked numeric) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id uuid := CASE WHEN prop.often(share_linked) THEN prop.record(noun) END;
BEGIN
    RETURN CASE WHEN id IS NOT NULL THEN jsonb_build_object('mode', 'link', 'id', id)
                ELSE jsonb_build_object('mode', prop.one(VARIADIC modes)) END;
END
$$;
CREATE FUNCTION prop.options() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    opts jsonb := jsonb_build_object('company', prop.part('company', '{auto,auto,create,skip}', 0.3), 'contact', prop.part('contact', '{auto,auto,create,skip}', 0.3),
                                     'deal', prop.part('deal', '{create,create,skip}', 0.3), 'dup', prop.one('allow', 'allow', 'warn', 'block'));
BEGIN
    IF opts #>> '{deal,mode}' = 'create' AND prop.often(0.5) THEN
        opts := jsonb_set(opts, '{deal}', opts -> 'deal' || jsonb_build_object('amount', 100, 'currency', prop.one('EUR', 'USD'), 'close_date', '2030-01-01'));
    END IF;
    IF prop.often(0.2) THEN
        opts := opts || jsonb_build_object('owner', prop.record('member'));
    END IF;
    IF prop.often(0.4) THEN
        opts := opts || jsonb_build_object('mapping', jsonb_build_array(
            jsonb_build_object('source', 'city', 'target_entity', 'company', 'target_field', 'city', 'policy', prop.one('overwrite', 'fill_blank', 'keep')),
            jsonb_build_object('source', 'annual_revenue', 'target_entity', 'company', 'target_field', 'annual_revenue', 'policy', prop.one('overwrite', 'max', 'min')),
            jsonb_build_object('source', 'custom.x', 'target_entity', 'contact', 'target_field', 'custom.x', 'policy', prop.one('overwrite', 'keep', 'fill_blank')),
            jsonb_build_object('source', 'tags', 'target_entity', 'contact', 'target_field', 'tags', 'policy', prop.one('append', 'overwrite')),
            jsonb_build_object('source', 'phone', 'target_entity', 'contact', 'target_field', 'phone', 'policy', prop.one('overwrite', 'keep'))));
    END IF;
    IF prop.often(0.3) THEN
        opts := opts || '{"values": {"company": {"industry": "Given", "custom": {"y": 9}}, "contact": {"title": null}}}';
    END IF;
    RETURN opts;
END
$$;
-- Converts or merges something; the id of the conversion or merge, or why it could not be.
CREATE FUNCTION prop.act(merges numeric, OUT kind text, OUT id uuid) LANGUAGE plpgsql AS $$
DECLARE
    noun text;
    ids uuid[];
    subject uuid;
    detail text;
BEGIN
    IF prop.often(merges) THEN
        noun := prop.one('lead', 'contact', 'company');
        ids := ARRAY(SELECT DISTINCT prop.record(noun, CASE noun WHEN 'lead' THEN 'status <> ''converted''' ELSE 'true' END)
                       FROM generate_series(1, 2 + floor(random() * 4)::int));
        kind := 'merge_' || noun;
        id := crm.record_merge(noun, ids[1], ids[2:], jsonb_build_object('*', prop.one('winner', 'newest', 'most_complete', 'min', 'max'),
            prop.one('owner_id', 'tags', 'city', 'phone'), prop.one('newest', ids[2]::text))
            - CASE noun WHEN 'contact' THEN 'city' ELSE '-' END) ->> 'merge_id';
    ELSE
        subject := prop.record('lead', 'status <> ''converted''');
        kind := 'convert';
        id := crm.lead_convert(subject, prop.options()) ->> 'conversion_id';
    END IF;
EXCEPTION WHEN SQLSTATE 'SH002' OR SQLSTATE 'P0002' OR SQLSTATE '22023' OR SQLSTATE '23514' OR SQLSTATE '42501' THEN
    kind := kind || '_refused_' || SQLSTATE;
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    INSERT INTO prop.refusal VALUES (kind, SQLERRM || ' ' || detail);
END
$$;
CREATE TABLE prop.refusal (kind text, message text);
GRANT INSERT ON prop.refusal TO saleshub_user;
CREATE FUNCTION prop.undo(kind text, id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE kind WHEN 'convert' THEN crm.conversion_undo(id) ELSE crm.merge_undo(id) END;
END
$$;
CREATE PROCEDURE prop.settle() LANGUAGE plpgsql AS $$
DECLARE
    scopes jsonb := (SELECT jsonb_object_agg(n, prop.one('all', 'all', 'team', 'own')) FROM unnest('{lead,contact,company,deal,activity}'::text[]) n);
BEGIN
    UPDATE crm.org SET settings = settings || jsonb_build_object('visibility', jsonb_build_object('rep', scopes, 'manager', scopes || '{"lead": "team"}'));
END
$$;
CREATE PROCEDURE prop.run(seed int, rounds int, merges numeric) LANGUAGE plpgsql AS $$
DECLARE
    done record;
    kinds text[];
    ids uuid[];
    members uuid[];
    member uuid;
    report jsonb;
    counts jsonb := '{}';
BEGIN
    SET client_min_messages = warning;
    PERFORM setseed(seed / 1073741824.0);
    CALL prop.fill();
    FOR round IN 1..rounds LOOP
        IF round % 10 = 1 THEN
            CALL prop.settle();
        END IF;
        COMMIT;
        kinds := '{}'; ids := '{}'; members := '{}';
        TRUNCATE prop.state;
        FOR level IN 0..floor(random() * 4)::int LOOP
            CALL prop.look(level);
            member := prop.record('member');
            PERFORM prop.act_as(member);
            SET ROLE saleshub_user;
            done := prop.act(merges);
            RESET ROLE;
            COMMIT;
            counts := counts || jsonb_build_object(done.kind, coalesce((counts ->> done.kind)::int, 0) + 1);
            kinds := kinds || done.kind; ids := ids || done.id; members := members || member;
        END LOOP;
        FOR level IN REVERSE cardinality(ids) - 1 .. 0 LOOP
            report := '{}';
            IF ids[level + 1] IS NOT NULL THEN
                -- Often by an admin, who sees more than who did it.
                PERFORM prop.act_as(CASE WHEN prop.often(0.3) THEN (SELECT m.member_id FROM crm.member m WHERE m.role = 'admin') ELSE members[level + 1] END);
                SET ROLE saleshub_user;
                report := prop.undo(kinds[level + 1], ids[level + 1]);
                RESET ROLE;
                COMMIT;
            END IF;
            DELETE FROM prop.state WHERE state.level = -1;
            CALL prop.look(-1);
            INSERT INTO prop.report (line)
            SELECT format('round %s level %s %s: %s', round, level, kinds[level + 1], d) FROM prop.differing(level, kinds @> '{convert}') d;
            IF report -> 'conflicts' <> '[]' OR report -> 'kept' <> '[]' THEN
                INSERT INTO prop.report (line) VALUES (format('round %s level %s %s: %s', round, level, kinds[level + 1], report - 'restored'));
            END IF;
        END LOOP;
        EXIT WHEN (SELECT count(*) FROM prop.report) > 20;
    END LOOP;
    INSERT INTO prop.report (line) SELECT 'done ' || string_agg(key || '=' || value, ' ' ORDER BY key) FROM jsonb_each_text(counts);
END
$$;
SQL
}
