/* Reading the documents that have a term, a block at a time. */
#include "postgres.h"

#include "executor/tuptable.h"

#include "saleshub.h"
#include "search.h"

/* Columns */
enum
{
	TERM_TERM = 3,
	TERM_DOCS,
	TERM_HEAD,
	TERM_PLACES,
	BLOCK_BODY = 5
};

static bytea *
bytes_of(TupleTableSlot *row, int column)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

void
sh_search_list_take(struct sh_search_list *list, struct sh_search_index *index,
					const struct sh_search_segment *segment, TupleTableSlot *row)
{
	bytea *head = bytes_of(row, TERM_HEAD);
	bool isnull;

	list->segment = segment;
	list->index = index;
	list->term = DatumGetInt64(slot_getattr(row, TERM_TERM, &isnull));
	list->docs = DatumGetInt32(slot_getattr(row, TERM_DOCS, &isnull));
	list->part = list->place_part = NULL;
	list->part_number = list->place_number = -1;
	list->block = list->places_block = -1;
	list->count = list->at = 0;
	list->places_inlined = bytes_of(row, TERM_PLACES);
	list->blocks = sh_search_get32((uint8 *) VARDATA(head));
	list->head = (uint8 *) VARDATA(head) + SEARCH_HEAD_SIZE;
	list->inlined = VARSIZE(head) - VARHDRSZ > SEARCH_HEAD_SIZE + list->blocks * SEARCH_BOUND_SIZE ?
						list->head + list->blocks * SEARCH_BOUND_SIZE :
						NULL;
}

bool
sh_search_list_open(struct sh_search_list *list, struct sh_search_index *index,
					const struct sh_search_segment *segment, uint64 term)
{
	Datum key = Int64GetDatum((int64) term);
	TupleTableSlot *row = sh_search_row(index, SEARCH_TABLE_TERM, segment->id, 1, &key);

	if (row)
		sh_search_list_take(list, index, segment, row);
	else
		memset(list, 0, offsetof(struct sh_search_list, doc));
	return row != NULL;
}

void
sh_search_list_close(struct sh_search_list *list)
{
	if (list->docs == 0)
		return;
	pfree(unconstify(uint8 *, list->head) - SEARCH_HEAD_SIZE - VARHDRSZ);
	if (list->part)
		pfree(list->part);
	if (list->place_part)
		pfree(list->place_part);
	if (list->places_inlined)
		pfree(list->places_inlined);
}

void
sh_search_list_bound(const struct sh_search_list *list, uint32 block, struct sh_search_bound *bound)
{
	const uint8 *at = list->head + (Size) block * SEARCH_BOUND_SIZE;

	bound->last = sh_search_get32(at);
	bound->part = at[4] | at[5] << 8;
	bound->offset = at[6] | at[7] << 8;
	memcpy(bound->count, at + 8, SEARCH_FIELDS);
	memcpy(bound->code, at + 8 + SEARCH_FIELDS, SEARCH_FIELDS);
}

uint32
sh_search_list_last(const struct sh_search_list *list, uint32 block)
{
	return sh_search_get32(list->head + (Size) block * SEARCH_BOUND_SIZE);
}

/* Most seeks go a short way: steps that double, then halves. */
uint32
sh_search_list_block(const struct sh_search_list *list, uint32 from, uint32 doc)
{
	uint32 low = from;
	uint32 step = 1;
	uint32 high;

	if (low >= list->blocks || sh_search_list_last(list, low) >= doc)
		return low;
	while (low + step < list->blocks && sh_search_list_last(list, low + step) < doc)
	{
		low += step;
		step *= 2;
	}
	high = Min(low + step, list->blocks);
	low++;
	while (low < high)
	{
		uint32 middle = low + (high - low) / 2;

		if (sh_search_list_last(list, middle) < doc)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bytea *
read_part(const struct sh_search_list *list, int part)
{
	Datum keys[2] = { Int64GetDatum(list->term), Int32GetDatum(part) };
	TupleTableSlot *row =
		sh_search_row(list->index, SEARCH_TABLE_BLOCK, list->segment->id, 2, keys);

	if (!row)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the search index lacks part %d of a term in segment " INT64_FORMAT,
						part,
						list->segment->id),
				 errhint("Run SELECT saleshub.search_rebuild().")));
	return bytes_of(row, BLOCK_BODY);
}

void
sh_search_list_read(struct sh_search_list *list, uint32 block)
{
	const uint8 *at = list->inlined;
	struct sh_search_bound bound;

	if (list->block == block)
		return;
	sh_search_list_bound(list, block, &bound);
	if (!at)
	{
		if (list->part_number != bound.part)
		{
			if (list->part)
				pfree(list->part);
			list->part = NULL;
			list->part = read_part(list, bound.part);
			list->part_number = bound.part;
		}
		at = (uint8 *) VARDATA(list->part);
	}
	list->count = block + 1 < list->blocks ? SEARCH_BLOCK :
											 (int) (list->docs - (list->blocks - 1) * SEARCH_BLOCK);
	list->posts =
		sh_search_docs_read(at + bound.offset,
							list->doc,
							list->count,
							block > 0 ? sh_search_list_last(list, block - 1) : SEARCH_END);
	list->block = block;
	list->at = 0;
	list->posts_known = false;
}

uint32
sh_search_list_seek(struct sh_search_list *list, uint32 doc)
{
	uint32 block = sh_search_list_block(list, list->block < 0 ? 0 : (uint32) list->block, doc);
	int at;

	if (block >= list->blocks)
		return SEARCH_END;
	sh_search_list_read(list, block);
	for (at = list->at; list->doc[at] < doc; at++)
		;
	list->at = at;
	return list->doc[at];
}

void
sh_search_list_rewind(struct sh_search_list *list)
{
	list->block = -1;
	list->count = list->at = 0;
}

static void
find_posts(struct sh_search_list *list)
{
	const uint8 *at = list->posts;

	for (int i = 0; i < list->count; i++)
	{
		list->post[i] = (uint16) (at - list->posts);
		at = sh_search_post_skip(at);
	}
	list->posts_known = true;
}

const uint8 *
sh_search_list_post(struct sh_search_list *list)
{
	if (!list->posts_known)
		find_posts(list);
	return list->posts + list->post[list->at];
}

/* The parts of places begin with where each of their blocks does: 8 bytes of block and offset. */
static const uint8 *
places_of_block(const uint8 *part, uint32 block)
{
	uint32 count = sh_search_get32(part);

	for (uint32 i = 0; i < count; i++)
		if (sh_search_get32(part + 4 + (Size) i * 8) == block)
			return part + sh_search_get32(part + 8 + (Size) i * 8);
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("the search index lacks the places of a block"),
			 errhint("Run SELECT saleshub.search_rebuild().")));
}

static const uint8 *
begin_places(struct sh_search_list *list)
{
	struct sh_search_bound bound;

	if (list->places_inlined)
		return places_of_block((uint8 *) VARDATA(list->places_inlined), (uint32) list->block);
	sh_search_list_bound(list, (uint32) list->block, &bound);
	if (list->place_number != bound.part)
	{
		if (list->place_part)
			pfree(list->place_part);
		list->place_part = NULL;
		list->place_part = read_part(list, SEARCH_PLACES_PART + bound.part);
		list->place_number = bound.part;
	}
	return places_of_block((uint8 *) VARDATA(list->place_part), (uint32) list->block);
}

const uint8 *
sh_search_list_places(struct sh_search_list *list)
{
	int now = list->at;

	if (list->places_block != list->block || list->places_at > now)
	{
		list->places = begin_places(list);
		list->places_block = list->block;
		list->places_at = 0;
	}
	for (; list->places_at < now; list->places_at++)
	{
		list->at = list->places_at;
		list->places = sh_search_places_end(sh_search_list_post(list), list->places);
	}
	list->at = now;
	return list->places;
}
