/* Bringing a row into its normal form before it is written, and what is wrong with it. */
#pragma once

#include "access/htup.h"
#include "commands/trigger.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "normal.h"

/* A row that is about to be written. Columns are places in the names given at the start. */
struct check_row
{
	Relation rel;
	const AttrNumber *at;
	HeapTuple old; /* NULL: the row is new */
	HeapTuple tuple;
	Datum *values; /* of all columns of the table */
	bool *nulls;
	bool changed; /* values differ from the tuple */
	pg_uuid_t org;
	JsonbParseState *faults;
	int fault_count;
	bool only_missing; /* all faults are of things that are required */
};

/* The first column must be org_id. */
extern void sh_check_begin(struct check_row *row, FunctionCallInfo fcinfo, const char *const *names,
						   int count);
/* The row to write; refused when there are faults. */
extern HeapTuple sh_check_end(struct check_row *row, const char *noun);

extern bool sh_check_null(const struct check_row *row, int column);
extern struct span sh_check_text(const struct check_row *row, int column);
extern void sh_check_set_text(struct check_row *row, int column, struct span value);
extern void sh_check_set(struct check_row *row, int column, Datum value);
/* The row is new, or this column differs from the old row. */
extern bool sh_check_is_new(const struct check_row *row, int column);
extern pg_uuid_t sh_check_uuid(const struct check_row *row, int column);

/* A conversion, or taking one back, is under way. */
extern bool sh_check_converting(void);

extern void sh_check_fault(struct check_row *row, const char *pointer, const char *code,
						   const char *detail);

/* Normal forms */
extern void sh_check_clean(struct check_row *row, int column);
extern void sh_check_lower(struct check_row *row, int column);
extern void sh_check_tags(struct check_row *row, int column);
/* Custom fields of a kind of record: their normal form, and their faults. */
extern void sh_check_custom(struct check_row *row, int column, const char *entity);

/* Faults */
extern void sh_check_length(struct check_row *row, int column, const char *pointer, int most);
extern void sh_check_email(struct check_row *row, int column);
extern void sh_check_website(struct check_row *row, int column);
/* country: the column that says how to read the number, -1 when there is none. */
extern void sh_check_phone(struct check_row *row, int column, int country);
extern void sh_check_currency(struct check_row *row, int column, int amount);
extern void sh_check_revenue(struct check_row *row, int revenue, int currency, int employees);
extern void sh_check_owner(struct check_row *row, int column);
/* A live company that the caller sees, which is held; false when there is nothing new to check. */
extern bool sh_check_company(struct check_row *row, int column, const char *pointer);
