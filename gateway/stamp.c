#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "stamp.h"
#include "text.h"

enum
{
	SETS = 1024,
	WAYS = 4
};

struct entry
{
	char session[37];
	uint64_t used; /* order of use, 0: free */
	struct cache_session stamp;
};

struct stamps
{
	struct entry entries[SETS][WAYS];
	uint64_t tick;
};

static struct entry *
set_of(const char *session)
{
	if (!self->stamps)
	{
		self->stamps = calloc(1, sizeof *self->stamps);
		if (!self->stamps)
			abort();
	}
	return self->stamps->entries[(text_hash(session, strlen(session)) >> 32) % SETS];
}

struct cache_session
stamp_of(const char *session)
{
	struct entry *set = set_of(session);

	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].used > 0 && strcmp(set[i].session, session) == 0)
		{
			set[i].used = ++self->stamps->tick;
			return set[i].stamp;
		}
	}
	return (struct cache_session){ .known = false };
}

void
stamp_note(const char *session, const struct cache_session *stamp)
{
	struct entry *set = set_of(session);
	struct entry *place = set;

	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].used > 0 && strcmp(set[i].session, session) == 0)
		{
			place = &set[i];
			break;
		}
		if (set[i].used < place->used)
			place = &set[i];
	}
	snprintf(place->session, sizeof place->session, "%s", session);
	place->used = ++self->stamps->tick;
	place->stamp = *stamp;
}
