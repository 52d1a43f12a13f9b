#include "cp/domain/setting_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "common/env_config.h"
#include "common/json.h"
#include "common/money.h"
#include "common/require.h"
#include "common/url.h"
#include "common/utf8.h"

namespace ee::cp {
namespace {

namespace bj = boost::json;
constexpr std::size_t kMaxListItem = 256;

std::unexpected<SettingProblem> problem(std::string code, std::string detail) {
  return std::unexpected(SettingProblem{std::move(code), std::move(detail)});
}

std::expected<void, SettingProblem> check_text(const SettingSpec& spec, std::string_view text) {
  if (text.size() > static_cast<std::size_t>(spec.max))
    return problem("too_long", fmt::format("is longer than {} bytes", spec.max));
  const auto is_refused = [&](char c) {
    if (spec.multi_line && (c == '\n' || c == '\r' || c == '\t')) return false;
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  };
  if (!is_utf8(text) || std::ranges::any_of(text, is_refused))
    return problem("bad_format", "must be UTF-8 without control characters");
  if (text.empty()) {
    if (!spec.may_be_empty) return problem("bad_format", "must not be empty");
    return {};
  }
  if (spec.type == SettingType::url) {
    const auto url = parse_url(text);
    if (!url || url->has_user || url->has_query || url->has_fragment)
      return problem("bad_format", "must be an absolute http or https URL without user part, query and fragment");
  }
  if (spec.check != nullptr) {
    if (auto wanted = spec.check(text)) return problem("bad_format", std::move(*wanted));
  }
  return {};
}

std::expected<void, SettingProblem> check_item(const SettingSpec& spec, const std::string& item, std::size_t index) {
  if (item.size() > kMaxListItem)
    return problem("too_long", fmt::format("item {} is longer than {} bytes", index + 1, kMaxListItem));
  if (!spec.allowed.empty() && std::ranges::find(spec.allowed, item) == spec.allowed.end())
    return problem("not_in_enum", fmt::format("item {} must be one of {}", index + 1, fmt::join(spec.allowed, ", ")));
  if (spec.check != nullptr) {
    if (auto wanted = spec.check(item)) return problem("bad_format", fmt::format("item {} {}", index + 1, *wanted));
  }
  return {};
}

std::expected<void, SettingProblem> check_list(const SettingSpec& spec, const std::vector<std::string>& items) {
  const auto count = static_cast<std::int64_t>(items.size());
  if (count > spec.max)
    return problem("too_long", fmt::format("has {} items, more than the maximum {}", count, spec.max));
  if (count < spec.min)
    return problem("below_min", fmt::format("has {} items, fewer than the minimum {}", count, spec.min));
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (auto good = check_item(spec, items[i], i); !good) return good;
    if (std::find(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), items[i]) !=
        items.begin() + static_cast<std::ptrdiff_t>(i))
      return problem("bad_format", fmt::format("item {} is there twice", i + 1));
  }
  return {};
}

std::expected<void, SettingProblem> check_amount(const SettingSpec& spec, UsdMicros amount) {
  if (amount.value < spec.min)
    return problem("below_min",
                   fmt::format("{} is below the minimum {}", to_usd_text(amount), to_usd_text({spec.min})));
  if (amount.value > spec.max)
    return problem("above_max",
                   fmt::format("{} is above the maximum {}", to_usd_text(amount), to_usd_text({spec.max})));
  return {};
}

std::expected<void, SettingProblem> check_number(const SettingSpec& spec, std::int64_t number) {
  if (number < spec.min) return problem("below_min", fmt::format("{} is below the minimum {}", number, spec.min));
  if (number > spec.max) return problem("above_max", fmt::format("{} is above the maximum {}", number, spec.max));
  return {};
}

/// Bounds and form of a value of the right type.
ParsedSetting checked(const SettingSpec& spec, SettingValue value, const SettingsContext& context) {
  std::expected<void, SettingProblem> good;
  if (const auto* text = std::get_if<std::string>(&value)) {
    if (spec.type == SettingType::enumeration) {
      if (std::ranges::find(spec.allowed, *text) == spec.allowed.end())
        good = problem("not_in_enum", fmt::format("must be one of {}", fmt::join(spec.allowed, ", ")));
    } else {
      good = check_text(spec, *text);
    }
  } else if (const auto* secret = std::get_if<Secret>(&value)) {
    good = check_text(spec, secret->reveal());
  } else if (const auto* items = std::get_if<std::vector<std::string>>(&value)) {
    good = check_list(spec, *items);
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    good = check_number(spec, *number);
  } else if (const auto* amount = std::get_if<UsdMicros>(&value)) {
    good = check_amount(spec, *amount);
  }
  if (!good) return std::unexpected(good.error());
  if (spec.check_in_stage != nullptr) {
    if (auto refused = spec.check_in_stage(value, context)) return std::unexpected(std::move(*refused));
  }
  return value;
}

ParsedSetting parse_text(const SettingSpec& spec, std::string_view text, const SettingsContext& context) {
  switch (spec.type) {
    case SettingType::str:
    case SettingType::url:
    case SettingType::enumeration: return checked(spec, std::string(text), context);
    case SettingType::secret: return checked(spec, Secret(std::string(text)), context);
    case SettingType::integer:
    case SettingType::sec: {
      const auto number = parse_integer(text);
      if (!number) return problem("wrong_type", "must be an integer");
      return checked(spec, *number, context);
    }
    case SettingType::usd: {
      const auto amount = parse_usd(text);
      if (!amount) return problem("wrong_type", "must be a decimal number with at most six places");
      return checked(spec, *amount, context);
    }
    case SettingType::boolean: {
      const auto flag = parse_flag(text);
      if (!flag) return problem("wrong_type", "must be 1, 0, true or false");
      return checked(spec, *flag, context);
    }
    case SettingType::list: break;  // its two forms are the callers' own
  }
  return problem("wrong_type", "must be a list");
}

}  // namespace

ParsedSetting parse_env_setting(const SettingSpec& spec, std::string_view text, const SettingsContext& context) {
  if (spec.type != SettingType::list) return parse_text(spec, text, context);
  auto items = split_list(text);
  if (!items) return problem("bad_format", "has an empty item between its commas");
  return checked(spec, std::move(*items), context);
}

ParsedSetting parse_stored_setting(const SettingSpec& spec, std::string_view text, const SettingsContext& context) {
  if (spec.type != SettingType::list) return parse_text(spec, text, context);
  const auto value = json::parse(text);
  if (!value) return problem("wrong_type", "must be a JSON array of strings");
  return parse_json_setting(spec, *value, context);
}

ParsedSetting parse_json_setting(const SettingSpec& spec, const bj::value& value, const SettingsContext& context) {
  switch (spec.type) {
    case SettingType::str:
    case SettingType::url:
    case SettingType::enumeration:
    case SettingType::usd:
    case SettingType::secret: {
      const auto* text = value.if_string();
      if (text == nullptr) return problem("wrong_type", "must be a string");
      return parse_text(spec, {text->data(), text->size()}, context);
    }
    case SettingType::integer:
    case SettingType::sec:
      if (!value.is_int64()) return problem("wrong_type", "must be an integer");
      return checked(spec, value.get_int64(), context);
    case SettingType::boolean:
      if (!value.is_bool()) return problem("wrong_type", "must be true or false");
      return checked(spec, value.get_bool(), context);
    case SettingType::list: {
      const auto* array = value.if_array();
      if (array == nullptr) return problem("wrong_type", "must be an array of strings");
      std::vector<std::string> items;
      for (const auto& item : *array) {
        const auto* text = item.if_string();
        if (text == nullptr) return problem("wrong_type", "must be an array of strings");
        items.emplace_back(text->data(), text->size());
      }
      return checked(spec, std::move(items), context);
    }
  }
  return problem("wrong_type", "is of an unknown type");
}

std::string stored_text(const SettingValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* amount = std::get_if<UsdMicros>(&value)) return to_usd_text(*amount);
  if (const auto* secret = std::get_if<Secret>(&value)) return secret->reveal();
  return json::write(std::get<std::vector<std::string>>(value));
}

bj::value shown_value(const SettingValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return bj::value(bj::string_view(*text));
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* amount = std::get_if<UsdMicros>(&value)) return bj::value(bj::string_view(to_usd_text(*amount)));
  if (const auto* items = std::get_if<std::vector<std::string>>(&value)) {
    bj::array out;
    for (const std::string& item : *items) out.emplace_back(bj::string_view(item));
    return out;
  }
  return nullptr;
}

}  // namespace ee::cp
