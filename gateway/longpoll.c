#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "hub.h"
#include "listener.h"
#include "longpoll.h"
#include "loop.h"
#include "text.h"

enum
{
	WAIT_S = 25,
	WAIT_MAX_S = 60,
	EVENTS_MAX = 200,
	BYTES_MAX = 256 * 1024
};

struct longpoll
{
	h2o_linklist_t link; /* of the thread's */
	struct request *request;
	struct hub_subscriber subscriber;
	struct text events; /* separated by commas */
	int count;
	int wait_s;
	const char *reset; /* why, NULL: no reset */
	bool told;		   /* the first position is an answer in itself */
	struct turn_end answer;
	struct timer deadline;
	bool gone;
};

/* Of this thread. */
static __thread h2o_linklist_t waiting;

static struct longpoll *
longpoll_of(struct hub_subscriber *subscriber)
{
	return H2O_STRUCT_FROM_MEMBER(struct longpoll, subscriber, subscriber);
}

/* The memory stays until an answer asked for has been given or forgone. */
static void
longpoll_free(struct longpoll *poll)
{
	timer_stop(&poll->deadline);
	if (h2o_linklist_is_linked(&poll->link))
		h2o_linklist_unlink(&poll->link);
	hub_leave(&poll->subscriber);
	poll->gone = true;
	if (poll->answer.queued)
		return;
	text_free(&poll->events);
	free(poll);
}

static void
on_answer(struct turn_end *work)
{
	struct longpoll *poll = H2O_STRUCT_FROM_MEMBER(struct longpoll, answer, work);
	struct request *request = poll->request;
	struct text body = { 0 };

	if (poll->gone)
	{
		longpoll_free(poll);
		return;
	}
	text_puts(&body, "{\"events\":[");
	text_add(&body, poll->events.base ? poll->events.base : "", poll->events.len);
	text_printf(&body,
				"],\"next\":\"%s-%lld\"",
				hub_epoch(self->hub),
				(long long) hub_position(&poll->subscriber));
	if (poll->reset)
		text_printf(&body, ",\"reset\":\"%s\"", poll->reset);
	text_puts(&body, "}");
	request->on_gone = NULL;
	longpoll_free(poll);
	http_reply(request, 200, NULL, body.base, body.len);
	text_free(&body);
}

static void
on_deadline(struct timer *timer)
{
	struct longpoll *poll = H2O_STRUCT_FROM_MEMBER(struct longpoll, deadline, timer);

	loop_at_turn_end(&poll->answer);
}

static void
on_gone(struct request *request)
{
	struct longpoll *poll = request->data;

	longpoll_free(poll);
	http_reply(request, 200, NULL, NULL, 0);
}

static bool
on_joined(struct hub_subscriber *subscriber, enum hub_outcome outcome, const char *const *denied,
		  int ndenied)
{
	struct longpoll *poll = longpoll_of(subscriber);
	struct request *request = poll->request;

	if ((outcome != HUB_JOINED && outcome != HUB_RESET) || ndenied)
	{
		request->on_gone = NULL;
		if (!ndenied)
			longpoll_free(poll);
		if (ndenied)
			listener_deny(request, denied, ndenied);
		else
			listener_refuse(request, outcome);
		return false;
	}
	if (outcome == HUB_RESET)
		poll->reset = "position";
	if (outcome == HUB_RESET || poll->told)
		loop_at_turn_end(&poll->answer);
	else
		timer_start(&poll->deadline, (uint64_t) poll->wait_s * 1000, on_deadline);
	return true;
}

static bool
on_event(struct hub_subscriber *subscriber, const struct hub_event *event, const char *channel,
		 int64_t position)
{
	struct longpoll *poll = longpoll_of(subscriber);

	(void) position;
	if (poll->count == EVENTS_MAX || poll->events.len > BYTES_MAX)
		return false;
	if (poll->count++)
		text_puts(&poll->events, ",");
	text_printf(&poll->events, "{\"channel\":\"%s\",", channel);
	text_add(&poll->events, event->json + 1, event->json_len - 1);
	loop_at_turn_end(&poll->answer);
	return true;
}

static void
on_reset(struct hub_subscriber *subscriber, const char *reason)
{
	struct longpoll *poll = longpoll_of(subscriber);

	poll->reset = reason;
	poll->events.len = 0;
	poll->count = 0;
	loop_at_turn_end(&poll->answer);
}

static void
on_lost(struct hub_subscriber *subscriber, const char *channel)
{
	(void) channel;
	loop_at_turn_end(&longpoll_of(subscriber)->answer); /* denied when it is asked for again */
}

static void
on_end(struct hub_subscriber *subscriber, const char *reason)
{
	struct longpoll *poll = longpoll_of(subscriber);
	struct request *request = poll->request;
	bool answered = strcmp(reason, "unwanted") == 0;

	request->on_gone = NULL;
	longpoll_free(poll);
	if (!answered)
		listener_refuse(request, strcmp(reason, "slow") == 0 ? HUB_UNAVAILABLE : HUB_REFUSED);
}

static const struct hub_codec codec = {
	.joined = on_joined,
	.event = on_event,
	.reset = on_reset,
	.lost = on_lost,
	.end = on_end,
};

static void
get_poll(struct request *request)
{
	const char *wait = http_query_value(request, "wait");
	struct listener listener;
	struct longpoll *poll;
	int64_t seconds = WAIT_S;

	if (wait &&
		(!text_integer(wait, strlen(wait), &seconds) || seconds < 0 || seconds > WAIT_MAX_S))
	{
		http_problem(
			request,
			400,
			"invalid_parameter",
			"wait is a number of seconds up to 60.",
			http_fault_add(NULL, &(struct http_fault){ .parameter = "wait", .code = "invalid" }),
			NULL);
		return;
	}
	if (!listener_read(request, &listener))
		return;
	poll = h2o_mem_alloc(sizeof *poll);
	memset(poll, 0, sizeof *poll);
	poll->request = request;
	poll->wait_s = (int) seconds;
	poll->told = !listener.since;
	poll->answer.run = on_answer;
	poll->subscriber.codec = &codec;
	listener_identify(&listener, &poll->subscriber);
	request->data = poll;
	request->on_gone = on_gone;
	if (!waiting.next)
		h2o_linklist_init_anchor(&waiting);
	h2o_linklist_insert(&waiting, &poll->link);
	hub_join(self->hub, &poll->subscriber, listener.since, listener.channels, listener.nchannels);
}

static void
on_drain(void)
{
	if (!waiting.next)
		return;
	for (h2o_linklist_t *link = waiting.next, *next; link != &waiting; link = next)
	{
		struct longpoll *poll = H2O_STRUCT_FROM_MEMBER(struct longpoll, link, link);
		struct request *request = poll->request;
		next = link->next;
		request->on_gone = NULL;
		longpoll_free(poll);
		listener_refuse(request, HUB_UNAVAILABLE);
	}
}

void
longpoll_install(void)
{
	http_register("GET", "/v1/poll", get_poll);
	loop_on_drain(on_drain);
}
