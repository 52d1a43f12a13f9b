#include "agent/workload/decision.h"

#include <utility>

namespace ee::agent {

DocumentKey key_of(const HeldWorkload& held) {
  return {.deployment_id = held.deployment_id,
          .assignment_epoch = held.assignment_epoch,
          .revision = held.revision,
          .registration_id = held.registration_id,
          .content_sha256 = held.content_sha256};
}

Decision decide(const std::optional<HeldKey>& held, const DocumentKey& input, DocumentPath path) {
  if (!held) return Decision::deploy;
  const DocumentKey& key = held->key;
  if (input.deployment_id != key.deployment_id)
    return path == DocumentPath::push ? Decision::held_by_other : Decision::replace;

  const bool same_registration = input.registration_id == key.registration_id;
  const auto order =
      std::pair(input.assignment_epoch, input.revision) <=> std::pair(key.assignment_epoch, key.revision);
  if (same_registration && order < 0) return Decision::older;
  const bool same_content = input.content_sha256 == key.content_sha256;
  if (order == 0) {
    // After a failed upgrade the content is the old revision's, and the key the new one's, which is not tried again.
    if (same_content || held->rolled_back || !held->usable) return Decision::nothing;
    return Decision::upgrade;
  }
  if (!held->usable) return Decision::upgrade;
  if (!same_content) return Decision::upgrade;
  // Equal content: another epoch alone changes nothing for the workload; another revision is a redeploy, but for the
  // automatic rollback to what already runs again.
  return input.revision == key.revision || held->rolled_back ? Decision::adopt : Decision::upgrade;
}

}  // namespace ee::agent
