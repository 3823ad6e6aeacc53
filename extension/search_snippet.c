/* The place of a text that a query is about, with the words that it found marked. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "saleshub.h"
#include "search.h"

PG_FUNCTION_INFO_V1(sh_search_snippet);

/* Words that are shown, and how many of them before the first that was found. */
#define SHOWN 28
#define BEFORE 6

struct spot
{
	int start, end;
	int word; /* number of the word looked for; -1: another */
};

struct taker
{
	int wanted_count;
	uint64 *wanted;
	int count, size;
	struct spot *spots;
};

static void
take_word(void *arg, const struct sh_search_word *word)
{
	struct taker *t = arg;
	struct spot *spot;

	if (t->count == t->size)
		t->spots = repalloc_huge(t->spots, (t->size *= 2) * sizeof(*t->spots));
	spot = &t->spots[t->count++];
	*spot = (struct spot){ word->start, word->end, -1 };
	for (int i = 0; i < t->wanted_count; i++)
		if (t->wanted[i] == word->term)
			spot->word = i;
}

static void
take_wanted(void *arg, const struct sh_search_word *word)
{
	struct taker *t = arg;

	t->wanted[t->wanted_count++] = word->term;
}

static void
read_wanted(struct taker *t, ArrayType *array, Oid dictionary)
{
	Datum *texts;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
	/* A word is one, or two characters of a script without blanks. */
	for (int i = 0; i < count; i++)
		if (!nulls[i])
		{
			text *one = DatumGetTextPP(texts[i]);
			Size room = t->wanted_count + VARSIZE_ANY_EXHDR(one) + 1;

			t->wanted = t->wanted ? repalloc(t->wanted, room * sizeof(*t->wanted)) :
									palloc(room * sizeof(*t->wanted));
			sh_search_words(
				VARDATA_ANY(one), VARSIZE_ANY_EXHDR(one), dictionary, 1, take_wanted, t);
		}
}

/* The first word of the run that has the most of the words looked for, then the most of them. */
static int
best_run(const struct taker *t)
{
	int *have = palloc0(Max(t->wanted_count, 1) * sizeof(*have));
	int kinds = 0;
	int all = 0;
	int best = 0;
	int best_kinds = 0;
	int best_all = 0;

	for (int i = 0; i < t->count; i++)
	{
		if (t->spots[i].word >= 0)
		{
			all++;
			kinds += have[t->spots[i].word]++ == 0;
		}
		if (i >= SHOWN && t->spots[i - SHOWN].word >= 0)
		{
			all--;
			kinds -= --have[t->spots[i - SHOWN].word] == 0;
		}
		if (kinds > best_kinds || (kinds == best_kinds && all > best_all))
		{
			best = Max(0, i - SHOWN + 1);
			best_kinds = kinds;
			best_all = all;
		}
	}
	pfree(have);
	/* Begin a little before the first that was found. */
	while (best < t->count && t->spots[best].word < 0 && best_all > 0)
		best++;
	return best_all > 0 ? Max(0, best - BEFORE) : 0;
}

static void
append_escaped(StringInfo to, const char *data, int len)
{
	for (int i = 0; i < len; i++)
		switch (data[i])
		{
			case '&':
				appendStringInfoString(to, "&amp;");
				break;
			case '<':
				appendStringInfoString(to, "&lt;");
				break;
			case '>':
				appendStringInfoString(to, "&gt;");
				break;
			case '"':
				appendStringInfoString(to, "&quot;");
				break;
			case '\'':
				appendStringInfoString(to, "&#39;");
				break;
			default:
				appendStringInfoCharMacro(to, data[i]);
		}
}

Datum
sh_search_snippet(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	const char *data = VARDATA_ANY(value);
	int len = VARSIZE_ANY_EXHDR(value);
	Oid dictionary = sh_search_dictionary();
	struct taker t = { .size = 64, .spots = palloc(64 * sizeof(struct spot)) };
	StringInfoData out;
	int from, to, at;

	read_wanted(&t, PG_GETARG_ARRAYTYPE_P(1), dictionary);
	sh_search_words(data, len, dictionary, 1, take_word, &t);
	from = best_run(&t);
	to = Min(from + SHOWN, t.count);
	initStringInfo(&out);
	at = from > 0 ? t.spots[from].start : 0;
	if (from > 0)
		appendStringInfoString(&out, "…");
	for (int i = from; i < to; i++)
	{
		/* Pairs of characters overlap. */
		int start = Max(t.spots[i].start, at);

		append_escaped(&out, data + at, start - at);
		if (t.spots[i].word >= 0 && t.spots[i].end > start)
			appendStringInfoString(&out, "<mark>");
		append_escaped(&out, data + start, t.spots[i].end - start);
		if (t.spots[i].word >= 0 && t.spots[i].end > start)
			appendStringInfoString(&out, "</mark>");
		at = t.spots[i].end;
	}
	if (to < t.count)
		appendStringInfoString(&out, "…");
	else
		append_escaped(&out, data + at, len - at);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
