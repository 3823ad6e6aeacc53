// Deal lines, batches, stage gates and the board by HTTP: written, read, refused with pointers, and never stale.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const session = await newOrganisation(s, 'Items');
const api = (...request) => session.api(...request);

async function ok(status, method, path, body, headers)
{
	const answer = await api(method, path, body, headers);
	assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
	return answer.body;
}

const pointers = (answer) => answer.body.errors.map((error) => `${error.pointer} ${error.code}`).sort();

test('the amount of a deal is the sum of its lines', async () => {
	const engine = await ok(201, 'POST', '/v1/products', { name: 'Engine', sku: 'E-1', price: '1000.10' });
	const deal = await ok(201, 'POST', '/v1/deals', {
		name: 'Three engines', lines: [{ product_id: engine.id, quantity: 3, discount: 10 }, { name: 'Freight', unit_price: '0.05' }],
	});
	assert.equal(deal.amount.amount, '2700.32');
	assert.deepEqual(deal.lines.map((line) => [line.name, line.quantity, line.unit_price.amount, line.amount.amount]),
		[['Engine', 3, '1000.10', '2700.27'], ['Freight', 1, '0.05', '0.05']]);
	const path = `/v1/deals/${deal.id}`;
	const read = await api('GET', path);
	assert.deepEqual(read.body, deal);
	assert.equal(read.headers.get('etag'), '"1"');
	await api('GET', path);
	const [first] = deal.lines;
	const changed = await api('PATCH', path, {
		lines: [{ id: first.id, product_id: engine.id, quantity: 2, unit_price: first.unit_price }],
	}, { 'if-match': '"1"' });
	assert.equal(changed.status, 200, changed.text);
	assert.equal(changed.body.amount.amount, '2000.20');
	assert.equal(changed.body.lines[0].id, first.id);
	assert.equal(changed.headers.get('etag'), `"${changed.body.version}"`);
	assert.deepEqual((await api('GET', path)).body, changed.body);
	assert.deepEqual((await ok(200, 'GET', `/v1/deals?fields=name&include=lines&limit=1`)).data[0].lines, changed.body.lines);

	const byHand = await api('PATCH', path, { amount: 5 });
	assert.equal(byHand.status, 422, byHand.text);
	assert.deepEqual(pointers(byHand), ['/amount has_lines']);
	const wrong = await api('PATCH', path, { lines: [{ quantity: 'x' }, { name: 'x', unit_price: -1 }] });
	assert.equal(wrong.status, 422);
	assert.deepEqual(pointers(wrong), ['/lines/0/quantity invalid_format']);
	const worse = await api('PATCH', path, { lines: [{ quantity: 0 }, { name: 'x', unit_price: -1 }] });
	assert.deepEqual(pointers(worse), ['/lines/0/name required', '/lines/0/quantity invalid', '/lines/0/unit_price required', '/lines/1/unit_price invalid']);
	const history = await ok(200, 'GET', `${path}/lines/history`);
	assert.deepEqual(history.data.filter((entry) => entry.line_id === first.id).map((entry) => [entry.version, entry.changed.quantity]),
		[[2, { old: 3, new: 2 }], [1, { old: null, new: 3 }]]);

	await ok(200, 'PATCH', path, { status: 'won' });
	const frozen = await api('PATCH', path, { lines: [] });
	assert.equal(frozen.status, 422, frozen.text);
	assert.deepEqual(pointers(frozen), ['/lines deal_closed']);
});

test('a sku is taken once', async () => {
	await ok(201, 'POST', '/v1/products', { name: 'One', sku: 'S-1' });
	const again = await api('POST', '/v1/products', { name: 'Two', sku: 's-1' });
	assert.equal(again.status, 409, again.text);
	assert.deepEqual(pointers(again), ['/sku taken']);
});

test('a batch: a result each, or all or nothing', async () => {
	const { id } = await ok(201, 'POST', '/v1/contacts', { last_name: 'Before' });
	const items = [
		{ op: 'create', body: { last_name: 'Batch', email: 'batch@items.example' } },
		{ op: 'create', body: { last_name: 'Batch', email: 'nope' } },
		{ op: 'update', id, if_match: '7', body: { title: 'x' } },
		{ op: 'update', id, if_match: '1', body: { title: 'After' } },
	];
	const refused = await api('POST', '/v1/contacts:batch', { atomic: true, items });
	assert.equal(refused.status, 422, refused.text);
	assert.equal(refused.body.code, 'batch_failed');
	assert.deepEqual(pointers(refused), ['/items/1/body/email invalid_format', '/items/2/if_match version_mismatch']);
	assert.equal((await ok(200, 'GET', '/v1/contacts?last_name=Batch')).data.length, 0);

	const key = { 'idempotency-key': 'items-batch' };
	const done = await api('POST', '/v1/contacts:batch', { items }, key);
	assert.equal(done.status, 200, done.text);
	assert.equal(done.headers.get('etag'), null);
	assert.equal(done.headers.get('location'), null);
	assert.deepEqual([done.body.succeeded, done.body.failed], [2, 2]);
	assert.deepEqual(done.body.data.map((row) => [row.status, row.version, row.problem?.code]),
		[[201, 1, undefined], [422, undefined, 'invalid_body'], [412, undefined, 'version_mismatch'], [200, 2, undefined]]);
	assert.equal((await ok(200, 'GET', `/v1/contacts/${done.body.data[0].id}`)).email, 'batch@items.example');
	assert.equal((await ok(200, 'GET', `/v1/contacts/${id}`)).title, 'After');
	assert.deepEqual((await api('POST', '/v1/contacts:batch', { items }, key)).body, done.body);
	assert.equal((await ok(200, 'GET', '/v1/contacts?last_name=Batch')).data.length, 1);
});

test('a batch has at most a thousand items, of this noun and in form', async () => {
	const bulk = (n) => ({ items: Array.from({ length: n }, (_, i) => ({ op: 'create', body: { last_name: `Bulk ${i}` } })) });
	assert.equal((await ok(200, 'POST', '/v1/leads:batch', bulk(1000))).succeeded, 1000);
	const many = await api('POST', '/v1/leads:batch', bulk(1001));
	assert.deepEqual([many.status, pointers(many)], [422, ['/items too_many']]);
	const wrong = await api('POST', '/v1/deals:batch', { items: [{ op: 'merge' }, { op: 'delete', id: 'x' }, {}], all: 1 });
	assert.equal(wrong.status, 422);
	assert.deepEqual(pointers(wrong).map((one) => one.split(' ')[0]), ['/all', '/items/0/op', '/items/1/id', '/items/2/op']);
	assert.equal((await api('POST', '/v1/stages:batch', { items: [] })).status, 404);
	assert.equal((await api('GET', '/v1/leads:batch')).status, 405);
});

test('a pipeline with gates, and its board', async () => {
	const pipeline = await ok(201, 'POST', '/v1/pipelines', {
		name: 'Gated', stages: [{ name: 'Talk', probability: 10 }, { name: 'Offer', required_fields: ['amount', 'close_date'] }, { name: 'Signed', kind: 'won' }],
	});
	const [talk, offer, signed] = pipeline.stages;
	assert.deepEqual((await ok(200, 'GET', `/v1/pipelines/${pipeline.id}`)).stages, pipeline.stages);
	await ok(200, 'PATCH', `/v1/stages/${signed.id}`, { gate: { field: 'amount', op: 'gte', value: 100 } });
	const board = async () => ok(200, 'GET', `/v1/pipelines/${pipeline.id}/board`);
	const shown = ({ stages }) => stages.map((stage) => [stage.name, stage.count, stage.amount.amount, stage.deals.map((one) => one.name)]);
	const deal = await ok(201, 'POST', '/v1/deals', { name: 'Gate', stage_id: talk.id });
	await board();
	assert.deepEqual(shown(await board()), [['Talk', 1, '0.00', ['Gate']], ['Offer', 0, '0.00', []], ['Signed', 0, '0.00', []]]);

	const move = (stage, body) => api('POST', `/v1/deals/${deal.id}/stage`, { stage_id: stage.id, ...body });
	const missing = await move(offer);
	assert.equal(missing.status, 422, missing.text);
	assert.equal(missing.body.code, 'stage_gate');
	assert.deepEqual(pointers(missing), ['/amount required', '/close_date required']);
	assert.equal((await move(offer, { amount: '99.99', close_date: '2031-01-01' })).status, 200);
	assert.deepEqual(pointers(await move(signed)), ['/stage_id stage_gate']);
	assert.equal((await move(signed, { amount: '100.10' })).body.status, 'won');
	const after = await board();
	assert.deepEqual(shown(after), [['Talk', 0, '0.00', []], ['Offer', 0, '0.00', []], ['Signed', 1, '100.10', ['Gate']]]);
	assert.deepEqual([after.totals.count, after.totals.amount.amount], [0, '0.00']);

	const stage = await ok(201, 'POST', `/v1/pipelines/${pipeline.id}/stages`, { name: 'Later' });
	assert.equal(stage.position, 4);
	assert.equal((await api('DELETE', `/v1/stages/${stage.id}`)).status, 204);
	const wrong = await api('POST', `/v1/pipelines/${pipeline.id}/stages`, { name: 'x', required_fields: ['price'], gate: { field: 'nope', op: 'eq', value: 1 } });
	assert.equal(wrong.status, 422, wrong.text);
	assert.deepEqual(pointers(wrong), ['/gate/field invalid', '/required_fields/0 unknown']);
	assert.equal((await api('DELETE', `/v1/pipelines/${pipeline.id}`)).status, 204);
	assert.equal((await api('GET', `/v1/pipelines/${pipeline.id}/board`)).status, 404);
});
