/*
 * Logistic regression with an L2 penalty over coded features. Every feature of a row is one of
 * its levels (a bin of a number, a word, or missing), so a row has as many ones as features and
 * zeroes elsewhere, and is kept as the numbers of its levels.
 */
#pragma once

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define LOGIT_LEVELS 255 /* most levels of a feature */

/* Rows as the fit sees them. */
struct logit_data
{
	int rows;
	int features;
	const int *offset;	/* of each feature's levels among the coefficients; features + 1 of them */
	const uint8 *codes; /* rows × features */
	const uint8 *outcome; /* 0 or 1 each */
};

/* Coefficients: offset[features] of the levels, then the intercept, which is not penalised. */
struct logit_fit
{
	double *coef;
	int iterations;
	bool converged;
};

/*
 * Minimises Σ log(1 + exp(-s·z)) + l2/2 Σ coef² over the rows picked (NULL: all), from the
 * coefficients that fit->coef holds. Newton's method with the full Hessian on few rows; on many,
 * on a sample first, whose Hessian then steers steps by the gradient of all rows. Deterministic.
 * l2 must be positive: it makes the minimum unique and finite, separable data included.
 */
extern void sh_logit_fit(const struct logit_data *data, const int *picked, int npicked, double l2,
						 struct logit_fit *fit);
/* Log odds of a row. */
extern double sh_logit_row(const struct logit_data *data, const double *coef, int row);
/* Coefficients of a model of this data, zero but for the intercept, which is the base rate's. */
extern double *sh_logit_start(const struct logit_data *data);

static inline double
sh_logistic(double z)
{
	return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

/* log(1 + exp(z)) without overflow. */
static inline double
sh_softplus(double z)
{
	return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}
