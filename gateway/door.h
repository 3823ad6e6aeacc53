/*
 * The front door: stands between a client's socket and h2o and lets only well-framed HTTP/1
 * requests through. h2o 2.2.5 accepts ambiguous framing (Content-Length with Transfer-Encoding,
 * chunk sizes with a tail, several Hosts, folded headers); behind a proxy that reads it the other
 * way this means smuggled requests. What the door refuses, h2o never sees.
 */
#pragma once

#include <h2o.h>

#include "door_scan.h"
#include "spool.h"

/* Limits from the settings, and h2o's own out of the way. Before any door_guard; exits when the
 * door would not be in force. */
void door_configure(h2o_globalconf_t *global);
/* What is to become of a body that is announced. */
struct door_verdict
{
	bool spool;	   /* to disk; h2o sees the request, complete, without a body: door_take_spool */
	bool hash;	   /* spool_digest will be asked for */
	uint64_t max;  /* bytes, with spool */
	uint64_t most; /* bytes, without it; 0: config.max_body */
	struct door_fault fault; /* without spool: refused with this */
};
/*
 * Asked of each head that announces a body, complete and well-formed; length UINT64_MAX: chunked.
 * Before door_configure.
 */
void door_on_body(struct door_verdict (*judge)(const char *head, size_t len, uint64_t length));
/* The body of the request that h2o has just been given, once; NULL: none is on disk. */
struct spool *door_take_spool(h2o_socket_t *sock);
/*
 * Guards a freshly accepted socket; before h2o_accept. Takes over sock->on_close and calls the
 * one found there.
 */
void door_guard(h2o_socket_t *sock);
/* The answer under way is a stream: its reader may stall for longer. */
void door_stream(h2o_socket_t *sock);
/* The connection speaks something else from now on (after a websocket handshake). */
void door_release(h2o_socket_t *sock);
/* Ends connections of this thread that wait for a next request, also those that will. */
void door_drain(void);
