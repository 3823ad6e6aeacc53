/*
 * Conditions over the columns of a lead or an activity, evaluated for every row.
 *
 * Logic is two-valued. A comparison with an empty field is false, except that != and not_in are
 * the exact opposites of = and in. Text is compared without regard to letter case.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

#include "custom.h"
#include "match.h"
#include "predicate.h"
#include "saleshub.h"

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
	[FIELD_STATE] = { "state", TYPE_TEXT },
	[FIELD_POSTAL_CODE] = { "postal_code", TYPE_TEXT },
	[FIELD_CITY] = { "city", TYPE_TEXT },
	[FIELD_INDUSTRY] = { "industry", TYPE_TEXT },
	[FIELD_EMPLOYEES] = { "employees", TYPE_INTEGER },
	[FIELD_ANNUAL_REVENUE] = { "annual_revenue", TYPE_NUMERIC },
	[FIELD_ANNUAL_REVENUE_CURRENCY] = { "annual_revenue_currency", TYPE_TEXT },
	[FIELD_TAGS] = { "tags", TYPE_TAGS },
	[FIELD_CONSENT_EMAIL] = { "consent_email", TYPE_BOOLEAN },
	[FIELD_CONSENT_PHONE] = { "consent_phone", TYPE_BOOLEAN },
	[FIELD_EVENT_TYPE] = { "type", TYPE_TEXT },
	[FIELD_EVENT_OUTCOME] = { "outcome", TYPE_TEXT },
	[FIELD_EVENT_DIRECTION] = { "direction", TYPE_TEXT },
	[FIELD_EVENT_SUBJECT] = { "subject", TYPE_TEXT },
	[FIELD_EVENT_DURATION] = { "duration_s", TYPE_INTEGER },
};

/* A field from one of these to before another. */
static bool
find_within(int from, int end, const char *name, int len, struct predicate_subject *out)
{
	for (int i = from; i < end; i++)
		if (strlen(fields[i].name) == len && memcmp(fields[i].name, name, len) == 0)
		{
			out->name = fields[i].name;
			out->type = fields[i].type;
			out->field = i;
			return true;
		}
	return false;
}

bool
sh_predicate_find_event(const struct predicate_catalogue *self, const char *name, int len,
						struct predicate_subject *out)
{
	return find_within(FIELD_LEAD_COUNT, FIELD_COUNT, name, len, out);
}

bool
sh_predicate_find_lead(const struct predicate_catalogue *self, const char *name, int len,
					   struct predicate_subject *out)
{
	if (len > 7 && memcmp(name, "custom.", 7) == 0)
		return self->org && sh_custom_subject(self->org, "lead", name, len, out);
	return find_within(0, FIELD_LEAD_COUNT, name, len, out);
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

/* Lower case. ASCII is done by hand: it is nearly all there is, and the locale is slow. */
struct predicate_text
sh_predicate_fold(const char *data, int len)
{
	struct predicate_text out;
	char *copy = palloc(len + 1);
	bool ascii = true;

	for (int i = 0; i < len; i++)
	{
		ascii &= !IS_HIGHBIT_SET(data[i]);
		copy[i] = data[i] >= 'A' && data[i] <= 'Z' ? data[i] + 'a' - 'A' : data[i];
	}
	copy[len] = '\0';
	if (!ascii)
	{
		pfree(copy);
		copy = str_tolower(data, len, DEFAULT_COLLATION_OID);
		len = strlen(copy);
	}
	out.data = copy;
	out.len = len;
	return out;
}

/* The value of a custom field; NULL when there is none of its type. */
static JsonbValue *
custom_value(struct predicate_row *row, const struct predicate_subject *subject)
{
	JsonbValue *value;

	if (row->custom_null)
		return NULL;
	if (!row->custom_read)
		row->custom_read = DatumGetJsonbP(row->custom);
	value = JB_ROOT_IS_OBJECT(row->custom_read) ?
				getKeyJsonValueFromContainer(
					&row->custom_read->root, subject->custom, strlen(subject->custom), NULL) :
				NULL;
	return value && sh_custom_is(value, subject->type) ? value : NULL;
}

/* The text of a field in lower case. */
static const struct predicate_text *
folded(struct predicate_row *row, const struct predicate_subject *subject)
{
	enum predicate_field field = subject->field;
	struct predicate_text *text = &row->folded[field];

	if (subject->custom)
	{
		JsonbValue *value = custom_value(row, subject);

		text = palloc(sizeof(*text));
		*text = sh_predicate_fold(value->val.string.val, value->val.string.len);
		return text;
	}

	if (!text->data)
	{
		struct varlena *value = PG_DETOAST_DATUM_PACKED(row->values[field]);

		*text = sh_predicate_fold(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
	return text;
}

static bool
same_text(const struct predicate_text *a, const struct predicate_text *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static bool
has_part(const struct predicate_text *text, const struct predicate_text *part)
{
	return memmem(text->data, text->len, part->data, part->len) != NULL;
}

static bool
has_start(const struct predicate_text *text, const struct predicate_text *part)
{
	return text->len >= part->len && memcmp(text->data, part->data, part->len) == 0;
}

enum domain_kind
sh_predicate_domain_kind(const struct predicate_text *name)
{
	return strcmp(name->data, "free") == 0	   ? DOMAIN_FREE :
		   strcmp(name->data, "business") == 0 ? DOMAIN_BUSINESS :
												 DOMAIN_NAMED;
}

bool
sh_predicate_domain(const struct predicate_text *email, const struct predicate_constant *wanted)
{
	const char *at = memrchr(email->data, '@', email->len);
	struct predicate_text domain;

	if (!at || at + 1 == email->data + email->len)
		return false;
	domain.data = at + 1;
	domain.len = email->data + email->len - domain.data;
	if (wanted->domain != DOMAIN_NAMED)
		return sh_domain_is_free(domain.data, domain.len) == (wanted->domain == DOMAIN_FREE);
	if (domain.len > wanted->text.len)
	{
		int ahead = domain.len - wanted->text.len;

		if (domain.data[ahead - 1] != '.')
			return false;
		domain.data += ahead;
		domain.len -= ahead;
	}
	return same_text(&domain, &wanted->text);
}

bool
sh_predicate_has_tag(Datum tags, const struct predicate_text *wanted)
{
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(
		DatumGetArrayTypeP(tags), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		struct varlena *value;
		struct predicate_text tag;

		if (nulls[i])
			continue;
		value = PG_DETOAST_DATUM_PACKED(values[i]);
		tag = sh_predicate_fold(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
		if (same_text(&tag, wanted))
			return true;
	}
	return false;
}

/* Nothing there: NULL, an empty text, no tags. */
static bool
is_empty(struct predicate_row *row, const struct predicate_subject *subject)
{
	enum predicate_field field = subject->field;

	if (subject->custom)
		return custom_value(row, subject) == NULL;
	if (row->nulls[field])
		return true;
	if (sh_predicate_type(field) == TYPE_TAGS)
		return ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(row->values[field])),
							  ARR_DIMS(DatumGetArrayTypeP(row->values[field]))) == 0;
	return (sh_predicate_type(field) == TYPE_TEXT || sh_predicate_type(field) == TYPE_EMAIL) &&
		   VARSIZE_ANY_EXHDR(PG_DETOAST_DATUM_PACKED(row->values[field])) == 0;
}

static int
compare_text(const struct predicate_text *a, const struct predicate_text *b)
{
	if (same_text(a, b))
		return 0;
	return varstr_cmp(a->data, a->len, b->data, b->len, DEFAULT_COLLATION_OID) < 0 ? -1 : 1;
}

static int
compare_integer(int64 a, int64 b)
{
	return a < b ? -1 : a > b ? 1 : 0;
}

static bool
custom_has_tag(JsonbContainer *array, const struct predicate_text *wanted)
{
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(array, i);
		struct predicate_text tag;

		if (item->type != jbvString)
			continue;
		tag = sh_predicate_fold(item->val.string.val, item->val.string.len);
		if (same_text(&tag, wanted))
			return true;
	}
	return false;
}

static int
compare_custom(struct predicate_row *row, const struct predicate_subject *subject,
			   const struct predicate_constant *with)
{
	JsonbValue *value = custom_value(row, subject);
	DateADT date;
	TimestampTz at;

	switch (subject->type)
	{
		case TYPE_INTEGER:
		case TYPE_NUMERIC:
			return DatumGetInt32(DirectFunctionCall2(
				numeric_cmp, NumericGetDatum(value->val.numeric), with->numeric));
		case TYPE_BOOLEAN:
			return value->val.boolean == with->truth ? 0 : 1;
		case TYPE_DATE:
			(void) sh_custom_date(value, &date);
			return compare_integer(date, with->integer);
		case TYPE_TIMESTAMP:
			(void) sh_custom_time(value, &at);
			return compare_integer(at, with->integer);
		case TYPE_TAGS:
			return custom_has_tag(value->val.binary.data, &with->text) ? 0 : 1;
		default:
			return compare_text(folded(row, subject), &with->text);
	}
}

/* Negative, zero or positive as the field is below, at or above the constant. */
static int
compare(struct predicate_row *row, const struct predicate_subject *subject,
		const struct predicate_constant *with)
{
	enum predicate_field field = subject->field;
	Datum value = row->values[field];

	if (subject->custom)
		return compare_custom(row, subject, with);
	switch (sh_predicate_type(field))
	{
		case TYPE_INTEGER:
			return compare_integer(DatumGetInt32(value), with->integer);
		case TYPE_NUMERIC:
			return DatumGetInt32(DirectFunctionCall2(numeric_cmp, value, with->numeric));
		case TYPE_BOOLEAN:
			return DatumGetBool(value) == with->truth ? 0 : 1;
		case TYPE_TAGS:
			return sh_predicate_has_tag(value, &with->text) ? 0 : 1;
		default:
			return compare_text(folded(row, subject), &with->text);
	}
}

static bool
is_any(const struct predicate *node, struct predicate_row *row)
{
	for (int i = 0; i < node->count; i++)
		if (compare(row, &node->subject, &node->constants[i]) == 0)
			return true;
	return false;
}

static bool
leaf_true(const struct predicate *node, struct predicate_row *row)
{
	const struct predicate_constant *with = node->constants;
	const struct predicate_subject *subject = &node->subject;

	if (is_empty(row, subject))
		return node->op == OP_IS_NULL || node->op == OP_NE || node->op == OP_NOT_IN;
	switch (node->op)
	{
		case OP_EQ:
		case OP_IN:
			return is_any(node, row);
		case OP_NE:
		case OP_NOT_IN:
			return !is_any(node, row);
		case OP_LT:
			return compare(row, subject, with) < 0;
		case OP_LE:
			return compare(row, subject, with) <= 0;
		case OP_GT:
			return compare(row, subject, with) > 0;
		case OP_GE:
			return compare(row, subject, with) >= 0;
		case OP_CONTAINS:
			if (subject->type == TYPE_TAGS)
				return compare(row, subject, with) == 0;
			return has_part(folded(row, subject), &with->text);
		case OP_STARTS_WITH:
			return has_start(folded(row, subject), &with->text);
		case OP_MATCHES_DOMAIN:
			return sh_predicate_domain(folded(row, subject), with);
		default:
			return node->op == OP_NOT_NULL;
	}
}

bool
sh_predicate_true(const struct predicate *predicate, struct predicate_row *row)
{
	switch (predicate->op)
	{
		case OP_AND:
			for (int i = 0; i < predicate->count; i++)
				if (!sh_predicate_true(predicate->parts[i], row))
					return false;
			return true;
		case OP_OR:
			for (int i = 0; i < predicate->count; i++)
				if (sh_predicate_true(predicate->parts[i], row))
					return true;
			return false;
		case OP_NOT:
			return !sh_predicate_true(predicate->parts[0], row);
		default:
			return leaf_true(predicate, row);
	}
}
