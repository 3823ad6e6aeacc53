/* Where a table's columns are, for triggers that run once per row: looked up once per backend. */
#include "postgres.h"

#include "fmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "saleshub.h"

/* Shards share names, not numbers: hence by relation. */
struct columns_key
{
	const char *const *names;
	uint64 relid; /* as wide as a pointer, so that there is no padding */
};

struct columns
{
	struct columns_key key;
	bool valid;
	AttrNumber number[SH_COLUMNS_MAX];
};

static HTAB *known = NULL;

static void
on_relation_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	struct columns *entry;

	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (relid == InvalidOid || entry->key.relid == relid)
			entry->valid = false;
}

static void
make_table(void)
{
	known = sh_table("saleshub columns",
					 sizeof(struct columns_key),
					 sizeof(struct columns),
					 32,
					 TopMemoryContext);
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
}

const AttrNumber *
sh_columns(Relation rel, const char *const *names, int count)
{
	struct columns_key key = { names, RelationGetRelid(rel) };
	struct columns *entry;
	bool found;

	Assert(count <= SH_COLUMNS_MAX);
	if (!known)
		make_table();
	entry = hash_search(known, &key, HASH_ENTER, &found);
	if (found && entry->valid)
		return entry->number;
	entry->valid = false;
	for (int i = 0; i < count; i++)
		entry->number[i] = (AttrNumber) Max(SPI_fnumber(RelationGetDescr(rel), names[i]), 0);
	entry->valid = true;
	return entry->number;
}

const AttrNumber *
sh_columns_needed(Relation rel, const char *const *names, int count)
{
	const AttrNumber *number = sh_columns(rel, names, count);

	for (int i = 0; i < count; i++)
		if (number[i] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" has no column \"%s\"",
							RelationGetRelationName(rel),
							names[i])));
	return number;
}
