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
	"search_term", "search_block", "search_column", "search_word"
};

/* Comparisons of the columns behind org_id and segment_id; terms are in the last page not behind.
 */
static const RegProcedure comparisons[SEARCH_TABLES][2] = {
	{ F_INT8LE }, { F_INT8EQ, F_INT4EQ }, { F_INT2EQ, F_INT4EQ }, { F_TEXTEQ }
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

static TupleTableSlot *
next(struct open_table *open, bool backward)
{
	ScanDirection direction = backward ? BackwardScanDirection : ForwardScanDirection;

	return index_getnext_slot(open->scan, direction, open->slot) ? open->slot : NULL;
}

TupleTableSlot *
sh_search_next(struct sh_search_index *index, enum sh_search_table table)
{
	return next(&index->tables[table], false);
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
		ScanKeyInit(&key[i + 2],
					i + 3,
					table == SEARCH_TABLE_TERM ? BTLessEqualStrategyNumber : BTEqualStrategyNumber,
					comparisons[table][i],
					values[i]);
	begin_scan(open, keys + 2);
	index_rescan(open->scan, key, keys + 2, NULL, 0);
	return next(open, keys > 0 && table == SEARCH_TABLE_TERM);
}

/* --- bodies --- */

static void
copy_bytes(struct sh_search_bytes *out, const void *data, Size len)
{
	uint8 *copy = palloc_extended(len + SEARCH_SPARE, MCXT_ALLOC_HUGE);

	memcpy(copy, data, len);
	memset(copy + len, 0, SEARCH_SPARE);
	*out = (struct sh_search_bytes){ copy, (uint32) len, true };
}

void
sh_search_part(struct sh_search_index *index, int64 segment, int64 term, int32 part,
			   struct sh_search_bytes *out)
{
	Datum keys[2] = { Int64GetDatum(term), Int32GetDatum(part) };
	TupleTableSlot *row = sh_search_row(index, SEARCH_TABLE_BLOCK, segment, 2, keys);
	bytea *body;
	bool isnull;

	memset(out, 0, sizeof(*out));
	if (!row)
		return;
	body = DatumGetByteaPP(slot_getattr(row, SEARCH_PART_BODY, &isnull));
	copy_bytes(out, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	if (VARATT_IS_EXTERNAL(DatumGetPointer(slot_getattr(row, SEARCH_PART_BODY, &isnull))))
		pfree(body);
}

void
sh_search_entry(struct sh_search_index *index, int64 segment, int64 term,
				struct sh_search_bytes *out)
{
	Datum key = Int64GetDatum(term);
	TupleTableSlot *row = sh_search_row(index, SEARCH_TABLE_TERM, segment, 1, &key);
	struct sh_search_page page;
	const uint8 *entry;
	bytea *body;
	bool isnull;
	int n;
	int len;

	memset(out, 0, sizeof(*out));
	if (!row)
		return;
	body = DatumGetByteaPP(slot_getattr(row, SEARCH_PAGE_BODY, &isnull));
	sh_search_page_open(&page,
						DatumGetInt64(slot_getattr(row, SEARCH_PAGE_FIRST, &isnull)),
						VARDATA_ANY(body),
						VARSIZE_ANY_EXHDR(body));
	n = sh_search_page_find(&page, term);
	if (n < 0)
		return;
	entry = sh_search_page_entry(&page, n, &len);
	copy_bytes(out, entry, len);
}

void
sh_search_bytes_free(struct sh_search_bytes *bytes)
{
	if (bytes->owned)
		pfree(unconstify(uint8 *, bytes->data));
	memset(bytes, 0, sizeof(*bytes));
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
