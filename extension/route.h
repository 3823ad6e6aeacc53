/* Routing: who gets the next lead of a pool. */
#pragma once

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "predicate.h"

/* Grades A to E, and none: what a lead weighs where capacity is in points. */
#define ROUTE_GRADES 6

enum route_method
{
	ROUTE_WEIGHTED_ROUND_ROBIN,
	ROUTE_LEAST_RECENTLY_ASSIGNED,
	ROUTE_LOAD_BALANCE
};

struct route_member
{
	pg_uuid_t member;
	int weight;
	int64 current;		  /* of smooth weighted round robin */
	int64 last_turn;	  /* turn of the pool at which a lead came last; 0: never */
	TimestampTz last_at;  /* when a lead came last from any pool; 0: never */
	const char *excluded; /* why not eligible for any lead, NULL when eligible */
	const char *blocked;  /* why not for the lead at hand */
	const char *shown;	  /* of the two, what the reason of the pool says */
	char *skills;		  /* each between two bars, NULL when there are none */
	bool territorial;	  /* has territories, so serves no other places */
	int territory;		  /* how closely a territory fits the lead: 0 none named, -1 outside */
	int64 capacity;		  /* open leads at most, or points of them; -1: no limit */
	int64 load;			  /* open leads or their points, counted up to the capacity */
	bool in_points;		  /* whether leads weigh as much as their grade says */
	int points[ROUTE_GRADES];
	int64 quota;		  /* leads a day at most; -1: no limit */
	int64 today;		  /* leads given today */
	TimestampTz opens_at; /* when working hours begin; 0: now */
	bool assigned;		  /* got a lead since the state was read */
	bool dirty;			  /* differs from the table */
};

/* What was decided and why, apart from who: shared by the log entries of one reading. */
struct route_reason
{
	bool pooled;
	pg_uuid_t pool;
	bool ruled; /* by a rule */
	pg_uuid_t rule_id;
	const char *rule;	/* name of the rule, else of the pool; NULL when there is none */
	const char *chosen; /* why the one who was chosen */
	Jsonb *candidates;	/* [{member_id, eligible, reason, weight}] */
};

/* A pool of an organisation, and once loaded its members. */
struct route_pool
{
	pg_uuid_t org;
	pg_uuid_t id;
	char *name;
	int position;
	enum route_method method;
	bool next_open; /* outside working hours who opens next gets it */
	int64 turn;
	int grade; /* of the lead at hand */
	int count;
	struct route_member *members;	   /* sorted by id */
	const struct route_reason *reason; /* of the last lead, NULL when it cannot serve again */
	bool loaded;					   /* members are read by the statement under way */
	bool dirty;
	bool fresh; /* the pool itself is read by the statement under way */
	bool apart; /* not the pool's state but that of a part of an import */
	pg_uuid_t import;
	int part;
	int series; /* of rounds among the same members with the same weights */
};

/* What routing asks of a lead. */
struct route_lead
{
	pg_uuid_t org;
	pg_uuid_t lead;
	struct predicate_row row;
	int grade;				 /* 0 A to 4 E, 5 none */
	const pg_uuid_t *others; /* who must not get it, given by the caller */
	int other_count;
};

/* Which pool gets a lead, and what its members must be able to do. */
struct route_rule
{
	pg_uuid_t id;
	char *name;
	struct predicate *predicate;
	pg_uuid_t pool;
	char **skills; /* each between two bars */
	int skill_count;
};

/* A lead that was routed by a statement under way. */
struct route_entry
{
	pg_uuid_t org;
	pg_uuid_t lead;
	pg_uuid_t member;
	bool assigned;
	const struct route_reason *reason;
};

/* route.c: arithmetic, and the state that a transaction writes when it commits */

/* The member whose turn it is, having taken it; -1 when nobody is eligible. */
extern int sh_route_pick(struct route_pool *pool);
/*
 * The pool of an organisation as this statement keeps it, or as a part of an import does, the first
 * one in order when id is NULL; NULL when there is none or the pools must be read.
 */
extern struct route_pool *sh_route_kept(const pg_uuid_t *org, const pg_uuid_t *id, bool apart);
/* Write what a part of an import kept, and keep it no longer. */
extern void sh_route_leave_part(void);
/* What a lead of this grade takes of the capacity of a member. */
extern int sh_route_cost(const struct route_member *member, int grade);
/*
 * A member got a lead of this grade by this pool or none: it counts towards capacity and quota in
 * all others.
 */
extern void sh_route_given(const pg_uuid_t *org, const pg_uuid_t *member, int grade,
						   const struct route_pool *by);
/* Let a pool just read count on from what this transaction did and has not yet written. */
extern void sh_route_carry(struct route_pool *pool);
/* Carry, unless it is a part's, and keep a copy that is written at commit; the copy. */
extern struct route_pool *sh_route_keep(const struct route_pool *pool);
/* The same reason as long as the transaction keeps anything. */
extern const struct route_reason *sh_route_intern(const struct route_reason *reason);
/* Grows whenever what a statement has read must be read anew. */
extern uint64 sh_route_reading(void);
extern void sh_route_note(const struct route_entry *entry);
/* The entries that this (sub)transaction noted. */
extern int sh_route_noted(struct route_entry **entries);
/* A statement ended: forget the entries but the first left ones, and read the pools anew. */
extern void sh_route_logged(int left);

/* route_pool.c: reading and writing the tables */

/* The active pools without members, in order of their ids and locked unless only looked at. */
extern struct route_pool *sh_route_read(const pg_uuid_t *org, bool lock, int *count);
/* Read the members of a pool into the current context. */
extern void sh_route_load(struct route_pool *pool);
/* Write the state; also without a snapshot, before a commit. */
extern void sh_route_write(const struct route_pool *pool);
/* The state in the locked row of the pool, as this transaction will write it; NULL: not active. */
extern struct route_pool *sh_route_locked(const pg_uuid_t *org, const pg_uuid_t *id);
/* Entries that share one reason. */
extern void sh_route_log(const struct route_entry *entries, int count);
/* Put new leads that went to nobody, and share one reason, into the queue. */
extern void sh_route_queue(const struct route_entry *entries, int count);
/* Why a lead went to nobody, or to somebody. */
extern const char *sh_route_outcome(const struct route_reason *reason, bool assigned);

/* route_rule.c: which pool, and who of it */

/* The first rule that fits, NULL when none does; valid for this statement. */
extern const struct route_rule *sh_route_rule(struct route_lead *lead);
/* Say of each member whether the lead may go to it, and why not. */
extern void sh_route_block(struct route_pool *pool, const struct route_rule *rule,
						   const struct route_lead *lead);
/* The owner of what is open at the lead's company, false when there is none that can work. */
extern bool sh_route_sticky(const struct route_lead *lead, pg_uuid_t *member,
							struct route_reason *reason);

/* route_part.c: turns that the parts of an import take without waiting for each other */

/*
 * The pool, to take a turn of the part of an import that this transaction is at, which needs no
 * lock; NULL when there is none, or when the turn depends on more than whose it is.
 */
extern struct route_pool *sh_route_part_pool(const pg_uuid_t *org, const pg_uuid_t *id);
/* Whether the lead at hand may go to everybody who shares in such a pool. */
extern bool sh_route_part_open(const struct route_pool *pool);
extern void sh_route_part_write(const struct route_pool *pool);
