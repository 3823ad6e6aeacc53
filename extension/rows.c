/*
 * Writing many rows of our own tables: what triggers leave behind for the rows of a statement.
 * They go to the table as they are, a page at a time and past the executor, which has nothing to
 * decide here. Where it has, because somebody put a trigger on the table or a column whose default
 * differs row by row, or the tables are distributed, they go through SQL.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "saleshub.h"

/* Rows that wait at most. */
#define BATCH 1000

struct sh_rows
{
	Relation rel;
	const char *const *columns;
	int column_count;
	AttrNumber at[SH_COLUMNS_MAX];
	bool skip_known;
	bool is_read; /* by answers that may be cached, which learn of it here */
	bool touched; /* for this organisation */
	pg_uuid_t org;
	bool is_plain;
	Datum *values; /* of a row: the defaults of the columns that are not given, ours over them */
	bool *nulls;
	MemoryContext context; /* of all of it */
	MemoryContext batch;   /* of the tuples that wait */
	int count;
	HeapTuple tuples[BATCH];
	int slot_count;
	TupleTableSlot *slots[BATCH];
};

/* --- opening --- */

/*
 * The defaults of columns that we do not give, which somebody added; false when one must be
 * computed for each row.
 */
static bool
take_default(struct sh_rows *rows, int n, EState *estate)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rows->rel), n);
	Node *expr;
	Datum value;

	for (int i = 0; i < rows->column_count; i++)
		if (rows->at[i] == n + 1)
			return true;
	expr = att->attisdropped ? NULL : build_column_default(rows->rel, n + 1);
	if (!expr)
		return true;
	if (att->attgenerated || contain_volatile_functions(expr))
		return false;
	value = ExecEvalExprSwitchContext(
		ExecPrepareExpr((Expr *) expr, estate), GetPerTupleExprContext(estate), &rows->nulls[n]);
	if (!rows->nulls[n])
		rows->values[n] = datumCopy(value, att->attbyval, att->attlen);
	return true;
}

static bool
take_defaults(struct sh_rows *rows)
{
	TupleDesc desc = RelationGetDescr(rows->rel);
	MemoryContext before = MemoryContextSwitchTo(rows->context);
	EState *estate = CreateExecutorState();
	bool simple = true;

	rows->values = palloc0(desc->natts * sizeof(*rows->values));
	rows->nulls = palloc(desc->natts * sizeof(*rows->nulls));
	memset(rows->nulls, true, desc->natts * sizeof(*rows->nulls));
	for (int i = 0; i < desc->natts; i++)
		simple = take_default(rows, i, estate) && simple;
	FreeExecutorState(estate);
	MemoryContextSwitchTo(before);
	return simple;
}

/* Nothing but storing is to be done: no trigger and no shards. */
static bool
is_plain(const struct sh_rows *rows)
{
	return rows->rel->rd_rel->relkind == RELKIND_RELATION && !rows->rel->trigdesc &&
		   !GetConfigOption("citus.version", true, false);
}

struct sh_rows *
sh_rows_open(const char *schema, const char *table, const char *const *columns, int count,
			 bool skip_known)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub rows", ALLOCSET_DEFAULT_SIZES);
	struct sh_rows *rows = MemoryContextAlloc(context, sizeof(*rows));
	Oid relid = get_relname_relid(table, get_namespace_oid(schema, false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", schema, table),
				 errhint("Run SELECT saleshub.install().")));
	rows->rel = table_open(relid, RowExclusiveLock);
	rows->columns = columns;
	rows->column_count = count;
	memcpy(rows->at, sh_columns_needed(rows->rel, columns, count), count * sizeof(*rows->at));
	rows->skip_known = skip_known;
	rows->is_read = strcmp(schema, "crm") == 0;
	rows->touched = false;
	rows->context = context;
	rows->batch = AllocSetContextCreate(context, "saleshub row batch", ALLOCSET_DEFAULT_SIZES);
	rows->count = 0;
	rows->slot_count = 0;
	rows->is_plain = take_defaults(rows) && is_plain(rows);
	return rows;
}

/* --- storing --- */

static TupleTableSlot *
slot_for(struct sh_rows *rows, int n)
{
	if (n == rows->slot_count)
	{
		MemoryContext before = MemoryContextSwitchTo(rows->context);

		rows->slots[rows->slot_count++] =
			MakeSingleTupleTableSlot(RelationGetDescr(rows->rel), &TTSOpsHeapTuple);
		MemoryContextSwitchTo(before);
	}
	return rows->slots[n];
}

static List *
insert_index_entries(ResultRelInfo *target, TupleTableSlot *slot, EState *estate, bool skip_known)
{
	return ExecInsertIndexTuples(target,
								 slot,
								 estate,
								 false,
								 skip_known,
								 NULL,
								 NIL
#if PG_VERSION_NUM >= 160000
								 ,
								 false
#endif
	);
}

/* The entry of a row that is there already points to a row that must not be. */
static void
take_back(struct sh_rows *rows, TupleTableSlot *slot)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	simple_table_tuple_delete(rows->rel, &slot->tts_tid, GetActiveSnapshot());
	PopActiveSnapshot();
}

static void
store(struct sh_rows *rows)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);

	InitResultRelInfo(target, rows->rel, 0, NULL, 0);
	ExecOpenIndices(target, false);
	for (int i = 0; i < rows->count; i++)
	{
		TupleTableSlot *slot = slot_for(rows, i);

		ExecStoreHeapTuple(rows->tuples[i], slot, false);
		if (RelationGetDescr(rows->rel)->constr)
			ExecConstraints(target, slot, estate);
	}
	table_multi_insert(rows->rel, rows->slots, rows->count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < rows->count; i++)
	{
		ResetPerTupleExprContext(estate);
		if (insert_index_entries(target, rows->slots[i], estate, rows->skip_known) != NIL)
			take_back(rows, rows->slots[i]);
	}
	for (int i = 0; i < rows->count; i++)
		ExecClearTuple(rows->slots[i]);
	ExecCloseIndices(target);
	FreeExecutorState(estate);
}

/* --- through SQL --- */

static char *
insert_statement(const struct sh_rows *rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "INSERT INTO %s (",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rows->rel)),
												RelationGetRelationName(rows->rel)));
	for (int i = 0; i < rows->column_count; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", rows->columns[i]);
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE VALUES (");
	for (int i = 0; i < rows->column_count; i++)
		appendStringInfo(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(&sql, rows->skip_known ? ") ON CONFLICT DO NOTHING" : ")");
	return sql.data;
}

static void
insert_row(struct sh_rows *rows, SPIPlanPtr plan, HeapTuple tuple)
{
	TupleDesc desc = RelationGetDescr(rows->rel);
	Datum values[SH_COLUMNS_MAX];
	char nulls[SH_COLUMNS_MAX];

	for (int i = 0; i < rows->column_count; i++)
	{
		bool isnull;

		values[i] = heap_getattr(tuple, rows->at[i], desc, &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write to \"%s\"", RelationGetRelationName(rows->rel));
}

static void
insert(struct sh_rows *rows)
{
	TupleDesc desc = RelationGetDescr(rows->rel);
	Oid types[SH_COLUMNS_MAX];
	struct sh_identity identity;
	SPIPlanPtr plan;

	for (int i = 0; i < rows->column_count; i++)
		types[i] = TupleDescAttr(desc, rows->at[i] - 1)->atttypid;
	sh_owner_enter(&identity);
	SPI_connect();
	plan = SPI_prepare(insert_statement(rows), rows->column_count, types);
	if (!plan)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	for (int i = 0; i < rows->count; i++)
		insert_row(rows, plan, rows->tuples[i]);
	SPI_finish();
	sh_owner_leave(&identity);
}

/* --- adding --- */

static void
flush(struct sh_rows *rows)
{
	MemoryContext before = MemoryContextSwitchTo(rows->batch);

	if (rows->count > 0)
	{
		if (rows->is_plain)
			store(rows);
		else
			insert(rows);
	}
	rows->count = 0;
	MemoryContextSwitchTo(before);
	MemoryContextReset(rows->batch);
}

static void
touch(struct sh_rows *rows, const pg_uuid_t *org)
{
	if (!rows->is_read || (rows->touched && memcmp(&rows->org, org, UUID_LEN) == 0))
		return;
	sh_slot_touch(RelationGetRelid(rows->rel), org);
	rows->org = *org;
	rows->touched = true;
}

void
sh_rows_add(struct sh_rows *rows, const Datum *values, const bool *nulls)
{
	TupleDesc desc = RelationGetDescr(rows->rel);
	MemoryContext before;

	if (rows->count == BATCH)
		flush(rows);
	touch(rows, DatumGetUUIDP(values[0]));
	before = MemoryContextSwitchTo(rows->batch);
	for (int i = 0; i < rows->column_count; i++)
	{
		rows->values[rows->at[i] - 1] = values[i];
		rows->nulls[rows->at[i] - 1] = nulls && nulls[i];
	}
	rows->tuples[rows->count++] = heap_form_tuple(desc, rows->values, rows->nulls);
	MemoryContextSwitchTo(before);
}

void
sh_rows_close(struct sh_rows *rows)
{
	flush(rows);
	for (int i = 0; i < rows->slot_count; i++)
		ExecDropSingleTupleTableSlot(rows->slots[i]);
	table_close(rows->rel, NoLock);
	MemoryContextDelete(rows->context);
}
