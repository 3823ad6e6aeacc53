// The console in a real browser, as its people use it. Pictures of it go to .local/screenshots.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { chromium_options, stack, waitFor } from '../lib/stack.mjs';

const s = await stack();
const browser = await chromium.launch({ executablePath: chromium_options.executablePath, args: chromium_options.args });
const faults = [];
const pictures = fileURLToPath(new URL('../../.local/screenshots', import.meta.url));
await mkdir(pictures, { recursive: true });

after(() => browser.close());

/* A tab of a browser of its own; whatever goes wrong in it fails the last test. */
async function tab(options = {})
{
	const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
	const page = await context.newPage();
	page.setDefaultTimeout(10000);
	page.on('pageerror', (error) => faults.push(String(error.stack ?? error)));
	page.on('console', (message) =>
	{
		if (message.type() === 'error' && !/status of (4\d\d|503)|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/.test(message.text()))
			faults.push(message.text());
	});
	page.on('request', (request) =>
	{
		if (!request.url().startsWith(s.url) && !/^(data|blob):/.test(request.url()))
			faults.push(`a request elsewhere: ${request.url()}`);
	});
	return page;
}

async function signIn(page, email = s.email, password = s.password)
{
	await page.goto(s.url);
	await page.getByLabel('E-mail').fill(email);
	await page.getByLabel('Password').fill(password);
	await page.getByRole('button', { name: 'Sign in' }).click();
	await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
	await page.locator('.live[data-state=live]').waitFor();
}

const tile = async (page, name) => (await page.locator(`[data-tile="${name}"] .tile-value`).innerText()).trim();
const figure = async (page, name) => Number((await tile(page, name)).replace(/[^\d.-]/g, ''));
const picture = (page, name) => page.screenshot({ path: join(pictures, `${name}.png`) });
const panel = (page) => page.locator('.panel');

const desk = await tab();
const wall = await tab();
const name = `Hamilton ${Date.now()}`;

test('the page is served with a strict policy and nothing from elsewhere', async () =>
{
	const answer = await s.call('GET', '/');
	assert.equal(answer.status, 200);
	assert.match(answer.headers.get('content-type'), /^text\/html/);
	assert.match(answer.headers.get('content-security-policy'), /default-src 'self'/);
	assert.doesNotMatch(answer.headers.get('content-security-policy'), /unsafe/);
	assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
	for (const path of ['/../gateway.key', '/%2e%2e/jwt.key', '/..%2fjwt.key', '/web/../../jwt.key'])
		assert.ok([400, 404].includes((await s.call('GET', path)).status), path);
});

test('a wrong password is told in words, the right one opens the dashboard', async () =>
{
	await desk.goto(s.url);
	await picture(desk, 'sign-in');
	await desk.getByRole('button', { name: 'Sign in' }).click();
	await desk.getByText('E-mail is needed.').waitFor();
	await desk.getByLabel('E-mail').fill(s.email);
	await desk.getByLabel('Password').fill('not the password');
	await desk.keyboard.press('Enter');
	await desk.getByText('The e-mail or the password is not right.').waitFor();
	await signIn(desk);
});

test('tiles and chart show what the server says', async () =>
{
	await desk.getByLabel('Period').selectOption('All time');
	const { leads, deals } = (await s.api('GET', '/v1/dashboard')).body;
	await waitFor(async () => (await figure(desk, 'New leads')) === leads.new);
	assert.equal(await figure(desk, 'Converted'), leads.converted);
	assert.equal(await tile(desk, 'Win rate'), `${(deals.win_rate * 100).toFixed(1).replace(/\.0$/, '')}%`);
	assert.match(await tile(desk, 'Average cycle'), /^[\d.,]+ days$/);
	assert.match(await tile(desk, 'Open pipeline'), /\d/);
	assert.ok(await desk.locator('.chart .fill').count() > 3);
	for (const label of ['New leads', 'Won deals', 'Won amount'])
		await desk.locator('.segments').getByRole('button', { name: label }).click();
	await picture(desk, 'dashboard');
});

test('a lead created in one tab changes the dashboard of another by itself', async () =>
{
	await signIn(wall);
	await wall.getByLabel('Period').selectOption('All time');
	await waitFor(async () => (await figure(wall, 'New leads')) === (await figure(desk, 'New leads')));
	const before = await figure(wall, 'New leads');

	await desk.getByRole('link', { name: 'Leads' }).click();
	await desk.locator('tbody tr').first().waitFor();
	await desk.getByRole('button', { name: 'New lead' }).click();
	const dialog = desk.getByRole('dialog');
	await dialog.getByLabel('E-mail').fill('not an address');
	await dialog.getByLabel('Employees').fill('many');
	await dialog.getByRole('button', { name: 'Create lead' }).click();
	await dialog.locator('[name=email][aria-invalid]').waitFor();
	await dialog.locator('[name=employees][aria-invalid]').waitFor();
	await dialog.getByText('This is not an e-mail address.').waitFor();
	await picture(desk, 'field-errors');

	await dialog.getByLabel('First name').fill('Margaret');
	await dialog.getByLabel('Last name').fill(name);
	await dialog.getByLabel('E-mail').fill(`m${Date.now()}@moon-software.example`);
	await dialog.getByLabel('Company').fill(`Moon Software ${Date.now()}`);
	await dialog.getByLabel('Job title').fill('Director of Software');
	await dialog.getByLabel('Employees').fill('350');
	await dialog.getByLabel('Country').fill('us');
	await dialog.getByLabel('Annual revenue').fill('2500000');
	await dialog.getByRole('button', { name: 'Create lead' }).click();
	await panel(desk).getByRole('heading', { name }).waitFor();
	await waitFor(async () => (await figure(wall, 'New leads')) === before + 1, { what: 'the other tab to change' });
});

test('the panel shows fields, the score with its reasons, the owner, the history', async () =>
{
	await panel(desk).getByText('Director of Software', { exact: true }).waitFor();
	await panel(desk).locator('.reasons .sum').waitFor();
	const points = await panel(desk).locator('.reasons li:not(.sum) b').allInnerTexts();
	const total = Number(await panel(desk).locator('.reasons .sum b').innerText());
	assert.equal(points.reduce((sum, text) => sum + Number(text), 0), total);
	assert.equal(Number(await panel(desk).locator('.panel-facts .score b').innerText()), total);
	assert.doesNotMatch(await panel(desk).locator('.panel-facts').innerText(), /Nobody yet|Another member/);
	await panel(desk).locator('.timeline li').first().waitFor();
	await panel(desk).getByLabel('What').fill('Called: wants an offer');
	await desk.keyboard.press('Enter');
	await panel(desk).locator('.activities').getByText('Called: wants an offer').waitFor();
	await picture(desk, 'lead');
});

test('custom fields are shown, filled in and refused at their place', async () =>
{
	const tier = await s.api('POST', '/v1/custom-fields', { entity: 'lead', key: `tier_${Date.now()}`, type: 'enum', label: 'Tier',
		options: [{ key: 'gold', label: 'Gold customer' }, { key: 'tin', label: 'Tin' }] });
	assert.equal(tier.status, 201, tier.text);
	const size = await s.api('POST', '/v1/custom-fields', { entity: 'lead', key: `size_${Date.now()}`, type: 'integer', label: 'Fleet size', min: 1 });
	assert.equal(size.status, 201, size.text);
	await desk.reload();
	await panel(desk).getByRole('button', { name: 'Edit' }).click();
	await panel(desk).getByLabel('Tier').selectOption('Gold customer');
	await panel(desk).getByLabel('Fleet size').fill('0');
	await panel(desk).getByRole('button', { name: 'Save' }).click();
	await panel(desk).getByText('Must be at least 1.').waitFor();
	await panel(desk).getByLabel('Fleet size').fill('12');
	await panel(desk).getByRole('button', { name: 'Save' }).click();
	await panel(desk).getByText('Gold customer', { exact: true }).waitFor();
	await panel(desk).getByText('12', { exact: true }).first().waitFor();
	const id = new URL(desk.url()).hash.match(/open=([0-9a-f-]{36})/)[1];
	assert.deepEqual((await s.api('GET', `/v1/leads/${id}`)).body.custom, { [tier.body.key]: 'gold', [size.body.key]: 12 });
	await picture(desk, 'custom-fields');
	for (const field of [tier, size])
		assert.equal((await s.api('DELETE', `/v1/custom-fields/${field.body.id}`)).status, 204);
});

test('an edit that somebody else overtook is not lost and not forced', async () =>
{
	const id = new URL(desk.url()).hash.match(/open=([0-9a-f-]{36})/)[1];
	await panel(desk).getByRole('button', { name: 'Edit' }).click();
	await panel(desk).getByLabel('City').fill('Boston');
	const overtaken = await s.api('PATCH', `/v1/leads/${id}`, { city: 'Houston', industry: 'space' });
	assert.equal(overtaken.status, 200);
	await panel(desk).getByText('just changed elsewhere').waitFor();
	await panel(desk).getByRole('button', { name: 'Save' }).click();
	await panel(desk).getByText('while you were editing').waitFor();
	await panel(desk).getByRole('alert').getByText('Houston').waitFor();
	await picture(desk, 'conflict');
	assert.equal((await s.api('GET', `/v1/leads/${id}`)).body.city, 'Houston');
	await panel(desk).getByRole('button', { name: 'Keep mine' }).click();
	await waitFor(async () => (await s.api('GET', `/v1/leads/${id}`)).body.city === 'Boston');
	assert.equal((await s.api('GET', `/v1/leads/${id}`)).body.industry, 'space');
	await panel(desk).getByRole('button', { name: 'Edit' }).waitFor();
});

test('converting makes a deal, seen at once in both tabs', async () =>
{
	const before = await figure(wall, 'Converted');
	await panel(desk).getByRole('button', { name: 'Convert' }).click();
	const dialog = desk.getByRole('dialog');
	await dialog.getByLabel('Deal name').fill(`Guidance ${name}`);
	await dialog.getByLabel('Amount').fill('12000');
	await picture(desk, 'convert');
	await dialog.getByRole('button', { name: 'Convert' }).click();
	await panel(desk).locator('.made').waitFor();
	assert.equal(await panel(desk).getByRole('button', { name: 'Convert' }).count(), 0);
	await waitFor(async () => (await figure(wall, 'Converted')) === before + 1);

	await panel(desk).getByRole('link', { name: 'Open the deal' }).click();
	await panel(desk).getByRole('heading', { name: `Guidance ${name}` }).waitFor();
	await panel(desk).locator('.amount', { hasText: '12,000' }).waitFor();
	const card = desk.locator('.card', { hasText: `Guidance ${name}` });
	await card.waitFor();
	await picture(desk, 'deal');
});

test('a deal moves by its stage, and psql moves it in front of us', async () =>
{
	const stages = (await s.api('GET', '/v1/pipelines')).body.data.find((one) => one.is_default).stages;
	const column = (stage) => desk.locator('.column', { has: desk.getByRole('heading', { name: stage.name, exact: true }) });
	const card = (stage) => column(stage).locator('.card', { hasText: `Guidance ${name}` });
	const open = stages.filter((stage) => stage.kind === 'open');
	await panel(desk).getByRole('button', { name: 'Close' }).click();
	await card(open[0]).getByLabel('Stage of').selectOption(open[1].name);
	await card(open[1]).waitFor();
	await s.sql(`UPDATE crm.deal SET stage_id = $2 WHERE name = $1`, [`Guidance ${name}`, open.at(-1).id]);
	await card(open.at(-1)).waitFor();

	const before = await figure(wall, 'Win rate');
	assert.ok(before > 0);
	const won = (await s.api('GET', '/v1/dashboard')).body.deals.won;
	await card(open.at(-1)).getByLabel('Stage of').selectOption(stages.find((stage) => stage.kind === 'won').name);
	await waitFor(async () => (await s.api('GET', '/v1/dashboard')).body.deals.won === won + 1);
	await wall.locator('[data-tile="Won"] .tile-note', { hasText: `${(won + 1).toLocaleString('en-GB')} deals` }).waitFor();
	await picture(desk, 'deals');
});

test('the list sorts, filters, pages, and follows the keyboard', async () =>
{
	await desk.getByRole('link', { name: 'Leads' }).click();
	await desk.locator('tbody tr').first().waitFor();
	await desk.getByRole('button', { name: 'Score' }).click();
	await desk.locator('th[aria-sort=descending]', { hasText: 'Score' }).waitFor();
	await waitFor(async () =>
	{
		const scores = (await desk.locator('td .score b').allInnerTexts()).map(Number);
		return scores.length > 10 && scores.every((score, at) => at === 0 || score <= scores[at - 1]);
	});
	await desk.locator('.bar').getByRole('button', { name: 'Qualified', exact: true }).click();
	await waitFor(async () =>
	{
		const badges = await desk.locator('tbody .badge').allInnerTexts();
		return badges.length > 0 && badges.every((text) => text === 'Qualified');
	});
	await desk.reload();
	await desk.locator('th[aria-sort=descending]', { hasText: 'Score' }).waitFor();
	await desk.locator('.bar').getByRole('button', { name: 'All' }).click();
	await waitFor(async () => (await desk.locator('tbody tr').count()) >= 50);
	const first = await desk.locator('tbody tr').count();
	await desk.locator('tbody tr').last().scrollIntoViewIfNeeded();
	await waitFor(async () => (await desk.locator('tbody tr').count()) > first);
	const ids = await desk.locator('tbody tr').evaluateAll((rows) => rows.map((row) => row.dataset.id));
	assert.equal(new Set(ids).size, ids.length, 'no row twice');

	await desk.locator('tbody .row-link').first().focus();
	await desk.keyboard.press('ArrowDown');
	await desk.keyboard.press('Enter');
	await panel(desk).locator('.reasons').waitFor();
	await desk.keyboard.press('Escape');
	await waitFor(async () => (await panel(desk).count()) === 0);
	assert.ok(await desk.evaluate(() => document.activeElement.matches('tbody tr:nth-child(2) .row-link')), 'focus returns to the row');
	await picture(desk, 'leads');
});

test('a list is handed out as a file, as it is filtered', async () =>
{
	const page = await tab();
	await signIn(page);
	await page.goto(`${s.url}/#/leads?status=converted`);
	await page.locator('tbody tr').first().waitFor();
	const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export CSV' }).click()]);
	assert.match(file.suggestedFilename(), /^leads \d{4}-\d\d-\d\d\.csv$/);
	const lines = (await readFile(await file.path(), 'utf8')).trimEnd().split('\r\n');
	assert.match(lines[0], /^\ufeffid,first_name,last_name,/);
	const { total } = (await s.api('GET', '/v1/leads?status=converted&limit=1', undefined, { prefer: 'count=exact' })).body;
	assert.equal(lines.length, total + 1);
	assert.ok(lines.slice(1).every((line) => line.includes(',converted,')));
	await page.goto(`${s.url}/#/deals`);
	const [deals] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export CSV' }).click()]);
	assert.match(deals.suggestedFilename(), /^deals /);
	await page.context().close();
});

test('a file is put on a lead, handed out again, and seen in the other tab', async () =>
{
	const lead = (await s.api('POST', '/v1/leads', { last_name: `Files ${Date.now()}` })).body;
	const [page, beside] = [await tab(), await tab()];
	for (const one of [page, beside])
	{
		await signIn(one);
		await one.goto(`${s.url}/#/leads?open=${lead.id}`);
		await one.getByRole('region', { name: 'Files' }).getByText('No files.').waitFor();
	}
	await page.getByLabel('Add a file').setInputFiles({ name: 'Angebot €.txt', mimeType: 'text/plain', buffer: Buffer.from('an offer') });
	await page.getByText('Angebot €.txt').waitFor();
	await beside.getByText('Angebot €.txt').waitFor();
	const [file] = await Promise.all([beside.waitForEvent('download'), beside.getByTitle('Save Angebot €.txt').click()]);
	assert.equal(file.suggestedFilename(), 'Angebot €.txt');
	assert.equal(await readFile(await file.path(), 'utf8'), 'an offer');
	await beside.getByTitle('Delete Angebot €.txt').click();
	await page.getByRole('region', { name: 'Files' }).getByText('No files.').waitFor();
	await page.context().close();
	await beside.context().close();
});

test('a reminder comes up when it is due, and can be put off', async () =>
{
	const page = await tab();
	await signIn(page);
	const { id } = (await s.api('GET', '/v1/me')).body;
	const subject = `Ring back ${Date.now()}`;
	const task = (await s.api('POST', '/v1/activities', { type: 'task', subject, owner_id: id,
		reminders: [{ at: new Date(Date.now() + 500).toISOString() }] })).body;
	const told = page.locator('.toast', { hasText: `Reminder: ${subject}` });
	await told.waitFor();
	assert.equal(await told.count(), 1);
	await told.getByRole('button', { name: 'In 10 minutes' }).click();
	await page.getByText('You will be reminded in 10 minutes.').waitFor();
	const mine = (await s.api('GET', '/v1/reminders?state=scheduled')).body.data.find((r) => r.activity_id === task.id);
	assert.equal(mine.snoozed, true);
	await page.context().close();
});

test('deleting can be undone', async () =>
{
	const leads = await figure(wall, 'New leads');
	const name = `Erased ${Date.now()}`;
	await desk.getByRole('button', { name: 'Created' }).click();
	assert.equal((await s.api('POST', '/v1/leads', { last_name: name })).status, 201);
	await desk.locator('tbody tr', { hasText: name }).locator('.row-link').click();
	await panel(desk).getByRole('button', { name: 'Delete' }).click();
	await waitFor(async () => (await desk.locator('tbody tr', { hasText: name }).count()) === 0);
	await desk.getByRole('button', { name: 'Undo' }).click();
	await panel(desk).getByRole('heading', { name }).waitFor();
	await desk.locator('tbody tr', { hasText: name }).waitFor();
	await desk.keyboard.press('Escape');
	await waitFor(async () => (await figure(wall, 'New leads')) === leads + 1);
});

test('a restart of the gateway only interrupts the line: nothing is missed', async () =>
{
	const before = await figure(wall, 'New leads');
	await s.kill('gateway');
	await wall.locator('.live[data-state=waiting]').waitFor();
	await s.sql(`INSERT INTO crm.lead (org_id, last_name) SELECT org_id, 'While away' FROM crm.member WHERE email = $1`, [s.email]);
	await s.start('gateway');
	await wall.locator('.live[data-state=live]').waitFor({ timeout: 20000 });
	await waitFor(async () => (await figure(wall, 'New leads')) === before + 1);
});

test('small screen and dark scheme', async () =>
{
	const phone = await tab({ viewport: { width: 390, height: 800 }, colorScheme: 'dark' });
	await signIn(phone);
	await picture(phone, 'phone-dashboard');
	for (const page of ['Leads', 'Deals', 'Dashboard'])
	{
		await phone.getByRole('link', { name: page }).click();
		await phone.getByRole('heading', { name: page }).waitFor();
		const overflow = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
		assert.ok(overflow <= 0, `${page} is ${overflow} px too wide`);
	}
	await phone.getByRole('link', { name: 'Leads' }).click();
	await phone.locator('tbody tr').first().click();
	await panel(phone).getByText('Why this score').waitFor();
	await picture(phone, 'phone-lead');
	await phone.context().close();
});

test('every control has a name', async () =>
{
	for (const page of ['dashboard', 'leads', 'deals'])
	{
		await desk.goto(`${s.url}/#/${page}`);
		await desk.locator('h1').waitFor();
		await desk.waitForTimeout(300);
		const nameless = await desk.evaluate(() => [...document.querySelectorAll('button, input, select, textarea, a[href]')]
			.filter((el) => el.checkVisibility() && !(el.innerText?.trim() || el.getAttribute('aria-label') || el.labels?.length))
			.map((el) => el.outerHTML));
		assert.deepEqual(nameless, [], page);
	}
});

test('a session ended elsewhere leads back to the sign-in page', async () =>
{
	const member = await s.newMember('rep');
	const page = await tab();
	await page.goto(s.url);
	await page.evaluate((session) => sessionStorage.setItem('saleshub.session', JSON.stringify(session)), {
		access: member.access_token, refresh: member.refresh_token, until: Date.now() + 600000, member: member.member,
	});
	await page.reload();
	await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
	await member.api('POST', '/v1/auth/sign-out');
	await page.getByRole('button', { name: 'Sign in' }).waitFor();
	await page.context().close();
});

test('signing out forgets the session', async () =>
{
	await desk.getByRole('button', { name: 'Sign out' }).click();
	await desk.getByRole('button', { name: 'Sign in' }).waitFor();
	assert.equal(await desk.evaluate(() => sessionStorage.length), 0);
	await desk.reload();
	await desk.getByRole('button', { name: 'Sign in' }).waitFor();
});

test('nothing went wrong in any tab', () =>
{
	assert.deepEqual(faults, []);
});
