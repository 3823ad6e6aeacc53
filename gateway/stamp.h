/* What ctx() last said of a session, per thread: needed to serve its cached answers. */
#pragma once

#include "cache.h"

/* known is false in the answer when the session was not seen here lately. */
struct cache_session stamp_of(const char *session);
void stamp_note(const char *session, const struct cache_session *stamp);
