// Live events over Socket.IO (the unmodified client, each transport) and server-sent events: once,
// in order, also over the death of the gateway; only what the member may hear.
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { sleep, stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const transports = {
	websocket: ['websocket'],
	polling: ['polling'],
	upgrade: ['polling', 'websocket'],
};

/* A client that notes what it hears. */
function listen(token, options = {})
{
	const socket = io(s.url, {
		transports: ['websocket'], auth: { token }, forceNew: true, reconnectionDelay: 50,
		reconnectionDelayMax: 200, ...options,
	});
	const heard = { socket, events: [], positions: [], recovered: [], others: [] };
	socket.on('connect', () => heard.recovered.push(socket.recovered));
	socket.on('event', (event, position) =>
	{
		heard.events.push(event);
		heard.positions.push(position);
	});
	socket.onAny((name, ...rest) => name !== 'event' && heard.others.push([name, ...rest]));
	return heard;
}

async function joined(heard, channels, more = {})
{
	await waitFor(() => heard.socket.connected, { what: 'the connection', timeout: 5000 });
	const answer = await heard.socket.timeout(5000).emitWithAck('subscribe', { channels, ...more });
	assert.deepEqual(answer.denied, []);
	assert.equal(answer.ok, true);
	return answer;
}

/* One lead of its own, whose title says which change it was. */
async function lead(session = s.admin)
{
	const { status, body } = await session.api('POST', '/v1/leads', { last_name: 'Live' });
	assert.equal(status, 201);
	return body.id;
}

async function change(id, from, to)
{
	for (let n = from; n < to; n++)
		await s.sql('UPDATE crm.lead SET title = $2 WHERE lead_id = $1', [id, `change ${n}`]);
}

/* The events of the log for a lead, as the truth. */
async function logged(id, count)
{
	return waitFor(async () =>
	{
		const rows = await s.sql('SELECT gseq FROM saleshub.event_log WHERE entity_id = $1 ORDER BY gseq', [id]);
		return rows.length >= count && rows.map((row) => row.gseq);
	}, { what: `${count} events in the log` });
}

/*
 * Exactly these, of one record. What was published just before may have been heard as well: a
 * gateway's now is what it has seen of the log.
 */
async function hears(heard, id, expected)
{
	const first = Math.min(...expected);
	const got = () => heard.events.filter((e) => e.id === id && e.gseq >= first).map((e) => e.gseq);
	await waitFor(() => got().length >= expected.length, { what: `${expected.length} events` });
	await sleep(100);
	assert.deepEqual(got(), expected);
}

s.admin = await s.signIn();

for (const [name, list] of Object.entries(transports))
{
	test(`${name}: sync first, then each event once with its position`, async () =>
	{
		const id = await lead();
		const heard = listen(s.admin.access_token, { transports: list });
		try
		{
			await joined(heard, [`entity:lead:${id}`, 'feed']);
			assert.equal(heard.others[0][0], 'sync');
			assert.match(heard.others[0][1].position, /^[0-9a-f]+-\d+$/);
			assert.equal(heard.others[0].at(-1), String(heard.others[0][1].gseq));
			await change(id, 0, 5);
			const gseqs = await logged(id, 6);
			await hears(heard, id, gseqs.slice(1));
			const last = heard.events.at(-1);
			assert.equal(last.channel, `entity:lead:${id}`);
			assert.equal(last.type, 'lead.updated');
			assert.equal(last.version, 6);
			assert.ok(last.changed.includes('title'));
			assert.equal(heard.positions.at(-1), String(last.gseq));

			const answer = await heard.socket.emitWithAck('unsubscribe',
				{ channels: [`entity:lead:${id}`, 'feed'] });
			assert.equal(answer.ok, true);
			const before = heard.events.length;
			await change(id, 5, 7);
			await logged(id, 8);
			await sleep(200);
			assert.equal(heard.events.length, before);
			if (name !== 'polling')
				assert.equal(heard.socket.io.engine.transport.name, 'websocket');
		}
		finally
		{
			heard.socket.close();
		}
	});
}

test('a killed gateway costs no event on any transport', async () =>
{
	const id = await lead();
	const all = Object.values(transports).map((list) => listen(s.admin.access_token, { transports: list }));
	try
	{
		for (const heard of all)
			await joined(heard, [`entity:lead:${id}`]);
		await change(id, 0, 20);
		await s.kill('gateway');
		await change(id, 20, 40);
		await s.start('gateway');
		await change(id, 40, 50);
		const gseqs = (await logged(id, 51)).slice(1);
		for (const heard of all)
		{
			await hears(heard, id, gseqs);
			assert.deepEqual(heard.recovered, [false, true]);
			assert.ok(!heard.others.some(([name]) => name === 'event:reset'));
		}
	}
	finally
	{
		all.forEach((heard) => heard.socket.close());
	}
});

test('a kill in the middle of changes, three times', async () =>
{
	const id = await lead();
	const heard = listen(s.admin.access_token, { transports: ['polling', 'websocket'] });
	let running = true;
	let n = 0;
	const writer = (async () =>
	{
		while (running)
		{
			await change(id, n, n + 1);
			n++;
			await sleep(2);
		}
	})();
	try
	{
		await joined(heard, ['list:lead'], { since: undefined });
		const start = heard.events.length;
		assert.equal(start >= 0, true);
		for (let i = 0; i < 3; i++)
		{
			await sleep(300);
			await s.kill('gateway');
			await sleep(100);
			await s.start('gateway');
			await waitFor(() => heard.socket.connected, { what: 'the reconnection' });
		}
		await sleep(300);
		running = false;
		await writer;
		const gseqs = await logged(id, n + 1);
		await waitFor(() => heard.events.at(-1)?.gseq === gseqs.at(-1), { what: 'the last event' });
		const got = heard.events.filter((e) => e.id === id).map((e) => e.gseq);
		assert.deepEqual(got, gseqs.slice(gseqs.indexOf(got[0])));
		assert.ok(got.length > 50, `only ${got.length} events`);
	}
	finally
	{
		running = false;
		heard.socket.close();
	}
});

test('since gives the older events before the answer, for the new channel only', async () =>
{
	const id = await lead();
	const other = await lead();
	await change(id, 0, 3);
	await change(other, 0, 3);
	const of_id = await logged(id, 4);
	const of_other = await logged(other, 4);
	const heard = listen(s.admin.access_token);
	try
	{
		await joined(heard, [`entity:lead:${id}`], { since: of_id[0] });
		assert.deepEqual(heard.events.map((e) => e.gseq), of_id.slice(1));
		const { position } = await joined(heard, [`entity:lead:${other}`], { since: String(of_other[1]) });
		assert.deepEqual(heard.events.slice(3).map((e) => e.gseq), of_other.slice(2));
		// what the client would resume from did not go back for the older events
		for (const p of heard.positions.slice(3))
			assert.ok(Number(p) >= of_other.at(-1));
		// the same again adds nothing; a wider one of both gives what was not given yet, once
		await joined(heard, [`entity:lead:${other}`], { since: position });
		await joined(heard, [`entity:lead:${id}`, `entity:lead:${other}`], { since: of_id[0] - 1 });
		assert.deepEqual(heard.events.map((e) => e.gseq).sort((a, b) => a - b),
			[...of_id, ...of_other].sort((a, b) => a - b));
		await change(id, 3, 5);
		await change(other, 3, 5);
		await hears(heard, other, [...of_other.slice(2), ...of_other.slice(0, 2),
			...(await logged(other, 6)).slice(4)]);
	}
	finally
	{
		heard.socket.close();
	}
});

test('an unknown position is told, not guessed', async () =>
{
	const heard = listen(s.admin.access_token);
	try
	{
		await waitFor(() => heard.socket.connected);
		for (const since of ['ffffffffffff-1', '999999999999', 'nonsense'])
		{
			const before = heard.others.length;
			await joined(heard, ['feed'], { since });
			const [name, what, position] = heard.others[before];
			assert.equal(name, 'event:reset');
			assert.ok(['epoch', 'unknown'].includes(what.reason), what.reason);
			assert.equal(position, String(what.gseq));
		}
	}
	finally
	{
		heard.socket.close();
	}
});

test('what is not the member\'s is denied and never heard', async () =>
{
	const [{ org }] = await s.sql(
		"SELECT (crm.org_create('Other', 'Owner', 'owner-' || gen_random_uuid() || '@other.example')->>'org_id')::uuid AS org");
	const stranger = await s.newMember('admin', { org_id: org });
	const id = await lead();
	const ours = listen(s.admin.access_token);
	const theirs = listen(stranger.access_token);
	try
	{
		await joined(ours, ['feed']);
		await joined(theirs, ['feed', 'dash:main', 'list:lead', 'user:me']);
		const wrong = [`entity:lead:${id}`, 'entity:pg_class:' + id, 'list:nothing', 'dash:other', 'secret',
			'list:lead;drop', 'entity:lead:NOT-A-UUID'];
		const answer = await theirs.socket.emitWithAck('subscribe', { channels: wrong });
		assert.equal(answer.ok, false);
		assert.deepEqual(answer.denied.sort(), wrong.sort());
		await change(id, 0, 3);
		const own = await lead(stranger);
		await hears(ours, id, (await logged(id, 4)).slice(1));
		await hears(theirs, own, await logged(own, 1));
		assert.ok(!theirs.events.some((e) => e.id === id));
		assert.ok(!ours.events.some((e) => e.id === own));

		const response = await fetch(`${s.url}/v1/stream?ch=entity:lead:${id}`,
			{ headers: { authorization: `Bearer ${stranger.access_token}` } });
		assert.equal(response.status, 403);
		assert.equal((await response.json()).errors[0].detail, `entity:lead:${id}`);
	}
	finally
	{
		ours.socket.close();
		theirs.socket.close();
	}
});

test('no token, a wrong one, a wrong namespace', async () =>
{
	for (const auth of [undefined, {}, { token: 'x.y.z' }, { token: 7 }])
	{
		const socket = io(s.url, { transports: ['websocket'], auth, forceNew: true, reconnection: false });
		const error = await new Promise((resolve) => socket.on('connect_error', resolve));
		assert.equal(error.message, 'unauthorized');
		socket.close();
	}
	const socket = io(`${s.url}/admin`,
		{ transports: ['websocket'], auth: { token: s.admin.access_token }, forceNew: true });
	const error = await new Promise((resolve) => socket.on('connect_error', resolve));
	assert.equal(error.message, 'Invalid namespace');
	socket.close();
	assert.equal((await fetch(`${s.url}/v1/stream?ch=feed`)).status, 401);
});

test('a revoked session is cut, however it was revoked', async () =>
{
	const member = await s.newMember('rep');
	const heard = listen(member.access_token);
	await joined(heard, ['feed']);
	const stream = await open_stream(member.access_token, 'ch=feed');
	const reason = new Promise((resolve) => heard.socket.on('disconnect', resolve));
	await s.sql("UPDATE saleshub.session SET revoked_at = now(), reason = 'revoked' WHERE member_id = $1",
		[member.member.id]);
	assert.equal(await reason, 'io server disconnect');
	assert.equal(heard.others.at(-1)[0], 'session:end');
	assert.equal(heard.socket.active, false);
	await stream.ended;
	assert.equal(stream.events.at(-1).type, 'end');
	heard.socket.connect();
	const error = await new Promise((resolve) => heard.socket.on('connect_error', resolve));
	assert.equal(error.message, 'session_over');
	heard.socket.close();
});

test('a record that was taken away is heard no more', async () =>
{
	const id = await lead();
	const heard = listen(s.admin.access_token);
	try
	{
		await joined(heard, [`entity:lead:${id}`]);
		await s.sql('DELETE FROM crm.lead WHERE lead_id = $1', [id]);
		await hears(heard, id, (await logged(id, 2)).slice(1));
		assert.equal(heard.events.at(-1).type, 'lead.deleted');
	}
	finally
	{
		heard.socket.close();
	}
});

/* A stream read by hand, so that it can be left unread. */
async function open_stream(token, query, headers = {})
{
	const response = await fetch(`${s.url}/v1/stream?${query}`,
		{ headers: { authorization: `Bearer ${token}`, ...headers } });
	assert.equal(response.status, 200);
	assert.equal(response.headers.get('content-type'), 'text/event-stream');
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	const stream = { events: [], reader, text: '' };
	stream.read = async () =>
	{
		for (;;)
		{
			const { value, done } = await reader.read();
			if (done)
				return;
			stream.text += value;
			const parts = stream.text.split('\n\n');
			stream.text = parts.pop();
			for (const part of parts)
			{
				const event = {};
				for (const line of part.split('\n'))
				{
					const [key, ...rest] = line.split(': ');
					event[key === 'event' ? 'type' : key] = rest.join(': ');
				}
				if (event.data)
					stream.events.push({ ...event, data: JSON.parse(event.data) });
			}
		}
	};
	if (!headers.later)
		stream.ended = stream.read().catch(() => {});
	stream.close = () => reader.cancel().catch(() => {});
	return stream;
}

test('SSE: an EventSource survives the gateway\'s death', async () =>
{
	const id = await lead();
	const source = new EventSource(
		`${s.url}/v1/stream?ch=entity:lead:${id}&ch=dash:main&access_token=${s.admin.access_token}`);
	const got = [];
	let synced = 0;
	source.addEventListener('sync', () => synced++);
	source.addEventListener('lead.updated', (event) =>
	{
		const data = JSON.parse(event.data);
		assert.match(event.lastEventId, new RegExp(`^[0-9a-f]+-${data.gseq}$`));
		if (data.id === id)
			got.push(data.gseq);
	});
	try
	{
		await waitFor(() => synced === 1, { what: 'sync' });
		await change(id, 0, 5);
		await logged(id, 6);
		await waitFor(() => got.length === 5, { what: '5 events' });
		await s.kill('gateway');
		await change(id, 5, 10);
		await s.start('gateway');
		await change(id, 10, 15);
		const gseqs = (await logged(id, 16)).slice(1);
		await waitFor(() => got.length >= 15, { what: '15 events' });
		await sleep(100);
		assert.deepEqual(got, gseqs);
	}
	finally
	{
		source.close();
	}
});

test('SSE: Last-Event-ID resumes, an unknown one is a reset', async () =>
{
	const id = await lead();
	await change(id, 0, 300);
	const gseqs = await logged(id, 301);
	const [{ epoch }] = await s.sql('SELECT epoch FROM saleshub.event_state');
	const stream = await open_stream(s.admin.access_token, `ch=entity:lead:${id}`,
		{ 'last-event-id': `${epoch}-${gseqs[10]}` });
	await waitFor(() => stream.events.length >= 291, { what: '290 events and sync' });
	assert.equal(stream.events[0].type, 'sync');
	assert.equal(stream.events[0].id, `${epoch}-${gseqs[10]}`);
	assert.deepEqual(stream.events.slice(1).map((e) => e.data.gseq), gseqs.slice(11));
	stream.close();

	const foreign = await open_stream(s.admin.access_token, 'ch=feed', { 'last-event-id': 'feedfeedfeed-5' });
	await waitFor(() => foreign.events.length);
	assert.equal(foreign.events[0].type, 'reset');
	foreign.close();
});

test('long polling: at once when there is something, later when there will be', async () =>
{
	const id = await lead();
	await logged(id, 1);
	const poll = async (query) => (await s.admin.api('GET', `/v1/poll?ch=entity:lead:${id}&${query}`)).body;
	const first = await poll('');
	assert.deepEqual(first.events, []);
	await change(id, 0, 450);
	const gseqs = (await logged(id, 451)).slice(1);
	const got = [];
	let next = first.next;
	while (got.length < 450)
	{
		const answer = await poll(`since=${next}`);
		assert.ok(answer.events.length > 0 && answer.events.length <= 200);
		got.push(...answer.events);
		next = answer.next;
	}
	exactly(got.map((event) => event.gseq), gseqs);
	assert.equal(got[0].channel, `entity:lead:${id}`);

	const later = poll(`since=${next}&wait=20`);
	await sleep(100);
	await change(id, 450, 451);
	const [event] = (await later).events;
	assert.equal(event.gseq, (await logged(id, 452)).at(-1));

	const started = Date.now();
	const none = await poll(`since=${(await later).next}&wait=1`);
	assert.deepEqual(none.events, []);
	assert.ok(Date.now() - started > 900);
	assert.equal((await poll('since=ffffffffffff-1')).reset, 'position');
	assert.equal((await s.admin.api('GET', '/v1/poll?ch=nothing')).status, 400);
	assert.equal((await s.admin.api('GET', `/v1/poll?ch=feed&wait=x`)).status, 400);
	assert.equal((await s.call('GET', '/v1/poll?ch=feed')).status, 401);
});

test('a reader that stalls loses nothing and costs no memory', async () =>
{
	const id = await lead();
	await logged(id, 1);
	const heard = listen(s.admin.access_token);
	const stalled = await raw_stream(s.admin.access_token, `ch=entity:lead:${id}&ch=list:lead`);
	try
	{
		await joined(heard, ['list:lead']);
		await waitFor(() => stalled.text().includes('event: sync'), { what: 'sync' });
		stalled.socket.pause();
		const [{ start }] = await s.sql('SELECT max(gseq) AS start FROM saleshub.event_log');
		// far more than what fits into the buffers on the way
		const pages = await counter('saleshub_live_pages_total');
		for (let n = 0; n < 100; n++)
			await s.sql(
				`UPDATE crm.lead SET title = $1 WHERE org_id = $2 AND lead_id IN (
					SELECT lead_id FROM crm.lead WHERE org_id = $2 AND status <> 'converted' AND deleted_at IS NULL
					ORDER BY lead_id LIMIT 250)`,
				[`big ${n}`, s.admin.member.org_id]);
		await waitFor(async () => !(await s.sql('SELECT FROM saleshub.outbox LIMIT 1')).length,
			{ what: 'an empty outbox' });
		const gseqs = (await s.sql("SELECT gseq FROM saleshub.event_log WHERE org_id = $2 AND entity = 'lead' AND gseq > $1 ORDER BY gseq",
			[start, s.admin.member.org_id])).map((row) => row.gseq);
		assert.ok(gseqs.length > 20000);
		await waitFor(() => heard.events.at(-1)?.gseq === gseqs.at(-1), { what: 'the last event', timeout: 90000 });
		exactly(heard.events.map((e) => e.gseq), gseqs);
		stalled.socket.resume();
		await waitFor(() => stalled.text().includes(`-${gseqs.at(-1)}\n`), { what: 'the last event', timeout: 90000 });
		const got = [...stalled.text().matchAll(/^id: [0-9a-f]+-(\d+)\nevent: lead/gm)].map((m) => Number(m[1]));
		exactly(got, gseqs);
		assert.ok(await counter('saleshub_live_pages_total') > pages, 'it was never behind');
	}
	finally
	{
		heard.socket.close();
		stalled.socket.destroy();
	}
});

/* deepEqual of long lists, whose report is read in one's life time. */
function exactly(got, expected)
{
	const had = new Set(got);
	const wanted = new Set(expected);
	assert.deepEqual(expected.filter((n) => !had.has(n)).slice(0, 10), [], 'missing');
	assert.deepEqual(got.filter((n) => !wanted.has(n)).slice(0, 10), [], 'not wanted');
	assert.deepEqual(got.filter((n, i) => i && n <= got[i - 1]).slice(0, 10), [], 'out of order or repeated');
	assert.equal(got.length, expected.length);
}

async function counter(name)
{
	const text = await (await fetch(`${s.admin_url}/metrics`)).text();
	return Number(text.match(new RegExp(`^${name} (\\S+)$`, 'm'))[1]);
}

/* A stream on a bare connection: fetch reads ahead whatever is done with its body. */
async function raw_stream(token, query)
{
	const { hostname, port } = new URL(s.url);
	const socket = createConnection({ host: hostname, port: Number(port) });
	const chunks = [];
	socket.on('data', (data) => chunks.push(data));
	socket.on('error', () => {});
	socket.write(`GET /v1/stream?${query} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
		`Authorization: Bearer ${token}\r\n\r\n`);
	return {
		socket,
		// without the chunk framing
		text: () => Buffer.concat(chunks).toString().replace(/\r\n[0-9a-f]+\r\n/g, ''),
	};
}

test('a log that became another one is a reset for all', async () =>
{
	const heard = listen(s.admin.access_token);
	const stream = await open_stream(s.admin.access_token, 'ch=feed');
	try
	{
		await joined(heard, ['feed']);
		await waitFor(() => stream.events.length);
		// as after a restore, and without a notification
		await s.sql("UPDATE saleshub.event_state SET epoch = left(md5(epoch), 12), top = top + 1000, floor = top + 1000");
		await waitFor(() => heard.others.some(([name]) => name === 'event:reset'), { what: 'reset' });
		await waitFor(() => stream.events.some((e) => e.type === 'reset'), { what: 'reset of the stream' });
		const id = await waitFor(() => lead(), { what: 'a lead after the restart' });
		await hears(heard, id, await logged(id, 1));
		await waitFor(() => stream.events.some((e) => e.data.id === id), { what: 'the event in the stream' });
	}
	finally
	{
		heard.socket.close();
		stream.close();
	}
});

test('Engine.IO: what is wrong with a request', async () =>
{
	const get = (query, options) => fetch(`${s.url}/socket.io/?${query}`, options);
	for (const [query, code] of [['EIO=3&transport=polling', 5], ['EIO=4&transport=smoke', 0],
		['EIO=4&transport=polling&sid=nobody', 1], ['EIO=4&transport=polling&sid=00AAAAAAAAAAAAAAAAAAAAAA', 1],
		['EIO=4&transport=websocket&sid=ffAAAAAAAAAAAAAAAAAAAAAA', 1]])
	{
		const response = await get(query);
		assert.equal(response.status, 400, query);
		assert.equal((await response.json()).code, code, query);
	}
	assert.equal((await get('EIO=4&transport=polling', { method: 'POST', body: '40' })).status, 400);
	assert.equal((await get('EIO=4&transport=websocket')).status, 426);
	assert.equal((await get('EIO=4&transport=polling', { headers: { origin: 'https://evil.example' } })).status, 403);

	const hello = await (await get('EIO=4&transport=polling')).text();
	const { sid, ...rest } = JSON.parse(hello.slice(1));
	assert.deepEqual(rest, { upgrades: ['websocket'], pingInterval: 25000, pingTimeout: 60000, maxPayload: 1000000 });
	const first = get(`EIO=4&transport=polling&sid=${sid}`);
	await sleep(100);
	assert.equal((await get(`EIO=4&transport=polling&sid=${sid}`)).status, 400);
	assert.equal(await (await first).text(), '1');
	assert.equal((await get(`EIO=4&transport=polling&sid=${sid}`)).status, 400);
});

test('Engine.IO: an upgrade that is given up leaves a session that polls', async () =>
{
	const base = `${s.url}/socket.io/?EIO=4`;
	const { sid } = JSON.parse((await (await fetch(`${base}&transport=polling`)).text()).slice(1));
	const poll = () => fetch(`${base}&transport=polling&sid=${sid}`).then((r) => r.text());
	const post = (body) => fetch(`${base}&transport=polling&sid=${sid}`, { method: 'POST', body });
	assert.equal(await (await post(`40${JSON.stringify({ token: s.admin.access_token })}`)).text(), 'ok');
	let heard = await poll();
	while (!heard.includes('"sync"'))
		heard += await poll();

	const waiting = poll();
	const socket = new WebSocket(`${base.replace('http', 'ws')}&transport=websocket&sid=${sid}`);
	await new Promise((resolve) => socket.on('open', resolve));
	socket.send('2probe');
	assert.equal(String(await new Promise((resolve) => socket.on('message', resolve))), '3probe');
	assert.equal(await waiting, '6');
	assert.equal(await poll(), '6', 'the probed session holds no poll');
	socket.terminate();
	await waitFor(async () =>
	{
		const next = poll().then(() => 'answered');
		const held = await Promise.race([next, sleep(200)]) !== 'answered';
		if (held)
			await post('420["unsubscribe",{"channels":[]}]');
		await next;
		return held;
	}, { what: 'a poll that waits' });
});

test('SIGTERM: clients are told, and come back', async () =>
{
	const id = await lead();
	const heard = listen(s.admin.access_token);
	const stream = await open_stream(s.admin.access_token, 'ch=feed');
	try
	{
		await joined(heard, [`entity:lead:${id}`]);
		const closed = new Promise((resolve) => heard.socket.io.engine.on('close', (reason, what) => resolve(what)));
		const started = Date.now();
		await s.stop('gateway');
		assert.ok(Date.now() - started < 5000, 'the stop was slow');
		assert.equal((await closed)?.context?.code ?? (await closed)?.code, 1012);
		await stream.ended;
		await change(id, 0, 3);
		await s.start('gateway');
		await hears(heard, id, (await logged(id, 4)).slice(1));
	}
	finally
	{
		heard.socket.close();
	}
});
