/* Values of columns as elements of a JSON array under construction. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "saleshub.h"

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, const char *data, int len)
{
	JsonbValue v = { .type = jbvString };

	v.val.string.val = unconstify(char *, data);
	v.val.string.len = len;
	pushJsonbValue(state, token, &v);
}

static void
push_texts(JsonbParseState **state, Datum array)
{
	Datum *items;
	bool *nulls;
	int count;
	JsonbValue null = { .type = jbvNull };

	deconstruct_array(
		DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
		if (nulls[i])
			pushJsonbValue(state, WJB_ELEM, &null);
		else
			push_text(state, WJB_ELEM, VARDATA_ANY(items[i]), VARSIZE_ANY_EXHDR(items[i]));
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_output(JsonbParseState **state, Datum value, Oid type)
{
	Oid output;
	bool varlena;
	char *text;

	getTypeOutputInfo(type, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	push_text(state, WJB_ELEM, text, strlen(text));
}

/* NaN and Infinity are no JSON numbers. */
static void
push_number(JsonbParseState **state, Datum value)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = DatumGetNumeric(value);
	if (numeric_is_nan(v.val.numeric) || numeric_is_inf(v.val.numeric))
		push_output(state, value, NUMERICOID);
	else
		pushJsonbValue(state, WJB_ELEM, &v);
}

static void
push_time(JsonbParseState **state, Datum value, Oid type)
{
	char *buffer = palloc(MAXDATELEN + 1); /* read when the array is complete */
	static const int utc = 0;

	JsonEncodeDateTime(buffer, value, type, &utc);
	push_text(state, WJB_ELEM, buffer, strlen(buffer));
}

static void
push_jsonb(JsonbParseState **state, Datum value)
{
	JsonbValue v;

	JsonbToJsonbValue(DatumGetJsonbP(value), &v);
	pushJsonbValue(state, WJB_ELEM, &v);
}

static void
push_simple(JsonbParseState **state, enum jbvType type, bool truth)
{
	JsonbValue v = { .type = type };

	if (type == jbvBool)
		v.val.boolean = truth;
	pushJsonbValue(state, WJB_ELEM, &v);
}

void
sh_json_element(JsonbParseState **state, Oid type, Datum value, bool isnull)
{
	text *string;

	if (isnull)
	{
		push_simple(state, jbvNull, false);
		return;
	}
	switch (type)
	{
		case BOOLOID:
			push_simple(state, jbvBool, DatumGetBool(value));
			break;
		case INT2OID:
			push_number(state, NumericGetDatum(int64_to_numeric(DatumGetInt16(value))));
			break;
		case INT4OID:
			push_number(state, NumericGetDatum(int64_to_numeric(DatumGetInt32(value))));
			break;
		case INT8OID:
			push_number(state, NumericGetDatum(int64_to_numeric(DatumGetInt64(value))));
			break;
		case NUMERICOID:
			push_number(state, value);
			break;
		case TIMESTAMPTZOID:
		case DATEOID:
			push_time(state, value, type);
			break;
		case JSONBOID:
			push_jsonb(state, value);
			break;
		case TEXTARRAYOID:
			push_texts(state, value);
			break;
		case TEXTOID:
			string = DatumGetTextPP(value);
			push_text(state, WJB_ELEM, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			break;
		default:
			push_output(state, value, type);
	}
}
