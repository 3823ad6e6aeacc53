/* The history of scores: which score a lead got, when and why, one statement at a time. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_lead_score_history);

/* The columns of crm.score_history. */
enum history_column
{
	HISTORY_ORG,
	HISTORY_ID,
	HISTORY_LEAD,
	HISTORY_SCORE,
	HISTORY_PREVIOUS,
	HISTORY_GRADE,
	HISTORY_REASONS,
	HISTORY_CAUSE,
	HISTORY_ACTIVITY,
	HISTORY_AT,
	HISTORY_COLUMNS
};

static const char *const history_names[HISTORY_COLUMNS] = {
	"org_id", "score_history_id", "lead_id", "score",		"previous",
	"grade",  "reasons",		  "cause",	 "activity_id", "at"
};

struct history_reader
{
	Tuplestorestate *store;
	TupleTableSlot *slot;
	AttrNumber org;
	AttrNumber lead;
	AttrNumber score;
	AttrNumber engagement;
	AttrNumber as_of;
	AttrNumber grade;
	AttrNumber reasons;
	AttrNumber status;
	AttrNumber deleted;
};

/* What the history ends with. */
struct latest
{
	bool found;
	Numeric score;
	text *grade;
};

/* Leads that were closed or opened, of one organisation at a time. */
struct moved
{
	pg_uuid_t org;
	int count;
	int space;
	Datum *leads;
};

static void
open_reader(struct history_reader *reader, Tuplestorestate *store, TupleDesc desc)
{
	reader->store = store;
	reader->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	reader->org = SPI_fnumber(desc, "org_id");
	reader->lead = SPI_fnumber(desc, "lead_id");
	reader->score = SPI_fnumber(desc, "score");
	reader->engagement = SPI_fnumber(desc, "engagement");
	reader->as_of = SPI_fnumber(desc, "score_as_of");
	reader->status = SPI_fnumber(desc, "status");
	reader->deleted = SPI_fnumber(desc, "deleted_at");
	reader->grade = SPI_fnumber(desc, "grade");
	reader->reasons = SPI_fnumber(desc, "score_reasons");
	tuplestore_rescan(store);
}

static bool
next_row(struct history_reader *reader)
{
	return tuplestore_gettupleslot(reader->store, true, false, reader->slot);
}

static void
close_reader(struct history_reader *reader)
{
	ExecDropSingleTupleTableSlot(reader->slot);
	tuplestore_rescan(reader->store);
}

static bool
same_value(struct history_reader *a, struct history_reader *b, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(a->slot->tts_tupleDescriptor, attno - 1);
	bool null_a;
	bool null_b;
	Datum va = slot_getattr(a->slot, attno, &null_a);
	Datum vb = slot_getattr(b->slot, attno, &null_b);

	if (null_a || null_b)
		return null_a == null_b;
	return datum_image_eq(va, vb, att->attbyval, att->attlen);
}

static bool
is_null(struct history_reader *reader, AttrNumber attno)
{
	bool isnull;

	(void) slot_getattr(reader->slot, attno, &isnull);
	return isnull;
}

static Datum
value_of(struct history_reader *reader, AttrNumber attno)
{
	bool isnull;

	return slot_getattr(reader->slot, attno, &isnull);
}

/* When the score is of, which is when it was written unless events count. */
static TimestampTz
instant_of(struct history_reader *row)
{
	if (is_null(row, row->as_of))
		return GetCurrentTransactionStartTimestamp();
	return DatumGetTimestampTz(value_of(row, row->as_of));
}

/* Add the lead in new; previous is NULL for one just created. */
static void
add_row(struct sh_rows *rows, Numeric previous, struct history_reader *new, const char *cause)
{
	Datum values[HISTORY_COLUMNS] = { 0 };
	bool nulls[HISTORY_COLUMNS] = { false };
	const pg_uuid_t *activity;
	pg_uuid_t id;

	sh_uuid_v7(&id);
	values[HISTORY_ORG] = slot_getattr(new->slot, new->org, &nulls[HISTORY_ORG]);
	values[HISTORY_ID] = UUIDPGetDatum(&id);
	values[HISTORY_LEAD] = slot_getattr(new->slot, new->lead, &nulls[HISTORY_LEAD]);
	values[HISTORY_SCORE] = slot_getattr(new->slot, new->score, &nulls[HISTORY_SCORE]);
	nulls[HISTORY_PREVIOUS] = !previous;
	if (previous)
		values[HISTORY_PREVIOUS] = NumericGetDatum(previous);
	values[HISTORY_GRADE] = slot_getattr(new->slot, new->grade, &nulls[HISTORY_GRADE]);
	values[HISTORY_REASONS] = slot_getattr(new->slot, new->reasons, &nulls[HISTORY_REASONS]);
	if (!nulls[HISTORY_REASONS])
		values[HISTORY_REASONS] = PointerGetDatum(PG_DETOAST_DATUM(values[HISTORY_REASONS]));
	values[HISTORY_CAUSE] = PointerGetDatum(cstring_to_text(cause));
	activity = sh_score_cause_of(DatumGetUUIDP(values[HISTORY_LEAD]));
	nulls[HISTORY_ACTIVITY] = !activity;
	if (activity)
		values[HISTORY_ACTIVITY] = UUIDPGetDatum(activity);
	values[HISTORY_AT] = TimestampTzGetDatum(instant_of(new));
	sh_rows_add(rows, values, nulls);
	pfree(DatumGetPointer(values[HISTORY_CAUSE]));
}

static void
read_latest(struct history_reader *row, struct latest *out)
{
	static const char sql[] = "SELECT h.score, h.grade FROM crm.score_history AS h"
							  " WHERE h.org_id OPERATOR(pg_catalog.=) $1"
							  " AND h.lead_id OPERATOR(pg_catalog.=) $2"
							  " ORDER BY h.score_history_id DESC LIMIT 1";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { value_of(row, row->org), value_of(row, row->lead) };
	MemoryContext outside = CurrentMemoryContext;
	MemoryContext before;
	struct sh_identity identity;

	memset(out, 0, sizeof(*out));
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history of a score");
	before = MemoryContextSwitchTo(outside);
	if (SPI_processed > 0)
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		bool isnull;
		Datum grade = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull);

		out->found = true;
		out->grade = isnull ? NULL : DatumGetTextPCopy(grade);
		out->score = DatumGetNumericCopy(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
}

static bool
same_grade(struct history_reader *row, const text *grade)
{
	text *now = is_null(row, row->grade) ? NULL : DatumGetTextPP(value_of(row, row->grade));

	if (!now || !grade)
		return !now && !grade;
	return VARSIZE_ANY_EXHDR(now) == VARSIZE_ANY_EXHDR(grade) &&
		   memcmp(VARDATA_ANY(now), VARDATA_ANY(grade), VARSIZE_ANY_EXHDR(now)) == 0;
}

/*
 * The score of a lead with events moves all the time: it is remembered when the grade changes or
 * when it is far enough from what was remembered last.
 */
static void
add_moving(struct sh_rows *rows, struct history_reader *old, struct history_reader *new,
		   const char *cause)
{
	int64 delta = sh_score_rules(DatumGetUUIDP(value_of(new, new->org)), true)->delta;
	int64 now = sh_score_milli(DatumGetNumeric(value_of(new, new->score)));
	struct latest latest;
	int64 moved;

	read_latest(new, &latest);
	if (!latest.found)
	{
		add_row(rows, DatumGetNumeric(value_of(old, old->score)), new, cause);
		return;
	}
	moved = now - sh_score_milli(latest.score);
	if (!same_grade(new, latest.grade) || Abs(moved) >= Max(delta, 1))
		add_row(rows, latest.score, new, cause);
}

static void
add_change(struct sh_rows *rows, struct history_reader *old, struct history_reader *new,
		   const char *cause)
{
	if (same_value(old, new, new->score) && same_value(old, new, new->reasons) &&
		same_value(old, new, new->grade))
		return;
	if (!is_null(old, old->engagement) || !is_null(new, new->engagement))
		add_moving(rows, old, new, cause);
	else
		add_row(rows, DatumGetNumeric(value_of(old, old->score)), new, cause);
}

/* --- leads that are closed or opened --- */

static bool
is_closed(struct history_reader *row)
{
	text *status = DatumGetTextPP(value_of(row, row->status));

	return !is_null(row, row->deleted) ||
		   (VARSIZE_ANY_EXHDR(status) == 9 && memcmp(VARDATA_ANY(status), "converted", 9) == 0);
}

/* What the closed ones were engaged by is no longer offered; of the opened ones it is again. */
static void
store_moved(struct moved *moved)
{
	if (moved->count > 0)
		sh_score_store(&moved->org, moved->leads, moved->count);
	moved->count = 0;
}

static void
note_moved(struct moved *moved, struct history_reader *old, struct history_reader *new)
{
	const pg_uuid_t *org = DatumGetUUIDP(value_of(new, new->org));

	if (is_closed(old) == is_closed(new) ||
		(is_null(old, old->engagement) && is_null(new, new->engagement)))
		return;
	if (moved->count > 0 && memcmp(&moved->org, org, UUID_LEN) != 0)
		store_moved(moved);
	if (moved->count == moved->space)
	{
		moved->space = Max(16, moved->space * 2);
		moved->leads = moved->leads ?
						   repalloc_huge(moved->leads, moved->space * sizeof(*moved->leads)) :
						   palloc(moved->space * sizeof(*moved->leads));
	}
	moved->org = *org;
	moved->leads[moved->count++] = datumCopy(value_of(new, new->lead), false, UUID_LEN);
}

/*
 * Old and new rows of an UPDATE stand at the same place in their two stores: the executor
 * appends both when a row was changed.
 */
static void
write_rows(struct sh_rows *rows, TriggerData *trigger, const char *cause)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	bool update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	struct moved moved = { 0 };
	struct history_reader old;
	struct history_reader new;

	open_reader(&new, trigger->tg_newtable, desc);
	if (update)
		open_reader(&old, trigger->tg_oldtable, desc);
	while (next_row(&new))
	{
		if (!update)
		{
			add_row(rows, NULL, &new, cause);
			continue;
		}
		if (!next_row(&old) || !same_value(&old, &new, new.lead))
			elog(ERROR, "the old and new rows of an update do not match");
		add_change(rows, &old, &new, cause);
		note_moved(&moved, &old, &new);
	}
	if (update)
		close_reader(&old);
	close_reader(&new);
	store_moved(&moved);
}

/* AFTER INSERT or UPDATE, for each statement, with transition tables. */
Datum
sh_lead_score_history(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct sh_rows *rows;
	const char *cause = sh_score_cause;

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_newtable ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && !trigger->tg_oldtable))
		elog(ERROR, "saleshub.lead_score_history must be a trigger with transition tables");
	if (!cause)
		cause = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? "updated" : "created";
	rows = sh_rows_open("crm", "score_history", history_names, HISTORY_COLUMNS, false);
	write_rows(rows, trigger, cause);
	sh_rows_close(rows);
	return PointerGetDatum(NULL);
}
