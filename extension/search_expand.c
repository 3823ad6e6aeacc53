/*
 * Words that were not typed as they stand in the index: beginnings, and misspellings. Both go over
 * the words of each segment, which are few beside its documents.
 */
#include "postgres.h"

#include <math.h>

#include "executor/tuptable.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search_eval.h"

/* Words that a prefix stands for, the most frequent; so many of them count for the rank. */
#define PREFIX_WORDS 1000
#define PREFIX_TERMS 32
/* Spellings that are tried for a word, and words of a query for which that is done. */
#define SPELLINGS 8
#define SPELLED_WORDS 8
/* A word is rare when a similar one is so many times as frequent. */
#define RARE_TIMES 10
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
	bool ascii;
	uint64 letters;						/* of the word, as bits */
	pg_wchar wide[SEARCH_WORD_MAX + 1]; /* the word in letters */
	int wide_len;
	int most; /* distance; -1: words that begin with it */
	HTAB *found;
};

/* --- how far two words are apart --- */

static bool
is_ascii(const char *word, int len)
{
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(word[i]))
			return false;
	return true;
}

/* --- looking --- */

static int
distance_to(const struct look *look, const char *word, int len)
{
	pg_wchar wide[SEARCH_WORD_MAX + 1];
	uint64 other;
	int distance;

	if (look->most < 0)
		return len >= look->len && memcmp(word, look->word, look->len) == 0 ? 0 : -1;
	if (look->ascii)
	{
		if (abs(len - look->len) > look->most)
			return -1;
		other = sh_search_letters(word, len);
		/* Each change touches one letter on either side. */
		if (pg_popcount64(other & ~look->letters) > look->most ||
			pg_popcount64(look->letters & ~other) > look->most)
			return -1;
	}
	else if (abs(len - look->len) > look->most * MAX_MULTIBYTE_CHAR_LEN)
		return -1;
	distance = sh_search_distance(
		look->wide, look->wide_len, wide, pg_mb2wchar_with_len(word, wide, len), look->most, false);
	return distance <= look->most ? distance : -1;
}

static void
consider(struct look *look, const char *word, int len, int distance, uint64 term, uint32 docs)
{
	struct candidate *candidate;
	bool found;

	candidate = hash_search(look->found, &term, HASH_ENTER, &found);
	if (!found)
		candidate->docs = 0;
	if (!found || distance < candidate->distance)
	{
		candidate->distance = distance;
		memcpy(candidate->word, word, len);
		candidate->word[len] = '\0';
	}
	candidate->docs += docs;
}

static void
look_at_row(void *arg, struct sh_search_words *words)
{
	struct look *look = arg;

	while (sh_search_words_next(words))
	{
		int distance = distance_to(look, words->word, words->len);

		if (distance >= 0)
			consider(
				look, words->word, words->len, distance, sh_search_words_term(words), words->docs);
	}
}

static void
look_at_all(struct eval *eval, const struct sh_search_segment *segment, struct look *look)
{
	TupleTableSlot *row = sh_search_row(eval->index, SEARCH_TABLE_WORD, segment->id, 0, NULL);

	for (; row; row = sh_search_next(eval->index, SEARCH_TABLE_WORD))
	{
		bool isnull;
		bytea *body = DatumGetByteaPP(slot_getattr(row, SEARCH_WORD_BODY, &isnull));
		struct sh_search_words words;

		CHECK_FOR_INTERRUPTS();
		sh_search_words_open(&words, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
		look_at_row(look, &words);
	}
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

/* All words that fit, of those that begin with so many bytes as it does; the likeliest first. */
static int
look_for(struct eval *eval, const char *word, int most, int prefix, struct candidate ***out)
{
	int len = strlen(word);
	struct look look = { .word = word,
						 .len = len,
						 .ascii = is_ascii(word, len),
						 .letters = sh_search_letters(word, len),
						 .most = most };
	HASH_SEQ_STATUS scan;
	struct candidate *candidate;
	struct candidate **all;
	int count = 0;

	look.wide_len = pg_mb2wchar_with_len(word, look.wide, len);
	look.found = sh_table(
		"saleshub words found", sizeof(uint64), sizeof(struct candidate), 64, CurrentMemoryContext);
	for (int i = 0; i < eval->part_count; i++)
	{
		if (eval->parts[i].waiting)
			look_at_waiting(&eval->parts[i], &look);
		else if (prefix > 0)
			sh_search_words_read(
				&eval->org, eval->parts[i].segment, word, prefix, look_at_row, &look);
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
	count = look_for(eval, node->value, -1, strlen(node->value), &found);
	count = Min(count, PREFIX_WORDS);
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

/*
 * Similar words, the likeliest first. Where a word is known, others that begin with the same letter
 * will do: few misspell that.
 */
static int
look_for_spellings(struct eval *eval, const char *word, int which, struct candidate ***out)
{
	return look_for(
		eval, word, tolerance(pg_mbstrlen(word)), which == SPELLING_RARE ? pg_mblen(word) : 0, out);
}

struct one_word
{
	int count;
	struct sh_search_word word;
};

static void
take_one(void *arg, const struct sh_search_word *word)
{
	struct one_word *one = arg;

	one->count++;
	one->word = *word;
}

/* A part of a word as a word that documents have; NULL when none has. */
static struct query_node *
known_part(struct eval *eval, const char *text, int len, uint8 fields)
{
	struct one_word one = { 0 };
	struct query_node *node;
	int terms = eval->query->term_count;

	if (len < 2 || pg_mbstrlen_with_len(text, len) < 2 || terms >= QUERY_TERMS_MAX - 1)
		return NULL;
	sh_search_words(text, len, eval->query->dictionary, 1, take_one, &one);
	if (one.count != 1)
		return NULL;
	node = sh_query_node(QUERY_WORD, fields);
	node->term = sh_query_term(eval->query, one.word.term, one.word.text, fields, OFF_BOOST);
	if (sh_part_docs(eval, node->term) > 0)
		return node;
	/* A term that was new leaves no trace: its bits in the parts would be taken for another's. */
	if (node->term >= terms)
		sh_part_forget_term(eval, node->term);
	return NULL;
}

/* Two words that were typed as one, whether the blank was left out or is another letter. */
static struct query_node *
halves(struct eval *eval, const char *word, uint8 fields)
{
	int len = strlen(word);
	int terms = eval->query->term_count;
	int best_at = 0;
	int best_from = 0;
	int64 best_docs = 0;
	struct query_node *two;

	for (int at = pg_mblen(word); at < len - 1; at += pg_mblen(word + at))
		for (int skip = 0; skip <= 1; skip++)
		{
			int from = at + (skip ? pg_mblen(word + at) : 0);
			struct query_node *left = known_part(eval, word, at, fields);
			struct query_node *right =
				left ? known_part(eval, word + from, len - from, fields) : NULL;
			int64 docs =
				right ? Min(sh_part_docs(eval, left->term), sh_part_docs(eval, right->term)) : 0;

			if (docs > best_docs)
			{
				best_docs = docs;
				best_at = at;
				best_from = from;
			}
			while (eval->query->term_count > terms)
				sh_part_forget_term(eval, eval->query->term_count - 1);
		}
	if (best_docs == 0)
		return NULL;
	two = sh_query_node(QUERY_ALL, fields);
	two->value = psprintf("%.*s %s", best_at, word, word + best_from);
	sh_query_add(two, known_part(eval, word, best_at, fields));
	sh_query_add(two, known_part(eval, word + best_from, len - best_from, fields));
	return two;
}

/* Whether a similar word may be meant, that is in so many documents. */
static bool
may_be_meant(const struct candidate *candidate, const struct candidate *first, int64 docs,
			 int64 typed_docs, int which)
{
	/* Spellings that only hidden documents have are none. */
	if (docs == 0)
		return false;
	if (which == SPELLING_RARE)
		return docs >= RARE_TIMES * Max(typed_docs, 1);
	return which == SPELLING_ALL || candidate->distance == first->distance;
}

/* Put one beside what was typed. */
static void
add_spelling(struct query_node *node, struct query_node *other, const char *text)
{
	if (!node->corrected)
	{
		struct query_node *typed = sh_query_node(QUERY_WORD, node->fields);

		typed->term = node->term;
		node->corrected = text;
		node->kind = QUERY_ANY;
		sh_query_add(node, typed);
	}
	sh_query_add(node, other);
}

static bool
spell(struct eval *eval, struct query_node *node, int which)
{
	struct candidate **found;
	const struct candidate *first = NULL;
	struct query_node *two;
	int64 typed_docs = sh_part_docs(eval, node->term);
	char word[SEARCH_WORD_MAX + 1];
	int count;

	strlcpy(word, eval->query->terms[node->term].word, sizeof word);
	if (is_number(word) || tolerance(pg_mbstrlen(word)) == 0 ||
		(which == SPELLING_UNKNOWN && typed_docs > 0) || ++eval->spelled > SPELLED_WORDS)
		return false;
	count = look_for_spellings(eval, word, which, &found);
	for (int i = 0; i < count && node->count <= SPELLINGS; i++)
	{
		int terms = eval->query->term_count;
		struct query_node *other;

		if (found[i]->distance == 0 || terms == QUERY_TERMS_MAX)
			continue;
		other = word_node(eval, found[i], node->fields, pow(OFF_BOOST, found[i]->distance));
		if (!may_be_meant(found[i],
						  first ? first : found[i],
						  sh_part_docs(eval, other->term),
						  typed_docs,
						  which))
		{
			if (other->term >= terms)
				sh_part_forget_term(eval, other->term);
			continue;
		}
		first = first ? first : found[i];
		add_spelling(node, other, pstrdup(found[i]->word));
	}
	two = typed_docs == 0 ? halves(eval, word, node->fields) : NULL;
	if (two)
		add_spelling(node, two, two->value);
	return node->corrected != NULL;
}

bool
sh_expand_typos(struct eval *eval, struct query_node *node, int which)
{
	bool changed = false;

	for (int i = 0; i < node->count; i++)
		changed |= sh_expand_typos(eval, node->parts[i], which);
	if (node->kind == QUERY_WORD && node->plain && !node->stop)
		changed |= spell(eval, node, which);
	return changed;
}
