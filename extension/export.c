/*
 * The rows of a cursor as text, in pieces of some 64 kB: CSV or lines of JSON. Rows are taken as
 * the executor makes them and written straight into the piece; only one piece is in memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "export_text.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_export_chunks);
PG_FUNCTION_INFO_V1(sh_export_sent);

enum
{
	PIECE = 64 * 1024,
	FIRST_ROWS = 32,
	MOST_ROWS = 4096
};

struct column
{
	Oid type;
	char *before; /* its value in a line of JSON: the key, and what goes before that */
	int before_len;
	FmgrInfo out; /* of types without a writer of their own */
};

struct export
{
	DestReceiver dest;
	bool json;
	struct csv_writer csv;
	StringInfoData piece;
	ArrayType *names; /* of the columns, or keys */
	bool headed;	  /* the header is written, or there is none */
	bool bom;
	char *rows; /* the cursor */
	int natts;
	struct column *columns;
	MemoryContext row; /* emptied after each */
	int64 count;
	bool ended, noted;
};

/* What the latest export of this transaction gave out; stands after a rollback to a savepoint. */
static struct
{
	bool noted;
	pg_uuid_t id;
	int64 rows, bytes;
} sent;

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		memset(&sent, 0, sizeof(sent));
}

/* --- one value --- */

/* Those whose text is short and wants neither quotes nor escapes in it; 0: it is another type. */
static int
write_short(char out[MAXDATELEN + 2], Oid type, Datum value)
{
	static const char digits[] = "0123456789abcdef";
	char *p = out;

	switch (type)
	{
		case UUIDOID:
			for (int i = 0; i < UUID_LEN; i++)
			{
				if (i == 4 || i == 6 || i == 8 || i == 10)
					*p++ = '-';
				*p++ = digits[DatumGetUUIDP(value)->data[i] >> 4];
				*p++ = digits[DatumGetUUIDP(value)->data[i] & 15];
			}
			return 36;
		case TIMESTAMPTZOID:
			/* an instant is kept in UTC, so that it reads as a timestamp of UTC */
			JsonEncodeDateTime(out, value, TIMESTAMPOID, NULL);
			return (int) strlcat(out, "Z", MAXDATELEN + 2);
		case DATEOID:
			JsonEncodeDateTime(out, value, DATEOID, NULL);
			return (int) strlen(out);
		case BOOLOID:
			return (int) strlcpy(out, DatumGetBool(value) ? "true" : "false", MAXDATELEN + 2);
		case INT2OID:
			return pg_lltoa(DatumGetInt16(value), out);
		case INT4OID:
			return pg_lltoa(DatumGetInt32(value), out);
		case INT8OID:
			return pg_lltoa(DatumGetInt64(value), out);
		default:
			return 0;
	}
}

/* Items with ; between them; \ before what a reader may take for the end of one, and itself. */
static void
write_list(struct csv_writer *csv, ArrayType *array)
{
	StringInfoData list;
	Datum *items;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &n);
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		text *item = nulls[i] ? NULL : DatumGetTextPP(items[i]);

		if (i > 0)
			appendStringInfoChar(&list, ';');
		for (int c = 0; item && c < VARSIZE_ANY_EXHDR(item); c++)
		{
			char byte = VARDATA_ANY(item)[c];

			if (byte == ';' || byte == ',' || byte == '|' || byte == '\\')
				appendStringInfoChar(&list, '\\');
			appendStringInfoChar(&list, byte);
		}
	}
	if (n == 0)
		sh_csv_null(csv);
	else
		sh_csv_text(csv, list.data, list.len, true);
}

static void
write_value(struct csv_writer *csv, struct column *column, Datum value)
{
	char brief[MAXDATELEN + 2];
	int len = write_short(brief, column->type, value);
	char *out;
	text *t;

	if (len > 0)
	{
		sh_csv_bare(csv, brief, len);
		return;
	}
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
			t = DatumGetTextPP(value);
			sh_csv_text(csv, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), true);
			break;
		case TEXTARRAYOID:
			write_list(csv, DatumGetArrayTypeP(value));
			break;
		case NUMERICOID:
			out = OutputFunctionCall(&column->out, value);
			sh_csv_bare(csv, out, strlen(out));
			break;
		default:
			out = OutputFunctionCall(&column->out, value);
			sh_csv_text(csv, out, strlen(out), true);
	}
}

static void
write_json_list(StringInfo out, ArrayType *array)
{
	Datum *items;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &n);
	appendStringInfoChar(out, '[');
	for (int i = 0; i < n; i++)
	{
		text *item = nulls[i] ? NULL : DatumGetTextPP(items[i]);

		if (i > 0)
			appendStringInfoString(out, ", ");
		if (item)
			sh_export_string(out, VARDATA_ANY(item), VARSIZE_ANY_EXHDR(item));
		else
			appendStringInfoString(out, "null");
	}
	appendStringInfoChar(out, ']');
}

/* As to_jsonb() would have it. */
static void
write_json(StringInfo out, struct column *column, Datum value)
{
	char brief[MAXDATELEN + 2];
	int len = write_short(brief, column->type, value);
	bool bare = column->type == BOOLOID || column->type == INT2OID || column->type == INT4OID ||
				column->type == INT8OID;
	char *text;

	if (len > 0 && bare)
		appendBinaryStringInfo(out, brief, len);
	else if (len > 0)
		sh_export_string(out, brief, len);
	else if (column->type == JSONBOID)
	{
		Jsonb *json = DatumGetJsonbP(value);

		JsonbToCString(out, &json->root, VARSIZE(json));
	}
	else if (column->type == TEXTARRAYOID)
		write_json_list(out, DatumGetArrayTypeP(value));
	else
	{
		text = OutputFunctionCall(&column->out, value);
		/* JSON knows no other numbers than finite ones */
		if (column->type == NUMERICOID && strcspn(text, "NI") == strlen(text))
			appendStringInfoString(out, text);
		else
			sh_export_string(out, text, strlen(text));
	}
}

/* --- rows --- */

/* What goes before each value of a line of JSON. */
static void
name_columns(struct export *export)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(export));
	Datum *names;
	int n;

	deconstruct_array(export->names, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		text *name = DatumGetTextPP(names[i]);
		StringInfoData before;

		initStringInfo(&before);
		appendStringInfoString(&before, i == 0 ? "{" : ", ");
		sh_export_string(&before, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
		appendStringInfoString(&before, ": ");
		export->columns[i].before = before.data;
		export->columns[i].before_len = before.len;
	}
	MemoryContextSwitchTo(old);
}

static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
	struct export *export = (struct export *) self;

	if (export->columns)
		return;
	if (desc->natts != ArrayGetNItems(ARR_NDIM(export->names), ARR_DIMS(export->names)))
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the cursor has %d columns, which are not as many as the names", desc->natts)));
	export->natts = desc->natts;
	export->columns = MemoryContextAllocZero(GetMemoryChunkContext(export),
											 sizeof(struct column) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Oid out;
		bool varlena;

		export->columns[i].type = getBaseType(TupleDescAttr(desc, i)->atttypid);
		getTypeOutputInfo(export->columns[i].type, &out, &varlena);
		fmgr_info_cxt(out, &export->columns[i].out, GetMemoryChunkContext(export));
	}
	name_columns(export);
}

static void
write_line(struct export *export, TupleTableSlot *slot)
{
	StringInfo out = &export->piece;

	for (int i = 0; i < export->natts; i++)
	{
		struct column *column = &export->columns[i];

		appendBinaryStringInfo(out, column->before, column->before_len);
		if (slot->tts_isnull[i])
			appendBinaryStringInfo(out, "null", 4);
		else
			write_json(out, column, slot->tts_values[i]);
	}
	appendBinaryStringInfo(out, "}\n", 2);
}

static bool
take_row(TupleTableSlot *slot, DestReceiver *self)
{
	struct export *export = (struct export *) self;
	MemoryContext old = MemoryContextSwitchTo(export->row);

	slot_getallattrs(slot);
	if (export->json)
		write_line(export, slot);
	else
	{
		for (int i = 0; i < export->natts; i++)
		{
			if (slot->tts_isnull[i])
				sh_csv_null(&export->csv);
			else
				write_value(&export->csv, &export->columns[i], slot->tts_values[i]);
		}
		sh_csv_end_row(&export->csv);
	}
	export->count++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(export->row);
	return true;
}

static void
end_rows(DestReceiver *self)
{
}

/* --- pieces --- */

static void
write_header(struct export *export)
{
	Datum *names;
	int n;

	deconstruct_array(export->names, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	if (export->bom)
		appendStringInfoString(&export->piece, "\xEF\xBB\xBF");
	for (int i = 0; i < n; i++)
	{
		text *name = DatumGetTextPP(names[i]);

		sh_csv_text(&export->csv, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), true);
	}
	sh_csv_end_row(&export->csv);
	export->headed = true;
}

/* As many rows as should fill what is left of the piece, by the size of those before. */
static long
rows_wanted(const struct export *export, int64 before, int start)
{
	int64 rows = export->count - before;
	int64 size = rows > 0 ? Max((export->piece.len - start) / rows, 1) : 0;

	if (size == 0)
		return FIRST_ROWS;
	return (long) Min(Max((PIECE - export->piece.len) / size, 1), MOST_ROWS);
}

static void
fill_piece(struct export *export)
{
	Portal portal = GetPortalByName(export->rows);
	int64 before = export->count;
	int start;

	if (!PortalIsValid(portal))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_CURSOR),
				 errmsg("cursor \"%s\" does not exist", export->rows)));
	if (portal->strategy != PORTAL_ONE_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
				 errmsg("cursor \"%s\" is not of a plain query", export->rows)));
	resetStringInfo(&export->piece);
	if (!export->headed)
		write_header(export);
	start = export->piece.len;
	while (!export->ended && export->piece.len < PIECE)
	{
		long wanted = rows_wanted(export, before, start);

		CHECK_FOR_INTERRUPTS();
		export->ended =
			PortalRunFetch(portal, FETCH_FORWARD, wanted, &export->dest) < (uint64) wanted;
	}
}

static struct export *
begin_export(FunctionCallInfo fcinfo)
{
	struct export *export = palloc0(sizeof(*export));
	text *delimiter = PG_GETARG_TEXT_PP(3);

	if (VARSIZE_ANY_EXHDR(delimiter) != 1)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the delimiter must be one byte")));
	export->dest.receiveSlot = take_row;
	export->dest.rStartup = start_rows;
	export->dest.rShutdown = end_rows;
	export->dest.rDestroy = end_rows;
	export->dest.mydest = DestCopyOut;
	export->rows = text_to_cstring(PG_GETARG_TEXT_PP(0));
	export->json = strcmp(text_to_cstring(PG_GETARG_TEXT_PP(1)), "ndjson") == 0;
	export->names = PG_GETARG_ARRAYTYPE_P_COPY(2);
	export->headed = export->json;
	export->bom = PG_GETARG_BOOL(5);
	initStringInfo(&export->piece);
	sh_csv_init(&export->csv, &export->piece, VARDATA_ANY(delimiter)[0], PG_GETARG_BOOL(4));
	export->row = AllocSetContextCreate(CurrentMemoryContext, "export row", ALLOCSET_DEFAULT_SIZES);
	memset(&sent, 0, sizeof(sent));
	if (!PG_ARGISNULL(6))
	{
		sent.noted = true;
		sent.id = *PG_GETARG_UUID_P(6);
	}
	return export;
}

/* All is given out: the entry of the log says so. */
static void
note_end(struct export *export)
{
	static const char sql[] = "SELECT saleshub.export_note_sent($1, $2, $3, true)";
	Oid types[3] = { UUIDOID, INT8OID, INT8OID };
	Datum values[3] = { UUIDPGetDatum(&sent.id),
						Int64GetDatum(sent.rows),
						Int64GetDatum(sent.bytes) };

	export->noted = true;
	if (!sent.noted)
		return;
	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 3, types), values, NULL, false, 0);
	SPI_finish();
}

/*
 * saleshub.export_chunks(rows text, format text, names text[], delimiter text, guard bool,
 * bom bool, log uuid) returns setof text, one piece at a time when selected by a cursor.
 */
Datum
sh_export_chunks(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	struct export *export;

	if (SRF_IS_FIRSTCALL())
	{
		static bool registered = false;
		MemoryContext old;

		if (!registered)
			RegisterXactCallback(on_transaction_end, NULL);
		registered = true;
		for (int i = 0; i < 6; i++)
			if (PG_ARGISNULL(i))
				ereport(ERROR,
						(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("argument %d must not be null", i + 1)));
		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->user_fctx = begin_export(fcinfo);
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	export = call->user_fctx;
	if (!export->ended)
		fill_piece(export);
	else
		resetStringInfo(&export->piece);
	sent.rows = export->count;
	sent.bytes += export->piece.len;
	if (export->ended && !export->noted)
		note_end(export);
	if (export->piece.len == 0)
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(
		call, PointerGetDatum(cstring_to_text_with_len(export->piece.data, export->piece.len)));
}

/*
 * saleshub.export_sent(out id uuid, out rows int8, out bytes int8): what the latest export of
 * this transaction gave out so far; NULLs when there is none.
 */
Datum
sh_export_sent(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[3] = { UUIDPGetDatum(&sent.id),
						Int64GetDatum(sent.rows),
						Int64GetDatum(sent.bytes) };
	bool nulls[3] = { !sent.noted, !sent.noted, !sent.noted };

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
