/* Running a query: from its text and options to hits, totals, facets and statistics, as JSON. */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "saleshub.h"
#include "search_eval.h"

PG_FUNCTION_INFO_V1(sh_search_run);

#define LIMIT_MAX 1000
#define FACET_VALUES_MAX 100

/* --- options --- */

static double
number_of(JsonbContainer *object, const char *key, double otherwise)
{
	Numeric number = object ? sh_json_numeric(object, key) : NULL;

	return number ? DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(number))) :
					otherwise;
}

static void
numbers_of(JsonbContainer *object, const char *key, double *out, int count)
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

/* k1 and b as Robertson and others found them for many collections; a title says the most. */
static void
read_scoring(struct eval_scoring *s, JsonbContainer *settings)
{
	static const double weights[SEARCH_FIELDS] = { 2.5, 2, 1, 1 };
	static const double bs[SEARCH_FIELDS] = { 0.5, 0.3, 0.75, 0.75 };

	memcpy(s->weight, weights, sizeof weights);
	memcpy(s->b, bs, sizeof bs);
	s->k1 = number_of(settings, "k1", 1.2);
	numbers_of(settings, "weights", s->weight, SEARCH_FIELDS);
	numbers_of(settings, "b", s->b, SEARCH_FIELDS);
	s->freshness = number_of(settings, "freshness", 0);
	s->half_life = Max(number_of(settings, "half_life", 90), 1);
	s->today = (int) (GetCurrentTransactionStartTimestamp() / USECS_PER_DAY);
}

static const char **
texts_of(JsonbContainer *array, int *count)
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
		filter->values = texts_of(values, &filter->count);
		eval->filter_count++;
	}
	if (kinds)
	{
		int count;
		const char **names = texts_of(kinds, &count);

		for (int i = 0; i < count; i++)
			for (int kind = 1; kind <= SEARCH_KINDS; kind++)
				if (strcmp(names[i], sh_kind_name(kind)) == 0)
					eval->kinds |= 1u << kind;
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
	eval->after.key = (uint32) number_of(after, "key", 0);
}

/* --- statistics --- */

/* Enough of a term to tell it from the others of a query. */
static char *
term_key(const struct query_term *term)
{
	return psprintf("%08x%x", (uint32) (term->term >> 32), term->fields);
}

/* Those of an earlier page, so that scores are the same. */
static void
use_given_statistics(struct eval *eval, JsonbContainer *options, int64 *words)
{
	JsonbContainer *given = sh_json_container(options, "statistics");
	JsonbContainer *terms = sh_json_container(given, "terms");
	double numbers[SEARCH_FIELDS] = { 0 };

	if (!given)
		return;
	eval->scoring.docs = (int64) number_of(given, "docs", 0);
	eval->scoring.today = (int) number_of(given, "today", eval->scoring.today);
	numbers_of(given, "words", numbers, SEARCH_FIELDS);
	for (int i = 0; i < SEARCH_FIELDS; i++)
		words[i] = (int64) numbers[i];
	for (int i = 0; i < eval->query->term_count; i++)
	{
		struct query_term *term = &eval->query->terms[i];

		term->docs = (int64) number_of(terms, term_key(term), term->docs);
	}
}

/* Of a member that does not see all, only what it sees counts. */
static void
add_part_statistics(struct eval *eval, struct eval_part *part, int64 *words)
{
	if (part->segment && !eval->restricted)
	{
		eval->scoring.docs += part->segment->docs - part->segment->gone_count;
		for (int i = 0; i < SEARCH_FIELDS; i++)
			words[i] += part->segment->words[i] - part->segment->gone_words[i];
		return;
	}
	if (part->segment)
	{
		/* Lengths stand with the words only: averages are those of the organisation. */
		eval->scoring.docs += (int64) sh_bits_count(part->seen, part->docs);
		return;
	}
	for (uint32 i = 0; i < part->docs; i++)
		if (!part->seen || bits_has(part->seen, i))
		{
			eval->scoring.docs++;
			if (!eval->restricted)
				sh_search_add_lengths(words, part->waiting[i].lengths);
		}
}

static void
take_statistics(struct eval *eval, JsonbContainer *options)
{
	int64 words[SEARCH_FIELDS] = { 0 };

	eval->scoring.docs = 0;
	for (int i = 0; i < eval->query->term_count; i++)
	{
		eval->query->terms[i].docs = 0;
		for (int p = 0; p < eval->part_count; p++)
			eval->query->terms[i].docs += sh_part_term_count(eval, &eval->parts[p], i);
	}
	for (int i = 0; i < eval->part_count; i++)
		add_part_statistics(eval, &eval->parts[i], words);
	/* Lengths that do not depend on what others wrote. */
	if (eval->restricted)
		for (int i = 0; i < SEARCH_FIELDS; i++)
			words[i] = eval->scoring.docs * SEARCH_USUAL_LENGTH;
	use_given_statistics(eval, options, words);
	memcpy(eval->words, words, sizeof words);
	sh_search_score_prepare(eval, words);
}

/* --- finding --- */

static uint64 *
find_in(struct eval *eval, struct eval_part *part)
{
	uint64 *found = sh_match_bits(eval, part, eval->query->root);

	if (part->allowed)
		sh_bits_and(found, part->allowed, part->docs);
	return found;
}

static uint64 **
find_all(struct eval *eval)
{
	uint64 **found = palloc(eval->part_count * sizeof(*found));

	for (int i = 0; i < eval->part_count; i++)
		found[i] = find_in(eval, &eval->parts[i]);
	return found;
}

static int64
count_found(struct eval *eval, uint64 *const *found)
{
	int64 count = 0;

	for (int i = 0; i < eval->part_count; i++)
		count += (int64) sh_bits_count(found[i], eval->parts[i].docs);
	return count;
}

static void
rank_all_parts(struct eval *eval, uint64 *const *found)
{
	bool simple = sh_rank_is_simple(eval->query) && !eval->restricted;

	eval->hits = palloc(Max(eval->limit, 1) * sizeof(*eval->hits));
	for (int i = 0; i < eval->part_count; i++)
	{
		struct eval_part *part = &eval->parts[i];

		if (simple && part->segment)
			sh_rank_part(eval, part, NULL);
		else
			sh_rank_part(eval, part, found ? found[i] : find_in(eval, part));
	}
	sh_rank_sort(eval);
}

/* --- the answer --- */

static void
push_number(JsonbParseState **state, const char *key, double number)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(number)));
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
push_hit(JsonbParseState **state, struct eval *eval, const struct eval_hit *hit)
{
	double terms[QUERY_TERMS_MAX];
	pg_uuid_t record;
	uint8 kind = sh_part_record(eval, hit->part, hit->doc, &record);

	for (int i = 0; i < eval->query->term_count; i++)
		if (hit->part->lists[i])
			sh_search_list_rewind(hit->part->lists[i]);
	sh_rank_document(eval, hit->part, hit->doc, terms);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "type", sh_kind_name(kind));
	sh_json_uuid(state, "id", &record);
	push_number(state, "score", hit->score);
	sh_json_string(state, "rank", psprintf("%.17g", hit->score));
	sh_json_number(state, "key", hit->key);
	sh_json_key(state, "reasons");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < eval->query->term_count; i++)
		if (terms[i] > 0)
			push_number(state, eval->query->terms[i].word, terms[i]);
	push_number(state, "", sh_search_score_beside(eval, hit->part, hit->doc));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_hits(JsonbParseState **state, struct eval *eval)
{
	sh_json_key(state, "hits");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < eval->hit_count; i++)
		push_hit(state, eval, &eval->hits[i]);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_facets(JsonbParseState **state, struct eval *eval, uint64 *const *found,
			JsonbContainer *options)
{
	JsonbContainer *wanted = sh_json_container(options, "facets");
	const char **names;
	int count;

	if (!wanted)
		return;
	names = texts_of(wanted, &count);
	sh_json_key(state, "facets");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		enum sh_search_facet facet = sh_facet_of(names[i], strlen(names[i]));
		struct facet_count *counts;
		int values;

		if (facet == SEARCH_FACETS)
			continue;
		values = sh_facet_counts(eval, found, facet, &counts);
		sh_json_key(state, names[i]);
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		for (int v = 0; v < Min(values, FACET_VALUES_MAX); v++)
		{
			pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
			sh_json_string(state, "value", counts[v].value);
			sh_json_number(state, "count", counts[v].count);
			pushJsonbValue(state, WJB_END_OBJECT, NULL);
		}
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_statistics(JsonbParseState **state, struct eval *eval)
{
	JsonbValue v = { .type = jbvNumeric };

	sh_json_key(state, "statistics");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_number(state, "docs", eval->scoring.docs);
	sh_json_number(state, "today", eval->scoring.today);
	sh_json_key(state, "words");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < SEARCH_FIELDS; i++)
	{
		v.val.numeric = int64_to_numeric(eval->words[i]);
		pushJsonbValue(state, WJB_ELEM, &v);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	sh_json_key(state, "terms");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < eval->query->term_count; i++)
	{
		const struct query_term *term = &eval->query->terms[i];

		if (term->boost > 0)
			sh_json_number(state, term_key(term), term->docs);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Words to be marked in what is shown, and what was probably meant. */
static void
push_words(JsonbParseState **state, struct eval *eval, const struct query_node *node)
{
	JsonbValue v = { .type = jbvString };

	if (node->kind == QUERY_NOT)
		return;
	if (node->kind == QUERY_WORD)
	{
		v.val.string.val = eval->query->terms[node->term].word;
		v.val.string.len = strlen(v.val.string.val);
		pushJsonbValue(state, WJB_ELEM, &v);
	}
	for (int i = 0; i < node->count; i++)
		push_words(state, eval, node->parts[i]);
}

static void
push_corrections(JsonbParseState **state, struct eval *eval, const struct query_node *node)
{
	if (node->corrected)
		sh_json_string(state, eval->query->terms[node->parts[0]->term].word, node->corrected);
	for (int i = 0; i < node->count; i++)
		push_corrections(state, eval, node->parts[i]);
}

static JsonbValue *
answer(struct eval *eval, uint64 *const *found, JsonbContainer *options)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_hits(&state, eval);
	if (found)
	{
		sh_json_number(&state, "total", count_found(eval, found));
		push_facets(&state, eval, found, options);
	}
	push_statistics(&state, eval);
	sh_json_key(&state, "words");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	push_words(&state, eval, eval->query->root);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	sh_json_key(&state, "corrections");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_corrections(&state, eval, eval->query->root);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

/* --- the function --- */

/* The query as it stands; what it finds where that is counted, else NULL. */
static uint64 **
find_once(struct eval *eval, JsonbContainer *options)
{
	bool counted = sh_json_truth(options, "total", false) || sh_json_container(options, "facets");
	uint64 **found;

	take_statistics(eval, options);
	found = counted ? find_all(eval) : NULL;
	rank_all_parts(eval, found);
	return found;
}

/* Find, and when nothing is found, what was probably meant. */
static uint64 **
find(struct eval *eval, JsonbContainer *options)
{
	struct query_node *root = eval->query->root;
	bool typos = sh_json_truth(options, "typos", true);
	uint64 **found;

	sh_expand_prefixes(eval, root);
	if (typos)
		(void) sh_expand_typos(eval, root, false);
	found = find_once(eval, options);
	if (typos && eval->hit_count == 0 && !eval->has_after && sh_expand_typos(eval, root, true))
		found = find_once(eval, options);
	return found;
}

Datum
sh_search_run(PG_FUNCTION_ARGS)
{
	text *q = PG_GETARG_TEXT_PP(0);
	Jsonb *given = PG_GETARG_JSONB_P(1);
	JsonbContainer *options = &given->root;
	struct query *query = palloc(sizeof(*query));
	struct eval *eval = palloc0(sizeof(*eval));
	uint64 **found;
	Jsonb *done;

	if (!JsonContainerIsObject(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the options of a search must be an object")));
	if (!sh_context_org(&eval->org))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("no organisation is set"),
				 errhint("Set saleshub.org_id.")));
	sh_query_parse(query, VARDATA_ANY(q), VARSIZE_ANY_EXHDR(q), sh_search_dictionary());
	eval->query = query;
	eval->limit = Max(0, Min(sh_json_int(options, "limit", 20), LIMIT_MAX));
	eval->index = sh_search_index_open(&eval->org);
	read_scoring(&eval->scoring, sh_json_container(options, "settings"));
	read_filters(eval, options);
	read_after(eval, options);
	sh_part_open_all(eval);
	sh_scope_apply(eval, sh_json_container(options, "scope"));
	sh_scope_filter(eval);
	found = find(eval, options);
	done = JsonbValueToJsonb(answer(eval, found, options));
	sh_part_close_all(eval);
	PG_RETURN_JSONB_P(done);
}
