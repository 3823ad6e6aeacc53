-- Sign-in and sessions as the gateway sees them, and what members may do with both.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
\set hash '$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB'

-- A sign-up: organisation, admin, credential, session.
SET ROLE saleshub_gateway;
SELECT r->>'session_id' AS sid, r->>'refresh_token' AS token, r#>>'{member,org_id}' AS org,
       r#>>'{member,id}' AS ann, r#>>'{member,email}' AS email, r#>>'{member,role}' AS role
  FROM saleshub.sign_up('Acme', 'Ann', 'Ann@Acme.example', :'hash', '192.0.2.1', 'regress', 'desk', 3600) r \gset
\echo :email :role
SELECT c->>'org_name' AS org_name, c->>'hash' = :'hash' AS own_hash
  FROM jsonb_array_elements(saleshub.sign_in_lookup(' ANN@acme.example ', NULL)) c;
SELECT jsonb_array_length(saleshub.sign_in_lookup('ann@acme.example', 'ACME')) AS by_name,
       jsonb_array_length(saleshub.sign_in_lookup('ann@acme.example', :'org')) AS by_id,
       jsonb_array_length(saleshub.sign_in_lookup('ann@acme.example', 'Other')) AS other,
       jsonb_array_length(saleshub.sign_in_lookup('nobody@acme.example', NULL)) AS nobody;
RESET ROLE;
SELECT count(*) AS sessions_with_a_token_in_them FROM saleshub.session s
 WHERE encode(s.refresh_hash, 'hex') = right(:'token', 64) OR s::text LIKE '%' || right(:'token', 64) || '%';

-- Rotation: the previous token gives the current one again, for half a minute.
SET ROLE saleshub_gateway;
SELECT saleshub.session_refresh(:'token', '192.0.2.2', 'regress', 3600)->>'refresh_token' AS second \gset
SELECT saleshub.session_refresh(:'token', '192.0.2.2', 'regress', 3600)->>'refresh_token' = :'second' AS again,
       :'second' <> :'token' AS rotated;
SELECT saleshub.session_refresh(:'second', '192.0.2.2', 'regress', 3600)->>'refresh_token' AS third \gset
-- Nobody who knows only the session's id can end it.
SELECT saleshub.session_refresh(left(:'token', 68) || repeat('0', 96), NULL, NULL, 3600) IS NULL AS refused,
       saleshub.session_refresh('nonsense', NULL, NULL, 3600) IS NULL AS nonsense;
SELECT member_role FROM saleshub.ctx(:'org', :'sid', 'r', true, 1000, false);
-- The first token is two rotations old: whoever uses it, the session is over.
SELECT saleshub.session_refresh(:'token', NULL, NULL, 3600) IS NULL AS reused;
SELECT saleshub.session_refresh(:'third', NULL, NULL, 3600) IS NULL AS ended;
SELECT saleshub.ctx(:'org', :'sid', 'r', true, 1000, false);
RESET ROLE;
SELECT reason, ip FROM saleshub.session;
SELECT type, entity, entity_id = :'sid' AS ours, data->>'member_id' = :'ann' AS ann
  FROM (SELECT * FROM saleshub.event_log UNION ALL SELECT org_id, outbox_id, type, entity, entity_id, version, changed, actor_id, request_id, at, data FROM saleshub.outbox) e
 WHERE entity = 'session';

-- Five failures lock an address, known or not, also against the right password.
SET ROLE saleshub_gateway;
SELECT array_agg(saleshub.sign_in_failed('ann@acme.example')) AS seconds FROM generate_series(1, 12);
SELECT array_agg(saleshub.sign_in_failed('nobody@acme.example')) AS seconds FROM generate_series(1, 5);
SELECT saleshub.sign_in_lookup('ann@acme.example', NULL);
SELECT saleshub.session_open(:'org', :'ann', NULL, NULL, NULL, 60);
RESET ROLE;
SELECT saleshub.set_password('ann@acme.example', 'secret');
SELECT saleshub.set_password('nobody@acme.example', :'hash');
SELECT saleshub.set_password('ann@acme.example', :'hash') AS members;
SET ROLE saleshub_gateway;
SELECT saleshub.session_open(:'org', :'ann', NULL, NULL, 'desk', 60)->>'session_id' AS desk \gset
SELECT saleshub.session_open(:'org', :'ann', NULL, NULL, 'phone', 60)->>'session_id' AS phone \gset
SELECT saleshub.session_open(:'org', :'ann', NULL, NULL, 'old', 0)->>'session_id' AS old \gset

-- A member sees its own sessions and ends them; nothing of the machinery is open to it.
BEGIN;
SELECT member_role FROM saleshub.ctx(:'org', :'desk', 'r', false, 1000, false);
SELECT s->>'device' AS device, s->>'current' AS current FROM jsonb_array_elements(crm.session_list()->'data') s ORDER BY 1;
SAVEPOINT s;
SELECT * FROM saleshub.session;
ROLLBACK TO s;
SELECT * FROM saleshub.credential;
ROLLBACK TO s;
SELECT saleshub.sign_in_lookup('ann@acme.example');
ROLLBACK TO s;
SELECT saleshub.credential_set(:'org', :'ann', :'hash');
ROLLBACK TO s;
SELECT saleshub.password_change(:'org', :'desk', :'hash');
ROLLBACK TO s;
SELECT crm.session_delete(crm.uuid_v7());
ROLLBACK TO s;
SELECT crm.session_delete(:'phone');
SELECT crm.sign_out();
COMMIT;
SELECT saleshub.ctx(:'org', :'desk', 'r', true, 1000, false);
SELECT saleshub.ctx(:'org', :'old', 'r', true, 1000, false);
RESET ROLE;
SELECT device, reason FROM saleshub.session WHERE device IS NOT NULL ORDER BY created_at, device;

-- Members: an admin administers them, and one admin stays.
SET saleshub.org_id = :'org';
SET saleshub.member_id = :'ann';
SET saleshub.member_role = 'admin';
SET ROLE saleshub_user;
SELECT crm.member_create('{"name": " Bob ", "email": "BOB@acme.example"}')->>'id' AS bob \gset
SELECT m->>'name' AS name, m->>'email' AS email, m->>'role' AS role FROM crm.member_get(:'bob') m;
SELECT crm.member_create('{"name": "Bob", "email": "bob@acme.example"}');
SELECT crm.member_create('{"name": "Bob", "email": "bob", "role": "king"}');
SELECT crm.member_update(:'ann', '{"role": "rep"}');
SELECT crm.member_update(:'ann', '{"active": false}');
SELECT crm.member_update(:'bob', '{"role": "admin"}', '1')->>'role' AS role;
SELECT crm.member_update(:'bob', '{"title": "x"}', '1');
SELECT crm.member_update(:'ann', '{"role": "rep"}')->>'role' AS role;
SELECT crm.me_update('{"timezone": "Mars"}');
SELECT crm.me_update('{"timezone": "Europe/Vienna", "preferences": {"a": {"b": 1}}}')->'preferences' AS preferences;
SELECT crm.me_update('{"preferences": {"a": {"b": null, "c": 2}}}')->'preferences' AS preferences;
SELECT jsonb_array_length(p->'data') AS first_page, crm.member_list(1, p->>'next_cursor')->'data'->0->>'name' AS second
  FROM crm.member_list(1) p;
-- What the setting says counts, not the row: a rep administers nobody.
RESET ROLE;
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT crm.member_create('{"name": "Eve", "email": "eve@acme.example"}');
SELECT crm.member_update(:'bob', '{"active": false}');
SELECT saleshub.member_invite('{"name": "Eve", "email": "eve@acme.example"}', NULL);
SELECT saleshub.member_apply(:'org', :'bob', '{"active": false}', NULL);
SELECT saleshub.member_apply(:'org', :'ann', '{"role": "admin"}', NULL);
RESET ROLE;
RESET saleshub.member_role;
RESET saleshub.member_id;
RESET saleshub.org_id;

-- Whoever deactivates a member, its sessions end in the same commit.
SET ROLE saleshub_gateway;
SELECT saleshub.session_open(:'org', :'ann', NULL, NULL, 'last', 3600)->>'session_id' AS last \gset
RESET ROLE;
UPDATE crm.member SET active = false WHERE member_id = :'ann';
SELECT reason FROM saleshub.session WHERE session_id = :'last';
SET ROLE saleshub_gateway;
SELECT saleshub.session_open(:'org', :'ann', NULL, NULL, NULL, 60);
SELECT jsonb_array_length(saleshub.sign_in_lookup('ann@acme.example')) AS candidates;
RESET ROLE;
-- A changed address is the one to sign in with.
UPDATE crm.member SET email = 'Robert@acme.example' WHERE member_id = :'bob';
SELECT saleshub.set_password('robert@acme.example', :'hash') AS members;
SELECT saleshub.set_password('bob@acme.example', :'hash');
