/* Models applied to rows: the chance, and why. */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "logit_model.h"
#include "logit_value.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_logit_probability);
PG_FUNCTION_INFO_V1(sh_logit_explain);
PG_FUNCTION_INFO_V1(sh_model_levels_of);

/* A model ready for rows of one type; kept for the calls of one statement. */
struct applied
{
	struct logit_kept kept;
	Oid type;
	int32 typmod;
	TupleDesc desc;
	int *attribute; /* of each feature, -1: the row has none of the name */
	struct logit_reader *reader;
};

static void
applied_init(struct applied *a, HeapTupleHeader row)
{
	const struct logit_model *model = a->kept.model;
	TupleDesc desc;

	a->type = HeapTupleHeaderGetTypeId(row);
	a->typmod = HeapTupleHeaderGetTypMod(row);
	desc = lookup_rowtype_tupdesc(a->type, a->typmod);
	a->desc = CreateTupleDescCopy(desc);
	ReleaseTupleDesc(desc);
	a->attribute = palloc(Max(model->features, 1) * sizeof *a->attribute);
	a->reader = palloc0(Max(model->features, 1) * sizeof *a->reader);
	for (int f = 0; f < model->features; f++)
	{
		int attribute = SPI_fnumber(a->desc, model->feature[f].name);

		a->attribute[f] = attribute > 0 ? attribute - 1 : -1;
		if (attribute <= 0)
			continue;
		sh_logit_reader(&a->reader[f], SPI_gettypeid(a->desc, attribute));
		if (a->reader[f].words != model->feature[f].words)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" is of another type than the model was trained on",
							model->feature[f].name)));
	}
}

/* The model for this call, made anew when it or the row's type is another. */
static struct applied *
applied_for(FmgrInfo *flinfo, Datum model, HeapTupleHeader row)
{
	struct applied *a = flinfo->fn_extra;
	MemoryContext old;

	if (sh_logit_keeps(flinfo->fn_extra, model) && a->type == HeapTupleHeaderGetTypeId(row) &&
		a->typmod == HeapTupleHeaderGetTypMod(row))
		return a;
	a = (struct applied *) sh_logit_keep(flinfo, model, sizeof *a);
	old = MemoryContextSwitchTo(a->kept.context);
	applied_init(a, row);
	MemoryContextSwitchTo(old);
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
	for (int f = 0; f < a->kept.model->features; f++)
	{
		int i = a->attribute[f];

		level[f] = i < 0 || nulls[i] ?
					   0 :
					   sh_logit_level(&a->kept.model->feature[f], &a->reader[f], values[i]);
	}
	pfree(values);
	pfree(nulls);
}

/* saleshub.logit_probability(model jsonb, lead record) returns float8 */
Datum
sh_logit_probability(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	struct applied *a = applied_for(fcinfo->flinfo, PG_GETARG_DATUM(0), row);
	int *level = palloc(Max(a->kept.model->features, 1) * sizeof *level);
	double z;

	levels_of(a, row, level);
	z = sh_logit_log_odds(a->kept.model, level);
	pfree(level);
	PG_RETURN_FLOAT8(sh_logistic(z));
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
			sh_logit_push(state, "from", feature->edges[level - 2]);
		if (level <= feature->nedges)
			sh_logit_push(state, "below", feature->edges[level - 1]);
	}
	else if (level < feature->levels - 1)
		sh_json_string(state, "value", feature->word[level - 1]);
	else
		sh_json_bool(state, "other", true);
}

/* saleshub.model_levels(model jsonb, record) returns integer[] */
Datum
sh_model_levels_of(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	struct applied *a = applied_for(fcinfo->flinfo, PG_GETARG_DATUM(0), row);
	int n = a->kept.model->features;
	int *level = palloc(Max(n, 1) * sizeof *level);
	Datum *levels = palloc(Max(n, 1) * sizeof *levels);

	levels_of(a, row, level);
	for (int f = 0; f < n; f++)
		levels[f] = Int32GetDatum(level[f]);
	PG_RETURN_ARRAYTYPE_P(construct_array(levels, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* saleshub.logit_explain(model jsonb, lead record) returns jsonb */
Datum
sh_logit_explain(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	struct applied *a = applied_for(fcinfo->flinfo, PG_GETARG_DATUM(0), row);
	struct logit_model *model = a->kept.model;
	int *level = palloc(Max(model->features, 1) * sizeof *level);
	JsonbParseState *state = NULL;
	double z;

	levels_of(a, row, level);
	z = sh_logit_log_odds(a->kept.model, level);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_logit_push(&state, "probability", sh_logistic(z));
	sh_logit_push(&state, "log_odds", z);
	sh_logit_push(&state, "intercept", model->intercept);
	sh_json_key(&state, "reasons");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int f = 0; f < model->features; f++)
	{
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(&state, "feature", model->feature[f].name);
		push_level(&state, &model->feature[f], level[f]);
		sh_logit_push(&state, "log_odds", model->log_odds[model->offset[f] + level[f]]);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
