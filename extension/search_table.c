/* Looking up rows of the index by primary key, past the executor: a query does it hundreds of
 * times. */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "saleshub.h"
#include "search.h"

#define KEYS_MAX 4

static const char *const names[SEARCH_TABLES] = {
	"search_term", "search_block", "search_column", "search_word", "search_gone"
};

/* Comparisons of the columns behind org_id and segment_id. */
static const RegProcedure equalities[SEARCH_TABLES][2] = {
	{ F_INT8EQ }, { F_INT8EQ, F_INT4EQ }, { F_INT2EQ, F_INT4EQ }, { F_TEXTEQ }, { F_INT4EQ }
};

struct open_table
{
	Relation rel;
	Relation key;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	int scan_keys;
};

struct sh_search_index
{
	pg_uuid_t org;
	struct open_table tables[SEARCH_TABLES];
};

struct sh_search_index *
sh_search_index_open(const pg_uuid_t *org)
{
	struct sh_search_index *index = palloc0(sizeof(*index));

	index->org = *org;
	return index;
}

static void
open_table(struct open_table *table, const char *name)
{
	Oid relid = get_relname_relid(name, get_namespace_oid("saleshub", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"saleshub.%s\" does not exist", name),
				 errhint("Run SELECT saleshub.install().")));
	table->rel = table_open(relid, AccessShareLock);
	RelationGetIndexList(table->rel);
	table->key = index_open(table->rel->rd_pkindex, AccessShareLock);
	table->slot = table_slot_create(table->rel, NULL);
}

static void
begin_scan(struct open_table *table, int keys)
{
	if (table->scan && table->scan_keys == keys)
		return;
	if (table->scan)
		index_endscan(table->scan);
#if PG_VERSION_NUM >= 180000
	table->scan = index_beginscan(table->rel, table->key, GetActiveSnapshot(), NULL, keys, 0);
#else
	table->scan = index_beginscan(table->rel, table->key, GetActiveSnapshot(), keys, 0);
#endif
	table->scan_keys = keys;
}

TupleTableSlot *
sh_search_next(struct sh_search_index *index, enum sh_search_table table)
{
	struct open_table *open = &index->tables[table];

	if (!index_getnext_slot(open->scan, ForwardScanDirection, open->slot))
		return NULL;
	return open->slot;
}

TupleTableSlot *
sh_search_row(struct sh_search_index *index, enum sh_search_table table, int64 segment, int keys,
			  const Datum *values)
{
	struct open_table *open = &index->tables[table];
	ScanKeyData key[KEYS_MAX];

	if (!open->rel)
		open_table(open, names[table]);
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&index->org));
	ScanKeyInit(&key[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(segment));
	for (int i = 0; i < keys; i++)
		ScanKeyInit(&key[i + 2], i + 3, BTEqualStrategyNumber, equalities[table][i], values[i]);
	begin_scan(open, keys + 2);
	index_rescan(open->scan, key, keys + 2, NULL, 0);
	return sh_search_next(index, table);
}

void
sh_search_index_close(struct sh_search_index *index)
{
	for (int i = 0; i < SEARCH_TABLES; i++)
	{
		struct open_table *open = &index->tables[i];

		if (!open->rel)
			continue;
		if (open->scan)
			index_endscan(open->scan);
		ExecDropSingleTupleTableSlot(open->slot);
		index_close(open->key, AccessShareLock);
		table_close(open->rel, AccessShareLock);
	}
	pfree(index);
}
