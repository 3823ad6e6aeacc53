// Saved filters over HTTP: saved, shared, applied to lists that are cached, counted, used as segments.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Filters and Sons');

/* A signed-in member of the organisation. */
async function member(role)
{
	const email = `${randomUUID()}@member.example`;
	const password = 'correct horse battery staple';
	const made = await admin.api('POST', '/v1/members', { name: role, email, role, password });
	assert.equal(made.status, 201, made.text);
	return s.signIn(email, password);
}

const rep = await member('rep');
const other = await member('rep');
const reader = await member('readonly');

const save = async (as, body) =>
{
	const answer = await as.api('POST', '/v1/filters', body);
	assert.equal(answer.status, 201, answer.text);
	assert.equal(answer.headers.get('location'), `/v1/filters/${answer.body.id}`);
	return answer.body;
};
const names = async (as, query) =>
{
	const answer = await as.api('GET', `/v1/leads?${query}`);
	assert.equal(answer.status, 200, answer.text);
	return answer.body.data.map((row) => row.last_name).join(' ');
};
const chiefs = { or: [{ field: 'title', op: 'contains', value: 'chief' }, { field: 'employees', op: '>', value: 90 }] };

for (const [last_name, title, employees] of [['A', 'Chief Cook', 1], ['B', 'Clerk', 99], ['C', 'Clerk', 2]])
	assert.equal((await admin.api('POST', '/v1/leads', { last_name, title, employees })).status, 201);

test('a saved filter makes a list, in its order, besides other parameters', async () =>
{
	const filter = await save(rep, { noun: 'lead', name: 'Chiefs', filter: chiefs, sort: '-last_name', columns: ['last_name'] });
	assert.deepEqual([filter.visibility, filter.used_count, filter.version], ['private', 0, 1]);
	assert.equal(await names(rep, `filter=${filter.id}`), 'B A');
	assert.equal(await names(rep, `filter=${filter.id}&sort=last_name`), 'A B');
	assert.equal(await names(rep, `filter=${filter.id}&employees[lt]=50`), 'A');
	assert.equal(await names(rep, `sort=last_name&filter=${encodeURIComponent(JSON.stringify({ not: chiefs }))}`), 'C');
});

test('a list by a saved filter comes from the cache and is never old', async () =>
{
	const { id } = await save(rep, { noun: 'lead', name: 'Clerks', filter: { field: 'title', op: '=', value: 'clerk' }, sort: 'last_name' });
	const read = async () => rep.api('GET', `/v1/leads?fields=last_name&filter=${id}`);
	await read();
	const again = await read();
	assert.match(again.headers.get('cache-status'), /hit/);
	assert.deepEqual(again.body.data.map((row) => row.last_name), ['B', 'C']);
	const used = await rep.api('POST', `/v1/filters/${id}/use`);
	assert.equal(used.status, 200, used.text);
	assert.equal(used.body.used_count, 1);
	assert.match((await read()).headers.get('cache-status'), /hit/, 'to use it makes no list old');
	const changed = await rep.api('PATCH', `/v1/filters/${id}`, { filter: { field: 'title', op: '!=', value: 'clerk' } });
	assert.equal(changed.status, 200, changed.text);
	assert.deepEqual((await read()).body.data.map((row) => row.last_name), ['A']);
	assert.equal((await rep.api('GET', `/v1/filters/${id}`)).body.used_count, 1);
	assert.equal((await rep.api('POST', `/v1/filters/${id}/use`)).body.used_count, 2);
	const uses = await rep.api('GET', `/v1/filters/${id}/uses`);
	assert.deepEqual(uses.body.members.map((m) => [m.member_id, m.used_count]), [[rep.member.id, 2]]);
	assert.equal((await rep.api('GET', `/v1/filters/${id}`)).body.used_count, 2);
});

test('private is private, org is everybody, and a private one can become shared', async () =>
{
	const { id, version } = await save(rep, { noun: 'lead', name: 'Secret', filter: chiefs });
	const listed = async (as) => (await as.api('GET', '/v1/filters?noun=lead&name=Secret')).body.data.length;
	for (const as of [admin, other, reader])
	{
		assert.equal(await listed(as), 0);
		assert.equal((await as.api('GET', `/v1/filters/${id}`)).status, 404);
		assert.equal((await as.api('GET', `/v1/leads?filter=${id}`)).status, 400);
		assert.equal((await as.api('GET', `/v1/filters/${id}/ids`)).status, 404);
		assert.equal((await as.api('POST', `/v1/filters/${id}/use`)).status, 404);
	}
	const { headers } = await rep.api('GET', `/v1/filters/${id}`);
	const shared = await rep.api('PATCH', `/v1/filters/${id}`, { visibility: 'org' }, { 'if-match': headers.get('etag') });
	assert.equal(shared.status, 200, shared.text);
	assert.equal(shared.body.version, version + 1);
	assert.deepEqual([await listed(rep), await listed(other), await listed(reader)], [1, 1, 1]);
	assert.equal((await reader.api('POST', `/v1/filters/${id}/use`)).body.used_count, 1);
	assert.equal((await other.api('PATCH', `/v1/filters/${id}`, { name: 'Mine' })).status, 403);
	assert.equal((await other.api('DELETE', `/v1/filters/${id}`)).status, 403);
	assert.equal((await admin.api('PATCH', `/v1/filters/${id}`, { name: 'Secret' }, { 'if-match': '"1"' })).status, 412);
	assert.equal((await admin.api('DELETE', `/v1/filters/${id}`)).status, 204);
	assert.equal((await rep.api('GET', `/v1/leads?filter=${id}`)).status, 400);
});

test('segments: how many, and which', async () =>
{
	const { id } = await save(rep, { noun: 'lead', name: 'All', filter: { field: 'last_name', op: 'not_null' } });
	assert.deepEqual((await rep.api('GET', `/v1/filters/${id}/count`)).body, { count: 3 });
	const first = (await rep.api('GET', `/v1/filters/${id}/ids?limit=2`)).body;
	const rest = (await rep.api('GET', `/v1/filters/${id}/ids?limit=2&after=${first.next_after}`)).body;
	assert.deepEqual([first.data.length, rest.data.length, rest.next_after], [2, 1, null]);
	assert.equal(new Set([...first.data, ...rest.data]).size, 3);
	assert.equal((await rep.api('GET', `/v1/filters/${id}/ids?limit=20000`)).status, 400);
});

test('faults of a filter come all at once, with their places', async () =>
{
	const bad = await rep.api('POST', '/v1/filters', { noun: 'lead', name: 'Bad', sort: 'nope',
		filter: { and: [{ field: 'nope', op: '=', value: 1 }, { field: 'score', op: '>', value: 'x' }, { not: [] }] } });
	assert.equal(bad.status, 422, bad.text);
	assert.deepEqual(bad.body.errors.map((e) => e.pointer).sort(),
		['/filter/and/0/field', '/filter/and/1/value', '/filter/and/2/not', '/sort']);
	const list = await rep.api('GET', `/v1/leads?filter=${encodeURIComponent('{"field":"nope","op":"is_null"}')}&filter_x=1`);
	assert.equal(list.status, 400, list.text);
	const query = await rep.api('GET', `/v1/leads?filter=${encodeURIComponent('{"or":[{"field":"nope","op":"is_null"}]}')}`);
	assert.equal(query.status, 400, query.text);
	assert.deepEqual(query.body.errors.map((e) => [e.parameter, e.pointer]), [['filter', '/or/0/field']]);
	assert.equal((await rep.api('GET', '/v1/leads?filter={')).status, 400);
	assert.equal((await reader.api('POST', '/v1/filters', { noun: 'lead', name: 'x', filter: chiefs })).status, 403);
});
