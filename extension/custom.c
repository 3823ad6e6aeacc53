/*
 * The check of custom fields when a record is written, whoever writes it: what an organisation
 * has defined for the kind of record is brought into its normal form or refused. Only values that
 * change are looked at, so that what was there before a definition stays where it is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/numeric.h"

#include "custom.h"
#include "predicate.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_custom_check_row);

/* --- a record --- */

bool
sh_custom_same(const JsonbValue *a, const JsonbValue *b)
{
	if (!a || !b || a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				   memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(
				numeric_eq, NumericGetDatum(a->val.numeric), NumericGetDatum(b->val.numeric)));
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvBinary:
			return compareJsonbContainers(a->val.binary.data, b->val.binary.data) == 0;
		default:
			return false;
	}
}

/* Merges, erasure and the like put back or take away what was there, checked or not. */
static bool
puts_back(void)
{
	return GetUserId() == get_role_oid("saleshub_owner", true) &&
		   strcmp(GetConfigOption("saleshub.converting", false, false), "on") == 0;
}

static void
add_fault(List **faults, const JsonbValue *key, const struct custom_fault *fault)
{
	struct predicate_error *error = palloc(sizeof(*error));
	StringInfoData pointer;

	initStringInfo(&pointer);
	appendStringInfoString(&pointer, "/custom/");
	for (int i = 0; i < key->val.string.len; i++)
		if (key->val.string.val[i] == '~')
			appendStringInfoString(&pointer, "~0");
		else if (key->val.string.val[i] == '/')
			appendStringInfoString(&pointer, "~1");
		else
			appendStringInfoChar(&pointer, key->val.string.val[i]);
	error->pointer = pointer.data;
	error->code = fault->code;
	error->detail = fault->detail;
	*faults = lappend(*faults, error);
}

/* State of the check of one record. */
struct check
{
	const char *entity;
	const pg_uuid_t *org;
	const struct custom_fields *fields;
	JsonbContainer *custom;
	JsonbContainer *old; /* NULL: a new record */
	JsonbParseState *state;
	List **faults;
};

static JsonbValue *
member_of(JsonbContainer *object, const char *key, int len)
{
	return object ? getKeyJsonValueFromContainer(object, key, len, NULL) : NULL;
}

static void
push(struct check *c, JsonbValue *key, JsonbValue *value)
{
	pushJsonbValue(&c->state, WJB_KEY, key);
	pushJsonbValue(&c->state, WJB_VALUE, value);
}

static void
check_member(struct check *c, JsonbValue *key, JsonbValue *value)
{
	const struct custom_field *field;
	struct custom_fault fault = { "unknown_member", "is not known here" };
	JsonbValue out;

	if (sh_custom_same(value, member_of(c->old, key->val.string.val, key->val.string.len)))
	{
		push(c, key, value);
		return;
	}
	field = sh_custom_find(c->fields, c->entity, key->val.string.val, key->val.string.len);
	if (!field || !field->active)
		add_fault(c->faults, key, &fault);
	else if (!sh_custom_take(field, c->org, value, &out, &fault))
		add_fault(c->faults, key, &fault);
	else if (out.type != jbvNull)
		push(c, key, &out);
}

/* What counts as nothing in any type. */
static bool
is_blank(const JsonbValue *value)
{
	int i = 0;

	if (!value || value->type == jbvNull)
		return true;
	if (value->type == jbvBinary)
		return JsonContainerSize(value->val.binary.data) == 0;
	while (value->type == jbvString && i < value->val.string.len &&
		   strchr(" \t\r\n", value->val.string.val[i]))
		i++;
	return value->type == jbvString && i == value->val.string.len;
}

static void
check_missing_field(struct check *c, const struct custom_field *field)
{
	struct custom_fault fault = { "required", "is required" };
	JsonbValue *value = member_of(c->custom, field->key, strlen(field->key));
	JsonbValue key = { .type = jbvString };
	JsonbValue initial;

	key.val.string.val = unconstify(char *, field->key);
	key.val.string.len = strlen(field->key);
	if (!c->old && !value && field->initial)
	{
		sh_custom_root(field->initial, &initial);
		push(c, &key, &initial);
	}
	else if (field->required && is_blank(value) &&
			 (!c->old || member_of(c->old, field->key, strlen(field->key))))
		add_fault(c->faults, &key, &fault);
}

/* Defaults, and what is required: in a new record, and not to be taken away from an old one. */
static void
check_missing(struct check *c)
{
	for (int i = 0; i < c->fields->count; i++)
		if (c->fields->fields[i].active && strcmp(c->fields->fields[i].entity, c->entity) == 0)
			check_missing_field(c, &c->fields->fields[i]);
}

Jsonb *
sh_custom_check(const char *entity, const pg_uuid_t *org, Jsonb *custom, Jsonb *old, List **faults)
{
	struct check c = { .entity = entity, .org = org, .faults = faults };
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;
	Jsonb *result;

	if (!JB_ROOT_IS_OBJECT(custom))
		return custom;
	c.fields = sh_custom_fields(org);
	if (!sh_custom_any(c.fields, entity) ||
		(old && compareJsonbContainers(&custom->root, &old->root) == 0) || puts_back())
		return custom;
	c.custom = &custom->root;
	c.old = old && JB_ROOT_IS_OBJECT(old) ? &old->root : NULL;
	it = JsonbIteratorInit(&custom->root);
	pushJsonbValue(&c.state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			(void) JsonbIteratorNext(&it, &value, true);
			check_member(&c, &key, &value);
		}
	check_missing(&c);
	result = JsonbValueToJsonb(pushJsonbValue(&c.state, WJB_END_OBJECT, NULL));
	return compareJsonbContainers(&custom->root, &result->root) == 0 ? custom : result;
}

/* --- functions of SQL --- */

/*
 * saleshub.custom_check(entity text, org uuid, custom jsonb, old_custom jsonb) returns jsonb:
 * {"custom", "faults": [{pointer, code, detail}]}
 */
Datum
sh_custom_check_row(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;
	List *faults = NIL;
	JsonbValue value;
	Jsonb *custom;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	custom = PG_ARGISNULL(2) ?
				 DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))) :
				 PG_GETARG_JSONB_P(2);
	custom = sh_custom_check(text_to_cstring(PG_GETARG_TEXT_PP(0)),
							 PG_GETARG_UUID_P(1),
							 custom,
							 PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3),
							 &faults);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_key(&state, "custom");
	sh_custom_root(custom, &value);
	pushJsonbValue(&state, WJB_VALUE, &value);
	sh_json_key(&state, "faults");
	(void) sh_predicate_push_errors(&state, faults);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
