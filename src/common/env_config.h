#pragma once
#include <boost/describe/enum.hpp>
#include <boost/describe/enum_from_string.hpp>
#include <boost/describe/enumerators.hpp>
#include <boost/mp11/algorithm.hpp>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"

namespace ee {

/// Environment variables by name.
using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();

/// The content of a file named by an `X_FILE` variable, at most kMaxEnvFile bytes; else why not, in a few words.
using EnvFileReader = std::function<std::expected<std::string, std::string>(const std::string& path)>;
inline constexpr std::size_t kMaxEnvFile = 64UL * 1024;
std::expected<std::string, std::string> read_env_file(const std::string& path);

/// Where a variable's value may stand (05 section 1.2).
enum class EnvSource : std::uint8_t {
  plain,     ///< `X`
  file_too,  ///< or the content of the file that `X_FILE` names, less one trailing newline
  provider,  ///< the same two under the stage's prefix first: `STAGING_X`
};

/// Reads a program's configuration from its environment and gathers every problem, so that all are told at once. An
/// empty variable counts as unset. After a problem a read answers with its fallback: use nothing before `finish` says
/// that there are none. No problem's text repeats a value, but for numbers.
class EnvReader {
 public:
  explicit EnvReader(const Environment& environment, EnvFileReader read_file = read_env_file);

  /// `STAGING_`, `PRODUCTION_` or nothing.
  void set_provider_prefix(std::string prefix) { provider_prefix_ = std::move(prefix); }

  std::optional<std::string> text(std::string_view name, EnvSource source = EnvSource::plain);
  std::optional<Secret> secret(std::string_view name);
  /// The path in `X_FILE` when the value comes from there, for what is read again later.
  std::optional<std::string> file_of(std::string_view name) const;
  std::int64_t integer(std::string_view name, std::int64_t fallback, std::int64_t min, std::int64_t max);
  /// 1, 0, true or false.
  bool flag(std::string_view name, bool fallback);
  /// A comma list, its items trimmed; empty items are a problem.
  std::vector<std::string> list(std::string_view name, EnvSource source = EnvSource::plain);
  template <class E>
  E choice(std::string_view name, E fallback) {
    std::vector<std::string_view> names;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto item) { names.push_back(item.name); });
    const auto found = one_of(name, names);
    if (!found) return fallback;
    E out = fallback;
    boost::describe::enum_from_string(found->c_str(), out);
    return out;
  }

  void problem(std::string_view name, std::string_view text);
  /// A whole line, of a parser that names the variable itself.
  void problem_line(std::string line) { problems_.push_back(std::move(line)); }
  bool ok() const { return problems_.empty(); }

  /// Makes `name` known to the typo guard without reading it.
  void know(std::string_view name, EnvSource source = EnvSource::plain);
  /// Every variable that starts with `EE_`, was never read or made known, and has none of `foreign_prefixes` is a
  /// problem.
  void refuse_unknown(const std::vector<std::string_view>& foreign_prefixes);
  /// One line each: `EE_DB_READERS: 0 is below the minimum 1`. Empty: all is well.
  const std::vector<std::string>& finish() const { return problems_; }

 private:
  std::optional<std::string> find(std::string_view name) const;
  std::optional<std::string> value_or_file(const std::string& name);
  std::optional<std::string> one_of(std::string_view name, const std::vector<std::string_view>& names);

  const Environment& environment_;
  EnvFileReader read_file_;
  std::string provider_prefix_;
  std::set<std::string, std::less<>> known_;
  std::vector<std::string> problems_;
};

/// Items between commas, trimmed of spaces and tabs; nothing when an item is empty. An empty text has no items.
std::optional<std::vector<std::string>> split_list(std::string_view text);
/// A decimal integer, with nothing around it.
std::optional<std::int64_t> parse_integer(std::string_view text);
/// 1, 0, true, false.
std::optional<bool> parse_flag(std::string_view text);

}  // namespace ee
