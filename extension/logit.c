/* Fitting a logistic regression; the methods are named in the header. */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "logit_pass.h"

/* Rows of the samples that many rows are approached from; up to twice as many are taken whole. */
#define FIRST_SAMPLE 10000
#define SAMPLE 40000
/* Most coefficients whose second derivatives are solved. */
#define SOLVED 1000
#define HISTORY 8
#define MAX_STEPS 200
#define MAX_DIAGONAL_STEPS 2000
#define MAX_HALVINGS 30
/*
 * What may be left to the minimum, beside the largest coefficient, with the curvature of the rows
 * themselves and with that of a sample, where every further step is a pass over many rows. A step
 * leaves about as much of itself as it is of the step before.
 */
#define PRECISION 1e-10
#define SAMPLE_PRECISION 1e-8
#define LONG_STEP 0.2
/* Rows of a level that its part of the sample's curvature must come from. */
#define TRUSTED 30
/* What rounding may add to a sum of so many losses. */
#define ROUNDING 1e-12

enum curvature
{
	CURVATURE_OWN,	   /* all second derivatives, anew after every long step */
	CURVATURE_ONCE,	   /* those of where it begins */
	CURVATURE_GIVEN,   /* those that are there */
	CURVATURE_DIAGONAL /* the diagonal of those of where it begins */
};

/* A minimisation under way. */
struct solver
{
	struct logit_pass *pass;
	enum curvature curvature;
	double precision;
	int max_steps;
	int n;
	double *factor;	  /* Cholesky's, in the lower half */
	double *diagonal; /* CURVATURE_DIAGONAL */
	double *coef, *gradient, *step, *trial, *next;
	/* the last moves of the coefficients and of the gradient with them, the newest first */
	int moves;
	double *moved[HISTORY], *turned[HISTORY], product[HISTORY];
};

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

/* --- linear algebra --- */

/* In lanes, which compilers know to add side by side. */
SH_CLONES
static double
dot(const double *a, const double *b, size_t n)
{
	double lane[8] = { 0 };
	double sum = 0;
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (int l = 0; l < 8; l++)
			lane[l] += a[i + l] * b[i + l];
	for (; i < n; i++)
		sum += a[i] * b[i];
	for (int l = 0; l < 8; l++)
		sum += lane[l];
	return sum;
}

/*
 * At the minimum the levels of every feature sum to zero, as what they have in common is the
 * intercept's, which costs nothing. All steps keep to that: a weight on the square of the sum,
 * which is no part of the loss, makes them, and takes away the directions that have hardly any
 * curvature.
 */
static void
bind_levels(const struct logit_data *data, double *h, size_t n)
{
	double weight = h[n * n - 1];

	for (int f = 0; f < data->features; f++)
		for (int a = data->offset[f]; a < data->offset[f + 1]; a++)
			for (int b = data->offset[f]; b <= a; b++)
				h[a * n + b] += weight;
}

/* The Cholesky factor in place of the lower half. */
static void
factorise(double *h, size_t n)
{
	for (size_t j = 0; j < n; j++)
	{
		double *a = h + j * n;
		double least = a[j] * 1e-14;

		CHECK_FOR_INTERRUPTS();
		for (size_t k = 0; k < j; k++)
			a[k] = (a[k] - dot(a, h + k * n, k)) / h[k * n + k];
		/* positive in exact arithmetic; what rounding took away is given back */
		a[j] = sqrt(Max(a[j] - dot(a, a, j), Max(least, 1e-12)));
	}
}

/* x = H⁻¹ x, from the factor. */
static void
solve(const double *h, size_t n, double *x)
{
	for (size_t i = 0; i < n; i++)
		x[i] = (x[i] - dot(h + i * n, x, i)) / h[i * n + i];
	for (size_t i = n; i-- > 0;)
	{
		const double *row = h + i * n;

		x[i] /= row[i];
		for (size_t k = 0; k < i; k++)
			x[k] -= row[k] * x[i];
	}
}

static double
largest(const double *x, int n)
{
	double most = 0;

	for (int j = 0; j < n; j++)
		most = Max(most, fabs(x[j]));
	return most;
}

/* --- steps --- */

static void
apply_curvature(const struct solver *s, double *x)
{
	const struct logit_data *data = s->pass->data;

	if (s->curvature != CURVATURE_DIAGONAL)
	{
		solve(s->factor, s->n, x);
		return;
	}
	x[s->n - 1] /= s->diagonal[s->n - 1];
	for (int f = 0; f < data->features; f++)
	{
		double sum = 0, each = 0;

		for (int j = data->offset[f]; j < data->offset[f + 1]; j++)
		{
			sum += x[j] / s->diagonal[j];
			each += 1 / s->diagonal[j];
		}
		for (int j = data->offset[f]; j < data->offset[f + 1]; j++)
			x[j] = (x[j] - sum / each) / s->diagonal[j];
	}
}

/* step = the direction down, from the gradient and what the last moves tell of the curvature. */
static void
direct(struct solver *s)
{
	double share[HISTORY];

	memcpy(s->step, s->gradient, s->n * sizeof *s->step);
	for (int i = 0; i < s->moves; i++)
	{
		share[i] = dot(s->moved[i], s->step, s->n) / s->product[i];
		for (int j = 0; j < s->n; j++)
			s->step[j] -= share[i] * s->turned[i][j];
	}
	apply_curvature(s, s->step);
	for (int i = s->moves; i-- > 0;)
	{
		double back = share[i] - dot(s->turned[i], s->step, s->n) / s->product[i];

		for (int j = 0; j < s->n; j++)
			s->step[j] += back * s->moved[i][j];
	}
}

/* Notes the move from coef to trial, and of the gradient to next. */
static void
remember(struct solver *s)
{
	double *moved = s->moved[HISTORY - 1];
	double *turned = s->turned[HISTORY - 1];
	double product;

	for (int j = 0; j < s->n; j++)
	{
		moved[j] = s->trial[j] - s->coef[j];
		turned[j] = s->next[j] - s->gradient[j];
	}
	product = dot(moved, turned, s->n);
	if (product <= 0)
		return; /* rounding: the loss is convex */
	memmove(s->moved + 1, s->moved, (HISTORY - 1) * sizeof *s->moved);
	memmove(s->turned + 1, s->turned, (HISTORY - 1) * sizeof *s->turned);
	memmove(s->product + 1, s->product, (HISTORY - 1) * sizeof *s->product);
	s->moved[0] = moved;
	s->turned[0] = turned;
	s->product[0] = product;
	s->moves = Min(s->moves + 1, HISTORY);
}

/* Go along the step as far as the loss falls; false when it does not fall at all. */
static bool
advance(struct solver *s, double *loss)
{
	double scale = 1;

	for (int half = 0; half < MAX_HALVINGS; half++, scale /= 2)
	{
		double there;

		for (int j = 0; j < s->n; j++)
			s->trial[j] = s->coef[j] - scale * s->step[j];
		there = sh_logit_pass_run(s->pass, s->trial, s->next);
		if (there > *loss + fabs(*loss) * ROUNDING)
			continue;
		remember(s);
		*loss = there;
		memcpy(s->coef, s->trial, s->n * sizeof *s->coef);
		memcpy(s->gradient, s->next, s->n * sizeof *s->gradient);
		return true;
	}
	return false;
}

/* Levels that a sample has few rows of get what all their rows may weigh. */
static void
amend(const struct logit_pass *pass, double *h)
{
	const double *count = pass->data->count;
	double *rows = palloc(pass->n * sizeof *rows);
	size_t n = pass->n;
	double mean = h[n * n - 1] / pass->scale / pass->rows;

	sh_logit_count(pass, rows);
	for (size_t j = 0; j < n - 1; j++)
	{
		double *own = &h[j * n + j];
		double weight = rows[j] > 0 ? (*own - pass->l2) / pass->scale / rows[j] : mean;

		if (rows[j] < TRUSTED && rows[j] < count[j])
			*own = pass->l2 + weight * Max(count[j], rows[j] * pass->scale);
	}
	pfree(rows);
}

/* The curvature where the last pass was. */
static void
look(struct solver *s)
{
	s->moves = 0;
	if (s->curvature == CURVATURE_DIAGONAL)
	{
		sh_logit_diagonal(s->pass, s->diagonal);
		return;
	}
	sh_logit_hessian(s->pass, s->factor);
	if (s->pass->scale > 1)
		amend(s->pass, s->factor);
	bind_levels(s->pass->data, s->factor, s->n);
	factorise(s->factor, s->n);
}

static bool
looks(const struct solver *s, int step, double size)
{
	if (s->curvature == CURVATURE_OWN && size > LONG_STEP)
		return true;
	return step == 0 && s->curvature != CURVATURE_GIVEN;
}

/*
 * From coef to the minimum. The last step is not followed by a pass: what it leaves is less than
 * what it took.
 */
static bool
minimise(struct solver *s, int *iterations)
{
	double loss = sh_logit_pass_run(s->pass, s->coef, s->gradient);
	double size = 1;

	for (int step = 0; step < s->max_steps; step++)
	{
		double before = size;

		if (looks(s, step, size))
			look(s);
		direct(s);
		++*iterations;
		size = largest(s->step, s->n) / Max(1, largest(s->coef, s->n));
		if (size * Min(1, size / before) <= s->precision)
		{
			for (int j = 0; j < s->n; j++)
				s->coef[j] -= s->step[j];
			return true;
		}
		if (!advance(s, &loss))
			return true; /* as near as doubles can tell */
	}
	return false;
}

/* --- fits --- */

static double *
doubles(size_t n)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));
}

static void
solver_init(struct solver *s, struct logit_pass *pass, double *coef)
{
	*s = (struct solver){ .pass = pass, .n = pass->n, .coef = coef, .max_steps = MAX_STEPS };
	s->gradient = doubles(s->n);
	s->step = doubles(s->n);
	s->trial = doubles(s->n);
	s->next = doubles(s->n);
	for (int i = 0; i < HISTORY; i++)
	{
		s->moved[i] = doubles(s->n);
		s->turned[i] = doubles(s->n);
	}
	s->precision = PRECISION;
	if (pass->n > SOLVED)
	{
		s->curvature = CURVATURE_DIAGONAL;
		s->max_steps = MAX_DIAGONAL_STEPS;
		s->diagonal = doubles(s->n);
	}
	else
		s->factor = doubles((size_t) s->n * s->n);
	pass->weights = doubles(pass->rows);
}

/* Every so many of the rows. */
static int *
sample_of(const int *picked, int rows, int n)
{
	int *sample = palloc(n * sizeof *sample);

	for (int i = 0; i < n; i++)
	{
		int at = (int) ((int64) i * rows / n);

		sample[i] = picked ? picked[at] : at;
	}
	return sample;
}

/* The minimum of a sample of so many rows, roughly, and its curvature. */
static void
approach(struct solver *s, int rows, enum curvature curvature, double precision, int *iterations)
{
	struct logit_pass *all = s->pass;
	struct logit_pass sample;

	sh_logit_pass_new(&sample, all->data, sample_of(all->picked, all->rows, rows), rows);
	sample.scale = (double) all->rows / rows;
	sample.l2 = all->l2;
	sample.weights = doubles(rows);
	s->pass = &sample;
	s->curvature = curvature;
	s->precision = precision;
	(void) minimise(s, iterations);
	s->pass = all;
	s->curvature = CURVATURE_GIVEN;
	s->precision = SAMPLE_PRECISION;
	s->moves = 0;
}

/* A step from where the last pass was to the minimum without each fold. */
static void
leave_out(const struct solver *s, struct logit_fit *fit)
{
	const struct logit_pass *pass = s->pass;

	for (int k = 0; k < LOGIT_FOLDS; k++)
	{
		double left = 1 - (double) pass->fold_rows[k] / pass->rows;
		double *coef = doubles(s->n);

		for (int j = 0; j < s->n; j++)
			coef[j] = s->gradient[j] - pass->fold_gradient[k][j];
		solve(s->factor, s->n, coef);
		for (int j = 0; j < s->n; j++)
			coef[j] = s->coef[j] - coef[j] / left;
		fit->without[k] = coef;
	}
}

void
sh_logit_fit(const struct logit_data *data, const int *picked, int npicked, double l2, bool folds,
			 struct logit_fit *fit)
{
	MemoryContext work =
		AllocSetContextCreate(CurrentMemoryContext, "fitting", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	struct logit_pass pass;
	struct solver s;

	sh_logit_pass_new(&pass, data, picked, npicked);
	pass.l2 = l2;
	solver_init(&s, &pass, fit->coef);
	fit->iterations = 0;
	memset(fit->without, 0, sizeof fit->without);
	if (s.curvature == CURVATURE_OWN && npicked > SAMPLE * 2)
	{
		approach(&s, FIRST_SAMPLE, CURVATURE_OWN, 0.1, &fit->iterations);
		approach(&s, SAMPLE, CURVATURE_ONCE, 0.01, &fit->iterations);
		pfree(pass.weights);
		pass.weights = NULL;
	}
	if (folds && s.curvature != CURVATURE_DIAGONAL)
		pass.folds = LOGIT_FOLDS;
	fit->converged = minimise(&s, &fit->iterations);
	MemoryContextSwitchTo(old);
	if (pass.folds > 1)
		leave_out(&s, fit);
	MemoryContextDelete(work);
}
