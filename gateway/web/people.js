// Names of the members of the organisation, read once; the currency amounts are entered in.

import { get, me } from './api.js';

let members = null;
let currency = null;

export async function people() {
	members ??= load();
	return members;
}

/** Somebody who may not list members still sees the own name. */
async function load() {
	const names = new Map([[me().id, me().name]]);
	try {
		let cursor = null;
		do {
			const page = await get('/v1/members', { limit: 200, cursor });
			for (const member of page.data) names.set(member.id, member.name);
			cursor = page.next_cursor;
		} while (cursor);
	} catch (problem) {
		if (problem.status !== 403 && problem.status !== 404) {
			members = null;
			throw problem;
		}
	}
	return names;
}

export function forget() {
	members = null;
	currency = null;
}

/** The organisation's currency, as the dashboard states it. */
export async function baseCurrency() {
	if (currency) return currency;
	const { deals } = await get('/v1/dashboard');
	currency = deals.open_amount.currency;
	return currency;
}

export const ownerName = (names, id) => (id ? (names.get(id) ?? 'Another member') : 'Nobody yet');
