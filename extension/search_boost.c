/*
 * What single documents get because of who asks: given with the query as records with a number,
 * made of what the member looked at before. There are few, so they are ranked before all others,
 * and bounds need not know of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#include "saleshub.h"
#include "search_eval.h"

#define BOOSTS_MAX 1000
#define BOOST_MOST 10

struct given
{
	pg_uuid_t record;
	uint8 kind;
	double boost;
};

static int
read_given(JsonbContainer *boosts, struct given *out)
{
	int count = 0;

	for (uint32 i = 0; i < JsonContainerSize(boosts) && count < BOOSTS_MAX; i++)
	{
		JsonbValue *one = getIthJsonbValueFromContainer(boosts, i);
		struct given *given = &out[count];
		char *id;
		Numeric boost;

		if (!one || one->type != jbvBinary)
			continue;
		id = sh_json_text(one->val.binary.data, "id");
		boost = sh_json_numeric(one->val.binary.data, "boost");
		given->kind = (uint8) sh_kind_of(sh_json_text(one->val.binary.data, "type"));
		if (!id || !boost || given->kind == 0)
			continue;
		given->record = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(id)));
		given->boost = DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(boost)));
		given->boost = Max(0, Min(given->boost, BOOST_MOST));
		count++;
	}
	return count;
}

static void
add_boost(struct eval_part *part, uint32 doc, double boost)
{
	if (!part->boosted)
	{
		part->boosted = sh_bits_new(part->docs, false);
		part->boosts = palloc(BOOSTS_MAX * sizeof(*part->boosts));
	}
	if (bits_has(part->boosted, doc) || part->boost_count == BOOSTS_MAX)
		return;
	bits_set(part->boosted, doc);
	part->boosts[part->boost_count++] = (struct eval_boost){ doc, boost };
}

static void
boost_waiting(struct eval_part *part, const struct given *given)
{
	uint32 low = 0;
	uint32 high = part->docs;

	/* They are in the order of records. */
	while (low < high)
	{
		uint32 middle = low + (high - low) / 2;

		if (memcmp(part->waiting[middle].record.data, given->record.data, UUID_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < part->docs &&
		   memcmp(part->waiting[low].record.data, given->record.data, UUID_LEN) == 0;
		 low++)
		if (part->waiting[low].kind == given->kind)
			add_boost(part, low, given->boost);
}

static void
boost_numbered(struct eval *eval, uint32 number, double boost)
{
	for (int i = 0; i < eval->part_count; i++)
	{
		struct eval_part *part = &eval->parts[i];

		if (part->segment && number >= part->first_key && number - part->first_key < part->docs)
			add_boost(part, number - part->first_key, boost);
	}
}

/* The numbers of those that stand in segments. */
static void
boost_segments(struct eval *eval, const struct given *given, int count)
{
	static const Oid types[] = { UUIDOID, UUIDARRAYOID };
	Datum *ids = palloc(Max(count, 1) * sizeof(*ids));
	struct sh_identity identity;

	for (int i = 0; i < count; i++)
		ids[i] = UUIDPGetDatum(&given[i].record);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan("SELECT d.record_id, d.kind, d.doc FROM saleshub.search_doc d"
								 " WHERE d.org_id = $1 AND d.record_id = ANY ($2)"
								 " AND d.doc IS NOT NULL",
								 2,
								 types),
						 (Datum[]){ UUIDPGetDatum(&eval->org),
									PointerGetDatum(construct_array(
										ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)) },
						 NULL,
						 true,
						 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the documents of records");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		HeapTuple row = SPI_tuptable->vals[i];
		pg_uuid_t *record = DatumGetUUIDP(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		int16 kind = DatumGetInt16(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		int32 doc = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));

		for (int g = 0; g < count; g++)
			if (given[g].kind == kind && memcmp(given[g].record.data, record->data, UUID_LEN) == 0)
			{
				MemoryContext before = MemoryContextSwitchTo(eval->context);

				boost_numbered(eval, (uint32) doc, given[g].boost);
				MemoryContextSwitchTo(before);
			}
	}
	SPI_finish();
	sh_owner_leave(&identity);
}

static int
compare_boosts(const void *a, const void *b)
{
	const struct eval_boost *x = a, *y = b;

	return x->doc < y->doc ? -1 : x->doc > y->doc;
}

void
sh_boost_read(struct eval *eval, JsonbContainer *boosts)
{
	struct given *given = palloc(BOOSTS_MAX * sizeof(*given));
	int count = boosts ? read_given(boosts, given) : 0;

	eval->boosted = count > 0;
	if (count > 0)
		boost_segments(eval, given, count);
	for (int i = 0; i < eval->part_count; i++)
	{
		struct eval_part *part = &eval->parts[i];

		for (int g = 0; part->waiting && g < count; g++)
			boost_waiting(part, &given[g]);
		if (part->boost_count > 0)
			qsort(part->boosts, part->boost_count, sizeof(*part->boosts), compare_boosts);
	}
	pfree(given);
}

double
sh_boost_of(const struct eval_part *part, uint32 doc)
{
	struct eval_boost key = { doc, 0 };
	const struct eval_boost *found;

	if (!part->boosted || !bits_has(part->boosted, doc))
		return 0;
	found = bsearch(&key, part->boosts, part->boost_count, sizeof(*part->boosts), compare_boosts);
	return found->boost;
}
