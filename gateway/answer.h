/*
 * From what the database says to the answer of a routed function: the statements around the
 * function, saleshub.ctx() before and saleshub.finish() after it, and the reply they make up.
 */
#pragma once

#include "http.h"
#include "once.h"
#include "route.h"

enum
{
	ANSWER_CTX_PARAMS = 6
};

/* Columns of saleshub.ctx() and saleshub.finish(). */
enum answer_ctx
{
	CTX_BOOT,
	CTX_ASOF,
	CTX_ROUTE_EPOCH,
	CTX_SESSION_SLOT,
	CTX_MEMBER_SLOT
};
enum answer_finish
{
	FINISH_STATUS,
	FINISH_ETAG,
	FINISH_LOCATION,
	FINISH_HEADERS,
	FINISH_SLOTS,
	FINISH_CACHEABLE,
	FINISH_GSEQ
};

extern const char answer_ctx_sql[], answer_begin_sql[], answer_finish_sql[];

/* Parameters of ctx(). */
struct answer_context
{
	const char *values[ANSWER_CTX_PARAMS];
	char timeout[16];
};
void answer_context(struct answer_context *context, const struct request *request,
					const struct route *route, bool record);
/* Remembers what ctx(), the step of the result, said of the session and of the routes. */
void answer_note_context(const struct request *request, const struct pool_result *result, int step);

int64_t answer_integer(struct pool_value value);
/* NULL: SQL null; in the request's memory. */
const char *answer_text(struct request *request, struct pool_value value);
/* Status, tag, location, headers and position of the reply, of finish() in that step. */
void answer_finish(struct request *request, const struct pool_result *result, int step,
				   struct reply *reply);
/* Adds the headers that the function asked for, an object of strings. */
void answer_headers(struct request *request, json_t *headers);
/* Gives the reply, and lets go of what it owns. */
void answer_send(struct request *request, const struct route *route, struct reply *reply);
/* Sends a body that came from the database or the cache. */
void answer_body(struct request *request, const struct route *route, int status, const char *etag,
				 const char *gseq, const char *body, size_t len);
/* The problem of a query that failed, or the reply to the first request with its key. */
void answer_error(struct request *request, const struct route *route, const struct once *once,
				  const struct pool_result *result);
