/*
 * Words of the dictionaries of an index that go on with, or are like, what was typed. Misspelt ones
 * are looked for among those with the same first letter, where most of them are (Pollock, Zamora:
 * "Automatic spelling correction in scientific and scholarly text", 1984: 7 % of errors are in the
 * first letter), and only then among those that one change of the first letter gives; so a look
 * reads a small part of a dictionary.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "search_suggest.h"

/* The best of each segment, by which those of all are chosen. */
#define TOP 64
#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"

struct top
{
	int count;
	struct suggest_word word[TOP];
};

struct gathering
{
	const struct suggest_look *look;
	uint64 letters;	   /* of what was typed, as bits */
	const char *begin; /* words read begin with this */
	int begin_len;
	struct top top;
};

/* --- how far two words are apart --- */

/* Letters are bytes here. */
static void
widen(const char *text, int len, pg_wchar *out)
{
	for (int i = 0; i < len; i++)
		out[i] = (uint8) text[i];
}

void
sh_suggest_look_init(struct suggest_look *look, const char *text, int len, int most, bool begins)
{
	*look = (struct suggest_look){ .text = text, .len = len, .most = most, .begins = begins };
	if (most > 0)
		widen(text, len, look->wide);
}

int
sh_suggest_distance(const struct suggest_look *look, const char *word, int len)
{
	pg_wchar wide[SEARCH_WORD_MAX + 1];

	if (look->most == 0)
		return (look->begins ? len >= look->len : len == look->len) &&
					   memcmp(word, look->text, look->len) == 0 ?
				   0 :
				   1;
	/* What is behind has no part in the best beginning. */
	if (look->begins)
		len = Min(len, look->len + look->most);
	widen(word, len, wide);
	return sh_search_distance(look->wide, look->len, wide, len, look->most, look->begins);
}

/* --- the best words --- */

/* Nearer words first, then the word itself, then the more frequent. */
static int
compare_words(const void *a, const void *b)
{
	const struct suggest_word *x = a, *y = b;

	if (x->distance != y->distance)
		return x->distance - y->distance;
	if (x->docs != y->docs)
		return x->docs > y->docs ? -1 : 1;
	return strcmp(x->text, y->text);
}

static void
keep_word(struct top *top, const char *text, int len, uint64 term, int64 docs, int distance)
{
	struct suggest_word word = { .term = term, .docs = docs, .distance = distance };
	int at;

	if (top->count == TOP &&
		(distance > top->word[TOP - 1].distance ||
		 (distance == top->word[TOP - 1].distance && docs <= top->word[TOP - 1].docs)))
		return;
	memcpy(word.text, text, len);
	word.text[len] = '\0';
	at = top->count < TOP ? top->count++ : TOP - 1;
	for (; at > 0 && compare_words(&top->word[at - 1], &word) > 0; at--)
		top->word[at] = top->word[at - 1];
	top->word[at] = word;
}

static void
consider(struct gathering *g, const char *word, int len, uint64 term, uint32 docs)
{
	int distance;

	/* Each change puts one letter of those typed right. */
	if (g->look->most > 0 &&
		pg_popcount64(g->letters & ~sh_search_letters(word, len)) > g->look->most)
		return;
	distance = sh_suggest_distance(g->look, word, len);
	if (distance > g->look->most)
		return;
	/* A word that is there as it was typed comes before those that go on. */
	if (distance == 0 && len > g->look->len)
		distance = 1;
	keep_word(&g->top, word, len, term, docs, distance);
}

/* Words are in order. */
static void
take_row(void *arg, struct sh_search_words *words)
{
	struct gathering *g = arg;
	int order = -1;

	while (order <= 0 && sh_search_words_next(words))
	{
		order = memcmp(words->word, g->begin, Min(words->len, g->begin_len));
		if (order == 0 && words->len >= g->begin_len)
			consider(g, words->word, words->len, sh_search_words_term(words), words->docs);
	}
}

static int
compare_terms(const void *a, const void *b)
{
	const struct suggest_word *x = a, *y = b;

	if (x->term != y->term)
		return x->term < y->term ? -1 : 1;
	return compare_words(x, y);
}

/* Words of one term are one; the best of all. */
static void
choose(struct suggest_word *all, int count, struct suggest_words *out)
{
	int kept = 0;

	qsort(all, count, sizeof(*all), compare_terms);
	for (int i = 0; i < count; i++)
		if (kept > 0 && all[kept - 1].term == all[i].term)
			all[kept - 1].docs += all[i].docs;
		else
			all[kept++] = all[i];
	qsort(all, kept, sizeof(*all), compare_words);
	out->count = Min(kept, SUGGEST_WORDS);
	memcpy(out->word, all, out->count * sizeof(*all));
}

/* --- looks --- */

static void
gather(const pg_uuid_t *org, const struct sh_search_segment *segments, int count,
	   const struct suggest_look *look, const char *begin, int begin_len, struct suggest_words *out)
{
	struct suggest_word *all = palloc((count * TOP + 1) * sizeof(*all));
	struct gathering *g = palloc(sizeof(*g));
	int found = 0;

	g->look = look;
	g->letters = sh_search_letters(look->text, look->len);
	g->begin = begin;
	g->begin_len = begin_len;
	for (int i = 0; i < count; i++)
	{
		g->top.count = 0;
		sh_search_words_read(org, &segments[i], begin, begin_len, take_row, g);
		memcpy(all + found, g->top.word, g->top.count * sizeof(*all));
		found += g->top.count;
	}
	choose(all, found, out);
	pfree(g);
	pfree(all);
}

struct suggest_words *
sh_suggest_going_on(const pg_uuid_t *org, const struct sh_search_segment *segments, int count,
					const char *text, int len)
{
	struct suggest_words *out = palloc0(sizeof(*out));
	struct suggest_look look;

	sh_suggest_look_init(&look, text, len, 0, true);
	gather(org, segments, count, &look, text, len, out);
	return out;
}

/* Words as typed but for their first letter: left out, exchanged, another one, one more. */
static void
gather_first(const pg_uuid_t *org, const struct sh_search_segment *segments, int count,
			 const struct suggest_look *typed, struct suggest_words *out)
{
	const char *text = typed->text;
	char *tries[2 + 2 * (sizeof LETTERS - 1)];
	int n = 0;

	tries[n++] = psprintf("%.*s", typed->len - 1, text + 1);
	tries[n++] = psprintf("%c%c%.*s", text[1], text[0], typed->len - 2, text + 2);
	for (const char *letter = LETTERS; *letter; letter++)
	{
		tries[n++] = psprintf("%c%.*s", *letter, typed->len - 1, text + 1);
		tries[n++] = psprintf("%c%.*s", *letter, typed->len, text);
	}
	for (int i = 0; i < n; i++)
	{
		struct suggest_words some;
		struct suggest_look look;

		sh_suggest_look_init(&look, tries[i], strlen(tries[i]), 0, typed->begins);
		gather(org, segments, count, &look, tries[i], look.len, &some);
		for (int w = 0; w < some.count && out->count < SUGGEST_WORDS; w++)
			out->word[out->count++] = some.word[w];
	}
	qsort(out->word, out->count, sizeof(*out->word), compare_words);
}

struct suggest_words *
sh_suggest_similar(const pg_uuid_t *org, const struct sh_search_segment *segments, int count,
				   const char *text, int len, bool begins)
{
	struct suggest_words *out = palloc0(sizeof(*out));
	struct suggest_look look;

	sh_suggest_look_init(&look, text, len, sh_suggest_tolerance(len), begins);
	gather(org, segments, count, &look, text, pg_mblen(text), out);
	if (out->count == 0 && (text[0] & 0x80) == 0 && (text[1] & 0x80) == 0)
		gather_first(org, segments, count, &look, out);
	return out;
}
