/*
 * Conditions as people write them, {"field","op","value"}, {"and":[…]}, {"or":[…]}, {"not":…},
 * checked against a catalogue of fields. All faults are found at once, each with its pointer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "predicate.h"
#include "saleshub.h"

#define MAX_DEPTH 32
#define MAX_NODES 500
#define MAX_VALUES 5000
#define MAX_ERRORS 100
/* Bytes of a name that a message repeats. */
#define MAX_NAME 64

/* State of one compilation. */
struct compiler
{
	const struct predicate_catalogue *catalogue;
	StringInfoData pointer;
	int nodes;
	int values;
	int depth;
	List **errors;
};

#define TYPE(name) (1 << TYPE_##name)
#define FOR_TEXT (TYPE(TEXT) | TYPE(EMAIL))
#define FOR_NAMED (FOR_TEXT | TYPE(ENUM) | TYPE(UUID))
#define FOR_ORDER (FOR_TEXT | TYPE(INTEGER) | TYPE(NUMERIC) | TYPE(DATE) | TYPE(TIMESTAMP))
#define FOR_ONE (FOR_NAMED | FOR_ORDER | TYPE(BOOLEAN))
#define FOR_ALL (FOR_ONE | TYPE(TAGS))

static const struct
{
	const char *name;
	const char *word; /* as in the parameters of a list; NULL: the same */
	int types;		  /* set of the types it may be used with */
} ops[OP_LEAF_COUNT] = {
	[OP_EQ] = { "=", "eq", FOR_ONE },
	[OP_NE] = { "!=", "ne", FOR_ONE },
	[OP_LT] = { "<", "lt", FOR_ORDER },
	[OP_LE] = { "<=", "lte", FOR_ORDER },
	[OP_GT] = { ">", "gt", FOR_ORDER },
	[OP_GE] = { ">=", "gte", FOR_ORDER },
	[OP_IN] = { "in", NULL, FOR_NAMED | FOR_ORDER | TYPE(TAGS) },
	[OP_NOT_IN] = { "not_in", NULL, FOR_NAMED | FOR_ORDER | TYPE(TAGS) },
	[OP_CONTAINS] = { "contains", NULL, FOR_TEXT | TYPE(TAGS) },
	[OP_STARTS_WITH] = { "starts_with", NULL, FOR_TEXT },
	[OP_IS_NULL] = { "is_null", NULL, FOR_ALL },
	[OP_NOT_NULL] = { "not_null", NULL, FOR_ALL },
	[OP_MATCHES_DOMAIN] = { "matches_domain", NULL, TYPE(EMAIL) },
};

/* What a linked field can be asked for: ids that are there. */
#define LINKED_OPS (1 << OP_EQ | 1 << OP_NE | 1 << OP_IN | 1 << OP_NOT_IN)

static struct predicate *compile(struct compiler *c, JsonbValue *json);

PG_FUNCTION_INFO_V1(sh_score_predicate_errors);
PG_FUNCTION_INFO_V1(sh_score_event_errors);
PG_FUNCTION_INFO_V1(sh_predicate_fields);

static const char *const type_names[] = {
	[TYPE_TEXT] = "text",		[TYPE_EMAIL] = "email",	   [TYPE_ENUM] = "enum",
	[TYPE_INTEGER] = "integer", [TYPE_NUMERIC] = "number", [TYPE_BOOLEAN] = "boolean",
	[TYPE_UUID] = "uuid",		[TYPE_DATE] = "date",	   [TYPE_TIMESTAMP] = "timestamp",
	[TYPE_TAGS] = "tags",
};

static void
push_fields(JsonbParseState **state, const char *key, int from, int to)
{
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = from; i < to; i++)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(state, "field", sh_predicate_column(i));
		sh_json_string(state, "type", type_names[sh_predicate_type(i)]);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * saleshub.predicate_fields() returns jsonb: what conditions of scoring rules may ask for and how,
 * {"types": {type: [op]}, "lead": [{field, type}], "event": [{field, type}]}; custom fields apart.
 */
Datum
sh_predicate_fields(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_key(&state, "types");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int type = 0; type < (int) lengthof(type_names); type++)
	{
		sh_json_key(&state, type_names[type]);
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int op = 0; op < OP_LEAF_COUNT; op++)
			if (ops[op].types & (1 << type))
				sh_json_element(&state, TEXTOID, CStringGetTextDatum(ops[op].name), false);
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	push_fields(&state, "lead", 0, FIELD_LEAD_COUNT);
	push_fields(&state, "event", FIELD_LEAD_COUNT, FIELD_COUNT);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* The faults of a predicate over activities as a JSON array of {pointer, code, detail}. */
Datum
sh_score_event_errors(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;
	JsonbValue root;
	List *errors = NIL;

	JsonbToJsonbValue(PG_GETARG_JSONB_P(0), &root);
	(void) sh_predicate_compile_event(&root, &errors);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(sh_predicate_push_errors(&state, errors)));
}

/* The same of one over leads. */
Datum
sh_score_predicate_errors(PG_FUNCTION_ARGS)
{
	Jsonb *jsonb = PG_GETARG_JSONB_P(0);
	JsonbParseState *state = NULL;
	JsonbValue root;
	List *errors = NIL;
	pg_uuid_t org;

	JsonbToJsonbValue(jsonb, &root);
	(void) sh_predicate_compile(sh_context_org(&org) ? &org : NULL, &root, &errors);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(sh_predicate_push_errors(&state, errors)));
}

JsonbValue *
sh_predicate_push_errors(JsonbParseState **state, const List *errors)
{
	ListCell *cell;

	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (cell, errors)
	{
		const struct predicate_error *error = lfirst(cell);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(state, "pointer", error->pointer);
		sh_json_string(state, "code", error->code);
		sh_json_string(state, "detail", error->detail);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	return pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

struct predicate *
sh_predicate_compile(const pg_uuid_t *org, JsonbValue *json, List **errors)
{
	struct predicate_catalogue lead = { .find = sh_predicate_find_lead,
										.org = org,
										.in_memory = true };

	return sh_predicate_compile_over(&lead, json, errors);
}

struct predicate *
sh_predicate_compile_event(JsonbValue *json, List **errors)
{
	struct predicate_catalogue event = { .find = sh_predicate_find_event, .in_memory = true };

	return sh_predicate_compile_over(&event, json, errors);
}

struct predicate *
sh_predicate_compile_over(const struct predicate_catalogue *catalogue, JsonbValue *json,
						  List **errors)
{
	struct compiler c = { .catalogue = catalogue, .errors = errors };
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
	struct predicate_error *error;

	if (list_length(*c->errors) >= MAX_ERRORS)
		return;
	error = palloc(sizeof *error);
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

static bool
string_is(const JsonbValue *json, const char *name)
{
	return json->val.string.len == strlen(name) &&
		   memcmp(json->val.string.val, name, json->val.string.len) == 0;
}

/* The beginning of a string, for messages. */
static char *
shown(const JsonbValue *json)
{
	return pnstrdup(json->val.string.val,
					pg_mbcliplen(json->val.string.val, json->val.string.len, MAX_NAME));
}

/* A name as a step of a JSON pointer (RFC 6901); a long one is cut. */
static char *
step_of(const char *name, int len)
{
	StringInfoData step;

	len = pg_mbcliplen(name, len, MAX_NAME);
	initStringInfo(&step);
	for (int i = 0; i < len; i++)
		if (name[i] == '~' || name[i] == '/')
			appendStringInfoString(&step, name[i] == '~' ? "~0" : "~1");
		else
			appendStringInfoChar(&step, name[i]);
	return step.data;
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

		if (token != WJB_KEY)
			continue;
		while (*k && !string_is(&v, *k))
			k++;
		if (!*k)
			fault(c,
				  step_of(v.val.string.val, v.val.string.len),
				  "unknown_member",
				  psprintf("There is no member \"%s\" here.", shown(&v)));
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

static void
compile_constant(struct compiler *c, JsonbValue *json, const struct predicate *node,
				 const char *member, struct predicate_constant *out)
{
	const char *code;
	char *detail;

	if (!sh_predicate_constant(&node->subject, node->op, json, out, &code, &detail))
		fault(c, member, code, detail);
	else if (out->relative && c->catalogue->in_memory)
		fault(c, member, "invalid", pstrdup("A fixed value is needed here."));
}

static void
compile_values(struct compiler *c, JsonbValue *value, struct predicate *node)
{
	uint32 n;

	if (!is_array(value) || JsonContainerSize(value->val.binary.data) == 0)
	{
		fault(c, "value", "type", psprintf("\"%s\" needs an array of values.", ops[node->op].name));
		return;
	}
	n = JsonContainerSize(value->val.binary.data);
	c->values += n;
	if (c->values > MAX_VALUES)
	{
		fault(c, "value", "too_large", psprintf("More than %d values are too many.", MAX_VALUES));
		return;
	}
	node->count = n;
	node->constants = palloc0(n * sizeof *node->constants);
	for (uint32 i = 0; i < n; i++)
		compile_constant(c,
						 getIthJsonbValueFromContainer(value->val.binary.data, i),
						 node,
						 psprintf("value/%u", i),
						 &node->constants[i]);
}

static void
compile_value(struct compiler *c, JsonbValue *value, struct predicate *node)
{
	if (!value)
		fault(c, "value", "required", psprintf("\"%s\" needs a value.", ops[node->op].name));
	else if (node->op == OP_IN || node->op == OP_NOT_IN)
		compile_values(c, value, node);
	else
	{
		node->count = 1;
		node->constants = palloc0(sizeof *node->constants);
		compile_constant(c, value, node, "value", node->constants);
	}
}

/* The string in this member; NULL, which is noted, when there is none. */
static JsonbValue *
name_of(struct compiler *c, JsonbValue *json, const char *member)
{
	JsonbValue *name = member_of(json, member);

	if (name && name->type == jbvString)
		return name;
	fault(c, member, name ? "type" : "required", psprintf("A string \"%s\" is needed.", member));
	return NULL;
}

static bool
find_op(struct compiler *c, JsonbValue *name, enum predicate_op *out)
{
	for (int i = 0; i < OP_LEAF_COUNT; i++)
		if (string_is(name, ops[i].name) || (ops[i].word && string_is(name, ops[i].word)))
		{
			*out = i;
			return true;
		}
	fault(c, "op", "invalid", psprintf("There is no operator \"%s\".", shown(name)));
	return false;
}

static bool
find_subject(struct compiler *c, JsonbValue *name, struct predicate_subject *out)
{
	if (c->catalogue->find(c->catalogue, name->val.string.val, name->val.string.len, out))
		return true;
	fault(c, "field", "invalid", psprintf("There is no field \"%s\".", shown(name)));
	return false;
}

static bool
may_use(const struct predicate *node)
{
	return (ops[node->op].types & 1 << node->subject.type) != 0 &&
		   (!node->subject.linked || (LINKED_OPS & 1 << node->op) != 0);
}

static struct predicate *
compile_leaf(struct compiler *c, JsonbValue *json)
{
	struct predicate *node = palloc0(sizeof *node);
	JsonbValue *field = name_of(c, json, "field");
	JsonbValue *op = name_of(c, json, "op");
	bool known = field && find_subject(c, field, &node->subject);

	known = op && find_op(c, op, &node->op) && known;
	check_members(c, json, (const char *const[]){ "field", "op", "value", NULL });
	if (!known)
		return NULL;
	if (!may_use(node))
		fault(
			c,
			"op",
			"invalid",
			psprintf("\"%s\" cannot be used with \"%s\".", ops[node->op].name, node->subject.name));
	else if (node->op != OP_IS_NULL && node->op != OP_NOT_NULL)
		compile_value(c, member_of(json, "value"), node);
	else if (member_of(json, "value"))
		fault(c, "value", "invalid", psprintf("\"%s\" takes no value.", ops[node->op].name));
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
