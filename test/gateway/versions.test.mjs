// Versions: every field is always there, a change makes exactly one version, and of two editors the
// second is told.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const me = await newOrganisation(s, 'Records Ltd');
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/* path: [body to create, patch, fields of the noun] */
const nouns = {
	leads: [
		{ last_name: 'Curie', first_name: 'Marie', email: 'Marie@Radium.Example', source: 'web',
			tags: ['science'], custom: { lab: { floor: 2 } } },
		{ title: 'Professor', custom: { lab: { floor: null, room: 7 } } },
		['first_name', 'last_name', 'email', 'phone', 'company_name', 'title', 'website', 'source',
			'status', 'country', 'city', 'industry', 'employees', 'annual_revenue', 'owner_id',
			'tags', 'custom', 'consent', 'score', 'grade', 'probability', 'converted'],
	],
	contacts: [
		{ last_name: 'Lovelace', first_name: 'Ada', email: 'ada@engine.example' },
		{ title: 'Countess' },
		['first_name', 'last_name', 'email', 'phone', 'company_id', 'title', 'owner_id', 'tags',
			'custom'],
	],
	companies: [
		{ name: 'Analytical Engines', domain: 'engine.example', employees: 12 },
		{ industry: 'computing' },
		['name', 'domain', 'industry', 'employees', 'parent_id', 'owner_id', 'tags', 'custom'],
	],
	deals: [
		{ name: 'Difference engine', amount: { amount: '1234.50', currency: 'USD' } },
		{ close_date: '2031-03-31' },
		['name', 'company_id', 'contact_id', 'pipeline_id', 'stage_id', 'amount', 'close_date',
			'probability', 'status', 'lost_reason', 'owner_id', 'tags', 'custom'],
	],
	activities: [
		{ type: 'task', subject: 'Call back', due_at: '2030-01-02T03:04:05Z' },
		{ outcome: 'reached', done_at: '2030-01-03T00:00:00Z' },
		['type', 'subject', 'body', 'due_at', 'done_at', 'outcome', 'owner_id', 'links'],
	],
};

const create = async (path, body, as = me) =>
{
	const answer = await as.api('POST', `/v1/${path}`, body);
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
};

for (const [path, [body, patch, fields]] of Object.entries(nouns))
{
	test(`${path}: each version is told apart`, async () =>
	{
		const made = await me.api('POST', `/v1/${path}`, body);
		assert.equal(made.status, 201, made.text);
		const { id } = made.body;
		const one = `/v1/${path}/${id}`;
		assert.match(id, uuid);
		assert.equal(made.headers.get('location'), one);
		assert.equal(made.headers.get('etag'), '"1"');
		assert.match(made.headers.get('x-request-id'), /./);
		for (const field of [...fields, 'version', 'created_at', 'updated_at'])
			assert.ok(field in made.body, `${field} is present`);
		assert.match(made.body.created_at, instant);

		const read = await me.api('GET', one);
		assert.equal(read.status, 200);
		assert.equal(read.headers.get('etag'), '"1"');
		assert.deepEqual(read.body, made.body);

		const same = await me.api('GET', one, undefined, { 'if-none-match': '"1"' });
		assert.equal(same.status, 304);
		assert.equal(same.text, '');
		assert.equal(same.headers.get('etag'), '"1"');
		assert.equal((await me.api('GET', one, undefined, { 'if-none-match': '"9", W/"1"' })).status, 304);
		assert.equal((await me.api('GET', one, undefined, { 'if-none-match': '"9"' })).status, 200);

		const changed = await me.api('PATCH', one, patch, { 'if-match': '"1"' });
		assert.equal(changed.status, 200, changed.text);
		assert.equal(changed.body.version, 2);
		assert.equal(changed.headers.get('etag'), '"2"');
		assert.equal(changed.body.updated_by, me.member.id);
		const late = await me.api('PATCH', one, patch, { 'if-match': '"1"' });
		assert.equal(late.status, 412);
		assert.match(late.headers.get('content-type'), /^application\/problem\+json/);
		assert.deepEqual((await me.api('GET', one)).body, changed.body);

		const nothing = await me.api('PATCH', one, {});
		assert.equal(nothing.status, 200, nothing.text);
		assert.equal(nothing.body.version, 2, 'a patch that changes nothing makes no version');

		assert.equal((await me.api('DELETE', one, undefined, { 'if-match': '"1"' })).status, 412);
		const gone = await me.api('DELETE', one, undefined, { 'if-match': '"2"' });
		assert.equal(gone.status, 204, gone.text);
		assert.equal(gone.text, '');
		assert.equal((await me.api('GET', one)).status, 404);
		assert.equal((await me.api('PATCH', one, patch)).status, 404);
		assert.equal((await me.api('DELETE', one)).status, 404);
		const list = await me.api('GET', `/v1/${path}?limit=200`);
		assert.ok(!list.body.data.some((row) => row.id === id));

		const back = await me.api('POST', `${one}/restore`);
		assert.equal(back.status, 200, back.text);
		const { version, updated_at, ...restored } = back.body;
		const { version: old, updated_at: then, ...known } = changed.body;
		assert.deepEqual(restored, known);
		assert.ok(version > old && updated_at > then);

		const history = await me.api('GET', `${one}/history`);
		assert.equal(history.status, 200, history.text);
		const entries = history.body.data;
		assert.ok(entries.length >= 4, 'create, change, remove, restore');
		assert.ok(entries.every((entry) => entry.actor_id === me.member.id));
		const field = Object.keys(patch).find((name) => name !== 'custom');
		const change = entries.find((entry) => entry.op === 'update' && field in entry.changed);
		assert.ok(change, `the change of ${field} is in the history`);
		assert.equal(change.version, 2);

		const timeline = await me.api('GET', `${one}/timeline`);
		assert.equal(timeline.status, 200, timeline.text);
	});
}

test('a patch is a merge patch: null empties, objects are merged', async () =>
{
	const { id } = await create('leads', nouns.leads[0]);
	const answer = await me.api('PATCH', `/v1/leads/${id}`,
		{ first_name: null, custom: { lab: { room: 7 } } });
	assert.equal(answer.body.first_name, null);
	assert.deepEqual(answer.body.custom, { lab: { floor: 2, room: 7 } });
	assert.deepEqual(answer.body.tags, ['science']);
	const emptied = await me.api('PATCH', `/v1/leads/${id}`, { custom: { lab: null }, tags: [] });
	assert.deepEqual(emptied.body.custom, {});
	assert.deepEqual(emptied.body.tags, []);
});

test('two editors: the second is told, and nothing is lost', async () =>
{
	const { id } = await create('leads', { last_name: 'Contested', city: 'Bonn' });
	const results = await Promise.all(['Ulm', 'Jena', 'Kiel', 'Trier'].map((city) =>
		me.api('PATCH', `/v1/leads/${id}`, { city }, { 'if-match': '"1"' })));
	assert.deepEqual(results.map(({ status }) => status).sort(), [200, 412, 412, 412]);
	const winner = results.find(({ status }) => status === 200).body;
	assert.deepEqual((await me.api('GET', `/v1/leads/${id}`)).body, winner);
	assert.equal(winner.version, 2);
});
