/* Facets: their names, and how many of what was found have each value. */
#include "postgres.h"

#include "saleshub.h"
#include "search_eval.h"

static const char *const names[SEARCH_FACETS] = {
	[SEARCH_FACET_KIND] = "type",		[SEARCH_FACET_OWNER] = "owner",
	[SEARCH_FACET_STATUS] = "status",	[SEARCH_FACET_SOURCE] = "source",
	[SEARCH_FACET_COUNTRY] = "country", [SEARCH_FACET_INDUSTRY] = "industry",
	[SEARCH_FACET_STAGE] = "stage",		[SEARCH_FACET_TYPE] = "activity"
};

static const char *const kinds[SEARCH_KINDS + 1] = { NULL,		"lead", "contact",
													 "company", "deal", "activity" };

const char *
sh_facet_name(enum sh_search_facet facet)
{
	return names[facet];
}

enum sh_search_facet
sh_facet_of(const char *name, int len)
{
	for (int i = 0; i < SEARCH_FACETS; i++)
		if (names[i] && (int) strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			return i;
	return SEARCH_FACETS;
}

const char *
sh_kind_name(int kind)
{
	return kind > 0 && kind <= SEARCH_KINDS ? kinds[kind] : NULL;
}

int
sh_kind_of(const char *name)
{
	for (int kind = 1; name && kind <= SEARCH_KINDS; kind++)
		if (strcmp(name, kinds[kind]) == 0)
			return kind;
	return 0;
}

const char *const *
sh_facet_texts(struct eval *eval, struct eval_part *part, enum sh_search_facet facet, int *count)
{
	if (facet >= SEARCH_FACET_TEXTS)
		return (const char *const *) sh_search_values(eval->index, part->segment, facet, count);
	*count = lengthof(kinds);
	return kinds;
}

/* --- counting --- */

struct total
{
	char value[256];
	int64 count;
};

static void
add(HTAB *totals, const char *value, int64 count)
{
	char key[256] = { 0 };
	struct total *total;
	bool found;

	if (!value || count == 0)
		return;
	strlcpy(key, value, sizeof key);
	total = hash_search(totals, key, HASH_ENTER, &found);
	total->count = (found ? total->count : 0) + count;
}

static void
count_segment(struct eval *eval, struct eval_part *part, const uint64 *found,
			  enum sh_search_facet facet, HTAB *totals)
{
	const uint16 *numbers = sh_part_column(eval, part, facet);
	int64 *counts = palloc0((PG_UINT16_MAX + 1) * sizeof(*counts));
	const char *const *texts;
	int text_count;

	for (uint32 doc = sh_bits_next(found, part->docs, 0); doc != SEARCH_END;
		 doc = sh_bits_next(found, part->docs, doc + 1))
		counts[numbers[doc]]++;
	texts = sh_facet_texts(eval, part, facet, &text_count);
	for (int i = 1; i < text_count; i++)
		add(totals, texts[i], counts[i]);
	pfree(counts);
}

static int
compare_counts(const void *a, const void *b)
{
	const struct facet_count *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return strcmp(x->value, y->value);
}

int
sh_facet_counts(struct eval *eval, uint64 *const *found, enum sh_search_facet facet,
				struct facet_count **out)
{
	HTAB *totals =
		sh_table("saleshub facet counts", 256, sizeof(struct total), 64, CurrentMemoryContext);
	HASH_SEQ_STATUS scan;
	struct total *total;
	int count = 0;

	for (int i = 0; i < eval->part_count; i++)
	{
		struct eval_part *part = &eval->parts[i];

		if (part->segment)
		{
			count_segment(eval, part, found[i], facet, totals);
			continue;
		}
		for (uint32 doc = sh_bits_next(found[i], part->docs, 0); doc != SEARCH_END;
			 doc = sh_bits_next(found[i], part->docs, doc + 1))
			add(totals,
				facet == SEARCH_FACET_KIND ? kinds[part->waiting[doc].kind] :
											 part->waiting[doc].facets[facet],
				1);
	}
	*out = palloc(Max(hash_get_num_entries(totals), 1) * sizeof(**out));
	hash_seq_init(&scan, totals);
	while ((total = hash_seq_search(&scan)) != NULL)
		(*out)[count++] = (struct facet_count){ total->value, total->count };
	qsort(*out, count, sizeof(**out), compare_counts);
	return count;
}
