/* Scores that are asked for: of now, and of what a lead, its events and its rules once were. */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_score_now);
PG_FUNCTION_INFO_V1(sh_score_of);
PG_FUNCTION_INFO_V1(sh_score_worth);
PG_FUNCTION_INFO_V1(sh_score_shift);

static Jsonb *
score_json(const struct score *score)
{
	JsonbParseState *state = NULL;
	JsonbValue reasons = { .type = jbvBinary };

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_score_push(&state, "score", score->points);
	sh_score_push(&state, "fit", score->fit);
	if (score->engaged)
		sh_score_push(&state, "engagement", score->engagement);
	else
		sh_json_string(&state, "engagement", NULL);
	sh_json_string(&state, "grade", score->grade);
	sh_json_key(&state, "reasons");
	reasons.val.binary.data = &score->reasons->root;
	reasons.val.binary.len = VARSIZE_ANY_EXHDR(score->reasons);
	pushJsonbValue(&state, WJB_VALUE, &reasons);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The row of a lead of this organisation if whoever calls sees it, else false. */
static bool
visible_lead(const pg_uuid_t *lead, HeapTuple *tuple, TupleDesc *desc)
{
	static const char sql[] = "SELECT l.* FROM crm.lead AS l"
							  " WHERE l.org_id OPERATOR(pg_catalog.=) saleshub.org_id()"
							  " AND l.lead_id OPERATOR(pg_catalog.=) $1";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(lead) };
	MemoryContext outside = CurrentMemoryContext;
	MemoryContext before;
	bool found;

	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a lead");
	found = SPI_processed > 0;
	before = MemoryContextSwitchTo(outside);
	if (found && tuple)
	{
		*tuple = heap_copytuple(SPI_tuptable->vals[0]);
		*desc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
	return found;
}

static const struct score_events *
events_of(const pg_uuid_t *org, const pg_uuid_t *lead, const TimestampTz *as_of)
{
	Datum id = UUIDPGetDatum(lead);

	return hash_search(sh_score_load_events(org, &id, 1, as_of, true), lead, HASH_FIND, NULL);
}

/*
 * saleshub.score_now(lead uuid, at timestamptz) returns jsonb: by the present fields, rules and
 * events; NULL when whoever calls sees no such lead.
 */
Datum
sh_score_now(PG_FUNCTION_ARGS)
{
	pg_uuid_t *lead = PG_GETARG_UUID_P(0);
	struct predicate_row row;
	struct score score;
	HeapTuple tuple;
	TupleDesc desc;
	pg_uuid_t org;

	if (!sh_context_org(&org) || !visible_lead(lead, &tuple, &desc))
		PG_RETURN_NULL();
	sh_score_row(InvalidOid, desc, tuple, &row);
	sh_score(sh_score_rules(&org, false),
			 &row,
			 events_of(&org, lead, NULL),
			 PG_GETARG_TIMESTAMPTZ(1),
			 &score);
	PG_RETURN_JSONB_P(score_json(&score));
}

/*
 * saleshub.score_of(lead record, definition jsonb, at timestamptz) returns jsonb: by these fields
 * and rules and the events that were there at the instant. NULL when whoever calls does not see
 * the lead that the record names.
 */
Datum
sh_score_of(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(2);
	const struct score_columns *cols;
	struct score_rules rules = { 0 };
	struct predicate_row row;
	HeapTupleData tuple;
	TupleDesc desc;
	struct score score;
	pg_uuid_t org;
	pg_uuid_t lead;
	bool isnull;

	cols = sh_score_argument(PG_GETARG_HEAPTUPLEHEADER(0), &tuple, &desc);
	lead = *DatumGetUUIDP(heap_getattr(&tuple, cols->lead, desc, &isnull));
	sh_score_row(InvalidOid, desc, &tuple, &row);
	ReleaseTupleDesc(desc);
	if (!sh_context_org(&org) || !visible_lead(&lead, NULL, NULL))
		PG_RETURN_NULL();
	sh_score_compile(&org, PG_GETARG_JSONB_P(1), &rules);
	sh_score(&rules, &row, rules.has_events ? events_of(&org, &lead, &at) : NULL, at, &score);
	PG_RETURN_JSONB_P(score_json(&score));
}

/*
 * saleshub.score_worth(amount float8, half_life_hours integer, epoch integer, at timestamptz)
 * returns float8: what a stored amount is worth at an instant, in points.
 */
Datum
sh_score_worth(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sh_score_points_at(
		PG_GETARG_FLOAT8(0), PG_GETARG_INT32(2), PG_GETARG_INT32(1), PG_GETARG_TIMESTAMPTZ(3)));
}

/* saleshub.score_shift(amount float8, by integer) returns float8: amount / 2^by, 0 when that is
 * nothing. */
Datum
sh_score_shift(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(ldexp(PG_GETARG_FLOAT8(0), -Min(Max(PG_GETARG_INT32(1), -5000), 5000)));
}
