/* What a conversion writes: the records, the links of activities, the lead, its own record. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "convert.h"
#include "saleshub.h"

static const pg_uuid_t *
owner_of(const struct conversion *c)
{
	return c->has_owner ? &c->owner : NULL;
}

static const pg_uuid_t *
id_of(const struct convert_target *target)
{
	return target->present ? &target->id : NULL;
}

/* The first row says: id, and what to keep for undoing it. */
static void
note_created(struct conversion *c, struct convert_target *target)
{
	bool isnull;

	if (SPI_processed != 1)
		elog(ERROR, "the %s was not created", target->type);
	target->present = sh_convert_id(1, &target->id);
	c->created[c->created_count++] = sh_convert_value(2, &isnull);
}

/* A row only when a field changed. */
static void
note_filled(struct conversion *c)
{
	bool isnull;

	if (SPI_processed > 0)
		c->filled[c->filled_count++] = sh_convert_value(1, &isnull);
}

/* Whether a record is to be created; an error when it is asked for but nothing names it. */
static bool
must_create(const struct convert_target *target, bool named)
{
	if (target->present || target->mode == CONVERT_SKIP)
		return false;
	if (target->mode == CONVERT_CREATE && !named)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the lead names no %s", target->type),
				 errdetail_internal("{\"code\": \"invalid_body\", \"errors\": [{\"pointer\": "
									"\"/%s/mode\", \"code\": \"unnamed\", \"detail\": "
									"\"cannot create what the lead does not name\"}]}",
									target->type)));
	return named;
}

static void
create_company(struct conversion *c)
{
	static const char sql[] =
		"INSERT INTO crm.company (org_id, name, domain, industry, employees, website, country,"
		" city, annual_revenue, annual_revenue_currency, owner_id, tags)"
		" SELECT l.org_id, coalesce(l.company_name, $3), $3, l.industry, l.employees, l.website,"
		" l.country, l.city, l.annual_revenue, l.annual_revenue_currency,"
		" coalesce($4, l.owner_id, saleshub.member_id()), l.tags"
		" FROM crm.lead AS l WHERE l.org_id = $1 AND l.lead_id = $2"
		" RETURNING company_id,"
		" jsonb_build_object('type', 'company', 'id', company_id, 'version', version)";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_text(args, c->domain);
	sh_convert_arg_uuid(args, owner_of(c));
	(void) sh_convert_run(sql, args);
	note_created(c, &c->company);
}

static void
fill_company(struct conversion *c)
{
	static const char sql[] =
		"WITH old AS (SELECT to_jsonb(r) AS row FROM crm.company AS r"
		" WHERE r.org_id = $1 AND r.company_id = $3),"
		" new AS (UPDATE crm.company AS r SET domain = coalesce(r.domain, $4),"
		" industry = coalesce(r.industry, l.industry),"
		" employees = coalesce(r.employees, l.employees),"
		" website = coalesce(r.website, l.website), country = coalesce(r.country, l.country),"
		" city = coalesce(r.city, l.city),"
		" annual_revenue = coalesce(r.annual_revenue, l.annual_revenue),"
		" annual_revenue_currency = CASE WHEN r.annual_revenue IS NULL"
		" THEN l.annual_revenue_currency ELSE r.annual_revenue_currency END,"
		" tags = saleshub.tags_normal(r.tags || l.tags)"
		" FROM crm.lead AS l WHERE l.org_id = $1 AND l.lead_id = $2"
		" AND r.org_id = $1 AND r.company_id = $3 RETURNING to_jsonb(r) AS row)"
		" SELECT jsonb_build_object('type', 'company', 'id', $3, 'version', new.row -> 'version',"
		" 'fields', f) FROM old, new, saleshub.field_changes(old.row, new.row, ARRAY['domain',"
		" 'industry', 'employees', 'website', 'country', 'city', 'annual_revenue',"
		" 'annual_revenue_currency', 'tags']) AS f WHERE f <> '{}'";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, &c->company.id);
	sh_convert_arg_text(args, c->domain);
	(void) sh_convert_run(sql, args);
	note_filled(c);
}

void
sh_convert_company(struct conversion *c)
{
	if (c->company.present)
		fill_company(c);
	else if (must_create(&c->company, c->company_name || c->domain))
		create_company(c);
}

static void
create_contact(struct conversion *c)
{
	static const char sql[] =
		"INSERT INTO crm.contact (org_id, first_name, last_name, email, phone, title, company_id,"
		" owner_id, tags, consent_email, consent_phone)"
		" SELECT l.org_id, l.first_name, l.last_name, l.email, l.phone, l.title, $3,"
		" coalesce($4, l.owner_id, saleshub.member_id()), l.tags, l.consent_email,"
		" l.consent_phone FROM crm.lead AS l WHERE l.org_id = $1 AND l.lead_id = $2"
		" RETURNING contact_id,"
		" jsonb_build_object('type', 'contact', 'id', contact_id, 'version', version)";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, id_of(&c->company));
	sh_convert_arg_uuid(args, owner_of(c));
	(void) sh_convert_run(sql, args);
	note_created(c, &c->contact);
}

/* Blanks are filled; of two consents the stricter one stays, as a refusal is never undone. */
static void
fill_contact(struct conversion *c)
{
	static const char sql[] =
		"WITH old AS (SELECT to_jsonb(r) AS row FROM crm.contact AS r"
		" WHERE r.org_id = $1 AND r.contact_id = $3),"
		" new AS (UPDATE crm.contact AS r SET first_name = coalesce(r.first_name, l.first_name),"
		" last_name = coalesce(r.last_name, l.last_name), email = coalesce(r.email, l.email),"
		" phone = coalesce(r.phone, l.phone), title = coalesce(r.title, l.title),"
		" company_id = coalesce(r.company_id, $4),"
		" consent_email = CASE WHEN NOT r.consent_email OR NOT l.consent_email THEN false"
		" ELSE coalesce(r.consent_email, l.consent_email) END,"
		" consent_phone = CASE WHEN NOT r.consent_phone OR NOT l.consent_phone THEN false"
		" ELSE coalesce(r.consent_phone, l.consent_phone) END,"
		" tags = saleshub.tags_normal(r.tags || l.tags)"
		" FROM crm.lead AS l WHERE l.org_id = $1 AND l.lead_id = $2"
		" AND r.org_id = $1 AND r.contact_id = $3 RETURNING to_jsonb(r) AS row)"
		" SELECT jsonb_build_object('type', 'contact', 'id', $3, 'version', new.row -> 'version',"
		" 'fields', f) FROM old, new, saleshub.field_changes(old.row, new.row,"
		" ARRAY['first_name', 'last_name', 'email', 'phone', 'title', 'company_id',"
		" 'consent_email', 'consent_phone', 'tags']) AS f WHERE f <> '{}'";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, &c->contact.id);
	sh_convert_arg_uuid(args, id_of(&c->company));
	(void) sh_convert_run(sql, args);
	note_filled(c);
}

void
sh_convert_contact(struct conversion *c)
{
	if (c->contact.present)
		fill_contact(c);
	else if (must_create(&c->contact, c->person || c->email))
		create_contact(c);
}

static void
create_deal(struct conversion *c)
{
	/* Stage, pipeline, probability and currency are filled in by the deal's own trigger. */
	static const char sql[] =
		"INSERT INTO crm.deal (org_id, name, company_id, contact_id, pipeline_id, stage_id,"
		" amount, currency, close_date, probability, status, owner_id, lead_id, source, tags)"
		" SELECT l.org_id, left(coalesce(o ->> 'name', company.name,"
		" nullif(concat_ws(' ', contact.first_name, contact.last_name), ''), contact.email,"
		" l.company_name, nullif(concat_ws(' ', l.first_name, l.last_name), ''), l.email), 200),"
		" coalesce($4, contact.company_id), $5,"
		" (o ->> 'pipeline')::uuid, (o ->> 'stage')::uuid, (o ->> 'amount')::numeric,"
		" o ->> 'currency',"
		" coalesce((o ->> 'close_date')::date, saleshub.quarter_end(l.org_id)), NULL, NULL,"
		" coalesce($6, l.owner_id, saleshub.member_id()), l.lead_id, l.source, l.tags"
		" FROM crm.lead AS l CROSS JOIN (SELECT $3 -> 'deal' AS o) AS opts"
		" LEFT JOIN crm.company ON company.org_id = l.org_id AND company.company_id = $4"
		" LEFT JOIN crm.contact ON contact.org_id = l.org_id AND contact.contact_id = $5"
		" WHERE l.org_id = $1 AND l.lead_id = $2"
		" RETURNING deal_id,"
		" jsonb_build_object('type', 'deal', 'id', deal_id, 'version', version)";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_jsonb(args, c->options);
	sh_convert_arg_uuid(args, id_of(&c->company));
	sh_convert_arg_uuid(args, id_of(&c->contact));
	sh_convert_arg_uuid(args, owner_of(c));
	(void) sh_convert_run(sql, args);
	note_created(c, &c->deal);
}

static void
fill_deal(struct conversion *c)
{
	static const char sql[] =
		"WITH old AS (SELECT to_jsonb(r) AS row FROM crm.deal AS r"
		" WHERE r.org_id = $1 AND r.deal_id = $3),"
		" new AS (UPDATE crm.deal AS r SET company_id = coalesce(r.company_id, $4),"
		" contact_id = coalesce(r.contact_id, $5), lead_id = coalesce(r.lead_id, $2),"
		" source = coalesce(r.source, l.source), tags = saleshub.tags_normal(r.tags || l.tags)"
		" FROM crm.lead AS l WHERE l.org_id = $1 AND l.lead_id = $2"
		" AND r.org_id = $1 AND r.deal_id = $3 RETURNING to_jsonb(r) AS row)"
		" SELECT jsonb_build_object('type', 'deal', 'id', $3, 'version', new.row -> 'version',"
		" 'fields', f) FROM old, new, saleshub.field_changes(old.row, new.row,"
		" ARRAY['company_id', 'contact_id', 'lead_id', 'source', 'tags']) AS f WHERE f <> '{}'";
	struct convert_args *args = sh_convert_args(c);

	sh_convert_arg_uuid(args, &c->deal.id);
	sh_convert_arg_uuid(args, id_of(&c->company));
	sh_convert_arg_uuid(args, id_of(&c->contact));
	(void) sh_convert_run(sql, args);
	note_filled(c);
}

void
sh_convert_deal(struct conversion *c)
{
	if (c->deal.present)
		fill_deal(c);
	else if (c->deal.mode == CONVERT_CREATE)
		create_deal(c);
}

/*
 * Every living activity of the lead is linked with the records too, and keeps its link with the
 * lead. A new owner takes over what is still to be done, and only that.
 */
void
sh_convert_activities(struct conversion *c)
{
	static const char link[] =
		"WITH added AS (INSERT INTO crm.activity_link (org_id, activity_id, entity, entity_id)"
		" SELECT k.org_id, k.activity_id, t.type, t.id FROM crm.activity_link AS k"
		" JOIN crm.activity AS a ON a.org_id = k.org_id AND a.activity_id = k.activity_id"
		" AND a.deleted_at IS NULL"
		" JOIN (VALUES ('company', $3::uuid), ('contact', $4::uuid), ('deal', $5::uuid))"
		" AS t (type, id) ON t.id IS NOT NULL"
		" WHERE k.org_id = $1 AND k.entity = 'lead' AND k.entity_id = $2"
		" ON CONFLICT DO NOTHING RETURNING activity_id, entity, entity_id)"
		" SELECT coalesce(jsonb_agg(jsonb_build_object('activity_id', activity_id,"
		" 'type', entity, 'id', entity_id)), '[]') FROM added";
	static const char hand_over[] =
		"WITH old AS (SELECT a.activity_id, a.owner_id FROM crm.activity AS a"
		" WHERE a.org_id = $1 AND a.done_at IS NULL AND a.deleted_at IS NULL"
		" AND a.owner_id IS DISTINCT FROM $3 AND EXISTS (SELECT FROM crm.activity_link AS k"
		" WHERE k.org_id = $1 AND k.activity_id = a.activity_id AND k.entity = 'lead'"
		" AND k.entity_id = $2)),"
		" new AS (UPDATE crm.activity AS a SET owner_id = $3 FROM old WHERE a.org_id = $1"
		" AND a.activity_id = old.activity_id AND $3 IS NOT NULL"
		" RETURNING a.activity_id, a.version, old.owner_id)"
		" SELECT coalesce(jsonb_agg(jsonb_build_object('type', 'activity', 'id', activity_id,"
		" 'version', version, 'fields', jsonb_build_object('owner_id',"
		" jsonb_build_array(owner_id, $3)))), '[]') FROM new";
	struct convert_args *args = sh_convert_args(c);
	bool isnull;

	sh_convert_arg_uuid(args, id_of(&c->company));
	sh_convert_arg_uuid(args, id_of(&c->contact));
	sh_convert_arg_uuid(args, id_of(&c->deal));
	(void) sh_convert_run(link, args);
	c->links = sh_convert_value(1, &isnull);
	args = sh_convert_args(c);
	sh_convert_arg_uuid(args, owner_of(c));
	(void) sh_convert_run(hand_over, args);
	c->activities = sh_convert_value(1, &isnull);
}

int
sh_convert_open(void)
{
	int nest = NewGUCNestLevel();

	(void) set_config_option(
		"saleshub.converting", "on", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

static void
close_lead(struct conversion *c)
{
	static const char sql[] =
		"UPDATE crm.lead SET status = 'converted', converted_at = now(),"
		" converted_by = saleshub.member_id(), converted_company_id = $3,"
		" converted_contact_id = $4, converted_deal_id = $5 WHERE org_id = $1 AND lead_id = $2";
	struct convert_args *args = sh_convert_args(c);
	int nest;

	sh_convert_arg_uuid(args, id_of(&c->company));
	sh_convert_arg_uuid(args, id_of(&c->contact));
	sh_convert_arg_uuid(args, id_of(&c->deal));
	nest = sh_convert_open();
	if (sh_convert_run(sql, args) != 1)
		elog(ERROR, "the lead was not converted");
	AtEOXact_GUC(true, nest);
}

static Datum
jsonb_array(const Datum *items, int count)
{
	return PointerGetDatum(
		construct_array(unconstify(Datum *, items), count, JSONBOID, -1, false, TYPALIGN_INT));
}

void
sh_convert_finish(struct conversion *c)
{
	static const char sql[] =
		"INSERT INTO crm.conversion (org_id, lead_id, key, options, options_hash, company_id,"
		" contact_id, deal_id, created, filled, links, lead_before, actor_id, request_id)"
		" SELECT $1, $2, o ->> 'key', o - 'key', sha256(convert_to((o - 'key')::text, 'UTF8')),"
		" (d ->> 'company')::uuid, (d ->> 'contact')::uuid, (d ->> 'deal')::uuid,"
		" saleshub.conversion_versions(to_jsonb($5::jsonb[])), to_jsonb($6::jsonb[]) || $7, $8,"
		" jsonb_build_object('status', d -> 'status'), saleshub.member_id(), saleshub.request_id()"
		" FROM (SELECT $3 AS o, $4 AS d) AS a RETURNING conversion_id";
	struct convert_args *args = sh_convert_args(c);
	JsonbParseState *state = NULL;
	Jsonb *done;

	close_lead(c);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_uuid(&state, "company", id_of(&c->company));
	sh_json_uuid(&state, "contact", id_of(&c->contact));
	sh_json_uuid(&state, "deal", id_of(&c->deal));
	sh_json_string(&state, "status", c->status);
	done = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));

	sh_convert_arg_jsonb(args, c->options);
	sh_convert_arg_jsonb(args, JsonbPGetDatum(done));
	sh_convert_arg_array(args, jsonb_array(c->created, c->created_count));
	sh_convert_arg_array(args, jsonb_array(c->filled, c->filled_count));
	sh_convert_arg_jsonb(args, c->activities);
	sh_convert_arg_jsonb(args, c->links);
	if (sh_convert_run(sql, args) != 1)
		elog(ERROR, "the conversion was not recorded");
	(void) sh_convert_id(1, &c->id);
}
