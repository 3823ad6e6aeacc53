/* Values of SQL as features see them; the same in training and in prediction. */
#pragma once

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "logit_code.h"

/* How values of a type are read. */
struct logit_reader
{
	Oid type; /* of domains what they are over */
	bool words;
	FmgrInfo out;
};

/* Infinities stay what they are: above or below all others. */
static inline float
sh_logit_narrow(double value)
{
	return isnan(value) ? NAN : (float) value;
}

static inline float
sh_logit_date(DateADT value)
{
	if (DATE_NOT_FINITE(value))
		return DATE_IS_NOBEGIN(value) ? -INFINITY : INFINITY;
	return value;
}

/* In days. */
static inline float
sh_logit_timestamp(Timestamp value)
{
	if (TIMESTAMP_NOT_FINITE(value))
		return TIMESTAMP_IS_NOBEGIN(value) ? -INFINITY : INFINITY;
	return value / (double) USECS_PER_DAY;
}

/* Numbers of one width; not numeric. */
extern bool sh_logit_fixed(Oid type);

/* What sh_logit_float makes of a value of such a type, where it lies in a row. */
static inline float
sh_logit_at(Oid type, const char *place)
{
	switch (type)
	{
		case INT2OID:
			return *(const int16 *) place;
		case INT4OID:
			return *(const int32 *) place;
		case INT8OID:
			return *(const int64 *) place;
		case FLOAT4OID:
			return sh_logit_narrow(*(const float4 *) place);
		case FLOAT8OID:
			return sh_logit_narrow(*(const float8 *) place);
		case DATEOID:
			return sh_logit_date(*(const DateADT *) place);
		default:
			return sh_logit_timestamp(*(const Timestamp *) place);
	}
}

extern void sh_logit_reader(struct logit_reader *reader, Oid type);
/* NAN: missing. */
extern float sh_logit_float(const struct logit_reader *reader, Datum value);
/* The text of a value, not terminated; at most so many bytes as count. */
extern const char *sh_logit_text(const struct logit_reader *reader, Datum value, int *len);
extern int sh_logit_level(const struct logit_feature *feature, const struct logit_reader *reader,
						  Datum value);
