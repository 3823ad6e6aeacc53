/* Pools of members who share leads: reading, writing, and why somebody is left out. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "route.h"
#include "saleshub.h"

/* So many leads with the same candidates have them stored once, apart from the leads. */
#define SHARED_FROM 100

const char *
sh_route_outcome(const struct route_reason *reason, bool assigned)
{
	if (assigned)
		return reason->chosen;
	if (!reason->rule)
		return "no active pool";
	return reason->pooled ? "no eligible member" : "the pool is not active";
}

static enum route_method
method_of(const char *name)
{
	if (strcmp(name, "least_recently_assigned") == 0)
		return ROUTE_LEAST_RECENTLY_ASSIGNED;
	if (strcmp(name, "load_balance") == 0)
		return ROUTE_LOAD_BALANCE;
	return ROUTE_WEIGHTED_ROUND_ROBIN;
}

static void
read_pool(HeapTuple row, TupleDesc desc, MemoryContext context, struct route_pool *out)
{
	bool isnull;

	out->id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	out->name = MemoryContextStrdup(context, SPI_getvalue(row, desc, 2));
	out->turn = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
	out->position = DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull));
	out->method = method_of(SPI_getvalue(row, desc, 5));
	out->next_open = DatumGetBool(SPI_getbinval(row, desc, 6, &isnull));
}

/*
 * All pools are locked at once and in one order: sessions that use several of them in different
 * orders then wait for each other and never crosswise.
 */
struct route_pool *
sh_route_read(const pg_uuid_t *org, bool lock, int *count)
{
#define POOL_SQL                                                                                   \
	"SELECT routing_pool_id, name, turn, position, method,"                                        \
	" outside_hours OPERATOR(pg_catalog.=) 'next_open' FROM crm.routing_pool"                      \
	" WHERE org_id OPERATOR(pg_catalog.=) $1 AND active ORDER BY routing_pool_id"
	static const char looked_at[] = POOL_SQL;
	static const char locked[] = POOL_SQL " FOR NO KEY UPDATE";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	MemoryContext context = CurrentMemoryContext;
	struct sh_identity identity;
	struct route_pool *pools;

	sh_owner_enter(&identity);
	SPI_connect();
	/* Twice: the pool waited for may have been switched off meanwhile, and another be on. */
	for (int i = 0; i < 2; i++)
	{
		SPI_execute_plan(sh_plan(lock ? locked : looked_at, 1, types), values, NULL, false, 0);
		if (SPI_processed > 0 || !lock)
			break;
	}
	*count = (int) SPI_processed;
	pools = MemoryContextAllocZero(context, Max(*count, 1) * sizeof(*pools));
	for (int i = 0; i < *count; i++)
	{
		pools[i].org = *org;
		pools[i].members = MemoryContextAllocZero(context, sizeof(*pools[i].members));
		read_pool(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, context, &pools[i]);
	}
	SPI_finish();
	sh_owner_leave(&identity);
	return pools;
}

static const char *
why_excluded(bool employed, const char *role, bool in_pool, bool absent, int weight)
{
	if (!employed)
		return "member is not active";
	if (strcmp(role, "readonly") == 0)
		return "member may only read";
	if (!in_pool)
		return "paused in the pool";
	if (absent)
		return "absent";
	return weight > 0 ? NULL : "weight is zero";
}

static bool
true_at(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row, desc, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static int64
number_at(HeapTuple row, TupleDesc desc, int column, int64 missing)
{
	bool isnull;
	Datum value = SPI_getbinval(row, desc, column, &isnull);

	return isnull ? missing : DatumGetInt64(value);
}

/* What leads weigh by grade; NULL when capacity counts them. */
static void
read_points(HeapTuple row, TupleDesc desc, int column, struct route_member *out)
{
	bool isnull;
	Datum array = SPI_getbinval(row, desc, column, &isnull);
	Datum *values;
	bool *nulls;
	int count;

	out->in_points = !isnull;
	if (isnull)
		return;
	deconstruct_array(
		DatumGetArrayTypeP(array), INT4OID, 4, true, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < ROUTE_GRADES; i++)
		out->points[i] = i < count && !nulls[i] ? DatumGetInt32(values[i]) : 1;
}

/* The columns of saleshub.routing_members. */
static void
read_member(HeapTuple row, TupleDesc desc, MemoryContext context, struct route_member *out)
{
	bool isnull;
	char *skills = SPI_getvalue(row, desc, 10);

	out->member = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	out->weight = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
	out->current = number_at(row, desc, 3, 0);
	out->last_turn = number_at(row, desc, 4, 0);
	out->last_at = number_at(row, desc, 5, 0);
	out->excluded = why_excluded(true_at(row, desc, 7),
								 SPI_getvalue(row, desc, 8),
								 true_at(row, desc, 6),
								 true_at(row, desc, 9),
								 out->weight);
	out->skills = skills ? MemoryContextStrdup(context, skills) : NULL;
	out->territorial = true_at(row, desc, 11);
	out->capacity = number_at(row, desc, 12, -1);
	out->load = number_at(row, desc, 13, 0);
	out->quota = number_at(row, desc, 14, -1);
	out->today = number_at(row, desc, 15, 0);
	out->opens_at = number_at(row, desc, 16, 0);
	read_points(row, desc, 17, out);
	/* Who comes back starts from zero: absence earns no leads. */
	out->dirty = out->excluded && out->current != 0;
	if (out->dirty)
		out->current = 0;
}

void
sh_route_load(struct route_pool *pool)
{
	static const char sql[] = "SELECT * FROM saleshub.routing_members($1, $2)";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { UUIDPGetDatum(&pool->org), UUIDPGetDatum(&pool->id) };
	MemoryContext context = CurrentMemoryContext;
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	/* A new snapshot: it sees what the last holder of the pool's lock wrote. */
	SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 0);
	pool->count = 0;
	pool->members = MemoryContextAllocZero(context, Max(SPI_processed, 1) * sizeof(*pool->members));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		struct route_member *member = &pool->members[pool->count++];

		read_member(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, context, member);
		pool->dirty |= member->dirty;
	}
	SPI_finish();
	sh_owner_leave(&identity);
	pool->loaded = true;
}

/* Arrays of the changed members' values: id, current, last turn, when and whether a lead came. */
static void
changed_members(const struct route_pool *pool, Datum *out)
{
	int size = Max(pool->count, 1);
	Datum *columns[5];
	int n = 0;

	for (int i = 0; i < 5; i++)
		columns[i] = palloc(size * sizeof(Datum));
	for (int i = 0; i < pool->count; i++)
	{
		struct route_member *member = &pool->members[i];

		if (!member->dirty)
			continue;
		columns[0][n] = UUIDPGetDatum(&member->member);
		columns[1][n] = Int64GetDatum(member->current);
		columns[2][n] = Int64GetDatum(member->last_turn);
		columns[3][n] = BoolGetDatum(member->assigned);
		columns[4][n] = TimestampTzGetDatum(member->last_at);
		n++;
	}
	out[0] =
		PointerGetDatum(construct_array(columns[0], n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	out[1] = PointerGetDatum(
		construct_array(columns[1], n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	out[2] = PointerGetDatum(
		construct_array(columns[2], n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	out[3] = PointerGetDatum(construct_array(columns[3], n, BOOLOID, 1, true, TYPALIGN_CHAR));
	out[4] = PointerGetDatum(
		construct_array(columns[4], n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

void
sh_route_write(const struct route_pool *pool)
{
	static const char sql[] =
		"WITH member AS (UPDATE crm.routing_pool_member AS p"
		" SET current = u.current, last_turn = u.last_turn, last_assigned_at ="
		" CASE WHEN u.assigned THEN u.last_at ELSE p.last_assigned_at END"
		" FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
		" pg_catalog.unnest($7), pg_catalog.unnest($8))"
		" AS u (member_id, current, last_turn, assigned, last_at)"
		" WHERE p.org_id OPERATOR(pg_catalog.=) $1 AND p.routing_pool_id OPERATOR(pg_catalog.=) $2"
		" AND p.member_id OPERATOR(pg_catalog.=) u.member_id)"
		" UPDATE crm.routing_pool SET turn = $3"
		" WHERE org_id OPERATOR(pg_catalog.=) $1 AND routing_pool_id OPERATOR(pg_catalog.=) $2";
	Oid types[8] = { UUIDOID,	   UUIDOID,		 INT8OID,	   UUIDARRAYOID,
					 INT8ARRAYOID, INT8ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID };
	Datum values[8] = { UUIDPGetDatum(&pool->org),
						UUIDPGetDatum(&pool->id),
						Int64GetDatum(pool->turn) };
	struct sh_identity identity;

	if (pool->apart)
	{
		sh_route_part_write(pool);
		return;
	}
	changed_members(pool, &values[3]);
	PushActiveSnapshot(GetTransactionSnapshot());
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 8, types), values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write the state of a pool");
	SPI_finish();
	sh_owner_leave(&identity);
	PopActiveSnapshot();
}

/* Store candidates apart, for many leads; the id under which. */
static pg_uuid_t
share_candidates(const struct route_entry *entry)
{
	static const char *const columns[] = { "org_id", "assignment_candidates_id", "candidates" };
	struct sh_rows *rows =
		sh_rows_open("crm", "assignment_candidates", columns, lengthof(columns), false);
	pg_uuid_t id;
	Datum values[] = { UUIDPGetDatum(&entry->org),
					   UUIDPGetDatum(&id),
					   JsonbPGetDatum(entry->reason->candidates) };

	sh_uuid_v7(&id);
	sh_rows_add(rows, values, NULL);
	sh_rows_close(rows);
	return id;
}

void
sh_route_log(const struct route_entry *entries, int count)
{
	static const char *const columns[] = {
		"org_id", "assignment_id", "lead_id", "pool_id", "member_id",
		"reason", "candidates",	   "at",	  "rule_id", "assignment_candidates_id"
	};
	const struct route_reason *reason = entries[0].reason;
	bool is_shared = count >= SHARED_FROM;
	pg_uuid_t shared = is_shared ? share_candidates(entries) : (pg_uuid_t){ { 0 } };
	struct sh_rows *rows = sh_rows_open("crm", "assignment_log", columns, lengthof(columns), false);
	Datum said[2] = { CStringGetTextDatum(sh_route_outcome(reason, false)),
					  CStringGetTextDatum(sh_route_outcome(reason, true)) };

	for (int i = 0; i < count; i++)
	{
		pg_uuid_t id;
		Datum values[] = { UUIDPGetDatum(&entries[i].org),
						   UUIDPGetDatum(&id),
						   UUIDPGetDatum(&entries[i].lead),
						   UUIDPGetDatum(&reason->pool),
						   UUIDPGetDatum(&entries[i].member),
						   said[entries[i].assigned],
						   JsonbPGetDatum(reason->candidates),
						   TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
						   UUIDPGetDatum(&reason->rule_id),
						   UUIDPGetDatum(&shared) };
		bool nulls[lengthof(columns)] = { false };

		sh_uuid_v7(&id);
		nulls[3] = !reason->pooled;
		nulls[4] = !entries[i].assigned;
		nulls[6] = is_shared;
		nulls[8] = !reason->ruled;
		nulls[9] = !is_shared;
		sh_rows_add(rows, values, nulls);
	}
	sh_rows_close(rows);
}

void
sh_route_queue(const struct route_entry *entries, int count)
{
	static const char sql[] =
		"INSERT INTO crm.routing_queue (org_id, lead_id, pool_id, reason, candidates)"
		" SELECT $1, u.lead, $2, $4, $5 FROM pg_catalog.unnest($3) AS u (lead)"
		" ON CONFLICT (org_id, lead_id) DO NOTHING";
	Oid types[5] = { UUIDOID, UUIDOID, UUIDARRAYOID, TEXTOID, JSONBOID };
	const struct route_reason *reason = entries[0].reason;
	char nulls[6] = "     ";
	Datum values[5] = { UUIDPGetDatum(&entries[0].org), UUIDPGetDatum(&reason->pool) };
	Datum *leads = palloc(count * sizeof(Datum));
	int waiting = 0;
	struct sh_identity identity;

	for (int i = 0; i < count; i++)
		if (!entries[i].assigned)
			leads[waiting++] = UUIDPGetDatum(&entries[i].lead);
	if (waiting == 0)
		return;
	if (!reason->pooled)
		nulls[1] = 'n';
	values[2] =
		PointerGetDatum(construct_array(leads, waiting, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[3] = CStringGetTextDatum(sh_route_outcome(reason, false));
	values[4] = JsonbPGetDatum(reason->candidates);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 5, types), values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not queue the leads");
	SPI_finish();
	sh_owner_leave(&identity);
}
