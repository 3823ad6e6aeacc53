/*
 * h2o hands its read callback to h2o_socket_read_start; this file defines that function, so the
 * library's calls come here (they go through its PLT) and a guarded socket gets the door's
 * callback, which judges the new bytes before h2o's callback runs.
 *
 * h2o reads only while it waits for the message the scan is in the middle of: when bytes arrive
 * every message before it was handled, and its own bytes are in the input buffer or, decoded, in
 * h2o's hands. So a fault in that message ends the connection at once, and a fault in a later one
 * cuts the input there: h2o serves what stands before, and the refusal is written when it asks
 * for more.
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "door.h"
#include "door_scan.h"
#include "loop.h"
#include "metric.h"
#include "sqlstate.h"
#include "text.h"

enum
{
	SWEEP_MS = 500,
	LINGER_MS = 2000,
	LINGER_BYTES = 16 << 20,
	BODY_BYTES_PER_MS = 16, /* slower bodies run into the deadline */
	ANSWER_BYTES_PER_S = 512
};

/* A guarded connection, or (guard false) a refused one whose last bytes are drained. */
struct door
{
	struct door *prev, *next; /* all of this thread */
	h2o_socket_t *sock;
	bool guard;

	h2o_socket_cb inner; /* h2o's read callback */
	void (*close_cb)(void *data);
	void *close_data;
	struct door_scan scan;
	bool released, ending;
	bool stream;	  /* the answer under way has no end of its own */
	uint64_t since;	  /* of the idle time, the head or the body, ms */
	uint64_t drained; /* bytes thrown away while lingering */

	bool sending; /* the client had not acknowledged everything at the last sweep */
	uint64_t acked, acked_at;
};

static struct door_limits limits;

static __thread struct door doors; /* the list's head; linked to itself when first used */
static __thread struct timer sweep_timer;
static __thread struct turn_end turn;
static __thread bool draining;
static __thread struct door
	*cursor; /* of the walk under way: the next one, whatever is freed meanwhile */

static void (*read_start)(h2o_socket_t *sock, h2o_socket_cb cb);

static void on_close(void *data);
static void on_read(h2o_socket_t *sock, const char *err);
static void on_turn_end(struct turn_end *work);
static void sweep(struct timer *timer);

void
door_configure(h2o_globalconf_t *global)
{
	read_start =
		(void (*)(h2o_socket_t *, h2o_socket_cb)) dlsym(RTLD_NEXT, "h2o_socket_read_start");
	if (!read_start ||
		dlsym(RTLD_DEFAULT, "h2o_socket_read_start") != (void *) h2o_socket_read_start)
	{
		fputs("saleshub-gateway: the request check is not in front of h2o\n", stderr);
		exit(1);
	}
	limits = (struct door_limits){
		.head = config.head_limit,
		.target = config.head_limit / 2 < 8192 ? config.head_limit / 2 : 8192,
		.headers = 100, /* as many as h2o takes */
		.body = config.max_body,
	};
	global->max_request_entity_size = (size_t) config.max_body + 1;
	global->http1.upgrade_to_http2 = 0;
	/* h2o counts idle time, head and body as one; the door's deadlines come first */
	global->http1.req_timeout = (uint64_t) 24 * 3600 * 1000;
}

static struct door *
door_new(h2o_socket_t *sock, bool guard)
{
	struct door *door = h2o_mem_alloc(sizeof *door);

	*door = (struct door){ .sock = sock, .guard = guard };
	door->scan.limits = &limits;
	door->since = h2o_now(self->loop);
	if (!doors.next)
	{
		doors.next = doors.prev = &doors;
		timer_start(&sweep_timer, SWEEP_MS, sweep);
	}
	door->next = &doors;
	door->prev = doors.prev;
	door->prev->next = door->next->prev = door;
	return door;
}

static void
door_free(struct door *door)
{
	if (cursor == door)
		cursor = door->next;
	door->prev->next = door->next;
	door->next->prev = door->prev;
	free(door);
}

static struct door *
door_of(const h2o_socket_t *sock)
{
	return sock->on_close.cb == on_close ? sock->on_close.data : NULL;
}

void
door_guard(h2o_socket_t *sock)
{
	struct door *door = door_new(sock, true);

	door->close_cb = sock->on_close.cb;
	door->close_data = sock->on_close.data;
	sock->on_close.cb = on_close;
	sock->on_close.data = door;
}

void
door_stream(h2o_socket_t *sock)
{
	struct door *door = door_of(sock);

	if (door)
		door->stream = true;
}

void
door_release(h2o_socket_t *sock)
{
	struct door *door = door_of(sock);

	if (door)
		door->released = true;
}

static void
on_close(void *data)
{
	struct door *door = data;
	void (*cb)(void *data) = door->close_cb;
	void *cb_data = door->close_data;

	door_free(door);
	if (cb)
		cb(cb_data);
}

static void
end_later(struct door *door)
{
	door->ending = true;
	turn.run = on_turn_end;
	loop_at_turn_end(&turn);
}

/* Takes the place of the library's function of that name. */
void
h2o_socket_read_start(h2o_socket_t *sock, h2o_socket_cb cb)
{
	struct door *door = door_of(sock);

	if (!door || door->released)
	{
		read_start(sock, cb);
		return;
	}
	if (!door->inner)
		door->inner = cb;
	else if (cb != door->inner)
	{
		/* not HTTP/1 any more: only a successful upgrade changes the reader */
		door->released = true;
		read_start(sock, cb);
		return;
	}
	door->since = h2o_now(self->loop);
	door->stream = false;
	if (sock->input->size == 0 &&
		(door->scan.fault.status || door->scan.state >= DOOR_UPGRADE || draining))
	{
		/* not from here: h2o goes on to use the connection after this call */
		end_later(door);
		return;
	}
	read_start(sock, on_read);
}

/* One attempt, straight to the kernel: nothing else is being written, and the client is at fault.
 */
static void
answer(struct door *door)
{
	const struct door_fault *fault = &door->scan.fault;
	char id[37], date[40], body[512], head[512];
	time_t now = time(NULL);
	struct tm tm;
	int body_len, head_len;
	struct iovec parts[2];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	snprintf(body, sizeof body, "code=\"%s\"", fault->code);
	metric_add(
		metric_counter("saleshub_http_refused_total", body, "Requests refused for their framing."),
		1);
	text_uuid(id);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	body_len =
		snprintf(body,
				 sizeof body,
				 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
				 "\"code\":\"%s\",\"request_id\":\"%s\"}",
				 sqlstate_title(fault->status),
				 fault->status,
				 fault->detail,
				 fault->code,
				 id);
	head_len = snprintf(head,
						sizeof head,
						"HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n"
						"Content-Type: application/problem+json\r\nContent-Length: %d\r\n"
						"X-Request-Id: %s\r\nCache-Control: no-store\r\n"
						"X-Content-Type-Options: nosniff\r\n\r\n",
						fault->status,
						sqlstate_title(fault->status),
						date,
						body_len,
						id);
	parts[0] = (struct iovec){ head, head_len };
	parts[1] = (struct iovec){ body, body_len };
	if (sendmsg(h2o_socket_get_fd(door->sock), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* the client is gone or reads nothing: it is closed all the same */
}

static void
on_linger_read(h2o_socket_t *sock, const char *err)
{
	struct door *door = sock->data;

	door->drained += sock->input->size;
	h2o_buffer_consume(&sock->input, sock->input->size);
	if (err || door->drained > LINGER_BYTES)
	{
		h2o_socket_close(sock);
		door_free(door);
	}
}

/*
 * Closing a socket with unread input resets the connection, and the client may lose the answer.
 * So a duplicate of the descriptor stays for a moment and drains.
 */
static void
linger(struct door *door)
{
	int fd = fcntl(h2o_socket_get_fd(door->sock), F_DUPFD_CLOEXEC, 0);
	h2o_socket_t *sock;

	if (fd < 0)
		return;
	shutdown(fd, SHUT_WR);
	sock = h2o_evloop_socket_create(self->loop, fd, 0);
	sock->data = door_new(sock, false);
	read_start(sock, on_linger_read);
}

/* Ends the connection; h2o must be waiting for input. Frees the door. */
static void
end(struct door *door)
{
	h2o_socket_t *sock = door->sock;
	h2o_socket_cb inner = door->inner;

	if (door->scan.fault.status && !h2o_socket_is_writing(sock))
	{
		answer(door);
		linger(door);
	}
	h2o_socket_read_stop(sock);
	inner(sock, h2o_socket_error_closed);
}

/* The next door of a walk that began with cursor = doors.next; NULL: there is none. */
static struct door *
walk(void)
{
	struct door *door = cursor;

	if (!door || door == &doors)
		return NULL;
	cursor = door->next;
	return door;
}

static void
on_turn_end(struct turn_end *work)
{
	struct door *door;

	(void) work;
	cursor = doors.next;
	while ((door = walk()) != NULL)
	{
		if (door->ending)
			end(door);
	}
}

static void
on_read(h2o_socket_t *sock, const char *err)
{
	struct door *door = door_of(sock);
	size_t fresh = sock->bytes_read, looked, before;
	const char *base;

	if (err || fresh == 0 || door->released)
	{
		door->inner(sock, err);
		return;
	}
	base = sock->input->bytes + sock->input->size - fresh;
	if (door->scan.message == 0)
		door->since = h2o_now(self->loop);
	looked = door_scan(&door->scan, base, fresh);
	if (door->scan.fault.status)
	{
		if (looked <= door->scan.message)
		{
			end(door);
			return;
		}
		before = looked - door->scan.message;
		sock->input->size -= fresh - before;
		sock->bytes_read = before;
	}
	door->inner(sock, NULL);
}

/* The deadline of what the connection is doing; 0: none. */
static uint64_t
deadline(const struct door *door)
{
	uint64_t limit = config.request_timeout_ms;

	if (!door->guard)
		return door->since + LINGER_MS;
	if (door_scan_in_body(&door->scan))
		limit += door->scan.body / BODY_BYTES_PER_MS;
	return door->since + limit;
}

/*
 * Has the client stopped taking its answers? Counts what its side acknowledged of what the kernel
 * still holds. A stream that only now and then has something to send is left in peace.
 */
static bool
stalled(struct door *door, uint64_t now)
{
	int fd = h2o_socket_get_fd(door->sock);
	uint64_t limit = (uint64_t) config.request_timeout_ms * 2 / 3;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	int unacked = 0;

	if (ioctl(fd, SIOCOUTQ, &unacked) != 0 || unacked == 0 ||
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
	{
		door->sending = false;
		return false;
	}
	if (!door->sending ||
		info.tcpi_bytes_acked - door->acked > (now - door->acked_at) * ANSWER_BYTES_PER_S / 1000)
	{
		door->sending = true;
		door->acked = info.tcpi_bytes_acked;
		door->acked_at = now;
		return false;
	}
	/* who listens to a stream may be slow: what it is to get is not kept in memory */
	if (door->stream)
		limit *= 15;
	return (h2o_socket_is_writing(door->sock) || h2o_socket_is_reading(door->sock)) &&
		   now - door->acked_at > limit;
}

static void
sweep_one(struct door *door, uint64_t now)
{
	int fd = h2o_socket_get_fd(door->sock);

	if (!door->guard)
	{
		if (now >= deadline(door))
		{
			h2o_socket_close(door->sock);
			door_free(door);
		}
		return;
	}
	if (door->released || door->ending)
		return;
	if (stalled(door, now))
	{
		/*
		 * H2o may be in the middle of an answer: let its write or read fail. The kernel shall not
		 * keep what the client does not take.
		 */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		shutdown(fd, SHUT_RDWR);
		return;
	}
	if (!h2o_socket_is_reading(door->sock) || now < deadline(door))
		return;
	if (door->scan.message > 0)
		door->scan.fault =
			(struct door_fault){ 408, "request_timeout", "The request did not arrive in time." };
	end(door);
}

static void
sweep(struct timer *timer)
{
	uint64_t now = h2o_now(self->loop);
	struct door *door;

	cursor = doors.next;
	while ((door = walk()) != NULL)
		sweep_one(door, now);
	timer_start(timer, SWEEP_MS, sweep);
}

/* Has the client sent what was not read yet? */
static bool
has_input(h2o_socket_t *sock)
{
	char byte;

	return recv(h2o_socket_get_fd(sock), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void
door_drain(void)
{
	struct door *door;

	draining = true;
	cursor = doors.next;
	while ((door = walk()) != NULL)
	{
		if (door->guard && !door->released && !door->ending && door->scan.message == 0 &&
			h2o_socket_is_reading(door->sock) && !has_input(door->sock))
			end(door);
	}
}
