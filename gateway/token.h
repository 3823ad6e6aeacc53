/* Access tokens: JWT, HS256, made and checked with libjwt. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum
{
	TOKEN_MAX = 2048 /* longer ones are refused unread */
};

struct token
{
	char org[37], member[37], session[37];
	char role[16];
	long expires; /* seconds since the epoch */
};

/* NULL when memory or the key fails; the caller frees. */
char *token_issue(const struct token *token);
/*
 * False: malformed, other algorithm, bad signature, expired, not yet valid, wrong issuer. Expires
 * is set, also then, once the rest is right.
 */
bool token_check(const char *base, size_t len, struct token *out);
