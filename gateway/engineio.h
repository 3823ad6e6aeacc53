/*
 * Engine.IO v4 sessions: text packets to and from one client, over polling or a WebSocket. A
 * session belongs to one thread; the first two digits of its id say which. When its client
 * upgrades on a connection of another thread, the session moves there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "polling.h"
#include "socket.h"
#include "text.h"

enum
{
	ENGINE_SID = 25,
	ENGINE_PING_MS = 25000,
	ENGINE_TIMEOUT_MS = 60000,
	ENGINE_HANDSHAKE_MS = 10000,
	ENGINE_PAYLOAD_MAX = 1000000,
	ENGINE_QUEUE_MAX = 64 * 1024
};

struct engine;

/* What speaks inside the packets. data is what opened() returned. */
struct engine_user
{
	void *(*opened)(struct engine *engine);
	/* A message packet without its '4'; may end with engine_close, not with the engine gone. */
	void (*message)(void *data, const char *base, size_t len);
	/* There is room again. */
	void (*drained)(void *data);
	/* The engine is no more. */
	void (*closed)(void *data);
	/* May the session go to another thread now? True: it has left everything of this one. */
	bool (*leave)(void *data);
	void (*arrive)(void *data);
};

/* The one user; before engines open. */
void engine_use(const struct engine_user *user);

/* On this thread. socket NULL: polling. */
struct engine *engine_open(void);
struct engine *engine_find(const char *sid);
/* The thread of a session id, -1: not one of ours. */
int engine_thread(const char *sid);
/* The open packet: 0{"sid",…}. */
void engine_hello(const struct engine *engine, bool polling, struct text *out);
const struct socket_user *engine_socket_user(void);
void engine_set_socket(struct engine *engine, struct socket *socket);

/* One message packet; '4' is put before it. */
void engine_send(struct engine *engine, const char *base, size_t len);
/* Bytes not yet on their way. */
size_t engine_queued(const struct engine *engine);
/* Ends the session at the end of the turn, after what was sent before. code: of the WebSocket. */
void engine_close(struct engine *engine, int code, const char *reason);
/* The client proved itself: the handshake deadline is off. */
void engine_settled(struct engine *engine);

/* Of polling: a waiting GET, answered now or when there is something to say. */
void engine_poll(struct engine *engine, struct poll *poll);
/* The client of the waiting GET with this serial has left. */
void engine_poll_gone(struct engine *engine, uint64_t serial);
/* Packets of a POST; false: not Engine.IO, the session is ended. */
bool engine_payload(struct engine *engine, const char *base, size_t len);

/* Of an upgrade: the probe was answered; the waiting GET is let go. False: no upgrade now. */
bool engine_probed(struct engine *engine);
/* The WebSocket went away before the upgrade: polls wait again. */
void engine_unprobed(struct engine *engine);
/* Takes the session out of this thread; false: not yet, ask again soon. */
bool engine_leave(struct engine *engine);
void engine_arrive(struct engine *engine, struct socket *socket);
/* Ends all sessions of this thread: the gateway stops. */
void engine_drain(void);
