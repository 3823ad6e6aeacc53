// Files on records over HTTP: sent, shown, streamed, seen by who sees the record; and tags.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();
const me = await newOrganisation(s, 'Files Ltd');
const other = await newOrganisation(s, 'Elsewhere Ltd');
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const png = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), randomBytes(64)]);

async function lead(session = me, more = {})
{
	const answer = await session.api('POST', '/v1/leads', { last_name: 'File', ...more });
	assert.equal(answer.status, 201, answer.text);
	return answer.body.id;
}

function send(path, bytes, headers = {}, session = me)
{
	return fetch(s.url + path, { method: 'POST', body: bytes, headers: {
		authorization: `Bearer ${session.access_token}`, 'content-type': 'application/octet-stream',
		...headers } });
}

async function content(id, headers = {}, session = me)
{
	const answer = await fetch(`${s.url}/v1/attachments/${id}/content`,
		{ headers: { authorization: `Bearer ${session.access_token}`, ...headers } });
	return { answer, bytes: Buffer.from(await answer.arrayBuffer()) };
}

test('a file is sent, shown and streamed back byte for byte', async () =>
{
	const id = await lead();
	const bytes = randomBytes(3_000_000);
	const sent = await send(`/v1/leads/${id}/attachments?name=Angebot%20%E2%82%AC.bin`, bytes);
	assert.equal(sent.status, 201, await sent.clone().text());
	const file = await sent.json();
	assert.equal(sent.headers.get('location'), `/v1/attachments/${file.id}`);
	assert.deepEqual([file.name, file.size, file.sha256], ['Angebot €.bin', bytes.length, sha(bytes)]);
	assert.deepEqual(file.links, [{ type: 'lead', id }]);

	const got = await content(file.id);
	assert.equal(got.answer.status, 200);
	assert.ok(got.bytes.equals(bytes));
	const header = (name) => got.answer.headers.get(name);
	assert.equal(header('etag'), `"${sha(bytes)}"`);
	assert.equal(header('content-length'), String(bytes.length));
	assert.equal(header('content-type'), 'application/octet-stream');
	assert.equal(header('x-content-type-options'), 'nosniff');
	assert.match(header('content-security-policy'), /sandbox/);
	assert.match(header('content-disposition'), /^attachment;.*filename\*=UTF-8''Angebot%20%E2%82%AC\.bin/);
	const same = await content(file.id, { 'if-none-match': `"${sha(bytes)}"` });
	assert.equal(same.answer.status, 304);
	assert.equal(same.bytes.length, 0);

	const list = await me.api('GET', `/v1/leads/${id}/attachments`);
	assert.deepEqual(list.body, { data: [file], next_cursor: null });
	const line = (await me.api('GET', `/v1/leads/${id}/timeline`)).body.data
		.find((e) => e.kind === 'attachment');
	assert.equal(line.attachment.sha256, file.sha256);

	const renamed = await me.api('PATCH', `/v1/attachments/${file.id}`, { name: 'offer.bin' },
		{ 'if-match': '"1"' });
	assert.equal(renamed.status, 200, renamed.text);
	assert.equal((await me.api('GET', `/v1/leads/${id}/attachments`)).body.data[0].name, 'offer.bin');
	assert.equal((await me.api('DELETE', `/v1/attachments/${file.id}`)).status, 204);
	assert.equal((await content(file.id)).answer.status, 404);
	assert.deepEqual((await me.api('GET', `/v1/leads/${id}/attachments`)).body.data, []);
	assert.equal((await me.api('POST', `/v1/attachments/${file.id}/restore`)).status, 200);
	assert.ok((await content(file.id)).bytes.equals(bytes));
});

test('only pictures are shown, and nothing runs', async () =>
{
	const id = await lead();
	const form = new FormData();
	form.append('file', new Blob([png], { type: 'text/html' }), 'pic.png');
	const picture = await (await fetch(`${s.url}/v1/leads/${id}/attachments`, { method: 'POST',
		body: form, headers: { authorization: `Bearer ${me.access_token}` } })).json();
	assert.deepEqual([picture.name, picture.media_type, picture.inline], ['pic.png', 'image/png', true]);
	const shown = (await content(picture.id)).answer;
	assert.equal(shown.headers.get('content-type'), 'image/png');
	assert.match(shown.headers.get('content-disposition'), /^inline/);
	for (const [type, body] of [['text/html', '<script>alert(1)</script>'],
		['image/svg+xml', '<svg onload="alert(1)"/>'], ['image/png', 'no picture']])
	{
		const file = await (await send(`/v1/leads/${id}/attachments`, body,
			{ 'content-type': type, 'content-disposition': 'attachment; filename="a.html"' })).json();
		const { answer } = await content(file.id);
		assert.equal(answer.headers.get('content-type'), 'application/octet-stream', type);
		assert.match(answer.headers.get('content-disposition'), /^attachment/);
	}
});

test('limits, other members, what is not there', async () =>
{
	const id = await lead();
	const settings = '/v1/settings/attachments';
	assert.equal((await me.api('PATCH', settings, { max_bytes: 100 })).status, 200);
	const large = await send(`/v1/leads/${id}/attachments`, randomBytes(101));
	assert.equal(large.status, 413, await large.text());
	const { used_bytes } = (await me.api('GET', settings)).body;
	assert.equal((await me.api('PATCH', settings, { quota_bytes: used_bytes + 50 })).status, 200);
	const full = await send(`/v1/leads/${id}/attachments`, randomBytes(51));
	assert.equal(full.status, 413);
	assert.equal((await full.json()).code, 'quota_exceeded');
	assert.equal((await me.api('PATCH', settings, { max_bytes: null, quota_bytes: null })).status, 200);

	const file = await (await send(`/v1/leads/${id}/attachments`, 'ours')).json();
	assert.equal((await content(file.id, {}, other)).answer.status, 404);
	assert.equal((await other.api('GET', `/v1/attachments/${file.id}`)).status, 404);
	assert.equal((await other.api('GET', `/v1/leads/${id}/attachments`)).status, 404);
	assert.equal((await send(`/v1/leads/${id}/attachments`, 'theirs', {}, other)).status, 404);
	assert.equal((await send(`/v1/leads/${file.id}/attachments`, 'x')).status, 404);
	assert.equal((await me.api('POST', `/v1/attachments/${file.id}/content`)).status, 405);
	assert.equal((await fetch(`${s.url}/v1/attachments/${file.id}/content`)).status, 401);
});

test('a conversion carries files, without bytes, and undoing it takes exactly those links back', async () =>
{
	const id = await lead(me, { company_name: 'Carried' });
	const file = await (await send(`/v1/leads/${id}/attachments`, 'carried')).json();
	const done = (await me.api('POST', `/v1/leads/${id}/convert`, {})).body;
	const on = async (type, of) => (await me.api('GET', `/v1/${type}/${of}/attachments`)).body.data.map((a) => a.id);
	assert.deepEqual(await on('deals', done.deal.id), [file.id]);
	assert.deepEqual(await on('companies', done.company.id), [file.id]);
	const own = await (await send(`/v1/deals/${done.deal.id}/attachments`, 'carried')).json();
	assert.deepEqual(await on('deals', done.deal.id), [own.id, file.id]);
	const undone = await me.api('POST', `/v1/conversions/${done.conversion_id}/undo`);
	assert.equal(undone.status, 200, undone.text);
	// the file that came to the deal since keeps it, and the deal keeps what it is about
	assert.deepEqual(undone.body.kept.map((k) => [k.type, k.reason]),
		['deal', 'contact', 'company'].map((type) => [type, 'referenced']));
	assert.deepEqual(await on('leads', id), [file.id]);
	assert.deepEqual(await on('deals', done.deal.id), [own.id]);
});

test('tags: counted, coloured, renamed', async () =>
{
	await lead(me, { tags: ['hot', 'Hot', 'rome'] });
	await lead(me, { tags: ['hot'] });
	const counted = async () => (await me.api('GET', '/v1/tags?type=lead')).body.data
		.map((t) => [t.tag, t.total, t.colour]);
	assert.deepEqual(await counted(), [['Hot', 1, null], ['hot', 2, null], ['rome', 1, null]]);
	assert.equal((await me.api('PATCH', '/v1/tags/hot', { colour: '#aa0000' })).status, 200);
	assert.equal((await me.api('PATCH', '/v1/tags/hot', { colour: 'red' })).status, 422);
	const renamed = await me.api('POST', '/v1/tags:rename', { from: 'hot', to: 'Hot' });
	assert.equal(renamed.status, 200, renamed.text);
	assert.equal(renamed.body.counts.lead, 2);
	assert.deepEqual(await counted(), [['Hot', 2, '#aa0000'], ['rome', 1, null]]);
	assert.deepEqual((await other.api('GET', '/v1/tags')).body, { data: [] });
});
