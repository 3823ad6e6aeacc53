/* Sets of documents as bits. */
#include "postgres.h"

#include "utils/memutils.h"

#include "search_eval.h"

uint64 *
sh_bits_new(uint32 docs, bool full)
{
	uint64 *bits = MemoryContextAllocExtended(CurrentMemoryContext,
											  Max(bits_words(docs), 1) * sizeof(*bits),
											  MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);

	if (full)
		sh_bits_not(bits, docs);
	return bits;
}

void
sh_bits_and(uint64 *to, const uint64 *other, uint32 docs)
{
	for (Size i = 0; i < bits_words(docs); i++)
		to[i] &= other[i];
}

void
sh_bits_or(uint64 *to, const uint64 *other, uint32 docs)
{
	for (Size i = 0; i < bits_words(docs); i++)
		to[i] |= other[i];
}

void
sh_bits_not(uint64 *to, uint32 docs)
{
	for (Size i = 0; i < bits_words(docs); i++)
		to[i] = ~to[i];
	if (docs % 64 != 0)
		to[docs / 64] &= (UINT64CONST(1) << (docs % 64)) - 1;
}

uint64
sh_bits_count(const uint64 *bits, uint32 docs)
{
	uint64 count = 0;

	for (Size i = 0; i < bits_words(docs); i++)
		count += pg_popcount64(bits[i]);
	return count;
}

uint32
sh_bits_next(const uint64 *bits, uint32 docs, uint32 from)
{
	Size word = from / 64;
	uint64 here;

	if (from >= docs)
		return SEARCH_END;
	here = bits[word] >> (from % 64) << (from % 64);
	while (here == 0)
	{
		if (++word >= bits_words(docs))
			return SEARCH_END;
		here = bits[word];
	}
	return (uint32) (word * 64 + pg_rightmost_one_pos64(here));
}
