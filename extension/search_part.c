/* The parts of an index as a query meets them, and what it may find of each. */
#include "postgres.h"

#include "search_eval.h"

/* Keys of documents that wait begin here: they come behind all others of the same score. */
#define WAITING_KEYS 0x80000000u

/* --- parts --- */

void
sh_part_open_all(struct eval *eval)
{
	struct sh_search_segment *segments;
	int count = sh_search_segments(&eval->org, &segments);
	struct eval_part *waiting;

	eval->parts = palloc0((count + 1) * sizeof(*eval->parts));
	for (int i = 0; i < count; i++)
	{
		eval->parts[i].segment = &segments[i];
		eval->parts[i].docs = (uint32) (segments[i].last - segments[i].first) + 1;
		eval->parts[i].first_key = (uint32) segments[i].first;
	}
	waiting = &eval->parts[count];
	waiting->docs = (uint32) sh_search_waiting_query(
		&eval->org, SEARCH_WAITING_QUERY " ORDER BY record_id, kind", &waiting->waiting);
	waiting->first_key = WAITING_KEYS;
	eval->part_count = count + (waiting->docs > 0);
}

void
sh_part_close_all(struct eval *eval)
{
	sh_search_index_close(eval->index);
}

struct sh_search_list *
sh_part_list(struct eval *eval, struct eval_part *part, int term)
{
	if (!part->opened[term])
	{
		struct sh_search_list *list = palloc(sizeof(*list));

		part->opened[term] = true;
		if (sh_search_list_open(list, eval->index, part->segment, eval->query->terms[term].term))
			part->lists[term] = list;
		else
			pfree(list);
	}
	return part->lists[term];
}

void
sh_part_rewind(struct eval *eval, struct eval_part *part)
{
	for (int i = 0; i < eval->query->term_count; i++)
		if (part->lists[i])
			sh_search_list_rewind(part->lists[i]);
}

const uint8 *
sh_part_post(struct eval *eval, struct eval_part *part, int term, uint32 doc)
{
	struct sh_search_list *list;

	if (part->waiting)
		return sh_search_packed_find(&part->waiting[doc].packed, eval->query->terms[term].term);
	list = sh_part_list(eval, part, term);
	return list && sh_search_list_seek(list, doc) == doc ? sh_search_list_post(list) : NULL;
}

/* --- documents with a term --- */

static void
waiting_bits(struct eval_part *part, const struct query_term *term, uint64 *bits)
{
	for (uint32 doc = 0; doc < part->docs; doc++)
	{
		uint8 fields = term->fields & (part->fields ? part->fields[doc] : QUERY_ANYWHERE);
		const uint8 *post = sh_search_packed_find(&part->waiting[doc].packed, term->term);

		if (post && sh_search_post_has(post, fields))
			bits_set(bits, doc);
	}
}

static void
list_bits(struct eval_part *part, const struct query_term *term, struct sh_search_list *list,
		  uint64 *bits)
{
	bool any = term->fields == QUERY_ANYWHERE && !part->fields;

	for (uint32 block = 0; block < list->blocks; block++)
	{
		sh_search_list_read(list, block);
		if (any)
		{
			for (int i = 0; i < list->count; i++)
				bits_set(bits, list->doc[i]);
			continue;
		}
		for (list->at = 0; list->at < list->count; list->at++)
		{
			uint32 doc = list->doc[list->at];
			uint8 fields = term->fields & (part->fields ? part->fields[doc] : QUERY_ANYWHERE);

			if (sh_search_post_has(sh_search_list_post(list), fields))
				bits_set(bits, doc);
		}
	}
	sh_search_list_rewind(list);
}

void
sh_part_add_term(struct eval *eval, struct eval_part *part, const struct query_term *term,
				 uint64 *bits)
{
	struct sh_search_list list;

	if (part->waiting)
		waiting_bits(part, term, bits);
	else if (sh_search_list_open(&list, eval->index, part->segment, term->term))
	{
		list_bits(part, term, &list, bits);
		sh_search_list_close(&list);
	}
}

uint64 *
sh_part_term_bits(struct eval *eval, struct eval_part *part, int term)
{
	const struct query_term *t = &eval->query->terms[term];
	uint64 *bits = part->bits[term];

	if (bits)
		return bits;
	bits = sh_bits_new(part->docs, false);
	if (part->waiting)
		waiting_bits(part, t, bits);
	else
	{
		struct sh_search_list *list = sh_part_list(eval, part, term);

		if (list)
			list_bits(part, t, list, bits);
	}
	if (part->seen)
		sh_bits_and(bits, part->seen, part->docs);
	part->bits[term] = bits;
	return bits;
}

static int64
count_term(struct eval *eval, struct eval_part *part, int term)
{
	struct sh_search_list *list;
	int64 count;

	if (part->waiting || part->fields || eval->query->terms[term].fields != QUERY_ANYWHERE)
		return (int64) sh_bits_count(sh_part_term_bits(eval, part, term), part->docs);
	list = sh_part_list(eval, part, term);
	if (!list)
		return 0;
	sh_search_list_rewind(list);
	count = list->docs;
	for (int i = 0; i < part->segment->gone_count; i++)
		if (sh_search_list_seek(list, part->segment->gone[i]) == part->segment->gone[i])
			count--;
	sh_search_list_rewind(list);
	return count;
}

int64
sh_part_docs(struct eval *eval, int term)
{
	struct query_term *t = &eval->query->terms[term];

	if (t->counted)
		return t->there;
	for (int i = 0; i < eval->part_count; i++)
		t->there += count_term(eval, &eval->parts[i], term);
	t->counted = true;
	return t->there;
}

void
sh_part_forget_term(struct eval *eval, int term)
{
	Assert(term == eval->query->term_count - 1);
	for (int i = 0; i < eval->part_count; i++)
	{
		struct eval_part *part = &eval->parts[i];

		if (part->bits[term])
			pfree(part->bits[term]);
		if (part->lists[term])
		{
			sh_search_list_close(part->lists[term]);
			pfree(part->lists[term]);
		}
		part->bits[term] = NULL;
		part->lists[term] = NULL;
		part->opened[term] = false;
	}
	eval->query->term_count--;
}

/* --- what is known beside --- */

const uint16 *
sh_part_column(struct eval *eval, struct eval_part *part, enum sh_search_facet facet)
{
	uint16 *days;

	if (part->segment)
		return sh_search_column(eval->index, part->segment, facet);
	days = palloc(Max(part->docs, 1) * sizeof(*days));
	for (uint32 i = 0; i < part->docs; i++)
		days[i] = facet == SEARCH_FACET_DAY ? part->waiting[i].day : part->waiting[i].kind;
	return days;
}

uint8
sh_part_record(struct eval *eval, struct eval_part *part, uint32 doc, pg_uuid_t *record)
{
	if (part->segment)
		return sh_search_record(eval->index, part->segment, doc, record);
	*record = part->waiting[doc].record;
	return part->waiting[doc].kind;
}
