/* Requests as the handlers see them, and the only place that writes responses. */
#pragma once

#include <h2o.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"

struct metric_route;

/*
 * A request outlives its h2o_req_t when the client leaves while the database works: then h2o is
 * NULL and replies are dropped. Reference counted; http_request takes the first reference and
 * the reply releases it. Whoever answers later than within the handler must copy what it needs
 * of h2o's headers, path and entity, or look at h2o again.
 */
struct request
{
	h2o_req_t *h2o;
	char id[37];			  /* X-Request-Id: a UUID, or the client's when it is a sane one */
	uint64_t started;		  /* microseconds, steady clock */
	const char *route;		  /* pattern, for metrics and logs */
	const char *cache_status; /* NULL: no Cache-Status header */
	const char *org, *member, *session,
		*role;			 /* of the token, NULL when anonymous; in the request's memory */
	h2o_mem_pool_t pool; /* memory of the request, freed with it */
	int references;
	bool head;					 /* HEAD: answered like GET, without the body */
	bool replied;				 /* an answer was begun */
	char method[12];			 /* as sent, for metrics and logs */
	const char *sqlstate;		 /* of the query that failed, for the log */
	struct metric_route *metric; /* set with the route; NULL: counted under route */
	/* Called when the client leaves before the answer ended (h2o is NULL by then); NULL: nobody. */
	void (*on_gone)(struct request *request);
	void *data; /* of whoever handles the request */
};

struct request *http_request(h2o_req_t *req);
void http_keep(struct request *request);
void http_release(struct request *request);
/* Memory of the request, zeroed. */
void *http_alloc(struct request *request, size_t size);
char *http_copy(struct request *request, const char *base, size_t len);

/* One entry of errors[]: pointer or parameter, never both. */
struct http_fault
{
	const char *pointer, *parameter, *code, *detail;
};

/* problem+json. Errors and extra (may be NULL) are merged into the object; their references are
 * taken over. */
void http_problem(struct request *request, int status, const char *code, const char *detail,
				  json_t *errors, json_t *extra);
/* The problem for a failed query: SQLSTATE map, DETAIL JSON merged, nothing internal leaked. */
void http_query_problem(struct request *request, const struct pool_result *result);
/* An errors array for http_problem with one more entry; errors NULL: a new one. */
json_t *http_fault_add(json_t *errors, const struct http_fault *fault);
/* Body is copied. content_type NULL: application/json. Headers wanted beforehand: http_header. */
void http_reply(struct request *request, int status, const char *content_type, const char *body,
				size_t len);
/* Adds to the answer to come; both are copied. A value with control characters is left out. */
void http_header(struct request *request, const char *name, const char *value);
/* Adds the entity tag to the answer; true when a reader has that version already (304). */
bool http_unchanged(struct request *request, const char *etag, bool weak);
/* 304 or the body, by If-None-Match; etag without quotes, weak when asked. */
void http_reply_etag(struct request *request, int status, const char *etag, bool weak,
					 const char *body, size_t len);
/* The same for another media type. */
void http_reply_etag_as(struct request *request, int status, const char *content_type,
						const char *etag, bool weak, const char *body, size_t len);
/*
 * Begins an answer of unknown length (a stream): status and headers as http_reply would write
 * them, then the caller h2o_send()s on request->h2o. False when the client is gone; the reference
 * is released then, and otherwise by http_stream_end.
 */
bool http_stream_begin(struct request *request, int status, const char *content_type,
					   h2o_generator_t *generator);
/*
 * The same for what ends by itself; length: of all pieces together, SIZE_MAX when not known;
 * compress: by gzip, when the client takes it.
 */
bool http_download_begin(struct request *request, int status, const char *content_type,
						 size_t length, bool compress, h2o_generator_t *generator);
/* The stream is over (sent its last piece, or the client is gone): logs, counts, releases. */
void http_stream_end(struct request *request, size_t bytes);
/* For an answer made without this module (a WebSocket upgrade): logs, counts, releases. */
void http_done(struct request *request, int status, size_t bytes);

/* The request header's value, len 0 when absent. */
h2o_iovec_t http_request_header(struct request *request, const char *name);
/* The raw query string without '?', len 0 when absent. */
h2o_iovec_t http_query_string(struct request *request);
/* The decoded value of a query parameter in the request's memory, NULL when absent or malformed. */
const char *http_query_value(struct request *request, const char *name);

/* Handlers written in C (not routed functions): method and exact path. Before loop_run only. */
typedef void (*http_handler)(struct request *request);
void http_register(const char *method, const char *path, http_handler fn);
/* Parses the body as a JSON object (size, depth and syntax checked); replies with the problem and
 * returns NULL when it is not one. */
json_t *http_json_body(struct request *request);
/* The same for any JSON value, up to max bytes; types: comma separated media types allowed. */
json_t *http_json_value(struct request *request, size_t max, const char *types);

/* Is the Origin header absent, our own host's, or on the allow-list? For upgrades and streams. */
bool http_origin_allowed(struct request *request);

/* The whole public site on one host configuration, and the operator's on another. */
void http_install(h2o_globalconf_t *global);
void http_install_admin(h2o_globalconf_t *admin);
void http_register_admin(const char *path, http_handler fn);
