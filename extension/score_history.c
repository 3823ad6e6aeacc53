/* The history of scores: which score a lead got, when and why, one statement at a time. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_lead_score_history);

/* Columns of the rows to write, each an array as long as there are rows. */
enum history_column
{
	HISTORY_ORG,
	HISTORY_LEAD,
	HISTORY_SCORE,
	HISTORY_PREVIOUS,
	HISTORY_GRADE,
	HISTORY_REASONS,
	HISTORY_COLUMNS
};

static const Oid history_types[HISTORY_COLUMNS] = { UUIDOID, UUIDOID, INT4OID,
													INT4OID, TEXTOID, JSONBOID };

struct history
{
	int count;
	int size;
	Datum *values[HISTORY_COLUMNS];
	bool *nulls[HISTORY_COLUMNS];
};

struct history_reader
{
	Tuplestorestate *store;
	TupleTableSlot *slot;
	AttrNumber org;
	AttrNumber lead;
	AttrNumber score;
	AttrNumber grade;
	AttrNumber reasons;
};

static void
open_reader(struct history_reader *reader, Tuplestorestate *store, TupleDesc desc)
{
	reader->store = store;
	reader->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	reader->org = SPI_fnumber(desc, "org_id");
	reader->lead = SPI_fnumber(desc, "lead_id");
	reader->score = SPI_fnumber(desc, "score");
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

/* The value of a column, copied into the current context. */
static Datum
copy_of(struct history_reader *reader, AttrNumber attno, bool *isnull)
{
	Form_pg_attribute att = TupleDescAttr(reader->slot->tts_tupleDescriptor, attno - 1);
	Datum value = slot_getattr(reader->slot, attno, isnull);

	if (*isnull || att->attbyval)
		return value;
	if (att->attlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, att->attbyval, att->attlen);
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

static void
make_room(struct history *history)
{
	if (history->count < history->size)
		return;
	history->size = history->size == 0 ? 64 : history->size * 2;
	for (int i = 0; i < HISTORY_COLUMNS; i++)
	{
		Size values = history->size * sizeof(Datum);

		history->values[i] =
			history->values[i] ? repalloc(history->values[i], values) : palloc(values);
		history->nulls[i] =
			history->nulls[i] ? repalloc(history->nulls[i], history->size) : palloc(history->size);
	}
}

/* Add the lead in new; old is NULL for one just created. */
static void
add_row(struct history *history, struct history_reader *old, struct history_reader *new)
{
	int n = history->count;

	make_room(history);
	history->values[HISTORY_ORG][n] = copy_of(new, new->org, &history->nulls[HISTORY_ORG][n]);
	history->values[HISTORY_LEAD][n] = copy_of(new, new->lead, &history->nulls[HISTORY_LEAD][n]);
	history->values[HISTORY_SCORE][n] = copy_of(new, new->score, &history->nulls[HISTORY_SCORE][n]);
	history->values[HISTORY_GRADE][n] = copy_of(new, new->grade, &history->nulls[HISTORY_GRADE][n]);
	history->values[HISTORY_REASONS][n] =
		copy_of(new, new->reasons, &history->nulls[HISTORY_REASONS][n]);
	history->nulls[HISTORY_PREVIOUS][n] = true;
	history->values[HISTORY_PREVIOUS][n] =
		old ? copy_of(old, old->score, &history->nulls[HISTORY_PREVIOUS][n]) : (Datum) 0;
	history->count++;
}

/*
 * Old and new rows of an UPDATE stand at the same place in their two stores: the executor
 * appends both when a row was changed.
 */
static void
collect(struct history *history, TriggerData *trigger)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);
	bool update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	struct history_reader old;
	struct history_reader new;

	open_reader(&new, trigger->tg_newtable, desc);
	if (update)
		open_reader(&old, trigger->tg_oldtable, desc);
	while (next_row(&new))
	{
		if (!update)
			add_row(history, NULL, &new);
		else if (!next_row(&old) || !same_value(&old, &new, new.lead))
			elog(ERROR, "the old and new rows of an update do not match");
		else if (!same_value(&old, &new, new.score) || !same_value(&old, &new, new.reasons))
			add_row(history, &old, &new);
	}
	if (update)
		close_reader(&old);
	close_reader(&new);
}

static Datum
array_of(const struct history *history, enum history_column column)
{
	int dims[1] = { history->count };
	int lbs[1] = { 1 };
	int16 len;
	bool byval;
	char align;

	get_typlenbyvalalign(history_types[column], &len, &byval, &align);
	return PointerGetDatum(construct_md_array(history->values[column],
											  history->nulls[column],
											  1,
											  dims,
											  lbs,
											  history_types[column],
											  len,
											  byval,
											  align));
}

static void
write_history(const struct history *history, const char *cause)
{
	static const char sql[] =
		"INSERT INTO crm.score_history (org_id, lead_id, score, previous, grade, reasons, cause)"
		" SELECT u.o, u.l, u.s, u.p, u.g, u.r, $7"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		" pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6))"
		" AS u (o, l, s, p, g, r)";
	Oid types[HISTORY_COLUMNS + 1] = { UUIDARRAYOID, UUIDARRAYOID,	INT4ARRAYOID, INT4ARRAYOID,
									   TEXTARRAYOID, JSONBARRAYOID, TEXTOID };
	Datum values[HISTORY_COLUMNS + 1];
	struct sh_identity identity;

	for (int i = 0; i < HISTORY_COLUMNS; i++)
		values[i] = array_of(history, i);
	values[HISTORY_COLUMNS] = CStringGetTextDatum(cause);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, HISTORY_COLUMNS + 1, types), values, NULL, false, 0) !=
		SPI_OK_INSERT)
		elog(ERROR, "could not write the score history");
	SPI_finish();
	sh_owner_leave(&identity);
}

/* AFTER INSERT or UPDATE, for each statement, with transition tables. */
Datum
sh_lead_score_history(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct history history = { 0 };
	const char *cause = sh_score_cause;

	if (!CALLED_AS_TRIGGER(fcinfo) || !trigger->tg_newtable ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && !trigger->tg_oldtable))
		elog(ERROR, "saleshub.lead_score_history must be a trigger with transition tables");
	if (!cause)
		cause = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? "updated" : "created";
	collect(&history, trigger);
	if (history.count > 0)
		write_history(&history, cause);
	return PointerGetDatum(NULL);
}
