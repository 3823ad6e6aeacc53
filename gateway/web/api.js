// The session and every call to the server: tokens, refresh, retries of reads, problem+json as Problem.

const KEY = 'saleshub.session';

let session = read();
let refreshing = null;
const signedOut = new Set();

function read() {
	try {
		return JSON.parse(sessionStorage.getItem(KEY));
	} catch {
		return null;
	}
}

function keep(next) {
	session = next;
	if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
	else sessionStorage.removeItem(KEY);
}

function accept(answer) {
	keep({
		access: answer.access_token,
		refresh: answer.refresh_token,
		until: Date.now() + answer.expires_in * 1000,
		member: answer.member,
	});
}

export const me = () => session?.member ?? null;
export const onSignedOut = (fn) => signedOut.add(fn);

/** An answer that is not a success. status 0: the server was not reached. */
export class Problem extends Error {
	constructor(status, body, headers) {
		super(body.detail ?? body.title ?? `HTTP ${status}`);
		Object.assign(this, body, { status, retryAfter: Number(headers?.get('Retry-After')) || 1 });
		this.errors ??= [];
	}
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function once(method, path, options) {
	const headers = { Accept: 'application/json', ...options.headers };
	if (options.body !== undefined) headers['Content-Type'] ??= 'application/json';
	if (session && !options.anonymous) headers.Authorization = `Bearer ${session.access}`;
	let response;
	try {
		response = await fetch(path, {
			method,
			headers,
			body: options.body === undefined ? undefined : JSON.stringify(options.body),
			signal: options.signal,
			cache: 'no-store',
		});
	} catch (error) {
		if (error.name === 'AbortError') throw error;
		throw new Problem(0, {
			code: 'unreachable',
			detail: 'The server cannot be reached. Check your connection.',
		});
	}
	const text = await response.text();
	const data = text ? parse(text) : null;
	if (!response.ok) throw new Problem(response.status, data ?? {}, response.headers);
	return {
		data,
		status: response.status,
		etag: response.headers.get('ETag'),
		total: response.headers.get('X-Total-Count'),
	};
}

function parse(text) {
	try {
		return JSON.parse(text);
	} catch {
		return null;
	}
}

/**
 * One call. Options: query, body, headers, signal, anonymous. Reads are repeated while the server is
 * away for a moment; writes only after a refused token, which proves that they did not run.
 */
export async function call(method, path, options = {}) {
	const query = new URLSearchParams(
		Object.entries(options.query ?? {}).filter(([, value]) => value != null && value !== ''),
	);
	const url = query.size ? `${path}?${query}` : path;
	if (session && !options.anonymous && session.until - Date.now() < 30_000) await refresh();
	for (let attempt = 1; ; attempt++) {
		const used = session?.access;
		try {
			return await once(method, url, options);
		} catch (problem) {
			if (problem.status === 401 && !options.anonymous && attempt === 1 && session) {
				if (session.access === used) await refresh();
				continue;
			}
			const passing = problem.status === 0 || problem.status === 503;
			if (method !== 'GET' || !passing || attempt > 3) throw problem;
			await pause(Math.min(problem.retryAfter, 4) * 1000);
		}
	}
}

export const get = (path, query, options) =>
	call('GET', path, { query, ...options }).then((answer) => answer.data);
export const post = (path, body, options) =>
	call('POST', path, { body, ...options }).then((answer) => answer.data);

/** Changes a record only if it still has this version. */
export const patch = (path, body, version) =>
	call('PATCH', path, { body, headers: { 'If-Match': `"${version}"` } }).then(
		(answer) => answer.data,
	);

export async function signIn(email, password) {
	accept(
		await post(
			'/v1/auth/sign-in',
			{ email, password, device: 'web console' },
			{ anonymous: true },
		),
	);
}

export async function signUp(body) {
	accept(await post('/v1/auth/sign-up', body, { anonymous: true }));
}

export async function signOut() {
	try {
		await call('POST', '/v1/auth/sign-out');
	} catch (problem) {
		if (problem.status !== 401 && problem.status !== 0) throw problem;
	} finally {
		drop();
	}
}

function drop() {
	if (!session) return;
	keep(null);
	for (const fn of signedOut) fn();
}

/** One refresh at a time; a refused refresh token ends the session. */
export function refresh() {
	refreshing ??= (async () => {
		try {
			accept(
				await post(
					'/v1/auth/refresh',
					{ refresh_token: session.refresh },
					{ anonymous: true },
				),
			);
		} catch (problem) {
			if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) drop();
			throw problem;
		} finally {
			refreshing = null;
		}
	})();
	return refreshing;
}

/** A fetch for streams: the caller reads the body and watches the status. */
export async function stream(path, headers, signal) {
	if (session.until - Date.now() < 30_000) await refresh();
	return fetch(path, {
		headers: {
			...headers,
			Accept: 'text/event-stream',
			Authorization: `Bearer ${session.access}`,
		},
		signal,
		cache: 'no-store',
	});
}

/** A file of this machine to a route that takes one. */
export async function sendFile(path, file) {
	if (session.until - Date.now() < 30_000) await refresh();
	const response = await fetch(`${path}?${new URLSearchParams({ name: file.name })}`, {
		method: 'POST',
		headers: {
			Accept: 'application/json',
			Authorization: `Bearer ${session.access}`,
			'Content-Type': file.type || 'application/octet-stream',
		},
		body: file,
	}).catch(() => {
		throw new Problem(0, { code: 'unreachable', detail: 'The file could not be sent.' });
	});
	const data = parse(await response.text());
	if (!response.ok) throw new Problem(response.status, data ?? {}, response.headers);
	return data;
}

/** A file from the server, under the name that the server gives it; told when it did not come whole. */
export async function download(path, query) {
	if (session.until - Date.now() < 30_000) await refresh();
	const wanted = Object.entries(query).filter(([, value]) => value != null && value !== '');
	const broken = { code: 'unreachable', detail: 'The file did not come whole. Try again.' };
	const response = await fetch(`${path}?${new URLSearchParams(wanted)}`, {
		headers: { Authorization: `Bearer ${session.access}` },
		cache: 'no-store',
	}).catch(() => {
		throw new Problem(0, broken);
	});
	if (!response.ok)
		throw new Problem(response.status, parse(await response.text()) ?? {}, response.headers);
	const file = await response.blob().catch(() => {
		throw new Problem(0, broken);
	});
	save(file, response.headers.get('Content-Disposition') ?? '');
}

function save(file, disposition) {
	const link = document.createElement('a');
	const [, encoded] = /filename\*=UTF-8''([^;]+)/.exec(disposition) ?? [];
	const [, plain] = /filename="([^"]+)"/.exec(disposition) ?? [];
	link.href = URL.createObjectURL(file);
	link.download = encoded ? decodeURIComponent(encoded) : (plain ?? '');
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A key for a write that may be repeated after a lost answer: the same for the same body. */
export function idempotency() {
	let last = null;
	return (body) => {
		const text = JSON.stringify(body);
		if (last?.text !== text) last = { text, key: uuid() };
		return { 'Idempotency-Key': last.key };
	};
}

function uuid() {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	bytes[6] = (bytes[6] & 15) | 64;
	bytes[8] = (bytes[8] & 63) | 128;
	return [...bytes]
		.map(
			(byte, at) =>
				([4, 6, 8, 10].includes(at) ? '-' : '') + byte.toString(16).padStart(2, '0'),
		)
		.join('');
}
