/* Reading the transition tables of a trigger. */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/rel.h"

#include "transition.h"

static TupleTableSlot *
open_side(Tuplestorestate *table, TupleDesc desc)
{
	if (table)
		tuplestore_rescan(table);
	return MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

void
sh_transition_open(struct sh_transition *rows, const TriggerData *trigger)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);

	rows->olds = trigger->tg_oldtable;
	rows->news = trigger->tg_newtable;
	rows->old_slot = open_side(rows->olds, desc);
	rows->new_slot = open_side(rows->news, desc);
}

static TupleTableSlot *
next_of(Tuplestorestate *table, TupleTableSlot *slot)
{
	return table && tuplestore_gettupleslot(table, true, false, slot) ? slot : NULL;
}

bool
sh_transition_next(struct sh_transition *rows, TupleTableSlot **old, TupleTableSlot **new)
{
	*old = next_of(rows->olds, rows->old_slot);
	*new = next_of(rows->news, rows->new_slot);
	if (rows->olds && rows->news && !*old != !*new)
		elog(ERROR, "the transition tables differ in length");
	return *old || *new;
}

void
sh_transition_close(struct sh_transition *rows)
{
	ExecDropSingleTupleTableSlot(rows->old_slot);
	ExecDropSingleTupleTableSlot(rows->new_slot);
}

bool
sh_transition_same(TupleTableSlot *a, TupleTableSlot *b, AttrNumber column)
{
	Form_pg_attribute att = TupleDescAttr(a->tts_tupleDescriptor, column - 1);
	bool null_a;
	bool null_b;
	Datum value_a = slot_getattr(a, column, &null_a);
	Datum value_b = slot_getattr(b, column, &null_b);

	if (null_a || null_b)
		return null_a == null_b;
	return datum_image_eq(value_a, value_b, att->attbyval, att->attlen);
}
