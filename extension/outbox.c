/*
 * Into the outbox, and from there to the event log. Events of a statement that writes many rows
 * wait packed, many in a row: most of what they say is the same, and each row of a queue costs
 * three times, when it is written, when it is taken out, and when what was taken out is vacuumed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "outbox.h"

PG_FUNCTION_INFO_V1(sh_outbox_move);

/* --- writing --- */

/* Events that one row may stand for: as many as fit on its page. */
#define PACK_MAX 250

static const char *const outbox_names[OUTBOX_COLUMNS] = {
	"org_id",	  "outbox_id", "entity", "entity_id", "version", "changed", "actor_id",
	"request_id", "at",		   "type",	 "data",	  "events",	 "ids",		"masks"
};

/* Events that differ by their records and fields only, in the order in which they came. */
struct sh_outbox_pack
{
	Datum type;
	Datum fields;
	int count;
	pg_uuid_t org;
	int64 version;
	pg_uuid_t ids[PACK_MAX];
	uint64 masks[PACK_MAX];
};

void
sh_outbox_begin(struct sh_outbox *to, const char *entity)
{
	const char *request = sh_context_request();

	to->rows = sh_rows_open("saleshub", "outbox", outbox_names, OUTBOX_COLUMNS, false);
	to->sequence = get_relname_relid("outbox_outbox_id_seq", get_namespace_oid("saleshub", false));
	to->values[OUTBOX_ENTITY] = CStringGetTextDatum(entity);
	to->nulls[OUTBOX_ACTOR] = !sh_context_member(&to->member);
	to->values[OUTBOX_ACTOR] = UUIDPGetDatum(&to->member);
	to->nulls[OUTBOX_REQUEST] = !request;
	if (request)
		to->values[OUTBOX_REQUEST] = CStringGetTextDatum(request);
	to->values[OUTBOX_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	to->nulls[OUTBOX_DATA] = true;
	to->values[OUTBOX_EVENTS] = Int32GetDatum(1);
	to->nulls[OUTBOX_IDS] = true;
	to->nulls[OUTBOX_MASKS] = true;
	sh_worker_notify();
}

void
sh_outbox_add(struct sh_outbox *to, Datum *values, const bool *nulls)
{
	values[OUTBOX_ID] = Int64GetDatum(nextval_internal(to->sequence, false));
	sh_rows_add(to->rows, values, nulls);
}

void
sh_outbox_pack(struct sh_outbox *to, Datum type, Datum fields)
{
	to->pack = palloc(sizeof(*to->pack));
	to->pack->type = type;
	to->pack->fields = fields;
	to->pack->count = 0;
}

static void
add_pack(struct sh_outbox *to)
{
	struct sh_outbox_pack *pack = to->pack;
	Datum values[OUTBOX_COLUMNS];
	bool nulls[OUTBOX_COLUMNS];
	Datum ids[PACK_MAX];
	Datum masks[PACK_MAX];

	if (pack->count == 0)
		return;
	for (int i = 0; i < pack->count; i++)
	{
		ids[i] = UUIDPGetDatum(&pack->ids[i]);
		masks[i] = Int64GetDatum((int64) pack->masks[i]);
	}
	memcpy(values, to->values, sizeof(values));
	memcpy(nulls, to->nulls, sizeof(nulls));
	values[OUTBOX_ORG] = UUIDPGetDatum(&pack->org);
	values[OUTBOX_ENTITY_ID] = ids[0];
	values[OUTBOX_VERSION] = Int64GetDatum(pack->version);
	values[OUTBOX_CHANGED] = pack->fields;
	values[OUTBOX_TYPE] = pack->type;
	values[OUTBOX_EVENTS] = Int32GetDatum(pack->count);
	values[OUTBOX_IDS] =
		PointerGetDatum(construct_array(ids, pack->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[OUTBOX_MASKS] = PointerGetDatum(
		construct_array(masks, pack->count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	nulls[OUTBOX_IDS] = false;
	nulls[OUTBOX_MASKS] = false;
	sh_outbox_add(to, values, nulls);
	pack->count = 0;
}

void
sh_outbox_add_packed(struct sh_outbox *to, const pg_uuid_t *org, const pg_uuid_t *id, int64 version,
					 uint64 mask)
{
	struct sh_outbox_pack *pack = to->pack;

	if (pack->count == PACK_MAX || pack->version != version ||
		memcmp(&pack->org, org, UUID_LEN) != 0)
		add_pack(to);
	pack->org = *org;
	pack->version = version;
	pack->ids[pack->count] = *id;
	pack->masks[pack->count++] = mask;
}

void
sh_outbox_end(struct sh_outbox *to)
{
	if (!to->rows)
		return;
	if (to->pack)
		add_pack(to);
	sh_rows_close(to->rows);
}

/* --- moving --- */

enum
{
	EVENT_COLUMNS = OUTBOX_DATA + 1
};

static const char *const event_names[EVENT_COLUMNS] = { "org_id",	 "gseq",	   "entity",
														"entity_id", "version",	   "changed",
														"actor_id",	 "request_id", "at",
														"type",		 "data" };

struct waiting
{
	Datum values[OUTBOX_COLUMNS];
	bool nulls[OUTBOX_COLUMNS];
};

static int
compare_waiting(const void *a, const void *b)
{
	int64 x = DatumGetInt64(((const struct waiting *) a)->values[OUTBOX_ID]);
	int64 y = DatumGetInt64(((const struct waiting *) b)->values[OUTBOX_ID]);

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
		" RETURNING o.org_id, o.outbox_id, o.entity, o.entity_id, o.version, o.changed,"
		" o.actor_id, o.request_id, o.at, o.type, o.data, o.events, o.ids, o.masks";
	Oid types[1] = { INT4OID };
	Datum values[1] = { Int32GetDatum(batch) };
	struct waiting *rows;

	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take events out of the outbox");
	*count = (int) SPI_processed;
	rows = palloc(Max(*count, 1) * sizeof(*rows));
	for (int i = 0; i < *count; i++)
		for (int c = 0; c < OUTBOX_COLUMNS; c++)
			rows[i].values[c] = SPI_getbinval(
				SPI_tuptable->vals[i], SPI_tuptable->tupdesc, c + 1, &rows[i].nulls[c]);
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

static int32
events_of(const struct waiting *row)
{
	return DatumGetInt32(row->values[OUTBOX_EVENTS]);
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
	deconstruct_array(DatumGetArrayTypeP(row->values[OUTBOX_IDS]),
					  UUIDOID,
					  UUID_LEN,
					  false,
					  TYPALIGN_CHAR,
					  &ids,
					  &nulls,
					  &id_count);
	deconstruct_array(DatumGetArrayTypeP(row->values[OUTBOX_MASKS]),
					  INT8OID,
					  8,
					  FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE,
					  &masks,
					  &nulls,
					  &mask_count);
	deconstruct_array(DatumGetArrayTypeP(row->values[OUTBOX_CHANGED]),
					  TEXTOID,
					  -1,
					  false,
					  TYPALIGN_INT,
					  &names,
					  &nulls,
					  &name_count);
	if (id_count != events_of(row) || id_count != mask_count || name_count > OUTBOX_FIELDS_MAX)
		elog(ERROR, "a pack of events is damaged");
	for (int i = 0; i < id_count; i++)
	{
		uint64 mask = (uint64) DatumGetInt64(masks[i]);

		if (i == 0 || mask != last)
			values[OUTBOX_CHANGED] = fields_of(names, name_count, mask);
		last = mask;
		values[OUTBOX_ENTITY_ID] = ids[i];
		values[OUTBOX_ID] = Int64GetDatum(place + i);
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
		if (rows[i].nulls[OUTBOX_IDS])
		{
			rows[i].values[OUTBOX_ID] = Int64GetDatum(place);
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
