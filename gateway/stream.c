#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "http.h"
#include "hub.h"
#include "listener.h"
#include "loop.h"
#include "stream.h"
#include "text.h"

enum
{
	RETRY_MS = 2000,
	BEAT_MS = 15000,
	STUCK_MS = 60000,
	PENDING_MAX = 64 * 1024
};

struct stream
{
	h2o_generator_t super;
	h2o_linklist_t link; /* of the thread's streams */
	struct request *request;
	struct hub_subscriber subscriber;
	struct text pending;
	struct text sending; /* h2o has it while busy */
	struct turn_end flush;
	struct timer beat;
	bool busy, ending, dead;
	uint64_t busy_since;
	size_t bytes;
};

/* Of this thread. */
static __thread h2o_linklist_t streams;

static struct stream *
stream_of(struct hub_subscriber *subscriber)
{
	return H2O_STRUCT_FROM_MEMBER(struct stream, subscriber, subscriber);
}

/* The memory stays until a flush asked for has run. */
static void
stream_free(struct stream *stream)
{
	timer_stop(&stream->beat);
	if (h2o_linklist_is_linked(&stream->link))
		h2o_linklist_unlink(&stream->link);
	hub_leave(&stream->subscriber);
	stream->dead = true;
	if (stream->flush.queued)
		return;
	text_free(&stream->pending);
	text_free(&stream->sending);
	free(stream);
}

static void
on_gone(struct request *request)
{
	struct stream *stream = request->data;

	http_stream_end(request, stream->bytes);
	stream_free(stream);
}

/* The last piece: h2o may be done with the request before h2o_send returns. */
static void
send_last(struct stream *stream)
{
	struct request *request = stream->request;
	h2o_req_t *req = request->h2o;
	h2o_iovec_t piece = h2o_strdup(&req->pool, stream->pending.base, stream->pending.len);

	request->on_gone = NULL;
	http_keep(request);
	h2o_send(req, &piece, piece.len ? 1 : 0, H2O_SEND_STATE_FINAL);
	http_stream_end(request, stream->bytes + piece.len);
	http_release(request);
	stream_free(stream);
}

static void
on_flush(struct turn_end *work)
{
	struct stream *stream = H2O_STRUCT_FROM_MEMBER(struct stream, flush, work);
	struct text swap = stream->sending;
	h2o_iovec_t piece;

	if (stream->dead)
	{
		stream_free(stream);
		return;
	}
	if (stream->busy)
		return;
	if (stream->ending)
	{
		send_last(stream);
		return;
	}
	if (!stream->pending.len)
		return;
	stream->sending = stream->pending;
	stream->pending = swap;
	stream->pending.len = 0;
	stream->busy = true;
	stream->busy_since = h2o_now(self->loop);
	stream->bytes += stream->sending.len;
	piece = h2o_iovec_init(stream->sending.base, stream->sending.len);
	h2o_send(stream->request->h2o, &piece, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static void
on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
	struct stream *stream = (struct stream *) generator;

	(void) req;
	stream->busy = false;
	loop_at_turn_end(&stream->flush);
	if (stream->subscriber.full && !stream->ending)
		hub_resume(&stream->subscriber);
}

/* --- what is sent --- */

static void
add_position(struct stream *stream, int64_t position)
{
	text_printf(&stream->pending, "id: %s-%lld\n", hub_epoch(self->hub), (long long) position);
}

/* An event of our own: its data says where the reader stands. */
static void
add_notice(struct stream *stream, const char *type, const char *reason)
{
	long long position = hub_position(&stream->subscriber);
	const char *epoch = hub_epoch(self->hub);

	add_position(stream, position);
	text_printf(&stream->pending,
				"event: %s\ndata: {\"epoch\":\"%s\",\"gseq\":%lld,\"position\":\"%s-%lld\"",
				type,
				epoch,
				position,
				epoch,
				position);
	if (reason)
		text_printf(&stream->pending, ",\"reason\":\"%s\"", reason);
	text_puts(&stream->pending, "}\n\n");
	loop_at_turn_end(&stream->flush);
}

/* A comment keeps proxies from closing; the id moves the reader past what did not concern it. */
static void
on_beat(struct timer *timer)
{
	struct stream *stream = H2O_STRUCT_FROM_MEMBER(struct stream, beat, timer);
	h2o_req_t *req = stream->request->h2o;

	timer_start(&stream->beat, BEAT_MS, on_beat);
	if (stream->busy && h2o_now(self->loop) - stream->busy_since > STUCK_MS)
	{
		shutdown(h2o_socket_get_fd(req->conn->callbacks->get_socket(req->conn)), SHUT_RDWR);
		return;
	}
	if (stream->busy)
		return;
	text_puts(&stream->pending, ": beat\n");
	add_position(stream, hub_position(&stream->subscriber));
	text_puts(&stream->pending, "\n");
	loop_at_turn_end(&stream->flush);
}

static bool
on_event(struct hub_subscriber *subscriber, const struct hub_event *event, const char *channel,
		 int64_t position)
{
	struct stream *stream = stream_of(subscriber);

	if (stream->pending.len > PENDING_MAX || stream->ending)
		return false;
	add_position(stream, position);
	text_printf(&stream->pending,
				"event: %s\ndata: {\"channel\":\"%s\",%.*s\n\n",
				event->type,
				channel,
				(int) event->json_len - 1,
				event->json + 1);
	loop_at_turn_end(&stream->flush);
	return true;
}

static void
on_reset(struct hub_subscriber *subscriber, const char *reason)
{
	add_notice(stream_of(subscriber), "reset", reason);
}

static void
on_lost(struct hub_subscriber *subscriber, const char *channel)
{
	struct stream *stream = stream_of(subscriber);

	text_printf(&stream->pending, "event: lost\ndata: {\"channel\":\"%s\"}\n\n", channel);
	loop_at_turn_end(&stream->flush);
}

static void
on_end(struct hub_subscriber *subscriber, const char *reason)
{
	struct stream *stream = stream_of(subscriber);

	if (!stream->super.proceed) /* refused before it began */
	{
		stream_free(stream);
		return;
	}
	text_printf(&stream->pending, "event: end\ndata: {\"reason\":\"%s\"}\n\n", reason);
	stream->ending = true;
	loop_at_turn_end(&stream->flush);
}

/* --- how it begins --- */

/* Answers instead of beginning; the stream is over. */
static void
refuse(struct stream *stream, enum hub_outcome outcome)
{
	struct request *request = stream->request;

	request->on_gone = NULL;
	stream_free(stream);
	listener_refuse(request, outcome);
}

static bool
on_joined(struct hub_subscriber *subscriber, enum hub_outcome outcome, const char *const *denied,
		  int ndenied)
{
	struct stream *stream = stream_of(subscriber);

	if (outcome != HUB_JOINED && outcome != HUB_RESET)
	{
		refuse(stream, outcome);
		return false;
	}
	if (ndenied)
	{
		stream->request->on_gone = NULL;
		listener_deny(stream->request, denied, ndenied);
		return false;
	}
	stream->super.proceed = on_proceed;
	http_header(stream->request, "cache-control", "no-cache, no-transform");
	http_header(stream->request, "x-accel-buffering", "no");
	http_stream_begin(stream->request, 200, "text/event-stream", &stream->super);
	text_printf(&stream->pending, "retry: %d\n", RETRY_MS);
	if (outcome == HUB_RESET)
		add_notice(stream, "reset", "position");
	else
		add_notice(stream, "sync", NULL);
	timer_start(&stream->beat, BEAT_MS, on_beat);
	return true;
}

static const struct hub_codec codec = {
	.joined = on_joined,
	.event = on_event,
	.reset = on_reset,
	.lost = on_lost,
	.end = on_end,
};

static void
get_stream(struct request *request)
{
	struct listener listener;
	struct stream *stream;

	if (!listener_read(request, &listener))
		return;
	stream = h2o_mem_alloc(sizeof *stream);
	memset(stream, 0, sizeof *stream);
	stream->request = request;
	stream->flush.run = on_flush;
	stream->subscriber.codec = &codec;
	listener_identify(&listener, &stream->subscriber);
	request->data = stream;
	request->on_gone = on_gone;
	if (!streams.next)
		h2o_linklist_init_anchor(&streams);
	h2o_linklist_insert(&streams, &stream->link);
	hub_join(self->hub, &stream->subscriber, listener.since, listener.channels, listener.nchannels);
}

/* Ends them all: the readers come back to whoever serves then, and resume. */
static void
on_drain(void)
{
	if (!streams.next)
		return;
	for (h2o_linklist_t *link = streams.next, *next; link != &streams; link = next)
	{
		struct stream *stream = H2O_STRUCT_FROM_MEMBER(struct stream, link, link);
		next = link->next;
		if (!stream->super.proceed)
		{
			refuse(stream, HUB_UNAVAILABLE);
			continue;
		}
		stream->ending = true;
		loop_at_turn_end(&stream->flush);
	}
}

void
stream_install(void)
{
	http_register("GET", "/v1/stream", get_stream);
	loop_on_drain(on_drain);
}
