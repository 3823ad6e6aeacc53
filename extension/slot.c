/*
 * Invalidation of cached answers: slots in shared memory, stamped at commit. A reader takes a
 * stamp before its snapshot and notes the slots of all it reads; its answer is current as long
 * as no noted slot was stamped later or has a commit under way. The argument, the failure cases
 * and the model are in docs/decisions/cache.md.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parsetree.h"
#include "port/atomics.h"
#include "port/pg_bswap.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_touch);
PG_FUNCTION_INFO_V1(sh_cache_check);
PG_FUNCTION_INFO_V1(sh_uncached);
PG_FUNCTION_INFO_V1(sh_route_epoch);

/* Above these a transaction touches everything, and an answer is not stored. */
#define MAX_TOUCHED 1024
#define MAX_RECORDED 256

struct slot
{
	pg_atomic_uint64 seq;  /* of the last commit that touched it */
	pg_atomic_uint32 pend; /* commits under way that touch it */
};

struct slots
{
	uint64 boot; /* random per start of the server: stamps of another start never match */
	pg_atomic_uint64 gseq;
	struct slot slot[FLEXIBLE_ARRAY_MEMBER];
};

static struct slots *shared = NULL;

/* What this transaction changed. The first `marked` of them carry our pend. */
static uint32 touched[MAX_TOUCHED];
static int ntouched = 0;
static int marked = 0;
/* COMMIT PREPARED makes changes visible that an earlier transaction noted. */
static bool commits_prepared = false;

static bool recording = false;
static bool unrecordable = false;
static uint32 recorded[MAX_RECORDED];
static int nrecorded = 0;

static ExecutorStart_hook_type previous_executor_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

static const char everything[] = "all";
static const char definitions[] = "ddl";

Size
sh_slot_shmem_size(void)
{
	return add_size(offsetof(struct slots, slot),
					mul_size((Size) sh_cache_slots, sizeof(struct slot)));
}

void
sh_slot_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("saleshub cache slots", sh_slot_shmem_size(), &found);
	if (found)
		return;
	if (!pg_strong_random(&shared->boot, sizeof(shared->boot)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	shared->boot &= UINT64CONST(0x7fffffffffffffff);
	pg_atomic_init_u64(&shared->gseq, 0);
	for (int i = 0; i < sh_cache_slots; i++)
	{
		pg_atomic_init_u64(&shared->slot[i].seq, 0);
		pg_atomic_init_u32(&shared->slot[i].pend, 0);
	}
}

/* Slots of databases differ, so that equal oids or tags of two databases do not meet. */
static uint32
slot_of_bytes(const void *base, Size len)
{
	uint64 hash = hash_bytes_extended(base, (int) len, MyDatabaseId);

	return (uint32) (hash & (uint64) (sh_cache_slots - 1));
}

uint32
sh_slot_of_tag(const char *tag, Size len)
{
	return slot_of_bytes(tag, len);
}

static uint32
slot_of_relation(Oid relid, const pg_uuid_t *org)
{
	unsigned char key[1 + sizeof(Oid) + UUID_LEN] = { 'r' };

	memcpy(key + 1, &relid, sizeof(Oid));
	if (org)
		memcpy(key + 1 + sizeof(Oid), org->data, UUID_LEN);
	return slot_of_bytes(key, sizeof(key));
}

static uint32
slot_of_all(void)
{
	return sh_slot_of_tag(everything, sizeof(everything) - 1);
}

static uint32
slot_of_definitions(void)
{
	return sh_slot_of_tag(definitions, sizeof(definitions) - 1);
}

/* --- what a transaction changes --- */

static bool
is_touched(uint32 slot)
{
	for (int i = ntouched - 1; i >= 0; i--)
		if (touched[i] == slot)
			return true;
	return false;
}

static void
touch_slot(uint32 slot)
{
	if (!shared || is_touched(slot))
		return;
	if (ntouched == MAX_TOUCHED - 1)
		slot = slot_of_all();
	if (ntouched < MAX_TOUCHED && !is_touched(slot))
		touched[ntouched++] = slot;
}

void
sh_slot_touch(Oid relid, const pg_uuid_t *org)
{
	touch_slot(slot_of_relation(relid, org));
}

void
sh_slot_touch_tag(const char *tag, Size len)
{
	touch_slot(sh_slot_of_tag(tag, len));
}

/* Before anything becomes visible: answers that depend on these slots are now in doubt. */
static void
mark_pending(void)
{
	for (; marked < ntouched; marked++)
		pg_atomic_fetch_add_u32(&shared->slot[touched[marked]].pend, 1);
	pg_memory_barrier();
}

/* After the changes are visible: stamp, then end the doubt. Must not fail. */
static void
stamp_touched(void)
{
	uint64 now = pg_atomic_add_fetch_u64(&shared->gseq, 1);

	for (int i = 0; i < ntouched; i++)
	{
		struct slot *slot = &shared->slot[touched[i]];
		uint64 old = pg_atomic_read_u64(&slot->seq);

		while (old < now && !pg_atomic_compare_exchange_u64(&slot->seq, &old, now))
			;
	}
}

static void
unmark(void)
{
	pg_memory_barrier();
	for (int i = 0; i < marked; i++)
		pg_atomic_fetch_sub_u32(&shared->slot[touched[i]].pend, 1);
	ntouched = marked = 0;
	commits_prepared = false;
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			mark_pending();
			return;
		case XACT_EVENT_COMMIT:
			if (ntouched > 0)
				stamp_touched();
			break;
		case XACT_EVENT_ABORT:
			/* COMMIT PREPARED may have made its changes visible before it failed. */
			if (commits_prepared)
				stamp_touched();
			break;
		case XACT_EVENT_PREPARE:
			/* Nothing is visible until COMMIT PREPARED, which touches everything. */
			break;
		default:
			return;
	}
	unmark();
	recording = false;
	nrecorded = 0;
}

/* --- what a transaction reads --- */

void
sh_slot_record(bool on)
{
	recording = on && shared != NULL;
	unrecordable = false;
	nrecorded = 0;
	if (recording)
	{
		recorded[nrecorded++] = slot_of_all();
		recorded[nrecorded++] = slot_of_definitions();
	}
}

bool
sh_slot_recorded(const uint32 **slots, int *count)
{
	*slots = recorded;
	*count = nrecorded;
	return recording && !unrecordable && ntouched == 0;
}

/* saleshub.uncached() returns void: no slots can say when this answer is out of date. */
Datum
sh_uncached(PG_FUNCTION_ARGS)
{
	unrecordable = true;
	PG_RETURN_VOID();
}

static void
record_slot(uint32 slot)
{
	for (int i = 0; i < nrecorded; i++)
		if (recorded[i] == slot)
			return;
	if (nrecorded == MAX_RECORDED)
		unrecordable = true;
	else
		recorded[nrecorded++] = slot;
}

static void
record_relations(List *oids)
{
	pg_uuid_t org;
	bool has_org = sh_context_org(&org);
	ListCell *cell;

	foreach (cell, oids)
	{
		Oid relid = lfirst_oid(cell);

		/* The catalogs change by definitions only, which have a slot of their own. */
		if (relid < FirstNormalObjectId)
			continue;
		record_slot(slot_of_relation(relid, NULL));
		if (has_org)
			record_slot(slot_of_relation(relid, &org));
	}
}

/*
 * Tables of the machinery whose changes change no cached answer by themselves: what is in them
 * follows from records whose changes count, or is touched by the code that writes it (moving a
 * rollup delta into its base, say, changes nothing). All other tables count as soon as they exist.
 */
static const char *const silent[] = {
	"credential",	"custom_value",	   "event_log",		 "event_state",	  "idempotency",
	"import_batch", "live_connection", "login",			 "login_failure", "match_key",
	"outbox",		"rollup",		   "rollup_delta",	 "rollup_level",  "rollup_zone",
	"route",		"routing_wake",	   "schema_version", "search_asked",  "search_block",
	"search_click", "search_column",   "search_doc",	 "search_gone",	  "search_popular",
	"search_query", "search_segment",  "search_term",	 "search_word",	  "session",
	"upload_part",
};

static bool
is_silent(Relation rel)
{
	if (RelationGetNamespace(rel) != get_namespace_oid("saleshub", true))
		return false;
	for (size_t i = 0; i < lengthof(silent); i++)
		if (strcmp(RelationGetRelationName(rel), silent[i]) == 0)
			return true;
	return false;
}

/* Does the capture trigger note the changes of this relation, organisation by organisation? */
static bool
touched_elsewhere(Oid relid)
{
	Relation rel = RelationIdGetRelation(relid);
	bool found;

	if (!RelationIsValid(rel))
		return false;
	found = is_silent(rel);
	for (int i = 0; !found && rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		found = strncmp(rel->trigdesc->triggers[i].tgname, "saleshub_capture_", 17) == 0 &&
				rel->trigdesc->triggers[i].tgenabled == TRIGGER_FIRES_ON_ORIGIN &&
				SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
	RelationClose(rel);
	return found;
}

static void
touch_results(PlannedStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->resultRelations)
	{
		Oid relid = rt_fetch(lfirst_int(cell), stmt->rtable)->relid;

		if (OidIsValid(relid) && !touched_elsewhere(relid))
			sh_slot_touch(relid, NULL);
	}
}

static void
on_executor_start(QueryDesc *query, int eflags)
{
	if (recording)
		record_relations(query->plannedstmt->relationOids);
	if (query->plannedstmt->resultRelations != NIL && !(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		touch_results(query->plannedstmt);
	if (previous_executor_start)
		previous_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* Temporary tables are nobody else's. */
static bool
is_temporary(Node *stmt)
{
	if (IsA(stmt, CreateStmt))
		return ((CreateStmt *) stmt)->relation->relpersistence == RELPERSISTENCE_TEMP;
	if (IsA(stmt, CreateTableAsStmt))
		return ((CreateTableAsStmt *) stmt)->into->rel->relpersistence == RELPERSISTENCE_TEMP;
	return false;
}

static void
touch_copy(CopyStmt *stmt)
{
	Oid relid;

	if (!stmt->is_from || !stmt->relation)
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (OidIsValid(relid) && !touched_elsewhere(relid))
		sh_slot_touch(relid, NULL);
}

static void
on_utility(PlannedStmt *pstmt, const char *text, bool read_only_tree, ProcessUtilityContext context,
		   ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	Node *stmt = pstmt->utilityStmt;

	if (IsA(stmt, TransactionStmt) &&
		((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED)
	{
		touch_slot(slot_of_all());
		commits_prepared = true;
		mark_pending();
		sh_worker_notify();
	}
	else if (IsA(stmt, TruncateStmt) ||
			 (GetCommandLogLevel(stmt) == LOGSTMT_DDL && !is_temporary(stmt)))
		touch_slot(slot_of_definitions());
	else if (IsA(stmt, CopyStmt))
		touch_copy((CopyStmt *) stmt);

	if (previous_utility)
		previous_utility(
			pstmt, text, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(
			pstmt, text, read_only_tree, context, params, environment, dest, completion);
}

void
sh_slot_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = on_executor_start;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}

/* --- validity --- */

bool
sh_slot_stamp(struct sh_stamp *out)
{
	if (!shared)
		return false;
	out->boot = shared->boot;
	out->asof = pg_atomic_read_u64(&shared->gseq);
	pg_memory_barrier();
	return true;
}

uint64
sh_slot_route_epoch(void)
{
	return shared ? pg_atomic_read_u64(&shared->slot[slot_of_definitions()].seq) : 0;
}

static bool
slot_valid(uint32 n, uint64 asof)
{
	struct slot *slot = &shared->slot[n & (uint32) (sh_cache_slots - 1)];

	if (pg_atomic_read_u32(&slot->pend) != 0)
		return false;
	pg_memory_barrier();
	return pg_atomic_read_u64(&slot->seq) <= asof;
}

bool
sh_slot_fresh(const struct sh_stamp *at, Oid relid, const pg_uuid_t *org)
{
	uint32 slots[3];

	if (!shared || at->boot != shared->boot || IsolationUsesXactSnapshot())
		return false;
	slots[0] = slot_of_relation(relid, org);
	slots[1] = slot_of_relation(relid, NULL);
	slots[2] = slot_of_all();
	for (int i = 0; i < 3; i++)
		if (is_touched(slots[i]) || !slot_valid(slots[i], at->asof))
			return false;
	return slot_valid(slot_of_definitions(), at->asof);
}

/* saleshub.touch(tag text): at commit, invalidate the answers that declared this tag. */
Datum
sh_touch(PG_FUNCTION_ARGS)
{
	text *tag = PG_GETARG_TEXT_PP(0);

	sh_slot_touch_tag(VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag));
	/* Functions that touch may have written events as well. */
	sh_worker_notify();
	PG_RETURN_VOID();
}

/* One entry of cache_check: boot, asof, number of slots, slots; big endian. Advances *at. */
static bool
check_entry(const unsigned char **at, const unsigned char *end)
{
	uint64 boot;
	uint64 asof;
	uint16 count;
	bool valid;

	if (end - *at < 18)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("a cache check ends too early")));
	memcpy(&boot, *at, 8);
	memcpy(&asof, *at + 8, 8);
	memcpy(&count, *at + 16, 2);
	boot = pg_ntoh64(boot);
	asof = pg_ntoh64(asof);
	count = pg_ntoh16(count);
	*at += 18;
	if ((end - *at) / 4 < count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("a cache check ends too early")));
	valid = shared && boot == shared->boot;
	for (int i = 0; i < count; i++, *at += 4)
	{
		uint32 slot;

		memcpy(&slot, *at, 4);
		valid = valid && slot_valid(pg_ntoh32(slot), asof);
	}
	return valid;
}

/* saleshub.cache_check(bytea): one byte per entry, 1 when it may still be served. */
Datum
sh_cache_check(PG_FUNCTION_ARGS)
{
	bytea *in = PG_GETARG_BYTEA_PP(0);
	const unsigned char *at = (const unsigned char *) VARDATA_ANY(in);
	const unsigned char *end = at + VARSIZE_ANY_EXHDR(in);
	bytea *out = palloc(VARHDRSZ + (end - at) / 18 + 1);
	char *verdict = VARDATA(out);

	while (at < end)
		*verdict++ = (char) check_entry(&at, end);
	SET_VARSIZE(out, verdict - (char *) out);
	PG_RETURN_BYTEA_P(out);
}

/* saleshub.route_epoch(): the place in the commit order of the last change of definitions. */
Datum
sh_route_epoch(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) sh_slot_route_epoch());
}
