/* Requests with an Idempotency-Key: carried out once, answered again from what the database kept.
 */
#pragma once

#include "http.h"

/* What a request's answer consists of; texts in the request's memory or valid as long as it says.
 */
struct reply
{
	int status; /* 0: the route's own */
	const char *etag, *location, *gseq;
	json_t *headers;  /* owned; NULL: none */
	const char *body; /* NULL: none */
	size_t body_len;
};

struct once
{
	const char *key; /* NULL: the request has none */
	char hash[65];	 /* of everything that makes it another request */
	const char *values[2];
};

/* body: what stands for the request's, in once->hash. */
void once_read(struct request *request, const void *body, size_t len, struct once *once);
/* Has the query ended because this was done before? Then fills the reply that was given. */
bool once_replay(struct request *request, const struct pool_result *result, struct reply *reply);
