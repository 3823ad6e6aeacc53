// The past over HTTP: a record and a list as they were, and what a deletion takes along.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const me = await newOrganisation(s, 'Past Ltd');
const other = await newOrganisation(s, 'Elsewhere Ltd');
const after = (date) => new Date(Date.parse(date) + 1).toISOString();
const pause = () => new Promise((done) => setTimeout(done, 5));

async function made(path, body)
{
	const answer = await me.api('POST', `/v1/${path}`, body);
	assert.equal(answer.status, 201, answer.text);
	await pause();
	return answer.body;
}

test('a record and a list as of an instant', async () =>
{
	const lead = await made('leads', { last_name: 'Noether', city: 'Erlangen', tags: ['a'] });
	const first = after(lead.updated_at);
	const one = `/v1/leads/${lead.id}`;
	const changed = await me.api('PATCH', one, { city: 'Bryn Mawr', tags: ['a', 'b'] });
	assert.equal(changed.status, 200, changed.text);
	await pause();
	const second = after(changed.body.updated_at);
	assert.equal((await me.api('DELETE', one)).status, 204);

	const then = await me.api('GET', `${one}?as_of=${first}`);
	assert.equal(then.status, 200, then.text);
	assert.deepEqual(then.body, lead);
	assert.equal(then.headers.get('etag'), '"1"');
	assert.deepEqual((await me.api('GET', `${one}?as_of=${second}`)).body, changed.body);
	const list = await me.api('GET', `/v1/leads?city=Erlangen&as_of=${first}`);
	assert.equal(list.status, 200, list.text);
	assert.deepEqual(list.body.data, [lead]);
	assert.deepEqual((await me.api('GET', `/v1/leads?city=Erlangen&as_of=${second}`)).body.data, []);

	// Twice: the answer about the past may come from the cache, and is right after a restore, too.
	assert.deepEqual((await me.api('GET', `${one}?as_of=${first}`)).body, lead);
	assert.equal((await me.api('POST', `${one}/restore`)).status, 200);
	assert.deepEqual((await me.api('GET', `${one}?as_of=${first}`)).body, lead);

	assert.equal((await me.api('GET', `${one}?as_of=2020-01-01T00:00:00Z`)).status, 404);
	assert.equal((await other.api('GET', `${one}?as_of=${first}`)).status, 404);
	for (const bad of ['as_of=2999-01-01T00:00:00Z', 'as_of=yesterday', `as_of=${first}&include=owner`])
	{
		const answer = await me.api('GET', `${one}?${bad}`);
		assert.equal(answer.status, 400, answer.text);
		assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
	}
});

test('a deletion takes its activities along and brings them back', async () =>
{
	const company = await made('companies', { name: 'Past Works' });
	const deal = await made('deals', { name: 'Past deal' });
	const link = (type, { id }) => ({ type, id });
	const only = await made('activities', { type: 'note', subject: 'Only',
		links: [link('company', company)] });
	const both = await made('activities', { type: 'note', subject: 'Both',
		links: [link('company', company), link('deal', deal)] });
	const status = async ({ id }) => (await me.api('GET', `/v1/activities/${id}`)).status;
	assert.deepEqual([await status(only), await status(both)], [200, 200]);
	assert.equal((await me.api('DELETE', `/v1/companies/${company.id}`)).status, 204);
	assert.deepEqual([await status(only), await status(both)], [404, 200]);
	assert.equal((await me.api('POST', `/v1/companies/${company.id}/restore`)).status, 200);
	assert.deepEqual([await status(only), await status(both)], [200, 200]);
});

test('retention is for admins, and history that is gone answers 410', async () =>
{
	const lead = await made('leads', { last_name: 'Forgotten' });
	const bad = await me.api('PATCH', '/v1/retention', { lead: { history_days: 0, keep: 1 }, note: {} });
	assert.equal(bad.status, 422, bad.text);
	assert.equal(bad.body.errors.length, 3, bad.text);
	const set = await me.api('PATCH', '/v1/retention', { lead: { history_days: 1 } });
	assert.equal(set.status, 200, set.text);
	assert.deepEqual((await me.api('GET', '/v1/retention')).body, set.body);
	await s.sql(`UPDATE crm.change_log SET at = now() - interval '3 days' WHERE entity_id = '${lead.id}'`);
	await s.sql('SELECT saleshub.keep_house()');
	const then = new Date(Date.now() - 2 * 86400e3).toISOString();
	const gone = await me.api('GET', `/v1/leads/${lead.id}?as_of=${then}`);
	assert.equal(gone.status, 410, gone.text);
	assert.equal(gone.body.code, 'history_gone');
	assert.equal((await me.api('GET', `/v1/leads/${lead.id}`)).body.last_name, 'Forgotten');
	assert.deepEqual((await me.api('GET', `/v1/leads/${lead.id}/history`)).body.data, []);
});

test('everything about a person is handed out and erased, cached answers included', async () =>
{
	const email = 'ada@erase.example';
	const lead = await made('leads', { first_name: 'Ada', last_name: 'Erasable', email });
	const one = `/v1/leads/${lead.id}`;
	assert.equal((await me.api('GET', one)).body.email, email);
	assert.equal((await me.api('GET', one)).body.email, email);
	const all = await me.api('GET', `/v1/privacy/export?email=${email}`);
	assert.equal(all.status, 200, all.text);
	assert.deepEqual(all.body.leads.map((row) => row.lead_id), [lead.id]);
	assert.equal((await other.api('GET', `/v1/privacy/export?email=${email}`)).status, 404);
	assert.equal((await me.api('GET', '/v1/privacy/export')).status, 400);
	assert.equal((await me.api('POST', '/v1/privacy/erase', { mail: email })).status, 422);
	assert.equal((await me.api('POST', '/v1/privacy/erase', { email: me.email })).status, 409);
	const erased = await me.api('POST', '/v1/privacy/erase', { email, reason: 'asked' });
	assert.equal(erased.status, 200, erased.text);
	assert.equal(erased.body.erased.leads, 1);
	const left = await me.api('GET', one);
	assert.equal(left.body.last_name, 'Erased');
	for (const path of [one, `${one}/history`, `${one}/timeline`, `${one}?as_of=${after(lead.updated_at)}`])
		assert.doesNotMatch((await me.api('GET', path)).text, /ada@erase|Erasable/, path);
	assert.equal((await me.api('GET', `/v1/privacy/export?email=${email}`)).status, 404);
});
