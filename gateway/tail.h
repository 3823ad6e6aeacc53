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
 * On thread 0, once. take is called on each thread for each batch, in order, and owns one
 * reference.
 */
void tail_start(void (*take)(struct tail_batch *batch));
/* From listen, on thread 0. */
void tail_notify(const char *epoch, int64_t top);
/*
 * From any thread: somebody saw that the log is another one. Otherwise we look every few seconds:
 * notifications can be lost with their connection, and a new log may begin without one.
 */
void tail_look(void);
