/* UUID version 7 (RFC 9562): time ordered ids, made anywhere without coordination. */
#include "postgres.h"

#include <sys/time.h>

#include "fmgr.h"
#include "port.h"
#include "utils/builtins.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_crm_uuid_v7);

/* The 60 leading bits of the last id: milliseconds, then a 12 bit fraction. */
static uint64 last_tick = 0;

/* Asking for many random bytes costs hardly more than asking for eight. */
static void
take_random(unsigned char *out, int len)
{
	static unsigned char pool[1024];
	static int left = 0;

	if (left < len)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		left = sizeof(pool);
	}
	left -= len;
	memcpy(out, pool + left, len);
}

/*
 * Milliseconds since 1970 in 48 bits, then 12 bits of sub-millisecond time (RFC 9562 section
 * 6.2 method 3), then 62 random bits. Strictly increasing within one backend, also when the
 * clock steps back.
 */
void
sh_uuid_v7(pg_uuid_t *out)
{
	struct timespec now;
	uint64 tick;

	clock_gettime(CLOCK_REALTIME, &now);
	tick = ((uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000) << 12;
	tick |= (uint64) (now.tv_nsec % 1000000) * 4096 / 1000000;
	if (tick <= last_tick)
		tick = last_tick + 1;
	last_tick = tick;

	take_random(&out->data[8], 8);
	for (int i = 0; i < 6; i++)
		out->data[i] = (unsigned char) (tick >> (52 - 8 * i));
	out->data[6] = (unsigned char) (0x70 | ((tick >> 8) & 0x0f));
	out->data[7] = (unsigned char) (tick & 0xff);
	out->data[8] = (unsigned char) (0x80 | (out->data[8] & 0x3f));
}

Datum
sh_crm_uuid_v7(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	sh_uuid_v7(id);
	PG_RETURN_UUID_P(id);
}
