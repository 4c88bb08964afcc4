/* One device's state, as a program keeps it: what `make size` counts beside the core itself. */
#include "iot.h"

struct iot footprint_device;
