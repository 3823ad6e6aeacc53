/*
 * A lead becomes a company, a contact and a deal, wholly or not at all, and once: the second
 * call is answered with the first conversion.
 *
 * Everything runs as the caller, under row security: who may not insert a company converts
 * nothing. Locks are taken in one order everywhere, so that conversions never wait in a circle,
 * neither with each other nor with activities that score their leads: the scoring rules (shared),
 * the lead's activities by id, the lead, the advisory locks of what the lead's company and person
 * are known by (sorted), then the records found, by type and id.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "convert.h"
#include "saleshub.h"
#include "score.h"

PG_FUNCTION_INFO_V1(sh_lead_convert);

/* Begin with the two that every statement has: organisation and lead. */
struct convert_args *
sh_convert_args(const struct conversion *c)
{
	struct convert_args *args = palloc0(sizeof(*args));

	memset(args->nulls, ' ', sizeof(args->nulls) - 1);
	sh_convert_arg_uuid(args, &c->org);
	sh_convert_arg_uuid(args, &c->lead);
	return args;
}

static void
add_arg(struct convert_args *args, Oid type, Datum value, bool isnull)
{
	if (args->count == (int) lengthof(args->types))
		elog(ERROR, "too many arguments of a statement");
	args->types[args->count] = type;
	args->values[args->count] = value;
	args->nulls[args->count] = isnull ? 'n' : ' ';
	args->count++;
}

void
sh_convert_arg_uuid(struct convert_args *args, const pg_uuid_t *value)
{
	add_arg(args, UUIDOID, UUIDPGetDatum(value), value == NULL);
}

void
sh_convert_arg_text(struct convert_args *args, const char *value)
{
	add_arg(args, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

void
sh_convert_arg_jsonb(struct convert_args *args, Datum value)
{
	add_arg(args, JSONBOID, value, false);
}

void
sh_convert_arg_uuids(struct convert_args *args, Datum value)
{
	add_arg(args, UUIDARRAYOID, value, false);
}

/* An array of jsonb. */
void
sh_convert_arg_array(struct convert_args *args, Datum value)
{
	add_arg(args, JSONBARRAYOID, value, false);
}

uint64
sh_convert_run(const char *sql, struct convert_args *args)
{
	int rc = SPI_execute_plan(
		sh_plan(sql, args->count, args->types), args->values, args->nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "could not run a step of the conversion: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

Datum
sh_convert_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

char *
sh_convert_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

bool
sh_convert_id(int column, pg_uuid_t *out)
{
	bool isnull;
	Datum value = sh_convert_value(column, &isnull);

	if (!isnull)
		*out = *DatumGetUUIDP(value);
	return !isnull;
}

static enum convert_mode
mode_of(const char *name)
{
	static const char *const names[] = { [CONVERT_AUTO] = "auto",
										 [CONVERT_CREATE] = "create",
										 [CONVERT_LINK] = "link",
										 [CONVERT_SKIP] = "skip" };

	for (int i = 0; name && i < (int) lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum convert_mode) i;
	elog(ERROR, "unknown mode of conversion \"%s\"", name ? name : "");
}

static void
read_target(struct convert_target *target, const char *type, int column)
{
	target->type = type;
	target->mode = mode_of(sh_convert_text(column));
	target->present = sh_convert_id(column + 1, &target->id);
}

/* Check the options and fill in their defaults; all faults are raised at once. */
static void
read_options(struct conversion *c, Datum opts)
{
	static const char sql[] =
		"SELECT o, o #>> '{company,mode}', (o #>> '{company,id}')::uuid,"
		" o #>> '{contact,mode}', (o #>> '{contact,id}')::uuid,"
		" o #>> '{deal,mode}', (o #>> '{deal,id}')::uuid, (o ->> 'owner')::uuid,"
		" coalesce(o ->> 'dup', 'allow')"
		" FROM saleshub.convert_options($3) AS o WHERE $1 IS NOT NULL AND $2 IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);
	const char *dup;
	bool isnull;

	sh_convert_arg_jsonb(args, opts);
	(void) sh_convert_run(sql, args);
	c->options = sh_convert_value(1, &isnull);
	read_target(&c->company, "company", 2);
	read_target(&c->contact, "contact", 4);
	read_target(&c->deal, "deal", 6);
	c->has_owner = sh_convert_id(8, &c->owner);
	dup = sh_convert_text(9);
	c->dup = strcmp(dup, "block") == 0 ? CONVERT_DUP_BLOCK :
			 strcmp(dup, "warn") == 0  ? CONVERT_DUP_WARN :
										 CONVERT_DUP_ALLOW;
}

/* Lock these leads, or that of c, with their activities. */
void
sh_convert_hold(const struct conversion *c, const Datum *leads)
{
	static const char one[] = "SELECT saleshub.lead_hold(ARRAY[$2]) WHERE $1 IS NOT NULL";
	static const char many[] =
		"SELECT saleshub.lead_hold($3) WHERE $1 IS NOT NULL AND $2 IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);

	if (leads)
		sh_convert_arg_uuids(args, *leads);
	(void) sh_convert_run(leads ? many : one, args);
}

static void
lock_lead(struct conversion *c)
{
	/* A second conversion waits, and so does who links an activity with the lead meanwhile. */
	static const char sql[] =
		"SELECT l.status, l.email, l.phone,"
		" nullif(concat_ws(' ', l.first_name, l.last_name), ''),"
		" l.company_name, saleshub.company_key(l.company_name),"
		" saleshub.lead_domain(l.website, l.email)"
		" FROM crm.lead AS l"
		" WHERE l.org_id = $1 AND l.lead_id = $2 AND l.deleted_at IS NULL FOR UPDATE";

	sh_convert_hold(c, NULL);
	if (sh_convert_run(sql, sh_convert_args(c)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("lead %s not found",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&c->lead)))),
				 errdetail_internal("{\"code\": \"not_found\"}")));
	c->status = sh_convert_text(1);
	c->email = sh_convert_text(2);
	c->phone = sh_convert_text(3);
	c->person = sh_convert_text(4);
	c->company_name = sh_convert_text(5);
	c->company_key = sh_convert_text(6);
	c->domain = sh_convert_text(7);
}

static void
refuse_second(const char *detail)
{
	ereport(ERROR,
			(errcode(SH_ALREADY_CONVERTED),
			 errmsg("the lead is already converted"),
			 errdetail_internal("%s", detail),
			 errhint("The same options or key would answer that conversion.")));
}

/*
 * The conversion that holds, when there is one: its ids are put into c. Another wish than what
 * was done is an error.
 */
static bool
find_conversion(struct conversion *c)
{
	static const char sql[] =
		"SELECT v.conversion_id, v.company_id, v.contact_id, v.deal_id,"
		" v.key = $3 ->> 'key' OR v.options_hash = sha256(convert_to(($3 - 'key')::text, 'UTF8')),"
		" jsonb_build_object('code', 'already_converted', 'conversion_id', v.conversion_id,"
		" 'company_id', coalesce(v.company_id, l.converted_company_id),"
		" 'contact_id', coalesce(v.contact_id, l.converted_contact_id),"
		" 'deal_id', coalesce(v.deal_id, l.converted_deal_id))::text"
		" FROM crm.lead AS l LEFT JOIN crm.conversion AS v"
		" ON v.org_id = l.org_id AND v.lead_id = l.lead_id AND v.undone_at IS NULL"
		" WHERE l.org_id = $1 AND l.lead_id = $2";
	struct convert_args *args = sh_convert_args(c);
	bool isnull;

	if (strcmp(c->status, "converted") != 0)
		return false;
	sh_convert_arg_jsonb(args, c->options);
	(void) sh_convert_run(sql, args);
	if (!DatumGetBool(sh_convert_value(5, &isnull)) || isnull)
		refuse_second(sh_convert_text(6));
	(void) sh_convert_id(1, &c->id);
	c->company.present = sh_convert_id(2, &c->company.id);
	c->contact.present = sh_convert_id(3, &c->contact.id);
	c->deal.present = sh_convert_id(4, &c->deal.id);
	return true;
}

/* What the options name must be there. The mapping is the same for all records. */
static void
check_references(struct conversion *c)
{
	static const char sql[] = "SELECT saleshub.convert_check($3), saleshub.mapping_version() WHERE "
							  "$1 IS NOT NULL AND $2 IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_jsonb(args, c->options);
	(void) sh_convert_run(sql, args);
	c->mapping_version = sh_convert_text(2);
}

static const pg_uuid_t *
id_of(const struct convert_target *target)
{
	return target->present ? &target->id : NULL;
}

/* The JSON of a conversion, in the context outside of SPI. */
static Datum
answer(const struct conversion *c, bool replayed)
{
	static const char replay[] = "SELECT saleshub.conversion_json($3, $2, $4, $5, $6, true)"
								 " WHERE $1 IS NOT NULL";
	static const char first[] = "SELECT saleshub.conversion_json($3, $2, $4, $5, $6, false)"
								" WHERE $1 IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);
	bool isnull;

	sh_convert_arg_uuid(args, &c->id);
	sh_convert_arg_uuid(args, id_of(&c->company));
	sh_convert_arg_uuid(args, id_of(&c->contact));
	sh_convert_arg_uuid(args, id_of(&c->deal));
	(void) sh_convert_run(replayed ? replay : first, args);
	return SPI_datumTransfer(sh_convert_value(1, &isnull), false, -1);
}

static void
convert(struct conversion *c)
{
	check_references(c);
	sh_convert_lock_keys(c);
	sh_convert_match(c);
	sh_convert_lock_targets(c);
	sh_convert_record(c, &c->company);
	sh_convert_record(c, &c->contact);
	sh_convert_record(c, &c->deal);
	sh_convert_activities(c);
	sh_convert_finish(c);
}

/* crm.lead_convert(id uuid, opts jsonb) returns jsonb */
Datum
sh_lead_convert(PG_FUNCTION_ARGS)
{
	struct conversion *c;
	pg_uuid_t org;
	bool replayed;
	Datum result;

	if (!sh_context_org(&org))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("no organisation is set"),
				 errhint("Set saleshub.org_id, or log in as a role of saleshub.grant_login().")));
	sh_score_share_rules(&org);
	SPI_connect();
	c = palloc0(sizeof(*c));
	c->org = org;
	c->lead = *PG_GETARG_UUID_P(0);
	read_options(c, PG_GETARG_DATUM(1));
	lock_lead(c);
	replayed = find_conversion(c);
	if (!replayed)
		convert(c);
	result = answer(c, replayed);
	SPI_finish();
	PG_RETURN_DATUM(result);
}
