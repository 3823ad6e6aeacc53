/*
 * Where the sum of independent amounts, each of which comes with its probability or not at all,
 * will probably lie. What is certain is added at the end. Few amounts, or many that share sums, are
 * enumerated: exact but for the rounding of doubles. Otherwise the distribution is computed on a
 * grid by a tree of convolutions, large ones by FFT: Biscarri, Zhao, Brunner, A simple and fast
 * method for computing the Poisson binomial distribution function (2018); with amounts, Zhang,
 * Hong, Balakrishnan, The generalized Poisson-binomial distribution (2018).
 *
 * An amount between two points of the grid is shared out between both so that its mean stays. The
 * difference D between both sums is then a sum of independent terms of mean 0, none larger than a
 * step, and Bernstein's inequality (Boucheron, Lugosi, Massart, Concentration Inequalities, 2.8)
 * bounds it but for a probability of 1e-9: t = Lh/3 + sqrt((Lh/3)^2 + 2 Var(D) L), L = ln(2e9).
 */
#include "postgres.h"

#include <math.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "saleshub.h"
#include "stats.h"

#define ITEMS_MAX 100000
#define ENUMERATED_BITS 17						  /* so many sums at most: 2^17 */
#define ENUMERATED_WORK_MAX (INT64CONST(1) << 24) /* additions */
/* On 20 standard deviations; more for more amounts, so that the bound stays near 1 % of one. */
#define GRID_POINTS_LEAST 65536
#define GRID_POINTS 262144
#define GRID_POINTS_MAX (1 << 21) /* on the sum of all */
#define LEAF_ITEMS 16
#define TAIL_MASS 1e-16
#define BOUND_LOG 21.4164 /* ln(2 / 1e-9) */
#define ROUNDING 1e-11	  /* what a probability may be off by */

/* A distribution on points of the grid: the mass at first, first + 1, … */
struct grid_part
{
	int64 first;
	int len;
	double *mass;
};

PG_FUNCTION_INFO_V1(sh_bernoulli_sum_interval);

static bool
sums_enumerated(const struct stats_item *items, int count, struct stats_sum *out)
{
	Size most = (Size) 1 << Min(count, ENUMERATED_BITS + 1);
	int64 *sum = palloc(sizeof(int64) * most);
	double *mass = palloc(sizeof(double) * most);
	int64 *next_sum = palloc(sizeof(int64) * most);
	double *next_mass = palloc(sizeof(double) * most);
	int len = 1;
	int64 work = 0;

	sum[0] = 0;
	mass[0] = 1;
	for (int i = 0; i < count; i++)
	{
		int n = 0;
		int without = 0;

		CHECK_FOR_INTERRUPTS();
		work += len;
		if (len > 1 << ENUMERATED_BITS || work > ENUMERATED_WORK_MAX)
			return false;
		for (int with = 0; with < len; with++)
		{
			int64 here = sum[with] + items[i].amount;

			for (; without < len && sum[without] < here; without++, n++)
			{
				next_sum[n] = sum[without];
				next_mass[n] = mass[without] * (1 - items[i].p);
			}
			next_sum[n] = here;
			next_mass[n] = mass[with] * items[i].p;
			if (without < len && sum[without] == here)
				next_mass[n] += mass[without++] * (1 - items[i].p);
			n++;
		}
		len = n;
		memcpy(sum, next_sum, sizeof(int64) * len);
		memcpy(mass, next_mass, sizeof(double) * len);
	}
	*out = (struct stats_sum){ .len = len, .at = sum, .mass = mass, .step = 1 };
	return true;
}

/* Cut off what weighs next to nothing on both sides. */
static void
part_trim(struct grid_part *part)
{
	double tail = part->mass[0];
	int skip = 0;

	while (skip < part->len - 1 && tail < TAIL_MASS)
		tail += part->mass[++skip];
	part->first += skip;
	part->mass += skip;
	part->len -= skip;
	tail = part->mass[part->len - 1];
	while (part->len > 1 && tail < TAIL_MASS)
		tail += part->mass[--part->len - 1];
}

/* The items one after the other; each adds two points of the grid to each sum. */
static struct grid_part
part_of_items(const struct stats_item *items, int count, int64 step)
{
	struct grid_part part = { .len = 1 };
	int64 size = 1;

	for (int i = 0; i < count; i++)
		size += items[i].amount / step + 1;
	part.mass = palloc0(sizeof(double) * size);
	part.mass[0] = 1;
	for (int i = 0; i < count; i++)
	{
		int64 low = items[i].amount / step;
		double above = (double) (items[i].amount % step) / step;

		CHECK_FOR_INTERRUPTS();
		for (int j = part.len - 1; j >= 0; j--)
		{
			double mass = part.mass[j];

			/* What lies higher up has been taken from already. */
			part.mass[j] = mass * (1 - items[i].p);
			part.mass[j + low] += mass * items[i].p * (1 - above);
			part.mass[j + low + 1] += mass * items[i].p * above;
		}
		part.len += low + 1;
	}
	part_trim(&part);
	return part;
}

/* The half turn in size / 2 steps, for transforms up to this size; grows in a context of its own.
 */
struct turns
{
	MemoryContext context;
	int size;
	double *turn; /* cosine, sine */
};

static void
turns_for(struct turns *turns, int size)
{
	if (turns->size >= size)
		return;
	if (turns->turn)
		pfree(turns->turn);
	turns->turn = MemoryContextAlloc(turns->context, sizeof(double) * size);
	turns->size = size;
	for (int j = 0; j < size / 2; j++)
	{
		turns->turn[2 * j] = cos(2 * M_PI * j / size);
		turns->turn[2 * j + 1] = sin(2 * M_PI * j / size);
	}
}

static void
reverse_bits(double *z, int n)
{
	for (int i = 1, j = 0; i < n; i++)
	{
		int bit = n >> 1;

		for (; j & bit; bit >>= 1)
			j ^= bit;
		j ^= bit;
		for (int k = 0; i < j && k < 2; k++)
		{
			double held = z[2 * i + k];

			z[2 * i + k] = z[2 * j + k];
			z[2 * j + k] = held;
		}
	}
}

/* In place, of a power of two of complex numbers, each a pair; sign -1 forward, 1 back. */
static void
fft(double *z, int n, int sign, struct turns *turns)
{
	turns_for(turns, n);
	reverse_bits(z, n);
	for (int len = 2; len <= n; len <<= 1)
	{
		int step = turns->size / len;

		CHECK_FOR_INTERRUPTS();
		for (double *block = z; block < z + 2 * n; block += 2 * len)
		{
			double *far = block + len;

			for (int j = 0; j < len; j += 2)
			{
				const double *turn = turns->turn + (size_t) j * step;
				double im = sign * turn[1];
				double x = far[j] * turn[0] - far[j + 1] * im;
				double y = far[j] * im + far[j + 1] * turn[0];

				far[j] = block[j] - x;
				far[j + 1] = block[j + 1] - y;
				block[j] += x;
				block[j + 1] += y;
			}
		}
	}
}

/* The imaginary part of (a + ib)^2 is 2ab: one transform does for both. */
static void
convolve_by_fft(const struct grid_part *a, const struct grid_part *b, struct grid_part *out,
				struct turns *turns)
{
	int n = 1;
	double *z;

	while (n < out->len)
		n <<= 1;
	z = palloc0(sizeof(double) * 2 * n);
	for (int i = 0; i < a->len; i++)
		z[2 * i] = a->mass[i];
	for (int i = 0; i < b->len; i++)
		z[2 * i + 1] = b->mass[i];
	fft(z, n, -1, turns);
	for (int i = 0; i < n; i++)
	{
		double re = z[2 * i];
		double im = z[2 * i + 1];

		z[2 * i] = re * re - im * im;
		z[2 * i + 1] = 2 * re * im;
	}
	fft(z, n, 1, turns);
	for (int i = 0; i < out->len; i++)
		out->mass[i] = Max(z[2 * i + 1] / n / 2, 0);
	pfree(z);
}

static struct grid_part
part_convolve(const struct grid_part *a, const struct grid_part *b, struct turns *turns)
{
	struct grid_part out = { .first = a->first + b->first, .len = a->len + b->len - 1 };

	out.mass = palloc0(sizeof(double) * out.len);
	if ((int64) Min(a->len, b->len) > 64)
		convolve_by_fft(a, b, &out, turns);
	else
		for (int i = 0; i < a->len; i++)
			for (int j = 0; j < b->len; j++)
				out.mass[i + j] += a->mass[i] * b->mass[j];
	part_trim(&out);
	return out;
}

/* The sum of these items. Memory of the parts it is made of is given back on the way. */
static struct grid_part
part_of(const struct stats_item *items, int count, int64 step, struct turns *turns)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext here;
	struct grid_part left;
	struct grid_part right;
	struct grid_part both;
	double *kept;

	if (count <= LEAF_ITEMS)
		return part_of_items(items, count, step);
	here = AllocSetContextCreate(caller, "sum on a grid", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(here);
	left = part_of(items, count / 2, step, turns);
	right = part_of(items + count / 2, count - count / 2, step, turns);
	both = part_convolve(&left, &right, turns);
	kept = MemoryContextAlloc(caller, sizeof(double) * both.len);
	memcpy(kept, both.mass, sizeof(double) * both.len);
	both.mass = kept;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(here);
	return both;
}

/* Steps of a divisor of all amounts are exact. */
static int64
grid_step(const struct stats_item *items, int count)
{
	double total = 0;
	double variance = 0;
	int64 divisor = 0;
	double points;
	double want;

	for (int i = 0; i < count; i++)
	{
		int64 rest = items[i].amount;

		total += items[i].amount;
		variance += (double) items[i].amount * items[i].amount * items[i].p * (1 - items[i].p);
		while (rest != 0)
		{
			int64 held = divisor % rest;

			divisor = rest;
			rest = held;
		}
	}
	points = Min(GRID_POINTS, Max(GRID_POINTS_LEAST, 13000 * sqrt(count / 12.0)));
	want = Max(20 * sqrt(variance) / points, total / GRID_POINTS_MAX);
	return want <= divisor ? divisor : (int64) ceil(want);
}

static double
grid_error(const struct stats_item *items, int count, int64 step)
{
	double variance = 0;
	double most = 0;
	double linear = BOUND_LOG * step / 3;

	for (int i = 0; i < count; i++)
	{
		double above = (double) (items[i].amount % step) / step;

		if (above == 0)
			continue;
		variance += items[i].p * above * (1 - above) * step * step;
		most += Max(above, 1 - above) * step;
	}
	return Min(most, variance == 0 ? 0 : linear + sqrt(linear * linear + 2 * variance * BOUND_LOG));
}

static void
sums_on_grid(const struct stats_item *items, int count, struct stats_sum *out)
{
	int64 step = grid_step(items, count);
	struct turns turns = { .context = CurrentMemoryContext };
	struct grid_part part = part_of(items, count, step, &turns);

	*out = (struct stats_sum){ .len = part.len,
							   .first = part.first,
							   .mass = part.mass,
							   .step = step,
							   .error = grid_error(items, count, step) };
}

void
sh_stats_sum(const struct stats_item *items, int count, struct stats_sum *out)
{
	if (!sums_enumerated(items, count, out))
		sums_on_grid(items, count, out);
}

int64
sh_stats_quantile(const struct stats_sum *sum, double q)
{
	double below = 0;
	int i = 0;

	for (; i < sum->len - 1; i++)
	{
		below += sum->mass[i];
		if (below >= q - ROUNDING)
			break;
	}
	return sum->at ? sum->at[i] : (sum->first + i) * sum->step;
}

/* ---- from SQL and back ---- */

static void
check_arguments(ArrayType *p, ArrayType *amount, double level)
{
	if (isnan(level) || level <= 0 || level >= 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("level %g is not between 0 and 1", level)));
	if (ARR_NDIM(p) > 1 || ARR_NDIM(amount) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("probabilities and amounts must be one-dimensional arrays")));
	if (ArrayGetNItems(ARR_NDIM(p), ARR_DIMS(p)) !=
		ArrayGetNItems(ARR_NDIM(amount), ARR_DIMS(amount)))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are not as many amounts as probabilities")));
	if (array_contains_nulls(p) || array_contains_nulls(amount))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("probabilities and amounts must not be null")));
	if (ArrayGetNItems(ARR_NDIM(p), ARR_DIMS(p)) > ITEMS_MAX)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("more than %d amounts", ITEMS_MAX)));
}

static Numeric
calc(PGFunction function, Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(function, NumericGetDatum(a), NumericGetDatum(b)));
}

static Numeric
power_of_ten(int places)
{
	char text[16];

	snprintf(text, sizeof text, "1e%d", places);
	return DatumGetNumeric(DirectFunctionCall3(
		numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * How many decimals all amounts need. When their sum would not fit into 18 digits then, as many as
 * fit; *error grows by what rounding all of them may change.
 */
static int
decimals(const Datum *amount, int count, double *error)
{
	Numeric total = int64_to_numeric(0);
	int places = 0;
	int most = 18;

	for (int i = 0; i < count; i++)
	{
		places = Max(places, DatumGetInt32(DirectFunctionCall1(numeric_min_scale, amount[i])));
		total = calc(numeric_add, total, DatumGetNumeric(amount[i]));
	}
	while (most > -18 && DatumGetBool(DirectFunctionCall2(
							 numeric_ge,
							 NumericGetDatum(calc(numeric_mul, total, power_of_ten(most))),
							 NumericGetDatum(int64_to_numeric(INT64CONST(1000000000000000000))))))
		most--;
	if (most == -18)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("the amounts are too large")));
	if (places > most)
		*error += 0.5 * count;
	return Min(places, most);
}

/* The items that may come or not, in units; returns how many, and the sum of what is certain. */
static int
read_items(const Datum *p, const Datum *amount, int count, int places, struct stats_item *items,
		   int64 *certain)
{
	Numeric scale = power_of_ten(places);
	int used = 0;

	*certain = 0;
	for (int i = 0; i < count; i++)
	{
		double chance = DatumGetFloat8(p[i]);
		Numeric scaled = calc(numeric_mul, DatumGetNumeric(amount[i]), scale);
		int64 units = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(scaled)));

		if (chance == 1)
			*certain += units;
		else if (chance != 0 && units != 0)
			items[used++] = (struct stats_item){ .p = chance, .amount = units };
	}
	return used;
}

static void
check_items(const Datum *p, const Datum *amount, int count)
{
	Datum zero = NumericGetDatum(int64_to_numeric(0));

	for (int i = 0; i < count; i++)
	{
		double chance = DatumGetFloat8(p[i]);

		if (isnan(chance) || chance < 0 || chance > 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("probability %g is not between 0 and 1", chance)));
		if (numeric_is_nan(DatumGetNumeric(amount[i])) ||
			numeric_is_inf(DatumGetNumeric(amount[i])) ||
			DatumGetBool(DirectFunctionCall2(numeric_lt, amount[i], zero)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("amount %s is not a number from 0",
							DatumGetCString(DirectFunctionCall1(numeric_out, amount[i])))));
	}
}

static Datum
units_numeric(int64 units, int places)
{
	Numeric value = calc(numeric_mul, int64_to_numeric(units), power_of_ten(-places));

	return DirectFunctionCall2(
		numeric_round, NumericGetDatum(value), Int32GetDatum(Max(places, 0)));
}

Datum
sh_bernoulli_sum_interval(PG_FUNCTION_ARGS)
{
	ArrayType *p_array = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType *amount_array = PG_GETARG_ARRAYTYPE_P(1);
	double level = PG_GETARG_FLOAT8(2);
	struct stats_sum sum = { 0 };
	struct stats_item *items;
	TupleDesc desc;
	Datum *p;
	Datum *amount;
	int count;
	int places;
	int used;
	double error = 0;
	int64 certain;
	Datum values[4];
	bool nulls[4] = { false };

	check_arguments(p_array, amount_array, level);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	deconstruct_array(p_array, FLOAT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &p, NULL, &count);
	deconstruct_array(amount_array, NUMERICOID, -1, false, TYPALIGN_INT, &amount, NULL, &count);
	check_items(p, amount, count);
	places = decimals(amount, count, &error);
	items = palloc(sizeof(struct stats_item) * Max(count, 1));
	used = read_items(p, amount, count, places, items, &certain);
	sh_stats_sum(items, used, &sum);
	values[0] = units_numeric(certain + sh_stats_quantile(&sum, (1 - level) / 2), places);
	values[1] = units_numeric(certain + sh_stats_quantile(&sum, (1 + level) / 2), places);
	error += sum.error;
	values[2] = units_numeric((int64) ceil(error), places);
	values[3] = CStringGetTextDatum(error == 0 ? "exact" : "grid");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
