/*
 * Redis on the event loop. Commands are written once per loop turn; a reply that does not come
 * within the deadline is a miss; a few of those, or a lost connection, open the circuit: until
 * the next attempt to connect every read is a miss at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "log.h"
#include "loop.h"
#include "redis.h"

enum
{
	DEADLINE_MS = 20,
	CONNECT_MS = 1000,
	LATE_LIMIT = 3, /* deadlines missed in a row before the connection is given up */
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 2000,
	IN_FLIGHT_MAX = 4096,
	UNSENT_MAX = 16 * 1024 * 1024 /* bytes hiredis may hold for a Redis that does not read */
};

/* One GET: in the list until answered or late; freed when hiredis reports its reply. */
struct get
{
	struct get *prev, *next;
	struct redis *redis;
	redis_reply fn; /* NULL: answered already */
	void *data;
	uint64_t due;
};

struct redis
{
	char *unix_path; /* NULL: TCP */
	char host[64];	 /* numeric */
	int port;

	redisAsyncContext *context; /* NULL between attempts */
	h2o_socket_t *socket;
	bool connected, reading, want_write, notifying, dead;
	int late;
	unsigned backoff_ms;

	struct get *oldest, *newest;
	size_t waiting;
	size_t in_flight;

	struct turn_end flush;
	struct timer deadline; /* of the oldest get */
	struct timer retry;	   /* the next attempt, or the end of this one */
};

static void connect_start(struct redis *redis);
static void give_up(struct redis *redis);
static void on_retry(struct timer *timer);

static bool
parse_address(struct redis *redis, const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	const char *colon = strrchr(address, ':');
	char host[256];
	char *end;
	long port;

	if (strncmp(address, "unix:", 5) == 0)
	{
		redis->unix_path = h2o_strdup(NULL, address + 5, SIZE_MAX).base;
		return true;
	}
	if (!colon || (size_t) (colon - address) >= sizeof host)
		return false;
	port = strtol(colon + 1, &end, 10);
	if (*end || port < 1 || port > 65535)
		return false;
	memcpy(host, address, colon - address);
	host[colon - address] = 0;
	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return false;
	redis->port = (int) port;
	bool ok = getnameinfo(found->ai_addr,
						  found->ai_addrlen,
						  redis->host,
						  sizeof redis->host,
						  NULL,
						  0,
						  NI_NUMERICHOST) == 0;
	freeaddrinfo(found);
	return ok;
}

static void
unlink_get(struct redis *redis, struct get *get)
{
	if (get->prev)
		get->prev->next = get->next;
	else
		redis->oldest = get->next;
	if (get->next)
		get->next->prev = get->prev;
	else
		redis->newest = get->prev;
	redis->waiting--;
}

static void
answer(struct get *get, const char *base, size_t len)
{
	redis_reply fn = get->fn;

	unlink_get(get->redis, get);
	get->fn = NULL;
	fn(get->data, base, len);
}

static void
on_deadline(struct timer *timer)
{
	struct redis *redis = H2O_STRUCT_FROM_MEMBER(struct redis, deadline, timer);
	uint64_t now = h2o_now(self->loop);

	redis->late++;
	while (redis->oldest && redis->oldest->due <= now)
		answer(redis->oldest, NULL, 0);
	if (redis->late >= LATE_LIMIT)
		give_up(redis);
	else if (redis->oldest)
		timer_start(&redis->deadline, redis->oldest->due - now, on_deadline);
}

static void
on_reply(redisAsyncContext *context, void *raw, void *data)
{
	redisReply *reply = raw;
	struct get *get = data;
	struct redis *redis = get->redis;

	(void) context;
	redis->in_flight--;
	if (reply)
		redis->late = 0;
	if (get->fn)
	{
		if (reply && reply->type == REDIS_REPLY_STRING)
			answer(get, reply->str, reply->len);
		else
			answer(get, NULL, 0);
	}
	free(get);
}

/* The connection's glue to the loop. */

static void
on_readable(h2o_socket_t *socket, const char *err)
{
	struct redis *redis = socket->data;

	(void) err; /* hiredis finds out by reading */
	if (redis->context)
		redisAsyncHandleRead(redis->context);
}

static void
on_writable(h2o_socket_t *socket, const char *err)
{
	struct redis *redis = socket->data;

	(void) err;
	redis->notifying = false;
	if (!redis->context)
		return;
	redisAsyncHandleWrite(redis->context);
	/* still unsent text: hiredis asked again, or never took the mark back */
	if (redis->context && redis->want_write && !redis->flush.queued)
		loop_at_turn_end(&redis->flush);
}

static void
wait_writable(struct redis *redis)
{
	if (redis->notifying || !redis->socket || h2o_socket_is_writing(redis->socket))
		return;
	redis->notifying = true;
	h2o_socket_notify_write(redis->socket, on_writable);
}

static void
on_turn_end(struct turn_end *work)
{
	struct redis *redis = H2O_STRUCT_FROM_MEMBER(struct redis, flush, work);

	if (!redis->context || !redis->want_write)
		return;
	/* until connected, and when the kernel's buffer is full, wait for the socket instead */
	if (redis->connected && !redis->notifying)
		redisAsyncHandleWrite(redis->context);
	if (redis->context && redis->want_write)
		wait_writable(redis);
}

static void
add_read(void *data)
{
	struct redis *redis = data;

	if (redis->reading || !redis->socket)
		return;
	redis->reading = true;
	h2o_socket_read_start(redis->socket, on_readable);
}

static void
del_read(void *data)
{
	struct redis *redis = data;

	if (!redis->reading || !redis->socket)
		return;
	redis->reading = false;
	h2o_socket_read_stop(redis->socket);
}

/* Asking the kernel per command would cost two epoll_ctl each: only mark, write at the turn's end.
 */
static void
add_write(void *data)
{
	struct redis *redis = data;

	redis->want_write = true;
	if (!redis->flush.queued)
		loop_at_turn_end(&redis->flush);
}

static void
del_write(void *data)
{
	((struct redis *) data)->want_write = false;
}

/* hiredis frees the context next and closes its own descriptor: ours is a duplicate. */
static void
cleanup(void *data)
{
	struct redis *redis = data;

	if (redis->socket)
	{
		h2o_socket_read_stop(redis->socket);
		h2o_socket_close(redis->socket);
	}
	redis->socket = NULL;
	redis->context = NULL;
	redis->connected = redis->reading = redis->want_write = redis->notifying = false;
}

static void
schedule_retry(struct redis *redis)
{
	timer_stop(&redis->retry);
	if (redis->dead)
		return;
	timer_start(&redis->retry, redis->backoff_ms, on_retry);
	redis->backoff_ms =
		redis->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : redis->backoff_ms * 2;
}

static void
on_connect(const redisAsyncContext *context, int status)
{
	struct redis *redis = context->data;

	if (status != REDIS_OK)
	{
		schedule_retry(redis);
		return;
	}
	redis->connected = true;
	redis->late = 0;
	redis->backoff_ms = BACKOFF_MIN_MS;
	timer_stop(&redis->retry);
}

static void
on_disconnect(const redisAsyncContext *context, int status)
{
	struct redis *redis = context->data;

	(void) status;
	redis->connected = false;
	schedule_retry(redis);
}

/* hiredis then reports every reply outstanding as NULL. */
static void
give_up(struct redis *redis)
{
	bool was_connected = redis->connected;

	redis->late = 0;
	if (redis->context)
		redisAsyncFree(redis->context);
	if (!was_connected)
		schedule_retry(redis);
}

static void
on_retry(struct timer *timer)
{
	struct redis *redis = H2O_STRUCT_FROM_MEMBER(struct redis, retry, timer);

	if (redis->context)
		give_up(redis);
	else
		connect_start(redis);
}

static void
connect_start(struct redis *redis)
{
	redisAsyncContext *context = redis->unix_path ? redisAsyncConnectUnix(redis->unix_path) :
													redisAsyncConnect(redis->host, redis->port);
	int fd = -1;

	if (context && !context->err)
		fd = fcntl(context->c.fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
	{
		if (context)
			redisAsyncFree(context);
		schedule_retry(redis);
		return;
	}
	redis->context = context;
	redis->socket = h2o_evloop_socket_create(self->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	redis->socket->data = redis;
	context->data = redis;
	context->ev.data = redis;
	context->ev.addRead = add_read;
	context->ev.delRead = del_read;
	context->ev.addWrite = add_write;
	context->ev.delWrite = del_write;
	context->ev.cleanup = cleanup;
	redisAsyncSetDisconnectCallback(context, on_disconnect);
	redisAsyncSetConnectCallback(context, on_connect);
	wait_writable(redis);
	timer_start(&redis->retry, CONNECT_MS, on_retry);
}

struct redis *
redis_new(const char *address)
{
	struct redis *redis = h2o_mem_alloc(sizeof *redis);

	memset(redis, 0, sizeof *redis);
	redis->backoff_ms = BACKOFF_MIN_MS;
	redis->flush.run = on_turn_end;
	if (!parse_address(redis, address))
	{
		log_event(LOG_LEVEL_ERROR, "redis", "cannot use the address %s: running without", address);
		free(redis);
		return NULL;
	}
	connect_start(redis);
	return redis;
}

void
redis_free(struct redis *redis)
{
	redis->dead = true;
	while (redis->oldest)
		answer(redis->oldest, NULL, 0);
	timer_stop(&redis->deadline);
	if (redis->context)
		redisAsyncFree(redis->context);
	timer_stop(&redis->retry);
	free(redis->unix_path);
	free(redis);
}

bool
redis_alive(const struct redis *redis)
{
	return redis->connected;
}

void
redis_get(struct redis *redis, const char *key, size_t key_len, redis_reply fn, void *data)
{
	const char *argv[] = { "GET", key };
	const size_t lengths[] = { 3, key_len };

	if (!redis->connected || redis->in_flight >= IN_FLIGHT_MAX)
	{
		fn(data, NULL, 0);
		return;
	}
	struct get *get = h2o_mem_alloc(sizeof *get);
	*get = (struct get){ .redis = redis, .fn = fn, .data = data };
	get->due = h2o_now(self->loop) + DEADLINE_MS;
	if (redisAsyncCommandArgv(redis->context, on_reply, get, 2, argv, lengths) != REDIS_OK)
	{
		free(get);
		fn(data, NULL, 0);
		return;
	}
	redis->in_flight++;
	get->prev = redis->newest;
	if (redis->newest)
		redis->newest->next = get;
	else
		redis->oldest = get;
	redis->newest = get;
	redis->waiting++;
	if (redis->oldest == get)
	{
		timer_stop(&redis->deadline);
		timer_start(&redis->deadline, DEADLINE_MS, on_deadline);
	}
}

void
redis_set(struct redis *redis, const char *key, size_t key_len, const char *base, size_t len,
		  int ttl_ms)
{
	char ttl[16];
	int ttl_len = snprintf(ttl, sizeof ttl, "%d", ttl_ms);
	const char *argv[] = { "SET", key, base, "PX", ttl };
	const size_t lengths[] = { 3, key_len, len, 2, (size_t) ttl_len };

	if (!redis->connected || sdslen(redis->context->c.obuf) + len > UNSENT_MAX)
		return;
	redisAsyncCommandArgv(redis->context, NULL, NULL, 5, argv, lengths);
}
