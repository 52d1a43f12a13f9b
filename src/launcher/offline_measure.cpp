#include "launcher/offline_measure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/describe/class.hpp>
#include <cerrno>
#include <cstring>

#include "attestation/tdvf/tdvf.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::launcher {
namespace {

constexpr std::size_t kMaxKernelBytes = 256UL * 1024 * 1024;
constexpr std::size_t kMaxInitrdBytes = 1024UL * 1024 * 1024;
constexpr std::size_t kMaxCommandLine = 64UL * 1024;

/// What QEMU's direct boot should leave; to be confirmed by one measured boot before it is trusted.
struct Predicted {
  std::string rtmr1;
  std::string rtmr2;
};
BOOST_DESCRIBE_STRUCT(Predicted, (), (rtmr1, rtmr2))

struct Report {
  std::string firmware_sha256;
  std::string page_order;
  std::string mrtd;
  std::optional<bool> mrtd_expected = {};  ///< null: nothing was expected
  std::optional<Predicted> predicted = {};
};
BOOST_DESCRIBE_STRUCT(Report, (), (firmware_sha256, page_order, mrtd, mrtd_expected, predicted))

MeasureOutcome stop(MeasureExit exit, std::string problem) { return {.exit = exit, .problem = std::move(problem)}; }

std::optional<std::string> usage_problem(const MeasureArguments& arguments) {
  if (arguments.page_order != "single" && arguments.page_order != "two-pass")
    return "--page-order is single or two-pass";
  const bool all = arguments.kernel && arguments.initrd && arguments.command_line;
  const bool none = !arguments.kernel && !arguments.initrd && !arguments.command_line;
  if (!all && !none) return "--kernel, --initrd and --cmdline come together";
  if (arguments.command_line && arguments.command_line->size() > kMaxCommandLine) return "--cmdline is too long";
  if (arguments.expect_mrtd && !from_hex_exact<48>(*arguments.expect_mrtd)) return "--expect-mrtd is 96 hex digits";
  return std::nullopt;
}

std::expected<Predicted, std::string> predict(const MeasureArguments& arguments) {
  const auto kernel = read_file(*arguments.kernel, kMaxKernelBytes);
  if (!kernel) return std::unexpected(kernel.error());
  const auto initrd = read_file(*arguments.initrd, kMaxInitrdBytes);
  if (!initrd) return std::unexpected(initrd.error());
  const auto boot = attestation::predict_direct_boot(*kernel, *initrd, *arguments.command_line);
  if (!boot) return std::unexpected(boot.error().detail);
  return Predicted{.rtmr1 = to_hex(boot->rtmr1), .rtmr2 = to_hex(boot->rtmr2)};
}

std::string text_of(const Report& report) {
  std::string out = fmt::format("mrtd   {}\n", report.mrtd);
  if (report.predicted)
    out +=
        fmt::format("rtmr1  {}  predicted\nrtmr2  {}  predicted\n", report.predicted->rtmr1, report.predicted->rtmr2);
  return out;
}

}  // namespace

std::expected<ByteVector, std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const auto failed = [&](std::string_view why) { return std::unexpected(fmt::format("{}: {}", path.string(), why)); };
  // Without O_NONBLOCK the opening of a FIFO would wait for a writer.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return failed(std::strerror(errno));
  const auto closed = [file](std::expected<ByteVector, std::string> result) {
    ::close(file);
    return result;
  };
  struct stat facts = {};
  if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) return closed(failed("is not a regular file"));
  if (static_cast<std::uint64_t>(facts.st_size) > max_bytes)
    return closed(failed(fmt::format("is longer than {} MiB", max_bytes >> 20)));
  ByteVector out(static_cast<std::size_t>(facts.st_size));
  for (std::size_t done = 0; done < out.size();) {
    const ssize_t count = ::read(file, out.data() + done, out.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return closed(failed("cannot be read"));
    done += static_cast<std::size_t>(count);
  }
  return closed(std::move(out));
}

MeasureOutcome measure_offline(const MeasureArguments& arguments) {
  if (const auto problem = usage_problem(arguments)) return stop(MeasureExit::usage, *problem);
  const auto firmware = read_file(arguments.firmware, attestation::kMaxFirmwareBytes);
  if (!firmware) return stop(MeasureExit::unreadable, firmware.error());
  const auto order =
      arguments.page_order == "single" ? attestation::PageOrder::single : attestation::PageOrder::two_pass;
  const auto mrtd = attestation::compute_mrtd(*firmware, order);
  if (!mrtd)
    return stop(MeasureExit::unreadable, fmt::format("{}: {}", arguments.firmware.string(), mrtd.error().detail));
  Report report{
      .firmware_sha256 = to_hex(sha256(*firmware)), .page_order = arguments.page_order, .mrtd = to_hex(*mrtd)};
  if (arguments.kernel) {
    auto predicted = predict(arguments);
    if (!predicted) return stop(MeasureExit::unreadable, predicted.error());
    report.predicted = std::move(*predicted);
  }
  if (arguments.expect_mrtd) report.mrtd_expected = from_hex_exact<48>(*arguments.expect_mrtd) == *mrtd;
  MeasureOutcome out{.output = arguments.json ? json::write(report) + "\n" : text_of(report)};
  if (report.mrtd_expected == false) {
    out.exit = MeasureExit::differs;
    out.problem = "the MRTD differs from the expected one";
  }
  return out;
}

}  // namespace ee::launcher
