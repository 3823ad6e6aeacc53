#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "args.h"
#include "bearer.h"
#include "cache.h"
#include "call.h"
#include "download.h"
#include "loop.h"
#include "metric.h"
#include "once.h"
#include "sqlstate.h"
#include "stamp.h"
#include "text.h"
#include "upload.h"

enum
{
	STEP_CTX
};

/* One request to a routed function; in the request's memory. */
struct call
{
	struct request *request;
	struct route_table *table;
	const struct route *route;
	const char **values;
	struct answer_context context;
	struct pool_query query;
	int step_call, step_finish;
	struct once once;
	uint64_t sent_us;
	uint8_t key[CACHE_KEY];
	enum cache_verdict verdict;
	bool owes_put; /* others wait for cache_put or cache_abandon of the key */
};

/* --- who asks --- */

static void
refuse_token(struct request *request, bool given, const struct token *token)
{
	if (!given)
		http_problem(request, 401, "unauthenticated", "Sign in first.", NULL, NULL);
	else if (token->expires > 0 && token->expires <= (long) time(NULL))
		http_problem(request, 401, "token_expired", "The access token has expired.", NULL, NULL);
	else
		http_problem(request, 401, "unauthenticated", "The access token is not valid.", NULL, NULL);
}

bool
call_authenticate(struct request *request)
{
	h2o_iovec_t header = http_request_header(request, "authorization");
	struct token token;
	bool bearer = header.len > 7 && h2o_lcstris(header.base, 7, H2O_STRLIT("bearer "));
	size_t skip = 7;

	memset(&token, 0, sizeof token);
	while (bearer && skip < header.len && header.base[skip] == ' ')
		skip++;
	if (!bearer || !bearer_check(header.base + skip, header.len - skip, &token))
	{
		refuse_token(request, bearer, &token);
		return false;
	}
	request->org = http_copy(request, token.org, strlen(token.org));
	request->member = http_copy(request, token.member, strlen(token.member));
	request->session = http_copy(request, token.session, strlen(token.session));
	request->role = http_copy(request, token.role, strlen(token.role));
	return true;
}

/* --- the answer --- */

static void
finish_call(struct call *call)
{
	struct request *request = call->request;

	route_release(call->table);
	http_release(request);
}

static struct pool_value
finish_value(const struct call *call, const struct pool_result *result, int column)
{
	return pool_value(result, call->step_finish, 0, column);
}

static void
answer_result(struct call *call, const struct pool_result *result)
{
	struct pool_value body = pool_value(result, call->step_call, 0, 0);
	struct reply reply = { .body = body.base, .body_len = body.len };

	answer_finish(call->request, result, call->step_finish, &reply);
	answer_send(call->request, call->route, &reply);
}

/* --- the cache --- */

/* The slots of finish() in text form: \x and eight digits each, network order. */
static bool
read_slots(struct pool_value value, uint32_t slots[CACHE_MAX_SLOTS], uint16_t *n)
{
	size_t count = value.len > 2 ? (value.len - 2) / 8 : 0;

	if (!value.base || value.len < 2 || (value.len - 2) % 8 != 0 || count > CACHE_MAX_SLOTS)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		uint8_t b[4];

		if (!text_unhex(value.base + 2 + i * 8, 8, b))
			return false;
		slots[i] = (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 | (uint32_t) b[2] << 8 | b[3];
	}
	*n = (uint16_t) count;
	return true;
}

static bool
store(const struct call *call, const struct pool_result *result)
{
	struct pool_value body = pool_value(result, call->step_call, 0, 0);
	struct pool_value cacheable = finish_value(call, result, FINISH_CACHEABLE);
	struct pool_value status = finish_value(call, result, FINISH_STATUS);
	uint32_t slots[CACHE_MAX_SLOTS];
	struct cache_entry entry = { .status = 200, .slots = slots };

	if (!body.base || body.len > CACHE_MAX_BODY || !cacheable.base || cacheable.base[0] != 't' ||
		status.base || call->route->success != 200 ||
		finish_value(call, result, FINISH_HEADERS).base ||
		finish_value(call, result, FINISH_LOCATION).base ||
		!read_slots(finish_value(call, result, FINISH_SLOTS), slots, &entry.nslots))
		return false;
	entry.stamp.boot = answer_integer(pool_value(result, STEP_CTX, 0, CTX_BOOT));
	entry.stamp.asof = answer_integer(pool_value(result, STEP_CTX, 0, CTX_ASOF));
	entry.etag = answer_text(call->request, finish_value(call, result, FINISH_ETAG));
	entry.gseq = answer_text(call->request, finish_value(call, result, FINISH_GSEQ));
	entry.body = body.base;
	entry.body_len = body.len;
	if (entry.stamp.boot == 0)
		return false;
	cache_put(self->cache, call->key, &entry);
	return true;
}

static void
settle_cache(struct call *call, const struct pool_result *result)
{
	bool owed = call->owes_put;

	call->owes_put = false;
	if (!call->route->strict || !self->cache)
		return;
	if ((!result->ok || !store(call, result)) && owed)
		cache_abandon(self->cache, call->key);
}

/* What makes two requests have the same answer. */
static void
make_key(struct call *call)
{
	const struct route *route = call->route;
	struct text seed = { 0 };

	text_printf(&seed,
				"%d.%lld.%s.%s",
				route->id,
				(long long) route_epoch(call->table),
				call->request->org ? call->request->org : "",
				call->request->member ? call->request->member : "");
	for (int i = 0; i < route->nargs; i++)
	{
		if (!call->values[i])
			text_puts(&seed, ";-");
		else
			text_printf(&seed, ";%zu:%s", strlen(call->values[i]), call->values[i]);
	}
	SHA256((const unsigned char *) seed.base, seed.len, call->key);
	text_free(&seed);
}

/* --- the query --- */

static void
on_answer(struct pool_query *query, const struct pool_result *result)
{
	struct call *call = H2O_STRUCT_FROM_MEMBER(struct call, query, query);

	metric_request_query(call->route->metric, text_clock_us() - call->sent_us);
	if (result->ok)
		answer_note_context(call->request, result, STEP_CTX);
	settle_cache(call, result);
	if (result->ok)
		answer_result(call, result);
	else
		answer_error(call->request, call->route, &call->once, result);
	finish_call(call);
}

static struct pool_step *
add_step(struct pool_query *query, const char *name, const char *sql, int nparams,
		 const char *const *values)
{
	struct pool_step *step = &query->steps[query->nsteps++];

	step->name = name;
	step->sql = sql;
	step->nparams = nparams;
	step->values = values;
	return step;
}

static void
ask_database(struct call *call)
{
	const struct route *route = call->route;
	struct pool_query *query = &call->query;

	answer_context(&call->context, call->request, route, route->strict && self->cache);
	add_step(query, "ctx", answer_ctx_sql, ANSWER_CTX_PARAMS, call->context.values);
	if (call->once.key)
		add_step(query, "begin", answer_begin_sql, 2, call->once.values);
	call->step_call = query->nsteps;
	if (call->once.key)
	{
		/* the last value is the key */
		call->values[route->nargs] = call->once.key;
		add_step(query, route->once_statement, route->once_sql, route->nargs + 1, call->values);
	}
	else
		add_step(query, route->statement, route->sql, route->nargs, call->values);
	call->step_finish = query->nsteps;
	add_step(query, "finish", answer_finish_sql, 0, NULL);
	query->lane = route->read_only ? POOL_READ : POOL_WRITE;
	query->timeout_ms = route->timeout_ms;
	/* with a key a second run finds what the first one did */
	query->retry = route->read_only || call->once.key;
	query->on_done = on_answer;
	call->sent_us = text_clock_us();
	pool_send(self->pool, query);
}

static void
on_cache(void *data, enum cache_verdict verdict, const struct cache_entry *entry)
{
	static const char *const words[] = { "hit", "fwd=miss", "fwd=stale", "fwd=bypass" };
	struct call *call = data;
	struct request *request = call->request;

	call->verdict = verdict;
	request->cache_status = words[verdict];
	metric_request_cache(call->route->metric, (enum metric_cache) verdict);
	if (!entry)
	{
		call->owes_put = verdict == CACHE_MISS || verdict == CACHE_STALE;
		ask_database(call);
		return;
	}
	metric_hit_time(text_clock_us() - request->started);
	answer_body(request,
				call->route,
				entry->status,
				entry->etag,
				entry->gseq,
				entry->body,
				entry->body_len);
	finish_call(call);
}

static bool
wants_fresh(struct request *request)
{
	h2o_iovec_t control = http_request_header(request, "cache-control");

	return control.len >= 8 && memmem(control.base, control.len, "no-cache", 8);
}

static void
ask_cache(struct call *call)
{
	struct cache_session session;

	/* also what is not looked up is stored under its key */
	make_key(call);
	if (!self->cache || wants_fresh(call->request))
	{
		on_cache(call, CACHE_BYPASS, NULL);
		return;
	}
	if (!call->request->session)
	{
		cache_get(self->cache, call->key, NULL, on_cache, call);
		return;
	}
	session = stamp_of(call->request->session);
	cache_get(self->cache, call->key, &session, on_cache, call);
}

void
call_run(struct request *request, const struct route_match *match)
{
	const struct route *route = match->route;
	struct call *call;
	const char **values;

	if ((route->session ||
		 (route->optional && http_request_header(request, "authorization").len > 0)) &&
		!call_authenticate(request))
	{
		route_release(match->table);
		return;
	}
	if (route->upload >= 0 && upload_run(request, match))
		return;
	http_keep(request);
	call = http_alloc(request, sizeof *call);
	values = http_alloc(request, (size_t) (route->nargs + 1) * sizeof *values);
	call->request = request;
	call->table = match->table;
	call->route = route;
	call->values = values;
	if (route->idempotent)
		once_read(request, request->h2o->entity.base, request->h2o->entity.len, &call->once);
	if (!args_read(request, match, values))
		finish_call(call);
	else if (route->stream)
		download_run(request, match->table, route, values);
	else if (route->strict)
		ask_cache(call);
	else
		ask_database(call);
}
