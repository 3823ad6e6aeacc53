/* Conditions over the columns of a lead, as scoring rules state them. */
#pragma once

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

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
	FIELD_CITY,
	FIELD_INDUSTRY,
	FIELD_EMPLOYEES,
	FIELD_ANNUAL_REVENUE,
	FIELD_ANNUAL_REVENUE_CURRENCY,
	FIELD_TAGS,
	FIELD_CONSENT_EMAIL,
	FIELD_CONSENT_PHONE,
	FIELD_COUNT
};

enum predicate_type
{
	TYPE_TEXT,
	TYPE_EMAIL,
	TYPE_INTEGER,
	TYPE_NUMERIC,
	TYPE_BOOLEAN,
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

/* Text in one letter case, not terminated; data NULL until it is asked for. */
struct predicate_text
{
	const char *data;
	int len;
};

/* The values of one lead. Zero folded before the first use; it fills itself. */
struct predicate_row
{
	Datum values[FIELD_COUNT];
	bool nulls[FIELD_COUNT];
	struct predicate_text folded[FIELD_COUNT];
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
	int64 integer;
	Datum numeric;
	bool truth;
	enum domain_kind domain;
};

struct predicate
{
	enum predicate_op op;
	enum predicate_field field;
	int count; /* of parts for and, or, not; else of constants */
	struct predicate **parts;
	struct predicate_constant *constants;
};

/* The column of a field, and what it holds. */
extern const char *sh_predicate_column(enum predicate_field field);
extern enum predicate_type sh_predicate_type(enum predicate_field field);
/* Lower case, in the current memory context. */
extern struct predicate_text sh_predicate_fold(const char *data, int len);
/*
 * The tree ready to be evaluated, in the current memory context. Faults are appended to errors
 * (struct predicate_error); the result is NULL when there are any.
 */
extern struct predicate *sh_predicate_compile(JsonbValue *json, List **errors);
extern bool sh_predicate_true(const struct predicate *predicate, struct predicate_row *row);
