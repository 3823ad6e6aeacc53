// A complete private stack for one test file: PostgreSQL with the extension and sample data, Redis,
// the gateway. Under make check it is the one that was started there; otherwise the file gets its
// own in .local/test-<name>, started on first use and removed at the end.
//
//   const s = await stack();
//   const { status, body } = await s.api('GET', '/v1/leads');      as the sample data's admin
//   const rep = await s.newMember('rep');                          another member, signed in
//   await rep.api('POST', '/v1/leads', { last_name: 'Ito' });
//   const [row] = await s.sql('SELECT count(*)::int AS n FROM crm.lead');   as superuser
//   await s.kill('gateway'); await s.start('gateway');             also 'postgres', 'redis'
//   await waitFor(async () => (await s.api('GET', '/v1/me')).status === 200);
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { Contract } from './contract.mjs';

const run = promisify(execFile);
const tree = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const leads = 300;

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export const chromium_options = {
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	args: [
		'--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
		'--disable-background-networking', '--disable-component-update', '--disable-sync',
	],
};

/* Waits until the condition gives something true, and returns it; a thrown error counts as false. */
export async function waitFor(condition, { timeout = 15000, every = 20, what } = {})
{
	const end = Date.now() + timeout;
	let last;
	for (;;)
	{
		try
		{
			last = await condition();
			if (last)
				return last;
		}
		catch (error)
		{
			last = error;
		}
		if (Date.now() > end)
			throw new Error(`waited ${timeout} ms in vain for ${what ?? condition}, last: ${last?.stack ?? last}`);
		await sleep(every);
	}
}

export function sleep(ms)
{
	return new Promise((resolve) => setTimeout(resolve, ms));
}

/* One signed-in member. */
class Session
{
	constructor(stack, answer)
	{
		Object.assign(this, answer);
		this.stack = stack;
	}

	api(method, path, body, headers)
	{
		return this.stack.call(method, path, body,
			{ authorization: `Bearer ${this.access_token}`, ...headers });
	}
}

class Stack
{
	constructor(local, own)
	{
		this.local = local;
		this.own = own;
	}

	/* The stack command for this stack; resolves with what it printed. */
	async command(...args)
	{
		const env = { ...process.env, STACK_DIR: this.local, STACK_THROWAWAY: 'yes' };
		const { stdout } = await run(join(tree, 'scripts', 'stack'), args, { env });
		return stdout;
	}

	async open()
	{
		if (this.own)
			await this.command('up', String(leads));
		await this.read();
		this.pool = new pg.Pool({ ...this.database, max: 8 });
		this.pool.on('error', () => {});
	}

	/* Addresses may change when a port was taken in the meantime. */
	async read()
	{
		Object.assign(this, JSON.parse(await this.command('info')));
	}

	async close()
	{
		await this.pool?.end();
		if (this.own && !process.env.STACK_KEEP)
			await this.command('remove');
	}

	/* Rows of a statement run as superuser. */
	async sql(text, values)
	{
		return (await this.pool.query(text, values)).rows;
	}

	/* A connection of its own, for transactions; the caller ends it. */
	async connect(options = {})
	{
		const client = new pg.Client({ ...this.database, ...options });
		client.on('error', () => {});
		await client.connect();
		return client;
	}

	/* An HTTP request without a session: {status, headers, body, text}; JSON bodies are parsed. */
	async call(method, path, body, headers = {})
	{
		const all = { ...headers };
		let payload = body;
		if (body !== undefined && body !== null && typeof body !== 'string' && !Buffer.isBuffer(body))
		{
			payload = JSON.stringify(body);
			all['content-type'] ??= 'application/json';
		}
		const response = await fetch(new URL(path, this.url),
			{ method, headers: all, body: payload, redirect: 'manual' });
		const text = await response.text();
		const is_json = /[/+]json/.test(response.headers.get('content-type') ?? '');
		const answer = {
			status: response.status,
			headers: response.headers,
			text,
			body: is_json && text ? JSON.parse(text) : text,
		};
		await this.hold(method, path, answer);
		return answer;
	}

	/* Whether the OpenAPI document could be read; not while the database is away. */
	async readContract()
	{
		const response = await fetch(new URL('/openapi.json', this.url)).catch(() => undefined);
		if (!response?.ok)
			return false;
		this.contract = new Contract(await response.json());
		return true;
	}

	/* Throws when an answer is not what the document says; routes may have come since it was read. */
	async hold(method, path, { status, headers, body })
	{
		const answer = { status, type: headers.get('content-type'), body };
		let fault = this.contract?.fault(method, path, answer);
		if ((fault || !this.contract) && await this.readContract())
			fault = this.contract.fault(method, path, answer);
		if (fault)
			throw new Error(`${method} ${path} ${fault}`);
	}

	/* A new session, of the sample data's admin unless told otherwise. */
	async signIn(email = this.email, password = this.password)
	{
		const answer = await this.call('POST', '/v1/auth/sign-in', { email, password });
		if (answer.status !== 200)
			throw new Error(`sign-in of ${email} answered ${answer.status}: ${answer.text}`);
		return new Session(this, answer.body);
	}

	/* A request as the sample data's admin. */
	async api(method, path, body, headers)
	{
		this.admin ??= await this.signIn();
		return this.admin.api(method, path, body, headers);
	}

	/* The argon2id hash of a password, as the gateway makes it. */
	async hashPassword(password)
	{
		this.hashes ??= new Map();
		if (!this.hashes.has(password))
		{
			const child = run(this.gateway, ['--hash-password']);
			child.child.stdin.end(password);
			this.hashes.set(password, (await child).stdout.trim());
		}
		return this.hashes.get(password);
	}

	/* A signed-in new member of this role, in the admin's organisation or the one given. */
	async newMember(role = 'rep', { org_id, name = 'Test Member' } = {})
	{
		const email = `${randomUUID()}@test.example`;
		const password = 'a password for tests';
		const org = org_id ?? (await this.sql('SELECT org_id FROM crm.member WHERE email = $1',
			[this.email]))[0].org_id;
		await this.sql(
			'INSERT INTO crm.member (org_id, name, email, role) VALUES ($1, $2, $3, $4)',
			[org, name, email, role]);
		await this.sql('SELECT saleshub.set_password($1, $2)',
			[email, await this.hashPassword(password)]);
		return this.signIn(email, password);
	}

	/* kill -9. Resolves when the process is gone. */
	async kill(part)
	{
		await this.command('kill', part);
		await waitFor(async () => !(await this.pid(part)), { what: `the end of ${part}` });
	}

	async pid(part)
	{
		try
		{
			return Number(await this.command('pid', part));
		}
		catch
		{
			return 0;
		}
	}

	async stop(part)
	{
		await this.command('stop', part);
	}

	async start(part)
	{
		await this.command('start', part);
		await this.read();
	}

	async restart(part)
	{
		await this.stop(part);
		await this.start(part);
	}
}

let shared;

/* The stack of this test file; it ends with the file's tests. */
export async function stack()
{
	if (!shared)
	{
		const given = process.env.STACK_SHARED;
		const name = basename(process.argv[1] ?? 'test').replace(/\W.*/, '');
		shared = new Stack(given ?? join(tree, '.local', `test-${name}`), !given);
		after(() => shared.close());
		await shared.open();
	}
	return shared;
}
