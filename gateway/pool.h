/*
 * The database connections of one thread: libpq in pipeline mode on the h2o loop.
 * A query is one to four prepared statements and a Sync: one round trip, one transaction.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
	POOL_STEPS = 4
};

enum pool_lane
{
	POOL_READ,	/* several queries in flight per connection */
	POOL_WRITE, /* one at a time per connection */
	POOL_LANES
};

struct pool;

/* One statement: prepared under name on first use of a connection. Strings live as long as the
 * query. */
struct pool_step
{
	const char *name;
	const char *sql;
	int nparams;
	const char *const *values; /* NULL entry = SQL null; text unless formats says 1 */
	const int *lengths;		   /* needed for binary values only */
	const int *formats;		   /* NULL: all text */
	bool binary_result;
};

struct pool_value
{
	const char *base; /* NULL = SQL null */
	size_t len;
};

/* What a query answered; valid only during on_done. */
struct pool_result
{
	bool ok;
	bool unavailable; /* not run or outcome unknown: no connection, queue full, connection lost */
	bool maybe_run;	  /* with unavailable: it was sent, so it may have committed */
	int failed_step;  /* with an SQL error */
	const char *sqlstate, *message, *detail, *hint, *table, *column,
		*constraint;		/* NULL when absent */
	void *rows[POOL_STEPS]; /* read with pool_rows and pool_value */
};

int pool_rows(const struct pool_result *result, int step);
struct pool_value pool_value(const struct pool_result *result, int step, int row, int column);

struct pool_query
{
	struct pool_query *next; /* the pool's while it has the query */
	struct pool_step steps[POOL_STEPS];
	int nsteps;
	enum pool_lane lane;
	uint32_t timeout_ms; /* of the server's work; somewhat later the connection is given up */
	bool retry;			 /* read only: sent again once when the connection is lost under way */
	/* Called exactly once, never from within pool_send; owns the query again from then on. */
	void (*on_done)(struct pool_query *query, const struct pool_result *result);
	/* private */
	int attempts;
	uint64_t sent_at, queued_at;
	void *connection;
	bool rerun; /* the statement was prepared anew once already */
};

struct pool *pool_new(const char *conninfo, int read_connections, int write_connections,
					  int queue_limit);
void pool_free(struct pool *pool);
/*
 * The query and all it points to must stay until on_done. A query that failed with 40001 or 40P01
 * was rolled back and is run again up to three times, writes included.
 */
void pool_send(struct pool *pool, struct pool_query *query);
/* At least one connection answers. */
bool pool_alive(const struct pool *pool);
size_t pool_waiting(const struct pool *pool);
/* Numbers of all pools of the process, for the metrics. */
struct pool_numbers
{
	size_t size, idle, waiting;
};
struct pool_numbers pool_numbers(void);
