/* JSON Schema: which values pass, which faults are told, and where. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "validate.h"

static int tests, failures;

static void
check(bool ok, const char *name)
{
	if (ok)
		return;
	printf("# %s\n", name);
	failures++;
}

/* The faults as "pointer code" words in order, joined by "; ". */
static void
faults_of(const char *schema_text, const char *value_text, char *out, size_t size)
{
	char why[128] = "";
	json_t *json = json_loads(schema_text, 0, NULL);
	json_t *value = json_loads(value_text, JSON_DECODE_ANY, NULL);
	struct schema *schema = schema_compile(json, why, sizeof why);
	json_t *errors = json_array();
	size_t i;
	json_t *fault;
	size_t len = 0;

	out[0] = '\0';
	check(schema && value, schema ? value_text : why);
	if (schema && value)
		schema_check(schema, value, "", errors);
	json_array_foreach(errors, i, fault)
	{
		len += (size_t) snprintf(out + len,
								 size - len,
								 "%s%s %s",
								 i > 0 ? "; " : "",
								 json_string_value(json_object_get(fault, "pointer")),
								 json_string_value(json_object_get(fault, "code")));
		if (len >= size)
			break;
	}
	json_decref(errors);
	json_decref(value);
	json_decref(json);
	schema_free(schema);
}

static void
expect(const char *schema, const char *value, const char *wanted)
{
	char got[1024];
	char message[1400];

	faults_of(schema, value, got, sizeof got);
	snprintf(
		message, sizeof message, "%s of %s: got \"%s\", wanted \"%s\"", schema, value, got, wanted);
	check(strcmp(got, wanted) == 0, message);
}

static void
types(void)
{
	expect("{\"type\":\"integer\"}", "1", "");
	expect("{\"type\":\"integer\"}", "1.0", "");
	expect("{\"type\":\"integer\"}", "1.5", " invalid_type");
	expect("{\"type\":\"integer\"}", "true", " invalid_type");
	expect("{\"type\":\"number\"}", "1", "");
	expect("{\"type\":[\"string\",\"null\"]}", "null", "");
	expect("{\"type\":[\"string\",\"null\"]}", "[]", " invalid_type");
	expect("{}", "{\"anything\":[1,2]}", "");
}

static void
limits(void)
{
	expect(
		"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"\\u00e9\\u00e9\\u00e9\"", "");
	expect("{\"type\":\"string\",\"minLength\":2}", "\"x\"", " too_short");
	expect("{\"type\":\"string\",\"maxLength\":2}", "\"xyz\"", " too_long");
	expect("{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", "-0.1", " too_small");
	expect("{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", "2", " too_large");
	expect("{\"type\":\"array\",\"maxItems\":1,\"items\":{\"type\":\"integer\"}}",
		   "[1,2]",
		   " too_many");
	expect("{\"type\":\"array\",\"minItems\":1}", "[]", " too_few");
	expect("{\"enum\":[\"a\",\"b\"]}", "\"c\"", " not_allowed");
	expect("{\"type\":\"string\",\"format\":\"uuid\"}", "\"x\"", " invalid_format");
	expect("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"required\":[\"amount\"]}]}",
		   "{}",
		   " invalid_value");
	expect("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"required\":[\"amount\"]}]}",
		   "{\"amount\":1}",
		   "");
}

static void
places(void)
{
	const char *schema =
		"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\",\"age\"],"
		"\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\"},"
		"\"list\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"x\":{"
		"\"type\":\"integer\"}}}}}}";

	expect(schema,
		   "{\"name\":1,\"a/b\":1,\"c~d\":2}",
		   "/name invalid_type; /a~1b unknown_member; /c~0d unknown_member; /age required");
	expect(schema,
		   "{\"name\":\"n\",\"age\":1,\"list\":[{\"x\":1},{\"x\":\"2\"},3]}",
		   "/list/1/x invalid_type; /list/2 invalid_type");
}

static void
texts(void)
{
	char why[128] = "";
	json_t *json = json_loads(
		"{\"properties\":{\"n\":{\"type\":\"integer\",\"maximum\":10},\"b\":{\"type\":\"boolean\"},"
		"\"s\":{\"type\":\"string\",\"enum\":[\"x\"],\"ops\":[\"eq\"]},\"a\":{\"type\":\"array\","
		"\"items\":{\"type\":\"integer\"}}}}",
		0,
		NULL);
	struct schema *schema = schema_compile(json, why, sizeof why);
	json_t *errors = json_array();

	check(schema_check_text(schema_property(schema, "n"), "10", 2, "n", errors), "10");
	check(!schema_check_text(schema_property(schema, "n"), "11", 2, "n", errors), "11");
	check(!schema_check_text(schema_property(schema, "n"), "1.5", 3, "n", errors), "1.5");
	check(schema_check_text(schema_property(schema, "b"), "true", 4, "b", errors), "true");
	check(!schema_check_text(schema_property(schema, "b"), "1", 1, "b", errors),
		  "1 is not a boolean");
	check(!schema_check_text(schema_property(schema, "s"), "y", 1, "s", errors), "y");
	check(json_array_size(errors) == 4, "four faults");
	check(strcmp(json_string_value(json_object_get(json_array_get(errors, 0), "parameter")), "n") ==
			  0,
		  "parameter");
	check(schema_items(schema_property(schema, "a")) && !schema_items(schema_property(schema, "n")),
		  "items");
	check(schema_lists(schema_property(schema, "s"), "ops", "eq") &&
			  !schema_lists(schema_property(schema, "s"), "ops", "lt"),
		  "ops");
	check(schema_lists(schema_property(schema, "n"), "ops", "lt") && !schema_property(schema, "zz"),
		  "no ops");
	json_decref(errors);
	schema_free(schema);
	json_decref(json);
}

static void
unknown_words(void)
{
	static const char *const bad[] = {
		"{\"pattern\":\"^a\"}",		 "{\"type\":\"text\"}",
		"{\"format\":\"hostname\"}", "{\"properties\":{\"a\":{\"$ref\":\"#\"}}}",
		"{\"maxLength\":-1}",		 "{\"items\":{\"type\":[\"x\"]}}"
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		char why[128] = "";
		json_t *json = json_loads(bad[i], 0, NULL);
		struct schema *schema = schema_compile(json, why, sizeof why);

		check(!schema && why[0] != '\0', bad[i]);
		schema_free(schema);
		json_decref(json);
	}
}

static void
many_faults(void)
{
	json_t *array = json_array();
	json_t *schema_json = json_loads("{\"items\":{\"type\":\"string\"}}", 0, NULL);
	json_t *errors = json_array();
	char why[128];
	struct schema *schema = schema_compile(schema_json, why, sizeof why);

	for (int i = 0; i < 1000; i++)
		json_array_append_new(array, json_integer(i));
	schema_check(schema, array, "", errors);
	check(json_array_size(errors) == 100, "at most 100 faults");
	json_decref(errors);
	json_decref(array);
	json_decref(schema_json);
	schema_free(schema);
}

static void
story(const char *name, void (*tell)(void))
{
	int before = failures;

	tell();
	printf("%s %d - %s\n", failures == before ? "ok" : "not ok", ++tests, name);
}

int
main(void)
{
	story("types", types);
	story("limits, formats, choices", limits);
	story("every fault is told with its pointer", places);
	story("texts of paths and queries", texts);
	story("a schema with words we do not check is refused", unknown_words);
	story("the number of faults is bounded", many_faults);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
