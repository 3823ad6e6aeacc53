#include <string.h>

#include "recent.h"

enum
{
	EVENTS_MAX = 4096
};

static void
drop(struct recent *recent, int n)
{
	for (int i = 0; i < n; i++)
	{
		recent->events -= recent->batches[i]->count;
		tail_release(recent->batches[i]);
	}
	recent->count -= n;
	memmove(recent->batches, recent->batches + n, sizeof *recent->batches * (size_t) recent->count);
}

void
recent_add(struct recent *recent, struct tail_batch *batch)
{
	if (recent->count == RECENT)
		drop(recent, 1);
	recent->batches[recent->count++] = batch;
	recent->events += batch->count;
	while (recent->count > 1 && recent->events > EVENTS_MAX)
		drop(recent, 1);
}

void
recent_clear(struct recent *recent)
{
	drop(recent, recent->count);
}
