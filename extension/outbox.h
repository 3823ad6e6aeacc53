/* Events on their way: rows of saleshub.outbox, of which one may stand for many. */
#pragma once

#include "utils/uuid.h"

#include "saleshub.h"

/*
 * The columns of saleshub.outbox. Those up to the time are columns of crm.change_log too, in this
 * order, and those up to data are columns of saleshub.event_log.
 */
enum sh_outbox_column
{
	OUTBOX_ORG,
	OUTBOX_ID, /* in the event log its position */
	OUTBOX_ENTITY,
	OUTBOX_ENTITY_ID,
	OUTBOX_VERSION,
	OUTBOX_CHANGED,
	OUTBOX_ACTOR,
	OUTBOX_REQUEST,
	OUTBOX_AT,
	OUTBOX_TYPE,
	OUTBOX_DATA,
	OUTBOX_EVENTS,
	OUTBOX_IDS, /* of a pack, else NULL */
	OUTBOX_MASKS,
	OUTBOX_COLUMNS
};

/* Fields that masks can tell apart. */
#define OUTBOX_FIELDS_MAX 63

struct sh_outbox_pack;

/* The events of one statement about records of one kind. All zero: not begun. */
struct sh_outbox
{
	struct sh_rows *rows;
	Oid sequence;
	pg_uuid_t member;
	Datum values[OUTBOX_COLUMNS]; /* what the events share */
	bool nulls[OUTBOX_COLUMNS];
	struct sh_outbox_pack *pack; /* NULL: each event is a row */
};

/* Set what is known by now: the record's kind, who does this and when; and wake the worker. */
extern void sh_outbox_begin(struct sh_outbox *to, const char *entity);
/* The id is set here. */
extern void sh_outbox_add(struct sh_outbox *to, Datum *values, const bool *nulls);
/*
 * Before sh_outbox_begin: events are all of this type (a text) and say no more than their record
 * and which of these fields (a text[], at most OUTBOX_FIELDS_MAX) changed. They wait packed.
 */
extern void sh_outbox_pack(struct sh_outbox *to, Datum type, Datum fields);
/* Bit i of the mask means that field i, from 0, is one of the event. */
extern void sh_outbox_add_packed(struct sh_outbox *to, const pg_uuid_t *org, const pg_uuid_t *id,
								 int64 version, uint64 mask);
/* Write what waits. */
extern void sh_outbox_end(struct sh_outbox *to);
