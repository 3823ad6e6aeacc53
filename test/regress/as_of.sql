-- Records as they were: random edits, replayed, must show every version that was read at its time.
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
    RETURN concat(SQLSTATE, ' ', regexp_replace(SQLERRM, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'));
END;
$$;

SELECT crm.org_create('As of', 'Ann', 'ann@asof.example', 'EUR') AS org \gset
SELECT set_config('saleshub.org_id', :'org'::jsonb ->> 'org_id', false) IS NULL,
       set_config('saleshub.member_id', :'org'::jsonb ->> 'member_id', false) IS NULL,
       set_config('saleshub.member_role', 'admin', false);
SELECT crm.org_create('Others', 'Eve', 'eve@asof.example', 'EUR') AS other \gset
CREATE TEMP TABLE seen (n serial, at timestamptz, noun text, id uuid, doc jsonb, lists jsonb);
CREATE TEMP TABLE made (n serial, noun text, id uuid);
GRANT ALL ON seen, made TO PUBLIC;
GRANT ALL ON SEQUENCE seen_n_seq, made_n_seq TO PUBLIC;

CREATE FUNCTION pg_temp.read(noun text, id uuid, as_of timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    doc jsonb;
BEGIN
    EXECUTE format('SELECT crm.%s_get($1, as_of => $2)', noun) INTO doc USING id, as_of;
    RETURN doc;
EXCEPTION WHEN no_data_found THEN
    RETURN NULL;
END;
$$;

CREATE FUNCTION pg_temp.lists(as_of timestamptz) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(
        crm.lead_list(sort => '-score,id', as_of => as_of, count_ => true),
        crm.lead_list(filters => '[{"field": "status", "op": "in", "value": "working,qualified"}]', sort => 'id', as_of => as_of),
        crm.deal_list(sort => '-amount,id', as_of => as_of), crm.activity_list(sort => 'id', as_of => as_of),
        crm.company_list(sort => 'name,id', as_of => as_of), crm.contact_list(sort => 'id', as_of => as_of), crm.product_list(sort => 'id', as_of => as_of),
        (SELECT jsonb_agg(crm.activity_list(filters => jsonb_build_array(
                    jsonb_build_object('field', 'lead_id', 'op', 'eq', 'value', m.id)), sort => 'id', as_of => as_of) -> 'data'
                ORDER BY m.n)
         FROM made m WHERE m.noun = 'lead'));
$$;

-- one random edit, each in a transaction of its own
CREATE FUNCTION pg_temp.edit(step integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    m record;
    live boolean;
    lead uuid := (SELECT t.id FROM made t WHERE t.noun = 'lead' AND pg_temp.read('lead', t.id, NULL) IS NOT NULL ORDER BY random() LIMIT 1);
    links jsonb := CASE WHEN lead IS NULL OR random() < 0.3 THEN '[]'
                        ELSE jsonb_build_array(jsonb_build_object('type', 'lead', 'id', lead)) END;
    fresh jsonb;
BEGIN
    SELECT * INTO m FROM made ORDER BY random() LIMIT 1;
    IF step <= 12 OR random() < 0.1 THEN
        CASE step % 6
            WHEN 0 THEN
                fresh := crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'S' || step, 'links', links));
                INSERT INTO made (noun, id) VALUES ('activity', (fresh ->> 'id')::uuid);
            WHEN 1 THEN
                fresh := crm.lead_create(jsonb_build_object('last_name', 'L' || step, 'email', format('l%s@firm%s.example', step, step)));
                INSERT INTO made (noun, id) VALUES ('lead', (fresh ->> 'id')::uuid);
            WHEN 3 THEN
                fresh := crm.company_create(jsonb_build_object('name', 'Firm ' || step, 'domain', format('f%s.example', step)));
                INSERT INTO made (noun, id) VALUES ('company', (fresh ->> 'id')::uuid);
            WHEN 4 THEN
                fresh := crm.contact_create(jsonb_strip_nulls(jsonb_build_object('last_name', 'C' || step, 'company_id',
                    (SELECT t.id FROM made t WHERE t.noun = 'company' AND pg_temp.read('company', t.id, NULL) IS NOT NULL ORDER BY random() LIMIT 1))));
                INSERT INTO made (noun, id) VALUES ('contact', (fresh ->> 'id')::uuid);
            WHEN 5 THEN
                fresh := crm.product_create(jsonb_build_object('name', 'P' || step, 'sku', step::text));
                INSERT INTO made (noun, id) VALUES ('product', (fresh ->> 'id')::uuid);
            ELSE
                fresh := crm.deal_create(jsonb_build_object('name', 'D' || step, 'amount', round((random() * 1000)::numeric, 2)));
                INSERT INTO made (noun, id) VALUES ('deal', (fresh ->> 'id')::uuid);
        END CASE;
        RETURN;
    END IF;
    live := pg_temp.read(m.noun, m.id, NULL) IS NOT NULL;
    IF NOT live THEN
        EXECUTE format('SELECT crm.%s_restore($1)', m.noun) USING m.id;
    ELSIF random() < 0.15 THEN
        EXECUTE format('SELECT crm.%s_delete($1)', m.noun) USING m.id;
    ELSIF m.noun = 'lead' THEN
        PERFORM crm.lead_update(m.id, (ARRAY[
            jsonb_build_object('title', 'Chief ' || step), '{"title": null}',
            jsonb_build_object('custom', jsonb_build_object('k' || step % 3, step)), '{"custom": null}',
            jsonb_build_object('tags', jsonb_build_array('t' || step, 'a')),
            jsonb_build_object('status', (ARRAY['new', 'working', 'qualified'])[1 + step % 3]),
            jsonb_build_object('annual_revenue', jsonb_build_object('amount', step || '.50', 'currency', 'USD')),
            jsonb_build_object('consent', jsonb_build_object('email', step % 2 = 0))])[1 + floor(random() * 8)::integer]);
    ELSIF m.noun = 'deal' THEN
        PERFORM crm.deal_update(m.id, (ARRAY[
            jsonb_build_object('amount', step * 1.10), '{"amount": null}',
            jsonb_build_object('close_date', date '2031-01-01' + step),
            jsonb_build_object('status', (ARRAY['won', 'lost', 'open'])[1 + step % 3])])[1 + floor(random() * 4)::integer]);
    ELSIF m.noun = 'company' THEN
        PERFORM crm.company_update(m.id, (ARRAY[
            jsonb_build_object('name', 'Firm ' || step), jsonb_build_object('industry', 'i' || step % 4), '{"industry": null}',
            jsonb_build_object('employees', step)])[1 + floor(random() * 4)::integer]);
    ELSIF m.noun = 'contact' THEN
        PERFORM crm.contact_update(m.id, (ARRAY[
            jsonb_build_object('email', format('c%s@asof.example', step)), '{"company_id": null}',
            jsonb_build_object('consent', jsonb_build_object('phone', step % 2 = 0)), jsonb_build_object('tags', jsonb_build_array('t' || step))])[1 + floor(random() * 4)::integer]);
    ELSIF m.noun = 'product' THEN
        PERFORM crm.product_update(m.id, jsonb_build_object('name', 'P' || step, 'active', step % 2 = 0));
    ELSE
        PERFORM crm.activity_update(m.id, (ARRAY[
            jsonb_build_object('links', links), jsonb_build_object('done_at', '2030-01-01T00:00:00Z', 'links', links),
            '{"done_at": null}', jsonb_build_object('body', repeat(chr(64 + step % 26), 3))])[1 + floor(random() * 4)::integer]);
    END IF;
END;
$$;

-- Some steps are two edits in one transaction.
CREATE PROCEDURE pg_temp.replay(steps integer) LANGUAGE plpgsql AS $$
DECLARE
    instant timestamptz;
BEGIN
    PERFORM setseed(0.42);
    FOR step IN 1..steps LOOP
        PERFORM pg_temp.edit(step);
        IF step > 12 AND step % 7 = 0 THEN
            PERFORM pg_temp.edit(step);
        END IF;
        COMMIT;
        instant := clock_timestamp();
        COMMIT;
        INSERT INTO seen (at, noun, id, doc)
        SELECT instant, m.noun, m.id, pg_temp.read(m.noun, m.id, NULL) FROM made m;
        IF step % 5 = 0 THEN
            INSERT INTO seen (at, lists) VALUES (instant, pg_temp.lists(NULL));
        END IF;
        COMMIT;
    END LOOP;
END;
$$;
SET ROLE saleshub_user;
CALL pg_temp.replay(130);
SELECT count(*) > 500, count(*) FILTER (WHERE noun IS NOT NULL AND doc IS NULL) > 50 FROM seen;
SELECT s.noun, s.n, s.doc, pg_temp.read(s.noun, s.id, s.at) FROM seen s
WHERE s.noun IS NOT NULL AND s.doc IS DISTINCT FROM pg_temp.read(s.noun, s.id, s.at) LIMIT 5;
-- the cursor holds the instant, the rest of a list is alike
CREATE FUNCTION pg_temp.rows(lists jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(CASE jsonb_typeof(l) WHEN 'object' THEN l - 'next_cursor' ELSE l END ORDER BY n)
    FROM jsonb_array_elements(lists) WITH ORDINALITY AS e (l, n)
$$;
SELECT count(*) FROM seen s WHERE s.lists IS NOT NULL;
-- Of the lists of activities per lead, leads made later have none.
SELECT s.n, jsonb_path_query_array(pg_temp.rows(s.lists), '$[0 to 3]'), jsonb_path_query_array(pg_temp.rows(pg_temp.lists(s.at)), '$[0 to 3]')
FROM seen s WHERE s.lists IS NOT NULL
    AND jsonb_path_query_array(pg_temp.rows(s.lists), '$[0 to 3]') <> jsonb_path_query_array(pg_temp.rows(pg_temp.lists(s.at)), '$[0 to 3]') LIMIT 2;
SELECT s.n FROM seen s, jsonb_array_elements(s.lists -> 4) WITH ORDINALITY AS e (rows, n)
WHERE s.lists IS NOT NULL AND e.rows <> pg_temp.lists(s.at) -> 4 -> (e.n - 1)::integer LIMIT 2;

-- the lines of a deal
SELECT crm.deal_create('{"name": "Lines", "lines": [{"name": "a", "unit_price": 10}, {"name": "b", "unit_price": 5}]}') AS before \gset
SELECT clock_timestamp() AS instant \gset
SELECT crm.deal_update((:'before'::jsonb ->> 'id')::uuid, '{"lines": [{"name": "c", "unit_price": 7, "quantity": 2}]}') #> '{amount,amount}';
SELECT crm.deal_get((:'before'::jsonb ->> 'id')::uuid, as_of => :'instant') = :'before', jsonb_array_length(:'before'::jsonb -> 'lines');

-- before it was made, in the future, with what it refers to, of another organisation
SELECT id AS lead FROM made WHERE noun = 'lead' ORDER BY n LIMIT 1 \gset
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L, as_of => %L)', :'lead', '2020-01-01'));
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L, as_of => %L)', :'lead', '2999-01-01'));
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L, as_of => %L)', :'lead', '-infinity'));
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L, include => %L, as_of => now())', :'lead', 'owner'));
SELECT crm.lead_list(as_of => '2020-01-01');
-- pages
SELECT max(at) AS instant FROM seen \gset
SELECT l ->> 'next_cursor' AS cursor FROM crm.deal_list(limit_ => 1, sort => 'id', as_of => :'instant') l \gset
SELECT jsonb_array_length(crm.deal_list(limit_ => 100, cursor_ => :'cursor', sort => 'id', as_of => :'instant') -> 'data') + 1
     = jsonb_array_length(crm.deal_list(limit_ => 100, sort => 'id', as_of => :'instant') -> 'data');
SELECT pg_temp.refused(format('SELECT crm.deal_list(cursor_ => %L, sort => %L)', :'cursor', 'id'));
RESET ROLE;
SELECT set_config('saleshub.org_id', :'other'::jsonb ->> 'org_id', false) IS NULL;
SET ROLE saleshub_user;
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L, as_of => %L)', :'lead', :'instant'));
SELECT crm.lead_list(as_of => :'instant') -> 'data';
RESET ROLE;
