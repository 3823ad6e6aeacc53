/* The values in conditions: what a field of each type can be compared with. */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "predicate.h"
#include "saleshub.h"

/* Bytes of a text, and characters of a number. */
#define MAX_TEXT 1000
#define MAX_DIGITS 200
/* Of date math. */
#define MAX_STEPS 8
#define MAX_STEP_DIGITS 4

/* Why a value does not do. */
struct refusal
{
	const char *code;
	char *detail;
};

static bool
refuse(struct refusal *why, const char *code, const char *detail)
{
	why->code = code;
	why->detail = pstrdup(detail);
	return false;
}

/* --- dates and times --- */

/* So many digits as a number, -1 when they are not all digits; moves on. */
static int
digits(const char **p, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

static bool
skip(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* YYYY-MM-DD of a day that exists. */
static bool
read_date(const char **p)
{
	int year = digits(p, 4);
	int month = year > 0 && skip(p, '-') ? digits(p, 2) : -1;
	int day = month >= 1 && month <= 12 && skip(p, '-') ? digits(p, 2) : -1;

	return day >= 1 && day <= day_tab[isleap(year)][month - 1];
}

static bool
read_zone(const char **p)
{
	int hours;
	int minutes;

	if (**p == 'Z' || **p == 'z')
	{
		(*p)++;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	(*p)++;
	hours = digits(p, 2);
	(void) skip(p, ':');
	minutes = hours >= 0 ? digits(p, 2) : -1;
	return hours >= 0 && hours <= 14 && minutes >= 0 && minutes <= 59;
}

/* hh:mm, hh:mm:ss or hh:mm:ss.f and the zone. */
static bool
read_time(const char **p)
{
	int hour = digits(p, 2);
	int minute = hour >= 0 && hour <= 23 && skip(p, ':') ? digits(p, 2) : -1;
	int second = 0;

	if (minute < 0 || minute > 59)
		return false;
	if (skip(p, ':'))
		second = digits(p, 2);
	if (second < 0 || second > 59)
		return false;
	if (**p == '.')
	{
		const char *start = ++*p;

		while (**p >= '0' && **p <= '9')
			(*p)++;
		if (*p == start || *p - start > 9)
			return false;
	}
	return read_zone(p);
}

/*
 * Date math as Elasticsearch and Grafana write it: now, then steps as +1M or -7d, and /d and the
 * like to go to the start of the unit; or today, yesterday, tomorrow.
 */
static bool
is_date_math(const char *p)
{
	static const char units[] = "yMwdhms";
	int steps = 0;

	if (strcmp(p, "today") == 0 || strcmp(p, "yesterday") == 0 || strcmp(p, "tomorrow") == 0)
		return true;
	if (strncmp(p, "now", 3) != 0)
		return false;
	for (p += 3; *p != '\0'; p++)
	{
		int n = 0;

		if (++steps > MAX_STEPS || !strchr("+-/", *p))
			return false;
		if (*p++ != '/')
			for (; *p >= '0' && *p <= '9'; p++)
				if (++n > MAX_STEP_DIGITS)
					return false;
		if (*p == '\0' || !strchr(units, *p))
			return false;
	}
	return true;
}

bool
sh_predicate_is_date(const char *value)
{
	return read_date(&value) && *value == '\0';
}

bool
sh_predicate_is_time(const char *value)
{
	return read_date(&value) && (skip(&value, 'T') || skip(&value, 't') || skip(&value, ' ')) &&
		   read_time(&value) && *value == '\0';
}

static DateADT
date_of(const char *p)
{
	int year = digits(&p, 4);
	int month = skip(&p, '-') ? digits(&p, 2) : 1;
	int day = skip(&p, '-') ? digits(&p, 2) : 1;

	return date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
}

static TimestampTz
instant_of(const char *text)
{
	return DatumGetTimestampTz(DirectFunctionCall3(
		timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static bool
take_date(const char *value, struct predicate_constant *out, struct refusal *why)
{
	out->relative = is_date_math(value);
	if (!out->relative && !sh_predicate_is_date(value))
		return refuse(why, "type", "A date is needed, as 2026-12-31 or today or now-7d/d.");
	out->text.data = value;
	out->text.len = strlen(value);
	if (!out->relative)
		out->integer = date_of(value);
	return true;
}

/* A date stands for its first instant in UTC. */
static bool
take_timestamp(const char *value, struct predicate_constant *out, struct refusal *why)
{
	out->relative = is_date_math(value);
	if (!out->relative && sh_predicate_is_date(value))
		value = psprintf("%sT00:00:00Z", value);
	else if (!out->relative && !sh_predicate_is_time(value))
		return refuse(why, "type", "A date or time is needed, as 2026-12-31T23:59:00Z or now-7d.");
	out->text.data = value;
	out->text.len = strlen(value);
	if (!out->relative)
		out->integer = instant_of(value);
	return true;
}

/* --- other texts --- */

static bool
take_uuid(const char *value, struct predicate_constant *out, struct refusal *why)
{
	bool good = strlen(value) == 36;

	out->relative = strcmp(value, "me") == 0;
	for (int i = 0; good && i < 36; i++)
		good = i == 8 || i == 13 || i == 18 || i == 23 ?
				   value[i] == '-' :
				   strchr("0123456789abcdefABCDEF", value[i]) != NULL;
	if (!good && !out->relative)
		return refuse(why, "type", "A UUID is needed, or me.");
	out->text = sh_predicate_fold(value, strlen(value));
	return true;
}

static bool
take_enum(const struct predicate_subject *subject, JsonbValue *json, const char *value,
		  struct predicate_constant *out, struct refusal *why)
{
	StringInfoData detail;

	if (!subject->allowed || findJsonbValueFromContainer(subject->allowed, JB_FARRAY, json))
	{
		out->text.data = value;
		out->text.len = strlen(value);
		return true;
	}
	initStringInfo(&detail);
	for (uint32 i = 0; i < JsonContainerSize(subject->allowed); i++)
	{
		JsonbValue *one = getIthJsonbValueFromContainer(subject->allowed, i);

		if (one->type == jbvString)
			appendStringInfo(&detail,
							 "%s%.*s",
							 detail.len > 0 ? ", " : "must be one of ",
							 one->val.string.len,
							 one->val.string.val);
	}
	return refuse(why, "not_allowed", detail.data);
}

static bool
take_text(enum predicate_op op, JsonbValue *json, struct predicate_constant *out,
		  struct refusal *why)
{
	out->text = sh_predicate_fold(json->val.string.val, json->val.string.len);
	if (out->text.len == 0)
		return refuse(why, "invalid", "Use is_null to ask for an empty field.");
	out->domain = op == OP_MATCHES_DOMAIN ? sh_predicate_domain_kind(&out->text) : DOMAIN_NAMED;
	return true;
}

static bool
take_string(const struct predicate_subject *subject, enum predicate_op op, JsonbValue *json,
			struct predicate_constant *out, struct refusal *why)
{
	const char *value;

	if (json->type != jbvString)
		return refuse(why, "type", "A string is needed.");
	if (json->val.string.len > MAX_TEXT)
		return refuse(why, "too_long", "The value is too long.");
	value = pnstrdup(json->val.string.val, json->val.string.len);
	switch (subject->type)
	{
		case TYPE_UUID:
			return take_uuid(value, out, why);
		case TYPE_DATE:
			return take_date(value, out, why);
		case TYPE_TIMESTAMP:
			return take_timestamp(value, out, why);
		case TYPE_ENUM:
			return take_enum(subject, json, value, out, why);
		default:
			return take_text(op, json, out, why);
	}
}

/* --- numbers and truth --- */

static bool
take_number(enum predicate_type type, JsonbValue *json, struct predicate_constant *out,
			struct refusal *why)
{
	char *text;
	char *end;

	if (json->type != jbvNumeric)
		return refuse(why, "type", "A number is needed.");
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json->val.numeric)));
	if (strlen(text) > MAX_DIGITS)
		return refuse(why, "too_long", "The number has too many digits.");
	out->numeric = datumCopy(NumericGetDatum(json->val.numeric), false, -1);
	if (type == TYPE_NUMERIC)
		return true;
	errno = 0;
	out->integer = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return refuse(why, "type", "A whole number is needed.");
	return true;
}

bool
sh_predicate_constant(const struct predicate_subject *subject, enum predicate_op op,
					  JsonbValue *json, struct predicate_constant *out, const char **code,
					  char **detail)
{
	struct refusal why = { 0 };
	bool good;

	switch (subject->type)
	{
		case TYPE_INTEGER:
		case TYPE_NUMERIC:
			good = take_number(subject->type, json, out, &why);
			break;
		case TYPE_BOOLEAN:
			good = json->type == jbvBool || refuse(&why, "type", "true or false is needed.");
			out->truth = json->type == jbvBool && json->val.boolean;
			break;
		default:
			good = take_string(subject, op, json, out, &why);
			break;
	}
	*code = why.code;
	*detail = why.detail;
	return good;
}
