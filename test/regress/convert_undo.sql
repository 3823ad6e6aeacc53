-- Undoing a conversion: what it did is taken back, what somebody else did since stays.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
  FROM crm.org_create('Undo test', 'Ann', 'ann@undo.example', country => 'DE', currency => 'EUR') AS o \gset
INSERT INTO crm.member (org_id, name, email, role) VALUES (:'org', 'Rob', 'rob@undo.example', 'rep')
RETURNING member_id AS rob \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS org,
       set_config('saleshub.member_id', :'ann', false) = :'ann' AS member,
       set_config('saleshub.member_role', 'admin', false) AS role;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
CREATE FUNCTION pg_temp.lead(fields jsonb) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN crm.lead_create(fields) ->> 'id';
END
$$;
CREATE FUNCTION pg_temp.activity(subject text, links jsonb, done boolean DEFAULT false) RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN crm.activity_create(jsonb_build_object('type', 'call', 'subject', subject, 'links', links,
        'owner_id', saleshub.member_id(), 'done_at', CASE WHEN done THEN '2026-01-01T00:00:00Z' END)) ->> 'id';
END
$$;
-- A report without ids, one line a fact.
CREATE FUNCTION pg_temp.facts(report jsonb) RETURNS TABLE (part text, fact text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT p.key, concat_ws(' ', e ->> 'type', e ->> 'action', e ->> 'field', e ->> 'fields', e ->> 'reason', e ->> 'by',
               (SELECT string_agg(l ->> 'type', ' ') FROM jsonb_array_elements(e -> 'links') l))
      FROM jsonb_each(report) p, jsonb_array_elements(CASE WHEN jsonb_typeof(p.value) = 'array' THEN p.value END) e
     ORDER BY array_position('{restored,kept,conflicts}', p.key), 2;
END
$$;
-- Sums of all living rows, without what only says that and when a row was written: the stamps of
-- rows, the log of changes and of events, the conversions themselves and their idempotent keys,
-- the past of deals that are in the bin. Rollups as figures: base and deltas together.
CREATE FUNCTION pg_temp.everything() RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
    part text;
    sums jsonb := '{}';
BEGIN
    FOR tab IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('crm'::regnamespace, 'saleshub'::regnamespace)
                AND relname NOT IN ('outbox', 'event_log', 'event_state', 'rollup', 'rollup_delta', 'change_log', 'conversion')
              ORDER BY relname LOOP
        EXECUTE format('SELECT md5(coalesce(string_agg(d, E''\n'' ORDER BY d), '''')) FROM (SELECT'
            ' (to_jsonb(t) - ''version'' - ''updated_at'' - ''updated_by'' - ''links_version'')::text AS d FROM %s t WHERE true %s%s) x',
            tab, saleshub.row_is_live(tab), '') INTO part;
        sums := sums || jsonb_build_object(tab::text, part);
    END LOOP;
    SELECT md5(coalesce(string_agg(r::text, E'\n' ORDER BY r::text), '')) INTO part FROM (
        SELECT r.org_id, r.fact, r.bucket, r.dim, r.owner_id, r.label, sum(r.n), trim_scale(sum(r.amount)), trim_scale(sum(r.weighted)), trim_scale(sum(r.seconds))
          FROM (SELECT org_id, fact, bucket, dim, owner_id, label, n, amount, weighted, seconds FROM saleshub.rollup
                UNION ALL SELECT org_id, fact, bucket, dim, owner_id, label, n, amount, weighted, seconds FROM saleshub.rollup_delta) r
         GROUP BY 1, 2, 3, 4, 5, 6
        HAVING (sum(r.n), sum(r.amount), sum(r.weighted), sum(r.seconds)) IS DISTINCT FROM (0, 0, 0, 0)) r;
    RETURN sums || jsonb_build_object('rollup', part);
END
$$;
CREATE FUNCTION pg_temp.differing(a jsonb, b jsonb) RETURNS text
LANGUAGE sql AS $$
    SELECT coalesce(string_agg(k, ' ' ORDER BY k), 'nothing') FROM jsonb_object_keys(a || b) k WHERE a -> k IS DISTINCT FROM b -> k
$$;

-- One conversion in full: three records created, activities carried and handed over.
SET ROLE saleshub_user;
SELECT pg_temp.lead('{"first_name": "Jane", "last_name": "Doe", "email": "jane@big.example", "company_name": "Big GmbH", "status": "qualified"}') AS lead \gset
SELECT pg_temp.activity('open', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead'))) IS NOT NULL AS open,
       pg_temp.activity('done', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')), true) IS NOT NULL AS done;
RESET ROLE;
SELECT pg_temp.everything() AS before \gset
SET ROLE saleshub_user;
SELECT crm.lead_convert(:'lead', jsonb_build_object('owner', :'rob', 'key', 'first')) AS result \gset
SELECT :'result'::jsonb ->> 'conversion_id' AS conversion \gset
RESET ROLE;
SELECT pg_temp.differing(:'before', pg_temp.everything()) AS converted;
SET ROLE saleshub_user;
SELECT d - 'id' - 'lead_id' - 'company_id' - 'contact_id' - 'deal_id' - 'actor_id' - 'at' - 'links' #- '{created}' #- '{filled}' AS rest,
       (SELECT string_agg(e ->> 'type', ' ') FROM jsonb_array_elements(d -> 'created') e) AS created,
       (SELECT string_agg((e ->> 'type') || (e ->> 'fields'), ' ') FROM jsonb_array_elements(d -> 'filled') e) AS filled,
       jsonb_array_length(d -> 'links') AS links
  FROM crm.conversion_get(:'conversion') d;
SELECT crm.conversion_undo(:'conversion') AS report \gset
SELECT * FROM pg_temp.facts(:'report');
RESET ROLE;
SELECT pg_temp.differing(:'before', pg_temp.everything()) AS converted_and_undone;
SET ROLE saleshub_user;
SELECT status, converted_at, converted_company_id, version FROM crm.lead WHERE lead_id = :'lead';
SELECT deleted_at IS NOT NULL AS deleted, name FROM crm.deal;
-- again, also by force, is the same answer and does nothing
SELECT version AS version FROM crm.lead WHERE lead_id = :'lead' \gset
SELECT crm.conversion_undo(:'conversion') = :'report' AS same, crm.conversion_undo(:'conversion', true) = :'report' AS same_by_force,
       (SELECT version FROM crm.lead WHERE lead_id = :'lead') = :version AS untouched;
SELECT d ->> 'undone_at' IS NOT NULL AS undone, d ->> 'undone_by' = :'ann' AS by_ann, d -> 'undo' = :'report' AS report FROM crm.conversion_get(:'conversion') d;
-- the lead can be edited, and converted anew with the same key
SELECT crm.lead_update(:'lead', '{"city": "Bonn"}') ->> 'city' AS city;
SELECT crm.lead_convert(:'lead', jsonb_build_object('owner', :'rob', 'key', 'first')) AS again \gset
SELECT :'again'::jsonb ->> 'replayed' AS replayed, :'again'::jsonb ->> 'conversion_id' <> :'conversion' AS another,
       :'again'::jsonb #>> '{company,id}' <> :'result'::jsonb #>> '{company,id}' AS another_company;
SELECT count(*) AS conversions, count(*) FILTER (WHERE undone_at IS NULL) AS holding FROM crm.conversion;

-- What somebody worked with since is kept, and what it refers to with it.
SELECT :'again'::jsonb #>> '{deal,id}' AS deal, :'again'::jsonb #>> '{contact,id}' AS contact, :'again'::jsonb ->> 'conversion_id' AS conversion \gset
UPDATE crm.deal SET name = 'Edited' WHERE deal_id = :'deal';
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion'));
SELECT d.name, d.deleted_at IS NULL AS deal, c.deleted_at IS NULL AS contact, y.deleted_at IS NULL AS company
  FROM crm.deal d JOIN crm.contact c USING (org_id, contact_id) JOIN crm.company y ON y.company_id = d.company_id WHERE deal_id = :'deal';
SELECT status FROM crm.lead WHERE lead_id = :'lead';
-- by force what was changed goes too; never what something refers to
SELECT crm.lead_convert(pg_temp.lead('{"last_name": "Force", "company_name": "Force"}')) AS forced \gset
SELECT :'forced'::jsonb #>> '{deal,id}' AS deal, :'forced'::jsonb #>> '{contact,id}' AS contact, :'forced'::jsonb ->> 'conversion_id' AS conversion \gset
UPDATE crm.deal SET name = 'Edited' WHERE deal_id = :'deal';
SELECT pg_temp.activity('about the contact', jsonb_build_array(jsonb_build_object('type', 'contact', 'id', :'contact'))) AS about \gset
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion', true));
-- an activity in the bin refers to nothing
SELECT crm.lead_convert(pg_temp.lead('{"last_name": "Bin", "company_name": "Bin"}')) AS bin \gset
SELECT pg_temp.activity('binned', jsonb_build_array(jsonb_build_object('type', 'deal', 'id', :'bin'::jsonb #>> '{deal,id}'))) AS about \gset
SELECT crm.activity_delete(:'about');
SELECT * FROM pg_temp.facts(crm.conversion_undo((:'bin'::jsonb ->> 'conversion_id')::uuid));
-- what members threw away themselves is gone already
SELECT crm.lead_convert(pg_temp.lead('{"last_name": "Gone", "company_name": "Gone"}')) AS gone \gset
SELECT crm.deal_delete((:'gone'::jsonb #>> '{deal,id}')::uuid);
SELECT * FROM pg_temp.facts(crm.conversion_undo((:'gone'::jsonb ->> 'conversion_id')::uuid));

-- Fields go back where they still hold what the conversion wrote.
SELECT crm.company_create('{"name": "Fill", "domain": "fill.example", "tags": ["a"]}') ->> 'id' AS company,
       crm.contact_create('{"last_name": "Fill", "email": "f@fill.example"}') ->> 'id' AS contact \gset
CREATE FUNCTION pg_temp.filler() RETURNS uuid
LANGUAGE plpgsql AS $$
BEGIN
    RETURN crm.lead_convert(pg_temp.lead('{"first_name": "Fill", "last_name": "In", "email": "f@fill.example", "title": "CEO",
        "phone": "030 123456", "city": "Bonn", "industry": "Software", "employees": 7, "tags": ["b"],
        "annual_revenue": {"amount": 5, "currency": "USD"}, "consent": {"email": false}}'), '{"deal": {"mode": "skip"}}') ->> 'conversion_id';
END
$$;
SELECT pg_temp.filler() AS conversion \gset
UPDATE crm.company SET city = 'Rome', annual_revenue = 6 WHERE company_id = :'company';
UPDATE crm.contact SET title = 'CTO', consent_email = true WHERE contact_id = :'contact';
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion'));
SELECT city, industry, employees, annual_revenue, annual_revenue_currency, tags FROM crm.company WHERE company_id = :'company';
SELECT first_name, last_name, title, phone, company_id IS NULL AS free, consent_email FROM crm.contact WHERE contact_id = :'contact';
UPDATE crm.company SET city = NULL, annual_revenue = NULL, annual_revenue_currency = NULL WHERE company_id = :'company';
SELECT pg_temp.filler() AS conversion \gset
UPDATE crm.company SET city = 'Rome', annual_revenue = 6 WHERE company_id = :'company';
SELECT crm.contact_delete(:'contact');
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion', true));
SELECT city, industry, employees, annual_revenue, annual_revenue_currency, tags FROM crm.company WHERE company_id = :'company';
SELECT phone, title FROM crm.contact WHERE contact_id = :'contact';

-- What is linked with a converted lead follows it, and comes back with it.
SELECT pg_temp.lead('{"last_name": "Late", "company_name": "Late"}') AS lead \gset
SELECT crm.lead_convert(:'lead') ->> 'conversion_id' AS conversion \gset
SELECT pg_temp.activity('late', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead'))) AS late \gset
SELECT string_agg(entity, ' ' ORDER BY entity) AS linked_with FROM crm.activity_link WHERE activity_id = :'late';
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion'));
SELECT string_agg(entity, ' ' ORDER BY entity) AS linked_with FROM crm.activity_link WHERE activity_id = :'late';

-- Whatever else links things with records of any kind is carried too, by the catalogue.
RESET ROLE;
CREATE TABLE crm.pin_link (org_id uuid NOT NULL DEFAULT saleshub.org_id(), pin_id uuid NOT NULL, entity text NOT NULL, entity_id uuid NOT NULL,
                           PRIMARY KEY (org_id, pin_id, entity, entity_id));
SELECT saleshub.protect('crm.pin_link', 'SELECT, INSERT, DELETE');
SET ROLE saleshub_user;
SELECT pg_temp.lead('{"last_name": "Pin", "company_name": "Pin"}') AS lead \gset
INSERT INTO crm.pin_link (pin_id, entity, entity_id) VALUES ('00000000-0000-0000-0000-000000000009', 'lead', :'lead');
SELECT crm.lead_convert(:'lead') ->> 'conversion_id' AS conversion \gset
SELECT string_agg(entity, ' ' ORDER BY entity) AS linked_with FROM crm.pin_link;
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion'));
SELECT string_agg(entity, ' ' ORDER BY entity) AS linked_with FROM crm.pin_link;
RESET ROLE;
DROP TABLE crm.pin_link;
SET ROLE saleshub_user;

-- Nobody rewrites a conversion, undoes another organisation's or without the right to write.
SELECT pg_temp.failure($$UPDATE crm.conversion SET undone_at = NULL$$) AS by_hand, pg_temp.failure($$UPDATE crm.conversion SET created = '[]'$$) AS what_it_did,
       pg_temp.failure($$SELECT crm.conversion_undo('00000000-0000-0000-0000-000000000001')$$) AS unknown,
       pg_temp.failure($$SELECT crm.conversion_get('00000000-0000-0000-0000-000000000001')$$) AS unknown_get;
SELECT crm.lead_convert(pg_temp.lead('{"last_name": "Right"}')) ->> 'conversion_id' AS conversion \gset
RESET ROLE;
SET saleshub.member_role = 'readonly';
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.conversion_undo(%L)', :'conversion')) AS readonly;
RESET ROLE;
SET saleshub.member_role = 'admin';
SELECT crm.org_create('Undo other', 'Bob', 'bob@undo.example') ->> 'org_id' AS other \gset
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS context;
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.conversion_undo(%L)', :'conversion')) AS stranger,
       pg_temp.failure(format('SELECT crm.conversion_get(%L)', :'conversion')) AS stranger_get;
RESET ROLE;
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;

-- Whatever step fails, the conversion still holds, wholly.
CREATE FUNCTION pg_temp.written() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
    part text;
    sums text := '';
BEGIN
    FOR tab IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'crm'::regnamespace ORDER BY relname LOOP
        EXECUTE format('SELECT md5(coalesce(string_agg(t::text, E''\n'' ORDER BY t::text), '''')) FROM %s t', tab) INTO part;
        sums := sums || part;
    END LOOP;
    RETURN sums || (SELECT count(*) FROM saleshub.outbox) + (SELECT count(*) FROM saleshub.event_log);
END
$$;
CREATE FUNCTION pg_temp.fault() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE SQLSTATE 'ZZ001';
END
$$;
CREATE FUNCTION pg_temp.fails_at(tab regclass, event text, conversion uuid) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    before text := pg_temp.written();
    result text;
BEGIN
    EXECUTE format('CREATE TRIGGER zz_fault %s ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.fault()', event, tab);
    SET LOCAL ROLE saleshub_user;
    result := pg_temp.failure(format('SELECT crm.conversion_undo(%L)', conversion));
    RESET ROLE;
    EXECUTE format('DROP TRIGGER zz_fault ON %s', tab);
    RETURN result || CASE WHEN before = pg_temp.written() THEN ', nothing happened' ELSE ', SOMETHING HAPPENED' END;
END
$$;
SET ROLE saleshub_user;
SELECT crm.contact_create('{"last_name": "Fault", "email": "x@fault.example"}') IS NOT NULL AS contact,
       pg_temp.lead('{"last_name": "Fault", "company_name": "Fault", "email": "x@fault.example", "title": "CEO"}') AS fault \gset
SELECT pg_temp.activity('fault', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'fault'))) IS NOT NULL AS activity;
SELECT crm.lead_convert(:'fault', jsonb_build_object('owner', :'rob')) ->> 'conversion_id' AS conversion \gset
RESET ROLE;
SELECT tab, event, pg_temp.fails_at(tab, event, :'conversion') AS result
  FROM (VALUES (1, 'crm.lead'::regclass, 'BEFORE UPDATE'), (2, 'crm.lead', 'AFTER UPDATE'), (3, 'crm.activity_link', 'AFTER DELETE'),
               (4, 'crm.contact', 'AFTER UPDATE'), (5, 'crm.activity', 'AFTER UPDATE'), (6, 'crm.deal', 'AFTER UPDATE'),
               (7, 'crm.company', 'AFTER UPDATE'), (8, 'crm.change_log', 'AFTER INSERT'), (9, 'saleshub.outbox', 'AFTER INSERT'),
               (10, 'saleshub.rollup_delta', 'AFTER INSERT'), (11, 'crm.conversion', 'BEFORE UPDATE'),
               (12, 'crm.conversion', 'AFTER UPDATE')) AS v (n, tab, event)
 ORDER BY n;
SELECT current_setting('saleshub.converting') AS converting;
SET ROLE saleshub_user;
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'conversion'));
RESET ROLE;

-- Over random leads, records and options, to convert and to undo leaves everything as it was.
CREATE FUNCTION pg_temp.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT choices[1 + floor(random() * array_length(choices, 1))::integer]
$$;
CREATE FUNCTION pg_temp.random_lead(n integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'first_name', pg_temp.pick(NULL, 'Ada', 'Bob'), 'last_name', 'L' || n, 'title', pg_temp.pick(NULL, 'CEO'),
        'email', pg_temp.pick(NULL, 'p' || floor(random() * 20) || '@c' || floor(random() * 9) || '.example', 'x' || n || '@gmail.com'),
        'phone', pg_temp.pick(NULL, '030 12345' || floor(random() * 9)), 'company_name', pg_temp.pick(NULL, 'C' || floor(random() * 20)),
        'website', pg_temp.pick(NULL, 'https://c' || floor(random() * 9) || '.example'), 'source', pg_temp.pick(NULL, 'web', 'event'),
        'status', pg_temp.pick('new', 'working', 'qualified', 'nurturing'), 'city', pg_temp.pick(NULL, 'Bonn'),
        'industry', pg_temp.pick(NULL, 'Software'), 'employees', pg_temp.pick(NULL, '5', '500')::integer,
        'annual_revenue', CASE WHEN random() < 0.5 THEN jsonb_build_object('amount', pg_temp.pick('1.50', '1e6', '0.000001')::numeric,
                                                                           'currency', pg_temp.pick('EUR', 'USD')) END,
        'tags', (SELECT jsonb_agg(t) FROM unnest('{a,b,c}'::text[]) t WHERE random() < 0.5),
        'custom', CASE WHEN random() < 0.5 THEN '{"size": 4, "note": "x"}'::jsonb END,
        'consent', jsonb_build_object('email', pg_temp.pick(NULL, 'true', 'false')::boolean)))
$$;
CREATE FUNCTION pg_temp.random_mapping() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_agg(jsonb_build_object('source', source, 'target_entity', entity, 'target_field', field, 'policy',
                     pg_temp.pick(VARIADIC policies::text[])))
      FROM (VALUES ('city', 'company', 'city', '{overwrite,append,keep}'), ('employees', 'company', 'employees', '{max,min,overwrite}'),
                   ('annual_revenue', 'company', 'annual_revenue', '{max,min,overwrite,keep}'), ('tags', 'company', 'tags', '{overwrite,keep}'),
                   ('custom.size', 'company', 'custom.size', '{overwrite,keep}'), ('title', 'contact', 'title', '{append,overwrite}'),
                   ('source', 'contact', 'custom.source', '{fill_blank,overwrite}'), ('annual_revenue', 'deal', 'amount', '{max,overwrite}'),
                   ('industry', 'deal', 'product', '{append,overwrite}'), ('first_name', 'contact', 'first_name', '{overwrite}'))
           AS m (source, entity, field, policies)
     WHERE random() < 0.4
$$;
CREATE FUNCTION pg_temp.random_target(entity text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    mode text := CASE entity WHEN 'deal' THEN pg_temp.pick('create', 'create', 'link', 'skip')
                      ELSE pg_temp.pick('auto', 'auto', 'create', 'link', 'skip') END;
    target uuid;
BEGIN
    IF mode = 'link' THEN
        EXECUTE format('SELECT %I FROM crm.%I WHERE org_id = saleshub.org_id() AND deleted_at IS NULL ORDER BY random() LIMIT 1',
                       entity || '_id', entity) INTO target;
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object('mode', mode, 'id', target));
END
$$;
CREATE FUNCTION pg_temp.rounds(rounds integer, OUT converted integer, OUT refused integer, OUT created integer, OUT filled integer,
                               OUT carried integer, OUT wrong text) LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    lead uuid;
    opts jsonb;
    v record;
    report jsonb;
    differs text;
BEGIN
    converted := 0; refused := 0; created := 0; filled := 0; carried := 0; wrong := '';
    FOR n IN 1 .. rounds LOOP
        lead := crm.lead_create(pg_temp.random_lead(n)) ->> 'id';
        FOR k IN 1 .. floor(random() * 4) LOOP
            PERFORM pg_temp.activity('a' || n || ' ' || k, jsonb_build_array(jsonb_build_object('type', 'lead', 'id', lead)), random() < 0.3);
        END LOOP;
        opts := jsonb_strip_nulls(jsonb_build_object('company', pg_temp.random_target('company'), 'contact', pg_temp.random_target('contact'),
            'deal', pg_temp.random_target('deal'), 'mapping', pg_temp.random_mapping(),
            'values', CASE WHEN random() < 0.3 THEN '{"company": {"city": "Given", "custom": {"given": true}}, "deal": {"product": "Given"}}'::jsonb END,
            'owner', CASE WHEN random() < 0.5 THEN (SELECT m.member_id FROM crm.member m
                WHERE m.org_id = saleshub.org_id() AND m.name = 'Rob') END));
        before := pg_temp.everything();
        BEGIN
            SET LOCAL ROLE saleshub_user;
            PERFORM crm.lead_convert(lead, opts);
            RESET ROLE;
        EXCEPTION WHEN invalid_parameter_value OR SQLSTATE 'SH002' THEN
            RESET ROLE;
            refused := refused + 1;
            CONTINUE;
        END;
        SELECT c.conversion_id, jsonb_array_length(c.created) AS created, jsonb_array_length(c.filled) AS filled,
               jsonb_array_length(c.links) AS links INTO v
          FROM crm.conversion c WHERE c.lead_id = lead;
        converted := converted + 1; created := created + v.created; filled := filled + v.filled; carried := carried + v.links;
        SET LOCAL ROLE saleshub_user;
        report := crm.conversion_undo(v.conversion_id);
        RESET ROLE;
        differs := pg_temp.differing(before, pg_temp.everything());
        IF differs <> 'nothing' OR report -> 'kept' <> '[]' OR report -> 'conflicts' <> '[]' THEN
            wrong := wrong || format('%s: %s, kept %s, conflicts %s. ', n, differs, report -> 'kept', report -> 'conflicts');
        END IF;
        -- Every other lead is converted for good, so that there is something to find.
        IF n % 2 = 0 THEN
            PERFORM crm.lead_convert(lead, opts);
        END IF;
    END LOOP;
END
$$;
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('USD', '2000-01-01', 0.9);
INSERT INTO crm.company (name, domain, city, employees, annual_revenue, custom)
SELECT 'C' || n, 'c' || n || '.example', CASE WHEN n % 2 = 0 THEN 'Rome' END, n * 20, n, jsonb_build_object('own', n) FROM generate_series(1, 5) n;
INSERT INTO crm.contact (last_name, email, consent_email, tags) SELECT 'P' || n, 'p' || n || '@c' || n || '.example', n % 3 = 0, '{z}' FROM generate_series(1, 8) n;
INSERT INTO crm.deal (name, amount) SELECT 'D' || n, n FROM generate_series(1, 5) n;
SELECT setseed(0.42);
SELECT converted > 40 AS converted, refused < 60 AS refused, created > 60 AS created, filled > 20 AS filled, carried > 60 AS carried, wrong
  FROM pg_temp.rounds(100);
SELECT count(*) AS wrong_rollups FROM saleshub.rollup_check();

-- What a later conversion or merge changed and was taken back is as if nobody had changed it.
RESET ROLE;
SELECT pg_temp.lead('{"last_name": "Roe", "email": "first@again.example", "company_name": "Again"}') AS one,
       pg_temp.lead('{"last_name": "Poe", "email": "second@again.example", "company_name": "Again", "city": "Bonn"}') AS two \gset
SELECT crm.lead_convert(:'one') AS result \gset
SELECT :'result'::jsonb ->> 'conversion_id' AS first, :'result'::jsonb #>> '{company,id}' AS again \gset
SELECT crm.lead_convert(:'two') ->> 'conversion_id' AS second \gset
SELECT crm.conversion_undo(:'second') -> 'kept' AS kept;
SELECT r ->> 'merge_id' AS merge FROM crm.record_merge('company', (crm.company_create('{"name": "Again Holding", "on_duplicate": "allow"}') ->> 'id')::uuid, ARRAY[:'again']::uuid[]) r \gset
SELECT crm.merge_undo(:'merge') -> 'conflicts' AS conflicts, version > 2 AS written FROM crm.company WHERE company_id = :'again';
SELECT * FROM pg_temp.facts(crm.conversion_undo(:'first'));

-- A contact whose company is in the bin gives its deal none.
SELECT company_id AS binned FROM crm.company WHERE org_id = saleshub.org_id() AND company_id = :'again' AND deleted_at IS NOT NULL \gset
UPDATE crm.company SET deleted_at = NULL WHERE company_id = :'binned';
SELECT crm.contact_create(jsonb_build_object('last_name', 'Alone', 'company_id', :'binned'::uuid)) ->> 'id' AS alone \gset
SELECT crm.company_delete(:'binned') IS NOT NULL AS deleted;
SELECT crm.lead_convert(pg_temp.lead('{"last_name": "Alone"}'), jsonb_build_object('company', '{"mode": "skip"}'::jsonb, 'contact', jsonb_build_object('id', :'alone'))) #> '{deal,company_id}' AS none;
