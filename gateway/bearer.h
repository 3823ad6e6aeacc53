/* Access tokens of requests: checked once, then known to their thread until they expire. */
#pragma once

#include "token.h"

/* As token_check. */
bool bearer_check(const char *base, size_t len, struct token *out);
