/* The arguments of a routed function, read from path, query, headers and body. */
#pragma once

#include "http.h"
#include "route.h"

/*
 * Fills values (one per argument of the route, NULL: not given) with text in the request's
 * memory. Collects every fault; with any it answers with the problem and returns false.
 */
bool args_read(struct request *request, const struct route_match *match, const char **values);

/*
 * The same in steps, for a request whose body is not JSON. Open reads path, query and headers;
 * each part of a form is then one more argument, valid as long as the request; close asks for
 * those that are missing, and answers as args_read when there is any fault. Drop ends it without.
 */
struct args;

struct args *args_open(struct request *request, const struct route_match *match,
					   const char **values);
void args_part(struct args *args, char *name, char *value);
/* Is there a fault already? */
bool args_faulty(const struct args *args);
bool args_close(struct args *args);
void args_drop(struct args *args);
