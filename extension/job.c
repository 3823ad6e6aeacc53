/*
 * Processes for work that would keep the worker of a database from its events: it starts them while
 * there is such work, and they end when there is none.
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

PGDLLEXPORT void sh_job_main(Datum arg);

#define PROCESSES_MAX 16

struct kind
{
	const char *name;
	const char *entry;	   /* the function of the process */
	const char *statement; /* of sh_job_main: one piece of work, true while there may be more */
	BackgroundWorkerHandle *handles[PROCESSES_MAX];
};

/* By enum sh_job. */
static struct kind kinds[] = {
	{ .name = "import", .entry = "sh_import_main" },
	{ .name = "scoring", .entry = "sh_job_main", .statement = "SELECT saleshub.score_turn()" },
	{ .name = "search",
	  .entry = "sh_job_main",
	  .statement = "SELECT saleshub.search_step(true) > 0" },
};

/* --- starting them; in the worker of the database --- */

static int
count_running(struct kind *kind)
{
	int running = 0;

	for (int i = 0; i < PROCESSES_MAX; i++)
	{
		pid_t pid;

		if (!kind->handles[i])
			continue;
		if (GetBackgroundWorkerPid(kind->handles[i], &pid) != BGWH_STOPPED)
			running++;
		else
		{
			pfree(kind->handles[i]);
			kind->handles[i] = NULL;
		}
	}
	return running;
}

static void
start_one(struct kind *kind, const char *database)
{
	BackgroundWorker worker = { 0 };
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	snprintf(worker.bgw_name, BGW_MAXLEN, "saleshub %s for %s", kind->name, database);
	snprintf(worker.bgw_type, BGW_MAXLEN, "saleshub %s", kind->name);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* looked after here */
	strlcpy(worker.bgw_library_name, "saleshub", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, kind->entry, sizeof(worker.bgw_function_name));
	worker.bgw_main_arg = Int32GetDatum((int32) (kind - kinds));
	strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
	worker.bgw_notify_pid = MyProcPid;
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (!kind->handles[i])
		{
			(void) RegisterDynamicBackgroundWorker(&worker, &kind->handles[i]);
			break;
		}
	MemoryContextSwitchTo(caller);
}

void
sh_job_dispatch(enum sh_job job, int64 wanted, const char *database)
{
	struct kind *kind = &kinds[job];

	if (wanted <= 0)
		return;
	wanted = Min(wanted, PROCESSES_MAX);
	for (int running = count_running(kind); running < wanted; running++)
		start_one(kind, database);
}

/* --- one of them --- */

void
sh_job_connect(enum sh_job job)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, NULL, 0);
	pgstat_report_appname(psprintf("saleshub %s", kinds[job].name));
}

void
sh_job_begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

void
sh_job_end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* One piece of work in a transaction of its own; false when there is none. */
static bool
turn(const char *statement)
{
	bool isnull;
	bool more;

	sh_job_begin(statement);
	if (SPI_execute(statement, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", statement);
	more = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	sh_job_end();
	return more;
}

/* An error ends the process: what is to be done is looked up by the next one. */
void
sh_job_main(Datum arg)
{
	enum sh_job job = DatumGetInt32(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	sh_job_connect(job);
	while (turn(kinds[job].statement))
		CHECK_FOR_INTERRUPTS();
	proc_exit(0);
}
