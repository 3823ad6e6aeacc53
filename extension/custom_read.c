/*
 * Reading the values of custom fields for conditions, order and the table of values. Records may
 * hold what no definition has checked, so nothing here raises: a value that does not have the
 * form of the type asked for is none.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "custom.h"
#include "predicate.h"
#include "saleshub.h"

/* Numbers reach so far on both sides of zero. */
#define NUMBER_LIMIT INT64CONST(1000000000000000000)
#define MAX_TIME 40

PG_FUNCTION_INFO_V1(sh_custom_text_of);
PG_FUNCTION_INFO_V1(sh_custom_number_of);
PG_FUNCTION_INFO_V1(sh_custom_boolean_of);
PG_FUNCTION_INFO_V1(sh_custom_date_of);
PG_FUNCTION_INFO_V1(sh_custom_time_of);
PG_FUNCTION_INFO_V1(sh_custom_uuid_of);
PG_FUNCTION_INFO_V1(sh_custom_list_of);

bool
sh_custom_number(const JsonbValue *value, Numeric *out)
{
	Datum number;
	Datum size;

	if (value->type != jbvNumeric)
		return false;
	number = NumericGetDatum(value->val.numeric);
	if (numeric_is_nan(value->val.numeric))
		return false;
	size = DirectFunctionCall1(numeric_abs, number);
	if (DatumGetBool(
			DirectFunctionCall2(numeric_gt, size, NumericGetDatum(int64_to_numeric(NUMBER_LIMIT)))))
		return false;
	*out = value->val.numeric;
	return true;
}

/* A string short enough for a date or an instant, terminated. */
static const char *
short_text(const JsonbValue *value, char *buffer)
{
	if (value->type != jbvString || value->val.string.len >= MAX_TIME)
		return "";
	memcpy(buffer, value->val.string.val, value->val.string.len);
	buffer[value->val.string.len] = '\0';
	return buffer;
}

static int
digits(const char *p, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++)
		value = value * 10 + (p[i] - '0');
	return value;
}

bool
sh_custom_date(const JsonbValue *value, DateADT *out)
{
	char buffer[MAX_TIME];
	const char *text = short_text(value, buffer);

	if (!sh_predicate_is_date(text))
		return false;
	*out = date2j(digits(text, 4), digits(text + 5, 2), digits(text + 8, 2)) - POSTGRES_EPOCH_JDATE;
	return true;
}

bool
sh_custom_time(const JsonbValue *value, TimestampTz *out)
{
	char buffer[MAX_TIME];
	const char *text = short_text(value, buffer);

	if (!sh_predicate_is_time(text))
		return false;
	*out = DatumGetTimestampTz(DirectFunctionCall3(
		timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	return true;
}

bool
sh_custom_uuid(const JsonbValue *value, pg_uuid_t *out)
{
	char buffer[MAX_TIME];
	const char *text = short_text(value, buffer);

	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ?
				text[i] != '-' :
				strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	*out = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	return true;
}

bool
sh_custom_is(const JsonbValue *value, enum predicate_type type)
{
	Numeric number;
	DateADT date;
	TimestampTz at;
	pg_uuid_t id;

	switch (type)
	{
		case TYPE_INTEGER:
		case TYPE_NUMERIC:
			return sh_custom_number(value, &number);
		case TYPE_BOOLEAN:
			return value->type == jbvBool;
		case TYPE_DATE:
			return sh_custom_date(value, &date);
		case TYPE_TIMESTAMP:
			return sh_custom_time(value, &at);
		case TYPE_UUID:
			return sh_custom_uuid(value, &id);
		case TYPE_TAGS:
			return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
				   JsonContainerSize(value->val.binary.data) > 0;
		default:
			return value->type == jbvString && value->val.string.len > 0;
	}
}

/* The member of the column custom (first argument) that the second argument names. */
static JsonbValue *
value_of(FunctionCallInfo fcinfo)
{
	Jsonb *custom = PG_GETARG_JSONB_P(0);
	text *key = PG_GETARG_TEXT_PP(1);

	return JB_ROOT_IS_OBJECT(custom) ?
			   getKeyJsonValueFromContainer(
				   &custom->root, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), NULL) :
			   NULL;
}

/* saleshub.custom_text(custom jsonb, key text) returns text */
Datum
sh_custom_text_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);

	if (!value || value->type != jbvString)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(value->val.string.val, value->val.string.len));
}

/* saleshub.custom_number(custom jsonb, key text) returns numeric */
Datum
sh_custom_number_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);
	Numeric number;

	if (!value || !sh_custom_number(value, &number))
		PG_RETURN_NULL();
	PG_RETURN_NUMERIC(number);
}

/* saleshub.custom_boolean(custom jsonb, key text) returns boolean */
Datum
sh_custom_boolean_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);

	if (!value || value->type != jbvBool)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(value->val.boolean);
}

/* saleshub.custom_date(custom jsonb, key text) returns date */
Datum
sh_custom_date_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);
	DateADT date;

	if (!value || !sh_custom_date(value, &date))
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(date);
}

/* saleshub.custom_time(custom jsonb, key text) returns timestamptz */
Datum
sh_custom_time_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);
	TimestampTz at;

	if (!value || !sh_custom_time(value, &at))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(at);
}

/* saleshub.custom_uuid(custom jsonb, key text) returns uuid */
Datum
sh_custom_uuid_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);
	pg_uuid_t *id = palloc(sizeof(*id));

	if (!value || !sh_custom_uuid(value, id))
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(id);
}

/* saleshub.custom_list(custom jsonb, key text) returns text[] */
Datum
sh_custom_list_of(PG_FUNCTION_ARGS)
{
	JsonbValue *value = value_of(fcinfo);
	JsonbContainer *array;
	Datum *items;
	int n = 0;

	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		PG_RETURN_NULL();
	array = value->val.binary.data;
	items = palloc((JsonContainerSize(array) + 1) * sizeof(*items));
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(array, i);

		if (item->type == jbvString)
			items[n++] = PointerGetDatum(
				cstring_to_text_with_len(item->val.string.val, item->val.string.len));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(items, n, TEXTOID, -1, false, TYPALIGN_INT));
}
