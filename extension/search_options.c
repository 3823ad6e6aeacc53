/* The options of a query: what it is ranked by, what is filtered, and where a page begins. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "saleshub.h"
#include "search_eval.h"

#define LIMIT_MAX 1000

void
sh_search_numbers_of(JsonbContainer *object, const char *key, double *out, int count)
{
	JsonbContainer *array = sh_json_container(object, key);

	for (int i = 0; array && i < count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);

		if (value && value->type == jbvNumeric)
			out[i] = DatumGetFloat8(
				DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	}
}

static double
within(double value, double low, double high)
{
	return value >= low ? Min(value, high) : low;
}

/* k1 and b as Robertson and others found them for many collections; a title says the most. */
static void
read_scoring(struct eval_scoring *s, JsonbContainer *settings)
{
	static const double weights[SEARCH_FIELDS] = { 2.5, 2, 1, 1 };
	static const double bs[SEARCH_FIELDS] = { 0.5, 0.3, 0.75, 0.75 };

	memcpy(s->weight, weights, sizeof weights);
	memcpy(s->b, bs, sizeof bs);
	s->k1 = within(sh_json_double(settings, "k1", 2), 0.01, 100);
	sh_search_numbers_of(settings, "weights", s->weight, SEARCH_FIELDS);
	sh_search_numbers_of(settings, "b", s->b, SEARCH_FIELDS);
	for (int i = 0; i < SEARCH_FIELDS; i++)
	{
		s->weight[i] = within(s->weight[i], 0.01, 100);
		s->b[i] = within(s->b[i], 0, 1);
	}
	s->freshness = within(sh_json_double(settings, "freshness", 0), 0, 10);
	s->half_life = within(sh_json_double(settings, "half_life", 90), 1, 10000);
	s->near = within(sh_json_double(settings, "proximity", 0), 0, 10);
	s->feedback = within(sh_json_double(settings, "feedback", 0), 0, 1);
	s->today = (int) (GetCurrentTransactionStartTimestamp() / USECS_PER_DAY);
}

const char **
sh_search_texts(JsonbContainer *array, int *count)
{
	const char **texts = palloc(Max(JsonContainerSize(array), 1) * sizeof(*texts));

	*count = 0;
	for (uint32 i = 0; JsonContainerIsArray(array) && i < JsonContainerSize(array); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);

		if (value && value->type == jbvString)
			texts[(*count)++] = pnstrdup(value->val.string.val, value->val.string.len);
	}
	return texts;
}

uint32
sh_search_kinds(JsonbContainer *array)
{
	int count;
	const char **names = sh_search_texts(array, &count);
	uint32 kinds = 0;

	for (int i = 0; i < count; i++)
	{
		int kind = sh_kind_of(names[i]);

		if (kind > 0)
			kinds |= 1u << kind;
	}
	return kinds;
}

static void
read_filters(struct eval *eval, JsonbContainer *options)
{
	JsonbContainer *filters = sh_json_container(options, "filters");
	JsonbContainer *kinds = sh_json_container(options, "types");

	eval->filters = palloc(SEARCH_FACETS * sizeof(*eval->filters));
	for (int facet = SEARCH_FACET_TEXTS; filters && facet < SEARCH_FACETS; facet++)
	{
		JsonbContainer *values = sh_json_container(filters, sh_facet_name(facet));
		struct eval_filter *filter = &eval->filters[eval->filter_count];

		if (!values)
			continue;
		filter->facet = facet;
		filter->values = sh_search_texts(values, &filter->count);
		eval->filter_count++;
	}
	if (kinds)
	{
		eval->kinds = sh_search_kinds(kinds);
		/* None that is known: nothing is found. */
		if (eval->kinds == 0)
			eval->kinds = 1;
	}
}

static void
read_after(struct eval *eval, JsonbContainer *options)
{
	JsonbContainer *after = sh_json_container(options, "after");
	char *rank = after ? sh_json_text(after, "rank") : NULL;

	if (!rank)
		return;
	eval->has_after = true;
	eval->after.score = float8in_internal(rank, NULL, "double precision", rank);
	eval->after.key = (uint32) sh_json_double(after, "key", 0);
}

void
sh_search_options(struct eval *eval, JsonbContainer *options)
{
	eval->limit = Max(0, Min(sh_json_int(options, "limit", 20), LIMIT_MAX));
	read_scoring(&eval->scoring, sh_json_container(options, "settings"));
	read_filters(eval, options);
	read_after(eval, options);
}
