// Who sees what, over HTTP: every route with an id and every list, for each role and scope and each
// kind of owner, gives exactly what is visible; with the cache on, at once after rights change, and
// not through a live channel either.
import assert from 'node:assert/strict';
import test from 'node:test';
import { io } from 'socket.io-client';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Visible Ltd');
const stranger = await newOrganisation(s, 'Invisible Ltd');
const org_id = admin.member.org_id;
const nouns = ['lead', 'contact', 'company', 'deal', 'activity'];
const plurals = { lead: 'leads', contact: 'contacts', company: 'companies', deal: 'deals', activity: 'activities' };
const roles = ['manager', 'rep', 'readonly'];

async function ok(session, method, path, body, status = [200, 201, 204])
{
	const answer = await session.api(method, path, body);
	assert.ok(status.includes(answer.status), `${method} ${path}: ${answer.status} ${answer.text}`);
	return answer.body;
}

const make = (session, noun, body) => ok(session, 'POST', `/v1/${plurals[noun]}`, body, [201]);
const settle = (patch) => ok(admin, 'PATCH', '/v1/settings/visibility', patch, [200]);
const scopes = (role, scope) => settle({ visibility: { [role]: Object.fromEntries(nouns.map((noun) => [noun, scope])) } });

/* Members by what they are to the actors: the actors share a team with the mate. */
const actors = {};
for (const role of roles)
	actors[role] = await s.newMember(role, { org_id, name: role });
const mate = await s.newMember('rep', { org_id, name: 'mate' });
const outsider = await s.newMember('rep', { org_id, name: 'outsider' });
const team = await ok(admin, 'POST', '/v1/teams', { name: 'Team' }, [201]);
const foreign_team = await ok(admin, 'POST', '/v1/teams', { name: 'Foreign team' }, [201]);
for (const member of [...Object.values(actors), mate])
	await ok(admin, 'PUT', `/v1/teams/${team.id}/members/${member.member.id}`);
await ok(admin, 'PUT', `/v1/teams/${foreign_team.id}/members/${outsider.member.id}`);

/* One record of each noun, recognisable by its word. */
async function belongings(session, word, owner_id)
{
	const lead = await make(session, 'lead', { last_name: word, owner_id, phone: '+12025550123' });
	const company = await make(session, 'company', { name: word, owner_id });
	const contact = await make(session, 'contact', { last_name: word, owner_id, company_id: company.id });
	const deal = await make(session, 'deal', { name: word, owner_id, amount: '100', company_id: company.id });
	const activity = await make(session, 'activity', { type: 'note', subject: word, owner_id, links: [{ type: 'lead', id: lead.id }] });
	return { word, lead, company, contact, deal, activity };
}

const owners = { mate, outsider, ...actors };
const things = {};
for (const [name, session] of Object.entries(owners))
	things[name] = await belongings(admin, `Zq${name}zq`, session.member.id);
/* By the admin itself, who is in no team. */
things.admin = await belongings(admin, 'Zqadminzq', admin.member.id);
things.stranger = await belongings(stranger, 'Zqstrangerzq', stranger.member.id);

/* Whose records an actor sees. */
function visible(role, scope)
{
	if (scope === 'all')
		return Object.keys(things).filter((name) => name !== 'stranger');
	return scope === 'team' ? [...roles, 'mate'] : [role];
}

const [{ routes }] = await s.sql('SELECT saleshub.route_catalog() AS routes');
const mine = routes.filter((route) => route.auth === 'session'
	&& nouns.some((noun) => new RegExp(`^/v1/${plurals[noun]}(/|$)`).test(route.path)));
const noun_of = (route) => nouns.find((noun) => plurals[noun] === route.path.split('/')[2]);
const with_id = mine.filter((route) => /\{id\}/.test(route.path) && (route.path.match(/\{/g)).length === 1);
const bodies = {
	lead: { city: 'Taken' }, contact: { title: 'Taken' }, company: { industry: 'Taken' },
	deal: { product: 'Taken' }, activity: { outcome: 'Taken' },
};

async function versions()
{
	const parts = nouns.map((noun) => `SELECT ${noun}_id AS id, version, deleted_at FROM crm.${noun} WHERE org_id IN ($1, $2)`);
	return JSON.stringify(await s.sql(`${parts.join(' UNION ALL ')} ORDER BY 1`, [org_id, stranger.member.org_id]));
}

let hits = 0;

async function readsTwice(session, path)
{
	const first = await session.api('GET', path);
	const second = await session.api('GET', path);
	hits += /hit/.test(second.headers.get('cache-status') ?? '');
	assert.equal(second.status, first.status, path);
	if (first.status === 200)
		assert.equal(second.text, first.text, path);
	return second;
}

async function checkReads(session, seen)
{
	const hidden = Object.keys(things).filter((name) => !seen.includes(name));
	for (const route of with_id.filter((one) => one.method === 'GET'))
		for (const [name, thing] of Object.entries(things))
		{
			const path = route.path.replace('{id}', thing[noun_of(route)].id);
			const answer = await readsTwice(session, path);
			assert.equal(answer.status, seen.includes(name) ? 200 : 404, `${name}: ${path} ${answer.text}`);
			for (const other of hidden)
				assert.ok(!answer.text.includes(things[other].word), `${path} shows ${other}: ${answer.text}`);
		}
}

async function checkLists(session, seen)
{
	const hidden = Object.keys(things).filter((name) => !seen.includes(name));
	for (const noun of nouns)
	{
		const path = `/v1/${plurals[noun]}?limit=200`;
		const answer = await readsTwice(session, path);
		const wanted = seen.map((name) => things[name][noun].id).sort();
		assert.deepEqual(answer.body.data.map((row) => row.id).sort(), wanted, path);
		const counted = await session.api('GET', path, undefined, { prefer: 'count=exact' });
		assert.equal(counted.body.total, wanted.length, path);
	}
	for (const route of routes.filter((one) => one.method === 'GET' && one.auth === 'session' && !one.path.includes('{')))
	{
		const answer = await session.api('GET', route.path);
		for (const name of hidden)
			assert.ok(!answer.text.includes(things[name].word), `${route.path} shows ${name}: ${answer.text}`);
	}
	for (const name of hidden)
		for (const path of [
			`/v1/leads?last_name=${things[name].word}`, `/v1/activities?lead_id=${things[name].lead.id}`,
			`/v1/contacts?company_id=${things[name].company.id}`, `/v1/deals?sort=-amount&company_id=${things[name].company.id}`,
		])
			assert.deepEqual((await ok(session, 'GET', path)).data, [], path);
}

async function checkFigures(session, seen)
{
	const figures = await ok(session, 'GET', '/v1/dashboard');
	assert.equal(figures.leads.new, seen.length);
	assert.equal(figures.deals.open, seen.length);
	assert.equal(figures.deals.open_amount.amount, `${seen.length * 100}.00`);
	assert.equal(figures.activities.created, seen.length);
}

async function checkWrites(session, role, seen)
{
	const before = await versions();
	const hidden = Object.keys(things).filter((name) => !seen.includes(name));
	for (const route of with_id.filter((one) => one.method !== 'GET'))
		for (const name of hidden)
		{
			const noun = noun_of(route);
			const path = route.path.replace('{id}', things[name][noun].id);
			const body = route.method === 'DELETE' || /restore$/.test(path) ? undefined
				: route.method === 'PATCH' ? bodies[noun]
				: /stage$/.test(path) ? { stage_id: things.mate.deal.stage_id } : {};
			const answer = await session.api(route.method, path, body);
			assert.ok((role === 'readonly' ? [403, 404, 422] : [404, 422]).includes(answer.status),
				`${route.method} ${path}: ${answer.status} ${answer.text}`);
			if (route.method === 'PATCH')
				assert.equal(answer.status, role === 'readonly' ? 403 : 404);
			assert.ok(!answer.text.includes(things[name].word), answer.text);
		}
	assert.equal(await versions(), before, 'nothing out of sight was written');
	for (const name of seen)
		for (const noun of nouns)
		{
			const path = `/v1/${plurals[noun]}/${things[name][noun].id}`;
			const answer = await session.api('PATCH', path, {});
			assert.equal(answer.status, role === 'readonly' ? 403 : 200, `${path}: ${answer.text}`);
		}
}

for (const role of roles)
	for (const scope of ['own', 'team', 'all'])
		test(`a ${role} with scope ${scope} gets exactly what it may see`, async () =>
		{
			const seen = visible(role, scope);
			await scopes(role, scope);
			await checkReads(actors[role], seen);
			await checkLists(actors[role], seen);
			await checkFigures(actors[role], seen);
			await checkWrites(actors[role], role, seen);
		});

test('an admin sees all of its organisation, and all this came from the cache as well', async () =>
{
	assert.ok(with_id.length >= 25, `${with_id.length} routes with an id`);
	for (const role of roles)
		await scopes(role, 'own');
	const seen = visible('admin', 'all');
	await checkReads(admin, seen);
	await checkLists(admin, seen);
	assert.ok(hits > 200, `${hits} answers came from the cache`);
});

test('no reference leads to what is out of sight, and no error tells that it exists', async () =>
{
	await scopes('rep', 'own');
	const { rep } = actors;
	for (const [noun, body, pointer] of [
		['contact', (id) => ({ last_name: 'x', company_id: id }), 'company'],
		['deal', (id) => ({ name: 'x', company_id: id }), 'company'],
		['deal', (id) => ({ name: 'x', contact_id: id }), 'contact'],
		['company', (id) => ({ name: 'x', parent_id: id }), 'company'],
		...['lead', 'contact', 'company', 'deal'].map((type) => [
			'activity', (id) => ({ type: 'note', subject: 'x', links: [{ type, id }] }), type]),
	])
	{
		const hidden = await rep.api('POST', `/v1/${plurals[noun]}`, body(things.outsider[pointer].id));
		const absent = await rep.api('POST', `/v1/${plurals[noun]}`, body(things.stranger[pointer].id));
		assert.equal(hidden.status, 422, hidden.text);
		assert.deepEqual(...[[hidden, 'outsider'], [absent, 'stranger']].map(([answer, name]) =>
			answer.text.replaceAll(things[name][pointer].id, '').replace(/"request_id": ?"[^"]*"/, '')));
	}
});

test('cached answers fall when teams change', async () =>
{
	await scopes('rep', 'team');
	const { rep } = actors;
	const path = `/v1/leads/${things.outsider.lead.id}`;
	const place = `/v1/teams/${team.id}/members/${outsider.member.id}`;
	assert.equal((await readsTwice(rep, path)).status, 404);
	for (let round = 0; round < 3; round++)
	{
		await ok(admin, 'PUT', place);
		assert.equal((await readsTwice(rep, path)).status, 200);
		await ok(admin, 'DELETE', place);
		assert.equal((await readsTwice(rep, path)).status, 404);
	}
	// A team above another sees the members of that one.
	await ok(admin, 'PATCH', `/v1/teams/${foreign_team.id}`, { parent_id: team.id });
	assert.equal((await readsTwice(rep, path)).status, 200);
	await ok(admin, 'PATCH', `/v1/teams/${foreign_team.id}`, { parent_id: null });
	assert.equal((await readsTwice(rep, path)).status, 404);
	const cycle = await admin.api('PATCH', `/v1/teams/${team.id}`, { parent_id: team.id });
	assert.equal(cycle.status, 422);
	assert.equal(cycle.body.errors[0].pointer, '/parent_id');
	for (const [method, where, body] of [['POST', '/v1/teams', { name: 'x' }], ['PUT', place], ['DELETE', place],
		['PATCH', `/v1/teams/${team.id}`, {}], ['DELETE', `/v1/teams/${team.id}`], ['GET', '/v1/settings/visibility'],
		['PATCH', '/v1/settings/visibility', {}]])
		assert.equal((await actors.manager.api(method, where, body)).status, 403, `${method} ${where}`);
});

test('fields that are hidden are nowhere, and read-only ones are not written', async () =>
{
	const { rep } = actors;
	await scopes('rep', 'own');
	const path = `/v1/leads/${things.rep.lead.id}`;
	assert.equal((await readsTwice(rep, path)).body.phone, '+12025550123');
	await settle({ fields: { rep: { lead: { phone: 'hidden', city: 'read_only' } } } });
	assert.ok(!('phone' in (await readsTwice(rep, path)).body));
	for (const where of ['/v1/leads', `${path}/history`, `${path}/timeline`])
		assert.ok(!/12025550123/.test((await readsTwice(rep, where)).text), where);
	for (const query of ['phone=%2B12025550123', 'fields=phone'])
		assert.equal((await rep.api('GET', `/v1/leads?${query}`)).status, 400, query);
	const written = await rep.api('PATCH', path, { phone: '+12025550199', city: 'Rome' });
	assert.equal(written.status, 422, written.text);
	assert.deepEqual(written.body.errors.map((one) => one.pointer).sort(), ['/city', '/phone']);
	assert.equal((await ok(admin, 'GET', path)).phone, '+12025550123');
	await settle({ fields: { rep: { lead: null } } });
	assert.equal((await readsTwice(rep, path)).body.phone, '+12025550123');
});

test('a live channel carries what the member may see, and follows its rights', async () =>
{
	const { rep } = actors;
	await scopes('rep', 'own');
	const socket = io(s.url, { auth: { token: rep.access_token }, transports: ['websocket'], forceNew: true });
	const heard = [];
	const others = [];
	const touch = (name, noun, body) => ok(admin, 'PATCH', `/v1/${plurals[noun]}/${things[name][noun].id}`, body);
	const wait = (id) => waitFor(() => heard.includes(id), { what: `an event about ${id}` });
	try
	{
		socket.on('event', (event) => heard.push(event.id));
		socket.onAny((...args) => args[0] !== 'event' && others.push(JSON.stringify(args)));
		await waitFor(() => socket.connected);
		const hidden = `entity:lead:${things.outsider.lead.id}`;
		const answer = await socket.timeout(5000).emitWithAck('subscribe', { channels: ['feed', 'list:lead', 'dash:main', hidden] });
		assert.deepEqual(answer.denied, [hidden]);

		/* Events come in order: what was to come before the last has come when it has. */
		let n = 0;
		const round = async () =>
		{
			n++;
			heard.length = 0;
			for (const name of ['outsider', 'mate', 'rep'])
			{
				await touch(name, 'company', { city: `Town ${n}` });
				await touch(name, 'activity', { outcome: `Town ${n}` });
				await touch(name, 'lead', { city: `Town ${n}` });
			}
			await wait(things.rep.lead.id);
			return ['outsider', 'mate', 'rep'].filter((name) => heard.includes(things[name].lead.id)
				&& heard.includes(things[name].company.id) && heard.includes(things[name].activity.id));
		};
		const nothing = (name) => nouns.every((noun) => !heard.includes(things[name][noun].id));
		assert.deepEqual(await round(), ['rep']);
		assert.ok(nothing('outsider') && nothing('mate'), `${heard}`);
		await scopes('rep', 'team');
		assert.deepEqual(await round(), ['mate', 'rep']);
		assert.ok(nothing('outsider'));
		await ok(admin, 'PUT', `/v1/teams/${team.id}/members/${outsider.member.id}`);
		assert.deepEqual(await round(), ['outsider', 'mate', 'rep']);
		assert.deepEqual((await socket.timeout(5000).emitWithAck('subscribe', { channels: [hidden] })).denied, []);
		await ok(admin, 'DELETE', `/v1/teams/${team.id}/members/${outsider.member.id}`);
		assert.deepEqual(await round(), ['mate', 'rep']);
		assert.ok(nothing('outsider'));
		await waitFor(() => others.some((one) => one.includes(things.outsider.lead.id)), { what: 'the loss of the channel' });
		await scopes('rep', 'all');
		assert.deepEqual(await round(), ['outsider', 'mate', 'rep']);

		/* Pages of the log for those who come back obey the same rights. */
		await scopes('rep', 'own');
		const [{ epoch, gseq }] = await s.sql('SELECT epoch, floor AS gseq FROM saleshub.event_state');
		heard.length = 0;
		await socket.timeout(5000).emitWithAck('unsubscribe', { channels: ['feed', 'dash:main', 'list:lead'] });
		await socket.timeout(5000).emitWithAck('subscribe', { channels: ['list:lead'], since: `${epoch}-${gseq}` });
		await wait(things.rep.lead.id);
		await round();
		assert.ok(nothing('outsider') && nothing('mate'));
	}
	finally
	{
		socket.close();
	}
});
