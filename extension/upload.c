/* The hash of an upload: its parts one after the other, one of them in memory at a time. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_upload_sha256);

static void
check_hash(int result)
{
	if (result < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256")));
}

static void
hash_part(pg_cryptohash_ctx *hash, bool *isnull)
{
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	bytea *bytes = DatumGetByteaPP(value);

	check_hash(
		pg_cryptohash_update(hash, (const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)));
}

static void
hash_parts(pg_cryptohash_ctx *hash, Datum org, Datum upload)
{
	static const char sql[] = "SELECT p.bytes FROM saleshub.upload_part p"
							  " WHERE p.org_id = $1 AND p.upload_id = $2 ORDER BY p.part";
	const Oid types[] = { UUIDOID, UUIDOID };
	Datum values[] = { org, upload };
	MemoryContext one =
		AllocSetContextCreate(CurrentMemoryContext, "upload part", ALLOCSET_DEFAULT_SIZES);
	Portal portal = SPI_cursor_open(NULL, sh_plan(sql, 2, types), values, NULL, true);

	for (;;)
	{
		MemoryContext before;
		bool isnull;

		SPI_cursor_fetch(portal, true, 1);
		if (SPI_processed == 0)
			break;
		before = MemoryContextSwitchTo(one);
		hash_part(hash, &isnull);
		MemoryContextSwitchTo(before);
		MemoryContextReset(one);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(one);
}

/* saleshub.upload_sha256(org uuid, upload uuid) returns bytea */
Datum
sh_upload_sha256(PG_FUNCTION_ARGS)
{
	bytea *result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (!hash)
		check_hash(-1);
	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	PG_TRY();
	{
		check_hash(pg_cryptohash_init(hash));
		SPI_connect();
		hash_parts(hash, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));
		SPI_finish();
		check_hash(pg_cryptohash_final(hash, (uint8 *) VARDATA(result), PG_SHA256_DIGEST_LENGTH));
	}
	PG_FINALLY();
	{
		pg_cryptohash_free(hash);
	}
	PG_END_TRY();
	PG_RETURN_BYTEA_P(result);
}
