/*
 * The process that makes segments: started by the worker of a database while documents wait, so
 * that a long merge keeps no event waiting.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "saleshub.h"

PGDLLEXPORT void sh_search_main(Datum arg);

static BackgroundWorkerHandle *handle = NULL;

static bool
is_running(void)
{
	pid_t pid;

	if (!handle)
		return false;
	if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(handle);
	handle = NULL;
	return false;
}

void
sh_search_dispatch(int64 waiting, const char *database)
{
	BackgroundWorker worker = { 0 };
	MemoryContext caller;

	if (waiting <= 0 || is_running())
		return;
	snprintf(worker.bgw_name, BGW_MAXLEN, "saleshub search for %s", database);
	strlcpy(worker.bgw_type, "saleshub search", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* looked after here */
	strlcpy(worker.bgw_library_name, "saleshub", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "sh_search_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
	worker.bgw_notify_pid = MyProcPid;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	(void) RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(caller);
}

/* One transaction; false when nothing is left to do. */
static bool
step(void)
{
	bool isnull;
	bool more;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "making segments of the search index");
	if (SPI_execute("SELECT saleshub.search_step()", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not make a segment");
	more =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) > 0;
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return more;
}

void
sh_search_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, NULL, 0);
	pgstat_report_appname("saleshub search");
	while (!ShutdownRequestPending && step())
		CHECK_FOR_INTERRUPTS();
	proc_exit(0);
}
