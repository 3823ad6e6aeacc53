/* Running a query: what it finds as it stands, and what it finds otherwise when that is too little.
 */
#include "postgres.h"

#include "saleshub.h"
#include "search_eval.h"

PG_FUNCTION_INFO_V1(sh_search_run);

/* Fewer than these are looked at as a misspelling. */
#define FEW_HITS 3

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

/* --- the function --- */

/* The query as it stands; what it finds where that is counted, else NULL. */
static uint64 **
find_once(struct eval *eval, JsonbContainer *options)
{
	bool counted = sh_json_truth(options, "total", false) || sh_json_container(options, "facets");
	uint64 **found;

	sh_search_statistics(eval, options);
	found = counted ? find_all(eval) : NULL;
	rank_all_parts(eval, found);
	return found;
}

/* The same order once more, by what the best have in common. */
static void
rank_by_feedback(struct eval *eval, JsonbContainer *options, uint64 *const *found)
{
	if (!sh_feedback_candidates(eval))
		return;
	sh_search_statistics(eval, options);
	sh_feedback_choose(eval);
	eval->hit_count = 0;
	rank_all_parts(eval, found);
}

struct related_taker
{
	struct query *query;
	double boost;
};

static void
take_related(void *arg, const struct sh_search_word *word)
{
	struct related_taker *taker = arg;
	int n = sh_query_term(taker->query, word->term, word->text, QUERY_ANYWHERE, taker->boost);

	taker->query->terms[n].related = true;
}

/* What an earlier page was ranked by. */
static void
use_given_words(struct eval *eval, JsonbContainer *statistics)
{
	JsonbContainer *related = sh_json_container(statistics, "related");
	JsonbIterator *it = related ? JsonbIteratorInit(related) : NULL;
	JsonbIteratorToken token;
	JsonbValue v;
	struct related_taker taker = { eval->query, 0 };

	while (it && (token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY && eval->query->term_count < QUERY_TERMS_MAX)
		{
			char *word = pnstrdup(v.val.string.val, v.val.string.len);

			taker.boost = Min(sh_json_double(related, word, 0), 1);
			sh_search_words(word, strlen(word), eval->query->dictionary, 1, take_related, &taker);
		}
}

/* Whether too little is found of all words, so that some of them will do. */
static bool
relax(struct eval *eval)
{
	int words = eval->query->words;
	struct query_node *root;

	if (eval->hit_count >= Min(words > 2 ? FEW_HITS : 1, eval->limit))
		return false;
	root = sh_query_relaxed(eval->query, eval->query->root);
	if (!root)
		return false;
	eval->query->root = root;
	eval->relaxed = true;
	return true;
}

static uint64 **
find_again(struct eval *eval, JsonbContainer *options)
{
	eval->hit_count = 0;
	return find_once(eval, options);
}

/* A page to come: words are taken as for the first. */
static uint64 **
find_more(struct eval *eval, JsonbContainer *options, JsonbContainer *given)
{
	eval->spelling = (int) sh_json_double(given, "spelling", SPELLING_UNKNOWN);
	if (eval->spelling != SPELLING_UNKNOWN)
		(void) sh_expand_typos(eval, eval->query->root, eval->spelling);
	if (sh_json_truth(given, "relaxed", false))
	{
		struct query_node *root = sh_query_relaxed(eval->query, eval->query->root);

		eval->relaxed = root != NULL;
		eval->query->root = root ? root : eval->query->root;
	}
	use_given_words(eval, given);
	return find_once(eval, options);
}

/* Find; when hardly anything is found, what was probably meant, too. */
static uint64 **
find(struct eval *eval, JsonbContainer *options)
{
	JsonbContainer *given = sh_json_container(options, "statistics");
	bool typos = sh_json_truth(options, "typos", true);
	uint64 **found;

	sh_expand_prefixes(eval, eval->query->root);
	if (typos)
		(void) sh_expand_typos(eval, eval->query->root, SPELLING_UNKNOWN);
	if (given)
		return find_more(eval, options, given);
	found = find_once(eval, options);
	if (!typos)
		return found;
	if (eval->hit_count < Min(FEW_HITS, eval->limit))
	{
		eval->spelling = eval->hit_count == 0 ? SPELLING_ALL : SPELLING_RARE;
		if (sh_expand_typos(eval, eval->query->root, eval->spelling))
			found = find_again(eval, options);
	}
	if (relax(eval))
		found = find_again(eval, options);
	rank_by_feedback(eval, options, found);
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
	eval->context = CurrentMemoryContext;
	eval->index = sh_search_index_open(&eval->org);
	sh_search_options(eval, options);
	sh_part_open_all(eval);
	sh_scope_apply(eval, sh_json_container(options, "scope"));
	sh_scope_filter(eval);
	sh_boost_read(eval, sh_json_container(options, "boosts"));
	found = find(eval, options);
	done = JsonbValueToJsonb(sh_search_answer(eval, found, options));
	sh_part_close_all(eval);
	PG_RETURN_JSONB_P(done);
}
