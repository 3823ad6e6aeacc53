/* One subscriber's way to the present, and what of the thread's hub it needs to know. */
#pragma once

#include <stdatomic.h>

#include "hub.h"
#include "loop.h"
#include "recent.h"

enum
{
	HUB_ORGS = 1024
};

struct hub_org
{
	struct hub_org *chain;
	char id[37];
	h2o_linklist_t subscribers;
};

struct hub
{
	char epoch[HUB_EPOCH];
	int64_t live_at;		/* this thread has seen the log up to here */
	int64_t rights_at;		/* and here the last event that changes rights */
	h2o_linklist_t waiting; /* joins from before the log was known */
	struct recent recent;
	struct timer sweep;
	unsigned sweeps;
	bool doubts; /* some listener's session or member was changed in this batch */
	struct recheck *recheck;
	struct metric *delivered, *pages, *resets;
	struct hub_org *orgs[HUB_ORGS];
};

/* Joined subscribers of all threads. */
extern atomic_long hub_open;
struct hub_org *hub_org(struct hub *hub, const char *id, bool make);

/* Asks the database what hub_join needs to know. */
void follow_open(struct hub_subscriber *subscriber);
/* The next step, whatever it is; nothing when a query is under way or nothing is needed. */
void follow_advance(struct hub_subscriber *subscriber);
/* False: no room; done then stands just before the event. */
bool follow_event(struct hub_subscriber *subscriber, const struct hub_event *event);
/* From now on, whatever was missed. */
void follow_reset(struct hub_subscriber *subscriber, const char *reason);
/* Lets go of the subscriber and tells its codec. */
void follow_end(struct hub_subscriber *subscriber, const char *reason);
