/* A conversion is taken back: the lead first, then, in SQL, what the conversion did around it. */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "convert.h"
#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_conversion_undo);

static void
not_found(const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("conversion %s not found",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errdetail_internal("{\"code\": \"not_found\"}")));
}

/* The lock of the lead puts undoing, converting and linking into an order. */
static void
lock_lead(struct conversion *c)
{
	static const char find[] =
		"SELECT v.lead_id FROM crm.conversion AS v, saleshub.record_require_write()"
		" WHERE v.org_id = $1 AND v.conversion_id = $3 AND $2 IS NOT NULL";
	static const char lock[] =
		"SELECT FROM crm.lead AS l WHERE l.org_id = $1 AND l.lead_id = $2 FOR UPDATE";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, &c->id);
	if (sh_convert_run(find, args) != 1 || !sh_convert_id(1, &c->lead))
		not_found(&c->id);
	sh_convert_hold(c, NULL);
	if (sh_convert_run(lock, sh_convert_args(c)) != 1)
		not_found(&c->id);
}

/* What undoing it did before; false when it still holds. */
static bool
find_undo(const struct conversion *c, Datum *report)
{
	static const char sql[] =
		"SELECT v.undo FROM crm.conversion AS v WHERE v.org_id = $1 AND v.lead_id = $2"
		" AND v.conversion_id = $3 AND v.undone_at IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);
	bool isnull;

	sh_convert_arg_uuid(args, &c->id);
	if (sh_convert_run(sql, args) != 1)
		return false;
	*report = sh_convert_value(1, &isnull);
	if (isnull)
		elog(ERROR, "the undone conversion has no report");
	return true;
}

static void
open_lead(const struct conversion *c)
{
	static const char sql[] =
		"UPDATE crm.lead AS l SET status = v.lead_before ->> 'status', converted_at = NULL,"
		" converted_by = NULL, converted_company_id = NULL, converted_contact_id = NULL,"
		" converted_deal_id = NULL FROM crm.conversion AS v WHERE l.org_id = $1"
		" AND l.lead_id = $2 AND v.org_id = $1 AND v.lead_id = $2 AND v.conversion_id = $3";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, &c->id);
	if (sh_convert_run(sql, args) != 1)
		elog(ERROR, "the lead was not opened again");
}

static Datum
take_back(const struct conversion *c, Datum force)
{
	static const char sql[] =
		"SELECT saleshub.conversion_take_back($3, $4 = 'true') WHERE $1 IS NOT NULL"
		" AND $2 IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);
	bool isnull;

	sh_convert_arg_uuid(args, &c->id);
	sh_convert_arg_text(args, DatumGetBool(force) ? "true" : "false");
	(void) sh_convert_run(sql, args);
	return sh_convert_value(1, &isnull);
}

static void
note_undone(const struct conversion *c, Datum report)
{
	static const char sql[] =
		"UPDATE crm.conversion SET undone_at = now(), undone_by = saleshub.member_id(),"
		" undo = $4 WHERE org_id = $1 AND lead_id = $2 AND conversion_id = $3";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, &c->id);
	sh_convert_arg_jsonb(args, report);
	if (sh_convert_run(sql, args) != 1)
		elog(ERROR, "the conversion was not marked as undone");
}

/* crm.conversion_undo(id uuid, force boolean) returns jsonb */
Datum
sh_conversion_undo(PG_FUNCTION_ARGS)
{
	struct conversion *c;
	pg_uuid_t org;
	Datum report;
	int nest;

	if (!sh_context_org(&org))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("no organisation is set"),
				 errhint("Set saleshub.org_id, or log in as a role of saleshub.grant_login().")));
	sh_score_share_rules(&org);
	SPI_connect();
	c = palloc0(sizeof(*c));
	c->org = org;
	c->id = *PG_GETARG_UUID_P(0);
	lock_lead(c);
	if (!find_undo(c, &report))
	{
		nest = sh_convert_open();
		open_lead(c);
		AtEOXact_GUC(true, nest);
		report = take_back(c, PG_GETARG_DATUM(1));
		nest = sh_convert_open();
		note_undone(c, report);
		AtEOXact_GUC(true, nest);
	}
	report = SPI_datumTransfer(report, false, -1);
	SPI_finish();
	PG_RETURN_DATUM(report);
}
