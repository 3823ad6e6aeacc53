#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "pool.h"
#include "tail.h"
#include "text.h"

enum
{
	BATCH = 500,
	RETRY_MS = 100,
	TIMEOUT_MS = 10000,
	LOOK_MS = 5000,
	COLUMNS = 7
};

/* Of thread 0 only. */
static struct
{
	char epoch[HUB_EPOCH];
	int64_t at;				   /* every thread has what is up to here, or is about to */
	int64_t target;			   /* events up to here are said to exist */
	int64_t asked_from, asked; /* ends of the read under way */
	bool reading;
	void (*take)(struct tail_batch *batch);
	struct timer retry;
	struct pool_query query;
	char since[24], upto[24], batch[8];
	const char *values[3];
	struct timer look;
	struct pool_query look_query;
	bool looking;
} tail;

static void read_on(void);

void
tail_release(struct tail_batch *batch)
{
	if (atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1)
		return;
	free(batch->events);
	free(batch->text);
	free(batch);
}

static void
on_thread(void *data)
{
	tail.take(data);
}

static struct tail_batch *
batch_new(int64_t from, int64_t upto)
{
	struct tail_batch *batch = h2o_mem_alloc(sizeof *batch);

	memset(batch, 0, sizeof *batch);
	atomic_init(&batch->references, loop_threads());
	memcpy(batch->epoch, tail.epoch, sizeof batch->epoch);
	batch->from = from;
	batch->upto = upto;
	return batch;
}

/* Copies one value behind what is in text and returns where; text was made large enough. */
static const char *
copy_value(char **text, struct pool_value value)
{
	char *start = *text;

	if (value.base)
		memcpy(start, value.base, value.len);
	start[value.len] = '\0';
	*text += value.len + 1;
	return start;
}

static int64_t
row_gseq(const struct pool_result *result, int row)
{
	struct pool_value value = pool_value(result, 0, row, 0);
	int64_t gseq = -1;

	if (!value.base || !text_integer(value.base, value.len, &gseq))
		return -1;
	return gseq;
}

static struct tail_batch *
batch_of(const struct pool_result *result, int rows, int64_t upto)
{
	struct tail_batch *batch = batch_new(tail.at, upto);
	size_t size = 0;
	char *at;

	for (int row = 0; row < rows; row++)
		for (int column = 1; column < COLUMNS; column++)
			size += pool_value(result, 0, row, column).len + 1;
	batch->count = rows;
	batch->events = h2o_mem_alloc(sizeof *batch->events * (size_t) (rows ? rows : 1));
	batch->text = at = h2o_mem_alloc(size + 1);
	for (int row = 0; row < rows; row++)
	{
		struct hub_event *event = &batch->events[row];
		event->gseq = row_gseq(result, row);
		event->org = copy_value(&at, pool_value(result, 0, row, 1));
		event->type = copy_value(&at, pool_value(result, 0, row, 2));
		event->entity = copy_value(&at, pool_value(result, 0, row, 3));
		event->entity_id = copy_value(&at, pool_value(result, 0, row, 4));
		event->json_len = pool_value(result, 0, row, 5).len;
		event->json = copy_value(&at, pool_value(result, 0, row, 5));
		event->tokens = copy_value(&at, pool_value(result, 0, row, 6));
	}
	return batch;
}

static void
on_retry(struct timer *timer)
{
	(void) timer;
	read_on();
}

/* The log in this snapshot is the one we follow. */
static bool
is_same_log(const struct pool_result *result)
{
	struct pool_value epoch;

	if (pool_rows(result, 1) != 1)
		return false;
	epoch = pool_value(result, 1, 0, 0);
	return epoch.base && epoch.len == strlen(tail.epoch) &&
		   memcmp(epoch.base, tail.epoch, epoch.len) == 0;
}

static void
on_rows(struct pool_query *query, const struct pool_result *result)
{
	(void) query;
	tail.reading = false;
	if (!result->ok || !is_same_log(result))
	{
		if (!result->ok && !result->unavailable)
			log_event(LOG_LEVEL_ERROR, "tail", "reading events: %s", result->message);
		timer_start(&tail.retry, RETRY_MS, on_retry);
		return;
	}
	if (tail.at != tail.asked_from) /* the log was exchanged under this read */
	{
		read_on();
		return;
	}
	int rows = pool_rows(result, 0);
	int64_t upto = rows < BATCH ? tail.asked : row_gseq(result, rows - 1);
	if (upto > tail.at)
	{
		struct tail_batch *batch = batch_of(result, rows, upto);
		tail.at = upto;
		loop_broadcast(on_thread, batch);
	}
	read_on();
}

static void
read_on(void)
{
	if (tail.reading || tail.at >= tail.target)
		return;
	tail.reading = true;
	tail.asked_from = tail.at;
	tail.asked = tail.target;
	snprintf(tail.since, sizeof tail.since, "%lld", (long long) tail.at);
	snprintf(tail.upto, sizeof tail.upto, "%lld", (long long) tail.asked);
	snprintf(tail.batch, sizeof tail.batch, "%d", BATCH);
	tail.values[0] = tail.since;
	tail.values[1] = tail.upto;
	tail.values[2] = tail.batch;
	tail.query = (struct pool_query){
		.nsteps = 2,
		.lane = POOL_READ,
		.timeout_ms = TIMEOUT_MS,
		.retry = true,
		.on_done = on_rows,
	};
	tail.query.steps[0] = (struct pool_step){
		.name = "live_events",
		.sql = "SELECT gseq, org_id, type, entity, entity_id, json, tokens"
			   " FROM saleshub.events($1::bigint, $2::bigint, $3::int)",
		.nparams = 3,
		.values = tail.values,
	};
	tail.query.steps[1] = (struct pool_step){
		.name = "live_position",
		.sql = "SELECT epoch, top, floor FROM saleshub.event_position()",
	};
	pool_send(self->pool, &tail.query);
}

/* --- looking for oneself --- */

static void look(void);

static void
on_look_timer(struct timer *timer)
{
	(void) timer;
	look();
}

static void
on_looked(struct pool_query *query, const struct pool_result *result)
{
	char epoch[HUB_EPOCH];
	struct pool_value value;
	int64_t top;

	(void) query;
	tail.looking = false;
	timer_start(&tail.look, LOOK_MS, on_look_timer);
	if (!result->ok || pool_rows(result, 0) != 1)
		return;
	value = pool_value(result, 0, 0, 0);
	if (!value.base || value.len >= sizeof epoch)
		return;
	snprintf(epoch, sizeof epoch, "%.*s", (int) value.len, value.base);
	value = pool_value(result, 0, 0, 1);
	if (value.base && text_integer(value.base, value.len, &top))
		tail_notify(epoch, top);
}

static void
look(void)
{
	if (tail.looking)
		return;
	tail.looking = true;
	timer_stop(&tail.look);
	tail.look_query = (struct pool_query){
		.nsteps = 1,
		.lane = POOL_READ,
		.timeout_ms = TIMEOUT_MS,
		.retry = true,
		.on_done = on_looked,
	};
	tail.look_query.steps[0] = (struct pool_step){
		.name = "live_position",
		.sql = "SELECT epoch, top, floor FROM saleshub.event_position()",
	};
	pool_send(self->pool, &tail.look_query);
}

static void
on_look(void *data)
{
	(void) data;
	look();
}

void
tail_look(void)
{
	loop_post(0, on_look, NULL);
}

void
tail_start(void (*take)(struct tail_batch *batch))
{
	tail.take = take;
	timer_start(&tail.look, LOOK_MS, on_look_timer);
}

void
tail_notify(const char *epoch, int64_t top)
{
	if (strcmp(epoch, tail.epoch) != 0)
	{
		if (strlen(epoch) >= sizeof tail.epoch)
			return;
		snprintf(tail.epoch, sizeof tail.epoch, "%s", epoch);
		tail.at = tail.target = top;
		struct tail_batch *batch = batch_new(top, top);
		batch->start = true;
		loop_broadcast(on_thread, batch);
		return;
	}
	if (top > tail.target)
		tail.target = top;
	read_on();
}
