/* Documents that wait for a segment, as queries and the making of segments read them. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

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
