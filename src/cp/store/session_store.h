#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cp/domain/session.h"
#include "db/database.h"

namespace ee::cp {

/// Table `admin_sessions`. Stateless. Methods that end sessions answer which, for the cache of verified credentials.
class SessionStore {
 public:
  /// How many sessions of one identity live at once.
  static constexpr std::int64_t kMaxLive = 10;
  /// Uses are noted at most this often per session.
  static constexpr Seconds kNoteUseEvery{60};
  /// How long an ended session is kept for the record.
  static constexpr Seconds kKeepRevoked{7 * 86400};

  Result<void> insert(db::Transaction& tx, const SessionRow& row) const;
  /// Whatever its state: the caller checks revocation and times.
  Result<std::optional<SessionRow>> find(db::Transaction& tx, const SessionId& id) const;
  Result<std::optional<SessionRow>> find_by_lookup(db::Transaction& tx, std::string_view lookup) const;
  /// Neither revoked nor over; the latest first.
  Result<std::vector<SessionRow>> live_of(db::Transaction& tx, std::string_view identity, UtcTime now) const;

  /// The same of everybody, at most `limit`.
  Result<std::vector<SessionRow>> all_live(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// Another token in place of the one with this public part. False: the session is revoked or has another by now.
  Result<bool> replace_token(db::Transaction& tx, const SessionId& id, std::string_view old_lookup,
                             std::string_view lookup, std::string_view secret_hash) const;

  Result<std::vector<SessionId>> revoke(db::Transaction& tx, const SessionId& id, std::string_view reason,
                                        UtcTime now) const;
  Result<std::vector<SessionId>> revoke_identity(db::Transaction& tx, std::string_view identity,
                                                 std::string_view reason, UtcTime now) const;
  Result<std::vector<SessionId>> revoke_method(db::Transaction& tx, AuthMethod method, std::string_view reason,
                                               UtcTime now) const;
  /// Ends all live sessions of an identity but the `keep` latest (reason `session_limit`).
  Result<std::vector<SessionId>> revoke_oldest(db::Transaction& tx, std::string_view identity, std::int64_t keep,
                                               UtcTime now) const;

  /// Notes a use, at most once per kNoteUseEvery.
  Result<void> note_use(db::Transaction& tx, const SessionId& id, UtcTime now) const;
  /// Removes at most `limit` sessions past their end, or revoked kKeepRevoked ago; how many.
  Result<std::int64_t> remove_ended(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
};

}  // namespace ee::cp
