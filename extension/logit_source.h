/* Rows of any table as columns of numbers and words, for training. */
#pragma once

#include "nodes/pg_list.h"

/* A feature or the outcome as it was read. */
struct logit_column
{
	char *name;
	bool words;		/* else numbers */
	float *numbers; /* NAN: missing */
	uint32 *ids;	/* of words, from 1; 0: missing */
	char **names;	/* of the ids */
	int nnames;
	struct logit_words *lookup;
};

struct logit_source
{
	int rows;
	int64 seen; /* rows of the table that have an outcome */
	int columns;
	struct logit_column *column;
	uint8 *outcome;
};

/*
 * Reads a table under the caller's rights: features (names, NIL: all columns that can be) and the
 * outcome, a boolean or 0 and 1; rows without one are left out. Of more than max_rows a random
 * sample that is the same for the same seed. Tables without row security are scanned directly
 * after their privileges were checked; others through a query. In the current memory context.
 * Errors: 42501, 42703 unknown column, 42804 a type that cannot be used, 22023 an outcome that is
 * neither 0 nor 1.
 */
extern struct logit_source *sh_logit_read(Oid table, const char *label, List *features,
										  int max_rows, uint64 seed);
