/* The champion of an organisation, kept by each backend, and what it says of rows. */
#pragma once

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/uuid.h"

#include "logit_model.h"
#include "logit_value.h"

enum model_entity
{
	MODEL_LEAD,
	MODEL_DEAL
};

/* Where a feature comes from; its name says so. */
enum model_source
{
	SOURCE_NONE,	  /* the row has nothing of the name: missing */
	SOURCE_COLUMN,	  /* <column> */
	SOURCE_GIVEN,	  /* <column>_given: whether it has a value */
	SOURCE_CUSTOM,	  /* custom.<key> */
	SOURCE_AGE,		  /* age: the last milestone in days that the record has reached */
	SOURCE_ACTIVITIES /* activities that are linked with it */
};

struct model_feature
{
	enum model_source source;
	AttrNumber attribute;
	const char *key; /* of a custom field */
	int key_len;
	struct logit_reader reader;
};

/* A model compiled for rows of one type. */
struct score_model
{
	MemoryContext context;
	struct logit_model *logit; /* NULL: there is no champion */
	struct model_feature *feature;
	int version;
	bool counts_activities;
};

/* A row to be told about. */
struct model_row
{
	enum model_entity entity;
	HeapTuple tuple;
	TupleDesc desc;
	pg_uuid_t org, id;
	bool is_new; /* nothing can be linked with it yet */
	int age;
};

extern enum model_entity sh_model_entity(const char *name);
/* The champion; in the cache or, where that may not keep it, in the current context. */
extern const struct score_model *sh_model_of(const pg_uuid_t *org, enum model_entity entity,
											 Oid relid, TupleDesc desc);
/* The level that the row has of each feature, into level[features]. */
extern void sh_model_levels(const struct score_model *model, const struct model_row *row,
							int *level);
/* Days, the last milestone that a lead created at that instant has reached by now. */
extern int sh_model_lead_age(TimestampTz created, TimestampTz now);
