// What the gateway does around every routed function: arguments, errors, keys, retries, new routes.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();

/* A function that does what its body says, on a route of its own. */
await s.sql(`CREATE SEQUENCE public.call_test; GRANT USAGE ON SEQUENCE public.call_test TO PUBLIC`);
await s.sql(`
	CREATE FUNCTION crm.call_test(body jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		run bigint := nextval('public.call_test');
	BEGIN
		IF run - (body->>'start')::bigint < (body->>'fail')::bigint THEN
			RAISE EXCEPTION 'once more' USING ERRCODE = body->>'state';
		END IF;
		IF body ? 'forget' THEN
			EXECUTE 'DEALLOCATE ALL';
		END IF;
		IF body ? 'raise' THEN
			RAISE EXCEPTION 'the secret name of a table' USING ERRCODE = body->>'raise';
		END IF;
		PERFORM pg_sleep((body->>'sleep')::float);
		PERFORM saleshub.reply(headers => '{"X-Test": "yes"}');
		RETURN jsonb_build_object('run', run, 'number', 0.1);
	END $$`);
await s.sql(`GRANT EXECUTE ON FUNCTION crm.call_test(jsonb) TO saleshub_user`);
await s.sql(`SELECT saleshub.route('POST /v1/call-test', 'crm.call_test(jsonb)', 'Test', 'tests',
	idempotent => true, timeout_ms => 700)`);
/* The routes are loaded anew when some reply bears another epoch. */
async function served(path, wanted = true)
{
	await waitFor(async () => {
		await s.api('GET', '/v1/me');
		const answer = await s.api('OPTIONS', path);
		return (answer.status === 204) === wanted;
	}, { what: `${path} ${wanted ? 'being' : 'not being'} served` });
}
await served('/v1/call-test');

const run = (body, headers) => s.api('POST', '/v1/call-test', body, headers);

async function position()
{
	return Number((await s.sql('SELECT last_value FROM public.call_test'))[0].last_value);
}

function isProblem(answer, status, code)
{
	assert.equal(answer.status, status, answer.text);
	assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
	assert.equal(answer.body.status, status);
	assert.equal(answer.body.code, code);
	assert.equal(answer.body.request_id, answer.headers.get('x-request-id'));
}

test('all faults of a query are told at once', async () => {
	const answer = await s.api('GET',
		'/v1/leads?limit=many&nope=1&status[near]=x&score[gte]=high&limit=3&sort=%zz');
	isProblem(answer, 400, 'invalid_parameter');
	assert.deepEqual(answer.body.errors.map((e) => [e.parameter, e.code]), [
		['limit', 'invalid_type'], ['nope', 'unknown_parameter'],
		['status[near]', 'unknown_operator'], ['score[gte]', 'invalid_type'],
		['limit', 'duplicate'], ['sort', 'invalid_encoding'],
	]);
});

test('all faults of a body are told at once, with pointers', async () => {
	const answer = await s.api('POST', '/v1/leads', { email: 5, status: 'bad', nope: true });
	isProblem(answer, 422, 'invalid_body');
	assert.deepEqual(answer.body.errors.map((e) => [e.pointer, e.code]),
		[['/email', 'invalid_type'], ['/status', 'not_allowed'], ['/nope', 'unknown_member']]);
});

test('what is not JSON, too deep or too large is refused', async () => {
	const json = { 'content-type': 'application/json' };
	isProblem(await run('{"a":', json), 400, 'invalid_json');
	isProblem(await run('{"a":1,"a":2}', json), 400, 'invalid_json');
	isProblem(await run('{"a":"\\u0000"}', json), 400, 'invalid_json');
	isProblem(await run(Buffer.from([0x22, 0xff, 0x22]), json), 400, 'invalid_json');
	isProblem(await run(`${'['.repeat(65)}${']'.repeat(65)}`, json), 400, 'too_deep');
	isProblem(await run('{}', { 'content-type': 'text/plain' }), 415, 'unsupported_media_type');
	isProblem(await run('[]', json), 422, 'invalid_body');
	isProblem(await run('', json), 422, 'invalid_body');
	const large = await run(JSON.stringify({ a: 'x'.repeat(2 ** 20) }), json);
	isProblem(large, 413, 'too_large');
});

test('paths and methods of nobody', async () => {
	isProblem(await s.api('GET', '/v1/nothing'), 404, 'not_found');
	isProblem(await s.api('GET', '/v1/leads/'), 404, 'not_found');
	isProblem(await s.api('GET', '/v1/leads/%ff'), 400, 'invalid_path');
	isProblem(await s.api('GET', '/v1/leads/seven'), 400, 'invalid_parameter');
	const wrong = await s.api('PUT', '/v1/leads', {});
	isProblem(wrong, 405, 'method_not_allowed');
	assert.equal(wrong.headers.get('allow'), 'GET, HEAD, POST');
});

test('without a token, or with a wrong one, nothing is answered', async () => {
	const none = await s.call('GET', '/v1/leads');
	isProblem(none, 401, 'unauthenticated');
	assert.equal(none.headers.get('www-authenticate'), 'Bearer');
	isProblem(await s.call('GET', '/v1/leads', undefined, { authorization: 'Bearer a.b.c' }), 401,
		'unauthenticated');
	isProblem(await s.call('GET', '/v1/leads', undefined, { authorization: 'Basic YTpi' }), 401,
		'unauthenticated');
});

test('HEAD is GET without the body', async () => {
	const get = await s.api('GET', '/v1/me');
	const head = await s.api('HEAD', '/v1/me');
	assert.equal(head.status, 200);
	assert.equal(head.text, '');
	assert.equal(head.headers.get('etag'), get.headers.get('etag'));
	assert.equal(head.headers.get('content-length'), String(Buffer.byteLength(get.text)));
});

test('a sane request id is kept, another replaced', async () => {
	const id = randomUUID();
	const kept = await s.api('GET', '/v1/me', undefined, { 'x-request-id': id });
	assert.equal(kept.headers.get('x-request-id'), id);
	const replaced = await s.api('GET', '/v1/me', undefined, { 'x-request-id': 'a b"c' });
	assert.match(replaced.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
});

test('a request with a key is carried out once', async () => {
	const key = { 'idempotency-key': randomUUID() };
	const answers = await Promise.all([1, 2, 3, 4].map(() => run({ sleep: 0.05 }, key)));
	for (const answer of answers)
	{
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.text, answers[0].text);
		assert.equal(answer.headers.get('x-test'), 'yes');
	}
	assert.equal(answers.filter((a) => a.headers.get('idempotency-replayed')).length, 3);
	isProblem(await run({ sleep: 0.06 }, key), 422, 'idempotency_key_reused');
});

test('a failed request leaves its key free', async () => {
	const key = { 'idempotency-key': randomUUID() };
	isProblem(await run({ raise: 'P0001' }, key), 400, 'refused');
	const again = await run({ raise: 'P0001' }, key);
	isProblem(again, 400, 'refused');
	assert.equal(again.headers.get('idempotency-replayed'), null);
});

test('what was rolled back for others is run again', async () => {
	for (const state of ['40001', '40P01'])
	{
		const start = (await position()) + 1;
		const answer = await run({ start, fail: 3, state });
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.body.run, start + 3);
	}
	const answer = await run({ start: (await position()) + 1, fail: 100, state: '40001' });
	isProblem(answer, 503, 'busy');
	assert.equal(answer.headers.get('retry-after'), '1');
});

test('a connection that forgot its statements goes on', async () => {
	for (let i = 0; i < 8; i++)
		await run({ forget: true });
	for (let i = 0; i < 8; i++)
	{
		const answer = await run({});
		assert.equal(answer.status, 200, answer.text);
	}
});

test('nothing internal is told', async () => {
	const answer = await run({ raise: 'XX000' });
	isProblem(answer, 500, 'internal');
	assert.doesNotMatch(answer.text, /secret/);
	isProblem(await run({ sleep: 5 }), 504, 'timeout');
	isProblem(await run({ raise: '23505' }), 409, 'conflict');
	isProblem(await run({ raise: '42501' }), 403, 'forbidden');
	isProblem(await run({ raise: 'SH418' }), 418, 'error');
});

test('a route appears, changes and goes without a restart', async () => {
	await s.sql(`SELECT saleshub.route('POST /v1/call-test/new', 'crm.call_test(jsonb)', 'T', 'tests')`);
	await served('/v1/call-test/new');
	assert.equal((await s.api('POST', '/v1/call-test/new', {})).status, 200);
	await s.sql(`SELECT saleshub.route('POST /v1/call-test/new', 'crm.call_test(jsonb)', 'T', 'tests',
		success => 204)`);
	await waitFor(async () => (await s.api('POST', '/v1/call-test/new', {})).status === 204,
		{ what: 'the changed route' });
	await s.sql(`DELETE FROM saleshub.route WHERE path = '/v1/call-test/new'`);
	await served('/v1/call-test/new', false);
	isProblem(await s.api('POST', '/v1/call-test/new', {}), 404, 'not_found');
});

test('a minimum role is asked for', async () => {
	await s.sql(`SELECT saleshub.route('POST /v1/call-test/manager', 'crm.call_test(jsonb)', 'T', 'tests',
		role => 'manager')`);
	await served('/v1/call-test/manager');
	const rep = await s.newMember('rep');
	const manager = await s.newMember('manager');
	const before = await position();
	isProblem(await rep.api('POST', '/v1/call-test/manager', {}), 403, 'forbidden');
	assert.equal(await position(), before);
	assert.equal((await manager.api('POST', '/v1/call-test/manager', {})).status, 200);
});

test('health, readiness and metrics', async () => {
	const health = await s.call('GET', '/v1/health');
	assert.equal(health.status, 200);
	assert.equal(health.body.status, 'ok');
	assert.equal(health.body.database, 'up');
	assert.equal(typeof health.body.cache.hit_rate, 'number');
	const ready = await fetch(new URL('/ready', s.admin_url));
	assert.equal(ready.status, 200);
	assert.equal((await ready.json()).ready, true);
	assert.equal((await fetch(new URL('/live', s.admin_url))).status, 200);
	const metrics = await (await fetch(new URL('/metrics', s.admin_url))).text();
	assert.match(metrics, /^saleshub_http_requests_total\{route="\/v1\/me",method="GET",code="200"\} \d+$/m);
	for (const line of metrics.trim().split('\n'))
		assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)*\})? [0-9.e+-]+)$/);
	assert.equal((await s.call('GET', '/metrics')).status, 404);
});

test('a route whose function is dropped is gone', async () => {
	await s.sql('DROP FUNCTION crm.call_test(jsonb)');
	await s.sql('DROP SEQUENCE public.call_test');
	await served('/v1/call-test', false);
	await s.sql(`DELETE FROM saleshub.route WHERE path LIKE '/v1/call-test%'`);
	isProblem(await run({}), 404, 'not_found');
});
