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
