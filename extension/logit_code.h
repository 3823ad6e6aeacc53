/* Features as levels: bins of numbers, words, and a level of its own for what is missing. */
#pragma once

#include "logit.h"
#include "logit_source.h"

/* A feature of a model. Level 0 is missing; the last level of words is all others. */
struct logit_feature
{
	char *name;
	bool words;
	int levels;
	int nedges; /* numbers: level 1 is below edge 0, level 2 from edge 0 to below edge 1 … */
	double *edges;
	char **word; /* of levels 1 to levels - 2 */
};

struct logit_options
{
	int bins, rare, max_levels;
};

/*
 * The levels of each column and every row as their codes, with its outcome. Numbers are cut at
 * quantiles; words that fewer than `rare` rows have are one level together.
 */
extern struct logit_feature *sh_logit_code(const struct logit_source *source,
										   const struct logit_options *options,
										   struct logit_data *data);
/* The level of one value. */
extern int sh_logit_number(const struct logit_feature *feature, float value);
extern int sh_logit_word(const struct logit_feature *feature, const char *word, int len);
