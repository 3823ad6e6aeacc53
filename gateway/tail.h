/*
 * The tail of the event log: read once per process, on thread 0, and handed to every thread as
 * shared, immutable batches.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "hub.h"

/* All events of all organisations with from < gseq <= upto. */
struct tail_batch
{
	atomic_int references;
	char epoch[HUB_EPOCH];
	int64_t from, upto;
	bool start; /* no events: the log is known now, or became another one; it stands at upto */
	int count;
	struct hub_event *events;
	char *text; /* what the events point to */
};

void tail_release(struct tail_batch *batch);
/*
 * From listen, on thread 0. take is called on each thread for each batch, in order, and owns one
 * reference.
 */
void tail_notify(const char *epoch, int64_t top, void (*take)(struct tail_batch *batch));
