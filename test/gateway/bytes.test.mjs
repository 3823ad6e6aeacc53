// Texts of all kinds come back as they were sent, through every field of every record, by HTTP and
// SQL; what cannot be kept, or is too much, is refused with 4xx and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const me = await newOrganisation(s, 'Bytes Ltd');
const org = me.member.org_id;

/* Code points of every plane: the edges, and some between; no surrogates, which are no characters. */
function planes()
{
	const texts = [];
	let seed = 20261125;
	for (let plane = 0; plane <= 16; plane++)
	{
		const points = [plane * 0x10000 + 0xfffd, plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff];
		points.push(plane ? plane * 0x10000 : 1);
		for (let i = 0; i < 40; i++)
		{
			seed = (seed * 1103515245 + 12345) % 2147483648;
			points.push(plane * 0x10000 + 0x21 + seed % 0xffd0);
		}
		texts.push(`p${points.filter((p) => p < 0xd800 || p > 0xdfff).map((p) => String.fromCodePoint(p)).join('')}p`);
	}
	texts.push(`n${Array.from({ length: 32 }, (_, i) => String.fromCodePoint(0xfdd0 + i)).join('')}n`);
	for (let from = 1; from < 0x300; from += 60)
		texts.push(`c${Array.from({ length: 60 }, (_, i) => String.fromCodePoint(from + i)).join('')}c`);
	return texts;
}

const naughty = [
	'undefined', 'null', 'NULL', '(null)', 'nil', 'NaN', 'true', 'None', '-', '\\', '\\\\', '0', '1/0', '1e400', '-0', '0x0',
	'9223372036854775808', '01', '1,000.00', '٠١٢٣٤٥٦٧٨٩', '½ ⅓ Ⅳ', '{}', '[]', '{"a":1}', '"quoted"', "'single'", '`back`',
	"'; DROP TABLE crm.lead; --", "1' OR '1'='1", '$1', '$$', '$body$', ':id', '%s%n%p', '%', '_', '\\%', "E'\\x00'", 'a\\u0000b', "x'); SELECT pg_sleep(9);--",
	'<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '&lt;b&gt;&amp;', '<!--', ']]>', '"><svg/onload=alert(1)>', "javascript:alert(1)",
	'$(reboot)', '`reboot`', '; ls', '| cat /etc/passwd', '&& true', '../../etc/passwd', '..\\..\\windows', 'C:\\', '/dev/null', 'CON', 'nul.txt',
	'{{7*7}}', '${7*7}', '#{7*7}', '<%= 7*7 %>', '=1+1', '+1', '@SUM(1)', '=cmd|\' /C calc\'!A0', '%00', '%0d%0aSet-Cookie: a=b', 'a\r\nb', 'tab\tin', 'line\nfeed', 'form\ffeed\vtab', 'bell\u0007 esc\u001b[31m del\u007f',
	'a\u0001\u001f\u0080\u009fz', 'nel\u0085 ls\u2028 ps\u2029 end', 'a\u00a0b', 'em\u2003space\u3000wide', 'zero\u200bwidth\u200c\u200d\u2060\ufeffjoin', 'soft\u00adhyphen',
	'\ufeffbom', '\u202eevil\u202c txt', '\u2066isolate\u2069', 'שלום עולם', 'مرحبا بالعالم', 'abc עברית 123 def', '田中さんにあげて下さい', '部落格', '사회과학원', '🐵 🙈 🙉 🙊', '👨‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈',
	'🇩🇪🇫🇷🇺🇸', '1️⃣ ❤️ ✋🏿', 'e\u0301', 'é', 'Å', 'Å', 'A\u030a', '가', '가', 'ﬁ ﬃ', 'ß ẞ ſ', 'İ i ı I', 'Σίσυφος ς', 'Ⱥⱥ', 'Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤ ̖t̝͕̳̣̻̪͞h̼͓̲̦̳̘̲e͇̣̰̦̬͎ ̢̼̻̱̘h͚͎͙̜̣̲ͅi̦̲̣̰̤v̻͍e̺̭̳̪̰-m̢iͅn̖̺̞̲̯̰d̵̼̟͙̩̼̘̳',
	'ǅ ǈ ǋ', 'Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮', '𝕋𝕙𝕖 𝖖𝖚𝖎𝖈𝖐', '𐀀 𠜎 𪚥', '\u{10ffff}', '\ufffd', '\uffff', '(╯°□°)╯︵ ┻━┻', 'Ω≈ç√∫˜µ≤≥÷', '¡™£¢∞§¶•ªº–≠', '─│┌┐', 'ᚠᛇᚻ᛫ᛒᛦᚦ', 'ﷺ', '﷽', '჻', '᠎mongolian', 'a̐éö̲', 'a'.repeat(64), '界'.repeat(64), '😀'.repeat(64),
	...planes(),
];

/* Documented: white space at the ends goes, and what is empty then is null. */
const trimmed = (text) => text.replace(/^[ \t\n\r\u00a0]+|[ \t\n\r\u00a0]+$/g, '') || null;
const asSent = { activities: ['body'] };
/* What has a form of its own, or belongs to a state or type that the records here do not have. */
const withRules = new Set(['phone', 'website', 'country', 'currency', 'timezone', 'recurrence', 'domain', 'lost_reason',
	'message_id', 'in_reply_to']);
const columns = { leads: 'lead', contacts: 'contact', companies: 'company', deals: 'deal', activities: 'activity', products: 'product' };
const base = { activities: { type: 'meeting', subject: 'x' }, deals: { name: 'x' }, products: { price: '1', name: 'x' }, leads: { last_name: 'x', on_duplicate: 'allow' },
	contacts: { last_name: 'x', on_duplicate: 'allow' }, companies: { name: 'x', on_duplicate: 'allow' } };
const [{ routes }] = await s.sql('SELECT saleshub.route_catalog() AS routes');

/* The free texts that a body may have, with the length that is allowed. */
function textFields(plural)
{
	const { args } = routes.find((r) => r.method === 'POST' && r.path === `/v1/${plural}`);
	const { properties } = args.find((a) => a.in === 'body').schema;
	return Object.entries(properties).filter(([name, field]) => [field.type].flat().includes('string')
		&& ![field.type].flat().includes('number') && !field.enum && !field.format && !withRules.has(name) && !(plural === 'contacts' && name === 'name'))
		.map(([name, field]) => [name, field.maxLength]);
}

async function written(plural, fields)
{
	const items = naughty.map((text, n) =>
	{
		const body = { ...base[plural] };
		for (const [name, most] of fields)
			if ([...text].length <= most && (trimmed(text) || !(name in base[plural])))
				body[name] = text;
		if (plural === 'products' && body.sku)
			body.sku = [...text].length < most(fields, 'sku') - 5 ? `${text}-${n}` : `sku ${n}`;
		if (plural !== 'activities' && [...text].length <= 64)
			body.tags = [text, 'second'];
		body.custom = { text, deep: [{ [text]: text }] };
		return { op: 'create', body };
	});
	const ids = [];
	for (let at = 0; at < items.length; at += 50)
	{
		const answer = await me.api('POST', `/v1/${plural}:batch`, { items: items.slice(at, at + 50), atomic: true });
		assert.equal(answer.status, 200, answer.text.slice(0, 2000));
		ids.push(...answer.body.data.map((d) => d.id));
	}
	return items.map((item, n) => ({ id: ids[n], body: item.body }));
}

const most = (fields, name) => fields.find(([field]) => field === name)[1];

for (const plural of Object.keys(columns))
{
	test(`every text of ${plural} comes back byte for byte`, async () =>
	{
		const fields = textFields(plural);
		assert.ok(fields.length >= 3, fields.join());
		const sent = await written(plural, fields);
		const noun = columns[plural];
		const rows = new Map((await s.sql(`SELECT ${noun}_id AS id, to_jsonb(t) AS row FROM crm.${noun} t WHERE org_id = $1`, [org]))
			.map((r) => [r.id, r.row]));
		const listed = new Map();
		for (let cursor = ''; cursor !== null;)
		{
			const page = await me.api('GET', `/v1/${plural}?limit=200${cursor && `&cursor=${cursor}`}`);
			assert.equal(page.status, 200, page.text.slice(0, 500));
			for (const doc of page.body.data)
				listed.set(doc.id, doc);
			cursor = page.body.next_cursor;
		}
		for (const { id, body } of sent)
		{
			const doc = listed.get(id);
			for (const [name] of fields.filter(([field]) => field in body))
			{
				const text = (asSent[plural] ?? []).includes(name) ? body[name] : trimmed(body[name]);
				assert.equal(doc[name], text, `${name} of ${JSON.stringify(body[name])}`);
				if (name in rows.get(id))
					assert.equal(rows.get(id)[name], text, `column ${name}`);
			}
			assert.deepEqual(doc.custom, body.custom);
			if (body.tags)
				assert.deepEqual(doc.tags, [...new Set(body.tags.map(trimmed))].filter(Boolean));
		}
	});
}

test('one by one: written by POST and PATCH, read and found', async () =>
{
	for (const text of naughty.filter((_, n) => n % 7 === 0))
	{
		const made = await me.api('POST', '/v1/activities', { type: 'note', subject: 'x', body: text });
		assert.equal(made.status, 201, made.text);
		const one = `/v1/activities/${made.body.id}`;
		assert.equal((await me.api('GET', one)).body.body, text);
		const name = `n${text}n`;
		const changed = await me.api('PATCH', one, { subject: name });
		assert.equal(changed.body.subject, name);
		const found = await me.api('GET', `/v1/activities?subject=${encodeURIComponent(name)}`);
		assert.deepEqual(found.body.data?.map((d) => d.subject), [name], JSON.stringify(text));
		const history = await me.api('GET', `${one}/history`);
		assert.equal(history.body.data[0].changed.subject.new, name);
	}
});

test('written by SQL, read by HTTP', async () =>
{
	const made = await s.sql(`INSERT INTO crm.activity (org_id, type, subject, body, outcome)
		SELECT $1, 'note', 'by SQL ' || n, t, left(t, 200) FROM unnest($2::text[]) WITH ORDINALITY u (t, n) RETURNING activity_id AS id, subject`,
	[org, naughty]);
	const read = new Map();
	for (let cursor = ''; cursor !== null;)
	{
		const page = (await me.api('GET', `/v1/activities?limit=200&subject[starts_with]=by%20SQL&fields=body,outcome${cursor && `&cursor=${cursor}`}`)).body;
		page.data.forEach((doc) => read.set(doc.id, doc));
		cursor = page.next_cursor;
	}
	assert.equal(read.size, naughty.length);
	for (const { id, subject } of made)
	{
		const text = naughty[Number(subject.slice(7)) - 1];
		assert.equal(read.get(id).body, text);
		assert.equal(read.get(id).outcome, trimmed([...text].slice(0, 200).join('')));
	}
});

async function raw(path, body, headers = {})
{
	const answer = await fetch(s.url + path, { method: 'POST', body,
		headers: { authorization: `Bearer ${me.access_token}`, 'content-type': 'application/json', ...headers } });
	return { status: answer.status, text: await answer.text() };
}

test('what is no text is refused', async () =>
{
	const refused = [
		'{"last_name":"a\\u0000b"}', '{"last_name":"\\ud800"}', '{"last_name":"\\udc00"}', '{"last_name":"\\ud800x"}', '{"last_name":"\\ud800\\ud800"}',
		'{"last_name":"x","custom":{"a\\u0000":1}}', '{"last_name":"x","custom":{"a":["\\udfff"]}}', '{"last_name":"x","tags":["\\u0000"]}',
		'{"last_name":"a\u0000b"}', '{"last_name":"a\nb"}', '{"last_name":"\\x"}', '{"last_name":"\\u12"}', '{"last_name":"a}', '{"last_name":"a",}',
		...['80', 'bf', 'c0af', 'e08080', 'eda080', 'edbfbf', 'f0808080', 'f4908080', 'f8888080', 'ff', 'c3', 'e282'].map((hex) =>
			Buffer.concat([Buffer.from('{"last_name":"'), Buffer.from(hex, 'hex'), Buffer.from('"}')])),
	];
	for (const body of refused)
	{
		const answer = await raw('/v1/leads', body);
		assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} for ${body}: ${answer.text}`);
		assert.equal(JSON.parse(answer.text).status, answer.status);
	}
	for (const query of ['last_name=%00', 'last_name=%ff', 'last_name=%ed%a0%80', 'cursor=%00', 'sort=%00', 'fields=%ff'])
	{
		const answer = await me.api('GET', `/v1/leads?${query}`);
		assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} for ${query}: ${answer.text}`);
	}
	// a pair of surrogates is a character, however it is written
	const made = await raw('/v1/leads', '{"last_name":"\\ud83d\\ude00"}');
	assert.equal(made.status, 201, made.text);
	assert.equal(JSON.parse(made.text).last_name, '😀');
});

test('a note of a million characters of any kind', async () =>
{
	for (const [what, text] of [['ascii', 'x'.repeat(1048576)], ['four bytes', '😀'.repeat(1048576)],
		['escaped', '\u0001"\\\n'.repeat(262144)], ['lines', 'line of text\r\n'.repeat(70000)]])
	{
		const made = await me.api('POST', '/v1/activities', { type: 'note', subject: what, body: text });
		assert.equal(made.status, 201, `${what}: ${made.text.slice(0, 300)}`);
		assert.ok(made.body.body === text, what);
		const read = await me.api('GET', `/v1/activities/${made.body.id}`);
		assert.ok(read.body.body === text, what);
		const [row] = await s.sql('SELECT md5(body) = md5($2) AS same, length(body) AS length FROM crm.activity WHERE activity_id = $1', [made.body.id, text]);
		assert.deepEqual(row, { same: true, length: [...text].length }, what);
	}
	const more = await me.api('POST', '/v1/activities', { type: 'note', subject: 'x', body: 'x'.repeat(1048577) });
	assert.equal(more.status, 422, more.text.slice(0, 300));
	assert.equal(more.body.errors[0].code, 'too_long');
});

test('limits answer 4xx', async () =>
{
	const lead = { last_name: 'Limit' };
	const nested = (depth) => `{"last_name":"x","custom":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`;
	for (const plural of Object.keys(columns))
	{
		const fields = textFields(plural);
		const long = await me.api('POST', `/v1/${plural}`, { ...base[plural],
			...Object.fromEntries(fields.map(([name, most]) => [name, 'x'.repeat(most + 1)])) });
		assert.equal(long.status, 422, `${plural}: ${long.text.slice(0, 200)}`);
		assert.deepEqual(long.body.errors.filter((e) => e.code === 'too_long').map((e) => e.pointer).sort(),
			fields.map(([name]) => `/${name}`).sort());
	}
	const cases = [
		['too many tags', 422, await me.api('POST', '/v1/leads', { ...lead, tags: Array.from({ length: 101 }, (_, i) => `t${i}`) })],
		['a long tag', 422, await me.api('POST', '/v1/leads', { ...lead, tags: ['x'.repeat(65)] })],
		['too many links', 422, await me.api('POST', '/v1/activities', { type: 'note', subject: 'x',
			links: Array.from({ length: 101 }, () => ({ type: 'lead', id: me.member.id })) })],
		['too deep', 400, await raw('/v1/leads', nested(100))],
		['much too deep', 400, await raw('/v1/leads', nested(20000))],
		['too large', 413, await raw('/v1/leads', `{"last_name":"${'x'.repeat(1 << 20)}"}`)],
		['too large for a note', 413, await raw('/v1/activities', `{"type":"note","subject":"x","body":"${'x'.repeat(9 << 20)}"}`)],
		['too many items', 422, await me.api('POST', '/v1/leads:batch', { items: Array.from({ length: 1001 }, () => ({ op: 'create', body: lead })) })],
		['a huge number', 422, await raw('/v1/leads', '{"last_name":"x","employees":1e400}')],
		['another', 422, await raw('/v1/leads', `{"last_name":"x","employees":${'9'.repeat(400)}}`)],
	];
	for (const [what, status, answer] of cases)
		assert.ok(answer.status === status || status === 422 && answer.status === 400,
			`${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
	assert.equal((await raw('/v1/leads', nested(40))).status, 201);
	const wide = await me.api('POST', '/v1/leads', { ...lead, custom: Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`k${i}`, i])) });
	assert.ok(wide.status === 201 || wide.status >= 400 && wide.status < 500, wide.text.slice(0, 300));
});

test('ten thousand activities on one record: the timeline is complete, in order and quick', async () =>
{
	const { body: lead } = await me.api('POST', '/v1/leads', { last_name: 'Busy' });
	await s.sql(`WITH made AS (
			INSERT INTO crm.activity (org_id, type, subject, due_at, done_at, created_at)
			SELECT $1, 'note', 'no ' || n, CASE WHEN n % 3 = 0 THEN '2026-01-01'::timestamptz + n % 500 * interval '1 hour' END,
				CASE WHEN n % 5 = 0 THEN '2026-02-01'::timestamptz + n % 100 * interval '1 minute' END,
				'2025-01-01'::timestamptz + n % 1000 * interval '1 minute'
			FROM generate_series(1, 10000) n RETURNING org_id, activity_id)
		INSERT INTO crm.activity_link (org_id, activity_id, entity, entity_id)
		SELECT org_id, activity_id, 'lead', $2 FROM made`, [org, lead.id]);
	const seen = [];
	const slow = [];
	for (let cursor = ''; cursor !== null;)
	{
		const start = performance.now();
		const page = await me.api('GET', `/v1/leads/${lead.id}/timeline?limit=200${cursor && `&cursor=${cursor}`}`);
		slow.push(performance.now() - start);
		assert.equal(page.status, 200, page.text.slice(0, 300));
		seen.push(...page.body.data);
		cursor = page.body.next_cursor;
	}
	const activities = seen.filter((e) => e.kind === 'activity');
	assert.equal(activities.length, 10000);
	assert.equal(new Set(activities.map((e) => e.id)).size, 10000);
	for (let n = 1; n < seen.length; n++)
		assert.ok(Date.parse(seen[n - 1].at) >= Date.parse(seen[n].at), `entry ${n}`);
	slow.sort((a, b) => a - b);
	assert.ok(slow[Math.floor(slow.length / 2)] < 1000, `half of the pages take ${slow[Math.floor(slow.length / 2)]} ms`);
	// as autovacuum does after a while
	await s.sql('ANALYZE crm.activity, crm.activity_link');
	const listed = await me.api('GET', `/v1/activities?lead_id=${lead.id}&limit=1`, undefined, { prefer: 'count=exact' });
	assert.equal(listed.body.total, 10000);
});
