#include <string.h>

#include "config.h"
#include "http.h"
#include "text.h"

enum
{
	MAX_DEPTH = 64
};

/* Nesting of arrays and objects; jansson would follow it by recursion. */
static bool
is_deep(const char *base, size_t len)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++)
	{
		char c = base[i];

		if (quoted)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		}
		else if (c == '"')
			quoted = true;
		else if (c == '[' || c == '{')
		{
			if (++depth > MAX_DEPTH)
				return true;
		}
		else if (c == ']' || c == '}')
			depth--;
	}
	return false;
}

/* Is the request's media type in the comma separated list? Only UTF-8 as charset. */
static bool
is_type(h2o_iovec_t header, const char *types)
{
	size_t len = 0;
	const char *charset;

	while (len < header.len && header.base[len] != ';' && header.base[len] != ' ')
		len++;
	charset = header.len > len ? memmem(header.base + len, header.len - len, "charset=", 8) : NULL;
	if (charset)
	{
		const char *end = header.base + header.len;

		charset += 8;
		if (charset < end && *charset == '"')
			charset++;
		if (end - charset < 5 || !h2o_lcstris(charset, 5, H2O_STRLIT("utf-8")))
			return false;
	}
	for (const char *p = types; *p;)
	{
		size_t n = strcspn(p, ",");

		if (h2o_lcstris(header.base, len, p, n))
			return true;
		p += n;
		p += *p == ',';
	}
	return false;
}

json_t *
http_json_value(struct request *request, size_t max, const char *types)
{
	h2o_iovec_t entity = request->h2o ? request->h2o->entity : h2o_iovec_init(NULL, 0);
	char detail[JSON_ERROR_TEXT_LENGTH + 64];
	json_error_t error;
	json_t *value;

	if (entity.len > max)
	{
		snprintf(detail, sizeof detail, "The body may have %zu bytes.", max);
		http_problem(request, 413, "too_large", detail, NULL, NULL);
		return NULL;
	}
	if (!is_type(http_request_header(request, "content-type"), types))
	{
		http_header(request, "accept", types);
		http_problem(
			request, 415, "unsupported_media_type", "The body must be JSON in UTF-8.", NULL, NULL);
		return NULL;
	}
	if (is_deep(entity.base, entity.len))
	{
		http_problem(request, 400, "too_deep", "The body is nested too deeply.", NULL, NULL);
		return NULL;
	}
	value = json_loadb(entity.base ? entity.base : "",
					   entity.len,
					   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
					   &error);
	if (!value)
	{
		snprintf(
			detail, sizeof detail, "Not valid JSON at byte %d: %s.", error.position, error.text);
		http_problem(request, 400, "invalid_json", detail, NULL, NULL);
	}
	return value;
}

json_t *
http_json_body(struct request *request)
{
	json_t *value = http_json_value(request, (size_t) config.max_body, "application/json");

	if (!value || json_is_object(value))
		return value;
	json_decref(value);
	http_problem(request,
				 422,
				 "invalid_type",
				 "The body must be a JSON object.",
				 http_fault_add(NULL,
								&(struct http_fault){ .pointer = "",
													  .code = "invalid_type",
													  .detail = "must be an object" }),
				 NULL);
	return NULL;
}
