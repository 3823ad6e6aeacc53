/*
 * How one subscriber gets from its position to the present: from the batches kept lately, or page
 * by page from the database under the member's rights; and what its subscriptions need on the way.
 * One query at a time, whatever it is that the subscriber needs next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "follow.h"
#include "loop.h"
#include "metric.h"
#include "subscription.h"
#include "text.h"

enum
{
	PAGE = 200
};

static void on_answer(struct ask *ask, void *owner, const struct ask_answer *answer);

static struct ask_member
asker(const struct hub_subscriber *subscriber)
{
	return (struct ask_member){ subscriber->org, subscriber->member, subscriber->session };
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
bool
follow_event(struct hub_subscriber *subscriber, const struct hub_event *event)
{
	const char *channel = channels_match(subscriber, event, 0, subscriber->nchannels);

	if (channel && event->tokens && !channel_concerns(subscriber->tokens, event->tokens))
		channel = NULL;
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

/* From memory, as far as it goes. False when what comes next is no longer there. */
static bool
give_recent(struct hub_subscriber *subscriber)
{
	struct hub *hub = subscriber->hub;

	if (!hub->recent.count || hub->recent.batches[0]->from > subscriber->done)
		return false;
	for (int i = 0; i < hub->recent.count; i++)
	{
		struct tail_batch *batch = hub->recent.batches[i];
		if (batch->upto <= subscriber->done)
			continue;
		for (int j = 0; j < batch->count; j++)
		{
			struct hub_event *event = &batch->events[j];
			if (event->gseq > subscriber->done && strcmp(event->org, subscriber->org) == 0 &&
				!follow_event(subscriber, event))
				return true;
		}
		subscriber->done = batch->upto;
	}
	return true;
}

/* --- pages --- */

void
follow_reset(struct hub_subscriber *subscriber, const char *reason)
{
	metric_add(subscriber->hub->resets, 1);
	subscriber->done = subscriber->hub->live_at;
	subscriber->history_from = -1;
	subscriber->live = !subscriber->full && !subscriber->recheck;
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
	follow_reset(subscriber, "expired");
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
			!(history ? give_history(subscriber, &event) : follow_event(subscriber, &event)))
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

	if (!since && hub_position(subscriber) < subscriber->hub->live_at)
		return subscriber->hub->live_at; /* it gets there only now, but this is the present */
	if (!since)
		return hub_position(subscriber);
	const char *fault = parse_since(since, answer, &from);
	if (!fault)
		return from;
	follow_reset(subscriber, fault);
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
		bool ok, old;

		ask_open_row(answer, row, name, &remembered, &ok, &old);
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
void
follow_advance(struct hub_subscriber *subscriber)
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

/* --- answers --- */

void
follow_end(struct hub_subscriber *subscriber, const char *reason)
{
	hub_leave(subscriber);
	subscriber->codec->end(subscriber, reason);
}

/* A save that nobody waits for. */
static void
queue_save(struct hub_subscriber *subscriber)
{
	struct subscription *remember = subscription_new(NULL, NULL, 0, NULL, NULL);

	remember->stage = SUBSCRIPTION_SAVE;
	subscription_queue(subscriber, remember);
}

static void
take_tokens(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	free(subscriber->tokens);
	subscriber->tokens =
		h2o_strdup(NULL, answer->tokens.base ? answer->tokens.base : "", answer->tokens.len).base;
}

/* True: the channels are to be remembered, for the first time or anew. */
static bool
add_opened(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	bool save = false;

	for (int row = 0; row < answer->rows; row++)
	{
		char name[CHANNEL_NAME];
		int64_t from;
		bool ok, old;

		ask_open_row(answer, row, name, &from, &ok, &old);
		save |= from < 0 || old;
		if (ok && subscriber->nchannels < HUB_CHANNELS)
			channels_add(subscriber, name, from > subscriber->done ? from : subscriber->done);
		else
			subscription_deny(subscriber->asking, name);
	}
	return save && subscriber->connection[0];
}

static bool
is_crowded(struct hub_subscriber *subscriber)
{
	struct hub_org *org = hub_org(subscriber->hub, subscriber->org, true);
	int count = 0;

	for (h2o_linklist_t *link = org->subscribers.next; link != &org->subscribers; link = link->next)
	{
		struct hub_subscriber *each = H2O_STRUCT_FROM_MEMBER(struct hub_subscriber, link, link);
		count += strcmp(each->member, subscriber->member) == 0;
	}
	return count >= config.live_per_member;
}

static void
on_open(struct hub_subscriber *subscriber, const struct ask_answer *answer)
{
	struct hub *hub = subscriber->hub;
	struct subscription *asked = subscriber->asking;
	enum hub_outcome outcome = HUB_JOINED;

	if (answer->outcome == ASK_REFUSED)
		outcome = HUB_REFUSED;
	else if (answer->outcome != ASK_OK)
		outcome = HUB_UNAVAILABLE;
	else if (strcmp(answer->epoch, hub->epoch) != 0)
	{
		outcome = HUB_UNAVAILABLE;
		tail_look();
	}
	else if (is_crowded(subscriber))
		outcome = HUB_CROWDED;
	if (outcome != HUB_JOINED)
	{
		hub_leave(subscriber);
		subscriber->codec->joined(subscriber, outcome, NULL, 0);
		return;
	}
	subscriber->done = hub->live_at;
	if (asked->since && parse_since(asked->since, answer, &subscriber->done))
	{
		subscriber->done = hub->live_at;
		outcome = HUB_RESET;
	}
	bool remember = add_opened(subscriber, answer);
	subscriber->stamp = answer->stamp;
	take_tokens(subscriber, answer);
	/* What came since may have changed what the member may have. */
	subscriber->recheck = answer->top < hub->rights_at;
	subscriber->joined = true;
	subscriber->asking = asked->next;
	h2o_linklist_insert(&hub_org(hub, subscriber->org, true)->subscribers, &subscriber->link);
	atomic_fetch_add_explicit(&hub_open, 1, memory_order_relaxed);
	bool wanted = subscriber->codec->joined(
		subscriber, outcome, (const char *const *) asked->denied, asked->ndenied);
	subscription_free(asked);
	if (!wanted)
	{
		follow_end(subscriber, "unwanted");
		return;
	}
	if (remember)
		queue_save(subscriber);
	follow_advance(subscriber);
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
	take_tokens(subscriber, answer);
	for (int row = 0; row < answer->rows; row++)
	{
		char name[CHANNEL_NAME];
		int64_t since;
		bool ok, old;

		ask_open_row(answer, row, name, &since, &ok, &old);
		if (ok || !channels_find(subscriber, name))
			continue;
		channels_remove(subscriber, name, subscriber->nchannels);
		subscriber->codec->lost(subscriber, name);
		lost = true;
	}
	if (lost)
		queue_save(subscriber);
	follow_advance(subscriber);
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
		follow_end(subscriber, "revoked");
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
	follow_advance(subscriber);
}

void
follow_open(struct hub_subscriber *subscriber)
{
	authorise(subscriber, HUB_OPENING, subscription_literal(subscriber->asking));
}
