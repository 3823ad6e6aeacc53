/*
 * Conditions over the fields of a record: the one grammar of lists, saved filters, segments and
 * scoring rules. What the fields are is a catalogue; a tree is evaluated in memory over a lead
 * (predicate.c) or written as SQL (filter.c), which agree.
 */
#pragma once

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

enum predicate_field
{
	FIELD_FIRST_NAME,
	FIELD_LAST_NAME,
	FIELD_EMAIL,
	FIELD_PHONE,
	FIELD_COMPANY_NAME,
	FIELD_TITLE,
	FIELD_WEBSITE,
	FIELD_SOURCE,
	FIELD_STATUS,
	FIELD_COUNTRY,
	FIELD_STATE,
	FIELD_POSTAL_CODE,
	FIELD_CITY,
	FIELD_INDUSTRY,
	FIELD_EMPLOYEES,
	FIELD_ANNUAL_REVENUE,
	FIELD_ANNUAL_REVENUE_CURRENCY,
	FIELD_TAGS,
	FIELD_CONSENT_EMAIL,
	FIELD_CONSENT_PHONE,
	FIELD_LEAD_COUNT,
	/* Of an activity. */
	FIELD_EVENT_TYPE = FIELD_LEAD_COUNT,
	FIELD_EVENT_OUTCOME,
	FIELD_EVENT_DIRECTION,
	FIELD_EVENT_SUBJECT,
	FIELD_EVENT_DURATION,
	FIELD_COUNT
};

enum predicate_type
{
	TYPE_TEXT,
	TYPE_EMAIL,
	TYPE_ENUM,
	TYPE_INTEGER,
	TYPE_NUMERIC,
	TYPE_BOOLEAN,
	TYPE_UUID,
	TYPE_DATE,
	TYPE_TIMESTAMP,
	TYPE_TAGS
};

/* Operators, then the three ways to combine. */
enum predicate_op
{
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_IN,
	OP_NOT_IN,
	OP_CONTAINS,
	OP_STARTS_WITH,
	OP_IS_NULL,
	OP_NOT_NULL,
	OP_MATCHES_DOMAIN,
	OP_LEAF_COUNT,
	OP_AND = OP_LEAF_COUNT,
	OP_OR,
	OP_NOT
};

/* What a condition is about. */
struct predicate_subject
{
	const char *name;
	enum predicate_type type;
	enum predicate_field field; /* of a lead in memory, unless it is a custom one */
	const char *custom;			/* the key of a custom field of a lead in memory, or NULL */
	bool linked;				/* ids in a table beside it, which may be many or none */
	JsonbContainer *allowed;	/* of an enum: the array of its values */
	JsonbContainer *meta;		/* of a filter: how SQL reaches it */
};

/* The fields that conditions may name. */
struct predicate_catalogue
{
	/* Fill in the subject of that name; false: there is none. */
	bool (*find)(const struct predicate_catalogue *self, const char *name, int len,
				 struct predicate_subject *out);
	JsonbContainer *fields;
	const pg_uuid_t *org; /* of leads in memory, for custom fields; NULL: none */
	bool in_memory;		  /* so that nothing depends on when it is asked, and by whom */
};

/* Text in one letter case, not terminated; data NULL until it is asked for. */
struct predicate_text
{
	const char *data;
	int len;
};

/* The values of one lead or activity. Zero folded before the first use; it fills itself. */
struct predicate_row
{
	Datum values[FIELD_COUNT];
	bool nulls[FIELD_COUNT];
	struct predicate_text folded[FIELD_COUNT];
	Datum custom; /* the column, a jsonb */
	bool custom_null;
	Jsonb *custom_read; /* the same for reading, NULL until it is asked for */
};

/* What is wrong with a predicate; pointer is a JSON pointer from its root. */
struct predicate_error
{
	char *pointer;
	const char *code;
	char *detail;
};

enum domain_kind
{
	DOMAIN_FREE,
	DOMAIN_BUSINESS,
	DOMAIN_NAMED
};

/* A value to compare with; which member counts follows from the type of the field. */
struct predicate_constant
{
	struct predicate_text text;
	int64 integer; /* also of a date or an instant that is not relative */
	Datum numeric;
	bool truth;
	bool relative; /* the text is date math or "me", known only when it is evaluated */
	enum domain_kind domain;
};

struct predicate
{
	enum predicate_op op;
	struct predicate_subject subject; /* unless and, or, not */
	int count;						  /* of parts for and, or, not; else of constants */
	struct predicate **parts;
	struct predicate_constant *constants;
};

/* The column of a field, and what it holds. */
extern const char *sh_predicate_column(enum predicate_field field);
extern enum predicate_type sh_predicate_type(enum predicate_field field);
/* Find a field of a lead that conditions are evaluated over in memory. */
extern bool sh_predicate_find_lead(const struct predicate_catalogue *self, const char *name,
								   int len, struct predicate_subject *out);
/* The same of an activity. */
extern bool sh_predicate_find_event(const struct predicate_catalogue *self, const char *name,
									int len, struct predicate_subject *out);
/* Lower case, in the current memory context. */
extern struct predicate_text sh_predicate_fold(const char *data, int len);
/*
 * The tree over a lead of an organisation (NULL: without custom fields) ready to be evaluated, in
 * the current memory context. Faults are appended to errors (struct predicate_error); the result
 * is NULL when there are any.
 */
extern struct predicate *sh_predicate_compile(const pg_uuid_t *org, JsonbValue *json,
											  List **errors);
/* The same over an activity. */
extern struct predicate *sh_predicate_compile_event(JsonbValue *json, List **errors);
/* The same over the fields of a catalogue. */
extern struct predicate *sh_predicate_compile_over(const struct predicate_catalogue *catalogue,
												   JsonbValue *json, List **errors);
/* Append faults as a JSON array of {pointer, code, detail}. */
extern JsonbValue *sh_predicate_push_errors(JsonbParseState **state, const List *errors);
/* One value of a condition, checked; else code and detail say why not. */
extern bool sh_predicate_constant(const struct predicate_subject *subject, enum predicate_op op,
								  JsonbValue *json, struct predicate_constant *out,
								  const char **code, char **detail);
extern bool sh_predicate_true(const struct predicate *predicate, struct predicate_row *row);
/* The part of an address behind the last @ is of the wanted kind, or lies at or below a name. */
extern bool sh_predicate_domain(const struct predicate_text *email,
								const struct predicate_constant *wanted);
/* Which domains a text names; folded. */
extern enum domain_kind sh_predicate_domain_kind(const struct predicate_text *name);
/* A day that exists, as 2026-12-31; an instant, as 2026-12-31T23:59:00Z. */
extern bool sh_predicate_is_date(const char *value);
extern bool sh_predicate_is_time(const char *value);
extern bool sh_predicate_has_tag(Datum tags, const struct predicate_text *wanted);
