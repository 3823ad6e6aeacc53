/*
 * The framing of HTTP/1 requests, judged byte by byte and stricter than RFC 9112 asks: what could
 * be read in two ways is refused. Pure: no sockets, no memory, any split of the input gives the
 * same verdict.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
	DOOR_NAME = 24,		   /* longer than any header name that matters here */
	DOOR_VALUE = 512,	   /* longest value of a header that matters here */
	DOOR_AUTHORITY = 260,  /* longest host with port */
	DOOR_EXTENSIONS = 4096 /* chunk extensions and trailers of one message, bytes */
};

struct door_limits
{
	size_t head;   /* request line and headers, bytes */
	size_t target; /* request target, bytes */
	int headers;
	uint64_t body; /* bytes */
	bool ask;	   /* stop after each head that announces a body: DOOR_ASK */
};

enum door_state
{
	DOOR_START, /* between messages; also the state of a fresh connection */
	DOOR_START_LF,
	DOOR_METHOD,
	DOOR_TARGET_FIRST,
	DOOR_SCHEME,
	DOOR_TARGET_HOST,
	DOOR_TARGET,
	DOOR_VERSION,
	DOOR_LINE_LF,
	DOOR_FIELD, /* at the start of a header line */
	DOOR_NAME_REST,
	DOOR_VALUE_REST,
	DOOR_VALUE_LF,
	DOOR_HEAD_LF,
	DOOR_SIZE_FIRST, /* chunk size, first digit */
	DOOR_SIZE,
	DOOR_EXTENSION,
	DOOR_SIZE_LF,
	DOOR_DATA_CR,
	DOOR_DATA_LF,
	DOOR_DATA,	  /* inside a chunk */
	DOOR_BODY,	  /* inside a body with Content-Length */
	DOOR_UPGRADE, /* after the head of a websocket handshake: no byte may follow before the answer
				   */
	DOOR_END	  /* after a request that is the connection's last */
};

/* Why door_scan returned before the end, without a fault. */
enum door_pause
{
	DOOR_GO,  /* it did not */
	DOOR_ASK, /* a head is complete and a body follows: door_scan_body says how large it may be */
	DOOR_OVER /* the message whose body went to a sink is complete */
};

struct door_fault
{
	int status;				   /* 0: none */
	const char *code, *detail; /* need no escaping in JSON */
};

/* One connection. Zeroed, with limits set, it waits for the first request. */
struct door_scan
{
	const struct door_limits *limits;
	enum door_state state;
	struct door_fault fault; /* once set, the connection is over */
	enum door_pause pause;
	size_t message;	   /* bytes of the present message so far, 0: between messages */
	uint64_t body;	   /* body bytes of the present message so far */
	uint64_t messages; /* complete ones before it */

	uint64_t length; /* of the present message, declared by Content-Length */
	bool chunked;
	bool expect, expect_continue; /* it has an Expect header; that says 100-continue */
	/* Where the body of the present message goes, piece by piece; false: it has set the fault. */
	bool (*sink)(void *data, const char *base, size_t len);
	void *sink_data;

	/* private: the present message */
	uint64_t most;	 /* of its body, bytes */
	size_t position; /* within the token being read */
	size_t target, head, extensions;
	uint64_t left;	/* of the body or chunk */
	uint64_t chunk; /* size being read */
	int headers, hosts;
	bool matters; /* the header being read */
	bool http10, trailer, has_length, upgrade, connection_upgrade;
	char method[8];
	char version[9];
	char name[DOOR_NAME];
	size_t name_len;
	char value[DOOR_VALUE];
	size_t value_len;
	char host[DOOR_AUTHORITY], authority[DOOR_AUTHORITY]; /* lower case, ended by NUL */
};

/*
 * Judges the next bytes of the connection; returns how many were looked at: all of them, or up to
 * and with the byte that is at fault. The faulty message began scan->message bytes before that.
 */
size_t door_scan(struct door_scan *scan, const char *base, size_t len);

/* After DOOR_ASK: reads on, with a body of at most so many bytes; false: the fault is set. */
bool door_scan_body(struct door_scan *scan, uint64_t most);
/* Forgets the bytes of the present message: they will come again. */
void door_scan_again(struct door_scan *scan);
/* The head is complete and the message is not. */
bool door_scan_in_body(const struct door_scan *scan);
