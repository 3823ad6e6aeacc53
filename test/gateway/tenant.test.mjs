// Two organisations side by side: by no route, and not through the cache or a live channel, does
// one see or touch a row of the other.
import assert from 'node:assert/strict';
import test from 'node:test';
import { io } from 'socket.io-client';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const victim = await newOrganisation(s, 'Victim Ltd');
const stranger = await newOrganisation(s, 'Stranger Ltd');

async function make(session, path, body)
{
	const answer = await session.api('POST', `/v1/${path}`, body);
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
}

/* One of everything, with a word that must never be read by the other side. */
async function belongings(session, word)
{
	const company = await make(session, 'companies', { name: `${word} company` });
	const contact = await make(session, 'contacts', { last_name: word, company_id: company.id });
	const deal = await make(session, 'deals', { name: word, amount: '777', company_id: company.id, contact_id: contact.id });
	const lead = await make(session, 'leads', { last_name: word, company_name: `${word} lead` });
	const activity = await make(session, 'activities', { type: 'note', subject: word, links: [{ type: 'lead', id: lead.id }] });
	const product = await make(session, 'products', { name: `${word} product`, sku: word });
	const filter = await make(session, 'filters', { noun: 'lead', name: word, visibility: 'org',
		filter: { field: 'last_name', op: '=', value: word } });
	const field = await make(session, 'custom-fields', { entity: 'product', key: 'secret', type: 'text', label: word });
	const used = await make(session, 'leads', { last_name: `${word} used`, email: `${word.toLowerCase()}@used-lead.example` });
	const conversion = await session.api('POST', `/v1/leads/${used.id}/convert`, {});
	assert.equal(conversion.status, 200, conversion.text);
	const pools = await session.api('GET', '/v1/routing/pools');
	const twin = await make(session, 'contacts', { last_name: `${word} twin` });
	const merge = await session.api('POST', `/v1/contacts/${contact.id}/merge`, { losers: [twin.id] });
	assert.equal(merge.status, 200, merge.text);
	const batch = await session.api('POST', '/v1/leads:batch',
		{ items: [{ op: 'create', body: { last_name: `${word} batch` } }] });
	assert.equal(batch.status, 200, batch.text);
	const task = await make(session, 'activities', { type: 'task', subject: word, owner_id: session.member.id,
		due_at: '2090-01-01T00:00:00Z', reminders: [{ minutes_before: 1 }] });
	const [reminder] = (await session.api('GET', '/v1/reminders')).body.data;
	assert.equal(reminder.activity_id, task.id);
	const file = await make(session, `leads/${lead.id}/attachments?name=${word}`, word);
	const upload = await make(session, `uploads?name=${word}`, word);
	const imported = await session.api('POST', '/v1/imports?type=leads', `last_name\n${word} import\n`, { 'content-type': 'text/csv' });
	assert.equal(imported.status, 201, imported.text);
	const touch = await make(session, 'touches', { source: word, links: [{ type: 'lead', id: lead.id }] });
	const month = { period_from: '2026-01-01', period_to: '2026-02-01', amount: '1' };
	const cost = await make(session, 'source-costs', { source: word, ...month });
	const quota = await make(session, 'quotas', { member_id: session.member.id, ...month });
	const [pipeline] = (await session.api('GET', '/v1/pipelines')).body.data;
	return {
		leads: lead.id, contacts: contact.id, companies: company.id, deals: deal.id,
		activities: activity.id, members: session.member.id, pipelines: pipeline.id,
		stages: pipeline.stages[0].id, conversions: conversion.body.conversion_id, merges: merge.body.merge_id, batches: batch.body.batch_id,
		products: product.id, routing: pools.body.data[0].id, teams: lead.id, sessions: lead.id, filters: filter.id,
		'custom-fields': field.id, reminders: reminder.id, attachments: file.id, uploads: upload.id,
		imports: imported.body.id, touches: touch.id, 'source-costs': cost.id, quotas: quota.id,
	};
}

const word = 'Zyzzyva';
const theirs = await belongings(victim, word);
const mine = await belongings(stranger, 'Ordinary');
const [{ session_id }] = await s.sql(
	'SELECT session_id FROM saleshub.session WHERE org_id = $1 LIMIT 1', [victim.member.org_id]);
theirs.sessions = session_id;

const [{ routes }] = await s.sql('SELECT saleshub.route_catalog() AS routes');

/* Every row of an organisation in every table that has org_id, as one text, once the worker is through. */
async function contents(org)
{
	await waitFor(async () => (await s.sql(
		`SELECT FROM crm.routing_queue WHERE org_id = $1 AND next_try_at < now()
		 UNION ALL SELECT FROM saleshub.routing_wake WHERE org_id = $1`, [org])).length === 0,
	{ what: 'the worker to try the leads that wait' });
	const tables = await s.sql(
		`SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
		 WHERE relkind IN ('r', 'p') AND attname = 'org_id' AND NOT attisdropped
		   AND relnamespace IN ('crm'::regnamespace, 'saleshub'::regnamespace)
		   AND relname NOT LIKE 'search\\_%'
		   AND relname NOT IN ('session', 'login', 'outbox', 'event_log', 'rollup', 'rollup_delta', 'rollup_level', 'forecast_snapshot')
		 ORDER BY 1`);
	assert.ok(tables.length > 10);
	const parts = [];
	for (const { name } of tables)
	{
		const rows = await s.sql(
			`SELECT to_jsonb(t) AS row FROM ${name} t WHERE org_id = $1 ORDER BY to_jsonb(t)::text`, [org]);
		parts.push(`${name}: ${JSON.stringify(rows)}`);
	}
	return parts.join('\n');
}

const reads = (session, path) => session.api('GET', path);

/* The path of a route with the foreign id in it; null when it takes none. */
function foreign(route)
{
	if (!route.path.includes('{'))
		return null;
	const noun = route.path.split('/')[2].replace(/:.*/, '');
	if (noun === 'tags' || noun === 'scoring')
		return null; // a word or a number, no id
	const id = noun === 'auth' ? theirs.sessions : theirs[noun];
	assert.ok(id, `an id for ${route.path}`);
	return route.path.replace(/\{[^}]+\}/g, id);
}

/* Bodies that would be accepted for an own record. */
const bodies = {
	leads: { city: 'Taken' }, contacts: { title: 'Taken' }, companies: { industry: 'Taken' },
	deals: { product: 'Taken' }, activities: { outcome: 'Taken' }, products: { description: 'Taken' }, members: { name: 'Taken' }, filters: { name: 'Taken' },
	quotas: { amount: '2' }, 'source-costs': { amount: '2' },
};

test('the owner sees it all, and has it in the cache', async () =>
{
	let cached = 0;
	for (const route of routes.filter((one) => one.method === 'GET' && one.auth === 'session'))
	{
		const path = foreign(route) ?? route.path;
		for (let i = 0; i < 2; i++)
		{
			const answer = await reads(victim, path);
			cached += /hit/.test(answer.headers.get('cache-status') ?? '');
		}
	}
	assert.ok(cached > 5, `${cached} answers came from the cache`);
	assert.ok((await reads(victim, `/v1/leads/${theirs.leads}`)).text.includes(word));
});

test('no read with a foreign id shows anything', async () =>
{
	let tried = 0;
	for (const route of routes.filter((one) => one.method === 'GET' && one.auth === 'session'))
	{
		const path = foreign(route);
		if (!path)
			continue;
		tried++;
		for (let i = 0; i < 2; i++)
		{
			const answer = await reads(stranger, path);
			assert.ok(!answer.text.includes(word), `${path} shows ${answer.text}`);
			assert.ok([403, 404, 422].includes(answer.status), `${path}: ${answer.status} ${answer.text}`);
		}
	}
	assert.ok(tried >= 15, `${tried} routes tried`);
});

test('no list shows a foreign row, whatever it is filtered by', async () =>
{
	for (const route of routes.filter((one) => one.method === 'GET' && one.auth === 'session' && !one.path.includes('{')))
		assert.ok(!(await reads(stranger, route.path)).text.includes(word), route.path);
	for (const path of [
		`/v1/leads?last_name=${word}`, `/v1/leads?owner_id=${theirs.members}`,
		`/v1/deals?company_id=${theirs.companies}`, `/v1/deals?stage_id=${theirs.stages}`,
		`/v1/contacts?company_id=${theirs.companies}`, `/v1/activities?lead_id=${theirs.leads}`,
		`/v1/leads?filter=${theirs.filters}`,
	])
	{
		const answer = await reads(stranger, path);
		if (answer.status === 200)
			assert.deepEqual(answer.body.data, [], path);
		else
			assert.ok([400, 404].includes(answer.status), `${path}: ${answer.text}`);
	}
	const cursor = (await reads(victim, '/v1/leads?limit=1')).body.next_cursor;
	const answer = await reads(stranger, `/v1/leads?limit=1&cursor=${encodeURIComponent(cursor)}`);
	assert.ok(!answer.text.includes(word));
});

test('no write with a foreign id does anything', async () =>
{
	const before = await contents(victim.member.org_id);
	let tried = 0;
	for (const route of routes.filter((one) => one.method !== 'GET' && one.auth === 'session'))
	{
		const path = foreign(route);
		if (!path)
			continue;
		tried++;
		const noun = route.path.split('/')[2];
		const body = route.method === 'DELETE' || /restore$/.test(path) ? undefined
			: route.method === 'PATCH' ? bodies[noun] ?? {}
			: /stage$/.test(path) ? { stage_id: mine.stages } : {};
		for (const headers of [{}, { 'if-match': '"1"' }])
		{
			const answer = await stranger.api(route.method, path, body, headers);
			assert.ok([403, 404, 422].includes(answer.status),
				`${route.method} ${path}: ${answer.status} ${answer.text}`);
			assert.ok(!answer.text.includes(word), `${route.method} ${path} shows ${answer.text}`);
		}
	}
	assert.ok(tried >= 15, `${tried} routes tried`);
	assert.equal(await contents(victim.member.org_id), before, 'the rows are untouched');
});

test('no own record can be linked to a foreign one', async () =>
{
	const before = await contents(victim.member.org_id);
	const links = [
		['leads', { last_name: 'x', owner_id: theirs.members }],
		['contacts', { last_name: 'x', company_id: theirs.companies }],
		['contacts', { last_name: 'x', owner_id: theirs.members }],
		['companies', { name: 'x', parent_id: theirs.companies }],
		['companies', { name: 'x', owner_id: theirs.members }],
		['deals', { name: 'x', company_id: theirs.companies }],
		['deals', { name: 'x', contact_id: theirs.contacts }],
		['deals', { name: 'x', pipeline_id: theirs.pipelines }],
		['deals', { name: 'x', stage_id: theirs.stages }],
		['deals', { name: 'x', lines: [{ product_id: theirs.products, unit_price: 1 }] }],
		['deals', { name: 'x', owner_id: theirs.members }],
		['activities', { type: 'note', subject: 'x', owner_id: theirs.members }],
		...['lead', 'contact', 'company', 'deal'].map((type) => ['activities', {
			type: 'note', subject: 'x',
			links: [{ type, id: theirs[type === 'company' ? 'companies' : `${type}s`] }],
		}]),
	];
	for (const [path, body] of links)
	{
		const made = await stranger.api('POST', `/v1/${path}`, body);
		assert.ok([403, 404, 422].includes(made.status), `POST ${path} ${JSON.stringify(body)}: ${made.status} ${made.text}`);
		const { last_name, name, subject, type, ...patch } = body;
		const changed = await stranger.api('PATCH', `/v1/${path}/${mine[path]}`, patch);
		assert.ok([403, 404, 422].includes(changed.status), `PATCH ${path} ${JSON.stringify(patch)}: ${changed.status} ${changed.text}`);
	}
	for (const opts of [
		{ company: { mode: 'link', id: theirs.companies } },
		{ contact: { mode: 'link', id: theirs.contacts } },
		{ deal: { mode: 'link', id: theirs.deals } },
		{ owner: theirs.members },
		{ owner_id: theirs.members },
		{ deal: { mode: 'create', pipeline_id: theirs.pipelines } },
		{ deal: { mode: 'create', stage_id: theirs.stages } },
	])
	{
		const answer = await stranger.api('POST', `/v1/leads/${mine.leads}/convert`, opts);
		assert.ok([403, 404, 422].includes(answer.status), `${JSON.stringify(opts)}: ${answer.status} ${answer.text}`);
	}
	assert.equal((await stranger.api('GET', `/v1/leads/${mine.leads}`)).body.status, 'new');
	assert.equal(await contents(victim.member.org_id), before);
});

test('a conversion never finds the other one\'s company or contact', async () =>
{
	await make(victim, 'companies', { name: 'Shared Name Ltd', domain: 'shared-name.example' });
	const lead = await make(stranger, 'leads', {
		last_name: 'Shared', email: 'someone@shared-name.example', company_name: 'Shared Name Ltd',
	});
	const answer = await stranger.api('POST', `/v1/leads/${lead.id}/convert`, {});
	assert.equal(answer.status, 200, answer.text);
	const company = await stranger.api('GET', `/v1/companies/${answer.body.company.id}`);
	assert.equal(company.status, 200, 'it is an own, new company');
});

test('no live channel carries a foreign event', async () =>
{
	const socket = io(s.url, { auth: { token: stranger.access_token }, transports: ['websocket'] });
	const seen = [];
	const stop = new AbortController();
	try
	{
		socket.onAny((...args) => seen.push(JSON.stringify(args)));
		await waitFor(() => socket.connected);
		const channels = ['feed', 'list:lead', 'dash:main', `entity:lead:${theirs.leads}`, `entity:deal:${theirs.deals}`];
		for (const channel of channels)
			await socket.timeout(5000).emitWithAck('subscribe', { channels: [channel] });

		const stream = await fetch(`${s.url}/v1/stream?ch=feed&ch=${channels[3]}`, {
			headers: { authorization: `Bearer ${stranger.access_token}` }, signal: stop.signal,
		});
		if (stream.status === 200)
			(async () =>
			{
				const decoder = new TextDecoder();
				for await (const chunk of stream.body)
					seen.push(decoder.decode(chunk));
			})().catch(() => {});

		const changed = await victim.api('PATCH', `/v1/leads/${theirs.leads}`, { city: word });
		assert.equal(changed.status, 200);
		await victim.api('PATCH', `/v1/deals/${theirs.deals}`, { amount: '778' });
		const own = await make(stranger, 'leads', { last_name: 'Own' });
		await waitFor(() => seen.join().includes(own.id), { what: 'the own event' });
		for (const id of [theirs.leads, theirs.deals, word])
			assert.ok(!seen.join('\n').includes(id), 'only own events arrived');
	}
	finally
	{
		stop.abort();
		socket.close();
	}
});

test('figures of one do not count the other', async () =>
{
	const before = (await stranger.api('GET', '/v1/dashboard')).body;
	await make(victim, 'leads', { last_name: 'Uncounted' });
	await make(victim, 'deals', { name: 'Uncounted', amount: '1000' });
	const { as_of_seq: a, ...now } = (await stranger.api('GET', '/v1/dashboard')).body;
	const { as_of_seq: b, ...then } = before;
	assert.deepEqual(now, then);
});
