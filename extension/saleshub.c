/* Loading of the library: settings, shared memory, hooks, the worker. */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "saleshub.h"

PG_MODULE_MAGIC;

void _PG_init(void);

char *sh_databases = NULL;
int sh_cache_slots = 262144;
int sh_import_workers = 2;

static shmem_startup_hook_type previous_startup = NULL;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_request = NULL;
#endif

static bool
check_power_of_two(int *value, void **extra, GucSource source)
{
	if (*value > 0 && (*value & (*value - 1)) == 0)
		return true;
	GUC_check_errdetail("The number of cache slots must be a power of two.");
	return false;
}

static void
define_settings(void)
{
	DefineCustomIntVariable("saleshub.cache_slots",
							"Number of invalidation slots of the response cache.",
							"A power of two; 16 bytes each. More slots, fewer needless misses.",
							&sh_cache_slots,
							262144,
							1024,
							16777216,
							PGC_POSTMASTER,
							0,
							check_power_of_two,
							NULL,
							NULL);
	DefineCustomIntVariable("saleshub.import_workers",
							"Number of workers that import files into a database at the same time.",
							NULL,
							&sh_import_workers,
							2,
							0,
							16,
							PGC_SIGHUP,
							0,
							NULL,
							NULL,
							NULL);
	DefineCustomStringVariable("saleshub.databases",
							   "Comma separated databases that the background worker serves.",
							   NULL,
							   &sh_databases,
							   "saleshub",
							   PGC_POSTMASTER,
							   0,
							   NULL,
							   NULL,
							   NULL);
}

static Size
shared_size(void)
{
	return add_size(add_size(sh_slot_shmem_size(), sh_worker_shmem_size()),
					sh_search_log_shmem_size());
}

static void
on_shmem_startup(void)
{
	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	sh_slot_shmem_init();
	sh_worker_shmem_init();
	sh_search_log_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

#if PG_VERSION_NUM >= 150000
static void
on_shmem_request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(shared_size());
}
#endif

/* What needs shared memory and hooks works only when the library is preloaded. */
static void
init_preloaded(void)
{
	define_settings();
#if PG_VERSION_NUM >= 150000
	previous_request = shmem_request_hook;
	shmem_request_hook = on_shmem_request;
#else
	RequestAddinShmemSpace(shared_size());
#endif
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = on_shmem_startup;
	sh_slot_init();
	sh_worker_init();
}

void
_PG_init(void)
{
	sh_context_init();
	if (process_shared_preload_libraries_in_progress)
		init_preloaded();
		/* After all settings are known: what is left of the prefix is a mistake. */
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("saleshub");
#else
	EmitWarningsOnPlaceholders("saleshub");
#endif
}
