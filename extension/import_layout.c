/* The layout of an import, from JSON: what becomes of the columns of its file. */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "import.h"
#include "saleshub.h"

static JsonbValue *
member_of(JsonbContainer *object, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, (int) strlen(name), NULL);

	return value && value->type != jbvNull ? value : NULL;
}

static char *
text_of(JsonbContainer *object, const char *name)
{
	JsonbValue *value = member_of(object, name);

	return value && value->type == jbvString ?
			   pnstrdup(value->val.string.val, value->val.string.len) :
			   NULL;
}

static int
number_of(JsonbContainer *object, const char *name, int otherwise)
{
	JsonbValue *value = member_of(object, name);

	return value && value->type == jbvNumeric ?
			   DatumGetInt32(
				   DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric))) :
			   otherwise;
}

static bool
truth_of(JsonbContainer *object, const char *name)
{
	JsonbValue *value = member_of(object, name);

	return value && value->type == jbvBool && value->val.boolean;
}

static JsonbContainer *
container_of(JsonbContainer *object, const char *name)
{
	JsonbValue *value = member_of(object, name);

	return value && value->type == jbvBinary ? value->val.binary.data : NULL;
}

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
	target->column = text_of(from, "column");
	target->field = text_of(from, "field");
	target->at = number_of(from, "at", -1);
	target->kind = kind_named(text_of(from, "kind"));
	target->out = number_of(from, "out", 0);
	target->out2 = number_of(from, "out2", -1);
	target->member = text_of(from, "member");
	target->most = number_of(from, "max", 0);
	target->decimal = first_letter(text_of(from, "decimal"));
	target->order = first_letter(text_of(from, "order"));
	target->fallback = text_of(from, "default");
	target->required = truth_of(from, "required");
	target->warn = truth_of(from, "warn");
	target->map = container_of(from, "map");
	target->list = container_of(from, "list");
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
	JsonbContainer *list = container_of(object, name);
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
	read_encoding(layout, text_of(root, "encoding"));
	layout->delimiter = first_letter(text_of(root, "delimiter"));
	layout->quote = first_letter(text_of(root, "quote"));
	layout->zone = text_of(root, "zone");
	layout->header = truth_of(root, "header");
	layout->limit = number_of(root, "limit", 262144);
	layout->outs = number_of(root, "outs", 0);
	layout->width = number_of(root, "width", 0);
	layout->parts = Max(number_of(root, "parts", 1), 1);
	layout->part = number_of(root, "part", 0);
	layout->line_column = number_of(root, "line_column", -1);
	if (container_of(root, "lines"))
		layout->line = numbers_of(root, "lines", &layout->lines);
	read_targets(layout, container_of(root, "targets"));
	layout->key_targets = number_of(root, "key_targets", 0);
	return layout;
}
