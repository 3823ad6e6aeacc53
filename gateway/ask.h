/* The hub's questions to the database, each one round trip under a member's rights. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "pool.h"

struct ask;

/* Who asks; copied. */
struct ask_member
{
	const char *org, *member, *session;
};

enum ask_outcome
{
	ASK_OK,
	ASK_REFUSED,	/* the session is over */
	ASK_UNAVAILABLE /* no database, or a fault on our side (logged) */
};

struct ask_stamp
{
	int64_t boot, asof;
	uint32_t slots[2];
};

/* Valid during the callback. */
struct ask_answer
{
	enum ask_outcome outcome;
	struct ask_stamp stamp;
	const char *epoch; /* of the log as this transaction saw it */
	int64_t top, floor;
	struct pool_value tokens; /* of ask_open: of the events that the member may have */
	const struct pool_result *result;
	int rows; /* of ask_open and ask_page */
};

/* owner is what ask_forget left: NULL when nobody wants the answer any more. */
typedef void (*ask_done)(struct ask *ask, void *owner, const struct ask_answer *answer);

/* channels: an SQL array literal, see ask_channels. connection "": none. */
struct ask *ask_open(const struct ask_member *who, const char *connection, const char *channels,
					 ask_done fn, void *owner);
/* Row of ask_open: a channel that was asked for or remembered; since -1: not remembered; old: was
 * last saved long ago. */
void ask_open_row(const struct ask_answer *answer, int row, char name[CHANNEL_NAME], int64_t *since,
				  bool *ok, bool *old);

struct ask *ask_page(const struct ask_member *who, int64_t since, int64_t upto, int batch,
					 const char *channels, ask_done fn, void *owner);

/* Remembers the channels of a connection and from where each counts. */
struct ask *ask_save(const struct ask_member *who, const char *connection, const char *channels,
					 const char *since, ask_done fn, void *owner);
/* The answer will come with owner NULL. */
void ask_forget(struct ask *ask);
