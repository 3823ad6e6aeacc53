/* Counters, gauges and the request histograms; written out as Prometheus text. */
#pragma once

#include <stdint.h>

#include "text.h"

struct metric;
struct metric_route;

/* The counter of that name and labels (`event="x"`, NULL: none), made on first use; lives for ever.
 */
struct metric *metric_counter(const char *name, const char *labels, const char *help);
void metric_add(struct metric *metric, uint64_t n);
/* A value read when the metrics are asked for. */
void metric_gauge(const char *name, const char *labels, const char *help, double (*read)(void));

enum metric_cache
{
	METRIC_CACHE_HIT,
	METRIC_CACHE_MISS,
	METRIC_CACHE_STALE,
	METRIC_CACHE_BYPASS,
	METRIC_CACHE_RESULTS
};

/* The numbers of one method and path pattern, made on first use; lives for ever. */
struct metric_route *metric_route(const char *method, const char *pattern);
void metric_request(struct metric_route *route, int status, uint64_t us);
void metric_request_cache(struct metric_route *route, enum metric_cache result);
/* Seconds the database took for one request of the route. */
void metric_request_query(struct metric_route *route, uint64_t us);

/* Share of cache hits so far (0 without any) and an upper bound of the median of their times in ms.
 */
double metric_hit_rate(void);
double metric_hit_p50_ms(void);
void metric_hit_time(uint64_t us);

void metric_text(struct text *out);
