/*
 * The request check: every case is judged whole, octet by octet and in two parts at every
 * possible place, and the verdict must be the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "door_head.h"
#include "door_scan.h"

static const struct door_limits limits = { .head = 1024, .target = 256, .headers = 20, .body = 64 };

struct outcome
{
	int status;
	uint64_t messages;
	size_t message; /* bytes of the message that is at fault or incomplete */
	bool in_body;
};

struct verdict
{
	const char *name;
	const char *bytes;
	size_t len;
	int status; /* 0: no fault */
	uint64_t messages;
};

static int tests, failures;

#define HOST "Host: a.example:8080\r\n"
#define GET "GET /x HTTP/1.1\r\n" HOST "\r\n"
#define POST "POST /x HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define BYTES(text) text, sizeof(text) - 1

static const struct verdict verdicts[] = {
	{ "plain request", BYTES(GET), 0, 1 },
	{ "three requests", BYTES(GET GET GET), 0, 3 },
	{ "one empty line before", BYTES("\r\n" GET), 0, 1 },
	{ "two empty lines before", BYTES("\r\n\r\n" GET), 400, 0 },
	{ "bare LF before", BYTES("\n" GET), 400, 0 },
	{ "body", BYTES(POST "Content-Length: 5\r\n\r\nhello" GET), 0, 2 },
	{ "empty body", BYTES(POST "Content-Length: 0\r\n\r\n" GET), 0, 2 },
	{ "no body", BYTES("DELETE /x HTTP/1.1\r\n" HOST "\r\n" GET), 0, 2 },
	{ "POST without a length", BYTES(POST "\r\n"), 0, 1 },
	{ "bytes behind a POST without a length", BYTES(POST "\r\n" GET), 400, 1 },
	{ "body not complete", BYTES(POST "Content-Length: 5\r\n\r\nhell"), 0, 0 },
	{ "body of the largest size",
	  BYTES(POST "Content-Length: 64\r\n\r\n"
				 "0123456789012345678901234567890123456789012345678901234567890123"),
	  0,
	  1 },
	{ "declared body too large", BYTES(POST "Content-Length: 65\r\n\r\n"), 413, 0 },
	{ "declared 2^62", BYTES(POST "Content-Length: 4611686018427387904\r\n\r\n"), 413, 0 },
	{ "19 digits", BYTES(POST "Content-Length: 9999999999999999999\r\n\r\n"), 413, 0 },
	{ "2^64 wraps", BYTES(POST "Content-Length: 18446744073709551621\r\n\r\n"), 400, 0 },
	{ "signed length", BYTES(POST "Content-Length: +5\r\n\r\nhello"), 400, 0 },
	{ "negative length", BYTES(POST "Content-Length: -1\r\n\r\n"), 400, 0 },
	{ "hexadecimal length", BYTES(POST "Content-Length: 0x5\r\n\r\nhello"), 400, 0 },
	{ "length with a tail", BYTES(POST "Content-Length: 5 5\r\n\r\nhello"), 400, 0 },
	{ "length list", BYTES(POST "Content-Length: 5, 5\r\n\r\nhello"), 400, 0 },
	{ "empty length", BYTES(POST "Content-Length: \r\n\r\n"), 400, 0 },
	{ "equal lengths twice",
	  BYTES(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
	  400,
	  0 },
	{ "spaces around the length", BYTES(POST "Content-Length: \t 5 \t\r\n\r\nhello"), 0, 1 },
	{ "length and chunked",
	  BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET),
	  400,
	  0 },
	{ "chunked and length",
	  BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" GET),
	  400,
	  0 },
	{ "chunked", BYTES(CHUNKED "5\r\nhello\r\n0\r\n\r\n" GET), 0, 2 },
	{ "Chunked in capitals", BYTES(POST "tRANSFER-eNCODING: CHUNKED\r\n\r\n0\r\n\r\n"), 0, 1 },
	{ "two chunks",
	  BYTES(CHUNKED "1\r\nh\r\nA;a=b;c=\"d e\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
	  0,
	  1 },
	{ "chunked in HTTP/1.0",
	  BYTES("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	  400,
	  0 },
	{ "xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n"), 400, 0 },
	{ "chunked, identity", BYTES(POST "Transfer-Encoding: chunked, identity\r\n\r\n"), 400, 0 },
	{ "chunked twice",
	  BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	  400,
	  0 },
	{ "quoted chunked", BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), 400, 0 },
	{ "VT before chunked", BYTES(POST "Transfer-Encoding: \vchunked\r\n\r\n"), 400, 0 },
	{ "NUL after chunked", BYTES(POST "Transfer-Encoding: chunked\0\r\n\r\n"), 400, 0 },
	{ "empty coding", BYTES(POST "Transfer-Encoding:\r\n\r\n"), 400, 0 },
	{ "a name that only looks like it",
	  BYTES(POST "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"),
	  0,
	  1 },
	{ "a name that begins like it",
	  BYTES("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding-Of-Something: 1\r\n\r\n"),
	  0,
	  1 },
	{ "chunk size 0x", BYTES(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"), 400, 0 },
	{ "chunk size with plus", BYTES(CHUNKED "+5\r\nhello\r\n"), 400, 0 },
	{ "chunk size with underscore", BYTES(CHUNKED "0_5\r\nhello\r\n"), 400, 0 },
	{ "chunk size with space", BYTES(CHUNKED "5 \r\nhello\r\n"), 400, 0 },
	{ "empty chunk size", BYTES(CHUNKED "\r\nhello\r\n"), 400, 0 },
	{ "chunk size of 16 F", BYTES(CHUNKED "FFFFFFFFFFFFFFFF\r\nhello"), 413, 0 },
	{ "17 zeros", BYTES(CHUNKED "00000000000000005\r\nhello"), 400, 0 },
	{ "chunks over the limit", BYTES(CHUNKED "1\r\nh\r\n40\r\n"), 413, 0 },
	{ "LF ends the size", BYTES(CHUNKED "5\nhello\r\n"), 400, 0 },
	{ "CR ends the size", BYTES(CHUNKED "5\rhello\r\n"), 400, 0 },
	{ "chunk longer than its size", BYTES(CHUNKED "1\r\nhello\r\n"), 400, 0 },
	{ "LF in an extension", BYTES(CHUNKED "5;a\nhello\r\n"), 400, 0 },
	{ "NUL in an extension", BYTES(CHUNKED "5;\0\r\nhello\r\n"), 400, 0 },
	{ "trailer without a colon", BYTES(CHUNKED "0\r\nnothing here\r\n\r\n"), 400, 0 },
	{ "trailer with a length", BYTES(CHUNKED "0\r\nContent-Length: 3\r\n\r\n"), 400, 0 },
	{ "folded trailer", BYTES(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), 400, 0 },
	{ "bytes instead of the end", BYTES(CHUNKED "0\r\nX" GET), 400, 0 },
	{ "no Host", BYTES("GET / HTTP/1.1\r\n\r\n"), 400, 0 },
	{ "no Host in HTTP/1.0", BYTES("GET / HTTP/1.0\r\n\r\n"), 0, 1 },
	{ "two Hosts", BYTES("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), 400, 0 },
	{ "empty Host", BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400, 0 },
	{ "Host with a space", BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, 0 },
	{ "Host with a user", BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400, 0 },
	{ "Host with a path", BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400, 0 },
	{ "Host with a bad port", BYTES("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"), 400, 0 },
	{ "Host of IPv6", BYTES("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"), 0, 1 },
	{ "Host of broken IPv6", BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400, 0 },
	{ "space before the colon", BYTES("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), 400, 0 },
	{ "folded header", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), 400, 0 },
	{ "space before the first header", BYTES("GET / HTTP/1.1\r\n X: a\r\n" HOST "\r\n"), 400, 0 },
	{ "header without a colon", BYTES("GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"), 400, 0 },
	{ "empty header name", BYTES("GET / HTTP/1.1\r\n" HOST ": v\r\n\r\n"), 400, 0 },
	{ "header name with brackets", BYTES("GET / HTTP/1.1\r\n" HOST "X(A): v\r\n\r\n"), 400, 0 },
	{ "8-bit header name", BYTES("GET / HTTP/1.1\r\n" HOST "X\xe9: v\r\n\r\n"), 400, 0 },
	{ "8-bit header value", BYTES("GET / HTTP/1.1\r\n" HOST "X: \xe9\xff\r\n\r\n"), 0, 1 },
	{ "DEL in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"), 400, 0 },
	{ "NUL in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), 400, 0 },
	{ "CR in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"), 400, 0 },
	{ "LF in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\nb\r\n\r\n"), 400, 0 },
	{ "tab in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X:\ta\tb\t\r\n\r\n"), 0, 1 },
	{ "LF for CRLF", BYTES("GET / HTTP/1.1\nHost: a\n\n"), 400, 0 },
	{ "two spaces", BYTES("GET  / HTTP/1.1\r\n"), 400, 0 },
	{ "tabs in the request line", BYTES("GET\t/\tHTTP/1.1\r\n"), 400, 0 },
	{ "HTTP/1.32", BYTES("GET / HTTP/1.32\r\n"), 400, 0 },
	{ "HTTP/9.9", BYTES("GET / HTTP/9.9\r\n"), 505, 0 },
	{ "HTTP/2.0", BYTES("GET / HTTP/2.0\r\n"), 505, 0 },
	{ "http/1.1", BYTES("GET / http/1.1\r\n"), 400, 0 },
	{ "no version", BYTES("GET /\r\n"), 400, 0 },
	{ "space in the path", BYTES("GET /a b HTTP/1.1\r\n"), 400, 0 },
	{ "NUL in the path", BYTES("GET /\0 HTTP/1.1\r\n"), 400, 0 },
	{ "8-bit path", BYTES("GET /\xff HTTP/1.1\r\n"), 400, 0 },
	{ "fragment", BYTES("GET /a#b HTTP/1.1\r\n"), 400, 0 },
	{ "asterisk", BYTES("GET * HTTP/1.1\r\n"), 400, 0 },
	{ "no method", BYTES(" / HTTP/1.1\r\n"), 400, 0 },
	{ "lower-case method", BYTES("get / HTTP/1.1\r\n"), 400, 0 },
	{ "unknown method", BYTES("FOO / HTTP/1.1\r\n"), 501, 0 },
	{ "TRACE", BYTES("TRACE / HTTP/1.1\r\n"), 501, 0 },
	{ "CONNECT", BYTES("CONNECT a:22 HTTP/1.1\r\n"), 501, 0 },
	{ "HTTP/2 preface", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 501, 0 },
	{ "TLS hello", BYTES("\x16\x03\x01\x00\xa5\x01"), 400, 0 },
	{ "absolute target", BYTES("GET http://A.example:8080/x HTTP/1.1\r\n" HOST "\r\n"), 0, 1 },
	{ "absolute https target", BYTES("GET https://a.example:8080 HTTP/1.1\r\n" HOST "\r\n"), 0, 1 },
	{ "absolute target elsewhere", BYTES("GET http://b/x HTTP/1.1\r\n" HOST "\r\n"), 400, 0 },
	{ "absolute target with a user",
	  BYTES("GET http://u:p@a.example:8080/ HTTP/1.1\r\n" HOST "\r\n"),
	  400,
	  0 },
	{ "absolute target of another scheme", BYTES("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"), 400, 0 },
	{ "httpss", BYTES("GET httpss://a.example:8080/ HTTP/1.1\r\n" HOST "\r\n"), 400, 0 },
	{ "good, then bad",
	  BYTES(GET POST "Content-Length: 5\r\n\r\nhello"
					 "GET / HTTP/1.1\r\n\r\n"),
	  400,
	  2 },
	{ "handshake",
	  BYTES("GET /s HTTP/1.1\r\n" HOST
			"Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n"),
	  0,
	  0 },
	{ "bytes behind a handshake",
	  BYTES("GET /s HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n" GET),
	  400,
	  0 },
	{ "handshake with a body",
	  BYTES("GET /s HTTP/1.1\r\n" HOST
			"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx"),
	  400,
	  0 },
	{ "Upgrade without Connection",
	  BYTES("GET /s HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n" GET),
	  0,
	  2 },
	{ "another protocol",
	  BYTES("GET /s HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n" GET),
	  0,
	  2 },
};

static void
feed(struct door_scan *scan, const char *base, size_t len)
{
	size_t looked = door_scan(scan, base, len);

	if (scan->fault.status == 0 && looked != len)
	{
		printf("# %zu of %zu bytes looked at without a fault\n", looked, len);
		failures++;
	}
}

static struct outcome
outcome_of(const struct door_scan *scan)
{
	return (struct outcome){
		scan->fault.status, scan->messages, scan->message, door_scan_in_body(scan)
	};
}

static bool
same(struct outcome a, struct outcome b)
{
	return a.status == b.status && a.messages == b.messages && a.message == b.message &&
		   a.in_body == b.in_body;
}

/* The bytes cut at the given places. Each part is a copy of its size: reading past it is seen. */
static struct outcome
judge(const char *base, size_t len, size_t first, size_t step)
{
	struct door_scan scan = { .limits = &limits };
	size_t at = 0;

	while (at < len && scan.fault.status == 0)
	{
		size_t n = at == 0 ? first : step;
		char *part;

		if (n > len - at)
			n = len - at;
		part = malloc(n ? n : 1);
		memcpy(part, base + at, n);
		feed(&scan, part, n);
		free(part);
		at += n;
		if (n == 0)
			first = step;
	}
	return outcome_of(&scan);
}

static struct outcome
every_split(const char *name, const char *base, size_t len)
{
	struct outcome whole = judge(base, len, len, len);

	if (!same(whole, judge(base, len, 1, 1)))
	{
		printf("# %s: octet by octet judged otherwise\n", name);
		failures++;
	}
	for (size_t first = 1; first < len; first++)
	{
		if (!same(whole, judge(base, len, first, len)))
		{
			printf("# %s: cut after %zu bytes judged otherwise\n", name, first);
			failures++;
		}
	}
	return whole;
}

static void
expect(const char *name, const char *base, size_t len, int status, uint64_t messages)
{
	struct outcome got = every_split(name, base, len);

	if (got.status == status && got.messages == messages)
		return;
	printf("# %s: status %d after %d messages, wanted %d after %d\n",
		   name,
		   got.status,
		   (int) got.messages,
		   status,
		   (int) messages);
	failures++;
}

static char *
repeat(const char *before, const char *unit, size_t times, const char *after)
{
	size_t size = strlen(before) + strlen(unit) * times + strlen(after) + 1;
	char *out = malloc(size), *at = out;

	at += snprintf(at, size, "%s", before);
	for (size_t i = 0; i < times; i++)
	{
		memcpy(at, unit, strlen(unit));
		at += strlen(unit);
	}
	memcpy(at, after, strlen(after) + 1);
	return out;
}

static void
expect_repeat(const char *name, const char *before, const char *unit, size_t times,
			  const char *after, int status, uint64_t messages)
{
	char *bytes = repeat(before, unit, times, after);

	expect(name, bytes, strlen(bytes), status, messages);
	free(bytes);
}

static void
limits_hold(void)
{
	static const char line[] = "GET / HTTP/1.1\r\n" HOST;
	static const char value[] = "GET / HTTP/1.1\r\n" HOST "X: ";
	static const char chunked[] = CHUNKED "0\r\n";
	size_t room = limits.head - strlen(value) - 4;

	expect_repeat("head of the largest size", value, "a", room, "\r\n\r\n", 0, 1);
	expect_repeat("head one byte over", value, "a", room + 1, "\r\n\r\n", 431, 0);
	expect_repeat("head without an end", value, "a", 4000, "", 431, 0);
	expect_repeat("most headers", line, "X: y\r\n", 19, "\r\n", 0, 1);
	expect_repeat("one header over", line, "X: y\r\n", 20, "\r\n", 431, 0);
	expect_repeat("longest target", "GET /", "a", 255, " HTTP/1.1\r\n" HOST "\r\n", 0, 1);
	expect_repeat("target one over", "GET /", "a", 256, " HTTP/1.1\r\n" HOST "\r\n", 414, 0);
	expect_repeat("endless method", "", "A", 8192, "", 501, 0);
	expect_repeat("endless extension", CHUNKED "5;", "a", DOOR_EXTENSIONS + 1, "", 413, 0);
	expect_repeat("endless trailers", chunked, "X: y\r\n", 20, "\r\n", 0, 1);
	expect_repeat("trailers over the limit", chunked, "X: y\r\n", 21, "\r\n", 431, 0);
	expect_repeat("long Host", "GET / HTTP/1.1\r\nHost: ", "a", 300, "\r\n\r\n", 400, 0);
	expect_repeat(
		"long Connection", "GET / HTTP/1.1\r\n" HOST "Connection: ", "a", 600, "\r\n\r\n", 400, 0);
}

/* What was refused stays refused: no byte behind a fault is looked at. */
static void
fault_is_final(void)
{
	struct door_scan scan = { .limits = &limits };

	door_scan(&scan, "\n", 1);
	if (door_scan(&scan, GET, strlen(GET)) != 0 || scan.messages != 0)
	{
		printf("# bytes behind a fault were looked at\n");
		failures++;
	}
}

/* Where the faulty message began is known, however many stood before it. */
static void
fault_has_a_place(void)
{
	static const char bytes[] = GET GET "GET / HTTP/1.1\r\nX\r\n\r\n" GET;
	struct door_scan scan = { .limits = &limits };
	size_t looked = door_scan(&scan, bytes, strlen(bytes));

	if (looked - scan.message != 2 * strlen(GET))
	{
		printf("# the fault is placed at %zu\n", looked - scan.message);
		failures++;
	}
}

static bool
collect(void *data, const char *base, size_t len)
{
	strncat(data, base, len);
	return true;
}

/*
 * Bodies that go elsewhere: the scan stops at each head, and, once the body is through, at the
 * message's end; the body comes decoded. In steps of any size.
 */
static void
bodies_go_elsewhere(void)
{
	static const struct door_limits asking = {
		.head = 1024, .target = 256, .headers = 20, .body = 64, .ask = true
	};
	static const char bytes[] =
		GET CHUNKED "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n" POST
					"Content-Length: 3\r\n\r\nbye" GET;
	size_t len = strlen(bytes);

	for (size_t step = 1; step <= len; step++)
	{
		struct door_scan scan = { .limits = &asking };
		char body[64] = "";
		int asked = 0, over = 0;

		for (size_t at = 0; at < len && !scan.fault.status;)
		{
			size_t n = len - at < step ? len - at : step;

			at += door_scan(&scan, bytes + at, n);
			over += scan.pause == DOOR_OVER;
			if (scan.pause != DOOR_ASK)
				continue;
			asked++;
			scan.sink = collect;
			scan.sink_data = body;
			door_scan_body(&scan, 100);
		}
		if (asked != 2 || over != 2 || scan.messages != 4 || strcmp(body, "hello worldbye") != 0)
		{
			printf("# step %zu: %d asked, %d over, %s\n", step, asked, over, body);
			failures++;
		}
	}
}

/* What the door allows is the limit, declared or counted. */
static void
asked_limits_hold(void)
{
	static const struct door_limits asking = {
		.head = 1024, .target = 256, .headers = 20, .body = 64, .ask = true
	};
	static const char declared[] = POST "Content-Length: 101\r\n\r\n";
	static const char chunked[] = CHUNKED "60\r\n";
	struct door_scan scan = { .limits = &asking };

	door_scan(&scan, declared, strlen(declared));
	if (scan.pause != DOOR_ASK || scan.length != 101 || scan.chunked ||
		door_scan_body(&scan, 100) || scan.fault.status != 413)
	{
		printf("# a declared length over what was allowed\n");
		failures++;
	}
	scan = (struct door_scan){ .limits = &asking };
	door_scan(&scan, chunked, strlen(chunked));
	if (scan.pause != DOOR_ASK || !scan.chunked || !door_scan_body(&scan, 95) ||
		(door_scan(&scan, "60\r\n", 4), scan.fault.status != 413))
	{
		printf("# chunks over what was allowed\n");
		failures++;
	}
}

/* The head keeps its length and says nothing of a body any more. */
static void
heads_are_blinded(void)
{
	char head[] = "POST /x HTTP/1.1\r\nContent-Length: 5\r\nTRANSFER-encoding: chunked\r\n"
				  "X-Content-Length: 1\r\n\r\n";
	static const char blind[] =
		"POST /x HTTP/1.1\r\nx-spooled-size: 5\r\nx-spooled-chunked: chunked\r\n"
		"X-Content-Length: 1\r\n\r\n";

	door_head_blind(head, strlen(head));
	if (strcmp(head, blind) != 0)
	{
		printf("# blinded to %s\n", head);
		failures++;
	}
}

/* Random damage to good requests: never a crash, never a verdict that depends on the split. */
static void
damage(void)
{
	static const char good[] =
		GET CHUNKED "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n" POST "Content-Length: 5\r\n\r\nhello" GET;
	static const char alphabet[] = "\r\n\t :;,0Ff5gG\0\x7f\xff/?#@%[]\"";
	unsigned int seed = 1;

	for (int round = 0; round < 20000; round++)
	{
		char bytes[sizeof good];
		size_t len = sizeof good - 1;
		int changes = 1 + rand_r(&seed) % 3;

		memcpy(bytes, good, sizeof good);
		while (changes-- > 0)
			bytes[rand_r(&seed) % len] = alphabet[rand_r(&seed) % (sizeof alphabet - 1)];
		if (!same(judge(bytes, len, len, len), judge(bytes, len, 1 + rand_r(&seed) % len, len)) ||
			!same(judge(bytes, len, len, len), judge(bytes, len, 1, 1)))
		{
			printf("# damage round %d judged otherwise in parts\n", round);
			failures++;
		}
	}
}

static void
verdicts_are_right(void)
{
	for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
	{
		const struct verdict *v = &verdicts[i];

		expect(v->name, v->bytes, v->len, v->status, v->messages);
	}
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
	story("each framing has its verdict, however the bytes arrive", verdicts_are_right);
	story("limits hold to the byte", limits_hold);
	story("no byte behind a fault is looked at", fault_is_final);
	story("the faulty message's first byte is known", fault_has_a_place);
	story("bodies can go elsewhere, decoded", bodies_go_elsewhere);
	story("limits that are asked for hold", asked_limits_hold);
	story("a head can be made to announce no body", heads_are_blinded);
	story("damaged requests are judged the same in parts", damage);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
