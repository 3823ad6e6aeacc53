/*
 * Custom fields: what an organisation has defined (custom_field.c), the check of the values in
 * the column custom of a record (custom.c, custom_take.c), and the table that makes them
 * searchable and unique (custom_index.c).
 */
#pragma once

#include "nodes/pg_list.h"
#include "predicate.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

enum custom_type
{
	CUSTOM_TEXT,
	CUSTOM_LONG_TEXT,
	CUSTOM_NUMBER,
	CUSTOM_INTEGER,
	CUSTOM_BOOLEAN,
	CUSTOM_DATE,
	CUSTOM_TIMESTAMP,
	CUSTOM_ENUM,
	CUSTOM_MULTI_ENUM,
	CUSTOM_URL,
	CUSTOM_EMAIL,
	CUSTOM_PHONE,
	CUSTOM_REFERENCE,
	CUSTOM_TYPE_COUNT
};

struct custom_option
{
	const char *key;
	bool active;
};

struct custom_field
{
	pg_uuid_t id;
	const char *entity;
	const char *key;
	const char *label;
	enum custom_type type;
	const char *target; /* of a reference: what it names */
	int option_count;
	struct custom_option *options;
	bool required;
	bool is_unique;
	bool indexed;
	bool active;
	Numeric minimum; /* NULL: none */
	Numeric maximum;
	int max_length; /* of a text */
	Jsonb *initial; /* what a new record gets, NULL: nothing */
};

/* The fields of an organisation that are not deleted. */
struct custom_fields
{
	MemoryContext context; /* holds this struct and everything below it */
	int count;
	struct custom_field *fields;
};

/* Why a value does not do. */
struct custom_fault
{
	const char *code;
	char *detail;
};

/* --- custom_field.c --- */

/*
 * What is defined now. Valid until the next call of this function or the end of the current
 * memory context, whichever comes first.
 */
extern const struct custom_fields *sh_custom_fields(const pg_uuid_t *org);
extern const struct custom_field *sh_custom_find(const struct custom_fields *fields,
												 const char *entity, const char *key, int len);
/* What a condition about custom.<key> is about, in the current memory context. */
extern bool sh_custom_subject(const pg_uuid_t *org, const char *entity, const char *name, int len,
							  struct predicate_subject *out);
/* Whether the organisation has defined anything for this kind of record. */
extern bool sh_custom_any(const struct custom_fields *fields, const char *entity);
/* A row of crm.custom_field given as JSON, in the current memory context. */
extern void sh_custom_read(JsonbContainer *row, struct custom_field *out);

/* --- custom.c --- */

/*
 * The column custom as it is to be stored: custom itself when nothing is to be changed. old is
 * what it was, NULL in a new row; only what differs from it is checked. Faults (struct
 * predicate_error) are appended; with faults the result means nothing.
 */
extern Jsonb *sh_custom_check(const char *entity, const pg_uuid_t *org, Jsonb *custom, Jsonb *old,
							  List **faults);
/* Two values are equal; one that is missing (NULL) equals nothing. */
extern bool sh_custom_same(const JsonbValue *a, const JsonbValue *b);

/* --- custom_take.c --- */

/* One value in its normal form; a value of type jbvNull in out means: none. */
extern bool sh_custom_take(const struct custom_field *field, const pg_uuid_t *org,
						   JsonbValue *value, JsonbValue *out, struct custom_fault *fault);

/* A whole JSON text as one value. */
extern void sh_custom_root(Jsonb *jsonb, JsonbValue *out);

/* --- custom_read.c --- */

/* A value that has the form of its type, else false: such a value counts as none. */
extern bool sh_custom_is(const JsonbValue *value, enum predicate_type type);
extern bool sh_custom_number(const JsonbValue *value, Numeric *out);
extern bool sh_custom_date(const JsonbValue *value, DateADT *out);
extern bool sh_custom_time(const JsonbValue *value, TimestampTz *out);
extern bool sh_custom_uuid(const JsonbValue *value, pg_uuid_t *out);
