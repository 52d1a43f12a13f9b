#include "agent/runtime/container_runtime.h"

#include "common/require.h"

namespace ee::agent {

std::string_view to_string(RuntimeFailure failure) {
  switch (failure) {
    case RuntimeFailure::cancelled: return "cancelled";
    case RuntimeFailure::unavailable: return "unavailable";
    case RuntimeFailure::bad_answer: return "bad_answer";
    case RuntimeFailure::not_found: return "not_found";
    case RuntimeFailure::refused: return "refused";
    case RuntimeFailure::disk_full: return "disk_full";
    case RuntimeFailure::pull_failed: return "pull_failed";
    case RuntimeFailure::pull_refused: return "pull_refused";
    case RuntimeFailure::digest_mismatch: return "digest_mismatch";
  }
  require(false);
  return {};
}

ErrorCode failure_code(RuntimeFailure failure) {
  switch (failure) {
    case RuntimeFailure::not_found:
    case RuntimeFailure::refused: return ErrorCode::compose_failed;
    case RuntimeFailure::disk_full: return ErrorCode::disk_full;
    case RuntimeFailure::pull_failed:
    case RuntimeFailure::pull_refused: return ErrorCode::image_pull_failed;
    case RuntimeFailure::digest_mismatch: return ErrorCode::digest_mismatch;
    case RuntimeFailure::cancelled:
    case RuntimeFailure::unavailable:
    case RuntimeFailure::bad_answer: return ErrorCode::internal_error;
  }
  require(false);
  return ErrorCode::internal_error;
}

}  // namespace ee::agent
