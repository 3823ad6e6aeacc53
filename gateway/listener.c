#include <string.h>
#include <strings.h>

#include "listener.h"
#include "loop.h"
#include "text.h"
#include "token.h"

/* Every ch= of the query; NULL after answering when one is malformed or there are none or too many.
 */
static const char **
read_channels(struct request *request, int *count)
{
	h2o_iovec_t query = http_query_string(request);
	const char **names = http_alloc(request, sizeof *names * HUB_CHANNELS);
	const char *fault = NULL;
	struct channel channel;
	size_t len;

	*count = 0;
	for (const char *at = query.base, *end = at + query.len; at && at < end && !fault;)
	{
		const char *stop = memchr(at, '&', (size_t) (end - at));
		stop = stop ? stop : end;
		if (stop - at > 3 && memcmp(at, "ch=", 3) == 0)
		{
			char *name = http_alloc(request, (size_t) (stop - at));
			if (*count == HUB_CHANNELS)
				fault = "too_many";
			else if (!text_url_decode(at + 3, (size_t) (stop - at) - 3, true, name, &len) ||
					 !channel_parse(name, &channel))
				fault = "invalid";
			else
				names[(*count)++] = name;
		}
		at = stop + 1;
	}
	if (!fault && *count == 0)
		fault = "required";
	if (!fault)
		return names;
	http_problem(request,
				 400,
				 "invalid_parameter",
				 "ch names a channel: entity:<type>:<id>, list:<type>, dash:main, feed or user:me.",
				 http_fault_add(NULL, &(struct http_fault){ .parameter = "ch", .code = fault }),
				 NULL);
	return NULL;
}

/* Of the Authorization header, or for EventSource, which cannot send one, of the query. */
static bool
read_token(struct request *request, struct token *token)
{
	h2o_iovec_t header = http_request_header(request, "authorization");
	const char *parameter = http_query_value(request, "access_token");

	if (header.len > 7 && strncasecmp(header.base, "bearer ", 7) == 0)
		return token_check(header.base + 7, header.len - 7, token);
	return parameter && token_check(parameter, strlen(parameter), token);
}

static const char *
read_since(struct request *request)
{
	h2o_iovec_t header = http_request_header(request, "last-event-id");
	const char *parameter = http_query_value(request, "since");

	if (header.len > 0)
		return http_copy(request, header.base, header.len);
	return parameter ? parameter : http_query_value(request, "lastEventId");
}

bool
listener_read(struct request *request, struct listener *out)
{
	struct token token;

	memset(out, 0, sizeof *out);
	if (!read_token(request, &token))
	{
		http_problem(request, 401, "unauthorized", "A valid access token is needed.", NULL, NULL);
		return false;
	}
	if (request->head || self->draining)
	{
		listener_refuse(request, HUB_UNAVAILABLE);
		return false;
	}
	memcpy(out->org, token.org, sizeof out->org);
	memcpy(out->member, token.member, sizeof out->member);
	memcpy(out->session, token.session, sizeof out->session);
	out->expires = token.expires;
	out->since = read_since(request);
	out->channels = read_channels(request, &out->nchannels);
	return out->channels != NULL;
}

void
listener_identify(const struct listener *listener, struct hub_subscriber *subscriber)
{
	memcpy(subscriber->org, listener->org, sizeof subscriber->org);
	memcpy(subscriber->member, listener->member, sizeof subscriber->member);
	memcpy(subscriber->session, listener->session, sizeof subscriber->session);
	subscriber->expires = listener->expires;
}

void
listener_refuse(struct request *request, enum hub_outcome outcome)
{
	if (outcome == HUB_REFUSED)
		http_problem(request, 401, "session_over", "The session is over.", NULL, NULL);
	else if (outcome == HUB_CROWDED)
		http_problem(request, 429, "too_many_streams", "Too many live connections.", NULL, NULL);
	else
	{
		http_header(request, "retry-after", "1");
		http_problem(request, 503, "unavailable", "The database cannot be reached.", NULL, NULL);
	}
}

void
listener_deny(struct request *request, const char *const *denied, int ndenied)
{
	json_t *errors = NULL;

	for (int i = 0; i < ndenied; i++)
		errors = http_fault_add(
			errors,
			&(struct http_fault){ .parameter = "ch", .code = "forbidden", .detail = denied[i] });
	http_problem(request,
				 403,
				 "channel_denied",
				 "Some channels do not exist or may not be listened to.",
				 errors,
				 NULL);
}
