/*
 * Words that were not typed as they stand in the index: beginnings, and misspellings. Both go over
 * the words of each segment, which are few beside its documents.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search_eval.h"

/* Words of a prefix, and spellings of a word, that count for the rank. */
#define PREFIX_TERMS 32
#define SPELLINGS 4
/* The score of a spelling for each letter that is off. */
#define OFF_BOOST 0.6

struct candidate
{
	uint64 term; /* key */
	char word[SEARCH_WORD_MAX + 1];
	int64 docs;
	int distance;
};

/* A look over the words of the index. */
struct look
{
	const char *word;
	int len;
	uint64 letters; /* of the word, as bits */
	int most;		/* distance; -1: words that begin with it */
	HTAB *found;
};

/* --- how far two words are apart --- */

static uint64
letters_of(const char *word, int len)
{
	uint64 letters = 0;

	for (int i = 0; i < len; i++)
		letters |= UINT64CONST(1) << ((uint8) word[i] % 64);
	return letters;
}

/*
 * Letters to be changed, left out, put in or exchanged with their neighbour (optimal string
 * alignment, Boytsov: "Indexing methods for approximate dictionary searching", 2011); more than
 * most is given as most + 1.
 */
static int
distance_of(const char *a, int alen, const char *b, int blen, int most)
{
	int rows[3][SEARCH_WORD_MAX + 1];
	int *older = rows[0], *old = rows[1], *row = rows[2];

	if (abs(alen - blen) > most)
		return most + 1;
	for (int j = 0; j <= blen; j++)
		old[j] = j;
	for (int i = 1; i <= alen; i++)
	{
		int least = row[0] = i;
		int *spare = older;

		for (int j = 1; j <= blen; j++)
		{
			int cost = a[i - 1] == b[j - 1] ? 0 : 1;

			row[j] = Min(Min(old[j] + 1, row[j - 1] + 1), old[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = Min(row[j], older[j - 2] + 1);
			least = Min(least, row[j]);
		}
		if (least > most)
			return most + 1;
		older = old;
		old = row;
		row = spare;
	}
	return old[blen];
}

/* --- looking --- */

static int
distance_to(const struct look *look, const char *word, int len)
{
	uint64 other;

	if (look->most < 0)
		return len >= look->len && memcmp(word, look->word, look->len) == 0 ? 0 : -1;
	if (abs(len - look->len) > look->most)
		return -1;
	other = letters_of(word, len);
	/* Each change touches one letter on either side. */
	if (pg_popcount64(other & ~look->letters) > look->most ||
		pg_popcount64(look->letters & ~other) > look->most)
		return -1;
	other = distance_of(look->word, look->len, word, len, look->most);
	return (int) other <= look->most ? (int) other : -1;
}

static void
consider(struct look *look, const char *word, int len, int distance, uint64 term, uint32 docs)
{
	struct candidate *candidate;
	bool found;

	candidate = hash_search(look->found, &term, HASH_ENTER, &found);
	if (!found)
	{
		candidate->docs = 0;
		candidate->distance = distance;
		memcpy(candidate->word, word, len);
		candidate->word[len] = '\0';
	}
	else if (distance < candidate->distance)
	{
		candidate->distance = distance;
		memcpy(candidate->word, word, len);
		candidate->word[len] = '\0';
	}
	candidate->docs += docs;
}

static void
look_at_row(struct look *look, bytea *body)
{
	struct sh_search_words words;

	sh_search_words_open(&words, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	while (sh_search_words_next(&words))
	{
		int distance = distance_to(look, words.word, words.len);

		if (distance >= 0)
			consider(
				look, words.word, words.len, distance, sh_search_words_term(&words), words.docs);
	}
}

static void
look_at_all(struct eval *eval, const struct sh_search_segment *segment, struct look *look)
{
	TupleTableSlot *row = sh_search_row(eval->index, SEARCH_TABLE_WORD, segment->id, 0, NULL);

	for (; row; row = sh_search_next(eval->index, SEARCH_TABLE_WORD))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		look_at_row(look, DatumGetByteaPP(slot_getattr(row, SEARCH_WORD_BODY, &isnull)));
	}
}

/* Rows are found by their first word: those from the last not behind the prefix on. */
static void
look_at_prefix(struct eval *eval, const struct sh_search_segment *segment, struct look *look)
{
	static const Oid types[] = { UUIDOID, INT8OID, TEXTOID };
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(
			sh_plan("SELECT w.body FROM saleshub.search_word w"
					" WHERE w.org_id = $1 AND w.segment_id = $2 AND w.first_word >= coalesce(("
					"SELECT max(f.first_word) FROM saleshub.search_word f WHERE f.org_id = $1"
					" AND f.segment_id = $2 AND f.first_word <= $3), '')"
					" AND (w.first_word <= $3 OR starts_with(w.first_word, $3))",
					3,
					types),
			(Datum[]){ UUIDPGetDatum(&eval->org),
					   Int64GetDatum(segment->id),
					   PointerGetDatum(cstring_to_text_with_len(look->word, look->len)) },
			NULL,
			true,
			0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the words of the search index");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		look_at_row(look,
					DatumGetByteaPP(
						SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	SPI_finish();
	sh_owner_leave(&identity);
}

static void
look_at_waiting(const struct eval_part *part, struct look *look)
{
	for (uint32 doc = 0; doc < part->docs; doc++)
	{
		const uint8 *at = part->waiting[doc].packed.words;
		const char *word;
		uint64 term;
		int len;

		while ((len = sh_search_packed_word(&part->waiting[doc].packed, &at, &word, &term)) >= 0)
		{
			int distance = distance_to(look, word, len);

			if (distance >= 0)
				consider(look, word, len, distance, term, 1);
		}
	}
}

static int
compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = *(struct candidate *const *) a;
	const struct candidate *y = *(struct candidate *const *) b;

	if (x->distance != y->distance)
		return x->distance - y->distance;
	if (x->docs != y->docs)
		return x->docs > y->docs ? -1 : 1;
	return strcmp(x->word, y->word);
}

/* All words that fit, the likeliest first. */
static int
look_for(struct eval *eval, const char *word, int most, struct candidate ***out)
{
	struct look look = { word, strlen(word), letters_of(word, strlen(word)), most, NULL };
	HASH_SEQ_STATUS scan;
	struct candidate *candidate;
	struct candidate **all;
	int count = 0;

	look.found = sh_table(
		"saleshub words found", sizeof(uint64), sizeof(struct candidate), 64, CurrentMemoryContext);
	for (int i = 0; i < eval->part_count; i++)
	{
		if (eval->parts[i].waiting)
			look_at_waiting(&eval->parts[i], &look);
		else if (most < 0)
			look_at_prefix(eval, eval->parts[i].segment, &look);
		else
			look_at_all(eval, eval->parts[i].segment, &look);
	}
	all = palloc(Max(hash_get_num_entries(look.found), 1) * sizeof(*all));
	hash_seq_init(&scan, look.found);
	while ((candidate = hash_seq_search(&scan)) != NULL)
		all[count++] = candidate;
	qsort(all, count, sizeof(*all), compare_candidates);
	*out = all;
	return count;
}

/* --- putting in --- */

static struct query_node *
word_node(struct eval *eval, const struct candidate *candidate, uint8 fields, double boost)
{
	struct query_node *node = sh_query_node(QUERY_WORD, fields);

	node->term = sh_query_term(eval->query, candidate->term, candidate->word, fields, boost);
	return node;
}

void
sh_expand_prefixes(struct eval *eval, struct query_node *node)
{
	struct candidate **found;
	int count;

	for (int i = 0; i < node->count; i++)
		sh_expand_prefixes(eval, node->parts[i]);
	if (node->kind != QUERY_PREFIX)
		return;
	count = look_for(eval, node->value, -1, &found);
	node->kind = QUERY_ANY;
	for (int i = 0; i < Min(count, PREFIX_TERMS); i++)
		sh_query_add(node, word_node(eval, found[i], node->fields, 1));
	node->rest_count = Max(count - PREFIX_TERMS, 0);
	node->rest = palloc(Max(node->rest_count, 1) * sizeof(*node->rest));
	for (int i = 0; i < node->rest_count; i++)
		node->rest[i] = found[PREFIX_TERMS + i]->term;
}

/* Letters that may be off in a word of this length. */
static int
tolerance(int len)
{
	return len < 3 ? 0 : len < 8 ? 1 : 2;
}

static bool
is_number(const char *word)
{
	return strspn(word, "0123456789") == strlen(word);
}

static int64
docs_of(struct eval *eval, int term)
{
	int64 docs = 0;

	for (int i = 0; i < eval->part_count; i++)
		docs += sh_part_term_count(eval, &eval->parts[i], term);
	return docs;
}

bool
sh_expand_typos(struct eval *eval, struct query_node *node, bool all)
{
	struct query_term *term;
	struct candidate **found;
	struct query_node *typed;
	bool changed = false;
	int count;
	int taken = 0;

	for (int i = 0; i < node->count; i++)
		changed |= sh_expand_typos(eval, node->parts[i], all);
	if (node->kind != QUERY_WORD || !node->plain || node->stop)
		return changed;
	term = &eval->query->terms[node->term];
	if (is_number(term->word) || tolerance(strlen(term->word)) == 0 ||
		(!all && docs_of(eval, node->term) > 0))
		return changed;
	count = look_for(eval, term->word, tolerance(strlen(term->word)), &found);
	typed = sh_query_node(QUERY_WORD, node->fields);
	typed->term = node->term;
	for (int i = 0; i < count && taken < SPELLINGS; i++)
	{
		struct query_node *other;

		if (found[i]->distance == 0 ||
			(taken > 0 && found[i]->distance > found[0]->distance && !all))
			continue;
		other = word_node(eval, found[i], node->fields, pow(OFF_BOOST, found[i]->distance));
		/* Spellings that only hidden documents have are none. */
		if (docs_of(eval, other->term) == 0)
			continue;
		if (taken++ == 0)
		{
			node->corrected = pstrdup(found[i]->word);
			node->kind = QUERY_ANY;
			sh_query_add(node, typed);
		}
		sh_query_add(node, other);
	}
	return changed || taken > 0;
}
