/* Reading the documents that have a term, a block at a time. */
#include "postgres.h"

#include "saleshub.h"
#include "search.h"

static void
put_bound(uint8 *to, const struct sh_search_bound *bound)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8) (bound->last >> (8 * i));
	memset(to + 4, 0, 4);
	memcpy(to + 8, bound->count, SEARCH_FIELDS);
	memcpy(to + 8 + SEARCH_FIELDS, bound->code, SEARCH_FIELDS);
}

/* A term that stands in its page has no bound there: it is that of its postings. */
static void
take_few(struct sh_search_list *list, const uint8 *body)
{
	struct sh_search_bound bound = { 0 };
	const uint8 *at = sh_search_docs_read(body, list->doc, (int) list->docs, SEARCH_END);

	bound.last = list->doc[list->docs - 1];
	for (uint32 i = 0; i < list->docs; i++)
	{
		struct sh_search_hit hits[SEARCH_FIELDS];
		int count;

		at = sh_search_post_read(at, hits, &count);
		for (int n = 0; n < count; n++)
			sh_search_bound_widen(&bound, &hits[n]);
	}
	put_bound(list->own_bound, &bound);
	list->blocks = 1;
	list->bounds = list->own_bound;
	list->inlined = body;
	list->places_of_few = at;
}

static void
read_part(struct sh_search_list *list, int part, struct sh_search_bytes *into)
{
	sh_search_bytes_free(into);
	sh_search_part(list->index, list->segment->id, list->term, part, into);
	if (!into->data)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the search index lacks part %d of a term in segment " INT64_FORMAT,
						part,
						list->segment->id),
				 errhint("Run SELECT saleshub.search_rebuild().")));
}

static void
take_many(struct sh_search_list *list)
{
	uint32 places;

	read_part(list, SEARCH_HEAD_PART, &list->head);
	list->blocks = sh_search_get32(list->head.data);
	places = sh_search_get32(list->head.data + 4);
	list->bounds = list->head.data + SEARCH_HEAD_SIZE;
	if (places > 0)
	{
		list->inlined = list->bounds + (Size) list->blocks * SEARCH_BOUND_SIZE;
		list->places_inlined = list->head.data + places;
	}
}

void
sh_search_list_take(struct sh_search_list *list, struct sh_search_index *index,
					const struct sh_search_segment *segment, int64 term, const uint8 *entry)
{
	uint32 number;

	memset(list, 0, offsetof(struct sh_search_list, doc));
	list->segment = segment;
	list->index = index;
	list->term = term;
	list->part_number = list->place_number = -1;
	list->block = list->places_block = -1;
	number = sh_search_number(&entry);
	list->docs = number >> 1;
	if (number & 1)
		take_many(list);
	else
		take_few(list, entry);
}

bool
sh_search_list_open(struct sh_search_list *list, struct sh_search_index *index,
					const struct sh_search_segment *segment, uint64 term)
{
	struct sh_search_bytes entry;

	sh_search_entry(index, segment->id, (int64) term, &entry);
	if (entry.data)
	{
		sh_search_list_take(list, index, segment, (int64) term, entry.data);
		list->entry = entry;
	}
	else
		memset(list, 0, offsetof(struct sh_search_list, doc));
	return entry.data != NULL;
}

void
sh_search_list_close(struct sh_search_list *list)
{
	sh_search_bytes_free(&list->entry);
	sh_search_bytes_free(&list->head);
	sh_search_bytes_free(&list->part);
	sh_search_bytes_free(&list->place_part);
}

void
sh_search_list_bound(const struct sh_search_list *list, uint32 block, struct sh_search_bound *bound)
{
	const uint8 *at = list->bounds + (Size) block * SEARCH_BOUND_SIZE;

	bound->last = sh_search_get32(at);
	bound->part = at[4] | at[5] << 8;
	bound->offset = at[6] | at[7] << 8;
	memcpy(bound->count, at + 8, SEARCH_FIELDS);
	memcpy(bound->code, at + 8 + SEARCH_FIELDS, SEARCH_FIELDS);
}

uint32
sh_search_list_last(const struct sh_search_list *list, uint32 block)
{
	return sh_search_get32(list->bounds + (Size) block * SEARCH_BOUND_SIZE);
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
			read_part(list, bound.part, &list->part);
		list->part_number = bound.part;
		at = list->part.data;
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

	if (list->places_of_few)
		return list->places_of_few;
	if (list->places_inlined)
		return places_of_block(list->places_inlined, (uint32) list->block);
	sh_search_list_bound(list, (uint32) list->block, &bound);
	if (list->place_number != bound.part)
		read_part(list, SEARCH_PLACES_PART + bound.part, &list->place_part);
	list->place_number = bound.part;
	return places_of_block(list->place_part.data, (uint32) list->block);
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
