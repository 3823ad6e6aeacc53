/*
 * WebSocket connections that carry text. Frames are written straight to the connection, all of a
 * loop turn at once; wslay reads, and speaks the control frames.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "http.h"

enum
{
	SOCKET_MESSAGE_MAX = 65536 + 1024 /* 64 kB and what wraps them */
};

struct socket;

/* How its user receives; data is what socket_upgrade was given. */
struct socket_user
{
	void (*text)(void *data, const char *base, size_t len);
	/* All that was sent has left. */
	void (*drained)(void *data);
	/* Called exactly once; the socket is the user's no more. */
	void (*closed)(void *data);
};

/*
 * Answers the request: with 101, or with the problem, returning NULL, when it is no proper
 * handshake of a permitted origin. first: the first message.
 */
struct socket *socket_upgrade(struct request *request, const char *first,
							  const struct socket_user *user, void *data);
/* The same socket under another user. */
void socket_hand_over(struct socket *socket, const struct socket_user *user, void *data);
/* Copied; silently dropped when the connection is ending. */
void socket_send(struct socket *socket, const char *base, size_t len);
/* Bytes not yet taken by the kernel. */
size_t socket_queued(const struct socket *socket);
/* Begins the closing handshake; closed() follows, in 5 seconds at the latest. */
void socket_close(struct socket *socket, int code, const char *reason);
