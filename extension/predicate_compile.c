/*
 * Predicates as people write them, {"field","op","value"}, {"and":[…]}, {"or":[…]}, {"not":…},
 * checked and made ready for evaluation. All faults are found at once, each with its pointer.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/numeric.h"

#include "predicate.h"
#include "saleshub.h"

#define MAX_DEPTH 32
#define MAX_NODES 500

/* State of one compilation. */
struct compiler
{
	StringInfoData pointer;
	int nodes;
	int depth;
	List **errors;
};

static const struct
{
	const char *name;
	enum predicate_type type;
} fields[FIELD_COUNT] = {
	[FIELD_FIRST_NAME] = { "first_name", TYPE_TEXT },
	[FIELD_LAST_NAME] = { "last_name", TYPE_TEXT },
	[FIELD_EMAIL] = { "email", TYPE_EMAIL },
	[FIELD_PHONE] = { "phone", TYPE_TEXT },
	[FIELD_COMPANY_NAME] = { "company_name", TYPE_TEXT },
	[FIELD_TITLE] = { "title", TYPE_TEXT },
	[FIELD_WEBSITE] = { "website", TYPE_TEXT },
	[FIELD_SOURCE] = { "source", TYPE_TEXT },
	[FIELD_STATUS] = { "status", TYPE_TEXT },
	[FIELD_COUNTRY] = { "country", TYPE_TEXT },
	[FIELD_CITY] = { "city", TYPE_TEXT },
	[FIELD_INDUSTRY] = { "industry", TYPE_TEXT },
	[FIELD_EMPLOYEES] = { "employees", TYPE_INTEGER },
	[FIELD_ANNUAL_REVENUE] = { "annual_revenue", TYPE_NUMERIC },
	[FIELD_ANNUAL_REVENUE_CURRENCY] = { "annual_revenue_currency", TYPE_TEXT },
	[FIELD_TAGS] = { "tags", TYPE_TAGS },
	[FIELD_CONSENT_EMAIL] = { "consent_email", TYPE_BOOLEAN },
	[FIELD_CONSENT_PHONE] = { "consent_phone", TYPE_BOOLEAN },
};

#define FOR_TEXT (1 << TYPE_TEXT | 1 << TYPE_EMAIL)
#define FOR_NUMBER (1 << TYPE_INTEGER | 1 << TYPE_NUMERIC)
#define FOR_ALL (FOR_TEXT | FOR_NUMBER | 1 << TYPE_BOOLEAN | 1 << TYPE_TAGS)

static const struct
{
	const char *name;
	int types; /* set of the field types it may be used with */
} ops[OP_LEAF_COUNT] = {
	[OP_EQ] = { "=", FOR_TEXT | FOR_NUMBER | 1 << TYPE_BOOLEAN },
	[OP_NE] = { "!=", FOR_TEXT | FOR_NUMBER | 1 << TYPE_BOOLEAN },
	[OP_LT] = { "<", FOR_NUMBER },
	[OP_LE] = { "<=", FOR_NUMBER },
	[OP_GT] = { ">", FOR_NUMBER },
	[OP_GE] = { ">=", FOR_NUMBER },
	[OP_IN] = { "in", FOR_TEXT | FOR_NUMBER },
	[OP_NOT_IN] = { "not_in", FOR_TEXT | FOR_NUMBER },
	[OP_CONTAINS] = { "contains", FOR_TEXT | 1 << TYPE_TAGS },
	[OP_STARTS_WITH] = { "starts_with", FOR_TEXT },
	[OP_IS_NULL] = { "is_null", FOR_ALL },
	[OP_NOT_NULL] = { "not_null", FOR_ALL },
	[OP_MATCHES_DOMAIN] = { "matches_domain", 1 << TYPE_EMAIL },
};

static struct predicate *compile(struct compiler *c, JsonbValue *json);

PG_FUNCTION_INFO_V1(sh_score_predicate_errors);

/* The faults of a predicate as a JSON array of {pointer, code, detail}. */
Datum
sh_score_predicate_errors(PG_FUNCTION_ARGS)
{
	Jsonb *jsonb = PG_GETARG_JSONB_P(0);
	JsonbParseState *state = NULL;
	JsonbValue root;
	List *errors = NIL;
	ListCell *cell;

	JsonbToJsonbValue(jsonb, &root);
	(void) sh_predicate_compile(&root, &errors);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach (cell, errors)
	{
		const struct predicate_error *error = lfirst(cell);

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(&state, "pointer", error->pointer);
		sh_json_string(&state, "code", error->code);
		sh_json_string(&state, "detail", error->detail);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

const char *
sh_predicate_column(enum predicate_field field)
{
	return fields[field].name;
}

enum predicate_type
sh_predicate_type(enum predicate_field field)
{
	return fields[field].type;
}

struct predicate *
sh_predicate_compile(JsonbValue *json, List **errors)
{
	struct compiler c = { .errors = errors };
	struct predicate *predicate;
	int before = list_length(*errors);

	initStringInfo(&c.pointer);
	predicate = compile(&c, json);
	pfree(c.pointer.data);
	return list_length(*errors) == before ? predicate : NULL;
}

/* Note a fault at the present place, below it at member when that is given. */
static void
fault(struct compiler *c, const char *member, const char *code, char *detail)
{
	struct predicate_error *error = palloc(sizeof *error);

	error->pointer = member ? psprintf("%s/%s", c->pointer.data, member) : pstrdup(c->pointer.data);
	error->code = code;
	error->detail = detail;
	*c->errors = lappend(*c->errors, error);
}

static JsonbValue *
member_of(JsonbValue *json, const char *key)
{
	return getKeyJsonValueFromContainer(json->val.binary.data, key, strlen(key), NULL);
}

static bool
is_object(const JsonbValue *json)
{
	return json->type == jbvBinary && JsonContainerIsObject(json->val.binary.data);
}

static bool
is_array(const JsonbValue *json)
{
	return json->type == jbvBinary && JsonContainerIsArray(json->val.binary.data) &&
		   !JsonContainerIsScalar(json->val.binary.data);
}

/* Every member but the named ones is a fault. */
static void
check_members(struct compiler *c, JsonbValue *json, const char *const *known)
{
	JsonbIterator *it = JsonbIteratorInit(json->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		const char *const *k = known;
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		while (*k && strcmp(*k, name) != 0)
			k++;
		if (!*k)
			fault(c, name, "unknown_member", psprintf("There is no member \"%s\" here.", name));
	}
}

/* Compile what lies at one step below the present place. */
static struct predicate *
compile_below(struct compiler *c, JsonbValue *json, const char *step)
{
	int len = c->pointer.len;
	struct predicate *part;

	appendStringInfo(&c->pointer, "/%s", step);
	part = compile(c, json);
	c->pointer.len = len;
	c->pointer.data[len] = '\0';
	return part;
}

static struct predicate *
compile_list(struct compiler *c, JsonbValue *json, enum predicate_op op, const char *name)
{
	struct predicate *node = palloc0(sizeof *node);
	int len = c->pointer.len;
	uint32 n;

	check_members(c, json, (const char *const[]){ name, NULL });
	json = member_of(json, name);
	if (!is_array(json) || JsonContainerSize(json->val.binary.data) == 0)
	{
		fault(c, name, "type", psprintf("\"%s\" needs an array of conditions.", name));
		return NULL;
	}
	n = JsonContainerSize(json->val.binary.data);
	node->op = op;
	node->parts = palloc(n * sizeof *node->parts);
	appendStringInfo(&c->pointer, "/%s", name);
	for (uint32 i = 0; i < n && c->nodes <= MAX_NODES; i++)
		node->parts[node->count++] = compile_below(
			c, getIthJsonbValueFromContainer(json->val.binary.data, i), psprintf("%u", i));
	c->pointer.len = len;
	c->pointer.data[len] = '\0';
	return node;
}

static bool
constant_integer(struct compiler *c, JsonbValue *json, const char *member,
				 struct predicate_constant *out)
{
	char *digits =
		DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json->val.numeric)));
	char *end;

	errno = 0;
	out->integer = strtoll(digits, &end, 10);
	if (errno == 0 && *end == '\0')
		return true;
	fault(c, member, "type", pstrdup("A whole number is needed."));
	return false;
}

static bool
constant_text(struct compiler *c, JsonbValue *json, enum predicate_op op, const char *member,
			  struct predicate_constant *out)
{
	out->text = sh_predicate_fold(json->val.string.val, json->val.string.len);
	if (out->text.len == 0)
	{
		fault(c, member, "invalid", pstrdup("Use is_null to ask for an empty field."));
		return false;
	}
	out->domain = DOMAIN_NAMED;
	if (op == OP_MATCHES_DOMAIN && strcmp(out->text.data, "free") == 0)
		out->domain = DOMAIN_FREE;
	if (op == OP_MATCHES_DOMAIN && strcmp(out->text.data, "business") == 0)
		out->domain = DOMAIN_BUSINESS;
	return true;
}

/* One value to compare a field of this type with. */
static bool
constant_of(struct compiler *c, JsonbValue *json, enum predicate_type type, enum predicate_op op,
			const char *member, struct predicate_constant *out)
{
	switch (type)
	{
		case TYPE_INTEGER:
			if (json->type == jbvNumeric)
				return constant_integer(c, json, member, out);
			break;
		case TYPE_NUMERIC:
			out->numeric = json->type == jbvNumeric ?
							   datumCopy(NumericGetDatum(json->val.numeric), false, -1) :
							   (Datum) 0;
			if (json->type == jbvNumeric)
				return true;
			break;
		case TYPE_BOOLEAN:
			out->truth = json->val.boolean;
			if (json->type == jbvBool)
				return true;
			fault(c, member, "type", pstrdup("true or false is needed."));
			return false;
		case TYPE_TEXT:
		case TYPE_EMAIL:
		case TYPE_TAGS:
			if (json->type == jbvString)
				return constant_text(c, json, op, member, out);
			fault(c, member, "type", pstrdup("A string is needed."));
			return false;
	}
	fault(c, member, "type", pstrdup("A number is needed."));
	return false;
}

static void
compile_value(struct compiler *c, JsonbValue *value, struct predicate *node)
{
	enum predicate_type type = fields[node->field].type;
	uint32 n;

	if (!value)
	{
		fault(c, "value", "required", psprintf("\"%s\" needs a value.", ops[node->op].name));
		return;
	}
	if (node->op != OP_IN && node->op != OP_NOT_IN)
	{
		node->count = 1;
		node->constants = palloc0(sizeof *node->constants);
		(void) constant_of(c, value, type, node->op, "value", node->constants);
		return;
	}
	if (!is_array(value) || JsonContainerSize(value->val.binary.data) == 0)
	{
		fault(c, "value", "type", psprintf("\"%s\" needs an array of values.", ops[node->op].name));
		return;
	}
	n = JsonContainerSize(value->val.binary.data);
	node->count = n;
	node->constants = palloc0(n * sizeof *node->constants);
	for (uint32 i = 0; i < n; i++)
		(void) constant_of(c,
						   getIthJsonbValueFromContainer(value->val.binary.data, i),
						   type,
						   node->op,
						   psprintf("value/%u", i),
						   &node->constants[i]);
}

static bool
string_is(const JsonbValue *json, const char *name)
{
	return json->val.string.len == strlen(name) &&
		   memcmp(json->val.string.val, name, json->val.string.len) == 0;
}

/* Index of the field or op of this name, count when there is none (which is noted). */
static int
look_up(struct compiler *c, JsonbValue *json, const char *member, int count)
{
	bool is_op = strcmp(member, "op") == 0;
	int i = 0;

	if (!json || json->type != jbvString)
	{
		fault(
			c, member, json ? "type" : "required", psprintf("A string \"%s\" is needed.", member));
		return count;
	}
	while (i < count && !string_is(json, is_op ? ops[i].name : fields[i].name))
		i++;
	if (i == count)
		fault(c,
			  member,
			  "invalid",
			  psprintf("There is no %s \"%.*s\".",
					   is_op ? "operator" : "field",
					   Min(json->val.string.len, 64),
					   json->val.string.val));
	return i;
}

static struct predicate *
compile_leaf(struct compiler *c, JsonbValue *json)
{
	struct predicate *node = palloc0(sizeof *node);
	int field = look_up(c, member_of(json, "field"), "field", FIELD_COUNT);
	int op = look_up(c, member_of(json, "op"), "op", OP_LEAF_COUNT);

	check_members(c, json, (const char *const[]){ "field", "op", "value", NULL });
	if (field == FIELD_COUNT || op == OP_LEAF_COUNT)
		return NULL;
	node->field = field;
	node->op = op;
	if ((ops[op].types & 1 << fields[field].type) == 0)
		fault(c,
			  "op",
			  "invalid",
			  psprintf("\"%s\" cannot be used with \"%s\".", ops[op].name, fields[field].name));
	else if (op != OP_IS_NULL && op != OP_NOT_NULL)
		compile_value(c, member_of(json, "value"), node);
	else if (member_of(json, "value"))
		fault(c, "value", "invalid", psprintf("\"%s\" takes no value.", ops[op].name));
	return node;
}

static struct predicate *
compile_not(struct compiler *c, JsonbValue *json)
{
	struct predicate *node = palloc0(sizeof *node);

	check_members(c, json, (const char *const[]){ "not", NULL });
	node->op = OP_NOT;
	node->count = 1;
	node->parts = palloc(sizeof *node->parts);
	node->parts[0] = compile_below(c, member_of(json, "not"), "not");
	return node;
}

static struct predicate *
compile(struct compiler *c, JsonbValue *json)
{
	struct predicate *node = NULL;

	if (++c->nodes > MAX_NODES || c->depth >= MAX_DEPTH)
	{
		if (c->nodes <= MAX_NODES + 1)
			fault(c, NULL, "too_large", pstrdup("The condition is nested too deeply or too long."));
		return NULL;
	}
	c->depth++;
	if (!is_object(json))
		fault(c, NULL, "type", pstrdup("A condition is an object."));
	else if (member_of(json, "and"))
		node = compile_list(c, json, OP_AND, "and");
	else if (member_of(json, "or"))
		node = compile_list(c, json, OP_OR, "or");
	else if (member_of(json, "not"))
		node = compile_not(c, json);
	else
		node = compile_leaf(c, json);
	c->depth--;
	return node;
}
