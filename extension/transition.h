/* The rows that a statement changed, as an AFTER trigger with transition tables has them. */
#pragma once

#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/tuplestore.h"

struct sh_transition
{
	Tuplestorestate *olds; /* NULL: the trigger has none */
	Tuplestorestate *news;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
};

extern void sh_transition_open(struct sh_transition *rows, const TriggerData *trigger);
/*
 * The next row as it was and as it is; NULL what the trigger has no table of. An update's two
 * tables hold the rows in the same order, as the executor appends to both when it changed a row.
 * False after the last row.
 */
extern bool sh_transition_next(struct sh_transition *rows, TupleTableSlot **old,
							   TupleTableSlot **new);
extern void sh_transition_close(struct sh_transition *rows);
/* Whether a column is the same in two rows of one table. */
extern bool sh_transition_same(TupleTableSlot *a, TupleTableSlot *b, AttrNumber column);
