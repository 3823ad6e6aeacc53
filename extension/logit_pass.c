/* Passes over coded rows: loss, gradient, second derivatives. */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "logit_pass.h"

#define LANES 8
/* Log odds that are as good as certain. */
#define LIMIT 700.0

/* --- joint codes --- */

void
sh_logit_sums(const struct logit_data *data, const double *coef, double *sums)
{
	for (int g = 0; g < data->groups; g++)
	{
		const struct logit_group *group = &data->group[g];
		double *out = sums + group->start;
		int size = 1;

		out[0] = 0;
		/* from the lowest digit up: a higher digit repeats what is there */
		for (int f = group->end; f-- > group->first;)
		{
			const double *of = coef + data->offset[f];
			int levels = data->offset[f + 1] - data->offset[f];

			for (int level = levels; level-- > 0;)
				for (int c = 0; c < size; c++)
					out[level * size + c] = out[c] + of[level];
			size *= levels;
		}
	}
}

void
sh_logit_levels(const struct logit_data *data, const double *sums, double *levels)
{
	for (int g = 0; g < data->groups; g++)
	{
		const struct logit_group *group = &data->group[g];
		int size = 1;

		for (int f = group->end; f-- > group->first;)
		{
			double *of = levels + data->offset[f];
			int n = data->offset[f + 1] - data->offset[f];

			for (int c = 0; c < group->size; c++)
				of[c / size % n] += sums[group->start + c];
			size *= n;
		}
	}
}

/* --- passes --- */

void
sh_logit_pass_new(struct logit_pass *pass, const struct logit_data *data, const int *picked,
				  int rows)
{
	*pass = (struct logit_pass){
		.data = data,
		.picked = picked,
		.rows = rows,
		.scale = 1,
		.n = data->offset[data->features] + 1,
		.folds = 1,
		.sums = palloc((data->joint + 1) * sizeof(double)),
		.summed = palloc((data->joint + 1) * LOGIT_FOLDS * sizeof(double)),
	};
	for (int k = 0; k < LOGIT_FOLDS; k++)
		pass->fold_gradient[k] = palloc(pass->n * sizeof(double));
}

static inline int
row_at(const struct logit_pass *pass, int i)
{
	return pass->picked ? pass->picked[i] : i;
}

union number
{
	double d;
	uint64 bits;
};

/*
 * exp of 0 down to -LIMIT, without a branch so that several run side by side: the power of two
 * nearest, times the Taylor series of the rest. Within two units of the last place.
 */
static inline double
exp_falling(double x)
{
	static const double shift =
		6755399441055744.0; /* 1.5 · 2^52: whole numbers lie in the low bits */
	static const double inverse_factorial[] = {
		1.0 / 6227020800,
		1.0 / 479001600,
		1.0 / 39916800,
		1.0 / 3628800,
		1.0 / 362880,
		1.0 / 40320,
		1.0 / 5040,
		1.0 / 720,
		1.0 / 120,
		1.0 / 24,
		1.0 / 6,
		0.5,
		1.0,
		1.0,
	};
	double whole, rest, sum = inverse_factorial[0];
	union number power;

	power.d = x * 1.4426950408889634 + shift;
	whole = power.d - shift;
	rest = x - whole * 6.93147180369123816490e-01;
	rest -= whole * 1.90821492927058770002e-10;
	for (int i = 1; i < (int) lengthof(inverse_factorial); i++)
		sum = sum * rest + inverse_factorial[i];
	power.bits = (power.bits + 1023) << 52;
	return sum * power.d;
}

/*
 * From the log odds of LANES rows and their outcomes: residuals, what exp's part of the loss is
 * the logarithm of (a factor of the product), the rest of the loss, and the weights.
 */
SH_CLONES
static void
judge_lanes(const double *restrict z, const double *restrict won, double *restrict residual,
			double *restrict product, double *restrict loss, double *restrict weight)
{
	for (int l = 0; l < LANES; l++)
	{
		double size = fabs(z[l]);
		double e = exp_falling(-size);
		double inverse = 1 / (1 + e);
		union number positive = { .d = z[l] };

		/* 1 or 0, without a comparison, which would keep the lanes apart */
		positive.bits = ((positive.bits >> 63) - 1) & UINT64CONST(0x3ff0000000000000);
		/* log(1 + exp(-s·z)) is log(1 + e), and |z| more for an outcome on the other side */
		product[l] *= 1 + e;
		loss[l] += (positive.d - won[l]) * (positive.d - won[l]) * size;
		residual[l] = (positive.d + (1 - positive.d) * e) * inverse - won[l];
		weight[l] = e * inverse * inverse;
	}
}

/*
 * One block: its loss; residuals are added to summed by joint code and, all of them, after the
 * last of these.
 */
static double
run_block(const struct logit_pass *pass, int from, int n, double intercept, double *summed)
{
	const struct logit_data *data = pass->data;
	int groups = data->groups;
	double z[LOGIT_BLOCK], won[LOGIT_BLOCK], residual[LOGIT_BLOCK], weight[LOGIT_BLOCK];
	double product[LANES], loss[LANES] = { 0 };
	double sum = 0, all = 0;
	int whole = (n + LANES - 1) / LANES * LANES;

	for (int i = 0; i < n; i++)
	{
		double sum = sh_logit_row(data, pass->sums, intercept, row_at(pass, from + i));

		z[i] = Max(Min(sum, LIMIT), -LIMIT);
		won[i] = data->outcome[row_at(pass, from + i)];
	}
	/* as if certain: no loss */
	for (int i = n; i < whole; i++)
	{
		z[i] = LIMIT;
		won[i] = 1;
	}
	for (int l = 0; l < LANES; l++)
		product[l] = 1;
	for (int i = 0; i < whole; i += LANES)
		judge_lanes(z + i, won + i, residual + i, product, loss, weight + i);
	for (int i = 0; i < n; i++)
	{
		const uint16 *codes = data->codes + (size_t) row_at(pass, from + i) * groups;

		for (int g = 0; g < groups; g++)
			summed[codes[g]] += residual[i];
		all += residual[i];
	}
	summed[data->joint] += all;
	if (pass->weights)
		memcpy(pass->weights + from, weight, n * sizeof *weight);
	/* the product is at most 2 to the number of rows */
	for (int l = 0; l < LANES; l++)
		sum += loss[l] + log(product[l]);
	return sum;
}

double
sh_logit_pass_run(struct logit_pass *pass, const double *coef, double *gradient)
{
	int joint = pass->data->joint;
	int last = pass->n - 1;
	double loss = 0, penalty = 0;

	sh_logit_sums(pass->data, coef, pass->sums);
	memset(pass->summed, 0, (joint + 1) * (Size) pass->folds * sizeof(double));
	memset(pass->fold_rows, 0, sizeof pass->fold_rows);
	for (int from = 0; from < pass->rows; from += LOGIT_BLOCK)
	{
		int n = Min(LOGIT_BLOCK, pass->rows - from);
		int fold = pass->folds > 1 ? sh_logit_fold(from) : 0;

		CHECK_FOR_INTERRUPTS();
		loss += run_block(pass, from, n, coef[last], pass->summed + (size_t) fold * (joint + 1));
		pass->fold_rows[fold] += n;
	}
	memset(gradient, 0, pass->n * sizeof *gradient);
	for (int k = 0; k < pass->folds; k++)
	{
		double *summed = pass->summed + (size_t) k * (joint + 1);
		double *own = pass->fold_gradient[k];

		memset(own, 0, pass->n * sizeof *own);
		sh_logit_levels(pass->data, summed, own);
		own[last] = summed[joint];
		for (int j = 0; j < pass->n; j++)
			gradient[j] += pass->scale * own[j];
	}
	for (int j = 0; j < last; j++)
	{
		penalty += coef[j] * coef[j];
		gradient[j] += pass->l2 * coef[j];
	}
	return pass->scale * loss + pass->l2 / 2 * penalty;
}

/* --- second derivatives --- */

/* The weights of the rows (NULL: 1 each) that have each level, the intercept's of all. */
static void
add_up(const struct logit_pass *pass, const double *weights, double *levels)
{
	const struct logit_data *data = pass->data;
	double *summed = palloc0((data->joint + 1) * sizeof *summed);
	double all = 0;

	for (int i = 0; i < pass->rows; i++)
	{
		const uint16 *codes = data->codes + (size_t) row_at(pass, i) * data->groups;
		double weight = weights ? weights[i] : 1;

		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		for (int g = 0; g < data->groups; g++)
			summed[codes[g]] += weight;
		all += weight;
	}
	memset(levels, 0, pass->n * sizeof *levels);
	sh_logit_levels(data, summed, levels);
	levels[pass->n - 1] = all;
	pfree(summed);
}

void
sh_logit_count(const struct logit_pass *pass, double *rows)
{
	add_up(pass, NULL, rows);
}

void
sh_logit_diagonal(const struct logit_pass *pass, double *diagonal)
{
	add_up(pass, pass->weights, diagonal);
	for (int j = 0; j < pass->n; j++)
		diagonal[j] = pass->scale * diagonal[j] + (j < pass->n - 1 ? pass->l2 : 0);
}

/* The levels of every feature, one feature's rows after another's. */
static uint8 *
columns_of(const struct logit_pass *pass)
{
	const struct logit_data *data = pass->data;
	uint8 *columns = palloc_extended((Size) Max(data->features, 1) * pass->rows, MCXT_ALLOC_HUGE);
	uint8 *digit = palloc(LOGIT_CODES);

	for (int g = 0; g < data->groups; g++)
	{
		const struct logit_group *group = &data->group[g];
		int size = 1;

		for (int f = group->end; f-- > group->first;)
		{
			int levels = data->offset[f + 1] - data->offset[f];
			uint8 *column = columns + (size_t) f * pass->rows;

			CHECK_FOR_INTERRUPTS();
			for (int c = 0; c < group->size; c++)
				digit[c] = c / size % levels;
			size *= levels;
			for (int i = 0; i < pass->rows; i++)
				column[i] =
					digit[data->codes[(size_t) row_at(pass, i) * data->groups + g] - group->start];
		}
	}
	pfree(digit);
	return columns;
}

/* The weights of the rows that have a level of one feature and a level of another, m of those. */
static void
count_pairs(const struct logit_pass *pass, const uint8 *one, const uint8 *other, int m,
			double *pairs)
{
	for (int i = 0; i < pass->rows; i++)
		pairs[one[i] * m + other[i]] += pass->weights[i];
}

void
sh_logit_hessian(const struct logit_pass *pass, double *hessian)
{
	const struct logit_data *data = pass->data;
	const int *offset = data->offset;
	size_t n = pass->n;
	uint8 *columns = columns_of(pass);
	double *pairs = palloc(LOGIT_LEVELS * LOGIT_LEVELS * sizeof *pairs);
	double *diagonal = palloc(n * sizeof *diagonal);

	memset(hessian, 0, n * n * sizeof *hessian);
	sh_logit_diagonal(pass, diagonal);
	for (int f = 0; f < data->features; f++)
		for (int g = 0; g < f; g++)
		{
			int levels = offset[f + 1] - offset[f];
			int others = offset[g + 1] - offset[g];

			CHECK_FOR_INTERRUPTS();
			memset(pairs, 0, levels * others * sizeof *pairs);
			count_pairs(pass,
						columns + (size_t) f * pass->rows,
						columns + (size_t) g * pass->rows,
						others,
						pairs);
			for (int a = 0; a < levels; a++)
				for (int b = 0; b < others; b++)
					hessian[(offset[f] + a) * n + offset[g] + b] =
						pass->scale * pairs[a * others + b];
		}
	for (size_t j = 0; j < n; j++)
	{
		hessian[j * n + j] = diagonal[j];
		/* every row has the intercept: its row is what the levels have without the penalty */
		if (j < n - 1)
			hessian[(n - 1) * n + j] = diagonal[j] - pass->l2;
	}
	pfree(columns);
	pfree(pairs);
	pfree(diagonal);
}
