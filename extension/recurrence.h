/* A recurrence rule (RFC 5545, the parts that whole days need), read and written as text. */
#pragma once

#include "datatype/timestamp.h"

#define RECUR_MAX_BY 64

enum recurrence_freq
{
	RECUR_DAILY,
	RECUR_WEEKLY,
	RECUR_MONTHLY,
	RECUR_YEARLY
};

enum recurrence_until
{
	RECUR_NO_UNTIL,
	RECUR_UNTIL_WALL, /* inclusive, by the clock on the wall */
	RECUR_UNTIL_INSTANT
};

struct recurrence_weekday
{
	int nth;  /* 0: every; negative: from the end */
	int wday; /* 0 Sunday … 6 Saturday */
};

struct recurrence
{
	enum recurrence_freq freq;
	int interval;
	int count; /* 0: no limit */
	enum recurrence_until until_kind;
	bool until_date; /* UNTIL was a date: until is its last microsecond */
	int64 until;
	int week_start;
	int weekdays, monthdays, positions;
	struct recurrence_weekday weekday[RECUR_MAX_BY];
	int monthday[RECUR_MAX_BY];
	int position[RECUR_MAX_BY];
	unsigned months; /* bit 1 January … bit 12 December; 0: all */
};

/* Reads a rule; the fault as a sentence's end ("has …"), or NULL. */
extern char *sh_recurrence_read(const char *text, struct recurrence *rule);
/* The rule in one form: parts in the order of RFC 5545, defaults left out. */
extern char *sh_recurrence_write(const struct recurrence *rule);
