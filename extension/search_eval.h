/* Evaluating a query over the parts of an index: its segments, and the documents that wait. */
#pragma once

#include "port/pg_bitutils.h"
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
	double near;	  /* of the rarer of two words, for standing as in the query */
	double feedback;  /* of the weight of a word asked for, to one of what was found */
	/* made of these and the statistics */
	int64 docs;
	double average[SEARCH_FIELDS];
	double norm[SEARCH_FIELDS][256];
};

/* What a document gets because of who asks. */
struct eval_boost
{
	uint32 doc;
	double boost;
};

/* Two words of a query next to each other. */
struct eval_pair
{
	int a, b;	  /* terms */
	int distance; /* places from a to b */
	double most;
};
#define EVAL_PAIRS_MAX 64

struct eval_part
{
	const struct sh_search_segment *segment; /* NULL: those that wait */
	uint32 docs;							 /* numbers run from 0 to below this */
	uint32 first_key;						 /* added to a number: the key of a document */
	struct sh_search_waiting *waiting;
	uint64 *seen;	 /* documents that are there for the member; NULL: all */
	uint64 *allowed; /* those of them that the filters leave; NULL: all */
	uint8 *fields;	 /* fields that may be looked at, by document; NULL: all */
	uint64 *bits[QUERY_TERMS_MAX];
	struct sh_search_list *lists[QUERY_TERMS_MAX];
	bool opened[QUERY_TERMS_MAX];
	const uint16 *days;
	uint64 *boosted; /* documents that get something beside; NULL: none */
	int boost_count;
	struct eval_boost *boosts; /* by document */
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
	MemoryContext context; /* of all that lasts as long as the query */
	struct sh_search_index *index;
	struct query *query;
	struct eval_scoring scoring;
	bool boosted; /* some documents get something because of who asks */
	int pair_count;
	struct eval_pair pairs[EVAL_PAIRS_MAX];
	int part_count;
	struct eval_part *parts;
	int filter_count;
	struct eval_filter *filters;
	uint32 kinds;				/* bits of those that are looked for; 0: all */
	bool restricted;			/* the member does not see all */
	int spelled;				/* words for which similar ones were looked for */
	bool relaxed;				/* any of the words will do, as nothing has them all */
	int spelling;				/* how words were taken, see sh_expand_typos() */
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
/* The lists that were opened, back to the beginning. */
extern void sh_part_rewind(struct eval *eval, struct eval_part *part);
/*
 * The posting of a term in a document, NULL when it has not the term. In a segment documents are
 * asked for in ascending order; the list of the term then stands there.
 */
extern const uint8 *sh_part_post(struct eval *eval, struct eval_part *part, int term, uint32 doc);
/* Documents, of those seen, that have a term in its fields. */
extern uint64 *sh_part_term_bits(struct eval *eval, struct eval_part *part, int term);
/* Add those of a term that is not the query's, allowed or not. */
extern void sh_part_add_term(struct eval *eval, struct eval_part *part,
							 const struct query_term *term, uint64 *bits);
/* Take the last term out of the query again. */
extern void sh_part_forget_term(struct eval *eval, int term);
/* How many documents, of those seen, have a term, in all parts. */
extern int64 sh_part_docs(struct eval *eval, int term);
extern const uint16 *sh_part_column(struct eval *eval, struct eval_part *part,
									enum sh_search_facet facet);
extern uint8 sh_part_record(struct eval *eval, struct eval_part *part, uint32 doc,
							pg_uuid_t *record);

/* --- search_expand.c --- */

/* Put words in the place of prefixes. */
extern void sh_expand_prefixes(struct eval *eval, struct query_node *node);
/* Which bare words may be misspelt. */
enum
{
	SPELLING_UNKNOWN, /* those that no document has */
	SPELLING_RARE,	  /* those, too, of which a similar one is much more frequent */
	SPELLING_ALL
};

/*
 * Put similar words beside those that may be misspelt; for a later page the same as for the first.
 * True when that changed anything.
 */
extern bool sh_expand_typos(struct eval *eval, struct query_node *root, int which);

/* --- search_match.c --- */

/* Documents of a part that a query finds. */
extern uint64 *sh_match_bits(struct eval *eval, struct eval_part *part,
							 const struct query_node *node);
extern uint64 *sh_match_facet(struct eval *eval, struct eval_part *part, enum sh_search_facet facet,
							  const char *const *values, int count);

/* --- search_near.c --- */

/* Where a term is in a document, in order of fields and positions. */
struct eval_place
{
	uint32 field;
	uint32 position;
};

/* The places of a term in those of the fields that count; how many, and 0 when it is not there. */
extern int sh_places(struct eval *eval, struct eval_part *part, int term, uint32 doc, uint8 fields,
					 struct eval_place **out);
/* Find the pairs of a query and what they are worth; the statistics of terms are known. */
extern void sh_near_prepare(struct eval *eval);
/* The most that pairs can add to a document with these scores by term. */
extern double sh_near_most(const struct eval *eval, const double *terms);
/* What they add; pairs, or NULL, gets the share of each. */
extern double sh_near_score(struct eval *eval, struct eval_part *part, uint32 doc,
							const double *terms, double *pairs);

/* --- search_boost.c --- */

/* Read [{type, id, boost}] and find the documents in the parts. */
extern void sh_boost_read(struct eval *eval, JsonbContainer *boosts);
extern double sh_boost_of(const struct eval_part *part, uint32 doc);

/* --- search_feedback.c --- */

/*
 * Add words that the best of what was found have in common, which count for the rank only. True
 * when there are any; statistics are then to be taken anew.
 */
extern bool sh_feedback_candidates(struct eval *eval);
/* With the statistics of these words: keep the best of them. */
extern void sh_feedback_choose(struct eval *eval);

/* --- search_score.c --- */

/* Set averages, norms and the weight of each term from the statistics. */
extern void sh_search_score_prepare(struct eval *eval, const int64 *words);
/* Of the posting of a term in a document. */
extern double sh_search_score_post(const struct eval *eval, const struct query_term *term,
								   uint8 fields, const uint8 *post);
extern double sh_search_score_bound(const struct eval *eval, const struct query_term *term,
									const struct sh_search_bound *bound);
/* What a document gets for being fresh; at most sh_search_score_fresh_most(). */
extern double sh_search_score_fresh(struct eval *eval, struct eval_part *part, uint32 doc);
extern double sh_search_score_fresh_most(const struct eval *eval);

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
/* What each term has in a document that was found, whatever was looked at before. */
extern void sh_rank_terms(struct eval *eval, const struct eval_hit *hit, double *terms);
/* What a document gets in all, with what its words have. */
extern double sh_rank_score(struct eval *eval, struct eval_part *part, uint32 doc, double words,
							const double *terms);

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

/* --- search_options.c --- */

extern void sh_search_numbers_of(JsonbContainer *object, const char *key, double *out, int count);
/* Read all options but scope and boosts. */
extern void sh_search_options(struct eval *eval, JsonbContainer *options);

/* --- search_statistics.c --- */

/* Enough of a term to tell it from the others of a query. */
extern char *sh_search_term_key(const struct query_term *term);
/* Those of what may be found now, or of an earlier page as the options give them. */
extern void sh_search_statistics(struct eval *eval, JsonbContainer *options);

/* --- search_answer.c --- */

extern JsonbValue *sh_search_answer(struct eval *eval, uint64 *const *found,
									JsonbContainer *options);
