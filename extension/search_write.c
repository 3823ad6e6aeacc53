/* Writing the rows of a segment. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search.h"

/* Bytes of a part, so that its row fills a page. */
#define PART_MAX 7600
/* Two bytes for each document of a block are the least. */
#define PART_BLOCKS (PART_MAX / (2 * SEARCH_BLOCK) + 2)
/* A term's blocks stand in its own row while that stays within a quarter of a page. */
#define INLINE_MAX 1600

static const char *const term_columns[] = {
	"org_id", "segment_id", "term", "docs", "head", "places"
};
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
	/* the present row of words */
	StringInfoData word_body;
	char first_word[SEARCH_WORD_MAX + 1];
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
static bytea *
places_bytes(struct sh_search_writer *w)
{
	StringInfoData all;
	uint32 table = 4 + w->place_count * 8;
	bytea *bytes;

	initStringInfo(&all);
	sh_search_put32(&all, w->place_count);
	for (int i = 0; i < w->place_count; i++)
	{
		sh_search_put32(&all, w->place_block[i]);
		sh_search_put32(&all, table + w->place_offset[i]);
	}
	appendBinaryStringInfo(&all, w->places.data, w->places.len);
	bytes = bytes_of(&all, 0);
	pfree(all.data);
	return bytes;
}

static void
write_block_row(struct sh_search_writer *w, int part, bytea *body)
{
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
	if (w->part > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a segment of the search index is too large")));
	write_block_row(w, w->part, bytes_of(&w->body, SEARCH_SPARE));
	write_block_row(w, SEARCH_PLACES_PART + w->part, places_bytes(w));
	resetStringInfo(&w->body);
	resetStringInfo(&w->places);
	w->place_count = 0;
	w->part++;
}

static void
end_block(struct sh_search_writer *w)
{
	/* Five bytes for a document are more than it takes. */
	if (w->body.len > 0 && w->body.len + w->count * 5 + w->posts.len > PART_MAX)
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
end_term(struct sh_search_writer *w)
{
	bool inlined;
	Datum values[lengthof(term_columns)];
	bool nulls[lengthof(term_columns)] = { false };
	StringInfoData head;
	bytea *bytes;
	bytea *places = NULL;

	if (!w->in_term)
		return;
	w->in_term = false;
	if (w->count > 0)
		end_block(w);
	if (w->docs == 0)
		return;
	inlined =
		w->part == 0 && w->head.len + w->body.len <= INLINE_MAX && w->places.len <= INLINE_MAX;
	if (!inlined && w->body.len > 0)
		write_part(w);
	initStringInfo(&head);
	sh_search_put32(&head, w->block);
	appendBinaryStringInfo(&head, w->head.data, w->head.len);
	if (inlined)
	{
		appendBinaryStringInfo(&head, w->body.data, w->body.len);
		places = places_bytes(w);
	}
	bytes = bytes_of(&head, inlined ? SEARCH_SPARE : 0);
	values[0] = UUIDPGetDatum(&w->org);
	values[1] = Int64GetDatum(w->segment);
	values[2] = Int64GetDatum((int64) w->term);
	values[3] = Int32GetDatum(w->docs);
	values[4] = PointerGetDatum(bytes);
	values[5] = PointerGetDatum(places);
	nulls[5] = !places;
	sh_rows_add(w->terms, values, nulls);
	pfree(bytes);
	pfree(head.data);
	if (places)
		pfree(places);
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

static void
widen_bound(struct sh_search_bound *bound, const struct sh_search_hit *hit)
{
	uint8 *count = &bound->count[hit->field];
	uint8 *code = &bound->code[hit->field];

	*code = *count == 0 ? hit->code : Min(*code, hit->code);
	*count = (uint8) Max(*count, Min(hit->count, 255));
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
		widen_bound(&w->bound, &hits[i]);
}

/* --- words --- */

static void
write_words(struct sh_search_writer *w)
{
	bytea *body;
	text *first;

	if (w->word_body.len == 0)
		return;
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
	if (w->word_body.len + len + 16 > PART_MAX)
		write_words(w);
	if (w->word_body.len == 0)
	{
		memcpy(w->first_word, word, len);
		w->first_word[len] = '\0';
	}
	appendStringInfoCharMacro(&w->word_body, (char) len);
	appendBinaryStringInfo(&w->word_body, word, len);
	sh_search_put64(&w->word_body, term);
	sh_search_put32(&w->word_body, docs);
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
	write_words(w);
	for (int i = 0; i < SEARCH_FACETS; i++)
		write_facet(w, i);
	sh_rows_close(w->terms);
	sh_rows_close(w->blocks);
	sh_rows_close(w->columns);
	sh_rows_close(w->words);
}
