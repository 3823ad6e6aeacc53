/*
 * Smooth weighted round robin, and the memory of it within a transaction.
 *
 * The first lead of a transaction reads the state of its pool under the lock of the pool's row.
 * From then on the state is in memory, and is written once, just before the commit: a row that a
 * transaction updates again and again leaves a chain of versions that every reader must follow.
 * Who is in the pool, and eligible, is read anew by every statement.
 *
 * The memory follows subtransactions: each one that touches it works on a copy of its own, which
 * replaces that of its parent when it commits and vanishes when it aborts, as its rows do. So a
 * turn is taken exactly when the lead that took it exists.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

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

struct kept_reason
{
	struct kept_reason *next;
	struct route_reason reason;
};

/* Open leads of a member without a limit are weighed against this. */
#define LOAD_LIMIT 100

static uint64 reading = 0;
static struct route_level *top = NULL;
static MemoryContext reason_context = NULL;
static struct kept_reason *reasons = NULL;

/* Longer without a lead, else the smaller id. */
static bool
waits_longer(const struct route_member *a, const struct route_member *b)
{
	if (a->last_turn != b->last_turn)
		return a->last_turn < b->last_turn;
	return memcmp(&a->member, &b->member, UUID_LEN) < 0;
}

/* Who has no limit is compared as one of a hundred. */
static int64
room(const struct route_member *member)
{
	return member->capacity < 0 ? Max(LOAD_LIMIT - member->load, 0) :
								  member->capacity - member->load;
}

static int64
limit_of(const struct route_member *member)
{
	return member->capacity < 0 ? LOAD_LIMIT : Max(member->capacity, 1);
}

/* Whether a comes before b in a pool of this method. */
static bool
goes_before(enum route_method method, const struct route_member *a, const struct route_member *b)
{
	int64 more;

	if (method == ROUTE_WEIGHTED_ROUND_ROBIN)
		return a->current != b->current ? a->current > b->current : waits_longer(a, b);
	if (method == ROUTE_LOAD_BALANCE)
	{
		more = room(a) * limit_of(b) - room(b) * limit_of(a);
		if (more != 0)
			return more > 0;
	}
	return a->last_at != b->last_at ? a->last_at < b->last_at : waits_longer(a, b);
}

int
sh_route_cost(const struct route_member *member, int grade)
{
	return member->in_points ? member->points[grade] : 1;
}

static void
take_turn(struct route_pool *pool, struct route_member *member)
{
	member->last_turn = ++pool->turn;
	member->last_at = GetCurrentTimestamp();
	member->assigned = true;
	member->dirty = true;
	member->load += sh_route_cost(member, pool->grade);
	member->today++;
	pool->dirty = true;
}

int
sh_route_pick(struct route_pool *pool)
{
	int64 total = 0;
	int picked = -1;

	for (int i = 0; i < pool->count; i++)
	{
		struct route_member *member = &pool->members[i];

		if (member->excluded || member->blocked)
			continue;
		if (pool->method == ROUTE_WEIGHTED_ROUND_ROBIN)
		{
			member->current += member->weight;
			member->dirty = true;
			total += member->weight;
		}
		if (picked < 0 || goes_before(pool->method, member, &pool->members[picked]))
			picked = i;
	}
	if (picked < 0)
		return -1;
	pool->members[picked].current -= total;
	take_turn(pool, &pool->members[picked]);
	return picked;
}

static struct route_pool *
copy_pool(const struct route_pool *pool)
{
	struct route_pool *copy = palloc(sizeof(*copy));

	*copy = *pool;
	copy->name = pstrdup(pool->name);
	copy->members = palloc(Max(pool->count, 1) * sizeof(*copy->members));
	for (int i = 0; i < pool->count; i++)
	{
		copy->members[i] = pool->members[i];
		if (pool->members[i].skills)
			copy->members[i].skills = pstrdup(pool->members[i].skills);
	}
	return copy;
}

static void
free_pool(struct route_pool *pool)
{
	for (int i = 0; i < pool->count; i++)
		if (pool->members[i].skills)
			pfree(pool->members[i].skills);
	pfree(pool->members);
	pfree(pool->name);
	pfree(pool);
}

static void
drop_top(void)
{
	struct route_level *level = top;

	top = level->parent;
	MemoryContextDelete(level->context);
	pfree(level);
	if (!top && reason_context)
	{
		MemoryContextDelete(reason_context);
		reason_context = NULL;
		reasons = NULL;
	}
}

static void
append_entries(struct route_level *level, const struct route_entry *entries, int count)
{
	int needed = level->entry_count + count;

	if (needed > level->entry_size)
	{
		Size size;

		level->entry_size = Max(Max(level->entry_size * 2, 16), needed);
		size = level->entry_size * sizeof(*entries);
		level->entries = level->entries ? repalloc_huge(level->entries, size) :
										  MemoryContextAllocHuge(level->context, size);
	}
	memcpy(level->entries + level->entry_count, entries, count * sizeof(*entries));
	level->entry_count = needed;
}

static void
forget_pools(struct route_level *level)
{
	for (int i = 0; i < level->pool_count; i++)
		free_pool(level->pools[i]);
	if (level->pools)
		pfree(level->pools);
	level->pools = NULL;
	level->pool_count = 0;
}

/* Let a level begin with what another one keeps. */
static void
copy_pools(struct route_level *level, const struct route_level *from)
{
	MemoryContext before = MemoryContextSwitchTo(level->context);

	if (from->pool_count > 0)
		level->pools = palloc(from->pool_count * sizeof(*level->pools));
	for (int i = 0; i < from->pool_count; i++)
		level->pools[level->pool_count++] = copy_pool(from->pools[i]);
	MemoryContextSwitchTo(before);
}

/* The subtransaction committed: what it keeps replaces or becomes what its parent keeps. */
static void
merge_top(int nest)
{
	struct route_level *level = top;
	struct route_level *parent = level->parent;

	level->nest = nest - 1;
	if (!parent || parent->nest < nest - 1)
		return;
	forget_pools(parent);
	copy_pools(parent, level);
	append_entries(parent, level->entries, level->entry_count);
	drop_top();
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int nest = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		reading++;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (top && top->nest >= nest)
			drop_top();
	else if (event == SUBXACT_EVENT_COMMIT_SUB && top && top->nest >= nest)
		merge_top(nest);
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			for (int i = 0; top && i < top->pool_count; i++)
				if (top->pools[i]->dirty)
					sh_route_write(top->pools[i]);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			reading++;
			/* The memory goes with the transaction's context. */
			top = NULL;
			reason_context = NULL;
			reasons = NULL;
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

	if (top && top->nest == nest)
		return top;
	register_callbacks();
	level = MemoryContextAllocZero(TopTransactionContext, sizeof(*level));
	level->context =
		AllocSetContextCreate(TopTransactionContext, "saleshub routing", ALLOCSET_SMALL_SIZES);
	level->nest = nest;
	level->parent = top;
	if (top)
		copy_pools(level, top);
	top = level;
	return level;
}

void
sh_route_given(const pg_uuid_t *org, const pg_uuid_t *member, int grade,
			   const struct route_pool *by)
{
	struct route_level *level = top ? level_here() : NULL;

	for (int n = 0; level && n < level->pool_count; n++)
	{
		struct route_pool *pool = level->pools[n];

		if (pool == by || memcmp(&pool->org, org, UUID_LEN) != 0)
			continue;
		for (int i = 0; i < pool->count; i++)
			if (memcmp(&pool->members[i].member, member, UUID_LEN) == 0)
			{
				pool->members[i].load += sh_route_cost(&pool->members[i], grade);
				pool->members[i].today++;
			}
	}
}

struct route_pool *
sh_route_kept(const pg_uuid_t *org, const pg_uuid_t *id, bool apart)
{
	struct route_level *level;
	struct route_pool *found = NULL;

	if (!top)
		return NULL;
	level = level_here();
	for (int i = 0; i < level->pool_count; i++)
	{
		struct route_pool *pool = level->pools[i];

		if (!pool->fresh || pool->apart != apart || memcmp(&pool->org, org, UUID_LEN) != 0)
			continue;
		if (id && memcmp(&pool->id, id, UUID_LEN) == 0)
			return pool;
		if (!id &&
			(!found || pool->position < found->position ||
			 (pool->position == found->position && memcmp(&pool->id, &found->id, UUID_LEN) < 0)))
			found = pool;
	}
	return found;
}

/* What is kept of this pool, in use or not. */
static struct route_pool **
find_pool(struct route_level *level, const struct route_pool *pool)
{
	for (int i = 0; level && i < level->pool_count; i++)
		if (level->pools[i]->apart == pool->apart &&
			memcmp(&level->pools[i]->id, &pool->id, UUID_LEN) == 0)
			return &level->pools[i];
	return NULL;
}

void
sh_route_leave_part(void)
{
	struct route_level *level = top ? level_here() : NULL;
	int left = 0;

	for (int i = 0; level && i < level->pool_count; i++)
	{
		struct route_pool *pool = level->pools[i];

		if (!pool->apart)
		{
			level->pools[left++] = pool;
			continue;
		}
		if (pool->dirty)
			sh_route_write(pool);
		free_pool(pool);
	}
	if (level)
		level->pool_count = left;
}

static void
carry_member(struct route_member *member, const struct route_pool *from)
{
	for (int i = 0; i < from->count; i++)
	{
		const struct route_member *kept = &from->members[i];

		if (memcmp(&kept->member, &member->member, UUID_LEN) != 0)
			continue;
		member->current = member->excluded ? 0 : kept->current;
		member->last_turn = kept->last_turn;
		member->last_at = Max(member->last_at, kept->last_at);
		member->assigned = kept->assigned;
		member->dirty = true;
		return;
	}
}

/* Leads of statements under way are not in the log yet. */
static void
count_noted(struct route_pool *pool)
{
	for (const struct route_level *level = top; level; level = level->parent)
		for (int n = 0; n < level->entry_count; n++)
			for (int i = 0; level->entries[n].assigned && i < pool->count; i++)
				if (memcmp(&level->entries[n].member, &pool->members[i].member, UUID_LEN) == 0)
					pool->members[i].today++;
}

void
sh_route_carry(struct route_pool *pool)
{
	struct route_pool **kept = find_pool(top, pool);

	for (int i = 0; i < pool->count; i++)
		if (pool->members[i].quota >= 0)
		{
			count_noted(pool);
			break;
		}
	if (!kept)
		return;
	pool->turn = (*kept)->turn;
	pool->dirty |= (*kept)->dirty;
	for (int i = 0; i < pool->count; i++)
		carry_member(&pool->members[i], *kept);
}

static bool
same_reason(const struct route_reason *a, const struct route_reason *b)
{
	if ((a->rule == NULL) != (b->rule == NULL) || (a->rule && strcmp(a->rule, b->rule) != 0))
		return false;
	return a->pooled == b->pooled && a->chosen == b->chosen && a->ruled == b->ruled &&
		   memcmp(&a->pool, &b->pool, UUID_LEN) == 0 &&
		   memcmp(&a->rule_id, &b->rule_id, UUID_LEN) == 0 &&
		   VARSIZE(a->candidates) == VARSIZE(b->candidates) &&
		   memcmp(a->candidates, b->candidates, VARSIZE(a->candidates)) == 0;
}

/*
 * The reason, kept as long as anything is. Entries of any level may point to it, and there are
 * few different ones, however many statements a transaction has.
 */
const struct route_reason *
sh_route_intern(const struct route_reason *reason)
{
	struct kept_reason *kept = reasons;
	MemoryContext before;

	while (kept && !same_reason(&kept->reason, reason))
		kept = kept->next;
	if (kept)
		return &kept->reason;
	(void) level_here();
	if (!reason_context)
		reason_context = AllocSetContextCreate(
			TopTransactionContext, "saleshub routing reasons", ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(reason_context);
	kept = palloc(sizeof(*kept));
	kept->reason = *reason;
	if (reason->rule)
		kept->reason.rule = pstrdup(reason->rule);
	kept->reason.candidates = DatumGetJsonbPCopy(JsonbPGetDatum(reason->candidates));
	kept->next = reasons;
	reasons = kept;
	MemoryContextSwitchTo(before);
	return &kept->reason;
}

/* A pool whose members are not read again: they stay as they are until they are. */
static void
refresh(struct route_pool *kept, const struct route_pool *pool)
{
	pfree(kept->name);
	kept->name = pstrdup(pool->name);
	kept->position = pool->position;
	kept->method = pool->method;
	kept->next_open = pool->next_open;
	kept->loaded = false;
	kept->fresh = true;
}

struct route_pool *
sh_route_keep(const struct route_pool *pool)
{
	struct route_level *level = level_here();
	struct route_pool **place = find_pool(level, pool);
	MemoryContext before = MemoryContextSwitchTo(level->context);
	struct route_pool *copy;

	if (place && !pool->loaded)
	{
		refresh(*place, pool);
		MemoryContextSwitchTo(before);
		return *place;
	}
	copy = copy_pool(pool);
	if (!pool->apart)
		sh_route_carry(copy);
	if (place)
		free_pool(*place);
	else
	{
		Size size = (level->pool_count + 1) * sizeof(*level->pools);

		level->pools = level->pools ? repalloc(level->pools, size) : palloc(size);
		place = &level->pools[level->pool_count++];
	}
	*place = copy;
	MemoryContextSwitchTo(before);
	copy->reason = NULL;
	copy->fresh = true;
	return copy;
}

void
sh_route_note(const struct route_entry *entry)
{
	append_entries(level_here(), entry, 1);
}

/* Only the level of the current (sub)transaction: its statement wrote to no other. */
static struct route_level *
own_level(void)
{
	return top && top->nest == GetCurrentTransactionNestLevel() ? top : NULL;
}

int
sh_route_noted(struct route_entry **entries)
{
	struct route_level *level = own_level();

	*entries = level ? level->entries : NULL;
	return level ? level->entry_count : 0;
}

void
sh_route_logged(int left)
{
	struct route_level *level = own_level();

	reading++;
	if (!level)
		return;
	level->entry_count = left;
	for (int i = 0; i < level->pool_count; i++)
		level->pools[i]->fresh = false;
}

uint64
sh_route_reading(void)
{
	register_callbacks();
	return reading;
}
