/* Which segments an organisation has, and which of their documents are gone. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "saleshub.h"
#include "search.h"

static void
read_words(Datum value, int64 *words)
{
	ArrayType *array = DatumGetArrayTypeP(value);

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != SEARCH_FIELDS || ARR_HASNULL(array))
		elog(ERROR, "a segment of the search index has no lengths");
	memcpy(words, ARR_DATA_PTR(array), SEARCH_FIELDS * sizeof(*words));
}

void
sh_search_add_lengths(int64 *words, int32 lengths)
{
	for (int i = 0; i < SEARCH_FIELDS; i++)
		words[i] += sh_search_length((uint8) ((uint32) lengths >> (i * 8)));
}

/* Give each segment those of the gone documents, which come in order, that are its own. */
static void
share_gone(struct sh_search_segment *segments, int count)
{
	int at = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		bool isnull;
		int32 doc = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		int32 lengths = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		struct sh_search_segment *segment;

		while (at < count && segments[at].last < doc)
			at++;
		if (at == count || segments[at].first > doc)
			continue;
		segment = &segments[at];
		if (!segment->gone)
			segment->gone = SPI_palloc((SPI_processed - i) * sizeof(*segment->gone));
		segment->erase |= DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
		segment->gone[segment->gone_count++] = doc - segment->first;
		sh_search_add_lengths(segment->gone_words, lengths);
	}
}

int
sh_search_segments(const pg_uuid_t *org, struct sh_search_segment **out)
{
	static const Oid types[] = { UUIDOID };
	Datum values[] = { UUIDPGetDatum(org) };
	struct sh_identity identity;
	struct sh_search_segment *segments;
	int count;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan("SELECT segment_id, first_doc, last_doc, docs, words"
								 " FROM saleshub.search_segment WHERE org_id = $1"
								 " ORDER BY first_doc",
								 1,
								 types),
						 values,
						 NULL,
						 true,
						 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the segments of the search index");
	count = (int) SPI_processed;
	segments = SPI_palloc(Max(count, 1) * sizeof(*segments));
	memset(segments, 0, Max(count, 1) * sizeof(*segments));
	for (int i = 0; i < count; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		segments[i].id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		segments[i].first = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
		segments[i].last = DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull));
		segments[i].docs = DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull));
		read_words(SPI_getbinval(row, desc, 5, &isnull), segments[i].words);
	}
	if (SPI_execute_plan(
			sh_plan("SELECT doc, lengths, erase FROM saleshub.search_gone WHERE org_id = $1"
					" ORDER BY doc",
					1,
					types),
			values,
			NULL,
			true,
			0) != SPI_OK_SELECT)
		elog(ERROR, "could not read what is gone from the search index");
	share_gone(segments, count);
	SPI_finish();
	sh_owner_leave(&identity);
	*out = segments;
	return count;
}

void
sh_search_segment_add(const pg_uuid_t *org, struct sh_search_segment *segment)
{
	static const Oid types[] = { UUIDOID, INT4OID, INT4OID, INT4OID, INT8ARRAYOID };
	Datum words[SEARCH_FIELDS];
	Datum values[lengthof(types)];
	char nulls[lengthof(types)] = { ' ', segment->first < 0 ? 'n' : ' ', ' ', ' ', ' ' };
	HeapTuple row;
	TupleDesc desc;
	bool isnull;

	for (int i = 0; i < SEARCH_FIELDS; i++)
		words[i] = Int64GetDatum(segment->words[i]);
	values[0] = UUIDPGetDatum(org);
	values[1] = Int32GetDatum(segment->first);
	values[2] = Int32GetDatum(segment->last - segment->first);
	values[3] = Int32GetDatum(segment->docs);
	values[4] = PointerGetDatum(construct_array(
		words, SEARCH_FIELDS, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SPI_connect();
	if (SPI_execute_plan(
			sh_plan(
				"INSERT INTO saleshub.search_segment (org_id, first_doc, last_doc, docs, words)"
				" SELECT $1, f.doc, f.doc + $3, $4, $5 FROM (SELECT coalesce($2, ("
				"SELECT max(s.last_doc) + 1 FROM saleshub.search_segment s WHERE s.org_id = $1), 0)"
				" AS doc) f RETURNING segment_id, first_doc, last_doc",
				lengthof(types),
				types),
			values,
			nulls,
			false,
			0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not add a segment to the search index");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	segment->id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	segment->first = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
	segment->last = DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull));
	SPI_finish();
}
