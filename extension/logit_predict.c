/* Models applied to rows: the chance, and why. */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "logit_model.h"
#include "logit_value.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_logit_probability);
PG_FUNCTION_INFO_V1(sh_logit_explain);

/* A model ready for rows of one type; kept for the calls of one statement. */
struct applied
{
	MemoryContext context;
	Jsonb *json; /* as it was given */
	struct logit_model *model;
	Oid type;
	int32 typmod;
	TupleDesc desc;
	int *attribute; /* of each feature, -1: the row has none of the name */
	struct logit_reader *reader;
};

static struct applied *
applied_new(MemoryContext parent, Jsonb *json, HeapTupleHeader row)
{
	MemoryContext context = AllocSetContextCreate(parent, "model applied", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	struct applied *a = palloc0(sizeof *a);
	TupleDesc desc;

	a->context = context;
	a->json = (Jsonb *) memcpy(palloc(VARSIZE(json)), json, VARSIZE(json));
	a->model = sh_logit_from_json(a->json);
	a->type = HeapTupleHeaderGetTypeId(row);
	a->typmod = HeapTupleHeaderGetTypMod(row);
	desc = lookup_rowtype_tupdesc(a->type, a->typmod);
	a->desc = CreateTupleDescCopy(desc);
	ReleaseTupleDesc(desc);
	a->attribute = palloc(Max(a->model->features, 1) * sizeof *a->attribute);
	a->reader = palloc0(Max(a->model->features, 1) * sizeof *a->reader);
	for (int f = 0; f < a->model->features; f++)
	{
		a->attribute[f] = -1;
		for (int i = 0; i < a->desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(a->desc, i);

			if (attribute->attisdropped ||
				strcmp(NameStr(attribute->attname), a->model->feature[f].name) != 0)
				continue;
			a->attribute[f] = i;
			sh_logit_reader(&a->reader[f], attribute->atttypid);
			if (a->reader[f].words != a->model->feature[f].words)
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("column \"%s\" is of another type than the model was trained on",
								a->model->feature[f].name)));
		}
	}
	MemoryContextSwitchTo(old);
	return a;
}

/* The model for this call, made anew when it or the row's type is another. */
static struct applied *
applied_for(FmgrInfo *flinfo, Jsonb *json, HeapTupleHeader row)
{
	struct applied *a = flinfo->fn_extra;

	if (a && a->type == HeapTupleHeaderGetTypeId(row) &&
		a->typmod == HeapTupleHeaderGetTypMod(row) && VARSIZE(a->json) == VARSIZE(json) &&
		memcmp(a->json, json, VARSIZE(json)) == 0)
		return a;
	if (a)
	{
		flinfo->fn_extra = NULL;
		MemoryContextDelete(a->context);
	}
	a = applied_new(flinfo->fn_mcxt, json, row);
	flinfo->fn_extra = a;
	return a;
}

/* The level that a row has of each feature; a column it lacks is missing. */
static void
levels_of(const struct applied *a, HeapTupleHeader row, int *level)
{
	HeapTupleData tuple = { .t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row };
	Datum *values = palloc(a->desc->natts * sizeof *values);
	bool *nulls = palloc(a->desc->natts * sizeof *nulls);

	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, a->desc, values, nulls);
	for (int f = 0; f < a->model->features; f++)
	{
		int i = a->attribute[f];

		level[f] =
			i < 0 || nulls[i] ? 0 : sh_logit_level(&a->model->feature[f], &a->reader[f], values[i]);
	}
	pfree(values);
	pfree(nulls);
}

static double
sum_of(const struct applied *a, const int *level)
{
	double z = a->model->intercept;

	for (int f = 0; f < a->model->features; f++)
		z += a->model->log_odds[a->model->offset[f] + level[f]];
	return z;
}

/* saleshub.logit_probability(model jsonb, lead record) returns float8 */
Datum
sh_logit_probability(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	struct applied *a = applied_for(fcinfo->flinfo, PG_GETARG_JSONB_P(0), row);
	int *level = palloc(Max(a->model->features, 1) * sizeof *level);
	double z;

	levels_of(a, row, level);
	z = sum_of(a, level);
	pfree(level);
	PG_RETURN_FLOAT8(sh_logistic(z));
}

static void
push_double(JsonbParseState **state, const char *key, double value)
{
	JsonbValue v = sh_logit_number_json(value);

	sh_json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

/* What a level says: the word, the range, or that nothing is known. */
static void
push_level(JsonbParseState **state, const struct logit_feature *feature, int level)
{
	if (level == 0)
		sh_json_bool(state, "missing", true);
	else if (!feature->words)
	{
		if (level > 1)
			push_double(state, "from", feature->edges[level - 2]);
		if (level <= feature->nedges)
			push_double(state, "below", feature->edges[level - 1]);
	}
	else if (level < feature->levels - 1)
		sh_json_string(state, "value", feature->word[level - 1]);
	else
		sh_json_bool(state, "other", true);
}

/* saleshub.logit_explain(model jsonb, lead record) returns jsonb */
Datum
sh_logit_explain(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	struct applied *a = applied_for(fcinfo->flinfo, PG_GETARG_JSONB_P(0), row);
	struct logit_model *model = a->model;
	int *level = palloc(Max(model->features, 1) * sizeof *level);
	JsonbParseState *state = NULL;
	double z;

	levels_of(a, row, level);
	z = sum_of(a, level);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_double(&state, "probability", sh_logistic(z));
	push_double(&state, "log_odds", z);
	push_double(&state, "intercept", model->intercept);
	sh_json_key(&state, "reasons");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int f = 0; f < model->features; f++)
	{
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(&state, "feature", model->feature[f].name);
		push_level(&state, &model->feature[f], level[f]);
		push_double(&state, "log_odds", model->log_odds[model->offset[f] + level[f]]);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
