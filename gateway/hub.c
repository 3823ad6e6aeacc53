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

#include "follow.h"
#include "hub.h"
#include "loop.h"
#include "metric.h"
#include "recheck.h"
#include "subscription.h"
#include "tail.h"
#include "text.h"

enum
{
	SWEEP_MS = 1000,
	RECHECK_SWEEPS = 5,
	SLOW_MS = 600 * 1000,
	SLOW_EVENTS = 100000
};

/* --- organisations --- */

struct hub_org *
hub_org(struct hub *hub, const char *id, bool make)
{
	uint32_t hash = 2166136261u;

	for (const char *c = id; *c; c++)
		hash = (hash ^ (uint8_t) *c) * 16777619u;
	struct hub_org **at = &hub->orgs[hash % HUB_ORGS];
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
	for (int i = 0; i < HUB_ORGS; i++)
		for (struct hub_org *org = hub->orgs[i]; org; org = org->chain)
			for (h2o_linklist_t *link = org->subscribers.next, *next; link != &org->subscribers;
				 link = next)
			{
				next = link->next;
				fn(H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, link), data);
			}
}

/* Nothing after this position until it is known what the member may have. */
static void
doubt(struct hub *hub, struct hub_subscriber *subscriber, int64_t gseq)
{
	if (subscriber->live && subscriber->done < gseq)
		subscriber->done = gseq;
	subscriber->live = false;
	subscriber->recheck = hub->doubts = true;
}

static void
deliver_live(struct hub *hub, const struct tail_batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		const struct hub_event *event = &batch->events[i];
		struct hub_org *org = hub_org(hub, event->org, false);

		if (recheck_rights(event))
			hub->rights_at = event->gseq;
		if (!org)
			continue;
		for (h2o_linklist_t *link = org->subscribers.next; link != &org->subscribers;
			 link = link->next)
		{
			struct hub_subscriber *each = H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, link);
			if (each->live && event->gseq > each->done)
				follow_event(each, event);
			if (recheck_concerns(each, event))
				doubt(hub, each, event->gseq);
		}
	}
}

/* --- joining and leaving --- */

void
hub_join(struct hub *hub, struct hub_subscriber *subscriber, const char *since,
		 const char *const *channels, int nchannels)
{
	subscriber->hub = hub;
	subscriber->history_from = -1;
	subscriber->asking = subscription_new(since, channels, nchannels, NULL, NULL);
	if (hub->epoch[0])
		follow_open(subscriber);
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
	free(subscriber->tokens);
	subscriber->tokens = NULL;
	if (subscriber->joined)
		atomic_fetch_sub_explicit(&hub_open, 1, memory_order_relaxed);
	subscriber->joined = subscriber->live = false;
}

bool
hub_detach(struct hub_subscriber *subscriber)
{
	if (subscriber->query || subscriber->asking)
		return false;
	subscriber->done = hub_position(subscriber);
	subscriber->left_at = subscriber->hub->live_at;
	subscriber->live = subscriber->full = false;
	memcpy(subscriber->left, subscriber->hub->epoch, sizeof subscriber->left);
	h2o_linklist_unlink(&subscriber->link);
	return true;
}

void
hub_attach(struct hub *hub, struct hub_subscriber *subscriber)
{
	subscriber->hub = hub;
	h2o_linklist_insert(&hub_org(hub, subscriber->org, true)->subscribers, &subscriber->link);
	/* Rights may have changed on the way. */
	subscriber->recheck |= hub->rights_at > subscriber->left_at;
	if (strcmp(subscriber->left, hub->epoch) != 0)
		follow_reset(subscriber, "epoch");
	follow_advance(subscriber);
}

void
hub_subscribe(struct hub_subscriber *subscriber, const char *since, const char *const *channels,
			  int nchannels, hub_subscribed fn, void *data)
{
	subscription_queue(subscriber, subscription_new(since, channels, nchannels, fn, data));
	follow_advance(subscriber);
}

void
hub_unsubscribe(struct hub_subscriber *subscriber, const char *const *channels, int nchannels,
				hub_subscribed fn, void *data)
{
	struct subscription *subscription = subscription_new(NULL, channels, nchannels, fn, data);

	subscription->stage = SUBSCRIPTION_REMOVE;
	subscription_queue(subscriber, subscription);
	follow_advance(subscriber);
}

void
hub_resume(struct hub_subscriber *subscriber)
{
	subscriber->full = false;
	follow_advance(subscriber);
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

atomic_long hub_open;

static void
sweep_one(struct hub_subscriber *subscriber, void *data)
{
	struct hub *hub = data;

	if (subscriber->expires && time(NULL) >= subscriber->expires)
		follow_end(subscriber, "expired");
	else if (subscriber->full && (h2o_now(self->loop) - subscriber->full_since > SLOW_MS ||
								  hub->live_at - subscriber->done > SLOW_EVENTS))
		follow_end(subscriber, "slow");
	else
		follow_advance(subscriber);
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
		follow_advance(subscriber);
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
	follow_reset(subscriber, "epoch");
	follow_advance(subscriber);
}

/* The log is known now, or became another one. */
static void
start(struct hub *hub, const struct tail_batch *batch)
{
	bool again = hub->epoch[0] != 0;

	recent_clear(&hub->recent);
	snprintf(hub->epoch, sizeof hub->epoch, "%s", batch->epoch);
	hub->live_at = hub->rights_at = batch->upto;
	if (again)
		each_subscriber(hub, restart_one, NULL);
	while (!h2o_linklist_is_empty(&hub->waiting))
	{
		struct hub_subscriber *first =
			H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, hub->waiting.next);
		h2o_linklist_unlink(&first->link);
		follow_open(first);
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
		recent_add(&hub->recent, batch);
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
	tail_notify(epoch, top);
}

static double
count_subscribers(void)
{
	return (double) atomic_load_explicit(&hub_open, memory_order_relaxed);
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
		tail_start(take);
	if (self->index == 0)
		metric_gauge("saleshub_live_subscribers", NULL, "Listeners", count_subscribers);
	timer_start(&hub->sweep, SWEEP_MS, on_sweep);
	return hub;
}
