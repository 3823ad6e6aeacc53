/* What GET /v1/stream and GET /v1/poll read from a request and refuse alike. */
#pragma once

#include "http.h"
#include "hub.h"

struct listener
{
	char org[37], member[37], session[37];
	long expires;
	const char *since; /* NULL: none given */
	const char **channels;
	int nchannels;
};

/* Token, channels and position; false after answering with what is wrong. */
bool listener_read(struct request *request, struct listener *out);
/* Who listens. */
void listener_identify(const struct listener *listener, struct hub_subscriber *subscriber);
/* The problem for an outcome of hub_join other than HUB_JOINED and HUB_RESET. */
void listener_refuse(struct request *request, enum hub_outcome outcome);
void listener_deny(struct request *request, const char *const *denied, int ndenied);
