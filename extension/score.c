/*
 * The score of a lead: what it is like (fit, the points of the rules that hold) and what happened
 * (engagement, points per event that halve with every half-life), each group up to its cap, the
 * sum from 0 to the cap of all, with reasons that add up to it.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"
#include "score.h"

#define MILLI 1000
/* No score is meant to get there; keeps sums of int64 apart from overflow. */
#define SUM_MAX 1e15

/* What one rule contributes. */
struct part
{
	double value; /* milli, before caps */
	int64 points; /* milli, after them; the parts of a group add up to its points */
	int events;
	bool *counts; /* which events */
};

/* --- numbers --- */

Numeric
sh_score_numeric(int64 milli)
{
	if (milli % MILLI == 0)
		return int64_to_numeric(milli / MILLI);
	return DatumGetNumeric(DirectFunctionCall1(
		numeric_trim_scale, NumericGetDatum(int64_div_fast_to_numeric(milli, 3))));
}

int64
sh_score_milli(Numeric points)
{
	Datum milli = DirectFunctionCall2(
		numeric_mul, NumericGetDatum(points), NumericGetDatum(int64_to_numeric(MILLI)));

	return DatumGetInt64(DirectFunctionCall1(numeric_int8, milli));
}

void
sh_score_push(JsonbParseState **state, const char *key, int64 milli)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = sh_score_numeric(milli);
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

/* Whole half-lives since 2000 and the part of the next one that has passed, 0 to 1. */
static int64
half_lives(TimestampTz at, int64 half_life, double *rest)
{
	int64 length = half_life * USECS_PER_HOUR;
	int64 whole = at / length;
	int64 over = at % length;

	if (over < 0)
	{
		over += length;
		whole--;
	}
	*rest = (double) over / (double) length;
	return whole;
}

/* value * 2^shift; a shift out of reach gives 0 or the largest number. */
static double
scale(double value, int64 shift)
{
	double out = ldexp(value, (int) Min(Max(shift, -5000), 5000));

	return isinf(out) ? copysign(DBL_MAX, value) : out;
}

double
sh_score_points_at(double value, int64 reference, int64 half_life, TimestampTz at)
{
	double rest;
	int64 whole;

	if (half_life == 0)
		return value;
	whole = half_lives(at, half_life, &rest);
	return scale(value / exp2(rest), reference - whole);
}

static int64
epoch_of(const struct score_rules *rules, int64 half_life)
{
	for (int i = 0; i < rules->epoch_count; i++)
		if (rules->epochs[i].half_life == half_life)
			return rules->epochs[i].epoch;
	return 0;
}

double
sh_score_stored(const struct score_rules *rules, const struct score_amount *amount)
{
	if (amount->half_life == 0)
		return amount->value;
	return scale(amount->value, amount->reference - epoch_of(rules, amount->half_life));
}

/* --- events --- */

static void
event_row(const struct score_event *event, struct predicate_row *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < SCORE_EVENT_FIELDS; i++)
	{
		out->values[FIELD_LEAD_COUNT + i] = event->values[i];
		out->nulls[FIELD_LEAD_COUNT + i] = event->nulls[i];
	}
	out->custom_null = true;
}

/* Which window an event falls into; windows are counted from 2000 on. */
static int64
window_of(const struct score_rule *rule, const struct score_event *event)
{
	double rest;

	return rule->window > 0 ? half_lives(event->at, rule->window, &rest) : 0;
}

/* Of each window the latest max_n events that the rule holds for. */
static void
choose_events(const struct score_rule *rule, const struct score_events *events, struct part *part)
{
	int64 window = 0;
	int inside = 0;

	part->counts = palloc0(Max(events->count, 1) * sizeof(*part->counts));
	for (int i = events->count - 1; i >= 0; i--)
	{
		struct predicate_row row;
		int64 at = window_of(rule, &events->events[i]);

		event_row(&events->events[i], &row);
		if (!sh_predicate_true(rule->predicate, &row))
			continue;
		inside = part->events > 0 && at == window ? inside + 1 : 1;
		window = at;
		part->events++;
		part->counts[i] = rule->max_n == 0 || inside <= rule->max_n;
	}
}

static struct score_amount *
amount_of(struct score *out, const struct score_rule *rule)
{
	struct score_amount *amount;
	int n = 0;

	while (n < out->amount_count &&
		   (out->amounts[n].group != rule->group || out->amounts[n].half_life != rule->half_life))
		n++;
	amount = &out->amounts[n];
	if (n < out->amount_count)
		return amount;
	out->amount_count++;
	amount->group = rule->group;
	amount->half_life = rule->half_life;
	amount->value = 0;
	amount->reference = PG_INT64_MIN;
	return amount;
}

/* The points of a rule's events, as value * 2^reference. */
static double
sum_events(const struct score_rule *rule, const struct score_events *events,
		   const struct part *part, int64 reference)
{
	double sum = 0;

	for (int i = 0; i < events->count; i++)
	{
		double rest;
		int64 whole;

		if (!part->counts[i])
			continue;
		if (rule->half_life == 0)
			sum += rule->points;
		else
		{
			whole = half_lives(events->events[i].at, rule->half_life, &rest);
			sum += scale(rule->points * exp2(rest), whole - reference);
		}
	}
	return sum;
}

/* How far the reference must be for no event to be beyond it: so nothing can overflow. */
static void
raise_reference(struct score_amount *amount, const struct score_rule *rule,
				const struct score_events *events, const struct part *part)
{
	for (int i = 0; i < events->count; i++)
		if (part->counts[i] && rule->half_life > 0)
		{
			double rest;
			int64 whole = half_lives(events->events[i].at, rule->half_life, &rest);

			amount->reference = Max(amount->reference, whole);
		}
}

/*
 * Sums are taken in one order, of rules and then of events by time, so that the same events give
 * the same number to the last bit, however they came and whatever was taken back in between.
 * Another reference or epoch only changes the exponent.
 */
static void
count_events(const struct score_rules *rules, const struct score_events *events, TimestampTz at,
			 struct part *parts, struct score *out)
{
	out->amounts = palloc(rules->count * sizeof(*out->amounts));
	for (int i = 0; i < rules->count; i++)
	{
		const struct score_rule *rule = &rules->rules[i];
		struct part *part = &parts[i];
		int counted = 0;

		if (!rule->per_event)
			continue;
		choose_events(rule, events, part);
		for (int k = 0; k < events->count; k++)
			counted += part->counts[k];
		part->events = counted;
		if (counted > 0)
			raise_reference(amount_of(out, rule), rule, events, part);
	}
	for (int i = 0; i < rules->count; i++)
	{
		const struct score_rule *rule = &rules->rules[i];
		struct score_amount *amount;
		double sum;

		if (parts[i].events == 0)
			continue;
		out->engaged = true;
		amount = amount_of(out, rule);
		sum = sum_events(rule, events, &parts[i], amount->reference);
		amount->value += sum;
		parts[i].value = sh_score_points_at(sum, amount->reference, rule->half_life, at) * MILLI;
	}
}

/* --- groups --- */

static int64
to_milli(double value)
{
	return (int64) rint(Min(Max(value, -SUM_MAX), SUM_MAX));
}

/* The points of a group before its cap, milli; of engagement from its amounts, shortest first. */
static int64
group_sum(const struct score_rules *rules, int group, const struct part *parts, TimestampTz at,
		  const struct score *score)
{
	double sum = 0;
	int64 last = -1;

	if (!rules->groups[group].engagement)
	{
		for (int i = 0; i < rules->count; i++)
			if (rules->rules[i].group == group)
				sum += parts[i].value;
		return to_milli(sum);
	}
	for (;;)
	{
		const struct score_amount *next = NULL;

		for (int i = 0; i < score->amount_count; i++)
			if (score->amounts[i].group == group && score->amounts[i].half_life > last &&
				(!next || score->amounts[i].half_life < next->half_life))
				next = &score->amounts[i];
		if (!next)
			return to_milli(sum * MILLI);
		sum += sh_score_points_at(next->value, next->reference, next->half_life, at);
		last = next->half_life;
	}
}

/* Give one thousandth (step 1) or take one (-1) where rounding was most to blame. */
static void
correct(const struct score_rules *rules, int group, struct part *parts, const double *exact,
		int step)
{
	int most = -1;

	for (int i = 0; i < rules->count; i++)
	{
		if (rules->rules[i].group != group || parts[i].value == 0)
			continue;
		if (most < 0 ||
			(exact[i] - parts[i].points) * step > (exact[most] - parts[most].points) * step)
			most = i;
	}
	parts[most].points += step;
}

/*
 * Share out the points of a group by largest remainder (Hamilton's method); in proportion to what
 * there was when its cap made them less.
 */
static void
share_out(const struct score_rules *rules, int group, struct part *parts, int64 total, bool capped)
{
	double *exact = palloc(rules->count * sizeof(*exact));
	double sum = 0;
	int64 given = 0;

	for (int i = 0; i < rules->count; i++)
		if (rules->rules[i].group == group)
			sum += parts[i].value;
	for (int i = 0; i < rules->count; i++)
	{
		if (rules->rules[i].group != group || parts[i].value == 0)
			continue;
		exact[i] = capped ? parts[i].value * total / sum : parts[i].value;
		parts[i].points = to_milli(floor(exact[i]));
		given += parts[i].points;
	}
	for (; given < total; given++)
		correct(rules, group, parts, exact, 1);
	for (; given > total; given--)
		correct(rules, group, parts, exact, -1);
	pfree(exact);
}

/* The points of a group within its cap; its parts add up to them. */
static int64
count_group(const struct score_rules *rules, int group, struct part *parts, TimestampTz at,
			const struct score *score)
{
	int64 cap = rules->groups[group].cap;
	int64 total = group_sum(rules, group, parts, at, score);
	bool capped = cap >= 0 && total > cap;

	if (capped || (rules->groups[group].engagement && score->engaged))
		share_out(rules, group, parts, capped ? cap : total, capped);
	else
		for (int i = 0; i < rules->count; i++)
			if (rules->rules[i].group == group)
				parts[i].points = (int64) parts[i].value;
	return capped ? cap : total;
}

/* --- the whole --- */

/* Which of the tiers is reached, from 0. */
static int
tier_of(const struct score_tiers *tiers, int64 milli)
{
	int n = 0;

	while (n < tiers->count && milli < tiers->from[n])
		n++;
	return n;
}

static void
push_limit(JsonbParseState **state, const char *label, int64 milli)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "label", label);
	sh_score_push(state, "points", milli);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_reason(JsonbParseState **state, const struct score_rules *rules, const struct score_rule *rule,
			const struct part *part)
{
	const struct score_group *group = &rules->groups[rule->group];
	int64 uncapped = to_milli(part->value);

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "label", rule->label);
	sh_score_push(state, "points", part->points);
	if (group->name)
		sh_json_string(state, "group", group->name);
	if (rule->per_event)
		sh_json_number(state, "events", part->events);
	/* A thousandth less or more is rounding. */
	if (uncapped > part->points + 1 || uncapped < part->points - 1)
		sh_score_push(state, "uncapped", uncapped);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
reasons_of(const struct score_rules *rules, const struct part *parts, int64 sum, int64 points)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < rules->count; i++)
		if (parts[i].points != 0)
			push_reason(&state, rules, &rules->rules[i], &parts[i]);
	if (sum > rules->cap)
		push_limit(&state, psprintf("limited to %d", (int) (rules->cap / MILLI)), points - sum);
	if (sum < 0)
		push_limit(&state, "not below 0", points - sum);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

void
sh_score(const struct score_rules *rules, struct predicate_row *row,
		 const struct score_events *events, TimestampTz at, struct score *out)
{
	struct part *parts = palloc0(Max(rules->count, 1) * sizeof(*parts));

	/* Before an event it would be worth more than it gives, without bound. */
	if (events && events->count > 0)
		at = Max(at, events->events[events->count - 1].at);
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < rules->count; i++)
		if (!rules->rules[i].per_event && rules->rules[i].points != 0 &&
			sh_predicate_true(rules->rules[i].predicate, row))
			parts[i].value = (double) rules->rules[i].points * MILLI;
	if (events && events->count > 0 && rules->has_events)
		count_events(rules, events, at, parts, out);
	for (int i = 0; i < rules->group_count; i++)
	{
		int64 points = count_group(rules, i, parts, at, out);

		*(rules->groups[i].engagement ? &out->engagement : &out->fit) += points;
	}
	out->points = Min(Max(out->fit + out->engagement, 0), rules->cap);
	out->grade[0] = 'A' + tier_of(&rules->fit, out->fit);
	if (rules->has_events)
		out->grade[1] = '1' + tier_of(&rules->engagement, out->engagement);
	out->reasons = reasons_of(rules, parts, out->fit + out->engagement, out->points);
	pfree(parts);
}
