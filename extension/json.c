/* Members of a JSON object under construction. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"

static void
push(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, text);
	v.val.string.len = strlen(text);
	pushJsonbValue(state, token, &v);
}

void
sh_json_key(JsonbParseState **state, const char *key)
{
	push(state, WJB_KEY, key);
}

void
sh_json_string(JsonbParseState **state, const char *key, const char *value)
{
	JsonbValue null = { .type = jbvNull };

	push(state, WJB_KEY, key);
	if (value)
		push(state, WJB_VALUE, value);
	else
		pushJsonbValue(state, WJB_VALUE, &null);
}

void
sh_json_number(JsonbParseState **state, const char *key, int64 value)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = int64_to_numeric(value);
	push(state, WJB_KEY, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

void
sh_json_bool(JsonbParseState **state, const char *key, bool value)
{
	JsonbValue v = { .type = jbvBool };

	v.val.boolean = value;
	push(state, WJB_KEY, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

void
sh_json_uuid(JsonbParseState **state, const char *key, const pg_uuid_t *value)
{
	sh_json_string(state,
				   key,
				   value ? DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(value))) :
						   NULL);
}
