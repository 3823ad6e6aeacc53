/*
 * What the checks of all records are made of. A row's values are brought into their normal form,
 * its faults gathered and told at once.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "check.h"
#include "custom.h"
#include "predicate.h"
#include "saleshub.h"

#define REVENUE_MAX INT64CONST(1000000000000000)

/* --- the row --- */

void
sh_check_begin(struct check_row *row, FunctionCallInfo fcinfo, const char *const *names, int count)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc desc;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the check of a record must be a BEFORE INSERT OR UPDATE row trigger")));
	memset(row, 0, sizeof(*row));
	row->rel = trigger->tg_relation;
	row->at = sh_columns_needed(row->rel, names, count);
	row->old = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_trigtuple : NULL;
	row->tuple = row->old ? trigger->tg_newtuple : trigger->tg_trigtuple;
	row->only_missing = true;
	desc = RelationGetDescr(row->rel);
	row->values = palloc(desc->natts * sizeof(*row->values));
	row->nulls = palloc(desc->natts * sizeof(*row->nulls));
	heap_deform_tuple(row->tuple, desc, row->values, row->nulls);
	/* A row of no organisation is refused by the table and its policies, in their words. */
	if (!sh_check_null(row, 0))
		row->org = sh_check_uuid(row, 0);
}

/* Raise all faults of a row at once. */
static void
refuse(struct check_row *row, const char *noun)
{
	JsonbValue *faults = pushJsonbValue(&row->faults, WJB_END_ARRAY, NULL);
	JsonbValue *first = &faults->val.array.elems[0];
	const char *pointer = "";
	const char *detail = "";
	JsonbParseState *state = NULL;
	Jsonb *problem;

	for (int i = 0; i < first->val.object.nPairs; i++)
	{
		JsonbPair *pair = &first->val.object.pairs[i];
		char *value = pnstrdup(pair->value.val.string.val, pair->value.val.string.len);

		if (pair->key.val.string.len == 7) /* of the three only "pointer" */
			pointer = value + strspn(value, "/");
		else if (pair->key.val.string.len == 6)
			detail = value;
	}
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&state, "code", "invalid_body");
	sh_json_key(&state, "errors");
	pushJsonbValue(&state, WJB_VALUE, faults);
	problem = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	ereport(ERROR,
			(errcode(row->only_missing ? ERRCODE_NOT_NULL_VIOLATION : ERRCODE_CHECK_VIOLATION),
			 errmsg_internal("invalid %s: %s %s", noun, pointer, detail),
			 errdetail_internal(
				 "%s", DatumGetCString(DirectFunctionCall1(jsonb_out, JsonbPGetDatum(problem))))));
}

HeapTuple
sh_check_end(struct check_row *row, const char *noun)
{
	HeapTuple out;

	if (row->fault_count > 0)
		refuse(row, noun);
	if (!row->changed)
		return row->tuple;
	out = heap_form_tuple(RelationGetDescr(row->rel), row->values, row->nulls);
	out->t_data->t_ctid = row->tuple->t_data->t_ctid;
	out->t_self = row->tuple->t_self;
	out->t_tableOid = row->tuple->t_tableOid;
	return out;
}

bool
sh_check_null(const struct check_row *row, int column)
{
	return row->nulls[row->at[column] - 1];
}

struct span
sh_check_text(const struct check_row *row, int column)
{
	if (sh_check_null(row, column))
		return (struct span){ NULL, 0 };
	return sh_span_of(DatumGetTextPP(row->values[row->at[column] - 1]));
}

pg_uuid_t
sh_check_uuid(const struct check_row *row, int column)
{
	return *DatumGetUUIDP(row->values[row->at[column] - 1]);
}

void
sh_check_set(struct check_row *row, int column, Datum value)
{
	row->values[row->at[column] - 1] = value;
	row->nulls[row->at[column] - 1] = false;
	row->changed = true;
}

void
sh_check_set_text(struct check_row *row, int column, struct span value)
{
	struct span now = sh_check_text(row, column);

	if (value.data == NULL)
	{
		row->changed |= now.data != NULL;
		row->nulls[row->at[column] - 1] = true;
	}
	else if (!now.data || now.len != value.len || memcmp(now.data, value.data, now.len) != 0)
		sh_check_set(row, column, PointerGetDatum(cstring_to_text_with_len(value.data, value.len)));
}

bool
sh_check_is_new(const struct check_row *row, int column)
{
	int n = row->at[column];
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(row->rel), n - 1);
	bool isnull;
	Datum before;

	if (!row->old)
		return true;
	before = heap_getattr(row->old, n, RelationGetDescr(row->rel), &isnull);
	if (isnull || row->nulls[n - 1])
		return isnull != row->nulls[n - 1];
	return !datum_image_eq(before, row->values[n - 1], att->attbyval, att->attlen);
}

void
sh_check_fault(struct check_row *row, const char *pointer, const char *code, const char *detail)
{
	if (row->fault_count++ == 0)
		pushJsonbValue(&row->faults, WJB_BEGIN_ARRAY, NULL);
	row->only_missing &= strcmp(code, "required") == 0;
	pushJsonbValue(&row->faults, WJB_BEGIN_OBJECT, NULL);
	sh_json_string(&row->faults, "pointer", pointer);
	sh_json_string(&row->faults, "code", code);
	sh_json_string(&row->faults, "detail", detail);
	pushJsonbValue(&row->faults, WJB_END_OBJECT, NULL);
}

/* --- normal forms --- */

void
sh_check_clean(struct check_row *row, int column)
{
	struct span value = sh_check_text(row, column);

	if (value.data)
		sh_check_set_text(row, column, sh_normal_clean(value));
}

void
sh_check_lower(struct check_row *row, int column)
{
	struct span value = sh_check_text(row, column);

	if (value.data)
		value = sh_normal_clean(value);
	if (value.data)
		value = sh_normal_lower(value);
	sh_check_set_text(row, column, value);
}

void
sh_check_tags(struct check_row *row, int column)
{
	int n = row->at[column] - 1;
	Datum tags = row->nulls[n] ? PointerGetDatum(construct_empty_array(TEXTOID)) :
								 sh_normal_tags(row->values[n]);

	if (row->nulls[n] || !datum_image_eq(tags, row->values[n], false, -1))
		sh_check_set(row, column, tags);
}

static Jsonb *
old_jsonb(struct check_row *row, int column)
{
	bool isnull = true;
	Datum value = row->old ?
					  heap_getattr(row->old, row->at[column], RelationGetDescr(row->rel), &isnull) :
					  (Datum) 0;

	return isnull ? NULL : DatumGetJsonbP(value);
}

void
sh_check_custom(struct check_row *row, int column, const char *entity)
{
	List *faults = NIL;
	ListCell *cell;
	Jsonb *custom;
	Jsonb *checked;

	if (sh_check_null(row, column))
		sh_check_set(row, column, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	if (!sh_check_is_new(row, column) || !sh_custom_any(sh_custom_fields(&row->org), entity))
		return;
	custom = DatumGetJsonbP(row->values[row->at[column] - 1]);
	checked = sh_custom_check(entity, &row->org, custom, old_jsonb(row, column), &faults);
	if (checked != custom)
		sh_check_set(row, column, JsonbPGetDatum(checked));
	foreach (cell, faults)
	{
		const struct predicate_error *error = lfirst(cell);

		sh_check_fault(row, error->pointer, error->code, error->detail);
	}
}

/* --- faults --- */

void
sh_check_length(struct check_row *row, int column, const char *pointer, int most)
{
	struct span value = sh_check_text(row, column);

	/* There are never more characters than bytes. */
	if (value.data && value.len > most && sh_span_length(value) > most)
		sh_check_fault(row, pointer, "too_long", psprintf("must have at most %d characters", most));
}

void
sh_check_email(struct check_row *row, int column)
{
	struct span email = sh_check_text(row, column);

	if (email.data && sh_check_is_new(row, column) && !sh_normal_email_ok(email))
		sh_check_fault(row, "/email", "invalid", "is not an e-mail address");
}

void
sh_check_website(struct check_row *row, int column)
{
	struct span website = sh_check_text(row, column);

	if (website.data && !sh_normal_website_ok(website))
		sh_check_fault(row, "/website", "invalid", "is not a web address");
}

void
sh_check_phone(struct check_row *row, int column, int country)
{
	struct span phone = sh_check_text(row, column);
	struct span read_by = country < 0 ? (struct span){ NULL, 0 } : sh_check_text(row, country);
	struct sh_org org;
	char *number;

	if (!sh_check_is_new(row, column))
		return;
	if (phone.data)
		phone = sh_normal_clean(phone);
	if (!phone.data)
	{
		sh_check_set_text(row, column, phone);
		return;
	}
	if (!sh_calling_code(read_by))
	{
		sh_org(&row->org, &org);
		read_by = (struct span){ org.country, (int) strlen(org.country) };
	}
	number = sh_phone_normal(phone, read_by);
	if (number)
		sh_check_set_text(row, column, (struct span){ number, (int) strlen(number) });
	else
		sh_check_fault(row, "/phone", "invalid", "is not a telephone number");
}

/* In capitals; that of the organisation where there is an amount without one. */
void
sh_check_currency(struct check_row *row, int column, int amount)
{
	struct span currency = sh_check_text(row, column);
	struct sh_org org;

	if (currency.data)
		currency = sh_normal_clean(currency);
	if (currency.data)
		currency = sh_normal_upper(currency);
	else if (!sh_check_null(row, amount))
	{
		sh_org(&row->org, &org);
		if (org.currency[0] != '\0')
			currency = (struct span){ org.currency, (int) strlen(org.currency) };
	}
	sh_check_set_text(row, column, currency);
}

static bool
is_currency(struct span code)
{
	return code.len == 3 && code.data[0] >= 'A' && code.data[0] <= 'Z' && code.data[1] >= 'A' &&
		   code.data[1] <= 'Z' && code.data[2] >= 'A' && code.data[2] <= 'Z';
}

static bool
is_within(Datum number, int64 most)
{
	Datum zero = NumericGetDatum(int64_to_numeric(0));
	Datum top = NumericGetDatum(int64_to_numeric(most));

	return DatumGetBool(DirectFunctionCall2(numeric_ge, number, zero)) &&
		   DatumGetBool(DirectFunctionCall2(numeric_le, number, top));
}

void
sh_check_revenue(struct check_row *row, int revenue, int currency, int employees)
{
	struct span code = sh_check_text(row, currency);

	if (!sh_check_null(row, revenue) && !is_within(row->values[row->at[revenue] - 1], REVENUE_MAX))
		sh_check_fault(row, "/annual_revenue", "invalid", "must be from 0 to 1e15");
	if (code.data && !is_currency(code))
		sh_check_fault(
			row, "/annual_revenue/currency", "invalid", "is not a currency code of three letters");
	if (!sh_check_null(row, employees) && DatumGetInt32(row->values[row->at[employees] - 1]) < 0)
		sh_check_fault(row, "/employees", "too_small", "must be at least 0");
}

/* Foreign keys find it too, but one by one and not what is deleted. */
static void
names_none(struct check_row *row, const char *pointer, const char *entity, const pg_uuid_t *id)
{
	char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));

	sh_check_fault(row, pointer, "not_found", psprintf("names no %s (%s)", entity, text));
}

void
sh_check_owner(struct check_row *row, int column)
{
	pg_uuid_t owner;

	if (sh_check_null(row, column) || !sh_check_is_new(row, column))
		return;
	owner = sh_check_uuid(row, column);
	if (!sh_org_has_member(&row->org, &owner))
		names_none(row, "/owner_id", "member", &owner);
}

bool
sh_check_converting(void)
{
	const char *setting = GetConfigOption("saleshub.converting", true, false);

	return setting && strcmp(setting, "on") == 0;
}

static bool
find(const char *sql, const pg_uuid_t *org, const pg_uuid_t *id)
{
	Oid types[2] = { UUIDOID, UUIDOID };
	Datum values[2] = { UUIDPGetDatum(org), UUIDPGetDatum(id) };
	bool found;

	SPI_connect();
	SPI_execute_plan(sh_plan(sql, 2, types), values, NULL, false, 1);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/*
 * What is there is held like saleshub.reference_held() does, so that nobody who undoes what made
 * it misses the reference. Taking back what was done restores references also to what is binned.
 */
bool
sh_check_company(struct check_row *row, int column, const char *pointer)
{
#define COMPANY_SQL                                                                                \
	"SELECT FROM crm.company AS r WHERE r.org_id OPERATOR(pg_catalog.=) $1"                        \
	" AND r.company_id OPERATOR(pg_catalog.=) $2"
	static const char hold[] = COMPANY_SQL " FOR KEY SHARE";
	static const char live[] = COMPANY_SQL " AND r.deleted_at IS NULL";
	struct sh_identity identity;
	pg_uuid_t id;

	if (sh_check_null(row, column) || !sh_check_is_new(row, column))
		return false;
	id = sh_check_uuid(row, column);
	sh_owner_enter(&identity);
	(void) find(hold, &row->org, &id);
	sh_owner_leave(&identity);
	if (!sh_check_converting() && !find(live, &row->org, &id))
		names_none(row, pointer, "company", &id);
	return true;
}
