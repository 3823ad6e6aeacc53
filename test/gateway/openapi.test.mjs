// The OpenAPI document: complete, consistent in itself, by role, and as fresh as the routes. That
// answers are what it says is held by test/lib/contract.mjs in all other tests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Contract } from '../lib/contract.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const { status, body: document, headers } = await s.call('GET', '/openapi.json');
const contract = new Contract(document);
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
	Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));

test('everybody reads it, and it is version 3.1', () =>
{
	assert.equal(status, 200);
	assert.match(document.openapi, /^3\.1\./);
	assert.match(headers.get('content-type'), /^application\/json/);
});

test('it has every route that the gateway serves, and no other', async () =>
{
	const served = (await (await fetch(new URL('/debug/routes', s.admin_url))).text())
		.split('\n').filter(Boolean).map((line) => line.split(/\s+/).slice(0, 2).join(' '));
	const own = ['POST /v1/auth/sign-in', 'POST /v1/auth/sign-up', 'POST /v1/auth/refresh',
		'POST /v1/me/password', 'POST /v1/members', 'GET /v1/health', 'GET /v1/poll', 'GET /v1/stream'];
	assert.ok(served.length > 200);
	assert.deepEqual(operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort(),
		[...served, ...own].sort());
});

test('every reference leads somewhere', () =>
{
	const text = JSON.stringify(document);
	const references = new Set([...text.matchAll(/"\$ref":\s*"([^"]+)"/g)].map((m) => m[1]));
	assert.ok(references.size > 20);
	for (const reference of references)
		assert.ok(contract.resolve({ $ref: reference }), reference);
});

test('operations have unique names, and say what comes of success and of faults', () =>
{
	assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
	for (const { path, method, operation } of operations)
	{
		const statuses = Object.keys(operation.responses);
		const name = `${method} ${path}`;
		assert.ok(statuses.some((code) => /^2/.test(code)), name);
		assert.ok(statuses.some((code) => /^4/.test(code)), name);
		assert.ok(operation.summary && operation.tags.length === 1, name);
		const placeholders = [...path.matchAll(/\{([^}]+)\}/g)].map((m) => m[1]).sort();
		const parameters = (operation.parameters ?? []).map((p) => contract.resolve(p));
		assert.deepEqual(parameters.filter((p) => p.in === 'path').map((p) => p.name).sort(), placeholders, name);
		assert.equal(new Set(parameters.map((p) => `${p.in} ${p.name}`)).size, parameters.length, name);
	}
});

test('by role: what a member may not call is left out', async () =>
{
	const rep = await s.newMember('rep');
	const of_rep = await rep.api('GET', '/openapi.json');
	const of_admin = await s.api('GET', '/openapi.json');
	assert.ok(document.paths['/v1/privacy/erase']);
	assert.equal(of_rep.body.paths['/v1/privacy/erase'], undefined);
	assert.ok(document.paths['/v1/members'].post);
	assert.deepEqual(Object.keys(of_rep.body.paths['/v1/members']), ['get']);
	assert.equal(of_rep.body.paths['/v1/leads'].post.operationId, 'lead_create');
	assert.ok(of_admin.body.paths['/v1/privacy/erase']);
	assert.deepEqual((await s.call('GET', '/openapi.json?role=rep')).body, of_rep.body);
	assert.equal((await s.call('GET', '/openapi.json?role=owner')).status, 400);
	assert.equal((await s.call('GET', '/openapi.json', undefined, { authorization: 'Bearer no' })).status, 401);
});

test('it is kept, and right at once when a route comes or goes', async () =>
{
	const again = await s.call('GET', '/openapi.json', undefined, { 'if-none-match': headers.get('etag') });
	assert.equal(again.status, 304);
	await s.sql("SELECT saleshub.route('GET /v1/openapi-test', 'crm.openapi(text)', 'A test', 'operations')");
	await waitFor(async () => (await s.call('GET', '/openapi.json')).body.paths['/v1/openapi-test']);
	await s.sql("DELETE FROM saleshub.route WHERE path = '/v1/openapi-test'");
	await waitFor(async () => !(await s.call('GET', '/openapi.json')).body.paths['/v1/openapi-test']);
});
