/* Cutting features into levels. */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"

#include "logit_code.h"

/* Values that quantiles are taken of. */
#define QUANTILE_SAMPLE 100000

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *) a;
	float y = *(const float *) b;

	return (x > y) - (x < y);
}

int
sh_logit_number(const struct logit_feature *feature, float value)
{
	int low = 0;
	int high = feature->nedges;

	if (isnan(value))
		return 0;
	while (low < high)
	{
		int middle = (low + high) / 2;

		if (value < feature->edges[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low + 1;
}

int
sh_logit_word(const struct logit_feature *feature, const char *word, int len)
{
	int low = 0;
	int high = feature->levels - 2;

	while (low < high)
	{
		int middle = (low + high) / 2;
		const char *other = feature->word[middle];
		int order = strncmp(word, other, len);

		if (order == 0 && other[len] == '\0')
			return middle + 1;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return feature->levels - 1;
}

/* --- numbers --- */

static void
cut_numbers(const struct logit_column *column, int rows, int bins, struct logit_feature *feature)
{
	int n = Min(rows, QUANTILE_SAMPLE);
	float *sample = palloc(Max(n, 1) * sizeof *sample);
	int count = 0;

	for (int i = 0; i < n; i++)
	{
		float value = column->numbers[(int64) i * rows / n];

		if (!isnan(value))
			sample[count++] = value;
	}
	qsort(sample, count, sizeof *sample, compare_floats);
	feature->edges = palloc(bins * sizeof *feature->edges);
	for (int i = 1; i < bins && count > 0; i++)
	{
		/* infinity is at or above the last edge, which is a number */
		float edge = Min(sample[(int64) i * count / bins], FLT_MAX);

		/* an edge at the least value would cut nothing off */
		if (edge > sample[0] &&
			(feature->nedges == 0 || edge > feature->edges[feature->nedges - 1]))
			feature->edges[feature->nedges++] = edge;
	}
	/* two values are two levels, however rare the second */
	if (feature->nedges == 0 && count > 0 && sample[count - 1] > sample[0])
		for (int i = 1; i < count && feature->nedges == 0; i++)
			if (sample[i] > sample[0])
				feature->edges[feature->nedges++] = Min(sample[i], FLT_MAX);
	feature->levels = feature->nedges + 2;
	pfree(sample);
}

/* --- words --- */

struct tally
{
	const char *word;
	uint32 id;
	int count;
};

/* The most frequent first. */
static int
compare_counts(const void *a, const void *b)
{
	const struct tally *x = a;
	const struct tally *y = b;

	return x->count != y->count ? y->count - x->count : strcmp(x->word, y->word);
}

static int
compare_words(const void *a, const void *b)
{
	return strcmp(((const struct tally *) a)->word, ((const struct tally *) b)->word);
}

/* The level of each id, 0 staying 0. */
static uint8 *
cut_words(const struct logit_column *column, int rows, const struct logit_options *options,
		  struct logit_feature *feature)
{
	struct tally *tallies = palloc0((column->nnames + 1) * sizeof *tallies);
	uint8 *level = palloc(column->nnames + 2);
	int kept = 0;

	for (int i = 0; i < column->nnames; i++)
		tallies[i] = (struct tally){ .word = column->names[i], .id = i + 1 };
	for (int i = 0; i < rows; i++)
		if (column->ids[i] > 0 && column->ids[i] <= (uint32) column->nnames)
			tallies[column->ids[i] - 1].count++;
	qsort(tallies, column->nnames, sizeof *tallies, compare_counts);
	while (kept < column->nnames && kept < options->max_levels &&
		   tallies[kept].count >= options->rare)
		kept++;
	qsort(tallies, kept, sizeof *tallies, compare_words);
	feature->levels = kept + 2;
	feature->word = palloc((kept + 1) * sizeof *feature->word);
	memset(level, kept + 1, column->nnames + 2);
	level[0] = 0;
	for (int i = 0; i < kept; i++)
	{
		feature->word[i] = unconstify(char *, tallies[i].word);
		level[tallies[i].id] = i + 1;
	}
	pfree(tallies);
	return level;
}

static void
code_column(const struct logit_column *column, const struct logit_options *options, int f,
			struct logit_feature *feature, struct logit_data *data)
{
	uint8 *codes = unconstify(uint8 *, data->codes) + f;
	uint8 *level;

	feature->name = column->name;
	feature->words = column->words;
	if (!column->words)
	{
		cut_numbers(column, data->rows, options->bins, feature);
		for (int i = 0; i < data->rows; i++)
			codes[(size_t) i * data->features] = sh_logit_number(feature, column->numbers[i]);
		return;
	}
	level = cut_words(column, data->rows, options, feature);
	for (int i = 0; i < data->rows; i++)
		codes[(size_t) i * data->features] =
			level[Min(column->ids[i], (uint32) column->nnames + 1)];
	pfree(level);
}

struct logit_feature *
sh_logit_code(const struct logit_source *source, const struct logit_options *options,
			  struct logit_data *data)
{
	struct logit_feature *features = palloc0(Max(source->columns, 1) * sizeof *features);
	int *offset = palloc0((source->columns + 1) * sizeof *offset);

	*data = (struct logit_data){ .rows = source->rows,
								 .features = source->columns,
								 .offset = offset,
								 .outcome = source->outcome };
	data->codes = MemoryContextAllocHuge(CurrentMemoryContext,
										 (Size) Max(source->rows, 1) * Max(source->columns, 1));
	for (int f = 0; f < source->columns; f++)
	{
		CHECK_FOR_INTERRUPTS();
		code_column(&source->column[f], options, f, &features[f], data);
		offset[f + 1] = offset[f] + features[f].levels;
	}
	return features;
}
