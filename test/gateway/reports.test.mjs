// Reports by HTTP: the same figures as SQL gives, what they are made of, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stack } from '../lib/stack.mjs';
import { newOrganisation } from '../lib/organisation.mjs';

const s = await stack();
const admin = await newOrganisation(s, 'Reports');

async function answered(status, method, path, body)
{
	const answer = await admin.api(method, path, body);
	assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
	return answer.body;
}

/* The rows of an answer as objects. */
const objects = ({ columns, rows }) =>
	rows.map((row) => Object.fromEntries(columns.map((column, i) => [column.name, row[i]])));

const me = (await answered(200, 'GET', '/v1/me')).id;
const { data: [pipeline] } = await answered(200, 'GET', '/v1/pipelines');
const won = pipeline.stages.find((stage) => stage.kind === 'won');
const lead = await answered(201, 'POST', '/v1/leads', { last_name: 'Source', source: 'web' });
const deal = await answered(201, 'POST', '/v1/deals', { name: 'Won', amount: '1000.00', owner_id: me, lead_id: lead.id,
	close_date: '2026-02-01', opened_at: '2026-01-05T00:00:00Z' });
await answered(200, 'POST', `/v1/deals/${deal.id}/stage`, { stage_id: won.id, closed_at: '2026-02-03T12:00:00Z' });
const open = await answered(201, 'POST', '/v1/deals', { name: 'Open', amount: '400.00', owner_id: me, close_date: '2026-03-01',
	probability: 90 });
const period = 'from=2026-01-01&to=2026-04-01&tz=UTC';

test('a forecast counts what is won and what is sure, in days, members and adjustments', async () => {
	assert.equal(open.forecast_category, 'commit');
	const forecast = await answered(200, 'GET', `/v1/reports/forecast?${period}&bucket=month`);
	assert.deepEqual(objects(forecast).map((row) => [row.period, row.closed.amount, row.commit.amount, row.weighted.amount]),
		[['2026-01', '0.00', '0.00', '0.00'], ['2026-02', '1000.00', '1000.00', '1000.00'], ['2026-03', '0.00', '400.00', '360.00']]);
	assert.equal(forecast.totals.commit.amount, '1400.00');
	await answered(201, 'POST', '/v1/forecasts/adjustments',
		{ member_id: me, period_from: '2026-01-01', period_to: '2026-04-01', category: 'commit', amount: '1200' });
	const [mine] = objects(await answered(200, 'GET', `/v1/reports/forecast?${period}&group_by=owner`));
	assert.equal(mine.adjusted_commit.amount, '1200.00');
	assert.equal((await answered(200, 'GET', `/v1/forecasts/adjustments?member_id=${me}`)).data.length, 1);
	assert.ok((await answered(200, 'POST', '/v1/forecasts/snapshots')).rows >= 4);
	await answered(200, 'GET', '/v1/reports/forecast-accuracy?bucket=month&measure=commit');
	const moved = await answered(200, 'PATCH', `/v1/deals/${open.id}`, { forecast_category: 'omitted' });
	assert.equal(moved.forecast_category_manual, 'omitted');
	assert.equal((await answered(200, 'GET', `/v1/reports/forecast?${period}`)).totals.open.amount, '1000.00');
	await answered(200, 'PATCH', `/v1/deals/${open.id}`, { forecast_category: null });
	assert.equal((await answered(200, 'GET', '/v1/deals?forecast_category=commit')).data[0].id, open.id);
});

test('touches share out a deal, and costs are told beside', async () => {
	const touch = await answered(201, 'POST', '/v1/touches',
		{ source: 'fair', at: '2026-01-20T00:00:00Z', links: [{ type: 'deal', id: deal.id }] });
	const cost = await answered(201, 'POST', '/v1/source-costs',
		{ source: 'fair', period_from: '2026-01-01', period_to: '2026-04-01', amount: '250.00' });
	const sources = await answered(200, 'GET', `/v1/reports/sources?${period}&model=linear`);
	assert.deepEqual(objects(sources).map((row) => [row.source, row.revenue.amount, row.roi]),
		[['fair', '500.00', 1], ['web', '500.00', null]]);
	assert.equal((await answered(200, 'GET', `/v1/touches?type=deal&id=${deal.id}`)).data[0].id, touch.id);
	await answered(204, 'DELETE', `/v1/touches/${touch.id}`);
	await answered(200, 'PATCH', `/v1/source-costs/${cost.id}`, { amount: '500.00' });
	assert.equal((await answered(200, 'GET', '/v1/source-costs?source=fair')).data[0].amount.amount, '500.00');
	await answered(204, 'DELETE', `/v1/source-costs/${cost.id}`);
	await answered(404, 'GET', `/v1/source-costs/${cost.id}`);
});

test('a quota is attained by the parts that its member has in deals', async () => {
	const rea = await answered(201, 'POST', '/v1/members',
		{ name: 'Rea', email: `rea.${Date.now()}@reports.example`, role: 'rep' });
	const quota = await answered(201, 'POST', '/v1/quotas',
		{ member_id: rea.id, period_from: '2026-01-01', period_to: '2026-04-01', amount: '1000' });
	const attained = async () => objects(await answered(200, 'GET', `/v1/reports/attainment?from=2026-01-01&to=2026-04-01`))[0];
	assert.equal((await attained()).attainment, 0);
	const whole = (await answered(200, 'PUT', `/v1/deals/${deal.id}/splits`,
		{ splits: [{ member_id: rea.id, share: 25 }, { member_id: me, share: 75 }] })).splits;
	assert.deepEqual(whole.map((part) => part.share), [75, 25]);
	const row = await attained();
	assert.deepEqual([row.closed.amount, row.attainment, row.label], ['250.00', 0.25, 'Rea']);
	const refused = await answered(422, 'PUT', `/v1/deals/${deal.id}/splits`, { splits: [{ member_id: rea.id, share: 25 }] });
	assert.deepEqual(refused.errors.map((e) => [e.pointer, e.code]), [['/splits', 'not_whole']]);
	assert.equal((await answered(200, 'GET', `/v1/deals/${deal.id}/splits`)).splits.length, 2);
	await answered(409, 'POST', '/v1/quotas',
		{ member_id: rea.id, period_from: '2026-01-01', period_to: '2026-04-01', amount: '1' });
	await answered(200, 'PATCH', `/v1/quotas/${quota.id}`, { amount: '500' });
	assert.equal((await attained()).attainment, 0.5);
	assert.equal((await answered(200, 'GET', `/v1/quotas?member_id=${rea.id}`)).data.length, 1);
	await answered(204, 'DELETE', `/v1/quotas/${quota.id}`);
	assert.equal(await attained(), undefined);
});

test('funnel, activity, leaderboard and response answer with columns, rows and totals', async () => {
	await answered(201, 'POST', '/v1/activities', { type: 'call', subject: 'Call', owner_id: me,
		done_at: '2026-02-02T10:00:00Z', outcome: 'reached', links: [{ type: 'deal', id: deal.id }] });
	const funnel = await answered(200, 'GET', '/v1/reports/funnel?within_days=30&group_by=owner');
	assert.equal(funnel.totals.entered, 2);
	assert.equal(funnel.totals.won, 1);
	const activity = await answered(200, 'GET', `/v1/reports/activity?${period}&bucket=day&group_by=owner`);
	assert.deepEqual(objects(activity).map((row) => [row.period, row.type, row.outcome, row.done]),
		[['2026-02-02', 'call', 'reached', 1]]);
	assert.equal(activity.totals.touches_per_win, 1);
	const board = objects(await answered(200, 'GET', `/v1/reports/leaderboard?${period}&metric=won_amount`));
	assert.deepEqual([board[0].rank, board[0].member_id, board[0].value.amount], [1, me, '1000.00']);
	assert.equal((await answered(200, 'GET', `/v1/reports/response?${period}`)).totals.assigned, 0);
});

test('products, losses, time in stages, slips, stale deals and coverage', async () => {
	const get = (name, query = '') => answered(200, 'GET', `/v1/reports/${name}?${query}`);
	const { data: [{ stages }] } = await answered(200, 'GET', '/v1/pipelines');
	const lost = await answered(201, 'POST', '/v1/deals', { name: 'Gone', amount: '50.00', owner_id: me, product: 'Bolt',
		opened_at: '2026-02-01T00:00:00Z' });
	await answered(200, 'POST', `/v1/deals/${lost.id}/stage`, { stage_id: stages.find((stage) => stage.kind === 'lost').id,
		closed_at: '2026-02-05T00:00:00Z', lost_reason: 'price' });
	assert.deepEqual(objects(await get('product', period)).map((row) => [row.label, row.won, row.lost, row.revenue.amount]),
		[['Bolt', 0, 1, '0.00'], [null, 1, 0, '1000.00']]);
	const losses = await get('lost', period);
	assert.deepEqual(objects(losses).map((row) => [row.label, row.lost, row.lost_amount.amount]), [['price', 1, '50.00']]);
	assert.equal(losses.totals.loss_rate, 0.5);
	assert.deepEqual(objects(await get('lost', `${period}&bucket=quarter&group_by=from_stage`)).map((row) => row.loss_rate), [0.5]);
	const stay = await get('stage-time', `${period}&pipeline_id=${pipeline.id}`);
	assert.deepEqual(objects(stay).filter((row) => row.deals).map((row) => row.avg_days), [16.75]);
	await answered(200, 'PATCH', `/v1/deals/${open.id}`, { close_date: '2026-04-02' });
	assert.deepEqual(objects(await get('slipped', 'group_by=deal')).map((row) => [row.key, row.slips, row.avg_slip_days]), [[open.id, 1, 32]]);
	assert.equal((await get('stale', 'group_by=owner')).totals.open, 1);
	assert.equal((await get('coverage', `${period}&bucket=quarter`)).totals.coverage, null);
	for (const [name, query] of [['lost', 'group_by=mood'], ['slipped', 'slip_by=day'], ['stale', 'from=2026-01-01'], ['product', 'group_by=owner']])
		assert.equal((await answered(400, 'GET', `/v1/reports/${name}?${query}`)).errors[0].parameter, query.split('=')[0]);
});

test('what is wrong with parameters is told at once', async () => {
	for (const path of ['funnel?within_days=0', 'activity?bucket=hour', 'leaderboard?metric=charm', 'response?group_by=colour',
		'sources?model=best', 'forecast?from=soon', 'forecast-accuracy?bucket=day', 'attainment?colour=red'])
	{
		const refused = await admin.api('GET', `/v1/reports/${path}`);
		assert.equal(refused.status, 400, `${path}: ${refused.text}`);
		assert.equal(refused.body.errors[0].parameter, path.match(/\?(\w+)=/)[1]);
	}
	const period_wrong = await answered(422, 'POST', '/v1/quotas', { member_id: me, period_from: '2026-01-02', period_to: '2026-04-01', amount: '1' });
	assert.deepEqual(period_wrong.errors.map((e) => e.code), ['not_a_period']);
});
