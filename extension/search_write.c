/* Writing the rows of a segment. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search.h"

/* Two bytes for each document of a block are the least. */
#define PART_BLOCKS (SEARCH_PART_MAX / (2 * SEARCH_BLOCK) + 2)
/* A term stands in a page with others while it takes less than a quarter of that. */
#define ENTRY_MAX 1600

static const char *const term_columns[] = { "org_id", "segment_id", "first_term", "body" };
static const char *const block_columns[] = { "org_id", "segment_id", "term", "part", "body" };
static const char *const column_columns[] = { "org_id", "segment_id", "facet", "part", "body" };
static const char *const word_columns[] = { "org_id", "segment_id", "first_word", "body" };

struct facet_part
{
	StringInfoData body;
	int part;
};

struct sh_search_writer
{
	pg_uuid_t org;
	int64 segment;
	struct sh_rows *terms, *blocks, *columns, *words;
	/* the present term */
	bool in_term;
	uint64 term;
	uint32 docs;
	uint32 last;  /* document of the block before */
	uint32 block; /* number of the present one */
	uint32 doc[SEARCH_BLOCK];
	int count;
	struct sh_search_bound bound;
	StringInfoData head, posts, block_places;
	int part;
	StringInfoData body, places;
	int place_count;
	uint32 place_block[PART_BLOCKS], place_offset[PART_BLOCKS];
	struct sh_search_page_writer page; /* of terms that few documents have */
	/* the present row of words */
	StringInfoData word_body;
	char first_word[SEARCH_WORD_MAX + 1];
	char last_word[SEARCH_WORD_MAX + 1];
	int last_word_len;
	bool in_words;
	struct facet_part facets[SEARCH_FACETS];
};

struct sh_search_writer *
sh_search_writer_open(const pg_uuid_t *org, int64 segment)
{
	struct sh_search_writer *w = palloc0(sizeof(*w));

	w->org = *org;
	w->segment = segment;
	w->terms = sh_rows_open("saleshub", "search_term", term_columns, lengthof(term_columns), false);
	w->blocks =
		sh_rows_open("saleshub", "search_block", block_columns, lengthof(block_columns), false);
	w->columns =
		sh_rows_open("saleshub", "search_column", column_columns, lengthof(column_columns), false);
	w->words = sh_rows_open("saleshub", "search_word", word_columns, lengthof(word_columns), false);
	initStringInfo(&w->head);
	initStringInfo(&w->posts);
	initStringInfo(&w->block_places);
	initStringInfo(&w->body);
	initStringInfo(&w->places);
	initStringInfo(&w->word_body);
	initStringInfo(&w->page.entries);
	for (int i = 0; i < SEARCH_FACETS; i++)
		initStringInfo(&w->facets[i].body);
	return w;
}

static bytea *
bytes_of(const StringInfoData *body, int spare)
{
	bytea *bytes = palloc0(VARHDRSZ + body->len + spare);

	SET_VARSIZE(bytes, VARHDRSZ + body->len + spare);
	memcpy(VARDATA(bytes), body->data, body->len);
	return bytes;
}

/* --- terms --- */

/* How many blocks, each block and where it begins, then the places themselves. */
static void
add_places(StringInfo all, const struct sh_search_writer *w)
{
	uint32 table = 4 + w->place_count * 8;

	sh_search_put32(all, w->place_count);
	for (int i = 0; i < w->place_count; i++)
	{
		sh_search_put32(all, w->place_block[i]);
		sh_search_put32(all, table + w->place_offset[i]);
	}
	appendBinaryStringInfo(all, w->places.data, w->places.len);
}

static void
write_block_row(struct sh_search_writer *w, int part, const StringInfoData *from)
{
	bytea *body = bytes_of(from, SEARCH_SPARE);
	Datum values[] = { UUIDPGetDatum(&w->org),
					   Int64GetDatum(w->segment),
					   Int64GetDatum((int64) w->term),
					   Int32GetDatum(part),
					   PointerGetDatum(body) };

	sh_rows_add(w->blocks, values, NULL);
	pfree(body);
}

static void
write_part(struct sh_search_writer *w)
{
	StringInfoData places;

	if (w->part > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a segment of the search index is too large")));
	write_block_row(w, w->part, &w->body);
	initStringInfo(&places);
	add_places(&places, w);
	write_block_row(w, SEARCH_PLACES_PART + w->part, &places);
	pfree(places.data);
	resetStringInfo(&w->body);
	resetStringInfo(&w->places);
	w->place_count = 0;
	w->part++;
}

static void
end_block(struct sh_search_writer *w)
{
	/* Five bytes for a document are more than it takes. */
	if (w->body.len > 0 && w->body.len + w->count * 5 + w->posts.len > SEARCH_PART_MAX)
		write_part(w);
	sh_search_put32(&w->head, w->doc[w->count - 1]);
	sh_search_put16(&w->head, (uint16) w->part);
	sh_search_put16(&w->head, (uint16) w->body.len);
	appendBinaryStringInfo(&w->head, (char *) w->bound.count, SEARCH_FIELDS);
	appendBinaryStringInfo(&w->head, (char *) w->bound.code, SEARCH_FIELDS);
	sh_search_docs_write(&w->body, w->doc, w->count, w->last);
	appendBinaryStringInfo(&w->body, w->posts.data, w->posts.len);
	w->place_block[w->place_count] = w->block++;
	w->place_offset[w->place_count++] = w->places.len;
	appendBinaryStringInfo(&w->places, w->block_places.data, w->block_places.len);
	w->last = w->doc[w->count - 1];
	w->count = 0;
	memset(&w->bound, 0, sizeof(w->bound));
	resetStringInfo(&w->posts);
	resetStringInfo(&w->block_places);
}

static void
write_page(struct sh_search_writer *w)
{
	StringInfoData all;
	int64 first = w->page.first;
	bytea *body;

	if (w->page.count == 0)
		return;
	initStringInfo(&all);
	sh_search_page_end(&w->page, &all);
	body = bytes_of(&all, SEARCH_SPARE);
	sh_rows_add(w->terms,
				(Datum[]){ UUIDPGetDatum(&w->org),
						   Int64GetDatum(w->segment),
						   Int64GetDatum(first),
						   PointerGetDatum(body) },
				NULL);
	pfree(body);
	pfree(all.data);
}

/* The head, and all of the term when that fits a row. */
static void
write_head(struct sh_search_writer *w)
{
	bool inlined =
		w->part == 0 &&
		w->head.len + w->body.len + w->places.len + w->place_count * 8 + 4 <= SEARCH_PART_MAX;
	StringInfoData all;

	if (!inlined && w->body.len > 0)
		write_part(w);
	initStringInfo(&all);
	sh_search_put32(&all, w->block);
	sh_search_put32(&all, inlined ? SEARCH_HEAD_SIZE + w->head.len + w->body.len : 0);
	appendBinaryStringInfo(&all, w->head.data, w->head.len);
	if (inlined)
	{
		appendBinaryStringInfo(&all, w->body.data, w->body.len);
		add_places(&all, w);
	}
	write_block_row(w, SEARCH_HEAD_PART, &all);
	pfree(all.data);
}

static void
end_term(struct sh_search_writer *w)
{
	bool few;
	StringInfoData entry;

	if (!w->in_term)
		return;
	w->in_term = false;
	if (w->count > 0)
		end_block(w);
	if (w->docs == 0)
		return;
	few = w->block == 1 && w->body.len + w->places.len <= ENTRY_MAX;
	initStringInfo(&entry);
	sh_search_number_write(&entry, w->docs << 1 | !few);
	if (few)
	{
		appendBinaryStringInfo(&entry, w->body.data, w->body.len);
		appendBinaryStringInfo(&entry, w->places.data, w->places.len);
	}
	else
		write_head(w);
	if (w->page.count > 0 && !sh_search_page_fits(&w->page, (int64) w->term, entry.len))
		write_page(w);
	sh_search_page_add(&w->page, (int64) w->term, entry.data, entry.len);
	pfree(entry.data);
}

void
sh_search_writer_term(struct sh_search_writer *w, uint64 term)
{
	end_term(w);
	w->in_term = true;
	w->term = term;
	w->docs = w->block = 0;
	w->last = SEARCH_END;
	w->count = w->part = w->place_count = 0;
	memset(&w->bound, 0, sizeof(w->bound));
	resetStringInfo(&w->head);
	resetStringInfo(&w->posts);
	resetStringInfo(&w->block_places);
	resetStringInfo(&w->body);
	resetStringInfo(&w->places);
}

uint32
sh_search_writer_docs(const struct sh_search_writer *w)
{
	return w->docs;
}

void
sh_search_writer_doc(struct sh_search_writer *w, uint32 doc, const uint8 *post, int post_len,
					 const uint8 *places, int places_len)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	int count;

	if (w->count == SEARCH_BLOCK)
		end_block(w);
	w->doc[w->count++] = doc;
	w->docs++;
	appendBinaryStringInfo(&w->posts, (const char *) post, post_len);
	appendBinaryStringInfo(&w->block_places, (const char *) places, places_len);
	sh_search_post_read(post, hits, &count);
	for (int i = 0; i < count; i++)
		sh_search_bound_widen(&w->bound, &hits[i]);
}

/* --- words --- */

static void
write_words(struct sh_search_writer *w)
{
	bytea *body;
	text *first;

	if (!w->in_words)
		return;
	w->in_words = false;
	body = bytes_of(&w->word_body, 0);
	first = cstring_to_text(w->first_word);
	sh_rows_add(w->words,
				(Datum[]){ UUIDPGetDatum(&w->org),
						   Int64GetDatum(w->segment),
						   PointerGetDatum(first),
						   PointerGetDatum(body) },
				NULL);
	pfree(body);
	pfree(first);
	resetStringInfo(&w->word_body);
}

void
sh_search_writer_word(struct sh_search_writer *w, const char *word, int len, uint64 term,
					  uint32 docs)
{
	/* What it takes at most beside its letters. */
	if (w->word_body.len + len + 16 > SEARCH_PART_MAX)
		write_words(w);
	sh_search_words_write(&w->word_body,
						  w->word_body.len > 0 ? w->last_word : NULL,
						  w->last_word_len,
						  word,
						  len,
						  term,
						  docs);
	memcpy(w->last_word, word, len);
	w->last_word[len] = '\0';
	w->last_word_len = len;
	if (!w->in_words)
		strlcpy(w->first_word, w->last_word, sizeof w->first_word);
	w->in_words = true;
}

/* --- facets --- */

static void
write_facet_row(struct sh_search_writer *w, enum sh_search_facet facet, int part,
				const StringInfoData *from)
{
	bytea *body = bytes_of(from, 0);

	sh_rows_add(w->columns,
				(Datum[]){ UUIDPGetDatum(&w->org),
						   Int64GetDatum(w->segment),
						   Int16GetDatum(facet),
						   Int32GetDatum(part),
						   PointerGetDatum(body) },
				NULL);
	pfree(body);
}

static void
write_facet(struct sh_search_writer *w, enum sh_search_facet facet)
{
	struct facet_part *present = &w->facets[facet];

	if (present->body.len == 0)
		return;
	write_facet_row(w, facet, present->part++, &present->body);
	resetStringInfo(&present->body);
}

void
sh_search_writer_record(struct sh_search_writer *w, uint8 kind, const pg_uuid_t *record)
{
	StringInfo body = &w->facets[SEARCH_FACET_RECORD].body;

	appendStringInfoCharMacro(body, (char) kind);
	appendBinaryStringInfo(body, (const char *) record->data, UUID_LEN);
	if (body->len == SEARCH_RECORDS_PART * SEARCH_RECORD_SIZE)
		write_facet(w, SEARCH_FACET_RECORD);
}

void
sh_search_writer_number(struct sh_search_writer *w, enum sh_search_facet facet, uint16 number)
{
	StringInfo body = &w->facets[facet].body;

	sh_search_put16(body, number);
	if (body->len == SEARCH_NUMBERS_PART * 2)
		write_facet(w, facet);
}

void
sh_search_writer_values(struct sh_search_writer *w, enum sh_search_facet facet,
						const char *const *values, int count)
{
	StringInfoData body;

	initStringInfo(&body);
	sh_search_put32(&body, count);
	for (int i = 0; i < count; i++)
		appendBinaryStringInfo(&body, values[i], strlen(values[i]) + 1);
	write_facet_row(w, facet, -1, &body);
	pfree(body.data);
}

void
sh_search_writer_close(struct sh_search_writer *w)
{
	end_term(w);
	write_page(w);
	write_words(w);
	for (int i = 0; i < SEARCH_FACETS; i++)
		write_facet(w, i);
	sh_rows_close(w->terms);
	sh_rows_close(w->blocks);
	sh_rows_close(w->columns);
	sh_rows_close(w->words);
}
