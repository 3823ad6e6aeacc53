// Converting a lead into contact, company and deal.

import { idempotency, post } from './api.js';
import { fill, fullName, h, toast } from './dom.js';
import { dialog, form } from './form.js';
import { baseCurrency } from './people.js';

export async function convertLead(lead, done) {
	const currency = await baseCurrency().catch(() => 'EUR');
	const keys = idempotency();
	const choices = {}; // noun -> {mode: 'link', id}, after the server found several
	const withDeal = h('input', {
		type: 'checkbox',
		id: 'with-deal',
		checked: true,
		onchange: () => el.querySelector('.fields').toggleAttribute('hidden', !withDeal.checked),
	});
	const asked = h('div.asked');

	const el = form({
		fields: [
			{ name: 'name', label: 'Deal name', value: lead.company_name ?? fullName(lead) },
			{
				name: 'amount',
				label: `Amount (${currency})`,
				inputmode: 'decimal',
				read: (text) => text.replaceAll(/[\s']/g, '').replace(',', '.'),
			},
			{ name: 'close_date', label: 'Expected close', type: 'date' },
		],
		extra: asked,
		submit: 'Convert',
		cancel: () => box.close(),
		async save({ name, amount, close_date }) {
			const deal = withDeal.checked
				? {
						mode: 'create',
						name: name ?? undefined,
						amount: amount ?? undefined,
						currency: amount ? currency : undefined,
						close_date: close_date ?? undefined,
					}
				: { mode: 'skip' };
			const body = JSON.parse(JSON.stringify({ ...choices, deal }));
			let result;
			try {
				result = await post(`/v1/leads/${lead.id}/convert`, body, { headers: keys(body) });
			} catch (problem) {
				if (problem.code !== 'ambiguous' || !problem.candidates) throw problem;
				return ask(problem.candidates);
			}
			box.close();
			const open = result.deal && {
				label: 'Open the deal',
				run: () => {
					location.hash = `#/deals?open=${result.deal.id ?? result.deal}`;
				},
			};
			toast(
				result.replayed
					? 'This lead was converted before.'
					: `${fullName(lead)} is converted.`,
				{ kind: 'good', action: open, seconds: 10 },
			);
			done();
		},
	});

	/** candidates: {company: [{id, name, …}], contact: […]} or a list of {type, id, name}. */
	function ask(candidates) {
		const groups = Array.isArray(candidates)
			? Object.groupBy(candidates, (found) => found.type ?? found.entity)
			: candidates;
		fill(
			asked,
			h('p', { role: 'alert' }, 'There is more than one match. Which one is it?'),
			Object.entries(groups).map(([noun, found]) =>
				h(
					'fieldset',
					h('legend', noun === 'company' ? 'Company' : 'Contact'),
					[...found, null].map((one, at) => {
						const pick = () => {
							choices[noun] = one ? { mode: 'link', id: one.id } : { mode: 'create' };
						};
						if (at === 0) pick();
						return h(
							'label.choice',
							h('input', {
								type: 'radio',
								name: `pick-${noun}`,
								checked: at === 0,
								onchange: pick,
							}),
							one
								? [
										one.name ?? fullName(one),
										(one.email ?? one.domain) &&
											h('span.muted', ` ${one.email ?? one.domain}`),
									]
								: 'None of them: create a new one',
						);
					}),
				),
			),
		);
		asked.querySelector('input')?.focus();
	}

	el.prepend(
		h(
			'p.muted',
			'Makes a contact and a company, or finds the ones you have, and carries the activities over. One step, all or nothing.',
		),
		h('label', { class: 'choice', for: 'with-deal' }, withDeal, 'Also create a deal'),
	);
	const box = dialog(`Convert ${fullName(lead)}`, el);
}
