// The database dies under load: clear refusals while it is away, recovery without help, and every
// write that was acknowledged is there afterwards.
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { sleep, stack, waitFor } from '../lib/stack.mjs';

let running = true;
// Before the stack's own end.
after(async () =>
{
	running = false;
	await s.start('postgres');
});
const s = await stack();

/* Writes leads one after the other until stopped; remembers every answer. */
async function writer(session, name, record)
{
	for (let i = 0; running; i++)
	{
		const last_name = `${name} ${i}`;
		let answer;
		try
		{
			answer = await session.api('POST', '/v1/leads', { last_name });
		}
		catch (error)
		{
			record.broken.push(`${last_name}: ${error.cause ?? error}`);
			continue;
		}
		if (answer.status === 201)
			record.acked.push({ id: answer.body.id, last_name });
		else
			record.refused.push(answer);
		if (answer.status !== 201)
			await sleep(20);
	}
}

function assertClear(answer)
{
	assert.equal(answer.status, 503, answer.text);
	assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
	assert.match(answer.headers.get('retry-after'), /^\d+$/);
	assert.equal(answer.body.status, 503);
	assert.ok(answer.body.code);
	assert.doesNotMatch(answer.text, /server closed|libpq|socket|SSL/i);
}

/* Every thread of the gateway finds its way back by itself, each within a second. */
function signIn()
{
	return waitFor(() => s.signIn().catch(() => null), { what: 'a sign-in', timeout: 5000 });
}

/* Runs writers while fault() happens, until they write again; then compares with the table. */
async function under_load(fault)
{
	const session = await signIn();
	const record = { acked: [], refused: [], broken: [] };
	running = true;
	const writers = ['A', 'B', 'C', 'D'].map((letter) => writer(session, `Fault ${Date.now()} ${letter}`, record));
	try
	{
		await waitFor(() => record.acked.length > 50, { what: 'the first writes' });
		await fault(session, record);
		const reached = record.acked.length;
		await waitFor(() => record.acked.length > reached + 50, { timeout: 60000, what: 'writes again' });
	}
	finally
	{
		running = false;
		await Promise.all(writers);
	}
	assert.deepEqual(record.broken, [], 'the gateway answered every request');
	for (const answer of record.refused)
		assertClear(answer);
	const rows = await waitFor(() => s.sql(
		'SELECT lead_id AS id, last_name FROM crm.lead WHERE lead_id = ANY ($1)',
		[record.acked.map(({ id }) => id)]));
	const found = new Map(rows.map((row) => [row.id, row.last_name]));
	const lost = record.acked.filter(({ id, last_name }) => found.get(id) !== last_name);
	assert.deepEqual(lost, [], 'no acknowledged write is lost');
	return record;
}

test('kill -9 of the postmaster', async (t) =>
{
	const gateway = await s.pid('gateway');
	const record = await under_load(async (session) =>
	{
		await s.kill('postgres');
		await waitFor(async () => (await session.api('GET', '/v1/leads?limit=1')).status === 503,
			{ what: '503' });
		for (const [method, path, body] of [
			['GET', '/v1/dashboard'], ['GET', '/v1/me'], ['POST', '/v1/leads', { last_name: 'x' }],
			['POST', '/v1/auth/sign-in', { email: s.email, password: s.password }],
		])
		{
			const began = Date.now();
			assertClear(await session.api(method, path, body));
			assert.ok(Date.now() - began < 6000, `${path} took ${Date.now() - began} ms`);
		}
		const health = await s.call('GET', '/v1/health');
		assert.notEqual(health.body.database, 'up');
		await s.start('postgres');
	});
	assert.ok(record.refused.length > 0);
	assert.equal(await s.pid('gateway'), gateway, 'the gateway lived on');
	t.diagnostic(`${record.acked.length} acknowledged, ${record.refused.length} refused`);
});

test('kill -9 of a backend: PostgreSQL restarts itself', async (t) =>
{
	const record = await under_load(async () =>
	{
		const [{ pid }] = await s.sql(
			`SELECT pid FROM pg_stat_activity WHERE usename = 'saleshub_gateway' AND backend_type = 'client backend'
			 ORDER BY (state = 'active') DESC LIMIT 1`);
		process.kill(pid, 'SIGKILL');
		await waitFor(async () => (await s.sql('SELECT 1')).length === 1, { timeout: 60000 });
	});
	t.diagnostic(`${record.acked.length} acknowledged, ${record.refused.length} refused`);
});

test('a backend that is terminated is only a short break', async () =>
{
	await under_load(async () =>
	{
		await s.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'saleshub_gateway'`);
	});
});

test('afterwards the figures are exact and the events continue', async () =>
{
	const session = await signIn();
	const { body } = await session.api('GET', '/v1/dashboard');
	const [{ n }] = await s.sql(
		'SELECT count(*) AS n FROM crm.lead WHERE org_id = $1 AND deleted_at IS NULL', [session.member.org_id]);
	assert.equal(body.leads.new, n);
	await waitFor(async () => (await s.sql('SELECT count(*) AS n FROM saleshub.outbox'))[0].n === 0,
		{ what: 'the worker to publish everything' });
	const [log] = await s.sql(
		`SELECT count(*) AS n, count(DISTINCT gseq) AS distinct, max(gseq) - min(gseq) + 1 AS span
		 FROM saleshub.event_log WHERE gseq > (SELECT floor FROM saleshub.event_state)`);
	assert.equal(log.n, log.distinct);
	assert.equal(log.n, log.span, 'positions are dense');
});
