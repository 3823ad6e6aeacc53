/*
 * One database connection in pipeline mode: connects and reconnects by itself, prepares
 * statements on first use, and hands each query's outcome to the pool in the order sent.
 */
#pragma once

#include "pool.h"

struct pipeline;

struct pipeline_events
{
	/* Queries may be sent. */
	void (*ready)(struct pipeline *pipeline);
	/*
	 * A query ended: answered, or (result->unavailable) the connection was lost under it. The
	 * result is valid during the call; the pipeline has let go of the query.
	 */
	void (*ended)(struct pipeline *pipeline, struct pool_query *query, struct pool_result *result);
};

struct pipeline *pipeline_new(const char *conninfo, const struct pipeline_events *events,
							  void *data);
/* The database was seen to be back: try now what waits for its next try. */
void pipeline_hurry(struct pipeline *pipeline);
void pipeline_free(struct pipeline *pipeline);
void *pipeline_data(const struct pipeline *pipeline);
bool pipeline_ready(const struct pipeline *pipeline);
/* Queries sent and not ended. */
int pipeline_depth(const struct pipeline *pipeline);
/* False when the connection broke; the query was then not taken. */
bool pipeline_send(struct pipeline *pipeline, struct pool_query *query);

/* The query that the server works on. */
struct pipeline_age
{
	uint64_t since; /* microseconds on the steady clock: when it could begin */
	uint32_t timeout_ms;
};
/* False: none is under way. */
bool pipeline_oldest(const struct pipeline *pipeline, struct pipeline_age *age);
/*
 * Ends, as unavailable, the queries that wait for longer than their time-out and this patience
 * since they were queued; what the server still answers to them is dropped.
 */
void pipeline_abandon(struct pipeline *pipeline, uint64_t now, uint64_t patience_us);
/* Gives the connection up: every query on it ends as unavailable, then it connects anew. */
void pipeline_break(struct pipeline *pipeline, const char *why);
/* The statement's name did not fit the server's state: use another from now on. NULL: all names. */
void pipeline_rename(struct pipeline *pipeline, const char *name);

struct pg_result;
/* The fields of an error of libpq's; the strings live as long as it. */
void pipeline_fill_error(struct pool_result *result, const struct pg_result *error);
/* The server ends the session with the error: whatever it says, the connection is lost. */
bool pipeline_is_fatal(const struct pg_result *error);
