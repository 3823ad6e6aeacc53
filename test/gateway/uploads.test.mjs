// Files sent over HTTP: whole or not at all, of one member, never in the gateway's memory.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test, { after } from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { RawConnection } from '../lib/raw.mjs';
import { sleep, stack, waitFor } from '../lib/stack.mjs';

// before the stack's own end
after(() => s.sql('DROP FUNCTION crm.upload_probe; DROP SEQUENCE public.upload_probes; DELETE FROM saleshub.route WHERE path = \'/v1/upload-probes\''));
const s = await stack();
const rep = await s.newMember('rep');
const host = `Host: ${new URL(s.url).host}\r\n`;
const bearer = `Authorization: Bearer ${rep.access_token}\r\n`;
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const everything = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, i) => i)), randomBytes(700_000)]);

await makeProbe();

// A route that takes small files of two kinds, and other arguments.
async function makeProbe()
{
	await s.sql(`
		CREATE SEQUENCE public.upload_probes;
		GRANT USAGE ON SEQUENCE public.upload_probes TO saleshub_user;
		CREATE OR REPLACE FUNCTION crm.upload_probe(upload uuid, level integer, note text DEFAULT NULL,
			opts jsonb DEFAULT NULL, nap float8 DEFAULT 0, colours text[] DEFAULT NULL) RETURNS jsonb
		LANGUAGE plpgsql VOLATILE AS $$
		BEGIN
			PERFORM pg_sleep(nap);
			IF coalesce(note, '') = 'busy' AND nextval('public.upload_probes') % 3 <> 0 THEN
				RAISE EXCEPTION 'others are in the way' USING ERRCODE = 'serialization_failure';
			END IF;
			IF note = 'fail' THEN
				PERFORM saleshub.raise('22023', 'the file is no good', '{"code": "bad_file"}');
			END IF;
			RETURN (SELECT jsonb_build_object('id', upload, 'name', t.name, 'type', t.media_type,
				'size', t.size, 'sha256', encode(t.sha256, 'hex'), 'level', level, 'note', note,
				'opts', opts, 'colours', colours) FROM saleshub.upload_take(upload) t);
		END $$;
		GRANT EXECUTE ON FUNCTION crm.upload_probe TO saleshub_user;
		SELECT saleshub.route('POST /v1/upload-probes', 'crm.upload_probe(uuid, integer, text, jsonb, float8, text[])',
			'Probe', 'tests', success => 201, idempotent => true, timeout_ms => 20000,
			args => '{"upload": {"types": ["text/csv", "image/"], "max": 200000}, "level": {"maximum": 9},
				"note": {"maxLength": 20}, "opts": {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false}}')`);
	// every thread has the route
	await waitFor(async () =>
	{
		// the answer of any query brings the news
		await rep.api('POST', '/v1/uploads', '', { 'content-type': 'text/plain' });
		for (let i = 0; i < 12; i++)
			if ((await rep.api('POST', '/v1/upload-probes')).status === 404)
				return false;
		return true;
	}, { what: 'the route of the test' });
}

// Uploads on disk (files without a name, of the gateway) and in the database.
async function traces()
{
	const pid = await s.pid('gateway');
	const links = await Promise.all((await readdir(`/proc/${pid}/fd`))
		.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
	const [row] = await s.sql('SELECT count(*)::int AS uploads FROM saleshub.upload');
	return { files: links.filter((l) => / \(deleted\)$/.test(l)).length, uploads: row.uploads };
}

// Runs fn; afterwards there is as much on disk and in the database as before.
async function leavesNothing(fn)
{
	const before = await traces();
	await fn();
	await waitFor(async () =>
	{
		const now = await traces();
		return now.files === before.files && now.uploads === before.uploads;
	}, { what: 'an end of all traces' });
}

function form(parts, boundary = 'xyz')
{
	return Buffer.concat([...parts.flatMap(([head, value]) =>
		[Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`), Buffer.from(value), Buffer.from('\r\n')]),
		Buffer.from(`--${boundary}--\r\n`)]);
}

function probe(parts, headers, session = rep)
{
	return session.api('POST', '/v1/upload-probes', form(parts),
		{ 'content-type': 'multipart/form-data; boundary=xyz', ...headers });
}

const csv = 'name="file"; filename="prices.csv"\r\nContent-Type: text/csv';

// A body from a stream, chunked unless the length is given: {status, body}.
function stream(body, headers, path = '/v1/uploads')
{
	return new Promise((resolve, reject) =>
	{
		const call = request(new URL(path, s.url), { method: 'POST',
			headers: { authorization: `Bearer ${rep.access_token}`, ...headers } }, (answer) =>
		{
			const parts = [];
			answer.on('data', (part) => parts.push(part));
			answer.on('end', () => resolve({ status: answer.statusCode, body: JSON.parse(Buffer.concat(parts).toString()) }));
		});
		call.on('error', reject);
		body.pipe(call);
	});
}

test('a file is kept byte for byte, with its hash, and can be read about and removed', async () =>
{
	const sent = await rep.api('POST', '/v1/uploads?name=all%20bytes.bin', everything, { 'content-type': 'Application/X-Bytes' });
	assert.equal(sent.status, 201, sent.text);
	assert.equal(sent.headers.get('location'), `/v1/uploads/${sent.body.id}`);
	assert.equal(sent.body.size, everything.length);
	assert.equal(sent.body.sha256, sha(everything));
	assert.equal(sent.body.name, 'all bytes.bin');
	assert.equal(sent.body.media_type, 'application/x-bytes');
	const [kept] = await s.sql('SELECT string_agg(bytes, \'\' ORDER BY part) AS bytes FROM saleshub.upload_part WHERE upload_id = $1', [sent.body.id]);
	assert.ok(kept.bytes.equals(everything));
	const read = await rep.api('GET', `/v1/uploads/${sent.body.id}`);
	assert.deepEqual(read.body, sent.body);
	assert.equal((await rep.api('DELETE', `/v1/uploads/${sent.body.id}`)).status, 204);
	assert.equal((await rep.api('GET', `/v1/uploads/${sent.body.id}`)).status, 404);
});

test('the name may come with the form or the disposition', async () =>
{
	const named = await rep.api('POST', '/v1/uploads', form([[csv, 'a,b\n']]), { 'content-type': 'multipart/form-data; boundary=xyz' });
	assert.equal(named.status, 201, named.text);
	assert.equal(named.body.name, 'prices.csv');
	assert.equal(named.body.media_type, 'text/csv');
	const other = await rep.api('POST', '/v1/uploads', 'a,b\n',
		{ 'content-type': 'text/csv', 'content-disposition': 'attachment; filename*=UTF-8\'\'%e2%82%ac.csv' });
	assert.equal(other.body.name, '€.csv');
});

test('an empty file is a file, no body is none', async () =>
{
	const empty = await rep.api('POST', '/v1/uploads', '', { 'content-type': 'text/plain' });
	assert.equal(empty.status, 201, empty.text);
	assert.equal(empty.body.size, 0);
	assert.equal(empty.body.sha256, sha(''));
	const none = await rep.api('POST', '/v1/uploads');
	assert.equal(none.status, 422, none.text);
	assert.equal(none.body.errors[0].code, 'required');
	// the id of one that was sent before takes its place
	const by_id = await rep.api('POST', `/v1/upload-probes?level=1&upload=${empty.body.id}`);
	assert.equal(by_id.status, 201, by_id.text);
	assert.equal(by_id.body.sha256, sha(''));
});

test('chunked bodies, 100-continue, and requests behind a file in the same write', async () =>
{
	const chunked = await stream(Readable.from([everything.subarray(0, 1), everything.subarray(1, 70000), everything.subarray(70000)]),
		{ 'content-type': 'text/plain' });
	assert.equal(chunked.status, 201);
	assert.equal(chunked.body.sha256, sha(everything));

	const head = `POST /v1/uploads HTTP/1.1\r\n${host}${bearer}Content-Type: text/plain\r\n`;
	const waiting = new RawConnection(s.url).write(`${head}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
	assert.equal((await waiting.count(1))[0].status, 100);
	waiting.write('hello');
	assert.equal(JSON.parse((await waiting.count(2))[1].body).sha256, sha('hello'));

	const health = `GET /v1/health HTTP/1.1\r\n${host}\r\n`;
	const one = `${head}Content-Length: 5\r\n\r\nhello`;
	const two = `${head}Transfer-Encoding: chunked\r\n\r\n3\r\nbye\r\n0\r\nX-Trailer: y\r\n\r\n`;
	const json = '{"last_name":"Behind"}';
	const lead = `POST /v1/leads HTTP/1.1\r\n${host}${bearer}Content-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`;
	const all = health + health + one + two + lead + lead + one + health + two;
	for (const pieces of [[all], all.match(/[^]{1,37}/g)])
	{
		const many = new RawConnection(s.url);
		for (const piece of pieces)
		{
			many.write(piece);
			if (pieces.length > 1)
				await sleep(1);
		}
		const answers = await many.count(9);
		assert.deepEqual(answers.map((a) => a.status), [200, 200, 201, 201, 201, 201, 201, 200, 201]);
		assert.deepEqual([2, 3, 6, 8].map((i) => JSON.parse(answers[i].body).sha256), [sha('hello'), sha('bye'), sha('hello'), sha('bye')]);
		assert.equal(JSON.parse(answers[5].body).last_name, 'Behind');
		many.socket.destroy();
	}
	const last = new RawConnection(s.url).write(`${head}Connection: close\r\nContent-Length: 5\r\n\r\nhello${health}`);
	assert.deepEqual((await last.end()).map((a) => a.status), [201]);
	waiting.socket.destroy();
});

test('the parts of a form are arguments, before and after the file', async () =>
{
	const answer = await probe([['name="level"', '3'], ['name=colours', 'red,green'], [csv, everything.subarray(0, 150_000)],
		['name="note"', 'ähnlich'], ['name="opts"', '{"a": 1}']]);
	assert.equal(answer.status, 201, answer.text);
	const { id, ...said } = answer.body;
	assert.match(id, /^[0-9a-f-]{36}$/);
	assert.deepEqual(said, { name: 'prices.csv', type: 'text/csv', size: 150_000, sha256: sha(everything.subarray(0, 150_000)),
		level: 3, note: 'ähnlich', opts: { a: 1 }, colours: ['red', 'green'] });
	// and so are those of the query
	const raw = await rep.api('POST', '/v1/upload-probes?level=4&opts=%7B%22a%22%3A2%7D', 'x', { 'content-type': 'image/png' });
	assert.equal(raw.status, 201, raw.text);
	assert.deepEqual([raw.body.level, raw.body.opts, raw.body.type], [4, { a: 2 }, 'image/png']);
});

test('what cannot be used is refused, each fault named, and nothing stays', () => leavesNothing(async () =>
{
	const file = [csv, 'a,b\n'];
	const cases = [
		['a missing argument', [file], 400, [['level', 'required']]],
		['wrong values', [['name=level', 'ten'], file, ['name=note', 'x'.repeat(21)]], 400, [['level', 'invalid_type'], ['note', 'too_long']]],
		['a value over its limit', [['name=level', '10'], file], 400, [['level', 'too_large']]],
		['an unknown part', [['name=level', '1'], file, ['name=size', '1']], 400, [['size', 'unknown_parameter']]],
		['a part given twice', [['name=level', '1'], ['name=level', '2'], file], 400, [['level', 'duplicate']]],
		['broken JSON', [['name=level', '1'], file, ['name=opts', '{']], 400, [['opts', 'invalid_json']]],
		['JSON of another shape', [['name=level', '1'], file, ['name=opts', '{"a":"x"}']], 422, [['/opts/a', 'invalid_type']]],
		['no file', [['name=level', '1']], 422, [['/file', 'required']]],
		['two files', [['name=level', '1'], file, file], 400, null],
		['a value that is not UTF-8', [['name=level', '1'], file, ['name=note', Buffer.from([0xff])]], 400, null],
		['a file of another type', [['name=level', '1'], ['name=file\r\nContent-Type: text/html', '<p>']], 415, null],
		['a file that is too large', [['name=level', '1'], [csv, everything.subarray(0, 200_001)]], 413, null],
		['a function that refuses', [['name=level', '1'], file, ['name=note', 'fail']], 422, null],
	];
	for (const [name, parts, status, errors] of cases)
	{
		const answer = await probe(parts);
		assert.equal(answer.status, status, `${name}: ${answer.text}`);
		assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
		if (errors)
			assert.deepEqual(answer.body.errors.map((e) => [e.parameter ?? e.pointer, e.code]), errors, name);
	}
	const type = 'multipart/form-data; boundary=xyz';
	const good = form([['name=level', '1'], file]);
	for (const [name, body, content_type] of [
		['a form cut short', good.subarray(0, good.length - 6), type],
		['another boundary', good, 'multipart/form-data; boundary=abc'],
		['no boundary', good, 'multipart/form-data'],
		['a boundary that may not be', good, 'multipart/form-data; boundary="a\\"b"'],
		['an empty form', '', type],
	])
	{
		const answer = await rep.api('POST', '/v1/upload-probes', body, { 'content-type': content_type });
		assert.equal(answer.status, 400, `${name}: ${answer.text}`);
		assert.equal(answer.body.code, 'invalid_form', name);
	}
	for (const headers of [{ 'content-type': 'text/html' }, { 'content-type': 'image' }, { 'content-type': 'application/json' }])
	{
		const answer = await rep.api('POST', '/v1/upload-probes?level=1', 'x', headers);
		assert.equal(answer.status, 415, answer.text);
		assert.equal(answer.headers.get('accept'), 'text/csv, image/*');
	}
	const both = await rep.api('POST', `/v1/upload-probes?level=1&upload=${randomUUID()}`, 'x', { 'content-type': 'text/csv' });
	assert.equal(both.status, 400, both.text);
}));

test('a large body is refused at its head: 401, 413, 415, before a byte of it', () => leavesNothing(async () =>
{
	const large = 'Content-Length: 900000000\r\n';
	const chunks = 'Transfer-Encoding: chunked\r\n';
	const type = 'Content-Type: text/csv\r\n';
	const cases = [
		[`${type}${large}`, 401],
		[`Authorization: Bearer nonsense\r\n${type}${chunks}`, 401],
		[`${bearer.trimEnd()}x\r\n${type}${large}`, 401],
		[`${bearer}Content-Type: text/html\r\n${large}`, 415],
		[`${bearer}${type}${large}`, 413],
		[`${bearer}${type}Content-Length: 200001\r\n`, 413],
		[`${bearer}${type}Content-Length: 10\r\nExpect: a miracle\r\n`, 417],
	];
	for (const [headers, status] of cases)
	{
		const connection = new RawConnection(s.url).write(`POST /v1/upload-probes?level=1 HTTP/1.1\r\n${host}${headers}\r\n`);
		const [answer] = await connection.end();
		assert.equal(answer.status, status, headers);
		assert.equal(answer.headers['content-type'], 'application/problem+json');
		assert.equal(JSON.parse(answer.body).status, status);
	}
	const over = await new RawConnection(s.url)
		.write(`POST /v1/uploads HTTP/1.1\r\n${host}${bearer}${type}Content-Length: 1073741825\r\n\r\n`).end();
	assert.equal(over[0].status, 413);
	// chunks are counted as they come
	const counted = await new RawConnection(s.url)
		.write(`POST /v1/upload-probes?level=1 HTTP/1.1\r\n${host}${bearer}${type}${chunks}\r\n30d41\r\n`).end();
	assert.equal(counted[0].status, 413);
	// other routes keep their limit
	const other = await new RawConnection(s.url)
		.write(`POST /v1/leads HTTP/1.1\r\n${host}${bearer}Content-Type: application/json\r\nContent-Length: 1048577\r\n\r\n`).end();
	assert.equal(other[0].status, 413);
	// a small one is read, and the connection goes on
	const small = new RawConnection(s.url)
		.write(`POST /v1/uploads HTTP/1.1\r\n${host}${type}Content-Length: 5\r\n\r\nhelloGET /v1/health HTTP/1.1\r\n${host}\r\n`);
	assert.deepEqual((await small.count(2)).map((a) => a.status), [401, 200]);
	small.socket.destroy();
}));

test('an upload is of who sent it, and readers send none', async () =>
{
	const sent = await rep.api('POST', '/v1/uploads', 'mine', { 'content-type': 'text/csv' });
	const stranger = await newOrganisation(s, 'Uploads elsewhere');
	for (const other of [await s.newMember('admin'), await s.newMember('rep'), stranger])
	{
		for (const [method, path] of [['GET', `/v1/uploads/${sent.body.id}`], ['DELETE', `/v1/uploads/${sent.body.id}`],
			['POST', `/v1/upload-probes?level=1&upload=${sent.body.id}`]])
			assert.equal((await other.api(method, path)).status, 404, `${method} ${path}`);
	}
	const reader = await s.newMember('readonly');
	await leavesNothing(async () =>
	{
		const refused = await reader.api('POST', '/v1/uploads', 'x', { 'content-type': 'text/csv' });
		assert.equal(refused.status, 403, refused.text);
	});
	assert.equal((await rep.api('GET', `/v1/uploads/${sent.body.id}`)).status, 200);
});

test('with a key a file is taken once; another file under it is refused', async () =>
{
	const headers = { 'content-type': 'text/csv', 'idempotency-key': randomUUID() };
	const first = await rep.api('POST', '/v1/uploads?name=a', everything, headers);
	assert.equal(first.status, 201, first.text);
	await leavesNothing(async () =>
	{
		const again = await rep.api('POST', '/v1/uploads?name=a', everything, headers);
		assert.equal(again.status, 201, again.text);
		assert.equal(again.headers.get('idempotency-replayed'), 'true');
		assert.equal(again.headers.get('location'), first.headers.get('location'));
		assert.deepEqual(again.body, first.body);
		const changed = Buffer.from(everything);
		changed[changed.length - 1] ^= 1;
		const other = await rep.api('POST', '/v1/uploads?name=a', changed, headers);
		assert.equal(other.status, 422, other.text);
		assert.equal(other.body.code, 'idempotency_key_reused');
	});
	// at the same time: one does it, the others wait and get its answer
	const key = { 'content-type': 'text/csv', 'idempotency-key': randomUUID() };
	const answers = await Promise.all([1, 2, 3, 4].map(() => rep.api('POST', '/v1/uploads', everything, key)));
	assert.deepEqual(answers.map((a) => a.status), [201, 201, 201, 201]);
	assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
});

test('when others are in the way it is done again, with the same file and arguments', async () =>
{
	const file = everything.subarray(0, 190_000);
	for (const first of [[csv, file], ['name="level"', '5']])
	{
		const rest = [[csv, file], ['name="level"', '5'], ['name=colours', 'red'], ['name=colours', 'blue']].filter(([head]) => head !== first[0]);
		const answer = await probe([first, ...rest, ['name=note', 'busy']]);
		assert.equal(answer.status, 201, answer.text);
		assert.deepEqual([answer.body.sha256, answer.body.level, answer.body.colours], [sha(file), 5, ['red', 'blue']]);
	}
	const raw = await rep.api('POST', '/v1/upload-probes?level=6&note=busy', file, { 'content-type': 'image/png' });
	assert.deepEqual([raw.status, raw.body.sha256, raw.body.level], [201, sha(file), 6]);
	const [{ tried }] = await s.sql('SELECT last_value::int AS tried FROM public.upload_probes');
	assert.equal(tried, 9);
});

test('a client that leaves in the middle leaves nothing behind', () => leavesNothing(async () =>
{
	const head = `POST /v1/uploads HTTP/1.1\r\n${host}${bearer}Content-Type: text/csv\r\n`;
	const before = (await traces()).files;
	const clients = ['Content-Length: 1000000\r\n\r\n', 'Transfer-Encoding: chunked\r\n\r\nfffff\r\n'].map((rest) =>
		new RawConnection(s.url).write(head + rest + 'x'.repeat(300_000)));
	await waitFor(async () => (await traces()).files === before + 2, { what: 'two files on disk' });
	clients[0].socket.destroy();
	clients[1].socket.resetAndDestroy();
	await waitFor(async () => (await traces()).files === before, { what: 'no file on disk' });
}));

test('more files than may be written at once wait for each other', async () =>
{
	const answers = await Promise.all(Array.from({ length: 20 }, (_, i) =>
		rep.api('POST', '/v1/uploads', everything.subarray(i), { 'content-type': 'text/csv' })));
	assert.deepEqual(answers.map((a) => a.status), Array.from({ length: 20 }, () => 201));
	assert.deepEqual(answers.map((a) => a.body.sha256), Array.from({ length: 20 }, (_, i) => sha(everything.subarray(i))));
});

test('a large file does not go through the memory of the gateway', async () =>
{
	const size = 100 * 1024 * 1024;
	const piece = randomBytes(1024 * 1024);
	const hash = createHash('sha256');
	const pid = await s.pid('gateway');
	const memory = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
	const before = await memory();
	let most = before;
	const watch = setInterval(async () => { most = Math.max(most, await memory()); }, 20);
	const answer = await stream(Readable.from((function* pieces()
	{
		for (let sent = 0; sent < size; sent += piece.length)
		{
			piece.writeUInt32LE(sent, 0);
			hash.update(piece);
			yield Buffer.from(piece);
		}
	})()), { 'content-type': 'video/mp4', 'content-length': size });
	clearInterval(watch);
	assert.equal(answer.status, 201, JSON.stringify(answer.body));
	assert.equal(answer.body.size, size);
	assert.equal(answer.body.sha256, hash.digest('hex'));
	assert.ok(most - before < 20 * 1024 * 1024, `grew by ${most - before} bytes`);
	assert.equal((await rep.api('DELETE', `/v1/uploads/${answer.body.id}`)).status, 204);
});

// A second gateway with room for one megabyte, that waits for bodies 600 ms.
async function startSmall()
{
	const folder = await mkdtemp(join(tmpdir(), 'uploads-'));
	const ready = join(folder, 'ready.json');
	const { host: socket, port } = s.database;
	const child = spawn(s.gateway, [
		'--listen=127.0.0.1:0', '--admin_listen=127.0.0.1:0', '--threads=1', '--redis=',
		`--database=host=${socket} port=${port} dbname=saleshub user=saleshub_gateway`,
		`--jwt_secret=${randomUUID()}${randomUUID()}`, `--ready_file=${ready}`,
		'--request_timeout_ms=600', `--spool_dir=${folder}`, '--spool_limit_mb=1', '--max_upload=3000000',
	], { stdio: 'ignore', env: {} });
	const { url } = await waitFor(async () => JSON.parse(await readFile(ready, 'utf8')), { what: 'the small gateway' });
	const stop = async () =>
	{
		child.kill('SIGKILL');
		await rm(folder, { recursive: true });
	};
	return { url, folder, stop };
}

test('without room, or without end, a body is given up', async () =>
{
	const small = await startSmall();
	try
	{
		const up = await (await fetch(`${small.url}/v1/auth/sign-up`, { method: 'POST', headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ org_name: 'Small', name: 'Ida', email: `${randomUUID()}@small.example`, password: 'a password for tests' }) })).json();
		const head = `POST /v1/uploads HTTP/1.1\r\n${host}Authorization: Bearer ${up.access_token}\r\nContent-Type: text/plain\r\n`;
		const send = (framing, bytes) => new RawConnection(small.url).write(`${head}${framing}\r\n\r\n${'x'.repeat(bytes)}`);

		const [crowded] = await send('Content-Length: 2000000', 1_200_000).end();
		assert.equal(crowded.status, 503);
		assert.equal(crowded.headers['retry-after'], '1');
		assert.equal(JSON.parse(crowded.body).code, 'too_many_uploads');
		assert.equal((await send('Content-Length: 3000001', 0).end())[0].status, 413);

		// one holds the room, the next has none until it is gone
		const holder = send('Content-Length: 1000000', 900_000);
		await sleep(50);
		assert.equal((await send('Content-Length: 500000', 500_000).end())[0].status, 503);
		holder.socket.destroy();
		await waitFor(async () =>
		{
			const good = send('Content-Length: 500000', 500_000);
			const [answer] = await good.count(1);
			good.socket.destroy();
			return answer.status === 201;
		}, { what: 'room' });

		for (const framing of ['Content-Length: 1000', 'Transfer-Encoding: chunked'])
		{
			const [late] = await send(framing, 0).write('3e8\r\nx').end();
			assert.equal(late.status, 408);
		}
		assert.deepEqual(await readdir(small.folder), ['ready.json']);
	}
	finally
	{
		await small.stop();
	}
});

test('when the database dies in the middle the answer says so, and nothing stays', async () =>
{
	const before = (await traces()).uploads;
	const answer = rep.api('POST', '/v1/upload-probes?level=1&nap=10', 'a,b\n', { 'content-type': 'text/csv' });
	await waitFor(async () => (await s.sql('SELECT FROM pg_stat_activity WHERE query LIKE \'%upload_probe%\' AND wait_event = \'PgSleep\'')).length);
	await s.kill('postgres');
	const { status, headers, body } = await answer;
	assert.equal(status, 503);
	assert.match(headers.get('retry-after'), /^\d+$/);
	assert.equal(body.code, 'unavailable');
	await s.start('postgres');
	const now = await waitFor(() => traces().catch(() => null), { what: 'the database' });
	assert.equal(now.uploads, before);
	await waitFor(async () => (await rep.api('POST', '/v1/uploads', 'x', { 'content-type': 'text/csv' })).status === 201,
		{ what: 'an upload' });
});
