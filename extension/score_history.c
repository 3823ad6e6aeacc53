/* The history of scores: which score a lead got, when and why, one statement at a time. */
#include "postgres.h"

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
	HISTORY_AT,
	HISTORY_COLUMNS
};

static const char *const history_names[HISTORY_COLUMNS] = {
	"org_id", "score_history_id", "lead_id", "score", "previous", "grade", "reasons", "cause", "at"
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

/* Add the lead in new; old is NULL for one just created. */
static void
add_row(struct sh_rows *rows, struct history_reader *old, struct history_reader *new,
		const char *cause)
{
	Datum values[HISTORY_COLUMNS] = { 0 };
	bool nulls[HISTORY_COLUMNS] = { false };
	pg_uuid_t id;

	sh_uuid_v7(&id);
	values[HISTORY_ORG] = slot_getattr(new->slot, new->org, &nulls[HISTORY_ORG]);
	values[HISTORY_ID] = UUIDPGetDatum(&id);
	values[HISTORY_LEAD] = slot_getattr(new->slot, new->lead, &nulls[HISTORY_LEAD]);
	values[HISTORY_SCORE] = slot_getattr(new->slot, new->score, &nulls[HISTORY_SCORE]);
	nulls[HISTORY_PREVIOUS] = true;
	if (old)
		values[HISTORY_PREVIOUS] = slot_getattr(old->slot, old->score, &nulls[HISTORY_PREVIOUS]);
	values[HISTORY_GRADE] = slot_getattr(new->slot, new->grade, &nulls[HISTORY_GRADE]);
	values[HISTORY_REASONS] = slot_getattr(new->slot, new->reasons, &nulls[HISTORY_REASONS]);
	if (!nulls[HISTORY_REASONS])
		values[HISTORY_REASONS] = PointerGetDatum(PG_DETOAST_DATUM(values[HISTORY_REASONS]));
	values[HISTORY_CAUSE] = PointerGetDatum(cstring_to_text(cause));
	values[HISTORY_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	sh_rows_add(rows, values, nulls);
	pfree(DatumGetPointer(values[HISTORY_CAUSE]));
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
	struct history_reader old;
	struct history_reader new;

	open_reader(&new, trigger->tg_newtable, desc);
	if (update)
		open_reader(&old, trigger->tg_oldtable, desc);
	while (next_row(&new))
	{
		if (!update)
			add_row(rows, NULL, &new, cause);
		else if (!next_row(&old) || !same_value(&old, &new, new.lead))
			elog(ERROR, "the old and new rows of an update do not match");
		else if (!same_value(&old, &new, new.score) || !same_value(&old, &new, new.reasons))
			add_row(rows, &old, &new, cause);
	}
	if (update)
		close_reader(&old);
	close_reader(&new);
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
