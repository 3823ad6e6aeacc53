/*
 * Normal forms of what people type, so that equal things compare equal: text without case and
 * accents, e-mail addresses, domains, telephone numbers, and how a name sounds.
 */
#include "postgres.h"

#include "common/unicode_norm.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "match.h"
#include "predicate.h"

PG_FUNCTION_INFO_V1(sh_match_fold_sql);
PG_FUNCTION_INFO_V1(sh_match_phonetic_sql);
PG_FUNCTION_INFO_V1(sh_match_email_sql);
PG_FUNCTION_INFO_V1(sh_match_domain_sql);

/* Digits of a telephone number that are compared when one side lacks its country. */
#define PHONE_TAIL 8
/* A longer key tells no more. */
#define PHONETIC_MAX 8

/* --- text --- */

/* Letters that do not decompose. */
static const char *
plain_letter(pg_wchar c)
{
	static const struct
	{
		pg_wchar letter;
		const char *plain;
	} letters[] = { { 0xDF, "ss" }, { 0xE6, "ae" }, { 0xF0, "d" },	{ 0xF8, "o" },	{ 0xFE, "th" },
					{ 0x111, "d" }, { 0x131, "i" }, { 0x142, "l" }, { 0x153, "oe" } };

	for (int i = 0; i < (int) lengthof(letters); i++)
		if (letters[i].letter == c)
			return letters[i].plain;
	return NULL;
}

/* Replace the text by its compatibility decomposition without the marks. */
static char *
without_accents(char *text, int len)
{
	pg_wchar *wide = palloc((len + 1) * sizeof(pg_wchar));
	StringInfoData out;

	pg_mb2wchar_with_len(text, wide, len);
	initStringInfo(&out);
	for (pg_wchar *c = unicode_normalize(UNICODE_NFKD, wide); *c != 0; c++)
	{
		const char *plain = plain_letter(*c);
		unsigned char bytes[MAX_MULTIBYTE_CHAR_LEN + 1] = { 0 };

		if (*c >= 0x300 && *c <= 0x36F)
			continue;
		if (!plain)
			unicode_to_utf8(*c, bytes);
		appendStringInfoString(&out, plain ? plain : (char *) bytes);
	}
	return out.data;
}

char *
sh_match_fold(const char *data, int len)
{
	struct predicate_text lower = sh_predicate_fold(data, len);
	char *text = unconstify(char *, lower.data);
	char *to;
	bool ascii = true;

	for (int i = 0; i < lower.len; i++)
		ascii &= !IS_HIGHBIT_SET(text[i]);
	if (!ascii && GetDatabaseEncoding() == PG_UTF8)
		text = without_accents(text, lower.len);
	to = text;
	for (const char *p = text; *p; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c == '.' || c == '\'')
			continue;
		if (isalnum(c) || IS_HIGHBIT_SET(c))
			*to++ = *p;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
	}
	if (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
	return text;
}

char *
sh_match_letters(const char *data, int len)
{
	char *text = sh_match_fold(data, len);
	char *to = text;

	for (const char *p = text; *p; p++)
		if (*p != ' ')
			*to++ = *p;
	*to = '\0';
	return text;
}

char *
sh_match_company(const char *data, int len)
{
	char *text = sh_match_fold(data, len);

	return sh_company_key(text, strlen(text));
}

/* --- e-mail, domain, telephone --- */

char *
sh_match_domain(const char *data, int len)
{
	struct predicate_text lower = sh_predicate_fold(data, len);
	char *host = sh_domain_unicode(lower.data);
	const char *name = sh_domain_registrable(host);

	if (*name == '\0' || sh_domain_is_free(name, strlen(name)) ||
		sh_domain_is_free(host, strlen(host)))
		return NULL;
	return pstrdup(name);
}

char *
sh_match_email(const char *data, int len)
{
	struct predicate_text lower = sh_predicate_fold(data, len);
	char *text = unconstify(char *, lower.data);
	char *at = strrchr(text, '@');
	char *domain;
	char *to = text;
	bool dotless;

	if (!at)
		return *text ? text : NULL;
	domain = strcmp(at, "@googlemail.com") == 0 ? pstrdup("gmail.com") : sh_domain_unicode(at + 1);
	dotless = strcmp(domain, "gmail.com") == 0;
	for (const char *p = text; p < at && (*p != '+' || p == text); p++)
		if (*p != '.' || !dotless)
			*to++ = *p;
	*to = '\0';
	return psprintf("%s@%s", text, domain);
}

char *
sh_match_phone(const char *data, int len)
{
	char *digits = palloc(len + 1);
	char *to = digits;

	for (int i = 0; i < len && data[i] != 'x'; i++)
		if (isdigit((unsigned char) data[i]))
			*to++ = data[i];
	*to = '\0';
	if (to - digits > PHONE_TAIL && data[0] != '+')
		return digits + (to - digits - PHONE_TAIL);
	return digits;
}

const char *
sh_match_phone_tail(const char *digits)
{
	size_t len = strlen(digits);

	return len > PHONE_TAIL ? digits + len - PHONE_TAIL : digits;
}

/* --- how a name sounds --- */

/*
 * Metaphone (L. Philips, "Hanging on the Metaphone", Computer Language 7(12), 1990) as a table:
 * the first rule that fits at a place says what is written and how many letters are passed.
 */
struct sound
{
	const char *from;
	const char *before; /* letters of which one stands in front; "^" start, NULL anything */
	const char *behind; /* letters of which one follows; "$" end, NULL anything */
	const char *to;
	int pass; /* letters passed; 0: all of from */
};

#define VOWELS "aeiou"

static const struct sound sounds[] = {
	{ "ae", "^", NULL, "e", 0 },	{ "gn", "^", NULL, "n", 0 },   { "kn", "^", NULL, "n", 0 },
	{ "pn", "^", NULL, "n", 0 },	{ "wr", "^", NULL, "r", 0 },   { "wh", "^", NULL, "w", 0 },
	{ "x", "^", NULL, "s", 0 },		{ "a", "^", NULL, "a", 0 },	   { "e", "^", NULL, "e", 0 },
	{ "i", "^", NULL, "i", 0 },		{ "o", "^", NULL, "o", 0 },	   { "u", "^", NULL, "u", 0 },
	{ "mb", NULL, "$", "m", 0 },	{ "b", NULL, NULL, "b", 0 },   { "cia", NULL, NULL, "x", 2 },
	{ "sch", NULL, NULL, "sk", 0 }, { "ch", NULL, NULL, "x", 0 },  { "ck", NULL, NULL, "k", 0 },
	{ "c", "s", "eiy", "", 0 },		{ "c", NULL, "eiy", "s", 0 },  { "c", NULL, NULL, "k", 0 },
	{ "dg", NULL, "eiy", "j", 0 },	{ "d", NULL, NULL, "t", 0 },   { "f", NULL, NULL, "f", 0 },
	{ "gh", NULL, VOWELS, "k", 0 }, { "gh", NULL, NULL, "", 0 },   { "gned", NULL, "$", "nt", 0 },
	{ "gn", NULL, "$", "n", 0 },	{ "g", NULL, "eiy", "j", 0 },  { "g", NULL, NULL, "k", 0 },
	{ "h", NULL, VOWELS, "h", 0 },	{ "h", NULL, NULL, "", 0 },	   { "j", NULL, NULL, "j", 0 },
	{ "k", NULL, NULL, "k", 0 },	{ "l", NULL, NULL, "l", 0 },   { "m", NULL, NULL, "m", 0 },
	{ "n", NULL, NULL, "n", 0 },	{ "ph", NULL, NULL, "f", 0 },  { "p", NULL, NULL, "p", 0 },
	{ "q", NULL, NULL, "k", 0 },	{ "r", NULL, NULL, "r", 0 },   { "sh", NULL, NULL, "x", 0 },
	{ "sio", NULL, NULL, "x", 1 },	{ "sia", NULL, NULL, "x", 1 }, { "s", NULL, NULL, "s", 0 },
	{ "tia", NULL, NULL, "x", 1 },	{ "tio", NULL, NULL, "x", 1 }, { "tch", NULL, NULL, "", 1 },
	{ "th", NULL, NULL, "0", 0 },	{ "t", NULL, NULL, "t", 0 },   { "v", NULL, NULL, "f", 0 },
	{ "w", NULL, VOWELS, "w", 0 },	{ "x", NULL, NULL, "ks", 0 },  { "y", NULL, VOWELS, "y", 0 },
	{ "z", NULL, NULL, "s", 0 },
};

static bool
sound_fits(const struct sound *rule, const char *word, const char *at)
{
	size_t len = strlen(rule->from);
	char next;

	if (strncmp(at, rule->from, len) != 0)
		return false;
	next = at[len];
	if (rule->before &&
		(*rule->before == '^' ? at != word : at == word || !strchr(rule->before, at[-1])))
		return false;
	return !rule->behind ||
		   (*rule->behind == '$' ? next == '\0' : next != '\0' && strchr(rule->behind, next));
}

static const struct sound *
sound_at(const char *word, const char *at)
{
	for (int i = 0; i < (int) lengthof(sounds); i++)
		if (*sounds[i].from == *at && sound_fits(&sounds[i], word, at))
			return &sounds[i];
	return NULL;
}

/* What is not a Latin letter stands for itself. */
char *
sh_match_phonetic(const char *word)
{
	StringInfoData key;
	const char *at = word;

	initStringInfo(&key);
	while (*at && key.len < PHONETIC_MAX)
	{
		const struct sound *rule = NULL;
		int len = pg_mblen(at);

		if (len > 1 || isdigit((unsigned char) *at))
			appendBinaryStringInfo(&key, at, len);
		else if (at == word || *at != at[-1] || *at == 'c')
			rule = sound_at(word, at);
		if (rule)
		{
			appendStringInfoString(&key, rule->to);
			len = rule->pass > 0 ? rule->pass : (int) strlen(rule->from);
		}
		at += len;
	}
	return key.len > 0 ? key.data : pstrdup(word);
}

/* --- for SQL --- */

static Datum
text_or_null(FunctionCallInfo fcinfo, const char *value)
{
	if (!value || *value == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

/* saleshub.match_fold(text) returns text */
Datum
sh_match_fold_sql(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);

	return text_or_null(fcinfo, sh_match_fold(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}

/* saleshub.match_phonetic(text) returns text */
Datum
sh_match_phonetic_sql(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);

	return text_or_null(
		fcinfo, sh_match_phonetic(sh_match_letters(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value))));
}

/* saleshub.match_email(text) returns text */
Datum
sh_match_email_sql(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);

	return text_or_null(fcinfo, sh_match_email(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}

/* saleshub.match_domain(text) returns text */
Datum
sh_match_domain_sql(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);

	return text_or_null(fcinfo, sh_match_domain(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}
