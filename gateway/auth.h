/* Signing in and up, and refreshing: handlers of /v1/auth. */
#pragma once

/* Registers the handlers and starts the password threads; before loop_run. */
void auth_start(void);
