// The button that hands out what a list shows, all of it, as a file for a spreadsheet.

import { download } from './api.js';
import { button, failed } from './dom.js';

/** type: as the server calls it; query: what the list asks for now. */
export function exportButton(type, query) {
	const control = button(
		'Export CSV',
		async () => {
			control.disabled = true;
			try {
				await download('/v1/exports', { ...query(), type, format: 'csv', bom: true });
			} catch (problem) {
				failed(problem);
			} finally {
				control.disabled = false;
			}
		},
		{ icon: 'down' },
	);
	return control;
}
