#pragma once
#include <string>

#include "common/log.h"

namespace ee::log {

/// Appends a field's value as JSON: times as RFC 3339, what was left empty as null.
void append_value(std::string& to, const OwnedValue& value);

}  // namespace ee::log
