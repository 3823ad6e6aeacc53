/*
 * Workers that import large files. Each takes a part of an import, locks it for itself, and goes
 * batch by batch; a batch is one transaction, as the member whose import it is. What dies in
 * between is taken up where the last batch ended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_import_wake);
PG_FUNCTION_INFO_V1(sh_import_workers_there);

PGDLLEXPORT void sh_import_main(Datum arg);

/* A batch that met a deadlock or the like is tried again so often. */
#define TRIES 5

/* A part of an import that this worker works on. */
struct job
{
	pg_uuid_t org;
	pg_uuid_t import;
	int32 part;
};

/* saleshub.import_wake(): once this transaction commits, workers look for imports */
Datum
sh_import_wake(PG_FUNCTION_ARGS)
{
	sh_worker_notify();
	PG_RETURN_VOID();
}

/* saleshub.import_workers_there() returns boolean */
Datum
sh_import_workers_there(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sh_worker_there() && sh_import_workers > 0);
}

/* --- a process that imports --- */

static Datum
value_at(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* Lock a part that waits and that nobody works on; false when there is none. */
static bool
take_job(struct job *job)
{
	bool isnull;
	bool found;

	sh_job_begin("looking for an import");
	if (SPI_execute("SELECT org_id, import_id, part FROM saleshub.import_take()", false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not look for imports");
	found = SPI_processed > 0;
	if (found)
	{
		job->org = *DatumGetUUIDP(value_at(1, &isnull));
		job->import = *DatumGetUUIDP(value_at(2, &isnull));
		job->part = DatumGetInt32(value_at(3, &isnull));
	}
	sh_job_end();
	return found;
}

/* One batch, as the member; true when the part has no more. */
static bool
step(const struct job *job)
{
	Oid types[3] = { UUIDOID, UUIDOID, INT4OID };
	Datum values[3] = { UUIDPGetDatum(&job->org),
						UUIDPGetDatum(&job->import),
						Int32GetDatum(job->part) };
	bool isnull;
	bool done = true;

	sh_job_begin("importing");
	/*
	 * Nobody waits for the disk after each batch: what a crash takes, it takes with the note of it,
	 * and the batch is done again. The end of an import is waited for.
	 */
	(void) set_config_option(
		"synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (SPI_execute_plan(
			sh_plan("SELECT saleshub.import_become($1, $2)", 2, types), values, NULL, false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not become the member");
	if (DatumGetBool(value_at(1, &isnull)))
	{
		(void) set_config_option(
			"role", "saleshub_user", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		if (SPI_execute_plan(sh_plan("SELECT saleshub.import_turn_of($2, $3)"
									 " WHERE $1 IS NOT NULL",
									 3,
									 types),
							 values,
							 NULL,
							 false,
							 1) != SPI_OK_SELECT)
			elog(ERROR, "could not import");
		done = DatumGetBool(value_at(1, &isnull));
	}
	if (done)
		ForceSyncCommit();
	sh_job_end();
	return done;
}

/* The import fails as a whole: not for its rows, but for what stands around them. */
static void
give_up(const struct job *job, const ErrorData *error)
{
	Oid types[4] = { UUIDOID, UUIDOID, TEXTOID, TEXTOID };
	Datum values[4] = { UUIDPGetDatum(&job->org),
						UUIDPGetDatum(&job->import),
						CStringGetTextDatum(unpack_sql_state(error->sqlerrcode)),
						CStringGetTextDatum(error->message ? error->message : "") };

	sh_job_begin("noting a failure");
	if (SPI_execute_plan(sh_plan("SELECT saleshub.import_failed($1, $2, $3, $4)", 4, types),
						 values,
						 NULL,
						 false,
						 1) != SPI_OK_SELECT)
		elog(ERROR, "could not note a failure");
	sh_job_end();
}

/* A batch; an error is logged, and after some tries ends the import. True when there is no more. */
static bool
try_step(const struct job *job, int *tries)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		done = step(job);
		*tries = 0;
	}
	PG_CATCH();
	{
		ErrorData *error;
		bool again;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		again = ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
				error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		if (!again || ++*tries >= TRIES)
		{
			give_up(job, error);
			done = true;
		}
	}
	PG_END_TRY();
	return done;
}

static void
leave_job(const struct job *job)
{
	sh_job_begin("leaving an import");
	if (SPI_execute("SELECT pg_catalog.pg_advisory_unlock_all()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not unlock");
	sh_job_end();
}

void
sh_import_main(Datum arg)
{
	struct job job;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	sh_job_connect(SH_JOB_IMPORT);
	while (!ShutdownRequestPending && take_job(&job))
	{
		MemoryContext memory =
			AllocSetContextCreate(TopMemoryContext, "saleshub import job", ALLOCSET_DEFAULT_SIZES);
		int tries = 0;

		MemoryContextSwitchTo(memory);
		while (!ShutdownRequestPending && !try_step(&job, &tries))
		{
			MemoryContextSwitchTo(memory);
			CHECK_FOR_INTERRUPTS();
		}
		leave_job(&job);
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextDelete(memory);
	}
	proc_exit(0);
}
