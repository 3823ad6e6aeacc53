/*
 * The table of values: what is indexed or unique among custom fields, a row for each value of a
 * live record. It is written by the statement that writes the records, so that an index over
 * custom fields needs no change of their table, and a unique key no lock on it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "custom.h"
#include "predicate.h"
#include "saleshub.h"
#include "transition.h"

PG_FUNCTION_INFO_V1(sh_custom_index);
PG_FUNCTION_INFO_V1(sh_custom_fill);
PG_FUNCTION_INFO_V1(sh_custom_quiet);

/* Rows written to the table with one statement. */
#define BATCH 1000
/* Bytes of a text in the index. */
#define MAX_KEY 2000

enum
{
	COL_ORG,
	COL_FIELD,
	COL_RECORD,
	COL_PLACE,
	COL_NUM,
	COL_TXT,
	COL_AT,
	COL_UNIQUE,
	COL_COUNT
};

static const Oid column_types[COL_COUNT] = { UUIDOID,	UUIDOID, UUIDOID,		 INT4OID,
											 FLOAT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID };

#define FROM_BATCH                                                                                 \
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"        \
	" pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"                        \
	" pg_catalog.unnest($7), pg_catalog.unnest($8))"                                               \
	" AS b (org_id, custom_field_id, entity_id, place, num, txt, at, unique_key)"

struct writer
{
	const char *entity;
	bool filling; /* conflicts are left out and counted, not raised */
	int64 left_out;
	int rows;
	Datum values[COL_COUNT][BATCH];
	bool nulls[COL_COUNT][BATCH];
	MemoryContext batch; /* of the values; reset after each flush */
};

static struct writer *
writer_begin(const char *entity)
{
	struct writer *w = palloc0(sizeof(*w));

	w->entity = entity;
	w->batch =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub custom", ALLOCSET_DEFAULT_SIZES);
	return w;
}

static Oid
array_type(Oid element)
{
	switch (element)
	{
		case UUIDOID:
			return UUIDARRAYOID;
		case INT4OID:
			return INT4ARRAYOID;
		case FLOAT8OID:
			return FLOAT8ARRAYOID;
		case TIMESTAMPTZOID:
			return TIMESTAMPTZARRAYOID;
		default:
			return TEXTARRAYOID;
	}
}

static ArrayType *
column_array(struct writer *w, int column)
{
	int dims[1] = { w->rows };
	int bounds[1] = { 1 };
	Oid type = column_types[column];

	return construct_md_array(
		w->values[column],
		w->nulls[column],
		1,
		dims,
		bounds,
		type,
		type == UUIDOID ? UUID_LEN :
		type == INT4OID ? 4 :
		type == TEXTOID ? -1 :
						  8,
		type == INT4OID || ((type == FLOAT8OID || type == TIMESTAMPTZOID) && FLOAT8PASSBYVAL),
		type == UUIDOID					   ? TYPALIGN_CHAR :
		type == INT4OID || type == TEXTOID ? TYPALIGN_INT :
											 TYPALIGN_DOUBLE);
}

static int
run(const char *sql, Datum *values)
{
	Oid types[COL_COUNT + 1];

	for (int i = 0; i < COL_COUNT; i++)
		types[i] = array_type(column_types[i]);
	types[COL_COUNT] = TEXTOID;
	return SPI_execute_plan(sh_plan(sql, COL_COUNT + 1, types), values, NULL, false, 0);
}

/* --- conflicts --- */

static void
raise_taken(const char *entity, const char *key, const char *label)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail,
					 "{\"code\": \"conflict\", \"errors\": [{\"pointer\": \"/custom/%s\","
					 " \"code\": \"taken\", \"detail\": \"belongs to another %s\"}]}",
					 key,
					 entity);
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("another %s has the same \"%s\"", entity, label),
			 errdetail_internal("%s", detail.data)));
}

/*
 * Rows of the batch were left out: another record has the unique value, or a filling of the
 * table, which saw the record as it was before, came first and gives way.
 */
static void
settle(struct writer *w, Datum *values)
{
	static const char taken[] =
		"SELECT f.key, f.label" FROM_BATCH " JOIN saleshub.custom_value AS v ON v.org_id = b.org_id"
		" AND v.custom_field_id = b.custom_field_id AND v.unique_key = b.unique_key"
		" AND v.entity_id <> b.entity_id"
		" JOIN crm.custom_field AS f ON f.org_id = b.org_id"
		" AND f.custom_field_id = b.custom_field_id"
		" WHERE $9 <> '' ORDER BY b.entity_id, f.key LIMIT 1";
	static const char update[] =
		"UPDATE saleshub.custom_value AS v SET num = b.num, txt = b.txt, at = b.at,"
		" unique_key = b.unique_key" FROM_BATCH
		" WHERE v.org_id = b.org_id AND v.custom_field_id = b.custom_field_id"
		" AND v.entity_id = b.entity_id AND v.place = b.place AND $9 <> ''";

	if (run(taken, values) != SPI_OK_SELECT)
		elog(ERROR, "could not look for unique values");
	if (SPI_processed > 0)
		raise_taken(w->entity,
					SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
					SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	if (run(update, values) != SPI_OK_UPDATE)
		elog(ERROR, "could not correct the values of custom fields");
}

/* While filling: values that are not there now are left out because another record has them. */
static int64
count_left_out(Datum *values)
{
	static const char sql[] =
		"SELECT pg_catalog.count(*)" FROM_BATCH
		" WHERE $9 <> '' AND NOT EXISTS (SELECT FROM saleshub.custom_value AS v"
		" WHERE v.org_id = b.org_id AND v.custom_field_id = b.custom_field_id"
		" AND v.entity_id = b.entity_id AND v.place = b.place)";
	bool isnull;

	if (run(sql, values) != SPI_OK_SELECT)
		elog(ERROR, "could not count the values of a custom field");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static void
flush(struct writer *w)
{
	/* In one order, so that statements that write the same unique values do not cross. */
	static const char sql[] =
		"INSERT INTO saleshub.custom_value (org_id, custom_field_id, entity_id, place, num, txt,"
		" at, unique_key, entity) SELECT b.*, $9" FROM_BATCH
		" ORDER BY custom_field_id, unique_key, entity_id, place ON CONFLICT DO NOTHING";
	Datum values[COL_COUNT + 1];
	struct sh_identity identity;

	if (w->rows == 0)
		return;
	for (int i = 0; i < COL_COUNT; i++)
		values[i] = PointerGetDatum(column_array(w, i));
	values[COL_COUNT] = CStringGetTextDatum(w->entity);
	sh_owner_enter(&identity);
	SPI_connect();
	if (run(sql, values) != SPI_OK_INSERT)
		elog(ERROR, "could not write the values of custom fields");
	if ((int64) SPI_processed < w->rows && w->filling)
		w->left_out += count_left_out(values);
	else if ((int64) SPI_processed < w->rows)
		settle(w, values);
	SPI_finish();
	sh_owner_leave(&identity);
	w->rows = 0;
	MemoryContextReset(w->batch);
}

/* --- entries --- */

static void
set(struct writer *w, int column, Datum value)
{
	w->values[column][w->rows] = value;
	w->nulls[column][w->rows] = false;
}

/* Text as conditions compare it. */
static Datum
folded(const JsonbValue *value)
{
	struct predicate_text text = sh_predicate_fold(value->val.string.val, value->val.string.len);

	return PointerGetDatum(cstring_to_text_with_len(text.data, text.len));
}

static Datum
number_key(Numeric number)
{
	/* 1.50 and 1.5 are the same number. */
	Datum trimmed = DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number));

	return CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(numeric_out, trimmed)));
}

/* What the index could not hold was written before it was defined. */
static bool
is_key(const JsonbValue *value)
{
	return value->type == jbvString && value->val.string.len > 0 &&
		   value->val.string.len <= MAX_KEY;
}

/* Fill in the column of the type; the result is the unique key, 0 when the value counts as none. */
static Datum
set_value(struct writer *w, enum custom_type type, JsonbValue *value)
{
	Numeric number;
	DateADT date;
	TimestampTz at;
	pg_uuid_t id;
	Datum key = 0;

	switch (type)
	{
		case CUSTOM_NUMBER:
		case CUSTOM_INTEGER:
			if (!sh_custom_number(value, &number))
				return 0;
			set(w, COL_NUM, DirectFunctionCall1(numeric_float8, NumericGetDatum(number)));
			return number_key(number);
		case CUSTOM_BOOLEAN:
			if (value->type != jbvBool)
				return 0;
			set(w, COL_NUM, Float8GetDatum(value->val.boolean ? 1 : 0));
			return CStringGetTextDatum(value->val.boolean ? "true" : "false");
		case CUSTOM_DATE:
			if (!sh_custom_date(value, &date))
				return 0;
			at = (TimestampTz) date * USECS_PER_DAY;
			break;
		case CUSTOM_TIMESTAMP:
			if (!sh_custom_time(value, &at))
				return 0;
			break;
		default:
			if (!is_key(value) || (type == CUSTOM_REFERENCE && !sh_custom_uuid(value, &id)))
				return 0;
			key = folded(value);
			set(w, COL_TXT, key);
			return key;
	}
	set(w, COL_AT, TimestampTzGetDatum(at));
	return folded(value);
}

static void
add_value(struct writer *w, const struct custom_field *field, const pg_uuid_t *org,
		  const pg_uuid_t *record, JsonbValue *value, int place)
{
	MemoryContext before = MemoryContextSwitchTo(w->batch);
	Datum key;

	for (int i = 0; i < COL_COUNT; i++)
		w->nulls[i][w->rows] = true;
	set(w, COL_ORG, datumCopy(UUIDPGetDatum(org), false, UUID_LEN));
	set(w, COL_FIELD, datumCopy(UUIDPGetDatum(&field->id), false, UUID_LEN));
	set(w, COL_RECORD, datumCopy(UUIDPGetDatum(record), false, UUID_LEN));
	set(w, COL_PLACE, Int32GetDatum(place));
	key = set_value(w, field->type, value);
	if (key != 0 && field->is_unique)
		set(w, COL_UNIQUE, key);
	if (key != 0)
		w->rows++;
	MemoryContextSwitchTo(before);
	if (w->rows == BATCH)
		flush(w);
}

static JsonbValue *
value_of(Jsonb *custom, const struct custom_field *field)
{
	JsonbValue *value =
		custom && JB_ROOT_IS_OBJECT(custom) ?
			getKeyJsonValueFromContainer(&custom->root, field->key, strlen(field->key), NULL) :
			NULL;

	return value && value->type != jbvNull ? value : NULL;
}

static void
add_entries(struct writer *w, const struct custom_field *field, const pg_uuid_t *org,
			const pg_uuid_t *record, Jsonb *custom)
{
	JsonbValue *value = value_of(custom, field);
	JsonbContainer *array;

	if (!value)
		return;
	if (field->type != CUSTOM_MULTI_ENUM)
	{
		add_value(w, field, org, record, value, 0);
		return;
	}
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return;
	array = value->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
		add_value(w, field, org, record, getIthJsonbValueFromContainer(array, i), (int) i);
}

/* --- the trigger --- */

/* A row of a transition table: what of it counts. */
struct version
{
	pg_uuid_t org;
	pg_uuid_t record;
	bool live;
	Jsonb *custom;
};

struct places
{
	int org, key, deleted, custom;
};

static void
read_version(TupleTableSlot *slot, const struct places *at, struct version *out)
{
	bool isnull;
	Datum custom = slot_getattr(slot, at->custom, &isnull);

	out->custom = isnull ? NULL : DatumGetJsonbP(custom);
	out->org = *DatumGetUUIDP(slot_getattr(slot, at->org, &isnull));
	out->record = *DatumGetUUIDP(slot_getattr(slot, at->key, &isnull));
	(void) slot_getattr(slot, at->deleted, &isnull);
	out->live = isnull;
}

static bool
same_entries(const struct custom_field *field, const struct version *old, const struct version *new)
{
	JsonbValue *before = old && old->live ? value_of(old->custom, field) : NULL;
	JsonbValue *after = new &&new->live ? value_of(new->custom, field) : NULL;

	if (!before || !after)
		return before == after;
	return sh_custom_same(before, after);
}

static void
remove_entries(const struct custom_field *field, const struct version *old)
{
	static const char sql[] =
		"DELETE FROM saleshub.custom_value AS v WHERE v.org_id OPERATOR(pg_catalog.=) $1"
		" AND v.custom_field_id OPERATOR(pg_catalog.=) $2"
		" AND v.entity_id OPERATOR(pg_catalog.=) $3";
	Oid types[3] = { UUIDOID, UUIDOID, UUIDOID };
	Datum values[3] = { UUIDPGetDatum(&old->org),
						UUIDPGetDatum(&field->id),
						UUIDPGetDatum(&old->record) };
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 3, types), values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove values of custom fields");
	SPI_finish();
	sh_owner_leave(&identity);
}

/* The old values of a row go, or the new ones come. */
static void
index_row(struct writer *w, const struct version *old, const struct version *new, bool removing)
{
	const struct custom_fields *fields = sh_custom_fields(new ? &new->org : &old->org);

	for (int i = 0; i < fields->count; i++)
	{
		const struct custom_field *field = &fields->fields[i];

		if (!(field->indexed || field->is_unique) || strcmp(field->entity, w->entity) != 0 ||
			same_entries(field, old, new))
			continue;
		if (removing && old->live && value_of(old->custom, field))
			remove_entries(field, old);
		else if (!removing && new->live)
			add_entries(w, field, &new->org, &new->record, new->custom);
	}
}

static void
index_rows(struct writer *w, TriggerData *td, const struct places *at, bool removing)
{
	MemoryContext row =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub custom row", ALLOCSET_DEFAULT_SIZES);
	struct sh_transition rows;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;

	sh_transition_open(&rows, td);
	while (sh_transition_next(&rows, &old_slot, &new_slot))
	{
		MemoryContext before = MemoryContextSwitchTo(row);
		struct version old;
		struct version new;

		if (old_slot)
			read_version(old_slot, at, &old);
		if (new_slot)
			read_version(new_slot, at, &new);
		index_row(w, old_slot ? &old : NULL, new_slot ? &new : NULL, removing);
		MemoryContextSwitchTo(before);
		MemoryContextReset(row);
	}
	sh_transition_close(&rows);
	MemoryContextDelete(row);
	flush(w);
}

/*
 * AFTER INSERT, UPDATE or DELETE statement trigger with transition tables oldrows and newrows;
 * arguments: entity, key column. All that goes goes before anything comes, so that records can
 * exchange unique values.
 */
Datum
sh_custom_index(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	struct places at;
	struct writer *w;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(td->tg_event) ||
		!TRIGGER_FIRED_AFTER(td->tg_event) || (!td->tg_oldtable && !td->tg_newtable) ||
		td->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.custom_index() must be an AFTER statement trigger with "
						"transition tables, and takes the entity and its key column")));
	desc = RelationGetDescr(td->tg_relation);
	at.org = SPI_fnumber(desc, "org_id");
	at.key = SPI_fnumber(desc, td->tg_trigger->tgargs[1]);
	at.deleted = SPI_fnumber(desc, "deleted_at");
	at.custom = SPI_fnumber(desc, "custom");
	if (at.org <= 0 || at.key <= 0 || at.deleted <= 0 || at.custom <= 0)
		elog(ERROR, "a record has no custom fields");
	w = writer_begin(td->tg_trigger->tgargs[0]);
	if (td->tg_oldtable)
		index_rows(w, td, &at, true);
	if (td->tg_newtable)
		index_rows(w, td, &at, false);
	return PointerGetDatum(NULL);
}

/* --- filling --- */

/*
 * saleshub.custom_fill(org uuid, field jsonb, ids uuid[], customs jsonb[]) returns bigint: write
 * the values of these records, which nobody may change meanwhile; the number of values left out
 * because another record has the same. field is a row of crm.custom_field.
 */
Datum
sh_custom_fill(PG_FUNCTION_ARGS)
{
	pg_uuid_t *org = PG_GETARG_UUID_P(0);
	Jsonb *row = PG_GETARG_JSONB_P(1);
	struct custom_field field;
	struct writer *w;
	Datum *ids;
	Datum *customs;
	int count;
	int customs_count;

	sh_custom_read(&row->root, &field);
	deconstruct_array(
		PG_GETARG_ARRAYTYPE_P(2), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ids, NULL, &count);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(3),
					  JSONBOID,
					  -1,
					  false,
					  TYPALIGN_INT,
					  &customs,
					  NULL,
					  &customs_count);
	if (count != customs_count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("the arrays differ in length")));
	w = writer_begin(field.entity);
	w->filling = true;
	for (int i = 0; i < count; i++)
		add_entries(w, &field, org, DatumGetUUIDP(ids[i]), DatumGetJsonbP(customs[i]));
	flush(w);
	PG_RETURN_INT64(w->left_out);
}

/*
 * saleshub.custom_quiet(barrier xid8) returns boolean: all transactions are over that had begun
 * to write, or had taken a snapshot, before this transaction id was given out. Those that come
 * later know what was committed by then.
 */
Datum
sh_custom_quiet(PG_FUNCTION_ARGS)
{
	FullTransactionId barrier = PG_GETARG_FULLTRANSACTIONID(0);
	TransactionId limit = XidFromFullTransactionId(barrier);
	int count;

	if (TransactionIdPrecedes(GetActiveSnapshot()->xmin, limit))
		PG_RETURN_BOOL(false);
	TransactionIdRetreat(limit);
	(void) GetCurrentVirtualXIDs(limit, true, false, PROC_IN_VACUUM, &count);
	PG_RETURN_BOOL(count == 0);
}
