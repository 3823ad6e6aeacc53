#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "pool.h"
#include "recheck.h"
#include "text.h"

enum
{
	CHECK = 8 + 8 + 2 + 4 + 4, /* bytes of one check: boot, asof, two slots */
	TIMEOUT_MS = 2000,
	BLIND_ROUNDS = 12 /* without shared memory every check fails: ask for all, but seldom */
};

struct recheck
{
	void (*doubt)(void *data, const char *session);
	void *data;
	struct pool_query query;
	bool under_way;
	unsigned round;
	struct text checks;
	char (*sessions)[37];
	int count, capacity;
	const char *value;
	int length, format;
};

struct recheck *
recheck_new(void (*doubt)(void *data, const char *session), void *data)
{
	struct recheck *recheck = h2o_mem_alloc(sizeof *recheck);

	memset(recheck, 0, sizeof *recheck);
	recheck->doubt = doubt;
	recheck->data = data;
	return recheck;
}

bool
recheck_begin(struct recheck *recheck)
{
	if (recheck->under_way)
		return false;
	recheck->round++;
	recheck->count = 0;
	recheck->checks.len = 0;
	return true;
}

static void
add_number(struct text *out, uint64_t value, int bytes)
{
	char buffer[8];

	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		buffer[i] = (char) (value & 0xff);
	text_add(out, buffer, (size_t) bytes);
}

void
recheck_add(struct recheck *recheck, const struct hub_subscriber *subscriber)
{
	const struct ask_stamp *stamp = &subscriber->stamp;

	if (stamp->boot == 0 && recheck->round % BLIND_ROUNDS != 0)
		return;
	add_number(&recheck->checks, (uint64_t) stamp->boot, 8);
	add_number(&recheck->checks, (uint64_t) stamp->asof, 8);
	add_number(&recheck->checks, 2, 2);
	add_number(&recheck->checks, stamp->slots[0], 4);
	add_number(&recheck->checks, stamp->slots[1], 4);
	if (recheck->count == recheck->capacity)
	{
		recheck->capacity = recheck->capacity ? recheck->capacity * 2 : 64;
		recheck->sessions = h2o_mem_realloc(recheck->sessions,
											sizeof *recheck->sessions * (size_t) recheck->capacity);
	}
	memcpy(recheck->sessions[recheck->count++], subscriber->session, sizeof *recheck->sessions);
}

/* Without an answer nothing is doubted: the database being away is not a revocation. */
static void
on_checked(struct pool_query *query, const struct pool_result *result)
{
	struct recheck *recheck = H2O_STRUCT_FROM_MEMBER(struct recheck, query, query);
	struct pool_value verdicts = { 0 };

	recheck->under_way = false;
	if (result->ok && pool_rows(result, 0) == 1)
		verdicts = pool_value(result, 0, 0, 0);
	if (!verdicts.base || verdicts.len != (size_t) recheck->count)
		return;
	for (int i = 0; i < recheck->count; i++)
		if (verdicts.base[i] != 1)
			recheck->doubt(recheck->data, recheck->sessions[i]);
}

void
recheck_send(struct recheck *recheck)
{
	if (!recheck->count)
		return;
	recheck->under_way = true;
	recheck->value = recheck->checks.base;
	recheck->length = (int) recheck->checks.len;
	recheck->format = 1;
	recheck->query = (struct pool_query){
		.nsteps = 1,
		.lane = POOL_READ,
		.timeout_ms = TIMEOUT_MS,
		.retry = true,
		.on_done = on_checked,
	};
	recheck->query.steps[0] = (struct pool_step){
		.name = "cache_check",
		.sql = "SELECT saleshub.cache_check($1::bytea)",
		.nparams = 1,
		.values = &recheck->value,
		.lengths = &recheck->length,
		.formats = &recheck->format,
		.binary_result = true,
	};
	pool_send(self->pool, &recheck->query);
}

bool
recheck_rights(const struct hub_event *event)
{
	static const char *const entities[] = { "member", "org", "team", "rights" };

	for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
		if (strcmp(event->entity, entities[i]) == 0)
			return true;
	return false;
}

bool
recheck_concerns(const struct hub_subscriber *subscriber, const struct hub_event *event)
{
	if (strcmp(event->entity, "session") == 0)
		return strcmp(event->entity_id, subscriber->session) == 0;
	if (strcmp(event->entity, "member") == 0)
		return strcmp(event->entity_id, subscriber->member) == 0;
	return recheck_rights(event);
}
