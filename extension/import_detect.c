/* A first look at a file: its encoding, its delimiter, and how its columns are written. */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "import.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_import_look);

/* Bytes and rows that are looked at. */
#define LOOK_BYTES (1 << 20)
#define LOOK_ROWS 5000
#define SAMPLES 3

struct column_look
{
	char *name;
	int evidence;
	int texts; /* cells that are neither number nor date */
	int filled;
	int dates;
	char *sample[SAMPLES];
	int samples;
};

struct look
{
	const char *encoding;
	char delimiter;
	bool header;
	struct column_look *column;
	int columns;
	int rows;
	bool whole;
};

static void
read_sample(struct import_source *source)
{
	while (source->text.len < LOOK_BYTES && sh_source_more(source))
		;
}

/* --- encoding --- */

static bool
starts_with(const StringInfo text, const char *bytes, int len)
{
	return text->len >= len && memcmp(text->data, bytes, len) == 0;
}

/* NULs at odd or even places only: UTF-16 without a mark. */
static const char *
wide_by_nuls(const StringInfo text)
{
	int len = Min(text->len, 4096);
	int odd = 0;
	int even = 0;

	for (int i = 0; i < len; i++)
		if (text->data[i] == '\0')
			*(i % 2 ? &odd : &even) += 1;
	if (odd > len / 4 && even < len / 50)
		return "utf-16le";
	if (even > len / 4 && odd < len / 50)
		return "utf-16be";
	return NULL;
}

static const char *
encoding_of(const StringInfo text, bool whole)
{
	const char *wide;
	int valid;

	if (starts_with(text, "\xFF\xFE", 2))
		return "utf-16le";
	if (starts_with(text, "\xFE\xFF", 2))
		return "utf-16be";
	if (starts_with(text, "\xEF\xBB\xBF", 3))
		return "utf-8";
	wide = wide_by_nuls(text);
	if (wide)
		return wide;
	/* a character may be cut off at the end of the sample; NULs are faults of their rows */
	valid = 0;
	while (valid < text->len)
	{
		valid += pg_encoding_verifymbstr(PG_UTF8, text->data + valid, text->len - valid);
		if (valid == text->len || text->data[valid] != '\0')
			break;
		valid++;
	}
	if (valid == text->len || (!whole && text->len - valid < 4))
		return "utf-8";
	return "windows-1252";
}

/* --- delimiter --- */

/* Of the first rows, how many have the columns of the first; times columns, if there are any. */
static int
delimiter_score(const StringInfo text, char delimiter, bool whole, struct csv_row *row)
{
	struct csv_reader reader = {
		.delimiter = delimiter, .quote = '"', .limit = LOOK_BYTES, .line = 1
	};
	char *copy = memcpy(palloc(text->len + 1), text->data, text->len);
	Size at = 0;
	int columns = 0;
	int same = 0;
	int rows = 0;

	while (rows < 50 && sh_csv_next(&reader, copy + at, text->len - at, whole, row) == CSV_ROW)
	{
		at += row->size;
		if (row->cells == 1 && row->cell[0].len == 0)
			continue;
		if (rows++ == 0)
			columns = row->cells;
		same += row->cells == columns && row->fault == CSV_FINE;
	}
	pfree(copy);
	return columns < 2 || rows == 0 ? 0 : same * 1000 / rows * 100 + Min(columns, 99);
}

static char
delimiter_of(const StringInfo text, bool whole, struct csv_row *row)
{
	static const char candidates[] = ",;\t|:";
	char best = ',';
	int most = 0;
	StringInfoData head = *text;

	head.len = Min(head.len, 65536);
	for (const char *c = candidates; *c; c++)
	{
		int score = delimiter_score(&head, *c, whole && head.len == text->len, row);

		if (score > most)
		{
			most = score;
			best = *c;
		}
	}
	return best;
}

/* --- columns --- */

static char *
cell_text(const struct csv_cell *cell, int encoding)
{
	int len = (int) Min(cell->len, 200);
	char *text = palloc(len + 1);

	memcpy(text, cell->data, len);
	text[len] = '\0';
	for (int i = 0; i < len; i++)
		if (text[i] == '\0')
			text[i] = '?';
	if (pg_encoding_verifymbstr(encoding, text, len) == len)
		return pg_any_to_server(text, len, encoding);
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(text[i]))
			text[i] = '?';
	return text;
}

static void
look_at_cell(struct column_look *column, char *text)
{
	int len = (int) strlen(text);
	int evidence;

	while (len > 0 && text[len - 1] == ' ')
		len--;
	while (len > 0 && *text == ' ')
	{
		text++;
		len--;
	}
	if (len == 0)
		return;
	column->filled++;
	if (column->samples < SAMPLES)
		column->sample[column->samples++] = pnstrdup(text, len);
	evidence = sh_import_evidence(text, len);
	column->evidence |= evidence;
	column->texts += evidence == EVIDENCE_NONE;
	column->dates += (evidence & EVIDENCE_DATE) != 0;
}

/* The first row names columns unless it has a cell that can be no name, or one name twice. */
static bool
names_columns(struct look *look)
{
	for (int i = 0; i < look->columns; i++)
	{
		const char *name = look->column[i].name;
		int len = (int) strlen(name);

		if (len == 0 || sh_import_email_ok(name, len) ||
			sh_import_evidence(name, len) != EVIDENCE_NONE)
			return false;
		for (int j = 0; j < i; j++)
			if (pg_strcasecmp(look->column[j].name, name) == 0)
				return false;
	}
	return look->columns > 0;
}

static void
look_at_rows(struct look *look, struct import_source *source, int encoding, int header,
			 struct csv_row *row)
{
	struct csv_reader reader = {
		.delimiter = look->delimiter, .quote = '"', .limit = LOOK_BYTES, .line = 1
	};
	const char *text = source->text.data;
	Size at = starts_with(&source->text, "\xEF\xBB\xBF", 3) ? 3 : 0;

	look->column = palloc0(sizeof(struct column_look) * (CSV_COLUMNS + 1));
	while (look->rows < LOOK_ROWS &&
		   sh_csv_next(
			   &reader, unconstify(char *, text) + at, source->text.len - at, look->whole, row) ==
			   CSV_ROW)
	{
		at += row->size;
		if (row->cells == 1 && row->cell[0].len == 0)
			continue;
		if (look->columns == 0)
		{
			look->columns = row->cells;
			for (int i = 0; i < row->cells; i++)
				look->column[i].name = cell_text(&row->cell[i], encoding);
			look->header = header < 0 ? names_columns(look) : header > 0;
			if (look->header)
				continue;
		}
		look->rows++;
		for (int i = 0; i < row->cells && i < look->columns; i++)
			look_at_cell(&look->column[i], cell_text(&row->cell[i], encoding));
	}
	look->whole &= at == (Size) source->text.len;
}

/* --- the answer --- */

/* How this column writes decimals: its separator, "?" when both ways are possible, or NULL. */
static const char *
decimal_name(const struct column_look *column)
{
	bool point = column->evidence & EVIDENCE_POINT;
	bool comma = column->evidence & EVIDENCE_COMMA;

	if (point != comma)
		return point ? "." : ",";
	return point || (column->evidence & EVIDENCE_UNSURE && column->dates == 0) ? "?" : NULL;
}

static const char *
order_name(const struct column_look *column)
{
	bool day = column->evidence & EVIDENCE_DAY;
	bool month = column->evidence & EVIDENCE_MONTH;

	if (column->dates == 0)
		return NULL;
	if (day != month)
		return day ? "DMY" : "MDY";
	return day || column->evidence & EVIDENCE_UNSURE ? "?" : "YMD";
}

static void
push_column(JsonbParseState **state, const struct look *look, int i)
{
	const struct column_look *column = &look->column[i];
	JsonbValue name;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(
		state, "name", look->header && column->name[0] ? column->name : psprintf("%d", i + 1));
	sh_json_string(state, "decimal", decimal_name(column));
	sh_json_string(state, "date_format", order_name(column));
	sh_json_number(state, "filled", column->filled);
	sh_json_string(state,
				   "looks_like",
				   column->filled == 0			   ? "nothing" :
				   column->dates == column->filled ? "date" :
				   column->texts == 0			   ? "number" :
													 "text");
	sh_json_key(state, "samples");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int s = 0; s < column->samples; s++)
	{
		name.type = jbvString;
		name.val.string.val = column->sample[s];
		name.val.string.len = (int) strlen(column->sample[s]);
		pushJsonbValue(state, WJB_ELEM, &name);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
look_json(const struct look *look)
{
	JsonbParseState *state = NULL;
	char delimiter[2] = { look->delimiter, '\0' };

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&state, "encoding", look->encoding);
	sh_json_string(&state, "delimiter", delimiter);
	sh_json_bool(&state, "header", look->header);
	sh_json_number(&state, "rows", look->rows);
	sh_json_bool(&state, "whole", look->whole);
	sh_json_key(&state, "columns");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < look->columns; i++)
		push_column(&state, look, i);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static enum import_wide
wide_of(const char *encoding)
{
	if (strcmp(encoding, "utf-16le") == 0)
		return WIDE_LITTLE;
	return strcmp(encoding, "utf-16be") == 0 ? WIDE_BIG : WIDE_NO;
}

/*
 * saleshub.import_look(upload uuid, encoding text, delimiter text, header boolean) returns jsonb:
 * what the first MB says about the file, with what is given taken as it is.
 */
Datum
sh_import_look(PG_FUNCTION_ARGS)
{
	struct look look = { 0 };
	struct import_source source;
	struct csv_row *row = palloc(sizeof(*row));
	pg_uuid_t org;
	int encoding = PG_UTF8;

	if (PG_ARGISNULL(0) || !sh_context_org(&org))
		PG_RETURN_NULL();
	sh_source_open(&source, &org, PG_GETARG_UUID_P(0), 0, WIDE_NO);
	read_sample(&source);
	look.whole = source.ended;
	look.encoding = PG_ARGISNULL(1) ? encoding_of(&source.text, look.whole) :
									  text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (wide_of(look.encoding))
	{
		sh_source_open(&source, &org, PG_GETARG_UUID_P(0), 0, wide_of(look.encoding));
		read_sample(&source);
		look.whole = source.ended;
	}
	else
	{
		encoding = pg_char_to_encoding(look.encoding);
		if (encoding < 0)
			PG_RETURN_NULL();
	}
	look.delimiter = PG_ARGISNULL(2) ? delimiter_of(&source.text, look.whole, row) :
									   *VARDATA_ANY(PG_GETARG_TEXT_PP(2));
	look_at_rows(&look, &source, encoding, PG_ARGISNULL(3) ? -1 : PG_GETARG_BOOL(3), row);
	PG_RETURN_JSONB_P(look_json(&look));
}
