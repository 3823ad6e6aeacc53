/* The generic handler: a request to a routed function, from its arguments to its answer. */
#pragma once

#include "http.h"
#include "route.h"

/* Takes over the match's reference to the table. */
void call_run(struct request *request, const struct route_match *match);

/*
 * The member of the request's bearer token, into request->org, member, session and role. False:
 * answered with 401.
 */
bool call_authenticate(struct request *request);
