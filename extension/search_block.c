/*
 * The numbers of a block's documents: differences, each in as many bits as the largest needs, as
 * Lucene's ForUtil and its model, FOR (Zukowski et al., "Super-Scalar RAM-CPU Cache Compression",
 * ICDE 2006), keep them. Any can be read without those before it, which lets the loop overlap.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "search.h"

void
sh_search_docs_write(StringInfo to, const uint32 *docs, int count, uint32 above)
{
	uint32 all = 0;
	uint64 pending = 0;
	int pending_bits = 0;
	int bits;

	for (int i = 0; i < count; i++)
		all |= docs[i] - (i > 0 ? docs[i - 1] : above) - 1;
	bits = all == 0 ? 0 : pg_leftmost_one_pos32(all) + 1;
	appendStringInfoCharMacro(to, (char) bits);
	for (int i = 0; i < count; i++)
	{
		pending |= (uint64) (docs[i] - (i > 0 ? docs[i - 1] : above) - 1) << pending_bits;
		for (pending_bits += bits; pending_bits >= 8; pending_bits -= 8)
		{
			appendStringInfoCharMacro(to, (char) (pending & 255));
			pending >>= 8;
		}
	}
	if (pending_bits > 0)
		appendStringInfoCharMacro(to, (char) (pending & 255));
}

const uint8 *
sh_search_docs_read(const uint8 *at, uint32 *docs, int count, uint32 above)
{
	uint32 bits = *at++;
	uint64 mask = (UINT64CONST(1) << bits) - 1;
	uint32 doc = above;

	for (int i = 0; i < count; i++)
	{
		uint32 bit = i * bits;

		docs[i] = (uint32) ((sh_search_get64(at + bit / 8) >> (bit % 8)) & mask);
	}
	for (int i = 0; i < count; i++)
		docs[i] = doc += docs[i] + 1;
	return at + (count * bits + 7) / 8;
}

void
sh_search_bound_widen(struct sh_search_bound *bound, const struct sh_search_hit *hit)
{
	uint8 *count = &bound->count[hit->field];
	uint8 *code = &bound->code[hit->field];

	*code = *count == 0 ? hit->code : Min(*code, hit->code);
	*count = (uint8) Max(*count, Min(hit->count, 255));
}
