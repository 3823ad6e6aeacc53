// Merging by HTTP: one record out of several, old addresses that lead to it, and back again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';
import { newOrganisation } from '../lib/organisation.mjs';

const s = await stack();
const ours = await newOrganisation(s, 'Merges');
const call = (who, method, path, body, headers) =>
	s.call(method, path, body, { authorization: `Bearer ${who.access_token}`, ...headers });
const api = (method, path, body, headers) => call(ours, method, path, body, headers);

async function made(path, body)
{
	const answer = await api('POST', path, body);
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
}

test('contacts: tried, merged, followed, taken apart', async () => {
	const a = await made('/v1/contacts', { name: 'Ada King', consent: { email: true } });
	const b = await made('/v1/contacts', { name: 'Ada Lovelace', phone: '+49301234567', consent: { email: false }, on_duplicate: 'allow' });
	const deal = await made('/v1/deals', { name: 'Engine', contact_id: b.id });
	const note = await made('/v1/activities', { type: 'note', subject: 'Met', links: [{ type: 'contact', id: b.id }] });
	// Both in the cache beforehand.
	for (let i = 0; i < 2; i++)
		for (const path of [`/v1/contacts/${a.id}`, `/v1/contacts/${b.id}`, `/v1/deals/${deal.id}`, `/v1/activities/${note.id}`])
			await api('GET', path);

	const body = { losers: [b.id], policy: { last_name: 'newest' } };
	const tried = await api('POST', `/v1/contacts/${a.id}/merge`, { ...body, dry_run: true });
	assert.equal(tried.status, 200, tried.text);
	assert.equal(tried.body.merge_id, null);
	assert.deepEqual(tried.body.fields.last_name, ['King', 'Lovelace']);
	assert.equal((await api('GET', `/v1/contacts/${b.id}`)).status, 200);

	const done = await api('POST', `/v1/contacts/${a.id}/merge`, body);
	assert.equal(done.status, 200, done.text);
	const { merge_id, winner, relinked } = done.body;
	assert.equal(winner.id, a.id);
	assert.equal(winner.last_name, 'Lovelace');
	assert.equal(winner.phone, '+49301234567');
	assert.equal(winner.consent.email, false);
	assert.deepEqual(relinked, { 'crm.activity_link.entity_id': 1, 'crm.deal.contact_id': 1 });
	assert.equal((await api('GET', `/v1/contacts/${a.id}`)).body.last_name, 'Lovelace');
	assert.equal((await api('GET', `/v1/deals/${deal.id}`)).body.contact_id, a.id);
	assert.deepEqual((await api('GET', `/v1/activities/${note.id}`)).body.links, [{ type: 'contact', id: a.id }]);

	const moved = await api('GET', `/v1/contacts/${b.id}`);
	assert.equal(moved.status, 308, moved.text);
	assert.equal(moved.headers.get('location'), `/v1/contacts/${a.id}`);
	assert.equal(moved.body.id, a.id);
	const changed = await api('PATCH', `/v1/contacts/${b.id}`, { title: 'Countess' });
	assert.equal(changed.status, 200, changed.text);
	assert.equal(changed.body.id, a.id);
	assert.equal((await api('DELETE', `/v1/contacts/${b.id}`)).status, 404);
	const restored = await api('POST', `/v1/contacts/${b.id}/restore`);
	assert.equal(restored.status, 409);
	assert.equal(restored.body.merged_into, a.id);

	const undone = await api('POST', `/v1/merges/${merge_id}/undo`);
	assert.equal(undone.status, 200, undone.text);
	assert.deepEqual(undone.body.conflicts, []);
	assert.equal((await api('GET', `/v1/contacts/${a.id}`)).body.last_name, 'King');
	assert.equal((await api('GET', `/v1/contacts/${a.id}`)).body.title, 'Countess');
	assert.equal((await api('GET', `/v1/contacts/${b.id}`)).body.last_name, 'Lovelace');
	assert.equal((await api('GET', `/v1/deals/${deal.id}`)).body.contact_id, b.id);
	assert.equal((await api('POST', `/v1/merges/${merge_id}/undo`)).body.replayed, true);
});

test('faults, and other people\'s records', async () => {
	const a = await made('/v1/companies', { name: 'One' });
	const path = `/v1/companies/${a.id}/merge`;
	assert.equal((await api('POST', path, {})).status, 422);
	assert.equal((await api('POST', path, { losers: [] })).status, 422);
	assert.equal((await api('POST', path, { losers: [a.id] })).status, 422);
	assert.equal((await api('POST', path, { losers: ['x'] })).status, 422);
	const b = await made('/v1/companies', { name: 'Two' });
	const wrong = await api('POST', path, { losers: [b.id], policy: { nothing: 'winner' } });
	assert.equal(wrong.status, 422);
	assert.equal(wrong.body.errors[0].pointer, '/policy/nothing');
	const theirs = await newOrganisation(s, 'Strangers');
	assert.equal((await call(theirs, 'POST', path, { losers: [b.id] })).status, 404);
	const mine = await api('POST', path, { losers: [b.id] });
	assert.equal(mine.status, 200, mine.text);
	assert.equal((await call(theirs, 'POST', `/v1/merges/${mine.body.merge_id}/undo`)).status, 404);
	assert.equal((await call(theirs, 'GET', `/v1/companies/${b.id}`)).status, 404);
});
