/* What scores are measured by: frequencies of words and lengths of fields of what may be found. */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"
#include "search_eval.h"

char *
sh_search_term_key(const struct query_term *term)
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
	eval->scoring.docs = (int64) sh_json_double(given, "docs", 0);
	eval->scoring.today = (int) sh_json_double(given, "today", eval->scoring.today);
	sh_search_numbers_of(given, "words", numbers, SEARCH_FIELDS);
	for (int i = 0; i < SEARCH_FIELDS; i++)
		words[i] = (int64) numbers[i];
	for (int i = 0; i < eval->query->term_count; i++)
	{
		struct query_term *term = &eval->query->terms[i];

		term->docs = (int64) sh_json_double(terms, sh_search_term_key(term), term->docs);
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

void
sh_search_statistics(struct eval *eval, JsonbContainer *options)
{
	int64 words[SEARCH_FIELDS] = { 0 };

	eval->scoring.docs = 0;
	for (int i = 0; i < eval->query->term_count; i++)
		eval->query->terms[i].docs = sh_part_docs(eval, i);
	for (int i = 0; i < eval->part_count; i++)
		add_part_statistics(eval, &eval->parts[i], words);
	/* Lengths that do not depend on what others wrote. */
	if (eval->restricted)
		for (int i = 0; i < SEARCH_FIELDS; i++)
			words[i] = eval->scoring.docs * SEARCH_USUAL_LENGTH;
	use_given_statistics(eval, options, words);
	memcpy(eval->words, words, sizeof words);
	sh_search_score_prepare(eval, words);
	sh_near_prepare(eval);
}
