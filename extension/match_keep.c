/*
 * Keeping the keys of records up to date: one trigger per statement deletes the keys that rows had
 * and no longer have, and writes those that they did not have. What a row had is computed from what
 * it was, so that no index on the records is needed; that holds as long as the rules of its
 * organisation are those by which its keys were written, which a lock sees to.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "match.h"
#include "saleshub.h"
#include "transition.h"

PG_FUNCTION_INFO_V1(sh_match_keep);
PG_FUNCTION_INFO_V1(sh_match_lock_rules);

/* Keys gathered before they are written, in their order: neighbours go to the same pages. */
#define BATCH 65536
/* The memory that making the keys of a row takes, kept from row to row. */
#define ROW_MEMORY 32768
/* Makes the advisory lock of an organisation's rules differ from other uses of its id. */
#define RULES_LOCK_SEED UINT64CONST(0x6d617463682d7275)

struct key_row
{
	pg_uuid_t org;
	int64 key;
	pg_uuid_t id;
};

struct key_list
{
	int count;
	int size;
	struct key_row *rows;
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
	struct key_list come;
	struct key_list gone;
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

/*
 * Who writes keys shares the lock until its transaction ends; who writes all of them anew by other
 * rules has it alone. So nobody writes, or takes for written, keys by rules that are no more.
 */
static void
lock_rules(const pg_uuid_t *org, bool alone)
{
	sh_org_lock(org, RULES_LOCK_SEED, alone);
}

/* saleshub.match_lock_rules(org uuid): wait for writers of keys and keep new ones out. */
Datum
sh_match_lock_rules(PG_FUNCTION_ARGS)
{
	lock_rules(PG_GETARG_UUID_P(0), true);
	PG_RETURN_VOID();
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
	lock_rules(org, false);
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

static int
compare_rows(const void *a, const void *b)
{
	const struct key_row *x = a;
	const struct key_row *y = b;
	int order = memcmp(&x->org, &y->org, UUID_LEN);

	if (order == 0)
		order = x->key < y->key ? -1 : x->key > y->key ? 1 : 0;
	return order != 0 ? order : memcmp(&x->id, &y->id, UUID_LEN);
}

static Datum
array_of(Datum *values, int count, Oid type)
{
	bool is_uuid = type == UUIDOID;

	return PointerGetDatum(construct_array(values,
										   count,
										   type,
										   is_uuid ? UUID_LEN : sizeof(int64),
										   is_uuid ? false : FLOAT8PASSBYVAL,
										   is_uuid ? TYPALIGN_CHAR : TYPALIGN_DOUBLE));
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
delete_gone(const struct key_list *gone)
{
	static const char sql[] =
		"DELETE FROM saleshub.match_key AS m"
		" USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
		" AS t (org_id, key, id)"
		" WHERE m.org_id = t.org_id AND m.key = t.key AND m.entity_id = t.id";
	Oid types[3] = { UUIDARRAYOID, INT8ARRAYOID, UUIDARRAYOID };
	Datum values[3];
	Datum *column = palloc(gone->count * sizeof(*column));

	for (int i = 0; i < gone->count; i++)
		column[i] = UUIDPGetDatum(&gone->rows[i].org);
	values[0] = array_of(column, gone->count, UUIDOID);
	for (int i = 0; i < gone->count; i++)
		column[i] = Int64GetDatum(gone->rows[i].key);
	values[1] = array_of(column, gone->count, INT8OID);
	for (int i = 0; i < gone->count; i++)
		column[i] = UUIDPGetDatum(&gone->rows[i].id);
	values[2] = array_of(column, gone->count, UUIDOID);
	pfree(column);
	run(sql, 3, types, values);
}

static void
write_come(const char *entity, const struct key_list *come)
{
	static const char *const columns[] = { "org_id", "entity", "key", "entity_id" };
	struct sh_rows *rows = sh_rows_open("saleshub", "match_key", columns, lengthof(columns), true);
	Datum values[4] = { 0, CStringGetTextDatum(entity) };

	for (int i = 0; i < come->count; i++)
	{
		values[0] = UUIDPGetDatum(&come->rows[i].org);
		values[2] = Int64GetDatum(come->rows[i].key);
		values[3] = UUIDPGetDatum(&come->rows[i].id);
		sh_rows_add(rows, values, NULL);
	}
	sh_rows_close(rows);
}

static void
flush(struct keeper *k)
{
	if (k->gone.count > 0)
		delete_gone(&k->gone);
	if (k->come.count > 1)
		qsort(k->come.rows, k->come.count, sizeof(*k->come.rows), compare_rows);
	if (k->come.count > 0)
		write_come(k->entity, &k->come);
	k->gone.count = 0;
	k->come.count = 0;
}

/* --- rows --- */

static void
add_to(struct keeper *k, struct key_list *list, const struct key_row *row)
{
	if (list->count == BATCH)
		flush(k);
	if (list->count == list->size)
	{
		list->size = Max(list->size * 2, MATCH_KEY_MAX);
		list->rows = list->rows ? repalloc(list->rows, list->size * sizeof(*list->rows)) :
								  palloc(list->size * sizeof(*list->rows));
	}
	list->rows[list->count++] = *row;
}

/* The keys of a row, sorted, into out; how many there are. One in the bin has none. */
static int
keys_of(struct keeper *k, TupleTableSlot *slot, int64 *out)
{
	struct match_record record = { .slot = slot };
	MemoryContext caller;
	bool isnull;
	int count;

	(void) slot_getattr(slot, k->deleted, &isnull);
	if (!isnull)
		return 0;
	have_rules(k, DatumGetUUIDP(slot_getattr(slot, k->org, &isnull)));
	memcpy(record.column, k->column, sizeof(record.column));
	caller = MemoryContextSwitchTo(k->row);
	count = sh_match_hashes(k->entity, &record, k->rules, out);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(k->row);
	return count;
}

/* What of the row's keys goes, and what comes; a side that is NULL has none. */
static void
keep_row(struct keeper *k, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleTableSlot *slot = new ? new : old;
	int64 before[MATCH_KEY_MAX];
	int64 after[MATCH_KEY_MAX];
	int before_count = old ? keys_of(k, old, before) : 0;
	int after_count = new ? keys_of(k, new, after) : 0;
	struct key_row row;
	bool isnull;
	int i = 0;
	int j = 0;

	row.org = *DatumGetUUIDP(slot_getattr(slot, k->org, &isnull));
	row.id = *DatumGetUUIDP(slot_getattr(slot, k->id, &isnull));
	while (i < before_count || j < after_count)
	{
		bool goes = j == after_count || (i < before_count && before[i] < after[j]);
		bool comes = i == before_count || (j < after_count && after[j] < before[i]);

		row.key = goes ? before[i] : after[j];
		if (goes || comes)
			add_to(k, goes ? &k->gone : &k->come, &row);
		i += !comes;
		j += !goes;
	}
}

static bool
makes_other_keys(struct keeper *k, TupleTableSlot *old, TupleTableSlot *new)
{
	int column = -1;
	bool isnull;

	have_rules(k, DatumGetUUIDP(slot_getattr(new, k->org, &isnull)));
	while ((column = bms_next_member(k->watched, column)) > 0)
		if (!sh_transition_same(old, new, column))
			return true;
	return false;
}

static void
read_rows(struct keeper *k, const TriggerData *td)
{
	struct sh_transition rows;
	TupleTableSlot *old;
	TupleTableSlot *new;

	sh_transition_open(&rows, td);
	while (sh_transition_next(&rows, &old, &new))
		if (!old || !new || makes_other_keys(k, old, new))
			keep_row(k, old, new);
	sh_transition_close(&rows);
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
	k.row = AllocSetContextCreate(
		CurrentMemoryContext, "saleshub match keys", 0, ROW_MEMORY, ALLOCSET_DEFAULT_MAXSIZE);
	read_rows(&k, td);
	flush(&k);
	return PointerGetDatum(NULL);
}
