// Files of one record: handed out, deleted, and one more from this machine.

import { call, download, get, sendFile } from './api.js';
import { button, coalesce, failed, fill, h, when } from './dom.js';
import { onEvent } from './live.js';

/** plural: as the paths of the server call the records. */
export function fileBox(plural, id) {
	const path = `/v1/${plural}/${id}/attachments`;
	const list = h('ol.activities');
	const pick = h('input', { type: 'file', 'aria-label': 'Add a file', onchange: send });
	const el = h(
		'section',
		{ 'aria-label': 'Files' },
		h('h3', 'Files'),
		h('div.quick', pick),
		list,
	);

	async function send() {
		const [file] = pick.files;
		if (!file) return;
		pick.disabled = true;
		try {
			await sendFile(path, file);
		} catch (problem) {
			failed(problem);
		}
		pick.value = '';
		pick.disabled = false;
		reload();
	}

	async function remove(file) {
		try {
			await call('DELETE', `/v1/attachments/${file.id}`, {
				headers: { 'If-Match': `"${file.version}"` },
			});
		} catch (problem) {
			failed(problem);
		}
		reload();
	}

	function item(file) {
		const open = () => download(`/v1/attachments/${file.id}/content`, {}).catch(failed);
		return h(
			'li',
			h('span.kind', size(file.size)),
			h('div', h('p', file.name), h('p.muted', when(file.created_at))),
			h(
				'div.panel-actions',
				button('Save', open, { class: 'small', icon: 'down', title: `Save ${file.name}` }),
				button('Delete', () => remove(file), {
					class: 'small quiet danger',
					title: `Delete ${file.name}`,
				}),
			),
		);
	}

	async function load() {
		const { data } = await get(path, { limit: 100 });
		fill(list, data.length ? data.map(item) : h('li.muted', 'No files.'));
	}

	const reload = coalesce(load, 150);
	const silence = onEvent((event) => {
		if (event.type === 'reset' || event.entity === 'attachment') reload();
	});
	reload();
	return { el, close: silence };
}

function size(bytes) {
	if (bytes < 1024) return `${bytes} B`;
	if (bytes < 1 << 20) return `${Math.round(bytes / 1024)} kB`;
	return `${(bytes / (1 << 20)).toFixed(1)} MB`;
}
