// The response cache: answers come from it, and never an old one, whoever writes and whatever Redis
// says. The oracle of the stress is a number: each write carries the next one, and a read must
// show at least the number acknowledged, and the number shown to anybody, before it began.
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const admin = await s.signIn();
s.admin = admin;

function verdict(answer)
{
	return answer.headers.get('cache-status') ?? '';
}

/* Asks until an answer comes from the cache: each thread of the gateway must get to know both. */
async function hit(path, session = admin)
{
	return waitFor(async () =>
	{
		const answer = await session.api('GET', path);
		assert.equal(answer.status, 200);
		return verdict(answer) === 'saleshub; hit' && answer;
	}, { every: 0, timeout: 5000, what: `a hit of ${path}` });
}

async function metric(name)
{
	const text = await (await fetch(`${s.admin_url}/metrics`)).text();
	return Number(text.match(new RegExp(`^${name} (\\S+)$`, 'm'))?.[1] ?? 0);
}

async function lead(fields = {})
{
	const answer = await admin.api('POST', '/v1/leads', { last_name: 'Cached', title: '0', ...fields });
	assert.equal(answer.status, 201);
	return answer.body.id;
}

function set(client, id, n)
{
	return client.query('UPDATE crm.lead SET title = $2 WHERE lead_id = $1', [id, String(n)]);
}

/* Redis, spoken to in its own protocol; values are Buffers. */
async function redis(...commands)
{
	const socket = createConnection({ path: s.redis_socket });
	const replies = [];
	try
	{
		for (const command of commands)
		{
			const parts = command.map((part) => Buffer.isBuffer(part) ? part : Buffer.from(String(part), 'latin1'));
			socket.write(Buffer.concat([Buffer.from(`*${parts.length}\r\n`),
				...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')])]));
		}
		let buffer = Buffer.alloc(0);
		for await (const chunk of socket)
		{
			buffer = Buffer.concat([buffer, chunk]);
			for (let next; (next = parse(buffer, 0)); buffer = buffer.subarray(next.end))
				replies.push(next.value);
			if (replies.length >= commands.length)
				break;
		}
		return replies;
	}
	finally
	{
		socket.destroy();
	}
}

function parse(buffer, at)
{
	const line = buffer.indexOf('\r\n', at, 'latin1');
	if (line < 0)
		return undefined;
	const text = buffer.toString('latin1', at + 1, line);
	switch (String.fromCharCode(buffer[at]))
	{
		case '$':
		{
			const length = Number(text);
			if (length < 0)
				return { value: null, end: line + 2 };
			return buffer.length < line + length + 4 ? undefined
				: { value: Buffer.from(buffer.subarray(line + 2, line + 2 + length)), end: line + length + 4 };
		}
		case '*':
		{
			const value = [];
			let end = line + 2;
			for (let i = 0; i < Number(text); i++)
			{
				const item = parse(buffer, end);
				if (!item)
					return undefined;
				value.push(item.value);
				end = item.end;
			}
			return { value, end };
		}
		default:
			return { value: text, end: line + 2 };
	}
}

async function blobs()
{
	const [keys] = await redis(['KEYS', 'shcache:*']);
	const values = keys.length ? await redis(...keys.map((key) => ['GET', key])) : [];
	return keys.map((key, i) => ({ key, value: values[i] })).filter(({ value }) => value);
}

/* What Redis holds once it has the answers of these paths, also just after it came back. */
async function kept(paths)
{
	await redis(['FLUSHALL']);
	return waitFor(async () =>
	{
		for (const path of paths)
			await admin.api('GET', path, undefined, { 'cache-control': 'no-cache' });
		const all = await blobs();
		return all.length >= paths.length && all;
	}, { timeout: 10000, what: `${paths.length} answers in Redis` });
}

test('what depends on the time is not kept', async () =>
{
	await hit('/v1/leads?owner_id=me&limit=3');
	for (let i = 0; i < 8; i++)
	{
		const answer = await admin.api('GET', '/v1/leads?created_at[gte]=now-1h&limit=3');
		assert.equal(answer.status, 200);
		assert.doesNotMatch(verdict(answer), /hit/);
	}
});

test('an answer is served again, with the same body and tag', async () =>
{
	for (const path of ['/v1/leads?limit=5', `/v1/leads/${await lead()}`, '/v1/dashboard'])
	{
		const computed = await admin.api('GET', path);
		const served = await hit(path);
		assert.deepEqual(served.body, computed.body);
		assert.equal(served.headers.get('etag'), computed.headers.get('etag'));
		assert.match(served.headers.get('x-saleshub-seq') ?? '', /^[0-9a-f]+-\d+$/);
	}
});

test('a client may refuse the cache', async () =>
{
	await hit('/v1/leads?limit=3');
	const answer = await admin.api('GET', '/v1/leads?limit=3', undefined, { 'cache-control': 'no-cache' });
	assert.equal(verdict(answer), 'saleshub; fwd=bypass');
});

test('a write in psql is seen by the next read', async () =>
{
	const id = await lead();
	const client = await s.connect();
	try
	{
		for (let n = 1; n <= 20; n++)
		{
			const one = await hit(`/v1/leads/${id}`);
			assert.equal(one.body.title, String(n - 1));
			await set(client, id, n);
			const next = await admin.api('GET', `/v1/leads/${id}`);
			assert.equal(next.body.title, String(n));
			assert.notEqual(verdict(next), 'saleshub; hit');
		}
	}
	finally
	{
		await client.end();
	}
});

test('the dashboard follows deals changed in psql', async () =>
{
	const amount = async () => Number((await admin.api('GET', '/v1/dashboard')).body.deals.open_amount.amount);
	const truth = async () => Number((await s.sql(
		`SELECT round(coalesce(sum(amount_base), 0), 2) AS sum FROM crm.deal
		  WHERE org_id = (SELECT org_id FROM crm.member WHERE member_id = $1)
		    AND status = 'open' AND deleted_at IS NULL`, [admin.member.id]))[0].sum);
	for (let n = 0; n < 10; n++)
	{
		await hit('/v1/dashboard');
		await s.sql(`UPDATE crm.deal SET amount = amount + 1
			WHERE (org_id, deal_id) = (SELECT org_id, deal_id FROM crm.deal
				WHERE org_id = (SELECT org_id FROM crm.member WHERE member_id = $1)
				  AND status = 'open' AND deleted_at IS NULL LIMIT 1)`, [admin.member.id]);
		assert.equal(await amount(), await truth());
	}
});

test('a change that is rolled back takes nothing from the cache', async () =>
{
	const id = await lead();
	const client = await s.connect();
	try
	{
		await hit(`/v1/leads/${id}`);
		await client.query('BEGIN');
		await set(client, id, 99);
		assert.equal((await hit(`/v1/leads/${id}`)).body.title, '0');
		await client.query('ROLLBACK');
		assert.equal((await hit(`/v1/leads/${id}`)).body.title, '0');
	}
	finally
	{
		await client.end();
	}
});

/* Writers and readers of a few leads for a while; returns what was counted. */
async function stress(ids, ms, disturb)
{
	const state = new Map(ids.map((id) => [id, { acked: 0, seen: 0, next: 0 }]));
	const end = Date.now() + ms;
	const count = { reads: 0, hits: 0, writes: 0, stale: 0, inverted: 0 };
	const clients = await Promise.all([1, 2].map(() => s.connect()));
	const pick = () => ids[Math.floor(Math.random() * ids.length)];
	const pause = (max) => new Promise((resolve) => setTimeout(resolve, Math.random() * max));

	/* One writer a lead at a time, so that numbers are written in order. */
	async function write(id, fn)
	{
		const one = state.get(id);
		if (one.writing)
			return;
		one.writing = true;
		const n = ++one.next;
		await fn(n);
		one.acked = Math.max(one.acked, n);
		one.writing = false;
		count.writes++;
	}
	async function by_sql(client)
	{
		while (Date.now() < end)
		{
			const id = pick();
			await write(id, async (n) =>
			{
				await client.query('BEGIN');
				await set(client, id, n);
				await pause(4);
				await client.query('COMMIT');
			});
			await pause(10);
		}
	}
	async function by_http()
	{
		while (Date.now() < end)
		{
			const id = pick();
			await write(id, async (n) =>
			{
				const answer = await admin.api('PATCH', `/v1/leads/${id}`, { title: String(n) });
				assert.equal(answer.status, 200);
			});
			await pause(20);
		}
	}
	async function read()
	{
		while (Date.now() < end)
		{
			const id = pick();
			const one = state.get(id);
			const { acked, seen } = one;
			const answer = await admin.api('GET', `/v1/leads/${id}`);
			if (answer.status !== 200)
				continue;
			const n = Number(answer.body.title);
			count.reads++;
			count.hits += verdict(answer) === 'saleshub; hit';
			count.stale += n < acked;
			count.inverted += n < seen;
			one.seen = Math.max(one.seen, n);
		}
	}
	try
	{
		await Promise.all([...clients.map(by_sql), by_http(), read(), read(), read(), read(), disturb?.(end)]);
	}
	finally
	{
		await Promise.all(clients.map((client) => client.end()));
	}
	return count;
}

test('never stale and never backwards under concurrent writers', async (t) =>
{
	const ids = await Promise.all([lead(), lead(), lead(), lead()]);
	const count = await stress(ids, 6000);
	t.diagnostic(JSON.stringify(count));
	assert.equal(count.stale, 0);
	assert.equal(count.inverted, 0);
	assert.ok(count.hits > 100 && count.writes > 100, JSON.stringify(count));
});

test('never stale while Redis gives back old blobs and is killed', async (t) =>
{
	const ids = await Promise.all([lead(), lead()]);
	let replayed = 0;
	const count = await stress(ids, 6000, async (end) =>
	{
		const old = [];
		while (Date.now() < end)
		{
			try
			{
				old.push(...await blobs());
				const some = old.filter(() => Math.random() < 0.5).slice(-200);
				if (some.length)
					await redis(...some.map(({ key, value }) => ['SET', key, value]));
				replayed += some.length;
			}
			catch
			{
				// it was killed just now
			}
			if (Math.random() < 0.05)
			{
				await s.kill('redis');
				await s.start('redis');
			}
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	});
	t.diagnostic(JSON.stringify({ ...count, replayed }));
	assert.equal(count.stale, 0);
	assert.equal(count.inverted, 0);
	assert.ok(replayed > 50 && count.hits > 50, JSON.stringify({ ...count, replayed }));
});

test('another gateway process finds the answers in Redis; an old one is known to be old', async () =>
{
	const id = await lead();
	await hit(`/v1/leads/${id}`);
	await hit('/v1/companies?limit=7');
	const old = await kept([`/v1/leads/${id}`, '/v1/companies?limit=7']);

	await s.restart('gateway');
	// the session becomes known by one answer that is computed; the other comes from Redis
	await waitFor(async () =>
	{
		await admin.api('GET', '/v1/leads?limit=1');
		return verdict(await admin.api('GET', '/v1/companies?limit=7')) === 'saleshub; hit';
	}, { every: 0, timeout: 5000, what: 'a hit by way of Redis' });

	await s.sql("UPDATE crm.lead SET title = 'new' WHERE lead_id = $1", [id]);
	await s.restart('gateway');
	await redis(...old.map(({ key, value }) => ['SET', key, value]));
	for (let i = 0; i < 4; i++)
		assert.equal((await admin.api('GET', `/v1/leads/${id}`)).body.title, 'new');
});

test('cut, altered and exchanged blobs are not believed', async () =>
{
	const names = ['Ahn', 'Berg', 'Cruz', 'Diaz', 'Eder', 'Fox', 'Gray', 'Hahn', 'Ito', 'Jung'];
	const leads = new Map();
	for (const name of names)
	{
		leads.set(name, await lead({ last_name: name }));
		await hit(`/v1/leads/${leads.get(name)}`);
	}
	const all = await kept([...leads.values()].map((id) => `/v1/leads/${id}`));
	const flip = (value) =>
	{
		const copy = Buffer.from(value);
		copy[Math.floor(Math.random() * copy.length)] ^= 1;
		return copy;
	};
	const spoilt = [
		(value) => value.subarray(0, value.length - 1), flip, () => Buffer.alloc(0), () => Buffer.from('SHC1'),
		(value, i) => all[(i + 1) % all.length].value, (value) => Buffer.concat([value, Buffer.from('x')]),
	];
	for (const spoil of spoilt)
	{
		// a thread asks Redis once it knows the session: which one answers is chance
		await waitFor(async () =>
		{
			await s.restart('gateway');
			await hit('/v1/leads?limit=1'); // the routes' age is known by then
			await redis(...all.map(({ key, value }, i) => ['SET', key, spoil(value, i)]));
			for (const [name, id] of leads)
				assert.equal((await admin.api('GET', `/v1/leads/${id}`)).body.last_name, name);
			return await metric('saleshub_cache_refused_total') > 0;
		}, { timeout: 20000, what: `a refused blob: ${spoil}` });
	}
});

test('without Redis the answers are the same', async () =>
{
	const id = await lead();
	const paths = [`/v1/leads/${id}`, '/v1/leads?limit=9', '/v1/dashboard', '/v1/deals?limit=4'];
	const before = [];
	for (const path of paths)
		before.push((await hit(path)).body);
	await s.stop('redis');
	try
	{
		for (const [i, path] of paths.entries())
			assert.deepEqual((await hit(path)).body, before[i]);
		await s.restart('gateway');
		for (const [i, path] of paths.entries())
			assert.deepEqual((await hit(path)).body, before[i]);
		await s.sql("UPDATE crm.lead SET title = 'alone' WHERE lead_id = $1", [id]);
		assert.equal((await admin.api('GET', `/v1/leads/${id}`)).body.title, 'alone');
	}
	finally
	{
		await s.start('redis');
	}
	await waitFor(async () => (await blobs()).length >= 0 && (await admin.api('GET', '/v1/health')).body.redis === 'up',
		{ what: 'Redis in the health report' });
});

test('a slow Redis is not waited for', async () =>
{
	const id = await lead();
	await redis(['CLIENT', 'PAUSE', '3000', 'ALL']);
	const started = Date.now();
	for (let n = 0; n < 30; n++)
		assert.equal((await admin.api('GET', `/v1/leads/${id}`)).status, 200);
	assert.ok(Date.now() - started < 1500, `30 reads took ${Date.now() - started} ms`);
});

test('a revoked session is not served from the cache', async () =>
{
	const rep = await s.newMember('rep');
	await hit('/v1/leads?limit=2', rep);
	await s.sql("UPDATE saleshub.session SET revoked_at = now(), reason = 'revoked' WHERE member_id = $1",
		[rep.member.id]);
	assert.equal((await rep.api('GET', '/v1/leads?limit=2')).status, 401);
});

test('members and organisations do not share answers', async () =>
{
	const [{ org }] = await s.sql(
		"SELECT (crm.org_create('Else', 'Owner', 'owner-' || gen_random_uuid() || '@else.example')->>'org_id')::uuid AS org");
	const other = await s.newMember('admin', { org_id: org });
	const ours = await hit('/v1/leads?limit=2');
	for (let i = 0; i < 4; i++)
	{
		const theirs = await other.api('GET', '/v1/leads?limit=2');
		assert.deepEqual(theirs.body.data, []);
	}
	assert.equal(ours.body.data.length, 2);
	assert.deepEqual((await hit('/v1/leads?limit=2', other)).body.data, []);
});

test('many askers of one answer wait for one computation', async () =>
{
	const ask = () => Promise.all(Array.from({ length: 40 }, () => admin.api('GET', '/v1/dashboard')));
	// who asks a thread that does not know the session yet is not kept waiting
	await waitFor(async () => (await ask()).every((answer) => verdict(answer) === 'saleshub; hit'));
	const before = await metric('saleshub_cache_coalesced_total');
	const changed = await s.sql(
		`UPDATE crm.deal SET amount = amount + 1 WHERE org_id = $1 AND deal_id = (SELECT deal_id FROM crm.deal
			WHERE org_id = $1 AND status = 'open' AND deleted_at IS NULL LIMIT 1) RETURNING deal_id`,
		[admin.member.org_id]);
	assert.equal(changed.length, 1);
	// the computation cannot end before all have asked
	const client = await s.connect();
	await client.query('BEGIN');
	await client.query('LOCK TABLE saleshub.rollup IN ACCESS EXCLUSIVE MODE');
	const asked = ask();
	await waitFor(async () => (await s.sql(
		"SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT crm.dashboard_get(%'")).length > 0,
		{ what: 'the computation' });
	await admin.api('GET', '/v1/me');
	await client.end();
	const answers = await asked;
	assert.ok(await metric('saleshub_cache_coalesced_total') > before);
	assert.ok(answers.every(({ status }) => status === 200));
	assert.equal(new Set(answers.map(({ body }) => body.deals.open_amount.amount)).size, 1);
});

test('a restarted PostgreSQL forgets every stamp', async () =>
{
	const id = await lead();
	await hit(`/v1/leads/${id}`);
	await s.kill('postgres');
	assert.equal((await admin.api('GET', `/v1/leads/${id}`)).status, 503);
	await s.start('postgres');
	await waitFor(() => s.sql("UPDATE crm.lead SET title = 'after' WHERE lead_id = $1", [id]));
	await waitFor(async () => (await admin.api('GET', `/v1/leads/${id}`)).status === 200);
	assert.equal((await admin.api('GET', `/v1/leads/${id}`)).body.title, 'after');
	assert.equal((await hit(`/v1/leads/${id}`)).body.title, 'after');
});
