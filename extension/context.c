/*
 * Whose request this is: settings that users cannot set (PGC_SUSET), read by LEAKPROOF accessors
 * in every row-security policy, and ctx()/finish(), the two ends of the gateway's pipeline.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_converted_unlock);
PG_FUNCTION_INFO_V1(sh_org_id);
PG_FUNCTION_INFO_V1(sh_member_id);
PG_FUNCTION_INFO_V1(sh_session_id);
PG_FUNCTION_INFO_V1(sh_member_role);
PG_FUNCTION_INFO_V1(sh_request_id);
PG_FUNCTION_INFO_V1(sh_may_write);
PG_FUNCTION_INFO_V1(sh_ctx);
PG_FUNCTION_INFO_V1(sh_reply);
PG_FUNCTION_INFO_V1(sh_finish);

/* A setting that holds a UUID or nothing, parsed once when it is assigned. */
struct uuid_setting
{
	char *text;
	bool set;
	pg_uuid_t id;
};

static struct uuid_setting org;
static struct uuid_setting member;
static struct uuid_setting session;
static char *member_role = NULL;
static char *request_id = NULL;
static bool converting = false;
static int max_upload = 1024; /* read by name */

enum duplicates
{
	DUPLICATES_ORG,
	DUPLICATES_ALLOW,
	DUPLICATES_WARN,
	DUPLICATES_BLOCK
};
static const struct config_enum_entry duplicates_options[] = {
	{ "org", DUPLICATES_ORG, false },
	{ "allow", DUPLICATES_ALLOW, false },
	{ "warn", DUPLICATES_WARN, false },
	{ "block", DUPLICATES_BLOCK, false },
	{ NULL, 0, false },
};
static int duplicates = DUPLICATES_ORG;
static char *duplicates_found = NULL; /* written and read by name */

/* What saleshub.reply() said in this transaction; strings in TopTransactionContext. */
static struct
{
	int status; /* 0: not said */
	char *etag;
	char *location;
	char *headers;
	char position[64]; /* of the event log, as ctx() saw it; empty: unknown */
} answer;

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The canonical form 8-4-4-4-12 only. */
static bool
parse_uuid(const char *text, pg_uuid_t *out)
{
	int n = 0;

	for (const char *p = text; *p;)
	{
		int high;
		int low;

		if (*p == '-' && (n == 4 || n == 6 || n == 8 || n == 10))
			p++;
		high = hex_digit(*p);
		low = high < 0 ? -1 : hex_digit(p[1]);
		if (low < 0 || n == UUID_LEN)
			return false;
		out->data[n++] = (unsigned char) (high * 16 + low);
		p += 2;
	}
	return n == UUID_LEN;
}

static bool
check_uuid_setting(char **newval, void **extra, GucSource source)
{
	pg_uuid_t id;

	if (!*newval || !**newval || parse_uuid(*newval, &id))
		return true;
	GUC_check_errdetail("\"%s\" is not a UUID.", *newval);
	return false;
}

static void
assign_org(const char *newval, void *extra)
{
	org.set = newval && *newval && parse_uuid(newval, &org.id);
}

static void
assign_member(const char *newval, void *extra)
{
	member.set = newval && *newval && parse_uuid(newval, &member.id);
}

static void
assign_session(const char *newval, void *extra)
{
	session.set = newval && *newval && parse_uuid(newval, &session.id);
}

static bool
check_role_setting(char **newval, void **extra, GucSource source)
{
	static const char *const known[] = { "", "admin", "manager", "rep", "readonly" };

	for (int i = 0; *newval && i < (int) lengthof(known); i++)
		if (strcmp(*newval, known[i]) == 0)
			return true;
	GUC_check_errdetail("A member's role is admin, manager, rep or readonly.");
	return *newval == NULL;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		memset(&answer, 0, sizeof(answer));
}

void
sh_context_init(void)
{
	DefineCustomStringVariable("saleshub.org_id",
							   "Organisation of the current request.",
							   "Set by the gateway, or for a login role by saleshub.grant_login().",
							   &org.text,
							   "",
							   PGC_SUSET,
							   0,
							   check_uuid_setting,
							   assign_org,
							   NULL);
	DefineCustomStringVariable("saleshub.member_id",
							   "Member who makes the current request.",
							   NULL,
							   &member.text,
							   "",
							   PGC_SUSET,
							   0,
							   check_uuid_setting,
							   assign_member,
							   NULL);
	DefineCustomStringVariable("saleshub.session_id",
							   "Session in which the member makes the current request.",
							   NULL,
							   &session.text,
							   "",
							   PGC_SUSET,
							   0,
							   check_uuid_setting,
							   assign_session,
							   NULL);
	DefineCustomStringVariable("saleshub.member_role",
							   "Role of that member: admin, manager, rep or readonly.",
							   NULL,
							   &member_role,
							   "",
							   PGC_SUSET,
							   0,
							   check_role_setting,
							   NULL,
							   NULL);
	DefineCustomStringVariable("saleshub.request_id",
							   "Identifier of the current request, kept in the history.",
							   NULL,
							   &request_id,
							   "",
							   PGC_SUSET,
							   0,
							   NULL,
							   NULL,
							   NULL);
	DefineCustomBoolVariable("saleshub.converting",
							 "The conversion itself may change a lead that it converts.",
							 NULL,
							 &converting,
							 false,
							 PGC_SUSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	DefineCustomEnumVariable("saleshub.duplicates",
							 "What an insert does when the record seems to exist.",
							 "org: as the organisation has set.",
							 &duplicates,
							 DUPLICATES_ORG,
							 duplicates_options,
							 PGC_USERSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	DefineCustomStringVariable("saleshub.duplicates_found",
							   "What the check before the last insert found, as JSON.",
							   NULL,
							   &duplicates_found,
							   "",
							   PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE |
								   GUC_DISALLOW_IN_FILE,
							   NULL,
							   NULL,
							   NULL);
	DefineCustomIntVariable("saleshub.max_upload",
							"Largest file that can be uploaded.",
							NULL,
							&max_upload,
							1024,
							1,
							1048576,
							PGC_SUSET,
							GUC_UNIT_MB,
							NULL,
							NULL,
							NULL);
	RegisterXactCallback(on_transaction_end, NULL);
}

bool
sh_context_org(pg_uuid_t *out)
{
	if (org.set)
		*out = org.id;
	return org.set;
}

bool
sh_context_member(pg_uuid_t *out)
{
	if (member.set)
		*out = member.id;
	return member.set;
}

const char *
sh_context_request(void)
{
	return request_id && *request_id ? request_id : NULL;
}

void
sh_owner_enter(struct sh_identity *save)
{
	GetUserIdAndSecContext(&save->user, &save->sec);
	SetUserIdAndSecContext(get_role_oid("saleshub_owner", false),
						   save->sec | SECURITY_LOCAL_USERID_CHANGE);
}

void
sh_owner_leave(const struct sh_identity *save)
{
	SetUserIdAndSecContext(save->user, save->sec);
}

static Datum
uuid_or_null(FunctionCallInfo fcinfo, const struct uuid_setting *setting)
{
	pg_uuid_t *id;

	if (!setting->set)
		PG_RETURN_NULL();
	id = palloc(sizeof(*id));
	*id = setting->id;
	PG_RETURN_UUID_P(id);
}

Datum
sh_org_id(PG_FUNCTION_ARGS)
{
	return uuid_or_null(fcinfo, &org);
}

Datum
sh_member_id(PG_FUNCTION_ARGS)
{
	return uuid_or_null(fcinfo, &member);
}

Datum
sh_session_id(PG_FUNCTION_ARGS)
{
	return uuid_or_null(fcinfo, &session);
}

Datum
sh_member_role(PG_FUNCTION_ARGS)
{
	if (!member_role || !*member_role)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(member_role));
}

Datum
sh_request_id(PG_FUNCTION_ARGS)
{
	if (!sh_context_request())
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(request_id));
}

/*
 * An empty role writes: only a superuser or ALTER ROLE … SET can have set the organisation
 * without one, and the policies ask for the organisation besides.
 */
Datum
sh_may_write(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!member_role || strcmp(member_role, "readonly") != 0);
}

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(
		name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* Slot of a tag made of a letter and an id, as saleshub.touch('s:' || id) hits it. */
static uint32
slot_of(char kind, const char *id)
{
	char tag[64];
	int len = snprintf(tag, sizeof(tag), "%c:%s", kind, id);

	return sh_slot_of_tag(tag, (Size) len);
}

/*
 * The session must exist and its member be active. The snapshot is taken after the caller read
 * the stamp, so that a revocation is either seen here or invalidates the stamp.
 */
static void
check_session(const pg_uuid_t *org_id, const pg_uuid_t *session, pg_uuid_t *member_id, char *role)
{
	static const char sql[] =
		"SELECT m.member_id, m.role::pg_catalog.text"
		"  FROM saleshub.session s"
		"  JOIN crm.member m ON m.org_id OPERATOR(pg_catalog.=) s.org_id"
		"   AND m.member_id OPERATOR(pg_catalog.=) s.member_id"
		" WHERE s.org_id OPERATOR(pg_catalog.=) $1 AND s.session_id OPERATOR(pg_catalog.=) $2"
		"   AND s.revoked_at IS NULL AND s.expires_at OPERATOR(pg_catalog.>) pg_catalog.now()"
		"   AND m.active AND m.deleted_at IS NULL";
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { UUIDPGetDatum(org_id), UUIDPGetDatum(session) };
	struct sh_identity identity;
	bool isnull;

	sh_owner_enter(&identity);
	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("the session has ended"),
				 errhint("Sign in again.")));
	*member_id =
		*DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	strlcpy(role, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2), NAMEDATALEN);
	SPI_finish();
	sh_owner_leave(&identity);
}

static void
set_limits(FunctionCallInfo fcinfo, bool recording)
{
	char timeout[32];

	if (!PG_ARGISNULL(2))
		set_local("saleshub.request_id", text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(4))
	{
		snprintf(timeout, sizeof(timeout), "%d", PG_GETARG_INT32(4));
		set_local("statement_timeout", timeout);
	}
	/* What a parallel worker reads would not be noted. */
	if (recording)
		set_local("max_parallel_workers_per_gather", "0");
	set_local("role", "saleshub_user");
	if (!PG_ARGISNULL(3) && PG_GETARG_BOOL(3))
		set_local("transaction_read_only", "on");
}

/*
 * saleshub.ctx(org uuid, session uuid, request_id text, read_only bool, timeout_ms int,
 * record bool): the context of one transaction, as its first statement. Without org the request
 * is anonymous and sees no row. SQLSTATE 28000 when the session has ended.
 */
Datum
sh_ctx(PG_FUNCTION_ARGS)
{
	bool recording = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	struct sh_stamp stamp = { 0, 0 };
	TupleDesc desc;
	Datum values[7] = { 0 };
	bool nulls[7] = { false, false, false, true, true, true, true };

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	recording = sh_slot_stamp(&stamp) && recording && !IsolationUsesXactSnapshot();
	values[0] = Int64GetDatum((int64) stamp.boot);
	values[1] = Int64GetDatum((int64) stamp.asof);
	values[2] = Int64GetDatum((int64) sh_slot_route_epoch());
	memset(&answer, 0, sizeof(answer));
	sh_worker_position(answer.position, sizeof(answer.position));

	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		pg_uuid_t *member_id = palloc(sizeof(*member_id));
		char role[NAMEDATALEN];
		char *session_text = uuid_text(PG_GETARG_UUID_P(1));
		char *member_text;

		check_session(PG_GETARG_UUID_P(0), PG_GETARG_UUID_P(1), member_id, role);
		member_text = uuid_text(member_id);
		set_local("saleshub.org_id", uuid_text(PG_GETARG_UUID_P(0)));
		set_local("saleshub.member_id", member_text);
		set_local("saleshub.session_id", session_text);
		set_local("saleshub.member_role", role);
		values[3] = Int32GetDatum((int32) slot_of('s', session_text));
		values[4] = Int32GetDatum((int32) slot_of('m', member_text));
		values[5] = UUIDPGetDatum(member_id);
		values[6] = PointerGetDatum(cstring_to_text(role));
		nulls[3] = nulls[4] = nulls[5] = nulls[6] = false;
	}
	set_limits(fcinfo, recording);
	sh_slot_record(recording);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static char *
keep_text(FunctionCallInfo fcinfo, int n)
{
	return MemoryContextStrdup(TopTransactionContext, text_to_cstring(PG_GETARG_TEXT_PP(n)));
}

/*
 * saleshub.reply(status int, etag text, location text, headers jsonb): what HTTP should add to
 * the result of a routed function. A null leaves what was said before.
 */
Datum
sh_reply(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
	{
		answer.status = PG_GETARG_INT32(0);
		/* 308: the answer is that of another address, where the record went. */
		if ((answer.status < 200 || answer.status > 299) && answer.status != 308)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("status %d is not one of success", answer.status),
					 errhint("Raise an error for anything else.")));
	}
	if (!PG_ARGISNULL(1))
		answer.etag = keep_text(fcinfo, 1);
	if (!PG_ARGISNULL(2))
		answer.location = keep_text(fcinfo, 2);
	if (!PG_ARGISNULL(3))
		answer.headers = MemoryContextStrdup(
			TopTransactionContext,
			DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(3))));
	PG_RETURN_VOID();
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = !text || !*text;
	return *isnull ? (Datum) 0 : PointerGetDatum(cstring_to_text(text));
}

/* The noted slots as int4 in network order; false when the answer may not be stored. */
static bool
slots_value(Datum *value)
{
	const uint32 *slots;
	int count;
	bytea *out;
	bool cacheable = sh_slot_recorded(&slots, &count);
	Size size = VARHDRSZ + (cacheable ? (Size) count * 4 : 0);

	out = palloc(size);
	SET_VARSIZE(out, size);
	for (int i = 0; cacheable && i < count; i++)
	{
		uint32 slot = pg_hton32(slots[i]);

		memcpy(VARDATA(out) + i * 4, &slot, 4);
	}
	*value = PointerGetDatum(out);
	return cacheable;
}

/* saleshub.finish(): the last statement of the pipeline; see the COMMENT for its columns. */
Datum
sh_finish(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[7] = { 0 };
	bool nulls[7] = { false };

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	nulls[0] = answer.status == 0;
	values[0] = Int32GetDatum(answer.status);
	values[1] = text_or_null(answer.etag, &nulls[1]);
	values[2] = text_or_null(answer.location, &nulls[2]);
	values[3] = text_or_null(answer.headers, &nulls[3]);
	values[5] = BoolGetDatum(slots_value(&values[4]));
	values[6] = text_or_null(answer.position, &nulls[6]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * For functions of the owner: whether converted leads may be changed, until the transaction ends
 * or this is called again.
 */
Datum
sh_converted_unlock(PG_FUNCTION_ARGS)
{
	(void) set_config_option("saleshub.converting",
							 PG_GETARG_BOOL(0) ? "on" : "off",
							 PGC_SUSET,
							 PGC_S_SESSION,
							 GUC_ACTION_LOCAL,
							 true,
							 0,
							 false);
	PG_RETURN_VOID();
}
