/* Models: what they say, and as JSON. */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "logit_model.h"
#include "saleshub.h"

static const char *const states[] = {
	[LOGIT_READY] = "ready",
	[LOGIT_INSUFFICIENT] = "insufficient",
	[LOGIT_NOT_BETTER] = "not_better",
};

double
sh_logit_log_odds(const struct logit_model *model, const int *level)
{
	double z = model->intercept;

	for (int f = 0; f < model->features; f++)
		z += model->log_odds[model->offset[f] + level[f]];
	return z;
}

/* --- to JSON --- */

static JsonbValue
number_json(double value)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
														CStringGetDatum(float8out_internal(value)),
														ObjectIdGetDatum(InvalidOid),
														Int32GetDatum(-1)));
	return v;
}

void
sh_logit_push(JsonbParseState **state, const char *key, double value)
{
	JsonbValue v = number_json(value);

	sh_json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
add_doubles(JsonbParseState **state, const char *key, const double *values, int n)
{
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue v = number_json(values[i]);

		pushJsonbValue(state, WJB_ELEM, &v);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
add_words(JsonbParseState **state, const struct logit_feature *feature)
{
	sh_json_key(state, "words");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < feature->levels - 2; i++)
	{
		JsonbValue v = { .type = jbvString };

		v.val.string.val = feature->word[i];
		v.val.string.len = strlen(feature->word[i]);
		pushJsonbValue(state, WJB_ELEM, &v);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
add_features(JsonbParseState **state, const struct logit_model *model)
{
	sh_json_key(state, "features");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int f = 0; f < model->features; f++)
	{
		const struct logit_feature *feature = &model->feature[f];

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		sh_json_string(state, "name", feature->name);
		if (feature->words)
			add_words(state, feature);
		else
			add_doubles(state, "edges", feature->edges, feature->nedges);
		add_doubles(state, "log_odds", model->log_odds + model->offset[f], feature->levels);
		add_doubles(state, "share", model->share + model->offset[f], feature->levels);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
add_card(JsonbParseState **state, const struct logit_card *card)
{
	sh_json_key(state, "card");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_number(state, "n", card->n);
	sh_json_number(state, "won", card->won);
	sh_logit_push(state, "base_rate", card->base_rate);
	sh_logit_push(state, "auc", card->auc);
	sh_logit_push(state, "brier", card->brier);
	sh_logit_push(state, "log_loss", card->log_loss);
	sh_logit_push(state, "base_log_loss", card->base_log_loss);
	sh_logit_push(state, "ece10", card->ece);
	sh_logit_push(state, "lift10", card->lift);
	sh_json_key(state, "reliability");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int b = 0; b < CARD_BINS; b++)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		sh_json_number(state, "n", card->bins[b].n);
		sh_logit_push(state, "predicted", card->bins[b].predicted);
		sh_logit_push(state, "observed", card->bins[b].observed);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Jsonb *
sh_logit_to_json(const struct logit_model *model)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&state, "state", states[model->state]);
	sh_json_number(&state, "n", model->n);
	sh_json_number(&state, "won", model->won);
	sh_logit_push(&state, "intercept", model->intercept);
	if (model->state != LOGIT_INSUFFICIENT)
	{
		sh_logit_push(&state, "l2", model->l2);
		sh_json_number(&state, "iterations", model->iterations);
		sh_json_bool(&state, "converged", model->converged);
		sh_json_key(&state, "calibration");
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		sh_logit_push(&state, "shift", model->shift);
		sh_logit_push(&state, "scale", model->scale);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
		add_card(&state, &model->card);
	}
	add_features(&state, model);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* --- from JSON --- */

static void
refuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this is not a model: %s", what),
			 errhint("A model is what saleshub.logit_train returned.")));
}

static JsonbValue *
member(JsonbContainer *object, const char *key)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), NULL);
}

static JsonbContainer *
array(JsonbContainer *object, const char *key)
{
	JsonbValue *value = member(object, key);

	if (value && value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
		return value->val.binary.data;
	refuse(psprintf("it has no array \"%s\"", key));
	return NULL;
}

static double
double_of(const JsonbValue *value)
{
	if (value && value->type == jbvNumeric)
		return DatumGetFloat8(
			DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	refuse("something that should be a number is not");
	return 0;
}

static double *
doubles(JsonbContainer *object, const char *key, int *n)
{
	JsonbContainer *values = array(object, key);
	double *out;

	*n = JsonContainerSize(values);
	out = palloc(Max(*n, 1) * sizeof *out);
	for (int i = 0; i < *n; i++)
		out[i] = double_of(getIthJsonbValueFromContainer(values, i));
	return out;
}

static char *
string_of(const JsonbValue *value)
{
	if (value && value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	refuse("something that should be a string is not");
	return NULL;
}

static void
read_feature(JsonbContainer *json, struct logit_feature *feature)
{
	feature->name = string_of(member(json, "name"));
	feature->words = member(json, "words") != NULL;
	if (feature->words)
	{
		JsonbContainer *words = array(json, "words");
		int n = JsonContainerSize(words);

		feature->word = palloc(Max(n, 1) * sizeof *feature->word);
		for (int i = 0; i < n; i++)
			feature->word[i] = string_of(getIthJsonbValueFromContainer(words, i));
		feature->levels = n + 2;
	}
	else
	{
		feature->edges = doubles(json, "edges", &feature->nedges);
		feature->levels = feature->nedges + 2;
		for (int i = 1; i < feature->nedges; i++)
			if (!(feature->edges[i - 1] < feature->edges[i]))
				refuse(psprintf("the edges of feature \"%s\" do not rise", feature->name));
	}
}

static void
read_features(JsonbContainer *features, struct logit_model *model)
{
	model->features = JsonContainerSize(features);
	model->feature = palloc0(Max(model->features, 1) * sizeof *model->feature);
	model->offset = palloc0((model->features + 1) * sizeof *model->offset);
	model->log_odds = palloc(sizeof *model->log_odds);
	for (int f = 0; f < model->features; f++)
	{
		JsonbValue *one = getIthJsonbValueFromContainer(features, f);
		double *values;
		int n;

		if (one->type != jbvBinary || !JsonContainerIsObject(one->val.binary.data))
			refuse("a feature is not an object");
		read_feature(one->val.binary.data, &model->feature[f]);
		values = doubles(one->val.binary.data, "log_odds", &n);
		if (n != model->feature[f].levels || n > LOGIT_LEVELS)
			refuse(psprintf("feature \"%s\" has %d levels and %d log odds",
							model->feature[f].name,
							model->feature[f].levels,
							n));
		model->offset[f + 1] = model->offset[f] + n;
		model->log_odds = repalloc(model->log_odds, model->offset[f + 1] * sizeof *model->log_odds);
		memcpy(model->log_odds + model->offset[f], values, n * sizeof *values);
	}
}

struct logit_model *
sh_logit_from_json(Jsonb *json)
{
	struct logit_model *model = palloc0(sizeof *model);

	if (!JB_ROOT_IS_OBJECT(json))
		refuse("it is not an object");
	model->intercept = double_of(member(&json->root, "intercept"));
	read_features(array(&json->root, "features"), model);
	return model;
}

/* --- keeping --- */

static bool
is_constant(const FmgrInfo *flinfo)
{
	const FuncExpr *call = (const FuncExpr *) flinfo->fn_expr;

	return call && IsA(call, FuncExpr) && call->args != NIL && IsA(linitial(call->args), Const);
}

bool
sh_logit_made_of(const struct logit_kept *kept, Datum model)
{
	const Jsonb *json = DatumGetJsonbP(model);

	return VARSIZE(kept->json) == VARSIZE(json) && memcmp(kept->json, json, VARSIZE(json)) == 0;
}

struct logit_kept *
sh_logit_keep(FmgrInfo *flinfo, Datum model, Size size)
{
	struct logit_kept *kept = flinfo->fn_extra;
	Jsonb *json = DatumGetJsonbP(model);
	MemoryContext context;
	MemoryContext old;

	flinfo->fn_extra = NULL;
	if (kept)
		MemoryContextDelete(kept->context);
	context = AllocSetContextCreate(flinfo->fn_mcxt, "model applied", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	kept = palloc0(size);
	kept->context = context;
	kept->json = (Jsonb *) memcpy(palloc(VARSIZE(json)), json, VARSIZE(json));
	kept->constant = is_constant(flinfo);
	kept->model = sh_logit_from_json(kept->json);
	MemoryContextSwitchTo(old);
	return kept;
}
