// A conversion by HTTP: done, read, undone, done again.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';

const s = await stack();

async function newOrganisation()
{
	const answer = await s.call('POST', '/v1/auth/sign-up', {
		org_name: 'Conversions', name: 'Ann', email: `${randomUUID()}@conversions.example`,
		password: 'a password for tests',
	});
	assert.equal(answer.status, 201, answer.text);
	return (method, path, body, headers) => s.call(method, path, body,
		{ authorization: `Bearer ${answer.body.access_token}`, ...headers });
}

const ours = await newOrganisation();
const theirs = await newOrganisation();

async function ok(status, method, path, body, headers)
{
	const answer = await ours(method, path, body, headers);
	assert.equal(answer.status, status, answer.text);
	return answer.body;
}

async function newLead(fields)
{
	return ok(201, 'POST', '/v1/leads', { last_name: 'Doe', company_name: `C ${randomUUID()}`, ...fields });
}

test('undo: the lead is open again, what was created is gone', async () => {
	const lead = await newLead({ status: 'qualified' });
	const call = await ok(201, 'POST', '/v1/activities', {
		type: 'call', subject: 'Hello', links: [{ type: 'lead', id: lead.id }],
	});
	const done = await ok(200, 'POST', `/v1/leads/${lead.id}/convert`, {});
	const path = `/v1/conversions/${done.conversion_id}`;
	const held = await ok(200, 'GET', path);
	assert.equal(held.lead_id, lead.id);
	assert.equal(held.deal_id, done.deal.id);
	assert.deepEqual(held.created.map((record) => record.type), ['company', 'contact', 'deal']);
	assert.equal(held.links.length, 3);
	assert.equal(held.undo, null);
	assert.equal((await ok(200, 'GET', `/v1/activities/${call.id}`)).links.length, 4);

	const report = await ok(200, 'POST', `${path}/undo`);
	assert.deepEqual(report.kept, []);
	assert.deepEqual(report.conflicts, []);
	assert.deepEqual(report.restored.filter((fact) => fact.action === 'deleted').map((fact) => fact.id).sort(),
		[done.company.id, done.contact.id, done.deal.id].sort());
	assert.deepEqual(await ok(200, 'POST', `${path}/undo`), report, 'again is the same answer');
	const open = await ok(200, 'GET', `/v1/leads/${lead.id}`);
	assert.equal(open.status, 'qualified');
	assert.equal(open.converted, null);
	assert.deepEqual((await ok(200, 'GET', `/v1/activities/${call.id}`)).links, [{ type: 'lead', id: lead.id }]);
	for (const [plural, record] of [['companies', done.company], ['contacts', done.contact], ['deals', done.deal]])
		assert.equal((await ours('GET', `/v1/${plural}/${record.id}`)).status, 404);
	const undone = await ok(200, 'GET', path);
	assert.deepEqual(undone.undo, report);
	assert.ok(undone.undone_at >= undone.at);

	const again = await ok(200, 'POST', `/v1/leads/${lead.id}/convert`, {});
	assert.equal(again.replayed, false);
	assert.notEqual(again.conversion_id, done.conversion_id);
});

test('undo: what was edited since is kept and reported, by force it goes', async () => {
	const lead = await newLead();
	let done = await ok(200, 'POST', `/v1/leads/${lead.id}/convert`, { contact: { mode: 'skip' }, company: { mode: 'skip' } });
	await ok(200, 'PATCH', `/v1/deals/${done.deal.id}`, { name: 'Edited' });
	let report = await ok(200, 'POST', `/v1/conversions/${done.conversion_id}/undo`);
	assert.deepEqual(report.kept, [{ type: 'deal', id: done.deal.id, reason: 'changed' }]);
	assert.equal((await ok(200, 'GET', `/v1/deals/${done.deal.id}`)).name, 'Edited');

	done = await ok(200, 'POST', `/v1/leads/${lead.id}/convert`, {});
	await ok(200, 'PATCH', `/v1/deals/${done.deal.id}`, { name: 'Edited' });
	report = await ok(200, 'POST', `/v1/conversions/${done.conversion_id}/undo?force=true`);
	assert.deepEqual(report.kept, []);
	assert.equal((await ours('GET', `/v1/deals/${done.deal.id}`)).status, 404);
});

test('undo: strangers and nonsense', async () => {
	const lead = await newLead();
	const done = await ok(200, 'POST', `/v1/leads/${lead.id}/convert`, {});
	const path = `/v1/conversions/${done.conversion_id}`;
	assert.equal((await theirs('GET', path)).status, 404);
	assert.equal((await theirs('POST', `${path}/undo`)).status, 404);
	assert.equal((await ours('POST', `/v1/conversions/${randomUUID()}/undo`)).status, 404);
	assert.equal((await ours('POST', `${path}/undo?force=perhaps`)).status, 400);
	assert.equal((await ours('GET', '/v1/conversions/nonsense')).status, 400);
	assert.equal((await ours('GET', path)).body.undo, null);
});

test('many at once: a result each', async () => {
	const leads = [await newLead({ company_name: 'Batch' }), await newLead({ company_name: 'Batch' })];
	const unknown = randomUUID();
	const answer = await ours('POST', '/v1/leads:convert', {
		opts: { deal: { name: 'Batch' } },
		items: [{ id: leads[0].id }, { id: unknown }, { id: leads[1].id, opts: { deal: { mode: 'skip' } } }],
	});
	assert.equal(answer.status, 200, answer.text);
	assert.equal(answer.headers.get('etag'), null);
	const { converted, failed, data } = answer.body;
	assert.deepEqual([converted, failed], [2, 1]);
	assert.deepEqual(data.map((row) => [row.lead_id, row.ok, row.code]),
		[[leads[0].id, true, undefined], [unknown, false, 'not_found'], [leads[1].id, true, undefined]]);
	assert.equal(data[0].company_id, data[2].company_id);
	assert.equal((await ok(200, 'GET', `/v1/deals/${data[0].deal_id}`)).name, 'Batch');
	assert.equal(data[2].deal_id, null);
	assert.equal((await ours('POST', '/v1/leads:convert', { atomic: true, items: [{ id: unknown }] })).status, 404);
	const wrong = await ours('POST', '/v1/leads:convert', { items: [{ id: 'x' }, { opts: { deal: { mode: 'auto' } } }] });
	assert.equal(wrong.status, 422, wrong.text);
	assert.deepEqual(wrong.body.errors.map((error) => error.pointer).sort(),
		['/items/0/id', '/items/1/id', '/items/1/opts/deal/mode']);
});

test('mapping: read, checked, changed, used', async () => {
	const preset = await ours('GET', '/v1/conversion-mapping');
	assert.equal(preset.status, 200, preset.text);
	assert.equal(preset.headers.get('etag'), '"0"');
	const { version, rows } = preset.body;
	assert.equal(version, 0);
	const wrong = await ours('PUT', '/v1/conversion-mapping',
		{ rows: [{ source: 'city', target_entity: 'company', target_field: 'employees' }] });
	assert.equal(wrong.status, 422, wrong.text);
	assert.deepEqual(wrong.body.errors.map((error) => error.pointer), ['/rows/0/target_field']);
	const mine = [...rows, { source: 'industry', target_entity: 'deal', target_field: 'product' }];
	const saved = await ok(200, 'PUT', '/v1/conversion-mapping', { rows: mine }, { 'if-match': '"0"' });
	assert.equal(saved.version, 1);
	assert.equal(saved.rows.at(-1).policy, 'fill_blank');
	assert.equal((await ours('PUT', '/v1/conversion-mapping', { rows: mine }, { 'if-match': '"0"' })).status, 412);
	assert.deepEqual((await ok(200, 'GET', '/v1/conversion-mapping?version=0')).rows, rows);
	assert.equal((await ours('GET', '/v1/conversion-mapping?version=7')).status, 404);
	assert.equal((await theirs('GET', '/v1/conversion-mapping')).body.version, 0);

	const lead = await newLead({ industry: 'Games', title: 'CEO' });
	const done = await ok(200, 'POST', `/v1/leads/${lead.id}/convert`, {
		values: { company: { phone: '+49 30 123456' } },
		mapping: [{ source: 'title', target_entity: 'contact', target_field: 'custom.role' }],
	});
	assert.equal(done.deal.product, 'Games');
	assert.equal(done.company.phone, '+4930123456');
	assert.deepEqual(done.contact.custom, { role: 'CEO' });
	const bad = await ours('POST', `/v1/leads/${lead.id}/convert`, { values: { company: { size: 1 } }, dup: 'perhaps' });
	assert.equal(bad.status, 422, bad.text);
	assert.deepEqual(bad.body.errors.map((error) => error.pointer).sort(), ['/dup', '/values/company/size']);
});
