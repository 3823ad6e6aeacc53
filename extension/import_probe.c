/*
 * Which records have a value in a column, for thousands of values: by the index over the
 * organisation and that column, past the planner, which takes another one while its figures are
 * those of a smaller table, and then reads the whole organisation for every batch.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "import.h"
#include "saleshub.h"

struct wanted
{
	text *value;
	int place; /* from 1 */
};

struct probe
{
	Relation rel;
	Relation index;
	AttrNumber id;
	const pg_uuid_t *org;
	int count; /* of what was found */
	int size;
	Datum *places;
	Datum *ids;
};

static bool
is_over(Relation index, AttrNumber org, AttrNumber column)
{
	Form_pg_index form = index->rd_index;

	return index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && !form->indcheckxmin &&
		   form->indnkeyatts >= 2 && form->indkey.values[0] == org &&
		   form->indkey.values[1] == column && RelationGetIndexPredicate(index) == NIL;
}

/* An index whose first columns are these two; NULL: none. */
static Relation
index_over(Relation rel, AttrNumber org, AttrNumber column)
{
	List *oids = RelationGetIndexList(rel);
	Relation found = NULL;
	ListCell *cell;

	foreach (cell, oids)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_over(index, org, column))
		{
			found = index;
			break;
		}
		index_close(index, AccessShareLock);
	}
	list_free(oids);
	return found;
}

/* Neighbours lie on the same pages. */
static int
compare_wanted(const void *a, const void *b)
{
	const text *x = ((const struct wanted *) a)->value;
	const text *y = ((const struct wanted *) b)->value;
	int len = Min(VARSIZE_ANY_EXHDR(x), VARSIZE_ANY_EXHDR(y));
	int order = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), len);

	return order != 0 ? order : (int) VARSIZE_ANY_EXHDR(x) - (int) VARSIZE_ANY_EXHDR(y);
}

static struct wanted *
sorted(Datum texts, int *count)
{
	Datum *values;
	bool *nulls;
	int size;
	struct wanted *wanted;

	deconstruct_array(
		DatumGetArrayTypeP(texts), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &size);
	wanted = palloc(Max(size, 1) * sizeof(*wanted));
	*count = 0;
	for (int i = 0; i < size; i++)
		if (!nulls[i])
			wanted[(*count)++] = (struct wanted){ DatumGetTextPP(values[i]), i + 1 };
	qsort(wanted, *count, sizeof(*wanted), compare_wanted);
	return wanted;
}

static void
add(struct probe *probe, int place, Datum id)
{
	pg_uuid_t *copy = palloc(sizeof(*copy));

	if (probe->count == probe->size)
	{
		probe->size = Max(probe->size * 2, 64);
		probe->places = probe->places ? repalloc(probe->places, probe->size * sizeof(Datum)) :
										palloc(probe->size * sizeof(Datum));
		probe->ids = probe->ids ? repalloc(probe->ids, probe->size * sizeof(Datum)) :
								  palloc(probe->size * sizeof(Datum));
	}
	*copy = *DatumGetUUIDP(id);
	probe->places[probe->count] = Int32GetDatum(place);
	probe->ids[probe->count++] = UUIDPGetDatum(copy);
}

static IndexScanDesc
begin_scan(struct probe *probe)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(probe->rel, probe->index, GetActiveSnapshot(), NULL, 2, 0);
#else
	return index_beginscan(probe->rel, probe->index, GetActiveSnapshot(), 2, 0);
#endif
}

static void
find(struct probe *probe, const struct wanted *wanted, int count)
{
	TupleTableSlot *slot = table_slot_create(probe->rel, NULL);
	IndexScanDesc scan = begin_scan(probe);
	ScanKeyData key[2];

	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(probe->org));
	for (int i = 0; i < count; i++)
	{
		ScanKeyEntryInitialize(&key[1],
							   0,
							   2,
							   BTEqualStrategyNumber,
							   InvalidOid,
							   probe->index->rd_indcollation[1],
							   F_TEXTEQ,
							   PointerGetDatum(wanted[i].value));
		index_rescan(scan, key, 2, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, slot))
		{
			bool isnull;

			add(probe, wanted[i].place, slot_getattr(slot, probe->id, &isnull));
		}
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

bool
sh_import_probe(const char *entity, const char *column, const pg_uuid_t *org, Datum texts,
				ArrayType **places, ArrayType **ids)
{
	const char *key = psprintf("%s_id", entity);
	Oid relid = get_relname_relid(entity, get_namespace_oid("crm", false));
	AttrNumber at = get_attnum(relid, column);
	struct probe probe = { .org = org };
	struct wanted *wanted;
	int count;

	if (at == InvalidAttrNumber || get_atttype(relid, at) != TEXTOID)
		return false;
	probe.rel = table_open(relid, AccessShareLock);
	probe.id = get_attnum(relid, key);
	probe.index = index_over(probe.rel, get_attnum(relid, "org_id"), at);
	if (probe.index)
	{
		wanted = sorted(texts, &count);
		find(&probe, wanted, count);
		*places = construct_array(probe.places, probe.count, INT4OID, 4, true, TYPALIGN_INT);
		*ids = construct_array(probe.ids, probe.count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
		index_close(probe.index, AccessShareLock);
	}
	table_close(probe.rel, AccessShareLock);
	return probe.index != NULL;
}
