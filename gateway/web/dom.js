// Small helpers for building pages: elements, formats, toasts.

const SVG = 'http://www.w3.org/2000/svg';
const svgTags = new Set([
	'svg',
	'path',
	'rect',
	'line',
	'circle',
	'g',
	'text',
	'title',
	'polyline',
]);

/**
 * Makes an element: h('p.note', { title: 'x' }, 'text'). Properties may be left out; in them, names
 * with "on" are listeners, true is an empty attribute, null and false are nothing. Children may be
 * nested arrays; strings become text, never markup.
 */
export function h(selector, ...rest) {
	const [tag, ...classes] = selector.split('.');
	const el = svgTags.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
	const plain = rest[0]?.constructor === Object;
	const { class: extra, ...props } = plain ? rest.shift() : {};
	if (extra) classes.push(...extra.split(' '));
	if (classes.length) el.setAttribute('class', classes.join(' '));
	for (const [key, value] of Object.entries(props)) {
		if (value == null || value === false) continue;
		if (key.startsWith('on')) el.addEventListener(key.slice(2), value);
		else if (key === 'value') el.value = value;
		else if (key === 'dataset') Object.assign(el.dataset, value);
		else el.setAttribute(key, value === true ? '' : value);
	}
	append(el, rest);
	return el;
}

function append(el, children) {
	for (const child of children.flat(Infinity)) {
		if (child != null && child !== false) el.append(child);
	}
}

export function fill(el, ...children) {
	el.replaceChildren();
	append(el, children);
	return el;
}

const paths = {
	dashboard: 'M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z',
	leads: 'M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM2.5 20a6.5 6.5 0 0 1 13 0M16 4a3.6 3.6 0 0 1 0 7M18 14a6 6 0 0 1 3.5 5.5',
	deals: 'M4 5h4v14H4zM10 5h4v9h-4zM16 5h4v6h-4z',
	scoring: 'M4 20V4M4 20h16M7 15l4-4 3 3 6-7',
	close: 'M6 6l12 12M18 6 6 18',
	plus: 'M12 5v14M5 12h14',
	exit: 'M10 4H5v16h5M15 8l4 4-4 4M19 12H9',
	check: 'M5 12.5 10 17l9-10',
	arrow: 'M5 12h14M13 6l6 6-6 6',
	down: 'M12 4v11M7 10.5l5 5 5-5M5 20h14',
};

export function icon(name) {
	return h(
		'svg',
		{ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' },
		h('path', { d: paths[name] }),
	);
}

export function button(label, onclick, options = {}) {
	const { icon: name, class: extra = '', ...rest } = options;
	return h(
		'button',
		{ type: 'button', class: `button ${extra}`, onclick, ...rest },
		name && icon(name),
		label,
	);
}

export const number = (value) => (value == null ? '–' : new Intl.NumberFormat().format(value));
export const decimal = (value) =>
	value == null
		? '–'
		: new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(value);
export const percent = (value) =>
	value == null
		? '–'
		: new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 }).format(
				value,
			);

export function money(value, compact = false) {
	if (value == null) return '–';
	const amount = Number(value.amount ?? value);
	const options =
		compact && Math.abs(amount) >= 1e5
			? { notation: 'compact', maximumFractionDigits: 2 }
			: { maximumFractionDigits: 0 };
	if (!value.currency) return new Intl.NumberFormat(undefined, options).format(amount);
	return new Intl.NumberFormat(undefined, {
		style: 'currency',
		currency: value.currency,
		...options,
	}).format(amount);
}

export function day(value) {
	if (!value) return '–';
	const date = new Date(value.length === 10 ? `${value}T00:00` : value);
	const year = date.getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
	return date.toLocaleDateString(undefined, { year, month: 'short', day: 'numeric' });
}

/** "3 min ago" with the exact time as tooltip. */
export function when(value) {
	if (!value) return '–';
	const date = new Date(value);
	const seconds = (date - Date.now()) / 1000;
	const steps = [
		[60, 'second', 1],
		[3600, 'minute', 60],
		[86400, 'hour', 3600],
		[86400 * 30, 'day', 86400],
	];
	const step = steps.find(([limit]) => Math.abs(seconds) < limit);
	const text = step
		? new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' }).format(
				Math.round(seconds / step[2]),
				step[1],
			)
		: day(value);
	return h('time', { datetime: value, title: date.toLocaleString() }, text);
}

export const title = (text) =>
	text ? text.charAt(0).toUpperCase() + text.slice(1).replaceAll('_', ' ') : '';

export const fullName = (record) =>
	[record.first_name, record.last_name].filter(Boolean).join(' ') ||
	record.company_name ||
	record.name ||
	record.email ||
	'Unnamed';

export function badge(status) {
	return h('span', { class: `badge badge-${status}` }, title(status));
}

export function score(record) {
	return h(
		'span',
		{ class: `score score-${record.grade?.[0] ?? 'E'}`, title: `Grade ${record.grade ?? '–'}` },
		h('b', String(Math.round(record.score ?? 0))),
		record.grade && h('span', record.grade),
	);
}

/** A line of a list of reasons: what, a bar of how much beside `top`, and that in words. */
export const reason = (what, value, top, words) =>
	h(
		'li',
		h('span', what),
		h('meter', {
			class: value < 0 ? 'minus' : '',
			min: 0,
			max: top,
			value: Math.abs(value),
			'aria-hidden': 'true',
		}),
		h('b', words),
	);

/** What a model calls a field, as people do. */
export const featureTitle = (name) => title(name.replace(/^custom\./, ''));

/** A short message at the corner; action {label, run} adds a button to it. */
export function toast(text, { kind = 'info', action, seconds = 6 } = {}) {
	const box = document.getElementById('toasts');
	const el = h(
		'div',
		{ class: `toast toast-${kind}` },
		h('span', text),
		action &&
			h(
				'button',
				{
					type: 'button',
					onclick: () => {
						el.remove();
						action.run();
					},
				},
				action.label,
			),
		h(
			'button',
			{
				type: 'button',
				class: 'toast-close',
				'aria-label': 'Dismiss',
				onclick: () => el.remove(),
			},
			icon('close'),
		),
	);
	box.append(el);
	while (box.children.length > 3) box.firstChild.remove();
	setTimeout(() => el.remove(), seconds * 1000);
}

export const explain = (problem) =>
	problem.detail || problem.title || problem.message || 'Something went wrong.';

export function failed(problem) {
	if (problem.name === 'AbortError' || problem.status === 401) return;
	toast(explain(problem), { kind: 'error', seconds: 10 });
}

/** Runs fn at most once at a time and never less than `ms` apart; a call during a run causes one more. */
export function coalesce(fn, ms = 250) {
	let timer = null;
	let running = false;
	let again = false;
	const run = async () => {
		timer = null;
		running = true;
		try {
			await fn();
		} catch (problem) {
			failed(problem);
		}
		running = false;
		if (again) {
			again = false;
			ask();
		}
	};
	const ask = () => {
		if (running) again = true;
		else timer ??= setTimeout(run, ms);
	};
	return ask;
}
