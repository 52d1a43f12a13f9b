#pragma once
#include <cstddef>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>

#include "common/bytes.h"

/// `ee-launcher measure`: what a TD with these files will measure, computed without starting one. 01 section 19.
namespace ee::launcher {

enum class MeasureExit : int { ok = 0, differs = 1, usage = 2, unreadable = 3 };

/// The command line, as text: `measure_offline` checks it.
struct MeasureArguments {
  std::filesystem::path firmware;
  std::string page_order = "single";                 ///< or `two-pass`
  std::optional<std::filesystem::path> kernel = {};  ///< these three come together
  std::optional<std::filesystem::path> initrd = {};
  std::optional<std::string> command_line = {};
  std::optional<std::string> expect_mrtd = {};  ///< 96 hex digits
  bool json = false;
};

struct MeasureOutcome {
  MeasureExit exit = MeasureExit::ok;
  std::string output = {};   ///< for standard output, with its last newline
  std::string problem = {};  ///< for standard error, without newline; empty on success
};

MeasureOutcome measure_offline(const MeasureArguments& arguments);

/// A regular file of at most `max_bytes`, or what is wrong with it.
std::expected<ByteVector, std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace ee::launcher
