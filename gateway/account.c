#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "attempt.h"
#include "call.h"

static struct schema *password_schema, *member_schema;

/* --- change of the own password --- */

static void
on_changed(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	attempt_count("password_change");
	attempt_end(attempt);
	http_reply(attempt->request, 204, NULL, NULL, 0);
}

static void
on_new_hashed(struct password_job *job)
{
	struct attempt *attempt = attempt_of_job(job);
	struct request *request = attempt->request;

	if (!attempt_hashed(attempt))
		return;
	attempt_ask(attempt,
				POOL_WRITE,
				"password_change",
				"SELECT saleshub.password_change($1::uuid, $2::uuid, $3)",
				3,
				(const char *[]){ request->org, request->session, job->hashes[0] },
				on_changed);
}

static void
on_current_failed(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	attempt_end(attempt);
	http_problem(attempt->request,
				 422,
				 "wrong_password",
				 "The current password is not right.",
				 http_fault_add(NULL,
								&(struct http_fault){ .pointer = "/current_password",
													  .code = "wrong",
													  .detail = "is not the current password" }),
				 NULL);
}

static void
on_current_verified(struct password_job *job)
{
	struct attempt *attempt = attempt_of_job(job);

	if (job->nhashes != 1 || !job->matches[0])
	{
		attempt_ask(attempt,
					POOL_WRITE,
					"sign_in_failed",
					"SELECT saleshub.sign_in_failed($1)",
					1,
					(const char *[]){ attempt->email },
					on_current_failed);
		return;
	}
	memcpy(job->password, attempt->new_password, sizeof job->password);
	job->nhashes = -1;
	attempt_submit(attempt, on_new_hashed);
}

static void
on_password_lookup(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);
	json_t *found;

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	found = attempt_answer(result, 0);
	attempt->email = attempt_text(attempt->request, found, "email");
	if (attempt_copy(found, "hash", attempt->job.hashes[0], PASSWORD_HASH))
		attempt->job.nhashes = 1;
	json_decref(found);
	attempt_submit(attempt, on_current_verified);
}

static void
on_password(struct request *request)
{
	struct attempt *attempt;
	json_t *body;

	if (!call_authenticate(request))
		return;
	body = attempt_body(request, password_schema);
	if (!body)
		return;
	attempt = attempt_new(request, "password_change");
	attempt_password(body, "current_password", attempt->job.password);
	attempt_password(body, "new_password", attempt->new_password);
	json_decref(body);
	attempt_ask(attempt,
				POOL_READ,
				"password_lookup",
				"SELECT saleshub.password_lookup($1::uuid, $2::uuid)",
				2,
				(const char *[]){ request->org, request->session },
				on_password_lookup);
}

/* --- a new member, with a password or without --- */

static void
on_invited(struct pool_query *query, const struct pool_result *result)
{
	struct attempt *attempt = attempt_of(query);
	struct request *request = attempt->request;
	struct pool_value body, etag, location;
	char *quoted;

	if (!result->ok)
	{
		attempt_query_problem(attempt, result);
		return;
	}
	attempt_end(attempt);
	body = pool_value(result, 1, 0, 0);
	etag = pool_value(result, 2, 0, 1);
	location = pool_value(result, 2, 0, 2);
	if (location.base)
		http_header(request, "location", http_copy(request, location.base, location.len));
	if (etag.base)
	{
		quoted = http_alloc(request, etag.len + 3);
		snprintf(quoted, etag.len + 3, "\"%.*s\"", (int) etag.len, etag.base);
		http_header(request, "etag", quoted);
	}
	http_reply(request, 201, NULL, body.base, body.len);
}

static void
invite(struct attempt *attempt)
{
	struct request *request = attempt->request;

	memset(&attempt->query, 0, sizeof attempt->query);
	attempt_step(attempt,
				 "auth_ctx",
				 "SELECT * FROM saleshub.ctx($1::uuid, $2::uuid, $3, false, 5000, false)",
				 3,
				 (const char *[]){ request->org, request->session, request->id });
	attempt_step(attempt,
				 "member_invite",
				 "SELECT saleshub.member_invite($1::jsonb, $2)",
				 2,
				 (const char *[]){ attempt->body, attempt->hash[0] ? attempt->hash : NULL });
	attempt_step(attempt, "auth_finish", "SELECT * FROM saleshub.finish()", 0, NULL);
	attempt_send(attempt, POOL_WRITE, on_invited);
}

static void
on_member_hashed(struct password_job *job)
{
	struct attempt *attempt = attempt_of_job(job);

	if (!attempt_hashed(attempt))
		return;
	memcpy(attempt->hash, job->hashes[0], sizeof attempt->hash);
	invite(attempt);
}

static void
on_member(struct request *request)
{
	struct attempt *attempt;
	json_t *body;
	char *text;

	if (!call_authenticate(request))
		return;
	body = attempt_body(request, member_schema);
	if (!body)
		return;
	attempt = attempt_new(request, "member_create");
	attempt_password(body, "password", attempt->job.password);
	json_object_del(body, "password");
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	attempt->body = http_copy(request, text, strlen(text));
	free(text);
	if (!attempt->job.password[0])
	{
		invite(attempt);
		return;
	}
	attempt->job.nhashes = -1;
	attempt_submit(attempt, on_member_hashed);
}

void
account_start(void)
{
	password_schema = attempt_schema(
		"{\"current_password\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}"
		",\"new_password\":{\"type\":\"string\",\"minLength\":8,\"maxLength\":128}}",
		"[\"current_password\",\"new_password\"]");
	member_schema = attempt_schema(
		"{\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}"
		",\"email\":{\"type\":\"string\",\"format\":\"email\",\"maxLength\":254}"
		",\"password\":{\"type\":\"string\",\"minLength\":8,\"maxLength\":128}"
		",\"role\":{\"type\":\"string\",\"enum\":[\"admin\",\"manager\",\"rep\",\"readonly\"]}"
		",\"title\":{\"type\":[\"string\",\"null\"],\"maxLength\":200}"
		",\"timezone\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64}}",
		"[\"name\",\"email\"]");
	http_register("POST", "/v1/me/password", on_password);
	http_register("POST", "/v1/members", on_member);
}
