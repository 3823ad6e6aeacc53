/*
 * Live events: one reader of the event log per process, fan-out to the subscribers of each
 * thread. A subscriber has a position; events come once, in order, filtered by organisation and
 * channel. Codecs (SSE, Socket.IO) sit on top and only encode.
 *
 * A subscriber that cannot take more keeps nothing but its position: when it drains it is fed
 * from what this thread saw lately or, further back, from the log under the member's rights.
 */
#pragma once

#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask.h"
#include "channel.h"

enum
{
	HUB_CHANNELS = 128,
	HUB_EPOCH = 64
};

struct hub_event
{
	int64_t gseq;
	const char *org;  /* uuid text */
	const char *type; /* lead.created … */
	const char *entity;
	const char *entity_id;
	const char *json; /* {"gseq","type","entity","id","version","changed","actor","at","data"?} */
	size_t json_len;
	const char *tokens; /* whom it concerns, see channel_concerns; NULL: the receiver, as asked */
};

struct hub_subscriber;

enum hub_outcome
{
	HUB_JOINED,		/* from where it was asked, or from now when nothing was asked */
	HUB_RESET,		/* the position asked for is unknown (other log, too old): from now */
	HUB_CROWDED,	/* the member has too many; not joined */
	HUB_REFUSED,	/* session over; not joined */
	HUB_UNAVAILABLE /* the database is away; not joined */
};

/*
 * How a codec receives. None of these may call hub_leave or free the subscriber, except end, and
 * joined when it says that the subscriber was not joined.
 */
struct hub_codec
{
	/*
	 * The answer to hub_join, before any event. denied: names of channels that do not exist for
	 * this member, ndenied of them; the others are joined. Position: see hub_position. False: the
	 * codec does not want it that way; end() with "unwanted" follows.
	 */
	bool (*joined)(struct hub_subscriber *subscriber, enum hub_outcome outcome,
				   const char *const *denied, int ndenied);
	/*
	 * channel: the first of the subscriber's channels that matches. position: what the receiver
	 * may resume from once it has this. False: no room, the event was not taken and nothing more
	 * comes until hub_resume.
	 */
	bool (*event)(struct hub_subscriber *subscriber, const struct hub_event *event,
				  const char *channel, int64_t position);
	/* The log became another one, or went on without the subscriber: reload, then go on from here.
	 */
	void (*reset)(struct hub_subscriber *subscriber, const char *reason);
	/* Rights to this channel are gone; it is no longer subscribed. */
	void (*lost)(struct hub_subscriber *subscriber, const char *channel);
	/* Over: revoked, expired, slow. The hub has let go of the subscriber already. */
	void (*end)(struct hub_subscriber *subscriber, const char *reason);
};

struct hub_channel
{
	struct channel channel;
	int64_t from; /* events after this position belong to the receiver */
};

/* Zeroed, then filled by the codec down to connection; its memory is the codec's. */
struct hub_subscriber
{
	const struct hub_codec *codec;
	void *data;
	char org[37], member[37], session[37];
	long expires;		 /* of the token, seconds since the epoch */
	char connection[37]; /* under which the channels are remembered, empty: not at all */
	/* the hub's */
	struct hub *hub;
	h2o_linklist_t link;
	struct hub_channel *channels;
	int nchannels;
	int64_t done;		  /* everything up to here was given or is not wanted */
	int64_t history_done; /* the same for the older events that new channels asked for */
	int history_from;	  /* index of the first such channel, -1: no history under way */
	char left[HUB_EPOCH]; /* the log it was detached from */
	int64_t left_at;	  /* what the thread it left had seen of the log */
	int64_t query_upto;	  /* where the page under way ends */
	bool joined, live, full, recheck;
	uint64_t full_since;
	struct ask *query; /* the one under way */
	enum hub_purpose
	{
		HUB_OPENING,
		HUB_AUTHORISING,
		HUB_PAGING,
		HUB_HISTORY,
		HUB_SAVING,
		HUB_RECHECKING
	} purpose;
	struct subscription
		*asking;			/* not yet answered, in order; while opening: what hub_join asked */
	struct ask_stamp stamp; /* of the session, when last confirmed */
	char *tokens;			/* of the events that the member may have */
};

struct hub *hub_new(void);

/*
 * since NULL: from now; otherwise a position "<epoch>-<gseq>" or "<gseq>" of the present log.
 * Channels remembered under the connection are joined too; each is authorised in the database
 * under the member's rights. Ends in joined().
 */
void hub_join(struct hub *hub, struct hub_subscriber *subscriber, const char *since,
			  const char *const *channels, int nchannels);
/* Frees what the hub holds; safe when not joined. No callback follows, not even of a hub_subscribe.
 */
void hub_leave(struct hub_subscriber *subscriber);

/*
 * The subscriber goes to another thread: detach here (false: it waits for an answer, try again
 * soon), attach there. Nothing is lost or repeated on the way.
 */
bool hub_detach(struct hub_subscriber *subscriber);
void hub_attach(struct hub *hub, struct hub_subscriber *subscriber);

/*
 * Called once the channels count: authorised, older events after since (NULL: from now) given,
 * and remembered. ok false with no denied channel: the database is away, or too many channels.
 */
typedef void (*hub_subscribed)(struct hub_subscriber *subscriber, void *data, bool ok,
							   const char *const *denied, int ndenied);
void hub_subscribe(struct hub_subscriber *subscriber, const char *since,
				   const char *const *channels, int nchannels, hub_subscribed fn, void *data);
void hub_unsubscribe(struct hub_subscriber *subscriber, const char *const *channels, int nchannels,
					 hub_subscribed fn, void *data);
/* There is room again. */
void hub_resume(struct hub_subscriber *subscriber);
/* Everything up to here was given or does not concern the subscriber. */
int64_t hub_position(const struct hub_subscriber *subscriber);
/* Of the present log; empty until it is known. */
const char *hub_epoch(const struct hub *hub);

/* From listen, on thread 0: new events exist up to top. */
void hub_notify(const char *epoch, int64_t top);
