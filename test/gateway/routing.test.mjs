// Who gets new leads, set up by HTTP: rules, pools, members, calendars.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';
import { newOrganisation } from '../lib/organisation.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Routing');

async function answered(status, method, path, body)
{
	const answer = await admin.api(method, path, body);
	assert.equal(answer.status, status, answer.text);
	return answer.body;
}

const rep = await answered(201, 'POST', '/v1/members',
	{ name: 'Rea Rep', email: `rea.${Date.now()}@routing.example`, role: 'rep' });

test('a rule sends leads to a pool, and the reasons of all others are told', async () => {
	const { calendars } = await answered(200, 'PUT', '/v1/routing/calendars',
		{ calendars: [{ name: 'Never', timezone: 'Europe/Berlin', hours: [] }] });
	const pool = await answered(201, 'POST', '/v1/routing/pools',
		{ name: 'Big', method: 'load_balance', position: 9, members: [{ member_id: rep.id, weight: 2 }] });
	assert.equal(pool.members[0].weight, 2);
	const put = await answered(200, 'PUT', '/v1/routing/rules', { rules: [{ name: 'Large', pool_id: pool.id,
		skills: ['German'], predicate: { field: 'employees', op: '>=', value: 1000 } }] });
	assert.deepEqual(put.rules[0].skills, ['german']);
	assert.deepEqual(await answered(200, 'GET', '/v1/routing/rules'), put);
	assert.equal(put.pools.length, 2);

	const lead = await answered(201, 'POST', '/v1/leads', { last_name: 'Huge', employees: 2000 });
	assert.equal(lead.owner_id, null);
	const dry = async () => answered(200, 'POST', `/v1/leads/${lead.id}/route?dry_run=true`);
	assert.equal((await dry()).candidates[0].reason, 'lacks a required skill');
	await answered(200, 'PUT', `/v1/routing/members/${rep.id}`, { skills: ['german'], calendar_id: calendars[0].id });
	assert.equal((await dry()).candidates[0].reason, 'outside working hours');
	await answered(200, 'PUT', `/v1/routing/members/${rep.id}`, { skills: ['german'], capacity: 1 });
	const given = await dry();
	assert.equal(given.owner_id, rep.id);
	assert.equal(given.rule, 'Large');
	const members = await answered(200, 'GET', '/v1/routing/members');
	assert.equal(members.members.find((m) => m.member_id === rep.id).capacity, 1);

	await answered(409, 'DELETE', `/v1/routing/pools/${pool.id}`);
	await answered(200, 'PUT', '/v1/routing/rules', { rules: [] });
	await answered(200, 'PATCH', `/v1/routing/pools/${pool.id}`, { name: 'Bigger', members: [] });
	await answered(204, 'DELETE', `/v1/routing/pools/${pool.id}`);
	await answered(404, 'GET', `/v1/routing/pools/${pool.id}`);
	assert.equal((await answered(200, 'GET', '/v1/routing/pools')).data.length, 1);
});

test('every fault has its pointer', async () => {
	const refused = await answered(422, 'PUT', '/v1/routing/rules', { rules: [{ name: 'x',
		pool_id: rep.id, predicate: { field: 'employees', op: '~', value: 1 } }] });
	assert.deepEqual(refused.errors.map((e) => e.pointer).sort(), ['/rules/0/pool_id', '/rules/0/predicate/op']);
	const hours = await answered(422, 'PUT', '/v1/routing/calendars',
		{ calendars: [{ name: 'x', hours: [{ day: 1, from: '09:00', to: '08:00' }] }] });
	assert.deepEqual(hours.errors.map((e) => e.pointer), ['/calendars/0/hours/0/to']);
});

test('leads that nobody got wait with the reason, and go to whoever can take them', async () => {
	await answered(200, 'PUT', `/v1/routing/members/${rep.id}`, { capacity: 0 });
	const lead = await answered(201, 'POST', '/v1/leads', { last_name: 'Waiting', state: 'Bavaria', postal_code: '80331' });
	assert.equal(lead.postal_code, '80331');
	const waiting = async () => (await answered(200, 'GET', '/v1/routing/queue')).data.find((one) => one.lead_id === lead.id);
	const entry = await waiting();
	assert.equal(entry.reason, 'no eligible member');
	assert.equal(entry.lead.last_name, 'Waiting');
	assert.equal(entry.candidates.find((one) => one.member_id === rep.id).reason, 'at capacity');
	await answered(200, 'PUT', `/v1/routing/members/${rep.id}`, { capacity: 5,
		territories: [{ country: '*', postal_from: '80000', postal_to: '81999' }] });
	assert.equal(entry.kind, 'waiting');
	for (let tries = 0; await waiting(); tries++) {
		assert.ok(tries < 100, 'the lead finds its owner');
		await new Promise((done) => setTimeout(done, 100));
	}
	assert.equal((await answered(200, 'GET', `/v1/leads/${lead.id}`)).owner_id, rep.id);
});

test('of two who claim a lead one gets it', async () => {
	await answered(200, 'PUT', `/v1/routing/members/${rep.id}`, { capacity: 0 });
	const lead = await answered(201, 'POST', '/v1/leads', { last_name: 'Claimed' });
	const answers = await Promise.all([1, 2, 3].map(() => admin.api('POST', `/v1/routing/queue/${lead.id}/claim`)));
	assert.deepEqual(answers.map((one) => one.status).sort(), [200, 409, 409]);
	assert.equal(answers.find((one) => one.status === 409).body.code, 'already_assigned');
	await answered(404, 'POST', `/v1/routing/queue/${rep.id}/claim`);
	await answered(400, 'GET', '/v1/routing/queue?kind=x');
});

test('settings and a batch', async () => {
	await answered(200, 'PUT', '/v1/routing/settings', { queue_order: 'score', points: { A: 5 } });
	assert.deepEqual(await answered(200, 'GET', '/v1/routing/settings'), { queue_order: 'score', points: { A: 5 } });
	await answered(422, 'PUT', '/v1/routing/settings', { points: { A: 0 } });
	const batch = await answered(200, 'POST', '/v1/leads:route', { limit: 10 });
	assert.equal(batch.routed + batch.waiting, batch.results.length);
});

test('a lead is to be answered in time, and a call of its owner answers it', async () => {
	const put = await answered(200, 'PUT', '/v1/routing/sla', { policies: [
		{ name: 'An hour', target_minutes: 60, notify_minutes: 10, calendar: 'always', max_hops: 1 }] });
	assert.deepEqual(put.policies[0].pause_statuses, ['nurturing']);
	assert.deepEqual(await answered(200, 'GET', '/v1/routing/sla'), put);
	const refused = await answered(422, 'PUT', '/v1/routing/sla', { policies: [{ name: 'x', target_minutes: 5, notify_minutes: 5 }] });
	assert.deepEqual(refused.errors.map((e) => e.pointer), ['/policies/0/notify_minutes']);

	const lead = await answered(201, 'POST', '/v1/leads', { last_name: 'Answered', owner_id: rep.id });
	const running = await answered(200, 'GET', `/v1/leads/${lead.id}/sla`);
	assert.equal(running.state, 'running');
	assert.equal(Date.parse(running.due_at) - Date.parse(running.assignments[0].assigned_at), 3600000);
	await answered(201, 'POST', '/v1/activities', { type: 'call', subject: 'Hello', owner_id: rep.id,
		done_at: new Date().toISOString(), links: [{ type: 'lead', id: lead.id }] });
	const met = await answered(200, 'GET', `/v1/leads/${lead.id}/sla`);
	assert.equal(met.state, 'met');
	assert.ok(met.assignments[0].response_seconds < 60);
	assert.deepEqual((await answered(200, 'GET', '/v1/routing/sla/breaches')).data, []);
	await answered(404, 'GET', `/v1/leads/${rep.id}/sla`);
});
