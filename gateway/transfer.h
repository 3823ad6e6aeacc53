/*
 * Long transactions, for uploads and downloads: each has a database connection of its own for as
 * long as it lasts, runs one statement after the other, and can take in large parameters and give
 * out its rows one by one, as slowly as the client takes them. Only so many at once: a slow client
 * holds a connection.
 *
 *   open -> ready -> send -> (on_row ...) on_done -> send ... -> commit -> on_done -> close
 *
 * No callback comes from within a call of this module, and none after transfer_close. Of one
 * thread, like all that runs on its loop.
 */
#pragma once

#include "pool.h"

enum
{
	TRANSFER_IDLE_MS = 60000,	/* longest wait for the next statement, or paused */
	TRANSFER_PATIENCE_MS = 5000 /* how long the database may overrun a statement's time */
};

struct transfer;

struct transfer_events
{
	/* The transaction has begun: send the first statement. */
	void (*ready)(struct transfer *transfer);
	/*
	 * The connection could not be made, broke, or nothing happened for too long: all is undone,
	 * unless the COMMIT was under way (result->maybe_run). No on_done comes for what was under
	 * way. Only transfer_close may follow.
	 */
	void (*lost)(struct transfer *transfer, const struct pool_result *result);
};

struct transfer_statement
{
	const char *sql;
	int nparams;
	const char *const *values; /* NULL entry = SQL null; text unless formats says 1 */
	const int *lengths;		   /* needed for binary values only */
	const int *formats;		   /* NULL: all text */
	bool binary_result;
	uint32_t timeout_ms; /* somewhat later the connection is given up; time paused is not counted */
	/*
	 * Each row alone, as step 0, row 0 of the result, valid during the call; on_done then has
	 * none. NULL: on_done has all rows.
	 */
	void (*on_row)(struct transfer *transfer, const struct pool_result *row);
	/*
	 * Ended: ok with its rows as step 0, or the error. After an error only transfer_close helps.
	 * The next statement may be sent from here.
	 */
	void (*on_done)(struct transfer *transfer, const struct pool_result *result);
};

/*
 * Begins a transaction. NULL: as many as config.transfer_limit are under way in this process (503
 * with Retry-After). Ends with transfer_close, whatever happens before.
 */
struct transfer *transfer_open(const struct transfer_events *events, void *data);
void *transfer_data(const struct transfer *transfer);
/* After ready, one at a time. All that statement points to was copied when this returns. */
void transfer_send(struct transfer *transfer, const struct transfer_statement *statement);
/* No on_row until transfer_resume; the database waits once the buffers between are full. */
void transfer_pause(struct transfer *transfer);
void transfer_resume(struct transfer *transfer);
/* Sends COMMIT; on_done with ok: it is durable. */
void transfer_commit(struct transfer *transfer,
					 void (*on_done)(struct transfer *transfer, const struct pool_result *result));
/*
 * Ends it: what was not committed is undone and what runs is stopped (the server sees within a
 * second that nobody waits). Also from within its callbacks.
 */
void transfer_close(struct transfer *transfer);
/* Under way in the process. */
int transfer_count(void);
