/*
 * Postings: for each field that has the term a byte of field, how often, and whether another field
 * follows; then the length of that field as a code. A count that does not fit the byte stands
 * behind it.
 */
#include "postgres.h"

#include "search.h"

/* The byte: two bits of field, one of more to come, five of count. */
#define MORE 4
#define COUNT_SHIFT 3
#define COUNT_FULL 31

void
sh_search_number_write(StringInfo to, uint32 number)
{
	for (; number >= 128; number >>= 7)
		appendStringInfoCharMacro(to, (char) (number | 128));
	appendStringInfoCharMacro(to, (char) number);
}

void
sh_search_put16(StringInfo to, uint16 value)
{
	appendStringInfoCharMacro(to, (char) (value & 255));
	appendStringInfoCharMacro(to, (char) (value >> 8));
}

void
sh_search_put32(StringInfo to, uint32 value)
{
#ifdef WORDS_BIGENDIAN
	value = pg_bswap32(value);
#endif
	appendBinaryStringInfo(to, (char *) &value, sizeof value);
}

void
sh_search_put64(StringInfo to, uint64 value)
{
#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	appendBinaryStringInfo(to, (char *) &value, sizeof value);
}

void
sh_search_post_write(StringInfo to, const struct sh_search_hit *hits, int count)
{
	for (int i = 0; i < count; i++)
	{
		uint32 shown = Min(hits[i].count, COUNT_FULL);

		appendStringInfoCharMacro(
			to, (char) (hits[i].field | (i + 1 < count ? MORE : 0) | shown << COUNT_SHIFT));
		if (shown == COUNT_FULL)
			sh_search_number_write(to, hits[i].count - COUNT_FULL);
		appendStringInfoCharMacro(to, (char) hits[i].code);
	}
}

const uint8 *
sh_search_post_read(const uint8 *at, struct sh_search_hit *hits, int *count)
{
	uint8 first;
	int n = 0;

	do
	{
		struct sh_search_hit *hit = &hits[n++];

		first = *at++;
		hit->field = first & (MORE - 1);
		hit->count = first >> COUNT_SHIFT;
		if (hit->count == COUNT_FULL)
			hit->count += sh_search_number(&at);
		hit->code = *at++;
	} while (first & MORE);
	*count = n;
	return at;
}

const uint8 *
sh_search_post_skip(const uint8 *at)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	int count;

	return sh_search_post_read(at, hits, &count);
}

bool
sh_search_post_has(const uint8 *post, uint8 fields)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	int count;

	sh_search_post_read(post, hits, &count);
	for (int i = 0; i < count; i++)
		if (fields & (1 << hits[i].field))
			return true;
	return false;
}
