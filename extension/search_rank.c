/*
 * The best documents of a part. Blocks whose bound is too low are passed over without being read:
 * block-max WAND for any of several words (Ding, Suel: "Faster Top-k Document Retrieval Using
 * Block-Max Indexes", SIGIR 2011), the same bounds for all of several, and blocks by descending
 * bound for one. Exact: what is passed over could not have been among the best.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "search_eval.h"

/* Sums are rounded; bounds must not be below what they bound. */
#define ROUNDING (1 + 1e-9)
/* Matches up to so many are looked at one by one. */
#define FEW 4096

struct cursor
{
	int term;
	struct sh_search_list *list;
	double *bounds; /* of blocks */
	double most;	/* of all of them */
	uint32 block;	/* that may hold the document looked for */
	uint32 doc;
};

struct block_order
{
	uint32 block;
	double bound;
};

/* --- the best so far --- */

static bool
is_worse(const struct eval_hit *a, const struct eval_hit *b)
{
	return a->score < b->score || (a->score == b->score && a->key > b->key);
}

void
sh_rank_push(struct eval *eval, struct eval_part *part, uint32 doc, double score)
{
	struct eval_hit hit = { score, part->first_key + doc, doc, part };
	struct eval_hit *heap = eval->hits;
	int at;

	if (eval->has_after && !is_worse(&hit, &eval->after))
		return;
	if (eval->hit_count < eval->limit)
	{
		at = eval->hit_count++;
		for (; at > 0 && is_worse(&hit, &heap[(at - 1) / 2]); at = (at - 1) / 2)
			heap[at] = heap[(at - 1) / 2];
		heap[at] = hit;
		return;
	}
	if (eval->limit == 0 || !is_worse(&heap[0], &hit))
		return;
	for (at = 0;;)
	{
		int child = 2 * at + 1;

		if (child >= eval->hit_count)
			break;
		if (child + 1 < eval->hit_count && is_worse(&heap[child + 1], &heap[child]))
			child++;
		if (!is_worse(&heap[child], &hit))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = hit;
}

static int
compare_hits(const void *a, const void *b)
{
	return is_worse(a, b) ? 1 : -1;
}

void
sh_rank_sort(struct eval *eval)
{
	qsort(eval->hits, eval->hit_count, sizeof(*eval->hits), compare_hits);
}

/*
 * A document needs more than this by its words. Keys ascend within a part and from part to part, so
 * that among equals those that come later lose.
 */
static double
threshold(const struct eval *eval)
{
	if (eval->hit_count < eval->limit)
		return -1;
	/* Boosted documents come out of order: then equals are to be looked at, too. */
	return (eval->limit > 0 ? eval->hits[0].score : INFINITY) - sh_search_score_fresh_most(eval) -
		   (eval->boosted ? 1e-9 : 0);
}

/* --- one document --- */

double
sh_rank_document(struct eval *eval, struct eval_part *part, uint32 doc, double *terms)
{
	uint8 fields = part->fields ? part->fields[doc] : QUERY_ANYWHERE;
	double score = 0;

	for (int i = 0; i < eval->query->term_count; i++)
	{
		const struct query_term *term = &eval->query->terms[i];
		const uint8 *post;
		double part_score;

		if (terms)
			terms[i] = 0;
		if (term->boost == 0)
			continue;
		post = sh_part_post(eval, part, i, doc);
		if (!post)
			continue;
		part_score = sh_search_score_post(eval, term, fields, post);
		if (terms)
			terms[i] = part_score;
		score += part_score;
	}
	return score;
}

double
sh_rank_score(struct eval *eval, struct eval_part *part, uint32 doc, double words,
			  const double *terms)
{
	if (eval->pair_count > 0)
		words += sh_near_score(eval, part, doc, terms, NULL);
	return words + sh_search_score_fresh(eval, part, doc) + sh_boost_of(part, doc);
}

void
sh_rank_terms(struct eval *eval, const struct eval_hit *hit, double *terms)
{
	sh_part_rewind(eval, hit->part);
	(void) sh_rank_document(eval, hit->part, hit->doc, terms);
}

/* Whether a query that is simple finds a document with these scores by term. */
static bool
finds(const struct eval *eval, const double *terms)
{
	int with = 0;

	for (int i = 0; i < eval->query->term_count; i++)
		with += terms[i] > 0;
	return eval->query->root->kind == QUERY_ALL ? with == eval->query->term_count : with > 0;
}

/* Documents that get something because of who asks come first and are left out afterwards. */
static void
rank_boosted(struct eval *eval, struct eval_part *part, const uint64 *found)
{
	double terms[QUERY_TERMS_MAX];

	sh_part_rewind(eval, part);
	for (int i = 0; i < part->boost_count; i++)
	{
		uint32 doc = part->boosts[i].doc;
		const uint64 *filter = found ? found : part->allowed;
		double words;

		if (filter && !bits_has(filter, doc))
			continue;
		words = sh_rank_document(eval, part, doc, terms);
		if (found || finds(eval, terms))
			sh_rank_push(eval, part, doc, sh_rank_score(eval, part, doc, words, terms));
	}
}

/* A document that was come by, with what its words have. */
static void
consider(struct eval *eval, struct eval_part *part, uint32 doc, double words, const double *terms)
{
	if (part->boosted && bits_has(part->boosted, doc))
		return;
	if (eval->pair_count > 0 && words + sh_near_most(eval, terms) * ROUNDING < threshold(eval))
		return;
	sh_rank_push(eval, part, doc, sh_rank_score(eval, part, doc, words, terms));
}

static void
rank_few(struct eval *eval, struct eval_part *part, const uint64 *found)
{
	double terms[QUERY_TERMS_MAX];

	sh_part_rewind(eval, part);
	for (uint32 doc = sh_bits_next(found, part->docs, 0); doc != SEARCH_END;
		 doc = sh_bits_next(found, part->docs, doc + 1))
	{
		double words = sh_rank_document(eval, part, doc, terms);

		sh_rank_push(eval, part, doc, sh_rank_score(eval, part, doc, words, terms));
	}
}

/* --- cursors --- */

static int
open_cursors(struct eval *eval, struct eval_part *part, struct cursor *cursors)
{
	int count = 0;

	for (int i = 0; i < eval->query->term_count; i++)
	{
		struct sh_search_list *list;
		struct cursor *c = &cursors[count];

		if (eval->query->terms[i].boost == 0)
			continue;
		list = sh_part_list(eval, part, i);
		if (!list)
			continue;
		sh_search_list_rewind(list);
		c->term = i;
		c->list = list;
		c->bounds = palloc_extended(list->blocks * sizeof(*c->bounds), MCXT_ALLOC_HUGE);
		c->most = 0;
		c->block = 0;
		c->doc = 0;
		for (uint32 block = 0; block < list->blocks; block++)
		{
			struct sh_search_bound bound;

			sh_search_list_bound(list, block, &bound);
			/* A pair needs both its words: each bears half of what it may add. */
			c->bounds[block] = (sh_search_score_bound(eval, &eval->query->terms[i], &bound) +
								eval->query->terms[i].near) *
							   ROUNDING;
			c->most = Max(c->most, c->bounds[block]);
		}
		count++;
	}
	return count;
}

static void
close_cursors(struct cursor *cursors, int count)
{
	for (int i = 0; i < count; i++)
		pfree(cursors[i].bounds);
}

static inline void
seek(struct cursor *c, uint32 doc)
{
	if (c->doc < doc || c->list->block < 0)
		c->doc = sh_search_list_seek(c->list, doc);
}

/* Move to the block that may hold a document, without reading it. */
static inline bool
approach(struct cursor *c, uint32 doc)
{
	c->block = sh_search_list_block(c->list, c->block, doc);
	return c->block < c->list->blocks;
}

static inline double
score_here(struct eval *eval, struct eval_part *part, struct cursor *c)
{
	uint8 fields = part->fields ? part->fields[c->doc] : QUERY_ANYWHERE;

	return sh_search_score_post(
		eval, &eval->query->terms[c->term], fields, sh_search_list_post(c->list));
}

/*
 * Terms are added up in the order of the query, whatever the order of cursors, so that a document
 * has one score.
 */
static void
consider_all(struct eval *eval, struct eval_part *part, struct cursor **cursors, int count,
			 uint32 doc)
{
	double terms[QUERY_TERMS_MAX];
	double words = 0;
	int term_count = eval->query->term_count;

	for (int i = 0; i < term_count; i++)
		terms[i] = 0;
	for (int i = 0; i < count; i++)
		if (cursors[i]->doc == doc)
			terms[cursors[i]->term] = score_here(eval, part, cursors[i]);
	for (int i = 0; i < term_count; i++)
		words += terms[i];
	consider(eval, part, doc, words, terms);
}

/* --- one word --- */

static int
compare_bounds(const void *a, const void *b)
{
	const struct block_order *x = a, *y = b;

	if (x->bound != y->bound)
		return x->bound > y->bound ? -1 : 1;
	return x->block < y->block ? -1 : 1;
}

static void
rank_one(struct eval *eval, struct eval_part *part, struct cursor *c, const uint64 *found)
{
	struct block_order *order = palloc_extended(c->list->blocks * sizeof(*order), MCXT_ALLOC_HUGE);
	double terms[QUERY_TERMS_MAX] = { 0 }; /* one word has no neighbours */

	for (uint32 i = 0; i < c->list->blocks; i++)
		order[i] = (struct block_order){ i, c->bounds[i] };
	qsort(order, c->list->blocks, sizeof(*order), compare_bounds);
	for (uint32 i = 0; i < c->list->blocks; i++)
	{
		struct sh_search_list *list = c->list;

		/* Among equals an earlier document wins, and blocks are not in order. */
		if (order[i].bound < threshold(eval))
			break;
		CHECK_FOR_INTERRUPTS();
		sh_search_list_read(list, order[i].block);
		for (list->at = 0; list->at < list->count; list->at++)
		{
			c->doc = list->doc[list->at];
			if (!found || bits_has(found, c->doc))
				consider(eval, part, c->doc, score_here(eval, part, c), terms);
		}
	}
	pfree(order);
}

/* --- any of several words --- */

static void
sort_cursors(struct cursor **c, int count)
{
	for (int i = 1; i < count; i++)
	{
		struct cursor *moved = c[i];
		int at = i;

		for (; at > 0 && c[at - 1]->doc > moved->doc; at--)
			c[at] = c[at - 1];
		c[at] = moved;
	}
}

/* The last cursor of those that must be added up to exceed the threshold; -1 when all do not. */
static int
pivot_of(struct cursor **c, int count, double least)
{
	double sum = 0;

	for (int i = 0; i < count && c[i]->doc != SEARCH_END; i++)
	{
		sum += c[i]->most;
		if (sum > least)
			return i;
	}
	return -1;
}

static void
rank_any(struct eval *eval, struct eval_part *part, struct cursor **c, int count,
		 const uint64 *found)
{
	for (int i = 0; i < count; i++)
		seek(c[i], 0);
	for (;;)
	{
		double least = threshold(eval);
		double bound = 0;
		uint32 next = SEARCH_END;
		uint32 doc;
		int pivot;

		sort_cursors(c, count);
		pivot = pivot_of(c, count, least);
		if (pivot < 0)
			return;
		doc = c[pivot]->doc;
		while (pivot + 1 < count && c[pivot + 1]->doc == doc)
			pivot++;
		for (int i = 0; i <= pivot; i++)
			if (approach(c[i], doc))
			{
				bound += c[i]->bounds[c[i]->block];
				next = Min(next, sh_search_list_last(c[i]->list, c[i]->block));
			}
		if (bound > least)
		{
			bool met = c[0]->doc == doc;

			if (met && (!found || bits_has(found, doc)))
				consider_all(eval, part, c, pivot + 1, doc);
			for (int i = 0; i <= pivot; i++)
				seek(c[i], met ? doc + 1 : doc);
			continue;
		}
		CHECK_FOR_INTERRUPTS();
		next = next == SEARCH_END ? next : next + 1;
		if (pivot + 1 < count)
			next = Min(next, c[pivot + 1]->doc);
		for (int i = 0; i <= pivot; i++)
			if (c[i]->doc < Max(next, doc + 1))
				c[i]->doc = approach(c[i], Max(next, doc + 1)) ?
								sh_search_list_seek(c[i]->list, Max(next, doc + 1)) :
								SEARCH_END;
	}
}

/* --- all of several words --- */

static int
compare_length(const void *a, const void *b)
{
	uint32 x = (*(struct cursor *const *) a)->list->docs;
	uint32 y = (*(struct cursor *const *) b)->list->docs;

	return x < y ? -1 : x > y;
}

static void
rank_all(struct eval *eval, struct eval_part *part, struct cursor **c, int count,
		 const uint64 *found)
{
	uint32 doc;

	qsort(c, count, sizeof(*c), compare_length);
	seek(c[0], 0);
	doc = c[0]->doc;
	while (doc != SEARCH_END)
	{
		double bound = 0;
		uint32 next = SEARCH_END;
		int i;

		for (i = 0; i < count; i++)
		{
			if (!approach(c[i], doc))
				return;
			bound += c[i]->bounds[c[i]->block];
			next = Min(next, sh_search_list_last(c[i]->list, c[i]->block));
		}
		if (bound <= threshold(eval))
		{
			CHECK_FOR_INTERRUPTS();
			doc = next + 1;
			continue;
		}
		for (i = 0; i < count; i++)
		{
			seek(c[i], doc);
			if (c[i]->doc != doc)
				break;
		}
		if (i < count)
		{
			doc = c[i]->doc;
			continue;
		}
		if (!found || bits_has(found, doc))
			consider_all(eval, part, c, count, doc);
		doc++;
	}
}

/* --- a part --- */

/* Matches that are known. Those without any word that counts have a score of 0 by their words. */
static void
rank_found(struct eval *eval, struct eval_part *part, struct cursor **c, int count,
		   const uint64 *found)
{
	double nothing[QUERY_TERMS_MAX] = { 0 };
	uint64 *rest;

	if (count == 1)
		rank_one(eval, part, c[0], found);
	else if (count > 1)
		rank_any(eval, part, c, count, found);
	if (threshold(eval) >= 0)
		return;
	rest = sh_bits_new(part->docs, false);
	sh_bits_or(rest, found, part->docs);
	for (int i = 0; i < count; i++)
		for (uint32 block = 0; block < c[i]->list->blocks; block++)
		{
			sh_search_list_read(c[i]->list, block);
			for (int n = 0; n < c[i]->list->count; n++)
				bits_clear(rest, c[i]->list->doc[n]);
		}
	for (uint32 doc = sh_bits_next(rest, part->docs, 0); doc != SEARCH_END && threshold(eval) < 0;
		 doc = sh_bits_next(rest, part->docs, doc + 1))
		consider(eval, part, doc, 0, nothing);
	pfree(rest);
}

/*
 * Words alone, each to be found anywhere and each counting: what is found then follows from the
 * ranking itself.
 */
bool
sh_rank_is_simple(const struct query *query)
{
	const struct query_node *root = query->root;

	for (int i = 0; i < query->term_count; i++)
		if (query->terms[i].fields != QUERY_ANYWHERE || query->terms[i].boost == 0)
			return false;
	if (root->kind == QUERY_WORD)
		return query->term_count == 1;
	if ((root->kind != QUERY_ALL && root->kind != QUERY_ANY) || root->rest_count > 0 ||
		root->count != query->term_count)
		return false;
	for (int i = 0; i < root->count; i++)
		if (root->parts[i]->kind != QUERY_WORD)
			return false;
	return true;
}

void
sh_rank_part(struct eval *eval, struct eval_part *part, const uint64 *found)
{
	struct cursor cursors[QUERY_TERMS_MAX];
	struct cursor *c[QUERY_TERMS_MAX];
	const uint64 *filter = found ? found : part->allowed;
	bool all = !found && eval->query->root->kind == QUERY_ALL;
	int count;

	if (found && (part->waiting || sh_bits_count(found, part->docs) <= FEW))
	{
		rank_few(eval, part, found);
		return;
	}
	if (part->boosted)
		rank_boosted(eval, part, found);
	count = open_cursors(eval, part, cursors);
	for (int i = 0; i < count; i++)
		c[i] = &cursors[i];
	if (all && count < eval->query->term_count)
		;
	else if (all && count > 1)
		rank_all(eval, part, c, count, filter);
	else if (found)
		rank_found(eval, part, c, count, found);
	else if (count == 1)
		rank_one(eval, part, c[0], filter);
	else if (count > 1)
		rank_any(eval, part, c, count, filter);
	close_cursors(cursors, count);
}
