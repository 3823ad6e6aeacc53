#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bearer.h"
#include "loop.h"
#include "text.h"

enum
{
	PLACES = 512,
	LONGEST = 512 /* ours are shorter; others are checked every time */
};

struct known
{
	size_t len; /* 0: free */
	char text[LONGEST];
	struct token token;
};

/* One place per hash: a collision only costs another check. */
struct bearers
{
	struct known known[PLACES];
};

static struct known *
place_of(const char *base, size_t len)
{
	/* the signature is at the end and differs between any two tokens */
	size_t skip = len > 32 ? len - 32 : 0;

	if (!self->bearers)
	{
		self->bearers = calloc(1, sizeof *self->bearers);
		if (!self->bearers)
			abort();
	}
	return &self->bearers->known[(text_hash(base + skip, len - skip) >> 32) % PLACES];
}

bool
bearer_check(const char *base, size_t len, struct token *out)
{
	struct known *known;

	if (len == 0 || len > LONGEST)
		return token_check(base, len, out);
	known = place_of(base, len);
	if (known->len == len && memcmp(known->text, base, len) == 0 &&
		known->token.expires > (long) time(NULL))
	{
		*out = known->token;
		return true;
	}
	if (!token_check(base, len, out))
		return false;
	known->len = len;
	memcpy(known->text, base, len);
	known->token = *out;
	return true;
}
