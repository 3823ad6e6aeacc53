/* JSON Schema as the route catalogue uses it: compiled once, collects every fault of a value. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct schema;

/* NULL and the reason when the schema uses something unknown. JSON NULL: anything is allowed. */
struct schema *schema_compile(const json_t *json, char *why, size_t why_size);
void schema_free(struct schema *schema);

/*
 * Appends the faults of the value to the array: {pointer, code, detail}; pointer is where the
 * value stands. At most 100 are collected.
 */
void schema_check(const struct schema *schema, const json_t *value, const char *pointer,
				  json_t *errors);

/*
 * A text of a path or query (it ends with a NUL) against the schema; a fault is {parameter, code,
 * detail}. False: there was one.
 */
bool schema_check_text(const struct schema *schema, const char *base, size_t len,
					   const char *parameter, json_t *errors);

/* The sub-schema of a property, NULL when there is none. */
const struct schema *schema_property(const struct schema *schema, const char *name);
/* The schema of an array's items; NULL: not an array. */
const struct schema *schema_items(const struct schema *schema);
/* Is the word in the schema's list of that name ("ops")? True when it has no such list. */
bool schema_lists(const struct schema *schema, const char *list, const char *word);
/* Does the schema leave the type open? */
bool schema_is_open(const struct schema *schema);
/* May the value be a string? */
bool schema_takes_text(const struct schema *schema);
