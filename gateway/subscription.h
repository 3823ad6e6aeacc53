/* The channels of a subscriber, and its requests to change them. */
#pragma once

#include "hub.h"

enum subscription_stage
{
	SUBSCRIPTION_ASK,	  /* are the channels allowed */
	SUBSCRIPTION_REMOVE,  /* hub_unsubscribe */
	SUBSCRIPTION_HISTORY, /* older events on their way */
	SUBSCRIPTION_SAVE	  /* to be remembered */
};

/* One hub_subscribe or hub_unsubscribe, or what hub_join asked for. */
struct subscription
{
	struct subscription *next;
	enum subscription_stage stage;
	char *since; /* NULL: from now */
	hub_subscribed fn;
	void *data;
	char **names; /* in the grammar; to be authorised */
	int count;
	char **denied;
	int ndenied;
};

/* Copies the names; those outside the grammar are denied at once. */
struct subscription *subscription_new(const char *since, const char *const *names, int count,
									  hub_subscribed fn, void *data);
void subscription_free(struct subscription *subscription);
/* Appended to those of the subscriber. */
void subscription_queue(struct hub_subscriber *subscriber, struct subscription *subscription);
/* The first is taken off and answered, then freed. */
void subscription_finish(struct hub_subscriber *subscriber, bool ok);
void subscription_deny(struct subscription *subscription, const char *name);
/* SQL array literal of the names; the caller frees. */
char *subscription_literal(const struct subscription *subscription);

/* Channels of the subscriber. Add appends, also a second one of the same name. */
void channels_add(struct hub_subscriber *subscriber, const char *name, int64_t from);
const struct hub_channel *channels_find(const struct hub_subscriber *subscriber, const char *name);
/* Removes those of that name below the index, and says how many. */
int channels_remove(struct hub_subscriber *subscriber, const char *name, int below);
void channels_clear(struct hub_subscriber *subscriber);
/* SQL array literals of the names and of the positions; the caller frees. */
char *channels_names(const struct hub_subscriber *subscriber, int first);
char *channels_since(const struct hub_subscriber *subscriber);
/* The first channel with first <= index < end to which the event goes, or NULL. */
const char *channels_match(const struct hub_subscriber *subscriber, const struct hub_event *event,
						   int first, int end);
