/* Scoring: the rules of an organisation and what they say of one lead. */
#pragma once

#include "access/htup.h"
#include "access/tupdesc.h"
#include "predicate.h"
#include "utils/uuid.h"

#define SCORE_MAX 100

struct score_rule
{
	char *label;
	int points;
	struct predicate *predicate;
};

/* The active rules of an organisation in their order. */
struct score_rules
{
	MemoryContext context; /* holds this struct and everything below it */
	int count;
	struct score_rule *rules;
};

struct score
{
	int points;		/* 0 to SCORE_MAX */
	char grade;		/* A to E */
	Jsonb *reasons; /* [{label, points}], summing up to the points */
};

/* Pure arithmetic; in the current memory context. */
extern void sh_score(const struct score_rules *rules, struct predicate_row *row, struct score *out);

/* The values of a row of crm.lead; relid InvalidOid when the row type has no relation. */
extern void sh_score_row(Oid relid, TupleDesc desc, HeapTuple tuple, struct predicate_row *out);

/* Why scores are being written, for the history; NULL: the lead itself was written. */
extern const char *sh_score_cause;
/*
 * Share the lock on an organisation's rules until the transaction ends. For those who lock a lead
 * before they write it: this lock comes first.
 */
extern void sh_score_share_rules(const pg_uuid_t *org);
