#include <stddef.h>
#include <string.h>

#include "sqlstate.h"

struct row
{
	const char *prefix; /* the first match counts: exact codes stand before their class */
	struct sqlstate_answer answer;
};

static const struct row table[] = {
	{ "SH001", { 409, "already_converted", NULL, true, false } },
	{ "SH002", { 409, "ambiguous", NULL, true, false } },
	{ "SH003", { 409, "lead_converted", NULL, true, false } },
	{ "22", { 422, "invalid_value", NULL, true, false } },
	{ "23505", { 409, "conflict", "Another record has the same value.", false, false } },
	{ "23P01", { 409, "conflict", "The value collides with another record.", false, false } },
	{ "23503",
	  { 409,
		"reference",
		"A record that this one refers to, or that refers to it, forbids this.",
		false,
		false } },
	{ "23502", { 422, "required", "A value is required.", false, false } },
	{ "23514", { 422, "invalid_value", "The value is not allowed.", false, false } },
	{ "23", { 409, "conflict", "The change breaks a rule of the data.", false, false } },
	{ "40001", { 503, "busy", "Others were changing the same records. Try again.", false, true } },
	{ "40P01", { 503, "busy", "Others were changing the same records. Try again.", false, true } },
	{ "55P03", { 409, "locked", "Another change of this record is under way.", false, true } },
	{ "57014", { 504, "timeout", "The database needed too long.", false, false } },
	{ "57P", { 503, "unavailable", "The database is restarting.", false, true } },
	{ "08", { 503, "unavailable", "The database cannot be reached.", false, true } },
	{ "53", { 503, "unavailable", "The database is out of resources.", false, true } },
	{ "25006", { 405, "read_only", "This route only reads.", false, false } },
	{ "28", { 401, "unauthenticated", "Sign in first.", false, false } },
	{ "P0002", { 404, "not_found", "There is no such record.", false, false } },
	{ "02000", { 404, "not_found", "There is no such record.", false, false } },
	{ "P0001", { 400, "refused", NULL, true, false } },
	{ "54", { 422, "too_complex", "The request is too large or too complex.", false, false } },
};

static const struct
{
	int status;
	const char *title;
	const char *code;
} statuses[] = {
	{ 101, "Switching Protocols", "" },
	{ 200, "OK", "" },
	{ 201, "Created", "" },
	{ 202, "Accepted", "" },
	{ 204, "No Content", "" },
	{ 206, "Partial Content", "" },
	{ 207, "Multi-Status", "" },
	{ 301, "Moved Permanently", "" },
	{ 302, "Found", "" },
	{ 303, "See Other", "" },
	{ 304, "Not Modified", "" },
	{ 400, "Bad Request", "bad_request" },
	{ 401, "Unauthorized", "unauthenticated" },
	{ 403, "Forbidden", "forbidden" },
	{ 404, "Not Found", "not_found" },
	{ 405, "Method Not Allowed", "method_not_allowed" },
	{ 406, "Not Acceptable", "not_acceptable" },
	{ 408, "Request Timeout", "request_timeout" },
	{ 409, "Conflict", "conflict" },
	{ 410, "Gone", "gone" },
	{ 411, "Length Required", "length_required" },
	{ 412, "Precondition Failed", "version_mismatch" },
	{ 413, "Content Too Large", "too_large" },
	{ 414, "URI Too Long", "uri_too_long" },
	{ 415, "Unsupported Media Type", "unsupported_media_type" },
	{ 417, "Expectation Failed", "expectation_failed" },
	{ 422, "Unprocessable Content", "invalid_value" },
	{ 423, "Locked", "locked" },
	{ 426, "Upgrade Required", "upgrade_required" },
	{ 428, "Precondition Required", "precondition_required" },
	{ 429, "Too Many Requests", "rate_limited" },
	{ 431, "Request Header Fields Too Large", "head_too_large" },
	{ 500, "Internal Server Error", "internal" },
	{ 501, "Not Implemented", "not_implemented" },
	{ 503, "Service Unavailable", "unavailable" },
	{ 504, "Gateway Timeout", "timeout" },
	{ 507, "Insufficient Storage", "disk_full" },
};
enum
{
	STATUSES = sizeof statuses / sizeof statuses[0]
};

const char *
sqlstate_title(int status)
{
	for (int i = 0; i < STATUSES; i++)
		if (statuses[i].status == status)
			return statuses[i].title;
	return status < 400 ? "OK" : status < 500 ? "Client Error" : "Server Error";
}

static const char *
status_code(int status)
{
	for (int i = 0; i < STATUSES; i++)
		if (statuses[i].status == status && statuses[i].code[0] != '\0')
			return statuses[i].code;
	return "error";
}

/* SH400 to SH599 carry their status. */
static int
carried_status(const char *sqlstate)
{
	int status = 0;

	if (strncmp(sqlstate, "SH", 2) != 0)
		return 0;
	for (int i = 2; i < 5; i++)
	{
		if (sqlstate[i] < '0' || sqlstate[i] > '9')
			return 0;
		status = status * 10 + sqlstate[i] - '0';
	}
	return status >= 400 && status <= 599 ? status : 0;
}

struct sqlstate_answer
sqlstate_answer(const char *sqlstate, bool anonymous)
{
	struct sqlstate_answer internal = {
		500, "internal", "Something went wrong on our side.", false, false
	};
	int status;

	if (!sqlstate || strlen(sqlstate) != 5)
		return internal;
	status = carried_status(sqlstate);
	if (status != 0)
		return (struct sqlstate_answer){
			status, status_code(status), NULL, true, status == 503 || status == 429
		};
	if (strcmp(sqlstate, "42501") == 0 && anonymous)
		return (struct sqlstate_answer){ 401, "unauthenticated", "Sign in first.", false, false };
	if (strcmp(sqlstate, "42501") == 0)
		return (struct sqlstate_answer){
			403, "forbidden", "Your role does not allow this.", false, false
		};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strncmp(sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0)
			return table[i].answer;
	return internal;
}
