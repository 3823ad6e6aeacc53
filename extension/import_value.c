/* Numbers, dates and truth values as people write them in tables, in the ways of many countries. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/datetime.h"

#include "import.h"

/* Digits of a number before and after its point. */
#define DIGITS 40

/* --- numbers --- */

/* A number taken apart: its digits, and where separators stood among them. */
struct figures
{
	bool negative;
	char digit[DIGITS + 1];
	int digits;
	char mark[DIGITS]; /* kinds of the separators in order: '.', ',' or ' ' */
	int place[DIGITS]; /* digits before each */
	int marks;
	int points;
	int commas;
};

/* A space or apostrophe that parts thousands: its bytes, 0 when there is none at p. */
static int
thin_mark(const char *p, const char *end)
{
	static const char *const marks[] = { " ", "'", "\xC2\xA0", "\xE2\x80\xAF", "\xE2\x80\x99" };

	for (int i = 0; i < (int) lengthof(marks); i++)
	{
		int len = (int) strlen(marks[i]);

		if (end - p >= len && memcmp(p, marks[i], len) == 0)
			return len;
	}
	return 0;
}

static bool
add_mark(struct figures *f, char mark)
{
	if (f->marks == DIGITS || f->digits == 0)
		return f->marks < DIGITS && mark == '.'; /* ".5" */
	f->mark[f->marks] = mark;
	f->place[f->marks++] = f->digits;
	f->points += mark == '.';
	f->commas += mark == ',';
	return true;
}

/* Sign in front or behind, or parentheses as accountants do. */
static void
take_sign(struct figures *f, const char **start, const char **end)
{
	if (*start < *end && (**start == '-' || **start == '+'))
		f->negative = *(*start)++ == '-';
	else if (*end - *start > 2 && **start == '(' && (*end)[-1] == ')')
	{
		f->negative = true;
		++*start;
		--*end;
	}
	else if (*end - *start > 1 && (*end)[-1] == '-')
	{
		f->negative = true;
		--*end;
	}
	while (*start < *end && **start == ' ')
		++*start;
}

static bool
take_figures(struct figures *f, const char *p, const char *end)
{
	memset(f, 0, sizeof(*f));
	take_sign(f, &p, &end);
	if (p < end && (*p == '.' || *p == ',') && end - p > 1)
		f->digit[f->digits++] = '0';
	while (p < end)
	{
		int thin = thin_mark(p, end);

		if (*p >= '0' && *p <= '9')
		{
			if (f->digits == DIGITS)
				return false;
			f->digit[f->digits++] = *p++;
		}
		else if (*p == '.' || *p == ',')
		{
			if (!add_mark(f, *p++))
				return false;
		}
		else if (thin)
		{
			if (!add_mark(f, ' '))
				return false;
			p += thin;
		}
		else
			return false;
	}
	return f->digits > 0;
}

/* Digits from this separator to the next, or to the end. */
static int
after_mark(const struct figures *f, int i)
{
	return (i + 1 < f->marks ? f->place[i + 1] : f->digits) - f->place[i];
}

/* Which separator is the decimal one by the value alone: '.', ',', '?' for either, NUL for none. */
static char
decimal_of(const struct figures *f)
{
	char last = f->marks ? f->mark[f->marks - 1] : '\0';

	if (f->points + f->commas == 0)
		return '\0';
	if (f->points && f->commas)
		return last;
	if (f->points + f->commas > 1)
		return f->points ? ',' : '.';
	/* one separator */
	if (last == ' ')
		return '\0';
	if (after_mark(f, f->marks - 1) != 3 || f->marks > 1 || f->place[0] > 3 || f->digit[0] == '0')
		return last;
	return '?';
}

/* Thousands come in threes (or, in India, twos); the decimal separator comes once and last. */
static bool
well_parted(const struct figures *f, char decimal)
{
	for (int i = 0; i < f->marks; i++)
	{
		int digits = after_mark(f, i);

		if (f->mark[i] == decimal)
		{
			if (i != f->marks - 1)
				return false;
		}
		else if (digits != 3 && !(digits == 2 && i + 1 < f->marks && f->mark[i + 1] != decimal))
			return false;
	}
	return true;
}

const char *
sh_import_number(const char *text, int len, char decimal, char **out)
{
	struct figures f;
	StringInfoData number;
	int whole;

	if (!take_figures(&f, text, text + len))
		return "not_a_number";
	if (!decimal)
	{
		decimal = decimal_of(&f);
		if (decimal == '?')
			return "ambiguous_number";
	}
	if (!well_parted(&f, decimal))
		return "not_a_number";
	whole = f.marks && f.mark[f.marks - 1] == decimal ? f.place[f.marks - 1] : f.digits;
	initStringInfo(&number);
	if (f.negative)
		appendStringInfoChar(&number, '-');
	appendBinaryStringInfo(&number, f.digit, whole);
	if (whole < f.digits)
	{
		appendStringInfoChar(&number, '.');
		appendBinaryStringInfo(&number, f.digit + whole, f.digits - whole);
	}
	*out = number.data;
	return NULL;
}

/* A currency in front of or behind an amount: its code, and the text without it. */
static char *
take_currency(const char **start, const char **end)
{
	static const struct
	{
		const char *sign;
		const char *code;
	} signs[] = { { "US$", "USD" },			 { "$", "USD" },		 { "\xE2\x82\xAC", "EUR" },
				  { "\xC2\xA3", "GBP" },	 { "\xC2\xA5", "JPY" },	 { "\xE2\x82\xB9", "INR" },
				  { "\xE2\x82\xBA", "TRY" }, { "z\xC5\x82", "PLN" }, { "Fr.", "CHF" } };
	char *code = NULL;

	for (int i = 0; i < (int) lengthof(signs) && !code; i++)
	{
		int len = (int) strlen(signs[i].sign);

		if (*end - *start <= len)
			continue;
		if (memcmp(*start, signs[i].sign, len) == 0)
			*start += len;
		else if (memcmp(*end - len, signs[i].sign, len) == 0)
			*end -= len;
		else
			continue;
		code = pstrdup(signs[i].code);
	}
	for (int side = 0; side < 2 && !code && *end - *start > 3; side++)
	{
		const char *word = side ? *end - 3 : *start;

		if (!isalpha((unsigned char) word[0]) || !isalpha((unsigned char) word[1]) ||
			!isalpha((unsigned char) word[2]))
			continue;
		code = pnstrdup(word, 3);
		for (int i = 0; i < 3; i++)
			code[i] = pg_ascii_toupper((unsigned char) code[i]);
		if (side)
			*end -= 3;
		else
			*start += 3;
	}
	while (*start < *end && thin_mark(*start, *end))
		*start += thin_mark(*start, *end);
	while (*end > *start && (*end)[-1] == ' ')
		--*end;
	return code;
}

const char *
sh_import_money(const char *text, int len, char decimal, char **amount, char **currency)
{
	const char *start = text;
	const char *end = text + len;
	bool negative = len > 1 && *text == '-';
	const char *fault;

	if (negative)
		start++;
	*currency = take_currency(&start, &end);
	if (start == end)
		return "not_a_number";
	fault = sh_import_number(start, (int) (end - start), decimal, amount);
	if (!fault && negative)
		*amount = psprintf("-%s", *amount);
	return fault;
}

/* --- dates --- */

struct day
{
	int year;
	int month;
	int day;
	const char *rest; /* behind it */
};

static int
take_digits(const char **p, const char *end, int *digits)
{
	int n = 0;

	for (*digits = 0; *p < end && **p >= '0' && **p <= '9' && *digits < 8; ++*p, ++*digits)
		n = n * 10 + (**p - '0');
	return n;
}

static int
month_named(const char *text, int len)
{
	static const char *const months[] = { "jan", "feb", "mar", "apr", "may", "jun",
										  "jul", "aug", "sep", "oct", "nov", "dec" };

	for (int i = 0; i < 12 && len >= 3; i++)
		if (pg_strncasecmp(text, months[i], 3) == 0)
			return i + 1;
	return 0;
}

/* The three parts of a date as they stand, with the separator; false: no date. */
static bool
take_parts(const char *text, int len, int part[3], int width[3], char *mark, const char **rest)
{
	const char *p = text;
	const char *end = text + len;

	for (int i = 0; i < 3; i++)
	{
		const char *word = p;

		while (p < end && isalpha((unsigned char) *p))
			p++;
		if (p > word)
		{
			part[i] = month_named(word, (int) (p - word));
			width[i] = 0;
			if (!part[i])
				return false;
		}
		else
		{
			part[i] = take_digits(&p, end, &width[i]);
			if (!width[i])
				return false;
		}
		if (i == 0 && width[0] == 8)
		{
			*mark = '\0';
			*rest = p;
			return true;
		}
		if (i == 2)
			break;
		if (p == end || !strchr("-/. ,", *p))
			return false;
		if (i == 0)
			*mark = *p;
		while (p < end && strchr("-/. ,", *p))
			p++;
	}
	*rest = p;
	return true;
}

/* Which of the first two parts is the day when the year is last: 'D', 'M', or '?'. */
static char
order_of(const int part[3], const int width[3], char mark)
{
	if (width[0] == 0)
		return 'M';
	if (width[1] == 0 || part[0] > 12)
		return 'D';
	if (part[1] > 12)
		return 'M';
	if (mark == '.' || part[0] == part[1])
		return 'D';
	return '?';
}

static bool
day_exists(const struct day *d)
{
	return d->year >= 1 && d->year <= 9999 && d->month >= 1 && d->month <= 12 && d->day >= 1 &&
		   d->day <= day_tab[isleap(d->year)][d->month - 1];
}

static const char *
take_day(const char *text, int len, char order, struct day *d)
{
	int part[3];
	int width[3];
	char mark;

	if (!take_parts(text, len, part, width, &mark, &d->rest))
		return "not_a_date";
	if (!mark && width[0] == 8)
	{
		d->year = part[0] / 10000;
		d->month = part[0] / 100 % 100;
		d->day = part[0] % 100;
		return day_exists(d) ? NULL : "not_a_date";
	}
	if (width[0] == 4)
	{
		d->year = part[0];
		d->month = part[1];
		d->day = part[2];
		return day_exists(d) ? NULL : "not_a_date";
	}
	if (width[2] != 4 && width[2] != 2)
		return "not_a_date";
	/* A name, or a day after the 12th, leaves no choice only where none was made. */
	if (width[0] == 0 || width[1] == 0 || !order || order == 'Y')
		order = order_of(part, width, mark);
	if (order == '?')
		return "ambiguous_date";
	d->day = part[order == 'D' ? 0 : 1];
	d->month = part[order == 'D' ? 1 : 0];
	d->year = width[2] == 2 ? part[2] + (part[2] < 70 ? 2000 : 1900) : part[2];
	return day_exists(d) ? NULL : "not_a_date";
}

const char *
sh_import_date(const char *text, int len, char order, char **out)
{
	struct day d;
	const char *fault = take_day(text, len, order, &d);
	const char *end = text + len;

	if (fault)
		return fault;
	/* midnight is no time of day */
	if (end - d.rest >= 6 && (*d.rest == ' ' || *d.rest == 'T') &&
		strspn(d.rest + 1, "0:.Z") >= (size_t) (end - d.rest - 1))
		d.rest = end;
	if (d.rest != end)
		return "not_a_date";
	*out = psprintf("%04d-%02d-%02d", d.year, d.month, d.day);
	return NULL;
}

/* A colon and two digits; false when there is none of it. */
static bool
take_sixtieth(const char **p, const char *end, int *value)
{
	int digits;

	if (*p == end || **p != ':')
		return false;
	++*p;
	*value = take_digits(p, end, &digits);
	return digits == 2 && *value <= 59;
}

/* am or pm, after blanks, makes 24 hours of 12; the place moves only if it is there. */
static void
take_half(const char **place, const char *end, int *hour)
{
	const char *p = *place;

	while (p < end && *p == ' ')
		p++;
	if (end - p < 2 || pg_tolower((unsigned char) p[1]) != 'm' || *hour < 1 || *hour > 12 ||
		!strchr("aApP", *p))
		return;
	*hour = *hour % 12 + (pg_tolower((unsigned char) *p) == 'p' ? 12 : 0);
	*place = p + 2;
}

/* hh:mm, hh:mm:ss, with a fraction, am or pm; false: none of it. */
static bool
take_time(const char **place, const char *end, StringInfo out)
{
	const char *p = *place;
	const char *fraction = NULL;
	int digits;
	int hour = take_digits(&p, end, &digits);
	int minute = 0;
	int second = 0;

	if (!digits || digits > 2 || !take_sixtieth(&p, end, &minute))
		return false;
	if (p < end && *p == ':' && !take_sixtieth(&p, end, &second))
		return false;
	if (p < end && (*p == '.' || *p == ','))
	{
		fraction = ++p;
		(void) take_digits(&p, end, &digits);
		if (!digits)
			return false;
	}
	take_half(&p, end, &hour);
	if (hour > 23)
		return false;
	appendStringInfo(out, " %02d:%02d:%02d", hour, minute, second);
	if (fraction)
		appendStringInfo(out, ".%.*s", (int) strspn(fraction, "0123456789"), fraction);
	*place = p;
	return true;
}

/* Z, +hh, +hhmm or +hh:mm up to the end. */
static bool
zone_ok(const char *p, const char *end)
{
	int digits;
	int hours;
	int minutes = 0;

	if (end - p == 1 && (*p == 'Z' || *p == 'z'))
		return true;
	if (p == end || (*p != '+' && *p != '-'))
		return false;
	p++;
	hours = take_digits(&p, end, &digits);
	if (digits == 4)
	{
		minutes = hours % 100;
		hours /= 100;
	}
	else if (digits != 2)
		return false;
	else if (p < end && *p == ':')
	{
		p++;
		minutes = take_digits(&p, end, &digits);
		if (digits != 2)
			return false;
	}
	return p == end && hours <= 14 && minutes <= 59;
}

const char *
sh_import_timestamp(const char *text, int len, char order, const char *zone, char **out)
{
	struct day d;
	const char *end = text + len;
	const char *fault = take_day(text, len, order, &d);
	StringInfoData stamp;

	if (fault)
		return fault;
	initStringInfo(&stamp);
	appendStringInfo(&stamp, "%04d-%02d-%02d", d.year, d.month, d.day);
	if (d.rest < end)
	{
		if (*d.rest != ' ' && *d.rest != 'T' && *d.rest != 't' && *d.rest != ',')
			return "not_a_date";
		while (d.rest < end && strchr(" Tt,", *d.rest))
			d.rest++;
		if (!take_time(&d.rest, end, &stamp))
			return "not_a_date";
		while (d.rest < end && *d.rest == ' ')
			d.rest++;
	}
	else
		appendStringInfoString(&stamp, " 00:00:00");
	if (d.rest == end)
		appendStringInfo(&stamp, " %s", zone);
	else if (zone_ok(d.rest, end))
		appendBinaryStringInfo(&stamp, d.rest, (int) (end - d.rest));
	else
		return "not_a_date";
	*out = stamp.data;
	return NULL;
}

/* --- the rest --- */

const char *
sh_import_boolean(const char *text, int len, char **out)
{
	static const char *const yes[] = { "1",	 "true", "t",  "yes", "y",	  "on",
									   "ja", "oui",	 "si", "x",	  "wahr", "vrai" };
	static const char *const no[] = { "0",	 "false", "f",	 "no",	   "n",
									  "off", "nein",  "non", "falsch", "faux" };

	for (int i = 0; i < (int) lengthof(yes); i++)
		if (strlen(yes[i]) == (size_t) len && pg_strncasecmp(yes[i], text, len) == 0)
		{
			*out = "true";
			return NULL;
		}
	for (int i = 0; i < (int) lengthof(no); i++)
		if (strlen(no[i]) == (size_t) len && pg_strncasecmp(no[i], text, len) == 0)
		{
			*out = "false";
			return NULL;
		}
	return "not_a_boolean";
}

/* A domain name with at least one dot, as saleshub.domain_ok(). */
static bool
domain_ok(const char *p, int len)
{
	const char *dot = NULL;

	if (len == 0 || len > 253 || *p == '.' || *p == '-')
		return false;
	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) p[i];
		bool edge = i + 1 == len || p[i + 1] == '.';

		if (c <= ' ' || strchr("/:@?#_<>\"',;()[]\\", c))
			return false;
		if (c == '-' && (edge || p[i - 1] == '.'))
			return false;
		if (c == '.')
		{
			if (edge)
				return false;
			dot = p + i;
		}
	}
	return dot && p + len - dot > 2 && !isdigit((unsigned char) dot[1]);
}

bool
sh_import_email_ok(const char *text, int len)
{
	const char *at = memchr(text, '@', len);
	int local = at ? (int) (at - text) : 0;

	if (local < 1 || local > 64 || len > 254 || *text == '.' || at[-1] == '.')
		return false;
	for (int i = 0; i < local; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c <= ' ' || strchr("<>(),;:\"\\[]", c) || (c == '.' && text[i + 1] == '.'))
			return false;
	}
	return domain_ok(at + 1, len - local - 1);
}

/* What a number says about the decimal separator, or that it looks like a date with points. */
static int
number_evidence(const struct figures *f)
{
	if (f->points == 2 && f->marks == 2 && f->place[0] <= 2 && f->digits <= 8 &&
		!well_parted(f, '\0'))
		return EVIDENCE_DATE | EVIDENCE_DAY;
	switch (decimal_of(f))
	{
		case '.':
			return EVIDENCE_NUMBER | EVIDENCE_POINT;
		case ',':
			return EVIDENCE_NUMBER | EVIDENCE_COMMA;
		case '?':
			return EVIDENCE_NUMBER | EVIDENCE_UNSURE;
		default:
			return EVIDENCE_NUMBER;
	}
}

int
sh_import_evidence(const char *text, int len)
{
	struct figures f;
	int part[3];
	int width[3];
	char mark;
	const char *rest;

	if (take_figures(&f, text, text + len))
		return number_evidence(&f);
	if (!take_parts(text, len, part, width, &mark, &rest) || !mark)
		return EVIDENCE_NONE;
	if (width[0] == 4)
		return EVIDENCE_DATE;
	if (width[2] != 2 && width[2] != 4)
		return EVIDENCE_NONE;
	switch (order_of(part, width, mark))
	{
		case 'D':
			/* the same number twice tells nothing */
			return EVIDENCE_DATE | (part[0] == part[1] && mark != '.' ? 0 : EVIDENCE_DAY);
		case 'M':
			return EVIDENCE_DATE | (width[0] == 0 ? 0 : EVIDENCE_MONTH);
		default:
			return EVIDENCE_DATE | EVIDENCE_UNSURE;
	}
}

bool
sh_import_uuid_ok(const char *p, int len)
{
	static const int dashes[] = { 8, 13, 18, 23 };
	int dash = 0;

	if (len != 36)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (dash < 4 && i == dashes[dash])
		{
			if (p[i] != '-')
				return false;
			dash++;
		}
		else if (!isxdigit((unsigned char) p[i]))
			return false;
	}
	return true;
}
