/* Words of the index that go on with, or are like, what was typed. */
#pragma once

#include "search.h"

/* So many words, at most, in the order in which records are looked for. */
#define SUGGEST_WORDS 16
/* Letters from which on one of them may be wrong. */
#define SUGGEST_TYPO_MIN 4

/* Letters that may be off in a word of this length. */
static inline int
sh_suggest_tolerance(int len)
{
	return len < SUGGEST_TYPO_MIN ? 0 : len < 8 ? 1 : 2;
}

struct suggest_word
{
	char text[SEARCH_WORD_MAX + 1];
	uint64 term;
	int64 docs;
	int distance;
};

struct suggest_words
{
	int count;
	struct suggest_word word[SUGGEST_WORDS];
};

/* What words are compared with. */
struct suggest_look
{
	const char *text;
	int len;
	int most;	 /* letters that may be off */
	bool begins; /* with any further letters behind */
	pg_wchar wide[SEARCH_WORD_MAX + 1];
};

extern void sh_suggest_look_init(struct suggest_look *look, const char *text, int len, int most,
								 bool begins);
/* Letters that are off; above look->most: too many. */
extern int sh_suggest_distance(const struct suggest_look *look, const char *word, int len);

/* Words that begin so: itself, then the most frequent. */
extern struct suggest_words *sh_suggest_going_on(const pg_uuid_t *org,
												 const struct sh_search_segment *segments,
												 int count, const char *text, int len);
/* Words that are, or begin, nearly so: the nearest, then the most frequent. */
extern struct suggest_words *sh_suggest_similar(const pg_uuid_t *org,
												const struct sh_search_segment *segments, int count,
												const char *text, int len, bool begins);
