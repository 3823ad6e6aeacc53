/*
 * Live events: one reader of the event log per process, fan-out to the subscribers of each
 * thread. A subscriber has a position; events come once, in order, filtered by organisation and
 * channel. Codecs (SSE, Socket.IO) sit on top and only encode.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
	HUB_CHANNELS = 128
};

struct hub_event
{
	int64_t gseq;
	const char *org;	/* uuid text */
	const char *type;	/* lead.created … */
	const char *entity; /* lead */
	const char *entity_id;
	const char *json; /* {"gseq","type","entity","id","version","changed","actor","at","data"?} */
	size_t json_len;
};

struct hub_subscriber;

/* How a codec receives. */
struct hub_codec
{
	/* channel: the first of the subscriber's channels that matches. False: buffer full, stop and
	 * call hub_resume when it drained. */
	bool (*event)(struct hub_subscriber *subscriber, const struct hub_event *event,
				  const char *channel);
	/* Everything up to gseq was delivered or did not concern the subscriber. */
	void (*position)(struct hub_subscriber *subscriber, const char *epoch, int64_t gseq);
	/* The asked position is unknown (other epoch, past retention): reload, then go on from here. */
	void (*reset)(struct hub_subscriber *subscriber, const char *reason);
	/* Session revoked or rights gone. */
	void (*end)(struct hub_subscriber *subscriber, const char *reason);
};

struct hub_subscriber
{
	const struct hub_codec *codec;
	void *data;
	char org[37], member[37], session[37];
	int64_t next; /* first gseq not yet considered */
	int nchannels;
	char *channels[HUB_CHANNELS];
	/* private to the hub */
	struct hub_subscriber *prev_link, *next_link;
	bool live, paging, full, gone;
	void *query;
};

struct hub;
struct hub *hub_new(void);
/* since NULL: from now. Authorises each channel in the database under the member's rights before it
 * counts. */
void hub_join(struct hub *hub, struct hub_subscriber *subscriber, const char *since);
void hub_leave(struct hub *hub, struct hub_subscriber *subscriber);
/* done(subscriber, channel, ok): ok false when the channel is unknown or not allowed. */
void hub_subscribe(struct hub *hub, struct hub_subscriber *subscriber, const char *channel,
				   void (*done)(struct hub_subscriber *subscriber, const char *channel, bool ok,
								void *data),
				   void *data);
void hub_unsubscribe(struct hub *hub, struct hub_subscriber *subscriber, const char *channel);
void hub_resume(struct hub *hub, struct hub_subscriber *subscriber);
/* From listen: new events exist up to top. */
void hub_notify(const char *epoch, int64_t top);
