/* Recurrence rules as text: FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR. */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "recurrence.h"

#define MAX_TEXT 1000
#define MAX_INTERVAL 1000
#define MAX_COUNT 10000

enum part
{
	PART_FREQ,
	PART_INTERVAL,
	PART_COUNT,
	PART_UNTIL,
	PART_BYMONTH,
	PART_BYMONTHDAY,
	PART_BYDAY,
	PART_BYSETPOS,
	PART_WKST,
	PARTS
};

static const char *const part_names[PARTS] = { "FREQ",	"INTERVAL", "COUNT",
											   "UNTIL", "BYMONTH",	"BYMONTHDAY",
											   "BYDAY", "BYSETPOS", "WKST" };
static const char *const other_parts[] = {
	"BYSECOND", "BYMINUTE", "BYHOUR", "BYYEARDAY", "BYWEEKNO"
};
static const char *const freqs[] = { "DAILY", "WEEKLY", "MONTHLY", "YEARLY" };
static const char *const weekdays[] = { "SU", "MO", "TU", "WE", "TH", "FR", "SA" };

static int
index_of(const char *text, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return -1;
}

static bool
read_digits(const char *text, size_t len, int *out)
{
	*out = 0;
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		*out = *out * 10 + text[i] - '0';
	}
	return true;
}

/* A whole number of at most five digits, with a sign where that is allowed. */
static bool
read_number(const char *text, bool sign, int *out)
{
	const char *digits = text + (sign && (*text == '-' || *text == '+'));
	size_t len = strlen(digits);

	if (len < 1 || len > 5 || !read_digits(digits, len, out))
		return false;
	if (*text == '-')
		*out = -*out;
	return true;
}

static char *
read_range(const char *name, const char *text, int most, int *out)
{
	if (!read_number(text, false, out) || *out < 1 || *out > most)
		return psprintf("%s must be a number from 1 to %d", name, most);
	return NULL;
}

static bool
read_date(const char *text, int64 *days)
{
	int year, month, day;

	if (!read_digits(text, 4, &year) || !read_digits(text + 4, 2, &month) ||
		!read_digits(text + 6, 2, &day))
		return false;
	if (year < 1900 || month < 1 || month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
		return false;
	*days = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

static bool
read_time(const char *text, int64 *seconds)
{
	int hour, minute, second;

	if (*text != 'T' || !read_digits(text + 1, 2, &hour) || !read_digits(text + 3, 2, &minute) ||
		!read_digits(text + 5, 2, &second) || hour > 23 || minute > 59 || second > 59)
		return false;
	*seconds = (hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE + second;
	return true;
}

/* 20261231, 20261231T235959 or 20261231T235959Z; a date ends with its last microsecond. */
static char *
read_until(const char *text, struct recurrence *rule)
{
	size_t len = strlen(text);
	int64 days = 0;
	int64 seconds = SECS_PER_DAY;

	if ((len != 8 && len != 15 && !(len == 16 && text[15] == 'Z')) || !read_date(text, &days) ||
		(len > 8 && !read_time(text + 8, &seconds)))
		return pstrdup("UNTIL must be like 20261231, 20261231T235959 or 20261231T235959Z");
	rule->until_date = len == 8;
	rule->until_kind = len == 16 ? RECUR_UNTIL_INSTANT : RECUR_UNTIL_WALL;
	rule->until = days * USECS_PER_DAY + seconds * USECS_PER_SEC - rule->until_date;
	return NULL;
}

static int
number_order(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

static int
weekday_order(const void *a, const void *b)
{
	const struct recurrence_weekday *x = a;
	const struct recurrence_weekday *y = b;

	/* Monday first, as people write them */
	return x->nth != y->nth ? x->nth - y->nth : (x->wday + 6) % 7 - (y->wday + 6) % 7;
}

/* A comma list of numbers from -most to -1 and from 1 to most, sorted, each once. */
static char *
read_numbers(const char *name, char *text, bool negative, int most, int *out, int *n)
{
	char *item;
	int kept = 0;

	*n = 0;
	while ((item = strsep(&text, ",")))
	{
		int value;

		if (!read_number(item, negative, &value) || value == 0 || abs(value) > most)
			return psprintf("%s must be numbers from 1 to %d%s",
							name,
							most,
							negative ? ", or negative ones from the end" : "");
		if (*n == RECUR_MAX_BY)
			return psprintf("%s has more than %d entries", name, RECUR_MAX_BY);
		out[(*n)++] = value;
	}
	qsort(out, *n, sizeof(int), number_order);
	for (int i = 0; i < *n; i++)
		if (i == 0 || out[i] != out[kept - 1])
			out[kept++] = out[i];
	*n = kept;
	return NULL;
}

static char *
read_months(char *text, struct recurrence *rule)
{
	int month[RECUR_MAX_BY];
	int n;
	char *fault = read_numbers("BYMONTH", text, false, 12, month, &n);

	for (int i = 0; !fault && i < n; i++)
		rule->months |= 1u << month[i];
	return fault;
}

static char *
read_weekdays(char *text, struct recurrence *rule)
{
	char *item;
	int n = 0;

	while ((item = strsep(&text, ",")))
	{
		size_t len = strlen(item);
		struct recurrence_weekday *day = &rule->weekday[n];

		if (n == RECUR_MAX_BY)
			return psprintf("BYDAY has more than %d entries", RECUR_MAX_BY);
		day->nth = 0;
		day->wday = len < 2 ? -1 : index_of(item + len - 2, weekdays, 7);
		if (day->wday >= 0 && len > 2)
		{
			item[len - 2] = '\0';
			if (!read_number(item, true, &day->nth) || day->nth == 0 || abs(day->nth) > 53)
				day->wday = -1;
		}
		if (day->wday < 0)
			return pstrdup("BYDAY must be days like MO, 2TU (the second) or -1FR (the last)");
		n++;
	}
	qsort(rule->weekday, n, sizeof(rule->weekday[0]), weekday_order);
	for (int i = 0; i < n; i++)
		if (i == 0 || weekday_order(&rule->weekday[i], &rule->weekday[i - 1]) != 0)
			rule->weekday[rule->weekdays++] = rule->weekday[i];
	return NULL;
}

static char *
read_part(enum part part, char *value, struct recurrence *rule)
{
	int found;

	switch (part)
	{
		case PART_FREQ:
			found = index_of(value, freqs, lengthof(freqs));
			if (found < 0)
				return pstrdup("FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY");
			rule->freq = found;
			return NULL;
		case PART_INTERVAL:
			return read_range("INTERVAL", value, MAX_INTERVAL, &rule->interval);
		case PART_COUNT:
			return read_range("COUNT", value, MAX_COUNT, &rule->count);
		case PART_UNTIL:
			return read_until(value, rule);
		case PART_BYMONTH:
			return read_months(value, rule);
		case PART_BYMONTHDAY:
			return read_numbers("BYMONTHDAY", value, true, 31, rule->monthday, &rule->monthdays);
		case PART_BYDAY:
			return read_weekdays(value, rule);
		case PART_BYSETPOS:
			return read_numbers("BYSETPOS", value, true, 366, rule->position, &rule->positions);
		default:
			rule->week_start = index_of(value, weekdays, 7);
			return rule->week_start < 0 ? pstrdup("WKST must be a day like MO") : NULL;
	}
}

/* What each part allows by itself, but not together. */
static char *
combination_fault(const struct recurrence *rule, const bool *seen)
{
	bool numbered = false;

	for (int i = 0; i < rule->weekdays; i++)
		numbered |= rule->weekday[i].nth != 0;
	if (!seen[PART_FREQ])
		return pstrdup("FREQ is missing");
	if (seen[PART_COUNT] && seen[PART_UNTIL])
		return pstrdup("COUNT and UNTIL exclude each other");
	if (numbered && rule->freq != RECUR_MONTHLY && rule->freq != RECUR_YEARLY)
		return pstrdup("BYDAY with a number needs FREQ=MONTHLY or FREQ=YEARLY");
	if (rule->monthdays && rule->freq == RECUR_WEEKLY)
		return pstrdup("BYMONTHDAY does not go with FREQ=WEEKLY");
	if (rule->positions && !rule->weekdays && !rule->monthdays && !rule->months)
		return pstrdup("BYSETPOS needs another BY part");
	return NULL;
}

char *
sh_recurrence_read(const char *text, struct recurrence *rule)
{
	char *rest;
	char *item;
	bool seen[PARTS] = { false };

	memset(rule, 0, sizeof(*rule));
	rule->interval = 1;
	rule->week_start = 1;
	if (strlen(text) > MAX_TEXT)
		return psprintf("a rule has at most %d characters", MAX_TEXT);
	rest = pstrdup(text);
	for (char *c = rest; *c; c++)
		*c = pg_ascii_toupper((unsigned char) *c);
	if (strncmp(rest, "RRULE:", 6) == 0)
		rest += 6;
	while ((item = strsep(&rest, ";")))
	{
		char *value = strchr(item, '=');
		int part;
		char *fault;

		if (!value)
			return psprintf("\"%s\" is not NAME=value", item);
		*value++ = '\0';
		part = index_of(item, part_names, PARTS);
		if (part < 0)
			return psprintf(index_of(item, other_parts, lengthof(other_parts)) < 0 ?
								"%s is no part of a rule" :
								"%s is not supported",
							item);
		if (seen[part])
			return psprintf("%s is given twice", item);
		seen[part] = true;
		fault = read_part(part, value, rule);
		if (fault)
			return fault;
	}
	return combination_fault(rule, seen);
}

static void
write_numbers(StringInfo out, const char *name, const int *numbers, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(out, "%s%s%d", i ? "," : name, i ? "" : "=", numbers[i]);
}

static void
write_until(StringInfo out, const struct recurrence *rule)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (rule->until_kind == RECUR_NO_UNTIL ||
		timestamp2tm(rule->until, NULL, &tm, &fsec, NULL, NULL) != 0)
		return;
	appendStringInfo(out, ";UNTIL=%04d%02d%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
	if (!rule->until_date)
		appendStringInfo(out,
						 "T%02d%02d%02d%s",
						 tm.tm_hour,
						 tm.tm_min,
						 tm.tm_sec,
						 rule->until_kind == RECUR_UNTIL_INSTANT ? "Z" : "");
}

char *
sh_recurrence_write(const struct recurrence *rule)
{
	StringInfoData out;
	int months[12];
	int n = 0;

	initStringInfo(&out);
	appendStringInfo(&out, "FREQ=%s", freqs[rule->freq]);
	if (rule->interval != 1)
		appendStringInfo(&out, ";INTERVAL=%d", rule->interval);
	if (rule->count)
		appendStringInfo(&out, ";COUNT=%d", rule->count);
	write_until(&out, rule);
	for (int month = 1; month <= 12; month++)
		if (rule->months & (1u << month))
			months[n++] = month;
	write_numbers(&out, ";BYMONTH", months, n);
	write_numbers(&out, ";BYMONTHDAY", rule->monthday, rule->monthdays);
	for (int i = 0; i < rule->weekdays; i++)
	{
		appendStringInfoString(&out, i ? "," : ";BYDAY=");
		if (rule->weekday[i].nth)
			appendStringInfo(&out, "%d", rule->weekday[i].nth);
		appendStringInfoString(&out, weekdays[rule->weekday[i].wday]);
	}
	write_numbers(&out, ";BYSETPOS", rule->position, rule->positions);
	if (rule->week_start != 1)
		appendStringInfo(&out, ";WKST=%s", weekdays[rule->week_start]);
	return out.data;
}
