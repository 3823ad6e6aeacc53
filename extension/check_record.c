/* The checks of leads, contacts, companies and activities, before each row is written. */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "check.h"
#include "saleshub.h"

PG_FUNCTION_INFO_V1(sh_lead_check);
PG_FUNCTION_INFO_V1(sh_contact_check);
PG_FUNCTION_INFO_V1(sh_company_check);
PG_FUNCTION_INFO_V1(sh_activity_check);

static bool
is(struct span value, const char *word)
{
	return value.data && value.len == (int) strlen(word) &&
		   memcmp(value.data, word, value.len) == 0;
}

static bool
is_one_of(struct span value, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (is(value, words[i]))
			return true;
	return false;
}

static void
clean_columns(struct check_row *row, const int *columns, int count)
{
	for (int i = 0; i < count; i++)
		sh_check_clean(row, columns[i]);
}

/* --- lead --- */

enum
{
	LEAD_ORG,
	LEAD_ID,
	LEAD_FIRST_NAME,
	LEAD_LAST_NAME,
	LEAD_EMAIL,
	LEAD_PHONE,
	LEAD_COMPANY_NAME,
	LEAD_TITLE,
	LEAD_WEBSITE,
	LEAD_SOURCE,
	LEAD_STATUS,
	LEAD_COUNTRY,
	LEAD_STATE,
	LEAD_POSTAL_CODE,
	LEAD_CITY,
	LEAD_INDUSTRY,
	LEAD_EMPLOYEES,
	LEAD_REVENUE,
	LEAD_CURRENCY,
	LEAD_OWNER,
	LEAD_TAGS,
	LEAD_CUSTOM,
	LEAD_CONVERTED_COMPANY,
	LEAD_CONVERTED_CONTACT,
	LEAD_CONVERTED_DEAL,
	LEAD_COLUMNS
};

static const char *const lead_names[LEAD_COLUMNS] = {
	"org_id",
	"lead_id",
	"first_name",
	"last_name",
	"email",
	"phone",
	"company_name",
	"title",
	"website",
	"source",
	"status",
	"country",
	"state",
	"postal_code",
	"city",
	"industry",
	"employees",
	"annual_revenue",
	"annual_revenue_currency",
	"owner_id",
	"tags",
	"custom",
	"converted_company_id",
	"converted_contact_id",
	"converted_deal_id",
};

static Datum
old_value(const struct check_row *row, int column, bool *isnull)
{
	return heap_getattr(row->old, row->at[column], RelationGetDescr(row->rel), isnull);
}

static void
push_old_uuid(JsonbParseState **state, const char *key, const struct check_row *row, int column)
{
	bool isnull;
	Datum value = old_value(row, column, &isnull);

	sh_json_uuid(state, key, isnull ? NULL : DatumGetUUIDP(value));
}

static void
refuse_converted(const struct check_row *row)
{
	JsonbParseState *state = NULL;
	Jsonb *detail;
	bool isnull;
	Datum id = old_value(row, LEAD_ID, &isnull);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&state, "code", "lead_converted");
	sh_json_key(&state, "converted");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_old_uuid(&state, "company_id", row, LEAD_CONVERTED_COMPANY);
	push_old_uuid(&state, "contact_id", row, LEAD_CONVERTED_CONTACT);
	push_old_uuid(&state, "deal_id", row, LEAD_CONVERTED_DEAL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	detail = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	ereport(ERROR,
			(errcode(SH_LEAD_CONVERTED),
			 errmsg_internal("lead %s is converted and cannot be changed",
							 DatumGetCString(DirectFunctionCall1(uuid_out, id))),
			 errdetail_internal(
				 "%s", DatumGetCString(DirectFunctionCall1(jsonb_out, JsonbPGetDatum(detail)))),
			 errhint("Change its company, contact or deal.")));
}

/* A converted lead is changed by conversion only. */
static void
check_not_converted(const struct check_row *row)
{
	bool isnull;
	Datum status = row->old ? old_value(row, LEAD_STATUS, &isnull) : (Datum) 0;

	if (row->old && !isnull && is(sh_span_of(DatumGetTextPP(status)), "converted") &&
		!sh_check_converting())
		refuse_converted(row);
}

static void
check_lead_status(struct check_row *row)
{
	static const char *const words[] = { "new",		  "working",	 "nurturing",
										 "qualified", "unqualified", "converted" };
	struct span status;

	sh_check_clean(row, LEAD_STATUS);
	if (sh_check_null(row, LEAD_STATUS))
		sh_check_set_text(row, LEAD_STATUS, (struct span){ "new", 3 });
	status = sh_check_text(row, LEAD_STATUS);
	if (!is_one_of(status, words, lengthof(words)))
		sh_check_fault(row, "/status", "not_allowed", "is not a status of leads");
	else if (is(status, "converted") && !sh_check_converting())
		sh_check_fault(
			row, "/status", "read_only", "becomes converted by converting the lead only");
}

static void
normalise_lead(struct check_row *row)
{
	static const int plain[] = { LEAD_FIRST_NAME,  LEAD_LAST_NAME, LEAD_COMPANY_NAME, LEAD_TITLE,
								 LEAD_WEBSITE,	   LEAD_SOURCE,	   LEAD_COUNTRY,	  LEAD_STATE,
								 LEAD_POSTAL_CODE, LEAD_CITY,	   LEAD_INDUSTRY };

	clean_columns(row, plain, lengthof(plain));
	sh_check_lower(row, LEAD_EMAIL);
	sh_check_tags(row, LEAD_TAGS);
	sh_check_custom(row, LEAD_CUSTOM, "lead");
	sh_check_currency(row, LEAD_CURRENCY, LEAD_REVENUE);
}

/* saleshub.lead_check(): trigger */
Datum
sh_lead_check(PG_FUNCTION_ARGS)
{
	struct check_row row;

	sh_check_begin(&row, fcinfo, lead_names, LEAD_COLUMNS);
	check_not_converted(&row);
	normalise_lead(&row);
	if (sh_check_null(&row, LEAD_LAST_NAME) && sh_check_null(&row, LEAD_COMPANY_NAME) &&
		sh_check_null(&row, LEAD_EMAIL))
		sh_check_fault(&row, "/last_name", "required", "or company_name or email is required");
	check_lead_status(&row);
	sh_check_length(&row, LEAD_FIRST_NAME, "/first_name", 100);
	sh_check_length(&row, LEAD_LAST_NAME, "/last_name", 100);
	sh_check_length(&row, LEAD_COMPANY_NAME, "/company_name", 200);
	sh_check_length(&row, LEAD_TITLE, "/title", 200);
	sh_check_length(&row, LEAD_SOURCE, "/source", 100);
	sh_check_length(&row, LEAD_STATE, "/state", 100);
	sh_check_length(&row, LEAD_POSTAL_CODE, "/postal_code", 20);
	sh_check_revenue(&row, LEAD_REVENUE, LEAD_CURRENCY, LEAD_EMPLOYEES);
	sh_check_email(&row, LEAD_EMAIL);
	sh_check_website(&row, LEAD_WEBSITE);
	sh_check_phone(&row, LEAD_PHONE, LEAD_COUNTRY);
	sh_check_owner(&row, LEAD_OWNER);
	return PointerGetDatum(sh_check_end(&row, "lead"));
}

/* --- contact --- */

enum
{
	CONTACT_ORG,
	CONTACT_FIRST_NAME,
	CONTACT_LAST_NAME,
	CONTACT_EMAIL,
	CONTACT_PHONE,
	CONTACT_TITLE,
	CONTACT_TAGS,
	CONTACT_CUSTOM,
	CONTACT_OWNER,
	CONTACT_COMPANY,
	CONTACT_COLUMNS
};

static const char *const contact_names[CONTACT_COLUMNS] = {
	"org_id", "first_name", "last_name", "email",	 "phone",
	"title",  "tags",		"custom",	 "owner_id", "company_id",
};

/* saleshub.contact_check(): trigger */
Datum
sh_contact_check(PG_FUNCTION_ARGS)
{
	static const int plain[] = { CONTACT_FIRST_NAME, CONTACT_LAST_NAME, CONTACT_TITLE };
	struct check_row row;

	sh_check_begin(&row, fcinfo, contact_names, CONTACT_COLUMNS);
	clean_columns(&row, plain, lengthof(plain));
	sh_check_lower(&row, CONTACT_EMAIL);
	sh_check_tags(&row, CONTACT_TAGS);
	sh_check_custom(&row, CONTACT_CUSTOM, "contact");
	if (sh_check_null(&row, CONTACT_FIRST_NAME) && sh_check_null(&row, CONTACT_LAST_NAME) &&
		sh_check_null(&row, CONTACT_EMAIL))
		sh_check_fault(&row, "/last_name", "required", "or first_name or email is required");
	sh_check_length(&row, CONTACT_FIRST_NAME, "/first_name", 100);
	sh_check_length(&row, CONTACT_LAST_NAME, "/last_name", 100);
	sh_check_length(&row, CONTACT_TITLE, "/title", 200);
	sh_check_email(&row, CONTACT_EMAIL);
	sh_check_phone(&row, CONTACT_PHONE, -1);
	sh_check_owner(&row, CONTACT_OWNER);
	(void) sh_check_company(&row, CONTACT_COMPANY, "/company_id");
	return PointerGetDatum(sh_check_end(&row, "contact"));
}

/* --- company --- */

enum
{
	COMPANY_ORG,
	COMPANY_ID,
	COMPANY_NAME,
	COMPANY_INDUSTRY,
	COMPANY_WEBSITE,
	COMPANY_COUNTRY,
	COMPANY_STATE,
	COMPANY_POSTAL_CODE,
	COMPANY_CITY,
	COMPANY_TAGS,
	COMPANY_CUSTOM,
	COMPANY_REVENUE,
	COMPANY_CURRENCY,
	COMPANY_DOMAIN,
	COMPANY_PHONE,
	COMPANY_EMPLOYEES,
	COMPANY_OWNER,
	COMPANY_PARENT,
	COMPANY_COLUMNS
};

static const char *const company_names[COMPANY_COLUMNS] = {
	"org_id",
	"company_id",
	"name",
	"industry",
	"website",
	"country",
	"state",
	"postal_code",
	"city",
	"tags",
	"custom",
	"annual_revenue",
	"annual_revenue_currency",
	"domain",
	"phone",
	"employees",
	"owner_id",
	"parent_id",
};

/* A new company without a domain has that of its web address. */
static void
normalise_company(struct check_row *row)
{
	static const int plain[] = { COMPANY_NAME,	  COMPANY_INDUSTRY, COMPANY_WEBSITE,
								 COMPANY_COUNTRY, COMPANY_STATE,	COMPANY_POSTAL_CODE,
								 COMPANY_CITY };
	struct span domain;

	clean_columns(row, plain, lengthof(plain));
	sh_check_tags(row, COMPANY_TAGS);
	sh_check_custom(row, COMPANY_CUSTOM, "company");
	sh_check_currency(row, COMPANY_CURRENCY, COMPANY_REVENUE);
	domain = sh_check_text(row, COMPANY_DOMAIN);
	if (!row->old && (!domain.data || !sh_normal_clean(domain).data))
		domain = sh_check_text(row, COMPANY_WEBSITE);
	sh_check_set_text(row, COMPANY_DOMAIN, domain.data ? sh_normal_domain(domain) : domain);
}

static bool
is_below_itself(const struct check_row *row)
{
	static const char sql[] = "SELECT saleshub.company_below($1, $2, $3)";
	Oid types[3] = { UUIDOID, UUIDOID, UUIDOID };
	pg_uuid_t id = sh_check_uuid(row, COMPANY_ID);
	pg_uuid_t parent = sh_check_uuid(row, COMPANY_PARENT);
	Datum values[3] = { UUIDPGetDatum(&row->org), UUIDPGetDatum(&id), UUIDPGetDatum(&parent) };
	bool isnull;
	Datum below;

	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 3, types), values, NULL, false, 1);
	below = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	return !isnull && DatumGetBool(below);
}

/* saleshub.company_check(): trigger */
Datum
sh_company_check(PG_FUNCTION_ARGS)
{
	struct check_row row;
	struct span domain;

	sh_check_begin(&row, fcinfo, company_names, COMPANY_COLUMNS);
	normalise_company(&row);
	if (sh_check_null(&row, COMPANY_NAME))
		sh_check_fault(&row, "/name", "required", "is required");
	sh_check_length(&row, COMPANY_NAME, "/name", 200);
	sh_check_length(&row, COMPANY_STATE, "/state", 100);
	sh_check_length(&row, COMPANY_POSTAL_CODE, "/postal_code", 20);
	sh_check_website(&row, COMPANY_WEBSITE);
	domain = sh_check_text(&row, COMPANY_DOMAIN);
	if (domain.data && !sh_normal_domain_ok(domain))
		sh_check_fault(&row, "/domain", "invalid", "is not a domain name");
	sh_check_phone(&row, COMPANY_PHONE, COMPANY_COUNTRY);
	sh_check_revenue(&row, COMPANY_REVENUE, COMPANY_CURRENCY, COMPANY_EMPLOYEES);
	sh_check_owner(&row, COMPANY_OWNER);
	if (sh_check_company(&row, COMPANY_PARENT, "/parent_id") && is_below_itself(&row))
		sh_check_fault(&row, "/parent_id", "cycle", "is the company itself or owned by it");
	return PointerGetDatum(sh_check_end(&row, "company"));
}

/* --- activity --- */

enum
{
	ACTIVITY_ORG,
	ACTIVITY_TYPE,
	ACTIVITY_SUBJECT,
	ACTIVITY_BODY,
	ACTIVITY_OUTCOME,
	ACTIVITY_CUSTOM,
	ACTIVITY_OWNER,
	ACTIVITY_COLUMNS
};

static const char *const activity_names[ACTIVITY_COLUMNS] = {
	"org_id", "type", "subject", "body", "outcome", "custom", "owner_id",
};

static void
check_activity_type(struct check_row *row)
{
	static const char *const words[] = { "task", "call", "meeting", "email", "note" };
	struct span type = sh_check_text(row, ACTIVITY_TYPE);

	if (!type.data)
		sh_check_fault(row, "/type", "required", "is required");
	else if (!is_one_of(type, words, lengthof(words)))
		sh_check_fault(row, "/type", "not_allowed", "is not a type of activity");
}

/* Whether a text is there but empty, without reading all of a long one. */
static bool
is_empty(const struct check_row *row, int column)
{
	return !sh_check_null(row, column) &&
		   toast_raw_datum_size(row->values[row->at[column] - 1]) == VARHDRSZ;
}

/* saleshub.activity_check(): trigger */
Datum
sh_activity_check(PG_FUNCTION_ARGS)
{
	struct check_row row;

	sh_check_begin(&row, fcinfo, activity_names, ACTIVITY_COLUMNS);
	sh_check_lower(&row, ACTIVITY_TYPE);
	sh_check_clean(&row, ACTIVITY_SUBJECT);
	if (is_empty(&row, ACTIVITY_BODY))
		sh_check_set_text(&row, ACTIVITY_BODY, (struct span){ NULL, 0 });
	sh_check_clean(&row, ACTIVITY_OUTCOME);
	sh_check_custom(&row, ACTIVITY_CUSTOM, "activity");
	check_activity_type(&row);
	if (sh_check_null(&row, ACTIVITY_SUBJECT))
		sh_check_fault(&row, "/subject", "required", "is required");
	sh_check_length(&row, ACTIVITY_SUBJECT, "/subject", 300);
	sh_check_length(&row, ACTIVITY_OUTCOME, "/outcome", 200);
	sh_check_owner(&row, ACTIVITY_OWNER);
	return PointerGetDatum(sh_check_end(&row, "activity"));
}
