#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <h2o.h>

#include "ask.h"
#include "log.h"
#include "loop.h"
#include "text.h"

enum
{
	TIMEOUT_MS = 5000,
	PARAMS = 4
};

struct ask
{
	struct pool_query query;
	ask_done fn;
	void *owner;
	int body;	  /* the step whose rows are the answer */
	int position; /* the step that says where the log stands, -1: none */
	bool rights;  /* and what the member may have of it, as of the same snapshot */
	char org[37], session[37];
	const char *ctx_values[4];
	const char *values[PARAMS];
	char numbers[3][24];
	char *texts[3];
};

static int64_t
integer(const struct pool_result *result, int step, int column)
{
	struct pool_value value = pool_value(result, step, 0, column);
	int64_t number = 0;

	if (!value.base || !text_integer(value.base, value.len, &number))
		return 0;
	return number;
}

static void
read_answer(const struct ask *ask, const struct pool_result *result, struct ask_answer *answer)
{
	answer->stamp.boot = integer(result, 0, 0);
	answer->stamp.asof = integer(result, 0, 1);
	answer->stamp.slots[0] = (uint32_t) integer(result, 0, 2);
	answer->stamp.slots[1] = (uint32_t) integer(result, 0, 3);
	answer->rows = pool_rows(result, ask->body);
	if (ask->position < 0 || pool_rows(result, ask->position) != 1)
		return;
	answer->top = integer(result, ask->position, 1);
	answer->floor = integer(result, ask->position, 2);
	if (ask->rights)
		answer->tokens = pool_value(result, ask->position, 0, 3);
}

static void
on_done(struct pool_query *query, const struct pool_result *result)
{
	struct ask *ask = H2O_STRUCT_FROM_MEMBER(struct ask, query, query);
	struct ask_answer answer = { .outcome = ASK_OK, .result = result };
	char epoch[128] = "";

	if (result->ok)
	{
		read_answer(ask, result, &answer);
		if (ask->position >= 0 && pool_rows(result, ask->position) == 1)
		{
			struct pool_value value = pool_value(result, ask->position, 0, 0);
			if (value.base && value.len < sizeof epoch)
				memcpy(epoch, value.base, value.len);
		}
	}
	else if (result->sqlstate && strcmp(result->sqlstate, "28000") == 0)
		answer.outcome = ASK_REFUSED;
	else
	{
		answer.outcome = ASK_UNAVAILABLE;
		if (result->sqlstate && !result->unavailable)
			log_event(LOG_LEVEL_ERROR, "hub", "%s: %s", result->sqlstate, result->message);
	}
	answer.epoch = epoch;
	ask->fn(ask, ask->owner, &answer);
	for (size_t i = 0; i < sizeof ask->texts / sizeof *ask->texts; i++)
		free(ask->texts[i]);
	free(ask);
}

static struct ask *
ask_new(const struct ask_member *who, bool write, ask_done fn, void *owner)
{
	struct ask *ask = h2o_mem_alloc(sizeof *ask);

	memset(ask, 0, sizeof *ask);
	ask->fn = fn;
	ask->owner = owner;
	snprintf(ask->org, sizeof ask->org, "%s", who->org);
	snprintf(ask->session, sizeof ask->session, "%s", who->session);
	ask->query.lane = write ? POOL_WRITE : POOL_READ;
	ask->query.retry = !write;
	ask->query.timeout_ms = TIMEOUT_MS;
	ask->query.on_done = on_done;
	ask->ctx_values[0] = ask->org;
	ask->ctx_values[1] = ask->session;
	ask->ctx_values[2] = write ? "false" : "true";
	ask->query.steps[0] = (struct pool_step){
		.name = "live_ctx",
		.sql = "SELECT boot, asof, session_slot, member_slot FROM saleshub.ctx("
			   "$1::uuid, $2::uuid, NULL::text, $3::bool, 5000, false)",
		.nparams = 3,
		.values = ask->ctx_values,
	};
	ask->query.nsteps = 1;
	ask->position = -1;
	return ask;
}

static char *
copy_text(const char *text)
{
	return h2o_strdup(NULL, text, SIZE_MAX).base;
}

static void
add_step(struct ask *ask, const char *name, const char *sql, int nparams)
{
	ask->body = ask->query.nsteps;
	ask->query.steps[ask->query.nsteps++] =
		(struct pool_step){ .name = name, .sql = sql, .nparams = nparams, .values = ask->values };
}

static void
add_position(struct ask *ask)
{
	ask->position = ask->query.nsteps;
	ask->query.steps[ask->query.nsteps++] = (struct pool_step){
		.name = "live_position",
		.sql = "SELECT epoch, top, floor FROM saleshub.event_position()",
	};
}

static void
add_rights(struct ask *ask)
{
	ask->rights = true;
	ask->position = ask->query.nsteps;
	ask->query.steps[ask->query.nsteps++] = (struct pool_step){
		.name = "live_rights",
		.sql = "SELECT epoch, top, floor, saleshub.visible_tokens() FROM saleshub.event_position()",
	};
}

struct ask *
ask_open(const struct ask_member *who, const char *connection, const char *channels, ask_done fn,
		 void *owner)
{
	struct ask *ask = ask_new(who, false, fn, owner);

	ask->texts[0] = copy_text(connection);
	ask->texts[1] = copy_text(channels);
	ask->values[0] = *connection ? ask->texts[0] : NULL;
	ask->values[1] = ask->texts[1];
	add_step(ask,
			 "live_open",
			 "SELECT channel, since, ok, old FROM saleshub.live_open($1::uuid, $2::text[])",
			 2);
	add_rights(ask);
	pool_send(self->pool, &ask->query);
	return ask;
}

void
ask_open_row(const struct ask_answer *answer, int row, char name[CHANNEL_NAME], int64_t *since,
			 bool *ok, bool *old)
{
	struct pool_value value = pool_value(answer->result, 1, row, 0);

	snprintf(name, CHANNEL_NAME, "%.*s", (int) value.len, value.base ? value.base : "");
	value = pool_value(answer->result, 1, row, 1);
	*since = -1;
	if (value.base)
		text_integer(value.base, value.len, since);
	value = pool_value(answer->result, 1, row, 2);
	*ok = value.base && value.base[0] == 't';
	value = pool_value(answer->result, 1, row, 3);
	*old = value.base && value.base[0] == 't';
}

struct ask *
ask_page(const struct ask_member *who, int64_t since, int64_t upto, int batch, const char *channels,
		 ask_done fn, void *owner)
{
	struct ask *ask = ask_new(who, false, fn, owner);

	snprintf(ask->numbers[0], sizeof ask->numbers[0], "%lld", (long long) since);
	snprintf(ask->numbers[1], sizeof ask->numbers[1], "%lld", (long long) upto);
	snprintf(ask->numbers[2], sizeof ask->numbers[2], "%d", batch);
	ask->texts[0] = copy_text(channels);
	for (int i = 0; i < 3; i++)
		ask->values[i] = ask->numbers[i];
	ask->values[3] = ask->texts[0];
	add_step(ask,
			 "live_page",
			 "SELECT gseq, type, entity, entity_id, json FROM saleshub.events_page("
			 "$1::bigint, $2::bigint, $3::int, $4::text[])",
			 4);
	add_position(ask);
	pool_send(self->pool, &ask->query);
	return ask;
}

struct ask *
ask_save(const struct ask_member *who, const char *connection, const char *channels,
		 const char *since, ask_done fn, void *owner)
{
	struct ask *ask = ask_new(who, true, fn, owner);

	ask->texts[0] = copy_text(connection);
	ask->texts[1] = copy_text(channels);
	ask->texts[2] = copy_text(since);
	for (int i = 0; i < 3; i++)
		ask->values[i] = ask->texts[i];
	add_step(ask, "live_save", "SELECT saleshub.live_save($1::uuid, $2::text[], $3::bigint[])", 3);
	pool_send(self->pool, &ask->query);
	return ask;
}

void
ask_forget(struct ask *ask)
{
	ask->owner = NULL;
}
