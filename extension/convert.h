/* The conversion of a lead under way. */
#pragma once

#include "utils/jsonb.h"
#include "utils/uuid.h"

enum convert_mode
{
	CONVERT_AUTO,
	CONVERT_CREATE,
	CONVERT_LINK,
	CONVERT_SKIP
};

/* What to do when something like the record to be created is there. */
enum convert_dup
{
	CONVERT_DUP_ALLOW,
	CONVERT_DUP_WARN,
	CONVERT_DUP_BLOCK
};

/* The company, contact or deal that the lead becomes. */
struct convert_target
{
	const char *type;
	enum convert_mode mode;
	bool present; /* id is known: found, named by the options, or created */
	pg_uuid_t id;
};

#define CONVERT_TARGETS 3

/* Lives, like all it points to, until SPI_finish. */
struct conversion
{
	pg_uuid_t org;
	pg_uuid_t lead;
	pg_uuid_t id;
	Datum options; /* jsonb, as saleshub.convert_options() made it */
	bool has_owner;
	pg_uuid_t owner; /* asked for in the options */
	enum convert_dup dup;
	char *duplicates;	   /* JSON array, NULL: not looked for */
	char *mapping_version; /* digits */
	struct convert_target company;
	struct convert_target contact;
	struct convert_target deal;

	/* What the locked lead says; NULL where it says nothing. */
	char *status;
	char *email;
	char *phone;
	char *person;
	char *company_name;
	char *company_key;
	char *domain; /* of its company, never one that hands out addresses */

	/* What was done, each jsonb, for undoing it. */
	Datum created[CONVERT_TARGETS];
	int created_count;
	Datum filled[CONVERT_TARGETS];
	int filled_count;
	Datum links;
	Datum activities;
};

/* Arguments of one statement. */
struct convert_args
{
	int count;
	Oid types[10];
	Datum values[10];
	char nulls[11];
};

/* convert.c: statements; the text must be a literal */
extern struct convert_args *sh_convert_args(const struct conversion *c);
extern void sh_convert_arg_uuid(struct convert_args *args, const pg_uuid_t *value);
extern void sh_convert_arg_text(struct convert_args *args, const char *value);
extern void sh_convert_arg_jsonb(struct convert_args *args, Datum value);
extern void sh_convert_arg_uuids(struct convert_args *args, Datum value);
extern void sh_convert_arg_array(struct convert_args *args, Datum value);
/* The number of rows, which are in SPI_tuptable. */
extern uint64 sh_convert_run(const char *sql, struct convert_args *args);
/* A value of the first row; the id is set only when it is not null. */
extern char *sh_convert_text(int column);
extern Datum sh_convert_value(int column, bool *isnull);
extern bool sh_convert_id(int column, pg_uuid_t *out);
/* Lock the lead, or these (a uuid[]), with their activities, in the order in which events do. */
extern void sh_convert_hold(const struct conversion *c, const Datum *leads);

/* convert_match.c: which company and contact are meant */

/* One after the other, in an order that all conversions keep, whoever else means the same. */
extern void sh_convert_lock_keys(const struct conversion *c);
/* Find what the modes auto and link mean; SH002 when more than one record matches. */
extern void sh_convert_match(struct conversion *c);
/* Lock the records found, so that they stay until the end. */
extern void sh_convert_lock_targets(const struct conversion *c);

/* convert_write.c: the records */
extern void sh_convert_record(struct conversion *c, struct convert_target *target);
extern void sh_convert_activities(struct conversion *c);
extern void sh_convert_finish(struct conversion *c);
/*
 * Lets the next statement write a converted lead and its conversion. Closed again by
 * AtEOXact_GUC(true, the level returned); an error closes it as well.
 */
extern int sh_convert_open(void);
