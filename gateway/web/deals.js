// The board of deals: one column a stage, moved by choosing another stage, kept current by events.

import { get } from './api.js';
import { button, coalesce, day, failed, fill, h, money, number } from './dom.js';
import { dealPanel } from './deal_panel.js';
import { stageSelect } from './deal_stage.js';
import { exportButton } from './export.js';
import { onEvent } from './live.js';
import { ownerName, people } from './people.js';

const PAGE = 20;

const parse = (params) => ({ pipeline: params.get('pipeline'), open: params.get('open') });

export function deals(main, params) {
	let view = parse(params);
	let pipelines = [];
	let pipeline = null;
	let names = new Map();
	let panel = null;
	let columns = []; // {stage, limit, total, cards, head, list, more}
	let stale = null; // stage ids to read again; null: all

	const choice = h('select', {
		'aria-label': 'Pipeline',
		hidden: true,
		onchange: () => go({ pipeline: choice.value }),
	});
	const board = h('div', {
		class: 'board',
		tabindex: '0',
		role: 'region',
		'aria-label': 'Deals by stage',
	});
	const side = h('div.side-panel');
	const take = exportButton('deals', () => ({ pipeline_id: pipeline?.id }));
	fill(main, h('div.page-head', h('h1', 'Deals'), h('div.tools', choice, take)), board, side);

	function go(change) {
		const wanted = { ...view, ...change };
		const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
		location.hash = `#/deals${query.size ? `?${query}` : ''}`;
	}

	async function begin() {
		[{ data: pipelines }, names] = await Promise.all([get('/v1/pipelines'), people()]);
		fill(
			choice,
			pipelines.map((one) => h('option', { value: one.id }, one.name)),
		);
		choice.hidden = pipelines.length < 2;
		openPipeline();
		showPanel();
	}

	function openPipeline() {
		pipeline =
			pipelines.find((one) => one.id === view.pipeline) ??
			pipelines.find((one) => one.is_default) ??
			pipelines[0];
		if (!pipeline) return fill(board, h('p.empty', 'There is no pipeline yet.'));
		choice.value = pipeline.id;
		columns = pipeline.stages.map((stage) => {
			const column = {
				stage,
				limit: PAGE,
				head: h('div.column-head'),
				list: h('ul.cards'),
			};
			column.more = button(
				'More',
				() => {
					column.limit += PAGE;
					loadColumn(column).catch(failed);
				},
				{ class: 'quiet', hidden: true },
			);
			column.el = h(
				'section',
				{ class: `column column-${stage.kind}`, 'aria-label': stage.name },
				column.head,
				column.list,
				column.more,
			);
			drawHead(column);
			return column;
		});
		fill(
			board,
			columns.map((column) => column.el),
		);
		stale = null;
		reload();
	}

	function drawHead({ stage, head, total }) {
		fill(
			head,
			h('h2', stage.name),
			h('span.count', total == null ? '' : number(total)),
			h(
				'p.muted',
				stage.kind === 'open'
					? `${Math.round(Number(stage.probability))} %`
					: stage.kind === 'won'
						? 'Won'
						: 'Lost',
			),
		);
	}

	async function loadColumn(column) {
		const data = [];
		let cursor = null;
		do {
			const page = await get(
				'/v1/deals',
				{
					stage_id: column.stage.id,
					sort: '-updated_at',
					limit: Math.min(200, column.limit - data.length),
					cursor,
				},
				cursor ? {} : { headers: { Prefer: 'count=exact' } },
			);
			column.total = page.total ?? column.total;
			data.push(...page.data);
			cursor = page.next_cursor;
		} while (cursor && data.length < column.limit);
		column.more.hidden = !cursor;
		drawHead(column);
		const focused = column.list.contains(document.activeElement)
			? document.activeElement.closest('li').dataset.id
			: null;
		fill(column.list, data.map(card), !data.length && h('li.empty', 'No deals'));
		if (focused) column.list.querySelector(`[data-id="${focused}"] button`)?.focus();
	}

	function card(deal) {
		return h(
			'li',
			{ class: deal.id === view.open ? 'card open' : 'card', dataset: { id: deal.id } },
			h(
				'button',
				{ type: 'button', class: 'row-link', onclick: () => go({ open: deal.id }) },
				deal.name,
			),
			h('p.amount', money(deal.amount)),
			h(
				'p.muted',
				[
					ownerName(names, deal.owner_id),
					deal.close_date && `closes ${day(deal.close_date)}`,
				]
					.filter(Boolean)
					.join(' · '),
			),
			stageSelect(deal, pipeline, () => {
				stale = null;
				reload();
			}),
		);
	}

	const reload = coalesce(async () => {
		const wanted = columns.filter(({ stage }) => !stale || stale.has(stage.id));
		stale = new Set();
		await Promise.all(wanted.map(loadColumn));
	}, 200);

	/** A changed deal may have left a column, so every column with it and the one it is in now are read again. */
	const silence = onEvent((event) => {
		if (event.type !== 'reset' && event.entity !== 'deal') return;
		const moved =
			event.type === 'reset' ||
			event.type !== 'deal.updated' ||
			!event.changed ||
			event.changed.includes('stage_id');
		const holding = columns.find(({ list }) => list.querySelector(`[data-id="${event.id}"]`));
		if (moved || !holding) stale = null;
		else stale?.add(holding.stage.id);
		if (pipeline) reload();
	});

	function showPanel() {
		for (const el of board.querySelectorAll('.card'))
			el.classList.toggle('open', el.dataset.id === view.open);
		if (panel?.id === view.open) return;
		panel?.close();
		panel = null;
		fill(side);
		if (!view.open) return;
		const id = view.open;
		panel = dealPanel(side, id, pipelines, {
			close() {
				go({ open: null });
				board.querySelector(`[data-id="${id}"] .row-link`)?.focus();
			},
		});
	}

	begin().catch(failed);

	return {
		update(next) {
			const before = view;
			view = parse(next);
			if (before.pipeline !== view.pipeline) openPipeline();
			showPanel();
		},
		close() {
			silence();
			panel?.close();
		},
	};
}
