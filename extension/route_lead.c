/* Giving leads to members: when they arrive without an owner, and when somebody asks. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/array.h"
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
PG_FUNCTION_INFO_V1(sh_lead_route_again);

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

/* The place of a grade, by its letter, among those that points are given for. */
static int
grade_of(const text *grade)
{
	int place = VARSIZE_ANY_EXHDR(grade) > 0 ? VARDATA_ANY(grade)[0] - 'A' : -1;

	return place >= 0 && place < ROUTE_GRADES - 1 ? place : ROUTE_GRADES - 1;
}

/* What routing asks of a lead, from a row of crm.lead. */
static void
read_lead(Oid relid, TupleDesc desc, HeapTuple tuple, struct route_lead *out)
{
	bool isnull;
	Datum grade = heap_getattr(tuple, column_of(desc, "grade"), desc, &isnull);

	memset(out, 0, sizeof(*out));
	out->grade = isnull ? ROUTE_GRADES - 1 : grade_of(DatumGetTextPP(grade));
	out->org = *DatumGetUUIDP(needed_value(tuple, desc, "org_id"));
	out->lead = *DatumGetUUIDP(needed_value(tuple, desc, "lead_id"));
	sh_score_row(relid, desc, tuple, &out->row);
}

/* The pool as this statement keeps it, read under the lock of all pools the first time. */
struct route_pool *
sh_route_locked(const pg_uuid_t *org, const pg_uuid_t *id)
{
	struct route_pool *pool = sh_route_kept(org, id, false);
	struct route_pool copy;

	if (!pool)
	{
		int count;
		struct route_pool *pools = sh_route_read(org, true, &count);

		for (int i = 0; i < count; i++)
			(void) sh_route_keep(&pools[i]);
		pool = sh_route_kept(org, id, false);
	}
	if (!pool || pool->loaded)
		return pool;
	copy = *pool;
	sh_route_load(&copy);
	return sh_route_keep(&copy);
}

/* The same for who only asks: nothing is locked and nothing kept. */
static struct route_pool *
pool_looked_at(const pg_uuid_t *org, const pg_uuid_t *id)
{
	int count;
	struct route_pool *pools = sh_route_read(org, false, &count);
	struct route_pool *found = NULL;

	for (int i = 0; i < count; i++)
		if (id ? memcmp(&pools[i].id, id, UUID_LEN) == 0 :
				 !found || pools[i].position < found->position)
			found = &pools[i];
	if (found)
	{
		sh_route_load(found);
		sh_route_carry(found);
	}
	return found;
}

/* The pool that gives the lead away, and who of it may have it. */
static struct route_pool *
pool_for(const struct route_lead *lead, const struct route_rule *rule, bool look)
{
	const pg_uuid_t *id = rule ? &rule->pool : NULL;
	struct route_pool *pool = look ? NULL : sh_route_part_pool(&lead->org, id);

	if (pool)
	{
		sh_route_block(pool, rule, lead);
		if (sh_route_part_open(pool))
			return pool;
	}
	pool = (look ? pool_looked_at : sh_route_locked)(&lead->org, id);
	if (pool)
		sh_route_block(pool, rule, lead);
	return pool;
}

/* The elements of an array, into the array under construction. */
static void
push_elements(JsonbParseState **state, Jsonb *array)
{
	JsonbIterator *it = JsonbIteratorInit(&array->root);
	JsonbIteratorToken token;
	JsonbValue value;

	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) == WJB_ELEM)
		pushJsonbValue(state, token, &value);
}

/* Who was thought of: owners at the same company if they could not get it, then the pool. */
static Jsonb *
candidates_of(const struct route_pool *pool, Jsonb *sticky)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	if (sticky)
		push_elements(&state, sticky);
	for (int i = 0; pool && i < pool->count; i++)
	{
		struct route_member *member = &pool->members[i];

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_uuid(&state, "member_id", &member->member);
		sh_json_bool(&state, "eligible", member->shown == NULL);
		sh_json_string(&state, "reason", member->shown);
		sh_json_number(&state, "weight", member->weight);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static const char *
why_chosen(enum route_method method)
{
	switch (method)
	{
		case ROUTE_LEAST_RECENTLY_ASSIGNED:
			return "longest without a lead";
		case ROUTE_LOAD_BALANCE:
			return "most room";
		default:
			return "next in turn";
	}
}

/* Whether the last reason says of every member what holds now; it will, afterwards. */
static bool
shows_the_same(struct route_pool *pool)
{
	bool same = true;

	for (int i = 0; i < pool->count; i++)
	{
		struct route_member *member = &pool->members[i];
		const char *now = member->excluded ? member->excluded : member->blocked;

		same &= member->shown == now;
		member->shown = now;
	}
	return same;
}

static const struct route_reason *
reason_for(struct route_pool *pool, const struct route_rule *rule, Jsonb *sticky)
{
	struct route_reason *reason;

	if (pool && shows_the_same(pool) && pool->reason && !sticky &&
		pool->reason->ruled == (rule != NULL) &&
		(!rule || memcmp(&pool->reason->rule_id, &rule->id, UUID_LEN) == 0))
		return pool->reason;
	reason = palloc0(sizeof(*reason));
	reason->rule = rule ? rule->name : pool ? pool->name : NULL;
	reason->ruled = rule != NULL;
	if (rule)
		reason->rule_id = rule->id;
	reason->pooled = pool != NULL;
	reason->chosen = "";
	if (pool)
	{
		reason->pool = pool->id;
		reason->chosen = why_chosen(pool->method);
	}
	reason->candidates = candidates_of(pool, sticky);
	return reason;
}

/* Find who gets the lead, and take the turn; kept by this transaction unless it only looks. */
static void
assign(struct route_lead *lead, bool look, struct route_entry *out)
{
	const struct route_rule *rule;
	struct route_reason sticky = { 0 };
	struct route_pool *pool;
	int picked = -1;

	memset(out, 0, sizeof(*out));
	out->org = lead->org;
	out->lead = lead->lead;
	out->assigned = sh_route_sticky(lead, &out->member, &sticky);
	if (out->assigned)
	{
		if (!look)
			sh_route_given(&lead->org, &out->member, lead->grade, NULL);
		out->reason = look ? memcpy(palloc(sizeof(sticky)), &sticky, sizeof(sticky)) :
							 sh_route_intern(&sticky);
		return;
	}
	rule = sh_route_rule(lead);
	pool = pool_for(lead, rule, look);
	if (pool)
	{
		out->reason = reason_for(pool, rule, sticky.candidates);
		picked = sh_route_pick(pool);
	}
	else
		out->reason = reason_for(NULL, rule, sticky.candidates);
	if (!look)
		out->reason = sh_route_intern(out->reason);
	if (pool)
		pool->reason = sticky.candidates ? NULL : out->reason;
	out->assigned = picked >= 0;
	if (!out->assigned)
		return;
	out->member = pool->members[picked].member;
	if (!look)
		sh_route_given(&lead->org, &out->member, lead->grade, pool);
}

/* BEFORE INSERT, for each row: a lead without an owner gets the next one of the pool. */
Datum
sh_lead_route(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct route_lead lead;
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
	read_lead(RelationGetRelid(trigger->tg_relation), desc, tuple, &lead);
	assign(&lead, false, &entry);
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
	HTAB *places = sh_table(
		"routed leads", sizeof(pg_uuid_t), sizeof(struct place), count, CurrentMemoryContext);

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
			sh_route_queue(&entries[from], i - from);
			from = i;
		}
}

/*
 * AFTER INSERT, for each statement, NEW TABLE newrows: log who got the new leads, and queue those
 * that nobody got.
 */
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
find_lead(const pg_uuid_t *id, bool lock, bool *converted, struct route_lead *lead)
{
	static const char looked_at[] =
		"SELECT * FROM crm.lead"
		" WHERE org_id = saleshub.org_id() AND lead_id = $1 AND deleted_at IS NULL";
	static const char locked[] =
		"SELECT * FROM crm.lead"
		" WHERE org_id = saleshub.org_id() AND lead_id = $1 AND deleted_at IS NULL FOR UPDATE";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(id) };
	MemoryContext context = CurrentMemoryContext;
	bool found;

	SPI_connect();
	SPI_execute_plan(sh_plan(lock ? locked : looked_at, 1, types), values, NULL, false, 1);
	found = SPI_processed > 0;
	if (found)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *status = SPI_getvalue(row, desc, column_of(desc, "status"));
		MemoryContext before = MemoryContextSwitchTo(context);

		*converted = status && strcmp(status, "converted") == 0;
		/* The values of the lead point into the row. */
		read_lead(InvalidOid, CreateTupleDescCopy(desc), heap_copytuple(row), lead);
		MemoryContextSwitchTo(before);
	}
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
	sh_json_uuid(&state, "pool_id", entry->reason->pooled ? &entry->reason->pool : NULL);
	sh_json_string(&state, "rule", entry->reason->rule);
	sh_json_uuid(&state, "rule_id", entry->reason->ruled ? &entry->reason->rule_id : NULL);
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

static void
missing(const pg_uuid_t *lead)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("lead %s not found",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(lead)))),
			 errdetail_internal("{\"code\": \"not_found\"}")));
}

/* Take the turn, log it and hand the lead over; a lead that nobody gets stays as it is. */
static void
hand_over(struct route_lead *lead, struct route_entry *entry, bool log_nobody)
{
	struct route_entry *noted;

	assign(lead, false, entry);
	/* The log comes first: it tells the triggers on the lead that routing did it. */
	if (entry->assigned || log_nobody)
		sh_route_log(entry, 1);
	if (entry->assigned)
		set_owner(&lead->org, entry);
	sh_route_logged(sh_route_noted(&noted));
}

/*
 * saleshub.lead_route_call(id uuid, dry_run boolean) returns jsonb: give the lead to the next
 * member of its pool, whoever owns it now, or only say who would get it.
 */
Datum
sh_lead_route_call(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = PG_GETARG_UUID_P(0);
	bool dry_run = PG_GETARG_BOOL(1);
	struct route_lead lead;
	struct route_entry entry;
	bool converted = false;
	pg_uuid_t org;

	if (!sh_context_org(&org) || !find_lead(id, false, &converted, &lead))
		missing(id);
	if (dry_run)
	{
		assign(&lead, true, &entry);
		PG_RETURN_JSONB_P(answer(&entry));
	}
	sh_score_share_rules(&org);
	check_may_route(find_lead(id, true, &converted, &lead), converted);
	hand_over(&lead, &entry, true);
	PG_RETURN_JSONB_P(answer(&entry));
}

/*
 * saleshub.lead_route_again(id uuid, others uuid[]) returns jsonb: the same for the machinery,
 * past the members named; NULL when there is no such lead to give.
 */
Datum
sh_lead_route_again(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = PG_GETARG_UUID_P(0);
	Datum *others;
	bool *nulls;
	int count;
	pg_uuid_t *ids;
	struct route_lead lead;
	struct route_entry entry;
	bool converted = false;
	pg_uuid_t org;

	deconstruct_array(
		PG_GETARG_ARRAYTYPE_P(1), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &others, &nulls, &count);
	ids = palloc(Max(count, 1) * sizeof(*ids));
	for (int i = 0; i < count; i++)
		ids[i] = *DatumGetUUIDP(others[i]);
	if (!sh_context_org(&org))
		PG_RETURN_NULL();
	sh_score_share_rules(&org);
	if (!find_lead(id, true, &converted, &lead) || converted)
		PG_RETURN_NULL();
	lead.others = ids;
	lead.other_count = count;
	hand_over(&lead, &entry, false);
	PG_RETURN_JSONB_P(answer(&entry));
}
