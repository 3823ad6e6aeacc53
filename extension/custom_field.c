/*
 * The custom fields of an organisation, kept by every backend for as long as nobody changes them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "custom.h"
#include "saleshub.h"

/* Organisations whose fields a backend keeps; past that all are dropped and start anew. */
#define CACHED_ORGS 64

static struct sh_org_cache cache = { .name = "saleshub custom",
									 .relation.name = "custom_field",
									 .most = CACHED_ORGS };

static const char *const type_names[CUSTOM_TYPE_COUNT] = {
	[CUSTOM_TEXT] = "text",
	[CUSTOM_LONG_TEXT] = "long_text",
	[CUSTOM_NUMBER] = "number",
	[CUSTOM_INTEGER] = "integer",
	[CUSTOM_BOOLEAN] = "boolean",
	[CUSTOM_DATE] = "date",
	[CUSTOM_TIMESTAMP] = "timestamp",
	[CUSTOM_ENUM] = "enum",
	[CUSTOM_MULTI_ENUM] = "multi_enum",
	[CUSTOM_URL] = "url",
	[CUSTOM_EMAIL] = "email",
	[CUSTOM_PHONE] = "phone",
	[CUSTOM_REFERENCE] = "reference",
};

/* --- one field --- */

static int
length_of(JsonbContainer *object)
{
	Numeric number = sh_json_numeric(object, "max_length");

	return number ? DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(number))) :
					PG_INT32_MAX;
}

static enum custom_type
type_of(JsonbContainer *row)
{
	char *name = sh_json_text(row, "type");

	for (int i = 0; name && i < CUSTOM_TYPE_COUNT; i++)
		if (strcmp(type_names[i], name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a type of custom fields", name ? name : "")));
}

static void
read_options(JsonbContainer *row, struct custom_field *out)
{
	JsonbValue *options = sh_json_member(row, "options");
	JsonbContainer *array;

	if (!options || options->type != jbvBinary || !JsonContainerIsArray(options->val.binary.data))
		return;
	array = options->val.binary.data;
	out->options = palloc0((JsonContainerSize(array) + 1) * sizeof(*out->options));
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *option = getIthJsonbValueFromContainer(array, i);
		const char *key;

		if (option->type != jbvBinary || !JsonContainerIsObject(option->val.binary.data))
			continue;
		key = sh_json_text(option->val.binary.data, "key");
		if (!key)
			continue;
		out->options[out->option_count].key = key;
		out->options[out->option_count++].active =
			sh_json_truth(option->val.binary.data, "active", true);
	}
}

void
sh_custom_read(JsonbContainer *row, struct custom_field *out)
{
	char *id = sh_json_text(row, "custom_field_id");
	JsonbValue *initial = sh_json_member(row, "default_value");

	memset(out, 0, sizeof(*out));
	if (id)
		out->id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(id)));
	out->entity = sh_json_text(row, "entity");
	out->key = sh_json_text(row, "key");
	out->label = sh_json_text(row, "label");
	out->type = type_of(row);
	out->target = sh_json_text(row, "target");
	read_options(row, out);
	out->required = sh_json_truth(row, "required", false);
	out->is_unique = sh_json_truth(row, "is_unique", false);
	out->indexed = sh_json_truth(row, "indexed", false);
	out->active = sh_json_truth(row, "active", true);
	out->minimum = sh_json_numeric(row, "minimum");
	out->maximum = sh_json_numeric(row, "maximum");
	out->max_length = length_of(row);
	if (initial)
		out->initial = JsonbValueToJsonb(initial);
}

/* --- all fields --- */

static Jsonb *
copy_of(Datum value)
{
	Jsonb *jsonb = DatumGetJsonbP(value);
	Jsonb *copy = palloc(VARSIZE(jsonb));

	memcpy(copy, jsonb, VARSIZE(jsonb));
	return copy;
}

/* Read the fields; the result is a context of its own below the current one. */
static struct custom_fields *
read_fields(const pg_uuid_t *org)
{
	static const char sql[] = "SELECT pg_catalog.to_jsonb(f) FROM crm.custom_field AS f"
							  " WHERE f.org_id OPERATOR(pg_catalog.=) $1 AND f.deleted_at IS NULL"
							  " ORDER BY f.entity, f.position, f.key";
	Oid types[1] = { UUIDOID };
	Datum values[1] = { UUIDPGetDatum(org) };
	MemoryContext context;
	MemoryContext before;
	struct sh_identity identity;
	struct custom_fields *out;
	bool isnull;

	context = AllocSetContextCreate(CurrentMemoryContext, "saleshub custom", ALLOCSET_SMALL_SIZES);
	sh_owner_enter(&identity);
	SPI_connect();
	if (SPI_execute_plan(sh_plan(sql, 1, types), values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the custom fields");
	before = MemoryContextSwitchTo(context);
	out = palloc0(sizeof(*out));
	out->context = context;
	out->count = (int) SPI_processed;
	out->fields = palloc0(Max(SPI_processed, 1) * sizeof(*out->fields));
	for (int i = 0; i < out->count; i++)
	{
		Datum row = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		sh_custom_read(&copy_of(row)->root, &out->fields[i]);
	}
	MemoryContextSwitchTo(before);
	SPI_finish();
	sh_owner_leave(&identity);
	return out;
}

const struct custom_fields *
sh_custom_fields(const pg_uuid_t *org)
{
	const struct custom_fields *kept = sh_org_kept(&cache, org, NULL);
	struct custom_fields *fields;
	struct sh_stamp stamp;

	if (kept)
		return kept;
	(void) sh_slot_stamp(&stamp);
	fields = read_fields(org);
	(void) sh_org_keep(&cache, org, NULL, &stamp, fields, fields->context);
	return fields;
}

const struct custom_field *
sh_custom_find(const struct custom_fields *fields, const char *entity, const char *key, int len)
{
	for (int i = 0; i < fields->count; i++)
	{
		const struct custom_field *field = &fields->fields[i];

		if (strncmp(field->key, key, len) == 0 && field->key[len] == '\0' &&
			strcmp(field->entity, entity) == 0)
			return field;
	}
	return NULL;
}

bool
sh_custom_any(const struct custom_fields *fields, const char *entity)
{
	for (int i = 0; i < fields->count; i++)
		if (strcmp(fields->fields[i].entity, entity) == 0)
			return true;
	return false;
}

static JsonbContainer *
keys_of(const struct custom_field *field)
{
	JsonbParseState *state = NULL;
	JsonbValue *array;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < field->option_count; i++)
	{
		JsonbValue key = { .type = jbvString };

		key.val.string.val = unconstify(char *, field->options[i].key);
		key.val.string.len = strlen(field->options[i].key);
		pushJsonbValue(&state, WJB_ELEM, &key);
	}
	array = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return &JsonbValueToJsonb(array)->root;
}

bool
sh_custom_subject(const pg_uuid_t *org, const char *entity, const char *name, int len,
				  struct predicate_subject *out)
{
	static const enum predicate_type types[CUSTOM_TYPE_COUNT] = {
		[CUSTOM_TEXT] = TYPE_TEXT,			 [CUSTOM_LONG_TEXT] = TYPE_TEXT,
		[CUSTOM_NUMBER] = TYPE_NUMERIC,		 [CUSTOM_INTEGER] = TYPE_INTEGER,
		[CUSTOM_BOOLEAN] = TYPE_BOOLEAN,	 [CUSTOM_DATE] = TYPE_DATE,
		[CUSTOM_TIMESTAMP] = TYPE_TIMESTAMP, [CUSTOM_ENUM] = TYPE_ENUM,
		[CUSTOM_MULTI_ENUM] = TYPE_TAGS,	 [CUSTOM_URL] = TYPE_TEXT,
		[CUSTOM_EMAIL] = TYPE_EMAIL,		 [CUSTOM_PHONE] = TYPE_TEXT,
		[CUSTOM_REFERENCE] = TYPE_UUID,
	};
	static const int prefix = sizeof("custom.") - 1;
	const struct custom_field *field;

	field = sh_custom_find(sh_custom_fields(org), entity, name + prefix, len - prefix);
	if (!field || !field->active)
		return false;
	out->name = pnstrdup(name, len);
	out->custom = out->name + prefix;
	out->type = types[field->type];
	if (field->type == CUSTOM_ENUM)
		out->allowed = keys_of(field);
	return true;
}
