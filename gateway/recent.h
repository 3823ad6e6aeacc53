/* The batches that this thread saw last, so that who is a little behind needs no query. */
#pragma once

#include "tail.h"

enum
{
	RECENT = 64 /* batches */
};

struct recent
{
	struct tail_batch *batches[RECENT]; /* oldest first, each beginning where the one before ends */
	int count, events;
};

/* Takes over the reference. */
void recent_add(struct recent *recent, struct tail_batch *batch);
void recent_clear(struct recent *recent);
