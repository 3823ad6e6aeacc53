/* Giving leads to members: when they arrive without an owner, and when somebody asks. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "route.h"
#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_lead_route);
PG_FUNCTION_INFO_V1(sh_lead_route_flush);
PG_FUNCTION_INFO_V1(sh_lead_route_call);

static int
column_of(TupleDesc desc, const char *name)
{
	int attno = SPI_fnumber(desc, name);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("a lead has no column \"%s\"", name)));
	return attno;
}

static Datum
needed_value(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool isnull;
	Datum value = heap_getattr(tuple, column_of(desc, name), desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("\"%s\" of a lead is null", name)));
	return value;
}

static bool
is_given(HeapTuple tuple, TupleDesc desc, const char *name)
{
	return !heap_attisnull(tuple, column_of(desc, name), desc);
}

static struct route_pool *
pool_of(const pg_uuid_t *org)
{
	struct route_pool *pool = sh_route_kept(org);

	return pool ? pool : sh_route_keep(sh_route_read(org, true));
}

/* Take a turn for a lead. */
static void
assign(struct route_pool *pool, const pg_uuid_t *lead, struct route_entry *out)
{
	int picked = sh_route_pick(pool);

	memset(out, 0, sizeof(*out));
	out->org = pool->org;
	out->lead = *lead;
	out->reason = pool->reason;
	out->assigned = picked >= 0;
	if (out->assigned)
		out->member = pool->members[picked].member;
}

/* BEFORE INSERT, for each row: a lead without an owner gets the next one of the pool. */
Datum
sh_lead_route(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct route_entry entry;
	HeapTuple tuple;
	TupleDesc desc;
	int owner;
	Datum value;
	bool isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		elog(ERROR, "saleshub.lead_route must be a trigger before a row is inserted");
	tuple = trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	if (is_given(tuple, desc, "owner_id") || is_given(tuple, desc, "deleted_at"))
		return PointerGetDatum(tuple);
	assign(pool_of(DatumGetUUIDP(needed_value(tuple, desc, "org_id"))),
		   DatumGetUUIDP(needed_value(tuple, desc, "lead_id")),
		   &entry);
	sh_route_note(&entry);
	if (!entry.assigned)
		return PointerGetDatum(tuple);
	owner = column_of(desc, "owner_id");
	value = UUIDPGetDatum(&entry.member);
	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, desc, 1, &owner, &value, &isnull));
}

/* Lead ids to the places of their entries. */
struct place
{
	pg_uuid_t lead; /* key */
	int index;
};

static HTAB *
places_of(const struct route_entry *entries, int count)
{
	HASHCTL control = { 0 };
	HTAB *places;

	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = sizeof(struct place);
	control.hcxt = CurrentMemoryContext;
	places = hash_create("routed leads", count, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
		((struct place *) hash_search(places, &entries[i].lead, HASH_ENTER, NULL))->index = i;
	return places;
}

/*
 * Move the entries of leads that the statement inserted to the end of the list; the number of
 * others, which stay for a statement around this one. A lead that ON CONFLICT kept out took its
 * turn but is not there to be logged.
 */
static int
part_inserted(TriggerData *trigger, struct route_entry *entries, int count)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	struct route_entry *inserted = palloc_extended(count * sizeof(*inserted), MCXT_ALLOC_HUGE);
	bool *taken = palloc_extended(count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	HTAB *places = places_of(entries, count);
	int lead = column_of(desc, "lead_id");
	int found = 0;
	int left = 0;
	bool isnull;

	tuplestore_rescan(trigger->tg_newtable);
	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, slot))
	{
		struct place *place =
			hash_search(places, DatumGetUUIDP(slot_getattr(slot, lead, &isnull)), HASH_FIND, NULL);

		if (!place || taken[place->index])
			continue;
		taken[place->index] = true;
		inserted[found++] = entries[place->index];
	}
	ExecDropSingleTupleTableSlot(slot);
	for (int i = 0; i < count; i++)
		if (!taken[i])
			entries[left++] = entries[i];
	memcpy(entries + left, inserted, found * sizeof(*inserted));
	return left;
}

/* Entries of one reading of a pool share one reason, and go into the log together. */
static void
log_entries(const struct route_entry *entries, int count)
{
	int from = 0;

	for (int i = 1; i <= count; i++)
		if (i == count || entries[i].reason != entries[from].reason)
		{
			sh_route_log(&entries[from], i - from);
			from = i;
		}
}

/* AFTER INSERT, for each statement, NEW TABLE newrows: log who got the new leads. */
Datum
sh_lead_route_flush(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct route_entry *entries;
	int count;
	int left;

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_newtable)
		elog(ERROR, "saleshub.lead_route_flush must be a trigger with a transition table");
	count = sh_route_noted(&entries);
	left = count > 0 ? part_inserted(trigger, entries, count) : 0;
	log_entries(entries + left, count - left);
	sh_route_logged(left);
	return PointerGetDatum(NULL);
}

/* The lead, if the caller may see it; its row locked when it is going to be changed. */
static bool
find_lead(const pg_uuid_t *lead, bool lock, bool *converted)
{
	static const char looked_at[] =
		"SELECT status = 'converted' FROM crm.lead"
		" WHERE org_id = saleshub.org_id() AND lead_id = $1 AND deleted_at IS NULL";
	static const char locked[] =
		"SELECT status = 'converted' FROM crm.lead"
		" WHERE org_id = saleshub.org_id() AND lead_id = $1 AND deleted_at IS NULL FOR UPDATE";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(lead) };
	bool found;
	bool isnull;

	SPI_connect();
	SPI_execute_plan(sh_plan(lock ? locked : looked_at, 1, types), values, NULL, false, 1);
	found = SPI_processed > 0;
	if (found)
		*converted =
			DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return found;
}

static void
set_owner(const pg_uuid_t *org, const struct route_entry *entry)
{
	static const char sql[] =
		"UPDATE crm.lead SET owner_id = $3 WHERE org_id = $1 AND lead_id = $2";
	Oid types[3] = { UUIDOID, UUIDOID, UUIDOID };
	Datum values[3] = { UUIDPGetDatum(org),
						UUIDPGetDatum(&entry->lead),
						UUIDPGetDatum(&entry->member) };

	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 3, types), values, NULL, false, 0);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of this lead may not be changed")));
	SPI_finish();
}

static Jsonb *
answer(const struct route_entry *entry)
{
	JsonbParseState *state = NULL;
	JsonbValue candidates;

	JsonbToJsonbValue(entry->reason->candidates, &candidates);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_uuid(&state, "owner_id", entry->assigned ? &entry->member : NULL);
	sh_json_string(&state, "rule", entry->reason->rule);
	sh_json_string(&state, "reason", sh_route_outcome(entry->reason, entry->assigned));
	sh_json_key(&state, "candidates");
	pushJsonbValue(&state, WJB_VALUE, &candidates);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A lead that is seen but cannot be locked is one that the caller may only read. */
static void
check_may_route(bool locked, bool converted)
{
	if (!locked)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("this lead may be read but not changed")));
	if (converted)
		ereport(ERROR, (errcode(SH_LEAD_CONVERTED), errmsg("a converted lead cannot be routed")));
}

/*
 * crm.lead_route(id uuid, dry_run boolean) returns jsonb: give the lead to the next member of
 * the pool, whoever owns it now, or only say who would get it.
 */
Datum
sh_lead_route_call(PG_FUNCTION_ARGS)
{
	pg_uuid_t *lead = PG_GETARG_UUID_P(0);
	bool dry_run = PG_GETARG_BOOL(1);
	struct route_entry entry;
	struct route_entry *noted;
	struct route_pool *pool;
	bool converted = false;
	pg_uuid_t org;

	if (!sh_context_org(&org) || !find_lead(lead, false, &converted))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("lead %s not found",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(lead)))),
				 errdetail_internal("{\"code\": \"not_found\"}")));
	if (!dry_run)
	{
		sh_score_share_rules(&org);
		check_may_route(find_lead(lead, true, &converted), converted);
	}
	pool = dry_run ? sh_route_read(&org, false) : pool_of(&org);
	if (dry_run)
		sh_route_carry(pool);
	assign(pool, lead, &entry);
	if (dry_run)
		PG_RETURN_JSONB_P(answer(&entry));

	if (entry.assigned)
		set_owner(&org, &entry);
	sh_route_log(&entry, 1);
	sh_route_logged(sh_route_noted(&noted));
	PG_RETURN_JSONB_P(answer(&entry));
}
