#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "pgsocket.h"
#include "pipeline.h"
#include "text.h"

enum
{
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 500,
	CONNECT_MS = 5000,
	MAX_ANSWERS = 2 * POOL_STEPS + 1,
	NAME_SIZE = 80
};

enum state
{
	STATE_DOWN, /* waiting for the next try */
	STATE_CONNECTING,
	STATE_READY
};

/* What the next result from the server belongs to. */
struct answer
{
	enum
	{
		ANSWER_PREPARE,
		ANSWER_STEP,
		ANSWER_SYNC
	} kind;
	int step;
	const char *name; /* of the statement, as the table of statements keeps it */
};

/* A query under way. */
struct flight
{
	struct flight *next;
	struct pool_query *query; /* NULL: nobody waits for it any more */
	struct answer answers[MAX_ANSWERS];
	int nanswers, position;
	uint32_t timeout_ms;
	PGresult *results[POOL_STEPS];
	PGresult *error;
	int failed_step;
};

struct statement
{
	char *name;
	unsigned generation; /* part of the server's name: a changed statement gets a new one */
	bool prepared;
};

struct pipeline
{
	const char *conninfo;
	const struct pipeline_events *events;
	void *data;
	enum state state;
	PGconn *pg;
	h2o_socket_t *sock;
	struct timer timer; /* next try, or the end of this one */
	uint64_t backoff_ms;
	bool complained; /* one line per outage */
	struct flight *head, **tail;
	uint64_t head_since; /* when the server could begin with the first flight */
	int depth;
	struct statement *statements; /* open addressing, capacity a power of two */
	size_t nstatements, capacity;
	struct flight *spare;
};

static void connect_now(struct pipeline *pipeline);
static void on_readable(h2o_socket_t *sock, const char *err);

static void *
allocate(size_t size)
{
	void *result = calloc(1, size);

	if (!result)
		abort();
	return result;
}

/* --- prepared statements --- */

static struct statement *
slot_of(struct statement *statements, size_t capacity, const char *name)
{
	size_t i = text_hash(name, strlen(name)) & (capacity - 1);

	while (statements[i].name && strcmp(statements[i].name, name) != 0)
		i = (i + 1) & (capacity - 1);
	return &statements[i];
}

static void
grow(struct pipeline *pipeline)
{
	size_t capacity = pipeline->capacity ? pipeline->capacity * 2 : 64;
	struct statement *statements = allocate(capacity * sizeof *statements);

	for (size_t i = 0; i < pipeline->capacity; i++)
		if (pipeline->statements[i].name)
			*slot_of(statements, capacity, pipeline->statements[i].name) = pipeline->statements[i];
	free(pipeline->statements);
	pipeline->statements = statements;
	pipeline->capacity = capacity;
}

static struct statement *
statement_of(struct pipeline *pipeline, const char *name)
{
	struct statement *statement;

	if (pipeline->nstatements * 2 >= pipeline->capacity)
		grow(pipeline);
	statement = slot_of(pipeline->statements, pipeline->capacity, name);
	if (!statement->name)
	{
		statement->name = strdup(name);
		if (!statement->name)
			abort();
		pipeline->nstatements++;
	}
	return statement;
}

static void
forget_statements(struct pipeline *pipeline)
{
	for (size_t i = 0; i < pipeline->capacity; i++)
		free(pipeline->statements[i].name);
	free(pipeline->statements);
	pipeline->statements = NULL;
	pipeline->nstatements = pipeline->capacity = 0;
}

static void
server_name(const struct statement *statement, char out[NAME_SIZE])
{
	if (statement->generation == 0)
		snprintf(out, NAME_SIZE, "%s", statement->name);
	else
		snprintf(out, NAME_SIZE, "%.60s#%u", statement->name, statement->generation);
}

void
pipeline_rename(struct pipeline *pipeline, const char *name)
{
	for (size_t i = 0; i < pipeline->capacity; i++)
	{
		struct statement *statement = &pipeline->statements[i];

		if (!statement->name || (name && strcmp(statement->name, name) != 0))
			continue;
		statement->generation++;
		statement->prepared = false;
	}
}

/* --- connecting --- */

static void
on_retry(struct timer *timer)
{
	connect_now(H2O_STRUCT_FROM_MEMBER(struct pipeline, timer, timer));
}

static void
close_connection(struct pipeline *pipeline)
{
	timer_stop(&pipeline->timer);
	pgsocket_close(pipeline->sock);
	pipeline->sock = NULL;
	if (pipeline->pg)
		PQfinish(pipeline->pg);
	pipeline->pg = NULL;
	pipeline->state = STATE_DOWN;
	forget_statements(pipeline);
}

static void
retry_later(struct pipeline *pipeline)
{
	uint64_t wait = pipeline->backoff_ms;

	close_connection(pipeline);
	pipeline->backoff_ms = wait * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait * 2;
	/* connections lost together should not come back together */
	timer_start(&pipeline->timer, wait + (uint64_t) random() % (wait / 2 + 1), on_retry);
}

static void
connect_failed(struct pipeline *pipeline, const char *why)
{
	if (!pipeline->complained)
		log_event(LOG_LEVEL_ERROR, "pool", "no database connection: %s", why);
	pipeline->complained = true;
	retry_later(pipeline);
}

static void
on_connect_expiry(struct timer *timer)
{
	connect_failed(H2O_STRUCT_FROM_MEMBER(struct pipeline, timer, timer), "timeout expired");
}

static void
connected(struct pipeline *pipeline)
{
	timer_stop(&pipeline->timer);
	pipeline->sock = pgsocket_watch(pipeline->pg, self->loop, pipeline);
	if (!pipeline->sock || PQsetnonblocking(pipeline->pg, 1) != 0 ||
		!PQenterPipelineMode(pipeline->pg))
	{
		connect_failed(pipeline, "cannot enter pipeline mode");
		return;
	}
	if (pipeline->complained)
		log_event(LOG_LEVEL_INFO, "pool", "database connection restored");
	pipeline->complained = false;
	pipeline->backoff_ms = BACKOFF_MIN_MS;
	pipeline->state = STATE_READY;
	h2o_socket_read_start(pipeline->sock, on_readable);
	pipeline->events->ready(pipeline);
}

static void
on_connecting(h2o_socket_t *sock, const char *err)
{
	struct pipeline *pipeline = sock->data;
	PostgresPollingStatusType status =
		pgsocket_poll(pipeline->pg, &pipeline->sock, self->loop, pipeline, on_connecting);

	(void) err;
	if (status == PGRES_POLLING_OK)
		connected(pipeline);
	else if (status == PGRES_POLLING_FAILED)
		connect_failed(pipeline, PQerrorMessage(pipeline->pg));
}

static void
connect_now(struct pipeline *pipeline)
{
	pipeline->state = STATE_CONNECTING;
	pipeline->pg = pgsocket_connect(pipeline->conninfo);
	timer_start(&pipeline->timer, CONNECT_MS, on_connect_expiry);
	if (!pgsocket_start(pipeline->pg, &pipeline->sock, self->loop, pipeline, on_connecting))
		connect_failed(pipeline, pipeline->pg ? PQerrorMessage(pipeline->pg) : "out of memory");
}

void
pipeline_hurry(struct pipeline *pipeline)
{
	if (pipeline->state != STATE_DOWN)
		return;
	timer_stop(&pipeline->timer);
	connect_now(pipeline);
}

struct pipeline *
pipeline_new(const char *conninfo, const struct pipeline_events *events, void *data)
{
	struct pipeline *pipeline = allocate(sizeof *pipeline);

	pipeline->conninfo = conninfo;
	pipeline->events = events;
	pipeline->data = data;
	pipeline->tail = &pipeline->head;
	pipeline->backoff_ms = BACKOFF_MIN_MS;
	connect_now(pipeline);
	return pipeline;
}

void
pipeline_free(struct pipeline *pipeline)
{
	close_connection(pipeline);
	while (pipeline->spare)
	{
		struct flight *flight = pipeline->spare;

		pipeline->spare = flight->next;
		free(flight);
	}
	free(pipeline);
}

void *
pipeline_data(const struct pipeline *pipeline)
{
	return pipeline->data;
}

bool
pipeline_ready(const struct pipeline *pipeline)
{
	return pipeline->state == STATE_READY;
}

int
pipeline_depth(const struct pipeline *pipeline)
{
	return pipeline->depth;
}

bool
pipeline_oldest(const struct pipeline *pipeline, struct pipeline_age *age)
{
	if (!pipeline->head)
		return false;
	age->since = pipeline->head_since;
	age->timeout_ms = pipeline->head->timeout_ms;
	return true;
}

void
pipeline_abandon(struct pipeline *pipeline, uint64_t now, uint64_t patience_us)
{
	struct pool_result result = { .unavailable = true, .maybe_run = true, .failed_step = -1 };

	for (struct flight *flight = pipeline->head; flight; flight = flight->next)
	{
		struct pool_query *query = flight->query;

		if (!query || now < query->queued_at + query->timeout_ms * UINT64_C(1000) + patience_us)
			continue;
		flight->query = NULL;
		query->retry = false;
		pipeline->events->ended(pipeline, query, &result);
	}
}

/* --- sending --- */

static void flush(struct pipeline *pipeline);

static void
on_writable(h2o_socket_t *sock, const char *err)
{
	struct pipeline *pipeline = sock->data;

	(void) err;
	flush(pipeline);
}

static void
flush(struct pipeline *pipeline)
{
	int left = PQflush(pipeline->pg);

	/* a failed write shows as an end of file when reading, after the answers that still came */
	if (left > 0 && !h2o_socket_is_writing(pipeline->sock))
		h2o_socket_notify_write(pipeline->sock, on_writable);
}

static struct flight *
flight_new(struct pipeline *pipeline, struct pool_query *query)
{
	struct flight *flight = pipeline->spare;

	if (flight)
		pipeline->spare = flight->next;
	else
		flight = allocate(sizeof *flight);
	memset(flight, 0, sizeof *flight);
	flight->query = query;
	flight->timeout_ms = query->timeout_ms;
	flight->failed_step = -1;
	return flight;
}

static void
expect(struct flight *flight, int kind, int step, const char *name)
{
	struct answer *answer = &flight->answers[flight->nanswers++];

	answer->kind = kind;
	answer->step = step;
	answer->name = name;
}

static bool
send_step(struct pipeline *pipeline, struct flight *flight, int i)
{
	const struct pool_step *step = &flight->query->steps[i];
	struct statement *statement = statement_of(pipeline, step->name);
	char name[NAME_SIZE];

	server_name(statement, name);
	if (!statement->prepared)
	{
		if (!PQsendPrepare(pipeline->pg, name, step->sql, 0, NULL))
			return false;
		statement->prepared = true;
		expect(flight, ANSWER_PREPARE, i, statement->name);
	}
	if (!PQsendQueryPrepared(pipeline->pg,
							 name,
							 step->nparams,
							 step->values,
							 step->lengths,
							 step->formats,
							 step->binary_result ? 1 : 0))
		return false;
	expect(flight, ANSWER_STEP, i, NULL);
	return true;
}

bool
pipeline_send(struct pipeline *pipeline, struct pool_query *query)
{
	struct flight *flight = flight_new(pipeline, query);
	bool ok = true;

	query->sent_at = text_clock_us();
	for (int i = 0; i < query->nsteps && ok; i++)
		ok = send_step(pipeline, flight, i);
	ok = ok && PQpipelineSync(pipeline->pg);
	if (!ok)
	{
		flight->next = pipeline->spare;
		pipeline->spare = flight;
		pipeline_break(pipeline, PQerrorMessage(pipeline->pg));
		return false;
	}
	expect(flight, ANSWER_SYNC, 0, NULL);
	if (!pipeline->head)
		pipeline->head_since = query->sent_at;
	*pipeline->tail = flight;
	pipeline->tail = &flight->next;
	pipeline->depth++;
	flush(pipeline);
	return true;
}

/* --- receiving --- */

void
pipeline_fill_error(struct pool_result *result, const PGresult *error)
{
	result->sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	result->message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);
	result->detail = PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL);
	result->hint = PQresultErrorField(error, PG_DIAG_MESSAGE_HINT);
	result->table = PQresultErrorField(error, PG_DIAG_TABLE_NAME);
	result->column = PQresultErrorField(error, PG_DIAG_COLUMN_NAME);
	result->constraint = PQresultErrorField(error, PG_DIAG_CONSTRAINT_NAME);
}

/* Takes the first flight off, tells the pool, frees what the answer held. */
static void
end_flight(struct pipeline *pipeline, bool lost)
{
	struct flight *flight = pipeline->head;
	struct pool_result result = { .failed_step = flight->failed_step };

	pipeline->head = flight->next;
	if (!pipeline->head)
		pipeline->tail = &pipeline->head;
	pipeline->depth--;
	pipeline->head_since = text_clock_us();
	if (lost)
		result.unavailable = result.maybe_run = true;
	else if (flight->error)
		pipeline_fill_error(&result, flight->error);
	else
		result.ok = true;
	for (int i = 0; i < POOL_STEPS; i++)
		result.rows[i] = flight->results[i];
	if (flight->query)
		pipeline->events->ended(pipeline, flight->query, &result);
	for (int i = 0; i < POOL_STEPS; i++)
		PQclear(flight->results[i]);
	PQclear(flight->error);
	flight->next = pipeline->spare;
	pipeline->spare = flight;
}

void
pipeline_break(struct pipeline *pipeline, const char *why)
{
	log_event(LOG_LEVEL_ERROR, "pool", "database connection given up: %s", why);
	pipeline->complained = true;
	retry_later(pipeline);
	while (pipeline->head)
		end_flight(pipeline, true);
}

bool
pipeline_is_fatal(const PGresult *error)
{
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(error, PG_DIAG_SEVERITY_NONLOCALIZED);

	return !sqlstate ||
		   (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0));
}

/* One result against what was expected. False: lost or out of step. */
static bool
take(struct pipeline *pipeline, PGresult *result)
{
	struct flight *flight = pipeline->head;
	struct answer *answer = flight ? &flight->answers[flight->position] : NULL;
	ExecStatusType status = PQresultStatus(result);

	if (!flight || (status == PGRES_PIPELINE_SYNC) != (answer->kind == ANSWER_SYNC))
	{
		PQclear(result);
		return false;
	}
	flight->position++;
	if (status == PGRES_PIPELINE_SYNC)
	{
		PQclear(result);
		end_flight(pipeline, false);
		return true;
	}
	if (status == PGRES_FATAL_ERROR)
	{
		bool fatal = pipeline_is_fatal(result);

		PQclear(flight->error);
		flight->error = result;
		flight->failed_step = answer->step;
		if (answer->kind == ANSWER_PREPARE)
			statement_of(pipeline, answer->name)->prepared = false;
		return !fatal;
	}
	if (answer->kind == ANSWER_STEP && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK))
	{
		flight->results[answer->step] = result;
		return true;
	}
	if (status == PGRES_PIPELINE_ABORTED && answer->kind == ANSWER_PREPARE)
		statement_of(pipeline, answer->name)->prepared = false;
	PQclear(result);
	return status == PGRES_PIPELINE_ABORTED || status == PGRES_COMMAND_OK;
}

/*
 * libpq gives a NULL after each statement's result and none after a Sync; two in a row mean that
 * nothing more has come.
 */
static bool
take_all(struct pipeline *pipeline)
{
	int nulls = 0;

	while (pipeline->state == STATE_READY && nulls < 2 && !PQisBusy(pipeline->pg))
	{
		PGresult *result = PQgetResult(pipeline->pg);

		if (!result)
		{
			nulls++;
			continue;
		}
		nulls = 0;
		if (!take(pipeline, result))
			return false;
	}
	return true;
}

static void
on_readable(h2o_socket_t *sock, const char *err)
{
	struct pipeline *pipeline = sock->data;
	bool open = PQconsumeInput(pipeline->pg) == 1;

	(void) err;
	if (!take_all(pipeline) || (!open && pipeline->state == STATE_READY))
	{
		if (pipeline->state == STATE_READY)
			pipeline_break(pipeline, PQerrorMessage(pipeline->pg));
	}
}
