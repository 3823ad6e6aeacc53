/* Pools of members who share leads: reading, writing, and why somebody is left out. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "route.h"
#include "saleshub.h"

const char *
sh_route_outcome(const struct route_reason *reason, bool assigned)
{
	if (assigned)
		return "next in turn";
	return reason->rule ? "no eligible member" : "no active pool";
}

/* The state row of the pool: false when the organisation has no active one. */
static bool
read_pool(struct route_pool *pool, struct route_reason *reason, bool lock, MemoryContext context)
{
	static const char looked_at[] = "SELECT routing_pool_id, name, turn FROM crm.routing_pool"
									" WHERE org_id OPERATOR(pg_catalog.=) $1 AND active"
									" ORDER BY position, routing_pool_id LIMIT 1";
	static const char locked[] = "SELECT routing_pool_id, name, turn FROM crm.routing_pool"
								 " WHERE org_id OPERATOR(pg_catalog.=) $1 AND active"
								 " ORDER BY position, routing_pool_id LIMIT 1 FOR NO KEY UPDATE";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(&pool->org) };
	TupleDesc desc;
	HeapTuple row;
	bool isnull;

	/* Twice: the pool waited for may have been switched off meanwhile, and another be on. */
	for (int i = 0; i < 2; i++)
	{
		SPI_execute_plan(sh_plan(lock ? locked : looked_at, 1, types), values, NULL, false, 1);
		if (SPI_processed > 0 || !lock)
			break;
	}
	if (SPI_processed == 0)
		return false;
	desc = SPI_tuptable->tupdesc;
	row = SPI_tuptable->vals[0];
	reason->pool = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	reason->rule = MemoryContextStrdup(context, SPI_getvalue(row, desc, 2));
	pool->turn = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
	return true;
}

static const char *
why_excluded(bool employed, const char *role, bool in_pool, int weight)
{
	if (!employed)
		return "member is not active";
	if (strcmp(role, "readonly") == 0)
		return "member may only read";
	if (!in_pool)
		return "paused in the pool";
	return weight > 0 ? NULL : "weight is zero";
}

static void
read_member(HeapTuple row, TupleDesc desc, struct route_member *out)
{
	bool isnull;
	bool in_pool = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
	bool employed = DatumGetBool(SPI_getbinval(row, desc, 6, &isnull));

	out->member = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	out->weight = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
	out->current = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
	out->last_turn = DatumGetInt64(SPI_getbinval(row, desc, 4, &isnull));
	out->excluded = why_excluded(employed, SPI_getvalue(row, desc, 7), in_pool, out->weight);
	out->assigned = false;
	/* Who comes back starts from zero: absence earns no leads. */
	out->dirty = out->excluded && out->current != 0;
	if (out->dirty)
		out->current = 0;
}

static void
read_members(struct route_pool *pool, const pg_uuid_t *id, MemoryContext context)
{
	static const char sql[] =
		"SELECT p.member_id, p.weight, p.current, p.last_turn, p.active,"
		" m.active AND m.deleted_at IS NULL, m.role::pg_catalog.text"
		" FROM crm.routing_pool_member AS p JOIN crm.member AS m"
		" ON m.org_id OPERATOR(pg_catalog.=) p.org_id"
		" AND m.member_id OPERATOR(pg_catalog.=) p.member_id"
		" WHERE p.org_id OPERATOR(pg_catalog.=) $1 AND p.routing_pool_id OPERATOR(pg_catalog.=) $2"
		" ORDER BY p.member_id";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { UUIDPGetDatum(&pool->org), UUIDPGetDatum(id) };

	/* A new snapshot: it sees what the last holder of the pool's lock wrote. */
	SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 0);
	pool->members = MemoryContextAllocZero(context, Max(SPI_processed, 1) * sizeof(*pool->members));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		struct route_member *member = &pool->members[pool->count++];

		read_member(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, member);
		pool->dirty |= member->dirty;
	}
}

static Jsonb *
candidates_of(const struct route_pool *pool)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < pool->count; i++)
	{
		const struct route_member *member = &pool->members[i];

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_uuid(&state, "member_id", &member->member);
		sh_json_bool(&state, "eligible", member->excluded == NULL);
		sh_json_string(&state, "reason", member->excluded);
		sh_json_number(&state, "weight", member->weight);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

struct route_pool *
sh_route_read(const pg_uuid_t *org, bool lock)
{
	MemoryContext context = CurrentMemoryContext;
	struct route_pool *pool = palloc0(sizeof(*pool));
	struct route_reason *reason = palloc0(sizeof(*reason));
	struct sh_identity identity;

	pool->org = *org;
	pool->reason = reason;
	sh_owner_enter(&identity);
	SPI_connect();
	if (read_pool(pool, reason, lock, context))
		read_members(pool, &reason->pool, context);
	SPI_finish();
	sh_owner_leave(&identity);
	reason->candidates = candidates_of(pool);
	return pool;
}

/* Arrays of the changed members' values: id, current, last turn, whether a lead came. */
static void
changed_members(const struct route_pool *pool, Datum *out)
{
	int size = Max(pool->count, 1);
	Datum *columns[4];
	int n = 0;

	for (int i = 0; i < 4; i++)
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
		n++;
	}
	out[0] =
		PointerGetDatum(construct_array(columns[0], n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	out[1] = PointerGetDatum(
		construct_array(columns[1], n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	out[2] = PointerGetDatum(
		construct_array(columns[2], n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	out[3] = PointerGetDatum(construct_array(columns[3], n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

void
sh_route_write(const struct route_pool *pool)
{
	static const char sql[] =
		"WITH member AS (UPDATE crm.routing_pool_member AS p"
		" SET current = u.current, last_turn = u.last_turn, last_assigned_at ="
		" CASE WHEN u.assigned THEN pg_catalog.now() ELSE p.last_assigned_at END"
		" FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
		" pg_catalog.unnest($7)) AS u (member_id, current, last_turn, assigned)"
		" WHERE p.org_id OPERATOR(pg_catalog.=) $1 AND p.routing_pool_id OPERATOR(pg_catalog.=) $2"
		" AND p.member_id OPERATOR(pg_catalog.=) u.member_id)"
		" UPDATE crm.routing_pool SET turn = $3"
		" WHERE org_id OPERATOR(pg_catalog.=) $1 AND routing_pool_id OPERATOR(pg_catalog.=) $2";
	Oid types[7] = { UUIDOID,	   UUIDOID,		 INT8OID,	  UUIDARRAYOID,
					 INT8ARRAYOID, INT8ARRAYOID, BOOLARRAYOID };
	Datum values[7] = { UUIDPGetDatum(&pool->org),
						UUIDPGetDatum(&pool->reason->pool),
						Int64GetDatum(pool->turn) };
	struct sh_identity identity;

	changed_members(pool, &values[3]);
	PushActiveSnapshot(GetTransactionSnapshot());
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 7, types), values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write the state of a pool");
	SPI_finish();
	sh_owner_leave(&identity);
	PopActiveSnapshot();
}

void
sh_route_log(const struct route_entry *entries, int count)
{
	static const char sql[] =
		"INSERT INTO crm.assignment_log"
		" (org_id, lead_id, pool_id, member_id, reason, candidates)"
		" SELECT $1, u.lead, $2, u.member,"
		" CASE WHEN u.member IS NULL THEN $5 ELSE $6 END, $7"
		" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS u (lead, member)";
	Oid types[7] = { UUIDOID, UUIDOID, UUIDARRAYOID, UUIDARRAYOID, TEXTOID, TEXTOID, JSONBOID };
	const struct route_reason *reason = entries[0].reason;
	char nulls[8] = "       ";
	Datum values[7];
	Datum *leads = palloc(count * sizeof(Datum));
	Datum *members = palloc(count * sizeof(Datum));
	bool *unassigned = palloc(count * sizeof(bool));
	struct sh_identity identity;

	for (int i = 0; i < count; i++)
	{
		leads[i] = UUIDPGetDatum(&entries[i].lead);
		members[i] = UUIDPGetDatum(&entries[i].member);
		unassigned[i] = !entries[i].assigned;
	}
	values[0] = UUIDPGetDatum(&entries[0].org);
	values[1] = UUIDPGetDatum(&reason->pool);
	if (!reason->rule)
		nulls[1] = 'n';
	values[2] =
		PointerGetDatum(construct_array(leads, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[3] = PointerGetDatum(construct_md_array(members,
												   unassigned,
												   1,
												   (int[]){ count },
												   (int[]){ 1 },
												   UUIDOID,
												   UUID_LEN,
												   false,
												   TYPALIGN_CHAR));
	values[4] = CStringGetTextDatum(sh_route_outcome(reason, false));
	values[5] = CStringGetTextDatum(sh_route_outcome(reason, true));
	values[6] = JsonbPGetDatum(reason->candidates);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 7, types), values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not log the assignments");
	SPI_finish();
	sh_owner_leave(&identity);
}
