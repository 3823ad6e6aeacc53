/*
 * Smooth weighted round robin, and the memory of it within a transaction.
 *
 * An INSERT of many leads reads the state of its pool once, under the lock of the pool's row,
 * counts on in memory and writes the state back when the statement ends. The memory follows
 * subtransactions: each one that touches it works on a copy of its own, which replaces that of
 * its parent when it commits and vanishes when it aborts, as its rows do. So a turn is taken
 * exactly when the lead that took it exists.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "route.h"
#include "saleshub.h"

/* What one (sub)transaction keeps. */
struct route_level
{
	struct route_level *parent;
	int nest;			   /* nesting level of the (sub)transaction */
	MemoryContext context; /* of all below */
	struct route_pool **pools;
	int pool_count;
	struct route_entry *entries;
	int entry_count;
	int entry_size;
};

static struct route_level *top = NULL;

/* Whether a comes before b: more owed, else longer without a lead, else the smaller id. */
static bool
goes_before(const struct route_member *a, const struct route_member *b)
{
	if (a->current != b->current)
		return a->current > b->current;
	if (a->last_turn != b->last_turn)
		return a->last_turn < b->last_turn;
	return memcmp(&a->member, &b->member, UUID_LEN) < 0;
}

int
sh_route_pick(struct route_pool *pool)
{
	int64 total = 0;
	int picked = -1;

	for (int i = 0; i < pool->count; i++)
	{
		struct route_member *member = &pool->members[i];

		if (member->excluded)
			continue;
		member->current += member->weight;
		member->dirty = true;
		total += member->weight;
		if (picked < 0 || goes_before(member, &pool->members[picked]))
			picked = i;
	}
	if (picked < 0)
		return -1;
	pool->members[picked].current -= total;
	pool->members[picked].last_turn = ++pool->turn;
	pool->members[picked].assigned = true;
	pool->dirty = true;
	return picked;
}

static struct route_pool *
copy_pool(const struct route_pool *pool)
{
	struct route_pool *copy = palloc(sizeof(*copy));

	*copy = *pool;
	copy->members = palloc(Max(pool->count, 1) * sizeof(*copy->members));
	memcpy(copy->members, pool->members, pool->count * sizeof(*copy->members));
	return copy;
}

static void
drop_top(void)
{
	struct route_level *level = top;

	top = level->parent;
	MemoryContextDelete(level->context);
	pfree(level);
}

/* The subtransaction committed: what it keeps replaces or becomes what its parent keeps. */
static void
merge_top(int nest)
{
	struct route_level *level = top;
	struct route_level *parent = level->parent;
	struct route_entry *all;

	level->nest = nest - 1;
	if (!parent || parent->nest < nest - 1)
		return;
	all = MemoryContextAlloc(level->context,
							 Max(parent->entry_count + level->entry_count, 1) * sizeof(*all));
	memcpy(all, parent->entries, parent->entry_count * sizeof(*all));
	memcpy(all + parent->entry_count, level->entries, level->entry_count * sizeof(*all));
	level->entries = all;
	level->entry_count += parent->entry_count;
	level->entry_size = level->entry_count;
	/* Reasons and excuses that the copies point to. */
	MemoryContextSetParent(parent->context, level->context);
	level->parent = parent->parent;
	pfree(parent);
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int nest = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (top && top->nest >= nest)
			drop_top();
	else if (event == SUBXACT_EVENT_COMMIT_SUB && top && top->nest >= nest)
		merge_top(nest);
}

static void
check_all_written(void)
{
	for (int i = 0; top && i < top->pool_count; i++)
		if (top->pools[i]->dirty)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("leads were routed but whose turn it is was not written"),
					 errhint("Enable trigger \"lead_30_route_flush\" of table crm.lead.")));
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			check_all_written();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* The memory goes with the transaction's context. */
			top = NULL;
			break;
		default:
			break;
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
	registered = true;
}

/* What the current (sub)transaction keeps, begun with a copy of what its parent keeps. */
static struct route_level *
level_here(void)
{
	int nest = GetCurrentTransactionNestLevel();
	struct route_level *level;
	MemoryContext before;

	if (top && top->nest == nest)
		return top;
	register_callbacks();
	level = MemoryContextAllocZero(TopTransactionContext, sizeof(*level));
	level->context =
		AllocSetContextCreate(TopTransactionContext, "saleshub routing", ALLOCSET_SMALL_SIZES);
	level->nest = nest;
	level->parent = top;
	before = MemoryContextSwitchTo(level->context);
	if (top && top->pool_count > 0)
	{
		level->pools = palloc(top->pool_count * sizeof(*level->pools));
		for (int i = 0; i < top->pool_count; i++)
			level->pools[level->pool_count++] = copy_pool(top->pools[i]);
	}
	MemoryContextSwitchTo(before);
	top = level;
	return level;
}

struct route_pool *
sh_route_kept(const pg_uuid_t *org)
{
	struct route_level *level;

	if (!top)
		return NULL;
	level = level_here();
	for (int i = 0; i < level->pool_count; i++)
		if (memcmp(&level->pools[i]->org, org, UUID_LEN) == 0)
			return level->pools[i];
	return NULL;
}

struct route_pool *
sh_route_keep(const struct route_pool *pool)
{
	struct route_level *level = level_here();
	MemoryContext before = MemoryContextSwitchTo(level->context);
	Size size = (level->pool_count + 1) * sizeof(*level->pools);
	struct route_pool *copy = copy_pool(pool);
	struct route_reason *reason = palloc(sizeof(*reason));

	*reason = *pool->reason;
	if (reason->rule)
		reason->rule = pstrdup(reason->rule);
	reason->candidates = DatumGetJsonbPCopy(JsonbPGetDatum(reason->candidates));
	copy->reason = reason;
	level->pools = level->pools ? repalloc(level->pools, size) : palloc(size);
	level->pools[level->pool_count++] = copy;
	MemoryContextSwitchTo(before);
	return copy;
}

void
sh_route_note(const struct route_entry *entry)
{
	struct route_level *level = level_here();

	if (level->entry_count == level->entry_size)
	{
		Size size;

		level->entry_size = Max(level->entry_size * 2, 16);
		size = level->entry_size * sizeof(*entry);
		level->entries = level->entries ? repalloc_huge(level->entries, size) :
										  MemoryContextAllocHuge(level->context, size);
	}
	level->entries[level->entry_count++] = *entry;
}

/* Only the level of the current (sub)transaction: its statement wrote to no other. */
static struct route_level *
own_level(void)
{
	return top && top->nest == GetCurrentTransactionNestLevel() ? top : NULL;
}

int
sh_route_kept_pools(struct route_pool ***pools)
{
	struct route_level *level = own_level();

	*pools = level ? level->pools : NULL;
	return level ? level->pool_count : 0;
}

int
sh_route_noted(struct route_entry **entries)
{
	struct route_level *level = own_level();

	*entries = level ? level->entries : NULL;
	return level ? level->entry_count : 0;
}

void
sh_route_flushed(int left)
{
	struct route_level *level = own_level();

	if (!level)
		return;
	if (left == 0 && !level->parent)
	{
		drop_top();
		return;
	}
	level->entry_count = left;
	level->pool_count = 0;
	level->pools = NULL;
}
