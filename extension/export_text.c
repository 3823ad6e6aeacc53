/*
 * Writing JSON as jsonb is written, and CSV as RFC 4180 has it: CRLF ends rows, quotes where they
 * are needed. NULL is an empty cell, the empty text "".
 */
#include "export_text.h"

void
sh_csv_init(struct csv_writer *csv, StringInfo out, char delimiter, bool guard)
{
	memset(csv, 0, sizeof(*csv));
	csv->out = out;
	csv->delimiter = delimiter;
	csv->guard = guard;
	csv->special[(unsigned char) delimiter] = true;
	csv->special['"'] = true;
	csv->special['\n'] = true;
	csv->special['\r'] = true;
}

static void
begin_cell(struct csv_writer *csv)
{
	if (csv->begun)
		appendStringInfoCharMacro(csv->out, csv->delimiter);
	csv->begun = true;
}

void
sh_csv_null(struct csv_writer *csv)
{
	begin_cell(csv);
}

void
sh_csv_bare(struct csv_writer *csv, const char *text, Size len)
{
	if (csv->special[(unsigned char) text[0]] || memchr(text, csv->delimiter, len))
	{
		sh_csv_text(csv, text, len, false);
		return;
	}
	begin_cell(csv);
	appendBinaryStringInfo(csv->out, text, (int) len);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* White space at the ends may be lost, and \. alone ends the data of COPY. */
static bool
needs_quotes(const struct csv_writer *csv, const char *text, Size len)
{
	if (len == 0 || is_blank(text[0]) || is_blank(text[len - 1]) ||
		(len == 2 && text[0] == '\\' && text[1] == '.'))
		return true;
	for (Size i = 0; i < len; i++)
		if (csv->special[(unsigned char) text[i]])
			return true;
	return false;
}

/* A number, a telephone number, a difference: a spreadsheet may reckon with it, no more. */
static bool
only_reckons(const char *text, Size len)
{
	for (Size i = 0; i < len; i++)
		if (!(text[i] >= '0' && text[i] <= '9') && !strchr(" +-.,()/", text[i]))
			return false;
	return true;
}

/*
 * Spreadsheets run cells that start with = + - @ or, as some do, a tab or line break. One
 * apostrophe before it makes it text. A text that starts with apostrophes and then one of those
 * gets one more, so that taking one off always gives the text back.
 */
static bool
needs_guard(const char *text, Size len)
{
	Size start = 0;

	while (start < len && text[start] == '\'')
		start++;
	if (start == len || !strchr("=+-@\t\r\n", text[start]) || text[start] == '\0')
		return false;
	return start > 0 || !only_reckons(text, len);
}

static void
add_quoted(StringInfo out, const char *text, Size len)
{
	char *to;

	enlargeStringInfo(out, (int) len * 2 + 2);
	to = out->data + out->len;
	for (Size i = 0; i < len; i++)
	{
		if (text[i] == '"')
			*to++ = '"';
		*to++ = text[i];
	}
	*to = '\0';
	out->len = (int) (to - out->data);
}

void
sh_csv_text(struct csv_writer *csv, const char *text, Size len, bool guard)
{
	bool guarded = guard && csv->guard && needs_guard(text, len);

	begin_cell(csv);
	if (!needs_quotes(csv, text, len))
	{
		if (guarded)
			appendStringInfoCharMacro(csv->out, '\'');
		appendBinaryStringInfo(csv->out, text, (int) len);
		return;
	}
	appendStringInfoCharMacro(csv->out, '"');
	if (guarded)
		appendStringInfoCharMacro(csv->out, '\'');
	add_quoted(csv->out, text, len);
	appendStringInfoCharMacro(csv->out, '"');
}

void
sh_csv_end_row(struct csv_writer *csv)
{
	appendBinaryStringInfo(csv->out, "\r\n", 2);
	csv->begun = false;
}

static void
add_escape(StringInfo out, char c)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *p = letters; *p; p += 2)
	{
		if (*p == c)
		{
			appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, p[1]);
			return;
		}
	}
	appendStringInfo(out, "\\u%04x", (unsigned char) c);
}

void
sh_export_string(StringInfo out, const char *text, Size len)
{
	const char *end = text + len;

	appendStringInfoCharMacro(out, '"');
	while (text < end)
	{
		const char *run = text;

		while (text < end && (unsigned char) *text >= ' ' && *text != '"' && *text != '\\')
			text++;
		appendBinaryStringInfo(out, run, (int) (text - run));
		if (text < end)
			add_escape(out, *text++);
	}
	appendStringInfoCharMacro(out, '"');
}
