// A client that reads an answer as slowly as a test wants.
import { connect } from 'node:net';
import { waitFor } from './stack.mjs';

/* Bytes come only after take(). */
export class Reader
{
	constructor(stack, session, path, headers = {})
	{
		const { hostname, port } = new URL(stack.url);
		this.size = 0;
		this.tail = Buffer.alloc(0);
		this.ended = false;
		this.socket = connect({ host: hostname, port: Number(port) });
		this.socket.pause();
		this.socket.on('error', () => {});
		this.socket.on('close', () => { this.ended = true; });
		this.socket.on('data', (data) =>
		{
			this.head ??= data.toString('latin1').split('\r\n\r\n')[0];
			this.size += data.length;
			this.tail = data.length > 4000 ? data.subarray(-4000) : Buffer.concat([this.tail, data]).subarray(-4000);
			if (this.size >= this.upto)
				this.socket.pause();
		});
		this.socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${session.access_token}\r\nConnection: close\r\n`);
		for (const [name, value] of Object.entries(headers))
			this.socket.write(`${name}: ${value}\r\n`);
		this.socket.write('\r\n');
	}

	/* Takes about so many bytes more, or all. */
	async take(bytes = Infinity)
	{
		this.upto = this.size + bytes;
		this.socket.resume();
		await waitFor(() => this.ended || this.size >= this.upto, { what: `${bytes} bytes`, timeout: 60000 });
	}

	status()
	{
		return Number(/^HTTP\/1\.1 (\d+)/.exec(this.head)?.[1]);
	}

	/* Did the answer end as a chunked one ends? */
	whole()
	{
		return this.tail.toString('latin1').endsWith('\r\n0\r\n\r\n');
	}

	leave()
	{
		this.socket.destroy();
	}
}
