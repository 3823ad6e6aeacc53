/* From the cells of one row to typed values, and what is wrong with them. */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/varlena.h"

#include "import.h"
#include "predicate.h"
#include "saleshub.h"

/* Characters of a cell that an issue quotes. */
#define QUOTE 200
/* Rows that one worker takes in a run, where no key tells who takes them. */
#define RUN 512

void
sh_import_issue(List **issues, int row, bool error, const char *code, const char *column,
				const char *message, const char *raw)
{
	struct import_issue *issue = palloc(sizeof(*issue));

	*issue = (struct import_issue){
		.row = row, .error = error, .code = code, .column = column, .message = message, .raw = raw
	};
	*issues = lappend(*issues, issue);
}

void
sh_import_maker(struct import_maker *maker, const struct import_layout *layout)
{
	maker->layout = layout;
	maker->conversion = InvalidOid;
	if (layout->encoding != GetDatabaseEncoding())
	{
		maker->conversion = FindDefaultConversionProc(layout->encoding, GetDatabaseEncoding());
		if (!OidIsValid(maker->conversion))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("files in %s cannot be read into this database",
							pg_encoding_to_char(layout->encoding))));
	}
	maker->object = palloc0(sizeof(StringInfo) * (layout->outs + 1));
	maker->given = palloc0(sizeof(char *) * (layout->targets + 1));
	maker->raw = palloc(sizeof(struct csv_row));
}

/* --- cells --- */

static bool
is_ascii(const char *p, Size len)
{
	for (Size i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(p[i]))
			return false;
	return true;
}

/* The cell in the encoding of the database; NULL with a code when it is none. */
static char *
decode(const struct import_maker *maker, const struct csv_cell *cell, const char **code)
{
	int len = (int) cell->len;
	char *out;

	if (memchr(cell->data, '\0', cell->len))
	{
		*code = "nul_byte";
		return NULL;
	}
	if (is_ascii(cell->data, cell->len))
		return pnstrdup(cell->data, cell->len);
	*code = "invalid_encoding";
	if (pg_encoding_verifymbstr(maker->layout->encoding, cell->data, len) != len)
		return NULL;
	if (!OidIsValid(maker->conversion))
		return pnstrdup(cell->data, cell->len);
	out = palloc(cell->len * MAX_CONVERSION_GROWTH + 1);
	if (pg_do_encoding_conversion_buf(maker->conversion,
									  maker->layout->encoding,
									  GetDatabaseEncoding(),
									  (unsigned char *) cell->data,
									  len,
									  (unsigned char *) out,
									  len * MAX_CONVERSION_GROWTH + 1,
									  true) != len)
		return NULL;
	return out;
}

/* What can be shown of a row that cannot be read. */
static char *
readable(const struct import_maker *maker, const struct csv_cell *cell)
{
	Size len = Min(cell->len, 1000);
	char *text = palloc(len + 1);

	memcpy(text, cell->data, len);
	text[len] = '\0';
	for (Size i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(text[i]) || text[i] == '\0')
			text[i] = '?';
	return text;
}

static const char *
fault_code(enum csv_fault fault)
{
	switch (fault)
	{
		case CSV_QUOTE_OPEN:
			return "quote_open";
		case CSV_QUOTE_TEXT:
			return "quote_text";
		case CSV_TOO_WIDE:
			return "too_many_columns";
		default:
			return "row_too_long";
	}
}

static const char *
fault_message(const char *code)
{
	static const struct
	{
		const char *code;
		const char *message;
	} messages[] = {
		{ "quote_open", "has a quote that is never closed" },
		{ "quote_text", "has text behind a closing quote" },
		{ "too_many_columns", "has more than 1000 columns" },
		{ "row_too_long", "is longer than a row may be" },
		{ "nul_byte", "holds a NUL byte" },
		{ "invalid_encoding", "holds bytes that are no characters of the encoding" },
		{ "not_a_number", "is not a number" },
		{ "ambiguous_number", "may have a decimal or a thousands separator: give decimal" },
		{ "not_an_integer", "is not a whole number" },
		{ "out_of_range", "is out of range" },
		{ "not_a_date", "is not a date" },
		{ "ambiguous_date", "may begin with the day or the month: give date_format" },
		{ "not_a_boolean", "is neither yes nor no" },
		{ "not_a_uuid", "is not an id" },
		{ "invalid_email", "is not an e-mail address" },
		{ "not_allowed", "is none of the values allowed" },
		{ "required", "is required" },
	};

	for (int i = 0; i < (int) lengthof(messages); i++)
		if (strcmp(messages[i].code, code) == 0)
			return messages[i].message;
	return code;
}

/* Take the cells over; false when the row cannot be used, which is then said. */
static bool
take_cells(struct import_maker *maker, struct import_row *row, int n, List **issues)
{
	const struct csv_row *raw = maker->raw;
	bool good = raw->fault == CSV_FINE;

	row->cells = raw->cells;
	row->cell = palloc0(sizeof(char *) * (raw->cells + 1));
	if (!good)
	{
		const char *code = fault_code(raw->fault);

		sh_import_issue(issues, n, true, code, NULL, fault_message(code), NULL);
	}
	for (int i = 0; i < raw->cells; i++)
	{
		const char *code = NULL;

		row->cell[i] = decode(maker, &raw->cell[i], &code);
		if (row->cell[i])
			continue;
		row->cell[i] = readable(maker, &raw->cell[i]);
		if (good)
			sh_import_issue(issues, n, true, code, NULL, fault_message(code), row->cell[i]);
		good = false;
	}
	return good;
}

/* Every row has the columns of the file; what is beyond them must be empty. */
static bool
check_width(const struct import_maker *maker, struct import_row *row, int n, List **issues)
{
	int width = maker->layout->width;
	bool good = row->cells >= width;

	for (int i = width; i < row->cells; i++)
		good &= row->cell[i][0] == '\0';
	if (!good && width > 0)
		sh_import_issue(issues,
						n,
						true,
						"columns",
						NULL,
						psprintf("has %d columns instead of %d", row->cells, width),
						NULL);
	return good || width == 0;
}

/* --- values --- */

/* Without blanks at its ends, of which a no-break space is one. */
static void
trim(const char **p, int *len)
{
	const char *end = *p + *len;

	for (;;)
	{
		if (*p < end && strchr(" \t\n\r", **p))
			++*p;
		else if (end - *p >= 2 && memcmp(*p, "\xC2\xA0", 2) == 0)
			*p += 2;
		else
			break;
	}
	for (;;)
	{
		if (end > *p && strchr(" \t\n\r", end[-1]))
			end--;
		else if (end - *p >= 2 && memcmp(end - 2, "\xC2\xA0", 2) == 0)
			end -= 2;
		else
			break;
	}
	*len = (int) (end - *p);
}

static struct predicate_text
fold(const char *p, int len)
{
	struct predicate_text out;
	char *lower;

	if (!is_ascii(p, len))
		return sh_predicate_fold(p, len);
	lower = palloc(len + 1);
	for (int i = 0; i < len; i++)
		lower[i] = pg_ascii_tolower((unsigned char) p[i]);
	lower[len] = '\0';
	out.data = lower;
	out.len = len;
	return out;
}

/* Replace a cell by what the map makes of it; nothing is NULL with len 0. */
static void
apply_map(const struct import_target *target, const char **p, int *len)
{
	struct predicate_text folded;
	JsonbValue *to;

	if (!target->map || *len == 0)
		return;
	folded = fold(*p, *len);
	to = getKeyJsonValueFromContainer(target->map, folded.data, folded.len, NULL);
	if (!to)
		return;
	*len = to->type == jbvString ? to->val.string.len : 0;
	if (to->type == jbvString)
		*p = to->val.string.val;
}

/* The allowed value that this means, whatever its letters; else the nearest for a message. */
static const char *
allowed_value(const struct import_target *target, const char *p, int len, char **out, char **near)
{
	struct predicate_text folded = fold(p, len);
	int best = 3;
	int count = JsonContainerSize(target->list);

	for (int i = 0; i < count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(target->list, i);
		struct predicate_text other;
		int distance;

		if (value->type != jbvString)
			continue;
		other = fold(value->val.string.val, value->val.string.len);
		if (other.len == folded.len && memcmp(other.data, folded.data, other.len) == 0)
		{
			*out = pnstrdup(value->val.string.val, value->val.string.len);
			return NULL;
		}
		if (folded.len > 200 || other.len > 200)
			continue;
		distance = varstr_levenshtein_less_equal(
			folded.data, folded.len, other.data, other.len, 1, 1, 1, best, true);
		if (distance < best)
		{
			best = distance;
			*near = pnstrdup(value->val.string.val, value->val.string.len);
		}
	}
	return "not_allowed";
}

static const char *
whole_number(const char *p, int len, char decimal, char **out)
{
	const char *fault = sh_import_number(p, len, decimal ? decimal : '.', out);
	char *point;

	if (fault && !decimal)
		fault = sh_import_number(p, len, ',', out);
	if (fault)
		return "not_an_integer";
	point = strchr(*out, '.');
	if (point && strspn(point + 1, "0") != strlen(point + 1))
		return "not_an_integer";
	if (point)
		*point = '\0';
	if (**out == '-' || strlen(*out) > 10 || strtoul(*out, NULL, 10) > INT_MAX)
		return "out_of_range";
	return NULL;
}

static void
add_tag(StringInfo out, const char *tag, bool json)
{
	if (json)
	{
		escape_json(out, tag);
		return;
	}
	appendStringInfoChar(out, '"');
	for (; *tag; tag++)
	{
		if (*tag == '"' || *tag == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *tag);
	}
	appendStringInfoChar(out, '"');
}

/* A list of tags as an array literal, or as JSON; \ before a separator or \ makes it part of one.
 */
static char *
tag_list(const char *p, int len, bool json)
{
	const char *end = p + len;
	char *tag = palloc(len + 1);
	StringInfoData out;
	int n = 0;

	initStringInfo(&out);
	appendStringInfoChar(&out, json ? '[' : '{');
	for (; p < end; p++)
	{
		const char *start = tag;
		int size = 0;

		for (; p < end && !strchr(",;|", *p); p++)
		{
			if (*p == '\\' && p + 1 < end && strchr(",;|\\", p[1]))
				p++;
			tag[size++] = *p;
		}
		trim(&start, &size);
		if (size > 0)
		{
			if (n++)
				appendStringInfoChar(&out, ',');
			add_tag(&out, pnstrdup(start, size), json);
		}
	}
	appendStringInfoChar(&out, json ? ']' : '}');
	return out.data;
}

static const char *
text_value(const struct import_target *target, const char *p, int len, char **out, char **said)
{
	*out = pnstrdup(p, len);
	if (target->most > 0 && len > target->most && pg_mbstrlen_with_len(p, len) > target->most)
	{
		*said = psprintf("must have at most %d characters", target->most);
		return "too_long";
	}
	return NULL;
}

/* Convert; said is a message better than the usual one. */
static const char *
convert(const struct import_layout *layout, const struct import_target *target, const char *p,
		int len, char **out, char **out2, char **said)
{
	char *near = NULL;
	const char *fault;

	switch (target->kind)
	{
		case IMPORT_EMAIL:
			*out = unconstify(char *, fold(p, len).data);
			return sh_import_email_ok(*out, (int) strlen(*out)) ? NULL : "invalid_email";
		case IMPORT_NAME:
		{
			const char *space = NULL;

			for (int i = 0; i < len; i++)
				if (p[i] == ' ')
					space = p + i;
			*out = space ? pnstrdup(p, space - p) : NULL;
			*out2 = space ? pnstrdup(space + 1, p + len - space - 1) : pnstrdup(p, len);
			return NULL;
		}
		case IMPORT_NUMBER:
			return sh_import_number(p, len, target->decimal, out);
		case IMPORT_INTEGER:
			return whole_number(p, len, target->decimal, out);
		case IMPORT_MONEY:
			return sh_import_money(p, len, target->decimal, out, out2);
		case IMPORT_DATE:
			return sh_import_date(p, len, target->order, out);
		case IMPORT_TIMESTAMP:
			return sh_import_timestamp(p, len, target->order, layout->zone, out);
		case IMPORT_BOOLEAN:
			return sh_import_boolean(p, len, out);
		case IMPORT_UUID:
			*out = pnstrdup(p, len);
			return sh_import_uuid_ok(p, len) ? NULL : "not_a_uuid";
		case IMPORT_TAGS:
			*out = tag_list(p, len, target->member != NULL);
			return NULL;
		case IMPORT_ENUM:
			fault = target->list ? allowed_value(target, p, len, out, &near) : NULL;
			if (fault && near)
				*said = psprintf("is none of the values allowed; is it \"%s\"?", near);
			if (!fault && !target->list)
				*out = pnstrdup(p, len);
			return fault;
		default:
			return text_value(target, p, len, out, said);
	}
}

/* A value of an object that the row builds up, such as a custom field. */
static void
put_member(struct import_maker *maker, const struct import_target *target, const char *value)
{
	StringInfo object = maker->object[target->out];

	if (!object)
		object = maker->object[target->out] = makeStringInfo();
	appendStringInfoChar(object, object->len == 0 ? '{' : ',');
	escape_json(object, target->member);
	appendStringInfoChar(object, ':');
	switch (target->kind)
	{
		case IMPORT_NUMBER:
		case IMPORT_INTEGER:
		case IMPORT_BOOLEAN:
		case IMPORT_TAGS:
			appendStringInfoString(object, value);
			break;
		default:
			escape_json(object, value);
			break;
	}
}

/* Takes off the apostrophe that keeps a spreadsheet from running a cell, as exports write it. */
static void
unguard(const char **p, int *len)
{
	int start = (int) strspn(*p, "'");

	if (start == 0 || start >= *len || !strchr("=+-@\t\r\n", (*p)[start]))
		return;
	(*p)++;
	(*len)--;
}

static void
take_target(struct import_maker *maker, struct import_row *row, int place, int n, List **issues)
{
	const struct import_target *target = &maker->layout->target[place];
	const char *p = target->at >= 0 && target->at < row->cells ? row->cell[target->at] : "";
	int len = (int) strlen(p);
	const char *raw = p;
	const char *code;
	char *out = NULL;
	char *out2 = NULL;
	char *said = NULL;

	maker->given[place] = NULL;
	trim(&p, &len);
	unguard(&p, &len);
	apply_map(target, &p, &len);
	if (len == 0)
	{
		if (target->required && !target->fallback)
			sh_import_issue(
				issues, n, true, "required", target->column, fault_message("required"), NULL);
		else if (target->warn)
			sh_import_issue(issues,
							n,
							false,
							"blank",
							target->column,
							target->fallback ? psprintf("is empty: %s is taken", target->fallback) :
											   "is empty",
							NULL);
		if (!target->fallback)
			return;
		p = target->fallback;
		len = (int) strlen(p);
	}
	code = convert(maker->layout, target, p, len, &out, &out2, &said);
	if (code)
	{
		row->status = ROW_ERROR;
		sh_import_issue(issues,
						n,
						true,
						code,
						target->column,
						said ? said : fault_message(code),
						pnstrdup(raw, pg_mbcliplen(raw, (int) strlen(raw), QUOTE)));
		return;
	}
	maker->given[place] = out;
	if (target->member)
		put_member(maker, target, out);
	else if (out)
		row->out[target->out] = cstring_to_text(out);
	if (out2 && target->out2 >= 0)
		row->out[target->out2] = cstring_to_text(out2);
}

/* --- keys --- */

/*
 * A value that tells records apart, in a form that is the same for all ways to write it; the
 * other way around, different values may come out the same.
 */
static const char *
coarse_key(const char *field, const char *value)
{
	struct predicate_text folded = fold(value, (int) strlen(value));
	char *key = pnstrdup(folded.data, folded.len);
	char *to = key;

	if (strcmp(field, "phone") == 0)
	{
		for (const char *from = folded.data; *from; from++)
			if (*from >= '0' && *from <= '9')
				*to++ = *from;
		*to = '\0';
		return to - key > 7 ? to - 7 : key;
	}
	if (strcmp(field, "domain") == 0)
	{
		char *slashes = strstr(key, "://");
		char *name = slashes ? slashes + 3 : key;

		if (strncmp(name, "www.", 4) == 0)
			name += 4;
		name[strcspn(name, "/:?#")] = '\0';
		return name;
	}
	return key;
}

static const char *
key_of(const struct import_maker *maker)
{
	for (int i = 0; i < maker->layout->key_targets; i++)
		if (maker->given[i])
			return psprintf(
				"%d:%s", i, coarse_key(maker->layout->target[i].field, maker->given[i]));
	return NULL;
}

/* Whether this worker takes the row. */
static bool
is_ours(const struct import_layout *layout, const struct import_row *row)
{
	uint64 share;

	if (layout->parts == 1)
		return true;
	share = row->key ? DatumGetUInt64(hash_any_extended(
						   (const unsigned char *) row->key, (int) strlen(row->key), 0)) :
					   (uint64) row->line / RUN;
	return share % layout->parts == (uint64) layout->part;
}

static bool
is_asked_for(const struct import_layout *layout, int64 line)
{
	int low = 0;
	int high = layout->lines - 1;

	if (!layout->line)
		return true;
	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (layout->line[middle] == line)
			return true;
		if (layout->line[middle] < line)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return false;
}

/* --- rows --- */

/* The line that a row had in the file that it was taken from. */
static void
take_line(const struct import_layout *layout, struct import_row *row)
{
	const char *text = layout->line_column >= 0 && layout->line_column < row->cells ?
						   row->cell[layout->line_column] :
						   "";
	size_t digits = strspn(text, "0123456789");

	if (digits > 0 && digits < 18 && text[digits] == '\0')
		row->line = strtoll(text, NULL, 10);
}

static void
close_objects(struct import_maker *maker, struct import_row *row)
{
	for (int i = 0; i < maker->layout->outs; i++)
	{
		StringInfo object = maker->object[i];

		if (!object)
			continue;
		appendStringInfoChar(object, '}');
		row->out[i] = cstring_to_text_with_len(object->data, object->len);
		maker->object[i] = NULL;
	}
}

struct import_row *
sh_import_row(struct import_maker *maker, int n, List **issues)
{
	const struct import_layout *layout = maker->layout;
	struct import_row *row = palloc0(sizeof(*row));
	List *faults = NIL;
	bool good;

	row->line = maker->raw->line;
	row->out = palloc0(sizeof(text *) * (layout->outs + 1));
	good = take_cells(maker, row, n, &faults);
	if (good)
		take_line(layout, row);
	if (!is_asked_for(layout, row->line))
		return NULL;
	good = good && check_width(maker, row, n, &faults);
	for (int i = 0; good && i < layout->targets; i++)
	{
		take_target(maker, row, i, n, &faults);
		if (i + 1 != layout->key_targets)
			continue;
		row->key = key_of(maker);
		if (!is_ours(layout, row))
		{
			memset(maker->object, 0, sizeof(StringInfo) * layout->outs);
			return NULL;
		}
	}
	close_objects(maker, row);
	if ((layout->key_targets == 0 || !good) && !is_ours(layout, row))
		return NULL;
	for (int i = 0; i < list_length(faults); i++)
		if (((struct import_issue *) list_nth(faults, i))->error)
			row->status = ROW_ERROR;
	*issues = list_concat(*issues, faults);
	return row;
}
