/* Answers that the database gives out piece by piece: routed functions that return a cursor. */
#pragma once

#include "http.h"
#include "route.h"

/*
 * The request is authenticated and its arguments read; values, in the request's memory, are those
 * of the route's arguments. Takes over a reference to the table and one to the request.
 */
void download_run(struct request *request, struct route_table *table, const struct route *route,
				  const char **values);
