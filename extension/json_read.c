/* Members of a JSON object that is read. */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"

JsonbValue *
sh_json_member(JsonbContainer *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), NULL);

	return value && value->type != jbvNull ? value : NULL;
}

char *
sh_json_text(JsonbContainer *object, const char *key)
{
	JsonbValue *value = sh_json_member(object, key);

	return value && value->type == jbvString ?
			   pnstrdup(value->val.string.val, value->val.string.len) :
			   NULL;
}

bool
sh_json_truth(JsonbContainer *object, const char *key, bool otherwise)
{
	JsonbValue *value = sh_json_member(object, key);

	return value && value->type == jbvBool ? value->val.boolean : otherwise;
}

Numeric
sh_json_numeric(JsonbContainer *object, const char *key)
{
	JsonbValue *value = sh_json_member(object, key);

	return value && value->type == jbvNumeric ? value->val.numeric : NULL;
}

int
sh_json_int(JsonbContainer *object, const char *key, int otherwise)
{
	Numeric number = sh_json_numeric(object, key);

	return number ? DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(number))) :
					otherwise;
}

double
sh_json_double(JsonbContainer *object, const char *key, double otherwise)
{
	Numeric number = object ? sh_json_numeric(object, key) : NULL;

	return number ? DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(number))) :
					otherwise;
}

JsonbContainer *
sh_json_container(JsonbContainer *object, const char *key)
{
	JsonbValue *value = object ? sh_json_member(object, key) : NULL;

	return value && value->type == jbvBinary ? value->val.binary.data : NULL;
}
