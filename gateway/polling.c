#include <stdlib.h>
#include <string.h>

#include "engineio.h"
#include "loop.h"
#include "polling.h"
#include "text.h"

enum
{
	UPGRADE_MS = 10000,
	LEAVE_RETRY_MS = 5,
	LEAVE_TRIES = 1000,
	EARLY_MAX = 1024 * 1024 /* bytes a client sends between its upgrade and the session's arrival */
};

/* A WebSocket whose client wants to bring a polling session along. */
struct upgrade
{
	h2o_linklist_t link;
	uint64_t serial;
	struct socket *socket;
	char sid[32];
	int owner;
	bool probed, taking;
	struct timer deadline;
	char **early; /* messages that came before the session */
	size_t *early_len;
	size_t early_count, early_bytes;
};

/* What the two threads of an upgrade tell each other. */
struct move
{
	int home;
	uint64_t serial; /* of the upgrade */
	char sid[32];
	struct engine *engine;
	bool ok;
	int tries;
	struct timer retry;
};

struct gone
{
	char sid[32];
	uint64_t serial;
};

static __thread uint64_t last_serial;
static __thread h2o_linklist_t upgrades;

/* --- answers to HTTP requests --- */

static void
reply_code(struct request *request, int code, const char *message)
{
	struct text body = { 0 };

	text_printf(&body, "{\"code\":%d,\"message\":\"%s\"}", code, message);
	http_reply(request, 400, "application/json", body.base, body.len);
	text_free(&body);
}

static void
on_answer(void *data)
{
	struct poll *poll = data;
	struct request *request = poll->request;

	request->on_gone = NULL;
	if (poll->status == 400)
		reply_code(request, 1, "Session ID unknown");
	else
		http_reply(request,
				   200,
				   poll->post ? "text/html" : "text/plain; charset=UTF-8",
				   poll->answer,
				   poll->answer_len);
	free(poll->answer);
	free(poll->body);
	free(poll);
}

void
poll_answer(struct poll *poll, int status, const char *base, size_t len)
{
	poll->status = status;
	poll->answer = h2o_strdup(NULL, base, len).base;
	poll->answer_len = len;
	if (poll->home == self->index)
		on_answer(poll);
	else
		loop_post(poll->home, on_answer, poll);
}

/* --- at the session's thread --- */

static void
on_poll(void *data)
{
	struct poll *poll = data;
	struct engine *engine = engine_find(poll->sid);

	if (!engine)
		poll_answer(poll, 400, NULL, 0);
	else if (!poll->post)
		engine_poll(engine, poll);
	else if (engine_payload(engine, poll->body, poll->len))
		poll_answer(poll, 200, "ok", 2);
	else
		poll_answer(poll, 400, NULL, 0);
}

static void
on_gone(void *data)
{
	struct gone *gone = data;
	struct engine *engine = engine_find(gone->sid);

	if (engine)
		engine_poll_gone(engine, gone->serial);
	free(gone);
}

/* --- at the request's thread --- */

static void
on_client_gone(struct request *request)
{
	struct poll *poll = request->data;
	struct gone *gone;
	int owner = engine_thread(poll->sid);

	if (poll->post || owner < 0)
		return;
	gone = h2o_mem_alloc(sizeof *gone);
	memcpy(gone->sid, poll->sid, sizeof gone->sid);
	gone->serial = poll->serial;
	loop_post(owner, on_gone, gone);
}

static void
pass_on(struct request *request, const char *sid, bool post)
{
	h2o_iovec_t body = request->h2o->entity;
	int owner = engine_thread(sid);
	struct poll *poll;

	if (owner < 0)
	{
		reply_code(request, 1, "Session ID unknown");
		return;
	}
	poll = h2o_mem_alloc(sizeof *poll);
	memset(poll, 0, sizeof *poll);
	poll->home = self->index;
	poll->serial = (uint64_t) self->index << 48 | ++last_serial;
	poll->request = request;
	memcpy(poll->sid, sid, ENGINE_SID);
	poll->post = post;
	if (post)
	{
		poll->body = h2o_strdup(NULL, body.base, body.len).base;
		poll->len = body.len;
	}
	request->data = poll;
	request->on_gone = on_client_gone;
	if (owner == self->index)
		on_poll(poll);
	else
		loop_post(owner, on_poll, poll);
}

static void
open_polling(struct request *request)
{
	struct text hello = { 0 };
	struct engine *engine = engine_open();

	engine_hello(engine, true, &hello);
	http_reply(request, 200, "text/plain; charset=UTF-8", hello.base, hello.len);
	text_free(&hello);
}

static void
open_socket(struct request *request)
{
	struct text hello = { 0 };
	struct engine *engine = engine_open();
	struct socket *socket;

	engine_hello(engine, false, &hello);
	socket = socket_upgrade(request, hello.base, engine_socket_user(), engine);
	if (socket)
		engine_set_socket(engine, socket);
	else
		engine_close(engine, 1002, "no handshake");
	text_free(&hello);
}

/* --- upgrades --- */

static struct upgrade *
upgrade_find(uint64_t serial)
{
	if (!upgrades.next)
		return NULL;
	for (h2o_linklist_t *link = upgrades.next; link != &upgrades; link = link->next)
	{
		struct upgrade *upgrade = H2O_STRUCT_FROM_MEMBER(struct upgrade, link, link);
		if (upgrade->serial == serial)
			return upgrade;
	}
	return NULL;
}

static void
upgrade_free(struct upgrade *upgrade)
{
	timer_stop(&upgrade->deadline);
	h2o_linklist_unlink(&upgrade->link);
	for (size_t i = 0; i < upgrade->early_count; i++)
		free(upgrade->early[i]);
	free(upgrade->early);
	free(upgrade->early_len);
	free(upgrade);
}

static void
on_unprobe(void *data)
{
	struct move *move = data;
	struct engine *engine = engine_find(move->sid);

	if (engine)
		engine_unprobed(engine);
	free(move);
}

/* Home again: the session was found ready, or was not. */
static void
on_probed(void *data)
{
	struct move *move = data;
	struct upgrade *upgrade = upgrade_find(move->serial);

	if (!upgrade && move->ok)
	{
		loop_post(engine_thread(move->sid), on_unprobe, move);
		return;
	}
	if (upgrade && move->ok)
	{
		upgrade->probed = true;
		socket_send(upgrade->socket, "3probe", 6);
	}
	else if (upgrade)
		socket_close(upgrade->socket, 1008, "session unknown");
	free(move);
}

static void
on_given(void *data)
{
	struct move *move = data;
	struct upgrade *upgrade = upgrade_find(move->serial);
	const struct socket_user *user = engine_socket_user();

	if (!upgrade)
	{
		if (move->engine)
			engine_arrive(move->engine, NULL);
	}
	else if (!move->engine)
		socket_close(upgrade->socket, 1008, "session unknown");
	else
	{
		socket_hand_over(upgrade->socket, user, move->engine);
		engine_arrive(move->engine, upgrade->socket);
		for (size_t i = 0; i < upgrade->early_count; i++)
			user->text(move->engine, upgrade->early[i], upgrade->early_len[i]);
		upgrade_free(upgrade);
	}
	free(move);
}

/* At the session's thread. */
static void
on_probe(void *data)
{
	struct move *move = data;
	struct engine *engine = engine_find(move->sid);

	move->ok = engine && engine_probed(engine);
	loop_post(move->home, on_probed, move);
}

static void try_take(struct timer *timer);

static void
take(struct move *move)
{
	struct engine *engine = engine_find(move->sid);

	if (engine && engine_leave(engine))
		move->engine = engine;
	else if (engine && --move->tries > 0)
	{
		timer_start(&move->retry, LEAVE_RETRY_MS, try_take);
		return;
	}
	loop_post(move->home, on_given, move);
}

static void
try_take(struct timer *timer)
{
	take(H2O_STRUCT_FROM_MEMBER(struct move, retry, timer));
}

static void
on_take(void *data)
{
	take(data);
}

static void
send_move(struct upgrade *upgrade, void (*fn)(void *data))
{
	struct move *move = h2o_mem_alloc(sizeof *move);

	memset(move, 0, sizeof *move);
	move->home = self->index;
	move->serial = upgrade->serial;
	move->tries = LEAVE_TRIES;
	memcpy(move->sid, upgrade->sid, sizeof move->sid);
	loop_post(upgrade->owner, fn, move);
}

static void
keep_early(struct upgrade *upgrade, const char *base, size_t len)
{
	size_t n = upgrade->early_count;

	upgrade->early_bytes += len + sizeof *upgrade->early + sizeof *upgrade->early_len;
	if (upgrade->early_bytes > EARLY_MAX)
	{
		socket_close(upgrade->socket, 1009, "too much too early");
		return;
	}
	upgrade->early = h2o_mem_realloc(upgrade->early, sizeof *upgrade->early * (n + 1));
	upgrade->early_len = h2o_mem_realloc(upgrade->early_len, sizeof *upgrade->early_len * (n + 1));
	upgrade->early[n] = h2o_strdup(NULL, base, len).base;
	upgrade->early_len[n] = len;
	upgrade->early_count++;
}

static void
on_upgrade_text(void *data, const char *base, size_t len)
{
	struct upgrade *upgrade = data;

	if (upgrade->taking)
		keep_early(upgrade, base, len);
	else if (h2o_memis(base, len, H2O_STRLIT("2probe")))
		send_move(upgrade, on_probe);
	else if (h2o_memis(base, len, H2O_STRLIT("5")) && upgrade->probed)
	{
		upgrade->taking = true;
		send_move(upgrade, on_take);
	}
	else
		socket_close(upgrade->socket, 1002, "parse error");
}

static void
on_upgrade_drained(void *data)
{
	(void) data;
}

static void
on_upgrade_closed(void *data)
{
	struct upgrade *upgrade = data;

	if (upgrade->probed && !upgrade->taking)
		send_move(upgrade, on_unprobe);
	upgrade_free(upgrade);
}

static void
on_upgrade_deadline(struct timer *timer)
{
	struct upgrade *upgrade = H2O_STRUCT_FROM_MEMBER(struct upgrade, deadline, timer);

	socket_close(upgrade->socket, 1008, "upgrade took too long");
}

static void
open_upgrade(struct request *request, const char *sid)
{
	static const struct socket_user user = {
		.text = on_upgrade_text,
		.drained = on_upgrade_drained,
		.closed = on_upgrade_closed,
	};
	int owner = engine_thread(sid);
	struct upgrade *upgrade;

	if (owner < 0)
	{
		reply_code(request, 1, "Session ID unknown");
		return;
	}
	upgrade = h2o_mem_alloc(sizeof *upgrade);
	memset(upgrade, 0, sizeof *upgrade);
	upgrade->serial = ++last_serial;
	upgrade->owner = owner;
	memcpy(upgrade->sid, sid, ENGINE_SID);
	upgrade->socket = socket_upgrade(request, NULL, &user, upgrade);
	if (!upgrade->socket)
	{
		free(upgrade);
		return;
	}
	if (!upgrades.next)
		h2o_linklist_init_anchor(&upgrades);
	h2o_linklist_insert(&upgrades, &upgrade->link);
	timer_start(&upgrade->deadline, UPGRADE_MS, on_upgrade_deadline);
}

/* --- the route --- */

static void
get_socketio(struct request *request)
{
	const char *protocol = http_query_value(request, "EIO");
	const char *transport = http_query_value(request, "transport");
	const char *sid = http_query_value(request, "sid");
	bool websocket = transport && strcmp(transport, "websocket") == 0;

	if (!http_origin_allowed(request))
		http_problem(request, 403, "origin_denied", "This origin may not connect.", NULL, NULL);
	else if (!protocol || strcmp(protocol, "4") != 0)
		reply_code(request, 5, "Unsupported protocol version");
	else if (!websocket && (!transport || strcmp(transport, "polling") != 0))
		reply_code(request, 0, "Transport unknown");
	else if (self->draining)
	{
		http_header(request, "retry-after", "1");
		http_problem(request, 503, "unavailable", "Restarting.", NULL, NULL);
	}
	else if (websocket && sid)
		open_upgrade(request, sid);
	else if (websocket)
		open_socket(request);
	else if (sid)
		pass_on(request, sid, false);
	else
		open_polling(request);
}

static void
post_socketio(struct request *request)
{
	const char *protocol = http_query_value(request, "EIO");
	const char *transport = http_query_value(request, "transport");
	const char *sid = http_query_value(request, "sid");

	if (!http_origin_allowed(request))
		http_problem(request, 403, "origin_denied", "This origin may not connect.", NULL, NULL);
	else if (!protocol || strcmp(protocol, "4") != 0)
		reply_code(request, 5, "Unsupported protocol version");
	else if (!sid || !transport || strcmp(transport, "polling") != 0)
		reply_code(request, 2, "Bad handshake method");
	else if (request->h2o->entity.len > ENGINE_PAYLOAD_MAX)
		http_problem(request, 413, "too_large", "The payload is too large.", NULL, NULL);
	else
		pass_on(request, sid, true);
}

void
polling_install(void)
{
	http_register("GET", "/socket.io/", get_socketio);
	http_register("POST", "/socket.io/", post_socketio);
}
