-- History and timeline of a record.
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

SELECT crm.org_create('Histories', 'Ann', 'ann@histories.example', 'EUR') AS org \gset
SELECT pg_temp.enter(:'org');
SELECT set_config('saleshub.request_id', 'req-1', false);
SET ROLE saleshub_user;
SELECT crm.lead_create('{"last_name": "Hopper", "tags": ["a"]}') ->> 'id' AS lead \gset
SELECT crm.lead_update(:'lead', '{"status": "working", "title": "Admiral"}') -> 'version';
SELECT crm.lead_update(:'lead', '{"title": null, "tags": ["a", "b"]}') -> 'version';
SELECT crm.lead_update(:'lead', jsonb_build_object('owner_id', :'org'::jsonb -> 'member_id')) -> 'version';
SELECT crm.lead_delete(:'lead');

-- every change, the newest first, also of what is in the bin
SELECT e ->> 'op', e ->> 'version', e -> 'request_id', (e ->> 'actor_id')::uuid = saleshub.member_id(),
       CASE WHEN e ->> 'op' = 'update' AND NOT e -> 'changed' ?| '{owner_id,deleted_at}' THEN e -> 'changed' END
FROM jsonb_array_elements(crm.lead_history(:'lead') -> 'data') e;
SELECT crm.lead_restore(:'lead') -> 'version';

-- in pages
SELECT jsonb_path_query_array(crm.lead_history(:'lead', 4), '$.data[*].version');
SELECT crm.lead_history(:'lead', 4) ->> 'next_cursor' AS cursor \gset
SELECT jsonb_path_query_array(h, '$.data[*].version'), h -> 'next_cursor' FROM crm.lead_history(:'lead', 4, :'cursor') h;
SELECT pg_temp.refused(format('SELECT crm.lead_history(%L, 4, %L)', :'lead', 'AAAA'));
SELECT pg_temp.refused(format('SELECT crm.lead_timeline(%L, 4, %L)', :'lead', :'cursor'));

-- the timeline: activities, status, owner, bin
SELECT crm.activity_create(jsonb_build_object('type', 'call', 'subject', 'Next year', 'due_at', now() + interval '1 year',
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))) IS NOT NULL;
SELECT crm.activity_create(jsonb_build_object('type', 'note', 'subject', 'Last year', 'done_at', now() - interval '1 year',
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead')))) IS NOT NULL;
SELECT e ->> 'kind', e #>> '{activity,subject}', e #> '{changed,status}'
FROM jsonb_array_elements(crm.lead_timeline(:'lead') -> 'data') e;
SELECT crm.lead_timeline(:'lead', 3) ->> 'next_cursor' AS cursor \gset
SELECT jsonb_path_query_array(crm.lead_timeline(:'lead', 3), '$.data[*].kind'),
       jsonb_path_query_array(crm.lead_timeline(:'lead', 10, :'cursor'), '$.data[*].kind');

-- a conversion shows on the lead and on what came out of it
SELECT crm.company_create('{"name": "Navy"}') ->> 'id' AS company \gset
SELECT crm.deal_create('{"name": "Compiler"}') ->> 'id' AS deal \gset
RESET ROLE;
BEGIN;
SET LOCAL saleshub.converting = on;
UPDATE crm.lead SET status = 'converted', converted_at = now(), converted_company_id = :'company', converted_deal_id = :'deal'
WHERE lead_id = :'lead';
COMMIT;
SET ROLE saleshub_user;
SELECT e ->> 'kind', e ->> 'type', e #> '{changed,status}' FROM jsonb_array_elements(crm.lead_timeline(:'lead', 2) -> 'data') e;
SELECT e ->> 'kind', e ->> 'type' FROM jsonb_array_elements(crm.company_timeline(:'company') -> 'data') e;
SELECT e ->> 'kind', e ->> 'type' FROM jsonb_array_elements(crm.deal_timeline(:'deal') -> 'data') e;
RESET ROLE;
