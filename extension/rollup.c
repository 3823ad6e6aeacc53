/*
 * Rollups: each statement on leads, deals and activities appends signed deltas, in its own
 * commit; the worker folds them into the base. Readers sum both, so there is no hot row and no
 * moment at which a figure differs from the rows.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "saleshub.h"
#include "transition.h"

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

struct kind;

struct rollup
{
	const struct kind *kind;
	AttrNumber at[SH_COLUMNS_MAX]; /* of the columns of the kind */
	HTAB *groups;
	MemoryContext context; /* of the sums */
	MemoryContext row;	   /* of what is computed for one row */
	Datum zero;
};

struct kind
{
	const char *name;
	const char *const *columns;
	int count;
	void (*add)(struct rollup *, TupleTableSlot *, int);
};

/* All kinds have these, and a record is counted nowhere while it is deleted. */
enum
{
	ORG,
	OWNER,
	DELETED,
	OWN_COLUMNS
};

/* --- reading a row --- */

static bool
has_value(struct rollup *r, TupleTableSlot *row, int column)
{
	bool isnull;

	(void) slot_getattr(row, r->at[column], &isnull);
	return !isnull;
}

static void
copy_uuid(struct rollup *r, TupleTableSlot *row, int column, pg_uuid_t *out)
{
	bool isnull;
	Datum value = slot_getattr(row, r->at[column], &isnull);

	if (!isnull)
		*out = *DatumGetUUIDP(value);
}

static void
copy_label(struct rollup *r, TupleTableSlot *row, int column, char *out)
{
	bool isnull;
	Datum value = slot_getattr(row, r->at[column], &isnull);
	text *label;

	if (isnull)
		return;
	label = DatumGetTextPP(value);
	memcpy(out,
		   VARDATA_ANY(label),
		   pg_mbcliplen(VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label), LABEL_SIZE - 1));
}

static TimestampTz
bucket_of(struct rollup *r, TupleTableSlot *row, int column)
{
	bool isnull;
	TimestampTz at = DatumGetTimestampTz(slot_getattr(row, r->at[column], &isnull));
	int64 rest;

	if (isnull || TIMESTAMP_NOT_FINITE(at))
		return DT_NOBEGIN;
	rest = at % QUARTER_HOUR;
	return at - (rest < 0 ? rest + QUARTER_HOUR : rest);
}

static Datum
numeric_of(struct rollup *r, TupleTableSlot *row, int column)
{
	bool isnull;
	Datum value = slot_getattr(row, r->at[column], &isnull);

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
	Datum before = group->sum[measure];
	MemoryContext caller = MemoryContextSwitchTo(r->context);

	group->sum[measure] = DirectFunctionCall2(sign > 0 ? numeric_add : numeric_sub, before, value);
	MemoryContextSwitchTo(caller);
	if (before != r->zero)
		pfree(DatumGetPointer(before));
}

static void
start_key(struct rollup *r, TupleTableSlot *row, struct group_key *key)
{
	memset(key, 0, sizeof(*key));
	copy_uuid(r, row, ORG, &key->org);
	copy_uuid(r, row, OWNER, &key->owner);
}

static void
count_at(struct rollup *r, struct group_key *key, TupleTableSlot *row, enum fact fact, int time,
		 int sign)
{
	if (!has_value(r, row, time))
		return;
	key->fact = fact;
	key->bucket = bucket_of(r, row, time);
	find_group(r, key)->n += sign;
}

/* --- leads --- */

enum
{
	LEAD_SOURCE = OWN_COLUMNS,
	LEAD_CREATED_AT,
	LEAD_CONVERTED_AT
};

static const char *const lead_columns[] = { "org_id", "owner_id",	"deleted_at",
											"source", "created_at", "converted_at" };

static void
add_lead(struct rollup *r, TupleTableSlot *row, int sign)
{
	struct group_key key;

	start_key(r, row, &key);
	copy_label(r, row, LEAD_SOURCE, key.label);
	count_at(r, &key, row, LEAD_CREATED, LEAD_CREATED_AT, sign);
	count_at(r, &key, row, LEAD_CONVERTED, LEAD_CONVERTED_AT, sign);
}

/* --- activities --- */

enum
{
	ACTIVITY_TYPE = OWN_COLUMNS,
	ACTIVITY_OUTCOME,
	ACTIVITY_CREATED_AT,
	ACTIVITY_DONE_AT
};

static const char *const activity_columns[] = { "org_id",  "owner_id",	 "deleted_at", "type",
												"outcome", "created_at", "done_at" };

static void
add_activity(struct rollup *r, TupleTableSlot *row, int sign)
{
	struct group_key key;

	start_key(r, row, &key);
	copy_label(r, row, ACTIVITY_TYPE, key.label);
	count_at(r, &key, row, ACTIVITY_CREATED, ACTIVITY_CREATED_AT, sign);
	copy_label(r, row, ACTIVITY_OUTCOME, key.detail);
	count_at(r, &key, row, ACTIVITY_DONE, ACTIVITY_DONE_AT, sign);
}

/* --- deals --- */

enum
{
	DEAL_SOURCE = OWN_COLUMNS,
	DEAL_PRODUCT,
	DEAL_STAGE,
	DEAL_STATUS,
	DEAL_AMOUNT,
	DEAL_PROBABILITY,
	DEAL_OPENED_AT,
	DEAL_CLOSED_AT
};

static const char *const deal_columns[] = { "org_id",	   "owner_id",	"deleted_at", "source",
											"product",	   "stage_id",	"status",	  "amount_base",
											"probability", "opened_at", "closed_at" };

static bool
has_status(struct rollup *r, TupleTableSlot *row, const char *status)
{
	bool isnull;
	text *value = DatumGetTextPP(slot_getattr(row, r->at[DEAL_STATUS], &isnull));

	return VARSIZE_ANY_EXHDR(value) == strlen(status) &&
		   memcmp(VARDATA_ANY(value), status, strlen(status)) == 0;
}

/* Seconds from opening to closing, exact to the microsecond. */
static Datum
cycle_of(struct rollup *r, TupleTableSlot *row)
{
	bool isnull;
	TimestampTz opened = DatumGetTimestampTz(slot_getattr(row, r->at[DEAL_OPENED_AT], &isnull));
	TimestampTz closed = DatumGetTimestampTz(slot_getattr(row, r->at[DEAL_CLOSED_AT], &isnull));

	return NumericGetDatum(int64_div_fast_to_numeric(closed - opened, 6));
}

/* amount × probability in percent ÷ 100, exact. */
static Datum
weighted_amount(struct rollup *r, TupleTableSlot *row, Datum amount)
{
	Datum share = DirectFunctionCall2(numeric_mul,
									  numeric_of(r, row, DEAL_PROBABILITY),
									  NumericGetDatum(int64_div_fast_to_numeric(1, 2)));

	return DirectFunctionCall2(numeric_mul, amount, share);
}

static void
add_deal(struct rollup *r, TupleTableSlot *row, int sign)
{
	struct group_key key;
	struct group *group;
	bool open = has_status(r, row, "open");
	Datum amount = numeric_of(r, row, DEAL_AMOUNT);

	start_key(r, row, &key);
	key.fact = open ? DEAL_OPEN : has_status(r, row, "won") ? DEAL_WON : DEAL_LOST;
	key.bucket = open ? DT_NOBEGIN : bucket_of(r, row, DEAL_CLOSED_AT);
	copy_uuid(r, row, DEAL_STAGE, &key.dim);
	copy_label(r, row, DEAL_SOURCE, key.label);
	copy_label(r, row, DEAL_PRODUCT, key.detail);
	group = find_group(r, &key);
	group->n += sign;
	add_measure(r, group, AMOUNT, amount, sign);
	if (open)
		add_measure(r, group, WEIGHTED, weighted_amount(r, row, amount), sign);
	else
		add_measure(r, group, SECONDS, cycle_of(r, row), sign);
}

/* --- the rows of the statement --- */

static const struct kind kinds[] = {
	{ "lead", lead_columns, lengthof(lead_columns), add_lead },
	{ "deal", deal_columns, lengthof(deal_columns), add_deal },
	{ "activity", activity_columns, lengthof(activity_columns), add_activity },
};

static const struct kind *
find_kind(const char *name)
{
	for (int i = 0; i < (int) lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("saleshub.rollup() knows lead, deal and activity, not \"%s\"", name)));
}

static void
add_row(struct rollup *r, TupleTableSlot *row, int sign)
{
	if (row && !has_value(r, row, DELETED))
		r->kind->add(r, row, sign);
}

/* Most edits change nothing that is counted. */
static bool
counts_the_same(struct rollup *r, TupleTableSlot *old, TupleTableSlot *new)
{
	bool same = old && new;

	for (int i = 0; same && i < r->kind->count; i++)
		same = sh_transition_same(old, new, r->at[i]);
	return same;
}

static void
add_rows(struct rollup *r, const TriggerData *trigger)
{
	struct sh_transition rows;
	TupleTableSlot *old;
	TupleTableSlot *new;
	MemoryContext caller;

	sh_transition_open(&rows, trigger);
	while (sh_transition_next(&rows, &old, &new))
	{
		if (counts_the_same(r, old, new))
			continue;
		caller = MemoryContextSwitchTo(r->row);
		add_row(r, new, 1);
		add_row(r, old, -1);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(r->row);
	}
	sh_transition_close(&rows);
}

/* --- writing --- */

static bool
is_nothing(struct rollup *r, const struct group *group)
{
	bool nothing = group->n == 0;

	for (int i = 0; nothing && i < MEASURES; i++)
		nothing = group->sum[i] == r->zero ||
				  DatumGetBool(DirectFunctionCall2(numeric_eq, group->sum[i], r->zero));
	return nothing;
}

static const char *const delta_columns[] = { "org_id", "delta_id", "fact",	   "bucket",
											 "dim",	   "owner_id", "label",	   "detail",
											 "n",	   "amount",   "weighted", "seconds" };

static void
write_group(struct sh_rows *deltas, const struct group *group)
{
	const struct group_key *key = &group->key;
	pg_uuid_t id;
	Datum values[lengthof(delta_columns)];

	sh_uuid_v7(&id);
	values[0] = UUIDPGetDatum(&key->org);
	values[1] = UUIDPGetDatum(&id);
	values[2] = CStringGetTextDatum(fact_names[key->fact]);
	values[3] = TimestampTzGetDatum(key->bucket);
	values[4] = UUIDPGetDatum(&key->dim);
	values[5] = UUIDPGetDatum(&key->owner);
	values[6] = CStringGetTextDatum(key->label);
	values[7] = CStringGetTextDatum(key->detail);
	values[8] = Int64GetDatum(group->n);
	for (int i = 0; i < MEASURES; i++)
		values[9 + i] = group->sum[i];
	sh_rows_add(deltas, values, NULL);
}

static void
touch(const struct group *group, const struct group *before)
{
	if (!before || memcmp(&group->key.org, &before->key.org, UUID_LEN) != 0)
		sh_slot_touch(get_relname_relid("rollup_delta", get_namespace_oid("saleshub", false)),
					  &group->key.org);
}

static void
write_deltas(struct rollup *r)
{
	struct sh_rows *deltas = NULL;
	const struct group *before = NULL;
	HASH_SEQ_STATUS scan;
	struct group *group;
	MemoryContext caller;

	hash_seq_init(&scan, r->groups);
	while ((group = hash_seq_search(&scan)) != NULL)
	{
		if (is_nothing(r, group))
			continue;
		if (!deltas)
			deltas = sh_rows_open(
				"saleshub", "rollup_delta", delta_columns, lengthof(delta_columns), false);
		touch(group, before);
		before = group;
		caller = MemoryContextSwitchTo(r->row);
		write_group(deltas, group);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(r->row);
	}
	if (!deltas)
		return;
	sh_rows_close(deltas);
	sh_worker_notify();
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
	r.kind = find_kind(td->tg_trigger->tgargs[0]);
	memcpy(r.at,
		   sh_columns_needed(td->tg_relation, r.kind->columns, r.kind->count),
		   r.kind->count * sizeof(*r.at));
	r.context =
		AllocSetContextCreate(CurrentMemoryContext, "saleshub sums", ALLOCSET_DEFAULT_SIZES);
	r.row = AllocSetContextCreate(r.context, "saleshub sums of a row", ALLOCSET_DEFAULT_SIZES);
	r.groups =
		sh_table("saleshub rollup", sizeof(struct group_key), sizeof(struct group), 64, r.context);
	r.zero = DirectFunctionCall1(int8_numeric, Int64GetDatum(0));
	add_rows(&r, td);
	write_deltas(&r);
	MemoryContextDelete(r.context);
	return PointerGetDatum(NULL);
}
