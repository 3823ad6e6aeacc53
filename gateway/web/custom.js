// Custom fields in forms and panels. A value goes by the name custom/<key>, which is where the
// server's faults point.

import { get } from './api.js';
import { when } from './dom.js';

export async function customFields(entity) {
	const page = await get('/v1/custom-fields', { entity, active: true, limit: 200 });
	return page.data;
}

const nameOf = (field) => `custom/${field.key}`;

/** As the other fields are listed: [name, label]. */
export const labelled = (fields) => fields.map((field) => [nameOf(field), field.label]);

/** The record with its custom values beside the others. */
export function flat(record, fields) {
	if (!record) return record;
	const out = { ...record };
	for (const field of fields) out[nameOf(field)] = record.custom?.[field.key];
	return out;
}

/** A body with its custom values where they belong. */
export function nested(body) {
	const out = {};
	for (const [name, value] of Object.entries(body)) {
		if (name.startsWith('custom/')) out.custom = { ...out.custom, [name.slice(7)]: value };
		else out[name] = value;
	}
	return out;
}

const optionLabel = (field, key) =>
	field.options.find((option) => option.key === key)?.label ?? key;

/** A value as people read it. */
export function shown(field, value) {
	if (field.type === 'boolean') return value ? 'Yes' : 'No';
	if (field.type === 'timestamp') return when(value);
	return [value].flat().map((one) => optionLabel(field, one)).join(', ');
}

const number = (text) => (/^[-+]?\d+([.,]\d+)?$/.test(text) ? Number(text.replace(',', '.')) : text);

const split = (text) =>
	text
		.split(',')
		.map((part) => part.trim())
		.filter(Boolean);

function control(field, value) {
	const open = field.options.filter((option) => option.active || [value].flat().includes(option.key));
	switch (field.type) {
		case 'enum':
			return {
				type: 'select',
				options: [['', '–'], ...open.map((option) => [option.key, option.label])],
			};
		case 'boolean':
			return {
				type: 'select',
				options: [
					['', '–'],
					['true', 'Yes'],
					['false', 'No'],
				],
				read: (text) => text === 'true',
			};
		case 'multi_enum':
			return { read: split, hint: `Of ${open.map((option) => option.key).join(', ')}.` };
		case 'number':
		case 'integer':
			return { inputmode: 'decimal', read: number, wrong: 'This must be a number.' };
		case 'date':
			return { type: 'date' };
		case 'long_text':
			return { type: 'textarea', wide: true };
		case 'timestamp':
			return { hint: 'As 2026-12-31T23:59:00Z.' };
		default:
			return {};
	}
}

/** The fields of a form; record has the values to begin with. */
export function customInputs(fields, record) {
	return fields.map((field) => {
		const value = record?.custom?.[field.key];
		const made = control(field, value ?? field.default ?? '');
		return {
			name: nameOf(field),
			label: field.label,
			// An old record may go on without it.
			required: field.required && (!record || value != null),
			...made,
			hint: field.description ?? made.hint,
			value: String((record ? value : field.default) ?? ''),
		};
	});
}
