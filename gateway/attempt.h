/*
 * What the handlers share that need a password, a token or a function which only the gateway may
 * call: the body, queries and password jobs of one request, one callback after the other.
 */
#pragma once

#include <jansson.h>

#include "http.h"
#include "password.h"
#include "pool.h"
#include "validate.h"

enum
{
	ATTEMPT_VALUES = 8
};

/* One request under way; in its memory. */
struct attempt
{
	struct request *request;
	struct pool_query query;
	const char *values[POOL_STEPS][ATTEMPT_VALUES];
	struct password_job job;
	char new_password[PASSWORD_BYTES + 1];
	char hash[PASSWORD_HASH];
	const char *org_name, *name, *email, *org, *device, *refresh_token, *member;
	const char *body;
	char ip[64];
	const char *user_agent;
	char life[16];		/* of a session, seconds */
	json_t *candidates; /* members that the look-up found */
	const char *event;	/* counted when it succeeds */
};

/* A JSON Schema of an object with these properties; aborts when it is not well-formed. */
struct schema *attempt_schema(const char *properties, const char *required);

struct attempt *attempt_new(struct request *request, const char *event);
/* Before the answer: secrets are wiped, JSON is freed. */
void attempt_end(struct attempt *attempt);
/* Ends with a problem. */
void attempt_refuse(struct attempt *attempt, int status, const char *code, const char *detail);
void attempt_count(const char *event);

/* The body when it is as the schema says; otherwise NULL and the problem was sent. */
json_t *attempt_body(struct request *request, const struct schema *schema);
/* A copy of the body's text member, NULL when it is absent or null. */
const char *attempt_text(struct request *request, const json_t *body, const char *name);
/* The same into a buffer of a password, empty when absent. */
void attempt_password(const json_t *body, const char *name, char out[PASSWORD_BYTES + 1]);

typedef void (*attempt_done)(struct pool_query *query, const struct pool_result *result);
/* The next statement of the query, and sending it. The values' strings must last. */
void attempt_step(struct attempt *attempt, const char *name, const char *sql, int nparams,
				  const char *const values[]);
void attempt_send(struct attempt *attempt, enum pool_lane lane, attempt_done on_done);
/* One statement as the whole query. */
void attempt_ask(struct attempt *attempt, enum pool_lane lane, const char *name, const char *sql,
				 int nparams, const char *const values[], attempt_done on_done);
struct attempt *attempt_of(struct pool_query *query);
/* Ends with the problem of a failed query. */
void attempt_query_problem(struct attempt *attempt, const struct pool_result *result);
/* The JSON in the first column of a step's only row; NULL for SQL null. */
json_t *attempt_answer(const struct pool_result *result, int step);
/* Copies a text member; false when it is absent or does not fit. */
bool attempt_copy(const json_t *object, const char *name, char *out, size_t size);

/* Gives the job to the password threads, or ends with 503. */
void attempt_submit(struct attempt *attempt, void (*done)(struct password_job *job));
struct attempt *attempt_of_job(struct password_job *job);
/* Ends with 503 when the password could not be hashed. */
bool attempt_hashed(struct attempt *attempt);
