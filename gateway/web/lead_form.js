// The fields of a lead, for a new one and for changing one.

import { idempotency, post } from './api.js';
import { customFields, customInputs, nested } from './custom.js';
import { toast } from './dom.js';
import { dialog, form } from './form.js';
import { baseCurrency } from './people.js';

export const leadFields = [
	['first_name', 'First name'],
	['last_name', 'Last name'],
	['email', 'E-mail', { type: 'email', wrong: 'This is not an e-mail address.' }],
	['phone', 'Phone', { type: 'tel' }],
	['company_name', 'Company'],
	['title', 'Job title'],
	['website', 'Website', { inputmode: 'url' }],
	['source', 'Source', { hint: 'Where the lead came from, such as web or referral.' }],
	['industry', 'Industry'],
	[
		'employees',
		'Employees',
		{ inputmode: 'numeric', read: (text) => (/^\d+$/.test(text) ? Number(text) : text) },
	],
	['state', 'State'],
	['postal_code', 'Postal code'],
	['city', 'City'],
	[
		'country',
		'Country',
		{
			maxlength: 2,
			placeholder: 'DE',
			hint: 'Two letters.',
			read: (text) => text.toUpperCase(),
		},
	],
	[
		'annual_revenue',
		'Annual revenue',
		{ inputmode: 'decimal', wrong: 'This must be an amount, such as 1250000.00.' },
	],
];

/** currency: what a typed amount means. record: the values to begin with. */
export function fieldsOf(record, currency) {
	return leadFields.map(([name, label, options = {}]) => {
		const value = record?.[name];
		if (name !== 'annual_revenue')
			return { name, label, ...options, value: value == null ? '' : String(value) };
		const unit = value?.currency ?? currency;
		return {
			name,
			label: `${label} (${unit})`,
			...options,
			value: value?.amount ?? '',
			read: (text) => ({
				amount: text.replaceAll(/[\s']/g, '').replace(',', '.'),
				currency: unit,
			}),
		};
	});
}

export async function createLead(done) {
	const [currency, custom] = await Promise.all([
		baseCurrency().catch(() => 'EUR'),
		customFields('lead').catch(() => []),
	]);
	const keys = idempotency();
	const box = dialog(
		'New lead',
		form({
			fields: [...fieldsOf(null, currency), ...customInputs(custom, null)],
			submit: 'Create lead',
			cancel: () => box.close(),
			async save(values) {
				const body = nested(values);
				const lead = await post('/v1/leads', body, { headers: keys(body) });
				box.close();
				toast(`Lead created with score ${lead.score}.`, { kind: 'good' });
				done(lead);
			},
		}),
	);
}
