// A bar chart of months in SVG, with the same figures as a table for those who do not see it.

import { h } from './dom.js';

const HEIGHT = 240;
const PAD = { left: 56, right: 8, top: 14, bottom: 26 };

/**
 * rows: {label, value, text}; text is how a value reads. scale(value): the label of an axis line.
 * outer: the width there is, in pixels.
 */
export function bars(caption, rows, scale, outer) {
	const top = nice(Math.max(...rows.map((row) => row.value), 1));
	const inner = { width: outer - PAD.left - PAD.right, height: HEIGHT - PAD.top - PAD.bottom };
	const y = (value) => PAD.top + inner.height * (1 - value / top);
	const step = inner.width / rows.length;
	const width = Math.min(36, step * 0.62);
	const every = Math.ceil((rows.length * 52) / inner.width);
	const lines = [0, 0.25, 0.5, 0.75, 1].map((part) => part * top);
	return h(
		'figure.chart',
		h(
			'svg',
			{
				viewBox: `0 0 ${outer} ${HEIGHT}`,
				role: 'img',
				'aria-label': `${caption}, by month; the figures are in the table that follows`,
			},
			lines.map((value) => [
				h('line', {
					x1: PAD.left,
					x2: outer - PAD.right,
					y1: y(value),
					y2: y(value),
					class: 'grid',
				}),
				h('text', { x: PAD.left - 8, y: y(value) + 4, 'text-anchor': 'end' }, scale(value)),
			]),
			rows.map((row, at) => {
				const x = PAD.left + step * (at + 0.5);
				const height = Math.max(row.value > 0 ? 2 : 0, inner.height * (row.value / top));
				return h(
					'g.bar',
					h('title', `${row.label}: ${row.text}`),
					h('rect', {
						class: 'hit',
						x: x - step / 2,
						y: PAD.top,
						width: step,
						height: inner.height,
					}),
					h('rect', {
						class: 'fill',
						x: x - width / 2,
						y: PAD.top + inner.height - height,
						width,
						height,
						rx: Math.min(4, height),
					}),
					at % every === 0 &&
						h('text', { x, y: HEIGHT - 8, 'text-anchor': 'middle' }, row.label),
				);
			}),
		),
		h(
			'table.unseen',
			h('caption', caption),
			h(
				'tbody',
				rows.map((row) => h('tr', h('th', { scope: 'row' }, row.label), h('td', row.text))),
			),
		),
	);
}

/** The next of 1, 2, 4, 6, 8, 10 × 10^n: four equal parts read well. */
function nice(value) {
	const unit = 10 ** Math.floor(Math.log10(value));
	return [1, 2, 4, 6, 8, 10].map((step) => step * unit).find((step) => step >= value);
}
