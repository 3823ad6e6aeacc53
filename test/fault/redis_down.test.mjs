// Redis only makes things faster: with it stopped, hung or emptied, every answer is the same.
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { stack, waitFor } from '../lib/stack.mjs';

// Before the stack's own end.
after(() => s.start('redis'));
const s = await stack();
const paths = [
	'/v1/dashboard', '/v1/dashboard?from=2020-01-01', '/v1/leads?limit=50&sort=-score',
	'/v1/leads?status=new,working', '/v1/deals?limit=20', '/v1/companies', '/v1/contacts',
	'/v1/activities?limit=10', '/v1/pipelines', '/v1/me',
];

const answers = async () =>
{
	const all = {};
	for (const path of paths)
	{
		const { status, body } = await s.api('GET', path);
		assert.equal(status, 200, path);
		all[path] = body;
	}
	return all;
};

const redisState = async () => (await s.call('GET', '/v1/health')).body.redis;

let expected;

test('with Redis', async () =>
{
	assert.equal(await redisState(), 'up');
	expected = await answers();
});

test('stopped: the same answers, in good time', async () =>
{
	await s.stop('redis');
	const began = Date.now();
	assert.deepEqual(await answers(), expected);
	assert.deepEqual(await answers(), expected);
	assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms for ${2 * paths.length} reads`);
	await waitFor(async () => (await redisState()) !== 'up', { what: 'health to say that Redis is away' });
	const health = await s.call('GET', '/v1/health');
	assert.equal(health.status, 200);
	assert.equal(health.body.database, 'up');
});

test('stopped: writes work and are seen at once', async () =>
{
	for (let i = 0; i < 10; i++)
	{
		const before = (await s.api('GET', '/v1/dashboard')).body.leads.new;
		const made = await s.api('POST', '/v1/leads', { last_name: `Without Redis ${i}` });
		assert.equal(made.status, 201, made.text);
		assert.equal((await s.api('GET', '/v1/dashboard')).body.leads.new, before + 1);
		assert.equal((await s.api('DELETE', `/v1/leads/${made.body.id}`)).status, 204);
	}
});

test('back again: nothing old comes back with it', async () =>
{
	await s.start('redis');
	await waitFor(async () => (await redisState()) === 'up', { what: 'Redis to be used again' });
	const made = await s.api('POST', '/v1/leads', { last_name: 'Redis is back' });
	const list = await s.api('GET', '/v1/leads?limit=1&sort=-created_at');
	assert.equal(list.body.data[0].id, made.body.id);
	await s.api('DELETE', `/v1/leads/${made.body.id}`);
	const now = await answers();
	for (const path of paths.filter((one) => !one.startsWith('/v1/dashboard')))
		assert.deepEqual(now[path], expected[path], path);
});

test('hung: answers do not wait for it', async () =>
{
	const pid = await s.pid('redis');
	process.kill(pid, 'SIGSTOP');
	try
	{
		const began = Date.now();
		for (const path of paths)
			assert.equal((await s.api('GET', path)).status, 200, path);
		assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
	}
	finally
	{
		process.kill(pid, 'SIGCONT');
	}
});
