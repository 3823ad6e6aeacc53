// Custom fields over HTTP: defined, checked with pointers, filtered and sorted by, unique.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Custom and Sons');

async function define(body)
{
	const answer = await admin.api('POST', '/v1/custom-fields', body);
	assert.equal(answer.status, 201, answer.text);
	assert.equal(answer.headers.get('location'), `/v1/custom-fields/${answer.body.id}`);
	return answer.body;
}

async function lead(last_name, custom)
{
	const answer = await admin.api('POST', '/v1/leads', { last_name, custom });
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
}

async function names(query)
{
	const answer = await admin.api('GET', `/v1/leads?${query}`);
	assert.equal(answer.status, 200, answer.text);
	return answer.body.data.map((row) => row.last_name).join(' ');
}

const ready = (id) => waitFor(async () =>
	(await admin.api('GET', `/v1/custom-fields/${id}`)).body.index_state === 'ready', 'the index is ready');

const tier = await define({ entity: 'lead', key: 'tier', type: 'enum', indexed: true, label: 'Tier',
	options: [{ key: 'gold', label: 'Gold' }, { key: 'tin' }] });
const size = await define({ entity: 'lead', key: 'size', type: 'integer', min: 1, indexed: true });
await define({ entity: 'lead', key: 'met', type: 'date' });
await define({ entity: 'lead', key: 'likes', type: 'multi_enum', options: [{ key: 'tea' }, { key: 'jam' }] });

test('a record answers with its values in their normal form, and says where one is wrong', async () =>
{
	const made = await lead('A', { tier: 'gold', size: '12', met: '2026-01-31', likes: ['jam', 'tea', 'jam'] });
	assert.deepEqual(made.custom, { tier: 'gold', size: 12, met: '2026-01-31', likes: ['tea', 'jam'] });
	await lead('B', { tier: 'tin', size: 3, likes: ['jam'] });
	await lead('C', {});
	const bad = await admin.api('POST', '/v1/leads', { last_name: 'X', custom: { tier: 'lead', size: 0, met: 'soon', more: 1 } });
	assert.equal(bad.status, 422, bad.text);
	assert.deepEqual(bad.body.errors.map((e) => `${e.pointer} ${e.code}`).sort(), ['/custom/met invalid_format',
		'/custom/more unknown_member', '/custom/size too_small', '/custom/tier not_allowed']);
	const patched = await admin.api('PATCH', `/v1/leads/${made.id}`, { custom: { met: null, size: 13 } });
	assert.deepEqual(patched.body.custom, { tier: 'gold', size: 13, likes: ['tea', 'jam'] });
	const wrong = await admin.api('PATCH', `/v1/leads/${made.id}`, { custom: { size: 'many' } });
	assert.deepEqual([wrong.status, wrong.body.errors[0].pointer], [422, '/custom/size']);
});

test('lists filter and sort by custom fields, the same before and after the index is ready', async () =>
{
	const ask = async () => [await names('custom.tier=gold'), await names('custom.tier=gold,tin&sort=-custom.size'),
		await names('custom.size[gte]=5'), await names('custom.size[lt]=13&sort=last_name'), await names('custom.tier[ne]=gold&sort=last_name'),
		await names('custom.likes[contains]=tea'), await names('custom.likes=jam&sort=last_name'), await names('custom.met=null&sort=last_name'),
		await names(`sort=last_name&filter=${encodeURIComponent(JSON.stringify({ or: [{ field: 'custom.size', op: '>', value: 12 }, { field: 'custom.tier', op: '=', value: 'tin' }] }))}`)];
	const expected = ['A', 'A B', 'A', 'B', 'B C', 'A', 'A B', 'A B C', 'A B'];
	assert.deepEqual(await ask(), expected);
	await ready(tier.id);
	await ready(size.id);
	assert.deepEqual(await ask(), expected);
	assert.equal(await names('sort=custom.size,last_name'), 'B A C');
	const page = await admin.api('GET', '/v1/leads?sort=-custom.size&limit=2');
	assert.deepEqual(page.body.data.map((row) => row.last_name), ['A', 'B']);
	assert.equal(await names(`sort=-custom.size&limit=2&cursor=${page.body.next_cursor}`), 'C');
	for (const [query, parameter] of [['custom.nothing=1', 'custom.nothing'], ['custom.size=big', 'custom.size'],
		['custom.tier=lead', 'custom.tier'], ['sort=custom.likes', 'sort'], ['customer=1', 'customer']])
	{
		const answer = await admin.api('GET', `/v1/leads?${query}`);
		assert.equal(answer.status >= 400 && answer.status < 423, true, answer.text);
		assert.equal(answer.body.errors[0].parameter, parameter, answer.text);
	}
});

test('cached lists follow a definition at once', async () =>
{
	const query = '/v1/leads?fields=last_name,custom&sort=last_name';
	await admin.api('GET', query);
	const before = await admin.api('GET', query);
	assert.match(before.headers.get('cache-status'), /hit/);
	assert.equal(before.body.data[0].custom.tier, 'gold');
	const hidden = await admin.api('PATCH', `/v1/custom-fields/${tier.id}`, { active: false });
	assert.equal(hidden.status, 200, hidden.text);
	assert.equal((await admin.api('GET', query)).body.data[0].custom.tier, undefined);
	assert.equal((await admin.api('PATCH', `/v1/custom-fields/${tier.id}`, { active: true })).status, 200);
	assert.equal((await admin.api('GET', query)).body.data[0].custom.tier, 'gold');
});

test('a unique value belongs to one record', async () =>
{
	await define({ entity: 'company', key: 'tax', type: 'text', unique: true });
	assert.equal((await admin.api('POST', '/v1/companies', { name: 'One', custom: { tax: 'DE1' } })).status, 201);
	const twin = await admin.api('POST', '/v1/companies', { name: 'Two', custom: { tax: 'de1' } });
	assert.equal(twin.status, 409, twin.text);
	assert.deepEqual([twin.body.code, twin.body.errors[0].pointer, twin.body.errors[0].code], ['conflict', '/custom/tax', 'taken']);
	const batch = await admin.api('POST', '/v1/companies:batch', { atomic: false, items: [
		{ op: 'create', body: { name: 'Three', custom: { tax: 'DE3' } } },
		{ op: 'create', body: { name: 'Four', custom: { tax: 'DE3' } } }] });
	assert.equal(batch.status, 200, batch.text);
	assert.match(batch.text, /items\/1\/body\/custom\/tax|\/custom\/tax/);
});

test('definitions are listed, changed with care, removed, restored and purged', async () =>
{
	const list = await admin.api('GET', '/v1/custom-fields?entity=lead');
	assert.deepEqual(list.body.data.map((f) => f.key), ['tier', 'size', 'met', 'likes']);
	const again = await admin.api('POST', '/v1/custom-fields', { entity: 'lead', key: 'tier', type: 'text' });
	assert.deepEqual([again.status, again.body.errors[0].pointer], [409, '/key']);
	const bad = await admin.api('POST', '/v1/custom-fields', { entity: 'lead', key: 'Big Key', type: 'enum', options: [] });
	assert.equal(bad.status, 422, bad.text);
	assert.deepEqual(bad.body.errors.map((e) => e.pointer).sort(), ['/key', '/options']);
	const field = await admin.api('GET', `/v1/custom-fields/${size.id}`);
	const etag = field.headers.get('etag');
	assert.match(etag, /^"\d+\.ready"$/);
	const stale = await admin.api('PATCH', `/v1/custom-fields/${size.id}`, { label: 'Size' }, { 'If-Match': '"99"' });
	assert.equal(stale.status, 412, stale.text);
	const renamed = await admin.api('PATCH', `/v1/custom-fields/${size.id}`, { label: 'Size' }, { 'If-Match': etag });
	assert.deepEqual([renamed.status, renamed.body.label], [200, 'Size']);
	const retyped = await admin.api('PATCH', `/v1/custom-fields/${size.id}`, { type: 'text', min: null });
	assert.deepEqual([retyped.status, retyped.body.code, retyped.body.count], [409, 'values_do_not_fit', 2], retyped.text);
	assert.equal((await admin.api('DELETE', `/v1/custom-fields/${size.id}`)).status, 204);
	assert.equal((await admin.api('GET', `/v1/custom-fields/${size.id}`)).status, 404);
	assert.equal((await admin.api('GET', '/v1/leads?custom.size=3')).status >= 400, true);
	assert.equal((await admin.api('POST', `/v1/custom-fields/${size.id}/restore`)).status, 200);
	assert.equal(await names('custom.size=3'), 'B');
	const history = await admin.api('GET', `/v1/custom-fields/${size.id}/history`);
	assert.equal(history.body.data.length, 4, history.text);
	assert.equal((await admin.api('DELETE', `/v1/custom-fields/${size.id}`)).status, 204);
	assert.equal((await admin.api('POST', `/v1/custom-fields/${size.id}/purge`)).status, 202);
	await waitFor(async () => (await s.sql(
		"SELECT FROM crm.lead WHERE org_id = $1 AND custom ? 'size'", [admin.member.org_id])).length === 0, 'the values are gone');
});

test('reps read definitions and do not write them', async () =>
{
	const email = `${randomUUID()}@member.example`;
	const password = 'correct horse battery staple';
	assert.equal((await admin.api('POST', '/v1/members', { name: 'Rep', email, role: 'rep', password })).status, 201);
	const rep = await s.signIn(email, password);
	assert.equal((await rep.api('GET', '/v1/custom-fields')).status, 200);
	assert.equal((await rep.api('POST', '/v1/custom-fields', { entity: 'lead', key: 'mine', type: 'text' })).status, 403);
	assert.equal((await rep.api('PATCH', `/v1/custom-fields/${tier.id}`, { label: 'x' })).status, 403);
	assert.equal((await rep.api('DELETE', `/v1/custom-fields/${tier.id}`)).status, 403);
	const rules = await admin.api('PATCH', '/v1/settings/visibility', { fields: { rep: { lead: { 'custom.tier': 'hidden', 'custom.met': 'read_only' } } } });
	assert.equal(rules.status, 200, rules.text);
	const list = await rep.api('GET', '/v1/leads?sort=last_name');
	assert.deepEqual(Object.keys(list.body.data[0].custom), ['likes']);
	const filtered = await rep.api('GET', '/v1/leads?custom.tier=gold');
	assert.equal(filtered.body.errors[0].parameter, 'custom.tier', filtered.text);
	const written = await rep.api('PATCH', `/v1/leads/${list.body.data[0].id}`, { custom: { tier: 'tin', met: '2026-01-01' } });
	assert.deepEqual(written.body.errors.map((e) => `${e.pointer} ${e.code}`).sort(), ['/custom/met read_only', '/custom/tier unknown_member']);
});
