/* Routing: who gets the next lead of a pool. */
#pragma once

#include "utils/jsonb.h"
#include "utils/uuid.h"

struct route_member
{
	pg_uuid_t member;
	int weight;
	int64 current;		  /* of smooth weighted round robin */
	int64 last_turn;	  /* turn of the pool at which a lead came last; 0: never */
	const char *excluded; /* why not eligible, NULL when eligible */
	bool assigned;		  /* got a lead since the state was read */
	bool dirty;			  /* differs from the table */
};

/* What was decided and why, apart from who: shared by the log entries of one reading. */
struct route_reason
{
	pg_uuid_t pool;
	char *rule;		   /* name of the pool, NULL when there is none */
	Jsonb *candidates; /* [{member_id, eligible, reason, weight}] */
};

/* The state of the pool that serves an organisation, NULL members when it has none. */
struct route_pool
{
	pg_uuid_t org;
	int64 turn;
	int count;
	struct route_member *members; /* sorted by id */
	const struct route_reason *reason;
	bool dirty;
	bool fresh; /* read by the statement under way */
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
/* The pool of an organisation as this statement keeps it, NULL when it must be read. */
extern struct route_pool *sh_route_kept(const pg_uuid_t *org);
/* Let a pool just read count on from what this transaction did and has not yet written. */
extern void sh_route_carry(struct route_pool *pool);
/* Carry, and keep a copy that is written at commit; the copy. */
extern struct route_pool *sh_route_keep(struct route_pool *pool);
extern void sh_route_note(const struct route_entry *entry);
/* The entries that this (sub)transaction noted. */
extern int sh_route_noted(struct route_entry **entries);
/* A statement ended: forget the entries but the first left ones, and read the pools anew. */
extern void sh_route_logged(int left);

/* route_pool.c: reading and writing the tables */

/* Read the active pool; with its row locked unless it is only looked at. In this context. */
extern struct route_pool *sh_route_read(const pg_uuid_t *org, bool lock);
/* Write the state; also without a snapshot, before a commit. */
extern void sh_route_write(const struct route_pool *pool);
/* Entries that share one reason. */
extern void sh_route_log(const struct route_entry *entries, int count);
/* Why a pool gave a lead to nobody, or to somebody. */
extern const char *sh_route_outcome(const struct route_reason *reason, bool assigned);
