// The list of leads: sorted and filtered by the server, paged by cursor, kept current by events.

import { get } from './api.js';
import { badge, button, coalesce, failed, fill, fullName, h, score, when } from './dom.js';
import { exportButton } from './export.js';
import { createLead } from './lead_form.js';
import { leadPanel } from './lead_panel.js';
import { onEvent } from './live.js';
import { ownerName, people } from './people.js';

const PAGE = 50;
const statuses = ['new', 'working', 'nurturing', 'qualified', 'unqualified', 'converted'];
const columns = [
	{
		label: 'Name',
		sort: 'last_name',
		cell: (lead) => [h('span.strong', fullName(lead)), lead.title && h('span.sub', lead.title)],
	},
	{ label: 'Company', sort: 'company_name', cell: (lead) => lead.company_name ?? '–' },
	{ label: 'Status', cell: (lead) => badge(lead.status) },
	{ label: 'Score', sort: 'score', first: '-', cell: score },
	{ label: 'Source', cell: (lead) => lead.source ?? '–', minor: true },
	{ label: 'Owner', cell: (lead, names) => ownerName(names, lead.owner_id), minor: true },
	{ label: 'Created', sort: 'created_at', first: '-', cell: (lead) => when(lead.created_at) },
];

const parse = (params) => ({
	sort: params.get('sort') || '-created_at',
	status: (params.get('status') ?? '').split(',').filter((value) => statuses.includes(value)),
	open: params.get('open'),
});

export function leads(main, params) {
	let view = parse(params);
	let rows = new Map(); // id -> {lead, tr}
	let cursor = null;
	let loading = null;
	let names = new Map();
	let panel = null;
	let fresh = 0;
	let changed = new Set();
	const gone = new Set(); // deleted while an older page may still be on its way

	const body = h('tbody');
	const head = h('tr');
	const foot = h('div.list-foot');
	const more = button('Load more', () => next().catch(failed));
	const news = h('button', {
		type: 'button',
		class: 'news',
		hidden: true,
		onclick: () => restart().catch(failed),
	});
	const chips = h('div', { class: 'segments wrap', role: 'group', 'aria-label': 'Status' });
	const side = h('div.side-panel');

	fill(
		main,
		h(
			'div.page-head',
			h('h1', 'Leads'),
			h(
				'div.tools',
				exportButton('leads', () => ({ sort: view.sort, status: view.status.join(',') })),
				button('New lead', () => createLead((lead) => go({ open: lead.id })), {
					icon: 'plus',
					class: 'primary',
				}),
			),
		),
		h('div.bar', chips, news),
		h(
			'div.table-box',
			h('table', { class: 'table', 'aria-label': 'Leads' }, h('thead', head), body),
			foot,
		),
		side,
	);

	/** Changes the address; update() then follows it. */
	function go(change) {
		const wanted = { ...view, ...change };
		const query = new URLSearchParams();
		if (wanted.sort !== '-created_at') query.set('sort', wanted.sort);
		if (wanted.status.length) query.set('status', wanted.status.join(','));
		if (wanted.open) query.set('open', wanted.open);
		location.hash = `#/leads${query.size ? `?${query}` : ''}`;
	}

	function drawHead() {
		fill(
			head,
			columns.map((column) => {
				const th = h('th', { scope: 'col', class: column.minor && 'minor' });
				if (!column.sort) return fill(th, column.label);
				const descending = view.sort === `-${column.sort}`;
				const active = descending || view.sort === column.sort;
				if (active) th.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
				const flip = active
					? descending
						? column.sort
						: `-${column.sort}`
					: `${column.first ?? ''}${column.sort}`;
				return fill(
					th,
					h(
						'button',
						{ type: 'button', class: 'sort', onclick: () => go({ sort: flip }) },
						column.label,
						h(
							'span',
							{ 'aria-hidden': 'true' },
							active ? (descending ? '↓' : '↑') : '',
						),
					),
				);
			}),
		);
		fill(
			chips,
			h(
				'button',
				{
					type: 'button',
					'aria-pressed': String(!view.status.length),
					onclick: () => go({ status: [] }),
				},
				'All',
			),
			statuses.map((status) =>
				h(
					'button',
					{
						type: 'button',
						'aria-pressed': String(view.status.includes(status)),
						onclick: () =>
							go({
								status: view.status.includes(status)
									? view.status.filter((other) => other !== status)
									: [...view.status, status],
							}),
					},
					status.charAt(0).toUpperCase() + status.slice(1),
				),
			),
		);
	}

	function row(lead) {
		const tr = h(
			'tr',
			{
				dataset: { id: lead.id },
				class: lead.id === view.open && 'open',
				onclick: () => go({ open: lead.id }),
			},
			columns.map((column, at) => {
				const content = column.cell(lead, names);
				if (at > 0) return h('td', { class: column.minor && 'minor' }, content);
				return h(
					'td',
					h('button', { type: 'button', class: 'row-link', onkeydown: arrows }, content),
				);
			}),
		);
		return tr;
	}

	function arrows(event) {
		const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[
			event.key
		];
		const target = step && event.target.closest('tr')[step]?.querySelector('.row-link');
		if (!target) return;
		event.preventDefault();
		target.focus();
	}

	function put(lead) {
		if (gone.has(lead.id)) return;
		const tr = row(lead);
		const known = rows.get(lead.id);
		if (known) {
			const focused = known.tr.contains(document.activeElement);
			known.tr.replaceWith(tr);
			if (focused) tr.querySelector('.row-link').focus();
			tr.classList.add('flash');
		} else body.append(tr);
		rows.set(lead.id, { lead, tr });
	}

	const query = () => ({ sort: view.sort, status: view.status.join(','), limit: PAGE });

	function drawFoot() {
		more.hidden = !cursor;
		fill(
			foot,
			more,
			!rows.size &&
				h(
					'p.empty',
					view.status.length
						? 'No lead has this status.'
						: 'No leads yet. Create the first one.',
				),
		);
	}

	async function restart() {
		const mine = (loading = {});
		// What is created from here on may be missing in the page.
		const counted = fresh;
		fresh = 0;
		const page = await get('/v1/leads', query()).catch((problem) => {
			fresh += counted;
			if (mine === loading) loading = null;
			throw problem;
		});
		if (mine !== loading) return;
		const focused = body.contains(document.activeElement)
			? document.activeElement.closest('tr').dataset.id
			: null;
		rows = new Map();
		fill(body);
		for (const lead of page.data) put(lead);
		rows.get(focused)?.tr.querySelector('.row-link').focus();
		cursor = page.next_cursor;
		news.hidden = true;
		loading = null;
		drawFoot();
	}

	async function next() {
		if (loading || !cursor) return;
		const mine = (loading = {});
		more.disabled = true;
		try {
			const page = await get('/v1/leads', { ...query(), cursor });
			if (mine !== loading) return;
			for (const lead of page.data) put(lead);
			cursor = page.next_cursor;
		} finally {
			if (mine === loading) loading = null;
			more.disabled = false;
		}
		drawFoot();
	}

	/** Events: changed rows are read again; new ones come at once at the top of the list, else by a click. */
	const catchUp = coalesce(async () => {
		const ids = [...changed].filter((id) => rows.has(id));
		changed = new Set();
		if (fresh && scrollY < 200) return restart();
		if (fresh) {
			news.hidden = false;
			news.textContent = `${fresh} new · show`;
		}
		if (!ids.length) return;
		const { data } = await get('/v1/leads', { id: ids.slice(0, 200).join(','), limit: 200 });
		for (const lead of data) if (rows.has(lead.id)) put(lead);
	}, 300);

	const silence = onEvent((event) => {
		if (event.type === 'reset') fresh ||= rows.size ? 1 : 0;
		else if (event.entity !== 'lead') return;
		else if (event.type === 'lead.created') fresh++;
		else if (event.type === 'lead.restored') {
			gone.delete(event.id);
			fresh++;
		} else if (event.type === 'lead.deleted') {
			gone.add(event.id);
			rows.get(event.id)?.tr.remove();
			rows.delete(event.id);
		} else changed.add(event.id);
		catchUp();
	});

	function showPanel() {
		for (const [id, { tr }] of rows) tr.classList.toggle('open', id === view.open);
		if (panel?.id === view.open) return;
		panel?.close();
		panel = null;
		fill(side);
		if (!view.open) return;
		const from = rows.get(view.open)?.tr;
		panel = leadPanel(side, view.open, {
			close() {
				const target = rows.get(view.open)?.tr ?? from;
				go({ open: null });
				target?.querySelector('.row-link')?.focus();
			},
		});
	}

	const sentinel = new IntersectionObserver(
		(entries) => {
			if (entries.some((entry) => entry.isIntersecting)) next().catch(failed);
		},
		{ rootMargin: '400px' },
	);
	sentinel.observe(foot);

	drawHead();
	showPanel();
	people().then((found) => {
		names = found;
		for (const { lead } of [...rows.values()]) put(lead);
	}, failed);
	restart().catch(failed);

	return {
		update(next) {
			const before = view;
			view = parse(next);
			if (before.sort !== view.sort || before.status.join() !== view.status.join()) {
				drawHead();
				scrollTo(0, 0);
				restart().catch(failed);
			}
			showPanel();
		},
		close() {
			silence();
			sentinel.disconnect();
			panel?.close();
			loading = {};
		},
	};
}
