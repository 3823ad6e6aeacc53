// Requests that can be read in two ways: what the gateway refuses must be refused whole, and not a
// byte behind it may run. Raw sockets, because no HTTP client sends such things.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { RawConnection } from '../lib/raw.mjs';
import { sleep, stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const { body: { access_token: token } } = await s.call('POST', '/v1/auth/sign-up', {
	org_name: 'Framing', name: 'Ida', email: `${randomUUID()}@framing.example`,
	password: 'a password for tests',
});
const quick = await startQuick();

after(async () => {
	quick.child.kill('SIGKILL');
	await rm(quick.folder, { recursive: true });
});

// A second gateway that waits for requests only 600 ms.
async function startQuick()
{
	const folder = await mkdtemp(join(tmpdir(), 'framing-'));
	const ready = join(folder, 'ready.json');
	const { host, port } = s.database;
	// Settings come from the command line only.
	const child = spawn(s.gateway, [
		'--listen=127.0.0.1:0', '--admin_listen=127.0.0.1:0', '--threads=1', '--redis=',
		`--database=host=${host} port=${port} dbname=saleshub user=saleshub_gateway`,
		`--jwt_secret=${randomUUID()}${randomUUID()}`, `--ready_file=${ready}`,
		'--request_timeout_ms=600',
	], { stdio: 'ignore', env: {} });
	const addresses = await waitFor(async () => JSON.parse(await readFile(ready, 'utf8')),
		{ what: 'the quick gateway' });
	return { child, folder, ...addresses };
}

class Raw extends RawConnection
{
	constructor(url = s.url)
	{
		super(url);
	}
}

const host = () => `Host: ${new URL(s.url).host}\r\n`;
const get = (headers = '', line = 'GET /v1/health HTTP/1.1') => `${line}\r\n${host()}${headers}\r\n`;

function lead(name, framing, body)
{
	const json = JSON.stringify({ last_name: name });
	return `POST /v1/leads HTTP/1.1\r\n${host()}Authorization: Bearer ${token}\r\n` +
		`Content-Type: application/json\r\n${framing ?? `Content-Length: ${json.length}\r\n`}\r\n` +
		(body ?? json);
}

function chunked(text)
{
	return `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
}

async function leadsNamed(name)
{
	return (await s.sql('SELECT count(*)::int AS n FROM crm.lead WHERE last_name = $1', [name]))[0].n;
}

// Everything sent at once, and a good request behind it that must never run.
async function refused(raw, statuses)
{
	const smuggled = `smuggled ${randomUUID()}`;
	const connection = new Raw().write(raw + lead(smuggled));
	const answers = await connection.end();
	assert.equal(answers.length, 1, `one answer, got ${connection.bytes}`);
	assert.ok(statuses.includes(answers[0].status), `${answers[0].status} for ${JSON.stringify(raw)}`);
	assert.equal(answers[0].headers.connection, 'close');
	assert.equal(answers[0].headers['content-type'], 'application/problem+json');
	const problem = JSON.parse(answers[0].body);
	assert.equal(problem.status, answers[0].status);
	assert.equal(problem.request_id, answers[0].headers['x-request-id']);
	assert.equal(await leadsNamed(smuggled), 0);
}

test('the good request behind the bad ones would run on its own', async () => {
	const name = `good ${randomUUID()}`;
	const [answer] = await new Raw().write(lead(name)).count(1);
	assert.equal(answer.status, 201);
	assert.equal(await leadsNamed(name), 1);
});

const json = JSON.stringify({ last_name: 'ambiguous' });
const lengths = {
	'Content-Length and Transfer-Encoding': [`Content-Length: ${chunked(json).length}\r\nTransfer-Encoding: chunked\r\n`, chunked(json)],
	'Transfer-Encoding and Content-Length': ['Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', chunked(json)],
	'two lengths': [`Content-Length: ${json.length}\r\nContent-Length: ${json.length + 1}\r\n`, json],
	'a list of lengths': [`Content-Length: ${json.length}, ${json.length}\r\n`, json],
	'a length with a sign': [`Content-Length: +${json.length}\r\n`, json],
	'a length in hexadecimal': ['Content-Length: 0x19\r\n', json],
	'a length that wraps': [`Content-Length: ${2n ** 64n + BigInt(json.length)}\r\n`, json],
	'an unknown coding': ['Transfer-Encoding: xchunked\r\n', chunked(json)],
	'chunked twice': ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', chunked(json)],
	'chunked behind a tab of the wrong kind': ['Transfer-Encoding: \vchunked\r\n', chunked(json)],
	'a coding before a space and the colon': ['Transfer-Encoding : chunked\r\n', chunked(json)],
	'a folded coding': ['Transfer-Encoding:\r\n chunked\r\n', chunked(json)],
	'a chunk size with prefix': ['Transfer-Encoding: chunked\r\n', `0x${chunked(json)}`],
	'a chunk size with underscore': ['Transfer-Encoding: chunked\r\n', `0_${chunked(json)}`],
	'a chunk size with plus': ['Transfer-Encoding: chunked\r\n', `+${chunked(json)}`],
	'a chunk ended by LF': ['Transfer-Encoding: chunked\r\n', chunked(json).replace('\r\n', '\n')],
	'a chunk longer than said': ['Transfer-Encoding: chunked\r\n', `1\r\n${json}\r\n0\r\n\r\n`],
	'LF in a chunk extension': ['Transfer-Encoding: chunked\r\n', `19;a\n${json}\r\n0\r\n\r\n`],
	'a trailer that is a length': ['Transfer-Encoding: chunked\r\n', `${json.length.toString(16)}\r\n${json}\r\n0\r\nContent-Length: 1\r\n\r\n`],
};

for (const [name, [framing, body]] of Object.entries(lengths))
	test(`refused whole: ${name}`, () => refused(lead('ambiguous', framing, body), [400]));

test('a chunk size beyond every limit is refused', () =>
	refused(lead('huge', 'Transfer-Encoding: chunked\r\n', 'FFFFFFFFFFFFFFFF\r\nx'), [413]));

const heads = {
	'no Host': ['GET /v1/health HTTP/1.1\r\n\r\n', 400],
	'two Hosts': [() => get('Host: evil.example\r\n'), 400],
	'a Host with a user': ['GET /v1/health HTTP/1.1\r\nHost: u@h\r\n\r\n', 400],
	'a folded header': [() => get('X-A: a\r\n b\r\n'), 400],
	'a control character in a value': [() => get('X-A: a\x7f\r\n'), 400],
	'CR alone': [() => get('X-A: a\rb\r\n'), 400],
	'LF alone': [() => get('X-A: a\nb\r\n'), 400],
	'a space before the colon': [() => get('X-A : a\r\n'), 400],
	'two spaces in the request line': [() => get('', 'GET  /v1/health HTTP/1.1'), 400],
	'a lower-case method': [() => get('', 'get /v1/health HTTP/1.1'), 400],
	'TRACE': [() => get('', 'TRACE /v1/health HTTP/1.1'), 501],
	'HTTP/2.0': [() => get('', 'GET /v1/health HTTP/2.0'), 505],
	'a long target': [() => get('', `GET /v1/health?${'a'.repeat(9000)} HTTP/1.1`), 414],
	'a long head': [() => get(`X-A: ${'a'.repeat(33000)}\r\n`), 431],
	'many headers': [() => get('X-A: a\r\n'.repeat(101)), 431],
	'a body over the limit': [() => lead('big', `Content-Length: ${2 ** 40}\r\n`, ''), 413],
};

for (const [name, [raw, status]] of Object.entries(heads))
	test(`refused: ${name}`, () => refused(typeof raw === 'function' ? raw() : raw, [status]));

test('requests before the bad one are served in order, none behind it', async () => {
	const first = `first ${randomUUID()}`;
	const last = `last ${randomUUID()}`;
	const raw = new Raw().write(get() + lead(first) + get() + get('X A: b\r\n') + lead(last));
	const answers = await raw.end();
	assert.deepEqual(answers.map((a) => a.status), [200, 201, 200, 400]);
	assert.equal(await leadsNamed(first), 1);
	assert.equal(await leadsNamed(last), 0);
});

test('a fault in a body that comes in parts ends its request', async () => {
	const name = `parts ${randomUUID()}`;
	const text = JSON.stringify({ last_name: name });
	const raw = new Raw().write(lead(name, 'Transfer-Encoding: chunked\r\n', `${text.length.toString(16)}\r\n${text.slice(0, 5)}`));
	await sleep(50);
	raw.write(`${text.slice(5)}0\r\n\r\n`);
	const answers = await raw.end();
	assert.deepEqual(answers.map((a) => a.status), [400]);
	assert.equal(await leadsNamed(name), 0);
});

test('good requests are served octet by octet', async () => {
	const name = `octets ${randomUUID()}`;
	const raw = new Raw();
	const text = JSON.stringify({ last_name: name });
	for (const octet of lead(name, 'Transfer-Encoding: chunked\r\n', chunked(text)) + get())
	{
		raw.write(octet);
		await new Promise(setImmediate);
	}
	assert.deepEqual((await raw.count(2)).map((a) => a.status), [201, 200]);
	assert.equal(await leadsNamed(name), 1);
});

test('a target in absolute form is its path, for our host only', async () => {
	const [answer] = await new Raw().write(get('', `GET ${s.url}/v1/health?x=1 HTTP/1.1`)).count(1);
	assert.equal(answer.status, 200);
	const [lost] = await new Raw().write(get('', `GET ${s.url}/nowhere HTTP/1.1`)).count(1);
	assert.equal(lost.status, 404);
	await refused(get('', 'GET http://elsewhere.example/v1/health HTTP/1.1'), [400]);
	await refused(get('', `GET ${s.url.replace('//', '//user@')}/v1/health HTTP/1.1`), [400]);
});

test('a hundred requests in one segment get a hundred answers', async () => {
	const answers = await new Raw().write(get().repeat(100)).count(100);
	assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([200]));
});

test('100-continue is sent before the body, 413 instead of it', async () => {
	const name = `continue ${randomUUID()}`;
	const text = JSON.stringify({ last_name: name });
	const raw = new Raw().write(lead(name, `Content-Length: ${text.length}\r\nExpect: 100-continue\r\n`, ''));
	assert.equal((await raw.count(1))[0].status, 100);
	raw.write(text);
	assert.equal((await raw.count(2))[1].status, 201);
	const big = new Raw().write(lead('big', `Content-Length: ${2 ** 40}\r\nExpect: 100-continue\r\n`, ''));
	assert.deepEqual((await big.end()).map((a) => a.status), [413]);
});

test('a POST without a length is its connection\'s last request', async () => {
	const name = `behind ${randomUUID()}`;
	const raw = new Raw().write(`POST /v1/auth/sign-in HTTP/1.1\r\n${host()}\r\n${lead(name)}`);
	const answers = await raw.end();
	assert.equal(answers.length, 2);
	assert.equal(answers[1].status, 400);
	assert.equal(await leadsNamed(name), 0);
});

test('a refused websocket handshake ends the connection', async () => {
	const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
	const raw = new Raw().write(get(upgrade));
	const [answer] = await raw.end();
	assert.notEqual(answer.status, 101);
	const name = `tunnel ${randomUUID()}`;
	const early = await new Raw().write(get(upgrade) + lead(name)).end();
	assert.deepEqual(early.map((a) => a.status), [400]);
	assert.equal(await leadsNamed(name), 0);
});

test('HTTP/2 is not spoken in clear text', async () => {
	const preface = await new Raw().write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n').end();
	assert.deepEqual(preface.map((a) => a.status), [501]);
	const [upgrade] = await new Raw().write(get('Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n')).count(1);
	assert.equal(upgrade.status, 200);
});

test('slow heads and bodies get 408, idle connections a silent end', async () => {
	const head = new Raw(quick.url).write('GET /v1/health HTTP/1.1\r\nHost: ');
	const body = new Raw(quick.url).write('POST /v1/auth/sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{');
	const idle = new Raw(quick.url);
	const drip = setInterval(() => { head.write('a'); body.write(' '); }, 50);
	try
	{
		assert.deepEqual((await head.end(4000)).map((a) => a.status), [408]);
		assert.deepEqual((await body.end(4000)).map((a) => a.status), [408]);
		assert.deepEqual(await idle.end(4000), []);
	}
	finally
	{
		clearInterval(drip);
	}
});

test('who reads no answers is dropped', async () => {
	const raw = new Raw(quick.url);
	raw.socket.pause();
	raw.write(get().repeat(40000));
	const open = async () => Number(/^saleshub_http_connections (\d+)/m.exec(
		await (await fetch(new URL('/metrics', quick.admin_url))).text())[1]);
	await waitFor(async () => await open() === 1, { what: 'the connection' });
	await waitFor(async () => await open() === 0, { timeout: 30000, what: 'its end' });
	raw.socket.destroy();
});
