#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "config.h"
#include "pid.h"
#include "text.h"

enum
{
	MAC = 16,
	MAC_HEX = 2 * MAC
};

static void
sign(const char *base, size_t len, char out[MAC_HEX + 1])
{
	static const char purpose[] = "saleshub socket.io pid 1";
	uint8_t key[32], mac[MAC];

	crypto_generichash(key,
					   sizeof key,
					   (const uint8_t *) config.jwt_secret,
					   strlen(config.jwt_secret),
					   (const uint8_t *) purpose,
					   sizeof purpose - 1);
	crypto_generichash(mac, sizeof mac, (const uint8_t *) base, len, key, sizeof key);
	sodium_memzero(key, sizeof key);
	text_hex(mac, sizeof mac, out);
}

void
pid_write(const struct pid *pid, char out[PID_MAX])
{
	char mac[MAC_HEX + 1];
	int len = snprintf(out,
					   PID_MAX - MAC_HEX - 1,
					   "%s.%s.%s.%ld.%s",
					   pid->connection,
					   pid->org,
					   pid->member,
					   pid->issued,
					   pid->epoch);

	sign(out, (size_t) len, mac);
	snprintf(out + len, (size_t) (PID_MAX - len), ".%s", mac);
}

/* The part up to the next dot; false when it does not fit. */
static bool
take(const char **at, char *out, size_t size)
{
	size_t len = strcspn(*at, ".");

	if (len >= size || (*at)[len] != '.')
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len + 1;
	return true;
}

bool
pid_read(const char *text, struct pid *out)
{
	const char *last = strrchr(text, '.');
	char mac[MAC_HEX + 1], issued[24];

	if (!last || strlen(text) >= PID_MAX || strlen(last + 1) != MAC_HEX)
		return false;
	sign(text, (size_t) (last - text), mac);
	if (sodium_memcmp(mac, last + 1, MAC_HEX) != 0)
		return false;
	memset(out, 0, sizeof *out);
	if (!take(&text, out->connection, sizeof out->connection) ||
		!take(&text, out->org, sizeof out->org) || !take(&text, out->member, sizeof out->member) ||
		!take(&text, issued, sizeof issued) || !take(&text, out->epoch, sizeof out->epoch))
		return false;
	out->issued = strtol(issued, NULL, 10);
	return true;
}
