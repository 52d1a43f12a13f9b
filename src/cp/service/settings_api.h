#pragma once
#include <array>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/time.h"
#include "cp/domain/settings_resolution.h"

/// What the routes of settings take and answer (05 section 2.3).
namespace ee::cp {

/// Of a secret `value` and `default` are null, and `fingerprint` tells whether it is the same one as before, within
/// one process.
struct SettingView {
  std::string key = {};
  std::string group = {};
  std::string type = {};  ///< str, int, bool, enum, list, url, usd, sec, secret
  boost::json::value value = {};
  boost::json::value default_ = {};
  SettingSource source = SettingSource::default_;
  std::string env = {};
  bool is_secret = false;
  bool is_set = false;  ///< a secret: there is one; else: database or environment gives it
  std::optional<std::string> fingerprint = {};
  bool restart_required = false;
  std::optional<std::int64_t> min = {};  ///< of a number (usd: micro-dollars), or of the number of items
  std::optional<std::int64_t> max = {};  ///< the same; bytes of a text
  std::optional<std::vector<std::string>> enum_ = {};
  std::optional<std::string> unit = {};
  std::string description = {};
  std::int64_t version = 0;  ///< of the row; 0: not in the database. The ETag
  std::optional<std::string> updated_by = {};
  std::optional<UtcTime> updated_at = {};
};
BOOST_DESCRIBE_STRUCT(SettingView, (),
                      (key, group, type, value, default_, source, env, is_secret, is_set, fingerprint, restart_required,
                       min, max, enum_, unit, description, version, updated_by, updated_at))
constexpr std::string_view json_name(json::For<SettingView>) { return "Setting"; }

struct SettingPage {
  std::vector<SettingView> items = {};
  std::optional<std::string> next_cursor = {};  ///< always null: the list is one page
};
BOOST_DESCRIBE_STRUCT(SettingPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<SettingPage>) { return "SettingPage"; }

/// The body of PUT.
struct SettingPutRequest {
  boost::json::value value = {};
};
BOOST_DESCRIBE_STRUCT(SettingPutRequest, (), (value))
constexpr auto json_rules(json::For<SettingPutRequest>) {
  return std::array{json::field("value").describe("a JSON value of the setting's type")};
}
constexpr std::string_view json_name(json::For<SettingPutRequest>) { return "SettingPutRequest"; }

}  // namespace ee::cp
