// Moving a deal to another stage; a lost one is asked for its reason.

import { patch } from './api.js';
import { failed, h, toast } from './dom.js';
import { dialog, form } from './form.js';

/** done() is called whether or not the move succeeded: what is shown must be read again. */
export function stageSelect(deal, pipeline, done) {
	const select = h(
		'select',
		{
			'aria-label': `Stage of ${deal.name}`,
			class: 'small',
			async onchange() {
				const stage = pipeline.stages.find((one) => one.id === select.value);
				select.disabled = true;
				try {
					if (stage.kind === 'lost') await lose(deal, stage);
					else await move(deal, stage);
				} catch (problem) {
					if (problem.status === 412)
						toast(
							'Someone else changed this deal just now. It is shown as it is now.',
							{ kind: 'error' },
						);
					else failed(problem);
				}
				select.disabled = false;
				done();
			},
		},
		pipeline.stages.map((stage) =>
			h('option', { value: stage.id, selected: stage.id === deal.stage_id }, stage.name),
		),
	);
	return select;
}

async function move(deal, stage, reason) {
	const body = { stage_id: stage.id };
	if (reason) body.lost_reason = reason;
	await patch(`/v1/deals/${deal.id}`, body, deal.version);
	toast(`${deal.name}: ${stage.name}.`, {
		kind: stage.kind === 'won' ? 'good' : 'info',
		seconds: 4,
	});
}

function lose(deal, stage) {
	return new Promise((done) => {
		const box = dialog(
			`${deal.name} is lost`,
			form({
				fields: [
					{
						name: 'reason',
						label: 'Why',
						required: true,
						wide: true,
						placeholder: 'Price, timing, a competitor…',
					},
				],
				submit: 'Mark as lost',
				cancel: () => box.close(),
				async save({ reason }) {
					await move(deal, stage, reason);
					box.close();
				},
			}),
			done,
		);
	});
}
