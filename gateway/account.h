/* What else needs a password hash: changing one's own password, and new members. */
#pragma once

/* Registers the handlers; before loop_run. */
void account_start(void);
