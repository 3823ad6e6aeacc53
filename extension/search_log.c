/*
 * What was searched for, without a write in the transactions that search: they only read, and a
 * standby could not. Each search leaves a note in a ring in shared memory, which the worker takes
 * out every second and writes. The ring is bounded: when the worker does not come, new notes take
 * the place of the oldest, and a crash takes what was not written. Figures may miss that; nothing
 * else depends on it.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_search_note);
PG_FUNCTION_INFO_V1(sh_search_notes);

#define NOTES 1024
#define NOTE_BYTES 256
#define NOTE_COLUMNS 10

struct note
{
	Oid database; /* InvalidOid: free */
	pg_uuid_t org;
	pg_uuid_t query;
	pg_uuid_t member;
	pg_uuid_t experiment;
	bool has_member;
	bool has_experiment;
	bool corrected;
	int32 variant;
	int32 took;
	int64 total;
	TimestampTz at;
	int32 len;
	char q[NOTE_BYTES];
};

struct ring
{
	LWLock lock;
	uint64 next;
	uint64 lost;
	struct note notes[NOTES];
};

static struct ring *ring = NULL;

Size
sh_search_log_shmem_size(void)
{
	return sizeof(struct ring);
}

void
sh_search_log_shmem_init(void)
{
	bool found;

	ring = ShmemInitStruct("saleshub search log", sizeof(struct ring), &found);
	if (!found)
	{
		memset(ring, 0, sizeof(*ring));
		LWLockInitialize(&ring->lock, LWLockNewTrancheId());
	}
	LWLockRegisterTranche(ring->lock.tranche, "saleshub search log");
}

/*
 * search_note(q text, took integer, total bigint, corrected boolean, experiment uuid,
 *             variant integer) returns uuid
 */
Datum
sh_search_note(PG_FUNCTION_ARGS)
{
	struct note note = { 0 };
	text *q = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	pg_uuid_t *query = palloc(sizeof(*query));

	sh_uuid_v7(query);
	if (!ring || !q || RecoveryInProgress() || !sh_context_org(&note.org))
		PG_RETURN_UUID_P(query);
	note.database = MyDatabaseId;
	note.query = *query;
	note.has_member = sh_context_member(&note.member);
	note.took = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	note.total = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	note.corrected = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	note.has_experiment = !PG_ARGISNULL(4);
	if (note.has_experiment)
		note.experiment = *PG_GETARG_UUID_P(4);
	note.variant = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT32(5);
	note.at = GetCurrentTimestamp();
	note.len = pg_mbcliplen(VARDATA_ANY(q), VARSIZE_ANY_EXHDR(q), NOTE_BYTES);
	memcpy(note.q, VARDATA_ANY(q), note.len);

	LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
	ring->lost += OidIsValid(ring->notes[ring->next % NOTES].database);
	ring->notes[ring->next++ % NOTES] = note;
	LWLockRelease(&ring->lock);
	PG_RETURN_UUID_P(query);
}

/* Take those of this database out, the oldest first. */
static int
take_notes(struct note *out)
{
	int count = 0;

	LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
	for (uint64 i = 0; i < NOTES; i++)
	{
		struct note *note = &ring->notes[(ring->next + i) % NOTES];

		if (note->database != MyDatabaseId)
			continue;
		out[count++] = *note;
		note->database = InvalidOid;
		memset(note->q, 0, sizeof note->q);
	}
	LWLockRelease(&ring->lock);
	return count;
}

/* search_notes() returns setof record */
Datum
sh_search_notes(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Tuplestorestate *store = sh_result_begin(fcinfo, &desc);
	struct note *notes;
	int count;

	if (!ring)
		return (Datum) 0;
	notes = palloc(NOTES * sizeof(*notes));
	count = take_notes(notes);
	for (int i = 0; i < count; i++)
	{
		struct note *note = &notes[i];
		Datum values[NOTE_COLUMNS] = { UUIDPGetDatum(&note->org),
									   UUIDPGetDatum(&note->query),
									   UUIDPGetDatum(&note->member),
									   TimestampTzGetDatum(note->at),
									   PointerGetDatum(
										   cstring_to_text_with_len(note->q, note->len)),
									   Int32GetDatum(note->took),
									   Int64GetDatum(note->total),
									   BoolGetDatum(note->corrected),
									   UUIDPGetDatum(&note->experiment),
									   Int32GetDatum(note->variant) };
		bool nulls[NOTE_COLUMNS] = { false };

		nulls[2] = !note->has_member;
		nulls[8] = nulls[9] = !note->has_experiment;
		tuplestore_putvalues(store, desc, values, nulls);
	}
	return (Datum) 0;
}
