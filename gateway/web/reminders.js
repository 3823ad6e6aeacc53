// Reminders that come due while the console is open.

import { get, post } from './api.js';
import { failed, toast } from './dom.js';
import { onEvent } from './live.js';

async function remind({ reminder_id: id, activity_id: activity }) {
	const { subject } = await get(`/v1/activities/${activity}`);
	const later = () =>
		post(`/v1/reminders/${id}/snooze`, { minutes: 10 })
			.then(() => toast('You will be reminded in 10 minutes.'))
			.catch(failed);
	toast(`Reminder: ${subject}`, { seconds: 120, action: { label: 'In 10 minutes', run: later } });
}

/** For as long as somebody is signed in: events of others do not come. */
export const showReminders = () =>
	onEvent((event) => {
		if (event.type === 'reminder.due') remind(event.data).catch(failed);
	});
