// Live events: Server-Sent Events read through fetch, so that the token travels in a header. Every
// event comes once, in order; after a break the stream goes on behind the last position seen.

import { me, refresh, stream } from './api.js';

const QUIET_MS = 45_000; // the server sends a comment every 15 s: longer silence is a dead connection

const listeners = new Set();
const watchers = new Set();
let controller = null;
let position = null;
let state = 'off';

/** fn(event) for each event, and fn({type: 'reset'}) when everything shown must be read again. */
export function onEvent(fn) {
	listeners.add(fn);
	return () => listeners.delete(fn);
}

/** fn(state) now and at each change: off, connecting, live, waiting. */
export function onState(fn) {
	watchers.add(fn);
	fn(state);
	return () => watchers.delete(fn);
}

function become(next) {
	if (state === next) return;
	state = next;
	for (const fn of watchers) fn(state);
}

function tell(event) {
	for (const fn of [...listeners]) fn(event);
}

export function start() {
	stop();
	controller = new AbortController();
	run(controller.signal);
}

export function stop() {
	controller?.abort();
	controller = null;
	position = null;
	become('off');
}

async function run(signal) {
	for (let failures = 0; !signal.aborted && me();) {
		become(failures ? 'waiting' : 'connecting');
		try {
			if (await connect(signal)) failures = 0;
		} catch {
			if (signal.aborted) return;
		}
		if (signal.aborted) return;
		become('waiting');
		failures++;
		await wait(
			Math.min(15_000, 500 * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2),
			signal,
		);
	}
}

/** Resolves early when the tab is shown again or the network returns. */
function wait(ms, signal) {
	return new Promise((done) => {
		const finish = () => {
			clearTimeout(timer);
			removeEventListener('online', finish);
			document.removeEventListener('visibilitychange', shown);
			signal.removeEventListener('abort', finish);
			done();
		};
		const shown = () => document.visibilityState === 'visible' && finish();
		const timer = setTimeout(finish, ms);
		addEventListener('online', finish);
		document.addEventListener('visibilitychange', shown);
		signal.addEventListener('abort', finish);
	});
}

/** One connection until it ends; true when it was established. */
async function connect(outer) {
	const inner = new AbortController();
	const abort = () => inner.abort();
	outer.addEventListener('abort', abort);
	let quiet = setTimeout(abort, QUIET_MS);
	try {
		const response = await stream(
			'/v1/stream?ch=feed&ch=user:me',
			position ? { 'Last-Event-ID': position } : {},
			inner.signal,
		);
		if (response.status === 401) await refresh();
		if (!response.ok) return false;
		become('live');
		// Without a position there is no telling what happened between the first reads and this moment.
		if (position === null) tell({ type: 'reset' });
		const parse = parser();
		const decoder = new TextDecoder();
		const reader = response.body.getReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return true;
			clearTimeout(quiet);
			quiet = setTimeout(abort, QUIET_MS);
			parse(decoder.decode(value, { stream: true }));
		}
	} finally {
		clearTimeout(quiet);
		outer.removeEventListener('abort', abort);
		inner.abort();
	}
}

/** The event stream format of the HTML standard. */
function parser() {
	let rest = '';
	let name = '';
	let id = null;
	let data = [];
	return (text) => {
		const lines = (rest + text).split('\n');
		rest = lines.pop();
		for (const raw of lines) {
			const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
			if (line === '') {
				if (id !== null) position = id;
				if (data.length) dispatch(name, data.join('\n'));
				name = '';
				data = [];
			} else if (!line.startsWith(':')) {
				const colon = line.indexOf(':');
				const field = colon < 0 ? line : line.slice(0, colon);
				const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
				if (field === 'event') name = value;
				else if (field === 'data') data.push(value);
				else if (field === 'id') id = value;
			}
		}
	};
}

/** Events are named by their type; sync only tells the position. */
function dispatch(name, data) {
	if (name === 'reset') tell({ type: 'reset' });
	else if (name.includes('.')) tell(JSON.parse(data));
}
