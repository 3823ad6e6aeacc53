/* GET /v1/stream: server-sent events, resumable by Last-Event-ID. */
#pragma once

/* Registers the route; before loop_run. */
void stream_install(void);
