// Scoring by HTTP: rules with groups and events, the score that moves, the past, the hottest leads.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';
import { newOrganisation } from '../lib/organisation.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Scoring');

async function answered(status, method, path, body)
{
	const answer = await admin.api(method, path, body);
	assert.equal(answer.status, status, answer.text);
	return answer.body;
}

const sum = (reasons) => reasons.reduce((total, { points }) => total + Math.round(points * 1000), 0);

test('rules with groups are put, read back, and kept in versions', async () => {
	const before = await answered(200, 'GET', '/v1/scoring/rules');
	assert.equal(before.version, 1);
	const put = await answered(200, 'PUT', '/v1/scoring/rules', {
		version: 1,
		groups: [{ name: 'Contact', kind: 'engagement', cap: 30 }],
		rules: [
			{ label: 'Known', predicate: { field: 'last_name', op: 'not_null' }, points: 10 },
			{ label: 'Call', predicate: { field: 'type', op: '=', value: 'call' }, points: 20,
				per_event: true, half_life_hours: 24, group: 'Contact' },
		],
	});
	assert.equal(put.version, 2);
	assert.deepEqual(await answered(200, 'GET', '/v1/scoring/rules'), put);
	const stale = await answered(409, 'PUT', '/v1/scoring/rules', { version: 1, rules: [] });
	assert.equal(stale.code, 'version_mismatch');
	const versions = await answered(200, 'GET', '/v1/scoring/versions?limit=1');
	assert.equal(versions.data[0].version, 2);
	assert.ok(versions.next_cursor);
	const first = await answered(200, 'GET', '/v1/scoring/versions/1');
	assert.equal(first.rules.length, before.rules.length);
	await answered(404, 'GET', '/v1/scoring/versions/77');
	const wrong = await answered(422, 'PUT', '/v1/scoring/rules', { rules: [
		{ label: 'x', predicate: { field: 'city', op: 'not_null' }, points: 1, per_event: true, group: 'nope' }] });
	assert.deepEqual(wrong.errors.map(({ pointer }) => pointer).sort(), ['/rules/0/group', '/rules/0/predicate/field']);
});

test('a call moves the score at once, its points fall, and taking it back leaves nothing', async () => {
	const lead = await answered(201, 'POST', '/v1/leads', { last_name: 'Hot' });
	assert.deepEqual([lead.score, lead.fit, lead.engagement, lead.grade], [10, 10, null, 'E3']);
	await answered(201, 'POST', '/v1/leads', { last_name: 'Cold' });
	const call = await answered(201, 'POST', '/v1/activities', { type: 'call', subject: 'Hello',
		done_at: new Date(Date.now() - 24 * 3600e3).toISOString(), links: [{ type: 'lead', id: lead.id }] });
	const hot = await answered(200, 'GET', `/v1/leads/${lead.id}`);
	assert.ok(Math.abs(hot.engagement - 10) < 0.01, String(hot.engagement));
	assert.ok(hot.version > lead.version);

	const one = await admin.api('GET', `/v1/leads/${lead.id}/score`);
	assert.equal(Math.round(one.body.score * 1000), sum(one.body.reasons));
	assert.deepEqual(one.body.history[0].cause, 'event');
	assert.equal(one.body.history[0].activity_id, call.id);
	const later = await answered(200, 'GET', `/v1/leads/${lead.id}/score`);
	assert.ok(later.as_of > one.body.as_of, 'a score that moves is not answered from a cache');
	const then = await answered(200, 'GET', `/v1/leads/${lead.id}/score?at=${one.body.as_of}`);
	assert.equal(then.score, one.body.score);
	assert.deepEqual(then.reasons, one.body.reasons);

	const hottest = await answered(200, 'GET', '/v1/leads/hottest?limit=5');
	assert.deepEqual(hottest.data.map(({ last_name }) => last_name), ['Hot']);
	const list = await answered(200, 'GET', '/v1/leads?sort=-score&score[gte]=10.5');
	assert.deepEqual(list.data.map(({ last_name }) => last_name), ['Hot']);

	await answered(204, 'DELETE', `/v1/activities/${call.id}`);
	const again = await answered(200, 'GET', `/v1/leads/${lead.id}`);
	assert.deepEqual([again.score, again.engagement, again.score_as_of], [10, null, null]);
	assert.deepEqual((await answered(200, 'GET', '/v1/leads/hottest')).data, []);
});

test('a preview says how many leads would change grade, a put does that, and a version comes back', async () => {
	const fields = await answered(200, 'GET', '/v1/scoring/fields');
	assert.ok(fields.types.text.includes('contains'));
	assert.ok(fields.event.some(({ field, values }) => field === 'type' && values.includes('call')));
	const { version } = await answered(200, 'GET', '/v1/scoring/rules');
	const body = { rules: [{ label: 'Known', points: 85, predicate: { field: 'last_name', op: 'not_null' } }] };
	const told = await answered(200, 'POST', '/v1/scoring/preview', body);
	assert.deepEqual([told.exact, told.leads, told.regraded, told.rising], [true, told.leads, told.leads, told.leads]);
	assert.equal((await answered(200, 'GET', '/v1/scoring/rules')).version, version, 'a preview changes nothing');
	const put = await answered(200, 'PUT', '/v1/scoring/rules', body);
	const graded = await answered(200, 'GET', '/v1/leads?grade=A&sort=-score');
	assert.equal(graded.data.length, told.leads);
	const back = await answered(200, 'POST', `/v1/scoring/versions/${version}/restore`);
	assert.equal(back.version, put.version + 1);
	assert.deepEqual(back.rules.map(({ label }) => label), ['Known', 'Call']);
	await answered(404, 'POST', '/v1/scoring/versions/4711/restore');
	const wrong = await answered(422, 'POST', '/v1/scoring/preview', { rules: [{ label: 'x', points: 1, predicate: { field: 'colour', op: 'not_null' } }] });
	assert.deepEqual(wrong.errors.map(({ pointer }) => pointer), ['/rules/0/predicate/field']);
});
