#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "engineio.h"
#include "loop.h"
#include "metric.h"
#include "text.h"

enum
{
	BUCKETS = 1024,
	SEPARATOR = 0x1e
};

struct engine
{
	struct engine *chain;
	h2o_linklist_t link; /* all of the thread */
	char sid[ENGINE_SID];
	struct socket *socket; /* NULL: polling */
	struct poll *get;	   /* the GET that waits */
	struct text queue;	   /* packets for polling, separated */
	void *data;
	struct timer ping;
	struct timer handshake;
	struct turn_end end, flush;
	bool awaiting, probed, settled, ending, gone;
	int code;
	const char *reason;
};

static const struct engine_user *user;
static __thread struct engine *table[BUCKETS];
static __thread h2o_linklist_t engines;

static struct engine **
slot(const char *sid)
{
	uint32_t hash = 2166136261u;

	for (; *sid; sid++)
		hash = (hash ^ (uint8_t) *sid) * 16777619u;
	return &table[hash % BUCKETS];
}

struct engine *
engine_find(const char *sid)
{
	struct engine *engine = *slot(sid);

	while (engine && strcmp(engine->sid, sid) != 0)
		engine = engine->chain;
	return engine;
}

static void
enter(struct engine *engine)
{
	struct engine **at = slot(engine->sid);

	engine->chain = *at;
	*at = engine;
	if (!engines.next)
		h2o_linklist_init_anchor(&engines);
	h2o_linklist_insert(&engines, &engine->link);
}

static void
withdraw(struct engine *engine)
{
	struct engine **at = slot(engine->sid);

	while (*at && *at != engine)
		at = &(*at)->chain;
	if (*at)
		*at = engine->chain;
	h2o_linklist_unlink(&engine->link);
	timer_stop(&engine->ping);
	timer_stop(&engine->handshake);
}

int
engine_thread(const char *sid)
{
	uint8_t index;

	if (strlen(sid) != ENGINE_SID - 1 || !text_unhex(sid, 2, &index) || index >= loop_threads())
		return -1;
	return index;
}

static void put(struct engine *engine, char type, const char *base, size_t len);
static void flush_poll(struct engine *engine);

/* --- the end --- */

static void
engine_free(struct engine *engine)
{
	if (engine->end.queued || engine->flush.queued)
		return; /* comes back here from the turn's end */
	text_free(&engine->queue);
	free(engine);
}

/* The transport is closed or has been told to; nobody uses the engine after this. */
static void
finish(struct engine *engine)
{
	if (engine->gone)
		return;
	if (engine->get)
	{
		put(engine, '1', "", 0);
		flush_poll(engine);
	}
	engine->gone = true;
	withdraw(engine);
	user->closed(engine->data);
	engine_free(engine);
}

static void
on_turn_end(struct turn_end *work)
{
	struct engine *engine = H2O_STRUCT_FROM_MEMBER(struct engine, end, work);

	if (engine->gone)
		engine_free(engine);
	else if (engine->socket)
		socket_close(engine->socket, engine->code, engine->reason); /* closed() follows */
	else
		finish(engine);
}

void
engine_close(struct engine *engine, int code, const char *reason)
{
	if (engine->ending)
		return;
	engine->ending = true;
	engine->code = code;
	engine->reason = reason;
	loop_at_turn_end(&engine->end);
}

static void
on_handshake_deadline(struct timer *timer)
{
	engine_close(
		H2O_STRUCT_FROM_MEMBER(struct engine, handshake, timer), 1008, "no connect packet");
}

void
engine_settled(struct engine *engine)
{
	engine->settled = true;
	timer_stop(&engine->handshake);
}

/* --- sending --- */

static void
flush_poll(struct engine *engine)
{
	struct poll *get = engine->get;

	if (!get || !engine->queue.len)
		return;
	engine->get = NULL;
	poll_answer(get, 200, engine->queue.base, engine->queue.len);
	engine->queue.len = 0;
	if (!engine->ending)
		user->drained(engine->data);
}

static void
put(struct engine *engine, char type, const char *base, size_t len)
{
	if (engine->gone)
		return;
	if (engine->socket)
	{
		struct text packet = { 0 };
		text_add(&packet, &type, 1);
		text_add(&packet, base, len);
		socket_send(engine->socket, packet.base, packet.len);
		text_free(&packet);
		return;
	}
	if (engine->queue.len)
		text_add(&engine->queue, "\x1e", 1);
	text_add(&engine->queue, &type, 1);
	text_add(&engine->queue, base, len);
}

/* A waiting GET is answered once per turn, with all there is. */
static void
on_flush(struct turn_end *work)
{
	struct engine *engine = H2O_STRUCT_FROM_MEMBER(struct engine, flush, work);

	if (engine->gone)
		engine_free(engine);
	else
		flush_poll(engine);
}

void
engine_send(struct engine *engine, const char *base, size_t len)
{
	put(engine, '4', base, len);
	if (!engine->socket)
		loop_at_turn_end(&engine->flush);
}

size_t
engine_queued(const struct engine *engine)
{
	return engine->socket ? socket_queued(engine->socket) : engine->queue.len;
}

static void
on_ping(struct timer *timer)
{
	struct engine *engine = H2O_STRUCT_FROM_MEMBER(struct engine, ping, timer);

	if (engine->awaiting)
	{
		engine_close(engine, 1001, "ping timeout");
		return;
	}
	engine->awaiting = true;
	put(engine, '2', "", 0);
	flush_poll(engine);
	timer_start(&engine->ping, ENGINE_TIMEOUT_MS, on_ping);
}

/* --- receiving --- */

/* False: not a packet that a client sends. */
static bool
receive(struct engine *engine, const char *base, size_t len)
{
	if (!len)
		return false;
	switch (base[0])
	{
		case '1':
			engine_close(engine, 1000, "");
			return true;
		case '3':
			if (engine->awaiting)
			{
				engine->awaiting = false;
				timer_start(&engine->ping, ENGINE_PING_MS, on_ping);
			}
			return true;
		case '4':
			user->message(engine->data, base + 1, len - 1);
			return true;
		case 'b': /* binary in base64: nothing here says anything in it */
			return true;
		default:
			return false;
	}
}

bool
engine_payload(struct engine *engine, const char *base, size_t len)
{
	const char *end = base + len;

	while (!engine->ending)
	{
		const char *stop = memchr(base, SEPARATOR, (size_t) (end - base));
		if (!receive(engine, base, (size_t) ((stop ? stop : end) - base)))
		{
			engine_close(engine, 1002, "parse error");
			return false;
		}
		if (!stop)
			break;
		base = stop + 1;
	}
	return true;
}

static void
on_text(void *data, const char *base, size_t len)
{
	struct engine *engine = data;

	if (!engine->ending && !receive(engine, base, len))
		engine_close(engine, 1002, "parse error");
}

static void
on_drained(void *data)
{
	struct engine *engine = data;

	if (!engine->ending)
		user->drained(engine->data);
}

static void
on_closed(void *data)
{
	struct engine *engine = data;

	engine->socket = NULL;
	engine->ending = true;
	finish(engine);
}

const struct socket_user *
engine_socket_user(void)
{
	static const struct socket_user socket_user = {
		.text = on_text,
		.drained = on_drained,
		.closed = on_closed,
	};

	return &socket_user;
}

/* --- opening and moving --- */

void
engine_use(const struct engine_user *of)
{
	user = of;
}

struct engine *
engine_open(void)
{
	struct engine *engine = h2o_mem_alloc(sizeof *engine);
	uint8_t random[16];

	memset(engine, 0, sizeof *engine);
	randombytes_buf(random, sizeof random);
	snprintf(engine->sid, sizeof engine->sid, "%02x", self->index);
	sodium_bin2base64(engine->sid + 2,
					  sizeof engine->sid - 2,
					  random,
					  sizeof random,
					  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	engine->end.run = on_turn_end;
	engine->flush.run = on_flush;
	enter(engine);
	timer_start(&engine->ping, ENGINE_PING_MS, on_ping);
	timer_start(&engine->handshake, ENGINE_HANDSHAKE_MS, on_handshake_deadline);
	engine->data = user->opened(engine);
	return engine;
}

void
engine_set_socket(struct engine *engine, struct socket *socket)
{
	engine->socket = socket;
}

void
engine_hello(const struct engine *engine, bool polling, struct text *out)
{
	text_printf(out,
				"0{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%d,\"pingTimeout\":%d,"
				"\"maxPayload\":%d}",
				engine->sid,
				polling ? "\"websocket\"" : "",
				ENGINE_PING_MS,
				ENGINE_TIMEOUT_MS,
				ENGINE_PAYLOAD_MAX);
}

void
engine_poll(struct engine *engine, struct poll *poll)
{
	if (engine->get || engine->socket)
	{
		poll_answer(poll, 400, NULL, 0);
		engine_close(engine, 1002, "overlapping polls");
		return;
	}
	engine->get = poll;
	/* the client waits for the end of this poll before it upgrades */
	if (engine->probed && !engine->queue.len)
		put(engine, '6', "", 0);
	flush_poll(engine);
}

void
engine_poll_gone(struct engine *engine, uint64_t serial)
{
	if (!engine->get || engine->get->serial != serial)
		return;
	poll_answer(engine->get, 0, NULL, 0);
	engine->get = NULL;
	engine_close(engine, 1001, "poll ended early");
}

bool
engine_probed(struct engine *engine)
{
	if (engine->socket || engine->ending)
		return false;
	if (engine->get)
	{
		put(engine, '6', "", 0);
		flush_poll(engine);
	}
	engine->probed = true;
	return true;
}

void
engine_unprobed(struct engine *engine)
{
	engine->probed = false;
}

/* Timers and lists are of the thread. */
bool
engine_leave(struct engine *engine)
{
	if (engine->end.queued || engine->flush.queued || !user->leave(engine->data))
		return false;
	if (engine->get)
	{
		poll_answer(engine->get, 200, "6", 1);
		engine->get = NULL;
	}
	withdraw(engine);
	return true;
}

void
engine_arrive(struct engine *engine, struct socket *socket)
{
	const char *at = engine->queue.base, *end = at + engine->queue.len;

	enter(engine);
	timer_start(&engine->ping, engine->awaiting ? ENGINE_TIMEOUT_MS : ENGINE_PING_MS, on_ping);
	if (!engine->settled)
		timer_start(&engine->handshake, ENGINE_HANDSHAKE_MS, on_handshake_deadline);
	engine->socket = socket;
	while (socket && at < end)
	{
		const char *stop = memchr(at, SEPARATOR, (size_t) (end - at));
		stop = stop ? stop : end;
		socket_send(socket, at, (size_t) (stop - at));
		at = stop + 1;
	}
	engine->queue.len = 0;
	user->arrive(engine->data);
	if (!socket)
		engine_close(engine, 1001, "upgrade failed");
}

void
engine_drain(void)
{
	if (!engines.next)
		return;
	for (h2o_linklist_t *link = engines.next; link != &engines; link = link->next)
		engine_close(H2O_STRUCT_FROM_MEMBER(struct engine, link, link), 1012, "restarting");
}
