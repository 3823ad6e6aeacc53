// Duplicates by HTTP: what seems to exist is told or refused, and every match says why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';
import { newOrganisation } from '../lib/organisation.mjs';

const s = await stack();
const ours = await newOrganisation(s, 'Duplicates');
const api = (method, path, body, headers) =>
	s.call(method, path, body, { authorization: `Bearer ${ours.access_token}`, ...headers });
const ada = { first_name: 'Ada', last_name: 'Lovelace', email: 'ada@engines.example' };

test('a new contact that seems to exist is made, and the answer says what it is like', async () => {
	const first = await api('POST', '/v1/contacts', ada);
	assert.equal(first.status, 201, first.text);
	assert.equal('duplicates' in first.body, false);
	const second = await api('POST', '/v1/contacts', { ...ada, email: 'Ada+x@engines.example' });
	assert.equal(second.status, 201, second.text);
	assert.equal(second.body.duplicates[0].id, first.body.id);
	assert.equal(second.body.duplicates[0].band, 'block');
	const read = await api('GET', `/v1/contacts/${second.body.id}`);
	assert.equal('duplicates' in read.body, false);
});

test('matches are explained: the weights of the fields add up to the score', async () => {
	const made = await api('POST', '/v1/contacts', { ...ada, on_duplicate: 'allow' });
	assert.equal('duplicates' in made.body, false, made.text);
	const found = await api('GET', `/v1/duplicates?type=contacts&id=${made.body.id}`);
	assert.equal(found.status, 200, found.text);
	assert.equal(found.body.data.length, 2);
	for (const match of found.body.data)
	{
		assert.equal(match.fields.reduce((sum, f) => sum + f.weight, 0), match.score);
		assert.deepEqual(match.fields.map(f => f.level), ['same', 'same', 'same']);
	}
});

test('block refuses with the candidates; the same key is answered the same', async () => {
	const refused = await api('POST', '/v1/contacts', { ...ada, on_duplicate: 'block' });
	assert.equal(refused.status, 409, refused.text);
	assert.equal(refused.body.code, 'duplicate');
	assert.equal(refused.body.candidates.length, 3);
	assert.equal(refused.body.candidates[0].name, 'Ada Lovelace');
});

test('faults', async () => {
	const id = '00000000-0000-7000-8000-000000000000';
	assert.equal((await api('GET', `/v1/duplicates?type=contacts&id=${id}`)).status, 404);
	assert.equal((await api('GET', `/v1/duplicates?type=deals&id=${id}`)).status, 400);
	assert.equal((await api('GET', '/v1/duplicates?type=leads')).status, 400);
	assert.equal((await api('POST', '/v1/leads', { last_name: 'X', on_duplicate: 'no' })).status, 422);
	const deal = await api('POST', '/v1/deals', { name: 'X', on_duplicate: 'allow' });
	assert.equal(deal.status, 422, deal.text);
});

test('another organisation is told nothing', async () => {
	const theirs = await newOrganisation(s, 'Strangers');
	const made = await s.call('POST', '/v1/contacts', ada,
		{ authorization: `Bearer ${theirs.access_token}` });
	assert.equal(made.status, 201);
	assert.equal('duplicates' in made.body, false);
});

test('a scan of the base, step by step, and its groups', async () => {
	let step;
	let steps = 0;
	do
	{
		step = await api('POST', '/v1/duplicates/scan?type=contacts&batch=2');
		assert.equal(step.status, 200, step.text);
		steps++;
	}
	while (!step.body.done);
	assert.equal(step.body.records, 3);
	assert.equal(step.body.found, 3);
	assert.equal(steps, 2);
	const groups = await api('GET', '/v1/duplicates/clusters?type=contacts&band=block');
	assert.equal(groups.status, 200, groups.text);
	assert.equal(groups.body.data.length, 1);
	assert.equal(groups.body.data[0].records.length, 3);
	assert.equal(groups.body.data[0].pairs.length, 3);
	assert.equal((await api('POST', '/v1/duplicates/scan?type=deals')).status, 400);
});

test('a lead that is a contact already is told so, with its company', async () => {
	const company = await api('POST', '/v1/companies', { name: 'Customers Ltd', domain: 'customers.example' });
	const contact = await api('POST', '/v1/contacts', { last_name: 'Buyer', email: 'buyer@customers.example' });
	const lead = await api('POST', '/v1/leads', { last_name: 'Buyer', email: 'buyer@customers.example', company_name: 'Customers' });
	assert.equal(lead.status, 201, lead.text);
	assert.deepEqual(lead.body.duplicates.map(d => [d.type, d.id]).sort(),
		[['company', company.body.id], ['contact', contact.body.id]]);
	const found = await api('GET', `/v1/duplicates?type=lead&id=${lead.body.id}`);
	assert.deepEqual(found.body.data.map(d => d.type).sort(), ['company', 'contact']);
});

test('the policy is settled by kind, and only by admins', async () => {
	const read = await api('GET', '/v1/duplicates/policy');
	assert.deepEqual(read.body, { contact: 'warn', company: 'warn', lead: 'warn' });
	const put = await api('PUT', '/v1/duplicates/policy', { lead: 'block' }, { 'if-match': read.headers.get('etag') });
	assert.equal(put.status, 200, put.text);
	assert.equal(put.body.lead, 'block');
	const twin = { last_name: 'Twin', email: 'twin@customers.example' };
	assert.equal((await api('POST', '/v1/leads', twin)).status, 201);
	assert.equal((await api('POST', '/v1/leads', twin)).status, 409);
	assert.equal((await api('PUT', '/v1/duplicates/policy', { lead: 'no' })).status, 422);
	assert.equal((await api('PUT', '/v1/duplicates/policy', {}, { 'if-match': read.headers.get('etag') })).status, 412);
	await api('PUT', '/v1/duplicates/policy', { lead: 'warn' });
});

test('fields of comparison are settled; two records are said to be different', async () => {
	const fields = await api('GET', '/v1/duplicates/fields?type=contacts');
	assert.equal(fields.body.fields.find(f => f.field === 'email').own, false);
	const put = await api('PUT', '/v1/duplicates/fields', { type: 'contacts', fields: [
		{ field: 'custom.badge', kind: 'code', same: 20, key: 'strong' }] });
	assert.equal(put.status, 200, put.text);
	const a = await api('POST', '/v1/contacts', { last_name: 'Alpha', custom: { badge: 'B-77' } });
	const b = await api('POST', '/v1/contacts', { last_name: 'Omega', custom: { badge: 'b77' } });
	assert.equal(b.body.duplicates?.[0]?.id ?? b.text, a.body.id);
	const said = await api('POST', '/v1/duplicates/decisions', { type: 'contacts', ids: [a.body.id, b.body.id] });
	assert.equal(said.status, 200, said.text);
	assert.deepEqual((await api('GET', `/v1/duplicates?type=contacts&id=${b.body.id}`)).body.data, []);
	assert.equal((await api('POST', '/v1/duplicates/decisions', { type: 'contacts', ids: [a.body.id] })).status, 422);
	assert.equal((await api('PUT', '/v1/duplicates/fields', { type: 'contacts', fields: [{ field: 'nothing', kind: 'text', same: 1 }] })).status, 422);
});
