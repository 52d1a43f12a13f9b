#include "common/compose/rules.h"
#include "common/utf8.h"

namespace ee::compose {
namespace {

constexpr std::size_t kMaxKeyShown = 64;

}  // namespace

std::string child(std::string_view path, std::string_view key) {
  return fmt::format("{}.{}", path, utf8_prefix(key, kMaxKeyShown));
}
std::string child(std::string_view path, std::size_t index) { return fmt::format("{}[{}]", path, index); }

void Breaches::add(std::string_view path, std::string_view code, std::string_view detail) {
  if (interpolated_.contains(path)) return;
  if (!known_.emplace(path, code).second) return;
  if (found_.size() == kMaxBreaches) {
    ++left_out_;
    return;
  }
  found_.push_back({std::string(path), std::string(code), std::string(detail)});
}

void Breaches::add_interpolation(std::string_view path) {
  add(path, "interpolation", "Variables are not replaced; a literal dollar is written $$.");
  interpolated_.emplace(path);
}

Error Breaches::to_error() const {
  std::string detail = "The compose file breaks rules.";
  if (left_out_ > 0) detail = fmt::format("The compose file breaks rules; {} more are not listed.", left_out_);
  return {.code = ErrorCode::compose_forbidden, .detail = std::move(detail), .fields = found_};
}

}  // namespace ee::compose
