/* What a fit does with the rows: passes over them, and second derivatives. */
#pragma once

#include "logit.h"

/* Rows and how they count. Made by sh_logit_pass_new, in the current memory context. */
struct logit_pass
{
	const struct logit_data *data;
	const int *picked; /* NULL: all */
	int rows;
	double scale; /* that a row counts for, as a sample stands for more */
	double l2;
	int n;								/* coefficients */
	double *weights;					/* of the last pass: p (1 - p) of every row, when wanted */
	int folds;							/* whose gradients are wanted apart, else 1 */
	double *fold_gradient[LOGIT_FOLDS]; /* of the last pass, without the penalty's part */
	int fold_rows[LOGIT_FOLDS];
	double *sums, *summed; /* scratch */
};

extern void sh_logit_pass_new(struct logit_pass *pass, const struct logit_data *data,
							  const int *picked, int rows);
/* The loss at these coefficients, and the gradient there. */
extern double sh_logit_pass_run(struct logit_pass *pass, const double *coef, double *gradient);
/* Rows that have each level. */
extern void sh_logit_count(const struct logit_pass *pass, double *rows);
/* The diagonal of the second derivatives where the last pass was, from its weights. */
extern void sh_logit_diagonal(const struct logit_pass *pass, double *diagonal);
/* The lower half of all of them: n × n. */
extern void sh_logit_hessian(const struct logit_pass *pass, double *hessian);
