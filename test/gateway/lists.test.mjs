// Lists over HTTP: pages that neither repeat nor hide, filters, totals, narrow answers.
import assert from 'node:assert/strict';
import test from 'node:test';
import { newOrganisation } from '../lib/organisation.mjs';
import { stack } from '../lib/stack.mjs';

const s = await stack();

const create = async (path, body, as) =>
{
	const answer = await as.api('POST', `/v1/${path}`, body);
	assert.equal(answer.status, 201, answer.text);
	return answer.body;
};

test('lists page through everything once, in order, with ties', async () =>
{
	const mine = await newOrganisation(s, 'Pages Ltd');
	for (let i = 0; i < 23; i++)
		await create('companies', { name: `Company ${i % 5}`, employees: i % 3 ? i : null }, mine);
	for (const sort of ['name', '-name', '-created_at', 'employees,-name'])
	{
		const seen = [];
		let cursor = '';
		do
		{
			const page = await mine.api('GET', `/v1/companies?limit=4&sort=${sort}${cursor}`);
			assert.equal(page.status, 200, page.text);
			assert.ok(page.body.data.length <= 4);
			seen.push(...page.body.data);
			cursor = page.body.next_cursor && `&cursor=${encodeURIComponent(page.body.next_cursor)}`;
		} while (cursor);
		assert.equal(new Set(seen.map((row) => row.id)).size, 23, sort);
		assert.equal(seen.length, 23, sort);
		const whole = await mine.api('GET', `/v1/companies?limit=200&sort=${sort}`);
		assert.equal(whole.body.next_cursor, null);
		assert.deepEqual(seen.map((row) => row.id), whole.body.data.map((row) => row.id), sort);
	}
	const names = (await mine.api('GET', '/v1/companies?limit=200&sort=-name')).body.data
		.map((row) => row.name);
	assert.deepEqual(names, [...names].sort().reverse());
});

test('a row written between two pages neither repeats nor hides another', async () =>
{
	const mine = await newOrganisation(s, 'Moving Pages Ltd');
	for (const name of ['B', 'D', 'F', 'H'])
		await create('companies', { name }, mine);
	const first = (await mine.api('GET', '/v1/companies?limit=2&sort=name')).body;
	await create('companies', { name: 'A' }, mine);
	await create('companies', { name: 'G' }, mine);
	const second = (await mine.api('GET',
		`/v1/companies?limit=9&sort=name&cursor=${encodeURIComponent(first.next_cursor)}`)).body;
	assert.deepEqual([...first.data, ...second.data].map((row) => row.name), ['B', 'D', 'F', 'G', 'H']);
});

test('filters: equality, several values, ranges; a total only when asked', async () =>
{
	const mine = await newOrganisation(s, 'Filters Ltd');
	const statuses = ['new', 'working', 'nurturing', 'new'];
	for (const [i, status] of statuses.entries())
		await create('leads', { last_name: `L${i}`, status, employees: i * 10, source: 'web' }, mine);
	const names = async (query, headers) =>
	{
		const answer = await mine.api('GET', `/v1/leads?sort=last_name&${query}`, undefined, headers);
		assert.equal(answer.status, 200, answer.text);
		return answer.body.data.map((row) => row.last_name).join(' ');
	};
	assert.equal(await names('status=new'), 'L0 L3');
	assert.equal(await names('status=new,working'), 'L0 L1 L3');
	assert.equal(await names('employees[gte]=20'), 'L2 L3');
	assert.equal(await names('employees[gt]=0&employees[lt]=30'), 'L1 L2');
	assert.equal(await names('status[ne]=new'), 'L1 L2');
	assert.equal(await names('last_name=L2'), 'L2');
	assert.equal(await names('last_name=l2'), 'L2', 'letter case does not count');
	assert.equal(await names('last_name[contains]=1'), 'L1');
	assert.equal(await names('last_name[starts_with]=l'), 'L0 L1 L2 L3');
	assert.equal(await names('last_name[not_in]=l0,L3'), 'L1 L2');
	assert.equal(await names('employees[not_in]=10,30'), 'L0 L2');
	assert.equal(await names('created_at[lt]=2001-01-01T00:00:00Z'), '');
	assert.equal(await names(`created_at[gte]=${encodeURIComponent('2001-01-01T00:00:00+02:00')}`),
		'L0 L1 L2 L3');

	const plain = await mine.api('GET', '/v1/leads?limit=1');
	assert.ok(!('total' in plain.body));
	const counted = await mine.api('GET', '/v1/leads?limit=1&status=new', undefined,
		{ prefer: 'count=exact' });
	assert.equal(counted.body.total, 2);
});

test('fields= limits what is sent', async () =>
{
	const mine = await newOrganisation(s, 'Narrow Ltd');
	const { id } = await create('leads', { last_name: 'Narrow', email: 'n@narrow.example' }, mine);
	const answer = await mine.api('GET', `/v1/leads?last_name=Narrow&fields=email,score`);
	assert.deepEqual(answer.body.data.map((row) => Object.keys(row).sort()), [['email', 'id', 'score']]);
	assert.equal(answer.body.data[0].id, id);
});
