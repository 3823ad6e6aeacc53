/* Making a segment of the documents that wait. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search.h"

PG_FUNCTION_INFO_V1(sh_search_flush);

/* Documents, and their bytes, that become one segment at most. */
#define DOCS_MAX 20000
#define BYTES_MAX (64 * 1024 * 1024)
#define FETCH 500

struct entry
{
	int64 term;
	uint32 doc;
	uint32 n; /* of the term in the document */
};

struct spelling
{
	const char *word;
	int len;
	uint64 term;
};

/* --- reading what waits --- */

static int
compare_waiting(const void *a, const void *b)
{
	const struct sh_search_waiting *x = a, *y = b;
	int order = memcmp(&x->record, &y->record, UUID_LEN);

	return order != 0 ? order : (int) x->kind - y->kind;
}

/* Those that nobody is changing right now; they stay as they are until this transaction ends. */
static int
take_waiting(const pg_uuid_t *org, struct sh_search_waiting **out)
{
	struct sh_search_waiting *docs = palloc_extended(DOCS_MAX * sizeof(*docs), MCXT_ALLOC_HUGE);
	MemoryContext context = CurrentMemoryContext;
	Portal cursor;
	Size bytes = 0;
	int count = 0;

	SPI_connect();
	cursor = SPI_cursor_open_with_args(NULL,
									   SEARCH_WAITING_QUERY " LIMIT 20000 FOR UPDATE SKIP LOCKED",
									   1,
									   (Oid[]){ UUIDOID },
									   (Datum[]){ UUIDPGetDatum(org) },
									   NULL,
									   false,
									   0);
	do
	{
		MemoryContext before;

		SPI_cursor_fetch(cursor, true, FETCH);
		before = MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < SPI_processed && count < DOCS_MAX; i++)
			bytes += sh_search_waiting_read(
				&docs[count++], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		MemoryContextSwitchTo(before);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0 && count < DOCS_MAX && bytes < BYTES_MAX);
	SPI_cursor_close(cursor);
	SPI_finish();
	qsort(docs, count, sizeof(*docs), compare_waiting);
	*out = docs;
	return count;
}

/* --- writing --- */

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->term != y->term)
		return x->term < y->term ? -1 : 1;
	return x->doc < y->doc ? -1 : x->doc > y->doc;
}

const uint8 *
sh_search_places_end(const uint8 *post, const uint8 *places)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	int count;

	sh_search_post_read(post, hits, &count);
	for (int i = 0; i < count; i++)
		for (uint32 n = 0; n < hits[i].count; n++)
			while (*places++ & 128)
				;
	return places;
}

static void
write_terms(struct sh_search_writer *writer, const struct sh_search_waiting *docs, int count)
{
	Size total = 0;
	Size n = 0;
	struct entry *entries;

	for (int i = 0; i < count; i++)
		total += docs[i].packed.terms;
	entries = palloc_extended(Max(total, 1) * sizeof(*entries), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		for (int t = 0; t < docs[i].packed.terms; t++)
			entries[n++] =
				(struct entry){ (int64) sh_search_packed_term(&docs[i].packed, t), i, t };
	qsort(entries, n, sizeof(*entries), compare_entries);
	for (Size i = 0; i < n; i++)
	{
		const uint8 *post = sh_search_packed_post(&docs[entries[i].doc].packed, entries[i].n);
		const uint8 *places = sh_search_post_skip(post);
		const uint8 *end = sh_search_places_end(post, places);

		if (i == 0 || entries[i].term != entries[i - 1].term)
		{
			CHECK_FOR_INTERRUPTS();
			sh_search_writer_term(writer, (uint64) entries[i].term);
		}
		sh_search_writer_doc(writer, entries[i].doc, post, places - post, places, end - places);
	}
	pfree(entries);
}

static int
compare_spellings(const void *a, const void *b)
{
	const struct spelling *x = a, *y = b;
	int order = memcmp(x->word, y->word, Min(x->len, y->len));

	return order != 0 ? order : x->len - y->len;
}

static void
write_words(struct sh_search_writer *writer, const struct sh_search_waiting *docs, int count)
{
	Size size = 1024;
	Size n = 0;
	struct spelling *all = palloc(size * sizeof(*all));

	for (int i = 0; i < count; i++)
	{
		const uint8 *at = docs[i].packed.words;
		struct spelling word;

		while ((word.len = sh_search_packed_word(&docs[i].packed, &at, &word.word, &word.term)) >=
			   0)
		{
			if (n == size)
				all = repalloc_huge(all, (size *= 2) * sizeof(*all));
			all[n++] = word;
		}
	}
	qsort(all, n, sizeof(*all), compare_spellings);
	for (Size i = 0, first = 0; i < n; i++)
		if (i + 1 == n || compare_spellings(&all[i], &all[i + 1]) != 0)
		{
			sh_search_writer_word(
				writer, all[i].word, all[i].len, all[i].term, (uint32) (i + 1 - first));
			first = i + 1;
		}
	pfree(all);
}

static void
write_columns(struct sh_search_writer *writer, const struct sh_search_waiting *docs, int count)
{
	for (int i = 0; i < count; i++)
		sh_search_writer_record(writer, docs[i].kind, &docs[i].record);
	for (int i = 0; i < count; i++)
	{
		sh_search_writer_number(writer, SEARCH_FACET_DAY, docs[i].day);
		sh_search_writer_number(writer, SEARCH_FACET_KIND, docs[i].kind);
	}
	for (int facet = SEARCH_FACET_TEXTS; facet < SEARCH_FACETS; facet++)
	{
		struct sh_search_names *names = sh_search_names_new();

		for (int i = 0; i < count; i++)
			sh_search_writer_number(
				writer, facet, sh_search_names_number(names, docs[i].facets[facet]));
		sh_search_names_write(names, writer, facet);
	}
}

/* --- the documents and the segment --- */

static struct sh_search_segment
begin_segment(const pg_uuid_t *org, const struct sh_search_waiting *docs, int count)
{
	struct sh_search_segment segment = { .first = -1, .last = count - 2, .docs = count };

	for (int i = 0; i < count; i++)
		sh_search_add_lengths(segment.words, docs[i].lengths);
	sh_search_segment_add(org, &segment);
	return segment;
}

static void
number_docs(const pg_uuid_t *org, const struct sh_search_waiting *docs, int count, int32 first)
{
	static const Oid types[] = { UUIDOID, UUIDARRAYOID, INT2ARRAYOID, INT4OID };
	Datum *records = palloc(count * sizeof(Datum));
	Datum *kinds = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
	{
		records[i] = UUIDPGetDatum(&docs[i].record);
		kinds[i] = Int16GetDatum(docs[i].kind);
	}
	SPI_connect();
	if (SPI_execute_plan(
			sh_plan("UPDATE saleshub.search_doc d SET doc = $4 + u.n::integer - 1, owner_id = NULL,"
					" day = NULL, facets = NULL, packed = NULL"
					" FROM unnest($2, $3) WITH ORDINALITY u (record_id, kind, n)"
					" WHERE d.org_id = $1 AND d.record_id = u.record_id AND d.kind = u.kind",
					4,
					types),
			(Datum[]){
				UUIDPGetDatum(org),
				PointerGetDatum(
					construct_array(records, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
				PointerGetDatum(construct_array(kinds, count, INT2OID, 2, true, TYPALIGN_SHORT)),
				Int32GetDatum(first) },
			NULL,
			false,
			0) != SPI_OK_UPDATE ||
		SPI_processed != (uint64) count)
		elog(ERROR, "could not number the documents of the search index");
	SPI_finish();
	pfree(records);
	pfree(kinds);
}

Datum
sh_search_flush(PG_FUNCTION_ARGS)
{
	pg_uuid_t *org = PG_GETARG_UUID_P(0);
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "saleshub search flush", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	struct sh_identity identity;
	struct sh_search_waiting *docs;
	int count;

	sh_owner_enter(&identity);
	count = take_waiting(org, &docs);
	if (count > 0)
	{
		struct sh_search_segment segment = begin_segment(org, docs, count);
		struct sh_search_writer *writer = sh_search_writer_open(org, segment.id);

		write_terms(writer, docs, count);
		write_words(writer, docs, count);
		write_columns(writer, docs, count);
		sh_search_writer_close(writer);
		number_docs(org, docs, count, segment.first);
	}
	sh_owner_leave(&identity);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	PG_RETURN_INT32(count);
}
