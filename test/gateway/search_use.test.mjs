// Suggestions, what was searched for and what was opened, over HTTP.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();

test('suggestions, searches and clicks; other organisations get nothing of them', async () =>
{
	const mine = await newOrganisation(s, 'Suggest Ltd');
	const other = await newOrganisation(s, 'Elsewhere Ltd');
	const lead = await mine.api('POST', '/v1/leads', { first_name: 'Ottilie', last_name: 'Quast' });
	assert.equal(lead.status, 201, lead.text);
	const found = await mine.api('GET', '/v1/search/suggest?q=otti');
	assert.equal(found.status, 200, found.text);
	assert.deepEqual(found.body.records.map((r) => [r.type, r.id, r.title]), [['lead', lead.body.id, 'Ottilie Quast']]);
	assert.deepEqual((await mine.api('GET', '/v1/search/suggest?q=qaust')).body.records.map((r) => r.id), [lead.body.id]);
	assert.deepEqual((await other.api('GET', '/v1/search/suggest?q=otti')).body.records, []);
	assert.equal((await mine.api('GET', '/v1/search/suggest?q=a&types=house')).status, 400);

	const search = await mine.api('GET', '/v1/search?q=Ottilie');
	assert.equal(search.body.data[0].id, lead.body.id);
	const click = { query_id: search.body.query_id, position: 1, type: 'lead', id: lead.body.id };
	assert.equal((await mine.api('POST', '/v1/search/clicks', click)).status, 204);
	assert.equal((await mine.api('POST', '/v1/search/clicks', { ...click, position: 0 })).status, 422);
	assert.equal((await other.api('POST', '/v1/search/clicks', click)).status, 404);
	assert.equal((await mine.api('GET', '/v1/search/suggest')).body.records[0].id, lead.body.id);
	// The worker writes the note of the search, and what it may be suggested by.
	await waitFor(async () => (await mine.api('GET', '/v1/search/suggest?q=ott')).body.queries
		.some((q) => q.q === 'ottilie' && q.source === 'own'), { what: 'the search as a suggestion' });
});

test('a noted search leaves cached answers as they are', async () =>
{
	const mine = await newOrganisation(s, 'Cached Ltd');
	await mine.api('POST', '/v1/companies', { name: 'Kept Company' });
	// So often that each thread of the gateway is asked.
	const hits = async () =>
	{
		let n = 0;
		for (let i = 0; i < 20; i++)
			n += (await mine.api('GET', '/v1/companies')).headers.get('cache-status') === 'saleshub; hit';
		return n;
	};
	await waitFor(async () => (await hits()) === 20, { what: 'a cached list' });
	await mine.api('GET', '/v1/search?q=kept');
	await waitFor(async () => (await mine.api('GET', '/v1/search/suggest?q=kep')).body.queries
		.some((q) => q.source === 'own'), { what: 'the note of the search' });
	assert.equal(await hits(), 20);
});
