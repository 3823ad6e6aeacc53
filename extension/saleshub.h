/* What the files of the extension share: settings, SQLSTATEs, prototypes by file. */
#pragma once

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

/* SQLSTATEs of class SH. Codes SH4xx carry their HTTP status. */
#define SH_ALREADY_CONVERTED MAKE_SQLSTATE('S', 'H', '0', '0', '1')
#define SH_AMBIGUOUS MAKE_SQLSTATE('S', 'H', '0', '0', '2')
#define SH_LEAD_CONVERTED MAKE_SQLSTATE('S', 'H', '0', '0', '3')
#define SH_VERSION_MISMATCH MAKE_SQLSTATE('S', 'H', '4', '1', '2')

/* A place in the order of commits: which shared memory, and how far it had counted. */
struct sh_stamp
{
	uint64 boot;
	uint64 asof;
};

/* Who we were before sh_owner_enter. */
struct sh_identity
{
	Oid user;
	int sec;
};

/* Settings */
extern char *sh_databases;
extern int sh_cache_slots;
extern int sh_import_workers;

/* context.c: whose request this is */

/* The organisation of the request, false when none is set. */
extern bool sh_context_org(pg_uuid_t *org);
/* The acting member, false when none is set (SQL by a superuser, the worker). */
extern bool sh_context_member(pg_uuid_t *member);
/* The request id or NULL; valid until the setting changes. */
extern const char *sh_context_request(void);
extern void sh_context_init(void);
/*
 * Run what follows as role saleshub_owner, until sh_owner_leave. An error needs no leave:
 * transaction and subtransaction abort restore the identity.
 */
extern void sh_owner_enter(struct sh_identity *save);
extern void sh_owner_leave(const struct sh_identity *save);

/* table.c: a hash table in a memory context, which frees it; keys are compared byte by byte */
extern HTAB *sh_table(const char *name, Size key, Size entry, long size, MemoryContext context);

/* plan.c: statements prepared once per backend */

/*
 * The saved plan of this text, prepared on first use; call between SPI_connect and SPI_finish.
 * The text must be a string that lives as long as the backend (a literal).
 */
extern SPIPlanPtr sh_plan(const char *sql, int nargs, const Oid *types);

/* column.c: attribute numbers by name */

#define SH_COLUMNS_MAX 32

/*
 * The numbers of these columns of a relation, 0 for one that it has not. The array of names must
 * live as long as the backend; the answer holds until the next call.
 */
extern const AttrNumber *sh_columns(Relation rel, const char *const *names, int count);
/* The same; an error when one is missing. */
extern const AttrNumber *sh_columns_needed(Relation rel, const char *const *names, int count);

/* rows.c: writing many rows of our own tables */

struct sh_rows;

/*
 * Columns of the table by name, the first org_id, at most SH_COLUMNS_MAX; others get their default.
 * The array must live as long as the backend. skip_known: a row whose key is there already is left
 * out instead of an error.
 */
extern struct sh_rows *sh_rows_open(const char *schema, const char *table,
									const char *const *columns, int count, bool skip_known);
/* The values are copied; no nulls means that none is null. */
extern void sh_rows_add(struct sh_rows *rows, const Datum *values, const bool *nulls);
/* Write what waits. */
extern void sh_rows_close(struct sh_rows *rows);

/* result.c: answering with many rows */

/* Where a function that returns a set puts all of its rows, of the shape that is declared or asked.
 */
extern Tuplestorestate *sh_result_begin(FunctionCallInfo fcinfo, TupleDesc *desc);

/* org_cache.c: what a backend keeps of organisations */

/* A table of schema crm by its name; the rest is filled in. */
struct sh_relation
{
	const char *name;
	Oid oid;
	bool watched;
	struct sh_relation *next;
};

/* 42P01 when there is no such table. */
extern Oid sh_relation(struct sh_relation *relation);

/* In static memory; the first four are given. */
struct sh_org_cache
{
	const char *name;			 /* of the hash table */
	struct sh_relation relation; /* what is kept holds until this one changes */
	int most;					 /* past that many all are dropped and start anew */
	bool by_columns;			 /* and until any table's definition changes */
	HTAB *entries;
	uint64 changes;
};

/* What is kept of an organisation, or of a part of it; NULL: nothing that still holds. */
extern void *sh_org_kept(struct sh_org_cache *cache, const pg_uuid_t *org, const pg_uuid_t *part);
/*
 * Keep what was read since the stamp, for which sh_org_kept had nothing; with its context (or
 * NULL), which becomes the cache's. False: it cannot vouch for it, and the context is the caller's.
 */
extern bool sh_org_keep(struct sh_org_cache *cache, const pg_uuid_t *org, const pg_uuid_t *part,
						const struct sh_stamp *stamp, void *value, MemoryContext context);

/* org.c: what row triggers ask of an organisation */

struct sh_org
{
	char currency[8]; /* empty: there is no such organisation */
	char country[8];
	char duplicates_blocked[32]; /* kinds of records, a comma list */
};

extern void sh_org(const pg_uuid_t *org, struct sh_org *out);
extern bool sh_org_has_member(const pg_uuid_t *org, const pg_uuid_t *member);
/*
 * Take a lock of an organisation until the transaction ends, alone or shared; the seed makes it
 * differ from others of its locks.
 */
extern void sh_org_lock(const pg_uuid_t *org, uint64 seed, bool alone);

/* json.c: members of an object under construction; a NULL value becomes null */
extern void sh_json_key(JsonbParseState **state, const char *key);
extern void sh_json_string(JsonbParseState **state, const char *key, const char *value);
extern void sh_json_number(JsonbParseState **state, const char *key, int64 value);
extern void sh_json_bool(JsonbParseState **state, const char *key, bool value);
extern void sh_json_uuid(JsonbParseState **state, const char *key, const pg_uuid_t *value);

/* json_value.c: a value of this type, as to_jsonb() has it, but times in UTC */
extern void sh_json_element(JsonbParseState **state, Oid type, Datum value, bool isnull);

/* json_read.c: members of a JSON object; NULL or otherwise when absent, null or of another type */
extern JsonbValue *sh_json_member(JsonbContainer *object, const char *key);
extern char *sh_json_text(JsonbContainer *object, const char *key);
extern bool sh_json_truth(JsonbContainer *object, const char *key, bool otherwise);
extern Numeric sh_json_numeric(JsonbContainer *object, const char *key);
/* 22003 when it does not fit. */
extern int sh_json_int(JsonbContainer *object, const char *key, int otherwise);
/* Here, too, object may be NULL. */
extern double sh_json_double(JsonbContainer *object, const char *key, double otherwise);
/* Of an object or array; object may be NULL. */
extern JsonbContainer *sh_json_container(JsonbContainer *object, const char *key);

/* uuid.c */
extern void sh_uuid_v7(pg_uuid_t *out);

/* slot.c: invalidation of cached answers, Protocol V (docs/decisions/cache.md) */
extern void sh_slot_init(void);
extern Size sh_slot_shmem_size(void);
extern void sh_slot_shmem_init(void);
/* The present place in the commit order; false, and nothing is fresh, when not preloaded. */
extern bool sh_slot_stamp(struct sh_stamp *out);
/*
 * Nothing that a reader of this relation (for this organisation) saw at the stamp has changed.
 * False whenever that is not certain: no shared memory, a commit under way, this transaction
 * touched it itself, or a snapshot older than the statement (REPEATABLE READ and above).
 */
extern bool sh_slot_fresh(const struct sh_stamp *at, Oid relid, const pg_uuid_t *org);
/* At commit, invalidate what was read from this relation; org NULL means every organisation. */
extern void sh_slot_touch(Oid relid, const pg_uuid_t *org);
extern void sh_slot_touch_tag(const char *tag, Size len);
extern uint32 sh_slot_of_tag(const char *tag, Size len);
extern uint64 sh_slot_route_epoch(void);
/* Start or stop noting which relations this transaction reads. */
extern void sh_slot_record(bool on);
/* The noted slots; false when the answer must not be stored. */
extern bool sh_slot_recorded(const uint32 **slots, int *count);

/* worker.c: the background worker that publishes events and folds rollups */
extern void sh_worker_init(void);
/* This transaction left work: wake the worker when it commits. */
extern void sh_worker_notify(void);
/* "<epoch>-<gseq>" of what is published, empty when no worker serves this database. */
extern void sh_worker_position(char *out, Size size);
/* Whether a worker serves this database. */
extern bool sh_worker_there(void);
extern Size sh_worker_shmem_size(void);
extern void sh_worker_shmem_init(void);

/* search_log.c: what was searched for, until the worker writes it */
extern Size sh_search_log_shmem_size(void);
extern void sh_search_log_shmem_init(void);

/* job.c: processes for long work, which the worker of a database starts */
enum sh_job
{
	SH_JOB_IMPORT, /* files */
	SH_JOB_SCORE,  /* models are trained and looked after */
	SH_JOB_SEARCH  /* segments of the search index */
};

/* Start processes until so many of the kind run. */
extern void sh_job_dispatch(enum sh_job job, int64 wanted, const char *database);
/* In such a process, whose signal handlers are set: connect to the database. */
extern void sh_job_connect(enum sh_job job);
/* A transaction with SPI and a snapshot, shown as this activity. */
extern void sh_job_begin(const char *activity);
extern void sh_job_end(void);
