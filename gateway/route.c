#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "metric.h"
#include "pool.h"
#include "route.h"

enum
{
	MAX_SEGMENTS = 16,
	LOAD_MS = 10000, /* time for the catalogue query */
	RETRY_MS = 500,	 /* after a failed load */
	SETTLE_MS = 50,	 /* several changes in a row make one load */
	BLIND_MS = 30000 /* without shared memory nobody tells of changes: look this often */
};

static const char *const methods[ROUTE_METHODS] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

/* One segment of the paths below its parent. */
struct node
{
	char *text; /* literal, or what follows the captured part */
	bool capture;
	struct node **children; /* literals first, then captures by falling length of text */
	size_t nchildren;
	const struct route *routes[ROUTE_METHODS];
};

struct route_table
{
	json_t *catalog; /* the routes' strings point into it */
	int64_t epoch;
	struct route *routes;
	size_t nroutes;
	struct node root;
	atomic_int references;
};

/* The table of this thread. */
static __thread struct route_table *current;

/* Loading happens on thread 0. */
static void (*loaded_hook)(void);
static struct pool_query load_query;
static struct timer load_timer;
static bool load_complained, loading;
static atomic_int installs_left;
static atomic_bool reload_asked;

static void *
allocate(size_t size)
{
	void *result = calloc(1, size > 0 ? size : 1);

	if (!result)
		abort();
	return result;
}

/* --- building --- */

static int
method_index(const char *method)
{
	for (int i = 0; i < ROUTE_METHODS; i++)
		if (method && strcmp(method, methods[i]) == 0)
			return i;
	return -1;
}

static bool
goes_before(const struct node *a, const struct node *b)
{
	if (a->capture != b->capture)
		return !a->capture;
	return a->capture && strlen(a->text) > strlen(b->text);
}

static struct node *
child_of(struct node *node, const char *text, size_t len, bool capture)
{
	struct node *child;
	size_t at;

	for (size_t i = 0; i < node->nchildren; i++)
	{
		child = node->children[i];
		if (child->capture == capture && strlen(child->text) == len &&
			memcmp(child->text, text, len) == 0)
			return child;
	}
	child = allocate(sizeof *child);
	child->text = strndup(text, len);
	child->capture = capture;
	node->children = realloc(node->children, (node->nchildren + 1) * sizeof *node->children);
	if (!node->children || !child->text)
		abort();
	at = node->nchildren++;
	while (at > 0 && goes_before(child, node->children[at - 1]))
	{
		node->children[at] = node->children[at - 1];
		at--;
	}
	node->children[at] = child;
	return child;
}

static void
nodes_free(struct node *node)
{
	for (size_t i = 0; i < node->nchildren; i++)
	{
		nodes_free(node->children[i]);
		free(node->children[i]);
	}
	free(node->children);
	free(node->text);
}

/* Hangs the route into the trie. */
static bool
add_path(struct route_table *table, const struct route *route)
{
	struct node *node = &table->root;
	const char *p = route->path;

	while (*p == '/')
	{
		size_t len = strcspn(p + 1, "/");
		const char *close = p[1] == '{' ? memchr(p + 1, '}', len) : NULL;

		if (close)
			node = child_of(node, close + 1, len - (size_t) (close + 1 - (p + 1)), true);
		else
			node = child_of(node, p + 1, len, false);
		p += 1 + len;
	}
	node->routes[method_index(route->method)] = route;
	return *p == '\0';
}

/* Number of the placeholder of that name in the path, -1: none. */
static int
capture_number(const char *path, const char *name)
{
	size_t len = strlen(name);
	int n = 0;

	for (const char *p = strchr(path, '{'); p; p = strchr(p + 1, '{'))
	{
		if (strncmp(p + 1, name, len) == 0 && p[1 + len] == '}')
			return n;
		n++;
	}
	return -1;
}

static bool
source_of(const char *name, enum route_source *out)
{
	static const char *const names[] = { "path",   "query",	  "header", "body",
										 "prefer", "filters", "upload" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		if (name && strcmp(name, names[i]) == 0)
		{
			*out = (enum route_source) i;
			return true;
		}
	}
	return false;
}

static struct schema *
filters_schema(const json_t *schema, char *why, size_t why_size)
{
	json_t *object = json_object();
	json_t *fields = json_object_get(schema, "fields");
	struct schema *result;

	json_object_set_new(object, "properties", fields ? json_incref(fields) : json_object());
	result = schema_compile(object, why, why_size);
	json_decref(object);
	return result;
}

static bool
build_arg(struct route *route, struct route_arg *arg, const json_t *json, char *why,
		  size_t why_size)
{
	const json_t *schema = json_object_get(json, "schema");

	arg->name = json_string_value(json_object_get(json, "name"));
	arg->wire = json_string_value(json_object_get(json, "wire"));
	arg->type = json_string_value(json_object_get(json, "type"));
	arg->required = json_is_true(json_object_get(json, "required"));
	if (!arg->name || !arg->wire || !arg->type ||
		!source_of(json_string_value(json_object_get(json, "in")), &arg->source))
	{
		snprintf(why, why_size, "an argument is incomplete");
		return false;
	}
	if (arg->source == ROUTE_PATH)
	{
		arg->capture = capture_number(route->path, arg->wire);
		if (arg->capture < 0 || arg->capture >= ROUTE_CAPTURES)
		{
			snprintf(why, why_size, "the path has no {%s}", arg->wire);
			return false;
		}
	}
	if (arg->source == ROUTE_UPLOAD)
	{
		json_int_t max = json_integer_value(json_object_get(schema, "max"));

		arg->max = max > 0 ? (uint64_t) max : UINT64_MAX;
		arg->types = json_object_get(schema, "types");
		route->upload = (int) (arg - route->args);
	}
	arg->schema = arg->source == ROUTE_FILTERS ? filters_schema(schema, why, why_size) :
												 schema_compile(schema, why, why_size);
	return arg->schema != NULL;
}

static unsigned
hash(const char *text)
{
	unsigned h = 2166136261u;

	while (*text)
		h = (h ^ (unsigned char) *text++) * 16777619u;
	return h;
}

static bool
is_word(const json_t *json, const char *key, const char *word)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value && strcmp(value, word) == 0;
}

static void
build_once(struct route *route)
{
	struct text sql = { 0 };

	text_printf(&sql,
				"SELECT saleshub.idempotency_store($%d::text, (%s)::jsonb)",
				route->nargs + 1,
				route->sql);
	route->once_sql = sql.base;
	snprintf(
		route->once_statement, sizeof route->once_statement, "o%d.%08x", route->id, hash(sql.base));
}

static bool
build_route(struct route *route, const json_t *json, char *why, size_t why_size)
{
	const json_t *args = json_object_get(json, "args");

	route->id = (int) json_integer_value(json_object_get(json, "id"));
	route->method = json_string_value(json_object_get(json, "method"));
	route->path = json_string_value(json_object_get(json, "path"));
	route->sql = json_string_value(json_object_get(json, "sql"));
	route->session = !is_word(json, "auth", "none") && !is_word(json, "auth", "optional");
	route->optional = is_word(json, "auth", "optional");
	route->strict = is_word(json, "cache", "strict");
	route->idempotent = json_is_true(json_object_get(json, "idempotent"));
	route->stream = json_is_true(json_object_get(json, "stream"));
	route->read_only = json_is_true(json_object_get(json, "read_only"));
	route->success = (int) json_integer_value(json_object_get(json, "success"));
	route->max_body = (size_t) json_integer_value(json_object_get(json, "max_body"));
	route->timeout_ms = (uint32_t) json_integer_value(json_object_get(json, "timeout_ms"));
	if (method_index(route->method) < 0 || !route->path || route->path[0] != '/' || !route->sql ||
		route->timeout_ms == 0)
	{
		snprintf(why, why_size, "the route is incomplete");
		return false;
	}
	route->upload = -1;
	snprintf(route->statement, sizeof route->statement, "r%d.%08x", route->id, hash(route->sql));
	route->metric = metric_route(route->method, route->path);
	route->args = allocate(json_array_size(args) * sizeof *route->args);
	for (size_t i = 0; i < json_array_size(args); i++)
	{
		route->nargs++;
		if (!build_arg(route, &route->args[i], json_array_get(args, i), why, why_size))
			return false;
	}
	if (route->idempotent)
		build_once(route);
	return true;
}

static void
route_fini(struct route *route)
{
	for (int i = 0; i < route->nargs; i++)
		schema_free(route->args[i].schema);
	free(route->args);
	free(route->once_sql);
	memset(route, 0, sizeof *route);
}

struct route_table *
route_build(json_t *catalog, int64_t epoch, char *why, size_t why_size)
{
	struct route_table *table;
	size_t i;
	json_t *entry;

	if (!json_is_array(catalog))
	{
		snprintf(why, why_size, "the catalogue is not an array");
		return NULL;
	}
	table = allocate(sizeof *table);
	table->catalog = json_incref(catalog);
	table->epoch = epoch;
	table->routes = allocate(json_array_size(catalog) * sizeof *table->routes);
	atomic_store(&table->references, 1);
	/* one route that makes no sense must not take the others away */
	json_array_foreach(catalog, i, entry)
	{
		struct route *route = &table->routes[table->nroutes];

		why[0] = '\0';
		if (build_route(route, entry, why, why_size))
		{
			table->nroutes++;
			add_path(table, route);
			continue;
		}
		log_event(LOG_LEVEL_ERROR,
				  "route",
				  "left out %s %s: %s",
				  route->method ? route->method : "?",
				  route->path ? route->path : "?",
				  why);
		route_fini(route);
	}
	return table;
}

void
route_keep(struct route_table *table)
{
	atomic_fetch_add(&table->references, 1);
}

void
route_release(struct route_table *table)
{
	if (!table || atomic_fetch_sub(&table->references, 1) > 1)
		return;
	for (size_t i = 0; i < table->nroutes; i++)
		route_fini(&table->routes[i]);
	free(table->routes);
	nodes_free(&table->root);
	json_decref(table->catalog);
	free(table);
}

/* --- finding --- */

struct segments
{
	char *base[MAX_SEGMENTS];
	size_t len[MAX_SEGMENTS];
	int n;
};

/* Splits and decodes; false: malformed. A path too deep for any route has no segments. */
static bool
split(const char *path, size_t len, char *buffer, struct segments *segments)
{
	const char *end = path + len;

	segments->n = 0;
	while (path < end && *path == '/')
	{
		const char *start = path + 1;
		const char *stop = memchr(start, '/', (size_t) (end - start));
		size_t n;

		if (!stop)
			stop = end;
		if (segments->n == MAX_SEGMENTS)
		{
			segments->n = 0;
			return true;
		}
		if (!text_url_decode(start, (size_t) (stop - start), false, buffer, &n))
			return false;
		segments->base[segments->n] = buffer;
		segments->len[segments->n++] = n;
		buffer[n] = '\0';
		buffer += n + 1;
		path = stop;
	}
	return true;
}

static bool
has_routes(const struct node *node)
{
	for (int i = 0; i < ROUTE_METHODS; i++)
		if (node->routes[i])
			return true;
	return false;
}

/* The node of the segments from i on; a node with the wanted method wins over one without. */
static const struct node *
descend(const struct node *node, const struct segments *segments, int i, int method,
		struct route_match *match)
{
	const struct node *second = NULL;

	if (i == segments->n)
		return has_routes(node) ? node : NULL;
	for (size_t c = 0; c < node->nchildren; c++)
	{
		const struct node *child = node->children[c];
		const struct node *found;
		size_t text = strlen(child->text);
		size_t len = segments->len[i];
		int captures = match->ncaptures;

		if (child->capture ? len <= text : len != text)
			continue;
		if (memcmp(segments->base[i] + len - text, child->text, text) != 0)
			continue;
		if (child->capture)
		{
			if (captures == ROUTE_CAPTURES)
				continue;
			match->captures[captures] = segments->base[i];
			match->lengths[captures] = len - text;
			match->ncaptures++;
		}
		found = descend(child, segments, i + 1, method, match);
		if (found && method >= 0 && found->routes[method])
			return found;
		if (found && !second)
			second = found;
		match->ncaptures = captures;
	}
	return second;
}

static void
list_methods(const struct node *node, struct route_match *match)
{
	size_t len = 0;

	for (int i = 0; i < ROUTE_METHODS; i++)
		if (node->routes[i])
			len += (size_t) snprintf(match->allow + len,
									 sizeof match->allow - len,
									 "%s%s%s",
									 len > 0 ? ", " : "",
									 methods[i],
									 i == 0 ? ", HEAD" : "");
}

enum route_found
route_find_in(struct route_table *table, const char *method, const char *path, size_t len,
			  char *buffer, struct route_match *match)
{
	struct segments segments;
	const struct node *node;
	int index = method_index(strcmp(method, "HEAD") == 0 ? "GET" : method);

	match->ncaptures = 0;
	match->allow[0] = '\0';
	if (!split(path, len, buffer, &segments))
		return ROUTE_BAD_PATH;
	if (segments.n == 0)
		return ROUTE_NO_PATH;
	node = descend(&table->root, &segments, 0, index, match);
	if (!node)
		return ROUTE_NO_PATH;
	list_methods(node, match);
	if (index < 0 || !node->routes[index])
		return ROUTE_NO_METHOD;
	/* a suffix like ":verb" ends the captured text */
	for (int i = 0; i < match->ncaptures; i++)
		match->captures[i][match->lengths[i]] = '\0';
	match->route = node->routes[index];
	match->table = table;
	route_keep(table);
	return ROUTE_FOUND;
}

enum route_found
route_find(const char *method, const char *path, size_t len, char *buffer,
		   struct route_match *match)
{
	if (!current)
		return ROUTE_NO_TABLE;
	return route_find_in(current, method, path, len, buffer, match);
}

int64_t
route_epoch(const struct route_table *table)
{
	return table->epoch;
}

bool
route_loaded(void)
{
	return current != NULL;
}

void
route_list(struct text *out)
{
	for (size_t i = 0; current && i < current->nroutes; i++)
	{
		const struct route *route = &current->routes[i];

		text_printf(out,
					"%-6s %-44s %s%s%s\n",
					route->method,
					route->path,
					route->sql,
					route->strict ? " [strict]" : "",
					route->session ? "" : " [open]");
	}
}

/* --- loading --- */

enum
{
	LOAD_EPOCH,
	LOAD_ROUTES,
	LOAD_STEPS
};

static void load(struct timer *timer);

static void
all_installed(void *data)
{
	(void) data;
	atomic_store(&reload_asked, false);
	if (loaded_hook)
		loaded_hook();
	loaded_hook = NULL;
	if (current->epoch == 0)
		timer_start(&load_timer, BLIND_MS, load);
}

static void
install(void *data)
{
	route_release(current);
	current = data;
	if (atomic_fetch_sub(&installs_left, 1) == 1)
		loop_post(0, all_installed, NULL);
}

/* Gives every thread its reference. */
static void
distribute(struct route_table *table)
{
	int n = loop_threads();

	atomic_fetch_add(&table->references, n - 1);
	atomic_store(&installs_left, n);
	loop_broadcast(install, table);
}

static void
load_failed(const char *why)
{
	if (!load_complained)
		log_event(LOG_LEVEL_ERROR, "route", "cannot load the routes: %s", why);
	load_complained = true;
	timer_start(&load_timer, RETRY_MS, load);
}

static void
on_loaded(struct pool_query *query, const struct pool_result *result)
{
	struct pool_value value =
		result->ok ? pool_value(result, LOAD_ROUTES, 0, 0) : (struct pool_value){ NULL, 0 };
	struct pool_value number = pool_value(result, LOAD_EPOCH, 0, 0);
	struct route_table *table;
	int64_t epoch = 0;
	json_t *catalog;
	char why[160] = "";

	loading = false;
	if (!value.base)
	{
		load_failed(result->unavailable ? "the database cannot be reached" :
					result->message		? result->message :
										  "no catalogue");
		return;
	}
	if (number.base)
		text_integer(number.base, number.len, &epoch);
	catalog = json_loadb(value.base, value.len, 0, NULL);
	table = route_build(catalog, epoch, why, sizeof why);
	json_decref(catalog);
	if (!table)
	{
		load_failed(why);
		return;
	}
	(void) query;
	load_complained = false;
	log_event(LOG_LEVEL_INFO,
			  "route",
			  "%zu routes loaded, epoch %lld",
			  table->nroutes,
			  (long long) table->epoch);
	distribute(table);
}

static void
load(struct timer *timer)
{
	(void) timer;
	if (loading)
	{
		timer_start(&load_timer, SETTLE_MS, load);
		return;
	}
	loading = true;
	memset(&load_query, 0, sizeof load_query);
	/* the number first: a table that bears it is at least that new */
	load_query.steps[LOAD_EPOCH].name = "route_epoch";
	load_query.steps[LOAD_EPOCH].sql = "SELECT saleshub.route_epoch()";
	load_query.steps[LOAD_ROUTES].name = "routes";
	load_query.steps[LOAD_ROUTES].sql = "SELECT saleshub.route_catalog()";
	load_query.nsteps = LOAD_STEPS;
	load_query.lane = POOL_READ;
	load_query.timeout_ms = LOAD_MS;
	load_query.retry = true;
	load_query.on_done = on_loaded;
	pool_send(self->pool, &load_query);
}

static void
load_soon(void *data)
{
	(void) data;
	timer_start(&load_timer, SETTLE_MS, load);
}

void
route_seen_epoch(int64_t epoch)
{
	if (!current || epoch == current->epoch || atomic_exchange(&reload_asked, true))
		return;
	loop_post(0, load_soon, NULL);
}

void
route_start(void (*loaded)(void))
{
	loaded_hook = loaded;
	atomic_store(&reload_asked, true);
	load(NULL);
}
