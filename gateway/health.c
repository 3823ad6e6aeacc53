#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "health.h"
#include "http.h"
#include "listen.h"
#include "loop.h"
#include "metric.h"
#include "pool.h"
#include "redis.h"
#include "route.h"
#include "text.h"
#include "transfer.h"

enum
{
	PROBE_MS = 1000,
	STUCK_US = 2000000
};

/* One question to the database on behalf of a health request. */
struct probe
{
	struct pool_query query;
	struct request *request;
	void (*answer)(struct request *request, bool database);
};

static uint64_t started_us;

static void
on_probe(struct pool_query *query, const struct pool_result *result)
{
	struct probe *probe = H2O_STRUCT_FROM_MEMBER(struct probe, query, query);
	struct request *request = probe->request;

	probe->answer(request, result->ok);
	http_release(request);
}

static void
ask(struct request *request, void (*answer)(struct request *request, bool database))
{
	struct probe *probe = http_alloc(request, sizeof *probe);

	http_keep(request);
	probe->request = request;
	probe->answer = answer;
	probe->query.steps[0].name = "probe";
	probe->query.steps[0].sql = "SELECT 1";
	probe->query.nsteps = 1;
	probe->query.lane = POOL_READ;
	probe->query.timeout_ms = PROBE_MS;
	probe->query.retry = true;
	probe->query.on_done = on_probe;
	pool_send(self->pool, &probe->query);
}

static const char *
redis_state(void)
{
	if (!self->redis)
		return "off";
	return redis_alive(self->redis) ? "up" : "down";
}

static void
reply_text(struct request *request, int status, const char *type, struct text *text)
{
	http_reply(request, status, type, text->base, text->len);
	text_free(text);
}

static void
answer_health(struct request *request, bool database)
{
	const char *redis = redis_state();
	const char *status = !database ? "down" : strcmp(redis, "down") == 0 ? "degraded" : "ok";
	struct text body = { 0 };

	text_printf(&body,
				"{\"status\":\"%s\",\"database\":\"%s\",\"redis\":\"%s\",\"uptime_s\":%llu,"
				"\"version\":\"%s\"",
				status,
				database ? "up" : "down",
				redis,
				(unsigned long long) ((text_clock_us() - started_us) / 1000000),
				SALESHUB_VERSION);
	text_printf(&body,
				",\"cache\":{\"hit_rate\":%.4f,\"p50_ms\":%.3f}}",
				metric_hit_rate(),
				metric_hit_p50_ms());
	if (!database)
		http_header(request, "retry-after", "1");
	reply_text(request, database ? 200 : 503, NULL, &body);
}

static void
get_health(struct request *request)
{
	ask(request, answer_health);
}

/* --- the operator's pages --- */

static void
get_live(struct request *request)
{
	struct text body = { 0 };
	bool live = true;

	for (int i = 0; i < loop_threads(); i++)
		live = live && loop_silence_us(i) < STUCK_US;
	text_printf(&body, "{\"live\":%s}", live ? "true" : "false");
	reply_text(request, live ? 200 : 503, NULL, &body);
}

static void
answer_ready(struct request *request, bool database)
{
	bool ready = database && route_loaded() && !self->draining;
	struct text body = { 0 };

	text_printf(&body,
				"{\"ready\":%s,\"database\":\"%s\",\"routes\":%s,\"draining\":%s,\"listening\":%s,"
				"\"redis\":\"%s\"}",
				ready ? "true" : "false",
				database ? "up" : "down",
				route_loaded() ? "true" : "false",
				self->draining ? "true" : "false",
				listen_alive() ? "true" : "false",
				redis_state());
	reply_text(request, ready ? 200 : 503, NULL, &body);
}

static void
get_ready(struct request *request)
{
	ask(request, answer_ready);
}

static void
get_metrics(struct request *request)
{
	struct text body = { 0 };

	metric_text(&body);
	reply_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static void
get_routes(struct request *request)
{
	struct text body = { 0 };

	text_puts(&body, "");
	route_list(&body);
	reply_text(request, 200, "text/plain; charset=utf-8", &body);
}

/* --- gauges --- */

static double
read_pool_size(void)
{
	return (double) pool_numbers().size;
}

static double
read_pool_idle(void)
{
	return (double) pool_numbers().idle;
}

static double
read_pool_waiting(void)
{
	return (double) pool_numbers().waiting;
}

static double
read_connections(void)
{
	return (double) loop_connections();
}

static double
read_listening(void)
{
	return listen_alive() ? 1 : 0;
}

/* The admin pages are served on thread 0, whose Redis connection stands for all. */
static double
read_redis(void)
{
	return self->redis && redis_alive(self->redis) ? 1 : 0;
}

static double
read_transfers(void)
{
	return transfer_count();
}

static double
read_one(void)
{
	return 1;
}

void
health_register(void)
{
	started_us = text_clock_us();
	http_register("GET", "/v1/health", get_health);
	http_register_admin("/live", get_live);
	http_register_admin("/ready", get_ready);
	http_register_admin("/startup", get_ready);
	http_register_admin("/metrics", get_metrics);
	http_register_admin("/debug/routes", get_routes);
	metric_gauge("saleshub_pg_pool_size", NULL, "Open database connections.", read_pool_size);
	metric_gauge(
		"saleshub_pg_pool_idle", NULL, "Database connections without work.", read_pool_idle);
	metric_gauge(
		"saleshub_pg_pool_waiting", NULL, "Queries waiting for a connection.", read_pool_waiting);
	metric_gauge("saleshub_transfers", NULL, "Uploads and downloads under way.", read_transfers);
	metric_gauge("saleshub_http_connections", NULL, "Open client connections.", read_connections);
	metric_gauge(
		"saleshub_events_listening", NULL, "1 while events are heard at once.", read_listening);
	metric_gauge("saleshub_redis_up", NULL, "1 while Redis answers.", read_redis);
	metric_gauge("saleshub_build_info",
				 "version=\"" SALESHUB_VERSION "\"",
				 "The gateway's version.",
				 read_one);
}
