#include <stdlib.h>
#include <string.h>

#include "subscription.h"
#include "text.h"

static char *
copy_text(const char *text)
{
	return h2o_strdup(NULL, text, SIZE_MAX).base;
}

static void
append(char ***list, int *count, const char *name)
{
	*list = h2o_mem_realloc(*list, sizeof **list * (size_t) (*count + 1));
	(*list)[(*count)++] = copy_text(name);
}

static void
free_list(char **list, int count)
{
	for (int i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

struct subscription *
subscription_new(const char *since, const char *const *names, int count, hub_subscribed fn,
				 void *data)
{
	struct subscription *subscription = h2o_mem_alloc(sizeof *subscription);
	struct channel channel;

	*subscription = (struct subscription){ .fn = fn, .data = data };
	if (since)
		subscription->since = copy_text(since);
	for (int i = 0; i < count; i++)
	{
		if (channel_parse(names[i], &channel))
			append(&subscription->names, &subscription->count, names[i]);
		else
			subscription_deny(subscription, names[i]);
	}
	return subscription;
}

void
subscription_free(struct subscription *subscription)
{
	free(subscription->since);
	free_list(subscription->names, subscription->count);
	free_list(subscription->denied, subscription->ndenied);
	free(subscription);
}

void
subscription_queue(struct hub_subscriber *subscriber, struct subscription *subscription)
{
	struct subscription **at = &subscriber->asking;

	while (*at)
		at = &(*at)->next;
	*at = subscription;
}

void
subscription_finish(struct hub_subscriber *subscriber, bool ok)
{
	struct subscription *first = subscriber->asking;

	subscriber->asking = first->next;
	if (first->fn)
		first->fn(subscriber, first->data, ok, (const char *const *) first->denied, first->ndenied);
	subscription_free(first);
}

void
subscription_deny(struct subscription *subscription, const char *name)
{
	append(&subscription->denied, &subscription->ndenied, name);
}

/* Names of the grammar hold nothing that an array literal would need escaped. */
static void
add_quoted(struct text *out, const char *name)
{
	text_puts(out, out->len > 1 ? ",\"" : "\"");
	text_puts(out, name);
	text_puts(out, "\"");
}

char *
subscription_literal(const struct subscription *subscription)
{
	struct text out = { 0 };

	text_puts(&out, "{");
	for (int i = 0; i < subscription->count; i++)
		add_quoted(&out, subscription->names[i]);
	text_puts(&out, "}");
	return out.base;
}

void
channels_add(struct hub_subscriber *subscriber, const char *name, int64_t from)
{
	struct hub_channel *channel;

	subscriber->channels = h2o_mem_realloc(
		subscriber->channels, sizeof *subscriber->channels * (size_t) (subscriber->nchannels + 1));
	channel = &subscriber->channels[subscriber->nchannels];
	if (!channel_parse(name, &channel->channel))
		return;
	channel->from = from;
	subscriber->nchannels++;
}

const struct hub_channel *
channels_find(const struct hub_subscriber *subscriber, const char *name)
{
	for (int i = 0; i < subscriber->nchannels; i++)
		if (strcmp(subscriber->channels[i].channel.name, name) == 0)
			return &subscriber->channels[i];
	return NULL;
}

int
channels_remove(struct hub_subscriber *subscriber, const char *name, int below)
{
	int kept = 0;

	for (int i = 0; i < subscriber->nchannels; i++)
	{
		if (i < below && strcmp(subscriber->channels[i].channel.name, name) == 0)
			continue;
		if (kept != i)
			subscriber->channels[kept] = subscriber->channels[i];
		kept++;
	}
	int removed = subscriber->nchannels - kept;
	subscriber->nchannels = kept;
	return removed;
}

void
channels_clear(struct hub_subscriber *subscriber)
{
	free(subscriber->channels);
	subscriber->channels = NULL;
	subscriber->nchannels = 0;
}

char *
channels_names(const struct hub_subscriber *subscriber, int first)
{
	struct text out = { 0 };

	text_puts(&out, "{");
	for (int i = first; i < subscriber->nchannels; i++)
		add_quoted(&out, subscriber->channels[i].channel.name);
	text_puts(&out, "}");
	return out.base;
}

char *
channels_since(const struct hub_subscriber *subscriber)
{
	struct text out = { 0 };

	text_puts(&out, "{");
	for (int i = 0; i < subscriber->nchannels; i++)
		text_printf(&out, i ? ",%lld" : "%lld", (long long) subscriber->channels[i].from);
	text_puts(&out, "}");
	return out.base;
}

const char *
channels_match(const struct hub_subscriber *subscriber, const struct hub_event *event, int first,
			   int end)
{
	for (int i = first; i < end; i++)
	{
		const struct hub_channel *channel = &subscriber->channels[i];
		if (event->gseq > channel->from &&
			channel_matches(&channel->channel, subscriber->member, event->entity, event->entity_id))
			return channel->channel.name;
	}
	return NULL;
}
