/* Requests as the handlers see them, and the only place that writes responses. */
#pragma once

#include <h2o.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

/*
 * A request outlives its h2o_req_t when the client leaves while the database works: then h2o is
 * NULL and replies are dropped. Reference counted; http_request takes the first reference and
 * the reply releases it.
 */
struct request
{
	h2o_req_t *h2o;
	char id[37];			  /* X-Request-Id: a UUID, or the client's when it is a sane one */
	uint64_t started;		  /* microseconds */
	const char *route;		  /* pattern, for metrics and logs */
	const char *cache_status; /* NULL: no Cache-Status header */
	const char *org, *member, *session,
		*role;			 /* of the token, NULL when anonymous; in the request's memory */
	h2o_mem_pool_t pool; /* memory of the request, freed with it */
	int references;
};

struct request *http_request(h2o_req_t *req);
void http_keep(struct request *request);
void http_release(struct request *request);

/* One entry of errors[]: pointer or parameter, never both. */
struct http_fault
{
	const char *pointer, *parameter, *code, *detail;
};

/* problem+json. Extra (may be NULL) is merged into the object; its reference is taken over. */
void http_problem(struct request *request, int status, const char *code, const char *detail,
				  json_t *errors, json_t *extra);
/* The problem for a failed query: SQLSTATE map, DETAIL JSON merged, nothing internal leaked. */
void http_query_problem(struct request *request, const struct pool_result *result);
/* Body is copied. content_type NULL: application/json. Headers wanted beforehand: http_header. */
void http_reply(struct request *request, int status, const char *content_type, const char *body,
				size_t len);
void http_header(struct request *request, const char *name, const char *value);
/* 304 or the body, by If-None-Match; etag without quotes, weak when asked. */
void http_reply_etag(struct request *request, int status, const char *etag, bool weak,
					 const char *body, size_t len);

/* The request header's value, len 0 when absent. */
h2o_iovec_t http_request_header(struct request *request, const char *name);

/* Handlers written in C (not routed functions): method and exact path. */
typedef void (*http_handler)(struct request *request);
void http_register(const char *method, const char *path, http_handler fn);
/* Parses the body as a JSON object (size, depth and syntax checked); replies with the problem and
 * returns NULL when it is not one. */
json_t *http_json_body(struct request *request);
