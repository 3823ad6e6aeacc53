// Forms: labelled fields, the server's faults shown at the field they name.

import { explain, fill, h, icon } from './dom.js';

let unique = 0;

/**
 * fields: {name, label, type, options, required, hint, wrong, value, wide, read, …}. Type "select"
 * takes options [[value, label]…]; read(text) makes the JSON value; wrong is said of a value of
 * the wrong shape. A name may be a path, as custom/tier. save(values) gets every field that has a value or was emptied (null). The
 * pointers of a thrown Problem name the fields.
 */
export function form({ fields, submit, save, cancel, extra }) {
	const note = h('p', { class: 'form-note', role: 'alert', hidden: true });
	const controls = new Map();
	const rows = fields.map((field) => {
		const id = `field-${++unique}`;
		const props = {
			id,
			name: field.name,
			value: field.value ?? '',
			autocomplete: field.autocomplete ?? 'off',
			'aria-describedby': `${id}-note`,
			'aria-required': field.required ? 'true' : null,
			inputmode: field.inputmode,
			maxlength: field.maxlength,
			placeholder: field.placeholder,
		};
		const control =
			field.type === 'select'
				? h(
						'select',
						{ ...props, value: null },
						field.options.map(([value, label]) =>
							h('option', { value, selected: value === (field.value ?? '') }, label),
						),
					)
				: field.type === 'textarea'
					? h('textarea', { ...props, rows: 3 })
					: h('input', { ...props, type: field.type ?? 'text' });
		const fault = h('p', { id: `${id}-note`, class: 'field-note' }, field.hint);
		control.addEventListener('input', () => mark(field.name, null));
		controls.set(field.name, { control, fault, field, before: control.value });
		return h(
			'div',
			{ class: field.wide ? 'field wide' : 'field' },
			h(
				'label',
				{ for: id },
				field.label,
				field.required && h('span', { class: 'required', 'aria-hidden': 'true' }, ' *'),
			),
			control,
			fault,
		);
	});
	const send = h('button', { type: 'submit', class: 'button primary' }, submit);
	const el = h(
		'form',
		{ class: 'form', novalidate: true, onsubmit },
		h('div.fields', rows),
		extra,
		note,
		h(
			'div.actions',
			cancel && h('button', { type: 'button', class: 'button', onclick: cancel }, 'Cancel'),
			send,
		),
	);

	function mark(name, text) {
		const { control, fault, field } = controls.get(name);
		if (text) control.setAttribute('aria-invalid', 'true');
		else control.removeAttribute('aria-invalid');
		fault.classList.toggle('fault', Boolean(text));
		fill(fault, text ?? field.hint);
	}

	function say(text) {
		note.hidden = !text;
		fill(note, text);
	}

	function values() {
		const out = {};
		for (const [name, { control, field, before }] of controls) {
			const text = control.value.trim();
			if (text !== '') out[name] = field.read ? field.read(text) : text;
			else if (before !== '') out[name] = null;
		}
		return out;
	}

	/** Faults at their fields; what names no field of this form is told below them. */
	function show(problem) {
		const other = [];
		for (const { pointer, detail, code } of problem.errors ?? []) {
			const path = pointer?.slice(1);
			const name = controls.has(path) ? path : path?.split('/')[0];
			const shape = code === 'invalid_format' || code === 'invalid_type';
			if (controls.has(name))
				mark(name, (shape && controls.get(name).field.wrong) || sentence(detail ?? code));
			else other.push(sentence(detail ?? code));
		}
		const marked = [...controls.values()].find(({ control }) =>
			control.hasAttribute('aria-invalid'),
		);
		say(marked ? other.join(' ') : other.join(' ') || explain(problem));
		(marked?.control ?? send).focus();
	}

	async function onsubmit(event) {
		event.preventDefault();
		say('');
		for (const [name, { control, field }] of controls) {
			mark(
				name,
				field.required && control.value.trim() === '' ? `${field.label} is needed.` : null,
			);
		}
		const missing = el.querySelector('[aria-invalid]');
		if (missing) return missing.focus();
		send.disabled = true;
		try {
			await save(values());
		} catch (problem) {
			if (problem.status === undefined) console.error(problem);
			show(problem);
		} finally {
			send.disabled = false;
		}
	}

	return el;
}

const sentence = (text) =>
	text ? text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.') : '';

/** A modal dialog with a heading; closes by Escape, by its button and by close(). */
export function dialog(heading, content, onclose) {
	const id = `dialog-${++unique}`;
	const el = h(
		'dialog',
		{ 'aria-labelledby': id },
		h(
			'div.dialog-head',
			h('h2', { id }, heading),
			h(
				'button',
				{
					type: 'button',
					class: 'button quiet square',
					'aria-label': 'Close',
					onclick: () => el.close(),
				},
				icon('close'),
			),
		),
	);
	el.append(content);
	el.addEventListener('close', () => {
		el.remove();
		onclose?.();
	});
	document.body.append(el);
	el.showModal();
	el.querySelector('.fields input, .fields select, .actions .primary')?.focus();
	return { el, close: () => el.close() };
}
