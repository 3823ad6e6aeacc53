// The shell: signed in or not, navigation, and which page the address (#/page?state) asks for.

import { me, onSignedOut, signOut } from './api.js';
import { dashboard } from './dashboard.js';
import { deals } from './deals.js';
import { failed, fill, h, icon, title, toast } from './dom.js';
import { leads } from './leads.js';
import * as live from './live.js';
import { forget } from './people.js';
import { showReminders } from './reminders.js';
import { scoring } from './scoring.js';
import { signInPage } from './signin.js';

const pages = {
	dashboard: { title: 'Dashboard', open: dashboard },
	leads: { title: 'Leads', open: leads },
	deals: { title: 'Deals', open: deals },
	scoring: { title: 'Scoring', open: scoring },
};

const app = document.getElementById('app');
let main = null;
let current = null; // {name, close, update}

/** The address as page name and parameters. */
function address() {
	const [name, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
	return { name: pages[name] ? name : 'dashboard', params: new URLSearchParams(query) };
}

function show() {
	if (!me()) return showSignIn();
	if (!main) showShell();
	const { name, params } = address();
	if (current?.name === name) return current.update(params);
	leave();
	document.title = `${pages[name].title} · SalesHub`;
	for (const link of app.querySelectorAll('nav a')) {
		if (link.dataset.page === name) link.setAttribute('aria-current', 'page');
		else link.removeAttribute('aria-current');
	}
	fill(main);
	current = { name, ...pages[name].open(main, params) };
}

function leave() {
	current?.close();
	current = null;
}

function showSignIn() {
	leave();
	main = null;
	live.stop();
	document.title = 'Sign in · SalesHub';
	fill(
		app,
		signInPage(() => show()),
	);
	app.querySelector('input')?.focus();
}

function showShell() {
	main = h('main', { id: 'main', tabindex: '-1' });
	const member = me();
	const dot = h('span', { class: 'live', role: 'status' });
	fill(
		app,
		h(
			'div.shell',
			h(
				'header.side',
				h(
					'a',
					{ class: 'brand', href: '#/dashboard' },
					h('img', { src: 'icon.svg', alt: '', width: 28, height: 28 }),
					'SalesHub',
				),
				h(
					'nav',
					{ 'aria-label': 'Main' },
					Object.entries(pages).map(([name, page]) =>
						h(
							'a',
							{ href: `#/${name}`, dataset: { page: name } },
							icon(name),
							h('span', page.title),
						),
					),
				),
				h(
					'div.account',
					dot,
					h(
						'div.who',
						h('strong', member.name),
						h('span', member.email),
						h('span', title(member.role)),
					),
					h(
						'button',
						{ type: 'button', class: 'button quiet', onclick: leaveAccount },
						icon('exit'),
						'Sign out',
					),
				),
			),
			main,
		),
	);
	const words = {
		live: 'Live',
		connecting: 'Connecting',
		waiting: 'Reconnecting',
		off: 'Offline',
	};
	live.onState((state) => {
		dot.dataset.state = state;
		dot.textContent = words[state];
	});
	live.start();
}

async function leaveAccount() {
	try {
		await signOut();
	} catch (problem) {
		failed(problem);
	}
}

onSignedOut(() => {
	forget();
	toast('You are signed out.');
	showSignIn();
});
document.querySelector('.skip').addEventListener('click', (event) => {
	event.preventDefault();
	main?.focus();
});
addEventListener('hashchange', show);
showReminders();
show();
