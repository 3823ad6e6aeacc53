/* The distribution of a sum of amounts that come or do not. */
#pragma once

struct stats_item
{
	double p;	  /* above 0, below 1 */
	int64 amount; /* above 0; all of them together below 2^62 */
};

/* A distribution: the mass at the points at[i], or (first + i) * step when at is NULL. */
struct stats_sum
{
	int len;
	const int64 *at;
	int64 first;
	int64 step;
	const double *mass;
	/* How far the true sum is off at most, but for a probability of 1e-9. */
	double error;
};

/* In the current memory context. */
extern void sh_stats_sum(const struct stats_item *items, int count, struct stats_sum *out);
/* The smallest point that the sum does not exceed with probability q. */
extern int64 sh_stats_quantile(const struct stats_sum *sum, double q);
