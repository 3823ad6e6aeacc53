/* Events on their way: rows of saleshub.outbox that each stand for many. */
#pragma once

#include "utils/uuid.h"

#include "saleshub.h"

/* Events that one row may stand for: as many as fit on its page. */
#define OUTBOX_PACK_MAX 250

/*
 * Events that differ by their records and fields only, in the order in which they came. masks:
 * bit i means that the field with number i, from 0, of the row's changed is one of the event.
 */
struct sh_outbox_pack
{
	int count;
	pg_uuid_t org;
	int64 version;
	pg_uuid_t ids[OUTBOX_PACK_MAX];
	uint64 masks[OUTBOX_PACK_MAX];
};

/* Fields that masks can tell apart. */
#define OUTBOX_FIELDS_MAX 63

/* Whether the event goes with those of the pack. */
extern bool sh_outbox_pack_takes(const struct sh_outbox_pack *pack, const pg_uuid_t *org,
								 int64 version);
extern void sh_outbox_pack_add(struct sh_outbox_pack *pack, const pg_uuid_t *org, int64 version,
							   const pg_uuid_t *id, uint64 mask);
/* The columns ids and masks; their order is that of the events. */
extern Datum sh_outbox_pack_ids(struct sh_outbox_pack *pack);
extern Datum sh_outbox_pack_masks(const struct sh_outbox_pack *pack);
