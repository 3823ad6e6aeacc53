// One deal beside the board: its fields, stage, activities and history.

import { get, patch } from './api.js';
import { activityBox } from './activities.js';
import { fileBox } from './files.js';
import { stageSelect } from './deal_stage.js';
import { badge, button, coalesce, day, explain, fill, h, icon, money, toast } from './dom.js';
import { form } from './form.js';
import { onEvent } from './live.js';
import { ownerName, people } from './people.js';

export function dealPanel(box, id, pipelines, { close }) {
	let deal = null;
	let names = new Map();
	let company = null;
	let contact = null;
	let editing = false;
	const path = `/v1/deals/${id}`;

	const head = h('div.panel-head');
	const details = h('section', { 'aria-label': 'Details' });
	const work = activityBox('deal', id);
	const files = fileBox('deals', id);
	const panel = h(
		'aside',
		{
			class: 'panel',
			'aria-label': 'Deal',
			tabindex: '-1',
			onkeydown(event) {
				if (event.key !== 'Escape') return;
				if (editing) stopEditing();
				else close();
			},
		},
		head,
		h('div.panel-body', details, work.el, files.el),
	);
	fill(box, panel);
	panel.focus();

	const closeButton = () =>
		h(
			'button',
			{ type: 'button', class: 'button quiet square', 'aria-label': 'Close', onclick: close },
			icon('close'),
		);

	function draw() {
		const pipeline = pipelines.find((one) => one.id === deal.pipeline_id);
		fill(
			head,
			h('div.panel-title', h('h2', deal.name), closeButton()),
			h('p.amount', money(deal.amount)),
			h(
				'div.panel-facts',
				badge(deal.status),
				h('span.muted', 'Owner: ', ownerName(names, deal.owner_id)),
			),
			h(
				'div.panel-actions',
				pipeline && stageSelect(deal, pipeline, reload),
				!editing && button('Edit', edit),
			),
		);
		if (editing) return;
		const rows = [
			['Company', company?.name],
			[
				'Contact',
				contact && [contact.first_name, contact.last_name].filter(Boolean).join(' '),
			],
			['Product', deal.product],
			['Source', deal.source],
			['Probability', deal.probability == null ? null : `${Number(deal.probability)} %`],
			['Expected close', deal.close_date && day(deal.close_date)],
			['Opened', day(deal.opened_at)],
			['Closed', deal.closed_at && day(deal.closed_at)],
			['Lost because', deal.lost_reason],
		];
		fill(
			details,
			deal.lead_id &&
				h(
					'p.made',
					h('a', { href: `#/leads?open=${deal.lead_id}` }, 'Open the lead it came from'),
				),
			h(
				'dl.facts',
				rows
					.filter(([, value]) => value)
					.map(([label, value]) => [h('dt', label), h('dd', value)]),
			),
		);
	}

	function edit() {
		editing = true;
		const base = deal;
		const currency = base.amount?.currency;
		fill(
			details,
			form({
				fields: [
					{ name: 'name', label: 'Name', required: true, value: base.name, wide: true },
					{
						name: 'amount',
						label: currency ? `Amount (${currency})` : 'Amount',
						value: base.amount?.amount ?? '',
						inputmode: 'decimal',
						read: (text) => {
							const amount = text.replaceAll(/[\s']/g, '').replace(',', '.');
							return currency ? { amount, currency } : amount;
						},
					},
					{
						name: 'close_date',
						label: 'Expected close',
						type: 'date',
						value: base.close_date ?? '',
					},
					{ name: 'product', label: 'Product', value: base.product ?? '' },
				],
				submit: 'Save',
				cancel: stopEditing,
				async save(values) {
					try {
						await patch(path, values, base.version);
					} catch (problem) {
						if (problem.status === 412) {
							problem.detail =
								'Someone else changed this deal while you were editing. Cancel to see it as it is now.';
							problem.errors = [];
						}
						throw problem;
					}
					toast('Saved.', { kind: 'good', seconds: 3 });
					stopEditing();
				},
			}),
		);
		draw();
		details.querySelector('input').focus();
	}

	function stopEditing() {
		editing = false;
		draw();
		reload();
		panel.focus();
	}

	async function load() {
		try {
			[deal, names] = await Promise.all([get(path), people()]);
		} catch (problem) {
			fill(
				head,
				h(
					'div.panel-title',
					h(
						'p.muted',
						problem.status === 404
							? 'This deal does not exist any more.'
							: explain(problem),
					),
					closeButton(),
				),
			);
			return fill(details);
		}
		const linked = (noun, linkedId) =>
			linkedId && get(`/v1/${noun}/${linkedId}`).catch(() => null);
		[company, contact] = await Promise.all([
			linked('companies', deal.company_id),
			linked('contacts', deal.contact_id),
		]);
		draw();
	}

	const reload = coalesce(load, 100);
	const silence = onEvent((event) => {
		if (event.type === 'reset' || (event.entity === 'deal' && event.id === id)) reload();
	});
	reload();

	return {
		id,
		close() {
			silence();
			work.close();
			files.close();
		},
	};
}
