/* Cells and rows of CSV text, strings of JSON. Knows only StringInfo of PostgreSQL. */
#pragma once

#include "postgres.h"

#include "lib/stringinfo.h"

struct csv_writer
{
	StringInfo out;
	char delimiter;
	bool guard;		   /* text that a spreadsheet would run is made text for it */
	bool special[256]; /* bytes that want quotes around their cell */
	bool begun;		   /* this row has a cell already */
};

extern void sh_csv_init(struct csv_writer *csv, StringInfo out, char delimiter, bool guard);
/* Nothing between two delimiters: NULL. */
extern void sh_csv_null(struct csv_writer *csv);
/* Of numbers, times and the like: nothing in it wants quotes, whatever the delimiter. */
extern void sh_csv_bare(struct csv_writer *csv, const char *text, Size len);
/* Any text; the empty one is written "". */
extern void sh_csv_text(struct csv_writer *csv, const char *text, Size len, bool guard);
extern void sh_csv_end_row(struct csv_writer *csv);

/* A string of JSON with its quotes, as jsonb is written. */
extern void sh_export_string(StringInfo out, const char *text, Size len);
