#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

void
log_begin(struct text *line, enum log_level level)
{
	static const char *const names[] = { "info", "warn", "error" };
	char now[32];

	text_timestamp(text_now_us(), now);
	text_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\"", now, names[level]);
}

/* One write per line: lines of several threads never mix. */
void
log_end(struct text *line)
{
	size_t done = 0;

	text_puts(line, "}\n");
	while (done < line->len)
	{
		ssize_t n = write(STDERR_FILENO, line->base + done, line->len - done);

		if (n <= 0)
			break;
		done += (size_t) n;
	}
	text_free(line);
}

void
log_event(enum log_level level, const char *module, const char *format, ...)
{
	struct text line = { 0 };
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	/* libpq ends its messages with a newline */
	for (size_t n = strlen(message); n > 0 && message[n - 1] == '\n'; n--)
		message[n - 1] = '\0';
	log_begin(&line, level);
	text_puts(&line, ",\"module\":");
	text_json(&line, module, strlen(module));
	text_puts(&line, ",\"message\":");
	text_json(&line, message, strlen(message));
	log_end(&line);
}
