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

static void
refuse_unnamed(const struct convert_target *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the lead names no %s", target->type),
			 errdetail_internal("{\"code\": \"invalid_body\", \"errors\": [{\"pointer\": "
								"\"/%s/mode\", \"code\": \"unnamed\", \"detail\": "
								"\"cannot create what the lead does not name\"}]}",
								target->type)));
}

/* The records there are so far, for those that refer to them. */
static Datum
records_so_far(const struct conversion *c)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_uuid(&state, "company", id_of(&c->company));
	sh_json_uuid(&state, "contact", id_of(&c->contact));
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Fill the record that was found, or create one; the lead may name none. */
static void
write_record(struct conversion *c, struct convert_target *target)
{
	static const char sql[] =
		"SELECT r.record_id, r.note FROM saleshub.convert_record($3, $4, $2, $5, $7::integer, $6)"
		" AS r WHERE $1 IS NOT NULL";
	struct convert_args *args = sh_convert_args(c);
	bool found = target->present;
	bool isnull;
	Datum note;

	sh_convert_arg_text(args, target->type);
	sh_convert_arg_uuid(args, id_of(target));
	sh_convert_arg_jsonb(args, c->options);
	sh_convert_arg_jsonb(args, records_so_far(c));
	sh_convert_arg_text(args, c->mapping_version);
	(void) sh_convert_run(sql, args);
	target->present = sh_convert_id(1, &target->id);
	note = sh_convert_value(2, &isnull);
	if (!target->present && target->mode == CONVERT_CREATE)
		refuse_unnamed(target);
	if (isnull)
		return;
	if (found)
		c->filled[c->filled_count++] = note;
	else
		c->created[c->created_count++] = note;
}

void
sh_convert_record(struct conversion *c, struct convert_target *target)
{
	if (target->present || target->mode == CONVERT_AUTO || target->mode == CONVERT_CREATE)
		write_record(c, target);
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
		" 'type', entity, 'id', entity_id)), '[]')"
		" || saleshub.convert_carry($2, $3, $4, $5) FROM added";
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
		" contact_id, deal_id, created, filled, links, lead_before, actor_id, request_id,"
		" mapping_version, duplicates)"
		" SELECT $1, $2, o ->> 'key', o - 'key', sha256(convert_to((o - 'key')::text, 'UTF8')),"
		" (d ->> 'company')::uuid, (d ->> 'contact')::uuid, (d ->> 'deal')::uuid,"
		" saleshub.conversion_versions(to_jsonb($5::jsonb[])), to_jsonb($6::jsonb[]) || $7, $8,"
		" jsonb_build_object('status', d -> 'status'), saleshub.member_id(), saleshub.request_id(),"
		" $9::integer, coalesce($10, '[]')::jsonb"
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
	sh_convert_arg_text(args, c->mapping_version);
	sh_convert_arg_text(args, c->duplicates);
	if (sh_convert_run(sql, args) != 1)
		elog(ERROR, "the conversion was not recorded");
	(void) sh_convert_id(1, &c->id);
}
