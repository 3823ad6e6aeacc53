#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "engineio.h"
#include "hub.h"
#include "loop.h"
#include "pid.h"
#include "socketio.h"
#include "text.h"
#include "token.h"

enum
{
	RATE = 30, /* packets a second */
	RATE_BURST = 60,
	RATE_PATIENCE = 300, /* packets dropped before the connection is */
	SUBSCRIBE_RATE = 20,
	SUBSCRIBE_BURST = 40
};

enum client_state
{
	CLIENT_NEW,
	CLIENT_JOINING,
	CLIENT_OPEN
};

struct bucket
{
	double tokens;
	uint64_t at; /* ms */
};

struct client
{
	struct engine *engine;
	enum client_state state;
	struct hub_subscriber subscriber;
	struct pid pid;
	bool resuming, ending;
	struct bucket packets, subscribes;
	int dropped;
};

/* A packet under construction; one is enough, nothing is kept between calls. */
static __thread struct text packet;

static struct text *
packet_begin(void)
{
	packet.len = 0;
	return &packet;
}

static void
packet_send(struct client *client)
{
	engine_send(client->engine, packet.base, packet.len);
}

static bool
take_token(struct bucket *bucket, double rate, double burst)
{
	uint64_t now = h2o_now(self->loop);

	if (bucket->at == 0)
		bucket->tokens = burst;
	else
		bucket->tokens += (double) (now - bucket->at) * rate / 1000;
	bucket->at = now;
	if (bucket->tokens > burst)
		bucket->tokens = burst;
	if (bucket->tokens < 1)
		return false;
	bucket->tokens -= 1;
	return true;
}

/* --- what the server says --- */

/*
 * An event's last argument is a string only when it is the position: the client takes it for the
 * place to resume from.
 */
static void
say_position(struct client *client, const char *event, const char *reason)
{
	long long position = hub_position(&client->subscriber);
	const char *epoch = hub_epoch(client->subscriber.hub);
	struct text *out = packet_begin();

	text_printf(out,
				"2[\"%s\",{\"epoch\":\"%s\",\"gseq\":%lld,\"position\":\"%s-%lld\"",
				event,
				epoch,
				position,
				epoch,
				position);
	if (reason)
		text_printf(out, ",\"reason\":\"%s\"", reason);
	text_printf(out, "},\"%lld\"]", position);
	packet_send(client);
}

static void
refuse(struct client *client, const char *code)
{
	struct text *out = packet_begin();

	client->state = CLIENT_NEW;
	text_printf(out, "4{\"message\":\"%s\",\"data\":{\"code\":\"%s\"}}", code, code);
	packet_send(client);
}

/* id < 0: no answer is wanted. */
static void
acknowledge(struct client *client, json_int_t id, json_t *answer)
{
	char *body;

	if (id >= 0 && (body = json_dumps(answer, JSON_COMPACT)))
	{
		struct text *out = packet_begin();
		text_printf(out, "3%lld[%s]", (long long) id, body);
		packet_send(client);
		free(body);
	}
	json_decref(answer);
}

static void
acknowledge_error(struct client *client, json_int_t id, const char *error)
{
	acknowledge(client, id, json_pack("{s:b,s:s}", "ok", 0, "error", error));
}

/* --- the hub's codec --- */

static struct client *
client_of(struct hub_subscriber *subscriber)
{
	return H2O_STRUCT_FROM_MEMBER(struct client, subscriber, subscriber);
}

static void
say_connected(struct client *client, const char *const *denied, int ndenied)
{
	char sid[37], pid[PID_MAX];
	struct text *out;

	text_uuid(sid);
	if (!client->resuming)
	{
		snprintf(
			client->pid.epoch, sizeof client->pid.epoch, "%s", hub_epoch(client->subscriber.hub));
		client->pid.issued = (long) time(NULL);
	}
	pid_write(&client->pid, pid);
	out = packet_begin();
	text_printf(out, "0{\"sid\":\"%s\",\"pid\":\"%s\"}", sid, pid);
	packet_send(client);
	for (int i = 0; i < ndenied; i++)
	{
		out = packet_begin();
		text_puts(out, "2[\"unsubscribed\",{\"channel\":");
		text_json(out, denied[i], strlen(denied[i]));
		text_puts(out, ",\"reason\":\"forbidden\"}]");
		packet_send(client);
	}
}

static bool
on_joined(struct hub_subscriber *subscriber, enum hub_outcome outcome, const char *const *denied,
		  int ndenied)
{
	struct client *client = client_of(subscriber);

	switch (outcome)
	{
		case HUB_REFUSED:
			refuse(client, "session_over");
			return false;
		case HUB_CROWDED:
			refuse(client, "too_many_connections");
			return false;
		case HUB_UNAVAILABLE:
			client->state = CLIENT_NEW;
			engine_close(client->engine, 1013, "database away");
			return false;
		case HUB_RESET:
			client->resuming = false;
			break;
		case HUB_JOINED:
			break;
	}
	client->state = CLIENT_OPEN;
	say_connected(client, denied, ndenied);
	if (outcome == HUB_RESET)
		say_position(client, "event:reset", "position");
	if (!client->resuming)
		say_position(client, "sync", NULL);
	return true;
}

static bool
on_event(struct hub_subscriber *subscriber, const struct hub_event *event, const char *channel,
		 int64_t position)
{
	struct client *client = client_of(subscriber);
	struct text *out;

	if (client->ending || engine_queued(client->engine) > ENGINE_QUEUE_MAX)
		return false;
	out = packet_begin();
	text_puts(out, "2[\"event\",{\"channel\":\"");
	text_puts(out, channel);
	text_puts(out, "\",");
	text_add(out, event->json + 1, event->json_len - 1);
	text_printf(out, ",\"%lld\"]", (long long) position);
	packet_send(client);
	return true;
}

static void
on_reset(struct hub_subscriber *subscriber, const char *reason)
{
	say_position(client_of(subscriber), "event:reset", reason);
}

static void
on_lost(struct hub_subscriber *subscriber, const char *channel)
{
	struct text *out = packet_begin();

	text_printf(out, "2[\"unsubscribed\",{\"channel\":\"%s\",\"reason\":\"forbidden\"}]", channel);
	packet_send(client_of(subscriber));
}

/*
 * A token that ran out and a slow reader come back by themselves: for them the connection just
 * ends. Who may not come back is told to disconnect.
 */
static void
on_end(struct hub_subscriber *subscriber, const char *reason)
{
	struct client *client = client_of(subscriber);

	client->state = CLIENT_NEW;
	client->ending = true;
	if (strcmp(reason, "revoked") == 0)
	{
		struct text *out = packet_begin();
		text_printf(out, "2[\"session:end\",{\"reason\":\"%s\"}]", reason);
		packet_send(client);
		out = packet_begin();
		text_puts(out, "1");
		packet_send(client);
	}
	engine_close(client->engine, strcmp(reason, "slow") == 0 ? 1013 : 1008, reason);
}

static const struct hub_codec codec = {
	.joined = on_joined,
	.event = on_event,
	.reset = on_reset,
	.lost = on_lost,
	.end = on_end,
};

/* --- what the client says --- */

/* An array of strings; false when it is not, or too long. */
static bool
read_channels(const json_t *array, const char **names, int *count)
{
	size_t n = json_array_size(array);

	if (!json_is_array(array) || n > HUB_CHANNELS)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		names[i] = json_string_value(json_array_get(array, i));
		if (!names[i])
			return false;
	}
	*count = (int) n;
	return true;
}

/* A position may be a string or, as gseq is, a number. */
static const char *
read_since(const json_t *value, char buffer[24])
{
	if (json_is_integer(value))
	{
		snprintf(buffer, 24, "%lld", (long long) json_integer_value(value));
		return buffer;
	}
	return json_string_value(value);
}

/* What the client had before: its pid and position, when both are ours and this member's. */
static const char *
read_resume(struct client *client, const json_t *auth, const struct token *token, char since[128])
{
	const char *pid = json_string_value(json_object_get(auth, "pid"));
	const char *offset = json_string_value(json_object_get(auth, "offset"));

	if (!pid || !offset || !pid_read(pid, &client->pid) ||
		strcmp(client->pid.org, token->org) != 0 || strcmp(client->pid.member, token->member) != 0)
		return NULL;
	client->resuming = true;
	snprintf(since, 128, "%s-%.24s", client->pid.epoch, offset);
	return since;
}

static void
begin_session(struct client *client, const struct token *token)
{
	struct hub_subscriber *subscriber = &client->subscriber;

	memset(subscriber, 0, sizeof *subscriber);
	subscriber->codec = &codec;
	memcpy(subscriber->org, token->org, sizeof subscriber->org);
	memcpy(subscriber->member, token->member, sizeof subscriber->member);
	memcpy(subscriber->session, token->session, sizeof subscriber->session);
	subscriber->expires = token->expires;
}

static void
on_connect(struct client *client, const json_t *auth)
{
	const char *text = json_string_value(json_object_get(auth, "token"));
	const char *names[HUB_CHANNELS], *since;
	char resume[128], number[24];
	struct token token;
	int count = 0;

	if (client->state != CLIENT_NEW)
		return;
	if (!text || !token_check(text, strlen(text), &token))
	{
		refuse(client, "unauthorized");
		return;
	}
	client->resuming = false;
	since = read_resume(client, auth, &token, resume);
	if (!client->resuming)
	{
		memset(&client->pid, 0, sizeof client->pid);
		text_uuid(client->pid.connection);
		memcpy(client->pid.org, token.org, sizeof client->pid.org);
		memcpy(client->pid.member, token.member, sizeof client->pid.member);
		since = read_since(json_object_get(auth, "since"), number);
	}
	if (!read_channels(json_object_get(auth, "channels"), names, &count))
		count = 0;
	client->state = CLIENT_JOINING;
	engine_settled(client->engine);
	begin_session(client, &token);
	memcpy(client->subscriber.connection,
		   client->pid.connection,
		   sizeof client->subscriber.connection);
	hub_join(self->hub, &client->subscriber, since, names, count);
}

static void
on_subscribed(struct hub_subscriber *subscriber, void *data, bool ok, const char *const *denied,
			  int ndenied)
{
	struct client *client = client_of(subscriber);
	char position[HUB_EPOCH + 24];
	json_t *names = json_array();

	for (int i = 0; i < ndenied; i++)
		json_array_append_new(names, json_string(denied[i]));
	snprintf(position,
			 sizeof position,
			 "%s-%lld",
			 hub_epoch(subscriber->hub),
			 (long long) hub_position(subscriber));
	json_t *answer =
		json_pack("{s:b,s:o,s:s}", "ok", ok && ndenied == 0, "denied", names, "position", position);
	if (!ok)
		json_object_set_new(answer, "error", json_string("unavailable"));
	acknowledge(client, (json_int_t) (intptr_t) data, answer);
}

static void
subscribe(struct client *client, json_int_t id, const json_t *argument, bool add)
{
	const char *names[HUB_CHANNELS];
	char number[24];
	int count;

	if (!read_channels(json_object_get(argument, "channels"), names, &count))
		acknowledge_error(client, id, "invalid_channels");
	else if (!take_token(&client->subscribes, SUBSCRIBE_RATE, SUBSCRIBE_BURST))
		acknowledge_error(client, id, "rate_limited");
	else if (add)
		hub_subscribe(&client->subscriber,
					  read_since(json_object_get(argument, "since"), number),
					  names,
					  count,
					  on_subscribed,
					  (void *) (intptr_t) id);
	else
		hub_unsubscribe(&client->subscriber, names, count, on_subscribed, (void *) (intptr_t) id);
}

/* A fresh token for the same session, so that the connection need not end with the old one. */
static void
renew(struct client *client, json_int_t id, const json_t *argument)
{
	const char *text = json_string_value(json_object_get(argument, "token"));
	struct token token;

	if (!text || !token_check(text, strlen(text), &token) ||
		strcmp(token.org, client->subscriber.org) != 0 ||
		strcmp(token.session, client->subscriber.session) != 0)
	{
		acknowledge_error(client, id, "unauthorized");
		return;
	}
	client->subscriber.expires = token.expires;
	acknowledge(client, id, json_pack("{s:b}", "ok", 1));
}

static void
on_client_event(struct client *client, json_int_t id, const json_t *arguments)
{
	const char *name = json_string_value(json_array_get(arguments, 0));
	const json_t *argument = json_array_get(arguments, 1);

	if (client->state != CLIENT_OPEN || !name)
		return;
	if (strcmp(name, "subscribe") == 0 || strcmp(name, "unsubscribe") == 0)
		subscribe(client, id, argument, name[0] == 's');
	else if (strcmp(name, "token") == 0)
		renew(client, id, argument);
	else
		acknowledge_error(client, id, "unknown_event");
}

static void
leave_namespace(struct client *client)
{
	hub_leave(&client->subscriber);
	client->state = CLIENT_NEW;
}

/* A namespace other than "/" : only an attempt to connect is answered. */
static void
on_foreign(struct client *client, char type, const char *name, size_t len)
{
	struct text *out;

	if (type != '0' || len > 128 || memchr(name, '"', len))
		return;
	out = packet_begin();
	text_printf(out, "4%.*s,{\"message\":\"Invalid namespace\"}", (int) len, name);
	packet_send(client);
}

/* Digits before the payload; -1: none. */
static json_int_t
read_id(const char **at, const char *end)
{
	json_int_t id = -1;

	while (*at < end && **at >= '0' && **at <= '9' && id < 1000000000)
	{
		id = (id < 0 ? 0 : id * 10) + (**at - '0');
		(*at)++;
	}
	return id;
}

static void
on_message(void *data, const char *base, size_t len)
{
	struct client *client = data;
	const char *at = base + 1, *end = base + len;
	json_t *value = NULL;

	if (!len || client->ending)
		return;
	if (!take_token(&client->packets, RATE, RATE_BURST))
	{
		if (++client->dropped > RATE_PATIENCE)
			engine_close(client->engine, 1008, "rate limit");
		return;
	}
	if (at < end && *at == '/')
	{
		const char *comma = memchr(at, ',', (size_t) (end - at));
		const char *stop = comma ? comma : end;
		if (stop - at > 1)
		{
			on_foreign(client, base[0], at, (size_t) (stop - at));
			return;
		}
		at = comma ? comma + 1 : end;
	}
	json_int_t id = read_id(&at, end);
	if (at < end)
		value = json_loadb(at, (size_t) (end - at), 0, NULL);
	if (base[0] == '0')
		on_connect(client, value);
	else if (base[0] == '1')
		leave_namespace(client);
	else if (base[0] == '2')
		on_client_event(client, id, value);
	json_decref(value);
}

/* --- the engine's user --- */

static void *
on_opened(struct engine *engine)
{
	struct client *client = h2o_mem_alloc(sizeof *client);

	memset(client, 0, sizeof *client);
	client->engine = engine;
	return client;
}

static void
on_drained(void *data)
{
	struct client *client = data;

	if (client->state == CLIENT_OPEN && client->subscriber.full)
		hub_resume(&client->subscriber);
}

static void
on_closed(void *data)
{
	struct client *client = data;

	hub_leave(&client->subscriber);
	free(client);
}

static bool
on_leave(void *data)
{
	struct client *client = data;

	return client->state == CLIENT_NEW ||
		   (client->state == CLIENT_OPEN && hub_detach(&client->subscriber));
}

static void
on_arrive(void *data)
{
	struct client *client = data;

	if (client->state == CLIENT_OPEN)
		hub_attach(self->hub, &client->subscriber);
}

void
socketio_install(void)
{
	static const struct engine_user user = {
		.opened = on_opened,
		.message = on_message,
		.drained = on_drained,
		.closed = on_closed,
		.leave = on_leave,
		.arrive = on_arrive,
	};

	engine_use(&user);
	polling_install();
	loop_on_drain(engine_drain);
}
