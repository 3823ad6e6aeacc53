// Deal lines by HTTP: written with the deal, read with it, refused with pointers, and never stale.
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
