/*
 * What every record's change leaves behind, in its own transaction: a new version (stamp), and
 * per statement the history of each field, an event in the outbox, and the invalidation of
 * cached answers (capture).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_stamp);
PG_FUNCTION_INFO_V1(sh_capture);
PG_FUNCTION_INFO_V1(sh_no_truncate);

/* Rows written to history and outbox with one statement. */
#define BATCH 1000

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

enum
{
	ROW_ORG,
	ROW_ENTITY_ID,
	ROW_OP,
	ROW_TYPE,
	ROW_VERSION,
	ROW_CHANGED, /* {"field": [old, new]} as JSON text */
	ROW_FIELDS,	 /* the names of those fields, comma separated */
	ROW_COLUMNS
};

struct capture
{
	Relation rel;
	const char *entity;
	int org, key, version, deleted, status; /* attribute numbers; 0: no such column */
	const char **names;						/* of the columns that are told, else NULL */
	pg_uuid_t last_org;
	bool has_last_org;
	int rows;
	Datum row[ROW_COLUMNS][BATCH];
	MemoryContext batch; /* of the row values; reset after each flush */
};

static void
append_array(StringInfo out, Datum value, Oid element)
{
	int16 len;
	bool byval;
	char align;
	Datum *items;
	bool *nulls;
	int count;

	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(
		DatumGetArrayTypeP(value), element, len, byval, align, &items, &nulls, &count);
	appendStringInfoChar(out, '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		if (nulls[i])
			appendStringInfoString(out, "null");
		else
			escape_json(out, TextDatumGetCString(items[i]));
	}
	appendStringInfoChar(out, ']');
}

static void
append_number(StringInfo out, Datum value, Oid type)
{
	Oid output;
	bool varlena;
	char *text;

	getTypeOutputInfo(type, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	/* NaN and Infinity are no JSON numbers. */
	if (strspn(text, "0123456789+-.eE") == strlen(text))
		appendStringInfoString(out, text);
	else
		escape_json(out, text);
}

static void
append_value(StringInfo out, Form_pg_attribute att, Datum value, bool isnull)
{
	Oid output;
	bool varlena;
	char buffer[MAXDATELEN + 1];
	static const int utc = 0;

	if (isnull)
	{
		appendStringInfoString(out, "null");
		return;
	}
	switch (att->atttypid)
	{
		case BOOLOID:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			append_number(out, value, att->atttypid);
			break;
		case TIMESTAMPTZOID:
		case DATEOID:
			JsonEncodeDateTime(buffer, value, att->atttypid, &utc);
			escape_json(out, buffer);
			break;
		case JSONBOID:
			appendStringInfoString(out, DatumGetCString(DirectFunctionCall1(jsonb_out, value)));
			break;
		case TEXTARRAYOID:
			append_array(out, value, TEXTOID);
			break;
		default:
			getTypeOutputInfo(att->atttypid, &output, &varlena);
			escape_json(out, OidOutputFunctionCall(output, value));
	}
}

/*
 * What differs, as {"field": [old, new]}; an absent side counts as nulls. False: nothing.
 */
static bool
describe_change(struct capture *c, TupleTableSlot *old, TupleTableSlot *new, StringInfo changed,
				StringInfo fields)
{
	TupleDesc desc = RelationGetDescr(c->rel);

	appendStringInfoChar(changed, '{');
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool onull = true;
		bool nnull = true;
		Datum ovalue = old ? slot_getattr(old, i + 1, &onull) : 0;
		Datum nvalue = new ? slot_getattr(new, i + 1, &nnull) : 0;

		if (!c->names[i] || same_value(att, ovalue, onull, nvalue, nnull))
			continue;
		if (fields->len > 0)
			appendStringInfoChar(fields, ',');
		appendStringInfoString(fields, c->names[i]);
		if (changed->len > 1)
			appendStringInfoChar(changed, ',');
		escape_json(changed, c->names[i]);
		appendStringInfoString(changed, ":[");
		append_value(changed, att, ovalue, onull);
		appendStringInfoChar(changed, ',');
		append_value(changed, att, nvalue, nnull);
		appendStringInfoChar(changed, ']');
	}
	appendStringInfoChar(changed, '}');
	return fields->len > 0;
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

static ArrayType *
column_array(struct capture *c, int column)
{
	switch (column)
	{
		case ROW_ORG:
		case ROW_ENTITY_ID:
			return construct_array(
				c->row[column], c->rows, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
		case ROW_VERSION:
			return construct_array(
				c->row[column], c->rows, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
		default:
			return construct_array(c->row[column], c->rows, TEXTOID, -1, false, TYPALIGN_INT);
	}
}

static void
flush(struct capture *c)
{
	static const char sql[] =
		"WITH row AS ("
		"  SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
		"    pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
		"    pg_catalog.unnest($6), pg_catalog.unnest($7)) WITH ORDINALITY"
		"    AS r(org_id, entity_id, op, type, version, changed, fields, n)),"
		" history AS ("
		"  INSERT INTO crm.change_log (org_id, entity, entity_id, op, version, changed, actor_id,"
		"    request_id, at)"
		"  SELECT org_id, $8, entity_id, op, version, changed::pg_catalog.jsonb, $9, $10,"
		"    pg_catalog.now() FROM row ORDER BY n)"
		" INSERT INTO saleshub.outbox (org_id, type, entity, entity_id, version, changed,"
		"   actor_id, request_id, at)"
		" SELECT org_id, type, $8, entity_id, version,"
		"   pg_catalog.string_to_array(fields, ','), $9, $10, pg_catalog.now()"
		" FROM row ORDER BY n";
	Oid types[10] = { UUIDARRAYOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID,
					  TEXTARRAYOID, TEXTARRAYOID, TEXTOID,		UUIDOID,	  TEXTOID };
	Datum values[10];
	char nulls[11] = "          ";
	pg_uuid_t member;
	struct sh_identity identity;

	if (c->rows == 0)
		return;
	for (int i = 0; i < ROW_COLUMNS; i++)
		values[i] = PointerGetDatum(column_array(c, i));
	values[7] = CStringGetTextDatum(c->entity);
	if (!sh_context_member(&member))
		nulls[8] = 'n';
	values[8] = UUIDPGetDatum(&member);
	if (!sh_context_request())
		nulls[9] = 'n';
	values[9] = sh_context_request() ? CStringGetTextDatum(sh_context_request()) : (Datum) 0;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 10, types), values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not record a change");
	SPI_finish();
	sh_owner_leave(&identity);
	c->rows = 0;
	MemoryContextReset(c->batch);
	sh_worker_notify();
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
add_row(struct capture *c, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleTableSlot *row = new ? new : old;
	MemoryContext caller = MemoryContextSwitchTo(c->batch);
	StringInfoData changed;
	StringInfoData fields;
	bool isnull;
	Datum org = slot_getattr(row, c->org, &isnull);

	initStringInfo(&changed);
	initStringInfo(&fields);
	if (describe_change(c, old, new, &changed, &fields) || !old || !new)
	{
		int n = c->rows++;

		touch_org(c, DatumGetUUIDP(org));
		c->row[ROW_ORG][n] = datumCopy(org, false, UUID_LEN);
		c->row[ROW_ENTITY_ID][n] = datumCopy(slot_getattr(row, c->key, &isnull), false, UUID_LEN);
		c->row[ROW_OP][n] = CStringGetTextDatum(!old ? "insert" : !new ? "delete" : "update");
		c->row[ROW_TYPE][n] =
			CStringGetTextDatum(psprintf("%s.%s", c->entity, event_of(c, old, new)));
		c->row[ROW_VERSION][n] =
			c->version ? slot_getattr(row, c->version, &isnull) : Int64GetDatum(1);
		c->row[ROW_CHANGED][n] = CStringGetTextDatum(changed.data);
		c->row[ROW_FIELDS][n] = CStringGetTextDatum(fields.data);
	}
	MemoryContextSwitchTo(caller);
	if (c->rows == BATCH)
		flush(c);
}

static void
tell_columns(struct capture *c, TupleDesc desc)
{
	const AttrNumber *at = sh_columns(c->rel, stamp_names, STAMP_COLUMNS);

	c->names = palloc0(desc->natts * sizeof(*c->names));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && i + 1 != c->org && i + 1 != c->key &&
			!is_bookkeeping(at, i + 1))
			c->names[i] = NameStr(TupleDescAttr(desc, i)->attname);
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
	c->batch =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub capture", ALLOCSET_DEFAULT_SIZES);
	return c;
}

/* An update's two transition tables hold the rows in the same order. */
static void
capture_rows(struct capture *c, Tuplestorestate *oldrows, Tuplestorestate *newrows)
{
	TupleDesc desc = RelationGetDescr(c->rel);
	TupleTableSlot *old = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *new = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	if (oldrows)
		tuplestore_rescan(oldrows);
	if (newrows)
		tuplestore_rescan(newrows);
	for (;;)
	{
		bool has_old = oldrows && tuplestore_gettupleslot(oldrows, true, false, old);
		bool has_new = newrows && tuplestore_gettupleslot(newrows, true, false, new);

		if (!has_old && !has_new)
			break;
		if (oldrows && newrows && has_old != has_new)
			elog(ERROR, "the transition tables differ in length");
		add_row(c, has_old ? old : NULL, has_new ? new : NULL);
	}
	ExecDropSingleTupleTableSlot(old);
	ExecDropSingleTupleTableSlot(new);
	flush(c);
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
	capture_rows(capture_begin(td), td->tg_oldtable, td->tg_newtable);
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
