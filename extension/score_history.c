/*
 * The history of scores: which score a lead got, when and why, one statement at a time; and the
 * events that tell of another grade, in the commit that gave it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "outbox.h"
#include "saleshub.h"
#include "score.h"
#include "transition.h"

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

/* The columns of crm.lead that are asked for. */
enum lead_column
{
	LEAD_ORG,
	LEAD_ID,
	LEAD_SCORE,
	LEAD_ENGAGEMENT,
	LEAD_AS_OF,
	LEAD_GRADE,
	LEAD_REASONS,
	LEAD_STATUS,
	LEAD_DELETED,
	LEAD_VERSION,
	LEAD_COLUMNS
};

static const char *const lead_names[LEAD_COLUMNS] = { "org_id",		   "lead_id",	  "score",
													  "engagement",	   "score_as_of", "grade",
													  "score_reasons", "status",	  "deleted_at",
													  "version" };

struct lead_row
{
	TupleTableSlot *slot;
	AttrNumber at[LEAD_COLUMNS];
};

/* What the history ends with. */
struct latest
{
	bool found;
	Numeric score;
	text *grade;
	TimestampTz at;
};

/* Leads that were closed or opened, of one organisation at a time. */
struct moved
{
	pg_uuid_t org;
	int count;
	int space;
	Datum *leads;
};

static bool
same_value(struct lead_row *a, struct lead_row *b, enum lead_column column)
{
	return sh_transition_same(a->slot, b->slot, a->at[column]);
}

static bool
is_null(struct lead_row *row, enum lead_column column)
{
	bool isnull;

	(void) slot_getattr(row->slot, row->at[column], &isnull);
	return isnull;
}

static Datum
value_of(struct lead_row *row, enum lead_column column)
{
	bool isnull;

	return slot_getattr(row->slot, row->at[column], &isnull);
}

/* When the score is of, which is when it was written unless events count. */
static TimestampTz
instant_of(struct lead_row *row)
{
	if (is_null(row, LEAD_AS_OF))
		return GetCurrentTransactionStartTimestamp();
	return DatumGetTimestampTz(value_of(row, LEAD_AS_OF));
}

/* Add the lead in new; previous is NULL for one just created. */
static void
add_row(struct sh_rows *rows, Numeric previous, struct lead_row *new, const char *cause)
{
	Datum values[HISTORY_COLUMNS] = { 0 };
	bool nulls[HISTORY_COLUMNS] = { false };
	const pg_uuid_t *activity;
	pg_uuid_t id;

	sh_uuid_v7(&id);
	values[HISTORY_ORG] = slot_getattr(new->slot, new->at[LEAD_ORG], &nulls[HISTORY_ORG]);
	values[HISTORY_ID] = UUIDPGetDatum(&id);
	values[HISTORY_LEAD] = slot_getattr(new->slot, new->at[LEAD_ID], &nulls[HISTORY_LEAD]);
	values[HISTORY_SCORE] = slot_getattr(new->slot, new->at[LEAD_SCORE], &nulls[HISTORY_SCORE]);
	nulls[HISTORY_PREVIOUS] = !previous;
	if (previous)
		values[HISTORY_PREVIOUS] = NumericGetDatum(previous);
	values[HISTORY_GRADE] = slot_getattr(new->slot, new->at[LEAD_GRADE], &nulls[HISTORY_GRADE]);
	values[HISTORY_REASONS] =
		slot_getattr(new->slot, new->at[LEAD_REASONS], &nulls[HISTORY_REASONS]);
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
read_latest(struct lead_row *row, struct latest *out)
{
	static const char sql[] = "SELECT h.score, h.grade, h.at FROM crm.score_history AS h"
							  " WHERE h.org_id OPERATOR(pg_catalog.=) $1"
							  " AND h.lead_id OPERATOR(pg_catalog.=) $2"
							  " ORDER BY h.score_history_id DESC LIMIT 1";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { value_of(row, LEAD_ORG), value_of(row, LEAD_ID) };
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
		out->at = DatumGetTimestampTz(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 3, &isnull));
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
}

static bool
same_grade(struct lead_row *row, const text *grade)
{
	text *now = is_null(row, LEAD_GRADE) ? NULL : DatumGetTextPP(value_of(row, LEAD_GRADE));

	if (!now || !grade)
		return !now && !grade;
	return VARSIZE_ANY_EXHDR(now) == VARSIZE_ANY_EXHDR(grade) &&
		   memcmp(VARDATA_ANY(now), VARDATA_ANY(grade), VARSIZE_ANY_EXHDR(now)) == 0;
}

/*
 * The score of a lead with events moves all the time: it is remembered when the grade changes or
 * when it is far enough from what was remembered last. What is remembered of an instant is the
 * score at its end: steps in between that nobody saw do not stand for it.
 */
static void
add_moving(struct sh_rows *rows, struct lead_row *old, struct lead_row *new, const char *cause)
{
	int64 delta = sh_score_rules(DatumGetUUIDP(value_of(new, LEAD_ORG)), true)->delta;
	int64 now = sh_score_milli(DatumGetNumeric(value_of(new, LEAD_SCORE)));
	struct latest latest;
	int64 moved;

	read_latest(new, &latest);
	if (!latest.found)
	{
		add_row(rows, DatumGetNumeric(value_of(old, LEAD_SCORE)), new, cause);
		return;
	}
	moved = now - sh_score_milli(latest.score);
	if (latest.at == instant_of(new))
		delta = 0;
	if (!same_grade(new, latest.grade) || Abs(moved) >= Max(delta, 1))
		add_row(rows, latest.score, new, cause);
}

static void
add_change(struct sh_rows *rows, struct lead_row *old, struct lead_row *new, const char *cause)
{
	if (same_value(old, new, LEAD_SCORE) && same_value(old, new, LEAD_REASONS) &&
		same_value(old, new, LEAD_GRADE))
		return;
	if (!is_null(old, LEAD_ENGAGEMENT) || !is_null(new, LEAD_ENGAGEMENT))
		add_moving(rows, old, new, cause);
	else
		add_row(rows, DatumGetNumeric(value_of(old, LEAD_SCORE)), new, cause);
}

/* --- events --- */

/*
 * Scores and grades may be hidden from some who are told of a lead: the event says that there is
 * another grade and why, and who may see it reads it.
 */
static void
begin_telling(struct sh_outbox *told, const char *cause)
{
	Datum changed = CStringGetTextDatum("grade");
	JsonbParseState *state = NULL;

	sh_outbox_begin(told, "lead");
	told->values[OUTBOX_TYPE] = CStringGetTextDatum("lead.graded");
	told->values[OUTBOX_CHANGED] =
		PointerGetDatum(construct_array(&changed, 1, TEXTOID, -1, false, TYPALIGN_INT));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&state, "cause", cause);
	told->values[OUTBOX_DATA] =
		JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	told->nulls[OUTBOX_DATA] = false;
}

static void
tell_grade(struct sh_outbox *told, struct lead_row *old, struct lead_row *new, const char *cause)
{
	if (same_value(old, new, LEAD_GRADE))
		return;
	if (!told->rows)
		begin_telling(told, cause);
	told->values[OUTBOX_ORG] = value_of(new, LEAD_ORG);
	told->values[OUTBOX_ENTITY_ID] = value_of(new, LEAD_ID);
	told->values[OUTBOX_VERSION] = value_of(new, LEAD_VERSION);
	sh_outbox_add(told, told->values, told->nulls);
}

/* --- leads that are closed or opened --- */

static bool
is_closed(struct lead_row *row)
{
	return sh_score_is_closed(
		value_of(row, LEAD_STATUS), is_null(row, LEAD_STATUS), !is_null(row, LEAD_DELETED));
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
note_moved(struct moved *moved, struct lead_row *old, struct lead_row *new)
{
	const pg_uuid_t *org = DatumGetUUIDP(value_of(new, LEAD_ORG));

	if (is_closed(old) == is_closed(new) ||
		(is_null(old, LEAD_ENGAGEMENT) && is_null(new, LEAD_ENGAGEMENT)))
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
	moved->leads[moved->count++] = datumCopy(value_of(new, LEAD_ID), false, UUID_LEN);
}

static void
write_rows(struct sh_rows *to, const TriggerData *trigger, const char *cause)
{
	struct moved moved = { 0 };
	struct sh_outbox told = { 0 };
	struct sh_transition rows;
	struct lead_row old;
	struct lead_row new;

	memcpy(
		old.at, sh_columns_needed(trigger->tg_relation, lead_names, LEAD_COLUMNS), sizeof(old.at));
	memcpy(new.at, old.at, sizeof(new.at));
	sh_transition_open(&rows, trigger);
	while (sh_transition_next(&rows, &old.slot, &new.slot))
	{
		if (!old.slot)
		{
			add_row(to, NULL, &new, cause);
			continue;
		}
		if (!same_value(&old, &new, LEAD_ID))
			elog(ERROR, "the old and new rows of an update do not match");
		add_change(to, &old, &new, cause);
		tell_grade(&told, &old, &new, cause);
		note_moved(&moved, &old, &new);
	}
	sh_transition_close(&rows);
	sh_outbox_end(&told);
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
