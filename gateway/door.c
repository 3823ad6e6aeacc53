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
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "door.h"
#include "door_answer.h"
#include "door_head.h"
#include "loop.h"

enum
{
	SWEEP_MS = 500,
	LINGER_MS = 2000,
	LINGER_BYTES = 16 << 20,
	BODY_PIECE = 128 * 1024,
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

	/*
	 * The body on disk of the message under way, or of the request that h2o has been given. While
	 * it comes the input holds the head alone, of so many bytes, which h2o has not been told of.
	 */
	struct spool *spool;
	size_t head;		/* 0: no body is on its way to the disk */
	h2o_socket_t *body; /* reads it, as h2o's socket would read all that comes into memory */
	char *held;			/* bytes after it, or from its head on while earlier messages are in work */
	size_t held_len;
	bool resuming;

	bool sending; /* the client had not acknowledged everything at the last sweep */
	uint64_t acked, acked_at;
};

static struct door_limits limits;
static struct door_verdict (*judge_hook)(const char *head, size_t len, uint64_t length);

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
static void resume(struct door *door);
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
		.ask = judge_hook != NULL,
	};
	global->max_request_entity_size = (size_t) config.max_body + 1;
	global->http1.upgrade_to_http2 = 0;
	/* h2o counts idle time, head and body as one; the door's deadlines come first */
	global->http1.req_timeout = (uint64_t) 24 * 3600 * 1000;
}

void door_on_body(struct door_verdict (*judge)(const char *head, size_t len, uint64_t length))
{
	judge_hook = judge;
	limits.ask = true;
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
stop_body(struct door *door)
{
	if (!door->body)
		return;
	h2o_socket_read_stop(door->body);
	h2o_socket_close(door->body);
	door->body = NULL;
}

/* Is the client to send something? */
static bool
is_reading(const struct door *door)
{
	return door->body || h2o_socket_is_reading(door->sock);
}

static void
door_free(struct door *door)
{
	if (cursor == door)
		cursor = door->next;
	door->prev->next = door->next;
	door->next->prev = door->prev;
	stop_body(door);
	spool_free(door->spool);
	free(door->held);
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
act_later(bool *what)
{
	*what = true;
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
	spool_free(door->spool);
	door->spool = NULL;
	if (door->held)
	{
		/* nothing is read before what is held was looked at; h2o first takes what it has */
		if (sock->input->size == 0)
			act_later(&door->resuming);
		return;
	}
	if (sock->input->size == 0 &&
		(door->scan.fault.status || door->scan.state >= DOOR_UPGRADE || draining))
	{
		/* not from here: h2o goes on to use the connection after this call */
		act_later(&door->ending);
		return;
	}
	read_start(sock, on_read);
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
		door_answer(h2o_socket_get_fd(sock), &door->scan.fault);
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
		else if (door->resuming)
			resume(door);
	}
}

/* --- bodies on disk --- */

/* Keeps bytes that came for later. */
static void
hold(struct door *door, const char *base, size_t len)
{
	if (len == 0)
		return;
	door->held = h2o_mem_alloc(len);
	door->held_len = len;
	memcpy(door->held, base, len);
}

static bool
spool_body(void *data, const char *base, size_t len)
{
	static const struct door_fault faults[] = {
		[SPOOL_CROWDED] = { 503, "too_many_uploads", "There is no room for more uploads now." },
		[SPOOL_FULL] = { 507, "disk_full", "There is no room for the upload." },
		[SPOOL_FAILED] = { 500, "internal", "The upload could not be kept." },
	};
	struct door *door = data;
	enum spool_outcome outcome = spool_write(door->spool, base, len);

	door->scan.fault = faults[outcome];
	return outcome == SPOOL_OK;
}

/* The next bytes of the body go to disk; when they were the last, h2o gets the head. */
static void
take_body(struct door *door, const char *base, size_t len)
{
	h2o_socket_t *sock = door->sock;
	size_t looked = door_scan(&door->scan, base, len);

	if (door->scan.fault.status)
	{
		end(door);
		return;
	}
	if (door->scan.pause != DOOR_OVER)
		return;
	hold(door, base + looked, len - looked);
	sock->bytes_read = door->head;
	door->head = 0;
	stop_body(door);
	door->inner(sock, NULL);
}

static void
on_body(h2o_socket_t *body, const char *err)
{
	static __thread char piece[BODY_PIECE];
	struct door *door = body->data;
	ssize_t n = read(h2o_socket_get_fd(body), piece, sizeof piece);

	(void) err;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		take_body(door, piece, (size_t) n);
	else
		door->inner(door->sock, h2o_socket_error_closed);
}

/* From now on the door reads, not h2o. */
static bool
watch_body(struct door *door)
{
	int fd = fcntl(h2o_socket_get_fd(door->sock), F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return false;
	h2o_socket_read_stop(door->sock);
	door->body = h2o_evloop_socket_create(self->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	door->body->data = door;
	read_start(door->body, on_body);
	return true;
}

/* The message is the one that h2o waits for, and its head ends there in the input. */
static void
begin_spooling(struct door *door, const struct door_verdict *verdict, size_t head)
{
	struct door_scan *scan = &door->scan;
	h2o_buffer_t *input = door->sock->input;
	size_t came = input->size - head;
	enum spool_outcome outcome;

	door->spool = spool_new(verdict->hash, &outcome);
	scan->sink = spool_body;
	scan->sink_data = door;
	if (scan->expect && !scan->expect_continue)
		door_refuse(scan, 417, "expectation_failed", "Only 100-continue can be expected.");
	else if (!door->spool || !watch_body(door))
		door_refuse(scan,
					outcome == SPOOL_FULL ? 507 : 500,
					outcome == SPOOL_FULL ? "disk_full" : "internal",
					"The upload could not be kept.");
	if (scan->fault.status || !door_scan_body(scan, verdict->max))
	{
		end(door);
		return;
	}
	door_head_blind(input->bytes, head);
	door->head = input->size = head;
	if (came > 0)
		take_body(door, input->bytes + head, came);
	else if (scan->expect_continue)
		door_continue(h2o_socket_get_fd(door->sock));
}

/*
 * Scans the input from there on. At a head whose body goes to disk it stops and gives the verdict;
 * for others the scan goes on.
 */
static size_t
look(struct door *door, size_t from, struct door_verdict *verdict)
{
	struct door_scan *scan = &door->scan;
	const h2o_buffer_t *input = door->sock->input;
	size_t at = from + door_scan(scan, input->bytes + from, input->size - from);
	uint64_t most;

	verdict->spool = false;
	while (scan->pause == DOOR_ASK)
	{
		*verdict = judge_hook(input->bytes + at - scan->message,
							  scan->message,
							  scan->chunked ? UINT64_MAX : scan->length);
		if (verdict->spool)
			break;
		scan->pause = DOOR_GO;
		scan->fault = verdict->fault;
		most = verdict->most && verdict->most < limits.body ? verdict->most : limits.body;
		if (!scan->fault.status && door_scan_body(scan, most))
			at += door_scan(scan, input->bytes + at, input->size - at);
	}
	return at;
}

/* The input's last bytes are new. */
static void
feed(struct door *door, size_t fresh)
{
	h2o_socket_t *sock = door->sock;
	size_t from = sock->input->size - fresh;
	struct door_verdict verdict;
	size_t at, start;

	if (door->scan.message == 0)
		door->since = h2o_now(self->loop);
	at = look(door, from, &verdict);
	start = at - door->scan.message;
	if (verdict.spool && start == 0)
	{
		begin_spooling(door, &verdict, at);
		return;
	}
	if (verdict.spool)
	{
		hold(door, sock->input->bytes + start, sock->input->size - start);
		sock->input->size = start;
		door_scan_again(&door->scan);
		sock->bytes_read = start - from;
	}
	else if (door->scan.fault.status)
	{
		if (at <= from + door->scan.message)
		{
			end(door);
			return;
		}
		sock->input->size = start;
		sock->bytes_read = start - from;
	}
	door->inner(sock, NULL);
}

/* h2o asks for more: what was held comes as if it had just been read. */
static void
resume(struct door *door)
{
	h2o_socket_t *sock = door->sock;
	size_t len = door->held_len;
	char *held = door->held;
	h2o_iovec_t room = h2o_buffer_reserve(&sock->input, len);

	memcpy(room.base, held, len);
	sock->input->size += len;
	sock->bytes_read = len;
	door->resuming = false;
	door->held = NULL;
	door->held_len = 0;
	free(held);
	read_start(sock, on_read);
	feed(door, len);
}

static void
on_read(h2o_socket_t *sock, const char *err)
{
	struct door *door = door_of(sock);

	if (!door)
		return; /* only guarded sockets are read by this function */
	if (err || sock->bytes_read == 0 || door->released)
		door->inner(sock, err);
	else
		feed(door, sock->bytes_read);
}

struct spool *
door_take_spool(h2o_socket_t *sock)
{
	struct door *door = door_of(sock);
	struct spool *spool = door ? door->spool : NULL;

	if (door)
		door->spool = NULL;
	return spool;
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
	return (h2o_socket_is_writing(door->sock) || is_reading(door)) && now - door->acked_at > limit;
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
	if (!is_reading(door) || now < deadline(door))
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
		if (door->guard && !door->released && !door->ending && !door->held &&
			door->scan.message == 0 && h2o_socket_is_reading(door->sock) && !has_input(door->sock))
			end(door);
	}
}
