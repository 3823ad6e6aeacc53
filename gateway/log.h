/* One JSON line per event on standard error. */
#pragma once

#include <stdbool.h>

#include "text.h"

enum log_level
{
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR
};

/* Something happened in a module (no secrets, no personal data). */
void log_event(enum log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Start and end a line of an own shape: {"ts":…,"level":… is written by begin. */
void log_begin(struct text *line, enum log_level level);
void log_end(struct text *line);
