/*
 * h2o's own WebSocket sending copies twice and takes two loop turns for a message. Here wslay's
 * output and our frames go into one buffer, written once per turn. The end of a connection is
 * ours too: after the last frame the socket is half closed and read to its end for a while,
 * because closing with unread input would make the kernel throw away what we just wrote.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <h2o.h>
#include <h2o/websocket.h>
#include <sodium.h>

#include "door.h"
#include "loop.h"
#include "socket.h"
#include "text.h"

enum
{
	CLOSE_MS = 5000,
	LINGER_MS = 2000,
	KEY_LEN = 24
};

/* Where in a frame the input is. */
struct frame_head
{
	uint8_t bytes[14];
	int have;
	uint64_t payload; /* still to come */
};

struct socket
{
	h2o_websocket_conn_t *conn;	   /* NULL once it is over */
	h2o_websocket_conn_t lingerer; /* what the h2o socket points to after that: only data counts */
	h2o_socket_t *lingering;
	const struct socket_user *user;
	void *data;
	struct text pending, sending;
	struct frame_head head;
	bool writing, closing, failed;
	struct turn_end flush;
	struct timer deadline;
};

static void on_written(h2o_socket_t *sock, const char *err);

static struct socket *
socket_of(h2o_socket_t *sock)
{
	return ((h2o_websocket_conn_t *) sock->data)->data;
}

/* --- the end --- */

static void
release(struct socket *socket)
{
	timer_stop(&socket->deadline);
	if (socket->lingering)
		h2o_socket_close(socket->lingering);
	socket->lingering = NULL;
	socket->failed = true;
	if (socket->flush.queued)
		return; /* the flush comes back here */
	text_free(&socket->pending);
	text_free(&socket->sending);
	free(socket);
}

static void
on_lingered(struct timer *timer)
{
	release(H2O_STRUCT_FROM_MEMBER(struct socket, deadline, timer));
}

static void
on_linger_read(h2o_socket_t *sock, const char *err)
{
	struct socket *socket = socket_of(sock);

	if (err)
		release(socket);
	else
		h2o_buffer_consume(&sock->input, sock->input->size);
}

/* Writes what is left, then says so to the peer and waits for its end. */
static void
linger(struct socket *socket)
{
	h2o_iovec_t piece;

	if (socket->writing)
		return;
	if (socket->pending.len)
	{
		struct text swap = socket->sending;
		socket->sending = socket->pending;
		socket->pending = swap;
		socket->pending.len = 0;
		socket->writing = true;
		piece = h2o_iovec_init(socket->sending.base, socket->sending.len);
		h2o_socket_write(socket->lingering, &piece, 1, on_written);
		return;
	}
	shutdown(h2o_socket_get_fd(socket->lingering), SHUT_WR);
}

/* The WebSocket is over: by its closing handshake, a fault, or the connection's end. */
static void
finish(struct socket *socket)
{
	h2o_websocket_conn_t *conn = socket->conn;
	h2o_socket_t *sock = conn->sock;
	const struct socket_user *user = socket->user;
	void *data = socket->data;

	if (sock && wslay_event_want_write(conn->ws_ctx))
		wslay_event_send(conn->ws_ctx); /* of a fault: the close frame that names it */
	socket->conn = NULL;
	timer_stop(&socket->deadline);
	conn->sock = NULL; /* stays open past the end of the WebSocket */
	h2o_websocket_close(conn);
	if (!sock)
		release(socket);
	else
	{
		socket->lingering = sock;
		socket->lingerer.data = socket;
		sock->data = &socket->lingerer;
		timer_start(&socket->deadline, LINGER_MS, on_lingered);
		h2o_socket_read_start(sock, on_linger_read);
		linger(socket);
	}
	user->closed(data);
}

static void
on_close_deadline(struct timer *timer)
{
	struct socket *socket = H2O_STRUCT_FROM_MEMBER(struct socket, deadline, timer);

	if (socket->conn->sock)
		finish(socket);
	else
		timer_start(&socket->deadline, CLOSE_MS, on_close_deadline); /* h2o still writes the 101 */
}

/* --- writing --- */

static void
on_turn_end(struct turn_end *work)
{
	struct socket *socket = H2O_STRUCT_FROM_MEMBER(struct socket, flush, work);
	struct text swap = socket->sending;
	h2o_iovec_t piece;

	if (socket->failed)
	{
		release(socket);
		return;
	}
	if (!socket->conn || !socket->conn->sock || socket->writing)
		return;
	if (wslay_event_want_write(socket->conn->ws_ctx))
	{
		h2o_websocket_proceed(socket->conn);
		if (!socket->conn)
			return;
	}
	if (!socket->pending.len)
		return;
	swap = socket->sending;
	socket->sending = socket->pending;
	socket->pending = swap;
	socket->pending.len = 0;
	socket->writing = true;
	piece = h2o_iovec_init(socket->sending.base, socket->sending.len);
	h2o_socket_write(socket->conn->sock, &piece, 1, on_written);
}

static void
on_written(h2o_socket_t *sock, const char *err)
{
	struct socket *socket = socket_of(sock);

	socket->writing = false;
	socket->sending.len = 0;
	if (socket->lingering)
	{
		if (err)
			release(socket);
		else
			linger(socket);
		return;
	}
	if (err)
	{
		socket->pending.len = 0;
		finish(socket);
		return;
	}
	h2o_websocket_proceed(socket->conn);
	if (!socket->conn)
		return;
	loop_at_turn_end(&socket->flush);
	if (!socket->pending.len)
		socket->user->drained(socket->data);
}

/* wslay's output: nothing here can block. */
static ssize_t
send_callback(wslay_event_context_ptr ctx, const uint8_t *base, size_t len, int flags, void *data)
{
	struct socket *socket = ((h2o_websocket_conn_t *) data)->data;

	(void) ctx;
	(void) flags;
	text_add(&socket->pending, (const char *) base, len);
	loop_at_turn_end(&socket->flush);
	return (ssize_t) len;
}

/*
 * What is wrong with a complete frame header, as a close code; 0: nothing, or something that wslay
 * names well. It drops the connection without a code for the first three, and waits for the
 * payload of a frame that is too large.
 */
static int
judge_head(const struct frame_head *head, uint64_t length)
{
	bool control = head->bytes[0] & 0x08;
	int form = head->bytes[1] & 0x7f;

	if ((form == 126 && length < 126) || (form == 127 && (length < 65536 || length >> 63)))
		return WSLAY_CODE_PROTOCOL_ERROR;
	if (control && (length > 125 || !(head->bytes[0] & 0x80)))
		return WSLAY_CODE_PROTOCOL_ERROR;
	if ((head->bytes[0] & 0x0f) == WSLAY_CONNECTION_CLOSE && length == 1)
		return WSLAY_CODE_PROTOCOL_ERROR;
	return !control && length > SOCKET_MESSAGE_MAX ? WSLAY_CODE_MESSAGE_TOO_BIG : 0;
}

/* Follows the frames of what wslay is about to read; the code to close with, or 0. */
static int
watch_frames(struct frame_head *head, const uint8_t *base, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		if (head->payload > 0)
		{
			uint64_t step = head->payload < len - i ? head->payload : len - i;
			head->payload -= step;
			i += step;
			continue;
		}
		head->bytes[head->have++] = base[i++];
		if (head->have < 2)
			continue;
		int form = head->bytes[1] & 0x7f;
		int extra = form == 126 ? 2 : form == 127 ? 8 : 0;
		int mask = head->bytes[1] & 0x80 ? 4 : 0;
		if (head->have < 2 + extra + mask)
			continue;
		uint64_t length = extra ? 0 : (uint64_t) form;
		for (int k = 0; k < extra; k++)
			length = length << 8 | head->bytes[2 + k];
		int code = judge_head(head, length);
		head->have = 0;
		head->payload = length;
		if (code)
			return code;
	}
	return 0;
}

static ssize_t
recv_callback(wslay_event_context_ptr ctx, uint8_t *base, size_t len, int flags, void *data)
{
	h2o_socket_t *sock = ((h2o_websocket_conn_t *) data)->sock;
	struct socket *socket = ((h2o_websocket_conn_t *) data)->data;

	(void) flags;
	if (sock->input->size == 0)
	{
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (sock->input->size < len)
		len = sock->input->size;
	memcpy(base, sock->input->bytes, len);
	h2o_buffer_consume(&sock->input, len);
	int code = watch_frames(&socket->head, base, len);
	if (code)
	{
		wslay_event_queue_close(ctx, (uint16_t) code, NULL, 0);
		wslay_event_shutdown_read(ctx);
	}
	return (ssize_t) len;
}

static void
on_frame(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *message, void *data)
{
	struct socket *socket = ((h2o_websocket_conn_t *) data)->data;

	(void) ctx;
	/* binary is well-formed but nothing that is spoken here says anything in it */
	if (message->opcode == WSLAY_TEXT_FRAME && !socket->closing)
		socket->user->text(socket->data, (const char *) message->msg, message->msg_length);
}

static void
on_message(h2o_websocket_conn_t *conn, const struct wslay_event_on_msg_recv_arg *message)
{
	if (!message)
		finish(conn->data);
}

void
socket_send(struct socket *socket, const char *base, size_t len)
{
	unsigned char head[10] = { 0x80 | WSLAY_TEXT_FRAME };
	size_t head_len = 2;

	if (!socket->conn || socket->closing || wslay_event_get_close_received(socket->conn->ws_ctx))
		return;
	if (len < 126)
		head[1] = (unsigned char) len;
	else
	{
		int bytes = len < 65536 ? 2 : 8;
		head[1] = bytes == 2 ? 126 : 127;
		for (int i = 0; i < bytes; i++)
			head[2 + i] = (unsigned char) ((uint64_t) len >> (8 * (bytes - 1 - i)));
		head_len = 2 + (size_t) bytes;
	}
	text_add(&socket->pending, (const char *) head, head_len);
	text_add(&socket->pending, base, len);
	loop_at_turn_end(&socket->flush);
}

size_t
socket_queued(const struct socket *socket)
{
	return socket->pending.len + socket->sending.len;
}

void
socket_close(struct socket *socket, int code, const char *reason)
{
	if (!socket->conn || socket->closing)
		return;
	socket->closing = true;
	wslay_event_queue_close(
		socket->conn->ws_ctx, (uint16_t) code, (const uint8_t *) reason, strlen(reason));
	timer_start(&socket->deadline, CLOSE_MS, on_close_deadline);
	loop_at_turn_end(&socket->flush);
}

void
socket_hand_over(struct socket *socket, const struct socket_user *user, void *data)
{
	socket->user = user;
	socket->data = data;
}

/* --- the handshake --- */

static bool
is_key(const char *key)
{
	unsigned char nonce[18];
	size_t len;

	return sodium_base642bin(nonce,
							 sizeof nonce,
							 key,
							 KEY_LEN,
							 NULL,
							 &len,
							 NULL,
							 sodium_base64_VARIANT_ORIGINAL) == 0 &&
		   len == 16;
}

/* The client's key, or NULL after answering with what is wrong. */
static const char *
check_handshake(struct request *request)
{
	h2o_req_t *req = request->h2o;
	h2o_iovec_t version = http_request_header(request, "sec-websocket-version");
	const char *key = NULL;

	if (!http_origin_allowed(request))
		http_problem(request, 403, "origin_denied", "This origin may not connect.", NULL, NULL);
	else if (req->version != 0x101 || !req->upgrade.base ||
			 !h2o_lcstris(req->upgrade.base, req->upgrade.len, H2O_STRLIT("websocket")))
	{
		http_header(request, "upgrade", "websocket");
		http_problem(request, 426, "upgrade_required", "A WebSocket is needed.", NULL, NULL);
	}
	else if (!h2o_memis(version.base, version.len, H2O_STRLIT("13")))
	{
		http_header(request, "sec-websocket-version", "13");
		http_problem(request, 426, "upgrade_required", "Only version 13 is spoken.", NULL, NULL);
	}
	else if (h2o_is_websocket_handshake(req, &key) != 0 || !key || !is_key(key))
	{
		http_problem(request, 400, "invalid_handshake", "Not a WebSocket handshake.", NULL, NULL);
		return NULL;
	}
	return key;
}

struct socket *
socket_upgrade(struct request *request, const char *first, const struct socket_user *user,
			   void *data)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = recv_callback,
		.send_callback = send_callback,
		.on_msg_recv_callback = on_frame,
	};
	h2o_req_t *req = request->h2o;
	const char *key = check_handshake(request);
	struct socket *socket;

	if (!key)
		return NULL;
	socket = h2o_mem_alloc(sizeof *socket);
	memset(socket, 0, sizeof *socket);
	socket->user = user;
	socket->data = data;
	socket->flush.run = on_turn_end;
	door_release(req->conn->callbacks->get_socket(req->conn));
	http_header(request, "x-request-id", request->id);
	socket->conn = h2o_upgrade_to_websocket(req, key, socket, on_message);
	wslay_event_config_set_callbacks(socket->conn->ws_ctx, &callbacks);
	wslay_event_config_set_max_recv_msg_length(socket->conn->ws_ctx, SOCKET_MESSAGE_MAX);
	if (first)
		wslay_event_queue_msg(
			socket->conn->ws_ctx,
			&(struct wslay_event_msg){ WSLAY_TEXT_FRAME, (const uint8_t *) first, strlen(first) });
	http_done(request, 101, 0);
	return socket;
}
