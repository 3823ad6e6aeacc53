#include <jwt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "text.h"
#include "token.h"

static const char issuer[] = "saleshub";

char *
token_issue(const struct token *token)
{
	const unsigned char *key = (const unsigned char *) config.jwt_secret;
	jwt_t *jwt = NULL;
	char id[37];
	char *encoded = NULL;

	text_uuid(id);
	if (jwt_new(&jwt) != 0)
		return NULL;
	if (jwt_set_alg(jwt, JWT_ALG_HS256, key, strlen(config.jwt_secret)) == 0 &&
		jwt_add_grant(jwt, "iss", issuer) == 0 && jwt_add_grant(jwt, "sub", token->member) == 0 &&
		jwt_add_grant(jwt, "org", token->org) == 0 &&
		jwt_add_grant(jwt, "sid", token->session) == 0 &&
		jwt_add_grant(jwt, "role", token->role) == 0 &&
		jwt_add_grant_int(jwt, "iat", time(NULL)) == 0 &&
		jwt_add_grant_int(jwt, "exp", token->expires) == 0 && jwt_add_grant(jwt, "jti", id) == 0)
		encoded = jwt_encode_str(jwt);
	jwt_free(jwt);
	return encoded;
}

static bool
copy_uuid(jwt_t *jwt, const char *claim, char out[37])
{
	const char *value = jwt_get_grant(jwt, claim);

	if (!value || !text_is_uuid(value, strlen(value)))
		return false;
	memcpy(out, value, 37);
	return true;
}

/* libjwt answers 0 for a claim that is absent or no integer; a time claim of 0 is as wrong. */
static bool
times_valid(jwt_t *jwt, struct token *out)
{
	long now = time(NULL);
	char *not_before = jwt_get_grants_json(jwt, "nbf");
	bool has_not_before = not_before != NULL;

	free(not_before);
	out->expires = jwt_get_grant_int(jwt, "exp");
	if (out->expires <= now)
		return false;
	if (has_not_before)
	{
		long from = jwt_get_grant_int(jwt, "nbf");

		if (from <= 0 || from > now)
			return false;
	}
	return true;
}

static bool
header_valid(jwt_t *jwt)
{
	const char *algorithm = jwt_get_header(jwt, "alg");
	const char *type = jwt_get_header(jwt, "typ");
	char *critical = jwt_get_headers_json(jwt, "crit");
	bool has_critical = critical != NULL;

	free(critical);
	return jwt_get_alg(jwt) == JWT_ALG_HS256 && algorithm && strcmp(algorithm, "HS256") == 0 &&
		   (!type || strcmp(type, "JWT") == 0) && !has_critical;
}

static bool
claims_valid(jwt_t *jwt, struct token *out)
{
	const char *by = jwt_get_grant(jwt, "iss");
	const char *role = jwt_get_grant(jwt, "role");

	if (!by || strcmp(by, issuer) != 0 || !role || strlen(role) >= sizeof out->role)
		return false;
	memcpy(out->role, role, strlen(role) + 1);
	return copy_uuid(jwt, "sub", out->member) && copy_uuid(jwt, "org", out->org) &&
		   copy_uuid(jwt, "sid", out->session) && times_valid(jwt, out);
}

/* Three parts of base64url without padding: libjwt reads more than that. */
static bool
compact(const char *base, size_t len)
{
	int dots = 0;
	size_t part = 0;

	for (size_t i = 0; i < len; i++)
	{
		char c = base[i];

		if (c == '.')
		{
			if (part == 0 || ++dots > 2)
				return false;
			part = 0;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '-' || c == '_'))
			return false;
		part++;
	}
	return dots == 2 && part > 0;
}

bool
token_check(const char *base, size_t len, struct token *out)
{
	char copy[TOKEN_MAX + 1];
	jwt_t *jwt = NULL;
	bool ok;

	if (len > TOKEN_MAX || !compact(base, len))
		return false;
	memcpy(copy, base, len);
	copy[len] = 0;
	if (jwt_decode(
			&jwt, copy, (const unsigned char *) config.jwt_secret, strlen(config.jwt_secret)) != 0)
		return false;
	ok = header_valid(jwt) && claims_valid(jwt, out);
	jwt_free(jwt);
	return ok;
}
