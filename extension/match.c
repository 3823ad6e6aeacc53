/* Comparing what people type: mail domains, company names, names of people. */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "match.h"
#include "predicate.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_domain_is_free_sql);
PG_FUNCTION_INFO_V1(sh_company_key_sql);
PG_FUNCTION_INFO_V1(sh_name_similarity_sql);

/* Sorted, for bsearch. */
static const char *const free_domains[] = {
	"126.com",		  "139.com",		"163.com",		"aim.com",		  "aliyun.com",
	"aol.com",		  "arcor.de",		"att.net",		"bigpond.com",	  "bk.ru",
	"bluewin.ch",	  "btinternet.com", "centrum.cz",	"comcast.net",	  "cox.net",
	"duck.com",		  "email.cz",		"fastmail.com", "fastmail.fm",	  "foxmail.com",
	"free.fr",		  "freenet.de",		"gmail.com",	"gmx.at",		  "gmx.ch",
	"gmx.com",		  "gmx.de",			"gmx.net",		"googlemail.com", "hey.com",
	"hotmail.co.uk",  "hotmail.com",	"hotmail.de",	"hotmail.es",	  "hotmail.fr",
	"hotmail.it",	  "hushmail.com",	"icloud.com",	"inbox.ru",		  "interia.pl",
	"laposte.net",	  "libero.it",		"list.ru",		"live.co.uk",	  "live.com",
	"live.de",		  "live.fr",		"live.nl",		"mac.com",		  "mail.com",
	"mail.ru",		  "mailbox.org",	"me.com",		"msn.com",		  "naver.com",
	"o2.pl",		  "online.de",		"onet.pl",		"orange.fr",	  "outlook.com",
	"outlook.de",	  "outlook.fr",		"pm.me",		"posteo.de",	  "proton.me",
	"protonmail.com", "qq.com",			"rambler.ru",	"rediffmail.com", "sbcglobal.net",
	"seznam.cz",	  "sfr.fr",			"sina.com",		"sky.com",		  "t-online.de",
	"telenet.be",	  "tutanota.com",	"uol.com.br",	"verizon.net",	  "virgilio.it",
	"wanadoo.fr",	  "web.de",			"wp.pl",		"yahoo.ca",		  "yahoo.co.in",
	"yahoo.co.jp",	  "yahoo.co.uk",	"yahoo.com",	"yahoo.com.au",	  "yahoo.com.br",
	"yahoo.de",		  "yahoo.es",		"yahoo.fr",		"yahoo.it",		  "yandex.com",
	"yandex.ru",	  "ymail.com",		"zoho.com",
};

/* Words at the end of a company's name that say its legal form; sorted, for bsearch. */
static const char *const legal_forms[] = {
	"ab",	   "ag",   "and",		  "aps", "as",		"asa", "bv",   "bvba", "co",
	"company", "corp", "corporation", "doo", "ev",		"gbr", "gmbh", "inc",  "incorporated",
	"kft",	   "kg",   "kgaa",		  "kk",	 "limited", "llc", "llp",  "lp",   "ltd",
	"mbh",	   "nv",   "ohg",		  "oy",	 "oyj",		"plc", "pte",  "pty",  "pvt",
	"sa",	   "sarl", "sas",		  "sau", "se",		"sl",  "slu",  "spa",  "spzoo",
	"srl",	   "sro",  "ug",		  "und",
};

static int
compare_words(const void *key, const void *element)
{
	return strcmp(key, *(const char *const *) element);
}

static bool
is_word_of(const char *word, const char *const *list, size_t count)
{
	return bsearch(word, list, count, sizeof(*list), compare_words) != NULL;
}

bool
sh_domain_is_free(const char *domain, int len)
{
	char name[64];

	if (len >= (int) sizeof(name))
		return false;
	memcpy(name, domain, len);
	name[len] = '\0';
	return is_word_of(name, free_domains, lengthof(free_domains));
}

/* Append the words of a name: dots and apostrophes vanish, other punctuation parts words. */
static List *
words_of(char *name)
{
	List *words = NIL;
	char *to = name;
	char *start = name;

	for (char *p = name;; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c == '.' || c == '\'')
			continue;
		if (c != '\0' && (isalnum(c) || IS_HIGHBIT_SET(c)))
		{
			*to++ = *p;
			continue;
		}
		*to = '\0';
		if (to > start)
			words = lappend(words, start);
		start = ++to;
		if (c == '\0')
			return words;
		/* Never behind what is still to be read: every word ends with the byte that ended it. */
	}
}

char *
sh_company_key(const char *name, int len)
{
	struct predicate_text folded = sh_predicate_fold(name, len);
	List *words = words_of(unconstify(char *, folded.data));
	StringInfoData key;
	ListCell *cell;

	while (list_length(words) > 1 && is_word_of(llast(words), legal_forms, lengthof(legal_forms)))
		words = list_delete_last(words);
	initStringInfo(&key);
	foreach (cell, words)
		appendStringInfo(&key, "%s%s", key.len > 0 ? " " : "", (char *) lfirst(cell));
	return key.len > 0 ? key.data : NULL;
}

/* Letters of a that b has within the window; their order is kept in found. */
static int
common_letters(const pg_wchar *a, int na, const pg_wchar *b, int nb, pg_wchar *found)
{
	int window = Max(Max(na, nb) / 2 - 1, 0);
	bool *taken = palloc0(nb + 1);
	int n = 0;

	for (int i = 0; i < na; i++)
		for (int j = Max(0, i - window); j < Min(nb, i + window + 1); j++)
			if (!taken[j] && a[i] == b[j])
			{
				taken[j] = true;
				found[n++] = a[i];
				break;
			}
	pfree(taken);
	return n;
}

static double
jaro_winkler(const pg_wchar *a, int na, const pg_wchar *b, int nb)
{
	pg_wchar *in_a = palloc((na + 1) * sizeof(pg_wchar));
	pg_wchar *in_b = palloc((nb + 1) * sizeof(pg_wchar));
	int m = common_letters(a, na, b, nb, in_a);
	int moved = 0;
	int prefix = 0;
	double jaro;

	(void) common_letters(b, nb, a, na, in_b);
	if (m == 0)
		return 0;
	for (int i = 0; i < m; i++)
		moved += in_a[i] != in_b[i];
	while (prefix < 4 && prefix < na && prefix < nb && a[prefix] == b[prefix])
		prefix++;
	jaro = ((double) m / na + (double) m / nb + (m - moved / 2.0) / m) / 3;
	return jaro + prefix * 0.1 * (1 - jaro);
}

double
sh_name_similarity(const char *a, const char *b)
{
	struct predicate_text fa = sh_predicate_fold(a, strlen(a));
	struct predicate_text fb = sh_predicate_fold(b, strlen(b));
	pg_wchar *wa = palloc((fa.len + 1) * sizeof(pg_wchar));
	pg_wchar *wb = palloc((fb.len + 1) * sizeof(pg_wchar));
	int na = pg_mb2wchar_with_len(fa.data, wa, fa.len);
	int nb = pg_mb2wchar_with_len(fb.data, wb, fb.len);

	return na == 0 || nb == 0 ? 0 : jaro_winkler(wa, na, wb, nb);
}

/* saleshub.domain_is_free(text) returns boolean */
Datum
sh_domain_is_free_sql(PG_FUNCTION_ARGS)
{
	text *domain = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(sh_domain_is_free(VARDATA_ANY(domain), VARSIZE_ANY_EXHDR(domain)));
}

/* saleshub.company_key(text) returns text */
Datum
sh_company_key_sql(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);
	char *key = sh_company_key(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));

	if (!key)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(key));
}

/* saleshub.name_similarity(text, text) returns double precision */
Datum
sh_name_similarity_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sh_name_similarity(text_to_cstring(PG_GETARG_TEXT_PP(0)),
										text_to_cstring(PG_GETARG_TEXT_PP(1))));
}
