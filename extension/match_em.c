/*
 * Weights of comparison learnt from the records themselves (Fellegi and Sunter, by expectation and
 * maximisation): how often each level of a field occurs between two things (u) is counted in pairs
 * taken at random, how often within one (m) is estimated in pairs that share a key, of which an
 * unknown part is one thing. A missing value says nothing. Pure arithmetic.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "match.h"

PG_FUNCTION_INFO_V1(sh_match_em);

#define ROUNDS 60
#define EM_FIELDS 40
/* The first guess: a tenth of the pairs is one thing. */
#define FIRST_SHARE 0.1
/* A level that did not occur is as good as half a pair. */
#define UNSEEN 0.5

struct odds
{
	double level[MATCH_SAME + 1];
};

struct model
{
	int fields;
	double share; /* of the pairs that are one thing */
	struct odds m[EM_FIELDS];
	struct odds u[EM_FIELDS];
};

/* Levels of pairs, field by field, and how many pairs there are of each kind. */
struct pairs
{
	int count;
	const int32 *levels;
	const float8 *times;
};

static void
normalise(struct odds *odds)
{
	double sum = 0;

	for (int l = MATCH_DIFFER; l <= MATCH_SAME; l++)
		sum += odds->level[l] += UNSEEN;
	for (int l = MATCH_DIFFER; l <= MATCH_SAME; l++)
		odds->level[l] /= sum;
}

static void
count_levels(struct odds *odds, int fields, const struct pairs *pairs)
{
	memset(odds, 0, fields * sizeof(*odds));
	for (int p = 0; p < pairs->count; p++)
		for (int f = 0; f < fields; f++)
			odds[f].level[pairs->levels[p * fields + f]] += pairs->times[p];
	for (int f = 0; f < fields; f++)
		normalise(&odds[f]);
}

/* How likely a pair of these levels is one thing. */
static double
chance(const struct model *model, const int32 *levels)
{
	double odds = log(model->share / (1 - model->share));

	for (int f = 0; f < model->fields; f++)
		if (levels[f] != MATCH_MISSING)
			odds += log(model->m[f].level[levels[f]] / model->u[f].level[levels[f]]);
	return 1 / (1 + exp(-odds));
}

static void
improve(struct model *model, const struct pairs *pairs)
{
	struct odds m[EM_FIELDS] = { 0 };
	double all = 0;
	double same = 0;

	for (int p = 0; p < pairs->count; p++)
	{
		const int32 *levels = pairs->levels + p * model->fields;
		double weight = pairs->times[p] * chance(model, levels);

		all += pairs->times[p];
		same += weight;
		for (int f = 0; f < model->fields; f++)
			m[f].level[levels[f]] += weight;
	}
	for (int f = 0; f < model->fields; f++)
	{
		normalise(&m[f]);
		model->m[f] = m[f];
	}
	model->share = Min(Max(same / all, 1e-6), 1 - 1e-6);
}

static struct pairs
read_pairs(ArrayType *levels, ArrayType *times, int fields)
{
	struct pairs pairs;

	pairs.count = ArrayGetNItems(ARR_NDIM(times), ARR_DIMS(times));
	if (ARR_HASNULL(levels) || ARR_HASNULL(times) || pairs.count == 0 ||
		ArrayGetNItems(ARR_NDIM(levels), ARR_DIMS(levels)) != pairs.count * fields)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("pairs need a level for each field and a number")));
	pairs.levels = (int32 *) ARR_DATA_PTR(levels);
	pairs.times = (float8 *) ARR_DATA_PTR(times);
	for (int i = 0; i < pairs.count * fields; i++)
		if (pairs.levels[i] < MATCH_MISSING || pairs.levels[i] > MATCH_SAME)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no level %d", pairs.levels[i])));
	return pairs;
}

/*
 * saleshub.match_em(fields integer, levels integer[], times float8[], random_levels integer[],
 * random_times float8[]) returns float8[]: of each field log2(m/u) of differ, close, same; last
 * the share of pairs that are one thing.
 */
Datum
sh_match_em(PG_FUNCTION_ARGS)
{
	struct model *model = palloc0(sizeof(*model));
	struct pairs pairs;
	struct pairs random;
	Datum values[EM_FIELDS * 3 + 1];
	int count = 0;

	model->fields = PG_GETARG_INT32(0);
	if (model->fields < 1 || model->fields > EM_FIELDS)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("1 to 40 fields can be weighed")));
	pairs = read_pairs(PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_ARRAYTYPE_P(2), model->fields);
	random = read_pairs(PG_GETARG_ARRAYTYPE_P(3), PG_GETARG_ARRAYTYPE_P(4), model->fields);
	model->share = FIRST_SHARE;
	count_levels(model->u, model->fields, &random);
	for (int f = 0; f < model->fields; f++)
		model->m[f] = (struct odds){ { 0, 0.05, 0.15, 0.8 } };
	for (int i = 0; i < ROUNDS; i++)
		improve(model, &pairs);
	for (int f = 0; f < model->fields; f++)
		for (int l = MATCH_DIFFER; l <= MATCH_SAME; l++)
			values[count++] =
				Float8GetDatum(log(model->m[f].level[l] / model->u[f].level[l]) / log(2));
	values[count++] = Float8GetDatum(model->share);
	PG_RETURN_ARRAYTYPE_P(
		construct_array(values, count, FLOAT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
