/* Access tokens: what we issue is accepted, everything a forger may try is not. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "token.h"

#define ORG "0195a1b2-0000-7000-8000-000000000001"
#define MEMBER "0195a1b2-0000-7000-8000-000000000002"
#define SESSION "0195a1b2-0000-7000-8000-000000000003"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS                                                                                     \
	"{\"iss\":\"saleshub\",\"sub\":\"" MEMBER "\",\"org\":\"" ORG "\",\"sid\":\"" SESSION          \
	"\",\"role\":\"rep\",\"exp\":4102444800}"

static const char secret[] = "a secret of the test that is long enough for HS256";
static int tests, failures;

static void
check(bool ok, const char *name)
{
	if (ok)
		return;
	printf("# %s\n", name);
	failures++;
}

static void
base64url(const void *bytes, size_t len, char *out, size_t size)
{
	sodium_bin2base64(out, size, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* A token by an independent hand: any header, any claims, HMAC of 32 or 64 bytes or none. */
static void
forge(const char *header, const char *claims, const char *key, int mac_len, char *out, size_t size)
{
	unsigned char mac[64];
	char part[1024];

	base64url(header, strlen(header), part, sizeof part);
	snprintf(out, size, "%s.", part);
	base64url(claims, strlen(claims), part, sizeof part);
	strncat(out, part, size - strlen(out) - 1);
	if (mac_len == 64)
	{
		crypto_auth_hmacsha512_state state;

		crypto_auth_hmacsha512_init(&state, (const unsigned char *) key, strlen(key));
		crypto_auth_hmacsha512_update(&state, (const unsigned char *) out, strlen(out));
		crypto_auth_hmacsha512_final(&state, mac);
	}
	else
	{
		crypto_auth_hmacsha256_state state;

		crypto_auth_hmacsha256_init(&state, (const unsigned char *) key, strlen(key));
		crypto_auth_hmacsha256_update(&state, (const unsigned char *) out, strlen(out));
		crypto_auth_hmacsha256_final(&state, mac);
	}
	base64url(mac, mac_len, part, sizeof part);
	strncat(out, ".", size - strlen(out) - 1);
	strncat(out, part, size - strlen(out) - 1);
}

static bool
accepted(const char *header, const char *claims, const char *key, int mac_len)
{
	char bytes[4096];
	struct token token;

	forge(header, claims, key, mac_len, bytes, sizeof bytes);
	return token_check(bytes, strlen(bytes), &token);
}

static void
round_trip(void)
{
	struct token in = { .org = ORG, .member = MEMBER, .session = SESSION, .role = "admin" };
	struct token out = { 0 };
	char *bytes;

	in.expires = time(NULL) + 60;
	bytes = token_issue(&in);
	check(bytes != NULL, "a token is issued");
	check(token_check(bytes, strlen(bytes), &out), "it is accepted");
	check(strcmp(out.org, ORG) == 0 && strcmp(out.member, MEMBER) == 0 &&
			  strcmp(out.session, SESSION) == 0 && strcmp(out.role, "admin") == 0 &&
			  out.expires == in.expires,
		  "it says what went in");
	free(bytes);
	in.expires = time(NULL);
	bytes = token_issue(&in);
	check(!token_check(bytes, strlen(bytes), &out), "it is not accepted at the second it expires");
	free(bytes);
}

/* Every single character changed, dropped or doubled. */
static void
tampering(void)
{
	char bytes[4096], other[4096];
	struct token token;
	size_t len;

	forge(HEADER, CLAIMS, secret, 32, bytes, sizeof bytes);
	len = strlen(bytes);
	check(token_check(bytes, len, &token), "a token of another library is accepted");
	for (size_t i = 0; i < len; i++)
	{
		memcpy(other, bytes, len + 1);
		other[i] = bytes[i] == 'A' ? 'B' : 'A';
		if (token_check(other, len, &token))
		{
			printf("# accepted with character %zu changed\n", i);
			failures++;
		}
		memmove(other + i, bytes + i + 1, len - i);
		check(!token_check(other, len - 1, &token), "a token with a character missing");
	}
	for (size_t cut = 0; cut < len; cut++)
		check(!token_check(bytes, cut, &token), "a token cut short");
	memcpy(other, bytes, len + 1);
	other[len] = '=';
	check(!token_check(other, len + 1, &token), "padding");
	other[len] = '.';
	check(!token_check(other, len + 1, &token), "a fourth part");
	memcpy(other, bytes, len + 1);
	check(!token_check(other, len + 1, &token), "a NUL at the end");
}

static void
algorithms(void)
{
	struct token token;
	char bytes[4096];

	check(accepted("{\"alg\":\"HS256\"}", CLAIMS, secret, 32), "typ may be absent");
	check(!accepted(HEADER, CLAIMS, "another secret that is also long enough", 32), "another key");
	check(!accepted(HEADER, CLAIMS, "", 32), "an empty key");
	check(!accepted("{\"alg\":\"HS512\"}", CLAIMS, secret, 64), "HS512 with the right key");
	check(!accepted("{\"alg\":\"HS384\"}", CLAIMS, secret, 64), "HS384");
	check(!accepted("{\"alg\":\"hs256\"}", CLAIMS, secret, 32), "hs256");
	check(!accepted("{\"alg\":\"RS256\"}", CLAIMS, secret, 32), "RS256");
	check(!accepted("{\"alg\":\"ES256\"}", CLAIMS, secret, 32), "ES256");
	check(!accepted("{\"alg\":\"none\"}", CLAIMS, secret, 32), "none with a signature");
	check(!accepted("{\"alg\":\"NONE\"}", CLAIMS, secret, 32), "NONE");
	check(!accepted("{\"alg\":null}", CLAIMS, secret, 32), "null algorithm");
	check(!accepted("{}", CLAIMS, secret, 32), "no algorithm");
	check(!accepted("[]", CLAIMS, secret, 32), "a header that is no object");
	check(!accepted("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", CLAIMS, secret, 32), "crit");
	check(!accepted("{\"alg\":\"HS256\",\"typ\":\"JWE\"}", CLAIMS, secret, 32), "another type");
	forge("{\"alg\":\"none\"}", CLAIMS, secret, 32, bytes, sizeof bytes);
	*(strrchr(bytes, '.') + 1) = 0;
	check(!token_check(bytes, strlen(bytes), &token), "none without a signature");
	*strrchr(bytes, '.') = 0;
	check(!token_check(bytes, strlen(bytes), &token), "two parts");
}

/* CLAIMS with the first occurrence of one text replaced. */
static bool
accepted_with(const char *text, const char *instead)
{
	static const char claims[] = CLAIMS;
	const char *at = strstr(claims, text);
	char changed[1024];

	snprintf(changed,
			 sizeof changed,
			 "%.*s%s%s",
			 (int) (at - claims),
			 claims,
			 instead,
			 at + strlen(text));
	return accepted(HEADER, changed, secret, 32);
}

static void
claims(void)
{
	char text[64];

	check(!accepted_with("\"iss\":\"saleshub\"", "\"iss\":\"other\""), "another issuer");
	check(!accepted_with("\"iss\":\"saleshub\",", ""), "no issuer");
	check(!accepted_with(MEMBER, "1"), "a subject that is no id");
	check(!accepted_with("\"sub\"", "\"sub2\""), "no subject");
	check(!accepted_with("\"org\"", "\"org2\""), "no organisation");
	check(!accepted_with("\"sid\"", "\"sid2\""), "no session");
	check(!accepted_with("\"role\"", "\"role2\""), "no role");
	check(!accepted_with("\"rep\"", "\"a role of more than fifteen\""), "a long role");
	check(!accepted_with(",\"exp\":4102444800", ""), "no expiry");
	check(!accepted_with("4102444800", "\"4102444800\""), "an expiry that is text");
	check(!accepted_with("4102444800", "4102444800.5"), "an expiry that is no integer");
	check(!accepted_with("4102444800", "-1"), "an expiry before the epoch");
	snprintf(text, sizeof text, "%ld", (long) time(NULL) - 1);
	check(!accepted_with("4102444800", text), "expired a second ago");
	check(accepted_with("\"role\"", "\"nbf\":1,\"role\""), "valid since long ago");
	check(!accepted_with("\"role\"", "\"nbf\":4102444799,\"role\""), "valid only later");
	check(!accepted_with("\"role\"", "\"nbf\":\"x\",\"role\""), "a start that is no time");
}

static void
sizes(void)
{
	static char bytes[1 << 20];
	struct token token;

	memset(bytes, 'a', sizeof bytes);
	check(!token_check(bytes, sizeof bytes, &token), "a megabyte of letters");
	memset(bytes, '.', sizeof bytes);
	check(!token_check(bytes, sizeof bytes, &token), "a megabyte of dots");
	check(!token_check(bytes, 2, &token), "two dots");
	check(!token_check("", 0, &token), "nothing");
}

/* One line of the report: the story is fine when it noted no failure. */
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
	config.jwt_secret = secret;
	if (sodium_init() < 0)
		return 1;
	story("what is issued is accepted until it expires", round_trip);
	story("no changed token is accepted", tampering);
	story("only HS256 with our key is accepted", algorithms);
	story("every claim is needed and checked", claims);
	story("nonsense of any size is refused", sizes);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
