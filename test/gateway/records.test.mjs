// The six records by HTTP: every verb, entity tags, faults with pointers, lists, and their cache.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';

const s = await stack();

async function newOrganisation()
{
	const answer = await s.call('POST', '/v1/auth/sign-up', {
		org_name: 'Records', name: 'Ann', email: `${randomUUID()}@records.example`,
		password: 'a password for tests',
	});
	assert.equal(answer.status, 201, answer.text);
	const { access_token, member } = answer.body;
	const api = (method, path, body, headers) =>
		s.call(method, path, body, { authorization: `Bearer ${access_token}`, ...headers });
	return { api, member };
}

const ours = await newOrganisation();
const theirs = await newOrganisation();

async function made(path, body, who = ours)
{
	const answer = await who.api('POST', path, body);
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
}

const nouns = [
	['leads', { last_name: 'Hopper' }, { title: 'Admiral' }],
	['contacts', { name: 'Ada King' }, { title: 'Countess' }],
	['companies', { name: 'Analytical Engines' }, { city: 'London' }],
	['deals', { name: 'One engine' }, { product: 'Engine' }],
	['activities', { type: 'call', subject: 'Hello' }, { outcome: 'reached' }],
	['products', { name: 'Punched cards', price: '0.25' }, { sku: 'PC-1' }],
];

for (const [plural, body, patch] of nouns)
{
	test(`${plural}: made, read, changed, deleted, restored`, async () => {
		const create = await ours.api('POST', `/v1/${plural}`, body);
		assert.equal(create.status, 201, create.text);
		const { id } = create.body;
		const path = `/v1/${plural}/${id}`;
		assert.equal(create.headers.get('location'), path);
		assert.equal(create.headers.get('etag'), '"1"');
		assert.match(create.body.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);

		const read = await ours.api('GET', path);
		assert.equal(read.status, 200);
		assert.deepEqual(read.body, create.body);
		assert.equal(read.headers.get('etag'), '"1"');
		const unchanged = await ours.api('GET', path, undefined, { 'if-none-match': '"1"' });
		assert.equal(unchanged.status, 304);
		assert.equal(unchanged.text, '');

		const stale = await ours.api('PATCH', path, patch, { 'if-match': '"7"' });
		assert.equal(stale.status, 412, stale.text);
		assert.equal(stale.body.code, 'version_mismatch');
		const changed = await ours.api('PATCH', path, patch, { 'if-match': '"1"' });
		assert.equal(changed.status, 200, changed.text);
		assert.equal(changed.headers.get('etag'), '"2"');
		const [[field, value]] = Object.entries(patch);
		assert.equal(changed.body[field], value);
		assert.deepEqual((await ours.api('GET', path)).body, changed.body);

		assert.equal((await ours.api('DELETE', path, undefined, { 'if-match': '"1"' })).status, 412);
		assert.equal((await ours.api('DELETE', path)).status, 204);
		assert.equal((await ours.api('GET', path)).status, 404);
		assert.equal((await ours.api('DELETE', path)).status, 404);
		const list = await ours.api('GET', `/v1/${plural}?limit=200`);
		assert.ok(!list.body.data.some((row) => row.id === id));
		const restored = await ours.api('POST', `${path}/restore`);
		assert.equal(restored.status, 200, restored.text);
		assert.equal((await ours.api('GET', path)).body.version, 4);

		const history = await ours.api('GET', `${path}/history`);
		assert.deepEqual(history.body.data.map((entry) => entry.version), [4, 3, 2, 1]);
		assert.deepEqual(history.body.data[2].changed[field], { old: null, new: value });
		assert.equal(history.body.data[2].actor_id, ours.member.id);
		const timeline = await ours.api('GET', `${path}/timeline`);
		assert.deepEqual(timeline.body.data.map((entry) => entry.kind), ['restored', 'deleted', 'created']);
	});

	test(`${plural}: another organisation sees and touches nothing`, async () => {
		const { id } = await made(`/v1/${plural}`, body, theirs);
		const path = `/v1/${plural}/${id}`;
		for (const [method, to, content] of [
			['GET', path], ['PATCH', path, patch], ['DELETE', path], ['POST', `${path}/restore`],
			['GET', `${path}/history`], ['GET', `${path}/timeline`]])
		{
			const answer = await ours.api(method, to, content);
			assert.equal(answer.status, 404, `${method} ${to}: ${answer.text}`);
		}
		assert.equal((await theirs.api('GET', path)).body.version, 1);
	});

	test(`${plural}: every fault of a body at once, with its pointer`, async () => {
		const answer = await ours.api('POST', `/v1/${plural}`, { owner_id: 'me', custom: 3, nope: 1 });
		assert.equal(answer.status, 422, answer.text);
		assert.equal(answer.headers.get('content-type'), 'application/problem+json');
		const pointers = answer.body.errors.map((error) => error.pointer);
		for (const pointer of ['/owner_id', '/custom', '/nope'])
			assert.ok(pointers.includes(pointer), `${pointer} in ${pointers}`);
		const missing = await ours.api('PATCH', `/v1/${plural}/${randomUUID()}`, patch);
		assert.equal(missing.status, 404);
	});
}

test('what the gateway cannot know is told by the database, in the same form', async () => {
	const answer = await ours.api('POST', '/v1/deals', {
		name: 'Nowhere', company_id: randomUUID(), contact_id: randomUUID(), stage_id: randomUUID(),
	});
	assert.equal(answer.status, 422, answer.text);
	assert.equal(answer.body.code, 'invalid_body');
	assert.deepEqual(answer.body.errors.map((error) => error.pointer).sort(),
		['/company_id', '/contact_id', '/stage_id']);
	const lead = await ours.api('POST', '/v1/leads', { first_name: 'X', phone: 'call me' });
	assert.equal(lead.status, 422);
	assert.deepEqual(lead.body.errors.map((error) => error.pointer).sort(), ['/last_name', '/phone']);
});

test('values that would break a naive server are refused with 4xx', async () => {
	const bodies = [
		'{"last_name":"a\\u0000b"}', '{"last_name":"x","employees":1e400}', '{"last_name":"x","employees":5.5}',
		'{"last_name":"x","annual_revenue":1e100}', '{"last_name":"x","annual_revenue":"NaN"}',
		'{"last_name":"x","annual_revenue":{"amount":"1e9"}}', '{"last_name":"x","tags":[null]}',
		'{"last_name":"x","status":"converted"}', '{"last_name":"x","score":100}', 'null', '[]', '3', '{',
		`{"last_name":"${'x'.repeat(101)}"}`];
	for (const body of bodies)
	{
		const answer = await ours.api('POST', '/v1/leads', body, { 'content-type': 'application/json' });
		assert.ok(answer.status === 400 || answer.status === 422, `${body}: ${answer.status} ${answer.text}`);
	}
});

test('money keeps every digit', async () => {
	for (const [amount, told] of [[0.1, '0.10'], [1234567.89, '1234567.89'], ['999999999999.99', '999999999999.99'],
		[{ amount: '12.345', currency: 'USD' }, '12.345'], [5, '5.00']])
	{
		const deal = await made('/v1/deals', { name: 'Money', amount });
		assert.deepEqual(deal.amount, { amount: told, currency: 'USD' });
	}
	const unknown = await ours.api('POST', '/v1/deals',
		{ name: 'Money', amount: { amount: 1, currency: 'EUR' } });
	assert.equal(unknown.status, 422);
	assert.equal(unknown.body.code, 'no_exchange_rate');
});

test('a deal moves through its pipeline', async () => {
	const pipelines = await ours.api('GET', '/v1/pipelines');
	const [sales] = pipelines.body.data;
	assert.deepEqual(sales.stages.map((stage) => stage.kind), ['open', 'open', 'won', 'lost']);
	const deal = await made('/v1/deals', { name: 'Mover', amount: '100' });
	assert.equal(deal.stage_id, sales.stages[0].id);
	assert.equal(deal.status, 'open');
	const won = await ours.api('POST', `/v1/deals/${deal.id}/stage`, { stage_id: sales.stages[2].id });
	assert.equal(won.status, 200, won.text);
	assert.equal(won.body.status, 'won');
	assert.equal(won.body.probability, 100);
	assert.ok(won.body.closed_at);
	assert.equal(won.headers.get('etag'), '"2"');
	const again = await ours.api('POST', `/v1/deals/${deal.id}/stage`, { stage_id: sales.stages[1].id },
		{ 'if-match': '"1"' });
	assert.equal(again.status, 412);
	assert.equal((await ours.api('POST', `/v1/deals/${deal.id}/stage`, {})).status, 422);
});

test('an activity shows on what it is about', async () => {
	const lead = await made('/v1/leads', { last_name: 'Linked' });
	const deal = await made('/v1/deals', { name: 'Linked' });
	const links = [{ type: 'lead', id: lead.id }, { type: 'deal', id: deal.id }];
	const activity = await made('/v1/activities', { type: 'meeting', subject: 'Both', links });
	assert.equal(activity.links.length, 2);
	for (const [plural, { id }] of [['leads', lead], ['deals', deal]])
	{
		const timeline = await ours.api('GET', `/v1/${plural}/${id}/timeline`);
		assert.equal(timeline.body.data.filter((e) => e.kind === 'activity' && e.activity.id === activity.id).length, 1);
	}
	const found = await ours.api('GET', `/v1/activities?deal_id=${deal.id}`);
	assert.deepEqual(found.body.data.map((row) => row.id), [activity.id]);
	const secret = await made('/v1/leads', { last_name: 'Secret' }, theirs);
	const refused = await ours.api('PATCH', `/v1/activities/${activity.id}`,
		{ links: [...links, { type: 'lead', id: secret.id }] });
	assert.equal(refused.status, 422, refused.text);
	assert.deepEqual(refused.body.errors.map((error) => error.pointer), ['/links/2/id']);
});

test('a list is walked by its cursor, filtered, sorted, counted', async () => {
	const fresh = await newOrganisation();
	for (let i = 0; i < 12; i++)
		await made('/v1/companies', {
			name: `C${i % 5}`, employees: i % 4 ? i : null, tags: i % 2 ? ['odd'] : [],
		}, fresh);
	const seen = [];
	let cursor = '';
	do
	{
		const page = await fresh.api('GET',
			`/v1/companies?limit=5&sort=-employees,name&fields=name,employees${cursor && `&cursor=${cursor}`}`);
		assert.equal(page.status, 200, page.text);
		seen.push(...page.body.data);
		cursor = page.body.next_cursor;
	} while (cursor);
	assert.deepEqual(seen.map((row) => row.employees), [11, 10, 9, 7, 6, 5, 3, 2, 1, null, null, null]);
	assert.equal(new Set(seen.map((row) => row.id)).size, 12);

	const count = async (query) => {
		const answer = await fresh.api('GET', `/v1/companies?limit=1&${query}`, undefined, { prefer: 'count=exact' });
		assert.equal(answer.status, 200, answer.text);
		return answer.body.total;
	};
	assert.equal(await count('employees[gte]=5'), 6);
	assert.equal(await count('employees[gte]=5&employees[lt]=10&tags=odd'), 3);
	assert.equal(await count('name=C1,C2'), 5);
	assert.equal(await count('owner_id=null'), 12);
	assert.equal(await count('created_at[lt]=2020-01-01'), 0);
	assert.ok(!('total' in (await fresh.api('GET', '/v1/companies')).body));

	for (const [query, parameter] of [['limit=201', 'limit'], ['sort=nope', 'sort'], ['fields=nope', 'fields'],
		['include=nope', 'include'], ['cursor=nope', 'cursor'], ['nope=1', 'nope'], ['employees[gte]=x', 'employees[gte]'],
		['owner_id=we', 'owner_id'], ['created_at[lt]=someday', 'created_at[lt]']])
	{
		const answer = await fresh.api('GET', `/v1/companies?${query}`);
		assert.equal(answer.status, 400, `${query}: ${answer.text}`);
		assert.deepEqual(answer.body.errors.map((error) => error.parameter), [parameter]);
	}
});

test('a cached list is new after every write, by whatever way it came', async () => {
	const names = async () => {
		const answer = await ours.api('GET', '/v1/contacts?fields=last_name&sort=created_at&limit=200');
		assert.equal(answer.status, 200);
		return answer.body.data.map((row) => row.last_name);
	};
	for (let i = 0; i < 5; i++)
	{
		await names();
		const { id } = await made('/v1/contacts', { last_name: `Http ${i}` });
		assert.equal((await names()).at(-1), `Http ${i}`);
		await s.sql('UPDATE crm.contact SET last_name = $1 WHERE contact_id = $2', [`Sql ${i}`, id]);
		assert.equal((await names()).at(-1), `Sql ${i}`);
	}
});

test('who may only read is forbidden to write', async () => {
	const reader = await s.newMember('readonly', { org_id: ours.member.org_id });
	const lead = await made('/v1/leads', { last_name: 'Read' });
	assert.equal((await reader.api('GET', `/v1/leads/${lead.id}`)).status, 200);
	for (const [method, path, body] of [['POST', '/v1/leads', { last_name: 'x' }], ['PATCH', `/v1/leads/${lead.id}`, {}],
		['DELETE', `/v1/leads/${lead.id}`], ['POST', `/v1/leads/${lead.id}/restore`]])
	{
		const answer = await reader.api(method, path, body);
		assert.equal(answer.status, 403, `${method}: ${answer.text}`);
		assert.equal(answer.body.code, 'forbidden');
	}
});
