// Holds every answer that a test gets against the OpenAPI document of the gateway that gave it:
// the path and method are there, so is the status, and the body is what the document says. Members
// that it does not name are faults, too, so that nothing goes out undocumented.
import Ajv from 'ajv/dist/2020.js';

/* Schemas say what is there; an answer has nothing else. */
function closed(schema)
{
	if (Array.isArray(schema))
		return schema.map(closed);
	if (schema === null || typeof schema !== 'object')
		return schema;
	const result = Object.fromEntries(Object.entries(schema).map(([key, value]) =>
		[key, key === 'enum' || key === 'required' ? value : closed(value)]));
	if (result.properties && !('additionalProperties' in result))
		result.additionalProperties = false;
	return result;
}

/* A path of the document as a pattern; literal ones are tried before those with a {part}. */
function pattern(path)
{
	const text = path.split(/\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
	return new RegExp(`^${text.join('[^/]+?')}$`);
}

export class Contract
{
	constructor(document)
	{
		this.document = document;
		this.paths = Object.keys(document.paths)
			.sort((a, b) => a.includes('{') - b.includes('{') || b.length - a.length)
			.map((path) => ({ path, pattern: pattern(path) }));
		this.ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
		this.ajv.addSchema({ $id: 'api', components: closed(document.components) });
		this.validators = new Map();
	}

	find(method, url)
	{
		const path = new URL(url, 'http://x').pathname;
		for (const one of this.paths)
		{
			const operation = this.document.paths[one.path][method.toLowerCase()];
			if (operation && one.pattern.test(path))
				return { path: one.path, operation };
		}
		return undefined;
	}

	/* The node itself, or what it refers to. */
	resolve(node)
	{
		return node?.$ref
			? node.$ref.slice(2).split('/').reduce((at, key) => at?.[key], this.document)
			: node;
	}

	validator(name, schema)
	{
		if (!this.validators.has(name))
		{
			const text = JSON.stringify(closed(schema)).replaceAll('"#/components/', '"api#/components/');
			this.validators.set(name, this.ajv.compile(JSON.parse(text)));
		}
		return this.validators.get(name);
	}

	/* What is wrong with an answer, as text; undefined: nothing. Unknown paths are the gateway's to refuse. */
	fault(method, url, { status, type, body })
	{
		const found = this.find(method === 'HEAD' ? 'GET' : method, url);
		if (!found || method === 'HEAD' || method === 'OPTIONS')
			return found || status >= 400 || method === 'OPTIONS' || type?.startsWith('text/html')
				? undefined : 'is not in the document';
		const { responses } = found.operation;
		const response = this.resolve(responses[status] ?? (status >= 400 ? responses.default : undefined));
		if (!response)
			return `has no status ${status} in the document`;
		if (status === 204 || status === 304)
			return undefined;
		const media = (type ?? '').replace(/;.*/, '');
		const content = response.content?.[media] ?? response.content?.['*/*'];
		if (!content)
			return `has no ${media} for ${status} in the document`;
		if (!/[/+]json$/.test(media) || !content.schema)
			return undefined;
		const check = this.validator(`${method} ${found.path} ${status} ${media}`, content.schema);
		return check(body) ? undefined : `differs from the document: ${check.errors.slice(0, 5)
			.map((e) => `${e.instancePath || '/'} ${e.message} ${JSON.stringify(e.params)}`).join('; ')}`;
	}
}
