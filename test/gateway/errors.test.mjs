// What a wrong request is told: a 4xx that names the place of every fault, never a 5xx.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const me = await newOrganisation(s, 'Errors Ltd');
const lead = (await me.api('POST', '/v1/leads', { last_name: 'Target' })).body;

/* The answer is a problem of this status; the places it names are returned. */
async function refused(status, method, path, body, headers, session = me)
{
	const answer = await (session ? session.api(method, path, body, headers)
		: s.call(method, path, body, headers));
	const told = `${method} ${path} ${JSON.stringify(body)?.slice(0, 200)}: ${answer.status} ${answer.text.slice(0, 500)}`;
	assert.equal(answer.status, status, told);
	assert.match(answer.headers.get('content-type'), /^application\/problem\+json/, told);
	assert.equal(answer.body.status, status, told);
	assert.ok(answer.body.title && answer.body.code && answer.body.type, told);
	assert.equal(answer.body.request_id, answer.headers.get('x-request-id'), told);
	for (const fault of answer.body.errors ?? [])
	{
		assert.ok(('pointer' in fault) !== ('parameter' in fault), told);
		assert.ok(fault.code && fault.detail, told);
	}
	return Object.assign(answer, {
		places: (answer.body.errors ?? []).map((fault) => fault.pointer ?? fault.parameter).sort(),
		told,
	});
}

const json = { 'content-type': 'application/json' };

test('malformed JSON is 400', async () =>
{
	for (const text of ['{', '{"a":}', '{"last_name":"x"} trailing', "{'a':1}", '[1,2', '\u0000',
		'{"last_name":"\\ud800"}', '{"last_name":"a\u0000b"}', 'NaN', '{"a":01}', '{"a":1e}'])
		await refused(400, 'POST', '/v1/leads', text, json);
	await refused(400, 'POST', '/v1/leads', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), json);
	await refused(400, 'PATCH', `/v1/leads/${lead.id}`, '{"a"', json);
});

test('a NUL in a string never reaches the database', async () =>
{
	const answer = await me.api('POST', '/v1/leads', '{"last_name":"a\\u0000b"}', json);
	assert.ok([400, 422].includes(answer.status), answer.text);
});

test('JSON that is not an object is refused', async () =>
{
	for (const text of ['[]', '"text"', '1', 'null', 'true'])
	{
		const answer = await me.api('POST', '/v1/leads', text, json);
		assert.ok([400, 422].includes(answer.status), `${text}: ${answer.status} ${answer.text}`);
	}
});

test('a member given twice is refused, not guessed', async () =>
{
	const answer = await me.api('POST', '/v1/leads', '{"last_name":"a","last_name":"b"}', json);
	assert.equal(answer.status, 400, answer.text);
});

test('all faults of a body at once, each with its pointer', async () =>
{
	const answer = await refused(422, 'POST', '/v1/leads', {
		last_name: 7, email: 'not an address', employees: 'many', status: 'sleeping',
		owner_id: 'nobody', tags: ['fine', 5], consent: { email: 'yes', fax: true },
		annual_revenue: { amount: 'lots', currency: 'EUR' }, colour: 'red', custom: [],
	});
	for (const place of ['/last_name', '/email', '/employees', '/status', '/owner_id', '/tags/1',
		'/consent/email', '/consent/fax', '/colour', '/custom'])
		assert.ok(answer.places.includes(place), `${place} in ${answer.told}`);
	assert.ok(answer.places.some((place) => place.startsWith('/annual_revenue')), answer.told);
});

test('unknown and read-only members are named', async () =>
{
	for (const member of ['id', 'org_id', 'version', 'score', 'created_at', 'nonsense', '__proto__',
		'a/b~c'])
	{
		const body = `{"last_name":"x",${JSON.stringify(member)}:1}`;
		const answer = await refused(422, 'POST', '/v1/leads', body, json);
		const pointer = `/${member.replaceAll('~', '~0').replaceAll('/', '~1')}`;
		assert.deepEqual(answer.places, [pointer], answer.told);
	}
});

test('what is missing is named', async () =>
{
	assert.ok((await refused(422, 'POST', '/v1/leads', {})).places.length > 0);
	assert.deepEqual((await refused(422, 'POST', '/v1/companies', '', json)).places, ['']);
	assert.deepEqual((await refused(422, 'POST', '/v1/companies', {})).places, ['/name']);
	assert.deepEqual((await refused(422, 'POST', '/v1/deals', {})).places, ['/name']);
	assert.ok((await refused(422, 'POST', '/v1/activities', {})).places.includes('/type'));
	assert.ok((await refused(422, 'POST', '/v1/auth/sign-in', {}, {}, null)).places.includes('/email'));
});

test('wrong values: too long, out of range, bad dates, bad currency', async () =>
{
	const cases = [
		['leads', { last_name: 'x'.repeat(5000) }, '/last_name'],
		['leads', { last_name: 'x', employees: -1 }, '/employees'],
		['leads', { last_name: 'x', employees: 1.5 }, '/employees'],
		['leads', { last_name: 'x', employees: 1e300 }, '/employees'],
		['deals', { name: 'x', close_date: '2026-02-30' }, '/close_date'],
		['deals', { name: 'x', close_date: 'tomorrow' }, '/close_date'],
		['deals', { name: 'x', probability: 101 }, '/probability'],
		['activities', { type: 'task', subject: 'x', due_at: '2026-13-01T00:00:00Z' }, '/due_at'],
		['activities', { type: 'dance', subject: 'x' }, '/type'],
		['activities', { type: 'note', subject: 'x', links: [{ type: 'lead' }] }, '/links/0/id'],
	];
	for (const [path, body, place] of cases)
	{
		const answer = await refused(422, 'POST', `/v1/${path}`, body);
		assert.ok(answer.places.includes(place), `${place} in ${answer.told}`);
	}
	const money = await refused(422, 'POST', '/v1/deals', { name: 'x', amount: { amount: '1', currency: 'XXQ' } });
	assert.ok(money.places.every((place) => /^\/(amount|currency)/.test(place)), money.told);
});

test('a link to something that does not exist is 422, with its pointer', async () =>
{
	for (const [path, body, place] of [
		['contacts', { last_name: 'x', company_id: randomUUID() }, '/company_id'],
		['deals', { name: 'x', contact_id: randomUUID() }, '/contact_id'],
		['deals', { name: 'x', stage_id: randomUUID() }, '/stage_id'],
		['leads', { last_name: 'x', owner_id: randomUUID() }, '/owner_id'],
	])
	{
		const answer = await refused(422, 'POST', `/v1/${path}`, body);
		assert.ok(answer.places.includes(place), `${place} in ${answer.told}`);
	}
	await refused(422, 'POST', '/v1/activities',
		{ type: 'note', subject: 'x', links: [{ type: 'lead', id: randomUUID() }] });
});

test('large and deep bodies', async () =>
{
	await refused(413, 'POST', '/v1/leads', JSON.stringify({ last_name: 'x'.repeat(3 << 20) }), json);
	for (const depth of [65, 1000, 100000])
	{
		const text = `{"last_name":"x","custom":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
		await refused(400, 'POST', '/v1/leads', text, json);
		await refused(400, 'POST', '/v1/leads', '['.repeat(depth), json);
		await refused(400, 'POST', '/v1/leads', `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`, json);
	}
	const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`k${i}`, i]));
	const answer = await me.api('POST', '/v1/leads', wide);
	assert.equal(answer.status, 422, answer.text.slice(0, 200));
});

test('content types', async () =>
{
	for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'nonsense'])
		await refused(415, 'POST', '/v1/leads', '{"last_name":"x"}', { 'content-type': type });
	const good = await me.api('POST', '/v1/leads', '{"last_name":"x"}',
		{ 'content-type': 'Application/JSON; charset=utf-8' });
	assert.equal(good.status, 201, good.text);
	const merge = await me.api('PATCH', `/v1/leads/${lead.id}`, '{"city":"Bonn"}',
		{ 'content-type': 'application/merge-patch+json' });
	assert.equal(merge.status, 200, merge.text);
});

test('ids', async () =>
{
	for (const id of ['7', 'x', '%00', '..', randomUUID().slice(1), `${randomUUID()}0`, "';--"])
	{
		const answer = await me.api('GET', `/v1/leads/${encodeURIComponent(id)}`);
		assert.ok([400, 404].includes(answer.status), `${id}: ${answer.status} ${answer.text}`);
	}
	await refused(404, 'GET', `/v1/leads/${randomUUID()}`);
	await refused(404, 'PATCH', `/v1/leads/${randomUUID()}`, { city: 'x' });
	await refused(404, 'DELETE', `/v1/leads/${randomUUID()}`);
	await refused(404, 'POST', `/v1/leads/${randomUUID()}/convert`, {});
	await refused(404, 'GET', `/v1/leads/${randomUUID()}/score`);
});

test('query parameters: every fault at once, by name', async () =>
{
	const answer = await refused(400, 'GET', '/v1/leads?limit=abc&status=sleeping&nonsense=1&employees[gte]=many');
	assert.deepEqual(answer.places.map((place) => place.replace(/\[.*/, '')),
		['employees', 'limit', 'nonsense', 'status'], answer.told);
	for (const [query, place] of [
		['limit=0', 'limit'], ['limit=201', 'limit'], ['limit=-1', 'limit'], ['limit=', 'limit'],
		['limit=99999999999999999999', 'limit'], ['limit=1&limit=2', 'limit'],
		['cursor=garbage', 'cursor'], ['cursor=%FF', 'cursor'], ['sort=nonsense', 'sort'],
		['sort=email;drop', 'sort'], ['fields=secret', 'fields'], ['include=nonsense', 'include'],
		['created_at[lt]=someday', 'created_at'], ['owner_id=we', 'owner_id'],
		['employees[like]=1', 'employees'], ['score[gte', 'score'],
	])
	{
		const { places, told } = await refused(400, 'GET', `/v1/leads?${query}`);
		assert.equal(places.length, 1, told);
		assert.ok(places[0].startsWith(place), told);
	}
	for (const query of ['from=yesterday', 'tz=Mars/Olympus', 'from=2026-02-30', 'bucket=eon', 'x=1',
		'from=2026-02-01&to=2026-01-01'])
		assert.equal((await refused(400, 'GET', `/v1/dashboard?${query}`)).places.length, 1);
});

test('a cursor of another list, another order or another organisation is refused', async () =>
{
	for (let i = 0; i < 3; i++)
		await me.api('POST', '/v1/companies', { name: `Cursor ${i}` });
	const { next_cursor } = (await me.api('GET', '/v1/companies?limit=1&sort=name')).body;
	const cursor = encodeURIComponent(next_cursor);
	await refused(400, 'GET', `/v1/companies?limit=1&sort=-name&cursor=${cursor}`);
	await refused(400, 'GET', `/v1/leads?limit=1&cursor=${cursor}`);
});

test('routes and methods', async () =>
{
	for (const path of ['/v1/nonsense', '/v1', '/v2/leads', '/v1/leads/', '/v1//leads', '/v1/LEADS'])
		await refused(404, 'GET', path);
	const answer = await refused(405, 'PUT', '/v1/leads', {});
	const allowed = answer.headers.get('allow').split(/, */);
	assert.ok(allowed.includes('GET') && allowed.includes('POST'), String(allowed));
	assert.match((await refused(405, 'POST', `/v1/leads/${lead.id}`, {})).headers.get('allow'), /PATCH/);
});

test('If-Match and Prefer', async () =>
{
	for (const value of ['nonsense', '"x"', '"0"', 'W/"1"', '"1'])
	{
		const answer = await me.api('PATCH', `/v1/leads/${lead.id}`, { city: 'x' }, { 'if-match': value });
		assert.ok([400, 412].includes(answer.status), `${value}: ${answer.status} ${answer.text}`);
	}
});

test('no token, a broken one, a forged one, an old one', async () =>
{
	const [head, body, signature] = me.access_token.split('.');
	const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));
	const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
	const sign = (text, key) => createHmac('sha256', key).update(text).digest('base64url');
	const claims = decode(body);
	const forged = `${head}.${encode({ ...claims, sub: randomUUID() })}`;
	const tokens = {
		none: undefined,
		empty: 'Bearer ',
		basic: 'Basic YTpi',
		garbage: 'Bearer x.y.z',
		'other claims, same signature': `Bearer ${forged}.${signature}`,
		'other key': `Bearer ${forged}.${sign(forged, 'guess')}`,
		'no algorithm': `Bearer ${encode({ alg: 'none', typ: 'JWT' })}.${body}.`,
		'cut short': `Bearer ${me.access_token.slice(0, -2)}`,
		'very long': `Bearer ${'a'.repeat(8000)}`,
	};
	for (const [name, authorization] of Object.entries(tokens))
	{
		const answer = await s.call('GET', '/v1/leads', undefined, authorization ? { authorization } : {});
		assert.equal(answer.status, 401, `${name}: ${answer.text}`);
		assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/, name);
		assert.match(answer.headers.get('content-type'), /problem\+json/, name);
	}
	const wrong = await refused(401, 'POST', '/v1/auth/sign-in',
		{ email: me.email, password: 'wrong password' }, {}, null);
	assert.equal(wrong.body.code, 'invalid_credentials');
	const nobody = await refused(401, 'POST', '/v1/auth/sign-in',
		{ email: 'nobody@nowhere.example', password: 'wrong password' }, {}, null);
	assert.equal(nobody.body.code, 'invalid_credentials');
	assert.equal(nobody.body.detail, wrong.body.detail, 'it does not tell who exists');
});

test('a session that ended is refused at once, also for cached answers', async () =>
{
	const other = await s.signIn(me.email, me.password);
	for (let i = 0; i < 2; i++)
		assert.equal((await other.api('GET', '/v1/dashboard')).status, 200);
	assert.equal((await other.api('POST', '/v1/auth/sign-out')).status, 204);
	await refused(401, 'GET', '/v1/dashboard', undefined, {}, other);
	await refused(401, 'POST', '/v1/auth/refresh', { refresh_token: other.refresh_token }, {}, null);
	assert.equal((await me.api('GET', '/v1/dashboard')).status, 200);
});

test('errors leak nothing of the inside', async () =>
{
	const answers = [
		await me.api('POST', '/v1/deals', { name: 'x', stage_id: randomUUID() }),
		await me.api('GET', "/v1/leads?sort=last_name'"),
		await me.api('POST', '/v1/leads', '{', json),
	];
	for (const { text } of answers)
		assert.doesNotMatch(text, /SELECT |INSERT |plpgsql|CONTEXT|saleshub\.|\.c:\d|pg_/i);
});

test('none of this harmed anything', async () =>
{
	assert.equal((await me.api('GET', `/v1/leads/${lead.id}`)).status, 200);
	const health = await s.call('GET', '/v1/health');
	assert.equal(health.status, 200);
	assert.equal(health.body.status, 'ok');
});
