// Imports over HTTP: a file in, records out; raw or as a form, small ones at once and large ones by
// workers; what failed as a file, corrected, sent again; and all of it taken back.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Importing Ltd');
const stranger = await newOrganisation(s, 'Elsewhere Ltd');
const csv = { 'content-type': 'text/csv' };
const query = (type, options, dry_run = false) =>
	`/v1/imports?type=${type}&dry_run=${dry_run}&options=${encodeURIComponent(JSON.stringify(options))}`;
const send = (type, file, options = {}, dry_run = false, session = admin) =>
	session.api('POST', query(type, options, dry_run), file, csv);

function form(parts)
{
	const data = new FormData();
	for (const [name, value] of Object.entries(parts))
		data.set(name, value);
	return data;
}

// fetch itself, which writes forms
function post(path, body, session = admin)
{
	return fetch(s.url + path, { method: 'POST', body, headers: { authorization: `Bearer ${session.access_token}` } });
}

async function leads(search = '')
{
	return (await admin.api('GET', `/v1/leads?limit=200&sort=email&${search}`)).body.data;
}

test('a dry run counts, running it does just that, and undo leaves nothing', async () =>
{
	const file = 'E-mail,Surname,City\nann@one.test,Ann,Bonn\nbob@one.test,Bob,\nann@one.test,Anne,\nno mail,X,\n';
	const plan = await send('leads', file, { match: { key: 'email' } }, true);
	assert.equal(plan.status, 201, plan.text);
	assert.equal(plan.headers.get('location'), `/v1/imports/${plan.body.id}`);
	assert.equal(plan.body.state, 'planned');
	assert.deepEqual(plan.body.mapping, { 'E-mail': 'email', Surname: 'last_name', City: 'city' });
	const { create, update, error, rows } = plan.body.counts;
	assert.deepEqual({ create, update, error, rows }, { create: 2, update: 1, error: 1, rows: 4 });
	assert.deepEqual(await leads(), []);
	const done = await admin.api('POST', `/v1/imports/${plan.body.id}/run`);
	assert.equal(done.body.state, 'done', done.text);
	assert.deepEqual(done.body.counts, plan.body.counts);
	assert.deepEqual((await leads()).map((l) => [l.email, l.last_name, l.city]), [['ann@one.test', 'Anne', 'Bonn'], ['bob@one.test', 'Bob', null]]);
	const issues = await admin.api('GET', `/v1/imports/${plan.body.id}/issues?level=error`);
	assert.deepEqual(issues.body.data.map((i) => [i.line, i.column, i.code, i.raw]), [[5, 'E-mail', 'invalid_email', 'no mail']]);
	const undone = await admin.api('POST', `/v1/imports/${plan.body.id}/undo`);
	assert.deepEqual([undone.status, undone.body.state, undone.body.undo.deleted, undone.body.undo.kept], [200, 'undone', 2, 0]);
	assert.deepEqual(await leads(), []);
});

test('the same file as a form; the file that failed comes back, and corrected goes in', async () =>
{
	const file = 'last_name;website\r\n"Müller; A";a.example\r\nBad;no web\r\nLost;\r\n;x y\r\n';
	const answer = await post('/v1/imports', form({ type: 'leads', options: JSON.stringify({ defaults: { city: 'Köln' } }),
		file: new File([file], 'leads.csv', { type: 'text/csv' }) }));
	const made = await answer.json();
	assert.equal(answer.status, 201, JSON.stringify(made));
	assert.deepEqual([made.file.name, made.delimiter, made.counts.create, made.counts.error], ['leads.csv', ';', 2, 2]);
	const errors = await admin.api('GET', `/v1/imports/${made.id}/errors.csv`);
	assert.match(errors.headers.get('content-type'), /^text\/csv/);
	assert.equal(errors.text.split('\r\n')[0], 'last_name;website;error_line;error_column;error_code;error_message');
	assert.match(errors.text, /\r\nBad;no web;3;website;invalid;.*\r\n;x y;5;/);
	const fixed = errors.text.replace('no web', 'web.example');
	const retry = await admin.api('POST', `/v1/imports/${made.id}/retry`, fixed, csv);
	assert.equal(retry.status, 201, retry.text);
	assert.deepEqual([retry.body.counts.rows, retry.body.counts.create, retry.body.counts.error, retry.body.retry_of], [2, 1, 1, made.id]);
	assert.deepEqual((await leads()).map((l) => [l.last_name, l.city]).sort(), [['Bad', 'Köln'], ['Lost', 'Köln'], ['Müller; A', 'Köln']]);
	for (const id of [retry.body.id, made.id])
		assert.equal((await admin.api('POST', `/v1/imports/${id}/undo`)).body.undo.kept, 0);
});

test('a file in UTF-16, and the same one again', async () =>
{
	const file = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('Name\tCity\nŁukasz Nowak\tŁódź\n', 'utf16le')]);
	const made = await send('contacts', file, { columns: { City: null } });
	assert.deepEqual([made.status, made.body.encoding, made.body.delimiter, made.body.counts.create], [201, 'utf-16le', '\t', 1], made.text);
	const again = await send('contacts', file, { columns: { City: null } });
	assert.deepEqual([again.status, again.body.code, again.body.import_id], [409, 'already_imported', made.body.id]);
	assert.equal((await admin.api('POST', `/v1/imports/${made.body.id}/undo`)).body.undo.deleted, 1);
	assert.equal((await send('contacts', file, { columns: { City: null } })).status, 201);
});

test('a large file is left to workers, and their progress is told', async () =>
{
	const file = `email,last_name,title\n${Array.from({ length: 11_000 }, (_, i) =>
		`n${i}@large.test,Person ${i},a title that makes the file as large as it must be for the workers ${i}`).join('\n')}\n`;
	const made = await send('leads', file, { match: { key: 'email' } });
	assert.equal(made.status, 202, made.text);
	let last = 0;
	const done = await waitFor(async () =>
	{
		const { body } = await admin.api('GET', `/v1/imports/${made.body.id}`);
		assert.ok(body.progress.rows >= last, 'progress goes on');
		last = body.progress.rows;
		assert.notEqual(body.state, 'failed', JSON.stringify(body.fault));
		return body.state === 'done' && body;
	}, { timeout: 60_000, every: 100, what: 'the workers' });
	assert.deepEqual([done.counts.rows, done.counts.create, done.counts.error], [11_000, 11_000, 0]);
	const count = await admin.api('GET', '/v1/leads?limit=1', undefined, { prefer: 'count=exact' });
	assert.equal(count.body.total, 11_000);
});

test('what cannot be is refused with a pointer, and nothing is kept', async () =>
{
	const before = (await admin.api('GET', '/v1/imports?limit=200')).body.data.length;
	const refused = async (answer, status, code, pointer) =>
	{
		const { body } = await answer;
		assert.deepEqual([body.status, body.code], [status, code], JSON.stringify(body));
		if (pointer)
			assert.equal(body.errors[0].pointer ?? body.errors[0].parameter, pointer);
	};
	await refused(send('boats', 'x'), 400, 'invalid_parameter', 'type');
	await refused(send('leads', 'last_name\nA', { columns: { nope: 'email' } }), 422, 'invalid_options', '/options/columns/nope');
	await refused(send('leads', 'last_name\nA', { match: { key: 'shoe' } }), 422, 'invalid_options', '/options/match/key');
	await refused(send('leads', 'last_name\nA', { colour: 1 }), 422, 'invalid_body', '/colour');
	await refused(send('leads', '\n'), 422, 'empty_file');
	assert.equal((await admin.api('POST', query('leads', {}), '<a/>', { 'content-type': 'text/html' })).status, 415);
	assert.equal((await admin.api('GET', '/v1/imports?limit=200')).body.data.length, before);
});

test('an import is its member\'s: reps import their own, readers none, strangers see nothing', async () =>
{
	const made = await send('leads', 'last_name\nSecret\n');
	for (const [method, path] of [['GET', ''], ['GET', '/issues'], ['GET', '/errors.csv'], ['POST', '/undo'], ['POST', '/run'], ['POST', '/cancel']])
		assert.equal((await stranger.api(method, `/v1/imports/${made.body.id}${path}`)).status, 404, path);
	assert.deepEqual((await stranger.api('GET', '/v1/imports')).body.data, []);
	const reader = await s.newMember('readonly');
	assert.equal((await send('leads', 'last_name\nX\n', {}, false, reader)).status, 403);
	const rep = await s.newMember('rep');
	const own = await send('leads', `last_name,source\nRep,${rep.member.id}\n`, {}, false, rep);
	assert.equal(own.status, 201, own.text);
	assert.equal((await send('members', 'name,email\nX,x@y.test\n', {}, false, rep)).status, 403);
	assert.equal((await rep.api('POST', `/v1/imports/${own.body.id}/undo`)).body.undo.deleted, 1);
});
