// A model is trained by a worker while the request is long answered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stack, waitFor } from '../lib/stack.mjs';
import { newOrganisation } from '../lib/organisation.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Scoring');

test('training is a job, and its card says what came of it', async () => {
	const asked = await admin.api('POST', '/v1/scoring/train', { entity: 'lead' });
	assert.equal(asked.status, 202, asked.text);
	assert.match(asked.body.state, /^(queued|running|done)$/);
	let job;
	await waitFor(async () => {
		job = (await admin.api('GET', `/v1/scoring/train/${asked.body.id}`)).body;
		return !['queued', 'running'].includes(job.state);
	}, { what: 'the end of the training', timeout: 30000 });
	assert.equal(job.state, 'done', JSON.stringify(job.fault));
	assert.equal(job.progress, 1);
	const model = await admin.api('GET', '/v1/scoring/model');
	assert.equal(model.status, 200, model.text);
	assert.equal(model.body.state, 'insufficient');
	assert.equal(model.body.insufficient.n, 0);
	const over = await admin.api('POST', `/v1/scoring/train/${job.id}/cancel`);
	assert.equal(over.body.state, 'done');
});

test('what is asked for must be there', async () => {
	assert.equal((await admin.api('POST', '/v1/scoring/train', { entity: 'contact' })).status, 422);
	assert.equal((await admin.api('GET', '/v1/scoring/model?entity=contact')).status, 400);
	assert.equal((await admin.api('GET', '/v1/scoring/train/01890000-0000-7000-8000-000000000000')).status, 404);
	const deal = await admin.api('POST', '/v1/deals', { name: 'One' });
	const chance = await admin.api('GET', `/v1/deals/${deal.body.id}/probability`);
	assert.equal(chance.status, 200, chance.text);
	assert.equal(chance.body.probability, chance.body.probability_stage);
	assert.deepEqual(chance.body.model_reasons, []);
	const put = await admin.api('PUT', '/v1/scoring/settings', { automatic: false });
	assert.deepEqual(put.body, { entity: 'lead', automatic: false });
});
