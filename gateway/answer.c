#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "stamp.h"
#include "text.h"

const char answer_ctx_sql[] = "SELECT * FROM saleshub.ctx($1::uuid, $2::uuid, $3::text, "
							  "$4::boolean, $5::integer, $6::boolean)";
const char answer_begin_sql[] = "SELECT saleshub.idempotency_begin($1::text, $2::text)";
const char answer_finish_sql[] = "SELECT * FROM saleshub.finish()";

/* --- before the function --- */

void
answer_context(struct answer_context *context, const struct request *request,
			   const struct route *route, bool record)
{
	snprintf(context->timeout, sizeof context->timeout, "%u", route->timeout_ms);
	context->values[0] = request->org;
	context->values[1] = request->session;
	context->values[2] = request->id;
	context->values[3] = route->read_only ? "t" : "f";
	context->values[4] = context->timeout;
	context->values[5] = record ? "t" : "f";
}

int64_t
answer_integer(struct pool_value value)
{
	int64_t integer = 0;

	return value.base && text_integer(value.base, value.len, &integer) ? integer : 0;
}

void
answer_note_context(const struct request *request, const struct pool_result *result, int step)
{
	struct cache_session session = { .known = true };

	if (pool_rows(result, step) != 1)
		return;
	route_seen_epoch(answer_integer(pool_value(result, step, 0, CTX_ROUTE_EPOCH)));
	if (!request->session)
		return;
	session.stamp.boot = answer_integer(pool_value(result, step, 0, CTX_BOOT));
	session.stamp.asof = answer_integer(pool_value(result, step, 0, CTX_ASOF));
	session.slots[0] = (uint32_t) answer_integer(pool_value(result, step, 0, CTX_SESSION_SLOT));
	session.slots[1] = (uint32_t) answer_integer(pool_value(result, step, 0, CTX_MEMBER_SLOT));
	stamp_note(request->session, &session);
}

/* --- after it --- */

const char *
answer_text(struct request *request, struct pool_value value)
{
	return value.base ? http_copy(request, value.base, value.len) : NULL;
}

void
answer_finish(struct request *request, const struct pool_result *result, int step,
			  struct reply *reply)
{
	struct pool_value status = pool_value(result, step, 0, FINISH_STATUS);
	struct pool_value headers = pool_value(result, step, 0, FINISH_HEADERS);

	reply->status = status.base ? (int) strtol(status.base, NULL, 10) : 0;
	reply->etag = answer_text(request, pool_value(result, step, 0, FINISH_ETAG));
	reply->location = answer_text(request, pool_value(result, step, 0, FINISH_LOCATION));
	reply->gseq = answer_text(request, pool_value(result, step, 0, FINISH_GSEQ));
	reply->headers = headers.base ? json_loadb(headers.base, headers.len, 0, NULL) : NULL;
}

/* --- the answer --- */

static void
privacy_headers(struct request *request, const struct route *route)
{
	if (route->read_only)
		http_header(request, "cache-control", "private, no-cache");
	http_header(request, "vary", "Authorization, Origin");
}

void
answer_headers(struct request *request, json_t *headers)
{
	const char *name;
	json_t *value;

	json_object_foreach(
		headers,
		name,
		value) if (json_is_string(value) && name[0] != '\0' &&
				   strspn(name,
						  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") ==
					   strlen(name)) http_header(request, name, json_string_value(value));
}

/* Hash of a body as a weak tag. */
static void
hash_tag(const char *body, size_t len, char out[33])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *) body, len, digest);
	text_hex(digest, 16, out);
}

void
answer_body(struct request *request, const struct route *route, int status, const char *etag,
			const char *gseq, const char *body, size_t len)
{
	char tag[33];

	privacy_headers(request, route);
	if (gseq)
		http_header(request, "x-saleshub-seq", gseq);
	if (etag)
		http_reply_etag(request, status, etag, false, body, len);
	else if (route->read_only && status == 200)
	{
		hash_tag(body, len, tag);
		http_reply_etag(request, status, tag, true, body, len);
	}
	else
		http_reply(request, status, NULL, body, len);
}

void
answer_send(struct request *request, const struct route *route, struct reply *reply)
{
	int status = reply->status != 0 ? reply->status : route->success;

	if (!reply->body && status != 204)
		http_problem(request, 404, "not_found", "There is no such record.", NULL, NULL);
	else
	{
		if (reply->location)
			http_header(request, "location", reply->location);
		answer_headers(request, reply->headers);
		answer_body(request,
					route,
					status,
					reply->etag,
					reply->gseq,
					reply->body,
					status == 204 ? 0 : reply->body_len);
	}
	json_decref(reply->headers);
}

void
answer_error(struct request *request, const struct route *route, const struct once *once,
			 const struct pool_result *result)
{
	struct reply reply = { 0 };

	request->cache_status = NULL;
	if (once->key && once_replay(request, result, &reply))
	{
		http_header(request, "idempotency-replayed", "true");
		answer_send(request, route, &reply);
	}
	else
		http_query_problem(request, result);
}
