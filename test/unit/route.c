/* The trie of routes: which route answers a path, and what it captures. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "route.h"

static int tests, failures;
static struct route_table *table;

static void
check(bool ok, const char *name)
{
	if (ok)
		return;
	printf("# %s\n", name);
	failures++;
}

static void
add(json_t *catalog, const char *method, const char *path, const char *captured)
{
	json_t *args = json_array();

	if (captured)
		json_array_append_new(args,
							  json_pack("{s:s,s:s,s:s,s:s,s:b,s:{s:s}}",
										"name",
										captured,
										"in",
										"path",
										"wire",
										captured,
										"type",
										"text",
										"required",
										1,
										"schema",
										"type",
										"string"));
	json_array_append_new(catalog,
						  json_pack("{s:i,s:s,s:s,s:s,s:i,s:i,s:i,s:b,s:o}",
									"id",
									(int) json_array_size(catalog) + 1,
									"method",
									method,
									"path",
									path,
									"sql",
									"SELECT 1",
									"success",
									200,
									"max_body",
									100,
									"timeout_ms",
									100,
									"read_only",
									1,
									"args",
									args));
}

/* The path of the route found and its first capture, or a word for what was found instead. */
static void
expect(const char *method, const char *path, const char *wanted)
{
	struct route_match match;
	char buffer[256];
	char got[256] = "";
	char message[600];

	memset(&match, 0, sizeof match);
	switch (route_find_in(table, method, path, strlen(path), buffer, &match))
	{
		case ROUTE_FOUND:
			snprintf(got,
					 sizeof got,
					 "%s%s%s",
					 match.route->path,
					 match.ncaptures > 0 ? " " : "",
					 match.ncaptures > 0 ? match.captures[0] : "");
			route_release(match.table);
			break;
		case ROUTE_NO_PATH:
			snprintf(got, sizeof got, "none");
			break;
		case ROUTE_NO_METHOD:
			snprintf(got, sizeof got, "allow %s", match.allow);
			break;
		case ROUTE_BAD_PATH:
			snprintf(got, sizeof got, "bad");
			break;
		case ROUTE_NO_TABLE:
			break;
	}
	snprintf(
		message, sizeof message, "%s %s: got \"%s\", wanted \"%s\"", method, path, got, wanted);
	check(strcmp(got, wanted) == 0, message);
}

static void
finding(void)
{
	expect("GET", "/v1/leads", "/v1/leads");
	expect("HEAD", "/v1/leads", "/v1/leads");
	expect("POST", "/v1/leads", "/v1/leads");
	expect("GET", "/v1/leads/7", "/v1/leads/{id} 7");
	expect("GET", "/v1/leads/mine", "/v1/leads/mine");
	expect("GET", "/v1/leads/a%20b", "/v1/leads/{id} a b");
	expect("GET", "/v1/leads/a%2Fb", "/v1/leads/{id} a/b");
	expect("GET", "/v1/leads/7/history", "/v1/leads/{id}/history 7");
}

static void
verbs(void)
{
	expect("POST", "/v1/leads:batch", "/v1/leads:batch");
	expect("POST", "/v1/leads/7:archive", "/v1/leads/{id}:archive 7");
	expect("POST", "/v1/leads/:archive", "allow GET, HEAD, DELETE");
	expect("GET", "/v1/leads/7:other", "/v1/leads/{id} 7:other");
}

/* A literal that knows only another method must not hide the captured segment. */
static void
methods(void)
{
	expect("DELETE", "/v1/leads", "allow GET, HEAD, POST");
	expect("DELETE", "/v1/leads/mine", "/v1/leads/{id} mine");
	expect("PUT", "/v1/leads/mine", "allow GET, HEAD");
	expect("BREW", "/v1/leads", "allow GET, HEAD, POST");
}

static void
refusals(void)
{
	expect("GET", "/", "none");
	expect("GET", "/v1", "none");
	expect("GET", "/v1/leads/", "none");
	expect("GET", "//v1/leads", "none");
	expect("GET", "/v1/leads/7/nothing", "none");
	expect("GET", "/v1/leads/%zz", "bad");
	expect("GET", "/v1/leads/%00", "bad");
	expect("GET", "/v1/leads/%ff", "bad");
	expect("GET", "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "none");
	expect("GET", "v1/leads", "none");
}

static void
senseless(void)
{
	char why[160] = "";
	json_t *object = json_object();
	json_t *array = json_pack("[{s:s}]", "method", "GET");
	struct route_table *built = route_build(array, 1, why, sizeof why);

	check(!route_build(object, 1, why, sizeof why), "an object is no catalogue");
	check(built != NULL, "one senseless route does not take the others away");
	route_release(built);
	json_decref(object);
	json_decref(array);
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
	json_t *catalog = json_array();
	char why[160] = "";

	add(catalog, "GET", "/v1/leads/{id}", "id");
	add(catalog, "DELETE", "/v1/leads/{id}", "id");
	add(catalog, "GET", "/v1/leads", NULL);
	add(catalog, "POST", "/v1/leads", NULL);
	add(catalog, "GET", "/v1/leads/mine", NULL);
	add(catalog, "GET", "/v1/leads/{id}/history", "id");
	add(catalog, "POST", "/v1/leads:batch", NULL);
	add(catalog, "POST", "/v1/leads/{id}:archive", "id");
	table = route_build(catalog, 7, why, sizeof why);
	json_decref(catalog);
	if (!table)
	{
		printf("Bail out! %s\n", why);
		return 1;
	}
	check(route_epoch(table) == 7, "epoch");
	story("literals before captures, captures decoded", finding);
	story("verbs after a colon", verbs);
	story("other methods", methods);
	story("paths of nobody", refusals);
	story("senseless routes are left out", senseless);
	route_release(table);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
