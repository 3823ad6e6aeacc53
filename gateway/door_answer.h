/* What the door itself says to a client, h2o not knowing. */
#pragma once

#include "door_scan.h"

/* The problem document of a fault; the connection is over. */
void door_answer(int fd, const struct door_fault *fault);
/* 100 Continue. */
void door_continue(int fd);
