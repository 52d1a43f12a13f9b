#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/workload/held.h"

namespace ee::agent {

/// By which way a document came.
enum class DocumentPath : std::uint8_t { pull, push };

/// What of a document decides.
struct DocumentKey {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  std::string registration_id;
  std::string content_sha256;
};
DocumentKey key_of(const HeldWorkload& held);

/// The key of what is held, and whether its containers are to run.
struct HeldKey {
  DocumentKey key;
  bool usable = true;        ///< false: it failed, and nothing of it runs
  bool rolled_back = false;  ///< content is that of the old revision, which was started again
};

enum class Decision : std::uint8_t {
  deploy,         ///< nothing is held
  nothing,        ///< it is what is held
  adopt,          ///< the same content under a newer epoch or revision: only the key changes
  upgrade,        ///< another revision of the same deployment, in place
  older,          ///< pull: ignored; push: 412
  held_by_other,  ///< push only: 409
  replace,        ///< stop what is held, then deploy
};

/// The rows of 02 section 14 that begin with a document. Epochs and revisions are compared within one registration
/// only: a control plane that was restored from a backup may give lower ones after the next registration.
Decision decide(const std::optional<HeldKey>& held, const DocumentKey& input, DocumentPath path);

}  // namespace ee::agent
