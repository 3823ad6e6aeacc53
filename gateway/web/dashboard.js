// The dashboard: figures of a period, read again whenever anything changes.

import { get } from './api.js';
import { bars } from './chart.js';
import { coalesce, decimal, fill, h, money, number, percent } from './dom.js';
import { onEvent } from './live.js';

const periods = {
	'30d': ['Last 30 days', (now) => shift(now, { days: -30 })],
	'90d': ['Last 90 days', (now) => shift(now, { days: -90 })],
	'12m': ['Last 12 months', (now) => shift(now, { months: -12 })],
	all: ['All time', () => null],
};

const series = {
	won_amount: ['Won amount', (row) => Number(row.won_amount.amount)],
	new: ['New leads', (row) => row.leads_new],
	won: ['Won deals', (row) => row.won],
};

function shift(now, { days = 0, months = 0 }) {
	return new Date(now.getFullYear(), now.getMonth() + months, now.getDate() + days);
}

/** The period in calendar days of this time zone; the same all day, so answers can be cached. */
function range(period) {
	const now = new Date();
	const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
	const from = periods[period][1](now);
	return from ? { from: date(from), to: date(shift(now, { days: 1 })), tz } : { tz };
}

const date = (day) =>
	[day.getFullYear(), day.getMonth() + 1, day.getDate()]
		.map((part) => String(part).padStart(2, '0'))
		.join('-');

const tiles = [
	['New leads', (data) => number(data.leads.new), () => 'in the period'],
	['Converted', (data) => number(data.leads.converted), () => 'in the period'],
	['Conversion rate', (data) => percent(data.leads.conversion_rate), () => 'converted ÷ new'],
	[
		'Open pipeline',
		(data) => money(data.deals.open_amount, true),
		(data) => `${number(data.deals.open)} deals`,
	],
	['Weighted', (data) => money(data.deals.weighted_amount, true), () => 'amount × probability'],
	[
		'Won',
		(data) => money(data.deals.won_amount, true),
		(data) => `${number(data.deals.won)} deals`,
	],
	[
		'Win rate',
		(data) => percent(data.deals.win_rate),
		(data) => `${number(data.deals.lost)} lost`,
	],
	[
		'Average cycle',
		(data) =>
			data.deals.avg_cycle_days == null
				? '–'
				: `${decimal(Number(data.deals.avg_cycle_days))} days`,
		() => 'from opened to won',
	],
];

export function dashboard(main, params) {
	let period = periods[params.get('period')] ? params.get('period') : '12m';
	let figure = 'won_amount';
	let last = null;
	const abort = new AbortController();

	const select = h(
		'select',
		{
			id: 'period',
			onchange: () => {
				location.hash = `#/dashboard?period=${select.value}`;
			},
		},
		Object.entries(periods).map(([value, [label]]) =>
			h('option', { value, selected: value === period }, label),
		),
	);
	const grid = h('dl', { class: 'tiles', 'aria-busy': 'true' });
	const cells = tiles.map(([label]) => {
		const value = h('dd.tile-value', h('span.skeleton'));
		const note = h('dd.tile-note');
		grid.append(
			h('div', { class: 'tile', dataset: { tile: label } }, h('dt', label), value, note),
		);
		return { value, note };
	});
	const chart = h('div.chart-box');
	const choice = h(
		'div',
		{ class: 'segments', role: 'group', 'aria-label': 'Figure of the chart' },
		Object.entries(series).map(([key, [label]]) =>
			h(
				'button',
				{
					type: 'button',
					'aria-pressed': String(key === figure),
					onclick(event) {
						figure = key;
						for (const other of choice.children)
							other.setAttribute(
								'aria-pressed',
								String(other === event.currentTarget),
							);
						draw();
					},
				},
				label,
			),
		),
	);

	fill(
		main,
		h(
			'div.page-head',
			h('h1', 'Dashboard'),
			h('div.tools', h('label', { for: 'period', class: 'unseen' }, 'Period'), select),
		),
		grid,
		h(
			'section',
			{ class: 'card', 'aria-label': 'By month' },
			h('div.card-head', h('h2', 'By month'), choice),
			chart,
		),
	);

	function draw() {
		const rows = last?.series ?? [];
		if (!rows.length)
			return fill(chart, h('p.empty', last ? 'Nothing happened in this period yet.' : ''));
		const [caption, pick] = series[figure];
		const currency = last.deals.won_amount?.currency;
		const text = (value) =>
			figure === 'won_amount' ? money({ amount: value, currency }) : number(value);
		const short = (value) =>
			new Intl.NumberFormat(undefined, {
				notation: 'compact',
				maximumFractionDigits: 1,
			}).format(value);
		fill(
			chart,
			bars(
				caption,
				rows.map((row) => ({ label: month(row), value: pick(row), text: text(pick(row)) })),
				short,
				Math.max(280, chart.clientWidth - 40),
			),
		);
	}

	async function load() {
		const data = await get('/v1/dashboard', range(period), { signal: abort.signal });
		tiles.forEach(([, value, note], at) => {
			const text = value(data);
			const changed = last && cells[at].value.textContent !== text;
			cells[at].value.textContent = text;
			cells[at].note.textContent = note(data);
			if (changed) flash(cells[at].value);
		});
		grid.setAttribute('aria-busy', 'false');
		last = data;
		draw();
	}

	const reload = coalesce(load, 150);
	const silence = onEvent(reload);
	const resized = new ResizeObserver(coalesce(draw, 50));
	resized.observe(main);
	reload();

	return {
		update(next) {
			const wanted = periods[next.get('period')] ? next.get('period') : '12m';
			if (wanted === period) return;
			period = wanted;
			select.value = period;
			last = null;
			reload();
		},
		close() {
			silence();
			resized.disconnect();
			abort.abort();
		},
	};
}

function month(row) {
	const [year, number] = row.bucket.split('-').map(Number);
	return new Date(year, number - 1, 1).toLocaleDateString(undefined, {
		month: 'short',
		year: '2-digit',
	});
}

function flash(el) {
	el.classList.remove('flash');
	void el.offsetWidth; // restarts the animation
	el.classList.add('flash');
}
