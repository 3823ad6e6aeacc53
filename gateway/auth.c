/*
 * A sign-in goes through these steps, each a callback of the one before: look up the members of
 * the address (database), compare the password (password thread), count the failure or open the
 * session (database), answer with tokens. The others are shorter ways through the same steps.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attempt.h"
#include "auth.h"
#include "config.h"
#include "token.h"

static struct schema *sign_in_schema, *sign_up_schema, *refresh_schema;

static void on_lookup(struct pool_query *query, const struct pool_result *result);
static void on_verified(struct password_job *job);

/* --- the answer with tokens --- */

/* The token and the answer around it; NULL when the database's answer is not as agreed. */
static char *
session_answer(const json_t *opened)
{
	json_t *member = json_object_get(opened, "member");
	struct token token = { .expires = time(NULL) + config.access_token_s };
	char *access, *body = NULL;
	json_t *answer;

	if (!attempt_copy(member, "org_id", token.org, sizeof token.org) ||
		!attempt_copy(member, "id", token.member, sizeof token.member) ||
		!attempt_copy(member, "role", token.role, sizeof token.role) ||
		!attempt_copy(opened, "session_id", token.session, sizeof token.session))
		return NULL;
	access = token_issue(&token);
	if (!access)
		return NULL;
	answer = json_pack("{s:s, s:s, s:i, s:O, s:O}",
					   "access_token",
					   access,
					   "token_type",
					   "Bearer",
					   "expires_in",
					   config.access_token_s,
					   "refresh_token",
					   json_object_get(opened, "refresh_token"),
					   "member",
					   member);
	if (answer)
		body = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	free(access);
	return body;
}

/* A session was opened, or refreshed; null: it was not. */
static void
on_session(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);
	json_t *opened;
	char *body;

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	opened = attempt_answer(result, 0);
	if (!opened)
	{
		attempt_count("refresh_refused");
		attempt_refuse(attempt, 401, "invalid_refresh_token", "Sign in again.");
		return;
	}
	body = session_answer(opened);
	json_decref(opened);
	if (!body)
	{
		attempt_refuse(attempt, 500, "internal", "Something went wrong on our side.");
		return;
	}
	attempt_count(attempt->event);
	attempt_end(attempt);
	http_header(attempt->request, "cache-control", "no-store");
	http_reply(attempt->request,
			   strcmp(attempt->event, "sign_up") == 0 ? 201 : 200,
			   NULL,
			   body,
			   strlen(body));
	free(body);
}

/* --- sign-in --- */

static void
on_sign_in(struct request *request)
{
	json_t *body = attempt_body(request, sign_in_schema);
	struct attempt *attempt;

	if (!body)
		return;
	attempt = attempt_new(request, "sign_in");
	attempt->email = attempt_text(request, body, "email");
	attempt->org = attempt_text(request, body, "org");
	attempt->device = attempt_text(request, body, "device");
	attempt_password(body, "password", attempt->job.password);
	json_decref(body);
	attempt_ask(attempt,
				POOL_READ,
				"sign_in_lookup",
				"SELECT saleshub.sign_in_lookup($1, $2)",
				2,
				(const char *[]){ attempt->email, attempt->org },
				on_lookup);
}

static void
on_lookup(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);
	struct password_job *job = &attempt->job;
	json_t *candidate;
	size_t i;

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	attempt->candidates = attempt_answer(result, 0);
	json_array_foreach(attempt->candidates, i, candidate)
	{
		if (i == PASSWORD_HASHES)
			break;
		if (!attempt_copy(candidate, "hash", job->hashes[i], PASSWORD_HASH))
			job->hashes[i][0] = 0;
		job->nhashes = (int) i + 1;
	}
	attempt_submit(attempt, on_verified);
}

static void
on_failed(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	attempt_count("sign_in_failed");
	attempt_refuse(attempt, 401, "invalid_credentials", "E-mail address or password are wrong.");
}

/* The password fits in several organisations: the client chooses. */
static void
ask_for_org(struct attempt *attempt)
{
	json_t *orgs = json_array();
	json_t *candidate;
	size_t i;

	json_array_foreach(attempt->candidates, i, candidate)
	{
		if (i < PASSWORD_HASHES && attempt->job.matches[i])
			json_array_append_new(orgs,
								  json_pack("{s:O, s:O}",
											"id",
											json_object_get(candidate, "org_id"),
											"name",
											json_object_get(candidate, "org_name")));
	}
	attempt_end(attempt);
	http_problem(attempt->request,
				 409,
				 "org_required",
				 "The address belongs to several organisations; say which with org.",
				 NULL,
				 json_pack("{s:o}", "orgs", orgs));
}

static void
open_session(struct attempt *attempt)
{
	attempt_ask(attempt,
				POOL_WRITE,
				"session_open",
				"SELECT saleshub.session_open($1::uuid, $2::uuid, $3, $4, $5, $6::int)",
				6,
				(const char *[]){ attempt->org,
								  attempt->member,
								  attempt->ip,
								  attempt->user_agent,
								  attempt->device,
								  attempt->life },
				on_session);
}

static void
on_verified(struct password_job *job)
{
	struct attempt *attempt = attempt_of_job(job);
	int matches = 0, match = 0;
	json_t *candidate;

	for (int i = 0; i < job->nhashes; i++)
	{
		if (job->matches[i])
		{
			matches++;
			match = i;
		}
	}
	if (matches == 0)
	{
		attempt_ask(attempt,
					POOL_WRITE,
					"sign_in_failed",
					"SELECT saleshub.sign_in_failed($1)",
					1,
					(const char *[]){ attempt->email },
					on_failed);
		return;
	}
	if (matches > 1)
	{
		ask_for_org(attempt);
		return;
	}
	candidate = json_array_get(attempt->candidates, match);
	attempt->org = attempt_text(attempt->request, candidate, "org_id");
	attempt->member = attempt_text(attempt->request, candidate, "member_id");
	open_session(attempt);
}

/* --- refresh, sign-up --- */

static void
on_refresh(struct request *request)
{
	json_t *body = attempt_body(request, refresh_schema);
	struct attempt *attempt;

	if (!body)
		return;
	attempt = attempt_new(request, "refresh");
	attempt->refresh_token = attempt_text(request, body, "refresh_token");
	json_decref(body);
	attempt_ask(
		attempt,
		POOL_WRITE,
		"session_refresh",
		"SELECT saleshub.session_refresh($1, $2, $3, $4::int)",
		4,
		(const char *[]){ attempt->refresh_token, attempt->ip, attempt->user_agent, attempt->life },
		on_session);
}

static void
on_sign_up_hashed(struct password_job *job)
{
	struct attempt *attempt = attempt_of_job(job);

	if (!attempt_hashed(attempt))
		return;
	attempt_ask(attempt,
				POOL_WRITE,
				"sign_up",
				"SELECT saleshub.sign_up($1, $2, $3, $4, $5, $6, $7, $8::int)",
				8,
				(const char *[]){ attempt->org_name,
								  attempt->name,
								  attempt->email,
								  job->hashes[0],
								  attempt->ip,
								  attempt->user_agent,
								  attempt->device,
								  attempt->life },
				on_session);
}

static void
on_sign_up(struct request *request)
{
	json_t *body;
	struct attempt *attempt;

	if (!config.sign_up)
	{
		http_problem(
			request, 403, "sign_up_closed", "Accounts are made by an admin here.", NULL, NULL);
		return;
	}
	body = attempt_body(request, sign_up_schema);
	if (!body)
		return;
	attempt = attempt_new(request, "sign_up");
	attempt->org_name = attempt_text(request, body, "org_name");
	attempt->name = attempt_text(request, body, "name");
	attempt->email = attempt_text(request, body, "email");
	attempt->device = attempt_text(request, body, "device");
	attempt_password(body, "password", attempt->job.password);
	json_decref(body);
	attempt->job.nhashes = -1;
	attempt_submit(attempt, on_sign_up_hashed);
}

#define EMAIL "\"email\":{\"type\":\"string\",\"format\":\"email\",\"maxLength\":254}"
#define DEVICE "\"device\":{\"type\":[\"string\",\"null\"],\"maxLength\":200}"

void
auth_start(void)
{
	sign_in_schema = attempt_schema(
		"{" EMAIL "," DEVICE ",\"password\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}"
		",\"org\":{\"type\":[\"string\",\"null\"],\"maxLength\":200}"
		",\"totp\":{\"type\":[\"string\",\"null\"],\"maxLength\":16}}",
		"[\"email\",\"password\"]");
	sign_up_schema = attempt_schema(
		"{" EMAIL "," DEVICE ",\"password\":{\"type\":\"string\",\"minLength\":8,\"maxLength\":128}"
		",\"org_name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}"
		",\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}}",
		"[\"org_name\",\"name\",\"email\",\"password\"]");
	refresh_schema = attempt_schema("{\"refresh_token\":{\"type\":\"string\",\"maxLength\":400}}",
									"[\"refresh_token\"]");
	password_start();
	http_register("POST", "/v1/auth/sign-in", on_sign_in);
	http_register("POST", "/v1/auth/sign-up", on_sign_up);
	http_register("POST", "/v1/auth/refresh", on_refresh);
}
