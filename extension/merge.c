/*
 * Merging records and taking a merge back touches rows that the caller may not see or write (what
 * refers to a record, the notes about the merge). So the caller's right to the records themselves
 * is checked first, as the caller; the rest is done as the owner.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/uuid.h"

#include "convert.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_merge_run);
PG_FUNCTION_INFO_V1(sh_merge_back);
PG_FUNCTION_INFO_V1(sh_redirected);

/* The first column of the only row, copied out of SPI. */
static Datum
run_one(const char *sql, int nargs, const Oid *types, Datum *values, bool *isnull)
{
	Datum result;

	if (SPI_execute_plan(sh_plan(sql, nargs, types), values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "a merge answered nothing");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	if (*isnull || SPI_gettypeid(SPI_tuptable->tupdesc, 1) == VOIDOID)
		return (Datum) 0;
	return SPI_datumTransfer(result, false, -1);
}

/* Converted leads that refer to the records are relinked, too: as a conversion writes them. */
static Datum
run_as_owner(const char *sql, int nargs, const Oid *types, Datum *values)
{
	struct sh_identity identity;
	int nest = sh_convert_open();
	bool isnull;
	Datum result;

	sh_owner_enter(&identity);
	result = run_one(sql, nargs, types, values, &isnull);
	sh_owner_leave(&identity);
	AtEOXact_GUC(true, nest);
	return result;
}

/* saleshub.merge_run(noun text, winner uuid, losers uuid[], policy jsonb, dry_run boolean) */
Datum
sh_merge_run(PG_FUNCTION_ARGS)
{
	static const char lock[] = "SELECT saleshub.merge_lock($1, $2 || $3)";
	static const char apply[] = "SELECT saleshub.merge_apply($1, $2, $3, $4, $5)";
	Oid types[5] = { TEXTOID, UUIDOID, UUIDARRAYOID, JSONBOID, BOOLOID };
	Datum values[5];
	Datum result;
	bool isnull;

	for (int i = 0; i < 5; i++)
		values[i] = PG_GETARG_DATUM(i);
	SPI_connect();
	(void) run_one(lock, 3, types, values, &isnull);
	result = run_as_owner(apply, 5, types, values);
	SPI_finish();
	PG_RETURN_DATUM(result);
}

/* saleshub.merge_back(merge uuid): NULL when there is none. */
Datum
sh_merge_back(PG_FUNCTION_ARGS)
{
	static const char whose[] = "SELECT saleshub.merge_winner($1)";
	static const char lock[] =
		"SELECT saleshub.merge_lock($1 ->> 'entity', ARRAY[($1 ->> 'winner_id')::uuid])";
	static const char back[] = "SELECT saleshub.merge_take_back($1)";
	Oid types[2] = { UUIDOID, JSONBOID };
	Datum values[1] = { PG_GETARG_DATUM(0) };
	Datum winner[1];
	Datum result = 0;
	bool isnull;

	SPI_connect();
	winner[0] = run_as_owner(whose, 1, types, values);
	if (winner[0] != 0)
	{
		(void) run_one(lock, 1, types + 1, winner, &isnull);
		result = run_as_owner(back, 1, types, values);
	}
	SPI_finish();
	if (result == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* The uuid that a statement about a noun and an id answers, copied out of SPI; NULL for none. */
static pg_uuid_t *
run_uuid(const char *sql, MemoryContext context, Datum noun, const pg_uuid_t *id)
{
	Oid types[2] = { TEXTOID, UUIDOID };
	Datum values[2] = { noun, UUIDPGetDatum(id) };
	pg_uuid_t *answer;
	bool isnull;
	Datum result;

	if (SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "a redirection answered nothing");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return NULL;
	answer = MemoryContextAlloc(context, sizeof(*answer));
	*answer = *DatumGetUUIDP(result);
	return answer;
}

/*
 * saleshub.redirected(noun text, id uuid): the way is followed as the owner, through records that
 * the caller may not see; where it ends is told to those who see that record.
 */
Datum
sh_redirected(PG_FUNCTION_ARGS)
{
	static const char end[] = "SELECT saleshub.redirect_end($1, $2)";
	static const char seen[] = "SELECT CASE WHEN saleshub.record_visible($1, $2) THEN $2 END";
	MemoryContext context = CurrentMemoryContext;
	Datum noun = PG_GETARG_DATUM(0);
	struct sh_identity identity;
	pg_uuid_t *target;

	SPI_connect();
	sh_owner_enter(&identity);
	target = run_uuid(end, context, noun, PG_GETARG_UUID_P(1));
	sh_owner_leave(&identity);
	if (target)
		target = run_uuid(seen, context, noun, target);
	SPI_finish();
	if (!target)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(target);
}
