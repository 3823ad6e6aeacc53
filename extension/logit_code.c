/* Cutting features into levels. */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"

#include "logit_code.h"

/* Values that quantiles are taken of. */
#define QUANTILE_SAMPLE 8192
/* Codes that features share. */
#define GROUP_CODES 1024
/* Rows that stay together, and how many times a block. */
#define RUN 16
#define RUNS (LOGIT_BLOCK / RUN)
/* Rows that are coded at a time, and values that are compared side by side. */
#define BLOCK 1024
#define LANES 64

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

#define DIGIT 11 /* bits */

/* Bits that are in order when the numbers are, and back. */
static inline uint32
key_of(float value)
{
	uint32 bits;

	memcpy(&bits, &value, sizeof bits);
	return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

static inline float
value_of(uint32 key)
{
	uint32 bits = key & 0x80000000 ? key & 0x7fffffff : ~key;
	float value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

/* By digits, the lowest first: no comparison that a processor would have to guess. */
static void
sort_floats(float *values, int n)
{
	uint32 *keys = palloc(Max(n, 1) * 2 * sizeof *keys);
	uint32 *from = keys, *to = keys + n;

	for (int i = 0; i < n; i++)
		from[i] = key_of(values[i]);
	for (int shift = 0; shift < 32; shift += DIGIT)
	{
		int place[1 << DIGIT] = { 0 };
		uint32 *swap = from;
		int sum = 0;

		for (int i = 0; i < n; i++)
			place[from[i] >> shift & ((1 << DIGIT) - 1)]++;
		for (int d = 0; d < 1 << DIGIT; d++)
		{
			int count = place[d];

			place[d] = sum;
			sum += count;
		}
		for (int i = 0; i < n; i++)
			to[place[from[i] >> shift & ((1 << DIGIT) - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	for (int i = 0; i < n; i++)
		values[i] = value_of(from[i]);
	pfree(keys);
}

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
	sort_floats(sample, count);
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

/* --- codes --- */

/* How values of a column become levels. */
struct coder
{
	const struct logit_column *column;
	int levels;
	int nedges;
	float edges[LOGIT_LEVELS];
	uint8 *level; /* of words, by id */
};

static void
cut(const struct logit_source *source, const struct logit_options *options, int f,
	struct logit_feature *feature, struct coder *coder)
{
	const struct logit_column *column = &source->column[f];

	feature->name = column->name;
	feature->words = column->words;
	*coder = (struct coder){ .column = column };
	if (column->words)
		coder->level = cut_words(column, source->rows, options, feature);
	else
	{
		cut_numbers(column, source->rows, options->bins, feature);
		coder->nedges = feature->nedges;
		for (int i = 0; i < feature->nedges; i++)
			coder->edges[i] = feature->edges[i];
	}
	coder->levels = feature->levels;
}

/* The levels of LANES values: one more than the edges they reach, NaN, which reaches none, 0. */
SH_CLONES
static void
code_lanes(const struct coder *coder, const float *restrict value, uint16 *restrict level)
{
	int32 sum[LANES];

	for (int l = 0; l < LANES; l++)
		sum[l] = value[l] == value[l];
	for (int e = 0; e < coder->nedges; e++)
	{
		float edge = coder->edges[e];

		for (int l = 0; l < LANES; l++)
			sum[l] += value[l] >= edge;
	}
	for (int l = 0; l < LANES; l++)
		level[l] = sum[l];
}

static void
code_block(const struct coder *coder, int from, int n, uint16 *level)
{
	const struct logit_column *column = coder->column;
	int i = 0;

	if (coder->level)
	{
		for (; i < n; i++)
			level[i] = coder->level[Min(column->ids[from + i], (uint32) column->nnames + 1)];
		return;
	}
	for (; i + LANES <= n; i += LANES)
		code_lanes(coder, column->numbers + from + i, level + i);
	if (i < n)
	{
		float value[LANES] = { 0 };
		uint16 last[LANES];

		memcpy(value, column->numbers + from + i, (n - i) * sizeof *value);
		code_lanes(coder, value, last);
		memcpy(level + i, last, (n - i) * sizeof *last);
	}
}

/* Neighbours share a group as long as it stays small. */
static void
make_groups(const struct coder *coders, int most, struct logit_data *data)
{
	struct logit_group *groups = palloc0(Max(data->features, 1) * sizeof *groups);
	int n = 0;
	int64 joint = 0;

	for (int f = 0; f < data->features; f++)
	{
		struct logit_group *last = n > 0 ? &groups[n - 1] : NULL;

		if (last && last->size * coders[f].levels <= most)
		{
			last->size *= coders[f].levels;
			last->end = f + 1;
		}
		else
			groups[n++] =
				(struct logit_group){ .first = f, .end = f + 1, .size = coders[f].levels };
	}
	for (int g = 0; g < n; g++)
	{
		groups[g].start = joint;
		joint += groups[g].size;
	}
	data->group = groups;
	data->groups = n;
	data->joint = joint;
	if (joint <= LOGIT_CODES)
		return;
	if (most == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the features have " INT64_FORMAT " levels, of at most %d", joint, LOGIT_CODES),
			 errhint("Name fewer features, or ask for fewer bins.")));
	make_groups(coders, 0, data);
}

/*
 * Where a run of rows goes. Tables are often in some order; of many rows each block of
 * LOGIT_BLOCK is made of runs from all over the table, so that no fold is of another kind than
 * the rest. The rows after the last whole block stay where they are.
 */
static int
run_place(int run, int rows)
{
	int blocks = rows / LOGIT_BLOCK;

	if (rows <= LOGIT_FEW || run >= blocks * RUNS)
		return run;
	return run % blocks * RUNS + run / blocks;
}

static void
code_rows(const struct coder *coders, const uint8 *outcome, struct logit_data *data)
{
	int groups = data->groups;
	uint16 *codes = sh_logit_alloc((Size) Max(data->rows, 1) * Max(groups, 1) * sizeof(uint16));
	uint8 *outcomes = sh_logit_alloc(Max(data->rows, 1));
	uint16 level[BLOCK], joint[BLOCK];
	double *rows = palloc0((data->joint + 1) * sizeof *rows);
	double *count = palloc0((data->offset[data->features] + 1) * sizeof *count);

	for (int from = 0; from < data->rows; from += BLOCK)
	{
		int n = Min(BLOCK, data->rows - from);
		int place[BLOCK];

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			place[i] = run_place((from + i) / RUN, data->rows) * RUN + i % RUN;
			outcomes[place[i]] = outcome[from + i];
		}
		for (int g = 0; g < groups; g++)
		{
			const struct logit_group *group = &data->group[g];

			code_block(&coders[group->first], from, n, joint);
			for (int f = group->first + 1; f < group->end; f++)
			{
				code_block(&coders[f], from, n, level);
				for (int i = 0; i < n; i++)
					joint[i] = joint[i] * coders[f].levels + level[i];
			}
			for (int i = 0; i < n; i++)
			{
				uint16 code = group->start + joint[i];

				codes[(size_t) place[i] * groups + g] = code;
				rows[code]++;
			}
		}
	}
	sh_logit_levels(data, rows, count);
	data->codes = codes;
	data->outcome = outcomes;
	data->count = count;
	pfree(rows);
}

struct logit_feature *
sh_logit_code(const struct logit_source *source, const struct logit_options *options,
			  struct logit_data *data)
{
	struct logit_feature *features = palloc0(Max(source->columns, 1) * sizeof *features);
	struct coder *coders = palloc(Max(source->columns, 1) * sizeof *coders);
	int *offset = palloc0((source->columns + 1) * sizeof *offset);

	*data =
		(struct logit_data){ .rows = source->rows, .features = source->columns, .offset = offset };
	for (int f = 0; f < source->columns; f++)
	{
		CHECK_FOR_INTERRUPTS();
		cut(source, options, f, &features[f], &coders[f]);
		offset[f + 1] = offset[f] + features[f].levels;
	}
	make_groups(coders, GROUP_CODES, data);
	code_rows(coders, source->outcome, data);
	pfree(coders);
	return features;
}
