/* Newton's method for logistic regression: Hastie, Tibshirani, Friedman, The Elements of
 * Statistical Learning, 4.4.1; with a ridge penalty. */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "logit.h"

/* Rows that the Hessian is taken of. */
#define SAMPLE 40000
#define MAX_STEPS 200
#define MAX_HALVINGS 30
/* The gradient's largest entry at the end, per row. */
#define TOLERANCE 1e-10

/* One fit under way. */
struct solver
{
	const struct logit_data *data;
	double l2;
	int n; /* coefficients, the intercept included */
	double *gradient, *hessian, *step, *trial;
};

double
sh_logit_row(const struct logit_data *data, const double *coef, int row)
{
	const uint8 *codes = data->codes + (size_t) row * data->features;
	double z = coef[data->offset[data->features]];

	for (int f = 0; f < data->features; f++)
		z += coef[data->offset[f] + codes[f]];
	return z;
}

double *
sh_logit_start(const struct logit_data *data)
{
	int last = data->offset[data->features];
	double *coef = palloc0((last + 1) * sizeof *coef);
	double won = 0;

	for (int i = 0; i < data->rows; i++)
		won += data->outcome[i];
	coef[last] = log((won + 0.5) / (data->rows - won + 0.5));
	return coef;
}

static int
row_at(const int *picked, int i)
{
	return picked ? picked[i] : i;
}

static double
penalty(const struct solver *s, const double *coef)
{
	double sum = 0;

	for (int j = 0; j < s->n - 1; j++)
		sum += coef[j] * coef[j];
	return s->l2 / 2 * sum;
}

/* The gradient at these coefficients, and (hessian) the lower half of the second derivatives. */
static double
derive(struct solver *s, const int *picked, int npicked, const double *coef, bool hessian)
{
	const struct logit_data *data = s->data;
	const int *offset = data->offset;
	int features = data->features;
	double loss = penalty(s, coef);

	memset(s->gradient, 0, s->n * sizeof *s->gradient);
	if (hessian)
		memset(s->hessian, 0, (size_t) s->n * s->n * sizeof *s->hessian);
	for (int i = 0; i < npicked; i++)
	{
		int row = row_at(picked, i);
		const uint8 *codes = data->codes + (size_t) row * features;
		double z = sh_logit_row(data, coef, row);
		double p = sh_logistic(z);
		double residual = p - data->outcome[row];
		double weight = p * (1 - p);

		if ((i & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
		loss += sh_softplus(data->outcome[row] ? -z : z);
		s->gradient[s->n - 1] += residual;
		for (int f = 0; f < features; f++)
		{
			int a = offset[f] + codes[f];

			s->gradient[a] += residual;
			if (!hessian)
				continue;
			for (int g = 0; g <= f; g++)
				s->hessian[(size_t) a * s->n + offset[g] + codes[g]] += weight;
			s->hessian[(size_t) (s->n - 1) * s->n + a] += weight;
		}
		if (hessian)
			s->hessian[(size_t) s->n * s->n - 1] += weight;
	}
	for (int j = 0; j < s->n - 1; j++)
	{
		s->gradient[j] += s->l2 * coef[j];
		if (hessian)
			s->hessian[(size_t) j * s->n + j] += s->l2;
	}
	return loss;
}

/* The Cholesky factor in place of the lower half. */
static void
factor(struct solver *s)
{
	double *h = s->hessian;
	size_t n = s->n;

	for (size_t j = 0; j < n; j++)
	{
		double *a = h + j * n;
		double pivot = a[j];

		CHECK_FOR_INTERRUPTS();
		for (size_t k = 0; k < j; k++)
			pivot -= a[k] * a[k];
		/* positive in exact arithmetic; what rounding took away is given back */
		pivot = sqrt(Max(pivot, 1e-12));
		a[j] = pivot;
		for (size_t i = j + 1; i < n; i++)
		{
			double *b = h + i * n;
			double sum = b[j];

			for (size_t k = 0; k < j; k++)
				sum -= b[k] * a[k];
			b[j] = sum / pivot;
		}
	}
}

/* step = H⁻¹ gradient, from the factor. */
static void
solve(struct solver *s)
{
	const double *h = s->hessian;
	size_t n = s->n;

	for (size_t i = 0; i < n; i++)
	{
		double sum = s->gradient[i];

		for (size_t k = 0; k < i; k++)
			sum -= h[i * n + k] * s->step[k];
		s->step[i] = sum / h[i * n + i];
	}
	for (size_t i = n; i-- > 0;)
	{
		double sum = s->step[i];

		for (size_t k = i + 1; k < n; k++)
			sum -= h[k * n + i] * s->step[k];
		s->step[i] = sum / h[i * n + i];
	}
}

static double
loss_of(const struct solver *s, const int *picked, int npicked, const double *coef)
{
	double loss = penalty(s, coef);

	for (int i = 0; i < npicked; i++)
	{
		int row = row_at(picked, i);
		double z = sh_logit_row(s->data, coef, row);

		loss += sh_softplus(s->data->outcome[row] ? -z : z);
	}
	return loss;
}

/* Go along the step as far as the loss falls; false when it does not fall at all. */
static bool
advance(struct solver *s, const int *picked, int npicked, double loss, double scale, double *coef)
{
	for (int half = 0; half < MAX_HALVINGS; half++, scale /= 2)
	{
		for (int j = 0; j < s->n; j++)
			s->trial[j] = coef[j] - scale * s->step[j];
		if (loss_of(s, picked, npicked, s->trial) <= loss)
		{
			memcpy(coef, s->trial, s->n * sizeof *coef);
			return true;
		}
	}
	return false;
}

static bool
flat(const struct solver *s, int npicked)
{
	double most = 0;

	for (int j = 0; j < s->n; j++)
		most = Max(most, fabs(s->gradient[j]));
	return most <= TOLERANCE * npicked;
}

static void
newton(struct solver *s, const int *picked, int npicked, struct logit_fit *fit)
{
	for (fit->iterations = 0; fit->iterations < MAX_STEPS; fit->iterations++)
	{
		double loss = derive(s, picked, npicked, fit->coef, true);

		fit->converged = flat(s, npicked);
		if (fit->converged)
			return;
		factor(s);
		solve(s);
		if (!advance(s, picked, npicked, loss, 1, fit->coef))
		{
			fit->converged = true; /* as near as doubles can tell */
			return;
		}
	}
}

/* Steps by the gradient of all rows and the curvature of the sample. */
static void
refine(struct solver *s, const int *picked, int npicked, int nsample, struct logit_fit *fit)
{
	double share = (double) nsample / npicked;
	int first = fit->iterations;

	factor(s);
	for (; fit->iterations < first + MAX_STEPS; fit->iterations++)
	{
		double loss = derive(s, picked, npicked, fit->coef, false);

		fit->converged = flat(s, npicked);
		if (fit->converged)
			return;
		solve(s);
		if (!advance(s, picked, npicked, loss, share, fit->coef))
		{
			fit->converged = true;
			return;
		}
	}
}

void
sh_logit_fit(const struct logit_data *data, const int *picked, int npicked, double l2,
			 struct logit_fit *fit)
{
	int n = data->offset[data->features] + 1;
	struct solver s = { .data = data, .l2 = l2, .n = n };
	int *sample;

	s.gradient = palloc(n * sizeof(double));
	s.step = palloc(n * sizeof(double));
	s.trial = palloc(n * sizeof(double));
	s.hessian = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * n * sizeof(double));
	if (npicked <= SAMPLE * 2)
		newton(&s, picked, npicked, fit);
	else
	{
		/* every so many rows, with the penalty in proportion */
		sample = palloc(SAMPLE * sizeof *sample);
		for (int i = 0; i < SAMPLE; i++)
			sample[i] = row_at(picked, (int) ((int64) i * npicked / SAMPLE));
		s.l2 = l2 * SAMPLE / npicked;
		newton(&s, sample, SAMPLE, fit);
		(void) derive(&s, sample, SAMPLE, fit->coef, true);
		s.l2 = l2;
		refine(&s, picked, npicked, SAMPLE, fit);
		pfree(sample);
	}
	pfree(s.gradient);
	pfree(s.step);
	pfree(s.trial);
	pfree(s.hessian);
}
