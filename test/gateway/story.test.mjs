// The story of the product, told with tools that know nothing of it: curl, psql, socket.io-client.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test, { after } from 'node:test';
import { promisify } from 'node:util';
import { io } from 'socket.io-client';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const run = promisify(execFile);

/* What curl received: status, headers (lower case) and the parsed body. */
async function curl(method, path, { token, body, headers = {} } = {})
{
	const args = ['--silent', '--show-error', '--include', '--max-time', '20', '--request', method];
	if (token)
		args.push('--header', `Authorization: Bearer ${token}`);
	for (const [name, value] of Object.entries(headers))
		args.push('--header', `${name}: ${value}`);
	if (body !== undefined)
		args.push('--header', 'Content-Type: application/json', '--data-binary', JSON.stringify(body));
	const { stdout } = await run('curl', [...args, s.url + path]);
	const [head, ...rest] = stdout.split('\r\n\r\n');
	const [status, ...lines] = head.split('\r\n');
	const text = rest.join('\r\n\r\n');
	return {
		status: Number(status.split(' ')[1]),
		headers: Object.fromEntries(lines.map((line) => [
			line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)])),
		body: text ? JSON.parse(text) : null,
	};
}

/* A statement run by psql, a program of its own; resolves with what it printed. */
async function psql(statement)
{
	return (await s.command('psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c',
		statement)).trim();
}

let token;
let member;
let lead;
let converted;
let before;
let watcher;
let start;

after(() => watcher?.close());

const dashboard = () => curl('GET', '/v1/dashboard', { token });

/*
 * A live client as an application writes it: it asks for a channel on each new session and hands
 * over the position it had reached; what the library recovers by itself is not asked for again.
 */
function watch()
{
	const socket = io(s.url, {
		auth: { token }, transports: ['websocket'],
		reconnectionDelay: 50, reconnectionDelayMax: 200,
	});
	const seen = { socket, events: [], resets: [], connects: [], close: () => socket.close() };
	socket.on('event', (event, position) =>
	{
		assert.match(position, /^.*\d+$/, 'the last argument is the position');
		seen.events.push(event);
		seen.position = position;
	});
	socket.on('event:reset', (reason) => seen.resets.push(reason));
	socket.on('connect', () =>
	{
		seen.connects.push(socket.recovered);
		socket.emit('subscribe', { channels: ['feed'], since: seen.position }, (answer) =>
		{
			seen.subscribed = answer;
		});
	});
	return seen;
}

/* What the log holds for this organisation behind a position. */
const log = (from) => s.sql(
	`SELECT gseq, type, entity_id AS id FROM saleshub.event_log
	 WHERE org_id = $1 AND gseq > $2 AND entity <> 'session' ORDER BY gseq`,
	[member.org_id, from]);

async function assertSeenAll()
{
	const wanted = await waitFor(async () =>
	{
		const [{ n }] = await s.sql('SELECT count(*) AS n FROM saleshub.outbox');
		return n === 0 && log(start);
	}, { what: 'an empty outbox' });
	await waitFor(() => watcher.events.length >= wanted.length,
		{ what: `${wanted.length} events` }).catch(() => {});
	assert.deepEqual(
		watcher.events.map(({ gseq, type, id }) => ({ gseq, type, id })), wanted,
		'every event once, in order');
	assert.deepEqual(watcher.resets, []);
}

test('sign in', async () =>
{
	const answer = await curl('POST', '/v1/auth/sign-in',
		{ body: { email: s.email, password: s.password } });
	assert.equal(answer.status, 200);
	assert.equal(answer.body.token_type, 'Bearer');
	assert.ok(answer.body.expires_in > 0);
	assert.ok(answer.body.refresh_token);
	({ access_token: token, member } = answer.body);
	assert.equal(member.email, s.email);
	assert.equal(member.role, 'admin');
});

test('the dashboard is cached, and a live client listens', async () =>
{
	before = await dashboard();
	assert.equal(before.status, 200);
	const again = await waitFor(async () =>
	{
		const answer = await dashboard();
		return /^saleshub; hit/.test(answer.headers['cache-status']) && answer;
	}, { what: 'an answer from the cache' });
	assert.deepEqual(again.body, before.body);

	[{ top: start }] = await waitFor(async () =>
	{
		const [{ n }] = await s.sql('SELECT count(*) AS n FROM saleshub.outbox');
		return n === 0 && s.sql('SELECT top FROM saleshub.event_state');
	});
	watcher = watch();
	await waitFor(() => watcher.subscribed, { what: 'the acknowledgement of subscribe' });
});

test('a new lead has a score with reasons and an owner', async () =>
{
	const answer = await curl('POST', '/v1/leads', {
		token,
		body: {
			first_name: 'Grace', last_name: 'Hopper', email: 'grace@story-of-navy.example',
			phone: '+1 202 555 0143', title: 'Chief Technology Officer',
			company_name: 'Story of Navy Ltd', website: 'https://story-of-navy.example',
			source: 'referral', country: 'US', industry: 'software', employees: 900,
			annual_revenue: { amount: '1250000.00', currency: 'USD' }, tags: ['story'],
			consent: { email: true, phone: false },
		},
	});
	assert.equal(answer.status, 201, JSON.stringify(answer.body));
	lead = answer.body;
	assert.equal(answer.headers.location, `/v1/leads/${lead.id}`);
	assert.equal(answer.headers.etag, '"1"');
	assert.equal(lead.version, 1);
	assert.equal(lead.status, 'new');
	assert.deepEqual(lead.consent, { email: true, phone: false });
	assert.deepEqual(lead.annual_revenue, { amount: '1250000.00', currency: 'USD' });
	assert.match(lead.owner_id, /^[0-9a-f-]{36}$/);

	const score = await curl('GET', `/v1/leads/${lead.id}/score`, { token });
	assert.equal(score.status, 200);
	assert.equal(score.body.score, lead.score);
	assert.ok(score.body.reasons.length > 0);
	assert.ok(lead.score > 0);
	const sum = score.body.reasons.reduce((total, { points }) => total + points, 0);
	assert.equal(sum, lead.score, 'the reasons add up to the score');
	for (const { label } of score.body.reasons)
		assert.ok(label.length > 0);
});

test('converting it twice converts it once', async () =>
{
	const { currency } = before.body.deals.open_amount;
	const body = { deal: { mode: 'create', name: 'Story deal', amount: '5000', currency } };
	const first = await curl('POST', `/v1/leads/${lead.id}/convert`, { token, body });
	assert.equal(first.status, 200, JSON.stringify(first.body));
	assert.equal(first.body.replayed, false);
	converted = first.body;
	const second = await curl('POST', `/v1/leads/${lead.id}/convert`, { token, body });
	assert.equal(second.status, 200, JSON.stringify(second.body));
	assert.equal(second.body.replayed, true);
	for (const noun of ['conversion_id', 'company', 'contact', 'deal'])
		assert.deepEqual(second.body[noun]?.id ?? second.body[noun], first.body[noun]?.id ?? first.body[noun], noun);

	const now = await curl('GET', `/v1/leads/${lead.id}`, { token });
	assert.equal(now.body.status, 'converted');
	assert.equal(now.body.converted.deal_id, converted.deal.id);
	assert.equal(now.body.converted.contact_id, converted.contact.id);
	assert.equal(now.body.converted.company_id, converted.company.id);
	const deal = await curl('GET', `/v1/deals/${converted.deal.id}`, { token });
	assert.equal(deal.body.name, 'Story deal');
	assert.equal(deal.body.amount.amount, '5000.00');
});

test('the dashboard has changed by exactly that', async () =>
{
	const now = (await dashboard()).body;
	assert.equal(now.leads.new, before.body.leads.new + 1);
	assert.equal(now.leads.converted, before.body.leads.converted + 1);
	assert.equal(now.deals.open, before.body.deals.open + 1);
	assert.ok(Number(now.deals.open_amount.amount) > Number(before.body.deals.open_amount.amount));
});

test('the live client got every event once, in order', async () =>
{
	await assertSeenAll();
	const about = (id) => watcher.events.filter((event) => event.id === id).map(({ type }) => type);
	assert.deepEqual(about(lead.id).slice(0, 1), ['lead.created']);
	assert.equal(about(lead.id).filter((type) => type === 'lead.converted').length, 1);
	assert.deepEqual(about(converted.deal.id), ['deal.created']);
});

test('also over a kill -9 and restart of the gateway', async () =>
{
	const connects = watcher.connects.length;
	await s.kill('gateway');
	for (let i = 0; i < 25; i++)
		await s.sql(
			`INSERT INTO crm.lead (org_id, last_name, company_name) VALUES ($1, $2, 'While Away')`,
			[member.org_id, `Away ${i}`]);
	await s.sql(
		`UPDATE crm.lead SET status = 'working' WHERE org_id = $1 AND company_name = 'While Away'`,
		[member.org_id]);
	await s.start('gateway');
	for (let i = 0; i < 10; i++)
	{
		const answer = await curl('POST', '/v1/leads', { token, body: { last_name: `Back ${i}` } });
		assert.equal(answer.status, 201);
	}
	await waitFor(() => watcher.connects.length > connects, { what: 'the client to reconnect' });
	await assertSeenAll();
	assert.ok(watcher.events.length >= 65, `${watcher.events.length} events`);
});

test('the dashboard is never older than what psql just committed', async () =>
{
	const { id } = converted.deal;
	let hits = 0;
	let cents = Math.round(100 * (await dashboard()).body.deals.open_amount.amount);
	for (let i = 0; i < 15; i++)
	{
		cents += 100 * (100 + i);
		await psql(`UPDATE crm.deal SET amount = amount + ${100 + i} WHERE deal_id = '${id}'`);
		for (let read = 0; read < 3; read++)
		{
			const { status, headers, body } = await dashboard();
			assert.equal(status, 200);
			assert.equal(Math.round(100 * body.deals.open_amount.amount), cents,
				`read ${read} after change ${i}, ${headers['cache-status']}`);
			if (read === 0)
				assert.doesNotMatch(headers['cache-status'], /hit/);
			else if (/hit/.test(headers['cache-status']))
				hits++;
		}
	}
	assert.ok(hits >= 15, `${hits} of 30 repeated reads came from the cache`);

	const won = (await dashboard()).body.deals;
	await psql(`UPDATE crm.deal d SET stage_id = (SELECT stage_id FROM crm.stage s
		WHERE s.org_id = d.org_id AND s.pipeline_id = d.pipeline_id AND s.kind = 'won' LIMIT 1)
		WHERE deal_id = '${id}'`);
	const now = (await dashboard()).body.deals;
	assert.equal(now.won, won.won + 1);
	assert.equal(now.open, won.open - 1);
	await waitFor(() => watcher.events.some((event) => event.type === 'deal.won' && event.id === id),
		{ what: 'deal.won' });
	await assertSeenAll();
});

test('the figures equal a recomputation from the rows', async () =>
{
	const { deals, leads } = (await dashboard()).body;
	const [rows] = await s.sql(
		`SELECT (SELECT count(*) FROM crm.lead WHERE org_id = $1 AND deleted_at IS NULL) AS new,
		        count(*) FILTER (WHERE status = 'open') AS open,
		        count(*) FILTER (WHERE status = 'won') AS won,
		        count(*) FILTER (WHERE status = 'lost') AS lost,
		        coalesce(sum(amount_base) FILTER (WHERE status = 'open'), 0)::text AS open_amount,
		        coalesce(sum(amount_base) FILTER (WHERE status = 'won'), 0)::text AS won_amount
		 FROM crm.deal WHERE org_id = $1 AND deleted_at IS NULL`, [member.org_id]);
	assert.equal(leads.new, rows.new);
	assert.equal(deals.open, rows.open);
	assert.equal(deals.won, rows.won);
	assert.equal(deals.lost, rows.lost);
	for (const amount of ['open_amount', 'won_amount'])
		assert.ok(Math.abs(deals[amount].amount - rows[amount]) <= 0.005001, `${amount} to the cent`);
});
