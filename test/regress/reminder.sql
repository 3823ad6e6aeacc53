-- Tasks that recur and remind; what only some types of activity have.
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
SELECT o ->> 'org_id' AS org, o ->> 'member_id' AS ann
FROM crm.org_create('Remind', 'Ann', 'ann@remind.example', 'EUR', 'Europe/Berlin', 'DE') o \gset
SELECT o ->> 'org_id' AS other FROM crm.org_create('Other', 'Oda', 'oda@remind.example') o \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org', set_config('saleshub.member_id', :'ann', false) = :'ann',
       set_config('saleshub.member_role', 'admin', false) = 'admin';
SET ROLE saleshub_user;
SELECT crm.member_create('{"name": "Bob", "email": "bob@remind.example", "role": "rep", "timezone": "America/New_York"}') ->> 'id' AS bob \gset

\echo -- rules
SELECT r.rule, coalesce(p.rule, p.fault) FROM unnest(ARRAY[
    'freq=daily', 'RRULE:FREQ=WEEKLY;BYDAY=FR,MO,MO;INTERVAL=1;WKST=SU', 'FREQ=MONTHLY;BYDAY=-1FR,2TU;COUNT=3',
    'BYMONTHDAY=-1,31,5;FREQ=MONTHLY;UNTIL=20261231', 'FREQ=YEARLY;BYMONTH=12,1;BYDAY=+1SU;UNTIL=20300101T000000Z',
    'FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1', '', 'FREQ=HOURLY', 'INTERVAL=2', 'FREQ=DAILY;INTERVAL=0',
    'FREQ=DAILY;COUNT=3;UNTIL=20260101', 'FREQ=DAILY;BYHOUR=9', 'FREQ=YEARLY;BYWEEKNO=20', 'FREQ=DAILY;FOO=1',
    'FREQ=DAILY;FREQ=DAILY', 'FREQ=DAILY;BYDAY=1MO', 'FREQ=WEEKLY;BYMONTHDAY=1', 'FREQ=DAILY;UNTIL=20260230',
    'FREQ=DAILY;UNTIL=2026-01-01', 'FREQ=WEEKLY;BYDAY=XX', 'FREQ=WEEKLY;BYDAY=', 'FREQ=MONTHLY;BYMONTHDAY=32',
    'FREQ=MONTHLY;BYSETPOS=1', 'FREQ=DAILY;', 'FREQ', 'FREQ=DAILY;COUNT=99999999999', 'FREQ=WEEKLY;WKST=M']) r (rule),
    LATERAL (SELECT * FROM saleshub.recurrence_parse(r.rule) AS q (rule, fault)) p;
SELECT p.fault FROM saleshub.recurrence_parse('FREQ=DAILY;BYDAY=' || repeat('MO,', 400) || 'MO') p;

\echo -- previews, over both changes of the clocks
SELECT jsonb_path_query_array(crm.recurrence_preview('FREQ=DAILY;COUNT=3', '2026-03-28 02:30 Europe/Berlin', 'Europe/Berlin'), '$.data[*]');
SELECT jsonb_path_query_array(crm.recurrence_preview('FREQ=DAILY;COUNT=3', '2026-10-24 02:30 Europe/Berlin', 'Europe/Berlin'), '$.data[*]');
SELECT crm.recurrence_preview('FREQ=MONTHLY', '2026-01-31 09:00 Europe/Berlin', n => 4);
SELECT crm.recurrence_preview('FREQ=YEARLY', '2024-02-29 12:00Z', 'UTC', 3) -> 'data';
SELECT crm.recurrence_preview('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', '2026-01-01 12:00Z', 'UTC', 3) -> 'data';
SELECT crm.recurrence_preview('FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO;COUNT=4', '1997-08-05 09:00Z', 'UTC') -> 'data';
SELECT crm.recurrence_preview('FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU;COUNT=4', '1997-08-05 09:00Z', 'UTC') -> 'data';
SELECT pg_temp.refused($$SELECT crm.recurrence_preview('FREQ=SECONDLY')$$);
SELECT pg_temp.refused($$SELECT crm.recurrence_preview('FREQ=DAILY', tz => 'Mars/Olympus')$$);
SELECT pg_temp.refused($$SELECT crm.recurrence_preview('FREQ=DAILY', tz => 'UTC', n => 1001)$$);
SELECT pg_temp.refused($$SELECT crm.recurrence_preview('FREQ=DAILY', 'infinity', 'UTC')$$);

\echo -- a series: each is made when the one before is done, in its transaction
CREATE FUNCTION pg_temp.series(id text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', series_no, subject, coalesce(body, '-'), to_char(due_at AT TIME ZONE 'Europe/Berlin', 'Dy DD.MM.YY HH24:MI'),
                     CASE WHEN done_at IS NOT NULL THEN 'done' END, CASE WHEN deleted_at IS NOT NULL THEN 'deleted' END, recurrence,
                     (SELECT count(*) FROM crm.activity_link l WHERE l.activity_id = a.activity_id) || ' links',
                     (SELECT string_agg(concat_ws('/', r.minutes_before, to_char(r.at AT TIME ZONE 'UTC', 'DD.MM. HH24:MI'), r.state), ',' ORDER BY r.minutes_before) FROM crm.reminder r WHERE r.activity_id = a.activity_id))
    FROM crm.activity a WHERE a.series_id = id::uuid ORDER BY series_no $$;
CREATE FUNCTION pg_temp.at(id text, no int) RETURNS uuid LANGUAGE sql AS $$
    SELECT activity_id FROM crm.activity WHERE series_id = id::uuid AND series_no = no $$;
SELECT crm.lead_create('{"last_name": "Lead"}') ->> 'id' AS lead, crm.company_create('{"name": "Firm"}') ->> 'id' AS firm \gset
SELECT d ->> 'id' AS a, concat_ws(' ', d -> 'recurrence', d -> 'timezone', d -> 'series_id' = d -> 'id', d -> 'series_no', d -> 'reminders') AS told
FROM crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'Report', 'body', 'all', 'due_at', '2083-03-22T08:00:00Z', 'owner_id', :'ann',
    'recurrence', 'FREQ=WEEKLY;COUNT=4;BYDAY=MO', 'timezone', 'Europe/Berlin', 'reminders', '[{"minutes_before": 30}, {"at": "2083-03-20T12:00:00+01:00"}]'::jsonb,
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead'), jsonb_build_object('type', 'company', 'id', :'firm')))) d \gset
\echo :told
SELECT crm.activity_update(:'a', '{"done_at": "2083-03-22T10:00:00Z"}') ->> 'series_no';
SELECT pg_temp.series(:'a');
\echo -- done twice, or reopened and done again: still one next
SELECT crm.activity_update(:'a', '{"done_at": null}') ->> 'done_at';
SELECT crm.activity_update(:'a', '{"done_at": "2083-03-23T10:00:00Z"}') ->> 'series_no';
SELECT count(*) FROM pg_temp.series(:'a');
\echo -- this one only: subject and time come back in the next
SELECT crm.activity_update(pg_temp.at(:'a', 2), '{"subject": "Report (short)", "due_at": "2083-03-30T09:00:00Z"}') ->> 'subject';
SELECT crm.activity_update(pg_temp.at(:'a', 2), '{"done_at": "2083-03-30T10:00:00Z", "outcome": "sent"}') ->> 'outcome';
SELECT pg_temp.series(:'a');
\echo -- this and the following: the rule counts on
SELECT crm.activity_update(pg_temp.at(:'a', 3), '{"body": "totals", "due_at": "2083-04-05T12:30:00Z"}', scope => 'following') ->> 'recurrence';
UPDATE crm.activity SET done_at = now() WHERE activity_id = pg_temp.at(:'a', 3);
SELECT pg_temp.series(:'a');
\echo -- all
SELECT crm.activity_update(pg_temp.at(:'a', 4), '{"subject": "Figures", "reminders": [{"minutes_before": 5}]}', scope => 'all') ->> 'subject';
SELECT pg_temp.series(:'a');
\echo -- over after COUNT
UPDATE crm.activity SET done_at = now() WHERE activity_id = pg_temp.at(:'a', 4);
SELECT count(*) FROM pg_temp.series(:'a');

\echo -- deleting: this, with the next in its place; the following; all; and restoring
SELECT d ->> 'id' AS b FROM crm.activity_create(jsonb_build_object('type', 'call', 'subject', 'Ring', 'due_at', '2083-01-30T08:00:00Z', 'direction', 'outbound',
    'recurrence', 'FREQ=MONTHLY;BYMONTHDAY=-1', 'timezone', 'Europe/Berlin')) d \gset
SELECT crm.activity_delete(:'b', scope => 'this');
SELECT crm.activity_delete(pg_temp.at(:'b', 2), scope => 'this');
SELECT pg_temp.series(:'b');
SELECT crm.activity_restore(:'b') ->> 'series_no';
SELECT crm.activity_update(:'b', '{"done_at": "2083-01-30T10:00:00Z"}') ->> 'series_no';
SELECT crm.activity_delete(:'b', scope => 'following');
SELECT pg_temp.series(:'b');
SELECT crm.activity_restore(:'b') ->> 'series_no';
SELECT pg_temp.series(:'b');
SELECT crm.activity_delete(pg_temp.at(:'b', 3), scope => 'all');
SELECT count(*) FROM crm.activity WHERE series_id = :'b' AND deleted_at IS NULL;
SELECT crm.activity_restore(pg_temp.at(:'b', 3)) ->> 'series_no';
SELECT count(*) FROM crm.activity WHERE series_id = :'b' AND deleted_at IS NULL;
\echo -- without a scope an open one ends the series
SELECT crm.activity_delete(pg_temp.at(:'b', 3));
SELECT count(*) FROM crm.activity WHERE series_id = :'b';
SELECT pg_temp.refused(format($$SELECT crm.activity_delete(%L, scope => 'some')$$, :'b'));
\echo -- ending it by its rule; a new rule begins here
SELECT crm.activity_create('{"type": "task", "subject": "End", "due_at": "2083-06-01T08:00:00Z", "recurrence": "FREQ=DAILY"}') ->> 'id' AS c \gset
SELECT d -> 'recurrence', d -> 'timezone', d -> 'series_no' FROM crm.activity_update(:'c', '{"recurrence": null}') d;
SELECT d -> 'recurrence', d -> 'timezone' FROM crm.activity_update(:'c', '{"recurrence": "FREQ=DAILY;INTERVAL=3"}') d;
UPDATE crm.activity SET done_at = now() WHERE activity_id = :'c';
SELECT due_at FROM crm.activity WHERE series_id = :'c' ORDER BY 1;
\echo -- whose links are gone, or whose owner: the next has what is left
SELECT crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'Lost', 'due_at', '2083-06-01T08:00:00Z', 'recurrence', 'FREQ=DAILY',
    'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', :'lead'), jsonb_build_object('type', 'company', 'id', :'firm')))) ->> 'id' AS d \gset
SELECT crm.lead_delete(:'lead');
UPDATE crm.activity SET done_at = now() WHERE activity_id = :'d';
SELECT pg_temp.series(:'d');
\echo -- refused
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "task", "subject": "x", "recurrence": "FREQ=HOURLY", "timezone": "Nowhere"}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "note", "subject": "x", "due_at": "2083-01-01T00:00:00Z", "recurrence": "FREQ=DAILY"}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "task", "subject": "x", "due_at": "2083-01-01T00:00:00Z", "done_at": "2083-01-01T00:00:00Z", "recurrence": "FREQ=DAILY"}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "task", "subject": "x", "series_no": 3}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "task", "subject": "x", "reminders": [{"minutes_before": -1}, {"at": "soon"}, {}, {"at": "2083-01-01T00:00:00Z", "minutes_before": 1}]}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject, reminders) VALUES ('task', 'x', '[{"minutes_before": -1}, {"at": "soon"}, {}, 7, {"at": "2083-01-01T00:00:00Z", "minutes_before": 1}, {"minutes_before": 1, "member_id": "00000000-0000-0000-0000-000000000001"}]')$$);
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject, reminders) VALUES ('task', 'x', '{}')$$);
SELECT pg_temp.refused(format($$SELECT crm.activity_update(%L, '{"subject": "x"}', scope => 'none')$$, :'c'));

\echo -- reminders follow their activity
CREATE FUNCTION pg_temp.reminders(id text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', m.name, r.minutes_before, to_char(r.remind_at AT TIME ZONE 'UTC', 'DD.MM.YY HH24:MI'), r.state, CASE WHEN r.snoozed THEN 'snoozed' END)
    FROM crm.reminder r JOIN crm.member m USING (org_id, member_id) WHERE r.activity_id = id::uuid ORDER BY 1 $$;
SELECT crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'Remind', 'due_at', '2083-02-01T12:00:00Z', 'owner_id', :'ann',
    'reminders', jsonb_build_array(jsonb_build_object('minutes_before', 60), jsonb_build_object('minutes_before', 10, 'member_id', :'bob')))) ->> 'id' AS e \gset
SELECT pg_temp.reminders(:'e');
SELECT crm.activity_update(:'e', '{"due_at": "2083-02-02T12:00:00Z"}') ->> 'version';
SELECT pg_temp.reminders(:'e');
SELECT crm.activity_update(:'e', jsonb_build_object('owner_id', :'bob')) ->> 'version';
SELECT pg_temp.reminders(:'e');
SELECT crm.activity_update(:'e', '{"due_at": null}') ->> 'version';
SELECT pg_temp.reminders(:'e');
SELECT crm.activity_update(:'e', jsonb_build_object('owner_id', :'ann', 'due_at', '2083-02-01T12:00:00Z')) ->> 'version';
SELECT crm.activity_update(:'e', '{"done_at": "2083-01-01T12:00:00Z"}') ->> 'version';
SELECT pg_temp.reminders(:'e');
SELECT crm.activity_update(:'e', '{"done_at": null}') ->> 'version';
SELECT crm.activity_delete(:'e');
SELECT pg_temp.reminders(:'e');
SELECT crm.activity_restore(:'e') ->> 'version';
SELECT pg_temp.reminders(:'e');
\echo -- too late when asked for: at once while the activity is ahead, never afterwards
SELECT d ->> 'id' AS f FROM crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'Late', 'due_at', now() + interval '5 min', 'owner_id', :'ann',
    'reminders', '[{"minutes_before": 15}]'::jsonb)) d \gset
SELECT d ->> 'id' AS g FROM crm.activity_create(jsonb_build_object('type', 'task', 'subject', 'Too late', 'due_at', now() - interval '5 min', 'owner_id', :'ann',
    'reminders', '[{"minutes_before": 15}]'::jsonb)) d \gset
SELECT activity_id = :'f', state FROM crm.reminder WHERE activity_id IN (:'f', :'g') ORDER BY 1;
\echo -- firing
RESET ROLE;
SELECT fired, next_at FROM saleshub.remind();
SELECT fired, next_at FROM saleshub.remind();
SELECT type, entity, entity_id = :'ann', data - 'remind_at' = jsonb_build_object('snoozed', false, 'activity_id', :'f', 'reminder_id', (SELECT reminder_id FROM crm.reminder WHERE activity_id = :'f'))
FROM saleshub.outbox WHERE org_id = :'org' AND type = 'reminder.due';
SET ROLE saleshub_user;
SELECT r ->> 'id' AS r, concat_ws(' ', r -> 'state', r #> '{activity,subject}') AS told FROM jsonb_array_elements(crm.reminder_list('fired') -> 'data') r \gset
\echo :told
SELECT jsonb_array_length(crm.reminder_list() -> 'data'), jsonb_array_length(crm.reminder_list('scheduled,cancelled') -> 'data');
SELECT jsonb_array_length(p -> 'data'), jsonb_array_length(crm.reminder_list(limit_ => 1, cursor_ => p ->> 'next_cursor') -> 'data') FROM crm.reminder_list(limit_ => 1) p;
\echo -- put off, and told again
SELECT d -> 'state', d -> 'snoozed', (d ->> 'remind_at')::timestamptz - now() FROM crm.reminder_snooze(:'r', '{"minutes": 10}') d;
SELECT crm.reminder_snooze(:'r', jsonb_build_object('until', now() + interval '1 ms')) ->> 'state';
RESET ROLE;
SELECT pg_sleep(0.002);
SELECT fired FROM saleshub.remind();
SELECT count(*) FROM saleshub.outbox WHERE org_id = :'org' AND type = 'reminder.due';
SET ROLE saleshub_user;
SELECT d -> 'state' FROM crm.reminder_dismiss(:'r') d;
SELECT crm.activity_update(:'f', '{"subject": "Dismissed, whatever else changes"}') ->> 'version';
SELECT state FROM crm.reminder WHERE activity_id = :'f';
SELECT crm.activity_update(:'f', jsonb_build_object('due_at', now() + interval '1 day')) ->> 'version';
SELECT state, snoozed FROM crm.reminder WHERE activity_id = :'f';
SELECT pg_temp.refused(format('SELECT crm.reminder_snooze(%L, ''{}'')', :'r'));
SELECT pg_temp.refused(format('SELECT crm.reminder_snooze(%L, ''{"until": "2020-01-01T00:00:00Z"}'')', :'r'));
SELECT pg_temp.refused('SELECT crm.reminder_dismiss(''00000000-0000-0000-0000-000000000001'')');
SELECT pg_temp.refused('SELECT crm.reminder_list(''due'')');
SELECT pg_temp.refused('SELECT saleshub.remind()');
SELECT crm.activity_update(:'f', '{"done_at": "2026-01-01T00:00:00Z"}') ->> 'version';
SELECT pg_temp.refused(format('SELECT crm.reminder_snooze(%L, ''{"minutes": 1}'')', :'r'));
\echo -- another member's, another organisation's
RESET ROLE;
SELECT set_config('saleshub.member_id', :'bob', false) = :'bob', set_config('saleshub.member_role', 'readonly', false) = 'readonly';
SET ROLE saleshub_user;
SELECT r ->> 'minutes_before' AS minutes, r ->> 'id' AS mine FROM jsonb_array_elements(crm.reminder_list() -> 'data') r \gset
SELECT :'minutes', crm.reminder_dismiss(:'mine') -> 'state';
SELECT pg_temp.refused(format('SELECT crm.reminder_dismiss(%L)', :'r'));
SELECT saleshub.channel_authorize('list:reminder'), saleshub.channel_authorize('user:me'),
       saleshub.channel_takes('{feed,user:me}', :'bob', 'reminder', :'bob'), saleshub.channel_takes('{feed,user:me}', :'bob', 'reminder', :'ann');
RESET ROLE;
SELECT set_config('saleshub.org_id', :'other', false) = :'other', set_config('saleshub.member_id', '', false), set_config('saleshub.member_role', '', false);
SET ROLE saleshub_user;
SELECT count(*) FROM crm.reminder;
SELECT pg_temp.refused(format('SELECT crm.reminder_dismiss(%L)', :'r'));
RESET ROLE;
SELECT set_config('saleshub.org_id', :'org', false) = :'org', set_config('saleshub.member_id', :'ann', false) = :'ann', set_config('saleshub.member_role', 'admin', false) = 'admin';

\echo -- meetings, calls, e-mails
SET ROLE saleshub_user;
SELECT d ->> 'id' AS m, concat_ws(' ', d -> 'due_at', d -> 'location') AS told FROM crm.activity_create('{"type": "meeting", "subject": "Meet", "starts_at": "2083-05-01T09:00:00Z", "ends_at": "2083-05-01T10:00:00Z", "location": " Room 1 "}') d \gset
\echo :told
SELECT d -> 'starts_at', d -> 'ends_at' FROM crm.activity_update(:'m', '{"due_at": "2083-05-02T09:00:00Z"}') d;
SELECT d -> 'due_at', d -> 'ends_at' FROM crm.activity_update(:'m', '{"starts_at": "2083-05-02T09:30:00Z"}') d;
SELECT crm.activity_update(:'m', '{"recurrence": "FREQ=DAILY"}') -> 'series_no';
UPDATE crm.activity SET done_at = now() WHERE activity_id = :'m';
SELECT starts_at, ends_at, due_at, location FROM crm.activity WHERE series_id = :'m' AND series_no = 2;
SELECT d -> 'from', d -> 'to', d -> 'cc', d -> 'direction' FROM crm.activity_create('{"type": "email", "subject": "Hi", "direction": "inbound", "from": "Ada@X.example",
    "to": ["ann@remind.example", "ANN@remind.example", "bob@remind.example"], "cc": [], "message_id": "<1@x.example>"}') d;
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "email", "subject": "Hi again", "message_id": " <1@x.example>"}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject, message_id) VALUES ('email', 'Hi again', '<1@x.example>')$$);
SELECT d -> 'duration_s' FROM crm.activity_create('{"type": "call", "subject": "Ring", "direction": "outbound", "duration_s": 90}') d;
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "task", "subject": "x", "location": "here", "duration_s": 5, "direction": "inbound", "from": "a@b.example", "to": ["a@b.example"], "starts_at": "2083-01-01T00:00:00Z"}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "meeting", "subject": "x", "starts_at": "2083-01-02T00:00:00Z", "ends_at": "2083-01-01T00:00:00Z"}')$$);
SELECT pg_temp.refused($$SELECT crm.activity_create('{"type": "meeting", "subject": "x", "ends_at": "2083-01-01T00:00:00Z"}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject, email_from, email_to) VALUES ('email', 'x', 'nobody', '{a@b.example,nowhere}')$$);
SELECT pg_temp.refused($$INSERT INTO crm.activity (type, subject, priority) VALUES ('task', 'x', 'urgent')$$);
SELECT jsonb_array_length(crm.activity_list(filters => '[{"field": "from", "op": "eq", "value": "ada@x.example"}]') -> 'data');
\echo -- erased
SELECT r ->> 'erasure_id' IS NOT NULL FROM crm.subject_erase('{"email": "ada@x.example"}') r;
SELECT subject, email_from, email_to, message_id FROM crm.activity WHERE type = 'email';
RESET ROLE;
DELETE FROM crm.erasure;
