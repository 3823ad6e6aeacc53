// An organisation of its own for a test, made by sign-up as a stranger would.
import { randomUUID } from 'node:crypto';

/* The signed-in administrator of a new organisation. */
export async function newOrganisation(s, org_name = 'Second Organisation')
{
	const email = `${randomUUID()}@stranger.example`;
	const password = 'correct horse battery staple';
	const answer = await s.call('POST', '/v1/auth/sign-up',
		{ org_name, name: 'Some Body', email, password });
	if (answer.status !== 201)
		throw new Error(`sign-up answered ${answer.status}: ${answer.text}`);
	const session = await s.signIn(email, password);
	return Object.assign(session, { email, password });
}
