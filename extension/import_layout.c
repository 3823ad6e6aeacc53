/* The layout of an import, from JSON: what becomes of the columns of its file. */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "import.h"
#include "saleshub.h"

static enum import_kind
kind_named(const char *name)
{
	static const char *const names[] = { "text",	"email", "full_name", "number",
										 "integer", "money", "date",	  "timestamp",
										 "boolean", "enum",	 "uuid",	  "tags" };

	for (int i = 0; name && i < (int) lengthof(names); i++)
		if (strcmp(names[i], name) == 0)
			return (enum import_kind) i;
	elog(ERROR, "unknown kind of column \"%s\"", name ? name : "");
	return IMPORT_TEXT;
}

static char
first_letter(const char *text)
{
	return text ? text[0] : '\0';
}

static void
read_target(JsonbContainer *from, struct import_target *target)
{
	target->column = sh_json_text(from, "column");
	target->field = sh_json_text(from, "field");
	target->at = sh_json_int(from, "at", -1);
	target->kind = kind_named(sh_json_text(from, "kind"));
	target->out = sh_json_int(from, "out", 0);
	target->out2 = sh_json_int(from, "out2", -1);
	target->member = sh_json_text(from, "member");
	target->most = sh_json_int(from, "max", 0);
	target->decimal = first_letter(sh_json_text(from, "decimal"));
	target->order = first_letter(sh_json_text(from, "order"));
	target->fallback = sh_json_text(from, "default");
	target->required = sh_json_truth(from, "required", false);
	target->warn = sh_json_truth(from, "warn", false);
	target->map = sh_json_container(from, "map");
	target->list = sh_json_container(from, "list");
}

static void
read_targets(struct import_layout *layout, JsonbContainer *list)
{
	layout->targets = list ? JsonContainerSize(list) : 0;
	layout->target = palloc0(sizeof(struct import_target) * (layout->targets + 1));
	for (int i = 0; i < layout->targets; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(list, i);

		if (value->type != jbvBinary)
			elog(ERROR, "a target must be an object");
		read_target(value->val.binary.data, &layout->target[i]);
		if (layout->target[i].out < 0 || layout->target[i].out >= layout->outs ||
			layout->target[i].out2 >= layout->outs)
			elog(ERROR, "target %d has no such value", i);
	}
}

/* A list of numbers, as they stand. */
static int64 *
numbers_of(JsonbContainer *object, const char *name, int *count)
{
	JsonbContainer *list = sh_json_container(object, name);
	int64 *number;

	*count = list ? JsonContainerSize(list) : 0;
	number = palloc0(sizeof(int64) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(list, i);

		if (value->type == jbvNumeric)
			number[i] = DatumGetInt64(
				DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
	}
	return number;
}

static void
read_encoding(struct import_layout *layout, const char *name)
{
	layout->encoding = PG_UTF8;
	if (!name)
		return;
	if (strcmp(name, "utf-16le") == 0)
		layout->wide = WIDE_LITTLE;
	else if (strcmp(name, "utf-16be") == 0)
		layout->wide = WIDE_BIG;
	else
	{
		layout->encoding = pg_char_to_encoding(name);
		if (layout->encoding < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown encoding \"%s\"", name)));
	}
}

struct import_layout *
sh_import_layout(Jsonb *document)
{
	struct import_layout *layout = palloc0(sizeof(*layout));
	JsonbContainer *root = &document->root;

	if (!JB_ROOT_IS_OBJECT(document))
		elog(ERROR, "a layout must be an object");
	read_encoding(layout, sh_json_text(root, "encoding"));
	layout->delimiter = first_letter(sh_json_text(root, "delimiter"));
	layout->quote = first_letter(sh_json_text(root, "quote"));
	layout->zone = sh_json_text(root, "zone");
	layout->header = sh_json_truth(root, "header", false);
	layout->limit = sh_json_int(root, "limit", 262144);
	layout->outs = sh_json_int(root, "outs", 0);
	layout->width = sh_json_int(root, "width", 0);
	layout->parts = Max(sh_json_int(root, "parts", 1), 1);
	layout->part = sh_json_int(root, "part", 0);
	layout->line_column = sh_json_int(root, "line_column", -1);
	if (sh_json_container(root, "lines"))
		layout->line = numbers_of(root, "lines", &layout->lines);
	read_targets(layout, sh_json_container(root, "targets"));
	layout->key_targets = sh_json_int(root, "key_targets", 0);
	return layout;
}
