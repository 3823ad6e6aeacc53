/* Reading the columns of a segment: the record, and the facets, of each document. */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "search.h"

static bytea *
part_of(struct sh_search_index *index, const struct sh_search_segment *segment,
		enum sh_search_facet facet, int part)
{
	Datum keys[2] = { Int16GetDatum(facet), Int32GetDatum(part) };
	TupleTableSlot *row = sh_search_row(index, SEARCH_TABLE_COLUMN, segment->id, 2, keys);
	bool isnull;

	return row ? DatumGetByteaPCopy(slot_getattr(row, SEARCH_PART_BODY, &isnull)) : NULL;
}

uint16 *
sh_search_column(struct sh_search_index *index, const struct sh_search_segment *segment,
				 enum sh_search_facet facet)
{
	Size count = (Size) segment->last - segment->first + 1;
	uint16 *numbers = MemoryContextAllocExtended(
		CurrentMemoryContext, count * sizeof(*numbers), MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);

	for (Size from = 0; from < count; from += SEARCH_NUMBERS_PART)
	{
		bytea *body = part_of(index, segment, facet, (int) (from / SEARCH_NUMBERS_PART));
		const uint8 *at;
		Size here;

		if (!body)
			break;
		at = (uint8 *) VARDATA(body);
		here = Min(Min((VARSIZE(body) - VARHDRSZ) / 2, SEARCH_NUMBERS_PART), count - from);
		for (Size i = 0; i < here; i++)
			numbers[from + i] = at[i * 2] | at[i * 2 + 1] << 8;
		pfree(body);
	}
	return numbers;
}

char **
sh_search_values(struct sh_search_index *index, const struct sh_search_segment *segment,
				 enum sh_search_facet facet, int *count)
{
	bytea *body = part_of(index, segment, facet, -1);
	char **values;
	char *at;

	*count = body ? (int) sh_search_get32((uint8 *) VARDATA(body)) + 1 : 1;
	values = palloc(*count * sizeof(*values));
	values[0] = NULL;
	at = body ? VARDATA(body) + 4 : NULL;
	for (int i = 1; i < *count; i++)
	{
		values[i] = at;
		at += strlen(at) + 1;
	}
	return values;
}

bytea *
sh_search_records(struct sh_search_index *index, const struct sh_search_segment *segment, int part)
{
	return part_of(index, segment, SEARCH_FACET_RECORD, part);
}

uint8
sh_search_record(struct sh_search_index *index, const struct sh_search_segment *segment, uint32 doc,
				 pg_uuid_t *record)
{
	bytea *body = part_of(index, segment, SEARCH_FACET_RECORD, (int) (doc / SEARCH_RECORDS_PART));
	Size at = (Size) (doc % SEARCH_RECORDS_PART) * SEARCH_RECORD_SIZE;
	uint8 kind = 0;

	if (body && at + SEARCH_RECORD_SIZE <= VARSIZE(body) - VARHDRSZ)
	{
		kind = (uint8) VARDATA(body)[at];
		memcpy(record->data, VARDATA(body) + at + 1, UUID_LEN);
	}
	if (body)
		pfree(body);
	return kind;
}
