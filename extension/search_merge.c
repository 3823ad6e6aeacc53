/*
 * Making one segment of several neighbours: their terms, words and columns are read side by side in
 * order, as an LSM tree does (O'Neil et al., "The Log-Structured Merge-Tree", 1996); documents that
 * are gone stay behind.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search.h"

PG_FUNCTION_INFO_V1(sh_search_merge);

/* Neighbours of a size that become one, and how many at most do at once. */
#define FANOUT 4
#define RUN_MAX 48
/* Segments up to so many documents are of the smallest size; each larger one is FANOUT times that.
 */
#define SMALLEST 4096
/* A segment is written anew when one of so many of its documents is gone. */
#define GONE_PART 5

struct source
{
	struct sh_search_segment *segment;
	struct sh_search_index *index;
	uint32 shift; /* of its documents in the new segment */
	bool more;	  /* there is a term or word */
	bytea *body;  /* of the present row */
	struct sh_search_page page;
	int n; /* of the term in its page */
	int64 term;
	struct sh_search_words words;
};

/* The next row of a table, copied; false behind the last. */
static bool
next_row(struct source *s, enum sh_search_table table, int64 *first)
{
	TupleTableSlot *row = s->body ? sh_search_next(s->index, table) :
									sh_search_row(s->index, table, s->segment->id, 0, NULL);
	bool isnull;

	if (s->body)
		pfree(s->body);
	s->body = NULL;
	if (!row)
		return false;
	if (first)
		*first = DatumGetInt64(slot_getattr(row, SEARCH_PAGE_FIRST, &isnull));
	s->body = DatumGetByteaPCopy(slot_getattr(row, SEARCH_PAGE_BODY, &isnull));
	return true;
}

/* --- terms --- */

static void
next_term(struct source *s)
{
	int64 first;

	if (!s->body || ++s->n == s->page.count)
	{
		s->more = next_row(s, SEARCH_TABLE_TERM, &first);
		if (!s->more)
			return;
		sh_search_page_open(&s->page, first, VARDATA(s->body), VARSIZE(s->body) - VARHDRSZ);
		s->n = 0;
	}
	s->term = sh_search_page_term(&s->page, s->n);
}

/* Copy the documents of a term that are not gone. */
static void
copy_list(struct sh_search_writer *writer, struct source *s)
{
	const struct sh_search_segment *segment = s->segment;
	struct sh_search_list *list = palloc(sizeof(*list));
	int gone = 0;
	int len;

	sh_search_list_take(
		list, s->index, segment, s->term, sh_search_page_entry(&s->page, s->n, &len));
	for (uint32 block = 0; block < list->blocks; block++)
	{
		const uint8 *places;

		sh_search_list_read(list, block);
		places = sh_search_list_places(list);
		for (list->at = 0; list->at < list->count; list->at++)
		{
			uint32 doc = list->doc[list->at];
			const uint8 *post = sh_search_list_post(list);
			const uint8 *end = sh_search_places_end(post, places);

			while (gone < segment->gone_count && segment->gone[gone] < doc)
				gone++;
			if (gone == segment->gone_count || segment->gone[gone] != doc)
				sh_search_writer_doc(writer,
									 doc + s->shift,
									 post,
									 sh_search_post_skip(post) - post,
									 places,
									 end - places);
			places = end;
		}
	}
	sh_search_list_close(list);
	pfree(list);
}

/* The terms that no document is left of go into lost. */
static void
merge_terms(struct sh_search_writer *writer, struct source *sources, int count, HTAB *lost)
{
	for (int i = 0; i < count; i++)
		next_term(&sources[i]);
	for (;;)
	{
		bool any = false;
		int64 least = 0;

		for (int i = 0; i < count; i++)
			if (sources[i].more && (!any || sources[i].term < least))
			{
				any = true;
				least = sources[i].term;
			}
		if (!any)
			break;
		CHECK_FOR_INTERRUPTS();
		sh_search_writer_term(writer, (uint64) least);
		for (int i = 0; i < count; i++)
			if (sources[i].more && sources[i].term == least)
			{
				copy_list(writer, &sources[i]);
				next_term(&sources[i]);
			}
		if (sh_search_writer_docs(writer) == 0)
			(void) hash_search(lost, &least, HASH_ENTER, NULL);
	}
}

/* --- words --- */

static void
next_word(struct source *s)
{
	s->more = s->body && sh_search_words_next(&s->words);
	while (!s->more && next_row(s, SEARCH_TABLE_WORD, NULL))
	{
		sh_search_words_open(&s->words, VARDATA(s->body), VARSIZE(s->body) - VARHDRSZ);
		s->more = sh_search_words_next(&s->words);
	}
}

static int
compare(const struct sh_search_words *a, const struct sh_search_words *b)
{
	int order = memcmp(a->word, b->word, Min(a->len, b->len));

	return order != 0 ? order : a->len - b->len;
}

static void
merge_words(struct sh_search_writer *writer, struct source *sources, int count, HTAB *lost)
{
	for (int i = 0; i < count; i++)
		next_word(&sources[i]);
	for (;;)
	{
		struct source *least = NULL;
		struct sh_search_words word;
		uint64 term;
		uint32 docs = 0;

		for (int i = 0; i < count; i++)
			if (sources[i].more && (!least || compare(&sources[i].words, &least->words) < 0))
				least = &sources[i];
		if (!least)
			break;
		word = least->words;
		term = sh_search_words_term(&least->words);
		for (int i = 0; i < count; i++)
			if (sources[i].more && compare(&sources[i].words, &word) == 0)
			{
				docs += sources[i].words.docs;
				next_word(&sources[i]);
			}
		if (!hash_search(lost, &term, HASH_FIND, NULL))
			sh_search_writer_word(writer, word.word, word.len, term, docs);
	}
}

/* --- columns --- */

static void
merge_records(struct sh_search_writer *writer, const struct source *s)
{
	const struct sh_search_segment *segment = s->segment;
	uint32 docs = (uint32) (segment->last - segment->first) + 1;
	bytea *part = NULL;
	int gone = 0;

	for (uint32 doc = 0; doc < docs; doc++)
	{
		pg_uuid_t record = { { 0 } };
		uint8 kind = 0;

		if (doc % SEARCH_RECORDS_PART == 0)
		{
			if (part)
				pfree(part);
			part = sh_search_records(s->index, segment, (int) (doc / SEARCH_RECORDS_PART));
		}
		while (gone < segment->gone_count && segment->gone[gone] < doc)
			gone++;
		if (part && (gone == segment->gone_count || segment->gone[gone] != doc))
		{
			const char *at = VARDATA(part) + (doc % SEARCH_RECORDS_PART) * SEARCH_RECORD_SIZE;

			kind = (uint8) *at;
			memcpy(record.data, at + 1, UUID_LEN);
		}
		sh_search_writer_record(writer, kind, &record);
	}
	if (part)
		pfree(part);
}

static void
merge_columns(struct sh_search_writer *writer, struct source *sources, int count)
{
	for (int i = 0; i < count; i++)
		merge_records(writer, &sources[i]);
	for (int facet = SEARCH_FACET_DAY; facet < SEARCH_FACETS; facet++)
	{
		struct sh_search_names *names = sh_search_names_new();

		for (int i = 0; i < count; i++)
		{
			const struct sh_search_segment *segment = sources[i].segment;
			uint16 *numbers = sh_search_column(sources[i].index, segment, facet);
			int value_count;
			char **values = sh_search_values(sources[i].index, segment, facet, &value_count);

			for (uint32 doc = 0; doc <= (uint32) (segment->last - segment->first); doc++)
				sh_search_writer_number(writer,
										facet,
										facet < SEARCH_FACET_TEXTS || numbers[doc] >= value_count ?
											numbers[doc] :
											sh_search_names_number(names, values[numbers[doc]]));
			pfree(numbers);
		}
		sh_search_names_write(names, writer, facet);
	}
}

/* --- which, and what becomes of them --- */

static int
size_of(const struct sh_search_segment *segment)
{
	int size = 0;

	for (int64 limit = SMALLEST; segment->docs > limit; limit *= FANOUT)
		size++;
	return size;
}

static bool
is_worn(const struct sh_search_segment *segment)
{
	return segment->erase ||
		   (segment->gone_count > 0 && segment->gone_count >= segment->docs / GONE_PART);
}

/* The first run of neighbours to be merged, the smallest sizes first: how many, from which. */
static int
choose(const struct sh_search_segment *segments, int count, int *from)
{
	int largest = 0;

	for (int i = 0; i < count; i++)
		largest = Max(largest, size_of(&segments[i]));
	for (int size = 0; size <= largest; size++)
	{
		int run = 0;

		for (int i = count - 1; i >= 0; i--)
		{
			run = size_of(&segments[i]) <= size ? run + 1 : 0;
			if (run == FANOUT)
			{
				while (i > 0 && run < RUN_MAX && size_of(&segments[i - 1]) <= size)
				{
					i--;
					run++;
				}
				*from = i;
				return run;
			}
		}
	}
	for (int i = 0; i < count; i++)
		if (is_worn(&segments[i]))
		{
			*from = i;
			return 1;
		}
	return 0;
}

static void
drop_merged(const pg_uuid_t *org, const struct sh_search_segment *segments, int count)
{
	static const char *const tables[] = {
		"search_segment", "search_term", "search_block", "search_column", "search_word"
	};
	StringInfoData sql;

	SPI_connect();
	initStringInfo(&sql);
	for (int i = 0; i < (int) lengthof(tables); i++)
		for (int n = 0; n < count; n++)
		{
			resetStringInfo(&sql);
			appendStringInfo(
				&sql, "DELETE FROM saleshub.%s WHERE org_id = $1 AND segment_id = $2", tables[i]);
			if (SPI_execute_with_args(
					sql.data,
					2,
					(Oid[]){ UUIDOID, INT8OID },
					(Datum[]){ UUIDPGetDatum(org), Int64GetDatum(segments[n].id) },
					NULL,
					false,
					0) != SPI_OK_DELETE)
				elog(ERROR, "could not remove a segment of the search index");
		}
	for (int n = 0; n < count; n++)
		if (segments[n].gone_count > 0)
		{
			Datum *docs = palloc(segments[n].gone_count * sizeof(Datum));

			for (int i = 0; i < segments[n].gone_count; i++)
				docs[i] = Int32GetDatum(segments[n].first + (int32) segments[n].gone[i]);
			SPI_execute_with_args(
				"DELETE FROM saleshub.search_gone WHERE org_id = $1 AND doc = ANY ($2)",
				2,
				(Oid[]){ UUIDOID, INT4ARRAYOID },
				(Datum[]){ UUIDPGetDatum(org),
						   PointerGetDatum(construct_array(
							   docs, segments[n].gone_count, INT4OID, 4, true, TYPALIGN_INT)) },
				NULL,
				false,
				0);
		}
	SPI_finish();
}

static void
merge(const pg_uuid_t *org, struct sh_search_segment *segments, int count)
{
	struct sh_search_segment merged = { .first = segments[0].first,
										.last = segments[count - 1].last };
	struct source *sources = palloc0(count * sizeof(*sources));
	struct sh_search_writer *writer;
	HTAB *lost =
		sh_table("saleshub terms lost", sizeof(int64), sizeof(int64), 256, CurrentMemoryContext);

	for (int i = 0; i < count; i++)
	{
		sources[i].segment = &segments[i];
		sources[i].index = sh_search_index_open(org);
		sources[i].shift = (uint32) (segments[i].first - merged.first);
		merged.docs += segments[i].docs - segments[i].gone_count;
		for (int f = 0; f < SEARCH_FIELDS; f++)
			merged.words[f] += segments[i].words[f] - segments[i].gone_words[f];
	}
	sh_search_segment_add(org, &merged);
	writer = sh_search_writer_open(org, merged.id);
	merge_terms(writer, sources, count, lost);
	merge_words(writer, sources, count, lost);
	merge_columns(writer, sources, count);
	sh_search_writer_close(writer);
	for (int i = 0; i < count; i++)
		sh_search_index_close(sources[i].index);
	drop_merged(org, segments, count);
}

/* Merge one run of segments, or all of them; returns how many there were. */
Datum
sh_search_merge(PG_FUNCTION_ARGS)
{
	pg_uuid_t *org = PG_GETARG_UUID_P(0);
	bool all = PG_GETARG_BOOL(1);
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "saleshub search merge", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	struct sh_identity identity;
	struct sh_search_segment *segments;
	int from = 0;
	int count;

	sh_owner_enter(&identity);
	count = sh_search_segments(org, &segments);
	if (!all)
		count = choose(segments, count, &from);
	else if (count == 1 && segments[0].gone_count == 0)
		count = 0;
	if (count > 0)
		merge(org, segments + from, count);
	sh_owner_leave(&identity);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	PG_RETURN_INT32(count);
}
