/* Statements prepared once per backend: literals of our C code, and dynamic SQL of our functions.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "catalog/pg_type.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_run);

/* Dynamic statements kept per backend; past that all are dropped and start anew. */
#define RUN_PLANS 256

struct literal_plan
{
	const char *sql; /* key: the address of the literal */
	SPIPlanPtr plan;
};

struct run_plan
{
	uint64 hash; /* key: of the text */
	char *sql;
	SPIPlanPtr plan;
	bool read_only;
};

static HTAB *literals = NULL;
static HTAB *runs = NULL;

static SPIPlanPtr
prepare_kept(const char *sql, int nargs, const Oid *types)
{
	SPIPlanPtr plan = SPI_prepare(sql, nargs, (Oid *) types);

	if (!plan)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", sql);
	return plan;
}

SPIPlanPtr
sh_plan(const char *sql, int nargs, const Oid *types)
{
	struct literal_plan *entry;
	SPIPlanPtr plan;

	if (!literals)
		literals =
			sh_table("saleshub plans", sizeof(const char *), sizeof(*entry), 32, TopMemoryContext);
	entry = hash_search(literals, &sql, HASH_FIND, NULL);
	if (entry)
		return entry->plan;
	plan = prepare_kept(sql, nargs, types);
	entry = hash_search(literals, &sql, HASH_ENTER, NULL);
	entry->plan = plan;
	return plan;
}

static void
forget_runs(void)
{
	HASH_SEQ_STATUS scan;
	struct run_plan *entry;

	hash_seq_init(&scan, runs);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		SPI_freeplan(entry->plan);
		pfree(entry->sql);
		hash_search(runs, &entry->hash, HASH_REMOVE, NULL);
	}
}

/* A plan that only reads runs under the caller's snapshot, as in a STABLE function. */
static bool
only_reads(SPIPlanPtr plan)
{
	ListCell *source;

	foreach (source, SPI_plan_get_plan_sources(plan))
	{
		ListCell *cell;

		foreach (cell, ((CachedPlanSource *) lfirst(source))->query_list)
		{
			Query *query = lfirst_node(Query, cell);

			if (query->commandType != CMD_SELECT || query->hasModifyingCTE ||
				query->rowMarks != NIL)
				return false;
		}
	}
	return true;
}

static struct run_plan *
find_run(const char *sql, Size len)
{
	uint64 hash = DatumGetUInt64(hash_any_extended((const unsigned char *) sql, len, 0));
	Oid types[1] = { JSONBOID };
	struct run_plan *entry;
	SPIPlanPtr plan;

	if (!runs)
		runs = sh_table(
			"saleshub dynamic plans", sizeof(uint64), sizeof(*entry), RUN_PLANS, TopMemoryContext);
	entry = hash_search(runs, &hash, HASH_FIND, NULL);
	if (entry && strcmp(entry->sql, sql) == 0)
		return entry;
	if (entry || hash_get_num_entries(runs) >= RUN_PLANS)
		forget_runs();

	plan = prepare_kept(sql, 1, types);
	entry = hash_search(runs, &hash, HASH_ENTER, NULL);
	entry->sql = MemoryContextStrdup(TopMemoryContext, sql);
	entry->plan = plan;
	entry->read_only = only_reads(plan);
	return entry;
}

/*
 * saleshub.run(sql text, args jsonb) returns jsonb: the first column of the first row, which must
 * be jsonb; NULL when there is no row. Errors are those of the statement.
 */
Datum
sh_run(PG_FUNCTION_ARGS)
{
	char *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum values[1];
	char nulls[1] = { ' ' };
	struct run_plan *run;
	Datum result = (Datum) 0;
	bool isnull = true;
	int rc;

	if (PG_ARGISNULL(1))
		nulls[0] = 'n';
	values[0] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);

	SPI_connect();
	run = find_run(sql, strlen(sql));
	rc = SPI_execute_plan(run->plan, values, nulls, run->read_only, 0);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(rc));
	if (SPI_tuptable && SPI_processed > 0)
	{
		if (SPI_gettypeid(SPI_tuptable->tupdesc, 1) != JSONBOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the statement must return jsonb in its first column")));
		result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (!isnull)
			result = SPI_datumTransfer(result, false, -1);
	}
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
