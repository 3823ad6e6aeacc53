/*
 * Fuzzes the reader of CSV. What is read must not depend on how the text arrives: in one piece, or
 * in parts of any size. By hand:
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Iextension -o /tmp/fuzz_csv \
 *     test/fuzz/csv.c extension/import_csv.c && /tmp/fuzz_csv -max_len=4096 -max_total_time=60
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_csv.h"

/* Everything that was read, as one text. */
struct trace
{
	char *text;
	size_t len;
	size_t room;
};

static void
note(struct trace *trace, const void *bytes, size_t len)
{
	if (trace->len + len > trace->room)
	{
		trace->room = (trace->len + len) * 2 + 64;
		trace->text = realloc(trace->text, trace->room);
		if (!trace->text)
			abort();
	}
	if (len > 0)
		memcpy(trace->text + trace->len, bytes, len);
	trace->len += len;
}

static void
note_row(struct trace *trace, const struct csv_row *row, const char *start, const char *end)
{
	char head[64];

	/* How much of a line that is too long is seen depends on how it arrives. */
	bool whole = row->fault != CSV_TOO_LONG && row->fault != CSV_QUOTE_OPEN;

	note(trace,
		 head,
		 (size_t) snprintf(
			 head, sizeof(head), "\n%d %d ", (int) row->fault, whole ? row->cells : 0));
	for (int i = 0; i < row->cells; i++)
	{
		const struct csv_cell *cell = &row->cell[i];

		if (cell->data < start || cell->data + cell->len > end)
			abort();
		if (whole)
		{
			note(trace, cell->data, cell->len);
			note(trace, "|", 1);
		}
	}
}

static void
read_all(const uint8_t *data, size_t len, struct csv_reader reader, size_t piece,
		 struct trace *trace)
{
	char *text = malloc(len + 1);
	struct csv_row *row = malloc(sizeof(*row));
	size_t at = 0;
	size_t there = piece < len ? piece : len;

	if (!text || !row)
		abort();
	memcpy(text, data, len);
	for (;;)
	{
		enum csv_status status = sh_csv_next(&reader, text + at, there - at, there == len, row);

		if (at + row->size > there || (status == CSV_ROW && row->size == 0))
			abort();
		if (status == CSV_ROW)
			note_row(trace, row, text, text + there);
		at += row->size;
		if (status == CSV_END)
			break;
		if (status == CSV_MORE && there == len)
			abort();
		if (status == CSV_MORE)
			there = there + piece < len ? there + piece : len;
	}
	if (at != len)
		abort();
	free(row);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct csv_reader reader = { .quote = '"', .limit = 1 << 20, .line = 1 };
	struct trace one = { 0 };
	struct trace other = { 0 };
	size_t piece;

	if (len < 2)
		return 0;
	reader.delimiter = ",;\t|"[data[0] & 3];
	if (data[0] & 4)
		reader.quote = '\0';
	piece = (size_t) data[1] + 1;
	read_all(data + 2, len - 2, reader, len, &one);
	read_all(data + 2, len - 2, reader, piece, &other);
	if (one.len != other.len || (one.len > 0 && memcmp(one.text, other.text, one.len) != 0))
		abort();
	free(one.text);
	free(other.text);
	one = (struct trace){ 0 };
	/* Rows longer than they may be: no comparison, but no fault either. */
	reader.limit = 16;
	read_all(data + 2, len - 2, reader, piece, &one);
	free(one.text);
	return 0;
}
