/*
 * Turns that the parts of an import take without waiting for each other.
 *
 * Smooth weighted round robin is linear: after t turns the state of a member of weight w who got n
 * of them is w t - n W, W being the sum of weights, whatever the order of the turns. So a round,
 * W turns of which everybody gets as many as its weight, leaves the state of the pool as it is and
 * can be taken by anybody at any time without knowing it; and turns of an open round can be added
 * to the pool later. A part of an import takes rounds of its own, begun at zero, and notes how far
 * it is in the transaction of the leads that took the turns. Towards the end of the file it ends
 * the round, and takes further turns from the pool under its lock, so that in the end all parts
 * stand where one sequence of turns would; when the import ends, its turns are added.
 *
 * Where a turn depends on more than the weights, the lock of the pool is taken as ever.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "import.h"
#include "route.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_route_part);
PG_FUNCTION_INFO_V1(sh_route_part_leave);
PG_FUNCTION_INFO_V1(sh_route_settle);

/* What this transaction is at. */
static struct
{
	bool set;
	int nest; /* of the (sub)transaction that began it */
	pg_uuid_t org;
	pg_uuid_t import;
	int part;
	bool ends;		/* rounds are ended now */
	bool rehearsed; /* and never otherwise, not with the last rows either */
} at;

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		at.set = false;
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int nest = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB && at.nest >= nest)
		at.set = false;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		at.nest = Min(at.nest, nest - 1);
}

/* --- who shares --- */

static bool
shares(const struct route_member *member)
{
	return member->excluded == NULL;
}

/* Whether turns depend on the weights alone. */
static bool
is_simple(const struct route_pool *pool)
{
	int count = 0;

	if (pool->method != ROUTE_WEIGHTED_ROUND_ROBIN)
		return false;
	for (int i = 0; i < pool->count; i++)
	{
		const struct route_member *member = &pool->members[i];

		if (!shares(member))
			continue;
		if (member->territorial || member->capacity >= 0 || member->quota >= 0)
			return false;
		count++;
	}
	return count > 0;
}

static bool
is_round_open(const struct route_pool *pool)
{
	for (int i = 0; i < pool->count; i++)
		if (pool->members[i].current != 0)
			return true;
	return false;
}

bool
sh_route_part_open(const struct route_pool *pool)
{
	for (int i = 0; i < pool->count; i++)
		if (shares(&pool->members[i]) && pool->members[i].blocked)
			return false;
	return !(at.ends || (!at.rehearsed && sh_import_ended())) || is_round_open(pool);
}

/* --- as it was left --- */

/* Members that share, with their weights and states. */
struct shares
{
	int count;
	Datum *members;
	Datum *weights;
	Datum *currents;
};

static struct shares
shares_of(const struct route_pool *pool)
{
	int size = Max(pool->count, 1);
	struct shares out = {
		0, palloc(size * sizeof(Datum)), palloc(size * sizeof(Datum)), palloc(size * sizeof(Datum))
	};

	for (int i = 0; i < pool->count; i++)
	{
		const struct route_member *member = &pool->members[i];

		if (!shares(member))
			continue;
		out.members[out.count] = UUIDPGetDatum(&member->member);
		out.weights[out.count] = Int32GetDatum(member->weight);
		out.currents[out.count++] = Int64GetDatum(member->current);
	}
	return out;
}

/* The state that was left, when it is one of the same members and weights; sorted by member. */
static bool
take_on(struct route_pool *pool, const struct shares *left)
{
	struct shares now = shares_of(pool);
	int n = 0;

	if (now.count != left->count)
		return false;
	for (int i = 0; i < now.count; i++)
		if (memcmp(DatumGetUUIDP(now.members[i]), DatumGetUUIDP(left->members[i]), UUID_LEN) != 0 ||
			DatumGetInt32(now.weights[i]) != DatumGetInt32(left->weights[i]))
			return false;
	for (int i = 0; i < pool->count; i++)
		if (shares(&pool->members[i]))
			pool->members[i].current = DatumGetInt64(left->currents[n++]);
	return true;
}

static struct shares
shares_at(HeapTuple row, TupleDesc desc, int column)
{
	struct shares out = { 0 };
	bool isnull;
	bool *nulls;

	deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, column, &isnull)),
					  UUIDOID,
					  UUID_LEN,
					  false,
					  TYPALIGN_CHAR,
					  &out.members,
					  &nulls,
					  &out.count);
	deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, column + 1, &isnull)),
					  INT4OID,
					  4,
					  true,
					  TYPALIGN_INT,
					  &out.weights,
					  &nulls,
					  &out.count);
	deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, column + 2, &isnull)),
					  INT8OID,
					  8,
					  FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE,
					  &out.currents,
					  &nulls,
					  &out.count);
	return out;
}

/* Go on where the last batch of the part ended. */
static void
resume(struct route_pool *pool)
{
	static const char sql[] =
		"SELECT series, turn, members, weights, currents FROM saleshub.import_turn"
		" WHERE org_id OPERATOR(pg_catalog.=) $1 AND import_id OPERATOR(pg_catalog.=) $2"
		" AND part OPERATOR(pg_catalog.=) $3 AND routing_pool_id OPERATOR(pg_catalog.=) $4"
		" ORDER BY series DESC LIMIT 1";
	Oid types[4] = { UUIDOID, UUIDOID, INT4OID, UUIDOID };
	Datum values[4] = { UUIDPGetDatum(&pool->org),
						UUIDPGetDatum(&pool->import),
						Int32GetDatum(pool->part),
						UUIDPGetDatum(&pool->id) };
	struct sh_identity identity;
	bool isnull;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 4, types), values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the turns of an import");
	if (SPI_processed > 0)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		struct shares left = shares_at(row, desc, 3);

		pool->series = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		if (take_on(pool, &left))
			pool->turn = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
		else
			pool->series++;
	}
	SPI_finish();
	sh_owner_leave(&identity);
}

/* Go on where the statement before this one ended. */
static void
go_on(struct route_pool *pool, const struct route_pool *kept)
{
	struct shares left = shares_of(kept);

	pool->series = kept->series;
	if (take_on(pool, &left))
	{
		pool->turn = kept->turn;
		pool->dirty = kept->dirty;
		return;
	}
	if (kept->dirty)
		sh_route_part_write(kept);
	pool->series++;
}

static struct route_pool *
load(const struct route_pool *kept)
{
	struct route_pool pool = *kept;

	sh_route_load(&pool);
	pool.dirty = false;
	pool.turn = 0;
	for (int i = 0; i < pool.count; i++)
		pool.members[i].current = pool.members[i].last_turn = 0;
	if (kept->count > 0)
		go_on(&pool, kept);
	else
		resume(&pool);
	return sh_route_keep(&pool);
}

struct route_pool *
sh_route_part_pool(const pg_uuid_t *org, const pg_uuid_t *id)
{
	struct route_pool *pool;

	if (!at.set || memcmp(&at.org, org, UUID_LEN) != 0)
		return NULL;
	pool = sh_route_kept(org, id, true);
	if (!pool)
	{
		int count;
		struct route_pool *pools = sh_route_read(org, false, &count);

		for (int i = 0; i < count; i++)
		{
			pools[i].apart = true;
			pools[i].import = at.import;
			pools[i].part = at.part;
			(void) sh_route_keep(&pools[i]);
		}
		pool = sh_route_kept(org, id, true);
	}
	if (pool && !pool->loaded)
		pool = load(pool);
	return pool && is_simple(pool) ? pool : NULL;
}

/* --- writing --- */

void
sh_route_part_write(const struct route_pool *pool)
{
	static const char sql[] =
		"INSERT INTO saleshub.import_turn AS t"
		" (org_id, import_id, part, routing_pool_id, series, turn, members, weights, currents)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
		" ON CONFLICT (org_id, import_id, part, routing_pool_id, series) DO UPDATE"
		" SET turn = excluded.turn, currents = excluded.currents,"
		" at = pg_catalog.clock_timestamp()";
	Oid types[9] = { UUIDOID, UUIDOID,		INT4OID,	  UUIDOID,	   INT4OID,
					 INT8OID, UUIDARRAYOID, INT4ARRAYOID, INT8ARRAYOID };
	struct shares shared = shares_of(pool);
	Datum values[9] = { UUIDPGetDatum(&pool->org),	 UUIDPGetDatum(&pool->import),
						Int32GetDatum(pool->part),	 UUIDPGetDatum(&pool->id),
						Int32GetDatum(pool->series), Int64GetDatum(pool->turn) };
	struct sh_identity identity;

	values[6] = PointerGetDatum(
		construct_array(shared.members, shared.count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[7] = PointerGetDatum(
		construct_array(shared.weights, shared.count, INT4OID, 4, true, TYPALIGN_INT));
	values[8] = PointerGetDatum(construct_array(
		shared.currents, shared.count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	PushActiveSnapshot(GetTransactionSnapshot());
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 9, types), values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write the turns of an import");
	SPI_finish();
	sh_owner_leave(&identity);
	PopActiveSnapshot();
}

/*
 * saleshub.route_part(org uuid, import uuid, part integer, ends boolean, rehearsed boolean): leads
 * that this transaction inserts take the turns of this part of an import
 */
Datum
sh_route_part(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(on_transaction, NULL);
		RegisterSubXactCallback(on_subtransaction, NULL);
	}
	registered = true;
	sh_route_leave_part();
	at.org = *PG_GETARG_UUID_P(0);
	at.import = *PG_GETARG_UUID_P(1);
	at.part = PG_GETARG_INT32(2);
	at.ends = PG_GETARG_BOOL(3);
	at.rehearsed = PG_GETARG_BOOL(4);
	at.nest = GetCurrentTransactionNestLevel();
	at.set = true;
	PG_RETURN_VOID();
}

/* saleshub.route_part_leave(): note the turns; from now on leads are routed as any */
Datum
sh_route_part_leave(PG_FUNCTION_ARGS)
{
	sh_route_leave_part();
	at.set = false;
	PG_RETURN_VOID();
}

/* Add turns that a part took to those of the pool. */
static void
add_turns(struct route_pool *pool, int64 turn, TimestampTz last_at, const struct shares *added)
{
	pool->turn += turn;
	pool->dirty = true;
	for (int n = 0; n < added->count; n++)
		for (int i = 0; i < pool->count; i++)
		{
			struct route_member *member = &pool->members[i];
			int64 current = DatumGetInt64(added->currents[n]);

			if (memcmp(&member->member, DatumGetUUIDP(added->members[n]), UUID_LEN) != 0)
				continue;
			member->dirty = true;
			if (shares(member))
				member->current += current;
			if (turn * DatumGetInt32(added->weights[n]) > current)
			{
				member->assigned = true;
				member->last_at = Max(member->last_at, last_at);
			}
		}
}

/* saleshub.route_settle(org uuid, import uuid): the turns of all parts are the pools' now */
Datum
sh_route_settle(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"DELETE FROM saleshub.import_turn WHERE org_id OPERATOR(pg_catalog.=) $1"
		" AND import_id OPERATOR(pg_catalog.=) $2"
		" RETURNING routing_pool_id, turn, at, members, weights, currents";
	pg_uuid_t *org = PG_GETARG_UUID_P(0);
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { PG_GETARG_DATUM(0), PG_GETARG_DATUM(1) };
	struct sh_identity identity;
	struct route_entry *noted;
	SPITupleTable *rows;
	uint64 count;
	bool isnull;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not settle the turns of an import");
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		HeapTuple row = rows->vals[i];
		pg_uuid_t *id = DatumGetUUIDP(SPI_getbinval(row, rows->tupdesc, 1, &isnull));
		struct route_pool *pool = sh_route_locked(org, id);
		struct shares added = shares_at(row, rows->tupdesc, 4);

		if (pool)
			add_turns(pool,
					  DatumGetInt64(SPI_getbinval(row, rows->tupdesc, 2, &isnull)),
					  DatumGetTimestampTz(SPI_getbinval(row, rows->tupdesc, 3, &isnull)),
					  &added);
	}
	SPI_finish();
	sh_owner_leave(&identity);
	sh_route_logged(sh_route_noted(&noted));
	PG_RETURN_VOID();
}
