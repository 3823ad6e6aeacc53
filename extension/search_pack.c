/*
 * A document before it stands in a segment: its terms, where each occurs, and its words. Queries
 * read it as it is, the worker makes segments of it.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "match.h"
#include "saleshub.h"
#include "search.h"

/* Between two values of one field, so that no phrase reaches from one into the other. */
#define GAP 16

struct place
{
	uint64 term;
	uint32 field;
	uint32 position;
};

struct known_word
{
	char text[SEARCH_WORD_MAX + 1];
	uint64 term;
};

struct sh_search_pack
{
	Oid dictionary;
	enum sh_search_field field; /* of what is being read */
	uint32 next[SEARCH_FIELDS]; /* positions */
	uint32 length[SEARCH_FIELDS];
	int count, size;
	struct place *places;
	HTAB *words;
};

struct sh_search_pack *
sh_search_pack_new(Oid dictionary)
{
	struct sh_search_pack *pack = palloc0(sizeof(*pack));

	pack->dictionary = dictionary;
	pack->size = 64;
	pack->places = palloc(pack->size * sizeof(*pack->places));
	pack->words = sh_table("saleshub words of a document",
						   SEARCH_WORD_MAX + 1,
						   sizeof(struct known_word),
						   64,
						   CurrentMemoryContext);
	for (int i = 0; i < SEARCH_FIELDS; i++)
		pack->next[i] = 1;
	return pack;
}

static void
add_place(struct sh_search_pack *pack, uint64 term, uint32 position)
{
	if (pack->count == pack->size)
	{
		pack->size *= 2;
		pack->places = repalloc_huge(pack->places, pack->size * sizeof(*pack->places));
	}
	pack->places[pack->count++] = (struct place){ term, pack->field, position };
}

static void
take_word(void *arg, const struct sh_search_word *word)
{
	struct sh_search_pack *pack = arg;
	char key[SEARCH_WORD_MAX + 1] = { 0 };
	struct known_word *known;
	bool found;

	pack->length[pack->field]++;
	add_place(pack, word->term, word->position);
	memcpy(key, word->text, word->len);
	known = hash_search(pack->words, key, HASH_ENTER, &found);
	known->term = word->term;
}

void
sh_search_pack_add(struct sh_search_pack *pack, enum sh_search_field field, const char *data,
				   int len)
{
	pack->field = field;
	pack->next[field] =
		sh_search_words(data, len, pack->dictionary, pack->next[field], take_word, pack) + GAP;
}

void
sh_search_pack_phone(struct sh_search_pack *pack, const char *digits, int len)
{
	pack->field = SEARCH_IDENTIFIER;
	pack->length[pack->field]++;
	for (int from = 0; from + SEARCH_PHONE_PIECE <= len; from++)
		add_place(pack,
				  sh_search_term(digits + from, SEARCH_PHONE_PIECE, '#'),
				  pack->next[SEARCH_IDENTIFIER] + from);
	pack->next[SEARCH_IDENTIFIER] += len + GAP;
}

/* --- lengths --- */

/* Exact below this; above, eight steps for each doubling. */
#define EXACT 40

uint8
sh_search_length_code(uint32 length)
{
	uint32 above = length - Min(length, EXACT);
	int shift = 0;

	if (length < EXACT)
		return (uint8) length;
	/* A float of three bits behind the leading one. */
	while (above >> shift >= 16)
		shift++;
	if (above < 8)
		return (uint8) (EXACT + above);
	return (uint8) Min(EXACT + (shift + 1) * 8 + ((above >> shift) & 7), 255);
}

uint32
sh_search_length(uint8 code)
{
	uint32 over = code - EXACT;

	if (code < EXACT + 8)
		return code;
	return EXACT + ((8 | (over & 7)) << (over / 8 - 1));
}

/* --- writing --- */

static int
compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->term != y->term)
		return x->term < y->term ? -1 : 1;
	if (x->field != y->field)
		return x->field < y->field ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

/* The posting of the term whose places begin here, and the places; returns behind its last. */
static int
write_term(StringInfo to, const struct sh_search_pack *pack, const uint8 *codes, int from)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	int count = 0;
	int end = from;
	uint32 last = 0;

	for (; end < pack->count && pack->places[end].term == pack->places[from].term; end++)
	{
		uint32 field = pack->places[end].field;

		if (count == 0 || hits[count - 1].field != field)
			hits[count++] = (struct sh_search_hit){ field, codes[field], 0 };
		hits[count - 1].count++;
	}
	sh_search_post_write(to, hits, count);
	for (int i = from; i < end; i++)
	{
		bool first = i == from || pack->places[i].field != pack->places[i - 1].field;

		sh_search_number_write(to, pack->places[i].position - (first ? 0 : last));
		last = pack->places[i].position;
	}
	return end;
}

static int
compare_words(const void *a, const void *b)
{
	return strcmp((*(struct known_word *const *) a)->text, (*(struct known_word *const *) b)->text);
}

/* Each word with the term that it is looked up by, in the order of bytes. */
static void
write_words(StringInfo to, struct sh_search_pack *pack)
{
	long count = hash_get_num_entries(pack->words);
	struct known_word **all = palloc(Max(count, 1) * sizeof(*all));
	HASH_SEQ_STATUS scan;
	struct known_word *word;
	int n = 0;

	hash_seq_init(&scan, pack->words);
	while ((word = hash_seq_search(&scan)) != NULL)
		all[n++] = word;
	qsort(all, n, sizeof(*all), compare_words);
	for (int i = 0; i < n; i++)
	{
		int len = strlen(all[i]->text);

		appendStringInfoCharMacro(to, (char) len);
		appendBinaryStringInfo(to, all[i]->text, len);
		sh_search_put64(to, all[i]->term);
	}
	pfree(all);
}

/* Stored: how many terms, where the words begin, hashes, beginnings, postings with places, words.
 */
bytea *
sh_search_pack_end(struct sh_search_pack *pack, int32 *lengths)
{
	StringInfoData hashes, posts, body, all;
	uint8 codes[SEARCH_FIELDS];
	uint32 packed_lengths = 0;
	int terms = 0;
	bytea *done;

	for (int i = SEARCH_FIELDS - 1; i >= 0; i--)
	{
		codes[i] = sh_search_length_code(pack->length[i]);
		packed_lengths = packed_lengths << 8 | codes[i];
	}
	qsort(pack->places, pack->count, sizeof(*pack->places), compare_places);
	initStringInfo(&hashes);
	initStringInfo(&posts);
	initStringInfo(&body);
	initStringInfo(&all);
	for (int i = 0; i < pack->count; terms++)
	{
		sh_search_put64(&hashes, pack->places[i].term);
		sh_search_put32(&posts, body.len);
		i = write_term(&body, pack, codes, i);
	}
	sh_search_put32(&all, terms);
	sh_search_put32(&all, body.len);
	appendBinaryStringInfo(&all, hashes.data, hashes.len);
	appendBinaryStringInfo(&all, posts.data, posts.len);
	appendBinaryStringInfo(&all, body.data, body.len);
	write_words(&all, pack);
	hash_destroy(pack->words);
	*lengths = (int32) packed_lengths;
	done = palloc(VARHDRSZ + all.len);
	SET_VARSIZE(done, VARHDRSZ + all.len);
	memcpy(VARDATA(done), all.data, all.len);
	return done;
}

/* --- reading --- */

void
sh_search_packed_open(struct sh_search_packed *doc, const char *data, int len)
{
	const uint8 *at = (const uint8 *) data;

	doc->terms = (int) sh_search_get32(at);
	doc->hashes = at + 8;
	doc->posts = doc->hashes + (Size) doc->terms * 8;
	doc->base = doc->posts + (Size) doc->terms * 4;
	doc->words = doc->base + sh_search_get32(at + 4);
	doc->end = at + len;
}

uint64
sh_search_packed_term(const struct sh_search_packed *doc, int n)
{
	return sh_search_get64(doc->hashes + (Size) n * 8);
}

const uint8 *
sh_search_packed_post(const struct sh_search_packed *doc, int n)
{
	return doc->base + sh_search_get32(doc->posts + (Size) n * 4);
}

const uint8 *
sh_search_packed_find(const struct sh_search_packed *doc, uint64 term)
{
	int low = 0;
	int high = doc->terms;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (sh_search_packed_term(doc, middle) < term)
			low = middle + 1;
		else
			high = middle;
	}
	return low < doc->terms && sh_search_packed_term(doc, low) == term ?
			   sh_search_packed_post(doc, low) :
			   NULL;
}

int
sh_search_packed_word(const struct sh_search_packed *doc, const uint8 **at, const char **word,
					  uint64 *term)
{
	int len;

	if (*at >= doc->end)
		return -1;
	len = *(*at)++;
	*word = (const char *) *at;
	*term = sh_search_get64(*at + len);
	*at += len + 8;
	return len;
}
