/*
 * From the outbox to the event log. Events of a statement that writes many rows wait packed, many
 * in a row: most of what they say is the same, and each row of a queue costs three times, when it
 * is written, when it is taken out, and when what was taken out is vacuumed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "outbox.h"

PG_FUNCTION_INFO_V1(sh_outbox_move);

/* --- packs --- */

bool
sh_outbox_pack_takes(const struct sh_outbox_pack *pack, const pg_uuid_t *org, int64 version)
{
	return pack->count < OUTBOX_PACK_MAX &&
		   (pack->count == 0 ||
			(pack->version == version && memcmp(&pack->org, org, UUID_LEN) == 0));
}

void
sh_outbox_pack_add(struct sh_outbox_pack *pack, const pg_uuid_t *org, int64 version,
				   const pg_uuid_t *id, uint64 mask)
{
	pack->org = *org;
	pack->version = version;
	pack->ids[pack->count] = *id;
	pack->masks[pack->count++] = mask;
}

Datum
sh_outbox_pack_ids(struct sh_outbox_pack *pack)
{
	Datum *values = palloc(pack->count * sizeof(*values));

	for (int i = 0; i < pack->count; i++)
		values[i] = UUIDPGetDatum(&pack->ids[i]);
	return PointerGetDatum(
		construct_array(values, pack->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

Datum
sh_outbox_pack_masks(const struct sh_outbox_pack *pack)
{
	Datum *values = palloc(pack->count * sizeof(*values));

	for (int i = 0; i < pack->count; i++)
		values[i] = Int64GetDatum((int64) pack->masks[i]);
	return PointerGetDatum(
		construct_array(values, pack->count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* --- moving --- */

/* The columns of saleshub.event_log, and of the outbox as they are read. */
enum
{
	EVENT_ORG,
	EVENT_PLACE, /* gseq, or outbox_id */
	EVENT_TYPE,
	EVENT_ENTITY,
	EVENT_ENTITY_ID,
	EVENT_VERSION,
	EVENT_CHANGED,
	EVENT_ACTOR,
	EVENT_REQUEST,
	EVENT_AT,
	EVENT_DATA,
	EVENT_COLUMNS,
	EVENT_IDS = EVENT_COLUMNS,
	EVENT_MASKS,
	EVENT_READ
};

static const char *const event_names[EVENT_COLUMNS] = { "org_id",  "gseq",		"type",
														"entity",  "entity_id", "version",
														"changed", "actor_id",	"request_id",
														"at",	   "data" };

struct waiting
{
	int64 place;
	Datum values[EVENT_READ];
	bool nulls[EVENT_READ];
};

static int
compare_waiting(const void *a, const void *b)
{
	int64 x = ((const struct waiting *) a)->place;
	int64 y = ((const struct waiting *) b)->place;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Take the oldest rows out, of at most so many events, but at least one row. */
static struct waiting *
take(int32 batch, int *count)
{
	static const char sql[] =
		"WITH oldest AS MATERIALIZED ("
		"SELECT i.at_, sum(i.events) OVER (ORDER BY i.outbox_id ROWS UNBOUNDED PRECEDING) AS "
		"events,"
		" row_number() OVER (ORDER BY i.outbox_id ROWS UNBOUNDED PRECEDING) AS n"
		" FROM (SELECT o.ctid AS at_, o.outbox_id, o.events FROM saleshub.outbox o"
		" ORDER BY o.outbox_id LIMIT $1) i)"
		" DELETE FROM saleshub.outbox o WHERE o.ctid = ANY (ARRAY("
		"SELECT s.at_ FROM oldest s WHERE s.events <= $1 OR s.n = 1))"
		" RETURNING o.org_id, o.outbox_id, o.type, o.entity, o.entity_id, o.version, o.changed,"
		" o.actor_id, o.request_id, o.at, o.data, o.ids, o.masks";
	Oid types[1] = { INT4OID };
	Datum values[1] = { Int32GetDatum(batch) };
	struct waiting *rows;

	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take events out of the outbox");
	*count = (int) SPI_processed;
	rows = palloc(Max(*count, 1) * sizeof(*rows));
	for (int i = 0; i < *count; i++)
	{
		for (int c = 0; c < EVENT_READ; c++)
			rows[i].values[c] = SPI_getbinval(
				SPI_tuptable->vals[i], SPI_tuptable->tupdesc, c + 1, &rows[i].nulls[c]);
		rows[i].place = DatumGetInt64(rows[i].values[EVENT_PLACE]);
	}
	qsort(rows, *count, sizeof(*rows), compare_waiting);
	return rows;
}

/* The positions of so many events: the first of them. */
static int64
take_positions(int64 events)
{
	static const char sql[] = "UPDATE saleshub.event_state e SET top = e.top + $1 RETURNING e.top";
	Oid types[1] = { INT8OID };
	Datum values[1] = { Int64GetDatum(events) };
	bool isnull;

	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) !=
			SPI_OK_UPDATE_RETURNING ||
		SPI_processed != 1)
		elog(ERROR, "the event log has no state");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) -
		   events + 1;
}

static int
events_of(const struct waiting *row)
{
	ArrayType *ids;

	if (row->nulls[EVENT_IDS])
		return 1;
	ids = DatumGetArrayTypeP(row->values[EVENT_IDS]);
	return ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
}

static Datum
fields_of(const Datum *names, int count, uint64 mask)
{
	Datum some[OUTBOX_FIELDS_MAX];
	int n = 0;

	for (int i = 0; i < count; i++)
		if (mask & (UINT64CONST(1) << i))
			some[n++] = names[i];
	return PointerGetDatum(construct_array(some, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Write the events of a pack from this position on. Neighbours mostly have the same fields. */
static void
write_pack(struct sh_rows *log, const struct waiting *row, int64 place)
{
	Datum values[EVENT_COLUMNS];
	Datum *ids;
	Datum *masks;
	Datum *names;
	bool *nulls;
	int id_count;
	int mask_count;
	int name_count;
	uint64 last = 0;

	memcpy(values, row->values, sizeof(values));
	deconstruct_array(DatumGetArrayTypeP(row->values[EVENT_IDS]),
					  UUIDOID,
					  UUID_LEN,
					  false,
					  TYPALIGN_CHAR,
					  &ids,
					  &nulls,
					  &id_count);
	deconstruct_array(DatumGetArrayTypeP(row->values[EVENT_MASKS]),
					  INT8OID,
					  8,
					  FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE,
					  &masks,
					  &nulls,
					  &mask_count);
	deconstruct_array(DatumGetArrayTypeP(row->values[EVENT_CHANGED]),
					  TEXTOID,
					  -1,
					  false,
					  TYPALIGN_INT,
					  &names,
					  &nulls,
					  &name_count);
	if (id_count != mask_count || name_count > OUTBOX_FIELDS_MAX)
		elog(ERROR, "a pack of events is damaged");
	for (int i = 0; i < id_count; i++)
	{
		uint64 mask = (uint64) DatumGetInt64(masks[i]);

		if (i == 0 || mask != last)
			values[EVENT_CHANGED] = fields_of(names, name_count, mask);
		last = mask;
		values[EVENT_ENTITY_ID] = ids[i];
		values[EVENT_PLACE] = Int64GetDatum(place + i);
		sh_rows_add(log, values, row->nulls);
	}
}

static int64
move(int32 batch)
{
	int count;
	struct waiting *rows = take(batch, &count);
	int64 events = 0;
	int64 place;
	struct sh_rows *log;

	for (int i = 0; i < count; i++)
		events += events_of(&rows[i]);
	if (events == 0)
		return 0;
	place = take_positions(events);
	log = sh_rows_open("saleshub", "event_log", event_names, EVENT_COLUMNS, false);
	for (int i = 0; i < count; i++)
	{
		if (rows[i].nulls[EVENT_IDS])
		{
			rows[i].values[EVENT_PLACE] = Int64GetDatum(place);
			sh_rows_add(log, rows[i].values, rows[i].nulls);
		}
		else
			write_pack(log, &rows[i], place);
		place += events_of(&rows[i]);
	}
	sh_rows_close(log);
	return events;
}

/* saleshub.outbox_move(batch integer) returns bigint: how many events */
Datum
sh_outbox_move(PG_FUNCTION_ARGS)
{
	int64 moved;

	SPI_connect();
	moved = move(PG_GETARG_INT32(0));
	SPI_finish();
	PG_RETURN_INT64(moved);
}
