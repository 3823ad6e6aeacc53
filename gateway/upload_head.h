/* What may be sent to a route that takes a file, judged by the head of the request alone. */
#pragma once

#include "door.h"
#include "route.h"

/* The door's question (door_on_body). */
struct door_verdict upload_judge(const char *head, size_t len, uint64_t length);
/* Does the route take files of this media type? len 0: not said. */
bool upload_takes(const struct route_arg *arg, const char *type, size_t len);
