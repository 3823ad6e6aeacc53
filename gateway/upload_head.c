#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>

#include "bearer.h"
#include "config.h"
#include "multipart.h"
#include "upload_head.h"

enum
{
	FORM_ROOM = 1 << 20, /* what a form may have besides the file, bytes */
	SMALL_BODY = 1 << 20 /* what strangers may send, and to what is no route of the database */
};

/* A value within the head. */
struct value
{
	const char *base;
	size_t len;
};

/* The first header of that name; len 0: there is none. The head was found well-formed. */
static struct value
header(const char *head, size_t len, const char *name)
{
	const char *end = head + len;
	size_t n = strlen(name);

	for (const char *line = memchr(head, '\n', len); line;
		 line = memchr(line, '\n', (size_t) (end - line)))
	{
		const char *stop;

		line++;
		stop = memchr(line, '\r', (size_t) (end - line));

		if (stop && (size_t) (stop - line) > n && line[n] == ':' && strncasecmp(line, name, n) == 0)
		{
			line += n + 1;
			while (line < stop && (*line == ' ' || *line == '\t'))
				line++;
			return (struct value){ line, (size_t) (stop - line) };
		}
	}
	return (struct value){ NULL, 0 };
}

/* The path of the request line, without host and query. */
static struct value
path_of(const char *head, size_t len)
{
	const char *end = head + len;
	const char *path = memchr(head, ' ', len);
	const char *stop = memchr(path + 1, ' ', (size_t) (end - path - 1));
	const char *query = memchr(path, '?', (size_t) (stop - path));

	path++;
	if (query)
		stop = query;
	if (*path == '/')
		return (struct value){ path, (size_t) (stop - path) };
	/* in absolute form the path begins with the third slash */
	for (int slashes = 0; path < stop && slashes + (*path == '/') < 3; path++)
		slashes += *path == '/';
	return path < stop ? (struct value){ path, (size_t) (stop - path) } : (struct value){ "/", 1 };
}

/* Kept until route_release(match->table). */
static bool
find_route(const char *head, size_t len, struct route_match *match)
{
	struct value path = path_of(head, len);
	const char *begin = head + strspn(head, "\r\n");
	size_t method_len = (size_t) ((const char *) memchr(begin, ' ', len) - begin);
	char method[16];
	char *buffer = malloc(path.len + 1);
	bool found;

	if (!buffer)
		abort();
	memcpy(method, begin, MIN(method_len, sizeof method - 1));
	method[MIN(method_len, sizeof method - 1)] = '\0';
	found = route_find(method, path.base, path.len, buffer, match) == ROUTE_FOUND;
	free(buffer);
	return found;
}

bool
upload_takes(const struct route_arg *arg, const char *type, size_t len)
{
	size_t n = 0;
	size_t i;
	json_t *entry;

	if (!arg->types)
		return true;
	while (n < len && type[n] != ';' && type[n] != ' ' && type[n] != '\t')
		n++;
	json_array_foreach((json_t *) arg->types, i, entry)
	{
		const char *word = json_string_value(entry);
		size_t word_len = word ? strlen(word) : 0;
		bool kind = word_len > 0 && word[word_len - 1] == '/';

		if (word_len > 0 && (kind ? n > word_len : n == word_len) &&
			strncasecmp(type, word, word_len) == 0)
			return true;
	}
	return false;
}

static bool
signed_in(const char *head, size_t len)
{
	struct value value = header(head, len, "authorization");
	struct token token;

	if (value.len <= 7 || strncasecmp(value.base, "bearer ", 7) != 0)
		return false;
	value.base += 7;
	value.len -= 7;
	while (value.len > 0 && *value.base == ' ')
	{
		value.base++;
		value.len--;
	}
	return bearer_check(value.base, value.len, &token);
}

/* The verdict on a body for this route. A small one that is refused is for the handler to answer.
 */
static struct door_verdict
judge(const struct route *route, const char *head, size_t len, uint64_t length)
{
	static const struct door_fault stranger = { 401, "unauthenticated", "Sign in first." };
	static const struct door_fault strange = { 415,
											   "unsupported_media_type",
											   "The route takes no files of this type." };
	const struct route_arg *arg = &route->args[route->upload];
	struct value type = header(head, len, "content-type");
	bool form = multipart_type(type.base ? type.base : "", type.len);
	uint64_t room = form ? FORM_ROOM : 0;
	struct door_verdict verdict = {
		.hash = route->idempotent && header(head, len, "idempotency-key").len > 0,
		.max = (uint64_t) config.max_upload,
		.most = SMALL_BODY,
	};

	if (arg->max < verdict.max - MIN(room, verdict.max))
		verdict.max = arg->max + room;
	if (!route->session || !signed_in(head, len))
		verdict.fault = stranger;
	else if (!form && !upload_takes(arg, type.base, type.len))
		verdict.fault = strange;
	verdict.spool = !verdict.fault.status;
	if (length <= SMALL_BODY)
		verdict.fault.status = 0;
	return verdict;
}

struct door_verdict
upload_judge(const char *head, size_t len, uint64_t length)
{
	struct door_verdict verdict = { .most = SMALL_BODY };
	struct route_match match = { 0 };

	if (!find_route(head, len, &match))
		return verdict;
	if (match.route->upload >= 0)
		verdict = judge(match.route, head, len, length);
	else if (signed_in(head, len))
		verdict.most = match.route->max_body;
	route_release(match.table);
	return verdict;
}
