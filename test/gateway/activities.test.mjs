// Activities that recur and remind, over HTTP and live.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const me = await newOrganisation(s, 'Recurring Ltd');
const other = await newOrganisation(s, 'Elsewhere Ltd');

async function created(body, session = me)
{
	const answer = await session.api('POST', '/v1/activities', body);
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
}

test('finishing a task makes the next one', async () =>
{
	const task = await created({ type: 'task', subject: 'Weekly', due_at: '2090-03-20T08:00:00Z',
		recurrence: 'FREQ=WEEKLY;COUNT=3', timezone: 'Europe/Berlin' });
	assert.equal(task.recurrence, 'FREQ=WEEKLY;COUNT=3');
	const one = `/v1/activities/${task.id}`;
	const series = async () => (await me.api('GET',
		`/v1/activities?series_id=${task.series_id}&sort=due_at`)).body.data;
	const done = await me.api('PATCH', `${one}?scope=this`,
		{ done_at: '2090-03-20T09:00:00Z', subject: 'Weekly, late' });
	assert.equal(done.status, 200, done.text);
	let all = await series();
	assert.deepEqual(all.map((a) => [a.subject, a.due_at, a.series_no]), [
		['Weekly, late', '2090-03-20T08:00:00Z', 1], ['Weekly', '2090-03-27T07:00:00Z', 2]]);
	const next = `/v1/activities/${all[1].id}`;
	assert.equal((await me.api('DELETE', `${next}?scope=this`)).status, 204);
	all = await series();
	assert.deepEqual(all.map((a) => a.series_no), [1, 3]);
	assert.equal((await me.api('PATCH', `/v1/activities/${all[1].id}?scope=all`,
		{ subject: 'Every week' })).status, 200);
	assert.deepEqual((await series()).map((a) => a.subject), ['Every week', 'Every week']);
	assert.equal((await me.api('DELETE', `${one}?scope=all`)).status, 204);
	assert.deepEqual(await series(), []);
	assert.equal((await me.api('POST', `${one}/restore`)).status, 200);
	assert.equal((await series()).length, 2);

	assert.equal((await me.api('PATCH', `${one}?scope=some`, {})).status, 400);
	const refused = await me.api('POST', '/v1/activities', { type: 'task', subject: 'x',
		due_at: '2090-01-01T00:00:00Z', recurrence: 'FREQ=MINUTELY' });
	assert.equal(refused.status, 422, refused.text);
	assert.equal(refused.body.errors[0].pointer, '/recurrence');
});

test('a preview of a rule', async () =>
{
	const rule = encodeURIComponent('FREQ=DAILY;COUNT=2');
	const shown = await me.api('GET',
		`/v1/recurrence?rule=${rule}&from=2026-03-28T01:30:00Z&tz=Europe/Berlin`);
	assert.equal(shown.status, 200, shown.text);
	assert.deepEqual(shown.body, { rule: 'FREQ=DAILY;COUNT=2', timezone: 'Europe/Berlin',
		data: ['2026-03-28T01:30:00Z', '2026-03-29T01:30:00Z'] });
	const bad = await me.api('GET', '/v1/recurrence?rule=FREQ=HOURLY');
	assert.equal(bad.status, 400, bad.text);
	assert.equal(bad.body.errors[0].parameter, 'rule');
	assert.equal((await me.api('GET', `/v1/recurrence?rule=${rule}&n=1001`)).status, 400);
});

test('a reminder is told to its member when it is due, once', async () =>
{
	const heard = [];
	const sockets = await Promise.all([me, other].map(async (session, n) =>
	{
		const socket = io(s.url, { transports: ['websocket'], auth: { token: session.access_token },
			forceNew: true });
		socket.on('event', (event) => heard.push([n, event]));
		await waitFor(() => socket.connected, { what: 'the connection', timeout: 5000 });
		const { denied } = await socket.timeout(5000).emitWithAck('subscribe',
			{ channels: ['user:me', 'feed', 'list:reminder'] });
		assert.deepEqual(denied, ['list:reminder']);
		return socket;
	}));
	const profile = (await me.api('GET', '/v1/me')).body;
	const at = new Date(Date.now() + 400).toISOString();
	const task = await created({ type: 'task', subject: 'Soon', owner_id: profile.id,
		reminders: [{ at }] });
	await waitFor(() => heard.some(([, e]) => e.type === 'reminder.due'),
		{ what: 'the reminder', timeout: 5000 });
	const late = Date.now() - Date.parse(at);
	assert.ok(late >= 0 && late < 800, `told after ${late} ms`);
	const told = heard.filter(([, e]) => e.type === 'reminder.due');
	assert.equal(told.length, 1);
	assert.equal(told[0][0], 0);
	assert.equal(told[0][1].channel, 'user:me');
	assert.equal(told[0][1].data.activity_id, task.id);

	const fired = (await me.api('GET', '/v1/reminders?state=fired')).body.data;
	assert.deepEqual(fired.map((r) => [r.id, r.activity.subject]),
		[[told[0][1].data.reminder_id, 'Soon']]);
	const one = `/v1/reminders/${fired[0].id}`;
	assert.equal((await other.api('POST', `${one}/dismiss`)).status, 404);
	const later = await me.api('POST', `${one}/snooze`, { minutes: 5 });
	assert.equal(later.status, 200, later.text);
	assert.equal(later.body.state, 'scheduled');
	assert.equal((await me.api('POST', `${one}/snooze`, {})).status, 422);
	assert.equal((await me.api('POST', `${one}/snooze`, { minutes: 0 })).status, 422);
	assert.equal((await me.api('POST', `${one}/dismiss`)).body.state, 'dismissed');
	assert.deepEqual((await me.api('GET', '/v1/reminders?state=fired,scheduled')).body.data, []);
	assert.equal((await me.api('GET', '/v1/reminders?state=late')).status, 400);
	for (const socket of sockets)
		socket.close();
});

test('an e-mail comes in once', async () =>
{
	const mail = { type: 'email', subject: 'Offer', direction: 'inbound', from: 'Ada@firm.example',
		to: ['us@here.example'], message_id: '<1@firm.example>' };
	const first = await created(mail);
	assert.deepEqual([first.from, first.to, first.cc], ['ada@firm.example', ['us@here.example'], []]);
	const again = await me.api('POST', '/v1/activities', mail);
	assert.equal(again.status, 409, again.text);
	assert.equal(again.body.candidates[0].id, first.id);
	await created(mail, other);
	const wrong = await me.api('POST', '/v1/activities', { type: 'note', subject: 'x', location: 'here',
		duration_s: 5 });
	assert.equal(wrong.status, 422);
	assert.deepEqual(wrong.body.errors.map((e) => e.pointer), ['/duration_s', '/location']);
	const listed = await me.api('GET', '/v1/activities?from=ada@firm.example&direction=inbound');
	assert.deepEqual(listed.body.data.map((a) => a.id), [first.id]);
});
