/* The measures of a model card. */
#include "postgres.h"

#include <math.h>

#include "logit_card.h"

struct scored
{
	double probability;
	uint8 outcome;
};

/* The most probable first. */
#define ST_SORT sort_scored
#define ST_ELEMENT_TYPE struct scored
#define ST_COMPARE(a, b)                                                                           \
	(((a)->probability < (b)->probability) - ((a)->probability > (b)->probability))
#define ST_SCOPE static
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

/* Mann and Whitney's U over its maximum. */
static double
auc_of(const struct scored *rows, int n, int won)
{
	double above = 0; /* pairs that are in order */
	double seen = 0;  /* won ones that are strictly above */

	for (int i = 0, end; i < n; i = end)
	{
		double here = 0;

		for (end = i; end < n && rows[end].probability == rows[i].probability; end++)
			here += rows[end].outcome;
		above += (end - i - here) * (seen + here / 2);
		seen += here;
	}
	return above / ((double) won * (n - won));
}

static void
fill_bins(const struct scored *rows, struct logit_card *card)
{
	for (int b = 0; b < CARD_BINS; b++)
	{
		struct logit_bin *bin = &card->bins[b];
		int from = (int) ((int64) b * card->n / CARD_BINS);
		int to = (int) ((int64) (b + 1) * card->n / CARD_BINS);

		*bin = (struct logit_bin){ .n = to - from };
		for (int i = from; i < to; i++)
		{
			bin->predicted += rows[i].probability;
			bin->observed += rows[i].outcome;
		}
		if (bin->n == 0)
			continue;
		bin->predicted /= bin->n;
		bin->observed /= bin->n;
		card->ece += fabs(bin->predicted - bin->observed) * bin->n / card->n;
	}
}

static double
log_loss_of(double p, bool won)
{
	p = Min(Max(p, 1e-15), 1 - 1e-15);
	return -log(won ? p : 1 - p);
}

void
sh_logit_card(const double *probability, const uint8 *outcome, int n, struct logit_card *card)
{
	struct scored *rows = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * sizeof *rows);

	memset(card, 0, sizeof *card);
	card->n = n;
	for (int i = 0; i < n; i++)
	{
		double off = probability[i] - outcome[i];

		rows[i] = (struct scored){ probability[i], outcome[i] };
		card->won += outcome[i];
		card->brier += off * off;
		card->log_loss += log_loss_of(probability[i], outcome[i]);
	}
	card->brier /= n;
	card->log_loss /= n;
	card->base_rate = (double) card->won / n;
	for (int i = 0; i < n; i++)
		card->base_log_loss += log_loss_of(card->base_rate, outcome[i]) / n;
	sort_scored(rows, n);
	card->auc = auc_of(rows, n, card->won);
	fill_bins(rows, card);
	card->lift = card->bins[0].observed / card->base_rate;
	pfree(rows);
}
