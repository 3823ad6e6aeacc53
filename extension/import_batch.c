/*
 * Some rows of a file at a time, in the memory of a transaction: SQL reads them as a table,
 * fills in what they refer to, decides what becomes of each, and takes the issues.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "import.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_import_open);
PG_FUNCTION_INFO_V1(sh_import_fetch);
PG_FUNCTION_INFO_V1(sh_import_rows);
PG_FUNCTION_INFO_V1(sh_import_put);
PG_FUNCTION_INFO_V1(sh_import_mark);
PG_FUNCTION_INFO_V1(sh_import_note);
PG_FUNCTION_INFO_V1(sh_import_issues);
PG_FUNCTION_INFO_V1(sh_import_counts);
PG_FUNCTION_INFO_V1(sh_import_nearest);

#define MOST_ROWS 20000

struct batch
{
	MemoryContext memory;		  /* of the whole; goes with the transaction */
	MemoryContext rows_memory[2]; /* by turns: a row that was held back outlives its batch */
	int turn;
	struct import_layout *layout;
	struct import_source source;
	struct import_maker maker;
	struct csv_reader reader;
	struct import_row **row;
	int rows;
	List *issues;
	struct import_row *held; /* has the key of a row before it: the first of the next batch */
	List *held_issues;
	int64 held_at;
	int64 held_line;
	HTAB *keys;
	bool done;
};

static struct batch *open_batch = NULL;

static void
forget(void *arg)
{
	if (open_batch == arg)
		open_batch = NULL;
}

static struct batch *
current_batch(void)
{
	if (!open_batch)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no import is open in this transaction")));
	return open_batch;
}

/* --- reading --- */

/* The next row as it stands; false at the end of the file. */
static bool
read_raw(struct batch *batch)
{
	struct import_source *source = &batch->source;
	struct csv_row *row = batch->maker.raw;

	for (;;)
	{
		enum csv_status status = sh_csv_next(&batch->reader,
											 source->text.data + source->start,
											 source->text.len - source->start,
											 source->ended,
											 row);

		CHECK_FOR_INTERRUPTS();
		if (status == CSV_ROW)
			return true;
		sh_source_pass(source, row->size);
		if (status == CSV_END)
			return false;
		(void) sh_source_more(source);
	}
}

static void
pass_raw(struct batch *batch)
{
	sh_source_pass(&batch->source, batch->maker.raw->size);
}

static bool
is_blank(const struct csv_row *row)
{
	return row->cells == 1 && row->cell[0].len == 0 && !row->cell[0].quoted &&
		   row->fault == CSV_FINE;
}

static void
pass_mark_and_header(struct batch *batch)
{
	struct import_source *source = &batch->source;

	while (source->text.len - source->start < 3 && sh_source_more(source))
		;
	if (source->text.len - source->start >= 3 &&
		memcmp(source->text.data + source->start, "\xEF\xBB\xBF", 3) == 0)
		sh_source_pass(source, 3);
	while (batch->layout->header && read_raw(batch))
	{
		pass_raw(batch);
		if (!is_blank(batch->maker.raw))
			break;
	}
}

/* saleshub.import_open(layout jsonb, upload uuid, at bigint, line bigint) */
Datum
sh_import_open(PG_FUNCTION_ARGS)
{
	MemoryContext memory =
		AllocSetContextCreate(TopTransactionContext, "saleshub import", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(memory);
	struct batch *batch = palloc0(sizeof(*batch));
	MemoryContextCallback *end = palloc0(sizeof(*end));
	pg_uuid_t org;
	int64 at = PG_GETARG_INT64(2);

	if (open_batch)
		MemoryContextDelete(open_batch->memory);
	if (!sh_context_org(&org))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("no organisation is set")));
	batch->memory = memory;
	for (int i = 0; i < 2; i++)
		batch->rows_memory[i] =
			AllocSetContextCreate(memory, "saleshub import rows", ALLOCSET_DEFAULT_SIZES);
	batch->layout = sh_import_layout(PG_GETARG_JSONB_P_COPY(0));
	sh_import_maker(&batch->maker, batch->layout);
	batch->reader = (struct csv_reader){ .delimiter = batch->layout->delimiter,
										 .quote = batch->layout->quote,
										 .limit = batch->layout->limit,
										 .line = PG_GETARG_INT64(3) };
	sh_source_open(&batch->source, &org, PG_GETARG_UUID_P(1), at, batch->layout->wide);
	if (at == 0)
		pass_mark_and_header(batch);
	batch->row = palloc(sizeof(struct import_row *) * MOST_ROWS);
	end->func = forget;
	end->arg = batch;
	MemoryContextRegisterResetCallback(memory, end);
	open_batch = batch;
	MemoryContextSwitchTo(caller);
	PG_RETURN_VOID();
}

static HTAB *
new_keys(void)
{
	return sh_table(
		"saleshub import keys", sizeof(uint64), sizeof(uint64), 2048, CurrentMemoryContext);
}

/* Whether a row of this batch has the same key; two rows of one key never share a batch. */
static bool
is_repeated(struct batch *batch, const struct import_row *row)
{
	uint64 hash;
	bool found;

	if (!row->key || row->status == ROW_ERROR)
		return false;
	hash = DatumGetUInt64(
		hash_any_extended((const unsigned char *) row->key, (int) strlen(row->key), 0));
	(void) hash_search(batch->keys, &hash, HASH_ENTER, &found);
	return found;
}

static void
begin_rows(struct batch *batch)
{
	batch->turn = 1 - batch->turn;
	MemoryContextReset(batch->rows_memory[batch->turn]);
	MemoryContextSwitchTo(batch->rows_memory[batch->turn]);
	batch->rows = 0;
	batch->issues = NIL;
	batch->keys = new_keys();
	if (!batch->held)
		return;
	(void) is_repeated(batch, batch->held);
	batch->row[batch->rows++] = batch->held;
	batch->issues = list_copy(batch->held_issues);
	for (int i = 0; i < list_length(batch->issues); i++)
		((struct import_issue *) list_nth(batch->issues, i))->row = 0;
	batch->held = NULL;
	batch->held_issues = NIL;
}

static void
fetch(struct batch *batch, int most)
{
	begin_rows(batch);
	while (batch->rows < most && !batch->done)
	{
		List *issues = NIL;
		struct import_row *row;
		int64 at;
		int64 line;

		if (!read_raw(batch))
		{
			batch->done = true;
			break;
		}
		at = batch->source.at;
		line = batch->maker.raw->line;
		row =
			is_blank(batch->maker.raw) ? NULL : sh_import_row(&batch->maker, batch->rows, &issues);
		pass_raw(batch);
		if (!row)
			continue;
		if (is_repeated(batch, row))
		{
			batch->held = row;
			batch->held_issues = issues;
			batch->held_at = at;
			batch->held_line = line;
			break;
		}
		batch->row[batch->rows++] = row;
		batch->issues = list_concat(batch->issues, issues);
	}
}

bool
sh_import_ended(void)
{
	return open_batch && open_batch->done && !open_batch->held;
}

/* saleshub.import_fetch(most integer, OUT rows integer, OUT at bigint, OUT line bigint,
 * OUT done boolean): the next rows; at and line are where to open the file again after them. */
Datum
sh_import_fetch(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	int most = Min(Max(PG_GETARG_INT32(0), 1), MOST_ROWS);
	MemoryContext caller = CurrentMemoryContext;
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = { false };

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	fetch(batch, most);
	MemoryContextSwitchTo(caller);
	values[0] = Int32GetDatum(batch->rows);
	values[1] = Int64GetDatum(batch->held ? batch->held_at : batch->source.at);
	values[2] = Int64GetDatum(batch->held ? batch->held_line : batch->reader.line);
	values[3] = BoolGetDatum(batch->done && !batch->held);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* --- rows as a table --- */

static const char *const status_names[ROW_STATUSES] = { "new",	"create",	"update",
														"skip", "conflict", "error" };

static enum import_status
status_named(const text *name)
{
	char *wanted = text_to_cstring(name);

	for (int i = 0; i < ROW_STATUSES; i++)
		if (strcmp(status_names[i], wanted) == 0)
			return (enum import_status) i;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("rows have no status \"%s\"", wanted)));
	return ROW_NEW;
}

/* saleshub.import_rows(status text) returns setof record: n, line, id, and the values as text */
Datum
sh_import_rows(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	enum import_status status = status_named(PG_GETARG_TEXT_PP(0));
	int outs = batch->layout->outs;
	Datum *values = palloc0(sizeof(Datum) * (outs + 3));
	bool *nulls = palloc0(sizeof(bool) * (outs + 3));
	TupleDesc desc;
	Tuplestorestate *store = sh_result_begin(fcinfo, &desc);

	if (desc->natts != outs + 3)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("rows have %d columns, not %d", outs + 3, desc->natts)));
	for (int n = 0; n < batch->rows; n++)
	{
		struct import_row *row = batch->row[n];

		if (row->status != status)
			continue;
		values[0] = Int32GetDatum(n);
		values[1] = Int64GetDatum(row->line);
		values[2] = UUIDPGetDatum(&row->id);
		nulls[2] = status != ROW_CREATE && status != ROW_UPDATE;
		for (int i = 0; i < outs; i++)
		{
			nulls[3 + i] = !row->out[i];
			values[3 + i] = PointerGetDatum(row->out[i]);
		}
		tuplestore_putvalues(store, desc, values, nulls);
	}
	return (Datum) 0;
}

static void
take_array(ArrayType *array, Oid type, int count, Datum **values, bool **nulls)
{
	int16 len;
	bool by_value;
	char align;
	int n;

	get_typlenbyvalalign(type, &len, &by_value, &align);
	deconstruct_array(array, type, len, by_value, align, values, nulls, &n);
	if (count >= 0 && n != count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are %d values for %d rows", n, count)));
}

static struct import_row *
row_at(struct batch *batch, Datum n)
{
	int32 place = DatumGetInt32(n);

	if (place < 0 || place >= batch->rows)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("there is no row %d", place)));
	return batch->row[place];
}

/* saleshub.import_put(value integer, n integer[], texts text[]): fills values in; from 0 */
Datum
sh_import_put(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	int out = PG_GETARG_INT32(0);
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	MemoryContext caller;
	Datum *n;
	Datum *texts;
	bool *nulls;

	if (out < 0 || out >= batch->layout->outs)
		elog(ERROR, "rows have no value %d", out);
	take_array(array, INT4OID, -1, &n, &nulls);
	take_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, count, &texts, &nulls);
	caller = MemoryContextSwitchTo(batch->rows_memory[batch->turn]);
	for (int i = 0; i < count; i++)
		row_at(batch, n[i])->out[out] = nulls[i] ? NULL : DatumGetTextPCopy(texts[i]);
	MemoryContextSwitchTo(caller);
	PG_RETURN_VOID();
}

/*
 * saleshub.import_mark(status text, n integer[], ids uuid[]): what becomes of rows; with status
 * create and without ids they get new ones. Rows with an error keep it.
 */
Datum
sh_import_mark(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	enum import_status status = status_named(PG_GETARG_TEXT_PP(0));
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	Datum *n;
	Datum *ids = NULL;
	bool *nulls = NULL;

	take_array(array, INT4OID, -1, &n, &nulls);
	if (!PG_ARGISNULL(2))
		take_array(PG_GETARG_ARRAYTYPE_P(2), UUIDOID, count, &ids, &nulls);
	for (int i = 0; i < count; i++)
	{
		struct import_row *row = row_at(batch, n[i]);

		if (row->status == ROW_ERROR)
			continue;
		row->status = status;
		if (ids && !nulls[i])
			row->id = *DatumGetUUIDP(ids[i]);
		else if (status == ROW_CREATE)
			sh_uuid_v7(&row->id);
	}
	PG_RETURN_VOID();
}

/* --- issues --- */

static const char *
column_text(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/*
 * saleshub.import_note(error boolean, code text, col text, n integer[], messages text[],
 * raws text[]): adds issues; those of errors mark their rows.
 */
Datum
sh_import_note(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	bool error = PG_GETARG_BOOL(0);
	MemoryContext caller;
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(3);
	int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const char *code;
	const char *column;
	Datum *n;
	Datum *messages;
	Datum *raws = NULL;
	bool *nulls;
	bool *raw_nulls = NULL;

	caller = MemoryContextSwitchTo(batch->rows_memory[batch->turn]);
	code = column_text(fcinfo, 1);
	column = column_text(fcinfo, 2);
	take_array(array, INT4OID, -1, &n, &nulls);
	take_array(PG_GETARG_ARRAYTYPE_P(4), TEXTOID, count, &messages, &nulls);
	if (!PG_ARGISNULL(5))
		take_array(PG_GETARG_ARRAYTYPE_P(5), TEXTOID, count, &raws, &raw_nulls);
	for (int i = 0; i < count; i++)
	{
		struct import_row *row = row_at(batch, n[i]);

		sh_import_issue(&batch->issues,
						DatumGetInt32(n[i]),
						error,
						code,
						column,
						TextDatumGetCString(messages[i]),
						raws && !raw_nulls[i] ? TextDatumGetCString(raws[i]) : NULL);
		if (error && row->status != ROW_CONFLICT)
			row->status = ROW_ERROR;
	}
	MemoryContextSwitchTo(caller);
	PG_RETURN_VOID();
}

static Datum
text_or_null(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

static Datum
cells_of(const struct import_row *row)
{
	Datum *cell = palloc(sizeof(Datum) * (row->cells + 1));

	for (int i = 0; i < row->cells; i++)
		cell[i] = CStringGetTextDatum(row->cell[i]);
	return PointerGetDatum(construct_array(cell, row->cells, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * saleshub.import_issues() returns setof (line bigint, error boolean, col text, code text,
 * message text, raw text, cells text[]): in the order of the rows; the cells of rows with errors
 * come with the first.
 */
Datum
sh_import_issues(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	bool *shown = palloc0(sizeof(bool) * (batch->rows + 1));
	TupleDesc desc;
	Tuplestorestate *store = sh_result_begin(fcinfo, &desc);

	for (int i = 0; i < list_length(batch->issues); i++)
	{
		struct import_issue *issue = list_nth(batch->issues, i);
		struct import_row *row = batch->row[issue->row];
		Datum values[7];
		bool nulls[7] = { false };

		values[0] = Int64GetDatum(row->line);
		values[1] = BoolGetDatum(issue->error);
		values[2] = text_or_null(issue->column, &nulls[2]);
		values[3] = text_or_null(issue->code, &nulls[3]);
		values[4] = text_or_null(issue->message, &nulls[4]);
		values[5] = text_or_null(issue->raw, &nulls[5]);
		nulls[6] = !issue->error || shown[issue->row];
		values[6] = nulls[6] ? (Datum) 0 : cells_of(row);
		shown[issue->row] |= issue->error;
		tuplestore_putvalues(store, desc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * saleshub.import_counts() returns integer[]: rows in all, then by status in the order of
 * status_names, then how many have warnings
 */
Datum
sh_import_counts(PG_FUNCTION_ARGS)
{
	struct batch *batch = current_batch();
	bool *warned = palloc0(sizeof(bool) * (batch->rows + 1));
	Datum counts[ROW_STATUSES + 2] = { 0 };
	int count[ROW_STATUSES + 2] = { 0 };

	count[0] = batch->rows;
	for (int n = 0; n < batch->rows; n++)
		count[1 + batch->row[n]->status]++;
	for (int i = 0; i < list_length(batch->issues); i++)
	{
		struct import_issue *issue = list_nth(batch->issues, i);

		count[ROW_STATUSES + 1] += !issue->error && !warned[issue->row];
		warned[issue->row] |= !issue->error;
	}
	for (int i = 0; i < ROW_STATUSES + 2; i++)
		counts[i] = Int32GetDatum(count[i]);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(counts, ROW_STATUSES + 2, INT4OID, 4, true, TYPALIGN_INT));
}

/* saleshub.import_nearest(word text, known text[]): the one that differs in few letters, or NULL */
Datum
sh_import_nearest(PG_FUNCTION_ARGS)
{
	text *word = PG_GETARG_TEXT_PP(0);
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(1);
	int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	int len = (int) VARSIZE_ANY_EXHDR(word);
	int best = len < 4 ? 2 : 3;
	Datum found = (Datum) 0;
	Datum *known;
	bool *nulls;

	take_array(array, TEXTOID, -1, &known, &nulls);
	for (int i = 0; i < count && len <= 200; i++)
	{
		text *other = nulls[i] ? NULL : DatumGetTextPP(known[i]);
		int distance;

		if (!other || VARSIZE_ANY_EXHDR(other) > 200)
			continue;
		distance = varstr_levenshtein_less_equal(VARDATA_ANY(word),
												 len,
												 VARDATA_ANY(other),
												 (int) VARSIZE_ANY_EXHDR(other),
												 1,
												 1,
												 1,
												 best,
												 true);
		if (distance < best)
		{
			best = distance;
			found = PointerGetDatum(other);
		}
	}
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(found);
}
