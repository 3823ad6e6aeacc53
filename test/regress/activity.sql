-- Activities and their links: written as a set, to records of the organisation.
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

SELECT crm.org_create('Activities', 'Ann', 'ann@activities.example') AS org \gset
SELECT pg_temp.enter(:'org');
SET ROLE saleshub_user;
SELECT crm.lead_create('{"last_name": "Lead"}') ->> 'id' AS lead \gset
SELECT crm.deal_create('{"name": "Deal"}') ->> 'id' AS deal \gset
SELECT crm.company_create('{"name": "Company"}') ->> 'id' AS company \gset
CREATE FUNCTION pg_temp.links(VARIADIC pairs text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('links', jsonb_agg(jsonb_build_object('type', split_part(p, ' ', 1), 'id', split_part(p, ' ', 2))))
    FROM unnest(pairs) p $$;
CREATE FUNCTION pg_temp.show(doc jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT concat('version ', doc ->> 'version', ': ', (SELECT string_agg(l ->> 'type', ', ') FROM jsonb_array_elements(doc -> 'links') l)) $$;

SELECT crm.activity_create('{"type": "call", "subject": " Hello ", "due_at": "2026-03-01T09:00:00+01:00"}'
    || pg_temp.links('lead ' || :'lead', 'deal ' || :'deal', 'lead ' || :'lead')) AS doc \gset
SELECT pg_temp.show(:'doc'), :'doc'::jsonb -> 'subject', :'doc'::jsonb -> 'due_at';
SELECT :'doc'::jsonb ->> 'id' AS id \gset

-- the version moves with the links, and only with them
SELECT pg_temp.show(crm.activity_update(:'id', pg_temp.links('company ' || :'company', 'deal ' || :'deal')));
SELECT pg_temp.show(crm.activity_update(:'id', pg_temp.links('deal ' || :'deal', 'company ' || :'company')));
SELECT pg_temp.show(crm.activity_update(:'id', '{"links": null}'));
SELECT pg_temp.show(crm.activity_update(:'id', '{"outcome": "reached"}'));
INSERT INTO crm.activity_link (activity_id, entity, entity_id) VALUES (:'id', 'lead', :'lead');
SELECT pg_temp.show(crm.activity_get(:'id'));
SELECT pg_temp.refused(format($$SELECT crm.activity_update(%L, '{"links": []}', '"4"')$$, :'id'));

-- links lead somewhere
SELECT pg_temp.refused(format('SELECT crm.activity_update(%L, %L)', :'id', body)) FROM (VALUES
    (pg_temp.links('lead ' || :'lead', 'lead ' || :'deal', 'deal ' || :'company')),
    ('{"links": [{"type": "lead"}, {"type": "pet", "id": "x"}]}'),
    ('{"links": {"type": "lead"}}')) AS b (body);
SELECT crm.company_delete(:'company');
SELECT pg_temp.refused(format('SELECT crm.activity_update(%L, %L)', :'id', pg_temp.links('company ' || :'company')));
SELECT pg_temp.refused(format($$INSERT INTO crm.activity_link (activity_id, entity, entity_id) VALUES (%L, 'pet', %L)$$, :'id', :'lead'));
SELECT pg_temp.refused(format($$INSERT INTO crm.activity_link (activity_id, entity, entity_id) VALUES (%L, 'lead', %L)$$, :'lead', :'lead'));
SELECT pg_temp.show(crm.activity_get(:'id'));

-- what is required
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject) VALUES (NULL, ' ')$$);
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject) VALUES ('pet', NULL)$$);

-- found by the record
SELECT jsonb_path_query_array(crm.activity_list(fields => 'subject', filters =>
    jsonb_build_array(jsonb_build_object('field', 'lead_id', 'op', op, 'value', :'lead'))), '$.data[*].subject')
FROM unnest(ARRAY['eq', 'ne']) op;
SELECT jsonb_path_query_array(crm.lead_timeline(:'lead'), '$.data[*].kind');
SELECT crm.activity_delete(:'id');
SELECT jsonb_path_query_array(crm.lead_timeline(:'lead'), '$.data[*].kind');
RESET ROLE;
