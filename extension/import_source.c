/*
 * The bytes of an upload, part by part, as text for the CSV reader. UTF-16 becomes UTF-8 here;
 * other encodings are left alone: what CSV is made of means the same in all of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "import.h"
#include "saleshub.h"

/* Stands for half a surrogate pair: no UTF-8 holds this byte. */
#define BROKEN '\xFF'

/* An upload is read for the member who sent it. */
static const char *
place_sql(void)
{
	return "SELECT p.part, p.upto - pg_catalog.octet_length(p.bytes) FROM saleshub.upload_part AS p"
		   " JOIN saleshub.upload AS u ON u.org_id = p.org_id AND u.upload_id = p.upload_id"
		   " WHERE p.org_id = $1 AND p.upload_id = $2 AND p.upto > $3"
		   " AND u.created_by IS NOT DISTINCT FROM saleshub.member_id() ORDER BY p.part LIMIT 1";
}

static const char *
part_sql(void)
{
	return "SELECT p.part, p.bytes FROM saleshub.upload_part AS p"
		   " WHERE p.org_id = $1 AND p.upload_id = $2 AND p.part >= $3 ORDER BY p.part LIMIT 1";
}

void
sh_source_open(struct import_source *source, const pg_uuid_t *org, const pg_uuid_t *upload,
			   int64 at, enum import_wide wide)
{
	Oid types[3] = { UUIDOID, UUIDOID, INT8OID };
	Datum values[3] = { UUIDPGetDatum(org), UUIDPGetDatum(upload), Int64GetDatum(at) };
	struct sh_identity identity;
	bool isnull;

	memset(source, 0, sizeof(*source));
	source->org = *org;
	source->upload = *upload;
	source->wide = wide;
	source->at = at;
	initStringInfo(&source->text);

	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(place_sql(), 3, types), values, NULL, true, 1);
	if (SPI_processed == 0)
		source->ended = true;
	else
	{
		Datum start = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);

		source->part =
			DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		source->skip = (Size) (at - DatumGetInt64(start));
	}
	SPI_finish();
	sh_owner_leave(&identity);
}

/* --- UTF-16 --- */

static pg_wchar
unit_at(const char *p, enum import_wide wide)
{
	const unsigned char *u = (const unsigned char *) p;

	return wide == WIDE_LITTLE ? u[0] | (u[1] << 8) : (u[0] << 8) | u[1];
}

static void
append_character(StringInfo text, pg_wchar c)
{
	unsigned char bytes[8];

	unicode_to_utf8(c, bytes);
	appendBinaryStringInfo(text, (char *) bytes, pg_utf_mblen(bytes));
}

/* Append as UTF-8; the bytes of a character that is not complete are kept for the next part. */
static void
append_wide(struct import_source *source, const char *p, Size len)
{
	const char *end = p + len;

	while (end - p >= 2)
	{
		pg_wchar c = unit_at(p, source->wide);

		if (c >= 0xD800 && c < 0xDC00 && end - p < 4)
			break;
		if (c >= 0xD800 && c < 0xDC00 && unit_at(p + 2, source->wide) >= 0xDC00 &&
			unit_at(p + 2, source->wide) < 0xE000)
		{
			append_character(&source->text,
							 0x10000 + ((c - 0xD800) << 10) +
								 (unit_at(p + 2, source->wide) - 0xDC00));
			p += 4;
			continue;
		}
		if (c >= 0xD800 && c < 0xE000)
			appendStringInfoCharMacro(&source->text, BROKEN);
		else
			append_character(&source->text, c);
		p += 2;
	}
	source->halves = (int) (end - p);
	memcpy(source->half, p, source->halves);
}

static void
take_wide(struct import_source *source, const char *p, Size len)
{
	char *joined;

	if (source->halves == 0)
	{
		append_wide(source, p, len);
		return;
	}
	joined = palloc(source->halves + len);
	memcpy(joined, source->half, source->halves);
	memcpy(joined + source->halves, p, len);
	append_wide(source, joined, source->halves + len);
	pfree(joined);
}

/* --- parts --- */

/* Make the text start with what is not consumed. */
static void
shift(struct import_source *source)
{
	if (source->start == 0)
		return;
	source->text.len -= (int) source->start;
	memmove(source->text.data, source->text.data + source->start, source->text.len);
	source->text.data[source->text.len] = '\0';
	source->start = 0;
}

bool
sh_source_more(struct import_source *source)
{
	Oid types[3] = { UUIDOID, UUIDOID, INT4OID };
	Datum values[3] = { UUIDPGetDatum(&source->org),
						UUIDPGetDatum(&source->upload),
						Int32GetDatum(source->part) };
	MemoryContext caller = CurrentMemoryContext;
	struct sh_identity identity;
	bool isnull;

	if (source->ended)
		return false;
	shift(source);
	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(part_sql(), 3, types), values, NULL, true, 1);
	if (SPI_processed == 0)
		source->ended = true;
	else
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		bytea *bytes = DatumGetByteaPP(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
		Size skip = Min(source->skip, VARSIZE_ANY_EXHDR(bytes));
		MemoryContext mine;

		source->part = DatumGetInt32(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull)) + 1;
		source->skip = 0;
		mine = MemoryContextSwitchTo(caller);
		if (source->wide)
			take_wide(source, VARDATA_ANY(bytes) + skip, VARSIZE_ANY_EXHDR(bytes) - skip);
		else
			appendBinaryStringInfo(
				&source->text, VARDATA_ANY(bytes) + skip, (int) (VARSIZE_ANY_EXHDR(bytes) - skip));
		MemoryContextSwitchTo(mine);
	}
	SPI_finish();
	sh_owner_leave(&identity);
	return !source->ended;
}

/* How many bytes of UTF-16 became these. */
static int64
wide_size(const char *p, Size len)
{
	int64 size = 0;

	for (Size i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) p[i];

		if (c == (unsigned char) BROKEN || (c & 0xC0) != 0x80)
			size += c >= 0xF0 && c != (unsigned char) BROKEN ? 4 : 2;
	}
	return size;
}

void
sh_source_pass(struct import_source *source, Size size)
{
	const char *p = source->text.data + source->start;

	source->at += source->wide ? wide_size(p, size) : (int64) size;
	source->start += size;
}
