#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "validate.h"

enum
{
	MAX_FAULTS = 100,
	MAX_DEPTH = 32
};

enum type
{
	TYPE_NULL = 1,
	TYPE_BOOLEAN = 2,
	TYPE_INTEGER = 4,
	TYPE_NUMBER = 8,
	TYPE_STRING = 16,
	TYPE_ARRAY = 32,
	TYPE_OBJECT = 64,
	TYPE_ANY = 127
};

struct property
{
	char *name;
	struct schema *schema;
};

struct schema
{
	int types;
	const json_t *json; /* owns what the pointers below point into */
	bool (*format)(const char *base, size_t len);
	const char *format_name;
	const json_t *enumeration;
	bool has_minimum, has_maximum, closed;
	double minimum, maximum;
	size_t min_length, max_length, min_items, max_items;
	struct schema *items;
	struct property *properties;
	size_t nproperties;
	const json_t *required;
	struct schema **any_of;
	size_t nany_of;
};

static const struct
{
	const char *name;
	enum type type;
} type_names[] = { { "null", TYPE_NULL },		{ "boolean", TYPE_BOOLEAN },
				   { "integer", TYPE_INTEGER }, { "number", TYPE_NUMBER },
				   { "string", TYPE_STRING },	{ "array", TYPE_ARRAY },
				   { "object", TYPE_OBJECT } };

static const struct
{
	const char *name;
	bool (*check)(const char *base, size_t len);
} formats[] = {
	{ "uuid", text_is_uuid },	{ "date", text_is_date }, { "date-time", text_is_date_time },
	{ "email", text_is_email }, { "uri", text_is_uri },	  { "decimal", text_is_decimal }
};

/* --- compiling --- */

static void *
allocate(size_t size)
{
	void *result = calloc(1, size > 0 ? size : 1);

	if (!result)
		abort();
	return result;
}

static int
type_of_name(const char *name)
{
	for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
		if (name && strcmp(name, type_names[i].name) == 0)
			return type_names[i].type;
	return 0;
}

static bool
compile_type(struct schema *schema, const json_t *value)
{
	size_t i;
	json_t *entry;

	schema->types = 0;
	if (json_is_string(value))
		schema->types = type_of_name(json_string_value(value));
	json_array_foreach(value, i, entry)
	{
		int type = type_of_name(json_string_value(entry));

		if (type == 0)
			return false;
		schema->types |= type;
	}
	return schema->types != 0;
}

static bool
compile_format(struct schema *schema, const char *name)
{
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
	{
		if (name && strcmp(name, formats[i].name) == 0)
		{
			schema->format = formats[i].check;
			schema->format_name = formats[i].name;
			return true;
		}
	}
	return false;
}

static bool
compile_properties(struct schema *schema, const json_t *value, char *why, size_t why_size)
{
	const char *name;
	json_t *entry;

	schema->properties = allocate(json_object_size(value) * sizeof *schema->properties);
	json_object_foreach((json_t *) value, name, entry)
	{
		struct property *property = &schema->properties[schema->nproperties];

		property->schema = schema_compile(entry, why, why_size);
		if (!property->schema)
			return false;
		property->name = strdup(name);
		if (!property->name)
			abort();
		schema->nproperties++;
	}
	return json_is_object(value);
}

static bool
compile_any_of(struct schema *schema, const json_t *value, char *why, size_t why_size)
{
	size_t i;
	json_t *entry;

	schema->any_of = allocate(json_array_size(value) * sizeof *schema->any_of);
	json_array_foreach(value, i, entry)
	{
		schema->any_of[i] = schema_compile(entry, why, why_size);
		if (!schema->any_of[i])
			return false;
		schema->nany_of++;
	}
	return schema->nany_of > 0;
}

static bool
compile_size(size_t *out, const json_t *value)
{
	*out = (size_t) json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* Words that describe and do not restrict. */
static bool
is_annotation(const char *key)
{
	static const char *const words[] = { "title",	 "description", "default",	 "example",
										 "examples", "readOnly",	"writeOnly", "deprecated",
										 "fields",	 "ops",			"$comment",	 "types",
										 "max" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(key, words[i]) == 0)
			return true;
	return false;
}

static bool
compile_member(struct schema *schema, const char *key, const json_t *value, char *why,
			   size_t why_size)
{
	if (strcmp(key, "type") == 0)
		return compile_type(schema, value);
	if (strcmp(key, "format") == 0)
		return compile_format(schema, json_string_value(value));
	if (strcmp(key, "enum") == 0)
		schema->enumeration = value;
	else if (strcmp(key, "required") == 0)
		schema->required = value;
	else if (strcmp(key, "minimum") == 0)
	{
		schema->has_minimum = true;
		schema->minimum = json_number_value(value);
	}
	else if (strcmp(key, "maximum") == 0)
	{
		schema->has_maximum = true;
		schema->maximum = json_number_value(value);
	}
	else if (strcmp(key, "minLength") == 0)
		return compile_size(&schema->min_length, value);
	else if (strcmp(key, "maxLength") == 0)
		return compile_size(&schema->max_length, value);
	else if (strcmp(key, "minItems") == 0)
		return compile_size(&schema->min_items, value);
	else if (strcmp(key, "maxItems") == 0)
		return compile_size(&schema->max_items, value);
	else if (strcmp(key, "additionalProperties") == 0)
		schema->closed = json_is_false(value);
	else if (strcmp(key, "properties") == 0)
		return compile_properties(schema, value, why, why_size);
	else if (strcmp(key, "anyOf") == 0)
		return compile_any_of(schema, value, why, why_size);
	else if (strcmp(key, "items") == 0)
	{
		schema->items = schema_compile(value, why, why_size);
		return schema->items != NULL;
	}
	else
		return is_annotation(key);
	return true;
}

struct schema *
schema_compile(const json_t *json, char *why, size_t why_size)
{
	struct schema *schema = allocate(sizeof *schema);
	const char *key;
	json_t *value;

	schema->types = TYPE_ANY;
	schema->max_length = schema->max_items = SIZE_MAX;
	schema->json = json_incref((json_t *) json);
	json_object_foreach((json_t *) json, key, value)
	{
		why[0] = '\0';
		if (!compile_member(schema, key, value, why, why_size))
		{
			if (why[0] == '\0')
				snprintf(why, why_size, "schema: cannot use \"%s\"", key);
			schema_free(schema);
			return NULL;
		}
	}
	return schema;
}

void
schema_free(struct schema *schema)
{
	if (!schema)
		return;
	for (size_t i = 0; i < schema->nproperties; i++)
	{
		schema_free(schema->properties[i].schema);
		free(schema->properties[i].name);
	}
	free(schema->properties);
	for (size_t i = 0; i < schema->nany_of; i++)
		schema_free(schema->any_of[i]);
	free(schema->any_of);
	schema_free(schema->items);
	json_decref((json_t *) schema->json);
	free(schema);
}

const struct schema *
schema_property(const struct schema *schema, const char *name)
{
	for (size_t i = 0; schema && i < schema->nproperties; i++)
		if (strcmp(schema->properties[i].name, name) == 0)
			return schema->properties[i].schema;
	return NULL;
}

/* --- checking --- */

/* Where a fault is told: a pointer into the body, or the name of a parameter. */
struct place
{
	const char *key; /* "pointer" or "parameter" */
	const char *name;
	json_t *errors;
};

static void
add_fault(const struct place *place, const char *code, const char *detail)
{
	json_t *fault;

	if (json_array_size(place->errors) >= MAX_FAULTS)
		return;
	fault = json_object();
	json_object_set_new(fault, place->key, json_string(place->name));
	json_object_set_new(fault, "code", json_string(code));
	json_object_set_new(fault, "detail", json_string(detail));
	json_array_append_new(place->errors, fault);
}

static int
type_of_value(const json_t *value)
{
	double real;

	switch (json_typeof(value))
	{
		case JSON_NULL:
			return TYPE_NULL;
		case JSON_TRUE:
		case JSON_FALSE:
			return TYPE_BOOLEAN;
		case JSON_INTEGER:
			return TYPE_INTEGER | TYPE_NUMBER;
		case JSON_REAL:
			/* 1.0 is an integer too */
			real = json_real_value(value);
			return real == floor(real) && fabs(real) < 9e15 ? TYPE_INTEGER | TYPE_NUMBER :
															  TYPE_NUMBER;
		case JSON_STRING:
			return TYPE_STRING;
		case JSON_ARRAY:
			return TYPE_ARRAY;
		case JSON_OBJECT:
			return TYPE_OBJECT;
	}
	return 0;
}

static void
wrong_type(const struct schema *schema, const struct place *place)
{
	struct text detail = { 0 };
	bool more = false;

	text_puts(&detail, "must be ");
	for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
	{
		if (!(schema->types & type_names[i].type))
			continue;
		text_printf(&detail, "%s%s", more ? " or " : "", type_names[i].name);
		more = true;
	}
	add_fault(place, "invalid_type", detail.base);
	text_free(&detail);
}

/* Characters, not bytes. */
static size_t
length_of(const char *base, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char) base[i] & 0xc0) != 0x80;
	return n;
}

static void
check_string(const struct schema *schema, const char *base, size_t len, const struct place *place)
{
	size_t length = length_of(base, len);
	char detail[80];

	if (schema->format && !schema->format(base, len))
	{
		snprintf(detail, sizeof detail, "must be a valid %s", schema->format_name);
		add_fault(place, "invalid_format", detail);
	}
	if (length < schema->min_length)
	{
		snprintf(detail, sizeof detail, "must have at least %zu characters", schema->min_length);
		add_fault(place, "too_short", detail);
	}
	if (length > schema->max_length)
	{
		snprintf(detail, sizeof detail, "must have at most %zu characters", schema->max_length);
		add_fault(place, "too_long", detail);
	}
}

static void
check_number(const struct schema *schema, double number, const struct place *place)
{
	char detail[80];

	if (schema->has_minimum && number < schema->minimum)
	{
		snprintf(detail, sizeof detail, "must be at least %.17g", schema->minimum);
		add_fault(place, "too_small", detail);
	}
	if (schema->has_maximum && number > schema->maximum)
	{
		snprintf(detail, sizeof detail, "must be at most %.17g", schema->maximum);
		add_fault(place, "too_large", detail);
	}
}

static void
check_enum(const struct schema *schema, const json_t *value, const struct place *place)
{
	struct text detail = { 0 };
	size_t i;
	json_t *entry;

	json_array_foreach(schema->enumeration, i, entry) if (json_equal(entry, value)) return;
	text_puts(&detail, "must be one of");
	json_array_foreach(schema->enumeration, i, entry) if (json_is_string(entry))
		text_printf(&detail, "%s %s", i > 0 ? "," : "", json_string_value(entry));
	add_fault(place, "not_allowed", detail.base);
	text_free(&detail);
}

static void check(const struct schema *schema, const json_t *value, const char *pointer,
				  json_t *errors, int depth);

/* A member's pointer: '~' and '/' are escaped as RFC 6901 says. */
static void
pointer_to(struct text *out, const char *pointer, const char *name)
{
	text_printf(out, "%s/", pointer);
	for (; *name; name++)
	{
		if (*name == '~')
			text_puts(out, "~0");
		else if (*name == '/')
			text_puts(out, "~1");
		else
			text_add(out, name, 1);
	}
}

static void
check_object(const struct schema *schema, const json_t *value, const char *pointer, json_t *errors,
			 int depth)
{
	const char *name;
	json_t *member;
	size_t i;

	json_object_foreach((json_t *) value, name, member)
	{
		const struct schema *property = schema_property(schema, name);
		struct text place = { 0 };

		pointer_to(&place, pointer, name);
		if (property)
			check(property, member, place.base, errors, depth + 1);
		else if (schema->closed)
			add_fault(&(struct place){ "pointer", place.base, errors },
					  "unknown_member",
					  "is not known here");
		text_free(&place);
	}
	json_array_foreach(schema->required, i, member)
	{
		struct text place = { 0 };

		if (json_object_get(value, json_string_value(member)))
			continue;
		pointer_to(&place, pointer, json_string_value(member));
		add_fault(&(struct place){ "pointer", place.base, errors }, "required", "is required");
		text_free(&place);
	}
}

static void
check_array(const struct schema *schema, const json_t *value, const char *pointer, json_t *errors,
			int depth)
{
	struct place place = { "pointer", pointer, errors };
	char detail[80];
	size_t i;
	json_t *item;

	if (json_array_size(value) < schema->min_items)
	{
		snprintf(detail, sizeof detail, "must have at least %zu items", schema->min_items);
		add_fault(&place, "too_few", detail);
	}
	if (json_array_size(value) > schema->max_items)
	{
		snprintf(detail, sizeof detail, "must have at most %zu items", schema->max_items);
		add_fault(&place, "too_many", detail);
		return;
	}
	if (!schema->items)
		return;
	json_array_foreach(value, i, item)
	{
		struct text at = { 0 };

		text_printf(&at, "%s/%zu", pointer, i);
		check(schema->items, item, at.base, errors, depth + 1);
		text_free(&at);
	}
}

static bool
fits_any(const struct schema *schema, const json_t *value, const char *pointer, int depth)
{
	for (size_t i = 0; i < schema->nany_of; i++)
	{
		json_t *faults = json_array();
		bool fits;

		check(schema->any_of[i], value, pointer, faults, depth + 1);
		fits = json_array_size(faults) == 0;
		json_decref(faults);
		if (fits)
			return true;
	}
	return schema->nany_of == 0;
}

static void
check(const struct schema *schema, const json_t *value, const char *pointer, json_t *errors,
	  int depth)
{
	struct place place = { "pointer", pointer, errors };

	if (depth > MAX_DEPTH)
	{
		add_fault(&place, "too_deep", "is nested too deeply");
		return;
	}
	if (!(schema->types & type_of_value(value)))
	{
		wrong_type(schema, &place);
		return;
	}
	if (schema->enumeration)
		check_enum(schema, value, &place);
	if (!fits_any(schema, value, pointer, depth))
		add_fault(&place, "invalid_value", "has none of the allowed forms");
	if (json_is_string(value))
		check_string(schema, json_string_value(value), json_string_length(value), &place);
	else if (json_is_number(value))
		check_number(schema, json_number_value(value), &place);
	else if (json_is_object(value))
		check_object(schema, value, pointer, errors, depth);
	else if (json_is_array(value))
		check_array(schema, value, pointer, errors, depth);
}

void
schema_check(const struct schema *schema, const json_t *value, const char *pointer, json_t *errors)
{
	check(schema, value, pointer, errors, 0);
}

/* The text as a value of the schema's type; NULL when it is not one. */
static json_t *
value_of_text(const struct schema *schema, const char *base, size_t len)
{
	int64_t integer;

	if (schema->types & TYPE_STRING)
		return json_stringn(base, len);
	if (schema->types & TYPE_BOOLEAN)
	{
		if (len == 4 && memcmp(base, "true", 4) == 0)
			return json_true();
		return len == 5 && memcmp(base, "false", 5) == 0 ? json_false() : NULL;
	}
	if (text_integer(base, len, &integer))
		return json_integer(integer);
	if ((schema->types & TYPE_NUMBER) && text_is_number(base, len))
		return json_real(strtod(base, NULL));
	return NULL;
}

bool
schema_check_text(const struct schema *schema, const char *base, size_t len, const char *parameter,
				  json_t *errors)
{
	struct place place = { "parameter", parameter, errors };
	size_t before = json_array_size(errors);
	json_t *value = value_of_text(schema, base, len);

	if (!value)
	{
		wrong_type(schema, &place);
		return false;
	}
	if (schema->enumeration)
		check_enum(schema, value, &place);
	if (json_is_string(value))
		check_string(schema, base, len, &place);
	else if (json_is_number(value))
		check_number(schema, json_number_value(value), &place);
	json_decref(value);
	return json_array_size(errors) == before;
}

const struct schema *
schema_items(const struct schema *schema)
{
	return schema->types == TYPE_ARRAY ? schema->items : NULL;
}

bool
schema_lists(const struct schema *schema, const char *list, const char *word)
{
	const json_t *words = json_object_get(schema->json, list);
	size_t i;
	json_t *entry;

	if (!words)
		return true;
	json_array_foreach(words, i, entry) if (json_is_string(entry) &&
											strcmp(json_string_value(entry), word) ==
												0) return true;
	return false;
}

bool
schema_is_open(const struct schema *schema)
{
	return schema->types == TYPE_ANY && schema->nany_of == 0;
}

bool
schema_takes_text(const struct schema *schema)
{
	return (schema->types & TYPE_STRING) != 0;
}
