/* Models applied to values that are given one by one: the quickest way to a chance. */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "logit_model.h"
#include "logit_value.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_logit_score);

/* Numbers that are cut side by side. */
#define LANES 16

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32 ints __attribute__((vector_size(LANES * sizeof(int32))));

/* The edges of LANES numbers: all first ones, all second ones … NaN, which nothing reaches, after
 * the last. */
struct block
{
	int steps;
	float *edges;
};

/* A model ready for values of these types; kept for the calls of one statement. */
struct scorer
{
	struct logit_kept kept;
	struct logit_reader *reader; /* of each value */
	int numbers;
	int *feature; /* of each number */
	struct block *block;
	float *value; /* of each number, NaN: missing */
	int32 *reached;
	int *number; /* of each feature, -1: words */
};

static void
set_reader(struct scorer *s, FmgrInfo *flinfo, int f)
{
	const struct logit_feature *feature = &s->kept.model->feature[f];
	Oid type = get_fn_expr_argtype(flinfo, f + 1);

	/* NULL without a type */
	if (type == UNKNOWNOID && !feature->words)
		return;
	sh_logit_reader(&s->reader[f], type);
	if (s->reader[f].words != feature->words)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("value %d is of another type than \"%s\", which the model was trained on",
						f + 1,
						feature->name)));
}

/* The least float that is not below an edge: a float reaches both or none of them. */
static float
edge_of(double edge)
{
	float near = (float) edge;

	return near < edge ? nextafterf(near, INFINITY) : near;
}

static void
add_numbers(struct scorer *s)
{
	const struct logit_model *model = s->kept.model;
	int blocks = (s->numbers + LANES - 1) / LANES;

	s->block = palloc0(Max(blocks, 1) * sizeof *s->block);
	s->value = palloc0(Max(blocks, 1) * LANES * sizeof *s->value);
	s->reached = palloc0(Max(blocks, 1) * LANES * sizeof *s->reached);
	for (int i = 0; i < s->numbers; i++)
	{
		struct block *block = &s->block[i / LANES];

		block->steps = Max(block->steps, model->feature[s->feature[i]].nedges);
	}
	for (int b = 0; b < blocks; b++)
	{
		struct block *block = &s->block[b];

		block->edges = palloc((block->steps * LANES + 1) * sizeof *block->edges);
		for (int i = 0; i < block->steps * LANES; i++)
			block->edges[i] = NAN;
	}
	for (int i = 0; i < s->numbers; i++)
	{
		const struct logit_feature *feature = &model->feature[s->feature[i]];

		for (int e = 0; e < feature->nedges; e++)
			s->block[i / LANES].edges[e * LANES + i % LANES] = edge_of(feature->edges[e]);
	}
}

static void
check_count(const struct logit_model *model, int values)
{
	if (model->features > 0 && values != model->features)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the model has %d features, %d values were given", model->features, values),
				 errhint("Values are given in the order of the model's features.")));
}

static void
scorer_init(struct scorer *s, FmgrInfo *flinfo, int values)
{
	const struct logit_model *model = s->kept.model;
	int n = Max(model->features, 1);

	if (get_fn_expr_variadic(flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("values must be given one by one, not as an array")));
	check_count(model, values);
	s->reader = palloc0(n * sizeof *s->reader);
	s->feature = palloc0(n * sizeof *s->feature);
	s->number = palloc0(n * sizeof *s->number);
	for (int f = 0; f < model->features; f++)
	{
		set_reader(s, flinfo, f);
		s->number[f] = model->feature[f].words ? -1 : s->numbers;
		if (!model->feature[f].words)
			s->feature[s->numbers++] = f;
	}
	add_numbers(s);
}

/* The scorer of this call, made anew when the model is another. */
static struct scorer *
scorer_for(FmgrInfo *flinfo, Datum model, int values)
{
	struct scorer *s = flinfo->fn_extra;
	MemoryContext old;

	if (sh_logit_keeps(flinfo->fn_extra, model))
		return s;
	s = (struct scorer *) sh_logit_keep(flinfo, model, sizeof *s);
	old = MemoryContextSwitchTo(s->kept.context);
	scorer_init(s, flinfo, values);
	MemoryContextSwitchTo(old);
	flinfo->fn_extra = s;
	return s;
}

/* The levels of LANES numbers: one more than the edges that are reached, of NaN 0. */
SH_CLONES
static void
cut(const float *edges, int steps, const float *value, int32 *reached)
{
	floats numbers, edge;
	/* what holds is -1 */
	ints sum;

	memcpy(&numbers, value, sizeof numbers);
	sum = -(numbers == numbers);
	for (int e = 0; e < steps; e++)
	{
		memcpy(&edge, edges + e * LANES, sizeof edge);
		sum -= numbers >= edge;
	}
	memcpy(reached, &sum, sizeof sum);
}

static void
cut_numbers(struct scorer *s, const NullableDatum *values)
{
	for (int i = 0; i < s->numbers; i++)
	{
		int f = s->feature[i];

		if (values[f].isnull)
			s->value[i] = NAN;
		else if (s->reader[f].type == FLOAT8OID)
			s->value[i] = (float) DatumGetFloat8(values[f].value);
		else
			s->value[i] = sh_logit_float(&s->reader[f], values[f].value);
	}
	for (int i = 0; i < s->numbers; i += LANES)
	{
		const struct block *block = &s->block[i / LANES];

		cut(block->edges, block->steps, s->value + i, s->reached + i);
	}
}

static int
word_level(const struct scorer *s, const NullableDatum *value, int f)
{
	if (value->isnull)
		return 0;
	return sh_logit_level(&s->kept.model->feature[f], &s->reader[f], value->value);
}

/* saleshub.logit_score(model jsonb, VARIADIC "any") returns float8 */
Datum
sh_logit_score(PG_FUNCTION_ARGS)
{
	const NullableDatum *values = fcinfo->args + 1;
	const struct logit_model *model;
	struct scorer *s;
	double z;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	s = scorer_for(fcinfo->flinfo, PG_GETARG_DATUM(0), PG_NARGS() - 1);
	model = s->kept.model;
	cut_numbers(s, values);
	/* feature by feature, so that the sum is that of the other functions to the last bit */
	z = model->intercept;
	for (int f = 0; f < model->features; f++)
	{
		int level = s->number[f] < 0 ? word_level(s, &values[f], f) : s->reached[s->number[f]];

		z += model->log_odds[model->offset[f] + level];
	}
	PG_RETURN_FLOAT8(sh_logistic(z));
}
