#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <string_view>

namespace ee::cp {

/// `EE_ENV`: what this installation is for. Only `dev` may emulate TDX or relax its policies without a further switch.
enum class Stage : std::uint8_t { dev, staging, production };
BOOST_DESCRIBE_ENUM(Stage, dev, staging, production)

constexpr std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::dev: return "dev";
    case Stage::staging: return "staging";
    case Stage::production: return "production";
  }
  return "";
}

}  // namespace ee::cp
