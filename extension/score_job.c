/*
 * The worker of models: trains those that were asked for, tells records their chance anew when
 * a model is published, and looks after models. One piece of work is one transaction.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "saleshub.h"

PGDLLEXPORT void sh_score_main(Datum arg);

static BackgroundWorkerHandle *handle;

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
sh_score_dispatch(int64 waiting, const char *database)
{
	BackgroundWorker worker = { 0 };
	MemoryContext caller;

	if (waiting <= 0 || is_running())
		return;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	snprintf(worker.bgw_name, BGW_MAXLEN, "saleshub scoring for %s", database);
	strlcpy(worker.bgw_type, "saleshub scoring", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* looked after by the worker of the database */
	strlcpy(worker.bgw_library_name, "saleshub", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "sh_score_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
	worker.bgw_notify_pid = MyProcPid;
	(void) RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(caller);
}

/* One piece of work; false when there is none. */
static bool
turn(void)
{
	bool isnull;
	bool more;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "SELECT saleshub.score_turn()");
	if (SPI_execute("SELECT saleshub.score_turn()", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look after models");
	more = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return more;
}

/* An error ends the process: what is to be done is looked up by the next one. */
void
sh_score_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, NULL, 0);
	pgstat_report_appname("saleshub scoring");
	while (turn())
		CHECK_FOR_INTERRUPTS();
	proc_exit(0);
}
