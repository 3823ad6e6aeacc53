/* A query as it is understood. */
#pragma once

#include "search.h"

/* More than these is no question but an attack. */
#define QUERY_BYTES_MAX 4096
#define QUERY_TERMS_MAX 128
#define QUERY_DEPTH_MAX 16
/* Prefixes, and values of facets: each is a look at many words or documents. */
#define QUERY_WIDE_MAX 16

/* All fields. */
#define QUERY_ANYWHERE ((1 << SEARCH_FIELDS) - 1)

struct query_term
{
	uint64 term;
	char word[SEARCH_WORD_MAX + 1]; /* as it was typed, without case and accents */
	uint8 fields;					/* in which it is looked for, as bits */
	double boost;					/* 0: does not count for the rank */
	bool counted;
	int64 there; /* documents, of those seen, that have it */
	int64 docs;	 /* the same, or as many as there were for an earlier page */
	double idf;
	double near;  /* half of what it may get for standing near others */
	bool related; /* not asked for: in the best of what was found */
	double share; /* of their text */
};

enum query_kind
{
	QUERY_NOTHING,
	QUERY_WORD,	  /* one term */
	QUERY_PREFIX, /* words that begin so; becomes QUERY_ANY of terms */
	QUERY_PHRASE, /* terms one behind the other */
	QUERY_ALL,
	QUERY_ANY,
	QUERY_NOT,	/* of one */
	QUERY_FACET /* a value of a facet */
};

struct query_node
{
	enum query_kind kind;
	uint8 fields;
	int term;		/* number of a term */
	int distance;	/* in a phrase: places behind the first */
	int place;		/* of a word among those of the query */
	int start, end; /* bytes of the query that it was made of */
	bool plain;		/* a word that was typed bare, which may be corrected or left out */
	bool stop;
	bool done; /* its words were looked at together */
	enum sh_search_facet facet;
	const char *value;
	const char *corrected; /* of a bare word: what was probably meant */
	int rest_count;		   /* terms of a prefix that do not count for the rank */
	uint64 *rest;
	int count, size;
	struct query_node **parts;
};

struct query
{
	Oid dictionary;
	const char *text;
	int len;
	int words;	   /* that were typed */
	int wide;	   /* parts that look at much */
	bool question; /* so many that any of them do */
	int term_count;
	struct query_term terms[QUERY_TERMS_MAX];
	struct query_node *root;
};

/* 22023 when it is too long, too deep or has too many words. */
extern void sh_query_parse(struct query *query, const char *text, int len, Oid dictionary);
/* The number of a term in the query, added when it is new. */
extern int sh_query_term(struct query *query, uint64 term, const char *word, uint8 fields,
						 double boost);
extern struct query_node *sh_query_node(enum query_kind kind, uint8 fields);
extern void sh_query_add(struct query_node *to, struct query_node *part);
/* One part stands for itself; NULL when there is none. */
extern struct query_node *sh_query_simplest(struct query_node *node);

/* --- search_bare.c --- */

/* What was read of neighbours becomes one node; NULL stays so. */
extern struct query_node *sh_query_finish(struct query *query, struct query_node *node);
/* The same with any of the bare words that were all needed; NULL when there are not two of them. */
extern struct query_node *sh_query_relaxed(struct query *query, struct query_node *node);
