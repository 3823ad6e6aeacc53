/* A trained model: what is kept as JSON, and applied to rows. */
#pragma once

#include "fmgr.h"

#include "logit_card.h"
#include "logit_code.h"

enum logit_state
{
	LOGIT_READY,
	LOGIT_INSUFFICIENT, /* too few of one outcome */
	LOGIT_NOT_BETTER	/* than the base rate */
};

struct logit_model
{
	enum logit_state state;
	int n, won;
	double l2;
	double intercept; /* log odds of a row of average features */
	/* what the fit says, times scale and plus shift, is what intercept and log_odds say */
	double shift, scale;
	int features;
	struct logit_feature *feature;
	int *offset;	  /* of a feature's levels in the two below; features + 1 */
	double *log_odds; /* per level, calibrated; their mean over the rows trained on is 0 */
	double *share;	  /* of the rows, per level */
	struct logit_card card;
	int iterations;
	bool converged;
};

/* The log odds of a row that has these levels. */
extern double sh_logit_log_odds(const struct logit_model *model, const int *level);
/* A member of an object under construction, with every digit, so that sums stay what they are. */
extern void sh_logit_push(JsonbParseState **state, const char *key, double value);
/* As JSON, in the current memory context. */
extern Jsonb *sh_logit_to_json(const struct logit_model *model);
/*
 * Back again; card, n and the like are left empty. 22023 for what is not a model; a model that is
 * not ready has no features and an intercept that is the base rate's log odds.
 */
extern struct logit_model *sh_logit_from_json(Jsonb *json);

/* A model as it is kept for the calls of one statement: the first member of what is made of it. */
struct logit_kept
{
	MemoryContext context;
	Jsonb *json;   /* as it was given */
	bool constant; /* the statement has no other model */
	struct logit_model *model;
};

/* Whether this was made of these very bytes. */
extern bool sh_logit_made_of(const struct logit_kept *kept, Datum model);

/* Whether this, which may be NULL, was made of the model, the call's first argument. */
static inline bool
sh_logit_keeps(const struct logit_kept *kept, Datum model)
{
	return kept && (kept->constant || sh_logit_made_of(kept, model));
}

/* Such a thing of that size in place of what the call has kept, in a context of its own. */
extern struct logit_kept *sh_logit_keep(FmgrInfo *flinfo, Datum model, Size size);
