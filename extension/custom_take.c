/*
 * One value of a custom field, brought into the normal form of its type: what people and files
 * write for a number, a date or a choice becomes what JSON has for it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "custom.h"
#include "normal.h"
#include "predicate.h"
#include "saleshub.h"

/* Characters of a number that comes as text. */
#define MAX_DIGITS 60

PG_FUNCTION_INFO_V1(sh_custom_take_value);

static bool
refuse(struct custom_fault *fault, const char *code, char *detail)
{
	fault->code = code;
	fault->detail = detail;
	return false;
}

static void
set_string(JsonbValue *out, const char *text, int len)
{
	out->type = len > 0 ? jbvString : jbvNull;
	out->val.string.val = unconstify(char *, text);
	out->val.string.len = len;
}

/* --- texts --- */

/* The one answer of a function of SQL, in the current memory context. */
static Datum
ask(const char *sql, int nargs, const Oid *types, Datum *values, bool *isnull)
{
	Datum answer;
	Oid type;

	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, nargs, types), values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "a check of a custom field answered nothing");
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
	if (!*isnull)
		answer = SPI_datumTransfer(answer, type == BOOLOID, type == BOOLOID ? 1 : -1);
	SPI_finish();
	return answer;
}

/* Without white space at its ends. */
static void
trim(const char **text, int *len)
{
	struct span clean = sh_normal_clean((struct span){ *text, *len });

	*text = clean.data ? clean.data : *text;
	*len = clean.data ? clean.len : 0;
}

/* Read as numbers of the organisation's country are. */
static bool
take_phone(const pg_uuid_t *org, struct span phone, JsonbValue *out, struct custom_fault *fault)
{
	struct sh_org about;
	char *number;

	sh_org(org, &about);
	number = sh_phone_normal(phone, (struct span){ about.country, (int) strlen(about.country) });
	if (!number)
		return refuse(fault, "invalid", pstrdup("is not a telephone number"));
	set_string(out, number, strlen(number));
	return true;
}

static bool
take_email(struct span email, JsonbValue *out, struct custom_fault *fault)
{
	email = sh_normal_lower(email);
	set_string(out, email.data, email.len);
	return sh_normal_email_ok(email) ||
		   refuse(fault, "invalid", pstrdup("is not an e-mail address"));
}

static bool
take_text(const struct custom_field *field, const pg_uuid_t *org, JsonbValue *value,
		  JsonbValue *out, struct custom_fault *fault)
{
	const char *text;
	int len;

	if (value->type != jbvString)
		return refuse(fault, "invalid_type", pstrdup("must be string"));
	text = value->val.string.val;
	len = value->val.string.len;
	if (field->type != CUSTOM_LONG_TEXT)
		trim(&text, &len);
	if (len > field->max_length && pg_mbstrlen_with_len(text, len) > field->max_length)
		return refuse(
			fault, "too_long", psprintf("must have at most %d characters", field->max_length));
	set_string(out, text, len);
	if (len == 0)
		return true;
	switch (field->type)
	{
		case CUSTOM_PHONE:
			return take_phone(org, (struct span){ text, len }, out, fault);
		case CUSTOM_EMAIL:
			return take_email((struct span){ text, len }, out, fault);
		case CUSTOM_URL:
			return sh_normal_website_ok((struct span){ text, len }) ||
				   refuse(fault, "invalid", pstrdup("is not a web address"));
		default:
			return true;
	}
}

/* --- numbers, truth, times --- */

/* Digits with a sign and a decimal point, as people write them into files. */
static bool
is_number(const char *p)
{
	int digits = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; *p >= '0' && *p <= '9'; p++)
		digits++;
	if (*p == '.' && digits > 0)
		for (p++; *p >= '0' && *p <= '9'; p++)
			digits++;
	return digits > 0 && *p == '\0' && p[-1] != '.';
}

/* Trimmed and terminated; empty when it is no string or a long one. */
static char *
word_of(const JsonbValue *value)
{
	const char *text = value->val.string.val;
	int len = value->type == jbvString ? value->val.string.len : 0;

	trim(&text, &len);
	return len > MAX_DIGITS ? pstrdup("") : pnstrdup(text, len);
}

static char *
shown(Numeric number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}

static int
order_of(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

static bool
take_number(const struct custom_field *field, JsonbValue *value, JsonbValue *out,
			struct custom_fault *fault)
{
	bool whole = field->type == CUSTOM_INTEGER;
	char *word = word_of(value);
	JsonbValue given = *value;
	Numeric number;

	if (value->type == jbvString && is_number(word))
	{
		given.type = jbvNumeric;
		given.val.numeric = DatumGetNumeric(DirectFunctionCall3(
			numeric_in, CStringGetDatum(word), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	if (given.type != jbvNumeric)
		return refuse(fault, "invalid_type", psprintf("must be %s", whole ? "integer" : "number"));
	if (!sh_custom_number(&given, &number))
		return refuse(fault, "too_large", pstrdup("must be from -1e18 to 1e18"));
	if (whole && order_of(DatumGetNumeric(DirectFunctionCall2(
							  numeric_trunc, NumericGetDatum(number), Int32GetDatum(0))),
						  number) != 0)
		return refuse(fault, "invalid_type", pstrdup("must be integer"));
	if (field->minimum && order_of(number, field->minimum) < 0)
		return refuse(fault, "too_small", psprintf("must be at least %s", shown(field->minimum)));
	if (field->maximum && order_of(number, field->maximum) > 0)
		return refuse(fault, "too_large", psprintf("must be at most %s", shown(field->maximum)));
	*out = given;
	if (whole)
		out->val.numeric = DatumGetNumeric(
			DirectFunctionCall2(numeric_round, NumericGetDatum(number), Int32GetDatum(0)));
	return true;
}

static bool
take_boolean(JsonbValue *value, JsonbValue *out, struct custom_fault *fault)
{
	char *word = word_of(value);

	out->type = jbvBool;
	if (value->type == jbvBool)
		out->val.boolean = value->val.boolean;
	else if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
		out->val.boolean = *word == 't';
	else
		return refuse(fault, "invalid_type", pstrdup("must be boolean"));
	return true;
}

static bool
take_date(JsonbValue *value, JsonbValue *out, struct custom_fault *fault)
{
	char *word = word_of(value);

	if (!sh_predicate_is_date(word))
		return refuse(fault, "invalid_format", pstrdup("must be a valid date"));
	set_string(out, word, strlen(word));
	return true;
}

/* As saleshub.utc() writes instants. */
static bool
take_time(JsonbValue *value, JsonbValue *out, struct custom_fault *fault)
{
	static const int utc = 0;
	char buffer[MAXDATELEN + 1];
	char *word = word_of(value);
	JsonbValue given;
	TimestampTz at;
	int len;

	set_string(&given, word, strlen(word));
	if (!sh_custom_time(&given, &at))
		return refuse(fault, "invalid_format", pstrdup("must be a valid date-time"));
	JsonEncodeDateTime(buffer, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
	len = strlen(buffer);
	/* 2026-12-31T23:59:00+00:00 */
	if (len < 6 || strcmp(buffer + len - 6, "+00:00") != 0)
		return refuse(fault, "invalid_format", pstrdup("must lie after the year 1"));
	buffer[len - 6] = 'Z';
	buffer[len - 5] = '\0';
	set_string(out, pstrdup(buffer), len - 5);
	return true;
}

/* --- options and references --- */

static bool
is_option(const struct custom_field *field, const JsonbValue *value)
{
	for (int i = 0; i < field->option_count; i++)
		if (field->options[i].active && strlen(field->options[i].key) == value->val.string.len &&
			memcmp(field->options[i].key, value->val.string.val, value->val.string.len) == 0)
			return true;
	return false;
}

static char *
options_of(const struct custom_field *field)
{
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoString(&list, "must be one of ");
	for (int i = 0; i < field->option_count; i++)
		if (field->options[i].active)
			appendStringInfo(&list, "%s%s", list.len > 15 ? ", " : "", field->options[i].key);
	return list.data;
}

static bool
take_option(const struct custom_field *field, JsonbValue *value, JsonbValue *out,
			struct custom_fault *fault)
{
	const char *text = value->val.string.val;
	int len = value->val.string.len;

	if (value->type != jbvString)
		return refuse(fault, "invalid_type", pstrdup("must be string"));
	trim(&text, &len);
	set_string(out, text, len);
	return len == 0 || is_option(field, out) || refuse(fault, "not_allowed", options_of(field));
}

/* Each option once, in the order of the definition, so that equal choices are equal. */
static bool
take_options(const struct custom_field *field, JsonbValue *value, JsonbValue *out,
			 struct custom_fault *fault)
{
	bool *chosen = palloc0(field->option_count + 1);
	JsonbParseState *state = NULL;
	JsonbContainer *array;
	int count = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return refuse(fault, "invalid_type", pstrdup("must be array"));
	array = value->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue item;

		if (!take_option(field, getIthJsonbValueFromContainer(array, i), &item, fault))
			return false;
		for (int k = 0; item.type == jbvString && k < field->option_count; k++)
			if (strlen(field->options[k].key) == item.val.string.len &&
				memcmp(field->options[k].key, item.val.string.val, item.val.string.len) == 0)
				chosen[k] = true;
	}
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int k = 0; k < field->option_count; k++)
	{
		JsonbValue item;

		set_string(&item, field->options[k].key, strlen(field->options[k].key));
		if (chosen[k])
			pushJsonbValue(&state, WJB_ELEM, &item);
		count += chosen[k];
	}
	JsonbToJsonbValue(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)), out);
	if (count == 0)
		out->type = jbvNull;
	return true;
}

static bool
take_reference(const struct custom_field *field, const pg_uuid_t *org, JsonbValue *value,
			   JsonbValue *out, struct custom_fault *fault)
{
	Oid types[3] = { UUIDOID, TEXTOID, UUIDOID };
	Datum values[3];
	JsonbValue given;
	pg_uuid_t *id = palloc(sizeof(*id));
	char *word = word_of(value);
	bool isnull;

	set_string(&given, word, strlen(word));
	if (!sh_custom_uuid(&given, id))
		return refuse(fault, "invalid_format", pstrdup("must be a valid uuid"));
	values[0] = UUIDPGetDatum(org);
	values[1] = CStringGetTextDatum(field->target);
	values[2] = UUIDPGetDatum(id);
	if (!DatumGetBool(ask(
			"SELECT saleshub.reference_faults($1, '', $2, $3) = '[]'", 3, types, values, &isnull)))
		return refuse(fault, "not_found", psprintf("names no %s", field->target));
	word = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
	set_string(out, word, strlen(word));
	return true;
}

void
sh_custom_root(Jsonb *jsonb, JsonbValue *out)
{
	JsonbToJsonbValue(jsonb, out);
	if (JB_ROOT_IS_SCALAR(jsonb))
		*out = *getIthJsonbValueFromContainer(&jsonb->root, 0);
}

bool
sh_custom_take(const struct custom_field *field, const pg_uuid_t *org, JsonbValue *value,
			   JsonbValue *out, struct custom_fault *fault)
{
	out->type = jbvNull;
	if (value->type == jbvNull || (value->type == jbvString && value->val.string.len == 0))
		return true;
	switch (field->type)
	{
		case CUSTOM_NUMBER:
		case CUSTOM_INTEGER:
			return take_number(field, value, out, fault);
		case CUSTOM_BOOLEAN:
			return take_boolean(value, out, fault);
		case CUSTOM_DATE:
			return take_date(value, out, fault);
		case CUSTOM_TIMESTAMP:
			return take_time(value, out, fault);
		case CUSTOM_ENUM:
			return take_option(field, value, out, fault);
		case CUSTOM_MULTI_ENUM:
			return take_options(field, value, out, fault);
		case CUSTOM_REFERENCE:
			return take_reference(field, org, value, out, fault);
		default:
			return take_text(field, org, value, out, fault);
	}
}

/* --- functions of SQL --- */

/*
 * saleshub.custom_take(field jsonb, org uuid, value jsonb) returns jsonb: {"value"} in its normal
 * form, or {"code", "detail"}. field is a row of crm.custom_field.
 */
Datum
sh_custom_take_value(PG_FUNCTION_ARGS)
{
	Jsonb *row = PG_GETARG_JSONB_P(0);
	Jsonb *given = PG_GETARG_JSONB_P(2);
	JsonbParseState *state = NULL;
	struct custom_field field;
	struct custom_fault fault;
	JsonbValue value;
	JsonbValue out;

	sh_custom_read(&row->root, &field);
	sh_custom_root(given, &value);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (sh_custom_take(&field, PG_GETARG_UUID_P(1), &value, &out, &fault))
	{
		sh_json_key(&state, "value");
		pushJsonbValue(&state, WJB_VALUE, &out);
	}
	else
	{
		sh_json_string(&state, "code", fault.code);
		sh_json_string(&state, "detail", fault.detail);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
