-- Taking batches back: exactly what they did, unless somebody went on from there.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat(SQLSTATE, ' ', CASE WHEN detail LIKE '{%' THEN detail::jsonb ->> 'code' END);
END;
$$;
CREATE FUNCTION pg_temp.enter(org jsonb, role text DEFAULT 'admin', member uuid DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', coalesce(member::text, org ->> 'member_id'), false),
           set_config('saleshub.member_role', role, false);
$$;
SELECT crm.org_create('Undo', 'Ann', 'ann@undo.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT crm.org_create('Other', 'Olaf', 'olaf@other-undo.example', 'EUR', 'Europe/Berlin', 'DE') AS other \gset
SELECT pg_temp.enter(:'org');
INSERT INTO crm.member (org_id, name, email, role) VALUES (saleshub.org_id(), 'Rep', 'rep@undo.example', 'rep'), (saleshub.org_id(), 'Two', 'two@undo.example', 'rep');
SELECT max(member_id::text) FILTER (WHERE name = 'Rep') AS rep, max(member_id::text) FILTER (WHERE name = 'Two') AS two FROM crm.member WHERE org_id = saleshub.org_id() \gset
SET ROLE saleshub_user;

-- everything that is in the organisation, but for what says when and how often it was written
CREATE FUNCTION pg_temp.state() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    whole jsonb := '{}';
    part jsonb;
    tab text;
BEGIN
    FOREACH tab IN ARRAY '{lead,contact,company,deal,activity,product,deal_line,activity_link}'::text[] LOOP
        EXECUTE format('SELECT coalesce(jsonb_agg(j ORDER BY j::text), ''[]'') FROM (SELECT to_jsonb(t) - ''{version,updated_at,updated_by,deal_line_id,created_at,created_by,links_version,lines_version}''::text[] AS j'
            ' FROM crm.%I t WHERE t.org_id = saleshub.org_id() AND (to_jsonb(t) ->> ''deleted_at'') IS NULL%s) s', tab,
            CASE tab WHEN 'deal_line' THEN ' AND EXISTS (SELECT FROM crm.deal p WHERE p.org_id = t.org_id AND p.deal_id = t.deal_id AND p.deleted_at IS NULL)'
                     WHEN 'activity_link' THEN ' AND EXISTS (SELECT FROM crm.activity p WHERE p.org_id = t.org_id AND p.activity_id = t.activity_id AND p.deleted_at IS NULL)' END) INTO part;
        whole := whole || jsonb_build_object(tab, part);
    END LOOP;
    RETURN whole;
END;
$$;
CREATE FUNCTION pg_temp.pick(VARIADIC items text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT items[1 + floor(random() * cardinality(items))::integer];
$$;
CREATE FUNCTION pg_temp.some(noun text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    found uuid;
BEGIN
    EXECUTE format('SELECT %1$I FROM crm.%2$I WHERE org_id = saleshub.org_id() AND deleted_at IS NULL ORDER BY random() LIMIT 1', noun || '_id', noun) INTO found;
    RETURN found;
END;
$$;
CREATE FUNCTION pg_temp.body(noun text, fresh boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    n text := floor(random() * 1000)::text;
    member uuid := (SELECT member_id FROM crm.member WHERE org_id = saleshub.org_id() ORDER BY random() LIMIT 1);
    whole jsonb := CASE noun
        WHEN 'lead' THEN jsonb_build_object('last_name', 'L' || n, 'email', 'm' || n || '@undo.example', 'phone', '030 555' || n, 'tags', jsonb_build_array('t' || n, 'u'),
            'status', pg_temp.pick('new', 'working', 'qualified'), 'consent', jsonb_build_object('email', random() < 0.5), 'custom', jsonb_build_object('k' || (n::integer % 3), n),
            'employees', n::integer, 'annual_revenue', jsonb_build_object('amount', n, 'currency', pg_temp.pick('EUR', 'EUR')), 'owner_id', member)
        WHEN 'contact' THEN jsonb_build_object('last_name', 'C' || n, 'email', 'c' || n || '@undo.example', 'company_id', pg_temp.some('company'), 'tags', jsonb_build_array('t' || n), 'owner_id', member)
        WHEN 'company' THEN jsonb_build_object('name', 'Firm ' || n, 'domain', 'f' || n || '.example', 'industry', pg_temp.pick('a', 'b'), 'owner_id', member)
        WHEN 'deal' THEN jsonb_build_object('name', 'D' || n, 'status', pg_temp.pick('open', 'won', 'lost'), 'close_date', '2026-0' || (1 + n::integer % 9) || '-11', 'company_id', pg_temp.some('company'), 'owner_id', member)
            || CASE WHEN random() < 0.5 THEN jsonb_build_object('amount', n || '.50') ELSE jsonb_build_object('lines', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('name', 'line ' || i, 'quantity', i, 'unit_price', n)), '[]') FROM generate_series(1, floor(random() * 4)::integer) i)) END
        WHEN 'activity' THEN jsonb_build_object('type', 'task', 'subject', 'A' || n, 'body', repeat('x', n::integer), 'due_at', '2026-05-0' || (1 + n::integer % 9) || 'T10:00:00Z',
            'links', jsonb_strip_nulls(jsonb_build_array(jsonb_build_object('type', 'company', 'id', pg_temp.some('company')), jsonb_build_object('type', 'contact', 'id', pg_temp.some('contact')))))
        ELSE jsonb_build_object('name', 'P' || n, 'sku', n, 'active', random() < 0.5) END;
BEGIN
    IF fresh THEN
        RETURN whole;
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(whole) WHERE random() < 0.5);
END;
$$;
SELECT setseed(0.5) IS NOT NULL AS seeded;
CREATE FUNCTION pg_temp.fill(noun text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN crm.record_batch(noun, jsonb_build_object('items', (
        SELECT jsonb_agg(jsonb_build_object('op', 'create', 'body', pg_temp.body(noun, true))) FROM generate_series(1, 12)))) -> 'failed';
END;
$$;
SELECT pg_temp.fill(noun) FROM unnest('{company,contact,lead,deal,activity,product}'::text[]) noun;

-- random batches: after the undo all is as before
CREATE FUNCTION pg_temp.round(noun text, before jsonb DEFAULT pg_temp.state()) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    done jsonb;
    back jsonb;
    after jsonb;
    items jsonb := (SELECT jsonb_agg(CASE WHEN r < 0.3 THEN jsonb_build_object('op', 'create', 'body', pg_temp.body(noun, true))
                                          WHEN r < 0.8 THEN jsonb_build_object('op', 'update', 'id', pg_temp.some(noun), 'body', pg_temp.body(noun, false))
                                          ELSE jsonb_build_object('op', 'delete', 'id', pg_temp.some(noun)) END)
                    FROM (SELECT random() AS r FROM generate_series(1, 10)) s);
BEGIN
    done := crm.record_batch(noun, jsonb_build_object('items', items));
    IF pg_temp.state() = before THEN
        RETURN 'the batch did nothing';
    END IF;
    back := crm.batch_undo((done ->> 'batch_id')::uuid);
    after := pg_temp.state();
    RETURN concat_ws(' ', CASE WHEN after = before THEN 'same' ELSE 'DIFFERENT' END,
                     nullif((back -> 'kept')::text, '[]'), nullif((back -> 'conflicts')::text, '[]'));
END;
$$;
SELECT noun, result, count(*) > 0 FROM unnest('{company,contact,lead,deal,activity,product}'::text[]) noun, generate_series(1, 6) i, pg_temp.round(noun || left(i::text, 0)) result GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM saleshub.rollup_check();

-- what went on from there stays, and is told
SELECT crm.lead_create('{"last_name": "One", "title": "a", "city": "Rome"}') ->> 'id' AS one, crm.lead_create('{"last_name": "Bin"}') ->> 'id' AS bin, crm.company_create('{"name": "Root"}') ->> 'id' AS root \gset
SELECT crm.lead_batch(jsonb_build_object('items', jsonb_build_array(
    jsonb_build_object('op', 'update', 'id', :'one', 'body', '{"title": "b", "city": "Oslo"}'::jsonb), jsonb_build_object('op', 'delete', 'id', :'bin'),
    '{"op": "create", "body": {"last_name": "New"}}'::jsonb))) AS batch \gset
SELECT crm.company_batch('{"items": [{"op": "create", "body": {"name": "Leaf"}}]}') AS firms \gset
SELECT crm.contact_create(jsonb_build_object('last_name', 'Holds', 'company_id', :'firms'::jsonb #>> '{data,0,id}')) IS NOT NULL;
SELECT crm.lead_update(:'one', '{"city": "Bern"}') ->> 'city', crm.lead_update((:'batch'::jsonb #>> '{data,2,id}')::uuid, '{"title": "kept"}') ->> 'title';
SELECT crm.lead_restore(:'bin') ->> 'last_name';
SELECT jsonb_path_query_array(u, '$.restored[*].fields'), jsonb_path_query_array(u, '$.kept[*].reason'), jsonb_path_query_array(u, '$.conflicts[*].field'), u -> 'replayed'
FROM crm.batch_undo((:'batch'::jsonb ->> 'batch_id')::uuid) u;
SELECT u -> 'replayed' FROM crm.batch_undo((:'batch'::jsonb ->> 'batch_id')::uuid) u;
SELECT u -> 'kept' #> '{0,reason}', u -> 'kept' #> '{0,by}' FROM crm.batch_undo((:'firms'::jsonb ->> 'batch_id')::uuid) u;
SELECT title, city FROM crm.lead WHERE lead_id = :'one';
SELECT b ->> 'type', jsonb_array_length(b -> 'items'), b -> 'undone_at' <> 'null', b #> '{items,0,op}' FROM crm.batch_get((:'batch'::jsonb ->> 'batch_id')::uuid) b;
SELECT crm.lead_batch(jsonb_build_object('items', jsonb_build_array('{"op": "create", "body": {}}'::jsonb))) -> 'batch_id';

-- whose it is: one's own, and a manager's
RESET ROLE;
SELECT pg_temp.enter(:'org', 'rep', :'rep');
SET ROLE saleshub_user;
SELECT crm.lead_batch('{"items": [{"op": "create", "body": {"last_name": "Mine"}}]}') ->> 'batch_id' AS mine \gset
RESET ROLE;
SELECT pg_temp.enter(:'org', 'rep', :'two');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.batch_undo(%L)', :'mine')), crm.batch_get(:'mine') IS NULL;
RESET ROLE;
SELECT pg_temp.enter(:'other');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.batch_undo(%L)', :'mine')), crm.batch_get(:'mine') IS NULL;
RESET ROLE;
SELECT pg_temp.enter(:'org', 'readonly');
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.batch_undo(%L)', :'mine'));
RESET ROLE;
SELECT pg_temp.enter(:'org', 'manager', :'two');
SET ROLE saleshub_user;
SELECT jsonb_array_length(crm.batch_undo(:'mine') -> 'restored');
