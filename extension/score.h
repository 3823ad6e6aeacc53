/*
 * Scoring: the rules of an organisation and what they say of one lead. Points are counted in
 * thousandths wherever a name says milli.
 */
#pragma once

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "predicate.h"
#include "utils/uuid.h"

#define SCORE_TIERS 4
/* Columns of an activity that rules may ask for. */
#define SCORE_EVENT_FIELDS (FIELD_COUNT - FIELD_LEAD_COUNT)

struct score_group
{
	pg_uuid_t id; /* all zero: of rules without a group */
	char *name;	  /* NULL: the same */
	bool engagement;
	int64 cap; /* milli; negative: none */
};

struct score_rule
{
	char *label;
	int points;
	int group; /* index */
	struct predicate *predicate;
	bool per_event;
	/* The rest of rules per event only; times in hours. */
	int max_n;		 /* 0: all count */
	int64 window;	 /* 0: max_n is of all time */
	int64 half_life; /* 0: no decay */
};

/* What a score must reach for each of the best grades, best first. */
struct score_tiers
{
	int count;
	int64 from[SCORE_TIERS]; /* milli */
};

/* From which instant, in whole half-lives since 2000, stored amounts are counted. */
struct score_epoch
{
	int64 half_life;
	int64 epoch;
};

/* One version of the rules of an organisation: the active ones in their order. */
struct score_rules
{
	MemoryContext context; /* holds this struct and everything below it */
	int version;		   /* 0: there never were any */
	TimestampTz since;
	int count;
	struct score_rule *rules;
	int group_count;
	struct score_group *groups;
	bool has_events; /* some rule is per event */
	int64 cap;		 /* milli */
	int64 delta;	 /* milli; what a score must move by to be remembered */
	struct score_tiers fit;
	struct score_tiers engagement;
	int epoch_count;
	struct score_epoch *epochs;
};

/* An activity that happened. */
struct score_event
{
	pg_uuid_t activity;
	TimestampTz at;
	Datum values[SCORE_EVENT_FIELDS];
	bool nulls[SCORE_EVENT_FIELDS];
};

/* The events of one lead, in the order of at, then activity. */
struct score_events
{
	pg_uuid_t lead; /* key of a table of these */
	pg_uuid_t cause;
	int count;
	int space;
	struct score_event *events;
};

/*
 * What the rules of one group and half-life h add up to: sum(points * 2^(t/h)) over their events,
 * as value * 2^reference with t counted in half-lives since 2000. So the number knows no present,
 * and of two leads the one with the larger amount has the larger value at every instant.
 */
struct score_amount
{
	int group;
	int64 half_life;
	double value;
	int64 reference;
};

struct score
{
	int64 points; /* these three milli */
	int64 fit;
	int64 engagement;
	bool engaged; /* some event counts */
	char grade[4];
	Jsonb *reasons; /* [{label, points, …}], summing up to the points */
	int amount_count;
	struct score_amount *amounts;
};

/* Arithmetic; in the current memory context. events NULL: none; at counts with events only. */
extern void sh_score(const struct score_rules *rules, struct predicate_row *row,
					 const struct score_events *events, TimestampTz at, struct score *out);
/* Thousandths as a number without needless zeros, and the other way round. */
extern Numeric sh_score_numeric(int64 milli);
extern int64 sh_score_milli(Numeric points);
/* Thousandths as a member of an object under construction. */
extern void sh_score_push(JsonbParseState **state, const char *key, int64 milli);
/* The amount as it is stored: counted from the epoch of its half-life. */
extern double sh_score_stored(const struct score_rules *rules, const struct score_amount *amount);

/* What value * 2^reference is worth at an instant, in points. */
extern double sh_score_points_at(double value, int64 reference, int64 half_life, TimestampTz at);

/* score_rule.c */

/*
 * The rules that hold for a lead written now, under a shared lock that keeps them until the
 * transaction ends; for a reader (locked false) those of its snapshot or younger ones. They live
 * in a cache, or in the current context where it may not keep them.
 */
extern const struct score_rules *sh_score_rules(const pg_uuid_t *org, bool locked);
/* Read them past the cache; a context of its own below the current one. */
extern struct score_rules *sh_score_read_rules(const pg_uuid_t *org);
/* Compile a definition (saleshub.score_definition) in the current context. */
extern void sh_score_compile(const pg_uuid_t *org, Jsonb *definition, struct score_rules *out);
/* Let sh_score_rules answer these for the organisation until NULL is given. */
extern void sh_score_pin_rules(const struct score_rules *rules, const pg_uuid_t *org);
extern bool sh_score_rules_pinned(void);
/*
 * Share the lock on an organisation's rules until the transaction ends. For those who lock a lead
 * before they write it: this lock comes first.
 */
extern void sh_score_share_rules(const pg_uuid_t *org);
extern void sh_score_lock_rules_alone(const pg_uuid_t *org);

/* score_lead.c */

/* Where the columns of crm.lead are. */
struct score_columns
{
	AttrNumber org;
	AttrNumber lead;
	AttrNumber status;
	AttrNumber deleted;
	AttrNumber score;
	AttrNumber fit;
	AttrNumber engagement;
	AttrNumber as_of;
	AttrNumber grade;
	AttrNumber reasons;
	AttrNumber custom;
	AttrNumber fields[FIELD_LEAD_COUNT];
};

extern const struct score_columns *sh_score_columns(Oid relid, TupleDesc desc);
/*
 * Converted or in the bin: the score stays what it was, whatever happens around the lead. status is
 * a text.
 */
extern bool sh_score_is_closed(Datum status, bool status_null, bool deleted);
/* The values of a row of crm.lead; relid InvalidOid when the row type has no relation. */
extern void sh_score_row(Oid relid, TupleDesc desc, HeapTuple tuple, struct predicate_row *out);
/*
 * What a change to these rules would make of the score of an open lead, a row of crm.lead; false:
 * it would leave it alone.
 */
extern bool sh_score_would(const struct score_rules *rules, TupleDesc desc, HeapTuple tuple,
						   const struct score_events *events, struct score *out);
/* A row of crm.lead given as a record; release the descriptor when done. */
extern const struct score_columns *sh_score_argument(HeapTupleHeader header, HeapTupleData *tuple,
													 TupleDesc *desc);

/* score_event.c */

/* A table of struct score_events of these leads, as of an instant or (NULL) now; in the current
 * memory context. */
extern HTAB *sh_score_load_events(const pg_uuid_t *org, const Datum *leads, int count,
								  const TimestampTz *as_of, bool read_only);
/* The events of a lead: of those that are pinned, else read now. NULL: none. */
extern const struct score_events *sh_score_events(const pg_uuid_t *org, const pg_uuid_t *lead);
/* Let sh_score_events answer from this table, whatever it lacks, until NULL is given. */
extern void sh_score_pin_events(HTAB *events);
/*
 * Score those of these leads that are open by their events; activities: what caused it for each,
 * or NULL. Their rows are locked first, in the order of their ids.
 */
extern void sh_score_leads(const pg_uuid_t *org, const Datum *leads, const Datum *activities,
						   int count, const char *cause);
/* Bring the stored amounts of these leads to what their events say, or to none if closed. */
extern void sh_score_store(const pg_uuid_t *org, const Datum *leads, int count);
/* The ids that a query of the owner's names, a text like those of sh_plan; in the current context.
 */
extern Datum *sh_score_ids(const char *sql, int nargs, const Oid *types, Datum *values, int *count);
/* The activity that the score of a lead is being written for, or NULL. */
extern const pg_uuid_t *sh_score_cause_of(const pg_uuid_t *lead);

/* Why scores are being written, for the history; NULL: the lead itself was written. */
extern const char *sh_score_cause;
