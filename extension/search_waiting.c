/* Documents that wait for a segment, as queries and the making of segments read them. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "saleshub.h"
#include "search.h"

static void
read_facets(struct sh_search_waiting *doc, Datum value)
{
	Datum *texts;
	bool *nulls;
	int count;

	deconstruct_array(
		DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
	for (int i = 0; i < count && SEARCH_FACET_STATUS + i < SEARCH_FACETS; i++)
		if (!nulls[i])
			doc->facets[SEARCH_FACET_STATUS + i] = TextDatumGetCString(texts[i]);
}

Size
sh_search_waiting_read(struct sh_search_waiting *doc, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	bytea *packed;
	Datum value;

	memset(doc, 0, sizeof(*doc));
	doc->record = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	doc->kind = (uint8) DatumGetInt16(SPI_getbinval(row, desc, 2, &isnull));
	doc->lengths = DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull));
	value = SPI_getbinval(row, desc, 4, &isnull);
	if (!isnull)
		doc->facets[SEARCH_FACET_OWNER] = DatumGetCString(DirectFunctionCall1(uuid_out, value));
	value = SPI_getbinval(row, desc, 5, &isnull);
	doc->day = isnull ? 0 : (uint16) DatumGetInt16(value);
	value = SPI_getbinval(row, desc, 6, &isnull);
	if (!isnull)
		read_facets(doc, value);
	packed = DatumGetByteaPCopy(SPI_getbinval(row, desc, 7, &isnull));
	sh_search_packed_open(&doc->packed, VARDATA(packed), VARSIZE(packed) - VARHDRSZ);
	return VARSIZE(packed);
}

int
sh_search_waiting_query(const pg_uuid_t *org, const char *sql, struct sh_search_waiting **out)
{
	static const Oid types[] = { UUIDOID };
	MemoryContext context = CurrentMemoryContext;
	MemoryContext before;
	struct sh_identity identity;
	struct sh_search_waiting *docs;
	int count;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), (Datum[]){ UUIDPGetDatum(org) }, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the documents that wait");
	before = MemoryContextSwitchTo(context);
	count = (int) SPI_processed;
	docs = palloc_extended(Max(count, 1) * sizeof(*docs), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		(void) sh_search_waiting_read(&docs[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	*out = docs;
	return count;
}
