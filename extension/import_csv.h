/* Rows and cells of CSV text in memory. Knows nothing of PostgreSQL, so that it can be fuzzed
 * alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_COLUMNS 1000

enum csv_status
{
	CSV_ROW,
	CSV_MORE, /* the text ends within a row; come again with more of it */
	CSV_END
};

enum csv_fault
{
	CSV_FINE,
	CSV_QUOTE_OPEN, /* a quote that nothing closes */
	CSV_QUOTE_TEXT, /* text between a closing quote and the next delimiter */
	CSV_TOO_LONG,
	CSV_TOO_WIDE
};

struct csv_cell
{
	char *data; /* into the text; not terminated */
	size_t len;
	bool quoted;
	bool doubled; /* holds "" for ", until the row is complete */
};

/* Everything but the position, which is the caller's. line starts at 1. */
struct csv_reader
{
	char delimiter;
	char quote;	  /* NUL: none */
	size_t limit; /* bytes of a row */
	int64_t line;
	bool skipping; /* the rest of a line that was too long */
};

struct csv_row
{
	struct csv_cell cell[CSV_COLUMNS];
	int cells;
	size_t size;  /* bytes to go on after; also of CSV_MORE (what was skipped) */
	int64_t line; /* where it starts */
	enum csv_fault fault;
};

/*
 * The row at the start of the text. A row with a fault ends at its first line break, so that one
 * stray quote does not swallow the file. Doubled quotes are made single within the text.
 */
extern enum csv_status sh_csv_next(struct csv_reader *reader, char *text, size_t len, bool last,
								   struct csv_row *row);
