#pragma once
#include <string>
#include <string_view>

#include "common/error.h"

namespace ee {

inline constexpr std::string_view kProblemContentType = "application/problem+json";
inline constexpr std::string_view kProblemTypeBase = "https://easyenclave.dev/problems/";

/// The HTTP status of an error; 500 for a code that never belongs in an HTTP answer.
int problem_status(const Error& error);

/// A member of an error whose value is JSON and not a text: why agents cannot be taken. An object, reason to number of
/// agents, or the list of one agent's reasons.
inline constexpr std::string_view kReasonsMember = "reasons";

/// The RFC 9457 body: type, title, status, detail, code, request_id, errors, and the members that the error adds, which
/// are texts but for kReasonsMember. `detail` and `errors` are left out when empty, with every 5xx, and with
/// attestation failures other than a 400 that names fields: those hold slug and fixed sentence only, since their caller
/// is unknown (01 section 13). What remains of them and of the texts is scrubbed (redact.h). An `internal_error` has no
/// members either.
std::string problem_json(const Error& error, std::string_view request_id);

}  // namespace ee
