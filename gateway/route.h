/*
 * The routes as the database's catalogue describes them: an immutable table with a trie, swapped
 * as a whole when the database says that its routes changed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"
#include "validate.h"

enum
{
	ROUTE_CAPTURES = 8,
	ROUTE_METHODS = 5
};

enum route_source
{
	ROUTE_PATH,
	ROUTE_QUERY,
	ROUTE_HEADER,
	ROUTE_BODY, /* the whole body */
	ROUTE_PREFER,
	ROUTE_FILTERS,
	ROUTE_UPLOAD /* the body is a file; this is its id */
};

struct route_arg
{
	const char *name, *wire, *type; /* type: of PostgreSQL */
	enum route_source source;
	int capture; /* of the path, by order */
	bool required;
	uint64_t max;		   /* of a file, bytes */
	const json_t *types;   /* its media types, exact, or a kind: "image/"; NULL: all */
	struct schema *schema; /* of filters: an object whose properties are the fields */
};

struct metric_route;

struct route
{
	int id;
	const char *method, *path, *sql, *role;
	char statement[32];		 /* name of the prepared statement; changes with the SQL */
	char once_statement[32]; /* the same, and its reply kept under the key in the last parameter */
	char *once_sql;			 /* NULL: not idempotent */
	bool session;			 /* only for signed-in members */
	bool optional;			 /* a token, if one is given, must be good */
	bool strict, idempotent, read_only;
	bool stream; /* the function returns a cursor, whose rows are the answer */
	int success;
	size_t max_body;
	uint32_t timeout_ms;
	int nargs;
	struct route_arg *args;
	int upload; /* the argument that is a file, -1: none */
	struct metric_route *metric;
};

struct route_table;

enum route_found
{
	ROUTE_FOUND,
	ROUTE_NO_PATH,
	ROUTE_NO_METHOD,
	ROUTE_BAD_PATH, /* malformed percent-encoding */
	ROUTE_NO_TABLE	/* the catalogue is not loaded yet */
};

struct route_match
{
	struct route_table *table; /* kept until route_release */
	const struct route *route;
	int ncaptures;
	char *captures[ROUTE_CAPTURES]; /* decoded, in the buffer */
	size_t lengths[ROUTE_CAPTURES];
	char allow[64]; /* with ROUTE_NO_METHOD, and for OPTIONS */
};

/* buffer: room for the decoded captures, as many bytes as the path. HEAD finds GET. */
enum route_found route_find(const char *method, const char *path, size_t len, char *buffer,
							struct route_match *match);
void route_release(struct route_table *table);
void route_keep(struct route_table *table);
/* The number that a reply's route_epoch must equal; changes of it make the table load anew. */
int64_t route_epoch(const struct route_table *table);
void route_seen_epoch(int64_t epoch);
/* On thread 0: loads the catalogue and keeps trying until it is there; loaded() is called once. */
void route_start(void (*loaded)(void));
bool route_loaded(void);
/* Method, path and function of each route, one line each. */
void route_list(struct text *out);

/* For the tests: a table of a catalogue's JSON, NULL with the reason when it makes no sense. */
struct route_table *route_build(json_t *catalog, int64_t epoch, char *why, size_t why_size);
enum route_found route_find_in(struct route_table *table, const char *method, const char *path,
							   size_t len, char *buffer, struct route_match *match);
