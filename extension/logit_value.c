/* Reading values of any type as numbers or words. */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "logit_value.h"

#define MAX_WORD_BYTES 200

bool
sh_logit_fixed(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
	}
	return false;
}

void
sh_logit_reader(struct logit_reader *reader, Oid type)
{
	Oid out;
	bool varlena;

	reader->type = getBaseType(type);
	reader->words = !sh_logit_fixed(reader->type) && reader->type != NUMERICOID;
	getTypeOutputInfo(reader->type, &out, &varlena);
	fmgr_info(out, &reader->out);
}

float
sh_logit_float(const struct logit_reader *reader, Datum value)
{
	switch (reader->type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case FLOAT4OID:
			return sh_logit_narrow(DatumGetFloat4(value));
		case FLOAT8OID:
			return sh_logit_narrow(DatumGetFloat8(value));
		case NUMERICOID:
			return sh_logit_narrow(
				DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value)));
		case DATEOID:
			return sh_logit_date(DatumGetDateADT(value));
		default:
			return sh_logit_timestamp(DatumGetTimestamp(value));
	}
}

const char *
sh_logit_text(const struct logit_reader *reader, Datum value, int *len)
{
	const char *word;

	if (reader->type == BOOLOID)
		word = DatumGetBool(value) ? "true" : "false";
	else if (reader->type == TEXTOID || reader->type == VARCHAROID)
	{
		text *t = (text *) PG_DETOAST_DATUM_PACKED(value);

		*len = pg_mbcliplen(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), MAX_WORD_BYTES);
		return VARDATA_ANY(t);
	}
	else
		word = OutputFunctionCall(unconstify(FmgrInfo *, &reader->out), value);
	*len = pg_mbcliplen(word, strlen(word), MAX_WORD_BYTES);
	return word;
}

int
sh_logit_level(const struct logit_feature *feature, const struct logit_reader *reader, Datum value)
{
	const char *word;
	int len;

	if (!reader->words)
		return sh_logit_number(feature, sh_logit_float(reader, value));
	word = sh_logit_text(reader, value, &len);
	return sh_logit_word(feature, word, len);
}
