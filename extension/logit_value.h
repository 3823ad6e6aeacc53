/* Values of SQL as features see them; the same in training and in prediction. */
#pragma once

#include "fmgr.h"
#include "logit_code.h"

/* How values of a type are read. */
struct logit_reader
{
	Oid type; /* of domains what they are over */
	bool words;
	FmgrInfo out;
};

extern void sh_logit_reader(struct logit_reader *reader, Oid type);
/* NAN: missing. */
extern float sh_logit_float(const struct logit_reader *reader, Datum value);
/* The text of a value, not terminated; at most so many bytes as count. */
extern const char *sh_logit_text(const struct logit_reader *reader, Datum value, int *len);
extern int sh_logit_level(const struct logit_feature *feature, const struct logit_reader *reader,
						  Datum value);
