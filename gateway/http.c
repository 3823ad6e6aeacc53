#include <stdio.h>
#include <string.h>

#include "config.h"
#include "door.h"
#include "http.h"
#include "log.h"
#include "metric.h"
#include "sqlstate.h"
#include "text.h"

/* --- life of a request --- */

static void
on_dispose(void *data)
{
	struct request **place = data;
	struct request *request = *place;

	*place = NULL;
	request->h2o = NULL;
	if (request->on_gone)
		request->on_gone(request);
	http_release(request);
}

static bool
is_sane_id(h2o_iovec_t id)
{
	if (id.len < 8 || id.len > 36)
		return false;
	for (size_t i = 0; i < id.len; i++)
	{
		char c = id.base[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
			c != '-' && c != '_' && c != '.')
			return false;
	}
	return true;
}

struct request *
http_request(h2o_req_t *req)
{
	struct request *request = h2o_mem_alloc(sizeof *request);
	struct request **place;
	h2o_iovec_t id;

	memset(request, 0, sizeof *request);
	h2o_mem_init_pool(&request->pool);
	request->h2o = req;
	request->started = text_clock_us();
	request->references = 2; /* the handler's, and that of the h2o request below */
	snprintf(
		request->method, sizeof request->method, "%.*s", (int) req->method.len, req->method.base);
	request->head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
	id = http_request_header(request, "x-request-id");
	if (is_sane_id(id))
		snprintf(request->id, sizeof request->id, "%.*s", (int) id.len, id.base);
	else
		text_uuid(request->id);
	place = h2o_mem_alloc_shared(&req->pool, sizeof *place, on_dispose);
	*place = request;
	return request;
}

void
http_keep(struct request *request)
{
	request->references++;
}

void
http_release(struct request *request)
{
	if (--request->references > 0)
		return;
	h2o_mem_clear_pool(&request->pool);
	free(request);
}

void *
http_alloc(struct request *request, size_t size)
{
	void *memory = h2o_mem_alloc_pool(&request->pool, size);

	memset(memory, 0, size);
	return memory;
}

char *
http_copy(struct request *request, const char *base, size_t len)
{
	return h2o_strdup(&request->pool, base, len).base;
}

/* --- reading --- */

h2o_iovec_t
http_request_header(struct request *request, const char *name)
{
	char lower[64];
	size_t len = strlen(name);
	ssize_t i;

	if (!request->h2o || len >= sizeof lower)
		return h2o_iovec_init(NULL, 0);
	/* h2o keeps the names of a request in lower case */
	for (size_t c = 0; c < len; c++)
		lower[c] = (char) h2o_tolower(name[c]);
	i = h2o_find_header_by_str(&request->h2o->headers, lower, len, -1);
	return i < 0 ? h2o_iovec_init(NULL, 0) : request->h2o->headers.entries[i].value;
}

h2o_iovec_t
http_query_string(struct request *request)
{
	h2o_req_t *req = request->h2o;

	if (!req || req->query_at == SIZE_MAX || req->query_at + 1 >= req->path.len)
		return h2o_iovec_init(NULL, 0);
	return h2o_iovec_init(req->path.base + req->query_at + 1, req->path.len - req->query_at - 1);
}

const char *
http_query_value(struct request *request, const char *name)
{
	h2o_iovec_t query = http_query_string(request);
	const char *end = query.base + query.len;
	size_t len = strlen(name);

	for (const char *p = query.base; p && p < end;)
	{
		const char *stop = memchr(p, '&', (size_t) (end - p));

		if (!stop)
			stop = end;
		if ((size_t) (stop - p) > len && memcmp(p, name, len) == 0 && p[len] == '=')
		{
			size_t n = (size_t) (stop - p) - len - 1;
			char *value = http_alloc(request, n + 1);

			return text_url_decode(p + len + 1, n, true, value, &n) ? value : NULL;
		}
		p = stop + 1;
	}
	return NULL;
}

/* --- cross origin --- */

static bool
is_listed_origin(h2o_iovec_t origin)
{
	const char *p = config.cors_origins;

	while (*p)
	{
		size_t n = strcspn(p, ", ");

		if (n == origin.len && n > 0 && memcmp(p, origin.base, n) == 0)
			return true;
		p += n;
		p += strspn(p, ", ");
	}
	return false;
}

bool
http_origin_allowed(struct request *request)
{
	h2o_iovec_t origin = http_request_header(request, "origin");
	const char *host;

	if (!request->h2o)
		return false;
	if (origin.len == 0 || is_listed_origin(origin))
		return true;
	host = memmem(origin.base, origin.len, "://", 3);
	if (!host)
		return false;
	host += 3;
	return h2o_lcstris(host,
					   origin.len - (size_t) (host - origin.base),
					   request->h2o->authority.base,
					   request->h2o->authority.len);
}

static void
add_cors(struct request *request)
{
	h2o_iovec_t origin = http_request_header(request, "origin");

	if (origin.len == 0 || !is_listed_origin(origin))
		return;
	http_header(
		request, "access-control-allow-origin", http_copy(request, origin.base, origin.len));
	http_header(request, "access-control-allow-credentials", "true");
	http_header(request,
				"access-control-expose-headers",
				"ETag, Location, X-Request-Id, X-SalesHub-Seq, Cache-Status, Retry-After, "
				"Idempotency-Replayed, RateLimit, Content-Disposition");
}

/* --- writing --- */

void
http_header(struct request *request, const char *name, const char *value)
{
	h2o_req_t *req = request->h2o;
	h2o_iovec_t n, v;

	if (!req)
		return;
	for (const char *p = value; *p; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			return;
	n = h2o_strdup(&req->pool, name, SIZE_MAX);
	v = h2o_strdup(&req->pool, value, SIZE_MAX);
	for (size_t i = 0; i < n.len; i++)
		n.base[i] = (char) h2o_tolower(n.base[i]);
	h2o_add_header_by_str(&req->pool, &req->res.headers, n.base, n.len, 1, NULL, v.base, v.len);
}

static bool
has_header(struct request *request, const char *name)
{
	return h2o_find_header_by_str(&request->h2o->res.headers, name, strlen(name), -1) >= 0;
}

static void
add_default(struct request *request, const char *name, const char *value)
{
	if (!has_header(request, name))
		http_header(request, name, value);
}

static void
log_request(struct request *request, int status, size_t bytes, uint64_t us)
{
	struct text line = { 0 };

	log_begin(&line, status >= 500 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO);
	text_printf(&line, ",\"request_id\":\"%s\",\"route\":", request->id);
	text_json(
		&line, request->route ? request->route : "", request->route ? strlen(request->route) : 0);
	text_puts(&line, ",\"method\":");
	text_json(&line, request->method, strlen(request->method));
	text_printf(&line,
				",\"status\":%d,\"bytes\":%zu,\"dur_us\":%llu",
				status,
				bytes,
				(unsigned long long) us);
	if (request->cache_status)
		text_printf(&line, ",\"cache\":\"%s\"", request->cache_status);
	if (request->org)
		text_printf(&line,
					",\"org\":\"%s\",\"member\":\"%s\"",
					request->org,
					request->member ? request->member : "");
	if (request->sqlstate)
		text_printf(&line, ",\"sqlstate\":\"%s\"", request->sqlstate);
	if (!request->h2o)
		text_puts(&line, ",\"gone\":true");
	log_end(&line);
}

void
http_done(struct request *request, int status, size_t bytes)
{
	uint64_t us = text_clock_us() - request->started;
	struct metric_route *metric = request->metric;

	if (!metric)
		metric = metric_route(request->route ? request->method : "any",
							  request->route ? request->route : "none");
	metric_request(metric, status, us);
	if (config.log_requests)
		log_request(request, status, bytes, us);
	http_release(request);
}

/* Status, and the headers every answer has. */
static void
begin(struct request *request, int status, const char *content_type)
{
	h2o_req_t *req = request->h2o;

	request->replied = true;
	req->compress_hint = H2O_COMPRESS_HINT_DISABLE;
	req->res.status = status;
	req->res.reason = sqlstate_title(status);
	if (content_type)
		http_header(request, "content-type", content_type);
	http_header(request, "x-request-id", request->id);
	http_header(request, "x-content-type-options", "nosniff");
	add_default(request, "referrer-policy", "no-referrer");
	add_default(request, "content-security-policy", "default-src 'none'; frame-ancestors 'none'");
	add_default(request, "cache-control", "no-store");
	add_default(request, "vary", "Origin");
	if (request->cache_status)
	{
		struct text value = { 0 };

		text_printf(&value, "saleshub; %s", request->cache_status);
		http_header(request, "cache-status", value.base);
		text_free(&value);
	}
	add_cors(request);
	/* after a fault of framing nobody can say where the next request begins */
	if (status == 408 || status == 411 || status == 413 || status == 431)
		req->http1_is_persistent = 0;
}

void
http_reply(struct request *request, int status, const char *content_type, const char *body,
		   size_t len)
{
	static h2o_generator_t generator = { NULL, NULL };
	h2o_req_t *req = request->h2o;
	bool empty = status == 204 || status == 304;
	h2o_iovec_t copy;

	if (!req || request->replied)
	{
		http_done(request, status, 0);
		return;
	}
	begin(request, status, empty ? NULL : content_type ? content_type : "application/json");
	request->on_gone = NULL;
	req->res.content_length = empty ? SIZE_MAX : len;
	if (empty || request->head)
		len = 0;
	copy = len > 0 ? h2o_strdup(&req->pool, body, len) : h2o_iovec_init(NULL, 0);
	http_keep(request);
	h2o_start_response(req, &generator);
	h2o_send(req, &copy, len > 0 ? 1 : 0, H2O_SEND_STATE_FINAL);
	http_done(request, status, len);
	http_release(request);
}

bool
http_stream_begin(struct request *request, int status, const char *content_type,
				  h2o_generator_t *generator)
{
	return http_download_begin(request, status, content_type, SIZE_MAX, false, generator);
}

bool
http_download_begin(struct request *request, int status, const char *content_type, size_t length,
					bool compress, h2o_generator_t *generator)
{
	h2o_req_t *req = request->h2o;

	if (!req)
	{
		http_done(request, status, 0);
		return false;
	}
	begin(request, status, content_type);
	if (compress)
		req->compress_hint = H2O_COMPRESS_HINT_ENABLE;
	req->res.content_length = length;
	door_stream(req->conn->callbacks->get_socket(req->conn));
	h2o_start_response(req, generator);
	return true;
}

void
http_stream_end(struct request *request, size_t bytes)
{
	request->on_gone = NULL;
	http_done(request, request->h2o ? request->h2o->res.status : 200, bytes);
}

/* --- problems --- */

json_t *
http_fault_add(json_t *errors, const struct http_fault *fault)
{
	json_t *entry = json_object();

	if (!errors)
		errors = json_array();
	if (fault->pointer)
		json_object_set_new(entry, "pointer", json_string(fault->pointer));
	if (fault->parameter)
		json_object_set_new(entry, "parameter", json_string(fault->parameter));
	json_object_set_new(entry, "code", json_string(fault->code));
	if (fault->detail)
		json_object_set_new(entry, "detail", json_string(fault->detail));
	json_array_append_new(errors, entry);
	return errors;
}

void
http_problem(struct request *request, int status, const char *code, const char *detail,
			 json_t *errors, json_t *extra)
{
	json_t *problem = json_object();
	char *body;

	json_object_set_new(problem, "type", json_string("about:blank"));
	json_object_set_new(problem, "title", json_string(sqlstate_title(status)));
	json_object_set_new(problem, "status", json_integer(status));
	if (detail)
		json_object_set_new(problem, "detail", json_string(detail));
	json_object_set_new(problem, "code", json_string(code));
	json_object_set_new(problem, "request_id", json_string(request->id));
	if (errors)
		json_object_set_new(problem, "errors", errors);
	if (extra)
		json_object_update_missing(problem, extra);
	json_decref(extra);
	if (status == 401)
		http_header(request,
					"www-authenticate",
					strcmp(code, "token_expired") == 0 ? "Bearer error=\"invalid_token\"" :
														 "Bearer");
	body = json_dumps(problem, JSON_COMPACT);
	json_decref(problem);
	http_reply(
		request, status, "application/problem+json", body ? body : "{}", body ? strlen(body) : 2);
	free(body);
}

/* "/email" for a column, or for a constraint named as PostgreSQL names them: lead_email_check. */
static const char *
fault_pointer(struct request *request, const struct pool_result *result)
{
	static const char *const ends[] = { "_check", "_key", "_idx", "_fk", "_fkey", "_excl" };
	const char *name = result->column;
	size_t len = name ? strlen(name) : 0;
	char *pointer;

	if (!name && result->constraint && result->table)
	{
		size_t table = strlen(result->table);

		if (strncmp(result->constraint, result->table, table) != 0 ||
			result->constraint[table] != '_')
			return NULL;
		name = result->constraint + table + 1;
		len = strlen(name);
		for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
		{
			size_t end = strlen(ends[i]);

			if (len > end && strcmp(name + len - end, ends[i]) == 0)
				len -= end;
		}
	}
	if (!name || len == 0)
		return NULL;
	pointer = http_alloc(request, len + 2);
	pointer[0] = '/';
	memcpy(pointer + 1, name, len);
	return pointer;
}

static json_t *
detail_object(const struct pool_result *result)
{
	json_t *object;

	if (!result->detail || result->detail[0] != '{')
		return NULL;
	object = json_loads(result->detail, 0, NULL);
	if (object && !json_is_object(object))
	{
		json_decref(object);
		object = NULL;
	}
	return object;
}

static bool
is_read(const struct request *request)
{
	return request->head || strcmp(request->method, "GET") == 0;
}

static void
unavailable_problem(struct request *request, const struct pool_result *result)
{
	http_header(request, "retry-after", "1");
	if (result->maybe_run && !is_read(request))
		http_problem(
			request,
			503,
			"outcome_unknown",
			"The connection to the database was lost; the request may have been carried out.",
			NULL,
			NULL);
	else
		http_problem(request, 503, "unavailable", "The database cannot be reached.", NULL, NULL);
}

void
http_query_problem(struct request *request, const struct pool_result *result)
{
	struct sqlstate_answer answer = sqlstate_answer(result->sqlstate, !request->member);
	json_t *extra = detail_object(result);
	const char *code = json_string_value(json_object_get(extra, "code"));
	json_t *errors = NULL;

	if (result->unavailable)
	{
		unavailable_problem(request, result);
		return;
	}
	request->sqlstate = http_copy(request, result->sqlstate, strlen(result->sqlstate));
	if (answer.status >= 500 && answer.status != 504)
		log_event(LOG_LEVEL_ERROR,
				  "query",
				  "%s: SQLSTATE %s: %s",
				  request->id,
				  result->sqlstate,
				  result->message ? result->message : "");
	if (answer.retry)
	{
		json_int_t after = json_integer_value(json_object_get(extra, "retry_after"));
		char seconds[24];

		snprintf(seconds, sizeof seconds, "%lld", after > 0 ? (long long) after : 1);
		http_header(request, "retry-after", seconds);
	}
	if (extra)
		errors = json_incref(json_object_get(extra, "errors"));
	if (!errors && strncmp(result->sqlstate, "23", 2) == 0 && fault_pointer(request, result))
		errors = http_fault_add(
			NULL,
			&(struct http_fault){ .pointer = fault_pointer(request, result), .code = answer.code });
	/* a DETAIL that is our JSON was written for the client, and so was its message */
	code = http_copy(request, code ? code : answer.code, strlen(code ? code : answer.code));
	/* a wrong value in the address is a bad request, whoever finds it */
	if (result->sqlstate && strncmp(result->sqlstate, "22", 2) == 0 &&
		json_object_get(json_array_get(errors, 0), "parameter"))
		answer.status = 400;
	http_problem(request,
				 answer.status,
				 code,
				 answer.show || extra ? result->message : answer.detail,
				 errors,
				 extra);
}

/* --- entity tags --- */

/* Does an If-None-Match list hold the tag? Weak comparison. */
static bool
matches(h2o_iovec_t list, const char *etag)
{
	const char *p = list.base;
	const char *end = list.base + list.len;
	size_t len = strlen(etag);

	while (p && p < end)
	{
		const char *close;

		while (p < end && (*p == ' ' || *p == ',' || *p == '\t'))
			p++;
		if (p < end && *p == '*')
			return true;
		if (end - p > 2 && p[0] == 'W' && p[1] == '/')
			p += 2;
		if (p >= end || *p != '"')
			return false;
		close = memchr(p + 1, '"', (size_t) (end - p - 1));
		if (!close)
			return false;
		if ((size_t) (close - p - 1) == len && memcmp(p + 1, etag, len) == 0)
			return true;
		p = close + 1;
	}
	return false;
}

bool
http_unchanged(struct request *request, const char *etag, bool weak)
{
	struct text quoted = { 0 };
	h2o_iovec_t wanted = http_request_header(request, "if-none-match");

	text_printf(&quoted, weak ? "W/\"%s\"" : "\"%s\"", etag);
	http_header(request, "etag", quoted.base);
	text_free(&quoted);
	return is_read(request) && wanted.len > 0 && matches(wanted, etag);
}

void
http_reply_etag(struct request *request, int status, const char *etag, bool weak, const char *body,
				size_t len)
{
	http_reply_etag_as(request, status, NULL, etag, weak, body, len);
}

void
http_reply_etag_as(struct request *request, int status, const char *content_type, const char *etag,
				   bool weak, const char *body, size_t len)
{
	if (http_unchanged(request, etag, weak) && status == 200)
		http_reply(request, 304, NULL, NULL, 0);
	else
		http_reply(request, status, content_type, body, len);
}
