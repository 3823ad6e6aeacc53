// Signing in, staying signed in, and being signed out.
import assert from 'node:assert/strict';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const password = 'a password for tests';

const newEmail = () => `${randomUUID()}@auth.example`;

async function signUp(fields = {})
{
	const answer = await s.call('POST', '/v1/auth/sign-up',
		{ org_name: 'Auth', name: 'Ann', email: newEmail(), password, ...fields });
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
}

const signIn = (email, more = {}) =>
	s.call('POST', '/v1/auth/sign-in', { email, password, ...more });
const refresh = (refresh_token) => s.call('POST', '/v1/auth/refresh', { refresh_token });
const as = (session, method, path, body, headers) =>
	s.call(method, path, body, { authorization: `Bearer ${session.access_token}`, ...headers });
const status = async (session) => (await as(session, 'GET', '/v1/me')).status;
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

function assertProblem(answer, code, problem)
{
	assert.equal(answer.status, code, answer.text);
	assert.equal(answer.headers.get('content-type'), 'application/problem+json');
	assert.equal(answer.body.code, problem);
}

test('a sign-up makes an organisation and signs its admin in', async () => {
	const email = newEmail();
	const session = await signUp({ org_name: 'First & Sons', name: 'Ada', email: ` ${email.toUpperCase()}`.trim() });
	assert.equal(session.token_type, 'Bearer');
	assert.ok(session.expires_in > 0);
	assert.equal(session.member.email, email);
	assert.equal(session.member.role, 'admin');
	const me = await as(session, 'GET', '/v1/me');
	assert.equal(me.status, 200);
	assert.equal(me.body.org.name, 'First & Sons');
	assert.equal(me.body.id, session.member.id);
	const { iss, sub, org, sid, role, exp, iat, jti } = claims(session.access_token);
	assert.deepEqual({ iss, sub, org, role },
		{ iss: 'saleshub', sub: session.member.id, org: session.member.org_id, role: 'admin' });
	assert.equal(exp - iat, session.expires_in);
	assert.match(sid, /^[0-9a-f-]{36}$/);
	assert.match(jti, /^[0-9a-f-]{36}$/);
});

test('every fault of a sign-up is told at once', async () => {
	const answer = await s.call('POST', '/v1/auth/sign-up',
		{ name: '', email: 'nobody', password: 'short', role: 'admin' });
	assert.equal(answer.status, 422);
	assert.deepEqual(answer.body.errors.map((e) => e.pointer).sort(),
		['/email', '/name', '/org_name', '/password', '/role']);
});

test('a wrong password and an unknown address get the same answer', async () => {
	const { member } = await signUp();
	const wrong = await signIn(member.email, { password: 'not the password' });
	const unknown = await signIn(newEmail());
	assertProblem(wrong, 401, 'invalid_credentials');
	delete wrong.body.request_id;
	delete unknown.body.request_id;
	assert.deepEqual(wrong.body, unknown.body);
});

test('an unknown address takes as long as a wrong password', async () => {
	const { member } = await signUp();
	const time = async (email) => {
		const start = process.hrtime.bigint();
		await signIn(email, { password: 'not the password' });
		return Number(process.hrtime.bigint() - start) / 1e6;
	};
	await time(newEmail());
	const known = Math.min(await time(member.email), await time(member.email), await time(member.email));
	const unknown = Math.min(await time(newEmail()), await time(newEmail()), await time(newEmail()));
	assert.ok(unknown > known / 3 && unknown < known * 3, `known ${known} ms, unknown ${unknown} ms`);
});

test('after five failures the address is locked, and the right password does not open it', async () => {
	const { member } = await signUp();
	for (let i = 0; i < 5; i++)
		assertProblem(await signIn(member.email, { password: 'wrong' }), 401, 'invalid_credentials');
	const locked = await signIn(member.email);
	assertProblem(locked, 429, 'too_many_attempts');
	const after = Number(locked.headers.get('retry-after'));
	assert.ok(after > 0 && after <= 32, `Retry-After ${after}`);
	assert.equal((await signIn((await signUp()).member.email)).status, 200);

	const unknown = newEmail();
	for (let i = 0; i < 5; i++)
		assertProblem(await signIn(unknown), 401, 'invalid_credentials');
	assertProblem(await signIn(unknown), 429, 'too_many_attempts');

	await s.sql(`UPDATE saleshub.login_failure SET locked_until = now() - interval '1 second'`);
	assert.equal((await signIn(member.email)).status, 200);
	assertProblem(await signIn(member.email, { password: 'wrong' }), 401, 'invalid_credentials');
	assert.equal((await signIn(member.email)).status, 200, 'a success forgets the failures');
});

test('guesses in parallel do not get past the lock', async () => {
	const { member } = await signUp();
	const guesses = Array.from({ length: 24 }, () => signIn(member.email, { password: 'wrong' }));
	const answers = (await Promise.all(guesses)).map((a) => a.status);
	assert.ok(answers.every((code) => code === 401 || code === 429), answers.join());
	assertProblem(await signIn(member.email), 429, 'too_many_attempts');
});

test('forged and altered access tokens are refused', async () => {
	const mine = await signUp();
	const other = await signUp();
	const [header, payload, signature] = mine.access_token.split('.');
	const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
	const sign = (text, key) => createHmac('sha256', key).update(text).digest('base64url');
	const foreign = encode({ ...claims(mine.access_token), org: other.member.org_id });
	const forged = {
		'no signature': `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`,
		'algorithm none with a signature': `${encode({ alg: 'none' })}.${payload}.${signature}`,
		'another key': `${header}.${payload}.${sign(`${header}.${payload}`, randomBytes(32))}`,
		'an empty key': `${header}.${payload}.${sign(`${header}.${payload}`, '')}`,
		'another algorithm': `${encode({ alg: 'HS512', typ: 'JWT' })}.${payload}.${signature}`,
		'another organisation': `${header}.${foreign}.${signature}`,
		'a signature cut short': mine.access_token.slice(0, -1),
		'more behind it': `${mine.access_token}.x`,
		'the refresh token': mine.refresh_token,
		'nothing': '',
	};
	for (const [name, access_token] of Object.entries(forged))
		assert.equal(await status({ access_token }), 401, name);
	assert.equal(await status(mine), 200);
	const none = await s.call('GET', '/v1/me');
	assertProblem(none, 401, 'unauthenticated');
	assert.match(none.headers.get('www-authenticate'), /^Bearer/);
});

test('a refresh rotates the token, and a lost answer can be asked for again', async () => {
	const first = await signUp();
	const second = await refresh(first.refresh_token);
	assert.equal(second.status, 200);
	assert.notEqual(second.body.refresh_token, first.refresh_token);
	assert.equal(claims(second.body.access_token).sid, claims(first.access_token).sid);
	assert.deepEqual(second.body.member, first.member);
	const again = await refresh(first.refresh_token);
	assert.equal(again.body.refresh_token, second.body.refresh_token);
	const tabs = await Promise.all(Array.from({ length: 8 }, () => refresh(again.body.refresh_token)));
	assert.equal(new Set(tabs.map((t) => t.body.refresh_token)).size, 1, 'tabs agree');
	assert.equal(await status(tabs[7].body), 200);
});

test('an old refresh token used again ends the session', async () => {
	const first = await signUp();
	const second = (await refresh(first.refresh_token)).body;
	const third = (await refresh(second.refresh_token)).body;
	assertProblem(await refresh(first.refresh_token), 401, 'invalid_refresh_token');
	assertProblem(await refresh(third.refresh_token), 401, 'invalid_refresh_token');
	assert.equal(await status(third), 401);
	const [row] = await s.sql('SELECT reason FROM saleshub.session WHERE session_id = $1',
		[claims(first.access_token).sid]);
	assert.equal(row.reason, 'refresh_reused');
});

test('the previous refresh token is good for half a minute only', async () => {
	const first = await signUp();
	const second = (await refresh(first.refresh_token)).body;
	await s.sql(`UPDATE saleshub.session SET refreshed_at = refreshed_at - interval '31 seconds'
		WHERE session_id = $1`, [claims(first.access_token).sid]);
	assertProblem(await refresh(first.refresh_token), 401, 'invalid_refresh_token');
	assert.equal(await status(second), 401);
});

test('a made-up refresh token ends nobody\'s session', async () => {
	const session = await signUp();
	const guess = session.refresh_token.slice(0, 68) + randomBytes(48).toString('hex');
	assert.equal(guess.length, session.refresh_token.length);
	for (const token of [guess, 'shr_', '', 'x'.repeat(300)])
		assert.equal((await refresh(token)).status, 401);
	assert.equal(await status(session), 200);
	assert.equal((await refresh(session.refresh_token)).status, 200);
});

test('sign-out ends the session at once, also for cached answers', async () => {
	const session = await signUp();
	for (let i = 0; i < 3; i++)
		assert.equal((await as(session, 'GET', '/v1/leads')).status, 200);
	assert.equal((await as(session, 'POST', '/v1/auth/sign-out')).status, 204);
	assert.equal((await as(session, 'GET', '/v1/leads')).status, 401);
	assert.equal((await refresh(session.refresh_token)).status, 401);
	await waitFor(async () => (await s.sql(`SELECT FROM saleshub.event_log
		WHERE type = 'session.revoked' AND entity = 'session' AND entity_id = $1`,
		[claims(session.access_token).sid])).length === 1, { what: 'the event' });
});

test('sessions are listed, and one or all others ended', async () => {
	const { member, ...first } = await signUp();
	const phone = (await signIn(member.email, { device: 'phone' })).body;
	const laptop = (await signIn(member.email, { device: 'laptop' })).body;
	const list = (await as(phone, 'GET', '/v1/auth/sessions')).body.data;
	assert.equal(list.length, 3);
	assert.deepEqual(list.filter((i) => i.current).map((i) => i.device), ['phone']);
	assert.ok(list.every((i) => i.ip && i.created_at && i.expires_at));

	const id = list.find((i) => i.device === 'laptop').id;
	assert.equal((await as(phone, 'DELETE', `/v1/auth/sessions/${id}`)).status, 204);
	assert.equal((await as(phone, 'DELETE', `/v1/auth/sessions/${id}`)).status, 404);
	assert.equal(await status(laptop), 401);
	assert.equal(await status(first), 200);
	assert.equal((await as(phone, 'DELETE', '/v1/auth/sessions')).status, 204);
	assert.equal(await status(first), 401);
	assert.equal(await status(phone), 200);

	const stranger = await signUp();
	const mine = (await as(phone, 'GET', '/v1/auth/sessions')).body.data[0].id;
	assert.equal((await as(stranger, 'DELETE', `/v1/auth/sessions/${mine}`)).status, 404);
	assert.equal(await status(phone), 200);
});

test('a session ended or a member locked out by SQL is out with the next request', async () => {
	const session = await signUp();
	await s.sql(`UPDATE saleshub.session SET revoked_at = now(), reason = 'revoked'
		WHERE session_id = $1`, [claims(session.access_token).sid]);
	assert.equal(await status(session), 401);

	const other = await signUp();
	assert.equal((await as(other, 'GET', '/v1/leads')).status, 200);
	await s.sql('UPDATE crm.member SET active = false WHERE member_id = $1', [other.member.id]);
	assert.equal((await as(other, 'GET', '/v1/leads')).status, 401);
	assertProblem(await signIn(other.member.email), 401, 'invalid_credentials');
});

test('an address in several organisations says which', async () => {
	const email = newEmail();
	const one = await signUp({ org_name: `One ${email}`, email });
	const two = await signUp({ org_name: `Two ${email}`, email });
	assertProblem(await signIn(email, { password: 'wrong' }), 401, 'invalid_credentials');
	const which = await signIn(email);
	assertProblem(which, 409, 'org_required');
	assert.deepEqual(which.body.orgs.map((o) => o.id).sort(),
		[one.member.org_id, two.member.org_id].sort());
	const byId = await signIn(email, { org: two.member.org_id });
	assert.equal(byId.body.member.org_id, two.member.org_id);
	const byName = await signIn(email, { org: `one ${email}` });
	assert.equal(byName.body.member.org_id, one.member.org_id);
	assertProblem(await signIn(email, { org: randomUUID() }), 401, 'invalid_credentials');
	await as(two, 'POST', '/v1/me/password', { current_password: password, new_password: 'another password' });
	assert.equal((await signIn(email)).body.member.org_id, one.member.org_id, 'the password tells');
});

test('a new password ends the other sessions and the old password', async () => {
	const first = await signUp();
	const other = (await signIn(first.member.email)).body;
	const change = (current_password, new_password) =>
		as(first, 'POST', '/v1/me/password', { current_password, new_password });
	assertProblem(await change('wrong', 'a new password'), 422, 'wrong_password');
	assert.equal((await change(password, 'short')).body.errors[0].pointer, '/new_password');
	assert.equal((await change(password, 'пароль 密码 🔑')).status, 204);
	assert.equal(await status(first), 200);
	assert.equal(await status(other), 401);
	assertProblem(await signIn(first.member.email), 401, 'invalid_credentials');
	assert.equal((await signIn(first.member.email, { password: 'пароль 密码 🔑' })).status, 200);
	const [{ hash }] = await s.sql('SELECT hash FROM saleshub.credential WHERE member_id = $1',
		[first.member.id]);
	assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
});

test('admins administer members, others do not', async () => {
	const admin = await signUp();
	const email = newEmail();
	const made = await as(admin, 'POST', '/v1/members', { name: 'Rob', email, password });
	assert.equal(made.status, 201);
	assert.equal(made.headers.get('location'), `/v1/members/${made.body.id}`);
	assert.equal(made.body.role, 'rep');
	assertProblem(await as(admin, 'POST', '/v1/members', { name: 'Rob', email }), 409, 'email_taken');

	const rep = (await signIn(email)).body;
	assert.equal((await as(rep, 'GET', '/v1/members')).body.data.length, 2);
	assertProblem(await as(rep, 'POST', '/v1/members', { name: 'X', email: newEmail() }), 403, 'forbidden');
	assertProblem(await as(rep, 'PATCH', `/v1/members/${made.body.id}`, { role: 'admin' }), 403, 'forbidden');
	assert.equal((await as(rep, 'PATCH', '/v1/me', { role: 'admin' })).status, 422);

	const stranger = await signUp();
	assert.equal((await as(stranger, 'PATCH', `/v1/members/${made.body.id}`, { role: 'admin' })).status, 404);
	assert.equal((await as(stranger, 'GET', `/v1/members/${made.body.id}`)).status, 404);

	assertProblem(await as(admin, 'PATCH', `/v1/members/${admin.member.id}`, { role: 'rep' }), 409, 'last_admin');
	const stale = await as(admin, 'PATCH', `/v1/members/${made.body.id}`, { title: 'Boss' }, { 'if-match': '"9"' });
	assertProblem(stale, 412, 'version_mismatch');
});

test('a changed role counts from the next request on', async () => {
	const admin = await signUp();
	const email = newEmail();
	const { id } = (await as(admin, 'POST', '/v1/members', { name: 'Rob', email, password })).body;
	const rep = (await signIn(email)).body;
	const create = () => as(rep, 'POST', '/v1/leads', { last_name: 'Ito' });
	assert.equal((await create()).status, 201);
	assert.equal((await as(admin, 'PATCH', `/v1/members/${id}`, { role: 'readonly' })).status, 200);
	assertProblem(await create(), 403, 'forbidden');
	assert.equal((await as(rep, 'GET', '/v1/leads')).status, 200);
	assert.equal((await as(admin, 'PATCH', `/v1/members/${id}`, { active: false })).status, 200);
	assert.equal((await as(rep, 'GET', '/v1/leads')).status, 401);
});

test('one\'s own profile is read and changed, preferences are merged', async () => {
	const me = await signUp();
	const changed = await as(me, 'PATCH', '/v1/me',
		{ title: 'Head of Sales', timezone: 'Europe/Vienna', preferences: { dark: true, list: { size: 50 } } });
	assert.equal(changed.status, 200);
	assert.equal(changed.headers.get('etag'), `"${changed.body.version}"`);
	const merged = await as(me, 'PATCH', '/v1/me', { preferences: { dark: null, list: { sort: 'score' } } });
	assert.deepEqual(merged.body.preferences, { list: { size: 50, sort: 'score' } });
	const wrong = await as(me, 'PATCH', '/v1/me', { timezone: 'Mars/Olympus' });
	assert.equal(wrong.status, 422);
	assert.equal(wrong.body.errors[0].pointer, '/timezone');
});

test('secrets are in no log', async () => {
	const session = await signUp();
	const { readFile } = await import('node:fs/promises');
	const log = await readFile(`${s.log}/gateway.log`, 'utf8');
	for (const secret of [password, session.access_token, session.refresh_token, session.member.email])
		assert.ok(!log.includes(secret));
});
