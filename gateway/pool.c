#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "loop.h"
#include "metric.h"
#include "pipeline.h"
#include "pool.h"
#include "text.h"

enum
{
	MAX_CONNECTIONS = 64,
	READ_DEPTH = 16,   /* queries in flight on a read connection */
	ROLLBACK_RUNS = 3, /* further runs after a serialization failure or deadlock */
	LOST_RUNS = 1,	   /* further runs of a read whose connection was lost */
	TICK_MS = 50,
	SLOW_US = 25000, /* a connection whose query takes longer gets no more */
	GRACE_MS = 1000	 /* the server's own time-out answers first */
};

struct queue
{
	struct pool_query *head, **tail;
	size_t length;
};

struct lane
{
	struct pipeline *connections[MAX_CONNECTIONS];
	int nconnections, depth;
	uint64_t down_since; /* first query that found no connection, 0: not down */
	struct queue waiting;
};

/* A query that waits before its next run. */
struct rerun
{
	struct timer timer;
	struct pool *pool;
	struct pool_query *query;
};

struct pool
{
	struct lane lanes[POOL_LANES];
	struct queue refused; /* answered at the end of the turn */
	size_t limit;
	struct turn_end turn;
	struct timer tick;
	atomic_size_t size, idle, waiting; /* for other threads to read */
	struct pool *next;
};

static void on_ready(struct pipeline *pipeline);
static void on_ended(struct pipeline *pipeline, struct pool_query *query,
					 struct pool_result *result);

static const struct pipeline_events events = { on_ready, on_ended };
static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools;

/* --- results --- */

int
pool_rows(const struct pool_result *result, int step)
{
	return result->rows[step] ? PQntuples(result->rows[step]) : 0;
}

struct pool_value
pool_value(const struct pool_result *result, int step, int row, int column)
{
	const PGresult *rows = result->rows[step];

	if (!rows || row >= PQntuples(rows) || column >= PQnfields(rows) ||
		PQgetisnull(rows, row, column))
		return (struct pool_value){ NULL, 0 };
	return (struct pool_value){ PQgetvalue(rows, row, column),
								(size_t) PQgetlength(rows, row, column) };
}

/* --- the queues --- */

static void
push(struct queue *queue, struct pool_query *query)
{
	query->next = NULL;
	*queue->tail = query;
	queue->tail = &query->next;
	queue->length++;
}

static void
push_front(struct queue *queue, struct pool_query *query)
{
	query->next = queue->head;
	if (!queue->head)
		queue->tail = &query->next;
	queue->head = query;
	queue->length++;
}

static struct pool_query *
pop(struct queue *queue)
{
	struct pool_query *query = queue->head;

	queue->head = query->next;
	if (!queue->head)
		queue->tail = &queue->head;
	queue->length--;
	query->next = NULL;
	return query;
}

static void
publish(struct pool *pool)
{
	size_t size = 0;
	size_t idle = 0;

	for (int l = 0; l < POOL_LANES; l++)
	{
		for (int i = 0; i < pool->lanes[l].nconnections; i++)
		{
			if (!pipeline_ready(pool->lanes[l].connections[i]))
				continue;
			size++;
			idle += pipeline_depth(pool->lanes[l].connections[i]) == 0;
		}
	}
	atomic_store_explicit(&pool->size, size, memory_order_relaxed);
	atomic_store_explicit(&pool->idle, idle, memory_order_relaxed);
	atomic_store_explicit(&pool->waiting, pool_waiting(pool), memory_order_relaxed);
}

struct pool_numbers
pool_numbers(void)
{
	struct pool_numbers sum = { 0, 0, 0 };

	pthread_mutex_lock(&pools_lock);
	for (struct pool *pool = pools; pool; pool = pool->next)
	{
		sum.size += atomic_load_explicit(&pool->size, memory_order_relaxed);
		sum.idle += atomic_load_explicit(&pool->idle, memory_order_relaxed);
		sum.waiting += atomic_load_explicit(&pool->waiting, memory_order_relaxed);
	}
	pthread_mutex_unlock(&pools_lock);
	return sum;
}

/* --- sending --- */

/* The ready connection of the lane with the fewest queries under way, NULL when all are full. */
static struct pipeline *
choose(const struct lane *lane, uint64_t now)
{
	struct pipeline *best = NULL;

	for (int i = 0; i < lane->nconnections; i++)
	{
		struct pipeline *pipeline = lane->connections[i];
		struct pipeline_age age;

		if (!pipeline_ready(pipeline) || pipeline_depth(pipeline) >= lane->depth)
			continue;
		/* answers come in order: behind a slow one all would wait, even with another free soon */
		if (pipeline_oldest(pipeline, &age) && now > age.since + SLOW_US)
			continue;
		if (!best || pipeline_depth(pipeline) < pipeline_depth(best))
			best = pipeline;
	}
	return best;
}

static bool
is_busy(const struct pool *pool)
{
	for (int l = 0; l < POOL_LANES; l++)
	{
		if (pool->lanes[l].waiting.head)
			return true;
		for (int i = 0; i < pool->lanes[l].nconnections; i++)
			if (pipeline_depth(pool->lanes[l].connections[i]) > 0)
				return true;
	}
	return false;
}

static void
refuse_all(struct pool *pool)
{
	static const struct pool_result result = { .unavailable = true, .failed_step = -1 };

	while (pool->refused.head)
	{
		struct pool_query *query = pop(&pool->refused);

		query->on_done(query, &result);
	}
}

static void on_tick(struct timer *timer);

static void
on_turn_end(struct turn_end *turn)
{
	struct pool *pool = H2O_STRUCT_FROM_MEMBER(struct pool, turn, turn);
	uint64_t now = text_clock_us();

	for (int l = 0; l < POOL_LANES; l++)
	{
		struct lane *lane = &pool->lanes[l];

		while (lane->waiting.head)
		{
			struct pipeline *pipeline = choose(lane, now);
			struct pool_query *query;

			if (!pipeline)
				break;
			query = pop(&lane->waiting);
			query->connection = pipeline;
			if (!pipeline_send(pipeline, query))
				push_front(&lane->waiting, query);
		}
	}
	refuse_all(pool);
	publish(pool);
	if (!pool->tick.list && is_busy(pool))
		timer_start(&pool->tick, TICK_MS, on_tick);
}

/* Nobody could be served for as long as anybody would wait: do not let more wait. */
static bool
is_down(struct lane *lane, uint64_t now)
{
	for (int i = 0; i < lane->nconnections; i++)
	{
		if (pipeline_ready(lane->connections[i]))
		{
			lane->down_since = 0;
			return false;
		}
	}
	if (lane->down_since == 0)
		lane->down_since = now;
	return now - lane->down_since > (uint64_t) config.queue_timeout_ms * 1000;
}

void
pool_send(struct pool *pool, struct pool_query *query)
{
	struct lane *lane = &pool->lanes[query->lane];

	query->attempts = 0;
	query->rerun = false;
	query->connection = NULL;
	query->queued_at = text_clock_us();
	if (pool_waiting(pool) >= pool->limit || is_down(lane, query->queued_at))
		push(&pool->refused, query);
	else
		push(&lane->waiting, query);
	loop_at_turn_end(&pool->turn);
}

/* --- time-outs --- */

static void
expire_waiting(struct pool *pool, struct lane *lane, uint64_t now)
{
	while (lane->waiting.head)
	{
		const struct pool_query *query = lane->waiting.head;
		uint64_t limit_ms = query->timeout_ms;

		if (limit_ms > (uint64_t) config.queue_timeout_ms)
			limit_ms = (uint64_t) config.queue_timeout_ms;
		if (now < query->queued_at + limit_ms * 1000)
			break;
		push(&pool->refused, pop(&lane->waiting));
	}
}

static void
expire_running(struct lane *lane, uint64_t now)
{
	for (int i = 0; i < lane->nconnections; i++)
	{
		struct pipeline *pipeline = lane->connections[i];
		struct pipeline_age age;

		pipeline_abandon(pipeline, now, (uint64_t) (config.queue_timeout_ms + GRACE_MS) * 1000);
		if (pipeline_oldest(pipeline, &age) &&
			now > age.since + ((uint64_t) age.timeout_ms + GRACE_MS) * 1000)
			pipeline_break(pipeline, "the server does not answer");
	}
}

static void
on_tick(struct timer *timer)
{
	struct pool *pool = H2O_STRUCT_FROM_MEMBER(struct pool, tick, timer);
	uint64_t now = text_clock_us();

	for (int l = 0; l < POOL_LANES; l++)
	{
		expire_running(&pool->lanes[l], now);
		expire_waiting(pool, &pool->lanes[l], now);
	}
	loop_at_turn_end(&pool->turn);
}

/* --- outcomes --- */

/* One connection is back, so the others need not wait for their turn to try. */
static void
on_ready(struct pipeline *pipeline)
{
	struct pool *pool = pipeline_data(pipeline);

	for (int l = 0; l < POOL_LANES; l++)
		for (int i = 0; i < pool->lanes[l].nconnections; i++)
			pipeline_hurry(pool->lanes[l].connections[i]);
	loop_at_turn_end(&pool->turn);
}

static void
on_rerun(struct timer *timer)
{
	struct rerun *rerun = H2O_STRUCT_FROM_MEMBER(struct rerun, timer, timer);
	struct pool *pool = rerun->pool;

	rerun->query->queued_at = text_clock_us();
	push(&pool->lanes[rerun->query->lane].waiting, rerun->query);
	free(rerun);
	loop_at_turn_end(&pool->turn);
}

static void
run_later(struct pool *pool, struct pool_query *query)
{
	struct rerun *rerun = calloc(1, sizeof *rerun);

	if (!rerun)
		abort();
	rerun->pool = pool;
	rerun->query = query;
	timer_start(
		&rerun->timer, 2 + (uint64_t) random() % (uint64_t) (20 << query->attempts), on_rerun);
}

static void
count_rerun(const char *sqlstate)
{
	char label[32];

	snprintf(label, sizeof label, "sqlstate=\"%.5s\"", sqlstate);
	metric_add(metric_counter("saleshub_pg_retries_total", label, "Transactions run again."), 1);
}

static bool
is_state(const struct pool_result *result, const char *sqlstate)
{
	return result->sqlstate && strcmp(result->sqlstate, sqlstate) == 0;
}

/* The outcome calls for another run, which was arranged. */
static bool
run_again(struct pool *pool, struct pipeline *pipeline, struct pool_query *query,
		  const struct pool_result *result)
{
	if (result->unavailable)
	{
		if (!query->retry || query->attempts >= LOST_RUNS)
			return false;
		query->attempts++;
		query->queued_at = text_clock_us();
		count_rerun("lost");
		push_front(&pool->lanes[query->lane].waiting, query);
		return true;
	}
	if (is_state(result, "40001") || is_state(result, "40P01"))
	{
		if (query->attempts >= ROLLBACK_RUNS)
			return false;
		query->attempts++;
		count_rerun(result->sqlstate);
		run_later(pool, query);
		return true;
	}
	/* the server forgot the statement, knows another of that name, or its result changed shape */
	if (is_state(result, "26000") || is_state(result, "42P05") || is_state(result, "0A000"))
	{
		if (query->rerun)
			return false;
		query->rerun = true;
		/* who forgot one statement (DISCARD, a pooler in between) forgot all */
		pipeline_rename(pipeline,
						is_state(result, "26000") ? NULL : query->steps[result->failed_step].name);
		count_rerun(result->sqlstate);
		push_front(&pool->lanes[query->lane].waiting, query);
		return true;
	}
	return false;
}

static void
on_ended(struct pipeline *pipeline, struct pool_query *query, struct pool_result *result)
{
	struct pool *pool = pipeline_data(pipeline);

	query->connection = NULL;
	loop_at_turn_end(&pool->turn);
	if (result->ok || !run_again(pool, pipeline, query, result))
		query->on_done(query, result);
}

/* --- the pool --- */

static void
lane_open(struct pool *pool, struct lane *lane, const char *conninfo, int n, int depth)
{
	lane->depth = depth;
	for (int i = 0; i < n && i < MAX_CONNECTIONS; i++)
	{
		lane->connections[i] = pipeline_new(conninfo, &events, pool);
		lane->nconnections++;
	}
}

struct pool *
pool_new(const char *conninfo, int read_connections, int write_connections, int queue_limit)
{
	struct pool *pool = calloc(1, sizeof *pool);

	if (!pool)
		abort();
	pool->limit = (size_t) queue_limit;
	pool->turn.run = on_turn_end;
	pool->refused.tail = &pool->refused.head;
	for (int l = 0; l < POOL_LANES; l++)
		pool->lanes[l].waiting.tail = &pool->lanes[l].waiting.head;
	lane_open(pool, &pool->lanes[POOL_READ], conninfo, read_connections, READ_DEPTH);
	lane_open(pool, &pool->lanes[POOL_WRITE], conninfo, write_connections, 1);
	pthread_mutex_lock(&pools_lock);
	pool->next = pools;
	pools = pool;
	pthread_mutex_unlock(&pools_lock);
	return pool;
}

void
pool_free(struct pool *pool)
{
	struct pool **place = &pools;

	pthread_mutex_lock(&pools_lock);
	while (*place && *place != pool)
		place = &(*place)->next;
	if (*place)
		*place = pool->next;
	pthread_mutex_unlock(&pools_lock);
	timer_stop(&pool->tick);
	for (int l = 0; l < POOL_LANES; l++)
		for (int i = 0; i < pool->lanes[l].nconnections; i++)
			pipeline_free(pool->lanes[l].connections[i]);
	free(pool);
}

bool
pool_alive(const struct pool *pool)
{
	for (int l = 0; l < POOL_LANES; l++)
		for (int i = 0; i < pool->lanes[l].nconnections; i++)
			if (pipeline_ready(pool->lanes[l].connections[i]))
				return true;
	return false;
}

size_t
pool_waiting(const struct pool *pool)
{
	size_t sum = 0;

	for (int l = 0; l < POOL_LANES; l++)
		sum += pool->lanes[l].waiting.length;
	return sum;
}
