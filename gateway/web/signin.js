// Sign-in, and making a new organisation where the server allows it.

import { signIn, signUp } from './api.js';
import { h } from './dom.js';
import { form } from './form.js';

export function signInPage(done) {
	const box = h('div.signin');
	const brand = () =>
		h('div.brand', h('img', { src: 'icon.svg', alt: '', width: 36, height: 36 }), 'SalesHub');

	const show = (page) => {
		box.replaceChildren(page);
		box.querySelector('input').focus();
	};

	const enter = () =>
		h(
			'section.card',
			brand(),
			h('h1', 'Welcome back'),
			h('p.muted', 'Sign in to your organisation.'),
			form({
				fields: [
					{
						name: 'email',
						label: 'E-mail',
						type: 'email',
						autocomplete: 'username',
						required: true,
					},
					{
						name: 'password',
						label: 'Password',
						type: 'password',
						autocomplete: 'current-password',
						required: true,
					},
				],
				submit: 'Sign in',
				async save({ email, password }) {
					try {
						await signIn(email, password);
					} catch (problem) {
						if (problem.status !== 401) throw problem;
						problem.detail = 'The e-mail or the password is not right.';
						throw problem;
					}
					done();
				},
			}),
			h(
				'p.muted',
				'New here? ',
				h(
					'button',
					{ type: 'button', class: 'link', onclick: () => show(create()) },
					'Create an organisation',
				),
			),
		);

	const create = () =>
		h(
			'section.card',
			brand(),
			h('h1', 'Create an organisation'),
			h('p.muted', 'You become its administrator.'),
			form({
				fields: [
					{
						name: 'org_name',
						label: 'Organisation',
						autocomplete: 'organization',
						required: true,
					},
					{ name: 'name', label: 'Your name', autocomplete: 'name', required: true },
					{
						name: 'email',
						label: 'E-mail',
						type: 'email',
						autocomplete: 'username',
						required: true,
					},
					{
						name: 'password',
						label: 'Password',
						type: 'password',
						autocomplete: 'new-password',
						required: true,
						hint: 'At least 8 characters.',
					},
				],
				submit: 'Create',
				async save(body) {
					await signUp(body);
					done();
				},
			}),
			h(
				'p.muted',
				'You have an account? ',
				h(
					'button',
					{ type: 'button', class: 'link', onclick: () => show(enter()) },
					'Sign in',
				),
			),
		);

	box.append(enter());
	return box;
}
