/*
 * What every record's change leaves behind, in its own transaction: a new version (stamp), and
 * per statement the history of each field, an event in the outbox, and the invalidation of
 * cached answers (capture).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "outbox.h"
#include "saleshub.h"
#include "transition.h"

PG_FUNCTION_INFO_V1(sh_stamp);
PG_FUNCTION_INFO_V1(sh_capture);
PG_FUNCTION_INFO_V1(sh_no_truncate);

/* The columns that are no change by themselves, and the organisation. */
enum
{
	VERSION,
	CREATED_AT,
	CREATED_BY,
	UPDATED_AT,
	UPDATED_BY,
	BOOKKEEPING,
	ORG = BOOKKEEPING,
	STAMP_COLUMNS
};

static const char *const stamp_names[STAMP_COLUMNS] = { "version",	  "created_at", "created_by",
														"updated_at", "updated_by", "org_id" };

static bool
is_bookkeeping(const AttrNumber *at, int column)
{
	for (int i = 0; i < BOOKKEEPING; i++)
		if (at[i] == column)
			return true;
	return false;
}

static int
column_of(Relation rel, const char *name)
{
	int n = SPI_fnumber(RelationGetDescr(rel), name);

	if (n <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(rel), name)));
	return n;
}

/* --- stamp --- */

static bool
same_value(Form_pg_attribute att, Datum a, bool anull, Datum b, bool bnull)
{
	if (anull || bnull)
		return anull == bnull;
	return datum_image_eq(a, b, att->attbyval, att->attlen);
}

static bool
really_changed(TupleDesc desc, const AttrNumber *at, HeapTuple old, HeapTuple new)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool onull;
		bool nnull;
		Datum ovalue;
		Datum nvalue;

		if (att->attisdropped || is_bookkeeping(at, i + 1))
			continue;
		ovalue = heap_getattr(old, i + 1, desc, &onull);
		nvalue = heap_getattr(new, i + 1, desc, &nnull);
		if (!same_value(att, ovalue, onull, nvalue, nnull))
			return true;
	}
	return false;
}

static void
refuse_new_org(TupleDesc desc, int org, HeapTuple old, HeapTuple new)
{
	bool onull;
	bool nnull;
	Datum before = heap_getattr(old, org, desc, &onull);
	Datum after = heap_getattr(new, org, desc, &nnull);

	if (!same_value(TupleDescAttr(desc, org - 1), before, onull, after, nnull))
		ereport(ERROR,
				(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
				 errmsg("a row cannot move to another organisation")));
}

static HeapTuple
stamp_insert(Relation rel, HeapTuple new)
{
	const AttrNumber *at = sh_columns_needed(rel, stamp_names, STAMP_COLUMNS);
	int columns[3] = { at[VERSION], at[CREATED_BY], at[UPDATED_BY] };
	Datum values[3] = { Int64GetDatum(1), 0, 0 };
	bool nulls[3] = { false, true, true };
	pg_uuid_t member;
	bool has_member = sh_context_member(&member);

	for (int i = 1; i < 3; i++)
	{
		values[i] = heap_getattr(new, columns[i], RelationGetDescr(rel), &nulls[i]);
		if (nulls[i] && has_member)
		{
			values[i] = UUIDPGetDatum(&member);
			nulls[i] = false;
		}
	}
	return heap_modify_tuple_by_cols(new, RelationGetDescr(rel), 3, columns, values, nulls);
}

static HeapTuple
stamp_update(Relation rel, HeapTuple old, HeapTuple new)
{
	TupleDesc desc = RelationGetDescr(rel);
	const AttrNumber *at = sh_columns_needed(rel, stamp_names, STAMP_COLUMNS);
	int columns[BOOKKEEPING];
	Datum values[BOOKKEEPING];
	bool nulls[BOOKKEEPING];
	pg_uuid_t member;

	refuse_new_org(desc, at[ORG], old, new);
	for (int i = 0; i < BOOKKEEPING; i++)
		columns[i] = at[i];
	for (int i = 0; i < BOOKKEEPING; i++)
		values[i] = heap_getattr(old, columns[i], desc, &nulls[i]);
	/* A merge keeps the earliest time, and taking it apart gives the later one back. */
	if (GetUserId() == get_role_oid("saleshub_owner", true))
		values[CREATED_AT] = heap_getattr(new, at[CREATED_AT], desc, &nulls[CREATED_AT]);
	if (really_changed(desc, at, old, new))
	{
		values[VERSION] = Int64GetDatum(DatumGetInt64(values[VERSION]) + 1);
		values[UPDATED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		nulls[UPDATED_AT] = false;
		nulls[UPDATED_BY] = !sh_context_member(&member);
		values[UPDATED_BY] = UUIDPGetDatum(&member);
	}
	return heap_modify_tuple_by_cols(new, desc, BOOKKEEPING, columns, values, nulls);
}

/*
 * BEFORE INSERT OR UPDATE row trigger: version, and who changed what when. An update that
 * changes nothing keeps its version; created_* never change, but for the owner of the tables.
 */
Datum
sh_stamp(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(td->tg_event) ||
		!TRIGGER_FIRED_BEFORE(td->tg_event) || TRIGGER_FIRED_BY_DELETE(td->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.stamp() must be a BEFORE INSERT OR UPDATE row trigger")));
	if (TRIGGER_FIRED_BY_INSERT(td->tg_event))
		return PointerGetDatum(stamp_insert(td->tg_relation, td->tg_trigtuple));
	return PointerGetDatum(stamp_update(td->tg_relation, td->tg_trigtuple, td->tg_newtuple));
}

/* --- capture --- */

/* The columns of crm.change_log: those of the outbox, but for the type. */
enum
{
	LOG_OP = OUTBOX_TYPE,
	LOG_COLUMNS
};

static const char *const log_names[LOG_COLUMNS] = { "org_id",	 "change_id",  "entity",
													"entity_id", "version",	   "changed",
													"actor_id",	 "request_id", "at",
													"op" };

/* Statements that make so many records have their events packed. */
#define PACKED_FROM 32

struct capture
{
	Relation rel;
	const char *entity;
	int org, key, version, deleted, status; /* attribute numbers; 0: no such column */
	const char **names;						/* of the columns that are told, else NULL */
	Datum *name_texts;
	pg_uuid_t last_org;
	bool has_last_org;
	struct sh_rows *log; /* NULL: nothing to write yet */
	struct sh_outbox outbox;
	Datum ops[3];	   /* insert, update, delete */
	MemoryContext row; /* reset after each row */
};

/* --- a change as JSON --- */

struct change
{
	Datum changed; /* jsonb: {"field": [old, new]} of what differs */
	int count;	   /* of those fields */
	Datum *names;
	uint64 mask; /* their numbers among the columns that are told, when these are few enough */
};

/* An absent side counts as nulls. */
static void
describe_change(struct capture *c, TupleTableSlot *old, TupleTableSlot *new, struct change *change)
{
	TupleDesc desc = RelationGetDescr(c->rel);
	JsonbParseState *state = NULL;
	int told = -1;

	change->names = palloc(desc->natts * sizeof(*change->names));
	change->count = 0;
	change->mask = 0;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Datum values[2] = { 0 };
		bool nulls[2] = { true, true };

		if (!c->names[i])
			continue;
		told++;
		if (old)
			values[0] = slot_getattr(old, i + 1, &nulls[0]);
		if (new)
			values[1] = slot_getattr(new, i + 1, &nulls[1]);
		if (same_value(att, values[0], nulls[0], values[1], nulls[1]))
			continue;
		change->names[change->count++] = c->name_texts[i];
		change->mask |= UINT64CONST(1) << (told & 63);
		sh_json_key(&state, c->names[i]);
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int side = 0; side < 2; side++)
			sh_json_element(&state, att->atttypid, values[side], nulls[side]);
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	change->changed =
		JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static bool
is_null(TupleTableSlot *slot, int column)
{
	bool isnull;

	(void) slot_getattr(slot, column, &isnull);
	return isnull;
}

/* The status when it changed to one that names an event, else NULL. */
static const char *
status_event(struct capture *c, TupleTableSlot *old, TupleTableSlot *new)
{
	static const char *const named[] = { "converted", "won", "lost" };
	bool isnull;
	char *before;
	char *after;

	if (c->status == 0 || is_null(new, c->status) || is_null(old, c->status))
		return NULL;
	before = TextDatumGetCString(slot_getattr(old, c->status, &isnull));
	after = TextDatumGetCString(slot_getattr(new, c->status, &isnull));
	for (int i = 0; i < (int) lengthof(named); i++)
		if (strcmp(after, named[i]) == 0 && strcmp(before, after) != 0)
			return named[i];
	return NULL;
}

static const char *
event_of(struct capture *c, TupleTableSlot *old, TupleTableSlot *new)
{
	const char *status;

	if (!old)
		return "created";
	if (!new)
		return "deleted";
	if (c->deleted && is_null(old, c->deleted) != is_null(new, c->deleted))
		return is_null(new, c->deleted) ? "restored" : "deleted";
	status = status_event(c, old, new);
	return status ? status : "updated";
}

/* --- writing --- */

static void
open_rows(struct capture *c)
{
	c->log = sh_rows_open("crm", "change_log", log_names, LOG_COLUMNS, false);
	sh_outbox_begin(&c->outbox, c->entity);
	c->ops[0] = CStringGetTextDatum("insert");
	c->ops[1] = CStringGetTextDatum("update");
	c->ops[2] = CStringGetTextDatum("delete");
}

static void
touch_org(struct capture *c, pg_uuid_t *org)
{
	if (c->has_last_org && memcmp(&c->last_org, org, sizeof(*org)) == 0)
		return;
	sh_slot_touch(RelationGetRelid(c->rel), org);
	c->last_org = *org;
	c->has_last_org = true;
}

static void
close_rows(struct capture *c)
{
	if (!c->log)
		return;
	sh_rows_close(c->log);
	sh_outbox_end(&c->outbox);
}

static Datum
type_of(const struct capture *c, const char *event)
{
	return CStringGetTextDatum(psprintf("%s.%s", c->entity, event));
}

static void
write_row(struct capture *c, TupleTableSlot *old, TupleTableSlot *new, const struct change *change)
{
	TupleTableSlot *row = new ? new : old;
	Datum values[OUTBOX_COLUMNS];
	bool isnull;
	pg_uuid_t id;

	memcpy(values, c->outbox.values, sizeof(values));
	values[OUTBOX_ORG] = slot_getattr(row, c->org, &isnull);
	values[OUTBOX_ENTITY_ID] = slot_getattr(row, c->key, &isnull);
	values[OUTBOX_VERSION] = c->version ? slot_getattr(row, c->version, &isnull) : Int64GetDatum(1);

	sh_uuid_v7(&id);
	values[OUTBOX_ID] = UUIDPGetDatum(&id);
	values[OUTBOX_CHANGED] = change->changed;
	values[LOG_OP] = c->ops[!old ? 0 : new ? 1 : 2];
	sh_rows_add(c->log, values, c->outbox.nulls);

	if (c->outbox.pack)
	{
		sh_outbox_add_packed(&c->outbox,
							 DatumGetUUIDP(values[OUTBOX_ORG]),
							 DatumGetUUIDP(values[OUTBOX_ENTITY_ID]),
							 DatumGetInt64(values[OUTBOX_VERSION]),
							 change->mask);
		return;
	}
	values[OUTBOX_CHANGED] = PointerGetDatum(
		construct_array(change->names, change->count, TEXTOID, -1, false, TYPALIGN_INT));
	values[OUTBOX_TYPE] = type_of(c, event_of(c, old, new));
	sh_outbox_add(&c->outbox, values, c->outbox.nulls);
}

static void
add_row(struct capture *c, TupleTableSlot *old, TupleTableSlot *new)
{
	MemoryContext caller = MemoryContextSwitchTo(c->row);
	struct change change;
	bool isnull;

	describe_change(c, old, new, &change);
	MemoryContextSwitchTo(caller);
	if (change.count > 0 || !old || !new)
	{
		if (!c->log)
			open_rows(c);
		touch_org(c, DatumGetUUIDP(slot_getattr(new ? new : old, c->org, &isnull)));
		MemoryContextSwitchTo(c->row);
		write_row(c, old, new, &change);
		MemoryContextSwitchTo(caller);
	}
	MemoryContextReset(c->row);
}

static void
tell_columns(struct capture *c, TupleDesc desc)
{
	const AttrNumber *at = sh_columns(c->rel, stamp_names, STAMP_COLUMNS);

	c->names = palloc0(desc->natts * sizeof(*c->names));
	c->name_texts = palloc0(desc->natts * sizeof(*c->name_texts));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && i + 1 != c->org && i + 1 != c->key &&
			!is_bookkeeping(at, i + 1))
		{
			c->names[i] = NameStr(TupleDescAttr(desc, i)->attname);
			c->name_texts[i] = CStringGetTextDatum(c->names[i]);
		}
}

/* What events of many new records share is said once. */
static void
begin_pack(struct capture *c, const TriggerData *td)
{
	int natts = RelationGetDescr(c->rel)->natts;
	Datum *told = palloc(natts * sizeof(*told));
	int count = 0;

	if (td->tg_oldtable || tuplestore_tuple_count(td->tg_newtable) < PACKED_FROM)
		return;
	for (int i = 0; i < natts; i++)
		if (c->names[i])
			told[count++] = c->name_texts[i];
	if (count > OUTBOX_FIELDS_MAX)
		return;
	sh_outbox_pack(&c->outbox,
				   type_of(c, "created"),
				   PointerGetDatum(construct_array(told, count, TEXTOID, -1, false, TYPALIGN_INT)));
}

static struct capture *
capture_begin(TriggerData *td)
{
	struct capture *c = palloc0(sizeof(*c));
	TupleDesc desc = RelationGetDescr(td->tg_relation);

	if (td->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.capture() takes the entity and its key column")));
	c->rel = td->tg_relation;
	c->entity = td->tg_trigger->tgargs[0];
	c->org = column_of(c->rel, "org_id");
	c->key = column_of(c->rel, td->tg_trigger->tgargs[1]);
	c->version = Max(SPI_fnumber(desc, "version"), 0);
	c->deleted = Max(SPI_fnumber(desc, "deleted_at"), 0);
	c->status = Max(SPI_fnumber(desc, "status"), 0);
	tell_columns(c, desc);
	begin_pack(c, td);
	c->row =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub capture", ALLOCSET_DEFAULT_SIZES);
	return c;
}

static void
capture_rows(struct capture *c, const TriggerData *td)
{
	struct sh_transition rows;
	TupleTableSlot *old;
	TupleTableSlot *new;

	sh_transition_open(&rows, td);
	while (sh_transition_next(&rows, &old, &new))
		add_row(c, old, new);
	sh_transition_close(&rows);
	close_rows(c);
}

/*
 * AFTER INSERT, UPDATE or DELETE statement trigger with transition tables oldrows and newrows;
 * arguments: entity, key column.
 */
Datum
sh_capture(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(td->tg_event) ||
		!TRIGGER_FIRED_AFTER(td->tg_event) || (!td->tg_oldtable && !td->tg_newtable))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.capture() must be an AFTER statement trigger with transition "
						"tables")));
	capture_rows(capture_begin(td), td);
	return PointerGetDatum(NULL);
}

/* BEFORE TRUNCATE: history, events and rollups could not follow. */
Datum
sh_no_truncate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.no_truncate() must be a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot truncate \"%s\"",
					RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
			 errdetail("History, events and rollups follow rows, and TRUNCATE shows none."),
			 errhint("Use DELETE.")));
}
