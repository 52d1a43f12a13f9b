#pragma once
#include "common/error.h"
#include "common/log.h"

namespace ee {

/// How loud the log is about a request that was answered with `code`: `error` for a fault of this process or of what it
/// needs (5xx, and what may not be in an answer at all), `warn` for a mistake of the caller (4xx). A 5xx by which a
/// limit or a switch of the operator refuses the request is `info`: nothing is broken, and a warning may wait for room
/// in the log's queue just when there are most of them.
log::Level log_level_of(ErrorCode code);

}  // namespace ee
