/*
 * The front door: stands between a client's socket and h2o and lets only well-framed HTTP/1
 * requests through. h2o 2.2.5 accepts ambiguous framing (Content-Length with Transfer-Encoding,
 * chunk sizes with a tail, several Hosts, folded headers); behind a proxy that reads it the other
 * way this means smuggled requests. What the door refuses, h2o never sees.
 */
#pragma once

#include <h2o.h>

/* Limits from the settings, and h2o's own out of the way. Before any door_guard; exits when the
 * door would not be in force. */
void door_configure(h2o_globalconf_t *global);
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
