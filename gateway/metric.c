#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "metric.h"

enum
{
	BUCKETS = 14,
	CODES = 28
};

struct metric
{
	struct metric *next;
	char *name, *labels, *help;
	atomic_uint_fast64_t value;
	double (*read)(void); /* gauge */
};

struct metric_route
{
	struct metric_route *next;
	char *method, *pattern;
	atomic_uint_fast64_t codes[CODES + 1];
	atomic_uint_fast64_t buckets[BUCKETS + 1];
	atomic_uint_fast64_t count, sum_us;
	atomic_uint_fast64_t query_count, query_us;
	atomic_uint_fast64_t cache[METRIC_CACHE_RESULTS];
};

static const uint32_t bounds_us[BUCKETS] = {
	100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000
};
static const int codes[CODES] = { 101, 200, 201, 202, 204, 206, 207, 301, 302, 303,
								  304, 400, 401, 403, 404, 405, 409, 411, 412, 413,
								  415, 422, 428, 429, 431, 500, 503, 504 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *metrics;
static struct metric_route *routes;
static atomic_uint_fast64_t hit_buckets[BUCKETS + 1];

static char *
copy(const char *string)
{
	char *result = strdup(string ? string : "");

	if (!result)
		abort();
	return result;
}

static struct metric *
find_or_make(const char *name, const char *labels, const char *help, double (*read)(void))
{
	struct metric **place = &metrics;
	struct metric *metric;

	pthread_mutex_lock(&lock);
	for (metric = metrics; metric; metric = metric->next)
	{
		if (strcmp(metric->name, name) == 0 && strcmp(metric->labels, labels ? labels : "") == 0)
			break;
		/* series of one name stand together: the text format wants that */
		if (strcmp(metric->name, name) <= 0)
			place = &metric->next;
	}
	if (!metric)
	{
		metric = calloc(1, sizeof *metric);
		if (!metric)
			abort();
		metric->name = copy(name);
		metric->labels = copy(labels);
		metric->help = copy(help);
		metric->read = read;
		metric->next = *place;
		*place = metric;
	}
	pthread_mutex_unlock(&lock);
	return metric;
}

struct metric *
metric_counter(const char *name, const char *labels, const char *help)
{
	return find_or_make(name, labels, help, NULL);
}

void
metric_gauge(const char *name, const char *labels, const char *help, double (*read)(void))
{
	find_or_make(name, labels, help, read);
}

void
metric_add(struct metric *metric, uint64_t n)
{
	atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}

struct metric_route *
metric_route(const char *method, const char *pattern)
{
	struct metric_route *route;

	pthread_mutex_lock(&lock);
	for (route = routes; route; route = route->next)
		if (strcmp(route->method, method) == 0 && strcmp(route->pattern, pattern) == 0)
			break;
	if (!route)
	{
		route = calloc(1, sizeof *route);
		if (!route)
			abort();
		route->method = copy(method);
		route->pattern = copy(pattern);
		route->next = routes;
		routes = route;
	}
	pthread_mutex_unlock(&lock);
	return route;
}

static void
count(atomic_uint_fast64_t *value, uint64_t n)
{
	atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

static uint64_t
read_value(atomic_uint_fast64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static int
bucket_of(uint64_t us)
{
	int i = 0;

	while (i < BUCKETS && us > bounds_us[i])
		i++;
	return i;
}

void
metric_request(struct metric_route *route, int status, uint64_t us)
{
	int i = 0;

	while (i < CODES && codes[i] != status)
		i++;
	count(&route->codes[i], 1);
	count(&route->buckets[bucket_of(us)], 1);
	count(&route->count, 1);
	count(&route->sum_us, us);
}

void
metric_request_cache(struct metric_route *route, enum metric_cache result)
{
	count(&route->cache[result], 1);
}

void
metric_request_query(struct metric_route *route, uint64_t us)
{
	count(&route->query_count, 1);
	count(&route->query_us, us);
}

void
metric_hit_time(uint64_t us)
{
	count(&hit_buckets[bucket_of(us)], 1);
}

double
metric_hit_rate(void)
{
	uint64_t hits = 0;
	uint64_t all = 0;

	pthread_mutex_lock(&lock);
	for (struct metric_route *route = routes; route; route = route->next)
	{
		hits += read_value(&route->cache[METRIC_CACHE_HIT]);
		for (int i = 0; i < METRIC_CACHE_RESULTS; i++)
			all += read_value(&route->cache[i]);
	}
	pthread_mutex_unlock(&lock);
	return all == 0 ? 0 : (double) hits / (double) all;
}

double
metric_hit_p50_ms(void)
{
	uint64_t all = 0;
	uint64_t seen = 0;

	for (int i = 0; i <= BUCKETS; i++)
		all += read_value(&hit_buckets[i]);
	if (all == 0)
		return 0;
	for (int i = 0; i < BUCKETS; i++)
	{
		seen += read_value(&hit_buckets[i]);
		if (seen * 2 >= all)
			return bounds_us[i] / 1000.0;
	}
	return bounds_us[BUCKETS - 1] / 1000.0;
}

static void
head(struct text *out, const char *name, const char *type, const char *help)
{
	text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
route_counts(struct text *out)
{
	head(out, "saleshub_http_requests_total", "counter", "Answered requests.");
	for (struct metric_route *route = routes; route; route = route->next)
		for (int i = 0; i <= CODES; i++)
			if (read_value(&route->codes[i]) > 0)
				text_printf(
					out,
					"saleshub_http_requests_total{route=\"%s\",method=\"%s\",code=\"%d\"} %llu\n",
					route->pattern,
					route->method,
					i < CODES ? codes[i] : 0,
					(unsigned long long) read_value(&route->codes[i]));
}

static void
route_times(struct text *out)
{
	const char *name = "saleshub_http_request_duration_seconds";

	head(out, name, "histogram", "Time from the whole request to its answer.");
	for (struct metric_route *route = routes; route; route = route->next)
	{
		uint64_t sum = 0;

		if (read_value(&route->count) == 0)
			continue;
		for (int i = 0; i <= BUCKETS; i++)
		{
			sum += read_value(&route->buckets[i]);
			text_printf(out,
						"%s_bucket{route=\"%s\",method=\"%s\",le=\"",
						name,
						route->pattern,
						route->method);
			if (i < BUCKETS)
				text_printf(out, "%g", bounds_us[i] / 1e6);
			else
				text_puts(out, "+Inf");
			text_printf(out, "\"} %llu\n", (unsigned long long) sum);
		}
		text_printf(out,
					"%s_sum{route=\"%s\",method=\"%s\"} %.6f\n",
					name,
					route->pattern,
					route->method,
					(double) read_value(&route->sum_us) / 1e6);
		text_printf(out,
					"%s_count{route=\"%s\",method=\"%s\"} %llu\n",
					name,
					route->pattern,
					route->method,
					(unsigned long long) sum);
	}
}

static void
route_queries(struct text *out)
{
	head(out, "saleshub_pg_query_seconds", "summary", "Time in the database, queueing included.");
	for (struct metric_route *route = routes; route; route = route->next)
	{
		if (read_value(&route->query_count) == 0)
			continue;
		text_printf(out,
					"saleshub_pg_query_seconds_sum{route=\"%s\",method=\"%s\"} %.6f\n",
					route->pattern,
					route->method,
					(double) read_value(&route->query_us) / 1e6);
		text_printf(out,
					"saleshub_pg_query_seconds_count{route=\"%s\",method=\"%s\"} %llu\n",
					route->pattern,
					route->method,
					(unsigned long long) read_value(&route->query_count));
	}
}

static void
route_caches(struct text *out)
{
	static const char *const results[] = { "hit", "miss", "stale", "bypass" };

	head(out, "saleshub_cache_requests_total", "counter", "Requests to cached routes by outcome.");
	for (struct metric_route *route = routes; route; route = route->next)
		for (int i = 0; i < METRIC_CACHE_RESULTS; i++)
			if (read_value(&route->cache[i]) > 0)
				text_printf(out,
							"saleshub_cache_requests_total{route=\"%s\",method=\"%s\",result=\"%"
							"s\"} %llu\n",
							route->pattern,
							route->method,
							results[i],
							(unsigned long long) read_value(&route->cache[i]));
}

void
metric_text(struct text *out)
{
	const char *previous = "";

	pthread_mutex_lock(&lock);
	route_counts(out);
	route_times(out);
	route_queries(out);
	route_caches(out);
	for (struct metric *metric = metrics; metric; metric = metric->next)
	{
		if (strcmp(metric->name, previous) != 0)
			head(out, metric->name, metric->read ? "gauge" : "counter", metric->help);
		previous = metric->name;
		text_puts(out, metric->name);
		if (metric->labels[0] != '\0')
			text_printf(out, "{%s}", metric->labels);
		if (metric->read)
			text_printf(out, " %g\n", metric->read());
		else
			text_printf(out, " %llu\n", (unsigned long long) read_value(&metric->value));
	}
	pthread_mutex_unlock(&lock);
}
