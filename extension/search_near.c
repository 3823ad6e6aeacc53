/*
 * Words that stand in a document as in the query, or near that, are a better match: for each two
 * neighbours of the query the closest such places add
 *
 *   near × the lower of their boost × idf / gap,   gap = |places off| + 1, nothing beyond 8
 *
 * after Metzler, Croft: "A Markov Random Field Model for Term Dependencies", SIGIR 2005 (neighbours
 * only) and Tao, Zhai: "An Exploration of Proximity Measures in Information Retrieval", SIGIR 2007
 * (the closest places count). Bounded, so that documents can be passed over unread.
 */
#include "postgres.h"

#include "search_eval.h"

#define GAP_MAX 8

/* --- places --- */

int
sh_places(struct eval *eval, struct eval_part *part, int term, uint32 doc, uint8 fields,
		  struct eval_place **out)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	const uint8 *post = sh_part_post(eval, part, term, doc);
	const uint8 *places;
	struct eval_place *all;
	int count;
	int n = 0;
	int total = 0;

	if (!post)
	{
		*out = palloc(sizeof(**out));
		return 0;
	}
	places = sh_search_post_read(post, hits, &count);
	/* In a segment they do not stand behind it. */
	if (!part->waiting)
		places = sh_search_list_places(part->lists[term]);
	for (int i = 0; i < count; i++)
		total += hits[i].count;
	all = palloc(Max(total, 1) * sizeof(*all));
	for (int i = 0; i < count; i++)
	{
		uint32 position = 0;

		for (uint32 k = 0; k < hits[i].count; k++)
		{
			position += sh_search_number(&places);
			if (fields & (1 << hits[i].field))
				all[n++] = (struct eval_place){ hits[i].field, position };
		}
	}
	*out = all;
	return n;
}

/* --- pairs --- */

/* A word of the query, or the spellings of it. */
static int
spellings(const struct query_node *node)
{
	if (node->kind == QUERY_ANY && node->corrected)
		return node->count;
	return node->kind == QUERY_WORD && node->plain;
}

/* Its term; -1 for two words that were typed as one. */
static int
spelling(const struct query_node *node, int n)
{
	if (node->kind == QUERY_WORD)
		return node->term;
	return node->parts[n]->kind == QUERY_WORD ? node->parts[n]->term : -1;
}

static void
add_pair(struct eval *eval, int a, int b, int distance)
{
	struct query_term *x, *y;
	struct eval_pair *pair = &eval->pairs[eval->pair_count];

	if (a < 0 || b < 0 || a == b || eval->pair_count == EVAL_PAIRS_MAX)
		return;
	x = &eval->query->terms[a];
	y = &eval->query->terms[b];
	if (x->boost <= 0 || y->boost <= 0)
		return;
	*pair = (struct eval_pair){
		a, b, distance, eval->scoring.near * Min(x->boost * x->idf, y->boost * y->idf)
	};
	x->near += pair->most / 2;
	y->near += pair->most / 2;
	eval->pair_count++;
}

static void
add_neighbours(struct eval *eval, const struct query_node *left, const struct query_node *right)
{
	for (int i = 0; i < spellings(left); i++)
		for (int k = 0; k < spellings(right); k++)
			add_pair(eval, spelling(left, i), spelling(right, k), right->place - left->place);
}

static void
find_pairs(struct eval *eval, const struct query_node *node)
{
	if (node->kind == QUERY_NOT)
		return;
	for (int i = 0; i < node->count; i++)
	{
		find_pairs(eval, node->parts[i]);
		if (i > 0 && (node->kind == QUERY_ALL || node->kind == QUERY_ANY))
			add_neighbours(eval, node->parts[i - 1], node->parts[i]);
	}
}

void
sh_near_prepare(struct eval *eval)
{
	eval->pair_count = 0;
	for (int i = 0; i < eval->query->term_count; i++)
		eval->query->terms[i].near = 0;
	if (eval->scoring.near > 0)
		find_pairs(eval, eval->query->root);
}

double
sh_near_most(const struct eval *eval, const double *terms)
{
	double most = 0;

	for (int i = 0; i < eval->pair_count; i++)
		if (terms[eval->pairs[i].a] > 0 && terms[eval->pairs[i].b] > 0)
			most += eval->pairs[i].most;
	return most;
}

/* How far the closest of two words are from standing as in the query. */
static uint32
least_gap(const struct eval_place *a, int a_count, const struct eval_place *b, int b_count,
		  int distance)
{
	uint32 least = GAP_MAX + 1;
	int at = 0;

	for (int i = 0; i < a_count; i++)
	{
		uint32 wanted = a[i].position + distance;

		while (at < b_count &&
			   (b[at].field < a[i].field || (b[at].field == a[i].field && b[at].position < wanted)))
			at++;
		if (at < b_count && b[at].field == a[i].field)
			least = Min(least, b[at].position - wanted + 1);
		if (at > 0 && b[at - 1].field == a[i].field)
			least = Min(least, wanted - b[at - 1].position + 1);
	}
	return least;
}

double
sh_near_score(struct eval *eval, struct eval_part *part, uint32 doc, const double *terms,
			  double *pairs)
{
	uint8 fields = part->fields ? part->fields[doc] : QUERY_ANYWHERE;
	double score = 0;

	for (int i = 0; i < eval->pair_count; i++)
	{
		const struct eval_pair *pair = &eval->pairs[i];
		struct eval_place *a, *b;
		int a_count, b_count;
		uint32 gap;

		if (pairs)
			pairs[i] = 0;
		if (terms[pair->a] <= 0 || terms[pair->b] <= 0)
			continue;
		a_count =
			sh_places(eval, part, pair->a, doc, fields & eval->query->terms[pair->a].fields, &a);
		b_count =
			sh_places(eval, part, pair->b, doc, fields & eval->query->terms[pair->b].fields, &b);
		gap = least_gap(a, a_count, b, b_count, pair->distance);
		pfree(a);
		pfree(b);
		if (gap > GAP_MAX)
			continue;
		if (pairs)
			pairs[i] = pair->most / gap;
		score += pair->most / gap;
	}
	return score;
}
