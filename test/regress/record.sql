-- Records: bodies, patches, versions, the bin; the same for every noun.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;

-- What a statement is refused for: SQLSTATE, message, and pointer or parameter with code of each error.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    errors text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        SELECT string_agg(concat(e ->> 'pointer', e ->> 'parameter', ' ', e ->> 'code'), ', ' ORDER BY e::text)
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

CREATE FUNCTION pg_temp.enter(org jsonb, role text DEFAULT 'admin') RETURNS void LANGUAGE sql AS $$
    SELECT set_config('saleshub.org_id', org ->> 'org_id', false),
           set_config('saleshub.member_id', org ->> 'member_id', false),
           set_config('saleshub.member_role', role, false);
$$;

SELECT crm.org_create('Records', 'Ann', 'ann@records.example', 'EUR', 'Europe/Berlin', 'DE') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;

-- every field is always there
SELECT jsonb_pretty(crm.contact_create('{"name": "Edsger Wybe Dijkstra"}')
                    - '{id,created_at,created_by,updated_at,updated_by}'::text[]);
SELECT noun, (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(doc) k)
FROM (VALUES
    ('lead', crm.lead_create('{"email": "a@records.example"}')),
    ('contact', crm.contact_create('{"email": "a@records.example"}')),
    ('company', crm.company_create('{"name": "A"}')),
    ('deal', crm.deal_create('{"name": "A"}')),
    ('activity', crm.activity_create('{"type": "note", "subject": "A"}'))) AS d (noun, doc);

-- all faults of a body at once
SELECT pg_temp.refused($$SELECT crm.lead_create('{"first_name": 1, "email": "nope", "employees": -3, "foo": 1,
    "custom": [], "status": "bogus", "tags": ["a", 2], "consent": {"email": "yes", "fax": true},
    "owner_id": "1", "score": 99, "annual_revenue": {"currency": "EURO"}}')$$);
SELECT pg_temp.refused($$SELECT crm.lead_create('[]')$$);
SELECT pg_temp.refused($$SELECT crm.lead_create(NULL)$$);
SELECT pg_temp.refused($$SELECT crm.company_create('{}')$$);
SELECT pg_temp.refused($$SELECT crm.company_create('{"name": "   "}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"due_at": "2026-02-30T10:00:00Z", "done_at": "today"}')$$);
SELECT pg_temp.refused($$SELECT crm.deal_create('{"name": "A", "amount": "1e5", "close_date": "2026-02-30"}')$$);
SELECT pg_temp.refused($$SELECT crm.deal_create('{"name": "A", "amount": {"amount": true, "currency": "EURO", "x": 1}}')$$);
SELECT pg_temp.refused(format($$SELECT crm.company_create('{"name": "%s"}')$$, repeat('x', 201)));
SELECT pg_temp.refused($$SELECT crm.company_create('{"a/b~c": 1, "name": "A"}')$$);

-- a patch merges, a null clears, an empty one changes nothing
SELECT crm.lead_create('{"last_name": "Hopper", "custom": {"a": 1, "b": {"c": 2}}, "tags": ["x"],
    "annual_revenue": "5", "consent": {"email": true}}') ->> 'id' AS lead \gset
SELECT d -> 'custom', d -> 'consent', d -> 'tags', d -> 'annual_revenue', d -> 'version'
FROM crm.lead_update(:'lead', '{"custom": {"a": null, "b": {"d": 3}}, "consent": {"phone": false}, "tags": null,
    "annual_revenue": {"amount": 7.125, "currency": "usd"}}') d;
SELECT crm.lead_update(:'lead', '{}') -> 'version';
SELECT crm.lead_update(:'lead', '{"last_name": "Hopper"}') -> 'version';
SELECT d -> 'annual_revenue', d -> 'consent', d -> 'custom'
FROM crm.lead_update(:'lead', '{"annual_revenue": 9, "consent": null, "custom": null}') d;
SELECT crm.lead_update(:'lead', '{"annual_revenue": null}') -> 'annual_revenue';
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"last_name": ""}')$$, :'lead'));
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"version": 7, "id": null}')$$, :'lead'));

-- versions: If-Match
SELECT crm.lead_get(:'lead') -> 'version';
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"title": "x"}', '"3"')$$, :'lead'));
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"title": "x"}', 'W/"4"')$$, :'lead'));
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"title": "x"}', '')$$, :'lead'));
SELECT crm.lead_update(:'lead', '{"title": "one"}', '"4"') -> 'version';
SELECT crm.lead_update(:'lead', '{"title": "two"}', '5') -> 'version';
SELECT crm.lead_update(:'lead', '{"title": "three"}', '"5", "6"') -> 'version';
SELECT crm.lead_update(:'lead', '{"title": "four"}', '*') -> 'version';
SELECT pg_temp.refused(format($$SELECT crm.lead_delete(%L, '1')$$, :'lead'));

-- the bin
SELECT crm.lead_delete(:'lead', '8');
SELECT pg_temp.refused(format('SELECT crm.lead_get(%L)', :'lead'));
SELECT pg_temp.refused(format('SELECT crm.lead_delete(%L)', :'lead'));
SELECT pg_temp.refused(format($$SELECT crm.lead_update(%L, '{"title": "x"}')$$, :'lead'));
SELECT jsonb_path_exists(crm.lead_list(), '$.data[*] ? (@.last_name == "Hopper")');
SELECT crm.lead_restore(:'lead') -> 'version';
SELECT crm.lead_restore(:'lead') -> 'version';
SELECT crm.lead_get(:'lead') -> 'title';
SELECT pg_temp.refused(format('SELECT crm.%s_%s(%L)', noun, verb, crm.uuid_v7()))
FROM unnest(ARRAY['lead', 'contact', 'company', 'deal', 'activity']) noun,
     unnest(ARRAY['get', 'delete', 'restore', 'history', 'timeline']) verb;

-- fields and include
SELECT crm.lead_get(:'lead', 'title, last_name') - 'id';
SELECT pg_temp.refused(format($$SELECT crm.lead_get(%L, 'title,nope')$$, :'lead'));
SELECT pg_temp.refused(format($$SELECT crm.lead_get(%L, include => 'pets')$$, :'lead'));
SELECT crm.company_create('{"name": "Analytical Engines", "website": "https://www.engines.example/x"}') ->> 'id' AS company \gset
SELECT crm.contact_create(jsonb_build_object('name', 'Ada King', 'company_id', :'company',
    'owner_id', :'org'::jsonb -> 'member_id')) ->> 'id' AS contact \gset
SELECT (d - 'id') || jsonb_build_object('company', d -> 'company' -> 'name', 'owner', d -> 'owner' -> 'email')
FROM crm.contact_get(:'contact', 'last_name', 'company,owner') d;

-- who may only read, reads
RESET ROLE;
SELECT pg_temp.enter(:'org', 'readonly');
SET ROLE saleshub_user;
SELECT crm.lead_get(:'lead') -> 'title';
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT crm.lead_create('{"email": "b@records.example"}')$$,
    format($$SELECT crm.lead_update(%L, '{"title": "x"}')$$, :'lead'),
    format('SELECT crm.lead_delete(%L)', :'lead'),
    format('SELECT crm.lead_restore(%L)', :'lead'),
    $$INSERT INTO crm.lead (email) VALUES ('b@records.example')$$]) s;
RESET ROLE;
