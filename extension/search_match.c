/* Which documents a query finds: sets, put together as the query says. */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "search_eval.h"

/* --- facets --- */

static bool
is_one_of(const char *value, const char *const *values, int count)
{
	for (int i = 0; value && i < count; i++)
		if (pg_strcasecmp(value, values[i]) == 0)
			return true;
	return false;
}

uint64 *
sh_match_facet(struct eval *eval, struct eval_part *part, enum sh_search_facet facet,
			   const char *const *values, int count)
{
	uint64 *bits = sh_bits_new(part->docs, false);
	const uint16 *numbers;
	const char *const *texts;
	int text_count;
	bool *wanted;

	if (part->waiting)
	{
		for (uint32 i = 0; i < part->docs; i++)
			if (is_one_of(facet == SEARCH_FACET_KIND ? sh_kind_name(part->waiting[i].kind) :
													   part->waiting[i].facets[facet],
						  values,
						  count))
				bits_set(bits, i);
		return bits;
	}
	texts = sh_facet_texts(eval, part, facet, &text_count);
	wanted = palloc0(text_count * sizeof(*wanted));
	for (int i = 1; i < text_count; i++)
		wanted[i] = is_one_of(texts[i], values, count);
	numbers = sh_part_column(eval, part, facet);
	for (uint32 i = 0; i < part->docs; i++)
		if (numbers[i] < text_count && wanted[numbers[i]])
			bits_set(bits, i);
	return bits;
}

/* --- phrases --- */

/* Keep the beginnings that the next word of the phrase follows. */
static int
narrow(struct eval_place *starts, int count, const struct eval_place *next, int next_count,
	   int distance)
{
	int kept = 0;
	int at = 0;

	for (int i = 0; i < count; i++)
	{
		while (at < next_count && (next[at].field < starts[i].field ||
								   (next[at].field == starts[i].field &&
									next[at].position < starts[i].position + distance)))
			at++;
		if (at < next_count && next[at].field == starts[i].field &&
			next[at].position == starts[i].position + distance)
			starts[kept++] = starts[i];
	}
	return kept;
}

static bool
has_phrase(struct eval *eval, struct eval_part *part, const struct query_node *phrase, uint32 doc)
{
	uint8 fields = phrase->fields & (part->fields ? part->fields[doc] : QUERY_ANYWHERE);
	struct eval_place *starts = NULL;
	int count = 0;

	for (int i = 0; i < phrase->count; i++)
	{
		struct eval_place *here;
		int here_count = sh_places(eval, part, phrase->parts[i]->term, doc, fields, &here);

		if (i == 0)
		{
			starts = here;
			count = here_count;
			continue;
		}
		count = narrow(starts, count, here, here_count, phrase->parts[i]->distance);
		pfree(here);
		if (count == 0)
			break;
	}
	pfree(starts);
	return count > 0;
}

/* --- sets --- */

static uint64 *
phrase_bits(struct eval *eval, struct eval_part *part, const struct query_node *phrase)
{
	uint64 *bits = sh_bits_new(part->docs, true);

	for (int i = 0; i < phrase->count; i++)
		sh_bits_and(bits, sh_part_term_bits(eval, part, phrase->parts[i]->term), part->docs);
	/* Their postings are read again, in order. */
	sh_part_rewind(eval, part);
	for (uint32 doc = sh_bits_next(bits, part->docs, 0); doc != SEARCH_END;
		 doc = sh_bits_next(bits, part->docs, doc + 1))
	{
		CHECK_FOR_INTERRUPTS();
		if (!has_phrase(eval, part, phrase, doc))
			bits_clear(bits, doc);
	}
	return bits;
}

static uint64 *
all_bits(struct eval *eval, struct eval_part *part, const struct query_node *node)
{
	uint64 *bits = sh_bits_new(part->docs, true);

	for (int i = 0; i < node->count; i++)
	{
		uint64 *other = sh_match_bits(eval, part, node->parts[i]);

		sh_bits_and(bits, other, part->docs);
		pfree(other);
	}
	return bits;
}

/* Words that only find: they are none of the query's terms. */
static void
add_rest(struct eval *eval, struct eval_part *part, const struct query_node *node, uint64 *bits)
{
	for (int i = 0; i < node->rest_count; i++)
	{
		struct query_term term = { .term = node->rest[i], .fields = node->fields };

		CHECK_FOR_INTERRUPTS();
		sh_part_add_term(eval, part, &term, bits);
	}
}

static uint64 *
any_bits(struct eval *eval, struct eval_part *part, const struct query_node *node)
{
	uint64 *bits = sh_bits_new(part->docs, false);

	for (int i = 0; i < node->count; i++)
	{
		uint64 *other = sh_match_bits(eval, part, node->parts[i]);

		sh_bits_or(bits, other, part->docs);
		pfree(other);
	}
	add_rest(eval, part, node, bits);
	return bits;
}

uint64 *
sh_match_bits(struct eval *eval, struct eval_part *part, const struct query_node *node)
{
	uint64 *bits;

	switch (node->kind)
	{
		case QUERY_WORD:
			bits = sh_bits_new(part->docs, false);
			sh_bits_or(bits, sh_part_term_bits(eval, part, node->term), part->docs);
			return bits;
		case QUERY_PHRASE:
			return phrase_bits(eval, part, node);
		case QUERY_ALL:
			return all_bits(eval, part, node);
		case QUERY_ANY:
			return any_bits(eval, part, node);
		case QUERY_NOT:
			bits = sh_match_bits(eval, part, node->parts[0]);
			sh_bits_not(bits, part->docs);
			return bits;
		case QUERY_FACET:
			return sh_match_facet(eval, part, node->facet, &node->value, 1);
		default:
			return sh_bits_new(part->docs, false);
	}
}
