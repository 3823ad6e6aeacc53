/*
 * Logistic regression with an L2 penalty over coded features. Every feature of a row is one of
 * its levels (a bin of a number, a word, or missing), so a row has as many ones as features and
 * zeroes elsewhere. Neighbouring features are kept as one joint code, as digits are in a number:
 * what a row adds up, and what is summed over rows, is looked up once a group of them.
 */
#pragma once

#include <math.h>

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define LOGIT_LEVELS 255  /* most levels of a feature */
#define LOGIT_CODES 65536 /* most joint codes */
#define LOGIT_FOLDS 5
#define LOGIT_BLOCK 256 /* rows of one fold */
#define LOGIT_FEW 20000 /* rows up to which folds are fitted one by one; more lie mixed */

/*
 * Functions whose loops run over lanes are compiled for wider registers too, and the one for the
 * processor at hand is taken when the library is loaded.
 */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define SH_CLONES __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define SH_CLONES
#endif

/* Features that share a code. */
struct logit_group
{
	int first, end; /* features, the end excluded; the last one's level is the lowest digit */
	int start;		/* its first code */
	int size;		/* codes: the product of the features' levels */
};

/* Rows as the fit sees them. */
struct logit_data
{
	int rows;
	int features;
	const int *offset; /* of each feature's levels among the coefficients; features + 1 of them */
	int groups;
	const struct logit_group *group;
	int joint;			  /* codes of all groups */
	const uint16 *codes;  /* rows × groups; no two groups share a code */
	const uint8 *outcome; /* 0 or 1 each */
	const double *count;  /* rows that have each level */
};

/* Coefficients: offset[features] of the levels, then the intercept, which is not penalised. */
struct logit_fit
{
	double *coef;
	int iterations;
	bool converged;
	/*
	 * Coefficients as a fit without each fold would have them, a Newton step from the fit of all
	 * rows; NULL when there were no second derivatives to make them with.
	 */
	double *without[LOGIT_FOLDS];
};

/*
 * Minimises Σ log(1 + exp(-s·z)) + l2/2 Σ coef² over the rows picked (NULL: all), from the
 * coefficients that fit->coef holds. Few rows: Newton's method. Many rows: a sample's optimum by
 * Newton's method, then quasi-Newton steps by the gradient of all rows (L-BFGS: Nocedal, Wright,
 * Numerical Optimization, algorithm 7.4) that start from the sample's second derivatives. Many
 * coefficients: such steps from the diagonal alone. Deterministic. l2 must be positive: it makes
 * the minimum unique and finite, separable data included.
 * folds: fit->without is wanted too.
 */
extern void sh_logit_fit(const struct logit_data *data, const int *picked, int npicked, double l2,
						 bool folds, struct logit_fit *fit);
/* Coefficients of a model of this data, zero but for the intercept, which is the base rate's. */
extern double *sh_logit_start(const struct logit_data *data);

/* What each joint code adds to the log odds, into sums[data->joint]. */
extern void sh_logit_sums(const struct logit_data *data, const double *coef, double *sums);
/* The reverse: what was summed by joint codes, by levels; added to levels[offset[features]]. */
extern void sh_logit_levels(const struct logit_data *data, const double *sums, double *levels);

/* Which fold something is in; the same in every run. */
static inline int
sh_logit_fold_of(uint32 number)
{
	uint64 z = (number + 1) * UINT64CONST(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	return (z ^ (z >> 27)) % LOGIT_FOLDS;
}

/* The fold of a row of many: of its block. */
static inline int
sh_logit_fold(int row)
{
	return sh_logit_fold_of((uint32) row / LOGIT_BLOCK);
}

/* Memory for what is large. */
extern void *sh_logit_alloc(Size size);

/* Log odds of a row. */
static inline double
sh_logit_row(const struct logit_data *data, const double *sums, double intercept, int row)
{
	const uint16 *codes = data->codes + (size_t) row * data->groups;
	double z = intercept;

	for (int g = 0; g < data->groups; g++)
		z += sums[codes[g]];
	return z;
}

static inline double
sh_logistic(double z)
{
	return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}
