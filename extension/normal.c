/* Texts in one form: white space, e-mail addresses, domains, web addresses, tags. */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "normal.h"

PG_FUNCTION_INFO_V1(sh_clean);
PG_FUNCTION_INFO_V1(sh_domain_ok);
PG_FUNCTION_INFO_V1(sh_email_ok);
PG_FUNCTION_INFO_V1(sh_domain_normal);
PG_FUNCTION_INFO_V1(sh_website_ok);
PG_FUNCTION_INFO_V1(sh_tags_normal);

#define EMAIL_MAX 254
#define EMAIL_LOCAL_MAX 64
#define DOMAIN_MAX 253

struct span
sh_span_of(const void *value)
{
	if (!value)
		return (struct span){ NULL, 0 };
	return (struct span){ VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value) };
}

int
sh_span_length(struct span value)
{
	return pg_mbstrlen_with_len(value.data, value.len);
}

static text *
text_of(struct span value)
{
	return cstring_to_text_with_len(value.data, value.len);
}

/* --- white space --- */

/* White space of Unicode at which a line may break. */
static bool
is_wide_space(pg_wchar c)
{
	return c == 0x1680 || (c >= 0x2000 && c <= 0x200A && c != 0x2007) || c == 0x2028 ||
		   c == 0x2029 || c == 0x205F || c == 0x3000;
}

int
sh_normal_space(const char *at, const char *end)
{
	int len;

	if (at >= end)
		return 0;
	if (*at == ' ' || (*at >= '\t' && *at <= '\r'))
		return 1;
	if (!IS_HIGHBIT_SET(*at))
		return 0;
	len = pg_mblen(at);
	if (len > end - at || !is_wide_space(utf8_to_unicode((const unsigned char *) at)))
		return 0;
	return len;
}

/* What is trimmed: also the space at which no line breaks, which pages are full of. */
static bool
is_margin(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_hard_space(const char *at)
{
	return (unsigned char) at[0] == 0xC2 && (unsigned char) at[1] == 0xA0;
}

struct span
sh_normal_clean(struct span value)
{
	while (value.len > 0)
	{
		int len = is_margin(value.data[0]) ? 1 : value.len > 1 && is_hard_space(value.data) ? 2 : 0;

		if (len == 0)
			break;
		value.data += len;
		value.len -= len;
	}
	while (value.len > 0)
	{
		const char *last = value.data + value.len - 1;
		int len = is_margin(*last) ? 1 : value.len > 1 && is_hard_space(last - 1) ? 2 : 0;

		if (len == 0)
			break;
		value.len -= len;
	}
	if (value.len == 0)
		value.data = NULL;
	return value;
}

/* --- letter case --- */

static struct span
in_case(struct span value, PGFunction change)
{
	Datum changed =
		DirectFunctionCall1Coll(change, DEFAULT_COLLATION_OID, PointerGetDatum(text_of(value)));

	return sh_span_of(DatumGetTextPP(changed));
}

struct span
sh_normal_lower(struct span value)
{
	for (int i = 0; i < value.len; i++)
		if (IS_HIGHBIT_SET(value.data[i]) || isupper((unsigned char) value.data[i]))
			return in_case(value, lower);
	return value;
}

struct span
sh_normal_upper(struct span value)
{
	for (int i = 0; i < value.len; i++)
		if (IS_HIGHBIT_SET(value.data[i]) || islower((unsigned char) value.data[i]))
			return in_case(value, upper);
	return value;
}

/* --- domains, addresses --- */

/* Whether no byte of the text is one of these, and none begins white space. */
static bool
has_none_of(const char *at, const char *end, const char *refused)
{
	for (; at < end; at++)
		if ((*at != '\0' && strchr(refused, *at)) || sh_normal_space(at, end) > 0)
			return false;
	return true;
}

/* No dot at the start and no two dots in a row; a hyphen at no end of a label. */
static bool
labels_ok(const char *at, const char *end)
{
	char before = '.';

	for (; at < end; at++)
	{
		if ((*at == '.' && (before == '.' || before == '-')) || (*at == '-' && before == '.'))
			return false;
		before = *at;
	}
	return before != '-';
}

bool
sh_normal_domain_ok(struct span domain)
{
	const char *end = domain.data + domain.len;
	const char *last = end;

	while (last > domain.data && last[-1] != '.')
		last--;
	/* The last label: after a dot, at least two characters, the first no digit. */
	if (last == domain.data || last == end || isdigit((unsigned char) *last) ||
		pg_mblen(last) >= end - last)
		return false;
	return sh_span_length(domain) <= DOMAIN_MAX &&
		   has_none_of(domain.data, end, "/:@?#_<>\"',;()[]\\") && labels_ok(domain.data, end);
}

bool
sh_normal_email_ok(struct span email)
{
	const char *end = email.data + email.len;
	const char *at = memchr(email.data, '@', email.len);
	int local;

	if (!at || at + 1 == end || memchr(at + 1, '@', end - at - 1))
		return false;
	if (!has_none_of(email.data, at, "<>(),;:\"\\[]") || email.data[0] == '.' || at[-1] == '.')
		return false;
	for (const char *p = email.data; p + 1 < end; p++)
		if (p[0] == '.' && p[1] == '.')
			return false;
	local = pg_mbstrlen_with_len(email.data, at - email.data);
	return local >= 1 && local <= EMAIL_LOCAL_MAX && sh_span_length(email) <= EMAIL_MAX &&
		   sh_normal_domain_ok((struct span){ at + 1, end - at - 1 });
}

/* The length of http:// or https:// in any letter case that the text begins with. */
static int
web_scheme(struct span value)
{
	if (value.len >= 7 && pg_strncasecmp(value.data, "http://", 7) == 0)
		return 7;
	return value.len >= 8 && pg_strncasecmp(value.data, "https://", 8) == 0 ? 8 : 0;
}

/* A host with a dot that is not its first character, and something after it. */
bool
sh_normal_website_ok(struct span website)
{
	const char *end = website.data + website.len;
	const char *host = website.data + web_scheme(website);
	const char *dot = host;

	while (dot < end && (*dot != '.' || dot == host))
	{
		if (!has_none_of(dot, dot + pg_mblen(dot), ":/?#<>\""))
			return false;
		dot += pg_mblen(dot);
	}
	return end - dot >= 2 && has_none_of(dot + 1, end, "<>\"");
}

/* The length of a scheme with its :// that the text begins with. */
static int
any_scheme(struct span value)
{
	int n = 0;

	if (value.len == 0 || !(value.data[0] >= 'a' && value.data[0] <= 'z'))
		return 0;
	while (n < value.len && ((value.data[n] >= 'a' && value.data[n] <= 'z') ||
							 (value.data[n] >= '0' && value.data[n] <= '9') ||
							 (value.data[n] != '\0' && strchr("+.-", value.data[n]))))
		n++;
	return value.len - n >= 3 && memcmp(value.data + n, "://", 3) == 0 ? n + 3 : 0;
}

static void
skip(struct span *value, int len)
{
	value->data += len;
	value->len -= len;
}

struct span
sh_normal_domain(struct span domain)
{
	struct span out = sh_normal_clean(domain);
	int len = 0;

	if (!out.data)
		return out;
	out = sh_normal_lower(out);
	skip(&out, any_scheme(out));
	while (len < out.len && out.data[len] != '/' && out.data[len] != '@')
		len++;
	if (len < out.len && out.data[len] == '@')
		skip(&out, len + 1);
	if (out.len >= 4 && memcmp(out.data, "www.", 4) == 0)
		skip(&out, 4);
	for (len = 0; len < out.len && !(out.data[len] != '\0' && strchr("/:?#", out.data[len])); len++)
		;
	if (len > 0 && out.data[len - 1] == '.')
		len--;
	out.len = len;
	return out;
}

/* --- tags --- */

static bool
is_among(Datum *tags, int count, struct span tag)
{
	for (int i = 0; i < count; i++)
	{
		struct span other = sh_span_of(DatumGetPointer(tags[i]));

		if (other.len == tag.len && memcmp(other.data, tag.data, tag.len) == 0)
			return true;
	}
	return false;
}

Datum
sh_normal_tags(Datum tags)
{
	ArrayType *array = DatumGetArrayTypeP(tags);
	Datum *values;
	bool *nulls;
	int count;
	int kept = 0;

	if (ARR_NDIM(array) == 0)
		return tags;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		struct span tag = sh_span_of(nulls[i] ? NULL : DatumGetTextPP(values[i]));

		if (tag.data)
			tag = sh_normal_clean(tag);
		if (tag.data && !is_among(values, kept, tag))
			values[kept++] = PointerGetDatum(text_of(tag));
	}
	return PointerGetDatum(kept == 0 ?
							   construct_empty_array(TEXTOID) :
							   construct_array(values, kept, TEXTOID, -1, false, TYPALIGN_INT));
}

/* --- for SQL --- */

static Datum
span_or_null(FunctionCallInfo fcinfo, struct span value)
{
	if (!value.data)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(text_of(value));
}

/* saleshub.clean(text) returns text */
Datum
sh_clean(PG_FUNCTION_ARGS)
{
	return span_or_null(fcinfo, sh_normal_clean(sh_span_of(PG_GETARG_TEXT_PP(0))));
}

/* saleshub.domain_ok(text) returns boolean */
Datum
sh_domain_ok(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sh_normal_domain_ok(sh_span_of(PG_GETARG_TEXT_PP(0))));
}

/* saleshub.email_ok(text) returns boolean */
Datum
sh_email_ok(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sh_normal_email_ok(sh_span_of(PG_GETARG_TEXT_PP(0))));
}

/* saleshub.website_ok(text) returns boolean */
Datum
sh_website_ok(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sh_normal_website_ok(sh_span_of(PG_GETARG_TEXT_PP(0))));
}

/* saleshub.domain_normal(text) returns text */
Datum
sh_domain_normal(PG_FUNCTION_ARGS)
{
	return span_or_null(fcinfo, sh_normal_domain(sh_span_of(PG_GETARG_TEXT_PP(0))));
}

/* saleshub.tags_normal(text[]) returns text[] */
Datum
sh_tags_normal(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));
	PG_RETURN_DATUM(sh_normal_tags(PG_GETARG_DATUM(0)));
}
