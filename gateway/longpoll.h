/* GET /v1/poll: events after a position, at once or when there are some. For curl and the like. */
#pragma once

/* Registers the route; before loop_run. */
void longpoll_install(void);
