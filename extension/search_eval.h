/* Evaluating a query over the parts of an index: its segments, and the documents that wait. */
#pragma once

#include "port/pg_bitutils.h"
#include "utils/jsonb.h"

#include "search_query.h"

/* --- search_bits.c: sets of documents --- */

static inline Size
bits_words(uint32 docs)
{
	return ((Size) docs + 63) / 64;
}

static inline void
bits_set(uint64 *bits, uint32 doc)
{
	bits[doc / 64] |= UINT64CONST(1) << (doc % 64);
}

static inline void
bits_clear(uint64 *bits, uint32 doc)
{
	bits[doc / 64] &= ~(UINT64CONST(1) << (doc % 64));
}

static inline bool
bits_has(const uint64 *bits, uint32 doc)
{
	return (bits[doc / 64] >> (doc % 64)) & 1;
}

/* Empty, or of all documents. */
extern uint64 *sh_bits_new(uint32 docs, bool full);
extern void sh_bits_and(uint64 *to, const uint64 *other, uint32 docs);
extern void sh_bits_or(uint64 *to, const uint64 *other, uint32 docs);
extern void sh_bits_not(uint64 *to, uint32 docs);
extern uint64 sh_bits_count(const uint64 *bits, uint32 docs);
/* The first from this one on; SEARCH_END when there is none. */
extern uint32 sh_bits_next(const uint64 *bits, uint32 docs, uint32 from);

/* Words of a field that members are assumed to have written who do not see all. */
#define SEARCH_USUAL_LENGTH 8

/* --- what is asked beside the words --- */

struct eval_filter
{
	enum sh_search_facet facet;
	int count;
	const char **values; /* any of them */
};

struct eval_scoring
{
	double k1;
	double b[SEARCH_FIELDS];
	double weight[SEARCH_FIELDS];
	double freshness; /* what a document of today gets beside */
	double half_life; /* days after which half of it is left */
	int today;		  /* days since 2000-01-01 */
	/* made of these and the statistics */
	int64 docs;
	double average[SEARCH_FIELDS];
	double norm[SEARCH_FIELDS][256];
};

struct eval_part
{
	const struct sh_search_segment *segment; /* NULL: those that wait */
	uint32 docs;							 /* numbers run from 0 to below this */
	uint32 first_key;						 /* added to a number: the key of a document */
	struct sh_search_waiting *waiting;
	uint64 *seen;	 /* documents that are there for the member; NULL: all */
	bool only_gone;	 /* all but those that are gone */
	uint64 *allowed; /* those of them that the filters leave; NULL: all */
	uint8 *fields;	 /* fields that may be looked at, by document; NULL: all */
	uint64 *bits[QUERY_TERMS_MAX];
	struct sh_search_list *lists[QUERY_TERMS_MAX];
	bool opened[QUERY_TERMS_MAX];
	const uint16 *days;
};

struct eval_hit
{
	double score;
	uint32 key;
	uint32 doc;
	struct eval_part *part;
};

struct eval
{
	pg_uuid_t org;
	struct sh_search_index *index;
	struct query *query;
	struct eval_scoring scoring;
	int part_count;
	struct eval_part *parts;
	int filter_count;
	struct eval_filter *filters;
	uint32 kinds;				/* bits of those that are looked for; 0: all */
	bool restricted;			/* the member does not see all */
	int64 words[SEARCH_FIELDS]; /* of what may be found */
	/* page */
	int limit;
	bool has_after;
	struct eval_hit after;
	int hit_count;
	struct eval_hit *hits; /* a heap while they are gathered, the worst first */
};

/* --- search_part.c --- */

extern void sh_part_open_all(struct eval *eval);
extern void sh_part_close_all(struct eval *eval);
/* The list of a term in a segment, NULL when it has none. */
extern struct sh_search_list *sh_part_list(struct eval *eval, struct eval_part *part, int term);
/* Documents, of those seen, that have a term in its fields. */
extern uint64 *sh_part_term_bits(struct eval *eval, struct eval_part *part, int term);
/* Add those of a term that is not the query's, allowed or not. */
extern void sh_part_add_term(struct eval *eval, struct eval_part *part,
							 const struct query_term *term, uint64 *bits);
/* How many. */
extern int64 sh_part_term_count(struct eval *eval, struct eval_part *part, int term);
extern const uint16 *sh_part_column(struct eval *eval, struct eval_part *part,
									enum sh_search_facet facet);
extern uint8 sh_part_record(struct eval *eval, struct eval_part *part, uint32 doc,
							pg_uuid_t *record);

/* --- search_expand.c --- */

/* Put words in the place of prefixes. */
extern void sh_expand_prefixes(struct eval *eval, struct query_node *node);
/*
 * Put similar words beside bare ones: those that no document has, or all of them. True when that
 * changed anything. corrected gets the likeliest spelling of each.
 */
extern bool sh_expand_typos(struct eval *eval, struct query_node *node, bool all);

/* --- search_match.c --- */

/* Documents of a part that a query finds. */
extern uint64 *sh_match_bits(struct eval *eval, struct eval_part *part,
							 const struct query_node *node);
extern uint64 *sh_match_facet(struct eval *eval, struct eval_part *part, enum sh_search_facet facet,
							  const char *const *values, int count);

/* --- search_score.c --- */

/* Set averages, norms and the weight of each term from the statistics. */
extern void sh_search_score_prepare(struct eval *eval, const int64 *words);
/* Of the posting of a term in a document. */
extern double sh_search_score_post(const struct eval *eval, const struct query_term *term,
								   uint8 fields, const uint8 *post);
extern double sh_search_score_bound(const struct eval *eval, const struct query_term *term,
									const struct sh_search_bound *bound);
/* What a document gets beside its words; at most sh_search_score_beside_most(). */
extern double sh_search_score_beside(struct eval *eval, struct eval_part *part, uint32 doc);
extern double sh_search_score_beside_most(const struct eval *eval);

/* --- search_rank.c --- */

extern void sh_rank_push(struct eval *eval, struct eval_part *part, uint32 doc, double score);
/* Whether the ranking of a query finds what it matches. */
extern bool sh_rank_is_simple(const struct query *query);
/* The best of a part into eval->hits. found: its matches; NULL when the query is simple. */
extern void sh_rank_part(struct eval *eval, struct eval_part *part, const uint64 *found);
/* Best first. */
extern void sh_rank_sort(struct eval *eval);
/* The score of one document by its terms. */
extern double sh_rank_document(struct eval *eval, struct eval_part *part, uint32 doc,
							   double *terms);

/* --- search_scope.c --- */

/*
 * Leave in each part what may be found: what is not gone and what the member sees. scope is that of
 * saleshub.search_scope(), NULL when the member sees all.
 */
extern void sh_scope_apply(struct eval *eval, JsonbContainer *scope);
/* Leave of that what the filters say. */
extern void sh_scope_filter(struct eval *eval);

/* --- search_facet.c --- */

struct facet_count
{
	const char *value;
	int64 count;
};

/* Count the values of a facet among what was found, the most frequent first; how many. */
extern int sh_facet_counts(struct eval *eval, uint64 *const *found, enum sh_search_facet facet,
						   struct facet_count **out);
/* The texts that numbers of a facet stand for in a segment, from 1 on. */
extern const char *const *sh_facet_texts(struct eval *eval, struct eval_part *part,
										 enum sh_search_facet facet, int *count);
/* The facet of this name, SEARCH_FACETS when there is none. */
extern enum sh_search_facet sh_facet_of(const char *name, int len);
extern const char *sh_facet_name(enum sh_search_facet facet);
/* lead, contact and so on; NULL when there is no such kind. */
extern const char *sh_kind_name(int kind);
