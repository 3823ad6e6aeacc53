// Activities of one record: what was done and what is to do, with a line to add more.

import { get, idempotency, patch, post } from './api.js';
import { button, coalesce, failed, fill, h, title, when } from './dom.js';
import { onEvent } from './live.js';

const types = ['note', 'call', 'meeting', 'email', 'task'];

export function activityBox(entity, id) {
	const list = h('ol.activities');
	const type = h(
		'select',
		{
			'aria-label': 'Kind of activity',
			class: 'small',
			onchange: () => (due.hidden = type.value !== 'task'),
		},
		types.map((value) => h('option', { value }, title(value))),
	);
	const subject = h('input', {
		'aria-label': 'What',
		placeholder: 'Add a note, a call, a task…',
		maxlength: 200,
		autocomplete: 'off',
	});
	const due = h('input', { type: 'date', 'aria-label': 'Due', hidden: true, class: 'small' });
	const add = h('button', { type: 'submit', class: 'button' }, 'Add');
	const keys = idempotency();
	const el = h(
		'section',
		{ 'aria-label': 'Activity' },
		h('h3', 'Activity'),
		h('form', { class: 'quick', onsubmit: save }, type, subject, due, add),
		list,
	);

	async function save(event) {
		event.preventDefault();
		const text = subject.value.trim();
		if (!text) return subject.focus();
		const body = { type: type.value, subject: text, links: [{ type: entity, id }] };
		if (type.value === 'task') {
			if (due.value) body.due_at = new Date(`${due.value}T17:00`).toISOString();
		} else body.done_at = now();
		add.disabled = true;
		try {
			await post('/v1/activities', body, { headers: keys({ ...body, done_at: undefined }) });
			subject.value = '';
			reload();
		} catch (problem) {
			failed(problem);
		}
		add.disabled = false;
		subject.focus();
	}

	async function load() {
		const { data } = await get('/v1/activities', {
			[entity === 'lead' ? 'lead_id' : `${entity}_id`]: id,
			sort: '-created_at',
			limit: 50,
		});
		fill(list, data.length ? data.map(item) : h('li.muted', 'Nothing yet.'));
	}

	function item(activity) {
		const open = activity.type === 'task' && !activity.done_at;
		return h(
			'li',
			h('span', { class: `kind kind-${activity.type}` }, title(activity.type)),
			h(
				'div',
				h('p', activity.subject ?? activity.body),
				h(
					'p.muted',
					open && activity.due_at
						? ['Due ', when(activity.due_at)]
						: when(activity.done_at ?? activity.created_at),
				),
			),
			open &&
				button(
					'Done',
					async () => {
						try {
							await patch(
								`/v1/activities/${activity.id}`,
								{ done_at: now() },
								activity.version,
							);
						} catch (problem) {
							failed(problem);
						}
						reload();
					},
					{ class: 'small', icon: 'check' },
				),
		);
	}

	const reload = coalesce(load, 150);
	const silence = onEvent((event) => {
		if (event.type === 'reset' || event.entity === 'activity') reload();
	});
	reload();
	return { el, close: silence };
}

const now = () => new Date().toISOString();
