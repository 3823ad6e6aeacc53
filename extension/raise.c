/* Errors with a SQLSTATE of our choice, for functions written in SQL. */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_raise);

static void
check_sqlstate(const char *state)
{
	if (strlen(state) == 5 && strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
		strncmp(state, "00", 2) != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a SQLSTATE of an error", state)));
}

/*
 * saleshub.raise(sqlstate, message, detail jsonb, hint): raises. The detail becomes DETAIL as
 * JSON text, which the gateway merges into its problem document.
 */
Datum
sh_raise(PG_FUNCTION_ARGS)
{
	char *state;
	char *message;
	char *detail = NULL;
	char *hint = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("SQLSTATE and message must not be null")));
	state = text_to_cstring(PG_GETARG_TEXT_PP(0));
	message = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_sqlstate(state);
	if (!PG_ARGISNULL(2))
		detail = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(2)));
	if (!PG_ARGISNULL(3))
		hint = text_to_cstring(PG_GETARG_TEXT_PP(3));
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg_internal("%s", message),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
	PG_RETURN_VOID();
}
