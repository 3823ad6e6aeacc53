/* Names of live channels: entity:<type>:<uuid>, list:<type>, dash:main, feed, user:me. */
#pragma once

#include <stdbool.h>

enum
{
	CHANNEL_NAME = 96,
	CHANNEL_TYPE = 32
};

enum channel_kind
{
	CHANNEL_ENTITY,
	CHANNEL_LIST,
	CHANNEL_DASH,
	CHANNEL_FEED,
	CHANNEL_USER
};

struct channel
{
	char name[CHANNEL_NAME];
	char type[CHANNEL_TYPE]; /* of entity and list */
	char id[37];			 /* of entity */
	enum channel_kind kind;
};

/* False when the name is not in the grammar. */
bool channel_parse(const char *name, struct channel *out);
/* Whether an event about this record goes to the channel; member: who listens. */
/*
 * held: tokens between blanks, or "*" for every one; tokens: those of an event, separated by
 * blanks, empty: it concerns everybody.
 */
bool channel_concerns(const char *held, const char *tokens);
bool channel_matches(const struct channel *channel, const char *member, const char *entity,
					 const char *entity_id);
