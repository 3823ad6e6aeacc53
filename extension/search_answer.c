/* What a query found as JSON: hits with what their scores are made of, totals, facets, statistics.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"
#include "search_eval.h"

#define FACET_VALUES_MAX 100

/* --- hits --- */

static void
push_number(JsonbParseState **state, const char *key, double number)
{
	JsonbValue v = { .type = jbvNumeric };

	v.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(number)));
	sh_json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
push_reason(JsonbParseState **state, const char *label, const char *kind, double score)
{
	if (score <= 0)
		return;
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "label", label);
	sh_json_string(state, "kind", kind);
	push_number(state, "score", score);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* What the score is the sum of. */
static void
push_reasons(JsonbParseState **state, struct eval *eval, const struct eval_hit *hit)
{
	double terms[QUERY_TERMS_MAX];
	double pairs[EVAL_PAIRS_MAX];
	const struct query *query = eval->query;

	sh_rank_terms(eval, hit, terms);
	(void) sh_near_score(eval, hit->part, hit->doc, terms, pairs);
	sh_json_key(state, "reasons");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < query->term_count; i++)
		push_reason(
			state, query->terms[i].word, query->terms[i].related ? "related" : "word", terms[i]);
	for (int i = 0; i < eval->pair_count; i++)
		push_reason(state,
					psprintf("%s %s",
							 query->terms[eval->pairs[i].a].word,
							 query->terms[eval->pairs[i].b].word),
					"proximity",
					pairs[i]);
	push_reason(state, "freshness", "freshness", sh_search_score_fresh(eval, hit->part, hit->doc));
	push_reason(state, "affinity", "affinity", sh_boost_of(hit->part, hit->doc));
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_hit(JsonbParseState **state, struct eval *eval, const struct eval_hit *hit)
{
	pg_uuid_t record;
	uint8 kind = sh_part_record(eval, hit->part, hit->doc, &record);

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(state, "type", sh_kind_name(kind));
	sh_json_uuid(state, "id", &record);
	push_number(state, "score", hit->score);
	sh_json_string(state, "rank", psprintf("%.17g", hit->score));
	sh_json_number(state, "key", hit->key);
	push_reasons(state, eval, hit);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
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
	names = sh_search_texts(wanted, &count);
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

/* Words that feedback added, for pages to come. */
static void
push_related(JsonbParseState **state, const struct query *query)
{
	sh_json_key(state, "related");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < query->term_count; i++)
		if (query->terms[i].related && query->terms[i].boost > 0)
			push_number(state, query->terms[i].word, query->terms[i].boost);
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
			sh_json_number(state, sh_search_term_key(term), term->docs);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	push_related(state, eval->query);
	sh_json_number(state, "spelling", eval->spelling);
	sh_json_bool(state, "relaxed", eval->relaxed);
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

struct correction
{
	int start, end;
	const char *word;
};

/* What a spelling counts for a record, and how it is written. */
static double
spelling_score(const struct query_node *spelling, const double *terms)
{
	double score = 0;

	if (spelling->kind == QUERY_WORD)
		return terms[spelling->term];
	for (int i = 0; i < spelling->count; i++)
	{
		if (terms[spelling->parts[i]->term] <= 0)
			return 0;
		score += terms[spelling->parts[i]->term];
	}
	return score;
}

/* Of the spellings of a word the one that counts most for the best record; NULL: as it was typed.
 */
static const char *
meant(const struct eval *eval, const struct query_node *node, const double *terms)
{
	const struct query_node *best = NULL;
	double most = 0;

	for (int i = 0; i < node->count; i++)
	{
		double score = spelling_score(node->parts[i], terms);

		if (score > most)
			best = node->parts[i];
		most = Max(most, score);
	}
	if (!best)
		return eval->hit_count > 0 ? NULL : node->corrected;
	if (best == node->parts[0])
		return NULL;
	return best->kind == QUERY_WORD ? eval->query->terms[best->term].word : best->value;
}

static int
find_corrections(const struct eval *eval, const struct query_node *node, const double *terms,
				 struct correction *out)
{
	const char *word = node->corrected ? meant(eval, node, terms) : NULL;
	int count = 0;

	if (word)
		out[count++] = (struct correction){ node->start, node->end, word };
	for (int i = 0; i < node->count; i++)
		count += find_corrections(eval, node->parts[i], terms, out + count);
	return count;
}

/* The query with the words that were probably meant. */
static void
push_corrected(JsonbParseState **state, struct eval *eval)
{
	struct correction found[QUERY_TERMS_MAX];
	double terms[QUERY_TERMS_MAX] = { 0 };
	StringInfoData text;
	int at = 0;
	int count;

	if (eval->hit_count > 0)
		sh_rank_terms(eval, &eval->hits[0], terms);
	count = find_corrections(eval, eval->query->root, terms, found);
	if (count == 0)
		return;
	initStringInfo(&text);
	/* What many words became one of comes behind others: the first of those left goes next. */
	for (int done = 0; done < count; done++)
	{
		int next = -1;

		for (int i = 0; i < count; i++)
			if (found[i].start >= at && (next < 0 || found[i].start < found[next].start))
				next = i;
		if (next < 0)
			break;
		appendBinaryStringInfo(&text, eval->query->text + at, found[next].start - at);
		appendStringInfoString(&text, found[next].word);
		at = found[next].end;
	}
	appendBinaryStringInfo(&text, eval->query->text + at, eval->query->len - at);
	sh_json_string(state, "corrected", text.data);
}

JsonbValue *
sh_search_answer(struct eval *eval, uint64 *const *found, JsonbContainer *options)
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
	push_corrected(&state, eval);
	return pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}
