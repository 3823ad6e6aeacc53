/*
 * From text to words. A word is a run of letters and digits; its case, accents, apostrophes and
 * the full stops within abbreviations go. Scripts that write no blanks give pairs of neighbouring
 * characters instead, as Lucene's CJKBigramFilter does. What a word is looked up by is its stem.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "nodes/value.h"
#include "tsearch/ts_cache.h"
#include "tsearch/ts_public.h"
#include "utils/memutils.h"

#include "match.h"
#include "saleshub.h"
#include "search.h"

/* Stems that a backend remembers; past that it starts anew. */
#define STEMS_MAX 32768

enum char_class
{
	SPACE,
	LETTER,
	APOSTROPHE,
	PAIRED, /* of a script without blanks */
	SYMBOL	/* a word by itself */
};

struct range
{
	pg_wchar first, last;
	enum char_class is;
};

/* What is no letter above ASCII; ascending. */
static const struct range ranges[] = {
	{ 0x80, 0xA9, SPACE },		  { 0xAB, 0xB4, SPACE },		{ 0xB6, 0xB9, SPACE },
	{ 0xBB, 0xBF, SPACE },		  { 0xD7, 0xD7, SPACE },		{ 0xF7, 0xF7, SPACE },
	{ 0xE00, 0xEFF, PAIRED },	  { 0x2000, 0x2018, SPACE },	{ 0x2019, 0x2019, APOSTROPHE },
	{ 0x201A, 0x206F, SPACE },	  { 0x20A0, 0x20CF, SPACE },	{ 0x2190, 0x2BFF, SYMBOL },
	{ 0x2E00, 0x2E7F, SPACE },	  { 0x3000, 0x3004, SPACE },	{ 0x3008, 0x3020, SPACE },
	{ 0x3030, 0x3030, SPACE },	  { 0x3040, 0x30FF, PAIRED },	{ 0x3400, 0x4DBF, PAIRED },
	{ 0x4E00, 0x9FFF, PAIRED },	  { 0xF900, 0xFAFF, PAIRED },	{ 0xFE00, 0xFE6F, SPACE },
	{ 0xFEFF, 0xFF0F, SPACE },	  { 0xFF1A, 0xFF20, SPACE },	{ 0xFF3B, 0xFF40, SPACE },
	{ 0xFF5B, 0xFF65, SPACE },	  { 0xFFF0, 0xFFFF, SPACE },	{ 0x1F000, 0x1FAFF, SYMBOL },
	{ 0x20000, 0x2FA1F, PAIRED }, { 0xE0000, 0x10FFFF, SPACE },
};

struct stem_key
{
	Oid dictionary;
	char word[SEARCH_WORD_MAX + 1];
};

struct stem
{
	struct stem_key key;
	uint64 term;
	bool stop;
};

/* A text under way. */
struct reader
{
	const char *data;
	int len;
	Oid dictionary;
	uint32 position; /* of the next word */
	sh_search_take take;
	void *arg;
	struct sh_search_word word;
	char raw[4 * SEARCH_WORD_MAX]; /* the letters of the present word */
	int raw_len;
	bool ascii;
};

static HTAB *stems = NULL;
static MemoryContext stem_context = NULL;

/* --- terms --- */

/* FNV-1a (Fowler, Noll, Vo), its bits mixed by the last step of MurmurHash3: the same everywhere.
 */
uint64
sh_search_term(const char *data, int len, char space)
{
	uint64 hash = (UINT64CONST(0xcbf29ce484222325) ^ (uint8) space) * UINT64CONST(0x100000001b3);

	for (int i = 0; i < len; i++)
		hash = (hash ^ (uint8) data[i]) * UINT64CONST(0x100000001b3);
	hash ^= hash >> 33;
	hash *= UINT64CONST(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	hash *= UINT64CONST(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 33;
}

/* Ask the dictionary; a word that it does not know stays as it is. */
static void
find_stem(struct stem *stem)
{
	TSDictionaryCacheEntry *dictionary = lookup_ts_dictionary_cache(stem->key.dictionary);
	int len = strlen(stem->key.word);
	DictSubState state = { 0 };
	TSLexeme *found =
		(TSLexeme *) DatumGetPointer(FunctionCall4(&dictionary->lexize,
												   PointerGetDatum(dictionary->dictData),
												   PointerGetDatum(stem->key.word),
												   Int32GetDatum(len),
												   PointerGetDatum(&state)));

	stem->stop = found && !found->lexeme;
	if (found && found->lexeme)
		stem->term = sh_search_term(found->lexeme, strlen(found->lexeme), 'w');
	else
		stem->term = sh_search_term(stem->key.word, len, 'w');
}

static void
look_up(Oid dictionary, struct sh_search_word *word)
{
	struct stem_key key = { dictionary, { 0 } };
	struct stem *stem;
	bool found;

	if (!OidIsValid(dictionary))
	{
		word->term = sh_search_term(word->text, word->len, 'w');
		word->stop = false;
		return;
	}
	if (stems && hash_get_num_entries(stems) >= STEMS_MAX)
	{
		MemoryContextDelete(stem_context);
		stems = NULL;
	}
	if (!stems)
	{
		stem_context =
			AllocSetContextCreate(TopMemoryContext, "saleshub stems", ALLOCSET_DEFAULT_SIZES);
		stems = sh_table("saleshub stems", sizeof(key), sizeof(*stem), 1024, stem_context);
	}
	memcpy(key.word, word->text, word->len);
	stem = hash_search(stems, &key, HASH_FIND, &found);
	if (!found)
	{
		struct stem fresh = { .key = key };

		find_stem(&fresh);
		stem = hash_search(stems, &key, HASH_ENTER, &found);
		*stem = fresh;
	}
	word->term = stem->term;
	word->stop = stem->stop;
}

/* --- words --- */

static enum char_class
class_of(const char *at, int len)
{
	unsigned char c = (unsigned char) *at;
	pg_wchar wide;
	int low = 0;
	int high = lengthof(ranges);

	if (!IS_HIGHBIT_SET(c))
		return isalnum(c) ? LETTER : c == '\'' ? APOSTROPHE : SPACE;
	if (GetDatabaseEncoding() != PG_UTF8)
		return LETTER;
	wide = utf8_to_unicode((const unsigned char *) at);
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (ranges[middle].last < wide)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < (int) lengthof(ranges) && ranges[low].first <= wide)
		return ranges[low].is;
	return LETTER;
}

/* Give the word whose letters were gathered, from byte start to end. */
static void
give(struct reader *r, int start, int end)
{
	struct sh_search_word *word = &r->word;
	const char *text = r->raw;
	int len = r->raw_len;

	if (!r->ascii)
	{
		text = sh_match_fold(r->raw, r->raw_len);
		len = strlen(text);
	}
	len = len > SEARCH_WORD_MAX ? pg_mbcliplen(text, len, SEARCH_WORD_MAX) : len;
	r->raw_len = 0;
	r->ascii = true;
	if (len == 0)
		return;
	memcpy(word->text, text, len);
	word->text[len] = '\0';
	word->len = len;
	word->start = start;
	word->end = end;
	word->position = r->position++;
	look_up(r->dictionary, word);
	r->take(r->arg, word);
}

static void
gather(struct reader *r, const char *at, int len)
{
	if (r->raw_len + len > (int) sizeof(r->raw))
		return;
	for (int i = 0; i < len; i++)
		r->raw[r->raw_len++] = (char) tolower((unsigned char) at[i]);
	if (len > 1 || IS_HIGHBIT_SET(*at))
	{
		r->ascii = false;
		memcpy(r->raw + r->raw_len - len, at, len);
	}
}

static int
length_at(const struct reader *r, int at)
{
	return Min(pg_mblen(r->data + at), r->len - at);
}

static enum char_class
class_at(const struct reader *r, int at)
{
	return at < r->len ? class_of(r->data + at, r->len - at) : SPACE;
}

/*
 * Whether letters go on behind the mark at this place: an apostrophe between letters (but that of a
 * possessive ends the word), or the full stop behind the one letter of an abbreviation such as U.S.
 */
static bool
goes_on(const struct reader *r, int at, int letters)
{
	int len = length_at(r, at);
	int next = at + len;

	if (class_at(r, next) != LETTER)
		return false;
	if (class_at(r, at) == APOSTROPHE)
		return !((r->data[next] == 's' || r->data[next] == 'S') && class_at(r, next + 1) != LETTER);
	return r->data[at] == '.' && letters == 1 && isalpha((unsigned char) r->data[at - 1]) &&
		   isalpha((unsigned char) r->data[next]) && class_at(r, next + 1) != LETTER;
}

/* A run of letters from this byte on; returns where it ends. */
static int
read_letters(struct reader *r, int start)
{
	int at = start;
	int letters = 0; /* since the last mark */

	for (;;)
	{
		enum char_class is = class_at(r, at);

		if (is == LETTER)
		{
			int len = length_at(r, at);

			gather(r, r->data + at, len);
			at += len;
			letters++;
		}
		else if (at < r->len && goes_on(r, at, letters))
		{
			at += length_at(r, at);
			letters = 0;
		}
		else
			break;
	}
	give(r, start, at);
	/* The s of a possessive. */
	if (class_at(r, at) == APOSTROPHE && class_at(r, at + length_at(r, at)) == LETTER)
		at += length_at(r, at) + 1;
	return at;
}

/* Characters of a script without blanks: each with the next, one alone by itself. */
static int
read_pairs(struct reader *r, int start)
{
	int at = start;

	for (;;)
	{
		int len = length_at(r, at);
		bool paired = class_at(r, at + len) == PAIRED;

		if (paired || at == start)
		{
			int both = paired ? len + length_at(r, at + len) : len;

			gather(r, r->data + at, both);
			give(r, at, at + both);
		}
		at += len;
		if (!paired)
			return at;
	}
}

uint32
sh_search_words(const char *data, int len, Oid dictionary, uint32 first, sh_search_take take,
				void *arg)
{
	struct reader r = { .data = data,
						.len = len,
						.dictionary = dictionary,
						.position = first,
						.take = take,
						.arg = arg,
						.ascii = true };

	for (int at = 0; at < len;)
	{
		enum char_class is = class_at(&r, at);

		if (is == LETTER)
			at = read_letters(&r, at);
		else if (is == PAIRED)
			at = read_pairs(&r, at);
		else
		{
			int step = length_at(&r, at);

			if (is == SYMBOL)
			{
				gather(&r, data + at, step);
				give(&r, at, at + step);
			}
			at += step;
		}
	}
	return r.position;
}

/* --- the language --- */

Oid
sh_search_dictionary(void)
{
	return get_ts_dict_oid(list_make2(makeString("pg_catalog"), makeString("english_stem")), true);
}
