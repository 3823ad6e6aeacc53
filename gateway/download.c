/*
 * A transaction of its own: the function says what HTTP needs and opens a cursor, from which the
 * next pieces are fetched when the client has taken those before. One batch is in memory at most.
 * The last one waits for the COMMIT; when something fails after the first, the answer breaks off
 * without its proper end. That the client did not get all is told to the database, too.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "answer.h"
#include "config.h"
#include "download.h"
#include "log.h"
#include "loop.h"
#include "metric.h"
#include "text.h"
#include "transfer.h"

enum
{
	BATCH = 128 * 1024, /* bytes fetched at a time, by the size of the rows before */
	MOST_ROWS = 1024,
	STATEMENT_MS = 5000,
	BEAT_MS = TRANSFER_IDLE_MS / 3,
	LONGEST_MS = 3600 * 1000 /* of one download: it holds back what VACUUM may clean up */
};

/* In the request's memory, of which it holds a reference until the transfer is closed. */
struct download
{
	h2o_generator_t super;
	struct download *next; /* of all that are under way */
	struct request *request;
	struct route_table *table;
	const struct route *route;
	const char **values;
	struct answer_context context;
	struct transfer *transfer; /* NULL: closed */
	struct text fetch;		   /* the statement, less its number of rows */
	struct text piece;		   /* h2o has it while sending */
	struct timer beat;
	uint64_t since; /* ms */
	int status;
	const char *type;	  /* of the content */
	size_t length, bytes; /* to be sent; sent */
	long wanted;		  /* rows of the next FETCH, and of the one under way */
	bool begun;			  /* status and headers are sent */
	bool sending;		  /* h2o is not done with the piece */
	bool working;		  /* the database is not done with a statement */
	bool failed;		  /* the answer breaks off once h2o is done with the piece */
	bool answered;		  /* nothing more goes to the client */
};

static void on_beat_done(struct transfer *transfer, const struct pool_result *result);

static struct download *
download_of(const struct transfer *transfer)
{
	return transfer_data(transfer);
}

/* --- its share --- */

/* Of all threads. */
static struct download *under_way;
static pthread_mutex_t under_way_lock = PTHREAD_MUTEX_INITIALIZER;

/* False: the member has half of all transfers already; the others shall not wait for one. */
static bool
enter(struct download *download)
{
	int left = (config.transfer_limit + 1) / 2;

	pthread_mutex_lock(&under_way_lock);
	for (struct download *other = under_way; other; other = other->next)
		left -= strcmp(other->request->member, download->request->member) == 0;
	if (left > 0)
	{
		download->next = under_way;
		under_way = download;
	}
	pthread_mutex_unlock(&under_way_lock);
	return left > 0;
}

static void
leave(struct download *download)
{
	struct download **place = &under_way;

	pthread_mutex_lock(&under_way_lock);
	while (*place && *place != download)
		place = &(*place)->next;
	if (*place)
		*place = download->next;
	pthread_mutex_unlock(&under_way_lock);
}

/* --- its end --- */

static void
free_piece(struct download *download)
{
	if (!download->transfer && !download->sending)
		text_free(&download->piece);
}

static void
close_transfer(struct download *download)
{
	transfer_close(download->transfer);
	download->transfer = NULL;
	leave(download);
	text_free(&download->fetch);
	free_piece(download);
	route_release(download->table);
	http_release(download->request);
}

/* The client's side is over: logged and counted. The transfer may go on for a moment. */
static void
end_answer(struct download *download)
{
	download->answered = true;
	timer_stop(&download->beat);
	http_stream_end(download->request, download->bytes);
}

static void
send_last(struct download *download, h2o_iovec_t piece, h2o_send_state_t state)
{
	struct request *request = download->request;

	request->on_gone = NULL;
	download->bytes += piece.len;
	http_keep(request);
	h2o_send(request->h2o, &piece, piece.len ? 1 : 0, state);
	end_answer(download);
	http_release(request);
}

/* The answer ends without its proper end: the client sees that it is not whole. */
static void
break_off(struct download *download)
{
	if (download->answered)
		return;
	download->failed = true;
	if (!download->sending)
		send_last(download, h2o_iovec_init(NULL, 0), H2O_SEND_STATE_ERROR);
}

static void
on_cut_committed(struct transfer *transfer, const struct pool_result *result)
{
	(void) result;
	close_transfer(download_of(transfer));
}

static void
on_cut_noted(struct transfer *transfer, const struct pool_result *result)
{
	if (result->ok)
		transfer_commit(transfer, on_cut_committed);
	else
		close_transfer(download_of(transfer));
}

static void
on_rolled_back(struct transfer *transfer, const struct pool_result *result)
{
	struct transfer_statement statement = { .sql = "SELECT saleshub.stream_cut()",
											.timeout_ms = STATEMENT_MS,
											.on_done = on_cut_noted };

	if (result->ok)
		transfer_send(transfer, &statement);
	else
		close_transfer(download_of(transfer));
}

/* What left before stays noted. No statement is under way. */
static void
cut(struct download *download)
{
	struct transfer_statement statement = { .sql = "ROLLBACK TO SAVEPOINT download",
											.timeout_ms = STATEMENT_MS,
											.on_done = on_rolled_back };

	metric_add(metric_counter(
				   "saleshub_downloads_cut_total", NULL, "Downloads that ended before their end."),
			   1);
	download->working = true;
	transfer_send(download->transfer, &statement);
}

static void
on_gone(struct request *request)
{
	struct download *download = request->data;

	download->sending = false;
	free_piece(download);
	end_answer(download);
	if (!download->transfer)
		return;
	if (!download->begun)
		close_transfer(download);
	else if (!download->working)
		cut(download);
}

/* Before the first byte a fault is an answer like any other. */
static void
refuse(struct download *download, const struct pool_result *result)
{
	download->request->on_gone = NULL;
	download->answered = true;
	http_query_problem(download->request, result);
	close_transfer(download);
}

/* A statement failed. */
static void
fail(struct download *download, const struct pool_result *result)
{
	if (!download->begun)
	{
		refuse(download, result);
		return;
	}
	log_event(LOG_LEVEL_ERROR,
			  "download",
			  "%s: SQLSTATE %s: %s",
			  download->request->id,
			  result->sqlstate ? result->sqlstate : "",
			  result->message ? result->message : "the connection was lost");
	break_off(download);
}

static void
on_lost(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);
	bool begun = download->begun;

	fail(download, result);
	if (begun)
		close_transfer(download);
}

static bool
takes_too_long(const struct download *download)
{
	if (text_clock_us() / 1000 - download->since <= LONGEST_MS)
		return false;
	log_event(LOG_LEVEL_INFO, "download", "%s: takes too long", download->request->id);
	return true;
}

static void
drop_client(struct download *download)
{
	h2o_conn_t *conn = download->request->h2o->conn;
	int fd = h2o_socket_get_fd(conn->callbacks->get_socket(conn));

	/* the kernel shall not keep what the client does not take; h2o's write fails: it is gone */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	shutdown(fd, SHUT_RDWR);
}

/* One that takes nothing at all is left to the door; the transfer shall not end before. */
static void
on_beat(struct timer *timer)
{
	struct download *download = H2O_STRUCT_FROM_MEMBER(struct download, beat, timer);
	struct transfer_statement statement = { .sql = "SELECT 1",
											.timeout_ms = STATEMENT_MS,
											.on_done = on_beat_done };

	if (!download->transfer || download->working)
		return;
	if (takes_too_long(download))
	{
		drop_client(download);
		return;
	}
	download->working = true;
	transfer_send(download->transfer, &statement);
}

/* --- pieces --- */

static void
take_rows(struct download *download, const struct pool_result *result)
{
	int rows = pool_rows(result, 0);

	download->piece.len = 0;
	for (int i = 0; i < rows; i++)
	{
		struct pool_value value = pool_value(result, 0, i, 0);

		if (value.base)
			text_add(&download->piece, value.base, value.len);
	}
	if (rows > 0)
		download->wanted = 1 + BATCH / (long) (download->piece.len / (size_t) rows + 1);
	if (download->wanted > MOST_ROWS)
		download->wanted = MOST_ROWS;
}

/* False: the client is gone, and the request released. */
static bool
begin_answer(struct download *download)
{
	const char *type = download->type;
	bool compress = strncmp(type, "text/", 5) == 0 || strstr(type, "json") != NULL;

	return http_download_begin(
		download->request, download->status, type, download->length, compress, &download->super);
}

static void
send_piece(struct download *download)
{
	h2o_iovec_t piece = h2o_iovec_init(download->piece.base, download->piece.len);

	if (!download->begun)
	{
		download->begun = true;
		begin_answer(download);
	}
	download->sending = true;
	download->bytes += piece.len;
	timer_start(&download->beat, BEAT_MS, on_beat);
	h2o_send(download->request->h2o, &piece, 1, H2O_SEND_STATE_IN_PROGRESS);
}

/* All is there and committed. What fits one batch is an answer of known length. */
static void
on_committed(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);
	struct request *request = download->request;
	struct text *piece = &download->piece;

	download->working = false;
	if (!result->ok)
	{
		bool begun = download->begun;

		fail(download, result);
		if (begun)
			close_transfer(download);
		return;
	}
	if (!download->begun)
	{
		request->on_gone = NULL;
		http_reply(request, download->status, download->type, piece->base, piece->len);
	}
	else if (!download->answered)
		send_last(download,
				  h2o_strdup(&request->h2o->pool, piece->base ? piece->base : "", piece->len),
				  H2O_SEND_STATE_FINAL);
	close_transfer(download);
}

static void
on_fetched(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);
	long wanted = download->wanted;
	bool begun = download->begun;

	download->working = false;
	if (!result->ok)
	{
		fail(download, result);
		if (begun)
			cut(download);
		return;
	}
	if (download->answered)
	{
		cut(download);
		return;
	}
	take_rows(download, result);
	if (pool_rows(result, 0) < wanted)
	{
		download->working = true;
		transfer_commit(transfer, on_committed);
	}
	else
		send_piece(download);
}

static void
fetch(struct download *download)
{
	struct transfer_statement statement = { .timeout_ms = download->route->timeout_ms,
											.binary_result = true,
											.on_done = on_fetched };
	struct text sql = { 0 };

	text_printf(&sql, "FETCH FORWARD %ld FROM %s", download->wanted, download->fetch.base);
	statement.sql = sql.base;
	download->working = true;
	transfer_send(download->transfer, &statement);
	text_free(&sql);
}

static void
on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
	struct download *download = (struct download *) generator;

	(void) req;
	download->sending = false;
	timer_stop(&download->beat);
	free_piece(download);
	if (download->failed)
		break_off(download);
	else if (!download->working && takes_too_long(download))
	{
		break_off(download);
		cut(download);
	}
	else if (!download->working)
		fetch(download);
}

static void
on_beat_done(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);

	download->working = false;
	if (!result->ok)
		fail(download, result);
	if (!result->ok || download->answered)
		cut(download);
	else if (!download->sending)
		fetch(download);
	else
		timer_start(&download->beat, BEAT_MS, on_beat);
}

/* --- its beginning --- */

static void
on_savepoint(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);

	if (result->ok)
		fetch(download);
	else
		refuse(download, result);
}

/* Type and length of the content are told to h2o, not as headers. */
static void
read_headers(struct download *download, json_t *headers)
{
	const char *name;
	json_t *value;
	void *next;
	int64_t length;

	json_object_foreach_safe(headers, next, name, value)
	{
		const char *text = json_string_value(value);

		if (!text)
			continue;
		if (strcasecmp(name, "content-type") == 0)
			download->type = http_copy(download->request, text, strlen(text));
		else if (strcasecmp(name, "content-length") == 0 &&
				 text_integer(text, strlen(text), &length) && length >= 0)
			download->length = (size_t) length;
		else
			continue;
		json_object_del(headers, name);
	}
	answer_headers(download->request, headers);
}

/* What finish() says. False: the client has that version. */
static bool
read_finish(struct download *download, const struct pool_result *result)
{
	struct request *request = download->request;
	struct pool_value status = pool_value(result, 0, 0, FINISH_STATUS);
	struct pool_value etag = pool_value(result, 0, 0, FINISH_ETAG);
	struct pool_value headers = pool_value(result, 0, 0, FINISH_HEADERS);
	struct pool_value gseq = pool_value(result, 0, 0, FINISH_GSEQ);
	json_t *object = headers.base ? json_loadb(headers.base, headers.len, 0, NULL) : NULL;

	download->status = status.base ? (int) strtol(status.base, NULL, 10) : download->route->success;
	read_headers(download, object);
	json_decref(object);
	if (gseq.base)
		http_header(request, "x-saleshub-seq", http_copy(request, gseq.base, gseq.len));
	return !etag.base || !http_unchanged(request, http_copy(request, etag.base, etag.len), false);
}

static void
on_finish(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);
	struct request *request = download->request;
	struct transfer_statement statement = { .sql = "SAVEPOINT download",
											.timeout_ms = STATEMENT_MS,
											.on_done = on_savepoint };
	bool wanted;

	if (!result->ok)
	{
		refuse(download, result);
		return;
	}
	wanted = read_finish(download, result);
	if (wanted && !request->head)
	{
		transfer_send(transfer, &statement);
		return;
	}
	request->on_gone = NULL;
	if (!wanted)
		http_reply(request, 304, NULL, NULL, 0);
	else if (begin_answer(download))
		send_last(download, h2o_iovec_init(NULL, 0), H2O_SEND_STATE_FINAL);
	close_transfer(download);
}

/* The function's result: the name of a cursor. */
static void
on_called(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);
	struct pool_value name = pool_value(result, 0, 0, 0);
	struct transfer_statement statement = { .sql = "SELECT * FROM saleshub.finish()",
											.timeout_ms = STATEMENT_MS,
											.on_done = on_finish };

	if (!result->ok)
	{
		refuse(download, result);
		return;
	}
	if (!name.base)
	{
		download->request->on_gone = NULL;
		http_problem(download->request, 404, "not_found", "There is no such record.", NULL, NULL);
		close_transfer(download);
		return;
	}
	text_puts(&download->fetch, "\"");
	for (size_t i = 0; i < name.len; i++)
		text_add(&download->fetch,
				 name.base[i] == '"' ? "\"\"" : name.base + i,
				 name.base[i] == '"' ? 2 : 1);
	text_puts(&download->fetch, "\"");
	transfer_send(transfer, &statement);
}

static void
on_context(struct transfer *transfer, const struct pool_result *result)
{
	struct download *download = download_of(transfer);
	struct transfer_statement statement = { .sql = download->route->sql,
											.nparams = download->route->nargs,
											.values = download->values,
											.timeout_ms = download->route->timeout_ms,
											.on_done = on_called };

	if (result->ok)
		transfer_send(transfer, &statement);
	else
		refuse(download, result);
}

static void
on_ready(struct transfer *transfer)
{
	struct download *download = download_of(transfer);
	struct transfer_statement statement = {
		.sql = answer_ctx_sql,
		.nparams = ANSWER_CTX_PARAMS,
		.values = download->context.values,
		.timeout_ms = STATEMENT_MS,
		.on_done = on_context,
	};

	transfer_send(transfer, &statement);
}

void
download_run(struct request *request, struct route_table *table, const struct route *route,
			 const char **values)
{
	static const struct transfer_events events = { on_ready, on_lost };
	struct download *download = http_alloc(request, sizeof *download);

	download->super.proceed = on_proceed;
	download->request = request;
	download->table = table;
	download->route = route;
	download->values = values;
	download->type = "application/octet-stream";
	download->length = SIZE_MAX;
	download->wanted = 2;
	download->since = text_clock_us() / 1000;
	answer_context(&download->context, request, route, false);
	if (enter(download))
	{
		download->transfer = transfer_open(&events, download);
		if (!download->transfer)
			leave(download);
	}
	if (!download->transfer)
	{
		http_header(request, "retry-after", "5");
		http_problem(request,
					 503,
					 "too_many_transfers",
					 "There are too many uploads and downloads under way.",
					 NULL,
					 NULL);
		route_release(table);
		http_release(request);
		return;
	}
	request->data = download;
	request->on_gone = on_gone;
}
