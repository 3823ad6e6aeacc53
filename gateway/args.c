#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "text.h"

enum
{
	MAX_PAIRS = 200,
	MAX_VALUES = 1000 /* of one comma list */
};

struct args
{
	struct request *request;
	const struct route *route;
	const char **values;
	json_t *errors;	 /* of all parts */
	json_t *filters; /* [{field, op, value}] */
	bool bad_parameter;
};

static void
parameter_fault(struct args *args, const char *parameter, const char *code, const char *detail)
{
	http_fault_add(args->errors,
				   &(struct http_fault){ .parameter = parameter, .code = code, .detail = detail });
	args->bad_parameter = true;
}

static const struct route_arg *
arg_of(const struct route *route, enum route_source source, const char *wire, int *index)
{
	for (int i = 0; i < route->nargs; i++)
	{
		if (route->args[i].source == source && (!wire || strcmp(route->args[i].wire, wire) == 0))
		{
			*index = i;
			return &route->args[i];
		}
	}
	return NULL;
}

/* --- one value --- */

static bool
check_text(struct args *args, const struct schema *schema, const char *value, const char *parameter)
{
	bool ok = schema_check_text(schema, value, strlen(value), parameter, args->errors);

	args->bad_parameter |= !ok;
	return ok;
}

/* Appends an element to the literal of a PostgreSQL array. */
static void
add_element(struct text *array, const char *base, size_t len)
{
	text_puts(array, array->len > 1 ? ",\"" : "\"");
	for (size_t i = 0; i < len; i++)
	{
		if (base[i] == '"' || base[i] == '\\')
			text_puts(array, "\\");
		text_add(array, base + i, 1);
	}
	text_puts(array, "\"");
}

/* "a,b" to {"a","b"}; an array given before goes on. */
static void
read_list(struct args *args, const struct route_arg *arg, int index, char *value)
{
	const char *before = args->values[index];
	struct text array = { 0 };
	int n = 0;

	if (before)
		text_add(&array, before, strlen(before) - 1);
	else
		text_puts(&array, "{");
	for (char *p = value; p; n++)
	{
		char *comma = strchr(p, ',');

		if (comma)
			*comma = '\0';
		if (n == MAX_VALUES)
		{
			parameter_fault(args, arg->wire, "too_many", "has too many values");
			break;
		}
		if (*p != '\0' && check_text(args, schema_items(arg->schema), p, arg->wire))
			add_element(&array, p, strlen(p));
		p = comma ? comma + 1 : NULL;
	}
	text_puts(&array, "}");
	args->values[index] = http_copy(args->request, array.base, array.len);
	text_free(&array);
}

static void
check_json(struct args *args, const struct route_arg *arg, const char *value)
{
	json_t *parsed = json_loads(value, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	struct text pointer = { 0 };

	if (!parsed)
	{
		parameter_fault(args, arg->wire, "invalid_json", "is not valid JSON");
		return;
	}
	text_printf(&pointer, "/%s", arg->wire);
	schema_check(arg->schema, parsed, pointer.base, args->errors);
	text_free(&pointer);
	json_decref(parsed);
}

static void
read_value(struct args *args, const struct route_arg *arg, int index, char *value)
{
	if (schema_items(arg->schema))
	{
		read_list(args, arg, index, value);
		return;
	}
	if (args->values[index])
	{
		parameter_fault(args, arg->wire, "duplicate", "is given more than once");
		return;
	}
	args->values[index] = value;
	if (strcmp(arg->type, "jsonb") == 0)
		check_json(args, arg, value);
	else
		check_text(args, arg->schema, value, arg->wire);
}

/* --- filters --- */

static bool
is_operator(const char *op)
{
	static const char *const ops[] = { "eq",  "ne", "lt",	  "lte",	  "gt",
									   "gte", "in", "not_in", "contains", "starts_with" };

	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
		if (strcmp(op, ops[i]) == 0)
			return true;
	return false;
}

/* The text as JSON: a number or boolean where the field is one. The check came before. */
static json_t *
filter_value(struct args *args, const struct schema *schema, char *value, const char *parameter)
{
	json_t *parsed;

	if (!check_text(args, schema, value, parameter))
		return NULL;
	if (schema_takes_text(schema))
		return json_string(value);
	parsed = json_loads(value, JSON_DECODE_ANY, NULL);
	return parsed ? parsed : json_string(value);
}

static void
read_filter(struct args *args, const struct schema *field, const char *name, const char *op,
			char *value, const char *parameter)
{
	bool list = strcmp(op, "in") == 0 || strcmp(op, "not_in") == 0;
	json_t *parsed = list ? json_array() : filter_value(args, field, value, parameter);
	json_t *filter;

	for (char *p = value; list && p;)
	{
		char *comma = strchr(p, ',');
		json_t *one;

		if (comma)
			*comma = '\0';
		one = filter_value(args, field, p, parameter);
		if (one)
			json_array_append_new(parsed, one);
		p = comma ? comma + 1 : NULL;
	}
	if (!parsed)
		return;
	filter = json_object();
	json_object_set_new(filter, "field", json_string(name));
	json_object_set_new(filter, "op", json_string(op));
	json_object_set_new(filter, "value", parsed);
	json_array_append_new(args->filters, filter);
}

/* "score[gte]" or "status"; false: the route has no such field. */
static bool
read_filter_pair(struct args *args, const struct route_arg *arg, char *name, char *value)
{
	char *parameter = http_copy(args->request, name, strlen(name));
	char *open = strchr(name, '[');
	size_t len = strlen(name);
	const char *op = strchr(value, ',') ? "in" : "eq";
	const struct schema *field;

	if (open && name[len - 1] == ']')
	{
		name[len - 1] = '\0';
		*open = '\0';
		op = open + 1;
	}
	field = schema_property(arg->schema, name);
	/* Which custom fields there are differs from organisation to organisation. */
	if (!field && strncmp(name, "custom.", 7) == 0)
		field = schema_property(arg->schema, "custom.*");
	if (!field)
		return false;
	if (!is_operator(op) || !schema_lists(field, "ops", op))
		parameter_fault(args,
						parameter,
						"unknown_operator",
						"must be eq, ne, lt, lte, gt, gte, in, not_in, contains or starts_with,"
						" as the field allows");
	else
		read_filter(args, field, name, op, value, parameter);
	return true;
}

/* --- the parts of a request --- */

static void
read_pair(struct args *args, char *name, char *value)
{
	const struct route *route = args->route;
	int index;
	const struct route_arg *arg = arg_of(route, ROUTE_QUERY, name, &index);
	char *parameter;

	if (!arg)
		arg = arg_of(route, ROUTE_UPLOAD, name, &index);
	if (arg)
	{
		read_value(args, arg, index, value);
		return;
	}
	parameter = http_copy(args->request, name, strlen(name));
	arg = arg_of(route, ROUTE_FILTERS, NULL, &index);
	if (!arg || !read_filter_pair(args, arg, name, value))
		parameter_fault(args, parameter, "unknown_parameter", "is not known here");
}

static void
read_query(struct args *args)
{
	h2o_iovec_t query = http_query_string(args->request);
	char *buffer = http_alloc(args->request, query.len + MAX_PAIRS * 2 + 2);
	const char *end = query.base + query.len;
	int pairs = 0;

	for (const char *p = query.base; p && p < end;)
	{
		const char *stop = memchr(p, '&', (size_t) (end - p));
		const char *equals;
		char *name = buffer;
		char *value;
		size_t name_len = 0;
		size_t value_len = 0;

		if (!stop)
			stop = end;
		equals = memchr(p, '=', (size_t) (stop - p));
		if (!equals)
			equals = stop;
		if (stop > p && ++pairs > MAX_PAIRS)
		{
			parameter_fault(args, "", "too_many", "there are too many parameters");
			return;
		}
		if (stop > p)
		{
			bool ok = text_url_decode(p, (size_t) (equals - p), true, name, &name_len);

			name[name_len] = '\0';
			value = name + name_len + 1;
			if (ok && equals < stop)
				ok = text_url_decode(
					equals + 1, (size_t) (stop - equals - 1), true, value, &value_len);
			value[value_len] = '\0';
			buffer = value + value_len + 1;
			if (ok)
				read_pair(args, name, value);
			else
				parameter_fault(args,
								http_copy(args->request, p, (size_t) (equals - p)),
								"invalid_encoding",
								"is not well encoded");
		}
		p = stop + 1;
	}
}

static void
read_paths(struct args *args, const struct route_match *match)
{
	for (int i = 0; i < args->route->nargs; i++)
	{
		const struct route_arg *arg = &args->route->args[i];

		if (arg->source != ROUTE_PATH)
			continue;
		args->values[i] = match->captures[arg->capture];
		check_text(args, arg->schema, args->values[i], arg->wire);
	}
}

/* An entity tag without its quotes; "*" and anything odd as they are: no version equals them. */
static const char *
bare_tag(struct request *request, h2o_iovec_t tag)
{
	if (tag.len >= 2 && tag.base[0] == '"' &&
		memchr(tag.base + 1, '"', tag.len - 1) == tag.base + tag.len - 1)
		return http_copy(request, tag.base + 1, tag.len - 2);
	return http_copy(request, tag.base, tag.len);
}

static void
read_headers(struct args *args)
{
	const struct route *route = args->route;

	for (int i = 0; i < route->nargs; i++)
	{
		const struct route_arg *arg = &route->args[i];

		if (arg->source == ROUTE_HEADER)
		{
			h2o_iovec_t value = http_request_header(args->request, arg->wire);

			if (value.len > 0 && text_is_utf8(value.base, value.len))
				args->values[i] = bare_tag(args->request, value);
		}
		else if (arg->source == ROUTE_PREFER)
		{
			h2o_iovec_t prefer = http_request_header(args->request, "prefer");

			if (prefer.len > 0 && memmem(prefer.base, prefer.len, arg->wire, strlen(arg->wire)))
				args->values[i] = "true";
		}
	}
}

static void
check_body(struct args *args, const struct route_arg *arg, const json_t *body)
{
	if (schema_is_open(arg->schema) && !json_is_object(body))
		http_fault_add(args->errors,
					   &(struct http_fault){
						   .pointer = "", .code = "invalid_type", .detail = "must be object" });
	else
		schema_check(arg->schema, body, "", args->errors);
}

/* False: answered already. */
static bool
read_body(struct args *args)
{
	const struct route *route = args->route;
	h2o_iovec_t entity = args->request->h2o->entity;
	const char *types = strcmp(route->method, "PATCH") == 0 ?
							"application/json,application/merge-patch+json" :
							"application/json";
	int index;
	const struct route_arg *arg = arg_of(route, ROUTE_BODY, NULL, &index);
	json_t *body;

	if (!arg || (entity.len == 0 && !arg->required))
		return true;
	if (entity.len == 0)
	{
		http_fault_add(args->errors,
					   &(struct http_fault){
						   .pointer = "", .code = "required", .detail = "a body is required" });
		return true;
	}
	body = http_json_value(args->request, route->max_body, types);
	if (!body)
		return false;
	check_body(args, arg, body);
	json_decref(body);
	args->values[index] = http_copy(args->request, entity.base, entity.len);
	return true;
}

static int
compare_filters(const void *a, const void *b)
{
	const json_t *const *left = a;
	const json_t *const *right = b;
	const char *keys[] = { "field", "op" };

	for (int i = 0; i < 2; i++)
	{
		int order = strcmp(json_string_value(json_object_get(*left, keys[i])),
						   json_string_value(json_object_get(*right, keys[i])));

		if (order != 0)
			return order;
	}
	return 0;
}

/* In a fixed order, so that requests that mean the same have the same cache key. */
static void
finish_filters(struct args *args)
{
	size_t n = json_array_size(args->filters);
	int index;
	json_t **sorted;
	json_t *array;
	char *text;

	if (!arg_of(args->route, ROUTE_FILTERS, NULL, &index) || n == 0)
		return;
	sorted = http_alloc(args->request, n * sizeof *sorted);
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(args->filters, i);
	qsort(sorted, n, sizeof *sorted, compare_filters);
	array = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append(array, sorted[i]);
	text = json_dumps(array, JSON_COMPACT | JSON_SORT_KEYS);
	args->values[index] = http_copy(args->request, text, strlen(text));
	free(text);
	json_decref(array);
}

static void
check_required(struct args *args)
{
	const struct route *route = args->route;

	for (int i = 0; i < route->nargs; i++)
	{
		const struct route_arg *arg = &route->args[i];

		if (args->values[i] || !arg->required)
			continue;
		if (arg->source == ROUTE_QUERY)
			parameter_fault(args, arg->wire, "required", "is required");
		else if (arg->source == ROUTE_UPLOAD)
			http_fault_add(args->errors,
						   &(struct http_fault){ .pointer = "",
												 .code = "required",
												 .detail = "a file is required as the body" });
		else if (arg->source == ROUTE_FILTERS)
			args->values[i] = "[]";
		else if (arg->source == ROUTE_PREFER)
			args->values[i] = "false";
	}
}

struct args *
args_open(struct request *request, const struct route_match *match, const char **values)
{
	struct args *args = http_alloc(request, sizeof *args);

	args->request = request;
	args->route = match->route;
	args->values = values;
	args->errors = json_array();
	args->filters = json_array();
	read_paths(args, match);
	read_query(args);
	read_headers(args);
	return args;
}

void
args_part(struct args *args, char *name, char *value)
{
	read_pair(args, name, value);
}

bool
args_faulty(const struct args *args)
{
	return json_array_size(args->errors) > 0;
}

void
args_drop(struct args *args)
{
	json_decref(args->filters);
	json_decref(args->errors);
	args->filters = args->errors = NULL;
}

bool
args_close(struct args *args)
{
	json_t *errors = json_incref(args->errors);
	bool bad_parameter;

	finish_filters(args);
	check_required(args);
	bad_parameter = args->bad_parameter;
	args_drop(args);
	if (json_array_size(errors) == 0)
	{
		json_decref(errors);
		return true;
	}
	if (bad_parameter)
		http_problem(args->request,
					 400,
					 "invalid_parameter",
					 "The request has parameters that cannot be used.",
					 errors,
					 NULL);
	else
		http_problem(args->request,
					 422,
					 "invalid_body",
					 "The body has values that cannot be used.",
					 errors,
					 NULL);
	return false;
}

bool
args_read(struct request *request, const struct route_match *match, const char **values)
{
	struct args *args = args_open(request, match, values);

	if (read_body(args))
		return args_close(args);
	args_drop(args);
	return false;
}
