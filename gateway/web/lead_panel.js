// One lead beside the list: fields, score with its reasons, activities, history, edit, convert, delete.

import { call, get, patch, post } from './api.js';
import { activityBox } from './activities.js';
import { convertLead } from './convert.js';
import { customFields, customInputs, flat, labelled, nested, shown } from './custom.js';
import {
	badge,
	button,
	coalesce,
	decimal,
	explain,
	failed,
	featureTitle,
	fill,
	fullName,
	h,
	icon,
	money,
	percent,
	reason,
	score,
	title,
	toast,
	when,
} from './dom.js';
import { fileBox } from './files.js';
import { form } from './form.js';
import { fieldsOf, leadFields } from './lead_form.js';
import { onEvent } from './live.js';
import { baseCurrency, ownerName, people } from './people.js';

export function leadPanel(box, id, { close }) {
	let lead = null;
	let names = new Map();
	let custom = [];
	let editing = false;
	let gone = false;
	const path = `/v1/leads/${id}`;

	const head = h('div.panel-head');
	const notice = h('div', { class: 'notice', role: 'alert', hidden: true });
	const details = h('section', { 'aria-label': 'Details' });
	const reasons = h('section', { 'aria-label': 'Score' });
	const work = activityBox('lead', id);
	const files = fileBox('leads', id);
	const history = h('section', { 'aria-label': 'History' });
	const panel = h(
		'aside',
		{ class: 'panel', 'aria-label': 'Lead', tabindex: '-1', onkeydown: escape },
		head,
		h('div.panel-body', notice, details, reasons, work.el, files.el, history),
	);
	fill(box, panel);
	panel.focus();

	function escape(event) {
		if (event.key !== 'Escape' || event.defaultPrevented) return;
		if (editing) stopEditing();
		else close();
	}

	const closeButton = () =>
		h(
			'button',
			{ type: 'button', class: 'button quiet square', 'aria-label': 'Close', onclick: close },
			icon('close'),
		);

	function drawHead() {
		const open = lead.status !== 'converted' && !editing;
		fill(
			head,
			h('div.panel-title', h('h2', fullName(lead)), closeButton()),
			h(
				'p.muted',
				[lead.title, lead.company_name].filter(Boolean).join(' · ') || lead.email || '',
			),
			h(
				'div.panel-facts',
				badge(lead.status),
				score(lead),
				h('span.muted', 'Owner: ', ownerName(names, lead.owner_id)),
			),
			h(
				'div.panel-actions',
				open &&
					button('Convert', () => convertLead(lead, reload), {
						class: 'primary',
						icon: 'arrow',
					}),
				open && button('Edit', startEditing),
				open && statusSelect(),
				open && button('Delete', remove, { class: 'quiet danger' }),
			),
		);
	}

	function statusSelect() {
		const options = ['new', 'working', 'nurturing', 'qualified', 'unqualified'];
		return h(
			'select',
			{
				'aria-label': 'Status',
				class: 'small',
				onchange: (event) =>
					change({ status: event.target.value }).catch(failed).finally(reload),
			},
			options.map((value) =>
				h('option', { value, selected: value === lead.status }, title(value)),
			),
		);
	}

	const change = async (body) => {
		lead = await patch(path, body, lead.version);
	};

	function drawDetails() {
		const show = ([name, label]) => {
			const value = lead[name];
			if (value == null) return null;
			return [
				h('dt', label),
				h('dd', name === 'annual_revenue' ? money(value) : linked(name, value)),
			];
		};
		const made =
			lead.converted &&
			h(
				'p.made',
				'Converted ',
				when(lead.converted.at),
				lead.converted.deal_id && [
					' · ',
					h('a', { href: `#/deals?open=${lead.converted.deal_id}` }, 'Open the deal'),
				],
			);
		fill(
			details,
			made,
			h(
				'dl.facts',
				leadFields.map(show),
				custom
					.filter((field) => lead.custom?.[field.key] != null)
					.map((field) => [
						h('dt', field.label),
						h('dd', shown(field, lead.custom[field.key])),
					]),
				lead.tags?.length > 0 && [
					h('dt', 'Tags'),
					h(
						'dd',
						lead.tags.map((tag) => h('span.tag', tag)),
					),
				],
				h('dt', 'Created'),
				h('dd', when(lead.created_at)),
				h('dt', 'Changed'),
				h('dd', when(lead.updated_at), ` · version ${lead.version}`),
			),
		);
	}

	async function startEditing() {
		const currency = await baseCurrency().catch(() => 'EUR');
		editing = true;
		drawHead();
		drawForm(lead, currency, {});
	}

	/** mine: values typed before, kept over a conflict. */
	function drawForm(base, currency, mine) {
		const fields = [...fieldsOf(base, currency), ...customInputs(custom, base)];
		const before = flat(base, custom);
		const el = form({
			fields,
			submit: 'Save',
			cancel: stopEditing,
			async save(values) {
				const changes = Object.fromEntries(
					Object.entries(values).filter(([name, value]) => !same(value, before[name])),
				);
				if (!Object.keys(changes).length) return stopEditing();
				try {
					lead = await patch(path, nested(changes), base.version);
				} catch (problem) {
					if (problem.status !== 412) throw problem;
					return conflict(base, changes, currency);
				}
				toast('Saved.', { kind: 'good', seconds: 3 });
				stopEditing();
			},
		});
		for (const [name, value] of Object.entries(mine))
			el.elements[name].value = value?.amount ?? value ?? '';
		fill(details, el);
		el.querySelector('input').focus();
	}

	/** Somebody saved in between: shows what they changed and lets this member decide. */
	async function conflict(base, changes, currency) {
		const theirs = await get(path);
		if (!theirs) return removed();
		const [before, now] = [flat(base, custom), flat(theirs, custom)];
		const differs = [...leadFields, ...labelled(custom)].filter(
			([name]) => !same(before[name], now[name]),
		);
		const plain = (value) =>
			value == null ? 'empty' : value.amount ? money(value) : String(value);
		const other = ownerName(names, theirs.updated_by);
		notice.hidden = false;
		fill(
			notice,
			h(
				'p',
				h(
					'strong',
					`This lead was changed by ${theirs.updated_by ? other : 'someone else'} while you were editing. `,
				),
				'Nothing of yours is saved yet.',
			),
			h(
				'ul',
				differs.map(([name, label]) =>
					h(
						'li',
						`${label}: `,
						h('q', plain(now[name])),
						name in changes ? [' – yours: ', h('q', plain(changes[name]))] : '',
					),
				),
			),
			h(
				'div.actions',
				button('Use theirs', () => {
					lead = theirs;
					stopEditing();
				}),
				button(
					'Keep mine',
					async () => {
						notice.hidden = true;
						drawForm(theirs, currency, changes);
						details.querySelector('form').requestSubmit();
					},
					{ class: 'primary' },
				),
			),
		);
		lead = theirs;
		notice.querySelector('button').focus();
	}

	function stopEditing() {
		editing = false;
		notice.hidden = true;
		draw();
		reload();
		panel.focus();
	}

	/** How the points of a reason came about: the group that limits them, how many events. */
	function note({ group, events, uncapped }) {
		const parts = [
			group,
			events && `${events} ${events === 1 ? 'event' : 'events'}`,
			uncapped !== undefined && `${uncapped} before the cap`,
		].filter(Boolean);
		return parts.length > 0 && h('small.muted', ` ${parts.join(' · ')}`);
	}

	function drawScore(answer) {
		const rows = answer.reasons ?? [];
		const top = Math.max(...rows.map((row) => Math.abs(row.points)), 1);
		fill(
			reasons,
			h('h3', 'Why this score'),
			rows.length
				? h(
						'ul.reasons',
						rows.map((row) =>
							reason(
								[row.label, note(row)],
								row.points,
								top,
								row.points > 0 ? `+${row.points}` : String(row.points),
							),
						),
						h(
							'li.sum',
							h(
								'span',
								'Score',
								answer.engagement !== null &&
									h('small.muted', ` fit ${answer.fit}, engagement ${answer.engagement}`),
							),
							h('span'),
							h('b', String(answer.score)),
						),
					)
				: h('p.muted', 'No scoring rule matches this lead.'),
			answer.as_of && h('p.muted', 'Points of events halve with time; as of ', when(answer.as_of), '.'),
			answer.probability != null && chance(answer),
		);
	}

	/** The model's chance, and what moves it most. */
	function chance(answer) {
		const rows = (answer.model_reasons ?? [])
			.filter((row) => row.feature !== 'intercept' && Math.abs(row.log_odds) >= 0.05)
			.slice(0, 6);
		const top = Math.max(...rows.map((row) => Math.abs(row.log_odds)), 0.1);
		return [
			h('h3', `Chance of conversion: ${percent(answer.probability)}`),
			h(
				'ul.reasons',
				rows.map((row) =>
					reason(
						[
							featureTitle(row.feature),
							row.value != null && h('span.muted', ` ${row.value}`),
						],
						row.log_odds,
						top,
						`× ${decimal(row.odds_ratio)}`,
					),
				),
			),
		];
	}

	function drawHistory(entries) {
		fill(
			history,
			h('h3', 'History'),
			h(
				'ol.timeline',
				entries.map((entry) =>
					h(
						'li',
						h('p', h('strong', what(entry)), by(entry), ' · ', when(entry.at)),
						entry.op === 'update' && h('ul', changes(entry.changed, names)),
					),
				),
			),
		);
	}

	const by = (entry) =>
		entry.actor_id ? ` by ${ownerName(names, entry.actor_id)}` : ' in the database';

	function draw() {
		drawHead();
		if (!editing) drawDetails();
	}

	async function load() {
		if (gone) return;
		let next;
		try {
			[next, names, custom] = await Promise.all([
				get(path),
				people(),
				customFields('lead').catch(() => []),
			]);
		} catch (problem) {
			if (problem.status === 404) return removed();
			if (!lead)
				fill(head, h('div.panel-title', h('p.muted', explain(problem)), closeButton()));
			throw problem;
		}
		if (editing && next.version !== lead.version) {
			notice.hidden = false;
			fill(
				notice,
				h(
					'p',
					'This lead was just changed elsewhere. You can go on; saving will show you the difference.',
				),
			);
		}
		if (!editing) lead = next;
		draw();
		const [why, entries] = await Promise.all([get(`${path}/score`), get(`${path}/history`)]);
		drawScore(why);
		drawHistory(entries.data);
	}

	function removed() {
		gone = true;
		editing = false;
		fill(
			panel,
			h(
				'div.panel-head',
				h('div.panel-title', h('h2', 'This lead is deleted'), closeButton()),
				h('div.panel-actions', button('Restore', restore)),
			),
		);
	}

	async function remove() {
		try {
			await call('DELETE', path, { headers: { 'If-Match': `"${lead.version}"` } });
			toast(`${fullName(lead)} is deleted.`, {
				action: { label: 'Undo', run: restore },
				seconds: 10,
			});
			gone = true;
			close();
		} catch (problem) {
			if (problem.status === 412)
				toast('Someone else changed this lead just now. Look again before deleting it.', {
					kind: 'error',
				});
			else failed(problem);
			reload();
		}
	}

	async function restore() {
		try {
			await post(`${path}/restore`);
			toast('Restored.', { kind: 'good' });
			location.hash = `#/leads?open=${id}`;
		} catch (problem) {
			failed(problem);
		}
	}

	const reload = coalesce(load, 100);
	const silence = onEvent((event) => {
		if (event.type === 'reset' || (event.entity === 'lead' && event.id === id)) reload();
	});
	reload();

	return {
		id,
		close() {
			gone = true;
			silence();
			work.close();
			files.close();
		},
	};
}

function what({ op, changed }) {
	if (op !== 'update') return op === 'insert' ? 'Created' : 'Removed';
	if (changed.deleted_at) return changed.deleted_at.new ? 'Deleted' : 'Restored';
	return changed.status?.new === 'converted' ? 'Converted' : 'Changed';
}

/** The fields people know by name; what follows from them stays in the interface's history. */
function changes(changed, names) {
	const known = new Map([
		...leadFields,
		['status', 'Status'],
		['score', 'Score'],
		['owner_id', 'Owner'],
	]);
	const text = (name, value) => {
		if (name === 'owner_id') return ownerName(names, value);
		return value == null || value === '' ? 'empty' : String(value);
	};
	return Object.entries(changed)
		.filter(([name, { old, new: now }]) => known.has(name) && typeof (now ?? old) !== 'object')
		.map(([name, { old, new: now }]) =>
			h(
				'li',
				`${known.get(name)}: `,
				h('del', text(name, old)),
				' → ',
				h('ins', text(name, now)),
			),
		);
}

/** Equal for people: an absent value and an empty one, "5" and 5, amounts of the same size. */
function same(a, b) {
	const plain = (value) =>
		value == null
			? ''
			: typeof value === 'object' && 'amount' in value
				? `${Number(value.amount)} ${value.currency}`
				: String(value);
	return plain(a) === plain(b);
}

function linked(name, value) {
	if (name === 'email') return h('a', { href: `mailto:${value}` }, value);
	if (name === 'phone') return h('a', { href: `tel:${value}` }, value);
	if (name === 'website' && /^https?:\/\//.test(value))
		return h('a', { href: value, rel: 'noopener noreferrer', target: '_blank' }, value);
	return String(value);
}
