// A connection for tests that write HTTP by hand, because no client sends such things.
//
//   const answers = await new RawConnection(s.url).write('GET / HTTP/1.1\r\n...').count(1);
import net from 'node:net';
import { waitFor } from './stack.mjs';

// Answers in a byte stream: [{status, headers, body}].
function parse(bytes)
{
	const answers = [];
	let text = bytes.toString('latin1');
	for (;;)
	{
		const end = text.indexOf('\r\n\r\n');
		const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1];
		if (end < 0 || !status)
			return answers;
		const headers = Object.fromEntries(text.slice(0, end).split('\r\n').slice(1)
			.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(),
				line.slice(line.indexOf(':') + 1).trim()]));
		const length = Number(headers['content-length'] ?? 0);
		if (text.length < end + 4 + length)
			return answers;
		answers.push({
			status: Number(status), headers, body: text.slice(end + 4, end + 4 + length),
		});
		text = text.slice(end + 4 + length);
	}
}

export class RawConnection
{
	constructor(url)
	{
		const { hostname, port } = new URL(url);
		this.bytes = Buffer.alloc(0);
		this.closed = false;
		this.socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
		this.socket.on('data', (data) => { this.bytes = Buffer.concat([this.bytes, data]); });
		this.socket.on('error', () => {});
		this.socket.on('close', () => { this.closed = true; });
	}

	write(text)
	{
		this.socket.write(text, 'latin1');
		return this;
	}

	get answers()
	{
		return parse(this.bytes);
	}

	async count(n)
	{
		await waitFor(() => this.answers.length >= n, { what: `${n} answers, have ${this.bytes}` });
		return this.answers;
	}

	async end(timeout = 5000)
	{
		await waitFor(() => this.closed, { timeout, what: `the end of the connection, have ${this.bytes}` });
		return this.answers;
	}
}
