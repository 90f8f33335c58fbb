/* The engine's table of system calls, over the functions behind the hooks. */
#ifndef SHIM_SYS_REAL_H
#define SHIM_SYS_REAL_H

#include "addcow.h"

extern const struct acow_sys sys_real;

#endif
