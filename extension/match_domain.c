/*
 * Domain names: one form for the two ways to write an internationalised one, and the part that
 * somebody registered. Names are compared in Unicode; of a label in punycode (RFC 3492) only the
 * decoding is needed for that, whose few lines are no reason for another library. Whether a name
 * is allowed is not asked here.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/unicode_norm.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "match.h"
#include "predicate.h"

PG_FUNCTION_INFO_V1(sh_domain_unicode_sql);
PG_FUNCTION_INFO_V1(sh_domain_forms);

/* A label has at most 63 octets. */
#define LABEL_MAX 63

enum punycode
{
	BASE = 36,
	TMIN = 1,
	TMAX = 26,
	SKEW = 38,
	DAMP = 700,
	INITIAL_BIAS = 72,
	INITIAL_N = 128
};

static int
adapt(int delta, int points, bool first)
{
	int k = 0;

	delta = first ? delta / DAMP : delta / 2;
	delta += delta / points;
	for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
		delta /= BASE - TMIN;
	return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static int
threshold(int k, int bias)
{
	return k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
}

static int
digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	return c >= '0' && c <= '9' ? c - '0' + 26 : -1;
}

static char
digit_letter(int value)
{
	return value < 26 ? 'a' + value : '0' + value - 26;
}

/* The code points of a label without its xn--, at most LABEL_MAX; -1: it is no punycode. */
static int
decode_label(const char *text, int len, pg_wchar *out)
{
	int basic = 0;
	int count = 0;
	int n = INITIAL_N;
	int i = 0;
	int bias = INITIAL_BIAS;

	for (int j = 0; j < len; j++)
		if (text[j] == '-')
			basic = j;
	for (int j = 0; j < basic; j++)
	{
		if (IS_HIGHBIT_SET(text[j]))
			return -1;
		out[count++] = (unsigned char) text[j];
	}
	for (int in = basic > 0 ? basic + 1 : 0; in < len; count++)
	{
		int old = i;

		for (int w = 1, k = BASE;; k += BASE)
		{
			int digit = in < len ? digit_value(text[in++]) : -1;
			int t = threshold(k, bias);

			/* Bounds that no label of 63 octets passes, and no overflow either. */
			if (digit < 0 || digit > (0x7FFFFFF - i) / w)
				return -1;
			i += digit * w;
			if (digit < t)
				break;
			if (w > 0x7FFFFFF / (BASE - t))
				return -1;
			w *= BASE - t;
		}
		bias = adapt(i - old, count + 1, old == 0);
		n += i / (count + 1);
		i %= count + 1;
		if (n < 0xA0 || n > 0x10FFFF || (n >= 0xD800 && n <= 0xDFFF) || count == LABEL_MAX)
			return -1;
		memmove(out + i + 1, out + i, (count - i) * sizeof(*out));
		out[i++] = n;
	}
	return count;
}

/* Append a label as punycode; false: it would be too long. */
static bool
encode_label(const pg_wchar *label, int len, StringInfo out)
{
	int start = out->len;
	int basic = 0;
	int n = INITIAL_N;
	int delta = 0;
	int bias = INITIAL_BIAS;

	appendStringInfoString(out, "xn--");
	for (int j = 0; j < len; j++)
		if (label[j] < INITIAL_N)
		{
			appendStringInfoChar(out, (char) label[j]);
			basic++;
		}
	if (basic > 0)
		appendStringInfoChar(out, '-');
	for (int done = basic; done < len; delta++, n++)
	{
		int next = 0x10FFFF;

		for (int j = 0; j < len; j++)
			if ((int) label[j] >= n && (int) label[j] < next)
				next = label[j];
		delta += (next - n) * (done + 1);
		n = next;
		for (int j = 0; j < len; j++)
		{
			int q = delta;

			if ((int) label[j] < n)
				delta++;
			if ((int) label[j] != n)
				continue;
			q = delta;
			for (int k = BASE;; k += BASE)
			{
				int t = threshold(k, bias);

				if (q < t)
					break;
				appendStringInfoChar(out, digit_letter(t + (q - t) % (BASE - t)));
				q = (q - t) / (BASE - t);
			}
			appendStringInfoChar(out, digit_letter(q));
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		if (out->len - start > LABEL_MAX)
			return false;
	}
	return true;
}

static void
append_wide(StringInfo out, const pg_wchar *text)
{
	for (; *text; text++)
	{
		unsigned char bytes[MAX_MULTIBYTE_CHAR_LEN + 1] = { 0 };

		unicode_to_utf8(*text, bytes);
		appendStringInfoString(out, (char *) bytes);
	}
}

/* Append a label in Unicode, in one normal form. */
static void
append_label(StringInfo out, const char *label, int len)
{
	pg_wchar *wide = palloc((Max(len, LABEL_MAX) + 1) * sizeof(*wide));
	int count;

	if (len > 4 && len <= LABEL_MAX && memcmp(label, "xn--", 4) == 0)
	{
		count = decode_label(label + 4, len - 4, wide);
		if (count < 0)
		{
			appendBinaryStringInfo(out, label, len);
			return;
		}
	}
	else
		count = pg_mb2wchar_with_len(label, wide, len);
	wide[count] = 0;
	append_wide(out, unicode_normalize(UNICODE_NFC, wide));
}

/* A place that parts labels: the full stop, and the three that stand for it in other scripts. */
static int
dot_length(const char *at)
{
	if (*at == '.')
		return 1;
	return strncmp(at, "\xE3\x80\x82", 3) == 0 || strncmp(at, "\xEF\xBC\x8E", 3) == 0 ||
				   strncmp(at, "\xEF\xBD\xA1", 3) == 0 ?
			   3 :
			   0;
}

char *
sh_domain_unicode(const char *domain)
{
	StringInfoData out;
	bool plain = strstr(domain, "xn--") == NULL;

	for (const char *p = domain; plain && *p; p++)
		plain = !IS_HIGHBIT_SET(*p);
	if (plain || GetDatabaseEncoding() != PG_UTF8)
		return pstrdup(domain);
	initStringInfo(&out);
	for (const char *start = domain;;)
	{
		const char *end = start;
		struct predicate_text lower;

		while (*end && dot_length(end) == 0)
			end++;
		append_label(&out, start, end - start);
		if (!*end)
		{
			/* What was written in capitals before it was encoded. */
			lower = sh_predicate_fold(out.data, out.len);
			return unconstify(char *, lower.data);
		}
		appendStringInfoChar(&out, '.');
		start = end + dot_length(end);
	}
}

/* The same in ASCII; NULL when a label would be too long. */
static char *
domain_ascii(const char *unicode)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *start = unicode;;)
	{
		int len = strcspn(start, ".");
		pg_wchar *wide = palloc((len + 1) * sizeof(*wide));
		int count = pg_mb2wchar_with_len(start, wide, len);
		bool plain = true;

		for (int i = 0; i < count; i++)
			plain &= wide[i] < INITIAL_N;
		if (plain)
			appendBinaryStringInfo(&out, start, len);
		else if (!encode_label(wide, count, &out))
			return NULL;
		start += len;
		if (!*start)
			return out.data;
		appendStringInfoChar(&out, *start++);
	}
}

/* --- the part that somebody registered --- */

/* Below these every name belongs to somebody else; sorted, for bsearch. */
static const char *const shared_suffixes[] = {
	"appspot.com",	"art.br",		 "asn.au",		  "asso.fr",	 "azurewebsites.net",
	"blogspot.com", "br.com",		 "cn.com",		  "co.com",		 "de.com",
	"eu.com",		"fly.dev",		 "gb.net",		  "github.io",	 "gitlab.io",
	"gouv.fr",		"gv.at",		 "herokuapp.com", "id.au",		 "in.th",
	"jimdo.com",	"jpn.com",		 "lg.jp",		  "ltd.uk",		 "me.uk",
	"mi.th",		"myshopify.com", "netlify.app",	  "nhs.uk",		 "onrender.com",
	"pages.dev",	"pe.kr",		 "plc.uk",		  "re.kr",		 "ru.com",
	"sa.com",		"sch.uk",		 "uk.com",		  "us.com",		 "vercel.app",
	"web.app",		"web.za",		 "weebly.com",	  "wixsite.com", "wordpress.com",
	"workers.dev",	"za.com",
};

/* Second labels under which most countries register names. */
static const char *const shared_labels[] = {
	"ac",  "co",  "com", "ed",	"edu", "firm", "gen", "go",	 "gob", "gov", "gr",  "gub",
	"ind", "inf", "ltd", "mil", "ne",  "net",  "nic", "nom", "or",	"org", "sch",
};

static int
compare_names(const void *key, const void *element)
{
	return strcmp(key, *(const char *const *) element);
}

static bool
is_shared(const char *suffix, const char *last_dot)
{
	char *label = pnstrdup(suffix, last_dot - suffix);

	if (bsearch(suffix, shared_suffixes, lengthof(shared_suffixes), sizeof(char *), compare_names))
		return true;
	return strlen(last_dot + 1) == 2 &&
		   bsearch(label, shared_labels, lengthof(shared_labels), sizeof(char *), compare_names);
}

const char *
sh_domain_registrable(const char *domain)
{
	const char *dots[3] = { NULL, NULL, NULL }; /* the last one first */

	for (const char *p = domain; *p; p++)
		if (*p == '.')
		{
			dots[2] = dots[1];
			dots[1] = dots[0];
			dots[0] = p;
		}
	if (!dots[1])
		return domain;
	if (!is_shared(dots[1] + 1, dots[0]))
		return dots[1] + 1;
	return dots[2] ? dots[2] + 1 : domain;
}

/* --- for SQL --- */

/* saleshub.domain_unicode(text) returns text */
Datum
sh_domain_unicode_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(sh_domain_unicode(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/* saleshub.domain_forms(text) returns text[]: an address or a domain in both ways to write it */
Datum
sh_domain_forms(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *at = strrchr(name, '@');
	char *local = at ? pnstrdup(name, at + 1 - name) : "";
	char *unicode = sh_domain_unicode(at ? at + 1 : name);
	char *ascii = domain_ascii(unicode);
	Datum forms[3];
	int count = 0;

	forms[count++] = CStringGetTextDatum(name);
	if (strcmp(at ? at + 1 : name, unicode) != 0)
		forms[count++] = CStringGetTextDatum(psprintf("%s%s", local, unicode));
	if (ascii && strcmp(at ? at + 1 : name, ascii) != 0)
		forms[count++] = CStringGetTextDatum(psprintf("%s%s", local, ascii));
	PG_RETURN_ARRAYTYPE_P(construct_array(forms, count, TEXTOID, -1, false, TYPALIGN_INT));
}
