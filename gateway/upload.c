#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "answer.h"
#include "args.h"
#include "call.h"
#include "config.h"
#include "loop.h"
#include "metric.h"
#include "multipart.h"
#include "text.h"
#include "transfer.h"
#include "upload.h"
#include "upload_head.h"

enum
{
	CHUNK = 256 * 1024,
	VALUES_MAX = 1 << 20,	 /* other parts of a form together, bytes */
	STATEMENT_MS = 60000,	 /* at least, for each: the hash of a large file takes its time */
	TURN_MS = 100,			 /* between looks for a free connection */
	LONGEST_WAIT_MS = 10000, /* for one: the file is here already */
	ATTEMPTS_MORE = 3
};

/* One request with a file; in the request's memory. */
struct upload
{
	struct request *request;
	struct route_table *table;
	const struct route *route;
	const char **values;
	struct args *args; /* NULL: closed */
	struct once once;
	struct answer_context context;
	struct transfer *transfer; /* NULL: none */
	struct timer turn;
	uint64_t since, sent_us;

	struct spool *spool;
	uint64_t at;	   /* of the body, read so far */
	uint64_t size;	   /* of the file so far */
	char *raw, *chunk; /* a piece of the body, and what of the file came out of it */
	size_t chunk_len;
	char id[37];
	bool begun; /* saleshub has the id */
	bool over;	/* the body was read to its end */
	const char *name, *type;

	char boundary[MULTIPART_BOUNDARY + 1];
	struct multipart *form; /* NULL: the body is the file */
	bool has_file, in_file;
	char *part; /* name of the value that comes */
	struct text value;
	size_t values_len; /* of all so far */
	int parts, known;  /* values of the form read in this attempt; ever: args has those */

	int attempts;

	struct reply reply;
};

static void go_on(struct upload *upload);
static void open_transfer(struct timer *turn);

/* --- ends --- */

static void
end_upload(struct upload *upload)
{
	timer_stop(&upload->turn);
	if (upload->transfer)
		transfer_close(upload->transfer);
	if (upload->args)
		args_drop(upload->args);
	spool_free(upload->spool);
	text_free(&upload->value);
	route_release(upload->table);
	http_release(upload->request);
}

/* Nothing of it stays. */
static void
refuse(struct upload *upload, int status, const char *code, const char *detail, json_t *errors)
{
	http_problem(upload->request, status, code, detail, errors, NULL);
	end_upload(upload);
}

static void
refuse_file(struct upload *upload, const char *code, const char *detail)
{
	refuse(upload,
		   422,
		   "invalid_body",
		   "The body has values that cannot be used.",
		   http_fault_add(
			   NULL, &(struct http_fault){ .pointer = "/file", .code = code, .detail = detail }));
}

static void
refuse_type(struct upload *upload)
{
	struct text types = { 0 };
	size_t i;
	json_t *entry;

	json_array_foreach((json_t *) upload->route->args[upload->route->upload].types, i, entry)
	{
		const char *word = json_string_value(entry);

		if (word)
			text_printf(&types,
						"%s%s%s",
						types.len > 0 ? ", " : "",
						word,
						word[strlen(word) - 1] == '/' ? "*" : "");
	}
	if (types.len > 0)
		http_header(upload->request, "accept", types.base);
	text_free(&types);
	refuse(upload, 415, "unsupported_media_type", "The route takes no files of this type.", NULL);
}

/* --- the parts of a form --- */

static bool
begin_part(void *data, const struct multipart_part *part)
{
	struct upload *upload = data;

	if (strcmp(part->name, "file") == 0)
	{
		if (upload->has_file)
		{
			upload->form->fault = "The form has several files.";
			return false;
		}
		upload->has_file = upload->in_file = true;
		if (part->filename)
			upload->name = http_copy(upload->request, part->filename, strlen(part->filename));
		if (part->type)
			upload->type = http_copy(upload->request, part->type, strlen(part->type));
		return true;
	}
	upload->part = http_copy(upload->request, part->name, strlen(part->name));
	upload->value.len = 0;
	return true;
}

static bool
take_bytes(void *data, const char *base, size_t len)
{
	struct upload *upload = data;

	if (upload->in_file)
	{
		upload->size += len;
		memcpy(upload->chunk + upload->chunk_len, base, len);
		upload->chunk_len += len;
		return true;
	}
	upload->values_len += len;
	if (upload->values_len > VALUES_MAX)
	{
		upload->form->fault = "The values of the form are too long.";
		return false;
	}
	text_add(&upload->value, base, len);
	return true;
}

static bool
end_part(void *data)
{
	struct upload *upload = data;
	const char *value = upload->value.len > 0 ? upload->value.base : "";

	if (upload->in_file)
	{
		upload->in_file = false;
		return true;
	}
	if (!text_is_utf8(value, upload->value.len) || memchr(value, '\0', upload->value.len))
	{
		upload->form->fault = "A value of the form is not UTF-8.";
		return false;
	}
	if (++upload->parts <= upload->known)
		return true;
	upload->known = upload->parts;
	args_part(upload->args, upload->part, http_copy(upload->request, value, upload->value.len));
	return true;
}

static const struct multipart_events part_events = { begin_part, take_bytes, end_part };

static void
restart_form(struct upload *upload)
{
	multipart_init(upload->form, upload->boundary, &part_events, upload);
}

/* --- reading the body --- */

/* The next piece. False: answered and ended. */
static bool
read_piece(struct upload *upload)
{
	ssize_t n = upload->spool ? spool_read(upload->spool, upload->at, upload->raw, CHUNK) : 0;
	bool sound = true;

	if (n < 0)
	{
		refuse(upload, 500, "internal", "The upload could not be read.", NULL);
		return false;
	}
	upload->at += (uint64_t) n;
	upload->over = n == 0;
	if (upload->form)
		sound = upload->over ? multipart_finish(upload->form) :
							   multipart_feed(upload->form, upload->raw, (size_t) n);
	else if (n > 0)
		take_bytes(upload, upload->raw, (size_t) n);
	if (!sound)
		refuse(upload, 400, "invalid_form", upload->form->fault, NULL);
	else if (upload->over && !upload->has_file)
	{
		refuse_file(upload, "required", "a part of this name is required");
		return false;
	}
	else if (upload->size > upload->route->args[upload->route->upload].max)
	{
		refuse(upload, 413, "too_large", "The file is too large.", NULL);
		return false;
	}
	return sound;
}

/* --- the transaction --- */

static void
ask(struct upload *upload, const char *sql, int nparams, const char *const *values,
	void (*on_done)(struct transfer *transfer, const struct pool_result *result))
{
	struct transfer_statement statement = {
		.sql = sql,
		.nparams = nparams,
		.values = values,
		.timeout_ms = MAX(upload->route->timeout_ms, STATEMENT_MS),
		.on_done = on_done,
	};

	transfer_send(upload->transfer, &statement);
}

/* From the beginning, as if nothing had happened: the database has undone everything. */
static void
begin_again(struct upload *upload)
{
	transfer_close(upload->transfer);
	upload->transfer = NULL;
	upload->at = upload->size = upload->values_len = upload->chunk_len = 0;
	upload->parts = 0;
	upload->begun = upload->over = false;
	if (upload->form)
	{
		upload->has_file = upload->in_file = false;
		restart_form(upload);
	}
	upload->since = h2o_now(self->loop);
	open_transfer(&upload->turn);
}

/*
 * The upload of a statement that went well. Otherwise NULL: it begins again, where others were in
 * the way, or is answered and ended.
 */
static struct upload *
done(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = transfer_data(transfer);
	bool in_the_way = result->sqlstate && (strcmp(result->sqlstate, "40001") == 0 ||
										   strcmp(result->sqlstate, "40P01") == 0);

	if (result->ok)
		return upload;
	json_decref(upload->reply.headers);
	upload->reply.headers = NULL;
	if (in_the_way && upload->attempts++ < ATTEMPTS_MORE)
	{
		begin_again(upload);
		return NULL;
	}
	answer_error(upload->request, upload->route, &upload->once, result);
	end_upload(upload);
	return NULL;
}

static void
on_lost(struct transfer *transfer, const struct pool_result *result)
{
	done(transfer, result);
}

static void
on_commit(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);

	if (!upload)
		return;
	metric_request_query(upload->route->metric, text_clock_us() - upload->sent_us);
	answer_send(upload->request, upload->route, &upload->reply);
	end_upload(upload);
}

static void
on_finish(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);

	if (!upload)
		return;
	answer_finish(upload->request, result, 0, &upload->reply);
	transfer_commit(transfer, on_commit);
}

static void
on_function(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);
	struct pool_value body;

	if (!upload)
		return;
	body = pool_value(result, 0, 0, 0);
	upload->reply.body = answer_text(upload->request, body);
	upload->reply.body_len = body.len;
	ask(upload, answer_finish_sql, 0, NULL, on_finish);
}

static void
on_end(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);
	const struct route *route = upload ? upload->route : NULL;

	if (!upload)
		return;
	/* the last value is the key */
	upload->values[route->nargs] = upload->once.key;
	if (upload->once.key)
		ask(upload, route->once_sql, route->nargs + 1, upload->values, on_function);
	else
		ask(upload, route->sql, route->nargs, upload->values, on_function);
}

/* All of the file is there, and all of the form. */
static void
end_file(struct upload *upload)
{
	const char *values[] = { upload->id };
	struct args *args = upload->args;

	upload->args = NULL;
	if (args && !args_close(args))
		end_upload(upload);
	else
		ask(upload, "SELECT crm.upload_end($1::uuid)", 1, values, on_end);
}

static void
on_begun(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);
	struct pool_value id;

	if (!upload)
		return;
	id = pool_value(result, 0, 0, 0);
	snprintf(upload->id, sizeof upload->id, "%.*s", (int) id.len, id.base ? id.base : "");
	upload->begun = true;
	go_on(upload);
}

static void
begin_file(struct upload *upload)
{
	const struct route_arg *arg = &upload->route->args[upload->route->upload];
	const char *type = upload->type ? upload->type : "";
	const char *values[] = { upload->name, upload->type };
	bool unsaid = type[0] == '\0' || strcmp(type, "application/octet-stream") == 0;

	/* what browsers say of a file they know nothing about */
	if (!(upload->form && unsaid) && !upload_takes(arg, type, strlen(type)))
		refuse_type(upload);
	else
		ask(upload, "SELECT crm.upload_begin($1::text, $2::text)", 2, values, on_begun);
}

static void
on_appended(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);

	if (upload)
		go_on(upload);
}

static void
append(struct upload *upload)
{
	const char *values[] = { upload->id, upload->chunk };
	int lengths[] = { 0, (int) upload->chunk_len };
	int formats[] = { 0, 1 };
	struct transfer_statement statement = {
		.sql = "SELECT crm.upload_append($1::uuid, $2::bytea)",
		.nparams = 2,
		.values = values,
		.lengths = lengths,
		.formats = formats,
		.timeout_ms = STATEMENT_MS,
		.on_done = on_appended,
	};

	upload->chunk_len = 0;
	transfer_send(upload->transfer, &statement);
}

/* The next statement, after reading what it needs. */
static void
go_on(struct upload *upload)
{
	while (!upload->over && (upload->begun ? upload->chunk_len == 0 : !upload->has_file))
		if (!read_piece(upload))
			return;
	if (!upload->begun)
		begin_file(upload);
	else if (upload->chunk_len > 0)
		append(upload);
	else
		end_file(upload);
}

static void
on_key(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);

	if (upload)
		go_on(upload);
}

static void
on_context(struct transfer *transfer, const struct pool_result *result)
{
	struct upload *upload = done(transfer, result);

	if (!upload)
		return;
	answer_note_context(upload->request, result, 0);
	if (upload->once.key)
		ask(upload, answer_begin_sql, 2, upload->once.values, on_key);
	else
		go_on(upload);
}

static void
on_ready(struct transfer *transfer)
{
	struct upload *upload = transfer_data(transfer);

	ask(upload, answer_ctx_sql, ANSWER_CTX_PARAMS, upload->context.values, on_context);
}

static void
open_transfer(struct timer *turn)
{
	static const struct transfer_events events = { on_ready, on_lost };
	struct upload *upload = H2O_STRUCT_FROM_MEMBER(struct upload, turn, turn);

	upload->transfer = transfer_open(&events, upload);
	if (upload->transfer)
		return;
	if (h2o_now(self->loop) - upload->since < LONGEST_WAIT_MS)
	{
		timer_start(turn, TURN_MS, open_transfer);
		return;
	}
	http_header(upload->request, "retry-after", "5");
	refuse(upload, 503, "too_many_uploads", "Too many files are being sent.", NULL);
}

/* --- the request --- */

/* What the request says of the file; false: answered and ended. */
static bool
read_head(struct upload *upload, const struct route_match *match)
{
	struct request *request = upload->request;
	h2o_iovec_t type = http_request_header(request, "content-type");
	h2o_iovec_t said = http_request_header(request, "content-disposition");
	char name[1024];

	upload->args = args_open(request, match, upload->values);
	if (upload->values[upload->route->upload])
	{
		refuse(upload,
			   400,
			   "invalid_parameter",
			   "The request has parameters that cannot be used.",
			   http_fault_add(NULL,
							  &(struct http_fault){ .parameter = "upload",
													.code = "duplicate",
													.detail = "the body is a file already" }));
		return false;
	}
	upload->values[upload->route->upload] = upload->id;
	if (multipart_type(type.base, type.len))
	{
		if (!multipart_boundary(type.base, type.len, upload->boundary))
		{
			refuse(upload, 400, "invalid_form", "The form's boundary cannot be used.", NULL);
			return false;
		}
		upload->form = http_alloc(request, sizeof *upload->form);
		restart_form(upload);
		return true;
	}
	upload->has_file = upload->in_file = true;
	upload->type = type.len > 0 ? http_copy(request, type.base, type.len) : NULL;
	if (!upload_takes(
			&upload->route->args[upload->route->upload], type.base ? type.base : "", type.len))
	{
		refuse_type(upload);
		return false;
	}
	if (said.len > 0 && multipart_filename(said.base, said.len, name, sizeof name))
		upload->name = http_copy(request, name, strlen(name));
	return true;
}

/* The arguments that are known now; those of a form come with it. False: answered and ended. */
static bool
read_args(struct upload *upload)
{
	struct args *args = upload->args;

	if (upload->form && !args_faulty(args))
		return true;
	upload->args = NULL;
	if (args_close(args))
		return true;
	end_upload(upload);
	return false;
}

static void
read_key(struct upload *upload)
{
	struct request *request = upload->request;
	uint8_t digest[SPOOL_HASH] = { 0 };

	if (!upload->route->idempotent || http_request_header(request, "idempotency-key").len == 0)
		return;
	if (upload->spool)
		spool_digest(upload->spool, digest);
	once_read(request, digest, sizeof digest, &upload->once);
}

/*
 * The body on disk. A small one that h2o read, as the door did not know the route or the sender,
 * is put there. False: there is none.
 */
static bool
take_spool(struct request *request, struct spool **spool)
{
	h2o_conn_t *conn = request->h2o->conn;
	h2o_iovec_t entity = request->h2o->entity;
	enum spool_outcome outcome;

	*spool = door_take_spool(conn->callbacks->get_socket(conn));
	if (*spool)
		return true;
	if (entity.len == 0)
		return http_request_header(request, "content-type").len > 0 &&
			   !http_query_value(request, "upload");
	*spool = spool_new(true, &outcome);
	if (*spool && spool_write(*spool, entity.base, entity.len) != SPOOL_OK)
	{
		spool_free(*spool);
		*spool = NULL;
	}
	return true;
}

bool
upload_run(struct request *request, const struct route_match *match)
{
	const struct route *route = match->route;
	struct spool *spool;
	struct upload *upload;

	if (!take_spool(request, &spool))
		return false;
	http_keep(request);
	upload = http_alloc(request, sizeof *upload);
	upload->request = request;
	upload->table = match->table;
	upload->route = route;
	upload->spool = spool;
	upload->values = http_alloc(request, (size_t) (route->nargs + 1) * sizeof *upload->values);
	upload->since = h2o_now(self->loop);
	upload->sent_us = text_clock_us();
	if (!spool && request->h2o->entity.len > 0)
	{
		refuse(upload, 507, "disk_full", "There is no room for the upload.", NULL);
		return true;
	}
	if (!read_head(upload, match) || !read_args(upload))
		return true;
	read_key(upload);
	answer_context(&upload->context, request, route, false);
	snprintf(upload->context.timeout,
			 sizeof upload->context.timeout,
			 "%u",
			 MAX(route->timeout_ms, (uint32_t) STATEMENT_MS));
	/* what the form parser held back of the piece before comes out with the next */
	upload->raw = http_alloc(request, CHUNK);
	upload->chunk = http_alloc(request, CHUNK + MULTIPART_BOUNDARY + 8);
	open_transfer(&upload->turn);
	return true;
}

void
upload_install(void)
{
	door_on_body(upload_judge);
}
