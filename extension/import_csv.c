/* The reader of CSV: RFC 4180 with any delimiter, and line breaks of all kinds. */
#include "import_csv.h"

#include <string.h>

/* What a cell ended with. */
enum end
{
	END_CELL,
	END_ROW,
	END_TEXT, /* of the text at hand, which need not be that of the row */
	END_FAULT
};

static const char *
find_line_end(const char *p, const char *end)
{
	while (p < end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

/* Behind the line break at p; NULL when that is not known yet. */
static const char *
pass_line_end(const char *p, const char *end, bool last)
{
	if (*p == '\n')
		return p + 1;
	if (p + 1 == end && !last)
		return NULL;
	return p + 1 < end && p[1] == '\n' ? p + 2 : p + 1;
}

static void
undouble(struct csv_cell *cell, char quote)
{
	char *to = cell->data;

	for (size_t i = 0; i < cell->len; i++)
	{
		*to++ = cell->data[i];
		if (cell->data[i] == quote)
			i++;
	}
	cell->len = (size_t) (to - cell->data);
}

/* Find the closing quote of the cell whose text starts at p. */
static enum end
read_quoted(const struct csv_reader *reader, struct csv_cell *cell, char **place, char *end,
			bool last)
{
	char *p = *place;

	cell->quoted = true;
	cell->data = p;
	for (;;)
	{
		char *quote = p < end ? memchr(p, reader->quote, (size_t) (end - p)) : NULL;

		if (!quote || (quote + 1 == end && !last))
			return END_TEXT;
		if (quote + 1 == end || quote[1] != reader->quote)
		{
			cell->len = (size_t) (quote - cell->data);
			*place = quote + 1;
			return END_CELL;
		}
		cell->doubled = true;
		p = quote + 2;
	}
}

static char *
find_cell_end(const struct csv_reader *reader, char *p, char *end)
{
	char delimiter = reader->delimiter;

	while (p < end && *p != delimiter && *p != '\n' && *p != '\r')
		p++;
	return p;
}

static char *
skip_blanks(const struct csv_reader *reader, char *p, char *end)
{
	while (p < end && *p == ' ' && reader->delimiter != ' ')
		p++;
	return p;
}

static enum end
read_cell(const struct csv_reader *reader, struct csv_row *row, char **place, char *end, bool last)
{
	struct csv_cell *cell = &row->cell[row->cells];
	char *p = *place;
	char *quote = reader->quote ? skip_blanks(reader, p, end) : end;

	memset(cell, 0, sizeof(*cell));
	if (quote < end && *quote == reader->quote)
	{
		p = quote + 1;
		if (read_quoted(reader, cell, &p, end, last) == END_TEXT)
		{
			row->fault = CSV_QUOTE_OPEN;
			return END_TEXT;
		}
		p = skip_blanks(reader, p, end);
		if (p < end && *p != reader->delimiter && *p != '\n' && *p != '\r')
		{
			row->fault = CSV_QUOTE_TEXT;
			return END_FAULT;
		}
	}
	else
	{
		cell->data = p;
		p = find_cell_end(reader, p, end);
		cell->len = (size_t) (p - cell->data);
	}
	row->cells++;
	*place = p;
	if (p == end)
		return END_TEXT;
	return *p == reader->delimiter ? END_CELL : END_ROW;
}

/* All cells of the row at the start of the text; the place is where they end. */
static enum end
read_cells(const struct csv_reader *reader, struct csv_row *row, char **place, char *end, bool last)
{
	for (;;)
	{
		enum end how;

		if (row->cells == CSV_COLUMNS)
		{
			row->fault = CSV_TOO_WIDE;
			return END_FAULT;
		}
		how = read_cell(reader, row, place, end, last);
		if (how != END_CELL)
			return how;
		++*place;
	}
}

static int64_t
count_lines(const char *p, const char *end)
{
	int64_t lines = 0;

	while ((p = find_line_end(p, end)) < end)
	{
		p = pass_line_end(p, end, true);
		lines++;
	}
	return lines;
}

/* The rest of a line that was too long. */
static bool
skip_line(struct csv_reader *reader, struct csv_row *row, const char *text, size_t len, bool last)
{
	const char *end = text + len;
	const char *p = find_line_end(text, end);
	const char *next = p < end ? pass_line_end(p, end, last) : NULL;

	reader->skipping = next == NULL && !last;
	row->size = (size_t) ((next ? next : p) - text);
	if (next)
		reader->line++;
	return !reader->skipping;
}

/* A row with a fault is its first line. */
static enum csv_status
give_up(struct csv_reader *reader, struct csv_row *row, char *text, size_t len, bool last)
{
	const char *end = text + len;
	const char *p = find_line_end(text, end);
	const char *next = p < end ? pass_line_end(p, end, last) : NULL;

	if (p < end ? !next : !last && len <= reader->limit)
		return CSV_MORE;
	row->cell[0] = (struct csv_cell){ .data = text, .len = (size_t) (p - text) };
	row->cells = 1;
	row->size = (size_t) ((next ? next : p) - text);
	reader->skipping = !next && !last;
	if (next)
		reader->line++;
	return CSV_ROW;
}

/* The cells are whole: single quotes for doubled ones, and count the lines within them. */
static void
finish_cells(struct csv_reader *reader, struct csv_row *row)
{
	for (int i = 0; i < row->cells; i++)
	{
		struct csv_cell *cell = &row->cell[i];

		if (cell->quoted)
			reader->line += count_lines(cell->data, cell->data + cell->len);
		if (cell->doubled)
			undouble(cell, reader->quote);
	}
}

/* Whether a row that ends so can be none. */
static bool
is_hopeless(const struct csv_reader *reader, const struct csv_row *row, enum end how, size_t read,
			size_t len, bool last)
{
	if (how == END_FAULT || read > reader->limit)
		return true;
	return how == END_TEXT && (last ? row->fault != CSV_FINE : len > reader->limit);
}

enum csv_status
sh_csv_next(struct csv_reader *reader, char *text, size_t len, bool last, struct csv_row *row)
{
	char *end = text + len;
	char *p;
	const char *next;
	enum end how;

	row->cells = 0;
	row->size = 0;
	row->fault = CSV_FINE;
	if (reader->skipping && !skip_line(reader, row, text, len, last))
		return CSV_MORE;
	row->line = reader->line;
	p = text += row->size;
	len -= row->size;
	if (len == 0)
		return last ? CSV_END : CSV_MORE;

	how = read_cells(reader, row, &p, end, last);
	if (is_hopeless(reader, row, how, (size_t) (p - text), len, last))
	{
		size_t before = row->size;
		enum csv_status status;

		if (row->fault == CSV_FINE)
			row->fault = CSV_TOO_LONG;
		status = give_up(reader, row, text, len, last);
		if (status == CSV_ROW)
			row->size += before;
		return status;
	}
	next = how == END_ROW ? pass_line_end(p, end, last) : end;
	if ((how == END_TEXT && !last) || !next)
		return CSV_MORE;
	row->size += (size_t) (next - text);
	reader->line += how == END_ROW ? 1 : 0;
	finish_cells(reader, row);
	return CSV_ROW;
}
