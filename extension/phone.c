/* Telephone numbers in one form: E.164 where the country says how to complete them. */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "normal.h"

PG_FUNCTION_INFO_V1(sh_calling_code_sql);
PG_FUNCTION_INFO_V1(sh_phone_normal_sql);

#define EXTENSION_MAX 6
/* Digits of a number as it is written, with what is dialled before the country. */
#define DIGITS_MIN 3
#define DIGITS_MAX 17
/* Of E.164. */
#define FULL_MIN 7
#define FULL_MAX 15

struct calling_code
{
	char country[3];
	const char *code;
};

/* In order of the countries. */
static const struct calling_code calling_codes[] = {
	{ "AD", "376" }, { "AE", "971" }, { "AF", "93" },  { "AL", "355" }, { "AM", "374" },
	{ "AO", "244" }, { "AR", "54" },  { "AT", "43" },  { "AU", "61" },	{ "AZ", "994" },
	{ "BA", "387" }, { "BD", "880" }, { "BE", "32" },  { "BF", "226" }, { "BG", "359" },
	{ "BH", "973" }, { "BI", "257" }, { "BJ", "229" }, { "BN", "673" }, { "BO", "591" },
	{ "BR", "55" },	 { "BT", "975" }, { "BW", "267" }, { "BY", "375" }, { "BZ", "501" },
	{ "CA", "1" },	 { "CD", "243" }, { "CF", "236" }, { "CG", "242" }, { "CH", "41" },
	{ "CI", "225" }, { "CL", "56" },  { "CM", "237" }, { "CN", "86" },	{ "CO", "57" },
	{ "CR", "506" }, { "CU", "53" },  { "CV", "238" }, { "CY", "357" }, { "CZ", "420" },
	{ "DE", "49" },	 { "DJ", "253" }, { "DK", "45" },  { "DZ", "213" }, { "EC", "593" },
	{ "EE", "372" }, { "EG", "20" },  { "ER", "291" }, { "ES", "34" },	{ "ET", "251" },
	{ "FI", "358" }, { "FJ", "679" }, { "FO", "298" }, { "FR", "33" },	{ "GA", "241" },
	{ "GB", "44" },	 { "GE", "995" }, { "GF", "594" }, { "GH", "233" }, { "GI", "350" },
	{ "GL", "299" }, { "GM", "220" }, { "GN", "224" }, { "GP", "590" }, { "GQ", "240" },
	{ "GR", "30" },	 { "GT", "502" }, { "GW", "245" }, { "GY", "592" }, { "HK", "852" },
	{ "HN", "504" }, { "HR", "385" }, { "HT", "509" }, { "HU", "36" },	{ "ID", "62" },
	{ "IE", "353" }, { "IL", "972" }, { "IN", "91" },  { "IQ", "964" }, { "IR", "98" },
	{ "IS", "354" }, { "IT", "39" },  { "JO", "962" }, { "JP", "81" },	{ "KE", "254" },
	{ "KG", "996" }, { "KH", "855" }, { "KM", "269" }, { "KR", "82" },	{ "KW", "965" },
	{ "KZ", "7" },	 { "LA", "856" }, { "LB", "961" }, { "LI", "423" }, { "LK", "94" },
	{ "LR", "231" }, { "LS", "266" }, { "LT", "370" }, { "LU", "352" }, { "LV", "371" },
	{ "LY", "218" }, { "MA", "212" }, { "MC", "377" }, { "MD", "373" }, { "ME", "382" },
	{ "MG", "261" }, { "MK", "389" }, { "ML", "223" }, { "MM", "95" },	{ "MN", "976" },
	{ "MO", "853" }, { "MR", "222" }, { "MT", "356" }, { "MU", "230" }, { "MV", "960" },
	{ "MW", "265" }, { "MX", "52" },  { "MY", "60" },  { "MZ", "258" }, { "NA", "264" },
	{ "NC", "687" }, { "NE", "227" }, { "NG", "234" }, { "NI", "505" }, { "NL", "31" },
	{ "NO", "47" },	 { "NP", "977" }, { "NZ", "64" },  { "OM", "968" }, { "PA", "507" },
	{ "PE", "51" },	 { "PF", "689" }, { "PG", "675" }, { "PH", "63" },	{ "PK", "92" },
	{ "PL", "48" },	 { "PT", "351" }, { "PY", "595" }, { "QA", "974" }, { "RO", "40" },
	{ "RS", "381" }, { "RU", "7" },	  { "RW", "250" }, { "SA", "966" }, { "SC", "248" },
	{ "SD", "249" }, { "SE", "46" },  { "SG", "65" },  { "SI", "386" }, { "SK", "421" },
	{ "SL", "232" }, { "SM", "378" }, { "SN", "221" }, { "SO", "252" }, { "SR", "597" },
	{ "SV", "503" }, { "SY", "963" }, { "SZ", "268" }, { "TD", "235" }, { "TG", "228" },
	{ "TH", "66" },	 { "TJ", "992" }, { "TM", "993" }, { "TN", "216" }, { "TR", "90" },
	{ "TW", "886" }, { "TZ", "255" }, { "UA", "380" }, { "UG", "256" }, { "US", "1" },
	{ "UY", "598" }, { "UZ", "998" }, { "VE", "58" },  { "VN", "84" },	{ "XK", "383" },
	{ "YE", "967" }, { "ZA", "27" },  { "ZM", "260" }, { "ZW", "263" }
};

/* The countries that have no trunk prefix: what is dialled at home is the whole number. */
static const char *const whole_numbers[] = { "30",	"34",  "45",  "47",	 "48",	"65",  "351", "352",
											 "354", "356", "357", "371", "372", "377", "420", "502",
											 "503", "504", "505", "506", "507", "852", "853" };

/* A number taken apart. */
struct phone
{
	char *digits;
	int count;
	bool international; /* begins with + */
	struct span extension;
};

static int
compare_country(const void *a, const void *b)
{
	return memcmp(a, ((const struct calling_code *) b)->country, 2);
}

const char *
sh_calling_code(struct span country)
{
	const struct calling_code *found;
	char key[2];

	if (!country.data || country.len != 2)
		return NULL;
	key[0] = pg_toupper((unsigned char) country.data[0]);
	key[1] = pg_toupper((unsigned char) country.data[1]);
	found = bsearch(
		key, calling_codes, lengthof(calling_codes), sizeof(calling_codes[0]), compare_country);
	return found ? found->code : NULL;
}

/* --- taking apart --- */

static const char *
skip_space(const char *at, const char *end)
{
	int len;

	while ((len = sh_normal_space(at, end)) > 0)
		at += len;
	return at;
}

/* Up to six digits and nothing behind them but white space. */
static bool
take_extension(const char *at, const char *end, struct span *out)
{
	at = skip_space(at, end);
	out->data = at;
	while (at < end && isdigit((unsigned char) *at))
		at++;
	out->len = at - out->data;
	return out->len >= 1 && out->len <= EXTENSION_MAX && skip_space(at, end) == end;
}

/* Whether nothing but an extension follows: "x12", ", ext. 12", "#12". */
static bool
is_extension(const char *at, const char *end, struct span *out)
{
	static const char *const words[] = { "x", "#", "ext", "ext.", "extension" };

	at = skip_space(at, end);
	if (at < end && (*at == ',' || *at == ';'))
		at = skip_space(at + 1, end);
	for (int i = 0; i < (int) lengthof(words); i++)
	{
		int len = (int) strlen(words[i]);

		if (end - at > len && pg_strncasecmp(at, words[i], len) == 0 &&
			take_extension(at + len, end, out))
			return true;
	}
	return false;
}

/* Where the number itself ends: at the first place behind which only an extension comes. */
static const char *
end_of_number(struct span phone, struct span *extension)
{
	const char *end = phone.data + phone.len;
	const char *at = phone.data;

	*extension = (struct span){ NULL, 0 };
	while (at < end)
	{
		if (skip_space(at, end) == end)
			return at;
		if (is_extension(at, end, extension))
			return at;
		extension->data = NULL;
		at += pg_mblen(at);
	}
	return end;
}

/* Without the trunk zero that is not dialled from abroad: +49 (0)30. */
static struct span
without_trunk_zero(const char *at, const char *end)
{
	char *out = palloc(end - at + 1);
	int len = 0;

	while (at < end)
		if (end - at >= 3 && memcmp(at, "(0)", 3) == 0)
			at += 3;
		else
			out[len++] = *at++;
	return (struct span){ out, len };
}

/* The length of what may stand between digits; 0: it may not. */
static int
filler(const char *at, const char *end)
{
	static const char dash[] = "\xE2\x80\x93";

	if (strchr("+()./-", *at))
		return 1;
	if (end - at >= 3 && memcmp(at, dash, 3) == 0)
		return 3;
	return sh_normal_space(at, end);
}

/* Digits and what may stand between them; false at anything else, or a + behind a digit. */
static bool
take_digits(const char *at, const char *end, struct phone *out)
{
	bool after_digit = false; /* and white space at most */

	while (at < end)
	{
		bool digit = isdigit((unsigned char) *at);
		int len = digit ? 1 : filler(at, end);

		if (len == 0 || (*at == '+' && after_digit))
			return false;
		if (digit)
			out->digits[out->count++] = *at;
		if (sh_normal_space(at, end) == 0)
			after_digit = digit;
		at += len;
	}
	return out->count >= DIGITS_MIN && out->count <= DIGITS_MAX;
}

static bool
take_apart(struct span phone, struct phone *out)
{
	const char *end = end_of_number(phone, &out->extension);
	struct span number = without_trunk_zero(phone.data, end);
	const char *first;

	end = number.data + number.len;
	out->digits = palloc0(number.len + 1);
	out->count = 0;
	if (!take_digits(number.data, end, out))
		return false;
	first = skip_space(number.data, end);
	out->international = *first == '+' || (*first == '(' && first + 1 < end && first[1] == '+');
	return true;
}

/* --- completing --- */

static bool
is_code(const char *code, const char *other)
{
	return code && strcmp(code, other) == 0;
}

static bool
has_whole_numbers(const char *code)
{
	for (int i = 0; i < (int) lengthof(whole_numbers); i++)
		if (is_code(code, whole_numbers[i]))
			return true;
	return false;
}

/* Of the North American plan: ten digits, perhaps after a 1. */
static bool
is_american(const char *digits, int count)
{
	const char *first = digits + (count == 11 && digits[0] == '1');

	return digits + count - first == 10 && *first >= '2';
}

/* A zero that is dialled at home only, and seven to twelve digits. */
static bool
has_trunk_zero(const char *digits, int count, const char *code)
{
	return code && digits[0] == '0' && count >= 8 && count <= 13 && !is_code(code, "1") &&
		   !is_code(code, "7");
}

/* A number as it is dialled in its country, with the country; NULL when it is none. */
static const char *
completed(const char *digits, int count, const char *code)
{
	if (is_code(code, "1") && is_american(digits, count))
		return psprintf("1%s", digits + count - 10);
	if (is_code(code, "7") && count == 11 && (digits[0] == '7' || digits[0] == '8'))
		return psprintf("7%s", digits + 1);
	if (is_code(code, "39") && count >= 8 && count <= 11)
		return psprintf("39%s", digits);
	if (has_trunk_zero(digits, count, code))
		return psprintf("%s%s", code, digits + 1);
	if (digits[0] != '0' && count >= 7 && count <= 10 && has_whole_numbers(code))
		return psprintf("%s%s", code, digits);
	return NULL;
}

/* The number with its country, NULL when it cannot be told. */
static const char *
full_number(const struct phone *phone, const char *code)
{
	if (phone->international)
		return phone->digits;
	if (phone->digits[0] == '0' && phone->digits[1] == '0')
		return phone->digits + 2;
	return completed(phone->digits, phone->count, code);
}

char *
sh_phone_normal(struct span phone, struct span country)
{
	struct phone parts;
	const char *full;
	StringInfoData out;

	if (!take_apart(phone, &parts))
		return NULL;
	full = full_number(&parts, sh_calling_code(country));
	initStringInfo(&out);
	if (full && full[0] != '0' && strlen(full) >= FULL_MIN && strlen(full) <= FULL_MAX)
	{
		appendStringInfoChar(&out, '+');
		appendStringInfoString(&out, full);
	}
	else if (parts.international)
		return NULL;
	else
		appendStringInfoString(&out, parts.digits);
	if (parts.extension.data)
	{
		appendStringInfoChar(&out, 'x');
		appendBinaryStringInfo(&out, parts.extension.data, parts.extension.len);
	}
	return out.data;
}

/* --- for SQL --- */

/* saleshub.calling_code(country text) returns text */
Datum
sh_calling_code_sql(PG_FUNCTION_ARGS)
{
	const char *code = sh_calling_code(sh_span_of(PG_GETARG_TEXT_PP(0)));

	if (!code)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(code));
}

/* saleshub.phone_normal(phone text, country text) returns text */
Datum
sh_phone_normal_sql(PG_FUNCTION_ARGS)
{
	char *number;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	number = sh_phone_normal(sh_span_of(PG_GETARG_TEXT_PP(0)),
							 sh_span_of(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1)));
	if (!number)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(number));
}
