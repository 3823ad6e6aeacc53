// The models that tell the chances of leads and deals: how good they are, and training them.

import { get, me, post } from './api.js';
import {
	button,
	decimal,
	failed,
	featureTitle,
	fill,
	h,
	number,
	percent,
	reason,
	toast,
	when,
} from './dom.js';

const SIZE = 220;
const PAD = 34;

/** Reliability: what was told against what came, ten groups of equal size. */
function reliability(bins) {
	const x = (value) => PAD + value * (SIZE - 2 * PAD);
	const y = (value) => SIZE - x(value);
	return h(
		'figure.reliability',
		h(
			'svg',
			{
				viewBox: `0 0 ${SIZE} ${SIZE}`,
				role: 'img',
				'aria-label': 'Chances told against what came of them; the figures are in the table',
			},
			[0, 0.5, 1].map((value) => [
				h('line', { class: 'grid', x1: x(0), x2: x(1), y1: y(value), y2: y(value) }),
				h('text', { x: x(0) - 6, y: y(value) + 4, 'text-anchor': 'end' }, percent(value)),
				h('text', { x: x(value), y: SIZE - 12, 'text-anchor': 'middle' }, percent(value)),
			]),
			h('line', { class: 'ideal', x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
			bins.map((bin) =>
				h(
					'circle',
					{ cx: x(bin.predicted), cy: y(bin.observed), r: 4 },
					h(
						'title',
						`told ${percent(bin.predicted)}, came ${percent(bin.observed)} (${bin.n})`,
					),
				),
			),
		),
		h('figcaption', 'Told (across) and came (up): on the line is right'),
		h(
			'table',
			h('tr', h('th', 'Told'), h('th', 'Came'), h('th', 'Records')),
			bins.map((bin) =>
				h(
					'tr',
					h('td', percent(bin.predicted)),
					h('td', percent(bin.observed)),
					h('td', bin.n),
				),
			),
		),
	);
}

const figure = (label, value) => h('div', h('dt', label), h('dd', value));

function card(name, model) {
	return h(
		'section.model',
		h('h3', name, h('span.muted', ` version ${model.version}, trained `, when(model.trained_at))),
		model.reason && h('p.muted', `${model.reason[0].toUpperCase()}${model.reason.slice(1)}.`),
		h(
			'dl.figures',
			figure('Records', number(model.n)),
			figure('Won', number(model.won)),
			figure('Lost', number(model.lost)),
			figure(
				'Base rate',
				model.base_rate == null
					? '–'
					: [
							percent(model.base_rate),
							model.base_rate_interval &&
								h(
									'small.muted',
									` ${model.base_rate_interval.map(percent).join(' to ')}`,
								),
						],
			),
			model.auc != null && [
				figure('AUC', model.auc.toFixed(3)),
				figure('Log loss', model.log_loss.toFixed(3)),
				figure('Calibration error', percent(model.ece10)),
				figure('Lift of the best tenth', `${decimal(model.lift10)} ×`),
			],
			model.drift?.psi_score != null &&
				figure('Drift (PSI)', Number(model.drift.psi_score).toFixed(3)),
		),
		model.reliability && reliability(model.reliability),
		model.features?.length > 0 &&
			h(
				'details',
				h('summary', 'What it looks at'),
				h(
					'ul.reasons',
					[...model.features]
						.sort((a, b) => b.weight - a.weight)
						.map((feature) =>
							reason(
								featureTitle(feature.feature),
								feature.weight,
								Math.max(...model.features.map((f) => f.weight), 0.001),
								feature.weight.toFixed(2),
							),
						),
				),
			),
	);
}

export function scoring(main) {
	const may = ['admin', 'manager'].includes(me().role);
	const parts = { lead: h('section.card'), deal: h('section.card') };
	let closed = false;
	let timer = null;

	async function draw(entity) {
		const model = await get('/v1/scoring/model', { entity });
		if (closed) return;
		const status = h('p.muted', { role: 'status' });
		fill(
			parts[entity],
			h(
				'div.page-head',
				h('h2', entity === 'lead' ? 'Conversion of leads' : 'Winning of deals'),
				may && button('Train', (event) => train(entity, event.currentTarget, status)),
			),
			status,
			model.champion
				? card('In use', model.champion)
				: !model.insufficient && h('p.muted', 'No model yet.'),
			model.challenger && card('Challenger', model.challenger),
			model.insufficient && card('Not enough to go by', model.insufficient),
		);
	}

	async function train(entity, pressed, status) {
		pressed.disabled = true;
		try {
			let job = await post('/v1/scoring/train', { entity });
			const stop = button('Stop', () =>
				post(`/v1/scoring/train/${job.id}/cancel`, {}).catch(failed),
			);
			const bar = h('progress', { max: 1, value: 0, 'aria-label': 'Training' });
			const text = h('span');
			fill(status, bar, ' ', text, ' ', stop);
			while (!closed && ['queued', 'running'].includes(job.state)) {
				bar.value = job.progress;
				text.textContent = job.phase ?? job.state;
				await new Promise((done) => {
					timer = setTimeout(done, 500);
				});
				job = await get(`/v1/scoring/train/${job.id}`);
			}
			if (closed) return;
			if (job.fault) failed(job.fault);
			else toast(job.state === 'done' ? 'The model is trained.' : 'The training was stopped.');
			await draw(entity);
		} catch (problem) {
			failed(problem);
			pressed.disabled = false;
		}
	}

	fill(main, h('div.page-head', h('h1', 'Scoring')), parts.lead, parts.deal);
	for (const entity of Object.keys(parts)) draw(entity).catch(failed);
	return {
		update() {},
		close() {
			closed = true;
			clearTimeout(timer);
		},
	};
}
