#include <string.h>

#include "call.h"
#include "config.h"
#include "http.h"
#include "metric.h"
#include "page.h"
#include "route.h"
#include "text.h"

enum
{
	MAX_HANDLERS = 64,
	QUERY_LIMIT = 8192
};

struct handler
{
	const char *method, *path;
	http_handler run;
	struct metric_route *metric;
};

struct site
{
	struct handler handlers[MAX_HANDLERS];
	int nhandlers;
};

struct site_handler
{
	h2o_handler_t super;
	struct site *site;
};

static struct site public_site, admin_site;

static void
add(struct site *site, const char *method, const char *path, http_handler fn, const char *pattern)
{
	struct handler *handler = &site->handlers[site->nhandlers];

	if (site->nhandlers == MAX_HANDLERS)
		abort();
	handler->method = method;
	handler->path = path;
	handler->run = fn;
	handler->metric = metric_route(method, pattern);
	site->nhandlers++;
}

void
http_register(const char *method, const char *path, http_handler fn)
{
	add(&public_site, method, path, fn, path);
}

void
http_register_admin(const char *path, http_handler fn)
{
	add(&admin_site, "GET", path, fn, "admin");
}

static bool
is_method(struct request *request, const char *method)
{
	return strcmp(request->method, method) == 0 || (request->head && strcmp(method, "GET") == 0);
}

/* Adds a method to an Allow list, once. */
static void
allow(char *list, size_t size, const char *method)
{
	size_t len = strlen(list);

	if (!strstr(list, method))
		snprintf(list + len, size - len, "%s%s", len > 0 ? ", " : "", method);
}

/* Runs the C handler of the path; false: none. Allowed collects the path's other methods. */
static bool
run_handler(struct site *site, struct request *request, h2o_iovec_t path, char *allowed,
			size_t size)
{
	for (int i = 0; i < site->nhandlers; i++)
	{
		const struct handler *handler = &site->handlers[i];

		if (!h2o_memis(path.base, path.len, handler->path, strlen(handler->path)))
			continue;
		if (is_method(request, handler->method))
		{
			request->route = handler->path;
			request->metric = handler->metric;
			handler->run(request);
			return true;
		}
		allow(allowed, size, handler->method);
		if (strcmp(handler->method, "GET") == 0)
			allow(allowed, size, "HEAD");
	}
	return false;
}

static void
answer_options(struct request *request, const char *allowed)
{
	request->route = "options";
	if (allowed[0] == '\0')
	{
		http_problem(request, 404, "not_found", "There is no such path.", NULL, NULL);
		return;
	}
	http_header(request, "allow", allowed);
	if (http_request_header(request, "access-control-request-method").len > 0)
	{
		http_header(request, "access-control-allow-methods", allowed);
		http_header(request,
					"access-control-allow-headers",
					"Authorization, Content-Type, Content-Disposition, If-Match, If-None-Match, "
					"Idempotency-Key, Prefer, X-Request-Id");
		http_header(request, "access-control-max-age", "600");
	}
	http_reply(request, 204, NULL, NULL, 0);
}

static void
not_allowed(struct request *request, const char *allowed)
{
	http_header(request, "allow", allowed);
	http_problem(
		request, 405, "method_not_allowed", "This path does not know the method.", NULL, NULL);
}

static void
answer_unrouted(struct request *request, enum route_found found, char *allowed)
{
	if (found == ROUTE_BAD_PATH)
		http_problem(request, 400, "invalid_path", "The path is not well encoded.", NULL, NULL);
	else if (found == ROUTE_NO_TABLE)
	{
		http_header(request, "retry-after", "1");
		http_problem(request, 503, "starting", "The routes are not loaded yet.", NULL, NULL);
	}
	else if (allowed[0] != '\0')
		not_allowed(request, allowed);
	else
		http_problem(request, 404, "not_found", "There is no such path.", NULL, NULL);
}

/* The path without its query. */
static h2o_iovec_t
path_of(h2o_req_t *req)
{
	return h2o_iovec_init(req->path.base,
						  req->query_at == SIZE_MAX ? req->path.len : req->query_at);
}

/* A target in absolute form, whose host the door has compared with Host, becomes its path. */
static void
strip_authority(h2o_req_t *req)
{
	static char root[] = "/";
	size_t at = 0;

	if (req->path.len == 0 || req->path.base[0] == '/')
		return;
	for (int slashes = 0; at < req->path.len && slashes < 2; at++)
		slashes += req->path.base[at] == '/';
	while (at < req->path.len && req->path.base[at] != '/' && req->path.base[at] != '?')
		at++;
	if (at == req->path.len || req->path.base[at] == '?')
	{
		/* no path, perhaps a query: the root's */
		req->path = h2o_iovec_init(root, 1);
		req->query_at = SIZE_MAX;
		return;
	}
	req->path.base += at;
	req->path.len -= at;
	if (req->query_at != SIZE_MAX)
		req->query_at -= at;
}

static int
on_request(h2o_handler_t *handler, h2o_req_t *req)
{
	struct site *site = ((struct site_handler *) handler)->site;
	struct request *request;
	h2o_iovec_t path;
	struct route_match match = { 0 };
	enum route_found found;
	char allowed[96] = "";

	strip_authority(req);
	request = http_request(req);
	path = path_of(req);

	if (http_query_string(request).len > QUERY_LIMIT)
	{
		http_problem(request, 414, "uri_too_long", "The query is too long.", NULL, NULL);
		return 0;
	}
	if (run_handler(site, request, path, allowed, sizeof allowed))
		return 0;
	found =
		route_find(request->method, path.base, path.len, http_alloc(request, path.len + 1), &match);
	if (strcmp(request->method, "OPTIONS") == 0)
	{
		if (found == ROUTE_NO_METHOD && allowed[0] == '\0')
			snprintf(allowed, sizeof allowed, "%s", match.allow);
		answer_options(request, allowed);
		return 0;
	}
	if (found == ROUTE_FOUND)
	{
		request->route = match.route->path;
		request->metric = match.route->metric;
		call_run(request, &match);
		return 0;
	}
	if (found == ROUTE_NO_METHOD && allowed[0] == '\0')
		snprintf(allowed, sizeof allowed, "%s", match.allow);
	if (allowed[0] != '\0' || !page_serve(request))
		answer_unrouted(request, found, allowed);
	return 0;
}

static int
on_admin_request(h2o_handler_t *handler, h2o_req_t *req)
{
	struct site *site = ((struct site_handler *) handler)->site;
	struct request *request = http_request(req);
	char allowed[96] = "";

	if (!run_handler(site, request, path_of(req), allowed, sizeof allowed))
		answer_unrouted(request, ROUTE_NO_PATH, allowed);
	return 0;
}

static void
install(h2o_globalconf_t *global, struct site *site, int (*on_req)(h2o_handler_t *, h2o_req_t *))
{
	h2o_compress_args_t compress = { .min_size = 1024, .gzip.quality = 1, .brotli.quality = -1 };
	h2o_hostconf_t *host;
	h2o_pathconf_t *path;
	struct site_handler *handler;

	h2o_config_init(global);
	global->server_name = h2o_iovec_init(NULL, 0);
	global->max_request_entity_size = (size_t) config.max_body;
	global->http1.req_timeout = (uint64_t) config.request_timeout_ms;
	/* Debian's h2o does not withstand a flood of resets: HTTP/1.1 only */
	global->http1.upgrade_to_http2 = 0;
	host = h2o_config_register_host(global, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	path = h2o_config_register_path(host, "/", 0);
	h2o_compress_register(path, &compress); /* of what asks for it: see http_download_begin */
	handler = (struct site_handler *) h2o_create_handler(path, sizeof *handler);
	handler->super.on_req = on_req;
	handler->site = site;
}

void
http_install(h2o_globalconf_t *global)
{
	install(global, &public_site, on_request);
}

void
http_install_admin(h2o_globalconf_t *admin)
{
	install(admin, &admin_site, on_admin_request);
}
