/*
 * Who listens on this thread and how each gets from its position to the present.
 *
 * live_at is the position up to which this thread has seen the log. A subscriber is live when it
 * needs nothing up to there; it then gets each new event as it comes. Otherwise it is led there:
 * from the batches kept lately, or page by page from the database. It turns live in the same
 * callback that finds it level with live_at, so no event can fall between or come twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub.h"
#include "loop.h"
#include "metric.h"
#include "recheck.h"
#include "subscription.h"
#include "tail.h"
#include "text.h"

enum
{
	ORGS = 1024,
	RECENT = 64,		  /* batches kept */
	RECENT_EVENTS = 4096, /* events in them */
	PAGE = 200,
	SWEEP_MS = 1000,
	RECHECK_SWEEPS = 5,
	SLOW_MS = 600 * 1000,
	SLOW_EVENTS = 100000
};

struct org
{
	struct org *chain;
	char id[37];
	h2o_linklist_t subscribers;
};

struct hub
{
	char epoch[HUB_EPOCH];
	int64_t live_at;
	h2o_linklist_t waiting; /* joins from before the log was known */
	struct tail_batch *recent[RECENT];
	int nrecent, recent_events;
	struct timer sweep;
	unsigned sweeps;
	bool doubts; /* some listener's session or member was changed in this batch */
	struct recheck *recheck;
	struct metric *delivered, *pages, *resets;
	struct org *orgs[ORGS];
};

static atomic_long subscribers_open;

static void advance(struct hub_subscriber *subscriber);
static void on_answer(struct ask *ask, void *owner, const struct ask_answer *answer);

static struct ask_member
asker(const struct hub_subscriber *subscriber)
{
	return (struct ask_member){ subscriber->org, subscriber->member, subscriber->session };
}

/* --- organisations --- */

static struct org *
org_find(struct hub *hub, const char *id, bool make)
{
	uint32_t hash = 2166136261u;

	for (const char *c = id; *c; c++)
		hash = (hash ^ (uint8_t) *c) * 16777619u;
	struct org **at = &hub->orgs[hash % ORGS];
	while (*at && strcmp((*at)->id, id) != 0)
		at = &(*at)->chain;
	if (!*at && make)
	{
		*at = h2o_mem_alloc(sizeof **at);
		memset(*at, 0, sizeof **at);
		snprintf((*at)->id, sizeof(*at)->id, "%s", id);
		h2o_linklist_init_anchor(&(*at)->subscribers);
	}
	return *at;
}

/* fn may end the subscriber it is given, no other. */
static void
each_subscriber(struct hub *hub, void (*fn)(struct hub_subscriber *subscriber, void *data),
				void *data)
{
	for (int i = 0; i < ORGS; i++)
		for (struct org *org = hub->orgs[i]; org; org = org->chain)
			for (h2o_linklist_t *link = org->subscribers.next, *next; link != &org->subscribers;
				 link = next)
			{
				next = link->next;
				fn(H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, link), data);
			}
}

/* --- giving events --- */

static void
turn_full(struct hub_subscriber *subscriber)
{
	subscriber->full = true;
	subscriber->live = false;
	subscriber->full_since = h2o_now(self->loop);
}

/* False: no room; done then stands just before the event. */
static bool
give(struct hub_subscriber *subscriber, const struct hub_event *event)
{
	const char *channel = channels_match(subscriber, event, 0, subscriber->nchannels);

	if (channel && !subscriber->codec->event(subscriber, event, channel, event->gseq))
	{
		subscriber->done = event->gseq - 1;
		turn_full(subscriber);
		return false;
	}
	subscriber->done = event->gseq;
	if (channel)
		metric_add(subscriber->hub->delivered, 1);
	return true;
}

/*
 * An event from before done, for channels that were added with an older position. The receiver's
 * own position stays at done: were it to resume now, the history would be asked for again.
 */
static bool
give_history(struct hub_subscriber *subscriber, const struct hub_event *event)
{
	int first = subscriber->history_from;
	const char *channel = channels_match(subscriber, event, first, subscriber->nchannels);

	if (channel && !channels_match(subscriber, event, 0, first) &&
		!subscriber->codec->event(subscriber, event, channel, subscriber->done))
	{
		subscriber->history_done = event->gseq - 1;
		turn_full(subscriber);
		return false;
	}
	subscriber->history_done = event->gseq;
	return true;
}

static void
deliver_live(struct hub *hub, const struct tail_batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		const struct hub_event *event = &batch->events[i];
		struct org *org = org_find(hub, event->org, false);

		if (!org)
			continue;
		for (h2o_linklist_t *link = org->subscribers.next; link != &org->subscribers;
			 link = link->next)
		{
			struct hub_subscriber *each = H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, link);
			if (recheck_concerns(each, event))
				each->recheck = hub->doubts = true;
			if (each->live && event->gseq > each->done)
				give(each, event);
		}
	}
}

/* --- batches kept --- */

static void
recent_drop(struct hub *hub, int n)
{
	for (int i = 0; i < n; i++)
	{
		hub->recent_events -= hub->recent[i]->count;
		tail_release(hub->recent[i]);
	}
	hub->nrecent -= n;
	memmove(hub->recent, hub->recent + n, sizeof *hub->recent * (size_t) hub->nrecent);
}

static void
recent_add(struct hub *hub, struct tail_batch *batch)
{
	if (hub->nrecent == RECENT)
		recent_drop(hub, 1);
	hub->recent[hub->nrecent++] = batch;
	hub->recent_events += batch->count;
	while (hub->nrecent > 1 && hub->recent_events > RECENT_EVENTS)
		recent_drop(hub, 1);
}

/* From memory, as far as it goes. False when what comes next is no longer there. */
static bool
give_recent(struct hub_subscriber *subscriber)
{
	struct hub *hub = subscriber->hub;

	if (!hub->nrecent || hub->recent[0]->from > subscriber->done)
		return false;
	for (int i = 0; i < hub->nrecent; i++)
	{
		struct tail_batch *batch = hub->recent[i];
		if (batch->upto <= subscriber->done)
			continue;
		for (int j = 0; j < batch->count; j++)
		{
			struct hub_event *event = &batch->events[j];
			if (event->gseq > subscriber->done && strcmp(event->org, subscriber->org) == 0 &&
				!give(subscriber, event))
				return true;
		}
		subscriber->done = batch->upto;
	}
	return true;
}

/* --- pages --- */

static void
reset(struct hub_subscriber *subscriber, const char *reason)
{
	metric_add(subscriber->hub->resets, 1);
	subscriber->done = subscriber->hub->live_at;
	subscriber->history_from = -1;
	subscriber->live = !subscriber->full;
	for (int i = 0; i < subscriber->nchannels; i++)
		subscriber->channels[i].from = subscriber->done;
	subscriber->codec->reset(subscriber, reason);
}

static bool
page_row(const struct ask_answer *answer, int row, struct hub_event *event,
		 char text[3][CHANNEL_NAME])
{
	struct pool_value value = pool_value(answer->result, 1, row, 0);

	if (!value.base || !text_integer(value.base, value.len, &event->gseq))
		return false;
	for (int i = 0; i < 3; i++)
	{
		value = pool_value(answer->result, 1, row, i + 1);
		snprintf(text[i], CHANNEL_NAME, "%.*s", (int) value.len, value.base ? value.base : "");
	}
	event->type = text[0];
	event->entity = text[1];
	event->entity_id = text[2];
	value = pool_value(answer->result, 1, row, 4);
	event->json = value.base;
	event->json_len = value.len;
	return value.base != NULL;
}

/* The log may have lost events, or become another one, since the page was asked for. */
static bool
page_is_whole(struct hub_subscriber *subscriber, const struct ask_answer *answer, int64_t since)
{
	if (answer->outcome != ASK_OK || strcmp(answer->epoch, subscriber->hub->epoch) != 0)
		return false; /* asked again at the next sweep */
	if (answer->floor <= since)
		return true;
	reset(subscriber, "expired");
	return false;
}

static void
on_page(struct hub_subscriber *subscriber, const struct ask_answer *answer, bool history)
{
	int64_t *at = history ? &subscriber->history_done : &subscriber->done;
	int64_t upto = subscriber->query_upto;
	struct hub_event event = { .org = subscriber->org };
	char text[3][CHANNEL_NAME];

	if (!page_is_whole(subscriber, answer, *at))
		return;
	for (int row = 0; row < answer->rows; row++)
		if (page_row(answer, row, &event, text) &&
			!(history ? give_history(subscriber, &event) : give(subscriber, &event)))
			return;
	if (answer->rows < PAGE && upto > *at)
		*at = upto;
}

/* Level with the present, on the way there, or waiting for room. */
static void
catch_up(struct hub_subscriber *subscriber)
{
	struct hub *hub = subscriber->hub;
	struct ask_member who = asker(subscriber);

	while (!subscriber->full && subscriber->done < hub->live_at && give_recent(subscriber))
		continue;
	if (subscriber->full)
		return;
	if (subscriber->done >= hub->live_at)
	{
		subscriber->live = true;
		return;
	}
	char *channels = channels_names(subscriber, 0);
	metric_add(hub->pages, 1);
	subscriber->purpose = HUB_PAGING;
	subscriber->query_upto = hub->live_at;
	subscriber->query =
		ask_page(&who, subscriber->done, hub->live_at, PAGE, channels, on_answer, subscriber);
	free(channels);
}

/* --- subscriptions --- */

/* "<epoch>-<gseq>" or "<gseq>"; what is wrong with it, or NULL. */
static const char *
parse_since(const char *since, const struct ask_answer *answer, int64_t *gseq)
{
	const char *dash = strrchr(since, '-');
	const char *number = dash ? dash + 1 : since;

	if (dash && ((size_t) (dash - since) != strlen(answer->epoch) ||
				 strncmp(since, answer->epoch, (size_t) (dash - since)) != 0))
		return "epoch";
	if (!text_integer(number, strlen(number), gseq) || *gseq < 0 || *gseq > answer->top)
		return "unknown";
	return *gseq < answer->floor ? "expired" : NULL;
}

/* From where the new channels count; a reset when that is not to be had. */
static int64_t
starting_point(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	const char *since = subscriber->asking->since;
	int64_t from;

	if (!since)
		return hub_position(subscriber);
	const char *fault = parse_since(since, answer, &from);
	if (!fault)
		return from;
	reset(subscriber, fault);
	return hub_position(subscriber);
}

/*
 * The channels that may be listened to become the subscriber's. Those that count from an older
 * position stand behind the others until their history is given.
 */
static void
on_authorised(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	struct subscription *asked = subscriber->asking;
	int before = subscriber->nchannels;

	if (answer->outcome != ASK_OK || strcmp(answer->epoch, subscriber->hub->epoch) != 0 ||
		before + asked->count > HUB_CHANNELS)
	{
		subscription_finish(subscriber, false);
		return;
	}
	int64_t from = starting_point(subscriber, answer);
	for (int row = 0; row < answer->rows; row++)
	{
		char name[CHANNEL_NAME];
		int64_t remembered;
		bool ok;

		ask_open_row(answer, row, name, &remembered, &ok);
		const struct hub_channel *known = channels_find(subscriber, name);
		if (!ok)
			subscription_deny(asked, name);
		else if (!known || known->from > from)
			channels_add(subscriber, name, from);
	}
	asked->stage = SUBSCRIPTION_SAVE;
	if (from >= hub_position(subscriber) || subscriber->nchannels == before)
		return;
	subscriber->done = hub_position(subscriber);
	subscriber->live = false;
	asked->stage = SUBSCRIPTION_HISTORY;
	subscriber->history_from = before;
	subscriber->history_done = from;
}

static void
ask_history(struct hub_subscriber *subscriber)
{
	struct ask_member who = asker(subscriber);
	char *channels;

	if (subscriber->full)
		return;
	channels = channels_names(subscriber, subscriber->history_from);
	subscriber->purpose = HUB_HISTORY;
	subscriber->query_upto = subscriber->done;
	subscriber->query = ask_page(
		&who, subscriber->history_done, subscriber->done, PAGE, channels, on_answer, subscriber);
	free(channels);
}

/* A channel that was subscribed anew with an older position stood there twice until now. */
static void
end_history(struct hub_subscriber *subscriber)
{
	int first = subscriber->history_from;

	for (int i = first; first >= 0 && i < subscriber->nchannels; i++)
	{
		char name[CHANNEL_NAME];
		memcpy(name, subscriber->channels[i].channel.name, sizeof name);
		int removed = channels_remove(subscriber, name, first);
		first -= removed;
		i -= removed;
	}
	subscriber->history_from = -1;
	subscriber->asking->stage = SUBSCRIPTION_SAVE;
}

/* Without a connection to remember them under, the channels count as they are. */
static bool
save(struct hub_subscriber *subscriber)
{
	struct ask_member who = asker(subscriber);
	char *names, *since;

	if (!subscriber->connection[0])
		return false;
	names = channels_names(subscriber, 0);
	since = channels_since(subscriber);
	subscriber->purpose = HUB_SAVING;
	subscriber->query = ask_save(&who, subscriber->connection, names, since, on_answer, subscriber);
	free(names);
	free(since);
	return true;
}

static void
authorise(struct hub_subscriber *subscriber, enum hub_purpose purpose, char *channels)
{
	struct ask_member who = asker(subscriber);

	subscriber->purpose = purpose;
	subscriber->query = ask_open(&who,
								 purpose == HUB_OPENING ? subscriber->connection : "",
								 channels,
								 on_answer,
								 subscriber);
	free(channels);
}

static void
remove_channels(struct hub_subscriber *subscriber)
{
	struct subscription *asked = subscriber->asking;

	for (int i = 0; i < asked->count; i++)
		channels_remove(subscriber, asked->names[i], subscriber->nchannels);
	asked->stage = SUBSCRIPTION_SAVE;
}

/* The next step of the first subscription; false when it waits for room. */
static bool
advance_subscription(struct hub_subscriber *subscriber)
{
	struct subscription *first = subscriber->asking;

	switch (first->stage)
	{
		case SUBSCRIPTION_ASK:
			if (first->count)
				authorise(subscriber, HUB_AUTHORISING, subscription_literal(first));
			else
				subscription_finish(subscriber, true);
			break;
		case SUBSCRIPTION_REMOVE:
			remove_channels(subscriber);
			break;
		case SUBSCRIPTION_HISTORY:
			if (subscriber->history_from < 0 || subscriber->history_done >= subscriber->done)
				end_history(subscriber);
			else if (subscriber->full)
				return false;
			else
				ask_history(subscriber);
			break;
		case SUBSCRIPTION_SAVE:
			if (!save(subscriber))
				subscription_finish(subscriber, true);
			break;
	}
	return true;
}

/* One query at a time: whatever it is that this subscriber needs next. */
static void
advance(struct hub_subscriber *subscriber)
{
	if (!subscriber->joined)
		return;
	while (!subscriber->query && subscriber->asking)
		if (!advance_subscription(subscriber))
			return;
	if (subscriber->query)
		return;
	if (subscriber->recheck)
	{
		subscriber->recheck = false;
		authorise(subscriber, HUB_RECHECKING, channels_names(subscriber, 0));
	}
	else if (!subscriber->live)
		catch_up(subscriber);
}

/* --- joining and leaving --- */

static void
end(struct hub_subscriber *subscriber, const char *reason)
{
	hub_leave(subscriber);
	subscriber->codec->end(subscriber, reason);
}

static void
add_opened(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	for (int row = 0; row < answer->rows; row++)
	{
		char name[CHANNEL_NAME];
		int64_t from;
		bool ok;

		ask_open_row(answer, row, name, &from, &ok);
		if (ok && subscriber->nchannels < HUB_CHANNELS)
			channels_add(subscriber, name, from > subscriber->done ? from : subscriber->done);
		else
			subscription_deny(subscriber->asking, name);
	}
}

static void
on_open(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	struct hub *hub = subscriber->hub;
	struct subscription *asked = subscriber->asking;
	enum hub_outcome outcome = HUB_JOINED;

	if (answer->outcome != ASK_OK || strcmp(answer->epoch, hub->epoch) != 0)
	{
		hub_leave(subscriber);
		subscriber->codec->joined(
			subscriber, answer->outcome == ASK_REFUSED ? HUB_REFUSED : HUB_UNAVAILABLE, NULL, 0);
		return;
	}
	subscriber->done = hub->live_at;
	if (asked->since && parse_since(asked->since, answer, &subscriber->done))
	{
		subscriber->done = hub->live_at;
		outcome = HUB_RESET;
	}
	add_opened(subscriber, answer);
	subscriber->stamp = answer->stamp;
	subscriber->joined = true;
	subscriber->asking = asked->next;
	h2o_linklist_insert(&org_find(hub, subscriber->org, true)->subscribers, &subscriber->link);
	atomic_fetch_add_explicit(&subscribers_open, 1, memory_order_relaxed);
	bool wanted = subscriber->codec->joined(
		subscriber, outcome, (const char *const *) asked->denied, asked->ndenied);
	subscription_free(asked);
	if (wanted)
		advance(subscriber);
	else
		end(subscriber, "unwanted");
}

static void
on_rechecked(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	bool lost = false;

	if (answer->outcome != ASK_OK)
	{
		subscriber->recheck = true; /* again at the next sweep */
		return;
	}
	subscriber->stamp = answer->stamp;
	for (int row = 0; row < answer->rows; row++)
	{
		char name[CHANNEL_NAME];
		int64_t since;
		bool ok;

		ask_open_row(answer, row, name, &since, &ok);
		if (ok || !channels_find(subscriber, name))
			continue;
		channels_remove(subscriber, name, subscriber->nchannels);
		subscriber->codec->lost(subscriber, name);
		lost = true;
	}
	if (lost)
	{
		struct subscription *remember = subscription_new(NULL, NULL, 0, NULL, NULL);
		remember->stage = SUBSCRIPTION_SAVE;
		subscription_queue(subscriber, remember);
	}
	advance(subscriber);
}

/* What could not be remembered must not seem subscribed. */
static void
on_saved(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	struct subscription *asked = subscriber->asking;

	if (answer->outcome != ASK_OK)
		for (int i = 0; i < asked->count; i++)
			channels_remove(subscriber, asked->names[i], subscriber->nchannels);
	subscription_finish(subscriber, answer->outcome == ASK_OK);
}

static void
on_answer(struct ask *ask, void *owner, const struct ask_answer *answer)
{
	struct hub_subscriber *subscriber = owner;

	(void) ask;
	if (!subscriber)
		return;
	subscriber->query = NULL;
	if (subscriber->joined && answer->outcome == ASK_REFUSED)
	{
		end(subscriber, "revoked");
		return;
	}
	switch (subscriber->purpose)
	{
		case HUB_OPENING:
			on_open(subscriber, answer);
			return;
		case HUB_RECHECKING:
			on_rechecked(subscriber, answer);
			return;
		case HUB_AUTHORISING:
			on_authorised(subscriber, answer);
			break;
		case HUB_PAGING:
		case HUB_HISTORY:
			on_page(subscriber, answer, subscriber->purpose == HUB_HISTORY);
			if (answer->outcome != ASK_OK)
				return; /* again at the next sweep */
			break;
		case HUB_SAVING:
			on_saved(subscriber, answer);
			break;
	}
	advance(subscriber);
}

void
hub_join(struct hub *hub, struct hub_subscriber *subscriber, const char *since,
		 const char *const *channels, int nchannels)
{
	subscriber->hub = hub;
	subscriber->history_from = -1;
	subscriber->asking = subscription_new(since, channels, nchannels, NULL, NULL);
	if (hub->epoch[0])
		authorise(subscriber, HUB_OPENING, subscription_literal(subscriber->asking));
	else
		h2o_linklist_insert(&hub->waiting, &subscriber->link);
}

void
hub_leave(struct hub_subscriber *subscriber)
{
	if (subscriber->query)
		ask_forget(subscriber->query);
	subscriber->query = NULL;
	if (h2o_linklist_is_linked(&subscriber->link))
		h2o_linklist_unlink(&subscriber->link);
	while (subscriber->asking)
	{
		struct subscription *first = subscriber->asking;
		subscriber->asking = first->next;
		subscription_free(first);
	}
	channels_clear(subscriber);
	if (subscriber->joined)
		atomic_fetch_sub_explicit(&subscribers_open, 1, memory_order_relaxed);
	subscriber->joined = subscriber->live = false;
}

void
hub_subscribe(struct hub_subscriber *subscriber, const char *since, const char *const *channels,
			  int nchannels, hub_subscribed fn, void *data)
{
	subscription_queue(subscriber, subscription_new(since, channels, nchannels, fn, data));
	advance(subscriber);
}

void
hub_unsubscribe(struct hub_subscriber *subscriber, const char *const *channels, int nchannels,
				hub_subscribed fn, void *data)
{
	struct subscription *subscription = subscription_new(NULL, channels, nchannels, fn, data);

	subscription->stage = SUBSCRIPTION_REMOVE;
	subscription_queue(subscriber, subscription);
	advance(subscriber);
}

void
hub_resume(struct hub_subscriber *subscriber)
{
	subscriber->full = false;
	advance(subscriber);
}

int64_t
hub_position(const struct hub_subscriber *subscriber)
{
	int64_t live_at = subscriber->hub->live_at;

	return subscriber->live && live_at > subscriber->done ? live_at : subscriber->done;
}

const char *
hub_epoch(const struct hub *hub)
{
	return hub->epoch;
}

/* --- the thread --- */

static void
sweep_one(struct hub_subscriber *subscriber, void *data)
{
	struct hub *hub = data;

	if (subscriber->expires && time(NULL) >= subscriber->expires)
		end(subscriber, "expired");
	else if (subscriber->full && (h2o_now(self->loop) - subscriber->full_since > SLOW_MS ||
								  hub->live_at - subscriber->done > SLOW_EVENTS))
		end(subscriber, "slow");
	else
		advance(subscriber);
}

static void
recheck_one(struct hub_subscriber *subscriber, void *data)
{
	recheck_add(data, subscriber);
}

static void
on_sweep(struct timer *timer)
{
	struct hub *hub = H2O_STRUCT_FROM_MEMBER(struct hub, sweep, timer);

	each_subscriber(hub, sweep_one, hub);
	if (++hub->sweeps % RECHECK_SWEEPS == 0 && recheck_begin(hub->recheck))
	{
		each_subscriber(hub, recheck_one, hub->recheck);
		recheck_send(hub->recheck);
	}
	timer_start(&hub->sweep, SWEEP_MS, on_sweep);
}

static void
doubt_one(struct hub_subscriber *subscriber, void *data)
{
	if (data && strcmp(subscriber->session, data) != 0)
		return;
	if (data)
		subscriber->recheck = true;
	if (subscriber->recheck)
		advance(subscriber);
}

static void
on_doubt(void *data, const char *session)
{
	each_subscriber(data, doubt_one, (void *) session);
}

static void
restart_one(struct hub_subscriber *subscriber, void *data)
{
	(void) data;
	if (subscriber->query &&
		(subscriber->purpose == HUB_PAGING || subscriber->purpose == HUB_HISTORY))
	{
		ask_forget(subscriber->query);
		subscriber->query = NULL;
	}
	reset(subscriber, "epoch");
	advance(subscriber);
}

/* The log is known now, or became another one. */
static void
start(struct hub *hub, const struct tail_batch *batch)
{
	bool again = hub->epoch[0] != 0;

	recent_drop(hub, hub->nrecent);
	snprintf(hub->epoch, sizeof hub->epoch, "%s", batch->epoch);
	hub->live_at = batch->upto;
	if (again)
		each_subscriber(hub, restart_one, NULL);
	while (!h2o_linklist_is_empty(&hub->waiting))
	{
		struct hub_subscriber *first =
			H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, hub->waiting.next);
		h2o_linklist_unlink(&first->link);
		authorise(first, HUB_OPENING, subscription_literal(first->asking));
	}
}

static void
take(struct tail_batch *batch)
{
	struct hub *hub = self->hub;

	if (batch->start)
		start(hub, batch);
	else if (strcmp(batch->epoch, hub->epoch) == 0)
	{
		deliver_live(hub, batch);
		hub->live_at = batch->upto;
		recent_add(hub, batch);
		if (hub->doubts)
			each_subscriber(hub, doubt_one, NULL);
		hub->doubts = false;
		return;
	}
	tail_release(batch);
}

void
hub_notify(const char *epoch, int64_t top)
{
	tail_notify(epoch, top, take);
}

static double
count_subscribers(void)
{
	return (double) atomic_load_explicit(&subscribers_open, memory_order_relaxed);
}

struct hub *
hub_new(void)
{
	struct hub *hub = h2o_mem_alloc(sizeof *hub);

	memset(hub, 0, sizeof *hub);
	h2o_linklist_init_anchor(&hub->waiting);
	hub->recheck = recheck_new(on_doubt, hub);
	hub->delivered =
		metric_counter("saleshub_live_events_total", NULL, "Live events handed to listeners");
	hub->pages = metric_counter("saleshub_live_pages_total",
								NULL,
								"Pages of the event log read for listeners that were behind");
	hub->resets =
		metric_counter("saleshub_live_resets_total",
					   NULL,
					   "Listeners told to reload because their position was not to be had");
	if (self->index == 0)
		metric_gauge("saleshub_live_subscribers", NULL, "Listeners", count_subscribers);
	timer_start(&hub->sweep, SWEEP_MS, on_sweep);
	return hub;
}
