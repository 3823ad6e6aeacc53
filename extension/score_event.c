/*
 * What happened to leads: activities that are linked with them. When one comes, goes or changes,
 * the leads that it is about are scored in the same statement, from all their events anew: taking
 * an event back gives exactly what there was without it, which subtracting would not.
 *
 * The rows of those leads are locked before their events are read by a new snapshot, so that of
 * two transactions that add events to one lead the second sees both; others do not meet.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "saleshub.h"
#include "score.h"
#include "transition.h"

PG_FUNCTION_INFO_V1(sh_activity_score);
PG_FUNCTION_INFO_V1(sh_activity_link_score);

/* Leads that are scored together. */
#define BATCH 1000

static HTAB *pinned = NULL;

const char *sh_score_cause = NULL;

/* --- loading --- */

static Datum
uuid_array(const Datum *ids, int count)
{
	return PointerGetDatum(
		construct_array(unconstify(Datum *, ids), count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static void
take_event(HTAB *table, HeapTuple tuple, TupleDesc desc)
{
	struct score_events *of;
	struct score_event *event;
	bool isnull;

	of = hash_search(table, DatumGetUUIDP(SPI_getbinval(tuple, desc, 1, &isnull)), HASH_FIND, NULL);
	if (!of)
		return;
	if (of->count == of->space)
	{
		of->space = Max(8, of->space * 2);
		of->events = of->events ? repalloc_huge(of->events, of->space * sizeof(*of->events)) :
								  palloc(of->space * sizeof(*of->events));
	}
	event = &of->events[of->count++];
	event->activity = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 2, &isnull));
	event->at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
	for (int i = 0; i < SCORE_EVENT_FIELDS; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, 3 + i);
		Datum value = SPI_getbinval(tuple, desc, 4 + i, &event->nulls[i]);

		if (!event->nulls[i])
			event->values[i] = datumCopy(value, att->attbyval, att->attlen);
	}
}

/* Run the query for the events; between SPI_connect and SPI_finish. */
static void
read_events(const pg_uuid_t *org, Datum leads, const TimestampTz *as_of, bool read_only)
{
	static const char now[] = "SELECT lead_id, activity_id, at, type, outcome, direction, subject,"
							  " duration_s FROM saleshub.score_events($1, $2)";
	static const char then[] = "SELECT lead_id, activity_id, at, type, outcome, direction, subject,"
							   " duration_s FROM saleshub.score_events_at($1, $2, $3)";
	Oid types[3] = { UUIDOID, UUIDARRAYOID, TIMESTAMPTZOID };
	Datum values[3] = { UUIDPGetDatum(org), leads, as_of ? TimestampTzGetDatum(*as_of) : 0 };
	SPIPlanPtr plan = as_of ? sh_plan(then, 3, types) : sh_plan(now, 2, types);

	if (SPI_execute_plan(plan, values, NULL, read_only, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the activities of leads");
}

HTAB *
sh_score_load_events(const pg_uuid_t *org, const Datum *leads, int count, const TimestampTz *as_of,
					 bool read_only)
{
	MemoryContext outside = CurrentMemoryContext;
	MemoryContext before;
	struct sh_identity identity;
	HTAB *table;

	table = sh_table("saleshub events", UUID_LEN, sizeof(struct score_events), count, outside);
	for (int i = 0; i < count; i++)
	{
		struct score_events *of = hash_search(table, DatumGetUUIDP(leads[i]), HASH_ENTER, NULL);

		memset(&of->cause, 0, sizeof(*of) - offsetof(struct score_events, cause));
	}
	sh_owner_enter(&identity);
	SPI_connect();
	read_events(org, uuid_array(leads, count), as_of, read_only);
	before = MemoryContextSwitchTo(outside);
	for (uint64 i = 0; i < SPI_processed; i++)
		take_event(table, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	return table;
}

void
sh_score_pin_events(HTAB *events)
{
	pinned = events;
}

const struct score_events *
sh_score_events(const pg_uuid_t *org, const pg_uuid_t *lead)
{
	Datum id = UUIDPGetDatum(lead);
	HTAB *table = pinned ? pinned : sh_score_load_events(org, &id, 1, NULL, false);

	return hash_search(table, lead, HASH_FIND, NULL);
}

const pg_uuid_t *
sh_score_cause_of(const pg_uuid_t *lead)
{
	static const pg_uuid_t none = { 0 };
	const struct score_events *of = pinned ? hash_search(pinned, lead, HASH_FIND, NULL) : NULL;

	return of && memcmp(&of->cause, &none, UUID_LEN) != 0 ? &of->cause : NULL;
}

/* --- stored amounts --- */

struct amounts
{
	int count;
	int space;
	Datum *leads;
	Datum *groups;
	Datum *half_lives;
	Datum *values;
};

static Datum *
grown(Datum *list, int space)
{
	return list ? repalloc_huge(list, space * sizeof(*list)) : palloc(space * sizeof(*list));
}

static void
add_amount(struct amounts *to, const struct score_rules *rules, const struct score_events *of,
		   const struct score_amount *amount)
{
	if (to->count == to->space)
	{
		to->space = Max(64, to->space * 2);
		to->leads = grown(to->leads, to->space);
		to->groups = grown(to->groups, to->space);
		to->half_lives = grown(to->half_lives, to->space);
		to->values = grown(to->values, to->space);
	}
	to->leads[to->count] = UUIDPGetDatum(&of->lead);
	to->groups[to->count] = UUIDPGetDatum(&rules->groups[amount->group].id);
	to->half_lives[to->count] = Int32GetDatum((int32) amount->half_life);
	to->values[to->count] = Float8GetDatum(sh_score_stored(rules, amount));
	to->count++;
}

static void
collect_amounts(const struct score_rules *rules, HTAB *events, struct amounts *to)
{
	struct predicate_row nothing = { .custom_null = true };
	struct score_events *of;
	HASH_SEQ_STATUS scan;

	memset(nothing.nulls, true, sizeof(nothing.nulls));
	hash_seq_init(&scan, events);
	while ((of = hash_seq_search(&scan)) != NULL)
	{
		struct score score;

		if (of->count == 0)
			continue;
		sh_score(rules, &nothing, of, of->events[of->count - 1].at, &score);
		for (int i = 0; i < score.amount_count; i++)
			add_amount(to, rules, of, &score.amounts[i]);
	}
}

/* Amounts of leads: those in events as they say, of the other ones none. */
static void
store_amounts(const pg_uuid_t *org, const struct score_rules *rules, HTAB *events,
			  const Datum *leads, int count)
{
	static const char sql[] = "SELECT saleshub.score_store($1, $2, $3, $4, $5, $6)";
	Oid types[6] = {
		UUIDOID, UUIDARRAYOID, UUIDARRAYOID, UUIDARRAYOID, INT4ARRAYOID, FLOAT8ARRAYOID
	};
	struct amounts new = { 0 };
	struct sh_identity identity;
	Datum values[6];

	collect_amounts(rules, events, &new);
	values[0] = UUIDPGetDatum(org);
	values[1] = uuid_array(leads, count);
	values[2] = uuid_array(new.leads, new.count);
	values[3] = uuid_array(new.groups, new.count);
	values[4] =
		PointerGetDatum(construct_array(new.half_lives, new.count, INT4OID, 4, true, TYPALIGN_INT));
	values[5] = PointerGetDatum(
		construct_array(new.values, new.count, FLOAT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 6, types), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not store what leads are engaged by");
	SPI_finish();
	sh_owner_leave(&identity);
}

/* --- scoring leads by their events --- */

Datum *
sh_score_ids(const char *sql, int nargs, const Oid *types, Datum *values, int *count)
{
	MemoryContext outside = CurrentMemoryContext;
	MemoryContext before;
	struct sh_identity identity;
	Datum *out;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, nargs, types), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the leads to be scored");
	*count = (int) SPI_processed;
	before = MemoryContextSwitchTo(outside);
	out = MemoryContextAllocHuge(outside, Max(SPI_processed, 1) * sizeof(*out));
	for (int i = 0; i < *count; i++)
	{
		bool isnull;

		out[i] = datumCopy(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull),
						   false,
						   UUID_LEN);
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	return out;
}

/* Lock those of the leads that are open, in the order of their ids. */
static Datum *
lock_open(const pg_uuid_t *org, const Datum *leads, int count, int *open)
{
	static const char sql[] = "SELECT lead_id FROM saleshub.score_lock_leads($1, $2)";
	Oid types[2] = { UUIDOID, UUIDARRAYOID };
	Datum values[2] = { UUIDPGetDatum(org), uuid_array(leads, count) };

	return sh_score_ids(sql, 2, types, values, open);
}

static void
write_scores(const pg_uuid_t *org, const Datum *leads, int count)
{
	/* Setting a column to itself is enough: the trigger puts in what belongs there. */
	static const char sql[] = "UPDATE crm.lead AS l SET score = l.score"
							  " WHERE l.org_id OPERATOR(pg_catalog.=) $1"
							  " AND l.lead_id OPERATOR(pg_catalog.=) ANY ($2)"
							  " AND NOT saleshub.score_is_current(l)";
	Oid types[2] = { UUIDOID, UUIDARRAYOID };
	Datum values[2] = { UUIDPGetDatum(org), uuid_array(leads, count) };
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not score the leads");
	SPI_finish();
	sh_owner_leave(&identity);
}

static void
note_causes(HTAB *events, const Datum *leads, const Datum *activities, int count)
{
	for (int i = 0; i < count; i++)
	{
		struct score_events *of = hash_search(events, DatumGetUUIDP(leads[i]), HASH_FIND, NULL);

		if (of && memcmp(&of->cause, DatumGetUUIDP(activities[i]), UUID_LEN) < 0)
			of->cause = *DatumGetUUIDP(activities[i]);
	}
}

static void
score_batch(const pg_uuid_t *org, const struct score_rules *rules, const Datum *leads,
			const Datum *activities, int count)
{
	int open;
	Datum *locked = lock_open(org, leads, count, &open);
	HTAB *events = sh_score_load_events(org, locked, open, NULL, false);

	if (activities)
		note_causes(events, leads, activities, count);
	if (open > 0)
	{
		sh_score_pin_events(events);
		write_scores(org, locked, open);
		sh_score_pin_events(NULL);
	}
	store_amounts(org, rules, events, leads, count);
}

void
sh_score_leads(const pg_uuid_t *org, const Datum *leads, const Datum *activities, int count,
			   const char *cause)
{
	const char *previous = sh_score_cause;
	const struct score_rules *rules = sh_score_rules(org, true);
	bool pin = !sh_score_rules_pinned();
	MemoryContext context;
	MemoryContext before;

	context = AllocSetContextCreate(
		CurrentMemoryContext, "saleshub scoring of leads", ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (pin)
			sh_score_pin_rules(rules, org);
		sh_score_cause = cause;
		for (int i = 0; i < count; i += BATCH)
		{
			score_batch(
				org, rules, leads + i, activities ? activities + i : NULL, Min(BATCH, count - i));
			MemoryContextReset(context);
		}
	}
	PG_FINALLY();
	{
		sh_score_cause = previous;
		sh_score_pin_events(NULL);
		if (pin)
			sh_score_pin_rules(NULL, NULL);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}

void
sh_score_store(const pg_uuid_t *org, const Datum *leads, int count)
{
	const struct score_rules *rules = sh_score_rules(org, true);
	int open;
	Datum *locked = lock_open(org, leads, count, &open);

	store_amounts(org, rules, sh_score_load_events(org, locked, open, NULL, false), leads, count);
}

/* --- triggers --- */

/* Leads that something happened to, and what, of one organisation at a time. */
struct found
{
	pg_uuid_t org;
	int count;
	int space;
	Datum *leads;
	Datum *activities;
};

static void
score_found(struct found *found)
{
	if (found->count > 0)
		sh_score_leads(&found->org, found->leads, found->activities, found->count, "event");
	found->count = 0;
}

static Datum
copied(Datum id)
{
	return datumCopy(id, false, UUID_LEN);
}

static void
add_found(struct found *found, const pg_uuid_t *org, Datum lead, Datum activity)
{
	if (found->count > 0 && memcmp(&found->org, org, UUID_LEN) != 0)
		score_found(found);
	if (found->count == found->space)
	{
		found->space = Max(16, found->space * 2);
		found->leads = grown(found->leads, found->space);
		found->activities = grown(found->activities, found->space);
	}
	found->org = *org;
	found->leads[found->count] = copied(lead);
	found->activities[found->count] = copied(activity);
	found->count++;
}

/* Whether events count in an organisation; also keeps it so until this transaction ends. */
static bool
events_count(const pg_uuid_t *org)
{
	return sh_score_rules(org, true)->has_events;
}

/* AFTER INSERT or DELETE on crm.activity_link, for each statement: links of leads. */
Datum
sh_activity_link_score(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct found found = { 0 };
	struct sh_transition rows;
	TupleTableSlot *old;
	TupleTableSlot *new;
	TupleDesc desc;
	AttrNumber org;
	AttrNumber activity;
	AttrNumber entity;
	AttrNumber lead;

	if (!CALLED_AS_TRIGGER(fcinfo) || (!trigger->tg_newtable && !trigger->tg_oldtable))
		elog(ERROR, "saleshub.activity_link_score must be a trigger with transition tables");
	desc = RelationGetDescr(trigger->tg_relation);
	org = SPI_fnumber(desc, "org_id");
	activity = SPI_fnumber(desc, "activity_id");
	entity = SPI_fnumber(desc, "entity");
	lead = SPI_fnumber(desc, "entity_id");
	sh_transition_open(&rows, trigger);
	while (sh_transition_next(&rows, &old, &new))
	{
		TupleTableSlot *row = new ? new : old;
		bool isnull;
		text *kind = DatumGetTextPP(slot_getattr(row, entity, &isnull));
		pg_uuid_t *of;

		if (VARSIZE_ANY_EXHDR(kind) != 4 || memcmp(VARDATA_ANY(kind), "lead", 4) != 0)
			continue;
		of = DatumGetUUIDP(slot_getattr(row, org, &isnull));
		if (events_count(of))
			add_found(
				&found, of, slot_getattr(row, lead, &isnull), slot_getattr(row, activity, &isnull));
	}
	sh_transition_close(&rows);
	score_found(&found);
	return PointerGetDatum(NULL);
}

/* The columns of crm.activity that are asked for. */
enum activity_column
{
	ACTIVITY_ORG,
	ACTIVITY_ID,
	ACTIVITY_UPDATED,
	ACTIVITY_DONE, /* from here on: what makes an event, whether, when, and what rules ask for */
	ACTIVITY_COLUMNS = ACTIVITY_DONE + 8
};

static const char *const activity_names[ACTIVITY_COLUMNS] = {
	"org_id",  "activity_id", "updated_at", "done_at",	  "deleted_at", "type",
	"outcome", "direction",	  "subject",	"duration_s", "created_at"
};

/* One that is said to be done in the future counts as of when it was last written. */
static bool
is_ahead(TupleTableSlot *row, const AttrNumber *at)
{
	bool isnull;
	TimestampTz done = DatumGetTimestampTz(slot_getattr(row, at[ACTIVITY_DONE], &isnull));

	return !isnull && done > DatumGetTimestampTz(slot_getattr(row, at[ACTIVITY_UPDATED], &isnull));
}

static bool
is_other_event(TupleTableSlot *old, TupleTableSlot *new, const AttrNumber *at)
{
	for (int i = ACTIVITY_DONE; i < ACTIVITY_COLUMNS; i++)
		if (!sh_transition_same(old, new, at[i]))
			return true;
	return is_ahead(old, at) && !sh_transition_same(old, new, at[ACTIVITY_UPDATED]);
}

/* The leads that these activities are about. */
static void
find_leads(const pg_uuid_t *org, const Datum *activities, int count, struct found *found)
{
	static const char sql[] = "SELECT lead_id, activity_id FROM saleshub.score_leads_of($1, $2)";
	Oid types[2] = { UUIDOID, UUIDARRAYOID };
	Datum values[2] = { UUIDPGetDatum(org), uuid_array(activities, count) };
	MemoryContext outside = CurrentMemoryContext;
	MemoryContext before;
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read which leads activities are about");
	before = MemoryContextSwitchTo(outside);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		bool isnull;

		add_found(found,
				  org,
				  SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull),
				  SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
}

/* Activities of one organisation, then its leads. */
static void
score_changed(struct found *changed)
{
	struct found found = { 0 };

	if (changed->count == 0)
		return;
	find_leads(&changed->org, changed->activities, changed->count, &found);
	score_found(&found);
	changed->count = 0;
}

/* AFTER UPDATE on crm.activity, for each statement: of links, triggers of theirs tell. */
Datum
sh_activity_score(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct found changed = { 0 };
	struct sh_transition rows;
	TupleTableSlot *old;
	TupleTableSlot *new;
	AttrNumber at[ACTIVITY_COLUMNS];

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_newtable || !trigger->tg_oldtable)
		elog(ERROR, "saleshub.activity_score must be a trigger with transition tables");
	memcpy(
		at, sh_columns_needed(trigger->tg_relation, activity_names, ACTIVITY_COLUMNS), sizeof(at));
	sh_transition_open(&rows, trigger);
	while (sh_transition_next(&rows, &old, &new))
	{
		bool isnull;
		pg_uuid_t *of = DatumGetUUIDP(slot_getattr(new, at[ACTIVITY_ORG], &isnull));
		Datum activity = slot_getattr(new, at[ACTIVITY_ID], &isnull);

		if (!is_other_event(old, new, at) || !events_count(of))
			continue;
		if (changed.count > 0 && memcmp(&changed.org, of, UUID_LEN) != 0)
			score_changed(&changed);
		add_found(&changed, of, activity, activity);
	}
	sh_transition_close(&rows);
	score_changed(&changed);
	return PointerGetDatum(NULL);
}
