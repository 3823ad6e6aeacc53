/* The arguments of a routed function, read from path, query, headers and body. */
#pragma once

#include "http.h"
#include "route.h"

/*
 * Fills values (one per argument of the route, NULL: not given) with text in the request's
 * memory. Collects every fault; with any it answers with the problem and returns false.
 */
bool args_read(struct request *request, const struct route_match *match, const char **values);
