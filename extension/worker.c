/*
 * The background workers: a launcher, and one worker per database named in saleshub.databases.
 * A worker publishes outbox rows as events, folds rollup deltas and keeps house. Commits that
 * left work set its latch; one signal per pass, not per commit.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "saleshub.h"

#define MAX_WORKERS 16
#define EPOCH_SIZE 32
#define PUBLISH_BATCH 2000
#define FOLD_BATCH 20000
/* Milliseconds: between folds, looks at waiting leads, housekeeping, imports, looks for an index to
   build, for work on models, for notes of searches, and the longest sleep. */
#define FOLD_EVERY 500
#define ROUTE_EVERY 1000
#define MAINTAIN_EVERY 60000
#define IMPORT_EVERY 200
#define SEARCH_EVERY 2000
#define NOTE_EVERY 1000
#define BUILD_EVERY 1000
#define SCORE_EVERY 500
#define NAP 1000
/* After a busy pass the next look comes soon, for commits of two phases that could not signal. */
#define BUSY_NAP 50

struct worker
{
	Oid database; /* InvalidOid: free */
	Latch *latch; /* NULL: not running */
	pg_atomic_uint32 pending;
	pg_atomic_uint64 top;
	pg_atomic_uint64 due; /* TimestampTz: when the next reminder may be due */
	char epoch[EPOCH_SIZE];
};

struct workers
{
	slock_t mutex;
	struct worker worker[MAX_WORKERS];
};

PGDLLEXPORT void sh_launcher_main(Datum arg);
PGDLLEXPORT void sh_worker_main(Datum arg);

static struct workers *shared = NULL;
static struct worker *mine = NULL;
static bool work_left = false;
/* What this transaction wants to be woken for. */
static TimestampTz due_at = DT_NOEND;

Size
sh_worker_shmem_size(void)
{
	return sizeof(struct workers);
}

void
sh_worker_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("saleshub workers", sizeof(struct workers), &found);
	if (found)
		return;
	memset(shared, 0, sizeof(*shared));
	SpinLockInit(&shared->mutex);
	for (int i = 0; i < MAX_WORKERS; i++)
	{
		pg_atomic_init_u32(&shared->worker[i].pending, 0);
		pg_atomic_init_u64(&shared->worker[i].top, 0);
		pg_atomic_init_u64(&shared->worker[i].due, 0);
	}
}

void
sh_worker_notify(void)
{
	work_left = true;
}

static void
wake(void)
{
	for (int i = 0; i < MAX_WORKERS; i++)
	{
		struct worker *worker = &shared->worker[i];

		if (worker->database != MyDatabaseId)
			continue;
		if (pg_atomic_exchange_u32(&worker->pending, 1) == 0)
		{
			Latch *latch;

			SpinLockAcquire(&shared->mutex);
			latch = worker->latch;
			SpinLockRelease(&shared->mutex);
			if (latch)
				SetLatch(latch);
		}
		return;
	}
}

bool
sh_worker_there(void)
{
	bool there = false;

	for (int i = 0; shared && i < MAX_WORKERS; i++)
		if (shared->worker[i].database == MyDatabaseId)
		{
			SpinLockAcquire(&shared->mutex);
			there = shared->worker[i].latch != NULL;
			SpinLockRelease(&shared->mutex);
		}
	return there;
}

static void
make_due(struct worker *worker, TimestampTz at)
{
	uint64 known = pg_atomic_read_u64(&worker->due);

	while ((TimestampTz) known > at &&
		   !pg_atomic_compare_exchange_u64(&worker->due, &known, (uint64) at))
		;
}

/* The worker sleeps until what is due next by what it knew; tell it of what is due sooner. */
static void
wake_for(TimestampTz at)
{
	for (int i = 0; i < MAX_WORKERS; i++)
		if (shared->worker[i].database == MyDatabaseId)
			make_due(&shared->worker[i], at);
	wake();
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && shared && due_at != DT_NOEND)
		wake_for(due_at);
	else if (event == XACT_EVENT_COMMIT && work_left && shared)
		wake();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		work_left = false;
		due_at = DT_NOEND;
	}
}

/* wake_at(timestamptz) */
PG_FUNCTION_INFO_V1(sh_wake_at);
Datum
sh_wake_at(PG_FUNCTION_ARGS)
{
	due_at = Min(due_at, PG_GETARG_TIMESTAMPTZ(0));
	PG_RETURN_VOID();
}

void
sh_worker_position(char *out, Size size)
{
	*out = '\0';
	for (int i = 0; shared && i < MAX_WORKERS; i++)
	{
		struct worker *worker = &shared->worker[i];

		if (worker->database != MyDatabaseId)
			continue;
		SpinLockAcquire(&shared->mutex);
		if (worker->epoch[0])
			snprintf(
				out, size, "%s-" UINT64_FORMAT, worker->epoch, pg_atomic_read_u64(&worker->top));
		SpinLockRelease(&shared->mutex);
		return;
	}
}

/* --- one worker --- */

static void
on_exit_worker(int code, Datum arg)
{
	SpinLockAcquire(&shared->mutex);
	mine->latch = NULL;
	SpinLockRelease(&shared->mutex);
}

/* The place of this database; kept over restarts of its worker, so at most one runs per place. */
static void
claim_place(void)
{
	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < MAX_WORKERS && !mine; i++)
		if (shared->worker[i].database == MyDatabaseId)
			mine = &shared->worker[i];
	for (int i = 0; i < MAX_WORKERS && !mine; i++)
		if (!OidIsValid(shared->worker[i].database))
			mine = &shared->worker[i];
	if (mine)
	{
		mine->database = MyDatabaseId;
		mine->latch = MyLatch;
	}
	SpinLockRelease(&shared->mutex);
	if (!mine)
		ereport(FATAL,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("saleshub.databases names more than %d databases", MAX_WORKERS)));
	before_shmem_exit(on_exit_worker, 0);
}

static bool
installed(void)
{
	bool isnull;
	bool found;

	sh_job_begin("looking for the tables");
	if (SPI_execute("SELECT pg_catalog.to_regclass('saleshub.event_state') IS NOT NULL"
					" AND pg_catalog.to_regprocedure('saleshub.publish(int)') IS NOT NULL",
					true,
					1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for the tables");
	found = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	sh_job_end();
	return found;
}

/* Runs a function that answers a bigint, in a transaction of its own. */
static int64
call(const char *sql, const char *activity)
{
	int64 answer = 0;
	bool isnull = true;

	sh_job_begin(activity);
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", sql);
	if (SPI_processed > 0)
		answer =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	sh_job_end();
	return isnull ? 0 : answer;
}

/* Have processes of a kind for what waits, as a function counts it, but no more than so many. */
static void
look_for(enum sh_job job, const char *sql, int most)
{
	sh_job_dispatch(job, Min(call(sql, "looking for work"), most), MyBgworkerEntry->bgw_extra);
}

/* Tell shared memory what is published, once that is committed. */
static void
show_position(void)
{
	bool isnull;
	char *epoch = NULL;
	uint64 top = 0;

	sh_job_begin("reading the position");
	if (SPI_execute("SELECT epoch, top FROM saleshub.event_state", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the position");
	if (SPI_processed > 0)
	{
		epoch = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		top = (uint64) DatumGetInt64(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	}
	if (epoch)
	{
		SpinLockAcquire(&shared->mutex);
		strlcpy(mine->epoch, epoch, EPOCH_SIZE);
		pg_atomic_write_u64(&mine->top, top);
		SpinLockRelease(&shared->mutex);
	}
	sh_job_end();
}

static bool
publish(void)
{
	int64 moved = call("SELECT saleshub.publish(" CppAsString2(PUBLISH_BATCH) ")", "publishing");

	if (moved > 0)
		show_position();
	return moved > 0;
}

/*
 * Fires what is due. What commits meanwhile and is due sooner than what we find lowers the
 * mark again; once a minute we look in any case, for commits of two phases.
 */
static void
remind(void)
{
	TimestampTz next;

	if ((TimestampTz) pg_atomic_read_u64(&mine->due) > GetCurrentTimestamp())
		return;
	pg_atomic_write_u64(&mine->due, (uint64) DT_NOEND);
	pg_memory_barrier();
	next = call("SELECT next_at FROM saleshub.remind()", "reminding");
	if (next != 0)
		make_due(mine, next);
}

/* Milliseconds until the next reminder, at most ms. */
static int
until_due(int ms)
{
	TimestampTz due = (TimestampTz) pg_atomic_read_u64(&mine->due);
	TimestampTz left = due - GetCurrentTimestamp();

	if (due == DT_NOEND || left > (int64) ms * 1000)
		return ms;
	return left <= 0 ? 0 : (int) (left / 1000) + 1;
}

static void
fold(void)
{
	while (call("SELECT saleshub.fold(" CppAsString2(FOLD_BATCH) ")", "folding rollups") >=
			   FOLD_BATCH &&
		   !ShutdownRequestPending)
		CHECK_FOR_INTERRUPTS();
}

static bool
elapsed(TimestampTz *since, int ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(*since, now, ms))
		return false;
	*since = now;
	return true;
}

static void
nap(int ms)
{
	(void) WaitLatch(
		MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

static void
work(void)
{
	TimestampTz folded = 0;
	TimestampTz routed = 0;
	TimestampTz maintained = 0;
	TimestampTz imported = 0;
	TimestampTz searched = 0;
	TimestampTz noted = 0;
	TimestampTz built = 0;
	TimestampTz scored = 0;
	bool building = false;

	(void) call("SELECT saleshub.event_start()", "starting");
	show_position();
	while (!ShutdownRequestPending)
	{
		bool busy;

		/* Cleared before the snapshot of publish(): a commit after it signals again. */
		pg_atomic_write_u32(&mine->pending, 0);
		pg_memory_barrier();
		remind();
		busy = publish();
		if (elapsed(&folded, FOLD_EVERY))
			fold();
		if (elapsed(&routed, ROUTE_EVERY))
			(void) call("SELECT saleshub.sla_run() + saleshub.routing_run()", "routing");
		if (elapsed(&imported, IMPORT_EVERY))
			look_for(SH_JOB_IMPORT, "SELECT saleshub.import_waiting()", sh_import_workers);
		if (elapsed(&searched, SEARCH_EVERY))
			look_for(SH_JOB_SEARCH, "SELECT saleshub.search_waiting()", 1);
		if (elapsed(&noted, NOTE_EVERY))
			(void) call("SELECT saleshub.search_log_keep()", "noting searches");
		if (elapsed(&maintained, MAINTAIN_EVERY))
		{
			(void) call("SELECT saleshub.keep_house()", "keeping house");
			make_due(mine, 0);
		}
		if (elapsed(&scored, SCORE_EVERY))
			look_for(SH_JOB_SCORE, "SELECT saleshub.score_waiting()", 1);
		if (building || elapsed(&built, BUILD_EVERY))
			building = call("SELECT saleshub.custom_build()", "indexing custom fields") > 0;
		if (busy && pg_atomic_read_u32(&mine->pending) != 0)
		{
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		nap(until_due(busy || building ? BUSY_NAP : NAP));
	}
}

void
sh_worker_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, NULL, 0);
	claim_place();
	pgstat_report_appname("saleshub worker");
	while (!ShutdownRequestPending && !installed())
		nap(NAP);
	if (!ShutdownRequestPending)
		work();
	proc_exit(0);
}

/* --- the launcher --- */

/* A scan of the heap: before the first connection after initdb no shared index can be opened. */
static bool
database_exists(const char *name)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
		found = strcmp(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datname), name) == 0;
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return found;
}

static BackgroundWorkerHandle *
start_worker(const char *database)
{
	BackgroundWorker worker = { 0 };
	BackgroundWorkerHandle *handle = NULL;

	snprintf(worker.bgw_name, BGW_MAXLEN, "saleshub worker for %s", database);
	strlcpy(worker.bgw_type, "saleshub worker", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* the launcher looks after it */
	strlcpy(worker.bgw_library_name, "saleshub", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "sh_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the saleshub worker for database \"%s\"", database),
				 errhint("You may need to increase max_worker_processes.")));
	return handle;
}

void
sh_launcher_main(Datum arg)
{
	BackgroundWorkerHandle *handle[MAX_WORKERS] = { NULL };
	char *list = pstrdup(sh_databases ? sh_databases : "");
	List *names = NIL;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	if (!SplitIdentifierString(list, ',', &names) || list_length(names) > MAX_WORKERS)
		ereport(FATAL,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid list in saleshub.databases: \"%s\"", sh_databases)));

	while (!ShutdownRequestPending)
	{
		for (int i = 0; i < list_length(names); i++)
		{
			pid_t pid;

			if (handle[i] && GetBackgroundWorkerPid(handle[i], &pid) != BGWH_STOPPED)
				continue;
			if (handle[i])
				pfree(handle[i]);
			handle[i] = NULL;
			if (database_exists(list_nth(names, i)))
				handle[i] = start_worker(list_nth(names, i));
		}
		nap(NAP);
	}
	proc_exit(0);
}

void
sh_worker_init(void)
{
	BackgroundWorker launcher = { 0 };

	RegisterXactCallback(on_transaction, NULL);
	strlcpy(launcher.bgw_name, "saleshub launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "saleshub launcher", BGW_MAXLEN);
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = 1;
	strlcpy(launcher.bgw_library_name, "saleshub", sizeof(launcher.bgw_library_name));
	strlcpy(launcher.bgw_function_name, "sh_launcher_main", sizeof(launcher.bgw_function_name));
	RegisterBackgroundWorker(&launcher);
}
