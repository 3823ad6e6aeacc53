/* HTTP long-polling of Engine.IO, and the way of a polling session to a WebSocket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"

/* One GET or POST, on its way to the thread of its session and back. */
struct poll
{
	int home; /* the thread of the HTTP request */
	uint64_t serial;
	struct request *request; /* used at home only; NULL: the client has left */
	char sid[32];
	bool post;
	char *body;
	size_t len;
	int status; /* of the answer */
	char *answer;
	size_t answer_len;
};

/* The answer is copied; the poll is no more the caller's. Any thread. */
void poll_answer(struct poll *poll, int status, const char *base, size_t len);

/* Routes of /socket.io/. */
void polling_install(void);
