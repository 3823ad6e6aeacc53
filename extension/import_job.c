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
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_import_wake);
PG_FUNCTION_INFO_V1(sh_import_workers_there);

PGDLLEXPORT void sh_import_main(Datum arg);

#define MOST_WORKERS 16
/* A batch that met a deadlock or the like is tried again so often. */
#define TRIES 5

/* A part of an import that this worker works on. */
struct job
{
	pg_uuid_t org;
	pg_uuid_t import;
	int32 part;
};

/* --- starting them; in the worker of the database --- */

static BackgroundWorkerHandle *handles[MOST_WORKERS];

static int
count_running(void)
{
	int running = 0;

	for (int i = 0; i < MOST_WORKERS; i++)
	{
		pid_t pid;

		if (!handles[i])
			continue;
		if (GetBackgroundWorkerPid(handles[i], &pid) != BGWH_STOPPED)
			running++;
		else
		{
			pfree(handles[i]);
			handles[i] = NULL;
		}
	}
	return running;
}

static void
start_one(const char *database)
{
	BackgroundWorker worker = { 0 };
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	snprintf(worker.bgw_name, BGW_MAXLEN, "saleshub import for %s", database);
	strlcpy(worker.bgw_type, "saleshub import", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* looked after here */
	strlcpy(worker.bgw_library_name, "saleshub", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "sh_import_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
	worker.bgw_notify_pid = MyProcPid;
	for (int i = 0; i < MOST_WORKERS; i++)
		if (!handles[i])
		{
			(void) RegisterDynamicBackgroundWorker(&worker, &handles[i]);
			break;
		}
	MemoryContextSwitchTo(caller);
}

void
sh_import_dispatch(int64 waiting, const char *database)
{
	int running;

	if (waiting <= 0)
		return;
	running = count_running();
	while (running < waiting && running < sh_import_workers)
	{
		start_one(database);
		running++;
	}
}

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

/* --- one of them --- */

static void
begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

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

	begin("looking for an import");
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
	end();
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

	begin("importing");
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
	end();
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

	begin("noting a failure");
	if (SPI_execute_plan(sh_plan("SELECT saleshub.import_failed($1, $2, $3, $4)", 4, types),
						 values,
						 NULL,
						 false,
						 1) != SPI_OK_SELECT)
		elog(ERROR, "could not note a failure");
	end();
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
	begin("leaving an import");
	if (SPI_execute("SELECT pg_catalog.pg_advisory_unlock_all()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not unlock");
	end();
}

void
sh_import_main(Datum arg)
{
	struct job job;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, NULL, 0);
	pgstat_report_appname("saleshub import");
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
