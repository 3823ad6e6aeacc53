/* Private ids of Socket.IO connections: they name what to resume, and are signed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum
{
	PID_MAX = 320
};

struct pid
{
	char connection[37], org[37], member[37];
	char epoch[64];
	long issued; /* seconds: makes every pid another one */
};

void pid_write(const struct pid *pid, char out[PID_MAX]);
/* False unless we signed it. */
bool pid_read(const char *text, struct pid *out);
