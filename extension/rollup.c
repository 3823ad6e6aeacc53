/*
 * Rollups: each statement on leads, deals and activities appends signed deltas, in its own
 * commit; the worker folds them into the base. Readers sum both, so there is no hot row and no
 * moment at which a figure differs from the rows.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_rollup);

/* Bytes of a label (source, type) or detail (product, outcome) that tell groups apart. */
#define LABEL_SIZE 64
#define QUARTER_HOUR (INT64CONST(900) * USECS_PER_SEC)

enum fact
{
	LEAD_CREATED,
	LEAD_CONVERTED,
	DEAL_OPEN,
	DEAL_WON,
	DEAL_LOST,
	ACTIVITY_CREATED,
	ACTIVITY_DONE
};

static const char *const fact_names[] = { "lead_created", "lead_converted", "deal_open",
										  "deal_won",	  "deal_lost",		"activity_created",
										  "activity_done" };

/* Compared as bytes: zeroed before use. */
struct group_key
{
	pg_uuid_t org;
	pg_uuid_t dim;
	pg_uuid_t owner;
	TimestampTz bucket;
	int32 fact;
	char label[LABEL_SIZE];
	char detail[LABEL_SIZE];
};

enum measure
{
	AMOUNT,
	WEIGHTED,
	SECONDS,
	MEASURES
};

struct group
{
	struct group_key key;
	int64 n;
	Datum sum[MEASURES]; /* numeric */
};

/* Columns that a statement has asked for; the names are literals. */
struct known_column
{
	const char *name;
	int number;
};

struct rollup
{
	Relation rel;
	int known_count;
	struct known_column known[16];
	HTAB *groups;
	MemoryContext context;
	Datum zero;
};

/* --- reading a row by column name --- */

static int
number_of(struct rollup *r, const char *column)
{
	int n;

	for (int i = 0; i < r->known_count; i++)
		if (r->known[i].name == column)
			return r->known[i].number;
	n = SPI_fnumber(RelationGetDescr(r->rel), column);
	if (n <= 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(r->rel), column)));
	if (r->known_count < (int) lengthof(r->known))
		r->known[r->known_count++] = (struct known_column){ column, n };
	return n;
}

static Datum
value_of(struct rollup *r, TupleTableSlot *row, const char *column, bool *isnull)
{
	return slot_getattr(row, number_of(r, column), isnull);
}

static bool
has_value(struct rollup *r, TupleTableSlot *row, const char *column)
{
	bool isnull;

	(void) value_of(r, row, column, &isnull);
	return !isnull;
}

static void
copy_uuid(struct rollup *r, TupleTableSlot *row, const char *column, pg_uuid_t *out)
{
	bool isnull;
	Datum value = value_of(r, row, column, &isnull);

	if (!isnull)
		*out = *DatumGetUUIDP(value);
}

static void
copy_label(struct rollup *r, TupleTableSlot *row, const char *column, char *out)
{
	bool isnull;
	Datum value = value_of(r, row, column, &isnull);
	text *label;

	if (isnull)
		return;
	label = DatumGetTextPP(value);
	memcpy(out,
		   VARDATA_ANY(label),
		   pg_mbcliplen(VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label), LABEL_SIZE - 1));
}

static TimestampTz
bucket_of(struct rollup *r, TupleTableSlot *row, const char *column)
{
	bool isnull;
	TimestampTz at = DatumGetTimestampTz(value_of(r, row, column, &isnull));
	int64 rest;

	if (isnull || TIMESTAMP_NOT_FINITE(at))
		return DT_NOBEGIN;
	rest = at % QUARTER_HOUR;
	return at - (rest < 0 ? rest + QUARTER_HOUR : rest);
}

static Datum
numeric_of(struct rollup *r, TupleTableSlot *row, const char *column)
{
	bool isnull;
	Datum value = value_of(r, row, column, &isnull);

	return isnull ? r->zero : value;
}

/* --- groups --- */

static struct group *
find_group(struct rollup *r, const struct group_key *key)
{
	bool found;
	struct group *group = hash_search(r->groups, key, HASH_ENTER, &found);

	if (!found)
	{
		group->n = 0;
		for (int i = 0; i < MEASURES; i++)
			group->sum[i] = r->zero;
	}
	return group;
}

static void
add_measure(struct rollup *r, struct group *group, enum measure measure, Datum value, int sign)
{
	MemoryContext caller = MemoryContextSwitchTo(r->context);

	group->sum[measure] = sign > 0 ? DirectFunctionCall2(numeric_add, group->sum[measure], value) :
									 DirectFunctionCall2(numeric_sub, group->sum[measure], value);
	MemoryContextSwitchTo(caller);
}

static void
start_key(struct rollup *r, TupleTableSlot *row, struct group_key *key)
{
	memset(key, 0, sizeof(*key));
	copy_uuid(r, row, "org_id", &key->org);
	copy_uuid(r, row, "owner_id", &key->owner);
}

static void
count_at(struct rollup *r, struct group_key *key, TupleTableSlot *row, enum fact fact,
		 const char *time, int sign)
{
	if (!has_value(r, row, time))
		return;
	key->fact = fact;
	key->bucket = bucket_of(r, row, time);
	find_group(r, key)->n += sign;
}

static void
add_lead(struct rollup *r, TupleTableSlot *row, int sign)
{
	struct group_key key;

	start_key(r, row, &key);
	copy_label(r, row, "source", key.label);
	count_at(r, &key, row, LEAD_CREATED, "created_at", sign);
	count_at(r, &key, row, LEAD_CONVERTED, "converted_at", sign);
}

static void
add_activity(struct rollup *r, TupleTableSlot *row, int sign)
{
	struct group_key key;

	start_key(r, row, &key);
	copy_label(r, row, "type", key.label);
	count_at(r, &key, row, ACTIVITY_CREATED, "created_at", sign);
	copy_label(r, row, "outcome", key.detail);
	count_at(r, &key, row, ACTIVITY_DONE, "done_at", sign);
}

/* Seconds from opening to closing, exact to the microsecond. */
static Datum
cycle_of(struct rollup *r, TupleTableSlot *row)
{
	bool isnull;
	TimestampTz opened = DatumGetTimestampTz(value_of(r, row, "opened_at", &isnull));
	TimestampTz closed = DatumGetTimestampTz(value_of(r, row, "closed_at", &isnull));

	return NumericGetDatum(int64_div_fast_to_numeric(closed - opened, 6));
}

/* amount × probability in percent ÷ 100, exact. */
static Datum
weighted_amount(struct rollup *r, TupleTableSlot *row, Datum amount)
{
	Datum share = DirectFunctionCall2(numeric_mul,
									  numeric_of(r, row, "probability"),
									  NumericGetDatum(int64_div_fast_to_numeric(1, 2)));

	return DirectFunctionCall2(numeric_mul, amount, share);
}

static void
add_deal(struct rollup *r, TupleTableSlot *row, int sign)
{
	struct group_key key;
	struct group *group;
	bool isnull;
	char *status = TextDatumGetCString(value_of(r, row, "status", &isnull));
	bool open = strcmp(status, "open") == 0;
	Datum amount = numeric_of(r, row, "amount_base");

	start_key(r, row, &key);
	key.fact = open ? DEAL_OPEN : strcmp(status, "won") == 0 ? DEAL_WON : DEAL_LOST;
	key.bucket = open ? DT_NOBEGIN : bucket_of(r, row, "closed_at");
	copy_uuid(r, row, "stage_id", &key.dim);
	copy_label(r, row, "source", key.label);
	copy_label(r, row, "product", key.detail);
	group = find_group(r, &key);
	group->n += sign;
	add_measure(r, group, AMOUNT, amount, sign);
	if (open)
		add_measure(r, group, WEIGHTED, weighted_amount(r, row, amount), sign);
	else
		add_measure(r, group, SECONDS, cycle_of(r, row), sign);
}

static void
add_rows(struct rollup *r, Tuplestorestate *rows, const char *kind, int sign)
{
	TupleTableSlot *row;
	void (*add)(struct rollup *, TupleTableSlot *, int) = strcmp(kind, "lead") == 0 ? add_lead :
														  strcmp(kind, "deal") == 0 ? add_deal :
																					  add_activity;

	if (!rows)
		return;
	row = MakeSingleTupleTableSlot(RelationGetDescr(r->rel), &TTSOpsMinimalTuple);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, row))
		if (!has_value(r, row, "deleted_at"))
			add(r, row, sign);
	ExecDropSingleTupleTableSlot(row);
}

/* --- writing --- */

static bool
is_nothing(struct rollup *r, struct group *group)
{
	bool nothing = group->n == 0;

	for (int i = 0; nothing && i < MEASURES; i++)
		nothing = DatumGetBool(DirectFunctionCall2(numeric_eq, group->sum[i], r->zero));
	return nothing;
}

enum
{
	COLUMNS = 11
};

static void
fill_columns(struct rollup *r, Datum *column[COLUMNS], int *count)
{
	HASH_SEQ_STATUS scan;
	struct group *group;

	*count = 0;
	hash_seq_init(&scan, r->groups);
	while ((group = hash_seq_search(&scan)) != NULL)
	{
		int n = *count;

		if (is_nothing(r, group))
			continue;
		column[0][n] = UUIDPGetDatum(&group->key.org);
		column[1][n] = CStringGetTextDatum(fact_names[group->key.fact]);
		column[2][n] = TimestampTzGetDatum(group->key.bucket);
		column[3][n] = UUIDPGetDatum(&group->key.dim);
		column[4][n] = UUIDPGetDatum(&group->key.owner);
		column[5][n] = CStringGetTextDatum(group->key.label);
		column[6][n] = CStringGetTextDatum(group->key.detail);
		column[7][n] = Int64GetDatum(group->n);
		for (int i = 0; i < MEASURES; i++)
			column[8 + i][n] = group->sum[i];
		(*count)++;
	}
}

static void
touch_groups(struct rollup *r)
{
	Oid deltas = get_relname_relid("rollup_delta", get_namespace_oid("saleshub", false));
	HASH_SEQ_STATUS scan;
	struct group *group;

	hash_seq_init(&scan, r->groups);
	while ((group = hash_seq_search(&scan)) != NULL)
		sh_slot_touch(deltas, &group->key.org);
}

static void
write_deltas(struct rollup *r)
{
	static const char sql[] =
		"INSERT INTO saleshub.rollup_delta"
		" (org_id, fact, bucket, dim, owner_id, label, detail, n, amount, weighted, seconds)"
		" SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
		" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
		" pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
		" pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11))";
	static const Oid element[COLUMNS] = { UUIDOID,	  TEXTOID,	  TIMESTAMPTZOID, UUIDOID,
										  UUIDOID,	  TEXTOID,	  TEXTOID,		  INT8OID,
										  NUMERICOID, NUMERICOID, NUMERICOID };
	Oid types[COLUMNS];
	Datum values[COLUMNS];
	Datum *column[COLUMNS];
	struct sh_identity identity;
	int count;

	for (int i = 0; i < COLUMNS; i++)
		column[i] = palloc(sizeof(Datum) * (Size) (hash_get_num_entries(r->groups) + 1));
	fill_columns(r, column, &count);
	if (count == 0)
		return;
	for (int i = 0; i < COLUMNS; i++)
	{
		int16 len;
		bool byval;
		char align;

		get_typlenbyvalalign(element[i], &len, &byval, &align);
		types[i] = get_array_type(element[i]);
		values[i] =
			PointerGetDatum(construct_array(column[i], count, element[i], len, byval, align));
	}
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, COLUMNS, types), values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write rollup deltas");
	SPI_finish();
	sh_owner_leave(&identity);
	touch_groups(r);
	sh_worker_notify();
}

static HTAB *
make_groups(void)
{
	return sh_table("saleshub rollup",
					sizeof(struct group_key),
					sizeof(struct group),
					64,
					CurrentMemoryContext);
}

/*
 * AFTER INSERT, UPDATE or DELETE statement trigger with transition tables; argument: lead, deal
 * or activity.
 */
Datum
sh_rollup(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	struct rollup r;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(td->tg_event) ||
		!TRIGGER_FIRED_AFTER(td->tg_event) || td->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("saleshub.rollup() must be an AFTER statement trigger with transition "
						"tables and one argument")));
	r.rel = td->tg_relation;
	r.known_count = 0;
	r.groups = make_groups();
	r.context = CurrentMemoryContext;
	r.zero = DirectFunctionCall1(int8_numeric, Int64GetDatum(0));
	add_rows(&r, td->tg_newtable, td->tg_trigger->tgargs[0], 1);
	add_rows(&r, td->tg_oldtable, td->tg_trigger->tgargs[0], -1);
	write_deltas(&r);
	hash_destroy(r.groups);
	return PointerGetDatum(NULL);
}
