/*
 * Recurrence rules of RFC 5545: reading them, and the days they fall on by the clock on the wall.
 * The arithmetic is our own because a library would bring a second database of time zones, beside
 * the one all other times here are computed with, and loops that cannot be interrupted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "recurrence.h"
#include "saleshub.h"

#define MAX_WANTED 1000
#define LAST_YEAR 9999

/* A day and what rules ask about it. */
struct day
{
	int julian, year, month, mday, wday, in_month;
};

static void
day_of(int julian, struct day *out)
{
	out->julian = julian;
	j2date(julian, &out->year, &out->month, &out->mday);
	out->wday = j2day(julian);
	out->in_month = day_tab[isleap(out->year)][out->month - 1];
}

/* Whether the day is the nth of its weekday in a span, counted from the end when n < 0. */
static bool
is_nth(int n, int place, int length)
{
	return n > 0 ? (place - 1) / 7 + 1 == n : (length - place) / 7 + 1 == -n;
}

static bool
weekday_fits(const struct recurrence *rule, const struct day *day)
{
	bool by_month = rule->freq == RECUR_MONTHLY || rule->months != 0;
	int new_year = date2j(day->year, 1, 1);
	int place = by_month ? day->mday : day->julian - new_year + 1;
	int length = by_month ? day->in_month : date2j(day->year + 1, 1, 1) - new_year;

	for (int i = 0; i < rule->weekdays; i++)
	{
		const struct recurrence_weekday *wanted = &rule->weekday[i];

		if (wanted->wday == day->wday && (wanted->nth == 0 || is_nth(wanted->nth, place, length)))
			return true;
	}
	return false;
}

static bool
monthday_fits(const struct recurrence *rule, const struct day *day)
{
	for (int i = 0; i < rule->monthdays; i++)
		if (rule->monthday[i] == day->mday || rule->monthday[i] == day->mday - day->in_month - 1)
			return true;
	return false;
}

/* What a rule does not say, the first occurrence does. */
static bool
fits(const struct recurrence *rule, const struct day *first, const struct day *day)
{
	if (rule->months && !(rule->months & (1 << day->month)))
		return false;
	if (rule->monthdays && !monthday_fits(rule, day))
		return false;
	if (rule->weekdays)
		return weekday_fits(rule, day);
	if (rule->monthdays)
		return true;
	switch (rule->freq)
	{
		case RECUR_WEEKLY:
			return day->wday == first->wday;
		case RECUR_MONTHLY:
			return day->mday == first->mday;
		case RECUR_YEARLY:
			return day->mday == first->mday && (rule->months || day->month == first->month);
		default:
			return true;
	}
}

/* The first day of the kth period and, as the result, how many it has; 0 past the calendar. */
static int
period(const struct recurrence *rule, const struct day *first, int64 k, int *begin)
{
	int64 step = k * rule->interval;
	int64 months;

	if (step > (int64) LAST_YEAR * 366)
		return 0;
	switch (rule->freq)
	{
		case RECUR_DAILY:
			*begin = first->julian + (int) step;
			return 1;
		case RECUR_WEEKLY:
			*begin = first->julian - (first->wday - rule->week_start + 7) % 7 + (int) step * 7;
			return 7;
		case RECUR_MONTHLY:
			months = (int64) first->year * 12 + first->month - 1 + step;
			if (months / 12 > LAST_YEAR)
				return 0;
			*begin = date2j((int) (months / 12), (int) (months % 12) + 1, 1);
			return day_tab[isleap((int) (months / 12))][months % 12];
		default:
			if (first->year + step > LAST_YEAR)
				return 0;
			*begin = date2j(first->year + (int) step, 1, 1);
			return date2j(first->year + (int) step + 1, 1, 1) - *begin;
	}
}

/* Whether the ith of n days of a period is meant. */
static bool
position_fits(const struct recurrence *rule, int i, int n)
{
	if (rule->positions == 0)
		return true;
	for (int p = 0; p < rule->positions; p++)
		if (rule->position[p] == i + 1 || rule->position[p] == i - n)
			return true;
	return false;
}

/* The days of the kth period, in order; -1 past the calendar. */
static int
period_days(const struct recurrence *rule, const struct day *first, int64 k, int *days)
{
	int begin;
	int length = period(rule, first, k, &begin);
	int found = 0;
	int kept = 0;
	struct day day;

	if (length == 0 || begin > date2j(LAST_YEAR, 12, 31))
		return -1;
	for (int i = 0; i < length; i++)
	{
		day_of(begin + i, &day);
		if (fits(rule, first, &day))
			days[found++] = begin + i;
	}
	for (int i = 0; i < found; i++)
		if (position_fits(rule, i, found))
			days[kept++] = days[i];
	return kept;
}

/* --- the clock on the wall --- */

static Timestamp
wall_of(TimestampTz at, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;
	int offset;
	Timestamp wall;

	if (timestamp2tm(at, &offset, &tm, &fsec, NULL, zone) != 0 ||
		tm2timestamp(&tm, fsec, NULL, &wall) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return wall;
}

static TimestampTz
instant_by(Timestamp wall, Timestamp as_on, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(as_on, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return wall + (int64) DetermineTimeZoneOffset(&tm, zone) * USECS_PER_SEC;
}

/*
 * When the clock shows this time: the first of two times in autumn, and an hour later for a time
 * that is left out in spring.
 */
static TimestampTz
instant_of(Timestamp wall, pg_tz *zone)
{
	TimestampTz usual = instant_by(wall, wall, zone);
	TimestampTz before = instant_by(wall, wall - USECS_PER_DAY, zone);

	return before < usual && wall_of(before, zone) == wall ? before : usual;
}

static bool
past_end(const struct recurrence *rule, Timestamp wall, TimestampTz at)
{
	switch (rule->until_kind)
	{
		case RECUR_UNTIL_WALL:
			return wall > rule->until;
		case RECUR_UNTIL_INSTANT:
			return at > rule->until;
		default:
			return false;
	}
}

struct walk
{
	const struct recurrence *rule;
	pg_tz *zone;
	TimestampTz start;
	TimestampTz after; /* occurrences up to here are counted, not wanted */
	bool all;		   /* after does not count */
	int wanted, found, count;
	Datum *at;
};

/* Takes an occurrence; false when there are no more. */
static bool
take(struct walk *walk, Timestamp wall, TimestampTz at)
{
	if (past_end(walk->rule, wall, at) || !IS_VALID_TIMESTAMP(at))
		return false;
	if (walk->rule->count && walk->count >= walk->rule->count)
		return false;
	walk->count++;
	if (walk->all || at > walk->after)
		walk->at[walk->found++] = TimestampTzGetDatum(at);
	return walk->found < walk->wanted;
}

/* The first occurrence is one whatever the rule says of its day, and COUNT counts it. */
static void
walk_on(struct walk *walk)
{
	Timestamp start = wall_of(walk->start, walk->zone);
	int64 date = start / USECS_PER_DAY - (start % USECS_PER_DAY < 0);
	int64 time = start - date * USECS_PER_DAY;
	struct day first;
	int days[366];

	day_of((int) date + POSTGRES_EPOCH_JDATE, &first);
	if (!take(walk, start, walk->start))
		return;
	for (int64 k = 0;; k++)
	{
		int n = period_days(walk->rule, &first, k, days);

		CHECK_FOR_INTERRUPTS();
		if (n < 0)
			return;
		for (int i = 0; i < n; i++)
		{
			Timestamp wall = (int64) (days[i] - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY + time;

			if (days[i] > first.julian && !take(walk, wall, instant_of(wall, walk->zone)))
				return;
		}
	}
}

/* --- from SQL --- */

static pg_tz *
zone_of(const char *name)
{
	pg_tz *zone = pg_tzset(name);

	if (!zone)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name)));
	return zone;
}

/* recurrence_parse(rule text, OUT rule text, OUT fault text) */
PG_FUNCTION_INFO_V1(sh_recurrence_parse);
Datum
sh_recurrence_parse(PG_FUNCTION_ARGS)
{
	struct recurrence rule;
	char *fault = sh_recurrence_read(text_to_cstring(PG_GETARG_TEXT_PP(0)), &rule);
	TupleDesc desc;
	Datum values[2] = { 0, 0 };
	bool nulls[2] = { fault != NULL, fault == NULL };

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (fault)
		values[1] = CStringGetTextDatum(fault);
	else
		values[0] = CStringGetTextDatum(sh_recurrence_write(&rule));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* recurrence_walk(rule text, start timestamptz, zone text, after timestamptz, most integer) */
PG_FUNCTION_INFO_V1(sh_recurrence_walk);
Datum
sh_recurrence_walk(PG_FUNCTION_ARGS)
{
	struct recurrence rule;
	struct walk walk = { .rule = &rule };
	char *fault;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(4))
		PG_RETURN_NULL();
	fault = sh_recurrence_read(text_to_cstring(PG_GETARG_TEXT_PP(0)), &rule);
	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid recurrence rule: %s", fault)));
	walk.start = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(walk.start))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a series cannot start at infinity")));
	walk.zone = zone_of(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	walk.all = PG_ARGISNULL(3);
	walk.after = walk.all ? 0 : PG_GETARG_TIMESTAMPTZ(3);
	walk.wanted = PG_GETARG_INT32(4);
	if (walk.wanted < 1 || walk.wanted > MAX_WANTED)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("between 1 and %d occurrences can be asked for", MAX_WANTED)));
	walk.at = palloc(walk.wanted * sizeof(Datum));
	walk_on(&walk);
	PG_RETURN_ARRAYTYPE_P(construct_array(walk.at,
										  walk.found,
										  TIMESTAMPTZOID,
										  sizeof(TimestampTz),
										  FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
}
