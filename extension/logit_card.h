/* How good predictions are. */
#pragma once

#include "postgres.h"

#define CARD_BINS 10

struct logit_bin
{
	int n;
	double predicted, observed; /* means */
};

struct logit_card
{
	int n, won;
	double base_rate;
	double auc;		 /* chance that a won one is placed above a lost one, ties half */
	double brier;	 /* mean square of the difference (Brier 1950) */
	double log_loss; /* mean, natural logarithm */
	double base_log_loss;
	double ece;	 /* mean |predicted − observed| over ten bins of equal size, by size */
	double lift; /* won among the best tenth, over the base rate */
	struct logit_bin bins[CARD_BINS];
};

/* probability and outcome of n rows, both kinds of outcome among them. */
extern void sh_logit_card(const double *probability, const uint8 *outcome, int n,
						  struct logit_card *card);
