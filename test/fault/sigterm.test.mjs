// SIGTERM under load: what was taken is finished and answered, what is not taken has no effect.
import assert from 'node:assert/strict';
import http from 'node:http';
import test, { after } from 'node:test';
import { stack, waitFor } from '../lib/stack.mjs';

// Before the stack's own end.
after(() => s.start('gateway'));
const s = await stack();

/* A POST on a kept connection: the status, or 0 when no whole answer came. */
function post(agent, session, body)
{
	return new Promise((resolve) =>
	{
		const text = JSON.stringify(body);
		const request = http.request(`${s.url}/v1/leads`, {
			method: 'POST', agent,
			headers: {
				authorization: `Bearer ${session.access_token}`, 'content-type': 'application/json',
				'content-length': Buffer.byteLength(text),
			},
		}, (response) =>
		{
			let received = '';
			response.on('data', (chunk) => (received += chunk));
			response.on('end', () => resolve({ status: response.statusCode, body: received, close: response.headers.connection === 'close' }));
			response.on('error', () => resolve({ status: 0 }));
		});
		request.on('error', () => resolve({ status: 0 }));
		request.end(text);
	});
}

for (const round of [1, 2, 3])
{
	test(`every write is answered or did not happen, round ${round}`, async (t) =>
	{
		const session = await s.signIn();
		const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
		const outcomes = new Map();
		const tag = `Term ${Date.now()}`;
		let ended = false;
		const writer = async (letter) =>
		{
			for (let i = 0, misses = 0; misses < 3; i++)
			{
				const last_name = `${tag} ${letter} ${i}`;
				const answer = await post(agent, session, { last_name });
				outcomes.set(last_name, answer.status);
				misses = answer.status === 201 ? 0 : misses + 1;
				assert.ok([0, 201, 503].includes(answer.status), `${answer.status} ${answer.body}`);
				assert.ok(answer.status === 201 || ended, `${last_name} failed before SIGTERM: ${answer.status} ${answer.body}`);
			}
		};
		const stop = new AbortController();
		const stream = await fetch(`${s.url}/v1/stream?ch=feed`, {
			headers: { authorization: `Bearer ${session.access_token}` }, signal: stop.signal,
		});
		const streaming = stream.text().then(() => 'ended', () => 'broken');
		const writers = [...'ABCDEFGHIJ'].map(writer);
		await waitFor(() => outcomes.size > 100 * round, { what: 'load' });

		const pid = await s.pid('gateway');
		const began = Date.now();
		ended = true;
		process.kill(pid, 'SIGTERM');
		await Promise.all(writers);
		await waitFor(async () => !(await s.pid('gateway')), { timeout: 20000, what: 'the gateway to end' });
		assert.ok(Date.now() - began < 15000, `it took ${Date.now() - began} ms to end`);
		assert.equal(await streaming, 'ended', 'the stream ended properly');
		stop.abort();
		agent.destroy();

		await s.start('gateway');
		const rows = await s.sql(
			'SELECT last_name FROM crm.lead WHERE last_name LIKE $1', [`${tag} %`]);
		const written = new Set(rows.map((row) => row.last_name));
		const acked = [...outcomes].filter(([, status]) => status === 201).map(([name]) => name);
		assert.deepEqual(acked.filter((name) => !written.has(name)), [], 'acknowledged and not there');
		assert.deepEqual([...written].filter((name) => outcomes.get(name) !== 201), [], 'there and not acknowledged');
		t.diagnostic(`${acked.length} writes, ${outcomes.size - acked.length} not taken`);
	});
}
