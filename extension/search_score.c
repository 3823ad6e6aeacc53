/*
 * How well a document fits: BM25F (Robertson, Zaragoza, Taylor: "Simple BM25 extension to multiple
 * weighted fields", CIKM 2004; Robertson, Zaragoza: "The Probabilistic Relevance Framework: BM25
 * and Beyond", 2009, section 3.6):
 *
 *   tf    = sum over fields of weight × count / (1 - b + b × length / average length)
 *   idf   = ln(1 + (N - n + 0.5) / (n + 0.5))
 *   score = sum over terms of boost × idf × tf × (k1 + 1) / (tf + k1)
 *
 * N, n and the averages are those of the documents that may be found, at this snapshot.
 */
#include "postgres.h"

#include <math.h>

#include "search_eval.h"

void
sh_search_score_prepare(struct eval *eval, const int64 *words)
{
	struct eval_scoring *s = &eval->scoring;

	for (int field = 0; field < SEARCH_FIELDS; field++)
	{
		s->average[field] = s->docs > 0 ? (double) words[field] / s->docs : 0;
		for (int code = 0; code < 256; code++)
		{
			double share =
				s->average[field] > 0 ? sh_search_length((uint8) code) / s->average[field] : 1;

			s->norm[field][code] =
				s->weight[field] / (1 - s->b[field] + s->b[field] * share + 1e-9);
		}
	}
	for (int i = 0; i < eval->query->term_count; i++)
	{
		struct query_term *term = &eval->query->terms[i];
		double with = (double) Min(term->docs, s->docs);

		term->idf = log(1 + (s->docs - with + 0.5) / (with + 0.5));
	}
}

static inline double
saturated(const struct eval *eval, const struct query_term *term, double tf)
{
	double k1 = eval->scoring.k1;

	return tf > 0 ? term->boost * term->idf * tf * (k1 + 1) / (tf + k1) : 0;
}

double
sh_search_score_post(const struct eval *eval, const struct query_term *term, uint8 fields,
					 const uint8 *post)
{
	struct sh_search_hit hits[SEARCH_FIELDS];
	int count;
	double tf = 0;

	sh_search_post_read(post, hits, &count);
	for (int i = 0; i < count; i++)
		if (fields & term->fields & (1 << hits[i].field))
			tf += hits[i].count * eval->scoring.norm[hits[i].field][hits[i].code];
	return saturated(eval, term, tf);
}

double
sh_search_score_bound(const struct eval *eval, const struct query_term *term,
					  const struct sh_search_bound *bound)
{
	double tf = 0;

	for (int field = 0; field < SEARCH_FIELDS; field++)
		if (bound->count[field] > 0 && term->fields & (1 << field))
		{
			double most = bound->count[field] == 255 ? PG_INT32_MAX : bound->count[field];

			tf += most * eval->scoring.norm[field][bound->code[field]];
		}
	return saturated(eval, term, tf);
}

double
sh_search_score_fresh_most(const struct eval *eval)
{
	return eval->scoring.freshness;
}

double
sh_search_score_fresh(struct eval *eval, struct eval_part *part, uint32 doc)
{
	const struct eval_scoring *s = &eval->scoring;

	if (s->freshness <= 0)
		return 0;
	if (!part->days)
		part->days = sh_part_column(eval, part, SEARCH_FACET_DAY);
	return s->freshness * exp2(-Max(s->today - part->days[doc], 0) / s->half_life);
}
