// Exports over HTTP: everything a list finds, byte for byte and for those who see it; as slowly as the
// client takes it and in little memory; cut short visibly, and noted.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { Reader } from '../lib/reader.mjs';
import { sleep, stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Exporting Ltd');
const stranger = await newOrganisation(s, 'Foreign Ltd');
const org_id = admin.member.org_id;

async function ok(session, method, path, body, status = [200, 201, 204])
{
	const answer = await session.api(method, path, body);
	assert.ok(status.includes(answer.status), `${method} ${path}: ${answer.status} ${answer.text}`);
	return answer.body;
}

const exported = (session, query, headers) => session.api('GET', `/v1/exports?${query}`, undefined, headers);
const log = async (session = admin) => (await ok(session, 'GET', '/v1/exports/log')).data;

/* CSV as RFC 4180 has it: rows of cells. */
function parse(text, delimiter = ',')
{
	const rows = [];
	let row = [], at = 0;
	while (at < text.length)
	{
		let cell = '';
		if (text[at] === '"')
		{
			for (at++; ; at++)
			{
				const quote = text.indexOf('"', at);
				assert.ok(quote >= 0, 'a quote is open');
				cell += text.slice(at, quote);
				at = quote + 1;
				if (text[at] !== '"')
					break;
				cell += '"';
			}
		}
		else
		{
			const end = text.slice(at).search(new RegExp(`[${delimiter}\\r\\n]`));
			cell = text.slice(at, at + end);
			assert.ok(end >= 0 && !cell.includes('"'), `a quote within ${cell}`);
			at += end;
		}
		row.push(cell);
		if (text[at] === delimiter)
		{
			at++;
			continue;
		}
		assert.equal(text.slice(at, at + 2), '\r\n', 'rows end with CRLF');
		at += 2;
		rows.push(row);
		row = [];
	}
	return rows;
}

function objects(text)
{
	const [names, ...rows] = parse(text);
	for (const row of rows)
		assert.equal(row.length, names.length);
	return rows.map((row) => Object.fromEntries(row.map((cell, i) => [names[i], cell])));
}

/* What the guard against formulas added is taken off again. */
const unguard = (cell) => cell.replace(/^'(?='*[=+\-@\t\r\n])/, '');

const naughty = [
	'=1+1', '+1-2', '-x', '@SUM(A1:A9)', '=HYPERLINK("http://x.example","y")', "'=1", "''@", "it's", '"', '""', ',', ';', 'a,b;c|d\te',
	'line\nbreak', 'car\rriage', 'both\r\nof them', '\\.', '\\N', 'NULL', 'undefined', '0', '1e309', 'Ω≈ç√∫˜µ≤≥÷', '田中さんにあげて下さい', '👩‍👩‍👧‍👦 🏳️‍🌈', 'مرحبا', '\u200e\u202e\u2066',
	'Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮', '<script>alert(1)</script>', "'; DROP TABLE crm.lead; --", '%s%n%00', '${jndi:ldap://x}', '\u{10FFFD}\u{E000}', 'a'.repeat(200),
];

test('what is exported can be read again, cell by cell', async () =>
{
	for (const [i, text] of naughty.entries())
		await ok(admin, 'POST', '/v1/leads', { last_name: `N${i}`, title: text, tags: [text.slice(0, 64)], custom: { text } });
	for (const [query, delimiter] of [['', ','], ['&delimiter=%3B', ';'], ['&delimiter=tab', '\t'], ['&formulas=keep', ',']])
	{
		const answer = await exported(admin, `type=leads&fields=last_name,title,tags,custom.text&last_name[starts_with]=N${query}`);
		assert.equal(answer.status, 200);
		const [header, ...rows] = parse(answer.text, delimiter);
		assert.deepEqual(header, ['last_name', 'title', 'tags', 'custom.text']);
		assert.equal(rows.length, naughty.length);
		const take = query === '&formulas=keep' ? (cell) => cell : unguard;
		const stored = (await ok(admin, 'GET', '/v1/leads?limit=200&last_name[starts_with]=N')).data;
		for (const [name, title, tags, custom] of rows)
		{
			const lead = stored.find((l) => l.last_name === name);
			assert.equal(take(title), lead.title ?? '', name);
			assert.equal(take(custom), lead.custom.text, name);
			assert.equal(take(tags), lead.tags.map((t) => t.replace(/[;,|\\]/g, '\\$&')).join(';'), name);
		}
		if (query !== '&formulas=keep')
			assert.ok(rows.flat().every((cell) => !/^[=@\t\r\n]/.test(cell) && !/^[+-].*[a-z]/i.test(cell)), 'nothing is left for a spreadsheet to run');
	}
});

test('lines of JSON are the records of the list', async () =>
{
	const { data } = await ok(admin, 'GET', '/v1/leads?limit=200&sort=created_at');
	for (const headers of [{ accept: 'application/x-ndjson' }, {}])
	{
		const answer = await exported(admin, `type=leads&sort=created_at${headers.accept ? '' : '&format=ndjson'}`, headers);
		assert.equal(answer.headers.get('content-type'), 'application/x-ndjson');
		assert.deepEqual(answer.text.trimEnd().split('\n').map((line) => JSON.parse(line)), data);
	}
	const csv = await exported(admin, 'type=leads', { accept: 'text/csv' });
	assert.equal(csv.headers.get('content-type'), 'text/csv; charset=utf-8; header=present');
	assert.deepEqual(objects(csv.text).map((row) => row.id).sort(), data.map((lead) => lead.id).sort());
});

test('every type can be exported, and its name says what it is', async () =>
{
	const company = await ok(admin, 'POST', '/v1/companies', { name: 'Acme' });
	const deal = await ok(admin, 'POST', '/v1/deals', { name: 'Deal', company_id: company.id, lines: [{ name: 'Work', quantity: 2, unit_price: '10.50' }] });
	await ok(admin, 'POST', '/v1/contacts', { last_name: 'Person', company_id: company.id });
	await ok(admin, 'POST', '/v1/products', { name: 'Thing', price: { amount: '3', currency: 'EUR' } });
	await ok(admin, 'POST', '/v1/activities', { type: 'task', subject: 'Do it', links: [{ type: 'deal', id: deal.id }] });
	for (const [type, part] of [['contacts', 'Person'], ['companies', 'Acme'], ['products', '3.00,'], ['activities', `deal:${deal.id}`]])
	{
		const answer = await exported(admin, `type=${type}`);
		assert.equal(answer.status, 200, answer.text);
		assert.ok(answer.text.includes(part), answer.text);
		assert.match(answer.headers.get('content-disposition'), new RegExp(`^attachment; filename="${type} \\d{4}-\\d\\d-\\d\\d\\.csv"$`));
		assert.equal(answer.headers.get('cache-control'), 'no-store');
		assert.match(answer.headers.get('x-saleshub-seq'), /^\w+-\d+$/);
	}
	const [row] = objects((await exported(admin, 'type=deals&status=open')).text);
	assert.deepEqual([row.amount, row.currency, row.company_id], ['21.00', deal.currency, company.id]);
	assert.deepEqual(JSON.parse(row.lines).map((line) => line.name), ['Work']);
	assert.equal(objects((await exported(admin, 'type=activities&type[eq]=task&fields=subject')).text).length, 1);
	assert.equal(objects((await exported(admin, 'type=activities&type[eq]=note&fields=subject')).text).length, 0);
	const filter = await ok(admin, 'POST', '/v1/filters', { noun: 'company', name: 'Große "Kunden"', filter: { field: 'name', op: '=', value: 'acme' } });
	const answer = await exported(admin, `type=companies&filter=${filter.id}&fields=name&bom=true`);
	assert.equal(answer.text, 'name\r\nAcme\r\n', 'the byte order mark is for others');
	assert.match(answer.headers.get('content-disposition'), /^attachment; filename="Gro_e _Kunden_ [\d-]+\.csv"; filename\*=UTF-8''Gro%C3%9Fe%20_Kunden_%20[\d-]+\.csv$/);
});

test('each gets what it sees, and no more', async () =>
{
	const rep = await s.newMember('rep', { org_id, name: 'Rep' });
	const reader = await s.newMember('readonly', { org_id, name: 'Reader' });
	const mate = await s.newMember('rep', { org_id, name: 'Mate' });
	const team = await ok(admin, 'POST', '/v1/teams', { name: 'Team' });
	for (const member of [reader, mate])
		await ok(admin, 'PUT', `/v1/teams/${team.id}/members/${member.member.id}`);
	for (const [name, owner] of [['Vadmin', admin], ['Vrep', rep], ['Vmate', mate]])
		await ok(admin, 'POST', '/v1/leads', { last_name: name, owner_id: owner.member.id, phone: '+12025550123' });
	await ok(admin, 'PATCH', '/v1/settings/visibility', {
		visibility: { rep: { lead: 'own' }, readonly: { lead: 'team' } },
		fields: { rep: { lead: { phone: 'hidden', custom: 'hidden' } } },
	});
	const names = async (session, query = '') => objects((await exported(session, `type=leads&fields=last_name&last_name[starts_with]=V${query}`)).text)
		.map((row) => row.last_name).sort();
	assert.deepEqual(await names(admin), ['Vadmin', 'Vmate', 'Vrep']);
	assert.deepEqual(await names(rep), ['Vrep']);
	assert.deepEqual(await names(reader), ['Vmate']);
	assert.deepEqual(await names(stranger), []);
	assert.equal((await exported(stranger, 'type=leads&format=ndjson')).text, '');

	const all = await exported(rep, 'type=leads');
	const [header] = parse(all.text);
	assert.ok(header.includes('email') && !header.includes('phone') && !header.includes('custom'));
	assert.ok(!all.text.includes('5550123'));
	for (const field of ['phone', 'custom', 'custom.text'])
	{
		const answer = await exported(rep, `type=leads&fields=${field}`);
		assert.equal(answer.status, 400);
		assert.equal(answer.body.errors[0].parameter, 'fields');
	}
	assert.equal((await exported(rep, 'type=leads&phone=%2B12025550123')).status, 400);
	assert.ok(!('phone' in JSON.parse((await exported(rep, 'type=leads&format=ndjson&last_name=Vrep')).text)));

	assert.ok((await log(rep)).every((entry) => entry.member_id === rep.member.id));
	assert.ok((await log(rep)).length >= 3);
	const entry = (await log()).find((e) => e.member_id === reader.member.id);
	assert.deepEqual([entry.type, entry.format, entry.rows, entry.complete, entry.fields], ['lead', 'csv', 1, true, 'last_name']);
	assert.deepEqual(entry.conditions, [{ field: 'last_name', op: 'starts_with', value: 'V' }]);
	assert.equal((await log(stranger)).filter((e) => e.member_id !== stranger.member.id).length, 0);
});

test('what cannot be exported is told before the first byte', async () =>
{
	assert.equal((await s.call('GET', '/v1/exports?type=leads')).status, 401);
	for (const [query, parameter] of [['', 'type'], ['type=members', 'type'], ['type=leads&format=xls', 'format'], ['type=leads&fields=nothing', 'fields'],
		['type=leads&sort=phone', 'sort'], ['type=leads&delimiter=%22', 'delimiter'], ['type=leads&limit=3', 'limit'], ['type=leads&stage_id=x', 'stage_id'],
		['type=leads&filter=00000000-0000-7000-8000-000000000000', 'filter'], ['type=deals&score[gte]=1', 'score[gte]']])
	{
		const answer = await exported(admin, query);
		assert.equal(answer.status, 400, `${query}: ${answer.text}`);
		assert.equal(answer.headers.get('content-type'), 'application/problem+json');
		assert.equal(answer.headers.get('content-disposition'), null);
		assert.equal(answer.body.errors[0].parameter, parameter);
	}
	const before = (await log()).length;
	const head = await admin.api('HEAD', '/v1/exports?type=leads');
	assert.deepEqual([head.status, head.text, head.headers.get('content-type')], [200, '', 'text/csv; charset=utf-8; header=present']);
	assert.equal((await log()).length, before, 'a question for the headers takes nothing');
});

/* --- large ones, by hand --- */

const large = 40000;
const row_bytes = 4000;

async function fill()
{
	const client = await s.connect();
	await client.query("SET session_replication_role = replica");
	await client.query(`INSERT INTO crm.contact (org_id, last_name, custom)
		SELECT $1, 'Large ' || i, jsonb_build_object('text', repeat(md5(i::text), ${row_bytes / 32})) FROM generate_series(1, ${large}) i`, [org_id]);
	await client.end();
}

const memory = async (pid) => Number(/RssAnon:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
const sessions = async () => (await s.sql(`SELECT pid FROM pg_stat_activity WHERE usename = 'saleshub_gateway' AND state LIKE 'idle in transaction%' OR query LIKE 'FETCH FORWARD%'
	AND state <> 'idle'`)).map((row) => row.pid);

test('a slow client gets all of it, and the gateway keeps little', async () =>
{
	await fill();
	const reader = new Reader(s, admin, '/v1/exports?type=contacts&fields=last_name,custom&last_name[starts_with]=Large');
	await reader.take(1 << 20);
	const gateway = await s.pid('gateway');
	const [backend] = await sessions();
	const before = [await memory(gateway), await memory(backend)];
	const assertSmall = async () =>
	{
		assert.ok(await memory(gateway) - before[0] < 24 << 20, 'the gateway keeps what the client does not take');
		assert.ok(await memory(backend) - before[1] < 24 << 20, 'the database keeps what was taken');
	};
	for (let i = 0; i < 5; i++)
	{
		await reader.take(4 << 20);
		await sleep(100);
		await assertSmall();
	}
	await reader.take(large * row_bytes - (32 << 20) - reader.size);
	await assertSmall();
	await reader.take();
	assert.equal(reader.status(), 200);
	assert.ok(reader.whole());
	assert.ok(reader.size > large * row_bytes);
	const [entry] = await log();
	assert.deepEqual([entry.rows, entry.complete], [large, true]);
	assert.ok(entry.bytes < reader.size && entry.bytes > large * row_bytes);
});

test('it is compressed for who takes it so, and nothing else is', async () =>
{
	const reader = new Reader(s, admin, '/v1/exports?type=contacts&fields=last_name,custom&last_name[starts_with]=Large', { 'Accept-Encoding': 'gzip' });
	await reader.take();
	assert.match(reader.head, /content-encoding: gzip/i);
	assert.match(reader.head, /vary:.*accept-encoding/i);
	assert.ok(reader.whole());
	assert.ok(reader.size < large * row_bytes / 4);
	const text = (await exported(admin, 'type=contacts&fields=last_name,custom&last_name[starts_with]=Large', { 'accept-encoding': 'gzip' })).text;
	assert.equal(text.split('\r\n').length, large + 2);
	for (const path of ['/v1/leads?limit=200', '/', '/openapi.json'])
		assert.equal((await admin.api('GET', path, undefined, { 'accept-encoding': 'gzip' })).headers.get('content-encoding'), null, path);
});

test('a client that leaves takes the transaction along, and what it got is noted', async () =>
{
	const reader = new Reader(s, admin, '/v1/exports?type=contacts&last_name[starts_with]=Large');
	await reader.take(8 << 20);
	assert.ok((await sessions()).length > 0);
	reader.leave();
	await waitFor(async () => (await sessions()).length === 0, { what: 'the end of the transaction' });
	const entry = await waitFor(async () => (await log())[0]?.complete === false && (await log())[0], { what: 'the entry in the log' });
	assert.ok(entry.rows > 1000 && entry.rows < large && entry.bytes > 4 << 20, JSON.stringify(entry));
});

test('a fault on the way shows as an answer without its end', async () =>
{
	for (const headers of [{}, { 'Accept-Encoding': 'gzip' }])
	{
		const reader = new Reader(s, admin, '/v1/exports?type=contacts&last_name[starts_with]=Large', headers);
		await reader.take(headers['Accept-Encoding'] ? 1 << 16 : 4 << 20);
		const pids = await waitFor(async () => { const p = await sessions(); return p.length > 0 && p; }, { what: 'the session' });
		for (const pid of pids)
			await s.sql('SELECT pg_terminate_backend($1)', [pid]);
		await reader.take();
		assert.equal(reader.status(), 200);
		assert.ok(!reader.whole(), 'the answer looks whole');
		assert.ok(reader.size < large * row_bytes);
	}
	assert.equal((await exported(admin, 'type=products')).status, 200, 'others are not disturbed');
});

test('only so many at once, and nobody has them all', async () =>
{
	const path = '/v1/exports?type=contacts&last_name[starts_with]=Large';
	const readers = [];
	/* Begins downloads until one is refused: how many went well. */
	const exhaust = async (session) =>
	{
		for (let i = 0; i < 20; i++)
		{
			const reader = new Reader(s, session, path);
			readers.push(reader);
			await reader.take(1000);
			if (reader.status() === 200)
				continue;
			await reader.take();
			assert.equal(reader.status(), 503);
			assert.match(reader.head, /retry-after: \d+/i);
			assert.match(reader.tail.toString(), /"code":"too_many_transfers"/);
			return i;
		}
		return Infinity;
	};
	const others = [await s.newMember('rep', { org_id }), await s.newMember('readonly', { org_id })];
	try
	{
		const first = await exhaust(admin);
		assert.ok(first > 1 && first < 20, 'there is no limit');
		assert.equal((await exported(others[0], 'type=products')).status, 200, 'one member has them all');
		assert.ok(await exhaust(others[0]) >= 1);
		assert.equal(await exhaust(others[1]), 0, 'there is no limit of all');
		assert.equal((await admin.api('GET', '/v1/leads?limit=1')).status, 200, 'all else goes on');
	}
	finally
	{
		for (const reader of readers)
			reader.leave();
	}
	await waitFor(async () => (await exported(others[1], 'type=products')).status === 200, { what: 'room for another' });
});
