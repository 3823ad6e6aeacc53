// Downloads that end badly: the client does not read on, or the database dies. The client sees that its
// answer is not whole, nothing stays behind, and the gateway goes on.
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { Reader } from '../lib/reader.mjs';
import { sleep, stack, waitFor } from '../lib/stack.mjs';

// Before the stack's own end.
after(async () =>
{
	delete process.env.SALESHUB_REQUEST_TIMEOUT_MS;
	await s.start('postgres');
	await s.restart('gateway');
});
const s = await stack();
process.env.SALESHUB_REQUEST_TIMEOUT_MS = '300';
await s.restart('gateway');
const admin = await newOrganisation(s, 'Downloading Ltd');
const path = '/v1/exports?type=contacts&fields=last_name,custom';
const rows = 10000;

const client = await s.connect();
await client.query('SET session_replication_role = replica');
await client.query(`INSERT INTO crm.contact (org_id, last_name, custom)
	SELECT $1, 'Large ' || i, jsonb_build_object('text', repeat(md5(i::text), 125)) FROM generate_series(1, ${rows}) i`, [admin.member.org_id]);
await client.end();

const log = async () => (await admin.api('GET', '/v1/exports/log')).body.data;

test('a client that does not read on is cut off, and what it got is noted', async () =>
{
	const reader = new Reader(s, admin, path);
	await reader.take(1000);
	const entry = await waitFor(async () => (await log())[0], { what: 'the entry in the log' });
	assert.equal(entry.complete, false);
	assert.ok(entry.rows > 0 && entry.rows < rows, JSON.stringify(entry));
	await reader.take();
	assert.ok(!reader.whole());
	const open = await s.sql("SELECT FROM pg_stat_activity WHERE usename = 'saleshub_gateway' AND xact_start < now() - interval '1 second'");
	assert.equal(open.length, 0, 'a transaction stays behind');
});

test('a client that only pauses is not', async () =>
{
	const reader = new Reader(s, admin, path);
	for (let i = 0; i < 4; i++)
	{
		await reader.take(500000);
		await sleep(700);
	}
	await reader.take();
	assert.ok(reader.whole());
	assert.ok(reader.size > rows * 4000);
});

test('when the database dies, the answer ends without its end and the gateway goes on', async () =>
{
	const pid = await s.pid('gateway');
	const reader = new Reader(s, admin, path);
	await reader.take(1000);
	await s.kill('postgres');
	await reader.take();
	assert.equal(reader.status(), 200);
	assert.ok(!reader.whole());
	await s.start('postgres');
	await waitFor(async () => (await admin.api('GET', `${path}&last_name=Large%201`)).status === 200, { what: 'the next export' });
	assert.equal(await s.pid('gateway'), pid);
});
