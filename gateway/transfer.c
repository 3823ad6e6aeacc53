#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "loop.h"
#include "metric.h"
#include "pgsocket.h"
#include "pipeline.h"
#include "transfer.h"

enum
{
	CONNECT_MS = 5000,
	BEGIN_MS = 5000,
	COMMIT_MS = 30000,
	KEEP_MS = 30000 /* a connection without use */
};

enum state
{
	STATE_CONNECTING,
	STATE_OPEN, /* in the transaction, nothing under way */
	STATE_BUSY,
	STATE_LOST,
	STATE_CLOSED
};

struct transfer
{
	const struct transfer_events *events;
	void *data;
	enum state state;
	PGconn *pg;
	h2o_socket_t *sock;
	struct timer timer; /* the end of the present state */
	uint32_t timeout_ms;
	struct turn_end turn;
	bool kept; /* the connection is an old one and has not answered since */
	bool paused, committing, committed;
	bool calling; /* a callback is under way: not to be freed */
	void (*on_row)(struct transfer *transfer, const struct pool_result *row);
	void (*on_done)(struct transfer *transfer, const struct pool_result *result);
	PGresult *result; /* of the statement under way, as far as it came */
};

/* A connection without a transaction, for the next one. One per thread. */
struct kept
{
	PGconn *pg;
	h2o_socket_t *sock;
	struct timer timer;
};

static __thread struct kept kept;
static atomic_int under_way;

static void connect_now(struct transfer *transfer);
static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);
static void on_turn_end(struct turn_end *work);

/* --- the kept connection --- */

static void
kept_close(void)
{
	timer_stop(&kept.timer);
	pgsocket_close(kept.sock);
	PQfinish(kept.pg);
	kept.pg = NULL;
	kept.sock = NULL;
}

static void
on_kept_expiry(struct timer *timer)
{
	(void) timer;
	kept_close();
}

/* Nothing is expected from it: it broke, or the server says that it is about to. */
static void
on_kept_readable(h2o_socket_t *sock, const char *err)
{
	(void) sock;
	(void) err;
	if (PQconsumeInput(kept.pg) != 1 || PQstatus(kept.pg) != CONNECTION_OK)
		kept_close();
}

static void
keep(PGconn *pg, h2o_socket_t *sock)
{
	h2o_socket_read_stop(sock);
	kept.pg = pg;
	kept.sock = sock;
	h2o_socket_read_start(sock, on_kept_readable);
	timer_start(&kept.timer, KEEP_MS, on_kept_expiry);
}

/* --- ends --- */

static void
drop_connection(struct transfer *transfer)
{
	timer_stop(&transfer->timer);
	pgsocket_close(transfer->sock);
	transfer->sock = NULL;
	PQfinish(transfer->pg);
	transfer->pg = NULL;
	PQclear(transfer->result);
	transfer->result = NULL;
}

/* A kept connection that broke before is replaced; else the owner hears of it at the turn's end. */
static void
lose(struct transfer *transfer, const char *why)
{
	if (transfer->kept)
	{
		transfer->kept = false;
		drop_connection(transfer);
		connect_now(transfer);
		return;
	}
	log_event(LOG_LEVEL_ERROR, "transfer", "database connection given up: %s", why);
	drop_connection(transfer);
	transfer->state = STATE_LOST;
	loop_at_turn_end(&transfer->turn);
}

static void
on_expiry(struct timer *timer)
{
	struct transfer *transfer = H2O_STRUCT_FROM_MEMBER(struct transfer, timer, timer);

	lose(transfer,
		 transfer->state == STATE_OPEN || transfer->paused ? "idle for too long" :
															 "timeout expired");
}

static void
free_when_possible(struct transfer *transfer)
{
	if (transfer->state == STATE_CLOSED && !transfer->calling && !transfer->turn.queued)
		free(transfer);
}

void
transfer_close(struct transfer *transfer)
{
	bool clean = transfer->committed && transfer->state == STATE_OPEN && !kept.pg &&
				 PQtransactionStatus(transfer->pg) == PQTRANS_IDLE;

	if (clean)
	{
		timer_stop(&transfer->timer);
		keep(transfer->pg, transfer->sock);
		transfer->sock->data = NULL;
		transfer->pg = NULL;
		transfer->sock = NULL;
	}
	drop_connection(transfer);
	transfer->state = STATE_CLOSED;
	atomic_fetch_sub(&under_way, 1);
	free_when_possible(transfer);
}

/* --- receiving --- */

/* False: the transfer was closed by the callback and is gone. */
static bool
call(struct transfer *transfer,
	 void (*fn)(struct transfer *transfer, const struct pool_result *result),
	 const struct pool_result *result)
{
	bool closed;

	transfer->calling = true;
	fn(transfer, result);
	transfer->calling = false;
	closed = transfer->state == STATE_CLOSED;
	free_when_possible(transfer);
	return !closed;
}

static bool
give_row(struct transfer *transfer, PGresult *row)
{
	struct pool_result result = { .ok = true, .failed_step = -1, .rows = { row } };
	bool go_on = call(transfer, transfer->on_row, &result);

	PQclear(row);
	return go_on;
}

static void
await(struct transfer *transfer, enum state state, uint64_t ms)
{
	transfer->state = state;
	timer_start(&transfer->timer, ms, on_expiry);
}

/* The statement is over; false: gone. */
static bool
end_statement(struct transfer *transfer)
{
	PGresult *rows = transfer->result;
	struct pool_result result = { .ok = true, .failed_step = -1 };
	bool go_on;

	transfer->result = NULL;
	if (PQresultStatus(rows) == PGRES_FATAL_ERROR)
	{
		result.ok = false;
		result.failed_step = 0;
		pipeline_fill_error(&result, rows);
	}
	else if (transfer->committing && strcmp(PQcmdStatus(rows), "COMMIT") != 0)
	{
		result = (struct pool_result){ .sqlstate = "25P02", .message = "nothing was committed" };
	}
	transfer->committed = transfer->committing && result.ok;
	result.rows[0] = rows;
	await(transfer, STATE_OPEN, TRANSFER_IDLE_MS);
	go_on = call(transfer, transfer->on_done, &result);
	PQclear(rows);
	return go_on;
}

/* One result. False: nothing more can be taken. */
static bool
take(struct transfer *transfer, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_SINGLE_TUPLE)
		return give_row(transfer, result);
	if (status == PGRES_FATAL_ERROR && pipeline_is_fatal(result))
	{
		PQclear(result);
		lose(transfer, PQerrorMessage(transfer->pg));
		return false;
	}
	if (status != PGRES_FATAL_ERROR && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
	{
		PQclear(result);
		lose(transfer, "a statement that is none of a transfer");
		return false;
	}
	PQclear(transfer->result);
	transfer->result = result;
	return true;
}

/* False: lost, or gone. */
static bool
take_all(struct transfer *transfer)
{
	while (transfer->state == STATE_BUSY && !transfer->paused && !PQisBusy(transfer->pg))
	{
		PGresult *result = PQgetResult(transfer->pg);

		if (result ? !take(transfer, result) : !end_statement(transfer))
			return false;
	}
	return transfer->state != STATE_LOST;
}

static void
on_readable(h2o_socket_t *sock, const char *err)
{
	struct transfer *transfer = sock->data;
	bool open = PQconsumeInput(transfer->pg) == 1;

	(void) err;
	/* what came before the end is taken first */
	if (take_all(transfer) && !open)
		lose(transfer, PQerrorMessage(transfer->pg));
}

/* --- sending --- */

static void
flush(struct transfer *transfer)
{
	int left = PQflush(transfer->pg);

	/* a failed write shows as an end of file when reading, after the answers that still came */
	if (left > 0 && !h2o_socket_is_writing(transfer->sock))
		h2o_socket_notify_write(transfer->sock, on_writable);
}

static void
on_writable(h2o_socket_t *sock, const char *err)
{
	struct transfer *transfer = sock->data;

	(void) err;
	/* the socket outlives the transfer when its connection is kept */
	if (transfer)
		flush(transfer);
}

void
transfer_send(struct transfer *transfer, const struct transfer_statement *statement)
{
	if (transfer->state != STATE_OPEN)
		return; /* lost since: the owner is about to hear of it */
	transfer->on_row = statement->on_row;
	transfer->on_done = statement->on_done;
	transfer->timeout_ms = statement->timeout_ms + TRANSFER_PATIENCE_MS;
	if (!PQsendQueryParams(transfer->pg,
						   statement->sql,
						   statement->nparams,
						   NULL,
						   statement->values,
						   statement->lengths,
						   statement->formats,
						   statement->binary_result ? 1 : 0) ||
		(statement->on_row && !PQsetSingleRowMode(transfer->pg)))
	{
		lose(transfer, PQerrorMessage(transfer->pg));
		return;
	}
	await(transfer, STATE_BUSY, transfer->timeout_ms);
	flush(transfer);
}

void
transfer_commit(struct transfer *transfer,
				void (*on_done)(struct transfer *transfer, const struct pool_result *result))
{
	struct transfer_statement commit = { .sql = "COMMIT",
										 .timeout_ms = COMMIT_MS,
										 .on_done = on_done };

	transfer->committing = transfer->state == STATE_OPEN;
	transfer_send(transfer, &commit);
}

void
transfer_pause(struct transfer *transfer)
{
	if (transfer->paused || transfer->state != STATE_BUSY)
		return;
	transfer->paused = true;
	h2o_socket_read_stop(transfer->sock);
	timer_start(&transfer->timer, TRANSFER_IDLE_MS, on_expiry);
}

void
transfer_resume(struct transfer *transfer)
{
	if (!transfer->paused || transfer->state != STATE_BUSY)
		return;
	transfer->paused = false;
	h2o_socket_read_start(transfer->sock, on_readable);
	timer_start(&transfer->timer, transfer->timeout_ms, on_expiry);
	/* rows may be there already, and no event tells of them */
	loop_at_turn_end(&transfer->turn);
}

static void
on_turn_end(struct turn_end *work)
{
	struct transfer *transfer = H2O_STRUCT_FROM_MEMBER(struct transfer, turn, work);

	if (transfer->state == STATE_LOST)
	{
		struct pool_result result = { .unavailable = true,
									  .maybe_run = transfer->committing,
									  .failed_step = -1 };

		call(transfer, transfer->events->lost, &result);
	}
	else if (transfer->state == STATE_CLOSED)
		free_when_possible(transfer);
	else
		take_all(transfer);
}

/* --- beginning --- */

static void
on_begun(struct transfer *transfer, const struct pool_result *result)
{
	transfer->kept = !result->ok && transfer->kept;
	if (result->ok)
		transfer->events->ready(transfer);
	else
		lose(transfer, result->message ? result->message : "no transaction");
}

/* The connection is there. */
static void
begin(struct transfer *transfer)
{
	/* a server that works for a client that left sees it by looking now and then */
	static const char sql[] = "BEGIN; SET LOCAL client_connection_check_interval = 1000";

	transfer->sock->data = transfer;
	transfer->on_row = NULL;
	transfer->on_done = on_begun;
	if (!PQsendQuery(transfer->pg, sql))
	{
		lose(transfer, PQerrorMessage(transfer->pg));
		return;
	}
	await(transfer, STATE_BUSY, BEGIN_MS);
	h2o_socket_read_start(transfer->sock, on_readable);
	flush(transfer);
}

static void
on_connecting(h2o_socket_t *sock, const char *err)
{
	struct transfer *transfer = sock->data;
	PostgresPollingStatusType status =
		pgsocket_poll(transfer->pg, &transfer->sock, self->loop, transfer, on_connecting);

	(void) err;
	if (status == PGRES_POLLING_FAILED)
		lose(transfer, PQerrorMessage(transfer->pg));
	if (status != PGRES_POLLING_OK)
		return;
	transfer->sock = pgsocket_watch(transfer->pg, self->loop, transfer);
	if (!transfer->sock || PQsetnonblocking(transfer->pg, 1) != 0)
		lose(transfer, "the socket cannot be watched");
	else
		begin(transfer);
}

static void
connect_now(struct transfer *transfer)
{
	transfer->pg = pgsocket_connect(config.database);
	await(transfer, STATE_CONNECTING, CONNECT_MS);
	if (!pgsocket_start(transfer->pg, &transfer->sock, self->loop, transfer, on_connecting))
		lose(transfer, transfer->pg ? PQerrorMessage(transfer->pg) : "out of memory");
}

struct transfer *
transfer_open(const struct transfer_events *events, void *data)
{
	struct transfer *transfer;

	if (atomic_fetch_add(&under_way, 1) >= config.transfer_limit)
	{
		atomic_fetch_sub(&under_way, 1);
		metric_add(metric_counter("saleshub_transfers_refused_total",
								  NULL,
								  "Uploads and downloads refused because there were too many."),
				   1);
		return NULL;
	}
	transfer = calloc(1, sizeof *transfer);
	if (!transfer)
		abort();
	transfer->events = events;
	transfer->data = data;
	transfer->turn.run = on_turn_end;
	if (!kept.pg)
	{
		connect_now(transfer);
		return transfer;
	}
	timer_stop(&kept.timer);
	h2o_socket_read_stop(kept.sock);
	transfer->pg = kept.pg;
	transfer->sock = kept.sock;
	transfer->kept = true;
	kept.pg = NULL;
	kept.sock = NULL;
	begin(transfer);
	return transfer;
}

void *
transfer_data(const struct transfer *transfer)
{
	return transfer->data;
}

int
transfer_count(void)
{
	return atomic_load(&under_way);
}
