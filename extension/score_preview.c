/* What other rules would make of the scores of leads, before they are put into force. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_score_preview);

/* Leads that are read together. */
#define BATCH 1000

/* Columns of the result. */
enum
{
	LEAD_ID,
	MOVED,
	SCORE,
	FIT,
	ENGAGEMENT,
	RESULT_COLUMNS
};

struct preview
{
	pg_uuid_t org;
	struct score_rules rules;
	Tuplestorestate *store;
	TupleDesc desc;
};

static void
put_lead(struct preview *p, TupleDesc desc, HeapTuple tuple, HTAB *events)
{
	const struct score_columns *cols = sh_score_columns(InvalidOid, desc);
	Datum values[RESULT_COLUMNS];
	bool nulls[RESULT_COLUMNS] = { false };
	const struct score_events *of = NULL;
	struct score score;
	bool isnull;

	values[LEAD_ID] = heap_getattr(tuple, cols->lead, desc, &isnull);
	if (events)
		of = hash_search(events, DatumGetUUIDP(values[LEAD_ID]), HASH_FIND, NULL);
	values[MOVED] = BoolGetDatum(sh_score_would(&p->rules, desc, tuple, of, &score));
	values[SCORE] = NumericGetDatum(sh_score_numeric(score.points));
	values[FIT] = NumericGetDatum(sh_score_numeric(score.fit));
	values[ENGAGEMENT] = NumericGetDatum(sh_score_numeric(score.engagement));
	tuplestore_putvalues(p->store, p->desc, values, nulls);
}

/* As whoever calls: row security tells which of them there are. Between SPI_connect and _finish. */
static void
put_batch(struct preview *p, Datum *leads, int count)
{
	static const char sql[] = "SELECT l.* FROM crm.lead AS l"
							  " WHERE l.org_id OPERATOR(pg_catalog.=) saleshub.org_id()"
							  " AND l.lead_id OPERATOR(pg_catalog.=) ANY ($1)";
	Oid types[1] = { UUIDARRAYOID };
	Datum ids =
		PointerGetDatum(construct_array(leads, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	HTAB *events = NULL;
	SPITupleTable *rows;
	uint64 found;

	if (SPI_execute_plan(sh_plan(sql, 1, types), &ids, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the leads");
	rows = SPI_tuptable;
	found = SPI_processed;
	if (p->rules.has_events)
		events = sh_score_load_events(&p->org, leads, count, NULL, true);
	for (uint64 i = 0; i < found; i++)
		put_lead(p, rows->tupdesc, rows->vals[i], events);
	SPI_freetuptable(rows);
}

/*
 * saleshub.score_try(definition jsonb, leads uuid[]) returns setof (lead_id, moved, score, fit,
 * engagement): what these rules would make of these open leads; of those that the caller sees.
 */
Datum
sh_score_preview(PG_FUNCTION_ARGS)
{
	struct preview p = { 0 };
	MemoryContext context;
	MemoryContext before;
	Datum *leads;
	bool *nulls;
	int count;

	if (!sh_context_org(&p.org))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("no organisation is set")));
	p.store = sh_result_begin(fcinfo, &p.desc);
	sh_score_compile(&p.org, PG_GETARG_JSONB_P(0), &p.rules);
	deconstruct_array(
		PG_GETARG_ARRAYTYPE_P(1), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &leads, &nulls, &count);
	context = AllocSetContextCreate(
		CurrentMemoryContext, "saleshub preview of scores", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < count; i += BATCH)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_connect();
		before = MemoryContextSwitchTo(context);
		put_batch(&p, leads + i, Min(BATCH, count - i));
		MemoryContextSwitchTo(before);
		SPI_finish();
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	PG_RETURN_NULL();
}
