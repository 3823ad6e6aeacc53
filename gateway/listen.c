#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "listen.h"
#include "log.h"
#include "loop.h"
#include "pgsocket.h"

enum
{
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 2000,
	CONNECT_MS = 5000,
	ANSWER_MS = 10000, /* the server must answer LISTEN and the position in this time */
	ASK_MS = 20000	   /* the position is read again this often: finds a dead connection */
};

/* LISTEN must have committed before the position is read, or an event between them is missed. */
static const char listen_sql[] = "LISTEN saleshub";
static const char position_sql[] = "SELECT epoch, top FROM saleshub.event_position()";

enum step
{
	STEP_LISTEN,
	STEP_POSITION,
	STEP_WAIT
};

/* Lives on thread 0. */
static const char *conninfo;
static void (*notify)(const char *epoch, int64_t top);
static PGconn *pg;
static h2o_socket_t *sock;
static struct timer timer;
static enum step step;
static uint64_t backoff_ms = BACKOFF_MIN_MS;
static bool complained;
static atomic_bool alive;

static void connect_now(struct timer *timer);

static void
close_connection(void)
{
	atomic_store(&alive, false);
	timer_stop(&timer);
	pgsocket_close(sock);
	sock = NULL;
	if (pg)
		PQfinish(pg);
	pg = NULL;
}

static void
fail(const char *why)
{
	if (!complained)
		log_event(LOG_LEVEL_ERROR, "listen", "not listening: %s", why);
	complained = true;
	close_connection();
	timer_start(&timer, backoff_ms, connect_now);
	backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
}

static void
on_expiry(struct timer *expired)
{
	(void) expired;
	fail("the server does not answer");
}

static void flush(void);

static void
on_writable(h2o_socket_t *writable, const char *err)
{
	(void) writable;
	(void) err;
	flush();
}

static void
flush(void)
{
	if (PQflush(pg) > 0 && !h2o_socket_is_writing(sock))
		h2o_socket_notify_write(sock, on_writable);
}

static void
ask(enum step next)
{
	step = next;
	if (!PQsendQuery(pg, next == STEP_LISTEN ? listen_sql : position_sql))
	{
		fail(PQerrorMessage(pg));
		return;
	}
	timer_start(&timer, ANSWER_MS, on_expiry);
	flush();
}

static void
ask_again(struct timer *due)
{
	(void) due;
	ask(STEP_POSITION);
}

/* The answer to what was asked; false: connection given up. */
static bool
take(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (step == STEP_LISTEN && status == PGRES_COMMAND_OK)
		return true;
	if (step == STEP_POSITION && status == PGRES_TUPLES_OK)
	{
		/* no row: the log is empty and has no position yet */
		if (PQntuples(result) == 1 && PQnfields(result) == 2 && !PQgetisnull(result, 0, 0))
			notify(PQgetvalue(result, 0, 0), strtoll(PQgetvalue(result, 0, 1), NULL, 10));
		return true;
	}
	fail(PQresultErrorMessage(result));
	return false;
}

/* "<epoch>:<top>" */
static void
take_notification(char *payload)
{
	char *colon = strrchr(payload, ':');

	if (!colon || colon == payload)
		return;
	*colon = '\0';
	notify(payload, strtoll(colon + 1, NULL, 10));
}

static void
take_notifications(void)
{
	PGnotify *notification;

	for (notification = PQnotifies(pg); notification; notification = PQnotifies(pg))
	{
		take_notification(notification->extra);
		PQfreemem(notification);
	}
}

static void
advance(void)
{
	if (step == STEP_LISTEN)
	{
		ask(STEP_POSITION);
		return;
	}
	if (complained)
		log_event(LOG_LEVEL_INFO, "listen", "listening again");
	complained = false;
	backoff_ms = BACKOFF_MIN_MS;
	atomic_store(&alive, true);
	step = STEP_WAIT;
	timer_start(&timer, ASK_MS, ask_again);
}

static void
on_readable(h2o_socket_t *readable, const char *err)
{
	(void) readable;
	(void) err;
	if (PQconsumeInput(pg) != 1)
	{
		fail(PQerrorMessage(pg));
		return;
	}
	while (step != STEP_WAIT && !PQisBusy(pg))
	{
		PGresult *result = PQgetResult(pg);
		bool ok;

		if (!result)
		{
			advance();
			if (!pg)
				return;
			continue;
		}
		ok = take(result);
		PQclear(result);
		if (!ok)
			return;
	}
	take_notifications();
}

static void
on_connecting(h2o_socket_t *connecting, const char *err)
{
	PostgresPollingStatusType status = pgsocket_poll(pg, &sock, self->loop, NULL, on_connecting);

	(void) connecting;
	(void) err;
	if (status == PGRES_POLLING_FAILED)
	{
		fail(PQerrorMessage(pg));
		return;
	}
	if (status != PGRES_POLLING_OK)
		return;
	sock = pgsocket_watch(pg, self->loop, NULL);
	if (!sock || PQsetnonblocking(pg, 1) != 0)
	{
		fail("no socket");
		return;
	}
	h2o_socket_read_start(sock, on_readable);
	ask(STEP_LISTEN);
}

static void
connect_now(struct timer *due)
{
	(void) due;
	pg = pgsocket_connect(conninfo);
	timer_start(&timer, CONNECT_MS, on_expiry);
	if (!pgsocket_start(pg, &sock, self->loop, NULL, on_connecting))
		fail(pg ? PQerrorMessage(pg) : "out of memory");
}

void
listen_start(const char *database, void (*fn)(const char *epoch, int64_t top))
{
	conninfo = database;
	notify = fn;
	connect_now(NULL);
}

void
listen_stop(void)
{
	close_connection();
}

bool
listen_alive(void)
{
	return atomic_load(&alive);
}
