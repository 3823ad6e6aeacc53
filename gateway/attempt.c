#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "config.h"
#include "loop.h"
#include "metric.h"
#include "text.h"

enum
{
	TIMEOUT_MS = 5000
};

struct schema *
attempt_schema(const char *properties, const char *required)
{
	char text[2048], why[128];
	json_t *json;
	struct schema *schema;

	snprintf(text,
			 sizeof text,
			 "{\"type\":\"object\",\"additionalProperties\":false,\"required\":%s,"
			 "\"properties\":%s}",
			 required,
			 properties);
	json = json_loads(text, 0, NULL);
	schema = json ? schema_compile(json, why, sizeof why) : NULL;
	if (!schema)
		abort();
	json_decref(json);
	return schema;
}

void
attempt_count(const char *event)
{
	char labels[64];

	snprintf(labels, sizeof labels, "event=\"%s\"", event);
	metric_add(
		metric_counter("saleshub_auth_events_total", labels, "Sign-ins and what became of them."),
		1);
}

static void
set_peer(struct attempt *attempt)
{
	h2o_conn_t *conn = attempt->request->h2o->conn;
	struct sockaddr_storage address;
	socklen_t len = conn->callbacks->get_peername(conn, (struct sockaddr *) &address);
	char host[NI_MAXHOST];
	size_t n =
		len > 0 ? h2o_socket_getnumerichost((struct sockaddr *) &address, len, host) : SIZE_MAX;

	if (n != SIZE_MAX && n < sizeof attempt->ip)
		memcpy(attempt->ip, host, n + 1);
}

struct attempt *
attempt_new(struct request *request, const char *event)
{
	struct attempt *attempt = http_alloc(request, sizeof *attempt);
	h2o_iovec_t agent = http_request_header(request, "user-agent");

	attempt->request = request;
	attempt->event = event;
	if (text_is_utf8(agent.base, agent.len))
		attempt->user_agent = http_copy(request, agent.base, agent.len);
	set_peer(attempt);
	snprintf(attempt->life, sizeof attempt->life, "%d", config.refresh_token_s);
	return attempt;
}

void
attempt_end(struct attempt *attempt)
{
	sodium_memzero(attempt->job.password, sizeof attempt->job.password);
	sodium_memzero(attempt->new_password, sizeof attempt->new_password);
	json_decref(attempt->candidates);
	attempt->candidates = NULL;
}

void
attempt_refuse(struct attempt *attempt, int status, const char *code, const char *detail)
{
	attempt_end(attempt);
	http_problem(attempt->request, status, code, detail, NULL, NULL);
}

const char *
attempt_text(struct request *request, const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	if (!json_is_string(value))
		return NULL;
	return http_copy(request, json_string_value(value), json_string_length(value));
}

void
attempt_password(const json_t *body, const char *name, char out[PASSWORD_BYTES + 1])
{
	const char *value = json_string_value(json_object_get(body, name));

	snprintf(out, PASSWORD_BYTES + 1, "%s", value ? value : "");
}

json_t *
attempt_body(struct request *request, const struct schema *schema)
{
	json_t *body = http_json_body(request);
	json_t *errors;

	if (!body)
		return NULL;
	errors = json_array();
	schema_check(schema, body, "", errors);
	if (json_array_size(errors) == 0)
	{
		json_decref(errors);
		return body;
	}
	json_decref(body);
	http_problem(request, 422, "invalid_body", "The body is not as documented.", errors, NULL);
	return NULL;
}

void
attempt_step(struct attempt *attempt, const char *name, const char *sql, int nparams,
			 const char *const values[])
{
	int n = attempt->query.nsteps++;
	struct pool_step *step = &attempt->query.steps[n];

	for (int i = 0; i < nparams; i++)
		attempt->values[n][i] = values[i];
	*step = (struct pool_step){
		.name = name, .sql = sql, .nparams = nparams, .values = attempt->values[n]
	};
}

void
attempt_send(struct attempt *attempt, enum pool_lane lane, attempt_done on_done)
{
	attempt->query.lane = lane;
	attempt->query.timeout_ms = TIMEOUT_MS;
	attempt->query.retry = lane == POOL_READ;
	attempt->query.on_done = on_done;
	pool_send(self->pool, &attempt->query);
}

void
attempt_ask(struct attempt *attempt, enum pool_lane lane, const char *name, const char *sql,
			int nparams, const char *const values[], attempt_done on_done)
{
	memset(&attempt->query, 0, sizeof attempt->query);
	attempt_step(attempt, name, sql, nparams, values);
	attempt_send(attempt, lane, on_done);
}

struct attempt *
attempt_of(struct pool_query *query)
{
	return H2O_STRUCT_FROM_MEMBER(struct attempt, query, query);
}

void
attempt_query_problem(struct attempt *attempt, const struct pool_result *result)
{
	if (result->sqlstate && strcmp(result->sqlstate, "SH429") == 0)
		attempt_count("locked");
	attempt_end(attempt);
	http_query_problem(attempt->request, result);
}

json_t *
attempt_answer(const struct pool_result *result, int step)
{
	struct pool_value value = { 0 };

	if (pool_rows(result, step) == 1)
		value = pool_value(result, step, 0, 0);
	return value.base ? json_loadb(value.base, value.len, 0, NULL) : NULL;
}

void
attempt_submit(struct attempt *attempt, void (*done)(struct password_job *job))
{
	attempt->job.done = done;
	if (password_submit(&attempt->job))
		return;
	http_header(attempt->request, "retry-after", "1");
	attempt_refuse(attempt, 503, "busy", "Too many sign-ins at once. Try again.");
}

struct attempt *
attempt_of_job(struct password_job *job)
{
	return H2O_STRUCT_FROM_MEMBER(struct attempt, job, job);
}

bool
attempt_hashed(struct attempt *attempt)
{
	if (attempt->job.hashes[0][0])
		return true;
	attempt_refuse(attempt, 503, "busy", "Too many sign-ins at once. Try again.");
	return false;
}

bool
attempt_copy(const json_t *object, const char *name, char *out, size_t size)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value && (size_t) snprintf(out, size, "%s", value) < size;
}
