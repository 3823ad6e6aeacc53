/*
 * Training: read, cut into levels, fit, judge on rows the fit has not seen, calibrate on these
 * (Platt 1999), and publish only what beats the base rate.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "logit_model.h"
#include "saleshub.h"

/* Most rows that are held out to calibrate and judge by. */
#define HELD_ROWS 50000
/* Fewest rows of each outcome. */
#define FEWEST 30
/* Of log likelihood: what the two numbers of the calibration reach by chance in one of twenty. */
#define LEAST_GAIN 3.0

PG_FUNCTION_INFO_V1(sh_logit_train);

static const double penalties[] = { 1, 3, 10, 30 };

/* Log odds of rows by models that have not seen them. */
struct held_out
{
	int n;
	double *z;
	uint8 *outcome;
};

/* z scaled and shifted so that it means what it says. */
struct calibration
{
	double shift, scale;
};

static struct held_out
held_out_new(int n)
{
	return (struct held_out){ .z = palloc(n * sizeof(double)), .outcome = palloc(n) };
}

static void
hold(struct held_out *out, const struct logit_data *data, const double *sums, double intercept,
	 int row)
{
	out->outcome[out->n] = data->outcome[row];
	out->z[out->n++] = sh_logit_row(data, sums, intercept, row);
}

/* Every fold by a fit of the others, on at most LOGIT_FEW rows. */
static struct held_out
hold_out(const struct logit_data *data, double l2, const double *start)
{
	int n = Min(data->rows, LOGIT_FEW);
	int last = data->offset[data->features];
	int *picked = palloc(n * sizeof *picked);
	double *sums = palloc((data->joint + 1) * sizeof *sums);
	struct held_out out = held_out_new(n);
	struct logit_fit fit = { .coef = palloc((last + 1) * sizeof(double)) };

	for (int fold = 0; fold < LOGIT_FOLDS; fold++)
	{
		int count = 0;

		for (int i = 0; i < n; i++)
		{
			int row = (int) ((int64) i * data->rows / n);

			if (sh_logit_fold_of(row) != fold)
				picked[count++] = row;
		}
		/* where the fit begins makes it quicker, not other */
		memcpy(fit.coef, start, (last + 1) * sizeof(double));
		sh_logit_fit(data, picked, count, l2 * n / data->rows, false, &fit);
		sh_logit_sums(data, fit.coef, sums);
		for (int i = 0; i < n; i++)
		{
			int row = (int) ((int64) i * data->rows / n);

			if (sh_logit_fold_of(row) == fold)
				hold(&out, data, sums, fit.coef[last], row);
		}
	}
	pfree(picked);
	pfree(sums);
	pfree(fit.coef);
	return out;
}

/* Every fold by what the fit of all would have been without it. */
static struct held_out
hold_out_many(const struct logit_data *data, const struct logit_fit *fit)
{
	int last = data->offset[data->features];
	int n = Min(data->rows, HELD_ROWS);
	struct held_out out = held_out_new(n);
	double *sums[LOGIT_FOLDS];

	for (int k = 0; k < LOGIT_FOLDS; k++)
	{
		sums[k] = palloc((data->joint + 1) * sizeof(double));
		sh_logit_sums(data, fit->without[k], sums[k]);
	}
	for (int i = 0; i < n; i++)
	{
		int row = (int) ((int64) i * data->rows / n);
		int k = sh_logit_fold(row);

		hold(&out, data, sums[k], fit->without[k][last], row);
	}
	for (int k = 0; k < LOGIT_FOLDS; k++)
		pfree(sums[k]);
	return out;
}

/* Platt's scaling with his targets, which keep it finite; Newton's method. */
static struct calibration
calibrate(const struct held_out *held)
{
	struct calibration c = { .scale = 1 };
	double won = 0, high, low;

	for (int i = 0; i < held->n; i++)
		won += held->outcome[i];
	high = (won + 1) / (won + 2);
	low = 1 / (held->n - won + 2);
	for (int step = 0; step < 50; step++)
	{
		double g0 = 0, g1 = 0, h00 = 1e-9, h01 = 0, h11 = 1e-9, det, d0, d1;

		for (int i = 0; i < held->n; i++)
		{
			double z = held->z[i];
			double p = sh_logistic(c.shift + c.scale * z);
			double off = p - (held->outcome[i] ? high : low);
			double w = p * (1 - p);

			g0 += off;
			g1 += off * z;
			h00 += w;
			h01 += w * z;
			h11 += w * z * z;
		}
		det = h00 * h11 - h01 * h01;
		if (!(det > 0))
			break;
		d0 = (h11 * g0 - h01 * g1) / det;
		d1 = (h00 * g1 - h01 * g0) / det;
		c.shift -= d0;
		c.scale -= d1;
		if (fabs(d0) + fabs(d1) < 1e-12)
			break;
	}
	return c;
}

static void
judge(const struct held_out *held, const struct calibration *c, struct logit_card *card)
{
	double *p = palloc(held->n * sizeof *p);

	for (int i = 0; i < held->n; i++)
		p[i] = sh_logistic(c->shift + c->scale * held->z[i]);
	sh_logit_card(p, held->outcome, held->n, card);
	pfree(p);
}

static void
fit_all(const struct logit_data *data, double l2, struct logit_fit *fit)
{
	fit->coef = sh_logit_start(data);
	sh_logit_fit(data, NULL, data->rows, l2, data->rows > LOGIT_FEW, fit);
}

/* The penalty that predicts rows best that were not seen, the fit, and how good it is. */
static void
choose(const struct logit_data *data, struct logit_model *model, struct logit_fit *fit,
	   struct calibration *calibration)
{
	bool given = model->l2 > 0;
	int tries = given || data->rows > LOGIT_FEW ? 1 : lengthof(penalties);

	for (int i = 0; i < tries; i++)
	{
		double l2 = given ? model->l2 : penalties[i];
		struct logit_fit one;
		struct held_out held;
		struct calibration c;
		struct logit_card card;

		fit_all(data, l2, &one);
		held = one.without[0] ? hold_out_many(data, &one) : hold_out(data, l2, one.coef);
		c = calibrate(&held);
		judge(&held, &c, &card);
		if (i > 0 && card.log_loss >= model->card.log_loss)
			continue;
		*fit = one;
		*calibration = c;
		model->card = card;
		if (!given)
			model->l2 = l2;
	}
	model->iterations = fit->iterations;
	model->converged = fit->converged;
}

/* Calibrated log odds of the levels, each feature's about its mean. */
static void
centre(const struct logit_data *data, const struct logit_fit *fit,
	   const struct calibration *calibration, struct logit_model *model)
{
	int last = data->offset[data->features];
	double sum = fit->coef[last];

	model->offset = unconstify(int *, data->offset);
	model->log_odds = palloc(Max(last, 1) * sizeof(double));
	model->share = palloc(Max(last, 1) * sizeof(double));
	for (int f = 0; f < data->features; f++)
	{
		double mean = 0;

		for (int j = data->offset[f]; j < data->offset[f + 1]; j++)
		{
			model->share[j] = data->count[j] / data->rows;
			mean += model->share[j] * fit->coef[j];
		}
		for (int j = data->offset[f]; j < data->offset[f + 1]; j++)
			model->log_odds[j] = calibration->scale * (fit->coef[j] - mean);
		sum += mean;
	}
	model->intercept = calibration->shift + calibration->scale * sum;
	model->shift = calibration->shift;
	model->scale = calibration->scale;
}

static void
train(const struct logit_source *source, struct logit_options *options, struct logit_model *model)
{
	struct logit_data data;
	struct logit_fit fit = { 0 };
	struct calibration calibration = { .scale = 1 };

	model->n = source->rows;
	for (int i = 0; i < source->rows; i++)
		model->won += source->outcome[i];
	if (model->won < FEWEST || model->n - model->won < FEWEST)
	{
		model->state = LOGIT_INSUFFICIENT;
		model->intercept = log((model->won + 0.5) / (model->n - model->won + 0.5));
		return;
	}
	options->bins = Max(2, Min(options->bins, model->n / options->rare));
	model->feature = sh_logit_code(source, options, &data);
	model->features = data.features;
	choose(&data, model, &fit, &calibration);
	if (calibration.scale <= 0 || model->card.auc <= 0.5 ||
		(model->card.base_log_loss - model->card.log_loss) * model->card.n < LEAST_GAIN)
	{
		model->state = LOGIT_NOT_BETTER;
		model->features = 0;
		model->intercept = log(model->won / (double) (model->n - model->won));
		model->scale = 1;
		return;
	}
	centre(&data, &fit, &calibration, model);
}

static List *
names_of(ArrayType *array)
{
	Datum *values;
	bool *nulls;
	int n;
	List *names = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(
				ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a feature must have a name")));
		names = lappend(names, TextDatumGetCString(values[i]));
	}
	return names;
}

static int
option(int value, int low, int high, const char *name)
{
	if (value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %d and %d", name, low, high)));
	return value;
}

/*
 * saleshub.logit_train(source regclass, outcome name, features text[], l2 float8, bins int,
 * rare int, max_rows int) returns jsonb
 */
Datum
sh_logit_train(PG_FUNCTION_ARGS)
{
	MemoryContext work =
		AllocSetContextCreate(CurrentMemoryContext, "training", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	struct logit_options options = { .max_levels = 50 };
	struct logit_model model = { .l2 = PG_ARGISNULL(3) ? 0 : PG_GETARG_FLOAT8(3) };
	List *features = PG_ARGISNULL(2) ? NIL : names_of(PG_GETARG_ARRAYTYPE_P(2));
	struct logit_source *source;
	Jsonb *json;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a table and its outcome must be named")));
	if (!PG_ARGISNULL(3) && !(model.l2 > 0 && model.l2 <= 1e9))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("l2 must be more than 0, and at most 1e9")));
	options.bins = option(PG_GETARG_INT32(4), 2, 100, "bins");
	options.rare = option(PG_GETARG_INT32(5), 1, 1000000, "rare");
	source = sh_logit_read(PG_GETARG_OID(0),
						   NameStr(*PG_GETARG_NAME(1)),
						   features,
						   option(PG_GETARG_INT32(6), 100, 20000000, "max_rows"),
						   1);
	train(source, &options, &model);
	MemoryContextSwitchTo(old);
	json = sh_logit_to_json(&model);
	MemoryContextDelete(work);
	PG_RETURN_JSONB_P(json);
}
