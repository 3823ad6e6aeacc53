#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "door_answer.h"
#include "metric.h"
#include "sqlstate.h"
#include "text.h"

/* One attempt, straight to the kernel: nothing else is being written, and the client is at fault.
 */
void
door_answer(int fd, const struct door_fault *fault)
{
	char id[37], date[40], body[512], head[512];
	const char *extra = fault->status == 401 ? "WWW-Authenticate: Bearer\r\n" :
						fault->status == 503 ? "Retry-After: 1\r\n" :
											   "";
	time_t now = time(NULL);
	struct tm tm;
	int body_len, head_len;
	struct iovec parts[2];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	snprintf(body, sizeof body, "code=\"%s\"", fault->code);
	metric_add(
		metric_counter("saleshub_http_refused_total", body, "Requests refused for their framing."),
		1);
	text_uuid(id);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	body_len =
		snprintf(body,
				 sizeof body,
				 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
				 "\"code\":\"%s\",\"request_id\":\"%s\"}",
				 sqlstate_title(fault->status),
				 fault->status,
				 fault->detail,
				 fault->code,
				 id);
	head_len = snprintf(head,
						sizeof head,
						"HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n"
						"Content-Type: application/problem+json\r\nContent-Length: %d\r\n"
						"X-Request-Id: %s\r\nCache-Control: no-store\r\n"
						"X-Content-Type-Options: nosniff\r\n%s\r\n",
						fault->status,
						sqlstate_title(fault->status),
						date,
						body_len,
						id,
						extra);
	parts[0] = (struct iovec){ head, head_len };
	parts[1] = (struct iovec){ body, body_len };
	if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* the client is gone or reads nothing: it is closed all the same */
}

void
door_continue(int fd)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* a client that cannot take it goes on after a while without */
	if (send(fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}
