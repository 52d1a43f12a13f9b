#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "common/id.h"

namespace ee::cp {

/// Who makes a request, as its credential proved. What it may do is decided by the route's access rule.
enum class PrincipalKind : std::uint8_t { anonymous, session, agent };

struct Principal {
  PrincipalKind kind = PrincipalKind::anonymous;
  bool is_admin = false;  ///< sessions only, computed on each request
  std::optional<SessionId> session_id = {};
  std::optional<AgentId> agent_id = {};
  UtcTime credential_created_at = {};  ///< agents: tells when it is time to rotate

  /// Actor of audit rows and of the access record: `admin:<session>`, `user:<session>`, `agent:<id>`, `anonymous`.
  std::string actor() const {
    switch (kind) {
      case PrincipalKind::session: return (is_admin ? "admin:" : "user:") + session_id.value_or(SessionId()).str();
      case PrincipalKind::agent: return "agent:" + agent_id.value_or(AgentId()).str();
      case PrincipalKind::anonymous: break;
    }
    return "anonymous";
  }
};

}  // namespace ee::cp
