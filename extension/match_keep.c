/*
 * Keeping the keys of records up to date: one trigger per statement deletes the keys of rows that
 * went or changed, and writes those of rows that came or changed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "match.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_match_keep);

/* Keys written with one statement. */
#define BATCH 20000

struct key_row
{
	pg_uuid_t org;
	int64 key;
	pg_uuid_t id;
};

struct keeper
{
	const char *entity;
	TupleDesc desc;
	int org, id, deleted, custom; /* attribute numbers */
	int column[MATCH_FIELDS];
	pg_uuid_t rules_org; /* whose rules they are */
	Jsonb *rules;		 /* NULL: none read yet */
	Bitmapset *watched;	 /* columns that keys are made of, by those rules */
	MemoryContext row;	 /* reset after each row */
	int count;
	int size;
	struct key_row *rows; /* to be written */
	int gone_count;
	int gone_size;
	Datum *gone_orgs;
	Datum *gone_ids;
};

/* --- a row as text --- */

static struct match_text
number_text(Numeric value)
{
	struct match_text text = { numeric_normalize(value), 0 };

	text.len = strlen(text.data);
	return text;
}

static struct match_text
time_text(Datum value, Oid type)
{
	char *buffer = palloc(MAXDATELEN + 1);

	JsonEncodeDateTime(buffer, value, type, NULL);
	return (struct match_text){ buffer, strlen(buffer) };
}

static struct match_text
output_text(Datum value, Oid type)
{
	Oid output;
	bool varlena;
	char *text;

	getTypeOutputInfo(type, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	return (struct match_text){ text, strlen(text) };
}

struct match_text
sh_match_column(TupleTableSlot *slot, int column)
{
	bool isnull = true;
	Datum value = column > 0 ? slot_getattr(slot, column, &isnull) : (Datum) 0;
	Oid type = isnull ? InvalidOid : TupleDescAttr(slot->tts_tupleDescriptor, column - 1)->atttypid;
	text *string;

	switch (type)
	{
		case InvalidOid:
		case BOOLOID:
		case JSONBOID:
			return (struct match_text){ NULL, 0 };
		case TEXTOID:
			string = DatumGetTextPP(value);
			return (struct match_text){ VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string) };
		case INT4OID:
			return number_text(int64_to_numeric(DatumGetInt32(value)));
		case INT8OID:
			return number_text(int64_to_numeric(DatumGetInt64(value)));
		case NUMERICOID:
			return number_text(DatumGetNumeric(value));
		case DATEOID:
		case TIMESTAMPTZOID:
			return time_text(value, type);
		default:
			/* What would be an array as JSON is no text. */
			if (OidIsValid(get_element_type(type)))
				return (struct match_text){ NULL, 0 };
			return output_text(value, type);
	}
}

/* Into what a rule's field is a member of: custom.vat is one of the column custom. */
static int
column_named(TupleDesc desc, const char *name, int len)
{
	const char *dot = memchr(name, '.', len);
	char *column = pnstrdup(name, dot ? dot - name : len);

	return Max(SPI_fnumber(desc, column), 0);
}

struct match_text
sh_match_slot_field(TupleTableSlot *slot, const char *name, int len)
{
	const char *dot = memchr(name, '.', len);
	int column = column_named(slot->tts_tupleDescriptor, name, len);
	bool isnull = true;
	Datum value;

	if (!dot)
		return sh_match_column(slot, column);
	value = column > 0 ? slot_getattr(slot, column, &isnull) : (Datum) 0;
	if (isnull || TupleDescAttr(slot->tts_tupleDescriptor, column - 1)->atttypid != JSONBOID)
		return (struct match_text){ NULL, 0 };
	return sh_match_field(DatumGetJsonbP(value), dot + 1, name + len - dot - 1);
}

/* --- the rules of an organisation --- */

static void
watch(struct keeper *k, int column)
{
	if (column > 0)
		k->watched = bms_add_member(k->watched, column);
}

/* The columns whose change makes other keys. */
static void
watch_columns(struct keeper *k)
{
	int count = JsonContainerIsArray(&k->rules->root) ? JsonContainerSize(&k->rules->root) : 0;

	k->watched = NULL;
	watch(k, k->deleted);
	for (int i = 0; i < MATCH_FIELDS; i++)
		watch(k, k->column[i]);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *rule = getIthJsonbValueFromContainer(&k->rules->root, i);
		JsonbValue *field;

		if (rule->type != jbvBinary || !JsonContainerIsObject(rule->val.binary.data) ||
			!getKeyJsonValueFromContainer(rule->val.binary.data, "key", 3, NULL))
			continue;
		field = getKeyJsonValueFromContainer(rule->val.binary.data, "field", 5, NULL);
		if (field && field->type == jbvString)
			watch(k, column_named(k->desc, field->val.string.val, field->val.string.len));
	}
}

/* A statement mostly writes rows of one organisation. */
static void
have_rules(struct keeper *k, const pg_uuid_t *org)
{
	static const char sql[] = "SELECT saleshub.match_rules($1, $2)";
	Oid types[2] = { UUIDOID, TEXTOID };
	Datum values[2] = { UUIDPGetDatum(org), CStringGetTextDatum(k->entity) };
	MemoryContext caller = CurrentMemoryContext;
	struct sh_identity identity;
	bool isnull;

	if (k->rules && memcmp(&k->rules_org, org, sizeof(*org)) == 0)
		return;
	k->rules_org = *org;
	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1);
	MemoryContextSwitchTo(caller);
	k->rules =
		DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	sh_owner_leave(&identity);
	watch_columns(k);
}

/* --- writing --- */

static Datum
uuid_array(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static void
run(const char *sql, int nargs, const Oid *types, Datum *values)
{
	struct sh_identity identity;

	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, nargs, types), values, NULL, false, 0) < 0)
		elog(ERROR, "could not keep the keys of a record");
	SPI_finish();
	sh_owner_leave(&identity);
}

static void
delete_gone(struct keeper *k)
{
	static const char sql[] =
		"DELETE FROM saleshub.match_key AS m"
		" USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS t (org_id, id)"
		" WHERE m.org_id = t.org_id AND m.entity = $3 AND m.entity_id = t.id";
	Oid types[3] = { UUIDARRAYOID, UUIDARRAYOID, TEXTOID };
	Datum values[3];

	if (k->gone_count == 0)
		return;
	values[0] = uuid_array(k->gone_orgs, k->gone_count);
	values[1] = uuid_array(k->gone_ids, k->gone_count);
	values[2] = CStringGetTextDatum(k->entity);
	run(sql, 3, types, values);
	k->gone_count = 0;
}

/* What went is deleted first. */
static void
flush(struct keeper *k)
{
	static const char *const columns[] = { "org_id", "entity", "key", "entity_id" };
	Datum values[4];
	struct sh_rows *rows;

	delete_gone(k);
	if (k->count == 0)
		return;
	rows = sh_rows_open("saleshub", "match_key", columns, lengthof(columns), true);
	values[1] = CStringGetTextDatum(k->entity);
	for (int i = 0; i < k->count; i++)
	{
		values[0] = UUIDPGetDatum(&k->rows[i].org);
		values[2] = Int64GetDatum(k->rows[i].key);
		values[3] = UUIDPGetDatum(&k->rows[i].id);
		sh_rows_add(rows, values, NULL);
	}
	sh_rows_close(rows);
	k->count = 0;
}

/* --- rows --- */

static void
remove_keys(struct keeper *k, TupleTableSlot *old)
{
	bool isnull;

	if (k->gone_count == k->gone_size)
	{
		Size size;

		k->gone_size = Max(k->gone_size * 2, 64);
		size = k->gone_size * sizeof(Datum);
		k->gone_orgs = k->gone_orgs ? repalloc(k->gone_orgs, size) : palloc(size);
		k->gone_ids = k->gone_ids ? repalloc(k->gone_ids, size) : palloc(size);
	}
	k->gone_orgs[k->gone_count] = datumCopy(slot_getattr(old, k->org, &isnull), false, UUID_LEN);
	k->gone_ids[k->gone_count++] = datumCopy(slot_getattr(old, k->id, &isnull), false, UUID_LEN);
}

static void
make_room(struct keeper *k, int count)
{
	if (k->count + count > BATCH)
		flush(k);
	if (k->count + count <= k->size)
		return;
	k->size = Max(k->size * 2, MATCH_KEY_MAX);
	k->rows = k->rows ? repalloc(k->rows, k->size * sizeof(*k->rows)) :
						palloc(k->size * sizeof(*k->rows));
}

static void
add_keys(struct keeper *k, TupleTableSlot *new)
{
	struct match_record record = { .slot = new };
	int64 hashes[MATCH_KEY_MAX];
	MemoryContext caller;
	bool isnull;
	pg_uuid_t org;
	pg_uuid_t id;
	int count;

	(void) slot_getattr(new, k->deleted, &isnull);
	if (!isnull)
		return;
	memcpy(record.column, k->column, sizeof(record.column));
	org = *DatumGetUUIDP(slot_getattr(new, k->org, &isnull));
	id = *DatumGetUUIDP(slot_getattr(new, k->id, &isnull));
	have_rules(k, &org);
	caller = MemoryContextSwitchTo(k->row);
	count = sh_match_hashes(k->entity, &record, k->rules, hashes);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(k->row);
	make_room(k, count);
	for (int i = 0; i < count; i++)
		k->rows[k->count++] = (struct key_row){ .org = org, .key = hashes[i], .id = id };
}

static bool
makes_other_keys(struct keeper *k, TupleTableSlot *old, TupleTableSlot *new)
{
	int column = -1;
	bool isnull;

	have_rules(k, DatumGetUUIDP(slot_getattr(new, k->org, &isnull)));
	while ((column = bms_next_member(k->watched, column)) > 0)
	{
		Form_pg_attribute att = TupleDescAttr(k->desc, column - 1);
		bool onull;
		bool nnull;
		Datum before = slot_getattr(old, column, &onull);
		Datum after = slot_getattr(new, column, &nnull);

		if (onull != nnull ||
			(!onull && !datum_image_eq(before, after, att->attbyval, att->attlen)))
			return true;
	}
	return false;
}

/* An update's two transition tables hold the rows in the same order. */
static void
read_rows(struct keeper *k, Tuplestorestate *oldrows, Tuplestorestate *newrows)
{
	TupleTableSlot *old = MakeSingleTupleTableSlot(k->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *new = MakeSingleTupleTableSlot(k->desc, &TTSOpsMinimalTuple);

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
		if (has_old && has_new && !makes_other_keys(k, old, new))
			continue;
		if (has_old)
			remove_keys(k, old);
		if (has_new)
			add_keys(k, new);
	}
	ExecDropSingleTupleTableSlot(old);
	ExecDropSingleTupleTableSlot(new);
}

static int
column_of(TupleDesc desc, const char *name)
{
	int n = SPI_fnumber(desc, name);

	if (n <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a record that is compared needs the column \"%s\"", name)));
	return n;
}

/*
 * saleshub.match_keep(): AFTER INSERT, UPDATE or DELETE statement trigger with transition tables
 * oldrows and newrows; argument: the entity.
 */
Datum
sh_match_keep(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	struct keeper k = { 0 };

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(td->tg_event) ||
		!TRIGGER_FIRED_AFTER(td->tg_event) || td->tg_trigger->tgnargs != 1 ||
		(!td->tg_oldtable && !td->tg_newtable))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.match_keep() must be an AFTER statement trigger with transition "
						"tables and one argument")));
	k.entity = td->tg_trigger->tgargs[0];
	k.desc = RelationGetDescr(td->tg_relation);
	k.org = column_of(k.desc, "org_id");
	k.id = column_of(k.desc, psprintf("%s_id", k.entity));
	k.deleted = column_of(k.desc, "deleted_at");
	for (int i = 0; i < MATCH_FIELDS; i++)
		k.column[i] = Max(SPI_fnumber(k.desc, sh_match_field_name(i)), 0);
	k.row =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub match keys", ALLOCSET_DEFAULT_SIZES);
	read_rows(&k, td->tg_oldtable, td->tg_newtable);
	flush(&k);
	return PointerGetDatum(NULL);
}
