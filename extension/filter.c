/*
 * Filters: conditions over the fields of a noun as SQL text. The text holds nothing of the
 * conditions but their shape: fields come from the catalogue, values go into the parameter.
 *
 * Logic is two-valued, as in memory: a condition about an empty field is false and its opposite
 * true. NOT is carried down to the conditions, so that what an index can answer stays bare.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "predicate.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_filter_compile);
PG_FUNCTION_INFO_V1(sh_folded);
PG_FUNCTION_INFO_V1(sh_tags_any);
PG_FUNCTION_INFO_V1(sh_email_at);

/* The SQL text so far, and the values it refers to: an array for each condition. */
struct writer
{
	StringInfoData sql;
	JsonbParseState *args;
	int place;
};

/* The types of saleshub.<noun>_fields(), and the SQL type that values become. */
static const struct
{
	const char *name;
	enum predicate_type type;
	const char *cast;
} kinds[] = {
	{ "text", TYPE_TEXT, "text" },
	{ "enum", TYPE_ENUM, "text" },
	{ "integer", TYPE_INTEGER, "bigint" },
	{ "number", TYPE_NUMERIC, "numeric" },
	{ "money", TYPE_NUMERIC, "numeric" },
	{ "boolean", TYPE_BOOLEAN, "boolean" },
	{ "uuid", TYPE_UUID, "uuid" },
	{ "date", TYPE_DATE, "date" },
	{ "timestamp", TYPE_TIMESTAMP, "timestamptz" },
	{ "tags", TYPE_TAGS, "text" },
};

static void write_node(struct writer *w, const struct predicate *node, bool negated);

/* --- the catalogue --- */

static bool
find_field(const struct predicate_catalogue *self, const char *name, int len,
		   struct predicate_subject *out)
{
	JsonbValue *field = getKeyJsonValueFromContainer(self->fields, name, len, NULL);
	JsonbContainer *schema;
	char *kind;

	if (!field || field->type != jbvBinary || !JsonContainerIsObject(field->val.binary.data))
		return false;
	out->meta = field->val.binary.data;
	kind = sh_json_text(out->meta, "type");
	if (!kind || !sh_json_text(out->meta, "sql"))
		return false;
	schema = sh_json_container(out->meta, "schema");
	for (size_t i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, kind) == 0)
		{
			out->name = pnstrdup(name, len);
			out->type = kinds[i].type;
			out->linked = sh_json_text(out->meta, "exists") != NULL;
			if (out->type == TYPE_ENUM && schema && JsonContainerIsObject(schema))
				out->allowed = sh_json_container(schema, "enum");
			if (out->allowed && !JsonContainerIsArray(out->allowed))
				out->allowed = NULL;
			if (out->type == TYPE_TEXT && sh_json_truth(out->meta, "email", false))
				out->type = TYPE_EMAIL;
			return true;
		}
	return false;
}

/* --- values --- */

static bool
is_text(const struct predicate_subject *subject)
{
	return subject->type == TYPE_TEXT || subject->type == TYPE_EMAIL;
}

static void
push_constant(struct writer *w, const struct predicate_subject *subject,
			  const struct predicate_constant *constant)
{
	JsonbValue v;

	switch (subject->type)
	{
		case TYPE_INTEGER:
		case TYPE_NUMERIC:
			v.type = jbvNumeric;
			v.val.numeric = DatumGetNumeric(constant->numeric);
			break;
		case TYPE_BOOLEAN:
			v.type = jbvBool;
			v.val.boolean = constant->truth;
			break;
		default:
			v.type = jbvString;
			v.val.string.val = unconstify(char *, constant->text.data);
			v.val.string.len = constant->text.len;
			break;
	}
	pushJsonbValue(&w->args, WJB_ELEM, &v);
}

/* Hand the values over; the place they will be found at. */
static int
push_constants(struct writer *w, const struct predicate *node)
{
	pushJsonbValue(&w->args, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < node->count; i++)
		push_constant(w, &node->subject, &node->constants[i]);
	pushJsonbValue(&w->args, WJB_END_ARRAY, NULL);
	return w->place++;
}

static const char *
cast_of(const struct predicate_subject *subject)
{
	for (size_t i = 0; i < lengthof(kinds); i++)
		if (kinds[i].type == subject->type)
			return kinds[i].cast;
	return "text";
}

/* SQL text of a value that is the text given; what is relative is evaluated once per statement. */
static char *
value_of(const struct predicate_subject *subject, bool relative, const char *text)
{
	if (!relative)
		return psprintf("(%s)::%s", text, cast_of(subject));
	if (subject->type == TYPE_UUID)
		return pstrdup("saleshub.member_id()");
	return psprintf(
		"(SELECT saleshub.date_math%s(%s))", subject->type == TYPE_DATE ? "_day" : "", text);
}

static char *
one_value(const struct predicate *node, int place)
{
	return value_of(
		&node->subject, node->constants[0].relative, psprintf("$1 #>> '{f,%d,0}'", place));
}

static char *
all_values(const struct predicate *node, int place)
{
	StringInfoData sql;
	bool relative = false;

	for (int i = 0; i < node->count; i++)
		relative = relative || node->constants[i].relative;
	if (!relative)
		return psprintf("ARRAY(SELECT jsonb_array_elements_text($1 #> '{f,%d}'))::%s[]",
						place,
						cast_of(&node->subject));
	initStringInfo(&sql);
	for (int i = 0; i < node->count; i++)
		appendStringInfo(&sql,
						 "%s%s",
						 i > 0 ? ", " : "ARRAY[",
						 value_of(&node->subject,
								  node->constants[i].relative,
								  psprintf("$1 #>> '{f,%d,%d}'", place, i)));
	appendStringInfoChar(&sql, ']');
	return sql.data;
}

/* --- conditions --- */

/* The column as it is compared: text without regard to letter case. */
static char *
column_of(const struct predicate_subject *subject)
{
	char *column = sh_json_text(subject->meta, "sql");

	return is_text(subject) && !sh_json_truth(subject->meta, "folded", false) ?
			   psprintf("saleshub.folded(%s)", column) :
			   column;
}

static void
write_empty(struct writer *w, const struct predicate_subject *subject, bool negated)
{
	const char *column = sh_json_text(subject->meta, "sql");

	if (is_text(subject))
		appendStringInfo(&w->sql, "coalesce(%s, '') %s ''", column, negated ? "<>" : "=");
	else if (subject->type == TYPE_TAGS)
		appendStringInfo(
			&w->sql, "coalesce(cardinality(%s), 0) %s 0", column, negated ? "<>" : "=");
	else
		appendStringInfo(&w->sql, "%s IS %sNULL", column, negated ? "NOT " : "");
}

/* A link to one of the ids exists; its SQL text has %s where the ids go. */
static void
write_linked(struct writer *w, const struct predicate *node, bool negated)
{
	const char *exists = sh_json_text(node->subject.meta, "exists");
	const char *gap = strstr(exists, "%s");
	char *ids = all_values(node, push_constants(w, node));

	if (!gap)
		elog(ERROR, "the text of field \"%s\" has no place for ids", node->subject.name);
	appendStringInfo(&w->sql,
					 "%s%.*sANY (%s)%s",
					 negated ? "NOT " : "",
					 (int) (gap - exists),
					 exists,
					 ids,
					 gap + 2);
}

/*
 * Before a condition that the table of values answers as well. What is within coalesce() is not
 * estimated to hold for few rows only, which would count the same condition twice.
 */
#define INDEXED "(coalesce("

/* A value, as SQL text, in the column of the table of values that is for the type. */
static char *
index_value(const struct predicate_subject *subject, const char *value, bool many)
{
	const char *array = many ? "[]" : "";

	switch (subject->type)
	{
		case TYPE_BOOLEAN:
			return psprintf("(%s)::int::float8", value);
		case TYPE_INTEGER:
		case TYPE_NUMERIC:
			return psprintf("(%s)::float8%s", value, array);
		case TYPE_DATE:
			return many ?
					   psprintf("ARRAY(SELECT d::timestamp AT TIME ZONE 'UTC' FROM unnest(%s) d)",
								value) :
					   psprintf("((%s)::timestamp AT TIME ZONE 'UTC')", value);
		case TYPE_TIMESTAMP:
			return pstrdup(value);
		default:
			return psprintf("(%s)::text%s", value, array);
	}
}

/*
 * What the table of values says beside the condition: it may say yes too often, for numbers are
 * rounded there, and the condition has the last word. place is that of the values.
 */
static void
write_index(struct writer *w, const struct predicate *node, int place)
{
	static const char *const signs[OP_LEAF_COUNT] = {
		[OP_LT] = "<=", [OP_LE] = "<=", [OP_GT] = ">=", [OP_GE] = ">=", [OP_CONTAINS] = "="
	};
	const char *index = sh_json_text(node->subject.meta, "index");
	const char *gap = index ? strstr(index, "%s") : NULL;
	bool many = node->count > 1;
	char *value;

	if (!gap)
		elog(ERROR, "the index of field \"%s\" has no place for a value", node->subject.name);
	value =
		index_value(&node->subject, many ? all_values(node, place) : one_value(node, place), many);
	appendStringInfo(&w->sql,
					 many ? ", false) AND %.*s= ANY (%s)%s)" : ", false) AND %.*s%s %s%s)",
					 (int) (gap - index),
					 index,
					 many ? value : (signs[node->op] ? signs[node->op] : "="),
					 many ? gap + 2 : value,
					 gap + 2);
}

/* Conditions that the table of values can answer: the value is there, and is such. */
static bool
uses_index(const struct predicate *node, bool negated)
{
	return !negated && node->op != OP_STARTS_WITH && node->op != OP_MATCHES_DOMAIN &&
		   (node->op != OP_CONTAINS || node->subject.type == TYPE_TAGS) &&
		   sh_json_text(node->subject.meta, "index") != NULL;
}

static void
write_among(struct writer *w, const struct predicate *node, bool negated)
{
	const char *column = column_of(&node->subject);
	int place = push_constants(w, node);
	const char *off = negated ? " IS NOT TRUE" : "";
	bool index = uses_index(node, negated);

	if (index)
		appendStringInfoString(&w->sql, INDEXED);
	if (node->subject.type == TYPE_TAGS)
		appendStringInfo(
			&w->sql, "saleshub.tags_any(%s, %s)%s", column, all_values(node, place), off);
	else if (node->count > 1)
		appendStringInfo(&w->sql, "(%s = ANY (%s))%s", column, all_values(node, place), off);
	else
		appendStringInfo(&w->sql,
						 "%s %s %s",
						 column,
						 negated ? "IS DISTINCT FROM" : "=",
						 one_value(node, place));
	if (index)
		write_index(w, node, place);
}

static void
write_order(struct writer *w, const struct predicate *node, bool negated)
{
	static const char *const signs[] = {
		[OP_LT] = "<",
		[OP_LE] = "<=",
		[OP_GT] = ">",
		[OP_GE] = ">=",
	};

	int place = push_constants(w, node);
	bool index = uses_index(node, negated);

	/* An empty text is nothing, not the first of all texts. */
	appendStringInfo(&w->sql,
					 is_text(&node->subject) ? "%s(nullif(%s, '') %s %s)%s" : "%s(%s %s %s)%s",
					 index ? INDEXED : "",
					 column_of(&node->subject),
					 signs[node->op],
					 one_value(node, place),
					 negated ? " IS NOT TRUE" : "");
	if (index)
		write_index(w, node, place);
}

static void
write_text(struct writer *w, const struct predicate *node, bool negated)
{
	const char *value;

	if (node->subject.type == TYPE_TAGS)
	{
		write_among(w, node, negated);
		return;
	}
	value = one_value(node, push_constants(w, node));
	if (node->op == OP_CONTAINS)
		appendStringInfo(&w->sql, "(strpos(%s, %s) > 0)", column_of(&node->subject), value);
	else
		appendStringInfo(&w->sql,
						 "%s(%s, %s)",
						 node->op == OP_STARTS_WITH ? "starts_with" : "saleshub.email_at",
						 column_of(&node->subject),
						 value);
	if (negated)
		appendStringInfoString(&w->sql, " IS NOT TRUE");
}

static void
write_leaf(struct writer *w, const struct predicate *node, bool negated)
{
	switch (node->op)
	{
		case OP_IS_NULL:
			write_empty(w, &node->subject, negated);
			break;
		case OP_NOT_NULL:
			write_empty(w, &node->subject, !negated);
			break;
		case OP_EQ:
		case OP_NE:
		case OP_IN:
		case OP_NOT_IN:
			negated = negated != (node->op == OP_NE || node->op == OP_NOT_IN);
			if (node->subject.linked)
				write_linked(w, node, negated);
			else
				write_among(w, node, negated);
			break;
		case OP_CONTAINS:
		case OP_STARTS_WITH:
		case OP_MATCHES_DOMAIN:
			write_text(w, node, negated);
			break;
		default:
			write_order(w, node, negated);
			break;
	}
}

static void
write_parts(struct writer *w, const struct predicate *node, bool negated)
{
	const char *joint = (node->op == OP_AND) != negated ? " AND " : " OR ";

	appendStringInfoChar(&w->sql, '(');
	for (int i = 0; i < node->count; i++)
	{
		if (i > 0)
			appendStringInfoString(&w->sql, joint);
		write_node(w, node->parts[i], negated);
	}
	appendStringInfoChar(&w->sql, ')');
}

static void
write_node(struct writer *w, const struct predicate *node, bool negated)
{
	if (node->op == OP_NOT)
		write_node(w, node->parts[0], !negated);
	else if (node->op == OP_AND || node->op == OP_OR)
		write_parts(w, node, negated);
	else
		write_leaf(w, node, negated);
}

/* --- functions of SQL --- */

/*
 * saleshub.filter_compile(fields jsonb, conditions jsonb) returns jsonb: {"sql", "args"}, the
 * args to be found at $1 -> 'f'; or {"errors": [{pointer, code, detail}]}.
 */
Datum
sh_filter_compile(PG_FUNCTION_ARGS)
{
	Jsonb *fields = PG_GETARG_JSONB_P(0);
	struct predicate_catalogue catalogue = { .find = find_field, .fields = &fields->root };
	struct writer w = { 0 };
	struct predicate *tree;
	List *errors = NIL;
	JsonbValue root;

	if (!JB_ROOT_IS_OBJECT(fields))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the fields of a filter must be an object")));
	JsonbToJsonbValue(PG_GETARG_JSONB_P(1), &root);
	tree = sh_predicate_compile_over(&catalogue, &root, &errors);
	pushJsonbValue(&w.args, WJB_BEGIN_OBJECT, NULL);
	if (tree)
	{
		initStringInfo(&w.sql);
		sh_json_key(&w.args, "args");
		pushJsonbValue(&w.args, WJB_BEGIN_ARRAY, NULL);
		write_node(&w, tree, false);
		pushJsonbValue(&w.args, WJB_END_ARRAY, NULL);
		sh_json_string(&w.args, "sql", w.sql.data);
	}
	else
	{
		sh_json_key(&w.args, "errors");
		(void) sh_predicate_push_errors(&w.args, errors);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&w.args, WJB_END_OBJECT, NULL)));
}

static struct predicate_text
fold_argument(text *value)
{
	return sh_predicate_fold(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/* saleshub.folded(text) returns text: as conditions compare it. */
Datum
sh_folded(PG_FUNCTION_ARGS)
{
	struct predicate_text folded = fold_argument(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text_with_len(folded.data, folded.len));
}

/* saleshub.tags_any(tags text[], folded text[]) returns boolean */
Datum
sh_tags_any(PG_FUNCTION_ARGS)
{
	Datum *values;
	bool *nulls;
	bool found = false;
	int n;

	deconstruct_array(
		PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n && !found; i++)
	{
		struct varlena *value = nulls[i] ? NULL : PG_DETOAST_DATUM_PACKED(values[i]);
		struct predicate_text wanted;

		if (!value)
			continue;
		wanted.data = VARDATA_ANY(value);
		wanted.len = VARSIZE_ANY_EXHDR(value);
		found = sh_predicate_has_tag(PG_GETARG_DATUM(0), &wanted);
	}
	PG_RETURN_BOOL(found);
}

/* saleshub.email_at(email text, wanted text) returns boolean */
Datum
sh_email_at(PG_FUNCTION_ARGS)
{
	struct predicate_text email = fold_argument(PG_GETARG_TEXT_PP(0));
	struct predicate_constant wanted = { .text = fold_argument(PG_GETARG_TEXT_PP(1)) };

	wanted.domain = sh_predicate_domain_kind(&wanted.text);
	PG_RETURN_BOOL(sh_predicate_domain(&email, &wanted));
}
